"""A flow's function as it is deployed: its environment, its secrets and tables, and both vendors; and what it says."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest

from orderphase.bootstrap import clock
from orderphase.telemetry import DEPLOYMENT
from tests.flows.world import KEY, World, world
from tests.invocation import Context, nobodys_account

ENVIRONMENT = {
    "ORDERPHASE_SALESFORCE_SECRET": "salesforce",
    "ORDERPHASE_STRIPE_SECRET": "stripe",
    "ORDERPHASE_CONTRACT_TABLE": "contracts",
    "ORDERPHASE_SYNC_LOG_TABLE": "sync_log",
    "ORDERPHASE_CURRENCY": "USD",
    "ORDERPHASE_QUANTITY_CONFLICT": "error",
    "ORDERPHASE_END_DATES": "exclusive",
    "ORDERPHASE_TIME_ZONE": "UTC",
    "ORDERPHASE_PRORATION_BEHAVIOR": "create_prorations",
    "ORDERPHASE_BILLING_MODE": "flexible",
    "ORDERPHASE_BILLING_CYCLE_ANCHOR": "automatic",
    "ORDERPHASE_BACKDATING": "from_now",
    "ORDERPHASE_ON_SCHEDULE_ENDED": "error",
    "ORDERPHASE_ON_DRIFT": "error",
    "ORDERPHASE_CATALOGUE_TABLE": "catalogue",
    "ORDERPHASE_CUSTOM_PRICING": "create",
    "ORDERPHASE_UNIT_PRICES": "per_interval",
    "ORDERPHASE_CUSTOMER_UPDATE": "on_order",
    "ORDERPHASE_CUSTOMER_PER_CURRENCY": "error",
    "ORDERPHASE_WRITE_BACK": "full",
    "ORDERPHASE_SYNC_LOG_RECORDS": "off",
    "ORDERPHASE_IGNORE_OWN_EVENTS": "on",
    "ORDERPHASE_ADOPT_EXISTING": "off",
}


class Output:
    """What a function has written: its log, and its metrics."""

    def __init__(self, logs: io.StringIO, capture: pytest.CaptureFixture[str]) -> None:
        self.logs, self.capture = logs, capture

    @property
    def text(self) -> str:
        return self.logs.getvalue()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def counted(self) -> dict[str, float]:
        """The function's own metrics since the last time. Those of the deployment are in `watched` then."""
        found: dict[str, float] = {}
        self.watched: dict[str, float] = {}
        for blob in map(json.loads, self.capture.readouterr().out.splitlines()):
            into = self.watched if blob["service"] == DEPLOYMENT else found
            for metric in blob["_aws"]["CloudWatchMetrics"][0]["Metrics"]:
                into[metric["Name"]] = into.get(metric["Name"], 0) + sum(blob[metric["Name"]])
        return found


def take(app: Any, *messages: dict[str, Any]) -> list[str]:
    """Give a flow's function a batch; answers the ids of the messages that are to come again."""
    answer = app.handler({"Records": list(messages)}, Context())
    assert answer.keys() == {"batchItemFailures"}
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def store(name: str, value: str | bytes | dict[str, str]) -> None:
    """Set a secret to a text, to bytes, or to an object in JSON."""
    manager = boto3.client("secretsmanager")
    if name not in {secret["Name"] for secret in manager.list_secrets()["SecretList"]}:
        manager.create_secret(Name=name)
    if isinstance(value, bytes):
        manager.put_secret_value(SecretId=name, SecretBinary=value)
    else:
        manager.put_secret_value(SecretId=name, SecretString=json.dumps(value) if isinstance(value, dict) else value)


def salesforce_secret(here: World) -> dict[str, str]:
    names = ("SALESFORCE_LOGIN_URL", "SALESFORCE_CLIENT_ID", "SALESFORCE_CLIENT_SECRET")
    return dict(zip(names, (here.salesforce_url, "client", "secret"), strict=True))


def stripe_secret(here: World, key: str = KEY) -> dict[str, str]:
    return {"STRIPE_API_KEY": key, "STRIPE_API_BASE": here.stripe_url}


@contextmanager
def deployed(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose time the function shares, with its secrets in Secrets Manager."""
    nobodys_account(monkeypatch, "eu-west-1")
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with world() as here:
        monkeypatch.setattr(clock, "now", here.clock.now)
        store("salesforce", salesforce_secret(here))
        store("stripe", stripe_secret(here))
        letters = boto3.client("sqs").create_queue(QueueName="dead-letters.fifo", Attributes={"FifoQueue": "true"})
        monkeypatch.setenv("ORDERPHASE_DEAD_LETTER_QUEUE", letters["QueueUrl"])
        monkeypatch.setenv("ORDERPHASE_PROGRESS_TABLE", "progress")
        yield here


def dead_letters() -> list[dict[str, Any]]:
    """What the function has put aside."""
    url = os.environ["ORDERPHASE_DEAD_LETTER_QUEUE"]
    names = {"MessageAttributeNames": ["All"], "MessageSystemAttributeNames": ["All"]}
    found: Any = boto3.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0, **names)
    return list(found.get("Messages", []))
