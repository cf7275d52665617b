"""The Outbound Messages that the emulated org sends, and its change events: as the product reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from orderphase.ingress import change_events, outbound_messages
from orderphase.ingress.events import SalesforceEvent
from sandbox.salesforce_emulator import SalesforceEmulator
from sandbox.serving import Emulator, Request, Response, Server
from tests.sandbox.salesforce_org import NOW, Catalogue, Client, activated, catalogue, served

SOURCE = "aws.partner/salesforce.com/00D000000000001EAA/0YL000000000001AAA"
PATH = "/salesforce/outbound-messages/unguessable"


class Receiver(Emulator):
    """Takes messages in, answering what it is given and then Ack true."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[Request] = []
        self.answers: list[tuple[int, str]] = []
        self.gate: list[Any] = []

    def handle(self, request: Request) -> Response:
        if self.gate:
            self.gate.pop()()
        self.received.append(request)
        status, ack = self.answers.pop(0) if self.answers else (200, "true")
        return Response(status, outbound_messages._acknowledgement("true" if ack == "true" else "false").encode())

    def errors(self) -> Mapping[str, Response]:
        return {}

    def reset(self) -> None:
        self.received.clear()

    def events(self, org_id: str) -> list[list[SalesforceEvent]]:
        """What the product makes of each message."""
        found = []
        for request in self.received:
            message = outbound_messages.read(request.body)
            assert message.org_id == org_id
            events = [outbound_messages.event_of(each, org_id, NOW) for each in message.notifications]
            found.append([event for event in events if isinstance(event, SalesforceEvent)])
            assert len(found[-1]) == len(events)
        return found


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def target(receiver: Receiver) -> Iterator[str]:
    with Server(receiver) as server:
        yield f"{server.url}{PATH}"


def test_an_activation_is_told_with_its_contract(org: Client, stock: Catalogue, receiver: Receiver, target: str) -> None:
    org.emulator.send_outbound_messages(target)
    contract = org.emulator.create("Contract", {"AccountId": stock.account})
    order, _ = activated(org.emulator, stock, ContractId=contract)
    org.emulator.flush()
    (request,) = receiver.received
    assert (request.target, request.headers["content-type"]) == (PATH, "text/xml; charset=utf-8")
    [[event]] = receiver.events(org.emulator.org_id)
    assert (event.type, event.record_id, event.data.contract_id) == ("order.activated", order, contract)
    assert re.fullmatch("notification-04l[A-Za-z0-9]{15}", event.id)
    (delivery,) = org.emulator.deliveries()
    assert delivery.delivered


def test_everything_that_is_told_has_its_object(org: Client, receiver: Receiver, target: str) -> None:
    org.emulator.send_outbound_messages(target)
    stock = catalogue(org.emulator)
    order, item = activated(org.emulator, stock)
    org.emulator.update("OrderItem", item, {"Quantity": 5})
    org.emulator.flush()
    told = [(event.type, event.record_id) for events in receiver.events(org.emulator.org_id) for event in events]
    assert told == [
        ("product.upserted", stock.product),
        ("account.upserted", stock.account),
        ("pricebook_entry.upserted", stock.entry),
        ("order.activated", order),
        ("order_item.updated", item),
    ]


def test_stripes_mirror_is_not_told(receiver: Receiver, target: str) -> None:
    with served(stripe_package=True) as org:
        org.emulator.send_outbound_messages(target)
        org.emulator.create("stripeGC__Product__c", {"Name": "Widget", "stripeGC__Stripe_Id__c": "prod_1"})
        org.emulator.flush()
        assert (receiver.received, org.emulator.deliveries(), org.emulator.change_events(SOURCE)) == ([], [], [])


def test_what_waits_goes_along_up_to_a_hundred(org: Client, receiver: Receiver, target: str) -> None:
    org.emulator.send_outbound_messages(target)

    def meanwhile() -> None:
        for n in range(101):
            org.emulator.create("Account", {"Name": f"Account {n}"})

    receiver.gate.append(meanwhile)
    org.emulator.create("Account", {"Name": "First"})
    org.emulator.flush()
    assert [len(events) for events in receiver.events(org.emulator.org_id)] == [1, 100, 1]
    ids = [event.id for events in receiver.events(org.emulator.org_id) for event in events]
    assert len(set(ids)) == 102


def test_json_events_go_their_own_way(org: Client, receiver: Receiver, target: str) -> None:
    org.emulator.send_outbound_messages(target)
    org.emulator.notify(target, "whsec")
    for name in ("A", "B"):
        org.emulator.create("Account", {"Name": name})
    org.emulator.flush()
    kinds = [request.headers["content-type"].partition(";")[0] for request in receiver.received]
    assert kinds.count("application/json") == 2
    assert set(kinds) == {"application/json", "text/xml"}


