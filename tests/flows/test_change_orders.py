"""Order activation: a change order becomes one update of its contract's schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any, ClassVar

import pytest

from orderphase.errors import ConflictError, OrderphaseError
from orderphase.stripe.account import StripeAccount
from tests.flows.deals import MOMENT, at, billed, codes, prices, sent, sold
from tests.flows.world import ACCOUNT, World, world
from tests.org import line

READ = "POST /services/data/v66.0/composite"
WRITE = "PATCH /services/data/v66.0/composite/sobjects"


def asked(here: World) -> list[str]:
    return [f"{call.method} {call.path}" for call in here.salesforce.log]


class TestOneUpdate:
    def test_two_requests_to_each_side(self, here: World) -> None:
        deal = sold(here)
        other = here.entry()
        here.run(here.order(deal.account, None, line(other)))  # its price is known from then on
        first, schedule = here.record("Order", deal.order), here.schedules()[0]
        second = deal.change(line(other, "2027-05-01", Quantity=2), EffectiveDate="2027-05-01")
        runs = here.flow()
        here.run(here.order(deal.account, None, line(other)), runs)  # a warm environment
        here.clock.advance(MOMENT)
        here.forget_calls()

        report = here.run(second, runs)

        assert (report.outcome, report.findings) == ("synced", ())
        assert asked(here) == [READ, WRITE]
        path = f"/v1/subscription_schedules/{schedule['id']}"
        assert sent(here) == [f"GET {path}", f"POST {path}"]
        assert here.log_entries()[-1]["calls"] == {"salesforce": 2, "stripe": 2}
        assert billed(here, here.schedules()[0]) == [
            ("2026-12-01", "2027-05-01", {deal.entry: 1}),
            ("2027-05-01", "2027-12-01", {deal.entry: 1, other: 2}),
        ]
        record = here.record("Order", second)
        assert record["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]
        assert (record["Stripe_Sync_Status__c"], record["Stripe_Sync_Message__c"]) == ("Synced", None)
        assert here.record("Order", deal.order) == first

    def test_the_same_event_again_only_looks(self, here: World) -> None:
        deal = sold(here)
        second = deal.change(line(deal.entry, "2027-12-01", "2028-12-01"), EffectiveDate="2027-12-01")
        runs = here.flow()
        here.run(second, runs)
        schedule = here.schedule()
        for order in (second, deal.order):
            here.clock.advance(MOMENT)
            here.forget_calls()
            assert here.run(order, runs).outcome == "unchanged"
            assert asked(here) == [READ]
            assert sent(here) == [f"GET /v1/subscription_schedules/{schedule['id']}"]
        assert here.schedule() == schedule

    def test_the_subscription_that_has_begun_meanwhile_is_told_to_all_orders(self, here: World) -> None:
        deal = sold(here)
        at(here, "2027-01-10")
        second = deal.change(line(deal.entry, "2027-12-01", "2028-12-01"), EffectiveDate="2027-12-01")
        here.run(second)
        subscription = here.subscription()["id"]
        for kind, record in (("Order", deal.order), ("Order", second), ("Contract", deal.contract)):
            assert here.record(kind, record)["Stripe_Subscription_Id__c"] == subscription
        assert deal.statuses() == ["Synced", "Synced"]

    def test_a_change_order_that_changes_nothing_writes_nothing_to_stripe(self, here: World) -> None:
        deal = sold(here, policies={"quantity_conflict": "latest"})
        second = deal.change(line(deal.entry))
        writes = here.stripe.writes()
        report = here.run(second, quantity_conflict="latest")
        assert (report.outcome, here.stripe.writes()) == ("synced", writes)
        assert deal.statuses() == ["Synced", "Synced"]

    def test_an_order_without_a_contract_is_not_changed_by_another_one(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        for _ in range(2):
            here.run(here.order(account, None, line(entry)))
        assert [len(schedule["phases"]) for schedule in here.schedules()] == [1, 1]

    def test_what_runs_goes_on_until_the_change(self, here: World) -> None:
        """The request is made in the middle of a phase; that one stays as it is."""
        deal = sold(here)
        other = here.entry()
        at(here, "2027-02-10")
        here.run(deal.change(line(other, "2027-05-01"), EffectiveDate="2027-05-01"))
        at(here, "2027-04-30")
        assert len(here.subscription()["items"]["data"]) == 1
        at(here, "2027-05-01")
        assert len(here.subscription()["items"]["data"]) == 2

    def test_a_change_that_has_begun_splits_the_phase_now(self, here: World) -> None:
        deal = sold(here)
        other = here.entry()
        at(here, "2027-02-10")
        report = here.run(deal.change(line(other, "2027-02-01"), EffectiveDate="2027-02-01"))
        assert codes(report) == ["change_in_past"]
        assert billed(here) == [
            ("2026-12-01", "2027-02-10 12:00", {deal.entry: 1}),
            ("2027-02-10 12:00", "2027-12-01", {deal.entry: 1, other: 1}),
        ]
        assert "9 days" in here.record("Order", here.log_entries()[-1]["order_id"])["Stripe_Sync_Message__c"]

    def test_a_reduction_order(self, here: World) -> None:
        deal = sold(here, Quantity=5)
        at(here, "2027-01-10")
        less = line(deal.entry, "2027-05-01", Quantity=-2, OriginalOrderItemId=deal.line)
        reduction = deal.change(less, IsReductionOrder=True, OriginalOrderId=deal.order, EffectiveDate="2027-05-01")
        assert here.run(reduction).outcome == "synced"
        assert [quantities for *_, quantities in billed(here)] == [{deal.entry: 5}, {deal.entry: 3}]


class TestWhateverComesWhen:
    """Four change orders with deltas, a discount and a new product among them."""

    def orders(self, here: World) -> list[str]:
        """The orders of the contract, from the original on."""
        account = here.account()
        contract = here.contract(account)
        one, two = here.entry(10), here.entry(30)
        orders = []
        for start, lines in {
            "2026-12-01": [line(one, Quantity=3)],
            "2027-02-01": [line(one, "2027-02-01", Quantity=2)],
            "2027-03-01": [line(two, "2027-03-01", Stripe_Discount_Percent_Off__c=10)],
            "2027-06-01": [
                line(one, "2027-06-01", Quantity=1),
                line(two, "2027-06-01", Quantity=1, Stripe_Discount_Percent_Off__c=10),
            ],
        }.items():
            orders.append(here.order(account, contract, *lines, EffectiveDate=start))
            here.clock.advance(MOMENT)
        return orders

    def outcome(self, here: World) -> Any:
        one, two = (
            price["metadata"]["salesforce_pricebook_entry_id"] for price in sorted(prices(here), key=lambda p: p["unit_amount"])
        )
        names = {one: "one", two: "two"}
        return [
            (start, end, {names[entry]: quantity for entry, quantity in items.items()}) for start, end, items in billed(here)
        ]

    EXPECTED: ClassVar[Any] = [
        ("2026-12-01", "2027-02-01", {"one": 3}),
        ("2027-02-01", "2027-03-01", {"one": 5}),
        ("2027-03-01", "2027-06-01", {"one": 5, "two": 1}),
        ("2027-06-01", "2027-12-01", {"one": 6, "two": 2}),
    ]

    @pytest.mark.parametrize("arrival", list(permutations(range(4)))[::3])
    def test_events_in_any_order(self, here: World, arrival: tuple[int, ...]) -> None:
        orders = self.orders(here)
        for number in arrival:
            here.run(orders[number], quantity_conflict="sum")
            here.clock.advance(MOMENT)
        assert self.outcome(here) == self.EXPECTED
        for order in orders:
            assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Synced"
        assert len(here.stripe.objects(ACCOUNT, "price")) == 2

    def test_each_synced_before_the_next_is_activated(self, here: World) -> None:
        orders = self.orders(here)
        for order in orders[1:]:
            here.salesforce.update("Order", order, {"Status": "Draft"})
        for order in orders:
            if order is not orders[0]:
                here.salesforce.update("Order", order, {"Status": "Activated"})
            assert here.run(order, quantity_conflict="sum").outcome == "synced"
            here.clock.advance(MOMENT)
        assert self.outcome(here) == self.EXPECTED

    def many(self, here: World, *, at_once: bool) -> Any:
        """Thirty orders, each with one line more, synced one by one or by the event of the last."""
        account, entry = here.account(), here.entry()
        contract = here.contract(account)
        starts = [f"2027-{1 + number // 4:02}-{1 + 7 * (number % 4):02}" for number in range(30)]
        orders = []
        for start in starts:
            orders.append(here.order(account, contract, line(entry, start), EffectiveDate="2027-01-01"))
            if not at_once or len(orders) == len(starts):
                assert here.run(orders[-1], quantity_conflict="sum").outcome == "synced"
                here.clock.advance(MOMENT)
        assert {here.record("Order", order)["Stripe_Sync_Status__c"] for order in orders} == {"Synced"}
        phases = [(start, end, [*quantities.values()]) for start, end, quantities in billed(here)]
        return phases, here.schedule()["end_behavior"]

    def test_many_orders(self) -> None:
        with world() as here:
            one_by_one = self.many(here, at_once=False)
        with world() as here:
            assert self.many(here, at_once=True) == one_by_one
        phases, end_behavior = one_by_one
        assert [quantities for *_, quantities in phases] == [[quantity] for quantity in range(1, 11)]
        assert end_behavior == "release"


class TestFaultyChangeOrders:
    def test_it_fails_alone(self, here: World) -> None:
        deal = sold(here)
        before, schedule = here.record("Order", deal.order), here.schedule()
        second = deal.change(line(here.entry(), "2027-05-01", Quantity=1.5), EffectiveDate="2027-05-01")

        assert here.run(second).outcome == "failed"

        record = here.record("Order", second)
        assert record["Stripe_Sync_Status__c"] == "Failed"
        assert record["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]
        assert here.schedule() == schedule
        assert here.record("Order", deal.order) == before

    def test_corrected_it_is_billed(self, here: World) -> None:
        deal = sold(here)
        second = deal.change(line(here.entry(), "2027-05-01", Quantity=1.5), EffectiveDate="2027-05-01")
        here.run(second)
        here.salesforce.update("OrderItem", here.lines_of(second)[0], {"Quantity": 2})
        assert here.run(second).outcome == "synced"
        assert deal.statuses() == ["Synced", "Synced"]
        assert len(billed(here)) == 2

    def test_what_stripe_refuses_leaves_the_schedule_and_is_told(self, here: World) -> None:
        deal = sold(here)
        schedule = here.schedule()
        second = deal.change(line(here.entry(), "2027-05-01", Stripe_Price_Id__c="price_gone"), EffectiveDate="2027-05-01")
        assert here.run(second).outcome == "failed"
        assert "price_gone" in here.record("Order", second)["Stripe_Sync_Message__c"]
        assert here.schedule() == schedule
        here.salesforce.update("OrderItem", here.lines_of(second)[0], {"Stripe_Price_Id__c": None})
        assert here.run(second).outcome == "synced"
        assert deal.statuses() == ["Synced", "Synced"]

    def test_a_line_that_starts_before_the_contract(self, here: World) -> None:
        deal = sold(here, "2027-01-01")
        report = here.run(deal.change(line(here.entry(), "2026-12-01")))
        assert codes(report) == ["amendment_before_start"]
        assert deal.statuses() == ["Synced", "Failed"]

    def test_an_original_that_is_taken_back_before_its_start_and_comes_again(self, here: World) -> None:
        deal = sold(here, "2027-03-01")
        change = deal.change(line(here.entry(), "2027-06-01"), EffectiveDate="2027-06-01")
        assert here.run(change).outcome == "synced"
        here.salesforce.update("Order", deal.order, {"Status": "Draft"})
        assert here.run(change).outcome == "synced"
        here.salesforce.update("OrderItem", here.lines_of(deal.order)[0], {"Quantity": 7})
        here.salesforce.update("Order", deal.order, {"Status": "Activated"})
        report = here.run(deal.order)
        assert (report.outcome, codes(report)) == ("synced", [])
        assert len(here.schedule()["phases"]) == 2

    def test_a_change_order_whose_original_is_a_draft(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        contract = here.contract(account)
        original = here.order(account, contract, line(entry), activated=False)
        second = here.order(account, contract, line(entry, "2027-12-01", "2028-12-01"), EffectiveDate="2027-12-01")

        report = here.run(second)

        assert codes(report) == ["original_not_activated"]
        assert here.stripe.writes() == 0
        number = here.record("Order", original)["OrderNumber"]
        assert number in here.record("Order", second)["Stripe_Sync_Message__c"]
        here.salesforce.update("Order", original, {"Status": "Activated"})
        assert here.run(original).outcome == "synced"
        assert len(billed(here)) == 1
        assert here.record("Order", second)["Stripe_Sync_Status__c"] == "Synced"


class TestDiscounts:
    def test_what_stays_is_kept(self, here: World) -> None:
        """Neither the discount that runs nor the coupon that waits is made anew by a change elsewhere."""
        account, entry, other = here.account(), here.entry(), here.entry()
        contract = here.contract(account)
        first = here.order(
            account,
            contract,
            line(entry, "2026-11-20", "2027-05-20", Stripe_Discount_Percent_Off__c=10),
            line(entry, "2027-05-20", "2027-11-20", Stripe_Discount_Percent_Off__c=20),
            EffectiveDate="2026-11-20",
        )
        here.run(first)
        at(here, "2027-01-10")
        subscription, coupons = here.subscription(), here.stripe.objects(ACCOUNT, "coupon")
        running = subscription["items"]["data"][0]["discounts"]
        second = here.order(account, contract, line(other, "2027-08-20", "2027-11-20"), EffectiveDate="2027-08-20")

        assert here.run(second).outcome == "synced"

        assert here.subscription()["items"]["data"][0]["discounts"] == running
        made = here.stripe.objects(ACCOUNT, "coupon")
        assert made[: len(coupons)] == coupons
        # The phase with 20 percent is two now, and Stripe lets a coupon be used once.
        assert sorted(coupon["percent_off"] for coupon in made) == [10, 20, 20]

    def test_a_changed_one_is_a_new_coupon(self, here: World) -> None:
        deal = sold(here, "2026-11-20", "2027-11-20", Stripe_Discount_Percent_Off__c=10)
        here.salesforce.update("OrderItem", deal.line, {"Stripe_Discount_Percent_Off__c": 15})
        report = here.run(deal.order)
        assert codes(report) == []
        (discount,) = here.subscription()["items"]["data"][0]["discounts"]
        (found,) = (one for one in here.stripe.objects(ACCOUNT, "discount") if one["id"] == discount)
        coupons = {coupon["id"]: coupon["percent_off"] for coupon in here.stripe.objects(ACCOUNT, "coupon")}
        assert coupons[found["source"]["coupon"]] == 15
        assert sorted(coupons.values()) == [10, 15]

    def test_one_that_is_taken_away(self, here: World) -> None:
        deal = sold(here, Stripe_Discount_Percent_Off__c=10)
        here.salesforce.update("OrderItem", deal.line, {"Stripe_Discount_Percent_Off__c": None})
        assert here.run(deal.order).outcome == "synced"
        assert here.schedule()["phases"][0]["items"][0]["discounts"] == []

    def test_month_after_month_nothing_is_sent(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        lines = [
            line(entry, f"2027-0{month}-01", f"2027-0{month + 1}-01", Stripe_Discount_Amount_Off__c=month)
            for month in range(1, 8)
        ]
        order = here.order(account, here.contract(account), *lines, Stripe_Discount_Percent_Off__c=5)
        here.run(order)
        writes = here.stripe.writes()
        for month in range(1, 8):
            at(here, f"2027-0{month}-15")
            # The first time, Salesforce is told of the subscription.
            assert here.run(order).outcome == ("synced" if month == 1 else "unchanged")
        assert here.stripe.writes() == writes


class TestTheCatalogue:
    def test_a_new_product_price_and_coupon_are_made_on_the_way(self, here: World) -> None:
        deal = sold(here)
        other = here.entry(25)
        second = deal.change(line(other, "2027-05-01", Stripe_Discount_Amount_Off__c=5), EffectiveDate="2027-05-01")
        assert here.run(second).outcome == "synced"
        assert sent(here)[1:] == [
            "GET /v1/prices",
            "POST /v1/products",
            "POST /v1/prices",
            "POST /v1/coupons",
            f"POST /v1/subscription_schedules/{here.schedule()['id']}",
        ]
        record = here.record("PricebookEntry", other)
        assert record["Stripe_Price_Id__c"] in [item["price"] for item in here.schedule()["phases"][1]["items"]]
        assert here.record("Product2", record["Product2Id"])["Stripe_Product_Id__c"]

    def test_what_is_refused_makes_no_price(self, here: World) -> None:
        deal = sold(here)
        writes = here.stripe.writes()
        lines = line(here.entry(25), "2027-05-01"), line(here.entry(), "2027-05-01", Quantity=1.5)
        assert here.run(deal.change(*lines, EffectiveDate="2027-05-01")).outcome == "failed"
        assert here.stripe.writes() == writes

    def test_lines_that_are_billed_keep_their_price(self, here: World) -> None:
        """The price book entry has become dearer and has a new Stripe price; the contract was sold at the old one."""
        deal = sold(here)
        (price,) = prices(here)
        here.salesforce.update("PricebookEntry", deal.entry, {"UnitPrice": 12, "Stripe_Price_Id__c": None})
        second = deal.change(line(here.entry(), "2027-05-01"), EffectiveDate="2027-05-01")
        assert here.run(second).outcome == "synced"
        assert [phase["items"][0]["price"] for phase in here.schedule()["phases"]] == [price["id"]] * 2

    def test_a_line_of_the_past_that_comes_to_life_gets_its_price(self, here: World) -> None:
        """No price was made for what had passed when the contract was synced."""
        account, past, entry = here.account(), here.entry(), here.entry()
        contract = here.contract(account)
        order = here.order(
            account,
            contract,
            line(past, "2026-10-01", "2026-11-01"),
            line(entry, "2026-10-01", "2027-10-01"),
            EffectiveDate="2026-10-01",
        )
        here.run(order)
        assert len(prices(here)) == 1
        old = next(item for item in here.lines_of(order) if here.record("OrderItem", item)["PricebookEntryId"] == past)
        here.clock.advance(MOMENT)
        here.salesforce.update("OrderItem", old, {"EndDate": "2027-10-01"})

        assert here.change_line(old).outcome == "synced"

        assert billed(here)[-1][2] == {past: 1, entry: 1}
        assert here.record("PricebookEntry", past)["Stripe_Price_Id__c"]


class TestTakenBack:
    def test_the_next_event_bills_without_it(self, here: World) -> None:
        deal = sold(here)
        other = here.entry()
        second = deal.change(line(other, "2027-05-01"), EffectiveDate="2027-05-01")
        here.run(second)
        here.clock.advance(MOMENT)
        here.salesforce.update("Order", second, {"Status": "Draft"})
        schedule = here.schedule()

        assert here.run(second).outcome == "skipped"

        assert here.schedule() == schedule
        assert here.record("Order", second)["Stripe_Sync_Status__c"] == "Skipped"
        assert "goes on unchanged" in here.record("Order", second)["Stripe_Sync_Message__c"]
        here.clock.advance(MOMENT)

        assert here.run(deal.order).outcome == "synced"

        assert billed(here) == [("2026-12-01", "2027-12-01", {deal.entry: 1})]
        assert deal.statuses() == ["Synced", "Skipped"]

    def test_activated_again_it_is_billed_again(self, here: World) -> None:
        deal = sold(here)
        second = deal.change(line(here.entry(), "2027-05-01"), EffectiveDate="2027-05-01")
        here.run(second)
        phases = billed(here)
        for status, event in (("Draft", second), ("Draft", deal.order), ("Activated", second)):
            here.salesforce.update("Order", second, {"Status": status})
            here.run(event)
            here.clock.advance(timedelta(hours=1))
        assert billed(here) == phases
        assert deal.statuses() == ["Synced", "Synced"]

    def test_the_original_alone_goes_on_until_it_is_cancelled(self, here: World) -> None:
        deal = sold(here)
        here.salesforce.update("Order", deal.order, {"Status": "Draft"})
        assert here.run(deal.order).outcome == "skipped"
        assert here.schedule()["status"] == "not_started"


class TestBoundariesThatPass:
    """Many orders take effect at midnight, and some are planned a second before it."""

    def late(self, here: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """Two seconds pass between the plan and its request."""
        send = getattr(StripeAccount, name)

        def sending(stripe: StripeAccount, *args: Any, **kwargs: Any) -> Any:
            here.clock.advance(timedelta(seconds=2))
            return send(stripe, *args, **kwargs)

        monkeypatch.setattr(StripeAccount, name, sending)

    @pytest.mark.parametrize("known", [True, False], ids=["the schedule has", "the change makes"])
    def test_while_a_change_is_planned(self, here: World, monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
        deal = sold(here)
        other = here.entry()
        if known:
            here.run(deal.change(line(here.entry(), "2027-03-01"), EffectiveDate="2027-03-01"))
        order = deal.change(line(other, "2027-03-01" if not known else "2027-05-01"), EffectiveDate="2027-03-01")
        here.clock.set(datetime(2027, 2, 28, 23, 59, 59, tzinfo=UTC), frozen=True)
        with monkeypatch.context() as patched:
            self.late(here, patched, "update_schedule")
            with pytest.raises(ConflictError):
                here.run(order)
        here.clock.advance(MOMENT)

        assert here.run(order).outcome == "synced"

        assert other in billed(here)[-1][2]
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Synced"

    def test_while_the_first_order_is_planned(self, here: World, monkeypatch: pytest.MonkeyPatch) -> None:
        account, entry = here.account(), here.entry()
        lines = (line(entry, "2026-11-20", "2026-11-21"), line(entry, "2026-11-21", Quantity=2))
        order = here.order(account, here.contract(account), *lines, EffectiveDate="2026-11-20")
        here.clock.advance(timedelta(hours=13, minutes=59, seconds=59))
        with monkeypatch.context() as patched:
            self.late(here, patched, "create_schedule")
            with pytest.raises(OrderphaseError):
                here.run(order)
        here.clock.advance(MOMENT)
        assert here.run(order).outcome == "synced"
        assert [quantities for *_, quantities in billed(here)] == [{entry: 2}]
