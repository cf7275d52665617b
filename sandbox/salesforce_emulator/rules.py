"""What an object's own business rules look like to the code that writes rows, and the rules of the simpler objects.

Orders and their lines are in `order_rules.py`, contracts in `contract_rules.py`, price book entries in `price_rules.py`.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from sandbox.salesforce_emulator.errors import SalesforceError
from sandbox.salesforce_emulator.org import Org
from sandbox.salesforce_emulator.store import Row
from sandbox.salesforce_emulator.values import Value


class Rules:
    """The rules of one object. Each method refuses by raising SalesforceError; these here allow everything.

    blockers: the lookups (object, field, and what Salesforce calls those rows) that keep a row from being deleted.
    leaves_no_trace: a deleted row is gone at once instead of lying in the recycle bin.
    """

    blockers: tuple[tuple[str, str, str], ...] = ()
    leaves_no_trace = False

    def __init__(self, org: Org) -> None:
        self.org = org

    def insert(self, new: dict[str, Value]) -> None:
        """Check a row about to be created, and fill in what the platform derives."""

    def update(self, old: Row, new: dict[str, Value], given: AbstractSet[str]) -> None:
        """Check a row about to be changed; `given` are the fields that the request names."""

    def delete(self, old: Row) -> None:
        """Check a row about to be deleted."""
        for object_name, field_name, plural in self.blockers:
            if rows := self.org.store.where(object_name, field_name, old["Id"]):
                named = ", ".join(str(row["Id"]) for row in rows[:5])
                message = (
                    f"Your attempt to delete {old.get('Name') or old['Id']} could not be completed because it is associated "
                    f"with the following {plural}.: {named}"
                )
                raise SalesforceError("DELETE_FAILED", message)

    def written(self, new: Row) -> None:
        """Carry a stored change over to other rows."""

    def removed(self, old: Row) -> None:
        """Carry a deletion over to other rows."""


class AccountRules(Rules):
    """An account with contracts or orders stays."""

    blockers = (("Contract", "AccountId", "contracts"), ("Order", "AccountId", "orders"))
