"""Runs a statement against an org's rows, and shapes the records as the API does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sandbox.salesforce_emulator.org import Org
from sandbox.salesforce_emulator.schema import Field, SObject
from sandbox.salesforce_emulator.soql.conditions import Conditions, Test, candidates, comparable
from sandbox.salesforce_emulator.soql.names import Column, Names
from sandbox.salesforce_emulator.soql.parser import parse
from sandbox.salesforce_emulator.soql.syntax import Ordering, Path, Query
from sandbox.salesforce_emulator.store import Row
from sandbox.salesforce_emulator.values import render


@dataclass(slots=True)
class Children:
    """The records of a child sub-query, before they are paged."""

    records: list[dict[str, Any]]


@dataclass(slots=True)
class _Level:
    """What is selected of an object: fields, parents and sub-queries by their key in the record; `keys` gives the order."""

    sobject: SObject
    fields: dict[str, Field] = field(default_factory=dict)
    parents: dict[str, tuple[Field, _Level]] = field(default_factory=dict)
    children: dict[str, tuple[Field, _Select]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Select:
    """A SELECT with every name looked up."""

    level: _Level
    test: Test
    orderings: list[tuple[Column, Ordering]]
    query: Query


def execute(org: Org, statement: str, *, version: str, include_deleted: bool) -> list[dict[str, Any]] | int:
    """The records that a statement selects, or their number for `SELECT COUNT()`.

    A child sub-query's records stand as `Children` under its relationship, None where there are none.
    `version` is the one in the records' urls, as `v67.0`. Raises SalesforceError.
    """
    query = parse(statement)
    names = Names(org, statement)
    sobject = names.sobject(query.source, query.position)
    select = _prepared(names, sobject, query)
    rows: Iterable[Row] | None = None if include_deleted else candidates(org, sobject, query.where)
    if rows is None:
        rows = (row for row in org.store.rows(sobject.name) if include_deleted or not row["IsDeleted"])
    found = _found(org, select, rows)
    return len(found) if query.counts else [_record(org, version, select.level, row) for row in found]


def _prepared(names: Names, sobject: SObject, query: Query) -> _Select:
    top = _Level(sobject)
    for selection in query.selections:
        if isinstance(selection, Query):
            _add_children(names, top, selection)
        else:
            _add_field(names, top, selection)
    orderings = [(_sortable(names, sobject, ordering.path), ordering) for ordering in query.order_by]
    return _Select(top, Conditions(names, sobject).test(query.where), orderings, query)


def _add_children(names: Names, top: _Level, query: Query) -> None:
    child, lookup = names.child(top.sobject, query.source, query.position)
    if lookup.children in top.children:
        raise names.error("MALFORMED_QUERY", query.position, "duplicate relationship in SELECT")
    if query.counts:
        raise names.error("MALFORMED_QUERY", query.position, "COUNT() is not allowed in a sub-query")
    top.children[lookup.children] = (lookup, _prepared(names, child, query))
    top.keys.append(lookup.children)


def _add_field(names: Names, top: _Level, path: Path) -> None:
    column = names.column(top.sobject, path)
    level = top
    for lookup in column.parents:
        name = str(lookup.relationship)
        if name not in level.parents:
            level.parents[name] = (lookup, _Level(names.org.seen[lookup.references]))
            level.keys.append(name)
        level = level.parents[name][1]
    if column.field.name in level.fields:
        raise names.error("INVALID_FIELD", path.position, f"duplicate field selected: {'.'.join(path.parts)}")
    level.fields[column.field.name] = column.field
    level.keys.append(column.field.name)


def _sortable(names: Names, sobject: SObject, path: Path) -> Column:
    column = names.column(sobject, path)
    if not column.field.filterable:
        raise names.error("INVALID_FIELD", path.position, f"field '{column.field.name}' can not be sorted in a query call")
    return column


def _found(org: Org, select: _Select, rows: Iterable[Row]) -> list[Row]:
    found = [row for row in rows if select.test(row)]
    for column, ordering in reversed(select.orderings):
        found = _ordered(org, column, ordering, found)
    start, limit = select.query.offset or 0, select.query.limit
    return found[start:] if limit is None else found[start : start + limit]


def _ordered(org: Org, column: Column, ordering: Ordering, rows: list[Row]) -> list[Row]:
    """Salesforce: nulls come first unless the statement says otherwise, in either direction."""
    keyed = [(comparable(column.field, column.read(org, row)), row) for row in rows]
    nulls = [row for key, row in keyed if key is None]
    others = [pair for pair in keyed if pair[0] is not None]
    others.sort(key=lambda pair: pair[0], reverse=ordering.descending)
    ordered = [row for _, row in others]
    return [*ordered, *nulls] if ordering.nulls_last else [*nulls, *ordered]


def _record(org: Org, version: str, level: _Level, row: Row) -> dict[str, Any]:
    record: dict[str, Any] = {"attributes": attributes(version, level.sobject.name, str(row["Id"]))}
    for key in level.keys:
        if key in level.fields:
            record[key] = render(level.fields[key], row.get(key))
        elif key in level.parents:
            lookup, above = level.parents[key]
            parent = org.store.live(lookup.references, row.get(lookup.name))
            record[key] = None if parent is None else _record(org, version, above, parent)
        else:
            lookup, select = level.children[key]
            found = _found(org, select, org.store.where(select.level.sobject.name, lookup.name, row["Id"]))
            record[key] = Children([_record(org, version, select.level, child) for child in found]) if found else None
    return record


def attributes(version: str, object_name: str, record_id: str) -> dict[str, str]:
    """The key with which every record starts."""
    return {"type": object_name, "url": f"/services/data/{version}/sobjects/{object_name}/{record_id}"}
