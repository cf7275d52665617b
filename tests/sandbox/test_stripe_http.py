"""The emulator as a service: keys, accounts, versions, idempotency, injected faults, and what it does not have."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from http.client import HTTPConnection, HTTPMessage
from typing import Any, cast

import pytest
import stripe
from stripe.params import CustomerCreateParams

from sandbox.stripe_emulator.views import API_VERSION
from tests.sandbox.stripe_world import ACCOUNT, KEY, World, error_body, there


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def ask(world: World, method: str, path: str, body: str = "", **headers: str) -> tuple[int, HTTPMessage, dict[str, Any]]:
    """Status, headers and JSON of a request without the SDK; `headers` use underscores for hyphens."""
    connection = HTTPConnection("127.0.0.1", world.server.port)
    sent = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/x-www-form-urlencoded"}
    connection.request(method, path, body, sent | {name.replace("_", "-"): value for name, value in headers.items()})
    with connection.getresponse() as response:
        answer = response.status, response.headers, json.load(response)
    connection.close()
    return answer


def test_answers_carry_the_headers_of_stripe(world: World) -> None:
    status, headers, body = ask(world, "POST", "/v1/customers", "name=A", Idempotency_Key="k1")
    assert (status, body["name"]) == (200, "A")
    assert headers["Request-Id"].startswith("req_")
    assert headers["Stripe-Version"] == API_VERSION
    assert headers["Idempotency-Key"] == "k1"
    assert headers["X-Emulator"] == "1"
    [event] = world.emulator.objects(ACCOUNT, "event")
    assert event["request"] == {"id": headers["Request-Id"], "idempotency_key": "k1"}


def test_basic_authentication(world: World) -> None:
    credentials = b64encode(f"{KEY}:".encode()).decode()
    assert ask(world, "GET", "/v1/customers", Authorization=f"Basic {credentials}")[0] == 200


@pytest.mark.parametrize(
    "authorization", ["Bearer sk_test_wrong_key_of_some_length", "Bearer short", "Bearer ", "Basic !", "Digest x"]
)
def test_a_wrong_key_is_refused(world: World, authorization: str) -> None:
    status, headers, body = ask(world, "GET", "/v1/customers", Authorization=authorization)
    assert status == 401
    assert body["error"]["type"] == "invalid_request_error"
    assert "wrong_key" not in body["error"]["message"]
    assert headers["Request-Id"]


def test_the_sdk_sees_an_authentication_error(world: World) -> None:
    with pytest.raises(stripe.AuthenticationError):
        world.client("sk_test_other").v1.customers.list()


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/unicorns", 404, "invalid_request_error"),
        ("GET", "/unicorns", 404, "invalid_request_error"),
        ("DELETE", "/v1/prices/price_1", 404, "invalid_request_error"),
        ("POST", "/v1/subscription_schedules/sub_sched_1/amend", 404, "invalid_request_error"),
        ("GET", "/v1/invoices", 501, "emulator_not_modelled"),
        ("POST", "/v1/invoices", 501, "emulator_not_modelled"),
        ("POST", "/v1/invoices/in_1/finalize", 501, "emulator_not_modelled"),
        ("POST", "/v1/invoices/create_preview", 400, "invalid_request_error"),
        ("GET", "/v1/products/search?query=x", 501, "emulator_not_modelled"),
        ("POST", "/v1/subscription_schedules/sub_sched_1", 404, "invalid_request_error"),
        ("POST", "/v1/subscriptions", 501, "emulator_not_modelled"),
        ("DELETE", "/v1/subscriptions/sub_1/discount", 501, "emulator_not_modelled"),
        ("GET", "/v1/customers/cus_1/tax_ids", 501, "emulator_not_modelled"),
    ],
)
def test_what_is_not_there(world: World, method: str, path: str, status: int, kind: str) -> None:
    answered, _, body = ask(world, method, path)
    assert (answered, body["error"]["type"]) == (status, kind)


def test_another_version_is_not_imitated(world: World) -> None:
    status, _, body = ask(world, "GET", "/v1/customers", Stripe_Version="2024-06-20")
    assert status == 501
    assert API_VERSION in body["error"]["message"]


def test_a_body_that_is_no_form(world: World) -> None:
    assert ask(world, "POST", "/v1/customers", "{}", Content_Type="application/json")[0] == 400
    assert ask(world, "POST", "/v1/customers", "\xff")[0] == 400


def test_a_replay_repeats_the_answer_and_does_nothing(world: World) -> None:
    first = world.sdk.v1.customers.create({"name": "A"}, {"idempotency_key": "k"})
    again = world.sdk.v1.customers.create({"name": "A"}, {"idempotency_key": "k"})
    assert again.to_dict() == first.to_dict()
    assert there(again.last_response).headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in there(first.last_response).headers
    assert world.emulator.writes() == 1
    assert len(world.emulator.objects(ACCOUNT, "customer")) == 1


def test_a_key_is_for_one_request_only(world: World) -> None:
    world.sdk.v1.customers.create({"name": "A"}, {"idempotency_key": "k"})
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        world.sdk.v1.customers.create({"name": "B"}, {"idempotency_key": "k"})
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        world.sdk.v1.products.create({"name": "A"}, {"idempotency_key": "k"})
    with pytest.raises(stripe.IdempotencyError, match="1 to 255"):
        world.sdk.v1.products.create({"name": "A"}, {"idempotency_key": "k" * 256})


def test_a_key_expires_after_a_day(world: World) -> None:
    first = world.sdk.v1.customers.create({"name": "A"}, {"idempotency_key": "k"})
    world.clock.advance(timedelta(hours=24, seconds=-1))
    assert world.sdk.v1.customers.create({"name": "A"}, {"idempotency_key": "k"}).id == first.id
    world.clock.advance(timedelta(seconds=1))
    assert world.sdk.v1.customers.create({"name": "A"}, {"idempotency_key": "k"}).id != first.id


def test_a_refusal_in_execution_is_remembered_and_one_in_validation_is_not(world: World) -> None:
    headers: dict[str, str] = {}
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError, match="No such product") as refused:
            world.sdk.v1.prices.create({"product": "p", "currency": "usd", "unit_amount": 1}, {"idempotency_key": "k"})
        world.sdk.v1.products.create({"id": "p", "name": "Now it exists"}, {"idempotency_key": "p"})
        headers = there(refused.value.headers)
    assert headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.InvalidRequestError, match="Received unknown parameter"):
        world.sdk.v1.customers.create(cast("CustomerCreateParams", {"nome": "A"}), {"idempotency_key": "v"})
    assert world.sdk.v1.customers.create({"name": "A"}, {"idempotency_key": "v"}).name == "A"


def test_keys_are_ignored_on_get(world: World) -> None:
    world.customer()
    for _ in range(2):
        answer = world.sdk.v1.customers.list({}, {"idempotency_key": "k"})
        assert "Idempotent-Replayed" not in there(answer.last_response).headers
        world.customer()


@pytest.mark.parametrize(
    ("name", "error", "code", "headers"),
    [
        ("401", stripe.AuthenticationError, None, {}),
        ("402", stripe.CardError, "card_declined", {}),
        ("403", stripe.PermissionError, None, {}),
        ("409", stripe.APIError, "idempotency_key_in_use", {}),
        ("424", stripe.APIError, None, {}),
        ("429", stripe.RateLimitError, "rate_limit", {"Stripe-Rate-Limited-Reason": "global-rate"}),
        ("429_endpoint-rate", stripe.RateLimitError, "rate_limit", {"Stripe-Rate-Limited-Reason": "endpoint-rate"}),
        ("429_lock", stripe.RateLimitError, "lock_timeout", {"Stripe-Should-Retry": "true"}),
        ("500", stripe.APIError, None, {}),
        ("500_final", stripe.APIError, None, {"Stripe-Should-Retry": "false"}),
        ("502", stripe.APIError, None, {}),
        ("503", stripe.APIError, None, {}),
    ],
)
def test_injected_errors(
    world: World, name: str, error: type[stripe.StripeError], code: str | None, headers: dict[str, str]
) -> None:
    world.emulator.inject("refuse", error=name)
    with pytest.raises(error) as refused:
        world.customer()
    assert refused.value.http_status == int(name[:3])
    assert error_body(refused.value)["error"].get("code") == code
    answered = there(refused.value.headers)
    assert answered["Request-Id"]
    assert headers.items() <= dict(answered).items()
    assert ("Stripe-Rate-Limited-Reason" in answered) == (code == "rate_limit")
    assert world.emulator.writes() == 0


def test_a_lost_answer_is_recovered_by_its_key(world: World) -> None:
    world.emulator.inject("lost_after")
    with pytest.raises(stripe.APIConnectionError):
        world.sdk.v1.customers.create({"name": "A"}, {"idempotency_key": "k"})
    [stored] = world.emulator.objects(ACCOUNT, "customer")
    assert world.sdk.v1.customers.create({"name": "A"}, {"idempotency_key": "k"}).id == stored["id"]
    assert world.emulator.writes() == 1


def test_a_stored_error_sticks_to_its_key_though_the_effect_is_there(world: World) -> None:
    world.emulator.inject("stored", error="500")
    headers: dict[str, str] = {}
    for _ in range(2):
        with pytest.raises(stripe.APIError) as refused:
            world.sdk.v1.customers.create({"name": "A"}, {"idempotency_key": "k"})
        headers = there(refused.value.headers)
    assert headers["Idempotent-Replayed"] == "true"
    assert world.emulator.writes() == 1
    assert world.sdk.v1.customers.create({"name": "A"}, {"idempotency_key": "another"}).name == "A"


def test_reset_forgets_everything(world: World) -> None:
    world.sdk.v1.customers.create({"name": "A"}, {"idempotency_key": "k"})
    world.schedule(world.phase("2027-06-01"))
    world.emulator.reset()
    assert world.emulator.writes() == 0
    assert world.emulator.objects(ACCOUNT, "customer") == []
    world.move_to("2028-01-01")
    assert world.events() == []
    assert world.sdk.v1.customers.create({"name": "B"}, {"idempotency_key": "k"}).name == "B"
