"""The snapshot: everything read from Salesforce about one contract at one moment, checked at the border and then immutable.

Its JSON has the records as Salesforce's REST API shows them, lines nested in their orders; `orderphase consolidate` and
`orderphase plan` read the same. Record fields that are not needed are ignored, absent ones are null; a value of the wrong kind
is refused with its path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, cast
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from orderphase.domain.calendar import end_instant, instant
from orderphase.domain.cancellation import CancellationRequest
from orderphase.domain.catalogue import PriceBookEntry, Product, Unit
from orderphase.domain.lines import Order, OrderLine
from orderphase.domain.policies import Policies
from orderphase.errors import DataError
from orderphase.mapping import Defaults, FieldMapping
from orderphase.salesforce.fields import metadata_at
from orderphase.validation import Currency, Text, TimeZone, describe

_WHOLE_DIGITS, _DIGITS = 15, 28
"""Bounds of a number: more digits than Salesforce keeps, and as many as `Decimal` computes with exactly."""

_FIRST_YEAR, _LAST_YEAR = 1700, 4000  # Salesforce: dates lie in these years


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The activated orders of one contract. `contract_id` is None for an order without a contract."""

    contract_id: str | None
    orders: tuple[Order, ...]
    policies: Policies
    now: datetime | None = None


@dataclass(frozen=True, slots=True)
class Situated:
    """A snapshot with what a plan needs beside it. `now` is a UTC instant, in whole seconds.

    schedule: the subscription schedule as Stripe shows it (decoded JSON, not checked), None where there is none. customer_id:
    the Stripe customer that the account names.
    """

    snapshot: Snapshot
    now: datetime
    schedule: Any
    cancellation: CancellationRequest | None
    customer_id: str | None
    org_id: str | None


def read_snapshot(text: str | bytes, mapping: FieldMapping) -> Snapshot:
    """Read a snapshot from JSON. Raises `DataError` naming every malformed field."""
    snapshot, _ = _read(text, _Head, mapping)
    return snapshot


def read_situated(text: str | bytes, mapping: FieldMapping) -> Situated:
    """Read a snapshot from JSON with what a plan needs beside it. Raises `DataError` naming every malformed field."""
    snapshot, head = _read(text, _PlanHead, mapping)
    return Situated(
        snapshot=snapshot,
        now=head.now.astimezone(UTC).replace(microsecond=0),
        schedule=head.schedule,
        cancellation=head.cancellation.request() if head.cancellation else None,
        customer_id=head.customer_id,
        org_id=head.org_id,
    )


def _read[Head: _Head](text: str | bytes, model: type[Head], mapping: FieldMapping) -> tuple[Snapshot, Head]:
    try:
        source = json.loads(text, parse_float=_parse_number, parse_constant=_parse_number)
    except (ValueError, RecursionError) as problem:
        raise DataError(f"the snapshot is not JSON: {problem}") from None
    if not isinstance(source, dict):
        raise DataError("the snapshot: is not an object")
    faults: list[str] = []
    try:
        head = model.model_validate(source, context=mapping)
    except ValidationError as problem:
        head = None
        faults.append(describe(problem))
    policies = head.policies.policies() if head else Policies()
    if not mapping.divides_terms:
        policies = replace(policies, unit_prices="per_interval")
    stated = mapping.defaults
    policies = replace(policies, collection_method=stated.collection_method, days_until_due=stated.days_until_due)
    records = source.get("orders")
    reader = _Reader(policies, mapping, faults)
    orders = reader.orders(records if isinstance(records, list) else [])
    if head is None or faults:
        raise DataError("; ".join(faults))
    return Snapshot(head.contract.id if head.contract else None, orders, policies, head.now), head


def read_orders(records: Sequence[Any], policies: Policies, mapping: FieldMapping) -> tuple[Order, ...]:
    """Read Order records with their lines under `OrderItems`. Raises `DataError` naming every malformed field."""
    faults: list[str] = []
    orders = _Reader(policies, mapping, faults).orders(records)
    if faults:
        raise DataError("; ".join(faults))
    return orders


