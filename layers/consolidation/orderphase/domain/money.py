"""Amounts as Stripe counts them. `Decimal` end to end; a float never enters.

Every number has at most 28 digits, which `Decimal` keeps exactly; the border sees to that.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

# Stripe's own table (Stripe: Supported currencies), not ISO 4217: UGX and ISK have no minor unit any more
# but are still sent with two decimals, which then must be 00.
_ZERO_DECIMAL = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
)
_THREE_DECIMAL = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))
_WHOLE_ONLY = frozenset({"ISK", "UGX"})

UNIT_AMOUNT_DECIMALS = 12
"""Stripe: `unit_amount_decimal` takes at most twelve decimals of a minor unit."""

_LARGEST = 999_999_999_999
"""Stripe: amounts have twelve digits at most, with some means of payment fewer."""


def is_currency(code: str) -> bool:
    """Whether `code` has the form of an ISO 4217 code, in either case."""
    return re.fullmatch(r"[A-Za-z]{3}", code) is not None


def exponent(currency: str) -> int:
    """How many decimals one major unit of `currency` has in Stripe's minor units: 0, 2 or 3."""
    code = currency.upper()
    if code in _ZERO_DECIMAL:
        return 0
    return 3 if code in _THREE_DECIMAL else 2


def minor_units(amount: Decimal, currency: str) -> Decimal:
    """A price in major units in Stripe's minor units, rounded half up to what Stripe can express.

    That is twelve decimals, and in a currency with a smallest step of more than one minor unit a whole number of steps.
    """
    minor = amount.scaleb(exponent(currency))
    step = smallest_step(currency)
    if step > 1:
        return (minor / step).quantize(Decimal(1), ROUND_HALF_UP) * step
    if decimals(minor) > UNIT_AMOUNT_DECIMALS:
        return minor.quantize(Decimal(1).scaleb(-UNIT_AMOUNT_DECIMALS), ROUND_HALF_UP)
    return minor


def unit_amount(amount: Decimal, currency: str) -> Decimal:
    """A price in major units as Stripe's `unit_amount_decimal`. Raises ValueError where it is larger than Stripe takes."""
    rounded = minor_units(amount, currency)
    if abs(rounded) > _LARGEST:
        raise ValueError(f"{plain(amount)} {currency.upper()} is more than Stripe takes for one unit")
    return rounded


def rounded_price(amount: Decimal, currency: str) -> Decimal | None:
    """What a price comes to where the currency's smallest step changes it, in major units; None where it stays as it is."""
    if smallest_step(currency) == 1:
        return None
    rounded = minor_units(amount, currency).scaleb(-exponent(currency))
    return None if rounded == amount else rounded


def whole_minor_units(amount: Decimal, currency: str) -> int:
    """Convert an amount that is charged or taken off as it stands to Stripe's minor units.

    Raises ValueError where it is finer than the currency's smallest unit: ISK and UGX take whole units only,
    three-decimal currencies end in 0 (Stripe: Supported currencies).
    """
    minor = amount.scaleb(exponent(currency))
    if minor % smallest_step(currency):
        code = currency.upper()
        raise ValueError(f"{plain(amount)} {code} is finer than the smallest amount that Stripe takes in {code}")
    return int(minor)


def smallest_step(currency: str) -> int:
    """The smallest amount that is charged or taken off, in Stripe's minor units."""
    code = currency.upper()
    return 100 if code in _WHOLE_ONLY else 10 if code in _THREE_DECIMAL else 1


def major_units(minor: int, currency: str) -> Decimal:
    """Convert Stripe's minor units to major ones."""
    return Decimal(minor).scaleb(-exponent(currency))


def decimals(amount: Decimal) -> int:
    """How many decimals `amount` needs, trailing zeros left out."""
    return len(plain(amount).partition(".")[2])


def plain(amount: Decimal) -> str:
    """Write a number without an exponent and without trailing zeros: `10`, `0.5`."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def price_text(amount: Decimal, currency: str | None) -> str:
    """Write an amount with at least the currency's own decimals: `5.00`, `5` for JPY. Two where no currency is known."""
    places = max(exponent(currency) if currency else 2, decimals(amount))
    return f"{amount:.{places}f}"
