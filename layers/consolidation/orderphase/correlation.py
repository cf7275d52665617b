"""The id that leads from the request or the schedule that brought an event, through the logs, to the entry in the sync log.

API Gateway's id of the request, or the message's where a bus brought the event; for scheduled work the id of the event that it
has made. It travels as the attribute `correlation_id` of the message, also through the dead letters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

ATTRIBUTE = "correlation_id"
"""The message attribute, the key in the logs, and the attribute of an entry in the sync log."""

_current: str | None = None


@contextmanager
def by(correlation_id: str) -> Iterator[None]:
    """Whatever runs meanwhile is done for this id."""
    global _current  # noqa: PLW0603 (an environment works on one message at a time)
    _current = correlation_id
    try:
        yield
    finally:
        _current = None


def current() -> str | None:
    """The id; None outside of a function."""
    return _current
