"""A product and its price are made in Stripe and appear in the price book; another price takes its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.demo.report import Block, Paragraph, Raw, Scene, Table, equal
from sandbox.demo.shop import Shop
from sandbox.demo.sync_log import log_table
from sandbox.demo.world import World

PRODUCT, DESCRIPTION = "Support", "An answer within the hour"
AMOUNT, RAISED = 99, 109
PRICE = "Stripe_Price_Id__c"
TERMS = ("UnitPrice", "Stripe_Billing_Interval__c", "IsActive", PRICE)
NOTHING_WRITTEN = {"unchanged", "skipped"}


def play(world: World, shop: Shop) -> Scene:
    """Do in Stripe what people do in its Dashboard, and show what Salesforce makes of it. The shop sells it from then on."""
    products, prices = world.stripe.products, world.stripe.prices
    # The event of the price overtakes that of the product.
    with world.unheard():
        product = products.create({"name": PRODUCT, "description": DESCRIPTION}).id
        first = _price(world, product, AMOUNT)
        products.update(product, {"default_price": first})
        event = world.stripe_event("price.created", first)
        answers = [world.tell(event)]
        listed = world.listed(first)
    world.settle()
    second = _price(world, product, RAISED)
    products.update(product, {"default_price": second})
    prices.update(first, {"active": False})
    followed = world.listed(second)
    world.settle()
    logged = len(world.sync_log(first))
    answers += [world.tell(event), world.tell(event | {"id": f"{event['id']}late"})]
    late = world.sync_log(first, entries=logged + 1)[logged:]
    world.settle()
    record, entry = (
        world.org.record(kind, listed[field]) for kind, field in (("Product2", "Product2Id"), ("PricebookEntry", "Id"))
    )
    shop.offer(PRODUCT, entry)
    entries = sorted((one for subject in (product, first, second) for one in world.sync_log(subject)), key=_began)
    blocks: list[Block] = [
        Paragraph(
            "Stripe posts a signed event for everything that happens to products and prices. Here the price's comes before the "
            "product's: the run asks Stripe for both, so nothing has to wait. Then the price goes up. Stripe never changes an "
            "amount, so there is a second price, which becomes the default, and the first one is archived."
        ),
        Table(
            "In the standard price book",
            ("", "Product", "Price", "Stripe price"),
            [(when, record["Name"], _shown(one), one[PRICE]) for when, one in (("at first", listed), ("then", followed))],
        ),
        log_table(entries),
        Raw("The event of the first price", event),
        Raw("Product2 and PricebookEntry, as Salesforce has them", [record, entry]),
        Raw("The sync log", entries),
    ]
    return Scene(
        "A price that is made in Stripe",
        f"Somebody adds {PRODUCT} in Stripe's Dashboard; the people who sell find it in Salesforce.",
        blocks,
        [
            equal("The gateway took the events", answers, [200, 200, 200]),
            equal(
                "The product is in Salesforce",
                (record["Name"], record["Description"], record["IsActive"], record["Stripe_Product_Id__c"]),
                (PRODUCT, DESCRIPTION, True, product),
            ),
            equal("Its standard entry has amount and interval", _terms(listed), (AMOUNT, "month", True, first)),
            equal("The same entry follows to the new price", (followed["Id"], _terms(entry)), (listed["Id"], _raised(second))),
            equal("There is no other entry", _entries(world, listed), [listed["Id"]]),
            equal("The first price's event, sent twice more, starts one run", len(late), 1),
            equal("What comes late writes nothing", {one["outcome"] for one in late} - NOTHING_WRITTEN, set()),
            equal("The entry still has the new price", _terms(entry), _terms(followed)),
        ],
    )


def _price(world: World, product: str, amount: int) -> str:
    return world.stripe.prices.create(
        {"product": product, "currency": "usd", "unit_amount": amount * 100, "recurring": {"interval": "month"}}
    ).id


def _terms(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(entry[name] for name in TERMS)


def _raised(price: str) -> tuple[Any, ...]:
    return (RAISED, "month", True, price)


def _entries(world: World, listed: Mapping[str, Any]) -> list[str]:
    statement = f"SELECT Id FROM PricebookEntry WHERE Product2Id = '{listed['Product2Id']}'"  # noqa: S608 (SOQL)
    return [one["Id"] for one in world.org.query(statement)]


def _shown(entry: Mapping[str, Any]) -> str:
    return f"{entry['UnitPrice']:.2f} USD a {entry['Stripe_Billing_Interval__c']}"


def _began(entry: Mapping[str, Any]) -> str:
    return str(entry["started_at"])
