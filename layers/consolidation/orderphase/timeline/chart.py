"""What a timeline shows, in which words, and where on the axis: the same for text and SVG."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from orderphase.domain.calendar import day, period
from orderphase.domain.differences import Difference
from orderphase.domain.findings import Finding
from orderphase.domain.lines import Discount, Order
from orderphase.domain.money import plain
from orderphase.domain.phases import Consolidation, Phase, Place, discount_text
from orderphase.domain.planning import Plan
from orderphase.domain.schedules import DEFAULT_COLLECTION, HeldPhase, HeldSchedule, held_spans

_TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class TimelineLine:
    """An order line as a timeline shows it. `start` and `end` are UTC instants, `end` exclusive and None where it is open.

    name: what a reader knows it by. order: the order's number.
    """

    id: str
    name: str
    quantity: Decimal
    start: datetime
    end: datetime | None
    order: str


def timeline_lines(orders: Iterable[Order]) -> tuple[TimelineLine, ...]:
    """The lines of `orders`, in order of time; a line without a name goes by its price."""
    lines = [
        TimelineLine(line.id, line.name or line.price or line.id, line.quantity, line.start, line.end, order.number)
        for order in orders
        for line in order.lines
    ]
    return tuple(sorted(lines, key=lambda line: (line.start, line.order, line.name, line.id)))


class Scale:
    """Puts instants on an axis of whole units (columns or pixels), 0 to `extent`, in proportion to calendar time.

    Different instants are at least `least` units apart as long as all of them fit, however close they are in time. Where
    something is open-ended, an eighth of the axis is left behind the last instant.
    """

    def __init__(self, moments: Iterable[datetime], *, extent: int, least: int, open_ended: bool) -> None:
        self.extent = extent
        self.open_ended = open_ended
        self.moments = sorted(set(moments))
        room = extent - extent // 8 if open_ended else extent
        self._positions = dict(zip(self.moments, _spread(self.moments, room, least), strict=True))

    def at(self, moment: datetime | None) -> int:
        """Where an instant is that the scale was made with; None = an open end, the far edge."""
        return self.extent if moment is None else self._positions[moment]


def _spread(moments: Sequence[datetime], room: int, least: int) -> list[int]:
    if not moments:
        return []
    first, steps = moments[0], len(moments) - 1
    span = moments[-1] - first
    places = [round((moment - first) / span * room) if span else 0 for moment in moments]
    least = min(least, room // steps) if steps else least
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + least)
    places[-1] = min(places[-1], room)
    for index in range(steps - 1, -1, -1):
        places[index] = min(places[index], places[index + 1] - least)
    return places


@dataclass(frozen=True, slots=True)
class Stretch:
    """A phase as a timeline shows it: when, and in words what is billed. `end` None = open."""

    start: datetime
    end: datetime | None
    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Track:
    """A row of phases. `kind`: what one of them is called."""

    name: str
    kind: str
    stretches: Sequence[Stretch]


@dataclass(frozen=True, slots=True)
class Chart:
    """The content of one timeline, in words. Dates are shown in `zone`; `now` has a mark, where it is given."""

    lines: Sequence[TimelineLine]
    tracks: Sequence[Track]
    findings: Sequence[Finding]
    zone: ZoneInfo
    now: datetime | None = None
    ending: str = ""

    def scale(self, *, extent: int, least: int) -> Scale:
        """The axis for everything that has a place in time."""
        intervals = self._intervals()
        moments = [*self._moments(intervals), *([self.now] if self.now else [])]
        return Scale(moments, extent=extent, least=least, open_ended=any(end is None for _, end in intervals))

    def line_label(self, line: TimelineLine) -> str:
        """Name and quantity, and the order where there are several."""
        several = len({line.order for line in self.lines}) > 1
        label = f"{line.name} {_TIMES} {plain(line.quantity)}"
        return printable(f"{line.order} {label}" if several else label)

    def period(self, start: datetime, end: datetime | None) -> str:
        """An interval for a person."""
        return period(start, end, self.zone)

    def day(self, moment: datetime) -> str:
        """An instant for a person."""
        return day(moment, self.zone)

    def ticks(self, scale: Scale) -> list[tuple[int, str]]:
        """Positions with dates, the most telling first: both ends, then the phases', then all others."""
        moments = sorted(set(self._moments(self._intervals())))
        stretches = [stretch for track in self.tracks for stretch in track.stretches]
        bounds = [bound for one in stretches for bound in (one.start, one.end) if bound is not None]
        ranked = dict.fromkeys([*moments[:1], *moments[-1:], *bounds, *moments])
        return [(scale.at(moment), self.day(moment)) for moment in ranked]

    def _intervals(self) -> list[tuple[datetime, datetime | None]]:
        return [
            *((line.start, line.end) for line in self.lines),
            *((one.start, one.end) for track in self.tracks for one in track.stretches),
            *((one.start, one.end) for one in self.findings if one.start is not None),
        ]

    @staticmethod
    def _moments(intervals: Iterable[tuple[datetime, datetime | None]]) -> list[datetime]:
        return [moment for interval in intervals for moment in interval if moment is not None]


