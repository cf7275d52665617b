"""The documents are true: what they link to exists, what they show runs, what they list is what the code has."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from functions.salesforce_webhook.app import SWITCHES
from functions.stripe_webhook.app import SWITCHES as STRIPE_SWITCHES
from orderphase import mapping, settings
from orderphase.cli.plan import plan_situated
from orderphase.domain.consolidation import consolidate
from orderphase.domain.findings import REMEDIES, finding
from orderphase.domain.planning import ENDS_AT, GENERATION
from orderphase.domain.policies import Policies
from orderphase.errors import ConfigurationError, DataError
from orderphase.ingress.events import CancellationData, EventData, MirrorData, OrderItemData, RecordData, parse
from orderphase.ingress.signature import verify
from orderphase.mapping import Defaults, FieldMapping, load_mapping, read_mapping
from orderphase.salesforce.snapshot import read_situated, read_snapshot
from orderphase.stripe.client import OWN_KEYS
from orderphase.stripe.customers import CURRENCY, FIRST
from orderphase.timeline import draw_plan, draw_svg, timeline_lines
from sandbox import build, vendors
from sandbox.build import FLOWS, ROOT
from tests.template.cloudformation import load

README = ROOT / "README.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
HOW_IT_WORKS = ROOT / "docs" / "how-it-works.md"
FINDINGS = ROOT / "docs" / "findings.md"
COMMAND_LINE = ROOT / "docs" / "command-line.md"
SNAPSHOT = ROOT / "docs" / "example-snapshot.json"
SITUATED = ROOT / "docs" / "example-plan.json"
PICTURE = ROOT / "docs" / "timeline.svg"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]
TEMPLATE = load()

# Read below ORDERPHASE_ by each function: which classes of settings read it, and what the documents call it.
EACH_FLOW = "each flow"
FUNCTIONS: dict[str, tuple[set[type[BaseModel]], str]] = {
    "SalesforceWebhookFunction": ({settings.WebhookSettings}, "salesforce_webhook"),
    "StripeWebhookFunction": ({settings.StripeWebhookSettings}, "stripe_webhook"),
    "EventBusFunction": ({settings.EventBusSettings, settings.WorkerSettings}, "event_bus"),
    **{f"{flow}Function": ({settings.FlowSettings, settings.WorkerSettings}, EACH_FLOW) for flow in FLOWS},
    "RollingWindowFunction": ({settings.RollingWindowSettings}, "rolling_window"),
    "PollFunction": ({settings.FlowSettings, settings.PollSettings}, "poll"),
    "ReconciliationSweepFunction": ({settings.SweepSettings}, "reconciliation_sweep"),
    "RecoveryFunction": ({settings.FlowSettings, settings.RecoverySettings}, "recovery"),
}
# Listed once, though these have them too.
AS_EACH_FLOW = ("poll", "recovery")
SECRETS: dict[str, type[BaseModel]] = {
    "SalesforceWebhookSecret": settings.WebhookSecrets,
    "SalesforceSecret": settings.SalesforceCredentials,
    "StripeSecret": settings.StripeCredentials,
}

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def blocks(document: Path, kind: str) -> list[str]:
    """The fenced blocks of a kind, without the indentation of a list around them."""
    found = re.findall(rf"^( *)```{kind}\n(.*?)^ *```$", document.read_text(), re.MULTILINE | re.DOTALL)
    return ["\n".join(line.removeprefix(indent) for line in text.splitlines()) for indent, text in found]


def prose(document: Path) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def table(heading: str, document: Path = CONFIGURATION) -> Iterator[list[str]]:
    """The rows of the table below a heading, code marks removed."""
    section = document.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    for row in rows[2:]:
        yield [cell.strip().replace("`", "") for cell in row.strip("|").split("|")]


def aliases(*models: type[BaseModel]) -> set[str]:
    return {str(field.alias) for model in models for field in model.model_fields.values()}


# Links, files, commands


@documents
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", prose(document))
    assert links
    for link in links:
        path, _, fragment = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        if fragment:
            assert fragment in {anchor(heading) for heading in re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)}, link


@documents
def test_files_that_are_named_exist(document: Path) -> None:
    # Made by make, and so not there in a fresh clone.
    made = (".venv/", ".tools/", ".stack/")
    named = re.findall(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:yaml|toml|md|json))`", prose(document))
    package = ROOT / "layers" / "consolidation" / "orderphase"
    for name in named:
        assert name.startswith(made) or any((base / name).exists() for base in (ROOT, package)), name


@documents
def test_targets_that_are_named_are_in_the_makefile(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [
        *re.findall(r"`make ([a-z]+)`", prose(document)),
        *re.findall(r"^\$ make ([a-z]+)$", document.read_text(), re.MULTILINE),
    ]
    assert set(commands) <= targets
    assert document != README or {"demo", "test", "local", "setup"} <= set(commands)


def test_commands_with_an_answer_answer_so() -> None:
    sessions = [block for block in blocks(COMMAND_LINE, "console") if ".venv/bin/orderphase" in block]
    assert [session.split()[2] for session in sessions] == ["consolidate", "plan"]
    for session in sessions:
        command, _, answer = session.partition("\n")
        program, *arguments = shlex.split(command.removeprefix("$ "))
        done = subprocess.run(
            [Path(sys.executable).with_name(Path(program).name), *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert abridges(answer.splitlines(), done.stdout.splitlines())


def abridges(shown: list[str], whole: list[str]) -> bool:
    """Whether what is shown is the whole, but for what lines with `…` stand for."""
    if not shown or shown[0].strip() != "…":
        return shown[:1] == whole[:1] and (not shown or abridges(shown[1:], whole[1:]))
    return any(abridges(shown[1:], whole[left:]) for left in range(1, len(whole)))


def test_what_is_abridged_is_the_same_but_for_what_is_left_out() -> None:
    whole = ["{", "  1", "  2", "  3", "}"]
    assert abridges(whole, whole)
    assert abridges(["{", "  …", "  3", "}"], whole)
    for wrong in (
        ["{", "  …", "}", "}"],
        ["{", "  1", "}"],
        ["  …", "  2"],
        ["{", "  1", "  2", "  3", "  …", "}"],
        whole[:-1],
    ):
        assert not abridges(wrong, whole)


@documents
def test_shell_and_toml_snippets_parse(document: Path) -> None:
    for snippet in blocks(document, "sh"):
        subprocess.run(["bash", "-n"], input=snippet, text=True, check=True)
    for snippet in blocks(document, "toml"):
        tomllib.loads(snippet)
    for snippet in blocks(document, "json"):
        json.loads(snippet)


def test_the_signed_request_is_one_that_the_route_takes() -> None:
    (snippet,) = [block for block in blocks(README, "sh") if "openssl" in block]
    signing = snippet.partition("curl")[0] + 'printf \'%s\\n%s\' "t=$t,v1=$v1" "$body"'
    done = subprocess.run(
        ["bash", "-c", signing], env={"secret": "s3cret", "PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    )
    header, _, body = done.stdout.partition(b"\n")
    verify(header.decode(), body, ["s3cret"], datetime.now(UTC))
    assert parse(body).type == "order.activated"


def test_the_excerpt_of_the_demo_is_what_it_says() -> None:
    (excerpt,) = [block for block in blocks(README, "text") if "✓" in block]
    source = "".join(path.read_text() for path in (ROOT / "sandbox" / "demo").rglob("*.py"))
    claims = re.findall(r"✓ (.+)", excerpt)
    assert claims
    assert all(f'"{claim}"' in source for claim in claims)


def test_every_command_is_described() -> None:
    described = re.findall(r"^## orderphase (\w+)$", COMMAND_LINE.read_text(), re.MULTILINE)
    done = subprocess.run([Path(sys.executable).with_name("orderphase"), "--help"], capture_output=True, text=True, check=True)
    assert described == re.findall(r"^    (\w+) ", done.stdout, re.MULTILINE)
    assert set(described) == set(re.findall(r"`\.venv/bin/orderphase (\w+) [A-Z[]", README.read_text()))


def test_the_preview_is_that_of_the_example() -> None:
    (shown,) = blocks(COMMAND_LINE, "text")
    given = read_situated(SITUATED.read_bytes(), load_mapping())
    made, _ = plan_situated(given)
    lines, subject = timeline_lines(given.snapshot.orders), f"contract {given.snapshot.contract_id}"
    assert shown == draw_plan(lines, made, subject=subject, width=100)


def test_the_picture_is_drawn_from_the_example() -> None:
    snapshot = read_snapshot(SNAPSHOT.read_bytes(), load_mapping())
    drawn = draw_svg(
        timeline_lines(snapshot.orders),
        consolidate(snapshot.orders, snapshot.policies),
        title="Two order lines and the phases that follow",
    )
    assert PICTURE.read_text() == drawn


# The configuration


def test_every_parameter_is_listed_with_its_default() -> None:
    listed = {name: default for name, default, *_ in table("Template parameters")}
    assert listed == {name: str(given["Default"]) or "(empty)" for name, given in TEMPLATE["Parameters"].items()}


def test_the_values_of_parameters_are_listed() -> None:
    listed = {name: values for name, _, values, _ in table("Template parameters")}
    chosen = {name: given["AllowedValues"] for name, given in TEMPLATE["Parameters"].items() if "AllowedValues" in given}
    del chosen["LogRetentionDays"]  # too many; CloudWatch lists them
    assert {name: values.split(", ") for name, values in listed.items() if name in chosen} == chosen


def test_the_policies_default_to_what_the_package_defaults_to() -> None:
    defaults = {name: given["Default"] for name, given in TEMPLATE["Parameters"].items()}
    # The others are the mapping's defaults.
    chosen = [name for name in Policies.__dataclass_fields__ if name not in Defaults.model_fields]
    for name in chosen:
        parameter = "".join(part.capitalize() for part in name.split("_"))
        assert defaults[parameter] == getattr(Policies(), name)
    listed = {name: default for name, default, _ in table("Policies")}
    assert listed == {name: getattr(Policies(), name) for name in chosen}
    parameters = [name for name, *_ in table("Template parameters")]
    assert parameters[parameters.index("QuantityConflict") :] == [
        *("".join(part.capitalize() for part in name.split("_")) for name in listed),
        "SyncLogRecords",
        "IgnoreOwnEvents",
    ]


def test_the_policies_of_a_snapshot_are_all_but_the_last_three() -> None:
    *stated, _, _, _ = listed = [name for name, *_ in table("Policies")]
    for name in listed:
        snapshot = json.dumps({"policies": {name: None}, "orders": []}).encode()
        with nullcontext() if name in stated else pytest.raises(DataError, match=name):
            read_snapshot(snapshot, load_mapping())


def test_every_environment_variable_is_listed_with_its_source() -> None:
    listed = {(variable, function): source for variable, function, source in table("Environment variables")}
    expected: dict[tuple[str, str], str] = {}
    for variable, value in TEMPLATE["Globals"]["Function"]["Environment"]["Variables"].items():
        expected[variable, "all"] = source_of(value)
    expected["POWERTOOLS_SERVICE_NAME", "all"] = "the function's name"
    assert set(FUNCTIONS) == set(build.FUNCTIONS)
    for function, (models, called) in FUNCTIONS.items():
        variables = dict(TEMPLATE["Resources"][function]["Properties"]["Environment"]["Variables"])
        assert variables.pop("POWERTOOLS_SERVICE_NAME") == called or called == EACH_FLOW
        assert set(variables) == aliases(*models)
        if called in AS_EACH_FLOW:
            shared = aliases(settings.FlowSettings) | {"ORDERPHASE_PROGRESS_TABLE"}
            assert all(expected[variable, EACH_FLOW] == source_of(variables.pop(variable)) for variable in shared)
        if called == EACH_FLOW:
            letters = source_of(variables.pop("ORDERPHASE_DEAD_LETTER_QUEUE"))
            assert letters == f"queue {function.removesuffix('Function')}DeadLetterQueue"
            expected["ORDERPHASE_DEAD_LETTER_QUEUE", EACH_FLOW] = "the flow's dead-letter queue"
        described = {(variable, called): source_of(value) for variable, value in variables.items()}
        assert all(expected.get(key, source) == source for key, source in described.items())
        expected |= described
    assert listed == expected


def source_of(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    if "Fn::If" in value:
        condition, chosen, otherwise = value["Fn::If"]
        switch, state = TEMPLATE["Conditions"][condition]["Fn::Equals"]
        assert (otherwise, state) == ("", "on")
        return f"{source_of(chosen)}, empty while {switch['Ref']} is off"
    if "Fn::Sub" in value:
        return str(value["Fn::Sub"]).replace("${AWS::StackName}", "<stack>")
    name = value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0]
    if name in TEMPLATE["Parameters"]:
        return f"parameter {name}"
    kinds = {"AWS::SecretsManager::Secret": "secret", "AWS::DynamoDB::Table": "table", "AWS::SQS::Queue": "queue"}
    return f"{kinds[TEMPLATE['Resources'][name]['Type']]} {name}"


def test_the_events_that_have_a_flow_are_listed_with_what_they_may_say() -> None:
    common = set(EventData.model_fields)
    said: dict[str, type[EventData]] = {
        "order.activated": EventData,
        "order_item.updated": OrderItemData,
        "order.cancellation_requested": CancellationData,
        "product.upserted": RecordData,
        "pricebook_entry.upserted": RecordData,
        "account.upserted": RecordData,
        "stripe_product.upserted": MirrorData,
        "stripe_price.upserted": MirrorData,
    }
    listed = {kind: set(re.findall(r"\w+", data)) for kind, _, _, data in table("Events")}
    assert listed.keys() == said.keys() == SWITCHES.keys()
    for kind, model in said.items():
        assert set(model.model_fields) - common <= listed[kind]
    explained = set(re.findall(r"^- `(\w+)`|^  `(\w+)`:", CONFIGURATION.read_text(), re.MULTILINE))
    assert {name for names in explained for name in names} >= common | {"changed_fields", "changed_by", "stripe_id"}
    (example,) = blocks(CONFIGURATION, "json")
    assert isinstance(parse(example.encode()).data, CancellationData)


def test_the_events_of_stripe_that_have_a_flow_are_listed() -> None:
    listed = {kind: "".join(part.capitalize() for part in flow.split("_")) for kind, flow in table("Stripe's events")}
    assert listed == STRIPE_SWITCHES
    assert "/stripe/{account}/events" in str(TEMPLATE["Resources"]["StripeWebhookFunction"])
    assert f"begin with `{OWN_KEYS}`" in CONFIGURATION.read_text()


def test_every_table_is_listed() -> None:
    made = [name for name, given in TEMPLATE["Resources"].items() if given["Type"] == "AWS::DynamoDB::Table"]
    assert [name for name, *_ in table("Tables")] == made


def test_every_key_of_every_secret_is_listed() -> None:
    listed: dict[str, dict[str, str]] = {}
    for secret, key, needed, _ in table("Secrets"):
        listed.setdefault(secret, {})[key] = needed
    assert set(listed) == {
        name for name, given in TEMPLATE["Resources"].items() if given["Type"] == "AWS::SecretsManager::Secret"
    }
    for secret, model in SECRETS.items():
        assert set(listed[secret]) == aliases(model)
        required = {str(field.alias) for field in model.model_fields.values() if field.is_required()}
        assert {key for key, needed in listed[secret].items() if needed == "yes"} == required
        initial = TEMPLATE["Resources"][secret]["Properties"].get("SecretString", "{}")
        assert set(json.loads(initial)) <= set(listed[secret])


def test_the_secret_of_one_more_account_is_one() -> None:
    made = {re.search(r"secret-string '(\{.*\})'", block) for block in blocks(CONFIGURATION, "sh")}
    (found,) = filter(None, made)
    with pytest.raises(ConfigurationError, match="STRIPE_API_KEY: is not a secret or restricted key"):
        settings.StripeCredentials.from_secret("eu", found.group(1))
    assert settings.StripeCredentials.from_secret("eu", found.group(1).replace("…", "1")).api_key == "rk_live_1"


def test_the_example_of_a_mapping_is_one() -> None:
    (example,) = blocks(CONFIGURATION, "toml")
    read = read_mapping(example)
    assert read != FieldMapping()
    commented = re.findall(r"^# (\[.*|\w+ = .*)$", mapping.FILE.read_text(), re.MULTILINE)
    assert read == read_mapping("\n".join(commented))


def test_the_variables_of_the_local_stack_are_listed() -> None:
    listed = {variable for variable, _ in table("The local stack")}
    known = {*vendors.STRIPE_REQUIRED, *vendors.STRIPE_OPTIONAL, *vendors.SALESFORCE_REQUIRED}
    assert listed == known | {"PORT", "SALESFORCE_WEBHOOK_SECRET", "SALESFORCE_OUTBOUND_TOKEN", "SALESFORCE_ORG_ID"}


# The findings, and what Stripe's objects carry


def test_every_finding_is_listed_with_its_severity() -> None:
    headings = re.findall(r"^## (.+)$", FINDINGS.read_text(), re.MULTILINE)
    rows = [row for heading in headings for row in table(heading, FINDINGS)]
    listed = {code: severity for code, severity, _, _ in rows}
    assert sorted(listed) == sorted(REMEDIES)
    assert {code: remedy for code, _, _, remedy in rows} == REMEDIES
    policies = {code: severity.split()[1] for code, severity in listed.items() if severity.startswith("as ")}
    assert set(policies) == {"start_in_past", "change_in_past", "schedule_ended", "schedule_edited", "custom_price"}
    assert set(policies.values()) <= set(Policies.__dataclass_fields__)
    assert {code: severity for code, severity in listed.items() if code not in policies} == {
        code: finding(code, "").severity for code in REMEDIES if code not in policies
    }


def test_every_key_of_the_metadata_is_listed() -> None:
    listed = {key for key, _ in table("Lease and ledger", HOW_IT_WORKS)}
    package = ROOT / "layers" / "consolidation" / "orderphase"
    source = "".join(path.read_text() for folder in ("domain", "flows", "stripe") for path in (package / folder).glob("*.py"))
    written = set(re.findall(r'"(salesforce_\w+_ids?)"', source)) | {GENERATION, ENDS_AT, CURRENCY, FIRST}
    # Of a contract, or of an order that has none.
    assert 'f"salesforce_{kind}_id"' in source
    assert listed == written | {"salesforce_contract_id", "salesforce_order_id"}
