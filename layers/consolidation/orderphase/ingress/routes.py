"""What the routes share: their answers, who may send, and how an event gets into its flow's queue.

An event is queued once in 24 hours however often it is sent. One of a type that we do not know, or whose flow is switched off,
is taken as well, and goes nowhere. What fails on our side is answered so that the sender tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Protocol

from orderphase.errors import OrderphaseError
from orderphase.ingress.documents import EventError
from orderphase.ingress.signature import SignatureError


class Outcome(StrEnum):
    """What became of an event, or of a request; the value is the name of the metric that counts it."""

    ACCEPTED = "EventAccepted"
    REPLAYED = "EventReplayed"
    IGNORED = "EventIgnored"
    TOO_LARGE = "EventRefusedTooLarge"
    NOT_AUTHENTIC = "EventRefusedNotAuthentic"
    INVALID = "EventRefusedInvalid"
    UNAVAILABLE = "EventNotTaken"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer, and what to log: `note` is for us alone and has no secret in it; `about` says which event it was.

    body: a JSON object, or XML as text.
    """

    status: HTTPStatus
    body: Any
    outcome: Outcome
    note: str
    about: Mapping[str, Any] = field(default_factory=dict)


class Event(Protocol):
    """An event on its way into a queue."""

    @property
    def id(self) -> str:
        """The sender's id of it."""

    @property
    def type(self) -> str:
        """What happened."""

    @property
    def record_id(self) -> str:
        """What it happened to."""

    @property
    def sender(self) -> str:
        """Within which `id` is unique."""

    @property
    def group(self) -> str:
        """What its message is kept in sequence with."""

    def to_json(self) -> str:
        """The message, in ASCII."""


class Secrets[Held](Protocol):
    """The secrets that a sender may use."""

    def valid(self) -> Held:
        """The secrets as last seen."""

    def refetched(self, now: datetime) -> Held | None:
        """The secrets as they are now, or None where it is too soon to look again."""


class Queues(Protocol):
    """The flows' queues."""

    def takes(self, event_type: str) -> bool:
        """Whether events of this type have a flow."""

    def send(self, event: Event, correlation_id: str) -> None:
        """Put the event into its flow's queue."""


# Calls the function unless the event was accepted before, and answers whether it did; `EventError` for the id of another event.
Once = Callable[[Event, Callable[[], None]], bool]


@dataclass(frozen=True, slots=True)
class Intake:
    """The flows behind a route. switches: by type of event, the template's parameter that switches its flow on."""

    queues: Queues
    switches: Mapping[str, str]
    once: Once

    def take(self, event: Event, correlation_id: str) -> tuple[Outcome, str]:
        """Queue an event of a known type; answers what became of it, and a note. Raises `EventError` or `OrderphaseError`."""
        if not self.queues.takes(event.type):
            switch = self.switches[event.type]
            return Outcome.IGNORED, f"the flow is switched off; set the template's parameter {switch} to on"
        if self.once(event, lambda: self.queues.send(event, correlation_id)):
            return Outcome.ACCEPTED, "queued"
        return Outcome.REPLAYED, "has been queued before"


# The outcomes of several events, from the one that counts most.
_BY_WEIGHT = (Outcome.UNAVAILABLE, Outcome.INVALID, Outcome.ACCEPTED, Outcome.REPLAYED, Outcome.IGNORED)


def together(each: Sequence[tuple[Outcome, str]]) -> tuple[Outcome, str]:
    """What became of several events as one: the outcome that counts most, and the first note of it."""
    return min(each, key=lambda one: _BY_WEIGHT.index(one[0]))


def authenticate[Held](secrets: Secrets[Held], check: Callable[[Held], None], now: datetime) -> Held:
    """The secrets with which `check` is content, looked up again where it is not. Raises `SignatureError` as `check` does."""
    held = secrets.valid()
    try:
        check(held)
    except SignatureError as refusal:
        # A secret that we have not seen yet may have replaced the one that we know. Nothing else gets better by looking.
        fresh = secrets.refetched(now) if refusal.reason in ("mismatch", "no_secret") else None
        if fresh is None:
            raise
        check(fresh)
        return fresh
    return held


def taken(status: HTTPStatus, event_id: str, outcome: Outcome, note: str, about: Mapping[str, Any]) -> Answer:
    """The answer to an event of a sender that we know, whatever became of it."""
    return Answer(status, {"accepted": True, "id": event_id}, outcome, note, about)


def refused(
    status: HTTPStatus, outcome: Outcome, reason: str, note: str | None = None, about: Mapping[str, Any] | None = None
) -> Answer:
    """The answer that tells the sender `reason`."""
    return Answer(status, {"accepted": False, "reason": reason}, outcome, note or reason, about or {})


def too_large(limit: int) -> Answer:
    """The answer to a body of more than `limit` bytes."""
    return refused(HTTPStatus.CONTENT_TOO_LARGE, Outcome.TOO_LARGE, f"an event has at most {limit} bytes")


def not_authentic(
    status: HTTPStatus, problem: SignatureError | OrderphaseError, about: Mapping[str, Any] | None = None
) -> Answer:
    """The answer to a sender that could not be verified, with one reason for all cases."""
    reason = "the sender could not be verified"
    if isinstance(problem, SignatureError):
        return refused(status, Outcome.NOT_AUTHENTIC, reason, problem.reason, about)
    return refused(status, Outcome.UNAVAILABLE, reason, told(problem), about)


def invalid(problem: EventError, about: Mapping[str, Any] | None = None) -> Answer:
    """The answer to what is not an event."""
    return refused(HTTPStatus.BAD_REQUEST, Outcome.INVALID, problem.message, about=about)


def unavailable(problem: OrderphaseError, about: Mapping[str, Any] | None = None) -> Answer:
    """The answer while something on our side is in the way."""
    reason = "the event could not be taken; try again later"
    return refused(HTTPStatus.SERVICE_UNAVAILABLE, Outcome.UNAVAILABLE, reason, told(problem), about)


def told(problem: OrderphaseError) -> str:
    """The note that says what kept an event from being taken."""
    return f"{problem.kind}: {problem.message}"