def consolidation_chart(lines: Sequence[TimelineLine], consolidated: Consolidation, zone: ZoneInfo) -> Chart:
    """Order lines above the phases that they become."""
    phases = _wanted(consolidated.phases, lines, consolidated.currency)
    tracks = [Track("phases", "phase", phases)] if phases else []
    return Chart(lines, tracks, consolidated.findings, zone, ending=_ending(consolidated.phases, zone))


def plan_chart(lines: Sequence[TimelineLine], plan: Plan) -> Chart:
    """Order lines above the phases that Stripe holds today, and those that are wanted."""
    situation = plan.situation
    tracks = []
    if situation.schedule is not None:
        tracks.append(Track("today", "today", _held(situation.schedule, _names_of_prices(plan.wanted, lines), plan.currency)))
    if plan.wanted:
        tracks.append(Track("planned", "planned", _wanted(plan.wanted, lines, plan.currency)))
    return Chart(lines, tracks, plan.findings, situation.zone, situation.now, _ending(plan.wanted, situation.zone))


def _ending(phases: Sequence[Phase], zone: ZoneInfo) -> str:
    """What happens after the last phase; nothing where there is no phase."""
    if not phases:
        return ""
    end = phases[-1].end
    if end is None:
        return "The subscription goes on until it is ended."
    return f"The subscription ends on {day(end, zone)}."


def _wanted(phases: Iterable[Phase], lines: Iterable[TimelineLine], currency: str | None) -> list[Stretch]:
    names = {line.id: line.name for line in lines}
    return [Stretch(one.start, one.end, _words(_wanted_words(one, names, currency))) for one in phases]


def _wanted_words(phase: Phase, names: Mapping[str, str], currency: str | None) -> Iterator[str]:
    """What is billed during a phase: its items, then its settings."""
    for item in phase.items:
        known = list(dict.fromkeys(names[line] for line in item.lines if line in names))
        yield _item(" / ".join(known) or item.price, item.quantity, _off(item.discount, currency))
    settings = phase.settings
    yield from _settings(_off(settings.discount, currency), settings.collection_method, settings.days_until_due)


def called_by_name(changes: Iterable[Difference], plan: Plan, lines: Iterable[TimelineLine]) -> list[Difference]:
    """The changes with what a price is called before its id, where the lines say so."""
    names = {price: name for price, name in _names_of_prices(plan.wanted, lines).items() if name != price}
    return [replace(one, what=_called(one.what, names)) for one in changes]


def _called(what: str, names: Mapping[str, str]) -> str:
    words = []
    for word in what.split(" "):
        price = word.rstrip(",")
        words.append(f"{names[price]} ({price}){word.removeprefix(price)}" if price in names else word)
    return " ".join(words)


