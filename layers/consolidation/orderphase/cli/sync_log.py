"""`orderphase sync-log`: what the runs of a stack have done and why, as the sync log has it."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from orderphase.aws import classified_errors
from orderphase.cli.connection import Stack, describe_stack, patience
from orderphase.cli.streams import OK, write_json, write_text
from orderphase.domain.calendar import iso
from orderphase.errors import ConfigurationError
from orderphase.store.sync_log import Asked, SyncLog
from orderphase.timeline.chart import printable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LOOKS_BACK = timedelta(days=1)
"""So far, where neither a record nor a time is given."""

_MESSAGE = 72
"""So many characters of a message stand in a line of the table."""

_EVER = datetime(2020, 1, 1, tzinfo=UTC)
"""Before there was any deployment."""


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        return max(len(self.heading), *map(len, self.cells))


def run(options: argparse.Namespace) -> int:
    """Run the command; answers its exit code."""
    stack = describe_stack(os.environ, Path.cwd(), stack=options.stack)
    asked = _asked(options, stack, datetime.now(UTC))
    with classified_errors(f"stack {stack.source}"):
        dynamodb: DynamoDBClient = boto3.client("dynamodb", config=patience(attempts=2))
    log = SyncLog(dynamodb, stack.output("SyncLogTableName"))
    entries = log.entries(asked, limit=options.limit, whole=options.json)
    if options.json:
        write_json({"source": stack.source, "since": iso(asked.since), "until": iso(asked.until), "entries": entries})
    else:
        about_one = (asked.order_id or asked.contract_id) is not None
        write_text("\n".join(map(printable, _told(entries, asked, stack, options.limit, in_full=about_one))))
    return OK


def _asked(options: argparse.Namespace, stack: Stack, now: datetime) -> Asked:
    about_one = (options.order or options.contract) is not None
    latest = now + timedelta(minutes=1)  # the clocks of the functions may be ahead
    until = max(min(options.until or latest, latest), _EVER + LOOKS_BACK)
    since = max(options.since or (_EVER if about_one else until - LOOKS_BACK), _EVER)
    if since >= until:
        raise ConfigurationError(f"--since ({iso(since)}) does not lie before --until, or before now ({iso(until)})")
    return Asked(since, until, options.contract, options.order, options.outcome, _flow(options.flow, stack))


def _flow(given: str | None, stack: Stack) -> str | None:
    """A flow as the log calls it. Raises ConfigurationError for one that the stack has not."""
    if given is None:
        return None
    # The function behind the event buses queues for the flows, and makes no run itself.
    flows = {name: re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower() for name in stack.queues if name != "EventBus"}
    if given in flows.values():
        return given
    if given not in flows:
        known = ", ".join(flows) or "none: it is not one of Orderphase's"
        raise ConfigurationError(f"{stack.source} has no flow {given!r}; it has: {known}")
    return flows[given]


def _told(entries: Sequence[Mapping[str, Any]], asked: Asked, stack: Stack, limit: int, *, in_full: bool) -> Iterator[str]:
    yield f"Sync log of {stack.source}, newest first, times in UTC"
    if not entries:
        since = "" if asked.since == _EVER else f" from {_moment(iso(asked.since))}"
        yield from ("", f"No entries{since} until {_moment(iso(asked.until))}.")
        return
    messages = [" ".join(entry["message"].split()) for entry in entries]
    columns = (
        _Column("Started", [_moment(entry["started_at"]) for entry in entries]),
        _Column("Flow", [entry["flow"] for entry in entries]),
        _Column("Outcome", [_outcome(entry) for entry in entries]),
        _Column("Order", [_order(entry) for entry in entries]),
        _Column("Contract", [entry["contract_id"] for entry in entries]),
    )
    yield ""
    yield _line([column.heading for column in columns], columns, "Message")
    for number, (entry, message) in enumerate(zip(entries, messages, strict=True)):
        short = message if len(message) <= _MESSAGE else f"{message[: _MESSAGE - 1]}…"
        yield _line([column.cells[number] for column in columns], columns, short)
        if in_full:
            yield f"  event {entry['event_id']}, correlation id {entry.get('correlation_id', 'not known')}"
            if short != message:
                yield from (f"  {line}" for line in entry["message"].splitlines())
    more = f"The latest {limit}; more with --limit." if len(entries) == limit else f"{len(entries)} found."
    yield from ("", more)


def _line(cells: Sequence[str], columns: Sequence[_Column], message: str) -> str:
    return "  ".join([*(cell.ljust(column.width) for cell, column in zip(cells, columns, strict=True)), message]).rstrip()


def _moment(text: str | None) -> str:
    return (text or "")[:19].replace("T", " ")


def _outcome(entry: Mapping[str, Any]) -> str:
    code = f" {entry['error_code']}" if "error_code" in entry else ""
    return f"{entry['outcome']} ({entry['error']}{code})" if "error" in entry else entry["outcome"]


def _order(entry: Mapping[str, Any]) -> str:
    """The order, or what else the run was about: its number, where it has one, and its id."""
    return f"{entry['order_number']} {entry['order_id']}" if "order_number" in entry else entry["order_id"]
