"""Retry: dead letters that only had bad luck get another run by themselves, further and further apart.

A vendor that was down for longer than a queue tries, a record that was locked each time. What a person must mend stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from orderphase.errors import ConflictError, OrderphaseError, TransientError, UnknownOutcomeError
from orderphase.store.dead_letters import DeadLetters, Letter
from orderphase.store.sync_log import Ending

FIRST = timedelta(minutes=15)
"""So long after its last failure a letter is replayed; after each replay twice as long as before."""

MOST_REPLAYS = 5
"""Then it stays, about ten hours after it has failed first: each replay is tried for half an hour."""

_LOOKED_AT = 200
"""So many letters of a flow are looked at in one run."""

_PASSING = frozenset({TransientError.kind, UnknownOutcomeError.kind, ConflictError.kind})


class Log(Protocol):
    """The sync log."""

    def last(self, record_id: str, event_id: str) -> Ending | None:
        """How the last run of an event about a record has ended."""


@dataclass(frozen=True, slots=True)
class Retried:
    """What a run has come to, in letters. later: they are replayed by a later run. left: they stay for a person."""

    replayed: int
    later: int
    left: int


class Retry:
    """Replays what is due, the longest waiting first.

    per_run: how many letters at most, over all flows, so that a vendor that is just back is not overrun.
    """

    def __init__(self, letters: DeadLetters, log: Log, now: Callable[[], datetime], *, per_run: int = 20) -> None:
        self._letters = letters
        self._log = log
        self._now = now
        self._per_run = per_run

    def run(self) -> Retried:
        """Look at the dead letters of every flow, and replay what is due. What stays can be received again at once.

        One that cannot be replayed stays too and keeps none of the others; the first such problem is raised at the end,
        classified.
        """
        held = [letter for flow in self._letters.flows for letter in self._letters.receive(flow, _LOOKED_AT)]
        replayed: set[str] = set()
        problems: list[OrderphaseError] = []
        try:
            times = [(due, letter) for letter in held if (due := self._due(letter)) is not None]
            ready = sorted((one for one in times if one[0] <= self._now()), key=lambda one: one[0])
            for _, letter in ready[: self._per_run]:
                try:
                    self._letters.replay(letter)
                    replayed.add(letter.receipt)
                except OrderphaseError as problem:
                    problems.append(problem)
        finally:
            for letter in held:
                if letter.receipt not in replayed:
                    self._letters.release(letter)
        if problems:
            raise problems[0]
        return Retried(len(replayed), len(times) - len(replayed), len(held) - len(times))

    def _due(self, letter: Letter) -> datetime | None:
        """When a letter is to be replayed; None where it is for a person."""
        if letter.error is not None or letter.replays >= MOST_REPLAYS or not letter.readable or not letter.records:
            return None
        distance = FIRST * (1 << letter.replays)
        # It has failed after it was sent, so it is not due before this: no need to look why it failed.
        if letter.since + distance > self._now():
            return letter.since + distance
        last = self._log.last(letter.records[0], letter.event_id)
        if last is None:
            # Its runs were killed before they could say anything, as by a vendor that keeps them waiting.
            return letter.since + distance
        # Where the event was handled since, this is a copy of it that a replay has left behind. Another one clears it away.
        if last.outcome == "interrupted" and last.error not in _PASSING:
            return None
        return last.finished_at + distance
