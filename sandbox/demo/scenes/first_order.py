"""Two products, one of which starts later: one contract, one schedule, two phases."""

from __future__ import annotations

from typing import Any

from orderphase.domain.consolidation import consolidate
from orderphase.domain.policies import Policies
from orderphase.timeline import timeline_lines
from sandbox.demo.report import Block, Paragraph, Picture, Raw, Scene, Table, equal
from sandbox.demo.schedules import agrees, product_names, schedule_table
from sandbox.demo.shop import CUSTOMER, Draft, Shop, line
from sandbox.demo.sync_log import log_table
from sandbox.demo.world import World

PHASES = 2
STATUS = ("Stripe_Sync_Status__c", "Stripe_Synced_At__c")
SCHEDULE, SUBSCRIPTION = "Stripe_Subscription_Schedule_Id__c", "Stripe_Subscription_Id__c"
PRICE = "Stripe_Price_Id__c"


def sell(shop: Shop) -> Draft:
    """Enter the order: Platform for twelve months, Analytics from the sixth month on."""
    return shop.draft(line("Platform", "1", (0, 12)), line("Analytics", "10", (5, 12)))


def play(world: World, shop: Shop, sold: Draft) -> Scene:
    """Activate the order and show what became of it."""
    order, seconds = world.activate(sold.order_id)
    orders = world.orders(sold.order_id)
    consolidated = consolidate(orders, Policies())
    schedules = world.schedules(sold.contract_id)
    entries = world.sync_log(sold.contract_id, entries=1)
    sent = world.org.notifications(sold.order_id)
    written = _written_back(world, shop, sold, order)
    known = [_known_to_stripe(schedule, product_names(world.stripe, schedule)) for schedule in schedules]
    ids = {place: value for place, value in written.items() if place[1] not in STATUS}
    accepted = [attempt["status"] for delivery in sent for attempt in delivery["attempts"]]
    blocks: list[Block] = [
        Paragraph(
            f"Order {order['OrderNumber']} is activated. Salesforce posts a signed event to the gateway; {seconds:.1f} seconds "
            "later, most of them the first start of the functions, the order says Synced. Customer, products and prices were "
            "not in Stripe before, so they were created first."
        ),
        Picture("What was ordered, and the phases that follow", timeline_lines(orders), consolidated),
        *(schedule_table(world.stripe, schedule) for schedule in schedules),
        Table(
            "Written back to Salesforce",
            ("Record", "Field", "Value"),
            [(*place, str(value)) for place, value in written.items()],
        ),
        log_table(entries),
        Raw("The event", sent),
        Raw("The schedule, as Stripe has it", schedules),
        Raw("The sync log", entries),
    ]
    return Scene(
        "A first order",
        f"{CUSTOMER} orders Platform for twelve months, and ten seats of Analytics from the sixth month on.",
        blocks,
        [
            equal("The gateway took the event", accepted, [202]),
            equal("The order says Synced", order["Stripe_Sync_Status__c"], "Synced"),
            equal("The contract has exactly one schedule", len(schedules), 1),
            equal("The schedule has two phases", [len(schedule["phases"]) for schedule in schedules], [PHASES]),
            agrees(consolidated, schedules),
            equal("Salesforce names what Stripe has: schedule, subscription, customer, prices", [ids], known),
            equal("The sync log says synced", [entry["outcome"] for entry in entries], ["synced"]),
        ],
    )


def _written_back(world: World, shop: Shop, sold: Draft, order: dict[str, Any]) -> dict[tuple[str, str], str | None]:
    """What Salesforce knows of Stripe now, by record and field."""
    records = {
        "Order": order,
        "Contract": world.org.record("Contract", sold.contract_id),
        "Account": world.org.record("Account", shop.account_id),
        **{f"Price of {name}": world.org.record("PricebookEntry", entry) for name, entry in shop.entry_ids.items()},
    }
    fields = {
        "Order": (*STATUS, SCHEDULE, SUBSCRIPTION),
        "Contract": (SCHEDULE, SUBSCRIPTION),
        "Account": ("Stripe_Customer_Id__c",),
    }
    return {(record, field): values[field] for record, values in records.items() for field in fields.get(record, (PRICE,))}


def _known_to_stripe(schedule: dict[str, Any], prices: dict[str, str]) -> dict[tuple[str, str], str]:
    """The same, as Stripe has it; `prices` are the names of the products by price."""
    return {
        ("Order", SCHEDULE): schedule["id"],
        ("Order", SUBSCRIPTION): schedule["subscription"],
        ("Contract", SCHEDULE): schedule["id"],
        ("Contract", SUBSCRIPTION): schedule["subscription"],
        ("Account", "Stripe_Customer_Id__c"): schedule["customer"],
        **{(f"Price of {name}", PRICE): price for price, name in prices.items()},
    }
