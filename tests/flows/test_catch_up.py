"""Backdating by the policy `catch_up`: what was sold for the past is billed by one-time items, each exactly once."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from orderphase.errors import UnknownOutcomeError
from tests.flows.deals import MOMENT, Deal, at, codes, day
from tests.flows.world import ACCOUNT, World
from tests.org import line

CATCH_UP: dict[str, Any] = {"backdating": "catch_up"}
ENTIRELY_PAST = ("2026-09-20", "2026-11-20")


def backdated(here: World, start: str = "2026-09-20", end: str | None = "2027-09-20", **fields: Any) -> Deal:
    """A contract of 10.00 a month that began two months ago; not yet synced."""
    account, entry = here.account(), here.entry(10)
    contract = here.contract(account)
    order = here.order(account, contract, line(entry, start, end, **fields), EffectiveDate=start)
    return Deal(here, account, contract, entry, order)


def given(here: World) -> list[tuple[int, str, str]]:
    """The one-time items that the subscriptions were given: minor units, from, to."""
    return [
        (item.amount, day(item.period_start)[:10], day(item.period_end)[:10]) for item in here.stripe.invoice_items(ACCOUNT)
    ]


def again(here: World, *orders: str) -> None:
    """All events again, soon and late: nothing more is given."""
    before = given(here)
    for wait in (MOMENT, timedelta(hours=25), timedelta(days=40)):
        here.clock.advance(wait)
        for order in orders:
            assert here.run(order, **CATCH_UP).outcome in ("synced", "unchanged")
    assert given(here) == before


TWO_MONTHS = (2014, "2026-09-20", "2026-11-20")
"""Two cycles of 10.00, and ten hours of the third: 20 November begins at midnight, and it is ten o'clock."""


class TestFirstOrders:
    def test_the_past_is_one_item(self, here: World) -> None:
        deal = backdated(here)
        report = here.run(deal.order, **CATCH_UP)
        assert (report.outcome, codes(report)) == ("synced", [])
        assert given(here) == [TWO_MONTHS]
        again(here, deal.order)

    @pytest.mark.parametrize("wait", [timedelta(minutes=3), timedelta(hours=25)])
    def test_after_a_lost_answer_it_is_not_given_again(self, here: World, wait: timedelta) -> None:
        deal = backdated(here)
        here.stripe.inject("lost_after", method="POST", path="/v1/subscription_schedules")
        with pytest.raises(UnknownOutcomeError):
            here.run(deal.order, **CATCH_UP)
        here.clock.advance(wait)
        assert here.run(deal.order, **CATCH_UP).outcome == "synced"
        assert given(here) == [TWO_MONTHS]
        assert len(here.schedules()) == 1
        again(here, deal.order)

    def test_a_discount_is_taken_off(self, here: World) -> None:
        deal = backdated(here, Stripe_Discount_Percent_Off__c=50)
        here.run(deal.order, **CATCH_UP)
        assert [amount for amount, *_ in given(here)] == [1007]

    def test_a_product_that_was_sold_for_the_past_alone(self, here: World) -> None:
        """Stripe has no product for it yet; the one-time item needs one."""
        deal = backdated(here)
        past = here.entry(30)
        order = deal.change(line(past, *ENTIRELY_PAST), EffectiveDate="2026-09-20")
        assert here.run(order, **CATCH_UP).outcome == "synced"
        both = ("2026-09-20", "2026-11-20")
        assert sorted(given(here)) == [(14, "2026-11-20", "2026-11-20"), (2000, *both), (6000, *both)]
        assert here.record("PricebookEntry", past)["Stripe_Price_Id__c"]
        again(here, order, deal.order)

    def test_a_price_that_stripe_alone_knows(self, here: World) -> None:
        deal = backdated(here, "2026-11-20", None)
        here.run(deal.order)
        (price,) = here.stripe.objects(ACCOUNT, "price")
        other = backdated(here, Stripe_Price_Id__c=price["id"])
        report = here.run(other.order, **CATCH_UP)
        assert (report.outcome, codes(report)) == ("failed", ["catch_up_unknown"])
        assert len(here.schedules()) == 1


