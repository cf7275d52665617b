"""Planning against a schedule that runs or waits: which phases are sent, and what becomes of the discounts that there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from orderphase.domain.lines import Order, OrderLine
from orderphase.domain.planning import MAX_PHASES, Plan
from orderphase.domain.policies import Policies
from tests.domain.builders import line, moment, order
from tests.domain.stripe_desk import Desk, Json, bills_what_is_wanted

YEAR = ("2025-01-01", "2026-01-01")
ONE = order("1", line("a", *YEAR))
DAY = timedelta(days=1)


def running(*orders: Order, since: str = "2025-01-01", until: str = "2025-03-15T12:00:00", **policies: Any) -> Desk:
    """A desk at which orders were sold at one moment, and now it is another."""
    desk = Desk(moment(since), Policies(**{"quantity_conflict": "sum", **policies}))
    assert not desk.run(desk.sold(*orders)).refused
    desk.clock.set(moment(until), frozen=True)
    return desk


def change(desk: Desk, *orders: Order) -> tuple[Plan, Json]:
    """The plan for what is sold now, and the request that it has led to."""
    before = len(desk.requests)
    planned = desk.run(desk.sold(*orders))
    assert planned.action == "update", planned.findings
    bills_what_is_wanted(desk, planned.wanted)
    (params,) = desk.requests[before:]
    return planned, params


def bounds(params: Json) -> list[tuple[Any, Any]]:
    """Start and end of each phase of a request, as they are sent."""
    return [(phase.get("start_date"), phase.get("end_date")) for phase in params["phases"]]


def at(text: str) -> int:
    return int(moment(text).timestamp())


class TestTheCurrentPhase:
    def test_a_change_that_began_inside_it_ends_it_now(self) -> None:
        desk = running(ONE)
        planned, params = change(desk, ONE, order("2", line("b", "2025-03-15", "2026-01-01", 2)))
        assert bounds(params) == [(at("2025-01-01"), "now"), ("now", at("2026-01-01"))]
        assert [item["quantity"] for phase in params["phases"] for item in phase["items"]] == [1, 3]
        assert [phase.start for phase in planned.phases] == [desk.now]
        assert params["phases"][0]["items"] == [{"price": desk.prices["A"], "quantity": 1}]

    def test_a_change_that_began_with_it_changes_it(self) -> None:
        desk = running(ONE)
        _, params = change(desk, order("1", line("a", *YEAR, 3)))
        assert bounds(params) == [(at("2025-01-01"), at("2026-01-01"))]

    def test_a_change_that_began_before_it_changes_it(self) -> None:
        """What an earlier run has ended is not opened again."""
        desk = running(ONE)
        change(desk, ONE, order("2", line("b", "2025-03-15", "2026-01-01", 2)))
        desk.clock.advance(10 * DAY)
        _, params = change(desk, order("1", line("a", *YEAR, 2)), order("2", line("b", "2025-03-15", "2026-01-01", 2)))
        assert bounds(params) == [(at("2025-03-15T12:00:00"), at("2026-01-01"))]

    def test_one_that_began_in_this_very_second_is_changed(self) -> None:
        desk = running(ONE, since="2025-03-15T12:00:00.2", until="2025-03-15T12:00:00.9")
        _, params = change(desk, ONE, order("2", line("b", "2025-03-15T12:00:00", "2026-01-01", 2)))
        assert bounds(params) == [(at("2025-03-15T12:00:00"), at("2026-01-01"))]

    def test_a_change_to_come_leaves_it_as_it_is(self) -> None:
        desk = running(ONE)
        subscription = desk.subscription
        _, params = change(desk, ONE, order("2", line("b", "2025-06-01", "2026-01-01", 2)))
        assert bounds(params) == [(at("2025-01-01"), at("2025-06-01")), (None, at("2026-01-01"))]
        assert {**(desk.subscription or {}), "cancel_at": None} == {**(subscription or {}), "cancel_at": None}

    def test_the_end_alone_moves(self) -> None:
        desk = running(ONE)
        _, params = change(desk, order("1", line("a", "2025-01-01", "2025-10-01")))
        assert bounds(params) == [(at("2025-01-01"), at("2025-10-01"))]
        _, params = change(desk, order("1", line("a", "2025-01-01")))
        assert (params["end_behavior"], params["phases"][0]["duration"]["interval"]) == ("release", "year")

    def test_terms_that_change_inside_it_end_it(self) -> None:
        desk = running(order("1", line("a", *YEAR), collection_method="send_invoice", days_until_due=30))
        later = order("2", line("b", "2025-03-15", "2026-01-01", price="B"), percent_off="10")
        _, params = change(desk, order("1", line("a", *YEAR), collection_method="send_invoice", days_until_due=30), later)
        assert bounds(params) == [(at("2025-01-01"), "now"), ("now", at("2026-01-01"))]
        assert [phase["invoice_settings"]["days_until_due"] for phase in params["phases"]] == [30, 30]

    def test_what_the_request_itself_prorates(self) -> None:
        desk = running(ONE, proration_behavior="always_invoice")
        _, params = change(desk, order("1", line("a", *YEAR, 3)))
        assert params["proration_behavior"] == "always_invoice"

    def test_stripe_is_a_little_late_to_enter_the_next_phase(self) -> None:
        """It still shows the one that is over. That is no change of somebody else's, and nothing is to be done."""
        ramp = order("1", line("a", "2025-01-01", "2025-03-01"), line("b", "2025-03-01", "2026-01-01", 2))
        desk = running(ramp, until="2025-02-28")
        shown = desk.held()
        assert desk.plan(desk.sold(ramp), now=moment("2025-03-01T00:00:05"), schedule=shown).action == "nothing"
        more = desk.sold(ramp, order("2", line("c", "2025-03-01", "2026-01-01", 2)))
        planned = desk.plan(more, now=moment("2025-03-01T00:00:05"), schedule=shown)
        assert [(one.ends_now, one.starts_now) for one in planned.sent] == [(True, False), (False, True)]

    def test_stripe_is_a_little_late_to_let_it_go(self) -> None:
        """The ten phases that fit have passed, and the others are to come."""
        ramp = order("1", *TestTooLong.ramp(20))
        desk = running(ramp, until=f"{TestTooLong.day(9):%F}")
        planned = desk.plan(desk.sold(ramp), now=TestTooLong.day(10), schedule=desk.held())
        assert (planned.findings, [one.ends_now for one in planned.sent][:2]) == ((), [True, False])

    def test_stripe_is_a_little_late_to_end_it(self) -> None:
        desk = running(ONE)
        planned = desk.plan(desk.sold(ONE), now=moment("2026-01-01"), schedule=desk.held())
        assert (planned.action, planned.findings) == ("nothing", ())


