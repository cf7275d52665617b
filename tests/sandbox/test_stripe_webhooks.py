"""Webhooks: endpoints, signatures, retries, duplicates, and delivery that can be held back and waited for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.request import urlopen

import pytest
import stripe
from stripe.params import WebhookEndpointCreateParams

from tests.sandbox.stripe_world import ACCOUNT, World, error_body, reference, there


class Receiver:
    """Takes deliveries, and answers with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.received: list[tuple[str, str]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                receiver.received.append((body, self.headers["Stripe-Signature"]))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self._server.server_address[1]}/stripe/events?x=1"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body, _ in self.received]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def endpoint(world: World, receiver: Receiver, *types: str, **params: Any) -> stripe.WebhookEndpoint:
    sent = {"url": receiver.url, "enabled_events": list(types or ("*",)), **params}
    return world.sdk.v1.webhook_endpoints.create(cast("WebhookEndpointCreateParams", sent))


def test_deliveries_are_signed(world: World, receiver: Receiver) -> None:
    secret = there(endpoint(world, receiver).secret)
    assert secret.startswith("whsec_")
    customer = world.customer(name="Ä")
    world.emulator.courier.flush()
    [(body, signature)] = receiver.received
    assert stripe.WebhookSignature.verify_header(body, signature, secret, tolerance=300)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(body, signature, "whsec_other", tolerance=300)
    event = stripe.Webhook.construct_event(body, signature, secret)
    assert (event.type, event.data.object["id"], event.api_version) == ("customer.created", customer, stripe.api_version)
    assert world.sdk.v1.events.retrieve(event.id).pending_webhooks == 0


def test_an_endpoint_gets_what_it_asked_for_in_order(world: World, receiver: Receiver) -> None:
    endpoint(world, receiver, "subscription_schedule.created", "customer.subscription.created")
    world.schedule(world.phase("2028-01-01"))
    world.emulator.courier.flush()
    assert receiver.types == ["customer.subscription.created", "subscription_schedule.created"]


def test_the_secret_is_told_once(world: World, receiver: Receiver) -> None:
    created = endpoint(world, receiver, metadata={"k": "v"})
    endpoints = world.sdk.v1.webhook_endpoints
    assert "secret" not in endpoints.retrieve(created.id)
    assert [("secret" in entry, entry.url, entry.status) for entry in endpoints.list().data] == [
        (False, receiver.url, "enabled")
    ]
    assert endpoints.delete(created.id).deleted is True
    world.customer()
    world.emulator.courier.flush()
    assert (receiver.received, endpoints.list().data) == ([], [])


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("receiver", 400),
        ("ftp://127.0.0.1", 400),
        ("http://example.com/", 501),
        ("https://127.0.0.1/", 501),
        ("http://10.0.0.1/", 501),
    ],
)
def test_urls_that_are_refused(world: World, url: str, status: int) -> None:
    with pytest.raises(stripe.StripeError) as refused:
        world.sdk.v1.webhook_endpoints.create({"url": url, "enabled_events": ["*"]})
    assert (refused.value.http_status, error_body(refused.value)["error"]["param"]) == (status, "url")


def test_events_of_another_version(world: World, receiver: Receiver) -> None:
    with pytest.raises(stripe.APIError) as refused:
        endpoint(world, receiver, api_version="2024-06-20")
    assert refused.value.http_status == 501


def test_events_of_a_connected_account_go_to_its_platform(world: World, receiver: Receiver) -> None:
    endpoint(world, receiver, connect=True)
    world.customer(name="not connected")
    world.client(stripe_account="acct_connected").v1.customers.create({"name": "connected"})
    world.emulator.courier.flush()
    assert [(event["account"], event["data"]["object"]["name"]) for event in receiver.events] == [
        ("acct_connected", "connected")
    ]


def test_what_fails_is_tried_three_times(world: World, receiver: Receiver) -> None:
    endpoint(world, receiver, "customer.created")
    receiver.status = 500
    world.customer()
    for _ in range(4):
        world.emulator.courier.flush()
        world.clock.advance(timedelta(hours=1))
    deliveries = world.emulator.deliveries
    assert [(delivery.attempt, delivery.status) for delivery in deliveries] == [(1, 500), (2, 500), (3, 500)]
    assert len({body for body, _ in receiver.received}) == 1
    [event] = world.emulator.objects(ACCOUNT, "event")
    assert event["pending_webhooks"] == 1
    with urlopen(f"{world.server.url}/__emulator__/deliveries") as answer:
        assert [attempt["status"] for attempt in json.load(answer)] == [500, 500, 500]
    with urlopen(f"{world.server.url}/__emulator__/faults") as answer:
        assert json.load(answer) == []


