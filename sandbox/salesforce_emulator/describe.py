"""What the describe resources say about the schema."""

from __future__ import annotations

from typing import Any

from sandbox.salesforce_emulator.schema import Field, Schema, SObject


def global_describe(schema: Schema, version: str) -> dict[str, Any]:
    """All objects, in short."""
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [_summary(sobject, version) for sobject in schema]}


def object_describe(schema: Schema, sobject: SObject, version: str) -> dict[str, Any]:
    """One object with its fields and child relationships."""
    children = [
        {"childSObject": child.name, "field": field.name, "relationshipName": field.children}
        for child, field in schema.children(sobject)
    ]
    return {
        **_summary(sobject, version),
        "fields": [_field(field, writable=sobject.writable) for field in sobject],
        "childRelationships": children,
    }


def _summary(sobject: SObject, version: str) -> dict[str, Any]:
    base = f"/services/data/{version}/sobjects/{sobject.name}"
    return {
        "name": sobject.name,
        "label": _label(sobject.name),
        "keyPrefix": sobject.prefix,
        "custom": sobject.custom,
        "queryable": True,
        "retrieveable": True,
        "createable": sobject.writable,
        "updateable": sobject.writable,
        "deletable": sobject.writable,
        "urls": {"sobject": base, "describe": f"{base}/describe", "rowTemplate": f"{base}/{{ID}}"},
    }


def _label(name: str) -> str:
    return name.removesuffix("__c").rpartition("__")[2].replace("_", " ")


def _field(field: Field, *, writable: bool) -> dict[str, Any]:
    return {
        "name": field.name,
        "label": _label(field.name),
        "type": field.kind,
        "length": field.length,
        "precision": field.precision,
        "scale": field.scale,
        "createable": writable and field.createable,
        "updateable": writable and field.updateable,
        "nillable": field.nillable,
        "custom": field.custom,
        "externalId": field.external_id,
        "idLookup": field.external_id or field.kind == "id",
        "unique": field.unique,
        "caseSensitive": field.case_sensitive,
        "autoNumber": field.auto_number,
        "filterable": field.filterable,
        "sortable": field.filterable,
        "defaultedOnCreate": field.default is not None,
        "defaultValue": field.default,
        "restrictedPicklist": bool(field.values),
        "picklistValues": [
            {"active": True, "defaultValue": value == field.default, "label": value, "value": value} for value in field.values
        ],
        "referenceTo": [field.references] if field.references else [],
        "relationshipName": field.relationship,
    }
