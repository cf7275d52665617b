"""Order lines sold at another price than the price book's: each such price exists once in Stripe, and is never changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from tests.flows.deals import MOMENT, at, codes, contract_in, prices, sent, sold
from tests.flows.world import ACCOUNT, ORG, World, world
from tests.org import line


def amounts(here: World) -> list[str]:
    """What the recurring prices in Stripe cost, in minor units."""
    return sorted(price["unit_amount_decimal"] for price in prices(here))


def billed_at(here: World, schedule: dict[str, Any]) -> list[list[str]]:
    """By phase, what its items cost in minor units."""
    costs = {price["id"]: price["unit_amount_decimal"] for price in prices(here)}
    return [[costs[item["price"]] for item in phase["items"]] for phase in schedule["phases"]]


class TestOnePriceForAll:
    def test_it_is_made_of_what_was_sold(self, here: World) -> None:
        deal = sold(here, UnitPrice=Decimal("7.25"))
        (price,) = prices(here)
        product = here.record("PricebookEntry", deal.entry)["Product2Id"]
        assert (price["unit_amount"], price["currency"], price["recurring"]["interval"]) == (725, "usd", "month")
        assert price["lookup_key"] == f"orderphase_{ORG}_{product}_usd_725_month1"
        assert price["metadata"] == {"salesforce_org_id": ORG, "salesforce_product_id": product}
        assert price["product"] == here.record("Product2", product)["Stripe_Product_Id__c"]
        assert here.record("PricebookEntry", deal.entry)["Stripe_Price_Id__c"] is None
        assert here.record("OrderItem", deal.line)["Stripe_Price_Id__c"] is None

    def test_lines_orders_contracts_and_accounts_share_it(self, here: World) -> None:
        """K2: 97.50 a month, whoever sells it."""
        entry = here.entry(100)
        for number in range(3):
            account = here.account(Name=f"Company {number}")
            contract = here.contract(account)
            lines = [line(entry, f"202{year}-12-01", f"202{year + 1}-12-01", UnitPrice=Decimal("97.5")) for year in (6, 7)]
            assert here.run(here.order(account, contract, *lines)).outcome == "synced"
            change = line(entry, "2028-12-01", "2029-12-01", UnitPrice=Decimal("97.50"))
            assert here.run(here.order(account, contract, change, EffectiveDate="2028-12-01")).outcome == "synced"
        assert amounts(here) == ["9750"]
        assert [billed_at(here, schedule) for schedule in here.schedules()] == [[["9750"]]] * 3
        assert len(here.stripe.objects(ACCOUNT, "product")) == 1

    def test_a_thousand_lines_are_one_price(self, here: World) -> None:
        entry, account = here.entry(100), here.account()
        values = {"PricebookEntryId": entry, "UnitPrice": Decimal("97.5"), "ServiceDate": "2026-12-01", "EndDate": "2027-12-01"}
        order = here.order(account, here.contract(account), *[values] * 1000)
        assert here.run(order, quantity_conflict="sum").outcome == "synced"
        assert amounts(here) == ["9750"]
        ((item,),) = [phase["items"] for phase in here.schedule()["phases"]]
        assert item["quantity"] == 1000

    def test_what_is_another_price_is_not_shared(self, here: World) -> None:
        account = here.account()
        entry, yearly = here.entry(10), here.entry(10, "year")
        lines = [line(entry, UnitPrice=9), line(here.entry(10), UnitPrice=9), line(yearly, UnitPrice=9)]
        lines.append(line(entry, "2027-12-01", "2028-12-01", UnitPrice=8))
        assert here.run(here.order(account, here.contract(account), *lines)).outcome == "synced"
        assert amounts(here) == ["800", "900", "900", "900"]
        assert len({price["lookup_key"] for price in prices(here)}) == 4

    def test_a_price_of_the_price_book_stays_its_own(self, here: World) -> None:
        deal = sold(here)
        contract = here.contract(deal.account)
        assert here.run(here.order(deal.account, contract, line(deal.entry, UnitPrice=9))).outcome == "synced"
        standard, custom = prices(here)
        assert here.record("PricebookEntry", deal.entry)["Stripe_Price_Id__c"] == standard["id"]
        assert (standard["unit_amount"], custom["unit_amount"], custom["product"]) == (1000, 900, standard["product"])

    def test_it_is_found_again_by_its_key_when_everything_is_lost(self, here: World) -> None:
        deal = sold(here, UnitPrice=9)
        here.lose_catalogue()
        here.dynamodb.delete_item(TableName="contracts", Key={"contract_id": {"S": deal.contract}})
        order = here.order(deal.account, here.contract(deal.account), line(deal.entry, UnitPrice=9))
        assert here.run(order).outcome == "synced"
        assert len(prices(here)) == 1
        assert sent(here).count("POST /v1/prices") == 0

    def test_warm_it_costs_one_more_request(self, here: World) -> None:
        account, entry, flow = here.account(), here.entry(), here.flow()
        here.run(here.order(account, here.contract(account), line(entry, UnitPrice=9)), flow)
        order = here.order(account, here.contract(account), line(entry, UnitPrice=9))
        here.forget_calls()
        assert here.run(order, flow).outcome == "synced"
        assert sent(here) == ["GET /v1/prices", "POST /v1/subscription_schedules"]

    def test_what_is_billed_already_is_not_looked_up(self, here: World) -> None:
        deal = sold(here, UnitPrice=9)
        flow = here.flow()
        assert here.run(deal.order, flow).outcome == "unchanged"
        assert sent(here) == [f"GET /v1/subscription_schedules/{here.schedule()['id']}"]
        here.forget_calls()
        change = deal.change(line(deal.entry, "2027-12-01", "2028-12-01", UnitPrice=9), EffectiveDate="2027-12-01")
        assert here.run(change, flow).outcome == "synced"
        path = f"/v1/subscription_schedules/{here.schedule()['id']}"
        assert sent(here) == [f"GET {path}", f"POST {path}"]

    def test_archived_another_takes_its_place(self, here: World) -> None:
        deal = sold(here, UnitPrice=9)
        (first,) = prices(here)
        here.post_to_stripe(f"/v1/prices/{first['id']}", active="false")
        for _ in range(2):
            order = here.order(deal.account, here.contract(deal.account), line(deal.entry, UnitPrice=9))
            assert here.run(order).outcome == "synced"
        archived, second = prices(here)
        assert (archived["active"], archived["lookup_key"], second["active"]) == (False, None, True)
        assert second["lookup_key"] == first["lookup_key"]
        assert here.schedules()[0]["phases"][0]["items"][0]["price"] == first["id"]
        assert {one["phases"][0]["items"][0]["price"] for one in here.schedules()[1:]} == {second["id"]}

    def test_two_runs_at_once_make_one(self, here: World) -> None:
        entry, orders = here.entry(), []
        for number in range(4):
            account = here.account(Name=f"Company {number}")
            orders.append(here.order(account, here.contract(account), line(entry, UnitPrice=9)))
        with ThreadPoolExecutor(4) as pool:
            reports = list(pool.map(lambda order: here.run(order, here.flow()), orders))
        assert [report.outcome for report in reports] == ["synced"] * 4
        assert (len(prices(here)), len(here.stripe.objects(ACCOUNT, "product"))) == (1, 1)
        assert {one["phases"][0]["items"][0]["price"] for one in here.schedules()} == {prices(here)[0]["id"]}

    def test_a_price_that_the_line_names_counts(self, here: World) -> None:
        first = sold(here)
        (price,) = prices(here)
        named = line(here.entry(55), UnitPrice=1, Stripe_Price_Id__c=price["id"])
        assert here.run(here.order(first.account, here.contract(first.account), named)).outcome == "synced"
        assert prices(here) == [price]


class TestPolicies:
    def test_refused(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(10), UnitPrice=9))
        report = here.run(order, custom_pricing="error")
        assert (report.outcome, codes(report)) == ("failed", ["custom_price"])
        assert here.stripe.log == []

    def test_billed_at_the_standard_price_with_a_warning(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(10), UnitPrice=9))
        report = here.run(order, custom_pricing="standard")
        assert (report.outcome, codes(report)) == ("synced", ["custom_price"])
        assert [finding.severity for finding in report.findings] == ["warning"]
        assert amounts(here) == ["1000"]
        message = here.record("Order", order)["Stripe_Sync_Message__c"]
        assert "sells at 9, but the standard price is 10" in message

    def test_the_price_of_a_term_is_divided(self, here: World) -> None:
        """K1: a line of 24 months at 240."""
        account = here.account()
        lines = [
            line(here.entry(120, "year"), end="2028-12-01", UnitPrice=240),
            line(here.entry(11), end="2028-12-01", UnitPrice=240),
        ]
        assert here.run(here.order(account, here.contract(account), *lines), unit_prices="per_term").outcome == "synced"
        assert sorted((price["unit_amount"], price["recurring"]["interval"]) for price in prices(here)) == [
            (1000, "month"),
            (12000, "year"),
        ]

    def test_the_same_price_for_a_term_of_another_length(self, here: World) -> None:
        """K1: 120 for a year is 10 a month, for half a year 20."""
        deal = sold(here, policies={"unit_prices": "per_term"}, UnitPrice=120)
        half = line(deal.entry, "2027-12-01", "2028-06-01", UnitPrice=120)
        assert here.run(deal.change(half, EffectiveDate="2027-12-01"), unit_prices="per_term").outcome == "synced"
        assert billed_at(here, here.schedule()) == [["1000"], ["2000"]]

    def test_a_term_that_becomes_shorter(self, here: World) -> None:
        """What an interval costs stays, as long as the line's own price does."""
        deal = sold(here, policies={"unit_prices": "per_term"}, UnitPrice=120)
        here.salesforce.update("OrderItem", deal.line, {"EndDate": "2027-06-01"})
        assert here.change_line(deal.line, unit_prices="per_term").outcome == "synced"
        assert billed_at(here, here.schedule()) == [["1000"]]
        here.clock.advance(MOMENT)
        here.salesforce.update("OrderItem", deal.line, {"UnitPrice": 90})
        assert here.change_line(deal.line, unit_prices="per_term").outcome == "synced"
        assert billed_at(here, here.schedule()) == [["1500"]]


