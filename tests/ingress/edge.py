"""A route's function as it is deployed, on AWS in memory: what API Gateway gives it, and what came of it."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from orderphase import telemetry
from tests.invocation import Context, nobodys_account

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = {"stripe", "simple_salesforce", "requests", "zeep"}


def sample(name: str) -> Any:
    """A sample event, by its name."""
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


def flow_of(switch: str) -> str:
    """What the flow of a switch is called in the names of folders and variables."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", switch).lower()


class Stage:
    """The deployed function: `post` sends a proxy event, `logs` and `messages` tell what came of it."""

    def __init__(self, app: Any, sample: dict[str, Any], queues: dict[str, str], logs: io.StringIO) -> None:
        self.app, self.sample, self.queues, self._logs = app, sample, queues, logs

    def invoke(self, event: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, kind, body = self.answer(event)
        assert kind == "application/json"
        return status, json.loads(body)

    def answer(self, event: dict[str, Any]) -> tuple[int, str, str]:
        """Status, content type and body, whatever its kind."""
        answer = self.app.handler(event, Context(10))
        # The sender learns under which id its request is found.
        assert list(answer["headers"]) == ["Content-Type", "X-Orderphase-Correlation-Id"]
        assert answer["headers"]["X-Orderphase-Correlation-Id"] == event["requestContext"]["requestId"]
        assert answer["isBase64Encoded"] is False
        return int(answer["statusCode"]), str(answer["headers"]["Content-Type"]), str(answer["body"])

    def post(self, body: bytes, headers: dict[str, str], *, encoded: bool = True, **changes: Any) -> tuple[int, dict[str, Any]]:
        text = base64.b64encode(body).decode() if encoded else body.decode()
        return self.invoke(self.sample | {"headers": headers, "body": text, "isBase64Encoded": encoded} | changes)

    def messages(self, flow: str) -> list[MessageTypeDef]:
        """What waits in the queue of a flow."""
        sqs: SQSClient = boto3.client("sqs")
        found = sqs.receive_message(
            QueueUrl=self.queues[flow],
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
        return found.get("Messages", [])

    def queued(self) -> list[str]:
        """The flows in whose queues something waits."""
        return [flow for flow in self.queues if self.messages(flow)]

    @property
    def text(self) -> str:
        return self._logs.getvalue()

    def logs(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def rebuilt(self) -> None:
        """As in another Lambda environment."""
        (self.app.endpoint.route if hasattr(self.app, "endpoint") else self.app.consumer.source).cache_clear()


@contextmanager
def deployed(
    monkeypatch: pytest.MonkeyPatch,
    app: Any,
    sample: dict[str, Any],
    environment: Mapping[str, str],
    held: Mapping[str, str],
) -> Iterator[Stage]:
    """The function with its queues, the table `accepted`, and what is held in Secrets Manager, by name."""
    nobodys_account(monkeypatch)
    for name, value in {"ORDERPHASE_IDEMPOTENCY_TABLE": "accepted", **environment}.items():
        monkeypatch.setenv(name, value)
    logs = io.StringIO()
    monkeypatch.setattr(telemetry.logger.registered_handler, "stream", logs)
    monkeypatch.setattr(telemetry.metrics.provider, "namespace", "Orderphase")
    monkeypatch.setattr(telemetry.metrics.provider, "service", "webhook")
    with mock_aws():
        sqs = boto3.client("sqs")
        queues = {}
        for flow in dict.fromkeys(map(flow_of, app.SWITCHES.values())):
            queues[flow] = sqs.create_queue(QueueName=f"{flow}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
            monkeypatch.setenv(f"ORDERPHASE_{flow.upper()}_QUEUE", queues[flow])
        create_table()
        for name, value in held.items():
            boto3.client("secretsmanager").create_secret(Name=name, SecretString=value)
        stage = Stage(app, sample, queues, logs)
        stage.rebuilt()
        yield stage
        stage.rebuilt()


def create_table(name: str = "accepted") -> None:
    boto3.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )


def is_as_sampled(message: MessageTypeDef, expected: dict[str, Any]) -> None:
    """Whether what was queued is what the sample of a flow says."""
    assert message["Body"] == expected["body"]
    assert message["MD5OfBody"] == expected["md5OfBody"]
    assert message["MD5OfMessageAttributes"] == expected["md5OfMessageAttributes"]
    for name in ("MessageGroupId", "MessageDeduplicationId"):
        assert message["Attributes"][name] == expected["attributes"][name]


def loaded_libraries(function: str) -> str:
    """Which of the vendors' libraries, and what they bring along, a function loads."""
    code = (
        f"import sys; import functions.{function}.app; "
        f"print(sorted({{name.partition('.')[0] for name in sys.modules}} & {LIBRARIES!r}))"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
