"""An example of every finding, by really making it: from a snapshot, or by a run in a world of emulators."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from orderphase.cli.plan import plan_situated
from orderphase.domain.account import account_findings
from orderphase.domain.findings import Finding
from orderphase.flows.order_activation import OrderActivation
from orderphase.mapping import FieldMapping
from orderphase.salesforce.snapshot import read_situated
from orderphase.settings import StripeCredentials
from orderphase.stripe.client import StripeConnection
from tests.domain import builders
from tests.flows.deals import MOMENT, Deal, at, contract_in, sold
from tests.flows.world import KEY, ORG, World, world
from tests.org import line as org_line
from tests.predecessors import CPQ, FIELDS, Connector

NOW = "2024-12-15T12:00:00Z"

_EXAMPLES: dict[str, Callable[[], Iterable[Finding]]] = {}


@cache
def example(code: str) -> Finding:
    """The finding of this code as its example makes it. Raises LookupError where there is no example, or it makes another."""
    if code not in _EXAMPLES:
        raise LookupError(f"finding {code} has no example; add one in tests/documents/finding_examples.py")
    found = [one for one in _EXAMPLES[code]() if one.code == code]
    if not found:
        raise LookupError(f"the example of finding {code} does not make it")
    return found[0]


def stable(message: str) -> str:
    """The message without what is drawn anew each time: Stripe's ids, and names of products in the emulated org."""
    message = re.sub(r"\b(cus|price|prod|sub_sched|sub|req)_(?=\w*\d)[A-Za-z0-9]{8,}", r"\1_…", message)
    return re.sub(r"\bProduct [0-9a-f]{8}\b", "Platform", message)


# From a snapshot


def line(number: int, start: str = "2025-01-01", end: str | None = "2026-01-01", **more: Any) -> dict[str, Any]:
    """An order line, as Salesforce shows it."""
    return {
        "Id": f"80200000000000{number}AAA",
        "Quantity": 1,
        "ServiceDate": start,
        "EndDate": end,
        "Stripe_Price_Id__c": "price_A",
        **more,
    }


