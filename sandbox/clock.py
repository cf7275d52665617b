"""One injectable clock for everything in the local stack that has a notion of time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """Real time until it is set; from then on it runs on from the instant it was set to.

    `frozen` stops it at that instant instead. Moving it back is refused: neither Stripe nor Salesforce can.
    """

    def __init__(self, at: datetime | None = None, *, frozen: bool = False) -> None:
        self._lock = threading.Lock()
        self._offset = timedelta()
        self._frozen_at: datetime | None = None
        self._listeners: list[Callable[[datetime], None]] = []
        if at is not None:
            self._offset = at.astimezone(UTC) - datetime.now(UTC)
            self._frozen_at = at.astimezone(UTC) if frozen else None
        elif frozen:
            self._frozen_at = datetime.now(UTC)

    def now(self) -> datetime:
        """The current instant, in UTC."""
        with self._lock:
            return self._frozen_at or datetime.now(UTC) + self._offset

    def timestamp(self) -> int:
        """The current instant in whole Unix seconds, as Stripe counts."""
        return int(self.now().timestamp())

    def on_move(self, listener: Callable[[datetime], None]) -> None:
        """Call `listener(now)` after each jump, so that what has come due can happen."""
        self._listeners.append(listener)

    def advance(self, by: timedelta) -> datetime:
        """Jump forward; answers the new instant."""
        if by < timedelta():
            raise ValueError("a clock does not go back")
        with self._lock:
            if self._frozen_at is not None:
                self._frozen_at += by
            else:
                self._offset += by
        return self._moved()

    def set(self, at: datetime, *, frozen: bool = False) -> datetime:
        """Jump to `at` (an aware datetime), optionally stopping there."""
        if at.tzinfo is None:
            raise ValueError("the clock takes an instant with a time zone")
        if at < self.now():
            raise ValueError("a clock does not go back")
        with self._lock:
            self._offset = at.astimezone(UTC) - datetime.now(UTC)
            self._frozen_at = at.astimezone(UTC) if frozen else None
        return self._moved()

    def _moved(self) -> datetime:
        now = self.now()
        for listener in list(self._listeners):
            listener(now)
        return now
