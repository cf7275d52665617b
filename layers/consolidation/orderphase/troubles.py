"""Where a worker goes with its troubles: a vendor that may be down is noted, a message that cannot succeed is put aside."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import boto3

from orderphase.aws import classified_errors, patience
from orderphase.correlation import ATTRIBUTE
from orderphase.errors import OrderphaseError
from orderphase.messages import Message
from orderphase.settings import WorkerSettings
from orderphase.store.dead_letters import ERROR
from orderphase.store.progress import Progress

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

_AWS = patience(connect=1, read=2)


class Troubles:
    """The dead-letter queue of a worker's own queue, and the table of progress."""

    def __init__(self, queues: SQSClient, dead_letters: str, progress: Progress) -> None:
        self._queues = queues
        self._dead_letters = dead_letters
        self._progress = progress

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Those of the function with these variables. Raises ConfigurationError naming one that is missing."""
        settings = WorkerSettings.from_environment(environment)
        progress = Progress(boto3.client("dynamodb", config=_AWS), settings.progress_table)
        return cls(boto3.client("sqs", config=_AWS), settings.dead_letter_queue, progress)

    def suspect(self) -> None:
        """Note that a vendor may be down. Raises classified errors."""
        self._progress.suspect(datetime.now(UTC))

    def put_aside(self, message: Message, problem: OrderphaseError) -> None:
        """Make a message a dead letter, with the kind of the error. Raises classified errors.

        Done twice, because the message came again all the same, it is there once of a FIFO queue: SQS drops what has the same
        deduplication id.
        """
        attributes: dict[str, MessageAttributeValueTypeDef] = {
            name: {"DataType": "String", "StringValue": value}
            for name, value in ({ATTRIBUTE: message.id} | dict(message.attributes)).items()
        }
        fifo: dict[str, Any] = {}
        if message.group:
            fifo = {"MessageGroupId": message.group, "MessageDeduplicationId": message.id}
        with classified_errors("the dead-letter queue"):
            self._queues.send_message(
                QueueUrl=self._dead_letters,
                MessageBody=message.body,
                MessageAttributes={**attributes, ERROR: {"DataType": "String", "StringValue": problem.kind}},
                **fifo,
            )
