"""The connection to one Stripe account: the official client, kept within bounds, with classified errors."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any, Literal
from urllib.parse import quote
from uuid import uuid4

import requests
import stripe

from orderphase import deadline
from orderphase.errors import (
    ConfigurationError,
    ConflictError,
    CredentialsError,
    DataError,
    OrderphaseError,
    TransientError,
    UnknownOutcomeError,
)
from orderphase.settings import StripeCredentials
from orderphase.transport import Session, unanswered

API_VERSION: Literal["2026-10-28.endive"] = "2026-10-28.endive"
TIMEOUT = (3.05, 8.0)
"""Seconds to connect and to wait for an answer; with one repetition still below a function's own 30."""

REPLAYED_REFUSAL = "replayed_refusal"
REPLAYED_FAILURE = "replayed_failure"
REUSED_KEY = "idempotency_error"
USED_KEY = "idempotency_key_used"
"""Error codes where an idempotency key is used up: Stripe answers a refusal or a 5xx again that it has stored under the key, or
the key was used with other parameters. After a refusal nothing exists; after the others something may."""

MISSING = "resource_missing"
"""Error code where there is no object of an id."""

_PAGE = 100
"""Stripe: a page of a list has a hundred objects at most."""

_BUSY = ("lock_timeout", "rate_limit", "idempotency_key_in_use")
_OURS = ("parameter_unknown", "parameter_missing", "parameters_exclusive", "parameter_invalid_empty")
OWN_KEYS = "orderphase:"
"""What our idempotency keys begin with. Stripe names the key in the events of what it was used for, so we know our own."""

_KEYS = 20
_PATIENCE = 3
"""So many times a request is made while Stripe is busy (429), pausing in between."""


