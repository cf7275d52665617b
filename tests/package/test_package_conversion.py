"""Salesforce's own command line reads the package, finds all of its components, and puts in what differs from org to org."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from orderphase.salesforce.client import API_VERSION
from tests.package.node import TOOLS, convert, parse_apex
from tests.package.sources import (
    BASE,
    DIRECTORIES,
    MARK,
    PROJECT,
    SETTINGS,
    files,
    found,
    member,
    members,
    text,
    texts,
    type_of,
    variables_of,
)

VALUES = {
    "ORDERPHASE_API_URL": "https://api.example.com/prod",
    "ORDERPHASE_CONTACT_EMAIL": "billing@example.com",
    "ORDERPHASE_INTEGRATION_USER": "orderphase@example.com",
    "ORDERPHASE_OUTBOUND_URL": "https://api.example.com/prod/salesforce/outbound-messages/token",
    "ORDERPHASE_AWS_REGION": "EU-CENTRAL-1",
    "ORDERPHASE_AWS_ACCOUNT": "123456789012",
}


def listed(package: Path) -> dict[str, set[str]]:
    """The members of a package.xml by their types."""
    root = ET.parse(package).getroot()
    assert text(root, "version") == API_VERSION
    return {text(one, "name"): set(texts(one, "members")) for one in found(root, "types")}


def made(directory: str) -> dict[str, set[str]]:
    """The same of the sources. The messages of a workflow are components too."""
    components: defaultdict[str, set[str]] = defaultdict(set)
    for path in files(directory):
        components[type_of(path)].add(member(path))
    for name in components.get("Workflow", ()):
        workflow = members("Workflow", directory)[name]
        components["WorkflowOutboundMessage"].update(f"{name}.{one}" for one in texts(workflow, "outboundMessages/fullName"))
    return dict(components)


def needed(directory: str) -> dict[str, str]:
    """What has to be given for a directory."""
    return {name: VALUES[name] for name in variables_of(directory)}


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_the_command_line_finds_every_component(directory: str, tmp_path: Path) -> None:
    answer = convert(PROJECT, directory, tmp_path / "out", **needed(directory))
    assert (answer["status"], answer["warnings"]) == (0, []), answer
    assert listed(tmp_path / "out" / "package.xml") == made(directory)
    written = "".join(path.read_text("utf-8") for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert MARK not in written
    assert [value for value in needed(directory).values() if value not in written] == []


def test_a_value_that_is_not_given_is_told(tmp_path: Path) -> None:
    answer = convert(PROJECT, BASE, tmp_path / "out")
    assert answer["status"] != 0
    assert "ORDERPHASE_API_URL" in answer["message"]


def test_every_mark_is_replaced() -> None:
    """By one replacement each, in files that have it; and there is no mark that has none."""
    for one in SETTINGS["replacements"]:
        paths = [PROJECT / one["filename"]] if "filename" in one else sorted(PROJECT.glob(one["glob"]))
        assert paths
        assert all(one["stringToReplace"] in path.read_text("utf-8") for path in paths)
        assert one["stringToReplace"] == f"__{one['replaceWithEnv']}__"
    marked = {path for path in files() if MARK in path.read_text("utf-8")}
    replaced = {
        path
        for one in SETTINGS["replacements"]
        for path in ([PROJECT / one["filename"]] if "filename" in one else PROJECT.glob(one["glob"]))
    }
    assert marked == replaced


def test_the_apex_can_be_parsed(tmp_path: Path) -> None:
    broken = tmp_path / "Broken.cls"
    broken.write_text("public class Broken { void run() { Integer i = ; } }")
    sources = sorted(PROJECT.rglob("*.cls"))
    answer = parse_apex(*sources, broken)
    assert answer.pop(str(broken))["errors"]
    assert len(answer) == len(sources) == len(members("ApexClass"))
    for one in answer.values():
        assert one["errors"] == []
        assert one["calls"] > 5


def test_the_tools_are_pinned_by_hash_and_without_an_address() -> None:
    tools = PROJECT / "tools"
    wanted = json.loads((tools / "package.json").read_text("utf-8"))["devDependencies"]
    lock = json.loads((tools / "package-lock.json").read_text("utf-8"))["packages"]
    assert lock[""]["devDependencies"] == wanted
    for name, version in wanted.items():
        assert lock[f"node_modules/{name}"]["version"] == version
        assert json.loads((TOOLS / "node_modules" / name / "package.json").read_text("utf-8"))["version"] == version
    packages = {path: one for path, one in lock.items() if path}
    assert [path for path, one in packages.items() if "integrity" not in one and not one.get("inBundle")] == []
    assert "://" not in (tools / "package-lock.json").read_text("utf-8")
