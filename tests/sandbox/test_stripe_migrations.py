"""Schedules that are made from a subscription, and what can be done with them afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
import stripe
from stripe.params import SubscriptionScheduleCreateParams

from tests.sandbox.stripe_changes import coupon_ids, held, quantities, spans, subscription, update
from tests.sandbox.stripe_world import World, at, reference, refusal


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def released(world: World, *prices: str, **params: Any) -> str:
    """A subscription that a schedule has left behind. It is 2027-03-10 then."""
    schedule = world.schedule(world.phase("2028-01-01", prices=prices, **params))
    world.move_to("2027-03-10")
    return reference(world.sdk.v1.subscription_schedules.release(schedule.id).released_subscription)


def migrate(world: World, subscription_id: str, **params: Any) -> stripe.SubscriptionSchedule:
    sent = {"from_subscription": subscription_id, **params}
    return world.sdk.v1.subscription_schedules.create(cast("SubscriptionScheduleCreateParams", sent))


def test_it_says_what_the_subscription_is(world: World) -> None:
    coupon, on_item, kept, added = world.coupon(), world.coupon(), world.price(), world.price()
    days: dict[str, Any] = {"collection_method": "send_invoice", "invoice_settings": {"days_until_due": 30}}
    subscription_id = released(world, kept, added, discounts=[{"coupon": coupon}], metadata={"m": "1"}, **days)
    first, _ = world.sdk.v1.subscriptions.retrieve(subscription_id)["items"].data
    items: Any = [{"id": first.id, "quantity": 3, "discounts": [{"coupon": on_item}]}]
    world.sdk.v1.subscriptions.update(subscription_id, {"items": items})
    before = world.sdk.v1.subscriptions.retrieve(subscription_id).to_dict()
    schedule = migrate(world, subscription_id, expand=["subscription"]).to_dict()
    assert schedule["subscription"] == {**before, "schedule": schedule["id"]}
    assert (schedule["status"], schedule["end_behavior"], schedule["metadata"]) == ("active", "release", {})
    assert schedule["billing_mode"] == before["billing_mode"]
    period = {"start_date": at("2027-03-01"), "end_date": at("2027-04-01")}
    assert schedule["current_phase"] == period
    [phase] = schedule["phases"]
    assert {name: phase[name] for name in period} == period
    assert phase["discounts"] == [{"coupon": None, "discount": before["discounts"][0], "promotion_code": None}]
    one, two = phase["items"]
    assert (one["price"], one["quantity"], two["price"], two["quantity"]) == (kept, 3, added, 1)
    assert [entry["discount"] for entry in one["discounts"]] == before["items"]["data"][0]["discounts"]
    assert (phase["currency"], phase["metadata"], two["discounts"]) == ("usd", {}, [])
    assert world.events()[-2:] == ["customer.subscription.updated", "subscription_schedule.created"]
    # What the default settings say, later updates apply.
    migrated = world.schedule_of(schedule["id"])
    update(world, migrated, metadata={"k": "v"})
    after = subscription(world, migrated)
    assert (after["collection_method"], after["days_until_due"], after["metadata"]) == ("send_invoice", 30, {"m": "1"})


def test_it_is_updated_like_any_other(world: World) -> None:
    coupon, price = world.coupon(max_redemptions=1), world.price()
    schedule = migrate(world, released(world, price, discounts=[{"coupon": coupon}]))
    own = subscription(world, schedule)["discounts"][0]["id"]
    kept = world.phase(prices=(price,), discounts=[{"discount": own}])
    ending = {**kept, "start_date": at("2027-03-01"), "end_date": "now"}
    following = {**kept, "start_date": "now", "end_date": at("2027-06-01")}
    last = world.phase("2028-01-01", prices=(price,))
    changed = update(world, schedule, ending, following, last, end_behavior="cancel")
    split = at("2027-03-10")
    assert spans(changed) == [(at("2027-03-01"), split), (split, at("2027-06-01")), (at("2027-06-01"), at("2028-01-01"))]
    assert coupon_ids(subscription(world, schedule)["discounts"]) == [coupon]
    world.move_to("2027-06-01")
    assert subscription(world, schedule)["discounts"] == []
    world.move_to("2028-01-01")
    assert held(world, schedule)["status"] == "completed"


def test_it_is_split_by_an_edit(world: World) -> None:
    schedule = migrate(world, released(world, world.price(), discounts=[{"coupon": world.coupon()}]))
    [item] = subscription(world, schedule)["items"]["data"]
    world.sdk.v1.subscriptions.update(reference(schedule.subscription), {"items": [{"id": item["id"], "quantity": 4}]})
    before, after = held(world, schedule)["phases"]
    assert (before["discounts"], after["items"][0]["quantity"]) == (after["discounts"], 4)


def test_its_time_ends_with_the_billing_period(world: World) -> None:
    subscription_id = released(world, price := world.price())
    schedule = migrate(world, subscription_id)
    world.move_to("2027-04-10")
    ended = world.schedule_of(schedule.id)
    assert (ended.status, ended.released_subscription, ended.released_at) == ("released", subscription_id, at("2027-04-01"))
    later = world.sdk.v1.subscriptions.retrieve(subscription_id)
    assert (later.status, later.schedule, quantities(later.to_dict())) == ("active", None, {price: 1})
    again = migrate(world, subscription_id)
    assert spans(again.to_dict()) == [(at("2027-04-01"), at("2027-05-01"))]


@pytest.mark.parametrize(("verb", "status"), [("cancel", "canceled"), ("release", "active")])
def test_it_is_ended_like_any_other(world: World, verb: str, status: str) -> None:
    subscription_id = released(world)
    schedule = migrate(world, subscription_id)
    getattr(world.sdk.v1.subscription_schedules, verb)(schedule.id)
    assert world.sdk.v1.subscriptions.retrieve(subscription_id).status == status


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"metadata": {"k": "v"}, "phases": []}, "phases"),
        ({"metadata": {"k": "v"}}, "metadata"),
        ({"end_behavior": "cancel"}, "end_behavior"),
        ({"customer": "cus_1"}, "customer"),
        ({"start_date": "now"}, "start_date"),
        ({"default_settings": {"description": "D"}}, "default_settings"),
        ({"billing_mode": {"type": "flexible"}}, "billing_mode"),
    ],
)
def test_nothing_goes_beside_the_subscription(world: World, params: dict[str, Any], name: str) -> None:
    subscription_id = released(world)
    sent = {**params, **({"phases": [world.phase("2028-01-01")]} if "phases" in params else {})}
    events = len(world.events())
    refused = refusal(migrate, world, subscription_id, **sent)
    assert (refused.http_status, refused.param) == (400, name)
    assert refused.user_message == f"You cannot set `{name}` if `from_subscription` is set."
    assert len(world.events()) == events
    assert world.sdk.v1.subscriptions.retrieve(subscription_id).schedule is None


def test_a_subscription_that_has_a_schedule(world: World) -> None:
    schedule = world.schedule(world.phase("2028-01-01"))
    refused = refusal(migrate, world, reference(schedule.subscription))
    assert refused.user_message == f"You cannot migrate a subscription that is already attached to a schedule: {schedule.id}"
    assert (refused.http_status, refused.param) == (400, "from_subscription")


def test_a_subscription_that_is_over_or_absent(world: World) -> None:
    subscription_id = released(world)
    world.sdk.v1.subscriptions.cancel(subscription_id)
    assert refusal(migrate, world, subscription_id).http_status == 400
    refused = refusal(migrate, world, "sub_none")
    assert (refused.http_status, refused.code, refused.param) == (400, "resource_missing", "from_subscription")


def test_what_is_not_modelled(world: World) -> None:
    assert refusal(migrate, world, released(world, world.price(), world.price("year"))).http_status == 501
    ending = world.schedule(world.phase("2028-01-01"))
    kept = world.sdk.v1.subscription_schedules.release(ending.id, {"preserve_cancel_date": True})
    assert refusal(migrate, world, reference(kept.released_subscription)).http_status == 501
