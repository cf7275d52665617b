"""What other people do in Stripe: edits of a schedule and of its subscription, releases, cancellations, deletions."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from orderphase.errors import UnknownOutcomeError
from orderphase.flows.runs import Report
from tests.flows.deals import MOMENT, Deal, at, billed, codes, sold
from tests.flows.world import ACCOUNT, KEY, World
from tests.org import line

REPAIR: dict[str, Any] = {"on_drift": "repair"}
RECREATE: dict[str, Any] = {"on_schedule_ended": "recreate"}


def running(here: World, **fields: Any) -> Deal:
    """A contract of a year, billed each month from the 1st; it is 10 February 2027."""
    deal = sold(here, **fields)
    at(here, "2027-02-10")
    assert here.run(deal.order).outcome == "synced"  # Salesforce is told of the subscription
    here.clock.advance(MOMENT)
    here.forget_calls()
    return deal


def edit_subscription(here: World, **values: str) -> None:
    """Change the subscription's one item by hand."""
    subscription = here.subscription()
    item = {"items[0][id]": subscription["items"]["data"][0]["id"]} if any(name.startswith("items") for name in values) else {}
    here.post_to_stripe(f"/v1/subscriptions/{subscription['id']}", **item, **values)


def edit_schedule(here: World, **values: str) -> None:
    """Change the schedule by hand, its one phase by whole."""
    schedule = here.schedule()
    (phase,) = schedule["phases"][-1:]
    sent = {
        "phases[0][start_date]": str(phase["start_date"]),
        "phases[0][end_date]": str(phase["end_date"]),
        "phases[0][items][0][price]": phase["items"][0]["price"],
        "phases[0][items][0][quantity]": str(phase["items"][0]["quantity"]),
        "end_behavior": schedule["end_behavior"],
    }
    here.post_to_stripe(f"/v1/subscription_schedules/{schedule['id']}", **sent | values)


def end(here: World, verb: str) -> None:
    here.post_to_stripe(f"/v1/subscription_schedules/{here.schedule()['id']}/{verb}")


def delete(here: World, path: str) -> None:
    requests.delete(f"{here.stripe_url}{path}", auth=(KEY, ""), timeout=10).raise_for_status()


def coupon(here: World) -> str:
    here.post_to_stripe("/v1/coupons", id="courtesy", percent_off="50", duration="forever")
    return "courtesy"


