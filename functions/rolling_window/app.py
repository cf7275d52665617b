"""Queues the contracts that need their next phases, every hour. What finds them is in `orderphase.flows.rolling_window`."""

from __future__ import annotations

from orderphase import loading
from orderphase.bootstrap.watching import rolling_window
from orderphase.scheduled import Scheduled

job = Scheduled(rolling_window, lambda window, now: {"queued": window.run(now)})
handler = loading.done(job.handler)
