"""`make faults`: every fault at every remote call of every flow. Whatever strikes, all must end as if nothing had happened."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TextIO

from tests.faults.flows import FLOWS, SCENARIOS
from tests.faults.points import Outcome, Point, pairs, singles
from tests.faults.runner import all_undisturbed, processes, run
from tests.faults.scenarios import Scenario
from tests.faults.table import Table, failures, write
from tests.faults.wire import Call

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
_SAID_EACH = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; answers 1 where a point has not survived, and 2 where there is no such point."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--all", action="store_true", help="all kinds of faults in all scenarios, not in the first of each flow"
    )
    parser.add_argument("--only", metavar="NAME", help="one point, by its name, such as 'first order: answer lost @7'")
    parser.add_argument("--write", action="store_true", help=f"put the table into {DOCUMENT.parent.name}/{DOCUMENT.name}")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the table as JSON, with the points that failed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many work side by side")
    options = parser.parse_args(arguments)
    try:
        only = Point.named(options.only, SCENARIOS) if options.only else None
    except ValueError as problem:
        _tell(f"faults: {problem}", sys.stderr)
        return 2
    began = time.monotonic()
    scenarios = [SCENARIOS[only.scenario]] if only else [*SCENARIOS.values()]
    with processes(options.processes) as pool:
        calls = {name: found.calls for name, found in all_undisturbed(pool, scenarios).items()}
        if only:
            outcomes, said = [*run(pool, [only])], [str(only)]
        else:
            outcomes, said = _matrix(pool, scenarios, calls, every=options.all)
    table, failed = Table(outcomes), failures(outcomes, calls)
    said.append(f"{table.injected:,} points, {table.survived:,} survived.")
    _tell("\n".join([*failed, *([] if only else [table.text(), ""]), *said, f"{time.monotonic() - began:.0f} s"]), sys.stdout)
    if options.write:
        write(DOCUMENT, table, said)
    if options.json:
        names = [str(outcome.point) for outcome in outcomes if outcome.failure is not None]
        options.json.write_text(json.dumps({"said": said, "table": table.document(), "failed": names}, indent=2))
    return 1 if failed else 0


def _matrix(
    pool: ProcessPoolExecutor, scenarios: Sequence[Scenario], calls: dict[str, Sequence[Call]], *, every: bool
) -> tuple[list[Outcome], list[str]]:
    """All points, and in words what they are."""
    firsts = {flow: next(scenario for scenario in scenarios if scenario.flow == flow) for flow in FLOWS}
    points = [
        point
        for scenario in scenarios
        for point in singles(scenario, calls[scenario.name], every=every or scenario is firsts[scenario.flow])
    ]
    outcomes = [*_told(run(pool, points), len(points), "one fault")]
    twice = [scenario for scenario in scenarios if scenario.pairs]
    double = [point for scenario in twice for point in pairs(scenario, calls[scenario.name], outcomes)]
    outcomes += _told(run(pool, double), len(double), "two faults")
    where = "every scenario" if every else "the first scenario of each flow, those of each class at the calls of the others"
    size = f"{len(FLOWS)} flows, {len(scenarios)} scenarios, {sum(map(len, calls.values()))} remote calls."
    one = f"One fault: {len(points):,} points, all kinds at every call of {where}."
    named = ", ".join(scenario.name for scenario in twice)
    two = f"Two faults: {len(double):,} points, every call of the first delivery with every call of the second ({named});"
    return outcomes, [size, one, f"{two} the pairs of kinds take turns."]


def _told(outcomes: Iterable[Outcome], total: int, what: str) -> Iterable[Outcome]:
    """The same outcomes; says now and then how far it is, and at once what has not survived."""
    last = time.monotonic()
    for done, outcome in enumerate(outcomes, 1):
        if outcome.failure is not None:
            _tell(f"not survived: {outcome.point}", sys.stderr)
        if done == total or time.monotonic() - last > _SAID_EACH:
            last = time.monotonic()
            _tell(f"faults: {what}, {done:,} of {total:,}", sys.stderr)
        yield outcome


def _tell(text: str, where: TextIO) -> None:
    where.write(f"{text}\n")
    where.flush()


if __name__ == "__main__":
    sys.exit(main())
