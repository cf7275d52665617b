"""A change order that is entered and not activated: the preview shows what it would do, and does nothing."""

from __future__ import annotations

import json
from typing import Any

from orderphase.stripe.account import side_by_side
from sandbox.demo.report import Block, Output, Paragraph, Raw, Scene, equal
from sandbox.demo.shop import CUSTOMER, PRICES, Draft, Shop, line
from sandbox.demo.world import World
from sandbox.stack import STACK_NAME

PHASES = 3


def enter(shop: Shop, sold: Draft) -> Draft:
    """Enter the change order: four seats of Analytics from the third month on, until the ten that were ordered begin."""
    return shop.change(sold.contract_id, line("Analytics", "4", (2, 5)))


def play(world: World, sold: Draft, change: Draft) -> tuple[Scene, dict[str, Any]]:
    """Preview the order; answers also the preview as JSON, for what follows."""
    before = world.writes()
    shown, answered = side_by_side(lambda options: world.preview(change.order_id, *options), [(), ("--json",)])
    preview: dict[str, Any] = json.loads(answered.stdout or "{}")
    (schedule,) = world.schedules(sold.contract_id)
    invoices = preview.get("invoices", [])
    order = world.org.record("Order", change.order_id)
    blocks: list[Block] = [
        Paragraph(
            f"Order {order['OrderNumber']} is a draft. The preview reads Salesforce and Stripe as the function would, and "
            "shows what its activation would change, what Stripe would invoice, and the very request."
        ),
        Output(f"orderphase preview {change.order_id} --stack {STACK_NAME}", shown.stdout + shown.stderr),
        Raw("The same as JSON", preview or answered.stderr),
    ]
    scene = Scene(
        "A change order, seen before it is done",
        f"{CUSTOMER} wants Analytics earlier: four seats in the third month already, until the ten begin in the sixth.",
        blocks,
        [
            equal("The command finds nothing wrong", (shown.returncode, answered.returncode), (0, 0)),
            equal("It would be one update of the schedule that runs", preview.get("request"), _update(schedule)),
            equal("There would be three phases", len(preview.get("phases", [])), PHASES),
            equal(
                "Stripe itself says what the next invoice comes to",
                [(one["total"], one["exact"], one["problem"]) for one in invoices[:1]],
                [(PRICES["Platform"], True, None)],
            ),
            equal("Nothing was written to Stripe", world.writes() - before, 0),
            equal("Nothing was written to the order", (order["Status"], order["Stripe_Sync_Status__c"]), ("Draft", None)),
        ],
    )
    return scene, preview


def _update(schedule: dict[str, Any]) -> str:
    return f"POST /v1/subscription_schedules/{schedule['id']}"
