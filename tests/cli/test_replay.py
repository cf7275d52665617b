"""`orderphase replay`: what it lists, what it sends again, what stays, and what it says to which end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from uuid import uuid4

import boto3
import pytest
from moto import mock_aws

from orderphase.cli import replay
from orderphase.cli.connection import Stack, describe_stack
from orderphase.errors import ConfigurationError, TransientError
from orderphase.store.dead_letters import DeadLetters
from orderphase.store.sync_log import Entry, SyncLog
from sandbox.serving import Emulator, Request, Response, Server
from tests.cli.conftest import Command
from tests.flows.world import TABLES

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
ORDER, CONTRACT = "801000000000001AAA", "800000000000001AAA"
FLOWS = ("OrderActivation", "ProductUpsert")
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "-", "AWS_SECRET_ACCESS_KEY": "-", "AWS_DEFAULT_REGION": "eu-west-1"}


@dataclass
class Deployed:
    """A stack called billing, in whose dead-letter queues something may be left."""

    sqs: SQSClient
    log: SyncLog
    command: Command

    def url(self, queue: str) -> str:
        return self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]

    def die(self, event_id: str, *, flow: str = "OrderActivation", body: Any = None, **said: Any) -> None:
        event = {"id": event_id, "type": "order.activated", "record_id": ORDER, "occurred_at": NOW.isoformat(), "data": {}}
        attributes = said.pop("attributes", {})
        place: Any = {}
        if flow in FLOWS:
            place = {"MessageGroupId": said.pop("group", ORDER), "MessageDeduplicationId": uuid4().hex}
        self.sqs.send_message(
            QueueUrl=self.url(f"{flow}DeadLetterQueue" + (".fifo" if flow in FLOWS else "")),
            MessageBody=body or json.dumps(event | said),
            MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
            **place,
        )

    def failed(self, event_id: str, error: str, message: str, record: str = ORDER, code: str | None = None) -> None:
        told: dict[str, Any] = {"contract_id": record, "order_id": record, "event_id": event_id, "run_id": uuid4().hex}
        told |= {"flow": "order_activation", "outcome": "interrupted", "error": error, "error_code": code}
        self.log.add(Entry(**told, message=message, started_at=NOW, finished_at=NOW + timedelta(seconds=4)))

    def queued(self, queue: str) -> list[str]:
        """The ids of the events that are in a queue."""
        answer = self.sqs.receive_message(QueueUrl=self.url(queue), MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [json.loads(message["Body"])["id"] for message in answer.get("Messages", [])]

    def replay(self, *arguments: str) -> tuple[int, str, str]:
        return self.command(b"", "replay", *arguments)


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch, command: Command) -> Iterator[Deployed]:
    """A stack with two flows, one of them switched off, and the events of the bus."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(replay, "DeadLetters", lambda sqs, queues, **_: DeadLetters(sqs, queues))
    with mock_aws():
        sqs, dynamodb = boto3.client("sqs"), boto3.client("dynamodb")
        dynamodb.create_table(TableName="sync_log", BillingMode="PAY_PER_REQUEST", **TABLES["sync_log"])
        outputs = {"SyncLogTableName": "sync_log"}
        for queue in ("Queue", "DeadLetterQueue"):
            for flow in FLOWS:
                made = sqs.create_queue(QueueName=f"{flow}{queue}.fifo", Attributes={"FifoQueue": "true"})
                outputs[f"{flow}{queue}Url"] = made["QueueUrl"]
            outputs[f"EventBus{queue}Url"] = sqs.create_queue(QueueName=f"EventBus{queue}")["QueueUrl"]
        billing = Stack("billing", "the stack billing", {"ProductUpsert": "off"}, outputs)
        stacks = {None: billing, "other": Stack("other", "the stack other", {}, {})}
        monkeypatch.setattr(replay, "describe_stack", lambda environ, folder, stack: stacks[stack])
        yield Deployed(sqs, SyncLog(dynamodb, "sync_log"), command)


