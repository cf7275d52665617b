"""Which price is listed, and what the records look like: the rules one by one."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from orderphase.domain.catalogue import BillingInterval, PriceBookEntry, Product
from orderphase.domain.listing import (
    EntryState,
    NotListedError,
    ProductState,
    StripePrice,
    StripeProduct,
    changed_metadata,
    is_contested,
    listed_price,
    lists,
    matching_product,
    plain_text,
    wanted_entry,
    wanted_product,
    without_price,
)

SEAT = Product("01t1", "Seat", None, "prod_1")
MONTHLY = BillingInterval("month")


def price(number: int = 1, *, amount: str = "1000", currency: str = "USD", **fields: Any) -> StripePrice:
    made = StripePrice(f"price_{number}", "prod_1", currency, number, unit_amount=Decimal(amount), interval=MONTHLY)
    return replace(made, **fields)


def entry(price_id: str | None = "price_1", *, amount: str = "10", active: bool = True) -> EntryState:
    made = PriceBookEntry("01u1", SEAT, price_id, Decimal(amount), "USD", "month", Decimal(1))
    return EntryState(made, active)


class TestListedPrice:
    def test_the_newest(self) -> None:
        assert listed_price([price(2), price(3), price(1)], None) == price(3)

    def test_the_listed_one_stays(self) -> None:
        assert listed_price([price(1), price(2)], entry()) == price(1)

    def test_the_default_price(self) -> None:
        assert listed_price([price(1), price(2, default=True), price(3)], entry()) == price(2, default=True)

    def test_not_a_default_price_before_what_salesforce_made_since(self) -> None:
        default, own = price(1, default=True), price(2, entry_id="01u1")
        assert listed_price([default, own], entry("price_2")) == own
        assert listed_price([replace(default, created=3), own], entry("price_2")).id == "price_1"  # type: ignore[union-attr]
        assert listed_price([default, replace(own, entry_id="01u2")], entry("price_2")) == default

    @pytest.mark.parametrize(
        "bar", [{"active": False}, {"kind": "is tiered"}, {"lookup_key": "orderphase_1"}, {"entry_id": "01u9"}]
    )
    def test_what_is_never_listed_anew(self, bar: dict[str, Any]) -> None:
        assert listed_price([price(1), price(2, **bar), price(3, default=True, **bar)], None) == price(1)

    def test_what_is_listed_stays_whatever_made_it(self) -> None:
        for bar in ({"lookup_key": "orderphase_1"}, {"entry_id": "01u9"}):
            assert listed_price([price(1, **bar), price(2)], entry()) == price(1, **bar)
        assert listed_price([price(1, active=False), price(2)], entry()) == price(2)

    @pytest.mark.parametrize("choice", [{"kind": "is tiered"}, {"product_id": "prod_2"}, {"currency": "EUR"}])
    def test_what_somebody_has_chosen_stays_while_it_is_sold(self, choice: dict[str, Any]) -> None:
        chosen, rival = price(1, **choice), price(2, default=True)
        held = replace(entry(), entry=replace(entry().entry, product=replace(SEAT, product_id="prod_1")))

        assert listed_price([chosen, rival], held) == chosen
        assert listed_price([replace(chosen, active=False), rival], held) == rival
        assert wanted_entry(chosen, held, SEAT, sold=None) == (held, [])
        off = replace(held, active=False)
        assert [wanted_entry(chosen, off, SEAT, sold=sold)[0] for sold in (True, None, False)] == [off, off, held]

    @given(some.permutations([price(1), price(2), price(3, entry_id="01u1"), price(4, active=False)]), some.data())
    def test_the_order_does_not_matter_nor_does_a_second_time(self, prices: list[StripePrice], data: some.DataObject) -> None:
        held = entry(data.draw(some.sampled_from([None, "price_1", "price_3", "price_4", "price_9"])))
        default = data.draw(some.sampled_from([None, "price_1", "price_2"]))
        known = [replace(each, default=each.id == default) for each in prices]
        chosen = listed_price(known, held)
        assert chosen == listed_price(sorted(known, key=lambda each: each.id), held)
        assert chosen is not None
        assert listed_price(known, wanted_entry(chosen, held, SEAT, sold=None)[0]) == chosen

    @given(some.data())
    def test_nothing_else_is_needed_unless_it_is_contested(self, data: some.DataObject) -> None:
        """What the changed price and the default price alone say is what all active prices would say."""
        flags = some.booleans()
        prices = [price(number, active=data.draw(flags)) for number in (1, 2, 3)]
        default = data.draw(some.sampled_from([None, *range(3)]))
        prices = [replace(each, default=number == default) for number, each in enumerate(prices)]
        changed = data.draw(some.sampled_from(prices))
        held = data.draw(some.sampled_from([entry(None), *(entry(each.id) for each in prices if each.active)]))
        of_default = next((each for each in prices if each.default), None)
        if is_contested(held, changed, of_default, sold=data.draw(some.sampled_from([None, True, False]))):
            return
        if held.price_id is None:
            return
        whole = listed_price(prices, held)
        if changed.id == held.price_id or of_default is None or not of_default.active:
            assert whole is not None
            assert whole.id == held.price_id


class TestEntries:
    @pytest.mark.parametrize(
        ("minor", "currency", "major"),
        [
            ("1000", "USD", "10"),
            ("14.285714285714", "USD", "0.14285714"),
            ("0.0000015", "USD", "0.00000002"),
            ("1500", "JPY", "1500"),
            ("1250", "KWD", "1.25"),
            ("150000", "ISK", "1500"),
            ("0.5", "JPY", "0.5"),
            ("999999999999", "USD", "9999999999.99"),
            ("123456789012.123456789", "USD", "1234567890.12123"),
        ],
    )
    def test_amounts(self, minor: str, currency: str, major: str) -> None:
        wanted, notes = wanted_entry(price(amount=minor, currency=currency), None, SEAT, sold=None)

        assert wanted.entry.unit_price == Decimal(major)
        assert Decimal(repr(float(major))) == Decimal(major), "Salesforce's numbers keep it"
        exact = Decimal(minor).scaleb({"JPY": 0, "KWD": -3}.get(currency, -2))
        assert any("Salesforce shows" in note for note in notes) == (exact != Decimal(major))
        assert lists(wanted.entry, price(amount=minor, currency=currency))

    def test_what_was_changed_in_salesforce_stays(self) -> None:
        held = entry(amount="12", active=False)
        wanted, notes = wanted_entry(price(), held, SEAT, sold=None)

        assert wanted == replace(held, active=True)
        assert notes == [
            "Salesforce says 12.00 USD every month since, where the price is 10.00 USD every month; that makes another price."
        ]
        assert not lists(wanted.entry, price())

    def test_an_interval_that_is_missing_is_filled_in(self) -> None:
        held = entry()
        blank = replace(held, entry=replace(held.entry, interval_unit=None, interval_count=None))

        assert wanted_entry(price(), blank, SEAT, sold=None) == (held, [])

    def test_a_count_of_one_may_be_left_out(self) -> None:
        held = entry()
        without = replace(held, entry=replace(held.entry, interval_count=None))

        assert wanted_entry(price(), without, SEAT, sold=None) == (without, [])
        assert lists(without.entry, price())

    def test_without_a_price(self) -> None:
        archived, gone = (without_price(entry(), gone=gone, sold=None) for gone in (False, True))

        assert (archived.active, archived.price_id) == (False, "price_1")
        assert (gone.active, gone.price_id) == (False, None)

    def test_only_what_stripe_has_changed_switches_an_entry(self) -> None:
        on, off = entry(), entry(active=False)

        for sold, active in ((True, False), (False, True), (None, True)):
            assert wanted_entry(price(), off, SEAT, sold=sold)[0].active is active
            assert wanted_entry(price(2), off, SEAT, sold=sold)[0].active is active
            assert wanted_entry(price(), on, SEAT, sold=sold)[0].active
        assert [without_price(on, gone=False, sold=sold).active for sold in (True, None, False)] == [False, False, True]
        assert not without_price(off, gone=False, sold=False).active

    @pytest.mark.parametrize(
        ("currency", "said", "minor"), [("ISK", "10.5", "1100"), ("KWD", "1.2345", "1230"), ("UGX", "0.5", "100")]
    )
    def test_an_amount_that_stripe_cannot_express(self, currency: str, said: str, minor: str) -> None:
        """It was rounded when the price was made; that is no change."""
        made = entry(amount=said)
        held = replace(made, entry=replace(made.entry, currency=currency))
        shown = price(amount=minor, currency=currency)

        assert wanted_entry(shown, held, SEAT, sold=True) == (held, [])
        assert lists(held.entry, shown)


class TestProducts:
    def test_matching(self) -> None:
        linked, unlinked = ProductState(SEAT, active=True), ProductState(replace(SEAT, product_id=None), active=True)
        ours = StripeProduct("prod_1", "Seat", made_of="01t1")

        assert matching_product(ours, linked, linked) == linked
        assert matching_product(ours, None, unlinked) == unlinked
        assert matching_product(StripeProduct("prod_2", "Seat"), None, None) is None
        with pytest.raises(NotListedError, match="belongs to another product") as raised:
            matching_product(replace(ours, id="prod_2"), None, linked)
        assert raised.value.outcome == "failed"
        for product in (ours, StripeProduct("prod_2", "Seat", active=False)):
            with pytest.raises(NotListedError) as raised:
                matching_product(product, None, None)
            assert raised.value.outcome == "skipped"

    def test_texts_that_both_sides_take_for_the_same(self) -> None:
        held = ProductState(Product("01t1", "N" * 255, " One\r\nperson ", "prod_1"), active=True)

        given = StripeProduct("prod_1", "N" * 250, "One\nperson")
        assert given.says == held.says
        assert wanted_product(given, held, given.says) == (held, [])

    def test_only_what_stripe_has_changed_is_taken_over(self) -> None:
        held = ProductState(replace(SEAT, name="Chair", description="Mine"), active=False)
        given = StripeProduct("prod_1", "Seat", "Theirs")

        wanted, notes = wanted_product(given, held, {"description"})

        assert wanted == ProductState(replace(held.product, description="Theirs", product_id="prod_1"), active=False)
        assert notes == ["Salesforce has another name, active since, which stays."]
        assert wanted_product(given, held, given.says)[0].says == given.says

    def test_that_a_product_is_archived_is_told(self) -> None:
        wanted, notes = wanted_product(
            StripeProduct("prod_1", "Seat", active=False), ProductState(SEAT, active=True), {"active"}
        )

        assert not wanted.active
        assert notes == ["It is archived in Stripe, so its Product2 is not active any more."]

    def test_a_description_is_cut(self) -> None:
        given = StripeProduct("prod_1", "Seat", "d" * 4001)
        wanted, notes = wanted_product(given, None, ())

        assert wanted.product.description == "d" * 4000
        assert notes == ["The description is cut to 4000 characters."]
        assert wanted_product(given, wanted, given.says) == (wanted, [])

    @given(some.text(max_size=300), some.text(max_size=30))
    def test_what_was_written_is_not_written_again(self, description: str, name: str) -> None:
        product = StripeProduct("prod_1", name or "x", description)
        wanted, _ = wanted_product(product, None, ())

        assert wanted_product(product, wanted, product.says)[0] == wanted
        assert plain_text(plain_text(description)) == plain_text(description)


def test_metadata() -> None:
    held = {"a": "1", "b": "2"}

    assert changed_metadata(held, {"a": "1", "b": "", "c": "3", "d": ""}) == {"b": "", "c": "3"}
