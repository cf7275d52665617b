"""Takes activated orders from the queue. What is done with them is in `orderphase.flows.order_activation`."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from traceback import extract_tb
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from orderphase.bootstrap import order_activation
from orderphase.errors import OrderphaseError
from orderphase.flows.order_activation import OrderActivation
from orderphase.ingress.events import parse

logger = Logger()
metrics = Metrics()


@cache
def flow() -> OrderActivation:
    """Build the flow once per environment."""
    return order_activation(os.environ)


def handle(record: SQSRecord) -> None:
    """Handle one message. An error makes the queue deliver it, and those behind it in its group, again."""
    correlation = record.message_attributes["correlation_id"]
    # Every key anew: the message before this one has left its own.
    logger.append_keys(
        message_id=record.message_id,
        correlation_id=correlation.string_value if correlation else None,
        event_id=None,
        order_id=None,
    )
    try:
        event = parse(record.body.encode())
        logger.append_keys(event_id=event.id, order_id=event.record_id)
        report = flow().run(event.record_id, event_id=event.id, org_id=event.org_id)
    except Exception as problem:
        _interrupted(problem)
        raise
    metrics.add_metric(name=report.outcome.capitalize(), unit=MetricUnit.Count, value=1)
    codes = sorted({finding.code for finding in report.findings})
    logger.info(report.outcome, extra={"contract_id": report.contract_id, "findings": codes})


def _interrupted(problem: Exception) -> None:
    """Log what kept a message from being handled, without a message that may repeat what a record holds."""
    if not isinstance(problem, OrderphaseError):
        kind, write, stack = "bug", logger.error, extract_tb(problem.__traceback__)
        frames = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in stack]
        details: dict[str, Any] = {"error_code": type(problem).__name__, "stack": frames}
    elif problem.kind == "configuration":
        kind, write = problem.kind, logger.error
        # It speaks of settings, permissions and fields.
        details = {"error_code": problem.code, "reason": problem.message}
        flow.cache_clear()  # what was wrong may have been corrected since; look again next time
    else:
        kind, write = problem.kind, logger.warning
        details = {"error_code": problem.code}
    metrics.add_metric(name=f"Interrupted_{kind}", unit=MetricUnit.Count, value=1)
    write("interrupted", extra={"error": kind, **details})


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a batch from the queue; answers which messages are to come again."""
    # One contract's failure must not hold up the others: only the group of a failed message is stopped.
    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    processor.raise_on_entire_batch_failure = False
    return dict(process_partial_response(event, handle, processor, context))