def test_nothing_waits(deployed: Deployed) -> None:
    assert deployed.replay() == (0, "Dead letters of the stack billing\n\n0 found, 0 replayed, 0 stay.\n", "")


def test_what_it_says_and_does(deployed: Deployed) -> None:
    deployed.die("evt-1", attributes={"error": "configuration"})
    deployed.die("evt-2", record_id="801000000000002AAA", group="2", attributes={"replays": "1"})
    deployed.die("evt_3", flow="ProductUpsert", type="product.updated", object_id="prod_1", record_id=None)
    deployed.failed("evt-1", "configuration", "It says no.\x1b[31m", code="INVALID_LOGIN")

    code, out, err = deployed.replay()

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Dead letters of the stack billing",
        "",
        "OrderActivation",
        f"  order.activated {ORDER} (event evt-1)",
        "    sent 2026-11-20 10:00:00 UTC, replayed never before",
        "    2026-11-20 10:00:04 UTC interrupted, configuration (INVALID_LOGIN): It says no.\N{REPLACEMENT CHARACTER}[31m",
        "    replayed",
        "  order.activated 801000000000002AAA (event evt-2)",
        "    sent 2026-11-20 10:00:00 UTC, replayed once before",
        "    the sync log has no run of it",
        "    replayed",
        "",
        "ProductUpsert",
        "  The flow is off: what is replayed waits in its queue until it is on.",
        "  product.updated prod_1 (event evt_3)",
        "    sent 2026-11-20 10:00:00 UTC, replayed never before",
        "    the sync log has no run of it",
        "    replayed",
        "",
        "3 found, 3 replayed, 0 stay.",
    ]
    assert deployed.queued("OrderActivationQueue.fifo") == ["evt-1", "evt-2"]
    assert deployed.queued("ProductUpsertQueue.fifo") == ["evt_3"]
    assert deployed.replay()[1].endswith("0 found, 0 replayed, 0 stay.\n")


def test_a_dry_run_leaves_everything_where_it_is(deployed: Deployed) -> None:
    deployed.die("evt-1")
    for _ in range(2):
        code, out, _ = deployed.replay("--dry-run")
        assert code == 0
        assert out.startswith("Dead letters of the stack billing, nothing replayed\n")
        assert out.endswith("    the sync log has no run of it\n\n1 found, 1 can be replayed, 0 stay.\n")
    assert deployed.queued("OrderActivationQueue.fifo") == []
    assert deployed.queued("OrderActivationDeadLetterQueue.fifo") == ["evt-1"]


def test_what_is_no_event_stays_and_is_told(deployed: Deployed) -> None:
    deployed.die("", body="{")
    deployed.die("evt-2", group="2", attributes={"error": "data"})

    code, out, _ = deployed.replay()

    assert code == 1
    assert "    stays: it is not an event; look at it in the queue, and delete it there\n" in out
    assert "    its flow cannot read it\n    replayed\n" in out
    assert out.endswith("2 found, 1 replayed, 1 stays.\n")
    assert deployed.queued("OrderActivationQueue.fifo") == ["evt-2"]


