"""An independent auditor: what a contract's orders sell from now on, and what Stripe bills for it.

It reads the org's records and Stripe's objects alone. How the product reads, plans and remembers is nothing to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from tests.flows.world import ACCOUNT, World

PERCENT, AMOUNT = "Stripe_Discount_Percent_Off__c", "Stripe_Discount_Amount_Off__c"
METHOD, DAYS = "Stripe_Collection_Method__c", "Stripe_Days_Until_Due__c"

type Off = tuple[str, Decimal] | None
"""A discount: of what (`percent`, `amount`) how much."""

type Item = tuple[str, Decimal, str, Off, int]
"""Product2, amount of one unit, interval, discount, quantity."""


@dataclass(frozen=True)
class Billed:
    """What is billed from `start` to `end`, None = until somebody ends it.

    terms: the discount on all of it, how it is collected, and the days until it is due.
    """

    start: datetime
    end: datetime | None
    items: frozenset[Item]
    terms: tuple[Off, str, int | None]

    def __str__(self) -> str:
        items = ", ".join(
            f"{many} of {product} at {amount} a {every} less {off}"
            for product, amount, every, off, many in sorted(self.items, key=str)
        )
        return f"{self.start:%Y-%m-%d %H:%M:%S}-{self.end and f'{self.end:%Y-%m-%d %H:%M:%S}'}: {items}; {self.terms}"


def sold(here: World, contract: str, ends: datetime | None) -> list[Billed]:
    """What the contract's activated orders sell from now on, change orders carrying the difference; until it `ends`."""
    now, lines = second(here), _lines(here, contract)
    bounds = {bound for one in lines for bound in (one["start"], one["end"]) if bound} | ({ends} if ends else set())
    found: list[Billed] = []
    for start, end in pairwise([*sorted(bounds), None]):
        if start is None or (end and end <= now) or (ends and start >= ends):
            continue
        running = [one for one in lines if one["start"] <= start and (one["end"] is None or start < one["end"])]
        less: Counter[str] = Counter()
        for one in running:
            less[one["OriginalOrderItemId"]] += one["quantity"]
        many: Counter[tuple[str, Decimal, str, Off]] = Counter()
        for one in running:
            if one["OriginalOrderItemId"] is None:
                many[one["Product2Id"], one["amount"], one["every"], one["off"]] += one["quantity"] + less[one["Id"]]
        items = frozenset((*what, quantity) for what, quantity in many.items() if quantity)
        if items:
            first = min((one["Order"] for one in lines), key=lambda order: str(order["OrderNumber"]))
            method = first[METHOD] or "charge_automatically"
            days = int(first[DAYS]) if method == "send_invoice" else None
            found.append(Billed(max(start, now), end, items, (_off(first), method, days)))
    return _joined(found)


def _lines(here: World, contract: str) -> list[dict[str, Any]]:
    """The lines of a contract's activated orders. A reduction lasts as long as what it reduces."""
    of_order = f"Order.OrderNumber, Order.{PERCENT}, Order.{AMOUNT}, Order.{METHOD}, Order.{DAYS}"
    columns = f"Id, Quantity, ServiceDate, EndDate, OriginalOrderItemId, UnitPrice, Product2Id, {PERCENT}, {AMOUNT}, {of_order}"
    rows = here.salesforce.query(
        f"SELECT {columns}, PricebookEntry.Stripe_Billing_Interval__c FROM OrderItem "
        f"WHERE Order.ContractId = '{contract}' AND Order.StatusCode = 'Activated' ORDER BY Id"
    )
    lines = [
        {
            **row,
            "start": midnight(row["ServiceDate"]),
            "end": row["EndDate"] and midnight(row["EndDate"]),
            "quantity": int(row["Quantity"]),
            "amount": Decimal(str(row["UnitPrice"])).normalize(),
            "every": row["PricebookEntry"]["Stripe_Billing_Interval__c"],
            "off": _off(row),
        }
        for row in rows
    ]
    ends = {one["Id"]: one["end"] for one in lines}
    return [{**one, "end": ends.get(one["OriginalOrderItemId"], one["end"])} for one in lines]


def _off(record: dict[str, Any]) -> Off:
    if record[PERCENT]:
        return "percent", Decimal(str(record[PERCENT])).normalize()
    return ("amount", Decimal(str(record[AMOUNT])).normalize()) if record[AMOUNT] else None


