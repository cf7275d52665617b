"""What flows are made of, from the environment of a flow's function."""

from __future__ import annotations

from collections.abc import Mapping

import boto3
from aws_lambda_powertools.utilities.parameters import SecretsProvider

from orderphase import telemetry
from orderphase.bootstrap import clock
from orderphase.bootstrap.aws import AWS
from orderphase.mapping import load_mapping
from orderphase.salesforce.client import SalesforceClient
from orderphase.secrets_manager import read_secret
from orderphase.settings import FlowSettings, SalesforceCredentials
from orderphase.store.contracts import ContractTable


class Parts:
    """What every flow has that asks Salesforce: its settings, the org, and the table of contracts."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.settings = settings = FlowSettings.from_environment(environment)
        self.mapping = load_mapping().adopting(settings.adopt_existing)
        self.policies = settings.policies(self.mapping)
        self._secrets = SecretsProvider(boto3_client=boto3.client("secretsmanager", config=AWS))
        name = settings.salesforce_secret
        self.client = SalesforceClient(
            SalesforceCredentials.from_secret(name, self.secret(name)), now=clock.now, used=telemetry.salesforce_used
        )
        self.dynamodb = boto3.client("dynamodb", config=AWS)

    def secret(self, name: str) -> str:
        """The text of a secret. Raises as `read_secret`."""
        return read_secret(self._secrets, name)

    def contract_table(self) -> ContractTable:
        """Leases and ledgers."""
        return ContractTable(self.dynamodb, self.settings.contract_table)
