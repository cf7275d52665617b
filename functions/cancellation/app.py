"""Takes requested cancellations from the queue. What is done with them is in `orderphase.flows.cancellation`."""

from __future__ import annotations

from orderphase import loading
from orderphase.bootstrap.contracts import cancellation
from orderphase.domain.cancellation import CancellationRequest
from orderphase.ingress.events import CANCELLATION_REQUESTED, CancellationData
from orderphase.worker import Worker


def requested(data: CancellationData) -> CancellationRequest:
    """What the event asks for. What it does not say is the least: it ends now, and nothing is invoiced or credited for it."""
    return CancellationRequest(
        mode=data.mode or "now",
        date=data.date,
        invoice_now=bool(data.invoice_now),
        prorate=bool(data.prorate),
    )


worker = Worker(cancellation).on(
    CANCELLATION_REQUESTED,
    lambda flow, event, data: flow.run(
        event.record_id,
        event_id=event.id,
        org_id=event.org_id,
        request=requested(data),
        idempotency_key=data.idempotency_key,
    ),
)
handler = loading.done(worker.handler)
