"""`orderphase sync-log`: which entries it shows, how, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import uuid4

import boto3
import pytest
from moto import mock_aws

from orderphase.cli import OUTCOMES, arguments, main, sync_log
from orderphase.cli.connection import Stack
from orderphase.domain.findings import finding
from orderphase.store.sync_log import Entry, Outcome, SyncLog
from tests.cli.conftest import Command
from tests.flows.world import TABLES
from tests.invocation import nobodys_account

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
ORDER, CONTRACT = "801000000000001AAA", "800000000000001AAA"
FLOWS = ("OrderActivation", "ProductUpsert", "EventBus")
GAP = finding("phase_gap", "Nothing is billed from 2025-03-01 to 2025-04-01.", lines=["802A"], orders=[ORDER], start=NOW)


class Clock(datetime):
    """It is always the same time."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return NOW


@dataclass
class Deployed:
    """A stack called billing, and its sync log."""

    log: SyncLog
    command: Command

    def ran(self, before: timedelta = timedelta(), **said: Any) -> str:
        """Log a run that began so long before now; answers its event's id."""
        event = f"evt-{uuid4().hex[:8]}"
        started = NOW - before
        about: dict[str, Any] = {"contract_id": CONTRACT, "order_id": ORDER, "event_id": event, "run_id": uuid4().hex}
        about |= {"flow": "order_activation", "outcome": "synced", "message": "Schedule sub_sched_1."}
        about |= {"started_at": started, "finished_at": started + timedelta(seconds=2), "order_number": "00000101"}
        self.log.add(Entry(**about | said))
        return event

    def show(self, *arguments: str) -> tuple[int, str, str]:
        return self.command(b"", "sync-log", *arguments)

    def events(self, *arguments: str) -> list[str]:
        """The events of the entries that are shown, in the sequence in which they are."""
        code, out, err = self.show("--json", *arguments)
        assert (code, err) == (0, "")
        return [entry["event_id"] for entry in json.loads(out)["entries"]]


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch, command: Command) -> Iterator[Deployed]:
    nobodys_account(monkeypatch)
    monkeypatch.setattr(sync_log, "datetime", Clock)
    monkeypatch.setattr(arguments, "datetime", Clock)
    with mock_aws():
        dynamodb = boto3.client("dynamodb")
        dynamodb.create_table(TableName="sync_log", BillingMode="PAY_PER_REQUEST", **TABLES["sync_log"])
        outputs = {f"{flow}DeadLetterQueueUrl": "-" for flow in FLOWS} | {"SyncLogTableName": "sync_log"}
        stacks = {None: Stack("billing", "the stack billing", {}, outputs), "other": Stack("other", "the stack other", {}, {})}
        monkeypatch.setattr(sync_log, "describe_stack", lambda environ, folder, stack: stacks[stack])
        yield Deployed(SyncLog(dynamodb, "sync_log"), command)


def test_nothing_there(deployed: Deployed) -> None:
    title = "Sync log of the stack billing, newest first, times in UTC"
    assert deployed.show() == (0, f"{title}\n\nNo entries from 2026-11-19 10:01:00 until 2026-11-20 10:01:00.\n", "")
    assert deployed.show("--order", ORDER)[1].endswith("\nNo entries until 2026-11-20 10:01:00.\n")


