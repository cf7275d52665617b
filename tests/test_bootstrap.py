"""The flows as they are built from the environment and the secrets, and what is said where they are not right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from orderphase.bootstrap import commands, parts, watching
from orderphase.bootstrap import contracts as bootstrap
from orderphase.domain.cancellation import CancellationRequest
from orderphase.errors import ConfigurationError
from orderphase.ingress.events import OrderActivationData, parse
from orderphase.mapping import load_mapping
from orderphase.store.contracts import ContractTable, Intent
from tests.flows.world import ORG, World
from tests.functions.deployed import ENVIRONMENT, deployed, salesforce_secret, store, stripe_secret


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with deployed(monkeypatch) as world:
        yield world


def refused(here: World, **changes: str) -> str:
    """What is said of an environment or its secrets, at the latest when an order comes, which nobody holds then."""
    account = here.account()
    order = here.order(account, here.contract(account), {"PricebookEntryId": here.entry()})
    with pytest.raises(ConfigurationError) as failure:
        bootstrap.order_activation(ENVIRONMENT | changes).run(order, event_id="event-1", org_id=ORG)
    assert here.dynamodb.scan(TableName="contracts")["Items"] == []
    return failure.value.message


def test_the_flow_works(here: World) -> None:
    account = here.account()
    order = here.order(account, here.contract(account), {"PricebookEntryId": here.entry(), "EndDate": "2027-12-01"})
    report = bootstrap.order_activation(ENVIRONMENT).run(order, event_id="event-1", org_id=ORG)
    assert report.outcome == "synced"
    assert len(here.schedules()) == 1
    (entry,) = here.log_entries()
    assert len(entry["entry_id"].partition("#")[2]) == 32


def test_the_policies_and_the_currency_are_the_environments(here: World) -> None:
    choices = {
        "ORDERPHASE_CURRENCY": "eur",
        "ORDERPHASE_END_DATES": "inclusive",
        "ORDERPHASE_TIME_ZONE": "Europe/Berlin",
        "ORDERPHASE_PRORATION_BEHAVIOR": "none",
    }
    account = here.account()
    order = here.order(account, here.contract(account), {"PricebookEntryId": here.entry(), "EndDate": "2027-12-01"})
    flow = bootstrap.order_activation(ENVIRONMENT | choices)
    flow.run(order, event_id="event-1", org_id=ORG)
    (phase,) = here.schedules()[0]["phases"]
    # From midnight of 1 December 2026 to the end of 1 December 2027 in Berlin.
    assert (phase["start_date"], phase["end_date"]) == (1796079600, 1827702000)
    assert phase["proration_behavior"] == "none"


def test_the_other_flows_work_on_the_same_contract(here: World) -> None:
    account = here.account()
    order = here.order(account, here.contract(account), {"PricebookEntryId": here.entry(), "EndDate": "2027-12-01"})
    assert commands.preview(ENVIRONMENT).run(order).plan.action == "create"
    bootstrap.order_activation(ENVIRONMENT).run(order, event_id="event-1", org_id=ORG)
    (item,) = here.lines_of(order)
    here.salesforce.update("OrderItem", item, {"Quantity": 2})
    assert commands.preview(ENVIRONMENT).run(order).plan.action == "update"
    edit = bootstrap.order_item_update(ENVIRONMENT)
    assert edit.run(item, event_id="event-2", org_id=ORG, changed_fields=["Quantity"]).outcome == "synced"
    assert edit.run(item, event_id="event-3", org_id=ORG, changed_fields=["Description"]).outcome == "skipped"
    cancellation = bootstrap.cancellation(ENVIRONMENT)
    assert cancellation.run(order, event_id="event-4", org_id=ORG, request=CancellationRequest()).outcome == "synced"
    assert here.schedule()["status"] == "canceled"
    flows = [entry["flow"] for entry in here.log_entries()]
    assert sorted(flows) == ["cancellation", "order_activation", "order_item_update", "order_item_update"]


class TestTheRollingWindow:
    DUE = datetime(2026, 11, 1, 7, 30, tzinfo=UTC)

    @pytest.fixture
    def queue(self, here: World) -> str:
        made = boto3.client("sqs").create_queue(QueueName="activation.fifo", Attributes={"FifoQueue": "true"})
        return str(made["QueueUrl"])

    def run(self, here: World, queue: str, *contracts: str, orders: tuple[str, ...], now: datetime) -> list[dict[str, Any]]:
        """Let it run while these contracts are due; answers the messages that it has sent."""
        table = ContractTable(here.dynamodb, "contracts")
        for contract in contracts:
            intent = Intent(1, frozenset(orders), org_id=ORG, extend_at=self.DUE)
            table.release(table.acquire(contract, "run", here.clock.now()), here.clock.now(), intent)
        settings = {"ORDERPHASE_CONTRACT_TABLE": "contracts", "ORDERPHASE_ORDER_ACTIVATION_QUEUE": queue}
        assert watching.rolling_window(settings).run(now) == len(contracts)
        sqs = boto3.client("sqs")
        found: list[Any] = sqs.receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
        ).get("Messages", [])
        return found

    def test_an_order_of_each_contract_is_queued_with_its_contract(self, here: World, queue: str) -> None:
        contract, order = "800000000000001AAA", "801000000000001AAA"
        (message,) = self.run(here, queue, contract, orders=(order,), now=self.DUE)
        event = parse(message["Body"].encode())
        assert (event.type, event.org_id, event.record_id, event.occurred_at) == ("order.activated", ORG, order, self.DUE)
        assert isinstance(event.data, OrderActivationData)
        assert (event.data.contract_due, event.data.contract_id) == (True, contract)
        assert event.id == f"due-{order}-20261101T073000Z"
        assert message["Attributes"]["MessageGroupId"] == contract
        assert message["MessageAttributes"]["correlation_id"]["StringValue"] == event.id

    def test_an_order_without_a_contract(self, here: World, queue: str) -> None:
        order = "801000000000001AAA"
        (message,) = self.run(here, queue, order, orders=(order,), now=self.DUE)
        assert message["Attributes"]["MessageGroupId"] == order
        assert json.loads(message["Body"])["data"] == {"contract_due": True}

    def test_each_hour_another_order(self, here: World, queue: str) -> None:
        orders = tuple(f"80100000000000{number}AAA" for number in range(3))
        found = []
        for hours in range(3):
            now = self.DUE + timedelta(hours=hours, minutes=5)
            (message,) = self.run(here, queue, "800000000000001AAA", orders=orders, now=now)
            found.append(orders.index(json.loads(message["Body"])["record_id"]))
            boto3.client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        assert found == [0, 1, 2]

    def test_nothing_is_due(self, here: World, queue: str) -> None:
        assert self.run(here, queue, orders=(), now=self.DUE) == []

    @pytest.mark.parametrize("name", ["ORDERPHASE_CONTRACT_TABLE", "ORDERPHASE_ORDER_ACTIVATION_QUEUE"])
    def test_a_missing_variable_is_named(self, here: World, queue: str, name: str) -> None:
        settings = {"ORDERPHASE_CONTRACT_TABLE": "contracts", "ORDERPHASE_ORDER_ACTIVATION_QUEUE": queue}
        del settings[name]
        with pytest.raises(ConfigurationError, match=f"environment: {name}: is missing"):
            watching.rolling_window(settings)


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_missing_variable_is_named(here: World, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"environment: {name}: is missing"):
        bootstrap.order_activation({key: value for key, value in ENVIRONMENT.items() if key != name})


def test_a_wrong_variable_is_named(here: World) -> None:
    assert "ORDERPHASE_TIME_ZONE" in refused(here, ORDERPHASE_TIME_ZONE="Mars/Olympus")
    assert "ORDERPHASE_BACKDATING" in refused(here, ORDERPHASE_BACKDATING="maybe")


@pytest.mark.parametrize("name", ["salesforce", "stripe"])
def test_a_secret_that_is_not_there(here: World, name: str) -> None:
    variable = f"ORDERPHASE_{name.upper()}_SECRET"
    assert "secret gone: AWS refused (ResourceNotFoundException)" in refused(here, **{variable: "gone"})


@pytest.mark.parametrize("name", ["salesforce", "stripe"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"\x00hush", "is binary"),
        ("hush", "is not a JSON object"),
        ({"HUSH": "hush"}, "is missing"),
        ("[]", "is not a JSON object"),
    ],
)
def test_a_secret_that_cannot_be_used(here: World, name: str, value: Any, said: str) -> None:
    store(name, value)
    message = refused(here)
    assert message.startswith(f"secret {name}: ")
    assert said in message
    assert "hush" not in message


def test_plain_http_is_for_loopback_addresses(here: World) -> None:
    store("stripe", stripe_secret(here) | {"STRIPE_API_BASE": "http://api.stripe.com"})
    assert "STRIPE_API_BASE: plain http is accepted for loopback addresses only" in refused(here)
    store("stripe", stripe_secret(here))
    store("salesforce", salesforce_secret(here) | {"SALESFORCE_LOGIN_URL": "http://acme.my.salesforce.com"})
    assert "SALESFORCE_LOGIN_URL: plain http is accepted for loopback addresses only" in refused(here)


def test_a_mapping_that_cannot_be_read(here: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text('[order]\ncolour = "Colour__c"')
    monkeypatch.setattr(parts, "load_mapping", lambda: load_mapping(file))
    assert "mapping.toml: order.colour" in refused(here)


def test_no_request_is_made_before_the_first_run(here: World) -> None:
    bootstrap.order_activation(ENVIRONMENT)
    assert here.salesforce.log == []
    assert here.stripe.log == []
