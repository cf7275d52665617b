"""What every incoming document has to be: JSON in UTF-8 that can be written again, and of the shape that its model says."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from orderphase.errors import DataError
from orderphase.validation import describe

MAX_DEPTH = 32


class EventError(DataError):
    """This is not an event. The message names every fault, each with its field, and repeats no value."""


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("has characters that cannot be printed")
    return value


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable)]


def decode(body: bytes) -> Any:
    """Decode the bytes of a request or of a queue's message.

    Raises `EventError` for a key given twice, NaN, anything after the document, another encoding than UTF-8, half a surrogate
    pair, and more than `MAX_DEPTH` levels.
    """
    try:
        document = json.loads(body.decode(), object_pairs_hook=_object, parse_int=_integer, parse_constant=_constant)
        _check(document, MAX_DEPTH)
    except UnicodeError:
        raise EventError("body: is not Unicode text in UTF-8") from None
    except json.JSONDecodeError as problem:
        raise EventError(f"body: is not JSON: {problem.msg} (line {problem.lineno}, column {problem.colno})") from None
    except ValueError as problem:
        raise EventError(f"body: is not JSON: {problem}") from None
    except RecursionError:
        raise EventError(f"body: is nested more than {MAX_DEPTH} levels deep") from None
    return document


def read[Model: BaseModel](model: type[Model], document: Any) -> Model:
    """Read a decoded document. Raises `EventError` with every fault."""
    if not isinstance(document, dict):
        raise EventError("body: is not a JSON object")
    try:
        return model.model_validate(document)
    except ValidationError as problem:
        raise EventError(describe(problem, model=model)) from None


def encode(document: Any) -> str:
    """The document as `decode` takes it, in ASCII: SQS refuses a few characters that JSON allows."""
    return json.dumps(document, separators=(",", ":"))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has the same key twice")
    return members


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python converts no more than 4,300 digits
        raise ValueError("a number is too large") from None


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _check(value: Any, depth: int) -> None:
    """Refuse what could be read but not be written again as JSON in UTF-8."""
    match value:
        case str():
            value.encode()
        case float() if not math.isfinite(value):
            raise ValueError("a number is too large")
        case dict() | list() if depth == 0:
            raise RecursionError
        case dict():
            for key, member in value.items():
                key.encode()
                _check(member, depth - 1)
        case list():
            for member in value:
                _check(member, depth - 1)
        case _:
            pass  # an integer, true, false or null
