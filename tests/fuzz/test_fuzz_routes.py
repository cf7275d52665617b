"""Whatever reaches a route, its function answers what its contract says, lets nobody in, and logs no secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.salesforce_webhook import app as salesforce
from functions.stripe_webhook import app as stripe
from orderphase.ingress.outbound_messages import OUTBOUND, RESOURCE
from orderphase.ingress.signature import sign
from tests.fuzz.mutations import CANARY, fuzzed, texts, written
from tests.ingress.edge import Stage, deployed, sample
from tests.ingress.salesforce_messages import CONTRACT, ORG, message, notification, order

SECRET, TOKEN, KEY = "whsec_fuzz_secret", "fuzz-" + "t" * 32, "sk_test_fuzz"
SECRETS = (SECRET, TOKEN, KEY)
WEBHOOK = {"SALESFORCE_WEBHOOK_SECRET": SECRET, "SALESFORCE_OUTBOUND_TOKEN": TOKEN, "SALESFORCE_ORG_ID": ORG}
STRIPE = {"STRIPE_API_KEY": KEY, "STRIPE_WEBHOOK_SECRET": SECRET}
ACCOUNTS = {
    "ORDERPHASE_STRIPE_SECRET": "stripe",
    "ORDERPHASE_STRIPE_ACCOUNT": "default",
    "ORDERPHASE_MORE_STRIPE_ACCOUNTS": "eu",
    "ORDERPHASE_STRIPE_SECRET_PREFIX": "stripe/",
    "ORDERPHASE_IGNORE_OWN_EVENTS": "on",
}
FLOWS = ("order_activation", "order_item_update", "cancellation", "product_upsert", "price_upsert", "account_upsert")

EVENTS = [json.loads(sample(flow)["Records"][0]["body"]) for flow in FLOWS]
SALESFORCE_EVENTS = [event for event in EVENTS if "org_id" in event] + [
    {**EVENTS[0], "type": kind, "record_id": record, "data": {"stripe_id": "prod_1", "idempotency_key": "key"}}
    for kind, record in (
        ("stripe_product.upserted", "a0A000000000001"),
        ("contract.reconcile", CONTRACT),
        ("something.else", "a0A000000000001"),
    )
]
STRIPE_EVENT = json.loads(sample("stripe_webhook")["body"])
STRIPE_EVENTS = [
    STRIPE_EVENT | {"type": kind, "data": {"object": {"id": "x_1", "object": named, "product": "prod_1", "metadata": about}}}
    for kind, named in (
        ("product.updated", "product"),
        ("price.created", "price"),
        ("price.deleted", "price"),
        ("subscription_schedule.updated", "subscription_schedule"),
        ("customer.subscription.deleted", "subscription"),
        ("invoice.paid", "invoice"),
    )
    for about in ({}, {"salesforce_org_id": ORG, "salesforce_contract_id": CONTRACT})
]
MESSAGES = [
    message(order()),
    message(*(order(f"04l0000000000{number:02}", f"8010000000000{number:02}") for number in range(9))),
    message(notification(sobject="Account", Id="001000000000001", Name=CANARY), notification(sobject="Task", Id="00T1")),
]

type Headers = dict[str, str]


@dataclass(frozen=True)
class Sender:
    """Who has sent a request. `right`: whether it proves that."""

    headers: Mapping[str, str]
    right: bool


@st.composite
def senders(draw: st.DrawFn, header: str, body: bytes, *, keys: bool) -> Sender:
    """Senders of a body: most prove that they may, the others nearly do."""
    now = datetime.now(UTC)
    good = sign(SECRET, body, now)
    kinds = ["signed"] * 6 + ["changed", "old", "early", "other secret", "other body", "none", "empty"]
    match draw(st.sampled_from([*kinds, *(["key", "other key"] if keys else [])])):
        case "signed":
            return Sender({header: good}, right=True)
        case "changed":
            changed = draw(texts([good.encode()])).decode("latin-1")
            return Sender({header: changed}, right=_proves(changed, body, now))
        case "old":
            return Sender({header: sign(SECRET, body, now - timedelta(seconds=330))}, right=False)
        case "early":
            return Sender({header: sign(SECRET, body, now + timedelta(seconds=330))}, right=False)
        case "other secret":
            return Sender({header: sign(f"{SECRET}2", body, now)}, right=False)
        case "other body":
            return Sender({header: sign(SECRET, body + b" ", now)}, right=False)
        case "empty":
            return Sender({header: ""}, right=False)
        case "key":
            return Sender({"x-api-key": SECRET}, right=True)
        case "other key":
            key = draw(texts([SECRET.encode()])).decode("latin-1")
            return Sender({"X-API-Key": key}, right=key == SECRET)
        case _:
            return Sender({}, right=False)


def _proves(header: str, body: bytes, now: datetime) -> bool:
    """Whether a header is a signature, by its definition."""
    parts = [part.partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit()) or abs(int(times[0]) - now.timestamp()) > 290:
        return False
    digest = hmac.new(SECRET.encode(), f"{times[0]}.".encode() + body, hashlib.sha256).hexdigest()
    return digest in [value for name, _, value in parts if name == "v1"]


content_types = st.sampled_from(
    [*["application/json"] * 6, "application/json; charset=UTF-8", "text/plain", "application/json; charset=utf-16", "", ";;"]
)
more_headers = st.dictionaries(st.sampled_from(["X-Forwarded-For", "Accept", "content-length", "é", ""]), st.text(max_size=20))


@st.composite
def requests_(draw: st.DrawFn, around: dict[str, Any], body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """A proxy event as API Gateway makes it of a request."""
    binary = draw(st.booleans()) or not _is_text(body)
    text = base64.b64encode(body).decode() if binary else body.decode()
    return around | {
        "httpMethod": draw(st.sampled_from(["POST", "POST", "GET", "DELETE"])),
        "headers": {**draw(more_headers), **headers} or None,
        "multiValueHeaders": None,
        "body": text or None,
        "isBase64Encoded": binary,
        "queryStringParameters": draw(st.sampled_from([None, {"a": CANARY}])),
    }


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.fixture
def salesforce_stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    environment = {"ORDERPHASE_WEBHOOK_SECRET": "webhook"}
    held = {"webhook": json.dumps(WEBHOOK)}
    with deployed(monkeypatch, salesforce, sample("salesforce_webhook"), environment, held) as stage:
        yield stage


@pytest.fixture
def stripe_stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    held = {"stripe": json.dumps(STRIPE), "stripe/eu": json.dumps(STRIPE | {"STRIPE_API_KEY": f"{KEY}_eu"})}
    with deployed(monkeypatch, stripe, sample("stripe_webhook"), ACCOUNTS, held) as stage:
        yield stage


def answers_json(stage: Stage, event: dict[str, Any], *, taken: int, refused: int, right: bool) -> None:
    """The answer is one of the contract's, and nobody is let in who did not prove who they are."""
    before = len(stage.text)
    status, kind, body = stage.answer(event)
    assert kind == "application/json"
    answer = json.loads(body)
    if status == taken:
        assert right, "somebody was let in"
        assert answer == {"accepted": True, "id": answer["id"]}
    else:
        assert status in (400, refused, 413)
        assert answer == {"accepted": False, "reason": answer["reason"]}
        assert right or status in (refused, 413) or _not_base64(answer)
    logs_nothing_secret(stage, before, body)


