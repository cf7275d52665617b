"""`python -m benchmarks.load`: thousands of orders activated at once on the local stack, and what would bind first on AWS.

The org tells of each activation by itself, and the real template's functions do the rest. Afterwards nothing may be lost,
nothing doubled, and the orders of one contract must have been worked on in their order. What is measured is this machine's; the
calls for each order are not, and what the limits of AWS, Salesforce and Stripe let through follows from them by arithmetic.

The local AWS works on one message of a FIFO queue at a time. Lambda works on as many contracts as `MaximumConcurrency` says.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import requests
from boto3.dynamodb.types import TypeDeserializer

from benchmarks import documents
from orderphase.cli.arguments import whole_number
from orderphase.salesforce.client import API_VERSION
from sandbox.build import FLOWS, ROOT
from sandbox.processes import StackError
from sandbox.salesforce_emulator import SalesforceEmulator
from sandbox.stack import STACK_NAME, STRIPE_ACCOUNT, LocalStack
from sandbox.stripe_emulator import StripeEmulator
from tests.org import Org

ORDERS = 5_000
SECOND_OF = 10
"""Every tenth contract gets a second order, activated right behind the first."""

PRODUCTS = 5
QUANTITY, MORE = 3, 7
"""What the first order of a contract and the second one sell, of two products."""

RESULT = ROOT / ".stack" / "load.json"
DOCUMENT = ROOT / "docs" / "reliability.md"

_ACTIVATED_AT_ONCE = 200
"""Salesforce: a request changes 200 records."""

CALL_SECONDS = 0.3
"""What a call to a vendor is taken to last in an account."""

LICENCES = 10
"""Of Salesforce, where its limit counts them."""

_STALLED_SECONDS = 120.0
_ROUND = 100
_LOOK_SECONDS = 1.0


class LoadError(RuntimeError):
    """Something that must hold does not; the message says what."""


@dataclass(frozen=True, slots=True)
class Deal:
    """A contract, with its orders as they are activated."""

    contract: str
    orders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured. Seconds, calls and events for each order, megabytes.

    told_seconds: until the edge had taken the last activation; done_seconds: until the last run was over. events: those that
    the edge has got, of Salesforce and of Stripe, also about what the runs have written themselves.
    run_seconds: of the runs that made or changed a schedule, their median. calls: of such a run (`synced`), of one that found
    nothing to do (`unchanged`), and of all runs of all flows together, for each order (`all`). stripe: how often each endpoint
    was asked, for each run that made or changed a schedule. parameters: of the template.
    """

    contracts: int
    orders: int
    told_seconds: float
    done_seconds: float
    events: Mapping[str, float]
    run_seconds: float
    calls: Mapping[str, Mapping[str, float]]
    stripe: Mapping[str, float]
    memory: Mapping[str, float]
    parameters: Mapping[str, str]
    measured_on: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__.split("\n\n")[0])
    parser.add_argument("--orders", type=whole_number, default=ORDERS, help=f"contracts with an order each (default {ORDERS})")
    parser.add_argument("--json", type=Path, default=RESULT, metavar="FILE", help=f"where the result goes (default {RESULT})")
    parser.add_argument("--write", action="store_true", help=f"also put it into {DOCUMENT.relative_to(ROOT)}")
    options = parser.parse_args(arguments)
    try:
        measured = run(options.orders)
        text = report(measured)
        print(f"\n{text}")
        result = {"measured": asdict(measured), "limits": [asdict(one) for one in limits(measured)]}
        options.json.write_text(json.dumps(result, indent=2))
        if options.write:
            documents.put(DOCUMENT, "load", text)
    except (LoadError, StackError, TimeoutError, ValueError) as problem:
        print(f"load: {problem}", file=sys.stderr)
        return 1
    return 0


