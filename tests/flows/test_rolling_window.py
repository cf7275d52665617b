"""The rolling window: a series that is longer than Stripe takes gets its next phases while there is time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.flows.deals import at, billed, sent
from tests.flows.world import ACCOUNT, World
from tests.org import line

MONTHS = 36


def first_of(number: int) -> str:
    """The first day of a month, counted from December 2026."""
    return f"{2026 + (11 + number) // 12}-{(11 + number) % 12 + 1:02}-01"


def ramp(here: World, *, entries: list[str] | None = None, months: int = MONTHS) -> tuple[str, str]:
    """A contract whose quantity is n in its nth month, and its order, synced; from month 15 on it sells the last entry."""
    account = here.account()
    contract, sold = here.contract(account), entries or [here.entry()]
    lines = [
        line(sold[-1 if number >= 15 else 0], first_of(number), first_of(number + 1), Quantity=number + 1)
        for number in range(months)
    ]
    order = here.order(account, contract, *lines)
    assert here.run(order).outcome == "synced"
    return contract, order


def quantity(here: World) -> int:
    """What the subscription bills now."""
    (item,) = here.subscription()["items"]["data"]
    return int(item["quantity"])


def extend_at(here: World, contract: str) -> datetime | None:
    seconds = here.ledger(contract).get("extend_at")
    return None if seconds is None else datetime.fromtimestamp(float(seconds), UTC)


class TestEveryStepOnItsDay:
    def test_ten_phases_are_sent_and_the_rest_is_remembered(self, here: World) -> None:
        contract, _ = ramp(here)
        phases = billed(here)
        assert [start for start, *_ in phases] == [first_of(number) for number in range(10)]
        assert here.schedule()["end_behavior"] == "release"
        assert extend_at(here, contract) == datetime.fromisoformat(f"{first_of(5)}T00:00:00Z")
        assert here.rolling_window() == 0

    def test_month_by_month_to_the_end(self, here: World) -> None:
        contract, order = ramp(here)
        queued = {}
        for number in range(MONTHS):
            at(here, first_of(number))
            assert quantity(here) == number + 1
            queued[number] = here.rolling_window()
            held = [phase for phase in here.schedule()["phases"] if phase["end_date"] > here.clock.timestamp()]
            assert len(held) >= min(5, MONTHS - number)
            assert len(held) <= 10
        assert [number for number, count in queued.items() if count] == [5, 10, 15, 20, 25, 30]
        schedule = here.schedule()
        assert [start for start, *_ in billed(here)] == [first_of(number) for number in range(MONTHS)]
        assert (schedule["end_behavior"], extend_at(here, contract)) == ("cancel", None)
        at(here, first_of(MONTHS))
        assert (here.schedule()["status"], here.subscription()["status"]) == ("completed", "canceled")
        assert len(here.schedules()) == 1
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Synced"

    def test_an_hour_later_nothing_is_queued(self, here: World) -> None:
        ramp(here)
        at(here, first_of(5))
        assert here.rolling_window() == 1
        assert here.log_entries()[-1]["outcome"] == "synced"
        here.clock.advance(timedelta(hours=1))
        assert here.rolling_window() == 0

    def test_the_event_is_the_orders_activation(self, here: World) -> None:
        contract, order = ramp(here)
        at(here, first_of(5))
        here.rolling_window()
        entry = here.log_entries()[-1]
        assert (entry["flow"], entry["contract_id"], entry["order_id"]) == ("order_activation", contract, order)

    def test_a_product_that_is_sold_later_only(self, here: World) -> None:
        """Its price is made with the contract: fifteen months later the price book may say something else."""
        entries = [here.entry(10), here.entry(20)]
        ramp(here, entries=entries)
        assert sorted(price["unit_amount"] for price in here.stripe.objects(ACCOUNT, "price")) == [1000, 2000]
        here.salesforce.update("PricebookEntry", entries[1], {"UnitPrice": 30})
        for number in range(5, 20, 5):
            at(here, first_of(number))
            assert here.rolling_window() == 1
            assert here.log_entries()[-1]["outcome"] == "synced"
        at(here, first_of(16))
        assert billed(here)[16][2] == {entries[1]: 17}
        assert here.record("PricebookEntry", entries[1])["Stripe_Price_Id__c"]
        assert quantity(here) == 17
        assert here.subscription()["items"]["data"][0]["price"]["unit_amount"] == 2000

    def test_short_series_are_never_due(self, here: World) -> None:
        contract, _ = ramp(here, months=10)
        assert here.schedule()["end_behavior"] == "cancel"
        assert extend_at(here, contract) is None
        at(here, first_of(9))
        assert here.rolling_window() == 0

    def test_a_change_order_in_between_sends_the_next_ten(self, here: World) -> None:
        contract, order = ramp(here)
        account = here.record("Order", order)["AccountId"]
        at(here, first_of(3))
        other = here.entry()
        second = here.order(account, contract, line(other, first_of(6), first_of(MONTHS)), EffectiveDate=first_of(6))
        assert here.run(second).outcome == "synced"
        assert [start for start, *_ in billed(here)][3:] == [first_of(number) for number in range(3, 13)]
        assert extend_at(here, contract) == datetime.fromisoformat(f"{first_of(8)}T00:00:00Z")


class TestTooLate:
    def test_nobody_is_cut_off_and_the_next_run_goes_on(self, here: World) -> None:
        contract, order = ramp(here)
        at(here, first_of(14))
        (schedule,) = here.schedules()
        assert schedule["status"] == "released"
        assert quantity(here) == 10  # as in the last phase that Stripe knew
        subscription = here.subscription()["id"]

        assert here.rolling_window() == 1

        entry = here.log_entries()[-1]
        assert entry["outcome"] == "synced"
        new = here.schedules()[1]
        assert (new["status"], new["subscription"]) == ("active", subscription)
        assert quantity(here) == 15
        # Ten months were billed as they were sold, and four as the tenth.
        message = here.record("Order", order)["Stripe_Sync_Message__c"]
        assert f"from {first_of(10)} on; 123 days" in message
        for kind, record in (("Order", order), ("Contract", contract)):
            assert here.record(kind, record)["Stripe_Subscription_Schedule_Id__c"] == new["id"]
        for number in range(15, MONTHS):
            at(here, first_of(number))
            assert quantity(here) == number + 1
            here.rolling_window()
        at(here, first_of(MONTHS))
        assert here.subscription()["status"] == "canceled"
        assert [one["status"] for one in here.schedules()] == ["released", "completed"]

    @pytest.mark.parametrize("policies", [{}, {"on_schedule_ended": "recreate"}])
    def test_it_takes_no_policy(self, here: World, policies: dict[str, Any]) -> None:
        """The schedule was let go by our own window, and by nobody else."""
        _, order = ramp(here)
        at(here, first_of(14))
        report = here.run(order, **policies)
        assert report.outcome == "synced"
        assert "schedule_ended" not in [finding.code for finding in report.findings]


class TestWhatLeadsToTheContract:
    def second(self, here: World, contract: str, order: str) -> str:
        """A change order that continues the series."""
        account = here.record("Order", order)["AccountId"]
        entry = here.salesforce.query("SELECT Id FROM PricebookEntry LIMIT 1")[0]["Id"]
        made = here.order(account, contract, line(entry, first_of(MONTHS), first_of(MONTHS + 1)), EffectiveDate=first_of(3))
        assert here.run(made).outcome == "synced"
        return made

    def test_orders_that_cannot_be_planned_keep_what_was_applied_going(self, here: World) -> None:
        """One of them is a draft again, so that the series begins too late. That is for a person; time does not wait."""
        contract, order = ramp(here)
        second = self.second(here, contract, order)
        here.salesforce.update("Order", order, {"Status": "Draft"})
        at(here, first_of(5))
        assert here.run(second).outcome == "failed"
        here.clock.advance(timedelta(minutes=1))
        assert here.rolling_window() == 1
        entry = here.log_entries()[-1]
        assert (entry["order_id"], entry["outcome"]) == (min(order, second), "synced")
        assert [quantities for *_, quantities in billed(here)][5:] == [
            {here.record("OrderItem", here.lines_of(second)[0])["PricebookEntryId"]: number} for number in range(6, 16)
        ]
        assert here.run(second).outcome == "failed"

    def test_what_is_wrong_stays_told(self, here: World) -> None:
        _, order = ramp(here)
        item = here.lines_of(order)[30]
        here.salesforce.update("OrderItem", item, {"Quantity": 1.5})
        at(here, first_of(5))
        assert here.run(order).outcome == "failed"
        told = here.record("Order", order)
        here.clock.advance(timedelta(minutes=1))
        assert here.rolling_window() == 1
        assert here.log_entries()[-1]["outcome"] == "synced"
        assert [one["code"] for one in here.log_entries()[-1]["findings"]] == ["fractional_quantity"]
        assert here.record("Order", order) == told
        assert len(billed(here)) == 15

    @pytest.mark.parametrize("named", ["sub_sched_gone", "another"])
    def test_nothing_is_made_beside_what_bills(self, here: World, named: str) -> None:
        """The contract names another schedule, which is for a person to put right."""
        contract, _ = ramp(here)
        schedule = here.schedule()
        if named == "another":
            phase = {"phases[0][items][0][price]": schedule["phases"][0]["items"][0]["price"]}
            end = {"phases[0][end_date]": "1850000000"}
            here.post_to_stripe("/v1/subscription_schedules", customer=schedule["customer"], start_date="now", **phase, **end)
            named = here.schedules()[1]["id"]
        here.salesforce.update("Contract", contract, {"Stripe_Subscription_Schedule_Id__c": named})
        at(here, first_of(5))
        before = here.schedules()
        assert here.rolling_window() == 1
        assert here.log_entries()[-1]["outcome"] == "failed"
        assert here.schedules() == before

    def test_a_deleted_order_is_tried_once(self, here: World) -> None:
        contract, order = ramp(here)
        second = self.second(here, contract, order)
        assert order < second
        at(here, first_of(5))
        # Where the first of the orders is gone, the second leads to the contract an hour later.
        self.rename(here, contract, {order: "801Ah0000000000IAA"})
        assert here.rolling_window() == 1
        assert here.log_entries()[-1]["outcome"] == "skipped"
        here.clock.advance(timedelta(hours=1))
        assert here.rolling_window() == 1
        assert here.log_entries()[-1]["outcome"] == "synced"
        assert len([start for start, *_ in billed(here)]) == 15
        here.clock.advance(timedelta(hours=1))
        assert here.rolling_window() == 0

    def rename(self, here: World, contract: str, orders: dict[str, str]) -> None:
        """Have the ledger name other orders."""
        names = [orders.get(order, order) for order in here.ledger(contract)["intent"]["orders"]]
        here.dynamodb.update_item(
            TableName="contracts",
            Key={"contract_id": {"S": contract}},
            UpdateExpression="SET intent.orders = :orders",
            ExpressionAttributeValues={":orders": {"SS": names}},
        )

    def test_without_any_order_nothing_is_touched(self, here: World) -> None:
        _, order = ramp(here)
        here.salesforce.update("Order", order, {"Status": "Draft"})
        at(here, first_of(5))
        here.stripe.log.clear()
        here.rolling_window()
        assert here.log_entries()[-1]["outcome"] == "skipped"
        assert [request for request in sent(here) if request.startswith("POST")] == []

    def test_cancelled_it_is_due_no_more(self, here: World) -> None:
        contract, order = ramp(here)
        at(here, first_of(2))
        here.cancel(order)
        assert extend_at(here, contract) is None
        at(here, first_of(5))
        assert here.rolling_window() == 0

    def test_cancelled_for_later_it_ends_then(self, here: World) -> None:
        contract, order = ramp(here)
        at(here, first_of(2))
        here.cancel(order, asked={"mode": "on_date", "date": datetime.fromisoformat(first_of(20)).date()})
        for number in range(3, 20):
            at(here, first_of(number))
            assert quantity(here) == number + 1
            here.rolling_window()
        at(here, first_of(20))
        assert here.subscription()["status"] == "canceled"
        assert extend_at(here, contract) is None
