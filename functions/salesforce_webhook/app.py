"""`POST /salesforce/events`: the wiring of the route. Its rules are in `orderphase.ingress.salesforce`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from orderphase.errors import OrderphaseError
from orderphase.ingress.aws import AcceptedEvents, FlowQueues, RotatingSecrets
from orderphase.ingress.events import EventError
from orderphase.ingress.gateway import request_from, response_from
from orderphase.ingress.salesforce import Answer, Outcome, invalid, receive, unavailable
from orderphase.settings import WebhookSettings

# The function has ten seconds. A service that does not answer must leave time to say so.
CLIENT = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2})

# The template's parameter that switches on the flow of a type of event.
SWITCHES = {
    "order.activated": "OrderActivation",
    "order_item.updated": "OrderItemUpdate",
    "order.cancellation_requested": "Cancellation",
}

logger = Logger()
metrics = Metrics()


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What the route works with, built once per environment."""

    secrets: RotatingSecrets
    queues: FlowQueues
    accepted: AcceptedEvents


@cache
def collaborators() -> Collaborators:
    """Build the clients. Raises `ConfigurationError` where the environment is not complete."""
    settings = WebhookSettings.from_environment(os.environ)
    flows = {
        "order.activated": settings.order_activation_queue,
        "order_item.updated": settings.order_item_update_queue,
        "order.cancellation_requested": settings.cancellation_queue,
    }
    switched_on = {kind: queue for kind, queue in flows.items() if queue}
    return Collaborators(
        RotatingSecrets(boto3.client("secretsmanager", config=CLIENT), settings.webhook_secret),
        FlowQueues(boto3.client("sqs", config=CLIENT), switched_on),
        AcceptedEvents(boto3.client("dynamodb", config=CLIENT), settings.idempotency_table),
    )


# The event is never logged, whatever the environment says: it holds the sender's key.
@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST, clear_state=True, log_event=False)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway (REST proxy integration)."""
    answer = _answer(event, context)
    metrics.add_metric(name=answer.outcome, unit=MetricUnit.Count, value=1)
    _log(answer)
    return response_from(answer.status, answer.body)


def _answer(event: dict[str, Any], context: LambdaContext) -> Answer:
    try:
        request = request_from(event)
        ours = collaborators()
        ours.accepted.register(context)
        return receive(request, secrets=ours.secrets, queues=ours.queues, once=ours.accepted.once, now=datetime.now(UTC))
    except EventError as problem:
        return invalid(problem)
    except OrderphaseError as problem:
        return unavailable(problem)


def _log(answer: Answer) -> None:
    write = logger.warning
    if answer.status == HTTPStatus.ACCEPTED:
        write = logger.info
    elif answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
        write = logger.error
    note = answer.note
    details: dict[str, Any] = {"outcome": answer.outcome, "status": answer.status}
    if (event := answer.event) is not None:
        details |= {"event_id": event.id, "event_type": event.type, "org_id": event.org_id, "record_id": event.record_id}
        if answer.outcome == Outcome.IGNORED and event.type in SWITCHES:
            note = f"the flow is switched off; set the template's parameter {SWITCHES[event.type]} to on"
    write(note, extra=details)