def test_a_retry_that_succeeds_ends_it(world: World, receiver: Receiver) -> None:
    created = endpoint(world, receiver)
    receiver.status = 302
    world.customer()
    world.emulator.courier.flush()
    receiver.status = 204
    world.clock.advance(timedelta(hours=1))
    world.emulator.courier.flush()
    world.clock.advance(timedelta(hours=1))
    world.emulator.courier.flush()
    assert [delivery.status for delivery in world.emulator.deliveries] == [302, 204]
    world.sdk.v1.webhook_endpoints.delete(created.id)


def test_nobody_listens(world: World, receiver: Receiver) -> None:
    created = endpoint(world, receiver)
    receiver.close()
    world.customer()
    world.emulator.courier.flush()
    assert [delivery.status for delivery in world.emulator.deliveries] == [None]
    world.sdk.v1.webhook_endpoints.delete(created.id)
    world.clock.advance(timedelta(hours=1))
    world.emulator.courier.flush()
    assert len(world.emulator.deliveries) == 1


def test_deliveries_wait_while_paused_and_can_be_doubled(world: World, receiver: Receiver) -> None:
    endpoint(world, receiver)
    world.emulator.courier.pause()
    world.customer(name="A")
    world.customer(name="B")
    assert receiver.received == []
    [first, _] = world.emulator.objects(ACCOUNT, "event")
    world.emulator.resend(ACCOUNT, first["id"])
    world.emulator.courier.flush()
    assert [event["data"]["object"]["name"] for event in receiver.events] == ["A", "B", "A"]
    assert receiver.events[0]["id"] == receiver.events[2]["id"]
    world.customer(name="C")
    world.emulator.courier.resume()
    world.emulator.courier.flush()
    assert len(receiver.received) == 4


def test_deliveries_in_a_chosen_order(world: World, receiver: Receiver) -> None:
    endpoint(world, receiver)
    world.emulator.courier.pause()
    for name in "ABC":
        world.customer(name=name)
    first, _, third = (event["id"] for event in world.emulator.objects(ACCOUNT, "event"))
    world.emulator.courier.arrange([third, first])
    with pytest.raises(KeyError, match="evt_none"):
        world.emulator.courier.arrange(["evt_none"])
    world.emulator.courier.flush()
    assert [event["data"]["object"]["name"] for event in receiver.events] == ["C", "A", "B"]


def test_a_secret_that_is_rolled(world: World, receiver: Receiver) -> None:
    created = endpoint(world, receiver)
    old = there(created.secret)
    new = world.emulator.roll_secret(ACCOUNT, created.id, keep=timedelta(hours=1))
    world.customer()
    world.emulator.courier.flush()
    world.clock.advance(timedelta(hours=1))
    world.customer()
    world.emulator.courier.flush()
    newest = world.emulator.roll_secret(ACCOUNT, created.id, keep=timedelta(0))
    world.customer()
    world.emulator.courier.flush()
    assert [signature.count("v1=") for _, signature in receiver.received] == [2, 1, 1]
    for (body, signature), valid in zip(receiver.received, ({old, new}, {new}, {newest}), strict=True):
        for secret in (old, new, newest):
            if secret in valid:
                assert stripe.WebhookSignature.verify_header(body, signature, secret, tolerance=300)
            else:
                with pytest.raises(stripe.SignatureVerificationError):
                    stripe.WebhookSignature.verify_header(body, signature, secret, tolerance=300)
    assert "secrets" not in world.sdk.v1.webhook_endpoints.retrieve(created.id)


def test_catalogue_events_name_the_request(world: World, receiver: Receiver) -> None:
    price = world.sdk.v1.prices.retrieve(world.price())
    endpoint(world, receiver, "product.updated", "price.updated")
    product = world.sdk.v1.products.update(reference(price.product), {"name": "P"}, {"idempotency_key": "name"})
    world.sdk.v1.prices.update(price.id, {"active": False}, {"idempotency_key": "archive"})
    world.emulator.courier.flush()
    assert [(event["type"], event["request"]["idempotency_key"]) for event in receiver.events] == [
        ("product.updated", "name"),
        ("price.updated", "archive"),
    ]
    assert receiver.events[0]["request"]["id"] == there(product.last_response).request_id
    assert receiver.events[1]["data"]["previous_attributes"] == {"active": True}


def test_time_alone_sends_events_too(world: World, receiver: Receiver) -> None:
    schedule = world.schedule(world.phase("2028-01-01"), start_date=world.now + 3600)
    endpoint(world, receiver, "subscription_schedule.updated")
    world.clock.advance(timedelta(hours=1))
    world.emulator.courier.flush()
    [event] = receiver.events
    assert (event["data"]["object"]["id"], event["data"]["previous_attributes"]["status"]) == (schedule.id, "not_started")
    assert event["request"] == {"id": None, "idempotency_key": None}
