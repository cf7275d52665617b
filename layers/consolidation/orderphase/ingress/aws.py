"""What is behind each route beside the queues: what has been accepted (DynamoDB), and the secrets.

Each takes its client, and speaks of failures in the terms of `orderphase.errors`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent_function
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyInconsistentStateError,
    IdempotencyPersistenceLayerError,
    IdempotencyValidationError,
)
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from botocore.exceptions import BotoCoreError, ClientError

from orderphase.aws import classified
from orderphase.errors import TransientError
from orderphase.ingress.documents import EventError
from orderphase.ingress.routes import Event
from orderphase.secrets_manager import read_secret

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

REMEMBERED_SECONDS = 24 * 60 * 60
REFETCH_INTERVAL = timedelta(seconds=30)


class AcceptedEvents:
    """Remembers, for 24 hours, which events have been accepted; an event is one sender's id of it.

    prefix: begins the table's keys, which the routes share.
    """

    def __init__(self, client: DynamoDBClient, table: str, prefix: str) -> None:
        # One layer for one configuration: the layer keeps the first that it is given.
        self._layer = DynamoDBPersistenceLayer(table_name=table, boto3_client=client)
        self._prefix = prefix
        self._config = IdempotencyConfig(
            event_key_jmespath="[sender, id]",
            payload_validation_jmespath="[type, record_id]",
            raise_on_no_idempotency_key=True,
            expires_after_seconds=REMEMBERED_SECONDS,
            hash_function="sha256",
        )

    def register(self, context: LambdaContext) -> None:
        """Say how long this invocation may last: a call that died is no longer in progress when that time is over."""
        self._config.register_lambda_context(context)

    def once(self, event: Event, accept: Callable[[], None]) -> bool:
        """Call `accept` unless the event has been accepted before; answers whether it was called.

        Where another request with the event is still at work, `accept` is called too: that one may yet fail, the sender must
        not be told so before the message is in the queue, and there the two become one (SQS: equal deduplication ids).
        When `accept` raises, nothing is remembered. Raises `EventError` where the id stands for another event, and
        `TransientError`, `UnknownOutcomeError` or `ConfigurationError` where the table fails.
        """
        called = False

        def work(*, event: dict[str, str]) -> None:  # noqa: ARG001 (Powertools takes the key from it)
            nonlocal called
            accept()
            called = True

        guarded = idempotent_function(
            work,
            data_keyword_argument="event",
            persistence_store=self._layer,
            config=self._config,
            key_prefix=self._prefix,
        )
        try:
            guarded(event={"sender": event.sender, "id": event.id, "type": event.type, "record_id": event.record_id})
        except IdempotencyAlreadyInProgressError:
            accept()
            return True
        except IdempotencyValidationError:
            raise EventError("id: has been used for another event") from None
        except IdempotencyInconsistentStateError as problem:
            raise TransientError("the table of accepted events changes too fast; try again") from problem
        except IdempotencyPersistenceLayerError as problem:
            if not isinstance(problem.__cause__, ClientError | BotoCoreError):
                raise
            raise classified(problem.__cause__, "the table of accepted events") from problem
        return called


class RotatingSecret[Held]:
    """A secret that we share with senders, cached, and fetched again when one of them uses another than is known yet.

    read: makes of the secret's name and text what is held. Raises `ConfigurationError`.
    """

    def __init__(self, client: SecretsManagerClient, name: str, read: Callable[[str, str], Held]) -> None:
        self._provider = SecretsProvider(boto3_client=client)
        self._name = name
        self._read = read
        self._refetched_at: datetime | None = None

    def valid(self) -> Held:
        """What it holds, as seen five minutes ago or later.

        Raises `TransientError`, `UnknownOutcomeError` or `ConfigurationError`.
        """
        return self._get(force=False)

    def refetched(self, now: datetime) -> Held | None:
        """What it holds now; None within `REFETCH_INTERVAL` of the last time, so that strangers cannot make us ask.

        Raises as `valid` does.
        """
        if self._refetched_at is not None and now - self._refetched_at < REFETCH_INTERVAL:
            return None
        self._refetched_at = now
        return self._get(force=True)

    def _get(self, *, force: bool) -> Held:
        return self._read(self._name, read_secret(self._provider, self._name, force_fetch=force))
