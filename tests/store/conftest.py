"""DynamoDB in process, with the tables as the template makes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from tests.flows.world import TABLES

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture
def dynamodb() -> Iterator[DynamoDBClient]:
    """An empty DynamoDB with both tables."""
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1", aws_access_key_id="-", aws_secret_access_key="-")
        for name, key in TABLES.items():
            client.create_table(
                TableName=name,
                KeySchema=[
                    {"AttributeName": attribute, "KeyType": "HASH" if kind == "HASH" else "RANGE"} for attribute, kind in key
                ],
                AttributeDefinitions=[{"AttributeName": attribute, "AttributeType": "S"} for attribute, _ in key],
                BillingMode="PAY_PER_REQUEST",
            )
        yield client
