"""Reductions: what a reduction line takes from the line that it names, from its own start on until that line's end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from orderphase.domain.calendar import day
from orderphase.domain.findings import Finding, finding
from orderphase.domain.lines import Order, OrderLine, describe_line
from orderphase.domain.spans import Span


@dataclass(frozen=True, slots=True)
class Reduction:
    """A line that takes `quantity`, a whole number above 0, from another one. Its end, price and discount mean nothing."""

    line: OrderLine
    order: Order
    quantity: int

    @property
    def name(self) -> str:
        """Names it in a message."""
        return describe_line(self.line, self.order)

    def refused(self, code: str, why: str, others: Iterable[tuple[str, str]] = ()) -> Finding:
        """A finding about it; `others` are the ids of further lines and orders concerned."""
        lines, orders = zip((self.line.id, self.order.id), *others, strict=True)
        message = f"Reduction {self.name} {why}."
        return finding(code, message, lines=lines, orders=orders, start=self.line.start, end=self.line.end)


def reduce_span(whole: Span, order: Order, reductions: Sequence[Reduction], zone: ZoneInfo) -> tuple[list[Span], list[Finding]]:
    """Cut the span of one line of `order` where reductions take effect; at a quantity of exactly 0 it ends.

    Where more is taken than is left, that is a finding, and the span only covers its time.
    """
    findings: list[Finding] = []
    spans, left = [whole], whole.quantity
    taken: list[Reduction] = []
    for reduction in sorted(reductions, key=lambda one: (one.line.start, one.order.age, one.line.id)):
        since = max(reduction.line.start, whole.start)
        if whole.end is not None and since >= whole.end:
            over = f"takes effect on {day(since, zone)}, when {describe_line(whole.line, order)} is over"
            findings.append(reduction.refused("empty_line", over, [(whole.line.id, order.id)]))
            continue
        if reduction.quantity > left:
            findings.append(_too_much(reduction, left, whole, order, taken, zone))
            return [replace(whole, price=None)], findings
        taken.append(reduction)
        left -= reduction.quantity
        last = spans.pop()
        if last.start < since:
            spans.append(replace(last, end=since))
        spans.append(
            replace(
                last,
                start=since,
                quantity=left,
                lines=(*last.lines, reduction.line.id),
                orders=(*last.orders, reduction.order.id),
            )
        )
    return [span for span in spans if span.quantity], findings


def _too_much(
    reduction: Reduction, left: int, whole: Span, order: Order, taken: Sequence[Reduction], zone: ZoneInfo
) -> Finding:
    layers = [f"{whole.quantity} in {describe_line(whole.line, order)}"]
    layers += [f"-{one.quantity} in {one.name}" for one in taken]
    what = (
        f"takes away {reduction.quantity} from {day(reduction.line.start, zone)} on, but {left} are active: {', '.join(layers)}"
    )
    others = [(whole.line.id, order.id), *((one.line.id, one.order.id) for one in taken)]
    return reduction.refused("negative_quantity", what, others)
