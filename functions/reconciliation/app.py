"""Takes contracts that are to be looked at from the queue. The rest is in `orderphase.flows.reconciliation`."""

from __future__ import annotations

from orderphase import loading
from orderphase.bootstrap.contracts import reconciliation
from orderphase.ingress.events import CONTRACT_RECONCILE
from orderphase.worker import Worker

worker = Worker(reconciliation).on(
    CONTRACT_RECONCILE,
    lambda flow, event, data: flow.run(
        event.record_id, event_id=event.id, org_id=event.org_id, order_id=data.order_id, billed=bool(data.billed)
    ),
)
handler = loading.done(worker.handler)
