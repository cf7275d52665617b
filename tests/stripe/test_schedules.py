"""A subscription schedule as Stripe shows it becomes what the planner compares, or an error that names the field."""

from __future__ import annotations

import copy
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from orderphase.domain.lines import Discount
from orderphase.domain.policies import Policies
from orderphase.domain.schedules import HeldSchedule
from orderphase.errors import DataError
from orderphase.stripe.schedules import EXPANDED, EXPANDED_SUBSCRIPTION, read_schedule, read_subscription
from tests.domain.builders import line, moment, order
from tests.domain.stripe_desk import METADATA, Desk, Json

RAMP = order(
    "1",
    line("a", "2025-01-01", "2025-06-01", 2, percent_off="10"),
    line("b", "2025-06-01", "2026-01-01", 3, amount_off="5"),
    percent_off="12.5",
    collection_method="send_invoice",
    days_until_due=30,
)
TEN, FIVE, EIGHTH = (Discount(percent_off=Decimal(10)), Discount(amount_off=Decimal(5)), Discount(percent_off=Decimal("12.5")))


@pytest.fixture
def desk() -> Desk:
    desk = Desk(moment("2025-01-01"), Policies())
    assert desk.run(desk.sold(RAMP)).action == "create"
    desk.clock.set(moment("2025-03-15"), frozen=True)
    return desk


def shown(desk: Desk, *expand: str) -> Json:
    return desk.call("GET", f"subscription_schedules/{desk.schedule_id}", expand=list(expand))


def values(schedule: HeldSchedule, price: str) -> list[list[Discount | None]]:
    """What the discounts of each phase take off: on the whole, and on the item."""
    return [[one.value for place in (None, price) for one in phase.discounts_at(place)] for phase in schedule.phases]


