"""What is wrong between lines and orders: one sweep finds each gap, and how long each conflict lasts and whom it concerns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from orderphase.domain.catalogue import BillingInterval, refused_together
from orderphase.domain.checks import Examined
from orderphase.domain.findings import severity
from orderphase.domain.overlaps import SETTINGS, Ids, Listing, Moment, PriceTrack, flat
from orderphase.domain.policies import Policies
from orderphase.domain.spans import Boundary

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
    """All conditions and gaps of a contract. refused: whether one of them is an error."""

    conditions: list[Condition] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    refused: bool = False

    def begin(self, condition: Condition) -> None:
        """Something holds from now on."""
        self.conditions.append(condition)
        self._found(condition.code)

    def leave(self, gap: Gap) -> None:
        """Nothing was billed for a while."""
        self.gaps.append(gap)
        self._found("phase_gap")

    def _found(self, code: str) -> None:
        self.refused = self.refused or severity(code) == "error"


class _Conditions:
    """The conditions of one subject that hold, by code."""

    def __init__(self, kind: Kind, subject: str, survey: Survey) -> None:
        self.holding: dict[str, Condition] = {}
        self._kind: Kind = kind
        self._subject = subject
        self._survey = survey

    def turn(self, now: datetime, codes: Iterable[str]) -> Mapping[str, Condition]:
        """From `now` on exactly `codes` hold. Answers their conditions: those that began before, and new ones."""
        codes = set(codes)
        for code in self.holding.keys() - codes:
            self.holding.pop(code).end = now
        for code in codes - self.holding.keys():
            self.holding[code] = Condition(code, self._kind, self._subject, now)
            self._survey.begin(self.holding[code])
        return self.holding


class Surveyor:
    """Finds every conflict between the spans, and every gap, as the sweep goes past the boundaries.

    It looks only at what the last boundary has touched, and at conditions that hold.
    """

    def __init__(self, examined: Examined, policies: Policies, moment: Moment) -> None:
        self.result = Survey()
        self._moment = moment
        self._of_price: dict[str, _Conditions] = {}
        self._of_setting = {name: _Conditions("setting", name, self.result) for name in SETTINGS}
        self._of_items = _Conditions("items", "", self.result)
        self._mixed = policies.billing_mode == "flexible"
        intervals = ((span.price, span.line.interval) for span in examined.spans if span.price)
        known = {price: interval for price, interval in intervals if interval}
        # Where there is but one, nothing is to be compared.
        self._known = known if len(set(known.values())) > 1 else {}
        self._intervals: dict[BillingInterval, int] = {}
        self._clash = False
        self._billed = False
        self._hole: tuple[datetime, Ids] | None = None

    def look(self, boundary: Boundary) -> None:
        """Look at what the moment has become at a boundary that it has just gone past."""
        moment = self._moment
        for track in moment.touched:
            if track.codes or track.price in self._of_price:
                self._look_at_price(track, boundary.now)
        if moment.restated:
            self._look_at_settings(boundary.now)
        if moment.changed and self._known:
            self._count_intervals()
        if len(moment.items) > MAX_ITEMS or self._clash or self._of_items.holding:
            self._look_at_items(boundary.now)
        billed = bool(moment.items or moment.covering)
        if billed is not self._billed:
            self._look_at_gap(boundary)
            self._billed = billed

    def _look_at_price(self, track: PriceTrack, now: datetime) -> None:
        if track.price not in self._of_price:
            self._of_price[track.price] = _Conditions("price", track.price, self.result)
        for code, condition in self._of_price[track.price].turn(now, track.codes).items():
            condition.listing.read(track.codes[code])

    def _look_at_settings(self, now: datetime) -> None:
        for name, stated in self._moment.settings.stated.items():
            codes = ["property_conflict"] if len(stated.values) > 1 else []
            for condition in self._of_setting[name].turn(now, codes).values():
                condition.listing.read(stated.orders)

    def _look_at_items(self, now: datetime) -> None:
        moment = self._moment
        codes = ["too_many_items"] if len(moment.items) > MAX_ITEMS else []
        if self._clash:
            codes.append("interval_conflict")
        for code, condition in self._of_items.turn(now, codes).items():
            for track in moment.items.values() if condition.start == now else moment.touched:
                if track.value is not None and (code == "too_many_items" or track.price in self._known):
                    condition.listing.read(track.counted)

    def _count_intervals(self) -> None:
        """Keep in step how often each interval is billed, and whether Stripe takes those that are."""
        others = False
        for track in self._moment.touched:
            interval = self._known.get(track.price)
            if interval is None or (track.was is None) is (track.value is None):
                continue
            appears = track.was is None
            count = self._intervals.pop(interval, 0) + (1 if appears else -1)
            if count:
                self._intervals[interval] = count
            others = others or count == (1 if appears else 0)
        if others:
            self._clash = refused_together(self._intervals, mixed=self._mixed)

    def _look_at_gap(self, boundary: Boundary) -> None:
        """Something is billed, or at least covers its time, and before nothing did; or the other way round."""
        moment = self._moment
        if self._billed:
            self._hole = boundary.now, _just_before(moment, boundary)
        elif self._hole is not None:
            since, before = self._hole
            after = [span.lines for span in moment.covering]
            after += [lines for track in moment.items.values() for lines in track.present]
            self.result.leave(Gap(since, boundary.now, before, flat(after)))


def _just_before(moment: Moment, boundary: Boundary) -> Ids:
    """The lines that were billed, or at least covered their time, until a boundary after which nothing is."""
    vanished = {track.price: track for track in moment.touched if track.was is not None}
    begun = {span.lines for span in boundary.begun}
    before = [span.lines for span in boundary.ended if span.price is None or span.price in vanished]
    before += [lines for track in vanished.values() for lines in track.present if lines not in begun]
    return flat(before)
