"""Field values: from JSON into Python when a row is written, and back when it is read.

Inside the emulator a text is `str`, a number `Decimal` (`int` for the kind `int`), a date `date`, a datetime an aware UTC
`datetime`, a missing value None. Over the wire Salesforce prints numbers as Java doubles, and datetimes with an offset
without colon.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from sandbox.salesforce_emulator.errors import SalesforceError
from sandbox.salesforce_emulator.ids import to_18
from sandbox.salesforce_emulator.schema import IDS, NUMBERS, TEXTS, Field

Value = str | bool | int | Decimal | date | datetime | None

_JSON_SHAPES: dict[type, str] = {
    str: "VALUE_STRING",
    bool: "VALUE_BOOLEAN",
    int: "VALUE_NUMBER_INT",
    float: "VALUE_NUMBER_FLOAT",
    Decimal: "VALUE_NUMBER_FLOAT",
    dict: "START_OBJECT",
    list: "START_ARRAY",
}
# Java prints doubles from the first up to the second without an exponent.
_PLAIN_DOUBLES = (1e-3, 1e7)


def parse(field: Field, value: Any) -> Value:
    """The value that a write gives to a field. Takes JSON and the Python types above; an empty text is null.

    Raises SalesforceError: JSON_PARSER_ERROR for the wrong type, MALFORMED_ID, STRING_TOO_LONG, NUMBER_OUTSIDE_VALID_RANGE,
    INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if field.kind in TEXTS:
        return _text(field, value)
    if field.kind in IDS:
        return _id(field, value)
    if field.kind in NUMBERS or field.kind == "int":
        return _number(field, value)
    if field.kind == "boolean":
        if isinstance(value, bool):
            return value
        raise _wrong_type(field, value)
    return _date(field, value) if field.kind == "date" else _instant(field, value)


def render(field: Field, value: Value) -> Any:
    """The value as JSON has it: numbers of every kind but `int` become floats."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}+0000"
    if isinstance(value, date):
        return value.isoformat()
    return float(value) if field.kind in NUMBERS and value is not None else value


def encode(body: Any) -> bytes:
    """JSON as Salesforce writes it: floats in Java's notation (`1200.0`, from ten million on `1.2345678E7`)."""
    return _json(body).encode()


def _json(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_json(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_json, value)) + "]"
    return java_double(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def java_double(value: float) -> str:
    """A double as Java prints it. Salesforce: so the API's JSON does."""
    if value == 0 or _PLAIN_DOUBLES[0] <= abs(value) < _PLAIN_DOUBLES[1]:
        plain = format(Decimal(repr(value)), "f")
        return plain if "." in plain else f"{plain}.0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    first, rest = digits[0], "".join(map(str, digits[1:])) or "0"
    return f"{'-' if sign else ''}{first}.{rest}E{len(digits) - 1 + int(exponent)}"


def _wrong_type(field: Field, value: Any) -> SalesforceError:
    message = (
        f"Cannot deserialize instance of {field.kind} from {_JSON_SHAPES.get(type(value), 'VALUE')} value {value} "
        f"or request may be missing a required field at [{field.name}]"
    )
    return SalesforceError("JSON_PARSER_ERROR", message, fields=None)


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong_type(field, value)
    text = value.strip()
    if field.values and not field.worded_by_rule and text not in field.values:
        message = f"{field.name}: bad value for restricted picklist field: {text}"
        raise SalesforceError("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, fields=[field.name])
    if field.length and len(text) > field.length:
        message = f"{field.name}: data value too large: {text[:80]} (max length={field.length})"
        raise SalesforceError("STRING_TOO_LONG", message, fields=[field.name])
    return text


def _id(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong_type(field, value)
    if (record_id := to_18(value)) is None:
        raise SalesforceError("MALFORMED_ID", f"{field.name}: id value of incorrect type: {value}", fields=[field.name])
    return record_id


def _number(field: Field, value: Any) -> Decimal | int:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise _wrong_type(field, value)
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise _wrong_type(field, value) from None
    if not number.is_finite():
        raise _wrong_type(field, value)
    if field.kind == "int":
        if number != number.to_integral_value():
            raise _wrong_type(field, value)
        return int(number)
    number = number.quantize(Decimal(1).scaleb(-field.scale), ROUND_HALF_UP)
    if abs(number) >= Decimal(10) ** (field.precision - field.scale):
        message = f"{field.name}: value outside of valid range on numeric field: {value}"
        raise SalesforceError("NUMBER_OUTSIDE_VALID_RANGE", message, fields=[field.name])
    return number


def _date(field: Field, value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        # Salesforce refuses a datetime in a date field; the basic formats that Python also reads are refused with it.
        return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except (TypeError, ValueError):
        raise _wrong_type(field, value) from None


def _instant(field: Field, value: Any) -> datetime:
    try:
        instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _wrong_type(field, value) from None
    if instant.tzinfo is None:
        raise _wrong_type(field, value)
    return instant.astimezone(UTC).replace(microsecond=0)
