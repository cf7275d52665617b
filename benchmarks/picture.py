"""Figures as a picture: every ratio as a bar on a logarithmic scale, with its target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from benchmarks.figures import Figure

mpl.use("svg")
# Text stays text, and the same figures give the same file.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "orderphase", "font.size": 8})

_MET, _MISSED, _TOLD = "#2e7d32", "#c62828", "#90a4ae"
_ROW, _HEAD, _WIDTH = 0.2, 0.9, 12.0
"""Inches."""


def draw(figures: Sequence[Figure], target: Path) -> None:
    """Write the picture (SVG) of some figures; one below the other, a panel for each part."""
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415 (after the kind of picture is chosen)

    parts = list(dict.fromkeys(one.part for one in figures))
    rows = [[one for one in figures if one.part == part] for part in parts]
    heights = [len(some) * _ROW + _HEAD for some in rows]
    canvas = Canvas(figsize=(_WIDTH, sum(heights)), layout="constrained")
    panels = canvas.subplots(len(parts), 1, squeeze=False, height_ratios=heights)
    for panel, part, some in zip(panels.flat, parts, rows, strict=True):
        places = range(len(some))
        colours = [_TOLD if one.met is None else _MET if one.met else _MISSED for one in some]
        # From 1, the floor, to both sides.
        panel.barh(places, [one.ratio - 1 for one in some], left=1, color=colours, height=0.7)
        marked = [(one.target, place) for one, place in zip(some, places, strict=True) if one.target is not None]
        if marked:
            panel.scatter(*zip(*marked, strict=True), marker="|", s=60, color="black", zorder=3)
        panel.axvline(1, color="black", linewidth=0.8)
        panel.set_xscale("log")
        panel.set_yticks(places, [f"{one.name} / {one.against}" for one in some])
        panel.set_ylim(len(some) - 0.5, -0.5)
        panel.set_title(f"{part}: measured / floor or alternative ( | target)", loc="left")
        for place, one in zip(places, some, strict=True):
            panel.annotate(f" {one.ratio:.2f}", (max(one.ratio, 1), place), va="center")
    canvas.savefig(target, metadata={"Creator": None, "Date": None})
