"""Reading and writing products and price book entries: pages, refusals, and what is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from orderphase.domain.catalogue import PriceBookEntry, Product
from orderphase.domain.listing import EntryState, ProductState
from orderphase.errors import ConfigurationError, DataError
from orderphase.salesforce.catalogue import CatalogueRecords, Change
from sandbox.salesforce_emulator.ids import make_id
from tests.flows.catalogue_world import CatalogueWorld, catalogue_world


@pytest.fixture
def here() -> Iterator[CatalogueWorld]:
    with catalogue_world(page_size=3) as made:
        yield made


def product(number: int = 1) -> ProductState:
    return ProductState(Product("", f"Product {number}", None, f"prod_{number}"), active=True)


def entry(record: str, number: int = 1) -> EntryState:
    made = PriceBookEntry("", Product(record, ""), f"price_{number}", Decimal("0.14285714"), "USD", "month", Decimal(1))
    return EntryState(made, active=True)


def test_more_than_a_page(here: CatalogueWorld) -> None:
    records = here.records()
    made = list(records.save_products([Change(None, product(number)) for number in range(7)]))
    written = list(
        records.save_entries(records.standard_book(), [Change(None, entry(one.id or "", n)) for n, one in enumerate(made)])
    )

    assert [state.product.product_id for state in records.all_products()] == [f"prod_{number}" for number in range(7)]
    assert {state.id for state in records.all_entries()} == {one.id for one in written}
    assert records.all_entries()[0].entry.unit_price == Decimal("0.14285714")


def test_what_is_read_is_what_was_written(here: CatalogueWorld) -> None:
    records = here.records()
    entry_id = records.write(records.standard_book(), Change(None, product()), [Change(None, entry(""))])

    held = records.read(product_id="prod_1", price_id="price_1")
    (state,), (listed,) = held.products, held.entries

    assert (state.product.name, state.product.product_id, state.active) == ("Product 1", "prod_1", True)
    assert listed.id == entry_id
    assert replace(listed.entry, id="", product=Product("", "")) == entry("").entry
    assert held.entry(state.product.id, "USD") == listed == held.holder("price_1")
    assert held.entry(state.product.id, "EUR") is None
    assert not records.has_changed(held)
    here.salesforce.update("Product2", state.product.id, {"Description": "New"})
    assert records.has_changed(held)


def test_ids_of_stripe_differ_by_case(here: CatalogueWorld) -> None:
    """SOQL compares without it."""
    here.salesforce.create("Product2", {"Name": "Seat", "Stripe_Product_Id__c": "prod_A"})

    assert here.records().read(product_id="prod_a").by_product_id("prod_a") is None


def test_a_refused_part_undoes_the_others(here: CatalogueWorld) -> None:
    records = here.records()
    long = replace(product(), product=Product("", "Seat", "d" * 5000, "prod_1"))

    with pytest.raises(DataError) as raised:
        records.write(records.standard_book(), Change(None, long), [Change(None, entry(""))])

    assert raised.value.code == "STRING_TOO_LONG"
    with pytest.raises(DataError):
        records.write(records.standard_book(), Change(None, product()), [Change(None, replace(entry(""), entry=no_price()))])
    assert (here.products2(), here.entries()) == ([], [])


def no_price() -> PriceBookEntry:
    return PriceBookEntry("", Product("", ""), "price_1", None, "USD")


def test_a_field_that_the_org_does_not_have(here: CatalogueWorld) -> None:
    here.salesforce.set_access("PricebookEntry", "Stripe_Billing_Interval__c", level="none")

    with pytest.raises(ConfigurationError) as raised:
        here.records().read(product_id="prod_1")

    assert raised.value.code == "INVALID_FIELD"
    assert "Stripe_Billing_Interval__c" in raised.value.message


def test_a_standard_price_book_that_is_not_visible(here: CatalogueWorld) -> None:
    records: CatalogueRecords = here.records()

    with pytest.raises(ConfigurationError, match="let the integration user see it"):
        records._book([])


def test_ids_that_are_none(here: CatalogueWorld) -> None:
    records = here.records()

    assert records.product(make_id("01t", 9_999)) is None
    with pytest.raises(DataError):
        records.product("' OR Name != '")
