"""How much of the invocation's time is left: whoever would wait or ask again looks here first.

A function is killed when its time is over, wherever it is just then. What may be repeated is repeated only as long as an answer
can still come.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

_ends_at = math.inf


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """An invocation that may last so long. Outside of one, as in commands, there is no end."""
    global _ends_at  # noqa: PLW0603 (an environment works on one invocation at a time)
    _ends_at = time.monotonic() + seconds
    try:
        yield
    finally:
        _ends_at = math.inf


def left() -> float:
    """The seconds that are left; infinite where nothing ends them."""
    return _ends_at - time.monotonic()
