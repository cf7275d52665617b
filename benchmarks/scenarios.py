"""What the functions are asked to do in the benchmarks: each flow in the cases that make up its daily work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from benchmarks.stage import Stage, handled
from sandbox.stack import STRIPE_ACCOUNT

type Events = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Least:
    """The fewest calls that can do it: `salesforce` and `stripe`, and why."""

    salesforce: int
    stripe: int
    why: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """One case.

    function: as in the template, without the word Function. events: makes so many, each about something of its own, to be
    handled in turn. least: of what talks to the vendors.
    """

    name: str
    function: str
    events: Callable[[Stage, int], Events]
    least: Least | None = None


class Customers:
    """Contracts that one scenario after the other is about. Their customer exists, and so does all that is sold to it."""

    def __init__(self, here: Stage) -> None:
        self._here = here
        self._entries = [here.entry(price) for price in (10, 20, 30)]
        self._further = here.entry(40)
        self._account = here.account()
        self._orders: list[str] = []
        with here.function("OrderActivation") as activation:
            handled(activation, here.activated(here.sell(self._account, *self._entries, self._further)))

    def _contract(self, order: str) -> str:
        return str(self._here.record("Order", order)["ContractId"])

    def activated(self, here: Stage, number: int) -> Events:
        """New contracts."""
        self._orders = [here.sell(self._account, *self._entries) for _ in range(number)]
        return [here.activated(order) for order in self._orders]

    def of_new_customers(self, here: Stage, number: int) -> Events:
        """The first contracts of new accounts."""
        return [here.activated(here.sell(here.account(), *self._entries)) for _ in range(number)]

    def again(self, here: Stage, number: int) -> Events:
        """Events of what is billed."""
        here.an_hour_later()
        return [here.activated(order) for order in self._orders[:number]]

    def amended(self, here: Stage, number: int) -> Events:
        """Change orders."""
        here.an_hour_later()
        start, lines = (here.today + timedelta(days=90)).isoformat(), here.year(self._further)
        contracts = [self._contract(order) for order in self._orders[:number]]
        orders = [here.order(self._account, contract, *lines, EffectiveDate=start) for contract in contracts]
        return [here.activated(order) for order in orders]

    def changed(self, here: Stage, number: int) -> Events:
        """Lines of which more are sold."""
        here.an_hour_later()
        events = []
        for order in self._orders[:number]:
            line = here.lines_of(order)[0]
            here.salesforce.update("OrderItem", line, {"Quantity": 5})
            events.append(
                here.message("order_item.updated", line, contract_id=self._contract(order), changed_fields=["Quantity"])
            )
        return events

    def compared(self, here: Stage, number: int) -> Events:
        """Contracts whose turn it is, and that are as they should be."""
        here.an_hour_later()
        return [
            here.message("contract.reconcile", self._contract(order), reason="sweep", billed=True)
            for order in self._orders[:number]
        ]

    def cancelled(self, here: Stage, number: int) -> Events:
        """Contracts that end now."""
        here.an_hour_later()
        return [
            here.message("order.cancellation_requested", order, contract_id=self._contract(order), mode="now")
            for order in self._orders[:number]
        ]


class CatalogueEntries:
    """Products and prices that are told of by one side or the other."""

    def __init__(self, here: Stage) -> None:
        self._product = here.api.products.create({"name": f"Product {uuid4().hex[:8]}"}).id
        self._products: list[str] = []

    def products_of_stripe(self, here: Stage, number: int) -> Events:
        """New products."""
        self._products = [here.api.products.create({"name": f"Product {uuid4().hex[:8]}"}).id for _ in range(number)]
        return [here.told_by_stripe("product.created", product, product) for product in self._products]

    def products_changed(self, here: Stage, number: int) -> Events:
        """Those products with other names."""
        for product in self._products[:number]:
            here.api.products.update(product, {"name": f"Product {uuid4().hex[:8]}"})
        return [here.told_by_stripe("product.updated", product, product) for product in self._products[:number]]

    def prices_of_stripe(self, here: Stage, number: int) -> Events:
        """New prices of those products."""
        events = []
        for product in self._products[:number]:
            monthly: Any = {"product": product, "currency": "usd", "unit_amount": 1200, "recurring": {"interval": "month"}}
            events.append(here.told_by_stripe("price.created", here.api.prices.create(monthly).id, product))
        return events

    def products_of_salesforce(self, here: Stage, number: int) -> Events:
        """Those products with other names, given in Salesforce."""
        known = {
            row["Stripe_Product_Id__c"]: row["Id"]
            for row in here.salesforce.query("SELECT Id, Stripe_Product_Id__c FROM Product2")
        }
        found = [known[product] for product in self._products[:number]]
        for product in found:
            here.salesforce.update("Product2", product, {"Name": f"Product {uuid4().hex[:8]}"})
        return [here.message("product.upserted", product, changed_fields=["Name"]) for product in found]

    def prices_of_salesforce(self, here: Stage, number: int) -> Events:
        """Price book entries of products that Stripe has."""
        values: dict[str, Any] = {"Pricebook2Id": here.book, "UnitPrice": 7, "IsActive": True}
        events = []
        for _ in range(number):
            name = f"Product {uuid4().hex[:8]}"
            made = here.api.products.create({"name": name}).id
            product = here.salesforce.create("Product2", {"Name": name, "IsActive": True, "Stripe_Product_Id__c": made})
            entry = here.salesforce.create(
                "PricebookEntry", {**values, "Product2Id": product, "Stripe_Billing_Interval__c": "month"}
            )
            events.append(here.message("pricebook_entry.upserted", entry))
        return events


def accounts(here: Stage, number: int) -> Events:
    """Accounts whose customers exist, and that have moved since."""
    entry = here.entry(10)
    made = [here.account(BillingCity="Here") for _ in range(number)]
    with here.function("OrderActivation") as activation:
        for account in made:
            handled(activation, here.activated(here.sell(account, entry)))
    for account in made:
        here.salesforce.update("Account", account, {"BillingCity": "There"})
    return [here.message("account.upserted", account, changed_fields=["BillingCity"]) for account in made]


def salesforce_requests(here: Stage, number: int) -> Events:
    """Events at Salesforce's route, about an order; nobody takes what is queued."""
    account, entry = here.account(), here.entry(10)
    contract = here.contract(account)
    order = here.order(account, contract, *here.year(entry), activated=False)
    occurred = datetime.now(UTC).isoformat()
    body = {"type": "order.activated", "org_id": here.salesforce.org_id, "record_id": order, "occurred_at": occurred}
    bodies = [{**body, "id": f"benchmark-{uuid4().hex}", "data": {"contract_id": contract}} for _ in range(number)]
    return [here.posted("salesforce_webhook.json", one, here.stack.webhook_secret, "X-Orderphase-Signature") for one in bodies]


