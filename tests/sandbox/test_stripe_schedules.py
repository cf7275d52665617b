"""Schedules: what they become when they are created, each refusal, and the lists of them and of what they start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Unpack

import pytest
from stripe.params import EventListParams, SubscriptionListParams

from sandbox.stripe_emulator.intervals import DAY
from tests.sandbox.stripe_world import ACCOUNT, World, at, reference, refusal, there


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def test_a_schedule_that_starts_now(world: World) -> None:
    price = world.price()
    phases = [
        world.phase("2027-06-01", prices=(price,), metadata={"m": "1"}, proration_behavior="none"),
        world.phase("2028-01-01", prices=(price, world.price())),
    ]
    schedule = world.schedule(*phases, metadata={"salesforce_contract_id": "800"}, billing_mode={"type": "flexible"})
    assert schedule.status == "active"
    assert there(schedule.current_phase).to_dict() == {"start_date": world.now, "end_date": at("2027-06-01")}
    first, second = schedule.to_dict()["phases"]
    assert (first["start_date"], first["end_date"]) == (world.now, at("2027-06-01"))
    assert (second["start_date"], second["end_date"]) == (at("2027-06-01"), at("2028-01-01"))
    assert first["items"] == [
        {
            "billing_thresholds": None,
            "discounts": [],
            "metadata": {},
            "plan": price,
            "price": price,
            "quantity": 1,
            "tax_rates": [],
        }
    ]
    assert (first["proration_behavior"], second["proration_behavior"]) == ("none", "create_prorations")
    assert (first["currency"], first["collection_method"]) == ("usd", None)
    subscription = world.subscription_of(schedule)
    assert (subscription.status, subscription.schedule, subscription.cancel_at) == ("active", schedule.id, None)
    assert subscription.metadata.to_dict() == {"m": "1"}  # the phase's; the schedule's own stays with the schedule
    [item] = subscription["items"].data
    assert item.id.startswith("si_")
    assert (item.price.id, item.quantity, item.current_period_end) == (price, 1, at("2027-02-01"))
    assert world.sdk.v1.customers.retrieve(reference(schedule.customer)).currency == "usd"
    # The schedule's own event comes after the subscription's.
    assert world.events()[-2:] == ["customer.subscription.created", "subscription_schedule.created"]


def test_a_past_start(world: World) -> None:
    anchored = world.schedule(world.phase("2028-01-01", billing_cycle_anchor="phase_start"), start_date=at("2026-12-15"))
    subscription = world.subscription_of(anchored)
    assert (anchored.status, subscription.start_date, subscription.created) == ("active", at("2026-12-15"), world.now)
    assert subscription.billing_cycle_anchor == at("2026-12-15")
    assert subscription["items"].data[0].current_period_end == at("2027-01-15")
    loose = world.subscription_of(world.schedule(world.phase("2028-01-01"), start_date=at("2026-12-15")))
    assert loose.billing_cycle_anchor == world.now


def test_a_phase_without_end_lasts_one_billing_cycle(world: World) -> None:
    schedule = world.schedule(world.phase(prices=(world.price("month", 3),)))
    assert schedule.phases[0].end_date == at("2027-04-01")
    mixed = world.phase(prices=(world.price("month"), world.price("year")))
    assert refusal(world.schedule, mixed).http_status == 501


def test_durations_are_counted_in_the_calendar(world: World) -> None:
    month: dict[str, Any] = {"duration": {"interval": "month"}}
    schedule = world.schedule(
        world.phase(**month), world.phase(duration={"interval": "year", "interval_count": 2}), start_date=at("2027-01-31")
    )
    assert [phase.end_date for phase in schedule.phases] == [at("2027-02-28"), at("2029-02-28")]


def test_collection_by_invoice(world: World) -> None:
    days: dict[str, Any] = {"collection_method": "send_invoice", "invoice_settings": {"days_until_due": 30}}
    own, default = world.phase("2027-06-01", **days), world.phase("2028-01-01")
    schedule = world.schedule(own, default)
    assert (there(schedule.phases[0].invoice_settings).days_until_due, schedule.phases[1].invoice_settings) == (30, None)
    sent = world.subscription_of(schedule)
    assert (sent.collection_method, sent.days_until_due, sent.status) == ("send_invoice", 30, "active")
    world.move_to("2027-06-01")
    charged = world.subscription_of(schedule)
    assert (charged.collection_method, charged.days_until_due) == ("charge_automatically", None)
    by_default = world.schedule(world.phase("2028-01-01"), default_settings=days)
    assert world.subscription_of(by_default).days_until_due == 30
    error = refusal(world.schedule, world.phase("2028-01-01"), default_settings={"collection_method": "send_invoice"})
    assert error.param == "phases[0][invoice_settings][days_until_due]"


def test_one_time_items_are_kept_with_the_phase(world: World) -> None:
    setup = world.price(None)
    schedule = world.schedule(world.phase("2028-01-01", add_invoice_items=[{"price": setup, "quantity": 2}]))
    [item] = schedule.to_dict()["phases"][0]["add_invoice_items"]
    assert (item["price"], item["quantity"], item["period"]["start"]) == (setup, 2, {"type": "max_item_period_start"})
    error = refusal(world.schedule, world.phase("2028-01-01", add_invoice_items=[{"price": world.price()}]))
    assert "`type=recurring` but this field only accepts prices with `type=one_time`" in error.user_message


def test_quantity_zero_is_accepted(world: World) -> None:
    phase = world.phase("2028-01-01")
    phase["items"][0]["quantity"] = 0
    assert world.subscription_of(world.schedule(phase))["items"].data[0].quantity == 0


def with_price(name: str) -> Callable[[World], dict[str, Any]]:
    return lambda world: world.phase("2028-01-01", prices=(name,))


def archived(world: World) -> dict[str, Any]:
    price = world.price()
    world.sdk.v1.prices.update(price, {"active": False})
    return world.phase("2028-01-01", prices=(price,))


def of_archived_product(world: World) -> dict[str, Any]:
    price = world.sdk.v1.prices.retrieve(world.price())
    world.sdk.v1.products.update(reference(price.product), {"active": False})
    return world.phase("2028-01-01", prices=(price.id,))


def used_up(world: World) -> dict[str, Any]:
    name = world.coupon(id="ONCE", max_redemptions=1)
    world.schedule(world.phase("2028-01-01", discounts=[{"coupon": name}]))
    return world.phase("2028-01-01", discounts=[{"coupon": name}])


def used_twice(world: World) -> dict[str, Any]:
    discounts = [{"coupon": world.coupon(id="ONCE", max_redemptions=1)}]
    phase = world.phase("2028-01-01", discounts=discounts)
    phase["items"][0]["discounts"] = discounts
    return phase


def expired(world: World) -> dict[str, Any]:
    name = world.coupon(redeem_by=world.now + DAY)
    world.clock.advance(timedelta(days=1))
    return world.phase("2028-01-01", discounts=[{"coupon": name}])


@pytest.mark.parametrize(
    ("phase", "message", "param", "code"),
    [
        (with_price("price_none"), "No such price: 'price_none'", "phases[0][items][0][price]", "resource_missing"),
        (lambda w: w.phase("2026-12-31"), "must be after its `start_date`", "phases[0][end_date]", None),
        (lambda w: w.phase("2027-01-01"), "must be after its `start_date`", "phases[0][end_date]", None),
        (lambda w: w.phase("2028-01-01", prices=(w.price(None),)), "`type=one_time` but", "phases[0][items][0][price]", None),
        (archived, "The price specified is inactive.", "phases[0][items][0][price]", None),
        (of_archived_product, "is inactive", "phases[0][items][0][price]", "product_inactive"),
        (
            lambda w: w.phase("2028-01-01", prices=(w.price(), w.price(currency="eur"))),
            "mismatch in currency field",
            "phases[0][items][1][price]",
            None,
        ),
        (
            lambda w: w.phase("2028-01-01", add_invoice_items=[{"price": w.price(None, currency="eur")}]),
            "mismatch in currency field",
            "phases[0][add_invoice_items][0][price]",
            None,
        ),
        (lambda w: w.phase("2028-01-01", currency="eur"), "mismatch in currency field", "phases[0][items][0][price]", None),
        (
            lambda w: w.phase("2028-01-01", prices=(w.price("month", 2), w.price("month", 3))),
            "mismatch in interval field",
            "phases[0][items]",
            None,
        ),
        (
            lambda w: w.phase("2028-01-01", discounts=[{"coupon": "none"}]),
            "No such coupon: 'none'",
            "phases[0][discounts][0][coupon]",
            "resource_missing",
        ),
        (used_up, "is used up and cannot be applied", "phases[0][discounts][0][coupon]", None),
        (used_twice, "is used up and cannot be applied", "phases[0][discounts][0][coupon]", None),
        (expired, "Coupon expired", "phases[0][discounts][0][coupon]", "coupon_expired"),
        (
            lambda w: w.phase(
                "2028-01-01", discounts=[{"coupon": w.sdk.v1.coupons.create({"amount_off": 1, "currency": "eur"}).id}]
            ),
            "currency eur",
            "phases[0][discounts][0][coupon]",
            None,
        ),
        (
            lambda w: w.phase("2028-01-01", duration={"interval": "month"}),
            "You may only specify one of these parameters: duration, end_date.",
            "phases[0]",
            "parameters_exclusive",
        ),
        (
            lambda w: w.phase("2028-01-01", start_date=1),
            "unknown parameter: phases[0][start_date]",
            "phases[0][start_date]",
            None,
        ),
        (
            lambda w: w.phase("2028-01-01", iterations=1),
            "unknown parameter: phases[0][iterations]",
            "phases[0][iterations]",
            None,
        ),
        (lambda w: w.phase(duration={"interval": "year", "interval_count": 9999}), "Invalid timestamp", None, None),
    ],
)
def test_phases_that_are_refused(
    world: World, phase: Callable[[World], dict[str, Any]], message: str, param: str | None, code: str | None
) -> None:
    sent = phase(world)
    writes = world.emulator.writes()
    subscriptions = len(world.emulator.objects(ACCOUNT, "subscription"))
    customer = world.customer()
    error = refusal(world.schedule, sent, customer=customer)
    assert message in error.user_message
    assert (error.http_status, error.param) == (400, param)
    assert code is None or error.code == code
    assert world.emulator.writes() == writes + 1  # the customer
    assert len(world.emulator.objects(ACCOUNT, "subscription")) == subscriptions


def test_classic_billing_takes_one_interval_only(world: World) -> None:
    phase = world.phase("2028-01-01", prices=(world.price("month"), world.price("year")))
    assert "mismatch in interval field" in refusal(world.schedule, phase, billing_mode={"type": "classic"}).user_message
    flexible = world.schedule(phase, billing_mode={"type": "flexible"})
    ends = [item.current_period_end for item in world.subscription_of(flexible)["items"].data]
    assert ends == [at("2027-02-01"), at("2028-01-01")]


def test_one_currency_per_schedule(world: World) -> None:
    first, second = world.phase("2027-06-01", currency="usd"), world.phase("2028-01-01", currency="eur")
    assert refusal(world.schedule, first, second).param == "phases[1][currency]"


def test_references_come_before_rules_across_fields(world: World) -> None:
    phase = world.phase("2028-01-01", prices=("price_none",), duration={"interval": "month"})
    assert refusal(world.schedule, phase).code == "resource_missing"
    assert refusal(world.schedule, phase, customer="cus_none").param == "customer"


def test_a_deleted_customer(world: World) -> None:
    customer = world.customer()
    world.sdk.v1.customers.delete(customer)
    error = refusal(world.schedule, world.phase("2028-01-01"), customer=customer)
    assert (error.user_message, error.http_status, error.param) == (f"No such customer: '{customer}'", 400, "customer")


def test_one_currency_per_customer_while_anything_runs(world: World) -> None:
    customer = world.customer()
    dollars = world.schedule(world.phase("2028-01-01"), customer=customer)
    euros = world.phase("2028-01-01", prices=(world.price(currency="eur"),))
    assert "with currency usd." in refusal(world.schedule, euros, customer=customer).user_message
    world.sdk.v1.subscription_schedules.release(dollars.id)
    assert "with currency usd." in refusal(world.schedule, euros, customer=customer).user_message  # the subscription runs on
    other = world.customer()
    waiting = world.schedule(world.phase("2028-01-01"), customer=other, start_date=at("2027-06-01"))
    assert "with currency usd." in refusal(world.schedule, euros, customer=other).user_message
    world.sdk.v1.subscription_schedules.cancel(waiting.id)
    assert world.schedule(euros, customer=other).status == "active"
    assert world.sdk.v1.customers.retrieve(other).currency == "eur"


@pytest.mark.parametrize(
    "change",
    [
        {"phases": {"trial": True}},
        {"phases": {"trial_end": at("2027-02-01")}},
        {"phases": {"automatic_tax": {"enabled": True}}},
        {"phases": {"transfer_data": {"destination": "acct_1"}}},
        {"phases": {"default_tax_rates": ["txr_1"]}},
        {"phases": {"discounts": [{"discount": "di_1"}]}},
        {"pause_schedules": [{"pause": {"pause_at": {"type": "now"}}}]},
        {"default_settings": {"default_payment_method": "pm_1"}},
        {"end_behavior": "none"},
    ],
)
def test_what_is_not_modelled_is_refused_aloud(world: World, change: dict[str, Any]) -> None:
    phase = world.phase("2028-01-01", **change.pop("phases", {}))
    error = refusal(world.schedule, phase, **change)
    assert error.http_status == 501
    assert error.json_body["error"]["type"] == "emulator_not_modelled"
    assert world.emulator.objects(ACCOUNT, "subscription_schedule") == []


def test_more_that_is_not_modelled(world: World) -> None:
    customer = world.customer()
    create = world.sdk.v1.subscription_schedules.create
    assert refusal(create, {"customer": customer, "phases": [world.phase("2028-01-01")]}).http_status == 501  # no start_date
    over = [world.phase("2026-06-01"), world.phase("2028-01-01")]
    assert refusal(world.schedule, *over, start_date=at("2026-01-01")).http_status == 501


def test_lists_of_schedules(world: World) -> None:
    waiting = world.schedule(world.phase("2028-01-01"), start_date=at("2027-06-01"))
    running = world.schedule(world.phase("2028-01-01"))
    schedules = world.sdk.v1.subscription_schedules
    assert [entry.id for entry in schedules.list().data] == [running.id, waiting.id]
    assert [entry.id for entry in schedules.list({"scheduled": True}).data] == [waiting.id]
    assert [entry.id for entry in schedules.list({"customer": reference(running.customer)}).data] == [running.id]
    schedules.cancel(waiting.id)
    assert [entry.id for entry in schedules.list({"canceled_at": {"gte": world.now}}).data] == [waiting.id]
    assert schedules.list({"released_at": {"gte": 0}}).data == []


def test_lists_of_subscriptions(world: World) -> None:
    price = world.price()
    running = world.schedule(world.phase("2028-01-01", prices=(price,)))
    over = world.schedule(world.phase("2028-01-01"))
    world.sdk.v1.subscription_schedules.cancel(over.id)

    def listed(**params: Unpack[SubscriptionListParams]) -> list[str]:
        return [entry.id for entry in world.sdk.v1.subscriptions.list(params).data]

    assert (
        listed()
        == listed(status="active")
        == listed(price=price)
        == listed(customer=reference(running.customer))
        == [running.subscription]
    )
    assert listed(status="canceled") == listed(status="ended") == [over.subscription]
    assert listed(status="all") == [over.subscription, running.subscription]
    assert listed(status="trialing") == listed(customer="cus_none") == []


def test_events_can_be_listed_by_type(world: World) -> None:
    world.schedule(world.phase("2028-01-01"))
    events = world.sdk.v1.events

    def types(**params: Unpack[EventListParams]) -> list[str]:
        return [event.type for event in events.list(params).data]

    assert types(type="customer.*") == ["customer.subscription.created", "customer.created"]
    assert types(types=["price.created", "plan.created"]) == ["price.created", "plan.created"]
    newest = events.list({"limit": 1}).data[0]
    assert events.retrieve(newest.id).data.object.to_dict() == newest.data.object.to_dict()
    assert newest.type == "subscription_schedule.created"
