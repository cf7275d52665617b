"""What is left where a run was cut off, and something has changed until the next one. Every fault by itself: `tests.faults`."""

from __future__ import annotations

from typing import Any

import pytest

from orderphase.errors import ConfigurationError, OrderphaseError, TransientError, UnknownOutcomeError
from orderphase.flows.contract_runs import ContractRuns
from tests.flows.world import World
from tests.org import line


def prepared(here: World) -> str:
    """An order whose run makes every kind of call."""
    account = here.account()
    lines = line(here.entry()), line(here.entry(), "2027-05-01")
    return here.order(account, here.contract(account), *lines, Stripe_Discount_Percent_Off__c=10)


def test_a_write_back_that_salesforce_refuses(here: World) -> None:
    """The schedule exists; the order says what is wrong; the next run writes back and does nothing else."""
    order = prepared(here)
    contract = here.record("Order", order)["ContractId"]
    here.salesforce.refuse_writes(contract, error="FIELD_CUSTOM_VALIDATION_EXCEPTION", times=2)

    report = here.run(order)

    assert report.outcome == "failed"
    record = here.record("Order", order)
    assert record["Stripe_Subscription_Schedule_Id__c"] == here.schedules()[0]["id"] == here.log_entries()[-1]["schedule_id"]
    assert "exists in Stripe and bills" in record["Stripe_Sync_Message__c"]
    assert record["Stripe_Sync_Status__c"] == "Failed"
    assert "validation rule" in record["Stripe_Sync_Message__c"]
    assert contract in record["Stripe_Sync_Message__c"]
    assert here.ledger(contract)["intent"]["state"] == "applied"
    writes = here.stripe.writes()

    assert here.run(order).outcome == "synced"

    assert here.stripe.writes() == writes
    (schedule,) = here.schedules()
    assert here.record("Contract", contract)["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]
    assert here.record("Order", order)["Stripe_Sync_Message__c"] is None


def test_a_catalogue_record_that_salesforce_does_not_let_us_write(here: World) -> None:
    """The ids reach the order and the contract all the same; the order says what could not be written."""
    order = prepared(here)
    entry = here.salesforce.query("SELECT Id FROM PricebookEntry LIMIT 1")[0]["Id"]
    here.salesforce.refuse_writes(entry, error="FIELD_CUSTOM_VALIDATION_EXCEPTION")

    assert here.run(order).outcome == "synced"

    record, (schedule,) = here.record("Order", order), here.schedules()
    assert record["Stripe_Sync_Status__c"] == "Synced"
    assert record["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]
    assert entry in record["Stripe_Sync_Message__c"]
    assert here.record("Contract", record["ContractId"])["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]


def test_an_order_deactivated_while_a_run_was_cut_off_names_the_schedule_that_was_made(here: World) -> None:
    order = prepared(here)
    here.stripe.inject("lost_after", method="POST", path="/v1/subscription_schedules")
    with pytest.raises(UnknownOutcomeError):
        here.run(order)
    here.salesforce.update("Order", order, {"Status": "Draft"})

    assert here.run(order).outcome == "skipped"

    record, (schedule,) = here.record("Order", order), here.schedules()
    assert schedule["id"] in record["Stripe_Sync_Message__c"]
    assert here.record("Contract", record["ContractId"])["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]


def test_an_order_changed_while_a_run_was_cut_off_is_billed_as_it_is_now(here: World) -> None:
    order = prepared(here)
    here.stripe.inject("lost_after", method="POST", path="/v1/subscription_schedules")
    with pytest.raises(UnknownOutcomeError):
        here.run(order)
    item = here.lines_of(order)[0]
    here.salesforce.update("OrderItem", item, {"Quantity": 9})

    assert here.run(order).outcome == "synced"

    (schedule,) = here.schedules()
    assert 9 in [one["quantity"] for one in schedule["phases"][-1]["items"]]
    assert here.record("Order", order)["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]


def test_a_warning_outlives_a_crash(here: World) -> None:
    account = here.account()
    details = {"PricebookEntryId": here.entry(), "ServiceDate": "2026-11-10", "EndDate": "2027-12-01"}
    order = here.order(account, here.contract(account), details, EffectiveDate="2026-11-10")
    here.stripe.inject("lost_after", method="POST", path="/v1/subscription_schedules")
    with pytest.raises(UnknownOutcomeError):
        here.run(order)
    assert here.run(order).outcome == "synced"
    assert "10 days" in here.record("Order", order)["Stripe_Sync_Message__c"]


def test_a_bug_is_logged_without_what_it_says(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: Any, **__: Any) -> None:
        raise IndexError("Acme GmbH")

    monkeypatch.setattr(ContractRuns, "apply", bug)
    with pytest.raises(IndexError):
        here.run(prepared(here))
    entry = here.log_entries()[-1]
    assert (entry["outcome"], entry["error_code"]) == ("interrupted", "IndexError")
    assert "Acme" not in str(entry)


def test_a_refusal_that_stripe_has_stored_does_not_stick(here: World) -> None:
    """An archived price is refused; once it is active again, the order goes through although the request is the same."""
    here.run(prepared(here))
    account, entry = (
        here.salesforce.query(f"SELECT Id FROM {kind} LIMIT 1")[0]["Id"] for kind in ("Account", "PricebookEntry")
    )
    price = here.record("PricebookEntry", entry)["Stripe_Price_Id__c"]
    order = here.order(account, here.contract(account), {"PricebookEntryId": entry, "EndDate": "2027-12-01"})
    here.post_to_stripe(f"/v1/prices/{price}", active="false")
    for _ in range(2):
        assert here.run(order).outcome == "failed"
        assert "inactive" in here.record("Order", order)["Stripe_Sync_Message__c"]

    here.post_to_stripe(f"/v1/prices/{price}", active="true")
    assert here.run(order).outcome == "synced"

    assert len(here.schedules()) == 2
    assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Synced"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "refuse", "error": "429", "times": 5}, TransientError),
        ({"kind": "lost_after"}, UnknownOutcomeError),
        ({"kind": "refuse", "error": "401"}, ConfigurationError),
    ],
)
def test_the_classes_of_errors(fault: dict[str, Any], error: type[OrderphaseError], here: World) -> None:
    order = prepared(here)
    here.stripe.inject(**fault, method="POST", path="/v1/subscription_schedules")
    with pytest.raises(error) as caught:
        here.run(order)
    entry = here.log_entries()[-1]
    assert (entry["outcome"], entry["error"]) == ("interrupted", caught.value.kind)
    assert entry["message"] == caught.value.message
