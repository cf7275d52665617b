"""What differs between two timelines, told for a person: what a plan would change, or what somebody else has changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from orderphase.domain.calendar import running_at
from orderphase.domain.lines import Discount
from orderphase.domain.money import plain, price_text
from orderphase.domain.schedules import Content, HeldDiscount, Span

Sign = Literal["+", "-", "~"]


@dataclass(frozen=True, slots=True)
class Difference:
    """From `start` to `end` (None = open) something is there more (`+`), less (`-`) or in another way (`~`)."""

    start: datetime
    end: datetime | None
    sign: Sign
    what: str


def differences(before: Sequence[Span], after: Sequence[Span], *, since: datetime, currency: str) -> list[Difference]:
    """What changes from `before` to `after` from `since` on, in the order of time. Both are gapless and sorted."""
    found: list[Difference] = []
    # The number of the last one of each kind.
    latest: dict[tuple[Sign, str], int] = {}
    for start, end, was, becomes in _side_by_side(before, after, since):
        for sign, what in _changes(was, becomes, currency):
            number = latest.get((sign, what))
            if number is not None and found[number].end == start:
                found[number] = Difference(found[number].start, end, sign, what)
            else:
                latest[sign, what] = len(found)
                found.append(Difference(start, end, sign, what))
    return found


def _side_by_side(
    before: Sequence[Span], after: Sequence[Span], since: datetime
) -> Iterator[tuple[datetime, datetime | None, Content | None, Content | None]]:
    """Each interval in which neither side changes, with what either holds; None where it holds nothing."""
    spans = [span for span in (*before, *after) if span.end is None or span.end > since]
    bounds = sorted({max(span.start, since) for span in spans} | {span.end for span in spans if span.end is not None})
    ends = [*bounds, None][1:]
    for start, end, was, becomes in zip(bounds, ends, running_at(before, bounds), running_at(after, bounds), strict=True):
        if was is not None or becomes is not None:
            yield start, end, was.content if was else None, becomes.content if becomes else None


def _changes(was: Content | None, becomes: Content | None, currency: str) -> Iterator[tuple[Sign, str]]:
    old, new = was.items if was else {}, becomes.items if becomes else {}
    for price in sorted(old.keys() | new.keys()):
        if price not in new:
            yield "-", f"{old[price][0]} of {price}"
        elif price not in old:
            discounts = f", {_off(new[price][1], currency)}" if new[price][1] else ""
            yield "+", f"{new[price][0]} of {price}{discounts}"
        else:
            if old[price][0] != new[price][0]:
                yield "~", f"{price} quantity {old[price][0]} → {new[price][0]}"
            if old[price][1] != new[price][1]:
                yield "~", f"{price} discount {_off(old[price][1], currency)} → {_off(new[price][1], currency)}"
    if was is None or becomes is None:
        return
    if was.discounts != becomes.discounts:
        yield "~", f"discount {_off(was.discounts, currency)} → {_off(becomes.discounts, currency)}"
    if was.collection_method != becomes.collection_method:
        yield "~", f"collection_method {was.collection_method} → {becomes.collection_method}"
    if was.days_until_due != becomes.days_until_due:
        yield "~", f"days_until_due {_stated(was.days_until_due)} → {_stated(becomes.days_until_due)}"


def _off(discounts: Iterable[Discount | HeldDiscount], currency: str) -> str:
    return " and ".join(_one_off(one, currency) for one in discounts) or "none"


def _one_off(discount: Discount | HeldDiscount, currency: str) -> str:
    if isinstance(discount, HeldDiscount):
        return f"of coupon {discount.coupon}" if discount.coupon else f"{discount.id}"
    if discount.percent_off is not None:
        return f"{plain(discount.percent_off)}%"
    assert discount.amount_off is not None  # noqa: S101 (a discount has one of the two)
    return f"{price_text(discount.amount_off, currency)} {currency}"


def _stated(days: int | None) -> str:
    return "none" if days is None else str(days)
