"""Which points there are: every call of every scenario, with every fault that can strike it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.faults.kinds import KINDS, PAIRED
from tests.faults.scenarios import Scenario
from tests.faults.wire import Call

_HIT = re.compile(r"(?P<kind>.+) @(?P<call>\d+)")


@dataclass(frozen=True, slots=True)
class Hit:
    """A kind of fault, by its name, and the number of the call that it strikes."""

    kind: str
    call: int

    def __str__(self) -> str:
        return f"{self.kind} @{self.call}"


@dataclass(frozen=True, slots=True)
class Point:
    """A scenario, by its name, and what strikes: of two faults, the second strikes the delivery after the first."""

    scenario: str
    hits: tuple[Hit, ...]

    def __str__(self) -> str:
        return f"{self.scenario}: {' then '.join(map(str, self.hits))}"

    @classmethod
    def named(cls, name: str, scenarios: Mapping[str, Scenario]) -> Point:
        """The point of a name. Raises ValueError where there can be none."""
        scenario, _, rest = name.rpartition(": ")
        found = [_HIT.fullmatch(hit) for hit in rest.split(" then ")]
        hits = tuple(Hit(hit["kind"], int(hit["call"])) for hit in found if hit and hit["kind"] in KINDS)
        if scenario not in scenarios or len(hits) != len(found):
            raise ValueError(f"{name!r} is no point; one is 'first order: answer lost @7'")
        return cls(scenario, hits)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a point has come to. failure: why it has not survived, None if it has. calls: how many each delivery made."""

    point: Point
    failure: str | None
    calls: Sequence[int] = ()


def singles(scenario: Scenario, calls: Sequence[Call], *, every: bool) -> list[Point]:
    """One fault. every: all kinds, else those that stand for the others."""
    return [
        Point(scenario.name, (Hit(kind.name, number),))
        for number, call in enumerate(calls)
        for kind in KINDS.values()
        if kind.strikes(call, number) and (every or kind.everywhere) and (scenario.days or kind.then is None)
    ]


def pairs(scenario: Scenario, calls: Sequence[Call], outcomes: Iterable[Outcome]) -> Iterator[Point]:
    """Two faults: each call of the first delivery with each of the second, and of the pairs of kinds one after the other.

    outcomes: of the single faults, which tell how many calls there are after each.
    """
    known = {outcome.point.hits: outcome.calls for outcome in outcomes if outcome.point.scenario == scenario.name}
    for number, call in enumerate(calls):
        kinds = [name for name in PAIRED if KINDS[name].strikes(call, number)]
        after = {name: known.get((Hit(name, number),), ()) for name in kinds}
        for second in range(max((made[1] for made in after.values() if len(made) > 1), default=0)):
            first = kinds[(number + second) % len(kinds)]
            if len(after[first]) > 1 and second < after[first][1]:
                kind = PAIRED[(number + second // len(PAIRED)) % len(PAIRED)]
                yield Point(scenario.name, (Hit(first, number), Hit(kind, second)))
