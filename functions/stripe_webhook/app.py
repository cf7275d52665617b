"""`POST /stripe/{account}/events`: the wiring of the route. Its rules are in `orderphase.ingress.stripe`."""

from __future__ import annotations

from collections.abc import Mapping

from orderphase import loading
from orderphase.ingress import stripe_events
from orderphase.ingress.aws import AcceptedEvents, RotatingSecret
from orderphase.ingress.endpoint import Endpoint, Route, dynamodb, intake, secrets_manager
from orderphase.ingress.events import CONTRACT_RECONCILE
from orderphase.ingress.stripe import receive
from orderphase.settings import StripeCredentials, StripeWebhookSettings

SWITCHES = stripe_events.SWITCHES


def route(environment: Mapping[str, str]) -> Route:
    """Build the route with its clients. Raises `ConfigurationError` where the environment is not complete."""
    settings = StripeWebhookSettings.from_environment(environment)
    accepted = AcceptedEvents(dynamodb(), settings.idempotency_table, "stripe_event")
    manager = secrets_manager()
    accounts = {
        account: RotatingSecret(manager, secret, StripeCredentials.from_secret)
        for account, secret in settings.stripe_secrets.items()
    }
    flows = intake({**SWITCHES, CONTRACT_RECONCILE.name: "Reconciliation"}, settings.queues, accepted)

    return Route(
        lambda request, now: receive(request, accounts=accounts, ignore_own=settings.ignore_own_events, intake=flows, now=now),
        accepted,
    )


endpoint = Endpoint(route)
handler = loading.done(endpoint.handler)
