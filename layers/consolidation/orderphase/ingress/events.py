"""The event that a Salesforce org sends: which record changed and how, never what the record holds.

```json
{"id": "…", "type": "order.activated", "org_id": "00D…", "record_id": "801…", "occurred_at": "2026-11-20T10:00:00Z", "data": {}}
```

An event is a hint: the flow reads the record as it is when it runs. So little is needed, and that little is checked strictly.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from orderphase.errors import DataError
from orderphase.ingress.ids import normalise_id
from orderphase.validation import describe

MAX_DEPTH = 32
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class EventError(DataError):
    """This is not an event. The message names every fault, each with its field, and repeats no value."""


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("has characters that cannot be printed")
    return value


def _id_of(prefix: str, record: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not value.startswith(prefix):
            raise ValueError(f"is not the id of {record} ({prefix}…)")
        return normalise_id(value)

    return check


def _instant(value: Any) -> dt.datetime:
    try:
        instant = dt.datetime.fromisoformat(value)
        if instant.tzinfo is not None:
            return instant.astimezone(dt.UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError("is not an ISO 8601 time with a time zone, such as 2026-11-20T10:00:00Z")


def _calendar_date(value: Any) -> Any:
    if value is None:
        return None
    try:
        if _DATE.fullmatch(value):
            return dt.date.fromisoformat(value)
    except (TypeError, ValueError):
        pass
    raise ValueError("is not a date such as 2026-11-20")


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable)]
OrgId = Annotated[str, AfterValidator(_id_of("00D", "an org"))]
ContractId = Annotated[str, AfterValidator(_id_of("800", "a Contract"))]


class EventData(BaseModel):
    """What any event may say beside its record. Members that have no meaning here are kept as they are."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    contract_id: ContractId | None = None
    idempotency_key: Name | None = None


class OrderActivationData(EventData):
    """`order.activated`: whether the whole contract is due to be looked at, even if this order is a draft.

    The rolling window sends it so. From an org it does no harm.
    """

    contract_due: bool | None = None


class OrderItemData(EventData):
    """`order_item.updated`: the API names of the fields that changed, where the sender knows them."""

    changed_fields: list[Name] | None = None


class CancellationData(EventData):
    """`order.cancellation_requested`: when it takes effect, and what is billed. `date` goes with the mode `on_date` alone."""

    mode: Literal["now", "at_period_end", "on_date"] | None = None
    date: Annotated[dt.date | None, BeforeValidator(_calendar_date), Field(validate_default=True)] = None
    invoice_now: bool | None = None
    prorate: bool | None = None

    @field_validator("date")
    @classmethod
    def _fits_the_mode(cls, value: dt.date | None, info: ValidationInfo) -> dt.date | None:
        if "mode" in info.data and (info.data["mode"] == "on_date") != (value is not None):
            raise ValueError("is given with the mode on_date, and only with it")
        return value


@dataclass(frozen=True, slots=True)
class _Kind:
    prefix: str
    record: str
    data: type[EventData] = EventData


_KINDS = {
    "order.activated": _Kind("801", "an Order", OrderActivationData),
    "order_item.updated": _Kind("802", "an OrderItem", OrderItemData),
    "order.cancellation_requested": _Kind("801", "an Order", CancellationData),
    "product.upserted": _Kind("01t", "a Product2"),
    "pricebook_entry.upserted": _Kind("01u", "a PricebookEntry"),
    "account.upserted": _Kind("001", "an Account"),
}
KNOWN_TYPES = frozenset(_KINDS)


class SalesforceEvent(BaseModel):
    """One event, checked and normalised: ids have 18 characters, the time is in UTC.

    The type need not be one of `KNOWN_TYPES`: an org may be ahead of us. Of such an event, which is ignored, neither record nor
    data are looked at. Members beside these six are dropped.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    id: Name
    type: Name
    org_id: OrgId
    record_id: str
    occurred_at: Annotated[dt.datetime, BeforeValidator(_instant)]
    data: SerializeAsAny[EventData] = EventData()

    @field_validator("record_id")
    @classmethod
    def _names_a_record_of_the_type(cls, value: str, info: ValidationInfo) -> str:
        kind = _KINDS.get(info.data.get("type", ""))
        return _id_of(kind.prefix, kind.record)(value) if kind else value

    @field_validator("data", mode="plain")
    @classmethod
    def _data_of_the_type(cls, value: Any, info: ValidationInfo) -> EventData:
        kind = _KINDS.get(info.data.get("type", ""))
        if kind is None:
            return EventData()
        if not isinstance(value, dict):
            raise ValueError("is not a JSON object")  # noqa: TRY004 (pydantic collects ValueErrors)
        return kind.data.model_validate(value)

    def to_json(self) -> str:
        """The event as `parse` takes it, in ASCII: SQS refuses a few characters that JSON allows."""
        document = self.model_dump(mode="json", exclude={"data"}) | {
            "data": self.data.model_dump(mode="json", exclude_unset=True)
        }
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def of(cls, document: Any) -> Self:
        """Read a decoded JSON document. Raises `EventError` with every fault."""
        if not isinstance(document, dict):
            raise EventError("body: is not a JSON object")
        try:
            return cls.model_validate(document)
        except ValidationError as problem:
            raise EventError(describe(problem)) from None


def parse(body: bytes) -> SalesforceEvent:
    """Read an event from the bytes of a request or of a queue's message.

    Raises `EventError`: for the JSON (a key given twice, NaN, anything after the document, another encoding than UTF-8, half a
    surrogate pair, more than `MAX_DEPTH` levels), or else for every fault of the fields.
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
    return SalesforceEvent.of(document)


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
