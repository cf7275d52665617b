"""The ways in beside the signed event: Outbound Messages, the event buses, and what Stripe tells of schedules.

On the stack that has partner event sources. The org posts no JSON meanwhile, so that nothing else brings an event.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import requests

from orderphase.ingress.outbound_messages import MAX_BODY_BYTES
from sandbox.stack import STRIPE_ACCOUNT, LocalStack
from tests.stack.company import DEADLINE, Company, until
from tests.stack.full_run import NOWHERE, SALESFORCE_SOURCE, STRIPE_SOURCE


@pytest.fixture
def silent(second_company: Company) -> Iterator[Company]:
    """A company whose org posts no events."""
    stack = second_company.stack
    second_company.salesforce.notify(NOWHERE, "nobody listens")
    yield second_company
    second_company.salesforce.flush(DEADLINE)
    second_company.salesforce.send_outbound_messages(NOWHERE)
    second_company.salesforce.notify(f"{stack.url}/salesforce/events", stack.webhook_secret)


def deliver(stack: LocalStack, envelope: dict[str, Any]) -> None:
    """Queue an event as its bus's rule does. AWS: nobody but a partner puts events of an `aws.partner` source on a bus."""
    queue = stack.outputs["EventBusQueueUrl"]
    stack.aws("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(envelope | {"id": str(uuid4())}))


def relay(company: Company, record_id: str) -> None:
    """Deliver the changes of a record, the latest last, as AppFlow tells them."""
    for envelope in company.salesforce.change_events(SALESFORCE_SOURCE):
        payload = envelope["detail"]["payload"]
        if payload["ChangeEventHeader"]["recordIds"] == [record_id]:
            deliver(company.stack, envelope | {"detail": payload})


def from_stripe(company: Company, event: dict[str, Any]) -> None:
    """Deliver an event of Stripe's."""
    around = {"version": "0", "detail-type": event["type"], "source": STRIPE_SOURCE, "account": "000000000000"}
    deliver(company.stack, {**around, "time": "2026-11-20T10:00:00Z", "region": "us-east-1", "resources": [], "detail": event})


def runs(company: Company, contract: str, flow: str) -> list[str]:
    """The outcomes of a flow's runs for a contract."""
    return [outcome for name, outcome in company.flows(contract) if name == flow]


def test_an_outbound_message_activates_an_order(silent: Company) -> None:
    silent.salesforce.send_outbound_messages(silent.stack.outbound_messages_url)
    order = silent.sell(silent.account(), silent.entry())
    record = silent.synced(order)
    assert record["Stripe_Sync_Status__c"] == "Synced"
    (schedule,) = silent.schedules(record["ContractId"])
    assert record["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]
    delivery = next(each for each in silent.salesforce.deliveries() if each.event["record_id"] == order and each.notification)
    assert delivery.delivered
    # Sent again, it is acknowledged, and starts no run.
    silent.salesforce.flush(DEADLINE)
    before = silent.flows(record["ContractId"])
    body = silent.salesforce._notifications._body([delivery])
    answer = requests.post(silent.stack.outbound_messages_url, body, headers={"Content-Type": "text/xml"}, timeout=60)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
    assert "<Ack>true</Ack>" in answer.text
    silent.stack.settle(DEADLINE)
    assert silent.flows(record["ContractId"]) == before


@pytest.mark.parametrize("body", [b"", b"{}", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>".encode("utf-16")])
def test_the_deployed_route_refuses_strangers_and_acknowledges_no_nonsense(second_stack: LocalStack, body: bytes) -> None:
    url = second_stack.outbound_messages_url
    answer = requests.post(url, body, timeout=60)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
    assert "<Ack>false</Ack>" in answer.text
    refused = requests.post(f"{url}x", body, timeout=60)
    assert (refused.status_code, refused.json()) == (401, {"accepted": False, "reason": "the sender could not be verified"})
    large = requests.post(url, body + b" " * (MAX_BODY_BYTES + 1), timeout=60)
    assert large.status_code == 413


def test_a_change_event_activates_an_order_and_another_changes_its_line(silent: Company) -> None:
    order = silent.sell(silent.account(), silent.entry())
    relay(silent, order)
    record = silent.synced(order)
    assert record["Stripe_Sync_Status__c"] == "Synced"
    contract = record["ContractId"]
    (schedule,) = silent.schedules(contract)
    assert [item["quantity"] for item in schedule["phases"][0]["items"]] == [1]
    assert runs(silent, contract, "order_activation") == ["synced"]
    (line,) = silent.lines_of(order)
    silent.salesforce.update("OrderItem", line, {"Quantity": 3})
    relay(silent, line)
    until(lambda: runs(silent, contract, "order_item_update"), "the run for the line")
    silent.stack.settle(DEADLINE)
    (changed,) = silent.schedules(contract)
    assert changed["id"] == schedule["id"]
    assert [item["quantity"] for item in changed["phases"][-1]["items"]] == [3]
    # The bus delivers at least once.
    relay(silent, order)
    relay(silent, line)
    silent.stack.settle(DEADLINE)
    assert runs(silent, contract, "order_activation") == ["synced"]
    assert len(runs(silent, contract, "order_item_update")) == 1


def test_what_stripe_tells_of_a_schedule_has_its_contract_looked_at(second_company: Company) -> None:
    company = second_company
    order = company.sell(company.account(), company.entry())
    contract = company.synced(order)["ContractId"]
    (schedule,) = company.schedules(contract)
    assert runs(company, contract, "reconciliation") == []
    # By the webhook.
    company.api.subscription_schedules.update(schedule["id"], {"metadata": {"note": "looked at"}})
    until(lambda: len(runs(company, contract, "reconciliation")) == 1, "the run for what the webhook told")
    company.stack.settle(DEADLINE)
    # By the bus.
    told = company.stripe.objects(STRIPE_ACCOUNT, "event")
    event = next(one for one in reversed(told) if one["data"]["object"]["id"] == schedule["id"])
    from_stripe(company, event | {"id": f"evt_{uuid4().hex}"})
    until(lambda: len(runs(company, contract, "reconciliation")) == 2, "the run for what the bus told")
    # What came by the webhook comes by the bus as well.
    from_stripe(company, event)
    company.stack.settle(DEADLINE)
    assert len(runs(company, contract, "reconciliation")) == 2
