"""A world for flow tests: both emulators over HTTP, DynamoDB in process, one clock, and the real adapters between them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
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
from orderphase.flows.changed_contracts import ChangedContract, ChangedContracts
from orderphase.flows.contract_runs import ContractRuns
from orderphase.flows.order_activation import OrderActivation
from orderphase.flows.order_item_update import OrderItemUpdate
from orderphase.flows.preview import Previews
from orderphase.flows.reconciliation import Reconciliation
from orderphase.flows.rolling_window import RollingWindow
from orderphase.flows.runs import Report
from orderphase.flows.sweep import Sweep
from orderphase.mapping import FieldMapping
from orderphase.salesforce.accounts import Accounts
from orderphase.salesforce.changes import Changes
from orderphase.salesforce.client import SalesforceClient
from orderphase.salesforce.contracts import Contracts
from orderphase.salesforce.shape import Org as Shaped
from orderphase.settings import SalesforceCredentials, StripeCredentials
from orderphase.store.catalogue import Catalogue
from orderphase.store.contracts import ContractTable
from orderphase.store.progress import Progress
from orderphase.store.sync_log import SyncLog
from orderphase.stripe.accounts import StripeAccounts
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
    "catalogue": {
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    },
    "progress": {
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    },
    "sync_log": {
        "KeySchema": [
            {"AttributeName": "contract_id", "KeyType": "HASH"},
            {"AttributeName": "entry_id", "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [
            {"AttributeName": "contract_id", "AttributeType": "S"},
            {"AttributeName": "entry_id", "AttributeType": "S"},
            {"AttributeName": "order_id", "AttributeType": "S"},
            {"AttributeName": "day", "AttributeType": "S"},
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "by_order",
                "KeySchema": [
                    {"AttributeName": "order_id", "KeyType": "HASH"},
                    {"AttributeName": "entry_id", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            },
            {
                "IndexName": "by_day",
                "KeySchema": [
                    {"AttributeName": "day", "KeyType": "HASH"},
                    {"AttributeName": "entry_id", "KeyType": "RANGE"},
                ],
                "Projection": {
                    "ProjectionType": "INCLUDE",
                    "NonKeyAttributes": [
                        "order_id",
                        "order_number",
                        "flow",
                        "outcome",
                        "message",
                        "started_at",
                        "finished_at",
                        "event_id",
                        "correlation_id",
                        "error",
                        "error_code",
                        "schedule_id",
                    ],
                },
            },
        ],
    },
}
"""The keys and indexes of the tables, as the template has them."""


class Recording(StripeEmulator):
    """Keeps what it was asked for: operation and parameters as Stripe reads them, of all but repetitions under the same key.

    askers: for each of these, the account and the idempotency key.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.askers: list[tuple[str, str | None]] = []

    def _execute(self, moment: Moment, route: Route, values: dict[str, Any], object_id: str) -> Response:
        self.asked.append((route.operation, values))
        self.askers.append((moment.account.id, moment.idempotency_key))
        return super()._execute(moment, route, values, object_id)

    def params(self, operation: str) -> dict[str, Any]:
        """What it was asked for last by an operation."""
        return next(values for name, values in reversed(self.asked) if name == operation)

    def keys(self, operation: str) -> list[str | None]:
        """The idempotency keys of an operation, oldest first."""
        return [key for (name, _), (_, key) in zip(self.asked, self.askers, strict=True) if name == operation]

    def accounts(self) -> set[str]:
        """The accounts that were asked."""
        return {account for account, _ in self.askers}


class Checked(StripeConnection):
    """Refuses what Stripe would refuse, in Python's types: an unknown parameter, None, a number that is text."""

    def call[**Params, Answer](self, request: Callable[Params, Answer], *args: Params.args, **kwargs: Params.kwargs) -> Answer:
        params = next((argument for argument in args if isinstance(argument, dict)), kwargs)
        parameters.check(operation_of(request, *args), params)
        return super().call(request, *args, **kwargs)


def operation_of(request: Any, *args: Any) -> str:
    """What a call of the client's asks for: `subscription_schedules.create`."""
    method: Any = request.func if isinstance(request, partial) else request
    if method.__name__ == "raw_request":
        assert args[0] == "get"
        return f"{str(args[1]).split('/')[2]}.retrieve"
    words = re.findall("[A-Z][a-z]+", type(method.__self__).__name__.removesuffix("Service"))
    return f"{'_'.join(words).lower()}s.{method.__name__}"


