"""Discounts: on the order for its phases, on a line for its item; the value is the whole discount of that place."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows.deals import MOMENT, at, codes, contract_in, sold
from tests.flows.world import ACCOUNT, World
from tests.org import line

PERCENT, AMOUNT = "Stripe_Discount_Percent_Off__c", "Stripe_Discount_Amount_Off__c"


def percent(value: float) -> dict[str, Any]:
    return {PERCENT: value}


def amount(value: float) -> dict[str, Any]:
    return {AMOUNT: value}


def coupons(here: World) -> list[dict[str, Any]]:
    return here.stripe.objects(ACCOUNT, "coupon")


def off(here: World, place: dict[str, Any]) -> list[str]:
    """What is taken off at a place: `10%`, `5.00 usd`; of a running phase also what has become a discount already."""
    known = {coupon["id"]: coupon for coupon in coupons(here)}
    found = []
    for one in place["discounts"]:
        coupon = known[one["coupon"] or one["discount"]]
        percent = coupon["percent_off"]
        found.append(f"{percent:g}%" if percent else f"{coupon['amount_off'] / 100:.2f} {coupon['currency']}")
    return found


def discounts(here: World) -> list[tuple[list[str], list[list[str]]]]:
    """By phase of the one schedule: what is off the phase, and off each of its items."""
    return [(off(here, phase), [off(here, item) for item in phase["items"]]) for phase in here.schedule()["phases"]]


class TestCreate:
    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({PERCENT: 10}, ["10%"]),
            ({PERCENT: 12.5}, ["12.5%"]),
            ({PERCENT: 100}, ["100%"]),
            ({AMOUNT: 5}, ["5.00 usd"]),
            ({AMOUNT: 1.25}, ["1.25 usd"]),
            ({PERCENT: 0}, []),
            ({AMOUNT: 0}, []),
            ({PERCENT: 0, AMOUNT: 3}, ["3.00 usd"]),
            ({PERCENT: 0, AMOUNT: 0}, []),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("place", ["phase", "item"])
    def test_a_value(self, here: World, place: str, fields: dict[str, Any], expected: list[str]) -> None:
        account, entry = here.account(), here.entry()
        of_order, of_line = (fields, {}) if place == "phase" else ({}, fields)
        order = here.order(account, here.contract(account), line(entry, **of_line), **of_order)
        assert here.run(order).outcome == "synced"
        assert discounts(here) == [(expected, [[]]) if place == "phase" else ([], [expected])]
        assert [(coupon["max_redemptions"], coupon["duration"]) for coupon in coupons(here)] == [(1, "forever")] * len(expected)
        assert here.run(order).outcome == "unchanged"

    def test_both_places(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        lines = line(entry, **percent(20)), line(here.entry(), "2027-05-01")
        here.run(here.order(account, here.contract(account), *lines, **amount(5)))
        assert discounts(here) == [(["5.00 usd"], [["20%"]]), (["5.00 usd"], [["20%"], []])]
        assert len({coupon["id"] for coupon in coupons(here)}) == 4, "one for each place where it is used"

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({PERCENT: 10, AMOUNT: 5}, "discount_conflict"),
            ({PERCENT: 100.5}, "discount_out_of_range"),
            ({PERCENT: -1}, "discount_out_of_range"),
            ({AMOUNT: -1}, "discount_out_of_range"),
            ({AMOUNT: 1.234}, "discount_out_of_range"),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("place", ["phase", "item"])
    def test_what_cannot_be_taken_off(self, here: World, place: str, fields: dict[str, Any], code: str) -> None:
        account = here.account()
        of_order, of_line = (fields, {}) if place == "phase" else ({}, fields)
        order = here.order(account, here.contract(account), line(here.entry(), **of_line), **of_order)
        report = here.run(order)
        assert (report.outcome, codes(report)) == ("failed", [code])
        assert here.stripe.log == []


class TestAmend:
    """A change order under the same contract: its value is that of its own lines, or of the phases that it is part of."""

    def test_a_line_with_a_discount_leaves_the_others_alone(self, here: World) -> None:
        deal = sold(here, **percent(10))
        (first,) = coupons(here)
        change = deal.change(line(here.entry(), "2027-05-01", **amount(2)), EffectiveDate="2027-05-01")
        assert here.run(change).outcome == "synced"
        assert discounts(here) == [([], [["10%"]]), ([], [["10%"], ["2.00 usd"]])]
        assert here.schedule()["phases"][0]["items"][0]["discounts"][0]["coupon"] == first["id"]

    def test_of_what_runs_nothing_is_made_anew(self, here: World) -> None:
        deal = sold(here, "2026-11-20", **percent(10))
        at(here, "2027-02-10")
        made = len(coupons(here))
        change = deal.change(line(here.entry(), "2027-05-01"), EffectiveDate="2027-05-01")
        assert here.run(change).outcome == "synced"
        now, later = here.schedule()["phases"]
        assert [len(phase["items"][0]["discounts"]) for phase in (now, later)] == [1, 1]
        assert len(coupons(here)) - made <= 1, "only the new phase may need one of its own"
        assert len(here.subscription()["items"]["data"][0]["discounts"]) == 1

    def test_an_order_that_states_one_for_the_phases_it_is_part_of(self, here: World) -> None:
        deal = sold(here)
        fields: dict[str, Any] = {"EffectiveDate": "2027-05-01", PERCENT: 15}
        assert here.run(deal.change(line(here.entry(), "2027-05-01"), **fields)).outcome == "synced"
        assert discounts(here) == [([], [[]]), (["15%"], [[], []])]

    def test_orders_that_state_different_ones_for_one_phase(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        contract = here.contract(account)
        here.run(here.order(account, contract, line(entry), **percent(10)))
        here.clock.advance(MOMENT)
        change = here.order(account, contract, line(here.entry(), "2027-05-01"), **percent(15), EffectiveDate="2027-05-01")
        report = here.run(change)
        assert (report.outcome, codes(report)) == ("failed", ["property_conflict"])

    def test_a_zero_of_a_change_order_states_nothing(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        contract = here.contract(account)
        here.run(here.order(account, contract, line(entry), **percent(10)))
        here.clock.advance(MOMENT)
        fields: dict[str, Any] = {PERCENT: 0, "EffectiveDate": "2027-05-01"}
        assert here.run(here.order(account, contract, line(here.entry(), "2027-05-01"), **fields)).outcome == "synced"
        assert discounts(here) == [(["10%"], [[]]), (["10%"], [[], []])]


class TestReplace:
    """The original order's values change, and the whole configuration is sent again."""

    @pytest.mark.parametrize("running", [False, True], ids=["to come", "running"])
    @pytest.mark.parametrize("place", ["phase", "item"])
    @pytest.mark.parametrize(
        ("before", "after", "expected"),
        [
            ({PERCENT: 10}, {PERCENT: 20}, ["20%"]),
            ({PERCENT: 10}, {PERCENT: None, AMOUNT: 3}, ["3.00 usd"]),
            ({AMOUNT: 3}, {AMOUNT: 4}, ["4.00 usd"]),
            ({PERCENT: 10}, {PERCENT: 0}, []),
            ({AMOUNT: 3}, {AMOUNT: None}, []),
            ({}, {PERCENT: 10}, ["10%"]),
        ],
        ids=str,
    )
    def test_a_changed_value(
        self, here: World, before: dict[str, Any], after: dict[str, Any], expected: list[str], place: str, running: bool
    ) -> None:
        account, entry = here.account(), here.entry()
        contract = here.contract(account)
        of_order, of_line = (before, {}) if place == "phase" else ({}, before)
        order = here.order(account, contract, line(entry, "2026-11-20", **of_line), EffectiveDate="2026-11-20", **of_order)
        if running:
            here.run(order)
            at(here, "2027-02-10")
        else:
            here.salesforce.update("OrderItem", here.lines_of(order)[0], {"ServiceDate": "2027-01-01"})
            here.run(order)
            here.clock.advance(MOMENT)
        made = len(coupons(here))
        (item,) = here.lines_of(order)
        if place == "phase":
            here.salesforce.update("Order", order, after)
            report = here.run(order)
        else:
            here.salesforce.update("OrderItem", item, after)
            report = here.change_line(item, changed=[*after])
        assert report.outcome == "synced"
        phase_off, (item_off,) = discounts(here)[-1]
        assert (phase_off, item_off) == ((expected, []) if place == "phase" else ([], expected))
        assert len(coupons(here)) == made + len(expected)
        if running:
            subscription = here.subscription()
            bearer = subscription if place == "phase" else subscription["items"]["data"][0]
            assert len(bearer["discounts"]) == len(expected)
        here.clock.advance(MOMENT)
        assert here.run(order).outcome == "unchanged"

    @pytest.mark.parametrize("running", [False, True], ids=["to come", "running"])
    def test_an_unchanged_value_makes_no_coupon(self, here: World, running: bool) -> None:
        start = "2026-11-20" if running else "2026-12-01"
        account, entry = here.account(), here.entry()
        fields: dict[str, Any] = {PERCENT: 5, "EffectiveDate": start}
        order = here.order(account, here.contract(account), line(entry, start, **percent(10)), **fields)
        here.run(order)
        at(here, "2027-02-10") if running else here.clock.advance(MOMENT)
        made = coupons(here)
        (item,) = here.lines_of(order)
        for quantity in (2, 3, 4):
            here.salesforce.update("OrderItem", item, {"Quantity": quantity, PERCENT: 10.0})
            assert here.change_line(item).outcome == "synced"
            here.clock.advance(MOMENT)
        assert coupons(here) == made
        phase = here.schedule()["phases"][-1]
        assert (len(phase["discounts"]), len(phase["items"][0]["discounts"]), phase["items"][0]["quantity"]) == (1, 1, 4)

    def test_the_same_value_as_before_is_a_change_again(self, here: World) -> None:
        deal = sold(here, **percent(10))
        for value, expected in ((20, ["20%"]), (10, ["10%"]), (0, []), (10, ["10%"])):
            here.salesforce.update("OrderItem", deal.line, {PERCENT: value})
            assert here.change_line(deal.line).outcome == "synced"
            assert discounts(here) == [([], [expected])]
            here.clock.advance(MOMENT)

    def test_lines_of_one_price_that_carry_different_ones(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        lines = line(entry, **percent(10)), line(entry, **percent(20))
        report = here.run(here.order(account, here.contract(account), *lines))
        assert (report.outcome, codes(report)) == ("failed", ["property_conflict"])

    def test_an_amount_is_in_the_orders_currency(self, here: World) -> None:
        account, entry = here.account(), here.entry(1000, CurrencyIsoCode="JPY")
        order = here.order(account, contract_in(here, account, "JPY"), line(entry, **amount(50)), CurrencyIsoCode="JPY")
        assert here.run(order).outcome == "synced"
        assert [(coupon["amount_off"], coupon["currency"]) for coupon in coupons(here)] == [(50, "jpy")]
