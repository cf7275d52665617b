"""Failures of AWS calls, in our own terms."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)

from orderphase.aws import classified, classified_errors
from orderphase.errors import ConfigurationError, ConflictError, OrderphaseError, TransientError, UnknownOutcomeError

URL = "https://dynamodb.eu-west-1.amazonaws.com"


def refusal(code: str, status: int = 400) -> ClientError:
    answer = {"Error": {"Code": code, "Message": "No."}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "UpdateItem")  # type: ignore[arg-type]  # as much of an answer as is looked at


@pytest.mark.parametrize(
    ("problem", "error"),
    [
        (refusal("ConditionalCheckFailedException"), ConflictError),
        (refusal("KmsThrottled"), TransientError),
        (refusal("LimitExceededException"), TransientError),
        (refusal("ProvisionedThroughputExceededException"), TransientError),
        (refusal("RequestLimitExceeded"), TransientError),
        (refusal("RequestThrottled"), TransientError),
        (refusal("ThrottledException"), TransientError),
        (refusal("Throttling"), TransientError),
        (refusal("ThrottlingException"), TransientError),
        (refusal("TooManyRequestsException", 429), TransientError),
        (refusal("AccessDeniedException"), ConfigurationError),
        (refusal("ResourceNotFoundException"), ConfigurationError),
        (refusal("ValidationException"), ConfigurationError),
        (refusal("InternalServerError", 500), UnknownOutcomeError),
        (refusal("ServiceUnavailable", 503), UnknownOutcomeError),
        (EndpointConnectionError(endpoint_url=URL), TransientError),
        (ConnectTimeoutError(endpoint_url=URL), TransientError),
        (ReadTimeoutError(endpoint_url=URL), UnknownOutcomeError),
        (ConnectionClosedError(endpoint_url=URL), UnknownOutcomeError),
        (NoCredentialsError(), ConfigurationError),
        (ParamValidationError(report="x"), ConfigurationError),
    ],
    ids=repr,
)
def test_every_failure_has_its_class(problem: ClientError | BotoCoreError, error: type[OrderphaseError]) -> None:
    found = classified(problem, "the table")
    assert type(found) is error
    assert found.message.startswith("the table: ")
    if isinstance(problem, ClientError):
        assert found.code == problem.response["Error"]["Code"]


def test_within_a_block() -> None:
    problem = refusal("ThrottlingException")
    with pytest.raises(TransientError) as failure, classified_errors("the table"):
        raise problem
    assert failure.value.__cause__ is problem


def test_other_exceptions_are_left_alone() -> None:
    with pytest.raises(KeyError), classified_errors("the table"):
        raise KeyError