class TestRead:
    def test_an_active_one(self, desk: Desk) -> None:
        held, price = read_schedule(shown(desk, *EXPANDED)), desk.prices["A"]
        subscription = desk.subscription
        assert subscription is not None
        assert (held.id, held.status, held.customer, held.customer_deleted) == (
            desk.schedule_id,
            "active",
            desk.customer,
            False,
        )
        assert (held.currency, held.end_behavior, held.metadata) == ("USD", "cancel", METADATA)
        assert [(phase.start, phase.end) for phase in held.phases] == [
            (moment("2025-01-01"), moment("2025-06-01")),
            (moment("2025-06-01"), moment("2026-01-01")),
        ]
        assert [phase.quantities for phase in held.phases] == [{price: 2}, {price: 3}]
        assert [(phase.collection_method, phase.days_until_due) for phase in held.phases] == [("send_invoice", 30)] * 2
        assert (held.collection_method, held.days_until_due) == ("charge_automatically", None)
        assert values(held, price) == [[EIGHTH, TEN], [EIGHTH, FIVE]]
        assert held.current is held.phases[0]
        assert held.left == held.phases
        (whole,), (item,) = held.current.discounts_at(None), held.current.discounts_at(price)
        assert (whole.id, item.id) == (subscription["discounts"][0], subscription["items"]["data"][0]["discounts"][0])
        assert [one.id for one in held.phases[1].discounts_at(None)] == [None]
        assert (held.subscription_id, held.subscription_lives, held.live) == (subscription["id"], True, True)
        assert (held.period_end, held.ended_at) == (moment("2025-04-01"), None)

    def test_in_the_second_phase_the_first_is_not_left(self, desk: Desk) -> None:
        desk.clock.set(moment("2025-07-15"), frozen=True)
        held = read_schedule(shown(desk, *EXPANDED))
        assert held.current is held.phases[1]
        assert held.left == held.phases[1:]
        assert [one.id for one in held.phases[0].discounts_at(None)] == [None]
        assert held.current.discounts_at(None)[0].id

    def test_one_that_waits(self) -> None:
        desk = Desk(moment("2024-12-01"), Policies())
        desk.run(desk.sold(RAMP))
        held = read_schedule(shown(desk, *EXPANDED))
        assert (held.status, held.current, held.left) == ("not_started", None, held.phases)
        assert (held.subscription_id, held.subscription_lives, held.period_end, held.live) == (None, False, None, True)

    @pytest.mark.parametrize(
        ("verb", "status", "lives"), [("cancel", "canceled", False), ("release", "released", True), ("", "completed", False)]
    )
    def test_one_that_is_over(self, desk: Desk, verb: str, status: str, lives: bool) -> None:
        if verb:
            desk.call("POST", f"subscription_schedules/{desk.schedule_id}/{verb}")
        else:
            desk.clock.set(moment("2026-01-01"), frozen=True)
        held = read_schedule(shown(desk, *EXPANDED))
        assert (held.status, held.current, held.live, held.ended_at) == (status, None, False, desk.now)
        assert (held.subscription_id is not None, held.subscription_lives, held.ran_out) == (True, lives, not verb)

    def test_the_subscription_that_it_let_go_is_asked_where_it_is_given(self, desk: Desk) -> None:
        desk.call("POST", f"subscription_schedules/{desk.schedule_id}/release")
        released = shown(desk)
        subscription = desk.subscription
        assert subscription is not None
        assert read_schedule({**released, "released_subscription": subscription}).period_end == moment("2025-04-01")
        desk.call("DELETE", f"subscriptions/{subscription['id']}")
        assert not read_schedule({**released, "released_subscription": desk.subscription}).subscription_lives
        assert read_schedule(released).subscription_lives

    @pytest.mark.parametrize(("behavior", "lives"), [("release", True), ("cancel", False)])
    def test_completed_is_let_go_where_it_was_to_be(self, desk: Desk, behavior: str, lives: bool) -> None:
        """Stripe does not say by which word a release at the end ends."""
        desk.clock.set(moment("2026-01-01"), frozen=True)
        held = read_schedule({**shown(desk), "end_behavior": behavior})
        assert (held.ran_out, held.subscription_lives) == (True, lives)

    def test_the_end_of_its_own_time_is_no_early_release(self, desk: Desk) -> None:
        end = int(moment("2026-01-01").timestamp())
        over = {**shown(desk), "status": "released", "current_phase": None}
        assert [read_schedule({**over, "released_at": when}).ran_out for when in (end - 1, end, end + 60)] == [
            False,
            True,
            True,
        ]
        assert not read_schedule(over).ran_out
        assert not read_schedule({**over, "status": "canceled", "canceled_at": end}).ran_out

    def test_a_customer_that_was_deleted(self, desk: Desk) -> None:
        desk.call("DELETE", f"customers/{desk.customer}")
        held = read_schedule(shown(desk, *EXPANDED))
        assert (held.customer, held.customer_deleted) == (desk.customer, True)
        assert not read_schedule(shown(desk)).customer_deleted

    def test_defaults_of_the_schedule(self, desk: Desk) -> None:
        defaults = {"collection_method": "send_invoice", "invoice_settings": {"days_until_due": 14}}
        desk.call("POST", f"subscription_schedules/{desk.schedule_id}", default_settings=defaults)
        held = read_schedule(shown(desk))
        assert (held.collection_method, held.days_until_due) == ("send_invoice", 14)

    def test_prices_may_be_objects(self, desk: Desk) -> None:
        assert read_schedule(shown(desk, "phases.items.price")) == read_schedule(shown(desk))

    def test_a_metered_price_has_no_quantity(self, desk: Desk) -> None:
        source = shown(desk)
        source["phases"][0]["items"][0]["quantity"] = None
        assert read_schedule(source).phases[0].quantities == {desk.prices["A"]: None}