class StripeConnection:
    """Calls the API of one account. `calls` counts the requests made, not what the client repeats by itself."""

    def __init__(
        self, credentials: StripeCredentials, *, repetitions: int = 1, pause: Callable[[float], None] = time.sleep
    ) -> None:
        stripe.enable_telemetry = False
        self._calls = count()
        self.calls = 0
        self._pause = pause
        self._client = stripe.StripeClient(
            credentials.api_key,
            base_addresses={"api": credentials.api_base},
            stripe_version=API_VERSION,
            max_network_retries=repetitions,
            http_client=stripe.RequestsClient(timeout=TIMEOUT, session=Session()),
            stripe_account=credentials.account_id,
        )
        self.api = self._client.v1

    def call[**Params, Answer](self, request: Callable[Params, Answer], *args: Params.args, **kwargs: Params.kwargs) -> Answer:
        """Make one request of the client's, again while Stripe is too busy for it. Raises classified errors.

        Stripe: a 429 was not executed; the client repeats connection errors and 5xx by itself, with the same idempotency key.
        """
        if deadline.left() < sum(TIMEOUT):
            raise TransientError("The function's time is nearly over, so Stripe is not asked any more", code="deadline")
        for attempt in range(_PATIENCE):
            self.calls = next(self._calls) + 1  # also where requests are made side by side
            try:
                with classified_errors():
                    return request(*args, **kwargs)
            except TransientError as problem:
                wait = 2**attempt * random.uniform(0.25, 0.5)  # noqa: S311 (jitter is no secret)
                too_late = deadline.left() < wait + sum(TIMEOUT)
                if problem.code not in _BUSY or not problem.at_once or attempt == _PATIENCE - 1 or too_late:
                    raise
                self._pause(wait)
        raise AssertionError("unreachable")

    def create[Params, Answer](
        self, request: Callable[[Params, Any], Answer], params: Params, key: str, *, looked: bool = False
    ) -> Answer:
        """Do something once: the request is made under `key`, or under the first of `key:2`, `key:3`… that is not used up.

        A stored refusal is passed over by itself. What was stored with an unknown outcome is raised, and passed over only where
        the caller has `looked` and found nothing. So a later run takes the same way, and comes to the same key.
        """
        passed = {REPLAYED_REFUSAL, REPLAYED_FAILURE, REUSED_KEY} if looked else {REPLAYED_REFUSAL}
        for number in range(1, _KEYS + 1):
            try:
                return self.call(request, params, {"idempotency_key": own_key(key if number == 1 else f"{key}:{number}")})
            except OrderphaseError as problem:
                if problem.code not in passed:
                    raise
        raise TransientError(f"{_KEYS} idempotency keys are used up; Stripe forgets them within a day", code="keys_used_up")

    def create_exactly[Params, Answer](self, request: Callable[[Params, Any], Answer], params: Params, key: str) -> Answer:
        """Make a request under a key that somebody else has chosen. Raises DataError where it was used for another request."""
        try:
            return self.call(request, params, {"idempotency_key": key})
        except ConflictError as problem:
            if problem.code != REUSED_KEY:
                raise
            raise DataError(f"The idempotency key {key!r} is used up: {problem.message}", code=USED_KEY) from None

    def find(self, retrieve: Callable[..., Any], object_id: str, params: Mapping[str, Any] | None = None) -> Any:
        """Retrieve an object; None where there is none of this id. Stripe: what was deleted is not there, or says so."""
        try:
            found = self.call(retrieve, object_id, dict(params or {}))
        except DataError as problem:
            if problem.code != MISSING:
                raise
            return None
        return None if getattr(found, "deleted", False) else found

    def show(self, kind: str, object_id: str, params: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """An object as the JSON that Stripe shows, kept as it is; None where there is none of this id.

        kind: as in the path, such as `subscription_schedules`. To make the client's objects of a schedule with all that it
        expands takes as long as to fetch it.
        """
        try:
            answer: Any = self.call(
                self._client.raw_request, "get", f"/v1/{kind}/{quote(object_id, safe='')}", **(params or {})
            )
        except DataError as problem:
            if problem.code != MISSING:
                raise
            return None
        shown: dict[str, Any] = answer.data
        return shown

    def each(self, listed: Callable[..., Any], params: Mapping[str, Any]) -> Iterator[Any]:
        """Each object of a list, newest first, over all its pages: a request for each hundred."""
        cursor: dict[str, str] = {}
        while True:
            page = self.call(listed, {**params, "limit": _PAGE, **cursor})
            yield from page.data
            if not page.has_more:
                return
            cursor = {"starting_after": page.data[-1].id}


def own_key(key: str) -> str:
    """The idempotency key that is sent."""
    return f"{OWN_KEYS}{key}"


def fresh_key(what: str) -> str:
    """A key for a request that may be repeated by the client, but whose content may come again and has to count again."""
    return own_key(f"{what}:{uuid4().hex}")


@contextmanager
def classified_errors() -> Iterator[None]:
    """Turn the client's exceptions into classified errors, by status and code."""
    try:
        yield
    except stripe.APIConnectionError as problem:
        cause = problem.__cause__
        if not isinstance(cause, requests.RequestException):
            raise  # no trouble with the network, but with the client
        raise unanswered(cause, "Stripe") from None
    except stripe.StripeError as problem:
        raise _classified(problem) from None


def _classified(problem: stripe.StripeError) -> OrderphaseError:
    # The client keeps the code of some kinds of errors only; the body has it always.
    status, code = problem.http_status or 0, problem.code or getattr(problem.error, "code", None)
    replayed = str((problem.headers or {}).get("Idempotent-Replayed", "")).lower() == "true"
    message = f"Stripe refuses the request: {problem.user_message or problem}"
    if isinstance(problem, stripe.IdempotencyError):
        return ConflictError(message, code=REUSED_KEY)
    if isinstance(problem, stripe.AuthenticationError):
        return CredentialsError(message, code=code or type(problem).__name__)
    if isinstance(problem, stripe.PermissionError):
        return ConfigurationError(message, code=code or type(problem).__name__)
    if isinstance(problem, stripe.RateLimitError) or code in _BUSY:
        # Stripe: `Stripe-Should-Retry` says whether it makes sense to ask again.
        lasting = str((problem.headers or {}).get("Stripe-Should-Retry", "")).lower() == "false"
        return TransientError(message, code=code if code in _BUSY else "rate_limit", at_once=not lasting)
    unreadable = status < requests.codes.bad_request or problem.error is None
    if status >= requests.codes.internal_server_error or unreadable:
        # It may be a success, or somebody between us who refuses. What is not implemented says what that is.
        why = f": {problem.user_message}" if status == requests.codes.not_implemented and problem.user_message else ""
        return UnknownOutcomeError(
            f"Stripe answers with status {status}{why}", code=REPLAYED_FAILURE if replayed else str(status)
        )
    if status in (requests.codes.conflict, requests.codes.failed_dependency):
        return TransientError(message, code=code or str(status))
    if code in _OURS:
        return ConfigurationError(message, code=code)
    return DataError(message, code=REPLAYED_REFUSAL if replayed else code)
