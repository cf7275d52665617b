"""Runs that are disturbed, and what must be left of them in the end: the same as of a run that nobody disturbs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from orderphase.domain.cancellation import CancellationRequest
from orderphase.errors import OrderphaseError
from orderphase.flows.cancellation import Cancellation
from orderphase.flows.contract_runs import ContractRuns
from orderphase.flows.order_activation import OrderActivation
from orderphase.flows.order_item_update import OrderItemUpdate
from orderphase.flows.runs import Report
from sandbox.serving import LoggedRequest
from tests.flows.deals import MOMENT, at, contract_in, day, sold
from tests.flows.world import ACCOUNT, ORG, World, operation_of, world
from tests.org import line

DELIVERIES = 4
"""So often an event may come until its run must have gone through."""

type Event = Callable[[ContractRuns], Report]


@dataclass(frozen=True)
class Scenario:
    """What has happened before, and the event whose run is disturbed. `prepare` answers the contract and the event.

    policies: under which it runs.
    """

    name: str
    prepare: Callable[[World], tuple[str, Event]]
    policies: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.name

    def runs(self, here: World) -> ContractRuns:
        """A new environment for a run."""
        policies: dict[str, Any] = dict(self.policies)
        return here.contract_runs(**policies)


def activation(order: str) -> Event:
    return lambda runs: OrderActivation(runs).run(order, event_id=f"event-{order}", org_id=ORG)


def first_order(here: World, start: str = "2026-12-01") -> tuple[str, Event]:
    """An order whose run makes every kind of call."""
    account, entry, other = here.account(), here.entry(), here.entry()
    contract = here.contract(account)
    lines = line(entry, start), line(other, "2027-05-01")
    order = here.order(account, contract, *lines, EffectiveDate=start, Stripe_Discount_Percent_Off__c=10)
    return contract, activation(order)


def first_order_today(here: World) -> tuple[str, Event]:
    """Its subscription runs and its first coupon is used up when the next run looks."""
    return first_order(here, "2026-11-20")


def change_order(here: World) -> tuple[str, Event]:
    """A running contract with a discount gets a new product, at a discount too, which it should have had for some days."""
    deal = sold(here, Stripe_Discount_Percent_Off__c=10)
    at(here, "2027-02-10")
    lines = line(here.entry(), "2027-02-01", Stripe_Discount_Percent_Off__c=20), line(deal.entry, "2027-12-01", "2028-12-01")
    return deal.contract, activation(deal.change(*lines, EffectiveDate="2027-02-01"))


def line_edit(here: World) -> tuple[str, Event]:
    """The second line should have begun already: the phase that runs ends now."""
    account = here.account()
    contract = here.contract(account)
    order = here.order(account, contract, line(here.entry()), line(here.entry(), "2027-05-01"))
    here.run(order)
    at(here, "2027-02-10")
    item = here.lines_of(order)[1]
    here.salesforce.update("OrderItem", item, {"ServiceDate": "2027-02-01"})

    def event(runs: ContractRuns) -> Report:
        return OrderItemUpdate(runs, here.mapping.order_item).run(item, event_id="edit", org_id=ORG)

    return contract, event


def cancellation(here: World) -> tuple[str, Event]:
    """A contract of two orders ends now."""
    deal = sold(here)
    at(here, "2027-02-10")
    here.run(deal.change(line(deal.entry, "2027-12-01", "2028-12-01"), EffectiveDate="2027-12-01"))
    here.clock.advance(MOMENT)
    asked = CancellationRequest(prorate=True)
    return deal.contract, lambda runs: Cancellation(runs).run(deal.order, event_id="cancel", org_id=ORG, request=asked)


def taking_over(here: World) -> tuple[str, Event]:
    """The schedule has let its open subscription go long ago when a change order comes."""
    deal = sold(here, end=None)
    at(here, "2029-02-10")
    second = deal.change(line(here.entry(), "2028-12-01", None, Stripe_Discount_Percent_Off__c=20), EffectiveDate="2028-12-01")
    return deal.contract, activation(second)


def custom_prices(here: World) -> tuple[str, Event]:
    """Two lines are sold at one price that no price book has, and a third at another."""
    account, entry = here.account(), here.entry()
    contract = here.contract(account)
    lines = (
        line(entry, UnitPrice=9),
        line(entry, "2027-12-01", "2028-12-01", UnitPrice=9),
        line(here.entry(), UnitPrice=Decimal("7.5")),
    )
    return contract, activation(here.order(account, contract, *lines))


def changed_book(here: World) -> tuple[str, Event]:
    """The price book has another amount when a change order comes, and the account another phone number and city."""
    deal = sold(here)
    here.salesforce.update("PricebookEntry", deal.entry, {"UnitPrice": 12})
    here.salesforce.update("Account", deal.account, {"Phone": "+49 30 1234", "BillingCity": "Bonn"})
    later = line(deal.entry, "2027-12-01", "2028-12-01", UnitPrice=12)
    return deal.contract, activation(deal.change(later, EffectiveDate="2027-12-01"))


def deleted_customer(here: World) -> tuple[str, Event]:
    """The account's customer was deleted in Stripe, with all that it was billed."""
    deal = sold(here)
    here.delete_in_stripe(f"/v1/customers/{here.schedule()['customer']}")
    here.salesforce.update("Account", deal.account, {"Phone": "+49 30 1234"})
    contract = here.contract(deal.account)
    return contract, activation(here.order(deal.account, contract, line(deal.entry)))


