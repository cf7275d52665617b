"""The resources below `/services/data/vXX.0/`: describe, rows, queries, limits.

`composite.py` adds those that bundle others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from sandbox.salesforce_emulator.describe import global_describe, object_describe
from sandbox.salesforce_emulator.errors import SalesforceError, not_found, not_modelled
from sandbox.salesforce_emulator.ids import to_18
from sandbox.salesforce_emulator.queries import Queries
from sandbox.salesforce_emulator.records import Records
from sandbox.salesforce_emulator.schema import SObject
from sandbox.salesforce_emulator.soql.execution import attributes
from sandbox.salesforce_emulator.store import Row
from sandbox.salesforce_emulator.values import render
from sandbox.serving import Response

OLDEST_VERSION, NEWEST_VERSION = 59, 67
DAILY_CALLS = 100_000

_UNMODELLED = frozenset(
    {
        *(
            "jobs",
            "tooling",
            "search",
            "parameterizedSearch",
            "actions",
            "analytics",
            "chatter",
            "ui-api",
            "recent",
            "metadata",
        ),
        *("process", "quickActions", "event", "async-queries", "named-credentials", "eventSchema", "support", "graphql"),
    }
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API. `segments`: the unquoted path after the version; `body`: parsed JSON, None where there is none."""

    method: str
    version: str
    segments: tuple[str, ...]
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """The body as a record's fields. JSON_PARSER_ERROR where it is none."""
        if not isinstance(self.body, dict):
            raise SalesforceError("JSON_PARSER_ERROR", "The request body must be a JSON object.", fields=None)
        return self.body


def versions() -> list[dict[str, str]]:
    """The versions that the org serves. Salesforce: three releases a year, named after the season."""
    found = []
    for number in range(OLDEST_VERSION, NEWEST_VERSION + 1):
        year, season = divmod(number - OLDEST_VERSION, 3)
        label = f"{('Winter', 'Spring', 'Summer')[season]} '{24 + year}"
        found.append({"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"})
    return found


class Rest:
    """Answers calls on one org's records. Raises SalesforceError for every refusal."""

    def __init__(self, records: Records, queries: Queries) -> None:
        self._records = records
        self._queries = queries
        self.calls_used = 0

    def answer(self, call: Call) -> Response:
        """Answer one call other than a composite one."""
        match call.method, *call.segments:
            case "GET", "limits":
                remaining = max(0, DAILY_CALLS - self.calls_used)
                return Response(body={"DailyApiRequests": {"Max": DAILY_CALLS, "Remaining": remaining}})
            case "GET", "query" | "queryAll" as kind:
                statement = call.query.get("q", "")
                return Response(body=self._queries.run(statement, version=call.version, include_deleted=kind == "queryAll"))
            case "GET", "query" | "queryAll", locator:
                return Response(body=self._queries.more(locator, version=call.version))
            case "GET", "sobjects":
                return Response(body=global_describe(self._records.org.seen, call.version))
            case _, "sobjects", name, *rest:
                return self._on_object(call, self._records.sobject(name), rest)
            case _, family, *_ if family in _UNMODELLED:
                raise not_modelled(f"/{'/'.join(call.segments)}")
        raise not_found()

    def _on_object(self, call: Call, sobject: SObject, rest: list[str]) -> Response:
        match call.method, *rest:
            case "GET", "describe":
                return Response(body=object_describe(self._records.org.seen, sobject, call.version))
            case ("POST",):
                record_id = self._records.create(sobject.name, call.fields())
                return _created(call.version, sobject.name, record_id)
            case _, "describe" | "deleted" | "updated" | "listviews" | "quickActions", *_:
                raise not_modelled(f"/{'/'.join(call.segments)}")
            case (("GET" | "PATCH" | "DELETE"), record_id):
                return self._on_row(call, sobject, self._records.find(sobject, record_id))
            case (("GET" | "PATCH" | "DELETE"), field_name, value):
                return self._by_key(call, sobject, field_name, value)
            case ("GET",):
                raise not_modelled(f"/{'/'.join(call.segments)}")
            case _:
                message = f"HTTP Method '{call.method}' not allowed. Allowed are GET,POST,PATCH,DELETE"
                raise SalesforceError("METHOD_NOT_ALLOWED", message, status=405, fields=None)

    def _by_key(self, call: Call, sobject: SObject, field_name: str, value: str) -> Response:
        if sobject.field(field_name) is None and to_18(field_name):
            raise not_modelled("Following a relationship in the path")
        rows = self._records.by_key(sobject, field_name, value)
        if len(rows) > 1:
            return Response(300, [attributes(call.version, sobject.name, str(row["Id"]))["url"] for row in rows])
        if call.method != "PATCH":
            if not rows:
                raise not_found()
            return self._on_row(call, sobject, rows[0])
        given = call.fields()
        if any(name.lower() == field_name.lower() for name in given):
            message = f"The {field_name} field should not be specified in the sobject data."
            raise SalesforceError("INVALID_FIELD", message, fields=None)
        if rows:
            self._on_row(call, sobject, rows[0])
            return Response(body={"id": rows[0]["Id"], "success": True, "errors": [], "created": False})
        record_id = self._records.create(sobject.name, {**given, field_name: value})
        return _created(call.version, sobject.name, record_id, created=True)

    def _on_row(self, call: Call, sobject: SObject, row: Row) -> Response:
        _check_preconditions(call, row)
        match call.method:
            case "PATCH":
                self._records.update(sobject.name, str(row["Id"]), call.fields())
                return Response(204)
            case "DELETE":
                self._records.delete(sobject.name, str(row["Id"]))
                return Response(204)
        names = call.query.get("fields")
        fields = [self._records.field(sobject, name.strip()) for name in names.split(",")] if names else list(sobject)
        shown = {"attributes": attributes(call.version, sobject.name, str(row["Id"]))}
        return Response(body=shown | {each.name: render(each, row.get(each.name)) for each in fields} | {"Id": row["Id"]})


def _created(version: str, object_name: str, record_id: str, **more: bool) -> Response:
    body = {"id": record_id, "success": True, "errors": [], **more}
    return Response(201, body, {"Location": quote(attributes(version, object_name, record_id)["url"])})


def _check_preconditions(call: Call, row: Row) -> None:
    """Salesforce: `If-Unmodified-Since` compares LastModifiedDate to the second; ETags exist for accounts alone."""
    for name in ("if-match", "if-none-match", "if-modified-since"):
        if name in call.headers:
            raise not_modelled(f"The header {name}")
    if (since := call.headers.get("if-unmodified-since")) is None:
        return
    try:
        instant = parsedate_to_datetime(since)
    except ValueError:
        raise SalesforceError("INVALID_HEADER", "If-Unmodified-Since is no RFC 1123 date", fields=None) from None
    changed = row["LastModifiedDate"]
    if isinstance(changed, datetime) and changed > instant:
        message = "The request could not be completed due to a conflict with the current state of the resource."
        raise SalesforceError("PRECONDITION_FAILED", message, status=412, fields=None)
