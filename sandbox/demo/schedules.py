"""Subscription schedules as Stripe shows them, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from stripe import V1Services

from orderphase.domain.calendar import day
from orderphase.domain.money import exponent, price_text
from orderphase.domain.phases import Consolidation
from sandbox.demo.report import Check, Table

_UTC = ZoneInfo("UTC")


def schedule_table(stripe: V1Services, schedule: Mapping[str, Any], title: str = "In Stripe") -> Table:
    """The phases of a schedule, a row for each item."""
    rows = []
    for number, phase in enumerate(schedule["phases"], 1):
        for index, item in enumerate(phase["items"]):
            price = price_of(stripe, item["price"])
            when = (str(number), shown(phase["start_date"]), shown(phase["end_date"])) if index == 0 else ("", "", "")
            rows.append((*when, price["product"]["name"], str(item["quantity"]), amount_of(price)))
    head = ("Phase", "From", "To", "Item", "Quantity", "Price")
    state = f"{schedule['status']}, then {schedule['end_behavior']}" if schedule["current_phase"] else schedule["status"]
    return Table(f"{title}: {schedule['id']} ({state})", head, rows)


def running(schedule: Mapping[str, Any]) -> tuple[int, dict[str, int]]:
    """Since when the phase runs that runs now, and its quantities by price."""
    start = schedule["current_phase"]["start_date"]
    (phase,) = (one for one in schedule["phases"] if one["start_date"] == start)
    return start, quantities(phase)


def quantities(phase: Mapping[str, Any]) -> dict[str, int]:
    """What a phase bills: quantity by price."""
    return {item["price"]: item["quantity"] for item in phase["items"]}


def product_names(stripe: V1Services, schedule: Mapping[str, Any]) -> dict[str, str]:
    """What each price of a schedule is for."""
    prices = {item["price"] for phase in schedule["phases"] for item in phase["items"]}
    return {price: price_of(stripe, price)["product"]["name"] for price in sorted(prices)}


def coupon_places(schedule: Mapping[str, Any]) -> Iterator[tuple[str, str, str | None]]:
    """Where a schedule uses coupons: coupon id, place, and the price where it is for one item.

    Stripe: a discount that runs and is kept by an update is named by its own id, instead of its coupon's.
    """
    for number, phase in enumerate(schedule["phases"], 1):
        for discount in phase["discounts"]:
            yield discount["coupon"] or discount["discount"], f"phase {number}", None
        for item in phase["items"]:
            for discount in item["discounts"]:
                yield discount["coupon"] or discount["discount"], f"phase {number}", item["price"]


def agrees(consolidated: Consolidation, schedules: Sequence[Mapping[str, Any]]) -> Check:
    """Check that the one schedule bills what the order lines ask for, from the moment it was created."""
    wanted = [
        (int(phase.start.timestamp()), phase.end and int(phase.end.timestamp()), {i.price: i.quantity for i in phase.items})
        for phase in consolidated.phases
    ]
    found = [
        (phase["start_date"], phase["end_date"], quantities(phase)) for schedule in schedules for phase in schedule["phases"]
    ]
    # Midnight has passed when the order is activated, so the first phase starts with the schedule itself.
    wanted[:1] = [(max([start, *(one["created"] for one in schedules)]), end, items) for start, end, items in wanted[:1]]
    claim = "Stripe's phases are those of the order lines"
    return Check(claim, wanted == found, f"found {found}, expected {wanted}")


def shown(timestamp: int) -> str:
    """A Unix time for a person, in UTC."""
    return day(datetime.fromtimestamp(timestamp, UTC), _UTC)


def price_of(stripe: V1Services, price_id: str) -> Mapping[str, Any]:
    """A price with its product."""
    return stripe.prices.retrieve(price_id, {"expand": ["product"]}).to_dict()


def amount_of(price: Mapping[str, Any]) -> str:
    """What a price comes to, for a person."""
    currency = price["currency"].upper()
    amount = Decimal(price["unit_amount_decimal"]).scaleb(-exponent(currency))
    return f"{price_text(amount, currency)} {currency} a {price['recurring']['interval']}"
