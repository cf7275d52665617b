"""The threat model is true: nothing is said without a test, the tests exist, and names and numbers are those of the code.

That its links lead somewhere is among the tests of all documents. Here is also shown what no other test has a reason to show.
"""

from __future__ import annotations

import ast
import hmac
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from functions.event_bus.app import SWITCHES as BUS_SWITCHES
from orderphase import settings
from orderphase.ingress import documents, outbound_messages, salesforce, signature, stripe, xml_documents
from orderphase.ingress.aws import REFETCH_INTERVAL, REMEMBERED_SECONDS
from orderphase.ingress.events import CANCELLATION_REQUESTED, CONTRACT_RECONCILE, KNOWN_TYPES
from orderphase.ingress.gateway import Request
from orderphase.ingress.routes import Intake, Outcome
from orderphase.ingress.signature import SignatureError, sign
from sandbox.build import ROOT
from tests.ingress.fakes import Once, Queues, Secrets
from tests.template.cloudformation import load, of_type

DOCUMENT = (ROOT / "docs" / "threat-model.md").read_text()
TEMPLATE = load()
NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
SECRET, TOKEN, ORG = "whsec_shared", "t" * 32, "00D000000000001EAA"

NAMED = re.compile(r"`((?:[\w]+/)*test_\w+\.py)::((?:\w+::)?test_\w+)`")


def rows() -> Iterator[tuple[str, list[str]]]:
    """Each row of the tables that say what defends, with its heading."""
    for section in DOCUMENT.split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        if "| Threat | What defends | Shown by |" in text:
            for line in [line for line in text.splitlines() if line.startswith("| ")][2:]:
                yield heading, [cell.strip() for cell in line.strip("|").split("|")]


@cache
def all_tests(path: Path) -> frozenset[str]:
    """The names of the tests of a file, as pytest calls them, without parameters."""
    body = ast.parse(path.read_text()).body
    found = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    for one in (node for node in body if isinstance(node, ast.ClassDef)):
        found |= {f"{one.name}::{node.name}" for node in one.body if isinstance(node, ast.FunctionDef)}
    return frozenset(name for name in found if name.rpartition("::")[2].startswith("test_"))


ROWS = list(rows())