def _not_base64(answer: dict[str, Any]) -> bool:
    return bool(answer["reason"] == "body: is not base64")


def logs_nothing_secret(stage: Stage, before: int, body: str) -> None:
    lines = stage.text[before:].splitlines()
    assert len(lines) == 1, "one line for each request"
    line = json.loads(lines[0])
    assert line["level"] in ("INFO", "WARNING"), line
    for secret in SECRETS:
        assert secret not in lines[0]
        assert secret not in body
    told = {name: value for name, value in line.items() if name not in ("event_id", "event_type", "record_id", "notifications")}
    assert CANARY not in json.dumps(told)


class TestSalesforceEvents:
    @fuzzed
    @given(data=st.data())
    def test_any_request(self, salesforce_stage: Stage, data: st.DataObject) -> None:
        body = data.draw(written(SALESFORCE_EVENTS))
        sender = data.draw(senders("X-Orderphase-Signature", body, keys=True))
        headers = {"Content-Type": data.draw(content_types), **sender.headers}
        event = data.draw(requests_(sample("salesforce_webhook"), body, headers))
        answers_json(salesforce_stage, event, taken=202, refused=401, right=sender.right)

    @fuzzed
    @given(body=st.text(st.characters(exclude_categories=()), max_size=60), encoded=st.booleans())
    def test_any_body_of_the_gateways(self, salesforce_stage: Stage, body: str, encoded: bool) -> None:
        event = sample("salesforce_webhook") | {"body": body, "isBase64Encoded": encoded}
        event["headers"] = {"Content-Type": "application/json", "X-Api-Key": SECRET}
        answers_json(salesforce_stage, event, taken=202, refused=401, right=True)

    @pytest.mark.parametrize("size", [262_144, 262_145])
    def test_the_largest_body(self, salesforce_stage: Stage, size: int) -> None:
        body = json.dumps(SALESFORCE_EVENTS[0] | {"more": ""}).encode()
        body = body.replace(b'"more": ""', b'"more": "' + b"x" * (size - len(body)) + b'"')
        headers = {"Content-Type": "application/json", "X-Orderphase-Signature": sign(SECRET, body, datetime.now(UTC))}
        status, _ = salesforce_stage.post(body, headers)
        assert status == (202 if size == 262_144 else 413)


