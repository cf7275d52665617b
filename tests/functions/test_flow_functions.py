"""Each flow's function: what it has its flow do for an event, and which events it leaves alone."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from functions.account_upsert import app as account_upsert
from functions.cancellation import app as cancellation
from functions.order_activation import app as order_activation
from functions.order_item_update import app as order_item_update
from functions.price_upsert import app as price_upsert
from functions.product_upsert import app as product_upsert
from functions.reconciliation import app as reconciliation
from orderphase.domain.cancellation import CancellationRequest
from orderphase.errors import ConfigurationError, OrderphaseError
from orderphase.flows.runs import Report
from orderphase.ingress.events import KNOWN_TYPES
from orderphase.ingress.stripe_events import PRICE_TYPES, PRODUCT_TYPES, STRIPE_TYPES
from orderphase.messages import Message
from tests.functions.deployed import Output, take

EVENTS = Path(__file__).resolve().parents[2] / "events"
APPS: dict[str, Any] = {
    "order_activation": order_activation,
    "order_item_update": order_item_update,
    "cancellation": cancellation,
    "product_upsert": product_upsert,
    "price_upsert": price_upsert,
    "account_upsert": account_upsert,
    "reconciliation": reconciliation,
}
TAKES: dict[str, set[str]] = {
    "order_activation": {"order.activated"},
    "order_item_update": {"order_item.updated"},
    "cancellation": {"order.cancellation_requested"},
    "product_upsert": {"product.upserted", "stripe_product.upserted", *PRODUCT_TYPES},
    "price_upsert": {"pricebook_entry.upserted", "stripe_price.upserted", *PRICE_TYPES},
    "account_upsert": {"account.upserted"},
    "reconciliation": {"contract.reconcile"},
}
ORG, ORDER, LINE, CONTRACT = "00D5g000004Vn8QEAS", "8015g00000AbTzkAAF", "8025g00000CfLmpAAF", "8005g000001QwXyAAK"
PRODUCT, ENTRY, ACCOUNT, MIRROR = "01t000000000001AAA", "01u000000000001AAA", "0015g00001XyPqRAAV", "a0A000000000001EAA"
USER = "0055g00000KmTuVAAV"
RECORDS = {
    "order.activated": ORDER,
    "order_item.updated": LINE,
    "order.cancellation_requested": ORDER,
    "product.upserted": PRODUCT,
    "pricebook_entry.upserted": ENTRY,
    "account.upserted": ACCOUNT,
    "stripe_product.upserted": MIRROR,
    "stripe_price.upserted": MIRROR,
    "contract.reconcile": CONTRACT,
}
# What its flow is asked for, by the sample of each function.
SAID: dict[str, tuple[str, dict[str, Any]]] = {
    "order_activation": ("run", {"contract_due": False, "changed_fields": None, "idempotency_key": None}),
    "order_item_update": ("run", {"changed_fields": ["Quantity"], "idempotency_key": None}),
    "cancellation": (
        "run",
        {
            "request": CancellationRequest("on_date", dt.date(2027, 1, 1), invoice_now=False, prorate=True),
            "idempotency_key": None,
        },
    ),
    "product_upsert": ("from_stripe", {"account": "default"}),
    "price_upsert": ("from_stripe", {"account": "default"}),
    "account_upsert": ("run", {"changed_fields": ["BillingStreet", "BillingCity"], "changed_by": USER}),
    "reconciliation": ("run", {"order_id": None, "billed": True}),
}


class Flow:
    """Writes down what it is to do."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def run(record_id: str, **said: Any) -> Report:
            self.runs.append((name, record_id, said))
            return Report("synced", "", CONTRACT)

        return run


def sample(name: str) -> dict[str, Any]:
    """The sample message of a function."""
    (message,) = json.loads((EVENTS / f"{name}.json").read_text())["Records"]
    return dict(message)


