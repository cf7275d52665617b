"""Gets, makes and updates the Stripe customer of an account. Salesforce is the source; what Stripe changes stays in Stripe.

A customer is told again what has changed since it was told last, field by field; what that was is remembered as digests, so
that an order whose account has not changed costs no request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orderphase.domain.account import Account
from orderphase.domain.findings import Finding, finding
from orderphase.domain.policies import Policies
from orderphase.errors import DataError
from orderphase.mapping import FieldMapping
from orderphase.salesforce.writing import Update
from orderphase.store.catalogue import Catalogue as Facts
from orderphase.store.catalogue import account_key, customer_key, digest
from orderphase.stripe.client import MISSING
from orderphase.stripe.customers import Customers, Details, clearing, customer_details

_FIELDS = ("name", "email", "phone", "description", "address", "shipping", "metadata")
_MAIN = ""
"""In place of a currency: the customer for all of them."""

_OTHER_CURRENCY = "combine currencies"  # Stripe gives no code for it


class RefusedError(DataError):
    """Data that cannot be billed, with the findings that say why."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__(" ".join(f"{one.message} {one.remedy}" for one in findings), code=findings[0].code)
        self.findings = findings


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer that exists, what Salesforce is to be told of it, and what was remarkable."""

    id: str
    updates: tuple[Update, ...] = ()
    findings: tuple[Finding, ...] = ()


class CustomerSource:
    """Finds or creates customers in one Stripe account.

    primary: whether the customer ids that Salesforce has are this account's. What it does not know, or is not told, is
    remembered by ourselves alone.
    """

    def __init__(self, customers: Customers, facts: Facts, mapping: FieldMapping, policies: Policies, *, primary: bool) -> None:
        self._customers = customers
        self._facts = facts
        self._mapping = mapping
        self._policies = policies
        self._primary = primary
        self._told = primary and policies.write_back != "none"

    def known(self, account: Account, currency: str) -> str | None:
        """The customer that an account is billed by in a currency, as far as one is known. No request to Stripe."""
        noted = self._noted(account)
        return noted.get(currency.lower()) or self._main(account, noted)

    def _main(self, account: Account, noted: Mapping[str, str]) -> str | None:
        """The customer of an account that is for all currencies."""
        return (account.customer_id if self._primary else None) or noted.get(_MAIN)

    def everyone(self, account: Account) -> list[str]:
        """All customers of an account that are known, also another product's. No request to Stripe."""
        noted = self._noted(account)
        if self._primary and account.customer_id:
            noted[_MAIN] = account.customer_id
        return sorted({*noted.values(), *(account.adopted if self._primary else ())})

    def looked_for(self, account: Account, *, org_id: str, billed: str | None = None) -> list[str]:
        """All customers of an account that are known; where none is, the one that Stripe finds: one request then.

        billed: one that is billed already.
        """
        known = sorted({*self.everyone(account), *([billed] if billed else ())})
        found = None if known else self._customers.of_account(account.id, org_id=org_id)
        return [found] if found else known

    def _noted(self, account: Account) -> dict[str, str]:
        """The customers of an account that Salesforce has no field for, by currency."""
        if self._told and self._policies.customer_per_currency != "create":
            return {}
        key = account_key(account.id)
        return dict(self._facts.read([key]).get(key, {}))

    def get(self, account: Account, currency: str, *, org_id: str, contract_id: str) -> Customer:
        """The customer that a new schedule bills: made, if there is none, else told what has changed."""
        noted = self._noted(account)
        further = noted.get(currency.lower())
        known = further or self._main(account, noted)
        if known is None:
            return self._make(account, org_id=org_id, contract_id=contract_id)
        try:
            told = self.follow(account, known, org_id=org_id, contract_id=contract_id)
            return Customer(known, findings=(*told, *([_added(account, currency, known)] if further else [])))
        except DataError as refusal:
            return self.instead(account, currency, known, refusal, org_id=org_id)

    def follow(self, account: Account, customer_id: str, *, org_id: str, contract_id: str = "") -> list[Finding]:
        """Tell a customer what has changed in Salesforce since it was told last, if that is the policy.

        contract_id: whose order says where invoices go. Several contracts may say several addresses: the one that was changed
        last counts, and one that says none changes nothing. What Stripe refuses is told and holds up nothing.
        Raises DataError with the code `resource_missing` where the customer is gone.
        """
        if self._policies.customer_update == "never":
            return []
        details = customer_details(account, org_id=org_id)
        key = customer_key(customer_id)
        fact: Mapping[str, Any] | None = self._facts.read([key]).get(key)
        told: dict[str, str] = dict(fact["told"]) if fact else {}
        now = {field: digest(details.params.get(field)) for field in _FIELDS if field not in details.unusable}
        source = contract_id if account.email_of_order else None
        by_orders = not contract_id and any(name.startswith("email:") for name in told)
        if "email" not in details.params or by_orders or (source and told.get(f"email:{source}") == now["email"]):
            now.pop("email", None)
        # What was never told, and is not stated, may be Stripe's own.
        news = [field for field in now if told.get(field, digest(None)) != now[field]]
        noted = _noted(told | now, source if "email" in now else None)
        findings: list[Finding] = []
        if not news and noted == told:
            return findings
        try:
            if news:
                findings += [_remark(account, remark) for remark in details.remarks]
                self._customers.update(customer_id, self._told_anew(news, details))
        except DataError as refusal:
            if refusal.code == MISSING:
                raise
            message = f"The customer {customer_id} could not be told what the account {account.id} says: {refusal.message}"
            return [*findings, finding("customer_not_updated", message)]
        self._facts.note(key, {"told": noted})
        return findings

    def _told_anew(self, fields: Iterable[str], details: Details) -> dict[str, Any]:
        """The parameters of an update. Stripe merges metadata, so what a record says no more is emptied."""
        params = {field: clearing(field, details) for field in fields}
        if "metadata" in params:
            params["metadata"] = {**dict.fromkeys(self._mapping.metadata.customer, ""), **params["metadata"]}
        return params

    def instead(self, account: Account, currency: str, customer_id: str, refusal: DataError, *, org_id: str) -> Customer:
        """Another customer, where Stripe refuses to bill this one. Raises RefusedError, or the refusal if that is not why.

        A customer that was deleted gets a successor. One that has another currency gets one beside it, if that is the policy.
        """
        if _OTHER_CURRENCY in refusal.message:
            return self._beside(account, currency, customer_id, refusal, org_id=org_id)
        if refusal.code != MISSING:
            raise refusal
        state = self._customers.state(customer_id)
        if state == "there":
            raise refusal
        if state == "missing":
            message = f"The customer {customer_id} of the account {account.id} does not exist in this Stripe account."
            raise RefusedError(finding("customer_missing", message))
        only = self._currency_of(account, currency, customer_id)
        first = self._main(account, self._noted(account)) if only else None
        made = self._make(account, org_id=org_id, after=customer_id, currency=only, first=first)
        self._facts.note(customer_key(customer_id), {"told": {}, "successor": made.id})
        message = f"The customer {customer_id} of the account {account.id} was deleted in Stripe; {made.id} takes its place."
        return Customer(made.id, made.updates, (*made.findings, finding("customer_replaced", message)))

    def update_of(self, account: Account, customer_id: str, currency: str) -> tuple[Update, ...]:
        """What tells an account that knows no customer, or a deleted one, which it has, where Salesforce keeps that."""
        if not self._told or account.customer_id == customer_id or self._currency_of(account, currency, customer_id):
            return ()
        if account.customer_id:
            key = customer_key(account.customer_id)
            if self._facts.read([key]).get(key, {}).get("successor") != customer_id:
                return ()
        return self._tell(account, customer_id)

    def _tell(self, account: Account, customer_id: str) -> tuple[Update, ...]:
        return (Update("Account", account.id, {self._mapping.account.customer_id: customer_id}),)

    def _currency_of(self, account: Account, currency: str, customer_id: str) -> str | None:
        """The currency that a customer is for alone, if it is one of several."""
        return currency if self._noted(account).get(currency.lower()) == customer_id else None

    def _beside(self, account: Account, currency: str, first: str, refusal: DataError, *, org_id: str) -> Customer:
        if self._policies.customer_per_currency != "create":
            message = f"The account {account.id} cannot be billed in {currency} as well: {refusal.message}"
            raise RefusedError(finding("customer_currency", message))
        made = self._make(account, org_id=org_id, currency=currency, first=first)
        return Customer(made.id, made.updates, (*made.findings, _added(account, currency, made.id)))

    def _make(
        self,
        account: Account,
        *,
        org_id: str,
        contract_id: str = "",
        currency: str | None = None,
        after: str | None = None,
        first: str | None = None,
    ) -> Customer:
        details = customer_details(account, org_id=org_id, currency=currency, first=first)
        made, new = self._customers.ensure(account, details.params, org_id=org_id, currency=currency, after=after)
        remarks = [_remark(account, remark) for remark in details.remarks]
        if new and self._policies.customer_update != "never":
            told = {**details.params, "metadata": customer_details(account, org_id=org_id).params["metadata"]}
            digests = {field: digest(told.get(field)) for field in _FIELDS}
            self._facts.note(customer_key(made), {"told": _noted(digests, contract_id if account.email_of_order else None)})
        elif not new:
            remarks = list(dict.fromkeys([*remarks, *self.follow(account, made, org_id=org_id, contract_id=contract_id)]))
        if currency or not self._told:
            noted = {**self._noted(account), (currency.lower() if currency else _MAIN): made}
            self._facts.note(account_key(account.id), noted)
        updates = self._tell(account, made) if self._told and not currency else ()
        return Customer(made, updates, tuple(remarks))


def _noted(digests: Mapping[str, str], contract_id: str | None = None) -> dict[str, str]:
    """What is remembered of what a customer was told: nothing of what was empty. contract_id: whose e-mail address was told."""
    noted = {field: value for field, value in digests.items() if value != digest(None)}
    return noted | {f"email:{contract_id}": noted["email"]} if contract_id is not None and "email" in noted else noted


def _added(account: Account, currency: str, customer_id: str) -> Finding:
    """That an account is billed in a currency by a customer of its own."""
    message = f"In {currency} the account {account.id} is billed by its further customer {customer_id}."
    return finding("customer_added", message)


def _remark(account: Account, remark: str) -> Finding:
    return finding("customer_value", f"Of the account {account.id} {remark}.")
