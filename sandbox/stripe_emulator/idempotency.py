"""Idempotency keys: the first answer under a key is given again, whatever it was.

Stripe: a key is kept for at least 24 hours; here it is exactly 24, so that a client which relies on more is found out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.serving import Response
from sandbox.stripe_emulator.errors import StripeError
from sandbox.stripe_emulator.intervals import DAY

MAX_KEY = 255


@dataclass(frozen=True, slots=True)
class _Answer:
    method_and_path: str
    params: dict[str, Any]
    status: int
    body: Any
    headers: dict[str, str]
    at: int


class Remembered:
    """The answers of one account by idempotency key."""

    def __init__(self) -> None:
        self._answers: dict[str, _Answer] = {}

    def replay(self, key: str, method_and_path: str, params: dict[str, Any], now: int) -> Response | None:
        """The remembered answer, or None when the key is new or has expired.

        Raises StripeError (400, idempotency_error) when the key was first used for something else.
        """
        if not key or len(key) > MAX_KEY:
            raise StripeError(f"Idempotency keys have 1 to {MAX_KEY} characters.", type="idempotency_error")
        answer = self._answers.get(key)
        if answer is None or now >= answer.at + DAY:
            return None
        if answer.method_and_path != method_and_path:
            raise StripeError(
                "Keys for idempotent requests can only be used for the same endpoint they were first used for "
                f"('{answer.method_and_path}' vs '{method_and_path}'). Try using a key other than '{key}' if you meant to "
                "execute a different request.",
                type="idempotency_error",
            )
        if answer.params != params:
            raise StripeError(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a "
                f"key other than '{key}' if you meant to execute a different request.",
                type="idempotency_error",
            )
        return Response(answer.status, answer.body, {**answer.headers, "Idempotent-Replayed": "true"})

    def remember(self, key: str, method_and_path: str, params: dict[str, Any], response: Response, now: int) -> None:
        """Keep an answer, errors included, for the next 24 hours."""
        self._answers[key] = _Answer(method_and_path, params, response.status, response.encoded(), dict(response.headers), now)
