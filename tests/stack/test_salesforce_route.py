"""`POST /salesforce/events` over HTTP, through the deployed API and function into the deployed queue."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from orderphase.ids import normalise_id
from orderphase.ingress.events import parse
from orderphase.ingress.signature import sign
from sandbox.stack import LocalStack
from tests.stack.held_queue import HeldQueue, held

pytestmark = pytest.mark.stack

JSON = {"Content-Type": "application/json"}
UNVERIFIED = {"accepted": False, "reason": "the sender could not be verified"}


class Route:
    """The deployed route, with nothing behind its queue."""

    def __init__(self, stack: LocalStack, queue: HeldQueue) -> None:
        secrets = stack.secrets["SalesforceWebhookSecret"]
        self.current, self.previous = secrets["SALESFORCE_WEBHOOK_SECRET"], secrets["SALESFORCE_WEBHOOK_SECRET_PREVIOUS"]
        self._url = f"{stack.url}/salesforce/events"
        self.queued = queue.messages
        self._http = requests.Session()
        self._http.trust_env = False

    def signed(self, body: bytes, secret: str | None = None, age: float = 0) -> dict[str, str]:
        at = datetime.now(UTC) - timedelta(seconds=age)
        return JSON | {"X-Orderphase-Signature": sign(secret or self.current, body, at)}

    def post(self, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        answer = self._http.post(self._url, data=body, headers=headers, timeout=60)
        assert answer.headers["Content-Type"] == "application/json"
        return answer.status_code, answer.json()

    def close(self) -> None:
        self._http.close()


@pytest.fixture(scope="module")
def deployed(stack: LocalStack) -> Iterator[Route]:
    """The route, while the flow is kept from its queue."""
    with held(stack, "OrderActivation") as queue:
        route = Route(stack, queue)
        yield route
        route.close()


@pytest.fixture
def route(deployed: Route) -> Route:
    """The route, with an empty queue."""
    deployed.queued()
    return deployed


def _event(**changes: Any) -> dict[str, Any]:
    unique = uuid.uuid4().hex
    return {
        "id": f"evt-{unique}",
        "type": "order.activated",
        "org_id": "00D000000000001EAA",
        "record_id": normalise_id(f"801{unique[:12]}"),
        "occurred_at": "2026-11-20T10:00:00Z",
        "data": {},
    } | changes


def _bytes(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


def test_a_signed_event_is_queued_for_its_flow(route: Route) -> None:
    contract = normalise_id(f"800{uuid.uuid4().hex[:12]}")
    event = _event(data={"contract_id": contract[:15], "note": "größer"})
    body = _bytes(event)
    assert route.post(body, route.signed(body)) == (202, {"accepted": True, "id": event["id"]})
    [message] = route.queued(wait=5)
    assert parse(message["Body"].encode()) == parse(body)
    assert message["Attributes"]["MessageGroupId"] == contract
    assert message["MessageAttributes"]["correlation_id"]["StringValue"]


def test_bytes_that_are_signed_are_the_bytes_that_arrive(route: Route) -> None:
    event = _event(data={"note": "größer 𝛑"})
    body = json.dumps(event, ensure_ascii=False, indent=1).encode()
    assert route.post(body, route.signed(body))[0] == 202
    assert len(route.queued(wait=5)) == 1


@pytest.mark.parametrize("method", ["signature", "key"])
@pytest.mark.parametrize("which", ["current", "previous"])
def test_both_secrets_are_valid(route: Route, which: str, method: str) -> None:
    secret = getattr(route, which)
    event = _event()
    body = _bytes(event)
    headers = route.signed(body, secret) if method == "signature" else JSON | {"x-api-key": secret}
    assert route.post(body, headers) == (202, {"accepted": True, "id": event["id"]})
    assert len(route.queued(wait=5)) == 1


@pytest.mark.parametrize(
    "case", ["wrong secret", "other body", "malformed", "missing", "stale", "future", "wrong key", "wrong signature, right key"]
)
def test_an_unknown_sender_is_refused(route: Route, case: str) -> None:
    body = _bytes(_event())
    headers = {
        "wrong secret": route.signed(body, "whsec_wrong"),
        "other body": route.signed(body + b" "),
        "malformed": JSON | {"X-Orderphase-Signature": "v1=0"},
        "missing": JSON,
        "stale": route.signed(body, age=330),
        "future": route.signed(body, age=-330),
        "wrong key": JSON | {"X-Api-Key": "whsec_wrong"},
        "wrong signature, right key": route.signed(body, "whsec_wrong") | {"X-Api-Key": route.current},
    }[case]
    assert route.post(body, headers) == (401, UNVERIFIED)
    assert route.queued() == []


def test_a_replay_is_accepted_and_queued_once(route: Route) -> None:
    event = _event()
    body = _bytes(event)
    headers = route.signed(body)
    answers = [route.post(body, headers), route.post(body, headers), route.post(body, route.signed(body))]
    assert answers == [(202, {"accepted": True, "id": event["id"]})] * 3
    assert len(route.queued(wait=5)) == 1
    # SQS drops repetitions within a group. In the group of a contract this one would be seen, had it been sent.
    moved = _bytes(event | {"data": {"contract_id": "800000000000001AAA"}})
    assert route.post(moved, route.signed(moved))[0] == 202
    assert route.queued() == []


def test_an_id_cannot_be_used_for_another_record(route: Route) -> None:
    event = _event()
    body, other = _bytes(event), _bytes(event | {"record_id": "801000000000009AAA"})
    assert route.post(body, route.signed(body))[0] == 202
    assert route.post(other, route.signed(other)) == (
        400,
        {"accepted": False, "reason": "id: has been used for another event"},
    )
    assert len(route.queued(wait=5)) == 1


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (_bytes(_event()), "text/plain", "Content-Type: is not application/json in UTF-8"),
        (b"record_id=801", "application/json", "body: is not JSON: Expecting value (line 1, column 1)"),
        (
            b'{"id": "evt-1", "type": "order.activated"}',
            "application/json",
            "org_id: is missing; record_id: is missing; occurred_at: is missing",
        ),
        (_bytes(_event(record_id="800000000000001")), "application/json", "record_id: is not the id of an Order (801…)"),
    ],
    ids=["content type", "not JSON", "missing fields", "another record"],
)
def test_what_is_not_an_event_is_refused_with_the_reason(route: Route, body: bytes, content_type: str, reason: str) -> None:
    headers = route.signed(body) | {"Content-Type": content_type}
    assert route.post(body, headers) == (400, {"accepted": False, "reason": reason})
    assert route.queued() == []


def test_an_unknown_type_is_accepted_and_ignored(route: Route) -> None:
    event = _event(type="quote.accepted", record_id="0Q0000000000001CAA")
    body = _bytes(event)
    assert route.post(body, route.signed(body)) == (202, {"accepted": True, "id": event["id"]})
    assert route.queued() == []


def test_the_largest_event_is_taken_and_one_byte_more_is_not(route: Route) -> None:
    event = _event(data={"note": ""})
    # Two bytes of UTF-8 each become six in the message.
    filler = "ü" * ((262_144 - len(_bytes(event))) // 2)
    body = json.dumps(event | {"data": {"note": filler}}, ensure_ascii=False).encode()
    body += b" " * (262_144 - len(body))
    assert route.post(body, route.signed(body)) == (202, {"accepted": True, "id": event["id"]})
    [message] = route.queued(wait=5)
    assert parse(message["Body"].encode()) == parse(body)
    too_large = body + b" "
    assert route.post(too_large, route.signed(too_large)) == (
        413,
        {"accepted": False, "reason": "an event has at most 262144 bytes"},
    )


def test_another_method_or_path_is_not_served(stack: LocalStack) -> None:
    with requests.Session() as http:
        http.trust_env = False
        for method, path in (("GET", "/salesforce/events"), ("POST", "/salesforce"), ("POST", "/")):
            assert http.request(method, stack.url + path, timeout=60).status_code in {403, 404, 405}
