"""What events miss, and outages, on the deployed stack: its own functions find it and bring it through."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from orderphase.flows.changed_contracts import OVERLAP
from sandbox.build import FLOWS
from sandbox.stack import LocalStack
from tests.stack.company import DEADLINE, Company, until
from tests.stack.held_queue import held, impatient

STATUS = "Stripe_Sync_Status__c"


@pytest.fixture
def untold(company: Company, stack: LocalStack) -> tuple[str, str]:
    """An activated order, and its contract, of which no event has arrived."""
    with held(stack, "OrderActivation") as queue:
        order = company.sell(company.account(), company.entry())
        stack.salesforce.flush(DEADLINE)  # type: ignore[union-attr]  # the emulator, as `company` says
        assert len(queue.messages()) == 1
    return order, str(company.record("Order", order)["ContractId"])


def looked_at(company: Company, contract: str) -> list[str]:
    """What came of each look at a contract."""
    company.stack.settle(DEADLINE)
    return [outcome for flow, outcome in company.flows(contract) if flow == "reconciliation"]


def test_the_poll_finds_an_order_that_nobody_has_told_of(company: Company, untold: tuple[str, str]) -> None:
    order, contract = untold
    assert company.record("Order", order)[STATUS] is None
    assert company.invoke("PollFunction")["queued"] >= 1
    assert looked_at(company, contract) == ["synced"]
    assert company.record("Order", order)[STATUS] == "Synced"
    assert len(company.schedules(contract)) == 1


def test_a_second_poll_leaves_alone_what_the_first_has_brought_through(company: Company, untold: tuple[str, str]) -> None:
    _, contract = untold
    company.invoke("PollFunction")
    looked_at(company, contract)
    # What was typed in some time before it was looked at is not looked at again; here both happened in one moment.
    table: Any = company.stack.aws("dynamodb")
    table.update_item(
        TableName=company.stack.outputs["ContractTableName"],
        Key={"contract_id": {"S": contract}},
        UpdateExpression="SET seen_at = :now",
        ExpressionAttributeValues={":now": {"N": str((datetime.now(UTC) + OVERLAP).timestamp())}},
    )
    company.invoke("PollFunction")
    assert looked_at(company, contract) == ["synced"]


def test_the_sweep_finds_what_somebody_has_changed_in_stripe(company: Company, stack: LocalStack) -> None:
    order = company.sell(company.account(), company.entry())
    contract = str(company.synced(order)["ContractId"])
    (schedule,) = company.schedules(contract)
    with held(stack, "Reconciliation") as queue:  # Stripe tells of it, and that is lost
        company.api.subscription_schedules.update(schedule["id"], {"end_behavior": "release"})
        stack.stripe.courier.flush()  # type: ignore[union-attr]  # the emulator
        until(queue.messages, "Stripe's event")
    progress: Any = stack.aws("dynamodb")
    for _ in range(20):
        progress.delete_item(TableName=stack.outputs["ProgressTableName"], Key={"id": {"S": "sweep"}})
        company.invoke("ReconciliationSweepFunction")
        if looked_at(company, contract):
            break
    assert looked_at(company, contract)[0] == "failed"
    assert company.record("Order", order)[STATUS] == "Failed"


def test_stripe_tells_of_it_at_once(company: Company) -> None:
    order = company.sell(company.account(), company.entry())
    contract = str(company.synced(order)["ContractId"])
    (schedule,) = company.schedules(contract)
    company.api.subscription_schedules.update(schedule["id"], {"end_behavior": "release"})
    until(lambda: "failed" in looked_at(company, contract), "the look at the contract")
    assert company.record("Order", order)[STATUS] == "Failed"


def test_while_stripe_is_down_no_message_is_used_up(company: Company, stack: LocalStack) -> None:
    """And when it is back, everything that has waited comes through by itself."""
    assert stack.stripe is not None
    assert stack.salesforce is not None
    company.synced(company.sell(company.account(), company.entry()))
    with impatient(stack, *FLOWS):
        stack.stripe.inject("refuse", error="503", times=10_000)
        try:
            failing = company.sell(company.account(), company.entry())
            until(lambda: company.runs(failing), "the failure")
            # The run is over before its function has noted that a vendor may be down.
            until(lambda: company.invoke("RecoveryFunction") == {"open": 1}, "the circuit")
            assert states(stack) == {"Disabled"}
            waiting = [company.sell(company.account(), company.entry()) for _ in range(3)]
            stack.salesforce.flush(DEADLINE)
            assert company.invoke("RecoveryFunction") == {"open": 1}
            assert [company.runs(order) for order in waiting] == [[], [], []]
        finally:
            stack.stripe.faults.clear()
            answer = company.invoke("RecoveryFunction")
        assert answer["open"] == 0
        assert states(stack) == {"Enabled"}
        assert [company.synced(order)[STATUS] for order in (failing, *waiting)] == ["Synced"] * 4
    assert [run["outcome"] for order in waiting for run in company.runs(order)] == ["synced"] * 3


def states(stack: LocalStack) -> set[str]:
    """Whether Lambda takes messages from the queue of order activations."""
    functions: Any = stack.aws("lambda")
    return {
        mapping["State"]
        for mapping in functions.list_event_source_mappings()["EventSourceMappings"]
        if "order-activation" in mapping["EventSourceArn"].lower() or "OrderActivation" in mapping["EventSourceArn"]
    }
