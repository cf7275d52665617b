"""`POST /salesforce/events`, with fakes behind it: what is answered, and what reaches the queue."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderphase.errors import ConfigurationError, TransientError, UnknownOutcomeError
from orderphase.ingress.events import KNOWN_TYPES, SalesforceEvent
from orderphase.ingress.gateway import Request
from orderphase.ingress.routes import Answer, Event, Intake, Outcome
from orderphase.ingress.salesforce import MAX_BODY_BYTES, receive
from orderphase.ingress.signature import sign
from orderphase.settings import WebhookSecrets
from tests.ingress.fakes import Once, Queues, Secrets

NOW = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)
CURRENT, PREVIOUS, NEXT = "whsec_current", "whsec_previous", "whsec_next"
EVENT = {
    "id": "evt-1",
    "type": "order.activated",
    "org_id": "00D000000000001EAA",
    "record_id": "801000000000001AAA",
    "occurred_at": "2026-11-20T10:00:00Z",
    "data": {},
}
ACCEPTED = {"accepted": True, "id": "evt-1"}
UNVERIFIED = {"accepted": False, "reason": "the sender could not be verified"}
SWITCHES = {kind: f"the switch of {kind}" for kind in KNOWN_TYPES}
TRY_AGAIN = {"accepted": False, "reason": "the event could not be taken; try again later"}


def _held(current: str, previous: str = "") -> WebhookSecrets:
    source = {"SALESFORCE_WEBHOOK_SECRET": current, "SALESFORCE_WEBHOOK_SECRET_PREVIOUS": previous}
    return WebhookSecrets.from_secret("webhook", json.dumps(source))


class Route:
    """The route with its fakes; `post` answers as `receive` does."""

    def __init__(
        self, secrets: Secrets[WebhookSecrets] | None = None, queues: Queues | None = None, once: Once | None = None
    ) -> None:
        self.secrets = secrets or Secrets(_held(CURRENT, PREVIOUS))
        self.queues = queues or Queues("order.activated")
        self.once = once or Once()

    def post(self, body: bytes, headers: dict[str, str], now: datetime = NOW) -> Answer:
        request = Request(headers, body, "request-1")
        return receive(request, secrets=self.secrets, intake=Intake(self.queues, SWITCHES, self.once), now=now)


def _body(**changes: object) -> bytes:
    return json.dumps(EVENT | changes).encode()


def _signed(body: bytes, secret: str = CURRENT, at: datetime = NOW) -> dict[str, str]:
    return {"content-type": "application/json", "x-orderphase-signature": sign(secret, body, at)}


def _with_key(key: str = CURRENT) -> dict[str, str]:
    return {"content-type": "application/json", "x-api-key": key}


BODY = _body()
LONG = b"x" * (MAX_BODY_BYTES + 1)
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "body", "status", "answer", "outcome"),
    [
        (_signed(BODY), BODY, 202, ACCEPTED, Outcome.ACCEPTED),
        (_signed(BODY, PREVIOUS), BODY, 202, ACCEPTED, Outcome.ACCEPTED),
        (_with_key(CURRENT), BODY, 202, ACCEPTED, Outcome.ACCEPTED),
        (_with_key(PREVIOUS), BODY, 202, ACCEPTED, Outcome.ACCEPTED),
        (_signed(BODY) | {"x-api-key": "wrong"}, BODY, 202, ACCEPTED, Outcome.ACCEPTED),
        (_signed(BODY, "wrong"), BODY, 401, UNVERIFIED, Outcome.NOT_AUTHENTIC),
        (_signed(BODY + b" "), BODY, 401, UNVERIFIED, Outcome.NOT_AUTHENTIC),
        (_signed(BODY, "wrong") | {"x-api-key": CURRENT}, BODY, 401, UNVERIFIED, Outcome.NOT_AUTHENTIC),
        (_with_key(CURRENT) | {"x-orderphase-signature": ""}, BODY, 401, UNVERIFIED, Outcome.NOT_AUTHENTIC),
        (_with_key("wrong"), BODY, 401, UNVERIFIED, Outcome.NOT_AUTHENTIC),
        (_with_key(""), BODY, 401, UNVERIFIED, Outcome.NOT_AUTHENTIC),
        (JSON, BODY, 401, UNVERIFIED, Outcome.NOT_AUTHENTIC),
        ({}, b"", 401, UNVERIFIED, Outcome.NOT_AUTHENTIC),
        (_signed(BODY, at=NOW - timedelta(seconds=301)), BODY, 401, UNVERIFIED, Outcome.NOT_AUTHENTIC),
        (_signed(BODY, at=NOW + timedelta(seconds=301)), BODY, 401, UNVERIFIED, Outcome.NOT_AUTHENTIC),
        ({}, LONG, 413, {"accepted": False, "reason": "an event has at most 262144 bytes"}, Outcome.TOO_LARGE),
        (_signed(LONG), LONG, 413, {"accepted": False, "reason": "an event has at most 262144 bytes"}, Outcome.TOO_LARGE),
    ],
    ids=[
        "signature",
        "second secret",
        "key",
        "second key",
        "a signature makes the key irrelevant",
        "unknown secret",
        "another body",
        "a key does not heal a signature",
        "an empty signature is one",
        "unknown key",
        "empty key",
        "nothing",
        "nothing at all",
        "stale",
        "future",
        "too large",
        "too large and signed",
    ],
)
def test_who_is_let_in(headers: dict[str, str], body: bytes, status: int, answer: dict[str, Any], outcome: Outcome) -> None:
    route = Route()
    got = route.post(body, headers)
    assert (got.status, got.body, got.outcome) == (status, answer, outcome)
    assert len(route.queues.sent) == (status == 202)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json;charset=UTF-8", 'Application/JSON; charset="utf-8"', "application/json; profile=x"],
)
def test_content_types_that_are_taken(content_type: str) -> None:
    assert Route().post(BODY, _signed(BODY) | {"content-type": content_type}).status == 202


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/jsonx"],
)
def test_content_types_that_are_not(content_type: str) -> None:
    got = Route().post(BODY, _signed(BODY) | {"content-type": content_type})
    assert (got.status, got.body) == (400, {"accepted": False, "reason": "Content-Type: is not application/json in UTF-8"})


def test_a_missing_content_type_is_refused() -> None:
    headers = _signed(BODY)
    del headers["content-type"]
    assert Route().post(BODY, headers).status == 400


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "body: is not JSON: Expecting value (line 1, column 1)"),
        (b"{", "body: is not JSON: "),
        (b"[]", "body: is not a JSON object"),
        (_body(record_id="800000000000001AAA"), "record_id: is not the id of an Order (801…)"),
        (_body(id="", occurred_at="now"), "id: is empty; occurred_at: is not an ISO 8601"),
    ],
)
def test_what_is_not_an_event(body: bytes, reason: str) -> None:
    route = Route()
    got = route.post(body, _signed(body))
    assert (got.status, got.outcome, got.body["accepted"]) == (400, Outcome.INVALID, False)
    assert got.body["reason"].startswith(reason)
    assert route.queues.sent == []


def test_a_stranger_learns_nothing_about_the_body() -> None:
    assert Route().post(b"{", _signed(b"{", "wrong") | {"content-type": "text/plain"}).body == UNVERIFIED


def test_the_largest_event_is_taken() -> None:
    filler = MAX_BODY_BYTES - len(_body(data={"x": ""}))
    body = _body(data={"x": "x" * filler})
    assert len(body) == MAX_BODY_BYTES
    assert Route().post(body, _signed(body)).status == 202


@pytest.mark.parametrize(
    ("kind", "record", "note"),
    [
        ("quote.accepted", "0Q0000000000001CAA", "the type is not known"),
        *(
            (kind, record, f"the flow is switched off; set the template's parameter the switch of {kind} to on")
            for kind, record in {
                "order_item.updated": "802000000000001AAA",
                "order.cancellation_requested": "801000000000001AAA",
                "product.upserted": "01t000000000001AAA",
                "pricebook_entry.upserted": "01u000000000001AAA",
                "account.upserted": "001000000000001AAA",
                "stripe_product.upserted": "a0A000000000001EAA",
                "stripe_price.upserted": "a0B000000000001EAA",
            }.items()
        ),
    ],
)
def test_types_that_no_flow_takes_are_accepted_and_ignored(kind: str, record: str, note: str) -> None:
    route = Route()
    body = _body(type=kind, record_id=record)
    got = route.post(body, _signed(body))
    assert (got.status, got.body, got.outcome, got.note) == (202, ACCEPTED, Outcome.IGNORED, note)
    assert route.queues.sent == []
    assert route.once.accepted == {}


def test_the_message_carries_the_normalised_event_and_the_request_id() -> None:
    route = Route()
    body = _body(record_id="801000000000001", data={"contract_id": "800000000000001"})
    route.post(body, _signed(body))
    [(event, correlation_id)] = route.queues.sent
    assert isinstance(event, SalesforceEvent)
    assert (event.record_id, event.data.contract_id) == ("801000000000001AAA", "800000000000001AAA")
    assert correlation_id == "request-1"


def test_a_replay_is_answered_like_the_first_and_not_queued_again() -> None:
    route = Route()
    headers = _signed(BODY)
    first = route.post(BODY, headers)
    again = route.post(BODY, headers, NOW + timedelta(seconds=300))
    assert (first.status, first.body) == (again.status, again.body) == (202, ACCEPTED)
    assert (first.outcome, again.outcome) == (Outcome.ACCEPTED, Outcome.REPLAYED)
    assert len(route.queues.sent) == 1


def test_a_late_replay_is_stale() -> None:
    route = Route()
    headers = _signed(BODY)
    route.post(BODY, headers)
    assert route.post(BODY, headers, NOW + timedelta(seconds=301)).body == UNVERIFIED


def test_an_id_stands_for_one_event() -> None:
    route = Route()
    route.post(BODY, _signed(BODY))
    other = _body(record_id="801000000000002AAA")
    got = route.post(other, _signed(other))
    assert (got.status, got.body) == (400, {"accepted": False, "reason": "id: has been used for another event"})
    assert len(route.queues.sent) == 1


@pytest.mark.parametrize(
    "route",
    [
        lambda: Route(secrets=Secrets(_held(CURRENT), error=TransientError("Secrets Manager is away"))),
        lambda: Route(secrets=Secrets(_held(CURRENT), error=ConfigurationError("the secret is empty"))),
        lambda: Route(queues=Queues("order.activated", error=UnknownOutcomeError("SQS is away"))),
        lambda: Route(once=Once(error=TransientError("DynamoDB is away"))),
    ],
    ids=["secrets", "settings", "queue", "table"],
)
def test_our_own_fault_asks_the_sender_to_try_again(route: Callable[[], Route]) -> None:
    got = route().post(BODY, _signed(BODY))
    assert (got.status, got.body, got.outcome) == (503, TRY_AGAIN, Outcome.UNAVAILABLE)
    assert got.note.split(":")[0] in {"transient", "configuration", "unknown_outcome"}


def test_an_event_that_could_not_be_queued_can_be_sent_again() -> None:
    route = Route(queues=Queues("order.activated", error=TransientError("SQS is away")))
    assert route.post(BODY, _signed(BODY)).status == 503
    route.queues.error = None
    assert route.post(BODY, _signed(BODY)).outcome == Outcome.ACCEPTED
    assert len(route.queues.sent) == 1


def test_a_secret_that_has_just_been_rotated_is_looked_up() -> None:
    for headers in (_signed(BODY, NEXT), _with_key(NEXT)):
        route = Route(secrets=Secrets(_held(CURRENT), fresh=_held(NEXT, CURRENT)))
        assert route.post(BODY, headers).status == 202
        assert route.secrets.refetches == 1


def test_looking_again_does_not_let_a_stranger_in() -> None:
    route = Route(secrets=Secrets(_held(CURRENT), fresh=_held(NEXT, CURRENT)))
    assert route.post(BODY, _signed(BODY, "wrong")).status == 401


@pytest.mark.parametrize(
    "headers",
    [JSON, JSON | {"x-orderphase-signature": "v1"}, _signed(BODY, NEXT, NOW - timedelta(hours=1)), _signed(BODY)],
    ids=["missing", "malformed", "stale", "good"],
)
def test_secrets_are_looked_up_again_for_a_mismatch_alone(headers: dict[str, str]) -> None:
    route = Route(secrets=Secrets(_held(CURRENT), fresh=_held(NEXT)))
    route.post(BODY, headers)
    assert route.secrets.refetches == 0


def test_the_note_says_why_the_sender_was_refused() -> None:
    notes = [
        Route().post(BODY, headers).note
        for headers in (
            JSON,
            JSON | {"x-orderphase-signature": "v1"},
            _signed(BODY, "wrong"),
            _signed(BODY, at=NOW - timedelta(hours=1)),
            _signed(BODY, at=NOW + timedelta(hours=1)),
        )
    ]
    assert notes == ["missing", "malformed", "mismatch", "stale", "future"]


def test_a_bug_is_not_hidden() -> None:
    class Broken(Queues):
        def send(self, event: Event, correlation_id: str) -> None:
            raise KeyError(event.type)

    with pytest.raises(KeyError):
        Route(queues=Broken("order.activated")).post(BODY, _signed(BODY))


VALUES = st.text() | st.sampled_from([CURRENT, "application/json", sign(CURRENT, BODY, NOW), sign("wrong", BODY, NOW)])
NAMES = st.text() | st.sampled_from(["content-type", "x-api-key", "x-orderphase-signature"])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(list(EVENT.values())[:-1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(list(EVENT)), inner, max_size=6),
    max_leaves=10,
)
BODIES = st.binary() | st.just(BODY) | DOCUMENTS.map(lambda document: json.dumps(document).encode())


@given(st.dictionaries(NAMES, VALUES, max_size=6), BODIES)
def test_any_request_has_one_of_the_answers(headers: dict[str, str], body: bytes) -> None:
    got = Route().post(body, headers)
    assert got.status in {202, 400, 401}
    assert got.body["accepted"] is (got.status == 202)
    if got.status == 202:
        assert CURRENT in headers.values() or sign(CURRENT, BODY, NOW) in headers.values()


@given(
    BODIES | st.dictionaries(st.sampled_from(list(EVENT)), DOCUMENTS).map(lambda changes: json.dumps(EVENT | changes).encode())
)
def test_any_body_of_a_known_sender_is_accepted_or_refused_with_a_reason(body: bytes) -> None:
    route = Route()
    got = route.post(body, _with_key())
    assert got.status in {202, 400}
    assert got.body.get("reason") or got.body.get("id")
    assert len(route.queues.sent) == (got.outcome == Outcome.ACCEPTED)
