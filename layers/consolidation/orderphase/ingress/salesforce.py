"""`POST /salesforce/events`: an org tells us of a change. Checked in the order in which it is cheap and safe to do so.

1. Size: more than 262,144 bytes are refused with 413 before anything reads them.
2. Sender: a signature, or for orgs that cannot sign the shared secret itself as `X-Api-Key`. A signature that is there must
   verify; the key counts only where there is none. So a sender that signs is never weakened to one that does not, and the
   mistake in its signature shows. Refused with 401 and one reason for all cases.
3. Content type and event: refused with 400 and every fault.
4. The event goes into its flow's queue, once in 24 hours however often it is sent; 202 says that it is there. An event of a
   type that we do not know, or whose flow is switched off, is answered 202 as well and goes nowhere.

What fails on our side is answered 503, so that the sender tries again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus

from orderphase.errors import OrderphaseError
from orderphase.ingress import signature
from orderphase.ingress.documents import EventError
from orderphase.ingress.events import KNOWN_TYPES, parse
from orderphase.ingress.gateway import Request
from orderphase.ingress.routes import (
    Answer,
    Intake,
    Outcome,
    Secrets,
    authenticate,
    invalid,
    not_authentic,
    taken,
    too_large,
    unavailable,
)
from orderphase.ingress.signature import SignatureError
from orderphase.settings import WebhookSecrets

SWITCHES = {
    "order.activated": "OrderActivation",
    "order_item.updated": "OrderItemUpdate",
    "order.cancellation_requested": "Cancellation",
    "product.upserted": "ProductUpsert",
    "stripe_product.upserted": "ProductUpsert",
    "pricebook_entry.upserted": "PriceUpsert",
    "stripe_price.upserted": "PriceUpsert",
    "account.upserted": "AccountUpsert",
}
"""The template's parameter that switches on the flow of a type of event."""

MAX_BODY_BYTES = 262_144
SIGNATURE_HEADER = "x-orderphase-signature"
API_KEY_HEADER = "x-api-key"


def receive(request: Request, *, secrets: Secrets[WebhookSecrets], intake: Intake, now: datetime) -> Answer:
    """Take one request at the instant `now` (aware) and answer it. Nothing that a sender can send makes it raise."""
    about: dict[str, str] = {}
    try:
        if len(request.body) > MAX_BODY_BYTES:
            return too_large(MAX_BODY_BYTES)
        authenticate(secrets, lambda known: _check_sender(request, known.valid, now), now)
        _check_content_type(request.headers.get("content-type", ""))
        event = parse(request.body)
        about |= {"event_id": event.id, "event_type": event.type, "org_id": event.org_id, "record_id": event.record_id}
        outcome, note = Outcome.IGNORED, "the type is not known"
        if event.type in KNOWN_TYPES:
            outcome, note = intake.take(event, request.id)
        return taken(HTTPStatus.ACCEPTED, event.id, outcome, note, about)
    except SignatureError as refusal:
        return not_authentic(HTTPStatus.UNAUTHORIZED, refusal)
    except EventError as problem:
        return invalid(problem, about)
    except OrderphaseError as problem:
        return unavailable(problem, about)


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
