"""What Salesforce is told of a run, as far as the policy lets it be saved there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from orderphase.errors import ConfigurationError, DataError
from orderphase.mapping import FieldMapping
from orderphase.salesforce.contracts import Contracts, ContractState
from orderphase.salesforce.writing import Creation, Update
from orderphase.store.sync_log import Outcome
from orderphase.stripe.account import Schedule

MESSAGE_LENGTH = 32_000
"""Salesforce: a long text area holds at most 32,768 characters."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its flow, event and id, when it began, and the idempotency key that whoever asked for it has given."""

    flow: str
    event_id: str
    id: str
    started_at: datetime
    key: str | None = None

    @property
    def asked_by(self) -> str | None:
        """The event with the key that was given."""
        return f"{self.event_id} {self.key}" if self.key else None


@dataclass(frozen=True, slots=True)
class Told:
    """What Salesforce is told of a run; `contract_id` where the order has a Contract."""

    outcome: Outcome
    message: str
    schedule: Schedule | None
    run: Run
    order_id: str
    contract_id: str | None


class WriteBack:
    """Writes to the records of contracts.

    policy: what is saved. records: whether Salesforce gets a record of each run that writes. now: gives the time in UTC.
    """

    def __init__(
        self,
        contracts: Contracts,
        mapping: FieldMapping,
        policy: Literal["full", "ids_only", "none"],
        *,
        records: bool,
        now: Callable[[], datetime],
    ) -> None:
        self.contracts = contracts
        self._mapping = mapping
        self._policy = policy
        self._records = records
        self._now = now

    def write(self, updates: Sequence[Update], told: Told) -> bool:
        """Write to Salesforce what the policy lets be saved there, with a record of the run where that is wanted.

        Answers whether there was anything to write.
        """
        if self._policy == "none":
            return False
        if self._policy == "ids_only":
            ids = self._id_fields
            kept = [{name: value for name, value in update.fields.items() if name in ids} for update in updates]
            updates = [replace(update, fields=fields) for update, fields in zip(updates, kept, strict=True) if fields]
        records = [self._record_of(told)] if updates and self._records and self._policy == "full" else []
        try:
            self.contracts.write_back(updates, records)
        except (DataError, ConfigurationError):
            if not records:
                raise
            self.contracts.write_back(updates)  # whose schedule it is matters more than the record of it
        return bool(updates)

    @property
    def _id_fields(self) -> frozenset[str]:
        """The fields in which Salesforce keeps Stripe's ids."""
        names = self._mapping
        of_schedules = (names.order.schedule_id, names.order.subscription_id, names.contract.schedule_id)
        of_catalogue = (names.account.customer_id, names.product.product_id, names.price_book_entry.price_id)
        return frozenset((*of_schedules, names.contract.subscription_id, *of_catalogue))

    def _record_of(self, told: Told) -> Creation:
        """What Salesforce's own record of a run says."""
        names, schedule = self._mapping.sync_log, told.schedule
        fields = {
            names.order: told.order_id,
            names.contract: told.contract_id,
            names.flow: told.run.flow,
            names.event_id: told.run.event_id,
            names.run_id: told.run.id,
            names.outcome: told.outcome,
            names.message: told.message[:MESSAGE_LENGTH],
            names.schedule_id: schedule.id if schedule else None,
            names.subscription_id: schedule.subscription_id if schedule else None,
            names.started_at: told.run.started_at.isoformat(timespec="seconds"),
            names.finished_at: self._now().isoformat(timespec="seconds"),
        }
        return Creation(names.object, {name: value for name, value in fields.items() if value is not None})

    def order_ids(self, schedule: Schedule) -> dict[str, str | None]:
        """The fields that tell an Order of its schedule."""
        names = self._mapping.order
        return {names.schedule_id: schedule.id, names.subscription_id: schedule.subscription_id}

    def contract_ids(self, state: ContractState, schedule: Schedule) -> Update:
        """What tells a Contract of its schedule."""
        names = self._mapping.contract
        fields = {names.schedule_id: schedule.id, names.subscription_id: schedule.subscription_id}
        return Update("Contract", state.id, fields)

    def status(self, order_id: str, status: str, message: str) -> Update:
        """What tells an Order how its synchronisation went."""
        names = self._mapping.order
        return Update("Order", order_id, {names.sync_status: status, names.sync_message: message[:MESSAGE_LENGTH]})
