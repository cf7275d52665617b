"""What becomes of a price when the price book changes: it stays, and what is sold from then on has another (K4)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from orderphase.errors import UnknownOutcomeError
from tests.flows.deals import Deal, codes, prices, sent, sold
from tests.flows.world import ORG, World
from tests.org import line

NEXT_YEAR = ("2027-12-01", "2028-12-01")


def reprice(here: World, entry: str, amount: float, **fields: Any) -> None:
    here.salesforce.update("PricebookEntry", entry, {"UnitPrice": amount, **fields})


def sell(here: World, deal: Deal, **policies: Any) -> Any:
    """Sell the same product under another contract, at what the price book says now."""
    return here.run(here.order(deal.account, here.contract(deal.account), line(deal.entry)), **policies)


def named(here: World, deal: Deal) -> str:
    """The price that Salesforce names."""
    return str(here.record("PricebookEntry", deal.entry)["Stripe_Price_Id__c"])


def last_price(here: World) -> str:
    """The price that the newest schedule bills last."""
    return str(here.schedules()[-1]["phases"][-1]["items"][0]["price"])


class TestAChangedAmount:
    def test_a_new_price_takes_its_place(self, here: World) -> None:
        deal = sold(here)
        (before,) = prices(here)
        reprice(here, deal.entry, 12)

        report = sell(here, deal)

        old, new = prices(here)
        assert (old["unit_amount"], new["unit_amount"], old["active"]) == (1000, 1200, True)
        assert (
            (old["lookup_key"], new["lookup_key"]) == (None, before["lookup_key"]) == (None, f"salesforce_{ORG}_{deal.entry}")
        )
        assert named(here, deal) == new["id"] == last_price(here)
        assert here.schedules()[0]["phases"][0]["items"][0]["price"] == old["id"]
        assert (report.outcome, codes(report)) == ("synced", ["price_replaced"])
        message = here.salesforce.query("SELECT Stripe_Sync_Message__c FROM Order ORDER BY Id DESC LIMIT 1")[0]
        for word in (deal.entry, "says 12", old["id"], new["id"]):
            assert word in message["Stripe_Sync_Message__c"]

    def test_it_is_told_once(self, here: World) -> None:
        deal = sold(here)
        reprice(here, deal.entry, 12)
        sell(here, deal)
        report = sell(here, deal)
        assert (report.outcome, codes(report), len(prices(here))) == ("synced", [], 2)

    def test_the_running_contract_keeps_its_price(self, here: World) -> None:
        deal = sold(here)
        (before,) = prices(here)
        reprice(here, deal.entry, 12)
        assert here.run(deal.order).outcome == "unchanged"
        assert here.change_line(deal.line, changed=None).outcome == "unchanged"
        here.salesforce.update("OrderItem", deal.line, {"Quantity": 3})
        assert here.change_line(deal.line).outcome == "synced"
        (item,) = here.schedule()["phases"][0]["items"]
        assert (item["price"], item["quantity"]) == (before["id"], 3)
        assert prices(here) == [before]

    def test_its_renewal_has_the_new_one(self, here: World) -> None:
        deal = sold(here)
        reprice(here, deal.entry, 12)
        report = here.run(deal.change(line(deal.entry, *NEXT_YEAR), EffectiveDate="2027-12-01"))
        assert (report.outcome, codes(report)) == ("synced", ["price_replaced"])
        old, new = prices(here)
        assert [phase["items"][0]["price"] for phase in here.schedule()["phases"]] == [old["id"], new["id"]]

    def test_its_renewal_at_the_old_price_keeps_that(self, here: World) -> None:
        deal = sold(here)
        (before,) = prices(here)
        reprice(here, deal.entry, 12)
        report = here.run(deal.change(line(deal.entry, *NEXT_YEAR, UnitPrice=10), EffectiveDate="2027-12-01"))
        assert (report.outcome, codes(report)) == ("synced", [])
        assert prices(here) == [before]
        assert [phase["items"][0]["price"] for phase in here.schedule()["phases"]] == [before["id"]]

    def test_another_interval_is_another_price(self, here: World) -> None:
        deal = sold(here)
        reprice(here, deal.entry, 10, Stripe_Billing_Interval__c="year")
        assert codes(sell(here, deal)) == ["price_replaced"]
        assert [price["recurring"]["interval"] for price in prices(here)] == ["month", "year"]

    def test_the_same_amount_in_other_digits_is_no_change(self, here: World) -> None:
        deal = sold(here)
        reprice(here, deal.entry, Decimal("10.000"), Stripe_Billing_Interval_Count__c=1)  # type: ignore[arg-type]
        assert sell(here, deal).outcome == "synced"
        assert len(prices(here)) == 1

    def test_back_and_forth_within_a_day(self, here: World) -> None:
        """Stripe answers a request again that it has had under the same key; that price is another's predecessor by now."""
        deal = sold(here)
        for amount in (12, 10, 12, 10):
            reprice(here, deal.entry, amount)
            assert sell(here, deal).outcome == "synced"
            newest = prices(here)[-1]
            assert newest["unit_amount"] == amount * 100
            assert newest["lookup_key"] is not None
            assert named(here, deal) == newest["id"] == last_price(here)
            here.clock.advance(timedelta(minutes=10))
        assert len(prices(here)) == 5
        assert len([price for price in prices(here) if price["lookup_key"]]) == 1

    def test_it_is_warm_as_cheap_as_a_new_price(self, here: World) -> None:
        deal, flow = sold(here), here.flow()
        here.run(deal.order, flow)
        reprice(here, deal.entry, 12)
        order = here.order(deal.account, here.contract(deal.account), line(deal.entry))
        here.forget_calls()
        here.run(order, flow)
        assert sent(here) == ["GET /v1/prices", "POST /v1/prices", "POST /v1/subscription_schedules"]
        assert here.log_entries()[-1]["calls"]["salesforce"] == 2