class TestBeforeTheStart:
    LATER = order("1", line("a", "2025-06-01", "2026-06-01"))

    def test_the_start_moves(self) -> None:
        desk = running(self.LATER)
        for start in ("2025-07-01", "2025-05-01"):
            planned, params = change(desk, order("1", line("a", start, "2026-06-01")))
            assert (bounds(params), planned.findings) == ([(at(start), at("2026-06-01"))], ())

    def test_the_start_moves_into_the_past(self) -> None:
        desk = running(self.LATER)
        planned, params = change(desk, order("1", line("a", "2025-03-15", "2026-06-01")))
        assert bounds(params) == [("now", at("2026-06-01"))]
        assert (desk.schedule["status"], planned.findings) == ("active", ())

    def test_what_was_to_come_is_replaced(self) -> None:
        desk = running(self.LATER)
        _, params = change(
            desk, order("1", line("a", "2025-06-01", "2025-09-01", price="B"), line("b", "2025-09-01", "2026-01-01"))
        )
        assert bounds(params) == [(at("2025-06-01"), at("2025-09-01")), (None, at("2026-01-01"))]

    def test_what_is_billed_already_cannot_start_later(self) -> None:
        desk = running(ONE)
        planned = desk.run(desk.sold(order("1", line("a", "2025-04-01", "2026-01-01"))))
        (found,) = [one for one in planned.findings if one.severity == "error"]
        assert (found.code, found.lines) == ("starts_later", ("a",))
        assert found.message == "The contract now starts on 2025-04-01, but it is billed already."


