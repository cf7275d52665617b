"""`POST /salesforce/events`: the wiring of the route. Its rules are in `orderphase.ingress.salesforce`."""

from __future__ import annotations

from collections.abc import Mapping

import boto3

from orderphase.ingress.aws import AcceptedEvents, RotatingSecret
from orderphase.ingress.endpoint import CLIENT, Endpoint, Route, intake
from orderphase.ingress.salesforce import receive
from orderphase.settings import WebhookSecrets, WebhookSettings

# The template's parameter that switches on the flow of a type of event.
SWITCHES = {
    "order.activated": "OrderActivation",
    "order_item.updated": "OrderItemUpdate",
    "order.cancellation_requested": "Cancellation",
    "product.upserted": "ProductUpsert",
    "stripe_product.upserted": "ProductUpsert",
    "pricebook_entry.upserted": "PriceUpsert",
    "stripe_price.upserted": "PriceUpsert",
    "account.upserted": "AccountUpsert",
}


def route(environment: Mapping[str, str]) -> Route:
    """Build the route with its clients. Raises `ConfigurationError` where the environment is not complete."""
    settings = WebhookSettings.from_environment(environment)
    accepted = AcceptedEvents(boto3.client("dynamodb", config=CLIENT), settings.idempotency_table, "salesforce_event")
    secret = RotatingSecret(
        boto3.client("secretsmanager", config=CLIENT),
        settings.webhook_secret,
        lambda name, text: WebhookSecrets.from_secret(name, text).valid,
    )
    flows = intake(SWITCHES, settings.queues, accepted)
    return Route(lambda request, now: receive(request, secrets=secret, intake=flows, now=now), accepted)


endpoint = Endpoint(route)
handler = endpoint.handler
