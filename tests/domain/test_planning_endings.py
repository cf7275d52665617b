"""Planning where something ends: cancellations, and schedules that are over by themselves or by somebody's hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Literal

import pytest

from orderphase.domain.cancellation import CancellationRequest, cancellation_findings, end_of
from orderphase.domain.consolidation import consolidate
from orderphase.domain.lines import Order
from orderphase.domain.planning import Plan
from orderphase.domain.policies import Policies
from tests.domain.builders import line, moment, order
from tests.domain.stripe_desk import Desk, bills_what_is_wanted

YEAR = ("2025-01-01", "2026-01-01")
ONE = order("1", line("a", *YEAR))
EVERGREEN = order("1", line("a", "2025-01-01"))
DAY = timedelta(days=1)


def running(*orders: Order, until: str = "2025-03-15T12:00:00", remembers: bool = True, **policies: Any) -> Desk:
    desk = Desk(moment("2025-01-01"), Policies(**policies), remembers=remembers)
    assert not desk.run(desk.sold(*orders)).refused
    desk.clock.set(moment(until), frozen=True)
    return desk


def codes(planned: Plan) -> list[str]:
    return [found.code for found in planned.findings]


class TestCancellation:
    def cancel(self, desk: Desk, *orders: Order, mode: Literal["now", "at_period_end", "on_date"] = "now", **more: Any) -> Plan:
        """Cancel, and see that a second plan has nothing to do."""
        asked = CancellationRequest(mode, **more)
        ends_at = end_of(asked, desk.held(), now=desk.now, policies=desk.policies)
        return desk.run(desk.sold(*orders), ends_at=ends_at, cancellation=asked, ending=True)

    @pytest.mark.parametrize("prorate", [True, False])
    @pytest.mark.parametrize("invoice_now", [True, False])
    def test_now(self, invoice_now: bool, prorate: bool) -> None:
        desk = running(ONE)
        planned = self.cancel(desk, ONE, invoice_now=invoice_now, prorate=prorate)
        assert (planned.action, desk.requests[-1]) == ("cancel", {"invoice_now": invoice_now, "prorate": prorate})
        assert (desk.schedule["status"], desk.billed()) == ("canceled", None)

    def test_whatever_is_wrong_with_the_orders_it_ends_now(self) -> None:
        desk = running(ONE)
        planned = self.cancel(desk, ONE, order("2", line("b", "2025-02-01", price=None)))
        assert (planned.action, planned.findings) == ("cancel", ())

    def test_at_the_end_of_the_period(self) -> None:
        desk = running(EVERGREEN)
        planned = self.cancel(desk, EVERGREEN, mode="at_period_end")
        assert (planned.action, planned.wanted[-1].end, planned.end_behavior) == ("update", moment("2025-04-01"), "cancel")
        desk.clock.set(moment("2025-04-01"), frozen=True)
        assert desk.billed() is None
        assert desk.plan(desk.sold(EVERGREEN), ends_at=moment("2025-04-01")).action == "nothing"

    def test_on_a_date_to_come_the_last_phase_is_shortened_and_those_after_it_go(self) -> None:
        ramp = order("1", line("a", "2025-01-01", "2025-06-01"), line("b", "2025-06-01", "2026-01-01", 2))
        desk = running(ramp)
        planned = self.cancel(desk, ramp, mode="on_date", date=date(2025, 5, 1))
        assert (planned.action, [phase.end for phase in planned.phases]) == ("update", [moment("2025-05-01")])
        assert desk.requests[-1]["proration_behavior"] == "none"

    def test_before_the_start(self) -> None:
        later = order("1", line("a", "2025-06-01", "2026-06-01"))
        desk = running(later)
        planned = self.cancel(desk, later, mode="on_date", date=date(2025, 5, 1))
        assert (planned.action, desk.schedule["status"]) == ("cancel", "canceled")

    def test_before_anything_was_billed(self) -> None:
        for ends_at in (moment("2025-03-15"), moment("2025-05-01")):
            desk = Desk(moment("2025-03-15"), Policies())
            planned = desk.run(desk.sold(order("1", line("a", "2025-06-01", "2026-06-01"))), ends_at=ends_at)
            assert (planned.action, planned.findings, desk.schedule_id) == ("nothing", (), None)

    def test_what_has_ended_already(self) -> None:
        desk = running(ONE, until="2026-02-01")
        assert desk.schedule["status"] == "completed"
        assert self.cancel(desk, ONE).action == "nothing"

    def test_a_subscription_that_was_let_go_is_taken_over_and_then_ended(self) -> None:
        desk = running(EVERGREEN, until="2026-03-15")
        assert desk.schedule["status"] == "released"
        planned = self.cancel(desk, EVERGREEN)
        assert (planned.action, planned.attach, len(desk.requests)) == ("create", desk.schedule["subscription"], 3)
        assert desk.billed() is None

    def test_a_subscription_that_was_let_go_ends_on_a_date(self) -> None:
        desk = running(EVERGREEN, until="2026-03-15")
        planned = self.cancel(desk, EVERGREEN, mode="on_date", date=date(2026, 5, 20))
        assert (planned.action, desk.requests[-1]["phases"][-1]["end_date"]) == ("create", moment("2026-05-20").timestamp())
        desk.clock.set(moment("2026-05-20"), frozen=True)
        assert desk.billed() is None

    def test_one_that_somebody_let_go_is_taken_over_to_end_on_a_date(self) -> None:
        """What somebody did to the schedule does not keep the contract from ending."""
        desk = running(ONE)
        desk.call("POST", f"subscription_schedules/{desk.schedule_id}/release")
        planned = self.cancel(desk, ONE, mode="on_date", date=date(2025, 5, 20))
        assert [(one.code, one.severity) for one in planned.findings] == [("schedule_ended", "warning")]
        desk.clock.set(moment("2025-05-20"), frozen=True)
        assert desk.billed() is None

    def test_one_that_somebody_cancelled_is_over_at_once(self) -> None:
        desk = running(ONE)
        desk.call("POST", f"subscription_schedules/{desk.schedule_id}/cancel")
        planned = self.cancel(desk, ONE, mode="on_date", date=date(2025, 5, 20))
        assert (planned.action, planned.findings) == ("nothing", ())

    def test_what_is_left_of_it_is_not_sold_anew(self) -> None:
        """A change of the past that comes with the cancellation is not caught up."""
        desk = running(ONE, backdating="catch_up")
        self.cancel(desk, order("1", line("a", *YEAR, 3)), mode="on_date", date=date(2025, 5, 1))
        assert "add_invoice_items" not in desk.requests[-1]["phases"][0]

    def test_a_change_order_after_it_bills_up_to_the_end(self) -> None:
        desk = running(ONE)
        self.cancel(desk, ONE, mode="on_date", date=date(2025, 7, 1))
        more = order("2", line("b", "2025-05-01", "2026-01-01", price="B"))
        planned = desk.run(desk.sold(ONE, more), ends_at=moment("2025-07-01"))
        assert [phase.end for phase in planned.phases] == [moment("2025-05-01"), moment("2025-07-01")]


class TestEndOf:
    NOW = moment("2025-03-15T12:00:00.9")

    def end(self, request: CancellationRequest, desk: Desk | None = None, **policies: Any) -> datetime:
        now = desk.now if desk else self.NOW
        return end_of(request, desk.held() if desk else None, now=now, policies=Policies(**policies))

    def test_now_is_a_whole_second(self) -> None:
        assert self.end(CancellationRequest("now")) == moment("2025-03-15T12:00:00")

    @pytest.mark.parametrize(
        ("zone", "ends", "end"),
        [
            ("UTC", "exclusive", "2025-05-01T00:00:00"),
            ("UTC", "inclusive", "2025-05-02T00:00:00"),
            ("America/New_York", "exclusive", "2025-05-01T04:00:00"),
        ],
    )
    def test_a_date_is_a_day_of_the_billing_zone(self, zone: str, ends: str, end: str) -> None:
        request = CancellationRequest("on_date", date(2025, 5, 1))
        assert self.end(request, time_zone=zone, end_dates=ends) == moment(end)

    def test_the_period_that_runs_longest(self) -> None:
        desk = running(order("1", line("a", *YEAR), line("y", *YEAR, price="Y")))
        assert self.end(CancellationRequest("at_period_end"), desk) == moment("2026-01-01")

    def test_without_a_period_it_is_now(self) -> None:
        later = running(order("1", line("a", "2025-06-01", "2026-06-01")))
        assert self.end(CancellationRequest("at_period_end"), later) == later.now
        assert self.end(CancellationRequest("at_period_end")) == moment("2025-03-15T12:00:00")

    def test_a_period_that_is_over_is_over_now(self) -> None:
        over = running(ONE, until="2026-03-01")
        assert self.end(CancellationRequest("at_period_end"), over) == over.now


class TestCancellationFindings:
    def told(
        self, on: str, *orders: Order, mode: Literal["now", "on_date"] = "on_date", **policies: Any
    ) -> list[tuple[str, str]]:
        request = CancellationRequest(mode, date.fromisoformat(on))
        now, chosen = moment("2025-03-15T12:00:00"), Policies(**policies)
        ends_at = end_of(request, None, now=now, policies=chosen)
        phases = consolidate(orders or (ONE,), chosen).phases
        return [
            (one.code, one.message) for one in cancellation_findings(request, ends_at, phases, None, now=now, policies=chosen)
        ]

    @pytest.mark.parametrize("on", ["2025-03-16", "2025-07-01", "2026-01-01"])
    def test_any_date_while_it_runs(self, on: str) -> None:
        assert self.told(on) == []

    @pytest.mark.parametrize("on", ["2024-01-01", "2025-03-15"])
    def test_a_date_that_has_passed(self, on: str) -> None:
        assert self.told(on) == [("cancellation_in_past", f"The contract is to end on {on}, which is not in the future.")]

    def test_today_inclusive_is_tonight(self) -> None:
        assert self.told("2025-03-15", end_dates="inclusive") == []

    def test_after_the_end(self) -> None:
        message = "The contract is to end on 2026-01-02, but its orders end on 2026-01-01 already."
        assert self.told("2026-01-02") == [("cancellation_after_end", message)]
        assert self.told("2036-01-02", EVERGREEN) == []

    def test_other_modes_have_no_date(self) -> None:
        assert self.told("2024-01-01", mode="now") == []


class TestTheScheduleIsOver:
    """Somebody has ended it, or it came to its end; what is left to bill decides."""

    def ended(self, how: str, *orders: Order, **more: Any) -> Desk:
        desk = running(*orders, **more)
        if how == "subscription":
            assert desk.subscription is not None
            desk.call("DELETE", f"subscriptions/{desk.subscription['id']}")
        else:
            desk.call("POST", f"subscription_schedules/{desk.schedule_id}/{how}")
        return desk

    @pytest.mark.parametrize(
        ("how", "words"), [("cancel", "was canceled"), ("release", "was released"), ("subscription", "was canceled")]
    )
    def test_by_somebody_is_an_error(self, how: str, words: str) -> None:
        desk = self.ended(how, ONE)
        planned = desk.run(desk.sold(ONE))
        (found,) = planned.findings
        assert (found.code, found.severity, found.lines) == ("schedule_ended", "error", ("a",))
        assert found.message == f"The schedule {desk.schedule_id} {words}, but there is more to bill."

    @pytest.mark.parametrize("how", ["cancel", "subscription"])
    @pytest.mark.parametrize("backdating", ["from_now", "catch_up", "reject"])
    @pytest.mark.parametrize("remembers", [True, False])
    def test_it_is_created_again_from_now_on(self, how: str, backdating: str, remembers: bool) -> None:
        """What was billed before is not billed again."""
        desk = self.ended(how, ONE, remembers=remembers, on_schedule_ended="recreate", backdating=backdating)
        first = desk.schedule_id
        planned = desk.run(desk.sold(ONE))
        assert [(one.code, one.severity) for one in planned.findings] == [("schedule_ended", "warning")]
        assert (planned.action, planned.attach, planned.caught_up) == ("create", None, [])
        assert desk.requests[-1]["start_date"] == "now"
        assert desk.schedule_id != first
        bills_what_is_wanted(desk, planned.wanted)

    def test_a_subscription_that_lives_is_taken_over(self) -> None:
        desk = self.ended("release", ONE, on_schedule_ended="recreate")
        assert desk.subscription is not None
        subscription = desk.subscription["id"]
        planned = desk.run(desk.sold(ONE))
        assert (planned.attach, desk.requests[-2]) == (subscription, {"from_subscription": subscription})
        assert desk.schedule["subscription"] == subscription
        bills_what_is_wanted(desk, planned.wanted)

    def test_what_was_let_go_before_its_start_has_no_subscription(self) -> None:
        later = order("1", line("a", "2025-06-01", "2026-06-01"))
        desk = self.ended("release", later, on_schedule_ended="recreate")
        planned = desk.run(desk.sold(later))
        assert (planned.action, planned.attach) == ("create", None)
        bills_what_is_wanted(desk, planned.wanted)

    def test_when_nothing_is_left_it_does_not_matter(self) -> None:
        desk = self.ended("cancel", ONE)
        desk.clock.set(moment("2026-02-01"), frozen=True)
        planned = desk.plan(desk.sold(ONE))
        assert (planned.action, planned.findings) == ("nothing", ())

    def test_a_subscription_that_goes_on_after_the_end_is_told(self) -> None:
        """Somebody has let it go, so it is for a person to end it."""
        desk = self.ended("release", ONE)
        desk.clock.set(moment("2026-02-01"), frozen=True)
        planned = desk.plan(desk.sold(ONE))
        assert (planned.action, codes(planned)) == ("nothing", ["end_in_past"])
        assert "goes on" in planned.findings[0].message

    def test_a_schedule_that_somebody_made_is_not_ended(self) -> None:
        """Only one that a run of ours has just made, and that bears no mark yet, is known to have come too late."""
        desk = self.ended("release", ONE)
        desk.clock.set(moment("2026-02-01"), frozen=True)
        desk.schedule_id = desk.call(
            "POST", "subscription_schedules", from_subscription=desk.schedule["released_subscription"]
        )["id"]
        for taken_over, action in ((False, "nothing"), (True, "cancel")):
            planned = desk.plan(
                desk.sold(ONE), settled=consolidate(desk.sold(ONE), desk.policies).phases, taken_over=taken_over
            )
            assert planned.action == action
            assert planned.refused is not taken_over

    @pytest.mark.parametrize(("policy", "severity"), [("error", "error"), ("recreate", "warning")])
    def test_by_itself_and_the_contract_goes_on(self, policy: str, severity: str) -> None:
        longer = order("1", line("a", "2025-01-01", "2027-01-01"))
        desk = running(ONE, until="2026-02-01", on_schedule_ended=policy)
        ended = desk.schedule_id
        found = {one.code: (one.severity, one.message) for one in desk.run(desk.sold(longer)).findings}
        assert found == {
            "schedule_ended": (severity, f"The schedule {ended} is over, but there is more to bill."),
            "change_in_past": (
                "warning",
                "Orders change what was sold from 2026-01-01 on; 31 days before today stay billed as they were.",
            ),
        }
        assert (desk.schedule_id == ended) == (policy == "error")

    def test_an_evergreen_goes_on_without_a_schedule(self) -> None:
        desk = running(EVERGREEN, until="2026-06-15")
        assert desk.schedule["status"] == "released"
        planned = desk.plan(desk.sold(EVERGREEN))
        assert (planned.action, planned.findings) == ("nothing", ())

    @pytest.mark.parametrize("remembers", [True, False])
    def test_an_evergreen_without_a_schedule_that_changes_gets_one_again(self, remembers: bool) -> None:
        desk = running(EVERGREEN, until="2026-06-15", remembers=remembers, quantity_conflict="sum")
        assert desk.subscription is not None
        subscription = desk.subscription["id"]
        more = order("2", line("b", "2026-08-01", quantity=2), effective="2026-08-01")
        planned = desk.run(desk.sold(EVERGREEN, more))
        assert (planned.attach, desk.schedule["subscription"]) == (subscription, subscription)
        bills_what_is_wanted(desk, desk.plan(desk.sold(EVERGREEN, more)).wanted)

    def test_a_change_of_the_past_alone_is_caught_up_also_then(self) -> None:
        desk = running(EVERGREEN, until="2026-06-15", quantity_conflict="sum", backdating="catch_up")
        more = order("2", line("b", "2026-05-01", "2026-06-01", 2), effective="2026-05-01")
        planned = desk.run(desk.sold(EVERGREEN, more))
        assert planned.attach
        assert [(one.amount, one.period_start) for one in desk.emulator.invoice_items("acct_desk")] == [
            (2000, moment("2026-05-01").timestamp())
        ]
        bills_what_is_wanted(desk, desk.plan(desk.sold(EVERGREEN, more)).wanted)

    def test_what_would_be_refused_is_refused_before_it_is_taken_over(self) -> None:
        desk = running(EVERGREEN, until="2026-06-15", quantity_conflict="sum", backdating="reject")
        more = order("2", line("b", "2026-05-01", quantity=2), effective="2026-05-01")
        planned = desk.run(desk.sold(EVERGREEN, more))
        assert (codes(planned), planned.refused, len(desk.requests)) == (["change_in_past"], True, 1)

    def test_so_is_one_that_would_start_later_and_one_in_another_currency(self) -> None:
        for changed, code in (
            (order("1", line("a", "2026-09-01")), "starts_later"),
            (order("1", line("a", "2025-01-01", quantity=2), currency="EUR"), "currency_conflict"),
        ):
            desk = running(EVERGREEN, until="2026-06-15")
            planned = desk.run(desk.sold(changed))
            assert (code in codes(planned), planned.refused, len(desk.requests)) == (True, True, 1)

    def test_a_contract_that_is_over_while_its_subscription_bills_is_told(self) -> None:
        desk = running(EVERGREEN, until="2026-06-15")
        planned = desk.run(desk.sold(order("1", line("a", "2025-01-01", "2026-05-01"))))
        assert (codes(planned), planned.refused) == (["end_in_past"], True)

    @pytest.mark.parametrize(("backdating", "severity"), [("from_now", "warning"), ("reject", "error"), ("catch_up", "error")])
    def test_a_change_after_everything_is_over_is_told(self, backdating: str, severity: str) -> None:
        desk = running(ONE, until="2026-02-01", backdating=backdating)
        (found,) = desk.plan(desk.sold(order("1", line("a", *YEAR, 3)))).findings
        assert found.severity == severity
        assert found.code == ("catch_up_unknown" if backdating == "catch_up" else "change_in_past")
        assert (found.lines, found.start, found.end) == (("a",), moment("2025-01-01"), moment("2026-01-01"))


class TestLive:
    def test_the_end_moves_into_the_past(self) -> None:
        desk = running(ONE)
        planned = desk.run(desk.sold(order("1", line("a", "2025-01-01", "2025-03-01"))))
        assert (codes(planned), planned.refused) == (["end_in_past"], True)
        assert planned.findings[0].message == "Everything ended on 2025-03-01, before now."

    def test_nothing_is_left_of_it(self) -> None:
        desk = running(ONE)
        planned = desk.run(desk.sold(order("1", line("a", *YEAR, 0))))
        assert set(codes(planned)) == {"nothing_to_bill", "zero_quantity"}

    def test_the_customer_was_deleted(self) -> None:
        desk = running(ONE)
        held = desk.held()
        assert held is not None
        desk.call("DELETE", f"customers/{desk.customer}")
        planned = desk.plan(desk.sold(ONE))
        (deleted, ended) = planned.findings
        assert (deleted.code, ended.code, planned.action) == ("customer_deleted", "schedule_ended", "nothing")
        assert deleted.message == f"The customer {desk.customer} of the schedule {desk.schedule_id} was deleted in Stripe."

    def test_another_currency(self) -> None:
        desk = running(ONE)
        planned = desk.run(desk.sold(order("1", line("a", *YEAR), currency="EUR")))
        (found,) = planned.findings
        assert found.code == "currency_conflict"
        assert found.message == f"The schedule {desk.schedule_id} bills in USD, but the orders are in EUR."

    def test_where_no_order_states_one_it_is_the_schedules(self) -> None:
        desk = running(ONE)
        silent = order("1", line("a", *YEAR, 3), currency=None)
        planned = desk.plan(desk.sold(silent), currency="EUR")
        assert (planned.action, planned.currency) == ("update", "USD")
