"""Change events (Change Data Capture) of the emulated org, in the envelope in which Event Relay puts them on an event bus.

They tell of what the JSON events tell of, but for Stripe's mirror, and each as the only change of its transaction: an update,
also where a record was created. Whoever wants them puts them on a bus.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from sandbox.salesforce_emulator.org import Happening

OBJECTS = {
    "order.activated": "Order",
    "order_item.updated": "OrderItem",
    "product.upserted": "Product2",
    "pricebook_entry.upserted": "PricebookEntry",
    "account.upserted": "Account",
}
"""The object that a type of event is about."""

_FIRST_COMMIT = 1_745_500_706_683_617_281


@dataclass(frozen=True, slots=True)
class Change:
    """Something that has happened: the event's id, what it was, and the request that has caused it (empty = none has)."""

    id: str
    happening: Happening
    origin: str


def covers(change: Change) -> bool:
    """Whether there is a change event of it."""
    return change.happening.kind in OBJECTS


def envelope(change: Change, source: str) -> dict[str, Any]:
    """The event as EventBridge has it from `source` (`aws.partner/salesforce.com/<org>/<channel>`)."""
    happening, name = change.happening, OBJECTS[change.happening.kind]
    at = happening.at.astimezone(UTC)
    fields = happening.data.get("changed_fields", ["Status"])
    header = {
        "entityName": name,
        "recordIds": [happening.record_id],
        "changeType": "UPDATE",
        "changeOrigin": change.origin,
        "transactionKey": str(uuid.uuid5(uuid.NAMESPACE_URL, change.id)),
        "sequenceNumber": 1,
        "commitTimestamp": round(at.timestamp() * 1000),
        "commitNumber": _FIRST_COMMIT + round(at.timestamp() * 1000),
        "commitUser": happening.data["changed_by"],
        "changedFields": [*fields, "LastModifiedDate"],
    }
    payload = {"ChangeEventHeader": header, "LastModifiedDate": f"{at:%Y-%m-%dT%H:%M:%S}.000Z"}
    return {
        "version": "0",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"relayed {change.id}")),
        "detail-type": f"{name}ChangeEvent",
        "source": source,
        "account": "123456789012",
        "time": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "region": "eu-central-1",
        "resources": [],
        "detail": {"schemaId": "emulated", "id": change.id, "payload": payload},
    }
