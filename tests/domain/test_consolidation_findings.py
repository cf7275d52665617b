"""What is wrong between lines and orders: when it is found, what is said, and the nearest case in which nothing is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from orderphase.domain.catalogue import BillingInterval, refused_together
from orderphase.domain.lines import Order
from tests.domain.builders import codes, consolidated, entry, facts, line, moment, only, order

YEAR = ("2025-01-01", "2026-01-01")
JUNE = ("2025-06-01", "2026-01-01")


def reduction(name: str, start: str, quantity: Any, of: str | None = "a", number: str = "9", end: str | None = None) -> Order:
    return order(number, line(name, start, end, quantity, price=None, reduces=of), is_reduction=True, effective=start)


# ---- between lines ----------------------------------------------------------------------------------------------------


def test_a_gap() -> None:
    result = consolidated(order("1", line("a", "2025-01-01", "2025-03-01")), order("2", line("b", "2025-06-01")))
    told = only(result, "phase_gap")
    assert facts(told) == (("a", "b"), ("801-1", "801-2"), "2025-03-01", "2025-06-01")
    assert told.message == (
        "Nothing is billed from 2025-03-01 to 2025-06-01: before it line a of order 1, after it line b of order 2."
    )


@pytest.mark.parametrize("end", ["2025-06-01", "2025-06-02"])
def test_no_gap_where_lines_meet(end: str) -> None:
    assert "phase_gap" not in codes(consolidated(order("1", line("a", "2025-01-01", end), line("b", "2025-06-01", price="B"))))


def test_each_gap_names_the_lines_beside_it_alone() -> None:
    lines = [
        line("a", "2025-01-01", "2025-02-01"),
        line("b", "2025-02-01", "2025-03-01"),
        line("c", "2025-04-01", "2025-05-01"),
    ]
    result = consolidated(order("1", *lines, line("d", "2025-05-01", "2025-06-01"), line("e", "2025-07-01")))
    assert [told.lines for told in result.findings] == [("b", "c"), ("d", "e")]


def test_a_faulty_line_covers_its_time() -> None:
    lines = line("a", "2025-01-01", "2025-03-01"), line("f", "2025-03-01", "2025-06-01", price=None), line("b", "2025-06-01")
    assert codes(consolidated(order("1", *lines))) == ["missing_price"]


def test_a_gap_beside_a_faulty_line_names_it() -> None:
    lines = line("f", "2025-01-01", "2025-03-01", price=None), line("b", "2025-06-01")
    gap = consolidated(order("1", *lines)).findings[1]
    assert (gap.code, gap.lines) == ("phase_gap", ("f", "b"))


def test_time_that_adds_up_to_zero_is_a_gap_between_phases() -> None:
    lines = line("a", "2025-01-01"), line("b", "2025-03-01", "2025-06-01", -1)
    told = only(consolidated(order("1", *lines), quantity_conflict="sum"), "phase_gap")
    assert facts(told) == (("a",), ("801-1",), "2025-03-01", "2025-06-01")


def test_a_gap_names_the_lines_that_add_up_to_zero_in_it() -> None:
    lines = line("a", "2025-01-01", "2025-06-01"), line("b", "2025-03-01", "2025-06-01", -1), line("c", "2025-06-01", price="B")
    assert only(consolidated(order("1", *lines), quantity_conflict="sum"), "phase_gap").lines == ("a", "c")


def test_an_empty_line_covers_nothing() -> None:
    lines = line("a", "2025-01-01", "2025-03-01"), line("f", "2025-03-01", "2025-03-01"), line("b", "2025-06-01")
    assert sorted(codes(consolidated(order("1", *lines)))) == ["empty_line", "phase_gap"]


def test_a_faulty_line_covers_its_time_though_it_is_reduced() -> None:
    lines = line("a", "2025-01-01", "2025-03-01"), line("f", "2025-03-01", "2025-06-01", price=None), line("b", "2025-06-01")
    assert codes(consolidated(order("1", *lines), reduction("r", "2025-04-01", -1, of="f"))) == ["missing_price"]


def test_a_line_reduced_to_zero_leaves_a_gap_before_the_next() -> None:
    base = order("1", line("a", *YEAR, 1), line("b", "2025-09-01", price="price_B"))
    told = only(consolidated(base, reduction("r", "2025-06-01", -1)), "phase_gap")
    assert facts(told) == (("a", "b"), ("801-1",), "2025-06-01", "2025-09-01")


def test_different_quantities() -> None:
    result = consolidated(order("1", line("a", *YEAR, 1)), order("2", line("b", *JUNE, 2)))
    told = only(result, "quantity_conflict")
    assert facts(told) == (("a", "b"), ("801-1", "801-2"), "2025-06-01", "2026-01-01")
    assert told.message == (
        "Lines of price price_A ask for different quantities: line a of order 1 (1), line b of order 2 (2), "
        "from 2025-06-01 to 2026-01-01."
    )
    assert not consolidated(order("1", line("a", *YEAR, 1)), order("2", line("b", *JUNE, 2, price="B"))).findings
    assert not consolidated(order("1", line("a", "2025-01-01", "2025-06-01")), order("2", line("b", *JUNE, 2))).findings


def test_different_quantities_within_the_newest_order_are_refused_under_latest() -> None:
    result = consolidated(
        order("1", line("a", *YEAR, 1)),
        order("2", line("b", *JUNE, 2), line("c", *JUNE, 3)),
        quantity_conflict="latest",
    )
    assert only(result, "quantity_conflict").lines == ("b", "c")


@pytest.mark.parametrize("policy", ["error", "latest"])
def test_equal_quantities_are_billed_once(policy: str) -> None:
    result = consolidated(order("1", line("a", *YEAR, 2)), order("2", line("b", *JUNE, 2)), quantity_conflict=policy)
    told = only(result, "duplicate_line")
    assert told.severity == "warning"
    assert facts(told) == (("a", "b"), ("801-1", "801-2"), "2025-06-01", "2026-01-01")
    assert told.message == (
        "Several lines ask for the same quantity of price price_A and are billed once: line a of order 1, line b of order 2, "
        "from 2025-06-01 to 2026-01-01."
    )
    assert [phase.items[0].quantity for phase in result.phases] == [2]


def test_equal_quantities_are_added_up_under_sum() -> None:
    result = consolidated(order("1", line("a", *YEAR, 2), line("b", *JUNE, 2)), quantity_conflict="sum")
    assert not result.findings
    assert [phase.items[0].quantity for phase in result.phases] == [2, 4]


def test_duplicates_among_the_lines_that_count_are_told_under_latest() -> None:
    newest = order("2", line("b", *JUNE, 2), line("c", *JUNE, 2))
    result = consolidated(order("1", line("a", *YEAR, 1)), newest, quantity_conflict="latest")
    assert only(result, "duplicate_line").lines == ("b", "c")


def test_less_than_zero_under_sum() -> None:
    result = consolidated(order("1", line("a", *YEAR, 1)), order("2", line("b", *JUNE, -2)), quantity_conflict="sum")
    told = only(result, "negative_quantity")
    assert facts(told) == (("a", "b"), ("801-1", "801-2"), "2025-06-01", "2026-01-01")
    assert told.message == (
        "The quantities of price price_A add up to less than 0: line a of order 1 (1), line b of order 2 (-2), "
        "from 2025-06-01 to 2026-01-01."
    )


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"percent_off": "10"}, {"percent_off": "20"}, "(10 percent), line b of order 2 (20 percent)"),
        ({"percent_off": "10"}, {"amount_off": "10"}, "(10 percent), line b of order 2 (10.00 USD)"),
        ({"percent_off": "10"}, {}, "(10 percent), line b of order 2 (none)"),
    ],
)
@pytest.mark.parametrize("policy", ["error", "sum"])
def test_different_discounts_of_one_price(one: dict[str, str], other: dict[str, str], said: str, policy: str) -> None:
    orders = order("1", line("a", *YEAR, **one)), order("2", line("b", *JUNE, **other))
    told = only(consolidated(*orders, quantity_conflict=policy), "property_conflict")
    assert facts(told) == (("a", "b"), ("801-1", "801-2"), "2025-06-01", "2026-01-01")
    assert told.message == (
        f"Lines of price price_A carry different discounts: line a of order 1 {said}, from 2025-06-01 to 2026-01-01."
    )
    same = order("1", line("a", *YEAR, **one)), order("2", line("b", *JUNE, **one))
    assert "property_conflict" not in codes(consolidated(*same, quantity_conflict=policy))
    assert "property_conflict" not in codes(consolidated(*orders, quantity_conflict="latest"))


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (
            {"collection_method": "send_invoice"},
            {"collection_method": "charge_automatically"},
            "collection methods: order 1 (send_invoice), order 2 (charge_automatically)",
        ),
        ({"days_until_due": "30"}, {"days_until_due": "60"}, "days until due: order 1 (30), order 2 (60)"),
        ({"percent_off": "10"}, {"amount_off": "10"}, "discounts: order 1 (10 percent), order 2 (10.00 USD)"),
    ],
)
def test_orders_that_state_different_settings(one: dict[str, str], other: dict[str, str], said: str) -> None:
    first = line("a", *YEAR)
    second = line("b", *JUNE, price="price_B")
    told = only(consolidated(order("1", first, **one), order("2", second, **other)), "property_conflict")
    assert facts(told) == (("a", "b"), ("801-1", "801-2"), "2025-06-01", "2026-01-01")
    assert told.message == f"Overlapping orders state different {said}, from 2025-06-01 to 2026-01-01."
    assert not consolidated(order("1", first, **one), order("2", second, **one)).findings
    assert not consolidated(order("1", first, **one), order("2", second)).findings
    before = line("a", "2025-01-01", "2025-06-01")
    assert not consolidated(order("1", before, **one), order("2", second, **other)).findings


def test_a_conflict_of_settings_names_only_the_orders_in_force() -> None:
    orders = [
        order("1", line("a", "2025-01-01", "2025-03-01"), days_until_due="10"),
        order("2", line("b", "2025-03-01", "2026-01-01"), days_until_due="30"),
        order("3", line("c", *JUNE, price="price_B"), days_until_due="60"),
    ]
    assert only(consolidated(*orders), "property_conflict").orders == ("801-2", "801-3")


def test_a_setting_of_faulty_lines_is_not_compared() -> None:
    faulty = order("2", line("b", *JUNE, price=None), days_until_due="60")
    assert codes(consolidated(order("1", line("a", *YEAR), days_until_due="30"), faulty)) == ["missing_price"]


def test_different_currencies() -> None:
    orders = order("1", line("a", *YEAR)), order("2", line("b", *JUNE, price="price_B"), currency="EUR")
    told = only(consolidated(*orders), "currency_conflict")
    assert facts(told) == (("a", "b"), ("801-1", "801-2"), "2025-01-01", "2026-01-01")
    assert told.message == "One contract is billed in one currency, but there is order 1 in USD; order 2 in EUR."


@pytest.mark.parametrize("currency", ["USD", "usd", None])
def test_one_currency_however_it_is_written(currency: str | None) -> None:
    result = consolidated(order("1", line("a", *YEAR)), order("2", line("b", *JUNE, price="price_B"), currency=currency))
    assert not result.findings
    assert result.currency == "USD"


def test_more_than_twenty_items() -> None:
    lines = [line(f"l{n:02}", *(JUNE if n == 20 else YEAR), price=f"price_{n}") for n in range(21)]
    told = only(consolidated(order("1", *lines)), "too_many_items")
    assert facts(told) == (tuple(one.id for one in lines), ("801-1",), "2025-06-01", "2026-01-01")
    assert told.message.startswith("More than 20 prices are billed together: line l00 of order 1, ")
    assert told.message.endswith("line l05 of order 1 and 15 more, from 2025-06-01 to 2026-01-01.")
    assert not consolidated(order("1", *lines[:20])).findings


@pytest.mark.parametrize(("count", "end"), [(6, "line l5 of order 1, from"), (7, "line l5 of order 1 and 1 more, from")])
def test_a_message_names_six_lines_and_counts_the_rest(count: int, end: str) -> None:
    result = consolidated(order("1", *(line(f"l{n}", *YEAR) for n in range(count))))
    assert end in only(result, "duplicate_line").message


def test_intervals_that_do_not_go_together() -> None:
    monthly = line("a", *YEAR, price=None, entry=entry("01u1"))
    weekly = line("b", *JUNE, price=None, entry=entry("01u2", "week", 2))
    unknown = line("c", *YEAR)
    told = only(consolidated(order("1", monthly, weekly, unknown)), "interval_conflict")
    assert facts(told) == (("a", "b"), ("801-1",), "2025-06-01", "2026-01-01")
    assert told.message == (
        "Stripe cannot bill these intervals on one subscription: every 2 weeks: line b of order 1; "
        "every month: line a of order 1, from 2025-06-01 to 2026-01-01."
    )
    assert not consolidated(order("1", line("a", "2025-01-01", "2025-06-01", price=None, entry=entry("01u1")), weekly)).findings


# Stripe: mixed-interval subscriptions.
TOGETHER: list[tuple[Sequence[tuple[str, int]], bool]] = [
    ([("month", 1), ("month", 3)], True),
    ([("month", 1), ("year", 1)], True),
    ([("month", 12), ("year", 1)], True),
    ([("week", 2), ("week", 4)], True),
    ([("day", 7), ("week", 1)], True),
    ([("month", 2), ("month", 4), ("month", 6)], True),
    ([("day", 1), ("month", 1), ("year", 1)], True),
    ([("day", 1), ("week", 1)], True),
    ([("month", 2), ("month", 3)], False),
    ([("month", 4), ("month", 6)], False),
    ([("month", 5), ("year", 1)], False),
    ([("week", 1), ("month", 1)], False),
    ([("day", 2), ("week", 1)], False),
    ([("day", 2), ("month", 1)], False),
]


@pytest.mark.parametrize(("intervals", "accepted"), TOGETHER)
def test_intervals_together(intervals: Sequence[tuple[Any, int]], accepted: bool) -> None:
    several = [BillingInterval(unit, count) for unit, count in intervals]
    assert refused_together(several, mixed=True) is not accepted
    assert refused_together(several[::-1], mixed=True) is not accepted
    assert not refused_together(several[:1], mixed=False)
    assert refused_together(several, mixed=False) == (len({one.span for one in several}) > 1)


# ---- all together -----------------------------------------------------------------------------------------------------


def test_all_faults_of_a_contract_are_told_together_errors_first() -> None:
    orders = [
        order("1", line("a", "2025-01-01", "2025-06-01", 1), line("b", "2025-03-01", "2025-06-01", 2), days_until_due="30"),
        order("2", line("c", "2025-02-01", "2025-06-01", 1, price="price_B"), days_until_due="60"),
        order("3", line("d", "2025-09-01", "2025-10-01", "1.5"), line("e", "2025-10-01", None, 0), currency="EUR"),
        order("4", line("f", "2025-09-01", None, 1), line("g", "2025-09-01", None, 1)),
    ]
    result = consolidated(*orders)
    assert [(told.severity, told.code) for told in result.findings] == [
        ("error", "currency_conflict"),
        ("error", "property_conflict"),
        ("error", "quantity_conflict"),
        ("error", "phase_gap"),
        ("error", "fractional_quantity"),
        ("warning", "duplicate_line"),
        ("warning", "zero_quantity"),
    ]
    assert result.phases == ()
    assert result.end_behavior == "cancel"


def test_a_conflict_lasts_from_its_first_day_to_its_last_and_is_told_again_when_it_returns() -> None:
    lines = [
        line("a", *YEAR, 1),
        line("b", "2025-02-01", "2025-04-01", 2),
        line("c", "2025-03-01", "2025-05-01", 3),
        line("d", "2025-07-01", "2025-08-01", 4),
    ]
    told = consolidated(order("1", *lines)).findings
    assert [facts(one)[0] + facts(one)[2:] for one in told] == [
        ("a", "b", "c", "2025-02-01", "2025-05-01"),
        ("a", "d", "2025-07-01", "2025-08-01"),
    ]


def test_dates_are_told_in_the_billing_zone() -> None:
    lines = [line("a", "2025-01-01T05:00:00", "2025-06-01T04:00:00"), line("b", "2025-06-01T10:30:00")]
    (told,) = consolidated(order("1", *lines), time_zone="America/New_York").findings
    assert told.message.startswith("Nothing is billed from 2025-06-01 to 2025-06-01 06:30:00 EDT:")
    assert (told.start, told.end) == (moment("2025-06-01T04:00:00"), moment("2025-06-01T10:30:00"))
