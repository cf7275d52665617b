"""Puts what the survey has found into words: findings with numbers, names, dates and a remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from zoneinfo import ZoneInfo

from orderphase.domain.calendar import period
from orderphase.domain.conflicts import MAX_ITEMS, Condition, Gap, Survey
from orderphase.domain.findings import Finding, finding
from orderphase.domain.lines import Order, OrderLine, describe_line, describe_order
from orderphase.domain.money import plain
from orderphase.domain.phases import discount_text

_NAMED = 6
"""So many lines or orders are named in a message; the rest are counted. All of them are in the finding's `lines`."""

_SETTINGS = {"collection_method": "collection methods", "days_until_due": "days until due", "discount": "discounts"}


def survey_findings(survey: Survey, orders: Sequence[Order], zone: ZoneInfo) -> Iterator[Finding]:
    """One finding for each gap and each condition. Dates are shown in `zone`."""
    if not (survey.gaps or survey.conditions):
        return
    words = _Words(orders, zone)
    yield from map(words.gap, survey.gaps)
    for condition in survey.conditions:
        yield words.setting(condition) if condition.kind == "setting" else words.lines_finding(condition)


class _Words:
    def __init__(self, orders: Sequence[Order], zone: ZoneInfo) -> None:
        self.zone = zone
        self.orders = {order.id: order for order in orders}
        self.lines = {line.id: (line, order) for order in orders for line in order.lines}

    def gap(self, gap: Gap) -> Finding:
        sides = f"before it {self._named(gap.before)}, after it {self._named(gap.after)}"
        message = f"Nothing is billed {period(gap.start, gap.end, self.zone)}: {sides}."
        lines = (*gap.before, *gap.after)
        return finding("phase_gap", message, lines=lines, orders=self._orders_of(lines), start=gap.start, end=gap.end)

    def setting(self, condition: Condition) -> Finding:
        orders = [self.orders[order] for order in condition.listing.ids]
        stated = _some([f"{describe_order(order)} ({_stated(condition.subject, order)})" for order in orders])
        message = f"Overlapping orders state different {_SETTINGS[condition.subject]}: {stated}, {self._during(condition)}."
        return finding(
            condition.code,
            message,
            lines=[line.id for order in orders for line in order.lines],
            orders=[order.id for order in orders],
            start=condition.start,
            end=condition.end,
        )

    def lines_finding(self, condition: Condition) -> Finding:
        lines = condition.listing.ids
        message = f"{self._said(condition, lines)}, {self._during(condition)}."
        orders = self._orders_of(lines)
        return finding(condition.code, message, lines=lines, orders=orders, start=condition.start, end=condition.end)

    def _said(self, condition: Condition, lines: Sequence[str]) -> str:
        price = f"price {condition.subject}"
        match condition.code:
            case "quantity_conflict":
                return f"Lines of {price} ask for different quantities: {self._counted(lines)}"
            case "negative_quantity":
                return f"The quantities of {price} add up to less than 0: {self._counted(lines)}"
            case "property_conflict":
                return f"Lines of {price} carry different discounts: {self._discounted(lines)}"
            case "duplicate_line":
                return f"Several lines ask for the same quantity of {price} and are billed once: {self._named(lines)}"
            case "too_many_items":
                return f"More than {MAX_ITEMS} prices are billed together: {self._named(lines)}"
            case _:
                return f"Stripe cannot bill these intervals on one subscription: {self._intervals(lines)}"

    def _named(self, lines: Iterable[str]) -> str:
        return _some([describe_line(line, order) for line, order in self._known(lines)])

    def _counted(self, lines: Iterable[str]) -> str:
        return _some([f"{describe_line(line, order)} ({plain(line.quantity)})" for line, order in self._known(lines)])

    def _discounted(self, lines: Iterable[str]) -> str:
        return _some(
            [
                f"{describe_line(line, order)} ({_discount_of(line, order.currency) or 'none'})"
                for line, order in self._known(lines)
            ]
        )

    def _intervals(self, lines: Iterable[str]) -> str:
        by_interval: dict[str, list[str]] = {}
        for line, order in self._known(lines):
            if line.interval:
                by_interval.setdefault(str(line.interval), []).append(describe_line(line, order))
        return "; ".join(f"{interval}: {_some(names)}" for interval, names in sorted(by_interval.items()))

    def _known(self, lines: Iterable[str]) -> Iterator[tuple[OrderLine, Order]]:
        return (self.lines[line] for line in lines)

    def _orders_of(self, lines: Iterable[str]) -> list[str]:
        return [order.id for _, order in self._known(lines)]

    def _during(self, condition: Condition) -> str:
        return period(condition.start, condition.end, self.zone)


def _stated(setting: str, order: Order) -> str:
    if setting == "collection_method":
        return order.collection_method or ""
    if setting == "days_until_due":
        return plain(order.days_until_due) if order.days_until_due is not None else ""
    return _discount_of(order, order.currency)


def _discount_of(owner: Order | OrderLine, currency: str | None) -> str:
    return discount_text(owner.percent_off or None, owner.amount_off or None, currency)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(islice(names, _NAMED))
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"
