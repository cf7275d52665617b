"""What is nearly right: valid documents and texts, changed in a few places. It gets past the first check, as noise does not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("ORDERPHASE_FUZZ", "40"))
"""Of each test. By default they are always the same."""

fuzzed = settings(
    max_examples=EXAMPLES,
    derandomize="ORDERPHASE_FUZZ" not in os.environ,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""Decorates a test."""

CANARY = "Zyxwv-Personal-Name"
"""A value that no log line may repeat."""

DEEP = json.loads("[" * 200 + "]" * 200)

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e308,
    10**30,
    -(10**30),
    float("nan"),
    float("inf"),
    "",
    " ",
    "null",
    "0",
    CANARY,
    "x" * 5_000,
    "\x00",
    "\ud800",
    "\U0001d518\u202e\u200b",
    "../../etc/passwd",
    "' OR Id != null --",
    "{{}} ${x} %s",
    "2026-02-30",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2026-11-20T10:00:00",
    "801000000000001AAB",
    [],
    {},
    [None],
    {"": ""},
    {"id": {"id": {}}},
    DEEP,
)
TOKENS = (
    b"",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]]]]",
    b",",
    b":",
    b"\\u0000",
    b"\\ud800",
    b"\xff\xfe",
    b"\xc3",
    b"\r\n",
    b"\x00",
    b"1e999",
    b"-",
    b"9" * 5_000,
    b"[" * 3_000,
    b"NaN",
    b"null",
    b"&#0;",
    b"&x;",
    b"<!DOCTYPE a [<!ENTITY x 'x'>]>",
    b"<![CDATA[",
    b"</a>",
    b"<a>" * 200,
    b"=",
    b"'''",
    b"t=1,v1=",
    "é".encode("latin-1"),
)

places = st.integers(0, 2**16)
"""Chooses a place: counted round where there are fewer."""


@st.composite
def documents(draw: st.DrawFn, samples: Sequence[Any]) -> Any:
    """One of these samples, in which up to four members are gone, have another value, or one from elsewhere in the samples."""
    document = _copied(draw(st.sampled_from(list(samples))))
    for _ in range(draw(st.integers(0, 4))):
        document = _changed(draw, document, samples)
    return document


def _changed(draw: st.DrawFn, document: Any, samples: Sequence[Any]) -> Any:
    how = draw(st.sampled_from(["value", "value", "gone", "elsewhere", "renamed", "twice", "text", "number"]))
    value = _copied(draw(st.sampled_from(VALUES)))
    if how == "elsewhere":
        found = [holder[key] for holder, key in _spots(draw(st.sampled_from(list(samples))))] or [None]
        value = _copied(found[draw(places) % len(found)])
    spots = _spots(document)
    if not spots:
        return value
    holder, key = spots[draw(places) % len(spots)]
    was = holder[key]
    if how == "gone":
        del holder[key]
    elif how == "renamed" and isinstance(holder, dict):
        holder[draw(st.sampled_from(["", "Id", "__class__", CANARY, f"{key} ", str(key).upper()]))] = holder.pop(key)
    elif how == "twice":
        holder[key] = [was] * draw(st.sampled_from([1, 2, 101]))
    elif how == "text" and isinstance(was, str):
        holder[key] = draw(texts([was.encode("utf-8", "surrogatepass")])).decode("utf-8", "replace")
    elif how == "number" and isinstance(was, int | float):
        holder[key] = was + draw(st.sampled_from([-(10**12), -1, 0.5, 1, 10**12]))
    else:
        holder[key] = value
    return _copied(document)


def _spots(document: Any) -> list[tuple[Any, Any]]:
    """Each member of each container, as the container and its key; not all of what is very large or deep."""
    found: list[tuple[Any, Any]] = []
    level = [document]
    for _ in range(_DEPTH):
        pairs = [(holder, key) for holder in level[:_WIDTH] for key in _keys(holder)]
        found += pairs
        level = [holder[key] for holder, key in pairs]
    return found


_DEPTH, _WIDTH = 12, 300


def _keys(value: Any) -> list[Any]:
    return [*value] if isinstance(value, dict) else [*range(len(value))] if isinstance(value, list) else []


def _copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


@st.composite
def texts(draw: st.DrawFn, samples: Sequence[bytes]) -> bytes:
    """One of these, cut, doubled, with something else put in, or with a bit turned, in up to three places."""
    text = draw(st.sampled_from(list(samples)))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(places) % (len(text) + 1)
        end = min(len(text), start + draw(st.sampled_from([0, 1, 2, 10, 1_000])))
        match draw(st.sampled_from(["token", "token", "gone", "cut", "double", "bit"])):
            case "token":
                text = text[:start] + draw(st.sampled_from(TOKENS)) + text[end:]
            case "gone":
                text = text[:start] + text[end:]
            case "cut":
                text = text[:start]
            case "double":
                text = text[:end] + text[start:]
            case "bit" if start < len(text):
                text = text[:start] + bytes([text[start] ^ 1 << draw(st.integers(0, 7))]) + text[start + 1 :]
    return text


def written(samples: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """Such documents as bytes, as JSON in several spellings; some of them changed as texts as well."""
    spelled = st.builds(_json, documents(samples), st.booleans(), st.sampled_from([None, 1]))
    whole = [json.dumps(sample).encode() for sample in samples]
    return st.one_of(spelled, spelled, texts(whole), spelled.flatmap(lambda text: texts([text])), st.binary(max_size=50))


def _json(document: Any, ascii_: bool, indent: int | None) -> bytes:
    return json.dumps(document, ensure_ascii=ascii_, indent=indent).encode("utf-8", "surrogatepass")


def refuses(work: Callable[[], Any], *declared: type[Exception]) -> Exception | None:
    """Do something, which may raise only what it has declared; answers what it has raised."""
    try:
        work()
    except declared as problem:
        return problem
    return None


def environments(valid: Mapping[str, str]) -> st.SearchStrategy[dict[str, str]]:
    """Environment variables, of which some are missing or say something else."""
    others = st.sampled_from([str(value) for value in VALUES if isinstance(value, str | int | None)])
    changes = st.dictionaries(st.sampled_from(sorted(valid)), st.one_of(st.none(), others), max_size=3)
    return changes.map(lambda some: {name: value for name, value in {**valid, **some}.items() if value is not None})
