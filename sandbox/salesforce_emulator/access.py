"""What the integration user may do with objects and fields: an org's permission sets, by their effect."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from sandbox.salesforce_emulator.schema import Field, Schema, SObject

Level = Literal["edit", "read", "none"]


class Access:
    """The objects and fields that the integration user may not edit; it may edit all others."""

    def __init__(self) -> None:
        self._levels: dict[tuple[str, str | None], Level] = {}

    def set(self, sobject: SObject, fields: tuple[str, ...], level: Level) -> None:
        """Set the level of the fields or, where none is named, of the object. KeyError for an unknown field."""
        if level not in get_args(Level):
            raise ValueError(f"level: {level!r} is none of {', '.join(get_args(Level))}")
        if unknown := [name for name in fields if sobject.field(name) is None]:
            raise KeyError(f"{sobject.name} has no field {', '.join(unknown)}")
        for name in fields or (None,):
            self._levels[sobject.name, name and name.lower()] = level

    def seen(self, schema: Schema) -> Schema:
        """The schema as the integration user sees it."""
        limited = {name for (name, _), level in self._levels.items() if level != "edit"}
        if not limited:
            return schema
        visible = [sobject for sobject in schema if self._levels.get((sobject.name, None)) != "none"]
        return Schema(self._limited(sobject) if sobject.name in limited else sobject for sobject in visible)

    def _limited(self, sobject: SObject) -> SObject:
        editable = self._levels.get((sobject.name, None), "edit") == "edit"
        fields = [field for each in sobject if (field := self._field(sobject, each)) is not None]
        return SObject(
            sobject.name, sobject.prefix, fields, unmodelled=sobject.unmodelled, writable=sobject.writable and editable
        )

    def _field(self, sobject: SObject, field: Field) -> Field | None:
        match self._levels.get((sobject.name, field.name.lower()), "edit"):
            case "none":
                return None
            case "read":
                return replace(field, access="N" if field.nillable else "")
            case _:
                return field