def order(number: int, *lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An activated order."""
    return {
        "Id": f"80100000000000{number}AAA",
        "OrderNumber": f"0000010{number}",
        "EffectiveDate": min(one["ServiceDate"] for one in lines),
        "ActivatedDate": f"2024-12-0{number}T09:00:00Z",
        "CurrencyIsoCode": "USD",
        "OrderItems": [*lines],
        **more,
    }


def listed(amount: float | None = 10, interval: str | None = "month", **more: Any) -> dict[str, Any]:
    """What a line says that was sold from the price book."""
    entry = {"Id": "01u000000000001AAA", "UnitPrice": amount, "Stripe_Billing_Interval__c": interval}
    product = {"Id": "01t000000000001AAA", "Name": "Seats", "Stripe_Product_Id__c": "prod_A"}
    return {"Stripe_Price_Id__c": None, "UnitPrice": amount, "PricebookEntry": {**entry, "Product2": product, **more}}


def schedule(*items: dict[str, Any], status: str = "active", **more: Any) -> dict[str, Any]:
    """A schedule for the year 2025 that bills one of price_A, for the first order."""
    begin, end = 1735689600, 1767225600
    billed = {"price": "price_A", "quantity": 1, "discounts": [], "metadata": {"salesforce_order_item_ids": line(1)["Id"]}}
    return {
        "id": "sub_sched_A",
        "object": "subscription_schedule",
        "status": status,
        "customer": "cus_A",
        "end_behavior": "cancel",
        "current_phase": {"start_date": begin, "end_date": end} if status == "active" else None,
        "default_settings": {"collection_method": "charge_automatically"},
        "subscription": "sub_A",
        "metadata": {"salesforce_order_id": "801000000000001AAA"},
        "phases": [{"start_date": begin, "end_date": end, "currency": "usd", "discounts": [], "items": [*items] or [billed]}],
        **more,
    }


def snapshot(*orders: dict[str, Any], now: str = NOW, **more: Any) -> list[Finding]:
    """What `orderphase plan` finds."""
    policies = more.pop("policies", {})
    known = {"org_id": ORG, "contract": {"Id": "800000000000001AAA"}, "account": {"Stripe_Customer_Id__c": "cus_A"}}
    given = {"now": now, "orders": orders, "policies": policies, **known, **more}
    made, _ = plan_situated(read_situated(json.dumps(given), FieldMapping()))
    return [*made.findings]


def _snapshots(*orders: dict[str, Any], **more: Any) -> Callable[[], list[Finding]]:
    return lambda: snapshot(*orders, **more)


RUNNING = "2025-03-15T12:00:00Z"
HALF = "2025-07-01"

_EXAMPLES |= {
    "phase_gap": _snapshots(order(1, line(1, end="2025-06-01"), line(2, start=HALF))),
    "property_conflict": _snapshots(
        order(1, line(1), Stripe_Collection_Method__c="send_invoice", Stripe_Days_Until_Due__c=30),
        order(2, line(2, HALF, Stripe_Price_Id__c="price_B"), Stripe_Days_Until_Due__c=60),
    ),
    "quantity_conflict": _snapshots(order(1, line(1)), order(2, line(2, HALF, Quantity=2))),
    "duplicate_line": _snapshots(order(1, line(1)), order(2, line(2, HALF))),
    "negative_quantity": _snapshots(
        order(1, line(1, Quantity=5)),
        order(2, line(2, HALF, Quantity=-6, OriginalOrderItemId=line(1)["Id"]), IsReductionOrder=True),
    ),
    "fractional_quantity": _snapshots(order(1, line(1, Quantity=1.5))),
    "zero_quantity": _snapshots(order(1, line(1), line(2, Quantity=0, Stripe_Price_Id__c="price_B"))),
    "empty_line": _snapshots(order(1, line(1), line(2, HALF, "2025-06-01", Stripe_Price_Id__c="price_B"))),
    "missing_price": _snapshots(order(1, line(1, Stripe_Price_Id__c=None))),
    "discount_conflict": _snapshots(
        order(1, line(1, Stripe_Discount_Percent_Off__c=10, Stripe_Discount_Amount_Off__c=5)),
    ),
    "discount_out_of_range": _snapshots(order(1, line(1, Stripe_Discount_Percent_Off__c=120))),
    "currency_conflict": _snapshots(order(1, line(1)), order(2, line(2, HALF), CurrencyIsoCode="EUR")),
    "interval_conflict": _snapshots(
        order(1, line(1, **listed()), line(2, **listed(7, "week", Id="01u000000000002AAA"))),
    ),
    "too_many_items": _snapshots(
        order(1, *(line(1, Stripe_Price_Id__c=f"price_{n:02}", Id=f"8020000000000{n:02}AAA") for n in range(1, 22)))
    ),
    "invalid_property": _snapshots(order(1, line(1), Stripe_Collection_Method__c="by post")),
    "nothing_to_bill": _snapshots(order(1, line(1, Quantity=0))),
    "end_in_past": _snapshots(order(1, line(1)), now="2026-02-01T00:00:00Z"),
    "start_in_past": _snapshots(order(1, line(1)), now=RUNNING),
    "change_in_past": _snapshots(
        order(1, line(1)),
        order(2, line(2, "2025-02-01", Stripe_Price_Id__c="price_B")),
        now=RUNNING,
        schedule=schedule(),
    ),
    "catch_up_unknown": _snapshots(order(1, line(1)), now=RUNNING, policies={"backdating": "catch_up"}),
    "starts_later": _snapshots(order(1, line(1, HALF)), now=RUNNING, schedule=schedule()),
    "amendment_before_start": _snapshots(
        order(1, line(1)),
        order(2, line(2, "2024-12-20", Stripe_Price_Id__c="price_B")),
        schedule=schedule(status="not_started", subscription=None),
    ),
    "original_not_activated": _snapshots(order(1, line(1), ActivatedDate=None), order(2, line(2, HALF, Quantity=2))),
    "order_withdrawn": _snapshots(
        order(1, line(1), ActivatedDate=None), order(2, line(2, HALF)), now=RUNNING, schedule=schedule()
    ),
    "price_changed": _snapshots(
        order(1, line(1, **listed(10))),
        order(2, line(2, HALF, **listed(12))),
        now=RUNNING,
        schedule=schedule(),
        policies={"quantity_conflict": "latest"},
    ),
    "cancellation_in_past": _snapshots(
        order(1, line(1)), now=RUNNING, schedule=schedule(), cancellation={"mode": "on_date", "date": "2025-03-01"}
    ),
    "cancellation_after_end": _snapshots(
        order(1, line(1)), now=RUNNING, schedule=schedule(), cancellation={"mode": "on_date", "date": "2026-06-01"}
    ),
    "schedule_ended": _snapshots(
        order(1, line(1)), now=RUNNING, schedule=schedule(status="canceled", canceled_at=1740787200, subscription=None)
    ),
    "missing_days_until_due": _snapshots(order(1, line(1), Stripe_Collection_Method__c="send_invoice")),
    "unused_days_until_due": _snapshots(
        order(1, line(1), Stripe_Collection_Method__c="charge_automatically", Stripe_Days_Until_Due__c=30)
    ),
    "missing_interval": _snapshots(order(1, line(1, **listed(interval=None)))),
    "invalid_interval": _snapshots(order(1, line(1, **listed(Stripe_Billing_Interval_Count__c=48)))),
    "invalid_unit_price": _snapshots(order(1, line(1, **listed(amount=-10)))),
    "custom_price": _snapshots(order(1, line(1, **{**listed(10), "UnitPrice": 8})), policies={"custom_pricing": "error"}),
    "price_rounded": _snapshots(
        order(1, line(1, **{**listed(1.5), "UnitPrice": 1.234}), CurrencyIsoCode="KWD"),
    ),
    "term_not_whole": _snapshots(
        order(1, line(1, end="2025-12-20", **{**listed(10), "UnitPrice": 110})), policies={"unit_prices": "per_term"}
    ),
    "created_first": _snapshots(order(1, line(1, **listed())), account=None),
    "missing_account": lambda: account_findings(None, builders.order("00000101", builders.line("a", "2025-01-01", None))),
}


# By a run


def _run(made: Callable[[World], Any], **options: Any) -> Callable[[], list[Finding]]:
    def findings() -> list[Finding]:
        with world(**options) as here:
            return [*made(here).findings]

    return findings


def _new(here: World, account: str | None = None, **fields: Any) -> str:
    """An order under a contract of its own, not synced yet."""
    payer = account or here.account()
    return here.order(payer, here.contract(payer), org_line(here.entry()), **fields)


def _billed(here: World) -> Deal:
    """A contract that is billed since 2026-12-01; it is February."""
    deal = sold(here)
    at(here, "2027-02-10")
    here.run(deal.order)
    here.clock.advance(MOMENT)
    return deal


def _customer(here: World) -> str:
    return str(here.customers()[0]["id"])


def _edited(here: World) -> Any:
    deal = _billed(here)
    item = here.subscription()["items"]["data"][0]["id"]
    here.post_to_stripe(f"/v1/subscriptions/{here.subscription()['id']}", **{"items[0][id]": item, "items[0][quantity]": "9"})
    here.clock.advance(MOMENT)
    return here.run(deal.order)


def _schedule_gone(here: World) -> Any:
    deal = _billed(here)
    here.salesforce.update("Contract", deal.contract, {"Stripe_Subscription_Schedule_Id__c": "sub_sched_gone"})
    return here.run(deal.order)


def _customer_deleted(here: World) -> Any:
    deal = _billed(here)
    here.delete_in_stripe(f"/v1/customers/{_customer(here)}")
    return here.run(deal.order, on_schedule_ended="recreate")


def _no_name(here: World) -> Any:
    account = here.account()
    placed = _new(here, account)
    here.hide_name(account)
    return here.run(placed)


def _repriced(here: World) -> Any:
    deal = sold(here)
    here.salesforce.update("PricebookEntry", deal.entry, {"UnitPrice": 12})
    return here.run(here.order(deal.account, here.contract(deal.account), org_line(deal.entry)))


def _customer_replaced(here: World) -> Any:
    deal = sold(here)
    here.delete_in_stripe(f"/v1/customers/{_customer(here)}")
    return here.run(_new(here, deal.account))


def _second_currency(here: World, **policies: Any) -> Any:
    account = here.account()
    placed = [
        here.order(account, contract_in(here, account, currency), org_line(entry), CurrencyIsoCode=currency)
        for currency in ("GBP", "USD")
        for entry in [here.entry(10, CurrencyIsoCode=currency)]
    ]
    here.run(placed[0])
    here.clock.advance(MOMENT)
    return here.run(placed[1], **policies)


def _not_told(here: World) -> Any:
    deal = sold(here)
    here.salesforce.update("Account", deal.account, {"Phone": "2"})
    here.stripe.inject("refuse", error="402", method="POST", path="/v1/customers/")
    return here.run(_new(here, deal.account))


def _merged(here: World) -> Any:
    deal = sold(here)
    here.salesforce.merge_accounts(here.account(Name="Acme Holding"), deal.account)
    here.clock.advance(MOMENT)
    return here.run(deal.order)


def _moved_account(here: World) -> Any:
    placed = here.order(here.account(), None, org_line(here.entry()))
    here.run(placed)
    here.clock.advance(MOMENT)
    here.salesforce.update("Order", placed, {"Status": "Draft"})
    here.salesforce.update("Order", placed, {"AccountId": here.account(Name="Other Inc")})
    here.salesforce.update("Order", placed, {"Status": "Activated"})
    return here.run(placed)


def _two_stripe_accounts(here: World) -> None:
    here.accounts = {"default": {"STRIPE_API_KEY": KEY}, "uk": {"STRIPE_API_KEY": "sk_test_uk"}}


def _account_unknown(here: World) -> Any:
    _two_stripe_accounts(here)
    return here.run(_new(here, Stripe_Account__c="us"))


def _account_conflict(here: World) -> Any:
    _two_stripe_accounts(here)
    deal = sold(here)
    later = org_line(deal.entry, "2027-12-01", "2028-12-01")
    here.salesforce.update("Order", deal.order, {"Stripe_Account__c": "default"})
    return here.run(deal.change(later, EffectiveDate="2027-12-01", Stripe_Account__c="uk"))


def _account_changed(here: World) -> Any:
    _two_stripe_accounts(here)
    deal = sold(here)
    here.salesforce.update("Order", deal.order, {"Stripe_Account__c": "uk"})
    return here.run(deal.order)


def _key_used(here: World) -> Any:
    reports = []
    for _ in range(2):
        placed = _new(here)
        flow = OrderActivation(here.contract_runs())
        reports.append(flow.run(placed, event_id=placed, org_id=ORG, idempotency_key="order-4711"))
        here.clock.advance(MOMENT)
    return reports[-1]


def _elsewhere(here: World) -> Any:
    deal = _billed(here)
    theirs = here.contract(here.account(Name="Other Inc"))
    here.run(
        here.order(here.record("Contract", theirs)["AccountId"], theirs, org_line(here.entry(), "2027-03-01", "2028-03-01"))
    )
    foreign = here.schedules()[-1]["id"]
    here.salesforce.update("Contract", theirs, {"Stripe_Subscription_Schedule_Id__c": None})
    here.salesforce.update("Contract", deal.contract, {"Stripe_Subscription_Schedule_Id__c": foreign})
    return here.run(deal.order)


def _of_the_connector(here: World, quantity: int = 1, **of_second_half: Any) -> str:
    """An order for a year that Stripe's connector for CPQ bills in two phases, so many of it."""
    here.mapping = FieldMapping().adopting()
    given = StripeCredentials.model_validate({"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": here.stripe_url})
    connector = Connector(here, StripeConnection(given).api)
    account, entry = here.account(), here.entry()
    placed = here.order(account, here.contract(account), org_line(entry, "2026-12-01", "2027-12-01"))
    items = {here.lines_of(placed)[0]: (connector.price(entry), quantity)}
    halves = ("2026-12-01", "2027-06-01", items), ("2027-06-01", "2027-12-01", items)
    connector.schedule(placed, connector.customer(account), *halves, **of_second_half)
    here.clock.advance(MOMENT)
    return placed


def _adopted_from_nowhere(here: World) -> Any:
    placed = _of_the_connector(here)
    here.salesforce.update("Order", placed, {CPQ: "sub_sched_gone"})
    return here.run(placed)


def _items_dropped(here: World) -> Any:
    fee = {"price_data": {"product": "prod_setup", "currency": "usd", "unit_amount": 500}}
    here.post_to_stripe("/v1/products", id="prod_setup", name="Set-up")
    placed = _of_the_connector(here, add_invoice_items=[fee])
    here.salesforce.update("OrderItem", here.lines_of(placed)[0], {"Quantity": 2})
    return here.run(placed, on_drift="repair")


_PACKAGES = {"stripe_package": True, "fields": FIELDS}

_TWO_KEYS = {"keys": {"sk_test_uk": "acct_uk"}}

_EXAMPLES |= {
    "schedule_edited": _run(_edited),
    "schedule_adopted": _run(lambda here: here.run(_of_the_connector(here)), **_PACKAGES),
    "adopted_differs": _run(lambda here: here.run(_of_the_connector(here, 3)), **_PACKAGES),
    "items_dropped": _run(_items_dropped, **_PACKAGES),
    "not_adopted": _run(_adopted_from_nowhere, **_PACKAGES),
    "schedule_missing": _run(_schedule_gone),
    "customer_deleted": _run(_customer_deleted),
    "missing_account_name": _run(_no_name),
    "price_replaced": _run(_repriced),
    "customer_replaced": _run(_customer_replaced),
    "customer_added": _run(lambda here: _second_currency(here, customer_per_currency="create")),
    "customer_currency": _run(_second_currency),
    "customer_missing": _run(lambda here: here.run(_new(here, here.account(Stripe_Customer_Id__c="cus_elsewhere")))),
    "customer_not_updated": _run(_not_told),
    "customer_value": _run(lambda here: here.run(_new(here, here.account(Description="d" * 6000)))),
    "account_merged": _run(_merged),
    "account_changed": _run(_moved_account),
    "stripe_account_unknown": _run(_account_unknown, **_TWO_KEYS),
    "stripe_account_conflict": _run(_account_conflict, **_TWO_KEYS),
    "stripe_account_changed": _run(_account_changed, **_TWO_KEYS),
    "idempotency_key_used": _run(_key_used),
    "billed_elsewhere": _run(_elsewhere),
}
