"""What is wrong with a line, an order or a reduction by itself, and the nearest case in which nothing is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orderphase.domain.findings import REMEDIES
from orderphase.domain.lines import BilledAt, Order
from tests.domain.builders import codes, consolidated, entry, facts, line, only, order

YEAR = ("2025-01-01", "2026-01-01")
JUNE = ("2025-06-01", "2026-01-01")


# ---- one line by itself -----------------------------------------------------------------------------------------------

LINES: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    # what: the code, a line that has it, the nearest one that has not, what the message says
    "a fraction": (
        "fractional_quantity",
        {"quantity": "2.5"},
        {"quantity": "2.0"},
        "The quantity of line a of order 00000101 (from 2025-01-01 to 2026-01-01) is 2.5, not a whole number.",
    ),
    "below zero": (
        "negative_quantity",
        {"quantity": -1},
        {"quantity": 1},
        "The quantity of line a of order 00000101 (from 2025-01-01 to 2026-01-01) is -1.",
    ),
    "no price": (
        "missing_price",
        {"price": None},
        {"price": None, "entry": entry()},
        "Line a of order 00000101 (from 2025-01-01 to 2026-01-01) has no Stripe price.",
    ),
    "two discounts": (
        "discount_conflict",
        {"percent_off": "10", "amount_off": "5"},
        {"percent_off": "10", "amount_off": "0"},
        (
            "The discount of line a of order 00000101 (from 2025-01-01 to 2026-01-01) is both 10 percent and 5.00 off; "
            "Stripe takes one of them."
        ),
    ),
    "more than all": (
        "discount_out_of_range",
        {"percent_off": "100.01"},
        {"percent_off": "100"},
        "The discount of line a of order 00000101 (from 2025-01-01 to 2026-01-01) is 100.01 percent.",
    ),
    "less than nothing": (
        "discount_out_of_range",
        {"percent_off": "-1"},
        {"percent_off": "0"},
        "The discount of line a of order 00000101 (from 2025-01-01 to 2026-01-01) is -1 percent.",
    ),
    "a thousandth of a percent": (
        "discount_out_of_range",
        {"percent_off": "0.001"},
        {"percent_off": "0.01"},
        "The discount of line a of order 00000101 (from 2025-01-01 to 2026-01-01) is 0.001 percent.",
    ),
    "an amount below zero": (
        "discount_out_of_range",
        {"amount_off": "-5"},
        {"amount_off": "5"},
        "The discount of line a of order 00000101 (from 2025-01-01 to 2026-01-01) cannot be given: -5.00 is below 0.",
    ),
    "half a cent": (
        "discount_out_of_range",
        {"amount_off": "0.005"},
        {"amount_off": "0.01"},
        (
            "The discount of line a of order 00000101 (from 2025-01-01 to 2026-01-01) cannot be given: "
            "0.005 USD is finer than the smallest amount that Stripe takes in USD."
        ),
    ),
    "no interval": (
        "missing_interval",
        {"price": None, "entry": entry(unit=None)},
        {"price": None, "entry": entry(unit=None, price_id="price_A")},
        (
            "The standard price book entry 01u of Product 01u has no billing interval, and line a of order 00000101 "
            "(from 2025-01-01 to 2026-01-01) needs it."
        ),
    ),
    "an interval that is too long": (
        "invalid_interval",
        {"price": None, "entry": entry(count=37)},
        {"price": None, "entry": entry(count=36)},
        (
            "The standard price book entry 01u of Product 01u is billed every 37 months, and line a of order 00000101 "
            "(from 2025-01-01 to 2026-01-01) needs it."
        ),
    ),
    "no unit price": (
        "invalid_unit_price",
        {"price": None, "entry": entry(price=None)},
        {"price": None, "entry": entry(price=0)},
        (
            "The standard price book entry 01u of Product 01u has no price, and line a of order 00000101 "
            "(from 2025-01-01 to 2026-01-01) needs it."
        ),
    ),
    "a unit price below zero": (
        "invalid_unit_price",
        {"price": None, "entry": entry(price="-1")},
        {"price": None, "entry": entry(price="0.01")},
        (
            "The standard price book entry 01u of Product 01u has the price -1, and line a of order 00000101 "
            "(from 2025-01-01 to 2026-01-01) needs it."
        ),
    ),
    "a unit price that is too large": (
        "invalid_unit_price",
        {"price": None, "entry": entry(price="10000000000")},
        {"price": None, "entry": entry(price="9999999999.99")},
        (
            "The standard price book entry 01u of Product 01u has a price that cannot be billed: 10000000000 USD is "
            "more than Stripe takes for one unit, and line a of order 00000101 (from 2025-01-01 to 2026-01-01) needs it."
        ),
    ),
    "a price of its own below zero": (
        "invalid_unit_price",
        {"price": None, "entry": entry(price="-1", custom=True)},
        {"price": None, "entry": entry(price="0.000000000000001", custom=True)},
        "The price of Product 01u has the price -1, and line a of order 00000101 (from 2025-01-01 to 2026-01-01) needs it.",
    ),
}


@pytest.mark.parametrize("what", LINES)
def test_a_faulty_line(what: str) -> None:
    code, faulty, _, message = LINES[what]
    told = only(consolidated(order("00000101", line("a", *YEAR, **faulty))), code)
    assert told.severity == "error"
    assert facts(told) == (("a",), ("801-00000101",), "2025-01-01", "2026-01-01")
    assert told.message == message
    assert told.remedy == REMEDIES[code]


@pytest.mark.parametrize("what", LINES)
def test_the_nearest_sound_line(what: str) -> None:
    result = consolidated(order("00000101", line("a", *YEAR, **LINES[what][2])))
    assert not result.findings
    assert len(result.phases) == 1


class TestCustomPrices:
    """A line that was sold at another amount than the standard price's."""

    BOOK = entry(price="10", price_id="price_10")

    def sold(self, unit_price: str | None, **more: Any) -> Any:
        at = {} if unit_price is None else {"unit_price": unit_price}
        return order("1", line("a", *YEAR, **({"price": None, "entry": self.BOOK} | at | more)))

    def test_it_may_be_refused(self) -> None:
        told = only(consolidated(self.sold("9.5"), custom_pricing="error"), "custom_price")
        assert told.severity == "error"
        assert facts(told) == (("a",), ("801-1",), "2025-01-01", "2026-01-01")
        assert told.message == (
            "Line a of order 1 (from 2025-01-01 to 2026-01-01) sells at 9.5, but the standard price is 10, "
            "and no other is named."
        )

    def test_it_may_be_billed_at_the_standard_price(self) -> None:
        result = consolidated(self.sold("9.5"), custom_pricing="standard")
        told = only(result, "custom_price")
        assert told.severity == "warning"
        assert told.message == (
            "Line a of order 1 (from 2025-01-01 to 2026-01-01) sells at 9.5, but the standard price is 10, "
            "at which it is billed."
        )
        assert [item.price for phase in result.phases for item in phase.items] == ["price_10"]

    @pytest.mark.parametrize("policy", ["error", "standard"])
    @pytest.mark.parametrize(
        ("unit_price", "more"),
        [
            ("10.00", {}),
            (None, {}),
            # Stripe cannot tell them apart.
            ("10.000000000000001", {}),
            ("9", {"price": "price_9"}),
            ("9", {"billed_at": BilledAt("price_9")}),
            ("9", {"entry": entry(price=None, price_id="price_metered")}),
        ],
    )
    def test_it_is_none(self, policy: str, unit_price: str | None, more: dict[str, Any]) -> None:
        assert not consolidated(self.sold(unit_price, **more), custom_pricing=policy).findings


