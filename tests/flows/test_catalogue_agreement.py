"""What one side has changed since both agreed: no event of the other undoes it, nor does the import."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from tests.flows.catalogue_world import CatalogueWorld, catalogue_world
from tests.flows.world import ACCOUNT

SOMEBODY = "005000000000009AAA"
OTHER_TRUTHS: dict[str, Callable[[CatalogueWorld, str, str], object]] = {
    "an event of the product": lambda here, product, price: here.deliver([("product", product)]),
    "an event of its price": lambda here, product, price: here.deliver([("price", price)]),
    "the import": lambda here, product, price: here.run_import(),
}


@pytest.fixture
def here() -> Iterator[CatalogueWorld]:
    with catalogue_world() as made:
        yield made


def of_stripe(here: CatalogueWorld) -> tuple[str, str]:
    """A product and its price, which came from Stripe."""
    product = here.stripe_product("Seat", description="One person")
    price = here.stripe_price(product, "700")
    here.deliver([("price", price), ("product", product)])
    return product, price


def of_salesforce(here: CatalogueWorld) -> tuple[str, str]:
    """A product and its price, which were made of Salesforce's records."""
    entry = here.entry(price=7)
    here.salesforce.update("Product2", here.only_product(), {"Name": "Seat", "Description": "One person"})
    here.entry_edit(entry)
    (product,), (price,) = here.stripe.objects(ACCOUNT, "product"), here.stripe.objects(ACCOUNT, "price")
    # Once the write-back was cut off, so the ids are all that Salesforce lacks.
    assert here.product_edit(here.only_product()).outcome == "unchanged"
    return product["id"], price["id"]


def imported(here: CatalogueWorld) -> tuple[str, str]:
    """A product and its price, which the import has brought."""
    product = here.stripe_product("Seat", description="One person")
    price = here.stripe_price(product, "700")
    here.run_import()
    return product, price


SOLD = pytest.mark.parametrize("sold", [of_stripe, of_salesforce, imported])
THEN = pytest.mark.parametrize("then", OTHER_TRUTHS.values(), ids=OTHER_TRUTHS.keys())


class TestSalesforceHasChanged:
    @SOLD
    @THEN
    def test_the_name(
        self,
        here: CatalogueWorld,
        sold: Callable[[CatalogueWorld], tuple[str, str]],
        then: Callable[[CatalogueWorld, str, str], object],
    ) -> None:
        product, price = sold(here)
        record = here.only_product()
        here.salesforce.update("Product2", record, {"Name": "Chair"})
        here.edit_product(product, **{"metadata[tax]": "x"})
        here.edit_price(price, nickname="x")

        then(here, product, price)

        assert here.products2()[0]["Name"] == "Chair"
        assert here.product_edit(record, "Name", by=SOMEBODY).outcome == "synced"
        assert here.in_stripe("product", product)["name"] == "Chair"
        assert here.product_event(product).outcome == "unchanged"

    @SOLD
    @THEN
    def test_that_it_is_sold(
        self,
        here: CatalogueWorld,
        sold: Callable[[CatalogueWorld], tuple[str, str]],
        then: Callable[[CatalogueWorld, str, str], object],
    ) -> None:
        product, price = sold(here)
        record, entry = here.only_product(), here.only_entry()
        for kind, one in (("Product2", record), ("PricebookEntry", entry)):
            here.salesforce.update(kind, one, {"IsActive": False})
        here.product_edit(record, "IsActive", by=SOMEBODY)
        here.entry_edit(entry, "IsActive", by=SOMEBODY)
        here.edit_product(product, description="Taxed")
        here.edit_price(price, nickname="x")
        here.stripe_price(product, "900", each="year")

        then(here, product, price)

        assert [each["IsActive"] for each in here.products2()] == [False]
        assert [each[5:] for each in here.entries()] == [(False, price)]

    def test_that_it_is_sold_until_stripe_changes_that(self, here: CatalogueWorld) -> None:
        product, price = of_stripe(here)
        here.salesforce.update("Product2", here.only_product(), {"IsActive": False})
        here.salesforce.update("PricebookEntry", here.only_entry(), {"IsActive": False})
        for active in (False, True):
            here.edit_product(product, active=active)
            here.edit_price(price, active=active)
            here.deliver([("product", product), ("price", price)])

        assert (here.products2()[0]["IsActive"], here.entries()[0][5]) == (True, True)

    def test_a_withdrawn_entry_follows_its_product_and_stays_withdrawn(self, here: CatalogueWorld) -> None:
        product, price = of_stripe(here)
        here.salesforce.update("PricebookEntry", here.only_entry(), {"IsActive": False})
        second = here.stripe_price(product, "800")
        here.edit_price(price, active=False)

        report = here.price_event(price)

        assert "The entry was switched off in Salesforce, and stays so." in report.message
        assert here.entries()[0][2:] == (8, "month", 1, False, second)
        assert here.run_import().prices.written == 0


