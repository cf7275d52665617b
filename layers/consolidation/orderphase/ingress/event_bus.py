"""What EventBridge's partner buses carry: Salesforce's change events, and Stripe's events, into the same queues as the routes'.

Nothing is signed there. What is trusted is the bus: a partner event source is of one AWS account, whose owner associates it
with a bus of the same name. So an event has to come from a source that is configured. What comes from elsewhere, and what is no
event, is refused: it becomes a dead letter, where somebody looks at it.

Stripe: `detail` is the whole event, as an endpoint gets it. Its thin events (`v2.core.event`) have neither object nor metadata:
they are ignored, so the destination is to send snapshot payloads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from orderphase import deadline
from orderphase.errors import TransientError
from orderphase.ingress import change_events, documents, stripe
from orderphase.ingress.documents import EventError, Name
from orderphase.ingress.routes import Event, Intake, Outcome, together
from orderphase.ingress.stripe_events import Notification

THIN = "v2.core.event"

NEEDED_SECONDS = 6.0
"""What one event may take, where AWS is slow to answer."""


class _Envelope(BaseModel):
    """What EventBridge puts around an event. id: EventBridge's own."""

    model_config = ConfigDict(frozen=True, strict=True)

    id: Name
    source: Name
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bus:
    """Where events may come from, and what stands behind them.

    salesforce_source, stripe_source: None = there is none. org_id: of the org of that source. account: what we call the Stripe
    account of that source. rewind: has the poll look again from a moment on. org_id and rewind raise classified errors.
    """

    salesforce_source: str | None
    org_id: Callable[[], str]
    stripe_source: str | None
    account: str
    accounts: stripe.Accounts
    ignore_own: bool
    salesforce: Intake
    stripe: Intake
    rewind: Callable[[datetime], None]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a message; `note` and `about` are for the log."""

    outcome: Outcome
    note: str
    about: dict[str, Any] = field(default_factory=dict)


def take(body: bytes, correlation_id: str, *, bus: Bus, now: datetime) -> Taken:
    """Take one message, an event in EventBridge's envelope. Raises `EventError`, or another `OrderphaseError`."""
    envelope = documents.read(_Envelope, documents.decode(body))
    about = {"bus_event_id": envelope.id}
    if envelope.source == bus.salesforce_source:
        taken = _from_salesforce(envelope.detail, correlation_id, bus)
    elif envelope.source == bus.stripe_source:
        taken = _from_stripe(envelope.detail, correlation_id, bus, now)
    else:
        raise EventError("source: is none of the event sources of this deployment")
    return Taken(taken.outcome, taken.note, about | taken.about)


def _from_salesforce(detail: Any, correlation_id: str, bus: Bus) -> Taken:
    told = change_events.read(detail, org_id=bus.org_id(), ignore_own=bus.ignore_own)
    if told.look_again_from is not None:
        bus.rewind(told.look_again_from)
    taken = _queue(told.events, correlation_id, bus.salesforce)
    return Taken(taken.outcome, told.note or taken.note, taken.about)


def _from_stripe(detail: dict[str, Any], correlation_id: str, bus: Bus, now: datetime) -> Taken:
    if detail.get("object") == THIN:
        return Taken(Outcome.IGNORED, "it is a thin event; have the destination send snapshot payloads")
    told = Notification.of(detail)
    about = {"event_id": told.id, "event_type": told.type, "livemode": told.livemode}
    event = stripe.event_of(
        told, bus.account, bus.accounts[bus.account].valid(), bus.accounts, ignore_own=bus.ignore_own, now=now
    )
    if isinstance(event, str):
        return Taken(Outcome.IGNORED, event, about)
    taken = _queue([event], correlation_id, bus.stripe)
    return Taken(taken.outcome, taken.note, taken.about | about)


def _queue(events: Sequence[Event], correlation_id: str, intake: Intake) -> Taken:
    """Take each event. Where one fails the message comes again, and those before it have been queued before.

    So does a message with more events than there is time for: each time it gets further.
    """
    done: list[tuple[Outcome, str]] = []
    for event in events:
        if deadline.left() < NEEDED_SECONDS:
            raise TransientError(f"there was time for {len(done)} of {len(events)} events; the others follow")
        done.append(intake.take(event, correlation_id))
    if not done:
        return Taken(Outcome.IGNORED, "")
    about = {"event_type": events[0].type, "record_ids": [event.record_id for event in events]}
    return Taken(*together(done), about)