def test_the_table(deployed: Deployed) -> None:
    deployed.ran(timedelta(hours=2))
    said = f"1. {GAP.message}\n\x1b[31m2. {'Correct it. ' * 9}"
    deployed.ran(timedelta(hours=1), outcome="failed", message=said, findings=[GAP])
    failed: dict[str, Any] = {"error": "transient", "error_code": "503", "order_number": None, "order_id": "802000000000001AAA"}
    deployed.ran(outcome="interrupted", message="Stripe is down.", **failed)

    code, out, err = deployed.show()

    assert (code, err) == (0, "")
    title, _, *table, _, count = out.splitlines()
    assert (title, count) == ("Sync log of the stack billing, newest first, times in UTC", "3 found.")
    flow, order = "order_activation", "00000101 801000000000001AAA"
    gap = "1. Nothing is billed from 2025-03-01 to 2025-04-01. \N{REPLACEMENT CHARACTER}[31m2. Correct it.…"
    assert [re.split(" {2,}", line) for line in table] == [
        ["Started", "Flow", "Outcome", "Order", "Contract", "Message"],
        ["2026-11-20 10:00:00", flow, "interrupted (transient 503)", "802000000000001AAA", CONTRACT, "Stripe is down."],
        ["2026-11-20 09:00:00", flow, "failed", order, CONTRACT, gap],
        ["2026-11-20 08:00:00", flow, "synced", order, CONTRACT, "Schedule sub_sched_1."],
    ]
    # In columns.
    assert len({line.index(CONTRACT) for line in table[1:]} | {table[0].index("Contract")}) == 1


def test_of_one_order_all_is_said(deployed: Deployed) -> None:
    event = deployed.ran(outcome="failed", message=f"1. {GAP.message} {GAP.remedy}\n2. Another.", correlation_id="request-1")
    other = deployed.ran(timedelta(days=400), message="")
    deployed.ran(order_id="801000000000002AAA")
    out = deployed.show("--order", ORDER[:15])[1].splitlines()
    assert out[4:7] == [f"  event {event}, correlation id request-1", f"  1. {GAP.message} {GAP.remedy}", "  2. Another."]
    assert out[8:] == [f"  event {other}, correlation id not known", "", "2 found."]


def test_everything_as_json(deployed: Deployed) -> None:
    event = deployed.ran(
        outcome="failed",
        findings=[GAP],
        correlation_id="request-1",
        error="data",
        schedule_id="sub_sched_1",
        subscription_id="sub_1",
        salesforce_calls=3,
        stripe_calls=7,
    )
    expected = {
        "contract_id": CONTRACT,
        "order_id": ORDER,
        "order_number": "00000101",
        "day": "2026-11-20",
        "event_id": event,
        "correlation_id": "request-1",
        "flow": "order_activation",
        "outcome": "failed",
        "message": "Schedule sub_sched_1.",
        "started_at": "2026-11-20T10:00:00.000Z",
        "finished_at": "2026-11-20T10:00:02.000Z",
        "findings": [GAP.as_dict()],
        "error": "data",
        "schedule_id": "sub_sched_1",
        "subscription_id": "sub_1",
        "calls": {"salesforce": 3, "stripe": 7},
    }
    # By the table, by an index that has everything, and by one that has not.
    for chosen in (("--contract", CONTRACT), ("--order", ORDER), ()):
        code, out, _ = deployed.show("--json", *chosen)
        told = json.loads(out)
        (entry,) = told.pop("entries")
        assert (code, told["source"], told["until"]) == (0, "the stack billing", "2026-11-20T10:01:00Z")
        assert entry.pop("entry_id").startswith("2026-11-20T10:00:00.000Z#")
        assert entry == expected


def test_which_are_shown(deployed: Deployed) -> None:
    old = deployed.ran(timedelta(days=3))
    failed = deployed.ran(timedelta(hours=11), outcome="failed")
    product = deployed.ran(timedelta(hours=2), flow="product_upsert", order_id="prod_1", contract_id="prod_1")
    new = deployed.ran()

    assert deployed.events() == [new, product, failed], "of the last day, over midnight"
    assert deployed.events("--since", "1w") == [new, product, failed, old]
    assert deployed.events("--since", "2026-11-17", "--until", "2026-11-19T23:00") == [old]
    assert deployed.events("--since", "2026-11-17T11:00+01:00", "--until", "2026-11-17T10:00:00.001") == [old]
    assert deployed.events("--since", "1w", "--until", "2026-11-17T10:00") == [], "what began then is left out"
    assert deployed.events("--outcome", "failed") == [failed]
    assert deployed.events("--flow", "ProductUpsert") == deployed.events("--flow", "product_upsert") == [product]
    assert deployed.events("--order", "prod_1") == [product]
    assert deployed.events("--contract", CONTRACT) == [new, failed, old]
    assert deployed.events("--contract", CONTRACT, "--order", ORDER, "--outcome", "synced", "--since", "1d") == [new]
    assert deployed.events("--order", ORDER, "--outcome", "synced", "--until", "2026-11-19") == [old]
    assert deployed.events("--limit", "2") == [new, product]
    assert deployed.show("--limit", "2")[1].endswith("\nThe latest 2; more with --limit.\n")


