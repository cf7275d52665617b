"""The change order, activated: the schedule that runs is updated once, by the request that was previewed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orderphase.domain.consolidation import consolidate
from orderphase.domain.policies import Policies
from orderphase.timeline import timeline_lines
from sandbox.demo.report import Block, Check, Paragraph, Picture, Raw, Scene, equal
from sandbox.demo.schedules import agrees, running, schedule_table
from sandbox.demo.shop import Draft
from sandbox.demo.sync_log import log_table
from sandbox.demo.world import World

IDS = ("Stripe_Subscription_Schedule_Id__c", "Stripe_Subscription_Id__c")
# The schedule is read, and changed.
CALLS = 2


def play(world: World, sold: Draft, change: Draft, previewed: Mapping[str, Any]) -> Scene:
    """Activate the change order and show what became of the schedule."""
    (before,) = world.schedules(sold.contract_id)
    writes = world.writes()
    order, seconds = world.activate(change.order_id)
    orders = world.orders(change.order_id)
    consolidated = consolidate(orders, Policies())
    schedules = world.schedules(sold.contract_id)
    entries = world.sync_log(sold.contract_id, entries=2)[-1:]
    written = world.writes() - writes
    first = world.org.record("Order", sold.order_id)
    blocks: list[Block] = [
        Paragraph(
            f"Order {order['OrderNumber']} is activated; {seconds:.1f} seconds later it says Synced. All orders of the "
            "contract were read and made into phases anew. Stripe got two requests: one read the schedule, one changed it."
        ),
        Picture("What was ordered by now, and the phases that follow", timeline_lines(orders), consolidated),
        schedule_table(world.stripe, before, "In Stripe before"),
        *(schedule_table(world.stripe, schedule, "In Stripe after") for schedule in schedules),
        log_table(entries),
        Raw("The schedule before, as Stripe had it", before),
        Raw("The schedule after, as Stripe has it", schedules),
        Raw("The sync log", entries),
    ]
    return Scene(
        "The change order",
        "The change order is activated, in the middle of a contract that is billed already.",
        blocks,
        [
            equal("The order says Synced", order["Stripe_Sync_Status__c"], "Synced"),
            equal("It is the same schedule", [one["id"] for one in schedules], [before["id"]]),
            equal("Both orders name it", [order[name] for name in IDS], [first[name] for name in IDS]),
            agrees(consolidated, schedules),
            equal("What runs now goes on as it was", [running(one) for one in schedules], [running(before)]),
            equal("Stripe was written to once", written, 1),
            equal("Stripe got two requests in all", [entry["calls"]["stripe"] for entry in entries], [CALLS]),
            Check(
                "The request was the one that the preview has shown",
                bool(schedules) and world.was_sent(schedules[0], previewed.get("params", {})),
                "another request",
            ),
        ],
    )
