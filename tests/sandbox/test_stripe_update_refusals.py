"""Updates of schedules that are refused, by Stripe's rules or because they are not modelled. They change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stripe

from sandbox.stripe_emulator import StripeError, check
from tests.sandbox.stripe_changes import held, update
from tests.sandbox.stripe_world import World, at, refusal

CURRENT = at("2027-03-01")


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def running(world: World) -> stripe.SubscriptionSchedule:
    """One phase is over, the second is current since March and ends in June, the third is to come. It is 2027-04-01."""
    phases = [world.phase(end) for end in ("2027-03-01", "2027-06-01", "2028-01-01")]
    schedule = world.schedule(*phases)
    world.move_to("2027-04-01")
    return schedule


def one(end: str | None, **params: Any) -> Callable[[World], list[dict[str, Any]]]:
    return lambda world: [world.phase(end, **params)]


def two(first: dict[str, Any], second: dict[str, Any]) -> Callable[[World], list[dict[str, Any]]]:
    return lambda world: [world.phase(**first), world.phase(**second)]


FIXED = "You can not modify the start date of the current phase."
FUTURE = "You can only adjust the end date to a future date for the current phase."
GAP = "The `start_date` of a phase must be the `end_date` of the phase before it."
EMPTY = (
    "You passed an empty string for '{0}'. We assume empty values are an attempt to unset a parameter; however '{0}' cannot be "
    "unset. You should remove '{0}' from your request or supply a non-empty value."
)


@pytest.mark.parametrize(
    ("phases", "message", "param"),
    [
        (one("2028-01-01", start_date="now"), FIXED, "phases[0][start_date]"),
        (one("2028-01-01", start_date=CURRENT + 1), FIXED, "phases[0][start_date]"),
        (one("2028-01-01", start_date=CURRENT - 1), FIXED, "phases[0][start_date]"),
        (one("2028-01-01", start_date=at("2027-06-01")), FUTURE, "phases[0][end_date]"),
        (one("2027-03-15", start_date=CURRENT), FUTURE, "phases[0][end_date]"),
        (one("2027-04-01", start_date=CURRENT), FUTURE, "phases[0][end_date]"),
        (
            one("2028-01-01", start_date=at("2027-01-01")),
            "You can not update a phase that has already ended. Trying to update phase 0.",
            "phases[0]",
        ),
        (
            one("2028-01-01"),
            "The subscription schedule update is missing at least one phase with a `start_date` to anchor end dates to.",
            "phases",
        ),
        (
            two({"end": "2027-06-01"}, {"end": "2028-01-01", "start_date": at("2027-06-01")}),
            "The subscription schedule update is missing at least one phase with a `start_date` to anchor end dates to.",
            "phases",
        ),
        (
            two({"end": "2027-06-01", "start_date": CURRENT}, {"end": "2028-01-01", "start_date": at("2027-06-02")}),
            GAP,
            "phases[1][start_date]",
        ),
        (
            two({"end": "2027-06-01", "start_date": CURRENT}, {"end": "2028-01-01", "start_date": at("2027-05-31")}),
            GAP,
            "phases[1][start_date]",
        ),
        (
            two({"end": "2027-06-01", "start_date": CURRENT}, {"end": "2028-01-01", "start_date": "now"}),
            GAP,
            "phases[1][start_date]",
        ),
        (
            two({"end_date": "now", "start_date": CURRENT}, {"end": "2028-01-01", "start_date": at("2027-04-02")}),
            GAP,
            "phases[1][start_date]",
        ),
        (
            two({"end": "2027-06-01", "start_date": CURRENT}, {"end": "2027-05-01"}),
            "The `end_date` of a phase must be after its `start_date`.",
            "phases[1][end_date]",
        ),
        (
            two({"end": "2027-06-01", "start_date": CURRENT}, {"end_date": "now"}),
            "The `end_date` of a phase must be after its `start_date`.",
            "phases[1][end_date]",
        ),
        (
            one("2028-01-01", start_date=CURRENT, duration={"interval": "month"}),
            "You may only specify one of these parameters: duration, end_date.",
            "phases[0]",
        ),
        (one("2028-01-01", start_date=CURRENT, prices=("price_none",)), "No such price", "phases[0][items][0][price]"),
        (one("2028-01-01", start_date=CURRENT * 1000), "Invalid timestamp", "phases[0][start_date]"),
        (
            one("2028-01-01", start_date=CURRENT, collection_method=""),
            EMPTY.format("phases[0][collection_method]"),
            "phases[0][collection_method]",
        ),
        (
            lambda world: [
                world.phase("2028-01-01", start_date=CURRENT, discounts=[{"coupon": world.coupon(), "discount": "di_1"}])
            ],
            "You may only specify one of these parameters: coupon, discount, promotion_code.",
            "phases[0][discounts][0]",
        ),
        (one("2028-01-01", start_date=CURRENT, iterations=1), "unknown parameter", "phases[0][iterations]"),
        (one("2028-01-01", start_date=CURRENT, currency="eur"), "mismatch in currency field", "phases[0][currency]"),
        (
            lambda world: [world.phase("2028-01-01", start_date=CURRENT, prices=(world.price(currency="eur"),))],
            "mismatch in currency field",
            "phases[0][items][0][price]",
        ),
        (
            lambda world: [
                world.phase("2028-01-01", start_date=CURRENT, prices=(world.price("month", 2), world.price("month", 3)))
            ],
            "mismatch in interval field",
            "phases[0][items]",
        ),
        (
            one("2028-01-01", start_date=CURRENT, prices=tuple(f"price_{n}" for n in range(21))),
            "No such price",
            "phases[0][items][0][price]",
        ),
        (
            lambda world: [world.phase("2028-01-01", start_date=CURRENT, prices=tuple(world.price() for _ in range(21)))],
            "at most the maximum 20 items",
            "phases[0][items]",
        ),
        (
            lambda world: [
                world.phase("2028-01-01", start_date=CURRENT, add_invoice_items=[{"price": world.price(None)}] * 21)
            ],
            "at most 20 invoice items",
            "phases[0][add_invoice_items]",
        ),
    ],
)
def test_phases_that_are_refused(
    world: World,
    running: stripe.SubscriptionSchedule,
    phases: Callable[[World], list[dict[str, Any]]],
    message: str,
    param: str,
) -> None:
    sent = phases(world)
    before, events, writes = held(world, running), len(world.events()), world.emulator.writes()
    refused = refusal(update, world, running, *sent)
    assert message in refused.user_message
    assert (refused.http_status, refused.param) == (400, param)
    assert held(world, running) == before
    assert (len(world.events()), world.emulator.writes()) == (events, writes)


def test_the_past_is_closed_before_the_start_too(world: World) -> None:
    schedule = world.schedule(world.phase("2028-01-01"), start_date=at("2027-06-01"))
    refused = refusal(update, world, schedule, world.phase("2028-01-01", start_date=world.now - 1))
    assert (refused.http_status, refused.param) == (400, "phases[0][start_date]")
    backwards = world.phase(start_date="now", end_date="now")
    assert refusal(update, world, schedule, backwards, world.phase("2028-01-01")).param == "phases[0][end_date]"


@pytest.mark.parametrize("name", ["start_date", "customer", "currency", "billing_mode"])
def test_what_only_creation_takes(world: World, running: stripe.SubscriptionSchedule, name: str) -> None:
    refused = refusal(update, world, running, **{name: "now"})
    assert (refused.http_status, refused.code) == (400, "parameter_unknown")
    assert refused.user_message == f"Received unknown parameter: {name}"


@pytest.mark.parametrize(("end", "status"), [("cancel", "canceled"), ("release", "released")])
def test_a_schedule_that_is_over_takes_no_update(
    world: World, running: stripe.SubscriptionSchedule, end: str, status: str
) -> None:
    getattr(world.sdk.v1.subscription_schedules, end)(running.id)
    refused = refusal(update, world, running, metadata={"k": "v"})
    assert refused.http_status == 400
    assert refused.user_message == (
        f"You cannot update a subscription schedule that is currently in the `{status}` status. "
        "It must be in `not_started, active` status to be updated."
    )


def test_a_schedule_that_has_completed_takes_no_update(world: World, running: stripe.SubscriptionSchedule) -> None:
    world.move_to("2028-01-01")
    assert "in the `completed` status" in refusal(update, world, running, metadata={"k": "v"}).user_message


def test_phases_as_retrieved_are_not_taken_back(world: World, running: stripe.SubscriptionSchedule) -> None:
    nothing_left_out = {name: "" if value is None else value for name, value in held(world, running)["phases"][1].items()}
    assert "You passed an empty string for 'phases[0]" in refusal(update, world, running, nothing_left_out).user_message


@pytest.mark.parametrize(
    "change",
    [
        {"trial": True},
        {"trial_end": "now"},
        {"automatic_tax": {"enabled": True}},
        {"end_date": "now"},
    ],
)
def test_what_is_not_modelled(world: World, running: stripe.SubscriptionSchedule, change: dict[str, Any]) -> None:
    phase = {**world.phase("2028-01-01", start_date=CURRENT), **change}
    refused = refusal(update, world, running, phase)
    assert refused.http_status == 501
    assert refusal(update, world, running, end_behavior="renew").http_status == 501


def test_references_come_before_rules_and_rules_before_state(world: World, running: stripe.SubscriptionSchedule) -> None:
    wrong = world.phase("2028-01-01", prices=("price_none",), duration={"interval": "month"})
    assert refusal(update, world, running, wrong).code == "resource_missing"
    world.sdk.v1.subscription_schedules.release(running.id)
    assert refusal(update, world, running, world.phase("2028-01-01")).param == "phases"


def test_the_parameters_alone_can_be_checked_without_a_service() -> None:
    phase = {"items": [{"price": "p"}], "start_date": 1, "end_date": "now"}
    check("subscription_schedules.update", {"phases": [phase, {**phase, "start_date": "now", "end_date": 2}]})
    with pytest.raises(StripeError, match="at most 10 current and future phases"):
        check("subscription_schedules.update", {"phases": [phase] * 11})
