"""What all borders share: value types, and a validation's faults in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, ValidationError

from orderphase.domain.money import is_currency


def _currency(value: str) -> str:
    if not is_currency(value):
        raise ValueError("is not a currency code such as USD")
    return value.upper()


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
        raise ValueError("is not a time zone such as UTC or America/New_York") from problem
    return value


Text = Annotated[str, Field(min_length=1)]
Currency = Annotated[str, AfterValidator(_currency)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]


def describe(problem: ValidationError, prefix: str = "", names: Mapping[str, str] | None = None) -> str:
    """Say every fault of a validation with the path of its field, without repeating a value (it may be secret).

    prefix: the path of the whole. names: what its own fields are called in a record, where absent and null are the same.
    """
    sentences = []
    for fault in problem.errors(include_url=False):
        first, *rest = fault["loc"] or ("",)
        parts = [(names or {}).get(str(first), first), *rest]
        path = prefix + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts if part != "")
        absent = fault["type"] == "missing" or (names is not None and fault["input"] is None)
        message = "is missing" if absent else fault["msg"].removeprefix("Value error, ")
        sentences.append(f"{path.lstrip('.')}: {message}" if path else message)
    return "; ".join(sentences)
