"""Takes activated orders from the queue. What is done with them is in `orderphase.flows.order_activation`."""

from __future__ import annotations

from orderphase.bootstrap import order_activation
from orderphase.ingress.events import OrderActivationData
from orderphase.worker import Worker

worker = Worker(
    order_activation,
    OrderActivationData,
    lambda flow, event, data: flow.run(
        event.record_id, event_id=event.id, org_id=event.org_id, contract_due=bool(data.contract_due)
    ),
)
handler = worker.handler
