"""One-time items of phases: what is kept of them, and what a subscription is given when it enters a phase."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.sandbox.stripe_changes import credit, held, subscription, unmodelled, update
from tests.sandbox.stripe_world import ACCOUNT, World, at, reference, refusal


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def product(world: World) -> str:
    return world.sdk.v1.products.create({"name": "Adjustment"}).id


def given(world: World) -> list[tuple[int, int]]:
    """Phase start and amount of all that was given."""
    return [(item.phase_start, item.amount) for item in world.emulator.invoice_items(ACCOUNT)]


def at_time(text: str) -> dict[str, Any]:
    return {"type": "timestamp", "timestamp": at(text)}


def test_price_data_makes_an_inactive_price(world: World, product: str) -> None:
    period = {"start": {"type": "phase_start"}, "end": at_time("2027-02-01")}
    item = credit(product, -500, quantity=2, period=period, metadata={"line": "802"}, discountable=False)
    schedule = world.schedule(world.phase("2028-01-01", add_invoice_items=[item]))
    [shown] = held(world, schedule)["phases"][0]["add_invoice_items"]
    price = world.sdk.v1.prices.retrieve(shown.pop("price"))
    assert shown == {
        "discountable": False,
        "discounts": [],
        "metadata": {"line": "802"},
        "period": period,
        "quantity": 2,
        "tax_rates": [],
    }
    assert (price.active, price.type, price.unit_amount, price.currency) == (False, "one_time", -500, "usd")
    assert (price.product, price.recurring) == (product, None)
    assert world.events()[-3:] == ["price.created", "customer.subscription.created", "subscription_schedule.created"]
    expand = ["phases.add_invoice_items.price"]
    [phase] = world.sdk.v1.subscription_schedules.retrieve(schedule.id, {"expand": expand}).to_dict()["phases"]
    assert phase["add_invoice_items"][0]["price"] == price.to_dict()


def test_inline_prices_are_listed_among_the_inactive_ones_only(world: World, product: str) -> None:
    world.schedule(world.phase("2028-01-01", add_invoice_items=[credit(product)]))
    archived = world.sdk.v1.prices.create({"product": product, "currency": "usd", "unit_amount": 1, "active": False}).id
    prices = world.sdk.v1.prices
    assert [price.id for price in prices.list({"product": product}).data] == [archived]
    assert len(prices.list({"product": product, "active": False}).data) == 2


def test_fractions_are_rounded_with_their_quantity(world: World, product: str) -> None:
    def item(amount: str, quantity: int) -> dict[str, Any]:
        data = {"currency": "usd", "product": product, "unit_amount_decimal": Decimal(amount)}
        return {"price_data": data, "quantity": quantity}

    amounts = [item("14.285714285714", 7), item("0.5", 1), item("-0.5", 1), item("-0.4", 1)]
    schedule = world.schedule(world.phase("2028-01-01", add_invoice_items=amounts))
    assert [amount for _, amount in given(world)] == [100, 1, -1, 0]
    price = world.sdk.v1.prices.retrieve(held(world, schedule)["phases"][0]["add_invoice_items"][1]["price"])
    assert (price.unit_amount, price.unit_amount_decimal) == (None, Decimal("0.5"))


def test_items_are_given_at_the_start_and_at_each_transition(world: World, product: str) -> None:
    setup = world.price(None, unit_amount=50_000)
    first = world.phase("2027-06-15", add_invoice_items=[{"price": setup, "quantity": 2, "metadata": {"line": "802"}}])
    last = world.phase("2028-01-01", add_invoice_items=[credit(product, -500)])
    schedule = world.schedule(first, world.phase("2027-09-01"), last, start_date=at("2027-03-01"))
    assert world.emulator.invoice_items(ACCOUNT) == []
    world.move_to("2027-06-20")
    [item] = world.emulator.invoice_items(ACCOUNT)
    assert (item.price, item.quantity, item.amount, item.currency) == (setup, 2, 100_000, "usd")
    assert (item.subscription, item.phase_start) == (held(world, schedule)["subscription"], at("2027-03-01"))
    assert (item.metadata, item.discountable) == ({"line": "802"}, True)
    world.move_to("2028-06-01")
    assert given(world) == [(at("2027-03-01"), 100_000), (at("2027-09-01"), -500)]


def test_periods(world: World, product: str) -> None:
    def item(start: Any, end: Any) -> dict[str, Any]:
        return credit(product, period={"start": start, "end": end})

    phase_start, phase_end = {"type": "phase_start"}, {"type": "phase_end"}
    items = [
        item(phase_start, phase_end),
        item(phase_start, {"type": "min_item_period_end"}),
        item({"type": "max_item_period_start"}, phase_end),
        item(at_time("2026-12-01"), at_time("2026-12-02")),
        credit(product),
    ]
    prices = (world.price(), world.price("year"))
    schedule = world.schedule(
        world.phase("2027-03-10", prices=prices), world.phase("2027-05-01", prices=prices, add_invoice_items=items)
    )
    world.move_to("2027-03-10")
    assert [(item.period_start, item.period_end) for item in world.emulator.invoice_items(ACCOUNT)] == [
        (at("2027-03-10"), at("2027-05-01")),
        (at("2027-03-10"), at("2027-04-01")),
        (at("2027-03-01"), at("2027-05-01")),
        (at("2026-12-01"), at("2026-12-02")),
        (at("2027-03-01"), at("2027-04-01")),
    ]
    assert subscription(world, schedule)["cancel_at"] == at("2027-05-01")


def test_a_phase_that_begins_now_gives_its_items(world: World, product: str) -> None:
    price = world.price()
    schedule = world.schedule(world.phase("2028-01-01", prices=(price,)))
    world.move_to("2027-03-10")
    ending = world.phase(prices=(price,), start_date=world.now, end_date="now")
    following = world.phase("2028-01-01", prices=(price,), start_date="now", add_invoice_items=[credit(product, 6000)])
    update(world, schedule, ending, following)
    assert given(world) == [(at("2027-03-10"), 6000)]
    # It is the current phase from now on: the same items are no news, none is none, and nothing is taken back.
    again = {**following, "start_date": at("2027-03-10")}
    update(world, schedule, again)
    update(world, schedule, {name: value for name, value in again.items() if name != "add_invoice_items"})
    assert held(world, schedule)["phases"][1]["add_invoice_items"] == []
    assert unmodelled(update, world, schedule, again) == "phases[0][add_invoice_items]"
    assert given(world) == [(at("2027-03-10"), 6000)]


def test_the_current_phase_takes_the_items_that_it_has(world: World, product: str) -> None:
    setup = world.price(None)
    items = [{"price": setup}, credit(product, -500)]
    phase = world.phase("2028-01-01", add_invoice_items=items)
    schedule = world.schedule(phase)
    world.move_to("2027-02-01")
    current = {**phase, "start_date": world.now}
    update(world, schedule, current)
    made = held(world, schedule)["phases"][0]["add_invoice_items"][1]["price"]
    update(world, schedule, {**current, "add_invoice_items": [{"price": setup}, {"price": made}]})
    # The same amount by another price is another item.
    twin = world.sdk.v1.prices.create({"product": product, "currency": "usd", "unit_amount": 1000}).id
    for changed in (
        [{"price": setup}, credit(product, -501)],
        [{"price": setup, "quantity": 2}, credit(product, -500)],
        [{"price": setup}],
        [*items, credit(product, 1)],
        [{"price": twin}, credit(product, -500)],
    ):
        sent = {**current, "add_invoice_items": changed}
        assert unmodelled(update, world, schedule, sent) == "phases[0][add_invoice_items]"
    assert len(given(world)) == 2


def test_an_edit_of_the_subscription_gives_nothing_again(world: World, product: str) -> None:
    schedule = world.schedule(world.phase("2028-01-01", add_invoice_items=[credit(product)]))
    [item] = subscription(world, schedule)["items"]["data"]
    world.sdk.v1.subscriptions.update(reference(schedule.subscription), {"items": [{"id": item["id"], "quantity": 4}]})
    assert len(given(world)) == 1


def test_before_the_start_they_can_change(world: World, product: str) -> None:
    schedule = world.schedule(world.phase("2028-01-01", add_invoice_items=[credit(product)]), start_date=at("2027-06-01"))
    update(world, schedule, world.phase("2028-01-01", start_date="now", add_invoice_items=[credit(product, 700)]))
    assert given(world) == [(world.now, 700)]


def test_accounts_are_apart(world: World, product: str) -> None:
    world.schedule(world.phase("2028-01-01", add_invoice_items=[credit(product)]))
    assert world.emulator.invoice_items("acct_two") == []


@pytest.mark.parametrize(
    ("change", "message", "param"),
    [
        ({"price_data": {"product": "prod_none"}}, "No such product: 'prod_none'", "[price_data][product]"),
        ({"price_data": {"currency": "eur"}}, "mismatch in currency field", "[price_data][currency]"),
        ({"price_data": {"currency": "USD"}}, "Invalid currency: USD", "[price_data][currency]"),
        ({"price_data": {"currency": "kwd"}}, "multiples of 10", "[price_data][unit_amount]"),
        ({"price_data": {"unit_amount": Decimal("1.5")}}, "Invalid integer: 1.5", "[price_data][unit_amount]"),
        ({"price_data": {"unit_amount": None}}, "Missing required param", "[price_data][unit_amount]"),
        ({"price_data": {"unit_amount_decimal": Decimal(1)}}, "You may only specify one", "[price_data][unit_amount]"),
        (
            {"price_data": {"unit_amount": None, "unit_amount_decimal": Decimal("-0.1234567890123")}},
            "at maximum 12 decimal places",
            "[price_data][unit_amount_decimal]",
        ),
        ({"price_data": {"recurring": {"interval": "month"}}}, "Received unknown parameter", "[price_data][recurring]"),
        ({"price": "price_1"}, "You may only specify one of these parameters: price, price_data.", ""),
        ({"quantity": -1}, "greater than or equal to 0", "[quantity]"),
        ({"period": {"start": {"type": "phase_start"}}}, "Missing required param", "[period][end]"),
        (
            {"period": {"start": {"type": "timestamp"}, "end": {"type": "phase_end"}}},
            "Missing required param",
            "[period][start][timestamp]",
        ),
        (
            {"period": {"start": {"type": "phase_start", "timestamp": 1}, "end": {"type": "phase_end"}}},
            "cannot be set with `type=phase_start`",
            "[period][start][timestamp]",
        ),
        (
            {"period": {"start": {"type": "timestamp", "timestamp": 10**12}, "end": {"type": "phase_end"}}},
            "Invalid timestamp",
            "[period][start][timestamp]",
        ),
        (
            {"period": {"start": {"type": "phase_start"}, "end": at_time("2026-12-31")}},
            "must not be before its start",
            "[period][end]",
        ),
        ({"period": {"start": at_time("2028-01-02"), "end": {"type": "phase_end"}}}, "must not be before", "[period][end]"),
    ],
)
def test_items_that_are_refused(world: World, product: str, change: dict[str, Any], message: str, param: str) -> None:
    data = {"currency": "usd", "product": product, "unit_amount": -505, **change.get("price_data", {})}
    item = {**change, "price_data": {name: value for name, value in data.items() if value is not None}}
    if "price" in item:
        item["price"] = world.price(None)
    phase = world.phase("2028-01-01", add_invoice_items=[item])
    prices, path = len(world.emulator.objects(ACCOUNT, "price")), f"phases[0][add_invoice_items][0]{param}"
    refused = refusal(world.schedule, phase)
    assert message in refused.user_message
    assert (refused.http_status, refused.param) == (400, path)
    schedule = world.schedule(world.phase("2028-01-01"), start_date=at("2027-01-01") + 1)
    assert refusal(update, world, schedule, {**phase, "start_date": world.now}).param == path
    assert len(world.emulator.objects(ACCOUNT, "price")) == prices + 1


def test_an_archived_product_takes_no_new_price(world: World, product: str) -> None:
    world.sdk.v1.products.update(product, {"active": False})
    refused = refusal(world.schedule, world.phase("2028-01-01", add_invoice_items=[credit(product)]))
    assert (refused.code, refused.param) == ("product_inactive", "phases[0][add_invoice_items][0][price_data][product]")


@pytest.mark.parametrize("change", [{"discounts": [{"coupon": "c"}]}, {"tax_rates": ["txr_1"]}])
def test_what_is_not_modelled(world: World, product: str, change: dict[str, Any]) -> None:
    phase = world.phase("2028-01-01", add_invoice_items=[credit(product, **change)])
    [name] = change
    assert unmodelled(world.schedule, phase) == f"phases[0][add_invoice_items][0][{name}]"
