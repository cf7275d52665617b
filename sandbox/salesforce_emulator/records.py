"""Creating, changing and deleting rows: what holds for every object, and then the object's own rules.

Each request is a transaction: a refused one leaves nothing behind, a committed one tells `on_happening` what has happened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any

from sandbox.salesforce_emulator.contract_rules import ContractRules
from sandbox.salesforce_emulator.errors import SalesforceError, no_such_column, not_found, not_modelled
from sandbox.salesforce_emulator.faults import API_ERRORS
from sandbox.salesforce_emulator.ids import to_18
from sandbox.salesforce_emulator.order_item_rules import OrderItemRules
from sandbox.salesforce_emulator.order_rules import OrderRules
from sandbox.salesforce_emulator.org import Happening, Org
from sandbox.salesforce_emulator.price_rules import PricebookEntryRules, PricebookRules, ProductRules
from sandbox.salesforce_emulator.rules import AccountRules, Rules
from sandbox.salesforce_emulator.schema import Field, SObject
from sandbox.salesforce_emulator.store import Row
from sandbox.salesforce_emulator.values import Value, parse

RULES: Mapping[str, type[Rules]] = {
    "Account": AccountRules,
    "Contract": ContractRules,
    "Order": OrderRules,
    "OrderItem": OrderItemRules,
    "Product2": ProductRules,
    "Pricebook2": PricebookRules,
    "PricebookEntry": PricebookEntryRules,
}

# The events that tell of a row of an object being created or changed.
UPSERTS = {"Product2": "product.upserted", "PricebookEntry": "pricebook_entry.upserted", "Account": "account.upserted"}
MIRROR_UPSERTS = {"stripeGC__Product__c": "stripe_product.upserted", "stripeGC__Price__c": "stripe_price.upserted"}


class Records:
    """The rows of one org, written by the rules. Not thread-safe: the emulator's lock is held around every call."""

    def __init__(self, org: Org, on_happening: Callable[[Happening], None]) -> None:
        self.org = org
        self._on_happening = on_happening
        self._rules: dict[str, Rules] = {}
        self._refusals: dict[str, list[SalesforceError]] = defaultdict(list)
        self._depth = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is written inside; may be nested."""
        mark, happenings = self.org.store.mark(), len(self.org.happenings)
        self._depth += 1
        try:
            yield
        except BaseException:
            self.org.store.rollback(mark)
            del self.org.happenings[happenings:]
            raise
        finally:
            self._depth -= 1
        if self._depth == 0:
            self.org.store.commit()
            happened = list(self.org.happenings)
            self.org.happenings.clear()
            for happening in happened:
                self._on_happening(happening)

    def sobject(self, name: str) -> SObject:
        """An object by name, as far as the acting user may see and write it. 404 for an unknown one."""
        if (sobject := self.org.seen.find(name)) is None:
            raise not_found()
        return sobject

    def field(self, sobject: SObject, name: str) -> Field:
        """A field by name. INVALID_FIELD for an unknown one."""
        if name.lower() in sobject.unmodelled:
            raise not_modelled(f"{sobject.name}.{name}")
        if (field := sobject.field(name)) is None:
            raise no_such_column(name, sobject.name)
        return field

    def find(self, sobject: SObject, record_id: str) -> Row:
        """A row by its id of 15 or 18 characters. 404: never there, or deleted (ENTITY_IS_DELETED)."""
        long_id = to_18(record_id)
        if long_id is None or not self.org.store.existed(sobject.name, long_id):
            raise not_found()
        if (row := self.org.store.live(sobject.name, long_id)) is None:
            raise SalesforceError("ENTITY_IS_DELETED", "entity is deleted", status=404)
        return row

    def by_key(self, sobject: SObject, field_name: str, value: str) -> list[Row]:
        """The rows that hold a value in an external id field."""
        field = sobject.field(field_name)
        if field is None or not field.external_id:
            raise not_found(f"Provided external ID field does not exist or is not accessible: {field_name}")
        return self._holders(sobject, field, parse(field, value))

    def create(self, object_name: str, values: Mapping[str, Any]) -> str:
        """Create a row; answers its 18-character id. Raises SalesforceError."""
        sobject = self._writable(object_name)
        with self.transaction():
            given = self._parse(self.sobject(object_name), values, lambda field: field.createable)
            blank = self.org.blank(sobject)
            row = blank | {name: value for name, value in given.items() if value is not None}
            rules = self._rules_of(sobject)
            rules.prepare(None, row, given.keys())
            missing = [field.name for field in sobject if field.required and row[field.name] is None]
            if missing:
                message = f"Required fields are missing: [{', '.join(missing)}]"
                raise SalesforceError("REQUIRED_FIELD_MISSING", message, fields=missing)
            rules.insert(row)
            self._check_unique(sobject, row)
            self.org.store.put(sobject.name, row)
            rules.written(row)
            if self.org.together is not None:
                self.org.together.add(str(row["Id"]))
            explicit = {name for name, value in given.items() if value is not None}
            self._tell_upsert(sobject, row, _changes(sobject, blank, row, explicit))
        return str(row["Id"])

    def update(self, object_name: str, record_id: str, values: Mapping[str, Any]) -> None:
        """Change the fields that are given; null empties a field. Raises SalesforceError."""
        sobject = self._writable(object_name)
        with self.transaction():
            old = self.find(sobject, record_id)
            self._check_refusal(old)
            given = self._parse(self.sobject(object_name), values, lambda field: field.updateable)
            row = self.org.stamped({field.name: old.get(field.name, field.default) for field in sobject} | given)
            rules = self._rules_of(sobject)
            rules.prepare(old, row, given.keys())
            missing = [
                field.name for field in sobject if field.name in given and row[field.name] is None and not field.nillable
            ]
            if missing:
                message = f"Required fields are missing: [{', '.join(missing)}]"
                raise SalesforceError("REQUIRED_FIELD_MISSING", message, fields=missing)
            rules.update(old, row, given.keys())
            self._check_unique(sobject, row)
            self.org.store.put(sobject.name, row)
            rules.written(row)
            if changed := _changes(sobject, old, row):
                self._tell_upsert(sobject, row, changed)

    def delete(self, object_name: str, record_id: str) -> None:
        """Delete a row into the recycle bin, or for good where its object has none. Raises SalesforceError."""
        sobject = self._writable(object_name)
        with self.transaction():
            old = self.find(sobject, record_id)
            self._check_refusal(old)
            rules = self._rules_of(sobject)
            rules.delete(old)
            if rules.leaves_no_trace:
                self.org.store.purge(sobject.name, str(old["Id"]))
            else:
                self.org.store.put(sobject.name, {**self.org.stamped(old), "IsDeleted": True})
            rules.removed(old)

    def merge_accounts(self, master_id: str, loser_id: str) -> None:
        """Merge an account into another: its rows become the other's, and it is deleted with a pointer to that.

        Salesforce: activated orders and contracts move too. The master keeps its values. Nothing is told of a merge.
        """
        sobject = self.org.schema["Account"]
        with self.transaction():
            master, loser = self.find(sobject, master_id), self.find(sobject, loser_id)
            if master["Id"] == loser["Id"]:
                raise ValueError("an account is not merged with itself")
            lookups = [(each, field) for each in self.org.schema for field in each if field.references == sobject.name]
            for child, lookup in lookups:
                for row in self.org.store.where(child.name, lookup.name, loser["Id"]):
                    self.org.derive(child.name, row, **{lookup.name: master["Id"]})
            loser = self.find(sobject, loser_id)  # it may have been a child of its own
            gone = {**self.org.stamped(loser), "IsDeleted": True, "MasterRecordId": master["Id"]}
            self.org.store.put(sobject.name, gone)

    def refuse(self, record_id: str, error: SalesforceError, times: int) -> None:
        """Let the next `times` changes of a row fail, in whatever request they come. ValueError for what is no id."""
        if (long_id := to_18(record_id)) is None:
            raise ValueError(f"{record_id!r} is no record id")
        self._refusals[long_id] += [error] * times

    def _check_refusal(self, row: Row) -> None:
        if waiting := self._refusals[str(row["Id"])]:
            raise waiting.pop(0)

    def _rules_of(self, sobject: SObject) -> Rules:
        if sobject.name not in self._rules:
            self._rules[sobject.name] = RULES.get(sobject.name, Rules)(self.org)
        return self._rules[sobject.name]

    def _writable(self, name: str) -> SObject:
        """The whole object, its fields beyond the acting user's reach included."""
        seen = self.sobject(name)
        sobject = self.org.schema[name]
        if not sobject.writable:
            raise not_modelled(f"Writing {sobject.name}")
        if not seen.writable:
            raise API_ERRORS["INSUFFICIENT_ACCESS_OR_READONLY"]
        return sobject

    def _tell_upsert(self, sobject: SObject, row: Row, changed: list[str]) -> None:
        if sobject.name in UPSERTS:
            self.org.tell(UPSERTS[sobject.name], row, changed_fields=changed)
        elif sobject.name in MIRROR_UPSERTS:
            self.org.tell(MIRROR_UPSERTS[sobject.name], row, stripe_id=row["stripeGC__Stripe_Id__c"], changed_fields=changed)

    def _parse(self, sobject: SObject, values: Mapping[str, Any], allowed: Callable[[Field], bool]) -> dict[str, Value]:
        given: dict[str, Value] = {}
        refused = []
        for name, value in values.items():
            if name == "attributes":
                continue
            if name.lower() == "id":
                raise SalesforceError("INVALID_FIELD", "The Id field should not be specified in the sobject data.", fields=None)
            parent = sobject.parent(name) if isinstance(value, dict) else None
            field = parent or self.field(sobject, name)
            if not allowed(field):
                refused.append(field.name)
                continue
            given[field.name] = self._referenced_by_key(field, value) if parent else parse(field, value)
            self._check_reference(field, given[field.name])
        if refused:
            message = (
                f"Unable to create/update fields: {', '.join(refused)}. Please check the security settings of this field and "
                "verify that it is read/write for your profile or permission set."
            )
            raise SalesforceError("INVALID_FIELD_FOR_INSERT_UPDATE", message, fields=refused)
        return given

    def _referenced_by_key(self, field: Field, value: Mapping[str, Any]) -> Value:
        """Salesforce: `"Account": {"Key__c": "…"}` names the parent by its external id."""
        parent = self.sobject(field.references)
        keys = {name: key for name, key in value.items() if name != "attributes"}
        if len(keys) != 1:
            raise SalesforceError("INVALID_FIELD", f"{field.relationship}: one external id names the parent.", fields=None)
        ((name, key),) = keys.items()
        rows = self.by_key(parent, name, str(key))
        if len(rows) != 1:
            message = f"Foreign key external ID: {key} not found for field {name} in entity {parent.name}"
            raise SalesforceError("INVALID_FIELD", message, fields=None)
        return rows[0]["Id"]

    def _check_reference(self, field: Field, value: Value) -> None:
        if field.kind != "reference" or value is None:
            return
        parent, record_id = self.org.schema[field.references], str(value)
        if not record_id.startswith(parent.prefix):
            raise SalesforceError("MALFORMED_ID", f"{field.name}: id value of incorrect type: {value}", fields=[field.name])
        if self.org.store.live(parent.name, record_id) is None:
            if self.org.store.existed(parent.name, record_id):
                raise SalesforceError("ENTITY_IS_DELETED", "entity is deleted", fields=[field.name])
            raise SalesforceError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", fields=[field.name])

    def _holders(self, sobject: SObject, field: Field, value: Value) -> list[Row]:
        rows = self.org.store.where(sobject.name, field.name, value) if value is not None else []
        return [row for row in rows if not field.case_sensitive or row[field.name] == value]

    def _check_unique(self, sobject: SObject, row: Row) -> None:
        for field in sobject:
            others = self._holders(sobject, field, row[field.name]) if field.unique else []
            other = next((each for each in others if each["Id"] != row["Id"]), None)
            if other is not None:
                # Salesforce names the other record by its short id.
                message = f"duplicate value found: {field.name} duplicates value on record with id: {str(other['Id'])[:15]}"
                raise SalesforceError("DUPLICATE_VALUE", message)


def _changes(sobject: SObject, old: Row, new: Row, given: AbstractSet[str] = frozenset()) -> list[str]:
    """The writable fields that differ or are given, in the object's order."""
    writable = (field.name for field in sobject if field.createable or field.updateable)
    return [name for name in writable if name in given or old.get(name) != new[name]]
