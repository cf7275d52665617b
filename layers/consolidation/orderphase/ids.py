"""Salesforce record ids, in the one form in which they are compared, stored and used as keys."""

from __future__ import annotations

import re

_ID = re.compile(r"[0-9A-Za-z]{15}(?:[A-Z0-5]{3})?")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_BASE_LENGTH = 15


def normalise_id(value: str) -> str:
    """The 18-character form of a 15- or 18-character id. Raises ValueError with a sentence for the sender.

    Salesforce: the first 15 characters are the id, upper and lower case being different; the last three tell, for each five of
    them, which are capitals, so that an id that went through something blind to case is noticed.
    """
    if not _ID.fullmatch(value):
        raise ValueError("is not a Salesforce id of 15 or 18 characters")
    complete = value[:_BASE_LENGTH] + _checksum(value[:_BASE_LENGTH])
    if len(value) > _BASE_LENGTH and value != complete:
        raise ValueError("is not a Salesforce id: its last three characters do not fit the others (upper and lower case count)")
    return complete


def complete_id(value: str) -> str:
    """The 18-character form of an id that somebody else has written; what is none, as it stands."""
    try:
        return normalise_id(value)
    except ValueError:
        return value


def _checksum(base: str) -> str:
    chunks = (base[start : start + 5] for start in range(0, _BASE_LENGTH, 5))
    return "".join(_ALPHABET[sum(1 << place for place, char in enumerate(chunk) if char.isupper())] for chunk in chunks)
