"""The function behind `POST /salesforce/events`, as API Gateway calls it, on AWS in memory."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from functions.salesforce_webhook import app
from orderphase.ingress.events import parse
from orderphase.ingress.gateway import request_from
from orderphase.ingress.signature import sign
from tests.template.cloudformation import load

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = json.loads((ROOT / "events" / "salesforce_webhook.json").read_text())
# The functions of the flows, by the type of event that each is for; and the sample message of each.
FLOWS = {
    "order.activated": "order_activation",
    "order_item.updated": "order_item_update",
    "order.cancellation_requested": "cancellation",
}
MESSAGES = {kind: json.loads((ROOT / "events" / f"{name}.json").read_text())["Records"][0] for kind, name in FLOWS.items()}
SECRET, SAMPLE_KEY = "whsec_function_test", "whsec_local_sample"


class Context:
    function_name = "salesforce-webhook"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:salesforce-webhook:live"
    aws_request_id = "invocation-1"

    def get_remaining_time_in_millis(self) -> int:
        return 10_000


class Stage:
    """The deployed function: `post` sends a proxy event, `logs` and `messages` tell what came of it."""

    def __init__(self, queues: dict[str, str], logs: io.StringIO) -> None:
        self.queues, self._logs = queues, logs

    def invoke(self, event: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        context: Any = Context()
        answer = app.handler(event, context)
        assert answer["headers"] == {"Content-Type": "application/json"}
        assert answer["isBase64Encoded"] is False
        return int(answer["statusCode"]), json.loads(answer["body"])

    def post(self, body: bytes, headers: dict[str, str], *, encoded: bool = True) -> tuple[int, dict[str, Any]]:
        text = base64.b64encode(body).decode() if encoded else body.decode()
        return self.invoke(SAMPLE | {"headers": headers, "body": text, "isBase64Encoded": encoded})

    def messages(self, kind: str = "order.activated") -> list[MessageTypeDef]:
        """What waits in the queue for a type of event."""
        sqs: SQSClient = boto3.client("sqs")
        found = sqs.receive_message(
            QueueUrl=self.queues[kind],
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
        return found.get("Messages", [])

    @property
    def text(self) -> str:
        return self._logs.getvalue()

    def logs(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    logs = io.StringIO()
    monkeypatch.setattr(app.logger.registered_handler, "stream", logs)
    monkeypatch.setattr(app.metrics.provider, "namespace", "Orderphase")
    monkeypatch.setattr(app.metrics.provider, "service", "salesforce_webhook")
    with mock_aws():
        sqs = boto3.client("sqs")
        queues = {}
        for kind, name in FLOWS.items():
            queues[kind] = sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
            monkeypatch.setenv(f"ORDERPHASE_{name.upper()}_QUEUE", queues[kind])
        boto3.client("dynamodb").create_table(
            TableName="accepted",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        secret = {"SALESFORCE_WEBHOOK_SECRET": SECRET, "SALESFORCE_WEBHOOK_SECRET_PREVIOUS": SAMPLE_KEY}
        boto3.client("secretsmanager").create_secret(Name="webhook", SecretString=json.dumps(secret))
        monkeypatch.setenv("ORDERPHASE_WEBHOOK_SECRET", "webhook")
        monkeypatch.setenv("ORDERPHASE_IDEMPOTENCY_TABLE", "accepted")
        app.collaborators.cache_clear()
        yield Stage(queues, logs)
        app.collaborators.cache_clear()


BODY = SAMPLE["body"].encode()
EVENT_ID = json.loads(BODY)["id"]


def _signed(body: bytes = BODY, at: datetime | None = None) -> dict[str, str]:
    return {"Content-Type": "application/json", "X-Orderphase-Signature": sign(SECRET, body, at or datetime.now(UTC))}


def test_the_sample_event_becomes_the_sample_message(stage: Stage) -> None:
    assert stage.invoke(SAMPLE) == (202, {"accepted": True, "id": EVENT_ID})
    [message] = stage.messages()
    sample = MESSAGES["order.activated"]
    assert message["Body"] == sample["body"]
    sent = message["MessageAttributes"]["correlation_id"]["StringValue"]
    assert sent == sample["messageAttributes"]["correlation_id"]["stringValue"] == SAMPLE["requestContext"]["requestId"]


@pytest.mark.parametrize("kind", FLOWS)
def test_each_flows_sample_message_is_what_the_route_queues(stage: Stage, kind: str) -> None:
    sample = MESSAGES[kind]
    request = SAMPLE["requestContext"] | {"requestId": sample["messageAttributes"]["correlation_id"]["stringValue"]}
    event = SAMPLE | {"headers": _signed(sample["body"].encode()), "body": sample["body"], "requestContext": request}
    assert stage.invoke(event)[0] == 202
    [message] = stage.messages(kind)
    assert message["Body"] == sample["body"]
    assert message["MD5OfBody"] == sample["md5OfBody"]
    assert message["MD5OfMessageAttributes"] == sample["md5OfMessageAttributes"]
    for name in ("MessageGroupId", "MessageDeduplicationId"):
        assert message["Attributes"][name] == sample["attributes"][name]
    assert not [other for other in FLOWS if other != kind and stage.messages(other)]


@pytest.mark.parametrize("kind", FLOWS)
def test_each_flows_sample_message_is_an_event(kind: str) -> None:
    event = parse(MESSAGES[kind]["body"].encode())
    assert event.to_json() == MESSAGES[kind]["body"]
    assert event.type == kind


@pytest.mark.parametrize("kind", FLOWS)
def test_a_flow_that_is_off_says_how_to_switch_it_on(stage: Stage, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv(f"ORDERPHASE_{FLOWS[kind].upper()}_QUEUE", "")
    for event_type, message in MESSAGES.items():
        body = message["body"].encode()
        assert stage.post(body, _signed(body)) == (202, {"accepted": True, "id": json.loads(body)["id"]})
        assert len(stage.messages(event_type)) == (0 if event_type == kind else 1)
    [ignored] = [line for line in stage.logs() if line["event_type"] == kind]
    assert (ignored["level"], ignored["outcome"]) == ("INFO", "EventIgnored")
    parameter = FLOWS[kind].title().replace("_", "")
    assert parameter in load()["Parameters"]
    assert ignored["message"] == f"the flow is switched off; set the template's parameter {parameter} to on"


def test_what_was_ignored_is_taken_when_it_comes_again_and_its_flow_is_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERPHASE_ORDER_ACTIVATION_QUEUE", "")
    assert stage.post(BODY, _signed())[0] == 202
    assert stage.messages() == []
    app.collaborators.cache_clear()
    monkeypatch.setenv("ORDERPHASE_ORDER_ACTIVATION_QUEUE", stage.queues["order.activated"])
    assert stage.post(BODY, _signed())[0] == 202
    assert len(stage.messages()) == 1


@pytest.mark.parametrize(("kind", "record"), [("product.upserted", "01t"), ("quote.accepted", "0Q0")])
def test_a_type_without_a_flow_has_no_switch(stage: Stage, kind: str, record: str) -> None:
    body = json.dumps(json.loads(BODY) | {"type": kind, "record_id": f"{record}000000000001"}).encode()
    assert stage.post(body, _signed(body))[0] == 202
    [line] = stage.logs()
    assert line["outcome"] == "EventIgnored"
    assert line["message"] in ("the type has no flow", "the type is not known")


def test_whether_a_contract_is_due_is_true_or_false(stage: Stage) -> None:
    event = json.loads(BODY)
    for due in (True, False, None):
        assert parse(json.dumps(event | {"data": {"contract_due": due}}).encode()).data.model_dump()["contract_due"] is due
    body = json.dumps(event | {"data": {"contract_due": "yes"}}).encode()
    status, answer = stage.post(body, _signed(body))
    assert (status, answer["reason"].partition(",")[0]) == (400, "data.contract_due: Input should be a valid boolean")


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
    assert len(stage.messages()) == 1
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
        *(f"ORDERPHASE_{name.upper()}_QUEUE" for name in FLOWS.values()),
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
    boto3.client("dynamodb").create_table(
        TableName="accepted",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    boto3.client("sqs").delete_queue(QueueUrl=stage.queues["order.activated"])
    assert stage.post(BODY, _signed())[0] == 503
    boto3.client("sqs").create_queue(QueueName="order_activation.fifo", Attributes={"FifoQueue": "true"})
    assert stage.post(BODY, _signed()) == (202, {"accepted": True, "id": EVENT_ID})
    assert len(stage.messages()) == 1


def test_the_clients_are_built_once(stage: Stage) -> None:
    stage.post(BODY, _signed())
    first = app.collaborators()
    stage.post(BODY, _signed())
    assert app.collaborators() is first


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
    code = (
        "import sys; import functions.salesforce_webhook.app; "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'stripe', 'simple_salesforce', 'requests', 'zeep'}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