def _names_of_prices(phases: Iterable[Phase], lines: Iterable[TimelineLine]) -> dict[str, str]:
    """What the lines of each price are called; the names of a price's lines are told together."""
    names = {line.id: line.name for line in lines}
    known: dict[str, dict[str, None]] = {}
    for item in (item for phase in phases for item in phase.items):
        known.setdefault(item.price, {}).update(dict.fromkeys(names[line] for line in item.lines if line in names))
    return {price: " / ".join(found) for price, found in known.items() if found}


def _held(schedule: HeldSchedule, names: Mapping[str, str], currency: str) -> list[Stretch]:
    """The phases of a schedule, up to where it was ended. After the last one, a subscription that is let go goes on."""
    over = None if schedule.live else schedule.ended_at
    stretches = [
        Stretch(one.start, one.end if over is None else min(one.end, over), _words(_held_words(schedule, one, names, currency)))
        for one in schedule.phases
        if over is None or one.start < over
    ]
    goes_on = schedule.end_behavior == "release" if schedule.live else schedule.subscription_lives
    return [*stretches[:-1], replace(stretches[-1], end=None)] if goes_on and stretches else stretches


def _held_words(schedule: HeldSchedule, phase: HeldPhase, names: Mapping[str, str], currency: str) -> Iterator[str]:
    for price, quantity in phase.quantities.items():
        yield _item(names.get(price, price), quantity, _held_off(phase, price, currency))
    content = held_spans(schedule, [phase])[0].content
    stated = content.collection_method if content.collection_method != DEFAULT_COLLECTION else None
    yield from _settings(_held_off(phase, None, currency), stated, content.days_until_due)


def _item(name: str, quantity: int | None, off: str) -> str:
    """An item; Stripe counts the usage of one without a quantity."""
    text = f"{name} {_TIMES} {'usage' if quantity is None else quantity}"
    return f"{text}, {off}" if off else text


def _settings(off: str, collection_method: str | None, days_until_due: int | None) -> Iterator[str]:
    if off:
        yield f"all {off}"
    if collection_method is not None:
        yield f"{collection_method}, due in {days_until_due} days" if days_until_due is not None else collection_method


def _off(discount: Discount | None, currency: str | None) -> str:
    return f"{discount_text(discount.percent_off, discount.amount_off, currency)} off" if discount else ""


def _held_off(phase: HeldPhase, place: Place, currency: str) -> str:
    """The discounts at a place; one whose value is not known by its id."""
    discounts = phase.discounts_at(place)
    return " and ".join(_off(one.value, currency) or f"{one.coupon or one.id}" for one in discounts)


def _words(parts: Iterable[str]) -> list[str]:
    return [printable(part) for part in parts]


def place_labels(ticks: Iterable[tuple[int, str]], *, extent: int, unit: int, rows: int) -> list[list[tuple[int, str]]]:
    """Put labels below their positions, so that none touches another; those for which there is no room are left out.

    Earlier ticks go first. A label starts at its tick; at the far end it is moved back to end at `extent`. `unit` is the
    width of one column of text. Answers at most `rows` rows of (start, label), those without a label left out.
    """
    placed: list[list[tuple[int, str]]] = [[] for _ in range(rows)]
    for position, label in ticks:
        width = columns(label) * unit
        start = max(0, min(position, extent - width))
        for row in placed:
            if all(start >= other + (columns(text) + 1) * unit or other >= start + width + unit for other, text in row):
                row.append((start, label))
                break
    return [sorted(row) for row in placed if row]


def printable(text: str) -> str:
    """The text on one line, without what a terminal would take for a command or XML refuses."""
    return "".join(char if char.isprintable() else " " if char.isspace() else "\N{REPLACEMENT CHARACTER}" for char in text)


def columns(text: str) -> int:
    """How many columns of a terminal the text takes. Unicode (UAX #11): wide characters take two, combining ones none."""
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def cut(text: str, width: int) -> str:
    """The text, shortened to `width` columns; an ellipsis shows where."""
    if columns(text) <= width:
        return text
    while text and columns(text) >= width:
        text = text[:-1]
    return f"{text}…" if width > 0 else ""
