"""A world for flow tests: both emulators over HTTP, DynamoDB in process, one clock, and the real adapters between them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import requests
from boto3.dynamodb.types import TypeDeserializer
from moto import mock_aws

from orderphase.domain.cancellation import CancellationRequest
from orderphase.domain.policies import Policies
from orderphase.flows.cancellation import Cancellation
from orderphase.flows.contract_runs import ContractRuns
from orderphase.flows.order_activation import OrderActivation
from orderphase.flows.order_item_update import OrderItemUpdate
from orderphase.flows.preview import Previews
from orderphase.flows.rolling_window import RollingWindow
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
from sandbox.serving import Response, Server
from sandbox.stripe_emulator import StripeEmulator, parameters
from sandbox.stripe_emulator.account import Moment
from sandbox.stripe_emulator.routes import Route
from tests.org import Org

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
ORG = "00D000000000001EAA"
KEY = "sk_test_orderphase"
ACCOUNT = "acct_orderphase"
TABLES: dict[str, dict[str, Any]] = {
    "contracts": {
        "KeySchema": [{"AttributeName": "contract_id", "KeyType": "HASH"}],
        "AttributeDefinitions": [
            {"AttributeName": "contract_id", "AttributeType": "S"},
            {"AttributeName": "extension", "AttributeType": "S"},
            {"AttributeName": "extend_at", "AttributeType": "N"},
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "by_extension",
                "KeySchema": [
                    {"AttributeName": "extension", "KeyType": "HASH"},
                    {"AttributeName": "extend_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    },
    "sync_log": {
        "KeySchema": [
            {"AttributeName": "contract_id", "KeyType": "HASH"},
            {"AttributeName": "entry_id", "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [
            {"AttributeName": "contract_id", "AttributeType": "S"},
            {"AttributeName": "entry_id", "AttributeType": "S"},
        ],
    },
}
"""The keys and indexes of the tables, as the template has them."""


class Recording(StripeEmulator):
    """Keeps what it was asked for: operation and parameters as Stripe reads them, of all but repetitions under the same key."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def _execute(self, moment: Moment, route: Route, values: dict[str, Any], object_id: str) -> Response:
        self.asked.append((route.operation, values))
        return super()._execute(moment, route, values, object_id)

    def params(self, operation: str) -> dict[str, Any]:
        """What it was asked for last by an operation."""
        return next(values for name, values in reversed(self.asked) if name == operation)


class Checked(StripeConnection):
    """Refuses what Stripe would refuse, in Python's types: an unknown parameter, None, a number that is text."""

    def call[**Params, Answer](self, request: Callable[Params, Answer], *args: Params.args, **kwargs: Params.kwargs) -> Answer:
        method: Any = request.func if isinstance(request, partial) else request
        words = re.findall("[A-Z][a-z]+", type(method.__self__).__name__.removesuffix("Service"))
        operation = f"{'_'.join(words).lower()}s.{method.__name__}"
        parameters.check(operation, next((argument for argument in args if isinstance(argument, dict)), {}))
        return super().call(request, *args, **kwargs)