class _Reader:
    """Reads records, and collects what is wrong with them in `faults`; a record with a fault is left out."""

    def __init__(self, policies: Policies, mapping: FieldMapping, faults: list[str]) -> None:
        self._zone = ZoneInfo(policies.time_zone)
        self._inclusive = policies.end_dates == "inclusive"
        self._mapping = mapping
        self._names = _Names.of(mapping)
        self._faults = faults
        self._seen: set[str] = set()

    def orders(self, records: Sequence[Any]) -> tuple[Order, ...]:
        orders = (self._order(record, f"orders[{number}]") for number, record in enumerate(records))
        return tuple([order for order in orders if order])

    def _order(self, source: Any, path: str) -> Order | None:
        record = self._validated(_OrderRecord, source, self._names.order, path)
        line_sources = source.get("OrderItems") if isinstance(source, dict) else None
        lines = [
            self._line(line, record, f"{path}.OrderItems[{number}]")
            for number, line in enumerate(line_sources if isinstance(line_sources, list) else [])
        ]
        if record is None:
            return None
        self._once(record.id, path)
        effective = record.effective
        return Order(
            id=record.id,
            number=record.number,
            effective=effective.astimezone(self._zone).date() if isinstance(effective, datetime) else effective,
            activated=record.activated,
            currency=record.currency,
            is_reduction=record.is_reduction or False,
            collection_method=record.collection_method,
            days_until_due=record.days_until_due,
            percent_off=record.percent_off,
            amount_off=record.amount_off,
            lines=tuple([line for line in lines if line]),
            stripe_account=record.stripe_account,
            metadata=metadata_at(source, self._mapping.metadata.phase),
        )

    def _line(self, source: Any, order: _OrderRecord | None, path: str) -> OrderLine | None:
        record = self._validated(_LineRecord, source, self._names.line, path)
        if record is None:
            return None
        self._once(record.id, path)
        entry = None if record.entry is None else self._entry(record.entry, f"{path}.PricebookEntry")
        if order is None:
            return None
        start = order.effective if record.start is None else record.start
        end = order.end if record.end is None else record.end
        return OrderLine(
            id=record.id,
            quantity=record.quantity,
            start=instant(start, self._zone),
            end=None if end is None else end_instant(end, self._zone, inclusive=self._inclusive),
            price_id=record.price_id,
            entry=entry,
            unit_price=record.unit_price,
            percent_off=record.percent_off,
            amount_off=record.amount_off,
            reduces=record.original,
            name=entry.product.name if entry else None,
            metadata=metadata_at(source, self._mapping.metadata.item),
        )

    def _entry(self, source: Any, path: str) -> PriceBookEntry | None:
        record = self._validated(_EntryRecord, source, self._names.entry, path)
        if record is None:
            return None
        product = self._validated(_ProductRecord, record.product, self._names.product, f"{path}.Product2")
        if product is None:
            return None
        extra, defaults = self._mapping.metadata, self._mapping.defaults
        of_product = metadata_at(source.get("Product2") or {}, extra.product)
        return PriceBookEntry(
            id=record.id,
            product=Product(product.id, product.name, product.description, product.product_id, of_product),
            price_id=record.price_id,
            unit_price=record.unit_price,
            currency=record.currency,
            interval_unit=record.interval or defaults.interval,
            interval_count=record.interval_count if record.interval or not defaults.interval else _count(defaults),
            metadata=metadata_at(source, extra.price),
        )

    def _validated[Model: BaseModel](
        self, model: type[Model], source: Any, names: Mapping[str, str], path: str
    ) -> Model | None:
        if not isinstance(source, dict):
            self._faults.append(f"{path}: is not an object")
            return None
        try:
            return model.model_validate({field: source.get(name) for field, name in names.items()})
        except ValidationError as problem:
            self._faults.append(describe(problem, path, names))
            return None

    def _once(self, record_id: str, path: str) -> None:
        if record_id in self._seen:
            self._faults.append(f"{path}.Id: occurs twice")
        self._seen.add(record_id)


