"""Failures of AWS calls in our own terms, for every adapter of an AWS service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoRegionError,
)

from orderphase.errors import ConfigurationError, ConflictError, OrderphaseError, TransientError, UnknownOutcomeError

# What DynamoDB, SQS, Secrets Manager and the key service behind them call throttling. It is answered with 400.
_THROTTLED = frozenset(
    {
        "KmsThrottled",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ResourceInUseException",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


def patience(*, connect: float, read: float) -> Config:
    """How long the client of a function waits for AWS, in seconds for each of two attempts.

    Whether a request has the shape that it should have is checked with the code and not once more for each request; nor is it
    found out for each what the machine is.
    """
    return Config(
        connect_timeout=connect,
        read_timeout=read,
        retries={"mode": "standard", "total_max_attempts": 2},
        parameter_validation=False,
        user_agent="orderphase",
    )


@contextmanager
def classified_errors(what: str) -> Iterator[None]:
    """Turn botocore's exceptions into classified errors. `what` names the resource in the message."""
    try:
        yield
    except (ClientError, BotoCoreError) as problem:
        raise classified(problem, what) from problem


def classified(problem: ClientError | BotoCoreError, what: str) -> OrderphaseError:
    """The failure of a call to AWS. AWS: a 4xx that is not throttling does not go away by trying again."""
    if isinstance(problem, ClientError):
        code = problem.response["Error"]["Code"]
        status = problem.response["ResponseMetadata"]["HTTPStatusCode"]
        if code == "ConditionalCheckFailedException":
            return ConflictError(f"{what}: another run was faster", code=code)
        if status >= 500:  # noqa: PLR2004 (the class of HTTP's server errors)
            return UnknownOutcomeError(f"{what}: AWS failed ({code})", code=code)
        if code in _THROTTLED:
            return TransientError(f"{what}: AWS asks to slow down ({code})", code=code)
        return ConfigurationError(
            f"{what}: AWS refused ({code}); check that it exists and that the function's role allows it", code=code
        )
    if isinstance(problem, EndpointConnectionError | ConnectTimeoutError):
        return TransientError(f"{what}: no connection")
    if isinstance(problem, HTTPClientError):
        return UnknownOutcomeError(f"{what}: the connection broke or timed out")
    if isinstance(problem, NoRegionError):
        return ConfigurationError(f"{what}: no AWS region: set AWS_DEFAULT_REGION")
    return ConfigurationError(f"{what}: the AWS client cannot be used ({type(problem).__name__})")
