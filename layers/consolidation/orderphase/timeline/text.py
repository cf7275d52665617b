"""Timelines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from orderphase.domain.phases import Consolidation
from orderphase.timeline.chart import Chart, Scale, TimelineLine, columns, cut, place_labels, printable

MIN_WIDTH = 40
_DATE_ROWS = 2
# Border, room for a digit, border.
_LEAST = 2

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
    if width < MIN_WIDTH:
        raise ValueError(f"width: a timeline needs {MIN_WIDTH} columns")
    chart = Chart(lines, consolidated, zone)
    told = [*_phases(chart, width), *_findings(chart, width)] if words else []
    if not lines:
        return "\n".join(["No order lines.", *told])
    labels = [chart.line_label(line) for line in lines]
    margin = min(max([*(columns(label) for label in labels), len("finding 00")]), width // 3) + 2
    scale = chart.scale(extent=width - margin - 1, least=_LEAST)
    rows = [(label, _bar(scale, line.start, line.end, "█")) for label, line in zip(labels, lines, strict=True)]
    for number, one in enumerate(consolidated.findings, 1):
        if one.start is not None:
            rows.append((f"finding {number}", _bar(scale, one.start, one.end, "!" if one.severity == "error" else "~")))
    rows += _phase_rows(chart, scale) if consolidated.phases else [("", _axis(scale))]
    dates = place_labels(chart.ticks(scale), extent=scale.extent + 1, unit=1, rows=_DATE_ROWS)
    rows += [("", _label_row(row)) for row in dates]
    drawn = [f"{_padded(cut(label, margin - 2), margin)}{picture}".rstrip() for label, picture in rows]
    return "\n".join([*drawn, *told])


def _bar(scale: Scale, start: datetime, end: datetime | None, fill: str) -> str:
    first, last = scale.at(start), scale.at(end)
    if end is None:
        return " " * first + fill * (last - first) + "▶"
    if end <= start:
        return " " * first + "X"
    return " " * first + fill * max(1, last - first)


def _phase_rows(chart: Chart, scale: Scale) -> list[tuple[str, str]]:
    top, middle, bottom = ([" "] * (scale.extent + 1) for _ in range(3))
    spans = [(scale.at(phase.start), scale.at(phase.end), phase.end is None) for phase in chart.consolidated.phases]
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
    return [("", "".join(top)), ("phases", "".join(middle)), ("", "".join(bottom))]


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


def _phases(chart: Chart, width: int) -> Iterator[str]:
    entries = chart.phases()
    if not entries:
        return
    yield ""
    number_width = len(str(len(entries)))
    for number, (_, when, items) in enumerate(entries, 1):
        yield from _hanging(f"phase {number:>{number_width}}  ", f"{when}: {'; '.join(items)}", width)
    yield chart.ending()


def _findings(chart: Chart, width: int) -> Iterator[str]:
    for number, one in enumerate(chart.consolidated.findings, 1):
        yield ""
        yield from _hanging(f"finding {number}  ", printable(f"{one.severity}, {one.code}: {one.message}"), width)
        yield from _hanging(" " * len(f"finding {number}  "), printable(f"To do: {one.remedy}"), width)


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
