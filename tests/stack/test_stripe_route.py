"""`POST /stripe/{account}/events` over HTTP, through the deployed API and function into the deployed queues."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from orderphase.ingress.signature import sign
from orderphase.ingress.stripe_events import StripeEvent
from orderphase.settings import StripeCredentials
from orderphase.stripe.client import StripeConnection, fresh_key
from sandbox.stack import STRIPE_ACCOUNT, LocalStack
from tests.stack.held_queue import held

UNVERIFIED = (400, {"accepted": False, "reason": "the sender could not be verified"})


class Route:
    """The deployed route, with nothing behind its queues."""

    def __init__(self, stack: LocalStack, http: requests.Session, **queues: Any) -> None:
        assert stack.stripe is not None
        self.stack, self.stripe, self._http = stack, stack.stripe, http
        self.products, self.prices = queues["products"].messages, queues["prices"].messages
        self.secret = stack.secrets["StripeSecret"]["STRIPE_WEBHOOK_SECRET"]
        held = StripeCredentials.from_secret("StripeSecret", json.dumps(stack.secrets["StripeSecret"]))
        self.api = StripeConnection(held).api

    def post(self, body: bytes, header: str | None, account: str = "default") -> tuple[int, Any]:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        headers |= {} if header is None else {"Stripe-Signature": header}
        answer = self._http.post(f"{self.stack.url}/stripe/{account}/events", data=body, headers=headers, timeout=60)
        return answer.status_code, answer.json()

    def empty(self) -> None:
        """Wait until everything is told, and forget it."""
        self.stripe.courier.flush()
        self.products()
        self.prices()


@pytest.fixture(scope="module")
def deployed(stack: LocalStack) -> Iterator[Route]:
    """The route, while the flows are kept from their queues."""
    with held(stack, "ProductUpsert") as products, held(stack, "PriceUpsert") as prices, requests.Session() as http:
        http.trust_env = False
        yield Route(stack, http, products=products, prices=prices)


@pytest.fixture
def route(deployed: Route) -> Route:
    """The route, with empty queues."""
    deployed.empty()
    return deployed


def _signed(body: bytes, secret: str, age: float = 0) -> str:
    return sign(secret, body, datetime.now(UTC) - timedelta(seconds=age))


def _event(**changes: Any) -> tuple[str, bytes]:
    """An event of a product; its id, and its bytes."""
    unique = uuid.uuid4().hex
    about = {"id": f"prod_{unique}", "object": "product", "name": "größer"}
    event_id = f"evt_{unique}"
    event = {"id": event_id, "type": "product.updated", "created": 1, "livemode": False, "data": {"object": about}} | changes
    return event_id, json.dumps(event, ensure_ascii=False, indent=2).encode()


def test_what_somebody_does_in_stripe_is_queued_by_product(route: Route) -> None:
    product = route.api.products.create({"name": "Platform"})
    price = route.api.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 1000, "recurring": {"interval": "month"}}
    )
    route.stripe.courier.flush()
    [made] = route.products(wait=5)
    [priced] = route.prices(wait=5)
    assert StripeEvent.of(json.loads(made["Body"])).model_dump(include={"type", "account", "object_id"}) == {
        "type": "product.created",
        "account": "default",
        "object_id": product.id,
    }
    assert StripeEvent.of(json.loads(priced["Body"])).object_id == price.id
    assert made["Attributes"]["MessageGroupId"] == priced["Attributes"]["MessageGroupId"] == f"default:{product.id}"
    assert made["MessageAttributes"]["correlation_id"]["StringValue"]


def test_what_we_do_ourselves_is_not(route: Route) -> None:
    product = route.api.products.create({"name": "Platform"}, {"idempotency_key": fresh_key("product:test")})
    route.stripe.courier.flush()
    assert [delivery.status for delivery in route.stripe.deliveries][-1] == 200
    assert product.id in [event["data"]["object"]["id"] for event in route.stripe.objects(STRIPE_ACCOUNT, "event")]
    assert route.products() == []


def test_an_event_that_comes_again_is_queued_once(route: Route) -> None:
    event_id, body = _event()
    answers = [route.post(body, _signed(body, route.secret)) for _ in range(3)]
    assert answers == [(200, {"accepted": True, "id": event_id})] * 3
    assert len(route.products(wait=5)) == 1


def test_strangers_all_get_the_same_answer(route: Route) -> None:
    _, body = _event()
    good = _signed(body, route.secret)
    assert route.post(body, _signed(body, "whsec_wrong")) == UNVERIFIED
    assert route.post(body + b" ", good) == UNVERIFIED
    assert route.post(body, _signed(body, route.secret, age=330)) == UNVERIFIED
    assert route.post(body, None) == UNVERIFIED
    assert route.post(body, good, account="nobody") == UNVERIFIED
    assert route.products() == []


def test_a_large_body_reaches_the_functions_own_limit(route: Route) -> None:
    event_id, body = _event()
    largest = body + b" " * (2 * 1024 * 1024 - len(body))
    assert route.post(largest, _signed(largest, route.secret)) == (200, {"accepted": True, "id": event_id})
    assert route.post(largest + b" ", _signed(largest + b" ", route.secret))[0] == 413
    assert len(route.products(wait=5)) == 1


def test_a_fault_is_named(route: Route) -> None:
    _, body = _event(data={"object": {"object": "product"}})
    answer = route.post(body, _signed(body, route.secret))
    assert answer == (400, {"accepted": False, "reason": "data.object.id: is missing"})