class TestChangeOrders:
    def started(self, here: World) -> Deal:
        """A contract that is billed from the 1st of December; it is 10 February 2027, noon."""
        deal = backdated(here, "2026-12-01", "2027-12-01")
        here.run(deal.order, **CATCH_UP)
        at(here, "2027-02-10")
        return deal

    def test_a_change_in_the_past_is_one_item(self, here: World) -> None:
        deal = self.started(here)
        other = here.entry(28)
        second = deal.change(line(other, "2027-02-01"), EffectiveDate="2027-02-01")
        report = here.run(second, **CATCH_UP)
        assert (report.outcome, codes(report)) == ("synced", [])
        # Nine and a half of February's 28 days, at 1.00 a day.
        assert given(here) == [(950, "2027-02-01", "2027-02-10")]
        assert here.schedule()["phases"][1]["start_date"] == here.clock.timestamp()
        again(here, second, deal.order)

    def test_a_reduction_in_the_past_is_a_credit(self, here: World) -> None:
        deal = self.started(here)
        here.salesforce.update("OrderItem", deal.line, {"EndDate": "2027-02-01"})
        second = deal.change(line(here.entry(10), "2027-02-01"), EffectiveDate="2027-02-01")
        assert here.run(second, **CATCH_UP).outcome == "synced"
        assert sorted(given(here)) == [(-339, "2027-02-01", "2027-02-10"), (339, "2027-02-01", "2027-02-10")]
        again(here, second, deal.order)

    @pytest.mark.parametrize("wait", [timedelta(minutes=3), timedelta(hours=25)])
    def test_after_a_lost_answer_it_is_not_given_again(self, here: World, wait: timedelta) -> None:
        deal = self.started(here)
        second = deal.change(line(here.entry(28), "2027-02-01"), EffectiveDate="2027-02-01")
        here.stripe.inject("lost_after", method="POST", path="/v1/subscription_schedules/")
        with pytest.raises(UnknownOutcomeError):
            here.run(second, **CATCH_UP)
        here.clock.advance(wait)
        assert here.run(second, **CATCH_UP).outcome == "synced"
        assert given(here) == [(950, "2027-02-01", "2027-02-10")]
        again(here, second, deal.order)

    def test_an_order_that_comes_while_a_run_was_cut_off(self, here: World) -> None:
        deal = self.started(here)
        second = deal.change(line(here.entry(28), "2027-02-01"), EffectiveDate="2027-02-01")
        here.stripe.inject("lost_after", method="POST", path="/v1/subscription_schedules/")
        with pytest.raises(UnknownOutcomeError):
            here.run(second, **CATCH_UP)
        here.clock.advance(timedelta(minutes=3))
        third = deal.change(line(here.entry(56), "2027-02-01"), EffectiveDate="2027-02-01")

        assert here.run(third, **CATCH_UP).outcome == "synced"

        assert [amount for amount, *_ in given(here)] == [950, 1900]
        again(here, second, third, deal.order)

    def test_what_stripe_refused_is_still_to_come(self, here: World) -> None:
        deal = self.started(here)
        second = deal.change(line(here.entry(28), "2027-02-01"), EffectiveDate="2027-02-01")
        here.stripe.inject("refuse", error="402", method="POST", path="/v1/subscription_schedules/")
        assert here.run(second, **CATCH_UP).outcome == "failed"
        assert given(here) == []
        here.clock.advance(MOMENT)
        assert here.run(second, **CATCH_UP).outcome == "synced"
        assert given(here) == [(950, "2027-02-01", "2027-02-10")]

    def test_a_line_that_was_corrected_twice(self, here: World) -> None:
        deal = self.started(here)
        for quantity in (3, 2):
            here.salesforce.update("OrderItem", deal.line, {"Quantity": quantity})
            assert here.change_line(deal.line, **CATCH_UP).outcome == "synced"
            here.clock.advance(MOMENT)
        (more, *_), (less, *_) = given(here)
        assert more > 0 > less
        assert abs(more + 2 * less) <= 2  # each is rounded
        again(here, deal.order)


class TestWhatIsNotCaughtUp:
    def test_a_ledger_of_the_version_before(self, here: World) -> None:
        """It does not know what was settled: the schedule is believed to have billed what it says."""
        deal = backdated(here)
        here.run(deal.order, **CATCH_UP)
        here.dynamodb.update_item(
            TableName="contracts", Key={"contract_id": {"S": deal.contract}}, UpdateExpression="REMOVE intent.phases"
        )
        again(here, deal.order)

    def test_what_is_sold_after_a_cancellation(self, here: World) -> None:
        deal = backdated(here)
        here.run(deal.order, **CATCH_UP)
        at(here, "2027-02-10")
        here.cancel(deal.order, **CATCH_UP)
        third = deal.change(line(here.entry(28), "2027-01-01"), EffectiveDate="2027-01-01")
        here.run(third, **CATCH_UP)
        assert given(here) == [TWO_MONTHS]

    def test_months_that_our_own_window_missed(self, here: World) -> None:
        """Twelve months of rising quantities, of which nobody sent the last two in time."""
        account, entry = here.account(), here.entry(10)
        contract = here.contract(account)
        months = [f"{2026 + (11 + number) // 12}-{(11 + number) % 12 + 1:02}-01" for number in range(15)]
        lines = [line(entry, start, end, Quantity=number + 1) for number, (start, end) in enumerate(pairwise(months))]
        order = here.order(account, contract, *lines)
        here.run(order, **CATCH_UP)
        at(here, months[12])
        assert here.run(order, **CATCH_UP).outcome == "synced"
        # The 11th and the 12th month were billed as the 10th, and half a day of the 13th.
        assert [(amount, start) for amount, start, _ in given(here)] == [
            (1000, months[10]),
            (2000, months[11]),
            (48, months[12]),
        ]
        again(here, order)
