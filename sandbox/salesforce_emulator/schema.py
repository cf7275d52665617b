"""The objects that the emulated org has, and how a field is described.

`objects.py` holds the tables; a field or an object of one's own is added with `Schema.add_field` and `Schema.add_object`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

FieldKind = Literal[
    "id", "reference", "string", "textarea", "picklist", "phone", "url", "email",
    "boolean", "int", "double", "currency", "percent", "date", "datetime",
]  # fmt: skip

Option = Literal["multicurrency", "person_accounts", "state_and_country_picklists", "stripe_package"]

TEXTS = frozenset({"string", "textarea", "picklist", "phone", "url", "email"})
NUMBERS = frozenset({"double", "currency", "percent"})
IDS = frozenset({"id", "reference"})
LONGEST_FILTERABLE_TEXT = 255


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an object.

    access: letters as in Salesforce's own tables: C createable, U updateable, N nillable. None of C and U = read-only.
    length: of a text, in characters; precision, scale: of a number, in digits, of which `scale` are decimals.
    values: of a picklist; empty = any text, otherwise restricted to these. worded_by_rule: its object's rules refuse others.
    references: the object that a lookup points to; children: the name under which that object lists this one's rows.
    unique: a second row with the value is refused; case_sensitive: for the comparison that decides it.
    auto_number: filled with the next eight-digit number of its object.
    needs: the option without which an org does not have the field.
    """

    name: str
    kind: FieldKind
    access: str = "CUN"
    length: int = 0
    precision: int = 0
    scale: int = 0
    default: str | bool | None = None
    values: tuple[str, ...] = ()
    references: str = ""
    children: str = ""
    external_id: bool = False
    unique: bool = False
    case_sensitive: bool = False
    auto_number: bool = False
    needs: Option | None = None
    worded_by_rule: bool = False

    @property
    def createable(self) -> bool:
        """May be given when a row is created."""
        return "C" in self.access

    @property
    def updateable(self) -> bool:
        """May be given when a row is changed."""
        return "U" in self.access

    @property
    def nillable(self) -> bool:
        """May be empty."""
        return "N" in self.access

    @property
    def required(self) -> bool:
        """Must be given when a row is created."""
        return self.createable and not self.nillable and self.default is None

    @property
    def custom(self) -> bool:
        """A field of the org's own."""
        return self.name.endswith("__c")

    @property
    def filterable(self) -> bool:
        """May stand in WHERE and ORDER BY. Salesforce: long text areas may not."""
        return self.kind != "textarea" or self.length <= LONGEST_FILTERABLE_TEXT

    @property
    def indexed(self) -> bool:
        """Rows are looked up by this field's value."""
        return self.unique or self.external_id or self.kind == "reference"

    @property
    def relationship(self) -> str | None:
        """The name under which a lookup's parent is reached (`AccountId` → `Account`, `Plan__c` → `Plan__r`)."""
        if self.kind != "reference":
            return None
        return f"{self.name[:-3]}__r" if self.custom else self.name.removesuffix("Id")


class SObject:
    """One object: its key prefix and its fields in the order they were declared.

    unmodelled: names of fields that Salesforce has here and the emulator refuses to answer for.
    writable: False = seeded and read-only.
    """

    def __init__(
        self, name: str, prefix: str, fields: Iterable[Field], *, unmodelled: Iterable[str] = (), writable: bool = True
    ) -> None:
        self.name = name
        self.prefix = prefix
        self.unmodelled = frozenset(name.lower() for name in unmodelled)
        self.writable = writable
        self._fields: dict[str, Field] = {}
        for field in fields:
            self.add(field)

    def add(self, field: Field) -> None:
        """Declare one more field. ValueError where the name is taken."""
        if field.name.lower() in self._fields:
            raise ValueError(f"{self.name} has a field {field.name} already")
        self._fields[field.name.lower()] = field

    @property
    def custom(self) -> bool:
        """An object of the org's own, or of a package."""
        return self.name.endswith("__c")

    def __iter__(self) -> Iterator[Field]:
        return iter(self._fields.values())

    def field(self, name: str) -> Field | None:
        """A field by its name, in any case."""
        return self._fields.get(name.lower())

    def parent(self, relationship: str) -> Field | None:
        """The lookup behind a relationship name, in any case."""
        wanted = relationship.lower()
        return next((field for field in self if (field.relationship or "").lower() == wanted), None)


class Schema:
    """All objects of the org, found by name in any case."""

    def __init__(self, objects: Iterable[SObject]) -> None:
        self._objects = {sobject.name.lower(): sobject for sobject in objects}

    def __iter__(self) -> Iterator[SObject]:
        return iter(self._objects.values())

    def find(self, name: str) -> SObject | None:
        """An object by its name, in any case."""
        return self._objects.get(name.lower())

    def __getitem__(self, name: str) -> SObject:
        return self._objects[name.lower()]

    def add_field(self, object_name: str, field: Field) -> None:
        """Give an object one more field.

        KeyError for an unknown object, here or as the lookup's parent; ValueError for a name that is taken.
        """
        if field.references:
            _ = self[field.references]
        self[object_name].add(field)

    def add_object(self, sobject: SObject) -> None:
        """Add an object. ValueError for a name that is taken."""
        if self.find(sobject.name) is not None:
            raise ValueError(f"there is an object {sobject.name} already")
        self._objects[sobject.name.lower()] = sobject

    def children(self, sobject: SObject) -> list[tuple[SObject, Field]]:
        """The lookups that point to an object and have a child relationship, with the object each belongs to."""
        return [(child, field) for child in self for field in child if field.references == sobject.name and field.children]

    def child(self, sobject: SObject, relationship: str) -> tuple[SObject, Field] | None:
        """The child object and its lookup behind a child relationship's name, in any case."""
        wanted = relationship.lower()
        return next((found for found in self.children(sobject) if found[1].children.lower() == wanted), None)
