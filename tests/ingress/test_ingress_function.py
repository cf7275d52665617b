"""The function behind `POST /salesforce/events`, as API Gateway calls it, on AWS in memory."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.salesforce_webhook import app
from orderphase import telemetry
from orderphase.ingress.events import KNOWN_TYPES, parse
from orderphase.ingress.gateway import request_from
from orderphase.ingress.outbound_messages import RESOURCE
from orderphase.ingress.signature import sign
from tests.alarms import fires, later, namespace, written
from tests.ingress.edge import Stage, create_table, deployed, flow_of, is_as_sampled, loaded_libraries, sample
from tests.ingress.salesforce_messages import ORDER, ORG, message, notification, order
from tests.template.cloudformation import load

SAMPLE = sample("salesforce_webhook")
# The flow of each type of event; and the sample message of those whose sample comes from an org.
FLOWS = {kind: flow_of(switch) for kind, switch in app.SWITCHES.items()}
MESSAGES = {
    kind: sample(FLOWS[kind])["Records"][0]
    for kind in ("order.activated", "order_item.updated", "order.cancellation_requested", "account.upserted")
}
RECORDS = {
    "product.upserted": "01t",
    "pricebook_entry.upserted": "01u",
    "stripe_product.upserted": "a0A",
    "stripe_price.upserted": "a0B",
}
SECRET, SAMPLE_KEY = "whsec_function_test", "whsec_local_sample"
OUTBOUND = sample("salesforce_webhook_outbound_message")
TOKEN, SAMPLE_TOKEN = "function-test-" + "t" * 32, OUTBOUND["pathParameters"]["token"]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    secret = {
        "SALESFORCE_WEBHOOK_SECRET": SECRET,
        "SALESFORCE_WEBHOOK_SECRET_PREVIOUS": SAMPLE_KEY,
        "SALESFORCE_OUTBOUND_TOKEN": TOKEN,
        "SALESFORCE_OUTBOUND_TOKEN_PREVIOUS": SAMPLE_TOKEN,
        "SALESFORCE_ORG_ID": ORG,
    }
    environment = {"ORDERPHASE_WEBHOOK_SECRET": "webhook"}
    with deployed(monkeypatch, app, SAMPLE, environment, {"webhook": json.dumps(secret)}) as found:
        yield found


BODY = SAMPLE["body"].encode()
EVENT_ID = json.loads(BODY)["id"]
# An event of each type.
BODIES = {kind: message["body"].encode() for kind, message in MESSAGES.items()} | {
    kind: json.dumps(json.loads(BODY) | {"id": kind, "type": kind, "record_id": f"{prefix}000000000001"}).encode()
    for kind, prefix in RECORDS.items()
}


def _signed(body: bytes = BODY, at: datetime | None = None) -> dict[str, str]:
    return {"Content-Type": "application/json", "X-Orderphase-Signature": sign(SECRET, body, at or datetime.now(UTC))}


def test_every_type_has_a_flow() -> None:
    assert set(BODIES) == set(FLOWS) == KNOWN_TYPES


def test_the_sample_event_becomes_the_sample_message(stage: Stage) -> None:
    assert stage.invoke(SAMPLE) == (202, {"accepted": True, "id": EVENT_ID})
    [message] = stage.messages("order_activation")
    is_as_sampled(message, MESSAGES["order.activated"])
    sent = message["MessageAttributes"]["correlation_id"]["StringValue"]
    assert sent == SAMPLE["requestContext"]["requestId"]


@pytest.mark.parametrize("kind", MESSAGES)
def test_each_flows_sample_message_is_what_the_route_queues(stage: Stage, kind: str) -> None:
    expected = MESSAGES[kind]
    request = SAMPLE["requestContext"] | {"requestId": expected["messageAttributes"]["correlation_id"]["stringValue"]}
    event = SAMPLE | {"headers": _signed(BODIES[kind]), "body": expected["body"], "requestContext": request}
    assert stage.invoke(event)[0] == 202
    [message] = stage.messages(FLOWS[kind])
    is_as_sampled(message, expected)


@pytest.mark.parametrize("kind", BODIES)
def test_an_event_is_queued_for_its_flow_alone(stage: Stage, kind: str) -> None:
    assert stage.post(BODIES[kind], _signed(BODIES[kind]))[0] == 202
    assert stage.queued() == [FLOWS[kind]]


@pytest.mark.parametrize("kind", MESSAGES)
def test_each_flows_sample_message_is_an_event(kind: str) -> None:
    event = parse(BODIES[kind])
    assert event.to_json() == MESSAGES[kind]["body"]
    assert event.type == kind


@pytest.mark.parametrize("flow", dict.fromkeys(FLOWS.values()))
def test_a_flow_that_is_off_says_how_to_switch_it_on(stage: Stage, monkeypatch: pytest.MonkeyPatch, flow: str) -> None:
    monkeypatch.setenv(f"ORDERPHASE_{flow.upper()}_QUEUE", "")
    for body in BODIES.values():
        assert stage.post(body, _signed(body)) == (202, {"accepted": True, "id": json.loads(body)["id"]})
    assert stage.queued() == [other for other in stage.queues if other != flow]
    ignored = [line for line in stage.logs() if line["outcome"] == "EventIgnored"]
    assert [line["event_type"] for line in ignored] == [kind for kind in BODIES if FLOWS[kind] == flow]
    for line in ignored:
        parameter = app.SWITCHES[line["event_type"]]
        assert parameter in load()["Parameters"]
        assert line["level"] == "INFO"
        assert line["message"] == f"the flow is switched off; set the template's parameter {parameter} to on"


def test_what_was_ignored_is_taken_when_it_comes_again_and_its_flow_is_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERPHASE_ORDER_ACTIVATION_QUEUE", "")
    assert stage.post(BODY, _signed())[0] == 202
    assert stage.queued() == []
    stage.rebuilt()
    monkeypatch.setenv("ORDERPHASE_ORDER_ACTIVATION_QUEUE", stage.queues["order_activation"])
    assert stage.post(BODY, _signed())[0] == 202
    assert stage.queued() == ["order_activation"]


def test_an_unknown_type_has_no_switch(stage: Stage) -> None:
    body = json.dumps(json.loads(BODY) | {"type": "quote.accepted", "record_id": "0Q0000000000001"}).encode()
    assert stage.post(body, _signed(body))[0] == 202
    [line] = stage.logs()
    assert (line["outcome"], line["message"]) == ("EventIgnored", "the type is not known")


def test_whether_a_contract_is_due_is_true_or_false(stage: Stage) -> None:
    event = json.loads(BODY)
    for due in (True, False, None):
        assert parse(json.dumps(event | {"data": {"contract_due": due}}).encode()).data.model_dump()["contract_due"] is due
    body = json.dumps(event | {"data": {"contract_due": "yes"}}).encode()
    status, answer = stage.post(body, _signed(body))
    assert (status, answer["reason"].partition(",")[0]) == (400, "data.contract_due: is neither true nor false")


@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("spelling", [str.lower, str.upper, str.title])
def test_headers_in_any_case_and_bodies_in_any_encoding(stage: Stage, spelling: Callable[[str], str], encoded: bool) -> None:
    headers = {spelling(name): value for name, value in _signed().items()}
    assert stage.post(BODY, headers, encoded=encoded)[0] == 202


def test_a_body_is_measured_after_decoding(stage: Stage) -> None:
    largest = BODY + b" " * (262_144 - len(BODY))
    assert stage.post(largest, _signed(largest))[0] == 202
    assert stage.post(largest + b" ", _signed(largest + b" ")) == (
        413,
        {"accepted": False, "reason": "an event has at most 262144 bytes"},
    )


def test_a_body_that_is_not_the_base64_it_claims_to_be(stage: Stage) -> None:
    event = SAMPLE | {"body": "no base64", "isBase64Encoded": True}
    assert stage.invoke(event) == (400, {"accepted": False, "reason": "body: is not base64"})


def test_a_request_without_headers_and_body(stage: Stage) -> None:
    assert stage.invoke(SAMPLE | {"headers": None, "body": None}) == (
        401,
        {"accepted": False, "reason": "the sender could not be verified"},
    )


def test_a_replay_is_accepted_and_not_queued_again(stage: Stage) -> None:
    headers = _signed()
    assert stage.post(BODY, headers) == stage.post(BODY, headers) == (202, {"accepted": True, "id": EVENT_ID})
    assert len(stage.messages("order_activation")) == 1
    assert [line["outcome"] for line in stage.logs()] == ["EventAccepted", "EventReplayed"]


def test_an_old_signature_is_refused(stage: Stage) -> None:
    assert stage.post(BODY, _signed(at=datetime.now(UTC) - timedelta(seconds=302)))[0] == 401
    assert stage.post(BODY, _signed(at=datetime.now(UTC) + timedelta(seconds=310)))[0] == 401
    assert [line["message"] for line in stage.logs()] == ["stale", "future"]


def test_a_rotated_secret_takes_effect_at_once(stage: Stage) -> None:
    assert stage.post(BODY, _signed())[0] == 202
    rotated = {"SALESFORCE_WEBHOOK_SECRET": "whsec_new", "SALESFORCE_WEBHOOK_SECRET_PREVIOUS": SECRET}
    boto3.client("secretsmanager").put_secret_value(SecretId="webhook", SecretString=json.dumps(rotated))
    headers = {"Content-Type": "application/json", "X-Orderphase-Signature": sign("whsec_new", BODY, datetime.now(UTC))}
    assert stage.post(BODY, headers)[0] == 202
    assert stage.post(BODY, _signed())[0] == 202
    assert stage.post(BODY, {"Content-Type": "application/json", "X-Api-Key": SAMPLE_KEY})[0] == 401


def test_each_answer_is_logged_and_counted_without_what_is_secret(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.post(BODY, _signed())
    stage.post(BODY, {"Content-Type": "application/json", "X-Api-Key": "whsec_wrong"})
    stage.post(b'{"id": "private"}', _signed(b'{"id": "private"}'))
    accepted, unknown, invalid = stage.logs()
    event = json.loads(BODY)
    assert (accepted["level"], accepted["status"], accepted["message"]) == ("INFO", 202, "queued")
    assert (accepted["event_id"], accepted["event_type"]) == (event["id"], event["type"])
    assert (accepted["org_id"], accepted["record_id"]) == (event["org_id"], event["record_id"])
    assert accepted["correlation_id"] == SAMPLE["requestContext"]["requestId"]
    assert (unknown["level"], unknown["status"], unknown["message"]) == ("WARNING", 401, "mismatch")
    assert (invalid["level"], invalid["status"]) == ("WARNING", 400)
    assert "event_id" not in unknown
    for private in (SECRET, SAMPLE_KEY, "whsec_wrong", "private", "v1=", event["data"]["contract_id"]):
        assert private not in stage.text

    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = ["EventAccepted", "EventRefusedNotAuthentic", "EventRefusedInvalid"]
    assert [blob[name] for blob, name in zip(metrics, names, strict=True)] == [[1.0]] * 3
    for blob in metrics:
        [directive] = blob["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "Orderphase"
        assert directive["Dimensions"] == [["service"]]


def test_the_event_is_not_logged_even_if_the_environment_asks_for_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_LOGGER_LOG_EVENT", "true")
    stage.post(BODY, _signed())
    assert "v1=" not in stage.text


@pytest.mark.parametrize(
    "name",
    [
        "ORDERPHASE_WEBHOOK_SECRET",
        "ORDERPHASE_IDEMPOTENCY_TABLE",
        *(f"ORDERPHASE_{name.upper()}_QUEUE" for name in dict.fromkeys(FLOWS.values())),
    ],
)
def test_an_incomplete_environment_is_our_own_fault(stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    status, answer = stage.post(BODY, _signed())
    assert (status, answer) == (503, {"accepted": False, "reason": "the event could not be taken; try again later"})
    [line] = stage.logs()
    assert (line["level"], line["outcome"]) == ("ERROR", "EventNotTaken")
    assert name in line["message"]


def test_what_is_missing_in_aws_is_our_own_fault_until_it_is_there(stage: Stage) -> None:
    boto3.client("dynamodb").delete_table(TableName="accepted")
    assert stage.post(BODY, _signed())[0] == 503
    create_table()
    boto3.client("sqs").delete_queue(QueueUrl=stage.queues["order_activation"])
    assert stage.post(BODY, _signed())[0] == 503
    boto3.client("sqs").create_queue(QueueName="order_activation.fifo", Attributes={"FifoQueue": "true"})
    assert stage.post(BODY, _signed()) == (202, {"accepted": True, "id": EVENT_ID})
    assert len(stage.messages("order_activation")) == 1


def test_the_clients_are_built_once(stage: Stage) -> None:
    stage.post(BODY, _signed())
    first = app.endpoint.route()
    stage.post(BODY, _signed())
    assert app.endpoint.route() is first


def test_events_that_are_not_taken_for_a_quarter_of_an_hour_set_off_the_alarm(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(telemetry.metrics.provider, "namespace", namespace("billing"))
    monkeypatch.setattr(telemetry.metrics.provider, "service", "salesforce_webhook")
    boto3.client("dynamodb").delete_table(TableName="accepted")
    assert stage.post(BODY, _signed())[0] == 503
    blobs = [*written(capsys.readouterr().out.splitlines())]
    for minutes in (5, 10):
        assert not fires("SalesforceWebhookAlarm", blobs, "billing")
        blobs += later(blobs[:1], 60 * minutes)
    assert fires("SalesforceWebhookAlarm", blobs, "billing")
    assert not fires("StripeWebhookAlarm", blobs, "billing")


def test_a_sender_that_is_refused_three_times_sets_off_the_alarm(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(telemetry.metrics.provider, "namespace", namespace("billing"))
    monkeypatch.setattr(telemetry.metrics.provider, "service", "salesforce_webhook")
    wrong = _signed() | {"X-Orderphase-Signature": sign("another secret", BODY, datetime.now(UTC))}
    for _ in range(2):
        assert stage.post(BODY, wrong)[0] == 401
    assert stage.post(BODY, _signed())[0] == 202
    blobs = [*written(capsys.readouterr().out.splitlines())]
    assert not fires("SalesforceRefusedAlarm", blobs, "billing")
    assert stage.post(BODY, wrong)[0] == 401
    blobs += written(capsys.readouterr().out.splitlines())
    moment = blobs[-1]["_aws"]["Timestamp"]
    for blob in blobs:  # the hour may have turned in between
        blob["_aws"]["Timestamp"] = moment
    assert fires("SalesforceRefusedAlarm", blobs, "billing")
    assert not fires("StripeRefusedAlarm", blobs, "billing")


# Outbound Messages


def _sent(body: bytes, token: str = TOKEN) -> dict[str, object]:
    return {
        "path": RESOURCE.replace("{token}", token),
        "pathParameters": {"token": token},
        "headers": {"Content-Type": "text/xml; charset=utf-8"},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def _tell(stage: Stage, body: bytes, token: str = TOKEN) -> str:
    """What an authentic message is answered: true or false."""
    status, kind, answer = stage.answer(OUTBOUND | _sent(body, token))
    assert (status, kind) == (200, "text/xml; charset=utf-8")
    return answer.partition("<Ack>")[2].partition("</Ack>")[0]


def test_the_sample_outbound_message_becomes_a_message(stage: Stage) -> None:
    status, kind, answer = stage.answer(OUTBOUND)
    assert (status, kind) == (200, "text/xml; charset=utf-8")
    assert "<Ack>true</Ack>" in answer
    [sent] = stage.messages("order_activation")
    event = parse(str(sent["Body"]).encode())
    assert (event.type, event.record_id, event.org_id) == ("order.activated", ORDER, ORG)
    assert sent["Attributes"]["MessageGroupId"] == event.data.contract_id
    assert sent["MessageAttributes"]["correlation_id"]["StringValue"] == OUTBOUND["requestContext"]["requestId"]
    [line] = stage.logs()
    assert (line["level"], line["outcome"], line["org_id"]) == ("INFO", "EventAccepted", ORG)


def test_the_route_is_the_templates() -> None:
    events = load()["Resources"]["SalesforceWebhookFunction"]["Properties"]["Events"].values()
    assert {event["Properties"]["Path"] for event in events} == {SAMPLE["resource"], RESOURCE}
    assert OUTBOUND["resource"] == RESOURCE


def test_each_route_takes_what_is_its_own(stage: Stage) -> None:
    soap = message(order())
    assert stage.invoke(SAMPLE | {"headers": _signed(soap), "body": soap.decode()})[0] == 400
    assert _tell(stage, BODY) == "false"
    assert stage.queued() == []


def test_a_message_that_comes_again_is_acknowledged_and_queued_once(stage: Stage) -> None:
    body = message(order("04l1"), notification("04l2", "Account", Id="001000000000001"))
    assert [_tell(stage, body) for _ in range(2)] == ["true", "true"]
    assert [line["outcome"] for line in stage.logs()] == ["EventAccepted", "EventReplayed"]
    assert sorted(stage.queued()) == ["account_upsert", "order_activation"]


def test_a_message_that_is_not_acknowledged_is_a_warning(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert _tell(stage, b"<a/>") == "false"
    boto3.client("sqs").delete_queue(QueueUrl=stage.queues["order_activation"])
    assert _tell(stage, message(order())) == "false"
    invalid, unavailable = stage.logs()
    assert (invalid["level"], invalid["message"]) == ("WARNING", "body: is not a SOAP 1.1 envelope")
    assert (unavailable["level"], unavailable["outcome"]) == ("ERROR", "EventNotTaken")
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [blob[name] for blob, name in zip(metrics, ("EventRefusedInvalid", "EventNotTaken"), strict=True)] == [[1.0]] * 2
    boto3.client("sqs").create_queue(QueueName="order_activation.fifo", Attributes={"FifoQueue": "true"})
    assert _tell(stage, message(order())) == "true"
    assert stage.queued() == ["order_activation"]


def test_a_new_token_takes_effect_at_once_and_is_in_no_log(stage: Stage) -> None:
    body = message(order())
    assert _tell(stage, body) == "true"
    changed = {"SALESFORCE_WEBHOOK_SECRET": SECRET, "SALESFORCE_OUTBOUND_TOKEN": "n" * 40, "SALESFORCE_ORG_ID": ORG}
    boto3.client("secretsmanager").put_secret_value(SecretId="webhook", SecretString=json.dumps(changed))
    assert _tell(stage, body, "n" * 40) == "true"
    refused = stage.invoke(OUTBOUND | _sent(body))
    assert refused == (401, {"accepted": False, "reason": "the sender could not be verified"})
    for private in (TOKEN, "n" * 40, SECRET):
        assert private not in stage.text


@pytest.mark.parametrize(
    "mistake",
    [
        {"SALESFORCE_OUTBOUND_TOKEN": "too-short"},
        {"SALESFORCE_OUTBOUND_TOKEN_PREVIOUS": "x" * 40 + "/"},
        {"SALESFORCE_ORG_ID": "Acme Inc."},
    ],
)
def test_a_mistake_about_outbound_messages_closes_their_route_alone(stage: Stage, mistake: dict[str, str]) -> None:
    usual = {"SALESFORCE_WEBHOOK_SECRET": SECRET, "SALESFORCE_OUTBOUND_TOKEN": TOKEN, "SALESFORCE_ORG_ID": ORG}
    manager = boto3.client("secretsmanager")
    manager.put_secret_value(SecretId="webhook", SecretString=json.dumps(usual | mistake))
    stage.rebuilt()
    assert stage.post(BODY, _signed()) == (202, {"accepted": True, "id": EVENT_ID})
    assert _tell(stage, message(order())) == "false"
    taken, told = stage.logs()
    assert (taken["outcome"], told["outcome"]) == ("EventAccepted", "EventNotTaken")
    ((key, value),) = mistake.items()
    assert f"{key}: is not " in told["message"]
    assert value not in stage.text


def test_without_a_token_in_the_secret_nobody_gets_in(stage: Stage) -> None:
    boto3.client("secretsmanager").put_secret_value(
        SecretId="webhook", SecretString=json.dumps({"SALESFORCE_WEBHOOK_SECRET": SECRET})
    )
    stage.rebuilt()
    refused = (401, {"accepted": False, "reason": "the sender could not be verified"})
    assert stage.invoke(OUTBOUND) == stage.invoke(OUTBOUND | _sent(message(order()), "")) == refused
    assert [line["message"] for line in stage.logs()] == ["no_secret", "no_secret"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(body=st.none() | st.text() | st.just(OUTBOUND["body"]), token=st.none() | st.text() | st.just(TOKEN))
def test_any_outbound_message_is_answered(stage: Stage, body: str | None, token: str | None) -> None:
    parameters = None if token is None else {"token": token}
    status, kind, answer = stage.answer(OUTBOUND | {"body": body, "pathParameters": parameters})
    assert status == (200 if token == TOKEN else 401)
    assert ("<Ack>" in answer) is kind.startswith("text/xml") is (token == TOKEN)


HEADERS = st.dictionaries(
    st.text() | st.sampled_from(["Content-Type", "X-Api-Key", "x-orderphase-signature"]),
    st.text() | st.sampled_from(["application/json", SECRET]),
    max_size=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(headers=st.none() | HEADERS, body=st.none() | st.text() | st.just(SAMPLE["body"]))
def test_any_request_is_answered(stage: Stage, headers: dict[str, str] | None, body: str | None) -> None:
    status, answer = stage.invoke(SAMPLE | {"headers": headers, "body": body})
    assert status in {202, 400, 401}
    assert answer["accepted"] is (status == 202)


@given(body=st.binary())
def test_the_body_is_what_was_sent(body: bytes) -> None:
    event = SAMPLE | {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    assert request_from(event).body == body


def test_it_loads_neither_the_stripe_nor_the_salesforce_library() -> None:
    assert loaded_libraries("salesforce_webhook") == "[]"
