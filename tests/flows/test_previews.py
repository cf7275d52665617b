"""The preview of a contract: exactly what the flow would send, what Stripe would bill, and nothing written anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from orderphase.errors import DataError
from orderphase.flows.preview import Preview
from tests.flows.deals import MOMENT, at, codes, sold
from tests.flows.world import World
from tests.org import line


@contextmanager
def nothing_written(here: World) -> Iterator[None]:
    """Neither vendor, nor the ledger, nor the sync log."""
    writes, log = here.stripe.writes(), here.log_entries()
    items = here.dynamodb.scan(TableName="contracts")["Items"]
    here.forget_calls()
    yield
    assert here.stripe.writes() == writes
    assert not here.salesforce.calls("PATCH|DELETE|POST .*sobjects")
    assert here.dynamodb.scan(TableName="contracts")["Items"] == items
    assert here.log_entries() == log


def preview(here: World, order: str, **policies: Any) -> Preview:
    with nothing_written(here):
        return here.previews(**policies).run(order)


def as_sent(here: World, order: str, **policies: Any) -> Preview:
    """Preview, then run: the preview's parameters are those of the request."""
    shown = preview(here, order, **policies)
    assert shown.created_first == ()
    here.stripe.asked.clear()
    assert here.run(order, **policies).outcome == "synced"
    assert shown.request is not None
    asked = [(name, values) for name, values in here.stripe.asked if name.startswith("subscription_schedules.")]
    operation, params = next(each for each in asked if not each[0].endswith("retrieve"))
    assert params == shown.params
    path = {"create": "", "update": f"/{shown.schedule and shown.schedule.id}"}[operation.partition(".")[2]]
    assert shown.request == f"POST /v1/subscription_schedules{path}"
    made = [values["id"] for name, values in here.stripe.asked if name == "coupons.create"]
    assert sorted(made) == sorted(coupon.id for coupon in shown.coupons)
    return shown


def stocked(here: World, start: str = "2026-12-01") -> tuple[str, str, str]:
    """An account, a contract and an entry that Stripe knows already."""
    account, entry = here.account(), here.entry(10)
    assert here.run(here.order(account, None, line(entry, start))).outcome == "synced"
    here.clock.advance(MOMENT)
    return account, here.contract(account), entry


