"""What comes by EventBridge, with fakes behind it: what is believed, what reaches the queues, and what fails."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderphase.errors import ConfigurationError, ConflictError, OrderphaseError, TransientError
from orderphase.ingress.documents import EventError
from orderphase.ingress.event_bus import NEEDED_SECONDS, THIN, Bus, Taken, take
from orderphase.ingress.events import CONTRACT_RECONCILE, SalesforceEvent
from orderphase.ingress.routes import Event, Intake, Outcome
from orderphase.ingress.stripe_events import STRIPE_TYPES, StripeEvent
from orderphase.settings import StripeCredentials
from tests.ingress.fakes import Once, Queues, Secrets
from tests.ingress.salesforce_messages import APPFLOW, CONTRACT, ORDER, ORG, RELAY, change, envelope

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
STRIPE = "aws.partner/stripe.com/ed_61UbK3mPq9"
FROM_SALESFORCE = (
    "order.activated", "order_item.updated", "product.upserted", "pricebook_entry.upserted", "account.upserted",
)  # fmt: skip
SWITCHES = {kind: f"switch of {kind}" for kind in (*FROM_SALESFORCE, *STRIPE_TYPES, CONTRACT_RECONCILE.name)}
PRODUCT: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "type": "product.updated",
    "created": 1795168800,
    "livemode": False,
    "request": None,
    "data": {"object": {"id": "prod_1", "object": "product"}},
}
SCHEDULE = PRODUCT | {
    "type": "subscription_schedule.canceled",
    "data": {
        "object": {
            "id": "sub_sched_1",
            "object": "subscription_schedule",
            "metadata": {"salesforce_org_id": ORG, "salesforce_contract_id": CONTRACT},
        }
    },
}


class World:
    """A bus with its fakes."""

    def __init__(
        self,
        *,
        salesforce: str | None = RELAY,
        stripe: str | None = STRIPE,
        ignore_own: bool = True,
        queues: Queues | None = None,
        error: OrderphaseError | None = None,
    ) -> None:
        self.queues = queues or Queues(*SWITCHES)
        self.rewound: list[datetime] = []
        self.error = error
        held = {"STRIPE_API_KEY": "sk_1", "STRIPE_ACCOUNT_ID": ""}
        connected = held | {"STRIPE_ACCOUNT_ID": "acct_eu"}
        self.accounts = {
            name: Secrets(StripeCredentials.from_secret(name, json.dumps(secret)))
            for name, secret in (("default", held), ("eu", connected))
        }
        self.bus = Bus(
            salesforce_source=salesforce,
            org_id=lambda: ORG,
            stripe_source=stripe,
            account="default",
            accounts=self.accounts,
            ignore_own=ignore_own,
            salesforce=Intake(self.queues, SWITCHES, Once()),
            stripe=Intake(self.queues, SWITCHES, Once()),
            rewind=self._rewind,
        )

    def _rewind(self, to: datetime) -> None:
        if self.error:
            raise self.error
        self.rewound.append(to)

    def take(self, document: Any) -> Taken:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return take(body, "message-1", bus=self.bus, now=NOW)

    def refused(self, document: Any) -> str:
        with pytest.raises(EventError) as refusal:
            self.take(document)
        assert self.sent() == []
        return refusal.value.message

    def sent(self) -> list[Event]:
        assert all(correlation_id == "message-1" for _, correlation_id in self.queues.sent)
        return [event for event, _ in self.queues.sent]


def from_stripe(detail: Any) -> dict[str, Any]:
    return envelope(detail, STRIPE, "whatever")


@pytest.mark.parametrize(
    ("source", "detail"), [(RELAY, change()), (APPFLOW, change()["payload"])], ids=["Event Relay", "AppFlow"]
)
def test_a_change_in_salesforce_is_queued(source: str, detail: Any) -> None:
    world = World(salesforce=source)
    taken = world.take(envelope(detail, source))
    assert (taken.outcome, taken.note) == (Outcome.ACCEPTED, "queued")
    assert taken.about == {
        "bus_event_id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "event_type": "order.activated", "record_ids": [ORDER],
    }  # fmt: skip
    [event] = world.sent()
    assert (event.type, event.record_id, event.sender, world.rewound) == ("order.activated", ORDER, ORG, [])


def test_a_change_in_stripe_is_queued() -> None:
    world = World()
    taken = world.take(from_stripe(PRODUCT))
    assert (taken.outcome, taken.note) == (Outcome.ACCEPTED, "queued")
    assert {"event_id": "evt_1", "event_type": "product.updated", "record_ids": ["prod_1"]}.items() <= taken.about.items()
    [event] = world.sent()
    assert isinstance(event, StripeEvent)
    assert (event.id, event.type, event.account, event.object_id) == ("evt_1", "product.updated", "default", "prod_1")


def test_a_schedule_that_somebody_has_ended_has_its_contract_looked_at() -> None:
    world = World()
    assert world.take(from_stripe(SCHEDULE)).about["event_type"] == "subscription_schedule.canceled"
    [event] = world.sent()
    assert isinstance(event, SalesforceEvent)
    assert (event.id, event.type, event.record_id) == ("evt_1", "contract.reconcile", CONTRACT)


def test_what_comes_again_is_queued_once() -> None:
    world = World()
    for document in (envelope(change()), from_stripe(PRODUCT), from_stripe(SCHEDULE | {"id": "evt_2"})):
        # EventBridge has another id for what the partner sends again.
        outcomes = [world.take(document | {"id": str(n)}).outcome for n in range(3)]
        assert outcomes == [Outcome.ACCEPTED, Outcome.REPLAYED, Outcome.REPLAYED]
    assert len(world.sent()) == 3


@pytest.mark.parametrize(
    ("detail", "note"),
    [
        (PRODUCT | {"type": "plan.updated"}, "the type is not known"),
        (PRODUCT | {"account": "acct_xx"}, "it happened in an account that is none of ours"),
        (PRODUCT | {"request": {"id": "req_1", "idempotency_key": "orderphase:x"}}, "we have caused it ourselves"),
        (
            SCHEDULE | {"data": {"object": SCHEDULE["data"]["object"] | {"metadata": {}}}},
            "its metadata names no contract of an org",
        ),
        (
            {"id": "evt_test_65U", "object": THIN, "type": "v1.product.activated", "related_object": {"id": "prod_1"}},
            "it is a thin event; have the destination send snapshot payloads",
        ),
    ],
)
def test_events_of_stripe_that_nobody_is_to_hear_of_are_ignored(detail: dict[str, Any], note: str) -> None:
    world = World()
    taken = world.take(from_stripe(detail))
    assert (taken.outcome, taken.note) == (Outcome.IGNORED, note)
    assert world.sent() == []


@pytest.mark.parametrize(
    ("detail", "note"),
    [
        (change(entityName="Contract"), "the object has no flow"),
        (change(changeType="CREATE", changedFields=...), "nothing follows from such a change of the object"),
        (
            change(changeOrigin="com/salesforce/api/rest/66.0;client=orderphase", changedFields=["Stripe_Synced_At__c"]),
            "we have caused it ourselves",
        ),
    ],
)
def test_changes_that_nothing_follows_from_are_ignored(detail: dict[str, Any], note: str) -> None:
    world = World()
    assert world.take(envelope(detail)) == Taken(
        Outcome.IGNORED, note, {"bus_event_id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718"}
    )
    assert (world.sent(), world.rewound) == ([], [])


def test_what_happened_in_a_connected_account_is_that_accounts() -> None:
    world = World()
    world.take(from_stripe(PRODUCT | {"account": "acct_eu"}))
    [event] = world.sent()
    assert isinstance(event, StripeEvent)
    assert event.account == "eu"


@pytest.mark.parametrize("document", [envelope(change()), from_stripe(PRODUCT)])
def test_a_flow_that_is_off_is_named(document: dict[str, Any]) -> None:
    taken = World(queues=Queues()).take(document)
    assert taken.outcome == Outcome.IGNORED
    assert taken.note.startswith("the flow is switched off; set the template's parameter switch of ")


def test_the_poll_looks_for_what_was_too_much_to_be_told() -> None:
    world = World()
    taken = world.take(envelope(change(changeType="GAP_OVERFLOW", recordIds=["000000000000000AAA"])))
    assert (taken.outcome, taken.note) == (Outcome.IGNORED, "not all records are named; the poll, if it is on, looks again")
    assert (world.sent(), world.rewound) == ([], [NOW - timedelta(minutes=10)])
    taken = world.take(envelope(change(recordIds=["801*", ORDER])))
    assert (taken.outcome, taken.note) == (Outcome.ACCEPTED, "not all records are named; the poll, if it is on, looks again")
    assert (len(world.sent()), len(world.rewound)) == (1, 2)


def test_where_the_poll_cannot_be_told_the_event_comes_again() -> None:
    world = World(error=ConflictError("another run was faster"))
    document = envelope(change(recordIds=["801*", ORDER]))
    with pytest.raises(ConflictError):
        world.take(document)
    world.error = None
    world.take(document)
    assert (len(world.sent()), len(world.rewound)) == (1, 1)


def test_an_event_of_many_records_gets_further_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What there is no time for is left to the next delivery, with enough of it for each record."""
    ids = [f"80100000000000{n}" for n in range(5)]
    document = envelope(change(recordIds=ids))
    world, clock = World(), iter([7.0, NEEDED_SECONDS, 5.9])
    monkeypatch.setattr("orderphase.ingress.event_bus.deadline.left", lambda: next(clock))
    with pytest.raises(TransientError, match="there was time for 2 of 5 events; the others follow"):
        world.take(document)
    assert [event.record_id[:15] for event in world.sent()] == ids[:2]
    monkeypatch.setattr("orderphase.ingress.event_bus.deadline.left", lambda: math.inf)
    assert world.take(document).outcome == Outcome.ACCEPTED
    assert [event.record_id[:15] for event in world.sent()] == ids


