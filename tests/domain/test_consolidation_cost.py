"""Consolidation costs O(n log n + output), and planning as much as can be sent.

Operations are counted, not timed: calls, and every look-up by an id or a price.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from types import FrameType
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest

from orderphase.domain.catalogue import PriceBookEntry, Product
from orderphase.domain.consolidation import consolidate
from orderphase.domain.lines import Order, OrderLine
from orderphase.domain.phases import Consolidation, Phase
from orderphase.domain.planning import Situation, plan
from orderphase.domain.policies import Policies
from orderphase.domain.schedules import HeldPhase, HeldSchedule
from orderphase.domain.sequence import in_sequence

UTC_ZONE = ZoneInfo("UTC")
START = datetime(2025, 1, 1, tzinfo=UTC)


class Name(str):
    """An id or a price whose hashing is a call that the profiler sees, also inside the loops of dict and set."""

    __slots__ = ()

    def __hash__(self) -> int:
        return str.__hash__(self)


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def line(number: int, start: int, end: int | None, price: str = "A", quantity: int = 1, **more: Any) -> OrderLine:
    until = None if end is None else day(end)
    return OrderLine(Name(f"802-{number:06}"), Decimal(quantity), day(start), until, Name(price), **more)


def order(number: int, *lines: OrderLine, **more: Any) -> Order:
    effective = date(2025, 1, 1) + timedelta(days=number)
    return Order(Name(f"801-{number:06}"), f"{number:06}", effective, currency="USD", lines=lines, **more)


def twenty_at_once(size: int) -> list[Order]:
    return [order(0, *(line(n, n, n + 20, f"P{n % 20}", 1 + n // 20 % 2) for n in range(size)))]


def twenty_at_once_in_one_phase(size: int) -> list[Order]:
    return [order(0, *(line(n, n, n + 20, f"P{n % 20}") for n in range(size)))]


def equal_and_open(size: int) -> list[Order]:
    return [order(0, *(line(n, n, None) for n in range(size)))]


def a_chain_beside_long_lines(size: int) -> list[Order]:
    chain = [line(n, n, n + 1) for n in range(size)]
    return [order(0, *chain, *(line(size + n, 0, size) for n in range(size // 10)))]


def a_chain_beside_another_price(size: int) -> list[Order]:
    chain = [line(n, n, n + 1) for n in range(size)]
    return [order(0, *chain, *(line(size + n, 0, size, "B") for n in range(size // 10)))]


def each_order_supersedes(size: int) -> list[Order]:
    return [order(n, line(n, n, None, quantity=1 + n % 2)) for n in range(size)]


def each_order_repeats(size: int) -> list[Order]:
    return [order(n, line(n, n, None)) for n in range(size)]


def a_large_order_beside_a_later_one(size: int) -> list[Order]:
    large = order(0, *(line(n, n // 2, None) for n in range(size)))
    return [large, order(1, *(line(size + n, n, n + 1) for n in range(0, size, 2)))]


def all_prices_at_once(size: int) -> list[Order]:
    return [order(0, *(line(n, n, None, f"P{n}") for n in range(size)))]


def orders_that_disagree(size: int) -> list[Order]:
    return [order(n, line(n, n, None, f"P{n % 10}"), days_until_due=Decimal(n)) for n in range(size)]


def different_quantities(size: int) -> list[Order]:
    return [order(0, *(line(n, n, None, quantity=1 + n) for n in range(size)))]


def gaps(size: int) -> list[Order]:
    return [order(0, *(line(n, 2 * n, 2 * n + 1) for n in range(size)))]


def pairs_that_cancel_out(size: int) -> list[Order]:
    pairs = [line(n, n // 2, None, "B", 1 - 2 * (n % 2)) for n in range(size)]
    return [order(0, *pairs, *(line(size + n, n, n + 1, quantity=1 + n % 2) for n in range(size)))]


def reductions_of_nothing(size: int) -> list[Order]:
    lines = [replace(line(n, n, None, quantity=-1), reduces=Name(f"802-gone-{n}")) for n in range(size)]
    return [order(0, *lines, is_reduction=True)]


def reductions_of_one_line_each(size: int) -> list[Order]:
    lines = [line(n, n, n + 2, f"P{n % 5}", 2) for n in range(size)]
    taken = [replace(line(size + n, n + 1, None, quantity=-1), reduces=one.id) for n, one in enumerate(lines)]
    return [order(0, *lines), order(1, *taken, is_reduction=True)]


def faulty_lines(size: int) -> list[Order]:
    return [order(0, *(replace(line(n, n, None), price_id=None) for n in range(size)))]


def many_equal_lines_and_a_gap_at_the_end(size: int) -> list[Order]:
    """What would be drawn is far more than what is told."""
    alike = [line(n, n, size) for n in range(size)]
    daily = [line(size + n, n, n + 1, "B", 1 + n % 2) for n in range(size)]
    return [order(0, *alike, *daily, line(3 * size, size + 5, size + 6))]


type QuantityConflict = Literal["error", "sum", "latest"]

MAKERS: tuple[tuple[Callable[[int], list[Order]], tuple[QuantityConflict, ...]], ...] = (
    (twenty_at_once, ("error", "sum", "latest")),
    (twenty_at_once_in_one_phase, ("error", "sum", "latest")),
    (equal_and_open, ("error", "sum", "latest")),
    (a_chain_beside_long_lines, ("error", "sum", "latest")),
    (a_chain_beside_another_price, ("error", "latest")),
    (each_order_supersedes, ("error", "latest")),
    (each_order_repeats, ("error", "latest")),
    (a_large_order_beside_a_later_one, ("latest",)),
    (all_prices_at_once, ("error",)),
    (orders_that_disagree, ("error", "latest")),
    (different_quantities, ("error", "sum", "latest")),
    (gaps, ("error",)),
    (many_equal_lines_and_a_gap_at_the_end, ("error", "sum", "latest")),
    (pairs_that_cancel_out, ("sum",)),
    (reductions_of_nothing, ("error",)),
    (reductions_of_one_line_each, ("error", "sum")),
    (faulty_lines, ("error",)),
)
CASES = {f"{make.__name__}, {policy}": (make, policy) for make, policies in MAKERS for policy in policies}


def counted[Result](work: Callable[[], Result]) -> tuple[int, Result]:
    """How many calls `work` makes, into Python and into C, and its result."""
    count = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        result = work()
    finally:
        sys.setprofile(before)
    return count, result


def output(result: Consolidation) -> int:
    """How many items, lines and orders the answer names."""
    items = sum(1 + len(item.lines) for phase in result.phases for item in phase.items)
    return items + len(result.phases) + sum(1 + len(one.lines) + len(one.orders) for one in result.findings)


@pytest.mark.parametrize("case", CASES)
def test_four_times_the_lines_cost_four_times_as_much(case: str) -> None:
    make, policy = CASES[case]
    per_unit = []
    for size in (250, 1000):
        orders = make(size)
        lines = sum(len(order.lines) for order in orders)
        count, result = counted(partial(consolidate, orders, Policies(quantity_conflict=policy)))
        per_unit.append(count / (lines * math.log2(lines) + output(result)))
    small, large = per_unit
    assert large < 1.15 * small


@pytest.mark.parametrize("method", ["charge_automatically", "send_invoice"])
@pytest.mark.parametrize("held", [0, 10])
def test_planning_looks_at_no_more_phases_than_can_be_sent(
    held: int, method: Literal["charge_automatically", "send_invoice"]
) -> None:
    choices = Policies(collection_method=method, days_until_due=14)
    counts = []
    for size in (250, 1000):
        wanted = consolidate(twenty_at_once(size), choices)
        schedule = on_schedule(wanted.phases[:held], choices) if held else None
        situation = Situation(START, choices, "USD", schedule=schedule, settled=wanted.phases)
        count, planned = counted(partial(plan, wanted, situation))
        assert len(wanted.phases) >= size
        assert planned.action == ("nothing" if held else "create")
        counts.append(count)
    small, large = counts
    # Each phase is copied to say what no order does; nothing is compared.
    assert large - small < (10 * 750 if method == "send_invoice" else 50)


def late_in_the_series(size: int) -> Callable[[], object]:
    wanted = consolidate(twenty_at_once(size), Policies())
    return partial(plan, wanted, Situation(day(size), Policies(), "USD", settled=wanted.phases))


def on_drift(size: int) -> Callable[[], object]:
    wanted = consolidate(twenty_at_once(size), Policies())
    held = on_schedule(wanted.phases[:10], Policies())
    phases = (*held.phases[:3], replace(held.phases[3], quantities={"other": 1}), *held.phases[4:])
    held = replace(held, phases=phases, end_behavior="cancel")
    situation = Situation(START, Policies(), "USD", schedule=held, settled=wanted.phases, applied=True)
    assert "schedule_edited" in {one.code for one in plan(wanted, situation).findings}
    return partial(plan, wanted, situation)


def of_entries(size: int) -> list[Order]:
    """Orders of one product each, in turn of another one."""
    orders = []
    for n in range(size):
        entry = PriceBookEntry(f"01u-{n % 7}", Product(f"01t-{n % 7}", "Product"), f"price_{n % 7}")
        orders.append(order(n, replace(line(n, n, n + 7), price_id=None, entry=entry)))
    return orders


def in_their_sequence(size: int) -> Callable[[], object]:
    orders = of_entries(size)
    wanted = consolidate(orders, Policies())
    assert wanted.phases
    return partial(in_sequence, wanted, orders, [], UTC_ZONE, now=START)


@pytest.mark.parametrize("make", [late_in_the_series, on_drift, in_their_sequence])
def test_what_follows_costs_no_more_than_its_lines(make: Callable[[int], Callable[[], object]]) -> None:
    small, large = (counted(make(size))[0] for size in (250, 1000))
    assert large < 4 * 1.2 * small


def on_schedule(phases: Sequence[Phase], choices: Policies) -> HeldSchedule:
    """A schedule that bills the first phases of a longer series, the first of which runs."""
    held = [
        HeldPhase(phase.start, phase.end, {item.price: item.quantity for item in phase.items})
        for phase in phases
        if phase.end is not None
    ]
    schedule = HeldSchedule("sub_sched_1", "active", "cus_1", "usd", tuple(held), "release", current=held[0])
    return replace(schedule, collection_method=choices.collection_method, days_until_due=choices.days_until_due)


def test_the_count_sees_what_loops_inside_dict_do() -> None:
    names = dict.fromkeys(Name(f"802-{number}") for number in range(1000))
    assert counted(lambda: dict.fromkeys(names))[0] < 10
    assert counted(lambda: dict.fromkeys(iter(names)))[0] > 1000