def test_one_that_cannot_be_sent_stays_and_keeps_no_other(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed.die("evt-1")
    deployed.die("evt-2", group="2")
    sends = DeadLetters.replay

    def once(self: DeadLetters, letter: Any) -> None:
        if letter.event_id == "evt-1":
            raise TransientError("the queue of OrderActivation: no connection")
        sends(self, letter)

    monkeypatch.setattr(DeadLetters, "replay", once)
    code, out, _ = deployed.replay()
    assert code == 1
    assert "    stays: the queue of OrderActivation: no connection\n" in out
    assert deployed.queued("OrderActivationQueue.fifo") == ["evt-2"]
    assert deployed.queued("OrderActivationDeadLetterQueue.fifo") == ["evt-1"]


def test_of_one_flow(deployed: Deployed) -> None:
    deployed.die("evt-1")
    deployed.die("evt_3", flow="ProductUpsert")
    deployed.die("b5f8", flow="EventBus", type=None, **{"detail-type": "OrderChangeEvent"})
    assert deployed.replay("--flow", "EventBus")[1].endswith("1 found, 1 replayed, 0 stay.\n")
    assert deployed.queued("EventBusQueue") == ["b5f8"]
    assert deployed.queued("OrderActivationQueue.fifo") == deployed.queued("ProductUpsertQueue.fifo") == []


@pytest.mark.parametrize("record", ["801000000000002", "801000000000002AAA", CONTRACT, "800000000000009AAA"])
def test_of_one_record(deployed: Deployed, record: str) -> None:
    """Of the record itself, of its contract as the event says it, or of what its message is kept in sequence with."""
    deployed.die("evt-1")
    deployed.die("evt-2", record_id="801000000000002AAA", data={"contract_id": CONTRACT}, group="800000000000009AAA")
    assert deployed.replay("--record", record)[0] == 0
    assert deployed.queued("OrderActivationQueue.fifo") == ["evt-2"]
    assert deployed.queued("OrderActivationDeadLetterQueue.fifo") == ["evt-1"]


def test_json(deployed: Deployed) -> None:
    deployed.die("evt-1", attributes={"replays": "2"})
    deployed.die("", body="{", group="2")
    deployed.failed("evt-1", "transient", "Stripe is down.", code="503")
    code, out, _ = deployed.replay("--json")
    told = json.loads(out)
    assert code == 1
    assert (told["source"], told["dry_run"]) == ("the stack billing", False)
    assert told["behind"] == {"EventBus": 0, "OrderActivation": 0, "ProductUpsert": 0}
    first, second = told["letters"]
    assert first.pop("message")
    assert first == {
        "flow": "OrderActivation",
        "event": "evt-1",
        "type": "order.activated",
        "records": [ORDER],
        "occurred_at": "2026-11-20T10:00:00Z",
        "replays": 2,
        "error": "transient",
        "error_code": "503",
        "failed_at": "2026-11-20T10:00:04Z",
        "why": "2026-11-20 10:00:04 UTC interrupted, transient (503): Stripe is down.",
        "replayed": True,
        "stays": None,
    }
    assert (second["event"], second["replayed"], second["stays"]) == (None, False, replay.UNREADABLE)


def test_what_waits_behind_ten_of_its_group_is_told(deployed: Deployed) -> None:
    for number in range(13):
        deployed.die(f"evt-{number}")
    code, out, _ = deployed.replay()
    assert code == 1
    assert "OrderActivation: about 3 more wait behind these, which have to be replayed first." in out
    assert deployed.replay()[0] == 0
    assert deployed.replay()[1].endswith("0 found, 0 replayed, 0 stay.\n")


def test_what_was_replayed_is_told_though_something_fails_later(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed.die("evt-1")
    looks = DeadLetters.receive

    def fails(self: DeadLetters, flow: str, most: int) -> Any:
        if flow == "ProductUpsert":
            raise TransientError("the dead letters of ProductUpsert: no connection")
        return looks(self, flow, most)

    monkeypatch.setattr(DeadLetters, "receive", fails)
    code, out, err = deployed.replay()
    assert (code, err) == (2, "orderphase: the dead letters of ProductUpsert: no connection\n")
    assert out.endswith("1 found, 1 replayed, 0 stay.\n")
    assert deployed.replay() == (2, "", err)


@pytest.mark.parametrize("option", ["--stack", "--record", "--flow"])
@pytest.mark.parametrize("value", ["", " "])
def test_an_option_without_a_value_is_not_the_same_as_none(
    deployed: Deployed, capsysbinary: pytest.CaptureFixture[bytes], option: str, value: str
) -> None:
    """As of a variable that is not set: it would be replayed whatever there is, in whatever stack there is."""
    deployed.die("evt-1")
    with pytest.raises(SystemExit) as ended:
        deployed.replay(option, value)
    assert ended.value.code == 2
    assert f"argument {option}: is empty; leave the option out, or give it a value" in capsysbinary.readouterr().err.decode()
    assert deployed.queued("OrderActivationQueue.fifo") == []


def test_a_flow_that_the_stack_does_not_have(deployed: Deployed) -> None:
    deployed.die("evt-1")
    code, out, err = deployed.replay("--flow", "orders")
    assert (code, out) == (2, "")
    assert "the stack billing has no queue of a flow 'orders'; it has: EventBus, OrderActivation, ProductUpsert" in err
    assert deployed.queued("OrderActivationQueue.fifo") == []


def test_a_stack_of_somebody_elses(deployed: Deployed) -> None:
    code, _, err = deployed.replay("--stack", "other")
    assert (code, err) == (
        2,
        "orderphase: the stack other has no output SyncLogTableName: is it one of Orderphase's, and up to date?\n",
    )


# Which stack is meant


class CloudFormation(Emulator):
    """Knows one stack, called billing."""

    def handle(self, request: Request) -> Response:
        asked = {name: value for name, (value,) in parse_qs(request.body.decode()).items()}
        assert asked["Action"] == "DescribeStacks"
        if asked["StackName"] != "billing":
            return Response(400, b"<ErrorResponse><Error><Code>ValidationError</Code></Error></ErrorResponse>")
        outputs = "<member><OutputKey>ApiId</OutputKey><OutputValue>a1</OutputValue></member>"
        given = "<member><ParameterKey>Cancellation</ParameterKey><ParameterValue>off</ParameterValue></member>"
        stack = f"<member><Outputs>{outputs}</Outputs><Parameters>{given}</Parameters></member>"
        result = f"<DescribeStacksResult><Stacks>{stack}</Stacks></DescribeStacksResult>"
        return Response(body=f"<DescribeStacksResponse>{result}</DescribeStacksResponse>".encode())

    def reset(self) -> None:
        """It keeps nothing."""

    def errors(self) -> Mapping[str, Response]:
        return {}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The variables that point at an AWS with one stack. The environment of this process is put back afterwards."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("AWS_", "ORDERPHASE_"))]:
        del os.environ[name]
    with Server(CloudFormation()) as server:
        yield CREDENTIALS | {"AWS_ENDPOINT_URL": server.url}
    os.environ.clear()
    os.environ.update(before)


def test_the_stack_that_is_named(aws: dict[str, str], tmp_path: Path) -> None:
    os.environ.update(aws)
    found = Stack("billing", "the stack billing", {"Cancellation": "off"}, {"ApiId": "a1"})
    assert describe_stack({"ORDERPHASE_STACK": "nowhere"}, tmp_path, stack="billing") == found
    assert describe_stack({"ORDERPHASE_STACK": "billing"}, tmp_path) == found
    with pytest.raises(ConfigurationError, match=r"^stack nowhere: AWS refused \(ValidationError\)"):
        describe_stack({}, tmp_path, stack="nowhere")


def test_a_name_that_is_empty_is_no_stack(aws: dict[str, str], tmp_path: Path) -> None:
    os.environ.update(aws)
    with pytest.raises(ConfigurationError, match="with --stack or in ORDERPHASE_STACK, or start a local stack"):
        describe_stack({"ORDERPHASE_STACK": "billing"}, tmp_path, stack="")


def test_else_the_local_stack_of_the_folder(aws: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="with --stack or in ORDERPHASE_STACK, or start a local stack"):
        describe_stack({}, tmp_path)
    note = tmp_path / ".stack" / "local" / "stack.json"
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps({"stack": "billing", "aws": aws}))
    os.environ["AWS_PROFILE"] = "production"
    found = describe_stack(os.environ, tmp_path)
    assert found == Stack("billing", "the local stack billing", {"Cancellation": "off"}, {"ApiId": "a1"})
    assert "AWS_PROFILE" not in os.environ
