"""The event that a Salesforce org sends: which record changed and how, never what the record holds.

```json
{"id": "…", "type": "order.activated", "org_id": "00D…", "record_id": "801…", "occurred_at": "2026-11-20T10:00:00Z", "data": {}}
```

An event is a hint: the flow reads the record as it is when it runs. So little is needed, and that little is checked strictly.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
)

from orderphase.ids import normalise_id
from orderphase.ingress import documents
from orderphase.ingress.documents import Name

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _id_of(prefix: str | tuple[str, ...], record: str) -> Callable[[str], str]:
    prefixes = (prefix,) if isinstance(prefix, str) else prefix

    def check(value: str) -> str:
        if not value.startswith(prefixes):
            raise ValueError(f"is not the id of {record} ({', '.join(f'{one}…' for one in prefixes)})")
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


OrgId = Annotated[str, AfterValidator(_id_of("00D", "an org"))]
ContractId = Annotated[str, AfterValidator(_id_of("800", "a Contract"))]
OrderId = Annotated[str, AfterValidator(_id_of("801", "an Order"))]
UserId = Annotated[str, AfterValidator(_id_of("005", "a User"))]


class EventData(BaseModel):
    """What any event may say beside its record. Members that have no meaning here are kept as they are."""

    # A queue is for one or two kinds of event: each is built by what takes it.
    model_config = ConfigDict(frozen=True, strict=True, extra="allow", defer_build=True)

    contract_id: ContractId | None = None
    idempotency_key: Name | None = None

    def group(self, record_id: str) -> str:
        """What the event's message is kept in sequence with: the contract's others, or else the record's."""
        return self.contract_id or record_id


class _ChangeData(EventData):
    """The API names of the fields that changed, and the id of the user who changed them, where the sender knows them."""

    changed_fields: list[Name] | None = None
    changed_by: UserId | None = None


class OrderActivationData(_ChangeData):
    """`order.activated`: what changed on the order, where it is not its activation alone.

    contract_due: the whole contract is due to be looked at, even if this order is a draft. The rolling window sends it so. From
    an org it does no harm.
    """

    contract_due: bool | None = None


class OrderItemData(_ChangeData):
    """`order_item.updated`: what changed on a line, and by whom."""


class RecordData(_ChangeData):
    """`product.upserted`, `pricebook_entry.upserted`, `account.upserted`: what changed, and by whom. It is of no contract."""

    def group(self, record_id: str) -> str:
        """The record's own events alone are kept in sequence."""
        return record_id


class MirrorData(EventData):
    """`stripe_product.upserted`, `stripe_price.upserted`: Stripe's id of what the record mirrors, where the sender knows it.

    Stripe: `prod_…` and `price_…`, or what the account chose for a product, or called a plan.
    """

    stripe_id: Name | None = None

    def group(self, record_id: str) -> str:
        """The events of what is mirrored are kept in sequence."""
        return self.stripe_id or record_id


class ReconcileData(EventData):
    """`contract.reconcile`: who has asked for it, and by which of its orders, where one of them has changed.

    billed: whether the ledger says that it is.
    """

    reason: Literal["poll", "sweep", "backfill", "stripe"] | None = None
    order_id: OrderId | None = None
    billed: bool | None = None

    def group(self, record_id: str) -> str:
        """The contract's own."""
        return record_id


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
class Kind[Data: EventData]:
    """A type of event: what its record is (any, where `prefix` is empty), and what it says beside that."""

    name: str
    prefix: str | tuple[str, ...]
    record: str
    data: type[Data]


ORDER_ACTIVATED = Kind("order.activated", "801", "an Order", OrderActivationData)
ORDER_ITEM_UPDATED = Kind("order_item.updated", "802", "an OrderItem", OrderItemData)
CANCELLATION_REQUESTED = Kind("order.cancellation_requested", "801", "an Order", CancellationData)
PRODUCT_UPSERTED = Kind("product.upserted", "01t", "a Product2", RecordData)
PRICEBOOK_ENTRY_UPSERTED = Kind("pricebook_entry.upserted", "01u", "a PricebookEntry", RecordData)
ACCOUNT_UPSERTED = Kind("account.upserted", "001", "an Account", RecordData)
# Records of Stripe's own package. Salesforce: the ids of a custom object's records begin differently in each org.
STRIPE_PRODUCT_UPSERTED = Kind("stripe_product.upserted", "", "a mirrored product", MirrorData)
STRIPE_PRICE_UPSERTED = Kind("stripe_price.upserted", "", "a mirrored price", MirrorData)
# Our own: what was missed, or has changed in Stripe. No org sends it.
CONTRACT_RECONCILE = Kind("contract.reconcile", ("800", "801"), "a Contract or an Order", ReconcileData)

_KINDS: dict[str, Kind[EventData]] = {
    kind.name: kind
    for kind in (
        ORDER_ACTIVATED,
        ORDER_ITEM_UPDATED,
        CANCELLATION_REQUESTED,
        PRODUCT_UPSERTED,
        PRICEBOOK_ENTRY_UPSERTED,
        ACCOUNT_UPSERTED,
        STRIPE_PRODUCT_UPSERTED,
        STRIPE_PRICE_UPSERTED,
        CONTRACT_RECONCILE,
    )
}
KNOWN_TYPES = frozenset(_KINDS) - {CONTRACT_RECONCILE.name}
"""What an org may send."""


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
    data: SerializeAsAny[EventData] = Field(EventData.model_construct(), validate_default=True)

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
        if isinstance(value, EventData):
            value = {}  # there are none: those of the type at their defaults
        if not isinstance(value, dict):
            raise ValueError("is not a JSON object")  # noqa: TRY004 (pydantic collects ValueErrors)
        return kind.data.model_validate(value)

    @property
    def sender(self) -> str:
        """Whose event it is: ids are unique within an org."""
        return self.org_id

    @property
    def group(self) -> str:
        """What its message is kept in sequence with."""
        return self.data.group(self.record_id)

    def to_json(self) -> str:
        """The event as `parse` takes it."""
        data = self.data.model_dump(mode="json", exclude_unset=True)
        return documents.encode(self.model_dump(mode="json", exclude={"data"}) | {"data": data})

    @classmethod
    def of(cls, document: Any) -> Self:
        """Read a decoded JSON document. Raises `EventError` with every fault."""
        return documents.read(cls, document)


def parse(body: bytes) -> SalesforceEvent:
    """Read an event from the bytes of a request. Raises `EventError`: for the JSON, or else for every fault of the fields."""
    return SalesforceEvent.of(documents.decode(body))
