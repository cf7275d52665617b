"""One trial: a case is disturbed once or twice, comes again, and must end as if nothing had happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from orderphase.errors import OrderphaseError
from tests.faults.kinds import KINDS
from tests.faults.points import Outcome, Point
from tests.faults.scenarios import Case, Scenario
from tests.faults.stage import Stage
from tests.faults.wire import Call, KilledError

DELIVERIES = 6
"""So often a message may come until it must have been dealt with. SQS: it becomes a dead letter after ten."""

_LOG = "dynamodb", "PutItem sync_log"


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """A case that nothing disturbs: its calls, and what it leaves."""

    calls: Sequence[Call]
    left: Any


def undisturbed(here: Stage, scenario: Scenario) -> Undisturbed:
    """Let it happen once. Raises AssertionError where that, or a repetition, does not end well."""
    case = scenario.prepare(here)
    trial = _Trial(here, case)
    assert trial.deliver({}, scenario.again), f"it does not come to an end by itself: {here.problems}"
    found = Undisturbed([_plain(call) for call in here.wire.trace], case.left())
    trial.check_end(found.left)
    return found


def disturbed(here: Stage, scenario: Scenario, expected: Undisturbed, point: Point) -> Outcome:
    """Let it happen with faults. That it does not end as the undisturbed case is the outcome."""
    trial = _Trial(here, scenario.prepare(here))
    calls: Sequence[int] = ()
    try:
        _disturb(here, trial, scenario, point)
        calls = tuple(trial.calls)
        trial.check_end(expected.left)
    except Exception as problem:  # noqa: BLE001 (whatever it is, the point has not survived)
        told = [f"{type(one).__name__}: {one}" for one in here.problems]
        return Outcome(point, f"{type(problem).__name__}: {problem}\n  interrupted by {told}", calls)
    return Outcome(point, None, calls)


def _disturb(here: Stage, trial: _Trial, scenario: Scenario, point: Point) -> None:
    hits = list(point.hits)
    for _ in range(DELIVERIES):
        hit = hits.pop(0) if hits else None
        faults = {hit.call: KINDS[hit.kind].strike} if hit else {}
        done = trial.deliver(faults, (KINDS[hit.kind].then if hit else None) or scenario.again)
        assert hit is None or here.wire.struck, f"{hit} has not struck: there are {len(here.wire.trace)} calls"
        if done:
            break
    else:
        raise AssertionError(f"{DELIVERIES} deliveries have not gone through")
    assert not hits, f"{hits[0]} has not struck: there was no further delivery"
    here.salesforce.faults.clear()
    here.stripe.faults.clear()


class _Trial:
    """The deliveries of a case, and what each must have left in the sync log.

    calls: how many each has made.
    """

    def __init__(self, here: Stage, case: Case) -> None:
        self._here, self._case = here, case
        self._entries = len(here.log_entries())
        self.calls: list[int] = []
        here.renew()

    def deliver(self, faults: Mapping[int, Any], then: timedelta) -> bool:
        """Have it arrive once; answers whether it is over. If not, time passes; after a kill the environment is a new one."""
        here, done, killed = self._here, False, False
        with here.wire.delivery(faults):
            try:
                done = self._case.arrival.arrive(here)
            except KilledError:
                killed = True
        trace = here.wire.trace
        self.calls.append(len(trace))
        if self._case.logged:
            self._check_log(trace, killed=killed)
        if killed:
            here.renew()
        if not done:
            here.clock.advance(then)
        return done

    def _check_log(self, trace: Sequence[Call], *, killed: bool) -> None:
        """A run logs itself once, whatever it comes to. It has begun where a vendor was asked."""
        logged = [call.done for call in trace if (call.system, call.name) == _LOG]
        began = any(call.system in ("Salesforce", "Stripe") for call in trace)
        if began and not killed:
            assert len(logged) == 1, f"a run has written {len(logged)} entries to the sync log"
        assert len(logged) <= 1, "a run has written two entries to the sync log"
        self._entries += sum(logged)
        found = len(self._here.log_entries())
        assert found == self._entries, f"the sync log has {found - self._entries:+} entries"

    def check_end(self, left: Any) -> None:
        """Whether all is as it should be, and stays so when the message comes once more. Raises AssertionError."""
        here, case = self._here, self._case
        bugs = [problem for problem in here.problems if not isinstance(problem, OrderphaseError)]
        assert not bugs, f"a bug: {bugs!r}"
        self._check_lease()
        _same(case.left(), left)
        if case.logged:
            outcome = here.log_entries()[-1]["outcome"]
            assert outcome in ("synced", "unchanged", "skipped"), f"the last run is {outcome}"
        here.clock.advance(timedelta(minutes=1))
        here.renew()
        traces = here.traces()
        assert self.deliver({}, timedelta()), "what comes once more is not dealt with"
        _same(here.traces(), traces)
        _same(case.left(), left)
        self._check_lease()

    def _check_lease(self) -> None:
        if self._case.contract is not None:
            ledger = self._here.ledger(self._case.contract)
            assert ledger["lease_until"] <= self._here.clock.now().timestamp(), "the lease is held"


def _same(found: Any, expected: Any) -> None:
    if found == expected:
        return
    if isinstance(found, dict) and isinstance(expected, dict):
        differing = [name for name in expected.keys() | found.keys() if found.get(name) != expected.get(name)]
        found, expected = ({name: one.get(name) for name in sorted(differing)} for one in (found, expected))
    raise AssertionError(f"is {found!r}, undisturbed it is {expected!r}")


def _plain(call: Call) -> Call:
    """A call without the emulator, which no other process has."""
    call.emulator = None
    return call
