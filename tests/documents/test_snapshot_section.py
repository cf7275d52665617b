"""What docs/command-line.md says of a snapshot is what is read of one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orderphase.cli.plan import plan_situated
from orderphase.domain.findings import has_errors
from orderphase.errors import DataError
from orderphase.mapping import load_mapping
from orderphase.salesforce import snapshot
from sandbox.build import ROOT
from tests.documents.blocks import blocks_of
from tests.documents.reading import table_below

PAGE = ROOT / "docs" / "command-line.md"

# What is left of a record is left out of the example too.
NAMES = snapshot._Names.of(load_mapping())
READ = {
    "the snapshot": {field.alias or name for name, field in snapshot._PlanHead.model_fields.items()},
    "an order": {*NAMES.order.values()},
    "a line": {*NAMES.line.values()},
    "an entry": {*NAMES.entry.values()},
    "a product": {*NAMES.product.values()},
}


def example() -> dict[str, Any]:
    (block,) = [block for block in blocks_of(PAGE) if block.kind == "json"]
    shown: dict[str, Any] = json.loads(block.text)
    return shown


def records(shown: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (order,) = shown["orders"]
    (line,) = order["OrderItems"]
    entry = line["PricebookEntry"]
    return {"the snapshot": shown, "an order": order, "a line": line, "an entry": entry, "a product": entry["Product2"]}


def listed() -> list[tuple[str, str, bool]]:
    """Each key, with what it is in, and whether it is needed."""
    found, within = [], ""
    for kind, keys, needed, *_ in table_below("A snapshot", PAGE):
        within = kind or within
        found += [(within, key, needed == "yes") for key in keys.split(", ")]
    return found


def test_every_key_is_listed_and_shown() -> None:
    for kind, keys in READ.items():
        assert {key for within, key, _ in listed() if within == kind} == keys
        assert records(example())[kind].keys() == keys


def test_the_example_is_read_and_planned() -> None:
    text = json.dumps(example())
    assert snapshot.read_snapshot(text, load_mapping()).contract_id == "800000000000001AAA"
    situated = snapshot.read_situated(text, load_mapping())
    assert (situated.customer_id, situated.cancellation is not None) == ("cus_1", True)
    situated = snapshot.read_situated(json.dumps(example() | {"cancellation": None}), load_mapping())
    plan, _ = plan_situated(situated)
    assert (plan.action, has_errors(plan.findings)) == ("create", False)


@pytest.mark.parametrize(("kind", "key", "needed"), listed())
def test_what_is_needed_is_needed(kind: str, key: str, needed: bool) -> None:
    shown = example()
    del records(shown)[kind][key]
    if needed:
        with pytest.raises(DataError, match=key):
            snapshot.read_snapshot(json.dumps(shown), load_mapping())
    else:
        snapshot.read_snapshot(json.dumps(shown), load_mapping())


def test_a_plan_needs_its_moment() -> None:
    shown = example()
    del shown["now"]
    with pytest.raises(DataError, match="now"):
        snapshot.read_situated(json.dumps(shown), load_mapping())
