"""`POST /salesforce/outbound-messages/{token}`: an org tells us of changes by Outbound Messages (SOAP 1.1).

1. Size: more than 1 MiB is refused with 413 before anything reads it. A hundred notifications with a few fields fit.
2. Sender: the token in the path, compared in constant time, and the message's OrganizationId. Salesforce: an Outbound Message
   has no header of one's own and no signature, and its SessionId is always nil. Refused with 401 and one reason for all cases,
   also where no token or no org is configured. The token is a credential: it is in no log line.
3. Each of up to 100 notifications goes into its flow's queue, once in 24 hours however often it is sent: it has an id of its
   own, which stays the same when the message is sent again.
4. The answer is 200 with `Ack`. True says that every notification is in its queue, or was, or goes nowhere: it is of an object
   without a flow, of a flow that is switched off, or without data (the record was deleted meanwhile). False has Salesforce send
   the whole message again, for 24 hours: what is no such message, what cannot be used, and what fails on our side stays in the
   org's own list of messages, where an administrator sees it.

Salesforce: an Outbound Message does not say what has changed, nor by whom, only what the record was when it was sent. So the
org sends one for an Order when it becomes activated, and none for what the integration user has changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from http import HTTPStatus
from typing import Any, Literal

from orderphase.errors import OrderphaseError, TransientError
from orderphase.ids import normalise_id
from orderphase.ingress import xml_documents
from orderphase.ingress.documents import EventError
from orderphase.ingress.events import (
    ACCOUNT_UPSERTED,
    ORDER_ACTIVATED,
    ORDER_ITEM_UPDATED,
    PRICEBOOK_ENTRY_UPSERTED,
    PRODUCT_UPSERTED,
    SalesforceEvent,
)
from orderphase.ingress.gateway import Request
from orderphase.ingress.routes import Answer, Intake, Outcome, Secrets, authenticate, not_authentic, together, told, too_large
from orderphase.ingress.signature import SignatureError, verify_api_key
from orderphase.ingress.xml_documents import Element
from orderphase.settings import WebhookSecrets

RESOURCE = "/salesforce/outbound-messages/{token}"
MAX_BODY_BYTES = 1_048_576
MAX_NOTIFICATIONS = 100

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
OUTBOUND = "http://soap.sforce.com/2005/09/outbound"
OBJECTS = "urn:sobject.enterprise.soap.sforce.com"

KINDS = {
    "Order": ORDER_ACTIVATED,
    "OrderItem": ORDER_ITEM_UPDATED,
    "Product2": PRODUCT_UPSERTED,
    "PricebookEntry": PRICEBOOK_ENTRY_UPSERTED,
    "Account": ACCOUNT_UPSERTED,
}
"""The type of event that a message about an object is."""

ID_PREFIX = "notification-"
"""What the id of an event begins with that was a notification."""


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """One message: the org's 18-character id, and the notifications as they are."""

    org_id: str
    notifications: tuple[Element, ...]


def read(body: bytes) -> OutboundMessage:
    """Read a message. Raises `EventError` for what is none; what a notification says is left to `event_of`."""
    envelope = xml_documents.read(body)
    if envelope.name != (SOAP, "Envelope"):
        raise EventError("body: is not a SOAP 1.1 envelope")
    told = _needed(_needed(envelope, SOAP, "Body"), OUTBOUND, "notifications")
    org = _needed(told, OUTBOUND, "OrganizationId").text
    try:
        org_id = normalise_id(org)
    except ValueError as problem:
        raise EventError(f"OrganizationId: {problem}") from None
    notifications = tuple(told.all((OUTBOUND, "Notification")))
    if not 1 <= len(notifications) <= MAX_NOTIFICATIONS:
        raise EventError(f"Notification: is not there 1 to {MAX_NOTIFICATIONS} times")
    return OutboundMessage(org_id, notifications)


