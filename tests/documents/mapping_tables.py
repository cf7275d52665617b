"""The tables of docs/mapping.md: every key with its default, of the models and their docstrings."""

from __future__ import annotations

from pydantic import BaseModel

from orderphase.mapping import Adopt, Defaults, ExtraMetadata, FieldMapping, Search
from sandbox.salesforce_emulator.package import fields_of
from sandbox.salesforce_emulator.schema import Field
from tests.documents.described import meaning
from tests.documents.made import code, table
from tests.mapped import OBJECTS

MODELS: dict[str, type[BaseModel]] = {
    name: field.annotation
    for name, field in FieldMapping.model_fields.items()
    if isinstance(field.annotation, type) and name not in ("defaults", "search", "adopt", "metadata")
}


def tables() -> str:
    """Every name that can be given."""
    rows = []
    for name, model in MODELS.items():
        made = {field.name: field for field in fields_of(OBJECTS[name])} if name in OBJECTS else {}
        for key, field in model.model_fields.items():
            ours = made.get(field.default)
            kind = "Custom object" if field.default == OBJECTS.get(name) else _type(ours) if ours else ""
            rows.append([code(name), code(key), code(field.default), kind, meaning(model, key)])
    return table(["Object", "Key", "Default", "Type", "Meaning"], rows)


def _type(field: Field) -> str:
    """The type of a field of the package, as Salesforce's Setup writes it."""
    numbers = f"({field.precision - field.scale}, {field.scale})"
    words = {
        "string": f"Text({field.length})",
        "textarea": f"Long Text Area({field.length:,})",
        "picklist": "Picklist",
        "double": f"Number{numbers}",
        "percent": f"Percent{numbers}",
        "currency": f"Currency{numbers}",
        "datetime": "Date/Time",
        "reference": f"Lookup({field.references})",
    }
    marks = {"unique": field.unique, "external id": field.external_id}
    return ", ".join([words[field.kind], *(mark for mark, holds in marks.items() if holds)])


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
