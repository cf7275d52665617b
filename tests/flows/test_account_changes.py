"""Account upsert: what an account says has changed, so its customers are told, where that is the policy."""

from __future__ import annotations

from typing import Any

import pytest

from orderphase.domain.policies import Policies
from orderphase.errors import TransientError
from orderphase.flows.account_upsert import AccountUpsert
from orderphase.flows.runs import Report, Runs
from orderphase.salesforce.accounts import Accounts
from orderphase.salesforce.shape import Org
from orderphase.store.sync_log import SyncLog
from tests.flows.deals import MOMENT, Deal, codes, contract_in, sold
from tests.flows.world import ORG, World
from tests.org import line

OWN_FIELD = "Stripe_Customer_Id__c"


def tell(here: World, account: str, *, org_id: str = ORG, ignore_own: bool = True, **event: Any) -> Report:
    """Deliver the event of a changed account to a new environment; of `event`, `policies` are the deployment's."""
    policies = {"customer_update": "on_account_change", **event.pop("policies", {})}
    desks, client, stripe = here.contract_runs(**policies), here.salesforce_client(), here.stripe_accounts()
    flow = AccountUpsert(
        runs=Runs(SyncLog(here.dynamodb, "sync_log"), client, stripe, here.clock.now, here.run_id),
        client=client,
        accounts=Accounts(Org(client), here.mapping),
        customers=[desks.desk(name).customers for name in here.accounts],
        mapping=here.mapping,
        policies=Policies(**policies),
        ignore_own=ignore_own,
    )
    return flow.run(account, event_id="event-account", org_id=org_id, **event)


def phones(here: World) -> list[str | None]:
    return [one["phone"] for one in here.customers()]


def test_what_has_changed_is_told(here: World) -> None:
    deal = sold(here)
    here.salesforce.update("Account", deal.account, {"Phone": "2"})
    report = tell(here, deal.account, changed_fields=["Phone"])
    assert (report.outcome, phones(here)) == ("synced", ["2"])
    assert here.customers()[0]["id"] in report.message
    entry = here.log_entries()[-1]
    assert (entry["flow"], entry["outcome"], entry["event_id"]) == ("account_upsert", "synced", "event-account")
    here.forget_calls()
    assert tell(here, deal.account).outcome in ("synced", "unchanged")
    assert here.stripe.log == []


def test_an_order_finds_nothing_left_to_tell(here: World) -> None:
    deal = sold(here)
    here.salesforce.update("Account", deal.account, {"Phone": "2"})
    tell(here, deal.account)
    here.forget_calls()
    assert here.run(deal.order, customer_update="on_account_change").outcome == "unchanged"
    assert not here.stripe.calls("POST /v1/customers")


def test_where_an_order_says_where_invoices_go_that_stays(here: World) -> None:
    account, entry = here.account(), here.entry()
    contact = here.salesforce.create("Contact", {"LastName": "Noor", "Email": "noor@acme.example", "AccountId": account})
    here.run(here.order(account, here.contract(account), line(entry), BillToContactId=contact))
    here.salesforce.update("Account", account, {"Phone": "2"})
    tell(here, account)
    assert (phones(here), here.customers()[0]["email"]) == (["2"], "noor@acme.example")


def test_the_customers_of_all_currencies(here: World) -> None:
    deal = sold(here)
    euros = here.order(
        deal.account, contract_in(here, deal.account, "EUR"), line(here.entry(CurrencyIsoCode="EUR")), CurrencyIsoCode="EUR"
    )
    assert here.run(euros, customer_per_currency="create").outcome == "synced"
    here.salesforce.update("Account", deal.account, {"Phone": "2"})
    assert tell(here, deal.account, policies={"customer_per_currency": "create"}).outcome == "synced"
    assert phones(here) == ["2", "2"]
    assert [one["metadata"].get("orderphase_currency") for one in here.customers()] == [None, "eur"]


@pytest.mark.parametrize("policy", ["never", "on_order"])
def test_under_another_policy_nothing_is_even_read(here: World, policy: str) -> None:
    deal = sold(here)
    here.salesforce.update("Account", deal.account, {"Phone": "2"})
    report = tell(here, deal.account, policies={"customer_update": policy})
    assert (report.outcome, phones(here)) == ("skipped", [None])
    assert "customer_update" in report.message
    assert (here.stripe.log, here.salesforce.calls("query")) == ([], [])


