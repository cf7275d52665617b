"""Previews of the first invoice of a schedule that is yet to begin."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.stripe_emulator import StripeError, check
from sandbox.stripe_emulator.invoices import Line, take_off
from tests.sandbox.stripe_changes import amounts, credit, held, preview
from tests.sandbox.stripe_world import ACCOUNT, World, at, refusal


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def test_whole_cycles_of_the_first_phase(world: World) -> None:
    monthly, yearly = world.price(), world.price("year", unit_amount=12_000)
    first = world.phase("2028-01-01", prices=(monthly, yearly))
    first["items"][0].update(quantity=3, metadata={"line": "802"})
    invoice = preview(world, first, world.phase("2029-01-01"), details={"end_behavior": "cancel"})
    assert invoice["id"].startswith("upcoming_in_")
    assert (invoice["status"], invoice["currency"], invoice["created"]) == ("draft", "usd", world.now)
    assert amounts(invoice) == (15_000, 15_000)
    assert (invoice["amount_due"], invoice["total_discount_amounts"]) == (15_000, [])
    one, two = invoice["lines"]["data"]
    assert (one["amount"], one["quantity"], one["metadata"]) == (3000, 3, {"line": "802"})
    assert one["pricing"]["price_details"]["price"] == monthly
    assert one["period"] == {"start": world.now, "end": at("2027-02-01")}
    assert two["period"] == {"start": world.now, "end": at("2028-01-01")}


def test_nothing_is_kept(world: World) -> None:
    coupon, customer = world.coupon(max_redemptions=1), world.customer()
    writes, events = world.emulator.writes(), world.events()
    for _ in range(2):
        preview(world, world.phase("2028-01-01", prices=(), discounts=[{"coupon": coupon}]), customer=customer)
        writes, events = writes + 2, [*events, "product.created", "plan.created", "price.created"]
    assert (world.emulator.writes(), world.events()) == (writes, events)
    for kind in ("subscription_schedule", "subscription", "invoice", "discount"):
        assert world.emulator.objects(ACCOUNT, kind) == []
    assert world.sdk.v1.coupons.retrieve(coupon).times_redeemed == 0
    assert world.sdk.v1.customers.retrieve(customer).currency is None


def test_item_discounts_come_before_those_of_the_phase(world: World) -> None:
    # 120.00 less a quarter, less 50.00.
    quarter = world.coupon(percent_off=25)
    fifty = world.sdk.v1.coupons.create({"amount_off": 5000, "currency": "usd", "duration": "once"}).id
    phase = world.phase("2028-01-01", prices=(world.price(unit_amount=12_000),), discounts=[{"coupon": fifty}])
    phase["items"][0]["discounts"] = [{"coupon": quarter}]
    invoice = preview(world, phase)
    assert amounts(invoice) == (12_000, 4000)
    [line] = invoice["lines"]["data"]
    assert [entry["amount"] for entry in line["discount_amounts"]] == [3000, 5000]
    assert [entry["amount"] for entry in invoice["total_discount_amounts"]] == [3000, 5000]
    assert invoice["discounts"] == [invoice["total_discount_amounts"][1]["discount"]]
    assert line["discounts"] == [invoice["total_discount_amounts"][0]["discount"]]


def test_amounts_off_are_spread_in_proportion_and_end_at_nothing(world: World) -> None:
    prices = (world.price(unit_amount=100), world.price(unit_amount=100), world.price(unit_amount=100))

    def off(amount: int) -> list[int]:
        coupon = world.sdk.v1.coupons.create({"amount_off": amount, "currency": "usd", "duration": "once"}).id
        invoice = preview(world, world.phase("2028-01-01", prices=prices, discounts=[{"coupon": coupon}]))
        assert invoice["total"] == max(0, 300 - amount)
        return [line["discount_amounts"][0]["amount"] for line in invoice["lines"]["data"]]

    assert off(100) == [33, 34, 33]
    assert off(1000) == [100, 100, 100]


def test_percentages_and_fractions_are_rounded_half_up_by_line(world: World) -> None:
    price = world.sdk.v1.prices.create(
        {
            "product": world.sdk.v1.products.create({"name": "Seat"}).id,
            "currency": "usd",
            "unit_amount_decimal": Decimal("14.285714285714"),
            "recurring": {"interval": "month"},
        }
    ).id
    phase = world.phase("2028-01-01", prices=(price,), discounts=[{"coupon": world.coupon(percent_off=2.5)}])
    phase["items"][0]["quantity"] = 7
    invoice = preview(world, phase)
    assert amounts(invoice) == (100, 97)  # 99.999999999998, and 2.5 off
    phase["items"][0]["quantity"] = 0
    assert amounts(preview(world, phase)) == (0, 0)


@given(st.lists(st.integers(0, 10**8), min_size=1, max_size=20), st.integers(1, 10**9))
def test_what_is_spread_adds_up(line_amounts: list[int], off: int) -> None:
    lines = [Line({}, 1, amount, (0, 1)) for amount in line_amounts]
    take_off({"percent_off": None, "amount_off": off}, "di_1", lines)
    assert sum(line.left for line in lines) == max(0, sum(line_amounts) - off)
    assert all(0 <= line.left <= line.amount for line in lines)


def test_one_time_items_are_on_the_first_invoice(world: World) -> None:
    setup, product = world.price(None, unit_amount=50_000), world.sdk.v1.products.create({"name": "Stub"}).id
    span = {"start": {"type": "phase_start"}, "end": {"type": "timestamp", "timestamp": at("2027-01-16")}}
    phase = world.phase("2028-01-01", discounts=[{"coupon": world.coupon(percent_off=10)}])
    phase["add_invoice_items"] = [
        {"price": setup, "quantity": 2, "metadata": {"line": "802"}},
        {**credit(product, 333), "period": span, "discountable": False},
    ]
    before = world.emulator.objects(ACCOUNT, "price")
    invoice = preview(world, phase)
    assert amounts(invoice) == (1000 + 100_000 + 333, 900 + 90_000 + 333)
    _, one, two = invoice["lines"]["data"]
    assert (one["amount"], one["quantity"], one["metadata"], one["discountable"]) == (100_000, 2, {"line": "802"}, True)
    assert one["period"] == {"start": world.now, "end": at("2027-02-01")}
    assert (two["discountable"], two["discount_amounts"], two["description"]) == (False, [], "Stub")
    assert two["period"] == {"start": world.now, "end": at("2027-01-16")}
    assert two["pricing"]["price_details"]["product"] == product
    assert two["parent"]["type"] == "invoice_item_details"
    assert world.emulator.objects(ACCOUNT, "price") == before


def test_a_credit_beyond_the_total_leaves_nothing_due(world: World) -> None:
    product = world.sdk.v1.products.create({"name": "Credit"}).id
    phase = world.phase("2028-01-01", add_invoice_items=[credit(product, -1500)])
    invoice = preview(world, phase)
    assert (invoice["total"], invoice["amount_due"], invoice["amount_remaining"]) == (-500, 0, 0)
    # Whether a discount applies to a credit depends on where one reads.
    phase["discounts"] = [{"coupon": world.coupon()}]
    assert refusal(preview, world, phase).http_status == 501
    phase["add_invoice_items"][0]["discountable"] = False
    assert preview(world, phase)["total"] == 900 - 1500


def test_a_start_in_the_future_is_billed_then(world: World) -> None:
    days: dict[str, Any] = {"collection_method": "send_invoice", "invoice_settings": {"days_until_due": 30}}
    invoice = preview(world, world.phase("2028-03-01", start_date=at("2027-03-01"), **days))
    assert (invoice["created"], invoice["due_date"]) == (at("2027-03-01"), at("2027-03-31"))
    assert (invoice["collection_method"], invoice["lines"]["data"][0]["period"]["end"]) == ("send_invoice", at("2027-04-01"))


def test_a_schedule_that_waits(world: World) -> None:
    price = world.price()
    days: dict[str, Any] = {"collection_method": "send_invoice", "invoice_settings": {"days_until_due": 14}}
    schedule = world.schedule(world.phase("2028-01-01", prices=(price,)), start_date=at("2027-03-01"), default_settings=days)
    world.sdk.v1.prices.update(price, {"active": False})
    before = held(world, schedule)
    phase = world.phase("2028-01-01", prices=(price,), start_date=at("2027-02-01"))
    phase["items"][0]["quantity"] = 2
    invoice = preview(world, phase, schedule=schedule.id)
    assert (invoice["total"], invoice["due_date"], invoice["customer"]) == (2000, at("2027-02-15"), schedule.customer)
    assert held(world, schedule) == before
    other = refusal(preview, world, phase, schedule=schedule.id, customer=world.customer())
    assert (other.http_status, other.param) == (400, "customer")
    euros = world.phase("2028-01-01", start_date=at("2027-02-01"), prices=(world.price(currency="eur"),))
    wrong = refusal(preview, world, euros, schedule=schedule.id)
    assert wrong.param == "schedule_details[phases][0][items][0][price]"
    assert "with currency usd." in refusal(preview, world, euros, customer=schedule.customer).user_message
    world.sdk.v1.subscription_schedules.cancel(schedule.id)
    assert refusal(preview, world, phase, schedule=schedule.id).code == "invoice_upcoming_none"


def test_the_last_cycle_is_whole_if_the_subscription_goes_on(world: World) -> None:
    phase = world.phase("2027-01-15")
    assert preview(world, phase)["total"] == 1000
    assert preview(world, phase, details={"end_behavior": "release"})["total"] == 1000
    assert preview(world, phase, world.phase("2028-01-01"), details={"end_behavior": "cancel"})["total"] == 1000
    assert refusal(preview, world, phase, details={"end_behavior": "cancel"}).http_status == 501


def test_what_would_be_prorated_or_is_not_modelled(world: World) -> None:
    phase, coupon, customer = world.phase("2028-01-01"), world.coupon(), world.customer()
    active = world.schedule(phase)
    assert refusal(preview, world, {**phase, "start_date": world.now - 1}).http_status == 501
    assert refusal(preview, world, {**phase, "discounts": [{"coupon": coupon}, {"coupon": world.coupon()}]}).http_status == 501
    expiring = {**phase, "start_date": at("2027-06-01"), "discounts": [{"coupon": world.coupon(redeem_by=at("2027-05-01"))}]}
    assert refusal(preview, world, expiring).http_status == 501
    assert refusal(preview, world, phase, preview_mode="recurring").http_status == 501
    assert refusal(preview, world, phase, customer_details={"tax_exempt": "none"}).http_status == 501
    create = world.sdk.v1.invoices.create_preview
    assert refusal(create, {"customer": customer}).http_status == 501
    assert refusal(create, {"subscription": active.subscription}).http_status == 501


@pytest.mark.parametrize(
    ("change", "message", "param"),
    [
        ({"end_date": at("2027-01-01")}, "must be after its `start_date`", "[0][end_date]"),
        ({"iterations": 1}, "Received unknown parameter", "[0][iterations]"),
        ({"items": [{"price": "price_none"}]}, "No such price: 'price_none'", "[0][items][0][price]"),
        ({"items": []}, "Missing required param: schedule_details[phases][0][items].", "[0][items]"),
        ({"discounts": [{"coupon": "none"}]}, "No such coupon: 'none'", "[0][discounts][0][coupon]"),
        ({"discounts": [{"discount": "di_1"}]}, "No such discount: 'di_1'", "[0][discounts][0][discount]"),
        ({"add_invoice_items": [credit("prod_none")]}, "No such product", "[0][add_invoice_items][0][price_data][product]"),
        ({"collection_method": "send_invoice"}, "You must specify `days_until_due`", "[0][invoice_settings][days_until_due]"),
        ({"duration": {"interval": "month"}}, "You may only specify one of these", "[0]"),
    ],
)
def test_what_the_schedule_itself_would_be_refused_for(world: World, change: dict[str, Any], message: str, param: str) -> None:
    refused = refusal(preview, world, {**world.phase("2028-01-01"), **change})
    assert message in refused.user_message
    assert (refused.http_status, refused.param) == (400, f"schedule_details[phases]{param}")


def test_a_preview_needs_a_customer_and_an_anchor(world: World) -> None:
    create, phase = world.sdk.v1.invoices.create_preview, world.phase("2028-01-01")
    assert refusal(create, {"schedule_details": {"phases": [phase]}}).param == "customer"
    anchorless = refusal(create, {"customer": world.customer(), "schedule_details": {"phases": [phase]}})
    assert "missing at least one phase with a `start_date`" in anchorless.user_message
    assert refusal(preview, world, phase, customer="cus_none").param == "customer"
    assert refusal(preview, world, phase, schedule="sub_sched_none").param == "schedule"


def test_the_parameters_alone_can_be_checked_without_a_service() -> None:
    phase = {"items": [{"price": "p"}], "end_date": 2}
    with pytest.raises(StripeError) as refused:
        check("invoices.create_preview", {"customer": "c", "schedule_details": {"phases": [phase]}})
    assert refused.value.param == "schedule_details[phases]"


def test_the_customer_can_be_expanded(world: World) -> None:
    customer = world.customer(name="A")
    assert preview(world, world.phase("2028-01-01"), customer=customer, expand=["customer"])["customer"]["id"] == customer
