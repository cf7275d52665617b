"""`python -m benchmarks`: everything that is measured, as one table, as JSON and as a picture.

Each figure is a ratio: what was measured against a floor or an alternative, in the same run. A target is a ratio that is to be
kept; what misses it is said so, and is no error: the machine may be busy.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks import cold_start, consolidation, documents, growth, runs
from benchmarks.figures import Figure, Say
from benchmarks.picture import draw
from benchmarks.report import side_by_side, table
from orderphase.cli.arguments import whole_number
from sandbox.build import ROOT
from sandbox.processes import StackError

PARTS = (consolidation.PART, runs.PART, cold_start.PART, growth.PART)
RESULT = ROOT / ".stack" / "bench.json"
BEFORE = RESULT.with_name("bench-before.json")
PICTURE = RESULT.with_suffix(".svg")
DOCUMENT = ROOT / "docs" / "performance.md"
DRAWN = ROOT / "docs" / "performance.svg"


@dataclass(frozen=True, slots=True)
class Run:
    """All figures of one run. machine: what it ran on. measured_at: ISO 8601, UTC; seconds: how long it took."""

    figures: tuple[Figure, ...]
    machine: str
    measured_at: str
    seconds: float

    @classmethod
    def read(cls, path: Path) -> Run:
        """A run that was saved."""
        saved = json.loads(path.read_text())
        figures = tuple(Figure(**{name: one[name] for name in Figure.__slots__}) for one in saved.pop("figures"))
        return cls(figures=figures, **saved)

    def save(self, path: Path) -> None:
        """Save it as JSON, with the ratios spelled out."""
        figures = [{**asdict(one), "ratio": one.ratio, "met": one.met} for one in self.figures]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**asdict(self), "figures": figures}, indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part alone; may be given again")
    most = growth.CONTRACTS[-1]
    parser.add_argument("--contracts", type=whole_number, default=most, help=f"compared at most (default {most:,})")
    parser.add_argument(
        "--write", action="store_true", help=f"put this run and the one before it into {DOCUMENT.relative_to(ROOT)}"
    )
    options = parser.parse_args(arguments)
    if options.write and options.only:
        parser.error("--write takes a whole run, so it does not go with --only")
    try:
        run = measured(options.only or [*PARTS], _say, contracts=options.contracts)
    except (StackError, TimeoutError, AssertionError, ValueError) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    print("\n".join(table(run.figures)))
    print(f"\n{_verdict(run)}")
    if options.only:
        return 0
    if RESULT.exists():
        RESULT.replace(BEFORE)
    run.save(RESULT)
    draw(run.figures, PICTURE)
    print(f"The numbers are in {RESULT.relative_to(ROOT)}, the picture is {PICTURE.relative_to(ROOT)}.")
    if options.write:
        told = [Run.read(BEFORE), run] if BEFORE.exists() else [run]
        try:
            documents.put(DOCUMENT, "bench", "\n".join(_told(told)))
        except ValueError as problem:
            print(f"bench: {problem}", file=sys.stderr)
            return 1
        draw(run.figures, DRAWN)
    return 0


def measured(parts: Sequence[str], say: Say, *, contracts: int) -> Run:
    """Measure these parts, the last with so many contracts at most."""
    measures: dict[str, Callable[[Say], Iterator[Figure]]] = {
        consolidation.PART: consolidation.measure,
        runs.PART: runs.measure,
        cold_start.PART: cold_start.measure,
        growth.PART: partial(growth.measure, most=contracts),
    }
    began, at = time.monotonic(), datetime.now(UTC)
    figures = tuple(figure for name in parts for figure in measures[name](say))
    machine = f"{os.cpu_count()} processors ({platform.machine()}), CPython {platform.python_version()}"
    return Run(figures, machine, at.isoformat(timespec="minutes"), round(time.monotonic() - began))


def _verdict(run: Run) -> str:
    missed = [one for one in run.figures if one.met is False]
    kept = sum(one.met is True for one in run.figures)
    return f"{kept} of {kept + len(missed)} targets are met, in {run.seconds / 60:.0f} minutes on {run.machine}."


def _told(runs: Sequence[Run]) -> Iterator[str]:
    for number, run in enumerate(runs, 1):
        yield f"Run {number}: {run.measured_at}, {_verdict(run)}"
        yield ""
    yield from side_by_side([run.figures for run in runs])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
