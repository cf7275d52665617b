"""Runs points in processes side by side."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cache

from tests.faults.flows import SCENARIOS
from tests.faults.points import Outcome, Point
from tests.faults.scenarios import Scenario
from tests.faults.stage import stage
from tests.faults.trial import Undisturbed, disturbed, undisturbed

LONGEST = 120
"""Seconds that a point may take; it takes a fraction of one. A process that is stuck says where, and ends the command."""

_AT_ONCE = 20


@contextmanager
def processes(number: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes that wait for work."""
    with ProcessPoolExecutor(number, mp_context=multiprocessing.get_context("fork"), initializer=_silent) as pool:
        yield pool


def all_undisturbed(pool: ProcessPoolExecutor, scenarios: Sequence[Scenario]) -> dict[str, Undisturbed]:
    """What each scenario calls and leaves where nothing goes wrong. Raises AssertionError where that does not end well."""
    names = [scenario.name for scenario in scenarios]
    return dict(zip(names, pool.map(without_faults, names), strict=True))


def run(pool: ProcessPoolExecutor, points: Sequence[Point]) -> Iterator[Outcome]:
    """The outcome of each point, as they come."""
    # One scenario after the other: a process prepares itself for each only once.
    ordered = sorted(points, key=lambda point: point.scenario)
    parts = [ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE)]
    for done in as_completed([pool.submit(_attempts, part) for part in parts]):
        yield from done.result()


def _silent() -> None:
    """What the functions log is not for this command."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@cache
def without_faults(name: str) -> Undisturbed:
    """What a scenario calls and leaves where nothing goes wrong. Raises AssertionError where that does not end well."""
    scenario = SCENARIOS[name]
    with stage(**scenario.variables) as here:
        try:
            return undisturbed(here, scenario)
        except Exception as problem:
            raise AssertionError(f"{name}, undisturbed: {type(problem).__name__}: {problem}") from problem


def _attempts(points: Sequence[Point]) -> list[Outcome]:
    return [with_faults(point) for point in points]


def with_faults(point: Point) -> Outcome:
    """What a point has come to."""
    expected, scenario = without_faults(point.scenario), SCENARIOS[point.scenario]
    faulthandler.dump_traceback_later(LONGEST, exit=True)
    try:
        with stage(**scenario.variables) as here:
            return disturbed(here, scenario, expected, point)
    finally:
        faulthandler.cancel_dump_traceback_later()
