"""Order item update: a changed line of an activated order replaces what its contract bills."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows.deals import MOMENT, at, billed, codes, day, sent, sold
from tests.flows.world import ACCOUNT, World
from tests.org import line


class TestChanges:
    def test_a_quantity_before_the_start(self, here: World) -> None:
        deal = sold(here)
        here.salesforce.update("OrderItem", deal.line, {"Quantity": 4})
        assert here.change_line(deal.line, changed=["Quantity"]).outcome == "synced"
        assert billed(here) == [("2026-12-01", "2027-12-01", {deal.entry: 4})]
        assert here.record("Order", deal.order)["Stripe_Synced_At__c"] == "2026-11-20T10:01:00.000+0000"
        entry = here.log_entries()[-1]
        assert (entry["flow"], entry["outcome"], entry["order_id"]) == ("order_item_update", "synced", deal.order)
        assert entry["contract_id"] == deal.contract
        assert entry["calls"] == {"salesforce": 3, "stripe": 2}, "the first run of an environment asks what the org has"

    def test_a_quantity_that_runs_from_the_start_is_replaced_in_place(self, here: World) -> None:
        """Nothing of the past says otherwise: the line began with the phase."""
        deal = sold(here, "2026-11-20", "2027-11-20")
        here.salesforce.update("OrderItem", deal.line, {"Quantity": 4})
        assert codes(here.change_line(deal.line)) == []
        assert billed(here) == [("2026-11-20 10:00", "2027-11-20", {deal.entry: 4})]
        assert here.subscription()["items"]["data"][0]["quantity"] == 4

    def test_a_quantity_in_the_middle_is_billed_in_place_from_now_on(self, here: World) -> None:
        deal = sold(here)
        at(here, "2027-02-10")
        here.salesforce.update("OrderItem", deal.line, {"Quantity": 4})
        report = here.change_line(deal.line)
        assert codes(report) == ["change_in_past"]
        assert billed(here) == [("2026-12-01", "2027-12-01", {deal.entry: 4})]
        assert here.subscription()["items"]["data"][0]["quantity"] == 4
        assert here.change_line(deal.line).outcome == "unchanged"

    def test_a_line_that_was_refused_and_is_corrected(self, here: World) -> None:
        """Its order was activated once, and nobody tells of that again."""
        account = here.account()
        contract = here.contract(account)
        order = here.order(account, contract, line(here.entry(), Quantity=2.5), line(here.entry()))
        assert here.run(order).outcome == "failed"
        faulty, other = here.lines_of(order)
        here.salesforce.update("OrderItem", other, {"Quantity": 2})
        assert here.change_line(other, changed=["Quantity"]).outcome == "failed"
        here.salesforce.update("OrderItem", faulty, {"Quantity": 3})
        assert here.change_line(faulty, changed=["Quantity"]).outcome == "synced"
        assert len(here.schedules()) == 1
        record = here.record("Order", order)
        assert (record["Stripe_Sync_Status__c"], record["Stripe_Sync_Message__c"]) == ("Synced", None)

    def test_an_added_time_splits_the_phase(self, here: World) -> None:
        """The line begins inside of the phase that runs: that ends now, and the changed one begins."""
        account, entry, other = here.account(), here.entry(), here.entry()
        contract = here.contract(account)
        order = here.order(account, contract, line(entry), line(other, "2027-05-01"))
        here.run(order)
        at(here, "2027-02-10")
        later = here.lines_of(order)[1]
        here.salesforce.update("OrderItem", later, {"ServiceDate": "2027-02-01"})
        assert here.change_line(later, changed=["ServiceDate"]).outcome == "synced"
        assert billed(here) == [
            ("2026-12-01", "2027-02-10 12:00", {entry: 1}),
            ("2027-02-10 12:00", "2027-12-01", {entry: 1, other: 1}),
        ]
        assert len(here.stripe.objects(ACCOUNT, "subscription")) == 1

    @pytest.mark.parametrize(
        ("end", "last", "behavior"), [("2027-06-01", "2027-06-01", "cancel"), ("2029-01-01", "2029-01-01", "cancel")]
    )
    def test_an_end(self, here: World, end: str, last: str, behavior: str) -> None:
        deal = sold(here)
        at(here, "2027-02-10")
        here.salesforce.update("OrderItem", deal.line, {"EndDate": end})
        assert here.change_line(deal.line, changed=["EndDate"]).outcome == "synced"
        assert billed(here) == [("2026-12-01", last, {deal.entry: 1})]
        assert here.schedule()["end_behavior"] == behavior

    def test_an_end_that_is_taken_away(self, here: World) -> None:
        deal = sold(here)
        at(here, "2027-02-10")
        here.salesforce.update("OrderItem", deal.line, {"EndDate": None})
        assert here.change_line(deal.line).outcome == "synced"
        assert here.schedule()["end_behavior"] == "release"
        assert here.change_line(deal.line).outcome == "unchanged"
        at(here, "2029-02-10")
        assert here.subscription()["status"] == "active"
        assert here.change_line(deal.line).outcome == "unchanged"

    def test_the_start_of_what_has_not_begun_moves(self, here: World) -> None:
        deal = sold(here)
        here.salesforce.update("OrderItem", deal.line, {"ServiceDate": "2027-01-01"})
        assert here.change_line(deal.line).outcome == "synced"
        assert billed(here) == [("2027-01-01", "2027-12-01", {deal.entry: 1})]

    def test_a_line_of_a_change_order(self, here: World) -> None:
        deal = sold(here)
        other = here.entry()
        second = deal.change(line(other, "2027-05-01"), EffectiveDate="2027-05-01")
        here.run(second)
        here.clock.advance(MOMENT)
        (item,) = here.lines_of(second)
        here.salesforce.update("OrderItem", item, {"Quantity": 3})
        first = here.record("Order", deal.order)
        assert here.change_line(item).outcome == "synced"
        assert billed(here)[1] == ("2027-05-01", "2027-12-01", {deal.entry: 1, other: 3})
        assert here.record("Order", deal.order) == first
        assert here.log_entries()[-1]["order_id"] == second

    def test_an_order_without_a_contract(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        order = here.order(account, None, line(entry))
        here.run(order)
        (item,) = here.lines_of(order)
        here.salesforce.update("OrderItem", item, {"Quantity": 2})
        assert here.change_line(item).outcome == "synced"
        assert [quantities for *_, quantities in billed(here)] == [{entry: 2}]


class TestNothingToDo:
    def skipped(self, here: World, item: str, order: str, **event: Any) -> str:
        """The event is passed over, which the sync log says and the Order does not."""
        before, writes = here.record("Order", order), here.stripe.writes()
        report = here.change_line(item, **event)
        assert report.outcome == "skipped"
        assert here.record("Order", order) == before
        assert here.stripe.writes() == writes
        entry = here.log_entries()[-1]
        assert (entry["flow"], entry["outcome"], entry["message"]) == ("order_item_update", "skipped", report.message)
        return report.message

    @pytest.mark.parametrize("changed", [["Description"], ["ListPrice", "TotalPrice"], []])
    def test_other_fields_cost_no_request(self, here: World, changed: list[str]) -> None:
        deal = sold(here)
        message = self.skipped(here, deal.line, deal.order, changed=changed)
        assert ", ".join(changed) in message
        assert here.salesforce.log == here.stripe.log == []

    @pytest.mark.parametrize(
        "changed",
        [
            ["Description", "Quantity"],
            ["servicedate"],
            ["EndDate"],
            ["UnitPrice"],
            ["Stripe_Price_Id__c"],
            ["stripe_discount_percent_off__c"],
            ["Stripe_Discount_Amount_Off__c"],
            None,
        ],
    )
    def test_fields_that_count_are_looked_at(self, here: World, changed: list[str] | None) -> None:
        deal = sold(here)
        assert here.change_line(deal.line, changed=changed).outcome == "unchanged"
        assert sent(here) == [f"GET /v1/subscription_schedules/{here.schedule()['id']}"]

    def test_before_the_activation_was_synced(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry()))
        assert "has no schedule" in self.skipped(here, here.lines_of(order)[0], order)
        assert here.stripe.log == []
        assert here.run(order).outcome == "synced"

    def test_a_draft(self, here: World) -> None:
        deal = sold(here)
        here.salesforce.update("Order", deal.order, {"Status": "Draft"})
        here.salesforce.update("OrderItem", deal.line, {"Quantity": 5})
        assert "not activated" in self.skipped(here, deal.line, deal.order)

    def test_a_line_that_is_gone(self, here: World) -> None:
        report = here.change_line("802Ah0000000099IAA")
        assert report.outcome == "skipped"
        assert "802Ah0000000099IAA is not in Salesforce any more" in report.message
        assert not here.salesforce.calls("PATCH")


class TestRefused:
    def test_an_end_in_the_past(self, here: World) -> None:
        deal = sold(here)
        at(here, "2027-02-10")
        schedule = here.schedule()
        here.salesforce.update("OrderItem", deal.line, {"EndDate": "2027-02-01"})
        report = here.change_line(deal.line)
        assert codes(report) == ["end_in_past"]
        assert here.schedule() == schedule
        record = here.record("Order", deal.order)
        assert record["Stripe_Sync_Status__c"] == "Failed"
        assert "2027-02-01" in record["Stripe_Sync_Message__c"]
        assert "request a cancellation" in record["Stripe_Sync_Message__c"]

    def test_a_start_that_moves_away_from_what_is_billed(self, here: World) -> None:
        deal = sold(here)
        at(here, "2027-02-10")
        here.salesforce.update("OrderItem", deal.line, {"ServiceDate": "2027-03-01"})
        assert codes(here.change_line(deal.line)) == ["starts_later", "change_in_past"]

    def test_taken_back_it_is_synced_again(self, here: World) -> None:
        deal = sold(here)
        for quantity, outcome, status in ((1.5, "failed", "Failed"), (1, "synced", "Synced")):
            here.salesforce.update("OrderItem", deal.line, {"Quantity": quantity})
            assert here.change_line(deal.line).outcome == outcome
            assert here.record("Order", deal.order)["Stripe_Sync_Status__c"] == status
        assert here.record("Order", deal.order)["Stripe_Sync_Message__c"] is None
        assert billed(here) == [("2026-12-01", "2027-12-01", {deal.entry: 1})]

    def test_a_line_that_is_missing_its_past(self, here: World) -> None:
        """The first line ends early, and the second does not begin until later."""
        account, entry = here.account(), here.entry()
        order = here.order(account, here.contract(account), line(entry, end="2027-05-01"), line(entry, "2027-05-01"))
        here.run(order)
        first = here.lines_of(order)[0]
        here.salesforce.update("OrderItem", first, {"EndDate": "2027-04-01"})
        report = here.change_line(first)
        assert codes(report) == ["phase_gap"]
        assert day(here.schedule()["phases"][0]["end_date"]) == "2027-12-01"
