"""The account's address changes; the customer in Stripe follows with the account's next order, and is told once."""

from __future__ import annotations

from typing import Any

from sandbox.demo.report import Block, Paragraph, Raw, Scene, Table, equal, steps
from sandbox.demo.shop import CUSTOMER, Shop, line
from sandbox.demo.sync_log import log_table
from sandbox.demo.world import World

CITY = "Porto"
PHONE = "+351 22 555 0100"


def play(world: World, shop: Shop) -> Scene:
    """Move the account, change something of the customer in Stripe, and order what was made in Stripe, twice."""
    customer = str(world.org.record("Account", shop.account_id)["Stripe_Customer_Id__c"])
    before = _customer(world, customer)
    world.stripe.customers.update(customer, {"phone": PHONE})
    world.org.update("Account", shop.account_id, BillingCity=CITY)
    meanwhile = _customer(world, customer)
    writes = [world.writes()]
    orders, entries = [], []
    for _ in range(2):
        sold = shop.draft(line("Support", "1", (0, 12)))
        orders.append(world.activate(sold.order_id)[0])
        entries += world.sync_log(sold.contract_id)
        world.settle()
        writes.append(world.writes())
    after = _customer(world, customer)
    blocks: list[Block] = [
        Paragraph(
            "Salesforce is the source: what the account says goes to the customer when an order is synced, and only what has "
            "changed. A phone number that was added in Stripe stays, as the account says nothing about it. The second order "
            "finds nothing to tell."
        ),
        Table(
            f"The customer {customer}",
            ("", "City", "Phone"),
            [
                (when, one["address"]["city"], one["phone"] or "")
                for when, one in (("before", before), ("the account has moved", meanwhile), ("after the order", after))
            ],
        ),
        log_table(entries),
        Raw("The customer, as Stripe has it", after),
        Raw("The sync log", entries),
    ]
    return Scene(
        "An account that has moved",
        f"{CUSTOMER} moves to {CITY}, and then orders Support, which was made in Stripe.",
        blocks,
        [
            equal("Both orders say Synced", [one["Stripe_Sync_Status__c"] for one in orders], ["Synced", "Synced"]),
            equal("The customer did not change before the order", meanwhile["address"], before["address"]),
            equal("With the order the address followed", after["address"], {**before["address"], "city": CITY}),
            equal("What was added in Stripe is still there", after["phone"], PHONE),
            equal("The first order wrote customer and schedule, the second the schedule", steps(writes), [2, 1]),
        ],
    )


def _customer(world: World, customer: str) -> dict[str, Any]:
    return world.stripe.customers.retrieve(customer).to_dict()
