"""How far scheduled work has come, and whether a vendor is down: a DynamoDB table of small documents, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orderphase.aws import classified_errors

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

POLL = "poll"
"""The document of the poll. `since`: the SystemModstamp from which on it looks next, in ISO 8601."""

_SUSPICION = "suspicion"


@dataclass(frozen=True, slots=True)
class Noted:
    """A document as it was read. `version` is 0 where there is none yet."""

    document: dict[str, Any]
    version: int


class Progress:
    """The table. Every method makes one request and raises classified errors."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def read(self, name: str) -> Noted:
        """The document of this name; empty where there is none."""
        with classified_errors("the table of progress"):
            item = self._client.get_item(TableName=self._table, Key={"id": {"S": name}}, ConsistentRead=True).get("Item")
        if item is None:
            return Noted({}, 0)
        return Noted(json.loads(item["document"]["S"]), int(item["version"]["N"]))

    def write(self, name: str, document: Mapping[str, Any], version: int) -> None:
        """Replace the document that was read with this version. Raises ConflictError where somebody else was faster."""
        with classified_errors("the table of progress"):
            self._client.put_item(
                TableName=self._table,
                Item={"id": {"S": name}, "document": {"S": json.dumps(document)}, "version": {"N": str(version + 1)}},
                ConditionExpression="attribute_not_exists(id) OR version = :version",
                ExpressionAttributeValues={":version": {"N": str(version)}},
            )

    def suspect(self, now: datetime) -> None:
        """Note that a vendor may be down. Every run that fails may do so: the last one wins."""
        with classified_errors("the table of progress"):
            self._client.update_item(
                TableName=self._table,
                Key={"id": {"S": _SUSPICION}},
                UpdateExpression="SET suspected_at = :now",
                ExpressionAttributeValues={":now": {"N": f"{now.timestamp():.3f}"}},
            )

    def suspected_at(self) -> datetime | None:
        """When a run last suspected that; None where none ever did."""
        with classified_errors("the table of progress"):
            item = self._client.get_item(TableName=self._table, Key={"id": {"S": _SUSPICION}}, ConsistentRead=True).get("Item")
        return datetime.fromtimestamp(float(item["suspected_at"]["N"]), UTC) if item else None


def rewind_poll(progress: Progress, to: datetime) -> None:
    """Have the poll look from `to` on, if it is further already, or has never run: two requests, else one.

    Raises ConflictError where the poll was faster.
    """
    noted = progress.read(POLL)
    since = noted.document.get("since")
    if since is None or datetime.fromisoformat(since) > to:
        progress.write(POLL, {**noted.document, "since": to.isoformat()}, noted.version)