class TestRoundedPrices:
    KWD = entry(price="1.234")

    @pytest.mark.parametrize("price_id", [None, "price_1230"])
    def test_it_is_told_what_is_billed(self, price_id: str | None) -> None:
        """Also by the run that has made the price meanwhile."""
        sold = line("a", *YEAR, price=None, entry=replace(self.KWD, price_id=price_id))
        result = consolidated(order("1", sold, currency="KWD"))
        told = only(result, "price_rounded")
        assert told.severity == "warning"
        assert facts(told) == (("a",), ("801-1",), "2025-01-01", "2026-01-01")
        assert told.message == (
            "The price of line a of order 1 (from 2025-01-01 to 2026-01-01) is finer than Stripe takes: "
            "1.234 KWD is billed as 1.23 KWD."
        )

    @pytest.mark.parametrize(
        ("currency", "price", "at", "code"),
        [
            ("KWD", "1.234", "1.234", ["price_rounded"]),
            ("ISK", "10", "10.4", []),
            ("ISK", "10", "11", ["custom_price"]),
            ("ISK", "9999999999", None, []),
            ("ISK", "10000000000", None, ["invalid_unit_price"]),
        ],
    )
    def test_the_price_book_may_state_the_currency(self, currency: str, price: str, at: str | None, code: list[str]) -> None:
        sold = line("a", *YEAR, price=None, entry=entry(price=price, currency=currency), **({"unit_price": at} if at else {}))
        assert codes(consolidated(order("1", sold, currency=None), custom_pricing="error")) == code

    @pytest.mark.parametrize(
        ("currency", "more"),
        [
            ("USD", {}),
            (None, {}),
            ("KWD", {"price": "price_A"}),
            ("KWD", {"billed_at": BilledAt("price_A")}),
            ("KWD", {"entry": entry(price="1.230")}),
            ("KWD", {"entry": entry(price="0")}),
        ],
    )
    def test_nothing_is_rounded(self, currency: str | None, more: dict[str, Any]) -> None:
        sold = line("a", *YEAR, **({"price": None, "entry": self.KWD} | more))
        assert not consolidated(order("1", sold, currency=currency)).findings

    def test_what_is_too_large_is_a_fault_alone(self) -> None:
        sold = line("a", *YEAR, price=None, entry=entry(price="99999999999999.999"))
        result = consolidated(order("1", sold, currency="KWD"))
        assert [one.code for one in result.findings if one.severity == "error"] == ["invalid_unit_price"]