class TestWhatIsSent:
    def test_a_first_order(self, here: World) -> None:
        account, contract, entry = stocked(here)
        discounted = line(entry, Stripe_Discount_Percent_Off__c=10), line(entry, "2027-12-01", "2028-12-01", Quantity=2)
        order = here.order(account, contract, *discounted, Stripe_Discount_Amount_Off__c=5)
        shown = as_sent(here, order)
        assert (shown.contract_id, shown.order_id, shown.activated) == (contract, order, True)
        assert shown.order_number == here.record("Order", order)["OrderNumber"]
        assert (shown.plan.action, len(shown.coupons), shown.schedule) == ("create", 3, None)

    def test_an_order_that_begins_now_and_catches_up(self, here: World) -> None:
        account, contract, entry = stocked(here)
        order = here.order(account, contract, line(entry, "2026-09-20", None), EffectiveDate="2026-09-20")
        shown = as_sent(here, order, backdating="catch_up")
        assert len(shown.params["phases"][0]["add_invoice_items"]) == 1

    @pytest.mark.parametrize("start", ["2027-05-01", "2027-02-01"], ids=["to come", "begun"])
    @pytest.mark.parametrize("backdating", ["from_now", "catch_up"])
    def test_a_change_order(self, here: World, start: str, backdating: str) -> None:
        account, contract, entry = stocked(here)
        other = here.entry(28)
        here.run(here.order(account, None, line(other)))
        first = here.order(account, contract, line(entry, Stripe_Discount_Percent_Off__c=10))
        here.run(first)
        at(here, "2027-02-10")
        second = here.order(account, contract, line(other, start, Stripe_Discount_Percent_Off__c=20), EffectiveDate=start)
        shown = as_sent(here, second, backdating=backdating)
        assert shown.plan.action == "update"
        assert len(shown.orders) == 2

    def test_a_subscription_that_is_taken_over(self, here: World) -> None:
        """Its schedule was let go: the first request is all that can be said yet."""
        deal = sold(here, end=None)
        at(here, "2029-02-10")
        second = deal.change(line(deal.entry, "2028-12-01", None), EffectiveDate="2028-12-01")
        shown = preview(here, second, quantity_conflict="sum")
        assert shown.request == "POST /v1/subscription_schedules"
        assert here.run(second, quantity_conflict="sum").outcome == "synced"
        sent = {"from_subscription": here.subscription()["id"]}
        assert shown.params == here.stripe.params("subscription_schedules.create") == sent

    def test_of_a_draft_what_its_activation_would_do(self, here: World) -> None:
        account, contract, entry = stocked(here)
        order = here.order(account, contract, line(entry), activated=False)
        shown = preview(here, order)
        assert (shown.activated, shown.plan.action) == (False, "create")
        here.salesforce.update("Order", order, {"Status": "Activated"})
        here.run(order)
        assert here.stripe.params("subscription_schedules.create") == shown.params

    def test_what_is_synced_needs_nothing(self, here: World) -> None:
        deal = sold(here)
        shown = preview(here, deal.order)
        assert (shown.plan.action, shown.request, shown.params, shown.invoices) == ("nothing", None, {}, ())
        assert shown.schedule is not None
        assert shown.schedule.id == here.schedule()["id"]

    def test_what_is_cancelled_stays_so(self, here: World) -> None:
        deal = sold(here)
        here.cancel(deal.order)
        here.clock.advance(MOMENT)
        second = deal.change(line(deal.entry, "2027-12-01", "2028-12-01"), EffectiveDate="2027-12-01")
        assert preview(here, second).request is None

    def test_while_a_run_was_cut_off_the_same_intent(self, here: World) -> None:
        account, contract, entry = stocked(here)
        order = here.order(account, contract, line(entry, Stripe_Discount_Percent_Off__c=10))
        here.stripe.inject("refuse", error="500", method="POST", path="/v1/subscription_schedules")
        with pytest.raises(Exception, match="500"):
            here.run(order)
        refused = here.stripe.params("coupons.create")["id"]
        here.clock.advance(MOMENT)
        shown = preview(here, order)
        assert [coupon.id for coupon in shown.coupons] == [refused]
        here.run(order)
        assert here.stripe.params("subscription_schedules.create") == shown.params


def unmade(here: World, entry: str) -> str:
    """How a price that does not exist yet is called."""
    product = here.record("Product2", here.record("PricebookEntry", entry)["Product2Id"])
    return f"the price of price book entry {entry} ({product['Name']})"


class TestWhatDoesNotExistYet:
    def test_it_is_named_by_its_salesforce_id(self, here: World) -> None:
        account, entry, other = here.account(), here.entry(), here.entry()
        order = here.order(account, here.contract(account), line(entry), line(other))
        shown = preview(here, order)
        assert shown.created_first == (
            f"the customer of account {account}",
            *(unmade(here, one) for one in sorted((entry, other))),
        )
        assert "customer" not in shown.params
        assert sorted(item["price"] for item in shown.params["phases"][0]["items"]) == sorted((entry, other))
        (invoice,) = shown.invoices
        assert (invoice.lines, invoice.exact) == ((), True)
        assert entry in str(invoice.problem)

    def test_what_a_change_order_needs(self, here: World) -> None:
        deal = sold(here)
        other = here.entry()
        shown = preview(here, deal.change(line(other, "2027-05-01"), EffectiveDate="2027-05-01"))
        assert shown.created_first == (unmade(here, other),)
        assert shown.params["phases"][1]["items"][1]["price"] == other

    def test_a_price_that_stripe_has_and_salesforce_does_not_know(self, here: World) -> None:
        account, contract, entry = stocked(here)
        here.salesforce.update("PricebookEntry", entry, {"Stripe_Price_Id__c": None})
        shown = as_sent(here, here.order(account, contract, line(entry)))
        assert shown.created_first == ()

    def test_a_product_that_is_caught_up(self, here: World) -> None:
        account, contract, entry = stocked(here)
        past = here.entry(30)
        lines = line(entry, "2026-09-20"), line(past, "2026-09-20", "2026-11-20")
        shown = preview(here, here.order(account, contract, *lines, EffectiveDate="2026-09-20"), backdating="catch_up")
        assert shown.created_first == (unmade(here, past),)
        items = shown.params["phases"][0]["add_invoice_items"]
        assert past in [item["price_data"]["product"] for item in items]


