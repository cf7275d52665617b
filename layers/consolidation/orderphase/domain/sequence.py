"""Which order comes first: the original order, which the others of its contract change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import combinations
from zoneinfo import ZoneInfo

from orderphase.domain.calendar import day
from orderphase.domain.findings import Finding, finding, in_order, sentence
from orderphase.domain.lines import Order, OrderLine, describe_line, describe_order
from orderphase.domain.phases import Consolidation, Phase


@dataclass(frozen=True, slots=True)
class Draft:
    """An order of the contract that is not activated; `lines` are the ids of its lines, `end` is when the last one ends."""

    id: str
    number: str
    effective: date
    lines: tuple[str, ...] = ()
    end: date | None = None


def in_sequence(
    consolidated: Consolidation,
    orders: Sequence[Order],
    drafts: Iterable[Draft],
    zone: ZoneInfo,
    *,
    now: datetime,
    billed: Container[str] | None = None,
    comparing: bool = True,
) -> Consolidation:
    """The consolidation with what is wrong with the sequence of the orders told as well.

    billed: ids of the orders that a schedule bills already; None where there is none. comparing: whether overlapping lines of
    one price are compared, instead of added up.
    """
    found = [*early_findings(orders, zone, now=now, billed=billed or ())]
    found += price_findings(consolidated.phases, orders, zone, now=now) if comparing else ()
    today = now.astimezone(zone).date()
    found += draft_findings(orders, drafts) if billed is None else withdrawn_findings(drafts, billed, today)
    return replace(consolidated, findings=in_order([*consolidated.findings, *found])) if found else consolidated


def naming_orders(findings: Iterable[Finding], orders: Sequence[Order]) -> tuple[Finding, ...]:
    """The findings, where each that is about lines also names their orders: planning knows phases and lines alone."""
    owners = {line.id: order for order in orders for line in order.lines}
    return tuple([_naming(one, owners) for one in findings])


def _naming(one: Finding, owners: Mapping[str, Order]) -> Finding:
    named = {owners[line].id: owners[line].number for line in one.lines if line in owners}
    if one.orders or not named:
        return one
    numbers = sorted(named.values())
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    about = f"order {', '.join(numbers[:_NAMED])}{more}, {len(one.lines)} {'line' if len(one.lines) == 1 else 'lines'}"
    return replace(one, message=f"{one.message.removesuffix('.')} ({about}).", orders=tuple(named))


_NAMED = 6
"""So many orders are named in a message; the finding itself has all of them."""


def early_findings(orders: Sequence[Order], zone: ZoneInfo, *, now: datetime, billed: Container[str]) -> Iterator[Finding]:
    """Lines of change orders that start before the contract does: with what is billed already, else with the oldest order.

    Where nothing has begun yet, an order that was entered before those that are billed is the original one: it was taken back
    to be corrected, and comes again.
    """
    first = [order for order in orders if order.id in billed] or sorted(orders, key=lambda order: order.age)[:1]
    if all(line.start > now for order in first for line in _billed(order)):
        entered = min((order.number for order in first), default="")
        first += [order for order in orders if order.number < entered]
    starts = [(line.start, order.number) for order in first for line in _billed(order)]
    if not starts:
        return
    start, number = min(starts)
    known = {order.id for order in first}
    for order in orders:
        early = [line for line in _billed(order) if line.start < start]
        for line in early if order.id not in known else ():
            message = (
                f"{describe_line(line, order)} starts on {day(line.start, zone)}, "
                f"before the contract does with order {number} on {day(start, zone)}."
            )
            yield finding(
                "amendment_before_start", sentence(message), lines=[line.id], orders=[order.id], start=line.start, end=start
            )


def _billed(order: Order) -> list[OrderLine]:
    return [line for line in order.lines if line.quantity]


def withdrawn_findings(drafts: Iterable[Draft], billed: Container[str], today: date) -> Iterator[Finding]:
    """Orders that are billed and are not activated any more: taken back to be edited, they would be cut off meanwhile.

    One that has not begun yet, or is over, can be taken back for good.
    """
    for draft in drafts:
        if draft.id in billed and draft.effective <= today and (draft.end is None or draft.end >= today):
            message = f"Order {draft.number} is billed, but is not activated any more."
            yield finding("order_withdrawn", message, lines=draft.lines, orders=[draft.id])


def price_findings(phases: Iterable[Phase], orders: Sequence[Order], zone: ZoneInfo, *, now: datetime) -> Iterator[Finding]:
    """Lines of different orders that sell one product at two prices at the same time.

    What overlaps at one price is compared, at two prices it is not: whether the later line replaces or adds is not known. Two
    lines of one order are two things that were sold.
    """
    sold = _at_several_prices(orders)
    told: set[str] = set()
    for phase in phases if sold else ():
        if phase.end is not None and phase.end <= now:
            continue
        prices: dict[str, list[list[tuple[OrderLine, Order]]]] = {}
        for item in phase.items:
            by_order: dict[str, dict[str, tuple[OrderLine, Order]]] = {}
            for line, order in (sold[line] for line in item.lines if line in sold):
                product = line.entry.product.id if line.entry else ""
                by_order.setdefault(product, {}).setdefault(order.id, (line, order))
            for product, lines in by_order.items():
                prices.setdefault(product, []).append(list(lines.values()))
        for product, alike in prices.items():
            pair = next(_of_two_orders(alike), None)
            if pair is None or product in told:
                continue
            told.add(product)
            (line, order), (other, others_order) = sorted(pair, key=lambda one: one[1].age, reverse=True)
            message = (
                f"{describe_line(line, order)} and {describe_line(other, others_order)} sell the same product at two prices "
                f"from {day(phase.start, zone)} on."
            )
            ids = [order.id, others_order.id]
            yield finding(
                "price_changed", sentence(message), lines=[line.id, other.id], orders=ids, start=phase.start, end=phase.end
            )


def _at_several_prices(orders: Sequence[Order]) -> dict[str, tuple[OrderLine, Order]]:
    """The lines, with their orders, of each product that is sold at more than one price, as few are. By the line's id."""
    own = {line.id: line.price for order in orders for line in order.lines}
    by_product: defaultdict[str, dict[str, tuple[OrderLine, Order]]] = defaultdict(dict)
    for order in orders:
        for line in order.lines:
            if line.entry and not line.price_id:
                by_product[line.entry.product.id][line.id] = line, order
    found: dict[str, tuple[OrderLine, Order]] = {}
    for lines in by_product.values():
        if len({own.get(_listed_with(line)) for line, _ in lines.values()}) > 1:
            found |= lines
    return found


