"""Dead letters that had bad luck only get another run by themselves; what is for a person stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from orderphase.domain.findings import finding
from orderphase.errors import ConfigurationError, OrderphaseError, TransientError
from orderphase.flows.retry import Retried, Retry
from orderphase.store.dead_letters import DeadLetters, Letter, Queue
from orderphase.store.sync_log import Ending, Entry, SyncLog
from tests.flows.world import TABLES

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
EVENT, ORDER = "evt-1", "801000000000001AAA"
WENT_WRONG = Ending("order_activation", "interrupted", "Stripe is down", NOW, "transient", "503")
MINUTE = timedelta(minutes=1)


def letter(number: int = 1, flow: str = "OrderActivation", **said: Any) -> Letter:
    told: dict[str, Any] = {"flow": flow, "message_id": f"message-{number}", "receipt": f"receipt-{number}", "body": "{}"}
    told |= {"since": NOW, "attributes": {}, "event_id": f"evt-{number}", "type": "order.activated", "records": (ORDER,)}
    return Letter(**told | said)


@dataclass
class Desk:
    """Dead letters, and a sync log: endings by event. What is received and neither replayed nor let go is held."""

    letters: list[Letter]
    endings: dict[str, Ending | None] = field(default_factory=dict)
    refused: dict[str, OrderphaseError] = field(default_factory=dict)
    replayed: list[str] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def flows(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.flow for one in self.letters))

    def receive(self, flow: str, most: int) -> list[Letter]:
        found = [one for one in self.letters if one.flow == flow][:most]
        self.held |= {one.receipt for one in found}
        return found

    def replay(self, one: Letter) -> None:
        if one.event_id in self.refused:
            raise self.refused[one.event_id]
        self.held.remove(one.receipt)
        self.letters.remove(one)
        self.replayed.append(one.event_id)

    def release(self, one: Letter) -> None:
        self.held.remove(one.receipt)

    def last(self, record_id: str, event_id: str) -> Ending | None:
        self.asked.append((record_id, event_id))
        return self.endings.get(event_id, WENT_WRONG)

    def run(self, after: timedelta, **limits: int) -> Retried:
        some: Any = self
        done = Retry(some, self, lambda: NOW + after, **limits).run()
        assert not self.held
        return done


def test_the_distance_doubles_with_each_replay() -> None:
    for replays, minutes in enumerate((15, 30, 60, 120, 240)):
        distance = minutes * MINUTE
        early, due = Desk([letter(replays=replays)]), Desk([letter(replays=replays)])
        assert early.run(distance - timedelta(seconds=1)) == Retried(replayed=0, later=1, left=0)
        assert due.run(distance) == Retried(replayed=1, later=0, left=0)


def test_after_five_replays_it_stays() -> None:
    assert Desk([letter(replays=5)]).run(timedelta(days=1)) == Retried(replayed=0, later=0, left=1)


@pytest.mark.parametrize("error", ["transient", "unknown_outcome", "conflict"])
def test_bad_luck_is_tried_again(error: str) -> None:
    ending = Ending("order_activation", "interrupted", "", NOW, error)
    assert Desk([letter()], {EVENT: ending}).run(15 * MINUTE).replayed == 1


@pytest.mark.parametrize("error", ["configuration", "error", "data", None])
def test_what_somebody_has_to_mend_stays(error: str | None) -> None:
    ending = Ending("order_activation", "interrupted", "", NOW, error)
    assert Desk([letter()], {EVENT: ending}).run(timedelta(days=1)) == Retried(replayed=0, later=0, left=1)


def test_what_no_run_has_told_of_is_replayed() -> None:
    """Its runs were killed, as by a vendor that kept them waiting."""
    assert Desk([letter()], {EVENT: None}).run(14 * MINUTE).replayed == 0
    assert Desk([letter()], {EVENT: None}).run(15 * MINUTE).replayed == 1


@pytest.mark.parametrize("outcome", ["synced", "unchanged", "failed", "skipped"])
def test_a_copy_of_what_was_handled_is_cleared_away(outcome: str) -> None:
    ending = Ending("order_activation", outcome, "", NOW)
    assert Desk([letter()], {EVENT: ending}).run(15 * MINUTE).replayed == 1


@pytest.mark.parametrize("said", [{"error": "configuration"}, {"event_id": ""}, {"type": ""}, {"records": ()}])
def test_what_was_parked_or_cannot_be_read_stays_and_nobody_is_asked(said: dict[str, Any]) -> None:
    desk = Desk([letter(**said)])
    assert desk.run(timedelta(days=1)) == Retried(replayed=0, later=0, left=1)
    assert desk.asked == []


def test_the_last_failure_counts_not_the_letters_age() -> None:
    """SQS: a letter of a standard queue is as old as its message."""
    desk = Desk([letter(since=NOW - timedelta(days=1))])
    assert desk.run(14 * MINUTE).replayed == 0
    assert desk.run(15 * MINUTE).replayed == 1


def test_the_log_is_asked_only_about_what_may_be_due() -> None:
    desk = Desk([letter(1), letter(2, since=NOW - 15 * MINUTE)])
    desk.run(MINUTE)
    assert desk.asked == [(ORDER, "evt-2")]


def test_the_longest_waiting_come_first_whatever_their_flow_and_so_many_at_a_time() -> None:
    endings = {f"evt-{n}": Ending("", "interrupted", "", NOW - n * MINUTE, "transient") for n in range(1, 6)}
    letters = [letter(1), letter(2), letter(3), letter(4, "Cancellation"), letter(5, "Cancellation")]
    desk = Desk(letters, dict(endings))
    assert desk.run(timedelta(hours=1), per_run=3) == Retried(replayed=3, later=2, left=0)
    assert desk.replayed == ["evt-5", "evt-4", "evt-3"]
    assert desk.run(timedelta(hours=1), per_run=3) == Retried(replayed=2, later=0, left=0)


def test_one_that_cannot_be_sent_keeps_none_of_the_others() -> None:
    problem = ConfigurationError("no permission")
    desk = Desk([letter(1), letter(2)], refused={"evt-1": problem})
    with pytest.raises(ConfigurationError, match="no permission"):
        desk.run(timedelta(hours=1))
    assert desk.replayed == ["evt-2"]
    assert [one.event_id for one in desk.letters] == ["evt-1"]
    assert not desk.held


def test_nothing_stays_hidden_where_the_log_cannot_be_asked() -> None:
    desk = Desk([letter(1), letter(2)])

    def fails(record_id: str, event_id: str) -> Ending | None:
        raise TransientError("the sync log: no connection")

    desk.last = fails  # type: ignore[method-assign]
    with pytest.raises(TransientError):
        desk.run(timedelta(hours=1))
    assert not desk.held
    assert desk.replayed == []


def test_nothing_there_is_nothing_done() -> None:
    assert Desk([]).run(MINUTE) == Retried(0, 0, 0)


# The reader of the sync log


@pytest.fixture
def dynamodb() -> Iterator[DynamoDBClient]:
    with mock_aws():
        client = boto3.client("dynamodb", "eu-west-1", aws_access_key_id="-", aws_secret_access_key="-")
        client.create_table(TableName="sync_log", BillingMode="PAY_PER_REQUEST", **TABLES["sync_log"])
        yield client


def entry(number: int, event_id: str = EVENT, **said: Any) -> Entry:
    began = NOW + number * MINUTE
    told: dict[str, Any] = {"contract_id": ORDER, "order_id": ORDER, "event_id": event_id, "run_id": f"run-{number}"}
    told |= {"flow": "order_activation", "outcome": "interrupted", "message": "", "started_at": began}
    return Entry(**told | {"finished_at": began + timedelta(seconds=2)} | said)


def test_the_last_run_of_an_event_is_the_one_that_counts(dynamodb: DynamoDBClient) -> None:
    log = SyncLog(dynamodb, "sync_log")
    log.add(entry(1, error="configuration", error_code="INVALID_LOGIN"))
    log.add(entry(3, message="Stripe is down.", error="transient", error_code="503"))
    log.add(entry(2, error="conflict"))
    log.add(entry(4, "evt-2", outcome="synced"))
    log.add(entry(5, order_id="801000000000002AAA", outcome="synced"))

    assert log.last(ORDER, EVENT) == Ending(
        "order_activation", "interrupted", "Stripe is down.", NOW + timedelta(minutes=3, seconds=2), "transient", "503"
    )
    assert log.last(ORDER, "evt-2") == Ending("order_activation", "synced", "", NOW + timedelta(minutes=4, seconds=2))
    assert log.last(ORDER, "evt-3") is None
    assert log.last("801000000000003AAA", EVENT) is None


def test_it_is_found_however_much_has_happened_since(dynamodb: DynamoDBClient) -> None:
    log = SyncLog(dynamodb, "sync_log")
    long = [finding("phase_gap", "x" * 100_000)]
    log.add(entry(0, error="transient"))
    for number in range(1, 16):
        log.add(entry(number, "evt-2", outcome="failed", findings=long))
    pages: list[Any] = []
    dynamodb.meta.events.register("after-call.dynamodb.Query", lambda **told: pages.append(told))
    found = log.last(ORDER, EVENT)
    assert found is not None
    assert (found.finished_at, found.error) == (NOW + timedelta(seconds=2), "transient")
    assert len(pages) > 1


def test_a_log_that_cannot_be_read(dynamodb: DynamoDBClient) -> None:
    with Stubber(dynamodb) as stub:
        stub.add_client_error("query", service_error_code="AccessDeniedException", http_status_code=400)
        with pytest.raises(ConfigurationError, match=r"^the sync log: "):
            SyncLog(dynamodb, "sync_log").last(ORDER, EVENT)


def test_together_with_the_queues(dynamodb: DynamoDBClient) -> None:
    """A letter goes to its queue with one replay more, another one stays and can be received at once."""
    sqs = boto3.client("sqs", "eu-west-1", aws_access_key_id="-", aws_secret_access_key="-")
    made = [sqs.create_queue(QueueName=f"{n}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"] for n in ("queue", "dead")]
    letters, log = DeadLetters(sqs, {"OrderActivation": Queue(*made)}), SyncLog(dynamodb, "sync_log")
    for number, error in enumerate(("transient", "configuration"), 1):
        body = {"id": f"evt-{number}", "type": "order.activated", "record_id": f"80100000000000{number}AAA"}
        sqs.send_message(
            QueueUrl=made[1], MessageBody=json.dumps(body), MessageGroupId=f"{number}", MessageDeduplicationId=f"{number}"
        )
        log.add(entry(number, f"evt-{number}", order_id=body["record_id"], error=error))

    done = Retry(letters, log, lambda: datetime.now(UTC) + timedelta(minutes=20)).run()

    assert done == Retried(replayed=1, later=0, left=1)
    (sent,) = sqs.receive_message(QueueUrl=made[0], MessageAttributeNames=["All"])["Messages"]
    assert (json.loads(sent["Body"])["id"], sent["MessageAttributes"]["replays"]["StringValue"]) == ("evt-1", "1")
    assert [one.event_id for one in letters.receive("OrderActivation", 10)] == ["evt-2"]
