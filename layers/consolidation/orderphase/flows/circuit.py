"""The circuit: while Salesforce or Stripe is down, no message is taken from the queues.

Each delivery of a message counts, and after ten it is a dead letter. So what cannot succeed now is not tried: messages wait in
their queues, for fourteen days if need be, and go on by themselves when both answer again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from orderphase.errors import CredentialsError, OrderphaseError, TransientError
from orderphase.store.progress import Progress

CIRCUIT = "circuit"
"""Its document. `open_since`: since when nothing is taken; absent while messages are."""

SUSPICION = timedelta(minutes=3)
"""So long after a run has failed because of a vendor, both are asked whether they are there. It runs every minute."""


class Sources(Protocol):
    """What takes messages from the queues."""

    def switch(self, *, on: bool) -> int:
        """Have them taken, or left; answers how many queues that changes."""


@dataclass(frozen=True, slots=True)
class State:
    """down: what is wrong with each vendor that cannot be used. open_since: since when nothing is taken, None while it is.

    switched: how many queues are taken from or left since now.
    """

    down: Mapping[str, OrderphaseError] = field(default_factory=dict)
    open_since: datetime | None = None
    switched: int = 0


class Circuit:
    """Asks, and switches. probes: a request to each vendor, by its name, that raises where the vendor cannot be used."""

    def __init__(self, probes: Mapping[str, Callable[[], object]], sources: Sources, progress: Progress) -> None:
        self._probes = probes
        self._sources = sources
        self._progress = progress

    def run(self, now: datetime) -> State:
        """Open or close the circuit: two requests where there is no reason for it. Raises classified errors, and ConflictError.

        A vendor is down that cannot be reached, fails, or lets nobody in with our credentials.
        It is noted as open before the first queue is left alone, and as closed after the last is taken from again: a run that
        breaks off in between is made good by the next.
        """
        noted = self._progress.read(CIRCUIT)
        since = datetime.fromisoformat(noted.document["open_since"]) if "open_since" in noted.document else None
        if since is None:
            suspected_at = self._progress.suspected_at()
            if suspected_at is None or now - suspected_at > SUSPICION:
                return State()
        down = self._down()
        if down:
            if since is None:
                since = now
                self._progress.write(CIRCUIT, {"open_since": since.isoformat()}, noted.version)
            switched = self._sources.switch(on=False)
            if "open_since" not in self._progress.read(CIRCUIT).document:
                # Another run has found them back meanwhile, and may have been faster with some of the queues.
                return State(switched=self._sources.switch(on=True))
            return State(down, since, switched)
        if since is None:
            return State()
        switched = self._sources.switch(on=True)
        self._progress.write(CIRCUIT, {}, noted.version)
        return State(switched=switched)

    def _down(self) -> dict[str, OrderphaseError]:
        found: dict[str, OrderphaseError] = {}
        for name, probe in self._probes.items():
            try:
                probe()
            except (TransientError, CredentialsError) as problem:
                found[name] = problem
            except OrderphaseError:
                pass  # it is there, and refuses this request alone
        return found
