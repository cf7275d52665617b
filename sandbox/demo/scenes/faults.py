"""An order with three faults: nothing reaches Stripe, and the order says what to do about each."""

from __future__ import annotations

from orderphase.domain.consolidation import consolidate
from orderphase.domain.policies import Policies
from orderphase.timeline import timeline_lines
from sandbox.demo.report import Block, Paragraph, Picture, Raw, Scene, Table, equal
from sandbox.demo.shop import Shop, line
from sandbox.demo.sync_log import log_table
from sandbox.demo.world import World

CODES = ["discount_conflict", "fractional_quantity", "phase_gap"]


def play(world: World, shop: Shop) -> Scene:
    """Sell something impossible and show how it is refused."""
    before = world.writes()
    both = {"Stripe_Discount_Percent_Off__c": "10", "Stripe_Discount_Amount_Off__c": "25.00"}
    sold = shop.draft(
        line("Platform", "1", (0, 3)),
        line("Platform", "2.5", (6, 12)),
        line("Analytics", "10", (6, 12), **both),
    )
    order, seconds = world.activate(sold.order_id)
    entries = world.sync_log(sold.contract_id, entries=1)
    orders = world.orders(sold.order_id)
    consolidated = consolidate(orders, Policies())
    findings = [finding for entry in entries for finding in entry["findings"]]
    requests = sum(entry["calls"]["stripe"] for entry in entries)
    message = order["Stripe_Sync_Message__c"] or ""
    paragraphs = [(paragraph,) for paragraph in message.split("\n")]
    blocks: list[Block] = [
        Paragraph(
            f"Order {order['OrderNumber']} says Failed after {seconds:.1f} seconds. All that is wrong is told at once, "
            "so it can be corrected at once. Stripe got no request."
        ),
        Picture("What was ordered, and what is in the way", timeline_lines(orders), consolidated, words=False),
        Table("Stripe_Sync_Message__c on the order", ("What is wrong, and what to do",), paragraphs),
        log_table(entries),
        Raw("The order, as Salesforce has it", order),
        Raw("The sync log", entries),
    ]
    told = [one["code"] for one in findings if one["message"] in message and one["remedy"] in message]
    return Scene(
        "An order that cannot be billed",
        "Three months without any product, two and a half platforms, and a line with two discounts.",
        blocks,
        [
            equal("The order says Failed", order["Stripe_Sync_Status__c"], "Failed"),
            equal("All three faults are found", sorted(one["code"] for one in findings), CODES),
            equal("Each is told on the order, with its remedy", sorted(told), CODES),
            equal("The contract has no schedule", world.schedules(sold.contract_id), []),
            equal("Nothing was written to Stripe", world.writes() - before, 0),
            equal("Stripe was not even asked", requests, 0),
        ],
    )
