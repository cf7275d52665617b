"""The documents hang together: what they link to exists, and so does what they name."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from orderphase.domain.findings import REMEDIES
from orderphase.domain.planning import ENDS_AT, GENERATION
from orderphase.stripe.customers import CURRENCY, FIRST
from sandbox.build import ROOT
from tests.documents.blocks import DOCUMENTS, blocks_of
from tests.documents.made import anchor
from tests.documents.pictures import PICTURES
from tests.documents.reading import prose, table_below

DOCS = ROOT / "docs"
PACKAGE = ROOT / "layers" / "consolidation" / "orderphase"
README = ROOT / "README.md"

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


def anchors(document: Path) -> set[str]:
    """What the headings of a document are linked to by."""
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)}


@documents
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", prose(document)):
        path, _, fragment = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        if fragment:
            assert fragment in anchors(target), link


@documents
def test_files_that_are_named_exist(document: Path) -> None:
    # Made by make, and so not there in a fresh clone.
    made = (".venv/", ".tools/", ".stack/", ".aws-sam/")
    named = re.findall(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:yaml|toml|md|json))`", prose(document))
    for name in named:
        assert name.startswith(made) or any((base / name).exists() for base in (ROOT, PACKAGE, PACKAGE.parent)), name


@documents
def test_targets_that_are_named_are_in_the_makefile(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = {
        *re.findall(r"`make ([a-z]+)", prose(document)),
        *(command.split()[1] for block in blocks_of(document) for command in block.commands if command.startswith("make ")),
    }
    assert commands <= targets
    assert document != README or commands >= {"demo", "test", "local", "setup"}


@documents
def test_findings_that_are_linked_are_ones(document: Path) -> None:
    """A link to a finding is called after it."""
    for code, fragment in re.findall(r"\[`(\w+)`\]\([\w./-]*findings\.md#(\w+)\)", document.read_text()):
        assert code == fragment
        assert code in REMEDIES


def test_every_document_can_be_reached_from_the_index() -> None:
    found, ahead = set(), {DOCS / "README.md"}
    while ahead:
        page = ahead.pop()
        found.add(page)
        links = {(page.parent / link).resolve() for link in re.findall(r"\]\(([^)#]+\.md)", prose(page))}
        ahead |= links - found
    assert {document for document in DOCUMENTS if document.is_relative_to(DOCS)} <= found


def test_every_snapshot_is_tried_where_it_is_linked() -> None:
    for snapshot in (DOCS / "how-to").glob("*.json"):
        pages = [page for page in (DOCS / "how-to").glob("*.md") if f"]({snapshot.name})" in page.read_text()]
        shown = [f"docs/how-to/{snapshot.name}" in page.read_text() for page in pages]
        drawn = any(source == f"docs/how-to/{snapshot.name}" for source, _ in PICTURES.values())
        assert any(shown) or drawn, snapshot.name


def test_the_decisions_are_numbered() -> None:
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (DOCS / "decisions" / "README.md").read_text())
    assert listed == sorted(path.name for path in (DOCS / "decisions").glob("[0-9]*.md"))
    assert [int(name[:4]) for name in listed] == [*range(1, len(listed) + 1)]


@documents
def test_commands_that_are_named_exist(document: Path) -> None:
    for command, options in re.findall(r"`(?:\.venv/bin/)?orderphase ([a-z][a-z-]*)([^`]*)`", prose(document)):
        known = help_of(command)
        assert set(re.findall(r"--[a-z-]+", options)) <= set(re.findall(r"--[a-z-]+", known)), f"orderphase {command}{options}"


@cache
def help_of(command: str) -> str:
    """What `orderphase COMMAND --help` says."""
    program = Path(sys.executable).with_name("orderphase")
    return subprocess.run([program, command, "--help"], capture_output=True, text=True, check=True).stdout


def test_every_decision_says_the_same_things() -> None:
    for path in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        headings = re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "How to reverse"], path.name
        assert re.search(r"^Date: \d{4}-\d{2}-\d{2}\.", path.read_text(), re.MULTILINE), path.name


def test_every_command_is_described() -> None:
    described = re.findall(r"^## orderphase ([\w-]+)$", (DOCS / "command-line.md").read_text(), re.MULTILINE)
    done = subprocess.run([Path(sys.executable).with_name("orderphase"), "--help"], capture_output=True, text=True, check=True)
    assert described == re.findall(r"^    ([\w-]+) ", done.stdout, re.MULTILINE)
    assert set(described) == set(re.findall(r"`\.venv/bin/orderphase ([\w-]+) [A-Z[]", README.read_text()))


def test_every_key_of_the_metadata_is_listed() -> None:
    listed = {key for key, _ in table_below("Lease and ledger", DOCS / "how-it-works.md")}
    source = "".join(path.read_text() for folder in ("domain", "flows", "stripe") for path in (PACKAGE / folder).glob("*.py"))
    written = set(re.findall(r'"(salesforce_\w+_ids?)"', source)) | {GENERATION, ENDS_AT, CURRENCY, FIRST}
    # Of a contract, or of an order that has none.
    assert 'f"salesforce_{kind}_id"' in source
    assert listed == written | {"salesforce_contract_id", "salesforce_order_id"}
