"""What holds at one moment of the sweep: how much of each price, which settings, and what is wrong with either.

Everything is counted, so that a span that begins or ends costs no look at the others. A price that one span alone asks for,
as most do, needs no counting; it begins where a second one comes.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Hashable, Iterable, Mapping
from itertools import chain
from typing import Any, Final, Literal, override

from orderphase.domain.lines import Discount
from orderphase.domain.phases import PhaseSettings
from orderphase.domain.spans import Boundary, Span

type Ids = tuple[str, ...]
type Value = tuple[int, Discount | None]
"""A quantity and a discount."""

CONFLICTED: Final[Value] = (-1, None)
"""Stands for the value of a price whose spans do not agree."""

SETTINGS = ("collection_method", "days_until_due", "discount")
"""What orders state about a phase, by the names in `PhaseSettings`."""


def flat(members: Iterable[Ids]) -> Ids:
    """All ids of these, each once."""
    return tuple(dict.fromkeys(chain.from_iterable(members)))


class Roll[What]:
    """Who is present, with what they stand for, and everybody who ever arrived, in that order."""

    __slots__ = ("arrivals", "present")

    def __init__(self) -> None:
        self.present: dict[Ids, What] = {}
        self.arrivals: list[Ids] = []

    def enter(self, member: Ids, what: What) -> None:
        """`member` is present from now on."""
        self.present[member] = what
        self.arrivals.append(member)

    def leave(self, member: Ids) -> None:
        """`member` is present no longer."""
        del self.present[member]


class Listing:
    """Collects the ids of all who are present on one roll or several while it is kept; it reads each entry only once."""

    __slots__ = ("_ids", "_read")

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._ids = dict.fromkeys(ids)
        self._read: dict[Roll[Any], int] = {}

    @property
    def ids(self) -> Ids:
        """Every id so far, each once."""
        return tuple(self._ids)

    def read(self, roll: Roll[Any]) -> None:
        """Add who is present on `roll` and not listed yet."""
        if roll in self._read:
            members = [member for member in roll.arrivals[self._read[roll] :] if member in roll.present]
        else:
            members = list(roll.present)
        self._read[roll] = len(roll.arrivals)
        self._ids.update(dict.fromkeys(chain.from_iterable(members)))


class Tally(Roll[Span]):
    """Spans of one price. Between `count` and `rest`, their quantities and discounts are counted."""

    __slots__ = ("_counting", "discounts", "quantities", "total")

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.quantities: dict[int, int] = {}
        self.discounts: dict[Discount | None, int] = {}
        self._counting = False

    def add(self, span: Span) -> None:
        """A span begins."""
        self.present[span.lines] = span
        self.arrivals.append(span.lines)
        if self._counting:
            self._count(span)

    def remove(self, span: Span) -> None:
        """A span ends."""
        del self.present[span.lines]
        if self._counting:
            self._uncount(span)

    def count(self) -> None:
        """Count who is present; from now on the counts are kept in step."""
        if not self._counting:
            self._counting = True
            for span in self.present.values():
                self._count(span)

    def _count(self, span: Span) -> None:
        self.total += span.quantity
        _increase(self.quantities, span.quantity)
        _increase(self.discounts, span.discount)

    def _uncount(self, span: Span) -> None:
        self.total -= span.quantity
        _decrease(self.quantities, span.quantity)
        _decrease(self.discounts, span.discount)


_NONE: Final[Mapping[str, Tally]] = {}


class PriceTrack(Tally):
    """One price: the spans that ask for it now, and what they amount to. Under the policy `error` they have to agree.

    value: what is billed, None = nothing; `was` before the last boundary that touched it. codes: the findings that hold now,
    each with the spans concerned.
    """

    __slots__ = ("codes", "price", "value", "was")

    def __init__(self, price: str) -> None:
        super().__init__()
        self.price = price
        self.value: Value | None = None
        self.was: Value | None = None
        self.codes: Mapping[str, Tally] = _NONE

    @property
    def counted(self) -> Tally:
        """The spans that count."""
        return self

    @property
    def lines(self) -> Ids:
        """The ids of the lines that count; of one span alone, its own tuple."""
        if self._counting:
            return flat(self.counted.present)
        (lines,) = self.present
        return lines

    def turn(self) -> bool:
        """Look again after spans have begun or ended; answers whether the value is another one."""
        before = self.was = self.value
        if len(self.present) > 1:
            self._compare()
            return self.value != before
        self.codes = _NONE
        self.value = None
        for span in self.present.values():
            self.value = span.quantity, span.discount
            if span.quantity < 0:
                self._compare()
        return self.value != before

    def _compare(self) -> None:
        self.count()
        counted = self.counted
        counted.count()
        self.codes = dict.fromkeys(self._conflicts(counted), counted)
        if self.codes:
            self.value = CONFLICTED
        elif quantity := self._quantity(counted):
            self.value = quantity, next(iter(counted.discounts))
            if duplicates := self._duplicates(counted):
                self.codes = {"duplicate_line": duplicates}
        else:
            self.value = None

    def _conflicts(self, counted: Tally) -> list[str]:
        codes = ["property_conflict"] if len(counted.discounts) > 1 else []
        return [*codes, "quantity_conflict"] if len(counted.quantities) > 1 else codes

    def _quantity(self, counted: Tally) -> int:
        return next(iter(counted.quantities))

    def _duplicates(self, counted: Tally) -> Tally | None:
        """Spans that are billed as one because they are equal, whether they are all there are or only those that count."""
        if len(self.quantities) == 1:
            return self
        return counted if len(counted.present) > 1 else None


class SummedTrack(PriceTrack):
    """A price under the policy `sum`: the quantities of its spans are added up, and some may be below 0."""

    __slots__ = ()

    def _conflicts(self, counted: Tally) -> list[str]:
        codes = ["property_conflict"] if len(counted.discounts) > 1 else []
        return [*codes, "negative_quantity"] if counted.total < 0 else codes

    def _quantity(self, counted: Tally) -> int:
        return counted.total

    @override
    def _duplicates(self, counted: Tally) -> None:
        return None


class LatestTrack(PriceTrack):
    """A price under the policy `latest`: the spans of the newest order count, and have to agree."""

    __slots__ = ("_by_rank", "_ranks")

    def __init__(self, price: str) -> None:
        super().__init__(price)
        self._by_rank: dict[int, Tally] = {}
        self._ranks: list[int] = []  # a heap of negative ranks: the newest order first

    @property
    def counted(self) -> Tally:
        """The newest order's; all, where there is no need to compare."""
        while self._ranks and not self._by_rank[-self._ranks[0]].present:
            del self._by_rank[-heapq.heappop(self._ranks)]
        return self._by_rank[-self._ranks[0]] if self._ranks else self

    def _count(self, span: Span) -> None:
        super()._count(span)
        if span.rank not in self._by_rank:
            self._by_rank[span.rank] = Tally()
            heapq.heappush(self._ranks, -span.rank)
        self._by_rank[span.rank].add(span)

    def _uncount(self, span: Span) -> None:
        super()._uncount(span)
        self._by_rank[span.rank].remove(span)


