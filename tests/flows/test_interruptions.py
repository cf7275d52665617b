"""Whatever goes wrong during a run, and wherever: after redelivery all is as if nothing had happened."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orderphase.errors import ConfigurationError, OrderphaseError, TransientError, UnknownOutcomeError
from orderphase.flows.contract_runs import ContractRuns
from sandbox.serving import Emulator
from tests.flows.interruptions import (
    FIRST_ORDER,
    FIRST_ORDER_TODAY,
    LATER,
    KilledError,
    Scenario,
    deliver,
    mortal,
    state,
    undisturbed,
)
from tests.flows.world import World

STRIPE_FAULTS: dict[str, dict[str, Any]] = {
    "not sent": {"kind": "lost_before"},
    "answer lost": {"kind": "lost_after"},
    "500": {"kind": "refuse", "error": "500"},
    "503": {"kind": "refuse", "error": "503"},
    "500 stored": {"kind": "stored", "error": "500"},
    "409": {"kind": "refuse", "error": "409"},
    "429": {"kind": "refuse", "error": "429"},
    "429 for long": {"kind": "refuse", "error": "429", "times": 5},
    "lock timeout": {"kind": "refuse", "error": "429_lock"},
    "401": {"kind": "refuse", "error": "401"},
}
SALESFORCE_FAULTS: dict[str, dict[str, Any]] = {
    "not sent": {"kind": "lost_before"},
    "answer lost": {"kind": "lost_after"},
    "500": {"kind": "refuse", "error": "500"},
    "503": {"kind": "refuse", "error": "503"},
    "locked row": {"kind": "refuse", "error": "UNABLE_TO_LOCK_ROW"},
    "request limit": {"kind": "refuse", "error": "REQUEST_LIMIT_EXCEEDED"},
    "expired session": {"kind": "refuse", "error": "INVALID_SESSION_ID"},
    "no permission": {"kind": "refuse", "error": "INSUFFICIENT_ACCESS_OR_READONLY"},
}
REPRESENTATIVE = ("answer lost", "500 stored", "429 for long", "locked row", "500")
"""What the first order has shown to be dealt with by the adapters is tried with fewer faults in the other flows."""


def disturbed(system: str, faults: dict[str, dict[str, Any]]) -> list[Any]:
    """Each request of each scenario to a system, with each fault that it is tried with."""
    return [
        pytest.param(scenario, number, faults[name], id=f"{scenario}-{number} {request}-{name}")
        for scenario in (FIRST_ORDER, *LATER)
        for number, request in enumerate(getattr(undisturbed(scenario), system))
        for name in faults
        if scenario is FIRST_ORDER or name in REPRESENTATIVE
    ]


def killed(*scenarios: Scenario) -> list[Any]:
    """After each remote call of each scenario, which is before the next one; and before the first."""
    return [
        pytest.param(scenario, at, after, id=f"{scenario}-{'after' if after else 'before'} {at} {name}")
        for scenario in scenarios
        for at, name in enumerate(undisturbed(scenario).calls)
        for after in ((True,) if at else (False, True))
    ]


def inject(emulator: Emulator, number: int, fault: dict[str, Any]) -> None:
    """Have a fault strike the request of this number from now on."""
    details = dict(fault)
    emulator.inject(details.pop("kind"), skip=number, **details)


def test_the_undisturbed_run() -> None:
    left = undisturbed(FIRST_ORDER).left
    assert left["objects"] == {
        "customer": 1,
        "product": 2,
        "price": 2,
        "coupon": 2,
        "subscription_schedule": 1,
        "subscription": 0,
    }
    assert left["orders"] == [("Synced", None)]
    assert (left["ledger"], left["lease"]) == (("recorded", 1, True), "free")
    assert undisturbed(FIRST_ORDER_TODAY).left["objects"]["subscription"] == 1
    assert undisturbed(LATER[-1]).left["one-time items"] == 1


@pytest.mark.parametrize("scenario", [FIRST_ORDER, FIRST_ORDER_TODAY, *LATER], ids=str)
def test_both_sides_agree_undisturbed(scenario: Scenario) -> None:
    left = undisturbed(scenario).left
    assert {name: left[name] for name in ("ids", "customer", "prices", "products", "log")} == dict.fromkeys(
        ("ids", "customer", "prices", "products", "log"), True
    )
    assert (left["ledger"][0], left["lease"]) == ("recorded", "free")


@pytest.mark.parametrize(("scenario", "number", "fault"), disturbed("stripe", STRIPE_FAULTS))
def test_a_fault_at_stripe(scenario: Scenario, number: int, fault: dict[str, Any], here: World) -> None:
    contract, event = scenario.prepare(here)
    here.forget_calls()
    inject(here.stripe, number, fault)

    deliver(here, scenario, event)

    assert any(call.fault for call in here.stripe.log), "the fault did not strike"
    assert state(here, contract) == undisturbed(scenario).left
    writes = here.stripe.writes()
    assert event(scenario.runs(here)).outcome == "unchanged"
    assert here.stripe.writes() == writes


@pytest.mark.parametrize(("scenario", "number", "fault"), disturbed("salesforce", SALESFORCE_FAULTS))
def test_a_fault_at_salesforce(scenario: Scenario, number: int, fault: dict[str, Any], here: World) -> None:
    contract, event = scenario.prepare(here)
    here.forget_calls()
    inject(here.salesforce, number, fault)

    deliver(here, scenario, event)

    assert any(call.fault for call in here.salesforce.log), "the fault did not strike"
    assert state(here, contract) == undisturbed(scenario).left


@pytest.mark.parametrize(
    "later", [timedelta(minutes=3), timedelta(hours=25)], ids=["soon", "when Stripe has forgotten its keys"]
)
@pytest.mark.parametrize(("scenario", "at", "after"), killed(FIRST_ORDER, *LATER))
def test_a_process_that_is_killed(scenario: Scenario, at: int, after: bool, later: timedelta, here: World) -> None:
    contract, event = scenario.prepare(here)
    runs, _ = mortal(scenario.runs(here), at, after=after)
    with pytest.raises(KilledError):
        event(runs)
    here.clock.advance(later)

    assert deliver(here, scenario, event) == []

    assert state(here, contract) == undisturbed(scenario).left


def looked_up(*scenarios: Scenario) -> list[Any]:
    """Each request of each scenario to the catalogue table: one that fails, or has changed it and fails all the same."""
    return [
        pytest.param(scenario, at, after, id=f"{scenario}-{'after' if after else 'before'} {at} {name}")
        for scenario in scenarios
        for at, name in enumerate(undisturbed(scenario).calls)
        for after in {"facts.read": (False,), "facts.note": (False, True)}.get(name, ())
    ]


@pytest.mark.parametrize(("scenario", "at", "after"), looked_up(FIRST_ORDER, *LATER))
def test_a_catalogue_table_that_fails(scenario: Scenario, at: int, after: bool, here: World) -> None:
    contract, event = scenario.prepare(here)
    runs, _ = mortal(scenario.runs(here), at, after=after, end=TransientError)
    with pytest.raises(TransientError, match=r"facts\."):
        event(runs)
    assert here.ledger(contract)["lease_until"] == 0, "the contract is held no longer"
    here.clock.advance(timedelta(minutes=3))

    assert deliver(here, scenario, event) == []

    assert state(here, contract) == undisturbed(scenario).left


@pytest.mark.parametrize(("scenario", "at", "after"), killed(FIRST_ORDER_TODAY))
def test_a_process_that_is_killed_while_a_schedule_starts_at_once(
    scenario: Scenario, at: int, after: bool, here: World
) -> None:
    """A day later it would start then, and bill a day less."""
    contract, event = scenario.prepare(here)
    runs, _ = mortal(scenario.runs(here), at, after=after)
    with pytest.raises(KilledError):
        event(runs)
    here.clock.advance(timedelta(minutes=3))

    assert deliver(here, scenario, event) == []

    assert state(here, contract) == undisturbed(scenario).left


def prepared(here: World) -> str:
    """An order whose run makes every kind of call."""
    contract, _ = FIRST_ORDER.prepare(here)
    return str(here.salesforce.query(f"SELECT Id FROM Order WHERE ContractId = '{contract}'")[0]["Id"])


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
    [("429 for long", TransientError), ("answer lost", UnknownOutcomeError), ("401", ConfigurationError)],
)
def test_the_classes_of_errors(fault: str, error: type[OrderphaseError], here: World) -> None:
    order = prepared(here)
    details = dict(STRIPE_FAULTS[fault])
    here.stripe.inject(details.pop("kind"), method="POST", path="/v1/subscription_schedules", **details)
    with pytest.raises(error) as caught:
        here.run(order)
    entry = here.log_entries()[-1]
    assert (entry["outcome"], entry["error"]) == ("interrupted", caught.value.kind)
    assert entry["message"] == caught.value.message
