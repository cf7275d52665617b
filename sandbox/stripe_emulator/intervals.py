"""Billing intervals: adding them to a timestamp, and which of them one subscription can combine."""

from __future__ import annotations

import calendar
from collections.abc import Collection
from datetime import MAXYEAR, UTC, datetime

from sandbox.stripe_emulator.errors import StripeError

DAY = 86_400
MONTHS_PER_YEAR = 12

_END_OF_TIME = int(datetime(MAXYEAR, 12, 31, tzinfo=UTC).timestamp())

# (interval, interval_count), for example ("month", 3)
Interval = tuple[str, int]


def add(timestamp: int, interval: str, count: int) -> int:
    """`timestamp` plus `count` intervals, in Unix seconds, UTC. Raises StripeError beyond the year 9999.

    Stripe: from the 31st, a shorter month has its last day. Add to the anchor, not month by month, to get back to the 31st.
    """
    if interval in ("day", "week"):
        later = timestamp + count * DAY * (7 if interval == "week" else 1)
        check_timestamp(later)
        return later
    start = datetime.fromtimestamp(timestamp, UTC)
    months = start.year * MONTHS_PER_YEAR + start.month - 1 + count * (MONTHS_PER_YEAR if interval == "year" else 1)
    year, month = months // MONTHS_PER_YEAR, months % MONTHS_PER_YEAR + 1
    if year > MAXYEAR:
        raise _unrepresentable()
    day = min(start.day, calendar.monthrange(year, month)[1])
    return int(start.replace(year=year, month=month, day=day).timestamp())


def check_timestamp(timestamp: int, param: str | None = None) -> None:
    """Refuse what cannot be Unix seconds; milliseconds, mostly."""
    if not 0 <= timestamp < _END_OF_TIME:
        raise _unrepresentable(param)


def _unrepresentable(param: str | None = None) -> StripeError:
    return StripeError("Invalid timestamp: it must be an integer Unix timestamp in seconds.", param=param)


def period(anchor: int, interval: Interval, now: int) -> tuple[int, int]:
    """The billing period `[start, end)` around `now`, counted from `anchor`, which is not after `now`."""
    unit, count = interval
    longest = {"day": DAY, "week": 7 * DAY, "month": 31 * DAY, "year": 366 * DAY}[unit] * count
    number = (now - anchor) // longest
    while add(anchor, unit, (number + 1) * count) <= now:
        number += 1
    return add(anchor, unit, number * count), add(anchor, unit, (number + 1) * count)


def combine(intervals: Collection[Interval]) -> bool:
    """Whether flexible billing takes prices of these intervals on one subscription.

    Stripe: every interval is a multiple of the shortest; 7 days are a week and 12 months a year. Weeks and months have no
    common measure but the single day, which goes with everything.
    """
    days = [count * (7 if unit == "week" else 1) for unit, count in intervals if unit in ("day", "week")]
    months = [count * (MONTHS_PER_YEAR if unit == "year" else 1) for unit, count in intervals if unit in ("month", "year")]
    if days and months:
        return min(days) == 1
    lengths = days or months
    return all(length % min(lengths) == 0 for length in lengths)
