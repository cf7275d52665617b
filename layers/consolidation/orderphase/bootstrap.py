"""The composition root: builds flows with their real adapters from the settings. Only functions and commands import it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import boto3
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from botocore.config import Config

from orderphase.domain.policies import Policies
from orderphase.errors import CredentialsError, OrderphaseError
from orderphase.flows.account_upsert import AccountUpsert
from orderphase.flows.cancellation import Cancellation
from orderphase.flows.catalogue_import import CatalogueImport
from orderphase.flows.catalogue_upserts import CatalogueUpserts
from orderphase.flows.changed_contracts import ChangedContract, ChangedContracts, Reason
from orderphase.flows.circuit import Circuit
from orderphase.flows.contract_runs import ContractRuns
from orderphase.flows.order_activation import OrderActivation
from orderphase.flows.order_item_update import OrderItemUpdate
from orderphase.flows.preview import Previews
from orderphase.flows.price_upsert import PriceUpsert
from orderphase.flows.product_upsert import ProductUpsert
from orderphase.flows.reconciliation import Reconciliation
from orderphase.flows.recovery import Recovery
from orderphase.flows.retry import Retry
from orderphase.flows.rolling_window import RollingWindow
from orderphase.flows.runs import Runs
from orderphase.flows.sweep import Sweep
from orderphase.ingress.aws import FlowQueues
from orderphase.ingress.events import CONTRACT_RECONCILE, SalesforceEvent
from orderphase.mapping import load_mapping
from orderphase.salesforce.accounts import Accounts
from orderphase.salesforce.catalogue import CatalogueRecords
from orderphase.salesforce.changes import Changes
from orderphase.salesforce.client import SalesforceClient
from orderphase.salesforce.contracts import Contracts
from orderphase.salesforce.shape import Org
from orderphase.secrets_manager import read_secret
from orderphase.settings import (
    FlowSettings,
    PollSettings,
    RecoverySettings,
    RollingWindowSettings,
    SalesforceCredentials,
    StripeCredentials,
    SweepSettings,
)
from orderphase.store.catalogue import Catalogue
from orderphase.store.contracts import ContractTable
from orderphase.store.dead_letters import DeadLetters, Queue
from orderphase.store.event_sources import EventSources
from orderphase.store.progress import Progress
from orderphase.store.sync_log import SyncLog
from orderphase.stripe.accounts import StripeAccounts
from orderphase.telemetry import logger

_AWS = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})


def order_activation(environment: Mapping[str, str]) -> OrderActivation:
    """Build the order activation flow. Raises `ConfigurationError` naming the variable, secret or mapping key at fault."""
    return OrderActivation(_contract_runs(environment))


def order_item_update(environment: Mapping[str, str]) -> OrderItemUpdate:
    """Build the order item update flow. Raises as `order_activation`."""
    return OrderItemUpdate(_contract_runs(environment), load_mapping().order_item)


def cancellation(environment: Mapping[str, str]) -> Cancellation:
    """Build the cancellation flow. Raises as `order_activation`."""
    return Cancellation(_contract_runs(environment))


def product_upsert(environment: Mapping[str, str]) -> ProductUpsert:
    """Build the product upsert flow. Raises as `order_activation`."""
    return ProductUpsert(_Parts(environment).upserts())


def price_upsert(environment: Mapping[str, str]) -> PriceUpsert:
    """Build the price upsert flow. Raises as `order_activation`."""
    return PriceUpsert(_Parts(environment).upserts())


def catalogue_import(environment: Mapping[str, str]) -> CatalogueImport:
    """Build the import of a catalogue, from the environment of a flow's function. Raises as `order_activation`."""
    parts = _Parts(environment)
    facts = parts.facts(parts.stripe.default)
    return CatalogueImport(parts.records(), parts.stripe, facts, told=parts.policies.write_back != "none")


def account_upsert(environment: Mapping[str, str]) -> AccountUpsert:
    """Build the account upsert flow. Raises as `order_activation`."""
    parts = _Parts(environment)
    desks = parts.contract_runs()
    return AccountUpsert(
        runs=parts.runs(),
        client=parts.client,
        accounts=parts.accounts,
        customers=[desks.desk(name).customers for name in parts.stripe.names],
        mapping=parts.mapping,
        policies=parts.policies,
        ignore_own=parts.settings.ignore_own_events,
    )


