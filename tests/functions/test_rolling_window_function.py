"""The function that the clock starts: when it looks, what it answers, and how it fails."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from functions.rolling_window import app
from orderphase.errors import TransientError
from tests.functions.deployed import Output
from tests.invocation import Context

SAMPLE = json.loads((Path(__file__).resolve().parents[2] / "events" / "rolling_window.json").read_text())
CONTEXT: Any = Context()


class Window:
    """Finds three contracts, or fails. It is what the environment builds."""

    def __init__(self) -> None:
        self.moments: list[datetime] = []
        self.built = 0
        self.problem: Exception | None = None

    def build(self, _: object) -> Window:
        self.built += 1
        return self

    def run(self, now: datetime) -> int:
        self.moments.append(now)
        if self.problem is not None:
            raise self.problem
        return 3


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Window:
    found = Window()
    monkeypatch.setattr(app.job, "job", cache(lambda: found.build(None)))
    return found


def test_it_looks_at_the_present_and_tells_how_many_were_queued(window: Window, output: Output) -> None:
    before = datetime.now(UTC)
    assert app.handler(SAMPLE, CONTEXT) == {"queued": 3}
    (moment,) = window.moments
    assert before <= moment <= datetime.now(UTC)
    assert output.counted() == {"Queued": 3}
    (line,) = output.lines()
    assert (line["level"], line["message"], line["queued"]) == ("INFO", "done", 3)


def test_it_is_built_once(window: Window, output: Output) -> None:
    app.handler(SAMPLE, CONTEXT)
    app.handler(SAMPLE, CONTEXT)
    assert (window.built, len(window.moments)) == (1, 2)


@pytest.mark.parametrize(
    ("problem", "kind"), [(TransientError("AWS did not take it", code="Throttled"), "transient"), (KeyError("800"), "bug")]
)
def test_a_failure_is_an_error_of_the_function(window: Window, output: Output, problem: Exception, kind: str) -> None:
    window.problem = problem
    with pytest.raises(type(problem)):
        app.handler(SAMPLE, CONTEXT)
    assert output.counted() == {f"Interrupted_{kind}": 1}
    (line,) = output.lines()
    assert (line["message"], line["error"]) == ("interrupted", kind)
