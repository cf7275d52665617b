"""WHERE: from conditions to a test that a row passes or fails.

Salesforce: texts compare without case; a missing parent counts as a null field; `!=` and NOT IN hold for null.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sandbox.salesforce_emulator.errors import SalesforceError
from sandbox.salesforce_emulator.ids import to_18
from sandbox.salesforce_emulator.org import Org
from sandbox.salesforce_emulator.schema import IDS, NUMBERS, TEXTS, Field, SObject
from sandbox.salesforce_emulator.soql.names import Column, Names
from sandbox.salesforce_emulator.soql.syntax import (
    Comparison,
    Condition,
    Junction,
    Literal,
    Membership,
    Not,
    Operator,
    Path,
    SemiJoin,
    Word,
)
from sandbox.salesforce_emulator.store import Row
from sandbox.salesforce_emulator.values import Value

type Test = Callable[[Row], bool]

MOST_SEMI_JOINS = 2

_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


class Conditions:
    """The conditions on one object of a statement. Raises SalesforceError while building, never while testing."""

    def __init__(self, names: Names, sobject: SObject) -> None:
        self._names = names
        self._sobject = sobject
        self._semi_joins = 0

    def test(self, condition: Condition | None, *, semi_joins: bool = True) -> Test:
        """The test that a condition stands for. `semi_joins`: whether they may stand here (not under OR and NOT)."""
        match condition:
            case None:
                return lambda _: True
            case Junction("AND", parts):
                tests = [self.test(part, semi_joins=semi_joins) for part in parts]
                return lambda row: all(test(row) for test in tests)
            case Junction(_, parts):
                tests = [self.test(part, semi_joins=False) for part in parts]
                return lambda row: any(test(row) for test in tests)
            case Not(inner):
                denied = self.test(inner, semi_joins=False)
                return lambda row: not denied(row)
            case Membership():
                return self._membership(condition)
            case SemiJoin():
                return self._semi_join(condition, allowed=semi_joins)
            case Comparison():
                return self._comparison(condition)

    # Comparisons

    def _membership(self, membership: Membership) -> Test:
        org, path = self._names.org, membership.path
        comparisons = [Comparison(path, "=", literal) for literal in membership.literals]
        if any(literal.value is Word.TODAY for literal in membership.literals):
            tests = [self._comparison(comparison) for comparison in comparisons]
            return lambda row: any(test(row) for test in tests) != membership.negated
        column = self._filterable(path)
        wanted = {self._comparable(column.field, comparison) for comparison in comparisons}
        return lambda row: (comparable(column.field, column.read(org, row)) in wanted) != membership.negated

    def _comparison(self, comparison: Comparison) -> Test:
        org = self._names.org
        column = self._filterable(comparison.path)
        if isinstance(comparison.literal.value, re.Pattern):
            return self._like(column, comparison, comparison.literal.value)
        if comparison.literal.value is Word.TODAY:
            return self._today(column, comparison)
        wanted = self._comparable(column.field, comparison)

        def read(row: Row) -> Any:
            return comparable(column.field, column.read(org, row))

        if comparison.operator == "=":
            return lambda row: read(row) == wanted
        if comparison.operator == "!=":
            return lambda row: read(row) != wanted
        return _ordered(comparison.operator, read, wanted)

    def _filterable(self, path: Path) -> Column:
        column = self._names.column(self._sobject, path)
        if not column.field.filterable:
            message = f"field '{column.field.name}' can not be filtered in a query call"
            raise self._names.error("INVALID_FIELD", path.position, message)
        return column

    def _like(self, column: Column, comparison: Comparison, pattern: re.Pattern[str]) -> Test:
        if column.field.kind not in TEXTS:
            raise self._wrong_operator(column.field, comparison)
        org = self._names.org
        return lambda row: pattern.fullmatch(str(column.read(org, row) or "")) is not None

    def _today(self, column: Column, comparison: Comparison) -> Test:
        """Salesforce: TODAY is the running user's day; the emulated user's zone is GMT."""
        org, kind = self._names.org, column.field.kind
        if kind not in ("date", "datetime"):
            raise self._wrong_literal(column.field, comparison.literal)
        today = org.now().date()
        if kind == "date":
            literal = Literal(today, comparison.literal.position)
            return self._comparison(Comparison(comparison.path, comparison.operator, literal))
        start = datetime.combine(today, time(), UTC)
        end = start + timedelta(days=1)

        def read(row: Row) -> Any:
            return column.read(org, row)

        match comparison.operator:
            case "=":
                return lambda row: read(row) is not None and start <= read(row) < end
            case "!=":
                return lambda row: read(row) is None or not start <= read(row) < end
            case "<" | ">=":
                return _ordered(comparison.operator, read, start)
            case "<=":
                return _ordered("<", read, end)
            case _:
                return _ordered(">=", read, end)

    def _comparable(self, field: Field, comparison: Comparison) -> Any:
        """The literal as the field's kind compares it."""
        value, equality = comparison.literal.value, comparison.operator in ("=", "!=")
        if not equality and (field.kind == "boolean" or value is None):
            raise self._wrong_operator(field, comparison)
        if value is None:
            return comparable(field, None)
        if field.kind in IDS and isinstance(value, str):
            if (record_id := to_18(value)) is None:
                message = f"invalid ID field: {value}"
                raise self._names.error("INVALID_QUERY_FILTER_OPERATOR", comparison.literal.position, message)
            return comparable(field, record_id)
        if not _fits(field, value) or isinstance(value, re.Pattern | Word):
            raise self._wrong_literal(field, comparison.literal)
        return comparable(field, value)

    def _wrong_operator(self, field: Field, comparison: Comparison) -> SalesforceError:
        message = f"invalid operator on {field.kind} field"
        return self._names.error("INVALID_QUERY_FILTER_OPERATOR", comparison.path.position, message)

    def _wrong_literal(self, field: Field, literal: Literal) -> SalesforceError:
        text = field.kind in TEXTS | IDS
        kind = "dateTime" if field.kind == "datetime" else "string" if text else field.kind
        quotes = "should be enclosed in quotes" if text else "should not be enclosed in quotes"
        message = f"value of filter criterion for field '{field.name}' must be of type {kind} and {quotes}"
        return self._names.error("INVALID_FIELD", literal.position, message)

    # Semi-joins

    def _semi_join(self, join: SemiJoin, *, allowed: bool) -> Test:
        """Salesforce: at most two, none under OR or NOT, between plain id fields, and never from an object into itself."""
        self._semi_joins += 1
        if not allowed:
            raise self._refused(join, "Semi join sub-selects are not allowed with the 'OR' or 'NOT' operator")
        if self._semi_joins > MOST_SEMI_JOINS:
            raise self._refused(join, f"Maximum {MOST_SEMI_JOINS} semi join sub-selects are allowed")
        inner = self._names.sobject(join.query.source, join.query.position)
        if inner is self._sobject:
            raise self._refused(join, "The inner and outer selects should not be on the same object type")
        query = join.query
        if query.counts or query.order_by or query.limit is not None or len(query.selections) != 1:
            raise self._refused(join, "A semi join sub-select selects one field, without ORDER BY and LIMIT")
        selected = query.selections[0]
        if not isinstance(selected, Path):
            raise self._refused(join, "A semi join sub-select selects one field")
        outer_column, inner_column = self._join_column(self._sobject, join.path), self._join_column(inner, selected)
        if _points_to(self._sobject, outer_column.field) != _points_to(inner, inner_column.field):
            message = (
                f"The selected field '{inner_column.field.name}' in the subquery and the left operand field in the where "
                f"expression in the outer query '{outer_column.field.name}' should point to the same object type"
            )
            raise self._refused(join, message)
        return self._joined(join, inner, outer_column.field.name, inner_column.field.name)

    def _joined(self, join: SemiJoin, inner: SObject, outer_name: str, inner_name: str) -> Test:
        nested = Conditions(self._names, inner)
        inner_test = nested.test(join.query.where)
        if nested._semi_joins:
            raise self._refused(join, "Nesting of semi join sub-selects is not supported")
        org = self._names.org
        some = candidates(org, inner, join.query.where)
        rows = org.store.rows(inner.name) if some is None else some
        found = {row[inner_name] for row in rows if not row["IsDeleted"] and inner_test(row)} - {None}
        return lambda row: (row[outer_name] in found) != join.negated

    def _join_column(self, sobject: SObject, path: Path) -> Column:
        column = self._names.column(sobject, path)
        if column.parents or column.field.kind not in IDS:
            message = f"Semi join sub-selects take plain id fields on both sides; '{'.'.join(path.parts)}' is none"
            raise self._names.error("MALFORMED_QUERY", path.position, message)
        return column

    def _refused(self, join: SemiJoin, message: str) -> SalesforceError:
        return self._names.error("MALFORMED_QUERY", join.path.position, message)


