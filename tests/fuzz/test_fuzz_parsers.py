"""Whatever a parser is given, it answers or raises the one error that it declares, which repeats no secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderphase.cli.plan import plan_situated
from orderphase.domain.consolidation import consolidate
from orderphase.domain.pricing import priced
from orderphase.errors import ConfigurationError, DataError
from orderphase.ids import normalise_id
from orderphase.ingress import change_events, documents, outbound_messages, xml_documents
from orderphase.ingress.documents import EventError
from orderphase.ingress.events import SalesforceEvent, parse
from orderphase.ingress.signature import SignatureError, sign, verify, verify_api_key
from orderphase.ingress.stripe_events import Notification, StripeEvent
from orderphase.mapping import FieldMapping, read_mapping
from orderphase.salesforce.snapshot import read_situated, read_snapshot
from orderphase.settings import (
    EventBusSettings,
    FlowSettings,
    PollSettings,
    RecoverySettings,
    RollingWindowSettings,
    SalesforceCredentials,
    StripeCredentials,
    StripeWebhookSettings,
    SweepSettings,
    WebhookSecrets,
    WebhookSettings,
    WorkerSettings,
)
from orderphase.stripe.schedules import read_schedule
from sandbox.build import ROOT
from tests.functions.deployed import ENVIRONMENT
from tests.fuzz.mutations import environments, fuzzed, refuses, texts, written
from tests.fuzz.test_fuzz_routes import ACCOUNTS, EVENTS, FLOWS, MESSAGES, SALESFORCE_EVENTS, STRIPE_EVENTS
from tests.ingress.salesforce_messages import ORG, change

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
SECRET = "whsec_parsed"
SNAPSHOT, PLAN = (json.loads((ROOT / "docs" / f"example-{name}.json").read_text()) for name in ("snapshot", "plan"))
ENTRY = {
    "Id": "01uA",
    "UnitPrice": 10.5,
    "Stripe_Billing_Interval__c": "month",
    "Stripe_Billing_Interval_Count__c": 3,
    "Product2": {"Id": "01tA", "Name": "Seat"},
}
LINE = {"Id": "802A", "Quantity": 2, "UnitPrice": 10, "EndDate": "2027-01-01", "PricebookEntry": ENTRY}
ORDER = {
    "Id": "801A",
    "OrderNumber": "1",
    "EffectiveDate": "2026-01-01",
    "ActivatedDate": "2026-01-01T00:00:00.000+0000",
    "Stripe_Discount_Percent_Off__c": 12.5,
    "OrderItems": [LINE, LINE | {"Id": "802B", "Quantity": -1, "OriginalOrderItemId": "802A"}],
}
PLANS = [
    PLAN,
    PLAN | {"cancellation": {"mode": "on_date", "date": "2025-12-01"}},
    {**PLAN, "orders": [ORDER], "schedule": None, "policies": {"backdating": "catch_up", "time_zone": "Asia/Kolkata"}},
]
CHANGES = [change(), change(entityName="Product2", recordIds=["01t000000000001"]), change(changeType="GAP_OVERFLOW")]
MAPPING = b"""
[order]
collection_method = "Billing_Method__c"

[defaults]
collection_method = "send_invoice"
days_until_due = 30
interval = "month"

[search]
condition = "Bill_With_Stripe__c = true AND (Name != 'a')"

