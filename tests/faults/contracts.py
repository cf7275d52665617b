"""Contracts: everything that can come of an activated order, a changed line, a cancellation, or nothing but time."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import pairwise
from typing import Any

from tests.faults.scenarios import Case, Message, Scenario
from tests.faults.stage import Stage
from tests.flows.deals import MOMENT, at, contract_in, day, sold
from tests.flows.world import ACCOUNT, ORG
from tests.org import line
from tests.predecessors import seconds


def event(kind: str, record: str, **data: Any) -> dict[str, Any]:
    """An event of the org."""
    named = {"id": f"event-{record}", "type": kind, "org_id": ORG, "record_id": record}
    return named | {"occurred_at": "2026-11-20T10:00:00Z", "data": data}


def case(here: Stage, contract: str, function: str, body: dict[str, Any]) -> Case:
    """A message about a contract."""
    return Case(Message(function, body), lambda: state(here, contract), contract=contract)


def activation(here: Stage, contract: str, order: str, **data: Any) -> Case:
    """An activated order."""
    return case(here, contract, "order_activation", event("order.activated", order, **data))


def first_order(here: Stage, start: str = "2026-12-01") -> Case:
    """An order whose run makes every kind of call."""
    account, entry, other = here.account(), here.entry(), here.entry()
    contract = here.contract(account)
    lines = line(entry, start), line(other, "2027-05-01")
    order = here.order(account, contract, *lines, EffectiveDate=start, Stripe_Discount_Percent_Off__c=10)
    return activation(here, contract, order)


def first_order_today(here: Stage) -> Case:
    """Its subscription runs and its first coupon is used up when the next run looks. A day later it would start then."""
    return first_order(here, "2026-11-20")


def change_order(here: Stage) -> Case:
    """A running contract with a discount gets a new product, at a discount too, which it should have had for some days."""
    deal = sold(here, Stripe_Discount_Percent_Off__c=10)
    at(here, "2027-02-10")
    lines = line(here.entry(), "2027-02-01", Stripe_Discount_Percent_Off__c=20), line(deal.entry, "2027-12-01", "2028-12-01")
    return activation(here, deal.contract, deal.change(*lines, EffectiveDate="2027-02-01"))


def line_edit(here: Stage) -> Case:
    """The second line should have begun already: the phase that runs ends now."""
    account = here.account()
    contract = here.contract(account)
    order = here.order(account, contract, line(here.entry()), line(here.entry(), "2027-05-01"))
    here.run(order)
    at(here, "2027-02-10")
    item = here.lines_of(order)[1]
    here.salesforce.update("OrderItem", item, {"ServiceDate": "2027-02-01"})
    return case(here, contract, "order_item_update", event("order_item.updated", item, changed_fields=["ServiceDate"]))


def cancellation(here: Stage) -> Case:
    """A contract of two orders ends now."""
    deal = sold(here)
    at(here, "2027-02-10")
    here.run(deal.change(line(deal.entry, "2027-12-01", "2028-12-01"), EffectiveDate="2027-12-01"))
    here.clock.advance(MOMENT)
    asked = event("order.cancellation_requested", deal.order, mode="now", prorate=True)
    return case(here, deal.contract, "cancellation", asked)


def later_cancellation(here: Stage) -> Case:
    """A contract is cancelled for a day to come."""
    deal = sold(here)
    at(here, "2027-02-10")
    asked = event("order.cancellation_requested", deal.order, mode="on_date", date="2027-06-01")
    return case(here, deal.contract, "cancellation", asked)


def adopting(here: Stage) -> Case:
    """Another product bills the contract already, by a schedule that names the order."""
    deal = sold(here)
    contract = here.contract(deal.account)
    order = here.order(deal.account, contract, line(deal.entry))
    price = here.record("PricebookEntry", deal.entry)["Stripe_Price_Id__c"]
    phase = {"[end_date]": str(seconds("2027-12-01")), "[items][0][price]": price, "[items][0][quantity]": "1"}
    here.post_to_stripe(
        "/v1/subscription_schedules",
        customer=here.schedule()["customer"],
        start_date=str(seconds("2026-12-01")),
        end_behavior="cancel",
        **{"metadata[salesforce_order_id]": order},
        **{f"phases[0]{name}": value for name, value in phase.items()},
    )
    here.clock.advance(MOMENT)
    return activation(here, contract, order)


def taking_over(here: Stage) -> Case:
    """The schedule has let its open subscription go long ago when a change order comes."""
    deal = sold(here, end=None)
    at(here, "2029-02-10")
    second = deal.change(line(here.entry(), "2028-12-01", None, Stripe_Discount_Percent_Off__c=20), EffectiveDate="2028-12-01")
    return activation(here, deal.contract, second)


def custom_prices(here: Stage) -> Case:
    """Two lines are sold at one price that no price book has, and a third at another."""
    account, entry = here.account(), here.entry()
    contract = here.contract(account)
    lines = (
        line(entry, UnitPrice=9),
        line(entry, "2027-12-01", "2028-12-01", UnitPrice=9),
        line(here.entry(), UnitPrice=Decimal("7.5")),
    )
    return activation(here, contract, here.order(account, contract, *lines))


def changed_book(here: Stage) -> Case:
    """The price book has another amount when a change order comes, and the account another phone number and city."""
    deal = sold(here)
    here.salesforce.update("PricebookEntry", deal.entry, {"UnitPrice": 12})
    here.salesforce.update("Account", deal.account, {"Phone": "+49 30 1234", "BillingCity": "Bonn"})
    later = line(deal.entry, "2027-12-01", "2028-12-01", UnitPrice=12)
    return activation(here, deal.contract, deal.change(later, EffectiveDate="2027-12-01"))


def deleted_customer(here: Stage) -> Case:
    """The account's customer was deleted in Stripe, with all that it was billed."""
    deal = sold(here)
    here.delete_in_stripe(f"/v1/customers/{here.schedule()['customer']}")
    here.salesforce.update("Account", deal.account, {"Phone": "+49 30 1234"})
    contract = here.contract(deal.account)
    return activation(here, contract, here.order(deal.account, contract, line(deal.entry)))


