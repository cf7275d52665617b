"""The rows of all objects in memory, with an undo journal and an index on lookups and keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from sandbox.salesforce_emulator.schema import Schema
from sandbox.salesforce_emulator.values import Value

Row = Mapping[str, Value]


class Store:
    """Tables of immutable rows by id. A row that was purged leaves its id behind, so that it is known to have been."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._tables: dict[str, dict[str, Row | None]] = defaultdict(dict)
        self._index: dict[tuple[str, str, str], dict[str, None]] = defaultdict(dict)
        self._journal: list[tuple[str, str, Row | None, bool]] = []

    def rows(self, object_name: str) -> Iterator[Row]:
        """Every row of an object in the order of creation, deleted ones included."""
        return (row for row in self._tables[object_name].values() if row is not None)

    def get(self, object_name: str, record_id: str) -> Row | None:
        """A row by its 18-character id, deleted or not; None where there is none (any more)."""
        return self._tables[object_name].get(record_id)

    def live(self, object_name: str, record_id: object) -> Row | None:
        """A row that is not deleted."""
        row = self.get(object_name, record_id) if isinstance(record_id, str) else None
        return row if row is not None and not row["IsDeleted"] else None

    def existed(self, object_name: str, record_id: str) -> bool:
        """Whether the id was ever given to a row."""
        return record_id in self._tables[object_name]

    def where(self, object_name: str, field_name: str, value: Value) -> list[Row]:
        """The live rows that hold a value in an indexed field; texts compare without case."""
        ids = self._index.get((object_name, field_name, str(value).casefold()), {})
        return [row for record_id in ids if (row := self.live(object_name, record_id)) is not None]

    def put(self, object_name: str, row: Row) -> None:
        """Add or replace a row."""
        self._set(object_name, str(row["Id"]), dict(row))

    def purge(self, object_name: str, record_id: str) -> None:
        """Remove a row for good."""
        self._set(object_name, record_id, None)

    def mark(self) -> int:
        """A point to roll back to."""
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Undo everything since a mark."""
        while len(self._journal) > mark:
            object_name, record_id, before, existed = self._journal.pop()
            self._reindex(object_name, record_id, self._tables[object_name][record_id], before)
            if existed:
                self._tables[object_name][record_id] = before
            else:
                del self._tables[object_name][record_id]

    def commit(self) -> None:
        """Forget how to undo."""
        self._journal.clear()

    def _set(self, object_name: str, record_id: str, row: Row | None) -> None:
        table = self._tables[object_name]
        before = table.get(record_id)
        self._journal.append((object_name, record_id, before, record_id in table))
        self._reindex(object_name, record_id, before, row)
        table[record_id] = row

    def _reindex(self, object_name: str, record_id: str, before: Row | None, after: Row | None) -> None:
        for field in self._schema[object_name]:
            if not field.indexed:
                continue
            old, new = (row.get(field.name) if row else None for row in (before, after))
            if old is not None and old != new:
                self._index[object_name, field.name, str(old).casefold()].pop(record_id, None)
            if new is not None:
                self._index[object_name, field.name, str(new).casefold()][record_id] = None
