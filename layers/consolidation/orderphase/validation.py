"""What all borders share: value types, and a validation's faults in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

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


_FAULTS = {
    "bool_type": "is neither true nor false",
    "bool_parsing": "is neither true nor false",
    "decimal_parsing": "is not a number",
    "decimal_type": "is not a number",
    "dict_type": "is not an object or table",
    "finite_number": "is not a finite number",
    "greater_than_equal": "is less than {ge}",
    "int_from_float": "is not a whole number",
    "int_parsing": "is not a whole number",
    "int_type": "is not a whole number",
    "less_than": "is not less than {lt}",
    "list_type": "is not a list",
    "missing": "is missing",
    "model_attributes_type": "is not an object or table",
    "model_type": "is not an object or table",
    "string_too_long": "has more than {max_length} characters",
    "string_type": "is not text",
    "string_unicode": "is not Unicode text",
    "too_long": "has more than {max_length} entries",
    "tuple_type": "is not a list",
    "value_error": "{error}",
}
"""What pydantic calls a fault, in words. What is not here is said as pydantic says it."""


def matching(pattern: str, fault: str) -> AfterValidator:
    """Take text that matches a pattern as a whole; `fault` says what other text is not."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(fault)
        return value

    return AfterValidator(check)


def describe(
    problem: ValidationError,
    prefix: str = "",
    names: Mapping[str, str] | None = None,
    model: type[BaseModel] | None = None,
) -> str:
    """Say every fault of a validation with the path of its field, without repeating a value (it may be secret).

    prefix: the path of the whole. names: what its own fields are called in a record, where absent and null are the same.
    model: what was validated, where the keys that it has may be told.
    """
    sentences = []
    for fault in problem.errors(include_url=False):
        first, *rest = fault["loc"] or ("",)
        parts = [(names or {}).get(str(first), first), *rest]
        path = prefix + "".join(
            f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts if part not in ("", "[key]")
        )
        absent = names is not None and fault["input"] is None
        message = "is missing" if absent else _in_words(fault, model)
        sentences.append(f"{path.lstrip('.')}: {message}" if path else message)
    return "; ".join(sentences)


def _in_words(fault: ErrorDetails, model: type[BaseModel] | None) -> str:
    context: dict[str, Any] = fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            *path, key = fault["loc"]
            near = get_close_matches(str(key), _keys(model, path), 1)
            return f"there is no such key; did you mean {near[0]}?" if near else "there is no such key"
        case "string_too_short" if context["min_length"] == 1:
            return "is empty"
        case "literal_error":
            choices = re.findall(r"'([^']*)'", context["expected"])
            return f"is none of {', '.join(choices)}" if len(choices) > 1 else f"is not {choices[0]}"
    if words := _FAULTS.get(fault["type"]):
        return words.format(**context)
    return fault["msg"]


def _keys(model: Any, path: list[int | str]) -> list[str]:
    """What the keys of a model are called, or of one below it; none where the path leads elsewhere."""
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    return [field.alias or name for name, field in getattr(model, "model_fields", {}).items()]
