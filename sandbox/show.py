"""What is in a running local stack: its queues, its tables, its functions' logs."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import boto3
from boto3.dynamodb.types import Binary, TypeDeserializer

from sandbox.build import QUEUES
from sandbox.processes import StackError
from sandbox.stack import NOTE, STACK_NAME, STATE


def show(what: str, name: str = "local") -> Iterable[str]:
    """Lines about `what` (one of `VIEWS`) in the running stack called `name`. Raises `StackError` if there is none.

    The sync log is not among them: that has a command of its own, `orderphase sync-log`.
    """
    note = STATE / name / NOTE
    if not note.exists():
        raise StackError(f"no local stack named {name} is running; start one with `make local`")
    return VIEWS[what](_Running(note))


class _Running:
    def __init__(self, note: Path) -> None:
        known = json.loads(note.read_text())
        self.outputs: dict[str, str] = known["outputs"]
        self._aws: dict[str, str] = known["aws"]

    def client(self, service: str) -> Any:
        session: Any = boto3.Session(
            aws_access_key_id=self._aws["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self._aws["AWS_SECRET_ACCESS_KEY"],
            region_name=self._aws["AWS_REGION"],
        )
        return session.client(service, endpoint_url=self._aws["AWS_ENDPOINT_URL"], verify=self._aws["AWS_CA_BUNDLE"])


def _queues(stack: _Running) -> Iterable[str]:
    for output in (f"{name}{kind}Url" for name in QUEUES for kind in ("Queue", "DeadLetterQueue")):
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = stack.client("sqs").get_queue_attributes(QueueUrl=stack.outputs[output], AttributeNames=counts)["Attributes"]
        yield f"{output.removesuffix('Url')}: {answer[counts[0]]} waiting, {answer[counts[1]]} in flight"


def _items(stack: _Running, output: str) -> Iterable[dict[str, Any]]:
    deserialize = TypeDeserializer().deserialize
    for page in stack.client("dynamodb").get_paginator("scan").paginate(TableName=stack.outputs[output]):
        for item in page["Items"]:
            yield {name: deserialize(value) for name, value in item.items()}


def _table(output: str) -> Callable[[_Running], Iterable[str]]:
    """All of a table."""

    def lines(stack: _Running) -> Iterable[str]:
        for item in _items(stack, output):
            yield json.dumps(item, default=as_json, indent=2)

    return lines


def as_json(value: Any) -> Any:
    """What JSON has no word for; the ledger's packed phases and prices are unpacked."""
    if isinstance(value, Binary):
        return json.loads(zlib.decompress(cast("Any", value).value))
    return sorted(value) if isinstance(value, set) else str(value)


def _logs(stack: _Running) -> Iterable[str]:
    client = stack.client("logs")
    for group in client.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{STACK_NAME}-")["logGroups"]:
        for page in client.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
            yield from (event["message"] for event in page["events"])


VIEWS: dict[str, Callable[[_Running], Iterable[str]]] = {
    "queues": _queues,
    "contracts": _table("ContractTableName"),
    "catalogue": _table("CatalogueTableName"),
    "deliveries": _table("IdempotencyTableName"),
    "progress": _table("ProgressTableName"),
    "logs": _logs,
}
