"""The faults that are injected, by name, and which calls each can strike.

Vendors: by their emulators' own faults, so that the client sees what it would see. AWS: where botocore would raise.
Stripe: what fails before execution has begun is not kept under the idempotency key; what fails later is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from sandbox.serving import FaultKind
from tests.faults.wire import Call, KilledError, Send, Strike

PATIENCE = 0.05
"""Seconds that a client waits for an answer that does not come."""

THROTTLED = {
    "dynamodb": "ProvisionedThroughputExceededException",
    "lambda": "TooManyRequestsException",
    "secretsmanager": "ThrottlingException",
    "sqs": "RequestThrottled",
}
A_DAY = timedelta(hours=25)
"""Stripe has forgotten its idempotency keys."""

_AWS = frozenset(THROTTLED)
_Error = Callable[[Call], Exception]
_HELD_BACK = 60.0
_DEADLINE = 10.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault. strikes: whether it can happen to a call, by the call and its number.

    row: under which name it is counted. everywhere: it stands for those that leave a run in the same place, and is tried where
    these are not. then: how much later what was struck comes again; None = as always.
    """

    name: str
    strike: Strike
    strikes: Callable[[Call, int], bool]
    row: str
    everywhere: bool = False
    then: timedelta | None = None


def _vendors(*systems: str, login: bool = True) -> Callable[[Call, int], bool]:
    return lambda call, _: call.system in systems and (login or not call.login)


def _kept(call: Call, _: int) -> bool:
    """Whether the other side keeps what it has done, and does not say so."""
    return call.keyed or call.system in _AWS


def _repeated(call: Call, _: int) -> bool:
    """Whether the client repeats by itself what may have been done."""
    return call.writes and (call.keyed or call.system in _AWS)


def _login(call: Call, _: int) -> bool:
    return call.login


def _aws(call: Call, _: int) -> bool:
    return call.system in _AWS


def _any(call: Call, number: int) -> bool:
    return True


def _first(call: Call, number: int) -> bool:
    return number == 0


def _by_emulator(kind: FaultKind, **details: Any) -> Strike:
    def strike(call: Call, send: Send) -> Any:
        assert call.emulator is not None
        call.emulator.inject(kind, **details)
        return send()

    return strike


def _by_aws(*, before: _Error | None = None, after: _Error | None = None) -> Strike:
    def strike(call: Call, send: Send) -> Any:
        if before is not None:
            raise before(call)
        answer = send()
        if after is not None:
            raise after(call)
        return answer

    return strike


def _either(vendor: Strike, aws: Strike) -> Strike:
    return lambda call, send: (aws if call.system in _AWS else vendor)(call, send)


def _refused(status: int, code: str | None = None) -> _Error:
    def error(call: Call) -> Exception:
        named = {"Code": code or THROTTLED[call.system], "Message": "injected"}
        answer: Any = {"Error": named, "ResponseMetadata": {"HTTPStatusCode": status}}
        return ClientError(answer, call.name.partition(" ")[0])

    return error


def _raised(error: Callable[..., BotoCoreError]) -> _Error:
    return lambda call: error(endpoint_url=f"https://{call.system}")


def _nobody(call: Call, send: Send) -> Any:
    return send(nowhere=True)


def _too_slow(call: Call, send: Send) -> Any:
    """What was asked for is done; the client has stopped to wait for the answer."""
    emulator = call.emulator
    assert emulator is not None
    emulator.inject("slow", seconds=_HELD_BACK)
    answered = len(emulator.log)
    try:
        return send(read_timeout=PATIENCE)
    finally:
        # On a busy machine the emulator may still be at work.
        end, pause = time.monotonic() + _DEADLINE, Event()
        while len(emulator.log) == answered and time.monotonic() < end:
            pause.wait(0.001)


def _garbled(call: Call, send: Send) -> Any:
    answer = send()
    answer._content = b"<html><body>Bad Gateway"
    return answer


def _twice(call: Call, send: Send) -> Any:
    """The answer is lost, and the client repeats the request by itself."""
    send()
    return send()


def _killed(call: Call, send: Send) -> Any:
    raise KilledError(str(call))


def _killed_after(call: Call, send: Send) -> Any:
    send()
    raise KilledError(str(call))


def _stored(call: Call, send: Send) -> Any:
    """Stripe keeps a failure under the idempotency key. Where there is none, all that the client can notice is no answer."""
    return (_by_emulator("stored", error="500") if call.keyed else _LOST)(call, send)


def _kind(
    name: str, strike: Strike, strikes: Callable[[Call, int], bool], *, row: str | None = None, everywhere: bool = False
) -> Kind:
    return Kind(name, strike, strikes, row or name, everywhere)


