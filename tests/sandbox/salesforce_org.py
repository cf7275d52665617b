"""A served org, a client for it, and the records that most tests start from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

from sandbox.clock import Clock
from sandbox.salesforce_emulator import SalesforceEmulator
from sandbox.serving import Server

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
CLIENT: dict[str, Any] = {"client_id": "3MVG9.client", "client_secret": "C11E27"}
VERSION = "/services/data/v67.0"


@dataclass
class Client:
    """Speaks HTTP to the emulator, with a token unless it is taken away."""

    emulator: SalesforceEmulator
    url: str
    session: requests.Session

    def log_in(self, **form: str) -> requests.Response:
        answer = self.session.post(f"{self.url}/services/oauth2/token", data={"grant_type": "client_credentials", **form})
        if answer.ok:
            self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return answer

    def call(self, method: str, path: str, **details: Any) -> requests.Response:
        path = path if path.startswith(("/services", "/__")) else f"{VERSION}{path}"
        return self.session.request(method, f"{self.url}{path}", timeout=10, **details)

    def get(self, path: str, **details: Any) -> requests.Response:
        return self.call("GET", path, **details)

    def post(self, path: str, body: Any = None, **details: Any) -> requests.Response:
        return self.call("POST", path, json=body, **details)

    def patch(self, path: str, body: Any, **details: Any) -> requests.Response:
        return self.call("PATCH", path, json=body, **details)

    def delete(self, path: str, **details: Any) -> requests.Response:
        return self.call("DELETE", path, **details)

    def query(self, statement: str) -> requests.Response:
        return self.get("/query/", params={"q": statement})


@contextmanager
def served(*, clock: Clock | None = None, **options: Any) -> Iterator[Client]:
    emulator = SalesforceEmulator(clock or Clock(NOW, frozen=True), **CLIENT, **options)
    with Server(emulator) as server, requests.Session() as session:
        session.trust_env = False
        client = Client(emulator, server.url, session)
        client.log_in(**CLIENT).raise_for_status()
        yield client


@dataclass(frozen=True)
class Catalogue:
    """An account and one product with its standard price of 100 USD."""

    account: str
    book: str
    product: str
    entry: str


def catalogue(emulator: SalesforceEmulator) -> Catalogue:
    book = emulator.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")[0]["Id"]
    product = emulator.create("Product2", {"Name": "Widget", "IsActive": True, "ProductCode": "W-1"})
    entry = {"Pricebook2Id": book, "Product2Id": product, "UnitPrice": 100, "IsActive": True}
    return Catalogue(emulator.create("Account", {"Name": "Acme"}), book, product, emulator.create("PricebookEntry", entry))


def draft(emulator: SalesforceEmulator, stock: Catalogue, **fields: Any) -> str:
    values = {"AccountId": stock.account, "EffectiveDate": "2027-01-01", "Status": "Draft", "Pricebook2Id": stock.book}
    return emulator.create("Order", {**values, **fields})


def line(stock: Catalogue, order: str, **fields: Any) -> dict[str, Any]:
    return {"OrderId": order, "PricebookEntryId": stock.entry, "Quantity": 2, "UnitPrice": 90, **fields}


def activated(emulator: SalesforceEmulator, stock: Catalogue, **fields: Any) -> tuple[str, str]:
    order = draft(emulator, stock, **fields)
    item = emulator.create("OrderItem", line(stock, order))
    emulator.update("Order", order, {"Status": "Activated"})
    return order, item


def custom_book(org: Client) -> str:
    return org.emulator.create("Pricebook2", {"Name": "Partners", "IsActive": True})


def contract(org: Client, stock: Catalogue, **fields: Any) -> str:
    return org.emulator.create("Contract", {"AccountId": stock.account, **fields})


def order_values(stock: Catalogue, **fields: Any) -> dict[str, Any]:
    return {"AccountId": stock.account, "EffectiveDate": "2027-01-01", "Status": "Draft", "Pricebook2Id": stock.book, **fields}


def new_entry(org: Client, stock: Catalogue, **fields: Any) -> requests.Response:
    values = {"Pricebook2Id": stock.book, "Product2Id": stock.product, "UnitPrice": 100, "IsActive": True, **fields}
    return org.post("/sobjects/PricebookEntry", values)
