"""What time does to schedules and their subscriptions, and how they are ended by request."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from stripe.params import SubscriptionRetrieveParams

from tests.sandbox.stripe_world import ACCOUNT, World, at, expanded, reference, refusal, there


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def test_a_future_start_becomes_active_when_the_clock_moves(world: World) -> None:
    schedule = world.schedule(world.phase("2028-01-01"), start_date=at("2027-03-01"))
    assert (schedule.status, schedule.current_phase, schedule.subscription) == ("not_started", None, None)
    world.move_to("2027-02-28T23:59:59")
    assert world.schedule_of(schedule.id).status == "not_started"
    world.move_to("2027-05-01")
    started = world.schedule_of(schedule.id)
    assert (started.status, there(started.current_phase).start_date) == ("active", at("2027-03-01"))
    subscription = world.subscription_of(started)
    # It started when it was due, not when the clock was looked at.
    assert (subscription.created, subscription.start_date) == (at("2027-03-01"), at("2027-03-01"))
    created = next(e for e in world.emulator.objects(ACCOUNT, "event") if e["type"] == "customer.subscription.created")
    assert (created["created"], created["request"]) == (at("2027-03-01"), {"id": None, "idempotency_key": None})
    assert world.events()[-4:] == [
        "customer.subscription.created",
        "subscription_schedule.updated",
        "customer.subscription.updated",  # the first billing cycle turned
        "customer.subscription.updated",
    ]


def test_a_real_clock_brings_things_about_as_well(world: World) -> None:
    world.clock.set(world.clock.now())
    schedule = world.schedule(world.phase("2028-01-01"), start_date=world.now + 60)
    world.clock.advance(timedelta(seconds=60))
    assert world.schedule_of(schedule.id).status == "active"


def test_transition_between_phases(world: World) -> None:
    kept, dropped, added = world.price(), world.price(), world.price()
    first = world.phase("2027-06-15", prices=(kept, dropped), metadata={"a": "1", "b": "2"})
    second = world.phase("2028-01-01", prices=(added, kept), metadata={"a": "", "c": "3"}, description="Second")
    second["items"][1].update(quantity=5, metadata={"line": "802"})
    schedule = world.schedule(first, second)
    before = world.subscription_of(schedule)
    world.sdk.v1.prices.update(added, {"active": False})  # archiving what a schedule holds is harmless
    world.move_to("2027-06-15")
    after = world.subscription_of(world.schedule_of(schedule.id))
    assert there(world.schedule_of(schedule.id).current_phase).start_date == at("2027-06-15")
    ids = {item.price.id: item.id for item in before["items"].data}
    assert [(item.price.id, item.quantity) for item in after["items"].data] == [(added, 1), (kept, 5)]
    assert after["items"].data[1].id == ids[kept]
    assert after["items"].data[0].id not in ids.values()
    assert after["items"].data[1].metadata.to_dict() == {"line": "802"}
    assert after.metadata.to_dict() == {"b": "2", "c": "3"}
    assert (after.description, after.billing_cycle_anchor) == ("Second", world.now)
    assert (before.cancel_at, after.cancel_at) == (None, at("2028-01-01"))
    assert world.events()[-2:] == ["customer.subscription.updated", "subscription_schedule.updated"]


def test_another_interval_resets_the_anchor(world: World) -> None:
    first = world.phase("2027-06-15", prices=(world.price(),))
    second = world.phase("2028-06-15", prices=(world.price("year"),))
    schedule = world.schedule(first, second)
    world.move_to("2027-07-01")
    subscription = world.subscription_of(schedule)
    assert subscription.billing_cycle_anchor == at("2027-06-15")
    assert subscription["items"].data[0].current_period_end == at("2028-06-15")


def test_the_last_period_is_cut_short(world: World) -> None:
    schedule = world.schedule(world.phase("2027-02-15"))
    world.move_to("2027-02-01")
    [item] = world.subscription_of(schedule)["items"].data
    assert (item.current_period_start, item.current_period_end) == (at("2027-02-01"), at("2027-02-15"))


def test_the_end_with_cancel(world: World) -> None:
    schedule = world.schedule(world.phase("2028-01-01"))
    assert world.subscription_of(schedule).cancel_at == at("2028-01-01")
    world.move_to("2027-12-25")
    assert world.events("subscription_schedule") == ["subscription_schedule.created", "subscription_schedule.expiring"]
    world.move_to("2028-02-01")
    ended = world.schedule_of(schedule.id)
    assert (ended.status, ended.completed_at, ended.current_phase) == ("completed", at("2028-01-01"), None)
    subscription = world.subscription_of(ended)
    assert (subscription.status, subscription.canceled_at) == ("canceled", at("2028-01-01"))
    assert world.events()[-2:] == ["customer.subscription.deleted", "subscription_schedule.completed"]


def test_the_end_with_release(world: World) -> None:
    schedule = world.schedule(world.phase("2027-01-20"), end_behavior="release")
    assert world.subscription_of(schedule).cancel_at is None
    world.move_to("2027-02-10")
    ended = world.schedule_of(schedule.id)
    assert (ended.status, ended.released_at, ended.subscription) == ("released", at("2027-01-20"), None)
    subscription = world.subscription_of(ended)
    assert (subscription.status, subscription.schedule) == ("active", None)
    assert subscription["items"].data[0].current_period_start == at("2027-02-01")  # it lives on, and its cycles turn
    assert world.events()[-4:-1] == [
        "subscription_schedule.updated",
        "customer.subscription.updated",
        "subscription_schedule.released",
    ]


def test_discounts_are_minted_when_their_phase_starts(world: World) -> None:
    on_phase, on_item, later = (
        world.coupon(),
        world.coupon(max_redemptions=1),
        world.coupon(duration="repeating", duration_in_months=3),
    )
    first = world.phase("2027-06-01", discounts=[{"coupon": on_phase}])
    first["items"][0]["discounts"] = [{"coupon": on_item}]
    second = world.phase("2028-01-01", discounts=[{"coupon": later}])
    schedule = world.schedule(first, second)
    assert schedule.to_dict()["phases"][0]["discounts"] == [{"coupon": on_phase, "discount": None, "promotion_code": None}]

    def redeemed(*coupons: str) -> list[int]:
        return [world.sdk.v1.coupons.retrieve(name).times_redeemed for name in coupons]

    assert redeemed(on_phase, on_item, later) == [1, 1, 0]
    assert world.sdk.v1.coupons.retrieve(on_item).valid is False
    expand: SubscriptionRetrieveParams = {"expand": ["discounts.source.coupon", "items.data.discounts"]}
    subscription = world.sdk.v1.subscriptions.retrieve(reference(schedule.subscription), expand)
    [discount] = map(expanded, subscription.discounts)
    assert discount.id.startswith("di_")
    assert (discount.source.type, expanded(discount.source.coupon).id, discount.subscription) == (
        "coupon",
        on_phase,
        schedule.subscription,
    )
    [item] = subscription["items"].data
    assert (item.discounts[0].source.coupon, item.discounts[0].subscription_item) == (on_item, item.id)
    world.move_to("2027-06-01")
    subscription = world.sdk.v1.subscriptions.retrieve(reference(schedule.subscription), expand)
    assert [(expanded(d.source.coupon).id, d.start, d.end) for d in map(expanded, subscription.discounts)] == [
        (later, at("2027-06-01"), at("2027-09-01"))
    ]
    assert redeemed(on_phase, on_item, later) == [1, 1, 1]


def test_a_coupon_deleted_before_its_phase_is_left_out(world: World) -> None:
    gone, stays = world.coupon(), world.coupon()
    later = world.phase("2028-01-01", discounts=[{"coupon": gone}, {"coupon": stays}])
    schedule = world.schedule(world.phase("2027-06-01"), later)
    world.sdk.v1.coupons.delete(gone)
    world.move_to("2027-06-01")
    subscription = world.sdk.v1.subscriptions.retrieve(reference(schedule.subscription), {"expand": ["discounts"]})
    [discount] = map(expanded, subscription.discounts)
    assert discount.source.coupon == stays


def test_deleting_a_customer_ends_its_subscriptions(world: World) -> None:
    customer = world.customer()
    running = world.schedule(world.phase("2028-01-01"), customer=customer)
    waiting = world.schedule(world.phase("2028-01-01"), customer=customer, start_date=at("2027-06-01"))
    world.sdk.v1.customers.delete(customer)
    assert [world.schedule_of(schedule.id).status for schedule in (running, waiting)] == ["canceled", "canceled"]
    assert world.subscription_of(running).status == "canceled"
    assert world.events()[-4:] == [
        "customer.subscription.deleted",
        "subscription_schedule.canceled",
        "subscription_schedule.canceled",
        "customer.deleted",
    ]
    for schedule in (running, waiting):
        shown = world.sdk.v1.subscription_schedules.retrieve(schedule.id, {"expand": ["customer"]})
        assert expanded(shown.customer).to_dict() == {"id": customer, "object": "customer", "deleted": True}
    events = len(world.events())
    world.move_to("2029-01-01")
    assert len(world.events()) == events


def test_deleting_a_customer_leaves_what_is_over_as_it_is(world: World) -> None:
    customer = world.customer()
    canceled = world.schedule(world.phase("2028-01-01"), customer=customer)
    world.sdk.v1.subscription_schedules.cancel(canceled.id)
    released = world.schedule(world.phase("2028-01-01"), customer=customer)
    world.sdk.v1.subscription_schedules.release(released.id)
    before = world.schedule_of(canceled.id).to_dict()
    world.move_to("2027-02-01")
    world.sdk.v1.customers.delete(customer)
    assert world.schedule_of(canceled.id).to_dict() == before
    after = world.schedule_of(released.id)
    assert (after.status, world.subscription_of(after).status) == ("released", "canceled")


EXPANSIONS = ["customer", "subscription.discounts", "subscription.items.data.discounts"]


@pytest.mark.parametrize(
    ("state", "end"), [("not_started", None), ("active", None), ("canceled", "cancel"), ("released", "release")]
)
def test_a_schedule_with_all_that_belongs_to_it(world: World, state: str, end: str | None) -> None:
    coupon, on_item = world.coupon(), world.coupon()
    phase = world.phase("2028-01-01", discounts=[{"coupon": coupon}])
    phase["items"][0]["discounts"] = [{"coupon": on_item}]
    customer = world.customer(name="A")
    start = at("2027-06-01") if state == "not_started" else "now"
    schedule = world.schedule(phase, customer=customer, start_date=start)
    if end is not None:
        getattr(world.sdk.v1.subscription_schedules, end)(schedule.id)
    shown = world.sdk.v1.subscription_schedules.retrieve(schedule.id, {"expand": EXPANSIONS}).to_dict()
    assert (shown["status"], shown["customer"]["name"]) == (state, "A")
    subscription = shown["subscription"]
    if state in ("not_started", "released"):
        assert subscription is None
    else:
        [discount], [item] = subscription["discounts"], subscription["items"]["data"]
        assert discount["source"] == {"type": "coupon", "coupon": coupon}
        assert item["discounts"][0]["source"] == {"type": "coupon", "coupon": on_item}


def test_cancel_before_the_start(world: World) -> None:
    schedule = world.schedule(world.phase("2028-01-01"), start_date=at("2027-06-01"))
    canceled = world.sdk.v1.subscription_schedules.cancel(schedule.id)
    assert (canceled.status, canceled.canceled_at, canceled.subscription) == ("canceled", world.now, None)
    world.move_to("2027-07-01")
    assert world.schedule_of(schedule.id).status == "canceled"
    assert world.sdk.v1.subscriptions.list({"status": "all"}).data == []


def test_cancel_while_active(world: World) -> None:
    schedule = world.schedule(world.phase("2028-01-01"))
    canceled = world.sdk.v1.subscription_schedules.cancel(schedule.id, {"invoice_now": False, "prorate": False})
    assert (canceled.status, canceled.current_phase) == ("canceled", None)
    assert world.subscription_of(canceled).status == "canceled"
    assert world.events()[-2:] == ["customer.subscription.deleted", "subscription_schedule.canceled"]


def test_release_before_the_start(world: World) -> None:
    schedule = world.schedule(world.phase("2028-01-01"), start_date=at("2027-06-01"))
    released = world.sdk.v1.subscription_schedules.release(schedule.id)
    assert (released.status, released.released_at, released.released_subscription) == ("released", world.now, None)
    assert world.events()[-1] == "subscription_schedule.released"


@pytest.mark.parametrize(("keep", "status"), [(False, "active"), (True, "canceled")])
def test_release_while_active(world: World, keep: bool, status: str) -> None:
    schedule = world.schedule(world.phase("2027-03-15"))
    released = world.sdk.v1.subscription_schedules.release(schedule.id, {"preserve_cancel_date": keep})
    assert (released.status, released.subscription, released.released_subscription) == ("released", None, schedule.subscription)
    subscription = world.subscription_of(released)
    assert (subscription.status, subscription.schedule) == ("active", None)
    assert subscription.cancel_at == (at("2027-03-15") if keep else None)
    assert world.events()[-3:] == [
        "subscription_schedule.updated",
        "customer.subscription.updated",
        "subscription_schedule.released",
    ]
    world.move_to("2027-04-01")
    assert world.subscription_of(released).status == status


@pytest.mark.parametrize(("verb", "done"), [("cancel", "canceled"), ("release", "released")])
def test_what_is_over_cannot_be_ended(world: World, verb: str, done: str) -> None:
    schedule = world.schedule(world.phase("2028-01-01"))
    world.sdk.v1.subscription_schedules.release(schedule.id)
    error = refusal(getattr(world.sdk.v1.subscription_schedules, verb), schedule.id)
    assert (error.http_status, error.code) == (400, None)
    assert error.user_message == (
        f"You cannot {verb} a subscription schedule that is currently in the `released` status. "
        f"It must be in `not_started, active` status to be {done}."
    )
