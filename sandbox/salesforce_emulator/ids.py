"""Record ids: three characters of key prefix, twelve of number, and in the long form a checksum of three.

Salesforce: the 15-character form is case-sensitive; the 18-character form is not. The API answers the long form and takes both.
"""

from __future__ import annotations

import string

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHECKS = string.ascii_uppercase + "012345"
SHORT, LONG = 15, 18


def checksum(short: str) -> str:
    """The three characters that make 18 of 15: bit j of each is set where character j of its five is a capital."""
    chunks = (short[0:5], short[5:10], short[10:15])
    return "".join(_CHECKS[sum(1 << place for place, char in enumerate(chunk) if char.isupper())] for chunk in chunks)


def to_18(value: str) -> str | None:
    """The long form of an id of either length; None where it is no id."""
    if not (value.isascii() and value.isalnum()):
        return None
    if len(value) == SHORT:
        return value + checksum(value)
    return value if len(value) == LONG and value[SHORT:] == checksum(value[:SHORT]) else None


def make_id(prefix: str, number: int) -> str:
    """The long id of the `number`-th record of an object."""
    digits = ""
    while number:
        number, place = divmod(number, len(_DIGITS))
        digits = _DIGITS[place] + digits
    short = f"{prefix}Ah0{digits:0>9}"
    return short + checksum(short)
