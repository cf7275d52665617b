"""Histories of one contract: what was sold first, and how it changes while time goes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from orderphase.domain.catalogue import PriceBookEntry, Product
from orderphase.domain.lines import Order, OrderLine
from orderphase.domain.policies import Policies

PRICES = ["A", "B", "C"]
UNIT_PRICES = [Decimal(10), Decimal("9.00"), Decimal(9), Decimal("33.333")]
"""What a line that names no Stripe price may be sold at. The price books begin with the first."""

SLOTS = 36
"""Half months in which lines start and end."""

DISCOUNTS: list[dict[str, Any]] = [
    {"percent_off": None, "amount_off": None},
    {"percent_off": Decimal(10), "amount_off": None},
    {"percent_off": Decimal("12.5"), "amount_off": None},
    {"percent_off": None, "amount_off": Decimal(3)},
]
COLLECTIONS: list[dict[str, Any]] = [
    {"collection_method": None, "days_until_due": None},
    {"collection_method": "charge_automatically", "days_until_due": None},
    {"collection_method": "send_invoice", "days_until_due": Decimal(30)},
    {"collection_method": "send_invoice", "days_until_due": Decimal(60)},
]


@dataclass(frozen=True)
class Change:
    """One change of a contract; the numbers mean something else for each kind."""

    kind: str
    which: int
    value: int
    slot: int


@dataclass(frozen=True)
class Step:
    """So much time goes by, then all of these changes have been made."""

    wait: timedelta
    changes: tuple[Change, ...]


def slot(number: int) -> datetime:
    """The 1st or the 16th of a month; 0 is 2025-01-01."""
    month = number // 2
    return datetime(2025 + month // 12, month % 12 + 1, 1 + 15 * (number % 2), tzinfo=UTC)


def changes(*kinds: str) -> st.SearchStrategy[Change]:
    """`kinds`, a change order most often."""
    return st.builds(
        Change,
        kind=st.sampled_from(["add", "add", *(kinds or KINDS)]),
        which=st.integers(0, 5),
        value=st.integers(0, 3),
        slot=st.integers(0, SLOTS),
    )


KINDS = (
    "add",
    "reduce",
    "quantity",
    "end",
    "shorten",
    "discount",
    "order discount",
    "collection",
    "start",
    "unit price",
    "price book",
)

waits = st.builds(
    timedelta, days=st.sampled_from([0, 0, 1, 10, 31, 100, 400]), seconds=st.sampled_from([1, 3600, 43_200, 86_399])
)


def steps(*kinds: str, most: int = 4) -> st.SearchStrategy[list[Step]]:
    some = st.lists(changes(*kinds), min_size=1, max_size=3).map(tuple)
    return st.lists(st.builds(Step, waits, some), min_size=1, max_size=most)


@st.composite
def beginnings(draw: st.DrawFn) -> list[Order]:
    """The original order: lines that start on one day and end on one day, or never. Some name no Stripe price."""
    start = draw(st.integers(0, 6))
    end = draw(st.sampled_from([None, start + 2, start + 12, start + 24]))
    prices = draw(st.lists(st.sampled_from(PRICES), min_size=1, max_size=3, unique=True))
    lines = [_line(f"802-0-{name}", name, 1 + draw(st.integers(0, 2)), start, end) for name in prices]
    at = [draw(st.sampled_from([None, None, *UNIT_PRICES])) for _ in lines]
    return [_order(0, [line if sold is None else _from_book(line, sold) for line, sold in zip(lines, at, strict=True)])]


policies = st.builds(
    Policies,
    quantity_conflict=st.sampled_from(["sum", "sum", "latest"]),
    backdating=st.sampled_from(["from_now", "from_now", "catch_up", "reject"]),
    on_schedule_ended=st.sampled_from(["error", "recreate"]),
    billing_cycle_anchor=st.sampled_from(["automatic", "automatic", "phase_start"]),
    proration_behavior=st.sampled_from(["create_prorations", "none", "always_invoice"]),
    billing_mode=st.sampled_from(["flexible", "classic"]),
    time_zone=st.sampled_from(["UTC", "America/New_York"]),
    custom_pricing=st.sampled_from(["create", "create", "standard", "error"]),
    unit_prices=st.sampled_from(["per_interval", "per_interval", "per_interval", "per_term"]),
    collection_method=st.sampled_from(["charge_automatically", "charge_automatically", "send_invoice"]),
    days_until_due=st.just(14),
)


def changed(orders: Sequence[Order], some: Sequence[Change]) -> list[Order]:
    """The contract after some changes. None makes a line end before it starts."""
    contract = list(orders)
    for change in some:
        _CHANGES[change.kind](contract, change)
    return contract


def _add(contract: list[Order], change: Change) -> None:
    number, end = len(contract), _end(contract)
    start = slot(change.slot)
    if end is not None and start >= end:
        start = slot(0)
    price = PRICES[change.which % len(PRICES)]
    line = replace(_line(f"802-{number}", price, 1 + change.value, 0, None), start=start, end=end)
    alike = [one for order in contract for one in order.lines if _product(one) == price]
    if alike:
        line = replace(line, percent_off=alike[0].percent_off, amount_off=alike[0].amount_off)
        if alike[0].entry:
            line = replace(_from_book(line, UNIT_PRICES[change.slot % len(UNIT_PRICES)]), entry=alike[0].entry)
    contract.append(_order(number, [line]))


def _reduce(contract: list[Order], change: Change) -> None:
    originals = [line for order in contract for line in order.lines if line.quantity > 0]
    original = originals[change.which % len(originals)]
    number = len(contract)
    since = slot(change.slot)
    if since < original.start or (original.end is not None and since >= original.end):
        since = original.start
    less = replace(_line(f"802-{number}", "", -1, 0, None), start=since, price_id=None, reduces=original.id)
    contract.append(replace(_order(number, [less]), is_reduction=True))


def _quantity(contract: list[Order], change: Change) -> None:
    lines = contract[0].lines
    name = lines[change.which % len(lines)].id
    _each(contract, lambda line: replace(line, quantity=Decimal(1 + change.value)) if line.id == name else line)


def _end_of_all(contract: list[Order], change: Change) -> None:
    """The whole contract ends on another day, or never."""
    until = None if change.value == 0 else slot(change.slot + 2)
    last = _end(contract)
    _each(contract, lambda line: _ending(line, until) if line.end == last else line)


def _shorten(contract: list[Order], change: Change) -> None:
    """One line ends earlier."""
    lines = [line for order in contract for line in order.lines if line.reduces is None]
    name = lines[change.which % len(lines)].id
    _each(contract, lambda line: _ending(line, slot(change.slot)) if line.id == name else line)


def _discount(contract: list[Order], change: Change) -> None:
    price, off = PRICES[change.which % len(PRICES)], DISCOUNTS[change.value]
    _each(contract, lambda line: replace(line, **off) if _product(line) == price else line)


def _order_discount(contract: list[Order], change: Change) -> None:
    """On the original order alone; the others state none, which agrees."""
    contract[0] = replace(contract[0], **DISCOUNTS[change.value])


def _collection(contract: list[Order], change: Change) -> None:
    contract[0] = replace(contract[0], **COLLECTIONS[change.value])


def _start(contract: list[Order], change: Change) -> None:
    """The original order starts on another day."""
    since = slot(change.slot % 8)
    lines = [line if line.end is not None and line.end <= since else replace(line, start=since) for line in contract[0].lines]
    contract[0] = replace(contract[0], lines=tuple(lines))


def _unit_price(contract: list[Order], change: Change) -> None:
    """One line is sold at another price, which it may be billed at already."""
    lines = [line for order in contract for line in order.lines if line.entry]
    name = lines[change.which % len(lines)].id if lines else None
    _each(contract, lambda line: replace(line, unit_price=UNIT_PRICES[change.value]) if line.id == name else line)


def _price_book(contract: list[Order], change: Change) -> None:
    """A product has another standard price from now on."""
    product, amount = PRICES[change.which % len(PRICES)], UNIT_PRICES[change.value]

    def repriced(line: OrderLine) -> OrderLine:
        return replace(line, entry=replace(line.entry, unit_price=amount)) if line.entry and _product(line) == product else line

    _each(contract, repriced)


_CHANGES = {
    "add": _add,
    "reduce": _reduce,
    "quantity": _quantity,
    "end": _end_of_all,
    "shorten": _shorten,
    "discount": _discount,
    "order discount": _order_discount,
    "collection": _collection,
    "start": _start,
    "unit price": _unit_price,
    "price book": _price_book,
}


def _each(contract: list[Order], change: Any) -> None:
    contract[:] = [replace(order, lines=tuple([change(line) for line in order.lines])) for order in contract]


def _ending(line: OrderLine, end: datetime | None) -> OrderLine:
    return line if end is not None and end <= line.start else replace(line, end=end)


def _end(contract: Sequence[Order]) -> datetime | None:
    """When the original order ends."""
    ends = [line.end for line in contract[0].lines]
    return None if None in ends else max(end for end in ends if end is not None)


def _line(name: str, price: str, quantity: int, start: int, end: int | None) -> OrderLine:
    return OrderLine(name, Decimal(quantity), slot(start), None if end is None else slot(end), price)


def _from_book(line: OrderLine, sold: Decimal) -> OrderLine:
    """The line as one that names no Stripe price."""
    assert line.price_id
    book = PriceBookEntry(f"01u-{line.price_id}", Product(line.price_id, line.price_id), unit_price=UNIT_PRICES[0])
    return replace(line, price_id=None, entry=replace(book, interval_unit="month"), unit_price=sold)


def _product(line: OrderLine) -> str | None:
    return line.entry.product.id if line.entry else line.price_id


def _order(number: int, lines: Sequence[OrderLine]) -> Order:
    effective = min((line.start for line in lines), default=slot(0)).date()
    return Order(f"801-{number:02}", f"{number:02}", effective, slot(0), "USD", lines=tuple(lines))
