"""What is found or created in a Stripe account, each exactly once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import pytest

from orderphase.domain.catalogue import PriceBookEntry, Product
from orderphase.domain.lines import Discount
from orderphase.domain.requests import Coupon
from orderphase.domain.schedules import HeldSchedule
from orderphase.errors import DataError, OrderphaseError, UnknownOutcomeError
from orderphase.stripe.account import (
    Key,
    Schedule,
    StripeAccount,
    is_price_of,
    lookup_key,
    price_params,
    product_of,
)
from sandbox.serving import Response, Server
from tests.flows.world import ACCOUNT, NOW, ORG
from tests.scripted import Scripted
from tests.stripe.stripe_account import Stripe, connect

ACME = "001000000000001AAA"
PRODUCT = Product("01t000000000001AAA", "Widget", "A thing")
OTHER_ORG = "00D000000000002EAA"


def entry(number: int = 1, price: str = "10", **fields: Any) -> PriceBookEntry:
    values = {"product": PRODUCT, "unit_price": Decimal(price), "currency": "USD", "interval_unit": "month", **fields}
    return PriceBookEntry(f"01u{number:012d}AAA", **values)


class TestProducts:
    def test_created_once(self, stripe: Stripe) -> None:
        expected = f"orderphase_{ORG}_{PRODUCT.id}"
        for _ in range(2):
            assert stripe.account().ensure_product(PRODUCT, org_id=ORG) == expected
        (product,) = stripe.objects("product")
        assert (product["id"], product["name"], product["description"]) == (expected, "Widget", "A thing")
        assert product["metadata"] == {"salesforce_org_id": ORG, "salesforce_product_id": PRODUCT.id}

    def test_without_description(self, stripe: Stripe) -> None:
        stripe.account().ensure_product(replace(PRODUCT, description=None), org_id=ORG)
        assert stripe.objects("product")[0]["description"] is None

    def test_a_failure_is_no_existence(self, stripe: Stripe) -> None:
        for error in ("402", "500", "lost"):
            kind: Any = "lost_before" if error == "lost" else "refuse"
            stripe.emulator.inject(kind, error="500" if error == "lost" else error)
            with pytest.raises(OrderphaseError):
                stripe.account().ensure_product(PRODUCT, org_id=ORG)
        assert stripe.objects("product") == []


class TestPrices:
    def test_many_are_looked_up_ten_at_a_time(self, stripe: Stripe) -> None:
        account = stripe.account()
        product = account.ensure_product(PRODUCT, org_id=ORG)
        entries = [entry(number) for number in range(1, 13)]
        created = {one.id: account.create_price(one, product, currency="USD", org_id=ORG) for one in entries}
        calls = len(stripe.emulator.log)
        found = account.find_prices([*entries, entry(99)], org_id=ORG)
        assert len(stripe.emulator.log) == calls + 2
        assert {name: price.id for name, price in found.items()} == created
        assert account.find_prices(entries, org_id=OTHER_ORG) == {}
        assert account.find_prices([], org_id=ORG) == {}

    def test_a_price_says_what_it_is_of(self, stripe: Stripe) -> None:
        account = stripe.account()
        product = account.ensure_product(PRODUCT, org_id=ORG)
        created = account.create_price(entry(interval_count=Decimal(3)), product, currency="USD", org_id=ORG)
        (price,) = stripe.objects("price")
        assert (price["id"], price["product"], price["currency"], price["unit_amount"]) == (created, product, "usd", 1000)
        assert (price["recurring"]["interval"], price["recurring"]["interval_count"]) == ("month", 3)
        assert price["lookup_key"] == lookup_key(entry(), org_id=ORG)
        assert price["metadata"] == {"salesforce_org_id": ORG, "salesforce_pricebook_entry_id": entry().id}
        assert product_of(account.find_prices([entry()], org_id=ORG)[entry().id]) == product

    def test_created_once_whatever_stripe_has_stored(self, stripe: Stripe) -> None:
        product = stripe.account().ensure_product(PRODUCT, org_id=ORG)
        stripe.emulator.inject("lost_after", method="POST")
        with pytest.raises(UnknownOutcomeError):
            stripe.account().create_price(entry(), product, currency="USD", org_id=ORG)
        created = stripe.account().create_price(entry(), product, currency="USD", org_id=ORG)
        assert [price["id"] for price in stripe.objects("price")] == [created]

    def test_a_stored_failure_does_not_stick(self, stripe: Stripe) -> None:
        """`find_prices` has found nothing that fits, so a key that was used up is passed over."""
        account = stripe.account()
        product = account.ensure_product(PRODUCT, org_id=ORG)
        stripe.emulator.inject("stored", error="500", method="POST")
        with pytest.raises(UnknownOutcomeError):
            account.create_price(entry(), product, currency="USD", org_id=ORG)
        connection = stripe.connection()
        connection.call(connection.api.prices.update, stripe.objects("price")[0]["id"], {"active": False})
        found = account.find_prices([entry()], org_id=ORG)[entry().id]
        assert not is_price_of(found, entry(), currency="USD"), "it is archived, but holds the lookup key"
        created = account.create_price(entry(), product, currency="USD", org_id=ORG)
        assert account.find_prices([entry()], org_id=ORG)[entry().id].id == created

    def test_a_new_amount_takes_the_lookup_key(self, stripe: Stripe) -> None:
        account = stripe.account()
        product = account.ensure_product(PRODUCT, org_id=ORG)
        first = account.create_price(entry(price="10"), product, currency="USD", org_id=ORG)
        second = account.create_price(entry(price="12"), product, currency="USD", org_id=ORG)
        assert first != second
        assert account.find_prices([entry()], org_id=ORG)[entry().id].id == second
        assert [price["lookup_key"] is None for price in stripe.objects("price")] == [True, False]

    @pytest.mark.parametrize(
        "other",
        [
            {"price": "10.01"},
            {"interval_unit": "year"},
            {"interval_count": Decimal(2)},
            {"product": replace(PRODUCT, product_id="prod_other")},
        ],
    )
    def test_content_tells_whether_a_price_fits(self, stripe: Stripe, other: dict[str, Any]) -> None:
        account = stripe.account()
        product = account.ensure_product(PRODUCT, org_id=ORG)
        account.create_price(entry(), product, currency="USD", org_id=ORG)
        price = account.find_prices([entry()], org_id=ORG)[entry().id]
        assert is_price_of(price, entry(price="10.00"), currency="USD")
        assert is_price_of(price, entry(product=replace(PRODUCT, product_id=product)), currency="usd")
        assert not is_price_of(price, entry(**other), currency="USD")
        assert not is_price_of(price, entry(), currency="EUR")

    @pytest.mark.parametrize(
        ("price", "currency", "wire", "unit_amount"),
        [
            ("10", "USD", "1000", 1000),
            ("0", "USD", "0", 0),
            ("1800.77777778", "USD", "180077.777778", None),
            ("0.00000001", "USD", "0.000001", None),
            ("500", "JPY", "500", 500),
            ("0.00000001", "JPY", "0.00000001", None),
            ("1.234", "KWD", "1230", 1230),
            ("5", "ISK", "500", 500),
            ("5", "UGX", "500", 500),
            ("1.235", "KWD", "1240", 1240),
            ("0.00000000000012", "KWD", "0", 0),
            ("5.4", "ISK", "500", 500),
            ("14.28571428571428571", "USD", "1428.571428571429", None),
            ("0.01000000000001", "USD", "1.000000000001", None),
            ("10.000000000000000000", "USD", "1000", 1000),
            ("1.5E+7", "USD", "1500000000", 1_500_000_000),
        ],
    )
    def test_amounts_on_the_wire(self, stripe: Stripe, price: str, currency: str, wire: str, unit_amount: int | None) -> None:
        one = entry(price=price, currency=currency)
        service = Scripted(lambda _: Response(body={"id": "price_1", "object": "price"}))
        with Server(service) as server:
            StripeAccount(connect(server.url, [])).create_price(one, "prod_1", currency=currency, org_id=ORG)
        (request,) = service.requests
        assert parse_qs(request.body.decode())["unit_amount_decimal"] == [wire]

        account = stripe.account()
        account.create_price(one, account.ensure_product(PRODUCT, org_id=ORG), currency=currency, org_id=ORG)
        (made,) = stripe.objects("price")
        assert (made["currency"], made["unit_amount"]) == (currency.lower(), unit_amount)
        assert is_price_of(account.find_prices([one], org_id=ORG)[one.id], one, currency=currency)

    def test_the_same_amount_in_other_digits_is_the_same_request(self) -> None:
        amounts = {
            str(price_params(entry(price=text), "prod_1", currency="USD", org_id=ORG)["unit_amount_decimal"])
            for text in ("10", "10.0", "10.000", "1E+1")
        }
        assert amounts == {"1000"}

    def test_back_to_an_earlier_amount_within_a_day(self, stripe: Stripe) -> None:
        """Stripe would answer the first request again, whose price has lost the lookup key by now."""
        account = stripe.account()
        product = account.ensure_product(PRODUCT, org_id=ORG)
        made: list[str] = []
        for price in ("10", "12", "10", "12", "10"):
            after = made[-1] if made else None
            made.append(account.create_price(entry(price=price), product, currency="USD", org_id=ORG, after=after))
            assert account.find_prices([entry()], org_id=ORG)[entry().id].id == made[-1]
            again = stripe.account().create_price(entry(price=price), product, currency="USD", org_id=ORG, after=after)
            assert again == made[-1], "the same again makes no second one"
        assert len({*made}) == len(stripe.objects("price")) == 5
        assert [one["unit_amount"] for one in stripe.objects("price")] == [1000, 1200, 1000, 1200, 1000]

    def test_a_custom_price_says_what_it_is(self, stripe: Stripe) -> None:
        account = stripe.account()
        product = account.ensure_product(PRODUCT, org_id=ORG)
        custom = entry(custom=True, metadata={"family": "Energy"})
        account.create_price(custom, product, currency="USD", org_id=ORG)
        (price,) = stripe.objects("price")
        assert price["lookup_key"] == lookup_key(custom, org_id=ORG) == f"orderphase_{ORG}_{custom.id}"
        told = {"salesforce_org_id": ORG, "salesforce_product_id": PRODUCT.id, "family": "Energy"}
        assert price["metadata"] == told

    def test_one_price_by_its_id(self, stripe: Stripe) -> None:
        account = stripe.account()
        product = account.ensure_product(PRODUCT, org_id=ORG)
        made = account.create_price(entry(), product, currency="USD", org_id=ORG)
        found = account.price(made)
        assert found is not None
        assert found.id == made
        assert account.price("price_gone") is None
        stripe.emulator.inject("refuse", error="402")
        with pytest.raises(DataError):
            account.price(made)

    @pytest.mark.parametrize("missing", [{"interval_unit": None}, {"unit_price": None}])
    def test_an_entry_that_cannot_be_billed_is_a_bug(self, missing: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="cannot be billed"):
            price_params(replace(entry(), **missing), "prod_1", currency="USD", org_id=ORG)


class TestCoupons:
    COUPON = Coupon("orderphase_1", Discount(percent_off=Decimal("12.5")), "USD")

    def test_created_once(self, stripe: Stripe) -> None:
        for _ in range(2):
            stripe.account().ensure_coupons([self.COUPON], {"salesforce_contract_id": "800"})
        (coupon,) = stripe.objects("coupon")
        assert (coupon["id"], coupon["percent_off"], coupon["max_redemptions"]) == ("orderphase_1", 12.5, 1)
        assert (coupon["duration"], coupon["metadata"]) == ("forever", {"salesforce_contract_id": "800"})

    def test_an_amount_is_in_the_contracts_currency(self, stripe: Stripe) -> None:
        stripe.account().ensure_coupons([Coupon("orderphase_1", Discount(amount_off=Decimal("5.5")), "EUR")], {})
        (coupon,) = stripe.objects("coupon")
        assert (coupon["amount_off"], coupon["currency"], coupon["name"]) == (550, "eur", "5.50 EUR off")

    def test_a_refusal_is_no_existence(self, stripe: Stripe) -> None:
        stripe.emulator.inject("refuse", error="402")
        with pytest.raises(DataError):
            stripe.account().ensure_coupons([self.COUPON], {})
        assert stripe.objects("coupon") == []


class TestSchedules:
    def params(self, stripe: Stripe, customer: str, **metadata: str) -> dict[str, Any]:
        account = stripe.account()
        found = account.find_prices([entry()], org_id=ORG)
        if not found:
            account.create_price(entry(), account.ensure_product(PRODUCT, org_id=ORG), currency="USD", org_id=ORG)
            found = account.find_prices([entry()], org_id=ORG)
        phase = {"items": [{"price": found[entry().id].id}], "duration": {"interval": "year", "interval_count": 1}}
        return {"customer": customer, "start_date": "now", "phases": [phase], "metadata": metadata}

    def test_the_same_key_makes_one(self, stripe: Stripe) -> None:
        params = self.params(stripe, stripe.customer(ACME))
        first, again = (stripe.account().create_schedule(params, key=Key("schedule:1")) for _ in range(2))
        (schedule,) = stripe.objects("subscription_schedule")
        assert first == again == Schedule(schedule["id"], schedule["subscription"])

    def test_one_that_has_not_started_has_no_subscription(self, stripe: Stripe) -> None:
        params = self.params(stripe, stripe.customer(ACME))
        start = stripe.clock.timestamp() + 3600
        assert stripe.account().create_schedule(params | {"start_date": start}, key=Key("1")).subscription_id is None

    def test_it_is_found_by_its_metadata_behind_many_others(self, stripe: Stripe) -> None:
        account = stripe.account()
        customer = stripe.customer(ACME)
        identity = {"salesforce_org_id": ORG, "salesforce_contract_id": "800A"}
        wanted = account.create_schedule(self.params(stripe, customer, **identity, more="1"), key=Key("wanted"))
        other = self.params(stripe, customer, **identity | {"salesforce_contract_id": "800B"})
        for number in range(100):
            account.create_schedule(other, key=Key(f"other {number}"))
        calls = len(stripe.emulator.log)
        assert account.find_schedule(identity, customer=customer) == wanted
        assert len(stripe.emulator.log) == calls + 2
        assert account.find_schedule(identity | {"salesforce_org_id": OTHER_ORG}, customer=customer) is None
        stranger = stripe.customer("001000000000002AAA")
        assert account.find_schedule(identity, customer=stranger) is None

    def test_one_that_is_cancelled_is_not_found(self, stripe: Stripe) -> None:
        account, connection = stripe.account(), stripe.connection()
        customer = stripe.customer(ACME)
        identity = {"salesforce_contract_id": "800A"}
        made = account.create_schedule(self.params(stripe, customer, **identity), key=Key("1"))
        assert account.find_schedule(identity, customer=customer) == made
        connection.call(connection.api.subscription_schedules.cancel, made.id)
        assert account.find_schedule(identity, customer=customer) is None

    def test_one_that_is_released_is_found_with_the_subscription_that_goes_on(self, stripe: Stripe) -> None:
        account, connection = stripe.account(), stripe.connection()
        customer = stripe.customer(ACME)
        identity = {"salesforce_contract_id": "800A"}
        made = account.create_schedule(self.params(stripe, customer, **identity), key=Key("1"))
        connection.call(connection.api.subscription_schedules.release, made.id)
        assert made.subscription_id is not None
        assert account.find_schedule(identity, customer=customer) == made

    def test_one_that_was_released_before_it_began_bills_nothing(self, stripe: Stripe) -> None:
        account, connection = stripe.account(), stripe.connection()
        customer = stripe.customer(ACME)
        identity = {"salesforce_contract_id": "800A"}
        later = {"start_date": stripe.clock.timestamp() + 3600}
        made = account.create_schedule(self.params(stripe, customer, **identity) | later, key=Key("1"))
        connection.call(connection.api.subscription_schedules.release, made.id)
        assert made.subscription_id is None
        assert account.find_schedule(identity, customer=customer) is None

    def test_a_customer_that_is_gone_has_no_schedule(self, stripe: Stripe) -> None:
        assert stripe.account().find_schedule({"salesforce_contract_id": "800A"}, customer="cus_gone") is None

    def of_lines(self, stripe: Stripe, *lines: str) -> Schedule:
        """A schedule that begins now, with a phase of a month for each of these texts, which name the lines."""
        params = self.params(stripe, stripe.customer(ACME))
        (phase,) = params["phases"]
        params["phases"] = [
            {
                "items": [{**phase["items"][0], "metadata": {"salesforce_order_item_ids": text}}],
                "duration": {"interval": "month", "interval_count": 1},
            }
            for text in lines
        ]
        return stripe.account().create_schedule(params, key=Key("1"))

    def test_whom_a_schedule_bills(self, stripe: Stripe) -> None:
        account, connection = stripe.account(), stripe.connection()
        made = self.of_lines(stripe, "802A", "802B,802C")
        for line in ("802A", "802B", "802C"):
            assert account.bills(made.id, [line, "802X"])
        assert not account.bills(made.id, ["802D"])
        assert not account.bills("sub_sched_gone", ["802A"])
        stripe.clock.advance(timedelta(days=40))
        assert not account.bills(made.id, ["802A"]), "its phase is over"
        assert account.bills(made.id, ["802B"])
        connection.call(connection.api.subscription_schedules.cancel, made.id)
        assert not account.bills(made.id, ["802B"])

    def test_what_was_let_go_bills_on_as_in_its_last_phase(self, stripe: Stripe) -> None:
        account = stripe.account()
        made = self.of_lines(stripe, "802A", "802B")
        stripe.clock.advance(timedelta(days=400))
        assert stripe.objects("subscription_schedule")[0]["status"] == "released"
        assert account.bills(made.id, ["802B"])
        assert not account.bills(made.id, ["802A"])

    def test_looked_passes_over_what_is_stored(self, stripe: Stripe) -> None:
        params = self.params(stripe, stripe.customer(ACME))
        stripe.account().create_schedule(params, key=Key("1"))
        other = params | {"end_behavior": "cancel"}
        with pytest.raises(OrderphaseError):
            stripe.account().create_schedule(other, key=Key("1"))
        stripe.account().create_schedule(other, key=Key("1"), looked=True)
        assert [one["end_behavior"] for one in stripe.emulator.objects(ACCOUNT, "subscription_schedule")] == [
            "release",
            "cancel",
        ]

    def test_a_subscription_that_was_taken_over_does_not_count(self, stripe: Stripe) -> None:
        account, connection = stripe.account(), stripe.connection()
        made = self.of_lines(stripe, "802A")
        connection.call(connection.api.subscription_schedules.release, made.id)
        assert account.bills(made.id, ["802A"], beside="sub_other")
        assert not account.bills(made.id, ["802A"], beside=made.subscription_id)


def running(stripe: Stripe, **params: Any) -> Schedule:
    """A schedule of a month's price for a year, which begins now."""
    account = stripe.account()
    product = account.ensure_product(PRODUCT, org_id=ORG)
    price = account.create_price(entry(), product, currency="USD", org_id=ORG)
    phase = {"items": [{"price": price, "quantity": 2}], "duration": {"interval": "year", "interval_count": 1}}
    customer = stripe.customer(ACME)
    return account.create_schedule(
        {"customer": customer, "start_date": "now", "phases": [phase], **params}, key=Key("schedule")
    )


