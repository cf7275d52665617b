"""A second order of a customer that Stripe knows already, with a discount on the order and one on a line."""

from __future__ import annotations

from orderphase.domain.consolidation import consolidate
from orderphase.domain.policies import Policies
from orderphase.timeline import timeline_lines
from sandbox.demo.report import Block, Paragraph, Picture, Raw, Scene, Table, equal
from sandbox.demo.schedules import agrees, coupon_places, schedule_table
from sandbox.demo.shop import CUSTOMER, Draft, Shop, line
from sandbox.demo.sync_log import log_table
from sandbox.demo.world import World

PERCENT, AMOUNT = "10", "25.00"

# Phase 1 and phase 2 as a whole, and Analytics in phase 2.
COUPONS = 3


def sell(shop: Shop) -> Draft:
    """Enter the order."""
    discounted = line("Analytics", "20", (6, 12), Stripe_Discount_Amount_Off__c=AMOUNT)
    return shop.draft(line("Platform", "2", (0, 12)), discounted, Stripe_Discount_Percent_Off__c=PERCENT)


def play(world: World, sold: Draft) -> Scene:
    """Activate it and show where the coupons went."""
    before, customers = world.writes(), world.customers()
    order, seconds = world.activate(sold.order_id)
    orders = world.orders(sold.order_id)
    consolidated = consolidate(orders, Policies())
    schedules = world.schedules(sold.contract_id)
    entries = world.sync_log(sold.contract_id, entries=1)
    places = [place for schedule in schedules for place in coupon_places(schedule)]
    coupons = {coupon: world.stripe.coupons.retrieve(coupon).to_dict() for coupon, _, _ in places}
    names = {line.entry.price_id: line.name for order in orders for line in order.lines if line.entry}
    used = [
        (coupons[coupon]["name"], f"{place}, {'everything' if price is None else names[price]}", coupon)
        for coupon, place, price in places
    ]
    blocks: list[Block] = [
        Paragraph(
            f"Order {order['OrderNumber']} says Synced after {seconds:.1f} seconds. Customer and prices are known by now, so "
            f"Stripe got {entries[0]['calls']['stripe']} requests: a coupon for each use of a discount, and the schedule."
        ),
        Picture("What was ordered, and the phases that follow", timeline_lines(orders), consolidated),
        *(schedule_table(world.stripe, schedule) for schedule in schedules),
        Table("Coupons, each good for one use", ("Coupon", "Used for", "Id"), used),
        log_table(entries),
        Raw("The schedule, as Stripe has it", schedules),
        Raw("The coupons, as Stripe has them", list(coupons.values())),
        Raw("The sync log", entries),
    ]
    return Scene(
        "An order with discounts",
        f"{CUSTOMER} orders again: {PERCENT} percent off everything, and {AMOUNT} USD off Analytics, from month seven on.",
        blocks,
        [
            equal("The order says Synced", order["Stripe_Sync_Status__c"], "Synced"),
            equal("The contract has exactly one schedule", len(schedules), 1),
            agrees(consolidated, schedules),
            equal("Every discount has a coupon of its own", (len(places), len(coupons)), (COUPONS, COUPONS)),
            equal(
                "The coupons are worth what the order says",
                sorted((one["percent_off"], one["amount_off"]) for one in coupons.values() if one["percent_off"])
                + [(one["percent_off"], one["amount_off"]) for one in coupons.values() if one["amount_off"]],
                [(10.0, None), (10.0, None), (None, 2500)],
            ),
            equal("There is no new customer", world.customers(), customers),
            equal("Stripe was written to for coupons and schedule alone", world.writes() - before, COUPONS + 1),
        ],
    )