class TestAChangedLine:
    def test_before_the_start(self, here: World) -> None:
        deal = sold(here)
        here.salesforce.update("OrderItem", deal.line, {"UnitPrice": 9})
        report = here.change_line(deal.line, changed=["UnitPrice"])
        assert (report.outcome, codes(report)) == ("synced", [])
        assert amounts(here) == ["1000", "900"]
        assert billed_at(here, here.schedule()) == [["900"]]
        assert here.change_line(deal.line, changed=["UnitPrice"]).outcome == "unchanged"

    def test_while_it_runs(self, here: World) -> None:
        deal = sold(here)
        at(here, "2027-02-10")
        for amount, expected in ((9, "900"), (8, "800"), (9, "900"), (10, "1000")):
            here.salesforce.update("OrderItem", deal.line, {"UnitPrice": amount})
            assert here.change_line(deal.line, changed=["UnitPrice"]).outcome == "synced"
            assert billed_at(here, here.schedule())[-1] == [expected]
            assert [item["price"]["unit_amount"] for item in here.subscription()["items"]["data"]] == [int(expected)]
            here.clock.advance(MOMENT)
        assert amounts(here) == ["1000", "800", "900"], "each exists once"

    def test_one_line_of_two_at_the_same_price(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        lines = line(entry, UnitPrice=9), line(entry, "2027-12-01", "2028-12-01", UnitPrice=9)
        order = here.order(account, here.contract(account), *lines)
        here.run(order)
        second = here.lines_of(order)[1]
        here.salesforce.update("OrderItem", second, {"UnitPrice": 8})
        assert here.change_line(second).outcome == "synced"
        assert billed_at(here, here.schedule()) == [["900"], ["800"]]

    def test_a_price_that_is_entered_on_it(self, here: World) -> None:
        deal, other = sold(here), sold(here, UnitPrice=9)
        custom = prices(here)[1]["id"]
        here.salesforce.update("OrderItem", deal.line, {"Stripe_Price_Id__c": custom})
        assert here.change_line(deal.line, changed=["Stripe_Price_Id__c"]).outcome == "synced"
        assert here.schedules()[0]["phases"][0]["items"][0]["price"] == custom
        assert other.line != deal.line


class TestAmounts:
    @pytest.mark.parametrize(
        ("currency", "sold_at", "wire", "warned"),
        [
            ("JPY", Decimal("10001"), "10001", False),
            ("KWD", Decimal("1.234"), "1230", True),
            ("KWD", Decimal("1.23"), "1230", False),
            ("ISK", Decimal("5.4"), "500", True),
            ("ISK", Decimal("5"), "500", False),
            ("UGX", Decimal("7"), "700", False),
            ("USD", Decimal("14.28571429"), "1428.571429", False),
        ],
    )
    def test_what_stripe_can_express(self, currency: str, sold_at: Decimal, wire: str, warned: bool) -> None:
        with world() as here:
            account, entry = here.account(), here.entry(3, CurrencyIsoCode=currency)
            contract = contract_in(here, account, currency)
            order = here.order(account, contract, line(entry, UnitPrice=sold_at), CurrencyIsoCode=currency)
            report = here.run(order)
            assert (report.outcome, codes(report)) == ("synced", ["price_rounded"] if warned else [])
            (price,) = prices(here)
            assert (price["unit_amount_decimal"], price["currency"]) == (wire, currency.lower())
            assert here.run(order).outcome == "unchanged"
            if warned:
                assert "finer than Stripe takes" in here.record("Order", order)["Stripe_Sync_Message__c"]

    def test_what_rounds_to_the_standard_price_is_the_standard_price(self, here: World) -> None:
        account, entry = here.account(), here.entry(Decimal("1.234"), CurrencyIsoCode="KWD")  # type: ignore[arg-type]
        lines = line(entry), line(entry, "2027-12-01", "2028-12-01", UnitPrice=Decimal("1.2315"))
        order = here.order(account, contract_in(here, account, "KWD"), *lines, CurrencyIsoCode="KWD")
        assert here.run(order).outcome == "synced"
        assert amounts(here) == ["1230"]

    def test_twelve_decimals(self, here: World) -> None:
        """K3: 100 for seven months."""
        sold(here, end="2027-07-01", policies={"unit_prices": "per_term"}, UnitPrice=100)
        assert amounts(here) == ["1428.571428571429"]

    def test_nothing(self, here: World) -> None:
        sold(here, UnitPrice=0)
        assert amounts(here) == ["0"]
