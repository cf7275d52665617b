"""`orderphase replay`: what failed and waits in the dead-letter queues of a stack, and another run for it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from orderphase.aws import classified_errors
from orderphase.cli.connection import DEAD_LETTERS, QUEUE, Stack, describe_stack, patience
from orderphase.cli.streams import OK, REFUSED, write_json, write_text
from orderphase.domain.calendar import iso
from orderphase.errors import ConfigurationError, DataError, OrderphaseError
from orderphase.ids import normalise_id
from orderphase.store.dead_letters import DeadLetters, Letter, Queue
from orderphase.store.sync_log import Ending, SyncLog
from orderphase.timeline.chart import printable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

_MOST = 1_000
"""So many letters of a flow one command takes, all before the first is replayed."""

_HOLD_SECONDS = 600
"""So long they are out of sight at most, also where the command is killed; more than it needs for all of them."""

_BATCH = 10

UNREADABLE = "it is not an event; look at it in the queue, and delete it there"


@dataclass(frozen=True, slots=True)
class Found:
    """A letter, how its last run has ended where that is known, and why it stays where it is not replayed."""

    letter: Letter
    last: Ending | None
    stays: str | None = None


def run(options: argparse.Namespace) -> int:
    """Run the command; answers its exit code."""
    stack = describe_stack(os.environ, Path.cwd(), stack=options.stack)
    queues = _queues(stack, options.flow)
    with classified_errors(f"stack {stack.source}"):
        sqs: SQSClient = boto3.client("sqs", config=patience(attempts=2))
        dynamodb: DynamoDBClient = boto3.client("dynamodb", config=patience(attempts=2))
    letters = DeadLetters(sqs, queues, wait=1, hold=_HOLD_SECONDS)
    log = SyncLog(dynamodb, stack.output("SyncLogTableName"))
    record = _record(options.record)
    found: list[Found] = []
    behind: dict[str, int] = {}
    try:
        for flow in letters.flows:
            behind[flow] = _take(letters, flow, log, record, found, dry_run=options.dry_run)
    finally:
        # What was replayed is told also where something goes wrong later on.
        if found or len(behind) == len(queues):
            if options.json:
                write_json(_as_dict(found, behind, stack, dry_run=options.dry_run))
            else:
                write_text("\n".join(map(printable, _told(found, behind, stack, dry_run=options.dry_run))))
    return REFUSED if any(one.stays for one in found) or any(behind.values()) else OK


def _queues(stack: Stack, flow: str | None) -> dict[str, Queue]:
    """The queues of the stack's flows, or of the one that is asked for. Raises ConfigurationError for one that it has not."""
    flows = stack.queues
    if flow is not None and flow not in flows:
        known = ", ".join(flows) or "none: it is not one of Orderphase's"
        raise ConfigurationError(f"{stack.source} has no queue of a flow {flow!r}; it has: {known}")
    chosen = [flow] if flow else flows
    return {name: Queue(stack.output(name + QUEUE), stack.output(name + DEAD_LETTERS)) for name in chosen}


def _record(given: str | None) -> str | None:
    """The id as events have it; one that is not Salesforce's is Stripe's."""
    try:
        return None if given is None else normalise_id(given)
    except ValueError:
        return given


def _take(letters: DeadLetters, flow: str, log: SyncLog, record: str | None, found: list[Found], *, dry_run: bool) -> int:
    """Find what is there of a flow, and replay it unless it is a dry run; answers about how many cannot be seen behind it.

    All are received before the first is replayed: what fails again at once is back soon, and must not be met twice.
    """
    held = letters.receive(flow, _MOST)
    try:
        # SQS: the count may be a minute old; where fewer came than fit into a request, there are no others.
        behind = max(0, letters.count(flow) - len(held)) if len(held) >= _BATCH else 0
        for letter in held:
            if record is None or record in (*letter.records, letter.group, letter.contract_id):
                # One by one: what was replayed counts where a later one fails.
                found.append(_found(letters, letter, log, dry_run=dry_run))  # noqa: PERF401
    finally:
        gone = {one.letter.receipt for one in found if not (one.stays or dry_run)}
        for letter in held:
            if letter.receipt not in gone:
                letters.release(letter)
    return behind


def _found(letters: DeadLetters, letter: Letter, log: SyncLog, *, dry_run: bool) -> Found:
    if not letter.readable:
        return Found(letter, None, UNREADABLE)
    last = log.last(letter.records[0], letter.event_id) if letter.records else None
    if not dry_run:
        try:
            letters.replay(letter)
        except OrderphaseError as problem:
            return Found(letter, last, problem.message)
    return Found(letter, last)


def _as_dict(found: Sequence[Found], behind: Mapping[str, int], stack: Stack, *, dry_run: bool) -> dict[str, Any]:
    return {
        "source": stack.source,
        "dry_run": dry_run,
        "letters": [
            {
                "flow": one.letter.flow,
                "event": one.letter.event_id or None,
                "type": one.letter.type or None,
                "records": one.letter.records,
                "occurred_at": iso(one.letter.occurred_at),
                "replays": one.letter.replays,
                "message": one.letter.message_id,
                "error": one.last.error if one.last else one.letter.error,
                "error_code": one.last.error_code if one.last else None,
                "failed_at": iso(one.last.finished_at) if one.last else None,
                "why": _why(one),
                "replayed": not (dry_run or one.stays),
                "stays": one.stays,
            }
            for one in found
        ],
        "behind": behind,
    }


def _told(found: Sequence[Found], behind: Mapping[str, int], stack: Stack, *, dry_run: bool) -> Iterator[str]:
    yield f"Dead letters of {stack.source}{', nothing replayed' if dry_run else ''}"
    for flow, letters in groupby(found, key=lambda one: one.letter.flow):
        yield from ("", flow)
        if stack.parameters.get(flow) == "off":
            yield "  The flow is off: what is replayed waits in its queue until it is on."
        for one in letters:
            yield from _of_letter(one, dry_run=dry_run)
    for flow, number in behind.items():
        if number:
            yield from (
                "",
                f"{flow}: about {number} more wait behind these, which have to be replayed first. Then run it again.",
            )
    stay = sum(one.stays is not None for one in found)
    ready = "can be replayed" if dry_run else "replayed"
    yield from ("", f"{len(found)} found, {len(found) - stay} {ready}, {stay} {'stays' if stay == 1 else 'stay'}.")


def _of_letter(one: Found, *, dry_run: bool) -> Iterator[str]:
    letter = one.letter
    if not letter.readable:
        yield f"  message {letter.message_id}"
    else:
        yield f"  {letter.type} {' '.join(letter.records)} (event {letter.event_id})"
        if letter.occurred_at:
            yield f"    sent {letter.occurred_at:%Y-%m-%d %H:%M:%S} UTC, replayed {_times(letter.replays)} before"
        yield f"    {_why(one)}"
    if one.stays:
        yield f"    stays: {one.stays}"
    elif not dry_run:
        yield "    replayed"


def _times(count: int) -> str:
    return {0: "never", 1: "once"}.get(count, f"{count} times")


def _why(one: Found) -> str | None:
    """How the last run went."""
    last, letter = one.last, one.letter
    if not letter.readable:
        return None
    if last is None:
        # Of what it cannot read, a flow makes no run.
        return "its flow cannot read it" if letter.error == DataError.kind else "the sync log has no run of it"
    code = f" ({last.error_code})" if last.error_code else ""
    kind = f"{last.outcome}, {last.error}{code}" if last.error else last.outcome
    return f"{last.finished_at:%Y-%m-%d %H:%M:%S} UTC {kind}: {last.message}"
