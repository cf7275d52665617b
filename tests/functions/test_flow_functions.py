"""Each flow's function: what it has its flow do for an event, and which events it leaves alone."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from functions.cancellation import app as cancellation
from functions.order_activation import app as order_activation
from functions.order_item_update import app as order_item_update
from orderphase.domain.cancellation import CancellationRequest
from orderphase.flows.runs import Report
from tests.functions.deployed import Output, take

EVENTS = Path(__file__).resolve().parents[2] / "events"
APPS: dict[str, Any] = {
    "order_activation": order_activation,
    "order_item_update": order_item_update,
    "cancellation": cancellation,
}
ORDER, LINE, CONTRACT = "8015g00000AbTzkAAF", "8025g00000CfLmpAAF", "8005g000001QwXyAAK"
SAID: dict[str, dict[str, Any]] = {
    "order_activation": {"contract_due": False},
    "order_item_update": {"changed_fields": ["Quantity"]},
    "cancellation": {"request": CancellationRequest("on_date", dt.date(2027, 1, 1), invoice_now=False, prorate=True)},
}


class Flow:
    """Writes down what it is to do."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, dict[str, Any]]] = []

    def run(self, record_id: str, **said: Any) -> Report:
        self.runs.append((record_id, said))
        return Report("synced", "", CONTRACT)


def sample(name: str, **data: Any) -> dict[str, Any]:
    """The sample message of a function; with `data` in place of its event's, beside the contract."""
    (message,) = json.loads((EVENTS / f"{name}.json").read_text())["Records"]
    if data:
        event = json.loads(message["body"])
        message["body"] = json.dumps(event | {"data": {"contract_id": CONTRACT} | data})
    return dict(message)


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Flow:
    """The flow behind every function."""
    found = Flow()
    for app in APPS.values():
        monkeypatch.setattr(app.worker, "flow", lambda: found)
    return found


@pytest.mark.parametrize("name", APPS)
def test_the_sample_event_is_handled(name: str, flow: Flow, output: Output) -> None:
    message = sample(name)
    assert take(APPS[name], message) == []
    event = json.loads(message["body"])
    assert flow.runs == [(event["record_id"], {"event_id": event["id"], "org_id": event["org_id"], **SAID[name]})]
    assert output.counted() == {"Synced": 1}
    (line,) = output.lines()
    assert (line["message"], line["contract_id"], line["record_id"]) == ("synced", CONTRACT, event["record_id"])
    assert line["correlation_id"] == message["messageAttributes"]["correlation_id"]["stringValue"]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("order_activation", {"contract_due": True}, {"contract_due": True}),
        ("order_activation", {"contract_due": None}, {"contract_due": False}),
        ("order_item_update", {"changed_fields": []}, {"changed_fields": []}),
        ("order_item_update", {"changed_fields": None}, {"changed_fields": None}),
        ("cancellation", {"mode": None}, {"request": CancellationRequest("now")}),
        ("cancellation", {"mode": "now", "invoice_now": True}, {"request": CancellationRequest("now", invoice_now=True)}),
        ("cancellation", {"mode": "at_period_end"}, {"request": CancellationRequest("at_period_end")}),
    ],
)
def test_what_an_event_says_reaches_the_flow(
    name: str, data: dict[str, Any], said: dict[str, Any], flow: Flow, output: Output
) -> None:
    assert take(APPS[name], sample(name, **data)) == []
    ((_, given),) = flow.runs
    assert said.items() <= given.items()


@pytest.mark.parametrize("name", APPS)
def test_an_event_of_another_flow_is_left_alone(name: str, flow: Flow, output: Output) -> None:
    others = [sample(other) for other in APPS if other != name]
    for number, message in enumerate(others):
        message["attributes"]["MessageGroupId"] = f"group {number}"
    assert take(APPS[name], *others) == [message["messageId"] for message in others]
    assert flow.runs == []
    assert output.counted() == {"Interrupted_data": 2}
