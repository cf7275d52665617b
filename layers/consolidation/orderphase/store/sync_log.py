"""The sync log: what each run did and why, one entry per run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import batched, islice
from typing import TYPE_CHECKING, Any, Literal

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from orderphase.aws import classified_errors
from orderphase.domain.findings import Finding

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_FINDINGS_SIZE = 250_000
_MESSAGE_LENGTH = 32_000
"""DynamoDB: an item holds 400 KB, that is the findings and a message of four bytes a character, with room for the rest."""

ORDER_INDEX = "by_order"
"""The index of the entries of an order, or of what else a run was about, in the order of time."""

DAY_INDEX = "by_day"
"""The index of the entries of a day in UTC, in the order of time. It has what a table shows: no findings, calls and ids.

DynamoDB: a partition of an index takes 1,000 writes a second, and a table whose index does not keep up is throttled. One day is
one partition, so a deployment logs 1,000 runs a second at most: far more than two vendors' APIs let it make.
"""

_KEY = ("contract_id", "entry_id")
_BATCH = 100
"""DynamoDB: a request gets a hundred items."""

_ENDING = ("flow", "outcome", "message", "finished_at", "error", "error_code")

Outcome = Literal["synced", "unchanged", "failed", "skipped", "interrupted"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One run.

    outcome: `synced`, Stripe has the schedule and Salesforce knows; `unchanged`, there was nothing to do; `failed`, the data
    must change first; `skipped`, the event did not apply any more; `interrupted`, an error that is tried again.
    error: the class of the error, where there was one. calls: requests made, by system. order_number: of the
    order, where it was read. correlation_id: as in `orderphase.correlation`.
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
    correlation_id: str | None = None
    order_number: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """Which entries are asked for: those of a contract or of an order (or another record), or else of all; None = any.

    since, until: when a run began, from `since` on and before `until`. outcome, flow: as in `Entry`.
    """

    since: datetime
    until: datetime
    contract_id: str | None = None
    order_id: str | None = None
    outcome: Outcome | None = None
    flow: str | None = None


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
    """The DynamoDB table of the sync log: entries of a contract in the order of time, by order and by day through indexes."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table
        self._serialize = TypeSerializer().serialize
        self._deserialize = TypeDeserializer().deserialize

    def add(self, entry: Entry) -> None:
        """Add an entry: one request. Raises classified errors."""
        item: dict[str, Any] = {
            "contract_id": entry.contract_id,
            "entry_id": f"{_instant(entry.started_at)}#{entry.run_id}",
            "order_id": entry.order_id,
            "order_number": entry.order_number,
            "day": _day(entry.started_at),
            "correlation_id": entry.correlation_id,
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

    def entries(self, asked: Asked, *, limit: int, whole: bool) -> list[dict[str, Any]]:
        """The latest entries that are asked for, newest first, `limit` at most, each as the table has it; numbers are ints.

        whole: with all findings. Without them, what is asked for by time alone is read from the index of the day.
        One request for each day, or for each page of a contract's or an order's entries; a hundred whole entries of days take
        one more. Raises classified errors.
        """
        found = list(islice(self._found(asked), limit))
        if whole and asked.contract_id is None and asked.order_id is None:
            full = {self._key(item): item for keys in batched(found, _BATCH, strict=False) for item in self._whole(keys)}
            # One that is not there any more was deleted since.
            found = [full.get(self._key(item), item) for item in found]
        return [{name: _plain(self._deserialize(value)) for name, value in item.items()} for item in found]

    def _found(self, asked: Asked) -> Iterator[Mapping[str, Any]]:
        since, until = _instant(asked.since), _instant(asked.until)
        if asked.contract_id is not None:
            filters = {"order_id": asked.order_id, "outcome": asked.outcome, "flow": asked.flow}
            yield from self._within(None, "contract_id", asked.contract_id, since, until, filters)
            return
        filters = {"outcome": asked.outcome, "flow": asked.flow}
        if asked.order_id is not None:
            yield from self._within(ORDER_INDEX, "order_id", asked.order_id, since, until, filters)
            return
        day = asked.until.astimezone(UTC)
        while _day(day) >= _day(asked.since):
            yield from self._within(DAY_INDEX, "day", _day(day), since, until, filters)
            day -= timedelta(days=1)

    def _within(
        self, index: str | None, key: str, value: str, since: str, until: str, filters: Mapping[str, str | None]
    ) -> Iterator[Mapping[str, Any]]:
        """The entries of a key that began within a time, newest first.

        An entry's id begins with its time and goes on, so that it is greater than its time alone: `until` itself is left out.
        """
        said = {name: wanted for name, wanted in filters.items() if wanted is not None}
        names = {f"#{name}": name for name in (key, "entry_id", *said)}
        values = {":key": value, ":since": since, ":until": until} | {f":{name}": wanted for name, wanted in said.items()}
        request: dict[str, Any] = {
            "KeyConditionExpression": f"#{key} = :key AND #entry_id BETWEEN :since AND :until",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {name: {"S": text} for name, text in values.items()},
        }
        if index is not None:
            request["IndexName"] = index
        if said:
            request["FilterExpression"] = " AND ".join(f"#{name} = :{name}" for name in said)
        return self._query(request)

    def _query(self, request: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        """What a query finds, newest first, page by page."""
        start: dict[str, Any] = {}
        while True:
            with classified_errors("the sync log"):
                page = self._client.query(TableName=self._table, ScanIndexForward=False, **request, **start)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _whole(self, items: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        keys: Any = [{name: item[name] for name in _KEY} for item in items]
        while keys:
            with classified_errors("the sync log"):
                answer = self._client.batch_get_item(RequestItems={self._table: {"Keys": keys}})
            yield from answer["Responses"].get(self._table, [])
            # DynamoDB: what is more than 16 MB is left for the next request.
            left: Any = answer.get("UnprocessedKeys", {})
            keys = left.get(self._table, {}).get("Keys")

    @staticmethod
    def _key(item: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(item[name]["S"] for name in _KEY)

    def last(self, record_id: str, event_id: str) -> Ending | None:
        """How the last run of an event about a record has ended; None where none was logged, as by a function that was killed.

        An interrupted run is logged under the record of its event. One request for each page of the record's entries, newest
        first. Raises classified errors.
        """
        request = {
            "IndexName": ORDER_INDEX,
            "KeyConditionExpression": "order_id = :record",
            "FilterExpression": "event_id = :event",
            # An entry may hold many findings, and some of these words are DynamoDB's own.
            "ProjectionExpression": ", ".join(f"#{name}" for name in _ENDING),
            "ExpressionAttributeNames": {f"#{name}": name for name in _ENDING},
            "ExpressionAttributeValues": {":record": {"S": record_id}, ":event": {"S": event_id}},
        }
        for item in self._query(request):
            values: dict[str, Any] = {name: value["S"] for name, value in item.items()}
            return Ending(**values | {"finished_at": datetime.fromisoformat(values["finished_at"])})
        return None


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


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d}"


def _plain(value: Any) -> Any:
    """A value as JSON has it. Every number of an entry is a count."""
    match value:
        case Decimal():
            return int(value)
        case dict():
            return {name: _plain(one) for name, one in value.items()}
        case list():
            return [_plain(one) for one in value]
    return value
