"""A world for the upsert flows: both emulators over HTTP and the real adapters; the log and what is remembered in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import requests

from orderphase.errors import TransientError
from orderphase.flows.catalogue import CatalogueSource
from orderphase.flows.catalogue_import import CatalogueImport, Imported
from orderphase.flows.catalogue_upserts import CatalogueUpserts
from orderphase.flows.price_upsert import PriceUpsert
from orderphase.flows.product_upsert import ProductUpsert
from orderphase.flows.runs import Report, Runs
from orderphase.mapping import FieldMapping
from orderphase.salesforce.catalogue import CatalogueRecords
from orderphase.salesforce.client import SalesforceClient
from orderphase.salesforce.shape import Org as Shaped
from orderphase.settings import SalesforceCredentials, StripeCredentials
from orderphase.store.sync_log import Entry
from orderphase.stripe.account import StripeAccount
from orderphase.stripe.accounts import StripeAccounts
from orderphase.stripe.client import StripeConnection
from sandbox.clock import Clock
from sandbox.salesforce_emulator import SalesforceEmulator
from sandbox.serving import Server
from sandbox.stripe_emulator import catalogue
from sandbox.stripe_emulator.account import Moment
from tests.flows.world import ACCOUNT, KEY, NOW, ORG, Checked, Recording
from tests.org import Org

OTHER_KEY, OTHER_ACCOUNT = "sk_test_other", "acct_other"


class Facts:
    """What is remembered, as the table would. `reads`, `notes`: how often it was asked to."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        self.reads = self.notes = 0
        self._lost: dict[int, bool] = {}

    def read(self, keys: Iterable[str]) -> dict[str, Any]:
        self.reads += 1
        return {key: self.known[key] for key in keys if key in self.known}

    def note(self, key: str, fact: Any) -> None:
        self.notes += 1
        written = self._lost.pop(self.notes, None)
        if written is not False:
            self.known[key] = dict(fact)
        if written is not None:
            raise TransientError("the table did not answer")

    def lose(self, number: int, *, written: bool) -> None:
        """Have one note from now on fail, after it was written or before."""
        self._lost[self.notes + number + 1] = written