def run(number: int) -> Measured:
    """Have so many contracts activated on a stack of its own. Raises `LoadError` where one is lost, doubled or out of order."""
    deals: list[Deal] = []
    stack = LocalStack(name="load", environment={}, parameters={"Reconciliation": "off"})

    def seed(_: Mapping[str, str]) -> None:
        deals.extend(_sell(Org(_emulated(stack)[0]), number))

    stack.start(_say, seed)
    with stack, _memory() as memory:
        stripe = _emulated(stack)[1]
        orders = sum(len(deal.orders) for deal in deals)
        _say(f"{orders:,} orders in {number:,} contracts are drafted")
        stripe.log.clear()
        began = time.monotonic()
        _activate(stack, deals)
        _say(f"activated: {time.monotonic() - began:.1f} s")
        told = _drained(stack, orders, began)
        done = time.monotonic() - began
        runs = _runs(stack)
        _check(stack, deals, runs)
        activations = [run for run in runs if run["flow"] == "order_activation"]
        made = [run for run in activations if run["outcome"] == "synced"]
        idle = [run for run in activations if run["outcome"] == "unchanged"]
        return Measured(
            contracts=number,
            orders=orders,
            told_seconds=told,
            done_seconds=done,
            events=_events(stack, orders),
            run_seconds=statistics.median(_seconds(run) for run in made),
            calls={
                **{name: _calls(some, len(some)) for name, some in (("synced", made), ("unchanged", idle)) if some},
                "all": _calls(runs, orders),
            },
            stripe=_endpoints(stripe, len(made)),
            memory=memory(),
            parameters=_parameters(stack),
            measured_on=datetime.now(UTC).date().isoformat(),
        )


def _emulated(stack: LocalStack) -> tuple[SalesforceEmulator, StripeEmulator]:
    """The org and the Stripe of a stack."""
    if stack.salesforce is None or stack.stripe is None:
        raise LoadError("thousands of orders are for the emulators alone")
    return stack.salesforce, stack.stripe


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# What is sold


def _sell(org: Org, number: int) -> Iterator[Deal]:
    """Enter contracts, each of an account of its own, and their orders, which are drafts."""
    entries = [org.entry(price) for price in range(10, 10 + PRODUCTS)]
    today = datetime.now(UTC).date()
    start, end = today.isoformat(), (today + timedelta(days=365)).isoformat()
    for index in range(number):
        account = org.account(Name=f"Customer {index}")
        contract = org.contract(account, start=start, months=12)
        sold = [(QUANTITY, entries[index % PRODUCTS])]
        if index % SECOND_OF == 0:
            sold.append((MORE, entries[(index + 1) % PRODUCTS]))
        orders = []
        for quantity, entry in sold:
            line = {"PricebookEntryId": entry, "Quantity": quantity, "EndDate": end}
            orders.append(org.order(account, contract, line, activated=False, EffectiveDate=start))
        yield Deal(contract, tuple(orders))


def _activate(stack: LocalStack, deals: Sequence[Deal]) -> None:
    """Activate every order, over the REST API, as fast as it goes; those of a contract in their order."""
    person = stack.person
    form = {
        "grant_type": "client_credentials",
        "client_id": person["SALESFORCE_CLIENT_ID"],
        "client_secret": person["SALESFORCE_CLIENT_SECRET"],
    }
    with requests.Session() as http:
        token = http.post(f"{person['SALESFORCE_LOGIN_URL']}/services/oauth2/token", data=form, timeout=30).json()
        http.headers["Authorization"] = f"Bearer {token['access_token']}"
        orders = [order for deal in deals for order in deal.orders]
        for start in range(0, len(orders), _ACTIVATED_AT_ONCE):
            records = [
                {"attributes": {"type": "Order"}, "Id": order, "Status": "Activated"}
                for order in orders[start : start + _ACTIVATED_AT_ONCE]
            ]
            answer = http.patch(
                f"{token['instance_url']}/services/data/v{API_VERSION}/composite/sobjects",
                json={"allOrNone": False, "records": records},
                timeout=120,
            )
            answer.raise_for_status()
            if refused := [one for one in answer.json() if not one["success"]]:
                raise LoadError(f"the org refuses to activate {len(refused)} orders: {refused[0]['errors']}")


