"""Amounts as Stripe counts them. `Decimal` end to end; a float never enters.

Every number has at most 28 digits, which `Decimal` keeps exactly; the border sees to that.
"""

from __future__ import annotations

import re
from decimal import Decimal

# Stripe's own table (Stripe: Supported currencies), not ISO 4217: UGX and ISK have no minor unit any more
# but are still sent with two decimals, which then must be 00.
_ZERO_DECIMAL = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
)
_THREE_DECIMAL = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))
_WHOLE_ONLY = frozenset({"ISK", "UGX"})

UNIT_AMOUNT_DECIMALS = 12
"""Stripe: `unit_amount_decimal` takes at most twelve decimals of a minor unit."""


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
    """Convert a price in major units to Stripe's minor units, for `unit_amount_decimal`.

    Raises ValueError where Stripe cannot express it: more than twelve decimals are left.
    """
    minor = amount.scaleb(exponent(currency))
    if decimals(minor) > UNIT_AMOUNT_DECIMALS:
        raise ValueError(f"{plain(amount)} {currency.upper()} has more decimals than Stripe can bill")
    return Decimal(f"{minor:f}")  # without an exponent, which Stripe does not read


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
