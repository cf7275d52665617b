"""Recovery: every minute, what outages have left behind is brought back, and nothing while one lasts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from orderphase.errors import OrderphaseError
from orderphase.flows.circuit import Circuit
from orderphase.flows.retry import Retried

type Tell = Callable[[str, OrderphaseError], None]
"""Is told of a vendor that cannot be used, and why."""


class Letters(Protocol):
    """What has dead letters try again."""

    def run(self) -> Retried:
        """Replay what is due."""


class Recovery:
    """The circuit, and the retry while it is closed."""

    def __init__(self, circuit: Circuit, retry: Letters, tell: Tell) -> None:
        self._circuit = circuit
        self._retry = retry
        self._tell = tell

    def run(self, now: datetime) -> Mapping[str, int]:
        """Do both; answers whether the circuit is open (1 or 0), and what became of how many dead letters.

        Raises what the circuit or the retry raises.
        """
        state = self._circuit.run(now)
        for vendor, problem in state.down.items():
            self._tell(vendor, problem)
        if state.open_since is not None:
            return {"open": 1}
        done = self._retry.run()
        return {"open": 0, "replayed": done.replayed, "later": done.later, "left": done.left}
