"""What a run costs: remote calls against the fewest that can do it, processor time against its bare requests, memory, money.

Each case is handled by the function as it is deployed, in Lambda's runtime. Its requests are written down as they are sent; the
floor is a function that does nothing but send them again. Flow and floor take turns, so that what else the machine does falls
on both.
"""

from __future__ import annotations

import base64
import json
import re
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import money
from benchmarks.figures import Figure, Say
from benchmarks.runtime import Runtime
from benchmarks.scenarios import Least, Scenario, scenarios
from benchmarks.stage import Stage, handled, stage
from sandbox.build import ROOT
from sandbox.processes import run
from sandbox.stack import STACK_NAME

PART = "runs"
CALLS, PROCESSOR = "remote calls", "warm run"

RECORDED = 4
"""So many events are written down, of which the first meets a cold function."""

WARM_UP = 2
MEASURED = 24
BLOCK = 4
"""Flow and floor take turns after so many events."""

SLOW_SECONDS = 0.2
CATALOGUE, COLLECTION = 400, 200
"""Products of the catalogue that is imported; Salesforce: so many records at most in a request."""

_VENDORS = ("salesforce", "stripe")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a case came to.

    cold, warm: the remote calls of an event, by system. by_clients, by_hand: milliseconds of its floors.
    """

    scenario: Scenario
    cold: Counter[str]
    warm: Counter[str]
    by_clients: float
    by_hand: float
    cost: money.Cost


def measure(say: Say) -> Iterator[Figure]:
    """Go through all cases on one stack."""
    with stage(say) as here:
        done = []
        for scenario in scenarios(here):
            say(f"{scenario.name} …")
            done.append(_measured(here, scenario))
        say("calls side by side …")
        beside = _side_by_side(here)
        say("a catalogue …")
        imported = _imported(here)
    for one in done:
        if one.scenario.least is not None:
            yield from _calls(one, one.scenario.least)
    yield beside
    yield imported
    for one in done:
        yield from _processor(one)
    yield from money.figures([one.cost for one in done])


def _calls(one: Measured, least: Least) -> Iterator[Figure]:
    fewest = f"{least.salesforce} + {least.stripe}, {least.why}"
    name = one.scenario.name
    for how, calls, target in (("warm", one.warm, 1.0), ("cold", one.cold, None)):
        salesforce, stripe = (calls[vendor] for vendor in _VENDORS)
        told = f"{name}, {how} ({salesforce} + {stripe})"
        yield Figure(CALLS, told, salesforce + stripe, fewest, least.salesforce + least.stripe, "calls", target)


def _side_by_side(here: Stage) -> Figure:
    """What does not depend on one another is asked for at once: an order of new products with discounts, and a slow Stripe."""
    account = here.account()
    slow = "^/v1/(products|prices|coupons)$"

    def new(here: Stage) -> dict[str, Any]:
        entries = [here.entry(price) for price in (11, 12, 13)]
        contract = here.contract(account, start=here.today.isoformat())
        lines = here.year(*entries, Stripe_Discount_Percent_Off__c=10)
        return here.activated(here.order(account, contract, *lines, EffectiveDate=here.today.isoformat()))

    with here.function("OrderActivation") as function:
        handled(function, new(here))
        events = new(here), new(here)
        _, usual = function.invoked(events[0])
        here.stripe.log.clear()
        here.stripe.inject("slow", method="POST", path=slow, seconds=SLOW_SECONDS, times=1000)
        _, slowed = function.invoked(events[1])
        here.stripe.faults.clear()
    calls = sum(one.method == "POST" and re.search(slow, one.path) is not None for one in here.stripe.log)
    against = f"one after the other ({calls} calls)"
    return Figure(
        CALLS, "waiting for new products, prices and coupons", slowed - usual, against, calls * SLOW_SECONDS * 1000, "ms", 0.5
    )


def _imported(here: Stage) -> Figure:
    """A catalogue of Stripe's, with as many prices as products, taken into a price book by `orderphase import`."""
    for number in range(CATALOGUE):
        product = here.api.products.create({"name": f"Imported {number}"}).id
        here.api.prices.create(
            {"product": product, "currency": "usd", "unit_amount": 100 + number, "recurring": {"interval": "month"}}
        )
    here.salesforce.log.clear()
    orderphase = Path(sys.executable).with_name("orderphase")
    log = here.stack.folder / "import.log"
    run([orderphase, "import", "--stack", STACK_NAME], log=log, env=here.environment(), cwd=ROOT)
    written = [int(number) for number in re.findall(r"(\d+) written", log.read_text())]
    writes = len(here.salesforce.calls("(POST|PATCH) .*/composite/sobjects"))
    fewest = sum(-(-number // COLLECTION) for number in written)
    told = f"import of products and prices, writes ({' and '.join(map(str, written))})"
    return Figure(CALLS, told, writes, f"{COLLECTION} records each", fewest, "calls", 1.0)


def _processor(one: Measured) -> Iterator[Figure]:
    name, requests = one.scenario.name, one.warm.total()
    for how, floor, target in (
        ("sent by its libraries' clients", one.by_clients, 2.0),
        ("sent as bytes", one.by_hand, None),
    ):
        against = f"its requests, {how} ({requests} of them)"
        yield Figure(PROCESSOR, name, one.cost.warm.processor, against, floor, "ms", target)


def _measured(here: Stage, scenario: Scenario) -> Measured:
    events = scenario.events(here, RECORDED + WARM_UP + MEASURED)
    recorded, warm_up, measured = events[:RECORDED], events[RECORDED : RECORDED + WARM_UP], events[RECORDED + WARM_UP :]
    record = here.stack.folder / f"{scenario.name.replace(' ', '-')}.jsonl"
    with here.function(scenario.function, handler="recorder.handler", record=record) as function:
        for event in recorded:
            handled(function, event)
    sent = [*_sent(here, record)]
    cold, warm = (Counter(system for system, _ in sent[number]) for number in (0, -1))
    with ExitStack() as running:
        flow = running.enter_context(here.function(scenario.function, handler="timed.handler"))
        floors = [
            running.enter_context(here.function(scenario.function, handler=f"replay.{how}", record=record))
            for how in ("by_clients", "by_hand")
        ]
        loaded = float(flow.invoke("loaded"))
        handled(flow, warm_up[0])
        first = flow.processor_ms - loaded
        for event in warm_up[1:]:
            handled(flow, event)
        numbers: list[Any] = [{"number": 1 + index % (RECORDED - 1)} for index in range(MEASURED)]
        for floor in floors:
            for number in numbers[:WARM_UP]:
                handled(floor, number)
        spent: dict[Runtime, list[float]] = {one: [] for one in (flow, *floors)}
        said = len(flow.said)
        for start in range(0, MEASURED, BLOCK):
            for one, given in ((flow, measured), *((floor, numbers) for floor in floors)):
                spent[one].append(_spent(one, given[start : start + BLOCK]))
        processor, by_clients, by_hand = (statistics.median(spent[one]) for one in (flow, *floors))
        setting, timeout = here.setting(scenario.function)
        cost = money.Cost(
            name=scenario.name,
            function=scenario.function,
            setting=setting,
            timeout=timeout,
            warm=money.Event(_vendors(warm), warm.total() - _vendors(warm), processor),
            cold=money.Event(_vendors(cold), cold.total() - _vendors(cold), first),
            init=flow.init_ms,
            peak=flow.peak_mb,
            units=_units(sent[-1]),
            logged=(len(flow.said) - said) / MEASURED,
        )
        return Measured(scenario, cold, warm, by_clients, by_hand, cost)


def _vendors(calls: Counter[str]) -> int:
    return sum(calls[vendor] for vendor in _VENDORS)


def _units(sent: Sequence[tuple[str, bytes]]) -> Counter[money.Unit]:
    """The units that DynamoDB counts for these requests. What a request says is taken for the size of its item."""
    units: Counter[money.Unit] = Counter()
    for system, request in sent:
        service, _, operation = system.partition(".")
        if not service.startswith("DynamoDB"):
            continue
        body = request.partition(b"\r\n\r\n")[2]
        asked = json.loads(body)
        if operation == "BatchGetItem":
            units["read"] += sum(len(one["Keys"]) for one in asked["RequestItems"].values())
        elif operation in ("GetItem", "Query", "Scan"):
            units["read"] += 1
        else:
            # The sync log has an index with everything in it, and one with nearly everything, which are written as well.
            copies = 3 if "SyncLog" in asked["TableName"] else 1
            units["write"] += copies * -(-len(body) // money.KILOBYTE)
    return units


def _spent(runtime: Runtime, events: Sequence[Any]) -> float:
    """Milliseconds of processor time for each event."""
    before = runtime.processor_ms
    for event in events:
        handled(runtime, event)
    return (runtime.processor_ms - before) / len(events)


def _sent(here: Stage, record: Path) -> Iterator[list[tuple[str, bytes]]]:
    """The requests of each event that was written down, with the systems that they went to."""
    for line in record.read_text().splitlines():
        requests = [(port, base64.b64decode(text)) for _, port, _, text in json.loads(line)]
        yield [(here.system(port, request), request) for port, request in requests]
