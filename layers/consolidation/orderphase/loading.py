"""What holds while a function is loaded: the first import of every `app.py`, and its last word.

The garbage collector is out of the way. Nothing that is imported ever becomes garbage, and to find that out again and again
takes a seventh of the time. What is there once a function is loaded stays: the collector does not look at it any more, in any
invocation.

Where Lambda starts environments from a snapshot (`SnapStart`), all of them would wait for the same random while before they ask
again; each draws for itself instead. A test looks through what else is loaded for what must not be shared.
"""

from __future__ import annotations

import gc
import random
from contextlib import suppress

gc.disable()

# Lambda's own runtime has it, and nobody else.
with suppress(ModuleNotFoundError):
    from snapshot_restore_py import register_after_restore

    register_after_restore(random.seed)


def done[Handler](handler: Handler) -> Handler:
    """Answers the handler of a function that is loaded now."""
    # Once: where one process loads several functions, as a test does, the collector has been at work meanwhile.
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    return handler
