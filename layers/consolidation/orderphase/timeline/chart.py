"""What a timeline shows, in which words, and where on the axis: the same for text and SVG."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from orderphase.domain.calendar import day, period
from orderphase.domain.lines import Discount, Order
from orderphase.domain.money import plain
from orderphase.domain.phases import Consolidation, Phase, PhaseItem, discount_text

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
class Chart:
    """The content of one timeline, in words. Dates are shown in `zone`."""

    lines: Sequence[TimelineLine]
    consolidated: Consolidation
    zone: ZoneInfo

    def scale(self, *, extent: int, least: int) -> Scale:
        """The axis for everything that has a place in time."""
        intervals = [
            *((line.start, line.end) for line in self.lines),
            *((phase.start, phase.end) for phase in self.consolidated.phases),
            *((one.start, one.end) for one in self.consolidated.findings if one.start is not None),
        ]
        moments = [moment for interval in intervals for moment in interval if moment is not None]
        return Scale(moments, extent=extent, least=least, open_ended=any(end is None for _, end in intervals))

    def line_label(self, line: TimelineLine) -> str:
        """Name and quantity, and the order where there are several."""
        several = len({line.order for line in self.lines}) > 1
        label = f"{line.name} {_TIMES} {plain(line.quantity)}"
        return printable(f"{line.order} {label}" if several else label)

    def items(self, phase: Phase) -> list[str]:
        """What is billed during a phase: its items, then its settings."""
        parts = [self._item(item) for item in phase.items]
        settings = phase.settings
        if settings.discount is not None:
            parts.append(f"all {self._off(settings.discount)}")
        if settings.collection_method is not None:
            due = f", due in {settings.days_until_due} days" if settings.days_until_due is not None else ""
            parts.append(f"{settings.collection_method}{due}")
        return [printable(part) for part in parts]

    def phases(self) -> list[tuple[Phase, str, list[str]]]:
        """Every phase: itself, when, and what is billed."""
        return [(phase, self.period(phase.start, phase.end), self.items(phase)) for phase in self.consolidated.phases]

    def period(self, start: datetime, end: datetime | None) -> str:
        """An interval for a person."""
        return period(start, end, self.zone)

    def day(self, moment: datetime) -> str:
        """An instant for a person."""
        return day(moment, self.zone)

    def ending(self) -> str:
        """What happens after the last phase; nothing where there is no phase."""
        if not self.consolidated.phases:
            return ""
        end = self.consolidated.phases[-1].end
        if end is None:
            return "The subscription goes on until it is ended."
        return f"The subscription ends on {self.day(end)}."

    def ticks(self, scale: Scale) -> list[tuple[int, str]]:
        """Positions with dates, the most telling first: both ends, then the phases', then all others."""
        bounds = [bound for phase in self.consolidated.phases for bound in (phase.start, phase.end) if bound is not None]
        ranked = dict.fromkeys([*scale.moments[:1], *scale.moments[-1:], *bounds, *scale.moments])
        return [(scale.at(moment), self.day(moment)) for moment in ranked]

    def _item(self, item: PhaseItem) -> str:
        names = {line.id: line.name for line in self.lines}
        known = list(dict.fromkeys(names[line] for line in item.lines if line in names))
        text = f"{' / '.join(known) or item.price} {_TIMES} {item.quantity}"
        return f"{text}, {self._off(item.discount)}" if item.discount else text

    def _off(self, discount: Discount) -> str:
        return f"{discount_text(discount.percent_off, discount.amount_off, self.consolidated.currency)} off"


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
