"""The circuit: when the queues are left alone, and when they are taken from again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orderphase.errors import ConfigurationError, CredentialsError, OrderphaseError, TransientError, UnknownOutcomeError
from orderphase.flows.circuit import CIRCUIT, SUSPICION, Circuit
from orderphase.flows.recovery import Recovery
from orderphase.flows.retry import Retried
from tests.flows.world import World

MINUTE = timedelta(minutes=1)


class Sources:
    """Three queues that are taken from, or are not."""

    def __init__(self) -> None:
        self.on = True
        self.problem: OrderphaseError | None = None

    def taken_from(self) -> bool:
        return self.on

    def switch(self, *, on: bool) -> int:
        if self.problem is not None:
            raise self.problem
        switched = 3 if on != self.on else 0
        self.on = on
        return switched


class Plant:
    """A circuit with two vendors."""

    def __init__(self, here: World) -> None:
        self.here = here
        self.sources = Sources()
        self.wrong: dict[str, OrderphaseError] = {}
        self.asked: list[str] = []
        probes = {name: lambda name=name: self.ask(name) for name in ("Salesforce", "Stripe")}
        self.circuit = Circuit(probes, self.sources, here.progress())

    def ask(self, name: str) -> None:
        self.asked.append(name)
        if name in self.wrong:
            raise self.wrong[name]

    def tick(self) -> bool:
        """A minute later; whether it is open."""
        self.here.clock.advance(MINUTE)
        return self.circuit.run(self.here.clock.now()).open_since is not None

    def fail(self) -> None:
        """A run has failed because of a vendor."""
        self.here.progress().suspect(self.here.clock.now())


@pytest.fixture
def plant(here: World) -> Plant:
    return Plant(here)


def test_without_a_reason_nobody_is_asked(plant: Plant) -> None:
    assert [plant.tick() for _ in range(3)] == [False, False, False]
    assert plant.asked == []


def test_a_failure_alone_stops_nothing(plant: Plant) -> None:
    """A row that was locked is no outage."""
    plant.fail()
    assert not plant.tick()
    assert plant.asked == ["Salesforce", "Stripe"]
    assert plant.sources.taken_from()
    plant.here.clock.advance(SUSPICION)
    plant.asked.clear()
    assert not plant.tick()
    assert plant.asked == []


@pytest.mark.parametrize(
    "problem",
    [
        TransientError("cannot be reached"),
        UnknownOutcomeError("answers with status 503", code="503"),
        CredentialsError("Stripe refuses the key", code="api_key_expired"),
    ],
    ids=lambda problem: problem.kind,
)
def test_an_outage_stops_everything_until_it_is_over(plant: Plant, problem: OrderphaseError) -> None:
    plant.fail()
    plant.wrong["Stripe"] = problem
    assert plant.tick()
    assert not plant.sources.taken_from()
    plant.here.clock.advance(timedelta(hours=9))
    assert plant.tick(), "nobody fails meanwhile, and it is asked all the same"
    plant.wrong.clear()
    assert not plant.tick()
    assert plant.sources.taken_from()
    plant.asked.clear()
    assert not plant.tick()
    assert plant.asked == []


def test_a_request_that_is_refused_is_no_outage(plant: Plant) -> None:
    """The vendor is there; what a key may not do concerns those who need it."""
    plant.fail()
    plant.wrong["Stripe"] = ConfigurationError("Stripe refuses the request", code="PermissionError")
    assert not plant.tick()
    assert plant.sources.taken_from()


def test_of_two_runs_at_once_the_one_that_finds_them_back_counts(plant: Plant) -> None:
    plant.fail()
    plant.wrong["Stripe"] = TransientError("cannot be reached")
    switch = plant.sources.switch

    def slowly(*, on: bool) -> int:
        plant.sources.switch = switch  # type: ignore[method-assign]  # once
        plant.wrong.clear()
        assert not plant.tick(), "another run is faster"
        return switch(on=on)

    plant.sources.switch = slowly  # type: ignore[method-assign]  # while it switches, the vendor is back
    assert not plant.tick()
    assert plant.sources.taken_from()


def test_a_switch_that_fails_is_made_good_by_the_next_run(plant: Plant) -> None:
    plant.fail()
    plant.wrong["Salesforce"] = TransientError("cannot be reached")
    plant.sources.problem = TransientError("AWS asks to slow down")
    with pytest.raises(TransientError, match="slow down"):
        plant.tick()
    plant.here.clock.advance(timedelta(hours=1))
    plant.sources.problem = None
    assert plant.tick()
    assert not plant.sources.taken_from()

    plant.wrong.clear()
    plant.sources.problem = TransientError("AWS asks to slow down")
    with pytest.raises(TransientError, match="slow down"):
        plant.tick()
    plant.sources.problem = None
    assert not plant.tick()
    assert plant.sources.taken_from()
    assert plant.here.progress().read(CIRCUIT).document == {}


def test_somebody_who_switches_a_queue_on_by_hand_is_switched_off_again(plant: Plant) -> None:
    plant.fail()
    plant.wrong["Stripe"] = TransientError("cannot be reached")
    plant.tick()
    plant.sources.on = True
    assert plant.tick()
    assert not plant.sources.taken_from()


class Letters:
    def __init__(self) -> None:
        self.runs = 0

    def run(self) -> Retried:
        self.runs += 1
        return Retried(replayed=2, later=1, left=4)


def test_dead_letters_wait_while_it_is_open(plant: Plant) -> None:
    letters, told = Letters(), []
    recovery = Recovery(plant.circuit, letters, lambda vendor, problem: told.append((vendor, problem.kind)))
    assert recovery.run(plant.here.clock.now()) == {"open": 0, "replayed": 2, "later": 1, "left": 4}
    plant.fail()
    plant.wrong["Stripe"] = TransientError("cannot be reached")
    assert recovery.run(plant.here.clock.now()) == {"open": 1}
    assert (letters.runs, told) == (1, [("Stripe", "transient")])