def _listed_with(line: OrderLine) -> str:
    """The line whose item lists it: that of a reduction is the one that it takes from."""
    return line.reduces if line.reduces and line.quantity < 0 else line.id


def _of_two_orders(prices: Sequence[Sequence[tuple[OrderLine, Order]]]) -> Iterator[tuple[tuple[OrderLine, Order], ...]]:
    """Two lines of different orders at different prices; of each price, one line of each order is given."""
    for some, others in combinations(prices, 2):
        # Of two orders on either side, one is another than the one that is compared.
        yield from ((one, other) for one in some[:2] for other in others[:2] if one[1].id != other[1].id)


def draft_findings(orders: Sequence[Order], drafts: Iterable[Draft]) -> Iterator[Finding]:
    """Orders of the contract that are older than every activated one, and are not activated themselves."""
    if not orders:
        return
    oldest = min(order.effective for order in orders)
    for draft in drafts:
        if draft.effective < oldest:
            changes = ", ".join(describe_order(order) for order in sorted(orders, key=lambda order: order.age))
            message = f"Order {draft.number} of {draft.effective} comes before {changes} and is not activated."
            lines = [*draft.lines, *(line.id for order in orders for line in order.lines)]
            ids = [draft.id, *(order.id for order in orders)]
            yield finding("original_not_activated", message, lines=lines, orders=ids)
