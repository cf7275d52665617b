"""The handler of a function, with the processor time that its process had used when it was loaded.

Put beside the function's own code: Lambda's runtime is told `timed.handler` instead of `app.handler`. The event `"loaded"` is
answered with that time, in milliseconds; any other goes to the function.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

app = importlib.import_module("app")
LOADED = time.process_time() * 1000


def handler(event: Any, context: Any) -> Any:
    """Have the function handle an event."""
    return LOADED if event == "loaded" else app.handler(event, context)