class TestStripeHasChanged:
    def test_the_name(self, here: CatalogueWorld) -> None:
        """Its event is on its way when Salesforce's comes."""
        product, _ = of_stripe(here)
        record = here.only_product()
        here.edit_product(product, name="Chair")
        here.salesforce.update("Product2", record, {"Description": "Two persons"})

        report = here.product_edit(record, "Description", by=SOMEBODY)

        assert "Stripe has another name since, which its own event brings." in report.message
        found = here.in_stripe("product", product)
        assert (found["name"], found["description"]) == ("Chair", "Two persons")
        assert here.product_event(product).outcome == "synced"
        assert [(each["Name"], each["Description"]) for each in here.products2()] == [("Chair", "Two persons")]

    def test_that_it_is_sold(self, here: CatalogueWorld) -> None:
        """What Salesforce's event finds out about that is left to Stripe's own."""
        product, _ = of_stripe(here)
        here.edit_product(product, active=False)
        here.product_edit(here.only_product(), "Family", by=SOMEBODY)

        assert here.product_event(product).outcome == "synced"
        assert here.products2()[0]["IsActive"] is False

    def test_the_same_as_salesforce(self, here: CatalogueWorld) -> None:
        """Both agree without us, and what the one changes then goes over."""
        product, _ = of_stripe(here)
        record = here.only_product()
        here.product_edit(record, "Family", by=SOMEBODY)
        here.edit_product(product, name="Chair")
        here.salesforce.update("Product2", record, {"Name": "Chair"})
        assert here.product_edit(record, "Name", by=SOMEBODY).outcome == "unchanged"
        here.salesforce.update("Product2", record, {"Name": "Seat"})

        assert here.product_event(product).outcome == "unchanged"
        assert here.product_edit(record, "Name", by=SOMEBODY).outcome == "synced"
        assert here.in_stripe("product", product)["name"] == "Seat"


@pytest.mark.parametrize("seed", range(8))
def test_any_history_of_both(here: CatalogueWorld, seed: int) -> None:
    """Each event comes after what it is about. Then nothing is left to do: not for the import, not for any event again."""
    chance = random.Random(seed)
    here.warm_up()
    product = here.stripe_product("Seat")
    here.product_event(product)
    record, prices = here.only_product(), list[str]()
    for step in range(12):
        what = chance.choice(["price", "price", "archive", "activate", "default", "amount", "switch", "withdraw", "rename"])
        entries = [str(row["Id"]) for row in here.salesforce.query("SELECT Id FROM PricebookEntry")]
        default = here.in_stripe("product", product)["default_price"]
        active = [one for one in prices if here.in_stripe("price", one)["active"]]
        if what == "price":
            prices.append(
                here.stripe_price(product, str(chance.choice([100, 200, 300])), each=chance.choice(["month", "year"]))
            )
            here.price_event(prices[-1])
        elif what in ("archive", "activate") and (some := set(prices) - {default}):
            chosen = chance.choice(sorted(some))
            here.edit_price(chosen, active=what == "activate")
            here.price_event(chosen)
        elif what == "default" and active:
            here.edit_product(product, default_price=chance.choice(active))
            here.product_event(product)
        elif what == "rename":
            if chance.random() < 0.5:
                here.edit_product(product, name=f"Name {step}")
                here.product_event(product)
            else:
                here.salesforce.update("Product2", record, {"Name": f"Name {step}"})
                here.product_edit(record, "Name", by=SOMEBODY)
        elif what == "withdraw":
            here.salesforce.update("Product2", record, {"IsActive": chance.random() < 0.5})
            here.product_edit(record, "IsActive", by=SOMEBODY)
        elif entries and here.record("Product2", record)["IsActive"]:  # else the first order makes the price
            changes = {"UnitPrice": chance.choice([1, 2, 3, 4])} if what == "amount" else {"IsActive": chance.random() < 0.5}
            here.salesforce.update("PricebookEntry", entries[0], changes)
            here.entry_edit(entries[0], *changes, by=SOMEBODY)
        prices += [one for entry in here.entries() if (one := entry[-1]) and one not in prices]

    done = here.run_import()

    assert (done.products.written, done.prices.written) == (0, 0)
    events = [("product", product), *(("price", one) for one in prices)]
    assert {report.outcome for report in here.deliver(events)} <= {"unchanged", "skipped"}
    assert here.products2()[0]["Name"] == here.in_stripe("product", product)["name"]
    for entry in here.entries():
        shown = here.in_stripe("price", entry[-1])
        if entry[5] and here.products2()[0]["IsActive"]:
            assert (shown["active"], shown["unit_amount"] / 100, shown["recurring"]["interval"]) == (True, entry[2], entry[3])


