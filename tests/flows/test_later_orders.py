"""Order activation: what comes after a contract has its schedule."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orderphase.errors import UnknownOutcomeError
from tests.flows.world import ACCOUNT, World
from tests.org import line


class TestMoreOrders:
    def test_orders_activated_before_the_first_run_share_one_schedule(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        first = here.order(account, contract, line(here.entry()))
        second = here.order(account, contract, line(here.entry(), "2027-05-01"))

        assert here.run(second).outcome == "synced"
        assert here.run(first).outcome == "unchanged"

        (schedule,) = here.schedules()
        assert len(schedule["phases"]) == 2
        assert schedule["metadata"]["salesforce_order_id"] == first
        for order in (first, second):
            assert here.record("Order", order)["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]
            assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Synced"

    def test_a_later_order_changes_nothing_about_an_earlier_one(self, here: World) -> None:
        """The first order's event comes again when a change order, even a faulty one, is there: it is still Synced."""
        account = here.account()
        contract = here.contract(account)
        first = here.order(account, contract, line(here.entry()))
        here.run(first)
        record = here.record("Order", first)
        here.order(account, contract, line(here.entry(), Quantity=1.5))
        assert here.run(first).outcome == "failed"
        assert here.record("Order", first) == record

    def test_an_order_that_came_while_a_run_was_cut_off_is_billed_with_it(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        first = here.order(account, contract, line(here.entry()))
        here.stripe.inject("lost_after", method="POST", path="/v1/subscription_schedules")
        with pytest.raises(UnknownOutcomeError):
            here.run(first)
        second = here.order(account, contract, line(here.entry(), "2027-05-01"))

        assert here.run(first).outcome == "synced"
        assert here.run(second).outcome == "unchanged"

        (schedule,) = here.schedules()
        assert len(schedule["phases"]) == 2
        for order in (first, second):
            assert here.record("Order", order)["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]
            assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Synced"

    def test_a_cleared_schedule_id_is_found_again_while_the_schedule_lives(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        order = here.order(account, contract, line(here.entry()))
        here.run(order)
        (schedule,) = here.schedules()
        for kind, record in (("Order", order), ("Contract", contract)):
            here.salesforce.update(kind, record, {"Stripe_Subscription_Schedule_Id__c": None})

        assert here.run(order).outcome == "synced"

        assert here.schedules() == [schedule]
        assert here.record("Contract", contract)["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]
        assert here.record("Order", order)["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]

    def test_a_cancelled_schedule_whose_id_is_cleared_makes_room_for_a_new_one(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        order = here.order(account, contract, line(here.entry()))
        here.run(order)
        (schedule,) = here.schedules()
        here.post_to_stripe(f"/v1/subscription_schedules/{schedule['id']}/cancel")
        for kind, record in (("Order", order), ("Contract", contract)):
            here.salesforce.update(kind, record, {"Stripe_Subscription_Schedule_Id__c": None})

        assert here.run(order).outcome == "synced"

        assert [one["status"] for one in here.schedules()] == ["canceled", "not_started"]
        assert here.ledger(contract)["intent"]["generation"] == 2


class TestMoves:
    def moved(self, here: World, order: str, **fields: Any) -> None:
        """The order is taken back, changed, and activated again, as Salesforce allows."""
        here.salesforce.update("Order", order, {"Status": "Draft"})
        here.salesforce.update("Order", order, fields)
        here.salesforce.update("Order", order, {"Status": "Activated"})

    def test_an_order_moved_to_another_contract_is_not_billed_twice(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry()))
        here.run(order)
        self.moved(here, order, ContractId=here.contract(account))

        report = here.run(order)

        assert [finding.code for finding in report.findings] == ["billed_elsewhere"]
        (schedule,) = here.schedules()
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Failed"
        assert schedule["id"] in here.record("Order", order)["Stripe_Sync_Message__c"]

    def test_a_clone_that_carries_the_id_of_its_original_is_billed(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        for contract in (None, here.contract(account)):
            original = here.order(account, None, line(entry))
            here.run(original)
            stale = {"Stripe_Subscription_Schedule_Id__c": here.record("Order", original)["Stripe_Subscription_Schedule_Id__c"]}
            clone = here.order(account, contract, line(entry), **stale)
            assert here.run(clone).outcome == "synced"
            assert here.record("Order", clone)["Stripe_Subscription_Schedule_Id__c"] == here.schedules()[-1]["id"]
        assert len(here.schedules()) == 4

    def test_an_order_moved_to_another_account_is_refused(self, here: World) -> None:
        ours, theirs = here.account(), here.account(Name="Other Inc")
        order = here.order(ours, None, line(here.entry()))
        here.run(order)
        self.moved(here, order, AccountId=theirs)

        report = here.run(order)

        assert [finding.code for finding in report.findings] == ["account_changed"]
        assert here.record("Account", theirs)["Stripe_Customer_Id__c"] is None
        assert len(here.schedules()) == 1

    def test_what_changes_outside_an_order_leaves_it_synced(self, here: World) -> None:
        account, entry = here.account(), here.entry(10)
        order = here.order(account, here.contract(account), line(entry))
        here.run(order)
        here.salesforce.update("PricebookEntry", entry, {"UnitPrice": 12, "Stripe_Price_Id__c": "price_other"})
        assert here.run(order, proration_behavior="none").outcome == "unchanged"
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Synced"

    def test_a_released_schedule_whose_subscription_goes_on_is_not_made_again(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        order = here.order(account, contract, line(here.entry(), "2026-11-20", None), EffectiveDate="2026-11-20")
        here.run(order)
        here.clock.advance(timedelta(days=400))
        for kind, record in (("Order", order), ("Contract", contract)):
            here.salesforce.update(kind, record, {"Stripe_Subscription_Schedule_Id__c": None})
        assert here.run(order).outcome == "synced"
        assert [schedule["status"] for schedule in here.schedules()] == ["released"]
        assert len(here.stripe.objects(ACCOUNT, "subscription")) == 1