def candidates(org: Org, sobject: SObject, condition: Condition | None) -> list[Row] | None:
    """The live rows among which all are that fulfil a condition, oldest first; None where no index tells."""
    match condition:
        case Junction("AND", parts):
            found = [rows for part in parts if (rows := candidates(org, sobject, part)) is not None]
            return min(found, key=len, default=None)
        case Comparison(Path((relationship, name), position), "=", literal) if lookup := sobject.parent(relationship):
            above = candidates(org, org.seen[lookup.references], Comparison(Path((name,), position), "=", literal))
            if above is None or not lookup.indexed:
                return None
            below = [row for parent in above for row in org.store.where(sobject.name, lookup.name, parent["Id"])]
            return sorted(below, key=lambda row: str(row["Id"]))
        case Comparison(Path((name,)), "=", literal):
            literals: tuple[Literal, ...] = (literal,)
        case Membership(Path((name,)), literals, False):
            pass
        case _:
            return None
    field = sobject.field(name)
    texts = {literal.value for literal in literals if isinstance(literal.value, str) and literal.value}
    if field is None or not (field.kind == "id" or field.indexed) or not {literal.value for literal in literals} <= texts:
        return None
    keys = {to_18(text) for text in texts} if field.kind in IDS else {text.casefold() for text in texts}
    if field.kind == "id":
        rows = [row for key in keys if (row := org.store.live(sobject.name, key)) is not None]
    else:
        rows = [row for key in keys if key is not None for row in org.store.where(sobject.name, field.name, key)]
    # Ids of one object grow with the time of creation.
    return sorted(rows, key=lambda row: str(row["Id"]))


def comparable(field: Field, value: Value) -> Any:
    """A value as WHERE and ORDER BY compare it: texts without case, a missing boolean as false."""
    if field.kind in TEXTS:
        # Salesforce: an empty text is a null.
        return (value if field.case_sensitive else str(value).casefold()) if value else None
    return bool(value) if field.kind == "boolean" else value


def _ordered(name: Operator, read: Callable[[Row], Any], wanted: Any) -> Test:
    compare = _ORDERINGS[name]

    def test(row: Row) -> bool:
        value = read(row)
        return value is not None and compare(value, wanted)

    return test


def _points_to(sobject: SObject, field: Field) -> str:
    return field.references or sobject.name


def _fits(field: Field, value: object) -> bool:
    match field.kind:
        case "boolean":
            return isinstance(value, bool)
        case "datetime":
            return isinstance(value, datetime)
        case "date":
            return isinstance(value, date) and not isinstance(value, datetime)
        case kind if kind in NUMBERS or kind == "int":
            return isinstance(value, Decimal)
        case _:
            return isinstance(value, str)
