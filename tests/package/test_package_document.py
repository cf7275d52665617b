"""The page about the package names all of it, and its commands are those of Salesforce's command line."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

import pytest

from sandbox.build import ROOT
from tests.documents.blocks import blocks_of
from tests.package.node import salesforce
from tests.package.sources import DIRECTORIES, SETTINGS, found, members, text, texts

PAGE = ROOT / "docs" / "salesforce.md"
SNIPPETS = [block.text for block in blocks_of(PAGE) if block.kind == "sh"]
# The command without `sf`, and the flags that it is given.
COMMANDS = [
    (" ".join(takewhile(lambda word: word[:2] != "--", line.split()[1:])), {word for word in line.split() if word[:2] == "--"})
    for snippet in SNIPPETS
    for line in snippet.splitlines()
    if line.strip().startswith("sf ")
]


def section(heading: str) -> str:
    return PAGE.read_text("utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]


def named(heading: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", section(heading)))


def components() -> set[str]:
    """All but the fields of the mapping, which has a page of its own."""
    kinds = (
        *("ApexClass", "CustomObject", "CustomPermission", "EventRelayConfig", "ExternalClientApplication"),
        *("ExternalCredential", "ExtlClntAppGlobalOauthSettings", "ExtlClntAppOauthConfigurablePolicies"),
        *("ExtlClntAppOauthSettings", "Flow", "NamedCredential", "PermissionSet", "PlatformEventChannel"),
        *("PlatformEventChannelMember", "QuickAction"),
    )
    whole = {name for kind in kinds for name in members(kind)}
    of_objects = {name.partition(".")[2] for kind in ("ListView", "ValidationRule") for name in members(kind)}
    own_fields = {name.partition(".")[2] for name in members("CustomField") if re.search(r"Cancellation_|_Billing__c", name)}
    messages = {
        f"{name}.{one}" for name, root in members("Workflow").items() for one in texts(root, "outboundMessages/fullName")
    }
    return whole | of_objects | own_fields | messages


def test_every_component_is_listed() -> None:
    said = named("What is in it")
    assert components() <= said
    assert said - components() - set(DIRECTORIES) <= {"SyncLogRecords", "X-Api-Key", "Api"}


def test_the_flows_send_what_is_said() -> None:
    rows = dict(re.findall(r"^\| `(Orderphase_\w+)` \| .*? \| `([\w.]+)` \|$", section("The flows"), re.MULTILINE))
    sent = {
        name: text(one, "value/stringValue")
        for name, flow in members("Flow").items()
        for one in found(flow, "actionCalls/inputParameters")
        if text(one, "name") == "eventType" and found(flow, "start/object")
    }
    assert rows == sent


def test_the_permission_sets_are_told() -> None:
    assert set(re.findall(r"^\| `(Orderphase_\w+)` \|", section("Permission sets"), re.MULTILINE)) == set(
        members("PermissionSet")
    )


def test_each_directory_is_deployed_with_what_it_needs() -> None:
    """What a directory needs is exported before it, in the same snippet or an earlier one."""
    exported: set[str] = set()
    deployed = []
    for snippet in SNIPPETS:
        exported |= set(re.findall(r"\b(ORDERPHASE_\w+)=", snippet))
        for directory in re.findall(r"deploy start --source-dir (\S+)", snippet):
            deployed.append(directory)
            for one in SETTINGS["replacements"]:
                if one.get("filename", one.get("glob", "")).startswith(f"{directory}/"):
                    assert one["replaceWithEnv"] in exported
    assert sorted(deployed) == sorted(DIRECTORIES)
    assert exported == {one["replaceWithEnv"] for one in SETTINGS["replacements"]}


@pytest.mark.parametrize("command", sorted({command for command, _ in COMMANDS}))
def test_the_commands_have_the_flags(command: str, tmp_path: Path) -> None:
    done = salesforce(*command.split(), "--help", cwd=tmp_path, home=tmp_path)
    assert done.returncode == 0, done.stderr
    used = set[str]().union(*(flags for one, flags in COMMANDS if one == command))
    if command == "project deploy start":
        used |= set(re.findall(r"--[a-z][a-z-]+", re.sub(r"```.*?```", "", PAGE.read_text("utf-8"), flags=re.DOTALL)))
        used -= {"--stack"}
        assert {"--dry-run", "--test-level", "--tests"} <= used
    assert [flag for flag in used if not re.search(rf"(?<![\w-]){flag}(?![\w-])", done.stdout)] == []


def test_what_a_person_reads_is_what_the_formula_says() -> None:
    formula = text(members("CustomField")["Order.Stripe_Billing__c"], "formula")
    section_text = re.sub(r"\s+", " ", section("For people"))
    for said in re.findall(r"\*([A-Z][^*]+)\*", section_text.split("List views")[0]):
        if said != "Stripe Billing":
            assert re.sub(r" \d{4}-\d\d-\d\d$", "", said) in formula
    labels = {text(root, "label") for kind in ("ListView", "QuickAction") for root in members(kind).values()}
    assert {one for one in labels if f"*{one}*" in section_text} == labels
