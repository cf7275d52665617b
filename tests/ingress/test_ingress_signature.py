"""The signature of a request, and the key that stands for one."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderphase.ingress.signature import SignatureError, sign, verify, verify_api_key

NOW = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)
BODY = b'{"id":"evt-1"}'
SECRET, OTHER = "whsec_current", "whsec_previous"
T = int(NOW.timestamp())


def _digest(secret: str, body: bytes = BODY, time: int | str = T) -> str:
    return hmac.new(secret.encode(), f"{time}.".encode() + body, hashlib.sha256).hexdigest()


def _reason(header: str, now: datetime = NOW, body: bytes = BODY) -> str:
    with pytest.raises(SignatureError) as refusal:
        verify(header, body, [SECRET, OTHER], now)
    return refusal.value.reason


def test_the_header_is_as_documented() -> None:
    assert sign(SECRET, BODY, NOW) == f"t={T},v1={_digest(SECRET)}"


@pytest.mark.parametrize(
    "header",
    [
        f"t={T},v1={_digest(SECRET)}",
        f"t={T},v1={_digest(OTHER)}",
        f"t={T},v1={_digest('unknown')},v1={_digest(SECRET)}",
        f"v1={_digest(SECRET)},t={T}",
        f"t={T},v0=older,v1={_digest(SECRET)},v2=newer=",
        f"t=0{T},v1={_digest(SECRET, time=f'0{T}')}",
    ],
    ids=["current secret", "other secret", "second v1", "any order", "other schemes", "the time as written is signed"],
)
def test_good_signatures(header: str) -> None:
    verify(header, BODY, [SECRET, OTHER], NOW)


@pytest.mark.parametrize("seconds", [0, 299, 300, -300])
def test_within_the_tolerance(seconds: float) -> None:
    verify(sign(SECRET, BODY, NOW), BODY, [SECRET], NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(("seconds", "reason"), [(301, "stale"), (86_400, "stale"), (-301, "future"), (-86_400, "future")])
def test_outside_the_tolerance(seconds: float, reason: str) -> None:
    assert _reason(sign(SECRET, BODY, NOW), NOW + timedelta(seconds=seconds)) == reason


def test_another_tolerance() -> None:
    verify(sign(SECRET, BODY, NOW), BODY, [SECRET], NOW + timedelta(seconds=900), tolerance=900)
    with pytest.raises(SignatureError, match="stale"):
        verify(sign(SECRET, BODY, NOW), BODY, [SECRET], NOW + timedelta(seconds=11), tolerance=10)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "v1",
        f"t={T}",
        f"t={T},v1=",
        f"v1={_digest(SECRET)}",
        f"t=,v1={_digest(SECRET)}",
        f"t=now,v1={_digest(SECRET)}",
        f"t=-1,v1={_digest(SECRET)}",
        f"t={T}.0,v1={_digest(SECRET)}",
        f"t=١٢٣,v1={_digest(SECRET)}",
        f"t={'9' * 5000},v1={_digest(SECRET)}",
        f"t={T},t={T},v1={_digest(SECRET)}",
        f"t={T},v1={_digest(SECRET)[:-1]}",
        f"t={T},v1={_digest(SECRET)}0",
        f"t={T},v1={_digest(SECRET).upper()}",
        f"t={T},v1={_digest(SECRET)}\n",
        f"t={T}\n,v1={_digest(SECRET)}",
        f"t={T},v1={_digest(SECRET)},v1=x",
        f"t={T},v0={_digest(SECRET)}",
        f"t={T}, v1={_digest(SECRET)}",
        f"T={T},V1={_digest(SECRET)}",
    ],
)
def test_malformed_headers(header: str) -> None:
    assert _reason(header) == "malformed"


def test_signatures_of_something_else() -> None:
    assert _reason(f"t={T},v1={_digest('unknown')}") == "mismatch"
    assert _reason(f"t={T + 1},v1={_digest(SECRET)}") == "mismatch"
    assert _reason(sign(SECRET, BODY, NOW), body=BODY + b" ") == "mismatch"


def test_no_secret_verifies_nothing() -> None:
    with pytest.raises(SignatureError, match="mismatch"):
        verify(sign(SECRET, BODY, NOW), BODY, [], NOW)
    with pytest.raises(SignatureError, match="mismatch"):
        verify_api_key("", [])


def test_an_empty_secret_is_never_used() -> None:
    with pytest.raises(ValueError, match="empty"):
        sign("", BODY, NOW)
    with pytest.raises(ValueError, match="empty"):
        verify(f"t={T},v1={hmac.new(b'', f'{T}.'.encode() + BODY, hashlib.sha256).hexdigest()}", BODY, [""], NOW)
    with pytest.raises(ValueError, match="empty"):
        verify_api_key("", [""])


def test_api_keys() -> None:
    verify_api_key(SECRET, [SECRET, OTHER])
    verify_api_key(OTHER, [SECRET, OTHER])
    verify_api_key("schlüssel", ["schlüssel"])
    for wrong in ("", "whsec_curren", "whsec_current ", "WHSEC_CURRENT", "ключ", "\ud800"):
        with pytest.raises(SignatureError, match="mismatch"):
            verify_api_key(wrong, [SECRET, OTHER])


@given(
    st.text(min_size=1).filter(str.isprintable),
    st.binary(),
    st.datetimes(timezones=st.just(UTC)).filter(lambda at: at.year >= 1971),
)
def test_what_is_signed_verifies_and_nothing_else_does(secret: str, body: bytes, at: datetime) -> None:
    header = sign(secret, body, at)
    verify(header, body, [secret], at)
    with pytest.raises(SignatureError):
        verify(header, body + b"\0", [secret], at)
    with pytest.raises(SignatureError):
        verify(header, body, [secret + "x"], at)


@given(st.text() | st.lists(st.sampled_from(["t=", "v1=", str(T), _digest(SECRET), ",", "=", " ", "é"])).map("".join))
def test_any_header_is_verified_or_refused(header: str) -> None:
    try:
        verify(header, BODY, [SECRET], NOW)
    except SignatureError:
        return
    assert _digest(SECRET) in header
