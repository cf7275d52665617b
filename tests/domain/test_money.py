"""Amounts as Stripe counts them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderphase.domain.money import (
    UNIT_AMOUNT_DECIMALS,
    decimals,
    exponent,
    is_currency,
    minor_units,
    plain,
    price_text,
    rounded_price,
    smallest_step,
    unit_amount,
    whole_minor_units,
)
from tests.domain.strategies import thorough

# Stripe: Supported currencies.
ZERO = ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
THREE = ("BHD", "JOD", "KWD", "OMR", "TND")
TWO = ("USD", "EUR", "GBP", "CHF", "HUF", "TWD", "ISK", "UGX")

# Eighteen digits: the most that Salesforce keeps.
amounts = st.decimals(min_value=0, max_value=10**12, places=6, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("currency", "places"), [*((code, 0) for code in ZERO), *((code, 2) for code in TWO), *((code, 3) for code in THREE)]
)
def test_the_currency_table(currency: str, places: int) -> None:
    assert exponent(currency) == exponent(currency.lower()) == places
    assert unit_amount(Decimal(7), currency) == whole_minor_units(Decimal(7), currency) == 7 * 10**places


@pytest.mark.parametrize(
    ("code", "known"), [("USD", True), ("usd", True), ("US", False), ("USDT", False), ("U5D", False), ("ÜSD", False)]
)
def test_the_form_of_a_currency(code: str, known: bool) -> None:
    assert is_currency(code) is known


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("10.99", "USD", 1099),
        ("5.00", "USD", 500),
        ("10000", "JPY", 10000),
        ("5", "UGX", 500),
        ("5", "ISK", 500),
        ("1.23", "KWD", 1230),
    ],
)
def test_an_amount_in_whole_minor_units(amount: str, currency: str, minor: int) -> None:
    assert whole_minor_units(Decimal(amount), currency) == minor


@pytest.mark.parametrize(
    ("amount", "currency"),
    [("0.001", "USD"), ("0.5", "JPY"), ("5.01", "UGX"), ("5.5", "ISK"), ("1.234", "KWD"), ("1.2301", "KWD")],
)
def test_an_amount_finer_than_the_smallest_unit(amount: str, currency: str) -> None:
    finer = f"^{amount} {currency} is finer than the smallest amount that Stripe takes in {currency}$"
    with pytest.raises(ValueError, match=finer):
        whole_minor_units(Decimal(amount), currency)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        # Twelve decimals of a minor unit are exact, what is finer is rounded.
        ("14.28571428571428", "USD", "1428.571428571428"),
        ("0.00000000000001", "usd", "0.000000000001"),
        ("0.000000000000004", "USD", "0"),
        ("0.000000000000005", "USD", "0.000000000001"),
        ("-0.000000000000005", "USD", "-0.000000000001"),
        ("0.123456789012", "JPY", "0.123456789012"),
        ("0.1234567890124", "JPY", "0.123456789012"),
        ("0.1234567890125", "JPY", "0.123456789013"),
        ("0.1200000000000000000", "JPY", "0.12"),
        ("10000.5", "JPY", "10000.5"),
        # Whole units, sent with two decimals.
        ("5.49", "ISK", "500"),
        ("5.5", "ISK", "600"),
        ("5.5", "UGX", "600"),
        ("-5.5", "UGX", "-600"),
        # Three decimals, of which the last is 0.
        ("1.234", "KWD", "1230"),
        ("1.235", "KWD", "1240"),
        ("1.2", "BHD", "1200"),
        ("0.004", "KWD", "0"),
        # Twelve digits are the most.
        ("9999999999.99", "USD", "999999999999"),
        ("999999999999", "JPY", "999999999999"),
        ("999999999.99", "KWD", "999999999990"),
        ("9999999999", "ISK", "999999999900"),
    ],
)
def test_a_unit_amount(amount: str, currency: str, minor: str) -> None:
    assert UNIT_AMOUNT_DECIMALS == 12
    assert unit_amount(Decimal(amount), currency) == Decimal(minor)


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        ("10000000000", "USD"),
        ("-10000000000", "USD"),
        ("9999999999.991", "USD"),
        ("1000000000000", "JPY"),
        ("999999999.995", "KWD"),
        ("9999999999.5", "ISK"),
        ("999999999999999.1234567890123", "USD"),
    ],
)
def test_a_unit_amount_that_is_too_large(amount: str, currency: str) -> None:
    with pytest.raises(ValueError, match=f"^{amount} {currency} is more than Stripe takes for one unit$"):
        unit_amount(Decimal(amount), currency.lower())


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        ("1.234", "KWD", "1.23"),
        ("1.230", "KWD", None),
        ("5.5", "ISK", "6"),
        ("5.00", "UGX", None),
        ("0.004", "KWD", "0"),
        # Fractions of a cent or a yen are billed as they are.
        ("0.0075", "USD", None),
        ("0.5", "JPY", None),
        ("0.0000000000000001", "USD", None),
        ("99999999999999", "ISK", None),
    ],
)
def test_a_price_that_is_rounded(amount: str, currency: str, rounded: str | None) -> None:
    assert rounded_price(Decimal(amount), currency) == (None if rounded is None else Decimal(rounded))


# What is at the border: 28 digits, 15 of them before the point, of either sign.
prices = st.tuples(st.integers(-(10**28) + 1, 10**28 - 1), st.integers(13, 28)).map(
    lambda pair: Decimal(pair[0]).scaleb(-pair[1])
)


@thorough
@given(prices, st.sampled_from([*ZERO, *TWO, *THREE]))
def test_a_price_is_rounded_once_to_the_nearest_step(price: Decimal, currency: str) -> None:
    step = Fraction(smallest_step(currency)) if smallest_step(currency) > 1 else Fraction(1, 10**12)
    minor = minor_units(price, currency)
    exact = Fraction(price) * 10 ** exponent(currency)
    assert Fraction(minor) % step == 0 or minor == exact
    assert abs(Fraction(minor) - exact) <= step / 2
    assert minor == 0 or (minor > 0) == (price > 0)
    assert minor_units(-price, currency) == -minor
    assert minor_units(minor.scaleb(-exponent(currency)), currency) == minor
    assert (rounded_price(price, currency) is None) == (step < 1 or minor == exact)


@thorough
@given(prices, prices, st.sampled_from(["USD", "JPY", "KWD", "ISK"]))
def test_rounding_keeps_the_order_of_prices(one: Decimal, other: Decimal, currency: str) -> None:
    low, high = sorted([one, other])
    assert minor_units(low, currency) <= minor_units(high, currency)


@pytest.mark.parametrize(
    ("amount", "places"),
    [("10", 0), ("1E+3", 0), ("0.50", 1), ("0", 0), ("0.000", 0), ("1E-12", 12), ("-1.25", 2), ("1200", 0)],
)
def test_decimals(amount: str, places: int) -> None:
    assert decimals(Decimal(amount)) == places


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("10", "10"),
        ("10.00", "10"),
        ("0.50", "0.5"),
        ("1E+3", "1000"),
        ("1E-7", "0.0000001"),
        ("-2.50", "-2.5"),
        ("0.0", "0"),
        ("100", "100"),
    ],
)
def test_plain(amount: str, text: str) -> None:
    assert plain(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("5", "USD", "5.00"),
        ("5", None, "5.00"),
        ("5.1", "usd", "5.10"),
        ("5", "JPY", "5"),
        ("5.5", "JPY", "5.5"),
        ("5", "KWD", "5.000"),
        ("0.0075", "USD", "0.0075"),
        ("1E+3", "USD", "1000.00"),
        ("5.00000", "USD", "5.00"),
    ],
)
def test_price_text(amount: str, currency: str | None, text: str) -> None:
    assert price_text(Decimal(amount), currency) == text


@thorough
@given(amounts, st.sampled_from([*ZERO, *TWO, *THREE]))
def test_what_salesforce_keeps_is_not_rounded(amount: Decimal, currency: str) -> None:
    if smallest_step(currency) == 1:
        assert minor_units(amount, currency) / 10 ** exponent(currency) == amount
    assert Decimal(plain(amount)) == amount
    assert Decimal(price_text(amount, currency)) == amount
    assert decimals(amount) == next(places for places in range(7) if amount * 10**places % 1 == 0)


@thorough
@given(amounts, st.sampled_from([*ZERO, *TWO, *THREE]))
def test_whole_minor_units_are_exact_or_refused(amount: Decimal, currency: str) -> None:
    smallest = Decimal(1) if currency in (*ZERO, "ISK", "UGX") else Decimal("0.01")
    if amount % smallest:
        with pytest.raises(ValueError, match="finer"):
            whole_minor_units(amount, currency)
    else:
        assert whole_minor_units(amount, currency) == amount * 10 ** exponent(currency)
