"""What is wrong between lines and orders: one sweep finds each gap, and how long each conflict lasts and whom it concerns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from orderphase.domain.catalogue import BillingInterval, refused_together
from orderphase.domain.checks import Examined
from orderphase.domain.overlaps import SETTINGS, Ids, Listing, Moment, Roll, Turn
from orderphase.domain.policies import Policies
from orderphase.domain.spans import Boundary, Span

MAX_ITEMS = 20
"""Stripe: at most 20 items in a phase, as on a subscription."""

Kind = Literal["price", "setting", "items"]


@dataclass(slots=True)
class Condition:
    """Something that holds without a break from `start` to `end`, and becomes one finding.

    kind and subject: a price by its identity, a setting by its name, or all items of a phase, which need no name.
    listing: the ids of the lines concerned, or of the orders that state a setting.
    """

    code: str
    kind: Kind
    subject: str
    start: datetime
    end: datetime | None = None
    listing: Listing = field(default_factory=Listing)


@dataclass(frozen=True, slots=True)
class Gap:
    """Time between two phases in which nothing is billed, with the lines in force just before and just after."""

    start: datetime
    end: datetime
    before: Ids
    after: Ids


@dataclass(slots=True)
class Survey:
    """All conditions and gaps of a contract."""

    conditions: list[Condition] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


def survey(examined: Examined, policies: Policies, boundaries: Iterable[Boundary]) -> Survey:
    """Find every conflict between the spans, and every gap."""
    surveyor = _Surveyor(examined, policies)
    for boundary in boundaries:
        surveyor.go_past(boundary)
    surveyor.finish()
    return surveyor.result


class _Conditions:
    """The conditions of one subject, by code."""

    def __init__(self, kind: Kind, subject: str, over: list[Condition]) -> None:
        self._kind: Kind = kind
        self._subject = subject
        self._over = over
        self._holding: dict[str, Condition] = {}

    def turn(self, now: datetime, codes: Iterable[str]) -> Mapping[str, Condition]:
        """From `now` on exactly `codes` hold. Answers their conditions: those that began before, and new ones."""
        codes = set(codes)
        for code in self._holding.keys() - codes:
            condition = self._holding.pop(code)
            condition.end = now
            self._over.append(condition)
        for code in codes - self._holding.keys():
            self._holding[code] = Condition(code, self._kind, self._subject, now)
        return self._holding

    def finish(self) -> None:
        """What still holds holds for ever."""
        self._over.extend(self._holding.values())


class _Surveyor:
    def __init__(self, examined: Examined, policies: Policies) -> None:
        self.result = Survey()
        self._moment = Moment(examined.settings, policies.quantity_conflict)
        over = self.result.conditions
        self._of_price: dict[str, _Conditions] = {}
        self._of_setting = {name: _Conditions("setting", name, over) for name in SETTINGS}
        self._of_items = _Conditions("items", "", over)
        self._mixed = policies.billing_mode == "flexible"
        self._known = {span.price: span.line.interval for span in examined.spans if span.price and span.line.interval}
        self._intervals: Counter[BillingInterval] = Counter()
        self._covering: dict[Span, None] = {}
        self._billed = False
        self._hole: tuple[datetime, Ids] | None = None

    def go_past(self, boundary: Boundary) -> None:
        """Go past the next boundary."""
        turn = self._moment.turn(boundary)
        for track in turn.touched:
            self._look_at_price(track.price, track.codes, boundary.now)
        self._look_at_settings(boundary.now)
        self._look_at_items(turn, boundary.now)
        self._look_for_gaps(turn, boundary)

    def finish(self) -> None:
        """There are no more boundaries."""
        for conditions in (*self._of_price.values(), *self._of_setting.values(), self._of_items):
            conditions.finish()

    def _look_at_price(self, price: str, codes: Mapping[str, Roll], now: datetime) -> None:
        if price not in self._of_price:
            if not codes:
                return
            self._of_price[price] = _Conditions("price", price, self.result.conditions)
        for code, condition in self._of_price[price].turn(now, codes).items():
            condition.listing.read(codes[code])

    def _look_at_settings(self, now: datetime) -> None:
        for name, stated in self._moment.settings.stated.items():
            codes = ["property_conflict"] if len(stated.values) > 1 else []
            for condition in self._of_setting[name].turn(now, codes).values():
                condition.listing.read(stated.orders)

    def _look_at_items(self, turn: Turn, now: datetime) -> None:
        for track in turn.appeared:
            if interval := self._known.get(track.price):
                self._intervals[interval] += 1
        for track in turn.vanished:
            if interval := self._known.get(track.price):
                self._intervals[interval] -= 1
                if not self._intervals[interval]:
                    del self._intervals[interval]
        codes = ["too_many_items"] if len(self._moment.items) > MAX_ITEMS else []
        if refused_together(self._intervals, mixed=self._mixed):
            codes.append("interval_conflict")
        for code, condition in self._of_items.turn(now, codes).items():
            for track in self._moment.items.values() if condition.start == now else turn.touched:
                if track.value is not None and (code == "too_many_items" or track.price in self._known):
                    condition.listing.read(track.counted)

    def _look_for_gaps(self, turn: Turn, boundary: Boundary) -> None:
        for span in boundary.ended:
            self._covering.pop(span, None)
        for span in boundary.begun:
            if span.price is None:
                self._covering[span] = None
        billed = bool(self._moment.items or self._covering)
        if self._billed and not billed:
            self._hole = boundary.now, _just_before(turn, boundary)
        elif billed and self._hole is not None:
            since, before = self._hole
            self._hole = None
            after = [span.lines for span in self._covering]
            after += [lines for track in self._moment.items.values() for lines in track.all.present]
            self.result.gaps.append(Gap(since, boundary.now, before, _flat(after)))
        self._billed = billed


def _just_before(turn: Turn, boundary: Boundary) -> Ids:
    """The lines that were billed, or at least covered their time, until a boundary after which nothing is."""
    vanished = {track.price for track in turn.vanished}
    begun = {span.lines for span in boundary.begun}
    before = [span.lines for span in boundary.ended if span.price is None or span.price in vanished]
    before += [lines for track in turn.vanished for lines in track.all.present if lines not in begun]
    return _flat(before)


def _flat(groups: Iterable[Ids]) -> Ids:
    return tuple(dict.fromkeys(line for lines in groups for line in lines))
