"""What phases orders become: the rules and the worked examples."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from orderphase.domain.calendar import iso
from orderphase.domain.lines import Discount, Order, OrderLine
from orderphase.domain.phases import PhaseSettings
from tests.domain.builders import codes, consolidated, dated, entry, line, moment, only, order, short

YEAR = ("2025-01-01", "2026-01-01")


def test_a_line_that_joins_begins_a_phase() -> None:
    result = consolidated(order("1", line("a", *YEAR), line("b", "2025-06-01", "2026-01-01", price="price_B")))
    assert short(result) == ["2025-01-01..2025-06-01 price_A*1", "2025-06-01..2026-01-01 price_A*1 price_B*1"]
    assert result.end_behavior == "cancel"
    assert result.findings == ()
    assert result.phases[1].items[0].lines == ("a",)
    assert result.phases[1].items[1].lines == ("b",)


def test_the_answer_in_json() -> None:
    lines = [line("a", *YEAR, amount_off="5"), line("b", "2025-06-01", None, 2, price="price_B", percent_off="12.50")]
    result = consolidated(order("1", *lines, collection_method="send_invoice", days_until_due="30", percent_off="10"))
    settings = {"collection_method": "send_invoice", "days_until_due": 30, "discount": {"percent_off": "10"}}
    item_a = {"price": "price_A", "quantity": 1, "discount": {"amount_off": "5.00"}, "lines": ["a"]}
    item_b = {"price": "price_B", "quantity": 2, "discount": {"percent_off": "12.5"}, "lines": ["b"]}
    assert result.as_dict() == {
        "phases": [
            {"start": "2025-01-01T00:00:00Z", "end": "2025-06-01T00:00:00Z", "items": [item_a], "settings": settings},
            {"start": "2025-06-01T00:00:00Z", "end": "2026-01-01T00:00:00Z", "items": [item_a, item_b], "settings": settings},
            {"start": "2026-01-01T00:00:00Z", "end": None, "items": [item_b], "settings": settings},
        ],
        "end_behavior": "release",
        "findings": [],
    }


def test_no_orders_have_no_phases() -> None:
    assert consolidated().as_dict() == {"phases": [], "end_behavior": "cancel", "findings": []}
    assert consolidated(order("1")).as_dict() == {"phases": [], "end_behavior": "cancel", "findings": []}


@pytest.mark.parametrize(
    ("ends", "behavior", "last"),
    [
        (("2026-01-01", "2026-01-01"), "cancel", "2026-01-01T00:00:00Z"),
        (("2026-01-01", None), "release", None),
        ((None, None), "release", None),
    ],
)
def test_an_open_line_leaves_the_end_open(ends: tuple[str | None, str | None], behavior: str, last: str | None) -> None:
    result = consolidated(order("1", line("a", "2025-01-01", ends[0]), line("b", "2025-01-01", ends[1], price="price_B")))
    assert (result.end_behavior, iso(result.phases[-1].end)) == (behavior, last)


# ---- what is one phase, and what is two ------------------------------------------------------------------------------


def successive(first: OrderLine, second: OrderLine, **more: Any) -> tuple[Order, Order]:
    return order("1", first), order("2", second, effective="2025-06-01", **more)


def test_equal_lines_one_after_the_other_are_one_phase_that_lists_both() -> None:
    result = consolidated(*successive(line("a", "2025-01-01", "2025-06-01"), line("b", "2025-06-01", "2026-01-01")))
    assert short(result) == ["2025-01-01..2026-01-01 price_A*1"]
    assert result.phases[0].items[0].lines == ("a", "b")


@pytest.mark.parametrize(
    "changed",
    [
        {"quantity": 2},
        {"price": "price_B"},
        {"percent_off": "10"},
        {"amount_off": "10"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_another_item_is_another_phase(changed: dict[str, Any]) -> None:
    second = line("b", "2025-06-01", "2026-01-01", **changed)
    assert len(consolidated(*successive(line("a", "2025-01-01", "2025-06-01"), second)).phases) == 2


@pytest.mark.parametrize(
    "stated",
    [{"collection_method": "send_invoice"}, {"days_until_due": "30"}, {"percent_off": "10"}, {"amount_off": "10"}],
    ids=lambda stated: next(iter(stated)),
)
def test_other_settings_are_another_phase(stated: dict[str, Any]) -> None:
    result = consolidated(*successive(line("a", "2025-01-01", "2025-06-01"), line("b", "2025-06-01", "2026-01-01"), **stated))
    assert len(result.phases) == 2
    assert result.phases[0].settings == PhaseSettings()
    assert result.phases[1].settings != PhaseSettings()


@pytest.mark.parametrize(("one", "other"), [("10", "10.00"), ("0", None)])
def test_equal_discounts_written_differently_are_one_phase(one: str, other: str | None) -> None:
    more = {} if other is None else {"percent_off": other}
    lines = line("a", "2025-01-01", "2025-06-01", percent_off=one), line("b", "2025-06-01", "2026-01-01", **more)
    assert len(consolidated(*successive(*lines)).phases) == 1


def test_a_line_that_ends_within_a_phase_is_not_listed_by_the_next() -> None:
    lines = [
        line("a", "2025-01-01", "2025-03-01"),
        line("b", "2025-03-01", "2026-01-01"),
        line("c", "2025-06-01", "2026-01-01", price="price_B"),
    ]
    result = consolidated(order("1", *lines))
    assert [phase.items[0].lines for phase in result.phases] == [("a", "b"), ("b",)]


def test_what_an_order_states_holds_while_a_line_of_it_does() -> None:
    base = order("1", line("a", *YEAR))
    terms = order("2", line("b", "2025-03-01", "2025-06-01", price="price_B"), days_until_due="30")
    result = consolidated(base, terms)
    assert [phase.settings.days_until_due for phase in result.phases] == [None, 30, None]


def test_the_price_comes_from_the_line_else_from_the_price_book() -> None:
    known = entry("01u1", price_id="price_known")
    new = entry("01u2")
    lines = [
        line("a", *YEAR, price="price_A", entry=known),
        line("b", *YEAR, price=None, entry=known),
        line("c", *YEAR, price=None, entry=new),
    ]
    assert short(consolidated(order("1", *lines))) == ["2025-01-01..2026-01-01 price_A*1 price_known*1 01u2*1"]


# ---- quantities of one price ------------------------------------------------------------------------------------------


def change(quantity: int, start: str = "2025-06-01", end: str | None = "2026-01-01", number: str = "2") -> Order:
    return order(number, line(f"change-{number}", start, end, quantity), effective=start)


def test_sum_adds_what_change_orders_carry() -> None:
    result = consolidated(order("1", line("a", *YEAR, 3)), change(2), quantity_conflict="sum")
    assert short(result) == ["2025-01-01..2025-06-01 price_A*3", "2025-06-01..2026-01-01 price_A*5"]
    assert not result.findings


def test_sum_takes_away_what_is_negative_and_drops_an_item_at_zero() -> None:
    base = order("1", line("a", *YEAR, 3), line("b", *YEAR, price="price_B"))
    result = consolidated(
        base, change(-1), change(-2, "2025-09-01", number="3"), change(1, "2025-11-01", number="4"), quantity_conflict="sum"
    )
    assert short(result) == [
        "2025-01-01..2025-06-01 price_A*3 price_B*1",
        "2025-06-01..2025-09-01 price_A*2 price_B*1",
        "2025-09-01..2025-11-01 price_B*1",
        "2025-11-01..2026-01-01 price_B*1 price_A*1",
    ]


def test_sum_trims_time_in_which_all_add_up_to_zero() -> None:
    base = order("1", line("a", "2025-01-01"))
    result = consolidated(
        base, change(-1, "2025-01-01", "2025-03-01"), change(-1, end=None, number="3"), quantity_conflict="sum"
    )
    assert short(result) == ["2025-03-01..2025-06-01 price_A*1"]
    assert result.end_behavior == "cancel"
    assert not result.findings


def test_latest_counts_the_newest_order_alone_while_it_lasts() -> None:
    result = consolidated(
        order("1", line("a", *YEAR, 3)),
        change(5, end="2025-09-01"),
        change(4, "2025-08-01", number="3"),
        quantity_conflict="latest",
    )
    assert short(result) == [
        "2025-01-01..2025-06-01 price_A*3",
        "2025-06-01..2025-08-01 price_A*5",
        "2025-08-01..2026-01-01 price_A*4",
    ]
    assert [phase.items[0].lines for phase in result.phases] == [("a",), ("change-2",), ("change-3",)]
    assert not result.findings


def test_latest_returns_to_the_older_order_when_the_newest_is_over() -> None:
    result = consolidated(order("1", line("a", *YEAR, 3)), change(5, end="2025-09-01"), quantity_conflict="latest")
    assert [phase.items[0].quantity for phase in result.phases] == [3, 5, 3]


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"effective": "2025-01-01"}, {"effective": "2025-02-01"}),
        ({"activated": moment("2025-01-01T09:00:00")}, {"activated": moment("2025-01-01T09:00:01")}),
        ({}, {"activated": moment("2025-01-01T09:00:00")}),
        ({}, {}),
    ],
    ids=["effective date", "activation", "activated at all", "number"],
)
def test_the_newest_order_is_found_by(older: dict[str, Any], newer: dict[str, Any]) -> None:
    orders = [order("2", line("b", *YEAR, 2), **newer), order("1", line("a", *YEAR, 1), **older)]
    for sequence in (orders, orders[::-1]):
        assert short(consolidated(*sequence, quantity_conflict="latest")) == ["2025-01-01..2026-01-01 price_A*2"]


# ---- worked examples --------------------------------------------------------------------------------------------------


def months(name: str, start: int, end: int | None, quantity: int = 1, price: str = "price_A") -> OrderLine:
    """A line between months counted from 2027-01-01."""
    first, last = (None if n is None else f"{2027 + n // 12}-{n % 12 + 1:02}-01" for n in (start, end))
    assert first
    return line(name, first, last, quantity, price=price)


def test_f1_a_plain_year() -> None:
    result = consolidated(order("1", months("a", 0, 12)))
    assert short(result) == ["2027-01-01..2028-01-01 price_A*1"]
    assert result.end_behavior == "cancel"


def test_f2_two_years_are_one_phase() -> None:
    assert short(consolidated(order("1", months("a", 0, 24)))) == ["2027-01-01..2029-01-01 price_A*1"]


def test_f3_lines_of_equal_length_share_a_phase() -> None:
    result = consolidated(order("1", months("a", 0, 12), months("b", 0, 12, price="price_B")))
    assert short(result) == ["2027-01-01..2028-01-01 price_A*1 price_B*1"]


def test_f5_a_free_line_is_kept_with_its_quantity() -> None:
    free = line("a", *YEAR, 7, price=None, entry=entry(price="0"), unit_price="0")
    result = consolidated(order("1", free))
    assert short(result) == ["2025-01-01..2026-01-01 01u*7"]
    assert not result.findings


def test_f9_equal_prices_are_one_item_under_sum() -> None:
    result = consolidated(order("1", months("a", 0, 12, 2), months("b", 0, 12, 3)), quantity_conflict="sum")
    assert short(result) == ["2027-01-01..2028-01-01 price_A*5"]
    assert result.phases[0].items[0].lines == ("a", "b")


def test_f10_monthly_and_yearly_together_need_the_flexible_billing_mode() -> None:
    lines = [
        line("a", *YEAR, price=None, entry=entry("01u1", "month")),
        line("b", *YEAR, price=None, entry=entry("01u2", "year")),
    ]
    assert short(consolidated(order("1", *lines))) == ["2025-01-01..2026-01-01 01u1*1 01u2*1"]
    assert codes(consolidated(order("1", *lines), billing_mode="classic")) == ["interval_conflict"]


def test_f11_a_start_on_the_31st_stays_there() -> None:
    assert short(consolidated(order("1", line("a", "2027-01-31", "2028-01-31")))) == ["2027-01-31..2028-01-31 price_A*1"]


def test_a2_more_from_month_nine_on() -> None:
    result = consolidated(order("1", months("a", 0, 12)), order("2", months("b", 9, 12, 2)), quantity_conflict="sum")
    assert short(result) == ["2027-01-01..2027-10-01 price_A*1", "2027-10-01..2028-01-01 price_A*3"]


def test_a6_two_and_three_more_and_one_less() -> None:
    orders = [order("1", months("a", 0, 12, 2)), order("2", months("b", 3, 12, 3)), order("3", months("c", 6, 12, -1))]
    assert [phase.items[0].quantity for phase in consolidated(*orders, quantity_conflict="sum").phases] == [2, 5, 4]


def test_a7_all_is_taken_away_and_no_phase_follows() -> None:
    quantities = {0: 1, 2: 1, 4: 1, 6: -3}
    orders = [order(str(start), months(f"l{start}", start, 12, quantity)) for start, quantity in quantities.items()]
    result = consolidated(*orders, quantity_conflict="sum")
    assert [phase.items[0].quantity for phase in result.phases] == [1, 2, 3]
    assert iso(result.phases[-1].end) == "2027-07-01T00:00:00Z"
    assert result.end_behavior == "cancel"


def test_a8_more_is_taken_away_than_there_is() -> None:
    orders = [order("1", months("a", 0, 12, 2)), order("2", months("b", 3, 12)), order("3", months("c", 6, 12, -5))]
    told = only(consolidated(*orders, quantity_conflict="sum"), "negative_quantity")
    for part in ("line a of order 1 (2)", "line b of order 2 (1)", "line c of order 3 (-5)", "from 2027-07-01 to 2028-01-01"):
        assert part in told.message


def test_a10_an_amendment_on_the_day_of_the_start_shares_its_phase() -> None:
    result = consolidated(order("1", months("a", 0, 12)), order("2", months("b", 0, 12, price="price_B")))
    assert short(result) == ["2027-01-01..2028-01-01 price_A*1 price_B*1"]


def test_a11_two_amendments_on_one_day_make_one_phase() -> None:
    orders = [order("1", months("a", 0, 12)), *(order(str(n), months(f"l{n}", 6, 12, n)) for n in (2, 3))]
    assert short(consolidated(*orders, quantity_conflict="sum")) == [
        "2027-01-01..2027-07-01 price_A*1",
        "2027-07-01..2028-01-01 price_A*6",
    ]


def test_r4_a_ramp_is_a_phase_per_step() -> None:
    lines = [months(f"l{n}", 12 * n, 12 * n + 12, 10 * n + 10) for n in range(3)]
    assert [phase.items[0].quantity for phase in consolidated(order("1", *lines)).phases] == [10, 20, 30]


def test_c5_dates_begin_in_the_billing_zone_on_either_side_of_a_clock_change() -> None:
    zone = "America/New_York"
    result = consolidated(order("1", dated("a", "2027-03-01", "2027-04-01", zone)), time_zone=zone)
    assert [(iso(phase.start), iso(phase.end)) for phase in result.phases] == [("2027-03-01T05:00:00Z", "2027-04-01T04:00:00Z")]


def test_c6_an_inclusive_end_is_the_day_before_the_exclusive_one() -> None:
    result = consolidated(order("1", dated("a", "2027-01-01", "2027-12-31", "UTC", inclusive=True)))
    assert short(result) == ["2027-01-01..2028-01-01 price_A*1"]


def test_lines_that_meet_in_the_billing_zone_leave_no_gap() -> None:
    zone = "America/Sao_Paulo"  # 2018-11-04 had no midnight there
    lines = dated("a", "2018-10-01", "2018-11-04", zone), dated("b", "2018-11-04", "2018-12-01", zone)
    result = consolidated(order("1", *lines), time_zone=zone)
    assert [(iso(phase.start), iso(phase.end)) for phase in result.phases] == [("2018-10-01T03:00:00Z", "2018-12-01T02:00:00Z")]


# ---- reductions -------------------------------------------------------------------------------------------------------


def reduction(name: str, start: str, quantity: int, of: str = "a", number: str = "9", **more: Any) -> Order:
    return order(number, line(name, start, None, quantity, price=None, reduces=of), is_reduction=True, effective=start, **more)


@pytest.mark.parametrize("policy", ["error", "sum", "latest"])
def test_a_reduction_takes_from_its_line_until_that_ends(policy: str) -> None:
    base = order("1", line("a", *YEAR, 5))
    result = consolidated(
        base, reduction("r1", "2025-03-01", -1), reduction("r2", "2025-09-01", -2, number="8"), quantity_conflict=policy
    )
    assert short(result) == [
        "2025-01-01..2025-03-01 price_A*5",
        "2025-03-01..2025-09-01 price_A*4",
        "2025-09-01..2026-01-01 price_A*2",
    ]
    assert [phase.items[0].lines for phase in result.phases] == [("a",), ("a", "r1"), ("a", "r1", "r2")]
    assert not result.findings


def test_a_negative_line_that_names_an_original_is_a_reduction_on_any_order() -> None:
    change = order("2", line("r", "2025-06-01", None, -1, price=None, reduces="a"))
    result = consolidated(order("1", line("a", *YEAR, 3)), change)
    assert short(result) == ["2025-01-01..2025-06-01 price_A*3", "2025-06-01..2026-01-01 price_A*2"]


def test_reductions_to_exactly_zero_end_the_line() -> None:
    base = order("1", line("a", *YEAR, 2), line("b", *YEAR, price="price_B"))
    result = consolidated(base, reduction("r1", "2025-06-01", -1), reduction("r2", "2025-06-01", -1, number="8"))
    assert short(result) == ["2025-01-01..2025-06-01 price_A*2 price_B*1", "2025-06-01..2026-01-01 price_B*1"]
    assert not result.findings


def test_a_reduction_that_ends_the_last_open_line_ends_the_contract() -> None:
    result = consolidated(order("1", line("a", "2025-01-01")), reduction("r", "2025-06-01", -1))
    assert short(result) == ["2025-01-01..2025-06-01 price_A*1"]
    assert result.end_behavior == "cancel"


def test_a_reduction_before_its_line_takes_effect_with_it() -> None:
    result = consolidated(order("1", line("a", *YEAR, 3)), reduction("r", "2024-12-01", -1))
    assert short(result) == ["2025-01-01..2026-01-01 price_A*2"]
    assert result.phases[0].items[0].lines == ("a", "r")


def test_a_line_that_is_reduced_to_zero_from_its_start_is_not_billed() -> None:
    assert short(consolidated(order("1", line("a", *YEAR, 3)), reduction("r", "2025-01-01", -3))) == []


def test_a_reduction_order_states_settings_while_its_reduction_is_in_force() -> None:
    result = consolidated(order("1", line("a", *YEAR, 3)), reduction("r", "2025-06-01", -1, days_until_due="30"))
    assert [phase.settings.days_until_due for phase in result.phases] == [None, 30]


def test_a_discount_stays_with_a_line_that_is_reduced() -> None:
    result = consolidated(order("1", line("a", *YEAR, 3, percent_off="10")), reduction("r", "2025-06-01", -1))
    assert [phase.items[0].discount for phase in result.phases] == [Discount(Decimal(10)), Discount(Decimal(10))]
