"""What an object's own business rules look like to the code that writes rows, and the rules of the simpler objects.

Orders and their lines are in `order_rules.py`, contracts in `contract_rules.py`, price book entries in `price_rules.py`.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from sandbox.salesforce_emulator.addresses import agree
from sandbox.salesforce_emulator.errors import SalesforceError
from sandbox.salesforce_emulator.org import Org
from sandbox.salesforce_emulator.store import Row
from sandbox.salesforce_emulator.values import Value

_OF_A_PERSON = ("FirstName", "LastName", "PersonEmail")


class Rules:
    """The rules of one object. Each method refuses by raising SalesforceError; these here allow everything.

    blockers: the lookups (object, field, and what Salesforce calls those rows) that keep a row from being deleted.
    leaves_no_trace: a deleted row is gone at once instead of lying in the recycle bin.
    """

    blockers: tuple[tuple[str, str, str], ...] = ()
    leaves_no_trace = False

    def __init__(self, org: Org) -> None:
        self.org = org

    def prepare(self, old: Row | None, new: dict[str, Value], given: AbstractSet[str]) -> None:
        """Fill in what follows from the given fields, before it is checked that none is missing. `old`: None for a new row."""

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
    """An account with contracts or orders stays. One with a last name is a person, in an org that has person accounts.

    That one with drafts stays too, and the text, are inferred.
    """

    blockers = (("Contract", "AccountId", "contracts"), ("Order", "AccountId", "orders"))

    def prepare(self, old: Row | None, new: dict[str, Value], given: AbstractSet[str]) -> None:
        """Name a person by its parts, and let the codes and names of the addresses agree."""
        if "IsPersonAccount" in new:
            self._name(old, new, given)
        agree(new, given, created=old is None)

    def _name(self, old: Row | None, new: dict[str, Value], given: AbstractSet[str]) -> None:
        """The code for a person's field on a company, and a company's on a person, is inferred."""
        person = new["LastName"] is not None if old is None else bool(old.get("IsPersonAccount"))
        foreign = [name for name in (("Name",) if person else _OF_A_PERSON) if name in given and new[name] is not None]
        if foreign:
            message = f"Account: bad field names on insert/update call: {', '.join(foreign)}"
            raise SalesforceError("INVALID_FIELD_FOR_INSERT_UPDATE", message, fields=foreign)
        new["IsPersonAccount"] = person
        if person:
            if new["LastName"] is None:
                message = "Required fields are missing: [LastName]"
                raise SalesforceError("REQUIRED_FIELD_MISSING", message, fields=["LastName"])
            new["Name"] = " ".join(str(part) for part in (new["FirstName"], new["LastName"]) if part)
