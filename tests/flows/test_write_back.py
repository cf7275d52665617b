"""What is saved in Salesforce after the calls: everything, Stripe's ids alone, or nothing; and a record of each run."""

from __future__ import annotations

from typing import Any

import pytest

from orderphase.errors import TransientError, UnknownOutcomeError
from tests.flows.deals import MOMENT, Deal, at, billed, codes, sold
from tests.flows.world import ACCOUNT, World
from tests.org import line

IDS: dict[str, Any] = {"write_back": "ids_only"}
NONE: dict[str, Any] = {"write_back": "none"}
RECORDS: dict[str, Any] = {"sync_log_records": True}
SCHEDULE, SUBSCRIPTION = "Stripe_Subscription_Schedule_Id__c", "Stripe_Subscription_Id__c"
TOLD = ("Stripe_Sync_Status__c", "Stripe_Sync_Message__c", "Stripe_Synced_At__c")


def told(here: World, order: str) -> list[Any]:
    return [here.record("Order", order)[name] for name in TOLD]


def known_to_salesforce(here: World, deal: Deal) -> list[Any]:
    """Every id of Stripe's that Salesforce could have."""
    entry = here.record("PricebookEntry", deal.entry)
    return [
        here.record("Order", deal.order)[SCHEDULE],
        here.record("Contract", deal.contract)[SCHEDULE],
        here.record("Account", deal.account)["Stripe_Customer_Id__c"],
        entry["Stripe_Price_Id__c"],
        here.record("Product2", entry["Product2Id"])["Stripe_Product_Id__c"],
    ]


class TestIdsOnly:
    def test_the_ids_and_nothing_else(self, here: World) -> None:
        deal = sold(here, policies=IDS)
        assert None not in known_to_salesforce(here, deal)
        assert told(here, deal.order) == [None, None, None]

    def test_nothing_is_written_twice(self, here: World) -> None:
        deal = sold(here, policies=IDS)
        here.forget_calls()
        for _ in range(2):
            assert here.run(deal.order, **IDS).outcome == "unchanged"
            here.clock.advance(MOMENT)
        assert not here.salesforce.calls("PATCH|sobjects$")

    def test_the_subscription_when_it_begins(self, here: World) -> None:
        deal = sold(here, policies=IDS)
        at(here, "2026-12-10")
        assert here.run(deal.order, **IDS).outcome == "synced"
        for kind, record in (("Order", deal.order), ("Contract", deal.contract)):
            assert here.record(kind, record)[SUBSCRIPTION] == here.subscription()["id"]
        assert told(here, deal.order) == [None, None, None]

    def test_what_is_refused_is_in_the_sync_log_alone(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(), Quantity=1.5))
        report = here.run(order, **IDS)
        assert (report.outcome, codes(report)) == ("failed", ["fractional_quantity"])
        assert told(here, order) == [None, None, None]
        assert not here.salesforce.calls("PATCH")
        assert here.log_entries()[-1]["outcome"] == "failed"

    def test_changes_and_cancellations(self, here: World) -> None:
        deal = sold(here, policies=IDS)
        change = deal.change(line(here.entry(), "2027-05-01"), EffectiveDate="2027-05-01")
        assert here.run(change, **IDS).outcome == "synced"
        assert here.record("Order", change)[SCHEDULE] == here.schedule()["id"]
        here.clock.advance(MOMENT)
        assert here.cancel(deal.order, **IDS).outcome == "synced"
        here.clock.advance(MOMENT)
        assert here.run(change, **IDS).outcome == "unchanged"
        assert here.schedule()["status"] == "canceled"
        assert (told(here, deal.order), told(here, change)) == ([None] * 3, [None] * 3)