@dataclass
class World(Org):
    """Salesforce, Stripe and DynamoDB as a run meets them.

    pauses: the waits for Stripe, and for another run. Every request to Stripe is checked before it leaves.
    """

    clock: Clock
    salesforce_url: str
    stripe: Recording
    stripe_url: str
    dynamodb: DynamoDBClient
    mapping: FieldMapping = field(default_factory=FieldMapping)
    pauses: list[float] = field(default_factory=list)
    _runs: Iterator[int] = field(default_factory=lambda: count(1))

    def flow(self, **choices: Any) -> OrderActivation:
        """The order activation with fresh adapters, as in a new Lambda environment."""
        return OrderActivation(self.contract_runs(**choices))

    def contract_runs(self, *, mapping: FieldMapping | None = None, currency: str = "USD", **policies: Any) -> ContractRuns:
        """What all flows share, with fresh adapters."""
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
        connection = Checked(stripe, repetitions=0, pause=self.pauses.append)
        return ContractRuns(
            contracts=Contracts(SalesforceClient(salesforce, now=self.clock.now), mapping, chosen),
            stripe=StripeAccount(connection),
            table=ContractTable(self.dynamodb, "contracts"),
            log=SyncLog(self.dynamodb, "sync_log"),
            mapping=mapping,
            policies=chosen,
            currency=currency,
            now=self.clock.now,
            run_id=lambda: f"run-{next(self._runs)}",
            pause=self.pauses.append,
        )

    def previews(self, **choices: Any) -> Previews:
        """The previews, with fresh adapters."""
        return Previews(self.contract_runs(**choices))

    def rolling_window(self) -> int:
        """Have every contract that is due activated again, as the queue would; answers how many there were."""
        runs = self.contract_runs()

        def enqueue(_: str, order: str, org_id: str, due: datetime) -> None:
            OrderActivation(runs).run(order, event_id=f"due-{order}-{due:%Y%m%d}", org_id=org_id, contract_due=True)

        return RollingWindow(runs.table, enqueue).run(self.clock.now())

    def run(self, order: str, flow: OrderActivation | None = None, *, org_id: str = ORG, **policies: Any) -> Report:
        """Deliver one event for an order."""
        return (flow or self.flow(**policies)).run(order, event_id=f"event-{order}", org_id=org_id)

    def change_line(self, line: str, *, changed: list[str] | None = None, **policies: Any) -> Report:
        """Deliver the event of a changed order line."""
        flow = OrderItemUpdate(self.contract_runs(**policies), self.mapping.order_item)
        return flow.run(line, event_id=f"event-{line}", org_id=ORG, changed_fields=changed)

    def cancel(
        self, order: str, *, asked: dict[str, Any] | None = None, runs: ContractRuns | None = None, **policies: Any
    ) -> Report:
        """Deliver a request to cancel; `asked` are fields of the request."""
        request = CancellationRequest(**(asked or {}))
        flow = Cancellation(runs or self.contract_runs(**policies))
        return flow.run(order, event_id=f"cancel-{order}", org_id=ORG, request=request)

    def post_to_stripe(self, path: str, **values: str) -> None:
        """Do something in Stripe by hand."""
        requests.post(f"{self.stripe_url}{path}", data=values, auth=(KEY, ""), timeout=10).raise_for_status()

    def forget_calls(self) -> None:
        """Empty the logs of both vendors."""
        self.salesforce.log.clear()
        self.stripe.log.clear()
        self.stripe.asked.clear()

    # What has become of it

    def schedule(self) -> dict[str, Any]:
        """The one schedule that there is."""
        (schedule,) = self.schedules()
        return schedule

    def subscription(self) -> dict[str, Any]:
        """The one subscription that there is."""
        (subscription,) = self.stripe.objects(ACCOUNT, "subscription")
        return subscription

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
    """A fresh world; `org` are options of the Salesforce emulator. There is one at a time."""
    clock = Clock(now, frozen=True)
    salesforce = SalesforceEmulator(clock, client_id="client", client_secret="secret", org_id=ORG, **org)
    stripe = Recording(clock, {KEY: ACCOUNT})
    servers = Server(salesforce), Server(stripe)
    try:
        with mock_aws():
            yield World(salesforce, clock, servers[0].url, stripe, servers[1].url, tables())
    finally:
        with ThreadPoolExecutor() as pool:  # each takes its time
            list(pool.map(Server.close, servers))


def tables() -> DynamoDBClient:
    """DynamoDB in process, with both tables and nothing in them."""
    client = _dynamodb()
    for name, keys in TABLES.items():
        client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **keys)
    return client


@cache
def _dynamodb() -> DynamoDBClient:
    """The client, which takes long to make. It makes one request at a time: moto may let two writers pass one condition."""
    client: Any = boto3.client("dynamodb", region_name="eu-west-1", aws_access_key_id="-", aws_secret_access_key="-")
    request, lock = client._make_api_call, threading.Lock()

    def alone(*args: Any) -> Any:
        with lock:
            return request(*args)

    client._make_api_call = alone
    made: DynamoDBClient = client
    return made
