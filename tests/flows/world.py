"""A world for flow tests: both emulators over HTTP, DynamoDB in process, one clock, and the real adapters between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

import boto3
import requests
from boto3.dynamodb.types import TypeDeserializer
from moto import mock_aws

from orderphase.domain.policies import Policies
from orderphase.flows.order_activation import OrderActivation
from orderphase.flows.runs import Report
from orderphase.mapping import FieldMapping
from orderphase.salesforce.client import SalesforceClient
from orderphase.salesforce.contracts import Contracts
from orderphase.settings import SalesforceCredentials, StripeCredentials
from orderphase.store.contracts import ContractTable
from orderphase.store.sync_log import SyncLog
from orderphase.stripe.account import StripeAccount
from orderphase.stripe.client import StripeConnection
from sandbox.clock import Clock
from sandbox.salesforce_emulator import SalesforceEmulator
from sandbox.serving import Server
from sandbox.stripe_emulator import StripeEmulator
from tests.org import Org

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
ORG = "00D000000000001EAA"
KEY = "sk_test_orderphase"
ACCOUNT = "acct_orderphase"
TABLES = {"contracts": [("contract_id", "HASH")], "sync_log": [("contract_id", "HASH"), ("entry_id", "RANGE")]}


@dataclass
class World(Org):
    """Salesforce, Stripe and DynamoDB as a run meets them. `pauses` are the waits that the Stripe connection asked for."""

    clock: Clock
    salesforce_url: str
    stripe: StripeEmulator
    stripe_url: str
    dynamodb: Any
    mapping: FieldMapping = field(default_factory=FieldMapping)
    pauses: list[float] = field(default_factory=list)
    _runs: Iterator[int] = field(default_factory=lambda: count(1))

    def flow(self, *, mapping: FieldMapping | None = None, currency: str = "USD", **policies: Any) -> OrderActivation:
        """The flow with fresh adapters, as in a new Lambda environment."""
        mapping = mapping or self.mapping
        chosen = Policies(**policies)
        salesforce = SalesforceCredentials.model_validate(
            {
                "SALESFORCE_LOGIN_URL": self.salesforce_url,
                "SALESFORCE_CLIENT_ID": "client",
                "SALESFORCE_CLIENT_SECRET": "secret",
            }
        )
        stripe = StripeCredentials.model_validate({"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": self.stripe_url})
        connection = StripeConnection(stripe, repetitions=0, pause=self.pauses.append)
        return OrderActivation(
            contracts=Contracts(SalesforceClient(salesforce, now=self.clock.now), mapping, chosen),
            stripe=StripeAccount(connection),
            table=ContractTable(self.dynamodb, "contracts"),
            log=SyncLog(self.dynamodb, "sync_log"),
            mapping=mapping,
            policies=chosen,
            currency=currency,
            now=self.clock.now,
            run_id=lambda: f"run-{next(self._runs)}",
        )

    def run(self, order: str, flow: OrderActivation | None = None, *, org_id: str = ORG, **policies: Any) -> Report:
        """Deliver one event for an order."""
        return (flow or self.flow(**policies)).run(order, event_id=f"event-{order}", org_id=org_id)

    def post_to_stripe(self, path: str, **values: str) -> None:
        """Do something in Stripe by hand."""
        requests.post(f"{self.stripe_url}{path}", data=values, auth=(KEY, ""), timeout=10).raise_for_status()

    # What has become of it

    def schedules(self) -> list[dict[str, Any]]:
        return self.stripe.objects(ACCOUNT, "subscription_schedule")

    def log_entries(self) -> list[dict[str, Any]]:
        read = TypeDeserializer().deserialize
        items = self.dynamodb.scan(TableName="sync_log")["Items"]
        entries = [{name: read(value) for name, value in item.items()} for item in items]
        return sorted(entries, key=lambda entry: entry["entry_id"])

    def ledger(self, contract: str) -> dict[str, Any]:
        read = TypeDeserializer().deserialize
        item = self.dynamodb.get_item(TableName="contracts", Key={"contract_id": {"S": contract}}).get("Item", {})
        return {name: read(value) for name, value in item.items()}


@contextmanager
def world(now: datetime = NOW, **org: Any) -> Iterator[World]:
    """A fresh world; `org` are options of the Salesforce emulator."""
    clock = Clock(now, frozen=True)
    salesforce = SalesforceEmulator(clock, client_id="client", client_secret="secret", org_id=ORG, **org)
    stripe = StripeEmulator(clock, {KEY: ACCOUNT})
    with mock_aws(), Server(salesforce) as salesforce_server, Server(stripe) as stripe_server:
        dynamodb = boto3.client("dynamodb", region_name="eu-west-1", aws_access_key_id="-", aws_secret_access_key="-")
        for name, key in TABLES.items():
            dynamodb.create_table(
                TableName=name,
                KeySchema=[{"AttributeName": attribute, "KeyType": kind} for attribute, kind in key],
                AttributeDefinitions=[{"AttributeName": attribute, "AttributeType": "S"} for attribute, _ in key],
                BillingMode="PAY_PER_REQUEST",
            )
        yield World(salesforce, clock, salesforce_server.url, stripe, stripe_server.url, dynamodb)
