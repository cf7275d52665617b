"""Contracts to try: few prices, dates and values, so that lines often meet, agree and conflict."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st

from orderphase.domain.lines import Order, OrderLine
from orderphase.domain.policies import Policies
from tests.domain.builders import entry

thorough = settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "domain"))
"""Decorates a property."""

START = datetime(2025, 1, 1, tzinfo=UTC)
MONTHS = 8
ZONES = ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "Africa/Cairo", "Asia/Beirut", "America/Sao_Paulo"]

# Only Stripe knows how often A to D are billed; the others come from price books.
POOLS = [["A"], ["A", "B"], ["A", "B", "C", "D"], ["A", "monthly", "yearly"], ["monthly", "weekly"]]
ENTRIES = {"monthly": entry("monthly"), "yearly": entry("yearly", "year"), "weekly": entry("weekly", "week")}


@dataclass(frozen=True)
class Offer:
    """What the lines of one contract choose from."""

    prices: list[str | None]
    quantities: list[int]
    discounts: list[str | None]
    states: list[int | None]


def policies(*choices: str) -> st.SearchStrategy[Policies]:
    return st.builds(
        Policies,
        quantity_conflict=st.sampled_from(choices or ("error", "sum", "latest")),
        billing_mode=st.sampled_from(["flexible", "flexible", "classic"]),
        time_zone=st.sampled_from(ZONES),
    )


@st.composite
def offers(draw: st.DrawFn, *, quiet: bool) -> Offer:
    if quiet:
        return Offer(
            prices=[*draw(st.sampled_from(POOLS[:4]))],
            quantities=[draw(st.integers(1, 3))],
            discounts=[draw(st.sampled_from([None, "10", "5.00"]))],
            states=[None, draw(st.sampled_from([1, 2]))],
        )
    pool = draw(st.sampled_from(POOLS))
    return Offer(
        prices=draw(st.sampled_from([[*pool], [*pool], [*pool, *pool, None]])),
        quantities=draw(st.sampled_from([[1], [1, 2], [1, 2, 3], [1, 1, 2, -1], [1, 1, 2, 0]])),
        discounts=draw(st.sampled_from([[None], [None], [None, "10", "5.00"]])),
        states=draw(st.sampled_from([[None], [None], [None, 1, 2]])),
    )


@st.composite
def contracts(draw: st.DrawFn, *, quiet: bool = False, reductions: bool = True) -> list[Order]:
    """Orders of one contract. In `quiet` ones nothing is wrong with a line by itself, and lines agree with each other."""
    offer = draw(offers(quiet=quiet))
    orders: list[Order] = []
    names = draw(st.permutations(range(40)))
    for number in range(draw(st.integers(1, 4))):
        lines = [draw(_line(f"802-{names.pop():02}", offer)) for _ in range(draw(st.integers(0, 5)))]
        orders.append(_order(draw, number, names.pop(), offer.states, lines))
    if reductions and draw(st.booleans()):
        orders.append(_reductions(draw, names, orders))
    return draw(st.permutations(orders))


@st.composite
def _line(draw: st.DrawFn, name: str, offer: Offer) -> OrderLine:
    start = draw(st.integers(0, MONTHS - 2))
    end = draw(st.sampled_from([None, *range(start + 1, MONTHS)]))
    price, discount = draw(st.sampled_from(offer.prices)), draw(st.sampled_from(offer.discounts))
    return OrderLine(
        id=name,
        quantity=Decimal(draw(st.sampled_from(offer.quantities))),
        start=month(start),
        end=None if end is None else month(end),
        price_id=None if price in ENTRIES else price,
        entry=ENTRIES.get(price or ""),
        percent_off=Decimal(discount) if discount == "10" else None,
        amount_off=Decimal(discount) if discount == "5.00" else None,
    )


def _order(draw: st.DrawFn, number: int, name: int, states: list[int | None], lines: list[OrderLine]) -> Order:
    methods = {None: None, 1: "send_invoice", 2: "charge_automatically"}
    days, percent, method = (draw(st.sampled_from(states)) for _ in range(3))
    return Order(
        id=f"801-{name:02}",
        number=f"{draw(st.integers(0, 2))}-{number}",
        effective=date(2025, draw(st.integers(1, 3)), 1),
        activated=draw(st.sampled_from([None, START, month(1)])),
        currency="USD",
        collection_method=methods[method],
        days_until_due=None if days is None else Decimal(days * 30),
        percent_off=None if percent is None else Decimal(percent * 10),
        lines=tuple(lines),
    )


def _reductions(draw: st.DrawFn, names: list[int], orders: list[Order]) -> Order:
    originals = [line for order in orders for line in order.lines if line.quantity >= 0]
    lines = [
        OrderLine(
            id=f"802-{names.pop():02}",
            quantity=Decimal(draw(st.sampled_from([-1, -1, -1, -2]))),
            start=month(draw(st.integers(0, MONTHS - 1))),
            end=None,
            reduces=draw(st.sampled_from(originals)).id,
        )
        for _ in range(draw(st.integers(1, 3)) if originals else 0)
    ]
    return replace(_order(draw, 9, names.pop(), [None], lines), is_reduction=draw(st.booleans()))


def month(number: int) -> datetime:
    """Some day about so many months after the start."""
    return START + timedelta(days=30 * number)
