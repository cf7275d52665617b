"""Dates as instants."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderphase.domain.calendar import day, days_between, end_instant, instant, iso, period
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
