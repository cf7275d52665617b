"""Two contracts end: one on a date to come, one at once. An event that comes late does not bring it back."""

from __future__ import annotations

from typing import Any

from sandbox.demo.report import Block, Paragraph, Raw, Scene, Table, equal
from sandbox.demo.schedules import running, schedule_table, shown
from sandbox.demo.shop import Draft, Shop
from sandbox.demo.sync_log import log_table
from sandbox.demo.world import CANCELLED, World

MONTHS = 3


def play(world: World, shop: Shop, dated: Draft, at_once: Draft) -> Scene:
    """Ask for both ends, then send the activation of the contract that is over once more."""
    both, end = (dated, at_once), shop.day(MONTHS)
    (before,) = world.schedules(dated.contract_id)
    logged = [len(world.sync_log(sold.contract_id)) for sold in both]
    writes = world.writes()
    requests = [({"mode": "on_date", "date": end}, dated), ({"mode": "now"}, at_once)]
    asked = [world.cancel(sold.order_id, **how) for how, sold in requests]
    written = world.writes() - writes
    activation = world.org.notifications(at_once.order_id)[0]["event"]
    world.send(world.deliver(activation | {"id": f"{activation['id']}-late"}))
    runs = (1, 2)
    entries = [
        entry
        for sold, known, new in zip(both, logged, runs, strict=True)
        for entry in world.sync_log(sold.contract_id, entries=known + new)[known:]
    ]
    world.settle()
    orders = [order for _, order, _ in asked]
    ends, ended = (world.schedules(sold.contract_id) for sold in both)
    blocks: list[Block] = [
        Paragraph(
            f"A signed event asks for each, as a button in the org would. The order with discounts ends on {end}: its schedule "
            "is shortened, and the discount that runs stays. The first contract ends now: its schedule is cancelled with its "
            "subscription. Then the first order's activation arrives once more, and the contract stays cancelled."
        ),
        *(schedule_table(world.stripe, schedule) for schedule in [*ends, *ended]),
        Table(
            "The orders",
            ("Order", "Status", "Message"),
            [(order["OrderNumber"], order["Stripe_Sync_Status__c"], order["Stripe_Sync_Message__c"]) for order in orders],
        ),
        log_table(entries),
        Raw("The schedules, as Stripe has them", [*ends, *ended]),
        Raw("The sync log", entries),
    ]
    return Scene(
        "Two cancellations",
        "One contract is to end in three months, another one at once.",
        blocks,
        [
            equal("The gateway took both", [status for status, _, _ in asked], [202, 202]),
            equal("Both orders say Cancelled", [order["Stripe_Sync_Status__c"] for order in orders], [CANCELLED] * 2),
            equal("The one ends on its day", [_end(schedule) for schedule in ends], [("active", end, "cancel")]),
            equal("Until then it is billed as before", [running(schedule) for schedule in ends], [running(before)]),
            equal("The other one is over", [schedule["status"] for schedule in ended], ["canceled"]),
            equal("Stripe was written to once for each", written, len(both)),
            equal("The late event has changed nothing", (world.writes() - writes, entries[-1]["outcome"]), (2, "unchanged")),
        ],
    )


def _end(schedule: dict[str, Any]) -> tuple[str, str, str]:
    return schedule["status"], shown(schedule["phases"][-1]["end_date"]), schedule["end_behavior"]
