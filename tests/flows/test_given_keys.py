"""An idempotency key that the sender of an event gives: Stripe knows the write by it."""

from __future__ import annotations

from typing import Any

import pytest

from orderphase.domain.cancellation import CancellationRequest
from orderphase.errors import UnknownOutcomeError
from orderphase.flows.cancellation import Cancellation
from orderphase.flows.order_activation import OrderActivation
from orderphase.flows.order_item_update import OrderItemUpdate
from orderphase.flows.runs import Report
from orderphase.store.phases import digest, unpacked
from tests.flows.deals import MOMENT, codes, contract_in, sold
from tests.flows.world import ORG, World
from tests.org import line

THEIRS = "acme-2026-11-20-0001"


def activate(here: World, order: str, key: str | None = THEIRS, **policies: Any) -> Report:
    flow = OrderActivation(here.contract_runs(**policies))
    return flow.run(order, event_id=f"event-{order}", org_id=ORG, idempotency_key=key)


def new_order(here: World, **fields: Any) -> str:
    account = here.account()
    return here.order(account, here.contract(account), line(here.entry(), **fields))


class TestSentAsItIs:
    def test_on_the_first_order(self, here: World) -> None:
        assert activate(here, new_order(here, Stripe_Discount_Percent_Off__c=10)).outcome == "synced"
        assert here.stripe.keys("subscription_schedules.create") == [THEIRS]
        others = [
            key for (name, _), (_, key) in zip(here.stripe.asked, here.stripe.askers, strict=True) if "schedules" not in name
        ]
        assert all(key is None or key.startswith("orderphase:") for key in others)
        assert len({key for key in others if key}) == 4, "product, price, customer and coupon have keys of our own"

    def test_on_a_change_order(self, here: World) -> None:
        deal = sold(here)
        change = deal.change(line(deal.entry, "2027-12-01", "2028-12-01"), EffectiveDate="2027-12-01")
        assert activate(here, change).outcome == "synced"
        assert here.stripe.keys("subscription_schedules.update") == [THEIRS]

    def test_on_a_changed_line(self, here: World) -> None:
        deal = sold(here)
        here.salesforce.update("OrderItem", deal.line, {"Quantity": 2})
        flow = OrderItemUpdate(here.contract_runs(), here.mapping.order_item)
        assert flow.run(deal.line, event_id="edit", org_id=ORG, idempotency_key=THEIRS).outcome == "synced"
        assert here.stripe.keys("subscription_schedules.update") == [THEIRS]

    def test_on_a_cancellation(self, here: World) -> None:
        deal = sold(here)
        flow = Cancellation(here.contract_runs())
        asked = CancellationRequest()
        report = flow.run(deal.order, event_id="cancel", org_id=ORG, request=asked, idempotency_key=THEIRS)
        assert report.outcome == "synced"
        assert here.stripe.keys("subscription_schedules.cancel") == [THEIRS]

    def test_without_one_our_own_is_sent(self, here: World) -> None:
        order = new_order(here)
        activate(here, order, None)
        contract = here.record("Order", order)["ContractId"]
        assert own(here, contract) == [here.stripe.keys("subscription_schedules.create")[-1]]


def own(here: World, contract: str) -> list[str]:
    """Our own key of a contract's first write: who is billed, the how manieth time, and what for."""
    what = digest(unpacked(bytes(here.ledger(contract)["intent"]["phases"])))
    return [f"orderphase:schedule:{ORG}:{contract}:1:{what}"]


class TestUsedForSomethingElse:
    def test_it_is_told_and_nothing_is_written(self, here: World) -> None:
        activate(here, new_order(here))
        here.clock.advance(MOMENT)
        order = new_order(here)
        report = activate(here, order)
        assert (report.outcome, codes(report)) == ("failed", ["idempotency_key_used"])
        assert len(here.schedules()) == 1
        record = here.record("Order", order)
        assert record["Stripe_Sync_Status__c"] == "Failed"
        assert THEIRS in record["Stripe_Sync_Message__c"]
        assert "another idempotency key" in record["Stripe_Sync_Message__c"]
        here.clock.advance(MOMENT)
        assert activate(here, order, "acme-0002").outcome == "synced"
        assert len(here.schedules()) == 2

    def test_on_a_running_contract(self, here: World) -> None:
        deal = sold(here)
        activate(here, deal.change(line(deal.entry, "2027-12-01", "2028-12-01"), EffectiveDate="2027-12-01"))
        here.clock.advance(MOMENT)
        before = here.schedule()
        here.salesforce.update("OrderItem", deal.line, {"Quantity": 2})
        report = activate(here, deal.order)
        assert (report.outcome, codes(report)) == ("failed", ["idempotency_key_used"])
        assert here.schedule() == before
        here.clock.advance(MOMENT)
        assert activate(here, deal.order, None).outcome == "synced"
        assert here.schedule()["phases"][0]["items"][0]["quantity"] == 2

    def test_what_stripe_refused_under_it_does_not_stick(self, here: World) -> None:
        """Stripe answers the same refusal for a day, also when the cause is gone; then our own key is used."""
        here.run(new_order(here))
        price = here.stripe.objects("acct_orderphase", "price")[0]["id"]
        here.post_to_stripe(f"/v1/prices/{price}", active="false")
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(), Stripe_Price_Id__c=price))
        assert "inactive" in activate(here, order).message
        here.post_to_stripe(f"/v1/prices/{price}", active="true")
        here.clock.advance(MOMENT)
        assert activate(here, order).outcome == "synced"
        contract = here.record("Order", order)["ContractId"]
        assert own(here, contract) == [here.stripe.keys("subscription_schedules.create")[-1]]


