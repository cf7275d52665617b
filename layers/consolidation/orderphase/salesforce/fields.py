"""Values out of records as Salesforce answers them: fields, fields of parents by dots, and what becomes metadata of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from orderphase.domain.money import plain
from orderphase.domain.requests import METADATA_LENGTH
from orderphase.errors import ConfigurationError


def value_at(record: Mapping[str, Any], path: str) -> Any:
    """The value of a field, or of a parent's: `Owner.Name`. None where the parent is not there."""
    value: Any = record
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def text_at(record: Mapping[str, Any], path: str | None) -> str | None:
    """The text of a field; None where it is empty, or there is no such field."""
    value = value_at(record, path) if path else None
    return str(value) if value not in (None, "") else None


def first_text(record: Mapping[str, Any], names: Iterable[str]) -> tuple[str, str] | None:
    """The first of these fields that says something, and what; None where none does."""
    texts = ((name, text_at(record, name)) for name in names)
    return next(((name, text) for name, text in texts if text), None)


def check_spelling(record: Mapping[str, Any], columns: Iterable[str]) -> None:
    """Refuse a column that Salesforce has answered under another name: a query is blind to case, what it answers is not.

    Raises ConfigurationError naming the column: read as empty, an end date would be an open end.
    """
    for column in columns:
        value: Any = record
        for name in column.split("."):
            if not isinstance(value, Mapping):
                break
            if name not in value:
                raise ConfigurationError(f"mapping: {column!r} is not spelt as Salesforce spells it; take over its API name")
            value = value[name]


def metadata_at(record: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, str]:
    """What an object in Stripe carries of a record, by key; what is empty is left out, what is too long cut."""
    texts = {key: _text(value_at(record, path)) for key, path in paths.items()}
    return {key: text[:METADATA_LENGTH] for key, text in texts.items() if text}


def unique(columns: Iterable[str]) -> list[str]:
    """Each column once: Salesforce refuses a field that is selected twice, and a mapping may name one for two purposes."""
    return list(dict.fromkeys(columns))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return plain(value)
    return "" if value is None or isinstance(value, Mapping) else str(value).strip()
