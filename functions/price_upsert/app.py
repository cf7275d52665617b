"""Takes changed prices of Stripe and price book entries from the queue. The rest is in `orderphase.flows.price_upsert`."""

from __future__ import annotations

from orderphase.bootstrap import price_upsert
from orderphase.ingress.events import PRICEBOOK_ENTRY_UPSERTED, STRIPE_PRICE_UPSERTED
from orderphase.ingress.stripe_events import PRICE_TYPES
from orderphase.worker import Worker

worker = (
    Worker(price_upsert)
    .on_stripe(PRICE_TYPES, lambda flow, event: flow.from_stripe(event.object_id, account=event.account, event_id=event.id))
    .on(
        PRICEBOOK_ENTRY_UPSERTED,
        lambda flow, event, data: flow.from_salesforce(
            event.record_id,
            event_id=event.id,
            org_id=event.org_id,
            changed_fields=data.changed_fields,
            changed_by=data.changed_by,
        ),
    )
    .on(
        STRIPE_PRICE_UPSERTED,
        lambda flow, event, data: flow.from_mirror(
            event.record_id, event_id=event.id, org_id=event.org_id, stripe_id=data.stripe_id
        ),
    )
)
handler = worker.handler