class TestTooLong:
    @staticmethod
    def ramp(count: int, step: int = 1) -> list[OrderLine]:
        days = [moment("2025-01-01") + timedelta(days=30 * number) for number in range(count + 1)]
        return [
            replace(line(f"{number:02}", "2025-01-01", quantity=step * number + 1), start=start, end=end)
            for number, (start, end) in enumerate(pairwise(days))
        ]

    @staticmethod
    def day(number: int) -> datetime:
        return moment("2025-01-01") + timedelta(days=30 * number)

    def test_ten_with_the_current_one(self) -> None:
        desk = running(order("1", *self.ramp(20)), until="2025-01-15")
        planned, params = change(desk, order("1", *self.ramp(20, step=2)))
        assert (len(params["phases"]), params["end_behavior"], planned.extend_at) == (MAX_PHASES, "release", self.day(5))

    def test_nine_beside_the_one_that_ends_now(self) -> None:
        desk = running(order("1", *self.ramp(20)), until="2025-01-15")
        more = order("2", line("b", "2025-01-15", f"{self.day(20):%F}", price="B"))
        planned, params = change(desk, order("1", *self.ramp(20)), more)
        assert (len(params["phases"]), len(planned.phases), params["end_behavior"]) == (MAX_PHASES, 9, "release")
        assert (planned.extend_at, desk.plan(desk.sold(order("1", *self.ramp(20)), more)).extend_at) == (
            self.day(4),
            self.day(4),
        )

    @pytest.mark.parametrize(("passed", "action"), [(4, "nothing"), (5, "update")])
    def test_it_is_extended_when_five_are_left(self, passed: int, action: str) -> None:
        ramp = order("1", *self.ramp(20))
        desk = running(ramp, until=f"{self.day(passed):%F}")
        planned = desk.plan(desk.sold(ramp))
        assert (planned.action, planned.extend_at) == (action, self.day(passed + 5) if action == "update" else self.day(5))

    def test_the_rest_fits(self) -> None:
        ramp = order("1", *self.ramp(15))
        desk = running(ramp, until=f"{self.day(5):%F}")
        planned, params = change(desk, ramp)
        assert (len(params["phases"]), params["end_behavior"], planned.extend_at) == (10, "cancel", None)

    def test_phases_that_bill_the_same_do_not_count(self) -> None:
        """Twenty that the consolidation tells apart are five."""
        orders = [
            order(f"{number:02}", *one, collection_method=[None, "charge_automatically"][number % 2])
            for number, one in enumerate(self.alike())
        ]
        desk = running(*orders, until="2025-01-15")
        planned = desk.plan(desk.sold(*orders))
        assert (len(planned.wanted), len(desk.schedule["phases"]), planned.action, planned.extend_at) == (
            20,
            5,
            "nothing",
            None,
        )

    def alike(self) -> Sequence[Sequence[OrderLine]]:
        return [[replace(one, quantity=Decimal(number // 4 + 1))] for number, one in enumerate(self.ramp(20))]


class TestDiscounts:
    CHEAP = order(
        "1",
        line("a", "2025-01-01", "2025-06-01", percent_off="10"),
        line("b", "2025-06-01", "2026-01-01", 2, percent_off="10"),
        percent_off="5",
    )

    @staticmethod
    def said(params: Json) -> list[Any]:
        """The discounts of each phase: on the whole, and on the first item."""
        return [(phase["discounts"], phase["items"][0].get("discounts")) for phase in params["phases"]]

    def test_what_runs_is_kept_by_its_id_and_what_waits_by_its_coupon(self) -> None:
        desk = running(self.CHEAP)
        coupons = [one["id"] for one in desk.objects("coupon")]
        discounts = {place: found for (place, _), found in desk.running_discounts().items()}
        waiting = desk.schedule["phases"][1]
        _, params = change(
            desk, replace(self.CHEAP, lines=(*self.CHEAP.lines, line("c", "2025-06-01", "2026-01-01", price="B")))
        )
        assert self.said(params) == [
            ([{"discount": discounts[None]}], [{"discount": discounts[desk.prices["A"]]}]),
            ([{"coupon": waiting["discounts"][0]["coupon"]}], [{"coupon": waiting["items"][0]["discounts"][0]["coupon"]}]),
        ]
        assert [one["id"] for one in desk.objects("coupon")] == coupons

    def test_when_the_phase_is_ended_both_name_what_runs(self) -> None:
        desk = running(self.CHEAP)
        coupons = len(desk.objects("coupon"))
        _, params = change(desk, self.CHEAP, order("2", line("c", "2025-03-15", "2026-01-01", price="B")))
        ((ending, _), (begun, _), _) = self.said(params)
        assert ending == begun == [{"discount": desk.running_discounts()[None, "5%"]}]
        assert len(desk.objects("coupon")) == coupons
        assert [one["times_redeemed"] for one in desk.objects("coupon")] == [1, 1, 0, 0]

    def test_another_value_is_another_coupon(self) -> None:
        desk = running(self.CHEAP)
        before = {one["id"] for one in desk.objects("coupon")}
        first, second = self.CHEAP.lines
        change(desk, replace(self.CHEAP, lines=(replace(first, percent_off=Decimal(20)), second)))
        (new,) = [one for one in desk.objects("coupon") if one["id"] not in before]
        assert (new["percent_off"], new["times_redeemed"], new["max_redemptions"]) == (20, 1, 1)

    def test_a_discount_that_comes_to_an_end(self) -> None:
        desk = running(self.CHEAP)
        first, second = self.CHEAP.lines
        _, params = change(desk, replace(self.CHEAP, percent_off=None, lines=(replace(first, percent_off=None), second)))
        assert self.said(params)[0] == ("", None)
        assert desk.running_discounts() == {}

    def test_a_coupon_serves_one_place(self) -> None:
        """A phase to come is cut in two: the first keeps the coupon, the second needs another one."""
        desk = running(self.CHEAP)
        before = {one["id"] for one in desk.objects("coupon")}
        _, params = change(desk, self.CHEAP, order("2", line("c", "2025-09-01", "2026-01-01", price="B")))
        named = [one["coupon"] for phase in params["phases"][1:] for one in phase["discounts"]]
        assert (len(set(named)), named[0] in before, named[1] in before) == (2, True, False)

    def test_a_coupon_that_waited_for_a_phase_to_come_serves_the_one_that_begins_now(self) -> None:
        desk = running(
            order("1", line("a", "2025-01-01", "2025-06-01"), line("b", "2025-06-01", "2026-01-01", percent_off="10"))
        )
        coupons = [one["id"] for one in desk.objects("coupon")]
        change(desk, order("1", line("a", *YEAR, percent_off="10")))
        assert [(one["id"], one["times_redeemed"]) for one in desk.objects("coupon")] == [(coupons[0], 1)]

    def test_once_begun_a_phase_of_time_keeps_its_discount_by_id(self) -> None:
        desk = running(self.CHEAP, until="2025-07-01")
        found = desk.running_discounts()
        first, second = self.CHEAP.lines
        change(desk, replace(self.CHEAP, lines=(first, replace(second, end=None))))
        assert desk.running_discounts() == found

    def test_what_somebody_added_goes_and_ours_stays(self) -> None:
        desk = running(self.CHEAP, on_drift="repair")
        theirs = desk.call("POST", "coupons", percent_off=50, duration="forever")["id"]
        assert desk.subscription is not None
        ours = desk.subscription["discounts"][0]
        desk.call("POST", f"subscriptions/{desk.subscription['id']}", discounts=[{"discount": ours}, {"coupon": theirs}])
        change(desk, self.CHEAP)
        assert desk.running_discounts()[None, "5%"] == ours
        assert len(desk.running_discounts()) == 2

    def test_what_an_unknown_coupon_takes_off_is_not_taken_for_ours(self) -> None:
        """Where Stripe does not tell a coupon's value and its id does not either, it equals nothing that is wanted."""
        desk = running(self.CHEAP)
        held = desk.held()
        assert held is not None
        assert held.current is not None
        blind = replace(held.current, discounts={None: (replace(held.current.discounts_at(None)[0], value=None),)})
        schedule = replace(held, current=blind, phases=(blind, *held.phases[1:]))
        planned = desk.plan(desk.sold(self.CHEAP), schedule=schedule, applied=False)
        assert planned.action == "update"
        assert tuple(planned.sent[0].kept[None]) == held.phases[1].discounts_at(None)