def test_every_boundary_has_its_table() -> None:
    numbered = re.findall(r"^## (\d+\. .+)$", DOCUMENT, re.MULTILINE)
    assert list(dict.fromkeys(heading for heading, _ in ROWS)) == numbered
    # The picture names them by their numbers.
    (picture,) = re.findall(r"^```text\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    drawn = {int(number) for number in re.findall(r"\b\d\b", picture)}
    assert drawn == set(range(1, len(numbered))), "the last are no boundary"


@pytest.mark.parametrize("cells", [cells for _, cells in ROWS], ids=[cells[0] for _, cells in ROWS])
def test_nothing_is_said_without_a_test_that_exists(cells: list[str]) -> None:
    assert len(cells) == 3
    threat, defence, shown = cells
    assert threat
    assert defence
    named = NAMED.findall(shown)
    assert named
    assert ", ".join(f"`{path}::{test}`" for path, test in named) == shown
    for path, test in named:
        assert test in all_tests(ROOT / "tests" / path), test


def test_what_is_named_outside_the_tables_exists() -> None:
    for path, test in NAMED.findall(DOCUMENT):
        assert test in all_tests(ROOT / "tests" / path), test


def test_the_parameters_and_keys_that_it_names_exist() -> None:
    named = set(re.findall(r"`([A-Z][a-z]\w+)`", DOCUMENT))
    assert named
    assert named <= {*TEMPLATE["Parameters"]}
    models = (settings.WebhookSecrets, settings.SalesforceCredentials, settings.StripeCredentials)
    keys = {str(field.alias) for model in models for field in model.model_fields.values()}
    assert set(re.findall(r"`((?:SALESFORCE|STRIPE)_[A-Z_]+)`", DOCUMENT)) <= keys


def test_every_secret_has_its_way_out() -> None:
    """A key that proves somebody is one of those for which it is told what to do when it has leaked."""
    models = (settings.WebhookSecrets, settings.SalesforceCredentials, settings.StripeCredentials)
    keys = {str(field.alias) for model in models for name, field in model.model_fields.items() if not field.repr}
    section = DOCUMENT.split("\n## When a secret has leaked\n")[1].split("\n## ")[0]
    assert {key for key in keys if f"`{key}`" not in section} == set()


@pytest.mark.parametrize(
    "said",
    [
        f"{signature.TOLERANCE_SECONDS} seconds before and after",
        f"queued once in {REMEMBERED_SECONDS // 3600} hours",
        f"{salesforce.MAX_BODY_BYTES // 2**10} KiB, of Stripe {stripe.MAX_BODY_BYTES // 2**20} MiB",
        f"every {REFETCH_INTERVAL.seconds} seconds at most",
        f"{documents.MAX_DEPTH} levels, each key once",
        f"{xml_documents.MAX_DEPTH} levels, {xml_documents.MAX_ELEMENTS:,} elements",
        f"{TEMPLATE['Parameters']['ThrottleRate']['Default']} requests a second are 4.3 million a day",
    ],
)
def test_its_numbers_are_those_of_the_code(said: str) -> None:
    assert said in " ".join(DOCUMENT.split())


# What no other test shows


def held() -> settings.WebhookSecrets:
    keys = {"SALESFORCE_WEBHOOK_SECRET": SECRET, "SALESFORCE_OUTBOUND_TOKEN": TOKEN, "SALESFORCE_ORG_ID": ORG}
    return settings.WebhookSecrets.from_secret("webhook", json.dumps(keys))


def message() -> bytes:
    envelope, outbound = outbound_messages.SOAP, outbound_messages.OUTBOUND
    return (
        f'<e:Envelope xmlns:e="{envelope}"><e:Body><notifications xmlns="{outbound}"><OrganizationId>{ORG}</OrganizationId>'
        "<Notification><Id>04l000000000001AAA</Id></Notification></notifications></e:Body></e:Envelope>"
    ).encode()


def post(receive: Callable[..., Any], body: bytes, headers: dict[str, str], token: str = TOKEN) -> Any:
    """What a route of Salesforce's answers."""
    request = Request(headers, body, "request-1", {"token": token})
    return receive(request, secrets=Secrets(held()), intake=Intake(Queues(), {}, Once()), now=NOW)


def test_whoever_sends_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that comparison says no, nobody gets in, so nothing else compares; where it says yes, anybody does."""
    body = json.dumps({"id": "1", "type": "x", "org_id": ORG, "record_id": "x", "occurred_at": NOW.isoformat()}).encode()
    signed = {"content-type": "application/json", "x-orderphase-signature": sign(SECRET, body, NOW)}
    key = {"content-type": "application/json", "x-api-key": SECRET}
    wrong = {"content-type": "application/json", "x-api-key": "wrong"}
    assert [post(salesforce.receive, body, headers).status for headers in (signed, key, wrong)] == [202, 202, 401]
    assert [post(outbound_messages.receive, message(), {}, token).status for token in (TOKEN, "wrong")] == [200, 401]

    monkeypatch.setattr(hmac, "compare_digest", lambda ours, theirs: False)
    assert [post(salesforce.receive, body, headers).status for headers in (signed, key)] == [401, 401]
    assert post(outbound_messages.receive, message(), {}).status == 401
    with pytest.raises(SignatureError):
        signature.verify(sign(SECRET, body, NOW), body, [SECRET], NOW)

    monkeypatch.setattr(hmac, "compare_digest", lambda ours, theirs: True)
    assert post(salesforce.receive, body, wrong).status == 202
    assert post(outbound_messages.receive, message(), {}, "wrong").status == 200


def test_nobody_outside_can_ask_for_a_reconciliation() -> None:
    fields = {"id": "1", "type": CONTRACT_RECONCILE.name, "org_id": ORG, "record_id": "800000000000001AAA"}
    body = json.dumps(fields | {"occurred_at": NOW.isoformat(), "data": {"reason": "poll"}}).encode()
    headers = {"content-type": "application/json", "x-orderphase-signature": sign(SECRET, body, NOW)}
    got = post(salesforce.receive, body, headers)
    assert (got.status, got.outcome, got.note) == (202, Outcome.IGNORED, "the type is not known")


def test_only_the_signed_route_ends_a_contract() -> None:
    ends = CANCELLATION_REQUESTED.name
    assert ends in KNOWN_TYPES
    assert ends in salesforce.SWITCHES
    assert ends not in {kind.name for kind in outbound_messages.KINDS.values()}
    assert ends not in BUS_SWITCHES


def test_the_template_holds_no_secret() -> None:
    for name, secret in of_type(TEMPLATE, "AWS::SecretsManager::Secret").items():
        drawn = secret.get("GenerateSecretString")
        if drawn:
            assert drawn["PasswordLength"] >= 32
            assert json.loads(drawn["SecretStringTemplate"]) == {}
        else:
            filled = {key: value for key, value in json.loads(secret["SecretString"]).items() if value}
            assert filled in ({}, {"STRIPE_API_BASE": "https://api.stripe.com"}), name
    assert not [name for name in TEMPLATE["Parameters"] if re.search("Secret|Key|Token|Password", name)]
    for function in of_type(TEMPLATE, "AWS::Serverless::Function").values():
        variables = function["Environment"]["Variables"]
        named = {name: value for name, value in variables.items() if re.search("SECRET|KEY|TOKEN", name)}
        assert all(isinstance(value, dict) and {"Fn::GetAtt", "Fn::Sub"} & set(value) for value in named.values())
