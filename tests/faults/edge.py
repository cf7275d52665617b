"""What comes in: each event is in its flow's queue once in the end, however often its sender has to send it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from orderphase.ingress.signature import sign
from tests.faults.scenarios import Arrival, Case, Message, Request, Scenario
from tests.faults.stage import OUTBOUND_TOKEN, STRIPE_WEBHOOK_SECRET, WEBHOOK_SECRET, WORKERS, Stage, flow_queue, sample
from tests.flows.world import ORG
from tests.ingress.salesforce_messages import change, envelope, message, notification, order

RELAY = f"aws.partner/salesforce.com/{ORG}/0YL000000000001AAA"
DESTINATION = "aws.partner/stripe.com/ed_1"
AT_ONCE = timedelta(seconds=1)
ORDER, LINE, CONTRACT = "801000000000001AAA", "802000000000001AAA", "800000000000001AAA"
_BUSES = {"ORDERPHASE_SALESFORCE_EVENT_SOURCE": RELAY, "ORDERPHASE_STRIPE_EVENT_SOURCE": DESTINATION}


def _queued(*messages: str) -> Callable[[Stage, Arrival], Case]:
    """The case whose arrival puts these into queues, by the name of the flow, and nothing else."""

    def case(here: Stage, arrival: Arrival) -> Case:
        here.open_queues(*map(flow_queue, WORKERS))

        def left() -> list[str]:
            found = [flow for flow in WORKERS for _ in here.waiting(flow_queue(flow))]
            assert found == sorted(messages, key=WORKERS.index), f"queued: {found}"
            return found

        return Case(arrival, left, logged=False)

    return case


def _proxied(name: str, headers: Mapping[str, str], body: bytes, **changes: Any) -> dict[str, Any]:
    text = {"body": body.decode(), "isBase64Encoded": False}
    return {**sample(name), "headers": {"Content-Type": "application/json", **headers}, **text, **changes}


def salesforce_event(here: Stage) -> Case:
    """A signed event of the org."""
    named = {"id": "event-1", "type": "order.activated", "org_id": ORG, "record_id": ORDER}
    body = json.dumps(named | {"occurred_at": "2026-11-20T10:00:00Z", "data": {"contract_id": CONTRACT}}).encode()

    def event() -> dict[str, Any]:
        signature = sign(WEBHOOK_SECRET, body, here.clock.now())
        return _proxied("salesforce_webhook", {"X-Orderphase-Signature": signature}, body)

    return _queued("order_activation")(here, Request("salesforce_webhook", event))


def outbound_message(here: Stage) -> Case:
    """An Outbound Message about two orders and a line."""
    told = order("04l000000000001AAA", ORDER, ContractId=CONTRACT), order("04l000000000002AAA", "801000000000002AAA")
    changed = notification("04l000000000003AAA", "OrderItem", Id=LINE, OrderId=ORDER)
    body = message(*told, changed, org=ORG)

    def event() -> dict[str, Any]:
        path = {"pathParameters": {"token": OUTBOUND_TOKEN}}
        return _proxied("salesforce_webhook_outbound_message", {"Content-Type": "text/xml; charset=utf-8"}, body, **path)

    def acknowledged(answer: Mapping[str, Any]) -> bool:
        return "<Ack>true</Ack>" in answer["body"]

    queued = _queued("order_activation", "order_activation", "order_item_update")
    return queued(here, Request("salesforce_webhook", event, acknowledged))


def _stripe_event(kind: str, about: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(sample("stripe_webhook")["body"])
    return told | {"type": kind, "data": {"object": about}}


def _to_the_route(here: Stage, flow: str, kind: str, about: Mapping[str, Any]) -> Case:
    body = json.dumps(_stripe_event(kind, about)).encode()

    def event() -> dict[str, Any]:
        return _proxied("stripe_webhook", {"Stripe-Signature": sign(STRIPE_WEBHOOK_SECRET, body, here.clock.now())}, body)

    return _queued(flow)(here, Request("stripe_webhook", event))


_PRODUCT = {"id": "prod_1", "object": "product"}
_SCHEDULE = {
    "id": "sub_sched_1",
    "object": "subscription_schedule",
    "metadata": {"salesforce_org_id": ORG, "salesforce_contract_id": CONTRACT},
}


def stripe_event(here: Stage) -> Case:
    """Stripe tells of a product."""
    return _to_the_route(here, "product_upsert", "product.updated", _PRODUCT)


def stripe_drift(here: Stage) -> Case:
    """Stripe tells of a schedule that somebody has changed."""
    return _to_the_route(here, "reconciliation", "subscription_schedule.updated", _SCHEDULE)


def _by_bus(source: str, detail: Mapping[str, Any], *flows: str) -> Callable[[Stage], Case]:
    return lambda here: _queued(*flows)(here, Message("event_bus", envelope(detail, source)))


change_event = _by_bus(RELAY, change(recordIds=[ORDER, "801000000000002AAA"]), "order_activation", "order_activation")
stripe_by_bus = _by_bus(DESTINATION, _stripe_event("product.updated", _PRODUCT), "product_upsert")


def overflow(here: Stage) -> Case:
    """Salesforce has left changes out: the poll is to look again at what it has looked at already."""
    here.progress().write("poll", {"since": "2026-11-20T09:55:00+00:00"}, 0)
    gap = change(changeType="GAP_OVERFLOW", recordIds=["000000000000000AAA"], commitTimestamp=1795168000000)
    case = _queued()(here, Message("event_bus", envelope(gap, RELAY)))
    case.left = lambda: here.progress().read("poll").document
    return case


SCENARIOS = tuple(
    Scenario(flow, name, prepare, variables, days=False, again=again)
    for flow, name, prepare, variables, again in (
        ("Salesforce webhook", "event", salesforce_event, {}, timedelta(minutes=3)),
        ("Salesforce webhook", "event, sent again at once", salesforce_event, {}, AT_ONCE),
        ("Salesforce webhook", "outbound message", outbound_message, {}, timedelta(minutes=3)),
        ("Stripe webhook", "event of Stripe", stripe_event, {}, timedelta(minutes=3)),
        ("Stripe webhook", "event of Stripe, sent again at once", stripe_event, {}, AT_ONCE),
        ("Stripe webhook", "drift event", stripe_drift, {}, timedelta(minutes=3)),
        ("event bus", "change event", change_event, _BUSES, timedelta(minutes=3)),
        ("event bus", "event of Stripe by bus", stripe_by_bus, _BUSES, timedelta(minutes=3)),
        ("event bus", "overflow", overflow, _BUSES, timedelta(minutes=3)),
    )
)
