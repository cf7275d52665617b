"""Prices of Stripe in the standard price book."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from orderphase.errors import ConflictError, OrderphaseError
from orderphase.salesforce.catalogue import CatalogueRecords
from tests.flows.catalogue_world import OTHER_KEY, CatalogueWorld, catalogue_world
from tests.flows.world import ACCOUNT, ORG


@pytest.fixture
def here() -> Iterator[CatalogueWorld]:
    with catalogue_world() as made:
        yield made


def listed(here: CatalogueWorld, amount: str = "1000", **values: Any) -> tuple[str, str]:
    """A product with a price that the price book has."""
    product = here.stripe_product()
    price = here.stripe_price(product, amount, **values)
    assert here.price_event(price).outcome == "synced"
    return product, price


class TestCreated:
    def test_a_price_before_its_product(self, here: CatalogueWorld) -> None:
        product = here.stripe_product("Seat", description="One person")
        price = here.stripe_price(product, "1250", every=3)
        here.warm_up()
        here.forget_calls()

        report = here.price_event(price)

        assert report.outcome == "synced"
        assert "Listed at 12.50 USD every 3 months." in report.message
        assert here.calls() == (1, 2)
        assert here.products2() == [
            {"Name": "Seat", "Description": "One person", "IsActive": True, "Stripe_Product_Id__c": product}
        ]
        assert here.entries() == [("Seat", "USD", 12.5, "month", 3, True, price)]

    def test_again_there_is_nothing_to_do(self, here: CatalogueWorld) -> None:
        _, price = listed(here)
        here.warm_up()
        here.forget_calls()

        assert here.price_event(price).outcome == "unchanged"
        assert here.calls() == (1, 1)

    def test_what_the_entry_says_is_remembered(self, here: CatalogueWorld) -> None:
        """Or the rounded amount would be taken for a change, and make another price."""
        _, price = listed(here, "14.285714285714")
        entry = here.only_entry()

        assert here.entries() == [("Seat", "USD", 0.14285714, "month", 1, True, price)]
        assert here.remembered() == {entry: ["0.14285714", "USD", "month", "1"]}
        assert here.entry_edit(entry, "UseStandardPrice").outcome == "unchanged"
        assert len(here.stripe.objects(ACCOUNT, "price")) == 1

    def test_that_an_amount_is_rounded_is_told(self, here: CatalogueWorld) -> None:
        price = here.stripe_price(here.stripe_product(), "0.0000015")

        assert "0.000000015 USD every month. Salesforce shows 0.00000002" in here.price_event(price).message

    @pytest.mark.parametrize(
        ("currency", "minor", "major"),
        [("jpy", "1500", 1500), ("kwd", "1250", 1.25), ("isk", "150000", 1500), ("eur", "999", 9.99)],
    )
    def test_amounts_in_other_currencies(self, here: CatalogueWorld, currency: str, minor: str, major: float) -> None:
        price = here.stripe_price(here.stripe_product(), minor, currency)

        here.price_event(price)

        assert here.entries() == [("Seat", currency.upper(), major, "month", 1, True, price)]

    def test_a_currency_that_the_org_does_not_take(self, here: CatalogueWorld) -> None:
        price = here.stripe_price(here.stripe_product(), currency="xpf")

        report = here.price_event(price)

        assert report.outcome == "failed"
        assert report.error is not None
        assert here.products2() == []

    def test_each_currency_has_an_entry(self, here: CatalogueWorld) -> None:
        product = here.stripe_product()
        dollars, euros = here.stripe_price(product), here.stripe_price(product, "900", "eur")

        here.deliver([("price", euros), ("price", dollars)])

        assert [entry[1:3] for entry in here.entries()] == [("EUR", 9), ("USD", 10)]

    def test_a_product_that_was_made_here_before(self, here: CatalogueWorld) -> None:
        """Its Product2 is linked instead of made a second time; the write-back has not come yet."""
        record = here.salesforce.create("Product2", {"Name": "Seat", "IsActive": True})
        metadata: Any = {"metadata[salesforce_org_id]": ORG, "metadata[salesforce_product_id]": record}
        product = here.stripe_product("Seat", **metadata)
        price = here.stripe_price(product)

        here.price_event(price)

        assert here.only_product() == record
        assert here.record("Product2", record)["Stripe_Product_Id__c"] == product
        assert here.entries()[0][-1] == price

    def test_a_product_of_another_org(self, here: CatalogueWorld) -> None:
        record = here.salesforce.create("Product2", {"Name": "Chair", "IsActive": True})
        metadata: Any = {"metadata[salesforce_org_id]": "00D00000000000ZEAA", "metadata[salesforce_product_id]": record}
        price = here.stripe_price(here.stripe_product("Seat", **metadata))

        here.price_event(price)

        assert [each["Name"] for each in here.products2()] == ["Chair", "Seat"]

    def test_an_entry_that_salesforce_has_made(self, here: CatalogueWorld) -> None:
        product = here.stripe_product()
        entry = here.entry(price=10, interval=None)
        here.salesforce.update("Product2", here.only_product(), {"Stripe_Product_Id__c": product, "Name": "Seat"})
        price = here.stripe_price(product)

        report = here.price_event(price)

        assert "Listed at 10.00 USD every month." in report.message
        assert here.only_entry() == entry
        assert here.entries() == [("Seat", "USD", 10, "month", 1, True, price)]

    def test_an_entry_that_salesforce_has_made_at_another_price(self, here: CatalogueWorld) -> None:
        product = here.stripe_product()
        here.entry(price=8, interval="year")
        here.salesforce.update("Product2", here.only_product(), {"Stripe_Product_Id__c": product, "Name": "Seat"})
        price = here.stripe_price(product)

        assert "8.00 USD every year becomes 10.00 USD every month." in here.price_event(price).message
        assert here.entries() == [("Seat", "USD", 10, "month", 1, True, price)]

    def test_a_price_made_of_an_entry_waits_for_its_own_flow(self, here: CatalogueWorld) -> None:
        product = here.stripe_product()
        entry = here.entry(price=8)
        here.salesforce.update("Product2", here.only_product(), {"Stripe_Product_Id__c": product})
        metadata: Any = {"metadata[salesforce_org_id]": ORG, "metadata[salesforce_pricebook_entry_id]": entry}
        price = here.stripe_price(product, "700", **metadata)

        report = here.price_event(price)

        assert report.outcome == "skipped"
        assert "was made of a price book entry" in report.message
        assert here.entries()[0][2:] == (8, "month", None, True, None)


class TestWhatIsNoEntry:
    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"type": "one_time"}, "is a one-time price"),
            ({"billing_scheme": "tiered", "tiers_mode": "graduated", "tiers": []}, "is tiered"),
            ({"recurring": {"interval": "month", "usage_type": "metered"}}, "is metered"),
            ({"transform_quantity": {"divide_by": 5, "round": "up"}}, "is for packages"),
            ({"custom_unit_amount": {"minimum": 1, "maximum": None, "preset": None}}, "lets the payer choose the amount"),
        ],
    )
    def test_kinds_of_prices(self, here: CatalogueWorld, fields: dict[str, Any], reason: str) -> None:
        monthly = {} if fields.get("type") == "one_time" else {"recurring": {"interval": "month"}}
        product = here.stripe_product()
        price = here.stripe.seed_price(
            ACCOUNT, **{"product": product, "currency": "usd", "unit_amount": 100, **monthly, **fields}
        )

        here.warm_up()
        here.forget_calls()
        report = here.price_event(price["id"])

        assert report.outcome == "skipped"
        assert reason in report.message
        assert here.calls() == (1, 0)
        assert here.products2() == []

    def test_a_price_made_for_order_lines(self, here: CatalogueWorld) -> None:
        price = here.stripe_price(here.stripe_product(), lookup_key=f"orderphase_{ORG}_x")

        assert "was made for order lines" in here.price_event(price).message
        assert here.entries() == []

    def test_an_archived_price_that_nobody_knows(self, here: CatalogueWorld) -> None:
        price = here.stripe_price(here.stripe_product())
        here.edit_price(price, active=False)

        assert here.price_event(price).outcome == "skipped"
        assert (here.entries(), here.products2()) == ([], [])

    def test_an_archived_product_that_nobody_knows(self, here: CatalogueWorld) -> None:
        product = here.stripe_product()
        price = here.stripe_price(product)
        here.edit_product(product, active=False)

        assert [report.outcome for report in here.deliver([("price", price), ("product", product)])] == ["skipped", "skipped"]
        assert here.products2() == []

    def test_a_product_whose_product2_was_deleted(self, here: CatalogueWorld) -> None:
        record = here.salesforce.create("Product2", {"Name": "Seat"})
        metadata: Any = {"metadata[salesforce_org_id]": ORG, "metadata[salesforce_product_id]": record}
        product = here.stripe_product("Seat", **metadata)
        here.salesforce.delete("Product2", record)

        reports = here.deliver([("price", here.stripe_price(product)), ("product", product)])

        assert [report.outcome for report in reports] == ["skipped", "skipped"]
        assert "Product2 that is not in Salesforce any more" in reports[0].message
        assert here.products2() == []

    def test_another_account(self, here: CatalogueWorld) -> None:
        product = here.stripe_product(key=OTHER_KEY)
        here.forget_calls()

        report = here.prices(names=("default", "other")).from_stripe("price_1", account="other", event_id="evt")
        other = here.product_event(product, account="other", names=("default", "other"))

        assert (report.outcome, other.outcome) == ("skipped", "skipped")
        assert "the Stripe account default; this is one of other" in report.message
        assert here.calls() == (0, 0)

    def test_another_currency_than_the_orgs_only_one(self) -> None:
        with catalogue_world(multicurrency=False) as here:
            product = here.stripe_product()
            euros, dollars = here.stripe_price(product, "900", "eur"), here.stripe_price(product)

            report = here.price_event(euros)
            here.price_event(dollars)

            assert report.outcome == "skipped"
            assert "is in EUR; this org has USD only" in report.message
            assert here.entries() == [("Seat", 10, "month", 1, True, dollars)]
            # Also an order's own read says none, and means the same.
            assert here.remembered() == {here.only_entry(): ["10", "USD", "month", "1"]}

    def test_a_price_id_that_is_on_another_entry(self, here: CatalogueWorld) -> None:
        price = here.stripe_price(here.stripe_product())
        entry = here.entry(Stripe_Price_Id__c=price)

        report = here.price_event(price)

        assert report.outcome == "failed"
        assert entry in report.message


class TestManyPrices:
    def test_the_one_that_is_listed_stays(self, here: CatalogueWorld) -> None:
        product, first = listed(here)
        second = here.stripe_price(product, "1200")
        here.warm_up()
        here.forget_calls()

        report = here.price_event(second)

        assert report.outcome == "unchanged"
        assert second in report.message
        assert here.calls() == (1, 1)
        assert here.entries()[0][-1] == first

    def test_the_default_price_takes_over(self, here: CatalogueWorld) -> None:
        product, first = listed(here)
        second = here.stripe_price(product, "1200", each="year")
        here.edit_product(product, default_price=second)

        report = here.product_event(product)

        assert f"10.00 USD every month becomes 12.00 USD every year, by another price than {first}." in report.message
        assert here.entries() == [("Seat", "USD", 12, "year", 1, True, second)]
        assert here.remembered() == {here.only_entry(): ["12", "USD", "year", "1"]}

    def test_a_default_price_in_another_currency_is_no_matter(self, here: CatalogueWorld) -> None:
        product, first = listed(here)
        euros = here.stripe_price(product, "900", "eur")
        here.edit_product(product, default_price=euros)

        here.deliver([("price", first), ("product", product)])

        assert [(entry[1], entry[-1]) for entry in here.entries()] == [("USD", first), ("EUR", euros)]

    def test_salesforce_has_changed_its_mind_since(self, here: CatalogueWorld) -> None:
        """The default price does not undo what an entry was changed to after it."""
        product, first = listed(here)
        here.edit_product(product, default_price=first)
        entry = here.only_entry()
        here.salesforce.update("PricebookEntry", entry, {"UnitPrice": 12})
        assert here.entry_edit(entry, "UnitPrice").outcome == "synced"
        second = here.entries()[0][-1]
        assert second != first

        reports = here.deliver([("product", product), ("price", first), ("price", second)])

        assert [report.outcome for report in reports] == ["unchanged"] * 3
        assert here.entries() == [("Seat", "USD", 12, "month", 1, True, second)]

    def test_a_later_default_price_counts(self, here: CatalogueWorld) -> None:
        product, _ = listed(here)
        entry = here.only_entry()
        here.salesforce.update("PricebookEntry", entry, {"UnitPrice": 12})
        here.entry_edit(entry, "UnitPrice")
        third = here.stripe_price(product, "1500")
        here.edit_product(product, default_price=third)

        here.product_event(product)

        assert here.entries() == [("Seat", "USD", 15, "month", 1, True, third)]

    def test_a_change_in_salesforce_on_its_way_is_not_undone(self, here: CatalogueWorld) -> None:
        _, price = listed(here)
        entry = here.only_entry()
        here.salesforce.update("PricebookEntry", entry, {"UnitPrice": 12})
        here.edit_price(price, nickname="Basic")

        report = here.price_event(price)

        assert report.outcome == "unchanged"
        assert "Salesforce says 12.00 USD every month since, where the price is 10.00 USD every month" in report.message
        assert here.entry_edit(entry, "UnitPrice").outcome == "synced"
        assert here.entries()[0][2] == 12


class TestArchivedAndDeleted:
    def test_archived(self, here: CatalogueWorld) -> None:
        _, price = listed(here)
        here.edit_price(price, active=False)
        here.warm_up()
        here.forget_calls()

        report = here.price_event(price)

        assert "No other price takes its place." in report.message
        assert here.calls() == (2, 2)
        assert here.entries() == [("Seat", "USD", 10, "month", 1, False, price)]
        assert here.price_event(price).outcome == "unchanged"

    def test_and_active_again(self, here: CatalogueWorld) -> None:
        _, price = listed(here)
        here.edit_price(price, active=False)
        here.price_event(price)
        here.edit_price(price, active=True)

        assert here.price_event(price).outcome == "synced"
        assert here.entries() == [("Seat", "USD", 10, "month", 1, True, price)]

    def test_the_newest_takes_its_place(self, here: CatalogueWorld) -> None:
        product, price = listed(here)
        here.stripe_price(product, "1100")
        newest = here.stripe_price(product, "1200")
        here.stripe_price(product, "800", lookup_key="orderphase_x")
        here.stripe_price(product, "900", "eur")
        here.edit_price(price, active=False)

        here.price_event(price)

        assert here.entries() == [("Seat", "USD", 12, "month", 1, True, newest)]

    def test_a_new_price_for_an_entry_that_is_not_sold(self, here: CatalogueWorld) -> None:
        product, price = listed(here)
        here.edit_price(price, active=False)
        here.price_event(price)
        second = here.stripe_price(product, "1200")

        here.price_event(second)

        assert here.entries() == [("Seat", "USD", 12, "month", 1, True, second)]

    def test_deleted(self, here: CatalogueWorld) -> None:
        _, price = listed(here)
        here.delete_price(price)

        here.price_event(price)

        assert here.entries() == [("Seat", "USD", 10, "month", 1, False, None)]
        assert here.price_event(price).outcome == "skipped"

    def test_deleted_and_another_takes_its_place(self, here: CatalogueWorld) -> None:
        product, price = listed(here)
        second = here.stripe_price(product, "1200")
        here.delete_price(price)

        here.price_event(price)

        assert here.entries() == [("Seat", "USD", 12, "month", 1, True, second)]


class TestDeliveries:
    """Whatever order the events come in, and however often."""

    def test_every_order(self) -> None:
        outcomes = set()
        for order in itertools.permutations(range(4)):
            with catalogue_world() as here:
                product = here.stripe_product("Seat")
                price = here.stripe_price(product)
                here.edit_product(product, name="Chair")
                here.edit_price(price, active=False)
                events = here.stripe_events()
                assert len(events) == 4
                here.deliver(events[number] for number in order)
                outcomes.add((*(each["Name"] for each in here.products2()), *(entry[1:-1] for entry in here.entries())))
        # Nobody knew the price while it was sold: it is archived whenever its events are looked into.
        assert outcomes == {("Chair",)}

    @pytest.mark.parametrize("seed", range(6))
    def test_any_history(self, seed: int) -> None:
        """Some events come at once, in any order and twice; the rest in the end. What is listed is as Stripe has it."""
        chance = random.Random(seed)
        with catalogue_world() as here:
            products, prices = [here.stripe_product(f"Product {number}") for number in range(2)], list[str]()
            pending = here.stripe_events()
            for _ in range(24):
                seen = len(here.stripe_events())
                what = chance.choice(["price", "price", "archive", "activate", "default", "rename"])
                product = chance.choice(products)
                if what == "price":
                    prices.append(here.stripe_price(product, str(chance.randint(1, 5000)), chance.choice(["usd", "eur"])))
                elif what in ("archive", "activate") and prices:
                    chosen = chance.choice(prices)
                    of = here.in_stripe("product", here.in_stripe("price", chosen)["product"])
                    if of["default_price"] != chosen:
                        here.edit_price(chosen, active=what == "activate")
                elif what == "default" and prices:
                    default = here.in_stripe("price", chance.choice(prices))
                    if default["active"]:
                        here.edit_product(default["product"], default_price=default["id"])
                else:
                    here.edit_product(product, name=f"Name {chance.random()}")
                pending += here.stripe_events()[seen:]
                chance.shuffle(pending)
                if chance.random() < 0.5:
                    half = len(pending) // 2
                    here.deliver(pending[:half])
                    pending = pending[half:] + chance.sample(pending[:half], k=half // 3)
            here.deliver(pending)

            assert sorted(each["Name"] for each in here.products2()) == sorted(
                here.in_stripe("product", product)["name"] for product in products
            )
            here.forget_calls()
            assert {report.outcome for report in here.deliver(here.stripe_events())} <= {"unchanged", "skipped"}
            assert here.salesforce.calls("PATCH") == []
            by_id = {price: here.in_stripe("price", price) for price in prices}
            for name, currency, amount, interval, _, active, price_id in here.entries():
                shown = by_id[price_id]
                of = here.in_stripe("product", shown["product"])
                rivals = [one for one in by_id.values() if (one["product"], one["currency"]) == (of["id"], shown["currency"])]
                assert (name, currency.lower(), interval) == (of["name"], shown["currency"], "month")
                assert amount == shown["unit_amount"] / 100
                assert active == shown["active"] == any(one["active"] for one in rivals)
                if of["default_price"] in {one["id"] for one in rivals}:
                    assert price_id == of["default_price"]
            sold = {(one["product"], one["currency"]) for one in by_id.values() if one["active"]}
            assert sold <= {(by_id[entry[-1]]["product"], entry[1].lower()) for entry in here.entries()}


class TestRaces:
    def test_two_runs_make_one_product(self, here: CatalogueWorld) -> None:
        """Another run makes the Product2 between our read and our write; the upsert by its Stripe id finds it."""
        product = here.stripe_product()
        price = here.stripe_price(product)
        here.warm_up()
        flow = here.prices()
        read = flow._upserts.records.read

        def overtaken(**ids: Any) -> Any:
            held = read(**ids)
            here.salesforce.create("Product2", {"Name": "Seat", "IsActive": True, "Stripe_Product_Id__c": product})
            flow._upserts.records.read = read  # type: ignore[method-assign]
            return held

        flow._upserts.records.read = overtaken  # type: ignore[method-assign]
        assert flow.from_stripe(price, account="default", event_id="evt").outcome == "synced"

        assert len(here.products2()) == 1
        assert here.entries()[0][-1] == price

    def test_two_runs_make_one_entry(self, here: CatalogueWorld) -> None:
        product, _ = listed(here)
        euros = here.stripe_price(product, "900", "eur")
        flow = here.prices()
        read, other = flow._upserts.records.read, here.prices()

        def overtaken(**ids: Any) -> Any:
            held = read(**ids)
            flow._upserts.records.read = read  # type: ignore[method-assign]
            other.from_stripe(euros, account="default", event_id="evt")
            return held

        flow._upserts.records.read = overtaken  # type: ignore[method-assign]
        assert flow.from_stripe(euros, account="default", event_id="evt").outcome == "unchanged"

        assert len(here.entries()) == 2

    def test_the_price_id_has_got_elsewhere_meanwhile(self, here: CatalogueWorld) -> None:
        product, _ = listed(here)
        euros = here.stripe_price(product, "900", "eur")
        flow = here.prices()
        read = flow._upserts.records.read

        def overtaken(**ids: Any) -> Any:
            held = read(**ids)
            flow._upserts.records.read = read  # type: ignore[method-assign]
            here.entry(Stripe_Price_Id__c=euros)
            return held

        flow._upserts.records.read = overtaken  # type: ignore[method-assign]
        report = flow.from_stripe(euros, account="default", event_id="evt")

        assert report.outcome == "failed"
        assert "is on another price book entry already" in report.message

    def test_overtaken_again_and_again(self, here: CatalogueWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        """Then the queue brings the event back."""
        price = here.stripe_price(here.stripe_product())
        tries = []

        def overtaken(*_: Any) -> None:
            tries.append(price)
            raise ConflictError("Somebody was quicker.")

        monkeypatch.setattr(CatalogueRecords, "write", overtaken)
        with pytest.raises(ConflictError):
            here.price_event(price)

        assert tries == [price, price]


class TestRefusals:
    def test_a_validation_rule(self, here: CatalogueWorld) -> None:
        _, price = listed(here)
        here.salesforce.refuse_writes(here.only_entry(), error="FIELD_CUSTOM_VALIDATION_EXCEPTION")
        here.edit_price(price, active=False)

        report = here.price_event(price)

        assert report.outcome == "failed"
        assert "A validation rule of this org refuses the record." in report.message
        assert here.log.entries[-1].outcome == "failed"

    def test_a_locked_row(self, here: CatalogueWorld) -> None:
        _, price = listed(here)
        here.salesforce.refuse_writes(here.only_entry(), error="UNABLE_TO_LOCK_ROW")
        here.edit_price(price, active=False)

        with pytest.raises(OrderphaseError) as raised:
            here.price_event(price)

        assert raised.value.kind == "transient"
        assert here.price_event(price).outcome == "synced"
