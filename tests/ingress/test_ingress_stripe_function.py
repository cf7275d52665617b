"""The function behind `POST /stripe/{account}/events`, as API Gateway calls it, on AWS in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from functions.stripe_webhook import app
from orderphase.ingress.signature import sign, verify
from orderphase.ingress.stripe_events import DRIFT_TYPES, PRICE_TYPES, SCHEDULE_TYPES, StripeEvent
from tests.ingress.edge import Stage, deployed, flow_of, is_as_sampled, loaded_libraries, sample
from tests.template.cloudformation import load

SAMPLE = sample("stripe_webhook")
BODY = SAMPLE["body"].encode()
EVENT = json.loads(BODY)
MESSAGES = {flow: sample(flow)["Records"][0] for flow in ("product_upsert", "price_upsert")}
SECRET, SAMPLE_SECRET, EU_SECRET = "whsec_function_test", "whsec_local_sample", "whsec_eu"
ENVIRONMENT = {
    "ORDERPHASE_STRIPE_SECRET": "stripe",
    "ORDERPHASE_STRIPE_ACCOUNT": "default",
    "ORDERPHASE_MORE_STRIPE_ACCOUNTS": "eu, us",
    "ORDERPHASE_STRIPE_SECRET_PREFIX": "orderphase/stripe/",
    "ORDERPHASE_IGNORE_OWN_EVENTS": "on",
}
SECRETS: dict[str, dict[str, str]] = {
    "stripe": {"STRIPE_API_KEY": "sk_test_1", "STRIPE_ACCOUNT_ID": "", "STRIPE_WEBHOOK_SECRET": f"{SECRET},{SAMPLE_SECRET}"},
    "orderphase/stripe/eu": {"STRIPE_API_KEY": "sk_test_2", "STRIPE_WEBHOOK_SECRET": EU_SECRET},
}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    held = {name: json.dumps(secret) for name, secret in SECRETS.items()}
    with deployed(monkeypatch, app, SAMPLE, ENVIRONMENT, held) as found:
        yield found


def _signed(body: bytes = BODY, secret: str = SECRET) -> dict[str, str]:
    return {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": sign(secret, body, datetime.now(UTC))}


def _told(kind: str, **changes: Any) -> bytes:
    about: dict[str, Any] = {"id": "prod_1", "object": "product"}
    if kind in PRICE_TYPES:
        about = {"id": "price_1", "object": "price", "product": "prod_1"}
    elif kind in DRIFT_TYPES:
        metadata = {"salesforce_org_id": "00D5g000004Vn8QEAS", "salesforce_contract_id": "8005g000001QwXyAAK"}
        named = "subscription_schedule" if kind in SCHEDULE_TYPES else "subscription"
        about = {"id": "sub_1", "object": named, "metadata": metadata}
    return json.dumps(
        EVENT | {"id": f"evt_{kind.replace('.', '_')}", "type": kind, "data": {"object": about}} | changes
    ).encode()


def test_the_sample_is_signed_as_stripe_does(stage: Stage) -> None:
    header = SAMPLE["headers"]["Stripe-Signature"]
    verify(header, BODY, [SAMPLE_SECRET], datetime.fromtimestamp(EVENT["created"] + 1, UTC))
    assert stage.invoke(SAMPLE)[0] == 400, "it is old"


def test_the_sample_event_becomes_the_sample_message(stage: Stage) -> None:
    assert stage.invoke(SAMPLE | {"headers": _signed()}) == (200, {"accepted": True, "id": EVENT["id"]})
    [message] = stage.messages("product_upsert")
    is_as_sampled(message, MESSAGES["product_upsert"])
    assert message["MessageAttributes"]["correlation_id"]["StringValue"] == SAMPLE["requestContext"]["requestId"]


@pytest.mark.parametrize("flow", MESSAGES)
def test_each_flows_sample_message_is_what_the_route_queues(stage: Stage, flow: str) -> None:
    expected = MESSAGES[flow]
    event = StripeEvent.of(json.loads(expected["body"]))
    assert event.to_json() == expected["body"]
    kind = event.type.partition(".")[0]
    about = {"id": event.object_id, "object": kind, "product": event.product_id}
    told = EVENT | {"id": event.id, "type": event.type, "created": event.created, "data": {"object": about}}
    body = json.dumps(told).encode()
    request = SAMPLE["requestContext"] | {"requestId": expected["messageAttributes"]["correlation_id"]["stringValue"]}
    assert stage.post(body, _signed(body), requestContext=request)[0] == 200
    [message] = stage.messages(flow)
    is_as_sampled(message, expected)


@pytest.mark.parametrize("kind", app.SWITCHES)
def test_an_event_is_queued_for_its_flow_alone(stage: Stage, kind: str) -> None:
    body = _told(kind)
    assert stage.post(body, _signed(body))[0] == 200
    assert stage.queued() == [flow_of(app.SWITCHES[kind])]


@pytest.mark.parametrize("flow", ["product_upsert", "price_upsert", "reconciliation"])
def test_a_flow_that_is_off_says_how_to_switch_it_on(stage: Stage, monkeypatch: pytest.MonkeyPatch, flow: str) -> None:
    monkeypatch.setenv(f"ORDERPHASE_{flow.upper()}_QUEUE", "")
    for kind in app.SWITCHES:
        body = _told(kind)
        assert stage.post(body, _signed(body))[0] == 200
    assert stage.queued() == [other for other in stage.queues if other != flow]
    ignored = [line for line in stage.logs() if line["outcome"] == "EventIgnored"]
    assert {line["event_type"] for line in ignored} == {
        kind for kind, switch in app.SWITCHES.items() if flow_of(switch) == flow
    }
    for line in ignored:
        parameter = app.SWITCHES[line["event_type"]]
        assert parameter in load()["Parameters"]
        assert line["message"] == f"the flow is switched off; set the template's parameter {parameter} to on"


def test_a_further_account_has_its_own_secret(stage: Stage) -> None:
    eu: Any = {"pathParameters": {"account": "eu"}}
    assert stage.post(BODY, _signed(), **eu)[0] == 400
    assert stage.post(BODY, _signed(secret=EU_SECRET), **eu)[0] == 200
    [message] = stage.messages("product_upsert")
    assert json.loads(message["Body"])["account"] == "eu"
    # The same id in another account is another event.
    assert stage.post(BODY, _signed())[0] == 200
    assert [line["outcome"] for line in stage.logs()] == ["EventRefusedNotAuthentic", "EventAccepted", "EventAccepted"]


def test_nothing_tells_a_stranger_which_accounts_there_are(stage: Stage) -> None:
    answers = [
        stage.post(BODY, _signed(secret="whsec_wrong"), pathParameters=parameters)
        # A known one, one whose secret is missing, one that does not exist, none at all.
        for parameters in ({"account": "default"}, {"account": "us"}, {"account": "nobody"}, None)
    ]
    assert answers == [(400, {"accepted": False, "reason": "the sender could not be verified"})] * 4
    assert [(line["level"], line["outcome"]) for line in stage.logs()] == [
        ("WARNING", "EventRefusedNotAuthentic"),
        ("ERROR", "EventNotTaken"),
        ("WARNING", "EventRefusedNotAuthentic"),
        ("WARNING", "EventRefusedNotAuthentic"),
    ]
    assert "secret orderphase/stripe/us: AWS refused (ResourceNotFoundException)" in stage.logs()[1]["message"]


def test_our_own_events_are_ignored_where_that_is_wanted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    body = _told("product.updated", request={"id": "req_1", "idempotency_key": "orderphase:product:1"})
    assert stage.post(body, _signed(body))[0] == 200
    assert stage.queued() == []
    stage.rebuilt()
    monkeypatch.setenv("ORDERPHASE_IGNORE_OWN_EVENTS", "off")
    assert stage.post(body, _signed(body))[0] == 200
    assert stage.queued() == ["product_upsert"]


def test_a_rolled_secret_takes_effect_at_once(stage: Stage) -> None:
    assert stage.post(BODY, _signed())[0] == 200
    rolled = SECRETS["stripe"] | {"STRIPE_WEBHOOK_SECRET": "whsec_new"}
    boto3.client("secretsmanager").put_secret_value(SecretId="stripe", SecretString=json.dumps(rolled))
    assert stage.post(BODY, _signed(secret="whsec_new"))[0] == 200
    assert stage.post(BODY, _signed())[0] == 400


def test_each_answer_is_logged_and_counted_without_what_is_secret(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.post(BODY, _signed())
    stage.post(BODY, _signed())
    stage.post(BODY, _signed(secret="whsec_wrong"))
    stage.post(b'{"id": "private"}', _signed(b'{"id": "private"}'))
    accepted, replayed, unknown, invalid = stage.logs()
    about = {"event_id": EVENT["id"], "event_type": "product.updated", "account": "default", "livemode": False}
    for line in (accepted, replayed):
        assert about.items() <= line.items()
        assert line["record_id"] == EVENT["data"]["object"]["id"]
    assert accepted["correlation_id"] == SAMPLE["requestContext"]["requestId"]
    assert (accepted["level"], accepted["status"], accepted["message"]) == ("INFO", 200, "queued")
    assert (unknown["level"], unknown["status"], unknown["message"]) == ("WARNING", 400, "mismatch")
    assert (invalid["level"], invalid["status"]) == ("WARNING", 400)
    for private in (SECRET, SAMPLE_SECRET, "whsec_wrong", "sk_test", "private", "v1=", EVENT["data"]["object"]["name"]):
        assert private not in stage.text
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = ["EventAccepted", "EventReplayed", "EventRefusedNotAuthentic", "EventRefusedInvalid"]
    assert [blob[name] for blob, name in zip(metrics, names, strict=True)] == [[1.0]] * 4


@pytest.mark.parametrize(
    "name",
    [
        "ORDERPHASE_STRIPE_SECRET",
        "ORDERPHASE_IDEMPOTENCY_TABLE",
        "ORDERPHASE_IGNORE_OWN_EVENTS",
        *(f"ORDERPHASE_{flow_of(switch).upper()}_QUEUE" for switch in dict.fromkeys(app.SWITCHES.values())),
    ],
)
def test_an_incomplete_environment_is_our_own_fault(stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    assert stage.post(BODY, _signed()) == (503, {"accepted": False, "reason": "the event could not be taken; try again later"})
    [line] = stage.logs()
    assert (line["level"], line["outcome"]) == ("ERROR", "EventNotTaken")
    assert name in line["message"]


def test_it_loads_neither_the_stripe_nor_the_salesforce_library() -> None:
    assert loaded_libraries("stripe_webhook") == "[]"