class TestOwnWrites:
    @pytest.mark.parametrize("fields", [[OWN_FIELD], [OWN_FIELD.lower()]])
    def test_they_are_passed_over(self, here: World, fields: list[str]) -> None:
        deal = sold(here)
        assert tell(here, deal.account, changed_fields=fields).outcome == "skipped"
        assert not here.salesforce.calls("query")

    @pytest.mark.parametrize("fields", [[OWN_FIELD, "Phone"], None, []])
    def test_what_may_be_more_is_not(self, here: World, fields: list[str] | None) -> None:
        deal = sold(here)
        assert tell(here, deal.account, changed_fields=fields).outcome != "skipped"

    def test_unless_that_is_switched_off(self, here: World) -> None:
        deal = sold(here)
        assert tell(here, deal.account, changed_fields=[OWN_FIELD], ignore_own=False).outcome != "skipped"


class TestNothingToTell:
    def test_an_account_without_customer(self, here: World) -> None:
        report = tell(here, here.account())
        assert (report.outcome, here.stripe.log) == ("skipped", [])
        assert "no customer" in report.message

    def test_an_account_that_was_deleted(self, here: World) -> None:
        account = here.account(Stripe_Customer_Id__c="cus_1")
        here.salesforce.delete("Account", account)
        report = tell(here, account)
        assert (report.outcome, here.stripe.log) == ("skipped", [])
        assert "not in Salesforce any more" in report.message

    def test_another_org(self, here: World) -> None:
        report = tell(here, here.account(), org_id="00D000000000002EAA")
        assert report.outcome == "skipped"
        assert "00D000000000002EAA" in report.message

    def test_what_is_no_id(self, here: World) -> None:
        report = tell(here, "001' OR Id != '")
        assert report.outcome == "failed"
        assert not here.salesforce.calls("query")


def test_a_merged_account_tells_the_other_ones_customer(here: World) -> None:
    deal = sold(here)
    customer = here.customers()[0]["id"]
    master = here.account(Name="Acme Holding", Phone="3")
    here.salesforce.merge_accounts(master, deal.account)
    assert here.run(deal.order).outcome == "synced", "which tells the master its customer"
    assert here.record("Account", master)[OWN_FIELD] == customer
    here.salesforce.update("Account", master, {"Phone": "4"})
    report = tell(here, deal.account)
    assert (report.outcome, phones(here)) == ("synced", ["4"])
    assert f"merged into {master}" in report.message


class TestWhatGoesWrong:
    def test_a_customer_that_is_gone(self, here: World) -> None:
        deal = sold(here)
        here.delete_in_stripe(f"/v1/customers/{here.customers()[0]['id']}")
        here.salesforce.update("Account", deal.account, {"Phone": "2"})
        report = tell(here, deal.account)
        assert (report.outcome, codes(report)) == ("failed", ["customer_not_updated"])

    def test_what_stripe_refuses(self, here: World) -> None:
        deal = sold(here)
        here.salesforce.update("Account", deal.account, {"Phone": "2"})
        here.stripe.inject("refuse", error="402")
        report = tell(here, deal.account)
        assert (report.outcome, codes(report)) == ("failed", ["customer_not_updated"])
        assert tell(here, deal.account).outcome == "synced"
        assert phones(here) == ["2"]

    def test_what_stripe_cannot_do_now(self, here: World) -> None:
        deal = sold(here)
        here.salesforce.update("Account", deal.account, {"Phone": "2"})
        here.stripe.inject("refuse", error="429", times=5)
        with pytest.raises(TransientError):
            tell(here, deal.account)
        assert here.log_entries()[-1]["outcome"] == "interrupted"
        here.stripe.faults.clear()
        assert tell(here, deal.account).outcome == "synced"
        assert phones(here) == ["2"]

    @pytest.mark.parametrize("fault", ["lost_before", "lost_after"])
    def test_an_answer_that_is_lost(self, here: World, fault: Any) -> None:
        deal = sold(here)
        here.salesforce.update("Account", deal.account, {"Phone": "2"})
        here.stripe.inject(fault)
        with pytest.raises(TransientError):
            tell(here, deal.account)
        here.clock.advance(MOMENT)
        assert tell(here, deal.account).outcome == "synced"
        assert phones(here) == ["2"]


def test_a_value_that_is_left_out_is_told(here: World) -> None:
    deal: Deal = sold(here)
    here.salesforce.update("Account", deal.account, {"Phone": "1" * 30, "Description": "d"})
    report = tell(here, deal.account)
    assert (report.outcome, codes(report)) == ("synced", ["customer_value"])
    assert here.customers()[0]["description"] == "d"
