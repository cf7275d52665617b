"""Products and prices on the deployed stack: each side's events bring the other one in step, and neither answers an echo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from orderphase.stripe.client import OWN_KEYS
from sandbox.stack import STRIPE_ACCOUNT
from tests.stack.company import DEADLINE, Company, until

PRODUCT_ID, PRICE_ID = "Stripe_Product_Id__c", "Stripe_Price_Id__c"


def made_in_stripe(company: Company) -> str:
    """A product, as a person makes it in the Dashboard."""
    return company.api.products.create({"name": f"Made in Stripe {uuid4().hex[:8]}"}).id


def priced_in_stripe(company: Company, product: str, amount: int) -> str:
    """A monthly price of so many dollars, likewise."""
    return company.api.prices.create(
        {"product": product, "currency": "usd", "unit_amount": amount * 100, "recurring": {"interval": "month"}}
    ).id


def product2(company: Company, product: str) -> dict[str, Any]:
    """The one Product2 of a Stripe product."""
    found = company.salesforce.query(f"SELECT Id FROM Product2 WHERE {PRODUCT_ID} = '{product}'")
    assert len(found) == 1
    return company.record("Product2", found[0]["Id"])


def entries(company: Company, record: str) -> list[dict[str, Any]]:
    """The standard entries of a Product2."""
    found = company.salesforce.query(f"SELECT Id FROM PricebookEntry WHERE Product2Id = '{record}'")
    return [company.record("PricebookEntry", one["Id"]) for one in found]


def in_stripe(company: Company, kind: str, object_id: str) -> dict[str, Any]:
    return next(one for one in company.stripe.objects(STRIPE_ACCOUNT, kind) if one["id"] == object_id)


def changes_in_salesforce(company: Company, records: Sequence[str]) -> list[str]:
    """Who has made or changed these records, as the org tells it."""
    users = {company.salesforce.integration_user_id: "we", company.salesforce.person_id: "a person"}
    events = [one.event for one in company.salesforce.deliveries()]
    return [users[event["data"]["changed_by"]] for event in events if event["record_id"] in records]


def changes_in_stripe(company: Company, objects: Sequence[str]) -> list[tuple[str, str]]:
    """What has become of these products and prices, and whose doing it was."""
    events = [one for one in company.stripe.objects(STRIPE_ACCOUNT, "event") if one["data"]["object"]["id"] in objects]
    keys = [(event["type"], event["request"]["idempotency_key"] or "") for event in events]
    # Stripe tells of a price also as the plan that it once was.
    return [(kind, "we" if key.startswith(OWN_KEYS) else "a person") for kind, key in keys if not kind.startswith("plan.")]


def test_what_is_made_in_stripe_is_sold_in_salesforce(company: Company) -> None:
    product = made_in_stripe(company)
    company.stack.settle(DEADLINE)
    price = priced_in_stripe(company, product, 12)
    company.stack.settle(DEADLINE)

    record = product2(company, product)
    (entry,) = entries(company, record["Id"])
    said = {name: entry[name] for name in ("UnitPrice", "Stripe_Billing_Interval__c", "IsActive", "Pricebook2Id", PRICE_ID)}
    assert said == {
        "UnitPrice": 12,
        "Stripe_Billing_Interval__c": "month",
        "IsActive": True,
        "Pricebook2Id": company.book,
        PRICE_ID: price,
    }
    # Made once each. What the org told of that has led to nothing.
    assert changes_in_salesforce(company, [record["Id"], entry["Id"]]) == ["we", "we"]
    assert changes_in_stripe(company, [product, price]) == [("product.created", "a person"), ("price.created", "a person")]

    order = company.sell(company.account(), entry["Id"])
    record = company.synced(order)
    (schedule,) = company.schedules(record["ContractId"])
    assert [item["price"] for phase in schedule["phases"] for item in phase["items"]] == [price]


def test_what_changes_in_stripe_changes_in_salesforce(company: Company) -> None:
    product = made_in_stripe(company)
    company.stack.settle(DEADLINE)
    first = priced_in_stripe(company, product, 12)
    company.stack.settle(DEADLINE)
    record = product2(company, product)["Id"]
    (listed,) = entries(company, record)

    company.api.products.update(product, {"name": "Another name"})
    second = priced_in_stripe(company, product, 15)
    company.stack.settle(DEADLINE)
    assert product2(company, product)["Name"] == "Another name"
    (entry,) = entries(company, record)
    assert (entry["Id"], entry["UnitPrice"], entry[PRICE_ID], entry["IsActive"]) == (listed["Id"], 12, first, True)

    company.api.prices.update(first, {"active": False})
    company.stack.settle(DEADLINE)
    (entry,) = entries(company, record)
    assert (entry["Id"], entry["UnitPrice"], entry[PRICE_ID], entry["IsActive"]) == (listed["Id"], 15, second, True)

    company.api.prices.update(second, {"active": False})
    company.api.products.update(product, {"active": False})
    company.stack.settle(DEADLINE)
    assert product2(company, product)["IsActive"] is False
    (entry,) = entries(company, record)
    assert (entry["Id"], entry[PRICE_ID], entry["IsActive"]) == (listed["Id"], second, False)


def test_what_is_made_in_salesforce_is_in_stripe_before_an_order_needs_it(company: Company) -> None:
    entry = company.entry(25)
    until(lambda: company.record("PricebookEntry", entry)[PRICE_ID], "the price in Stripe")
    company.stack.settle(DEADLINE)

    record = company.record("Product2", company.record("PricebookEntry", entry)["Product2Id"])
    product, price = record[PRODUCT_ID], company.record("PricebookEntry", entry)[PRICE_ID]
    assert in_stripe(company, "product", product)["name"] == record["Name"]
    assert (in_stripe(company, "price", price)["product"], in_stripe(company, "price", price)["unit_amount"]) == (product, 2500)
    assert changes_in_stripe(company, [product, price]) == [("product.created", "we"), ("price.created", "we")]
    # Each id is written once, or twice where both flows were the first to know it; what that has told has led to nothing.
    told = changes_in_salesforce(company, [record["Id"], entry])
    assert told.count("a person") == 2
    assert told.count("we") in (2, 3)
    writes = company.stripe.writes()
    company.stack.settle(DEADLINE)
    assert (company.stripe.writes(), changes_in_salesforce(company, [record["Id"], entry])) == (writes, told)


def test_what_changes_in_salesforce_changes_in_stripe(company: Company) -> None:
    entry = company.entry(25)
    company.stack.settle(DEADLINE)
    record, first = (company.record("PricebookEntry", entry)[name] for name in ("Product2Id", PRICE_ID))
    product = company.record("Product2", record)[PRODUCT_ID]
    order = company.sell(company.account(), entry)
    contract = company.synced(order)["ContractId"]

    company.salesforce.update("Product2", record, {"Name": "Platform", "Description": "All of it"})
    company.salesforce.update("PricebookEntry", entry, {"UnitPrice": 30})
    company.stack.settle(DEADLINE)

    said = in_stripe(company, "product", product)
    assert (said["name"], said["description"]) == ("Platform", "All of it")
    second = company.record("PricebookEntry", entry)[PRICE_ID]
    new, old = in_stripe(company, "price", second), in_stripe(company, "price", first)
    assert (new["unit_amount"], old["unit_amount"], old["active"]) == (3000, 2500, True)
    assert (new["lookup_key"], old["lookup_key"]) == (f"salesforce_{company.salesforce.org_id}_{entry}", None)
    # What was sold before is billed as it was.
    (schedule,) = company.schedules(contract)
    assert [item["price"] for phase in schedule["phases"] for item in phase["items"]] == [first]
