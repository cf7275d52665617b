"""Takes changed accounts from the queue. What is done with them is in `orderphase.flows.account_upsert`."""

from __future__ import annotations

from orderphase import loading
from orderphase.bootstrap.contracts import account_upsert
from orderphase.ingress.events import ACCOUNT_UPSERTED
from orderphase.worker import Worker

worker = Worker(account_upsert).on(
    ACCOUNT_UPSERTED,
    lambda flow, event, data: flow.run(
        event.record_id,
        event_id=event.id,
        org_id=event.org_id,
        changed_fields=data.changed_fields,
        changed_by=data.changed_by,
    ),
)
handler = loading.done(worker.handler)
