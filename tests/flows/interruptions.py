"""Runs that are killed, or whose calls fail, between two of their remote calls. Every fault at every call: `tests.faults`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orderphase.flows.contract_runs import ContractRuns
from tests.faults.wire import KilledError
from tests.flows.world import operation_of

__all__ = ["KilledError", "Mortal", "mortal"]


class Mortal:
    """Stands before a collaborator, and kills the process before or after one of its calls."""

    def __init__(self, inner: Any, step: Callable[[str, Callable[[], Any]], Any]) -> None:
        self._inner, self._step = inner, step

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        if not callable(member):
            return member
        return lambda *args, **kwargs: self._step(name, lambda: member(*args, **kwargs))


def mortal(
    runs: ContractRuns, at: int, *, after: bool, end: type[BaseException] = KilledError
) -> tuple[ContractRuns, list[str]]:
    """The collaborators of a run that is killed before or after its remote call number `at`; and the calls that it has made.

    end: what comes instead, if the process is not killed but the call fails.
    """
    made: list[str] = []

    def step(name: str, call: Callable[[], Any]) -> Any:
        if len(made) > at and end is KilledError:
            raise end  # a dead process does not clean up
        made.append(name)
        if len(made) - 1 != at:
            return call()
        if after:
            call()
        raise end(name)

    facts, connection = runs._facts, runs.stripe.connection(runs.stripe.default)
    request: Any = connection.call
    connection.call = lambda *args, **kwargs: step(  # type: ignore[method-assign]  # stands before the real one
        operation_of(*args), lambda: request(*args, **kwargs)
    )
    parts: Any = runs
    parts._facts = lambda account: Mortal(facts(account), lambda name, call: step(f"facts.{name}", call))
    for owner, name in (
        (runs, "contracts"),
        (runs._back, "contracts"),
        (runs, "table"),
        (runs, "_salesforce_accounts"),
        (runs._runs, "_log"),
    ):
        setattr(owner, name, Mortal(getattr(owner, name), step))
    return runs, made
