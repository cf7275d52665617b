"""Queues the contracts that have changed and that no run has seen. The rest is in `orderphase.flows.changed_contracts`."""

from __future__ import annotations

from orderphase import loading
from orderphase.bootstrap.poll import poll
from orderphase.scheduled import Scheduled

job = Scheduled(poll, lambda contracts, now: {"queued": contracts.poll(now)})
handler = loading.done(job.handler)
