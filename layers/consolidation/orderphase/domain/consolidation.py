"""Consolidation: order lines become a gapless, non-overlapping series of phases, or all the reasons why they cannot.

One sweep over the boundaries of all lines finds what is wrong; only where nothing is, a second one draws the phases. At each
boundary only the prices that it touches are looked at again, so n lines cost O(n log n) for sorting, and beyond that only the
size of the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from orderphase.domain.checks import Examined, examine
from orderphase.domain.conflicts import survey
from orderphase.domain.findings import has_errors, in_order
from orderphase.domain.lines import Order
from orderphase.domain.overlaps import Listing, Moment, PriceTrack, Value
from orderphase.domain.phases import Consolidation, Phase, PhaseItem, PhaseSettings, end_behavior
from orderphase.domain.policies import Policies
from orderphase.domain.spans import Boundary, boundaries
from orderphase.domain.wording import survey_findings


def consolidate(orders: Sequence[Order], policies: Policies) -> Consolidation:
    """Consolidate all activated orders of one contract.

    Ids of orders and lines are unique. The answer does not depend on the sequence of `orders` or of their lines. It holds every
    finding; with an error among them, there are no phases.
    """
    orders = sorted((_sorted_lines(order) for order in orders), key=lambda order: order.age)
    examined = examine(orders, policies)
    bounds = boundaries(examined.spans)
    surveyed = survey(examined, policies, bounds)
    findings = in_order([*examined.findings, *survey_findings(surveyed, orders, ZoneInfo(policies.time_zone))])
    phases = () if has_errors(findings) else _draw(examined, policies, bounds)
    return Consolidation(phases, end_behavior(phases), findings, examined.currency)


def _sorted_lines(order: Order) -> Order:
    return replace(order, lines=tuple(sorted(order.lines, key=lambda line: line.id)))


def _draw(examined: Examined, policies: Policies, bounds: Iterable[Boundary]) -> tuple[Phase, ...]:
    pencil = _Pencil(Moment(examined.settings, policies.quantity_conflict))
    for boundary in bounds:
        pencil.go_past(boundary)
    pencil.close(None)
    return tuple(pencil.phases)


class _Pencil:
    """Draws a phase from each boundary that changes something to the next one that does."""

    def __init__(self, moment: Moment) -> None:
        self.phases: list[Phase] = []
        self._moment = moment
        # The phase that is open: since when, its settings, the value and the lines of each price, and the items made of them.
        self._since: datetime | None = None
        self._settings = PhaseSettings()
        self._values: dict[str, Value] = {}
        self._listings: dict[str, Listing] = {}
        self._items: dict[str, PhaseItem] = {}
        # Prices whose lines have come or gone while it was open, so that the next phase lists them anew.
        self._stirred: dict[str, PriceTrack] = {}

    def go_past(self, boundary: Boundary) -> None:
        """Go past the next boundary."""
        turn = self._moment.turn(boundary)
        touched = {track.price: track for track in turn.touched}
        if turn.changed:
            self.close(boundary.now)
            self._open(boundary.now, self._stirred | touched)
            self._stirred = {}
        else:
            self._stirred.update(touched)
            for price in touched.keys() & self._values.keys():
                self._list(touched[price])

    def close(self, now: datetime | None) -> None:
        """End the open phase, if there is one with items; `now` None = it goes on for ever."""
        if self._since is not None and self._values:
            items = tuple([self._items.get(price) or self._item(price) for price in self._values])
            self.phases.append(Phase(self._since, now, items, self._settings))

    def _open(self, now: datetime, tracks: dict[str, PriceTrack]) -> None:
        self._since = now
        self._settings = self._moment.settings.value
        for price, track in tracks.items():
            if track.value is None:
                self._values.pop(price, None)
            else:
                self._values[price] = track.value
                self._listings[price] = Listing()
                self._list(track)

    def _list(self, track: PriceTrack) -> None:
        self._listings[track.price].read(track.counted)
        self._items.pop(track.price, None)

    def _item(self, price: str) -> PhaseItem:
        quantity, discount = self._values[price]
        item = self._items[price] = PhaseItem(price, quantity, discount, self._listings[price].ids)
        return item