class TestReadingSchedules:
    def read(self, stripe: Stripe, schedule: str, *, calls: int) -> HeldSchedule:
        before = len(stripe.emulator.log)
        held = stripe.account().read_schedule(schedule)
        assert len(stripe.emulator.log) == before + calls
        assert held is not None
        return held

    def release(self, stripe: Stripe, schedule: str) -> None:
        connection = stripe.connection()
        connection.call(connection.api.subscription_schedules.release, schedule)

    def test_there_is_none(self, stripe: Stripe) -> None:
        assert stripe.account().read_schedule("sub_sched_gone") is None

    def test_any_other_refusal_is_raised(self, stripe: Stripe) -> None:
        stripe.emulator.inject("refuse", error="402")
        with pytest.raises(DataError):
            stripe.account().read_schedule("sub_sched_1")

    def test_one_that_runs_is_one_request(self, stripe: Stripe) -> None:
        made = running(stripe, metadata={"salesforce_contract_id": "800A"})
        held = self.read(stripe, made.id, calls=1)
        (price,) = stripe.objects("price")
        assert (held.status, held.live, held.subscription_id) == ("active", True, made.subscription_id)
        assert held.current is not None
        assert (held.current.quantities, held.currency) == ({price["id"]: 2}, "USD")
        assert held.metadata == {"salesforce_contract_id": "800A"}
        assert held.period_end == NOW.replace(month=12)

    def test_one_that_is_over_is_one_request(self, stripe: Stripe) -> None:
        account, made = stripe.account(), running(stripe)
        account.cancel_schedule(made.id, {"prorate": False, "invoice_now": False}, key=Key("cancel:1"))
        held = self.read(stripe, made.id, calls=1)
        assert (held.status, held.live, held.subscription_lives, held.ended_at) == ("canceled", False, False, NOW)

    def test_of_one_that_has_let_go_the_subscription_is_looked_at(self, stripe: Stripe) -> None:
        made = running(stripe)
        self.release(stripe, made.id)
        held = self.read(stripe, made.id, calls=2)
        assert (held.status, held.live, held.subscription_lives) == ("released", False, True)
        assert (held.subscription_id, held.period_end) == (made.subscription_id, NOW.replace(month=12))
        connection = stripe.connection()
        connection.call(connection.api.subscriptions.cancel, made.subscription_id or "")
        assert not self.read(stripe, made.id, calls=2).subscription_lives

    def test_the_one_that_has_taken_over_is_answered(self, stripe: Stripe) -> None:
        made = running(stripe)
        for number in range(2):
            self.release(stripe, stripe.objects("subscription_schedule")[-1]["id"])
            stripe.account().create_schedule(
                {"from_subscription": made.subscription_id}, key=Key(f"attach:{number}"), looked=True
            )
        _, between, last = (schedule["id"] for schedule in stripe.objects("subscription_schedule"))
        for asked, calls in ((made.id, 3), (between, 3), (last, 1)):
            held = self.read(stripe, asked, calls=calls)
            assert (held.id, held.status, held.subscription_id) == (last, "active", made.subscription_id)

    def test_one_that_stripe_shows_in_another_way_is_named(self) -> None:
        service = Scripted(lambda _: Response(body={"id": "sub_sched_1", "object": "subscription_schedule", "phases": []}))
        with Server(service) as server, pytest.raises(DataError, match=r"schedule\.status"):
            StripeAccount(connect(server.url, [])).read_schedule("sub_sched_1")