class TestSubscriptionsWithoutASchedule:
    def test_what_one_bills_is_one_phase(self, desk: Desk) -> None:
        held, price = read_subscription(self.bare(desk)), desk.prices["A"]
        (phase,) = held.phases
        assert (held.bare, held.live, held.subscription_lives, held.current) == (True, False, True, phase)
        assert held.id == held.subscription_id == self.bare(desk)["id"]
        assert (held.customer, held.currency, held.end_behavior) == (desk.customer, "USD", "release")
        assert (phase.start, phase.end) == (moment("2025-03-01"), moment("2025-04-01"))
        assert (phase.quantities, phase.collection_method, phase.days_until_due) == ({price: 2}, "send_invoice", 30)
        assert values(held, price) == [[EIGHTH, TEN]]
        running = self.bare(desk)["discounts"][0]["id"]
        assert [one.id for one in phase.discounts_at(None)] == [running]

    def test_one_that_is_to_be_cancelled_ends_then(self, desk: Desk) -> None:
        until = moment("2025-08-01")
        held = read_subscription({**self.bare(desk), "cancel_at": int(until.timestamp())})
        assert (held.phases[0].end, held.end_behavior, held.subscription_lives) == (until, "cancel", True)

    def test_one_that_is_over(self, desk: Desk) -> None:
        desk.call("DELETE", f"subscriptions/{self.bare(desk)['id']}")
        held = read_subscription(self.bare(desk))
        assert (held.bills, held.ended_at) == (False, desk.now)

    def test_lines_that_its_items_name(self, desk: Desk) -> None:
        """By the key of Stripe's connector for CPQ, where ours is not there."""
        bare = self.bare(desk)
        for told, lines in (
            ({"salesforce_order_item_id": "802A"}, ["802A"]),
            ({"salesforce_order_item_ids": "802B,802C", "salesforce_order_item_id": "802A"}, ["802B", "802C"]),
        ):
            bare["items"]["data"][0]["metadata"] = told
            assert read_subscription(bare).line_prices == dict.fromkeys(lines, desk.prices["A"])

    def test_what_a_schedule_made_of_it_would_lose(self, desk: Desk) -> None:
        bare = self.bare(desk)
        (item,) = bare["items"]["data"]
        begun = item["current_period_start"]
        for told, lost in (
            ({"trial_end": begun}, ()),
            ({"trial_end": begun + 86_400}, ("a trial",)),
            ({"default_tax_rates": [{"id": "txr_1"}]}, ("tax rates",)),
            ({"items": {"data": [{**item, "tax_rates": [{"id": "txr_1"}]}]}}, ("tax rates",)),
            ({"automatic_tax": {"enabled": False}}, ()),
            ({"automatic_tax": {"enabled": True}}, ("automatic tax",)),
        ):
            assert read_subscription({**bare, **told}).beside == lost

    @pytest.mark.parametrize("name", ["id", "customer", "currency", "start_date", "items"])
    def test_the_field_that_is_wrong_is_named(self, desk: Desk, name: str) -> None:
        with pytest.raises(DataError, match=rf"subscription\.{name}"):
            read_subscription({**self.bare(desk), name: []})

    @staticmethod
    def bare(desk: Desk) -> Json:
        """The subscription once its schedule has let it go: nobody can tell that it has had one."""
        if desk.schedule["status"] == "active":
            desk.call("POST", f"subscription_schedules/{desk.schedule_id}/release")
        found = desk.objects("subscription")[0]
        return desk.call("GET", f"subscriptions/{found['id']}", expand=list(EXPANDED_SUBSCRIPTION))


class TestUnexpanded:
    def test_our_coupons_tell_their_value_by_their_ids(self, desk: Desk) -> None:
        bare, whole = read_schedule(shown(desk)), read_schedule(shown(desk, *EXPANDED))
        assert values(bare, desk.prices["A"]) == values(whole, desk.prices["A"]) == [[EIGHTH, TEN], [EIGHTH, FIVE]]

    def test_theirs_do_not(self, desk: Desk) -> None:
        desk.call("POST", "coupons", id="SUMMER", amount_off=700, currency="usd", duration="forever")
        source = shown(desk, *EXPANDED)
        theirs = {"coupon": "SUMMER", "discount": None, "promotion_code": None}
        source["phases"][1]["discounts"] = [theirs]
        (unknown,) = read_schedule(source).phases[1].discounts_at(None)
        assert (unknown.value, unknown.coupon) == (None, "SUMMER")
        source["phases"][1]["discounts"] = [{**theirs, "coupon": desk.call("GET", "coupons/SUMMER")}]
        (known,) = read_schedule(source).phases[1].discounts_at(None)
        assert (known.value, known.coupon) == (Discount(amount_off=Decimal(7)), "SUMMER")

    def test_what_runs_is_not_known(self, desk: Desk) -> None:
        held = read_schedule(shown(desk))
        assert held.current is not None
        (one,) = held.current.discounts_at(None)
        assert (one.id, one.reference) == (None, {"coupon": one.coupon})
        assert (held.subscription_id, held.subscription_lives, held.period_end) == (shown(desk)["subscription"], True, None)

    def test_a_discount_that_the_phase_names_by_its_id(self, desk: Desk) -> None:
        """As after an update that has kept it: its value is its coupon's, which the subscription names."""
        longer = order("1", *RAMP.lines[:1], line("b", "2025-06-01", "2026-02-01", 3, amount_off="5"))
        desk.run(desk.sold(order("1", *longer.lines, percent_off="12.5", collection_method="send_invoice", days_until_due=30)))
        named = desk.schedule["phases"][0]["discounts"][0]["discount"]
        assert named
        for source in (shown(desk, *EXPANDED), shown(desk, "subscription.discounts", "subscription.items.data.discounts")):
            held = read_schedule(source)
            assert held.current is not None
            (one,) = held.current.discounts_at(None)
            assert (one.id, one.value, one.reference) == (named, EIGHTH, {"discount": named})
        bare = read_schedule(shown(desk)).current
        assert bare is not None
        assert (bare.discounts_at(None)[0].id, bare.discounts_at(None)[0].value) == (named, None)
        (whole,) = desk.call("GET", f"subscription_schedules/{desk.schedule_id}", expand=["phases.discounts.discount"])[
            "phases"
        ][0]["discounts"]
        assert whole["discount"]["source"]["coupon"]


