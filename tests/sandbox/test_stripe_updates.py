"""Updates of schedules: what is replaced and what stays, and what the subscription sees at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.stripe_changes import coupon_ids, held, quantities, spans, subscription, update, with_quantity
from tests.sandbox.stripe_world import World, at, refusal


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def test_current_and_future_phases_are_replaced_and_past_ones_stay(world: World) -> None:
    kept, added = world.price(), world.price()
    first = world.phase("2027-03-01", prices=(kept,), metadata={"n": "1"})
    second = world.phase("2027-06-01", prices=(kept,), description="Old", metadata={"n": "2"})
    schedule = world.schedule(first, second, world.phase("2028-01-01", prices=(kept,)))
    world.move_to("2027-04-01")
    past = held(world, schedule)["phases"][0]
    [item] = subscription(world, schedule)["items"]["data"]
    events = len(world.events())
    current = world.phase("2027-09-01", prices=(added, kept), start_date=at("2027-03-01"), proration_behavior="none")
    later = [world.phase("2027-12-01", prices=(added,)), world.phase("2029-01-01", prices=(kept,))]
    changed = update(world, schedule, with_quantity(current, 3), *later, proration_behavior="none")
    assert changed["phases"][0] == past
    assert spans(changed) == [
        (at("2027-01-01"), at("2027-03-01")),
        (at("2027-03-01"), at("2027-09-01")),
        (at("2027-09-01"), at("2027-12-01")),
        (at("2027-12-01"), at("2029-01-01")),
    ]
    # What is not sent is unset.
    assert (changed["phases"][1]["description"], changed["phases"][1]["metadata"]) == (None, {})
    assert changed["current_phase"] == {"start_date": at("2027-03-01"), "end_date": at("2027-09-01")}
    after = subscription(world, schedule)
    assert quantities(after) == {added: 3, kept: 3}
    assert after["items"]["data"][1]["id"] == item["id"]
    assert world.events()[events:] == ["subscription_schedule.updated", "customer.subscription.updated"]
    world.move_to("2027-09-01")
    assert quantities(subscription(world, schedule)) == {added: 1}
    world.move_to("2029-01-01")
    assert held(world, schedule)["status"] == "completed"


def test_the_event_says_what_has_changed(world: World) -> None:
    schedule = world.schedule(world.phase("2028-01-01"))
    update(world, schedule, metadata={"k": "v"})
    event = world.sdk.v1.events.list({"limit": 1}).data[0].to_dict()
    assert (event["type"], event["data"]["previous_attributes"]) == ("subscription_schedule.updated", {"metadata": {"k": None}})
    events = len(world.events())
    update(world, schedule, metadata={"k": "v"}, end_behavior="cancel")
    assert len(world.events()) == events


def test_without_phases_they_stay_and_metadata_merges(world: World) -> None:
    phase = world.phase("2028-01-01", discounts=[{"coupon": world.coupon(max_redemptions=1)}])
    schedule = world.schedule(phase, metadata={"a": "1", "b": "2"})
    before = subscription(world, schedule)
    changed = update(world, schedule, metadata={"a": "", "c": "3"})
    assert changed["metadata"] == {"b": "2", "c": "3"}
    assert changed["phases"] == schedule.to_dict()["phases"]
    assert subscription(world, schedule) == before
    assert update(world, schedule, metadata="")["metadata"] == {}


def test_the_end_behavior_decides_whether_the_subscription_ends(world: World) -> None:
    schedule = world.schedule(world.phase("2028-01-01"))
    assert update(world, schedule, end_behavior="release")["end_behavior"] == "release"
    assert subscription(world, schedule)["cancel_at"] is None
    assert world.events()[-2:] == ["subscription_schedule.updated", "customer.subscription.updated"]
    update(world, schedule, end_behavior="cancel")
    assert subscription(world, schedule)["cancel_at"] == at("2028-01-01")
    # Only the last phase ends the subscription.
    current = world.phase("2027-06-01", start_date=world.now)
    update(world, schedule, current, world.phase("2028-06-01"))
    assert subscription(world, schedule)["cancel_at"] is None


def test_default_settings_merge_and_reach_the_subscription(world: World) -> None:
    schedule = world.schedule(world.phase("2027-06-01"), world.phase("2028-01-01"), default_settings={"description": "D"})
    days = {"collection_method": "send_invoice", "invoice_settings": {"days_until_due": 30}}
    settings = update(world, schedule, default_settings=days)["default_settings"]
    assert (settings["description"], settings["invoice_settings"]["days_until_due"]) == ("D", 30)
    after = subscription(world, schedule)
    assert (after["collection_method"], after["days_until_due"], after["description"]) == ("send_invoice", 30, "D")
    settings = update(world, schedule, default_settings={"invoice_settings": {"days_until_due": 60}})["default_settings"]
    assert (settings["collection_method"], subscription(world, schedule)["days_until_due"]) == ("send_invoice", 60)
    own = world.phase("2028-01-01", start_date=world.now, collection_method="charge_automatically")
    update(world, schedule, own)
    assert subscription(world, schedule)["collection_method"] == "charge_automatically"


def test_terms_are_checked_with_the_defaults_that_the_schedule_has(world: World) -> None:
    by_invoice: dict[str, Any] = {"collection_method": "send_invoice"}
    schedule = world.schedule(world.phase("2028-01-01"))
    sent = world.phase("2028-01-01", start_date=world.now, **by_invoice)
    for refused in (refusal(update, world, schedule, sent), refusal(update, world, schedule, default_settings=by_invoice)):
        assert (refused.http_status, refused.param) == (400, "phases[0][invoice_settings][days_until_due]")
    update(world, schedule, default_settings={"invoice_settings": {"days_until_due": 14}})
    update(world, schedule, sent)
    assert subscription(world, schedule)["days_until_due"] == 14


def test_now_ends_the_current_phase_and_begins_another(world: World) -> None:
    price = world.price()
    schedule = world.schedule(world.phase("2028-01-01", prices=(price,), metadata={"was": "1"}))
    world.move_to("2027-03-10T12:00:00")
    [item] = subscription(world, schedule)["items"]["data"]
    ending = world.phase(prices=(price,), start_date=world.now, end_date="now", metadata={"was": "1"})
    following = world.phase("2028-01-01", prices=(price,), start_date="now", metadata={"is": "2"})
    changed = update(world, schedule, ending, with_quantity(following, 5))
    split = at("2027-03-10T12:00:00")
    assert spans(changed) == [(world.now, split), (split, at("2028-01-01"))]
    assert changed["current_phase"] == {"start_date": split, "end_date": at("2028-01-01")}
    after = subscription(world, schedule)
    assert (quantities(after), after["items"]["data"][0]["id"]) == ({price: 5}, item["id"])
    assert after["metadata"] == {"was": "1", "is": "2"}
    # From now on the second one is the current phase.
    again = world.phase("2028-06-01", prices=(price,), start_date=split)
    assert spans(update(world, schedule, again)) == [(world.now, split), (split, at("2028-06-01"))]


def test_a_start_that_follows_from_the_end_before_need_not_be_sent(world: World) -> None:
    schedule = world.schedule(world.phase("2028-01-01"))
    world.move_to("2027-03-10")
    changed = update(world, schedule, world.phase(start_date=world.now, end_date="now"), world.phase("2028-01-01"))
    assert changed["current_phase"]["start_date"] == at("2027-03-10")


def test_the_end_of_the_current_phase_moves_both_ways(world: World) -> None:
    schedule = world.schedule(world.phase("2027-06-01"))
    for end in ("2027-09-01", "2027-03-01", "2027-05-01"):
        update(world, schedule, world.phase(end, start_date=world.now))
    # Each of these ends was on the agenda once; only the last one counts.
    world.move_to("2027-04-28")
    assert held(world, schedule)["status"] == "active"
    assert world.events().count("subscription_schedule.expiring") == 1
    world.move_to("2027-05-01")
    assert held(world, schedule)["completed_at"] == at("2027-05-01")


def test_an_end_that_is_moved_away_and_back_is_announced_once(world: World) -> None:
    schedule = world.schedule(world.phase("2027-06-01"))
    for end in ("2027-09-01", "2027-06-01"):
        update(world, schedule, world.phase(end, start_date=world.now))
    world.move_to("2027-07-01")
    assert world.events().count("subscription_schedule.expiring") == 1
    assert world.events().count("subscription_schedule.completed") == 1


def test_durations_and_computed_ends_count_from_the_current_start(world: World) -> None:
    schedule = world.schedule(world.phase("2028-01-01"))
    world.move_to("2027-02-10")
    quarter = world.phase(start_date=world.now, duration={"interval": "month", "interval_count": 3})
    changed = update(world, schedule, quarter, world.phase(prices=(world.price("month", 2),)))
    assert spans(changed) == [(world.now, at("2027-04-01")), (at("2027-04-01"), at("2027-06-01"))]
    short = world.phase(start_date=world.now, duration={"interval": "month"})
    assert "only adjust the end date to a future date" in refusal(update, world, schedule, short).user_message


def test_before_the_start_everything_can_move(world: World) -> None:
    schedule = world.schedule(world.phase("2028-01-01"), start_date=at("2027-06-01"))
    moved = update(world, schedule, world.phase("2027-09-01", start_date=at("2027-03-01")), world.phase("2028-01-01"))
    assert (moved["status"], spans(moved)[0]) == ("not_started", (at("2027-03-01"), at("2027-09-01")))
    later = update(world, schedule, world.phase("2028-01-01", start_date=at("2027-04-01")))
    assert (later["current_phase"], later["subscription"]) == (None, None)
    world.move_to("2027-03-15")
    assert held(world, schedule)["status"] == "not_started"
    world.move_to("2027-04-01")
    assert held(world, schedule)["current_phase"]["start_date"] == at("2027-04-01")
    assert world.events().count("customer.subscription.created") == 1


def test_a_schedule_that_waits_can_be_started_now(world: World) -> None:
    schedule = world.schedule(world.phase("2028-01-01"), start_date=at("2027-06-01"))
    world.move_to("2027-02-01")
    started = update(world, schedule, world.phase("2028-01-01", start_date="now"))
    assert (started["status"], started["current_phase"]["start_date"]) == ("active", at("2027-02-01"))
    assert subscription(world, schedule)["start_date"] == at("2027-02-01")
    # The subscription is there before the event that names it.
    assert world.events()[-2:] == ["customer.subscription.created", "subscription_schedule.updated"]
    world.move_to("2027-06-01")
    assert world.events().count("customer.subscription.created") == 1


def test_ten_current_and_future_phases_fit_and_past_ones_do_not_count(world: World) -> None:
    price = world.price()
    ends = [f"2027-{month:02}-01" for month in range(2, 12)]
    schedule = world.schedule(*(world.phase(end, prices=(price,)) for end in ends))
    world.move_to("2027-04-15")
    current = world.phase("2027-05-01", prices=(price,), start_date=at("2027-04-01"))
    later = [world.phase(f"2028-{month:02}-01", prices=(price,)) for month in range(1, 11)]
    assert len(update(world, schedule, current, *later[:9])["phases"]) == 13
    refused = refusal(update, world, schedule, current, *later)
    assert (refused.http_status, refused.param) == (400, "phases")
    assert "at most 10 current and future phases" in refused.user_message


def redeemed(world: World, *coupons: str) -> list[int]:
    return [world.sdk.v1.coupons.retrieve(coupon).times_redeemed for coupon in coupons]


def test_a_coupon_for_the_current_phase_is_redeemed_each_time(world: World) -> None:
    coupon, on_item, later = world.coupon(duration="repeating", duration_in_months=3), world.coupon(), world.coupon()
    price = world.price()

    def phase(**params: Any) -> dict[str, Any]:
        phase = world.phase("2027-09-01", prices=(price,), discounts=[{"coupon": coupon}], **params)
        phase["items"][0]["discounts"] = [{"coupon": on_item}]
        return phase

    following = world.phase("2028-01-01", discounts=[{"coupon": later}])
    schedule = world.schedule(phase(), following)
    [first] = subscription(world, schedule)["discounts"]
    world.move_to("2027-02-01")
    update(world, schedule, phase(start_date=world.now), following)
    [second] = subscription(world, schedule)["discounts"]
    assert (second["source"], second["id"] == first["id"]) == (first["source"], False)
    assert (second["start"], second["end"]) == (at("2027-02-01"), at("2027-05-01"))  # it restarts
    assert redeemed(world, coupon, on_item, later) == [2, 2, 0]


def test_a_discount_that_is_named_is_kept_without_redemption(world: World) -> None:
    coupon, on_item, price = world.coupon(max_redemptions=1), world.coupon(max_redemptions=1), world.price()
    first = world.phase("2027-09-01", prices=(price,), discounts=[{"coupon": coupon}])
    first["items"][0]["discounts"] = [{"coupon": on_item}]
    schedule = world.schedule(first)
    before = subscription(world, schedule)
    [own], [item] = before["discounts"], before["items"]["data"]
    kept = world.phase("2028-01-01", prices=(price,), start_date=world.now, discounts=[{"discount": own["id"]}])
    kept["items"][0]["discounts"] = [{"discount": item["discounts"][0]["id"]}]
    changed = update(world, schedule, kept)
    assert changed["phases"][0]["discounts"] == [{"coupon": None, "discount": own["id"], "promotion_code": None}]
    after = subscription(world, schedule)
    assert after["discounts"] == before["discounts"]
    assert after["items"]["data"][0]["discounts"] == item["discounts"]
    assert redeemed(world, coupon, on_item) == [1, 1]
    # It outlives a split as well.
    world.move_to("2027-03-01")
    update(world, schedule, {**kept, "end_date": "now"}, {**kept, "start_date": "now"})
    assert subscription(world, schedule)["discounts"] == before["discounts"]
    # Sent as a coupon once more, it would have to be redeemed once more.
    again = world.phase("2028-01-01", prices=(price,), start_date=at("2027-03-01"), discounts=[{"coupon": coupon}])
    refused = refusal(update, world, schedule, again)
    assert "is used up and cannot be applied" in refused.user_message
    assert refused.param == "phases[0][discounts][0][coupon]"


def test_discounts_that_are_not_sent_are_gone(world: World) -> None:
    coupon, price = world.coupon(), world.price()
    phase = world.phase("2028-01-01", prices=(price,), discounts=[{"coupon": coupon}])
    phase["items"][0]["discounts"] = [{"coupon": coupon}]
    left_out = world.phase("2028-01-01", prices=(price,), start_date=world.now)
    for sent in (left_out, {**left_out, "discounts": ""}):
        schedule = world.schedule(phase)
        assert coupon_ids(subscription(world, schedule)["discounts"]) == [coupon]
        update(world, schedule, sent)
        after = subscription(world, schedule)
        assert (after["discounts"], after["items"]["data"][0]["discounts"]) == ([], [])


def test_a_coupon_of_a_phase_to_come_is_redeemed_when_it_comes(world: World) -> None:
    coupon = world.coupon(max_redemptions=1)
    schedule = world.schedule(world.phase("2027-06-01"))
    current, later = world.phase("2027-06-01", start_date=world.now), world.phase("2028-01-01", discounts=[{"coupon": coupon}])
    for _ in range(2):
        update(world, schedule, current, later)
    assert redeemed(world, coupon) == [0]
    world.move_to("2027-06-01")
    assert coupon_ids(subscription(world, schedule)["discounts"]) == [coupon]
    assert redeemed(world, coupon) == [1]


def test_discounts_that_cannot_be_kept(world: World) -> None:
    price = world.price()
    schedule = world.schedule(world.phase("2027-06-01", prices=(price,), discounts=[{"coupon": world.coupon()}]))
    strange = world.schedule(world.phase("2027-06-01", discounts=[{"coupon": world.coupon()}]))
    own = subscription(world, schedule)["discounts"][0]["id"]
    for unknown in ("di_none", subscription(world, strange)["discounts"][0]["id"]):
        sent = world.phase("2027-06-01", start_date=world.now, discounts=[{"discount": unknown}])
        refused = refusal(update, world, schedule, sent)
        assert (refused.http_status, refused.code) == (400, "resource_missing")
        assert (refused.user_message, refused.param) == (f"No such discount: '{unknown}'", "phases[0][discounts][0][discount]")
    current = world.phase("2027-06-01", prices=(price,), start_date=world.now)
    later = world.phase("2028-01-01", discounts=[{"discount": own}])
    assert refusal(update, world, schedule, current, later).http_status == 501
    current["items"][0]["discounts"] = [{"discount": own}]
    assert refusal(update, world, schedule, current).http_status == 501
    code = world.phase("2027-06-01", start_date=world.now, discounts=[{"promotion_code": "promo_1"}])
    assert refusal(update, world, schedule, code).http_status == 501
    waiting = world.schedule(world.phase("2028-01-01"), start_date=at("2027-06-01"))
    sent = world.phase("2028-01-01", start_date=at("2027-06-01"), discounts=[{"discount": own}])
    assert refusal(update, world, waiting, sent).code == "resource_missing"


def test_an_inactive_price_that_is_on_the_schedule_can_stay(world: World) -> None:
    past, archived, unused = world.price(), world.price(), world.price()
    setup = world.price(None)
    schedule = world.schedule(
        world.phase("2027-02-01", prices=(past,), add_invoice_items=[{"price": setup}]),
        world.phase("2027-06-01", prices=(archived,)),
    )
    for price in (past, archived, unused, setup):
        world.sdk.v1.prices.update(price, {"active": False})
    world.move_to("2027-03-01")
    current = world.phase("2027-06-01", prices=(archived,), start_date=at("2027-02-01"))
    later = world.phase("2028-01-01", prices=(past,), add_invoice_items=[{"price": setup}])
    assert len(update(world, schedule, current, later)["phases"]) == 3
    refused = refusal(update, world, schedule, current, world.phase("2028-01-01", prices=(unused,)))
    assert refused.user_message == "The price specified is inactive. This field only accepts active prices."
    assert refused.param == "phases[1][items][0][price]"