def test_nothing_is_remembered(here: CatalogueWorld) -> None:
    """The table was lost: the side that tells first counts."""
    for first, name in (("stripe", "Seat"), ("salesforce", "Chair")):
        product = here.stripe_product("Seat")
        here.product_event(product)
        (found,) = here.salesforce.query(f"SELECT Id FROM Product2 WHERE Stripe_Product_Id__c = '{product}'")
        record = str(found["Id"])
        here.salesforce.update("Product2", record, {"Name": "Chair"})
        here.facts.known.clear()

        if first == "stripe":
            here.product_event(product)
        here.product_edit(record, "Name", by=SOMEBODY)

        assert here.record("Product2", record)["Name"] == here.in_stripe("product", product)["name"] == name


class TestNoIdsInSalesforce:
    """Where Salesforce is not told of ids, those that we alone know count."""

    @pytest.fixture
    def here(self, here: CatalogueWorld) -> CatalogueWorld:
        here.told = False
        return here

    def made(self, here: CatalogueWorld) -> tuple[str, str, str, str]:
        """An entry and its Product2, and what was made of them."""
        entry = here.entry(price=7)
        record = here.only_product()
        here.salesforce.update("Product2", record, {"Name": "Seat"})
        assert here.product_edit(record).outcome == "synced"
        assert here.entry_edit(entry).outcome == "synced"
        (product,), (price,) = here.stripe.objects(ACCOUNT, "product"), here.stripe.objects(ACCOUNT, "price")
        return entry, record, product["id"], price["id"]

    def test_salesforces_events_write_nothing_there(self, here: CatalogueWorld) -> None:
        entry, _, _, price = self.made(here)
        here.salesforce.update("PricebookEntry", entry, {"UnitPrice": 8})
        assert f"{price} stays for the contracts that run" in here.entry_edit(entry, "UnitPrice").message
        assert here.entry_edit(entry, "UnitPrice").outcome == "unchanged"

        assert (here.products2()[0]["Stripe_Product_Id__c"], here.entries()[0][-1]) == (None, None)
        assert here.salesforce.calls("PATCH") == []
        assert [one["unit_amount"] for one in here.stripe.objects(ACCOUNT, "price")] == [700, 800]

    def test_a_name_goes_to_stripe(self, here: CatalogueWorld) -> None:
        _, record, product, _ = self.made(here)
        here.salesforce.update("Product2", record, {"Name": "Chair"})
        here.edit_product(product, **{"metadata[tax]": "x"})

        assert here.product_event(product).outcome == "unchanged"
        assert here.product_edit(record, "Name").outcome == "synced"
        assert here.in_stripe("product", product)["name"] == "Chair"

    @THEN
    def test_another_price_does_not_take_the_entry(
        self, here: CatalogueWorld, then: Callable[[CatalogueWorld, str, str], object]
    ) -> None:
        _, _, product, price = self.made(here)
        other = here.stripe_price(product, "9900")

        then(here, product, other)
        then(here, product, price)

        assert here.entries() == [("Seat", "USD", 7, "month", None, True, None)]
        assert here.products2()[0]["Stripe_Product_Id__c"] is None

    def test_what_stripe_changes_is_written(self, here: CatalogueWorld) -> None:
        _, _, product, price = self.made(here)
        here.edit_product(product, name="Chair")
        here.edit_price(price, active=False)
        here.deliver([("product", product), ("price", price)])

        assert here.entries() == [("Chair", "USD", 7, "month", None, False, None)]
        here.edit_price(price, active=True)
        here.run_import()
        assert here.entries() == [("Chair", "USD", 7, "month", None, True, None)]

    def test_a_product_that_is_gone(self, here: CatalogueWorld) -> None:
        """What has its id is looked for, and nothing does; so an event says so, and does no harm."""
        entry, _, product, price = self.made(here)
        here.delete_price(price)
        here.delete_product(product)

        assert [report.outcome for report in here.deliver([("price", price), ("product", product)])] == ["skipped"] * 2
        assert here.entry_edit(entry).outcome in ("failed", "synced")
