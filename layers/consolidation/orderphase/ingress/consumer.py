"""What the function behind EventBridge does with its messages: take each, log, count, and say which come again.

Metrics, by function: the outcome of each message (`orderphase.ingress.routes`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from orderphase import deadline
from orderphase.correlation import ATTRIBUTE
from orderphase.errors import ConfigurationError, OrderphaseError
from orderphase.ingress.aws import AcceptedEvents
from orderphase.ingress.documents import EventError
from orderphase.ingress.event_bus import Bus, take
from orderphase.ingress.routes import Outcome
from orderphase.messages import Message, take_each
from orderphase.telemetry import logger, metrics, stack_of


@dataclass(frozen=True, slots=True)
class Source:
    """A bus with all that it works with. put_aside: makes a message a dead letter; raises classified errors."""

    bus: Bus
    accepted: tuple[AcceptedEvents, ...]
    put_aside: Callable[[Message, OrderphaseError], None]


class Consumer:
    """A queue that EventBridge fills. `handler` is what Lambda calls.

    build: makes the source from the environment's variables, once per Lambda environment; again after a `ConfigurationError`.
    """

    def __init__(self, build: Callable[[Mapping[str, str]], Source]) -> None:
        self.source = cache(lambda: build(os.environ))
        self.handler = logger.inject_lambda_context(metrics.log_metrics(self._take), clear_state=True, log_event=False)

    def _take(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Take a batch from the queue; answers which messages are to come again."""
        with deadline.within(context.get_remaining_time_in_millis() / 1000):
            return take_each(event, lambda message: self._handle(message, context))

    def _handle(self, message: Message, context: LambdaContext) -> None:
        correlation_id = message.attributes.get(ATTRIBUTE) or message.id
        logger.append_keys(message_id=message.id, correlation_id=correlation_id)
        try:
            source = self.source()
            for accepted in source.accepted:
                accepted.register(context)
            body = message.body.encode("utf-8", "surrogatepass")
            taken = take(body, correlation_id, bus=source.bus, now=datetime.now(UTC))
        except Exception as problem:
            if isinstance(problem, ConfigurationError):
                self.source.cache_clear()  # what was wrong may have been corrected since; look again next time
            _log_failure(problem)
            # What is no event becomes none by coming again.
            if not isinstance(problem, EventError):
                raise
            try:
                self.source().put_aside(message, problem)
            except OrderphaseError as trouble:
                _log_failure(trouble)
                raise
            return
        metrics.add_metric(name=taken.outcome, unit=MetricUnit.Count, value=1)
        logger.info(taken.note, extra={"outcome": taken.outcome, **taken.about})


def _log_failure(problem: Exception) -> None:
    outcome = Outcome.INVALID if isinstance(problem, EventError) else Outcome.UNAVAILABLE
    metrics.add_metric(name=outcome, unit=MetricUnit.Count, value=1)
    if isinstance(problem, OrderphaseError):
        logger.error(f"{problem.kind}: {problem.message}", extra={"outcome": outcome})
        return
    logger.error(type(problem).__name__, extra={"outcome": outcome, "stack": stack_of(problem)})
