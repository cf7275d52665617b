"""Products, price books and their entries."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from sandbox.salesforce_emulator.errors import SalesforceError, field_integrity
from sandbox.salesforce_emulator.rules import Rules
from sandbox.salesforce_emulator.store import Row
from sandbox.salesforce_emulator.values import Value

_EXISTS = "This price definition already exists in this price book"


class ProductRules(Rules):
    """A product that was sold stays; its name and code show on its entries."""

    blockers = (("OrderItem", "Product2Id", "order products"),)

    def written(self, new: Row) -> None:
        """Carry name and code over to the entries."""
        for entry in self.org.store.where("PricebookEntry", "Product2Id", new["Id"]):
            self.org.derive("PricebookEntry", entry, Name=new["Name"], ProductCode=new["ProductCode"])

    def removed(self, old: Row) -> None:
        """Its entries go with it."""
        for entry in self.org.store.where("PricebookEntry", "Product2Id", old["Id"]):
            self.org.store.purge("PricebookEntry", str(entry["Id"]))


class PricebookRules(Rules):
    """Salesforce: the standard price book is there from the start and stays; one that orders use stays too."""

    blockers = (
        ("Order", "Pricebook2Id", "orders"),
        ("Contract", "Pricebook2Id", "contracts"),
        ("PricebookEntry", "Pricebook2Id", "price book entries"),
    )

    def delete(self, old: Row) -> None:
        """Refuse for the standard price book."""
        if old["IsStandard"]:
            raise SalesforceError("DELETE_FAILED", "The standard price book cannot be deleted.")
        super().delete(old)


class PricebookEntryRules(Rules):
    """One price per product, book and currency; the standard one first."""

    # Salesforce: a deleted entry is archived and out of the API's reach; lines that used it stay as they are.
    leaves_no_trace = True

    def insert(self, new: dict[str, Value]) -> None:
        """Check the entry against its siblings, and name it after its product."""
        product = self.org.live("Product2", new["Product2Id"])
        new["Name"], new["ProductCode"] = product["Name"], product["ProductCode"]
        siblings = self._siblings(new)
        twin = next((entry for entry in siblings if entry["Pricebook2Id"] == new["Pricebook2Id"]), None)
        if twin is not None:
            if self.org.together is not None and twin["Id"] in self.org.together:
                # Salesforce: another code where both come in one collection.
                raise SalesforceError("DUPLICATE_VALUE", _EXISTS)
            raise field_integrity(_EXISTS)
        standard = self._standard_price(siblings)
        if self._is_standard(new):
            if new["UseStandardPrice"]:
                raise field_integrity("The standard price book's own entry cannot use the standard price.", "UseStandardPrice")
        elif standard is None:
            raise SalesforceError("STANDARD_PRICE_NOT_DEFINED", "Before creating a custom price, create a standard price.")
        elif new["UseStandardPrice"] and new["UnitPrice"] != standard["UnitPrice"]:
            raise field_integrity("field integrity exception", "UnitPrice", "UseStandardPrice")

    def update(self, old: Row, new: dict[str, Value], given: AbstractSet[str]) -> None:
        """Salesforce: while the standard price is used, UnitPrice cannot be changed."""
        if not new["UseStandardPrice"]:
            return
        if self._is_standard(new):
            raise field_integrity("The standard price book's own entry cannot use the standard price.", "UseStandardPrice")
        if "UnitPrice" in given and new["UnitPrice"] != old["UnitPrice"]:
            raise field_integrity("field integrity exception", "UnitPrice", "UseStandardPrice")
        if (standard := self._standard_price(self._siblings(new))) is not None:
            new["UnitPrice"] = standard["UnitPrice"]

    def written(self, new: Row) -> None:
        """Entries that use the standard price follow it."""
        if self._is_standard(new):
            for entry in self._siblings(new):
                if entry["UseStandardPrice"]:
                    self.org.derive("PricebookEntry", entry, UnitPrice=new["UnitPrice"])

    def _siblings(self, row: Row) -> list[Row]:
        entries = self.org.store.where("PricebookEntry", "Product2Id", row["Product2Id"])
        same_currency = [entry for entry in entries if entry.get("CurrencyIsoCode") == row.get("CurrencyIsoCode")]
        return [entry for entry in same_currency if entry["Id"] != row["Id"]]

    def _is_standard(self, row: Row) -> bool:
        return bool(self.org.live("Pricebook2", row["Pricebook2Id"])["IsStandard"])

    def _standard_price(self, entries: list[Row]) -> Row | None:
        return next((entry for entry in entries if self._is_standard(entry)), None)
