"""A whole catalogue in one go: few requests, whatever interrupts it, and the same as event by event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orderphase.errors import ConfigurationError, OrderphaseError, UnknownOutcomeError
from orderphase.salesforce.catalogue import CatalogueRecords
from orderphase.stripe.catalogue import StripeCatalogue
from tests.flows.catalogue_world import CatalogueWorld, catalogue_world
from tests.flows.world import ACCOUNT, ORG


@pytest.fixture
def here() -> Iterator[CatalogueWorld]:
    with catalogue_world() as made:
        yield made


def assorted(here: CatalogueWorld) -> None:
    """Products and prices of every kind."""
    seat, chair, old = here.stripe_product("Seat"), here.stripe_product("Chair"), here.stripe_product("Old")
    here.stripe_price(seat)
    here.stripe_price(seat, "900", "eur")
    here.stripe_price(seat, "1100")
    here.stripe_price(chair, "500", each=None)
    default = here.stripe_price(chair, "600", each="year")
    here.stripe_price(chair, "700")
    here.edit_product(chair, default_price=default)
    here.stripe_price(old)
    here.edit_product(old, active=False)
    here.stripe_price(seat, "1", lookup_key="orderphase_x")
    here.edit_price(here.stripe_price(seat, "2"), active=False)


def test_everything(here: CatalogueWorld) -> None:
    assorted(here)

    done = here.run_import()

    assert sorted(entry[:6] for entry in here.entries()) == [
        ("Chair", "USD", 6, "year", 1, True),
        ("Seat", "EUR", 9, "month", 1, True),
        ("Seat", "USD", 11, "month", 1, True),
    ]
    assert (done.products.found, done.products.written, done.products.unchanged) == (3, 2, 0)
    assert done.products.skipped == {"is archived and not in Salesforce": 1}
    assert (done.prices.found, done.prices.written, done.prices.unchanged) == (8, 3, 0)
    assert done.prices.skipped == {
        "is not the one that is listed for its product and currency": 2,
        "is a one-time price": 1,
        "was made for order lines": 1,
        "is of a product that Salesforce does not get": 1,
    }
    assert done.products.refused == done.prices.refused == {}


def test_again_there_is_nothing_to_do(here: CatalogueWorld) -> None:
    assorted(here)
    here.run_import()
    here.forget_calls()

    done = here.run_import()

    assert (done.products.written, done.prices.written) == (0, 0)
    assert (done.products.unchanged, done.prices.unchanged) == (2, 3)
    # The org's shape, Product2s and entries; once, because there is nothing to write.
    assert (done.stripe_calls, done.salesforce_calls) == here.calls() == (2, 3)


def test_events_agree_with_it(here: CatalogueWorld) -> None:
    assorted(here)
    here.run_import()
    before, remembered = here.entries(), dict(here.remembered())

    reports = here.deliver(here.stripe_events())

    assert {report.outcome for report in reports} <= {"unchanged", "skipped"}
    assert (here.entries(), here.remembered()) == (before, remembered)


def test_a_dry_run_writes_nothing(here: CatalogueWorld) -> None:
    assorted(here)

    done = here.run_import(dry_run=True)

    assert (done.products.written, done.prices.written) == (2, 3)
    assert (here.products2(), here.entries()) == ([], [])
    assert here.remembered() == {}


def test_what_has_changed_follows(here: CatalogueWorld) -> None:
    seat = here.stripe_product("Seat")
    dollars, euros = here.stripe_price(seat), here.stripe_price(seat, "900", "eur")
    here.run_import()
    here.edit_price(dollars, active=False)
    here.edit_price(euros, active=False)
    second = here.stripe_price(seat, "1200")
    here.edit_product(seat, name="Chair", active=False)

    done = here.run_import()

    assert (done.products.written, done.prices.written) == (1, 2)
    (record,) = [row["Id"] for row in here.salesforce.query("SELECT Id FROM PricebookEntry WHERE IsActive = false")]
    assert set(done.notes) == {
        f"{seat}: It is archived in Stripe, so its Product2 is not active any more.",
        f"{second}: 10.00 USD every month becomes 12.00 USD every month, by another price than {dollars}.",
        f"{euros}: It is archived or gone, no other takes its place: the entry {record} of Chair is not active any more.",
    }
    assert sorted(here.entries()) == [
        ("Chair", "EUR", 9, "month", 1, False, euros),
        ("Chair", "USD", 12, "month", 1, True, second),
    ]
    assert [each["IsActive"] for each in here.products2()] == [False]
    assert here.remembered().keys() == {row["Id"] for row in here.salesforce.query("SELECT Id FROM PricebookEntry")}


def test_products_that_were_made_here(here: CatalogueWorld) -> None:
    """Linked once; a second product that claims the same Product2 is refused."""
    entry = here.entry(price=10)
    record = here.only_product()
    metadata = {"metadata[salesforce_org_id]": ORG, "metadata[salesforce_product_id]": record}
    first = here.stripe_product("Seat", **metadata)
    price = here.stripe_price(first)
    second = here.stripe_product("Chair", **metadata)

    done = here.run_import()

    assert here.record("Product2", here.only_product())["Stripe_Product_Id__c"] == first
    assert (here.only_entry(), here.entries()[0][-1]) == (entry, price)
    assert done.products.refused.keys() == {second}
    assert here.run_import().products.refused.keys() == {second}


def test_what_this_account_does_not_have_stays(here: CatalogueWorld) -> None:
    here.entry(price=10, Stripe_Price_Id__c="price_elsewhere")
    here.salesforce.update("Product2", here.only_product(), {"Stripe_Product_Id__c": "prod_elsewhere"})
    before = here.entries(), here.products2()

    done = here.run_import()

    assert (done.products.written, done.prices.written) == (0, 0)
    assert (here.entries(), here.products2()) == before


def test_one_currency_only() -> None:
    with catalogue_world(multicurrency=False) as here:
        seat = here.stripe_product("Seat")
        here.stripe_price(seat, "900", "eur")
        price = here.stripe_price(seat)

        done = here.run_import()

        assert here.entries() == [("Seat", 10, "month", 1, True, price)]
        assert done.prices.skipped == {"is in EUR, which this org does not have": 1}


def test_a_refused_record_stops_no_other(here: CatalogueWorld) -> None:
    seat, chair, desk = (here.stripe_product(name) for name in ("Seat", "Chair", "Desk"))
    here.run_import()
    records = {row["Name"]: row["Id"] for row in here.salesforce.query("SELECT Id, Name FROM Product2")}
    for product in (seat, chair, desk):
        here.edit_product(product, description="New")
    strange = here.stripe_price(seat, "100", "xpf")
    # As often as it tries: those that are refused are tried again when all is read again.
    here.salesforce.refuse_writes(records["Chair"], error="FIELD_CUSTOM_VALIDATION_EXCEPTION", times=2)
    here.salesforce.refuse_writes(records["Desk"], error="UNABLE_TO_LOCK_ROW", times=2)

    done = here.run_import()

    assert done.products.written == 1
    assert "FIELD_CUSTOM_VALIDATION_EXCEPTION" in done.products.refused[chair]
    assert done.products.refused[desk].endswith("It may be taken next time.")
    assert done.prices.refused.keys() == {strange}
    assert {each["Name"]: each["Description"] for each in here.products2()} == {"Seat": "New", "Chair": None, "Desk": None}
    assert here.run_import().products.written == 2


def test_a_missing_permission_is_no_refusal_of_a_record(here: CatalogueWorld) -> None:
    assorted(here)
    here.salesforce.set_access("PricebookEntry", "Stripe_Price_Id__c", level="read")

    with pytest.raises(ConfigurationError) as raised:
        here.run_import()

    assert raised.value.code == "INVALID_FIELD_FOR_INSERT_UPDATE"


@pytest.mark.parametrize("kind", ["lost_before", "lost_after"])
@pytest.mark.parametrize("number", range(1, 9))
def test_interrupted_anywhere(here: CatalogueWorld, kind: Any, number: int) -> None:
    """Whichever request to Salesforce is the last of a run, the next one completes it."""
    assorted(here)
    here.salesforce.inject(kind, skip=number - 1, times=3, path="/services/data/")

    with pytest.raises(OrderphaseError) as raised:
        here.run_import()
    assert isinstance(raised.value, UnknownOutcomeError)
    here.run_import()

    assert len(here.entries()) == 3
    assert sorted(each["Name"] for each in here.products2()) == ["Chair", "Seat"]
    assert len(here.remembered()) == 3
    done = here.run_import()
    assert (done.products.written, done.prices.written) == (0, 0)


@pytest.mark.parametrize("choice", ["for packages", "of another product"])
def test_what_somebody_has_chosen_stays_while_it_is_sold(here: CatalogueWorld, choice: str) -> None:
    """No event takes it over, nor does the import; both end it when Stripe does not sell it any more."""
    seat, other = here.stripe_product("Seat"), here.stripe_product("Other")
    if choice == "for packages":
        terms = {"unit_amount": 700, "recurring": {"interval": "month"}, "transform_quantity": {"divide_by": 5, "round": "up"}}
        chosen = str(here.stripe.seed_price(ACCOUNT, product=seat, currency="usd", **terms)["id"])
    else:
        chosen = here.stripe_price(other, "700")
    default = here.stripe_price(seat, "99900")
    here.edit_product(seat, default_price=default)
    entry = here.entry(price=7, Stripe_Price_Id__c=chosen)
    here.salesforce.update("Product2", here.only_product(), {"Stripe_Product_Id__c": seat, "Name": "Seat"})
    left = ("Seat", "USD", 7, "month", None, True, chosen)

    here.deliver([("product", seat), ("price", default)])
    assert here.entries() == [left]
    done = here.run_import()
    assert here.entries() == [left]
    refused = {} if choice == "for packages" else {chosen: f"Another price book entry has it already: {entry}."}
    assert done.prices.refused == refused

    here.edit_price(chosen, active=False)
    assert f"by another price than {chosen}" in here.run_import().notes[0]
    assert here.entries() == [("Seat", "USD", 999, "month", None, True, default)]


def test_what_nobody_sells_any_more_is_told(here: CatalogueWorld) -> None:
    product = here.stripe_product("Seat")
    terms = {"unit_amount": 700, "recurring": {"interval": "month"}, "transform_quantity": {"divide_by": 5, "round": "up"}}
    price = str(here.stripe.seed_price(ACCOUNT, product=product, currency="usd", **terms)["id"])
    here.entry(price=7, Stripe_Price_Id__c=price)
    here.salesforce.update("Product2", here.only_product(), {"Stripe_Product_Id__c": product, "Name": "Seat"})
    here.edit_price(price, active=False)

    assert "No other price takes its place." in here.price_event(price).message
    assert here.entries() == [("Seat", "USD", 7, "month", None, False, price)]
    assert here.run_import().prices.written == 0


class TestMeanwhile:
    """Events and other runs write while the import is under way."""

    def meanwhile(self, monkeypatch: pytest.MonkeyPatch, where: str, happens: Callable[[], object]) -> None:
        """Have something happen once, before this is read."""
        read: Any = getattr(CatalogueRecords if hasattr(CatalogueRecords, where) else StripeCatalogue, where)
        left = [happens]

        def overtaken(self: Any, *args: Any) -> Any:
            if left:
                left.pop()()
            return read(self, *args)

        owner = CatalogueRecords if hasattr(CatalogueRecords, where) else StripeCatalogue
        monkeypatch.setattr(owner, where, overtaken)

    @pytest.mark.parametrize("where", ["all_products", "all_entries", "all_active_prices", "save_products", "save_entries"])
    def test_nothing_newer_is_undone(self, here: CatalogueWorld, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
        product = here.stripe_product("Old")
        price = here.stripe_price(product, "700")
        here.deliver(here.stripe_events())
        # Something for the import to write.
        here.edit_product(product, description="Changed")
        other = here.stripe_price(product, "900", "eur")

        def happens() -> None:
            here.edit_product(product, name="New")
            here.edit_price(price, active=False)
            here.deliver([("product", product), ("price", price)])

        self.meanwhile(monkeypatch, where, happens)
        here.run_import()

        assert [(each["Name"], each["Description"]) for each in here.products2()] == [("New", "Changed")]
        assert {(entry[-1], entry[5]) for entry in here.entries()} == {(price, False), (other, True)}

    @pytest.mark.parametrize("where", ["all_entries", "all_active_prices", "save_products", "standard_book"])
    def test_two_at_once(self, here: CatalogueWorld, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
        """What the other one has written is refused to this one, and found there."""
        here.stock(3)
        others = []
        self.meanwhile(monkeypatch, where, lambda: others.append(here.run_import()))

        done = here.run_import()

        for one in (done, *others):
            assert one.products.refused == one.prices.refused == {}
            assert one.prices.written + one.prices.unchanged == 6
        assert (len(here.products2()), len(here.entries())) == (3, 6)


def test_ten_thousand_prices(here: CatalogueWorld) -> None:
    """5,000 products at two currencies each, in pages and collections; cut off in the middle, completed without a duplicate."""
    here.stock(5_000)
    here.salesforce.inject("lost_after", skip=50, path="/services/data/")
    with pytest.raises(UnknownOutcomeError):
        here.run_import()
    made = len(here.products2()), len(here.entries())
    assert made[0] == 5_000
    assert 0 < made[1] < 10_000
    here.forget_calls()

    done = here.run_import()

    assert (len(here.products2()), len(here.entries()), len(here.remembered())) == (5_000, 10_000, 10_000)
    assert len({entry[-1] for entry in here.entries()}) == 10_000
    assert done.prices.written == 10_000 - made[1]
    # The shape; 3 pages of products, and those of entries; the book; 200 entries a request; and all pages again.
    written = -(-done.prices.written // 200)
    assert done.salesforce_calls == here.calls()[1] == 1 + 3 + -(-made[1] // 2_000) + 1 + written + 3 + 5
    assert done.stripe_calls == 2 * (50 + 100)
    done = here.run_import()
    assert (done.products.unchanged, done.prices.unchanged) == (5_000, 10_000)
    assert done.salesforce_calls == 1 + 3 + 5