# Until it is over


def _drained(stack: LocalStack, orders: int, began: float) -> float:
    """Wait until every queue is empty; answers after how many seconds the edge had taken the last event."""
    org, _ = _emulated(stack)
    told, last, moved, pause = 0.0, (0, 0), time.monotonic(), threading.Event()
    while True:
        activations = [one for one in org.deliveries() if one.event["type"] == "order.activated"]
        attempted = sum(bool(one.attempts) for one in activations)
        waiting = stack.waiting()
        now = time.monotonic()
        if not told and attempted >= orders:
            told = now - began
            _say(f"told: {told:.1f} s")
        if (attempted, waiting) != last:
            last, moved = (attempted, waiting), now
        if told and not waiting:
            # What Stripe tells of it, too.
            stack.settle(_STALLED_SECONDS)
            return told
        if now - moved > _STALLED_SECONDS:
            raise LoadError(f"nothing has moved for {_STALLED_SECONDS:.0f} s; {waiting} messages wait. Logs: {stack.folder}")
        pause.wait(_LOOK_SECONDS)


def _runs(stack: LocalStack) -> list[dict[str, Any]]:
    """The sync log."""
    read = TypeDeserializer().deserialize
    pages = stack.aws("dynamodb").get_paginator("scan").paginate(TableName=stack.outputs["SyncLogTableName"])
    return [{name: read(value) for name, value in item.items()} for page in pages for item in page["Items"]]


def _parameters(stack: LocalStack) -> dict[str, str]:
    """Of the deployed stack."""
    (described,) = stack.aws("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"]
    return {one["ParameterKey"]: one["ParameterValue"] for one in described["Parameters"]}


def _seconds(run: Mapping[str, Any]) -> float:
    return (datetime.fromisoformat(run["finished_at"]) - datetime.fromisoformat(run["started_at"])).total_seconds()


def _calls(runs: Sequence[Mapping[str, Any]], count: int) -> dict[str, float]:
    """The calls of these runs to each vendor, divided by `count`."""
    return {vendor: sum(float(run["calls"][vendor]) for run in runs) / count for vendor in ("salesforce", "stripe")}


def _events(stack: LocalStack, orders: int) -> dict[str, float]:
    """How many events each vendor has sent, for each order."""
    org, stripe = _emulated(stack)
    return {"salesforce": len(org.deliveries()) / orders, "stripe": len(stripe.deliveries) / orders}


def _endpoints(stripe: StripeEmulator, orders: int) -> dict[str, float]:
    """How often each of Stripe's endpoints was asked, for each order."""
    names = Counter(
        re.sub("/[a-z_]+_[A-Za-z0-9]{14,}", "/{id}", f"{one.method} {one.path.partition('?')[0]}") for one in stripe.log
    )
    return {name: count / orders for name, count in names.most_common()}


# What must hold


def _check(stack: LocalStack, deals: Sequence[Deal], runs: Sequence[Mapping[str, Any]]) -> None:
    """None lost, none doubled, in order. Raises `LoadError` with the first that is not so."""
    org, stripe = _emulated(stack)
    for flow in FLOWS:
        counts = {"QueueUrl": stack.outputs[f"{flow}DeadLetterQueueUrl"], "AttributeNames": ["ApproximateNumberOfMessages"]}
        if dead := int(stack.aws("sqs").get_queue_attributes(**counts)["Attributes"]["ApproximateNumberOfMessages"]):
            raise LoadError(f"{dead} dead letters of {flow}")
    schedules: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for schedule in stripe.objects(STRIPE_ACCOUNT, "subscription_schedule"):
        schedules[schedule["metadata"].get("salesforce_contract_id", "")].append(schedule)
    by_contract: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for run in runs:
        if run["flow"] == "order_activation":
            by_contract[run["contract_id"]].append(run)
    for deal in deals:
        _check_deal(org, deal, schedules.pop(deal.contract, []), by_contract[deal.contract])
    if schedules:
        raise LoadError(f"{len(schedules)} schedules are of no contract")
    expected = {"customer": len(deals), "product": min(PRODUCTS, len(deals)), "price": min(PRODUCTS, len(deals))}
    made = {kind: len(stripe.objects(STRIPE_ACCOUNT, kind)) for kind in expected}
    if made != expected:
        raise LoadError(f"Stripe has {made}, and should have {expected}")


