"""Spans: order lines as the sweep sees them, and the boundaries at which they begin and end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter

from orderphase.domain.lines import Discount, OrderLine

_NEVER = datetime.max.replace(tzinfo=UTC)
"""After every instant, as those are whole seconds."""

_start_of = attrgetter("start")
_end_of = attrgetter("end")


@dataclass(slots=True, eq=False)
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


@dataclass(slots=True, eq=False)
class Boundary:
    """A moment at which spans end and begin."""

    now: datetime
    ended: Sequence[Span]
    begun: Sequence[Span]


def boundaries(spans: Iterable[Span]) -> Iterator[Boundary]:
    """Every moment at which a span begins or ends, in order of time. Spans that begin together stay in the order given.

    So do those that end together, where they had begun together.
    """
    begin = sorted(spans, key=_start_of)
    end = sorted([span for span in begin if span.end is not None], key=_end_of)
    starts = [*map(_start_of, begin), _NEVER]
    ends = [*map(_end_of, end), _NEVER]
    begun = ended = 0
    while (now := starts[begun] if starts[begun] < ends[ended] else ends[ended]) is not _NEVER:
        first, last = begun, ended
        while starts[begun] == now:
            begun += 1
        while ends[ended] == now:
            ended += 1
        yield Boundary(now, end[last:ended], begin[first:begun])
