"""Whatever is in a queue, its function does not fail: each message is handled, put aside, or comes again."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from functions.event_bus import app as event_bus
from orderphase import telemetry
from orderphase.flows.runs import Report
from orderphase.store.dead_letters import DeadLetters, Queue
from orderphase.troubles import Troubles
from tests.functions.deployed import take
from tests.functions.test_flow_functions import APPS
from tests.fuzz.mutations import CANARY, fuzzed, written
from tests.fuzz.test_fuzz_routes import EVENTS, KEY, SALESFORCE_EVENTS, STRIPE_EVENTS
from tests.ingress.edge import Stage, create_table, deployed, sample
from tests.ingress.salesforce_messages import RELAY, change, envelope
from tests.invocation import Context, nobodys_account

STRIPE_BUS = "aws.partner/stripe.com/ed_test_fuzz"
BUSES = {
    "ORDERPHASE_STRIPE_SECRET": "stripe",
    "ORDERPHASE_STRIPE_ACCOUNT": "default",
    "ORDERPHASE_MORE_STRIPE_ACCOUNTS": "",
    "ORDERPHASE_STRIPE_SECRET_PREFIX": "stripe/",
    "ORDERPHASE_IGNORE_OWN_EVENTS": "off",
    "ORDERPHASE_PROGRESS_TABLE": "progress",
    "ORDERPHASE_WEBHOOK_SECRET": "webhook",
    "ORDERPHASE_SALESFORCE_EVENT_SOURCE": RELAY,
    "ORDERPHASE_STRIPE_EVENT_SOURCE": STRIPE_BUS,
}
ENVELOPES = [
    *(envelope(change(**header)) for header in ({}, {"changeType": "GAP_OVERFLOW"}, {"recordIds": ["801000*"]})),
    envelope(change(entityName="PricebookEntry", recordIds=["01u000000000001", "01u000000000002"], changeType="CREATE")),
    *(envelope(event, STRIPE_BUS) for event in STRIPE_EVENTS),
]
_LARGEST = 200_000
"""SQS: a message has at most 262,144 bytes, attributes included. What is larger never was in a queue."""

# SQS: any other character is refused.
_REFUSED = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def bodies(samples: list[Any]) -> st.SearchStrategy[str]:
    """Bodies as SQS takes them."""
    texts = written(samples).map(lambda body: _REFUSED.sub("?", body.decode("utf-8", "replace")) or " ")
    return texts.filter(lambda body: len(body.encode()) <= _LARGEST)


class Quiet:
    """A flow to which everything is alike. asked: how often."""

    def __init__(self) -> None:
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        def run(*_: Any, **__: Any) -> Report:
            self.asked += 1
            return Report("unchanged", "", "800")

        return run


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """AWS in memory; the URL of the dead letters."""
    nobodys_account(monkeypatch)
    with mock_aws():
        url = boto3.client("sqs").create_queue(QueueName="letters.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        monkeypatch.setenv("ORDERPHASE_DEAD_LETTER_QUEUE", url)
        monkeypatch.setenv("ORDERPHASE_PROGRESS_TABLE", "progress")
        create_table("progress")
        yield url


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the function writes."""
    logs = io.StringIO()
    monkeypatch.setattr(telemetry.logger.registered_handler, "stream", logs)
    monkeypatch.setattr(telemetry.metrics.provider, "namespace", "Orderphase")
    monkeypatch.setattr(telemetry.metrics.provider, "service", "flow")
    return logs


@pytest.mark.parametrize("flow", APPS)
@fuzzed
@given(data=st.data())
def test_a_flows_function(flow: str, queues: str, logs: io.StringIO, data: st.DataObject) -> None:
    (message,) = sample(flow)["Records"]
    body = data.draw(bodies([json.loads(message["body"]), *EVENTS, *SALESFORCE_EVENTS]))
    quiet, aside = Quiet(), list[str]()
    before = len(logs.getvalue())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(APPS[flow].worker, "_built", quiet)
        patch.setattr(APPS[flow].worker, "troubles", lambda: Troubles.of(os.environ))
        patch.setattr(Troubles, "put_aside", _counted(Troubles.put_aside, aside))

        again = take(APPS[flow], message | {"body": body})

    # Nothing else is in the way here, so nothing would get better by repetition.
    assert again == []
    assert quiet.asked + len(aside) == 1
    assert CANARY not in re.sub(r'"(event_id|record_id)": ?"[^"]*"', "", logs.getvalue()[before:])


def _counted(work: Callable[..., Any], calls: list[str]) -> Callable[..., None]:
    def run(*given: Any) -> None:
        work(*given)
        calls.append("")

    return run


class TestEventBus:
    @pytest.fixture
    def stage(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
        held = {"stripe": json.dumps({"STRIPE_API_KEY": KEY}), "webhook": json.dumps({"SALESFORCE_WEBHOOK_SECRET": "whsec"})}
        with deployed(monkeypatch, event_bus, {}, BUSES, held) as stage:
            create_table("progress")
            url = boto3.client("sqs").create_queue(QueueName="bus-letters")["QueueUrl"]
            monkeypatch.setenv("ORDERPHASE_DEAD_LETTER_QUEUE", url)
            stage.rebuilt()
            yield stage

    @fuzzed
    @given(data=st.data())
    def test_its_function(self, stage: Stage, data: st.DataObject) -> None:
        (message,) = sample("event_bus")["Records"]
        body = data.draw(bodies(ENVELOPES))
        before = len(stage.text)

        answer = event_bus.handler({"Records": [message | {"body": body}]}, Context(10))

        assert answer == {"batchItemFailures": []}
        (line,) = map(json.loads, stage.text[before:].splitlines())
        # What is no event from a bus of ours becomes a dead letter, and says why; a bug would say its type alone.
        assert _letters() == ([body] if line["outcome"] == "EventRefusedInvalid" else [])
        assert "stack" not in line
        assert KEY not in stage.text[before:]
        ids = ("event_id", "event_type", "record_ids", "bus_event_id")
        assert CANARY not in json.dumps({name: value for name, value in line.items() if name not in ids})


def _letters() -> list[str]:
    """The bodies of what was put aside; nothing is, afterwards."""
    sqs, url = boto3.client("sqs"), os.environ["ORDERPHASE_DEAD_LETTER_QUEUE"]
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    for message in found:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [message["Body"] for message in found]


@fuzzed
@given(body=bodies(EVENTS), kind=st.sampled_from(["String", "Number"]), replays=st.sampled_from(["0", "3", "-1", "1.5", "x"]))
def test_dead_letters(queues: str, body: str, kind: str, replays: str) -> None:
    """What nobody could read can still be listed, and replayed as it was."""
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="flow.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    attributes: Any = {
        "replays": {"DataType": kind, "StringValue": replays},
        "error": {"DataType": "String", "StringValue": CANARY},
    }
    sqs.send_message(
        QueueUrl=queues,
        MessageBody=body,
        MessageAttributes=attributes,
        MessageGroupId="group",
        MessageDeduplicationId=uuid4().hex,
    )
    letters = DeadLetters(sqs, {"Flow": Queue(url, queues)})

    (letter,) = letters.receive("Flow", 10)
    letters.replay(letter)

    (again,) = sqs.receive_message(QueueUrl=url)["Messages"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=again["ReceiptHandle"])
    assert again["Body"] == body
    assert letters.receive("Flow", 10) == []
