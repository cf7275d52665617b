"""A line of an activated order is corrected: the whole configuration is sent again, and takes the place of the old one."""

from __future__ import annotations

from orderphase.domain.consolidation import consolidate
from orderphase.domain.policies import Policies
from sandbox.demo.report import Block, Paragraph, Raw, Scene, equal
from sandbox.demo.schedules import agrees, product_names, schedule_table
from sandbox.demo.shop import CUSTOMER, Draft
from sandbox.demo.sync_log import log_table
from sandbox.demo.world import World

PRODUCT, QUANTITY = "Platform", 2
PHASES = 3


def play(world: World, sold: Draft) -> Scene:
    """Change the quantity of the first order's first line, and show what Stripe bills then."""
    writes, logged = world.writes(), len(world.sync_log(sold.contract_id))
    line_id = sold.line_ids[0]
    world.org.update("OrderItem", line_id, Quantity=QUANTITY)
    entries = world.sync_log(sold.contract_id, entries=logged + 1)[logged:]
    sent = world.org.notifications(line_id)
    order = world.org.record("Order", sold.order_id)
    schedules = world.schedules(sold.contract_id)
    billed = [
        item["quantity"]
        for schedule in schedules
        for names in [product_names(world.stripe, schedule)]
        for phase in schedule["phases"]
        for item in phase["items"]
        if names[item["price"]] == PRODUCT
    ]
    blocks: list[Block] = [
        Paragraph(
            f"The first line of order {order['OrderNumber']} says {QUANTITY} now. The org tells which field has changed; the "
            "run reads the contract and sends all phases anew. The line counts from the first day on, so the phase that runs "
            "is changed as it stands, and Stripe prorates what is left of the month."
        ),
        *(schedule_table(world.stripe, schedule) for schedule in schedules),
        log_table(entries),
        Raw("The event", sent),
        Raw("The schedule, as Stripe has it", schedules),
        Raw("The sync log", entries),
    ]
    return Scene(
        "A line that is corrected",
        f"{CUSTOMER} has meant two of {PRODUCT}. The quantity is changed on the line of the activated order.",
        blocks,
        [
            equal("The org tells what has changed", [one["event"]["data"]["changed_fields"] for one in sent], [["Quantity"]]),
            equal("The sync log says synced", [entry["outcome"] for entry in entries], ["synced"]),
            equal("The contract still has exactly one schedule", len(schedules), 1),
            equal("Every phase bills two of Platform", billed, [QUANTITY] * PHASES),
            agrees(consolidate(world.orders(sold.order_id), Policies()), schedules),
            equal("Stripe was written to once", world.writes() - writes, 1),
        ],
    )
