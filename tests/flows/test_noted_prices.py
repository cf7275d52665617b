"""What the ledger notes of a line's price: what it costs and how often, from what was carried out and nothing else."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from orderphase.errors import UnknownOutcomeError
from tests.flows.deals import MOMENT, at, sold
from tests.flows.world import ACCOUNT, World, world
from tests.org import line

NONE: dict[str, Any] = {"write_back": "none"}


def billed(here: World, schedule: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Amount and interval of the items of each phase."""
    prices = {price["id"]: price for price in here.stripe.objects(ACCOUNT, "price")}
    return [
        tuple((prices[item["price"]]["unit_amount"], prices[item["price"]]["recurring"]["interval"]) for item in phase["items"])
        for phase in schedule["phases"]
    ]


def lose(here: World, contract: str) -> None:
    """Have the ledger of a contract lost."""
    here.dynamodb.delete_item(TableName="contracts", Key={"contract_id": {"S": contract}})


def as_before(here: World, contract: str) -> None:
    """Have the ledger say what an earlier version has written: prices alone."""
    noted = json.loads(zlib.decompress(here.ledger(contract)["intent"]["billed_at"].value))
    prices = {name: entry[0] for name, entry in noted.items()}
    here.dynamodb.update_item(
        TableName="contracts",
        Key={"contract_id": {"S": contract}},
        UpdateExpression="SET intent.prices = :prices REMOVE intent.billed_at",
        ExpressionAttributeValues={":prices": {"B": zlib.compress(json.dumps(prices).encode())}},
    )


def test_what_was_never_made_binds_nobody(here: World) -> None:
    """The entry is corrected before the order is tried again."""
    account, entry = here.account(), here.entry(120)
    order = here.order(account, here.contract(account), line(entry))
    here.stripe.inject("lost_before", method="POST", path="/v1/subscription_schedules")
    with pytest.raises(UnknownOutcomeError):
        here.run(order)
    here.salesforce.update("PricebookEntry", entry, {"Stripe_Billing_Interval__c": "year"})
    here.clock.advance(MOMENT)
    assert here.run(order).outcome == "synced"
    assert billed(here, here.schedule()) == [((12000, "year"),)]


@pytest.mark.parametrize("forgotten", [None, as_before, lose])
def test_a_renewal_at_another_interval(forgotten: Any, here: World) -> None:
    """What Stripe alone knows of a price is asked, not guessed from the price book of today."""
    deal = sold(here)
    if forgotten is not None:
        forgotten(here, deal.contract)
    here.salesforce.update("PricebookEntry", deal.entry, {"Stripe_Billing_Interval__c": "year"})
    change = deal.change(line(deal.entry, "2027-12-01", "2028-12-01"), EffectiveDate="2027-12-01")
    assert here.run(change).outcome == "synced"
    assert billed(here, here.schedule()) == [((1000, "month"),), ((1000, "year"),)]


def test_it_is_asked_once(here: World) -> None:
    deal = sold(here)
    as_before(here, deal.contract)
    assert here.run(deal.order).outcome == "unchanged"
    here.clock.advance(MOMENT)
    here.forget_calls()
    assert here.run(deal.order).outcome == "unchanged"
    assert len(here.stripe.log) == 1


def test_an_order_that_is_held_up_is_not_bound(here: World) -> None:
    """The contract's next phases follow by what was applied; the order that is refused is priced when it is billed."""
    account, contract = here.account(), None
    contract = here.contract(account)
    steps = [line(here.entry(10 + step), f"2026-12-{1 + 2 * step:02}", f"2026-12-{3 + 2 * step:02}") for step in range(12)]
    assert here.run(here.order(account, contract, *steps, EffectiveDate="2026-12-01")).outcome == "synced"
    more, other = here.entry(120), here.entry(5)
    assert here.run(here.order(account, here.contract(account), line(more))).outcome == "synced"
    gap = line(other, "2028-02-01", "2028-03-01")
    refused = here.order(account, contract, line(more, "2026-12-24", "2027-12-24"), gap, EffectiveDate="2026-12-10")
    assert here.run(refused).outcome == "failed"
    at(here, "2026-12-14")
    assert here.rolling_window() == 1
    assert here.log_entries()[-1]["outcome"] == "synced"

    here.salesforce.update("PricebookEntry", more, {"Stripe_Billing_Interval__c": "year"})
    here.salesforce.update("OrderItem", here.lines_of(refused)[1], {"ServiceDate": "2026-12-24", "EndDate": "2027-12-24"})
    here.clock.advance(MOMENT)
    assert here.run(refused).outcome == "synced"
    assert (12000, "year") in billed(here, here.schedules()[0])[-1]


def test_where_salesforce_is_not_told_a_lost_ledger_bills_nothing_twice(here: World) -> None:
    deal = sold(here, policies=NONE)
    lose(here, deal.contract)
    at(here, "2026-11-25")
    assert here.run(deal.order, **NONE).outcome == "unchanged"
    assert len(here.schedules()) == 1


def test_an_archived_price_is_none_for_a_new_schedule(here: World) -> None:
    deal = sold(here, "2026-11-20", "2027-11-20", UnitPrice=9)
    (price,) = here.stripe.objects(ACCOUNT, "price")
    here.post_to_stripe(f"/v1/subscription_schedules/{here.schedule()['id']}/cancel")
    here.post_to_stripe(f"/v1/prices/{price['id']}", active="false")
    assert here.run(deal.order, on_schedule_ended="recreate").outcome == "synced"
    new = here.schedules()[-1]["phases"][-1]["items"][0]["price"]
    assert new != price["id"]
    assert billed(here, here.schedules()[-1]) == [((900, "month"),)]


class TestWhereInvoicesGo:
    def contact(self, here: World, account: str, email: str) -> str:
        return here.salesforce.create("Contact", {"LastName": "Bill", "AccountId": account, "Email": email})

    def emails(self, here: World) -> list[str | None]:
        return [customer["email"] for customer in here.customers()]

    def test_as_the_newest_order_of_the_contract_says(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        contract = here.contract(account)
        first, second = self.contact(here, account, "old@acme.test"), self.contact(here, account, "new@acme.test")
        one = here.order(account, contract, line(entry), BillToContactId=first)
        assert here.run(one).outcome == "synced"
        assert self.emails(here) == ["old@acme.test"]
        here.clock.advance(MOMENT)
        renewed = line(entry, "2027-12-01", "2028-12-01")
        two = here.order(account, contract, renewed, EffectiveDate="2027-12-01", BillToContactId=second)
        for order in (two, one, two, one):
            here.run(order)
            here.clock.advance(MOMENT)
            assert self.emails(here) == ["new@acme.test"]

    def test_an_account_does_not_override_what_an_order_says(self) -> None:
        with world(person_accounts=True) as here:
            account = here.account(Name=None, LastName="Ada", PersonEmail="ada@home.test")
            bill = self.contact(here, account, "bill@acme.test")
            order = here.order(account, here.contract(account), line(here.entry()), BillToContactId=bill)
            assert here.run(order).outcome == "synced"
            here.clock.advance(MOMENT)
            here.salesforce.update("Account", account, {"Phone": "2"})
            here.run(order)
            assert self.emails(here) == ["bill@acme.test"]
