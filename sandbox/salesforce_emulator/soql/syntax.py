"""What a SOQL statement says, before its names are looked up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Literal as OneOf


class Word(Enum):
    """A literal that is a word."""

    TODAY = "TODAY"


@dataclass(frozen=True, slots=True)
class Path:
    """A field, with the parents that lead to it: `("Account", "Name")`."""

    parts: tuple[str, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A value to compare with; a LIKE literal has become a pattern."""

    value: str | Decimal | date | datetime | bool | re.Pattern[str] | Word | None
    position: int


Operator = OneOf["=", "!=", "<", "<=", ">", ">=", "LIKE"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`path operator literal`."""

    path: Path
    operator: Operator
    literal: Literal


@dataclass(frozen=True, slots=True)
class Membership:
    """`path [NOT] IN (literal, …)`."""

    path: Path
    literals: tuple[Literal, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class SemiJoin:
    """`path [NOT] IN (SELECT …)`."""

    path: Path
    query: Query
    negated: bool


@dataclass(frozen=True, slots=True)
class Not:
    """`NOT condition`."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Junction:
    """Conditions that hold all together (AND) or one at least (OR)."""

    operator: OneOf["AND", "OR"]
    conditions: tuple[Condition, ...]


type Condition = Comparison | Membership | SemiJoin | Not | Junction


@dataclass(frozen=True, slots=True)
class Ordering:
    """One term of ORDER BY."""

    path: Path
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT; `source` names an object, or in a child sub-query a child relationship. `counts`: it is `SELECT COUNT()`."""

    source: str
    position: int
    selections: tuple[Path | Query, ...]
    counts: bool
    where: Condition | None
    order_by: tuple[Ordering, ...]
    limit: int | None
    offset: int | None