# Whom it believes


STRANGERS: dict[str, Callable[[World], dict[str, Any]]] = {
    "another source": lambda world: envelope(change(), "orderphase.test"),
    "another org's relay": lambda world: envelope(change(), RELAY.replace(ORG, "00D000000000001EAA")),
    "another channel": lambda world: envelope(change(), f"{RELAY[:-3]}AAA"),
    "another destination": lambda world: envelope(PRODUCT, f"{STRIPE}x"),
    "an empty source": lambda world: envelope(change(), ""),
}


@pytest.mark.parametrize("document", STRANGERS.values(), ids=STRANGERS)
def test_what_comes_from_elsewhere_is_refused(document: Callable[[World], dict[str, Any]]) -> None:
    world = World()
    assert world.refused(document(world)).startswith("source: is ")


def test_each_source_tells_its_own() -> None:
    assert World().refused(envelope(PRODUCT, RELAY)) == "detail: has no ChangeEventHeader"
    assert World().refused(envelope(change(), STRIPE)).startswith("id: is not the id of an event")


def test_without_a_source_nobody_is_believed() -> None:
    for document in (envelope(change()), from_stripe(PRODUCT), envelope(change(), "")):
        assert World(salesforce=None, stripe=None).refused(document).startswith("source: is ")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "body: is not JSON"),
        (b"[]", "body: is not a JSON object"),
        (b'{"id": 1, "id": 2}', "body: is not JSON: an object has the same key twice"),
        (envelope(change()) | {"id": None}, "id: is not text"),
        (envelope(change()) | {"source": None}, "source: is not text"),
        (envelope(None), "detail: is not an object or table"),
        (envelope([]), "detail: is not an object or table"),
        (envelope({}), "detail: has no ChangeEventHeader"),
        (envelope(change(changeType="MERGE")), "changeType: is none of CREATE"),
        (from_stripe({}), "id: is missing"),
        (from_stripe(PRODUCT | {"created": "now"}), "created: is not a whole number"),
    ],
)
def test_what_is_no_event_is_refused(body: Any, reason: str) -> None:
    assert World().refused(body).startswith(reason)


