"""Reads a SOQL statement into `syntax`, by recursive descent.

Salesforce: AND and OR do not mix without parentheses, and NOT stands alone or in parentheses.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import NoReturn, cast

from sandbox.salesforce_emulator.errors import SalesforceError, not_modelled
from sandbox.salesforce_emulator.soql import syntax
from sandbox.salesforce_emulator.soql.tokens import Token, complaint, like_pattern, tokenize, unescape

MOST_OFFSET = 2_000

_UNMODELLED_CLAUSES = ("GROUP", "HAVING", "WITH", "FOR", "USING", "UPDATE")
_UNMODELLED_WORDS = frozenset(
    {"YESTERDAY", "TOMORROW", "LAST_WEEK", "THIS_WEEK", "NEXT_WEEK", "LAST_MONTH", "THIS_MONTH", "NEXT_MONTH", "LAST_90_DAYS",
     "NEXT_90_DAYS", "THIS_QUARTER", "LAST_QUARTER", "NEXT_QUARTER", "THIS_YEAR", "LAST_YEAR", "NEXT_YEAR"}
)  # fmt: skip
_OPERATORS = ("=", "!=", "<>", "<", "<=", ">", ">=", "LIKE")


def parse(statement: str) -> syntax.Query:
    """The statement's meaning. Raises SalesforceError: MALFORMED_QUERY, EMULATOR_NOT_MODELLED for what is left out."""
    if not statement.strip():
        raise SalesforceError("MALFORMED_QUERY", "SOQL statement cannot be empty", fields=None)
    return _Parser(statement).statement()