def stripe_requests(here: Stage, number: int) -> Events:
    """Events at Stripe's route, about a product that is archived."""
    product = here.api.products.create({"name": "Archived", "active": False})
    secret = here.stack.secrets["StripeSecret"]["STRIPE_WEBHOOK_SECRET"]
    told = next(one for one in here.stripe.objects(STRIPE_ACCOUNT, "event") if one["data"]["object"]["id"] == product.id)
    bodies = [{**told, "id": f"evt_{uuid4().hex}", "request": {"id": None, "idempotency_key": None}} for _ in range(number)]
    return [here.posted("stripe_webhook.json", one, secret, "Stripe-Signature") for one in bodies]


def ticks(here: Stage, number: int) -> Events:  # noqa: ARG001 (nothing has to be there)
    """The clock, while there is nothing to do."""
    return [{}] * number


def scenarios(here: Stage) -> Sequence[Scenario]:
    """All, in the order in which they follow from one another."""
    customers, catalogue = Customers(here), CatalogueEntries(here)
    both = "read, write back"
    amend = Least(2, 2, f"{both}; read, update")
    look = Least(1, 1, "read; read")
    return (
        Scenario("activation", "OrderActivation", customers.activated, Least(2, 1, f"{both}; create")),
        Scenario("nothing to do", "OrderActivation", customers.again, look),
        Scenario("amendment", "OrderActivation", customers.amended, amend),
        Scenario("changed line", "OrderItemUpdate", customers.changed, amend),
        Scenario("contract in step", "Reconciliation", customers.compared, look),
        Scenario("cancellation", "Cancellation", customers.cancelled, Least(2, 2, f"{both}; read, cancel")),
        Scenario(
            "activation, new customer",
            "OrderActivation",
            customers.of_new_customers,
            Least(2, 3, f"{both}; look, create both"),
        ),
        Scenario("product from Stripe", "ProductUpsert", catalogue.products_of_stripe, Least(2, 0, both)),
        Scenario("product changed in Stripe", "ProductUpsert", catalogue.products_changed, Least(2, 0, both)),
        Scenario("price from Stripe", "PriceUpsert", catalogue.prices_of_stripe, Least(2, 0, both)),
        Scenario(
            "product from Salesforce",
            "ProductUpsert",
            catalogue.products_of_salesforce,
            Least(1, 2, "read; read, update"),
        ),
        Scenario("price from Salesforce", "PriceUpsert", catalogue.prices_of_salesforce, Least(2, 2, f"{both}; look, create")),
        Scenario("changed account", "AccountUpsert", accounts, Least(1, 1, "read; update")),
        Scenario("event of Salesforce", "SalesforceWebhook", salesforce_requests),
        Scenario("event of Stripe", "StripeWebhook", stripe_requests),
        Scenario("rolling window, nothing due", "RollingWindow", ticks),
        Scenario("recovery, nothing wrong", "Recovery", ticks),
    )