_LOST = _by_emulator("lost_after")
_BOTH = _vendors("Stripe", "Salesforce")
_STRIPE = _vendors("Stripe")
_SALESFORCE = _vendors("Salesforce", login=False)
_REFUSED = "refused, then mended"
_OF_AWS = "InternalServerError"
_FOR_LONG = 5
"""More often than a run asks by itself."""

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        # No answer
        _kind("no connection", _either(_nobody, _by_aws(before=_raised(EndpointConnectionError))), _any),
        _kind("connection lost before", _by_emulator("lost_before"), _BOTH),
        _kind("answer lost", _either(_LOST, _by_aws(after=_raised(ConnectionClosedError))), _any, everywhere=True),
        _kind("answer lost, repeated by the client", _twice, _repeated),
        _kind("timeout", _either(_too_slow, _by_aws(after=_raised(ReadTimeoutError))), _any),
        _kind("answer unreadable", _garbled, _BOTH),
        # Failures
        _kind("500 before effect", _either(_by_emulator("refuse", error="500"), _by_aws(before=_refused(500, _OF_AWS))), _any),
        _kind("500 after effect", _either(_stored, _by_aws(after=_refused(500, _OF_AWS))), _kept, everywhere=True),
        _kind("503 with HTML", _by_emulator("refuse", error="503_html"), _BOTH),
        _kind("503 with HTML for long", _by_emulator("refuse", error="503_html", times=_FOR_LONG), _BOTH, row="503 with HTML"),
        # Too much, too soon
        _kind("429", _by_emulator("refuse", error="429"), _STRIPE, row="throttled"),
        _kind("429 for long", _by_emulator("refuse", error="429", times=_FOR_LONG), _STRIPE, row="throttled", everywhere=True),
        _kind("throttled by AWS", _by_aws(before=_refused(400)), _aws, row="throttled", everywhere=True),
        _kind("REQUEST_LIMIT_EXCEEDED", _by_emulator("refuse", error="REQUEST_LIMIT_EXCEEDED"), _SALESFORCE, row="throttled"),
        _kind("409 in progress", _by_emulator("refuse", error="409"), _STRIPE),
        _kind("lock_timeout", _by_emulator("refuse", error="429_lock"), _STRIPE, row="locked row"),
        _kind("UNABLE_TO_LOCK_ROW", _by_emulator("refuse", error="UNABLE_TO_LOCK_ROW"), _SALESFORCE, row="locked row"),
        _kind(
            "UNABLE_TO_LOCK_ROW for long",
            _by_emulator("refuse", error="UNABLE_TO_LOCK_ROW", times=_FOR_LONG),
            _SALESFORCE,
            row="locked row",
            everywhere=True,
        ),
        # Not let in
        _kind("token expired", _by_emulator("refuse", error="INVALID_SESSION_ID"), _SALESFORCE),
        _kind(
            "token refused twice",
            _by_emulator("refuse", error="INVALID_SESSION_ID", times=2, path="/services/data/"),
            _SALESFORCE,
            row=_REFUSED,
        ),
        _kind("login refused", _by_emulator("refuse", error="invalid_grant"), _login, row=_REFUSED, everywhere=True),
        _kind(
            "no permission in Salesforce",
            _by_emulator("refuse", error="INSUFFICIENT_ACCESS_OR_READONLY"),
            _SALESFORCE,
            row=_REFUSED,
            everywhere=True,
        ),
        _kind("key refused by Stripe", _by_emulator("refuse", error="401"), _STRIPE, row=_REFUSED, everywhere=True),
        _kind("no permission in Stripe", _by_emulator("refuse", error="403"), _STRIPE, row=_REFUSED),
        _kind("no permission in AWS", _by_aws(before=_refused(400, "AccessDenied")), _aws, row=_REFUSED, everywhere=True),
        # The process ends. Before a call is after the one before it.
        _kind("killed before", _killed, _first, row="killed", everywhere=True),
        _kind("killed after", _killed_after, _any, row="killed", everywhere=True),
        Kind("killed before, a day passes", _killed, _first, "killed, a day passes", everywhere=True, then=A_DAY),
        Kind("killed after, a day passes", _killed_after, _any, "killed, a day passes", everywhere=True, then=A_DAY),
    )
}
"""By name, in the order in which they are told."""

PAIRED = ("answer lost", "killed after", "500 after effect")
"""What is tried twice in one history: those after which something may have been done that the run does not know of."""

ROWS = tuple(dict.fromkeys(kind.row for kind in KINDS.values()))
