"""What holds at one moment of the sweep: how much of each price, which settings, and what is wrong with either.

Everything is counted, so that a span that begins or ends costs no look at the others.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

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


class Roll:
    """Who is present, and everybody who ever arrived, in that order."""

    def __init__(self) -> None:
        self.present: dict[Ids, None] = {}
        self.arrivals: list[Ids] = []

    def enter(self, member: Ids) -> None:
        """`member` is present from now on."""
        self.present[member] = None
        self.arrivals.append(member)

    def leave(self, member: Ids) -> None:
        """`member` is present no longer."""
        del self.present[member]


class Listing:
    """Collects the ids of all who are present on one roll or several while it is kept; it reads each entry only once."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self._read: dict[Roll, int] = {}

    @property
    def ids(self) -> Ids:
        """Every id so far, each once."""
        return tuple(self._ids)

    def read(self, roll: Roll) -> None:
        """Add who is present on `roll` and not listed yet."""
        if roll in self._read:
            members = [member for member in roll.arrivals[self._read[roll] :] if member in roll.present]
        else:
            members = list(roll.present)
        self._read[roll] = len(roll.arrivals)
        for member in members:
            self._ids.update(dict.fromkeys(member))


class Tally(Roll):
    """The spans of one price, with their quantities and discounts counted."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.quantities: dict[int, int] = {}
        self.discounts: dict[Discount | None, int] = {}

    def add(self, span: Span) -> None:
        """A span begins."""
        self.enter(span.lines)
        self.total += span.quantity
        _increase(self.quantities, span.quantity)
        _increase(self.discounts, span.discount)

    def remove(self, span: Span) -> None:
        """A span ends."""
        self.leave(span.lines)
        self.total -= span.quantity
        _decrease(self.quantities, span.quantity)
        _decrease(self.discounts, span.discount)


class PriceTrack:
    """One price: the spans that ask for it now, and what they amount to under the policy `quantity_conflict`.

    value: what is billed, None = nothing. all: every span. counted: those that count, which under `latest` are the newest
    order's. codes: the findings that hold now, each with the spans concerned.
    """

    def __init__(self, price: str, policy: Literal["error", "sum", "latest"]) -> None:
        self.price = price
        self.value: Value | None = None
        self.all = Tally()
        self.counted = self.all
        self.codes: dict[str, Tally] = {}
        self._policy = policy
        self._by_rank: dict[int, Tally] = {}
        self._ranks: list[int] = []  # a heap of negative ranks: the newest order first

    def add(self, span: Span) -> None:
        """A span begins."""
        self.all.add(span)
        if self._policy == "latest":
            if span.rank not in self._by_rank:
                self._by_rank[span.rank] = Tally()
                heapq.heappush(self._ranks, -span.rank)
            self._by_rank[span.rank].add(span)

    def remove(self, span: Span) -> None:
        """A span ends."""
        self.all.remove(span)
        if self._policy == "latest":
            self._by_rank[span.rank].remove(span)

    def turn(self) -> bool:
        """Look again after spans have begun or ended; answers whether the value is another one."""
        before = self.value
        self.counted = self._newest() if self._policy == "latest" else self.all
        self.codes = dict.fromkeys(self._conflicts(), self.counted)
        if self.codes:
            self.value = CONFLICTED
        elif quantity := self.counted.total if self._policy == "sum" else next(iter(self.counted.quantities), 0):
            self.value = quantity, next(iter(self.counted.discounts))
            if duplicates := self._duplicates():
                self.codes = {"duplicate_line": duplicates}
        else:
            self.value = None
        return self.value != before

    def _newest(self) -> Tally:
        while self._ranks and not self._by_rank[-self._ranks[0]].present:
            del self._by_rank[-heapq.heappop(self._ranks)]
        return self._by_rank[-self._ranks[0]] if self._ranks else self.all

    def _conflicts(self) -> list[str]:
        codes = ["property_conflict"] if len(self.counted.discounts) > 1 else []
        if self._policy == "sum":
            return [*codes, "negative_quantity"] if self.counted.total < 0 else codes
        return [*codes, "quantity_conflict"] if len(self.counted.quantities) > 1 else codes

    def _duplicates(self) -> Tally | None:
        """Spans that are billed as one because they are equal, whether they are all there are or only those that count."""
        if self._policy == "sum":
            return None
        if len(self.all.present) > 1 and len(self.all.quantities) == 1:
            return self.all
        return self.counted if len(self.counted.present) > 1 else None


class Stated:
    """One setting: which values are stated now and how often, and the orders that state one."""

    def __init__(self) -> None:
        self.orders = Roll()
        self.values: dict[Any, int] = {}


class SettingsTrack:
    """What the orders that have an active line state about the phase."""

    def __init__(self, settings: Mapping[str, PhaseSettings]) -> None:
        self.value = PhaseSettings()
        self.stated = {name: Stated() for name in SETTINGS}
        self._settings = settings
        self._active: dict[str, int] = {}

    def add(self, order: str) -> None:
        """A line of `order` begins."""
        _increase(self._active, order)
        if self._active[order] == 1:
            for stated, value in self._of(order):
                stated.orders.enter((order,))
                _increase(stated.values, value)

    def remove(self, order: str) -> None:
        """A line of `order` ends."""
        _decrease(self._active, order)
        if order not in self._active:
            for stated, value in self._of(order):
                stated.orders.leave((order,))
                _decrease(stated.values, value)

    def turn(self) -> bool:
        """Look again after lines have begun or ended; answers whether the settings are others."""
        before = self.value
        self.value = PhaseSettings(**{name: next(iter(stated.values), None) for name, stated in self.stated.items()})
        return self.value != before

    def _of(self, order: str) -> list[tuple[Stated, Any]]:
        values = ((self.stated[name], getattr(self._settings[order], name)) for name in SETTINGS)
        return [(stated, value) for stated, value in values if value is not None]


@dataclass(frozen=True, slots=True)
class Turn:
    """What a boundary has done: the prices that it touched, those billed from now on, and those billed no longer.

    changed: whether a price has another value, or the settings are others, so that a new phase begins.
    """

    touched: list[PriceTrack]
    appeared: list[PriceTrack]
    vanished: list[PriceTrack]
    changed: bool


class Moment:
    """All prices and the settings as they are between two boundaries. `items`: the prices that are billed."""

    def __init__(self, settings: Mapping[str, PhaseSettings], policy: Literal["error", "sum", "latest"]) -> None:
        self.items: dict[str, PriceTrack] = {}
        self.settings = SettingsTrack(settings)
        self._policy = policy
        self._tracks: dict[str, PriceTrack] = {}

    def turn(self, boundary: Boundary) -> Turn:
        """Go past the next boundary. Spans without a price are passed over."""
        touched = self._pass(boundary)
        changed = self.settings.turn()
        appeared: list[PriceTrack] = []
        vanished: list[PriceTrack] = []
        for track in touched:
            changed |= track.turn()
            if track.value is None:
                if self.items.pop(track.price, None):
                    vanished.append(track)
            elif track.price not in self.items:
                self.items[track.price] = track
                appeared.append(track)
        return Turn(touched, appeared, vanished, changed)

    def _pass(self, boundary: Boundary) -> list[PriceTrack]:
        touched: dict[str, PriceTrack] = {}
        for span in boundary.ended:
            if span.price is not None:
                touched[span.price] = self._tracks[span.price]
                touched[span.price].remove(span)
                for order in span.orders:
                    self.settings.remove(order)
        for span in boundary.begun:
            if span.price is not None:
                if span.price not in self._tracks:
                    self._tracks[span.price] = PriceTrack(span.price, self._policy)
                touched[span.price] = self._tracks[span.price]
                touched[span.price].add(span)
                for order in span.orders:
                    self.settings.add(order)
        return list(touched.values())


def _increase[Key: Hashable](counts: dict[Key, int], key: Key) -> None:
    counts[key] = counts.get(key, 0) + 1


def _decrease[Key: Hashable](counts: dict[Key, int], key: Key) -> None:
    if counts[key] == 1:
        del counts[key]
    else:
        counts[key] -= 1