class TestTerms:
    """Under `unit_prices: per_term`, a term is to last whole months, or days."""

    def told(self, start: str, end: str | None, unit: Any = "month", **more: Any) -> list[str]:
        sold = line("a", start, end, **({"price": None, "entry": entry(unit=unit), "unit_price": "10"} | more))
        return codes(consolidated(order("1", sold), unit_prices="per_term"))

    def test_a_part_of_a_month(self) -> None:
        sold = line("a", "2025-01-01", "2025-12-31", price=None, entry=entry(price="10"), unit_price="120")
        for pricing in ("create", "error", "standard"):
            told = only(consolidated(order("1", sold), unit_prices="per_term", custom_pricing=pricing), "term_not_whole")
            assert told.severity == "error"
            assert facts(told) == (("a",), ("801-1",), "2025-01-01", "2025-12-31")
            assert told.message == (
                "Line a of order 1 (from 2025-01-01 to 2025-12-31) does not last whole months, so its price for the whole "
                "term cannot be divided."
            )

    def test_a_part_of_a_day(self) -> None:
        assert self.told("2025-01-01", "2025-01-08T12:00:00", "week") == ["term_not_whole"]
        assert self.told("2025-01-01T12:00:00", "2025-01-08T12:00:00", "week") == []

    @pytest.mark.parametrize(
        ("end", "more"),
        [
            (None, {}),
            ("2025-03-01", {}),
            ("2025-02-15", {"price": "price_A"}),
            ("2025-02-15", {"billed_at": BilledAt("price_A")}),
            ("2025-02-15", {"unit_price": "0", "entry": entry(unit=None, price="0", price_id="price_A")}),
        ],
        ids=["open", "whole", "a price of its own", "billed already", "no interval"],
    )
    def test_there_is_nothing_to_divide(self, end: str | None, more: dict[str, Any]) -> None:
        assert self.told("2025-01-01", end, **more) == []

    def test_a_line_without_a_unit_price_is_billed_at_the_standard_price(self) -> None:
        sold = line("a", "2025-01-01", "2025-02-15", price=None, entry=entry())
        assert codes(consolidated(order("1", sold), unit_prices="per_term")) == []

    def test_under_the_default_no_term_counts(self) -> None:
        sold = line("a", "2025-01-01", "2025-02-15", price=None, entry=entry(), unit_price="10")
        assert codes(consolidated(order("1", sold))) == []


def test_negative_lines_are_differences_under_sum() -> None:
    lines = line("a", *YEAR, 2), line("b", *YEAR, -1)
    assert codes(consolidated(order("1", *lines), quantity_conflict="sum")) == []
    assert codes(consolidated(order("1", *lines), quantity_conflict="latest")) == ["negative_quantity"]


@pytest.mark.parametrize("end", ["2025-01-01", "2024-12-31"])
def test_an_empty_line(end: str) -> None:
    told = only(consolidated(order("00000101", line("a", "2025-01-01", end, name="Seat"))), "empty_line")
    assert facts(told) == (("a",), ("801-00000101",), "2025-01-01", end)
    assert told.message == (
        f"Line a (Seat) of order 00000101 starts on 2025-01-01 and is over on {end}: nothing is left to bill."
    )


