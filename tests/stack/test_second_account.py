"""Another deployment: a second Stripe account, and customers that follow their accounts at once."""

from __future__ import annotations

import json
from typing import Any

from sandbox.stack import STRIPE_ACCOUNT
from tests.stack.company import DEADLINE, Company
from tests.stack.conftest import SECOND, SECOND_ACCOUNT


def schedules(company: Company, account: str, contract: str) -> list[dict[str, Any]]:
    found = company.stripe.objects(account, "subscription_schedule")
    return [one for one in found if one["metadata"]["salesforce_contract_id"] == contract]


def customers(company: Company, account: str, record: str) -> list[dict[str, Any]]:
    found = company.stripe.objects(account, "customer")
    return [one for one in found if one["metadata"]["salesforce_account_id"] == record]


def test_an_order_is_billed_in_the_account_that_it_names(second_company: Company) -> None:
    company = second_company
    account, entry = company.account(), company.entry(10)
    company.stack.settle(DEADLINE)
    known = company.record("PricebookEntry", entry)["Stripe_Price_Id__c"]
    orders = {SECOND: company.sell(account, entry, Stripe_Account__c=SECOND), None: company.sell(account, entry)}

    contracts = {name: company.synced(order)["ContractId"] for name, order in orders.items()}

    (there,) = schedules(company, SECOND_ACCOUNT, contracts[SECOND])
    (here,) = schedules(company, STRIPE_ACCOUNT, contracts[None])
    assert schedules(company, STRIPE_ACCOUNT, contracts[SECOND]) == []
    assert schedules(company, SECOND_ACCOUNT, contracts[None]) == []
    assert company.record("Order", orders[SECOND])["Stripe_Subscription_Schedule_Id__c"] == there["id"]
    # Salesforce has one field each for customer and price, and it is the first account's.
    assert company.record("PricebookEntry", entry)["Stripe_Price_Id__c"] == known
    assert known in [item["price"] for item in here["phases"][0]["items"]]
    assert known not in [item["price"] for item in there["phases"][0]["items"]]
    assert company.record("Account", account)["Stripe_Customer_Id__c"] == here["customer"] != there["customer"]

    # What is made there is remembered: another order makes a schedule and nothing else.
    writes = company.stripe.writes()
    company.synced(company.sell(account, entry, Stripe_Account__c=SECOND))
    assert company.stripe.writes() == writes + 1


def test_the_customers_of_an_account_follow_it_at_once(second_company: Company) -> None:
    company = second_company
    account, entry = company.account(Name="Acme GmbH", BillingCity="Berlin", BillingCountry="DE"), company.entry(10)
    for name in (SECOND, None):
        company.synced(company.sell(account, entry, Stripe_Account__c=name))
    before = company.stripe.writes()

    company.salesforce.update("Account", account, {"Name": "Acme AG", "BillingCity": "Basel", "BillingCountry": "CH"})
    company.stack.settle(DEADLINE)

    for stripe_account in (STRIPE_ACCOUNT, SECOND_ACCOUNT):
        (customer,) = customers(company, stripe_account, account)
        assert (customer["name"], customer["address"]["city"], customer["address"]["country"]) == ("Acme AG", "Basel", "CH")
    assert company.stripe.writes() == before + 2

    # What Stripe has no room for asks for nothing.
    company.salesforce.update("Account", account, {"Industry": "Banking"})
    company.stack.settle(DEADLINE)
    assert company.stripe.writes() == before + 2


def test_the_doctor_finds_both_accounts_well(second_company: Company) -> None:
    code, printed = second_company.command("doctor", "--json")

    found = json.loads(printed)["findings"]
    assert [one for one in found if one["severity"] == "missing"] == []
    assert code == 0
    said = "\n".join(f"{one['where']}: {one['what']}" for one in found)
    assert STRIPE_ACCOUNT in said
    assert SECOND_ACCOUNT in said