@dataclass
class World(Org):
    """Salesforce, Stripe and DynamoDB as a run meets them.

    accounts: the secret of each Stripe account, by its name; the first is the default. pauses: the waits for Stripe, and for
    another run. Every request to Stripe is checked before it leaves.
    """

    clock: Clock
    salesforce_url: str
    stripe: Recording
    stripe_url: str
    dynamodb: DynamoDBClient
    mapping: FieldMapping = field(default_factory=FieldMapping)
    accounts: dict[str, dict[str, str]] = field(default_factory=lambda: {"default": {"STRIPE_API_KEY": KEY}})
    pauses: list[float] = field(default_factory=list)
    _runs: Iterator[int] = field(default_factory=lambda: count(1))

    def flow(self, **choices: Any) -> OrderActivation:
        """The order activation with fresh adapters, as in a new Lambda environment."""
        return OrderActivation(self.contract_runs(**choices))

    def contract_runs(
        self,
        *,
        mapping: FieldMapping | None = None,
        currency: str = "USD",
        sync_log_records: bool = False,
        **policies: Any,
    ) -> ContractRuns:
        """What all flows share, with fresh adapters."""
        mapping = mapping or self.mapping
        chosen = Policies(**policies)
        org = Shaped(self.salesforce_client())
        return ContractRuns(
            contracts=Contracts(org, mapping, chosen),
            salesforce_accounts=Accounts(org, mapping),
            stripe=self.stripe_accounts(),
            facts=self.facts,
            table=ContractTable(self.dynamodb, "contracts"),
            log=SyncLog(self.dynamodb, "sync_log"),
            mapping=mapping,
            policies=chosen,
            currency=currency,
            now=self.clock.now,
            run_id=self.run_id,
            sync_log_records=sync_log_records,
            pause=self.pauses.append,
        )

    def salesforce_client(self) -> SalesforceClient:
        """A fresh connection to the org."""
        credentials = {
            "SALESFORCE_LOGIN_URL": self.salesforce_url,
            "SALESFORCE_CLIENT_ID": "client",
            "SALESFORCE_CLIENT_SECRET": "secret",
        }
        return SalesforceClient(SalesforceCredentials.model_validate(credentials), now=self.clock.now, pause=self.pauses.append)

    def stripe_accounts(self) -> StripeAccounts:
        """Fresh connections to the Stripe accounts."""

        def credentials(name: str) -> StripeCredentials:
            return StripeCredentials.model_validate({**self.accounts[name], "STRIPE_API_BASE": self.stripe_url})

        return StripeAccounts(
            [*self.accounts], credentials, lambda given: Checked(given, repetitions=0, pause=self.pauses.append)
        )

    def facts(self, account: str) -> Catalogue:
        """What is remembered of a Stripe account."""
        return Catalogue(self.dynamodb, "catalogue", account)

    def run_id(self) -> str:
        """An id for a run."""
        return f"run-{next(self._runs)}"

    def previews(self, **choices: Any) -> Previews:
        """The previews, with fresh adapters."""
        return Previews(self.contract_runs(**choices))

    def rolling_window(self) -> int:
        """Have every contract that is due activated again, as the queue would; answers how many there were."""
        runs = self.contract_runs()

        def enqueue(_: str, order: str, org_id: str, due: datetime) -> None:
            OrderActivation(runs).run(order, event_id=f"due-{order}-{due:%Y%m%d}", org_id=org_id, contract_due=True)

        return RollingWindow(runs.table, enqueue).run(self.clock.now())

    def progress(self) -> Progress:
        """The table of progress."""
        return Progress(self.dynamodb, "progress")

    def changed_contracts(self, queued: list[ChangedContract], *, mapping: FieldMapping | None = None) -> ChangedContracts:
        """What looks for contracts that have changed, with fresh adapters; what it queues is added to `queued`."""
        changes = Changes(self.salesforce_client(), mapping or self.mapping)
        table = ContractTable(self.dynamodb, "contracts")
        return ChangedContracts(changes, table, self.progress(), lambda contract, _: queued.append(contract))

    def poll(self, **policies: Any) -> dict[str, str]:
        """Poll, and have every contract that is found looked at; answers what came of each, by its id."""
        queued: list[ChangedContract] = []
        self.changed_contracts(queued).poll(self.clock.now())
        return {one.contract_id: self.reconcile(one.contract_id, order_id=one.order_id, **policies).outcome for one in queued}

    def sweep(self, *, rate: int = 1200, **policies: Any) -> dict[str, str]:
        """Have the next contracts of the sweep looked at; answers what came of each, by its id."""
        queued: list[tuple[str, bool]] = []
        table = ContractTable(self.dynamodb, "contracts")

        def enqueue(contract_id: str, org_id: str, _: str, billed: bool) -> None:
            assert org_id == ORG
            queued.append((contract_id, billed))

        Sweep(table, self.progress(), enqueue, rate=rate).run(self.clock.now())
        return {contract: self.reconcile(contract, billed=billed, **policies).outcome for contract, billed in queued}

    def reconciliation(self, **policies: Any) -> Reconciliation:
        """The reconciliation, with fresh adapters."""
        watching = {**policies, "on_schedule_ended": "error"}
        return Reconciliation(self.contract_runs(**policies), self.contract_runs(**watching))

    def reconcile(
        self, contract: str, *, order_id: str | None = None, org_id: str = ORG, billed: bool = False, **policies: Any
    ) -> Report:
        """Have a contract looked at without an event of its own."""
        flow = self.reconciliation(**policies)
        return flow.run(contract, event_id=f"look-{contract}", org_id=org_id, order_id=order_id, billed=billed)

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

    def delete_in_stripe(self, path: str, *, key: str = KEY) -> None:
        """Delete something in Stripe by hand."""
        requests.delete(f"{self.stripe_url}{path}", auth=(key, ""), timeout=10).raise_for_status()

    def forget_calls(self) -> None:
        """Empty the logs of both vendors."""
        self.salesforce.log.clear()
        self.stripe.log.clear()
        self.stripe.asked.clear()
        self.stripe.askers.clear()

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

    def customers(self) -> list[dict[str, Any]]:
        """The customers that were not deleted, oldest first."""
        return [one for one in self.stripe.objects(ACCOUNT, "customer") if not one.get("deleted")]

    def log_entries(self) -> list[dict[str, Any]]:
        read = TypeDeserializer().deserialize
        items = self.dynamodb.scan(TableName="sync_log")["Items"]
        entries = [{name: read(value) for name, value in item.items()} for item in items]
        return sorted(entries, key=lambda entry: entry["entry_id"])

    def remembered(self) -> dict[str, Any]:
        """What the catalogue table has, by its keys."""
        items = self.dynamodb.scan(TableName="catalogue")["Items"]
        return {item["id"]["S"]: json.loads(item["fact"]["S"]) for item in items}

    def lose_catalogue(self) -> None:
        """Have the catalogue table lost."""
        for key in self.remembered():
            self.dynamodb.delete_item(TableName="catalogue", Key={"id": {"S": key}})

    def ledger(self, contract: str) -> dict[str, Any]:
        read = TypeDeserializer().deserialize
        item = self.dynamodb.get_item(TableName="contracts", Key={"contract_id": {"S": contract}}).get("Item", {})
        return {name: read(value) for name, value in item.items()}


@contextmanager
def world(
    now: datetime = NOW, *, keys: Mapping[str, str] | None = None, connected: Mapping[str, str] | None = None, **org: Any
) -> Iterator[World]:
    """A fresh world; `org` are options of the Salesforce emulator. There is one at a time.

    keys, connected: the Stripe accounts that there are beside the usual one, by secret key, and by the one that reaches them.
    """
    clock = Clock(now, frozen=True)
    salesforce = SalesforceEmulator(clock, client_id="client", client_secret="secret", org_id=ORG, **org)
    stripe = Recording(clock, {KEY: ACCOUNT, **(keys or {})}, connected=connected)
    servers = Server(salesforce), Server(stripe)
    try:
        with mock_aws():
            yield World(salesforce, clock, servers[0].url, stripe, servers[1].url, tables())
    finally:
        with ThreadPoolExecutor() as pool:  # each takes its time
            list(pool.map(Server.close, servers))


def tables() -> DynamoDBClient:
    """DynamoDB in process, with all tables and nothing in them."""
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