def _check_deal(
    org: SalesforceEmulator, deal: Deal, schedules: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]
) -> None:
    if len(schedules) != 1:
        raise LoadError(f"contract {deal.contract} has {len(schedules)} schedules")
    sold = sorted([QUANTITY, MORE][: len(deal.orders)])
    billed = [sorted(item["quantity"] for item in phase["items"]) for phase in schedules[0]["phases"]]
    if billed != [sold]:
        raise LoadError(f"contract {deal.contract} is billed {billed} and not {sold}")
    for order in deal.orders:
        record = org.record("Order", order)
        told = record["Stripe_Sync_Status__c"], record["Stripe_Subscription_Schedule_Id__c"]
        if told != ("Synced", schedules[0]["id"]):
            raise LoadError(f"order {order} of contract {deal.contract} says {told}")
    in_time = sorted(runs, key=lambda run: str(run["started_at"]))
    # One that was interrupted comes again before the others of its contract.
    if [order for order, _ in groupby(in_time, key=lambda run: run["order_id"])] != list(deal.orders):
        raise LoadError(f"the orders of contract {deal.contract} were not worked on in their order")
    if any(later["started_at"] < earlier["finished_at"] for earlier, later in pairwise(in_time)):
        raise LoadError(f"two runs have worked on contract {deal.contract} at the same time")


# What it takes


@contextmanager
def _memory() -> Iterator[Callable[[], dict[str, float]]]:
    """Looks at the memory of all that runs, every second; what it gives answers the peaks so far, in MB. Linux alone tells."""
    peaks: dict[str, float] = defaultdict(float)
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            for name, size in _sizes().items():
                peaks[name] = max(peaks[name], size)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield lambda: dict(peaks)
    finally:
        over.set()
        watcher.join()


def _sizes() -> dict[str, float]:
    """The resident memory of all processes: ours has the emulators, our child is the local AWS, and its are the functions."""
    parents: dict[int, int] = {}
    sizes: dict[int, float] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            said = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        except OSError:  # it has ended
            continue
        parents[int(said["Pid"])] = int(said["PPid"])
        sizes[int(said["Pid"])] = int(said.get("VmRSS", "0 kB").split()[0]) / 1024
    me = os.getpid()
    if me not in sizes:
        return {}
    aws = {pid for pid, parent in parents.items() if parent == me}
    functions = [size for pid, size in sizes.items() if parents[pid] in aws]
    return {
        "emulators and this program": sizes[me],
        "local AWS": sum(sizes[pid] for pid in aws),
        "functions": sum(functions),
        "largest function": max(functions, default=0.0),
    }


# What would bind first


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of somebody's, and how many orders it lets through: a second or, where that is how it is set, a day."""

    name: str
    orders: float
    per: str
    arithmetic: str