class TestFindings:
    def test_what_is_wrong_is_among_them(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(), Quantity=1.5))
        shown = preview(here, order)
        assert codes(shown.plan) == ["fractional_quantity"]
        assert (shown.request, shown.params, shown.invoices, shown.coupons) == (None, {}, (), ())
        assert here.record("Order", order)["Stripe_Sync_Status__c"] is None

    def test_what_somebody_has_edited(self, here: World) -> None:
        deal = sold(here)
        here.post_to_stripe(f"/v1/subscription_schedules/{here.schedule()['id']}", end_behavior="release")
        shown = preview(here, deal.order)
        assert codes(shown.plan) == ["schedule_edited"]
        assert preview(here, deal.order, on_drift="repair").plan.action == "update"

    def test_an_order_that_is_gone(self, here: World) -> None:
        with pytest.raises(DataError, match="not in Salesforce"):
            preview(here, "801Ah0000000099IAA")


class TestInvoices:
    def test_the_first_is_exact_and_the_later_ones_are_a_full_cycle_each(self, here: World) -> None:
        account, contract, entry = stocked(here)
        lines = line(entry), line(entry, "2027-12-01", "2028-12-01", Quantity=3)
        shown = preview(here, here.order(account, contract, *lines))
        assert [(invoice.date.date().isoformat(), invoice.total, invoice.exact) for invoice in shown.invoices] == [
            ("2026-12-01", 1000, True),
            ("2027-12-01", 3000, False),
        ]
        (only,) = shown.invoices[0].lines
        assert (only.amount, only.start.date().isoformat(), only.end.date().isoformat()) == (1000, "2026-12-01", "2027-01-01")
        assert not only.proration
        assert {invoice.currency for invoice in shown.invoices} == {"USD"}

    def test_what_is_caught_up_is_on_the_first(self, here: World) -> None:
        account, contract, entry = stocked(here)
        order = here.order(account, contract, line(entry, "2026-10-20", None), EffectiveDate="2026-10-20")
        shown = preview(here, order, backdating="catch_up")
        (invoice,) = shown.invoices
        assert (invoice.problem, sorted(each.amount for each in invoice.lines)) == (None, [1000, 1014])
        assert invoice.total == 2014

    def test_new_discounts_are_left_out_and_that_is_said(self, here: World) -> None:
        account, contract, entry = stocked(here)
        shown = preview(here, here.order(account, contract, line(entry, Stripe_Discount_Percent_Off__c=50)))
        (invoice,) = shown.invoices
        assert invoice.total == 1000
        assert "without the new discounts" in str(invoice.note)

    def test_a_discount_that_runs_counts(self, here: World) -> None:
        deal = sold(here, "2026-11-20", None, Stripe_Discount_Percent_Off__c=50)
        second = deal.change(
            line(deal.entry, "2027-05-20", None), EffectiveDate="2027-05-20", Stripe_Discount_Percent_Off__c=None
        )
        here.salesforce.update("OrderItem", here.lines_of(second)[0], {"Stripe_Discount_Percent_Off__c": 50})
        shown = preview(here, second, quantity_conflict="sum")
        first = shown.invoices[0]
        assert (first.date.date().isoformat(), first.total, first.note, first.exact) == ("2026-12-20", 500, None, True)

    def test_where_stripe_gives_none_the_reason_stands(self, here: World) -> None:
        """The emulator computes no prorations, and says so with status 501."""
        deal = sold(here, "2026-11-20", None)
        at(here, "2026-12-01")
        here.salesforce.update("OrderItem", deal.line, {"Quantity": 3})
        shown = preview(here, deal.order)
        assert shown.plan.action == "update"
        (invoice,) = shown.invoices
        assert (invoice.lines, invoice.total) == ((), 0)
        assert "501" in str(invoice.problem)

    def test_of_what_ends_there_is_none(self, here: World) -> None:
        deal = sold(here, end=None)
        at(here, "2027-02-10")
        here.salesforce.update("OrderItem", deal.line, {"EndDate": "2027-03-01"})
        (invoice,) = preview(here, deal.order).invoices
        assert "No upcoming invoices" in str(invoice.problem)