class TestChangingSchedules:
    def test_an_update(self, stripe: Stripe) -> None:
        account, made = stripe.account(), running(stripe)
        for _ in range(2):
            assert account.update_schedule(made.id, {"end_behavior": "cancel"}, key=Key("update:1")) == made
        assert stripe.objects("subscription_schedule")[0]["end_behavior"] == "cancel"
        assert len(stripe.objects("subscription_schedule")) == 1

    def test_a_key_that_is_used_up_is_passed_over(self, stripe: Stripe) -> None:
        """Whoever sends it has read the schedule before, and found it unchanged."""
        account, made = stripe.account(), running(stripe)
        stripe.emulator.inject("stored", error="500", method="POST")
        with pytest.raises(UnknownOutcomeError):
            account.update_schedule(made.id, {"end_behavior": "cancel"}, key=Key("update:1"))
        assert account.update_schedule(made.id, {"end_behavior": "release"}, key=Key("update:1")) == made
        assert stripe.objects("subscription_schedule")[0]["end_behavior"] == "release"

    def test_what_is_over_is_refused(self, stripe: Stripe) -> None:
        account, made = stripe.account(), running(stripe)
        asked = {"prorate": True, "invoice_now": True}
        assert account.cancel_schedule(made.id, asked, key=Key("cancel:1")) == made
        assert account.cancel_schedule(made.id, asked, key=Key("cancel:1")) == made, "the same request again"
        for call in (account.cancel_schedule, account.update_schedule):
            with pytest.raises(DataError, match="canceled"):
                call(
                    made.id,
                    {"prorate": False} if call == account.cancel_schedule else {"end_behavior": "cancel"},
                    key=Key("other"),
                )


