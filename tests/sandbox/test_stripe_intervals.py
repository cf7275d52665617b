"""Calendar arithmetic of billing, and which intervals go together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.stripe_emulator import StripeError
from sandbox.stripe_emulator.intervals import Interval, add, combine, period
from tests.sandbox.stripe_world import at


@pytest.mark.parametrize(
    ("start", "interval", "count", "end"),
    [
        ("2027-01-01", "year", 1, "2028-01-01"),
        ("2027-01-31", "month", 1, "2027-02-28"),
        ("2027-01-31", "month", 2, "2027-03-31"),
        ("2028-02-29", "year", 1, "2029-02-28"),
        ("2027-11-30T12:34:56", "month", 3, "2028-02-29T12:34:56"),
        ("2027-01-01", "week", 2, "2027-01-15"),
        ("2027-03-27", "day", 2, "2027-03-29"),
    ],
)
def test_add(start: str, interval: str, count: int, end: str) -> None:
    assert add(at(start), interval, count) == at(end)


@pytest.mark.parametrize("interval", ["day", "month"])
def test_beyond_the_calendar(interval: str) -> None:
    with pytest.raises(StripeError, match="Invalid timestamp"):
        add(0, interval, 10**7)


@given(
    st.integers(0, at("2040-01-01")),
    st.tuples(st.sampled_from(["day", "week", "month", "year"]), st.integers(1, 36)),
    st.integers(0, 10**9),
)
def test_a_period_surrounds_its_moment_and_counts_from_the_anchor(anchor: int, interval: Interval, later: int) -> None:
    start, end = period(anchor, interval, anchor + later)
    assert start <= anchor + later < end
    assert any(start == add(anchor, interval[0], number * interval[1]) for number in range(later // 86_400 + 1))


def test_a_period_returns_to_the_day_of_the_anchor() -> None:
    assert period(at("2027-01-31"), ("month", 1), at("2027-03-01")) == (at("2027-02-28"), at("2027-03-31"))


# Stripe: the examples of its guide to mixed intervals.
@pytest.mark.parametrize(
    ("intervals", "fit"),
    [
        ({("month", 1), ("month", 3)}, True),
        ({("month", 1), ("year", 1)}, True),
        ({("week", 2), ("week", 4)}, True),
        ({("month", 2), ("month", 4), ("month", 6)}, True),
        ({("day", 7), ("week", 1)}, True),
        ({("month", 12), ("year", 1)}, True),
        ({("day", 1), ("week", 1), ("month", 1)}, True),
        ({("month", 2), ("month", 3)}, False),
        ({("month", 4), ("month", 6)}, False),
        ({("month", 5), ("year", 1)}, False),
        ({("week", 1), ("month", 1)}, False),
        ({("day", 2), ("week", 1)}, False),
    ],
)
def test_mixed_intervals(intervals: set[Interval], fit: bool) -> None:
    assert combine(intervals) is fit