def billed(here: World, contract: str) -> list[Billed]:
    """What Stripe bills for a contract from now on, by what each object says itself.

    AssertionError where more than one thing bills, or a phase that runs and its subscription say different things.
    """
    now, stripe = second(here), Stripe(here)
    schedules, subscriptions = stripe.live(contract)
    assert len(schedules) <= 1, f"{contract} has {len(schedules)} live schedules"
    assert len(subscriptions) <= 1, f"{contract} has {len(subscriptions)} live subscriptions"
    running = [Billed(now, None, *stripe.of_subscription(one)) for one in subscriptions]
    if not schedules:
        return running
    (schedule,) = schedules
    assert schedule["subscription"] == (subscriptions[0]["id"] if subscriptions else None)
    phases = [phase for phase in schedule["phases"] if instant(phase["end_date"]) > now]
    found = [
        Billed(max(instant(phase["start_date"]), now), instant(phase["end_date"]), *stripe.of_phase(phase, schedule))
        for phase in phases
    ]
    for subscription in running:
        said = (found[0].items, found[0].terms)
        assert said == (subscription.items, subscription.terms), f"the phase says {found[0]}, the subscription {subscription}"
    if schedule["end_behavior"] == "release":
        found[-1] = replace(found[-1], end=None)
    return _joined(found)


class Stripe:
    """Stripe's objects as they are now."""

    def __init__(self, here: World) -> None:
        kinds = ("price", "product", "coupon", "discount")
        self._held = {kind: {one["id"]: one for one in here.stripe.objects(ACCOUNT, kind)} for kind in kinds}
        self._schedules = here.stripe.objects(ACCOUNT, "subscription_schedule")
        self._subscriptions = here.stripe.objects(ACCOUNT, "subscription")

    def live(self, contract: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The schedules and the subscriptions that bill for a contract. One made by hand is its subscription's."""
        subscriptions = [one for one in self._subscriptions if one["status"] != "canceled" and contract_of(one) == contract]
        ids = {one["id"] for one in subscriptions}
        schedules = [one for one in self._schedules if one["status"] in ("not_started", "active")]
        return [one for one in schedules if contract_of(one) == contract or one["subscription"] in ids], subscriptions

    def of_phase(self, phase: dict[str, Any], schedule: dict[str, Any]) -> tuple[frozenset[Item], tuple[Off, str, int | None]]:
        defaults = schedule["default_settings"]
        items = frozenset(self._item(one["price"], one["quantity"], one["discounts"]) for one in phase["items"])
        method = phase["collection_method"] or defaults["collection_method"]
        settings = phase["invoice_settings"] or defaults["invoice_settings"]
        return items, (self._off(phase["discounts"]), method, settings["days_until_due"] if method == "send_invoice" else None)

    def of_subscription(self, subscription: dict[str, Any]) -> tuple[frozenset[Item], tuple[Off, str, int | None]]:
        items = subscription["items"]["data"]
        found = frozenset(
            self._item(one["price"]["id"], one["quantity"], [{"discount": name} for name in one["discounts"]]) for one in items
        )
        off = self._off([{"discount": name} for name in subscription["discounts"]])
        return found, (off, subscription["collection_method"], subscription["days_until_due"])

    def _item(self, price_id: str, quantity: int, discounts: Sequence[dict[str, Any]]) -> Item:
        price = self._held["price"][price_id]
        product = self._held["product"][price["product"]]["metadata"].get("salesforce_product_id", price["product"])
        amount = (Decimal(price["unit_amount_decimal"]) / 100).normalize()
        return product, amount, price["recurring"]["interval"], self._off(discounts), quantity

    def _off(self, discounts: Sequence[dict[str, Any]]) -> Off:
        if not discounts:
            return None
        (one,) = discounts
        coupon_id = one.get("coupon") or self._held["discount"][one["discount"]]["source"]["coupon"]
        coupon = self._held["coupon"][coupon_id]
        if coupon["percent_off"]:
            return "percent", Decimal(str(coupon["percent_off"])).normalize()
        return "amount", (Decimal(coupon["amount_off"]) / 100).normalize()


def _joined(found: Sequence[Billed]) -> list[Billed]:
    """Neighbours that bill the same as one."""
    joined: list[Billed] = []
    for one in found:
        last = joined[-1] if joined else None
        if last is not None and (last.end, last.items, last.terms) == (one.start, one.items, one.terms):
            joined[-1] = replace(last, end=one.end)
        else:
            joined.append(one)
    return joined


def contract_of(shown: dict[str, Any]) -> str | None:
    """The contract that an object of Stripe's names."""
    found: str | None = shown["metadata"].get("salesforce_contract_id")
    return found


def instant(seconds: int) -> datetime:
    """Unix seconds as an instant."""
    return datetime.fromtimestamp(seconds, UTC)


def second(here: World) -> datetime:
    """The present, as Stripe counts it."""
    return here.clock.now().replace(microsecond=0)


def midnight(day: str | date) -> datetime:
    """When a day begins in UTC."""
    return datetime.combine(date.fromisoformat(str(day)), datetime.min.time(), UTC)