def test_a_line_of_one_second_is_not_empty() -> None:
    assert not consolidated(order("1", line("a", "2025-01-01", "2025-01-01T00:00:01"))).findings


def test_a_zero_quantity_is_a_remark_and_the_line_is_ignored() -> None:
    zero = line("z", "2025-01-01", "2024-01-01", 0, price=None, percent_off="500")
    told = only(consolidated(order("1", zero, line("a", *YEAR))), "zero_quantity")
    assert told.severity == "warning"
    assert facts(told) == (("z",), ("801-1",), "2025-01-01", "2024-01-01")
    result = consolidated(order("1", zero, line("a", *YEAR)))
    assert [item.lines for phase in result.phases for item in phase.items] == [("a",)]


def test_a_line_of_zero_quantity_covers_no_gap() -> None:
    lines = line("a", "2025-01-01", "2025-02-01"), line("z", *YEAR, 0), line("b", "2025-03-01", "2025-04-01")
    assert codes(consolidated(order("1", *lines))) == ["phase_gap", "zero_quantity"]


def test_everything_that_is_wrong_with_a_line_is_said() -> None:
    lines = [line("a", "2025-01-01", "2024-01-01", "-2.5", price=None, percent_off="101", amount_off="-5")]
    assert sorted(codes(consolidated(order("1", *lines)))) == [
        "discount_conflict",
        "discount_out_of_range",
        "discount_out_of_range",
        "empty_line",
        "fractional_quantity",
        "missing_price",
        "negative_quantity",
    ]


# ---- one order by itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "sound", "code", "message"),
    [
        (
            {"collection_method": "by_carrier_pigeon"},
            {"collection_method": "charge_automatically"},
            "invalid_property",
            "The collection method of order 1 is 'by_carrier_pigeon'; Stripe knows charge_automatically and send_invoice.",
        ),
        (
            {"days_until_due": "2.5"},
            {"days_until_due": "2"},
            "invalid_property",
            "The days until due of order 1 are 2.5; Stripe takes a whole number from 0.",
        ),
        (
            {"days_until_due": "-1"},
            {"days_until_due": "0"},
            "invalid_property",
            "The days until due of order 1 are -1; Stripe takes a whole number from 0.",
        ),
        (
            {"percent_off": "10", "amount_off": "5"},
            {"amount_off": "5"},
            "discount_conflict",
            "The discount of order 1 is both 10 percent and 5.00 off; Stripe takes one of them.",
        ),
        (
            {"percent_off": "101"},
            {"percent_off": "100"},
            "discount_out_of_range",
            "The discount of order 1 is 101 percent.",
        ),
        (
            {"amount_off": "5.5", "currency": "JPY"},
            {"amount_off": "5", "currency": "JPY"},
            "discount_out_of_range",
            "The discount of order 1 cannot be given: 5.5 JPY is finer than the smallest amount that Stripe takes in JPY.",
        ),
    ],
)
def test_a_faulty_order(stated: dict[str, Any], sound: dict[str, Any], code: str, message: str) -> None:
    lines = line("a", *YEAR), line("b", "2024-06-01", "2025-06-01", price="price_B")
    told = only(consolidated(order("1", *lines, **stated)), code)
    assert told.message == message
    assert facts(told) == (("a", "b"), ("801-1",), "2024-06-01", "2026-01-01")
    assert not consolidated(order("1", *lines, **sound)).findings


@pytest.mark.parametrize(
    ("faulty", "sound"),
    [
        ({"collection_method": "pigeon"}, {"collection_method": "send_invoice"}),
        ({"days_until_due": "-1"}, {"days_until_due": "30"}),
        ({"percent_off": "101"}, {"percent_off": "10"}),
    ],
)
def test_a_faulty_setting_is_not_compared(faulty: dict[str, Any], sound: dict[str, Any]) -> None:
    orders = order("1", line("a", *YEAR), **faulty), order("2", line("b", *YEAR, price="price_B"), **sound)
    assert len(consolidated(*orders).findings) == 1


def test_a_faulty_order_without_lines_or_with_an_open_one() -> None:
    assert facts(only(consolidated(order("1", days_until_due="-1")), "invalid_property"))[2:] == (None, None)
    result = consolidated(order("1", line("a", "2025-01-01"), days_until_due="-1"))
    assert facts(only(result, "invalid_property"))[2:] == ("2025-01-01", None)


