"""Dead letters: the messages that a flow's queue has given up or a worker has parked, and how they get another run.

One attribute of the message counts how often it was replayed, another one says why a worker has parked it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orderphase.aws import classified_errors
from orderphase.correlation import ATTRIBUTE
from orderphase.errors import ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueOutputTypeDef, MessageTypeDef

REPLAYS = "replays"
"""The message attribute with how often a letter was replayed."""

ERROR = "error"
"""The message attribute with the class of the error for which a worker has parked a message (`orderphase.errors`)."""

_BATCH = 10
"""SQS: a request receives ten messages."""

# SQS: what it says of a receipt whose time is over. The letter can be seen again already.
_LET_GO = ("ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue")


@dataclass(frozen=True, slots=True)
class Queue:
    """The URLs of a flow's queue and of its dead letters."""

    url: str
    dead_letters: str


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, held by whoever has received it.

    since: when it came to the dead letters; SQS: of a standard queue, when it was sent. replays: how often it was replayed.
    error: why it was parked; None where its runs have failed too often. event_id, type, records, occurred_at: the event's own,
    empty where the body does not say them. contract_id: of its contract, where it says that.
    """

    flow: str
    message_id: str
    receipt: str
    body: str
    since: datetime
    attributes: Mapping[str, MessageAttributeValueOutputTypeDef]
    group: str = ""
    replays: int = 0
    error: str | None = None
    event_id: str = ""
    type: str = ""
    records: tuple[str, ...] = ()
    contract_id: str | None = None
    occurred_at: datetime | None = None

    @property
    def readable(self) -> bool:
        """Whether it is an event at all."""
        return bool(self.event_id and self.type)


class DeadLetters:
    """The dead letters of flows, by the flow's name as the template has it. Every method raises classified errors.

    wait: seconds that a request waits for a letter; SQS: with none it asks some of its servers, and may miss a letter.
    hold: seconds for which a letter that was received is hidden from others, unless it is let go before; SQS: after that it
    cannot be taken out of a FIFO queue.
    """

    def __init__(self, client: SQSClient, queues: Mapping[str, Queue], *, wait: int = 0, hold: int = 120) -> None:
        self._client = client
        self._queues = queues
        self._wait = wait
        self._hold = hold

    @property
    def flows(self) -> tuple[str, ...]:
        """The flows whose dead letters these are."""
        return tuple(self._queues)

    def receive(self, flow: str, most: int) -> list[Letter]:
        """Up to `most` letters of a flow, the oldest first, held; a request for each ten of them.

        SQS: of a FIFO queue's group nothing more comes while letters of it are held.
        """
        found: list[Letter] = []
        while len(found) < most:
            with classified_errors(f"the dead letters of {flow}"):
                answer = self._client.receive_message(
                    QueueUrl=self._queues[flow].dead_letters,
                    MaxNumberOfMessages=min(_BATCH, most - len(found)),
                    VisibilityTimeout=self._hold,
                    WaitTimeSeconds=self._wait,
                    MessageAttributeNames=["All"],
                    MessageSystemAttributeNames=["All"],
                )
            messages = answer.get("Messages", [])
            if not messages:
                break
            found += [_letter(flow, message) for message in messages]
        return found

    def count(self, flow: str) -> int:
        """About how many letters of a flow there are, held ones too. SQS: up to a minute old."""
        with classified_errors(f"the dead letters of {flow}"):
            said = self._client.get_queue_attributes(
                QueueUrl=self._queues[flow].dead_letters,
                AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
            )["Attributes"]
        return sum(int(number) for number in said.values())

    def replay(self, letter: Letter) -> None:
        """Send a letter to its queue again, as it was, then take it out of the dead letters: two requests.

        A crash in between leaves it here too, and it is replayed once more: SQS drops that within five minutes, and later it is
        a run that finds nothing to do. SQS: for five minutes a message with the deduplication id of another is taken and
        dropped, also where that was consumed; so each replay has an id of its own. What is not kept is why it was parked.
        """
        queue = self._queues[letter.flow]
        # One that was sent without a correlation id goes on under the id that it had.
        attributes: Any = {ATTRIBUTE: {"DataType": "String", "StringValue": letter.message_id}}
        attributes |= {name: value for name, value in letter.attributes.items() if name != ERROR}
        attributes[REPLAYS] = {"DataType": "Number", "StringValue": str(letter.replays + 1)}
        fifo: dict[str, Any] = {}
        # SQS: so ends the name of every FIFO queue, and of no other.
        if queue.url.endswith(".fifo"):
            again = f"{letter.message_id}-replay-{letter.replays + 1}"
            fifo = {"MessageGroupId": letter.group, "MessageDeduplicationId": again}
        with classified_errors(f"the queue of {letter.flow}"):
            self._client.send_message(QueueUrl=queue.url, MessageBody=letter.body, MessageAttributes=attributes, **fifo)
        with classified_errors(f"the dead letters of {letter.flow}"):
            self._client.delete_message(QueueUrl=queue.dead_letters, ReceiptHandle=letter.receipt)

    def release(self, letter: Letter) -> None:
        """Let a letter go, so that it, and those behind it in its group, can be received again at once."""
        try:
            with classified_errors(f"the dead letters of {letter.flow}"):
                self._client.change_message_visibility(
                    QueueUrl=self._queues[letter.flow].dead_letters, ReceiptHandle=letter.receipt, VisibilityTimeout=0
                )
        except ConfigurationError as problem:
            if not str(problem.code).endswith(_LET_GO):
                raise


def _letter(flow: str, message: MessageTypeDef) -> Letter:
    system, attributes = message["Attributes"], message.get("MessageAttributes", {})
    replays = _text(attributes, REPLAYS) or ""
    return Letter(
        flow=flow,
        message_id=message["MessageId"],
        receipt=message["ReceiptHandle"],
        body=message["Body"],
        since=datetime.fromtimestamp(int(system["SentTimestamp"]) / 1000, UTC),
        attributes=attributes,
        group=system.get("MessageGroupId", ""),
        replays=int(replays) if replays.isdecimal() else 0,
        error=_text(attributes, ERROR),
        **_said(message["Body"]),
    )


def _text(attributes: Mapping[str, MessageAttributeValueOutputTypeDef], name: str) -> str | None:
    return attributes[name].get("StringValue") if name in attributes else None


def _said(body: str) -> dict[str, Any]:
    """What an event says of itself: of a flow's own, or one as EventBridge wraps it."""
    try:
        event = _Members(json.loads(body))
    except (ValueError, RecursionError):
        return {}
    detail = event.members("detail")
    return {
        "event_id": event.text("id"),
        "type": event.text("type") or event.text("detail-type"),
        "records": tuple(filter(None, [event.text("record_id"), event.text("object_id"), *_records_of(detail)])),
        "contract_id": event.members("data").text("contract_id") or None,
        "occurred_at": _instant(event.text("occurred_at") or event.text("time"), event.get("created")),
    }


def _records_of(detail: _Members) -> Iterator[str]:
    """The records that an event of a partner's is about: Salesforce's relay and AppFlow, or Stripe."""
    for header in (detail.members("payload").members("ChangeEventHeader"), detail.members("ChangeEventHeader")):
        ids = header.get("recordIds")
        yield from (one for one in ids if isinstance(one, str)) if isinstance(ids, list) else ()
    yield detail.members("data").members("object").text("id")


class _Members(dict[str, Any]):
    """The members of what should be a JSON object; none of what is not."""

    def __init__(self, value: Any) -> None:
        super().__init__(value if isinstance(value, dict) else {})

    def text(self, name: str) -> str:
        value = self.get(name)
        return value if isinstance(value, str) else ""

    def members(self, name: str) -> _Members:
        return _Members(self.get(name))


def _instant(text: str, seconds: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else datetime.fromtimestamp(seconds, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
