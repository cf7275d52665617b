"""The functions as they are deployed, in this process: their handlers, environment and secrets, AWS in memory, both vendors.

Time is the world's: also that of the queues and of what waits.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta, tzinfo
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self
from unittest.mock import patch

import boto3
from aws_lambda_powertools.utilities.idempotency import base as idempotency
from aws_lambda_powertools.utilities.idempotency.persistence import base, datarecord, dynamodb
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sqs import models as sqs_models

from orderphase import scheduled, telemetry, troubles, worker
from orderphase.bootstrap import clock as machine
from orderphase.flows.contract_runs import ContractRuns
from orderphase.ingress import consumer, endpoint
from orderphase.salesforce.client import SalesforceClient
from orderphase.store.catalogue import Catalogue
from orderphase.stripe.client import StripeConnection
from sandbox.clock import Clock
from sandbox.salesforce_emulator import SalesforceEmulator
from sandbox.serving import Emulator, Response, Server
from tests.faults.wire import Wire
from tests.flows.world import ACCOUNT, KEY, NOW, ORG, Recording, World, tables
from tests.functions.deployed import ENVIRONMENT
from tests.invocation import Context

WORKERS = (
    "order_activation",
    "order_item_update",
    "cancellation",
    "product_upsert",
    "price_upsert",
    "account_upsert",
    "reconciliation",
)
WEBHOOK_SECRET, STRIPE_WEBHOOK_SECRET = "whsec_salesforce", "whsec_stripe"
OUTBOUND_TOKEN = "o" * 32
_REGION = "eu-west-1"
_ROOT = Path(__file__).resolve().parents[2]
_HTML = {"Content-Type": "text/html"}
_OWN = "default", "-"
"""What tests call the first account, and what the deployed functions do in the catalogue table."""


class Stripe(Recording):
    """The emulated Stripe, with a proxy before it that may fail."""

    def errors(self) -> Mapping[str, Response]:
        return {**super().errors(), "503_html": Response(503, b"<html><h1>503</h1></html>", dict(_HTML))}


class Salesforce(SalesforceEmulator):
    """The emulated org; its own 503 is that of the proxy."""

    def errors(self) -> Mapping[str, Response]:
        errors = super().errors()
        return {**errors, "503_html": errors["503"]}


class QuietServer(Server):
    """A server whose clients may hang up."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(emulator)
        self._http.handle_error = self._lost  # type: ignore[method-assign]  # would say on stderr that a client has hung up

    @staticmethod
    def _lost(request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            traceback.print_exc()


class Mappings:
    """The event source mappings of the queues, as the Lambda service has them: by their ARN, whether they are on."""

    def __init__(self, arns: Sequence[str]) -> None:
        self.on = dict.fromkeys(arns, True)

    def __call__(self, operation: str, params: Mapping[str, Any]) -> Any:
        if operation == "ListEventSourceMappings":
            arn = params["EventSourceArn"]
            return {"EventSourceMappings": [{"UUID": arn, "State": "Enabled" if self.on[arn] else "Disabled"}]}
        if operation == "UpdateEventSourceMapping":
            self.on[params["UUID"]] = params["Enabled"]
            return {}
        raise NotImplementedError(operation)


@dataclass
class Stage(World):
    """The world of a deployment.

    environment: of every function. problems: what interrupted the functions' work so far.
    """

    wire: Wire = field(kw_only=True)
    mappings: Mappings = field(kw_only=True)
    problems: list[Exception] = field(default_factory=list)
    _apps: dict[str, Any] = field(default_factory=dict)
    _messages: int = 0

    @classmethod
    def of(cls, here: World, **more: Any) -> Self:
        """The stage of a world."""
        return cls(**{one.name: getattr(here, one.name) for one in fields(World) if one.init}, **more)

    def facts(self, account: str) -> Catalogue:
        """What is remembered of a Stripe account, where the functions look for it."""
        return Catalogue(self.dynamodb, "catalogue", _OWN[1] if account == _OWN[0] else account)

    def remembered(self) -> dict[str, Any]:
        """What the catalogue table has, by its keys."""
        return {key.replace(f"{_OWN[1]}|", f"{_OWN[0]}|", 1): fact for key, fact in super().remembered().items()}

    def invoke(self, function: str, event: Any) -> Any:
        """Have a function handle an event, in the environment that it has, or else in a new one."""
        if function not in self._apps:
            self._apps[function] = _new_environment(function)
        if function in WORKERS:
            self.open_queues(dead_letters(function))
            os.environ["ORDERPHASE_DEAD_LETTER_QUEUE"] = queue_url(dead_letters(function))
        return self._apps[function].handler(event, Context())

    def deliver(self, function: str, body: Mapping[str, Any]) -> bool:
        """Give a function a message of its queue, another one each time; answers whether it comes again."""
        self._messages += 1
        (record,) = sample("order_activation")["Records"]
        record = {**record, "messageId": f"message-{self._messages}", "body": json.dumps(body)}
        return bool(self.invoke(function, {"Records": [record]})["batchItemFailures"])

    def open_queues(self, *names: str) -> None:
        """Make these queues, where they are not there yet."""
        for name in names:
            if name not in self._backend().queues:
                self._backend().create_queue(name, FifoQueue="true")

    def renew(self) -> None:
        """From now on every function begins in a new environment."""
        self._apps.clear()

    def waiting(self, queue: str) -> list[tuple[str, str]]:
        """The messages of a queue, oldest first: deduplication id and body. SQS: what was consumed is not there any more."""
        return [(message.deduplication_id, message.body) for message in self._queue(queue)._messages]

    def take_all(self, queue: str) -> list[str]:
        """Consume what is in a queue; answers the bodies."""
        messages = self._queue(queue)._messages
        bodies = [message.body for message in messages]
        messages.clear()
        return bodies

    def put(self, queue: str, body: Any, group: str) -> None:
        """Put a message into a FIFO queue."""
        _client("sqs").send_message(
            QueueUrl=queue_url(queue),
            MessageBody=json.dumps(body),
            MessageGroupId=group,
            MessageDeduplicationId=f"{group}-{len(self.waiting(queue))}",
        )

    def queued(self) -> dict[str, list[tuple[str, str]]]:
        """What waits in all queues, by their names."""
        return {name: found for name in self._backend().queues if (found := self.waiting(name))}

    def _queue(self, name: str) -> Any:
        return self._backend().queues[name]

    @staticmethod
    def _backend() -> Any:
        """What moto keeps of the queues."""
        return sqs_models.sqs_backends[DEFAULT_ACCOUNT_ID][_REGION]

    def traces(self) -> dict[str, Any]:
        """What a run that has nothing to do leaves as it was.

        Of the catalogue's facts not `before`, which names what Salesforce does until it is told: once it is, that is dropped.
        """
        soql = "SELECT Id, SystemModstamp FROM"
        records = {
            kind: [(row["Id"], row["SystemModstamp"]) for row in self.salesforce.query(f"{soql} {kind} ORDER BY Id")]
            for kind in ("Account", "Contract", "Order", "OrderItem", "Product2", "PricebookEntry")
        }
        ledgers = {
            item["contract_id"]["S"]: (item.get("intent"), item.get("extend_at"))
            for item in self.dynamodb.scan(TableName="contracts")["Items"]
        }
        facts = {
            key: {name: value for name, value in fact.items() if name != "before"} for key, fact in self.remembered().items()
        }
        return {
            "writes to Stripe": self.stripe.writes(),
            "records": records,
            "ledgers": ledgers,
            "facts": facts,
            "queues": self.queued(),
            "event sources": dict(self.mappings.on),
        }


def _new_environment(function: str) -> Any:
    """The module of a function, as a new Lambda environment loads it; whoever else has imported it keeps another one."""
    path = _ROOT / "functions" / function / "app.py"
    spec = importlib.util.spec_from_file_location(f"deployed_{function}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def flow_queue(flow: str) -> str:
    """The name of a flow's queue."""
    return f"{flow}.fifo"


def dead_letters(flow: str) -> str:
    """The name of the queue of its dead letters."""
    return f"{flow}-dead.fifo"


def queue_url(name: str) -> str:
    """Where a queue is."""
    return f"https://sqs.{_REGION}.amazonaws.com/{DEFAULT_ACCOUNT_ID}/{name}"


@cache
def sample(name: str) -> Any:
    """A sample event, by its name."""
    return json.loads((_ROOT / "events" / f"{name}.json").read_text())


@contextmanager
def stage(**variables: str) -> Iterator[Stage]:
    """A fresh stage; `variables` are more of the functions' environment. There is one at a time."""
    clock = Clock(NOW, frozen=True)
    salesforce = Salesforce(clock, client_id="client", client_secret="secret", org_id=ORG)
    stripe = Stripe(clock, {KEY: ACCOUNT})
    emulators: tuple[tuple[str, Emulator], ...] = ("Salesforce", salesforce), ("Stripe", stripe)
    servers = QuietServer(salesforce), QuietServer(stripe)
    mappings = Mappings([f"arn:aws:sqs:{_REGION}:{DEFAULT_ACCOUNT_ID}:{flow_queue(flow)}" for flow in WORKERS])
    vendors = {server.url: named for server, named in zip(servers, emulators, strict=True)}
    wire = Wire(vendors, {"lambda": mappings})
    problems: list[Exception] = []
    with ExitStack() as open_:
        for server in servers:
            open_.callback(threading.Thread(target=server.close).start)  # nobody waits for it
        open_.enter_context(patch.dict(os.environ, _environment() | variables, clear=False))
        os.environ.pop("AWS_ENDPOINT_URL", None)
        open_.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message="No application metrics")  # of a process that was killed
        open_.enter_context(mock_aws())
        here = World(salesforce, clock, servers[0].url, stripe, servers[1].url, tables())
        for patched in _in_this_world(clock, problems):
            open_.enter_context(patched)
        _deploy(here)
        open_.enter_context(wire.connected())
        yield Stage.of(here, wire=wire, mappings=mappings, problems=problems)


def _environment() -> dict[str, str]:
    urls = {f"ORDERPHASE_{flow.upper()}_QUEUE": queue_url(flow_queue(flow)) for flow in WORKERS}
    urls |= {f"ORDERPHASE_{flow.upper()}_DEAD_LETTER_QUEUE": queue_url(dead_letters(flow)) for flow in WORKERS}
    return {
        **ENVIRONMENT,
        **urls,
        "AWS_ACCESS_KEY_ID": "-",
        "AWS_SECRET_ACCESS_KEY": "-",
        "AWS_DEFAULT_REGION": _REGION,
        "ORDERPHASE_PROGRESS_TABLE": "progress",
        "ORDERPHASE_IDEMPOTENCY_TABLE": "accepted",
        "ORDERPHASE_WEBHOOK_SECRET": "webhook",
        "ORDERPHASE_RECONCILIATION_RATE": "1200",
    }


def _in_this_world(clock: Clock, problems: list[Exception]) -> Iterator[Any]:
    """What has the functions live in this world's time, and keeps nobody waiting."""

    class Now(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return clock.now().astimezone(tz)

    told, failed = telemetry.interrupted, consumer._log_failure

    def pause(seconds: float) -> None:
        clock.advance(timedelta(seconds=seconds))

    def interrupted(problem: Exception) -> None:
        problems.append(problem)
        told(problem)

    def refused(problem: Exception) -> None:
        problems.append(problem)
        failed(problem)

    # The client's own repetition is a fault of its own; here every fault reaches the flow.
    yield patch.dict(_defaults(StripeConnection), {"pause": pause, "repetitions": 0})
    for waits in (SalesforceClient, ContractRuns):
        yield patch.dict(_defaults(waits), {"pause": pause})
    yield patch.object(machine, "now", clock.now)
    for module in (scheduled, troubles, endpoint, consumer):
        yield patch.object(module, "datetime", Now)
    for module in (worker, scheduled):
        yield patch.object(module, "interrupted", interrupted)
    yield patch.object(consumer, "_log_failure", refused)
    for powertools in (idempotency, base, datarecord, dynamodb):
        yield patch.object(powertools, "dt", SimpleNamespace(datetime=Now, timedelta=timedelta))
    yield patch.object(sqs_models, "unix_time", lambda _=None: clock.now().timestamp())
    yield patch.object(sqs_models, "unix_time_millis", lambda _=None: clock.now().timestamp() * 1000)
    yield patch.object(boto3, "client", _client)
    yield patch.object(telemetry.metrics.provider, "namespace", "Orderphase")
    yield patch.object(telemetry.metrics.provider, "service", "function")


def _defaults(made: type) -> dict[str, Any]:
    """What a constructor takes where nothing else is given."""
    initialise: Any = made.__init__  # type: ignore[misc]  # of this very class
    defaults: dict[str, Any] = initialise.__kwdefaults__
    return defaults


_new_client: Callable[..., Any] = boto3.client


@cache
def _one_client(service: str) -> Any:
    return _new_client(service, region_name=_REGION, aws_access_key_id="-", aws_secret_access_key="-")


def _client(service: str, **_: Any) -> Any:
    """The client of a service, which takes long to make."""
    return _one_client(service)


def store(name: str, secret: Mapping[str, str]) -> None:
    """Change what a secret holds."""
    _client("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps(secret))


def _deploy(here: World) -> None:
    manager = _client("secretsmanager")
    names = ("SALESFORCE_LOGIN_URL", "SALESFORCE_CLIENT_ID", "SALESFORCE_CLIENT_SECRET")
    secrets = {
        "salesforce": dict(zip(names, (here.salesforce_url, "client", "secret"), strict=True)),
        "stripe": {
            "STRIPE_API_KEY": KEY,
            "STRIPE_API_BASE": here.stripe_url,
            "STRIPE_WEBHOOK_SECRET": STRIPE_WEBHOOK_SECRET,
        },
        "webhook": {
            "SALESFORCE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "SALESFORCE_OUTBOUND_TOKEN": OUTBOUND_TOKEN,
            "SALESFORCE_ORG_ID": ORG,
        },
    }
    for name, secret in secrets.items():
        manager.create_secret(Name=name, SecretString=json.dumps(secret))
    here.dynamodb.create_table(
        TableName="accepted",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