def limits(measured: Measured) -> list[Limit]:
    """Those of AWS, Stripe and Salesforce, the tightest first of those that count seconds, then those that count days."""
    calls, given = measured.calls["synced"], measured.parameters
    seconds = (calls["salesforce"] + calls["stripe"]) * CALL_SECONDS
    workers, edge = int(given["MaximumConcurrency"]), int(given["ThrottleRate"])
    events = sum(measured.events.values())
    endpoint, times = max(measured.stripe.items(), key=lambda one: one[1])
    search = sum(count for path, count in measured.stripe.items() if path.endswith("/search"))
    a_second = [
        _limit(f"Lambda, MaximumConcurrency {workers}", workers, seconds, f"{workers} runs at once / {seconds:.1f} s each"),
        _limit(f"API Gateway, ThrottleRate {edge}", edge, events, f"{edge} requests/s / {events:.1f} events of both vendors"),
        _limit("Stripe, sandbox", 25, calls["stripe"], f"25 requests/s / {calls['stripe']:.1f} calls"),
        _limit("Stripe, live", 100, calls["stripe"], f"100 requests/s / {calls['stripe']:.1f} calls"),
        _limit("Stripe, one endpoint", 25, times, f"25 requests/s / {times:.1f} of {endpoint}"),
        _limit("SQS, without its high throughput", 300, 1, "300 requests/s of a kind / 1 send, receive and delete"),
    ]
    if search:
        a_second.append(_limit("Stripe, searches", 20, search, f"20 searches/s / {search:.1f} of a customer that is new"))
    budgets = {
        "Salesforce, Developer Edition": 15_000,
        f"Salesforce, Enterprise Edition, {LICENCES} licences": 100_000 + 1_000 * LICENCES,
        f"Salesforce, Unlimited Edition, {LICENCES} licences": 100_000 + 5_000 * LICENCES,
    }
    asked = measured.calls["all"]["salesforce"]
    a_day = [
        Limit(name, budget / asked, "day", f"{budget:,} requests a day / {asked:.1f} calls") for name, budget in budgets.items()
    ]
    return sorted(a_second, key=lambda one: one.orders) + a_day


def _limit(name: str, rate: float, each: float, arithmetic: str) -> Limit:
    return Limit(name, rate / each, "second", arithmetic)


def report(measured: Measured) -> str:
    """What was measured and what follows, in Markdown."""
    return "\n".join(_lines(measured))


def _lines(measured: Measured) -> Iterator[str]:
    calls, orders = measured.calls, measured.orders
    yield f"{measured.orders:,} orders of {measured.contracts:,} contracts, all activated at once, on the local stack"
    yield f"({os.cpu_count()} processors, {measured.measured_on}): none lost, none doubled, those of a contract in their order."
    yield ""
    yield "| measured | |"
    yield "| --- | --- |"
    told, done, events = measured.told_seconds, measured.done_seconds, measured.events
    yield f"| the edge has taken all activations | {told:,.0f} s, {orders / told:.1f} a second |"
    yield f"| all are billed and written back | {done:,.0f} s, {orders / done:.1f} a second |"
    sent = f"{events['salesforce']:.1f} of Salesforce, {events['stripe']:.1f} of Stripe"
    yield f"| events for each order, most about our own writes | {sent} |"
    yield f"| a run that makes a schedule, median | {measured.run_seconds * 1000:,.0f} ms |"
    for outcome, what in (
        ("synced", "an order that makes or changes a schedule"),
        ("unchanged", "an order that was billed with another one"),
        ("all", "all flows together, for each order"),
    ):
        if outcome in calls:
            said = calls[outcome]
            yield f"| calls of {what} | {said['salesforce']:.1f} to Salesforce, {said['stripe']:.1f} to Stripe |"
    yield from (f"| memory at its peak, {name} | {size:,.0f} MB |" for name, size in measured.memory.items())
    yield ""
    yield "What would bind first in an account, from the calls of an order whose customer is new, and from published limits:"
    yield ""
    yield "| limit | orders | how that comes about |"
    yield "| --- | --- | --- |"
    for one in limits(measured):
        number = f"{one.orders:,.0f}" if one.orders >= _ROUND else f"{one.orders:.1f}"
        yield f"| {one.name} | {number} a {one.per} | {one.arithmetic} |"
    first = limits(measured)[0]
    yield ""
    yield f"So {first.name} comes first: {ORDERS:,} orders take {ORDERS / first.orders / 60:.0f} minutes. How long a run takes"
    yield f"in an account is assumed: {CALL_SECONDS} s for each call to Salesforce or Stripe. Here, one run follows the other:"
    yield "the local AWS works on one message of a FIFO queue at a time."


if __name__ == "__main__":
    sys.exit(main())
