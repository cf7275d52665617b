"""The wiring of Salesforce's routes: `POST /salesforce/events`, and `POST /salesforce/outbound-messages/{token}`.

Their rules are in `orderphase.ingress.salesforce` and `orderphase.ingress.outbound_messages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from orderphase import loading
from orderphase.ingress import outbound_messages, salesforce
from orderphase.ingress.aws import AcceptedEvents, RotatingSecret
from orderphase.ingress.endpoint import Endpoint, Route, dynamodb, intake, secrets_manager
from orderphase.ingress.gateway import Request
from orderphase.ingress.routes import Answer
from orderphase.settings import WebhookSecrets, WebhookSettings

SWITCHES = salesforce.SWITCHES


def route(environment: Mapping[str, str]) -> Route:
    """Build the routes with their clients. Raises `ConfigurationError` where the environment is not complete."""
    settings = WebhookSettings.from_environment(environment)
    accepted = AcceptedEvents(dynamodb(), settings.idempotency_table, "salesforce_event")
    secret = RotatingSecret(secrets_manager(), settings.webhook_secret, WebhookSecrets.from_secret)
    flows = intake(SWITCHES, settings.queues, accepted)

    def answer(request: Request, now: datetime) -> Answer:
        receive = outbound_messages.receive if request.resource == outbound_messages.RESOURCE else salesforce.receive
        return receive(request, secrets=secret, intake=flows, now=now)

    return Route(answer, accepted)


endpoint = Endpoint(route)
handler = loading.done(endpoint.handler)