def from_salesforce(kind: str, **data: Any) -> dict[str, Any]:
    """A message with an event of an org."""
    event = {"id": "event-1", "type": kind, "org_id": ORG, "record_id": RECORDS[kind], "occurred_at": "2026-11-20T10:00:00Z"}
    return sample("cancellation") | {"body": json.dumps(event | {"data": data})}


def from_stripe(kind: str, account: str = "default") -> dict[str, Any]:
    """A message with an event of Stripe's."""
    about = "prod_1" if kind in PRODUCT_TYPES else "price_1"
    event = {"id": "evt_1", "type": kind, "account": account, "object_id": about, "product_id": "prod_1", "created": 1}
    return sample("cancellation") | {"body": json.dumps(event)}


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Flow:
    """The flow behind every function."""
    found = Flow()
    for app in APPS.values():
        monkeypatch.setattr(app.worker, "flow", lambda: found)
    return found


class Aside:
    """Takes what is put aside."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.problem: OrderphaseError | None = None

    def suspect(self) -> None:
        raise AssertionError("a message that is no event says nothing of a vendor")

    def put_aside(self, message: Message, problem: OrderphaseError) -> None:
        if self.problem is not None:
            raise self.problem
        assert problem.kind == "data"
        self.messages.append(message.id)


@pytest.fixture
def aside(monkeypatch: pytest.MonkeyPatch) -> Aside:
    """Where every function puts what cannot succeed."""
    found = Aside()
    for app in APPS.values():
        monkeypatch.setattr(app.worker, "troubles", lambda: found)
    return found


def test_every_type_of_event_has_a_function() -> None:
    assert set.union(*TAKES.values()) == KNOWN_TYPES | STRIPE_TYPES | {"contract.reconcile"}
    assert {path.parent.name for path in (EVENTS.parent / "functions").glob("*/app.py")} - set(TAKES) == {
        "salesforce_webhook",
        "stripe_webhook",
        "event_bus",
        "rolling_window",
        "poll",
        "reconciliation_sweep",
        "recovery",
    }


@pytest.mark.parametrize("name", APPS)
def test_the_sample_event_is_handled(name: str, flow: Flow, output: Output) -> None:
    message = sample(name)
    assert take(APPS[name], message) == []
    event = json.loads(message["body"])
    record = event.get("record_id") or event["object_id"]
    called, said = SAID[name]
    origin = {"org_id": event["org_id"]} if "org_id" in event else {}
    assert flow.runs == [(called, record, {"event_id": event["id"], **origin, **said})]
    assert output.counted() == {"Synced": 1}
    (line,) = output.lines()
    assert (line["message"], line["contract_id"]) == ("synced", CONTRACT)
    assert (line["event_id"], line["record_id"]) == (event["id"], record)
    assert line["correlation_id"] == message["messageAttributes"]["correlation_id"]["stringValue"]


@pytest.mark.parametrize(
    ("name", "kind", "data", "called", "said"),
    [
        ("order_activation", "order.activated", {"contract_due": True}, "run", {"contract_due": True}),
        ("order_activation", "order.activated", {"contract_due": None}, "run", {"contract_due": False}),
        ("order_activation", "order.activated", {"idempotency_key": "k"}, "run", {"idempotency_key": "k"}),
        ("order_item_update", "order_item.updated", {"changed_fields": []}, "run", {"changed_fields": []}),
        ("order_item_update", "order_item.updated", {}, "run", {"changed_fields": None}),
        ("order_item_update", "order_item.updated", {"idempotency_key": "k"}, "run", {"idempotency_key": "k"}),
        ("cancellation", "order.cancellation_requested", {"mode": None}, "run", {"request": CancellationRequest("now")}),
        (
            "cancellation",
            "order.cancellation_requested",
            {"mode": "now", "invoice_now": True},
            "run",
            {"request": CancellationRequest("now", invoice_now=True)},
        ),
        (
            "cancellation",
            "order.cancellation_requested",
            {"mode": "at_period_end", "idempotency_key": "k"},
            "run",
            {"request": CancellationRequest("at_period_end"), "idempotency_key": "k"},
        ),
        (
            "product_upsert",
            "product.upserted",
            {"changed_fields": ["Name"], "changed_by": USER},
            "from_salesforce",
            {"event_id": "event-1", "org_id": ORG, "changed_fields": ["Name"], "changed_by": USER},
        ),
        (
            "product_upsert",
            "stripe_product.upserted",
            {"stripe_id": "prod_1"},
            "from_mirror",
            {"event_id": "event-1", "org_id": ORG, "stripe_id": "prod_1"},
        ),
        (
            "price_upsert",
            "pricebook_entry.upserted",
            {},
            "from_salesforce",
            {"event_id": "event-1", "org_id": ORG, "changed_fields": None, "changed_by": None},
        ),
        (
            "price_upsert",
            "stripe_price.upserted",
            {},
            "from_mirror",
            {"event_id": "event-1", "org_id": ORG, "stripe_id": None},
        ),
        (
            "account_upsert",
            "account.upserted",
            {},
            "run",
            {"event_id": "event-1", "org_id": ORG, "changed_fields": None, "changed_by": None},
        ),
    ],
)
def test_what_an_event_says_reaches_the_flow(
    name: str, kind: str, data: dict[str, Any], called: str, said: dict[str, Any], flow: Flow, output: Output
) -> None:
    assert take(APPS[name], from_salesforce(kind, **data)) == []
    ((method, record, given),) = flow.runs
    assert (method, record) == (called, RECORDS[kind])
    assert said.items() <= given.items()


@pytest.mark.parametrize("kind", sorted(STRIPE_TYPES))
def test_what_stripe_tells_reaches_the_flow_with_its_account(kind: str, flow: Flow, output: Output) -> None:
    name = "product_upsert" if kind in PRODUCT_TYPES else "price_upsert"
    assert take(APPS[name], from_stripe(kind, "eu")) == []
    about = "prod_1" if kind in PRODUCT_TYPES else "price_1"
    assert flow.runs == [("from_stripe", about, {"account": "eu", "event_id": "evt_1"})]
    (line,) = output.lines()
    assert (line["event_id"], line["record_id"]) == ("evt_1", about)


@pytest.mark.parametrize("name", APPS)
def test_an_event_of_another_flow_is_put_aside(name: str, flow: Flow, aside: Aside, output: Output) -> None:
    others = [from_salesforce(kind) for kind in sorted(KNOWN_TYPES - TAKES[name])]
    others += [from_stripe(kind) for kind in sorted(STRIPE_TYPES - TAKES[name])]
    for number, message in enumerate(others):
        message["messageId"] = f"message {number}"
        message["attributes"] = message["attributes"] | {"MessageGroupId": f"group {number}"}
    assert take(APPS[name], *others) == []
    assert aside.messages == [message["messageId"] for message in others]
    assert flow.runs == []
    assert output.counted() == {"Interrupted_data": len(others)}


@pytest.mark.parametrize(
    "body", ["[]", '{"type": "price.updated"}', '{"type": ["price.updated"]}', '{"type": "product.upserted", "id": "evt_1"}']
)
def test_what_is_no_event_is_put_aside(body: str, flow: Flow, aside: Aside, output: Output) -> None:
    message = sample("price_upsert") | {"body": body}
    assert take(price_upsert, message) == []
    assert aside.messages == [message["messageId"]]
    assert flow.runs == []
    assert output.counted() == {"Interrupted_data": 1}


def test_what_cannot_be_put_aside_comes_again(flow: Flow, aside: Aside, output: Output) -> None:
    aside.problem = ConfigurationError("the dead-letter queue: AWS refused (AccessDenied)", code="AccessDenied")
    message = sample("price_upsert") | {"body": "[]"}
    assert take(price_upsert, message) == [message["messageId"]]
    assert output.counted() == {"Interrupted_data": 1, "Interrupted_configuration": 1}