def _count(defaults: Defaults) -> Decimal | None:
    return None if defaults.interval_count == 1 else Decimal(defaults.interval_count)


def _parse_number(text: str) -> Decimal:
    """A number as it is written; `NaN` and `Infinity` are none."""
    try:
        number = Decimal(text)
    except ArithmeticError:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f"{text} is not a number") from None
    return number


def _moment(value: Any) -> date | datetime:
    """A Date (`2025-01-31`) or a DateTime with its offset (`2025-01-31T10:00:00.000+0000`)."""
    try:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004 (pydantic turns a ValueError into a fault, not a TypeError)
        moment = date.fromisoformat(value) if "T" not in value else datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("is not a date such as 2025-01-31, or a date and time such as 2025-01-31T10:00:00Z") from None
    if isinstance(moment, datetime) and moment.tzinfo is None:
        raise ValueError("is a time without an offset; add Z or +00:00")
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"lies outside the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return moment


def _timestamp(value: Any) -> datetime:
    moment = _moment(value)
    if not isinstance(moment, datetime):
        raise ValueError("is a date without a time; write 2025-01-31T10:00:00Z")  # noqa: TRY004 (as above)
    return moment


def _not_a_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("is not a number")  # noqa: TRY004 (as above)
    return value


def _within_bounds(value: Decimal) -> Decimal:
    if value == 0:
        return Decimal(0)
    if value.adjusted() >= _WHOLE_DIGITS:
        raise ValueError("is too large")
    digits = len(value.as_tuple().digits)
    decimals = digits - 1 - value.adjusted()
    if max(digits, decimals) > _DIGITS:
        raise ValueError(f"has more than {_DIGITS} digits")
    return value


