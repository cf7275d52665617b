"""Contracts: their statuses, and the end date that follows from start and term."""

from __future__ import annotations

import calendar
from collections.abc import Set as AbstractSet
from datetime import date, timedelta

from sandbox.salesforce_emulator.errors import SalesforceError, failed_activation
from sandbox.salesforce_emulator.rules import Rules
from sandbox.salesforce_emulator.store import Row
from sandbox.salesforce_emulator.values import Value

_INVALID_STATUS = "Choose a valid contract status and save your changes"


def add_months(start: date, months: int) -> date:
    """The same day so many months later, or that month's last day."""
    year, month = divmod(start.month - 1 + months, 12)
    year, month = start.year + year, month + 1
    return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))


class ContractRules(Rules):
    """Created as drafts, activated by a change of the status alone, and never set back after that."""

    blockers = (("Order", "ContractId", "orders"),)

    def insert(self, new: dict[str, Value]) -> None:
        """Salesforce: only a Draft can be created."""
        if self.org.category("Contract", new["Status"]) != "Draft":
            raise failed_activation(_INVALID_STATUS)
        self._complete(new)

    def update(self, old: Row, new: dict[str, Value], given: AbstractSet[str]) -> None:
        """Salesforce: activation takes the status alone; an activated contract keeps its status."""
        category = self.org.category("Contract", new["Status"])
        if old["StatusCode"] == "Activated" and category != "Activated":
            raise failed_activation(_INVALID_STATUS)
        if category == "Activated" and old["StatusCode"] != "Activated":
            if given != {"Status"}:
                raise failed_activation("Activate a contract by changing its status alone.")
            new["ActivatedDate"] = self.org.now()
            new["ActivatedById"] = self.org.user_id
        self._complete(new)

    def delete(self, old: Row) -> None:
        """Salesforce: an activated contract cannot be deleted."""
        if old["StatusCode"] == "Activated":
            raise SalesforceError("DELETE_FAILED", "unable to modify activated contract")
        super().delete(old)

    def _complete(self, new: dict[str, Value]) -> None:
        """Salesforce: EndDate = StartDate + ContractTerm months - 1 day."""
        new["StatusCode"] = self.org.category("Contract", new["Status"])
        start, term = new["StartDate"], new["ContractTerm"]
        new["EndDate"] = None
        if isinstance(start, date) and isinstance(term, int):
            new["EndDate"] = add_months(start, term) - timedelta(days=1)