def test_more_than_a_request_holds(deployed: Deployed) -> None:
    """DynamoDB: a page of a query is 1 MB, and a hundred items are got at once."""
    runs = [deployed.ran(timedelta(minutes=number), message="x" * 12_000, findings=[GAP]) for number in range(130)]
    code, out, _ = deployed.show("--json", "--limit", "120")
    entries = json.loads(out)["entries"]
    assert (code, [entry["event_id"] for entry in entries]) == (0, runs[:120])
    assert all(entry["findings"] == [GAP.as_dict()] for entry in entries)
    assert deployed.events("--contract", CONTRACT, "--limit", "1000") == runs


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        (("--order", "00000101"), "'00000101' is not a Salesforce id of 15 or 18 characters; an order's number is not its id"),
        (("--order", ""), "is not a Salesforce id"),
        (("--contract", "800000000000001AAB"), "its last three characters do not fit the others"),
        (("--since", "yesterday"), "'yesterday' is no moment: give a date (2026-11-20)"),
        (("--since", "3y"), "is no moment"),
        (("--since", "0001-01-01T00:00+14:00"), "is no moment"),
        (("--until", "99999h"), "is no moment"),
        (("--limit", "0"), "'0' is not a whole number above 0"),
        (("--outcome", "done"), "invalid choice: 'done'"),
        (("--stack", " "), "is empty; leave the option out, or give it a value"),
        (("--flow", ""), "is empty; leave the option out, or give it a value"),
    ],
)
def test_an_option_that_cannot_be_used(
    deployed: Deployed, capsysbinary: pytest.CaptureFixture[bytes], chosen: tuple[str, str], why: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        deployed.show(*chosen)
    assert ended.value.code == 2
    said = capsysbinary.readouterr().err.decode()
    assert f"argument {chosen[0]}: " in said
    assert why in said


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        (("--flow", "Orders"), "the stack billing has no flow 'Orders'; it has: OrderActivation, ProductUpsert"),
        (("--flow", "EventBus"), "the stack billing has no flow 'EventBus'; it has: OrderActivation, ProductUpsert"),
        (("--since", "1h", "--until", "2h"), "--since (2026-11-20T09:00:00Z) does not lie before --until"),
        (("--since", "2099-01-01"), "does not lie before --until, or before now (2026-11-20T10:01:00Z)"),
        (("--stack", "other"), "the stack other has no output SyncLogTableName: is it one of Orderphase's, and up to date?"),
    ],
)
def test_what_does_not_go_together(deployed: Deployed, chosen: tuple[str, ...], why: str) -> None:
    code, out, err = deployed.show(*chosen)
    assert (code, out) == (2, "")
    assert err.startswith("orderphase: ")
    assert why in err


def test_what_a_run_may_come_to_can_be_asked_for() -> None:
    assert get_args(Outcome) == OUTCOMES


@pytest.mark.parametrize("command", ["sync-log", "replay", "doctor"])
def test_the_help_says_where_it_looks_what_it_answers_and_how_it_is_used(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for heading in ("Where it looks:", "Examples:", "Exit codes:"):
        assert f"\n{heading}\n" in said
    examples = said.split("\nExamples:\n")[1].split("\n\n")[0].splitlines()
    assert len(examples) >= 2
    assert all(": " in example and f"orderphase {command} " in example for example in examples)