@pytest.mark.parametrize("error", [TransientError("SQS is away"), ConfigurationError("AWS refused")])
def test_what_fails_on_our_side_comes_again(error: OrderphaseError) -> None:
    queues = Queues(*SWITCHES, error=error)
    world = World(queues=queues)
    for document in (envelope(change()), from_stripe(PRODUCT)):
        queues.error = error
        with pytest.raises(type(error)):
            world.take(document)
        queues.error = None
        assert world.take(document).outcome == Outcome.ACCEPTED


def test_whose_it_is_cannot_be_told_while_a_secret_cannot_be_read() -> None:
    world = World()
    world.accounts["default"].error = TransientError("away")
    with pytest.raises(TransientError):
        world.take(from_stripe(PRODUCT))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([ORDER, RELAY, STRIPE, *STRIPE_TYPES]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(list(PRODUCT)), inner, max_size=4),
    max_leaves=8,
)
DETAILS = (
    st.dictionaries(st.sampled_from(list(PRODUCT)), JSON).map(lambda changes: PRODUCT | changes)
    | st.dictionaries(st.sampled_from(list(change()["payload"]["ChangeEventHeader"])), JSON).map(lambda given: change(**given))
    | JSON
)


@given(st.builds(envelope, DETAILS, st.sampled_from([RELAY, STRIPE]) | st.text()) | JSON)
def test_any_document_is_taken_or_refused(document: Any) -> None:
    world = World()
    try:
        taken = world.take(document)
    except EventError:
        assert world.sent() == []
        return
    assert bool(world.sent()) == (taken.outcome == Outcome.ACCEPTED)
    assert taken.note


@given(st.binary())
def test_any_bytes_are_taken_or_refused(body: bytes) -> None:
    World().refused(body)
