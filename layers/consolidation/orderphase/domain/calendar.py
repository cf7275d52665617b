"""Salesforce dates as instants. A Date begins at midnight of the billing zone; days are calendar days, never 24 hours."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo


def instant(value: date | datetime, zone: ZoneInfo) -> datetime:
    """When `value` begins: midnight of a Date in `zone`, the moment itself of a DateTime. In UTC, whole seconds.

    Stripe: every boundary of a phase is a UTC second. Where a zone skips midnight, the day begins with what follows.
    """
    if not isinstance(value, datetime):
        value = datetime.combine(value, time.min, zone)
    return value.astimezone(UTC).replace(microsecond=0)


def end_instant(value: date | datetime, zone: ZoneInfo, *, inclusive: bool) -> datetime:
    """The exclusive end that `value` means. With `inclusive`, a Date is the last day itself; a DateTime is never moved."""
    if inclusive and not isinstance(value, datetime):
        value += timedelta(days=1)
    return instant(value, zone)


def days_between(start: datetime, end: datetime, zone: ZoneInfo) -> int:
    """How many midnights of `zone` lie in `(start, end]`."""
    return (end.astimezone(zone).date() - start.astimezone(zone).date()).days


def months_between(start: datetime, end: datetime, zone: ZoneInfo) -> int | None:
    """How many whole months of `zone` an interval lasts; None where a part of a month is left over.

    Where the day of the start does not exist in the month of the end, that month's last day takes its place.
    """
    first, last = _shown(start, zone), _shown(end, zone)
    count = (last.year - first.year) * 12 + last.month - first.month
    anchor = min(first.day, monthrange(last.year, last.month)[1])
    return count if (last.day, last.time()) == (anchor, first.time()) else None


def whole_days_between(start: datetime, end: datetime, zone: ZoneInfo) -> int | None:
    """How many whole days of `zone` an interval lasts; None where a part of a day is left over."""
    days, rest = divmod(_shown(end, zone) - _shown(start, zone), timedelta(days=1))
    return None if rest else days


def _shown(moment: datetime, zone: ZoneInfo) -> datetime:
    """What calendar and clock of `zone` show; midnight where a day begins, also if the clock skips that."""
    local = moment.astimezone(zone)
    if moment == instant(local.date(), zone):
        return datetime.combine(local.date(), time.min)
    return local.replace(tzinfo=None, fold=0)


class Interval(Protocol):
    """Something from `start` on up to `end`, which is exclusive; None = open."""

    @property
    def start(self) -> datetime: ...  # noqa: D102 (said above)
    @property
    def end(self) -> datetime | None: ...  # noqa: D102 (said above)


def running_at[T: Interval](intervals: Iterable[T], moments: Iterable[datetime]) -> Iterator[T | None]:
    """Which of these runs at each of the moments, None where none does. Both are sorted, and the intervals do not overlap."""
    waiting = iter(intervals)
    one = next(waiting, None)
    for moment in moments:
        while one is not None and one.end is not None and one.end <= moment:
            one = next(waiting, None)
        yield one if one is not None and one.start <= moment else None


def iso(value: datetime | None) -> str | None:
    """Write an instant as `2025-01-01T00:00:00Z`; nothing for an open end."""
    return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(value: datetime, zone: ZoneInfo) -> str:
    """Write an instant for a person: the date where a day of `zone` begins with it, else date and time of the zone."""
    local = value.astimezone(zone)
    return local.date().isoformat() if value == instant(local.date(), zone) else local.strftime("%Y-%m-%d %H:%M:%S %Z")


def period(start: datetime, end: datetime | None, zone: ZoneInfo) -> str:
    """Write an interval for a person: `from 2025-01-01 to 2026-01-01`, `from 2025-01-01 on`."""
    return f"from {day(start, zone)} " + ("on" if end is None else f"to {day(end, zone)}")
