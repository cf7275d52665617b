"""Consolidation done the slow way, to compare with: look at every line in every interval between two dates that occur."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any

from orderphase.domain.catalogue import BillingInterval, refused_together
from orderphase.domain.lines import Discount, Order, OrderLine
from orderphase.domain.policies import Policies

type Fact = tuple[str, datetime | None, datetime | None, frozenset[str], frozenset[str]]
"""A finding's code, start, end, lines and orders."""

type Known = tuple[OrderLine, Order, int]
"""A line, its order and the order's rank."""


@dataclass
class Interval:
    start: datetime
    end: datetime | None
    items: dict[str, tuple[int, Discount | None]] = field(default_factory=dict)
    lines: dict[str, set[str]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    covered: set[str] = field(default_factory=set)
    """Faulty lines that are in force."""
    every: dict[str, set[str]] = field(default_factory=dict)
    """All lines in force, by price, whether they count or not."""
    conditions: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """What is wrong, by code and subject, with the lines concerned; of a setting, the orders."""


@dataclass
class Answer:
    phases: list[Interval]
    facts: Counter[Fact]
    refused: bool


class Oracle:
    def __init__(self, orders: Sequence[Order], policies: Policies, max_items: int) -> None:
        self.policy = policies.quantity_conflict
        self.mixed = policies.billing_mode == "flexible"
        self.max_items = max_items
        ranked = sorted(orders, key=_age)
        self.orders = {order.id: order for order in ranked}
        self.lines: dict[str, Known] = {
            line.id: (line, order, rank) for rank, order in enumerate(ranked) for line in order.lines
        }
        self.facts: Counter[Fact] = Counter()
        self.faulty: set[str] = set()
        self.reductions: dict[str, list[Known]] = {}

    def answer(self) -> Answer:
        for known in self.lines.values():
            self._check(*known)
        for name, reductions in self.reductions.items():
            self._check_reductions(name, reductions)
        dates = {line.start for line, _, _ in self.lines.values()} | {
            line.end for line, _, _ in self.lines.values() if line.end
        }
        intervals = [self._interval(start, end) for start, end in pairwise([*sorted(dates), None]) if start]
        self._gaps(intervals)
        self._conditions(intervals)
        refused = any(code not in ("duplicate_line", "zero_quantity") for code, *_ in self.facts)
        phases = [one for one in _merged(intervals, lambda a, b: (a.items, a.settings) == (b.items, b.settings)) if one.items]
        return Answer([] if refused else phases, self.facts, refused)

    def _check(self, line: OrderLine, order: Order, rank: int) -> None:
        codes = []
        if line.quantity == 0:
            codes = ["zero_quantity"]
        elif line.reduces:
            self.reductions.setdefault(line.reduces, []).append((line, order, rank))
        else:
            if line.price is None:
                codes.append("missing_price")
            if line.quantity < 0 and self.policy != "sum":
                codes.append("negative_quantity")
            if codes:
                self.faulty.add(line.id)
        self.facts.update(_fact(code, line, {line.id}, {order.id}) for code in codes)

    def _check_reductions(self, name: str, reductions: list[Known]) -> None:
        original, owner, _ = self.lines[name]
        reductions.sort(key=lambda known: (known[0].start, _age(known[1]), known[0].id))
        late = [known for known in reductions if original.end is not None and known[0].start >= original.end]
        if original.quantity == 0:
            self.facts.update(_fact("negative_quantity", line, {line.id}, {order.id}) for line, order, _ in reductions)
        elif original.id not in self.faulty:
            taken: list[Known] = []
            for known in reductions:
                ids = {original.id, *(line.id for line, _, _ in taken)}
                owners = {owner.id, *(order.id for _, order, _ in taken)}
                line, order, _ = known
                if known in late:
                    self.facts[_fact("empty_line", line, {line.id, original.id}, {order.id, owner.id})] += 1
                    continue
                taken.append(known)
                if original.quantity + sum(one.quantity for one, _, _ in taken) < 0:
                    self.facts[_fact("negative_quantity", line, {line.id, *ids}, {order.id, *owners})] += 1
                    self.faulty.add(original.id)
                    return
        self.reductions[name] = [known for known in reductions if known not in late]

    def _interval(self, start: datetime, end: datetime | None) -> Interval:
        interval = Interval(start, end)
        active: dict[str, list[tuple[int, int, Discount | None, set[str]]]] = {}
        owners: set[str] = set()
        for line, order, rank in self.lines.values():
            if line.quantity == 0 or line.reduces or line.start > start or (line.end is not None and line.end <= start):
                continue
            if line.id in self.faulty:
                interval.covered.add(line.id)
                continue
            reductions = [known for known in self.reductions.get(line.id, []) if known[0].start <= start]
            quantity = int(line.quantity + sum(one.quantity for one, _, _ in reductions))
            if quantity == 0:
                continue
            assert line.price is not None
            ids = {line.id, *(one.id for one, _, _ in reductions)}
            owners |= {order.id, *(one.id for _, one, _ in reductions)}
            active.setdefault(line.price, []).append((quantity, rank, _discount(line), ids))
        for price, spans in active.items():
            self._item(interval, price, spans)
        self._settings(interval, owners)
        if len(interval.items) > self.max_items:
            interval.conditions["too_many_items", ""] = set().union(*interval.lines.values())
        timed = {price: one for price in interval.items if (one := self._billed_every(interval.every[price]))}
        if refused_together(timed.values(), mixed=self.mixed):
            interval.conditions["interval_conflict", ""] = set().union(*(interval.lines[price] for price in timed))
        return interval

    def _billed_every(self, lines: Iterable[str]) -> BillingInterval | None:
        return next((interval for one in lines if (interval := self.lines[one][0].interval)), None)

    def _item(self, interval: Interval, price: str, spans: list[tuple[int, int, Discount | None, set[str]]]) -> None:
        newest = max(rank for _, rank, _, _ in spans)
        counted = [span for span in spans if self.policy != "latest" or span[1] == newest]
        everybody, concerned = set().union(*(span[3] for span in spans)), set().union(*(span[3] for span in counted))
        quantities, discounts = {span[0] for span in counted}, {span[2] for span in counted}
        total = sum(span[0] for span in counted)
        wrong = set()
        if len(discounts) > 1:
            wrong.add("property_conflict")
        if self.policy == "sum" and total < 0:
            wrong.add("negative_quantity")
        if self.policy != "sum" and len(quantities) > 1:
            wrong.add("quantity_conflict")
        interval.conditions |= {(code, price): concerned for code in wrong}
        interval.every[price] = everybody
        if wrong:
            interval.items[price] = (-1, None)
        elif quantity := total if self.policy == "sum" else min(quantities):
            interval.items[price] = quantity, min(discounts, key=str)
            if self.policy != "sum" and len(spans) > 1 and len({span[0] for span in spans}) == 1:
                interval.conditions["duplicate_line", price] = everybody
            elif self.policy != "sum" and len(counted) > 1:
                interval.conditions["duplicate_line", price] = concerned
        if price in interval.items:
            interval.lines[price] = concerned

    def _settings(self, interval: Interval, owners: set[str]) -> None:
        for name in ("collection_method", "days_until_due", "discount"):
            stated = {order: _stated(self.orders[order], name) for order in owners}
            stated = {order: value for order, value in stated.items() if value is not None}
            values = set(stated.values())
            interval.settings[name] = min(values, key=str) if values else None
            if len(values) > 1:
                interval.conditions["property_conflict", f"setting {name}"] = set(stated)

    def _gaps(self, intervals: Sequence[Interval]) -> None:
        merged = _merged(intervals, lambda a, b: bool(a.items or a.covered) == bool(b.items or b.covered))
        for before, hole, after in zip(merged, merged[1:], merged[2:], strict=False):
            if not hole.items and not hole.covered and hole.end is not None:
                (last,) = (one for one in intervals if one.end == hole.start)
                (first,) = (one for one in intervals if one.start == hole.end)
                lines = set().union(*(one.every[price] for one in (last, first) for price in one.items))
                self._tell("phase_gap", hole.start, hole.end, lines | last.covered | first.covered)
                assert before.end == hole.start
                assert after.start == hole.end

    def _conditions(self, intervals: Sequence[Interval]) -> None:
        for key in {key for interval in intervals for key in interval.conditions}:
            for run in _runs(intervals, key):
                concerned = set[str]().union(*(interval.conditions[key] for interval in run))
                self._conclude(key, run[0].start, run[-1].end, concerned)

    def _conclude(self, key: tuple[str, str], start: datetime, end: datetime | None, concerned: set[str]) -> None:
        code, subject = key
        if subject.startswith("setting "):
            lines = {line.id for order in concerned for line in self.orders[order].lines}
            self.facts[code, start, end, frozenset(lines), frozenset(concerned)] += 1
        else:
            self._tell(code, start, end, concerned)

    def _tell(self, code: str, start: datetime, end: datetime | None, lines: Iterable[str]) -> None:
        lines = frozenset(lines)
        self.facts[code, start, end, lines, frozenset(self.lines[one][1].id for one in lines)] += 1


def _merged(intervals: Sequence[Interval], alike: Callable[[Interval, Interval], bool]) -> list[Interval]:
    merged: list[Interval] = []
    for one in intervals:
        if merged and alike(merged[-1], one):
            before = merged.pop()
            lines = {price: before.lines.get(price, set()) | one.lines.get(price, set()) for price in one.items}
            merged.append(Interval(before.start, one.end, one.items, lines, one.settings, one.covered))
        else:
            merged.append(Interval(one.start, one.end, one.items, one.lines, one.settings, one.covered))
    return merged


def _runs(intervals: Sequence[Interval], key: tuple[str, str]) -> list[list[Interval]]:
    """Neighbours that all have a condition."""
    return [list(run) for holds, run in groupby(intervals, lambda interval: key in interval.conditions) if holds]


def _fact(code: str, line: OrderLine, lines: set[str], orders: set[str]) -> Fact:
    return code, line.start, line.end, frozenset(lines), frozenset(orders)


def _age(order: Order) -> tuple[Any, ...]:
    return order.effective, order.activated is not None, order.activated or 0, order.number, order.id


def _discount(owner: Order | OrderLine) -> Discount | None:
    return Discount(owner.percent_off, owner.amount_off) if owner.percent_off or owner.amount_off else None


def _stated(order: Order, name: str) -> Any:
    return _discount(order) if name == "discount" else getattr(order, name)
