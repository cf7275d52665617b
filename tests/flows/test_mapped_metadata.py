"""What the mapping adds to Stripe's objects, and what holds where Salesforce says nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orderphase.mapping import read_mapping
from sandbox.salesforce_emulator.schema import Field
from tests.flows.deals import MOMENT, codes, sold
from tests.flows.world import ACCOUNT, World, world
from tests.org import line

MAPPING = """
[metadata.customer]
segment = "Industry"
owner = "Owner.Username"

[metadata.product]
family = "Family__c"

[metadata.price]
tier = "Tier__c"
article = "Product2.Family__c"

[metadata.schedule]
purchase_order = "Reference__c"
billed_to = "Account.Industry"

[metadata.phase]
campaign = "Campaign__c"

[metadata.item]
cost_centre = "Cost_Centre__c"
seats = "Quantity"
reference = "Order.Reference__c"
"""


def text(name: str) -> Field:
    return Field(name, "string", length=255)


@pytest.fixture
def here() -> Iterator[World]:
    fields = {
        "Product2": [text("Family__c")],
        "PricebookEntry": [text("Tier__c")],
        "Order": [text("Reference__c"), text("Campaign__c"), Field("Long__c", "textarea", length=2000)],
        "OrderItem": [text("Cost_Centre__c")],
    }
    with world(fields=fields) as made:
        made.mapping = read_mapping(MAPPING)
        yield made


def ours(metadata: dict[str, Any]) -> dict[str, Any]:
    """What is not our own."""
    return {name: value for name, value in metadata.items() if not name.startswith(("salesforce_", "orderphase_"))}


def entry_of(here: World, family: str, tier: str | None, **fields: Any) -> str:
    entry = here.entry(Tier__c=tier, **fields)
    here.salesforce.update("Product2", here.record("PricebookEntry", entry)["Product2Id"], {"Family__c": family})
    return entry


class TestSixPlaces:
    def test_each_object_carries_what_its_record_says(self, here: World) -> None:
        account = here.account(Industry="Energy")
        first, second = entry_of(here, "Power", "gold"), entry_of(here, "Heat", None, price=5)
        lines = line(first, Cost_Centre__c="4711", Quantity=3), line(second)
        order = here.order(account, here.contract(account), *lines, Reference__c="PO-1", Campaign__c="Spring")
        assert here.run(order).outcome == "synced"

        (customer,) = here.customers()
        assert ours(customer["metadata"]).keys() == {"segment", "owner"}
        assert customer["metadata"]["segment"] == "Energy"
        products = sorted((ours(one["metadata"]) for one in here.stripe.objects(ACCOUNT, "product")), key=str)
        assert products == [{"family": "Heat"}, {"family": "Power"}]
        prices = {price["unit_amount"]: ours(price["metadata"]) for price in here.stripe.objects(ACCOUNT, "price")}
        assert prices == {1000: {"article": "Power", "tier": "gold"}, 500: {"article": "Heat"}}
        schedule = here.schedule()
        assert ours(schedule["metadata"]) == {"purchase_order": "PO-1", "billed_to": "Energy"}
        (phase,) = schedule["phases"]
        assert ours(phase["metadata"])["campaign"] == "Spring"
        items = sorted((ours(item["metadata"]) for item in phase["items"]), key=str)
        assert items == [{"cost_centre": "4711", "reference": "PO-1", "seats": "3"}, {"reference": "PO-1", "seats": "1"}]

    def test_our_own_keys_are_there_as_well(self, here: World) -> None:
        deal = sold(here)
        schedule = here.schedule()
        (phase,) = schedule["phases"]
        assert schedule["metadata"]["salesforce_contract_id"] == phase["metadata"]["salesforce_contract_id"] == deal.contract
        assert phase["items"][0]["metadata"]["salesforce_order_item_ids"] == deal.line
        assert here.stripe.objects(ACCOUNT, "price")[0]["metadata"]["salesforce_pricebook_entry_id"] == deal.entry

    def test_a_custom_price_carries_what_its_entry_and_product_say(self, here: World) -> None:
        account, entry = here.account(), entry_of(here, "Power", "gold")
        here.run(here.order(account, here.contract(account), line(entry, UnitPrice=9)))
        (price,) = here.stripe.objects(ACCOUNT, "price")
        assert ours(price["metadata"]) == {"article": "Power", "tier": "gold"}

    def test_what_is_too_long_is_cut(self, here: World) -> None:
        here.mapping = read_mapping('metadata.schedule.text = "Long__c"\nmetadata.phase.text = "Long__c"')
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry()), Long__c="x" * 501)
        assert here.run(order).outcome == "synced"
        for carrier in (here.schedule(), here.schedule()["phases"][0]):
            assert carrier["metadata"]["text"] == "x" * 500

    def test_several_orders_in_one_phase(self, here: World) -> None:
        account, entry, other = here.account(), here.entry(), here.entry()
        contract = here.contract(account)
        first = here.order(account, contract, line(entry), Reference__c="PO-1", Campaign__c="Spring")
        here.run(first)
        here.clock.advance(MOMENT)
        second = here.order(
            account, contract, line(other, "2027-05-01"), Reference__c="PO-2", Campaign__c="Autumn", EffectiveDate="2027-05-01"
        )
        assert here.run(second).outcome == "synced"
        schedule = here.schedule()
        assert ours(schedule["metadata"])["purchase_order"] == "PO-1", "the original order's"
        assert [ours(phase["metadata"])["campaign"] for phase in schedule["phases"]] == ["Spring", "Spring, Autumn"]
        assert [ours(item["metadata"])["reference"] for item in schedule["phases"][1]["items"]] == ["PO-1", "PO-2"]
        here.clock.advance(MOMENT)
        assert here.run(second).outcome == "unchanged"

    def test_several_lines_of_one_item(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        lines = [line(entry, Cost_Centre__c=centre) for centre in ("1", "2", "1")]
        order = here.order(account, here.contract(account), *lines)
        assert here.run(order, quantity_conflict="sum").outcome == "synced"
        ((item,),) = [phase["items"] for phase in here.schedule()["phases"]]
        assert item["metadata"]["cost_centre"] == "1, 2"

    def test_a_changed_value_alone_is_no_reason_to_write(self, here: World) -> None:
        """It goes along with the next change."""
        deal = sold(here)
        here.salesforce.update("Order", deal.order, {"Reference__c": "PO-9"})
        assert here.run(deal.order).outcome == "unchanged"
        here.clock.advance(MOMENT)
        here.salesforce.update("OrderItem", deal.line, {"Quantity": 2})
        assert here.change_line(deal.line).outcome == "synced"
        assert ours(here.schedule()["metadata"])["purchase_order"] == "PO-9"

    def test_a_preview_shows_it(self, here: World) -> None:
        account = here.account(Industry="Energy")
        order = here.order(account, here.contract(account), line(here.entry(), Cost_Centre__c="4711"), Reference__c="PO-1")
        params = here.previews().run(order).params
        assert ours(params["metadata"]) == {"purchase_order": "PO-1", "billed_to": "Energy"}
        assert ours(params["phases"][0]["items"][0]["metadata"])["cost_centre"] == "4711"


class TestDefaults:
    INVOICES = '[defaults]\ncollection_method = "send_invoice"\ndays_until_due = 30'

    def chosen(self, text: str) -> dict[str, Any]:
        """The mapping and the policies that come of it, as in the settings."""
        mapping = read_mapping(text)
        stated = mapping.defaults
        return {"mapping": mapping, "collection_method": stated.collection_method, "days_until_due": stated.days_until_due}

    def test_the_collection_method_and_the_days(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        flow = here.flow(**self.chosen(self.INVOICES))
        for fields, expected in (
            ({}, ("send_invoice", 30)),
            ({"Stripe_Days_Until_Due__c": 14}, ("send_invoice", 14)),
            ({"Stripe_Collection_Method__c": "charge_automatically"}, ("charge_automatically", None)),
        ):
            order = here.order(account, here.contract(account), line(entry), **fields)
            assert here.run(order, flow).outcome == "synced"
            (phase,) = here.schedules()[-1]["phases"]
            assert (phase["collection_method"], (phase["invoice_settings"] or {}).get("days_until_due")) == expected
            assert here.run(order, flow).outcome == "unchanged"

    def test_an_interval(self, here: World) -> None:
        account, bare, yearly = here.account(), here.entry(interval=None), here.entry(interval="year")
        order = here.order(account, here.contract(account), line(bare), line(yearly))
        flow = here.flow(**self.chosen('defaults = {interval = "month", interval_count = 3}'))
        assert here.run(order, flow).outcome == "synced"
        recurring = [one["recurring"] for one in here.stripe.objects(ACCOUNT, "price")]
        assert sorted((one["interval"], one["interval_count"]) for one in recurring) == [("month", 3), ("year", 1)]

    def test_without_it_an_interval_is_missed(self, here: World) -> None:
        account = here.account()
        assert codes(here.run(here.order(account, here.contract(account), line(here.entry(interval=None))))) == [
            "missing_interval"
        ]
