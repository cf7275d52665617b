"""What the demo sells, and to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sandbox.demo.org import Org
from sandbox.salesforce_emulator.contract_rules import add_months

CUSTOMER = "Northwind Labs"
PRICES = {"Platform": "500.00", "Analytics": "120.00"}
TERM_MONTHS = 12


@dataclass(frozen=True, slots=True)
class Line:
    """An order line to be: `start` and `end` in months from today; `fields` are further fields of the OrderItem."""

    product: str
    quantity: str
    start: int
    end: int
    fields: Mapping[str, str]


def line(product: str, quantity: str, months: tuple[int, int], **fields: str) -> Line:
    """An order line from the one to the other month, counted from today."""
    return Line(product, quantity, *months, fields)


@dataclass(frozen=True, slots=True)
class Draft:
    """An order that waits for its activation; `line_ids` in the order in which the lines were entered."""

    contract_id: str
    order_id: str
    line_ids: tuple[str, ...]


class Shop:
    """An account, and products with their entries in the standard price book; Stripe knows none of them yet.

    prices: what each product is sold at, by its name.
    """

    def __init__(self, org: Org, today: date) -> None:
        self._org = org
        self.today = today
        self.account_id = org.create("Account", Name=CUSTOMER, BillingCity="Lisbon", BillingCountry="PT")
        (book,) = org.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")
        self._book_id = str(book["Id"])
        self.product_ids: dict[str, str] = {}
        self.entry_ids: dict[str, str] = {}
        self.prices = dict(PRICES)
        for name, price in PRICES.items():
            self.product_ids[name] = org.create("Product2", Name=name, IsActive=True)
            self.entry_ids[name] = org.create(
                "PricebookEntry",
                Pricebook2Id=self._book_id,
                Product2Id=self.product_ids[name],
                UnitPrice=price,
                IsActive=True,
                Stripe_Billing_Interval__c="month",
            )

    def offer(self, product: str, entry: Mapping[str, Any]) -> None:
        """Sell also what a price book entry lists, at its price."""
        self.entry_ids[product], self.prices[product] = entry["Id"], str(entry["UnitPrice"])

    def draft(self, *lines: Line, **fields: Any) -> Draft:
        """Enter a contract of twelve months and its order; `fields` are further fields of the Order."""
        contract_id = self._org.create("Contract", StartDate=self.day(0), ContractTerm=TERM_MONTHS, **self._common)
        self._org.update("Contract", contract_id, Status="Activated")
        return self.change(contract_id, *lines, **fields)

    def change(self, contract_id: str, *lines: Line, **fields: Any) -> Draft:
        """Enter one more order of a contract."""
        order_id = self._org.create("Order", ContractId=contract_id, EffectiveDate=self.day(0), **self._common, **fields)
        line_ids = [
            self._org.create(
                "OrderItem",
                OrderId=order_id,
                PricebookEntryId=self.entry_ids[each.product],
                Quantity=each.quantity,
                ServiceDate=self.day(each.start),
                EndDate=self.day(each.end),
                **{"UnitPrice": self.prices[each.product], **each.fields},
            )
            for each in lines
        ]
        return Draft(contract_id, order_id, tuple(line_ids))

    @property
    def _common(self) -> dict[str, str]:
        """What a contract and its orders have in common."""
        return {"AccountId": self.account_id, "Pricebook2Id": self._book_id, "Status": "Draft"}

    def day(self, months: int) -> str:
        """The date so many months from today."""
        return add_months(self.today, months).isoformat()
