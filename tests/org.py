"""What a person has in Salesforce: accounts, contracts, priced products, and activated orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

from sandbox.salesforce_emulator import SalesforceEmulator


@dataclass
class Org:
    """An org, filled by hand. Every method answers the id of what it has made."""

    salesforce: SalesforceEmulator

    def account(self, **fields: Any) -> str:
        return self.salesforce.create("Account", {"Name": "Acme GmbH", **fields})

    def contract(self, account: str, start: str = "2026-01-01", months: int = 36) -> str:
        contract = self.salesforce.create(
            "Contract", {"AccountId": account, "Status": "Draft", "StartDate": start, "ContractTerm": months}
        )
        self.salesforce.update("Contract", contract, {"Status": "Activated"})
        return contract

    def entry(self, price: float = 10, interval: str | None = "month", **fields: Any) -> str:
        """A product with its standard price; answers the price book entry."""
        product = self.salesforce.create("Product2", {"Name": f"Product {uuid4().hex[:8]}", "IsActive": True})
        values: dict[str, Any] = {
            "Pricebook2Id": self.book,
            "Product2Id": product,
            "UnitPrice": price,
            "IsActive": True,
            **fields,
        }
        if interval:
            values["Stripe_Billing_Interval__c"] = interval
        return self.salesforce.create("PricebookEntry", values)

    @property
    def book(self) -> str:
        return str(self.salesforce.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")[0]["Id"])

    def order(
        self, account: str | None, contract: str | None, *lines: dict[str, Any], activated: bool = True, **fields: Any
    ) -> str:
        """An order, activated unless asked otherwise; each line names at least its PricebookEntryId."""
        values: dict[str, Any] = {"Pricebook2Id": self.book, "Status": "Draft", "EffectiveDate": "2026-12-01", **fields}
        values |= {name: value for name, value in {"AccountId": account, "ContractId": contract}.items() if value}
        order = self.salesforce.create("Order", values)
        for line in lines:
            entry = self.salesforce.record("PricebookEntry", line["PricebookEntryId"])
            self.salesforce.create("OrderItem", {"OrderId": order, "Quantity": 1, "UnitPrice": entry["UnitPrice"], **line})
        if activated:
            self.salesforce.update("Order", order, {"Status": "Activated"})
        return order

    def hide_name(self, account: str) -> None:
        """Take an account's name away. The API refuses that; a record may still come without one."""
        records = self.salesforce._records
        row = cast("dict[str, Any]", records.find(records.sobject("Account"), account))
        row["Name"] = None

    def record(self, kind: str, record: str) -> dict[str, Any]:
        return dict(self.salesforce.record(kind, record))

    def lines_of(self, order: str) -> list[str]:
        found = self.salesforce.query(f"SELECT Id FROM OrderItem WHERE OrderId = '{order}' ORDER BY Id")
        return [row["Id"] for row in found]


def line(entry: str, start: str = "2026-12-01", end: str | None = "2027-12-01", **fields: Any) -> dict[str, Any]:
    """An order line to be, for `Org.order`."""
    return {"PricebookEntryId": entry, "ServiceDate": start, "EndDate": end, **fields}
