"""How requests are made, and what became of one that was not answered, for every adapter whose library uses `requests`."""

from __future__ import annotations

import requests
from urllib3.exceptions import NewConnectionError

from orderphase.errors import TransientError, UnknownOutcomeError


class Session(requests.Session):
    """A session that sends what it is given.

    One without an authentication of its own looks for a `.netrc` at each request, and sends what is in it instead of the token.
    """

    def __init__(self) -> None:
        super().__init__()
        self.auth = _as_it_is


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


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
