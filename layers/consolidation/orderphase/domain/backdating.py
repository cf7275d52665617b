"""What was sold for the time before now and is not billed by a schedule, which only knows the time to come."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

from orderphase.domain.calendar import day, days_between, running_at
from orderphase.domain.catalogue import BillingInterval
from orderphase.domain.findings import Finding, finding
from orderphase.domain.lines import BilledAt, Discount, Order
from orderphase.domain.money import minor_units, smallest_step
from orderphase.domain.phases import Phase, PhaseItem

MAX_ONE_TIME_ITEMS = 20
"""Stripe: at most 20 one-time items in a phase."""


@dataclass(frozen=True, slots=True)
class Missed:
    """An interval before now in which other things were sold than are settled; `was` and `wanted` as phases, None = nothing."""

    start: datetime
    end: datetime
    was: Phase | None
    wanted: Phase | None

    @property
    def lines(self) -> tuple[str, ...]:
        """The ids of the lines that say so, those that are wanted before those that were."""
        phases = [phase for phase in (self.wanted, self.was) if phase]
        return tuple(dict.fromkeys(line for phase in phases for item in phase.items for line in item.lines))


@dataclass(frozen=True, slots=True)
class CatchUp:
    """A one-time item for the past: what `price` comes to in `[start, end)`, in whole minor units; negative is a credit."""

    price: str
    amount: int
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class SoldPrice:
    """What one unit of a price costs in each billing interval, in major units."""

    amount: Decimal
    interval: BillingInterval


def missed(wanted: Sequence[Phase], settled: Sequence[Phase], *, now: datetime) -> list[Missed]:
    """Where the past differs from what is settled, which is: billed, caught up, or passed over for good.

    Both are sorted and gapless. Who collects and when it is due makes no difference to the past.
    """
    past = [phase for phase in (*wanted, *settled) if phase.start < now]
    starts = [phase.start for phase in past]
    ends = [phase.end for phase in past if phase.end is not None and phase.end < now]
    bounds = sorted({*starts, *ends})
    each = zip(pairwise([*bounds, now]), running_at(settled, bounds), running_at(wanted, bounds), strict=True)
    found: list[Missed] = []
    for (start, end), was, becomes in each:
        if _billed(was) == _billed(becomes):
            continue
        last = found[-1] if found else None
        if (
            last is not None
            and last.end == start
            and (_billed(last.was), _billed(last.wanted)) == (_billed(was), _billed(becomes))
        ):
            found[-1] = Missed(last.start, end, last.was, last.wanted)
        else:
            found.append(Missed(start, end, was, becomes))
    return found


def days_missed(intervals: Sequence[Missed], zone: ZoneInfo) -> int:
    """How many days of the billing zone have begun in these intervals."""
    return sum(days_between(one.start, one.end, zone) for one in intervals)


def missed_findings(intervals: Sequence[Missed], *, new: bool, zone: ZoneInfo) -> Iterator[Finding]:
    """One finding that names the days which are not billed as they were sold; none where no day has passed.

    new: whether nothing was billed before, so that these are days before the start.
    """
    days = days_missed(intervals, zone)
    if not days:
        return
    lines = [line for one in intervals for line in one.lines]
    start, end = intervals[0].start, intervals[-1].end
    count = f"{days} {'day' if days == 1 else 'days'} before today"
    if new:
        message = f"The contract starts on {day(start, zone)}; {count} are not billed."
        yield finding("start_in_past", message, lines=lines, start=start, end=end)
    else:
        message = f"Orders change what was sold from {day(start, zone)} on; {count} stay billed as they were."
        yield finding("change_in_past", message, lines=lines, start=start, end=end)


def sold_prices(orders: Sequence[Order], billed: Iterable[BilledAt] = ()) -> dict[str, SoldPrice]:
    """What each price costs: as it was noted when it was made, else as the entry says that it is made of.

    billed: what was noted of lines that may be billed at another price by now.
    """
    noted = [*billed, *(line.billed_at for order in orders for line in order.lines if line.billed_at)]
    known = {one.price: SoldPrice(one.amount, one.interval) for one in noted if one.amount is not None and one.interval}
    for order in orders:
        for line in order.lines:
            amount = line.entry.unit_price if line.entry and not line.billed_at else None
            if line.price is not None and line.interval is not None and amount is not None:
                known.setdefault(line.price, SoldPrice(amount, line.interval))
    return known


def catch_up(
    intervals: Sequence[Missed], prices: Mapping[str, SoldPrice], *, anchor: datetime, zone: ZoneInfo, currency: str
) -> tuple[list[CatchUp], list[Finding]]:
    """The one-time items that bill the past as it was sold, and what keeps them from being computed.

    Cycles are counted from `anchor`, the contract's start, in the calendar of the billing zone: of a cycle that is not over,
    its whole months (or days), and a part of one by the second. Each amount is rounded half up to what the currency can
    express. A percentage off is taken off; an amount off belongs to an invoice, and the invoices of the past do not exist.
    """
    items: list[CatchUp] = []
    findings: list[Finding] = []
    for one in intervals:
        was, wanted = _rates(one.was), _rates(one.wanted)
        for price in sorted(was.keys() | wanted.keys()):
            before, after = was.get(price, _NOTHING), wanted.get(price, _NOTHING)
            sold = prices.get(price)
            problem = None
            if before == after or (before.units is not None and before.units == after.units):
                continue
            if before.units is None or after.units is None:
                problem = f"An amount off {price} belongs to one invoice"
            elif sold is None:
                problem = f"What {price} costs is known to Stripe alone"
            else:
                cycles = _cycles(one.end, sold.interval, anchor, zone) - _cycles(one.start, sold.interval, anchor, zone)
                price_of_one = Fraction(minor_units(sold.amount, currency))
                amount = _rounded(Fraction(after.units - before.units) * price_of_one * cycles, currency)
                if amount:
                    items.append(CatchUp(price, amount, one.start, one.end))
            if problem:
                message = f"{problem}, so the time before now cannot be caught up."
                lines = [*after.lines, *before.lines]
                findings.append(finding("catch_up_unknown", message, lines=lines, start=one.start, end=one.end))
    if len(items) > MAX_ONE_TIME_ITEMS:
        items = [*_by_price(items)]
    if len(items) > MAX_ONE_TIME_ITEMS:
        message = f"{len(items)} prices are to be caught up; Stripe takes {MAX_ONE_TIME_ITEMS} one-time items at a time."
        findings.append(finding("too_many_items", message, start=intervals[0].start, end=intervals[-1].end))
    return items, findings


def _by_price(items: Iterable[CatchUp]) -> Iterator[CatchUp]:
    """One item for each price, over all of its time."""
    alike: dict[str, list[CatchUp]] = {}
    for item in items:
        alike.setdefault(item.price, []).append(item)
    for price, some in alike.items():
        if amount := sum(item.amount for item in some):
            yield CatchUp(price, amount, some[0].start, some[-1].end)


@dataclass(frozen=True, slots=True)
class _Rate:
    """How many units of a price are billed, less what is off; None where an amount is off. `terms`: quantity and discounts."""

    units: Decimal | None
    terms: tuple[int | Discount | None, ...] = ()
    lines: tuple[str, ...] = field(default=(), compare=False)


_NOTHING = _Rate(Decimal(0))


def _rates(phase: Phase | None) -> dict[str, _Rate]:
    if phase is None:
        return {}
    return {item.price: _rate(item, phase) for item in phase.items}


def _rate(item: PhaseItem, phase: Phase) -> _Rate:
    return _Rate(_units(item, phase), (item.quantity, item.discount, phase.settings.discount), item.lines)


def _units(item: PhaseItem, phase: Phase) -> Decimal | None:
    units = Decimal(item.quantity)
    for discount in (item.discount, phase.settings.discount):
        if discount is None:
            continue
        if discount.percent_off is None:
            return None
        units *= 1 - discount.percent_off / 100
    return units


def _cycles(moment: datetime, interval: BillingInterval, anchor: datetime, zone: ZoneInfo) -> Fraction:
    """How many billing cycles lie between the anchor and a moment at or after it."""
    in_months, length = interval.span
    first = anchor.astimezone(zone)

    def turn(number: int) -> datetime:
        """When month (or day) `number` begins. Stripe: the last day of a month that is too short."""
        if not in_months:
            return _as_utc((first + timedelta(days=number)).replace(fold=0))
        months = first.month - 1 + number
        year, month = first.year + months // 12, months % 12 + 1
        return _as_utc(first.replace(year=year, month=month, day=min(first.day, monthrange(year, month)[1])))

    # A whole number that is never too many: no month is longer than 31 days and an hour, and no day than a day and an hour.
    longest = timedelta(days=31 if in_months else 1, hours=1)
    number = (moment - anchor) // longest
    while turn(number + 1) <= moment:
        number += 1
    start, end = turn(number), turn(number + 1)
    return (number + Fraction((moment - start) // _SECOND, (end - start) // _SECOND)) / length


_SECOND = timedelta(seconds=1)


def _as_utc(local: datetime) -> datetime:
    return local.astimezone(UTC)


def _rounded(minor: Fraction, currency: str) -> int:
    """Minor units, rounded half up to the smallest amount that Stripe takes in this currency; a credit like a charge."""
    step = smallest_step(currency)
    rounded = int(abs(minor) / step + Fraction(1, 2)) * step
    return -rounded if minor < 0 else rounded


def _billed(phase: Phase | None) -> object:
    """What makes a difference to an invoice."""
    return phase and ({item.price: (item.quantity, item.discount) for item in phase.items}, phase.settings.discount)
