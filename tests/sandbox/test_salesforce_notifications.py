"""The events that the emulated org sends: of activations, of changed lines, of the catalogue and of accounts."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from sandbox.serving import Emulator, Request, Response, Server
from tests.sandbox.salesforce_org import VERSION, Catalogue, Client, activated, catalogue, draft, line, served

SECRET = "whsec_of_the_org"


class Receiver(Emulator):
    """Takes events in, answering the statuses it is given and then 202."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[Request] = []
        self.answers: list[int] = []
        self.open = threading.Event()
        self.open.set()

    def handle(self, request: Request) -> Response:
        self.open.wait(10)
        self.received.append(request)
        status = self.answers.pop(0) if self.answers else 202
        return Response(status, {"accepted": status == 202})

    def errors(self) -> Mapping[str, Response]:
        return {}

    def reset(self) -> None:
        self.received.clear()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.received]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def target(receiver: Receiver) -> Iterator[str]:
    with Server(receiver) as server:
        yield f"{server.url}/salesforce/events?stage=test"


def activate(org: Client, stock: Catalogue, **fields: Any) -> str:
    order, _ = activated(org.emulator, stock, **fields)
    org.emulator.flush()
    return order


def test_an_activation_is_told_with_its_contract_and_signed(
    org: Client, stock: Catalogue, receiver: Receiver, target: str
) -> None:
    org.emulator.notify(target, SECRET)
    contract = org.emulator.create("Contract", {"AccountId": stock.account})
    order = activate(org, stock, ContractId=contract)
    (request,) = receiver.received
    assert json.loads(request.body) == {
        "id": f"{order}-1795168800000",
        "type": "order.activated",
        "org_id": org.emulator.org_id,
        "record_id": order,
        "occurred_at": "2026-11-20T10:00:00Z",
        "data": {"contract_id": contract, "changed_by": org.emulator.person_id},
    }
    signature = hmac.new(SECRET.encode(), b"1795168800." + request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-orderphase-signature"] == f"t=1795168800,v1={signature}"
    assert (request.target, request.headers["content-type"]) == ("/salesforce/events?stage=test", "application/json")
    assert "x-api-key" not in request.headers


def test_an_api_key_may_stand_in_for_the_signature(org: Client, stock: Catalogue, receiver: Receiver, target: str) -> None:
    org.emulator.notify(target, SECRET, method="api_key")
    activate(org, stock)
    (request,) = receiver.received
    assert request.headers["x-api-key"] == SECRET
    assert "x-orderphase-signature" not in request.headers
    assert json.loads(request.body)["data"] == {"changed_by": org.emulator.person_id}


def test_every_activation_is_an_event_of_its_own(org: Client, stock: Catalogue, receiver: Receiver, target: str) -> None:
    org.emulator.notify(target, SECRET)
    order = activate(org, stock)
    org.emulator.update("Order", order, {"Status": "Activated"})
    org.emulator.update("Order", order, {"Status": "Draft"})
    org.emulator.clock.advance(timedelta(seconds=90))
    org.emulator.update("Order", order, {"Status": "Activated"})
    org.emulator.flush()
    assert [event["id"] for event in receiver.events()] == [f"{order}-1795168800000", f"{order}-1795168890000"]


def test_a_change_of_an_activated_orders_line_is_told_with_its_fields(
    org: Client, stock: Catalogue, receiver: Receiver, target: str
) -> None:
    contract = org.emulator.create("Contract", {"AccountId": stock.account})
    _, item = activated(org.emulator, stock, ContractId=contract)
    org.emulator.notify(target, SECRET)
    org.patch(f"/sobjects/OrderItem/{item}", {"quantity": 5, "UnitPrice": 90, "EndDate": "2027-06-01"})
    org.emulator.flush()
    assert receiver.events() == [
        {
            "id": f"{item}-1795168800000",
            "type": "order_item.updated",
            "org_id": org.emulator.org_id,
            "record_id": item,
            "occurred_at": "2026-11-20T10:00:00Z",
            "data": {
                "contract_id": contract,
                "changed_fields": ["Quantity", "EndDate"],
                "changed_by": org.emulator.integration_user_id,
            },
        }
    ]


def test_other_changes_of_lines_are_not_told(org: Client, stock: Catalogue, receiver: Receiver, target: str) -> None:
    org.emulator.notify(target, SECRET)
    order = draft(org.emulator, stock)
    item = org.emulator.create("OrderItem", line(stock, order))
    org.emulator.update("OrderItem", item, {"Quantity": 5})
    org.emulator.update("Order", order, {"Status": "Activated"})
    org.emulator.update("OrderItem", item, {"Quantity": 5})
    org.emulator.update("Order", order, {"Status": "Draft"})
    org.emulator.update("OrderItem", item, {"Quantity": 6})
    org.emulator.flush()
    assert [event["type"] for event in receiver.events()] == ["order.activated"]


def told(org: Client, receiver: Receiver) -> list[tuple[str, str, list[str]]]:
    """Type, record and changed fields of what was received since the last time."""
    org.emulator.flush()
    found = [(event["type"], event["record_id"], event["data"]["changed_fields"]) for event in receiver.events()]
    receiver.received.clear()
    return found


@pytest.mark.parametrize(
    "change",
    [
        {"Stripe_Discount_Percent_Off__c": 10},
        {"Stripe_Discount_Amount_Off__c": 1},
        {"Stripe_Price_Id__c": "price_1"},
        {"UnitPrice": 80},
    ],
)
def test_price_and_discount_of_an_activated_orders_line_are_told(
    org: Client, stock: Catalogue, receiver: Receiver, target: str, change: dict[str, Any]
) -> None:
    _, item = activated(org.emulator, stock)
    org.emulator.notify(target, SECRET)
    org.emulator.update("OrderItem", item, change)
    assert told(org, receiver) == [("order_item.updated", item, [*change])]


def test_the_catalogue_and_accounts_are_told_when_created_and_changed(org: Client, receiver: Receiver, target: str) -> None:
    org.emulator.notify(target, SECRET)
    stock = catalogue(org.emulator)
    assert told(org, receiver) == [
        ("product.upserted", stock.product, ["Name", "ProductCode", "IsActive"]),
        ("account.upserted", stock.account, ["Name"]),
        ("pricebook_entry.upserted", stock.entry, ["Pricebook2Id", "Product2Id", "UnitPrice", "IsActive"]),
    ]
    org.emulator.update("Account", stock.account, {"BillingCity": "Rome", "Name": "Acme"})
    org.emulator.update("PricebookEntry", stock.entry, {"UnitPrice": 120, "Stripe_Price_Id__c": "price_1"})
    # The entry's name follows; that is no event.
    org.emulator.update("Product2", stock.product, {"Name": "New"})
    assert told(org, receiver) == [
        ("account.upserted", stock.account, ["BillingCity"]),
        ("pricebook_entry.upserted", stock.entry, ["UnitPrice", "Stripe_Price_Id__c"]),
        ("product.upserted", stock.product, ["Name"]),
    ]
    org.emulator.update("Product2", stock.product, {"Name": "New", "IsActive": True})
    org.emulator.create("Contact", {"LastName": "Doe", "AccountId": stock.account})
    org.emulator.delete("PricebookEntry", stock.entry)
    org.emulator.delete("Product2", stock.product)
    other = org.emulator.create("Account", {"Name": "Other", "Phone": None})
    org.emulator.merge_accounts(stock.account, other)
    assert told(org, receiver) == [("account.upserted", other, ["Name"])]


def test_a_field_given_its_default_was_set(org: Client, receiver: Receiver, target: str) -> None:
    org.emulator.notify(target, SECRET)
    product = org.emulator.create("Product2", {"Name": "Widget", "IsActive": False})
    assert told(org, receiver) == [("product.upserted", product, ["Name", "IsActive"])]


def test_who_changed_it_is_told(org: Client, stock: Catalogue, receiver: Receiver, target: str) -> None:
    org.emulator.notify(target, SECRET)
    org.emulator.update("Product2", stock.product, {"Name": "By a person"})
    org.patch(f"/sobjects/Product2/{stock.product}", {"Name": "By the client"})
    org.emulator.flush()
    person, client = org.emulator.person_id, org.emulator.integration_user_id
    assert [event["data"]["changed_by"] for event in receiver.events()] == [person, client]
    assert org.emulator.record("Product2", stock.product)["LastModifiedById"] == client
    assert org.emulator.record("Product2", stock.product)["CreatedById"] == person
    users = {row["Id"] for row in org.emulator.query("SELECT Id FROM User")}
    assert users == {person, client}


def test_events_of_one_record_at_one_moment_have_ids_of_their_own(
    org: Client, stock: Catalogue, receiver: Receiver, target: str
) -> None:
    org.emulator.notify(target, SECRET)
    for name in ("A", "B", "C"):
        org.emulator.update("Product2", stock.product, {"Name": name})
    org.emulator.flush()
    ids = [event["id"] for event in receiver.events()]
    assert len(set(ids)) == 3


def test_stripes_mirror_is_told_with_stripes_id(receiver: Receiver, target: str) -> None:
    with served(stripe_package=True) as org:
        org.emulator.notify(target, SECRET)
        product = org.emulator.create("stripeGC__Product__c", {"Name": "Widget", "stripeGC__Stripe_Id__c": "prod_1"})
        price = org.emulator.create("stripeGC__Price__c", {"stripeGC__Stripe_Id__c": "price_1"})
        org.emulator.update("stripeGC__Price__c", price, {"stripeGC__Livemode__c": True})
        org.emulator.create("stripeGC__Stripe_Account__c", {"stripeGC__Stripe_Account_Id__c": "acct_1"})
        org.emulator.flush()
        found = [(event["type"], event["record_id"], event["data"]["stripe_id"]) for event in receiver.events()]
        assert found == [
            ("stripe_product.upserted", product, "prod_1"),
            ("stripe_price.upserted", price, "price_1"),
            ("stripe_price.upserted", price, "price_1"),
        ]
        assert receiver.events()[2]["data"]["changed_fields"] == ["stripeGC__Livemode__c"]


def test_copies_and_redelivery_send_the_same_event(org: Client, stock: Catalogue, receiver: Receiver, target: str) -> None:
    org.emulator.notify(target, SECRET, copies=3)
    order = activate(org, stock)
    org.emulator.redeliver(f"{order}-1795168800000")
    org.emulator.flush()
    assert receiver.events() == [receiver.events()[0]] * 4
    with pytest.raises(KeyError):
        org.emulator.redeliver("nothing")


def test_what_was_rolled_back_is_not_told(org: Client, stock: Catalogue, receiver: Receiver, target: str) -> None:
    org.emulator.notify(target, SECRET)
    order = draft(org.emulator, stock)
    org.emulator.create("OrderItem", line(stock, order))
    url = f"{VERSION}/sobjects/Order/{order}"
    parts = [
        {"method": "PATCH", "url": url, "referenceId": "activate", "body": {"Status": "Activated"}},
        {"method": "PATCH", "url": url, "referenceId": "wrong", "body": {"Nothing__c": 1}},
    ]
    org.post("/composite", {"allOrNone": True, "compositeRequest": parts})
    org.emulator.flush()
    assert (receiver.received, org.emulator.deliveries()) == ([], [])
    org.post("/composite", {"allOrNone": True, "compositeRequest": parts[:1]})
    org.emulator.flush()
    assert [event["record_id"] for event in receiver.events()] == [order]


def test_a_refused_event_is_sent_again_as_the_clock_moves(
    org: Client, stock: Catalogue, receiver: Receiver, target: str
) -> None:
    org.emulator.notify(target, SECRET)
    receiver.answers = [500, 503, 429, 401, 500, 202]
    activate(org, stock)
    (delivery,) = org.emulator.deliveries()
    for minutes, tried in ((14, 1), (1, 2), (29, 2), (1, 3), (60, 4), (120, 5), (10_000, 5)):
        org.emulator.clock.advance(timedelta(minutes=minutes))
        org.emulator.flush()
        assert len(delivery.attempts) == tried
    assert [attempt.status for attempt in delivery.attempts] == [500, 503, 429, 401, 500]
    assert delivery.attempts[0].answer == '{"accepted": false}'
    assert (delivery.delivered, delivery.next_attempt) == (False, None)
    moments = [request.headers["x-orderphase-signature"].partition(",")[0] for request in receiver.received]
    assert len(set(moments)) == 5


def test_a_receiver_that_is_not_there_is_tried_again(org: Client, stock: Catalogue, receiver: Receiver) -> None:
    with Server(receiver) as gone:
        pass
    org.emulator.notify(gone.url, SECRET)
    activate(org, stock)
    (delivery,) = org.emulator.deliveries()
    assert delivery.attempts[0].status is None
    assert "ConnectionRefusedError" in delivery.attempts[0].answer
    with Server(receiver, gone.port):
        org.emulator.clock.advance(timedelta(minutes=15))
        org.emulator.flush()
    assert delivery.delivered
    assert len(receiver.received) == 1


def test_flush_says_when_it_took_too_long(org: Client, stock: Catalogue, receiver: Receiver, target: str) -> None:
    org.emulator.notify(target, SECRET)
    receiver.open.clear()
    activated(org.emulator, stock)
    with pytest.raises(TimeoutError, match="1 notifications"):
        org.emulator.flush(timeout=0.01)
    receiver.open.set()
    org.emulator.flush()
    assert len(receiver.received) == 1


def test_notifications_are_set_up_and_seen_over_http(org: Client, stock: Catalogue, receiver: Receiver, target: str) -> None:
    assert org.get("/__emulator__/notifications").json() == []
    assert org.post("/__emulator__/notifications", {"url": target, "secret": SECRET, "copies": 2}).status_code == 200
    order = activate(org, stock)
    first, second = org.get("/__emulator__/notifications").json()
    assert (first["event"]["record_id"], first["delivered"], first["next_attempt"]) == (order, True, None)
    assert first["attempts"] == [{"at": "2026-11-20T10:00:00+00:00", "status": 202, "answer": '{"accepted": true}'}]
    assert second["event"] == first["event"]
    assert org.post("/__emulator__/notifications/redeliver", {"event_id": first["event"]["id"]}).status_code == 200
    org.emulator.flush()
    assert len(receiver.received) == 3
    org.emulator.reset()
    assert org.get("/__emulator__/notifications").json() == []


@pytest.mark.parametrize(
    "body",
    [
        {"url": "ftp://127.0.0.1/", "secret": SECRET},
        {"url": "http://127.0.0.1/", "secret": ""},
        {"url": "http://127.0.0.1/", "secret": SECRET, "method": "basic"},
        {"url": "http://127.0.0.1/", "secret": SECRET, "copies": 0},
        {"url": "http://127.0.0.1/"},
        {"url": "http://127.0.0.1/", "secret": SECRET, "times": 2},
    ],
)
def test_a_target_that_cannot_work_is_refused(org: Client, body: dict[str, Any]) -> None:
    answer = org.post("/__emulator__/notifications", body)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_redelivering_an_unknown_event_is_refused(org: Client) -> None:
    answer = org.post("/__emulator__/notifications/redeliver", {"event_id": "nothing"})
    assert (answer.status_code, "nothing" in answer.json()["error"]) == (400, True)


def test_without_a_target_nothing_is_sent(org: Client, stock: Catalogue) -> None:
    activate(org, stock)
    assert org.emulator.deliveries() == []
