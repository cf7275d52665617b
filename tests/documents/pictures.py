"""The pictures of the documents: order lines and the phases that follow, drawn from the snapshots beside them."""

from __future__ import annotations

import json
from pathlib import Path

from orderphase.cli.plan import plan_situated
from orderphase.domain.consolidation import consolidate
from orderphase.mapping import load_mapping
from orderphase.salesforce.snapshot import Situated, read_situated, read_snapshot
from orderphase.timeline import draw_plan, draw_plan_svg, draw_svg, timeline_lines
from sandbox.build import ROOT

PICTURES: dict[str, tuple[str, str]] = {
    "docs/timeline.svg": ("docs/example-snapshot.json", "Two order lines and the phases that follow"),
    "docs/images/amendment.svg": ("docs/example-plan.json", "A change order adds two from April on"),
    "docs/images/reduction.svg": ("docs/how-to/reduction.json", "A reduction order takes four of ten away"),
    "docs/images/ramp.svg": ("docs/how-to/ramp.json", "A contract with three steps"),
    "docs/images/cancellation.svg": ("docs/how-to/cancellation.json", "A contract that is to end on 1 September"),
    "docs/images/discounts.svg": ("docs/how-to/discounts.json", "A discount on a line, and one on an order"),
}
"""Each picture: the snapshot that it is drawn from, and its title. One with a schedule or a cancellation shows the plan."""


def draw(picture: str) -> str:
    """The picture as SVG."""
    source, title = PICTURES[picture]
    text = (ROOT / source).read_bytes()
    mapping = load_mapping()
    if not {"schedule", "cancellation"} & json.loads(text).keys():
        snapshot = read_snapshot(text, mapping)
        return draw_svg(timeline_lines(snapshot.orders), consolidate(snapshot.orders, snapshot.policies), title=title)
    given = read_situated(text, mapping)
    made, _ = plan_situated(given)
    return draw_plan_svg(timeline_lines(given.snapshot.orders), made, subject=_subject(given), title=title)


def preview(file: Path) -> str:
    """What `orderphase preview` shows of a snapshot: timeline and changes, as a fenced block."""
    given = read_situated(file.read_bytes(), load_mapping())
    made, _ = plan_situated(given)
    return f"```text\n{draw_plan(timeline_lines(given.snapshot.orders), made, subject=_subject(given), width=100)}\n```\n"


def _subject(given: Situated) -> str:
    return f"contract {given.snapshot.contract_id}"