def reconciliation(environment: Mapping[str, str]) -> Reconciliation:
    """Build the reconciliation flow. Raises as `order_activation`."""
    parts = _Parts(environment)
    watching = replace(parts.policies, on_schedule_ended="error")
    return Reconciliation(parts.contract_runs(), parts.contract_runs(watching))


def poll(environment: Mapping[str, str]) -> ChangedContracts:
    """Build what looks for contracts that have changed. Raises as `order_activation`."""
    parts, settings = _Parts(environment), PollSettings.from_environment(environment)
    enqueue = _reconciling(settings.reconciliation_queue)

    def found(contract: ChangedContract, reason: Reason) -> None:
        event_id = f"{reason}-{contract.contract_id}-{contract.changed_at:%Y%m%dT%H%M%SZ}"
        enqueue(contract.contract_id, parts.client.org_id, event_id, {"reason": reason, "order_id": contract.order_id})

    return ChangedContracts(
        Changes(parts.client, parts.mapping),
        parts.contract_table(),
        Progress(boto3.client("dynamodb", config=_AWS), settings.progress_table),
        found,
    )


def sweep(environment: Mapping[str, str]) -> Sweep:
    """Build the sweep. Raises `ConfigurationError` naming the variable at fault."""
    settings = SweepSettings.from_environment(environment)
    dynamodb = boto3.client("dynamodb", config=_AWS)
    enqueue = _reconciling(settings.reconciliation_queue)
    return Sweep(
        ContractTable(dynamodb, settings.contract_table),
        Progress(dynamodb, settings.progress_table),
        lambda contract_id, org_id, event_id, billed: enqueue(
            contract_id, org_id, event_id, {"reason": "sweep", "billed": billed}
        ),
        rate=settings.rate,
    )


def _reconciling(queue: str) -> Callable[[str, str, str, Mapping[str, Any]], None]:
    """What queues a contract to be looked at: its id, the org's id, an id for the event, and its data."""
    queues = FlowQueues(boto3.client("sqs", config=_AWS), {CONTRACT_RECONCILE.name: queue})

    def enqueue(contract_id: str, org_id: str, event_id: str, data: Mapping[str, Any]) -> None:
        event = {
            "id": event_id,
            "type": CONTRACT_RECONCILE.name,
            "org_id": org_id,
            "record_id": contract_id,
            "occurred_at": _now().isoformat(),
            "data": dict(data),
        }
        queues.send(SalesforceEvent.of(event), correlation_id=event_id)

    return enqueue


def recovery(environment: Mapping[str, str]) -> Recovery:
    """Build the recovery. Raises `ConfigurationError` naming the variable at fault.

    A vendor is asked with the credentials of the moment, and for something that every key may ask for or is refused politely.
    Of several Stripe accounts, one whose key is not accepted stops nothing: the others have nothing to do with it.
    """
    settings = RecoverySettings.from_environment(environment)
    dynamodb = boto3.client("dynamodb", config=_AWS)
    queues = {flow: Queue(queue, letters) for flow, (queue, letters) in settings.queues.items()}

    def salesforce() -> None:
        _Parts(environment).client.call("GET", "limits")

    def stripe() -> None:
        accounts = _Parts(environment).stripe
        try:
            connection = accounts.connection(accounts.default)
            connection.call(connection.api.products.list, {"limit": 1})
        except CredentialsError:
            if len(accounts.names) == 1:
                raise

    circuit = Circuit(
        {"Salesforce": salesforce, "Stripe": stripe},
        EventSources(boto3.client("lambda", config=_AWS), [queue.url for queue in queues.values()]),
        Progress(dynamodb, settings.progress_table),
    )
    letters = DeadLetters(boto3.client("sqs", config=_AWS), queues)
    return Recovery(circuit, Retry(letters, SyncLog(dynamodb, settings.sync_log_table), _now), tell=_down)


def _down(vendor: str, problem: OrderphaseError) -> None:
    logger.error("down", extra={"vendor": vendor, "error": problem.kind, "error_code": problem.code})


