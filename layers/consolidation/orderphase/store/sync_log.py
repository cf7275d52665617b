"""The sync log: what each run did and why, one entry per run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from boto3.dynamodb.types import TypeSerializer

from orderphase.aws import classified_errors
from orderphase.domain.findings import Finding

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_FINDINGS_SIZE = 250_000
_MESSAGE_LENGTH = 32_000
"""DynamoDB: an item holds 400 KB, that is the findings and a message of four bytes a character, with room for the rest."""

ORDER_INDEX = "by_order"
"""The index of the entries of an order, or of what else a run was about, in the order of time."""

_ENDING = ("flow", "outcome", "message", "finished_at", "error", "error_code")

Outcome = Literal["synced", "unchanged", "failed", "skipped", "interrupted"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One run.

    outcome: `synced`, Stripe has the schedule and Salesforce knows; `unchanged`, there was nothing to do; `failed`, the data
    must change first; `skipped`, the event did not apply any more; `interrupted`, an error that is tried again.
    error: the class of the error, where there was one. calls: requests made, by system.
    """

    contract_id: str
    order_id: str
    event_id: str
    run_id: str
    flow: str
    outcome: Outcome
    message: str
    started_at: datetime
    finished_at: datetime
    findings: Sequence[Finding] = ()
    error: str | None = None
    error_code: str | None = None
    schedule_id: str | None = None
    subscription_id: str | None = None
    salesforce_calls: int = 0
    stripe_calls: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run has ended; as in `Entry`."""

    flow: str
    outcome: str
    message: str
    finished_at: datetime
    error: str | None = None
    error_code: str | None = None


class SyncLog:
    """The DynamoDB table of the sync log: entries of a contract in the order of time, and by order through an index."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table
        self._serialize = TypeSerializer().serialize

    def add(self, entry: Entry) -> None:
        """Add an entry: one request. Raises classified errors."""
        item: dict[str, Any] = {
            "contract_id": entry.contract_id,
            "entry_id": f"{_instant(entry.started_at)}#{entry.run_id}",
            "order_id": entry.order_id,
            "event_id": entry.event_id,
            "flow": entry.flow,
            "outcome": entry.outcome,
            "message": entry.message[:_MESSAGE_LENGTH],
            "started_at": _instant(entry.started_at),
            "finished_at": _instant(entry.finished_at),
            **_bounded(entry.findings),
            "error": entry.error,
            "error_code": entry.error_code,
            "schedule_id": entry.schedule_id,
            "subscription_id": entry.subscription_id,
            "calls": {"salesforce": entry.salesforce_calls, "stripe": entry.stripe_calls},
        }
        with classified_errors("the sync log"):
            self._client.put_item(
                TableName=self._table,
                Item={name: self._serialize(value) for name, value in item.items() if value is not None},
            )

    def last(self, record_id: str, event_id: str) -> Ending | None:
        """How the last run of an event about a record has ended; None where none was logged, as by a function that was killed.

        An interrupted run is logged under the record of its event. One request for each page of the record's entries, newest
        first. Raises classified errors.
        """
        start: dict[str, Any] = {}
        while True:
            with classified_errors("the sync log"):
                page = self._client.query(
                    TableName=self._table,
                    IndexName=ORDER_INDEX,
                    KeyConditionExpression="order_id = :record",
                    FilterExpression="event_id = :event",
                    # An entry may hold many findings, and some of these words are DynamoDB's own.
                    ProjectionExpression=", ".join(f"#{name}" for name in _ENDING),
                    ExpressionAttributeNames={f"#{name}": name for name in _ENDING},
                    ExpressionAttributeValues={":record": {"S": record_id}, ":event": {"S": event_id}},
                    ScanIndexForward=False,
                    **start,
                )
            if page["Items"]:
                values: dict[str, Any] = {name: value["S"] for name, value in page["Items"][0].items()}
                return Ending(**values | {"finished_at": datetime.fromisoformat(values["finished_at"])})
            if "LastEvaluatedKey" not in page:
                return None
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _bounded(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings that fit, and how many do not: a thousand faulty lines may say more than an item holds."""
    kept: list[dict[str, Any]] = []
    room = _FINDINGS_SIZE
    for finding in findings:
        room -= len(json.dumps(finding.as_dict()))
        if room < 0:
            return {"findings": kept, "findings_left_out": len(findings) - len(kept)}
        kept.append(finding.as_dict())
    return {"findings": kept}


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
