"""sObject Collections, `/composite/sobjects`: up to 200 records created, changed, upserted or deleted in one call."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.salesforce_emulator.bundles import Undo, body_of, flag_of
from sandbox.salesforce_emulator.errors import SalesforceError, not_modelled
from sandbox.salesforce_emulator.records import Records
from sandbox.salesforce_emulator.rest import Call

MOST_RECORDS = 200
MOST_TYPE_CHANGES = 10

_ROLLED_BACK = "Record rolled back because not all records were valid and the request was using AllOrNone header"


class Collections:
    """Answers with one result for each record, in their order."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def answer(self, call: Call, *, all_or_none: bool) -> list[dict[str, Any]]:
        """Answer one call; `all_or_none`: whatever it says itself. Raises SalesforceError where it is refused as a whole."""
        match call.method, *call.segments[2:]:
            case ("DELETE",):
                return self._deletions(call, all_or_none=all_or_none)
            case (("POST" | "PATCH"),):
                return self._collection(call, all_or_none=all_or_none)
            case "PATCH", name, field_name:
                return self._upserts(call, name, field_name, all_or_none=all_or_none)
        raise not_modelled(f"{call.method} /{'/'.join(call.segments)}")

    def _deletions(self, call: Call, *, all_or_none: bool) -> list[dict[str, Any]]:
        ids = [each for each in call.query.get("ids", "").split(",") if each]
        all_or_none = all_or_none or call.query.get("allOrNone", "false").lower() == "true"
        return self._each(ids, self._delete, all_or_none=all_or_none)

    def _collection(self, call: Call, *, all_or_none: bool) -> list[dict[str, Any]]:
        given = body_of(call, {"records", "allOrNone"})
        all_or_none = flag_of(given, "allOrNone") or all_or_none
        write = self._create if call.method == "POST" else self._update
        return self._each(_records_of(given), write, all_or_none=all_or_none)

    def _upserts(self, call: Call, name: str, field_name: str, *, all_or_none: bool) -> list[dict[str, Any]]:
        """Salesforce: all records are of the object in the path; a key that comes twice is refused in all its places."""
        given = body_of(call, {"records", "allOrNone"})
        all_or_none = flag_of(given, "allOrNone") or all_or_none
        sobject, records = self._records.sobject(name), _records_of(given)
        self._records.by_key(sobject, field_name, "")  # whether it is a key at all
        if any(_type_of(record).lower() != sobject.name.lower() for record in records):
            raise SalesforceError("INVALID_TYPE", f"Every record must be of the type {sobject.name}.", fields=None)
        seen = Counter(_key_of(record, field_name) for record in records)

        def write(record: dict[str, Any]) -> dict[str, Any]:
            if (key := _key_of(record, field_name)) is None:
                raise SalesforceError("MISSING_ARGUMENT", f"{field_name} not specified")
            if seen[key] > 1:
                raise SalesforceError("DUPLICATE_VALUE", f"Duplicate external id specified: {key}", fields=[field_name])
            rows = self._records.by_key(sobject, field_name, key)
            if len(rows) > 1:
                raise SalesforceError("DUPLICATE_EXTERNAL_ID", f"{field_name}: more than one record found for {key}")
            if not rows:
                return {**_written(self._records.create(sobject.name, record)), "created": True}
            changes = {each: value for each, value in record.items() if each.lower() != field_name.lower()}
            self._records.update(sobject.name, str(rows[0]["Id"]), changes)
            return {**_written(str(rows[0]["Id"])), "created": False}

        return self._each(records, write, all_or_none=all_or_none)

    def _each[T](self, items: list[T], write: Callable[[T], dict[str, Any]], *, all_or_none: bool) -> list[dict[str, Any]]:
        if len(items) > MOST_RECORDS:
            raise SalesforceError("LIMIT_EXCEEDED", f"A collection takes at most {MOST_RECORDS} records.", fields=None)
        try:
            with self._records.transaction(), self._records.org.collection():
                results = [self._attempt(item, write) for item in items]
                if all_or_none and not all(result["success"] for result in results):
                    rolled_back = SalesforceError("ALL_OR_NONE_OPERATION_ROLLED_BACK", _ROLLED_BACK).result()
                    raise Undo([rolled_back if result["success"] else result for result in results])
                return results
        except Undo as undone:
            answer: list[dict[str, Any]] = undone.answer
            return answer

    def _attempt[T](self, item: T, write: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
        try:
            return write(item)
        except SalesforceError as error:
            return error.result()

    def _create(self, record: dict[str, Any]) -> dict[str, Any]:
        return _written(self._records.create(self._object_name(record), record))

    def _update(self, record: dict[str, Any]) -> dict[str, Any]:
        record_id = record.get("id", record.get("Id"))
        if not isinstance(record_id, str):
            raise SalesforceError("MISSING_ARGUMENT", "Id not specified in an update call")
        fields = {name: value for name, value in record.items() if name.lower() != "id"}
        object_name = self._object_name(record)
        self._records.update(object_name, record_id, fields)
        return _written(str(self._records.find(self._records.sobject(object_name), record_id)["Id"]))

    def _delete(self, record_id: str) -> dict[str, Any]:
        sobject = next((each for each in self._records.org.seen if each.prefix == record_id[:3]), None)
        if sobject is None:
            raise SalesforceError("MALFORMED_ID", f"malformed id {record_id}")
        long_id = str(self._records.find(sobject, record_id)["Id"])
        self._records.delete(sobject.name, long_id)
        return _written(long_id)

    def _object_name(self, record: dict[str, Any]) -> str:
        name = _type_of(record)
        if self._records.org.seen.find(name) is None:
            raise SalesforceError("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return name


def _type_of(record: dict[str, Any]) -> str:
    attributes = record.get("attributes")
    name = attributes.get("type") if isinstance(attributes, dict) else None
    if not isinstance(name, str):
        raise SalesforceError("INVALID_TYPE", "Each record of a collection says its type under attributes.", fields=None)
    return name


def _written(record_id: str) -> dict[str, Any]:
    return {"id": record_id, "success": True, "errors": []}


def _key_of(record: Mapping[str, Any], field_name: str) -> str | None:
    """A record's value in the field by which it is upserted; None where it has none."""
    value = next((value for name, value in record.items() if name.lower() == field_name.lower()), None)
    return None if value is None or not str(value).strip() else str(value).strip()


def _records_of(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records of a collection, checked for what Salesforce demands of them as a whole."""
    records = given.get("records")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise SalesforceError("JSON_PARSER_ERROR", "records must be an array of objects", fields=None)
    changes = [key for key, _ in itertools.groupby(records, _type_of)]
    if len(changes) > MOST_TYPE_CHANGES:
        message = f"The records change between types more than {MOST_TYPE_CHANGES} times."
        raise SalesforceError("LIMIT_EXCEEDED", message, fields=None)
    return records
