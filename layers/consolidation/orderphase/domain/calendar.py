"""Salesforce dates as instants. A Date begins at midnight of the billing zone; days are calendar days, never 24 hours."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
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