@pytest.mark.parametrize("answer", [(200, "false"), (401, "true"), (503, "false"), (202, "nothing")])
def test_what_is_not_acknowledged_is_sent_again_with_its_id(
    org: Client, receiver: Receiver, target: str, answer: tuple[int, str]
) -> None:
    org.emulator.send_outbound_messages(target)
    receiver.answers = [answer, answer]
    org.emulator.create("Account", {"Name": "A"})
    org.emulator.flush()
    (delivery,) = org.emulator.deliveries()
    for seconds, tried in ((59, 1), (1, 2), (119, 2), (1, 3), (10**6, 3)):
        org.emulator.clock.advance(timedelta(seconds=seconds))
        org.emulator.flush()
        assert len(delivery.attempts) == tried
    assert (delivery.delivered, delivery.next_attempt) == (True, None)
    first, *others = receiver.events(org.emulator.org_id)
    assert [[event.id for event in events] for events in others] == [[event.id for event in first]] * 2


def test_it_is_dropped_after_a_day(org: Client, receiver: Receiver, target: str) -> None:
    org.emulator.send_outbound_messages(target)
    receiver.answers = [(200, "false")] * 100
    org.emulator.create("Account", {"Name": "A"})
    org.emulator.flush()
    (delivery,) = org.emulator.deliveries()
    while (due := delivery.next_attempt) is not None:
        org.emulator.clock.advance(due - org.emulator.clock.now())
        org.emulator.flush()
    waits = [later.at - earlier.at for earlier, later in zip(delivery.attempts, delivery.attempts[1:], strict=False)]
    assert max(waits) == timedelta(hours=2)
    assert timedelta(hours=20) < sum(waits, timedelta()) <= timedelta(hours=24)


def test_a_message_is_sent_again_by_hand_as_it_was(org: Client, receiver: Receiver, target: str) -> None:
    org.emulator.send_outbound_messages(target)
    org.emulator.create("Account", {"Name": "A"})
    org.emulator.flush()
    org.emulator.redeliver(org.emulator.deliveries()[0].event["id"])
    org.emulator.flush()
    first, second = receiver.received
    assert first.body == second.body


def test_a_target_that_cannot_work_is_refused(org: Client) -> None:
    with pytest.raises(ValueError, match="is no http address"):
        org.emulator.send_outbound_messages("ftp://127.0.0.1/")


# Change events


def told(emulator: SalesforceEmulator, *, ignore_own: bool = True) -> list[tuple[str, SalesforceEvent | str]]:
    """What the product makes of each change event, beside its detail type."""
    found: list[tuple[str, SalesforceEvent | str]] = []
    for envelope in emulator.change_events(SOURCE):
        assert json.loads(json.dumps(envelope)) == envelope
        assert envelope["source"] == SOURCE
        read = change_events.read(envelope["detail"], org_id=emulator.org_id, ignore_own=ignore_own)
        found.append((envelope["detail-type"], read.events[0] if read.events else read.note))
    return found


def test_each_happening_is_a_change_event(org: Client) -> None:
    stock = catalogue(org.emulator)
    order, item = activated(org.emulator, stock)
    org.emulator.update("OrderItem", item, {"Quantity": 5, "UnitPrice": 80})
    kinds = [(kind, event.type, event.record_id) for kind, event in told(org.emulator) if isinstance(event, SalesforceEvent)]
    assert kinds == [
        ("Product2ChangeEvent", "product.upserted", stock.product),
        ("AccountChangeEvent", "account.upserted", stock.account),
        ("PricebookEntryChangeEvent", "pricebook_entry.upserted", stock.entry),
        ("OrderChangeEvent", "order.activated", order),
        ("OrderItemChangeEvent", "order_item.updated", item),
    ]
    *_, (_, activation), (_, edit) = told(org.emulator)
    assert isinstance(activation, SalesforceEvent)
    assert isinstance(edit, SalesforceEvent)
    person = org.emulator.person_id
    assert activation.data.model_dump(exclude_unset=True) == {"changed_fields": ["Status"], "changed_by": person}
    assert edit.data.model_dump(exclude_unset=True) == {"changed_fields": ["Quantity", "UnitPrice"], "changed_by": person}
    assert edit.occurred_at == NOW
    assert len({event.id for _, event in told(org.emulator) if isinstance(event, SalesforceEvent)}) == 5
    org.emulator.reset()
    assert told(org.emulator) == []


def test_a_change_says_which_client_has_made_it(org: Client) -> None:
    account = org.emulator.create("Account", {"Name": "By Python"})
    org.patch(f"/sobjects/Account/{account}", {"Name": "By another client"})
    org.patch(f"/sobjects/Account/{account}", {"Name": "By us"}, headers={"Sforce-Call-Options": "client=orderphase"})
    origins = [each["detail"]["payload"]["ChangeEventHeader"]["changeOrigin"] for each in org.emulator.change_events(SOURCE)]
    assert origins == ["", "com/salesforce/api/rest/67.0", "com/salesforce/api/rest/67.0;client=orderphase"]
    assert [event if isinstance(event, str) else event.type for _, event in told(org.emulator)] == [
        "account.upserted", "account.upserted", "we have caused it ourselves",
    ]  # fmt: skip
