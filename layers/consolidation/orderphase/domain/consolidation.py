"""Consolidation: order lines become a gapless, non-overlapping series of phases, or all the reasons why they cannot.

One sweep over the boundaries of all lines finds what is wrong, and draws the phases by the way as long as that costs little:
until something is wrong, or lines share a price. At each boundary only the prices that it touches are looked at again, so n
lines cost O(n log n) for sorting, and beyond that only the size of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from operator import attrgetter
from zoneinfo import ZoneInfo

from orderphase.domain.checks import Examined, examine
from orderphase.domain.conflicts import Surveyor
from orderphase.domain.findings import has_errors, in_order
from orderphase.domain.lines import Order
from orderphase.domain.overlaps import Listing, Moment, PriceTrack
from orderphase.domain.phases import Consolidation, Phase, PhaseItem, PhaseSettings, end_behavior
from orderphase.domain.policies import Policies
from orderphase.domain.spans import boundaries
from orderphase.domain.wording import survey_findings


def consolidate(orders: Sequence[Order], policies: Policies) -> Consolidation:
    """Consolidate all activated orders of one contract.

    Ids of orders and lines are unique. The answer does not depend on the sequence of `orders` or of their lines. It holds every
    finding; with an error among them, there are no phases.
    """
    orders = sorted(map(_sorted_lines, orders), key=attrgetter("age"))
    examined = examine(orders, policies)
    moment = Moment(examined.settings, policies.quantity_conflict)
    surveyor = Surveyor(examined, policies, moment)
    pencil = None if has_errors(examined.findings) else _Pencil(moment)
    for boundary in boundaries(examined.spans):
        moment.go_past(boundary)
        surveyor.look(boundary)
        if moment.shared or surveyor.result.refused:
            # Phases with long lists of lines are drawn once it is known that nothing is wrong.
            pencil = None
        if pencil is not None:
            pencil.go_past(boundary.now)
    findings = in_order([*examined.findings, *survey_findings(surveyor.result, orders, ZoneInfo(policies.time_zone))])
    if has_errors(findings):
        phases: tuple[Phase, ...] = ()
    else:
        phases = (pencil or _drawn(examined, policies)).finish()
    return Consolidation(phases, end_behavior(phases), findings, examined.currency)


def _drawn(examined: Examined, policies: Policies) -> _Pencil:
    moment = Moment(examined.settings, policies.quantity_conflict)
    pencil = _Pencil(moment)
    for boundary in boundaries(examined.spans):
        moment.go_past(boundary)
        pencil.go_past(boundary.now)
    return pencil


def _sorted_lines(order: Order) -> Order:
    lines = tuple(sorted(order.lines, key=attrgetter("id")))
    return order if lines == order.lines else replace(order, lines=lines)


class _Pencil:
    """Draws a phase from each boundary that changes something to the next one that does."""

    def __init__(self, moment: Moment) -> None:
        self._phases: list[Phase] = []
        self._moment = moment
        # The phase that is open: since when, its settings and its items.
        self._since: datetime | None = None
        self._settings = PhaseSettings()
        self._items: dict[str, PhaseItem] = {}
        # Prices whose lines have come or gone while it was open, so that the next phase lists them anew; and of those that are
        # billed, all their lines since it was opened.
        self._stirred: dict[str, PriceTrack] = {}
        self._listings: dict[str, Listing] = {}

    def go_past(self, now: datetime) -> None:
        """Go past the next boundary, as the moment has."""
        moment = self._moment
        if not moment.changed:
            for track in moment.touched:
                self._stir(track)
            return
        self._close(now)
        self._since, self._settings = now, moment.settings.value
        items = self._items
        for track in chain(self._stirred.values(), moment.touched):
            if track.value is None:
                items.pop(track.price, None)
            else:
                items[track.price] = PhaseItem(track.price, track.value[0], track.value[1], track.lines)
        self._stirred.clear()

    def finish(self) -> tuple[Phase, ...]:
        """There are no more boundaries; answers the phases."""
        self._close(None)
        return tuple(self._phases)

    def _close(self, now: datetime | None) -> None:
        """End the open phase, if there is one with items; `now` None = it goes on for ever."""
        if self._since is None or not self._items:
            return
        if self._listings:
            self._items |= {price: replace(self._items[price], lines=one.ids) for price, one in self._listings.items()}
            self._listings.clear()
        self._phases.append(Phase(self._since, now, tuple(self._items.values()), self._settings))

    def _stir(self, track: PriceTrack) -> None:
        self._stirred[track.price] = track
        if item := self._items.get(track.price):
            if track.price not in self._listings:
                self._listings[track.price] = Listing(item.lines)
            self._listings[track.price].read(track.counted)
