"""How long it takes to consolidate and plan a contract, against sorting its boundaries and against other ways to do it.

Consolidating has to bring the boundaries of all lines into order. To sort them with what tells equal ones apart is what
somebody would do; to sort the bare instants, as the product does and has the rest follow, is the least.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Any

import portion

from benchmarks.figures import Figure, Say, processor_ms
from orderphase.domain.consolidation import consolidate
from orderphase.domain.lines import Order, OrderLine
from orderphase.domain.phases import Phase
from orderphase.domain.planning import Situation, plan
from orderphase.domain.policies import Policies

PART = "consolidation"

_FLOOR = "sorting their boundaries, each with the id of its line"

START = datetime(2026, 1, 1, tzinfo=UTC)
ACTIVE = 20
"""So many lines at most are active at once, and so many prices there are."""

SIZES = (100, 1_000, 10_000, 100_000)
TARGET_SIZE, TARGET = 10_000, 6.0
"""At so many lines, so many times as long as it takes to sort their boundaries."""

SMALL_SIZES = (20, 50, 100, 1_000)
"""At which the other ways end in reasonable time. At those above the second, none of them may be faster."""

_LONGEST_MS = 5_000

POLICIES = Policies()

type Items = dict[str, tuple[int, frozenset[str]]]
"""Price → quantity, and the ids of the lines."""

type Timeline = list[tuple[datetime, datetime, Items]]
"""Intervals with what is billed in them."""


def contract(count: int, *, together: int = 1, seed: int = 1) -> list[Order]:
    """One contract of `count` lines in orders of 50, in no order of time, at most 20 lines active at once.

    together: so many lines begin at one time and end at another. Alone, every line begins at a time of its own, an hour after
    the one before, and lasts 5 to 20 hours: nearly every boundary begins a phase.
    """
    chance = random.Random(seed)  # noqa: S311 (nothing secret)
    longest = ACTIVE // together
    lines = []
    for slot in range(math.ceil(count / together)):
        start = START + timedelta(hours=slot)
        end = start + timedelta(hours=chance.randint(math.ceil(longest / 4), longest))
        for number in range(slot * together, min((slot + 1) * together, count)):
            price = f"price_{number % ACTIVE}"
            lines.append(OrderLine(f"802{number:012}", Decimal(1 + number % 5), start, end, price))
    chance.shuffle(lines)
    parts = [tuple(lines[first : first + 50]) for first in range(0, count, 50)]
    return [
        Order(f"801{number:012}", f"{number:08}", START.date(), currency="USD", lines=part) for number, part in enumerate(parts)
    ]


def measure(say: Say) -> Iterator[Figure]:
    """All figures, at growing sizes."""
    yield from _alternatives(say)
    times = {}
    for size in SIZES:
        say(f"consolidation of {size:,} lines")
        ours, tuples, bare = _beside_sorting(contract(size))
        times[size] = ours
        name = f"consolidate and plan {size:,} lines"
        target = TARGET if size == TARGET_SIZE else None
        yield Figure(PART, name, ours, _FLOOR, tuples, "ms", target)
        yield Figure(PART, name, ours, "sorting their boundaries as bare instants", bare, "ms")
    name = f"consolidate and plan {TARGET_SIZE:,} lines, five at a time with the same dates"
    ours, tuples, _ = _beside_sorting(contract(TARGET_SIZE, together=5))
    yield Figure(PART, name, ours, _FLOOR, tuples, "ms")
    for size, larger in pairwise(SIZES[1:]):
        grown = larger / size * math.log(larger) / math.log(size)
        against = f"{grown:.1f} times as long as {size:,} take, as n log n grows"
        yield Figure(PART, f"consolidate and plan {larger:,} lines", times[larger], against, times[size] * grown, "ms")


def _beside_sorting(orders: Sequence[Order]) -> list[float]:
    """What consolidating and planning takes, and what sorting the boundaries does: with the lines' ids, and without."""
    bounds = list(_boundaries(orders))
    work = [_ours(orders), _sorting(bounds), _sorting([now for now, _ in bounds])]
    return processor_ms(work, rounds=_rounds(len(bounds) // 2))


def _alternatives(say: Say) -> Iterator[Figure]:
    ways: dict[str, Callable[[Sequence[Order]], Timeline]] = {
        "looking at every line in every interval between two dates": by_looking_at_every_line,
        "an IntervalDict of the library portion for each price": by_interval_library,
    }
    took = dict.fromkeys(ways, 0.0)  # ms
    # Both compare each line with each, more or less.
    for before, size in pairwise((SMALL_SIZES[0], *SMALL_SIZES)):
        orders = contract(size)
        expected = _timeline(consolidate(orders, POLICIES).phases)
        for name, way in ways.items():
            if took[name] * (size / before) ** 2 > _LONGEST_MS:
                continue
            say(f"consolidation of {size:,} lines by {name}")
            if way(orders) != expected:
                raise AssertionError(f"{name} gives other phases at {size} lines")
            rounds = 3 if took[name] > _LONGEST_MS / 100 else _rounds(size)
            ours, theirs = processor_ms([_ours(orders), partial(way, orders)], rounds=rounds)
            took[name] = theirs
            yield Figure(
                PART,
                f"consolidate and plan {size:,} lines, with all checks",
                ours,
                f"{name}, which makes the phases and nothing else",
                theirs,
                "ms",
                1.0 if size > SMALL_SIZES[1] else None,
            )


def by_looking_at_every_line(orders: Sequence[Order]) -> Timeline:
    """In each interval between two dates that occur, add up the lines that cover it."""
    lines = [line for order in orders for line in order.lines]
    dates = sorted({line.start for line in lines} | {line.end for line in lines if line.end is not None})
    timeline: Timeline = []
    for start, end in pairwise(dates):
        items: Items = {}
        for line in lines:
            if line.price_id is not None and line.start <= start and (line.end is None or end <= line.end):
                items[line.price_id] = _added(items.get(line.price_id), (int(line.quantity), frozenset([line.id])))
        timeline.append((start, end, items))
    return _joined(timeline)


def by_interval_library(orders: Sequence[Order]) -> Timeline:
    """Add up the lines of each price in an IntervalDict, then put the prices together."""
    by_price: dict[str, portion.IntervalDict] = {}
    for order in orders:
        for line in order.lines:
            if line.price_id is not None:
                until = portion.inf if line.end is None else line.end
                value = int(line.quantity), frozenset([line.id])
                one = portion.IntervalDict({portion.closedopen(line.start, until): value})
                before = by_price.get(line.price_id)
                by_price[line.price_id] = one if before is None else before.combine(one, how=_added)
    whole = portion.IntervalDict()
    for price, quantities in by_price.items():
        items = portion.IntervalDict([(interval, {price: value}) for interval, value in quantities.items()])
        whole = whole.combine(items, how=lambda one, other: one | other)
    atomic = [(part, items) for interval, items in whole.items() for part in interval]
    return _joined(sorted(((part.lower, part.upper, items) for part, items in atomic), key=lambda one: one[0]))


def _added(one: tuple[int, frozenset[str]] | None, other: tuple[int, frozenset[str]]) -> tuple[int, frozenset[str]]:
    return other if one is None else (one[0] + other[0], one[1] | other[1])


def _joined(timeline: Timeline) -> Timeline:
    """Neighbours in which the same is billed are one, with the lines of both."""
    joined: Timeline = []
    for start, end, items in timeline:
        if joined:
            since, until, last = joined[-1]
            if until == start and _quantities(last) == _quantities(items):
                both = {price: (quantity, lines | last[price][1]) for price, (quantity, lines) in items.items()}
                joined[-1] = since, end, both
                continue
        joined.append((start, end, items))
    return [one for one in joined if one[2]]


def _quantities(items: Items) -> dict[str, int]:
    return {price: quantity for price, (quantity, _) in items.items()}


def _timeline(phases: Sequence[Phase]) -> Timeline:
    """Our phases in the form that the others give. Here every line has an end."""
    return [
        (phase.start, phase.end, {item.price: (item.quantity, frozenset(item.lines)) for item in phase.items})
        for phase in phases
        if phase.end is not None
    ]


def _ours(orders: Sequence[Order]) -> Callable[[], object]:
    situation = Situation(now=START, policies=POLICIES, currency="USD")
    return lambda: plan(consolidate(orders, POLICIES), situation)


def _boundaries(orders: Sequence[Order]) -> Iterator[tuple[datetime, str]]:
    """When each line begins and ends, in the order of the lines, with its id: what sets equal instants apart."""
    for order in orders:
        for line in order.lines:
            yield line.start, line.id
            if line.end is not None:
                yield line.end, line.id


def _sorting(values: Sequence[Any]) -> Callable[[], object]:
    return lambda: sorted(values)


def _rounds(size: int) -> int:
    """More of what is soon over, as more comes between."""
    return max(3, min(20, 100_000 // size))
