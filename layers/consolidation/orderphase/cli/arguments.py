"""What options of commands may say, for argparse."""

from __future__ import annotations

from argparse import ArgumentTypeError


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
