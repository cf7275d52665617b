"""Who sent this? The signature of each route, and the key for orgs that cannot sign.

The header, `X-Orderphase-Signature` from an org and `Stripe-Signature` from Stripe, is `t=<unix seconds>,v1=<hex>[,v1=<hex>…]`.
Each `v1` is the HMAC-SHA256 of `<t>.<raw body>` under one secret, as 64 lower-case hex digits. A sender may give several while
it changes its secret, and several secrets are valid here meanwhile; one `v1` that fits one secret is enough. Other schemes than
`t` and `v1`, such as Stripe's `v0`, are passed over.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

TOLERANCE_SECONDS = 300

Reason = Literal["missing", "malformed", "stale", "future", "mismatch", "unknown_account", "no_secret"]

# Twelve digits reach beyond the year 9999; the limit keeps arithmetic on what a stranger sends small.
_TIME = re.compile(r"[0-9]{1,12}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class SignatureError(Exception):
    """The sender has not shown who it is. `reason` is for our own log; a caller learns only that it was refused.

    `missing`: neither signature nor key. `malformed`: not in the form above. `stale`, `future`: too far from now.
    `mismatch`: made with, or sent as, no secret that is valid. `unknown_account`: the route is no account's. `no_secret`: the
    account has none, so that nothing can be verified.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


def sign(secret: str, body: bytes, at: datetime) -> str:
    """The header for `body` (exactly the bytes that are sent), signed at the instant `at` (aware), in whole seconds."""
    time = str(int(at.timestamp()))
    return f"t={time},v1={_digest(secret, time, body)}"


def verify(header: str, body: bytes, secrets: Iterable[str], now: datetime, tolerance: int = TOLERANCE_SECONDS) -> None:
    """Accept `header` as a signature of `body` by one of `secrets`, made within `tolerance` seconds of `now` on either side.

    Digests are compared in constant time. Raises `SignatureError`.
    """
    time, digests = _parse(header)
    age = now.timestamp() - int(time)
    if age > tolerance:
        raise SignatureError("stale")
    if age < -tolerance:
        raise SignatureError("future")
    expected = [_digest(secret, time, body) for secret in secrets]
    if not any(hmac.compare_digest(ours, theirs) for ours in expected for theirs in digests):
        raise SignatureError("mismatch")


def verify_api_key(key: str, secrets: Iterable[str]) -> None:
    """Accept `key` if it is one of `secrets`, compared in constant time. Raises `SignatureError`."""
    # Bytes, because compare_digest takes text in ASCII only. A lone surrogate can be no part of a secret, but must not raise.
    given = key.encode("utf-8", "surrogatepass")
    if not any(hmac.compare_digest(_key(secret), given) for secret in secrets):
        raise SignatureError("mismatch")


def _parse(header: str) -> tuple[str, list[str]]:
    """The time as it was written (it is part of what was signed) and every `v1`."""
    times: list[str] = []
    digests: list[str] = []
    for part in header.split(","):
        scheme, _, value = part.partition("=")
        if scheme == "t":
            times.append(value)
        elif scheme == "v1":
            digests.append(value)
    if len(times) != 1 or not _TIME.fullmatch(times[0]) or not digests or not all(map(_DIGEST.fullmatch, digests)):
        raise SignatureError("malformed")
    return times[0], digests


def _digest(secret: str, time: str, body: bytes) -> str:
    return hmac.new(_key(secret), f"{time}.".encode() + body, hashlib.sha256).hexdigest()


def _key(secret: str) -> bytes:
    if not secret:
        raise ValueError("an empty secret protects nothing")
    return secret.encode()
