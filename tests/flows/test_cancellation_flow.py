"""Cancellation: a contract ends when it was asked to, once, whatever comes before, between and after."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import permutations
from typing import Any

import pytest

from orderphase.errors import ConflictError
from tests.flows.deals import MOMENT, Deal, at, billed, codes, day, sent, sold
from tests.flows.world import ACCOUNT, World
from tests.org import line

AT_PERIOD_END: dict[str, Any] = {"mode": "at_period_end"}


def on(text: str, **more: Any) -> dict[str, Any]:
    """A request to end on a date."""
    return {"mode": "on_date", "date": date.fromisoformat(text), **more}


def running(here: World, **fields: Any) -> Deal:
    """A contract of a year that is billed each month from the 1st; it is 10 February 2027."""
    deal = sold(here, **fields)
    at(here, "2027-02-10")
    return deal


class TestNow:
    def test_the_schedule_and_its_subscription_end(self, here: World) -> None:
        deal = running(here)
        here.forget_calls()

        report = here.cancel(deal.order)

        assert report.outcome == "synced"
        schedule = here.schedule()
        assert (schedule["status"], here.subscription()["status"]) == ("canceled", "canceled")
        path = f"/v1/subscription_schedules/{schedule['id']}"
        assert sent(here) == [f"GET {path}", f"POST {path}/cancel"]
        record = here.record("Order", deal.order)
        assert record["Stripe_Sync_Status__c"] == "Cancelled"
        assert "nothing is billed from 2027-02-10 on" in record["Stripe_Sync_Message__c"]
        assert record["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]
        entry = here.log_entries()[-1]
        assert (entry["flow"], entry["outcome"], entry["calls"]) == ("cancellation", "synced", {"salesforce": 3, "stripe": 2})

    @pytest.mark.parametrize("prorate", [True, False])
    @pytest.mark.parametrize("invoice_now", [True, False])
    def test_what_is_billed_with_it_reaches_stripe(self, here: World, prorate: bool, invoice_now: bool) -> None:
        deal = running(here)
        here.cancel(deal.order, asked={"prorate": prorate, "invoice_now": invoice_now})
        assert here.stripe.params("subscription_schedules.cancel") == {"prorate": prorate, "invoice_now": invoice_now}

    def test_all_orders_of_the_contract_are_cancelled(self, here: World) -> None:
        deal = running(here)
        second = deal.change(line(here.entry(), "2027-05-01"), EffectiveDate="2027-05-01")
        here.run(second)
        here.clock.advance(MOMENT)
        here.cancel(second)
        assert deal.statuses() == ["Cancelled", "Cancelled"]

    def test_before_the_start(self, here: World) -> None:
        deal = sold(here)
        assert here.cancel(deal.order).outcome == "synced"
        assert here.schedule()["status"] == "canceled"
        assert here.stripe.objects(ACCOUNT, "subscription") == []

    def test_without_any_schedule(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        order = here.order(account, contract, line(here.entry()))
        assert here.cancel(order).outcome == "synced"
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Cancelled"
        assert here.stripe.writes() == 0
        assert here.run(order).outcome == "unchanged"
        assert here.schedules() == []

    def test_a_draft_that_was_never_synced(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry()), activated=False)
        assert here.cancel(order).outcome == "synced"
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Cancelled"
        here.salesforce.update("Order", order, {"Status": "Activated"})
        here.run(order)
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Cancelled"
        assert here.schedules() == []

    def test_on_a_date_without_any_schedule_it_is_billed_until_then(self, here: World) -> None:
        """The activation comes after the cancellation: the queues of the flows know no order among each other."""
        account, entry = here.account(), here.entry()
        order = here.order(account, here.contract(account), line(entry))
        assert here.cancel(order, asked=on("2027-06-15")).outcome == "synced"
        assert here.stripe.writes() == 0
        here.clock.advance(MOMENT)
        assert here.run(order).outcome == "synced"
        assert billed(here) == [("2026-12-01", "2027-06-15", {entry: 1})]
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Cancelled"

    def test_without_any_schedule_there_is_no_period_to_end(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(), "2026-11-20"), EffectiveDate="2026-11-20")
        with pytest.raises(ConflictError, match="not billed yet"):
            here.cancel(order, asked=AT_PERIOD_END)
        here.run(order)
        here.clock.advance(MOMENT)
        assert here.cancel(order, asked=AT_PERIOD_END).outcome == "synced"
        assert day(here.schedule()["phases"][-1]["end_date"]) == "2026-12-20 10:00"

    def test_what_has_ended_already_is_cancelled_as_well(self, here: World) -> None:
        deal = running(here)
        at(here, "2027-12-02")
        writes = here.stripe.writes()
        assert here.cancel(deal.order).outcome == "synced"
        assert (here.schedule()["status"], here.stripe.writes()) == ("completed", writes)
        assert deal.statuses() == ["Cancelled"]

    def test_what_somebody_has_cancelled_in_stripe(self, here: World) -> None:
        deal = running(here)
        here.post_to_stripe(f"/v1/subscription_schedules/{here.schedule()['id']}/cancel")
        assert here.cancel(deal.order).outcome == "synced"
        assert deal.statuses() == ["Cancelled"]

    def test_what_ends_while_the_request_is_under_way(self, here: World) -> None:
        """The run has read a schedule that lives; Stripe refuses to cancel what is over."""
        deal = running(here)
        schedule = here.schedule()
        runs = here.contract_runs()
        stripe = runs.desk("default").stripe
        cancel = stripe.cancel_schedule

        def late(*args: Any, **kwargs: Any) -> Any:
            here.post_to_stripe(f"/v1/subscription_schedules/{schedule['id']}/cancel")
            return cancel(*args, **kwargs)

        stripe.cancel_schedule = late  # type: ignore[method-assign]  # stands before the real one
        assert here.cancel(deal.order, runs=runs).outcome == "synced"
        assert deal.statuses() == ["Cancelled"]


class TestAtThePeriodsEnd:
    def test_what_is_paid_for_is_used_up(self, here: World) -> None:
        deal = running(here)
        assert here.cancel(deal.order, asked=AT_PERIOD_END).outcome == "synced"
        assert billed(here) == [("2026-12-01", "2027-03-01", {deal.entry: 1})]
        assert here.schedule()["end_behavior"] == "cancel"
        assert deal.statuses() == ["Cancelled"]
        at(here, "2027-03-01")
        assert (here.schedule()["status"], here.subscription()["status"]) == ("completed", "canceled")
        assert here.run(deal.order).outcome == "unchanged"

    def test_the_longest_period_counts(self, here: World) -> None:
        account, contract_end = here.account(), "2028-12-01"
        lines = line(here.entry(), end=contract_end), line(here.entry(100, "year"), end=contract_end)
        order = here.order(account, here.contract(account), *lines)
        here.run(order)
        at(here, "2027-02-10")
        assert here.cancel(order, asked=AT_PERIOD_END).outcome == "synced"
        assert day(here.schedule()["phases"][-1]["end_date"]) == "2027-12-01"

    def test_phases_to_come_are_left_out(self, here: World) -> None:
        deal = running(here)
        here.run(deal.change(line(here.entry(), "2027-02-20"), EffectiveDate="2027-02-20"))
        here.run(deal.change(line(here.entry(), "2027-05-01"), EffectiveDate="2027-05-01"))
        here.clock.advance(MOMENT)
        here.cancel(deal.order, asked=AT_PERIOD_END)
        assert [end for _, end, _ in billed(here)] == ["2027-02-20", "2027-03-01"]

    def test_before_the_start_it_is_now(self, here: World) -> None:
        deal = sold(here)
        here.cancel(deal.order, asked=AT_PERIOD_END)
        assert here.schedule()["status"] == "canceled"

    @pytest.mark.parametrize("prorate", [True, False])
    def test_whether_it_is_prorated(self, here: World, prorate: bool) -> None:
        deal = running(here)
        here.cancel(deal.order, asked={**AT_PERIOD_END, "prorate": prorate})
        expected = "create_prorations" if prorate else "none"
        assert here.stripe.params("subscription_schedules.update")["proration_behavior"] == expected


class TestOnADate:
    @pytest.mark.parametrize(("policy", "last"), [("exclusive", "2027-06-15"), ("inclusive", "2027-06-16")])
    def test_the_policy_says_whether_the_day_counts(self, here: World, policy: str, last: str) -> None:
        deal = sold(here, policies={"end_dates": policy})
        at(here, "2027-02-10")
        here.cancel(deal.order, asked=on("2027-06-15"), end_dates=policy)
        assert billed(here) == [("2026-12-01", last, {deal.entry: 1})]
        assert deal.statuses() == ["Cancelled"]
        assert here.run(deal.order, end_dates=policy).outcome == "unchanged"
        at(here, "2027-06-20")
        assert here.subscription()["status"] == "canceled"
        assert here.run(deal.order, end_dates=policy).outcome == "unchanged"

    def test_the_day_begins_in_the_billing_zone(self, here: World) -> None:
        deal = sold(here, policies={"time_zone": "America/New_York"})
        here.cancel(deal.order, asked=on("2027-06-15"), time_zone="America/New_York")
        assert day(here.schedule()["phases"][-1]["end_date"]) == "2027-06-15 04:00"

    def test_before_the_start_nothing_is_left(self, here: World) -> None:
        deal = sold(here)
        assert here.cancel(deal.order, asked=on("2026-11-25")).outcome == "synced"
        assert here.schedule()["status"] == "canceled"

    def test_the_last_day_of_the_contract_changes_nothing(self, here: World) -> None:
        deal = running(here)
        writes = here.stripe.writes()
        assert here.cancel(deal.order, asked=on("2027-12-01")).outcome == "synced"
        assert here.stripe.writes() == writes
        assert deal.statuses() == ["Cancelled"]

    def test_what_is_open_ends(self, here: World) -> None:
        deal = running(here, end=None)
        here.cancel(deal.order, asked=on("2027-06-15"))
        schedule = here.schedule()
        assert (day(schedule["phases"][-1]["end_date"]), schedule["end_behavior"]) == ("2027-06-15", "cancel")

    @pytest.mark.parametrize(
        ("date", "code", "told"),
        [
            ("2027-02-01", "cancellation_in_past", "not in the future"),
            ("2027-02-10", "cancellation_in_past", "2027-02-10"),
            ("2028-01-01", "cancellation_after_end", "end on 2027-12-01 already"),
        ],
    )
    def test_a_date_that_cannot_be(self, here: World, date: str, code: str, told: str) -> None:
        deal = running(here)
        schedule = here.schedule()
        report = here.cancel(deal.order, asked=on(date))
        assert (report.outcome, codes(report)) == ("failed", [code])
        assert here.schedule() == schedule
        record = here.record("Order", deal.order)
        assert record["Stripe_Sync_Status__c"] == "Failed"
        assert told in record["Stripe_Sync_Message__c"]
        assert here.run(deal.order).outcome == "synced"
        assert deal.statuses() == ["Synced"]


class TestAfterwards:
    @pytest.mark.parametrize("asked", [{}, AT_PERIOD_END, on("2027-06-15")], ids=["now", "at_period_end", "on_date"])
    @pytest.mark.parametrize("wait", [timedelta(hours=1), timedelta(days=200)], ids=["soon", "late"])
    def test_nothing_brings_it_back(self, here: World, asked: dict[str, Any], wait: timedelta) -> None:
        deal = running(here)
        second = deal.change(line(here.entry(), "2027-03-15"), EffectiveDate="2027-03-15")
        here.run(second)
        here.clock.advance(MOMENT)
        here.cancel(deal.order, asked=asked)
        here.clock.advance(wait)
        before = here.schedule()
        here.salesforce.update("OrderItem", deal.line, {"EndDate": "2030-01-01"})
        third = deal.change(line(deal.entry, "2027-12-01", "2029-12-01"), EffectiveDate="2027-12-01")
        writes = here.stripe.writes()

        outcomes = [here.change_line(deal.line), here.run(deal.order), here.run(second), here.run(third)]

        assert {report.outcome for report in outcomes} <= {"synced", "unchanged"}
        assert here.schedule() == before
        assert here.stripe.writes() == writes
        assert deal.statuses() == ["Cancelled"] * 3

    def test_what_is_left_until_the_end_can_still_be_changed(self, here: World) -> None:
        deal = running(here)
        here.cancel(deal.order, asked=on("2027-06-15"))
        here.clock.advance(MOMENT)
        here.salesforce.update("OrderItem", deal.line, {"Quantity": 3})
        assert here.change_line(deal.line).outcome == "synced"
        assert billed(here) == [("2026-12-01", "2027-06-15", {deal.entry: 3})]
        assert deal.statuses() == ["Cancelled"]

    @pytest.mark.parametrize("asked", [{}, AT_PERIOD_END, on("2027-06-15")], ids=["now", "at_period_end", "on_date"])
    def test_the_same_request_again(self, here: World, asked: dict[str, Any]) -> None:
        deal = running(here)
        here.cancel(deal.order, asked=asked)
        schedule, record = here.schedule(), here.record("Order", deal.order)
        for _ in range(2):
            here.clock.advance(timedelta(hours=1))
            assert here.cancel(deal.order, asked=asked).outcome == "unchanged"
        assert here.schedule() == schedule
        assert here.record("Order", deal.order) == record

    @pytest.mark.parametrize("arrival", list(permutations(["2027-04-15", "2027-06-15", "2027-05-15"])))
    def test_the_earliest_request_wins(self, here: World, arrival: tuple[str, ...]) -> None:
        deal = running(here)
        for text in arrival:
            here.clock.advance(MOMENT)
            here.cancel(deal.order, asked=on(text, prorate=text == "2027-04-15"))
        assert [end for _, end, _ in billed(here)] == ["2027-04-15"]
        assert here.stripe.params("subscription_schedules.update")["proration_behavior"] == "create_prorations"
        assert here.cancel(deal.order).outcome == "synced"
        assert here.schedule()["status"] == "canceled"

    def test_a_later_request_does_not_make_a_past_end_wrong(self, here: World) -> None:
        deal = running(here)
        here.cancel(deal.order)
        at(here, "2027-08-01")
        for asked in ({}, AT_PERIOD_END, on("2027-06-15"), on("2029-01-01")):
            assert here.cancel(deal.order, asked=asked).outcome == "unchanged"


class TestWhateverElseIsWrong:
    @pytest.mark.parametrize("asked", [{}, AT_PERIOD_END, on("2027-06-15")], ids=["now", "at_period_end", "on_date"])
    def test_broken_order_data_keeps_no_contract_from_ending(self, here: World, asked: dict[str, Any]) -> None:
        deal = running(here)
        deal.change(line(here.entry(), "2027-05-01", Quantity=1.5), EffectiveDate="2027-05-01")
        here.salesforce.update("OrderItem", deal.line, {"Stripe_Discount_Percent_Off__c": 120})

        assert here.cancel(deal.order, asked=asked).outcome == "synced"

        if asked:
            assert billed(here)[-1][1] == ("2027-03-01" if asked is AT_PERIOD_END else "2027-06-15")
            at(here, "2027-06-15")
        assert here.subscription()["status"] == "canceled"
        assert deal.statuses() == ["Cancelled", "Cancelled"]
        assert here.cancel(deal.order, asked=asked).outcome == "unchanged"

    def test_orders_that_are_drafts_again(self, here: World) -> None:
        deal = running(here)
        here.salesforce.update("Order", deal.order, {"Status": "Draft"})
        assert here.cancel(deal.order).outcome == "synced"
        assert here.subscription()["status"] == "canceled"

    def test_an_edit_in_stripe(self, here: World) -> None:
        deal = running(here)
        item = here.subscription()["items"]["data"][0]["id"]
        here.post_to_stripe(
            f"/v1/subscriptions/{here.subscription()['id']}", **{"items[0][id]": item, "items[0][quantity]": "9"}
        )
        assert here.cancel(deal.order).outcome == "synced"
        assert here.subscription()["status"] == "canceled"

    def test_a_subscription_that_was_let_go_is_ended(self, here: World) -> None:
        deal = running(here, end=None)
        here.post_to_stripe(f"/v1/subscription_schedules/{here.schedule()['id']}/release")
        here.clock.advance(MOMENT)
        assert here.cancel(deal.order, asked={"prorate": True}).outcome == "synced"
        assert here.subscription()["status"] == "canceled"
        assert here.stripe.params("subscription_schedules.cancel") == {"prorate": True, "invoice_now": False}
        assert deal.statuses() == ["Cancelled"]

    @pytest.mark.parametrize(("asked", "end"), [(AT_PERIOD_END, "2029-03-01"), (on("2029-06-15"), "2029-06-15")])
    def test_a_subscription_that_went_on_by_itself_ends_in_time(self, here: World, asked: dict[str, Any], end: str) -> None:
        """It is billed from the 1st of a month, and its open phase came to its end long ago."""
        deal = sold(here, end=None)
        at(here, "2029-02-10")
        assert here.schedule()["status"] == "released"
        assert here.cancel(deal.order, asked=asked).outcome == "synced"
        subscription = here.subscription()
        assert (subscription["status"], day(subscription["cancel_at"])) == ("active", end)
        at(here, end)
        assert here.subscription()["status"] == "canceled"
        assert here.run(deal.order).outcome == "unchanged"

    def test_an_order_that_is_gone(self, here: World) -> None:
        assert here.cancel("801Ah0000000099IAA").outcome == "skipped"

    def test_a_schedule_that_is_not_in_this_stripe_account(self, here: World) -> None:
        """Nobody knows what bills: that is told, and nothing is marked as cancelled."""
        deal = running(here)
        here.salesforce.update("Contract", deal.contract, {"Stripe_Subscription_Schedule_Id__c": "sub_sched_gone"})
        report = here.cancel(deal.order)
        assert codes(report) == ["schedule_missing"]
        assert here.subscription()["status"] == "active"
        assert deal.statuses() == ["Failed"]

    @pytest.mark.parametrize("asked", [{}, on("2027-06-15")], ids=["now", "on_date"])
    def test_an_order_that_is_billed_by_another_contract(self, here: World, asked: dict[str, Any]) -> None:
        """It was moved here; that it cannot be billed here does not keep this contract from ending."""
        theirs = running(here)
        ours = here.contract(theirs.account)
        order = here.order(theirs.account, ours, line(theirs.entry))
        here.run(order)
        moved = theirs.change(line(theirs.entry, "2027-12-01", "2028-12-01"), EffectiveDate="2027-12-01")
        here.run(moved)
        for fields in ({"Status": "Draft"}, {"ContractId": ours}, {"Status": "Activated"}):
            here.salesforce.update("Order", moved, fields)
        here.clock.advance(MOMENT)
        assert codes(here.run(moved)) == ["billed_elsewhere"]

        assert here.cancel(order, asked=asked).outcome == "synced"

        first, second = here.schedules()
        assert first["status"] == "active"
        if asked:
            assert day(second["phases"][-1]["end_date"]) == "2027-06-15"
        else:
            assert second["status"] == "canceled"

    def test_a_write_back_that_salesforce_refuses(self, here: World) -> None:
        """The schedule is over; the order says what is wrong; the next run writes back and does nothing else."""
        deal = running(here)
        here.salesforce.refuse_writes(deal.order, error="FIELD_CUSTOM_VALIDATION_EXCEPTION")
        assert here.cancel(deal.order).outcome == "failed"
        message = here.record("Order", deal.order)["Stripe_Sync_Message__c"]
        assert "bills until 2027-02-10" in message
        assert "validation rule" in message
        writes = here.stripe.writes()
        assert here.cancel(deal.order).outcome == "synced"
        assert here.stripe.writes() == writes
        assert deal.statuses() == ["Cancelled"]