class TestDeliveredAgain:
    @pytest.mark.parametrize("fault", [{"kind": "lost_before"}, {"kind": "lost_after"}, {"kind": "refuse", "error": "500"}])
    @pytest.mark.parametrize("what", ["first order", "change order", "cancellation"])
    def test_after_an_answer_that_was_lost(self, here: World, what: str, fault: dict[str, Any]) -> None:
        deal = sold(here)
        flow: Any
        if what == "cancellation":
            order, flow = deal.order, lambda: Cancellation(here.contract_runs())
            more: dict[str, Any] = {"request": CancellationRequest()}
        else:
            order = new_order(here) if what == "first order" else deal.change(line(deal.entry, "2027-12-01", "2028-12-01"))
            flow, more = (lambda: OrderActivation(here.contract_runs())), {}
        here.stripe.inject(method="POST", path="/v1/subscription_schedules", **fault)
        with pytest.raises(UnknownOutcomeError):
            flow().run(order, event_id="event", org_id=ORG, idempotency_key=THEIRS, **more)
        here.clock.advance(MOMENT)
        assert flow().run(order, event_id="event", org_id=ORG, idempotency_key=THEIRS, **more).outcome == "synced"
        assert len(here.schedules()) == (2 if what == "first order" else 1)
        here.clock.advance(MOMENT)
        assert flow().run(order, event_id="event", org_id=ORG, idempotency_key=THEIRS, **more).outcome == "unchanged"

    def test_after_a_failure_that_stripe_has_stored(self, here: World) -> None:
        """It may have made the schedule, and has: the next run finds it."""
        order = new_order(here)
        here.stripe.inject("stored", error="500", method="POST", path="/v1/subscription_schedules")
        with pytest.raises(UnknownOutcomeError):
            activate(here, order)
        here.clock.advance(MOMENT)
        assert activate(here, order).outcome == "synced"
        assert len(here.schedules()) == 1

    def test_twice_at_the_end_of_it_all(self, here: World) -> None:
        order = new_order(here)
        for outcome in ("synced", "unchanged", "unchanged"):
            assert activate(here, order).outcome == outcome
            here.clock.advance(MOMENT)
        assert len(here.schedules()) == 1


class TestWithAnotherCustomer:
    """Stripe has refused the customer under the key that was given, so what follows is another request with another key."""

    def test_a_deleted_one(self, here: World) -> None:
        deal = sold(here)
        here.delete_in_stripe(f"/v1/customers/{here.customers()[0]['id']}")
        order = here.order(deal.account, here.contract(deal.account), line(deal.entry))
        report = activate(here, order)
        assert (report.outcome, codes(report)) == ("synced", ["customer_replaced"])
        first, second = here.stripe.keys("subscription_schedules.create")
        assert first == THEIRS
        assert str(second).startswith("orderphase:schedule:")

    def test_one_of_another_currency(self, here: World) -> None:
        deal = sold(here)
        contract, entry = contract_in(here, deal.account, "EUR"), here.entry(9, CurrencyIsoCode="EUR")
        order = here.order(deal.account, contract, line(entry), CurrencyIsoCode="EUR")
        assert activate(here, order, customer_per_currency="create").outcome == "synced"
        assert len(here.stripe.keys("subscription_schedules.create")) == 2
        here.clock.advance(MOMENT)
        assert activate(here, order, customer_per_currency="create").outcome == "unchanged"
        assert len(here.schedules()) == 2


def test_an_answer_that_was_lost_does_not_use_the_key_up_for_what_has_changed_since(here: World) -> None:
    """The event comes again, and finds its first request carried out and another quantity."""
    order = new_order(here)
    here.stripe.inject("lost_after", method="POST", path="/v1/subscription_schedules")
    with pytest.raises(UnknownOutcomeError):
        activate(here, order)
    here.salesforce.update("OrderItem", here.lines_of(order)[0], {"Quantity": 2})
    here.clock.advance(MOMENT)
    report = activate(here, order)
    assert (report.outcome, codes(report)) == ("synced", [])
    assert len(here.schedules()) == 1
    assert here.schedule()["phases"][-1]["items"][0]["quantity"] == 2
    assert here.stripe.keys("subscription_schedules.create") == [THEIRS]
    (key,) = here.stripe.keys("subscription_schedules.update")
    assert str(key).startswith("orderphase:update:")
