"""What options of commands may say, for argparse."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

from orderphase.ids import normalise_id

_AGO = re.compile(r"(\d{1,4})([mhdw])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_STRIPE_ID = re.compile(r"[a-z]{2,}(_[A-Za-z0-9]+)+")


def said(value: str) -> str:
    """An option's value. One that is empty, as of a variable that is not set, is not the same as none."""
    if not value.strip():
        raise ArgumentTypeError("is empty; leave the option out, or give it a value")
    return value


def whole_number(text: str) -> int:
    """A whole number from one on."""
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise ArgumentTypeError(f"{text!r} is not a whole number above 0")


def moment(text: str) -> datetime:
    """A moment: a date (00:00 UTC), a date and time (in UTC unless it says another zone), or how long ago, such as 2h or 3d."""
    if found := _AGO.fullmatch(text):
        return datetime.now(UTC) - int(found[1]) * _UNITS[found[2]]
    try:
        given = datetime.fromisoformat(text)
        return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except (ValueError, OverflowError):
        ways = "a date (2026-11-20), a date and time (2026-11-20T10:00), or how long ago (30m, 2h, 3d, 1w)"
        raise ArgumentTypeError(f"{text!r} is no moment: give {ways}") from None


def record_id(text: str) -> str:
    """The id of a record of Salesforce's in 18 characters, or of an object of Stripe's as it is."""
    if _STRIPE_ID.fullmatch(text):
        return text
    try:
        return normalise_id(text)
    except ValueError as problem:
        raise ArgumentTypeError(f"{text!r} {problem}; an order's number is not its id") from None
