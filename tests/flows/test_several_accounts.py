"""Several Stripe accounts: each contract is in one, and nothing ever crosses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orderphase.mapping import read_mapping
from sandbox.salesforce_emulator.schema import Field
from tests.flows.deals import MOMENT, at, codes, sent
from tests.flows.world import ACCOUNT, KEY, ORG, World, world
from tests.org import line

UK, UK_KEY, CONNECTED = "acct_uk", "sk_test_uk", "acct_connected"
NAMES = {"default": ACCOUNT, "uk": UK, "reseller": CONNECTED}


@pytest.fixture
def here() -> Iterator[World]:
    """A world with a default account, a second one, and one that is connected to the first."""
    fields = {"Contract": [Field("Entity__c", "string", length=80)]}
    with world(keys={UK_KEY: UK}, connected={CONNECTED: ACCOUNT}, fields=fields) as made:
        made.accounts = {
            "default": {"STRIPE_API_KEY": KEY},
            "uk": {"STRIPE_API_KEY": UK_KEY},
            "reseller": {"STRIPE_API_KEY": KEY, "STRIPE_ACCOUNT_ID": CONNECTED},
        }
        made.mapping = read_mapping('contract.stripe_account = "Entity__c"')
        yield made


def schedules(here: World, name: str) -> list[dict[str, Any]]:
    return here.stripe.objects(NAMES[name], "subscription_schedule")


def counts(here: World, name: str) -> dict[str, int]:
    """How many objects of each kind an account has."""
    kinds = ("customer", "product", "price", "coupon", "subscription_schedule")
    return {kind: len(here.stripe.objects(NAMES[name], kind)) for kind in kinds if here.stripe.objects(NAMES[name], kind)}


def order_for(here: World, name: str | None, account: str, *lines: dict[str, Any], **fields: Any) -> str:
    """An order that names a Stripe account, under a contract of its own."""
    return here.order(account, here.contract(account), *lines, Stripe_Account__c=name, **fields)


ONE = {"customer": 1, "product": 1, "price": 1, "subscription_schedule": 1}


class TestWhichAccount:
    @pytest.mark.parametrize("name", ["uk", "reseller", "default", None])
    def test_the_order_says(self, here: World, name: str | None) -> None:
        account, entry = here.account(), here.entry()
        order = order_for(here, name, account, line(entry))
        assert here.run(order).outcome == "synced"
        expected = name or "default"
        assert {one: counts(here, one) for one in NAMES} == {one: ONE if one == expected else {} for one in NAMES}
        assert here.stripe.accounts() == {NAMES[expected]}
        (schedule,) = schedules(here, expected)
        assert here.record("Order", order)["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]
        here.clock.advance(MOMENT)
        assert here.run(order).outcome == "unchanged"

    def test_the_contract_says_where_the_order_does_not(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        contract = here.contract(account)
        here.salesforce.update("Contract", contract, {"Entity__c": "uk"})
        here.run(here.order(account, contract, line(entry)))
        assert counts(here, "uk") == ONE
        other = here.contract(account)
        here.salesforce.update("Contract", other, {"Entity__c": "uk"})
        here.run(here.order(account, other, line(entry), Stripe_Account__c="reseller"))
        assert counts(here, "reseller") == ONE
        assert counts(here, "default") == {}

    def test_a_later_order_that_names_none_stays_in_it(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        first = order_for(here, "uk", account, line(entry))
        here.run(first)
        contract = here.record("Order", first)["ContractId"]
        here.salesforce.update("Order", first, {"Stripe_Account__c": None})
        later = here.order(account, contract, line(entry, "2027-12-01", "2028-12-01"), EffectiveDate="2027-12-01")
        here.clock.advance(MOMENT)
        assert here.run(later).outcome == "synced"
        assert [len(one["phases"]) for one in schedules(here, "uk")] == [1]
        assert counts(here, "default") == {}

    @pytest.mark.parametrize("name", ["us", "UK", "acct_uk"])
    def test_one_that_is_not_known(self, here: World, name: str) -> None:
        order = order_for(here, name, here.account(), line(here.entry()))
        report = here.run(order)
        assert (report.outcome, codes(report)) == ("failed", ["stripe_account_unknown"])
        message = here.record("Order", order)["Stripe_Sync_Message__c"]
        for word in (name, "default", "uk", "reseller"):
            assert word in message
        assert here.stripe.log == []
        here.salesforce.update("Order", order, {"Stripe_Account__c": "uk"})
        assert here.run(order).outcome == "synced"

    def test_orders_of_one_contract_that_name_different_ones(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        first = order_for(here, "uk", account, line(entry))
        here.run(first)
        contract = here.record("Order", first)["ContractId"]
        later = line(entry, "2027-12-01", "2028-12-01")
        second = here.order(account, contract, later, EffectiveDate="2027-12-01", Stripe_Account__c="reseller")
        here.clock.advance(MOMENT)
        writes = here.stripe.writes()
        report = here.run(second)
        assert (report.outcome, codes(report)) == ("failed", ["stripe_account_conflict"])
        message = here.record("Order", second)["Stripe_Sync_Message__c"]
        assert "uk" in message
        assert "reseller" in message
        assert here.stripe.writes() == writes
        assert here.stripe.accounts() == {UK}
        here.salesforce.update("Order", second, {"Stripe_Account__c": "uk"})
        assert here.run(second).outcome == "synced"

    @pytest.mark.parametrize("name", ["uk", None])
    def test_a_contract_that_is_billed_does_not_move(self, here: World, name: str | None) -> None:
        order = order_for(here, "reseller" if name else "uk", here.account(), line(here.entry()))
        here.run(order)
        here.clock.advance(MOMENT)
        here.salesforce.update("Order", order, {"Stripe_Account__c": name or "default"})
        writes = here.stripe.writes()
        report = here.run(order)
        assert (report.outcome, codes(report)) == ("failed", ["stripe_account_changed"])
        assert here.stripe.writes() == writes
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Failed"

    def test_what_names_the_wrong_one_can_be_ended_all_the_same(self, here: World) -> None:
        order = order_for(here, "uk", here.account(), line(here.entry()))
        here.run(order)
        here.clock.advance(MOMENT)
        here.salesforce.update("Order", order, {"Stripe_Account__c": "reseller"})
        assert here.cancel(order).outcome == "synced"
        assert [one["status"] for one in schedules(here, "uk")] == ["canceled"]
        assert here.stripe.accounts() == {UK}

    def test_an_order_that_was_refused_in_the_wrong_one_is_billed_in_another(self, here: World) -> None:
        account = here.account()
        here.stripe.inject("refuse", error="402", method="POST", path="/v1/subscription_schedules")
        order = order_for(here, None, account, line(here.entry()))
        assert here.run(order).outcome == "failed"
        here.salesforce.update("Order", order, {"Stripe_Account__c": "uk"})
        assert here.run(order).outcome == "synced"
        assert (len(schedules(here, "default")), len(schedules(here, "uk"))) == (0, 1)


class TestWhatIsInOneAccount:
    def sold_everywhere(self, here: World) -> tuple[str, str, dict[str, str]]:
        """One product sold to one account in each Stripe account; the orders by the account's name."""
        account, entry = here.account(Phone="1"), here.entry()
        orders = {}
        for name in NAMES:
            orders[name] = order_for(here, name, account, line(entry))
            assert here.run(orders[name]).outcome == "synced"
            here.clock.advance(MOMENT)
        here.forget_calls()
        return account, entry, orders

    def test_each_has_its_own_of_everything_once(self, here: World) -> None:
        account, entry, _ = self.sold_everywhere(here)
        for name, account_id in NAMES.items():
            order = order_for(here, name, account, line(entry), line(entry, "2027-12-01", "2028-12-01"))
            here.forget_calls()
            assert here.run(order).outcome == "synced"
            assert sent(here) == ["POST /v1/subscription_schedules"], "what it has is known"
            assert here.stripe.accounts() == {account_id}
            assert counts(here, name) == ONE | {"subscription_schedule": 2}

    def test_salesforce_has_the_ids_of_the_default_account_alone(self, here: World) -> None:
        account, entry, _ = self.sold_everywhere(here)
        ids = here.record("PricebookEntry", entry)
        assert ids["Stripe_Price_Id__c"] == here.stripe.objects(ACCOUNT, "price")[0]["id"]
        assert (
            here.record("Product2", ids["Product2Id"])["Stripe_Product_Id__c"]
            == here.stripe.objects(ACCOUNT, "product")[0]["id"]
        )
        assert here.record("Account", account)["Stripe_Customer_Id__c"] == here.stripe.objects(ACCOUNT, "customer")[0]["id"]

    def test_a_second_account_leaves_the_fields_of_salesforce_alone(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        here.run(order_for(here, "uk", account, line(entry)))
        ids = here.record("PricebookEntry", entry)
        assert ids["Stripe_Price_Id__c"] is None
        assert here.record("Product2", ids["Product2Id"])["Stripe_Product_Id__c"] is None
        assert here.record("Account", account)["Stripe_Customer_Id__c"] is None

    def test_what_the_catalogue_table_has_lost_is_found_again(self, here: World) -> None:
        account, entry, _ = self.sold_everywhere(here)
        here.lose_catalogue()
        for name in NAMES:
            assert here.run(order_for(here, name, account, line(entry))).outcome == "synced"
            assert counts(here, name) == ONE | {"subscription_schedule": 2}

    def test_a_changed_amount_and_a_changed_account(self, here: World) -> None:
        account, entry, _ = self.sold_everywhere(here)
        here.salesforce.update("PricebookEntry", entry, {"UnitPrice": 12})
        here.salesforce.update("Account", account, {"Phone": "2"})
        for name, account_id in NAMES.items():
            report = here.run(order_for(here, name, account, line(entry)))
            assert (report.outcome, codes(report)) == ("synced", ["price_replaced"])
            prices = here.stripe.objects(account_id, "price")
            assert [price["unit_amount"] for price in prices] == [1000, 1200]
            assert schedules(here, name)[-1]["phases"][0]["items"][0]["price"] == prices[1]["id"]
            assert [one["phone"] for one in here.stripe.objects(account_id, "customer")] == ["2"]

    def test_custom_prices_and_discounts(self, here: World) -> None:
        account, entry, _ = self.sold_everywhere(here)
        order = order_for(here, "uk", account, line(entry, UnitPrice=9, Stripe_Discount_Percent_Off__c=5))
        assert here.run(order).outcome == "synced"
        assert counts(here, "uk") == {"customer": 1, "product": 1, "price": 2, "coupon": 1, "subscription_schedule": 2}
        assert here.stripe.accounts() == {UK}

    def test_a_customer_that_was_deleted(self, here: World) -> None:
        account, entry, _ = self.sold_everywhere(here)
        gone = here.stripe.objects(UK, "customer")[0]["id"]
        here.delete_in_stripe(f"/v1/customers/{gone}", key=UK_KEY)
        report = here.run(order_for(here, "uk", account, line(entry)))
        assert (report.outcome, codes(report)) == ("synced", ["customer_replaced"])
        here.forget_calls()
        assert codes(here.run(order_for(here, "uk", account, line(entry)))) == []
        assert here.stripe.accounts() == {UK}


class TestOtherFlows:
    def running(self, here: World, name: str = "uk", **fields: Any) -> tuple[str, str, str]:
        """A running contract in an account: the Salesforce account, the entry and the order."""
        account, entry = here.account(), here.entry()
        # The ids in Salesforce are those of the default account.
        here.run(order_for(here, None, account, line(entry)))
        order = order_for(here, name, account, line(entry, **fields))
        assert here.run(order).outcome == "synced"
        at(here, "2027-02-10")
        here.forget_calls()
        return account, entry, order

    @pytest.mark.parametrize("name", ["uk", "reseller"])
    def test_a_change_order(self, here: World, name: str) -> None:
        account, _, order = self.running(here, name)
        contract = here.record("Order", order)["ContractId"]
        change = here.order(
            account, contract, line(here.entry(5), "2027-03-01"), EffectiveDate="2027-03-01", Stripe_Account__c=name
        )
        assert here.run(change).outcome == "synced"
        assert [len(phase["items"]) for phase in schedules(here, name)[0]["phases"]] == [1, 2]
        assert here.stripe.accounts() == {NAMES[name]}
        assert here.log_entries()[-1]["calls"]["stripe"] == len(here.stripe.log)

    def test_a_changed_line(self, here: World) -> None:
        _, _, order = self.running(here)
        (item,) = here.lines_of(order)
        here.salesforce.update("OrderItem", item, {"Quantity": 4})
        assert here.change_line(item).outcome == "synced"
        assert here.stripe.objects(UK, "subscription")[0]["items"]["data"][0]["quantity"] == 4
        assert here.stripe.accounts() == {UK}

    @pytest.mark.parametrize("asked", [{}, {"mode": "at_period_end"}])
    def test_a_cancellation(self, here: World, asked: dict[str, Any]) -> None:
        _, _, order = self.running(here)
        assert here.cancel(order, asked=asked).outcome == "synced"
        assert here.stripe.accounts() == {UK}
        at(here, "2027-04-10")
        assert [one["status"] for one in here.stripe.objects(UK, "subscription")] == ["canceled"]
        assert [one["status"] for one in here.stripe.objects(ACCOUNT, "subscription")] == ["active"]

    def test_one_that_is_cancelled_before_it_is_billed(self, here: World) -> None:
        """The customer that Salesforce knows is another account's, so this one is not asked about it."""
        account = here.account(Stripe_Customer_Id__c="cus_of_the_default_account")
        order = order_for(here, "uk", account, line(here.entry()))
        here.cancel(order)
        here.clock.advance(MOMENT)
        report = here.run(order)
        assert (report.outcome, schedules(here, "uk")) == ("unchanged", [])
        assert not [call for call in here.stripe.log if "cus_of_the_default_account" in call.path]

    def test_what_is_caught_up_names_the_products_of_the_account(self, here: World) -> None:
        account, entry, order = self.running(here)
        contract = here.record("Order", order)["ContractId"]
        more = line(entry, "2027-02-01", Quantity=3)
        change = here.order(account, contract, more, EffectiveDate="2027-02-01", Stripe_Account__c="uk")
        report = here.run(change, backdating="catch_up", quantity_conflict="sum")
        assert (report.outcome, codes(report)) == ("synced", [])
        assert here.stripe.accounts() == {UK}
        assert len(here.stripe.invoice_items(UK)) == 1

    def test_the_rolling_window(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        lines = [line(entry, f"2026-12-{day:02}", f"2026-12-{day + 1:02}", Quantity=day) for day in range(1, 15)]
        order = order_for(here, "uk", account, *lines)
        assert here.run(order).outcome == "synced"
        before = len(schedules(here, "uk")[0]["phases"])
        at(here, "2026-12-07")
        here.forget_calls()
        assert here.rolling_window() == 1
        assert len(schedules(here, "uk")[0]["phases"]) > before
        assert here.stripe.accounts() == {UK}

    def test_a_preview(self, here: World) -> None:
        account, entry, _ = self.running(here)
        order = order_for(here, "uk", account, line(entry, "2027-03-01"), EffectiveDate="2027-03-01")
        shown = here.previews().run(order)
        assert shown.created_first == ()
        assert shown.params["customer"] == here.stripe.objects(UK, "customer")[0]["id"]
        assert shown.params["phases"][0]["items"][0]["price"] == here.stripe.objects(UK, "price")[0]["id"]
        assert here.stripe.accounts() == {UK}
        assert {call.method for call in here.stripe.log if "create_preview" not in call.path} <= {"GET"}

    def test_a_preview_of_what_is_new_there(self, here: World) -> None:
        account, entry, _ = self.running(here)
        order = order_for(here, "reseller", account, line(entry, "2027-03-01"), EffectiveDate="2027-03-01")
        shown = here.previews().run(order)
        assert len(shown.created_first) == 2
        assert "customer" not in shown.params
        assert shown.params["metadata"]["salesforce_org_id"] == ORG
        assert here.stripe.accounts() <= {CONNECTED}
