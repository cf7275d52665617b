"""What Stripe's own products leave in an org and in Stripe: the Billing Flows extension, and the connector for CPQ.

As far as it is published; see `docs/moving-over.md`. They are played by hand, on both sides, with none of our own code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.salesforce_emulator import Field
from tests.org import Org

CPQ = "stripeConnector__Stripe_ID__c"
FLOWS = "Billing_Flows_Schedule__c"
"""The name that the extension's field has in this org: it is not published."""

FIELDS: dict[str, list[Field]] = {
    **{name: [Field(CPQ, "string", length=255)] for name in ("Account", "Product2", "PricebookEntry")},
    "Order": [Field(CPQ, "string", length=255), Field(FLOWS, "string", length=255)],
    "Contract": [Field(FLOWS, "string", length=255)],
}
"""The custom fields of an org that has both. The extension's field on Account comes with its package."""


def seconds(day: str) -> int:
    """Midnight of a day, in Unix seconds."""
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


@dataclass
class Predecessor:
    """Either product. `org`: the org, by hand. `api`: Stripe's, as anybody with the key uses it (`client.v1`)."""

    org: Org
    api: Any

    def price(self, entry: str, *, copy: bool = False, **metadata: str) -> str:
        """A Stripe price as a price book entry says; `copy`: one that is archived, as the connector does with duplicates."""
        record = self.org.record("PricebookEntry", entry)
        product = self.org.record("Product2", record["Product2Id"])
        known = product.get("Stripe_Product_Id__c") or product.get(CPQ)
        if not known:
            known = self.api.products.create({"name": product["Name"], "metadata": self.marks("product2", product["Id"])}).id
            self.org.salesforce.update("Product2", product["Id"], {self.catalogue_field("Product2"): known})
        params = {
            "product": known,
            "currency": "usd",
            "unit_amount": int(record["UnitPrice"] * 100),
            "recurring": {"interval": "month"},
            "metadata": {**self.marks("pricebook_entry", entry), **metadata},
        }
        made = str(self.api.prices.create(params).id)
        if not copy:
            self.org.salesforce.update("PricebookEntry", entry, {self.catalogue_field("PricebookEntry"): made})
        return made

    def catalogue_field(self, kind: str) -> str:
        """Its field for Stripe's id of a product or price."""
        raise NotImplementedError

    def marks(self, kind: str, record: str) -> dict[str, str]:
        """What its objects in Stripe say about their record."""
        raise NotImplementedError


class Connector(Predecessor):
    """Stripe's connector for CPQ: ids in a field of its own, metadata that names records, classic billing, no proration."""

    def catalogue_field(self, kind: str) -> str:
        return CPQ

    def marks(self, kind: str, record: str) -> dict[str, str]:
        return {f"salesforce_{kind}_id": record, f"salesforce_{kind}_link": f"/{record}"}

    def customer(self, account: str, *, told: bool = True) -> str:
        """The customer of an account; `told`: whether the account knows it."""
        made = str(self.api.customers.create({"name": "Acme GmbH", "metadata": self.marks("account", account)}).id)
        if told:
            self.org.salesforce.update("Account", account, {CPQ: made})
        return made

    def schedule(
        self,
        order: str,
        customer: str,
        *phases: tuple[str, str, Mapping[str, tuple[str, int]]],
        told: Sequence[str] | None = None,
        coupon: str | None = None,
        **more: Any,
    ) -> str:
        """The schedule of an order: phases as start, end and, by order line, price and quantity.

        told: the orders that know it; those that amend it too. coupon: of the last phase's first item. more: of the last phase.
        """
        sent: list[dict[str, Any]] = [
            {
                "end_date": seconds(end),
                "proration_behavior": "none",
                "items": [
                    {"price": price, "quantity": quantity, "metadata": self.marks("order_item", line)}
                    for line, (price, quantity) in items.items()
                ],
            }
            for _, end, items in phases
        ]
        if coupon:
            sent[-1]["items"][0]["discounts"] = [{"coupon": coupon}]
        sent[-1] |= more
        made = self.api.subscription_schedules.create(
            {
                "customer": customer,
                "start_date": seconds(phases[0][0]),
                "billing_mode": {"type": "classic"},
                "end_behavior": "cancel",
                "metadata": self.marks("order", order),
                "phases": sent,
            }
        )
        for one in [order] if told is None else told:
            self.org.salesforce.update("Order", one, {CPQ: made.id})
        return str(made.id)

    def evergreen(self, order: str, customer: str, line: str, price: str, *, told: bool = True) -> str:
        """The plain subscription of an order without an end. Made by a schedule that lets it go: nobody can tell afterwards."""
        params = {"customer": customer, "start_date": "now", "billing_mode": {"type": "classic"}, "end_behavior": "release"}
        items = [{"price": price, "quantity": 1, "metadata": self.marks("order_item", line)}]
        phase = {"items": items, "duration": {"interval": "month"}, "metadata": self.marks("order", order)}
        made = self.api.subscription_schedules.create({**params, "phases": [phase]})
        self.api.subscription_schedules.release(made.id)
        if told:
            self.org.salesforce.update("Order", order, {CPQ: made.subscription})
        return str(made.subscription)


@dataclass
class BillingFlows(Predecessor):
    """Stripe's extension: its ids in fields of the company's choice, classic billing, and no metadata that is published.

    field: in which it keeps the schedule's id, on Contract and Order.
    """

    field: str = FLOWS

    def catalogue_field(self, kind: str) -> str:
        return {"Product2": "Stripe_Product_Id__c", "PricebookEntry": "Stripe_Price_Id__c"}[kind]

    def marks(self, kind: str, record: str) -> dict[str, str]:
        return {}

    def customer(self, account: str) -> str:
        """The customer of an account."""
        made = str(self.api.customers.create({"name": "Acme GmbH"}).id)
        self.org.salesforce.update("Account", account, {"stripeGC__Customer_Id__c": made})
        return made

    def schedule(
        self,
        contract: str,
        orders: Sequence[str],
        customer: str,
        *phases: tuple[str, str, Mapping[str, int]],
        coupon: str | None = None,
        end_behavior: str = "cancel",
    ) -> str:
        """The schedule of a contract: phases as start, end and quantity by price. coupon: of every phase's first item."""
        sent: list[dict[str, Any]] = [
            {"end_date": seconds(end), "items": [{"price": price, "quantity": number} for price, number in items.items()]}
            for _, end, items in phases
        ]
        for phase in sent if coupon else ():
            phase["items"][0]["discounts"] = [{"coupon": coupon}]
        made = self.api.subscription_schedules.create(
            {
                "customer": customer,
                "start_date": seconds(phases[0][0]),
                "billing_mode": {"type": "classic"},
                "end_behavior": end_behavior,
                "phases": sent,
            }
        )
        self.org.salesforce.update("Contract", contract, {self.field: made.id})
        for order in orders:
            self.org.salesforce.update("Order", order, {self.field: made.id})
        return str(made.id)
