"""What became of an HTTP request that was not answered, for every adapter whose library makes its requests with `requests`."""

from __future__ import annotations

import requests
from urllib3.exceptions import NewConnectionError

from orderphase.errors import TransientError, UnknownOutcomeError


def unanswered(problem: requests.RequestException, what: str) -> TransientError:
    """The error for a request without an answer; `what` names the other side.

    Where there was no connection (no such host, refused, timed out while connecting), the request was certainly not made; in
    every other case it may have been, which is an UnknownOutcomeError.
    """
    code = type(problem).__name__
    # requests keeps urllib3's own exception as its argument, and that one its reason.
    reason = getattr(problem.args[0], "reason", None) if problem.args else None
    if isinstance(problem, requests.ConnectTimeout) or isinstance(reason, NewConnectionError):
        return TransientError(f"{what} cannot be reached", code=code)
    return UnknownOutcomeError(f"{what} did not answer", code=code)