def event_of(notification: Element, org_id: str, now: datetime) -> SalesforceEvent | str:
    """The event that a notification is, or why it is ignored. Raises `EventError`.

    Salesforce: it has an id, and a record of the object with the fields that were chosen and are not null; none, if the record
    was deleted meanwhile. It does not say when the change happened, so the event has the time `now` of its arrival.
    """
    sent = notification.one((OUTBOUND, "sObject"))
    if sent is None or sent.nil or not sent.children:
        return "the record was deleted before it was told"
    if sent.type is None:
        raise EventError("sObject: has no xsi:type")
    namespace, name = sent.type
    if namespace != OBJECTS:
        raise EventError(f"sObject: its xsi:type is not in the namespace {OBJECTS}")
    kind = KINDS.get(name)
    if kind is None:
        return "the object has no flow"
    notification_id = _needed(notification, OUTBOUND, "Id").text
    if not notification_id:
        raise EventError("Id: is empty")
    contract = sent.one((OBJECTS, "ContractId"))
    return SalesforceEvent.of(
        {
            # An id of its own kind: it is unique among notifications, and takes no other event's place.
            "id": f"{ID_PREFIX}{notification_id}",
            "type": kind.name,
            "org_id": org_id,
            "record_id": _needed(sent, OBJECTS, "Id").text,
            "occurred_at": now.isoformat(),
            "data": {"contract_id": contract.text} if contract and contract.text else {},
        }
    )


def receive(request: Request, *, secrets: Secrets[WebhookSecrets], intake: Intake, now: datetime) -> Answer:
    """Take one request at the instant `now` (aware) and answer it. Nothing that a sender can send makes it raise."""
    if len(request.body) > MAX_BODY_BYTES:
        return too_large(MAX_BODY_BYTES)
    about: dict[str, Any] = {}
    message = cache(lambda: read(request.body))

    def check(known: WebhookSecrets) -> None:
        if not known.outbound_tokens or known.org_id is None:
            raise SignatureError("no_secret")
        verify_api_key(request.parameters.get("token", ""), known.outbound_tokens)
        about["org_id"] = message().org_id
        if message().org_id != known.org_id:
            raise SignatureError("mismatch")

    try:
        authenticate(secrets, check, now)
    except SignatureError as refusal:
        return not_authentic(HTTPStatus.UNAUTHORIZED, refusal, about)
    except EventError as problem:
        return _answer(Outcome.INVALID, problem.message, about)
    except OrderphaseError as problem:
        return _answer(Outcome.UNAVAILABLE, told(problem), about)
    taken = list(_take(message(), request.id, intake, now))
    about["notifications"] = [{**each, "outcome": outcome} for outcome, _, each in taken]
    return _answer(*together([(outcome, note) for outcome, note, _ in taken]), about)


def _take(
    message: OutboundMessage, correlation_id: str, intake: Intake, now: datetime
) -> Iterator[tuple[Outcome, str, dict[str, str]]]:
    """Take each notification: what became of it, a note, and which event it is.

    One that cannot be taken holds up no other. But where a service is away, that is the end: the message comes again, and the
    time is better kept for an answer.
    """
    for notification in message.notifications:
        about: dict[str, str] = {}
        try:
            event = event_of(notification, message.org_id, now)
            if isinstance(event, str):
                yield Outcome.IGNORED, event, about
                continue
            about = {"event_id": event.id, "event_type": event.type, "record_id": event.record_id}
            yield *intake.take(event, correlation_id), about
        except EventError as problem:
            yield Outcome.INVALID, problem.message, about
        except OrderphaseError as problem:
            yield Outcome.UNAVAILABLE, told(problem), about
            if isinstance(problem, TransientError):
                return


def _answer(outcome: Outcome, note: str, about: dict[str, Any]) -> Answer:
    taken = outcome in (Outcome.ACCEPTED, Outcome.REPLAYED, Outcome.IGNORED)
    return Answer(HTTPStatus.OK, _acknowledgement("true" if taken else "false"), outcome, note, about)


def _acknowledgement(ack: Literal["true", "false"]) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<soapenv:Envelope xmlns:soapenv="{SOAP}"><soapenv:Body>'
        f'<notificationsResponse xmlns="{OUTBOUND}"><Ack>{ack}</Ack></notificationsResponse>'
        "</soapenv:Body></soapenv:Envelope>"
    )


def _needed(parent: Element, namespace: str, name: str) -> Element:
    child = parent.one((namespace, name))
    if child is None:
        raise EventError(f"{name}: is missing")
    return child
