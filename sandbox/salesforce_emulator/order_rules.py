"""Orders: statuses and activation, what a contract and a price book demand, and reduction orders."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import date
from decimal import Decimal

from sandbox.salesforce_emulator.addresses import agree
from sandbox.salesforce_emulator.errors import SalesforceError, failed_activation, field_integrity
from sandbox.salesforce_emulator.rules import Rules
from sandbox.salesforce_emulator.store import Row
from sandbox.salesforce_emulator.values import Value

_ONLY_IN_DRAFT = ("AccountId", "ContractId", "Pricebook2Id", "CurrencyIsoCode")
LOCKED = "The order is activated: you cannot delete Order, or add or remove Order Products."


def of_contract(order: Row) -> dict[str, Value]:
    """What an event about an order or a line of it says about the contract."""
    return {"contract_id": order["ContractId"]} if order["ContractId"] else {}


def no_edit_permission(row: Row) -> SalesforceError:
    """An activated order is changed by a user without the permission Edit Activated Orders."""
    return SalesforceError("INSUFFICIENT_ACCESS_OR_READONLY", f"insufficient access rights on object id {row['Id']}")


class OrderRules(Rules):
    """Created as drafts, activated by a change of the status alone, locked from then on until set back to draft."""

    def prepare(self, old: Row | None, new: dict[str, Value], given: AbstractSet[str]) -> None:
        """Let the codes and names of its addresses agree."""
        agree(new, given, created=old is None)

    def insert(self, new: dict[str, Value]) -> None:
        """Check a new order."""
        if new["AccountId"] is None:
            raise SalesforceError("REQUIRED_FIELD_MISSING", "Select an account.")
        if self.org.category("Order", new["Status"]) != "Draft":
            raise failed_activation("For a new or cloned order, choose Draft")
        new["StatusCode"] = "Draft"
        new["TotalAmount"] = Decimal()
        if new["IsReductionOrder"] and not self.org.setup.reduction_orders:
            raise field_integrity("Reduction orders are not enabled.", "IsReductionOrder")
        if new["OriginalOrderId"] and not new["IsReductionOrder"]:
            raise field_integrity("Only a reduction order has an original order.", "OriginalOrderId")
        self._check_dates(new)
        self._check_contract(new)

    def update(self, old: Row, new: dict[str, Value], given: AbstractSet[str]) -> None:
        """Check a changed order, and carry out a change between the categories Draft and Activated."""
        category = self.org.category("Order", new["Status"])
        was_activated = old["StatusCode"] == "Activated"
        if "Status" in given and given != {"Status"} and (category == "Activated" or was_activated):
            raise failed_activation("Change the status of an order to or from Activated in an update of its own.", "Status")
        if was_activated and given != {"Status"} and not self.org.setup.edit_activated_orders:
            raise no_edit_permission(old)
        changed = [name for name in _ONLY_IN_DRAFT if old.get(name) != new.get(name)]
        if was_activated and changed:
            raise field_integrity(f"{', '.join(changed)} can be changed only while the order is a draft.", *changed)
        if changed:
            self._check_lines_agree(old, changed)
        if changed or old["EffectiveDate"] != new["EffectiveDate"]:
            self._check_contract(new)
        self._check_dates(new)
        new["StatusCode"] = category
        if category == "Activated" and not was_activated:
            self._activate(new)
        elif was_activated and category == "Draft":
            self._deactivate(new)

    def delete(self, old: Row) -> None:
        """Salesforce: only a draft can be deleted."""
        if old["StatusCode"] == "Activated":
            raise SalesforceError("DELETE_FAILED", "unable to modify activated order")
        super().delete(old)

    def removed(self, old: Row) -> None:
        """The lines go with the order."""
        for line in self._lines(old):
            self.org.store.purge("OrderItem", str(line["Id"]))

    def _lines(self, order: Row) -> list[Row]:
        return self.org.store.where("OrderItem", "OrderId", order["Id"])

    def _check_lines_agree(self, old: Row, changed: list[str]) -> None:
        """Salesforce: the lines hold their order to its price book and currency."""
        held = [name for name in ("Pricebook2Id", "CurrencyIsoCode") if name in changed]
        if held and self._lines(old):
            raise field_integrity(f"{', '.join(held)} cannot be changed once the order has order products.", *held)

    def _check_dates(self, new: Row) -> None:
        start, end = new["EffectiveDate"], new["EndDate"]
        if isinstance(start, date) and isinstance(end, date) and end < start:
            raise field_integrity("The order end date can't be earlier than the order start date.", "EndDate")

    def _check_contract(self, new: Row) -> None:
        """Salesforce: account, currency and price book agree with the contract's, and the order starts within its dates."""
        if new["ContractId"] is None:
            return
        contract = self.org.live("Contract", new["ContractId"])
        if contract["AccountId"] != new["AccountId"]:
            raise field_integrity("The order's account must be the account of its contract.", "AccountId")
        if contract.get("CurrencyIsoCode") != new.get("CurrencyIsoCode"):
            raise field_integrity("The order's currency must be the currency of its contract.", "CurrencyIsoCode")
        if contract["Pricebook2Id"] and new["Pricebook2Id"] and contract["Pricebook2Id"] != new["Pricebook2Id"]:
            raise field_integrity("The order's price book must be the price book of its contract.", "Pricebook2Id")
        starts, first, last = new["EffectiveDate"], contract["StartDate"], contract["EndDate"]
        if not isinstance(starts, date):
            return
        if isinstance(first, date) and starts < first:
            raise field_integrity("The order start date can't be earlier than the contract's start date.", "EffectiveDate")
        if isinstance(last, date) and starts > last:
            raise field_integrity("The order start date can't be later than the contract's end date.", "EffectiveDate")

    def _activate(self, new: dict[str, Value]) -> None:
        """Salesforce: needs lines; stamps who and when, again at each activation."""
        lines = self._lines(new)
        if not lines:
            raise failed_activation("An order must have at least one product.")
        if new["IsReductionOrder"]:
            for line in lines:
                self._reduce(line, undo=False)
        new["ActivatedDate"], new["ActivatedById"] = self.org.now(), self.org.user_id
        self.org.tell("order.activated", new, **of_contract(new))

    def _deactivate(self, new: dict[str, Value]) -> None:
        """Salesforce: allowed unless there are lines that reduce this order's lines."""
        lines = self._lines(new)
        if any(self.org.store.where("OrderItem", "OriginalOrderItemId", line["Id"]) for line in lines):
            raise failed_activation("An order with reduction order products cannot be set back to draft.")
        if new["IsReductionOrder"]:
            for line in lines:
                self._reduce(line, undo=True)
        new["ActivatedDate"] = new["ActivatedById"] = None

    def _reduce(self, line: Row, *, undo: bool) -> None:
        original = self.org.live("OrderItem", line["OriginalOrderItemId"])
        available, quantity = original["AvailableQuantity"], line["Quantity"]
        if not isinstance(available, Decimal) or not isinstance(quantity, Decimal):
            raise TypeError("an order product has a quantity")
        left = available - quantity if undo else available + quantity
        if left < 0:
            raise failed_activation("An order product can't be reduced by more than its available quantity.", "Quantity")
        self.org.derive("OrderItem", original, AvailableQuantity=left)
