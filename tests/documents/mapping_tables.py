"""The tables of docs/mapping.md: every key with its default, of the models and their docstrings."""

from __future__ import annotations

from pydantic import BaseModel

from orderphase.mapping import Adopt, Defaults, ExtraMetadata, FieldMapping, Search
from tests.documents.described import meaning
from tests.documents.made import code, table

MODELS: dict[str, type[BaseModel]] = {
    name: field.annotation
    for name, field in FieldMapping.model_fields.items()
    if isinstance(field.annotation, type) and name not in ("defaults", "search", "adopt", "metadata")
}

TYPES = {
    "customer_id": "Text(255), unique",
    "schedule_id": "Text(255)",
    "subscription_id": "Text(255)",
    "sync_status": "Picklist",
    "sync_message": "Long Text Area(32,768)",
    "synced_at": "Date/Time",
    "collection_method": "Text(255)",
    "days_until_due": "Number(3, 0)",
    "percent_off": "Percent(5, 2)",
    "amount_off": "Currency(16, 2)",
    "stripe_account": "Text(255)",
    "product_id": "Text(255), unique, external id",
    "price_book_entry.price_id": "Text(255), unique",
    "price_id": "Text(255)",
    "interval": "Picklist",
    "interval_count": "Number(3, 0)",
    "object": "Custom object",
    "order": "Lookup(Order)",
    "contract": "Lookup(Contract)",
    "flow": "Text(255)",
    "event_id": "Text(255)",
    "run_id": "Text(255)",
    "outcome": "Text(255)",
    "message": "Long Text Area(32,768)",
    "started_at": "Date/Time",
    "finished_at": "Date/Time",
}
"""In which type a custom field of ours is best made, by its key; by table and key where it differs."""


def tables() -> str:
    """Every name that can be given."""
    rows = []
    for name, model in MODELS.items():
        for key, field in model.model_fields.items():
            ours = str(field.default).endswith("__c") and not name.startswith("mirrored")
            kind = TYPES.get(f"{name}.{key}", TYPES.get(key, "")) if ours else ""
            rows.append([code(name), code(key), code(field.default), kind, meaning(model, key)])
    return table(["Object", "Key", "Default", "Type", "Meaning"], rows)


def defaults() -> str:
    """What holds where a record says nothing."""
    return _plain(Defaults)


def search() -> str:
    """Which orders are looked for."""
    return _plain(Search)


def adopt() -> str:
    """Where another product has left Stripe's ids: lists."""
    rows = []
    for key, field in Adopt.model_fields.items():
        rows.append([code(key), ", ".join(map(code, field.default)) or code(None), meaning(Adopt, key)])
    return table(["Key", "Default", "Meaning"], rows)


def metadata() -> str:
    """The tables of metadata, with whose fields they name."""
    rows = []
    for kind in ExtraMetadata.model_fields:
        owner, _, carried = meaning(ExtraMetadata, kind).partition(": ")
        rows.append([code(f"metadata.{kind}"), owner, carried.removesuffix(".")])
    return table(["Table", "Fields of", "Carried by"], rows)


def _plain(model: type[BaseModel]) -> str:
    rows = [[code(key), code(field.default), meaning(model, key)] for key, field in model.model_fields.items()]
    return table(["Key", "Default", "Meaning"], rows)