def second_currency(here: World) -> tuple[str, Event]:
    """The account is billed in US dollars when something is sold to it in euros."""
    deal = sold(here)
    contract, euros = contract_in(here, deal.account, "EUR"), here.entry(9, CurrencyIsoCode="EUR")
    return contract, activation(here.order(deal.account, contract, line(euros), CurrencyIsoCode="EUR"))


FIRST_ORDER = Scenario("first order", first_order)
FIRST_ORDER_TODAY = Scenario("first order today", first_order_today)
LATER = [
    Scenario("change order", change_order),
    Scenario("line edit", line_edit),
    Scenario("cancellation", cancellation),
    Scenario("taking over", taking_over),
    Scenario("custom prices", custom_prices),
    Scenario("changed book", changed_book),
    Scenario("deleted customer", deleted_customer),
    Scenario("deleted customer that is told nothing", deleted_customer, (("customer_update", "never"),)),
    Scenario("second currency", second_currency, (("customer_per_currency", "create"),)),
    Scenario("taking over and catching up", taking_over, (("backdating", "catch_up"),)),
    Scenario("catching up", change_order, (("backdating", "catch_up"),)),
]


# What is left


def state(here: World, contract: str) -> dict[str, Any]:
    """What is left in Stripe and Salesforce, and whether they agree. Where the moment of the run counts, it says `now`."""
    kinds = ("customer", "product", "price", "coupon", "subscription_schedule", "subscription")
    schedules = here.schedules()
    orders = here.salesforce.query(
        "SELECT Stripe_Sync_Status__c, Stripe_Sync_Message__c, Stripe_Subscription_Schedule_Id__c, Stripe_Subscription_Id__c "
        f"FROM Order WHERE ContractId = '{contract}' ORDER BY Id"
    )
    record = here.record("Contract", contract)
    ids = [(each["Stripe_Subscription_Schedule_Id__c"], each["Stripe_Subscription_Id__c"]) for each in (record, *orders)]
    last = schedules[-1]
    entries = here.salesforce.query(
        "SELECT Id, UnitPrice, Stripe_Price_Id__c, Product2Id, Product2.Stripe_Product_Id__c FROM PricebookEntry"
    )
    prices, ledger, facts = {one["id"]: one for one in _recurring(here)}, here.ledger(contract), here.remembered()
    named = [(entry, prices[entry["Stripe_Price_Id__c"]]) for entry in entries if entry["Stripe_Price_Id__c"]]
    customers = {
        record["Stripe_Customer_Id__c"] for record in here.salesforce.query("SELECT Stripe_Customer_Id__c FROM Account")
    }
    customers |= {one for key, fact in facts.items() if "|account|" in key for one in fact.values()}
    return {
        "objects": {kind: len(here.stripe.objects(ACCOUNT, kind)) for kind in kinds},
        "schedules": [(one["status"], one["end_behavior"], *map(_phase, one["phases"])) for one in schedules],
        "subscriptions": [
            (one["status"], [(item["quantity"], len(item["discounts"])) for item in one["items"]["data"]])
            for one in here.stripe.objects(ACCOUNT, "subscription")
        ],
        "one-time items": len(here.stripe.invoice_items(ACCOUNT)),
        "orders": [(one["Stripe_Sync_Status__c"], _timeless(one["Stripe_Sync_Message__c"])) for one in orders],
        "ids": set(ids) == {(last["id"], last["subscription"] or last["released_subscription"])},
        "customer": customers == {one["id"] for one in here.customers()} and last["customer"] in customers,
        "customers": [(one["phone"], one["address"], sorted(one["metadata"])) for one in here.customers()],
        "told": facts[f"default|customer|{last['customer']}"]["told"]
        if f"default|customer|{last['customer']}" in facts
        else {},
        "prices": {price["lookup_key"] for _, price in named} == {f"salesforce_{ORG}_{entry['Id']}" for entry, _ in named}
        and all(price["unit_amount"] == entry["UnitPrice"] * 100 for entry, price in named)
        and all(facts[f"default|entry|{entry['Id']}"]["price_id"] == price["id"] for entry, price in named),
        "amounts": sorted((one["unit_amount"], one["lookup_key"] is None, len(one["metadata"])) for one in prices.values()),
        "products": {one["Product2"]["Stripe_Product_Id__c"] for one in entries} == {one["product"] for one in prices.values()},
        "ledger": (ledger["intent"]["state"], len(ledger["intent"]["orders"]), ledger["intent"].get("ends_at") is None),
        "lease": "free" if ledger["lease_until"] <= here.clock.now().timestamp() else "held",
        "log": here.log_entries()[-1]["outcome"] in ("synced", "unchanged"),
    }


