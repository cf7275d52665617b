"""What the functions log and count with, and what nobody else may log.

The libraries tell more than is anybody's business: at DEBUG, botocore logs the secrets that it fetches, and Stripe's client the
bodies of requests; at INFO, Stripe's client the words of each refusal, which repeat what a record holds. Lambda: the level that
is set for a function's log is that of the root logger, and so of every library.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from traceback import extract_tb
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from orderphase.errors import ConfigurationError, OrderphaseError

LIBRARIES = ("aws_lambda_powertools", "boto3", "botocore", "requests", "simple_salesforce", "stripe", "urllib3", "zeep")

DEPLOYMENT = "orderphase"
"""The value of the dimension `service` for what is counted of all functions together. A function has its own name there."""

logger = Logger()
metrics = Metrics()
_deployment = AmazonCloudWatchEMFProvider(service=DEPLOYMENT)
_latest: dict[str, float] = {}
"""Percentages of this invocation, by the name of the metric."""

for _library in LIBRARIES:
    logging.getLogger(_library).setLevel(logging.WARNING)


def watch(name: str, value: float = 1, unit: MetricUnit = MetricUnit.Count) -> None:
    """Count something that an alarm looks at whichever function it happens in.

    It has `DEPLOYMENT` as its only dimension: an alarm is on one metric, and every function's own would take an alarm each.
    """
    _deployment.add_metric(name=name, unit=unit, value=value)


def salesforce_used(percent: float) -> None:
    """Note how much of what the org may call in 24 hours is used up. The last that is known counts when a handler ends."""
    _latest["SalesforceApiUsed"] = percent


def counting(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The handler, at whose end, also by an error, what was counted is written: a line for it, and one for the deployment."""

    @wraps(handler)
    def run(event: Any, context: Any) -> Any:
        _latest.clear()
        try:
            return handler(event, context)
        finally:
            for name, percent in _latest.items():
                watch(name, percent, MetricUnit.Percent)
            if _deployment.metric_set:
                _deployment.namespace = metrics.provider.namespace
                _deployment.flush_metrics()

    counted: Callable[..., Any] = metrics.log_metrics(run)
    return counted


def stack_of(bug: Exception) -> list[str]:
    """Where a bug was raised, frame by frame, without its message: that may repeat what an event or a record holds."""
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in extract_tb(bug.__traceback__)]


def interrupted(problem: Exception) -> None:
    """Log and count what kept work from being done, without a message that may repeat what a record holds."""
    if not isinstance(problem, OrderphaseError):
        kind, write = "bug", logger.error
        details: dict[str, Any] = {"error_code": type(problem).__name__, "stack": stack_of(problem)}
    elif isinstance(problem, ConfigurationError):
        kind, write = problem.kind, logger.error
        # It speaks of settings, permissions and fields.
        details = {"error_code": problem.code, "reason": problem.message}
    else:
        kind, write = problem.kind, logger.warning
        details = {"error_code": problem.code}
    metrics.add_metric(name=f"Interrupted_{kind}", unit=MetricUnit.Count, value=1)
    write("interrupted", extra={"error": kind, **details})
