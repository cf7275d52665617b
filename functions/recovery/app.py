"""Stops the flows while a vendor is down, and has dead letters that only had bad luck try again.

What decides that is in `orderphase.flows.circuit` and `orderphase.flows.retry`.
"""

from __future__ import annotations

from orderphase import loading
from orderphase.bootstrap.recovery import recovery
from orderphase.scheduled import Scheduled

job = Scheduled(recovery, lambda recovering, now: recovering.run(now))
handler = loading.done(job.handler)
