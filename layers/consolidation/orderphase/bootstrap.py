"""The composition root: builds flows with their real adapters from the settings. Only functions and commands import it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

import boto3
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from botocore.config import Config

from orderphase.flows.cancellation import Cancellation
from orderphase.flows.contract_runs import ContractRuns
from orderphase.flows.order_activation import OrderActivation
from orderphase.flows.order_item_update import OrderItemUpdate
from orderphase.flows.preview import Previews
from orderphase.flows.rolling_window import RollingWindow
from orderphase.ingress.aws import FlowQueues
from orderphase.ingress.events import SalesforceEvent
from orderphase.mapping import load_mapping
from orderphase.salesforce.client import SalesforceClient
from orderphase.salesforce.contracts import Contracts
from orderphase.secrets_manager import read_secret
from orderphase.settings import FlowSettings, RollingWindowSettings, SalesforceCredentials, StripeCredentials
from orderphase.store.contracts import ContractTable
from orderphase.store.sync_log import SyncLog
from orderphase.stripe.account import StripeAccount
from orderphase.stripe.client import StripeConnection

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


def _contract_runs(environment: Mapping[str, str]) -> ContractRuns:
    settings = FlowSettings.from_environment(environment)
    mapping = load_mapping()
    secrets = SecretsProvider(boto3_client=boto3.client("secretsmanager", config=_AWS))
    salesforce = SalesforceCredentials.from_secret(settings.salesforce_secret, read_secret(secrets, settings.salesforce_secret))
    stripe = StripeCredentials.from_secret(settings.stripe_secret, read_secret(secrets, settings.stripe_secret))
    dynamodb = boto3.client("dynamodb", config=_AWS)
    return ContractRuns(
        contracts=Contracts(SalesforceClient(salesforce, now=_now), mapping, settings.policies),
        stripe=StripeAccount(StripeConnection(stripe)),
        table=ContractTable(dynamodb, settings.contract_table),
        log=SyncLog(dynamodb, settings.sync_log_table),
        mapping=mapping,
        policies=settings.policies,
        currency=settings.currency,
        now=_now,
        run_id=lambda: uuid4().hex,
    )


def _now() -> datetime:
    return datetime.now(UTC)
