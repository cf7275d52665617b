"""Takes changed products of Stripe and of Salesforce from the queue. The rest is in `orderphase.flows.product_upsert`."""

from __future__ import annotations

from orderphase.bootstrap import product_upsert
from orderphase.ingress.events import PRODUCT_UPSERTED, STRIPE_PRODUCT_UPSERTED
from orderphase.ingress.stripe_events import PRODUCT_TYPES
from orderphase.worker import Worker

worker = (
    Worker(product_upsert)
    .on_stripe(PRODUCT_TYPES, lambda flow, event: flow.from_stripe(event.object_id, account=event.account, event_id=event.id))
    .on(
        PRODUCT_UPSERTED,
        lambda flow, event, data: flow.from_salesforce(
            event.record_id,
            event_id=event.id,
            org_id=event.org_id,
            changed_fields=data.changed_fields,
            changed_by=data.changed_by,
        ),
    )
    .on(
        STRIPE_PRODUCT_UPSERTED,
        lambda flow, event, data: flow.from_mirror(
            event.record_id, event_id=event.id, org_id=event.org_id, stripe_id=data.stripe_id
        ),
    )
)
handler = worker.handler
