"""Previews of the next invoice of an active schedule, and which are refused because something would be prorated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import stripe
from stripe.params import SubscriptionUpdateParams

from tests.sandbox.stripe_changes import amounts, credit, held, preview, subscription, unmodelled, update, with_quantity
from tests.sandbox.stripe_world import ACCOUNT, World, at, reference, refusal

START, NONE = at("2027-01-01"), {"proration_behavior": "none"}


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def price(world: World) -> str:
    return world.price()


@pytest.fixture
def schedule(world: World, price: str) -> stripe.SubscriptionSchedule:
    """One item, monthly, 10.00, until 2028; it ends then. It is 2027-03-10."""
    made = world.schedule(world.phase("2028-01-01", prices=(price,)))
    world.move_to("2027-03-10")
    return made


def current(world: World, price: str, end: str = "2028-01-01", **params: Any) -> dict[str, Any]:
    """The current phase, as it is unless `params` say otherwise."""
    return world.phase(end, prices=(price,), start_date=START, **params)


def lines(invoice: dict[str, Any]) -> list[tuple[int, int, int]]:
    """Amount and period of each line."""
    return [(line["amount"], line["period"]["start"], line["period"]["end"]) for line in invoice["lines"]["data"]]


MARCH, APRIL, MAY = at("2027-03-01"), at("2027-04-01"), at("2027-05-01")


def test_the_next_cycle_of_a_schedule_that_stays(world: World, price: str, schedule: stripe.SubscriptionSchedule) -> None:
    events, before = world.events(), held(world, schedule)
    invoice = preview(world, current(world, price), schedule=schedule.id)
    assert lines(invoice) == [(1000, APRIL, MAY)]
    assert (invoice["created"], invoice["period_start"], invoice["period_end"]) == (APRIL, MARCH, APRIL)
    assert (invoice["customer"], invoice["total"]) == (schedule.customer, 1000)
    assert invoice["parent"]["subscription_details"]["subscription"] == schedule.subscription
    [line], [item] = invoice["lines"]["data"], subscription(world, schedule)["items"]["data"]
    assert line["parent"]["subscription_item_details"]["subscription_item"] == item["id"]
    assert (world.events(), held(world, schedule)) == (events, before)
    assert [kind for kind in ("invoice", "discount") if world.emulator.objects(ACCOUNT, kind)] == []


def test_another_quantity_is_billed_from_the_next_cycle_on(
    world: World, price: str, schedule: stripe.SubscriptionSchedule
) -> None:
    changed = with_quantity(current(world, price), 3)
    assert amounts(preview(world, changed, schedule=schedule.id, details=NONE)) == (3000, 3000)
    assert unmodelled(preview, world, changed, schedule=schedule.id) == "schedule_details[proration_behavior]"
    # Another price of the same interval keeps the cycle; an item that is new and one that goes are no different.
    for prices in ((world.price(unit_amount=2000),), (price, world.price()), (world.price(unit_amount=700), price)):
        swapped = {**world.phase("2028-01-01", prices=prices), "start_date": START}
        invoice = preview(world, swapped, schedule=schedule.id, details=NONE)
        assert {span[1:] for span in lines(invoice)} == {(APRIL, MAY)}
        assert len(lines(invoice)) == len(prices)


def test_a_phase_that_begins_now_with_one_time_items(world: World, price: str, schedule: stripe.SubscriptionSchedule) -> None:
    product = world.sdk.v1.products.create({"name": "Adjustment"}).id
    period = {"start": {"type": "phase_start"}, "end": {"type": "min_item_period_end"}}
    ending = {**current(world, price), "end_date": "now"}
    following = {**with_quantity(world.phase("2028-01-01", prices=(price,)), 3), "start_date": "now"}
    following["add_invoice_items"] = [credit(product, 677, quantity=2, period=period)]
    invoice = preview(world, ending, following, schedule=schedule.id, details=NONE)
    assert lines(invoice) == [(3000, APRIL, MAY), (1354, at("2027-03-10"), APRIL)]
    assert world.emulator.invoice_items(ACCOUNT) == []
    # Once it is so, what was given waits for that invoice, and is billed once.
    update(world, schedule, ending, following, proration_behavior="none")
    stays = {**following, "start_date": at("2027-03-10")}
    assert lines(preview(world, stays, schedule=schedule.id)) == lines(invoice)
    world.move_to("2027-04-01")
    assert lines(preview(world, stays, schedule=schedule.id)) == [(3000, MAY, at("2027-06-01"))]


def test_what_is_given_on_the_second_of_a_cycle(world: World, price: str, schedule: stripe.SubscriptionSchedule) -> None:
    product = world.sdk.v1.products.create({"name": "Adjustment"}).id
    world.move_to("2027-04-01")
    # The invoice of April is made before the request; what the request gives is on May's.
    following = world.phase("2027-05-01", prices=(price,), start_date="now", add_invoice_items=[credit(product, 5)])
    last = world.phase("2028-01-01", prices=(price,), add_invoice_items=[credit(product, 7)])
    update(world, schedule, {**current(world, price), "end_date": "now"}, following, last)
    stays = {**following, "start_date": APRIL}
    assert [amount for amount, *_ in lines(preview(world, stays, last, schedule=schedule.id))] == [1000, 5, 7]
    # What a phase gives that begins with a cycle is on that cycle's invoice.
    world.move_to("2027-05-01")
    assert [amount for amount, *_ in lines(preview(world, {**last, "start_date": MAY}, schedule=schedule.id))] == [1000]


def test_what_the_start_gives_is_on_the_first_invoice(world: World, price: str) -> None:
    setup = world.price(None)
    made = world.schedule(world.phase("2028-01-01", prices=(price,), add_invoice_items=[{"price": setup}]))
    assert amounts(preview(world, current(world, price), schedule=made.id)) == (1000, 1000)


def test_phases_on_the_way(world: World, price: str, schedule: stripe.SubscriptionSchedule) -> None:
    product = world.sdk.v1.products.create({"name": "Adjustment"}).id
    first = current(world, price, "2027-03-20")
    second = with_quantity(world.phase("2027-03-25", prices=(price,), add_invoice_items=[credit(product, -300)]), 2)
    third = with_quantity(world.phase("2028-01-01", prices=(price,)), 5)
    second["proration_behavior"] = third["proration_behavior"] = "none"
    invoice = preview(world, first, second, third, schedule=schedule.id)
    assert lines(invoice) == [(5000, APRIL, MAY), (-300, MARCH, APRIL)]
    for phase, number in ((second, 1), (third, 2)):
        prorated = [
            {**sent, **({"proration_behavior": "create_prorations"} if sent is phase else {})}
            for sent in (first, second, third)
        ]
        assert (
            unmodelled(preview, world, *prorated, schedule=schedule.id, details=NONE)
            == f"schedule_details[phases][{number}][proration_behavior]"
        )


def test_a_phase_that_begins_with_the_cycle_has_nothing_to_prorate(
    world: World, price: str, schedule: stripe.SubscriptionSchedule
) -> None:
    phases = [current(world, price, "2027-04-01"), with_quantity(world.phase("2028-01-01", prices=(price,)), 5)]
    assert lines(preview(world, *phases, schedule=schedule.id)) == [(5000, APRIL, MAY)]
    anchored = [phases[0], {**phases[1], "billing_cycle_anchor": "phase_start"}]
    assert lines(preview(world, *anchored, schedule=schedule.id)) == [(5000, APRIL, MAY)]
    moved = [current(world, price, "2027-03-20"), {**anchored[1], **NONE}]
    assert unmodelled(preview, world, *moved, schedule=schedule.id)


def test_only_the_items_whose_cycle_turns(world: World, price: str) -> None:
    yearly, other = world.price("year", unit_amount=12_000), world.price("year", unit_amount=24_000)
    made = world.schedule(world.phase("2029-01-01", prices=(price, yearly)))
    world.move_to("2027-03-10")
    both = world.phase("2029-01-01", prices=(yearly, price), start_date=START)
    invoice = preview(world, both, schedule=made.id)
    assert lines(invoice) == [(1000, APRIL, MAY)]
    # Without the monthly item the next turn is the year's.
    alone = world.phase("2029-01-01", prices=(yearly,), start_date=START)
    invoice = preview(world, alone, schedule=made.id, details=NONE)
    assert lines(invoice) == [(12_000, at("2028-01-01"), at("2029-01-01"))]
    assert invoice["period_start"] == START
    # It may go on the way, or with the cycle, in which the year's goes on.
    for end in ("2027-03-20", "2027-04-01"):
        phases = [{**both, "end_date": at(end)}, world.phase("2029-01-01", prices=(yearly,), **NONE)]
        assert preview(world, *phases, schedule=made.id)["created"] == at("2028-01-01")
        phases[1] = world.phase("2029-01-01", prices=(other, price))
        assert unmodelled(preview, world, *phases, schedule=made.id)
        phases[1] |= NONE
        assert lines(preview(world, *phases, schedule=made.id)) == [(1000, APRIL, MAY)]


def test_discounts_of_the_phase_that_is_billed(world: World, price: str) -> None:
    coupon, on_item, quarter = world.coupon(max_redemptions=1), world.coupon(), world.coupon(percent_off=25)
    first = world.phase("2027-06-01", prices=(price,), discounts=[{"coupon": coupon}])
    first["items"][0]["discounts"] = [{"coupon": on_item}]
    made = world.schedule(first)
    shown = subscription(world, made)
    own, of_item = shown["discounts"][0]["id"], shown["items"]["data"][0]["discounts"][0]["id"]
    kept = {**first, "start_date": START, "discounts": [{"discount": own}]}
    kept["items"] = [{"price": price, "discounts": [{"discount": of_item}]}]
    invoice = preview(world, kept, schedule=made.id)
    assert amounts(invoice) == (1000, 810)
    [line] = invoice["lines"]["data"]
    assert (line["discounts"], invoice["discounts"]) == ([of_item], [own])
    # Another discount in its place is a change, and so is none.
    for discounts in ([{"coupon": quarter}], []):
        changed = {**kept, "discounts": discounts}
        assert unmodelled(preview, world, changed, schedule=made.id)
    assert amounts(preview(world, {**kept, "discounts": [{"coupon": quarter}]}, schedule=made.id, details=NONE)) == (1000, 675)
    # The next phase has its own.
    later = world.phase("2028-01-01", prices=(price,), discounts=[{"coupon": quarter}])
    phases = [{**kept, "end_date": at("2027-02-01")}, later]
    assert amounts(preview(world, *phases, schedule=made.id)) == (1000, 750)
    assert world.sdk.v1.coupons.retrieve(coupon).times_redeemed == 1


def test_discounts_that_end(world: World, price: str) -> None:
    coupon = world.coupon(duration="repeating", duration_in_months=2)
    phase = world.phase("2028-01-01", prices=(price,), discounts=[{"coupon": coupon}])
    made = world.schedule(phase)
    own = subscription(world, made)["discounts"][0]["id"]
    kept = {**phase, "start_date": START, "discounts": [{"discount": own}]}
    assert preview(world, kept, schedule=made.id)["total"] == 900
    world.move_to("2027-02-01")
    assert preview(world, kept, schedule=made.id)["total"] == 1000
    # As a coupon it begins anew.
    assert preview(world, {**kept, "discounts": [{"coupon": coupon}]}, schedule=made.id)["total"] == 900
    short = world.coupon(duration="repeating", duration_in_months=1)
    assert preview(world, {**kept, "discounts": [{"coupon": short}]}, schedule=made.id, details=NONE)["total"] == 1000


def test_discounts_of_which_it_is_not_known_whether_they_are_left(world: World, price: str) -> None:
    for coupon, deleted in ((world.coupon(duration="once"), False), (world.coupon(), True)):
        phase = world.phase("2028-01-01", prices=(price,), discounts=[{"coupon": coupon}])
        made = world.schedule(phase)
        kept = {**phase, "start_date": START, "discounts": [{"discount": subscription(world, made)["discounts"][0]["id"]}]}
        if deleted:
            assert preview(world, kept, schedule=made.id)["total"] == 900
            world.sdk.v1.coupons.delete(coupon)
        assert unmodelled(preview, world, kept, schedule=made.id) == "schedule_details[phases]"


def test_the_end(world: World, price: str, schedule: stripe.SubscriptionSchedule) -> None:
    for end in ("2027-03-20", "2027-04-01"):
        refused = refusal(preview, world, current(world, price, end), schedule=schedule.id, details=NONE)
        assert (refused.http_status, refused.code) == (400, "invoice_upcoming_none")
        released = preview(world, current(world, price, end), schedule=schedule.id, details={"end_behavior": "release"})
        assert lines(released) == [(1000, APRIL, MAY)]
    # An end inside of the running cycle is credited unless that is turned off.
    assert unmodelled(preview, world, current(world, price, "2027-03-20"), schedule=schedule.id)
    assert refusal(preview, world, current(world, price, "2027-04-01"), schedule=schedule.id).code == "invoice_upcoming_none"
    assert (
        unmodelled(preview, world, current(world, price, "2027-04-20"), schedule=schedule.id, details=NONE)
        == "schedule_details[phases][0][end_date]"
    )
    assert preview(world, current(world, price, "2027-05-01"), schedule=schedule.id)["total"] == 1000
    charged = world.phase("2027-04-01", prices=(price,), add_invoice_items=[{"price": world.price(None)}], **NONE)
    way = [current(world, price, "2027-03-20"), charged]
    assert unmodelled(preview, world, *way, schedule=schedule.id)
    way[1].pop("add_invoice_items")
    assert refusal(preview, world, *way, schedule=schedule.id).code == "invoice_upcoming_none"


def test_an_end_that_is_set_already(world: World, price: str) -> None:
    made = world.schedule(world.phase("2027-01-20", prices=(price,)))
    refused = refusal(preview, world, current(world, price, "2027-01-20"), schedule=made.id)
    assert (refused.code, refused.user_message) == (
        "invoice_upcoming_none",
        f"No upcoming invoices for customer: {made.customer}",
    )
    # With one that is put off the cycle is whole again, and its rest to be paid for.
    for sent in (current(world, price), current(world, price, "2027-01-25")):
        assert unmodelled(preview, world, sent, schedule=made.id, details=NONE) == "schedule_details[phases][0][end_date]"
    update(world, made, current(world, price), proration_behavior="none")
    assert unmodelled(preview, world, current(world, price), schedule=made.id) == "schedule"


def test_an_end_inside_a_long_cycle_while_a_short_one_is_billed(world: World, price: str) -> None:
    both = world.phase("2028-01-01", prices=(price, world.price("year")))
    made = world.schedule(both)
    ending = {**both, "start_date": START, "end_date": at("2027-10-01")}
    assert unmodelled(preview, world, ending, schedule=made.id) == "schedule_details[phases][0][end_date]"
    assert lines(preview(world, ending, schedule=made.id, details=NONE)) == [(1000, at("2027-02-01"), MARCH)]
    update(world, made, ending)
    assert unmodelled(preview, world, ending, schedule=made.id) == "schedule"


Change = Callable[[World, str], dict[str, Any]]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        (lambda world, price: {"items": [{"price": price}, {"price": world.price("year")}]}, "[0][items]"),
        (lambda world, price: {"items": [{"price": world.price("year")}]}, "[0][items]"),
        (lambda world, price: {"discounts": [{"coupon": world.coupon()}, {"coupon": world.coupon()}]}, ""),
        (lambda world, price: {"add_invoice_items": [{"price": world.price(None)}]}, "[0][add_invoice_items]"),
    ],
)
def test_what_is_not_modelled(
    world: World, price: str, schedule: stripe.SubscriptionSchedule, change: Change, param: str
) -> None:
    sent = {**current(world, price), **change(world, price)}
    assert unmodelled(preview, world, sent, schedule=schedule.id, details=NONE) == f"schedule_details[phases]{param}"


def test_an_anchor_that_moves(world: World, price: str, schedule: stripe.SubscriptionSchedule) -> None:
    anchored = current(world, price, billing_cycle_anchor="phase_start")
    assert preview(world, anchored, schedule=schedule.id)["total"] == 1000  # the anchor is there already
    split = [{**current(world, price), "end_date": "now"}, {**anchored, "start_date": "now"}]
    found = unmodelled(preview, world, *split, schedule=schedule.id, details=NONE)
    assert found == "schedule_details[phases][1][billing_cycle_anchor]"


def test_refusals_of_the_update_itself(world: World, price: str, schedule: stripe.SubscriptionSchedule) -> None:
    refused = refusal(preview, world, {**current(world, price), "start_date": START + 1}, schedule=schedule.id)
    assert refused.user_message == "You can not modify the start date of the current phase."
    assert (refused.http_status, refused.param) == (400, "schedule_details[phases][0][start_date]")
    classic = {"billing_mode": {"type": "classic"}}
    assert (
        unmodelled(preview, world, current(world, price), schedule=schedule.id, details=classic)
        == "schedule_details[billing_mode]"
    )
    by_invoice = current(world, price, collection_method="send_invoice")
    assert "days_until_due" in refusal(preview, world, by_invoice, schedule=schedule.id).param


def by_update(world: World, schedule: stripe.SubscriptionSchedule, price: str) -> None:
    update(world, schedule, with_quantity(current(world, price), 2))


def by_split(world: World, schedule: stripe.SubscriptionSchedule, price: str) -> None:
    following = with_quantity(world.phase("2028-01-01", prices=(price,), start_date="now"), 2)
    update(world, schedule, {**current(world, price), "end_date": "now"}, following)


def by_time(world: World, schedule: stripe.SubscriptionSchedule, price: str) -> None:
    following = with_quantity(world.phase("2028-01-01", prices=(price,)), 2)
    update(world, schedule, current(world, price, "2027-03-20"), following)
    world.move_to("2027-03-21")


def by_edit(world: World, schedule: stripe.SubscriptionSchedule, price: str) -> None:
    [item] = subscription(world, schedule)["items"]["data"]
    sent = {"items": [{"id": item["id"], "quantity": 2}]}
    world.sdk.v1.subscriptions.update(reference(schedule.subscription), cast("SubscriptionUpdateParams", sent))


@pytest.mark.parametrize("change", [by_update, by_split, by_time, by_edit])
def test_prorations_that_wait_for_the_next_invoice(
    world: World,
    price: str,
    schedule: stripe.SubscriptionSchedule,
    change: Callable[[World, stripe.SubscriptionSchedule, str], None],
) -> None:
    change(world, schedule, price)

    def as_it_is() -> dict[str, Any]:
        [*_, phase] = held(world, schedule)["phases"]
        return {**with_quantity(current(world, price), 2), "start_date": phase["start_date"]}

    assert unmodelled(preview, world, as_it_is(), schedule=schedule.id) == "schedule"
    world.move_to("2027-04-01")
    assert lines(preview(world, as_it_is(), schedule=schedule.id)) == [(2000, MAY, at("2027-06-01"))]


def test_what_waits_when_the_anchor_moves(world: World, price: str, schedule: stripe.SubscriptionSchedule) -> None:
    charged = world.phase("2028-01-01", prices=(price,), start_date="now", add_invoice_items=[{"price": world.price(None)}])
    update(world, schedule, {**current(world, price), "end_date": "now"}, charged)
    weekly = world.phase("2028-01-01", prices=(world.price("week"),), start_date=at("2027-03-10"))
    update(world, schedule, weekly, proration_behavior="none")
    assert unmodelled(preview, world, weekly, schedule=schedule.id) == "schedule"
    world.move_to("2027-03-17")
    assert lines(preview(world, weekly, schedule=schedule.id)) == [(1000, at("2027-03-24"), at("2027-03-31"))]


def test_changes_without_prorations_leave_nothing_waiting(
    world: World, price: str, schedule: stripe.SubscriptionSchedule
) -> None:
    update(world, schedule, with_quantity(current(world, price), 2), proration_behavior="none")
    update(world, schedule, metadata={"k": "v"})
    assert preview(world, with_quantity(current(world, price), 2), schedule=schedule.id)["total"] == 2000


def test_days_until_due_count_from_the_invoice(world: World, price: str) -> None:
    days: dict[str, Any] = {"collection_method": "send_invoice", "invoice_settings": {"days_until_due": 14}}
    made = world.schedule(world.phase("2028-01-01", prices=(price,)), default_settings=days)
    assert preview(world, current(world, price), schedule=made.id)["due_date"] == at("2027-02-15")


def test_a_schedule_made_from_a_subscription(world: World, price: str, schedule: stripe.SubscriptionSchedule) -> None:
    released = world.sdk.v1.subscription_schedules.release(schedule.id).released_subscription
    again = world.sdk.v1.subscription_schedules.create({"from_subscription": reference(released)})
    phases = [world.phase(prices=(price,), start_date=MARCH, end_date="now"), world.phase("2028-01-01", prices=(price,))]
    assert lines(preview(world, *phases, schedule=again.id)) == [(1000, APRIL, MAY)]
