"""The rolling window: contracts with more phases than Stripe takes at a time get their next ones before these are needed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from orderphase.store.contracts import ContractTable

EVERY = timedelta(hours=1)
"""How often it runs."""

type Enqueue = Callable[[str, str, str, datetime], None]
"""Queues an order activation: contract id, order id, org id, and when it became due."""


class RollingWindow:
    """Finds the contracts that are due and has their orders activated again, which adds what is missing.

    It does so while half of the phases that Stripe has are still to come. Where it is late nevertheless, Stripe lets the
    subscription go on as in its last phase; the next run takes it over.
    """

    def __init__(self, table: ContractTable, enqueue: Enqueue) -> None:
        self._table = table
        self._enqueue = enqueue

    def run(self, now: datetime) -> int:
        """Queue every contract that is due; answers how many there are."""
        count = 0
        for contract_id, intent in self._table.due(now):
            if intent.orders and intent.org_id and intent.extend_at:
                # Another order each time: one that was deleted or moved meanwhile does not lead to the contract.
                turn = (now - intent.extend_at) // EVERY % len(intent.orders)
                self._enqueue(contract_id, sorted(intent.orders)[turn], intent.org_id, intent.extend_at)
                count += 1
        return count
