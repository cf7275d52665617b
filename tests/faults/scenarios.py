"""What is disturbed: what has happened before, what then arrives at a function, and what it has to leave in the end."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from orderphase.errors import OrderphaseError
from tests.faults.stage import WORKERS, Stage, dead_letters


class Arrival(ABC):
    """What makes a function work, again and again until it is dealt with."""

    @abstractmethod
    def arrive(self, stage: Stage) -> bool:
        """Have it arrive; answers whether it does not come again."""


@dataclass
class Message(Arrival):
    """A message of a function's queue.

    What a worker has put aside comes again too: it is replayed once somebody has mended what was wrong.
    """

    function: str
    body: Mapping[str, Any]

    def arrive(self, stage: Stage) -> bool:
        failed = stage.deliver(self.function, self.body)
        put_aside = stage.take_all(dead_letters(self.function)) if self.function in WORKERS else []
        assert put_aside in ([], [json.dumps(self.body)]), f"put aside is {put_aside}"
        return not failed and not put_aside


@dataclass
class Request(Arrival):
    """A request of API Gateway, which its sender makes again until it is answered well.

    event: makes it, freshly signed. accepted: whether an answer of 2xx says that it was taken.
    """

    function: str
    event: Callable[[], Mapping[str, Any]]
    accepted: Callable[[Mapping[str, Any]], bool] = lambda _: True

    def arrive(self, stage: Stage) -> bool:
        answer = stage.invoke(self.function, self.event())
        return int(answer["statusCode"]) // 100 == 2 and self.accepted(answer)


@dataclass
class Tick(Arrival):
    """The clock, which starts a function whenever its time has come. The case is over with a run that nothing has disturbed."""

    function: str

    def arrive(self, stage: Stage) -> bool:
        seen = [len(emulator.log) for emulator in (stage.salesforce, stage.stripe)]
        try:
            stage.invoke(self.function, {})
        except OrderphaseError:
            return False
        answers = stage.salesforce.log[seen[0] :] + stage.stripe.log[seen[1] :]
        return not stage.wire.struck and not any(answer.fault for answer in answers)


@dataclass
class Case:
    """arrival: what is disturbed. left: what there is in the end, for comparison. logged: whether it is a run of a flow.

    contract: whose lease must be free in the end; None where there is none.
    """

    arrival: Arrival
    left: Callable[[], Any]
    logged: bool = True
    contract: str | None = None


@dataclass(frozen=True)
class Scenario:
    """prepare: brings the stage to where the case begins. variables: of the functions' environment.

    flow: under which it is counted. days: whether a day later the same is to be done. pairs: whether two faults are tried too.
    again: how much later what has failed comes again. SQS: after the visibility timeout.
    """

    flow: str
    name: str
    prepare: Callable[[Stage], Case]
    variables: Mapping[str, str] = field(default_factory=dict)
    days: bool = True
    pairs: bool = False
    again: timedelta = timedelta(minutes=3)
