"""What the function of every route does with a request of API Gateway: read it, have it received, log, count, and answer.

What is done with a request is the route's. Metrics, by function: the outcome of each request (`orderphase.ingress.routes`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from orderphase.aws import patience
from orderphase.errors import OrderphaseError
from orderphase.ingress.aws import AcceptedEvents
from orderphase.ingress.documents import EventError
from orderphase.ingress.gateway import Request, request_from, response_from
from orderphase.ingress.queues import FlowQueues
from orderphase.ingress.routes import Answer, Intake, Outcome, invalid, unavailable
from orderphase.telemetry import logger, metrics

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

# The function has ten seconds. A service that does not answer must leave time to say so.
_CLIENT = patience(connect=1, read=2)


@dataclass(frozen=True, slots=True)
class Route:
    """A route with all that it works with."""

    receive: Callable[[Request, datetime], Answer]
    accepted: AcceptedEvents


class Endpoint:
    """A route behind API Gateway. `handler` is what Lambda calls.

    build: makes the route from the environment's variables, once per Lambda environment. Raises `ConfigurationError`.
    """

    def __init__(self, build: Callable[[Mapping[str, str]], Route]) -> None:
        self.route = cache(lambda: build(os.environ))
        # The event is never logged, whatever the environment says: it holds what proves the sender.
        self.handler = logger.inject_lambda_context(
            metrics.log_metrics(self._handle),
            correlation_id_path=correlation_paths.API_GATEWAY_REST,
            clear_state=True,
            log_event=False,
        )

    def _handle(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Answer one request (REST proxy integration)."""
        answer = self._answer(event, context)
        metrics.add_metric(name=answer.outcome, unit=MetricUnit.Count, value=1)
        _log(answer)
        return response_from(answer.status, answer.body, event["requestContext"]["requestId"])

    def _answer(self, event: dict[str, Any], context: LambdaContext) -> Answer:
        try:
            request = request_from(event)
            route = self.route()
            route.accepted.register(context)
            return route.receive(request, datetime.now(UTC))
        except EventError as problem:
            return invalid(problem)
        except OrderphaseError as problem:
            return unavailable(problem)


def dynamodb() -> DynamoDBClient:
    """A client of DynamoDB that leaves the function time to answer."""
    client: DynamoDBClient = boto3.client("dynamodb", config=_CLIENT)
    return client


def secrets_manager() -> SecretsManagerClient:
    """A client of Secrets Manager that leaves the function time to answer."""
    client: SecretsManagerClient = boto3.client("secretsmanager", config=_CLIENT)
    return client


def intake(switches: Mapping[str, str], queues: Mapping[str, str | None], accepted: AcceptedEvents) -> Intake:
    """The flows behind a route: switches as in `Intake`, and the URL of the queue of each flow that is on, by its switch."""
    urls = {kind: url for kind, switch in switches.items() if (url := queues[switch])}
    return Intake(FlowQueues(boto3.client("sqs", config=_CLIENT), urls), switches, accepted.once)


def _log(answer: Answer) -> None:
    # By the outcome: an Outbound Message that is refused is answered 200 as well.
    if answer.outcome in (Outcome.ACCEPTED, Outcome.REPLAYED, Outcome.IGNORED):
        write = logger.info
    else:
        write = logger.error if answer.outcome == Outcome.UNAVAILABLE else logger.warning
    write(answer.note, extra={"outcome": answer.outcome, "status": answer.status, **answer.about})
