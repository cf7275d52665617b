"""Takes activated orders from the queue. What is done with them is in `orderphase.flows.order_activation`."""

from __future__ import annotations

from orderphase import loading
from orderphase.bootstrap.contracts import order_activation
from orderphase.ingress.events import ORDER_ACTIVATED
from orderphase.worker import Worker

worker = Worker(order_activation).on(
    ORDER_ACTIVATED,
    lambda flow, event, data: flow.run(
        event.record_id,
        event_id=event.id,
        org_id=event.org_id,
        contract_due=bool(data.contract_due),
        changed_fields=data.changed_fields,
        idempotency_key=data.idempotency_key,
    ),
)
handler = loading.done(worker.handler)
