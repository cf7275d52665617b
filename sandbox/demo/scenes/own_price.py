"""Two orders sell at the same price that is not the price book's: one Stripe price for both, and the price book stays."""

from __future__ import annotations

from sandbox.demo.report import Block, Paragraph, Raw, Scene, Table, equal, steps
from sandbox.demo.schedules import amount_of, price_of, quantities, schedule_table
from sandbox.demo.shop import CUSTOMER, PRICES, Shop, line
from sandbox.demo.sync_log import log_table
from sandbox.demo.world import World

PRODUCT, SOLD_AT = "Analytics", "99.50"
SEATS = ("25", "40")


def play(world: World, shop: Shop) -> Scene:
    """Sell the same product twice at a price of its own."""
    book = world.org.record("PricebookEntry", shop.entry_ids[PRODUCT])
    writes, schedules, entries, orders = [world.writes()], [], [], []
    for seats in SEATS:
        sold = shop.draft(line(PRODUCT, seats, (0, 12), UnitPrice=SOLD_AT))
        orders.append(world.activate(sold.order_id)[0])
        schedules += world.schedules(sold.contract_id)
        entries += world.sync_log(sold.contract_id)
        world.settle()
        writes.append(world.writes())
    billed = {price for schedule in schedules for phase in schedule["phases"] for price in quantities(phase)}
    prices = [price_of(world.stripe, price) for price in (book["Stripe_Price_Id__c"], *sorted(billed))]
    known = world.stripe.prices.list({"product": prices[0]["product"]["id"], "limit": 100}).data
    blocks: list[Block] = [
        Paragraph(
            f"The lines say {SOLD_AT}, the price book {PRICES[PRODUCT]}, and no Stripe price is named. So a price is made of "
            "what they say, once: it is found again by a lookup key that is made of product, currency, amount and interval. "
            "Nothing is written to the price book."
        ),
        *(schedule_table(world.stripe, schedule) for schedule in schedules),
        Table(
            "Prices of Analytics in Stripe",
            ("Price", "Amount", "Lookup key"),
            [(one["id"], amount_of(one), str(one["lookup_key"])) for one in prices],
        ),
        log_table(entries),
        Raw("The prices, as Stripe has them", prices),
        Raw("The sync log", entries),
    ]
    return Scene(
        "A price of its own",
        f"{CUSTOMER} gets {PRODUCT} at {SOLD_AT} USD a seat, in two orders.",
        blocks,
        [
            equal("Both orders say Synced", [one["Stripe_Sync_Status__c"] for one in orders], ["Synced", "Synced"]),
            equal(
                "Both bill one price, at what the lines say", [amount_of(one) for one in prices[1:]], [f"{SOLD_AT} USD a month"]
            ),
            equal("Stripe has that one and the price book's", {one.id for one in known}, {one["id"] for one in prices}),
            equal("The first order wrote price and schedule, the second the schedule", steps(writes), [2, 1]),
            equal("The price book is as it was", world.org.record("PricebookEntry", book["Id"]), book),
        ],
    )
