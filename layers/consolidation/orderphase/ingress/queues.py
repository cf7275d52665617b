"""The queues of the flows (SQS): where every event goes, whichever way it came."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orderphase.aws import classified_errors
from orderphase.correlation import ATTRIBUTE
from orderphase.ingress.routes import Event

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

# SQS: a group's name has up to 128 characters, letters, digits and punctuation.
_GROUP = re.compile(r"[!-~]{1,128}")


class FlowQueues:
    """The SQS FIFO queue of each flow, by the type of event that it takes."""

    def __init__(self, client: SQSClient, urls: Mapping[str, str]) -> None:
        self._client = client
        self._urls = urls

    def takes(self, event_type: str) -> bool:
        """Whether there is a flow for events of this type."""
        return event_type in self._urls

    def send(self, event: Event, correlation_id: str) -> None:
        """Put the event into its flow's queue, behind all others of its group.

        The message attribute `correlation_id` leads from the flow's log back to the request. SQS: for five minutes, a message
        with the deduplication id of another is taken and dropped.
        Raises `TransientError`, `UnknownOutcomeError` (it may be in the queue) or `ConfigurationError`.
        """
        attributes: dict[str, MessageAttributeValueTypeDef] = {ATTRIBUTE: {"DataType": "String", "StringValue": correlation_id}}
        with classified_errors("the flow's queue"):
            self._client.send_message(
                QueueUrl=self._urls[event.type],
                MessageBody=event.to_json(),
                MessageGroupId=event.group if _GROUP.fullmatch(event.group) else _digest(event.group),
                MessageDeduplicationId=_digest(f"{event.sender}{event.id}"),
                MessageAttributes=attributes,
            )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
