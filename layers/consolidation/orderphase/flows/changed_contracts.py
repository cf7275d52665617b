"""Contracts that have changed since a run last looked at them: what events miss, and what was sold before there were any.

Salesforce says when its records were changed, and the contract table when they were last read for a run. So whatever has not
been looked at is found, however often and from whenever on one asks, and nothing else is queued.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from orderphase import deadline
from orderphase.salesforce.changes import Change, Changes
from orderphase.store.contracts import ContractTable
from orderphase.store.progress import POLL, Progress

OVERLAP = timedelta(minutes=10)
"""Salesforce: SystemModstamp is when a record was written; others see it once its transaction is over, which may take long."""

_HIDDEN = timedelta(minutes=2)
"""A change that was made so long before a run has read may have been hidden from it: its transaction was not over. What takes
longer is found by the sweep."""

_OWN = timedelta(seconds=5)
"""A run's own change of an order follows its reading at once. Of what comes later, it is not known whose it is."""

PAGES = 5
"""So many requests for orders, and so many for lines, one poll makes at most: 10,000 records each. The next goes on."""

_RESERVE = 20.0
"""Seconds of the function's time that are left for noting how far it has come."""

type Reason = Literal["poll", "backfill"]
type Enqueue = Callable[["ChangedContract", Reason], None]
"""Queues a contract to be looked at."""


@dataclass(frozen=True, slots=True)
class ChangedContract:
    """A contract that no run has looked at since an order of it was changed."""

    contract_id: str
    order_id: str
    changed_at: datetime


class ChangedContracts:
    """Finds them, and queues them."""

    def __init__(self, changes: Changes, table: ContractTable, progress: Progress, enqueue: Enqueue) -> None:
        self._changes = changes
        self._table = table
        self._progress = progress
        self._enqueue = enqueue

    def poll(self, now: datetime) -> int:
        """Queue what has changed since the last poll; answers how many contracts. The first poll looks at the last minutes.

        Where it breaks off, the next one begins again where this one did; where its time is over, at the first that it has not
        queued. Raises ConflictError where another poll was faster.
        """
        noted = self._progress.read(POLL)
        began = now - OVERLAP
        since = datetime.fromisoformat(noted.document["since"]) if "since" in noted.document else began
        pages = self._changes.since(since, pages=PAGES)
        found = self._not_looked_at(change for page in pages for change in page.changes)
        found.sort(key=lambda contract: contract.changed_at)
        queued = 0
        for contract in found:
            if deadline.left() <= _RESERVE:
                break
            self._enqueue(contract, "poll")
            queued += 1
        ends = [began if page.complete else min(began, page.changes[-1].at) for page in pages]
        ends += [contract.changed_at for contract in found[queued:]]
        self._progress.write(POLL, {"since": min(ends).isoformat()}, noted.version)
        return queued

    def backfill(self, today: date) -> list[ChangedContract]:
        """Every contract with lines that are still billed and that no run has looked at since its last change; queues none."""
        return self._not_looked_at(self._changes.live(today))

    def queue(self, contract: ChangedContract) -> None:
        """Queue a contract that `backfill` has found."""
        self._enqueue(contract, "backfill")

    def _not_looked_at(self, changes: Iterable[Change]) -> list[ChangedContract]:
        by_contract: dict[str, list[Change]] = {}
        for change in changes:
            by_contract.setdefault(change.contract_id, []).append(change)
        seen = self._table.seen(by_contract)
        return [
            ChangedContract(contract_id, newest.order_id, newest.at)
            for contract_id, some in by_contract.items()
            if (newest := max(self._news(some, seen.get(contract_id)), key=lambda change: change.at, default=None))
        ]

    def _news(self, changes: Iterable[Change], seen_at: datetime | None) -> Iterator[Change]:
        """Those changes that the last run may not have read."""
        for change in changes:
            if seen_at is None:
                yield change
                continue
            read = change.at < seen_at - _HIDDEN
            # The org's own automation may activate an order along with what we change.
            activated = change.activated_at is not None and change.activated_at >= seen_at - _HIDDEN
            ours = change.user_id == self._changes.user_id and not activated
            if not read and not (ours and change.at <= seen_at + _OWN):
                yield change
