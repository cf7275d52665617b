"""The names of a statement, looked up in the schema."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.salesforce_emulator.errors import SalesforceError, not_modelled
from sandbox.salesforce_emulator.org import Org
from sandbox.salesforce_emulator.schema import Field, SObject
from sandbox.salesforce_emulator.soql.syntax import Path
from sandbox.salesforce_emulator.soql.tokens import complaint
from sandbox.salesforce_emulator.store import Row
from sandbox.salesforce_emulator.values import Value

MOST_PARENTS = 5

_REFERENCE = "Please reference your WSDL or the describe call for the appropriate names."


@dataclass(frozen=True, slots=True)
class Column:
    """A field of an object or of one of its parents; `parents` are the lookups on the way there."""

    parents: tuple[Field, ...]
    field: Field

    def read(self, org: Org, row: Row) -> Value:
        """Its value for a row; null where a parent is missing."""
        current: Row | None = row
        for lookup in self.parents:
            current = org.store.live(lookup.references, current.get(lookup.name)) if current is not None else None
        return current.get(self.field.name) if current is not None else None


class Names:
    """Looks names up for one statement, and words the errors as pointing into it."""

    def __init__(self, org: Org, statement: str) -> None:
        self.org = org
        self.statement = statement

    def error(self, code: str, position: int, message: str) -> SalesforceError:
        """An error that points into the statement."""
        return complaint(code, self.statement, position, message)

    def sobject(self, name: str, position: int) -> SObject:
        """The object after FROM. INVALID_TYPE for an unknown one."""
        if (sobject := self.org.seen.find(name)) is not None:
            return sobject
        message = (
            f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append the "
            f"'__c' after the entity name. {_REFERENCE}"
        )
        raise self.error("INVALID_TYPE", position, message)

    def child(self, sobject: SObject, relationship: str, position: int) -> tuple[SObject, Field]:
        """The child object and its lookup behind a sub-query's FROM. INVALID_TYPE for an unknown relationship."""
        if (child := self.org.seen.child(sobject, relationship)) is not None:
            return child
        message = (
            f"Didn't understand relationship '{relationship}' in FROM part of query call. If you are attempting to use a "
            f"custom relationship, be sure to append the '__r' after the custom relationship name. {_REFERENCE}"
        )
        raise self.error("INVALID_TYPE", position, message)

    def column(self, sobject: SObject, path: Path) -> Column:
        """The field behind a path. INVALID_FIELD for an unknown field or relationship, or for more than five parents."""
        *relationships, name = path.parts
        if relationships and relationships[0].lower() == sobject.name.lower() and sobject.parent(relationships[0]) is None:
            # Salesforce: the object's own name may stand before its fields.
            relationships = relationships[1:]
        if len(relationships) > MOST_PARENTS:
            raise self.error("INVALID_FIELD", path.position, f"A field path takes at most {MOST_PARENTS} parents.")
        parents = []
        for relationship in relationships:
            lookup = sobject.parent(relationship)
            parent = self.org.seen.find(lookup.references) if lookup is not None else None
            if lookup is None or parent is None:
                self._refuse_unmodelled(sobject, relationship)
                message = (
                    f"Didn't understand relationship '{relationship}' in field path. If you are attempting to use a custom "
                    f"relationship, be sure to append the '__r' after the custom relationship name. {_REFERENCE}"
                )
                raise self.error("INVALID_FIELD", path.position, message)
            parents.append(lookup)
            sobject = parent
        return Column(tuple(parents), self._field(sobject, name, path.position))

    def _field(self, sobject: SObject, name: str, position: int) -> Field:
        if (field := sobject.field(name)) is not None:
            return field
        self._refuse_unmodelled(sobject, name)
        message = (
            f"No such column '{name}' on entity '{sobject.name}'. If you are attempting to use a custom field, be sure to "
            f"append the '__c' after the custom field name. {_REFERENCE}"
        )
        raise self.error("INVALID_FIELD", position, message)

    def _refuse_unmodelled(self, sobject: SObject, name: str) -> None:
        if name.lower() in sobject.unmodelled:
            raise not_modelled(f"{sobject.name}.{name}")
