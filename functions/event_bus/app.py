"""The events of the partner event buses: the wiring. The rules are in `orderphase.ingress.event_bus`."""

from __future__ import annotations

from collections.abc import Mapping

from orderphase import loading
from orderphase.errors import ConfigurationError
from orderphase.ingress import stripe_events
from orderphase.ingress.aws import AcceptedEvents, RotatingSecret
from orderphase.ingress.consumer import Consumer, Source
from orderphase.ingress.endpoint import dynamodb, intake, secrets_manager
from orderphase.ingress.event_bus import Bus
from orderphase.ingress.events import CONTRACT_RECONCILE
from orderphase.settings import EventBusSettings, StripeCredentials, WebhookSecrets
from orderphase.store.progress import Progress, rewind_poll
from orderphase.troubles import Troubles

# The template's parameter that switches on the flow of a type of event.
SWITCHES = {
    "order.activated": "OrderActivation",
    "order_item.updated": "OrderItemUpdate",
    "product.upserted": "ProductUpsert",
    "pricebook_entry.upserted": "PriceUpsert",
    "account.upserted": "AccountUpsert",
    **stripe_events.SWITCHES,
}


def source(environment: Mapping[str, str]) -> Source:
    """Build the source with its clients. Raises `ConfigurationError` where the environment is not complete."""
    settings = EventBusSettings.from_environment(environment)
    client, manager = dynamodb(), secrets_manager()
    # As the routes call them: what Stripe tells both ways is queued once.
    of_salesforce, of_stripe = (
        AcceptedEvents(client, settings.idempotency_table, f"{sender}_event") for sender in ("salesforce", "stripe")
    )
    switches = {**SWITCHES, CONTRACT_RECONCILE.name: "Reconciliation"}
    progress = Progress(client, settings.progress_table)
    secret = RotatingSecret(manager, settings.webhook_secret, WebhookSecrets.from_secret)

    def org_id() -> str:
        named = settings.org_id or secret.valid().org_id
        if named is None:
            raise ConfigurationError(
                f"secret {settings.webhook_secret}: SALESFORCE_ORG_ID: is missing; AppFlow's events do not name their org"
            )
        return named

    bus = Bus(
        salesforce_source=settings.salesforce_event_source,
        org_id=org_id,
        stripe_source=settings.stripe_event_source,
        account=settings.stripe_account,
        accounts={
            account: RotatingSecret(manager, secret, StripeCredentials.from_secret)
            for account, secret in settings.stripe_secrets.items()
        },
        ignore_own=settings.ignore_own_events,
        salesforce=intake(switches, settings.queues, of_salesforce),
        stripe=intake(switches, settings.queues, of_stripe),
        rewind=lambda to: rewind_poll(progress, to),
    )
    return Source(bus, (of_salesforce, of_stripe), lambda record, problem: Troubles.of(environment).put_aside(record, problem))


consumer = Consumer(source)
handler = loading.done(consumer.handler)
