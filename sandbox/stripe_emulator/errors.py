"""Stripe's error answers: https status, type, code, parameter and wording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sandbox.serving import Response

Json = dict[str, Any]

ErrorType = Literal["invalid_request_error", "idempotency_error", "api_error", "card_error", "emulator_not_modelled"]


class StripeError(Exception):
    """An error answer.

    `param` is the bracket path of the parameter at fault (`phases[0][items][0][price]`), `code` one of Stripe's error codes.
    The text of the exception is the message, followed by the path where the message does not name it.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: ErrorType = "invalid_request_error",  # noqa: A002 (the field's name in Stripe's error)
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message if param is None or param in message else f"{message} ({param})")
        self.message = message
        self.status = status
        self.type = type
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    def within(self, parent: str) -> StripeError:
        """The same error for a parameter that was sent inside of `parent`."""
        if self.param is None:
            return self
        name, bracket, rest = self.param.partition("[")
        param = f"{parent}[{name}]{bracket}{rest}"
        message = self.message.replace(self.param, param)
        return StripeError(message, status=self.status, type=self.type, code=self.code, param=param, headers=self.headers)

    def response(self) -> Response:
        """The answer as it is sent; absent fields are left out, as Stripe does."""
        fields = {"code": self.code, "message": self.message, "param": self.param, "type": self.type}
        error = {name: value for name, value in fields.items() if value is not None}
        return Response(self.status, {"error": error}, dict(self.headers))


def below(path: str, name: str) -> str:
    """The bracket path of a parameter inside of the one at `path`; at the top that is empty."""
    return f"{path}[{name}]" if path else name


def missing(param: str) -> StripeError:
    """A required parameter that was not sent."""
    return StripeError(f"Missing required param: {param}.", code="parameter_missing", param=param)


def exclusive(param: str, *names: str) -> StripeError:
    """Parameters of which only one may be sent."""
    return StripeError(
        f"You may only specify one of these parameters: {', '.join(names)}.", code="parameters_exclusive", param=param
    )


def no_such(kind: str, object_id: str, param: str | None = None) -> StripeError:
    """An object that does not exist: 404 for the one in the path, 400 for one named in parameter `param`."""
    return StripeError(
        f"No such {kind.replace('_', ' ')}: '{object_id}'",
        status=404 if param is None else 400,
        code="resource_missing",
        param=param or "id",
    )


def not_permitted(key: str, account_id: str, permission: str) -> StripeError:
    """A restricted key that may not do this. Observed wording."""
    message = (
        f"The provided key '{key}' does not have the required permissions for this endpoint on account '{account_id}'. "
        f"Having the '{permission}' permission would allow this request to continue."
    )
    return StripeError(message, status=403)


def not_modelled(what: str, param: str | None = None) -> StripeError:
    """Something that Stripe accepts and the emulator does not imitate. It has a type and a status that Stripe never uses."""
    return StripeError(
        f"The emulator does not model this: {what}", status=501, type="emulator_not_modelled", param=param, headers=_FINAL
    )


_FINAL: Mapping[str, str] = {"Stripe-Should-Retry": "false"}
_RETRY: Mapping[str, str] = {"Stripe-Should-Retry": "true"}

# Stripe: the reasons that the header Stripe-Rate-Limited-Reason can give.
RATE_LIMITS = ("global-rate", "endpoint-rate", "global-concurrency", "endpoint-concurrency", "resource-specific")


def _rate_limited(reason: str) -> StripeError:
    return StripeError(
        "Request rate limit exceeded. You can learn more about rate limits here https://docs.stripe.com/rate-limits.",
        status=429,
        code="rate_limit",
        headers={"Stripe-Rate-Limited-Reason": reason},
    )


def injectable() -> dict[str, StripeError]:
    """The errors that a fault can name.

    `429` is the global rate limit, `429_<reason>` another one; `429_lock` is a locked object, not a rate limit.
    """
    limits = {f"429_{reason}": _rate_limited(reason) for reason in RATE_LIMITS}
    return limits | {
        "401": StripeError("Invalid API Key provided: sk_test_****", status=401),
        "402": StripeError("Your card was declined.", status=402, type="card_error", code="card_declined"),
        "403": StripeError("The provided key does not have the required permissions for this endpoint.", status=403),
        "409": StripeError(
            "There is currently another in-progress request using this Idempotent Key (that probably means you submitted "
            "twice, and the other request is still going through). Please try again later.",
            status=409,
            type="idempotency_error",
            code="idempotency_key_in_use",
        ),
        "424": StripeError("A dependency of this request failed.", status=424, type="api_error"),
        "429": _rate_limited("global-rate"),
        "429_lock": StripeError(
            "This object cannot be accessed right now because another API request or Stripe process is currently accessing it. "
            "If you see this error intermittently, retry the request.",
            status=429,
            code="lock_timeout",
            headers=_RETRY,
        ),
        "500": StripeError("An unknown error occurred", status=500, type="api_error"),
        "500_final": StripeError("An unknown error occurred", status=500, type="api_error", headers=_FINAL),
        "502": StripeError("Bad gateway", status=502, type="api_error"),
        "503": StripeError("Stripe is temporarily unavailable", status=503, type="api_error"),
    }
