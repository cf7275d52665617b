"""Account upsert: what an account says has changed, so its Stripe customer is told, where that is the policy."""

from __future__ import annotations

from collections.abc import Sequence

from orderphase.domain.account import Account
from orderphase.domain.findings import Finding, as_text, finding
from orderphase.domain.policies import Policies
from orderphase.errors import DataError
from orderphase.flows.customers import CustomerSource
from orderphase.flows.runs import Report, Runs
from orderphase.flows.write_back import MESSAGE_LENGTH
from orderphase.mapping import FieldMapping
from orderphase.salesforce.accounts import Accounts
from orderphase.salesforce.client import SalesforceClient

FLOW = "account_upsert"


class AccountUpsert:
    """The flow. `customers`: those of each Stripe account. `ignore_own`: whether what we have written is passed over."""

    def __init__(
        self,
        *,
        runs: Runs,
        client: SalesforceClient,
        accounts: Accounts,
        customers: Sequence[CustomerSource],
        mapping: FieldMapping,
        policies: Policies,
        ignore_own: bool,
    ) -> None:
        self._runs = runs
        self._client = client
        self._accounts = accounts
        self._customers = customers
        self._mapping = mapping
        self._policies = policies
        self._ignore_own = ignore_own

    def run(
        self,
        account_id: str,
        *,
        event_id: str,
        org_id: str,
        changed_fields: Sequence[str] | None = None,
        changed_by: str | None = None,  # noqa: ARG002 (what we write is told by its field alone)
    ) -> Report:
        """Handle one event. `changed_fields`: API names of what has changed; None = not known."""
        ours = {self._mapping.account.customer_id.lower()}

        def work() -> Report:
            if foreign := self._runs.of_another_org(org_id, account_id):
                return foreign
            if self._policies.customer_update != "on_account_change":
                message = "Customers are not told when an account changes: see the policy customer_update."
                return Report("skipped", message, account_id)
            if self._ignore_own and changed_fields and {name.lower() for name in changed_fields} <= ours:
                return Report("skipped", f"Of account {account_id} only the customer id has changed.", account_id)
            try:
                return self._tell(account_id)
            except DataError as problem:
                return Report("failed", problem.message, account_id, error=problem)

        return self._runs.run(FLOW, self._runs.new_id(), account_id, event_id, work)

    def _tell(self, account_id: str) -> Report:
        account = self._accounts.read(account_id)
        gone = ""
        if account is None:
            master = self._accounts.merged_into(account_id)
            if master is None:
                message = f"Account {account_id} is not in Salesforce any more; what its customer is billed goes on."
                return Report("skipped", message, account_id)
            gone = f"Account {account_id} was merged into {master}. "
            account = self._accounts.read(master)
            if account is None:
                return Report("skipped", f"{gone}That is not in Salesforce any more.", account_id)
        known = [(customers, one) for customers in self._customers for one in customers.everyone(account)]
        if not known:
            return Report("skipped", f"{gone}Account {account.id} has no customer in Stripe.", account_id)
        findings: list[Finding] = []
        for customers, customer in known:
            findings += self._follow(customers, customer, account)
        message = (
            f"{gone}Stripe knows: {', '.join(one for _, one in known)}. {as_text(findings, limit=MESSAGE_LENGTH)}".rstrip()
        )
        failed = any(one.code == "customer_not_updated" for one in findings)
        return Report("failed" if failed else "synced", message, account_id, findings)

    def _follow(self, customers: CustomerSource, customer: str, account: Account) -> list[Finding]:
        try:
            return customers.follow(account, customer, org_id=self._client.org_id)
        except DataError as gone:
            message = f"The customer {customer} of account {account.id} is gone: {gone.message}"
            return [finding("customer_not_updated", message)]
