"""Products and prices, in either direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orderphase.store.sync_log import SyncLog
from tests.faults.contracts import event
from tests.faults.scenarios import Case, Message, Scenario
from tests.faults.stage import Stage
from tests.flows.catalogue_world import CatalogueWorld
from tests.flows.world import ACCOUNT

type Prepare = Callable[[CatalogueWorld], Message]


def stripe_price(price: str, product: str, kind: str = "updated") -> Message:
    """Stripe tells of a price."""
    return Message("price_upsert", _told("price", price, product, kind))


def stripe_product(product: str, kind: str = "updated") -> Message:
    """Stripe tells of a product."""
    return Message("product_upsert", _told("product", product, product, kind))


def _told(what: str, about: str, product: str, kind: str) -> dict[str, Any]:
    named = {"id": f"evt_{about}", "type": f"{what}.{kind}", "account": "default"}
    return named | {"object_id": about, "product_id": product, "created": 1}


def edited_entry(entry: str, *fields: str) -> Message:
    """The org tells of a price book entry."""
    return Message("price_upsert", event("pricebook_entry.upserted", entry, changed_fields=list(fields)))


def new_price(here: CatalogueWorld) -> Message:
    product = here.stripe_product()
    return stripe_price(here.stripe_price(product, "14.285714285714"), product, "created")


def default_price(here: CatalogueWorld) -> Message:
    product = here.stripe_product()
    here.price_event(here.stripe_price(product))
    here.edit_product(product, name="Chair", default_price=here.stripe_price(product, "1200"))
    return stripe_product(product)


def archived_price(here: CatalogueWorld) -> Message:
    product = here.stripe_product()
    price = here.stripe_price(product)
    here.price_event(price)
    here.stripe_price(product, "1200")
    here.edit_price(price, active=False)
    return stripe_price(price, product)


def withdrawn_and_archived(here: CatalogueWorld) -> Message:
    """What Salesforce has switched off stays off, whichever attempt finds another price."""
    archived = archived_price(here)
    here.salesforce.update("PricebookEntry", here.only_entry(), {"IsActive": False})
    return archived


def deleted_product(here: CatalogueWorld) -> Message:
    product = here.stripe_product()
    price = here.stripe_price(product)
    here.price_event(price)
    here.delete_price(price)
    here.delete_product(product)
    return stripe_product(product, "deleted")


def new_entry(here: CatalogueWorld) -> Message:
    entry = here.entry()
    here.salesforce.update("Product2", here.only_product(), {"Name": "Seat"})
    return edited_entry(entry, "UnitPrice", "IsActive")


def changed_entry(here: CatalogueWorld) -> Message:
    here.price_event(here.stripe_price(here.stripe_product()))
    entry = here.only_entry()
    here.salesforce.update("PricebookEntry", entry, {"UnitPrice": 12})
    return edited_entry(entry, "UnitPrice")


def entry_on_again(here: CatalogueWorld) -> Message:
    product = here.stripe_product()
    price = here.stripe_price(product)
    here.price_event(price)
    here.edit_price(price, active=False)
    here.price_event(price)
    entry = here.only_entry()
    here.salesforce.update("PricebookEntry", entry, {"IsActive": True})
    return edited_entry(entry, "IsActive")


def changed_product2(here: CatalogueWorld) -> Message:
    product = here.stripe_product()
    here.product_event(product)
    record = here.only_product()
    here.salesforce.update("Product2", record, {"Name": "Chair", "Description": "For one"})
    return Message("product_upsert", event("product.upserted", record, changed_fields=["Name", "Description"]))


def _scenario(flow: str, name: str, prepare: Prepare, *, pairs: bool = False) -> Scenario:
    def prepared(here: Stage) -> Case:
        facts: Any = here.facts("default")
        log: Any = SyncLog(here.dynamodb, "sync_log")
        where = here.salesforce, here.clock, here.salesforce_url, here.stripe, here.stripe_url
        shelf = CatalogueWorld(*where, facts=facts, log=log)
        return Case(prepare(shelf), lambda: state(here, shelf))

    return Scenario(flow, name, prepared, pairs=pairs)


SCENARIOS = (
    _scenario("product upsert", "new default price", default_price),
    _scenario("product upsert", "deleted product", deleted_product),
    _scenario("product upsert", "changed Product2", changed_product2),
    _scenario("price upsert", "new price", new_price, pairs=True),
    _scenario("price upsert", "archived price", archived_price),
    _scenario("price upsert", "withdrawn and archived", withdrawn_and_archived),
    _scenario("price upsert", "new entry", new_entry),
    _scenario("price upsert", "changed entry", changed_entry),
    _scenario("price upsert", "entry on again", entry_on_again),
)


def state(here: Stage, shelf: CatalogueWorld) -> Any:
    """What is left on both sides, and whether they agree."""
    prices = {price["id"]: price for price in here.stripe.objects(ACCOUNT, "price")}
    products = {product["id"]: product for product in here.stripe.objects(ACCOUNT, "product")}
    entries = {key: fact for key, fact in here.remembered().items() if "|entry|" in key}
    return {
        "product2s": [
            (each["Name"], each["Description"], each["IsActive"], each["Stripe_Product_Id__c"] in products)
            for each in shelf.products2()
        ],
        "entries": [
            (*entry[:-1], entry[-1] and (prices[entry[-1]]["unit_amount_decimal"], prices[entry[-1]]["active"]))
            for entry in shelf.entries()
        ],
        "products": sorted(
            (each["name"], each["description"], each["active"], len(each["metadata"])) for each in products.values()
        ),
        "prices": sorted((each["unit_amount_decimal"], each["active"], each["lookup_key"] is None) for each in prices.values()),
        "remembered": sorted(str(fact.get("content")) for fact in entries.values()),
        "sold": sorted(str(fact.get("active")) for fact in entries.values()),
    }