[metadata.customer]
segment = "Owner.Profile.Name"
"""


@dataclass(frozen=True)
class Parser:
    """A parser of bytes, and the error that it declares."""

    name: str
    read: Callable[[bytes], Any]
    error: type[Exception]
    samples: st.SearchStrategy[bytes]

    def __str__(self) -> str:
        return self.name


def decoded(read: Callable[[Any], Any]) -> Callable[[bytes], Any]:
    """A parser of what `json` has decoded, for all that it can decode."""

    def run(body: bytes) -> Any:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return None
        return read(document)

    return run


def _snapshot(body: bytes) -> Any:
    snapshot = read_snapshot(body, FieldMapping())
    return consolidate(priced(snapshot.orders, snapshot.policies, None), snapshot.policies).as_dict()


def _plan(body: bytes) -> Any:
    made, params = plan_situated(read_situated(body, FieldMapping()))
    return json.dumps(made.as_dict(params))


def _message(body: bytes) -> None:
    message = outbound_messages.read(body)
    for one in message.notifications:
        outbound_messages.event_of(one, message.org_id, NOW)


PARSERS = [
    Parser("documents.decode", documents.decode, EventError, written(EVENTS)),
    Parser("events.parse", parse, EventError, written(SALESFORCE_EVENTS)),
    Parser("SalesforceEvent.of", decoded(SalesforceEvent.of), EventError, written(SALESFORCE_EVENTS)),
    Parser("StripeEvent.of", decoded(StripeEvent.of), EventError, written(EVENTS)),
    Parser("Notification.parse", Notification.parse, EventError, written(STRIPE_EVENTS)),
    Parser("Notification.of", decoded(Notification.of), EventError, written(STRIPE_EVENTS)),
    Parser(
        "change_events.read",
        decoded(lambda detail: change_events.read(detail, org_id=ORG, ignore_own=True)),
        EventError,
        written(CHANGES),
    ),
    Parser("xml_documents.read", xml_documents.read, EventError, texts(MESSAGES)),
    Parser("outbound_messages.read", _message, EventError, texts(MESSAGES)),
    Parser("orderphase consolidate", _snapshot, DataError, written([SNAPSHOT, {"orders": [ORDER]}])),
    Parser("orderphase plan", _plan, DataError, written(PLANS)),
    Parser("read_schedule", decoded(read_schedule), DataError, written([PLAN["schedule"]])),
    Parser("mapping.toml", lambda text: read_mapping(text.decode("utf-8", "replace")), ConfigurationError, texts([MAPPING])),
]


@pytest.mark.parametrize("parser", PARSERS, ids=str)
@fuzzed
@given(data=st.data())
def test_a_parser(parser: Parser, data: st.DataObject) -> None:
    body = data.draw(parser.samples)
    problem = refuses(lambda: parser.read(body), parser.error)
    assert problem is None or (str(problem) and len(str(problem)) < 20_000)


@fuzzed
@given(
    header=texts([sign(SECRET, b"body", NOW).encode(), b"t=1,v1=", b"v1=a,t=1"]),
    key=st.text(st.characters(exclude_categories=())),
)
def test_signatures(header: bytes, key: str) -> None:
    refuses(lambda: verify(header.decode("latin-1"), b"body", [SECRET], NOW), SignatureError)
    refused = refuses(lambda: verify_api_key(key, [SECRET]), SignatureError)
    assert (refused is None) == (key == SECRET)


@fuzzed
@given(value=texts([b"001000000000001AAA", b"8015g00000AbTzkAAF"]))
def test_ids(value: bytes) -> None:
    refuses(lambda: normalise_id(value.decode("utf-8", "replace")), ValueError)


SECRETS: dict[type[Any], dict[str, str]] = {
    WebhookSecrets: {
        "SALESFORCE_WEBHOOK_SECRET": SECRET,
        "SALESFORCE_WEBHOOK_SECRET_PREVIOUS": SECRET,
        "SALESFORCE_OUTBOUND_TOKEN": "t" * 32,
        "SALESFORCE_ORG_ID": ORG,
    },
    SalesforceCredentials: {
        "SALESFORCE_LOGIN_URL": "https://acme.my.salesforce.com",
        "SALESFORCE_CLIENT_ID": "client",
        "SALESFORCE_CLIENT_SECRET": SECRET,
        "SALESFORCE_USERNAME": "user@example.com",
        "SALESFORCE_PRIVATE_KEY": "-----BEGIN PRIVATE KEY-----",
    },
    StripeCredentials: {"STRIPE_API_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRET": SECRET, "STRIPE_API_BASE": "https://[::1]:1"},
}


@pytest.mark.parametrize("model", SECRETS, ids=lambda model: model.__name__)
@fuzzed
@given(data=st.data())
def test_secrets(model: Any, data: st.DataObject) -> None:
    body = data.draw(written([SECRETS[model]]))
    problem = refuses(lambda: model.from_secret("name", body.decode("utf-8", "replace")), ConfigurationError)
    assert SECRET not in str(problem)


QUEUES = {
    f"ORDERPHASE_{flow.upper()}{kind}": f"https://sqs.eu-central-1.amazonaws.com/123456789012/{flow}{kind.lower()}"
    for flow in (*FLOWS, "reconciliation")
    for kind in ("_QUEUE", "_DEAD_LETTER_QUEUE")
}
VARIABLES = {
    **ENVIRONMENT,
    **ACCOUNTS,
    **QUEUES,
    "ORDERPHASE_WEBHOOK_SECRET": "webhook",
    "ORDERPHASE_IDEMPOTENCY_TABLE": "accepted",
    "ORDERPHASE_PROGRESS_TABLE": "progress",
    "ORDERPHASE_DEAD_LETTER_QUEUE": "https://sqs.eu-central-1.amazonaws.com/123456789012/dead",
    "ORDERPHASE_RECONCILIATION_RATE": "1200",
    "ORDERPHASE_SALESFORCE_EVENT_SOURCE": f"aws.partner/salesforce.com/{ORG}/0YL5g0000008OImGAM",
    "ORDERPHASE_STRIPE_EVENT_SOURCE": "aws.partner/stripe.com/ed_1",
}
ENVIRONMENTS: tuple[type[Any], ...] = (
    WebhookSettings,
    StripeWebhookSettings,
    EventBusSettings,
    FlowSettings,
    WorkerSettings,
    PollSettings,
    SweepSettings,
    RecoverySettings,
    RollingWindowSettings,
)


@pytest.mark.parametrize("model", ENVIRONMENTS, ids=lambda model: model.__name__)
def test_the_variables_are_valid(model: Any) -> None:
    """What is changed below would be taken as it is."""
    assert model.from_environment(VARIABLES)


@pytest.mark.parametrize("model", ENVIRONMENTS, ids=lambda model: model.__name__)
@fuzzed
@given(variables=environments(VARIABLES))
def test_environments(model: Any, variables: dict[str, str]) -> None:
    refuses(lambda: model.from_environment(variables), ConfigurationError)


def test_the_samples_are_what_the_parsers_take() -> None:
    """So that what is changed above is near to what is valid."""
    for event in SALESFORCE_EVENTS:
        SalesforceEvent.of(event)
    for event in STRIPE_EVENTS:
        Notification.of(event)
    for message in MESSAGES:
        outbound_messages.read(message)
    for document in PLANS:
        assert _plan(json.dumps(document).encode())
    assert read_mapping(MAPPING.decode()) != FieldMapping()
