"""The table of docs/python.md: every public name, with what its docstring says first."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from tests.documents.made import code, table

PUBLIC: dict[str, tuple[str, ...]] = {
    "orderphase.salesforce.snapshot": ("read_snapshot", "read_situated", "Snapshot", "Situated"),
    "orderphase.mapping": ("load_mapping", "read_mapping", "FieldMapping"),
    "orderphase.domain.policies": ("Policies",),
    "orderphase.domain.lines": ("Order", "OrderLine", "Discount"),
    "orderphase.domain.pricing": ("priced",),
    "orderphase.domain.consolidation": ("consolidate",),
    "orderphase.domain.phases": ("Consolidation", "Phase", "PhaseItem", "PhaseSettings"),
    "orderphase.domain.findings": ("Finding", "REMEDIES", "has_errors", "as_text"),
    "orderphase.domain.planning": ("Plan",),
    "orderphase.cli.plan": ("plan_situated",),
    "orderphase.timeline": ("timeline_lines", "draw_text", "draw_svg", "draw_plan", "draw_plan_svg"),
    "orderphase.errors": ("OrderphaseError", "DataError", "ConfigurationError"),
}
"""What is public, by module."""


def names() -> str:
    """The table of all of them."""
    rows = []
    for module, public in PUBLIC.items():
        rows += [[code(module), code(name), said_of(import_module(module), name)] for name in public]
    return table(["Module", "Name", "Is"], rows)


def said_of(module: Any, name: str) -> str:
    """The first sentence of a name's docstring. Raises AttributeError where the module has no such name."""
    one = getattr(module, name)
    if isinstance(one, dict):
        return "What to do, by finding code."
    return " ".join((inspect.getdoc(one) or "").split("\n\n")[0].split())
