"""Products of Stripe in Salesforce, and both kinds of events by way of Stripe's own package."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orderphase.errors import ConfigurationError
from orderphase.mapping import read_mapping
from sandbox.salesforce_emulator.ids import make_id
from sandbox.salesforce_emulator.schema import Field
from tests.flows.catalogue_world import CatalogueWorld, catalogue_world
from tests.flows.world import ORG

GONE = make_id("a0B", 9_999)


@pytest.fixture
def here() -> Iterator[CatalogueWorld]:
    with catalogue_world() as made:
        yield made


def test_created_and_followed(here: CatalogueWorld) -> None:
    product = here.stripe_product("Seat", description="One person")
    here.warm_up()
    here.forget_calls()

    assert here.product_event(product).outcome == "synced"
    assert here.calls() == (1, 2)
    here.edit_product(product, name="Chair", description="")
    assert here.product_event(product).outcome == "synced"
    here.forget_calls()
    assert here.product_event(product).outcome == "unchanged"

    assert here.calls() == (1, 1)
    assert here.facts.reads == 3, "one for each event"
    assert here.products2() == [{"Name": "Chair", "Description": None, "IsActive": True, "Stripe_Product_Id__c": product}]


def test_a_late_event_does_not_bring_back_what_was(here: CatalogueWorld) -> None:
    product = here.stripe_product("Seat")
    here.edit_product(product, name="Chair")

    here.deliver(reversed(here.stripe_events()))

    assert [each["Name"] for each in here.products2()] == ["Chair"]


def test_long_texts(here: CatalogueWorld) -> None:
    product = here.stripe_product("N" * 300, description="d" * 5000)

    assert "The description is cut to 4000 characters." in here.product_event(product).message
    assert [(each["Name"], each["Description"]) for each in here.products2()] == [("N" * 255, "d" * 4000)]
    assert here.product_event(product).outcome == "unchanged"


def test_one_whose_product2_was_deleted(here: CatalogueWorld) -> None:
    """It is not made again by the next event, and what to do is told; also where the product came from Stripe."""
    product = here.stripe_product()
    here.product_event(product)
    here.product_edit(here.only_product(), "Family")
    here.salesforce.delete("Product2", here.only_product())

    report = here.product_event(product)

    assert (report.outcome, here.products2()) == ("skipped", [])
    assert "belonged to a Product2 that is not in Salesforce any more" in report.message
    assert list(here.run_import().products.skipped) == [report.message.removeprefix(f"Product {product} ")[:-1]]
    here.edit_product(product, **{"metadata[salesforce_product_id]": ""})
    assert here.product_event(product).outcome == "synced"


def test_archived_and_active_again(here: CatalogueWorld) -> None:
    product = here.stripe_product()
    here.product_event(product)
    for active in (False, True):
        here.edit_product(product, active=active)
        here.product_event(product)
        assert [each["IsActive"] for each in here.products2()] == [active]


def test_the_default_price_comes_along(here: CatalogueWorld) -> None:
    product = here.stripe_product()
    price = here.stripe_price(product)
    here.edit_product(product, default_price=price)
    here.warm_up()
    here.forget_calls()

    here.product_event(product)

    assert here.calls() == (1, 2)
    assert here.entries() == [("Seat", "USD", 10, "month", 1, True, price)]


@pytest.mark.parametrize("each", [None, "month"])
def test_a_default_price_that_no_entry_shows(here: CatalogueWorld, each: str | None) -> None:
    product = here.stripe_product()
    price = here.stripe_price(product, each=each, lookup_key="orderphase_x" if each else "theirs")
    here.edit_product(product, default_price=price)

    assert here.product_event(product).outcome == "synced"
    assert here.entries() == []


def test_deleted(here: CatalogueWorld) -> None:
    product = here.stripe_product()
    prices = [here.stripe_price(product), here.stripe_price(product, "900", "eur")]
    for price in prices:
        here.price_event(price)
    for price in prices:
        here.delete_price(price)
    here.delete_product(product)
    here.warm_up()
    here.forget_calls()

    assert here.product_event(product).outcome == "synced"

    assert here.calls() == (1, 2)
    assert here.products2() == [{"Name": "Seat", "Description": None, "IsActive": False, "Stripe_Product_Id__c": None}]
    assert [entry[-2:] for entry in here.entries()] == [(False, None), (False, None)]
    assert [here.price_event(price).outcome for price in prices] == ["skipped", "skipped"]
    assert here.product_event(product).outcome == "skipped"


def test_deleted_price_by_price(here: CatalogueWorld) -> None:
    product = here.stripe_product()
    price = here.stripe_price(product)
    here.price_event(price)
    here.delete_price(price)
    here.delete_product(product)

    assert here.price_event(price).outcome == "synced"
    assert here.product_event(product).outcome == "synced"
    assert here.entries()[0][-2:] == (False, None)


def test_two_products_made_of_one(here: CatalogueWorld) -> None:
    record = here.salesforce.create("Product2", {"Name": "Seat", "IsActive": True})
    metadata = {"metadata[salesforce_org_id]": ORG, "metadata[salesforce_product_id]": record}
    first, second = here.stripe_product("Seat", **metadata), here.stripe_product("Chair", **metadata)

    reports = here.deliver([("product", first), ("product", second)])

    assert [report.outcome for report in reports] == ["synced", "failed"]
    assert "belongs to another product" in reports[1].message
    assert here.only_product() == record


def test_metadata_that_names_no_record(here: CatalogueWorld) -> None:
    """Anybody can write metadata; what is no record id is none, and never gets into a query."""
    metadata = {"metadata[salesforce_org_id]": ORG, "metadata[salesforce_product_id]": "' OR Name != '"}
    product = here.stripe_product("Seat", **metadata)

    assert here.product_event(product).outcome == "synced"
    assert here.products2()[0]["Stripe_Product_Id__c"] == product


def test_an_id_with_quotes(here: CatalogueWorld) -> None:
    """Stripe takes any text for the id of a product."""
    product = here.stripe_product("Seat", id="it's%@{book.id}\\")

    assert here.product_event(product).outcome == "synced"
    assert here.product_event(product).outcome == "unchanged"


def test_own_names_of_fields(here: CatalogueWorld) -> None:
    here.salesforce.add_field("Product2", Field("Title__c", "string", length=255))
    here.salesforce.add_field("PricebookEntry", Field("Amount__c", "currency", precision=18, scale=8))
    here.mapping = read_mapping('[product]\nname = "Title__c"\n[price_book_entry]\nunit_price = "Amount__c"')

    here.price_event(here.stripe_price(here.stripe_product()))

    product, entry = here.record("Product2", here.only_product()), here.record("PricebookEntry", here.only_entry())
    assert (product["Name"], product["Title__c"]) == ("Seat", "Seat")
    assert (entry["UnitPrice"], entry["Amount__c"]) == (10, 10)


class TestMirrors:
    @pytest.fixture
    def here(self) -> Iterator[CatalogueWorld]:
        with catalogue_world(stripe_package=True) as made:
            yield made

    def mirror(self, here: CatalogueWorld, kind: str, stripe_id: str | None) -> str:
        return here.salesforce.create(f"stripeGC__{kind}__c", {"Name": "m", "stripeGC__Stripe_Id__c": stripe_id})

    def test_a_product_and_its_price(self, here: CatalogueWorld) -> None:
        product = here.stripe_product()
        price = here.stripe_price(product)
        record = self.mirror(here, "Price", price)

        report = here.prices().from_mirror(record, event_id="evt", org_id=ORG)
        again = here.products().from_mirror(self.mirror(here, "Product", product), event_id="evt", org_id=ORG)

        assert (report.outcome, again.outcome) == ("synced", "unchanged")
        assert report.contract_id == record
        assert here.entries() == [("Seat", "USD", 10, "month", 1, True, price)]

    def test_an_event_that_says_which(self, here: CatalogueWorld) -> None:
        product = here.stripe_product()
        here.warm_up()
        here.forget_calls()

        report = here.products().from_mirror(GONE, event_id="evt", org_id=ORG, stripe_id=product)

        assert report.outcome == "synced"
        assert here.calls() == (1, 2)

    def test_a_record_that_is_gone_or_empty(self, here: CatalogueWorld) -> None:
        for record in (GONE, self.mirror(here, "Product", None)):
            report = here.products().from_mirror(record, event_id="evt", org_id=ORG)
            assert report.outcome == "skipped"
            assert "stripeGC__Stripe_Id__c" in report.message

    def test_another_org(self, here: CatalogueWorld) -> None:
        report = here.products().from_mirror(GONE, event_id="evt", org_id="00D00000000000ZEAA")

        assert report.error is not None
        assert (report.outcome, report.error.code) == ("skipped", "wrong_org")

    def test_an_org_without_the_package(self) -> None:
        with catalogue_world() as here, pytest.raises(ConfigurationError) as raised:
            here.products().from_mirror(GONE, event_id="evt", org_id=ORG)

        assert raised.value.code == "INVALID_TYPE"
