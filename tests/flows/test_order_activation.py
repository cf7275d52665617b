"""Order activation: what a run makes of an order, and what it leaves in Salesforce, Stripe, the ledger and the sync log."""

from __future__ import annotations

from typing import Any

from orderphase.mapping import FieldMapping
from sandbox.salesforce_emulator.schema import Field
from tests.flows.world import ACCOUNT, NOW, ORG, World, world
from tests.org import line

JAN_1, DEC_1, MAY_1 = 1798761600, 1796083200, 1809129600


def stripe_fields(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name.startswith("Stripe_") and value not in (None, False)}


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
            ShippingCountry="DE",
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
        assert schedule["metadata"] == identity | {"orderphase_generation": "1"}
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
        first, second = here.lines_of(order)
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
