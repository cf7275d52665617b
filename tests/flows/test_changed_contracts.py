"""The poll and the backfill: which contracts they find, and which they leave alone."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from orderphase import deadline
from orderphase.errors import ConflictError, TransientError
from orderphase.flows import changed_contracts
from orderphase.flows.changed_contracts import OVERLAP, ChangedContract
from orderphase.mapping import read_mapping
from orderphase.store.progress import POLL, rewind_poll
from tests.flows.deals import MOMENT, Deal, sold
from tests.flows.world import ORG, World, world
from tests.org import line

LATER = timedelta(minutes=5)
SETTLED = timedelta(minutes=3)
"""So long after a change, nothing of it is hidden any more."""


def unsynced(here: World, start: str = "2026-12-01", end: str | None = "2027-12-01") -> tuple[str, str]:
    """A contract with an activated order that nobody has told of."""
    account = here.account()
    contract = here.contract(account)
    order = here.order(account, contract, line(here.entry(), start, end), EffectiveDate=start)
    here.clock.advance(SETTLED)
    return contract, order


def synced(here: World) -> Deal:
    """A contract that its event has brought through, some time after it was typed in."""
    contract, order = unsynced(here)
    assert here.run(order).outcome == "synced"
    record, item = here.record("Order", order), here.record("OrderItem", here.lines_of(order)[0])
    return Deal(here, record["AccountId"], contract, item["PricebookEntryId"], order)


def found(here: World) -> list[str]:
    queued: list[ChangedContract] = []
    here.changed_contracts(queued).poll(here.clock.now())
    return [one.contract_id for one in queued]


class TestThePoll:
    def test_an_order_whose_event_was_lost(self, here: World) -> None:
        contract, order = unsynced(here)
        assert here.poll() == {contract: "synced"}
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Synced"
        here.clock.advance(LATER)
        assert here.poll() == {}, "what the run has written itself is nothing new"

    def test_an_order_that_its_event_has_brought_through(self, here: World) -> None:
        told, untold = synced(here), unsynced(here)
        here.clock.advance(LATER)
        assert told.contract != untold[0]
        assert found(here) == [untold[0]]

    @pytest.mark.parametrize("what", ["line", "order"])
    def test_an_edit_whose_event_was_lost(self, here: World, what: str) -> None:
        deal = sold(here)
        here.clock.advance(LATER)
        if what == "line":
            here.salesforce.update("OrderItem", deal.line, {"Quantity": 4})
        else:
            here.salesforce.update("Order", deal.order, {"Stripe_Discount_Percent_Off__c": 10})
        here.clock.advance(LATER)
        assert here.poll() == {deal.contract: "synced"}
        here.clock.advance(LATER)
        assert found(here) == []

    def test_a_draft_is_nobodys_business(self, here: World) -> None:
        account = here.account()
        here.order(account, here.contract(account), line(here.entry()), activated=False)
        assert found(here) == []

    def test_an_order_that_was_withdrawn_while_it_is_billed(self, here: World) -> None:
        deal = sold(here)
        here.clock.advance(LATER)
        here.salesforce.update("Order", deal.order, {"Status": "Draft"})
        here.clock.advance(LATER)
        assert here.poll() == {deal.contract: "skipped"}
        here.clock.advance(LATER)
        assert found(here) == []

    def test_a_contract_is_queued_once_however_much_has_changed(self, here: World) -> None:
        deal = sold(here)
        here.clock.advance(LATER)
        deal.change(*(line(here.entry(), "2027-03-01") for _ in range(3)), EffectiveDate="2027-03-01")
        assert found(here) == [deal.contract]

    def test_what_fails_for_its_data_is_not_queued_again_until_it_changes(self, here: World) -> None:
        contract, order = unsynced(here)
        item = here.lines_of(order)[0]
        here.salesforce.update("OrderItem", item, {"Quantity": 2.5})
        here.clock.advance(SETTLED)
        assert here.poll() == {contract: "failed"}
        here.clock.advance(LATER)
        assert found(here) == []
        here.salesforce.update("OrderItem", item, {"Quantity": 2})
        here.clock.advance(LATER)
        assert here.poll() == {contract: "synced"}

    def test_what_was_interrupted_is_found_again(self, here: World) -> None:
        contract, _ = unsynced(here)
        here.stripe.inject("refuse", error="429", times=99)
        with pytest.raises(TransientError):
            here.poll()
        here.stripe.faults.clear()
        here.clock.advance(LATER)
        assert here.poll() == {contract: "synced"}

    def test_a_change_that_is_seen_late_because_its_transaction_took_long(self, here: World) -> None:
        here.poll()
        contract, _ = unsynced(here)
        here.clock.advance(OVERLAP - SETTLED - MOMENT)
        here.progress().write(POLL, {"since": (here.clock.now() - OVERLAP).isoformat()}, 1)
        assert found(here) == [contract]

    def test_it_goes_on_where_the_last_one_has_stopped(self, here: World) -> None:
        here.poll()
        contract, _ = unsynced(here)
        here.clock.advance(timedelta(days=2))
        assert found(here) == [contract]

    def test_more_than_one_poll_can_take(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(changed_contracts, "PAGES", 1)
        with world(page_size=2) as here:
            contracts = [unsynced(here)[0] for _ in range(5)]
            here.clock.advance(OVERLAP)
            here.progress().write(POLL, {"since": (here.clock.now() - timedelta(hours=1)).isoformat()}, 0)
            seen = set(found(here))
            assert len(seen) < 5
            while some := here.poll():
                seen |= some.keys()
            assert sorted(seen) == sorted(contracts)

    def test_where_its_time_is_over_the_next_one_goes_on(self, here: World) -> None:
        here.poll()
        first = unsynced(here)[0]
        here.clock.advance(OVERLAP + timedelta(minutes=1))
        queued: list[ChangedContract] = []
        with deadline.within(18):
            assert here.changed_contracts(queued).poll(here.clock.now()) == 0
        assert queued == []
        here.clock.advance(timedelta(hours=3))
        second = unsynced(here)[0]
        here.clock.advance(LATER)
        assert sorted(found(here)) == sorted([first, second])

    def test_a_poll_that_breaks_off_begins_again(self, here: World) -> None:
        contract, _ = unsynced(here)

        def unwilling(*_: object) -> None:
            raise TransientError("the queue is away")

        poll = here.changed_contracts([])
        poll._enqueue = unwilling
        with pytest.raises(TransientError):
            poll.poll(here.clock.now())
        here.clock.advance(timedelta(hours=3))
        here.progress().write(POLL, {"since": (here.clock.now() - timedelta(hours=4)).isoformat()}, 0)
        assert found(here) == [contract]

    def test_of_two_polls_at_once_one_is_told(self, here: World) -> None:
        unsynced(here)
        poll = here.changed_contracts([])

        def meanwhile(*_: object) -> None:
            found(here)

        poll._enqueue = meanwhile
        with pytest.raises(ConflictError):
            poll.poll(here.clock.now())

    def test_it_looks_again_from_where_it_was_told_to(self, here: World) -> None:
        contract, _ = unsynced(here)
        here.clock.advance(timedelta(hours=2))
        assert found(here) == [], "the first poll looks at the last minutes"
        rewind_poll(here.progress(), here.clock.now() - timedelta(hours=3))
        assert found(here) == [contract]

    def test_only_what_the_mapping_lets_it_look_for(self, here: World) -> None:
        unsynced(here)
        wanted, order = unsynced(here)
        draft = {"Status": "Draft"}
        here.salesforce.update("Order", order, draft)
        here.salesforce.update("Order", order, {"Stripe_Collection_Method__c": "charge_automatically"})
        here.salesforce.update("Order", order, {"Status": "Activated"})
        here.mapping = read_mapping("[search]\ncondition = \"Stripe_Collection_Method__c = 'charge_automatically'\"")
        assert found(here) == [wanted]

    def test_the_calls_that_it_makes(self, here: World) -> None:
        synced(here)
        here.clock.advance(LATER)
        here.forget_calls()
        here.poll()
        assert [call.method for call in here.salesforce.calls("/query")] == ["GET", "GET"]
        assert here.stripe.log == []


class TestWhatNoRunHasHeeded:
    """A run that has passed something over has not looked at the contract."""

    @pytest.mark.parametrize("event", ["line", "draft", "edited draft"])
    def test_an_event_that_was_passed_over(self, here: World, event: str) -> None:
        contract, order = unsynced(here)
        draft = here.order(here.record("Order", order)["AccountId"], contract, line(here.entry()), activated=False)
        if event == "line":
            assert here.change_line(here.lines_of(order)[0]).outcome == "skipped"
        else:
            changed = ["Description"] if event == "edited draft" else None
            report = here.flow().run(draft, event_id="event", org_id=ORG, changed_fields=changed)
            assert report.outcome == "skipped"
        here.clock.advance(SETTLED)
        assert here.poll() == {contract: "synced"}

    def test_a_cancellation_that_was_refused(self, here: World) -> None:
        deal = synced(here)
        here.clock.advance(LATER)
        deal.change(line(here.entry(), "2027-03-01"), EffectiveDate="2027-03-01")
        here.clock.advance(SETTLED)
        asked = {"mode": "on_date", "date": date(2026, 1, 1)}
        assert here.cancel(deal.order, asked=asked).outcome == "failed"
        here.clock.advance(MOMENT)
        assert here.poll() == {deal.contract: "synced"}

    def test_a_change_that_was_hidden_while_another_run_read(self, here: World) -> None:
        """Salesforce: a record is stamped when it is written, and shown when its transaction is over."""
        deal = synced(here)
        here.clock.advance(LATER)
        stamped = here.clock.now()
        here.clock.advance(MOMENT)
        here.reconcile(deal.contract)
        here.clock.advance(MOMENT)
        here.salesforce.update("OrderItem", deal.line, {"Quantity": 7})
        self.as_if(here, "OrderItem", deal.line, SystemModstamp=stamped)
        assert here.poll() == {deal.contract: "synced"}

    def test_what_the_org_activates_along_with_our_own_write(self, here: World) -> None:
        """Its automation acts as the integration user then."""
        deal = synced(here)
        renewal = here.order(deal.account, deal.contract, line(here.entry(), "2027-12-01", "2028-12-01"), activated=False)
        here.clock.advance(LATER)
        here.reconcile(deal.contract)
        here.salesforce.update("Order", renewal, {"Status": "Activated"})
        self.as_if(here, "Order", renewal, LastModifiedById=here.salesforce_client().user_id)
        here.clock.advance(SETTLED)
        assert here.poll() == {deal.contract: "synced"}

    def test_what_somebody_else_has_changed_as_the_integration_user(self, here: World) -> None:
        deal = synced(here)
        here.clock.advance(LATER)
        here.salesforce.update("Order", deal.order, {"Stripe_Discount_Percent_Off__c": 10})
        self.as_if(here, "Order", deal.order, LastModifiedById=here.salesforce_client().user_id)
        here.clock.advance(SETTLED)
        assert here.poll() == {deal.contract: "synced"}

    @staticmethod
    def as_if(here: World, kind: str, record: str, **fields: Any) -> None:
        """Have a record say what the API lets nobody write."""
        store, row = here.salesforce._org.store, here.salesforce._org.store.get(kind, record)
        store.put(kind, {**(row or {}), **fields})
        store.commit()


class TestTheBackfill:
    def backfill(self, here: World) -> list[str]:
        return sorted(one.contract_id for one in here.changed_contracts([]).backfill(here.clock.now().date()))

    def test_everything_that_is_billed_still(self, here: World) -> None:
        billed = synced(here)
        contracts = [unsynced(here)[0], unsynced(here, "2026-01-01", None)[0]]
        unsynced(here, "2026-01-01", "2026-06-01")
        here.clock.advance(timedelta(days=3))
        assert self.backfill(here) == sorted(contracts)
        assert billed.contract not in contracts

    def test_nothing_the_second_time(self, here: World) -> None:
        contracts = [unsynced(here)[0] for _ in range(3)]
        here.clock.advance(timedelta(days=3))
        assert self.backfill(here) == sorted(contracts)
        for contract in contracts:
            assert here.reconcile(contract).outcome == "synced"
        writes = here.stripe.writes()
        assert self.backfill(here) == []
        assert here.stripe.writes() == writes

    def test_schedules_that_exist_are_adopted(self, here: World) -> None:
        """A ledger that was lost, or another product's orders: what Salesforce names is taken over as it is."""
        deal = sold(here)
        here.dynamodb.delete_item(TableName="contracts", Key={"contract_id": {"S": deal.contract}})
        here.clock.advance(timedelta(days=3))
        assert self.backfill(here) == [deal.contract]
        writes = here.stripe.writes()
        assert here.reconcile(deal.contract).outcome == "unchanged"
        assert here.stripe.writes() == writes
        assert len(here.schedules()) == 1
        assert self.backfill(here) == []

    def test_a_line_that_outlives_its_order(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        longer = line(here.entry(), "2026-01-01", "2026-06-01")
        order = here.order(account, contract, longer, EffectiveDate="2026-01-01", EndDate="2026-06-01")
        # Salesforce refuses it; a field of the company's own may say it.
        TestWhatNoRunHasHeeded.as_if(here, "OrderItem", here.lines_of(order)[0], EndDate=date(2027, 6, 1))
        assert self.backfill(here) == [contract]

    def test_a_day_on_which_a_line_ends_is_not_billed(self, here: World) -> None:
        unsynced(here, "2026-01-01", "2026-11-19")
        last_day, _ = unsynced(here, "2026-01-01", "2026-11-20")
        assert date(2026, 11, 20) == here.clock.now().date()
        assert self.backfill(here) == [last_day], "its end may be meant inclusively"
