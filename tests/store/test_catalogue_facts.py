"""What is remembered of the catalogue: what counts as the same, and what is known of a price."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from orderphase.domain.catalogue import PriceBookEntry, Product
from orderphase.store.catalogue import (
    Catalogue,
    agreed_fact,
    entry_content,
    entry_fact,
    entry_key,
    is_sold,
    known_price,
    news,
    same_content,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ENTRY = PriceBookEntry("01u1", Product("01t1", "Seat"), "price_1", Decimal("10.00"), "USD", "month")


def test_kept_in_the_table(dynamodb: DynamoDBClient) -> None:
    facts = Catalogue(dynamodb, "catalogue", "default")
    fact = entry_fact(ENTRY, "price_1", active=True, before="price_0")
    facts.note(entry_key(ENTRY), fact)

    assert facts.read([entry_key(ENTRY), "agreed|prod_1"]) == {entry_key(ENTRY): fact}
    assert fact == {"price_id": "price_1", "content": ["10", "USD", "month", "1"], "active": True, "before": "price_0"}
    assert Catalogue(dynamodb, "catalogue", "other").read([entry_key(ENTRY)]) == {}


@pytest.mark.parametrize(
    ("content", "changes"),
    [
        (["10", "USD", "month", "1"], {}),
        (["10", "USD", "month", "1"], {"interval_count": Decimal(1)}),
        # As it was written before: no count, and no currency where the org had one only.
        (["10", "", "month", ""], {"interval_count": Decimal("1.0")}),
        (["10.5", "ISK", "month", ""], {"unit_price": Decimal("10.8"), "currency": "ISK"}),
        (["1.255", "", "month", "1"], {"unit_price": Decimal("1.26"), "currency": "KWD"}),
        (["", "USD", "", ""], {"unit_price": None, "interval_unit": None}),
    ],
)
def test_the_same(content: list[str], changes: dict[str, Any]) -> None:
    assert same_content({"content": content}, replace(ENTRY, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"unit_price": Decimal("10.01")},
        {"unit_price": None},
        {"currency": "EUR"},
        {"interval_unit": "year"},
        {"interval_unit": None},
        {"interval_count": Decimal(2)},
    ],
)
def test_something_else(changes: dict[str, Any]) -> None:
    assert not same_content({"content": entry_content(ENTRY)}, replace(ENTRY, **changes))


def test_whether_a_price_is_sold() -> None:
    fact = {"price_id": "price_2", "before": "price_1", "active": False}

    assert [is_sold(fact, price_id) for price_id in ("price_2", "price_1", "price_3", None)] == [False, False, None, None]
    assert is_sold({"price_id": "price_2", "active": False, "was": "price_1"}, "price_1") is False
    assert is_sold({"active": False}, None) is False
    assert is_sold({"price_id": "price_2", "active": False}, None) is None
    assert is_sold(None, None) is is_sold({"price_id": "price_1"}, "price_1") is None


def test_the_price_that_we_alone_know() -> None:
    fact = {"price_id": "price_2", "before": "price_1"}

    assert [known_price(fact, named) for named in (None, "price_1", "price_3")] == ["price_2", "price_2", "price_3"]
    assert known_price({"active": False}, None) is known_price(None, None) is None


def test_what_has_changed_since() -> None:
    said: dict[str, str | bool] = {"name": "Seat", "description": "", "active": True}
    fact = agreed_fact(said)

    assert "Seat" not in fact.values()
    assert news(fact, said) == frozenset()
    assert news(fact, {**said, "name": "Chair", "active": False}) == {"name", "active"}
    assert news({"name": fact["name"]}, said) == {"description", "active"}
    assert news(None, said) == news({}, said) == set(said)
