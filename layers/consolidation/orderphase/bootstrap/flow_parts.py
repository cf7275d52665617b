"""What the flows between the two vendors are made of."""

from __future__ import annotations

from collections.abc import Mapping

from orderphase.bootstrap import clock
from orderphase.bootstrap.parts import Parts
from orderphase.domain.policies import Policies
from orderphase.flows.contract_runs import ContractRuns
from orderphase.flows.runs import Runs
from orderphase.salesforce.accounts import Accounts
from orderphase.salesforce.contracts import Contracts
from orderphase.salesforce.shape import Org
from orderphase.settings import StripeCredentials
from orderphase.store.catalogue import Catalogue
from orderphase.store.sync_log import SyncLog
from orderphase.stripe.accounts import StripeAccounts


class FlowParts(Parts):
    """Those, and the Stripe accounts, the catalogue and the log."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__(environment)
        self.org = Org(self.client)
        self.accounts = Accounts(self.org, self.mapping)
        self.stripe = StripeAccounts([*self.settings.stripe_secrets], self._credentials)
        self._log = SyncLog(self.dynamodb, self.settings.sync_log_table)

    def facts(self, account: str) -> Catalogue:
        """What is remembered of a Stripe account."""
        # That of records that name none may be called something else later. No name is a hyphen.
        name = "-" if account == self.stripe.default else account
        return Catalogue(self.dynamodb, self.settings.catalogue_table, name)

    def runs(self) -> Runs:
        """What logs runs that are about no contract."""
        return Runs(self._log, self.client, self.stripe, clock.now, clock.run_id)

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
            now=clock.now,
            run_id=clock.run_id,
            sync_log_records=self.settings.sync_log_records,
        )

    def _credentials(self, account: str) -> StripeCredentials:
        name = self.settings.stripe_secrets[account]
        return StripeCredentials.from_secret(name, self.secret(name))
