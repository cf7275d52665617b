"""Calls that bundle others: `/composite` with references between its parts, and sObject Collections."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sandbox.salesforce_emulator.errors import SalesforceError, not_found, not_modelled
from sandbox.salesforce_emulator.records import Records
from sandbox.salesforce_emulator.rest import Call, Rest
from sandbox.serving import Response

MOST_SUBREQUESTS = 25
MOST_QUERIES_AND_COLLECTIONS = 5
MOST_RECORDS = 200
MOST_TYPE_CHANGES = 10

_REFERENCE = re.compile(r"@\{(\w+)((?:\.\w+|\[\d+\])+)\}")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_SUBREQUEST_KEYS = frozenset({"method", "url", "referenceId", "body", "httpHeaders"})
_ROLLED_BACK = "The transaction was rolled back since another operation in the same transaction failed."
_RECORD_ROLLED_BACK = "Record rolled back because not all records were valid and the request was using AllOrNone header"


class _Undo(Exception):  # noqa: N818 (no error: it carries a finished answer out of the transaction that must not commit)
    def __init__(self, answer: list[Any]) -> None:
        super().__init__()
        self.answer = answer


class Composite:
    """Answers every call below a version; those that bundle nothing are passed on to `Rest`."""

    def __init__(self, records: Records, rest: Rest) -> None:
        self._records = records
        self._rest = rest

    def answer(self, call: Call) -> Response:
        """Answer one call. Raises SalesforceError where it is refused as a whole."""
        match call.method, *call.segments:
            case "POST", "composite":
                return Response(body={"compositeResponse": self._composite(call)})
            case (("POST" | "PATCH" | "DELETE"), "composite", "sobjects"):
                return Response(body=self._collection(call))
            case _, "composite", *_:
                raise not_modelled(f"{call.method} /{'/'.join(call.segments)}")
            case _:
                return self._rest.answer(call)

    # /composite

    def _composite(self, call: Call) -> list[dict[str, Any]]:
        given = call.fields()
        parts = _subrequests(given.get("compositeRequest"), call.version)
        all_or_none = given.get("allOrNone", False) is True
        try:
            with ExitStack() as stack:
                if all_or_none:
                    stack.enter_context(self._records.transaction())
                return self._run(parts, call.version, all_or_none=all_or_none)
        except _Undo as undone:
            return undone.answer

    def _run(self, parts: list[Mapping[str, Any]], version: str, *, all_or_none: bool) -> list[dict[str, Any]]:
        answers: dict[str, Any] = {}
        results = []
        for part in parts:
            response = self._subrequest(part, answers, version)
            answers[part["referenceId"]] = response.body
            results.append(_result(part, response))
            if all_or_none and response.status >= 400:  # noqa: PLR2004 (HTTP: from 400 on it is an error)
                halted = Response(400, [{"errorCode": "PROCESSING_HALTED", "message": _ROLLED_BACK}])
                raise _Undo([results[-1] if each is part else _result(each, halted) for each in parts])
            if all_or_none and _has_failed_record(response):
                raise not_modelled("A collection with failed records inside an allOrNone composite")
        return results

    def _subrequest(self, part: Mapping[str, Any], answers: Mapping[str, Any], version: str) -> Response:
        try:
            url = urlsplit(str(_resolved(part["url"], answers)))
            segments = tuple(unquote(segment) for segment in url.path.split("/")[4:] if segment)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            headers = {str(name).lower(): str(value) for name, value in part.get("httpHeaders", {}).items()}
            body = _resolved(part.get("body"), answers)
            if segments == ("composite",):
                raise not_modelled("A composite within a composite")
            return self.answer(Call(part["method"], version, segments, query, body, headers))
        except SalesforceError as error:
            return Response(error.status, error.body())

    # /composite/sobjects

    def _collection(self, call: Call) -> list[dict[str, Any]]:
        if call.method == "DELETE":
            ids = [each for each in call.query.get("ids", "").split(",") if each]
            all_or_none = call.query.get("allOrNone", "false").lower() == "true"
            return self._each(ids, self._delete, all_or_none=all_or_none)
        given = call.fields()
        records = given.get("records")
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise SalesforceError("JSON_PARSER_ERROR", "records must be an array of objects", fields=None)
        changes = [key for key, _ in itertools.groupby(records, _type_of)]
        if len(changes) > MOST_TYPE_CHANGES:
            message = f"The records change between types more than {MOST_TYPE_CHANGES} times."
            raise SalesforceError("LIMIT_EXCEEDED", message, fields=None)
        write = self._create if call.method == "POST" else self._update
        return self._each(records, write, all_or_none=given.get("allOrNone", False) is True)

    def _each[T](self, items: list[T], write: Callable[[T], str], *, all_or_none: bool) -> list[dict[str, Any]]:
        if len(items) > MOST_RECORDS:
            raise SalesforceError("LIMIT_EXCEEDED", f"A collection takes at most {MOST_RECORDS} records.", fields=None)
        try:
            with self._records.transaction():
                results = [self._attempt(item, write) for item in items]
                if all_or_none and not all(result["success"] for result in results):
                    rolled_back = SalesforceError("ALL_OR_NONE_OPERATION_ROLLED_BACK", _RECORD_ROLLED_BACK).result()
                    raise _Undo([rolled_back if result["success"] else result for result in results])
                return results
        except _Undo as undone:
            return undone.answer

    def _attempt[T](self, item: T, write: Callable[[T], str]) -> dict[str, Any]:
        try:
            return {"id": write(item), "success": True, "errors": []}
        except SalesforceError as error:
            return error.result()

    def _create(self, record: dict[str, Any]) -> str:
        return self._records.create(self._object_name(record), record)

    def _update(self, record: dict[str, Any]) -> str:
        record_id = record.get("id", record.get("Id"))
        if not isinstance(record_id, str):
            raise SalesforceError("MISSING_ARGUMENT", "Id not specified in an update call")
        fields = {name: value for name, value in record.items() if name.lower() != "id"}
        object_name = self._object_name(record)
        self._records.update(object_name, record_id, fields)
        return str(self._records.find(self._records.sobject(object_name), record_id)["Id"])

    def _delete(self, record_id: str) -> str:
        sobject = next((each for each in self._records.org.schema if each.prefix == record_id[:3]), None)
        if sobject is None:
            raise SalesforceError("MALFORMED_ID", f"malformed id {record_id}")
        long_id = str(self._records.find(sobject, record_id)["Id"])
        self._records.delete(sobject.name, long_id)
        return long_id

    def _object_name(self, record: dict[str, Any]) -> str:
        name = _type_of(record)
        if self._records.org.schema.find(name) is None:
            raise SalesforceError("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return name


def _type_of(record: dict[str, Any]) -> str:
    attributes = record.get("attributes")
    name = attributes.get("type") if isinstance(attributes, dict) else None
    if not isinstance(name, str):
        raise SalesforceError("INVALID_TYPE", "Each record of a collection says its type under attributes.", fields=None)
    return name


def _subrequests(given: object, version: str) -> list[Mapping[str, Any]]:
    """The parts of a composite call, checked for what Salesforce demands of them as a whole."""
    if not isinstance(given, list) or not given or not all(isinstance(part, dict) for part in given):
        raise SalesforceError("JSON_PARSER_ERROR", "compositeRequest must be an array of subrequests", fields=None)
    if len(given) > MOST_SUBREQUESTS:
        raise SalesforceError("LIMIT_EXCEEDED", f"A composite takes at most {MOST_SUBREQUESTS} subrequests.", fields=None)
    seen: set[str] = set()
    bundles = 0
    for part in given:
        _check_subrequest(part, version)
        if part["referenceId"] in seen:
            raise SalesforceError("INVALID_INPUT", f"Duplicate referenceId: {part['referenceId']}", fields=None)
        seen.add(part["referenceId"])
        bundles += re.search(r"^/services/data/v[^/]+/(query|composite/sobjects)", part["url"]) is not None
    if bundles > MOST_QUERIES_AND_COLLECTIONS:
        message = f"A composite takes at most {MOST_QUERIES_AND_COLLECTIONS} queries and collections."
        raise SalesforceError("LIMIT_EXCEEDED", message, fields=None)
    return given


def _check_subrequest(part: Mapping[str, Any], version: str) -> None:
    if unknown := part.keys() - _SUBREQUEST_KEYS:
        raise SalesforceError("JSON_PARSER_ERROR", f"Unrecognized field: {', '.join(sorted(unknown))}", fields=None)
    if not all(isinstance(part.get(key), str) for key in ("method", "url", "referenceId")):
        raise SalesforceError("JSON_PARSER_ERROR", "A subrequest needs method, url and referenceId", fields=None)
    if not re.fullmatch(r"[A-Za-z0-9]\w*", part["referenceId"], re.ASCII):
        raise SalesforceError("INVALID_INPUT", f"Invalid referenceId: {part['referenceId']}", fields=None)
    if not part["url"].startswith(f"/services/data/{version}/"):
        raise not_found(f"A subrequest stays within /services/data/{version}/: {part['url'][:80]}")


def _result(part: Mapping[str, Any], response: Response) -> dict[str, Any]:
    return {
        "body": response.body,
        "httpHeaders": response.headers,
        "httpStatusCode": response.status,
        "referenceId": part["referenceId"],
    }


def _has_failed_record(response: Response) -> bool:
    return isinstance(response.body, list) and any(
        isinstance(each, dict) and each.get("success") is False for each in response.body
    )


def _resolved(value: Any, answers: Mapping[str, Any]) -> Any:
    """A url or body with its `@{…}` replaced. Salesforce: a missing or null value fails the part that refers to it."""
    if isinstance(value, dict):
        return {key: _resolved(each, answers) for key, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each, answers) for each in value]
    if not isinstance(value, str):
        return value
    if whole := _REFERENCE.fullmatch(value):
        return _referenced(whole, answers)
    return _REFERENCE.sub(lambda match: str(_referenced(match, answers)), value)


def _referenced(match: re.Match[str], answers: Mapping[str, Any]) -> str | int | float | bool:
    name, path = match.groups()
    value = answers.get(name)
    for key, index in _STEP.findall(path):
        if key and isinstance(value, dict):
            value = value.get(key)
        elif index and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        else:
            value = None
    if not isinstance(value, str | int | float):
        message = f"Invalid reference specified. No value for {name}{path} found in {name}"
        raise SalesforceError("PROCESSING_HALTED", message, fields=None)
    return value
