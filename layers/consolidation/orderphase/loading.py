"""The garbage collector, out of the way while a function is loaded: the first import of every `app.py`, and its last word.

Nothing that is imported ever becomes garbage, and to find that out again and again takes a seventh of the time. What is there
once a function is loaded stays: the collector does not look at it any more, in any invocation.
"""

from __future__ import annotations

import gc

gc.disable()


def done[Handler](handler: Handler) -> Handler:
    """Answers the handler of a function that is loaded now."""
    gc.freeze()
    gc.enable()
    return handler
