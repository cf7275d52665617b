"""Whatever is done to a schedule, in whatever order, and whenever: what must hold afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any, cast

import pytest
import stripe
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from stripe.params import (
    InvoiceCreatePreviewParams,
    SubscriptionScheduleCreateParams,
    SubscriptionScheduleUpdateParams,
    SubscriptionUpdateParams,
)

from sandbox.stripe_emulator.intervals import DAY
from tests.sandbox.stripe_changes import credit
from tests.sandbox.stripe_world import ACCOUNT, World

PRICES, COUPONS = 3, 2


@dataclass(frozen=True)
class Wanted:
    """A phase that is to be sent: its days, quantity by number of the price, number of its coupon, a one-time item's amount."""

    days: int
    items: dict[int, int]
    coupon: int | None
    one_time: int | None
    by_duration: bool


wanted = st.builds(
    Wanted,
    days=st.integers(1, 150),
    items=st.dictionaries(st.integers(0, PRICES - 1), st.integers(0, 3), min_size=1),
    coupon=st.none() | st.integers(0, COUPONS - 1),
    one_time=st.none() | st.integers(-500, 500),
    by_duration=st.booleans(),
)
END_BEHAVIORS = st.sampled_from(["cancel", "release"])


class Sequences(RuleBasedStateMachine):
    """One schedule after another, created, updated, edited past it and ended, while time goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.prices = [self.world.price(interval) for interval in ("month", "month", "year")]
        self.coupons = [self.world.coupon() for _ in range(COUPONS)]
        self.product = self.world.sdk.v1.products.create({"name": "Adjustment"}).id
        self.schedule_id = ""
        self.expected: list[tuple[int, int]] = []  # start of the phase and amount of what subscriptions should have been given

    def teardown(self) -> None:
        self.world.close()

    # --- what is there

    @property
    def now(self) -> int:
        return self.world.clock.timestamp()

    @property
    def schedule(self) -> dict[str, Any]:
        return self._object("subscription_schedule", self.schedule_id)

    @property
    def active(self) -> bool:
        return bool(self.schedule["status"] == "active")

    @property
    def open(self) -> bool:
        return self.schedule["status"] in ("not_started", "active")

    @property
    def subscription(self) -> dict[str, Any]:
        return self._object("subscription", self.schedule["subscription"])

    def _object(self, kind: str, object_id: str) -> dict[str, Any]:
        return next(shown for shown in self.world.emulator.objects(ACCOUNT, kind) if shown["id"] == object_id)

    # --- what is done

    def _phases(self, phases: Sequence[Wanted], start: int) -> list[dict[str, Any]]:
        """The parameters of phases, the first of which has its end counted from `start`."""
        sent = []
        for number, phase in enumerate(phases):
            params: dict[str, Any] = {
                "items": [{"price": self.prices[price], "quantity": quantity} for price, quantity in phase.items.items()],
                "metadata": {"days": str(phase.days)},
            }
            if phase.coupon is not None:
                params["discounts"] = [{"coupon": self.coupons[phase.coupon]}]
            if phase.one_time is not None:
                period = {"start": {"type": "phase_start"}, "end": {"type": "phase_end"}}
                params["add_invoice_items"] = [credit(self.product, phase.one_time, period=period)]
            start += phase.days * DAY
            if phase.by_duration and number:
                params["duration"] = {"interval": "day", "interval_count": phase.days}
            else:
                params["end_date"] = start
            sent.append(params)
        return sent

    def _update(self, phases: list[dict[str, Any]] | None = None, **params: Any) -> None:
        sent = {**params, **({"phases": phases} if phases else {})}
        self.world.sdk.v1.subscription_schedules.update(self.schedule_id, cast("SubscriptionScheduleUpdateParams", sent))

    def _from_now(self, phases: Sequence[Wanted]) -> list[dict[str, Any]]:
        """Phases to replace the current and future ones: the current one ends a while after now, the others follow.

        The current one is sent without one-time items, which takes back nothing.
        """
        first, *later = self._phases(phases, self.now)
        first.pop("add_invoice_items", None)
        return [{**first, "start_date": self.schedule["current_phase"]["start_date"]}, *later]

    @initialize(phases=st.lists(wanted, min_size=1, max_size=4), wait=st.integers(0, 40), end=END_BEHAVIORS)
    def begin(self, phases: list[Wanted], wait: int, end: str) -> None:
        start = self.now + wait * DAY
        params = {"start_date": start if wait else "now", "end_behavior": end, "phases": self._phases(phases, start)}
        sent = {**params, "customer": self.world.customer()}
        create = self.world.sdk.v1.subscription_schedules.create
        self.schedule_id = create(cast("SubscriptionScheduleCreateParams", sent)).id
        if not wait:
            self._expect(phases[0])

    @precondition(lambda self: not self.open)
    @rule(phases=st.lists(wanted, min_size=1, max_size=4), wait=st.integers(0, 40), end=END_BEHAVIORS)
    def begin_another(self, phases: list[Wanted], wait: int, end: str) -> None:
        self.begin(phases, wait, end)

    @precondition(lambda self: self.schedule["status"] == "released" and self.schedule["released_subscription"])
    @rule()
    def take_up_again(self) -> None:
        """A schedule is made from the subscription that the last one has left behind, where its items turn together."""
        before = self._object("subscription", self.schedule["released_subscription"])
        periods = {(item["current_period_start"], item["current_period_end"]) for item in before["items"]["data"]}
        create = self.world.sdk.v1.subscription_schedules.create
        if len(periods) > 1:
            with pytest.raises(stripe.APIError, match="several billing intervals"):
                create({"from_subscription": before["id"]})
            return
        self.schedule_id = create({"from_subscription": before["id"]}).id
        assert self.subscription == {**before, "schedule": self.schedule_id}
        assert [(phase["start_date"], phase["end_date"]) for phase in self.schedule["phases"]] == [*periods]

    @rule(days=st.integers(0, 60), seconds=st.integers(0, DAY))
    def time_goes_by(self, days: int, seconds: int) -> None:
        before, since, was_open = self.schedule, self.now, self.open
        self.world.clock.advance(timedelta(days=days, seconds=seconds))
        after = self.schedule
        assert after["phases"] == before["phases"]
        for phase in after["phases"] if was_open else []:
            if since < phase["start_date"] <= self.now:
                prices = [self._object("price", item["price"]) for item in phase["add_invoice_items"]]
                self.expected += [(phase["start_date"], price["unit_amount"]) for price in prices]
        if self.active:
            [running] = [phase for phase in after["phases"] if phase["start_date"] <= self.now < phase["end_date"]]
            assert after["current_phase"] == {name: running[name] for name in ("start_date", "end_date")}

    @precondition(lambda self: self.active)
    @rule(phases=st.lists(wanted, min_size=1, max_size=10), end=END_BEHAVIORS)
    def replace(self, phases: list[Wanted], end: str) -> None:
        before, sent = self.schedule, self._from_now(phases)
        self._update(sent, end_behavior=end)
        after = self.schedule
        past = [phase for phase in before["phases"] if phase["end_date"] <= self.now]
        assert after["phases"][: len(past)] == past
        assert len(after["phases"]) == len(past) + len(sent)
        assert after["current_phase"]["start_date"] == before["current_phase"]["start_date"]

    @precondition(lambda self: self.active and self.now > self.schedule["current_phase"]["start_date"])
    @rule(ending=wanted, phases=st.lists(wanted, min_size=1, max_size=9))
    def split(self, ending: Wanted, phases: list[Wanted]) -> None:
        before, items = self.schedule, {item["id"] for item in self.subscription["items"]["data"]}
        [over], [first, *later] = self._from_now([ending]), self._phases(phases, self.now)
        self._update([{**over, "end_date": "now"}, {**first, "start_date": "now"}, *later])
        self._expect(phases[0])
        after = self.schedule
        position = before["phases"].index(next(p for p in before["phases"] if p["end_date"] > self.now))
        assert after["phases"][:position] == before["phases"][:position]
        assert after["phases"][position]["end_date"] == after["current_phase"]["start_date"] == self.now
        survivors = {item["id"] for item in self.subscription["items"]["data"] if item["created"] < self.now}
        assert survivors <= items

    def _as_it_is(self) -> list[dict[str, Any]]:
        """The current and future phases as they are, with the discounts and the one-time items' prices by their ids."""
        schedule, subscription = self.schedule, self.subscription
        running = [phase for phase in schedule["phases"] if phase["end_date"] > self.now]
        names = ("end_date", "metadata")
        sent = []
        for phase in running:
            items = [{name: item[name] for name in ("price", "quantity")} for item in phase["items"]]
            entries = [{"coupon": entry["coupon"]} for entry in phase["discounts"]]
            extras = [{name: item[name] for name in ("period", "price", "quantity")} for item in phase["add_invoice_items"]]
            one_time = {"add_invoice_items": extras} if extras else {}
            sent.append({**{name: phase[name] for name in names}, "items": items, "discounts": entries or "", **one_time})
        kept = [{"discount": discount} for discount in subscription["discounts"]] or ""
        sent[0].update(start_date=running[0]["start_date"], discounts=kept)
        return sent

    @precondition(lambda self: self.active)
    @rule()
    def keep_the_discounts(self) -> None:
        """Everything is sent as it is: only the schedule's words change."""
        subscription, redeemed = self.subscription, self._redeemed()
        self._update(self._as_it_is())
        assert self.subscription == subscription
        assert self._redeemed() == redeemed

    @precondition(lambda self: self.active)
    @rule(end=END_BEHAVIORS)
    def preview_it(self, end: str) -> None:
        """The next invoice of what is there, or the reason why there is none or why it is not modelled."""
        before = (self.schedule, self.subscription, self.world.events())
        details = {"phases": self._as_it_is(), "end_behavior": end, "proration_behavior": "none"}
        sent = {"schedule": self.schedule_id, "schedule_details": details}
        try:
            invoice = self.world.sdk.v1.invoices.create_preview(cast("InvoiceCreatePreviewParams", sent)).to_dict()
        except stripe.StripeError as refused:
            if refused.http_status != 501 and refused.code != "invoice_upcoming_none":
                raise
        else:
            turns = [line["period"] for line in invoice["lines"]["data"] if line["parent"]["type"].startswith("subscription")]
            assert turns
            assert all(turn["start"] == invoice["created"] > self.now for turn in turns)
            assert invoice["total"] == sum(line["amount"] for line in invoice["lines"]["data"]) - sum(
                taken["amount"] for taken in invoice["total_discount_amounts"]
            )
        assert (self.schedule, self.subscription, self.world.events()) == before

    @precondition(lambda self: self.open)
    @rule(end=END_BEHAVIORS, value=st.sampled_from(["", "1", "2"]))
    def change_no_phase(self, end: str, value: str) -> None:
        before = self.schedule
        self._update(end_behavior=end, metadata={"k": value})
        assert self.schedule["phases"] == before["phases"]
        assert self.schedule["metadata"] == ({"k": value} if value else {})

    @precondition(lambda self: self.schedule["status"] == "not_started")
    @rule(phases=st.lists(wanted, min_size=1, max_size=10), wait=st.integers(0, 30))
    def move_the_start(self, phases: list[Wanted], wait: int) -> None:
        start = self.now + wait * DAY
        first, *later = self._phases(phases, start)
        self._update([{**first, "start_date": start if wait else "now"}, *later])
        if not wait:
            self._expect(phases[0])
        assert self.schedule["phases"][0]["start_date"] == start
        assert self.active == (wait == 0)

    @precondition(lambda self: self.active)
    @rule(quantity=st.integers(0, 3), coupon=st.none() | st.integers(0, COUPONS - 1))
    def edit_past_it(self, quantity: int, coupon: int | None) -> None:
        before, item = self.schedule, self.subscription["items"]["data"][0]
        sent: dict[str, Any] = {"items": [{"id": item["id"], "quantity": quantity}]}
        if coupon is not None:
            sent["discounts"] = [{"coupon": self.coupons[coupon]}]
        self.world.sdk.v1.subscriptions.update(before["subscription"], cast("SubscriptionUpdateParams", sent))
        changed = quantity != item["quantity"] or coupon is not None
        assert self.schedule["current_phase"]["end_date"] == before["current_phase"]["end_date"]
        if changed:
            assert self.schedule["current_phase"]["start_date"] == self.now
        else:
            assert self.schedule == before

    @precondition(lambda self: self.active)
    @rule(phase=wanted, shift=st.sampled_from([-DAY, -1, 1, 400 * DAY]))
    def shift_the_current_start_in_vain(self, phase: Wanted, shift: int) -> None:
        before, events = (self.schedule, self.subscription), self.world.events()
        [sent] = self._from_now([phase])
        with pytest.raises(stripe.InvalidRequestError):
            self._update([{**sent, "start_date": sent["start_date"] + shift, "end_date": sent["end_date"] + 1000 * DAY}])
        assert ((self.schedule, self.subscription), self.world.events()) == (before, events)

    @precondition(lambda self: self.open)
    @rule(verb=st.sampled_from(["cancel", "release", "delete"]))
    def end(self, verb: str) -> None:
        if verb == "delete" and self.active:
            self.world.sdk.v1.subscriptions.cancel(self.schedule["subscription"])
        elif verb == "release":
            self.world.sdk.v1.subscription_schedules.release(self.schedule_id)
        else:
            self.world.sdk.v1.subscription_schedules.cancel(self.schedule_id)
        assert not self.open

    # --- what must hold

    @invariant()
    def phases_follow_each_other(self) -> None:
        phases = self.schedule["phases"]
        assert all(phase["start_date"] < phase["end_date"] for phase in phases)
        assert all(before["end_date"] == after["start_date"] for before, after in pairwise(phases))
        assert sum(phase["end_date"] > self.now for phase in phases) <= 10

    @invariant()
    def the_subscription_is_what_the_current_phase_says(self) -> None:
        if not self.active:
            return
        schedule, subscription = self.schedule, self.subscription
        current = next(phase for phase in schedule["phases"] if phase["end_date"] > self.now)
        assert schedule["current_phase"]["start_date"] == current["start_date"] <= self.now
        items = subscription["items"]["data"]
        assert [(item["price"]["id"], item["quantity"]) for item in items] == [
            (item["price"], item["quantity"]) for item in current["items"]
        ]
        assert all(item["current_period_start"] <= self.now < item["current_period_end"] for item in items)
        discounts = {shown["id"]: shown["source"]["coupon"] for shown in self.world.emulator.objects(ACCOUNT, "discount")}
        said = [entry["coupon"] or discounts[entry["discount"]] for entry in current["discounts"]]
        assert [discounts[discount] for discount in subscription["discounts"]] == said
        assert current["metadata"].items() <= subscription["metadata"].items()
        ends = schedule["end_behavior"] == "cancel" and current is schedule["phases"][-1]
        assert subscription["cancel_at"] == (current["end_date"] if ends else None)

    @invariant()
    def each_phase_gives_its_items_once(self) -> None:
        given = self.world.emulator.invoice_items(ACCOUNT)
        assert [(item.phase_start, item.amount) for item in given] == self.expected
        assert all(item.period_start == item.phase_start < item.period_end for item in given)

    @invariant()
    def every_change_was_told(self) -> None:
        told = {event["data"]["object"]["id"]: event["data"]["object"] for event in self._events()}
        for kind in ("subscription_schedule", "subscription"):
            for shown in self.world.emulator.objects(ACCOUNT, kind):
                assert told[shown["id"]] == shown

    @invariant()
    def every_redemption_is_a_discount(self) -> None:
        minted = [shown["source"]["coupon"] for shown in self.world.emulator.objects(ACCOUNT, "discount")]
        assert self._redeemed() == [minted.count(coupon) for coupon in self.coupons]

    def _expect(self, phase: Wanted) -> None:
        """A phase has begun now."""
        if phase.one_time is not None:
            self.expected.append((self.now, phase.one_time))

    def _events(self) -> list[dict[str, Any]]:
        events = self.world.emulator.objects(ACCOUNT, "event")
        return [event for event in events if event["type"].startswith(("subscription_schedule.", "customer.subscription."))]

    def _redeemed(self) -> list[int]:
        return [self._object("coupon", coupon)["times_redeemed"] for coupon in self.coupons]


TestSequences = Sequences.TestCase
TestSequences.settings = settings(max_examples=25, stateful_step_count=20)
