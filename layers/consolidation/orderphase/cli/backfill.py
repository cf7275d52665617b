"""`orderphase backfill`: contracts that were sold before there were events, or while nobody heard them, are looked at."""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path
from zoneinfo import ZoneInfo

from orderphase.bootstrap import commands, poll
from orderphase.cli.connection import Stack, connect, describe_stack
from orderphase.cli.streams import OK, write_json, write_text
from orderphase.domain.calendar import iso
from orderphase.errors import ConfigurationError, DataError, OrderphaseError
from orderphase.flows.changed_contracts import ChangedContract, ChangedContracts
from orderphase.flows.preview import Outlook, Previews, Word
from orderphase.salesforce.contracts import NOT_VISIBLE
from orderphase.settings import FlowSettings
from orderphase.timeline.chart import printable

SALESFORCE_CALLS, STRIPE_CALLS = 2, 1
"""What a run of one contract takes: read and write back or read again; one look at the schedule, or its making."""

STRIPE_CALLS_MORE = 2
"""What each customer and each price takes that Stripe does not have yet: a search, and its making."""

_SHOWN = 20


def run(
    options: argparse.Namespace,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Run the command; answers its exit code. now, pause: give the time in UTC, wait for some seconds."""
    stack = describe_stack(os.environ, Path.cwd(), stack=options.stack)
    if not options.dry_run and stack.parameters.get("Reconciliation") != "on":
        raise ConfigurationError(
            f"Reconciliation is off in {stack.source}, so nothing would look at what is queued: set the template's parameter "
            "Reconciliation to on and deploy, or see what there is with --dry-run"
        )
    environment = {
        **connect(os.environ, Path.cwd(), stack=stack.name).environment,
        "ORDERPHASE_PROGRESS_TABLE": stack.output("ProgressTableName"),
        "ORDERPHASE_RECONCILIATION_QUEUE": stack.output("ReconciliationQueueUrl"),
    }
    contracts = poll.poll(environment)
    settings = FlowSettings.from_environment(environment)
    found = contracts.backfill(now().astimezone(ZoneInfo(settings.time_zone)).date())
    chosen = found[: options.limit]
    outlooks: list[Outlook] = []
    if options.dry_run and settings.adopt_existing != "off" and (previews := commands.preview(environment)).adopting:
        outlooks = [*_looked_at(previews, chosen)]
    if not options.json:
        write_text("\n".join(_told(stack, found, chosen, options.rate, dry_run=options.dry_run, outlooks=outlooks)))
    done = 0
    try:
        for done in [] if options.dry_run else _queued(contracts, chosen, options.rate, pause):
            if not options.json:
                write_text(f"  {now():%H:%M:%S} UTC: {done:,} of {len(chosen):,} queued")
    finally:
        # What was queued is told also where something goes wrong later on.
        if options.json:
            write_json(_as_dict(stack, found, chosen, queued=done, dry_run=options.dry_run, outlooks=outlooks))
    return OK


def _looked_at(previews: Previews, chosen: Sequence[ChangedContract]) -> Iterator[Outlook]:
    """What would become of each contract: a request to Salesforce, and one or a few to Stripe."""
    for contract in chosen:
        try:
            yield previews.outlook(contract.order_id)
        except OrderphaseError as problem:
            of_all = isinstance(problem, ConfigurationError) and problem.code != NOT_VISIBLE
            if of_all:
                raise
            word: Word = "refused" if isinstance(problem, DataError) else "not known"
            yield Outlook(contract.contract_id, contract.order_id, word, None, problem.message)


def _queued(
    contracts: ChangedContracts, chosen: Sequence[ChangedContract], rate: int, pause: Callable[[float], None]
) -> Iterator[int]:
    """Queue the contracts, evenly; yields after each minute's how many are."""
    done = 0
    for some in batched(chosen, rate, strict=False):
        for contract in some:
            if done:
                pause(60 / rate)
            contracts.queue(contract)
            done += 1
        yield done


def _told(
    stack: Stack,
    found: Sequence[ChangedContract],
    chosen: Sequence[ChangedContract],
    rate: int,
    *,
    dry_run: bool,
    outlooks: Sequence[Outlook],
) -> Iterator[str]:
    yield f"Backfill of {stack.source}{', nothing queued' if dry_run else ''}"
    yield ""
    which = "contract is" if len(found) == 1 else "contracts are"
    yield f"  {len(found):,} {which} to be billed and changed since a run has looked last"
    if not found:
        return
    number = len(chosen)
    yield f"  {number:,} {'would be' if dry_run else 'to be'} queued, {rate:,} a minute: it takes {_duration(number, rate)}"
    yield (
        f"  about {number * SALESFORCE_CALLS:,} requests to Salesforce, and {number * STRIPE_CALLS:,} to Stripe beside "
        f"{STRIPE_CALLS_MORE} for each customer and each price that it does not have yet"
    )
    if outlooks:
        yield ""
        counts = Counter(one.word for one in outlooks)
        yield f"  What would become of them: {', '.join(f'{number:,} {word}' for word, number in counts.items())}"
        for one in outlooks:
            of = f" {one.schedule_id}" if one.schedule_id else ""
            yield printable(f"  {one.contract_id}  {one.word}{of}{f': {one.text}' if one.text else ''}")
    elif dry_run:
        yield ""
        for contract in chosen[:_SHOWN]:
            yield f"  {contract.contract_id}  changed {contract.changed_at:%Y-%m-%d %H:%M:%S} UTC"
        if number > _SHOWN:
            yield f"  and {number - _SHOWN:,} more; --json lists them all"


def _duration(number: int, rate: int) -> str:
    minutes = -(-number // rate)
    return "about a minute" if minutes == 1 else f"about {minutes:,} minutes"


def _as_dict(
    stack: Stack,
    found: Sequence[ChangedContract],
    chosen: Sequence[ChangedContract],
    *,
    queued: int,
    dry_run: bool,
    outlooks: Sequence[Outlook],
) -> dict[str, object]:
    told = {"outlooks": [asdict(one) for one in outlooks]} if outlooks else {}
    return {
        "source": stack.source,
        "dry_run": dry_run,
        "found": len(found),
        "queued": queued,
        "contracts": [
            {"contract": one.contract_id, "order": one.order_id, "changed_at": iso(one.changed_at)} for one in chosen
        ],
        **told,
    }
