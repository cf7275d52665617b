"""A second currency for one account: Stripe binds a customer to one while it is billed (M1, M2)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows.deals import MOMENT, Deal, codes, contract_in, sent, sold
from tests.flows.world import World
from tests.org import line

CREATE: dict[str, Any] = {"customer_per_currency": "create"}
KEY = "Stripe_Customer_Id__c"


def euros(here: World, deal: Deal, currency: str = "EUR") -> str:
    """An order of the same account in another currency, under a contract of its own, not yet synced."""
    entry = here.entry(9, CurrencyIsoCode=currency)
    return here.order(deal.account, contract_in(here, deal.account, currency), line(entry), CurrencyIsoCode=currency)


def in_pounds(here: World) -> Deal:
    """M1: a contract in pounds that is billed."""
    account, entry = here.account(Phone="1"), here.entry(10, CurrencyIsoCode="GBP")
    contract = contract_in(here, account, "GBP")
    order = here.order(account, contract, line(entry), CurrencyIsoCode="GBP")
    assert here.run(order, **CREATE).outcome == "synced"
    here.clock.advance(MOMENT)
    here.forget_calls()
    return Deal(here, account, contract, entry, order)


def test_it_is_refused_with_a_clear_message(here: World) -> None:
    deal = in_pounds(here)
    order = euros(here, deal, "USD")
    report = here.run(order)
    assert (report.outcome, codes(report)) == ("failed", ["customer_currency"])
    assert (len(here.customers()), len(here.schedules())) == (1, 1)
    record = here.record("Order", order)
    assert record["Stripe_Sync_Status__c"] == "Failed"
    assert "cannot be billed in USD as well" in record["Stripe_Sync_Message__c"]
    assert "customer_per_currency" in record["Stripe_Sync_Message__c"]


def test_the_account_gets_one_more_customer(here: World) -> None:
    deal = in_pounds(here)
    (first,) = here.customers()
    order = euros(here, deal, "USD")

    assert here.run(order, **CREATE).outcome == "synced"

    first, second = here.customers()
    pounds, dollars = here.schedules()
    assert (pounds["customer"], dollars["customer"]) == (first["id"], second["id"])
    assert second["metadata"] == first["metadata"] | {"orderphase_currency": "usd", "orderphase_customer": first["id"]}
    assert second["phone"] == "1"
    assert here.record("Account", deal.account)[KEY] == first["id"], "Salesforce has one field"
    assert [price["currency"] for price in (here.stripe.objects("acct_orderphase", "price"))] == ["gbp", "usd"]


def test_each_next_order_in_the_currency_uses_it_without_a_refusal(here: World) -> None:
    deal, flow = in_pounds(here), here.flow(**CREATE)
    here.run(euros(here, deal), flow)
    for currency, number in (("EUR", 1), ("GBP", 0), ("EUR", 1)):
        order = euros(here, deal, currency)
        here.forget_calls()
        assert here.run(order, flow).outcome == "synced"
        assert here.schedules()[-1]["customer"] == here.customers()[number]["id"]
        assert [call.status for call in here.stripe.log] == [200] * len(here.stripe.log)
    assert len(here.customers()) == 2


def test_changes_of_the_account_reach_both(here: World) -> None:
    deal = in_pounds(here)
    here.run(euros(here, deal), **CREATE)
    here.salesforce.update("Account", deal.account, {"Phone": "2"})
    for currency in ("EUR", "GBP"):
        here.run(euros(here, deal, currency), **CREATE)
    assert [one["phone"] for one in here.customers()] == ["2", "2"]
    assert here.customers()[1]["metadata"]["orderphase_currency"] == "eur"


def test_it_is_found_again_when_the_catalogue_table_is_lost(here: World) -> None:
    deal = in_pounds(here)
    here.run(euros(here, deal), **CREATE)
    here.lose_catalogue()
    for refusals in (1, 0):
        order = euros(here, deal)
        here.forget_calls()
        assert here.run(order, **CREATE).outcome == "synced"
        assert len([call for call in here.stripe.log if call.status == 400]) == refusals
        assert here.schedules()[-1]["customer"] == here.customers()[1]["id"]
    assert len(here.customers()) == 2


@pytest.mark.parametrize("policies", [{}, CREATE], ids=["error", "create"])
def test_a_second_currency_after_the_first_is_cancelled(here: World, policies: dict[str, Any]) -> None:
    """M2."""
    deal = in_pounds(here)
    here.cancel(deal.order)
    report = here.run(euros(here, deal, "USD"), **policies)
    assert (report.outcome, codes(report)) == ("synced", [])
    assert len(here.customers()) == 1
    assert {one["customer"] for one in here.schedules()} == {here.customers()[0]["id"]}


def test_a_customer_of_one_currency_that_was_deleted_has_a_successor_of_that_currency(here: World) -> None:
    deal = in_pounds(here)
    here.run(euros(here, deal), **CREATE)
    first, gone = here.customers()
    here.delete_in_stripe(f"/v1/customers/{gone['id']}")
    report = here.run(euros(here, deal), **CREATE)
    assert (report.outcome, codes(report)) == ("synced", ["customer_replaced"])
    _, made = here.customers()
    assert made["metadata"] == gone["metadata"]
    assert here.schedules()[-1]["customer"] == made["id"]
    assert here.record("Account", deal.account)[KEY] == first["id"]
    here.forget_calls()
    assert codes(here.run(euros(here, deal), **CREATE)) == ["customer_added"]
    assert len(here.customers()) == 2


def test_change_orders_and_cancellations_stay_with_their_customer(here: World) -> None:
    deal = in_pounds(here)
    order = euros(here, deal)
    here.run(order, **CREATE)
    here.clock.advance(MOMENT)
    record = here.record("Order", order)
    item = here.record("OrderItem", here.lines_of(order)[0])
    later = line(item["PricebookEntryId"], "2027-12-01", "2028-12-01")
    change = here.order(deal.account, record["ContractId"], later, CurrencyIsoCode="EUR", EffectiveDate="2027-12-01")
    assert here.run(change, **CREATE).outcome == "synced"
    here.clock.advance(MOMENT)
    assert here.run(deal.order, **CREATE).outcome == "unchanged"
    assert here.cancel(change, **CREATE).outcome == "synced"
    assert [one["status"] for one in here.schedules()] == ["not_started", "canceled"]


def test_a_preview_knows_the_customer_of_the_currency(here: World) -> None:
    deal = in_pounds(here)
    here.run(euros(here, deal), **CREATE)
    shown = here.previews(**CREATE).run(euros(here, deal))
    assert shown.params["customer"] == here.customers()[1]["id"]


def test_an_org_with_one_currency_knows_nothing_of_it(here: World) -> None:
    deal = sold(here, policies=CREATE)
    assert here.run(here.order(deal.account, here.contract(deal.account), line(deal.entry)), **CREATE).outcome == "synced"
    assert sent(here) == ["POST /v1/subscription_schedules"]
