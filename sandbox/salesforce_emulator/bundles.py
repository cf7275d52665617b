"""What the calls that bundle others have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.salesforce_emulator.errors import SalesforceError
from sandbox.salesforce_emulator.rest import Call

MOST_SUBREQUESTS = 25
# HTTP: from here on a status is an error.
ERRORS_FROM = 400


class Undo(Exception):  # noqa: N818 (no error)
    """Carries a finished answer out of the transaction that must not commit."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer


def body_of(call: Call, known: set[str]) -> dict[str, Any]:
    """The body as an object. JSON_PARSER_ERROR for a key that is not known."""
    given = call.fields()
    if unknown := given.keys() - known:
        raise SalesforceError("JSON_PARSER_ERROR", f"Unrecognized field: {', '.join(sorted(unknown))}", fields=None)
    return given


def flag_of(given: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    """A member that is true or false. JSON_PARSER_ERROR for anything else."""
    if not isinstance(value := given.get(name, default), bool):
        raise SalesforceError("JSON_PARSER_ERROR", f"{name} must be true or false", fields=None)
    return value
