"""Order activation: orders that are refused, and events that do not apply any more."""

from __future__ import annotations

from typing import Any

from tests.flows.world import ACCOUNT, NOW, World, world
from tests.org import line


class TestRefusedData:
    def refused(self, here: World, order: str, *codes: str, **policies: Any) -> str:
        """The order is refused with exactly these findings, told on it, and Stripe is not even asked."""
        report = here.run(order, **policies)
        assert report.outcome == "failed"
        assert sorted(finding.code for finding in report.findings) == sorted(codes)
        record = here.record("Order", order)
        assert record["Stripe_Sync_Status__c"] == "Failed"
        message = str(record["Stripe_Sync_Message__c"])
        for finding in report.findings:
            assert finding.message in message
            assert finding.remedy in message
        assert here.stripe.log == []
        entry = here.log_entries()[-1]
        assert entry["outcome"] == "failed"
        assert [finding["code"] for finding in entry["findings"]] == [finding.code for finding in report.findings]
        return message

    def test_all_findings_are_told_at_once(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        order = here.order(
            account,
            here.contract(account),
            line(entry, "2026-12-01", "2027-03-01"),
            line(entry, "2027-04-01", "2027-12-01"),
            line(here.entry(), "2026-12-01", "2027-03-01", Quantity=1.5),
            line(
                here.entry(),
                "2026-12-01",
                "2027-03-01",
                Stripe_Discount_Percent_Off__c=10,
                Stripe_Discount_Amount_Off__c=5,
            ),
        )
        message = self.refused(here, order, "phase_gap", "fractional_quantity", "discount_conflict")
        assert "2027-03-01" in message
        assert "2027-04-01" in message

    def test_an_account_without_a_name(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        order = here.order(account, here.contract(account), line(entry))
        here.hide_name(account)
        assert account in self.refused(here, order, "missing_account_name")

    def test_a_price_book_entry_without_an_interval(self, here: World) -> None:
        account, entry = here.account(), here.entry(interval=None)
        assert entry in self.refused(here, here.order(account, here.contract(account), line(entry)), "missing_interval")

    def test_an_interval_that_stripe_cannot_bill(self, here: World) -> None:
        account, entry = here.account(), here.entry(Stripe_Billing_Interval_Count__c=37)
        assert "37 month" in self.refused(here, here.order(account, here.contract(account), line(entry)), "invalid_interval")

    def test_a_fractional_quantity(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(), Quantity=2.5))
        assert "2.5" in self.refused(here, order, "fractional_quantity")

    def test_a_line_sold_at_another_price_than_the_standard_one(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(10), UnitPrice=9))
        message = self.refused(here, order, "custom_price", custom_pricing="error")
        assert "9" in message
        assert "10" in message

    def test_everything_has_ended(self, here: World) -> None:
        account = here.account()
        order = here.order(
            account, here.contract(account), line(here.entry(), "2026-02-01", "2026-11-01"), EffectiveDate="2026-02-01"
        )
        assert "2026-11-01" in self.refused(here, order, "end_in_past")

    def test_invoices_without_a_due_date(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry()), Stripe_Collection_Method__c="send_invoice")
        self.refused(here, order, "missing_days_until_due")

    def test_a_start_in_the_past_is_billed_from_now_on_with_a_warning(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(), "2026-11-10"), EffectiveDate="2026-11-10")
        report = here.run(order)
        assert [finding.code for finding in report.findings] == ["start_in_past"]
        record = here.record("Order", order)
        assert record["Stripe_Sync_Status__c"] == "Synced"
        assert "10 days" in record["Stripe_Sync_Message__c"]
        assert here.schedules()[0]["phases"][0]["start_date"] == int(NOW.timestamp())

    def test_a_start_in_the_past_may_be_refused(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(), "2026-11-10"), EffectiveDate="2026-11-10")
        self.refused(here, order, "start_in_past", backdating="reject")

    def test_corrected_data_is_billed(self, here: World) -> None:
        account, entry = here.account(), here.entry(interval=None)
        order = here.order(account, here.contract(account), line(entry))
        self.refused(here, order, "missing_interval")
        here.salesforce.update("PricebookEntry", entry, {"Stripe_Billing_Interval__c": "month"})
        assert here.run(order).outcome == "synced"
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Synced"
        assert here.record("Order", order)["Stripe_Sync_Message__c"] is None


class TestLinesThatAreNotBilled:
    def test_a_line_without_quantity_needs_no_price(self) -> None:
        with world(zero_quantity=True) as here:
            account = here.account()
            lines = line(here.entry()), line(here.entry(interval=None), Quantity=0)
            assert here.run(here.order(account, here.contract(account), *lines)).outcome == "synced"
            assert len(here.stripe.objects(ACCOUNT, "price")) == 1

    def test_a_reduction_needs_no_price(self, here: World) -> None:
        account = here.account()
        contract, entry = here.contract(account), here.entry()
        here.run(here.order(account, here.contract(account), line(entry)))
        (price,) = here.stripe.objects(ACCOUNT, "price")
        bare = here.entry(interval=None)
        first = here.order(account, contract, line(bare, Quantity=3, Stripe_Price_Id__c=price["id"]))
        (original,) = here.lines_of(first)
        taken = line(bare, "2027-05-01", Quantity=-1, OriginalOrderItemId=original)
        here.order(account, contract, taken, IsReductionOrder=True, OriginalOrderId=first)

        assert here.run(first).outcome == "synced"

        phases = here.schedules()[-1]["phases"]
        assert [phase["items"][0]["quantity"] for phase in phases] == [3, 2]


class TestEventsThatDoNotApply:
    def test_an_order_that_is_gone(self, here: World) -> None:
        report = here.run("801Ah0000000099IAA")
        assert report.outcome == "skipped"
        assert "801Ah0000000099IAA" in report.message
        (entry,) = here.log_entries()
        assert (entry["error"], entry["error_code"]) == ("data", "NOT_FOUND")
        assert not here.salesforce.calls("PATCH")

    def test_an_order_that_is_no_longer_activated(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry()))
        here.salesforce.update("Order", order, {"Status": "Draft"})
        assert here.run(order).outcome == "skipped"
        record = here.record("Order", order)
        assert record["Stripe_Sync_Status__c"] == "Skipped"
        assert "not activated any more" in record["Stripe_Sync_Message__c"]
        assert here.stripe.log == []

    def test_an_event_from_another_org(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry()))
        report = here.run(order, org_id="00D000000000002EAA")
        assert report.outcome == "skipped"
        assert "00D000000000002EAA" in report.message
        assert here.record("Order", order)["Stripe_Sync_Status__c"] is None
        assert here.stripe.log == []
