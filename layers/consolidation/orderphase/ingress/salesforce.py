"""`POST /salesforce/events`: an org tells us of a change. Checked in the order in which it is cheap and safe to do so.

1. Size: more than 262,144 bytes are refused with 413 before anything reads them.
2. Sender: a signature, or for orgs that cannot sign the shared secret itself as `X-Api-Key`. A signature that is there must
   verify; the key counts only where there is none. So a sender that signs is never weakened to one that does not, and the
   mistake in its signature shows. Refused with 401 and one reason for all cases.
3. Content type and event: refused with 400 and every fault.
4. The event goes into its flow's queue, once in 24 hours however often it is sent; 202 says that it is there. An event of a
   type that we do not know, or that has no flow, is answered 202 as well and goes nowhere.

What fails on our side is answered 503, so that the sender tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Protocol

from orderphase.errors import OrderphaseError
from orderphase.ingress import signature
from orderphase.ingress.events import KNOWN_TYPES, EventError, SalesforceEvent, parse
from orderphase.ingress.gateway import Request
from orderphase.ingress.signature import SignatureError

MAX_BODY_BYTES = 262_144
SIGNATURE_HEADER = "x-orderphase-signature"
API_KEY_HEADER = "x-api-key"


class Outcome(StrEnum):
    """What became of a request; the value is the name of the metric that counts it."""

    ACCEPTED = "EventAccepted"
    REPLAYED = "EventReplayed"
    IGNORED = "EventIgnored"
    TOO_LARGE = "EventRefusedTooLarge"
    NOT_AUTHENTIC = "EventRefusedNotAuthentic"
    INVALID = "EventRefusedInvalid"
    UNAVAILABLE = "EventNotTaken"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer, and what to log: `note` is for us alone and has no secret in it; `event` is there once it was read."""

    status: HTTPStatus
    body: dict[str, Any]
    outcome: Outcome
    note: str
    event: SalesforceEvent | None = None


class Secrets(Protocol):
    """The secrets that a sender may use."""

    def valid(self) -> Sequence[str]:
        """The secrets as last seen."""

    def refetched(self, now: datetime) -> Sequence[str] | None:
        """The secrets as they are now, or None where it is too soon to look again."""


class Queues(Protocol):
    """The flows' queues."""

    def takes(self, event_type: str) -> bool:
        """Whether events of this type have a flow."""

    def send(self, event: SalesforceEvent, correlation_id: str) -> None:
        """Put the event into its flow's queue."""


# Calls the function unless the event was accepted before, and answers whether it did; `EventError` for the id of another event.
Once = Callable[[SalesforceEvent, Callable[[], None]], bool]


def receive(request: Request, *, secrets: Secrets, queues: Queues, once: Once, now: datetime) -> Answer:
    """Take one request at the instant `now` (aware) and answer it. Nothing that a sender can send makes it raise."""
    event = None
    try:
        if len(request.body) > MAX_BODY_BYTES:
            return _refused(HTTPStatus.CONTENT_TOO_LARGE, Outcome.TOO_LARGE, f"an event has at most {MAX_BODY_BYTES} bytes")
        _authenticate(request, secrets, now)
        _check_content_type(request.headers.get("content-type", ""))
        event = parse(request.body)
        if event.type not in KNOWN_TYPES:
            return _taken(event, Outcome.IGNORED, "the type is not known")
        if not queues.takes(event.type):
            return _taken(event, Outcome.IGNORED, "the type has no flow")
        if once(event, lambda: queues.send(event, request.id)):
            return _taken(event, Outcome.ACCEPTED, "queued")
        return _taken(event, Outcome.REPLAYED, "has been queued before")
    except SignatureError as refusal:
        return _refused(HTTPStatus.UNAUTHORIZED, Outcome.NOT_AUTHENTIC, "the sender could not be verified", note=refusal.reason)
    except EventError as problem:
        return invalid(problem, event)
    except OrderphaseError as problem:
        return unavailable(problem, event)


def invalid(problem: EventError, event: SalesforceEvent | None = None) -> Answer:
    """The answer to what is not an event."""
    return _refused(HTTPStatus.BAD_REQUEST, Outcome.INVALID, problem.message, event=event)


def unavailable(problem: OrderphaseError, event: SalesforceEvent | None = None) -> Answer:
    """The answer while something on our side is in the way."""
    reason = "the event could not be taken; try again later"
    return _refused(HTTPStatus.SERVICE_UNAVAILABLE, Outcome.UNAVAILABLE, reason, f"{problem.kind}: {problem.message}", event)


def _authenticate(request: Request, secrets: Secrets, now: datetime) -> None:
    try:
        _check_sender(request, secrets.valid(), now)
    except SignatureError as refusal:
        # A secret that we have not seen yet may have replaced the one that we know. Nothing else gets better by looking.
        fresh = secrets.refetched(now) if refusal.reason == "mismatch" else None
        if fresh is None:
            raise
        _check_sender(request, fresh, now)


def _check_sender(request: Request, secrets: Sequence[str], now: datetime) -> None:
    header = request.headers.get(SIGNATURE_HEADER)
    key = request.headers.get(API_KEY_HEADER)
    if header is not None:
        signature.verify(header, request.body, secrets, now)
    elif key is not None:
        signature.verify_api_key(key, secrets)
    else:
        raise SignatureError("missing")


def _check_content_type(value: str) -> None:
    media_type, *parameters = (part.strip().lower() for part in value.split(";"))
    charsets = [parameter.removeprefix("charset=").strip('"') for parameter in parameters if parameter.startswith("charset=")]
    if media_type != "application/json" or any(charset != "utf-8" for charset in charsets):
        raise EventError("Content-Type: is not application/json in UTF-8")


def _taken(event: SalesforceEvent, outcome: Outcome, note: str) -> Answer:
    return Answer(HTTPStatus.ACCEPTED, {"accepted": True, "id": event.id}, outcome, note, event)


def _refused(
    status: HTTPStatus, outcome: Outcome, reason: str, note: str | None = None, event: SalesforceEvent | None = None
) -> Answer:
    return Answer(status, {"accepted": False, "reason": reason}, outcome, note or reason, event)
