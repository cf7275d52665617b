"""Timelines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from orderphase.domain.differences import Sign
from orderphase.domain.phases import Consolidation
from orderphase.domain.planning import Plan
from orderphase.timeline.changes import foot, head, plan_changes
from orderphase.timeline.chart import (
    Chart,
    Scale,
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

MIN_WIDTH = 40
_DATE_ROWS = 2
# Border, room for a digit, border.
_LEAST = 2

# ANSI: bold, and the colours of what is added, changed and removed.
_BOLD = 1
_COLORS: dict[Sign, int] = {"+": 32, "~": 33, "-": 31}

_UTC = ZoneInfo("UTC")


def draw_text(
    lines: Sequence[TimelineLine],
    consolidated: Consolidation,
    *,
    width: int = 80,
    zone: ZoneInfo = _UTC,
    words: bool = True,
) -> str:
    """Draw order lines as bars, findings below them, then the phases and the dates; with `words`, tell both in words too.

    No line is wider than `width` columns, save where a single word is. Raises ValueError below 40 columns.
    """
    chart = consolidation_chart(lines, consolidated, zone)
    told = _told(chart, width) if words else []
    return "\n".join([*_drawn(chart, width), *told])


def draw_plan(
    lines: Sequence[TimelineLine], plan: Plan, *, subject: str, width: int = 80, words: bool = True, color: bool = False
) -> str:
    """Draw order lines, the phases that Stripe holds today beside those that are wanted, and now; then what the plan changes.

    subject: whom a new schedule is for, as in `contract 800…`. With `words`, phases and findings are told as well. With
    `color`, the changes have ANSI colours. As wide as `draw_text`.
    """
    chart = plan_chart(lines, plan)
    told = [*_told(chart, width), ""] if words else [""]
    return "\n".join([*_drawn(chart, width), *told, *_diff(chart, plan, subject, width, color=color)])


def _drawn(chart: Chart, width: int) -> list[str]:
    if width < MIN_WIDTH:
        raise ValueError(f"width: a timeline needs {MIN_WIDTH} columns")
    lines = chart.lines
    if not lines:
        return ["No order lines."]
    labels = [chart.line_label(line) for line in lines]
    margin = min(max([*(columns(label) for label in labels), len("finding 00")]), width // 3) + 2
    scale = chart.scale(extent=width - margin - 1, least=_LEAST)
    rows = [("now", _mark(scale, chart.now, chart.day(chart.now)))] if chart.now else []
    rows += [(label, _bar(scale, line.start, line.end, "█")) for label, line in zip(labels, lines, strict=True)]
    for number, one in enumerate(chart.findings, 1):
        if one.start is not None:
            rows.append((f"finding {number}", _bar(scale, one.start, one.end, "!" if one.severity == "error" else "~")))
    for track in chart.tracks:
        rows += _track_rows(track, scale)
    if not chart.tracks:
        rows.append(("", _axis(scale)))
    dates = place_labels(chart.ticks(scale), extent=scale.extent + 1, unit=1, rows=_DATE_ROWS)
    rows += [("", _label_row(row)) for row in dates]
    return [f"{_padded(cut(label, margin - 2), margin)}{picture}".rstrip() for label, picture in rows]


def _mark(scale: Scale, moment: datetime, label: str) -> str:
    """Points down at a moment; its date stands on the side where there is room, if there is."""
    at = scale.at(moment)
    if at + 1 + len(label) < scale.extent:
        return f"{' ' * at}▼ {label}"
    return f"{label} ▼".rjust(at + 1) if len(label) < at else f"{' ' * at}▼"


def _bar(scale: Scale, start: datetime, end: datetime | None, fill: str) -> str:
    first, last = scale.at(start), scale.at(end)
    if end is None:
        return " " * first + fill * (last - first) + "▶"
    if end <= start:
        return " " * first + "X"
    return " " * first + fill * max(1, last - first)


def _track_rows(track: Track, scale: Scale) -> list[tuple[str, str]]:
    top, middle, bottom = ([" "] * (scale.extent + 1) for _ in range(3))
    spans = [(scale.at(one.start), scale.at(one.end), one.end is None) for one in track.stretches]
    for number, (first, last, is_open) in enumerate(spans, 1):
        for row in (top, bottom):
            row[first + 1 : last] = "─" * (last - first - 1)
        name = str(number)
        if last - first > len(name):
            at = first + (2 if last - first > len(name) + 2 else 1)
            middle[at : at + len(name)] = name
        if is_open:
            top[last] = bottom[last] = "▶"
    starts = {first for first, _, _ in spans}
    ends = {last for _, last, is_open in spans if not is_open}
    for place in starts | ends:
        both = (place in starts) + 2 * (place in ends)
        top[place], middle[place], bottom[place] = "┌┐┬"[both - 1], "│", "└┘┴"[both - 1]
    return [("", "".join(top)), (track.name, "".join(middle)), ("", "".join(bottom))]


def _axis(scale: Scale) -> str:
    row = ["─"] * (scale.extent + 1)
    for moment in scale.moments:
        row[scale.at(moment)] = "┴"
    if scale.open_ended:
        row[-1] = "▶"
    return "".join(row)


def _label_row(labels: Iterable[tuple[int, str]]) -> str:
    row = ""
    for start, label in labels:
        row += " " * (start - columns(row)) + label
    return row


def _told(chart: Chart, width: int) -> list[str]:
    """The phases and the findings in words."""
    return [*_phases(chart, width), *_findings(chart, width)]


def _phases(chart: Chart, width: int) -> Iterator[str]:
    for track in chart.tracks:
        yield ""
        number_width = len(str(len(track.stretches)))
        for number, one in enumerate(track.stretches, 1):
            text = f"{chart.period(one.start, one.end)}: {'; '.join(one.items)}"
            yield from _hanging(f"{track.kind} {number:>{number_width}}  ", text, width)
    if chart.ending:
        yield chart.ending


def _findings(chart: Chart, width: int) -> Iterator[str]:
    for number, one in enumerate(chart.findings, 1):
        yield ""
        yield from _hanging(f"finding {number}  ", printable(f"{one.severity}, {one.code}: {one.message}"), width)
        yield from _hanging(" " * len(f"finding {number}  "), printable(f"To do: {one.remedy}"), width)


def _diff(chart: Chart, plan: Plan, subject: str, width: int, *, color: bool) -> Iterator[str]:
    """What a plan changes, with when it does in a column of its own where that fits."""
    changes = called_by_name(plan_changes(plan), plan, chart.lines)
    told = [(one.sign, printable(one.what), chart.period(one.start, one.end)) for one in changes]
    room = width - len("  ~   ") - max([len(when) for _, _, when in told], default=0)
    aligned = min(max([columns(what) for _, what, _ in told], default=0), room)
    for row in _hanging("", printable(head(plan, subject)), width):
        yield _colored(row, _BOLD if color else None)
    for sign, what, when in told:
        if columns(what) <= aligned:
            rows = [f"  {sign} {_padded(what, aligned)}  {when}"]
        else:
            rows = [*_hanging(f"  {sign} ", what, width), *_hanging(" " * len("  ~ "), when, width)]
        for row in rows:
            yield _colored(row, _COLORS[sign] if color else None)
    for text in foot(plan, changes):
        yield from _hanging("", text, width)


def _colored(text: str, color: int | None) -> str:
    return text if color is None else f"\x1b[{color}m{text}\x1b[0m"


def _hanging(head: str, text: str, width: int) -> Iterator[str]:
    """The text behind `head`, wrapped, with every further line below the text."""
    line, indent = head, " " * columns(head)
    for number, word in enumerate(text.split()):
        if number and columns(line) + 1 + columns(word) > width and line.strip():
            yield line.rstrip()
            line = indent + word
        else:
            line = f"{line} {word}" if number else line + word
    yield line.rstrip()


def _padded(text: str, width: int) -> str:
    return text + " " * (width - columns(text))
