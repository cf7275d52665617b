"""A customer base of two thousand contracts is taken over: what is billed stays as it is, the rest is made, each once."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from orderphase.flows.changed_contracts import ChangedContract
from tests.flows.world import ORG, World
from tests.org import line

MANY, BILLED = 2_000, 500
"""So many contracts, of which so many have a schedule that Salesforce knows and no ledger does."""


def found(here: World) -> list[ChangedContract]:
    return here.changed_contracts([]).backfill(here.clock.now().date())


def brought_through(here: World, contracts: list[ChangedContract]) -> Counter[str]:
    """Have the contracts looked at, as their queue does; answers how many came to what."""
    flow = here.reconciliation()
    runs = (
        flow.run(one.contract_id, event_id=f"backfill-{one.contract_id}", org_id=ORG, order_id=one.order_id)
        for one in contracts
    )
    return Counter(report.outcome for report in runs)


def test_two_thousand_contracts(here: World) -> None:
    account, entries = here.account(), [here.entry(price) for price in (10, 25, 40)]
    contracts = []
    for number in range(MANY):
        contract = here.contract(account)
        here.order(account, contract, line(entries[number % 3], Quantity=number % 7 + 1))
        contracts.append(contract)
    here.clock.advance(timedelta(minutes=3))
    assert brought_through(here, found(here)[:BILLED]) == {"synced": BILLED}
    for table, key in (("contracts", "contract_id"), ("catalogue", "id")):
        for item in here.dynamodb.scan(TableName=table)["Items"]:
            here.dynamodb.delete_item(TableName=table, Key={key: item[key]})
    writes, first = here.stripe.writes(), here.schedules()

    here.forget_calls()
    left = found(here)
    assert len(here.salesforce.calls("/query")) == 1, "two thousand records are one page"
    assert sorted(one.contract_id for one in left) == sorted(contracts)
    assert brought_through(here, left) == {"unchanged": BILLED, "synced": MANY - BILLED}

    schedules = here.schedules()
    assert schedules[:BILLED] == first
    assert Counter(one["metadata"]["salesforce_contract_id"] for one in schedules) == dict.fromkeys(contracts, 1)
    # A schedule for each that had none. Products and prices were found again, and the customer was told of the account anew.
    assert here.stripe.writes() - writes == MANY - BILLED + 1

    here.forget_calls()
    assert found(here) == []
    assert (len(here.salesforce.calls("/query")), here.stripe.log) == (1, [])
    assert here.schedules() == schedules
