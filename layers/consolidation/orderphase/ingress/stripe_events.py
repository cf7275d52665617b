"""What Stripe tells an endpoint, and the message that becomes of it.

Of a notification only the ids are read: the flow reads the object as it is when it runs. About products and prices, its message
is

```json
{"id": "evt_…", "type": "price.updated", "account": "default", "object_id": "price_…", "product_id": "prod_…",
  "created": 1795168800}
```

That a schedule or a subscription has changed is a reason to look again at the contract that its metadata names: the message is
then a `contract.reconcile` (`orderphase.ingress.events`).
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from orderphase.ingress import documents
from orderphase.ingress.documents import EventError, Name
from orderphase.ingress.events import CONTRACT_RECONCILE, SalesforceEvent
from orderphase.settings import AccountName, StripeAccountId
from orderphase.validation import matching

PRODUCT_TYPES = ("product.created", "product.updated", "product.deleted")
PRICE_TYPES = ("price.created", "price.updated", "price.deleted")
STRIPE_TYPES = frozenset((*PRODUCT_TYPES, *PRICE_TYPES))
"""Of which a message of Stripe's own kind is made."""

SCHEDULE_TYPES = tuple(f"subscription_schedule.{what}" for what in ("updated", "canceled", "completed", "released", "aborted"))
# Without `updated`, of which there is one for each renewal: who edits a subscription under a schedule changes the schedule.
SUBSCRIPTION_TYPES = tuple(f"customer.subscription.{what}" for what in ("deleted", "paused", "resumed"))
DRIFT_TYPES = (*SCHEDULE_TYPES, *SUBSCRIPTION_TYPES)
HEARD_TYPES = (*PRODUCT_TYPES, *PRICE_TYPES, *DRIFT_TYPES)
"""What an endpoint is to send."""

SWITCHES = {
    **dict.fromkeys(PRODUCT_TYPES, "ProductUpsert"),
    **dict.fromkeys(PRICE_TYPES, "PriceUpsert"),
    **dict.fromkeys(DRIFT_TYPES, "Reconciliation"),
}
"""The template's parameter that switches on the flow of a type of event."""

# Every POST of ours carries an idempotency key that begins so.
OWN_KEYS = "orderphase:"


def _known(value: str) -> str:
    if value not in STRIPE_TYPES:
        raise ValueError("is not a type of event that has a flow")
    return value


def _id_of(value: Any) -> Any:
    return value.get("id") if isinstance(value, dict) else value


EventId = Annotated[str, Field(max_length=255), matching("evt_[A-Za-z0-9_]+", "is not the id of an event (evt_…)")]
# Unix seconds, up to the year 9999.
Time = Annotated[int, Field(ge=0, lt=253_402_300_800)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, defer_build=True)


class StripeEvent(_Model):
    """One event of an account of ours, as the flows' queues carry it.

    account: our name of the account. object_id: of the product or the price; product_id: of the product itself, or the price's.
    """

    id: EventId
    type: Annotated[str, AfterValidator(_known)]
    account: AccountName
    object_id: Name
    product_id: Name
    created: Time

    @model_validator(mode="after")
    def _names_one_product(self) -> Self:
        if self.type in PRODUCT_TYPES and self.object_id != self.product_id:
            raise ValueError("product_id: is not the id of the product that the event is about")
        return self

    @property
    def record_id(self) -> str:
        """The object that the event is about."""
        return self.object_id

    @property
    def sender(self) -> str:
        """Whose event it is: what one account tells is nothing to another."""
        return self.account

    @property
    def group(self) -> str:
        """What its message is kept in sequence with: the product's others."""
        return f"{self.account}:{self.product_id}"

    def to_json(self) -> str:
        """The event as `of` takes it, once decoded."""
        return documents.encode(self.model_dump())

    @classmethod
    def of(cls, document: Any) -> Self:
        """Read a decoded message. Raises `EventError` with every fault."""
        return documents.read(cls, document)


class _Product(_Model):
    object: Literal["product"]
    id: Name

    @property
    def product_id(self) -> str:
        return self.id


class _Price(_Model):
    object: Literal["price"]
    id: Name
    # Stripe: an id, or the product itself where an event has it expanded.
    product_id: Annotated[Name, BeforeValidator(_id_of)] = Field(alias="product")


class _Contracted(_Model):
    """A schedule, or a subscription, to which Stripe copies the metadata of the schedule's phases."""

    object: Literal["subscription_schedule", "subscription"]
    id: Name
    metadata: dict[str, str] | None = None


class _ContractedData(_Model):
    object: _Contracted


class _ProductData(_Model):
    object: _Product


class _PriceData(_Model):
    object: _Price


class _Origin(_Model):
    idempotency_key: str | None = None


class Notification(_Model):
    """A full-payload event as Stripe posts it, checked where we read it; all else is dropped.

    The object of an event that has no flow is not looked at: not every object has an id. account: the connected account
    (`acct_…`) that it happened in, None for the endpoint's own. request: None where Stripe itself was the cause.
    """

    id: EventId
    type: Name
    created: Time
    livemode: bool
    account: StripeAccountId | None = None
    request: _Origin | None = None
    data: _ProductData | _PriceData | _ContractedData | None

    @field_validator("data", mode="plain")
    @classmethod
    def _data_of_the_type(cls, value: Any, info: ValidationInfo) -> _ProductData | _PriceData | _ContractedData | None:
        kind = info.data.get("type", "")
        if kind in DRIFT_TYPES:
            return _ContractedData.model_validate(value)
        if kind not in STRIPE_TYPES:
            return None
        return (_ProductData if kind in PRODUCT_TYPES else _PriceData).model_validate(value)

    @property
    def ours(self) -> bool:
        """Whether a request of ours was the cause."""
        return self.request is not None and (self.request.idempotency_key or "").startswith(OWN_KEYS)

    def message(self, account: str) -> StripeEvent | SalesforceEvent | None:
        """The event of the account of ours called `account`; None where nothing of ours is named or the type has no flow."""
        match self.data:
            case None:
                return None
            case _ContractedData(object=about):
                return self._reconcile(about.metadata or {})
            case _ProductData(object=about) | _PriceData(object=about):
                return StripeEvent(
                    id=self.id,
                    type=self.type,
                    account=account,
                    object_id=about.id,
                    product_id=about.product_id,
                    created=self.created,
                )

    def _reconcile(self, metadata: dict[str, str]) -> SalesforceEvent | None:
        """That what the metadata names is to be looked at: a contract, or an order without one. Anybody may write metadata."""
        record = metadata.get("salesforce_contract_id") or metadata.get("salesforce_order_id")
        document = {
            "id": self.id,
            "type": CONTRACT_RECONCILE.name,
            "org_id": metadata.get("salesforce_org_id"),
            "record_id": record,
            "occurred_at": dt.datetime.fromtimestamp(self.created, dt.UTC).isoformat(),
            "data": {"reason": "stripe"},
        }
        try:
            return SalesforceEvent.of(document)
        except EventError:
            return None

    @classmethod
    def of(cls, document: Any) -> Self:
        """Read a decoded document. Raises `EventError` with every fault."""
        return documents.read(cls, document)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read the bytes of a request. Raises `EventError`: for the JSON, or else for every fault of the fields."""
        return cls.of(documents.decode(body))