class TestEdits:
    def edit(self, here: World, kind: str) -> None:
        if kind == "quantity":
            edit_subscription(here, **{"items[0][quantity]": "9"})
        elif kind == "quantity to come":
            edit_schedule(here, **{"phases[0][items][0][quantity]": "9"})
        elif kind == "discount":
            edit_subscription(here, **{"discounts[0][coupon]": coupon(here)})
        elif kind == "item discount":
            edit_subscription(here, **{"items[0][discounts][0][coupon]": coupon(here)})
        elif kind == "end":
            edit_schedule(here, **{"phases[0][end_date]": "1830000000"})
        elif kind == "end behavior":
            edit_schedule(here, end_behavior="release")
        elif kind == "collection":
            method = {"collection_method": "send_invoice", "invoice_settings][days_until_due": "30"}
            edit_schedule(here, **{f"phases[0][{name}]": value for name, value in method.items()})

    KINDS = ("quantity", "quantity to come", "discount", "item discount", "end", "end behavior", "collection")

    @pytest.mark.parametrize("kind", KINDS)
    def test_it_is_told_and_left_alone(self, here: World, kind: str) -> None:
        deal = running(here)
        self.edit(here, kind)
        here.clock.advance(MOMENT)
        edited, writes = here.schedule(), here.stripe.writes()

        report = here.run(deal.order)

        assert (report.outcome, codes(report)) == ("failed", ["schedule_edited"])
        assert (here.schedule(), here.stripe.writes()) == (edited, writes)
        record = here.record("Order", deal.order)
        assert record["Stripe_Sync_Status__c"] == "Failed"
        assert "was changed in Stripe" in record["Stripe_Sync_Message__c"]
        assert here.run(deal.order).outcome == "failed"

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_policy_puts_it_back(self, here: World, kind: str) -> None:
        deal = running(here)
        self.edit(here, kind)
        here.clock.advance(MOMENT)

        report = here.run(deal.order, **REPAIR)

        assert (report.outcome, codes(report)) == ("synced", ["schedule_edited"])
        assert billed(here)[-1][1:] == ("2027-12-01", {deal.entry: 1})
        schedule, subscription = here.schedule(), here.subscription()
        assert (schedule["end_behavior"], subscription["collection_method"]) == ("cancel", "charge_automatically")
        assert subscription["items"]["data"][0]["quantity"] == 1
        assert subscription["discounts"] == subscription["items"]["data"][0]["discounts"] == []
        assert deal.statuses() == ["Synced"]
        here.clock.advance(MOMENT)
        assert here.run(deal.order, **REPAIR).outcome == "unchanged"
        assert here.run(deal.order).outcome == "unchanged"

    @pytest.mark.parametrize(
        ("kind", "told"),
        [
            ("quantity", "quantity 1 → 9 from now on"),
            ("discount", "discount none → 50% from now on"),
            ("end", "- 1 of"),
            ("collection", "collection_method charge_automatically → send_invoice"),
        ],
    )
    def test_what_was_changed_is_named(self, here: World, kind: str, told: str) -> None:
        deal = running(here)
        self.edit(here, kind)
        here.clock.advance(MOMENT)
        message = here.run(deal.order).message
        assert told.removeprefix("- ") in message

    def test_taken_over_into_salesforce_it_is_no_difference(self, here: World) -> None:
        deal = running(here)
        self.edit(here, "quantity")
        here.clock.advance(MOMENT)
        here.salesforce.update("OrderItem", deal.line, {"Quantity": 9})
        report = here.change_line(deal.line)
        assert "schedule_edited" not in codes(report)
        assert deal.statuses() == ["Synced"]
        here.clock.advance(MOMENT)
        assert here.change_line(deal.line).outcome == "unchanged"

    def test_taken_back_in_stripe_it_is_synced_again(self, here: World) -> None:
        deal = running(here)
        self.edit(here, "quantity")
        here.clock.advance(MOMENT)
        assert here.run(deal.order).outcome == "failed"
        edit_subscription(here, **{"items[0][quantity]": "1"})
        here.clock.advance(MOMENT)
        assert here.run(deal.order).outcome == "synced"
        assert deal.statuses() == ["Synced"]

    def test_a_change_order_does_not_overwrite_it(self, here: World) -> None:
        deal = running(here)
        self.edit(here, "quantity")
        here.clock.advance(MOMENT)
        edited = here.schedule()
        second = deal.change(line(here.entry(), "2027-05-01"), EffectiveDate="2027-05-01")
        assert codes(here.run(second)) == ["schedule_edited"]
        assert here.schedule() == edited
        assert here.run(second, **REPAIR).outcome == "synced"
        assert deal.statuses() == ["Synced", "Synced"]

    def test_what_means_the_same_is_no_edit(self, here: World) -> None:
        """Metadata by hand, and a quantity there and back, by which Stripe has split the phase."""
        deal = running(here)
        for quantity in ("9", "1"):
            edit_subscription(here, **{"items[0][quantity]": quantity, "metadata[note]": "a"})
            here.clock.advance(MOMENT)
        assert len(here.schedule()["phases"]) == 3
        assert here.run(deal.order).outcome == "unchanged"

    def test_before_the_start(self, here: World) -> None:
        deal = sold(here)
        edit_schedule(here, **{"phases[0][items][0][quantity]": "9"})
        assert codes(here.run(deal.order)) == ["schedule_edited"]
        assert here.run(deal.order, **REPAIR).outcome == "synced"
        assert billed(here) == [("2026-12-01", "2027-12-01", {deal.entry: 1})]


