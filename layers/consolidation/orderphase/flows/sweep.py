"""The sweep: every contract that is billed is held against Stripe once a day, a few at a time.

So is one whose data had to change first: what has put it right may be no change of the contract, such as a price in the book.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from orderphase.store.contracts import ContractTable, Intent
from orderphase.store.progress import Progress

EVERY = timedelta(minutes=5)
"""How often it runs."""

ROUND = timedelta(days=1)
"""So often every contract is looked at, as far as the rate allows it."""

SWEEP = "sweep"
"""Its document. `cursor`: the contract after which it goes on, none between two rounds; `began`: when the round did."""

_AFTER_THE_END = timedelta(days=30)
"""So long a contract that is over is looked at still: what somebody has made bill on shows by then."""

type Enqueue = Callable[[str, str, str, bool], None]
"""Queues a contract: its id, the org's id, an id for the event, and whether it is billed as far as the ledger knows."""


class Sweep:
    """Walks through the contract table. rate: contracts an hour that are looked at, at most."""

    def __init__(self, table: ContractTable, progress: Progress, enqueue: Enqueue, *, rate: int) -> None:
        self._table = table
        self._progress = progress
        self._enqueue = enqueue
        self._budget = max(1, round(rate * EVERY / timedelta(hours=1)))

    def run(self, now: datetime) -> int:
        """Queue the next contracts; answers how many. None between the end of a round and the next one's time.

        Where it breaks off, the next run queues the same ones again. Raises ConflictError where another run was faster.
        """
        noted = self._progress.read(SWEEP)
        began = datetime.fromisoformat(noted.document["began"]) if noted.document else None
        cursor = noted.document.get("cursor")
        if began is None or (cursor is None and now - began >= ROUND):
            began = now
        elif cursor is None:
            return 0
        entries, cursor = self._table.page(cursor, self._budget)
        found = 0
        for entry in entries:
            billed = entry.intent is not None and _billed(entry.intent, now)
            org_id = (entry.intent.org_id if entry.intent else None) or entry.failed_in
            if org_id is not None and (billed or entry.failed_in is not None):
                self._enqueue(entry.contract_id, org_id, f"sweep-{entry.contract_id}-{began:%Y%m%dT%H%M%SZ}", billed)
                found += 1
        self._progress.write(SWEEP, {"cursor": cursor, "began": began.isoformat()}, noted.version)
        return found


def _billed(intent: Intent, now: datetime) -> bool:
    """Whether the contract has, may have, or had lately something to bill."""
    ends = [phase.end for phase in intent.phases]
    over = intent.ends_at or (max(end for end in ends if end) if ends and None not in ends else None)
    return intent.state != "recorded" or (intent.schedule_id is not None and (over is None or over > now - _AFTER_THE_END))
