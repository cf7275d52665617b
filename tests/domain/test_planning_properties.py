"""Properties of planning, held against what Stripe makes of each request: histories of contracts, on a clock that is moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Literal

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from orderphase.domain.cancellation import CancellationRequest, cancellation_findings, end_of
from orderphase.domain.consolidation import consolidate
from orderphase.domain.lines import Order
from orderphase.domain.planning import Plan
from orderphase.domain.policies import Policies
from tests.domain.builders import line, order
from tests.domain.histories import Change, Step, beginnings, changed, changes, policies, slot, steps
from tests.domain.strategies import thorough
from tests.domain.stripe_desk import ACCOUNT, Desk, Term, bills_what_is_wanted, cents, content_at, wanted_terms

days = st.integers(-40, 120)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


def opened(choices: Policies, after: int, *, remembers: bool = True) -> Desk:
    """A desk so many days after the earliest start, in the middle of a morning."""
    return Desk(slot(0) + timedelta(days=after, hours=9, seconds=1.7), choices, remembers=remembers)


@thorough
@given(beginnings(), steps(), policies, st.booleans(), days)
def test_after_each_run_stripe_bills_what_was_sold(
    orders: list[Order], history: list[Step], choices: Policies, remembers: bool, after: int
) -> None:
    """Beside that, the run itself sees to it that a second plan has nothing to do, and that a refused one sends nothing."""
    desk = opened(choices, after, remembers=remembers)
    kinds = {change.kind for step in history for change in step.changes}
    for step in [Step(timedelta(), ()), *history]:
        desk.clock.advance(step.wait)
        orders = changed(orders, step.changes)
        sold = desk.sold(*orders)
        before = desk.schedule_id and (desk.schedule, desk.subscription)
        discounts = desk.running_discounts()
        planned = desk.run(sold)
        event(f"{planned.action}{' attach' if planned.attach else ''}{' refused' if planned.refused else ''}")
        for one in planned.findings:
            event(f"{one.severity}: {one.code}")
        assert "schedule_edited" not in [one.code for one in planned.findings]
        if planned.refused:
            assert before == (desk.schedule_id and (desk.schedule, desk.subscription))
        elif desk.schedule_id:
            bills_what_is_wanted(desk, planned.wanted)
            if remembers and choices.custom_pricing != "standard" and choices.unit_prices == "per_interval":
                bills_at_what_was_sold(desk, planned, orders)
            if remembers or ("unit price" not in kinds and choices.unit_prices == "per_interval"):
                # Also where all is read and priced again, which finds the same prices. That a line which is billed already was
                # sold at another one since, only the ledger knows.
                count = len(desk.objects("price"))
                assert desk.plan(desk.sold(*orders)).action == "nothing"
                assert len(desk.objects("price")) == count or not remembers
            if planned.action == "update" or planned.attach:
                # A discount that runs and stays is not redeemed again.
                assert (
                    discounts.items()
                    >= {place: found for place, found in desk.running_discounts().items() if place in discounts}.items()
                )


def bills_at_what_was_sold(desk: Desk, planned: Plan, orders: Sequence[Order]) -> None:
    """Fail unless each line that names no Stripe price is billed at its own unit price, whatever the price book says now."""
    sold = {line.id: line.unit_price for order in orders for line in order.lines if line.entry}
    for item in (item for phase in planned.wanted for item in phase.items):
        for amount in {sold[name] for name in item.lines if name in sold}:
            assert amount is not None
            assert cents(desk, item.price) == Fraction(amount) * 100


@thorough
@given(beginnings(), st.lists(changes(), max_size=12), policies, st.booleans(), days)
def test_as_time_goes_by_every_step_comes_on_its_day(
    orders: list[Order], some: list[Change], choices: Policies, remembers: bool, after: int
) -> None:
    """Nothing runs but the extension of what is too long, and when a schedule has run out."""
    desk = opened(choices, after, remembers=remembers)
    sold = desk.sold(*changed(orders, some))
    planned = desk.run(sold)
    assume(not planned.refused)
    wanted = wanted_terms(planned.wanted, desk.now)
    starts = [one.start for one in wanted if one.start > desk.now]
    extend_at = desk.plan(sold).extend_at
    event(f"extended: {extend_at is not None}")
    for moment in starts:
        while extend_at is not None and extend_at <= moment:
            assert extend_at > desk.now
            desk.clock.set(extend_at, frozen=True)
            desk.run(sold)
            extend_at = desk.plan(sold).extend_at
        desk.clock.set(moment, frozen=True)
        billed = desk.billed()
        assert billed is not None
        assert billed.content == content_at(wanted, moment)
        assert desk.plan(sold).action == "nothing"
    end = wanted[-1].end
    assert extend_at is None
    desk.clock.set((end or desk.now + timedelta(days=1000)), frozen=True)
    billed = desk.billed()
    assert (billed and billed.content) == (None if end else wanted[-1].content)
    assert desk.plan(sold).action == "nothing"
    assert not desk.plan(sold).refused


@thorough
@given(beginnings(), st.lists(changes(), min_size=1, max_size=5), policies, st.booleans(), days, st.data())
def test_the_order_in_which_changes_arrive_makes_no_difference(
    orders: list[Order], some: list[Change], choices: Policies, remembers: bool, after: int, data: st.DataObject
) -> None:
    together = changed(orders, some)
    desk, at_once = opened(choices, after, remembers=remembers), opened(choices, after)
    # One-time items come with a phase that begins; in the very second in which another began, none can.
    pause = timedelta(seconds=1 if choices.backdating == "catch_up" else data.draw(st.integers(0, 1)))
    arrived: list[Order] = []
    for one in data.draw(st.permutations(together)):
        desk.clock.advance(pause)
        at_once.clock.advance(pause)
        arrived.append(one)
        desk.run(desk.sold(*arrived))
    assume(not at_once.run(at_once.sold(*together)).refused)
    planned = desk.plan(desk.sold(*together))
    if planned.refused:
        # All that is billed already can be taken away again; the contract cannot begin anew some day to come.
        assert {one.code for one in planned.findings if one.severity == "error"} == {"starts_later"}
    else:
        bills_what_is_wanted(desk, planned.wanted)


@thorough
@given(beginnings(), steps("quantity", "reduce", "shorten", "end", "unit price"), days, st.sampled_from(["sum", "latest"]))
def test_what_is_caught_up_makes_the_past_what_was_sold(
    orders: list[Order], history: list[Step], after: int, conflict: Literal["sum", "latest"]
) -> None:
    """What the schedule has billed and the one-time items come to what was sold in the end.

    But for the rounding of each item, and for what was changed on the very day: parts of a day are not caught up.
    """
    desk = opened(Policies(quantity_conflict=conflict, backdating="catch_up"), after)
    billed = Fraction(0)
    anchor = orders[0].lines[0].start
    first = desk.run(desk.sold(*orders))
    assume(not first.refused)
    today = desk.now - timedelta(days=1)
    slack = Fraction(0) + sum(worth(desk, one, today, desk.now, anchor) for one in wanted_terms(first.wanted, anchor))
    for step in history:
        running, since = desk.billed(), desk.now
        terms = desk.terms() or ([running] if running else [])
        desk.clock.advance(step.wait)
        running, end = desk.billed(), terms[-1].end if terms else None
        if running and end and end < desk.now:
            terms.append(replace(running, start=end))
        billed += sum(worth(desk, one, since, desk.now, anchor) for one in terms)
        orders = changed(orders, step.changes)
        made = desk.run(desk.sold(*orders))
        assume(not made.refused and made.wanted[0].start == anchor)
        today = desk.now - timedelta(days=1)
        slack += sum(worth(desk, one, today, desk.now, anchor) for one in wanted_terms(made.wanted, anchor))
        slack += sum(worth(desk, one, today, desk.now, anchor) for one in terms)
    items = desk.emulator.invoice_items(ACCOUNT)
    sold = sum(worth(desk, one, anchor, desk.now, anchor) for one in wanted_terms(desk.settled or (), anchor))
    event(f"items: {min(len(items), 3)}")
    assert abs(billed + sum(one.amount for one in items) - sold) <= Fraction(len(items), 2) + slack


def worth(desk: Desk, term: Term, since: datetime, until: datetime, anchor: datetime) -> Fraction:
    """What a term without discounts bills between two moments, in cents: months are counted from the anchor in UTC."""
    start, end = max(term.start, since), until if term.end is None else min(term.end, until)
    if start >= end:
        return Fraction(0)
    months = month_at(end, anchor) - month_at(start, anchor)
    return sum(quantity * cents(desk, price) for price, (quantity, _) in term.items.items()) * months


def month_at(moment: datetime, anchor: datetime) -> Fraction:
    """How many months after the anchor, which is at the 1st or the 16th, a moment is; whole seconds count."""
    moment = moment.replace(microsecond=0)
    number = (moment.year - anchor.year) * 12 + moment.month - anchor.month
    number -= moment < turn(number, anchor)
    start, end = turn(number, anchor), turn(number + 1, anchor)
    return number + Fraction((moment - start) // SECOND, (end - start) // SECOND)


def turn(number: int, anchor: datetime) -> datetime:
    month = anchor.month - 1 + number
    return anchor.replace(year=anchor.year + month // 12, month=month % 12 + 1)


@thorough
@given(
    beginnings(),
    st.lists(changes(), max_size=4),
    policies,
    st.booleans(),
    days,
    st.sampled_from(["now", "at_period_end", "on_date"]),
    st.tuples(st.integers(0, 400), st.integers(0, 400)),
)
def test_a_cancelled_contract_bills_as_sold_until_its_end_and_nothing_after(
    orders: list[Order],
    some: list[Change],
    choices: Policies,
    remembers: bool,
    after: int,
    mode: Literal["now", "at_period_end", "on_date"],
    waits: tuple[int, int],
) -> None:
    desk = opened(choices, after, remembers=remembers)
    sold = desk.sold(*changed(orders, some))
    assume(not desk.run(sold).refused)
    desk.clock.advance(waits[0] * DAY)
    assume(not desk.run(sold).refused)
    request = CancellationRequest(mode, (desk.now + waits[1] * DAY).date())
    held = desk.held()
    ends_at = end_of(request, held, now=desk.now, policies=choices)
    uncut = consolidate(sold, choices).phases
    assume(not list(cancellation_findings(request, ends_at, uncut, held, now=desk.now, policies=choices)))
    desk.run(sold, ends_at=ends_at, cancellation=request, ending=True)
    event(f"{mode}: {held.status if held else 'none'}")

    assert desk.plan(sold, ends_at=ends_at, cancellation=request).action == "nothing"
    wanted = wanted_terms(uncut, desk.now, choices)
    moments = [one.start for one in wanted if desk.now < one.start < ends_at]
    for moment in [*moments, max(ends_at, desk.now)]:
        desk.clock.set(moment, frozen=True)
        extended = desk.run(sold, ends_at=ends_at, cancellation=request, ending=True)
        assert not extended.refused
        billed = desk.billed()
        running = [one.content for one in wanted if one.start <= moment and (one.end is None or moment < one.end)]
        assert ([billed.content] if billed else []) == (running if moment < ends_at else [])
    desk.clock.advance(1000 * DAY)
    assert desk.billed() is None


class TestRamp:
    """Three years, each month one more."""

    ORDER = order(
        "1", *(line(f"802-{n:02}", f"{slot(2 * n):%F}", f"{slot(2 * n + 2):%F}", n + 1, price="A") for n in range(36))
    )

    def test_at_each_extension_the_next_steps_are_added(self) -> None:
        desk = Desk(slot(0), Policies())
        sold = desk.sold(self.ORDER)
        extensions = []
        planned = desk.run(sold)
        for month in range(36):
            desk.clock.set(max(slot(2 * month), desk.now), frozen=True)
            if planned.extend_at == desk.now:
                planned = desk.run(sold)
                assert planned.action == "update"
                extensions.append(month)
            self.bills(desk, month)
        assert extensions == [5, 10, 15, 20, 25, 30][: len(extensions)]
        assert (len(extensions), planned.extend_at, desk.schedule["end_behavior"]) == (6, None, "cancel")
        desk.clock.set(slot(72), frozen=True)
        assert desk.billed() is None

    def test_between_the_extensions_there_is_nothing_to_do(self) -> None:
        desk = Desk(slot(0), Policies())
        sold = desk.sold(self.ORDER)
        extend_at = desk.run(sold).extend_at
        for month in range(1, 5):
            desk.clock.set(slot(2 * month), frozen=True)
            planned = desk.plan(sold)
            assert (planned.action, planned.extend_at) == ("nothing", extend_at)

    @pytest.mark.parametrize("remembers", [True, False])
    @pytest.mark.parametrize("late", [10, 14])
    def test_without_an_extension_the_subscription_lives_on_and_the_next_plan_takes_it_over(
        self, late: int, remembers: bool
    ) -> None:
        desk = Desk(slot(0), Policies(), remembers=remembers)
        sold = desk.sold(self.ORDER)
        desk.run(sold)
        first, subscription = desk.schedule_id, desk.schedule["subscription"]
        desk.clock.set(slot(2 * late) + DAY, frozen=True)
        assert desk.schedule["status"] == "released"
        self.bills(desk, 9)

        planned = desk.run(sold)

        assert (planned.action, planned.attach, planned.sent) == ("create", subscription, ())
        assert [one.severity for one in planned.findings] == ["warning"] * len(planned.findings)
        assert (desk.schedule_id != first, desk.schedule["subscription"]) == (True, subscription)
        self.bills(desk, late)
        extend_at = desk.plan(sold).extend_at
        for month in range(late + 1, 36):
            desk.clock.set(slot(2 * month), frozen=True)
            if extend_at == desk.now:
                extend_at = desk.run(sold).extend_at
            self.bills(desk, month)
        desk.clock.set(slot(72), frozen=True)
        assert desk.billed() is None

    def test_when_all_is_over_before_the_next_plan_what_still_bills_is_ended(self) -> None:
        desk = Desk(slot(0), Policies())
        sold = desk.sold(self.ORDER)
        desk.run(sold)
        desk.clock.set(slot(73), frozen=True)
        desk.run(sold)
        assert desk.billed() is None

    @staticmethod
    def bills(desk: Desk, month: int) -> None:
        billed = desk.billed()
        assert billed is not None
        assert billed.items == {desk.prices["A"]: (month + 1, ())}
