"""Which order comes first: the original order, which the others of its contract change."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from zoneinfo import ZoneInfo

from orderphase.domain.calendar import day
from orderphase.domain.findings import Finding, finding, in_order, sentence
from orderphase.domain.lines import Order, OrderLine, describe_line, describe_order
from orderphase.domain.phases import Consolidation


@dataclass(frozen=True, slots=True)
class Draft:
    """An order of the contract that is not activated; `lines` are the ids of its lines."""

    id: str
    number: str
    effective: date
    lines: tuple[str, ...] = ()


def in_sequence(
    consolidated: Consolidation,
    orders: Sequence[Order],
    drafts: Iterable[Draft],
    zone: ZoneInfo,
    *,
    today: date,
    billed: Container[str] | None = None,
    comparing: bool = True,
) -> Consolidation:
    """The consolidation with what is wrong with the sequence of the orders told as well.

    billed: ids of the orders that a schedule bills already; None where there is none. comparing: whether overlapping lines of
    one price are compared, instead of added up.
    """
    found = [*early_findings(orders, zone, billed=billed or ())]
    found += price_findings(orders, zone) if comparing else ()
    found += draft_findings(orders, drafts) if billed is None else withdrawn_findings(drafts, billed, today)
    return replace(consolidated, findings=in_order([*consolidated.findings, *found])) if found else consolidated


def early_findings(orders: Sequence[Order], zone: ZoneInfo, *, billed: Container[str]) -> Iterator[Finding]:
    """Lines of change orders that start before the contract does: with what is billed already, else with the oldest order."""
    first = [order for order in orders if order.id in billed] or sorted(orders, key=lambda order: order.age)[:1]
    starts = [(line.start, order.number) for order in first for line in order.lines if line.quantity]
    if not starts:
        return
    start, number = min(starts)
    known = {order.id for order in first}
    for order in orders:
        early = [line for line in order.lines if line.quantity and line.start < start]
        for line in early if order.id not in known else ():
            message = (
                f"{describe_line(line, order)} starts on {day(line.start, zone)}, "
                f"before the contract does with order {number} on {day(start, zone)}."
            )
            yield finding(
                "amendment_before_start", sentence(message), lines=[line.id], orders=[order.id], start=line.start, end=start
            )


def withdrawn_findings(drafts: Iterable[Draft], billed: Container[str], today: date) -> Iterator[Finding]:
    """Orders that are billed and are not activated any more: taken back to be edited, they would be cut off meanwhile.

    One that has not begun yet can be taken back for good.
    """
    for draft in drafts:
        if draft.id in billed and draft.effective <= today:
            message = f"Order {draft.number} is billed, but is not activated any more."
            yield finding("order_withdrawn", message, lines=draft.lines, orders=[draft.id])


def price_findings(orders: Sequence[Order], zone: ZoneInfo) -> Iterator[Finding]:
    """Lines that sell one product at different prices at the same time, because its standard price has changed in between.

    What overlaps at one price is compared, at two prices it is not: whether the later line replaces or adds is not known.
    """
    by_entry: dict[str, list[tuple[OrderLine, Order]]] = {}
    for order in orders:
        for line in order.lines:
            if line.entry is not None and not line.price_id and line.quantity and line.reduces is None:
                by_entry.setdefault(line.entry.id, []).append((line, order))
    for sold in by_entry.values():
        if len({line.price for line, _ in sold}) == 1:
            continue
        running: list[tuple[OrderLine, Order]] = []
        for line, order in sorted(sold, key=lambda one: (one[0].start, one[0].id)):
            running = [one for one in running if one[0].end is None or one[0].end > line.start]
            other = next((one for one in running if one[0].price != line.price), None)
            running.append((line, order))
            if other is not None:
                message = (
                    f"{describe_line(line, order)} and {describe_line(*other)} sell the same product at two prices "
                    f"from {day(line.start, zone)} on, because its standard price has changed."
                )
                orders_named = [order.id, other[1].id]
                yield finding(
                    "price_changed", sentence(message), lines=[line.id, other[0].id], orders=orders_named, start=line.start
                )


def draft_findings(orders: Sequence[Order], drafts: Iterable[Draft]) -> Iterator[Finding]:
    """Orders of the contract that are older than every activated one, and are not activated themselves."""
    if not orders:
        return
    oldest = min(order.effective for order in orders)
    changes = ", ".join(describe_order(order) for order in sorted(orders, key=lambda order: order.age))
    for draft in drafts:
        if draft.effective < oldest:
            message = f"Order {draft.number} of {draft.effective} comes before {changes} and is not activated."
            lines = [*draft.lines, *(line.id for order in orders for line in order.lines)]
            ids = [draft.id, *(order.id for order in orders)]
            yield finding("original_not_activated", message, lines=lines, orders=ids)
