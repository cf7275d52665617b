"""Takes changed order lines from the queue. What is done with them is in `orderphase.flows.order_item_update`."""

from __future__ import annotations

from orderphase import loading
from orderphase.bootstrap.contracts import order_item_update
from orderphase.ingress.events import ORDER_ITEM_UPDATED
from orderphase.worker import Worker

worker = Worker(order_item_update).on(
    ORDER_ITEM_UPDATED,
    lambda flow, event, data: flow.run(
        event.record_id,
        event_id=event.id,
        org_id=event.org_id,
        changed_fields=data.changed_fields,
        idempotency_key=data.idempotency_key,
    ),
)
handler = loading.done(worker.handler)