class TestInvoices:
    def test_a_preview_leaves_nothing(self, stripe: Stripe) -> None:
        account, made = stripe.account(), running(stripe)
        writes = stripe.emulator.writes()
        (schedule,) = stripe.objects("subscription_schedule")
        item = {"price": stripe.objects("price")[0]["id"], "quantity": 2}
        phase = {
            "start_date": schedule["phases"][0]["start_date"],
            "end_date": schedule["phases"][0]["end_date"],
            "items": [item],
        }
        shown = account.preview_invoice({"schedule": made.id, "schedule_details": {"phases": [phase]}})
        assert (shown["total"], len(shown["lines"]["data"])) == (2000, 1)
        assert stripe.emulator.writes() == writes

    def test_there_is_nothing_to_come(self, stripe: Stripe) -> None:
        made = running(stripe)
        stripe.account().cancel_schedule(made.id, {"prorate": False}, key=Key("cancel:1"))
        start = stripe.clock.timestamp()
        phase = {"items": [{"price": stripe.objects("price")[0]["id"]}], "start_date": start, "end_date": start + 86_400}
        with pytest.raises(DataError, match="No upcoming invoices"):
            stripe.account().preview_invoice({"schedule": made.id, "schedule_details": {"phases": [phase]}})

    def test_the_product_of_a_price(self, stripe: Stripe) -> None:
        running(stripe)
        (price,) = stripe.objects("price")
        assert stripe.account().product_of(price["id"]) == price["product"]