class TestEnds:
    def refused(self, here: World, deal: Deal, report: Report, *expected: str) -> None:
        assert (report.outcome, codes(report)) == ("failed", [*expected])
        assert here.record("Order", deal.order)["Stripe_Sync_Status__c"] == "Failed"

    @pytest.mark.parametrize("verb", ["release", "cancel"])
    def test_by_hand_it_is_told(self, here: World, verb: str) -> None:
        deal = running(here)
        end(here, verb)
        writes = here.stripe.writes()
        self.refused(here, deal, here.run(deal.order), "schedule_ended")
        assert here.stripe.writes() == writes
        message = here.record("Order", deal.order)["Stripe_Sync_Message__c"]
        assert f"was {'released' if verb == 'release' else 'canceled'}" in message

    def test_cancelled_it_is_made_anew(self, here: World) -> None:
        deal = running(here)
        end(here, "cancel")
        report = here.run(deal.order, **RECREATE)
        assert (report.outcome, "schedule_ended" in codes(report)) == ("synced", True)
        old, new = here.schedules()
        assert (old["status"], new["status"]) == ("canceled", "active")
        assert billed(here, new) == [("2027-02-10 12:01", "2027-12-01", {deal.entry: 1})]
        for kind, record in (("Order", deal.order), ("Contract", deal.contract)):
            assert here.record(kind, record)["Stripe_Subscription_Schedule_Id__c"] == new["id"]
        here.clock.advance(MOMENT)
        assert here.run(deal.order).outcome == "unchanged"

    def test_released_its_subscription_is_taken_over(self, here: World) -> None:
        deal = running(here)
        end(here, "release")
        report = here.run(deal.order, **RECREATE)
        assert report.outcome == "synced"
        old, new = here.schedules()
        assert (old["status"], new["status"]) == ("released", "active")
        assert new["subscription"] == here.subscription()["id"] == old["released_subscription"]
        assert billed(here, new)[-1] == ("2027-02-01", "2027-12-01", {deal.entry: 1})
        assert new["metadata"]["salesforce_contract_id"] == deal.contract
        assert here.record("Order", deal.order)["Stripe_Subscription_Schedule_Id__c"] == new["id"]
        here.clock.advance(MOMENT)
        assert here.run(deal.order).outcome == "unchanged"

    def test_the_subscription_alone(self, here: World) -> None:
        deal = running(here)
        delete(here, f"/v1/subscriptions/{here.subscription()['id']}")
        self.refused(here, deal, here.run(deal.order), "schedule_ended")
        assert here.run(deal.order, **RECREATE).outcome == "synced"
        assert [one["status"] for one in here.stripe.objects(ACCOUNT, "subscription")] == ["canceled", "active"]

    def test_cleared_ids_start_anew_without_a_policy(self, here: World) -> None:
        deal = running(here)
        end(here, "cancel")
        here.salesforce.update("Contract", deal.contract, {"Stripe_Subscription_Schedule_Id__c": None})
        assert here.run(deal.order).outcome == "synced"
        assert [schedule["status"] for schedule in here.schedules()] == ["canceled", "active"]
        assert here.record("Contract", deal.contract)["Stripe_Subscription_Schedule_Id__c"] == here.schedules()[1]["id"]

    def test_at_its_own_end_nothing_is_missing(self, here: World) -> None:
        deal = running(here)
        at(here, "2027-12-10")
        assert here.schedule()["status"] == "completed"
        writes = here.stripe.writes()
        assert here.run(deal.order).outcome == "unchanged"
        assert here.stripe.writes() == writes

    def test_more_was_sold_after_its_own_end(self, here: World) -> None:
        """The renewal comes after everything was over: that is a new subscription, and for a person to say."""
        deal = running(here)
        at(here, "2027-12-10")
        second = deal.change(line(deal.entry, "2027-12-01", "2028-12-01"), EffectiveDate="2027-12-01")
        assert "schedule_ended" in codes(here.run(second))
        assert here.run(second, **RECREATE).outcome == "synced"
        assert billed(here, here.schedules()[1]) == [("2027-12-10 12:00", "2028-12-01", {deal.entry: 1})]
        assert deal.statuses() == ["Synced", "Synced"]

    def test_more_is_sold_on_top_of_what_goes_on_by_itself(self, here: World) -> None:
        """An open contract has been let go at the end of its phase; a change order takes it over."""
        deal = running(here, end=None)
        at(here, "2029-02-10")
        other = here.entry()
        second = deal.change(line(other, "2028-12-01", None), EffectiveDate="2028-12-01")
        report = here.run(second)
        assert (report.outcome, "schedule_ended" in codes(report)) == ("synced", False)
        new = here.schedules()[1]
        assert new["subscription"] == here.subscription()["id"]
        assert billed(here, new)[-1][2] == {deal.entry: 1, other: 1}
        assert {item["quantity"] for item in here.subscription()["items"]["data"]} == {1}
        assert len(here.subscription()["items"]["data"]) == 2
        assert deal.statuses() == ["Synced", "Synced"]

    def test_a_contract_that_salesforce_was_not_told_of(self, here: World) -> None:
        """A new schedule was made; the contract still names the one that somebody has let go."""
        deal = sold(here)
        here.post_to_stripe(f"/v1/subscription_schedules/{here.schedule()['id']}/release")
        here.salesforce.inject("refuse", error="500", method="PATCH", times=3)
        here.salesforce.update("OrderItem", deal.line, {"Quantity": 3})
        with pytest.raises(UnknownOutcomeError):
            here.change_line(deal.line, **RECREATE)
        here.clock.advance(MOMENT)
        assert here.change_line(deal.line, **RECREATE).outcome == "synced"
        old, new = here.schedules()
        record = here.record("Contract", deal.contract)
        assert record["Stripe_Subscription_Schedule_Id__c"] == new["id"] != old["id"]
        assert new["phases"][0]["items"][0]["quantity"] == 3
        here.clock.advance(MOMENT)
        assert here.run(deal.order, **RECREATE).outcome == "unchanged"

    def test_an_order_without_a_contract_that_salesforce_was_not_told_of(self, here: World) -> None:
        """Its subscription was taken over by a new schedule; the order still names the old one."""
        account, entry = here.account(), here.entry()
        order = here.order(account, None, line(entry, end=None))
        here.run(order)
        at(here, "2029-02-10")
        (item,) = here.lines_of(order)
        here.salesforce.update("OrderItem", item, {"Quantity": 3})
        here.salesforce.inject("refuse", error="500", method="PATCH", times=3)
        with pytest.raises(UnknownOutcomeError):
            here.change_line(item)
        here.clock.advance(MOMENT)
        assert here.change_line(item).outcome == "synced"
        record, new = here.record("Order", order), here.schedules()[1]
        assert record["Stripe_Subscription_Schedule_Id__c"] == new["id"]
        assert here.subscription()["items"]["data"][0]["quantity"] == 3
        here.clock.advance(MOMENT)
        assert here.run(order).outcome == "unchanged"

    @pytest.mark.parametrize("start", ["2026-12-01", "2027-12-01"])
    def test_a_customer_that_is_deleted(self, here: World, start: str) -> None:
        deal = sold(here, start, "2028-12-01")
        at(here, "2027-02-10")
        delete(here, f"/v1/customers/{here.record('Account', deal.account)['Stripe_Customer_Id__c']}")
        report = here.run(deal.order, **RECREATE)
        assert report.outcome == "failed"
        assert "customer_deleted" in codes(report)
        here.salesforce.update("Contract", deal.contract, {"Stripe_Subscription_Schedule_Id__c": None})
        here.salesforce.update("Account", deal.account, {"Stripe_Customer_Id__c": None})
        here.clock.advance(MOMENT)
        assert here.run(deal.order).outcome == "synced"
        assert here.schedules()[-1]["status"] == ("active" if start == "2026-12-01" else "not_started")
        assert here.record("Account", deal.account)["Stripe_Customer_Id__c"] == here.schedules()[-1]["customer"]