def without(*path: str | int) -> Callable[[Json], None]:
    def change(source: Any) -> None:
        for name in path[:-1]:
            source = source[name]
        del source[path[-1]]

    return change


def setting(value: Any, *path: str | int) -> Callable[[Json], None]:
    def change(source: Any) -> None:
        for name in path[:-1]:
            source = source[name]
        source[path[-1]] = value

    return change


MALFORMED: dict[str, tuple[Callable[[Json], None], str]] = {
    "another object": (setting("subscription", "object"), "schedule.object: "),
    "no id": (without("id"), "schedule.id: is missing"),
    "an empty id": (setting("", "id"), "schedule.id: "),
    "another status": (setting("renewed", "status"), "schedule.status: "),
    "no customer": (setting(None, "customer"), "schedule.customer: "),
    "a customer without an id": (setting({"deleted": True}, "customer"), "schedule.customer.id: is missing"),
    "no phases": (setting([], "phases"), "schedule.phases: "),
    "phases that are none": (setting({}, "phases"), "schedule.phases: "),
    "a start that is text": (
        setting("2025-01-01", "phases", 1, "start_date"),
        "schedule.phases[1].start_date: is not a time in Unix seconds",
    ),
    "a start that is true": (setting(True, "phases", 0, "start_date"), "schedule.phases[0].start_date: is not a time"),
    "a start that is a fraction": (setting(1.5, "phases", 0, "start_date"), "schedule.phases[0].start_date: is not a time"),
    "a time in milliseconds": (setting(1735689600000, "phases", 0, "end_date"), "schedule.phases[0].end_date: is not a time"),
    "a time before all": (setting(-1, "phases", 0, "end_date"), "schedule.phases[0].end_date: is not a time"),
    "no end": (setting(None, "phases", 1, "end_date"), "schedule.phases[1].end_date: is not a time"),
    "no items": (setting([], "phases", 0, "items"), "schedule.phases[0].items: "),
    "an item without a price": (without("phases", 0, "items", 0, "price"), "schedule.phases[0].items[0].price: is missing"),
    "a quantity below zero": (setting(-1, "phases", 0, "items", 0, "quantity"), "schedule.phases[0].items[0].quantity: "),
    "no currency": (without("phases", 0, "currency"), "schedule.phases[0].currency: is missing"),
    "discounts that are none": (setting("10", "phases", 0, "discounts"), "schedule.phases[0].discounts: "),
    "no end behavior": (without("end_behavior"), "schedule.end_behavior: is missing"),
    "active without a current phase": (setting(None, "current_phase"), "schedule.current_phase: names no phase"),
    "a current phase of another time": (setting(1, "current_phase", "start_date"), "schedule.current_phase: names no phase"),
    "metadata that is no text": (setting({"a": 1}, "metadata"), "schedule.metadata.a: "),
    "a subscription without an id": (setting({}, "subscription"), "schedule.subscription.id: is missing"),
}


class TestMalformed:
    @pytest.mark.parametrize("name", MALFORMED)
    def test_the_field_is_named(self, desk: Desk, name: str) -> None:
        change, told = MALFORMED[name]
        source = shown(desk, *EXPANDED)
        change(source)
        with pytest.raises(DataError) as refused:
            read_schedule(source)
        assert refused.value.message.startswith(told)
        assert ";" not in refused.value.message

    def test_all_are_told_at_once_under_the_path_that_was_given(self, desk: Desk) -> None:
        source = shown(desk)
        del source["id"], source["phases"][0]["currency"]
        with pytest.raises(DataError) as refused:
            read_schedule(source, "snapshot.schedule")
        assert refused.value.message == "snapshot.schedule.id: is missing; snapshot.schedule.phases[0].currency: is missing"

    @pytest.mark.parametrize("source", ["sub_sched_1", None, [], 1])
    def test_what_is_no_object(self, source: Any) -> None:
        with pytest.raises(DataError, match="schedule: is not a subscription schedule"):
            read_schedule(source)

    def test_what_is_read_is_left_as_it_is(self, desk: Desk) -> None:
        source = shown(desk, *EXPANDED)
        before = copy.deepcopy(source)
        read_schedule(source)
        assert source == before
