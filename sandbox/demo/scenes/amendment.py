"""A change order with discounts: coupons are made for what is new, what runs keeps its own, and a discount of 0 is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orderphase.domain.consolidation import consolidate
from orderphase.domain.policies import Policies
from orderphase.timeline import timeline_lines
from sandbox.demo.report import Block, Paragraph, Picture, Raw, Scene, Table, equal
from sandbox.demo.schedules import agrees, coupon_places, product_names
from sandbox.demo.shop import Shop, line
from sandbox.demo.sync_log import log_table
from sandbox.demo.world import World

EVERYTHING = "everything"
BEFORE, PERCENT, AMOUNT = "10", "20", "50.00"
RUNNING = ("phase 1", "Platform")
LATER = ("phase 2", "Platform")
NEW = ("phase 2", "Analytics")
ALL = ("phase 2", EVERYTHING)
WORTH = ["10% off", "10% off", "20% off", "50.00 USD off"]
OUTCOMES = ["synced", "synced", "unchanged", "synced"]


def play(world: World, shop: Shop) -> Scene:
    """Amend a contract that runs at a discount, repeat the event, and take one discount away again."""
    sold = shop.draft(line("Platform", "1", (0, 12), Stripe_Discount_Percent_Off__c=BEFORE))
    world.activate(sold.order_id)
    before = _coupons(world, sold.contract_id)
    new = line("Analytics", "5", (3, 12), Stripe_Discount_Percent_Off__c=PERCENT)
    change = shop.change(sold.contract_id, new, Stripe_Discount_Amount_Off__c=AMOUNT)
    order, _ = world.activate(change.order_id)
    orders = world.orders(change.order_id)
    consolidated = consolidate(orders, Policies())
    schedules = world.schedules(sold.contract_id)
    amended = _coupons(world, sold.contract_id)
    event = world.org.notifications(change.order_id)[0]["event"]
    repeated = world.send(world.deliver(event | {"id": f"{event['id']}-again"}))
    world.sync_log(sold.contract_id, entries=3)
    same = _coupons(world, sold.contract_id)
    world.org.update("OrderItem", change.line_ids[0], Stripe_Discount_Percent_Off__c=0)
    entries = world.sync_log(sold.contract_id, entries=4)
    world.settle()
    without = _coupons(world, sold.contract_id)
    used = {coupon: world.stripe.coupons.retrieve(coupon).to_dict() for coupon in {*before.values(), *amended.values()}}
    blocks: list[Block] = [
        Paragraph(
            f"Order {order['OrderNumber']} adds five seats of Analytics from the fourth month on, at {PERCENT} percent off, "
            f"and takes {AMOUNT} USD off everything from then on. Platform runs at {BEFORE} percent off: its phase becomes "
            "shorter, and its discount stays what it is. Each new use of a discount gets a coupon. The same event again makes "
            f"none. Then the {PERCENT} percent become 0, which means no discount."
        ),
        Picture("What was ordered by now, and the phases that follow", timeline_lines(orders), consolidated),
        Table(
            "Coupons by the places where they are used",
            ("Place", "Before", "With the change order", f"Without the {PERCENT} percent"),
            [_cells(place, before, amended, without) for place in (RUNNING, LATER, NEW, ALL)],
        ),
        log_table(entries),
        Raw("The schedule with the change order, as Stripe had it", schedules),
        Raw("The sync log", entries),
    ]
    return Scene(
        "A discounted amendment",
        "A contract that is billed at a discount gets a change order with two discounts of its own.",
        blocks,
        [
            equal("The change order says Synced", order["Stripe_Sync_Status__c"], "Synced"),
            agrees(consolidated, schedules),
            equal("Every discount is where it was sold", {*amended}, {RUNNING, LATER, NEW, ALL}),
            equal("What runs keeps its coupon", amended[RUNNING], before[RUNNING]),
            equal("The same event again makes no coupon", (repeated, same), (202, amended)),
            equal(
                "A discount of 0 is taken away, the others keep their coupons",
                without,
                {place: amended[place] for place in (RUNNING, LATER, ALL)},
            ),
            equal("There are four coupons, worth what was sold", sorted(map(_worth, used.values())), WORTH),
            equal("The event that came again found nothing to do", [one["outcome"] for one in entries], OUTCOMES),
        ],
    )


def _coupons(world: World, contract_id: str) -> dict[tuple[str, str], str]:
    """The coupons of a contract's one schedule, by the place where each is used."""
    (schedule,) = world.schedules(contract_id)
    names, running = product_names(world.stripe, schedule), world.redeemed(schedule["subscription"])
    places = sorted(coupon_places(schedule), key=lambda found: (found[1], found[2] is None))
    return {
        (place, EVERYTHING if price is None else names[price]): running.get(coupon, coupon) for coupon, place, price in places
    }


def _worth(coupon: Mapping[str, Any]) -> str:
    return str(coupon["name"])


def _cells(place: tuple[str, str], *found: Mapping[tuple[str, str], str]) -> tuple[str, ...]:
    # The end of an id is what makes it one of its own.
    return (", ".join(place), *(f"…{one[place][-6:]}" if place in one else "" for one in found))
