"""Timelines as stand-alone SVG: no script, no font, no address; readable in light and dark, aloud and in print."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

from orderphase.domain.differences import Sign
from orderphase.domain.phases import Consolidation
from orderphase.domain.planning import Plan
from orderphase.timeline.changes import foot, head, plan_changes
from orderphase.timeline.chart import (
    Chart,
    TimelineLine,
    Track,
    called_by_name,
    columns,
    consolidation_chart,
    cut,
    place_labels,
    plan_chart,
    printable,
)

WIDTH = 960
_MARGIN, _RIGHT, _PAD = 200, 24, 20
_ROW, _BAR = 28, 16
_COLUMN = 7  # roughly the width of a character
_LINE_HEIGHT = 18
_LEAST = 14
_DATE_ROWS = 2
_GAP = 8  # between two rows of phases
_ITEMS = 6  # so many items are written into a phase

_KINDS: dict[Sign, str] = {"+": "added", "~": "changed", "-": "removed"}

_UTC = ZoneInfo("UTC")

_STYLE = """
.orderphase-timeline{font:13px system-ui,sans-serif;--paper:#fff;--ink:#1f2937;--soft:#6b7280;--rule:#e5e7eb;
--line:#4f46e5;--phase:#eef2ff;--error:#dc2626;--warning:#b45309}
@media (prefers-color-scheme:dark){.orderphase-timeline{--paper:#111827;--ink:#e5e7eb;--soft:#9ca3af;--rule:#374151;
--line:#818cf8;--phase:#1e1b4b;--error:#f87171;--warning:#fbbf24}}
.orderphase-timeline text{fill:var(--ink)}.orderphase-timeline .date{fill:var(--soft)}
.orderphase-timeline .number{font-weight:600}.orderphase-timeline .paper{fill:var(--paper)}
.orderphase-timeline .rule{stroke:var(--rule)}.orderphase-timeline .line{fill:var(--line)}
.orderphase-timeline .phase{fill:var(--phase);stroke:var(--line)}
.orderphase-timeline .error,.orderphase-timeline .warning{fill-opacity:.2;stroke-dasharray:4 3}
.orderphase-timeline .error{fill:var(--error);stroke:var(--error)}
.orderphase-timeline .warning{fill:var(--warning);stroke:var(--warning)}
""".strip()

_PLAN_STYLE = """
.orderphase-timeline .now{stroke:var(--error);stroke-width:2}
.orderphase-timeline .added{fill:#15803d}.orderphase-timeline .changed{fill:var(--warning)}
.orderphase-timeline .removed{fill:var(--error)}
@media (prefers-color-scheme:dark){.orderphase-timeline .added{fill:#4ade80}}
""".rstrip()


def draw_svg(lines: Sequence[TimelineLine], consolidated: Consolidation, *, title: str, zone: ZoneInfo = _UTC) -> str:
    """Draw order lines as bars, findings below them, then the phases and the dates, 960 units wide.

    The description holds everything that is drawn, in words. Its classes are below `orderphase-timeline`, so several
    timelines, and other things, get along on one page.
    """
    return _Drawing(consolidation_chart(lines, consolidated, zone)).render(title)


def draw_plan_svg(lines: Sequence[TimelineLine], plan: Plan, *, subject: str, title: str) -> str:
    """Draw the phases that Stripe holds today beside those that are wanted, now, and below them what the plan changes.

    subject: whom a new schedule is for, as in `contract 800…`. Otherwise as `draw_svg`.
    """
    chart = plan_chart(lines, plan)
    changes = called_by_name(plan_changes(plan), plan, chart.lines)
    told = [(f"{one.sign} {one.what}, {chart.period(one.start, one.end)}", _KINDS[one.sign]) for one in changes]
    return _Drawing(chart).render(
        title, [(head(plan, subject), "number"), *told, *((text, "") for text in foot(plan, changes))]
    )


class _Drawing:
    """Draws from top to bottom; `y` is how far it has come."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.scale = chart.scale(extent=WIDTH - _MARGIN - _RIGHT, least=_LEAST)
        self.parts: list[str] = []
        self.y = _PAD

    def render(self, title: str, below: Sequence[tuple[str, str]] = ()) -> str:
        """The picture. `below`: rows of text and their class, which follow the dates."""
        now = self.chart.now
        mark = self._label_of_now(now) if now else None
        self._rows()
        rules_end = self.y
        too_narrow = [text for track in self.chart.tracks for text in self._track(track)]
        bars_end = self.y
        self._dates()
        for text, kind in [*((text, "") for text in too_narrow), *below]:
            self._text(_MARGIN, self.y + 13, text, kind)
            self.y += _LINE_HEIGHT
        height = self.y + _PAD
        places = sorted({x for x, _ in self.chart.ticks(self.scale)})
        head = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="orderphase-timeline" viewBox="0 0 {WIDTH} {height}" role="img">',
            f"<title>{_escaped(title)}</title>",
            f"<desc>{_escaped(' '.join([*_words(self.chart), *(text for text, _ in below)]))}</desc>",
            f"<style>{_STYLE if self.chart.now is None else _STYLE + _PLAN_STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height}" rx="8"/>',
            *(f'<path class="rule" d="M{_MARGIN + x} {_PAD - 8}V{rules_end}"/>' for x in places),
        ]
        over = [] if mark is None else [f'<path class="now" d="M{mark} {_PAD - 8}V{bars_end}"/>']
        return "\n".join([*head, *self.parts, *over, "</svg>\n"])

    def _label_of_now(self, now: datetime) -> int:
        """Write the date of now on the side of its mark where there is room; answers where the mark is."""
        label, x = f"now, {self.chart.day(now)}", self.scale.at(now)
        width = columns(label) * _COLUMN
        self._text(_MARGIN + (x + 6 if x + 6 + width <= self.scale.extent else x - 6 - width), self.y + 5, label, "date")
        self.y += _LINE_HEIGHT
        return _MARGIN + x

    def _rows(self) -> None:
        chart = self.chart
        if not chart.lines:
            self._row("No order lines.", "", "")
        for line in chart.lines:
            label = chart.line_label(line)
            self._row(label, self._bar(line.start, line.end, "line"), f"{label}, {chart.period(line.start, line.end)}")
        for number, one in enumerate(chart.findings, 1):
            if one.start is not None:
                bar = self._bar(one.start, one.end, one.severity)
                self._row(f"finding {number}", bar, printable(f"{one.code}: {one.message}"))

    def _row(self, label: str, bar: str, words: str) -> None:
        self._text(_PAD, self.y + 13, cut(label, (_MARGIN - _PAD) // _COLUMN - 1))
        if bar:
            self.parts.append(f"<g><title>{_escaped(words)}</title>{bar}</g>")
        self.y += _ROW

    def _bar(self, start: datetime, end: datetime | None, kind: str) -> str:
        first, last, y = _MARGIN + self.scale.at(start), _MARGIN + self.scale.at(end), self.y
        if end is None:
            tip = last - _BAR // 2
            return f'<path class="{kind}" d="M{first} {y}H{tip}L{last} {y + _BAR // 2}L{tip} {y + _BAR}H{first}Z"/>'
        if end <= start:
            return f'<path class="{kind}" d="M{first} {y}l5 {_BAR // 2}l-5 {_BAR // 2}l-5 -{_BAR // 2}Z"/>'
        return f'<rect class="{kind}" x="{first}" y="{y}" width="{last - first}" height="{_BAR}" rx="3"/>'

    def _track(self, track: Track) -> list[str]:
        """Draw a row of phases; answers in words those that are too narrow for their content."""
        at, period = self.scale.at, self.chart.period
        entries = [
            (_MARGIN + at(one.start), _MARGIN + at(one.end), one.end is None, period(one.start, one.end), one.items)
            for one in track.stretches
        ]
        fitting = [_fits(last - first, items) for first, last, _, _, items in entries]
        tallest = max([len(items) for (*_, items), fits in zip(entries, fitting, strict=True) if fits], default=0)
        height = _LINE_HEIGHT * (tallest + 1) + 8
        self._text(_PAD, self.y + 17, track.name)
        too_narrow = []
        which = "" if len(self.chart.tracks) == 1 else f"{track.name} "
        for number, ((first, last, is_open, when, items), fits) in enumerate(zip(entries, fitting, strict=True), 1):
            words = f"{when}: {'; '.join(items)}"
            box = _box(first, last, self.y, height, is_open=is_open)
            self.parts.append(f"<g><title>{_escaped(f'{track.kind.capitalize()} {number}, {words}')}</title>{box}</g>")
            if fits:
                self._text(first + 8, self.y + 17, f"Phase {number}", "number")
                for row, item in enumerate(items, 1):
                    self._text(first + 8, self.y + 17 + row * _LINE_HEIGHT, item)
            else:
                self._text(first + 3, self.y + 17, str(number), "number")
                too_narrow.append(f"{which}{number}  {words}")
        self.y += height + (_GAP if track is not self.chart.tracks[-1] else 0)
        return too_narrow

    def _dates(self) -> None:
        for row in place_labels(self.chart.ticks(self.scale), extent=self.scale.extent, unit=_COLUMN, rows=_DATE_ROWS):
            for x, label in row:
                self._text(_MARGIN + x, self.y + 16, label, "date")
            self.y += _LINE_HEIGHT

    def _text(self, x: int, y: int, text: str, kind: str = "") -> None:
        attribute = f'class="{kind}" ' if kind else ""
        self.parts.append(f'<text {attribute}x="{x}" y="{y}">{_escaped(text)}</text>')


def _box(first: int, last: int, y: int, height: int, *, is_open: bool) -> str:
    """A phase; an open one has no right edge."""
    if is_open:
        return f'<path class="phase" d="M{last} {y}H{first}v{height}H{last}"/>'
    return f'<rect class="phase" x="{first}" y="{y}" width="{last - first}" height="{height}"/>'


def _fits(width: int, items: Sequence[str]) -> bool:
    widest = max(columns(text) for text in ("Phase 10", *items))
    return len(items) <= _ITEMS and widest * _COLUMN + 12 <= width


def _words(chart: Chart) -> Iterator[str]:
    if not chart.lines:
        yield "No order lines."
    for line in chart.lines:
        yield f"Order line {chart.line_label(line)}, {chart.period(line.start, line.end)}."
    if chart.now is not None:
        yield f"Now is {chart.day(chart.now)}."
    for track in chart.tracks:
        for number, stretch in enumerate(track.stretches, 1):
            when = chart.period(stretch.start, stretch.end)
            yield f"{track.kind.capitalize()} {number}, {when}: {'; '.join(stretch.items)}."
    yield chart.ending
    for number, one in enumerate(chart.findings, 1):
        yield printable(f"Finding {number}, {one.severity}, {one.code}: {one.message} To do: {one.remedy}")


def _escaped(text: str) -> str:
    return escape(printable(text))
