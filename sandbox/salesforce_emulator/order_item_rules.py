"""Order lines: price book, price, quantity and dates; what an activated or reduced line still allows."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import date
from decimal import Decimal

from sandbox.salesforce_emulator.errors import SalesforceError, field_integrity
from sandbox.salesforce_emulator.order_rules import LOCKED, no_edit_permission, of_contract
from sandbox.salesforce_emulator.rules import Rules
from sandbox.salesforce_emulator.store import Row
from sandbox.salesforce_emulator.values import Value

_FIXED_ONCE_REDUCED = ("Quantity", "UnitPrice", "ServiceDate", "EndDate")


class OrderItemRules(Rules):
    """A line takes its product, list price and currency from the price book entry, and its window from the order."""

    # Salesforce: deleting a line bypasses the recycle bin.
    leaves_no_trace = True

    def insert(self, new: dict[str, Value]) -> None:
        """Check a new line, and fill in what follows from its entry."""
        order = self.org.live("Order", new["OrderId"])
        self._check_open(order)
        entry = self.org.live("PricebookEntry", new["PricebookEntryId"])
        self._check_entry(order, entry)
        new["Product2Id"] = entry["Product2Id"]
        new["ListPrice"] = entry["UnitPrice"]
        if "CurrencyIsoCode" in order:
            new["CurrencyIsoCode"] = order["CurrencyIsoCode"]
        self._check_reduction(order, new)
        self._check_amounts(order, new)
        self._check_window(order, new, {"ServiceDate", "EndDate"})
        new["AvailableQuantity"] = Decimal() if order["IsReductionOrder"] else new["Quantity"]

    def update(self, old: Row, new: dict[str, Value], given: AbstractSet[str]) -> None:
        """Check a changed line. Salesforce: a line of an activated order may be edited with the permission for it."""
        order = self.org.live("Order", new["OrderId"])
        if order["StatusCode"] == "Activated" and not self.org.setup.edit_activated_orders:
            raise no_edit_permission(old)
        reduced = bool(self.org.store.where("OrderItem", "OriginalOrderItemId", old["Id"]))
        for name in _FIXED_ONCE_REDUCED:
            if reduced and old[name] != new[name]:
                raise field_integrity(f"You can't update {name} because the order product has been reduced.", name)
        if new["OriginalOrderItemId"] and old["Quantity"] != new["Quantity"]:
            if order["StatusCode"] == "Activated":
                raise field_integrity("You can't update Quantity of an activated reduction order's product.", "Quantity")
            self._check_reduction(order, new)
        self._check_amounts(order, new)
        self._check_window(order, new, given)
        if not reduced and not order["IsReductionOrder"]:
            new["AvailableQuantity"] = new["Quantity"]
        changed = [name for name in given if old.get(name) != new[name]]
        if changed and order["StatusCode"] == "Activated":
            self.org.tell("order_item.updated", new, **of_contract(order), changed_fields=changed)

    def delete(self, old: Row) -> None:
        """Salesforce: an activated order keeps its lines."""
        self._check_open(self.org.live("Order", old["OrderId"]))
        super().delete(old)

    def written(self, new: Row) -> None:
        """Roll the line up into its order."""
        self._roll_up(new)

    def removed(self, old: Row) -> None:
        """Take the line out of its order's total."""
        self._roll_up(old)

    def _check_open(self, order: Row) -> None:
        if order["StatusCode"] == "Activated":
            raise SalesforceError("ENTITY_IS_LOCKED", LOCKED)

    def _check_entry(self, order: Row, entry: Row) -> None:
        if order["Pricebook2Id"] is None:
            raise field_integrity("The order is missing a price book", "PricebookEntryId")
        if entry["Pricebook2Id"] != order["Pricebook2Id"]:
            raise field_integrity("The price book entry is in a different price book than the order.", "PricebookEntryId")
        if entry.get("CurrencyIsoCode") != order.get("CurrencyIsoCode"):
            raise field_integrity("The price book entry's currency must be the order's currency.", "PricebookEntryId")
        if not entry["IsActive"] or not self.org.live("Product2", entry["Product2Id"])["IsActive"]:
            raise field_integrity("The price book entry or its product is inactive.", "PricebookEntryId")

    def _check_reduction(self, order: Row, new: Row) -> None:
        """Salesforce: a reduction order's line names the line it reduces, and takes no more than that has left."""
        original = self.org.store.live("OrderItem", new["OriginalOrderItemId"])
        if not order["IsReductionOrder"]:
            if original is not None:
                raise field_integrity("Only a reduction order's product has an original product.", "OriginalOrderItemId")
            return
        if original is None:
            message = "A reduction order's product needs the order product that it reduces."
            raise SalesforceError("REQUIRED_FIELD_MISSING", message, fields=["OriginalOrderItemId"])
        if self.org.live("Order", original["OrderId"])["StatusCode"] != "Activated":
            raise field_integrity("Only a product of an activated order can be reduced.", "OriginalOrderItemId")
        quantity, available = new["Quantity"], original["AvailableQuantity"]
        if isinstance(quantity, Decimal) and isinstance(available, Decimal):
            if quantity >= 0:
                raise field_integrity("A reduction order's product has a negative quantity.", "Quantity")
            if available + quantity < 0:
                raise field_integrity("An order product can't be reduced by more than its available quantity.", "Quantity")

    def _check_amounts(self, order: Row, new: dict[str, Value]) -> None:
        quantity, price = new["Quantity"], new["UnitPrice"]
        if not isinstance(price, Decimal):
            raise field_integrity("Order Products must have a Unit Price.", "UnitPrice")
        if not isinstance(quantity, Decimal):
            raise TypeError("an order product has a quantity")
        if quantity == 0 and not self.org.setup.zero_quantity:
            raise field_integrity("Can't save order products with quantities of zero", "Quantity")
        if quantity < 0 and not (order["IsReductionOrder"] or self.org.setup.negative_quantity):
            raise field_integrity("Can't save order products with negative quantities", "Quantity")
        new["TotalPrice"] = quantity * price

    def _check_window(self, order: Row, new: Row, given: AbstractSet[str]) -> None:
        """Salesforce: a line neither starts before its order nor ends after it."""
        starts, first = new["ServiceDate"], order["EffectiveDate"]
        if "ServiceDate" in given and isinstance(starts, date) and isinstance(first, date) and starts < first:
            raise field_integrity("The order product's start date can't be earlier than the order's start date.", "ServiceDate")
        ends, last = new["EndDate"], order["EndDate"]
        if "EndDate" in given and isinstance(ends, date) and isinstance(last, date) and ends > last:
            raise field_integrity("The order product's end date can't be later than the order's end date.", "EndDate")

    def _roll_up(self, line: Row) -> None:
        order = self.org.live("Order", line["OrderId"])
        totals = (each["TotalPrice"] for each in self.org.store.where("OrderItem", "OrderId", order["Id"]))
        self.org.derive("Order", order, TotalAmount=sum((total for total in totals if isinstance(total, Decimal)), Decimal()))
