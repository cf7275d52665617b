"""Whatever goes wrong during an upsert, and wherever: after redelivery all is as if nothing had happened."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from orderphase.errors import OrderphaseError
from orderphase.flows.runs import Report
from tests.flows.catalogue_world import CatalogueWorld, catalogue_world
from tests.flows.world import ACCOUNT

type Event = Callable[[], Report]

STRIPE_FAULTS: dict[str, dict[str, Any]] = {
    "not sent": {"kind": "lost_before"},
    "answer lost": {"kind": "lost_after"},
    "500": {"kind": "refuse", "error": "500"},
    "500 stored": {"kind": "stored", "error": "500"},
    "429 for long": {"kind": "refuse", "error": "429", "times": 5},
    "401": {"kind": "refuse", "error": "401"},
}
SALESFORCE_FAULTS: dict[str, dict[str, Any]] = {
    "not sent": {"kind": "lost_before"},
    "answer lost": {"kind": "lost_after"},
    "503": {"kind": "refuse", "error": "503"},
    "locked row": {"kind": "refuse", "error": "UNABLE_TO_LOCK_ROW"},
    "request limit": {"kind": "refuse", "error": "REQUEST_LIMIT_EXCEEDED"},
    "expired session": {"kind": "refuse", "error": "INVALID_SESSION_ID"},
    "no permission": {"kind": "refuse", "error": "INSUFFICIENT_ACCESS_OR_READONLY"},
}
DELIVERIES = 4


def new_price(here: CatalogueWorld) -> Event:
    price = here.stripe_price(here.stripe_product(), "14.285714285714")
    return lambda: here.price_event(price)


def default_price(here: CatalogueWorld) -> Event:
    product = here.stripe_product()
    here.price_event(here.stripe_price(product))
    here.edit_product(product, name="Chair", default_price=here.stripe_price(product, "1200"))
    return lambda: here.product_event(product)


def archived_price(here: CatalogueWorld) -> Event:
    product = here.stripe_product()
    price = here.stripe_price(product)
    here.price_event(price)
    here.stripe_price(product, "1200")
    here.edit_price(price, active=False)
    return lambda: here.price_event(price)


def deleted_product(here: CatalogueWorld) -> Event:
    product = here.stripe_product()
    price = here.stripe_price(product)
    here.price_event(price)
    here.delete_price(price)
    here.delete_product(product)
    return lambda: here.product_event(product)


def new_entry(here: CatalogueWorld) -> Event:
    entry = here.entry()
    here.salesforce.update("Product2", here.only_product(), {"Name": "Seat"})
    return lambda: here.entry_edit(entry, "UnitPrice", "IsActive")


def changed_entry(here: CatalogueWorld) -> Event:
    here.price_event(here.stripe_price(here.stripe_product()))
    entry = here.only_entry()
    here.salesforce.update("PricebookEntry", entry, {"UnitPrice": 12})
    return lambda: here.entry_edit(entry, "UnitPrice")


def changed_product2(here: CatalogueWorld) -> Event:
    product = here.stripe_product()
    here.product_event(product)
    record = here.only_product()
    here.salesforce.update("Product2", record, {"Name": "Chair", "Description": "For one"})
    return lambda: here.product_edit(record, "Name", "Description")


def entry_on_again(here: CatalogueWorld) -> Event:
    price = here.stripe_price(here.stripe_product())
    here.price_event(price)
    here.edit_price(price, active=False)
    here.price_event(price)
    entry = here.only_entry()
    here.salesforce.update("PricebookEntry", entry, {"IsActive": True})
    return lambda: here.entry_edit(entry, "IsActive")


def withdrawn_and_archived(here: CatalogueWorld) -> Event:
    """What Salesforce has switched off stays off, whichever attempt finds another price."""
    archived = archived_price(here)
    here.salesforce.update("PricebookEntry", here.only_entry(), {"IsActive": False})
    return archived


SCENARIOS = (
    new_price,
    default_price,
    archived_price,
    deleted_product,
    new_entry,
    changed_entry,
    changed_product2,
    entry_on_again,
    withdrawn_and_archived,
)


@dataclass(frozen=True)
class Undisturbed:
    """A run with which nothing goes wrong: its requests to Stripe and to Salesforce, and what it leaves."""

    stripe: list[str]
    salesforce: list[str]
    notes: int
    left: Any


@cache
def undisturbed(scenario: Callable[[CatalogueWorld], Event]) -> Undisturbed:
    with catalogue_world() as here:
        event = scenario(here)
        here.forget_calls()
        here.facts.notes = 0
        assert event().outcome == "synced"
        # Only of the paths: the ids are others each time.
        logs = [
            [re.sub(r"(prod|price|orderphase)_\w+|\?.*", "…", f"{call.method} {call.path}") for call in log]
            for log in logs_of(here)
        ]
        return Undisturbed(logs[0], logs[1], here.facts.notes, state(here))


def logs_of(here: CatalogueWorld) -> tuple[Any, Any]:
    return here.stripe.log, here.salesforce.calls("/services/data/")


def state(here: CatalogueWorld) -> Any:
    """What is left on both sides, and whether they agree."""
    prices = {price["id"]: price for price in here.stripe.objects(ACCOUNT, "price")}
    products = {product["id"]: product for product in here.stripe.objects(ACCOUNT, "product")}
    return {
        "product2s": [
            (each["Name"], each["Description"], each["IsActive"], each["Stripe_Product_Id__c"] in products)
            for each in here.products2()
        ],
        "entries": [
            (*entry[:-1], entry[-1] and (prices[entry[-1]]["unit_amount_decimal"], prices[entry[-1]]["active"]))
            for entry in here.entries()
        ],
        "products": sorted(
            (each["name"], each["description"], each["active"], len(each["metadata"])) for each in products.values()
        ),
        "prices": sorted((each["unit_amount_decimal"], each["active"], each["lookup_key"] is None) for each in prices.values()),
        "remembered": [*here.remembered().values()],
        "sold": sorted(str(fact.get("active")) for key, fact in here.facts.known.items() if key.startswith("entry|")),
        "log": here.log.entries[-1].outcome in ("synced", "unchanged", "skipped"),
    }


def disturbed(system: str, faults: dict[str, dict[str, Any]]) -> list[Any]:
    return [
        pytest.param(scenario, number, fault, id=f"{scenario.__name__}-{number} {request}-{name}")
        for scenario in SCENARIOS
        for number, request in enumerate(getattr(undisturbed(scenario), system))
        for name, fault in faults.items()
        if not (name == "500 stored" and request.startswith("GET"))
    ]


def deliver(event: Event) -> list[OrderphaseError]:
    """Deliver the event until a run goes through; answers what went wrong."""
    wrong: list[OrderphaseError] = []
    for _ in range(DELIVERIES):
        try:
            report = event()
        except OrderphaseError as problem:
            wrong.append(problem)
        else:
            assert report.outcome != "failed", report.message
            return wrong
    raise AssertionError(f"no run went through: {wrong}")


@pytest.mark.parametrize(("scenario", "number", "fault"), disturbed("stripe", STRIPE_FAULTS))
def test_a_request_to_stripe_goes_wrong(
    scenario: Callable[[CatalogueWorld], Event], number: int, fault: dict[str, Any]
) -> None:
    with catalogue_world() as here:
        event = scenario(here)
        here.stripe.inject(skip=number, **fault)

        deliver(event)

        assert not [left for left in here.stripe.faults if left.times > 0]
        assert state(here) == undisturbed(scenario).left


@pytest.mark.parametrize(("scenario", "number", "fault"), disturbed("salesforce", SALESFORCE_FAULTS))
def test_a_request_to_salesforce_goes_wrong(
    scenario: Callable[[CatalogueWorld], Event], number: int, fault: dict[str, Any]
) -> None:
    with catalogue_world() as here:
        event = scenario(here)
        here.salesforce.inject(skip=number, path="/services/data/", **fault)

        deliver(event)

        assert not [left for left in here.salesforce.faults if left.times > 0]
        assert state(here) == undisturbed(scenario).left


NOTES = [
    pytest.param(scenario, number, written, id=f"{scenario.__name__}-{number}-{'after' if written else 'before'}")
    for scenario in SCENARIOS
    for number in range(undisturbed(scenario).notes)
    for written in (False, True)
]


@pytest.mark.parametrize(("scenario", "number", "written"), NOTES)
def test_what_is_to_be_remembered_gets_lost(scenario: Callable[[CatalogueWorld], Event], number: int, *, written: bool) -> None:
    with catalogue_world() as here:
        event = scenario(here)
        here.facts.lose(number, written=written)

        assert [problem.kind for problem in deliver(event)] == ["transient"]

        assert state(here) == undisturbed(scenario).left
