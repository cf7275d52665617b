"""The message that an event from Stripe becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

import pytest
from stripe.params import WebhookEndpointCreateParams

from orderphase.ingress.documents import EventError
from orderphase.ingress.events import KNOWN_TYPES
from orderphase.ingress.stripe_events import DRIFT_TYPES, HEARD_TYPES, OWN_KEYS, STRIPE_TYPES, SWITCHES, StripeEvent
from orderphase.stripe import client

EVENT = {
    "id": "evt_1",
    "type": "price.updated",
    "account": "default",
    "object_id": "price_1",
    "product_id": "größer",
    "created": 1_795_168_800,
}


def test_it_is_read_as_it_was_written() -> None:
    event = StripeEvent.of(EVENT | {"more": 1})
    assert event.to_json().isascii()
    assert json.loads(event.to_json()) == EVENT
    assert StripeEvent.of(json.loads(event.to_json())) == event
    with pytest.raises(ValueError, match="frozen"):
        setattr(event, "account", "other")  # noqa: B010 (mypy would not let it be assigned)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        *(({name: None}, f"{name}: is not ") for name in EVENT),
        ({"type": "price.renamed"}, "type: is not a type of event that has a flow"),
        ({"account": "Default"}, "account: is not a name for a Stripe account"),
        ({"type": "product.updated"}, "product_id: is not the id of the product that the event is about"),
    ],
)
def test_each_fault_is_named(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(EventError) as refusal:
        StripeEvent.of(EVENT | changes)
    assert refusal.value.message.startswith(fault)


@pytest.mark.parametrize("document", [[], "text", None])
def test_it_is_an_object(document: Any) -> None:
    with pytest.raises(EventError, match="body: is not a JSON object"):
        StripeEvent.of(document)


def test_a_type_tells_who_has_sent_an_event() -> None:
    assert not STRIPE_TYPES & KNOWN_TYPES


def test_what_an_endpoint_is_to_send_has_a_flow_and_is_what_stripe_sends() -> None:
    assert set(HEARD_TYPES) == set(SWITCHES) == STRIPE_TYPES | set(DRIFT_TYPES)
    assert len(HEARD_TYPES) == len(set(HEARD_TYPES))
    # The SDK lists every type that an endpoint can be sent.
    names = {"StripeContext": object, "Mapping": Mapping}
    (listed,) = get_args(get_type_hints(WebhookEndpointCreateParams, localns=names)["enabled_events"])
    assert set(HEARD_TYPES) <= set(get_args(listed))


def test_what_each_renewal_tells_is_not_heard() -> None:
    """An edit of a subscription under a schedule changes the schedule, and that is heard."""
    assert "customer.subscription.updated" not in HEARD_TYPES
    assert {"subscription_schedule.updated", "customer.subscription.deleted"} <= set(HEARD_TYPES)


def test_what_we_cause_is_recognised_by_what_we_send() -> None:
    assert client.own_key("x").startswith(OWN_KEYS)
