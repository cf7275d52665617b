"""The sweep: every contract that is billed is looked at in its turn, no faster than it may be."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import chain
from typing import Any

import pytest

from orderphase.errors import ConflictError, TransientError
from orderphase.flows.sweep import EVERY, ROUND, SWEEP, Sweep
from orderphase.store.contracts import ContractTable
from tests.flows.deals import MOMENT, at, sold
from tests.flows.world import World
from tests.org import line


def rounds(here: World, ticks: int, *, rate: int) -> list[list[str]]:
    """Which contracts each tick looks at."""
    found = []
    for _ in range(ticks):
        found.append(sorted(here.sweep(rate=rate)))
        here.clock.advance(EVERY)
    return found


def test_every_contract_is_looked_at_once_a_day(here: World) -> None:
    contracts = sorted(sold(here).contract for _ in range(5))
    looked = rounds(here, 6, rate=24)  # two each five minutes
    assert [len(some) for some in looked[:2]] == [2, 2]
    assert sorted(chain.from_iterable(looked)) == contracts
    here.clock.advance(ROUND)
    assert sorted(chain.from_iterable(rounds(here, 6, rate=24))) == contracts


def test_drift_is_found(here: World) -> None:
    deal = sold(here)
    schedule = here.schedule()["id"]
    here.post_to_stripe(f"/v1/subscription_schedules/{schedule}", end_behavior="release")
    assert here.sweep() == {deal.contract: "failed"}
    here.clock.advance(ROUND)
    assert here.sweep(on_drift="repair") == {deal.contract: "synced"}
    assert here.schedule()["end_behavior"] == "cancel"


def test_what_is_long_over_is_left_alone(here: World) -> None:
    over, cancelled, running = sold(here, "2026-12-01", "2027-02-01"), sold(here), sold(here, "2026-12-01", None)
    here.cancel(cancelled.order)
    at(here, "2027-02-10")
    assert set(here.sweep()) == {over.contract, running.contract}
    at(here, "2027-04-10")
    assert set(here.sweep()) == {running.contract}


def test_a_run_that_was_cut_off_is_gone_on_with(here: World) -> None:
    account = here.account()
    contract = here.contract(account)
    order = here.order(account, contract, line(here.entry()))
    here.stripe.inject("lost_after", method="POST", path="/v1/subscription_schedules")
    with pytest.raises(TransientError):
        here.run(order)
    here.clock.advance(timedelta(minutes=3))
    assert here.sweep() == {contract: "synced"}
    assert len(here.schedules()) == 1


def test_orders_that_are_billed_stay_synced_while_another_one_is_faulty(here: World) -> None:
    """Whichever order is looked at, what is wrong is told on the one that is not billed yet."""
    deal = sold(here)
    faulty = deal.change(line(deal.entry, "2027-06-01", Quantity=3), EffectiveDate="2027-06-01")
    assert here.run(faulty).outcome == "failed"
    newer = deal.change(line(here.entry(), "2027-08-01"), EffectiveDate="2027-08-01")
    assert here.run(newer).outcome == "failed"
    assert deal.statuses() == ["Synced", "Failed", "Failed"]
    for _ in range(3):
        assert here.sweep() == {deal.contract: "failed"}
        assert deal.statuses() == ["Synced", "Failed", "Failed"]
        here.clock.advance(ROUND)


def test_what_was_told_already_is_not_told_again(here: World) -> None:
    """Each write would be an event, and wake whatever the org does by itself."""
    deal = sold(here)
    second = deal.change(line(deal.entry, "2027-06-01", Quantity=3), EffectiveDate="2027-06-01")
    here.sweep()
    here.clock.advance(ROUND)
    here.forget_calls()
    assert here.sweep() == {deal.contract: "failed"}
    assert [call for call in here.salesforce.log if call.method == "PATCH"] == []
    here.salesforce.update("Order", second, {"Stripe_Sync_Status__c": None})
    here.clock.advance(ROUND)
    here.sweep()
    assert deal.statuses() == ["Synced", "Failed"], "somebody has taken it away"


def test_what_stripe_refuses_is_told_once(here: World) -> None:
    account, entry = here.account(), here.entry()
    contract = here.contract(account)
    order = here.order(account, contract, line(entry))
    here.stripe.inject("refuse", error="402", method="POST", path="/v1/subscription_schedules", times=9)
    first = here.reconcile(contract)
    assert (first.outcome, first.news, here.record("Order", order)["Stripe_Sync_Status__c"]) == ("failed", True, "Failed")
    here.clock.advance(ROUND)
    here.forget_calls()
    again = here.reconcile(contract)
    assert (again.outcome, again.news) == ("failed", False)
    assert [call for call in here.salesforce.log if call.method == "PATCH"] == []
    here.salesforce.update("Order", order, {"Stripe_Sync_Status__c": None})
    here.clock.advance(ROUND)
    here.reconcile(contract)
    assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Failed", "somebody has taken it away"
    assert [call.method for call in here.salesforce.log].count("PATCH") == 1


def test_what_is_wrong_again_is_news_again(here: World) -> None:
    deal = sold(here)
    second = deal.change(line(deal.entry, "2027-06-01", Quantity=2.5), EffectiveDate="2027-06-01")
    (faulty,) = here.lines_of(second)
    seen = []
    for quantity in (2.5, 2.5, 1, 2.5):
        here.salesforce.update("OrderItem", faulty, {"Quantity": quantity})
        here.clock.advance(ROUND)
        report = here.reconcile(deal.contract)
        seen.append((report.outcome, report.news))
    assert seen == [("failed", True), ("failed", False), ("synced", True), ("failed", True)]


def test_what_could_not_be_told_is_news_still(here: World) -> None:
    account, entry = here.account(), here.entry(interval=None)
    contract = here.contract(account)
    order = here.order(account, contract, line(entry))
    here.salesforce.inject("refuse", error="UNABLE_TO_LOCK_ROW", method="PATCH", times=3)
    with pytest.raises(TransientError):
        here.run(order)
    here.clock.advance(ROUND)
    report = here.run(order)
    assert (report.outcome, report.news) == ("failed", True)


def test_what_is_wrong_with_an_order_that_is_billed_is_news_once(here: World) -> None:
    """It stays as it is, and says nothing of it; the sync log does."""
    deal = sold(here)
    second = deal.change(line(deal.entry, "2027-12-01", "2028-12-01"), EffectiveDate="2027-12-01")
    here.run(second)
    here.salesforce.update("OrderItem", deal.line, {"Quantity": 2.5})
    seen = []
    for _ in range(3):
        here.clock.advance(ROUND)
        seen.append(here.reconcile(deal.contract))
    assert [(report.outcome, report.news) for report in seen] == [("failed", True), ("failed", False), ("failed", False)]


def test_a_first_order_that_failed_is_looked_at_again(here: World) -> None:
    """What puts it right may be no change of the order."""
    account, entry = here.account(), here.entry(interval=None)
    contract = here.contract(account)
    order = here.order(account, contract, line(entry))
    assert here.run(order).outcome == "failed"
    here.salesforce.update("PricebookEntry", entry, {"Stripe_Billing_Interval__c": "month"})
    here.clock.advance(MOMENT)
    assert here.sweep() == {contract: "synced"}
    assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Synced"
    assert "failed_in" not in here.ledger(contract)


def test_a_contract_without_any_order_that_is_billed_still_is_told(here: World) -> None:
    deal = sold(here)
    here.salesforce.update("Order", deal.order, {"Status": "Draft"})
    here.salesforce.delete("Order", deal.order)
    assert here.sweep() == {deal.contract: "failed"}
    assert "has no order any more" in here.log_entries()[-1]["message"]


def test_what_somebody_has_ended_in_stripe_is_not_made_again(here: World) -> None:
    """Only a change in Salesforce lets a contract start anew, where the policy wants that."""
    deal = sold(here)
    at(here, "2027-02-10")
    recreate: dict[str, Any] = {"on_schedule_ended": "recreate"}
    here.post_to_stripe(f"/v1/subscription_schedules/{here.schedule()['id']}/cancel")
    assert here.sweep(**recreate) == {deal.contract: "failed"}
    assert len(here.schedules()) == 1
    here.salesforce.update("OrderItem", deal.line, {"Quantity": 2})
    here.clock.advance(MOMENT)
    assert here.poll(**recreate) == {deal.contract: "synced"}
    assert len(here.schedules()) == 2


def test_a_tick_that_breaks_off_is_made_good(here: World) -> None:
    deal = sold(here)

    def unwilling(*_: Any) -> None:
        raise TransientError("the queue is away")

    with pytest.raises(TransientError):
        Sweep(ContractTable(here.dynamodb, "contracts"), here.progress(), unwilling, rate=60).run(here.clock.now())
    assert here.sweep() == {deal.contract: "unchanged"}


def test_of_two_ticks_at_once_one_is_told(here: World) -> None:
    sold(here)

    def meanwhile(*_: Any) -> None:
        here.progress().write(SWEEP, {"cursor": None, "began": datetime.now().astimezone().isoformat()}, 0)

    with pytest.raises(ConflictError):
        Sweep(ContractTable(here.dynamodb, "contracts"), here.progress(), meanwhile, rate=60).run(here.clock.now())