def _blank_is_absent(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


Moment = Annotated[date | datetime, BeforeValidator(_moment)]
Timestamp = Annotated[datetime, BeforeValidator(_timestamp)]
Number = Annotated[Decimal, BeforeValidator(_not_a_truth_value), AfterValidator(_within_bounds)]
OptionalText = Annotated[Text | None, BeforeValidator(_blank_is_absent)]


class _Record(BaseModel):
    """Its fields bear our own names; `_Names` has those that they have in Salesforce."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Text = Field(alias="Id")


class _PolicyChoices(BaseModel):
    """An unknown policy is refused: ignoring a misspelt one would bill by another rule than was meant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quantity_conflict: Literal["error", "sum", "latest"] | None = None
    end_dates: Literal["exclusive", "inclusive"] | None = None
    time_zone: TimeZone | None = None
    proration_behavior: Literal["create_prorations", "none", "always_invoice"] | None = None
    billing_mode: Literal["flexible", "classic"] | None = None
    billing_cycle_anchor: Literal["automatic", "phase_start"] | None = None
    backdating: Literal["from_now", "reject", "catch_up"] | None = None
    on_schedule_ended: Literal["error", "recreate"] | None = None
    on_drift: Literal["error", "repair"] | None = None
    custom_pricing: Literal["create", "error", "standard"] | None = None
    unit_prices: Literal["per_interval", "per_term"] | None = None

    def policies(self) -> Policies:
        return Policies(**self.model_dump(exclude_none=True))


class _Head(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    now: Timestamp | None = None
    policies: Annotated[_PolicyChoices, BeforeValidator(lambda value: {} if value is None else value)] = _PolicyChoices()
    contract: _Contract | None = None
    orders: list[Any]


class _Cancellation(BaseModel):
    """What is asked for, as in the event `order.cancellation_requested`; a misspelt key is refused, as of a policy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["now", "at_period_end", "on_date"] | None = None
    date: Annotated[Moment | None, Field(validate_default=True)] = None
    invoice_now: StrictBool | None = None
    prorate: StrictBool | None = None

    @field_validator("date")
    @classmethod
    def _fits_the_mode(cls, value: Moment | None, info: ValidationInfo) -> Moment | None:
        if isinstance(value, datetime):
            raise ValueError("is a date and time; write 2025-01-31")  # noqa: TRY004 (as above)
        if "mode" in info.data and (info.data["mode"] == "on_date") != (value is not None):
            raise ValueError("is given with the mode on_date, and only with it")
        return value

    def request(self) -> CancellationRequest:
        return CancellationRequest(**self.model_dump(exclude_none=True))


def _customer_of(account: Any, info: ValidationInfo) -> Any:
    """The customer's id, in the field of the Account that the mapping names."""
    if account is None:
        return None
    if not isinstance(account, dict):
        raise ValueError("is not an object")  # noqa: TRY004 (as above)
    name = cast("FieldMapping", info.context).account.customer_id
    value = _blank_is_absent(account.get(name))
    if not isinstance(value, str | None):
        raise ValueError(f"{name} is not text")  # noqa: TRY004 (as above)
    return value


class _PlanHead(_Head):
    """What is read besides by `orderphase plan`."""

    now: Timestamp
    schedule: Any = None
    cancellation: _Cancellation | None = None
    customer_id: Annotated[Text | None, BeforeValidator(_customer_of)] = Field(None, alias="account")
    org_id: OptionalText = None


class _OrderRecord(_Record):
    id: Text
    number: Text
    effective: Moment
    end: Moment | None
    activated: Timestamp | None
    currency: Currency | None
    is_reduction: StrictBool | None
    collection_method: OptionalText
    days_until_due: Number | None
    percent_off: Number | None
    amount_off: Number | None
    stripe_account: OptionalText = None
    lines: list[Any] | None


class _LineRecord(_Record):
    id: Text
    quantity: Number
    start: Moment | None
    end: Moment | None
    price_id: OptionalText
    unit_price: Number | None
    percent_off: Number | None
    amount_off: Number | None
    original: OptionalText
    entry: Any


class _EntryRecord(_Record):
    id: Text
    product: Any
    price_id: OptionalText
    unit_price: Number | None
    currency: Currency | None
    interval: Annotated[Unit | None, BeforeValidator(_blank_is_absent)]
    interval_count: Number | None


class _ProductRecord(_Record):
    id: Text
    name: Text
    description: OptionalText
    product_id: OptionalText


@dataclass(frozen=True, slots=True)
class _Names:
    """For each kind of record, the names that our fields have in Salesforce; faults are told by these."""

    order: Mapping[str, str]
    line: Mapping[str, str]
    entry: Mapping[str, str]
    product: Mapping[str, str]

    @classmethod
    def of(cls, mapping: FieldMapping) -> _Names:
        order, line, entry, product = mapping.order, mapping.order_item, mapping.price_book_entry, mapping.product
        return cls(
            order={
                "id": "Id",
                "number": "OrderNumber",
                "effective": order.effective_date,
                "end": order.end_date,
                "activated": "ActivatedDate",
                "currency": "CurrencyIsoCode",
                "is_reduction": "IsReductionOrder",
                "collection_method": order.collection_method,
                "days_until_due": order.days_until_due,
                "percent_off": order.percent_off,
                "amount_off": order.amount_off,
                **({"stripe_account": order.stripe_account} if order.stripe_account else {}),
                "lines": "OrderItems",
            },
            line={
                "id": "Id",
                "quantity": line.quantity,
                "start": line.start_date,
                "end": line.end_date,
                "price_id": line.price_id,
                "unit_price": line.unit_price,
                "percent_off": line.percent_off,
                "amount_off": line.amount_off,
                "original": "OriginalOrderItemId",
                "entry": "PricebookEntry",
            },
            entry={
                "id": "Id",
                "product": "Product2",
                "price_id": entry.price_id,
                "unit_price": entry.unit_price,
                "currency": "CurrencyIsoCode",
                "interval": entry.interval,
                "interval_count": entry.interval_count,
            },
            product={
                "id": "Id",
                "name": product.name,
                "description": product.description,
                "product_id": product.product_id,
            },
        )
