"""A contract that is held against Stripe without an event of its own."""

from __future__ import annotations

from typing import Any

import pytest

from orderphase.errors import TransientError
from tests.flows.deals import MOMENT, at, billed, sold
from tests.flows.world import ACCOUNT, World
from tests.org import line

REPAIR: dict[str, Any] = {"on_drift": "repair"}


def first_quantity(here: World) -> int:
    return int(here.schedule()["phases"][0]["items"][0]["quantity"])


def make_two(here: World) -> None:
    """Somebody sells two in Stripe, past us."""
    schedule = here.schedule()
    (phase,) = schedule["phases"]
    values = {
        "phases[0][items][0][price]": phase["items"][0]["price"],
        "phases[0][items][0][quantity]": "2",
        "phases[0][start_date]": str(phase["start_date"]),
        "phases[0][end_date]": str(phase["end_date"]),
        "phases[0][currency]": "usd",
    }
    here.post_to_stripe(f"/v1/subscription_schedules/{schedule['id']}", **values)


class TestWhatEventsMiss:
    def test_where_both_sides_agree_nothing_is_written(self, here: World) -> None:
        deal = sold(here)
        writes = here.stripe.writes()
        assert here.reconcile(deal.contract).outcome == "unchanged"
        assert here.stripe.writes() == writes
        assert [call for call in here.salesforce.log if call.method == "PATCH"] == []
        assert (len(here.salesforce.calls("/composite")), len(here.stripe.log)) == (1, 1)

    def test_an_activation_that_nobody_told(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        order = here.order(account, contract, line(here.entry()))
        assert here.reconcile(contract).outcome == "synced"
        assert here.record("Order", order)["Stripe_Subscription_Schedule_Id__c"] == here.schedule()["id"]
        assert here.log_entries()[-1]["flow"] == "reconciliation"

    def test_an_order_without_a_contract(self, here: World) -> None:
        order = here.order(here.account(), None, line(here.entry()))
        assert here.reconcile(order).outcome == "synced"
        assert here.reconcile(order, order_id=order).outcome == "unchanged"
        assert len(here.schedules()) == 1

    def test_an_order_that_has_got_a_contract_since(self, here: World) -> None:
        account = here.account()
        order = here.order(account, None, line(here.entry()), activated=False)
        contract = here.contract(account)
        here.salesforce.update("Order", order, {"ContractId": contract})
        here.salesforce.update("Order", order, {"Status": "Activated"})
        assert here.reconcile(order).outcome == "synced"
        assert here.schedule()["metadata"]["salesforce_contract_id"] == contract

    def test_a_change_order_and_an_edit_that_nobody_told(self, here: World) -> None:
        deal = sold(here)
        other = here.entry()
        deal.change(line(other, "2027-06-01"), EffectiveDate="2027-06-01")
        here.salesforce.update("OrderItem", deal.line, {"Quantity": 3})
        assert here.reconcile(deal.contract).outcome == "synced"
        assert [items for *_, items in billed(here)] == [{deal.entry: 3}, {deal.entry: 3, other: 1}]
        assert deal.statuses() == ["Synced", "Synced"]

    def test_one_of_its_orders_is_named_and_told_what_is_wrong(self, here: World) -> None:
        deal = sold(here)
        wrong = deal.change(line(here.entry(), Quantity=2.5))
        newer = deal.change(line(here.entry(), "2027-06-01"), EffectiveDate="2027-06-01")
        assert here.reconcile(deal.contract, order_id=wrong).outcome == "failed"
        assert here.record("Order", wrong)["Stripe_Sync_Status__c"] == "Failed"
        assert here.record("Order", newer)["Stripe_Sync_Status__c"] is None

    @pytest.mark.parametrize("gone", ["deactivated", "moved", "deleted"])
    def test_the_order_that_is_named_leads_there_no_more(self, here: World, gone: str) -> None:
        deal = sold(here)
        named = deal.change(line(here.entry(), "2027-06-01"), EffectiveDate="2027-06-01")
        here.salesforce.update("Order", named, {"Status": "Draft"})
        if gone == "moved":
            here.salesforce.update("Order", named, {"ContractId": here.contract(deal.account)})
        if gone == "deleted":
            here.salesforce.delete("Order", named)
        assert here.reconcile(deal.contract, order_id=named).outcome == "unchanged"
        assert here.log_entries()[-1]["order_id"] == deal.order


class TestWhatIsLeftAlone:
    def test_a_draft(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        order = here.order(account, contract, line(here.entry()), activated=False)
        here.forget_calls()
        assert here.reconcile(contract, order_id=order).outcome == "skipped"
        assert here.record("Order", order)["Stripe_Sync_Status__c"] is None
        assert here.stripe.log == []

    def test_a_contract_whose_orders_are_no_longer_activated(self, here: World) -> None:
        deal = sold(here)
        here.salesforce.update("Order", deal.order, {"Status": "Draft"})
        writes = here.stripe.writes()
        report = here.reconcile(deal.contract)
        assert report.outcome == "skipped"
        assert f"{here.schedule()['id']} goes on unchanged" in report.message
        assert here.stripe.writes() == writes

    def test_a_contract_without_orders(self, here: World) -> None:
        contract = here.contract(here.account())
        assert here.reconcile(contract).outcome == "skipped"

    def test_a_contract_of_another_org(self, here: World) -> None:
        deal = sold(here)
        assert here.reconcile(deal.contract, org_id="00D000000000009AAA").outcome == "skipped"
        assert here.salesforce.calls("/composite") == []

    def test_a_cancelled_contract_stays_so(self, here: World) -> None:
        deal = sold(here)
        here.cancel(deal.order)
        here.clock.advance(MOMENT)
        writes = here.stripe.writes()
        assert here.reconcile(deal.contract).outcome == "unchanged"
        assert here.stripe.writes() == writes


class TestDrift:
    def test_it_is_told(self, here: World) -> None:
        deal = sold(here)
        make_two(here)
        report = here.reconcile(deal.contract)
        assert report.outcome == "failed"
        assert [finding.code for finding in report.findings] == ["schedule_edited"]
        assert first_quantity(here) == 2
        assert here.record("Order", deal.order)["Stripe_Sync_Status__c"] == "Failed"

    def test_what_was_told_already_is_not_told_again(self, here: World) -> None:
        """Not even with another date: what is different now is different a day later as well."""
        deal = sold(here)
        make_two(here)
        at(here, "2027-02-10")
        first = here.reconcile(deal.contract)
        assert first.news
        assert "quantity 1 → 2 from now on" in first.message
        told = here.record("Order", deal.order)["Stripe_Sync_Message__c"]
        for day in ("2027-02-11", "2027-02-12"):
            at(here, day)
            here.forget_calls()
            again = here.reconcile(deal.contract)
            assert (again.outcome, again.news) == ("failed", False)
            assert [call for call in here.salesforce.log if call.method == "PATCH"] == []
        assert here.record("Order", deal.order)["Stripe_Sync_Message__c"] == told

    def test_it_is_repaired(self, here: World) -> None:
        deal = sold(here)
        make_two(here)
        assert here.reconcile(deal.contract, **REPAIR).outcome == "synced"
        assert first_quantity(here) == 1
        here.clock.advance(MOMENT)
        assert here.reconcile(deal.contract, **REPAIR).outcome == "unchanged"

    def test_a_subscription_that_was_cancelled_in_stripe(self, here: World) -> None:
        deal = sold(here)
        at(here, "2027-02-10")
        here.delete_in_stripe(f"/v1/subscriptions/{here.subscription()['id']}")
        report = here.reconcile(deal.contract)
        assert report.outcome == "failed"
        assert here.record("Order", deal.order)["Stripe_Sync_Status__c"] == "Failed"
        assert len(here.schedules()) == 1

    def test_ids_that_somebody_has_cleared_in_salesforce(self, here: World) -> None:
        deal = sold(here)
        schedule = here.schedule()["id"]
        for kind, record in (("Contract", deal.contract), ("Order", deal.order)):
            here.salesforce.update(kind, record, {"Stripe_Subscription_Schedule_Id__c": None})
        assert here.reconcile(deal.contract).outcome == "synced"
        assert here.record("Contract", deal.contract)["Stripe_Subscription_Schedule_Id__c"] == schedule
        assert here.record("Order", deal.order)["Stripe_Subscription_Schedule_Id__c"] == schedule
        assert len(here.schedules()) == 1

    def test_an_edit_of_a_schedule_that_was_adopted(self, here: World) -> None:
        """It carries no number of ours; that somebody has edited it since is told all the same."""
        deal = sold(here)
        here.dynamodb.delete_item(TableName="contracts", Key={"contract_id": {"S": deal.contract}})
        here.post_to_stripe(f"/v1/subscription_schedules/{here.schedule()['id']}", **{"metadata[orderphase_generation]": ""})
        assert here.reconcile(deal.contract).outcome == "unchanged"
        here.clock.advance(MOMENT)
        make_two(here)
        report = here.reconcile(deal.contract)
        assert [finding.code for finding in report.findings] == ["schedule_edited"]
        assert first_quantity(here) == 2


class TestWhenItWasSeen:
    def test_it_is_when_salesforce_was_read(self, here: World) -> None:
        deal = sold(here)
        read_at = here.clock.now().timestamp()
        here.reconcile(deal.contract)
        assert float(here.ledger(deal.contract)["seen_at"]) == pytest.approx(read_at, abs=0.001)

    def test_a_run_that_was_interrupted_has_seen_nothing(self, here: World) -> None:
        deal = sold(here)
        before = here.ledger(deal.contract)["seen_at"]
        here.clock.advance(MOMENT)
        here.stripe.inject("refuse", error="429", times=5)
        with pytest.raises(TransientError):
            here.reconcile(deal.contract)
        assert here.ledger(deal.contract)["seen_at"] == before

    @pytest.mark.parametrize("with_contract", [True, False])
    def test_what_cannot_be_read_is_told_and_has_been_seen_all_the_same(self, here: World, with_contract: bool) -> None:
        """Or it would be queued again and again."""
        account = here.account()
        contract = here.contract(account) if with_contract else None
        order = here.order(account, contract, line(here.entry()), Stripe_Days_Until_Due__c=-1)
        assert here.reconcile(contract or order, order_id=order).outcome == "failed"
        assert "seen_at" in here.ledger(contract or order)
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Failed"
        assert here.stripe.objects(ACCOUNT, "subscription_schedule") == []
