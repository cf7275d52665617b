"""The outcomes as a table: a row for each fault, a column for each flow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import documents
from tests.faults.flows import FLOWS, SCENARIOS
from tests.faults.kinds import KINDS, ROWS
from tests.faults.points import Outcome

TWO = "two faults"
TOTAL = "all"


class Table:
    """What was injected, and what has survived, by fault and flow."""

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self._injected: Counter[tuple[str, str]] = Counter()
        self._survived: Counter[tuple[str, str]] = Counter()
        for outcome in outcomes:
            hits, flow = outcome.point.hits, SCENARIOS[outcome.point.scenario].flow
            row = KINDS[hits[0].kind].row if len(hits) == 1 else TWO
            for cell in ((row, flow), (row, TOTAL), (TOTAL, flow), (TOTAL, TOTAL)):
                self._injected[cell] += 1
                self._survived[cell] += outcome.failure is None
        self.flows = [flow for flow in FLOWS if self._injected[TOTAL, flow]]
        self.rows = [row for row in (*ROWS, TWO, TOTAL) if self._injected[row, TOTAL]]

    @property
    def injected(self) -> int:
        """How many points there are."""
        return self._injected[TOTAL, TOTAL]

    @property
    def survived(self) -> int:
        """How many of them have survived."""
        return self._survived[TOTAL, TOTAL]

    def _cell(self, row: str, flow: str) -> str:
        injected, survived = self._injected[row, flow], self._survived[row, flow]
        if injected == 0:
            return ""
        return str(injected) if survived == injected else f"{survived}/{injected}"

    def _cells(self) -> list[list[str]]:
        columns = [*self.flows, TOTAL]
        return [["", *columns], *([row, *(self._cell(row, flow) for flow in columns)] for row in self.rows)]

    def text(self) -> str:
        """For a terminal: the names of the flows stand upright, one column each."""
        rows = self._cells()
        numbered = [["fault", *(f"{number})" for number in range(1, len(self.flows) + 1)), TOTAL], *rows[1:]]
        widths = [max(len(row[column]) for row in numbered) for column in range(len(numbered[0]))]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
            for row in numbered
        ]
        names = ", ".join(f"{number}) {flow}" for number, flow in enumerate(self.flows, 1))
        return "\n".join([*(line.rstrip() for line in lines), "", f"Flows: {names}."])

    def markdown(self) -> str:
        """For a document."""
        header, *rows = self._cells()
        ruler = ["---", *(["--:"] * (len(header) - 1))]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (["fault", *header[1:]], ruler, *rows))

    def document(self) -> dict[str, Any]:
        """For a program: by fault and flow, points injected and survived."""
        return {
            row: {
                flow: {"injected": self._injected[row, flow], "survived": self._survived[row, flow]}
                for flow in (*self.flows, TOTAL)
                if self._injected[row, flow]
            }
            for row in self.rows
        }


def write(path: Path, table: Table, said: Sequence[str]) -> None:
    """Put the table, and what was run, into a document. Raises as `documents.put`."""
    documents.put(path, "faults", "\n".join([*said, "", table.markdown()]))


def failures(outcomes: Iterable[Outcome], calls: Mapping[str, Sequence[Any]]) -> list[str]:
    """Each point that has not survived, with the call of its first fault, and why."""
    return [
        f"{outcome.point}\n  {_about(outcome, calls)}\n  {outcome.failure}"
        for outcome in outcomes
        if outcome.failure is not None
    ]


def _about(outcome: Outcome, calls: Mapping[str, Sequence[Any]]) -> str:
    made, number = calls[outcome.point.scenario], outcome.point.hits[0].call
    return f"call {number} of the undisturbed run: {made[number]}" if number < len(made) else f"call {number}"