def _phase(phase: dict[str, Any]) -> Any:
    times = ["now" if ":" in day(phase[name]) else day(phase[name]) for name in ("start_date", "end_date")]
    return (*times, [(item["quantity"], len(item["discounts"])) for item in phase["items"]], len(phase["discounts"]))


def _timeless(message: str | None) -> str | None:
    """A message without the numbers that depend on the day of the run, and without ids."""
    return message and re.sub(r"[\d-]+", "#", re.sub(r"(sub_sched|price|cus)_\w+|Product \w+", "…", message))


def _recurring(here: World) -> list[dict[str, Any]]:
    return [price for price in here.stripe.objects(ACCOUNT, "price") if price["recurring"]]


def deliver(here: World, scenario: Scenario, event: Event) -> list[OrderphaseError]:
    """Deliver the event until a run goes through, each time to a new environment; answers what went wrong."""
    wrong: list[OrderphaseError] = []
    for _ in range(DELIVERIES):
        try:
            event(scenario.runs(here))
        except OrderphaseError as problem:
            wrong.append(problem)
            here.clock.advance(timedelta(minutes=3))
        else:
            return wrong
    raise AssertionError(f"no run went through: {wrong}")


# What goes wrong


class KilledError(BaseException):
    """The process ends here: nothing catches it, nothing is cleaned up."""


class Mortal:
    """Stands before a collaborator, and kills the process before or after one of its calls."""

    def __init__(self, inner: Any, step: Callable[[str, Callable[[], Any]], Any]) -> None:
        self._inner, self._step = inner, step

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        if not callable(member):
            return member
        return lambda *args, **kwargs: self._step(name, lambda: member(*args, **kwargs))


def mortal(
    runs: ContractRuns, at: int, *, after: bool, end: type[BaseException] = KilledError
) -> tuple[ContractRuns, list[str]]:
    """The collaborators of a run that is killed before or after its remote call number `at`; and the calls that it has made.

    end: what comes instead, if the process is not killed but the call fails.
    """
    made: list[str] = []

    def step(name: str, call: Callable[[], Any]) -> Any:
        if len(made) > at and end is KilledError:
            raise end  # a dead process does not clean up
        made.append(name)
        if len(made) - 1 != at:
            return call()
        if after:
            call()
        raise end(name)

    facts, connection = runs._facts, runs.stripe.connection(runs.stripe.default)
    request: Any = connection.call
    connection.call = lambda *args, **kwargs: step(  # type: ignore[method-assign]  # stands before the real one
        operation_of(args[0]), lambda: request(*args, **kwargs)
    )
    parts: Any = runs
    parts._facts = lambda account: Mortal(facts(account), lambda name, call: step(f"facts.{name}", call))
    for owner, name in (
        (runs, "contracts"),
        (runs._back, "contracts"),
        (runs, "table"),
        (runs, "_salesforce_accounts"),
        (runs._runs, "_log"),
    ):
        setattr(owner, name, Mortal(getattr(owner, name), step))
    return runs, made


@dataclass(frozen=True)
class Undisturbed:
    """A run with which nothing goes wrong: its requests to Stripe and to Salesforce, its remote calls, and what it leaves."""

    stripe: list[str]
    salesforce: list[str]
    calls: list[str]
    left: dict[str, Any]


@cache
def undisturbed(scenario: Scenario) -> Undisturbed:
    """Let a scenario run in a world of its own; there can be no other one meanwhile."""
    with world() as here:
        contract, event = scenario.prepare(here)
        here.forget_calls()
        runs, made = mortal(scenario.runs(here), 10_000, after=False)
        assert event(runs).outcome == "synced"
        return Undisturbed(_named(here.stripe.log), _named(here.salesforce.log), made, state(here, contract))


def _named(log: list[LoggedRequest]) -> list[str]:
    paths = (re.sub(r"/(sub|sub_sched|price|cus)_\w+", "/:id", call.path.partition("?")[0]) for call in log)
    return [f"{call.method} {path}" for call, path in zip(log, paths, strict=True)]
