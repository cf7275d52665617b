"""What the function of every flow does with its messages: read the event, run the flow, log, count, and say what comes again.

What is done with an event is the flow's. A message whose run was interrupted comes again, ten times at most. Where permissions,
fields or settings are at fault, that could not help: the message becomes a dead letter at once. Where a vendor lets nobody in,
nothing else goes through either; the message waits (`orderphase.flows.circuit`).

Metrics, by function: the outcome of each run (`Synced`, `Unchanged`, `Failed`, `Skipped`), and `Interrupted_<kind>` for each
message that comes again or is a dead letter (the kinds of `orderphase.errors`, and `bug`). Of the deployment: `FailedRecords`
and `Drift`, each time something new is wrong with a record or was changed in Stripe; `UnknownOutcomes`; `SalesforceApiUsed`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from orderphase import correlation, deadline
from orderphase.domain.findings import DRIFT
from orderphase.errors import (
    ConfigurationError,
    ConflictError,
    CredentialsError,
    OrderphaseError,
    TransientError,
    UnknownOutcomeError,
)
from orderphase.ingress import documents
from orderphase.ingress.documents import EventError
from orderphase.ingress.events import EventData, Kind, MirrorData, RecordData, SalesforceEvent
from orderphase.ingress.stripe_events import STRIPE_TYPES, StripeEvent
from orderphase.messages import Message, take_each
from orderphase.telemetry import counting, interrupted, logger, metrics, watch
from orderphase.troubles import Troubles

if TYPE_CHECKING:
    from orderphase.flows.runs import Report


class Worker[Flow]:
    """A flow behind its queue. `handler` is what Lambda calls.

    build: makes the flow from the environment's variables, once per Lambda environment; again after a `ConfigurationError`.
    What its queue is for is added by `on` and `on_stripe`; any other event is in the wrong queue.
    """

    def __init__(self, build: Callable[[Mapping[str, str]], Flow]) -> None:
        self._build = build
        self._built: Flow | None = None
        self.troubles = cache(lambda: Troubles.of(os.environ))
        self._runs: dict[str, Callable[[Flow, Any], Report]] = {}
        self.handler = logger.inject_lambda_context(counting(self._take), clear_state=True)

    def flow(self) -> Flow:
        """The flow. Raises ConfigurationError where it cannot be built."""
        if self._built is None:
            self._built = self._build(os.environ)
        return self._built

    def on[Data: EventData](self, kind: Kind[Data], run: Callable[[Flow, SalesforceEvent, Data], Report]) -> Self:
        """Have the flow handle a type of event from Salesforce."""
        _ready(kind.data)
        self._runs[kind.name] = lambda flow, event: run(flow, event, event.data)
        return self

    def on_stripe(self, kinds: Iterable[str], run: Callable[[Flow, StripeEvent], Report]) -> Self:
        """Have the flow handle these types of event from Stripe."""
        _ready(StripeEvent)
        self._runs |= dict.fromkeys(kinds, run)
        return self

    def _take(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Take a batch from the queue; answers which messages are to come again."""
        with deadline.within(context.get_remaining_time_in_millis() / 1000):
            return take_each(event, self._handle)

    def _handle(self, message: Message) -> None:
        """Handle one message. An error makes the queue deliver it, and those behind it in its group, again."""
        # One that somebody has put into the queue by hand has no other.
        correlation_id = message.attributes.get(correlation.ATTRIBUTE) or message.id
        # Every key anew: the message before this one has left its own.
        logger.append_keys(message_id=message.id, correlation_id=correlation_id, event_id=None, record_id=None)
        with correlation.by(correlation_id):
            self._work(message)

    def _work(self, message: Message) -> None:
        try:
            event = _read(message.body)
            logger.append_keys(event_id=event.id, record_id=event.record_id)
            run = self._runs.get(event.type)
            if run is None:
                raise EventError("type: is not one that this queue is for")
            report = self._do(run, event)
        except Exception as problem:
            interrupted(problem)
            if isinstance(problem, UnknownOutcomeError):
                watch("UnknownOutcomes")
            if not self._dealt_with(message, problem):
                raise
            return
        metrics.add_metric(name=report.outcome.capitalize(), unit=MetricUnit.Count, value=1)
        codes = sorted({finding.code for finding in report.findings})
        if report.news and report.outcome == "failed":
            watch("FailedRecords")
        if report.news and DRIFT.intersection(codes):
            watch("Drift")
        logger.info(report.outcome, extra={"contract_id": report.contract_id, "findings": codes})

    def _do(self, run: Callable[[Flow, Any], Report], event: Any) -> Report:
        """Run the flow; with settings and secrets as they are now, where those that were read before are not accepted."""
        warm = self._built is not None
        try:
            return run(self.flow(), event)
        except ConfigurationError:
            self._built = None
            if not warm:
                raise
        return self._do(run, event)

    def _dealt_with(self, message: Message, problem: Exception) -> bool:
        """Note the trouble, and put a message aside that cannot succeed; whether that was done.

        What fails meanwhile leaves the message where it is, so that it comes again.
        """
        try:
            if isinstance(problem, ConfigurationError | TransientError) and not isinstance(problem, ConflictError):
                self.troubles().suspect()
            if isinstance(problem, ConfigurationError | EventError) and not isinstance(problem, CredentialsError):
                self.troubles().put_aside(message, problem)
                return True
        except OrderphaseError as trouble:
            interrupted(trouble)
        return False


def _ready(model: type[BaseModel]) -> None:
    # Every message needs it. While the function is loaded, Lambda gives it a whole processor, and a part of one afterwards.
    model.model_rebuild()


def _read(body: str) -> SalesforceEvent | StripeEvent:
    """The event of a message; its type tells whose it is. Raises `EventError`."""
    document = documents.decode(body.encode())
    from_stripe = isinstance(document, dict) and str(document.get("type")) in STRIPE_TYPES
    return StripeEvent.of(document) if from_stripe else SalesforceEvent.of(document)


def catalogue_worker(
    build: Callable[[Mapping[str, str]], Any], types: Iterable[str], changed: Kind[RecordData], mirrored: Kind[MirrorData]
) -> Worker[Any]:
    """The worker of a flow that keeps one kind of object in step: events of Stripe's, of its record, and of its mirror."""
    return (
        Worker(build)
        .on_stripe(types, lambda flow, event: flow.from_stripe(event.object_id, account=event.account, event_id=event.id))
        .on(
            changed,
            lambda flow, event, data: flow.from_salesforce(
                event.record_id,
                event_id=event.id,
                org_id=event.org_id,
                changed_fields=data.changed_fields,
                changed_by=data.changed_by,
            ),
        )
        .on(
            mirrored,
            lambda flow, event, data: flow.from_mirror(
                event.record_id, event_id=event.id, org_id=event.org_id, stripe_id=data.stripe_id
            ),
        )
    )
