"""Contracts that run already, on the deployed stack: change orders, changed lines, cancellations, and the rolling window."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from orderphase.domain.planning import MAX_PHASES, RUNWAY
from sandbox.salesforce_emulator.contract_rules import add_months
from tests.org import line
from tests.stack.company import DEADLINE, Company, until
from tests.stack.held_queue import held

STATUS, SCHEDULE = "Stripe_Sync_Status__c", "Stripe_Subscription_Schedule_Id__c"
STEPS = 14


class Deal:
    """A contract with its first order, a year from today on, synced."""

    def __init__(self, company: Company, entry: str) -> None:
        self.company = company
        self.account = company.account()
        self.contract = company.contract(self.account, start=self.day(0))
        self.order = self.sell(line(entry, self.day(0), self.day(12)))
        company.synced(self.order)

    def day(self, months: int) -> str:
        """The date so many months from today."""
        return add_months(self.company.today, months).isoformat()

    def sell(self, *lines: dict[str, Any]) -> str:
        """One more order, activated."""
        return self.company.order(self.account, self.contract, *lines, EffectiveDate=self.day(0))

    def schedule(self) -> dict[str, Any]:
        """The one schedule of the contract."""
        (schedule,) = self.company.schedules(self.contract)
        return schedule

    def quantities(self) -> list[dict[str, int]]:
        """What each of its phases bills."""
        return [{item["price"]: item["quantity"] for item in phase["items"]} for phase in self.schedule()["phases"]]

    def price(self, entry: str) -> str:
        """The Stripe price of a price book entry."""
        return str(self.company.record("PricebookEntry", entry)["Stripe_Price_Id__c"])


def test_a_change_order_updates_the_schedule_that_runs(company: Company) -> None:
    first, second = company.entry(10), company.entry(20)
    deal = Deal(company, first)
    before = deal.schedule()

    change = deal.sell(line(second, deal.day(3), deal.day(12), Quantity=5))

    record = company.synced(change)
    assert (record[STATUS], record[SCHEDULE]) == ("Synced", before["id"])
    assert deal.schedule()["id"] == before["id"]
    assert deal.quantities() == [{deal.price(first): 1}, {deal.price(first): 1, deal.price(second): 5}]
    assert company.flows(deal.contract) == [("order_activation", "synced")] * 2


def test_a_changed_line_is_billed_by_itself(company: Company) -> None:
    entry = company.entry(10)
    deal = Deal(company, entry)
    (changed,) = company.lines_of(deal.order)

    company.salesforce.update("OrderItem", changed, {"Quantity": 7, "EndDate": deal.day(6)})

    until(lambda: deal.quantities() == [{deal.price(entry): 7}], "the change in Stripe")
    company.stack.settle(DEADLINE)
    assert company.flows(deal.contract) == [("order_activation", "synced"), ("order_item_update", "synced")]
    assert company.record("Order", deal.order)[STATUS] == "Synced"


@pytest.mark.parametrize(
    ("how", "status", "phases"), [({"mode": "now"}, "canceled", 2), ({"mode": "on_date", "date": 4}, "active", 1)]
)
def test_a_cancelled_contract_stays_so(company: Company, how: dict[str, Any], status: str, phases: int) -> None:
    first, second = company.entry(10), company.entry(20)
    deal = Deal(company, first)
    company.synced(deal.sell(line(second, deal.day(6), deal.day(12))))
    asked = {name: deal.day(value) if name == "date" else value for name, value in how.items()}

    company.send(deal.order, f"{deal.order}-cancel", "order.cancellation_requested", **asked)

    until(lambda: company.record("Order", deal.order)[STATUS] == "Cancelled", "the cancellation")
    company.stack.settle(DEADLINE)
    writes = company.stripe.writes()
    company.send(deal.order, f"{deal.order}-late")
    until(lambda: len(company.flows(deal.contract)) == 4, "the run of the late event")
    company.stack.settle(DEADLINE)
    assert company.flows(deal.contract)[2:] == [("cancellation", "synced"), ("order_activation", "unchanged")]
    assert company.stripe.writes() == writes
    schedule = deal.schedule()
    assert (schedule["status"], len(schedule["phases"])) == (status, phases)
    if "date" in asked:
        ends = time.gmtime(schedule["phases"][-1]["end_date"])
        assert (time.strftime("%Y-%m-%d %H:%M", ends), schedule["end_behavior"]) == (f"{asked['date']} 00:00", "cancel")


def test_a_contract_that_is_due_gets_its_next_phases(company: Company) -> None:
    """Months are as good as past where Stripe has fewer phases left, and the table says that more are due."""
    entry = company.entry(10)
    deal = Deal(company, entry)
    steps = [line(entry, deal.day(12 + month), deal.day(13 + month), Quantity=2 + month) for month in range(STEPS)]
    company.synced(deal.sell(*steps))
    price, quantities = deal.price(entry), [1, *range(2, 2 + MAX_PHASES - 1)]
    assert [phase[price] for phase in deal.quantities()] == quantities
    assert deal.schedule()["end_behavior"] == "release"
    with held(company.stack, "Reconciliation") as queue:  # it would do what the rolling window is to do
        _cut(company, deal.schedule())
        company.stripe.courier.flush()
        until(queue.messages, "Stripe's event")
    assert company.stack.aws("dynamodb").update_item(
        TableName=company.stack.outputs["ContractTableName"],
        Key={"contract_id": {"S": deal.contract}},
        UpdateExpression="SET extend_at = :past",
        ConditionExpression="extend_at > :past",
        ExpressionAttributeValues={":past": {"N": str(int(time.time()) - 60)}},
    )

    assert company.look_for_due_contracts() == {"queued": 1}

    until(lambda: len(company.flows(deal.contract)) == 3, "the run of what was queued")
    company.stack.settle(DEADLINE)
    assert company.flows(deal.contract)[2:] == [("order_activation", "synced")]
    assert [phase[price] for phase in deal.quantities()] == quantities
    assert company.look_for_due_contracts() == {"queued": 0}


def _cut(company: Company, schedule: dict[str, Any]) -> None:
    """Leave a schedule with as few phases as there are when the next ones become due."""
    phases = [
        {
            "start_date": phase["start_date"],
            "end_date": phase["end_date"],
            "items": [{"price": item["price"], "quantity": item["quantity"]} for item in phase["items"]],
        }
        for phase in schedule["phases"][:RUNWAY]
    ]
    changed = company.api.subscription_schedules.update(schedule["id"], cast("Any", {"phases": phases}))
    assert len(changed.phases) == RUNWAY
