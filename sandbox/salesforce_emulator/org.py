"""One org: its setup, its schema, its rows and its time. What the rules of every object work on."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox.clock import Clock
from sandbox.salesforce_emulator.errors import SalesforceError
from sandbox.salesforce_emulator.ids import make_id
from sandbox.salesforce_emulator.objects import CURRENCIES, DEFAULT_CURRENCY
from sandbox.salesforce_emulator.schema import Schema, SObject
from sandbox.salesforce_emulator.store import Row, Store
from sandbox.salesforce_emulator.values import Value

ORDER_STATUSES = {"Draft": "Draft", "Activated": "Activated"}
CONTRACT_STATUSES = {"Draft": "Draft", "In Approval Process": "InApproval", "Activated": "Activated"}


@dataclass(frozen=True, slots=True)
class Setup:
    """What an administrator has switched on; see `SalesforceEmulator`."""

    org_id: str
    username: str
    multicurrency: bool
    edit_activated_orders: bool
    zero_quantity: bool
    negative_quantity: bool
    reduction_orders: bool


@dataclass(frozen=True, slots=True)
class Happening:
    """What has just happened to a record and is told outside: `kind` is the type of the event, `data` its data."""

    kind: str
    record_id: str
    at: datetime
    data: Mapping[str, Any]


class Org:
    """The rows and what is known about them. Everything is lost with the object.

    There are two users: that of the integration, as whom its client acts, and a person, as whom Python and another client do.
    `user_id`: who acts now; `seen`: the schema as far as that user may see and write it.
    together: the rows created so far by the collection that is being written; None outside of one.
    """

    def __init__(self, schema: Schema, clock: Clock, setup: Setup) -> None:
        self.schema = schema
        self.clock = clock
        self.setup = setup
        self.store = Store(schema)
        self.happenings: list[Happening] = []
        self.together: set[str] | None = None
        self._counters: dict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))
        self.integration_user_id, self.person_id = make_id("005", 1), make_id("005", 2)
        self.user_id = self.person_id
        self.seen = schema
        self._seed()
        self.store.commit()

    @contextmanager
    def integration(self, seen: Schema) -> Iterator[None]:
        """Act as the user of the integration, who sees this much of the schema."""
        self.user_id, self.seen = self.integration_user_id, seen
        try:
            yield
        finally:
            self.user_id, self.seen = self.person_id, self.schema

    @contextmanager
    def collection(self) -> Iterator[None]:
        """Keep `together` while a collection is written."""
        self.together = set()
        try:
            yield
        finally:
            self.together = None

    def now(self) -> datetime:
        """The present to the second, as Salesforce keeps it in its rows."""
        return self.clock.now().replace(microsecond=0)

    def blank(self, sobject: SObject, record_id: str | None = None) -> dict[str, Value]:
        """A new row: id, defaults, auto-numbers and the system fields; everything else null."""
        number = next(self._counters[sobject.name])
        row: dict[str, Value] = {field.name: field.default for field in sobject}
        row |= {field.name: f"{number:08d}" for field in sobject if field.auto_number}
        row["Id"] = record_id or make_id(sobject.prefix, number)
        row["CreatedById"] = self.user_id
        row["CreatedDate"] = self.now()
        if sobject.field("OwnerId"):
            row["OwnerId"] = self.user_id
        return self.stamped(row)

    def stamped(self, row: Row) -> dict[str, Value]:
        """A copy of a row, last changed now."""
        now = self.now()
        return {**row, "LastModifiedById": self.user_id, "LastModifiedDate": now, "SystemModstamp": now}

    def derive(self, object_name: str, row: Row, **values: Value) -> None:
        """Let the platform itself set fields of a stored row. Salesforce: moves SystemModstamp, not LastModifiedDate."""
        if any(row.get(name) != value for name, value in values.items()):
            self.store.put(object_name, {**row, **values, "SystemModstamp": self.now()})

    def tell(self, kind: str, record: Row, **data: Any) -> None:
        """Note what has happened to a record, and who did it. It is told once the transaction is committed."""
        self.happenings.append(Happening(kind, str(record["Id"]), self.clock.now(), {**data, "changed_by": self.user_id}))

    def live(self, object_name: str, record_id: Value) -> Row:
        """A row that is known to be there."""
        row = self.store.live(object_name, record_id)
        if row is None:
            raise LookupError(f"{object_name} {record_id} is gone")
        return row

    def category(self, object_name: str, status: Value) -> str:
        """The StatusCode that a status label of an Order or Contract stands for. Raises SalesforceError for an unknown one."""
        for row in self.store.rows(f"{object_name}Status"):
            if row["ApiName"] == status:
                return str(row["StatusCode"])
        message = f"Status: bad value for restricted picklist field: {status}"
        raise SalesforceError("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, fields=["Status"])

    def add_status(self, object_name: str, label: str, code: str) -> None:
        """Give Order or Contract one more status. Salesforce: each label belongs to one category."""
        self.plant(f"{object_name}Status", MasterLabel=label, ApiName=label, StatusCode=code, IsDefault=label == "Draft")

    def plant(self, object_name: str, record_id: str | None = None, **values: Value) -> None:
        """Store a row past all rules."""
        self.store.put(object_name, {**self.blank(self.schema[object_name], record_id), **values})

    def _seed(self) -> None:
        zone = "GMT"
        self.plant("User", Username=self.setup.username, Name="Integration User", IsActive=True, TimeZoneSidKey=zone)
        self.plant("User", Username="person@orderphase.example", Name="A Person", IsActive=True, TimeZoneSidKey=zone)
        edition = "Developer Edition"
        self.plant(
            "Organization",
            self.setup.org_id,
            Name="Emulated Org",
            IsSandbox=True,
            TimeZoneSidKey=zone,
            OrganizationType=edition,
        )
        # Salesforce: in a new org the standard price book is there, and inactive.
        self.plant("Pricebook2", Name="Standard Price Book", IsStandard=True)
        for label, code in ORDER_STATUSES.items():
            self.add_status("Order", label, code)
        for label, code in CONTRACT_STATUSES.items():
            self.add_status("Contract", label, code)
        if self.setup.multicurrency:
            for code in CURRENCIES:
                self.plant("CurrencyType", IsoCode=code, IsActive=True, IsCorporate=code == DEFAULT_CURRENCY)
