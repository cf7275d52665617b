"""Imports run one way: functions, flows, adapters, domain."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.build import ROOT

PACKAGE = ROOT / "layers" / "consolidation" / "orderphase"
# What a function may build on. The composition root is the only one that knows the adapters, and of the domain they need only
# the terms in which a flow is asked for something. The event bus has the poll look again without loading a vendor's library.
OPEN_TO_FUNCTIONS = (
    "bootstrap",
    "domain.cancellation",
    "errors",
    "flows",
    "ingress",
    "loading",
    "scheduled",
    "settings",
    "store.progress",
    "troubles",
    "worker",
)


def imported(source: str) -> Iterator[str]:
    """The modules that a source file imports, by full name. Relative imports are not the house's style."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield from (f"{module}.{alias.name}" for alias in node.names)
            case ast.ImportFrom():
                yield from (f"relative.{alias.name}" for alias in node.names)


def foreign_to_domain(source: str) -> list[str]:
    """What a module of the domain imports though it is neither the standard library's nor the domain's own."""
    roots = {name: name.split(".")[0] for name in imported(source)}
    return [n for n, root in roots.items() if root not in sys.stdlib_module_names and not n.startswith("orderphase.domain.")]


def foreign_to_functions(source: str) -> list[str]:
    """What a handler imports from our package though it is closed to handlers."""
    ours = [name for name in imported(source) if name.split(".")[0] in ("orderphase", "sandbox", "relative")]
    return [name for name in ours if not name.startswith(tuple(f"orderphase.{part}" for part in OPEN_TO_FUNCTIONS))]


def test_the_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("module", sorted((PACKAGE / "domain").rglob("*.py")), ids=lambda path: path.stem)
def test_the_domain_is_pure(module: Path) -> None:
    assert foreign_to_domain(module.read_text()) == []


@pytest.mark.parametrize("handler", sorted((ROOT / "functions").glob("*/*.py")), ids=lambda path: path.parent.name)
def test_handlers_know_flows_and_ingress_only(handler: Path) -> None:
    assert foreign_to_functions(handler.read_text()) == []


def test_a_breach_is_found() -> None:
    source = "import re, boto3\nfrom orderphase.store import lease\nfrom orderphase.domain.phases import Phase\nfrom . import x"
    assert foreign_to_domain(source) == ["boto3", "orderphase.store.lease", "relative.x"]
    assert foreign_to_functions(source) == ["orderphase.store.lease", "orderphase.domain.phases.Phase", "relative.x"]
