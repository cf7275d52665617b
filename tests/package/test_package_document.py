"""The page about the package names all of it, and its commands are those of Salesforce's command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from itertools import takewhile
from pathlib import Path

import pytest

from orderphase.ingress.salesforce import SWITCHES
from sandbox.build import ROOT
from sandbox.processes import environment
from tests.documents.blocks import blocks_of
from tests.package.node import salesforce
from tests.package.sources import BASE, DIRECTORIES, PROJECT, files, found, members, text, texts
from tests.package.stand_ins import STACK, TOKEN, stand_ins
from tests.template.cloudformation import load

PAGE = ROOT / "docs" / "salesforce.md"
SNIPPETS = [block.text for block in blocks_of(PAGE) if block.kind == "sh"]
# The command without `sf`, and the flags that it is given.
COMMANDS = [
    (" ".join(takewhile(lambda word: word[:2] != "--", line.split()[1:])), {word for word in line.split() if word[:2] == "--"})
    for snippet in SNIPPETS
    for line in snippet.splitlines()
    if line.strip().startswith("sf ")
]


_LIMIT_SECONDS = 120


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


def test_each_flow_has_its_parameter() -> None:
    """The step that activates the flows has all of them, each with what switches the same flow on in the stack."""
    rows = re.findall(r"^ +\| (`\w+=.*) \| \*(Orderphase: [^*]+)\* \|$", section("Install"), re.MULTILINE)
    said = {label: re.findall(r"`(\w+)=(\w+)`", given) for given, label in rows}
    triggered = {
        text(root, "label"): text(one, "value/stringValue")
        for root in members("Flow", BASE).values()
        for one in found(root, "actionCalls/inputParameters")
        if text(one, "name") == "eventType" and found(root, "start/object")
    }
    assert {label: given[0] for label, given in said.items()} == {
        label: (SWITCHES[event], "on") for label, event in triggered.items()
    }
    parameters = load()["Parameters"]
    assert [one for given in said.values() for one in given if one[1] not in parameters[one[0]]["AllowedValues"]] == []


def run(script: str, folder: Path, project: Path, **other: str) -> subprocess.CompletedProcess[str]:
    """Run a script in one shell, with stand-ins for both programs; they note the commands in `commands` in the folder."""
    variables = {
        "PATH": f"{stand_ins(folder / 'bin')}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(folder),
        "COMMANDS": str(folder / "commands"),
        "ORDERPHASE_STACK": STACK,
        "SECRET": json.dumps({"SALESFORCE_OUTBOUND_TOKEN": TOKEN}),
    }
    command = ["bash", "-euo", "pipefail", "-c", script]
    env = environment(**(variables | other))
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False)


def test_the_commands_do_what_the_page_says(tmp_path: Path) -> None:
    """In one shell, from the first to the last, in a copy of the project."""
    project = tmp_path / "salesforce"
    shutil.copytree(PROJECT, project)
    done = run("\n".join(SNIPPETS), tmp_path, project)
    assert done.returncode == 0, done.stdout + done.stderr
    commands = [line.split() for line in (tmp_path / "commands").read_text().splitlines()]
    deployed, deleted = ([one[4] for one in commands if one[1] == verb] for verb in ("deploy", "delete"))
    assert sorted(deployed) == sorted(deleted) == sorted(DIRECTORIES)
    assert (deployed[0], deleted[-1]) == (BASE, BASE)
    assert len(commands) == len(COMMANDS)
    # What was deleted is a copy.
    assert {path.relative_to(project) for path in project.rglob("*-meta.xml")} == {one.relative_to(PROJECT) for one in files()}


@pytest.mark.parametrize(
    ("given", "told"),
    [({"ORDERPHASE_STACK": ""}, "ORDERPHASE_STACK"), ({"ORDERPHASE_STACK": "another"}, "another"), ({"SECRET": "{}"}, "TOKEN")],
)
def test_an_address_that_is_not_known_is_told(given: dict[str, str], told: str, tmp_path: Path) -> None:
    """Before anything is deployed with half of it."""
    addresses = "\n".join(re.sub(r"^sf .*$", "", one, flags=re.MULTILINE) for one in SNIPPETS[:-1])
    assert run(addresses, tmp_path, tmp_path).returncode == 0
    (tmp_path / "again").mkdir()
    done = run(addresses, tmp_path / "again", tmp_path, **given)
    assert done.returncode != 0
    assert told in done.stderr


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