def second_currency(here: Stage) -> Case:
    """The account is billed in US dollars when something is sold to it in euros."""
    deal = sold(here)
    contract, euros = contract_in(here, deal.account, "EUR"), here.entry(9, CurrencyIsoCode="EUR")
    return activation(here, contract, here.order(deal.account, contract, line(euros), CurrencyIsoCode="EUR"))


def due(here: Stage) -> Case:
    """A contract of more phases than Stripe takes needs its next ones."""
    contract, order = ramp(here)
    return activation(here, contract, order, contract_due=True)


def ramp(here: Stage) -> tuple[str, str]:
    """A contract whose quantity grows each month, and its order, when the next phases are due."""
    account = here.account()
    contract, entry = here.contract(account), here.entry()
    starts = [f"{2026 + (11 + month) // 12}-{(11 + month) % 12 + 1:02}-01" for month in range(15)]
    lines = [line(entry, start, end, Quantity=number) for number, (start, end) in enumerate(pairwise(starts), 1)]
    order = here.order(account, contract, *lines)
    assert here.run(order).outcome == "synced"
    at(here, starts[5])
    return contract, order


def reconcile(here: Stage, contract: str, **data: Any) -> Case:
    """A contract that is to be looked at."""
    return case(here, contract, "reconciliation", event("contract.reconcile", contract, **data))


def missed_order(here: Stage) -> Case:
    """A change order whose event has not come."""
    deal = sold(here)
    at(here, "2027-02-10")
    order = deal.change(line(here.entry(), "2027-03-01", Stripe_Discount_Percent_Off__c=20), EffectiveDate="2027-03-01")
    return reconcile(here, deal.contract, reason="poll", order_id=order)


def drift(here: Stage) -> Case:
    """Somebody has changed the schedule in Stripe."""
    deal = sold(here)
    schedule = here.schedule()
    (phase,) = schedule["phases"]
    changed = {"items[0][price]": phase["items"][0]["price"], "items[0][quantity]": "7"}
    changed |= {name: str(phase[name]) for name in ("start_date", "end_date")}
    phases = {re.sub(r"^(\w+)", r"phases[0][\1]", name): value for name, value in changed.items()}
    here.post_to_stripe(f"/v1/subscription_schedules/{schedule['id']}", **phases)
    here.clock.advance(MOMENT)
    return reconcile(here, deal.contract, reason="stripe")


