"""Search, which lags behind: it sees objects as they were a while ago (Stripe: do not read after write with it)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sandbox.stripe_emulator.errors import Json, StripeError, not_modelled

_CLAUSE = re.compile(
    r"""\s*(?P<negated>-?)(?P<field>\w+)(?:\[(?P<quote>["'])(?P<key>[^"']*)(?P=quote)\])?"""
    r"""(?P<operator>[:~<>]=?)(?P<mark>["'])(?P<value>(?:\\.|(?!(?P=mark)).)*)(?P=mark)\s*"""
)
_FIELDS = ("email", "name", "phone", "metadata")


@dataclass(slots=True)
class Index:
    """Every version of every object of one kind, oldest first."""

    _versions: dict[str, list[tuple[int, Json]]] = field(default_factory=dict)

    def note(self, shown: Json, now: int) -> None:
        """Keep the object as it is from `now` on."""
        self._versions.setdefault(shown["id"], []).append((now, shown))

    def matches(self, query: str, as_of: int) -> list[str]:
        """The ids of the objects that matched at `as_of`, newest first.

        query: exact matches on `email`, `name`, `phone` or `metadata['key']`, joined by AND or by OR.
        """
        test = _Query(query)
        found = []
        for object_id, versions in self._versions.items():
            seen = [shown for at, shown in versions if at <= as_of]
            if seen and not seen[-1].get("deleted") and test.holds(seen[-1]):
                found.append(object_id)
        return found[::-1]


class _Query:
    def __init__(self, query: str) -> None:
        parts = re.split(r"(?i)(?<=['\"])\s+(AND|OR)\s+|(?<=['\"])\s+", query.strip())
        joins = {part.upper() for part in parts[1::2] if part}
        if len(joins) > 1:
            raise StripeError("You cannot combine AND and OR in one search query.", param="query")
        self._any = joins == {"OR"}
        self._clauses = []
        for part in parts[::2]:
            clause = _CLAUSE.fullmatch(part)
            if clause is None:
                raise StripeError(f"We were unable to parse your search query: {query}", param="query")
            if clause["operator"] != ":" or clause["field"] not in _FIELDS or clause["negated"]:
                raise not_modelled(f"the search clause {part}; exact matches on {', '.join(_FIELDS)} are", "query")
            if (clause["field"] == "metadata") != (clause["key"] is not None):
                raise StripeError(f"We were unable to parse your search query: {query}", param="query")
            value = re.sub(r"\\(.)", r"\1", clause["value"])
            self._clauses.append((clause["field"], clause["key"], value))

    def holds(self, shown: Json) -> bool:
        results = []
        for name, key, value in self._clauses:
            found = shown[name] if key is None else shown[name].get(key)
            results.append(found == value)
        return any(results) if self._any else all(results)