class _Parser:
    def __init__(self, statement: str) -> None:
        self._statement = statement
        self._tokens = tokenize(statement)
        self._next = 0

    def statement(self) -> syntax.Query:
        query = self._query(nested=False)
        if self._peek().kind != "end":
            self._unexpected(self._peek())
        return query

    # Tokens

    def _peek(self, ahead: int = 0) -> Token:
        return self._tokens[min(self._next + ahead, len(self._tokens) - 1)]

    def _take(self) -> Token:
        token = self._peek()
        self._next += 1
        return token

    def _accept(self, *words: str) -> Token | None:
        return self._take() if self._peek().says(*words) else None

    def _expect(self, *words: str) -> Token:
        token = self._take()
        if not token.says(*words):
            self._unexpected(token)
        return token

    def _unexpected(self, token: Token) -> NoReturn:
        raise self._malformed(token, f"unexpected token: '{token.text}'")

    def _malformed(self, token: Token, message: str) -> SalesforceError:
        return complaint("MALFORMED_QUERY", self._statement, token.position, message)

    # Clauses

    def _query(self, *, nested: bool) -> syntax.Query:
        self._expect("SELECT")
        counts = False
        selections: list[syntax.Path | syntax.Query] = []
        if self._peek().says("COUNT") and self._peek(1).says("(") and self._peek(2).says(")"):
            self._next += 3
            counts = True
        else:
            selections.append(self._selection(nested=nested))
            while self._accept(","):
                selections.append(self._selection(nested=nested))
        self._expect("FROM")
        source = self._name()
        if self._accept("AS") or (self._peek().kind == "name" and not self._clause_follows()):
            raise not_modelled("An alias in FROM")
        where = self._condition() if self._accept("WHERE") else None
        order_by = self._order_by() if self._accept("ORDER") else ()
        limit = self._whole_number() if self._accept("LIMIT") else None
        offset_token = self._peek()
        offset = self._whole_number() if self._accept("OFFSET") else None
        if offset is not None and nested:
            raise self._malformed(offset_token, "OFFSET is not allowed in a sub-query")
        if offset is not None and offset > MOST_OFFSET:
            message = f"Maximum SOQL offset allowed is {MOST_OFFSET}"
            raise complaint("NUMBER_OUTSIDE_VALID_RANGE", self._statement, offset_token.position, message)
        if self._peek().says(*_UNMODELLED_CLAUSES):
            raise not_modelled(f"The clause {self._peek().text.upper()}")
        return syntax.Query(source.text, source.position, tuple(selections), counts, where, order_by, limit, offset)

    def _clause_follows(self) -> bool:
        return self._peek().says("WHERE", "ORDER", "LIMIT", "OFFSET", *_UNMODELLED_CLAUSES)

    def _selection(self, *, nested: bool) -> syntax.Path | syntax.Query:
        if self._accept("("):
            if nested:
                raise not_modelled("A sub-query within a sub-query")
            query = self._query(nested=True)
            self._expect(")")
            return query
        if self._peek().says("TYPEOF"):
            raise not_modelled("TYPEOF")
        return self._path()

    def _name(self) -> Token:
        token = self._take()
        if token.kind != "name":
            self._unexpected(token)
        return token

    def _path(self) -> syntax.Path:
        token = self._name()
        if self._peek().says("("):
            raise not_modelled(f"The function {token.text.upper()}()")
        if token.says("FROM", "WHERE", "AND", "OR", "IN", "LIKE", "ORDER", "LIMIT", "SELECT"):
            self._unexpected(token)
        return syntax.Path(tuple(token.text.split(".")), token.position)

    def _whole_number(self) -> int:
        token = self._take()
        if token.kind != "number" or not token.text.isdigit():
            self._unexpected(token)
        return int(token.text)

    def _order_by(self) -> tuple[syntax.Ordering, ...]:
        self._expect("BY")
        orderings = [self._ordering()]
        while self._accept(","):
            orderings.append(self._ordering())
        return tuple(orderings)

    def _ordering(self) -> syntax.Ordering:
        path = self._path()
        direction = self._accept("ASC", "DESC")
        nulls_last = False
        if self._accept("NULLS"):
            nulls_last = self._expect("FIRST", "LAST").says("LAST")
        return syntax.Ordering(path, descending=direction is not None and direction.says("DESC"), nulls_last=nulls_last)

    # Conditions

    def _condition(self) -> syntax.Condition:
        if self._accept("NOT"):
            inner = self._simple_condition()
            if self._peek().says("AND", "OR"):
                self._unexpected(self._peek())
            return syntax.Not(inner)
        conditions = [self._simple_condition()]
        junction = self._peek()
        if not junction.says("AND", "OR"):
            return conditions[0]
        operator = junction.text.upper()
        while self._accept(operator):
            conditions.append(self._simple_condition())
        if self._peek().says("AND", "OR"):
            self._unexpected(self._peek())
        return syntax.Junction("AND" if operator == "AND" else "OR", tuple(conditions))

    def _simple_condition(self) -> syntax.Condition:
        if self._accept("("):
            condition = self._condition()
            self._expect(")")
            return condition
        if self._peek().says("NOT"):
            self._unexpected(self._peek())
        path = self._path()
        if self._accept("NOT"):
            self._expect("IN")
            return self._membership(path, negated=True)
        if self._accept("IN"):
            return self._membership(path, negated=False)
        if self._peek().says("INCLUDES", "EXCLUDES"):
            raise not_modelled(self._peek().text.upper())
        operator = self._expect(*_OPERATORS).text.upper()
        known = cast("syntax.Operator", "!=" if operator == "<>" else operator)
        return syntax.Comparison(path, known, self._literal(like=operator == "LIKE"))

    def _membership(self, path: syntax.Path, *, negated: bool) -> syntax.Condition:
        self._expect("(")
        if self._peek().says("SELECT"):
            query = self._query(nested=True)
            self._expect(")")
            return syntax.SemiJoin(path, query, negated)
        literals = [self._literal()]
        while self._accept(","):
            literals.append(self._literal())
        self._expect(")")
        return syntax.Membership(path, tuple(literals), negated)

    def _literal(self, *, like: bool = False) -> syntax.Literal:
        token = self._take()
        if token.kind == "string":
            value = like_pattern(token.text) if like else unescape(token.text)
            if value is None:
                raise self._malformed(token, "Invalid string literal: an escape sequence that is not known")
            return syntax.Literal(value, token.position)
        if like:
            self._unexpected(token)
        try:
            match token.kind:
                case "number":
                    return syntax.Literal(Decimal(token.text), token.position)
                case "date":
                    return syntax.Literal(date.fromisoformat(token.text), token.position)
                case "datetime":
                    return syntax.Literal(datetime.fromisoformat(token.text), token.position)
                case _:
                    return self._word(token)
        except ValueError:
            raise self._malformed(token, f"Invalid date: {token.text}") from None

    def _word(self, token: Token) -> syntax.Literal:
        values = {"TRUE": True, "FALSE": False, "NULL": None, "TODAY": syntax.Word.TODAY}
        if token.kind == "name" and token.text.upper() in values:
            return syntax.Literal(values[token.text.upper()], token.position)
        if token.kind == "name" and (token.text.upper() in _UNMODELLED_WORDS or self._peek().says(":")):
            raise not_modelled(f"The date literal {token.text.upper()}")
        raise self._malformed(token, f"unexpected token: '{token.text}'")