_TRACKS: Final = {"error": PriceTrack, "sum": SummedTrack, "latest": LatestTrack}
"""By the policy `quantity_conflict`."""


class Stated:
    """One setting: which values are stated now and how often, and the orders that state one."""

    def __init__(self) -> None:
        self.orders = Roll[Any]()
        self.values: dict[Any, int] = {}


class SettingsTrack:
    """What the orders that have an active line state about the phase. `stating`: what each states, of those that do."""

    def __init__(self, stating: Mapping[str, PhaseSettings]) -> None:
        self.stating = stating
        self.value = PhaseSettings()
        self.stated = {name: Stated() for name in SETTINGS}
        self._active: dict[str, int] = {}
        self._stirred = False

    def add(self, order: str) -> None:
        """A line of `order` begins."""
        _increase(self._active, order)
        if self._active[order] == 1:
            self._stirred = True
            for stated, value in self._of(order):
                stated.orders.enter((order,), value)
                _increase(stated.values, value)

    def remove(self, order: str) -> None:
        """A line of `order` ends."""
        _decrease(self._active, order)
        if order not in self._active:
            self._stirred = True
            for stated, value in self._of(order):
                stated.orders.leave((order,))
                _decrease(stated.values, value)

    def turn(self) -> bool:
        """Look again after lines have begun or ended; answers whether other orders than before state something."""
        stirred, self._stirred = self._stirred, False
        if stirred:
            self.value = PhaseSettings(**{name: next(iter(stated.values), None) for name, stated in self.stated.items()})
        return stirred

    def _of(self, order: str) -> list[tuple[Stated, Any]]:
        values = ((self.stated[name], getattr(self.stating[order], name)) for name in SETTINGS)
        return [(stated, value) for stated, value in values if value is not None]


class Moment:
    """All prices and the settings as they are between two boundaries.

    items: the prices that are billed. covering: the spans without a price. touched: the prices whose spans came or went at the
    last boundary; `restated` whether orders did that state something; `changed` whether a price has another value since, or the
    settings are others, so that a new phase begins. shared: whether several spans have asked for one price so far.
    """

    def __init__(self, settings: Mapping[str, PhaseSettings], policy: Literal["error", "sum", "latest"]) -> None:
        self.items: dict[str, PriceTrack] = {}
        self.settings = SettingsTrack(settings)
        self.covering: dict[Span, None] = {}
        self.touched: Collection[PriceTrack] = ()
        self.restated = False
        self.changed = False
        self.shared = False
        self._new_track = _TRACKS[policy]
        self._tracks: dict[str, PriceTrack] = {}

    def go_past(self, boundary: Boundary) -> None:
        """Go past the next boundary."""
        self.touched = self._pass(boundary).values()
        before = self.settings.value
        self.restated = bool(self.settings.stating) and self.settings.turn()
        self.changed = self.restated and self.settings.value != before
        for track in self.touched:
            if len(track.present) > 1:
                self.shared = True
            if track.turn():
                self.changed = True
                if track.value is None:
                    del self.items[track.price]
                elif track.was is None:
                    self.items[track.price] = track

    def _pass(self, boundary: Boundary) -> dict[str, PriceTrack]:
        tracks, stating = self._tracks, self.settings.stating
        touched: dict[str, PriceTrack] = {}
        for span in boundary.ended:
            if span.price is None:
                del self.covering[span]
                continue
            track = touched[span.price] = tracks[span.price]
            track.remove(span)
            for order in span.orders:
                if order in stating:
                    self.settings.remove(order)
        for span in boundary.begun:
            if span.price is None:
                self.covering[span] = None
                continue
            if span.price not in tracks:
                tracks[span.price] = self._new_track(span.price)
            track = touched[span.price] = tracks[span.price]
            track.add(span)
            for order in span.orders:
                if order in stating:
                    self.settings.add(order)
        return touched


def _increase[Key: Hashable](counts: dict[Key, int], key: Key) -> None:
    counts[key] = counts.get(key, 0) + 1


def _decrease[Key: Hashable](counts: dict[Key, int], key: Key) -> None:
    if counts[key] == 1:
        del counts[key]
    else:
        counts[key] -= 1
