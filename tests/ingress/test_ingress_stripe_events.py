"""The message that an event from Stripe becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orderphase.ingress.documents import EventError
from orderphase.ingress.events import KNOWN_TYPES
from orderphase.ingress.stripe_events import OWN_KEYS, STRIPE_TYPES, StripeEvent
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


def test_what_we_cause_is_recognised_by_what_we_send() -> None:
    assert client.own_key("x").startswith(OWN_KEYS)