def account_change(here: Stage) -> Case:
    """An account that is billed in two currencies has moved."""
    deal = sold(here)
    euros = here.entry(9, CurrencyIsoCode="EUR")
    second = here.order(deal.account, contract_in(here, deal.account, "EUR"), line(euros), CurrencyIsoCode="EUR")
    assert here.run(second, customer_per_currency="create").outcome == "synced"
    here.clock.advance(MOMENT)
    here.salesforce.update("Account", deal.account, {"Phone": "+49 30 1234", "BillingCity": "Bonn"})
    told = event("account.upserted", deal.account, changed_fields=["Phone", "BillingCity"])

    def left() -> Any:
        facts = sorted(key for key in here.remembered() if "|customer|" in key)
        known = [here.remembered()[key] for key in facts]
        return [(one["phone"], one["address"], sorted(one["metadata"])) for one in here.customers()], len(known), known

    return Case(Message("account_upsert", told), left)


_CATCH_UP = {"ORDERPHASE_BACKDATING": "catch_up"}
_FLOW = "order activation"

SCENARIOS = (
    Scenario(_FLOW, "first order", first_order, pairs=True),
    Scenario(_FLOW, "first order today", first_order_today, days=False),
    Scenario(_FLOW, "change order", change_order, pairs=True),
    Scenario(_FLOW, "taking over", taking_over),
    Scenario(_FLOW, "adopting", adopting, {"ORDERPHASE_ADOPT_EXISTING": "on"}),
    Scenario(_FLOW, "custom prices", custom_prices),
    Scenario(_FLOW, "changed book", changed_book),
    Scenario(_FLOW, "deleted customer", deleted_customer),
    Scenario(_FLOW, "deleted customer that is told nothing", deleted_customer, {"ORDERPHASE_CUSTOMER_UPDATE": "never"}),
    Scenario(_FLOW, "second currency", second_currency, {"ORDERPHASE_CUSTOMER_PER_CURRENCY": "create"}),
    Scenario(_FLOW, "catching up", change_order, _CATCH_UP),
    Scenario(_FLOW, "taking over and catching up", taking_over, _CATCH_UP),
    Scenario(_FLOW, "next phases", due),
    Scenario("order item update", "line edit", line_edit),
    Scenario("cancellation", "cancellation", cancellation, pairs=True),
    Scenario("cancellation", "later cancellation", later_cancellation),
    Scenario("reconciliation", "missed order", missed_order),
    Scenario("reconciliation", "drift", drift, {"ORDERPHASE_ON_DRIFT": "repair"}),
    Scenario(
        "account upsert",
        "account change",
        account_change,
        {"ORDERPHASE_CUSTOMER_UPDATE": "on_account_change", "ORDERPHASE_CUSTOMER_PER_CURRENCY": "create"},
    ),
)


def state(here: Stage, contract: str) -> dict[str, Any]:
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
        "names": last["metadata"].get("salesforce_contract_id") == contract,
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
    }


def _phase(phase: dict[str, Any]) -> Any:
    times = ["now" if ":" in day(phase[name]) else day(phase[name]) for name in ("start_date", "end_date")]
    return (*times, [(item["quantity"], len(item["discounts"])) for item in phase["items"]], len(phase["discounts"]))


def _timeless(message: str | None) -> str | None:
    """A message without the numbers that depend on the day of the run, and without ids.

    That a schedule was adopted, only the run can tell that has done it; what comes after an answer was lost finds it ours.
    """
    if message and "is adopted" in message:
        return None
    return message and re.sub(r"[\d-]+", "#", re.sub(r"(sub_sched|price|cus)_\w+|Product \w+", "…", message))


def _recurring(here: Stage) -> list[dict[str, Any]]:
    return [price for price in here.stripe.objects(ACCOUNT, "price") if price["recurring"]]
