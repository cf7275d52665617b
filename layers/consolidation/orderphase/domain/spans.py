"""Spans: order lines as the sweep sees them, and the boundaries at which they begin and end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from orderphase.domain.lines import Discount, OrderLine


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """A line, or the part of it between two reductions: the time during which it asks for one quantity of one price.

    rank: the age of the line's order, 0 = oldest.
    price: None for a line with a finding of its own; it covers its time, and is left out of every comparison.
    lines, orders: ids of the line and its order, then of the reductions that are in force and theirs.
    """

    line: OrderLine
    rank: int
    start: datetime
    end: datetime | None
    price: str | None
    quantity: int
    discount: Discount | None
    lines: tuple[str, ...]
    orders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Boundary:
    """A moment at which spans end and begin."""

    now: datetime
    ended: Sequence[Span]
    begun: Sequence[Span]


def boundaries(spans: Iterable[Span]) -> list[Boundary]:
    """Every moment at which a span begins or ends, in order of time. Spans that do so together are sorted: the oldest first."""
    begun: defaultdict[datetime, list[Span]] = defaultdict(list)
    ended: defaultdict[datetime, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: (span.start, span.rank, span.line.id)):
        begun[span.start].append(span)
        if span.end is not None:
            ended[span.end].append(span)
    return [Boundary(now, ended.get(now, ()), begun.get(now, ())) for now in sorted(begun.keys() | ended.keys())]