class TestNone:
    def test_salesforce_is_only_read(self, here: World) -> None:
        deal = sold(here, policies=NONE)
        assert known_to_salesforce(here, deal) == [None] * 5
        assert told(here, deal.order) == [None, None, None]
        assert billed(here) == [("2026-12-01", "2027-12-01", {deal.entry: 1})]
        here.forget_calls()
        report = here.run(deal.order, **NONE)
        assert report.outcome == "unchanged"
        assert not here.salesforce.calls("PATCH|DELETE|composite/sobjects")
        assert [call.method for call in here.stripe.log] == ["GET"]

    def test_a_contract_lives_from_the_ledger(self, here: World) -> None:
        deal = sold(here, policies=NONE)
        other = here.entry(5)
        assert here.run(deal.change(line(other, "2027-05-01"), EffectiveDate="2027-05-01"), **NONE).outcome == "synced"
        at(here, "2027-02-10")
        here.salesforce.update("OrderItem", deal.line, {"Quantity": 3})
        assert here.change_line(deal.line, **NONE).outcome == "synced"
        assert billed(here)[-1] == ("2027-05-01", "2027-12-01", {deal.entry: 3, other: 1})
        here.clock.advance(MOMENT)
        assert here.cancel(deal.order, **NONE).outcome == "synced"
        assert (here.schedule()["status"], here.subscription()["status"]) == ("canceled", "canceled")
        here.clock.advance(MOMENT)
        assert here.run(deal.order, **NONE).outcome == "unchanged"
        assert not here.salesforce.calls("PATCH|DELETE|composite/sobjects")

    def test_everything_exists_once(self, here: World) -> None:
        deal = sold(here, policies=NONE)
        for _ in range(3):
            order = here.order(deal.account, here.contract(deal.account), line(deal.entry))
            here.forget_calls()
            assert here.run(order, **NONE).outcome == "synced"
            asked = [call.method for call in here.stripe.log]
            assert asked == ["GET", "POST"], "what was made is remembered, and a ledger that was lost is looked for"
        assert [len(here.stripe.objects(ACCOUNT, kind)) for kind in ("customer", "product", "price")] == [1, 1, 1]

    def test_also_when_the_catalogue_table_is_lost(self, here: World) -> None:
        deal = sold(here, policies=NONE)
        here.lose_catalogue()
        assert here.run(here.order(deal.account, here.contract(deal.account), line(deal.entry)), **NONE).outcome == "synced"
        assert [len(here.stripe.objects(ACCOUNT, kind)) for kind in ("customer", "product", "price")] == [1, 1, 1]

    def test_a_changed_amount_and_a_changed_account(self, here: World) -> None:
        deal = sold(here, policies=NONE)
        here.salesforce.update("PricebookEntry", deal.entry, {"UnitPrice": 12})
        here.salesforce.update("Account", deal.account, {"Phone": "2"})
        for expected in (["price_replaced"], []):
            report = here.run(here.order(deal.account, here.contract(deal.account), line(deal.entry)), **NONE)
            assert (report.outcome, codes(report)) == ("synced", expected)
        prices = here.stripe.objects(ACCOUNT, "price")
        assert [price["unit_amount"] for price in prices] == [1000, 1200]
        assert [one["phases"][0]["items"][0]["price"] for one in here.schedules()] == [prices[0]["id"], *[prices[1]["id"]] * 2]
        assert [one["phone"] for one in here.customers()] == ["2"]

    def test_an_id_that_somebody_has_entered_and_an_amount_that_changes(self, here: World) -> None:
        """Salesforce names the earlier price for ever, because it is told nothing."""
        deal = sold(here)
        here.salesforce.update("PricebookEntry", deal.entry, {"UnitPrice": 12})
        for expected in (["price_replaced"], [], []):
            report = here.run(here.order(deal.account, here.contract(deal.account), line(deal.entry)), **NONE)
            assert (report.outcome, codes(report)) == ("synced", expected)
        prices = here.stripe.objects(ACCOUNT, "price")
        assert [price["unit_amount"] for price in prices] == [1000, 1200]
        assert [one["phases"][0]["items"][0]["price"] for one in here.schedules()][1:] == [prices[1]["id"]] * 3
        assert here.record("PricebookEntry", deal.entry)["Stripe_Price_Id__c"] == prices[0]["id"]

    def test_a_run_that_was_cut_off(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry()))
        here.stripe.inject("lost_after", method="POST", path="/v1/subscription_schedules")
        with pytest.raises(UnknownOutcomeError):
            here.run(order, **NONE)
        here.clock.advance(MOMENT)
        for _ in range(2):
            assert here.run(order, **NONE).outcome == "unchanged"
            here.clock.advance(MOMENT)
        assert (len(here.schedules()), len(here.customers())) == (1, 1)

    def test_an_order_without_a_contract(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        order = here.order(account, None, line(entry))
        assert here.run(order, **NONE).outcome == "synced"
        here.clock.advance(MOMENT)
        (item,) = here.lines_of(order)
        here.salesforce.update("OrderItem", item, {"Quantity": 2})
        assert here.change_line(item, **NONE).outcome == "synced"
        assert [quantities for *_, quantities in billed(here)] == [{entry: 2}]

    def test_refused_events_that_do_not_apply_and_customers_that_were_deleted(self, here: World) -> None:
        deal = sold(here, policies=NONE)
        here.delete_in_stripe(f"/v1/customers/{here.customers()[0]['id']}")
        report = here.run(here.order(deal.account, here.contract(deal.account), line(deal.entry)), **NONE)
        assert (report.outcome, codes(report)) == ("synced", ["customer_replaced"])
        report = here.run(here.order(deal.account, here.contract(deal.account), line(deal.entry)), **NONE)
        assert (report.outcome, codes(report)) == ("synced", [])
        draft = here.order(deal.account, here.contract(deal.account), line(deal.entry), activated=False)
        assert here.run(draft, **NONE).outcome == "skipped"
        assert not here.salesforce.calls("PATCH|DELETE|composite/sobjects")


class TestRecordsOfRuns:
    def records(self, here: World) -> list[dict[str, Any]]:
        return here.salesforce.query(
            "SELECT Id, Order__c, Contract__c, Flow__c, Event_Id__c, Run_Id__c, Outcome__c, Message__c, Schedule_Id__c, "
            "Subscription_Id__c, Started_At__c, Finished_At__c FROM Sync_Log__c ORDER BY Id"
        )

    def test_one_for_each_run_in_the_call_that_writes_back(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        contract = here.contract(account)
        order = here.order(account, contract, line(entry), EffectiveDate="2026-12-01")
        flow = here.flow(**RECORDS)
        assert here.run(order, flow).outcome == "synced"
        assert here.log_entries()[-1]["calls"]["salesforce"] == 3, "the first run asks what the org has"
        (record,) = self.records(here)
        expected = {
            "Order__c": order,
            "Contract__c": contract,
            "Flow__c": "order_activation",
            "Event_Id__c": f"event-{order}",
            "Run_Id__c": here.log_entries()[-1]["entry_id"].partition("#")[2],
            "Outcome__c": "synced",
            "Schedule_Id__c": here.schedule()["id"],
            "Subscription_Id__c": None,
            "Started_At__c": "2026-11-20T10:00:00.000+0000",
            "Finished_At__c": "2026-11-20T10:00:00.000+0000",
        }
        assert {name: record[name] for name in expected} == expected
        assert here.schedule()["id"] in record["Message__c"]
        here.clock.advance(MOMENT)
        assert here.run(order, flow).outcome == "unchanged"
        assert len(self.records(here)) == 1, "what writes nothing back leaves no record"
        here.clock.advance(MOMENT)
        change = here.order(account, contract, line(entry, "2027-12-01", "2028-12-01"), EffectiveDate="2027-12-01")
        assert here.run(change, flow).outcome == "synced"
        assert here.log_entries()[-1]["calls"] == {"salesforce": 2, "stripe": 2}
        assert [one["Order__c"] for one in self.records(here)] == [order, change]

    def test_of_what_is_refused_passed_over_and_cancelled(self, here: World) -> None:
        deal = sold(here)
        account = here.account()
        wrong = here.order(account, here.contract(account), line(deal.entry, Quantity=1.5))
        here.run(wrong, here.flow(**RECORDS))
        draft = here.order(account, here.contract(account), line(deal.entry), activated=False)
        here.run(draft, here.flow(**RECORDS))
        here.cancel(deal.order, runs=here.contract_runs(**RECORDS))
        assert [(one["Order__c"], one["Flow__c"], one["Outcome__c"]) for one in self.records(here)] == [
            (wrong, "order_activation", "failed"),
            (draft, "order_activation", "skipped"),
            (deal.order, "cancellation", "synced"),
        ]
        assert "1.5" in self.records(here)[0]["Message__c"]

    def test_an_order_without_a_contract(self, here: World) -> None:
        account = here.account()
        order = here.order(account, None, line(here.entry()))
        here.run(order, here.flow(**RECORDS))
        (record,) = self.records(here)
        assert (record["Order__c"], record["Contract__c"]) == (order, None)

    @pytest.mark.parametrize("policies", [IDS, NONE], ids=["ids_only", "none"])
    def test_only_where_everything_is_saved(self, here: World, policies: dict[str, Any]) -> None:
        account = here.account()
        here.run(here.order(account, here.contract(account), line(here.entry())), here.flow(**RECORDS, **policies))
        assert self.records(here) == []

    def test_a_record_that_salesforce_refuses_leaves_the_ids_for_the_next_run(self, here: World) -> None:
        """All of it is one call, all or nothing."""
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry()))
        here.salesforce.inject("refuse", error="UNABLE_TO_LOCK_ROW", method="POST", path="/composite$", skip=1, times=3)
        with pytest.raises(TransientError):
            here.run(order, here.flow(**RECORDS))
        here.clock.advance(MOMENT)
        assert here.run(order, here.flow(**RECORDS)).outcome == "synced"
        assert here.record("Order", order)[SCHEDULE] == here.schedule()["id"]
        assert len(self.records(here)) == 1
