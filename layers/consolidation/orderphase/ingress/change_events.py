"""Salesforce's change events (Change Data Capture), as Event Relay and AppFlow put them on an event bus, and what they become.

Read is the header alone: which records changed, which of their fields, and by whom. What the flows do not need is left out:

- A new **Order** is always a draft (Salesforce refuses to insert an activated one): its activation is a change of its own. A
  draft may be deleted and restored, an activated order cannot be deleted.
- A **line** can be added and deleted while its order is a draft only, so neither needs anything. Nor could the order of a
  deleted line be found.
- The deletion of an **Account** is told: if it has lost a merge, its customers follow the account that has won. That of a
  product or an entry is not: what is sold goes on.

Salesforce: changes that were too many for events come as one event without usable ids (GAP_OVERFLOW, or a wildcard such as
`801*`), a change whose event could not be made as one with the header alone (GAP_…).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from orderphase.ingress import documents
from orderphase.ingress.documents import EventError, Name
from orderphase.ingress.events import (
    ACCOUNT_UPSERTED,
    ORDER_ACTIVATED,
    ORDER_ITEM_UPDATED,
    PRICEBOOK_ENTRY_UPSERTED,
    PRODUCT_UPSERTED,
    EventData,
    Kind,
    SalesforceEvent,
)

OWN_CLIENT = "client=orderphase"
"""What a change of ours carries in its origin. Salesforce: the Call Options header of the request says it."""

_CHANGES = frozenset({"CREATE", "UPDATE", "UNDELETE"})
_STATUS = frozenset({"Status", "StatusCode"})
_BOOKKEEPING = frozenset({"LastModifiedDate", "LastModifiedById"})
# Salesforce: a record is stamped when it is written, and told when its transaction is over, which may take so long.
_LONGEST_TRANSACTION = dt.timedelta(minutes=10)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_ID_BASE = 15


@dataclass(frozen=True, slots=True)
class _Entity:
    """What changes of an object become. changes: those that count. of_contracts: whether the poll looks at the object too."""

    kind: Kind[EventData]
    changes: frozenset[str]
    of_contracts: bool = False


_ENTITIES: dict[str, _Entity] = {
    "Order": _Entity(ORDER_ACTIVATED, frozenset({"UPDATE"}), of_contracts=True),
    "OrderItem": _Entity(ORDER_ITEM_UPDATED, frozenset({"UPDATE"}), of_contracts=True),
    "Product2": _Entity(PRODUCT_UPSERTED, _CHANGES),
    "PricebookEntry": _Entity(PRICEBOOK_ENTRY_UPSERTED, _CHANGES),
    "Account": _Entity(ACCOUNT_UPSERTED, _CHANGES | {"DELETE"}),
}


@dataclass(frozen=True, slots=True)
class Told:
    """What a change event says. note: why nothing, or not all of it. look_again_from: where the poll has to begin again."""

    events: tuple[SalesforceEvent, ...] = ()
    note: str = ""
    look_again_from: dt.datetime | None = None


def _instant(value: Any) -> Any:
    """Milliseconds since 1970, or ISO 8601: which it is depends on the way that the event has come."""
    try:
        if isinstance(value, str):
            instant = dt.datetime.fromisoformat(value)
            if instant.tzinfo is not None:
                return instant.astimezone(dt.UTC)
        elif isinstance(value, int) and not isinstance(value, bool):
            return _EPOCH + dt.timedelta(milliseconds=value)
    except (ValueError, OverflowError):
        pass
    raise ValueError("is neither a time in milliseconds since 1970 nor one in ISO 8601 with a time zone")


class _Header(BaseModel):
    """`ChangeEventHeader`. Its `commitNumber`, which is beyond what many take for an integer, is not read.

    Salesforce: an array that is empty may be absent. Names in `changedFields` may have dots in them (`BillingAddress.Street`);
    there are none but of an update.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    entity: Name = Field(alias="entityName")
    record_ids: list[Name] = Field([], alias="recordIds")
    change: Literal[
        "CREATE", "UPDATE", "DELETE", "UNDELETE",
        "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "GAP_OVERFLOW",
    ] = Field(alias="changeType")  # fmt: skip
    origin: str | None = Field(None, alias="changeOrigin")
    transaction: str = Field(alias="transactionKey", min_length=1, max_length=200)
    sequence: int = Field(alias="sequenceNumber")
    committed_at: Annotated[dt.datetime, BeforeValidator(_instant)] = Field(alias="commitTimestamp")
    user: str | None = Field(None, alias="commitUser")
    changed: list[Name] | None = Field(None, alias="changedFields")
    nulled: list[Name] | None = Field(None, alias="nulledFields")
    different: list[Name] | None = Field(None, alias="diffFields")

    @property
    def gap(self) -> bool:
        """Whether the header is all that there is."""
        return self.change.startswith("GAP_")

    @property
    def ours(self) -> bool:
        """Whether a request of ours has made the change. What the org itself changes along with it counts as ours too."""
        return OWN_CLIENT in (self.origin or "").split(";")

    @property
    def beyond_us(self) -> bool:
        """Whether the org itself has changed something along with us that we never change: the status of an order."""
        return not _STATUS.isdisjoint(self.fields or ())

    @property
    def fields(self) -> list[str] | None:
        """What has changed, but for who did it and when; None where that is not said."""
        said = dict.fromkeys([*(self.changed or ()), *(self.nulled or ()), *(self.different or ())])
        return [name for name in said if name not in _BOOKKEEPING] if said and self.change == "UPDATE" else None

    def look_again_from(self) -> dt.datetime:
        """The first moment at which a record of this transaction may have been stamped."""
        return max(self.committed_at, _EPOCH + _LONGEST_TRANSACTION) - _LONGEST_TRANSACTION


