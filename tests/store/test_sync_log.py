"""What each run did, one item per run, whatever it says."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from boto3.dynamodb.types import TypeDeserializer
from botocore.stub import Stubber

from orderphase.domain.findings import Finding, finding
from orderphase.errors import ConfigurationError, OrderphaseError, TransientError
from orderphase.store.sync_log import Asked, Entry, SyncLog

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

STARTED = datetime(2026, 11, 20, 10, 0, 0, 250_000, tzinfo=UTC)
ENTRY = Entry(
    contract_id="800A",
    order_id="801A",
    event_id="event-1",
    run_id="run-1",
    flow="order_activation",
    outcome="synced",
    message="Schedule sub_sched_1",
    started_at=STARTED,
    finished_at=STARTED + timedelta(seconds=2),
)


def items(dynamodb: DynamoDBClient) -> list[dict[str, Any]]:
    read = TypeDeserializer().deserialize
    found = dynamodb.query(
        TableName="sync_log",
        KeyConditionExpression="contract_id = :id",
        ExpressionAttributeValues={":id": {"S": "800A"}},
    )["Items"]
    return [{name: read(value) for name, value in item.items()} for item in found]


def added(dynamodb: DynamoDBClient, entry: Entry) -> dict[str, Any]:
    SyncLog(dynamodb, "sync_log").add(entry)
    (item,) = items(dynamodb)
    return item


def test_as_little_as_there_is(dynamodb: DynamoDBClient) -> None:
    assert added(dynamodb, ENTRY) == {
        "contract_id": "800A",
        "entry_id": "2026-11-20T10:00:00.250Z#run-1",
        "order_id": "801A",
        "day": "2026-11-20",
        "event_id": "event-1",
        "flow": "order_activation",
        "outcome": "synced",
        "message": "Schedule sub_sched_1",
        "started_at": "2026-11-20T10:00:00.250Z",
        "finished_at": "2026-11-20T10:00:02.250Z",
        "findings": [],
        "calls": {"salesforce": 0, "stripe": 0},
    }


def test_everything(dynamodb: DynamoDBClient) -> None:
    told = finding("phase_gap", "Nothing is billed.", lines=["802A"], orders=["801A"], start=STARTED)
    item = added(
        dynamodb,
        replace(
            ENTRY,
            findings=[told],
            error="data",
            error_code="resource_missing",
            schedule_id="sub_sched_1",
            subscription_id="sub_1",
            salesforce_calls=3,
            stripe_calls=7,
            correlation_id="request-1",
            order_number="00000101",
        ),
    )
    assert (item["correlation_id"], item["order_number"]) == ("request-1", "00000101")
    assert item["findings"] == [told.as_dict()]
    assert (item["error"], item["error_code"]) == ("data", "resource_missing")
    assert (item["schedule_id"], item["subscription_id"]) == ("sub_sched_1", "sub_1")
    assert item["calls"] == {"salesforce": 3, "stripe": 7}


def test_entries_stand_in_the_order_of_time(dynamodb: DynamoDBClient) -> None:
    log = SyncLog(dynamodb, "sync_log")
    for number, seconds in enumerate((60, 0, 3600)):
        log.add(replace(ENTRY, run_id=f"run-{number}", started_at=STARTED + timedelta(seconds=seconds)))
    assert [item["entry_id"].partition("#")[2] for item in items(dynamodb)] == ["run-1", "run-0", "run-2"]


def many(count: int, message: str) -> list[Finding]:
    return [
        finding(
            "phase_gap", f"{message} {number}", lines=[f"802{number:012d}AAA"], orders=["801000000000001AAA"], start=STARTED
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("message", ["Nothing is billed.", "Für Łukasz wird nichts berechnet. 请更正。 🧾" * 20])
def test_five_thousand_findings_and_a_long_message_fit_into_an_item(dynamodb: DynamoDBClient, message: str) -> None:
    findings = many(5000, message)
    item = added(dynamodb, replace(ENTRY, message="🧾" * 1_000_000, findings=findings))
    assert len(item["findings"]) + item["findings_left_out"] == 5000
    assert item["findings"] == [one.as_dict() for one in findings[: len(item["findings"])]]
    assert len(item["findings"]) > 50
    assert item["message"] == "🧾" * 32_000
    assert len(json.dumps(item, ensure_ascii=False, default=str).encode()) < 400 * 1024


def test_as_many_findings_as_fit_are_all_there(dynamodb: DynamoDBClient) -> None:
    item = added(dynamodb, replace(ENTRY, findings=many(500, "Nothing is billed.")))
    assert len(item["findings"]) == 500
    assert "findings_left_out" not in item


def test_reading_is_classified(dynamodb: DynamoDBClient) -> None:
    day = Asked(STARTED, STARTED + timedelta(hours=1))
    SyncLog(dynamodb, "sync_log").add(ENTRY)
    for operation, error in (("query", ConfigurationError), ("batch_get_item", TransientError)):
        with Stubber(dynamodb) as stub:
            if operation == "batch_get_item":
                key = {"contract_id": {"S": "800A"}, "entry_id": {"S": "x"}}
                stub.add_response("query", {"Items": [key]})
            code = "AccessDeniedException" if error is ConfigurationError else "ThrottlingException"
            stub.add_client_error(operation, service_error_code=code, http_status_code=400)
            with pytest.raises(error, match=r"the sync log: "):
                SyncLog(dynamodb, "sync_log").entries(day, limit=1, whole=True)


@pytest.mark.parametrize(
    ("code", "error"), [("ThrottlingException", TransientError), ("ValidationException", ConfigurationError)]
)
def test_failures_are_classified(dynamodb: DynamoDBClient, code: str, error: type[OrderphaseError]) -> None:
    with Stubber(dynamodb) as stub:
        stub.add_client_error("put_item", service_error_code=code, http_status_code=400)
        with pytest.raises(error, match=r"the sync log: ") as failure:
            SyncLog(dynamodb, "sync_log").add(ENTRY)
    assert failure.value.code == code
