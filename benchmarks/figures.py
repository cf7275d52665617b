"""What a benchmark comes to: figures, each measured against a floor or an alternative in the same run."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Unit = Literal["ms", "calls", "modules", "MB", "dollars"]

type Say = Callable[[str], None]
"""Tells a person how far a benchmark is."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement: `value` against `other`, both in `unit`.

    part: of the benchmark. name: what was measured. against: what `other` is. target: the ratio that is to be kept, None
    where the figure is there to be known.
    """

    part: str
    name: str
    value: float
    against: str
    other: float
    unit: Unit
    target: float | None = None

    @property
    def identity(self) -> tuple[str, str, str]:
        """What it is in every run; what stands in parentheses was found in this one."""
        return self.part, self.name.partition(" (")[0], self.against.partition(" (")[0]

    @property
    def ratio(self) -> float:
        """`value` as a multiple of `other`."""
        return self.value / self.other

    @property
    def met(self) -> bool | None:
        """Whether the target is kept; None where there is none."""
        # As it is shown: a ratio of 2.004 is told as 2.00.
        return None if self.target is None else round(self.ratio, 2) <= self.target


def processor_ms(work: Sequence[Callable[[], object]], *, rounds: int) -> list[float]:
    """Processor time of each piece of work in milliseconds, the least of several rounds.

    The pieces take turns, so that what else the machine does falls on all of them alike.
    """
    least = [float("inf")] * len(work)
    for _ in range(rounds):
        for number, run in enumerate(work):
            gc.collect()
            began = time.process_time()
            run()
            least[number] = min(least[number], time.process_time() - began)
    return [seconds * 1000 for seconds in least]