def preview(environment: Mapping[str, str]) -> Previews:
    """Build the preview, from the environment of a flow's function. Raises as `order_activation`."""
    runs = _contract_runs(environment)
    return Previews(runs)


def rolling_window(environment: Mapping[str, str]) -> RollingWindow:
    """Build the rolling window. Raises `ConfigurationError` naming the variable at fault."""
    settings = RollingWindowSettings.from_environment(environment)
    table = ContractTable(boto3.client("dynamodb", config=_AWS), settings.contract_table)
    queues = FlowQueues(boto3.client("sqs", config=_AWS), {"order.activated": settings.order_activation_queue})

    def enqueue(contract_id: str, order_id: str, org_id: str, due: datetime) -> None:
        grouped = {"contract_id": contract_id} if contract_id != order_id else {}
        event = {
            "id": f"due-{order_id}-{due:%Y%m%dT%H%M%SZ}",
            "type": "order.activated",
            "org_id": org_id,
            "record_id": order_id,
            "occurred_at": due.isoformat(),
            "data": {"contract_due": True, **grouped},
        }
        queues.send(SalesforceEvent.of(event), correlation_id=str(event["id"]))

    return RollingWindow(table, enqueue)


class _Parts:
    """What flows are made of, from the environment of a flow's function."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.settings = settings = FlowSettings.from_environment(environment)
        self.mapping = load_mapping()
        self.policies = settings.policies(self.mapping)
        self._secrets = SecretsProvider(boto3_client=boto3.client("secretsmanager", config=_AWS))
        salesforce = SalesforceCredentials.from_secret(settings.salesforce_secret, self._secret(settings.salesforce_secret))
        self.client = SalesforceClient(salesforce, now=_now)
        self.org = Org(self.client)
        self.accounts = Accounts(self.org, self.mapping)
        self.stripe = StripeAccounts([*settings.stripe_secrets], self._credentials)
        self._dynamodb = boto3.client("dynamodb", config=_AWS)
        self._log = SyncLog(self._dynamodb, settings.sync_log_table)

    def facts(self, account: str) -> Catalogue:
        """What is remembered of a Stripe account."""
        # That of records that name none may be called something else later. No name is a hyphen.
        name = "-" if account == self.stripe.default else account
        return Catalogue(self._dynamodb, self.settings.catalogue_table, name)

    def runs(self) -> Runs:
        """What logs runs that are about no contract."""
        return Runs(self._log, self.client, self.stripe, _now, _run_id)

    def records(self) -> CatalogueRecords:
        """Salesforce's side of the catalogue."""
        return CatalogueRecords(self.org, self.mapping, self.settings.currency)

    def upserts(self) -> CatalogueUpserts:
        """What the upserts of products and prices share."""
        return CatalogueUpserts(
            records=self.records(),
            accounts=self.stripe,
            catalogue=self.contract_runs().desk(self.stripe.default).catalogue,
            runs=self.runs(),
            mapping=self.mapping,
            ignore_own_events=self.settings.ignore_own_events,
            facts=self.facts(self.stripe.default),
        )

    def contract_table(self) -> ContractTable:
        """Leases and ledgers."""
        return ContractTable(self._dynamodb, self.settings.contract_table)

    def contract_runs(self, policies: Policies | None = None) -> ContractRuns:
        """What works on contracts; under other policies than the deployment's, if they are given."""
        policies = policies or self.policies
        return ContractRuns(
            contracts=Contracts(self.org, self.mapping, policies),
            salesforce_accounts=self.accounts,
            stripe=self.stripe,
            facts=self.facts,
            table=self.contract_table(),
            log=self._log,
            mapping=self.mapping,
            policies=policies,
            currency=self.settings.currency,
            now=_now,
            run_id=_run_id,
            sync_log_records=self.settings.sync_log_records,
        )

    def _credentials(self, account: str) -> StripeCredentials:
        name = self.settings.stripe_secrets[account]
        return StripeCredentials.from_secret(name, self._secret(name))

    def _secret(self, name: str) -> str:
        return read_secret(self._secrets, name)


def _contract_runs(environment: Mapping[str, str]) -> ContractRuns:
    return _Parts(environment).contract_runs()


def _run_id() -> str:
    return uuid4().hex


def _now() -> datetime:
    return datetime.now(UTC)
