"""The connection to Stripe: what becomes of every kind of error, what is repeated, and under which idempotency key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orderphase.errors import (
    ConfigurationError,
    ConflictError,
    CredentialsError,
    DataError,
    OrderphaseError,
    TransientError,
    UnknownOutcomeError,
)
from orderphase.stripe import client as client_module
from orderphase.stripe.client import (
    API_VERSION,
    OWN_KEYS,
    REPLAYED_FAILURE,
    REPLAYED_REFUSAL,
    REUSED_KEY,
    USED_KEY,
    StripeConnection,
)
from sandbox.serving import Request, Response, Server
from tests.flows.world import KEY
from tests.scripted import Scripted
from tests.stripe.stripe_account import Stripe, connect

CUSTOMERS = "/v1/customers"


def create(connection: StripeConnection, name: str = "Acme", key: str = "key", *, looked: bool = False) -> str:
    params: Any = {"name": name}
    return connection.create(connection.api.customers.create, params, key, looked=looked).id


def failure(stripe: Stripe, connection: StripeConnection | None = None) -> OrderphaseError:
    connection = connection or stripe.connection()
    with pytest.raises(OrderphaseError) as raised:
        connection.call(connection.api.customers.create, {"name": "Acme"})
    return raised.value


@contextmanager
def scripted(answer: Callable[[Request], Response]) -> Iterator[tuple[StripeConnection, Scripted]]:
    service = Scripted(answer)
    with Server(service) as server:
        yield connect(server.url, []), service


def refusal(status: int, kind: str = "invalid_request_error", code: str | None = None, **headers: str) -> Response:
    return Response(status, {"error": {"type": kind, "message": "No.", **({"code": code} if code else {})}}, headers)


# Errors


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (refusal(400, code="resource_missing"), DataError, "resource_missing"),
        (refusal(400), DataError, None),
        (refusal(404, code="resource_missing"), DataError, "resource_missing"),
        (refusal(400, code="coupon_expired"), DataError, "coupon_expired"),
        (refusal(400, code="amount_too_large"), DataError, "amount_too_large"),
        (refusal(402, "card_error", "card_declined"), DataError, "card_declined"),
        (refusal(400, code="parameter_unknown"), ConfigurationError, "parameter_unknown"),
        (refusal(400, code="parameter_missing"), ConfigurationError, "parameter_missing"),
        (refusal(400, code="parameters_exclusive"), ConfigurationError, "parameters_exclusive"),
        (refusal(400, code="parameter_invalid_empty"), ConfigurationError, "parameter_invalid_empty"),
        (refusal(401), CredentialsError, "AuthenticationError"),
        (refusal(401, code="api_key_expired"), CredentialsError, "api_key_expired"),
        (refusal(403), ConfigurationError, "PermissionError"),
        (refusal(403, code="account_invalid"), ConfigurationError, "account_invalid"),
        (refusal(400, "idempotency_error"), ConflictError, REUSED_KEY),
        (refusal(409, "idempotency_error", "idempotency_key_in_use"), TransientError, "idempotency_key_in_use"),
        (refusal(409, "invalid_request_error", "idempotency_key_in_use"), TransientError, "idempotency_key_in_use"),
        (refusal(409), TransientError, "409"),
        (refusal(424, "api_error"), TransientError, "424"),
        (refusal(429, code="rate_limit"), TransientError, "rate_limit"),
        (refusal(429), TransientError, "rate_limit"),
        (refusal(429, code="lock_timeout"), TransientError, "lock_timeout"),
        (refusal(400, code="rate_limit"), TransientError, "rate_limit"),
        (refusal(400, code="lock_timeout"), TransientError, "lock_timeout"),
        (refusal(500, "api_error"), UnknownOutcomeError, "500"),
        (refusal(502, "api_error"), UnknownOutcomeError, "502"),
        (refusal(503, "api_error"), UnknownOutcomeError, "503"),
        (refusal(504, "api_error"), UnknownOutcomeError, "504"),
        (refusal(500, "api_error", **{"Idempotent-Replayed": "true"}), UnknownOutcomeError, REPLAYED_FAILURE),
        (refusal(400, code="resource_missing", **{"Idempotent-Replayed": "true"}), DataError, REPLAYED_REFUSAL),
        (refusal(402, "card_error", "card_declined", **{"Idempotent-Replayed": "true"}), DataError, REPLAYED_REFUSAL),
        (Response(503, b"<html></html>"), UnknownOutcomeError, "503"),
        (Response(200, b"<html></html>"), UnknownOutcomeError, "200"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_every_kind_of_error_has_its_class(answer: Response, error: type[OrderphaseError], code: str | None) -> None:
    with scripted(lambda _: answer) as (connection, _), pytest.raises(OrderphaseError) as raised:
        connection.call(connection.api.customers.create, {"name": "Acme"})
    assert (type(raised.value), raised.value.code) == (error, code)


def test_a_key_that_stripe_does_not_know(stripe: Stripe) -> None:
    problem = failure(stripe, stripe.connection(key="sk_test_of_somebody_else"))
    assert isinstance(problem, ConfigurationError)
    assert "somebody" not in problem.message


def test_what_stripe_says_is_in_the_message(stripe: Stripe) -> None:
    connection = stripe.connection()
    with pytest.raises(DataError, match="No such customer: 'cus_gone'"):
        connection.call(connection.api.customers.retrieve, "cus_gone")


@pytest.mark.parametrize(("kind", "customers"), [("lost_before", 0), ("lost_after", 1)])
def test_a_dropped_connection_may_have_done_it(stripe: Stripe, kind: Any, customers: int) -> None:
    stripe.emulator.inject(kind)
    assert type(failure(stripe)) is UnknownOutcomeError
    assert len(stripe.objects("customer")) == customers


def test_a_slow_answer_is_not_waited_for(stripe: Stripe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "TIMEOUT", (1.0, 0.05))
    stripe.emulator.inject("slow", seconds=3600)
    problem = failure(stripe)
    assert (type(problem), problem.code) == (UnknownOutcomeError, "ReadTimeout")


def test_nobody_listens() -> None:
    with Server(Scripted(lambda _: Response())) as server:
        gone = server.url
    connection = connect(gone, [])
    with pytest.raises(TransientError, match="Stripe cannot be reached") as raised:
        connection.call(connection.api.customers.create, {"name": "Acme"})
    assert type(raised.value) is TransientError


# What is repeated


@pytest.mark.parametrize("error", ["429", "429_endpoint-concurrency", "429_lock", "409"])
def test_a_busy_stripe_is_asked_again_after_pauses(stripe: Stripe, error: str) -> None:
    stripe.emulator.inject("refuse", error=error, times=2)
    connection = stripe.connection()
    assert create(connection).startswith("cus_")
    assert connection.calls == 3
    first, second = stripe.pauses
    assert 0.25 <= first <= 0.5 <= second <= 1.0


def test_a_stripe_that_stays_busy_is_left(stripe: Stripe) -> None:
    stripe.emulator.inject("refuse", error="429", times=9)
    problem = failure(stripe)
    assert (type(problem), problem.code) == (TransientError, "rate_limit")
    assert len(stripe.emulator.log) == 3
    assert len(stripe.pauses) == 2


@pytest.mark.parametrize("fault", [{"kind": "refuse", "error": "500"}, {"kind": "lost_before"}, {"kind": "lost_after"}])
def test_the_client_repeats_a_failure_under_the_same_key(
    stripe: Stripe, fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    stripe.emulator.inject(**fault)
    connection = stripe.connection(repetitions=1)
    connection.call(connection.api.customers.create, {"name": "Acme"})
    assert len(stripe.emulator.log) == 2
    assert len(stripe.objects("customer")) == 1
    assert len(slept) == 1
    assert connection.calls == 1


def test_other_errors_are_not_repeated(stripe: Stripe) -> None:
    for error in ("401", "402", "403", "424", "500", "503"):
        stripe.emulator.inject("refuse", error=error)
        failure(stripe)
    assert len(stripe.emulator.log) == 6
    assert stripe.pauses == []


def test_requests_name_the_version_and_send_no_telemetry() -> None:
    answer = Response(body={"id": "cus_1", "object": "customer"})
    with scripted(lambda _: answer) as (connection, service):
        for _ in range(2):
            create(connection)
    for request in service.requests:
        assert request.headers["stripe-version"] == API_VERSION
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["idempotency-key"] == "orderphase:key"
        assert "x-stripe-client-telemetry" not in request.headers


# Creating once


def test_a_netrc_does_not_take_the_place_of_the_key(stripe: Stripe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert create(stripe.connection())


def keys(stripe: Stripe) -> list[str]:
    """The keys under which customers were created, without what marks them as ours."""
    events = stripe.objects("event")
    used = (event["request"]["idempotency_key"] for event in events if event["type"] == "customer.created")
    return [key.removeprefix(OWN_KEYS) for key in used]


def refused_schedule(stripe: Stripe) -> tuple[StripeConnection, dict[str, Any], str]:
    """The request for a schedule of an archived price, which Stripe refuses and stores; and the price."""
    connection = stripe.connection()
    customer = connection.call(connection.api.customers.create, {}).id
    product = connection.call(connection.api.products.create, {"name": "Product"}).id
    price = connection.call(
        connection.api.prices.create,
        {"product": product, "currency": "usd", "unit_amount": 1000, "recurring": {"interval": "month"}, "active": False},
    ).id
    phase = {"items": [{"price": price}], "duration": {"interval": "year"}}
    return connection, {"customer": customer, "start_date": "now", "phases": [phase]}, price


def test_the_same_key_makes_one(stripe: Stripe) -> None:
    assert create(stripe.connection()) == create(stripe.connection())
    assert keys(stripe) == ["key"]


def test_a_stored_refusal_is_passed_over_once_its_cause_is_gone(stripe: Stripe) -> None:
    connection, params, price = refused_schedule(stripe)
    request: Any = connection.api.subscription_schedules.create
    for _ in range(2):
        with pytest.raises(DataError, match="price specified is inactive"):
            connection.create(request, params, "key")
    connection.call(connection.api.prices.update, price, {"active": True})

    made = connection.create(request, params, "key").id
    # The same way leads to the same schedule, in this run and in any other.
    assert stripe.connection().create(request, params, "key").id == made
    (event,) = [event for event in stripe.objects("event") if event["type"] == "subscription_schedule.created"]
    assert event["request"]["idempotency_key"] == "orderphase:key:3"


def test_a_stored_failure_is_raised_until_somebody_has_looked(stripe: Stripe) -> None:
    stripe.emulator.inject("stored", error="500")
    for code in ("500", REPLAYED_FAILURE, REPLAYED_FAILURE):
        with pytest.raises(UnknownOutcomeError) as raised:
            create(stripe.connection())
        assert raised.value.code == code
    made = create(stripe.connection(), looked=True)
    assert create(stripe.connection(), looked=True) == made
    assert keys(stripe) == ["key", "key:2"]


def test_a_key_with_other_parameters_is_raised_until_somebody_has_looked(stripe: Stripe) -> None:
    first = create(stripe.connection(), "Acme")
    with pytest.raises(ConflictError) as raised:
        create(stripe.connection(), "Acme GmbH")
    assert raised.value.code == REUSED_KEY
    assert create(stripe.connection(), "Acme GmbH", looked=True) != first
    assert keys(stripe) == ["key", "key:2"]


def test_a_failure_that_is_not_stored_leaves_the_key(stripe: Stripe) -> None:
    stripe.emulator.inject("refuse", error="500")
    with pytest.raises(UnknownOutcomeError):
        create(stripe.connection(), looked=True)
    create(stripe.connection(), looked=True)
    assert keys(stripe) == ["key"]


def test_an_answer_that_was_lost_comes_again(stripe: Stripe) -> None:
    stripe.emulator.inject("lost_after")
    with pytest.raises(UnknownOutcomeError):
        create(stripe.connection())
    (customer,) = stripe.objects("customer")
    assert create(stripe.connection()) == customer["id"]


def test_keys_come_to_an_end(stripe: Stripe) -> None:
    connection, params, _ = refused_schedule(stripe)
    request: Any = connection.api.subscription_schedules.create
    for _ in range(20):
        with pytest.raises(DataError):
            connection.create(request, params, "key")
    with pytest.raises(TransientError) as raised:
        connection.create(request, params, "key")
    assert raised.value.code == "keys_used_up"


# A key that somebody else has chosen


def create_exactly(connection: StripeConnection, name: str = "Acme") -> str:
    params: Any = {"name": name}
    return connection.create_exactly(connection.api.customers.create, params, "theirs").id


def test_a_key_that_was_given_is_sent_as_it_is(stripe: Stripe) -> None:
    assert create_exactly(stripe.connection()) == create_exactly(stripe.connection())
    assert keys(stripe) == ["theirs"]


def test_a_key_that_was_given_twice_for_different_things(stripe: Stripe) -> None:
    create_exactly(stripe.connection())
    with pytest.raises(DataError, match="The idempotency key 'theirs' is used up") as raised:
        create_exactly(stripe.connection(), "Acme GmbH")
    assert raised.value.code == USED_KEY
    assert len(stripe.objects("customer")) == 1


@pytest.mark.parametrize(
    ("error", "first", "code"), [("402", DataError, REPLAYED_REFUSAL), ("500", UnknownOutcomeError, REPLAYED_FAILURE)]
)
def test_what_stripe_has_stored_under_a_key_that_was_given(
    stripe: Stripe, error: str, first: type[OrderphaseError], code: str
) -> None:
    stripe.emulator.inject("stored", error=error)
    with pytest.raises(first) as raised:
        create_exactly(stripe.connection())
    assert not str(raised.value.code).startswith("replayed")
    with pytest.raises(first) as again:
        create_exactly(stripe.connection())
    assert again.value.code == code
