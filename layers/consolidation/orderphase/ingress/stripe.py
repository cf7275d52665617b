"""`POST /stripe/{account}/events`: Stripe tells us of a change in an account. Checked as `orderphase.ingress.salesforce` does.

1. Size: more than 2 MiB are refused with 413 before anything reads them.
2. Sender: `Stripe-Signature`, made with a secret of the account that the path names. Everything else, also that there is no
   such account or that its secret cannot be read, is refused with 400 and one reason, and a signature is computed whether there
   is such an account or not: no answer says which accounts there are. How long it takes may hint at it: a secret that is not
   known yet, or that may have changed, is fetched first, and of several each is tried. Stripe: what is not answered 2xx is sent
   again.
3. Event: refused with 400 and every fault of what we read.
4. An event of a type that has no flow, one that we have caused ourselves (where that is wanted), one of an account that is none
   of ours, and one of a schedule or subscription that is of no contract are answered 200, and go nowhere.
5. The event goes into its flow's queue; 200 says that it is there. What fails on our side from here on is answered 503.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from typing import Any

from orderphase.errors import OrderphaseError
from orderphase.ingress import signature
from orderphase.ingress.documents import EventError
from orderphase.ingress.events import SalesforceEvent
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
from orderphase.ingress.stripe_events import Notification, StripeEvent
from orderphase.settings import StripeCredentials

MAX_BODY_BYTES = 2 * 1024 * 1024
SIGNATURE_HEADER = "stripe-signature"

_NOBODYS = ("whsec_nobodys",)
"""What a signature is held against where there is no secret. It lets nobody in: whatever fits it is refused all the same."""

Accounts = Mapping[str, Secrets[StripeCredentials]]


def receive(request: Request, *, accounts: Accounts, ignore_own: bool, intake: Intake, now: datetime) -> Answer:
    """Take one request at the instant `now` (aware) and answer it. Nothing that a sender can send makes it raise.

    accounts: the credentials of each account, by the name that we give it. ignore_own: whether what we have caused is ignored.
    """
    if len(request.body) > MAX_BODY_BYTES:
        return too_large(MAX_BODY_BYTES)
    name = request.parameters.get("account", "")
    about: dict[str, Any] = {"account": name} if name in accounts else {}
    try:
        if name not in accounts:
            _check_nobody(request, now)
            raise SignatureError("unknown_account")
        credentials = authenticate(accounts[name], lambda known: _check_sender(request, known, now), now)
    except (SignatureError, OrderphaseError) as problem:
        return not_authentic(HTTPStatus.BAD_REQUEST, problem, about)
    try:
        told = Notification.parse(request.body)
        about |= {"event_id": told.id, "event_type": told.type, "livemode": told.livemode}
        event = event_of(told, name, credentials, accounts, ignore_own=ignore_own, now=now)
        if isinstance(event, str):
            return taken(HTTPStatus.OK, told.id, Outcome.IGNORED, event, about)
        about["record_id"] = event.record_id
        if isinstance(event, StripeEvent):
            about["account"] = event.account
        outcome, note = intake.take(event, request.id)
        return taken(HTTPStatus.OK, told.id, outcome, note, about)
    except EventError as problem:
        return invalid(problem, about)
    except OrderphaseError as problem:
        return unavailable(problem, about)


def _check_sender(request: Request, known: StripeCredentials, now: datetime) -> None:
    header = request.headers.get(SIGNATURE_HEADER)
    if header is None:
        raise SignatureError("missing")
    if not known.webhook_secrets:
        _check_nobody(request, now)
        raise SignatureError("no_secret")
    signature.verify(header, request.body, known.webhook_secrets, now)


def _check_nobody(request: Request, now: datetime) -> None:
    """Do what is done for a wrong signature of an account that has one secret."""
    if header := request.headers.get(SIGNATURE_HEADER):
        with suppress(SignatureError):
            signature.verify(header, request.body, _NOBODYS, now)


def event_of(
    told: Notification, name: str, credentials: StripeCredentials, accounts: Accounts, *, ignore_own: bool, now: datetime
) -> StripeEvent | SalesforceEvent | str:
    """What was told, as an event of the account of ours that it happened in; or why it is ignored.

    name: what we call the account that tells it; credentials: its own. Raises classified errors, as `_owner` does.
    """
    if told.data is None:
        return "the type is not known"
    if ignore_own and told.ours:
        return "we have caused it ourselves"
    owner = _owner(told.account, name, credentials, accounts, now)
    if owner is None:
        return "it happened in an account that is none of ours"
    return told.message(owner) or "its metadata names no contract of an org"


def _owner(account_id: str | None, name: str, credentials: StripeCredentials, accounts: Accounts, now: datetime) -> str | None:
    """Our name of the account in which something happened that the route of `name` was told. None: it is none of ours.

    Stripe: the events of connected accounts carry `account`, the platform's own do not. An account may be connected to several
    platforms, and have a name of ours for each: then it is the one with the route's key. But keys are rolled one by one, and
    each secret may hold a restricted one; where none has the route's, it is the first by name.
    Raises classified errors where a secret cannot be read, for it may be that account's.
    """
    if credentials.account_id == account_id:
        return name
    if account_id is None:
        return None

    def named(held: Mapping[str, StripeCredentials]) -> str | None:
        names = [other for other, known in held.items() if known.account_id == account_id]
        return next((other for other in names if held[other].api_key == credentials.api_key), next(iter(names), None))

    held = {other: accounts[other].valid() for other in sorted(accounts)}
    # What is answered 2xx does not come again, and the id may have been written into a secret since that was last seen.
    return named(held) or named({other: accounts[other].refetched(now) or known for other, known in held.items()})