class TestUntilSalesforceKnows:
    def test_a_run_that_is_cut_off_before_it_could_tell(self, here: World) -> None:
        """Salesforce still names the earlier price, which is not what the entry says."""
        deal = sold(here)
        reprice(here, deal.entry, 12)
        order = here.order(deal.account, here.contract(deal.account), line(deal.entry))
        here.stripe.inject("lost_before", method="POST", path="/v1/subscription_schedules")
        with pytest.raises(UnknownOutcomeError):
            here.run(order)
        assert named(here, deal) == prices(here)[0]["id"]

        other = sell(here, deal)

        assert (other.outcome, codes(other)) == ("synced", ["price_replaced"])
        assert named(here, deal) == prices(here)[1]["id"] == last_price(here)
        assert here.run(order).outcome == "synced"
        assert len(prices(here)) == 2
        assert last_price(here) == prices(here)[1]["id"]

    def test_an_entry_that_salesforce_does_not_let_us_write(self, here: World) -> None:
        deal = sold(here)
        reprice(here, deal.entry, 12)
        here.salesforce.refuse_writes(deal.entry, error="FIELD_CUSTOM_VALIDATION_EXCEPTION", times=2)
        for _ in range(2):
            assert sell(here, deal).outcome == "synced"
            assert named(here, deal) == prices(here)[0]["id"]
            assert last_price(here) == prices(here)[1]["id"]
        assert sell(here, deal).outcome == "synced"
        assert named(here, deal) == prices(here)[1]["id"]
        assert len(prices(here)) == 2

    def test_changed_again_meanwhile(self, here: World) -> None:
        deal = sold(here)
        for amount in (12, 14):
            reprice(here, deal.entry, amount)
            here.salesforce.refuse_writes(deal.entry, error="FIELD_CUSTOM_VALIDATION_EXCEPTION")
            assert sell(here, deal).outcome == "synced"
        assert [price["unit_amount"] for price in prices(here)] == [1000, 1200, 1400]
        assert last_price(here) == prices(here)[2]["id"]
        assert sell(here, deal).outcome == "synced"
        assert named(here, deal) == last_price(here) == prices(here)[2]["id"]

    def test_put_back_by_hand_it_is_not_what_is_sold(self, here: World) -> None:
        deal = sold(here)
        reprice(here, deal.entry, 12)
        for _ in range(2):
            sell(here, deal)
        old, new = prices(here)
        here.salesforce.update("PricebookEntry", deal.entry, {"Stripe_Price_Id__c": old["id"]})
        report = sell(here, deal)
        assert (report.outcome, codes(report)) == ("synced", ["price_replaced"])
        assert last_price(here) == named(here, deal) == new["id"]


class TestAPriceThatSomebodyHasEntered:
    def entered(self, here: World) -> tuple[Deal, str]:
        """A price of 7 on an entry that says 10."""
        deal = sold(here)
        product = prices(here)[0]["product"]
        recurring = {"recurring[interval]": "month"}
        here.post_to_stripe("/v1/prices", product=product, currency="usd", unit_amount="700", **recurring)
        price = str(prices(here)[-1]["id"])
        here.salesforce.update("PricebookEntry", deal.entry, {"Stripe_Price_Id__c": price})
        return deal, price

    def test_what_costs_something_else_is_not_what_was_sold(self, here: World) -> None:
        deal, price = self.entered(here)
        for told in (["price_replaced"], []):
            report = sell(here, deal)
            assert (report.outcome, codes(report)) == ("synced", told)
            assert last_price(here) == named(here, deal) == prices(here)[0]["id"] != price
        assert len(prices(here)) == 2

    def test_what_the_entry_says_is_used_as_it_is(self, here: World) -> None:
        deal, price = self.entered(here)
        reprice(here, deal.entry, 7)
        for _ in range(2):
            report = sell(here, deal)
            assert (report.outcome, codes(report)) == ("synced", [])
            assert last_price(here) == named(here, deal) == price
        reprice(here, deal.entry, 12)
        assert codes(sell(here, deal)) == ["price_replaced"]
        assert [one["unit_amount"] for one in prices(here)] == [1000, 700, 1200]

    def test_where_the_entry_says_too_little_it_is_used_as_it_is(self, here: World) -> None:
        deal, price = self.entered(here)
        here.salesforce.update("PricebookEntry", deal.entry, {"Stripe_Billing_Interval__c": None})
        report = sell(here, deal)
        assert (report.outcome, codes(report)) == ("synced", [])
        assert last_price(here) == named(here, deal) == price

    def test_what_the_catalogue_table_has_lost_is_noted_anew(self, here: World) -> None:
        deal = sold(here)
        here.lose_catalogue()
        assert sell(here, deal).outcome == "synced"
        assert len(prices(here)) == 1
        reprice(here, deal.entry, 12)
        assert codes(sell(here, deal)) == ["price_replaced"]
        assert last_price(here) == named(here, deal) == prices(here)[1]["id"]


def test_a_preview_says_it_and_does_nothing(here: World) -> None:
    deal = sold(here)
    reprice(here, deal.entry, 12)
    order = here.order(deal.account, here.contract(deal.account), line(deal.entry))
    before = here.remembered()
    shown = here.previews().run(order)
    product = here.record("Product2", here.record("PricebookEntry", deal.entry)["Product2Id"])["Name"]
    assert shown.created_first == (f"the price of price book entry {deal.entry} ({product})",)
    assert (len(prices(here)), here.remembered()) == (1, before)
