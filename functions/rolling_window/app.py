"""Queues the contracts that need their next phases, every hour. What finds them is in `orderphase.flows.rolling_window`."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from orderphase.bootstrap import rolling_window
from orderphase.worker import interrupted, logger, metrics

window = cache(lambda: rolling_window(os.environ))


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG001 (Lambda gives them)
    """Answer how many contracts were queued. An error makes Lambda try again, twice; the next hour repeats it anyway."""
    try:
        queued = window().run(datetime.now(UTC))
    except Exception as problem:
        interrupted(problem)
        raise
    metrics.add_metric(name="Queued", unit=MetricUnit.Count, value=queued)
    logger.info("queued", extra={"contracts": queued})
    return {"queued": queued}
