"""Order activation: what a run makes of an order, and what it leaves in Salesforce, Stripe, the ledger and the sync log."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from orderphase.errors import ConflictError, UnknownOutcomeError
from orderphase.flows.order_activation import OrderActivation
from orderphase.mapping import FieldMapping
from orderphase.salesforce.contracts import ContractState
from sandbox.salesforce_emulator.schema import Field
from tests.flows.world import ACCOUNT, NOW, ORG, World, world

JAN_1, DEC_1, MAY_1 = 1798761600, 1796083200, 1809129600


def line(entry: str, start: str = "2026-12-01", end: str | None = "2027-12-01", **fields: Any) -> dict[str, Any]:
    return {"PricebookEntryId": entry, "ServiceDate": start, "EndDate": end, **fields}


def stripe_fields(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name.startswith("Stripe_") and value is not None}


def lines_of(here: World, order: str) -> list[str]:
    return [row["Id"] for row in here.salesforce.query(f"SELECT Id FROM OrderItem WHERE OrderId = '{order}' ORDER BY Id")]


class TestFirstOrder:
    def test_everything_is_created_and_written_back(self, here: World) -> None:
        account = here.account(
            Phone="+49 30 1234",
            Description="Key account",
            BillingStreet="Hauptstr. 1\nHinterhaus",
            BillingCity="Berlin",
            BillingPostalCode="10115",
            BillingCountry="DE",
            ShippingStreet="Werkstor 3",
            ShippingCity="Potsdam",
            ShippingCountry="Germany",
        )
        contract, monthly, yearly = here.contract(account), here.entry(10), here.entry(99.5, "year")
        order = here.order(account, contract, line(monthly), line(yearly, "2027-05-01", Quantity=2))

        report = here.run(order)

        assert (report.outcome, report.findings) == ("synced", ())
        (schedule,) = here.schedules()
        (customer,) = here.stripe.objects(ACCOUNT, "customer")
        assert customer["name"] == "Acme GmbH"
        assert customer["phone"] == "+49 30 1234"
        assert customer["description"] == "Key account"
        assert customer["address"]["line1"] == "Hauptstr. 1"
        assert customer["address"]["line2"] == "Hinterhaus"
        assert customer["address"]["country"] == "DE"
        assert customer["shipping"]["address"]["city"] == "Potsdam"
        assert customer["shipping"]["phone"] == "+49 30 1234"
        assert customer["metadata"] == {"salesforce_org_id": ORG, "salesforce_account_id": account}
        prices = {price["metadata"]["salesforce_pricebook_entry_id"]: price for price in here.stripe.objects(ACCOUNT, "price")}
        assert prices[monthly]["unit_amount"] == 1000
        assert prices[monthly]["recurring"]["interval"] == "month"
        assert prices[yearly]["unit_amount"] == 9950
        assert prices[yearly]["recurring"]["interval"] == "year"
        assert {price["currency"] for price in prices.values()} == {"usd"}

        identity = {
            "salesforce_org_id": ORG,
            "salesforce_contract_id": contract,
            "salesforce_order_id": order,
            "salesforce_account_id": account,
        }
        assert schedule["customer"] == customer["id"]
        assert schedule["metadata"] == identity
        assert schedule["end_behavior"] == "cancel"
        assert schedule["billing_mode"]["type"] == "flexible"
        phases = schedule["phases"]
        assert [(phase["start_date"], phase["end_date"]) for phase in phases] == [(DEC_1, MAY_1), (MAY_1, 1827619200)]
        assert [[(item["price"], item["quantity"]) for item in phase["items"]] for phase in phases] == [
            [(prices[monthly]["id"], 1)],
            [(prices[monthly]["id"], 1), (prices[yearly]["id"], 2)],
        ]
        assert {phase["proration_behavior"] for phase in phases} == {"create_prorations"}
        assert [phase["metadata"] for phase in phases] == [identity, identity]
        first, second = lines_of(here, order)
        assert [item["metadata"]["salesforce_order_item_ids"] for item in phases[1]["items"]] == [first, second]

        ids = {"Stripe_Subscription_Schedule_Id__c": schedule["id"]}
        assert stripe_fields(here.record("Order", order)) == {
            **ids,
            "Stripe_Sync_Status__c": "Synced",
            "Stripe_Synced_At__c": "2026-11-20T10:00:00.000+0000",
        }
        assert stripe_fields(here.record("Contract", contract)) == ids
        assert here.record("Account", account)["Stripe_Customer_Id__c"] == customer["id"]
        for entry, price in prices.items():
            record = here.record("PricebookEntry", entry)
            assert record["Stripe_Price_Id__c"] == price["id"]
            assert here.record("Product2", record["Product2Id"])["Stripe_Product_Id__c"] == price["product"]

        (entry_of_log,) = here.log_entries()
        assert entry_of_log["outcome"] == "synced"
        assert entry_of_log["schedule_id"] == schedule["id"]
        assert (entry_of_log["contract_id"], entry_of_log["order_id"]) == (contract, order)
        assert here.ledger(contract)["intent"]["state"] == "recorded"

    def test_a_schedule_that_starts_today_has_its_subscription_at_once(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        order = here.order(account, contract, line(here.entry(), "2026-11-20"), EffectiveDate="2026-11-20")

        report = here.run(order)

        (schedule,) = here.schedules()
        assert report.findings == ()
        assert schedule["status"] == "active"
        assert schedule["phases"][0]["start_date"] == int(NOW.timestamp())
        for kind, record in (("Order", order), ("Contract", contract)):
            assert here.record(kind, record)["Stripe_Subscription_Id__c"] == schedule["subscription"]
        (subscription,) = here.stripe.objects(ACCOUNT, "subscription")
        assert subscription["metadata"]["salesforce_contract_id"] == contract

    def test_warm_it_takes_two_salesforce_calls_and_one_stripe_call(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        flow = here.flow()
        here.run(here.order(account, here.contract(account), line(entry)), flow)
        order = here.order(account, here.contract(account), line(entry), line(entry, "2027-12-01", "2028-12-01"))
        here.salesforce.log.clear()
        here.stripe.log.clear()

        assert here.run(order, flow).outcome == "synced"

        assert [(call.method, call.path) for call in here.salesforce.log] == [
            ("POST", "/services/data/v66.0/composite"),
            ("PATCH", "/services/data/v66.0/composite/sobjects"),
        ]
        assert [(call.method, call.path) for call in here.stripe.log] == [("POST", "/v1/subscription_schedules")]
        assert here.log_entries()[-1]["calls"] == {"salesforce": 2, "stripe": 1}

    def test_the_same_event_again_writes_nothing(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry()))
        here.run(order)
        before, writes = here.record("Order", order), here.stripe.writes()
        here.salesforce.log.clear()

        for flow in (here.flow(), here.flow()):
            assert here.run(order, flow).outcome == "unchanged"

        assert here.stripe.writes() == writes
        assert len(here.schedules()) == 1
        assert not here.salesforce.calls("PATCH|DELETE")
        assert here.record("Order", order) == before
        assert [entry["outcome"] for entry in here.log_entries()] == ["synced", "unchanged", "unchanged"]

    def test_an_order_without_a_contract_is_a_contract_of_one(self, here: World) -> None:
        account = here.account()
        order = here.order(account, None, line(here.entry()))

        assert here.run(order).outcome == "synced"

        (schedule,) = here.schedules()
        assert schedule["metadata"]["salesforce_order_id"] == order
        assert "salesforce_contract_id" not in schedule["metadata"]
        assert here.record("Order", order)["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]
        assert here.run(order).outcome == "unchanged"

    def test_an_open_end_is_released(self, here: World) -> None:
        account = here.account()
        here.run(here.order(account, here.contract(account), line(here.entry(), end=None)))
        (schedule,) = here.schedules()
        assert schedule["end_behavior"] == "release"
        assert [phase["start_date"] for phase in schedule["phases"]] == [DEC_1]

    def test_discounts_become_a_coupon_for_each_place(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        order = here.order(
            account,
            here.contract(account),
            line(entry, Stripe_Discount_Amount_Off__c=1.5),
            line(here.entry(), "2027-05-01"),
            Stripe_Discount_Percent_Off__c=12.5,
        )

        here.run(order)

        (schedule,) = here.schedules()
        coupons = {coupon["id"]: coupon for coupon in here.stripe.objects(ACCOUNT, "coupon")}
        assert len(coupons) == 4
        for phase in schedule["phases"]:
            (discount,) = phase["discounts"]
            assert coupons[discount["coupon"]]["percent_off"] == 12.5
            (discount,) = phase["items"][0]["discounts"]
            coupon = coupons[discount["coupon"]]
            assert (coupon["amount_off"], coupon["currency"], coupon["max_redemptions"]) == (150, "usd", 1)
        assert not schedule["phases"][1]["items"][1]["discounts"]

    def test_collection_settings_reach_the_phases(self, here: World) -> None:
        account = here.account()
        settings: dict[str, Any] = {"Stripe_Collection_Method__c": "send_invoice", "Stripe_Days_Until_Due__c": 30}
        here.run(here.order(account, here.contract(account), line(here.entry()), **settings))
        (phase,) = here.schedules()[0]["phases"]
        assert phase["collection_method"] == "send_invoice"
        assert phase["invoice_settings"]["days_until_due"] == 30

    def test_the_policies_reach_stripe(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(), end="2026-12-31"))
        here.run(
            order,
            end_dates="inclusive",
            time_zone="Europe/Berlin",
            billing_mode="classic",
            proration_behavior="none",
            billing_cycle_anchor="phase_start",
        )
        (schedule,) = here.schedules()
        (phase,) = schedule["phases"]
        assert schedule["billing_mode"]["type"] == "classic"
        assert (phase["start_date"], phase["end_date"]) == (DEC_1 - 3600, JAN_1 - 3600)
        assert (phase["proration_behavior"], phase["billing_cycle_anchor"]) == ("none", "phase_start")


class TestKnownObjects:
    def test_a_price_named_by_the_line_is_used_as_it_is(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        here.run(here.order(account, here.contract(account), line(entry)))
        (price,) = here.stripe.objects(ACCOUNT, "price")
        other = here.entry(55)
        order = here.order(account, here.contract(account), line(other, UnitPrice=1, Stripe_Price_Id__c=price["id"]))
        assert here.run(order).outcome == "synced"
        assert here.schedules()[-1]["phases"][0]["items"][0]["price"] == price["id"]
        assert here.record("PricebookEntry", other)["Stripe_Price_Id__c"] is None

    def test_lost_ids_are_found_again(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        here.run(here.order(account, here.contract(account), line(entry)))
        product = here.record("PricebookEntry", entry)["Product2Id"]
        here.salesforce.update("Account", account, {"Stripe_Customer_Id__c": None})
        here.salesforce.update("PricebookEntry", entry, {"Stripe_Price_Id__c": None})
        here.salesforce.update("Product2", product, {"Stripe_Product_Id__c": None})

        here.run(here.order(account, here.contract(account), line(entry)))

        for kind in ("customer", "product", "price"):
            assert len(here.stripe.objects(ACCOUNT, kind)) == 1
        (customer,) = here.stripe.objects(ACCOUNT, "customer")
        assert here.record("Account", account)["Stripe_Customer_Id__c"] == customer["id"]

    def test_a_changed_amount_makes_a_new_price_that_takes_the_lookup_key(self, here: World) -> None:
        account, entry = here.account(), here.entry(10)
        here.run(here.order(account, here.contract(account), line(entry)))
        here.salesforce.update("PricebookEntry", entry, {"Stripe_Price_Id__c": None, "UnitPrice": 12})

        here.run(here.order(account, here.contract(account), line(entry)))

        old, new = sorted(here.stripe.objects(ACCOUNT, "price"), key=lambda price: price["unit_amount"])
        assert (old["lookup_key"], new["unit_amount"]) == (None, 1200)
        first, second = (schedule["phases"][0]["items"][0]["price"] for schedule in here.schedules())
        assert (first, second) == (old["id"], new["id"])


class TestMoreOrders:
    def test_orders_activated_before_the_first_run_share_one_schedule(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        first = here.order(account, contract, line(here.entry()))
        second = here.order(account, contract, line(here.entry(), "2027-05-01"))

        assert here.run(second).outcome == "synced"
        assert here.run(first).outcome == "unchanged"

        (schedule,) = here.schedules()
        assert len(schedule["phases"]) == 2
        assert schedule["metadata"]["salesforce_order_id"] == first
        for order in (first, second):
            assert here.record("Order", order)["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]
            assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Synced"

    def test_a_change_order_of_a_contract_with_a_schedule_is_refused(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        first = here.order(account, contract, line(here.entry()))
        here.run(first)
        writes = here.stripe.writes()
        (schedule,) = here.schedules()
        second = here.order(account, contract, line(here.entry(), "2027-05-01"))

        report = here.run(second)

        assert report.outcome == "failed"
        assert [finding.code for finding in report.findings] == ["schedule_exists"]
        record = here.record("Order", second)
        assert record["Stripe_Sync_Status__c"] == "Failed"
        assert schedule["id"] in record["Stripe_Sync_Message__c"]
        assert record["OrderNumber"] in record["Stripe_Sync_Message__c"]
        assert record["Stripe_Subscription_Schedule_Id__c"] is None
        assert here.record("Order", first)["Stripe_Sync_Status__c"] == "Synced"
        assert here.stripe.writes() == writes
        assert here.schedules() == [schedule]

    def test_a_later_order_changes_nothing_about_an_earlier_one(self, here: World) -> None:
        """The first order's event comes again when a change order, even a faulty one, is there: it is still Synced."""
        account = here.account()
        contract = here.contract(account)
        first = here.order(account, contract, line(here.entry()))
        here.run(first)
        record = here.record("Order", first)
        here.order(account, contract, line(here.entry(), Quantity=1.5))
        assert here.run(first).outcome == "unchanged"
        assert here.record("Order", first) == record

    def test_an_order_that_came_while_a_run_was_cut_off_is_no_part_of_its_schedule(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        first = here.order(account, contract, line(here.entry()))
        here.stripe.inject("lost_after", method="POST", path="/v1/subscription_schedules")
        with pytest.raises(UnknownOutcomeError):
            here.run(first)
        second = here.order(account, contract, line(here.entry(), "2027-05-01"))

        assert here.run(first).outcome == "synced"
        assert here.run(second).outcome == "failed"

        (schedule,) = here.schedules()
        assert here.record("Order", first)["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]
        assert here.record("Order", first)["Stripe_Sync_Status__c"] == "Synced"
        assert here.record("Order", second)["Stripe_Subscription_Schedule_Id__c"] is None
        assert here.record("Order", second)["Stripe_Sync_Status__c"] == "Failed"

    def test_an_order_changed_after_its_schedule_was_made_is_refused(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        order = here.order(account, here.contract(account), line(entry))
        here.run(order)
        writes = here.stripe.writes()
        (item,) = lines_of(here, order)
        here.salesforce.update("OrderItem", item, {"Quantity": 5})

        report = here.run(order)

        assert [finding.code for finding in report.findings] == ["schedule_exists"]
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Failed"
        assert here.stripe.writes() == writes

    def test_a_cleared_schedule_id_is_found_again_while_the_schedule_lives(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        order = here.order(account, contract, line(here.entry()))
        here.run(order)
        (schedule,) = here.schedules()
        for kind, record in (("Order", order), ("Contract", contract)):
            here.salesforce.update(kind, record, {"Stripe_Subscription_Schedule_Id__c": None})

        assert here.run(order).outcome == "synced"

        assert here.schedules() == [schedule]
        assert here.record("Contract", contract)["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]
        assert here.record("Order", order)["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]

    def test_a_cancelled_schedule_whose_id_is_cleared_makes_room_for_a_new_one(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        order = here.order(account, contract, line(here.entry()))
        here.run(order)
        (schedule,) = here.schedules()
        here.post_to_stripe(f"/v1/subscription_schedules/{schedule['id']}/cancel")
        for kind, record in (("Order", order), ("Contract", contract)):
            here.salesforce.update(kind, record, {"Stripe_Subscription_Schedule_Id__c": None})

        assert here.run(order).outcome == "synced"

        assert [one["status"] for one in here.schedules()] == ["canceled", "not_started"]
        assert here.ledger(contract)["intent"]["generation"] == 2


class TestMoves:
    def moved(self, here: World, order: str, **fields: Any) -> None:
        """The order is taken back, changed, and activated again, as Salesforce allows."""
        here.salesforce.update("Order", order, {"Status": "Draft"})
        here.salesforce.update("Order", order, fields)
        here.salesforce.update("Order", order, {"Status": "Activated"})

    def test_an_order_moved_to_another_contract_is_not_billed_twice(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry()))
        here.run(order)
        self.moved(here, order, ContractId=here.contract(account))

        report = here.run(order)

        assert [finding.code for finding in report.findings] == ["billed_elsewhere"]
        (schedule,) = here.schedules()
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Failed"
        assert schedule["id"] in here.record("Order", order)["Stripe_Sync_Message__c"]

    def test_a_clone_that_carries_the_id_of_its_original_is_billed(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        for contract in (None, here.contract(account)):
            original = here.order(account, None, line(entry))
            here.run(original)
            stale = {"Stripe_Subscription_Schedule_Id__c": here.record("Order", original)["Stripe_Subscription_Schedule_Id__c"]}
            clone = here.order(account, contract, line(entry), **stale)
            assert here.run(clone).outcome == "synced"
            assert here.record("Order", clone)["Stripe_Subscription_Schedule_Id__c"] == here.schedules()[-1]["id"]
        assert len(here.schedules()) == 4

    def test_an_order_moved_to_another_account_is_refused(self, here: World) -> None:
        ours, theirs = here.account(), here.account(Name="Other Inc")
        order = here.order(ours, None, line(here.entry()))
        here.run(order)
        self.moved(here, order, AccountId=theirs)

        report = here.run(order)

        assert [finding.code for finding in report.findings] == ["account_changed"]
        assert here.record("Account", theirs)["Stripe_Customer_Id__c"] is None
        assert len(here.schedules()) == 1

    def test_what_changes_outside_an_order_leaves_it_synced(self, here: World) -> None:
        account, entry = here.account(), here.entry(10)
        order = here.order(account, here.contract(account), line(entry))
        here.run(order)
        here.salesforce.update("PricebookEntry", entry, {"UnitPrice": 12, "Stripe_Price_Id__c": "price_other"})
        assert here.run(order, proration_behavior="none").outcome == "unchanged"
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Synced"

    def test_a_released_schedule_whose_subscription_goes_on_is_not_made_again(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        order = here.order(account, contract, line(here.entry(), "2026-11-20", None), EffectiveDate="2026-11-20")
        here.run(order)
        here.clock.advance(timedelta(days=400))
        for kind, record in (("Order", order), ("Contract", contract)):
            here.salesforce.update(kind, record, {"Stripe_Subscription_Schedule_Id__c": None})
        assert here.run(order).outcome == "synced"
        assert [schedule["status"] for schedule in here.schedules()] == ["released"]
        assert len(here.stripe.objects(ACCOUNT, "subscription")) == 1


class TestLinesThatAreNotBilled:
    def test_a_line_without_quantity_needs_no_price(self) -> None:
        with world(zero_quantity=True) as here:
            account = here.account()
            lines = line(here.entry()), line(here.entry(interval=None), Quantity=0)
            assert here.run(here.order(account, here.contract(account), *lines)).outcome == "synced"
            assert len(here.stripe.objects(ACCOUNT, "price")) == 1

    def test_a_reduction_needs_no_price(self, here: World) -> None:
        account = here.account()
        contract, entry = here.contract(account), here.entry()
        here.run(here.order(account, here.contract(account), line(entry)))
        (price,) = here.stripe.objects(ACCOUNT, "price")
        bare = here.entry(interval=None)
        first = here.order(account, contract, line(bare, Quantity=3, Stripe_Price_Id__c=price["id"]))
        (original,) = lines_of(here, first)
        taken = line(bare, "2027-05-01", Quantity=-1, OriginalOrderItemId=original)
        here.order(account, contract, taken, IsReductionOrder=True, OriginalOrderId=first)

        assert here.run(first).outcome == "synced"

        phases = here.schedules()[-1]["phases"]
        assert [phase["items"][0]["quantity"] for phase in phases] == [3, 2]


class TestRefusedData:
    def refused(self, here: World, order: str, *codes: str, **policies: Any) -> str:
        """The order is refused with exactly these findings, told on it, and Stripe is not even asked."""
        report = here.run(order, **policies)
        assert report.outcome == "failed"
        assert sorted(finding.code for finding in report.findings) == sorted(codes)
        record = here.record("Order", order)
        assert record["Stripe_Sync_Status__c"] == "Failed"
        message = str(record["Stripe_Sync_Message__c"])
        for finding in report.findings:
            assert finding.message in message
            assert finding.remedy in message
        assert here.stripe.log == []
        entry = here.log_entries()[-1]
        assert entry["outcome"] == "failed"
        assert [finding["code"] for finding in entry["findings"]] == [finding.code for finding in report.findings]
        return message

    def test_all_findings_are_told_at_once(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        order = here.order(
            account,
            here.contract(account),
            line(entry, "2026-12-01", "2027-03-01"),
            line(entry, "2027-04-01", "2027-12-01"),
            line(here.entry(), "2026-12-01", "2027-03-01", Quantity=1.5),
            line(
                here.entry(),
                "2026-12-01",
                "2027-03-01",
                Stripe_Discount_Percent_Off__c=10,
                Stripe_Discount_Amount_Off__c=5,
            ),
        )
        message = self.refused(here, order, "phase_gap", "fractional_quantity", "discount_conflict")
        assert "2027-03-01" in message
        assert "2027-04-01" in message

    def test_an_account_without_a_name(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        order = here.order(account, here.contract(account), line(entry))
        here.hide_name(account)
        assert account in self.refused(here, order, "missing_account_name")

    def test_a_price_book_entry_without_an_interval(self, here: World) -> None:
        account, entry = here.account(), here.entry(interval=None)
        assert entry in self.refused(here, here.order(account, here.contract(account), line(entry)), "missing_interval")

    def test_an_interval_that_stripe_cannot_bill(self, here: World) -> None:
        account, entry = here.account(), here.entry(Stripe_Billing_Interval_Count__c=37)
        assert "37 month" in self.refused(here, here.order(account, here.contract(account), line(entry)), "invalid_interval")

    def test_a_fractional_quantity(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(), Quantity=2.5))
        assert "2.5" in self.refused(here, order, "fractional_quantity")

    def test_a_line_sold_at_another_price_than_the_standard_one(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(10), UnitPrice=9))
        message = self.refused(here, order, "custom_price")
        assert "9" in message
        assert "10" in message

    def test_everything_has_ended(self, here: World) -> None:
        account = here.account()
        order = here.order(
            account, here.contract(account), line(here.entry(), "2026-02-01", "2026-11-01"), EffectiveDate="2026-02-01"
        )
        assert "2026-11-01" in self.refused(here, order, "end_in_past")

    def test_invoices_without_a_due_date(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry()), Stripe_Collection_Method__c="send_invoice")
        self.refused(here, order, "missing_days_until_due")

    def test_a_start_in_the_past_is_billed_from_now_on_with_a_warning(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(), "2026-11-10"), EffectiveDate="2026-11-10")
        report = here.run(order)
        assert [finding.code for finding in report.findings] == ["start_in_past"]
        record = here.record("Order", order)
        assert record["Stripe_Sync_Status__c"] == "Synced"
        assert "10 days" in record["Stripe_Sync_Message__c"]
        assert here.schedules()[0]["phases"][0]["start_date"] == int(NOW.timestamp())

    def test_a_start_in_the_past_may_be_refused(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(), "2026-11-10"), EffectiveDate="2026-11-10")
        self.refused(here, order, "start_in_past", backdating="reject")

    def test_corrected_data_is_billed(self, here: World) -> None:
        account, entry = here.account(), here.entry(interval=None)
        order = here.order(account, here.contract(account), line(entry))
        self.refused(here, order, "missing_interval")
        here.salesforce.update("PricebookEntry", entry, {"Stripe_Billing_Interval__c": "month"})
        assert here.run(order).outcome == "synced"
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Synced"
        assert here.record("Order", order)["Stripe_Sync_Message__c"] is None


class TestEventsThatDoNotApply:
    def test_an_order_that_is_gone(self, here: World) -> None:
        report = here.run("801Ah0000000099IAA")
        assert report.outcome == "skipped"
        assert "801Ah0000000099IAA" in report.message
        (entry,) = here.log_entries()
        assert (entry["error"], entry["error_code"]) == ("data", "NOT_FOUND")
        assert not here.salesforce.calls("PATCH")

    def test_an_order_that_is_no_longer_activated(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry()))
        here.salesforce.update("Order", order, {"Status": "Draft"})
        assert here.run(order).outcome == "skipped"
        record = here.record("Order", order)
        assert record["Stripe_Sync_Status__c"] == "Skipped"
        assert "not activated any more" in record["Stripe_Sync_Message__c"]
        assert here.stripe.log == []

    def test_an_event_from_another_org(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry()))
        report = here.run(order, org_id="00D000000000002EAA")
        assert report.outcome == "skipped"
        assert "00D000000000002EAA" in report.message
        assert here.record("Order", order)["Stripe_Sync_Status__c"] is None
        assert here.stripe.log == []


class TestOtherOrgs:
    def test_an_org_with_one_currency(self) -> None:
        with world(multicurrency=False) as here:
            account, flow = here.account(), here.flow(currency="EUR")
            order = here.order(account, here.contract(account), line(here.entry()))
            here.run(order, flow)
            assert here.log_entries()[-1]["calls"]["salesforce"] == 3
            (schedule,) = here.schedules()
            assert schedule["phases"][0]["currency"] == "eur"
            another = here.order(account, here.contract(account), line(here.entry()))
            here.run(another, flow)
            assert here.log_entries()[-1]["calls"]["salesforce"] == 2

    def test_an_org_that_answers_in_small_pages(self) -> None:
        with world(page_size=2) as here:
            account = here.account()
            lines = [line(here.entry(), f"2027-0{month}-01") for month in range(1, 8)]
            order = here.order(account, here.contract(account), *lines)
            assert here.run(order).outcome == "synced"
            assert len(here.schedules()[0]["phases"][-1]["items"]) == 7

    def test_an_org_with_other_field_names(self) -> None:
        fields = {
            "Order": [Field("Billing_Status__c", "string", length=255), Field("Billing_Schedule__c", "string", length=255)],
            "OrderItem": [Field("Subscription_Start__c", "date")],
        }
        mapping = FieldMapping.model_validate(
            {
                "order": {"sync_status": "Billing_Status__c", "schedule_id": "Billing_Schedule__c"},
                "order_item": {"start_date": "Subscription_Start__c"},
            }
        )
        with world(fields=fields) as here:
            account = here.account()
            order = here.order(account, here.contract(account), line(here.entry(), Subscription_Start__c="2027-01-01"))
            here.run(order, here.flow(mapping=mapping))
            (schedule,) = here.schedules()
            assert schedule["phases"][0]["start_date"] == JAN_1
            assert here.record("Order", order)["Billing_Status__c"] == "Synced"
            assert here.record("Order", order)["Billing_Schedule__c"] == schedule["id"]
            assert here.record("Order", order)["Stripe_Sync_Status__c"] is None


class TestLease:
    def test_a_contract_that_another_run_works_on_is_left_to_it(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        order = here.order(account, contract, line(here.entry()))
        flow = here.flow()
        flow._table.acquire(contract, "another run", here.clock.now())
        with pytest.raises(ConflictError):
            here.run(order, flow)
        assert here.stripe.log == []
        assert here.log_entries()[-1]["outcome"] == "interrupted"
        here.clock.advance(timedelta(seconds=61))
        assert here.run(order, flow).outcome == "synced"

    def meanwhile(self, here: World, flow: OrderActivation, happens: Callable[[], Any]) -> None:
        """Let something happen between the flow's first read of the contract and its lease."""
        read = flow._contracts.read
        happened: list[Any] = []

        def reading(order_id: str) -> ContractState:
            state = read(order_id)
            if not happened:
                happened.append(happens())
            return state

        flow._contracts.read = reading  # type: ignore[method-assign]  # stands before the real one

    def test_what_another_run_did_meanwhile_is_read_again(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry()))
        flow = here.flow()
        self.meanwhile(here, flow, lambda: here.run(order))
        assert here.run(order, flow).outcome == "unchanged"
        assert len(here.salesforce.calls("PATCH")) == 1

    def test_an_order_that_moves_meanwhile_is_read_again(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        first = here.contract(account)
        order, other = (
            here.order(account, first, line(entry)),
            here.order(account, first, line(entry, "2027-12-01", "2028-12-01")),
        )
        flow = here.flow()

        def move() -> None:
            here.run(other)
            for fields in ({"Status": "Draft"}, {"ContractId": here.contract(account)}, {"Status": "Activated"}):
                here.salesforce.update("Order", order, fields)

        self.meanwhile(here, flow, move)
        with pytest.raises(ConflictError):
            here.run(order, flow)
        assert len(here.schedules()) == 1

    def test_runs_at_the_same_time_make_one_schedule(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(), Stripe_Discount_Percent_Off__c=10))

        def run(_: int) -> str:
            try:
                return here.run(order).outcome
            except ConflictError:
                return "conflict"

        with ThreadPoolExecutor(4) as pool:
            outcomes = sorted(pool.map(run, range(4)))
        assert "synced" in outcomes
        assert len(here.schedules()) == len(here.stripe.objects(ACCOUNT, "coupon")) == 1
        assert here.run(order).outcome == "unchanged"
