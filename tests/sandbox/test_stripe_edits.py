"""Subscriptions that people change or cancel themselves, past their schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import stripe
from stripe.params import SubscriptionUpdateParams

from tests.sandbox.stripe_changes import coupon_ids, held, quantities, spans, subscription, update
from tests.sandbox.stripe_world import World, at, refusal


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def schedule(world: World) -> stripe.SubscriptionSchedule:
    """Until June, then until 2028, both with one item. It is 2027-03-10."""
    price = world.price()
    first = world.phase("2027-06-01", prices=(price,), metadata={"p": "1"}, add_invoice_items=[{"price": world.price(None)}])
    first["items"][0]["metadata"] = {"line": "802"}
    made = world.schedule(first, world.phase("2028-01-01", prices=(price,)))
    world.move_to("2027-03-10")
    return made


SPLIT = at("2027-03-10")


def edit(world: World, schedule: stripe.SubscriptionSchedule, **params: Any) -> dict[str, Any]:
    """The subscription of a schedule after a direct edit, as plain data."""
    subscription_id = held(world, schedule)["subscription"]
    return world.sdk.v1.subscriptions.update(subscription_id, cast("SubscriptionUpdateParams", params)).to_dict()


def only_item(world: World, schedule: stripe.SubscriptionSchedule) -> dict[str, Any]:
    [item] = subscription(world, schedule)["items"]["data"]
    found: dict[str, Any] = item
    return found


def test_another_quantity_splits_the_current_phase(world: World, schedule: stripe.SubscriptionSchedule) -> None:
    item, before = only_item(world, schedule), held(world, schedule)
    edited = edit(world, schedule, items=[{"id": item["id"], "quantity": 7}], proration_behavior="none")
    assert quantities(edited) == {item["price"]["id"]: 7}
    assert edited["items"]["data"][0]["id"] == item["id"]
    after = held(world, schedule)
    assert spans(after) == [(world.now, SPLIT), (SPLIT, at("2027-06-01")), (at("2027-06-01"), at("2028-01-01"))]
    assert after["current_phase"] == {"start_date": SPLIT, "end_date": at("2027-06-01")}
    first, second, third = after["phases"]
    assert {**first, "end_date": at("2027-06-01")} == before["phases"][0]
    assert third == before["phases"][1]
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"start_date", "end_date", "items", "add_invoice_items"}
    assert second["items"] == [{**first["items"][0], "quantity": 7}]
    assert world.events()[-2:] == ["customer.subscription.updated", "subscription_schedule.updated"]
    world.move_to("2027-06-01")
    assert quantities(subscription(world, schedule)) == {item["price"]["id"]: 1}


def test_an_edit_in_the_second_of_the_start_changes_the_phase_itself(world: World) -> None:
    schedule = world.schedule(world.phase("2028-01-01", billing_cycle_anchor="phase_start"))
    edit(world, schedule, items=[{"id": only_item(world, schedule)["id"], "quantity": 2}])
    [phase] = held(world, schedule)["phases"]
    assert (phase["items"][0]["quantity"], phase["billing_cycle_anchor"]) == (2, "phase_start")


def test_two_edits_split_twice_and_an_update_replaces_what_is_left(world: World, schedule: stripe.SubscriptionSchedule) -> None:
    item = only_item(world, schedule)
    edit(world, schedule, items=[{"id": item["id"], "quantity": 7}])
    world.move_to("2027-04-10")
    edit(world, schedule, items=[{"id": item["id"], "quantity": 8}])
    second = at("2027-04-10")
    assert [phase["items"][0]["quantity"] for phase in held(world, schedule)["phases"]] == [1, 7, 8, 1]
    repaired = update(world, schedule, world.phase("2028-01-01", prices=(item["price"]["id"],), start_date=second))
    assert spans(repaired) == [(world.now, SPLIT), (SPLIT, second), (second, at("2028-01-01"))]
    assert quantities(subscription(world, schedule)) == {item["price"]["id"]: 1}


def test_items_can_be_added_exchanged_and_taken_away(world: World, schedule: stripe.SubscriptionSchedule) -> None:
    item, added, exchanged = only_item(world, schedule), world.price(), world.price()
    edit(world, schedule, items=[{"price": added, "quantity": 2, "metadata": {"by": "hand"}}])
    old, new = subscription(world, schedule)["items"]["data"]
    assert (old["id"], new["price"]["id"], new["quantity"]) == (item["id"], added, 2)
    assert held(world, schedule)["phases"][1]["items"][1]["metadata"] == {"by": "hand"}
    world.move_to("2027-03-11")
    edit(world, schedule, items=[{"id": new["id"], "price": exchanged}, {"id": old["id"], "deleted": True}])
    after = only_item(world, schedule)
    assert (after["id"], after["price"]["id"], after["quantity"]) == (new["id"], exchanged, 1)
    assert [entry["price"] for entry in held(world, schedule)["phases"][2]["items"]] == [exchanged]


def test_another_interval_resets_the_anchor(world: World, schedule: stripe.SubscriptionSchedule) -> None:
    edited = edit(world, schedule, items=[{"id": only_item(world, schedule)["id"], "price": world.price("year")}])
    assert edited["billing_cycle_anchor"] == SPLIT
    assert edited["items"]["data"][0]["current_period_end"] == at("2028-03-10")


def test_metadata_does_not_reach_the_phase(world: World, schedule: stripe.SubscriptionSchedule) -> None:
    before, item = held(world, schedule), only_item(world, schedule)
    edited = edit(world, schedule, metadata={"p": "", "q": "2"}, items=[{"id": item["id"], "metadata": {"line": "x"}}])
    assert edited["metadata"] == {"q": "2"}
    assert only_item(world, schedule)["metadata"] == {"line": "x"}
    assert held(world, schedule) == before
    assert world.events()[-1] == "customer.subscription.updated"
    events = len(world.events())
    edit(world, schedule, items=[{"id": item["id"], "quantity": 1}], discounts="")
    assert (held(world, schedule), len(world.events())) == (before, events)


def test_discounts_split_the_phase_too(world: World, schedule: stripe.SubscriptionSchedule) -> None:
    coupon, on_item, item = world.coupon(), world.coupon(), only_item(world, schedule)
    edit(world, schedule, discounts=[{"coupon": coupon}], items=[{"id": item["id"], "discounts": [{"coupon": on_item}]}])
    after = subscription(world, schedule)
    assert coupon_ids(after["discounts"]) == [coupon]
    assert coupon_ids(after["items"]["data"][0]["discounts"]) == [on_item]
    phase = held(world, schedule)["phases"][1]
    assert phase["discounts"] == [{"coupon": coupon, "discount": None, "promotion_code": None}]
    assert phase["items"][0]["discounts"] == [{"coupon": on_item, "discount": None, "promotion_code": None}]
    assert [world.sdk.v1.coupons.retrieve(name).times_redeemed for name in (coupon, on_item)] == [1, 1]
    # One that is named is kept, another edit leaves it, and the empty string takes it away.
    phases, [own] = held(world, schedule)["phases"], after["discounts"]
    edit(world, schedule, discounts=[{"discount": own["id"]}])
    assert held(world, schedule)["phases"] == phases
    world.move_to("2027-03-11")
    edit(world, schedule, items=[{"id": item["id"], "quantity": 2}])
    assert subscription(world, schedule)["discounts"] == after["discounts"]
    world.move_to("2027-03-12")
    assert edit(world, schedule, discounts="")["discounts"] == []
    assert [len(phase["discounts"]) for phase in held(world, schedule)["phases"]] == [0, 1, 1, 0, 0]


@pytest.mark.parametrize("change", [{"cancel_at": at("2027-12-01")}, {"cancel_at": ""}, {"cancel_at_period_end": True}])
def test_its_end_is_up_to_the_schedule(world: World, schedule: stripe.SubscriptionSchedule, change: dict[str, Any]) -> None:
    refused = refusal(edit, world, schedule, **change)
    assert refused.http_status == 400
    assert refused.user_message == (
        f"The subscription is managed by the subscription schedule `{schedule.id}`, and updating any cancelation behavior "
        "directly is not allowed. Please update the schedule instead."
    )


Items = Callable[[World, str], list[dict[str, Any]]]


@pytest.mark.parametrize(
    ("items", "message", "param"),
    [
        (lambda world, item: [{"id": "si_none"}], "No such subscription item: 'si_none'", "items[0][id]"),
        (lambda world, item: [{"price": "price_none"}], "No such price: 'price_none'", "items[0][price]"),
        (lambda world, item: [{"quantity": 2}], "Missing required param: items[0][price].", "items[0][price]"),
        (lambda world, item: [{"id": item, "quantity": -1}], "greater than or equal to 0", "items[0][quantity]"),
        (lambda world, item: [{"id": item, "deleted": True}], "must have at least one active plan", "items"),
        (lambda world, item: [{"price": world.price(None)}], "`type=one_time`", "items[0][price]"),
        (lambda world, item: [{"price": world.price(active=False)}], "is inactive", "items[0][price]"),
        (lambda world, item: [{"price": world.price(currency="eur")}], "mismatch in currency field", "items[0][price]"),
        (lambda world, item: [{"price": world.price("week")}], "mismatch in interval field", "items"),
        (lambda world, item: [{"price": world.price()}] * 2, "Cannot add multiple subscription items", "items"),
        (lambda world, item: [{"price": world.price()} for _ in range(20)], "already has the maximum 20 items", "items"),
        (lambda world, item: [{"id": item}] * 21, "at most 20 items", "items"),
        (
            lambda world, item: [{"id": item, "discounts": [{"coupon": "none"}]}],
            "No such coupon: 'none'",
            "items[0][discounts][0][coupon]",
        ),
        (
            lambda world, item: [{"id": item, "discounts": [{"discount": "di_none"}]}],
            "No such discount: 'di_none'",
            "items[0][discounts][0][discount]",
        ),
    ],
)
def test_edits_that_are_refused(
    world: World, schedule: stripe.SubscriptionSchedule, items: Items, message: str, param: str
) -> None:
    sent = items(world, only_item(world, schedule)["id"])
    before, events = (held(world, schedule), subscription(world, schedule)), len(world.events())
    refused = refusal(edit, world, schedule, items=sent)
    assert message in refused.user_message
    assert (refused.http_status, refused.param) == (400, param)
    assert (held(world, schedule), subscription(world, schedule), len(world.events())) == (*before, events)


def test_coupons_that_cannot_be_redeemed(world: World, schedule: stripe.SubscriptionSchedule) -> None:
    coupon, item = world.coupon(max_redemptions=1), only_item(world, schedule)["id"]
    twice = {"discounts": [{"coupon": coupon}], "items": [{"id": item, "discounts": [{"coupon": coupon}]}]}
    assert refusal(edit, world, schedule, **twice).param == "discounts[0][coupon]"
    edit(world, schedule, discounts=[{"coupon": coupon}])
    assert "is used up" in refusal(edit, world, schedule, discounts=[{"coupon": coupon}]).user_message


@pytest.mark.parametrize(
    "change", [{"trial_end": "now"}, {"default_tax_rates": ["txr_1"]}, {"discounts": [{"promotion_code": "promo_1"}]}]
)
def test_what_is_not_modelled(world: World, schedule: stripe.SubscriptionSchedule, change: dict[str, Any]) -> None:
    assert refusal(edit, world, schedule, **change).http_status == 501


def test_a_subscription_without_a_schedule(world: World, schedule: stripe.SubscriptionSchedule) -> None:
    released = world.sdk.v1.subscription_schedules.release(schedule.id).released_subscription
    assert isinstance(released, str)
    subscriptions = world.sdk.v1.subscriptions
    [item] = subscriptions.retrieve(released)["items"].data
    edited = subscriptions.update(released, {"items": [{"id": item.id, "quantity": 3}]}).to_dict()
    assert quantities(edited) == {item.price.id: 3}
    assert len(held(world, schedule)["phases"]) == 2
    assert world.events()[-1] == "customer.subscription.updated"
    assert refusal(subscriptions.update, released, {"cancel_at_period_end": True}).http_status == 501


def test_cancelling_the_subscription_cancels_its_schedule(world: World, schedule: stripe.SubscriptionSchedule) -> None:
    subscription_id = held(world, schedule)["subscription"]
    canceled = world.sdk.v1.subscriptions.cancel(subscription_id, {"invoice_now": False, "prorate": False})
    assert (canceled.status, canceled.canceled_at) == ("canceled", SPLIT)
    after = held(world, schedule)
    assert (after["status"], after["canceled_at"], after["current_phase"]) == ("canceled", SPLIT, None)
    assert world.events()[-2:] == ["customer.subscription.deleted", "subscription_schedule.canceled"]
    again = refusal(world.sdk.v1.subscriptions.cancel, subscription_id)
    assert (again.http_status, again.code) == (404, "resource_missing")
    refused = refusal(edit, world, schedule, items=[{"price": world.price()}])
    assert (refused.http_status, refused.code) == (400, "invalid_canceled_subscription_fields")
    assert edit(world, schedule, metadata={"k": "v"})["metadata"]["k"] == "v"
    events = len(world.events())
    world.move_to("2029-01-01")
    assert len(world.events()) == events


def test_cancelling_what_no_schedule_holds(world: World, schedule: stripe.SubscriptionSchedule) -> None:
    released = world.sdk.v1.subscription_schedules.release(schedule.id).released_subscription
    assert isinstance(released, str)
    assert world.sdk.v1.subscriptions.cancel(released).status == "canceled"
    assert held(world, schedule)["status"] == "released"
