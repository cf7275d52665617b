"""What a scene shows and what it claims: the same for the terminal and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from orderphase.domain.phases import Consolidation
from orderphase.timeline import TimelineLine


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A few sentences."""

    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A timeline; without `words` where phases and findings are told elsewhere."""

    title: str
    lines: Sequence[TimelineLine]
    consolidated: Consolidation
    words: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below a head, as many cells in each."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Output:
    """What a command has printed; a terminal cuts lines that are too long for it, the page has them whole."""

    command: str
    text: str


@dataclass(frozen=True, slots=True)
class Raw:
    """What a system has answered, as JSON; on the page alone."""

    title: str
    value: Any


Block = Paragraph | Picture | Table | Output | Raw


@dataclass(frozen=True, slots=True)
class Check:
    """A claim that was looked into; `found` is what was there instead, where it does not hold."""

    claim: str
    holds: bool
    found: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene of the demo, played to its end."""

    title: str
    story: str
    blocks: Sequence[Block]
    checks: Sequence[Check]

    @property
    def holds(self) -> bool:
        """Whether everything is as it should be."""
        return all(check.holds for check in self.checks)


def equal(claim: str, found: object, expected: object) -> Check:
    """Check that something is what it should be."""
    return Check(claim, found == expected, f"found {found!r}, expected {expected!r}")


def steps(counts: Sequence[int]) -> list[int]:
    """By how much a count has risen each time."""
    return [after - before for before, after in pairwise(counts)]