class TestOutboundMessages:
    @fuzzed
    @given(data=st.data())
    def test_any_message(self, salesforce_stage: Stage, data: st.DataObject) -> None:
        body = data.draw(st.one_of(texts(MESSAGES), texts(MESSAGES), written(SALESFORCE_EVENTS)))
        token = data.draw(st.one_of(*[st.just(TOKEN)] * 4, texts([TOKEN.encode()]).map(lambda some: some.decode("latin-1"))))
        around = sample("salesforce_webhook_outbound_message") | {"resource": RESOURCE}
        around["pathParameters"] = data.draw(st.sampled_from([{"token": token}] * 8 + [None, {}, {"token": ""}]))
        event = data.draw(requests_(around, body, {"Content-Type": "text/xml; charset=utf-8"}))

        before = len(salesforce_stage.text)
        status, kind, answer = salesforce_stage.answer(event)

        right = (around["pathParameters"] or {}).get("token") == TOKEN
        if status == 200:
            assert right, "somebody was let in"
            assert kind == "text/xml; charset=utf-8"
            (ack,) = ElementTree.fromstring(answer).iter(f"{{{OUTBOUND}}}Ack")
            assert ack.text in ("true", "false")
        else:
            assert status in (401, 413)
            assert kind == "application/json"
            assert json.loads(answer)["accepted"] is False
        logs_nothing_secret(salesforce_stage, before, answer)


class TestStripeEvents:
    @fuzzed
    @given(data=st.data())
    def test_any_request(self, stripe_stage: Stage, data: st.DataObject) -> None:
        body = data.draw(written(STRIPE_EVENTS))
        sender = data.draw(senders("Stripe-Signature", body, keys=False))
        account = data.draw(st.sampled_from([*["default"] * 6, "eu", "nobody", "", CANARY, "default/../eu", "\ud800"]))
        around = sample("stripe_webhook")
        around["pathParameters"] = data.draw(st.sampled_from([{"account": account}] * 8 + [None, {}]))
        headers = {"Content-Type": data.draw(content_types), **sender.headers}
        event = data.draw(requests_(around, body, headers))
        known = (around["pathParameters"] or {}).get("account") in ("default", "eu")
        answers_json(stripe_stage, event, taken=200, refused=400, right=sender.right and known)
