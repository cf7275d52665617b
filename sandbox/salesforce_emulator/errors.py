"""The errors of the Salesforce API: raised by the emulator's own code, answered over HTTP in the shapes that the API has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class SalesforceError(Exception):
    """A refusal as the API words it.

    `status` is the HTTP status, `error_code` the API's code, `fields` the fields it names (None = the answer has no such key).
    """

    def __init__(self, error_code: str, message: str, *, status: int = 400, fields: Sequence[str] | None = ()) -> None:
        super().__init__(f"{error_code}: {message}")
        self.status = status
        self.error_code = error_code
        self.message = message
        self.fields = None if fields is None else list(fields)

    def body(self) -> list[dict[str, Any]]:
        """The answer of a single request. Salesforce: always an array."""
        entry: dict[str, Any] = {"message": self.message, "errorCode": self.error_code}
        if self.fields is not None:
            entry["fields"] = self.fields
        return [entry]

    def result(self) -> dict[str, Any]:
        """The failed record's place in the answer of sObject Collections. Salesforce: `statusCode` there, not `errorCode`."""
        error = {"statusCode": self.error_code, "message": self.message, "fields": self.fields or []}
        return {"success": False, "errors": [error]}


def not_modelled(what: str) -> SalesforceError:
    """Salesforce can do this, the emulator cannot: said loudly instead of answered wrongly."""
    return SalesforceError("EMULATOR_NOT_MODELLED", f"{what} is not modelled by this emulator.", status=501, fields=None)


def not_found(message: str = "The requested resource does not exist") -> SalesforceError:
    """404, for rows, objects and routes alike."""
    return SalesforceError("NOT_FOUND", message, status=404, fields=None)


def no_such_column(name: str, object_name: str) -> SalesforceError:
    """A field that the object does not have, in a row request."""
    return SalesforceError("INVALID_FIELD", f"No such column '{name}' on sobject of type {object_name}", fields=None)


def field_integrity(message: str, *fields: str) -> SalesforceError:
    """The code under which Salesforce puts most of its rules about orders and prices."""
    return SalesforceError("FIELD_INTEGRITY_EXCEPTION", message, fields=fields)


def failed_activation(message: str, *fields: str) -> SalesforceError:
    """A status that an order or contract cannot take."""
    return SalesforceError("FAILED_ACTIVATION", message, fields=fields)
