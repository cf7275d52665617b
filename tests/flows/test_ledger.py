"""The intent ledger as the flows use it: written by the version before, lost, and due."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows.deals import MOMENT, Deal, at, billed, codes, sold
from tests.flows.world import ACCOUNT, World
from tests.org import line

NEW = ("phases", "settled", "org_id", "ends_at", "cancellation", "message", "extend_at", "subscription_id")
"""What the version before did not write down."""


def as_before(here: World, contract: str) -> None:
    """Have the version before have written the ledger: a fingerprint, and not what was sold."""
    here.dynamodb.update_item(
        TableName="contracts",
        Key={"contract_id": {"S": contract}},
        UpdateExpression=f"SET intent.fingerprint = :old REMOVE {', '.join(f'intent.{name}' for name in NEW)}",
        ExpressionAttributeValues={":old": {"S": "f" * 64}},
    )


def sold_before(here: World, *arguments: Any, **fields: Any) -> Deal:
    """A contract that the version before has synced; its schedule carries no number of an intent."""
    deal = sold(here, *arguments, **fields)
    here.post_to_stripe(f"/v1/subscription_schedules/{here.schedule()['id']}", **{"metadata[orderphase_generation]": ""})
    as_before(here, deal.contract)
    here.forget_calls()
    return deal


class TestTheVersionBefore:
    @pytest.mark.parametrize("start", ["2026-10-01", "2026-12-01"])
    @pytest.mark.parametrize("backdating", ["from_now", "catch_up", "reject"])
    def test_what_it_has_synced_is_in_order(self, here: World, start: str, backdating: str) -> None:
        deal = sold_before(here, start)
        at(here, "2027-02-10")
        writes = here.stripe.writes()
        report = here.run(deal.order, backdating=backdating)
        assert (codes(report), here.stripe.writes()) == ([], writes)
        # Salesforce is told of a subscription that has begun since.
        assert report.outcome == ("unchanged" if start == "2026-10-01" else "synced")
        here.clock.advance(MOMENT)
        assert here.run(deal.order, backdating=backdating).outcome == "unchanged"
        assert here.stripe.invoice_items(ACCOUNT) == []

    @pytest.mark.parametrize("backdating", ["from_now", "catch_up"])
    def test_a_change_order(self, here: World, backdating: str) -> None:
        deal = sold_before(here, Stripe_Discount_Percent_Off__c=10)
        at(here, "2027-02-10")
        coupons = len(here.stripe.objects(ACCOUNT, "coupon"))
        second = deal.change(line(deal.entry, "2027-12-01", "2028-12-01"), EffectiveDate="2027-12-01")
        report = here.run(second, backdating=backdating)
        assert (report.outcome, codes(report)) == ("synced", [])
        assert [end for _, end, _ in billed(here)] == ["2027-12-01", "2028-12-01"]
        assert len(here.stripe.objects(ACCOUNT, "coupon")) == coupons
        assert here.stripe.invoice_items(ACCOUNT) == []
        ledger = here.ledger(deal.contract)["intent"]
        assert (ledger["state"], ledger["generation"], "phases" in ledger) == ("recorded", 2, True)
        assert here.schedule()["metadata"]["orderphase_generation"] == "2"

    def test_an_edit_in_stripe_is_not_told_but_put_back(self, here: World) -> None:
        """Nobody knows whether it was an edit, or what was sold since."""
        deal = sold_before(here)
        schedule = here.schedule()
        here.post_to_stripe(f"/v1/subscription_schedules/{schedule['id']}", end_behavior="release")
        report = here.run(deal.order)
        assert (report.outcome, codes(report)) == ("synced", [])
        assert here.schedule()["end_behavior"] == "cancel"

    def test_a_cancellation(self, here: World) -> None:
        deal = sold_before(here)
        at(here, "2027-02-10")
        assert here.cancel(deal.order).outcome == "synced"
        assert here.subscription()["status"] == "canceled"
        here.clock.advance(MOMENT)
        assert here.run(deal.order).outcome == "unchanged"

    def test_a_run_of_it_that_was_cut_off(self, here: World) -> None:
        deal = sold_before(here)
        schedule = here.schedule()
        here.dynamodb.update_item(
            TableName="contracts",
            Key={"contract_id": {"S": deal.contract}},
            UpdateExpression="SET intent.#state = :intended REMOVE intent.schedule_id",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues={":intended": {"S": "intended"}},
        )
        here.salesforce.update("Contract", deal.contract, {"Stripe_Subscription_Schedule_Id__c": None})
        here.salesforce.update("Order", deal.order, {"Stripe_Subscription_Schedule_Id__c": None})
        assert here.run(deal.order).outcome == "synced"
        assert here.schedule() == schedule
        assert here.record("Contract", deal.contract)["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]


class TestLost:
    def lose(self, here: World, contract: str) -> None:
        here.dynamodb.delete_item(TableName="contracts", Key={"contract_id": {"S": contract}})

    def test_salesforce_still_names_the_schedule(self, here: World) -> None:
        deal = sold(here)
        at(here, "2027-02-10")
        self.lose(here, deal.contract)
        second = deal.change(line(here.entry(), "2027-02-01"), EffectiveDate="2027-02-01")
        assert here.run(second).outcome == "synced"
        assert len(here.schedules()) == 1
        assert deal.statuses() == ["Synced", "Synced"]
        intent = here.ledger(deal.contract)["intent"]
        assert here.schedule()["metadata"]["orderphase_generation"] == str(intent["generation"])

    def test_it_is_written_anew_where_nothing_is_to_do(self, here: World) -> None:
        deal = sold(here)
        before = here.ledger(deal.contract)["intent"]
        self.lose(here, deal.contract)
        assert here.run(deal.order).outcome == "unchanged"
        after = here.ledger(deal.contract)["intent"]
        assert {name: after[name] for name in ("generation", "orders", "schedule_id", "customer_id", "account_id")} == {
            name: before[name] for name in ("generation", "orders", "schedule_id", "customer_id", "account_id")
        }


class TestWhatItSays:
    def test_of_a_contract(self, here: World) -> None:
        deal = sold(here)
        item = here.ledger(deal.contract)
        assert item.keys() >= {"version", "lease_until", "released_at", "intent"}
        intent = item["intent"]
        assert intent["orders"] == {deal.order}
        assert intent["account_id"] == deal.account
        assert intent["org_id"] == here.stripe.objects(ACCOUNT, "customer")[0]["metadata"]["salesforce_org_id"]
        assert intent["schedule_id"] == here.schedule()["id"]

    def test_each_change_counts_on_and_the_schedule_says_so(self, here: World) -> None:
        deal = sold(here)
        for quantity in (2, 3, 4):
            here.salesforce.update("OrderItem", deal.line, {"Quantity": quantity})
            here.change_line(deal.line)
            here.clock.advance(MOMENT)
        assert here.ledger(deal.contract)["intent"]["generation"] == 4
        assert here.schedule()["metadata"]["orderphase_generation"] == "4"
