"""Dates as instants."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderphase.domain.calendar import (
    day,
    days_between,
    end_instant,
    instant,
    iso,
    months_between,
    period,
    whole_days_between,
)
from tests.domain.builders import moment
from tests.domain.strategies import thorough

zones = st.sampled_from(sorted(available_timezones() - {"localtime", "Factory"})).map(ZoneInfo)
# Before 1970 some clocks changed a few minutes before midnight, and the rule below is out by these.
days = st.dates(date(1970, 1, 2), date(2100, 1, 1))


@pytest.mark.parametrize(
    ("zone", "value", "begins"),
    [
        ("UTC", "2025-01-01", "2025-01-01T00:00:00Z"),
        ("America/New_York", "2027-03-01", "2027-03-01T05:00:00Z"),
        ("America/New_York", "2027-03-14", "2027-03-14T05:00:00Z"),
        ("America/New_York", "2027-03-15", "2027-03-15T04:00:00Z"),
        ("America/New_York", "2027-11-07", "2027-11-07T04:00:00Z"),
        ("America/New_York", "2027-11-08", "2027-11-08T05:00:00Z"),
        ("Asia/Kolkata", "2025-01-01", "2024-12-31T18:30:00Z"),
        # The clock skips midnight: 23:59:59 is followed by 01:00:00.
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"),
        ("Asia/Beirut", "2022-03-27", "2022-03-26T22:00:00Z"),
        ("Africa/Cairo", "2023-04-28", "2023-04-27T22:00:00Z"),
        # The clock passes midnight twice: the day begins with the first.
        ("America/Havana", "2024-11-03", "2024-11-03T04:00:00Z"),
        # The last hour before midnight comes twice.
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00:00Z"),
        # A whole day is skipped.
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"),
    ],
)
def test_a_date_begins(zone: str, value: str, begins: str) -> None:
    assert iso(instant(date.fromisoformat(value), ZoneInfo(zone))) == begins


@thorough
@given(days, zones)
def test_a_day_begins_with_its_first_second(value: date, zone: ZoneInfo) -> None:
    start = instant(value, zone)
    assert start.astimezone(zone).date() >= value
    assert (start - timedelta(seconds=1)).astimezone(zone).date() < value


@thorough
@given(days, zones)
def test_days_follow_each_other(value: date, zone: ZoneInfo) -> None:
    assert instant(value, zone) <= instant(value + timedelta(days=1), zone)
    assert end_instant(value, zone, inclusive=True) == instant(value + timedelta(days=1), zone)
    assert end_instant(value, zone, inclusive=False) == instant(value, zone)


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_a_time_is_its_own_instant_and_no_end_moves_it(zone: str, inclusive: bool) -> None:
    value = datetime(2025, 6, 1, 12, 30, 15, 999_999, timezone(timedelta(hours=2)))
    expected = datetime(2025, 6, 1, 10, 30, 15, tzinfo=UTC)
    assert instant(value, ZoneInfo(zone)) == expected
    assert end_instant(value, ZoneInfo(zone), inclusive=inclusive) == expected


@pytest.mark.parametrize(
    ("value", "inclusive", "expected"),
    [
        ("2027-12-31", True, "2028-01-01T05:00:00Z"),
        ("2027-12-31", False, "2027-12-31T05:00:00Z"),
        ("2028-02-28", True, "2028-02-29T05:00:00Z"),
        ("2027-03-14", True, "2027-03-15T04:00:00Z"),
        ("2027-03-13", True, "2027-03-14T05:00:00Z"),
    ],
)
def test_an_inclusive_end_is_a_calendar_day_later(value: str, inclusive: bool, expected: str) -> None:
    assert iso(end_instant(date.fromisoformat(value), ZoneInfo("America/New_York"), inclusive=inclusive)) == expected


def test_iso_is_in_utc_and_open_is_none() -> None:
    assert iso(datetime(2025, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "2024-12-31T23:00:00Z"
    assert iso(None) is None


@pytest.mark.parametrize(
    ("zone", "value", "text"),
    [
        ("UTC", "2025-01-01", "2025-01-01"),
        ("UTC", "2025-01-01T00:00:01", "2025-01-01 00:00:01 UTC"),
        ("America/New_York", "2025-01-01", "2024-12-31 19:00:00 EST"),
        ("America/New_York", "2025-06-01T04:00:00", "2025-06-01"),
        ("America/Sao_Paulo", "2018-11-04T03:00:00", "2018-11-04"),
        ("America/Havana", "2024-11-03T04:00:00", "2024-11-03"),
        ("America/Havana", "2024-11-03T05:00:00", "2024-11-03 00:00:00 CST"),
    ],
)
def test_a_day_for_people(zone: str, value: str, text: str) -> None:
    assert day(moment(value), ZoneInfo(zone)) == text


def test_a_period_for_people() -> None:
    utc = ZoneInfo("UTC")
    assert period(moment("2025-01-01"), moment("2026-01-01"), utc) == "from 2025-01-01 to 2026-01-01"
    assert period(moment("2025-01-01"), None, utc) == "from 2025-01-01 on"


@pytest.mark.parametrize(
    ("start", "end", "count"),
    [
        ("2027-03-13T05:00:00", "2027-03-16T04:00:00", 3),
        ("2027-03-13T05:00:00", "2027-03-14T04:59:59", 0),
        ("2027-03-13T05:00:01", "2027-03-14T05:00:00", 1),
    ],
)
def test_days_between_are_midnights_of_the_zone(start: str, end: str, count: int) -> None:
    assert days_between(moment(start), moment(end), ZoneInfo("America/New_York")) == count


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        ("2025-01-01", "2025-01-01", 0),
        ("2025-01-01", "2025-02-01", 1),
        ("2025-01-01", "2026-07-01", 18),
        ("2025-01-15", "2025-02-14", None),
        ("2025-01-15", "2025-02-16", None),
        # A month that is too short ends with its last day, and only then.
        ("2025-01-31", "2025-02-28", 1),
        ("2025-01-31", "2025-03-31", 2),
        ("2025-01-31", "2025-04-30", 3),
        ("2025-01-30", "2025-02-28", 1),
        ("2025-01-31", "2025-03-01", None),
        ("2025-02-28", "2025-03-31", None),
        # Leap years.
        ("2028-01-31", "2028-02-29", 1),
        ("2028-01-31", "2028-02-28", None),
        ("2028-02-29", "2029-02-28", 12),
        ("2028-02-29", "2032-02-29", 48),
        ("2028-02-29", "2029-03-01", None),
        # The same time of day.
        ("2025-01-15T09:30:00", "2025-03-15T09:30:00", 2),
        ("2025-01-15T09:30:00", "2025-03-15", None),
    ],
)
def test_months_between(start: str, end: str, months: int | None) -> None:
    assert months_between(moment(start), moment(end), ZoneInfo("UTC")) == months


@pytest.mark.parametrize(
    ("zone", "start", "end", "months"),
    [
        ("America/New_York", "2027-02-14", "2027-03-14", 1),
        ("America/New_York", "2027-03-14", "2027-11-14", 8),
        ("Asia/Kolkata", "2025-01-31", "2025-02-28", 1),
        # The clock skips midnight of one of the two days.
        ("Africa/Cairo", "2023-01-28", "2023-04-28", 3),
        ("Africa/Cairo", "2023-04-28", "2024-04-28", 12),
        ("America/Sao_Paulo", "2018-05-04", "2018-11-04", 6),
        ("Asia/Beirut", "2022-03-27", "2022-04-27", 1),
        ("America/Havana", "2024-11-03", "2024-12-03", 1),
    ],
)
def test_months_between_two_days_of_a_zone(zone: str, start: str, end: str, months: int) -> None:
    where = ZoneInfo(zone)
    first, last = (instant(date.fromisoformat(text), where) for text in (start, end))
    assert months_between(first, last, where) == months
    assert whole_days_between(first, last, where) == (date.fromisoformat(end) - date.fromisoformat(start)).days
    assert months_between(first, last + timedelta(seconds=1), where) is None


@thorough
@given(
    days,
    st.integers(0, 60),
    zones.filter(lambda zone: zone.key not in ("Pacific/Apia", "Pacific/Fakaofo", "Pacific/Kwajalein")),
)
def test_months_between_are_counted_as_they_are_added(start: date, count: int, zone: ZoneInfo) -> None:
    number = start.month - 1 + count
    year, month = start.year + number // 12, number % 12 + 1
    end = date(year, month, min(start.day, monthrange(year, month)[1]))
    assert months_between(instant(start, zone), instant(end, zone), zone) == count
    if end.day != monthrange(year, month)[1]:
        assert months_between(instant(start, zone), instant(end + timedelta(days=1), zone), zone) is None


@pytest.mark.parametrize(
    ("start", "end", "count"),
    [
        ("2025-01-01", "2025-01-08", 7),
        ("2025-01-01T12:00:00", "2025-01-08T12:00:00", 7),
        ("2025-01-01T12:00:00", "2025-01-08", None),
        ("2025-01-01", "2025-01-01T23:59:59", None),
        ("2025-01-01", "2025-01-01", 0),
    ],
)
def test_whole_days_between(start: str, end: str, count: int | None) -> None:
    assert whole_days_between(moment(start), moment(end), ZoneInfo("UTC")) == count