class TestIds:
    def test_an_id_that_points_to_nothing(self, here: World) -> None:
        deal = running(here)
        here.salesforce.update("Contract", deal.contract, {"Stripe_Subscription_Schedule_Id__c": "sub_sched_gone"})
        report = here.run(deal.order)
        assert codes(report) == ["schedule_missing"]
        assert "sub_sched_gone" in here.record("Order", deal.order)["Stripe_Sync_Message__c"]
        assert len(here.schedules()) == 1
        here.salesforce.update("Contract", deal.contract, {"Stripe_Subscription_Schedule_Id__c": None})
        here.clock.advance(MOMENT)
        assert here.run(deal.order).outcome == "synced"
        assert here.record("Contract", deal.contract)["Stripe_Subscription_Schedule_Id__c"] == here.schedule()["id"]

    def test_an_id_of_another_contract(self, here: World) -> None:
        deal, other = running(here), here.account(Name="Other Inc")
        theirs = here.contract(other)
        here.run(here.order(other, theirs, line(here.entry())))
        ours, foreign = here.schedules()
        here.salesforce.update("Contract", theirs, {"Stripe_Subscription_Schedule_Id__c": None})  # the field is unique
        here.salesforce.update("Contract", deal.contract, {"Stripe_Subscription_Schedule_Id__c": foreign["id"]})
        report = here.run(deal.order)
        assert codes(report) == ["billed_elsewhere"]
        assert theirs in report.message
        assert here.schedules() == [ours, foreign]
        assert here.record("Order", deal.order)["Stripe_Subscription_Schedule_Id__c"] == ours["id"]

    def test_a_cancelled_contract_does_not_cancel_another_ones_schedule(self, here: World) -> None:
        deal, other = running(here), here.account(Name="Other Inc")
        here.cancel(deal.order)
        theirs = here.contract(other)
        here.run(here.order(other, theirs, line(here.entry())))
        ours, foreign = here.schedules()
        here.salesforce.update("Contract", theirs, {"Stripe_Subscription_Schedule_Id__c": None})
        for schedule, code in ((foreign["id"], "billed_elsewhere"), ("sub_sched_gone", "schedule_missing")):
            here.clock.advance(MOMENT)
            here.salesforce.update("Contract", deal.contract, {"Stripe_Subscription_Schedule_Id__c": schedule})
            assert codes(here.run(deal.order)) == [code]
            assert codes(here.cancel(deal.order)) == [code]
        assert here.schedules() == [ours, foreign]
        assert here.ledger(deal.contract)["intent"]["schedule_id"] == ours["id"]

    def test_an_id_of_a_schedule_made_by_hand(self, here: World) -> None:
        """The one that was made for this contract still bills."""
        deal = running(here)
        schedule = here.schedule()
        phase = {"phases[0][items][0][price]": schedule["phases"][0]["items"][0]["price"], "phases[0][end_date]": "1850000000"}
        here.post_to_stripe("/v1/subscription_schedules", customer=schedule["customer"], start_date="now", **phase)
        made = here.schedules()[1]
        here.salesforce.update("Contract", deal.contract, {"Stripe_Subscription_Schedule_Id__c": made["id"]})
        report = here.run(deal.order)
        assert codes(report) == ["billed_elsewhere"]
        assert f"{schedule['id']} was made for this contract" in report.message
        assert here.schedules() == [schedule, made]

    def test_an_order_cloned_with_its_id_has_no_part_in_it(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        original = here.order(account, None, line(entry))
        here.run(original)
        stale = here.record("Order", original)["Stripe_Subscription_Schedule_Id__c"]
        clone = here.order(account, None, line(entry), Stripe_Subscription_Schedule_Id__c=stale)
        here.run(clone)
        here.clock.advance(MOMENT)
        assert here.cancel(clone).outcome == "synced"
        assert [schedule["status"] for schedule in here.schedules()] == ["not_started", "canceled"]
