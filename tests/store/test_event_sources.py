"""The event source mappings of the flows' queues, switched off and on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import UUID

import boto3
import pytest
from botocore.stub import Stubber

from orderphase.errors import ConfigurationError, TransientError
from orderphase.store.event_sources import EventSources

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

A, B, C = (str(UUID(int=number)) for number in range(3))
QUEUES = (
    "https://sqs.eu-central-1.amazonaws.com/123456789012/one.fifo",
    "https://sqs.eu-central-1.amazonaws.com/123456789012/two",
)


@pytest.fixture
def client() -> LambdaClient:
    made: LambdaClient = boto3.client("lambda", region_name="eu-central-1", aws_access_key_id="-", aws_secret_access_key="-")
    return made


@pytest.fixture
def aws(client: LambdaClient) -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def has(aws: Stubber, name: str, *mappings: tuple[str, str]) -> None:
    """What AWS says of a queue's mappings: id and state of each."""
    answer = {"EventSourceMappings": [{"UUID": uuid, "State": state} for uuid, state in mappings]}
    aws.add_response("list_event_source_mappings", answer, {"EventSourceArn": f"arn:aws:sqs:eu-central-1:123456789012:{name}"})


def is_switched(aws: Stubber, uuid: str, *, on: bool) -> None:
    aws.add_response("update_event_source_mapping", {"UUID": uuid}, {"UUID": uuid, "Enabled": on})


@pytest.mark.parametrize("state", ["Enabled", "Enabling", "Creating", "Updating"])
def test_what_is_on_is_switched_off(client: LambdaClient, aws: Stubber, state: str) -> None:
    has(aws, "one.fifo", (A, state))
    is_switched(aws, A, on=False)
    has(aws, "two", (B, "Disabled"))
    assert EventSources(client, QUEUES).switch(on=False) == 1


def test_what_is_off_is_switched_on(client: LambdaClient, aws: Stubber) -> None:
    has(aws, "one.fifo", (A, "Enabled"), (C, "Disabling"))
    is_switched(aws, C, on=True)
    has(aws, "two", (B, "Disabled"))
    is_switched(aws, B, on=True)
    assert EventSources(client, QUEUES).switch(on=True) == 2


@pytest.mark.parametrize(
    ("code", "error"), [("TooManyRequestsException", TransientError), ("AccessDeniedException", ConfigurationError)]
)
def test_what_aws_refuses_is_classified(client: LambdaClient, aws: Stubber, code: str, error: type[Exception]) -> None:
    aws.add_client_error("list_event_source_mappings", code, http_status_code=400)
    with pytest.raises(error, match="event source mappings"):
        EventSources(client, QUEUES).switch(on=False)
