"""The composition root: builds flows with their real adapters from the settings. Only functions and commands import it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

import boto3
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from botocore.config import Config

from orderphase.flows.order_activation import OrderActivation
from orderphase.mapping import load_mapping
from orderphase.salesforce.client import SalesforceClient
from orderphase.salesforce.contracts import Contracts
from orderphase.secrets_manager import read_secret
from orderphase.settings import FlowSettings, SalesforceCredentials, StripeCredentials
from orderphase.store.contracts import ContractTable
from orderphase.store.sync_log import SyncLog
from orderphase.stripe.account import StripeAccount
from orderphase.stripe.client import StripeConnection

_AWS = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})


def order_activation(environment: Mapping[str, str]) -> OrderActivation:
    """Build the order activation flow. Raises `ConfigurationError` naming the variable, secret or mapping key at fault."""
    settings = FlowSettings.from_environment(environment)
    mapping = load_mapping()
    secrets = SecretsProvider(boto3_client=boto3.client("secretsmanager", config=_AWS))
    salesforce = SalesforceCredentials.from_secret(settings.salesforce_secret, read_secret(secrets, settings.salesforce_secret))
    stripe = StripeCredentials.from_secret(settings.stripe_secret, read_secret(secrets, settings.stripe_secret))
    dynamodb = boto3.client("dynamodb", config=_AWS)
    return OrderActivation(
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
