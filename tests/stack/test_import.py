"""`orderphase import` of 10,000 prices, against the deployed stack: few requests, and whatever is cut off is completed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.stack import STRIPE_ACCOUNT
from sandbox.stripe_emulator import catalogue
from sandbox.stripe_emulator.account import Moment
from tests.stack.company import Company, until

PRODUCTS, CURRENCIES = 5_000, ("usd", "eur")
PRICES = PRODUCTS * len(CURRENCIES)
COLLECTION, PAGE, STRIPE_PAGE = 200, 2_000, 100
PRICE_ID = "Stripe_Price_Id__c"
CLOSED = "http://127.0.0.1:9/"


@pytest.fixture
def stocked(second_company: Company) -> Iterator[Company]:
    """A company that sells 5,000 products in two currencies in Stripe; nobody is told, as of what was there before us."""
    company = second_company
    company.salesforce.notify(CLOSED, "none")
    company.stripe.courier.pause()
    with company.stripe.lock:
        moment = Moment(company.stripe._account(STRIPE_ACCOUNT), company.stripe.clock.timestamp())
        for number in range(PRODUCTS):
            product = catalogue.create_product(moment, {"name": f"Product {number}"}, "")["id"]
            for currency in CURRENCIES:
                terms: dict[str, Any] = {"unit_amount": 100 + number, "recurring": {"interval": "month"}}
                company.stripe.seed_price(STRIPE_ACCOUNT, product=product, currency=currency, **terms)
    company.stripe.courier.clear()
    company.stripe.courier.resume()
    yield company
    company.salesforce.notify(f"{company.stack.url}/salesforce/events", company.stack.webhook_secret)


def pages(rows: int, size: int) -> int:
    """Requests that read or write so many rows; one page is read also where there is none."""
    return max(1, -(-rows // size))


def rows(company: Company, kind: str) -> int:
    return len(company.salesforce.query(f"SELECT Id FROM {kind}"))


def figures(printed: str, kind: str) -> dict[str, int]:
    """The numbers that the command prints of products, of prices, or of requests."""
    if kind == "requests":
        found = re.search(r"^Requests: (?P<salesforce>\d+) to Salesforce, (?P<stripe>\d+) to Stripe$", printed, re.MULTILINE)
    else:
        counts = r"(?P<written>\d+) written, (?P<unchanged>\d+) unchanged, (?P<skipped>\d+) skipped, (?P<refused>\d+) refused"
        found = re.search(rf"^ *(?P<found>\d+) {kind}: {counts}$", printed, re.MULTILINE)
    assert found is not None, printed
    return {name: int(value) for name, value in found.groupdict().items()}


def test_ten_thousand_prices_are_imported(stocked: Company) -> None:
    company, salesforce = stocked, stocked.salesforce
    products, entries = rows(company, "Product2"), rows(company, "PricebookEntry")

    with company.start("import") as first:
        half = PRICES // COLLECTION // 2
        until(lambda: len(salesforce.calls(r"^POST .*/composite/sobjects$")) >= half, "half of the import")
        first.kill()
    code, printed = company.command("import")

    print(printed)  # noqa: T201 (its figures are worth seeing)
    assert code == 0
    done, made = figures(printed, "prices"), figures(printed, "products")
    left = done["written"]
    assert 0 < left <= PRICES - (half - 1) * COLLECTION
    assert (made["written"], done["refused"]) == (0, 0)
    assert rows(company, "Product2") == products + PRODUCTS
    assert rows(company, "PricebookEntry") == entries + PRICES
    listed = salesforce.query(f"SELECT {PRICE_ID} FROM PricebookEntry WHERE {PRICE_ID} LIKE 'price_%'")
    assert len({one[PRICE_ID] for one in listed}) == len(listed) >= PRICES
    # The org's shape, Product2s and entries by the page, the standard price book, what was left by the collection; and once
    # more Product2s and entries, to see that nothing is left.
    everything = pages(products + PRODUCTS, PAGE) + pages(entries + PRICES, PAGE)
    before = pages(products + PRODUCTS, PAGE) + pages(entries + PRICES - left, PAGE)
    listing = pages(made["found"], STRIPE_PAGE) + pages(done["found"], STRIPE_PAGE)
    assert figures(printed, "requests") == {
        "salesforce": 1 + before + 1 + pages(left, COLLECTION) + everything,
        "stripe": 2 * listing,
    }

    code, printed = company.command("import")

    assert code == 0
    assert (figures(printed, "prices")["written"], figures(printed, "products")["written"]) == (0, 0)
    assert figures(printed, "requests") == {"salesforce": 1 + everything, "stripe": listing}
