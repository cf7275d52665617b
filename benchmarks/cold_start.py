"""How long each function takes to be ready, as a process of Lambda's own runtime, against a build without care.

The naive build has the same handlers, layers and packages, but no bytecode, which Lambda cannot write either, and its handler's
module imports at its top whatever a first run of the function imports. What that is, a first run tells: its `sys.modules`.

Nothing is moved out of sight: the whole first invocation is measured too, in the local stack's AWS and between its vendors.
"""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.figures import Figure, Say
from benchmarks.runtime import Runtime, variables
from sandbox.build import CLOCKED, CONSOLIDATION_LAYER, DEPENDENCIES_LAYER, FUNCTIONS
from sandbox.invoke import STRIPE_SIGNATURE, samples, secrets_of_samples, signed, sources_of_samples, verdict
from sandbox.processes import StackError
from sandbox.stack import STATE, LocalStack
from tests.org import Org

PART = "cold start"
TARGET = 0.35
RUNS = 5

# Tells what is loaded: when the handler has been imported, and now.
_TELLING = """
import sys
from app import handler as work
def names():
    return [name for name, module in sys.modules.items() if getattr(module.__spec__, "has_location", False)]
loaded = len(names())
def handler(event, context):
    if event == "loaded":
        return [loaded, names()]
    return work(event, context)
"""
_OWN = ("app", "telling", "awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")
"""What a handler does not import: itself, and the runtime's client."""


@dataclass(frozen=True, slots=True)
class _Build:
    """Where a function's code and its layers are, and what is called. settings: of the interpreter."""

    code: Path
    layers: list[Path]
    handler: str
    settings: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Sold:
    """One order with one line, activated, and what it belongs to: ids by the type of event that is about them."""

    org_id: str
    contract_id: str
    records: Mapping[str, str]


class _Event:
    """A function's sample event, told as if for the first time: what was accepted before is answered at once.

    What comes from a queue is about what was sold, where that has such a record.
    """

    def __init__(self, sample: Path, sold: _Sold, signed_with: str) -> None:
        self._sample = json.loads(sample.read_text())
        self._signed_with = signed_with
        self._told = 0
        for message in self._sample.get("Records", ()):
            event = json.loads(message["body"])
            if record := sold.records.get(event.get("type", "")):
                data = {**event.get("data", {}), "contract_id": sold.contract_id}
                message["body"] = json.dumps({**event, "org_id": sold.org_id, "record_id": record, "data": data})

    def next(self) -> Any:
        """The event under the next id, and signed now, where it comes from outside; else as it is."""
        if "body" not in self._sample:
            return self._sample
        self._told += 1
        document = json.loads(self._sample["body"])
        body = json.dumps(document | {"id": f"{document['id'][:-4]}{self._told:04}"})
        told = self._sample | {"body": body}
        return signed(told, STRIPE_SIGNATURE, self._signed_with) if STRIPE_SIGNATURE in told["headers"] else told


def measure(say: Say) -> Iterator[Figure]:
    """Start every function anew, several times, in both builds; figures in milliseconds (medians) and modules."""
    stack = LocalStack(name="cold-start", environment=secrets_of_samples(), parameters=sources_of_samples())
    sold: list[_Sold] = []
    stack.start(seed=lambda _: sold.append(_sell(stack)))
    # A short path, as in `sandbox.invoke`.
    with stack, TemporaryDirectory(prefix="orderphase-") as name:
        folder = Path(name)
        # What ran by itself would take the processor from what is measured.
        stack.stop_the_clock()
        stack.stop_the_queues()
        built = STATE / "build"
        layers = [built / layer for layer in (CONSOLIDATION_LAYER, DEPENDENCIES_LAYER)]
        bare = [_without_bytecode(layer, folder) for layer in layers]
        empty = statistics.median(_empty(folder) for _ in range(RUNS))
        # Of several samples of one function the first will do.
        chosen = dict(reversed(samples()))
        for function in FUNCTIONS:
            event = _Event(chosen[function], sold[0], stack.secrets["StripeSecret"]["STRIPE_WEBHOOK_SECRET"])
            say(f"{function} …")
            code = built / function
            environment = variables(stack, function)
            loaded, modules = _loaded(code, layers, folder, environment, event)
            naive = _without_bytecode(code, folder)
            imports = [f"import {module}" for module in modules if module.split(".")[0] not in _OWN]
            (naive / "naive.py").write_text("\n".join([*imports, "from app import handler"]))
            builds = (
                _Build(code, layers, "app.handler", environment),
                _Build(naive, bare, "naive.handler", environment | {"PYTHONDONTWRITEBYTECODE": "1"}),
            )
            # In turns, so that what else the machine does falls on both alike.
            times = [[_first(build, folder, event) for build in builds] for _ in range(RUNS)]
            ours, theirs = ([statistics.median(t) for t in zip(*runs, strict=True)] for runs in zip(*times, strict=True))
            yield Figure(PART, f"{function}, INIT", ours[0], "the naive build", theirs[0], "ms", TARGET)
            yield Figure(PART, f"{function}, INIT", ours[0], "an empty handler", empty, "ms")
            yield Figure(PART, f"{function}, INIT and first invocation", ours[1], "the naive build", theirs[1], "ms")
            yield Figure(PART, f"{function}, loaded by INIT", loaded, "after the first invocation", len(modules), "modules")


def _sell(stack: LocalStack) -> _Sold:
    if stack.salesforce is None:
        raise StackError("a cold start is measured between the emulators alone")
    org, today = Org(stack.salesforce), datetime.now(UTC).date()
    account = org.account()
    contract = org.contract(account, start=today.isoformat(), months=12)
    line = {"PricebookEntryId": org.entry(), "Quantity": 3, "EndDate": (today + timedelta(days=365)).isoformat()}
    order = org.order(account, contract, line, EffectiveDate=today.isoformat())
    records = {
        "order.activated": order,
        "order_item.updated": org.lines_of(order)[0],
        "account.upserted": account,
        "contract.reconcile": contract,
    }
    return _Sold(stack.salesforce.org_id, contract, records)


def _without_bytecode(part: Path, folder: Path) -> Path:
    return Path(shutil.copytree(part, folder / part.name, ignore=shutil.ignore_patterns("__pycache__")))


def _empty(folder: Path) -> float:
    code = folder / "empty"
    code.mkdir(exist_ok=True)
    (code / "app.py").write_text("def handler(event, context): return None")
    with Runtime(code, environment={}, log=folder / "log") as function:
        function.invoke({})
        return function.init_ms


def _loaded(code: Path, layers: list[Path], folder: Path, environment: dict[str, str], event: _Event) -> tuple[int, list[str]]:
    """How many modules a function has loaded when it is ready, and those that it has after its first run."""
    told = Path(shutil.copytree(code, folder / "telling" / code.name))
    (told / "telling.py").write_text(_TELLING)
    with Runtime(told, layers, environment=environment, log=folder / "log", handler="telling.handler") as function:
        _work(function, event)
        loaded, modules = function.invoke("loaded")
        return loaded, modules


def _first(build: _Build, folder: Path, event: _Event) -> tuple[float, float]:
    """Milliseconds of INIT, and of the first invocation with INIT, of a fresh process."""
    with Runtime(build.code, build.layers, environment=build.settings, log=folder / "log", handler=build.handler) as function:
        took = _work(function, event)
        return function.init_ms, took


def _work(function: Runtime, event: _Event) -> float:
    answer, took = function.invoked(event.next())
    # What the clock starts counts what it has found.
    if function.name not in CLOCKED and (problem := verdict(function.name, answer)):
        raise StackError(f"{function.name}: {problem}")
    return took
