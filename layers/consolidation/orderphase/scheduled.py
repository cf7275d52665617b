"""What the functions that the clock starts have in common: build the job once, run it, log, and count what it has come to.

Metrics, by function: what the job counts, and `Interrupted_<kind>` for a run that failed (as `orderphase.worker`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from orderphase import deadline
from orderphase.errors import ConfigurationError
from orderphase.telemetry import counting, interrupted, logger, metrics


class Scheduled[Job]:
    """A job behind a schedule. `handler` is what Lambda calls; it answers the counts.

    build: makes the job from the environment's variables, once per Lambda environment; again after a `ConfigurationError`.
    run: runs it, at the instant that it is given; answers how much of what it has done. An error makes Lambda try again, twice.
    """

    def __init__(self, build: Callable[[Mapping[str, str]], Job], run: Callable[[Job, datetime], Mapping[str, int]]) -> None:
        self.job = cache(lambda: build(os.environ))
        self._run = run
        self.handler = logger.inject_lambda_context(counting(self._handle), clear_state=True)

    def _handle(self, event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG002 (Lambda gives it)
        try:
            with deadline.within(context.get_remaining_time_in_millis() / 1000):
                counts = dict(self._run(self.job(), datetime.now(UTC)))
        except Exception as problem:
            if isinstance(problem, ConfigurationError):
                self.job.cache_clear()
            interrupted(problem)
            raise
        for name, count in counts.items():
            metrics.add_metric(name=name.capitalize(), unit=MetricUnit.Count, value=count)
        logger.info("done", extra=counts)
        return counts
