"""What proves each class of fault once; the whole matrix is `make faults`. And the matrix itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from orderphase.ingress import queues
from orderphase.store.contracts import ContractTable
from orderphase.stripe.account import StripeAccount
from tests.faults import __main__ as command
from tests.faults.flows import FLOWS, SCENARIOS
from tests.faults.kinds import KINDS, PAIRED, ROWS
from tests.faults.points import Hit, Outcome, Point, pairs, singles
from tests.faults.runner import with_faults, without_faults
from tests.faults.table import Table, failures, write
from tests.faults.trial import Undisturbed
from tests.faults.wire import Call

ROOT = Path(__file__).resolve().parents[2]
FIRST, SHARES, SAMPLE = "first order", 6, 30
"""The first order has every fault of each class, in so many parts; of the others every so many are tried."""


def survive(points: list[Point]) -> None:
    assert points
    assert [outcome.failure for point in points if (outcome := with_faults(point)).failure is not None] == []


@pytest.mark.parametrize("share", range(SHARES))
def test_the_first_order_survives(share: int) -> None:
    survive(singles(SCENARIOS[FIRST], without_faults(FIRST).calls, every=False)[share::SHARES])


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != FIRST])
def test_a_sample_of_each_scenario_survives(name: str) -> None:
    points = singles(SCENARIOS[name], without_faults(name).calls, every=True)
    # Another part of each, so that all kinds are among them.
    survive(points[[*SCENARIOS].index(name) % min(SAMPLE, len(points)) :: SAMPLE])


def test_two_faults_of_one_history() -> None:
    calls = without_faults("new price").calls
    points = singles(SCENARIOS["new price"], calls, every=False)
    once = [with_faults(point) for point in points if point.hits[0].kind in PAIRED]
    twice = [*pairs(SCENARIOS["new price"], calls, once)]
    assert {len(point.hits) for point in twice} == {2}
    assert len({str(point) for point in twice}) == len(twice) > len(calls)
    survive(twice[::SAMPLE])


def test_what_the_first_order_leaves() -> None:
    left = without_faults(FIRST).left
    assert left["objects"] == {
        "customer": 1,
        "product": 2,
        "price": 2,
        "coupon": 2,
        "subscription_schedule": 1,
        "subscription": 0,
    }
    assert left["orders"] == [("Synced", None)]
    assert left["ledger"] == ("recorded", 1, True)


@pytest.mark.parametrize("name", [name for name, one in SCENARIOS.items() if one.flow in FLOWS[:4] and name != "drift"])
def test_both_sides_agree_undisturbed(name: str) -> None:
    left = without_faults(name).left
    sides = "ids", "customer", "prices", "products"
    assert {side: left[side] for side in sides} == dict.fromkeys(sides, True)
    assert left["ledger"][0] == "recorded"


# Whether it would find anything


@contextmanager
def spoiled(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, instead: Any) -> Iterator[None]:
    """The product without one of its precautions."""
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, instead)
        yield


def failure(point: str) -> str:
    return with_faults(Point.named(point, SCENARIOS)).failure or ""


def test_a_second_schedule_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = without_faults(FIRST).calls
    number = next(at for at, call in enumerate(calls) if call.name == "POST /v1/subscription_schedules")
    point = f"{FIRST}: killed after, a day passes @{number}"
    assert failure(point) == ""
    with spoiled(monkeypatch, StripeAccount, "find_schedule", lambda *_, **__: None):
        assert "'subscription_schedule': 2" in failure(point)


def test_a_second_message_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with spoiled(monkeypatch, queues, "_digest", lambda _: uuid4().hex):
        assert "queued: ['order_activation', 'order_activation']" in failure("event: answer lost @2")


def test_a_lease_that_is_kept_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    without_faults(FIRST)
    with spoiled(monkeypatch, ContractTable, "release", lambda *_, **__: None):
        assert "the lease is held" in failure(f"{FIRST}: 429 @9")


def test_a_fault_that_cannot_strike_is_found_out() -> None:
    assert "has not struck" in failure("event: answer lost @40")
    assert "there was no further delivery" in failure("new price: 429 @3 then killed after @0")


# The points and their table


def test_every_kind_strikes_somewhere() -> None:
    calls = [call for name in (FIRST, "event", "letters") for call in without_faults(name).calls]
    assert {name for name, kind in KINDS.items() if any(kind.strikes(call, at) for at, call in enumerate(calls))} == set(KINDS)


def test_each_row_stands_for_a_kind_that_is_tried_everywhere_or_in_the_first_scenario_of_a_flow() -> None:
    assert {kind.row for kind in KINDS.values() if kind.everywhere} < set(ROWS)


def test_a_point_is_known_by_its_name() -> None:
    point = Point(FIRST, (Hit("answer lost, repeated by the client", 3), Hit("killed after", 12)))
    assert str(point) == "first order: answer lost, repeated by the client @3 then killed after @12"
    assert Point.named(str(point), SCENARIOS) == point
    for name in ("first order", "first order: @1", "first order: lost @1", "no such: 429 @1", "first order: 429 @1 then 429"):
        with pytest.raises(ValueError, match="is no point"):
            Point.named(name, SCENARIOS)


def outcomes() -> list[Outcome]:
    hits = [("429", 1), ("429", 2), ("answer lost", 2)]
    found = [Outcome(Point(FIRST, (Hit(kind, at),)), None, (9,)) for kind, at in hits]
    lost = Point("cancellation", (Hit("killed after", 1), Hit("killed after", 0)))
    return [*found, Outcome(lost, "there are two schedules", (9, 3))]


def test_the_table() -> None:
    table = Table(outcomes())
    assert (table.injected, table.survived) == (4, 3)
    assert table.markdown().splitlines() == [
        "| fault | order activation | cancellation | all |",
        "| --- | --: | --: | --: |",
        "| answer lost | 1 |  | 1 |",
        "| throttled | 2 |  | 2 |",
        "| two faults |  | 0/1 | 0/1 |",
        "| all | 3 | 0/1 | 3/4 |",
    ]
    assert table.text().splitlines()[0].split() == ["fault", "1)", "2)", "all"]
    assert table.document()["two faults"] == {
        "cancellation": {"injected": 1, "survived": 0},
        "all": {"injected": 1, "survived": 0},
    }
    (told,) = failures(outcomes(), {"cancellation": [Call("Stripe", "GET /v1/prices"), Call("sqs", "SendMessage")]})
    assert told.splitlines() == [
        "cancellation: killed after @1 then killed after @0",
        "  call 1 of the undisturbed run: sqs SendMessage",
        "  there are two schedules",
    ]


def test_the_table_goes_between_its_marks(tmp_path: Path) -> None:
    document = tmp_path / "reliability.md"
    document.write_text("before\n<!-- faults -->\nold\n<!-- /faults -->\nafter\n")
    for _ in range(2):
        write(document, Table(outcomes()), ["4 points."])
    assert document.read_text() == (
        f"before\n<!-- faults -->\n4 points.\n\n{Table(outcomes()).markdown()}\n<!-- /faults -->\nafter\n"
    )
    document.write_text("nothing")
    with pytest.raises(ValueError, match="no place"):
        write(document, Table(outcomes()), [])


# The command


def test_one_point_by_its_name(tmp_path: Path) -> None:
    said = tmp_path / "faults.json"
    arguments = ["--only", "event: answer lost @2", "--processes", "1", "--json", str(said)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "1 points, 1 survived." in done.stdout) == (0, True), done.stderr
    assert json.loads(said.read_text())["failed"] == []


def test_a_point_that_does_not_survive_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def nobody(number: int) -> Iterator[None]:
        yield

    monkeypatch.setattr(command, "processes", nobody)
    monkeypatch.setattr(command, "all_undisturbed", lambda _, some: {one.name: Undisturbed([], None) for one in some})
    monkeypatch.setattr(command, "run", lambda _, points: [Outcome(point, "it is billed twice") for point in points])
    assert command.main(["--only", "event: answer lost @2"]) == 1
    assert "event: answer lost @2\n  call 2\n  it is billed twice" in capsys.readouterr().out
    assert command.main(["--only", "nonsense"]) == 2
