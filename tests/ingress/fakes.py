"""What stands behind a route in its tests: the secrets, the flows' queues, and the memory of what was accepted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from orderphase.errors import OrderphaseError
from orderphase.ingress.documents import EventError
from orderphase.ingress.routes import Event


class Secrets[Held]:
    """Secrets as last seen, and as they are now; None = it is too soon to look again."""

    def __init__(self, known: Held, fresh: Held | None = None, error: OrderphaseError | None = None) -> None:
        self.known, self.fresh, self.error = known, fresh, error
        self.reads, self.refetches = 0, 0

    def valid(self) -> Held:
        self.reads += 1
        if self.error:
            raise self.error
        return self.known

    def refetched(self, now: datetime) -> Held | None:
        self.refetches += 1
        return self.fresh


class Queues:
    """Queues for some types of event."""

    def __init__(self, *kinds: str, error: OrderphaseError | None = None) -> None:
        self.kinds, self.error = kinds, error
        self.sent: list[tuple[Event, str]] = []

    def takes(self, event_type: str) -> bool:
        return event_type in self.kinds

    def send(self, event: Event, correlation_id: str) -> None:
        if self.error:
            raise self.error
        self.sent.append((event, correlation_id))


class Once:
    def __init__(self, error: OrderphaseError | None = None) -> None:
        self.error = error
        self.accepted: dict[tuple[str, str], tuple[str, str]] = {}

    def __call__(self, event: Event, accept: Callable[[], None]) -> bool:
        if self.error:
            raise self.error
        key, about = (event.sender, event.id), (event.type, event.record_id)
        if key not in self.accepted:
            accept()
            self.accepted[key] = about
            return True
        if self.accepted[key] != about:
            raise EventError("id: has been used for another event")
        return False