# ---- reductions -------------------------------------------------------------------------------------------------------


def reduction(name: str, start: str, quantity: Any, of: str | None = "a", number: str = "9", end: str | None = None) -> Order:
    return order(number, line(name, start, end, quantity, price=None, reduces=of), is_reduction=True, effective=start)


def test_a_reduction_of_more_than_is_active_lists_the_layers() -> None:
    base = order("1", line("a", *YEAR, 4))
    result = consolidated(base, reduction("r1", "2025-03-01", -1, number="2"), reduction("r2", "2025-06-01", -5, number="3"))
    told = only(result, "negative_quantity")
    assert told.message == (
        "Reduction line r2 of order 3 takes away 5 from 2025-06-01 on, but 3 are active: 4 in line a of order 1, "
        "-1 in line r1 of order 2."
    )
    assert told.lines == ("r2", "a", "r1")
    assert told.orders == ("801-3", "801-1", "801-2")


def test_a_reduction_after_everything_is_taken_away() -> None:
    base = order("1", line("a", *YEAR, 1))
    told = only(
        consolidated(base, reduction("r1", "2025-03-01", -1), reduction("r2", "2025-06-01", -1, number="8")),
        "negative_quantity",
    )
    assert "but 0 are active" in told.message


def test_a_reduction_of_a_line_that_is_over() -> None:
    base = order("1", line("a", *YEAR, 2))
    told = only(consolidated(base, reduction("r", "2026-01-01", -1)), "empty_line")
    assert told.message == "Reduction line r of order 9 takes effect on 2026-01-01, when line a of order 1 is over."
    assert facts(told) == (("r", "a"), ("801-9", "801-1"), "2026-01-01", None)
    assert not consolidated(base, reduction("r", "2025-12-31", -1)).findings


def test_a_second_reduction_after_the_first_is_not_late() -> None:
    base = order("1", line("a", *YEAR, 3))
    assert not consolidated(base, reduction("r1", "2025-03-01", -1), reduction("r2", "2025-06-01", -1, number="8")).findings


@pytest.mark.parametrize(
    ("original", "why"),
    [
        ("elsewhere", "names line elsewhere, which is on no activated order of this contract"),
        ("zero", "takes away from line zero of order 1, whose quantity is 0"),
        ("r", "takes away from line r of order 9, which is a reduction itself"),
    ],
)
def test_a_reduction_of_what_cannot_be_reduced(original: str, why: str) -> None:
    base = order("1", line("a", *YEAR, 2), line("zero", *YEAR, 0))
    result = consolidated(base, reduction("r", "2025-03-01", -1, of=original))
    assert codes(result) == ["negative_quantity", "zero_quantity"]
    assert result.findings[0].message == f"Reduction line r of order 9 {why}."
    assert facts(result.findings[0]) == (("r",), ("801-9",), "2025-03-01", None)


@pytest.mark.parametrize("faulty", [{"price": None}, {"end": "2025-01-01"}])
def test_a_reduction_of_a_faulty_line_adds_nothing(faulty: dict[str, Any]) -> None:
    base = line("a", **({"start": "2025-01-01", "end": "2026-01-01"} | faulty))
    assert len(consolidated(order("1", base), reduction("r", "2025-03-01", -9)).findings) == 1


@pytest.mark.parametrize(
    ("faulty", "code", "said"),
    [
        ({"quantity": 1}, "negative_quantity", "belongs to a reduction order, but its quantity is 1, not below 0."),
        ({"quantity": "-0.5"}, "fractional_quantity", "is -0.5, not a whole number."),
        ({"quantity": -1, "end": "2025-06-01"}, "empty_line", "is over on 2025-06-01: nothing is left to bill."),
        ({"quantity": -1, "of": None}, "negative_quantity", "belongs to a reduction order, but names no original line."),
    ],
)
def test_a_faulty_reduction(faulty: dict[str, Any], code: str, said: str) -> None:
    told = only(consolidated(order("1", line("a", *YEAR, 2)), reduction("r", "2025-06-01", **faulty)), code)
    assert told.message.endswith(said)
    assert told.lines == ("r",)


def test_a_reduction_order_without_originals_is_a_difference_under_sum() -> None:
    change = order("9", line("r", *JUNE, -1), is_reduction=True)
    result = consolidated(order("1", line("a", *YEAR, 2)), change, quantity_conflict="sum")
    assert [phase.items[0].quantity for phase in result.phases] == [2, 1]
