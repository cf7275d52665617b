"""What the flows take from the machine: its time, and names for their runs."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4


def now() -> datetime:
    """This instant, in UTC."""
    return datetime.now(UTC)


def run_id() -> str:
    """A name that no other run has."""
    return uuid4().hex
