"""What is done with each error of the two vendors: told to a person, tried again, looked at first, or a matter of the settings.

The codes are those that Salesforce and Stripe document; each is classified by what it means, never by its words.
"""

from __future__ import annotations

import pytest

from orderphase.errors import (
    ConfigurationError,
    ConflictError,
    CredentialsError,
    DataError,
    OrderphaseError,
    TransientError,
    UnknownOutcomeError,
)
from orderphase.salesforce.client import classified
from sandbox.serving import Response, Server
from tests.scripted import Scripted
from tests.stripe.stripe_account import connect

Kind = type[OrderphaseError]

SALESFORCE: dict[tuple[int, str | None], Kind] = {
    # The record, or what the org's own rules say about it.
    (300, None): DataError,
    # Not an answer of Salesforce's, which says a code.
    (400, None): UnknownOutcomeError,
    (404, None): UnknownOutcomeError,
    (400, "REQUIRED_FIELD_MISSING"): DataError,
    (400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"): DataError,
    (400, "STRING_TOO_LONG"): DataError,
    (400, "NUMBER_OUTSIDE_VALID_RANGE"): DataError,
    (400, "DUPLICATES_DETECTED"): DataError,
    (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION"): DataError,
    (400, "FIELD_INTEGRITY_EXCEPTION"): DataError,
    (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"): DataError,
    (400, "FAILED_ACTIVATION"): DataError,
    (400, "ENTITY_IS_LOCKED"): DataError,
    (400, "DELETE_FAILED"): DataError,
    (400, "STANDARD_PRICE_NOT_DEFINED"): DataError,
    (400, "INVALID_CROSS_REFERENCE_KEY"): DataError,
    (404, "NOT_FOUND"): DataError,
    (404, "ENTITY_IS_DELETED"): DataError,
    # Somebody else was faster.
    (400, "DUPLICATE_VALUE"): ConflictError,
    (409, None): ConflictError,
    (412, None): ConflictError,
    # Not applied, and worth another try.
    (400, "UNABLE_TO_LOCK_ROW"): TransientError,
    (400, "QUERY_TIMEOUT"): TransientError,
    (400, "INVALID_QUERY_LOCATOR"): TransientError,
    (403, "REQUEST_LIMIT_EXCEEDED"): TransientError,
    (429, None): TransientError,
    (503, "SERVER_UNAVAILABLE"): TransientError,
    # Nobody knows.
    (400, "UNKNOWN_EXCEPTION"): UnknownOutcomeError,
    (500, "UNKNOWN_EXCEPTION"): UnknownOutcomeError,
    (502, None): UnknownOutcomeError,
    (503, None): UnknownOutcomeError,
    # Permissions, fields, mapping, or a request that we make wrongly.
    (400, "INVALID_FIELD"): ConfigurationError,
    (400, "INVALID_TYPE"): ConfigurationError,
    (400, "MALFORMED_QUERY"): ConfigurationError,
    (400, "INVALID_QUERY_FILTER_OPERATOR"): ConfigurationError,
    (400, "QUERY_TOO_COMPLICATED"): ConfigurationError,
    (400, "MALFORMED_ID"): ConfigurationError,
    (400, "JSON_PARSER_ERROR"): ConfigurationError,
    (400, "INVALID_ID_FIELD"): ConfigurationError,
    (400, "INVALID_FIELD_FOR_INSERT_UPDATE"): ConfigurationError,
    (400, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"): ConfigurationError,
    (401, "INVALID_SESSION_ID"): ConfigurationError,
    (403, "INSUFFICIENT_ACCESS_OR_READONLY"): ConfigurationError,
    (403, "API_DISABLED_FOR_ORG"): ConfigurationError,
    (403, "FORBIDDEN"): ConfigurationError,
    (414, None): ConfigurationError,
    (431, None): ConfigurationError,
}
LASTING = {"QUERY_TIMEOUT", "INVALID_QUERY_LOCATOR", "REQUEST_LIMIT_EXCEEDED"}


@pytest.mark.parametrize(("status", "code"), SALESFORCE, ids=str)
def test_an_error_of_salesforce(status: int, code: str | None) -> None:
    problem = classified(code, "said", status)
    assert type(problem) is SALESFORCE[status, code]
    assert problem.code == code
    if isinstance(problem, TransientError):
        assert problem.at_once == (code not in LASTING)


@pytest.mark.parametrize("code", sorted({code for status, code in SALESFORCE if code and status < 500}))
def test_the_row_of_a_collection_has_no_status_of_its_own(code: str) -> None:
    """A session or an API that is refused is no row's."""
    if code not in ("INVALID_SESSION_ID", "API_DISABLED_FOR_ORG"):
        assert type(classified(code, "said")) is next(kind for (_, known), kind in SALESFORCE.items() if known == code)


STRIPE: dict[tuple[int, str, str | None], Kind] = {
    # What the customer's records say.
    (400, "invalid_request_error", "parameter_invalid_integer"): DataError,
    (400, "invalid_request_error", "parameter_invalid_string_empty"): DataError,
    (400, "invalid_request_error", "resource_missing"): DataError,
    (404, "invalid_request_error", "resource_missing"): DataError,
    (400, "invalid_request_error", "resource_already_exists"): DataError,
    (400, "invalid_request_error", "coupon_expired"): DataError,
    (400, "invalid_request_error", "product_inactive"): DataError,
    (400, "invalid_request_error", "customer_max_subscriptions"): DataError,
    (400, "invalid_request_error", "amount_too_large"): DataError,
    (400, "invalid_request_error", "amount_too_small"): DataError,
    (400, "invalid_request_error", "url_invalid"): DataError,
    (400, "invalid_request_error", "invoice_upcoming_none"): DataError,
    (400, "invalid_request_error", "invalid_canceled_subscription_fields"): DataError,
    (400, "invalid_request_error", "customer_tax_location_invalid"): DataError,
    (400, "invalid_request_error", "stripe_tax_inactive"): DataError,
    (400, "invalid_request_error", None): DataError,
    (402, "card_error", "card_declined"): DataError,
    # Somebody else has used the key.
    (400, "idempotency_error", None): ConflictError,
    # Not executed.
    (429, "invalid_request_error", "rate_limit"): TransientError,
    (429, "invalid_request_error", None): TransientError,
    (429, "invalid_request_error", "lock_timeout"): TransientError,
    (400, "invalid_request_error", "rate_limit"): TransientError,
    (409, "invalid_request_error", "idempotency_key_in_use"): TransientError,
    (409, "invalid_request_error", None): TransientError,
    (424, "api_error", None): TransientError,
    # Nobody knows.
    (500, "api_error", None): UnknownOutcomeError,
    (502, "api_error", None): UnknownOutcomeError,
    (503, "api_error", None): UnknownOutcomeError,
    (504, "api_error", None): UnknownOutcomeError,
    # Keys and permissions, and requests that we make wrongly.
    (401, "invalid_request_error", None): CredentialsError,
    (401, "invalid_request_error", "api_key_expired"): CredentialsError,
    (401, "invalid_request_error", "secret_key_required"): CredentialsError,
    (403, "invalid_request_error", None): ConfigurationError,
    (400, "invalid_request_error", "parameter_unknown"): ConfigurationError,
    (400, "invalid_request_error", "parameter_missing"): ConfigurationError,
    (400, "invalid_request_error", "parameters_exclusive"): ConfigurationError,
    (400, "invalid_request_error", "parameter_invalid_empty"): ConfigurationError,
}


def of_stripe(status: int, kind: str, code: str | None, headers: dict[str, str] | None = None) -> OrderphaseError:
    """What the official client makes of an answer, as the adapter classifies it."""
    body = {"error": {"type": kind, "message": "said", **({"code": code} if code else {})}}
    with Server(Scripted(lambda _: Response(status, body, headers or {}))) as server:
        connection = connect(server.url, [])
        with pytest.raises(OrderphaseError) as caught:
            connection.call(connection.api.customers.create, {"name": "Acme"}, {"idempotency_key": "key"})
    return caught.value


@pytest.mark.parametrize(("status", "kind", "code"), STRIPE, ids=str)
def test_an_error_of_stripe(status: int, kind: str, code: str | None) -> None:
    assert type(of_stripe(status, kind, code)) is STRIPE[status, kind, code]


@pytest.mark.parametrize(("should", "at_once"), [("true", True), ("false", False), (None, True)])
def test_stripe_says_whether_a_moment_may_be_enough(should: str | None, at_once: bool) -> None:
    headers = {"Stripe-Should-Retry": should} if should else {}
    problem = of_stripe(429, "invalid_request_error", "lock_timeout", headers)
    assert isinstance(problem, TransientError)
    assert problem.at_once is at_once


@pytest.mark.parametrize(
    ("status", "error"), [(500, "replayed_failure"), (400, "replayed_refusal")], ids=["a failure", "a refusal"]
)
def test_what_stripe_answers_again_is_told_apart(status: int, error: str) -> None:
    replayed = {"Idempotent-Replayed": "true"}
    kind = "api_error" if status == 500 else "invalid_request_error"
    assert of_stripe(status, kind, None, replayed).code == error


@pytest.mark.parametrize("status", [200, 400, 404, 502])
def test_an_answer_that_is_not_stripes_says_nothing(status: int) -> None:
    """Something between us may have answered, such as a proxy."""
    with Server(Scripted(lambda _: Response(status, b"<html></html>", {"Content-Type": "text/html"}))) as server:
        connection = connect(server.url, [])
        with pytest.raises(OrderphaseError) as caught:
            connection.call(connection.api.customers.create, {"name": "Acme"}, {"idempotency_key": "key"})
    assert type(caught.value) is UnknownOutcomeError
