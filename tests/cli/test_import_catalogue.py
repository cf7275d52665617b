"""`orderphase import`: what it says, as text and as JSON, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orderphase.bootstrap import commands
from orderphase.errors import ConfigurationError
from orderphase.flows.catalogue_import import Imported, Tally
from orderphase.settings import FlowSettings
from tests.cli.conftest import Command


def done(refused: dict[str, str] | None = None) -> Imported:
    products = Tally(found=3, written=2, unchanged=1)
    prices = Tally(found=10, written=5, unchanged=1, skipped={"is tiered": 1, "is a one-time price": 2})
    prices.refused = refused or {}
    return Imported(products, prices, ["price_1: Listed at 1.00 USD every month."], salesforce_calls=7, stripe_calls=2)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Any], list[bool]]:
    """Has the import come to something; answers, for each run, whether it was a dry one."""
    monkeypatch.chdir(tmp_path)
    for field in FlowSettings.model_fields.values():
        monkeypatch.setenv(str(field.alias), "-")

    def give(result: Imported | Exception) -> list[bool]:
        runs: list[bool] = []

        class Import:
            def run(self, *, dry_run: bool) -> Imported:
                runs.append(dry_run)
                if isinstance(result, Exception):
                    raise result
                return result

        monkeypatch.setattr(commands, "catalogue_import", lambda _: Import())
        return runs

    return give


def test_what_it_says(command: Command, given: Callable[[Any], list[bool]]) -> None:
    runs = given(done())

    code, out, err = command(b"", "import")

    assert (code, err, runs) == (0, "", [False])
    assert out.splitlines() == [
        "Catalogue of the environment",
        "",
        "  3 products: 2 written, 1 unchanged, 0 skipped, 0 refused",
        "  10 prices: 5 written, 1 unchanged, 3 skipped, 0 refused",
        "    skipped 2: each is a one-time price",
        "    skipped 1: each is tiered",
        "",
        "To know",
        "  price_1: Listed at 1.00 USD every month.",
        "",
        "Requests: 7 to Salesforce, 2 to Stripe",
    ]


def test_a_dry_run(command: Command, given: Callable[[Any], list[bool]]) -> None:
    runs = given(done())

    code, out, _ = command(b"", "import", "--dry-run")

    assert (code, runs) == (0, [True])
    assert "Catalogue of the environment, nothing written" in out
    assert "3 products: 2 to write, 1 unchanged" in out


def test_what_was_refused(command: Command, given: Callable[[Any], list[bool]]) -> None:
    given(done({"price_2": "No.\x1b[31m (X)"}))

    code, out, _ = command(b"", "import")

    assert code == 1
    assert "\nRefused\n  price_2: No.\N{REPLACEMENT CHARACTER}[31m (X)\n" in out


def test_json(command: Command, given: Callable[[Any], list[bool]]) -> None:
    given(done({"price_2": "No."}))

    code, out, _ = command(b"", "import", "--json", "--dry-run")

    found = json.loads(out)
    assert code == 1
    assert found["dry_run"] is True
    assert found["prices"] == {
        "found": 10,
        "written": 5,
        "unchanged": 1,
        "skipped": {"is tiered": 1, "is a one-time price": 2},
        "refused": {"price_2": "No."},
    }
    assert (found["salesforce_calls"], found["stripe_calls"]) == (7, 2)


def test_a_system_that_cannot_be_reached(command: Command, given: Callable[[Any], list[bool]]) -> None:
    given(ConfigurationError("Salesforce refuses the session"))

    assert command(b"", "import") == (2, "", "orderphase: Salesforce refuses the session\n")
