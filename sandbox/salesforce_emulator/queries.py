"""Query results in pages, and the locators with which the next page is asked for.

Salesforce: a page holds at most so many rows, those of child sub-queries included; a locator lives two days.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sandbox.salesforce_emulator.errors import SalesforceError
from sandbox.salesforce_emulator.ids import make_id
from sandbox.salesforce_emulator.org import Org
from sandbox.salesforce_emulator.soql.execution import Children, execute

LOCATOR_LIFE = timedelta(days=2)
LOCATOR_PREFIX = "01g"


@dataclass(frozen=True, slots=True)
class _Cursor:
    records: list[dict[str, Any]]
    expires: datetime


class Queries:
    """Runs queries and hands their results out page by page, as they were when the query ran."""

    def __init__(self, org: Org, page_size: int) -> None:
        self._org = org
        self._page_size = page_size
        self._cursors: dict[str, _Cursor] = {}

    def run(self, statement: str, *, version: str, include_deleted: bool = False) -> dict[str, Any]:
        """The first page of a statement's result. Raises SalesforceError."""
        found = execute(self._org, statement, version=version, include_deleted=include_deleted)
        if isinstance(found, int):
            return {"totalSize": found, "done": True, "records": []}
        return self._result(found, version)

    def more(self, locator: str, *, version: str) -> dict[str, Any]:
        """The page that a locator stands for. INVALID_QUERY_LOCATOR for an unknown or expired one."""
        name, _, offset = locator.partition("-")
        cursor = self._cursors.get(name)
        if cursor is None or self._org.clock.now() >= cursor.expires or not offset.isdigit():
            raise SalesforceError("INVALID_QUERY_LOCATOR", "invalid query locator", fields=None)
        return self._page(name, cursor.records, int(offset), version)

    def all(self, statement: str) -> list[dict[str, Any]]:
        """All records of a statement at once, for use within Python."""
        found = execute(self._org, statement, version="v67.0", include_deleted=False)
        if isinstance(found, int):
            raise TypeError("COUNT() has no records")
        return [_unpaged(record) for record in found]

    def _result(self, records: list[dict[str, Any]], version: str) -> dict[str, Any]:
        name = make_id(LOCATOR_PREFIX, len(self._cursors) + 1)
        self._cursors[name] = _Cursor(records, self._org.clock.now() + LOCATOR_LIFE)
        return self._page(name, records, 0, version)

    def _page(self, name: str, records: list[dict[str, Any]], offset: int, version: str) -> dict[str, Any]:
        shown: list[dict[str, Any]] = []
        rows = 0
        for record in records[offset:]:
            weight = 1 + sum(
                min(len(value.records), self._page_size) for value in record.values() if isinstance(value, Children)
            )
            if shown and rows + weight > self._page_size:
                break
            rows += weight
            shown.append({key: self._nested(value, version) for key, value in record.items()})
        following = offset + len(shown)
        done = following >= len(records)
        page: dict[str, Any] = {"totalSize": len(records), "done": done, "records": shown}
        if not done:
            page["nextRecordsUrl"] = f"/services/data/{version}/query/{name}-{following}"
        return page

    def _nested(self, value: Any, version: str) -> Any:
        return self._result(value.records, version) if isinstance(value, Children) else value


def _unpaged(record: dict[str, Any]) -> dict[str, Any]:
    return {
        key: {"totalSize": len(value.records), "done": True, "records": value.records} if isinstance(value, Children) else value
        for key, value in record.items()
    }
