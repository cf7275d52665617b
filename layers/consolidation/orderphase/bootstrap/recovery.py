"""What stops the flows while a vendor is down. It loads the vendors' libraries only when one is to be asked."""

from __future__ import annotations

from collections.abc import Mapping

import boto3

from orderphase.bootstrap import clock
from orderphase.bootstrap.aws import AWS
from orderphase.errors import CredentialsError, OrderphaseError
from orderphase.flows.circuit import Circuit
from orderphase.flows.recovery import Recovery
from orderphase.flows.retry import Retry
from orderphase.settings import RecoverySettings
from orderphase.store.dead_letters import DeadLetters, Queue
from orderphase.store.event_sources import EventSources
from orderphase.store.progress import Progress
from orderphase.store.sync_log import SyncLog
from orderphase.telemetry import logger


def recovery(environment: Mapping[str, str]) -> Recovery:
    """Build the recovery. Raises `ConfigurationError` naming the variable at fault.

    A vendor is asked with the credentials of the moment, and for something that every key may ask for or is refused politely.
    Of several Stripe accounts, one whose key is not accepted stops nothing: the others have nothing to do with it.
    """
    settings = RecoverySettings.from_environment(environment)
    dynamodb = boto3.client("dynamodb", config=AWS)
    queues = {flow: Queue(queue, letters) for flow, (queue, letters) in settings.queues.items()}

    def salesforce() -> None:
        from orderphase.bootstrap.parts import Parts  # noqa: PLC0415 (rarely asked, and long in loading)

        Parts(environment).client.call("GET", "limits")

    def stripe() -> None:
        from orderphase.bootstrap.flow_parts import FlowParts  # noqa: PLC0415 (likewise)

        accounts = FlowParts(environment).stripe
        try:
            connection = accounts.connection(accounts.default)
            connection.call(connection.api.products.list, {"limit": 1})
        except CredentialsError:
            if len(accounts.names) == 1:
                raise

    circuit = Circuit(
        {"Salesforce": salesforce, "Stripe": stripe},
        EventSources(boto3.client("lambda", config=AWS), [queue.url for queue in queues.values()]),
        Progress(dynamodb, settings.progress_table),
    )
    letters = DeadLetters(boto3.client("sqs", config=AWS), queues)
    return Recovery(circuit, Retry(letters, SyncLog(dynamodb, settings.sync_log_table), clock.now), tell=_down)


def _down(vendor: str, problem: OrderphaseError) -> None:
    logger.error("down", extra={"vendor": vendor, "error": problem.kind, "error_code": problem.code})
