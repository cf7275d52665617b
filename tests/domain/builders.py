"""Short ways to write orders and lines in tests."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from orderphase.domain.calendar import end_instant, instant, iso
from orderphase.domain.catalogue import PriceBookEntry, Product, Unit
from orderphase.domain.consolidation import consolidate
from orderphase.domain.findings import Finding
from orderphase.domain.lines import Order, OrderLine
from orderphase.domain.phases import Consolidation
from orderphase.domain.policies import Policies

UTC_ZONE = ZoneInfo("UTC")


def moment(text: str) -> datetime:
    """`2025-01-01` is midnight in UTC; with a time it is that time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def line(
    line_id: str, start: str, end: str | None = None, quantity: Any = 1, *, price: str | None = "price_A", **more: Any
) -> OrderLine:
    numbers = ("percent_off", "amount_off", "unit_price")
    more = {key: Decimal(value) if key in numbers else value for key, value in more.items()}
    return OrderLine(
        id=line_id,
        quantity=Decimal(quantity),
        start=moment(start),
        end=None if end is None else moment(end),
        price_id=price,
        **more,
    )


def order(number: str, *lines: OrderLine, effective: str = "2025-01-01", currency: str | None = "USD", **more: Any) -> Order:
    """An order whose id is `801-` and its number."""
    numbers = ("percent_off", "amount_off", "days_until_due")
    more = {key: Decimal(value) if key in numbers and value is not None else value for key, value in more.items()}
    return Order(
        id=f"801-{number}", number=number, effective=date.fromisoformat(effective), currency=currency, lines=lines, **more
    )


def entry(name: str = "01u", unit: Unit | None = "month", count: Any = None, price: Any = "10", **more: Any) -> PriceBookEntry:
    return PriceBookEntry(
        id=name,
        product=Product(f"01t-{name}", f"Product {name}"),
        unit_price=None if price is None else Decimal(price),
        interval_unit=unit,
        interval_count=None if count is None else Decimal(count),
        **more,
    )


def dated(name: str, start: str, end: str | None, zone: str, *, inclusive: bool = False, price: str = "price_A") -> OrderLine:
    """A line whose Dates begin in a billing zone."""
    where = ZoneInfo(zone)
    until = None if end is None else end_instant(date.fromisoformat(end), where, inclusive=inclusive)
    return OrderLine(name, Decimal(1), instant(date.fromisoformat(start), where), until, price)


def consolidated(*orders: Order, **policies: Any) -> Consolidation:
    return consolidate(orders, Policies(**policies))


def short(result: Consolidation) -> list[str]:
    """The phases on one line each: `2025-01-01..2025-06-01 price_A*1 price_B*2`."""
    return [
        f"{_short(phase.start)}..{_short(phase.end)} " + " ".join(f"{item.price}*{item.quantity}" for item in phase.items)
        for phase in result.phases
    ]


def codes(result: Consolidation) -> list[str]:
    return [one.code for one in result.findings]


def only(result: Consolidation, code: str) -> Finding:
    """The one finding of `result`, which has that code; an error has no phases beside it."""
    assert codes(result) == [code]
    (one,) = result.findings
    assert result.refused == (one.severity == "error")
    assert not (result.refused and result.phases)
    return one


def facts(one: Finding) -> tuple[tuple[str, ...], tuple[str, ...], str | None, str | None]:
    """Lines, orders, start and end of a finding."""
    return one.lines, one.orders, _short(one.start) or None, _short(one.end) or None


def _short(value: datetime | None) -> str:
    return (iso(value) or "").removesuffix("T00:00:00Z")
