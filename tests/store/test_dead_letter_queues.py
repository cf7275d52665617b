"""The dead letters of a flow: what is known of each, and how it gets into its queue again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from orderphase.errors import ConfigurationError, TransientError
from orderphase.store.dead_letters import DeadLetters, Letter, Queue

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

FLOW = "OrderActivation"
ORDER, CONTRACT = "801000000000001AAA", "800000000000001AAA"
EVENT = {
    "id": "evt-1",
    "type": "order.activated",
    "org_id": "00D000000000001EAA",
    "record_id": ORDER,
    "occurred_at": "2026-11-20T10:00:00Z",
    "data": {"contract_id": CONTRACT},
}
ATTRIBUTES: dict[str, Any] = {
    "correlation_id": {"DataType": "String", "StringValue": "request-1"},
    "error": {"DataType": "String", "StringValue": "configuration"},
}


def fifo(sqs: SQSClient, name: str = "queue") -> Queue:
    made = (sqs.create_queue(QueueName=f"{one}.fifo", Attributes={"FifoQueue": "true"}) for one in (name, f"dead-{name}"))
    return Queue(*(one["QueueUrl"] for one in made))


@pytest.fixture
def sqs() -> Iterator[SQSClient]:
    with mock_aws():
        yield boto3.client("sqs", "eu-west-1", aws_access_key_id="-", aws_secret_access_key="-")


@pytest.fixture
def queue(sqs: SQSClient) -> Queue:
    return fifo(sqs)


@pytest.fixture
def letters(sqs: SQSClient, queue: Queue) -> DeadLetters:
    return DeadLetters(sqs, {FLOW: queue})


def die(sqs: SQSClient, url: str, body: Any = EVENT, *, group: str = CONTRACT, **attributes: Any) -> None:
    """Leave a message in a dead-letter queue."""
    text = body if isinstance(body, str) else json.dumps(body)
    place: Any = {"MessageGroupId": group, "MessageDeduplicationId": uuid4().hex} if url.endswith(".fifo") else {}
    sqs.send_message(QueueUrl=url, MessageBody=text, MessageAttributes=attributes, **place)


def queued(sqs: SQSClient, url: str) -> list[MessageTypeDef]:
    answer = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
    )
    return answer.get("Messages", [])


def test_what_is_known_of_a_letter(sqs: SQSClient, queue: Queue, letters: DeadLetters) -> None:
    began = datetime.now(UTC).replace(microsecond=0)
    die(sqs, queue.dead_letters, **ATTRIBUTES)

    (letter,) = letters.receive(FLOW, 10)

    assert (letter.flow, letter.group, letter.replays, letter.error) == (FLOW, CONTRACT, 0, "configuration")
    assert (letter.event_id, letter.type, letter.records) == ("evt-1", "order.activated", (ORDER,))
    assert (letter.contract_id, letter.occurred_at) == (CONTRACT, datetime(2026, 11, 20, 10, tzinfo=UTC))
    assert letter.readable
    assert began <= letter.since <= datetime.now(UTC)


STRIPE = {"id": "evt_1", "type": "price.updated", "account": "default", "object_id": "price_1", "product_id": "prod_1"}
RELAYED = {"id": "b5f8", "detail-type": "OrderChangeEvent", "time": "2026-11-20T10:00:00Z"}


@pytest.mark.parametrize(
    ("body", "known"),
    [
        (STRIPE | {"created": 1_795_168_800}, ("evt_1", "price.updated", ("price_1",), datetime(2026, 11, 20, 10, tzinfo=UTC))),
        (
            RELAYED | {"detail": {"payload": {"ChangeEventHeader": {"recordIds": [ORDER, "801000000000002AAA"]}}}},
            ("b5f8", "OrderChangeEvent", (ORDER, "801000000000002AAA"), datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ),
        (
            RELAYED | {"detail": {"ChangeEventHeader": {"recordIds": [ORDER]}}},
            ("b5f8", "OrderChangeEvent", (ORDER,), datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ),
        (
            RELAYED | {"detail-type": "price.updated", "detail": {"data": {"object": {"id": "price_1"}}}},
            ("b5f8", "price.updated", ("price_1",), datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ),
        (RELAYED | {"detail": {"ChangeEventHeader": {"recordIds": 5}}, "time": "soon"}, ("b5f8", "OrderChangeEvent", (), None)),
    ],
    ids=["Stripe's", "the relay's", "AppFlow's", "Stripe's through EventBridge", "hardly any"],
)
def test_what_each_kind_of_event_says(
    sqs: SQSClient, queue: Queue, letters: DeadLetters, body: dict[str, Any], known: tuple[Any, ...]
) -> None:
    die(sqs, queue.dead_letters, body)
    (letter,) = letters.receive(FLOW, 10)
    assert (letter.event_id, letter.type, letter.records, letter.occurred_at) == known
    assert letter.readable


@pytest.mark.parametrize("body", ["{", "[1]", '"event"', '{"id": 5, "type": "x"}', '{"id": "evt-1"}', "[" * 100_000])
def test_what_is_no_event_is_unreadable_and_hides_no_other(
    sqs: SQSClient, queue: Queue, letters: DeadLetters, body: str
) -> None:
    die(sqs, queue.dead_letters, body)
    die(sqs, queue.dead_letters, replays={"DataType": "Number", "StringValue": "many"})
    bad, good = letters.receive(FLOW, 10)
    assert (bad.readable, bad.body, bad.records) == (False, body, ())
    assert (good.readable, good.replays) == (True, 0)


def test_a_replay_is_the_same_message_again(sqs: SQSClient, queue: Queue, letters: DeadLetters) -> None:
    die(sqs, queue.dead_letters, **ATTRIBUTES)
    (letter,) = letters.receive(FLOW, 10)

    letters.replay(letter)

    (message,) = queued(sqs, queue.url)
    assert json.loads(message["Body"]) == EVENT
    assert message["Attributes"]["MessageGroupId"] == CONTRACT
    # Why it was parked is not why it fails the next time.
    assert {name: value["StringValue"] for name, value in message["MessageAttributes"].items()} == {
        "correlation_id": "request-1",
        "replays": "1",
    }
    assert letters.count(FLOW) == 0


def test_a_letter_without_a_correlation_id_goes_on_under_its_own(sqs: SQSClient, queue: Queue, letters: DeadLetters) -> None:
    die(sqs, queue.dead_letters)
    (letter,) = letters.receive(FLOW, 10)
    letters.replay(letter)
    (message,) = queued(sqs, queue.url)
    assert message["MessageAttributes"]["correlation_id"]["StringValue"] == letter.message_id


def test_each_replay_has_an_id_of_its_own(sqs: SQSClient, queue: Queue, letters: DeadLetters) -> None:
    """SQS drops what has the id of a message of the last five minutes; nothing would tell."""
    die(sqs, queue.dead_letters)
    (letter,) = letters.receive(FLOW, 10)
    letters.replay(letter)
    (first,) = queued(sqs, queue.url)
    kept: Any = first["MessageAttributes"]
    die(sqs, queue.dead_letters, **kept)
    (again,) = letters.receive(FLOW, 10)
    assert again.replays == 1

    letters.replay(again)

    sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=first["ReceiptHandle"])
    (second,) = queued(sqs, queue.url)
    assert second["MessageAttributes"]["replays"]["StringValue"] == "2"
    ids = {message["Attributes"]["MessageDeduplicationId"] for message in (first, second)}
    assert len(ids) == 2


def test_a_crash_after_the_message_was_sent_leaves_the_letter(sqs: SQSClient, queue: Queue, letters: DeadLetters) -> None:
    die(sqs, queue.dead_letters)
    (letter,) = letters.receive(FLOW, 10)
    with pytest.raises(ConfigurationError):
        letters.replay(replace(letter, receipt="lost"))
    letters.release(letter)
    (left,) = letters.receive(FLOW, 10)

    letters.replay(left)

    # The same letter, so the same id: within five minutes SQS takes it for the first one.
    assert len(queued(sqs, queue.url)) == 1
    assert letters.count(FLOW) == 0


def test_a_message_that_was_not_sent_stays_a_letter(sqs: SQSClient, queue: Queue, letters: DeadLetters) -> None:
    die(sqs, queue.dead_letters)
    (letter,) = letters.receive(FLOW, 10)
    with Stubber(sqs) as stub:
        stub.add_client_error("send_message", service_error_code="RequestThrottled", http_status_code=400)
        with pytest.raises(TransientError, match=r"^the queue of OrderActivation: "):
            letters.replay(letter)
    assert letters.count(FLOW) == 1


def test_a_letter_of_a_standard_queue(sqs: SQSClient) -> None:
    queue = Queue(*[sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("events", "dead-events")])
    letters = DeadLetters(sqs, {"EventBus": queue})
    die(sqs, queue.dead_letters, RELAYED)
    (letter,) = letters.receive("EventBus", 10)

    letters.replay(letter)

    (message,) = queued(sqs, queue.url)
    assert json.loads(message["Body"]) == RELAYED
    assert "MessageDeduplicationId" not in message["Attributes"]


def test_a_letter_is_held_until_it_is_let_go(sqs: SQSClient, queue: Queue, letters: DeadLetters) -> None:
    die(sqs, queue.dead_letters)
    (letter,) = letters.receive(FLOW, 10)
    assert letters.receive(FLOW, 10) == []
    letters.release(letter)
    (again,) = letters.receive(FLOW, 10)
    assert again.message_id == letter.message_id


def test_as_many_as_there_are_but_no_more_than_asked_for(sqs: SQSClient, queue: Queue, letters: DeadLetters) -> None:
    for number in range(25):
        die(sqs, queue.dead_letters, EVENT | {"id": f"evt-{number}"}, group=f"group-{number}")
    first = letters.receive(FLOW, 23)
    assert [letter.event_id for letter in first] == [f"evt-{number}" for number in range(23)]
    assert len(letters.receive(FLOW, 23)) == 2
    assert letters.count(FLOW) == 25


def letter(**said: Any) -> Letter:
    told: dict[str, Any] = {"flow": FLOW, "message_id": "message-1", "receipt": "receipt-1", "body": "{}"}
    return Letter(**told | {"since": datetime(2026, 11, 20, tzinfo=UTC), "attributes": {}} | said)


@pytest.mark.parametrize(
    "code", ["ReceiptHandleIsInvalid", "AWS.SimpleQueueService.MessageNotInflight", "InvalidParameterValue"]
)
def test_what_can_be_seen_again_already_is_let_go(sqs: SQSClient, letters: DeadLetters, code: str) -> None:
    with Stubber(sqs) as stub:
        stub.add_client_error("change_message_visibility", service_error_code=code, http_status_code=400)
        letters.release(letter())


def test_failures_are_classified(sqs: SQSClient, letters: DeadLetters) -> None:
    with Stubber(sqs) as stub:
        for operation in ("receive_message", "change_message_visibility", "get_queue_attributes"):
            stub.add_client_error(operation, service_error_code="AccessDenied", http_status_code=403)
        for call in (lambda: letters.receive(FLOW, 10), lambda: letters.release(letter()), lambda: letters.count(FLOW)):
            with pytest.raises(ConfigurationError, match=r"^the dead letters of OrderActivation: "):
                call()
