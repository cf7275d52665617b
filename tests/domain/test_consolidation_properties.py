"""Properties of consolidation, and agreement with the slow way to do it."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import pairwise
from unittest.mock import patch

from hypothesis import assume, event, given
from hypothesis import strategies as st

from orderphase.domain import conflicts
from orderphase.domain.consolidation import consolidate
from orderphase.domain.lines import Order, OrderLine
from orderphase.domain.phases import Consolidation, Phase
from orderphase.domain.policies import Policies
from tests.domain.oracle import Oracle
from tests.domain.strategies import contracts, policies, thorough


def drawn(orders: list[Order], choices: Policies) -> Consolidation:
    """The consolidation of a contract that has phases."""
    result = consolidate(orders, choices)
    assume(result.phases)
    return result


@thorough
@given(contracts(), policies())
def test_it_agrees_with_the_slow_way(orders: list[Order], choices: Policies) -> None:
    with patch.object(conflicts, "MAX_ITEMS", 3):
        result = consolidate(orders, choices)
    expected = Oracle(orders, choices, max_items=3).answer()
    for code, *_ in expected.facts:
        event(code)
    event(f"refused: {expected.refused}")

    told = [(one.code, one.start, one.end, frozenset(one.lines), frozenset(one.orders)) for one in result.findings]
    assert Counter(told) == expected.facts
    assert result.refused == expected.refused
    assert [(phase.start, phase.end) for phase in result.phases] == [(one.start, one.end) for one in expected.phases]
    for phase, one in zip(result.phases, expected.phases, strict=True):
        assert {item.price: (item.quantity, item.discount) for item in phase.items} == one.items
        assert {item.price: set(item.lines) for item in phase.items} == one.lines
        settings = phase.settings
        stated = {"collection_method": settings.collection_method, "days_until_due": settings.days_until_due}
        assert {**stated, "discount": settings.discount} == one.settings


@thorough
@given(contracts(quiet=True), policies())
def test_phases_have_no_gap_and_no_overlap_and_differ_from_their_neighbours(orders: list[Order], choices: Policies) -> None:
    result = drawn(orders, choices)
    for before, after in pairwise(result.phases):
        assert before.end == after.start
        assert (_items(before), before.settings) != (_items(after), after.settings)
    for phase in result.phases:
        assert phase.items
        assert phase.end is None or phase.start < phase.end
        assert len({item.price for item in phase.items}) == len(phase.items)
        assert all(item.quantity > 0 for item in phase.items)
    assert (result.phases[-1].end is None) == (result.end_behavior == "release")


@thorough
@given(contracts(quiet=True, reductions=False), policies("error"))
def test_each_line_is_listed_by_the_phases_that_it_overlaps(orders: list[Order], choices: Policies) -> None:
    result = drawn(orders, choices)
    for line in (line for order in orders for line in order.lines):
        own = [phase for phase in result.phases if any(line.id in item.lines for item in phase.items)]
        assert own == [phase for phase in result.phases if _overlap(phase, line)]
        assert own[0].start <= line.start
        assert own[-1].end is None or (line.end is not None and line.end <= own[-1].end)
        assert all(item.price == line.price for phase in own for item in phase.items if line.id in item.lines)


@thorough
@given(contracts(), policies(), st.randoms(use_true_random=False))
def test_the_sequence_of_orders_and_lines_does_not_matter(
    orders: list[Order], choices: Policies, chance: random.Random
) -> None:
    shuffled = [replace(order, lines=tuple(chance.sample(order.lines, len(order.lines)))) for order in orders]
    chance.shuffle(shuffled)
    assert consolidate(shuffled, choices) == consolidate(orders, choices)


@thorough
@given(contracts(quiet=True), policies())
def test_its_own_result_is_consolidated_into_itself(orders: list[Order], choices: Policies) -> None:
    result = drawn(orders, choices)
    again = consolidate([_as_order(number, phase) for number, phase in enumerate(result.phases)], choices)
    assert not again.findings
    assert again.end_behavior == result.end_behavior
    assert [_without_lines(phase) for phase in again.phases] == [_without_lines(phase) for phase in result.phases]


@thorough
@given(contracts(quiet=True), policies("error"))
def test_what_needs_no_policy_is_the_same_under_latest(orders: list[Order], choices: Policies) -> None:
    result = drawn(orders, choices)
    latest = consolidate(orders, replace(choices, quantity_conflict="latest"))
    assert [_without_lines(phase) for phase in latest.phases] == [_without_lines(phase) for phase in result.phases]


@thorough
@given(contracts(), policies())
def test_with_an_error_there_are_no_phases(orders: list[Order], choices: Policies) -> None:
    result = consolidate(orders, choices)
    assert result.refused == any(one.severity == "error" for one in result.findings)
    assert not (result.refused and result.phases)


def _items(phase: Phase) -> set[tuple[object, ...]]:
    return {(item.price, item.quantity, item.discount) for item in phase.items}


def _overlap(phase: Phase, line: OrderLine) -> bool:
    return (phase.end is None or line.start < phase.end) and (line.end is None or phase.start < line.end)


def _without_lines(phase: Phase) -> Phase:
    return replace(phase, items=tuple(sorted((replace(item, lines=()) for item in phase.items), key=lambda item: item.price)))


def _as_order(number: int, phase: Phase) -> Order:
    """An order that asks for exactly what a phase has."""
    settings, days = phase.settings, phase.settings.days_until_due
    lines = [
        OrderLine(
            id=f"{number}-{item.price}",
            quantity=Decimal(item.quantity),
            start=phase.start,
            end=phase.end,
            price_id=item.price,
            percent_off=item.discount.percent_off if item.discount else None,
            amount_off=item.discount.amount_off if item.discount else None,
        )
        for item in phase.items
    ]
    return Order(
        id=str(number),
        number=str(number),
        effective=date(2025, 1, 1),
        currency="USD",
        collection_method=settings.collection_method,
        days_until_due=None if days is None else Decimal(days),
        percent_off=settings.discount.percent_off if settings.discount else None,
        amount_off=settings.discount.amount_off if settings.discount else None,
        lines=tuple(lines),
    )
