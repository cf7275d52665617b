"""Product2s and price book entries in Stripe, when they are made or changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orderphase.mapping import read_mapping
from tests.flows.catalogue_world import CatalogueWorld, catalogue_world
from tests.flows.world import ACCOUNT, ORG

SOMEBODY = "005000000000009AAA"


@pytest.fixture
def here() -> Iterator[CatalogueWorld]:
    with catalogue_world() as made:
        yield made


def product2(here: CatalogueWorld, **fields: object) -> str:
    return here.salesforce.create("Product2", {"Name": "Seat", "IsActive": True, **fields})


class TestProducts:
    def test_made_once(self, here: CatalogueWorld) -> None:
        record = product2(here, Description="One person")

        assert here.product_edit(record, "Name", "Description", "IsActive").outcome == "synced"
        assert here.product_edit(record).outcome == "unchanged"

        (product,) = here.stripe.objects(ACCOUNT, "product")
        assert (product["name"], product["description"]) == ("Seat", "One person")
        assert here.record("Product2", record)["Stripe_Product_Id__c"] == product["id"]

    def test_one_that_is_not_active_waits(self, here: CatalogueWorld) -> None:
        assert here.product_edit(product2(here, IsActive=False)).outcome == "skipped"
        assert here.stripe.objects(ACCOUNT, "product") == []

    def test_followed(self, here: CatalogueWorld) -> None:
        here.mapping = read_mapping('[metadata.product]\nfamily = "Family"\ncode = "ProductCode"')
        product = here.stripe_product("Seat", description="One person", **{"metadata[code]": "old", "metadata[theirs]": "kept"})
        record = product2(here, Name="Chair", Family="Furniture", Stripe_Product_Id__c=product)
        here.warm_up()
        here.forget_calls()

        report = here.product_edit(record, "Name")

        assert report.message == f"Product {product} has another name, description, metadata now."
        assert here.calls() == (2, 1)
        found = here.in_stripe("product", product)
        assert (found["name"], found["description"]) == ("Chair", None)
        ours = {"salesforce_org_id": ORG, "salesforce_product_id": record}
        assert found["metadata"] == {"theirs": "kept", "family": "Furniture", **ours}

    def test_to_and_fro(self, here: CatalogueWorld) -> None:
        """A key made of the content would bring the first answer back, and change nothing."""
        record = product2(here)
        here.product_edit(record)
        for name in ("Chair", "Seat", "Chair"):
            here.salesforce.update("Product2", record, {"Name": name})
            here.product_edit(record, "Name")
            assert here.stripe.objects(ACCOUNT, "product")[0]["name"] == name

    def test_our_own_change_in_stripe_is_known_by_its_key(self, here: CatalogueWorld) -> None:
        record = product2(here)
        here.product_edit(record)
        here.salesforce.update("Product2", record, {"Name": "Chair"})
        here.product_edit(record, "Name")

        assert here.stripe_events() == []

    def test_not_archived_with_it(self, here: CatalogueWorld) -> None:
        record = product2(here)
        here.product_edit(record)
        here.salesforce.update("Product2", record, {"IsActive": False})

        report = here.product_edit(record, "IsActive")

        assert report.outcome == "unchanged"
        assert "The Product2 is not active; the Stripe product stays" in report.message
        assert here.stripe.objects(ACCOUNT, "product")[0]["active"]

    def test_what_was_cut_is_not_sent_back(self, here: CatalogueWorld) -> None:
        product = here.stripe_product("N" * 300, description="d" * 5000)
        here.product_event(product)
        record = here.only_product()

        here.product_edit(record, "Family")
        found = here.in_stripe("product", product)

        assert (found["name"], len(found["description"])) == ("N" * 300, 5000)
        here.salesforce.update("Product2", record, {"Description": "Short"})
        here.product_edit(record, "Description")
        assert here.in_stripe("product", product)["description"] == "Short"

    def test_a_long_name_comes_back_as_it_is(self, here: CatalogueWorld) -> None:
        record = product2(here, Name="N" * 255)
        here.product_edit(record)
        product = here.record("Product2", record)["Stripe_Product_Id__c"]

        here.product_event(product)

        assert here.in_stripe("product", product)["name"] == "N" * 250
        assert here.record("Product2", record)["Name"] == "N" * 255

    def test_one_that_is_there_already_follows(self, here: CatalogueWorld) -> None:
        record = product2(here)
        here.product_edit(record)
        (product,) = here.stripe.objects(ACCOUNT, "product")
        cleared = {"Stripe_Product_Id__c": None, "Name": "Chair", "Description": "New"}
        here.salesforce.update("Product2", record, cleared)

        report = here.product_edit(record, *cleared)

        assert report.outcome == "synced"
        assert report.message.startswith(f"Product {product['id']} was there already. ")
        (found,) = here.stripe.objects(ACCOUNT, "product")
        assert (found["name"], found["description"]) == ("Chair", "New")
        assert here.record("Product2", record)["Stripe_Product_Id__c"] == found["id"]

    def test_a_product_that_is_gone_in_stripe(self, here: CatalogueWorld) -> None:
        report = here.product_edit(product2(here, Stripe_Product_Id__c="prod_gone"), "Name")

        assert report.outcome == "failed"
        assert "Clear Stripe_Product_Id__c to have one made." in report.message

    def test_another_orgs_product_stays_its_own(self, here: CatalogueWorld) -> None:
        metadata = {"salesforce_org_id": "00D00000000000ZEAA", "salesforce_product_id": "01t000000000009AAA"}
        product = here.stripe_product("Seat", **{f"metadata[{key}]": value for key, value in metadata.items()})

        here.product_edit(product2(here, Name="Chair", Stripe_Product_Id__c=product))

        assert here.in_stripe("product", product)["metadata"] == metadata


class TestEntries:
    def test_made_once(self, here: CatalogueWorld) -> None:
        entry = here.entry(price=12.5)

        assert here.entry_edit(entry, "UnitPrice", "IsActive", "Product2Id").outcome == "synced"
        assert here.entry_edit(entry, "UnitPrice").outcome == "unchanged"

        (price,) = here.stripe.objects(ACCOUNT, "price")
        assert here.entries()[0][2:] == (12.5, "month", None, True, price["id"])
        assert here.products2()[0]["Stripe_Product_Id__c"] == price["product"]
        assert here.stripe_events() == []

    def test_another_amount_makes_another_price(self, here: CatalogueWorld) -> None:
        entry = here.entry(price=10)
        here.entry_edit(entry)
        here.salesforce.update("PricebookEntry", entry, {"UnitPrice": 12})

        report = here.entry_edit(entry, "UnitPrice")

        first, second = here.stripe.objects(ACCOUNT, "price")
        assert report.message == (
            f"Price {second['id']} has what the entry says now; {first['id']} stays for the contracts that run."
        )
        assert [(each["unit_amount"], each["active"], each["lookup_key"] is None) for each in (first, second)] == [
            (1000, True, True),
            (1200, True, False),
        ]
        assert here.entries()[0][-1] == second["id"]

    def test_a_price_of_stripes_gets_a_successor(self, here: CatalogueWorld) -> None:
        price = here.stripe_price(here.stripe_product())
        here.price_event(price)
        entry = here.only_entry()
        here.salesforce.update("PricebookEntry", entry, {"UnitPrice": 12})

        assert here.entry_edit(entry, "UnitPrice").outcome == "synced"
        assert here.entries()[0][2] == 12
        assert here.entries()[0][-1] != price

    def test_a_price_that_was_never_looked_at(self, here: CatalogueWorld) -> None:
        """One that somebody has entered is looked at once; what is not sold at what the entry says gets a successor."""
        product = here.stripe_product()
        archived, theirs, another = (here.stripe_price(product, amount) for amount in ("700", "700", "800"))
        here.edit_price(archived, active=False)
        here.warm_up()
        for named in (theirs, archived, another, "price_nope"):
            entry = here.entry(price=7, Stripe_Price_Id__c=named)
            here.forget_calls()
            report = here.entry_edit(entry, "Description", by=SOMEBODY)
            now = here.record("PricebookEntry", entry)["Stripe_Price_Id__c"]
            if named == theirs:
                assert (report.outcome, now) == ("unchanged", theirs)
                assert here.calls() == (1, 1)
                assert here.entry_edit(entry, "Description", by=SOMEBODY).outcome == "unchanged"
                assert here.calls() == (1, 2), "what Stripe has said is remembered"
            else:
                left = "stays for the contracts that run" if named == another else "is archived, or not in Stripe (any more)"
                assert report.message == f"Price {now} has what the entry says now; {named} {left}."
                assert here.in_stripe("price", now)["unit_amount"] == 700

    @pytest.mark.parametrize("fields", [(), ("IsActive",)])
    def test_switched_on_again_with_an_archived_price(self, here: CatalogueWorld, fields: tuple[str, ...]) -> None:
        price = here.stripe_price(here.stripe_product(), "700")
        here.price_event(price)
        here.edit_price(price, active=False)
        here.price_event(price)
        entry = here.only_entry()
        here.salesforce.update("PricebookEntry", entry, {"IsActive": True})
        # What comes late says nothing new, and switches nothing off.
        assert here.price_event(price).outcome == "unchanged"

        report = here.entry_edit(entry, *fields, by=SOMEBODY)

        now = here.entries()[0][-1]
        assert f"{price} is archived" in report.message
        assert (now != price, here.in_stripe("price", now)["active"]) == (True, True)
        assert here.entries() == [("Seat", "USD", 7, "month", 1, True, now)]
        assert here.price_event(price).outcome == "skipped"
        assert here.run_import().prices.written == 0

    def test_a_price_that_was_deleted_is_not_answered_again(self, here: CatalogueWorld) -> None:
        """Stripe repeats what it has answered to a key; that of the next price says which one it follows."""
        entry = here.entry()
        here.entry_edit(entry)
        price = here.entries()[0][-1]
        here.delete_price(price)

        here.entry_edit(entry, by=SOMEBODY)

        (left,) = here.stripe.objects(ACCOUNT, "price")
        assert here.entries()[0][-1] == left["id"] != price

    def test_a_count_of_one_may_be_left_out(self, here: CatalogueWorld) -> None:
        here.price_event(here.stripe_price(here.stripe_product()))
        entry = here.only_entry()
        here.salesforce.update("PricebookEntry", entry, {"Stripe_Billing_Interval_Count__c": None})

        assert here.entry_edit(entry, "Stripe_Billing_Interval_Count__c", by=SOMEBODY).outcome == "unchanged"
        assert len(here.stripe.objects(ACCOUNT, "price")) == 1

    def test_an_org_that_has_got_several_currencies(self, here: CatalogueWorld) -> None:
        """What was remembered before says no currency; the entries have kept the one that they had."""
        here.price_event(here.stripe_price(here.stripe_product()))
        entry = here.only_entry()
        fact = here.facts.known[f"entry|{entry}"]
        here.facts.known[f"entry|{entry}"] = {"price_id": fact["price_id"], "content": ["10", "", "month", ""]}

        assert here.entry_edit(entry, "UnitPrice", by=SOMEBODY).outcome == "unchanged"
        assert len(here.stripe.objects(ACCOUNT, "price")) == 1

    @pytest.mark.parametrize(("said", "then", "made"), [(10.5, 10.8, 1), (10.5, 11.8, 2)])
    def test_amounts_that_stripe_rounds(self, here: CatalogueWorld, said: float, then: float, made: int) -> None:
        entry = here.entry(price=said, CurrencyIsoCode="ISK")
        here.entry_edit(entry)
        price = here.entries()[0][-1]

        assert here.price_event(price).message == "Salesforce has it as Stripe has it."
        assert (here.run_import().notes, here.entries()[0][2]) == ([], said)
        here.salesforce.update("PricebookEntry", entry, {"UnitPrice": then})
        here.entry_edit(entry, "UnitPrice")

        assert len(here.stripe.objects(ACCOUNT, "price")) == made

    def test_no_interval(self, here: CatalogueWorld) -> None:
        report = here.entry_edit(here.entry(interval=None))

        assert report.outcome == "failed"
        assert "has no billing interval" in report.message

    def test_the_mappings_interval(self, here: CatalogueWorld) -> None:
        here.mapping = read_mapping('[defaults]\ninterval = "month"\ninterval_count = 3')

        here.entry_edit(here.entry(interval=None))

        (price,) = here.stripe.objects(ACCOUNT, "price")
        assert (price["recurring"]["interval"], price["recurring"]["interval_count"]) == ("month", 3)

    def test_metadata(self, here: CatalogueWorld) -> None:
        here.mapping = read_mapping('[metadata.price]\ncode = "ProductCode"\n[metadata.product]\nfamily = "Family"')
        entry = here.entry()
        here.salesforce.update("Product2", here.only_product(), {"Family": "Furniture", "ProductCode": "C-1"})

        here.entry_edit(entry)

        assert here.stripe.objects(ACCOUNT, "price")[0]["metadata"]["code"] == "C-1"
        assert here.stripe.objects(ACCOUNT, "product")[0]["metadata"]["family"] == "Furniture"

    def test_entries_that_are_not_sold(self, here: CatalogueWorld) -> None:
        standard = here.entry()
        product = here.only_product()
        book = here.salesforce.create("Pricebook2", {"Name": "Partners", "IsActive": True})
        fields = {"Pricebook2Id": book, "Product2Id": product, "UnitPrice": 8, "IsActive": True}
        partners = here.salesforce.create("PricebookEntry", fields)
        reports = [here.entry_edit(partners)]
        here.salesforce.update("Product2", product, {"IsActive": False})
        reports.append(here.entry_edit(standard))
        here.salesforce.update("PricebookEntry", standard, {"IsActive": False})
        reports.append(here.entry_edit(standard))

        assert [report.outcome for report in reports] == ["skipped"] * 3
        for report, words in zip(
            reports, ("not of the standard price book", "a product that is not", "is not active"), strict=True
        ):
            assert words in report.message
        assert here.stripe.objects(ACCOUNT, "price") == []

    def test_one_currency_only(self) -> None:
        with catalogue_world(multicurrency=False) as here:
            here.currency = "EUR"
            entry = here.entry(price=9)

            here.entry_edit(entry)

            assert here.stripe.objects(ACCOUNT, "price")[0]["currency"] == "eur"
            assert here.entry_edit(entry).outcome == "unchanged"


class TestEvents:
    def test_gone(self, here: CatalogueWorld) -> None:
        entry, record = here.entry(), product2(here)
        here.salesforce.delete("PricebookEntry", entry)
        here.salesforce.delete("Product2", record)

        assert (here.entry_edit(entry).outcome, here.product_edit(record).outcome) == ("skipped", "skipped")

    def test_another_org(self, here: CatalogueWorld) -> None:
        entry = here.entry()

        for report in (
            here.entry_edit(entry, org_id="00D00000000000ZEAA"),
            here.product_edit(entry, org_id="00D00000000000ZEAA"),
        ):
            assert report.error is not None
            assert (report.outcome, report.error.code) == ("skipped", "wrong_org")

    def test_our_own_changes(self, here: CatalogueWorld) -> None:
        entry, us = here.entry(), here.salesforce.integration_user_id
        record = here.only_product()
        here.warm_up()
        here.forget_calls()

        reports = [
            here.entry_edit(entry, "UnitPrice", "Stripe_Price_Id__c", "isactive", by=us),
            here.entry_edit(entry, "Stripe_Price_Id__c", by=us),
            here.product_edit(record, "Name", "Stripe_Product_Id__c", by=us[:15]),
        ]

        assert [report.outcome for report in reports] == ["skipped"] * 3
        told = (
            "The integration user changed only fields that Orderphase writes, so this counts as its own change "
            "(IgnoreOwnEvents). Use another user for edits."
        )
        assert {report.message for report in reports} == {told}
        assert here.calls() == (0, 0)

    @pytest.mark.parametrize("by", [None, SOMEBODY])
    def test_an_id_that_was_filled_in(self, here: CatalogueWorld, by: str | None) -> None:
        """By whomever: it is seen that it is there, and no more."""
        price = here.stripe_price(here.stripe_product())
        entry = here.entry(Stripe_Price_Id__c=price)
        here.salesforce.update("Product2", here.only_product(), {"Stripe_Product_Id__c": "prod_1"})
        here.warm_up()
        here.forget_calls()

        reports = [
            here.entry_edit(entry, "Stripe_Price_Id__c", by=by),
            here.product_edit(here.only_product(), "stripe_product_id__c", by=by),
        ]

        assert [report.outcome for report in reports] == ["skipped"] * 2
        assert here.calls() == (0, 2)

    def test_an_id_that_somebody_has_cleared(self, here: CatalogueWorld) -> None:
        """That is how one asks for another product, or another price."""
        record = product2(here, Stripe_Product_Id__c="prod_gone")
        assert "Clear Stripe_Product_Id__c" in here.product_edit(record, "Name", by=SOMEBODY).message
        here.salesforce.update("Product2", record, {"Stripe_Product_Id__c": None})
        entry = here.entry(Stripe_Price_Id__c="price_gone")
        here.salesforce.update("PricebookEntry", entry, {"Stripe_Price_Id__c": None})

        assert here.product_edit(record, "Stripe_Product_Id__c", by=SOMEBODY).outcome == "synced"
        assert here.entry_edit(entry, "Stripe_Price_Id__c", by=SOMEBODY).outcome == "synced"

        products = {one["id"] for one in here.stripe.objects(ACCOUNT, "product")}
        assert here.record("Product2", record)["Stripe_Product_Id__c"] in products
        assert here.record("PricebookEntry", entry)["Stripe_Price_Id__c"] is not None

    def test_an_event_that_says_no_field_may_be_about_any(self, here: CatalogueWorld) -> None:
        us = here.salesforce.integration_user_id
        record, entry = product2(here), here.entry()

        flows = (here.products(), record), (here.prices(), entry)
        reports = [
            flow.from_salesforce(one, event_id="evt", org_id=ORG, changed_fields=[], changed_by=us) for flow, one in flows
        ]

        assert [report.outcome for report in reports] == ["synced"] * 2

    def test_somebody_elses_changes(self, here: CatalogueWorld) -> None:
        entry, us = here.entry(), here.salesforce.integration_user_id

        assert here.entry_edit(entry, "UnitPrice", by=SOMEBODY).outcome == "synced"
        assert here.entry_edit(entry, "UnitPrice", "UseStandardPrice", by=us).outcome == "unchanged"

    def test_own_changes_are_looked_at_where_that_is_asked_for(self, here: CatalogueWorld) -> None:
        entry, us = here.entry(), here.salesforce.integration_user_id

        assert here.entry_edit(entry, "UnitPrice", by=us, ignore_own_events=False).outcome == "synced"

    def test_what_we_write_is_not_written_back(self, here: CatalogueWorld) -> None:
        """Even where own events are not ignored, one side's change goes to the other and no further."""
        product = here.stripe_product()
        price = here.stripe_price(product, "14.285714285714")
        here.deliver([("product", product), ("price", price)])

        entry = here.entry_edit(here.only_entry(), "UnitPrice", ignore_own_events=False)
        here.product_edit(here.only_product(), "Name", ignore_own_events=False)
        again = here.deliver([("product", product), ("price", price)])

        assert [report.outcome for report in (entry, *again)] == ["unchanged"] * 3
        assert len(here.stripe.objects(ACCOUNT, "price")) == len(here.stripe.objects(ACCOUNT, "product")) == 1