def read(detail: Any, *, org_id: str, ignore_own: bool) -> Told:
    """Read the `detail` of a change event on a bus. Raises `EventError`.

    An event's id is made of the transaction's key, the number of the change in it, and the record's id: it stays the same
    however often the change is told. ignore_own: whether what we have changed is passed over. Of orders and lines it always is:
    a run that cannot use an order says so on the order, and would be told of that for ever.
    """
    header = documents.read(_Header, _header_of(detail))
    entity = _ENTITIES.get(header.entity)
    if entity is None:
        return Told(note="the object has no flow")
    if header.change == "GAP_OVERFLOW":
        return _look_again(entity, header, ())
    if header.change.removeprefix("GAP_") not in entity.changes:
        return Told(note="nothing follows from such a change of the object")
    if header.ours and not (header.gap or header.beyond_us) and (ignore_own or entity.of_contracts):
        return Told(note="we have caused it ourselves")
    if header.fields == []:
        return Told(note="nothing but who changed it and when")
    if not header.record_ids:
        raise EventError("ChangeEventHeader.recordIds: is empty")
    exact = [one for one in header.record_ids if "*" not in one]
    events = tuple(_event(entity, header, one, org_id) for one in exact)
    return Told(events) if len(exact) == len(header.record_ids) else _look_again(entity, header, events)


def _look_again(entity: _Entity, header: _Header, events: tuple[SalesforceEvent, ...]) -> Told:
    if entity.of_contracts:
        return Told(events, "not all records are named; the poll, if it is on, looks again", header.look_again_from())
    return Told(events, f"not all records of {header.entity} are named; those that are not wait for their next change or order")


def _event(entity: _Entity, header: _Header, record_id: str, org_id: str) -> SalesforceEvent:
    return SalesforceEvent.of(
        {
            "id": f"{header.transaction}-{header.sequence}-{record_id[:_ID_BASE]}",
            "type": entity.kind.name,
            "org_id": org_id,
            "record_id": record_id,
            "occurred_at": header.committed_at.isoformat(),
            "data": dict(_data(entity, header)),
        }
    )


def _data(entity: _Entity, header: _Header) -> Iterator[tuple[str, Any]]:
    if header.fields is not None:
        yield "changed_fields", header.fields
    elif entity.kind is ORDER_ACTIVATED:
        # It is not known whether the status has changed: a draft is better left alone.
        yield "changed_fields", []
    if header.user and header.user.startswith("005"):
        yield "changed_by", header.user


def _header_of(detail: Any) -> Any:
    """The header: below `payload` from Event Relay, at the top from AppFlow. Raises `EventError`."""
    if isinstance(detail, dict):
        payload = detail.get("payload")
        for holder in (payload, detail):
            if isinstance(holder, dict) and isinstance(holder.get("ChangeEventHeader"), dict):
                return holder["ChangeEventHeader"]
    raise EventError("detail: has no ChangeEventHeader")
