"""Whatever goes wrong during a run, and wherever: after redelivery all is as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from orderphase.errors import ConfigurationError, OrderphaseError, TransientError, UnknownOutcomeError
from orderphase.flows.order_activation import OrderActivation
from tests.flows.world import ACCOUNT, World, world

DELIVERIES = 4
"""So often an event may come until its run must have gone through."""

STRIPE_CALLS = [
    ("GET", "/v1/customers/search"),
    ("POST", "/v1/customers"),
    ("GET", "/v1/prices"),
    ("POST", "/v1/products"),
    ("POST", "/v1/prices"),
    ("POST", "/v1/coupons"),
    ("POST", "/v1/subscription_schedules"),
]
SALESFORCE_CALLS = [("POST", "/oauth2/token"), ("POST", "/composite$"), ("PATCH", "/composite/sobjects")]

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


def prepared(here: World, start: str = "2026-12-01") -> str:
    """An order whose run makes every kind of call."""
    account, entry = here.account(), here.entry()
    details = {"ServiceDate": start, "EndDate": "2027-12-01"}
    lines = ({"PricebookEntryId": entry, **details}, {"PricebookEntryId": here.entry(), **details, "ServiceDate": "2027-05-01"})
    return here.order(account, here.contract(account), *lines, EffectiveDate=start, Stripe_Discount_Percent_Off__c=10)


def state(here: World, order: str) -> dict[str, Any]:
    """What is left in Stripe and Salesforce, and whether they agree."""
    kinds = ("customer", "product", "price", "coupon", "subscription_schedule", "subscription")
    record = here.record("Order", order)
    contract, account = here.record("Contract", record["ContractId"]), here.record("Account", record["AccountId"])
    schedules, customers = here.schedules(), here.stripe.objects(ACCOUNT, "customer")
    found = here.salesforce.query("SELECT Stripe_Price_Id__c, Product2.Stripe_Product_Id__c FROM PricebookEntry")
    entries = [entry for entry in found if entry["Stripe_Price_Id__c"] and entry["Product2"]["Stripe_Product_Id__c"]]
    return {
        "objects": {kind: len(here.stripe.objects(ACCOUNT, kind)) for kind in kinds},
        "phases": [
            (_began(phase, schedule), phase["end_date"], [item["quantity"] for item in phase["items"]], len(phase["discounts"]))
            for schedule in schedules
            for phase in schedule["phases"]
        ],
        "order": (record["Stripe_Sync_Status__c"], record["Stripe_Sync_Message__c"]),
        "order knows": record["Stripe_Subscription_Schedule_Id__c"] == schedules[0]["id"] if schedules else None,
        "contract knows": contract["Stripe_Subscription_Schedule_Id__c"] == schedules[0]["id"] if schedules else None,
        "account knows": account["Stripe_Customer_Id__c"] == customers[0]["id"] if customers else None,
        "prices known": sorted(entry["Stripe_Price_Id__c"] for entry in entries)
        == sorted(price["id"] for price in here.stripe.objects(ACCOUNT, "price")),
        "products known": sorted(entry["Product2"]["Stripe_Product_Id__c"] for entry in entries)
        == sorted(product["id"] for product in here.stripe.objects(ACCOUNT, "product")),
        "ledger": here.ledger(record["ContractId"])["intent"]["state"],
        "lease": "free" if here.ledger(record["ContractId"])["lease_until"] <= here.clock.now().timestamp() else "held",
        "log": here.log_entries()[-1]["outcome"] in ("synced", "unchanged"),
    }


def _began(phase: dict[str, Any], schedule: dict[str, Any]) -> Any:
    """When a phase begins; a schedule that starts at once may have been made later than undisturbed."""
    return "at once" if phase["start_date"] == schedule["created"] else phase["start_date"]


@pytest.fixture(scope="module")
def undisturbed_today() -> dict[str, Any]:
    with world() as here:
        order = prepared(here, "2026-11-20")
        here.run(order)
        return state(here, order)


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    with world() as here:
        order = prepared(here)
        here.run(order)
        return state(here, order)


def deliver(here: World, order: str, errors: tuple[type[BaseException], ...] = (OrderphaseError,)) -> list[BaseException]:
    """Deliver the event until a run goes through, each time to a new environment; answers what went wrong."""
    wrong: list[BaseException] = []
    for _ in range(DELIVERIES):
        try:
            here.run(order)
        except errors as problem:
            wrong.append(problem)
            here.clock.advance(timedelta(minutes=3))
        else:
            return wrong
    raise AssertionError(f"no run went through: {wrong}")


def test_the_undisturbed_run(undisturbed: dict[str, Any]) -> None:
    assert undisturbed["objects"] == {
        "customer": 1,
        "product": 2,
        "price": 2,
        "coupon": 2,
        "subscription_schedule": 1,
        "subscription": 0,
    }
    assert undisturbed["order"] == ("Synced", None)
    for fact in ("order knows", "contract knows", "account knows", "prices known", "products known", "log"):
        assert undisturbed[fact] is True
    assert (undisturbed["ledger"], undisturbed["lease"]) == ("recorded", "free")


@pytest.mark.parametrize("fault", STRIPE_FAULTS)
@pytest.mark.parametrize(("method", "path"), STRIPE_CALLS)
def test_a_fault_at_stripe(method: str, path: str, fault: str, undisturbed: dict[str, Any], here: World) -> None:
    order = prepared(here)
    details = dict(STRIPE_FAULTS[fault])
    here.stripe.inject(details.pop("kind"), method=method, path=f"{path}(\\?|$)", **details)

    deliver(here, order)

    assert any(call.fault for call in here.stripe.log), "the fault did not strike"
    assert state(here, order) == undisturbed
    writes = here.stripe.writes()
    assert here.run(order).outcome == "unchanged"
    assert here.stripe.writes() == writes


@pytest.mark.parametrize("fault", SALESFORCE_FAULTS)
@pytest.mark.parametrize(("method", "path"), SALESFORCE_CALLS)
def test_a_fault_at_salesforce(method: str, path: str, fault: str, undisturbed: dict[str, Any], here: World) -> None:
    order = prepared(here)
    details = dict(SALESFORCE_FAULTS[fault])
    here.salesforce.inject(details.pop("kind"), method=method, path=path, **details)

    deliver(here, order)

    assert any(call.fault for call in here.salesforce.log), "the fault did not strike"
    assert state(here, order) == undisturbed


class KilledError(BaseException):
    """The process ends here: nothing catches it, nothing is cleaned up."""


class Mortal:
    """Stands before a collaborator, and kills the process before or after one of its calls."""

    def __init__(self, inner: Any, step: Callable[[str, Callable[[], Any]], Any]) -> None:
        self._inner, self._step = inner, step

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        if not callable(member):
            return member
        return lambda *args, **kwargs: self._step(name, lambda: member(*args, **kwargs))


def mortal(flow: OrderActivation, at: int, *, after: bool) -> tuple[OrderActivation, list[str]]:
    """The flow, killed before or after its remote call number `at`; and the calls that it has made."""
    made: list[str] = []

    def step(name: str, call: Callable[[], Any]) -> Any:
        if len(made) > at:
            raise KilledError  # a dead process does not clean up
        made.append(name)
        if len(made) - 1 < at:
            return call()
        if after:
            call()
        raise KilledError

    for owner in (flow, flow._runs, flow._catalogue):
        for name in ("_contracts", "_stripe", "_table", "_log"):
            if hasattr(owner, name):
                setattr(owner, name, Mortal(getattr(owner, name), step))
    return flow, made


def points() -> list[tuple[int, bool]]:
    """Before and after every remote call that an undisturbed run makes."""
    with world() as here:
        order = prepared(here)
        flow, made = mortal(here.flow(), 10_000, after=False)
        here.run(order, flow)
    return [(at, after) for at in range(len(made)) for after in (False, True)]


@pytest.mark.parametrize(
    "later", [timedelta(minutes=3), timedelta(hours=25)], ids=["soon", "when Stripe has forgotten its keys"]
)
@pytest.mark.parametrize(("at", "after"), points())
def test_a_process_that_is_killed(at: int, after: bool, later: timedelta, undisturbed: dict[str, Any], here: World) -> None:
    order = prepared(here)
    flow, _ = mortal(here.flow(), at, after=after)
    with pytest.raises(KilledError):
        here.run(order, flow)
    here.clock.advance(later)

    assert deliver(here, order) == []

    assert state(here, order) == undisturbed


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


def test_an_order_changed_while_a_run_was_cut_off_names_the_schedule_that_was_made(here: World) -> None:
    order = prepared(here)
    here.stripe.inject("lost_after", method="POST", path="/v1/subscription_schedules")
    with pytest.raises(UnknownOutcomeError):
        here.run(order)
    item = here.salesforce.query(f"SELECT Id FROM OrderItem WHERE OrderId = '{order}'")[0]["Id"]
    here.salesforce.update("OrderItem", item, {"Quantity": 9})

    assert here.run(order).outcome == "failed"

    record, (schedule,) = here.record("Order", order), here.schedules()
    assert schedule["id"] in record["Stripe_Sync_Message__c"]
    assert here.record("Contract", record["ContractId"])["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]


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
    def bug(*_: Any) -> None:
        raise IndexError("Acme GmbH")

    monkeypatch.setattr(OrderActivation, "_apply", bug)
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


@pytest.mark.parametrize(("at", "after"), points())
def test_a_process_that_is_killed_while_a_schedule_starts_at_once(
    at: int, after: bool, undisturbed_today: dict[str, Any], here: World
) -> None:
    """Its subscription runs and its first coupon is used up when the next run looks."""
    order = prepared(here, "2026-11-20")
    flow, _ = mortal(here.flow(), at, after=after)
    with pytest.raises(KilledError):
        here.run(order, flow)
    here.clock.advance(timedelta(minutes=3))

    assert deliver(here, order) == []

    assert undisturbed_today["objects"]["subscription"] == 1
    assert state(here, order) == undisturbed_today