class Log:
    """The sync log."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)


@dataclass
class CatalogueWorld(Org):
    """Salesforce and Stripe as the upsert flows meet them.

    currency: of the org, where it has one only. told: whether Salesforce is told of Stripe's ids.
    """

    clock: Clock
    salesforce_url: str
    stripe: Recording
    stripe_url: str
    currency: str = "USD"
    told: bool = True
    mapping: FieldMapping = field(default_factory=FieldMapping)
    facts: Facts = field(default_factory=Facts)
    log: Log = field(default_factory=Log)
    pauses: list[float] = field(default_factory=list)
    warm: Shaped | None = None
    _runs: Iterator[int] = field(default_factory=lambda: count(1))

    # The flows, with fresh adapters, as in a new Lambda environment

    def accounts(self, names: tuple[str, ...] = ("default",)) -> StripeAccounts:
        keys = {"default": KEY, "other": OTHER_KEY}

        def credentials(name: str) -> StripeCredentials:
            return StripeCredentials.model_validate({"STRIPE_API_KEY": keys[name], "STRIPE_API_BASE": self.stripe_url})

        def connect(secret: StripeCredentials) -> StripeConnection:
            return Checked(secret, repetitions=0, pause=self.pauses.append)

        return StripeAccounts(names, credentials, connect)

    def records(self) -> CatalogueRecords:
        names = ("LOGIN_URL", "CLIENT_ID", "CLIENT_SECRET")
        secrets = dict(zip(names, (self.salesforce_url, "client", "secret"), strict=True))
        credentials = SalesforceCredentials.model_validate({f"SALESFORCE_{name}": value for name, value in secrets.items()})
        org = self.warm or Shaped(SalesforceClient(credentials, now=self.clock.now, pause=self.pauses.append))
        return CatalogueRecords(org, self.mapping, self.currency)

    def warm_up(self) -> None:
        """Have the org's shape read, once per environment."""
        records = self.records()
        records.sells_in("USD")
        self.warm = records._org

    def source(self, accounts: StripeAccounts) -> CatalogueSource:
        facts: Any = self.facts
        account = StripeAccount(accounts.connection(accounts.default))
        return CatalogueSource(account, facts, self.mapping, self.currency, primary=True, told=self.told)

    def upserts(self, *, ignore_own_events: bool = True, names: tuple[str, ...] = ("default",)) -> CatalogueUpserts:
        accounts, records = self.accounts(names), self.records()
        log: Any = self.log
        facts: Any = self.facts
        return CatalogueUpserts(
            records=records,
            accounts=accounts,
            catalogue=self.source(accounts),
            runs=Runs(log, records.client, accounts, self.clock.now, lambda: f"run-{next(self._runs)}"),
            mapping=self.mapping,
            ignore_own_events=ignore_own_events,
            facts=facts,
        )

    def products(self, **options: Any) -> ProductUpsert:
        return ProductUpsert(self.upserts(**options))

    def prices(self, **options: Any) -> PriceUpsert:
        return PriceUpsert(self.upserts(**options))

    # Events

    def product_event(self, product: str, *, account: str = "default", **options: Any) -> Report:
        return self.products(**options).from_stripe(product, account=account, event_id="evt")

    def price_event(self, price: str, *, account: str = "default", **options: Any) -> Report:
        return self.prices(**options).from_stripe(price, account=account, event_id="evt")

    def product_edit(self, record: str, *fields: str, by: str | None = None, org_id: str = ORG, **options: Any) -> Report:
        """The event of a Product2 that was changed; without `fields`, it does not say what was."""
        return self.products(**options).from_salesforce(
            record, event_id="evt", org_id=org_id, changed_fields=list(fields) or None, changed_by=by
        )

    def entry_edit(self, record: str, *fields: str, by: str | None = None, org_id: str = ORG, **options: Any) -> Report:
        """The event of a price book entry that was changed; without `fields`, it does not say what was."""
        return self.prices(**options).from_salesforce(
            record, event_id="evt", org_id=org_id, changed_fields=list(fields) or None, changed_by=by
        )

    def stripe_events(self) -> list[tuple[str, str]]:
        """Stripe's events about products and prices that are not our own doing: kind and id of the object, oldest first."""
        kinds = ("product", "price")
        return [
            (event["type"].partition(".")[0], event["data"]["object"]["id"])
            for event in self.stripe.objects(ACCOUNT, "event")
            if event["type"].partition(".")[0] in kinds
            and not ((event["request"] or {}).get("idempotency_key") or "").startswith("orderphase:")
        ]

    def deliver(self, events: Iterable[tuple[str, str]], **options: Any) -> list[Report]:
        """Deliver events of Stripe's in this order."""
        return [
            self.product_event(object_id, **options) if kind == "product" else self.price_event(object_id, **options)
            for kind, object_id in events
        ]

    def run_import(self, *, dry_run: bool = False) -> Imported:
        facts: Any = self.facts
        return CatalogueImport(self.records(), self.accounts(), facts, told=self.told).run(dry_run=dry_run)

    # What somebody does in Stripe

    def stripe_call(self, method: str, path: str, key: str = KEY, **values: Any) -> dict[str, Any]:
        form = {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()}
        answer = requests.request(method, f"{self.stripe_url}/v1/{path}", data=form, auth=(key, ""), timeout=10)
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def stripe_product(self, name: str = "Seat", *, key: str = KEY, **values: Any) -> str:
        return str(self.stripe_call("POST", "products", key, name=name, **values)["id"])

    def stripe_price(
        self,
        product: str,
        amount: str = "1000",
        currency: str = "usd",
        *,
        each: str | None = "month",
        every: int = 1,
        **values: Any,
    ) -> str:
        """A price of so many minor units; a second later than the one before."""
        self.clock.advance(timedelta(seconds=1))
        recurring: dict[str, Any] = {"recurring[interval]": each, "recurring[interval_count]": every} if each else {}
        made = self.stripe_call(
            "POST", "prices", product=product, unit_amount_decimal=amount, currency=currency, **recurring, **values
        )
        return str(made["id"])

    def stock(self, products: int) -> None:
        """Many products with a price in dollars and one in euros each, past HTTP."""
        with self.stripe.lock:
            moment = Moment(self.stripe._account(ACCOUNT), self.clock.timestamp())
            for number in range(products):
                product = catalogue.create_product(moment, {"name": f"Product {number}"}, "")["id"]
                for currency in ("usd", "eur"):
                    monthly = {"recurring": {"interval": "month"}}
                    self.stripe.seed_price(ACCOUNT, product=product, currency=currency, unit_amount=100 + number, **monthly)

    def edit_price(self, price: str, **values: Any) -> None:
        self.stripe_call("POST", f"prices/{price}", **values)

    def edit_product(self, product: str, **values: Any) -> None:
        self.stripe_call("POST", f"products/{product}", **values)

    def delete_price(self, price: str) -> None:
        """What only the Dashboard can, and only for a price that is not in use."""
        account: Any = self.stripe._account(ACCOUNT)
        with self.stripe.lock:
            account.lookup_keys.pop(account.kinds["price"].pop(price)["lookup_key"], None)

    def delete_product(self, product: str) -> None:
        self.stripe_call("DELETE", f"products/{product}")

    def in_stripe(self, kind: str, object_id: str) -> dict[str, Any]:
        return next(each for each in self.stripe.objects(ACCOUNT, kind) if each["id"] == object_id)

    # What has become of it

    def products2(self) -> list[dict[str, Any]]:
        """Every Product2: name, description, activity, product."""
        soql = "SELECT Name, Description, IsActive, Stripe_Product_Id__c FROM Product2 ORDER BY Id"
        return [_plain(each) for each in self.salesforce.query(soql)]

    def entries(self) -> list[tuple[Any, ...]]:
        """Every standard entry: product, currency, amount, interval, count, activity, price."""
        currency = "CurrencyIsoCode, " if self._multicurrency() else ""
        soql = (
            f"SELECT Product2.Name, {currency}UnitPrice, Stripe_Billing_Interval__c, Stripe_Billing_Interval_Count__c, "
            "IsActive, Stripe_Price_Id__c FROM PricebookEntry WHERE Pricebook2.IsStandard = true ORDER BY Id"
        )
        found = []
        for each in self.salesforce.query(soql):
            row = _plain(each)
            product = row.pop("Product2")
            found.append((product["Name"], *row.values()))
        return found

    def _multicurrency(self) -> bool:
        return self.salesforce._schema["PricebookEntry"].field("CurrencyIsoCode") is not None

    def only_entry(self) -> str:
        """The id of the one price book entry that there is."""
        (found,) = self.salesforce.query("SELECT Id FROM PricebookEntry")
        return str(found["Id"])

    def only_product(self) -> str:
        """The id of the one Product2 that there is."""
        (found,) = self.salesforce.query("SELECT Id FROM Product2")
        return str(found["Id"])

    def calls(self) -> tuple[int, int]:
        """Requests to Stripe and to Salesforce since `forget_calls`, logins left out."""
        return len(self.stripe.log), len(self.salesforce.calls("/services/data/"))

    def forget_calls(self) -> None:
        self.stripe.log.clear()
        self.salesforce.log.clear()

    def remembered(self) -> dict[str, list[str]]:
        """By entry, what it said when its price was noted."""
        entries = {key: fact for key, fact in self.facts.known.items() if key.startswith("entry|")}
        return {key.removeprefix("entry|"): fact["content"] for key, fact in entries.items() if "content" in fact}


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "attributes"}


@contextmanager
def catalogue_world(now: datetime = NOW, **org: Any) -> Iterator[CatalogueWorld]:
    """A fresh world; `org` are options of the Salesforce emulator."""
    clock = Clock(now, frozen=True)
    salesforce = SalesforceEmulator(clock, client_id="client", client_secret="secret", org_id=ORG, **org)
    stripe = Recording(clock, {KEY: ACCOUNT, OTHER_KEY: OTHER_ACCOUNT})
    servers = Server(salesforce), Server(stripe)
    try:
        yield CatalogueWorld(salesforce, clock, servers[0].url, stripe, servers[1].url)
    finally:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Server.close, servers))
