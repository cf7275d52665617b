"""The errors that a fault can name, as Salesforce words them."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.salesforce_emulator.errors import SalesforceError
from sandbox.salesforce_emulator.oauth import OAuthError
from sandbox.serving import Response

API_ERRORS: Mapping[str, SalesforceError] = {
    error.error_code: error
    for error in (
        SalesforceError("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record"),
        SalesforceError("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403, fields=None),
        SalesforceError("INVALID_SESSION_ID", "Session expired or invalid", status=401, fields=None),
        SalesforceError("FIELD_CUSTOM_VALIDATION_EXCEPTION", "A validation rule of this org refuses the record."),
        SalesforceError("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "A trigger of this org refuses the record."),
        SalesforceError("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", status=403),
        SalesforceError("API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization.", status=403, fields=None),
        SalesforceError("QUERY_TIMEOUT", "Your query request was running for too long.", fields=None),
        SalesforceError("SERVER_UNAVAILABLE", "Server is busy. Please try again.", status=503, fields=None),
    )
}

_HTML = {"Content-Type": "text/html;charset=UTF-8"}
_UNKNOWN = SalesforceError("UNKNOWN_EXCEPTION", "An unexpected error occurred.", status=500, fields=None)


def responses() -> dict[str, Response]:
    """The answers by the name of the fault. `502` and `503` have an HTML body, as a proxy in front of the API gives it."""
    answers = {name: Response(error.status, error.body()) for name, error in API_ERRORS.items()}
    answers["500"] = Response(500, _UNKNOWN.body())
    for status, words in ((502, "Bad Gateway"), (503, "Service Unavailable")):
        page = f"<html><head><title>{words}</title></head><body><h1>{status} {words}</h1></body></html>"
        answers[str(status)] = Response(status, page.encode(), dict(_HTML))
    answers["invalid_grant"] = OAuthError("invalid_grant", "authentication failure").response()
    answers["inactive_user"] = OAuthError("inactive_user", "inactive user").response()
    return answers
