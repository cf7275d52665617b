"""Figures as tables: one run for a terminal, several side by side in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from benchmarks.figures import Figure, Unit

_DIGITS: dict[Unit, int] = {"ms": 2, "calls": 0, "modules": 0, "MB": 1, "dollars": 2}


def shown(value: float, unit: Unit) -> str:
    """A value with its unit: `9.97 ms`, `0.004 ms`, `3 calls`."""
    digits = _DIGITS[unit]
    # Small times keep three digits that say something.
    while digits and 0 < abs(value) < 10 ** (1 - digits):
        digits += 1
    return f"{value:,.{digits}f} {unit}"


def _target(one: Figure) -> str:
    return "" if one.target is None else f"{one.target:.2f} {'met' if one.met else 'MISSED'}"


def table(figures: Sequence[Figure]) -> Iterator[str]:
    """Lines for a terminal."""
    rows = [
        (
            one.part,
            one.name,
            shown(one.value, one.unit),
            one.against,
            shown(one.other, one.unit),
            f"{one.ratio:.2f}",
            _target(one),
        )
        for one in figures
    ]
    heads = ("part", "what", "measured", "against", "which is", "ratio", "target")
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        yield "  ".join(
            text.rjust(width) if place in (2, 4, 5) else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()


def side_by_side(runs: Sequence[Sequence[Figure]]) -> Iterator[str]:
    """A table in Markdown for each part, with the runs' values and ratios beside one another."""
    others = [{one.identity: one for one in figures} for figures in runs]
    for part, figures in groupby(runs[-1], key=lambda one: one.part):
        yield f"### {part[0].upper()}{part[1:]}"
        yield ""
        numbers = " | ".join(f"run {number} | ratio" for number in range(1, len(runs) + 1))
        yield f"| what | against | {numbers} | target |"
        yield f"| --- | --- | {' | '.join(['---: | ---:'] * len(runs))} | --- |"
        for last in figures:
            found = [known.get(last.identity) for known in others]
            cells = (f"{shown(one.value, one.unit)} | {one.ratio:.2f}" if one else " | " for one in found)
            kept = {one.met for one in found if one}
            target = "" if last.target is None else f"{last.target:.2f} {'met' if kept == {True} else 'missed'}"
            yield f"| {last.name} | {last.against} | {' | '.join(cells)} | {target} |"
        yield ""
