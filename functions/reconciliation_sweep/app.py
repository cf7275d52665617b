"""Queues every contract that is billed once a day, a few at a time. The rest is in `orderphase.flows.sweep`."""

from __future__ import annotations

from orderphase import loading
from orderphase.bootstrap.watching import sweep
from orderphase.scheduled import Scheduled

job = Scheduled(sweep, lambda contracts, now: {"queued": contracts.run(now)})
handler = loading.done(job.handler)
