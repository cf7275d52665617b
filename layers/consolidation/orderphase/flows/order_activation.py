"""Order activation: an activated order's contract becomes a Stripe subscription schedule, or changes the one that it has.

The first order of a contract makes the schedule. Each later one is a change order: the whole contract is consolidated again and
applied as one update.
"""

from __future__ import annotations

from collections.abc import Sequence

from orderphase.errors import ConflictError
from orderphase.flows.contract_runs import ContractRuns, Hold
from orderphase.flows.runs import Report
from orderphase.salesforce.contracts import ContractState

FLOW = "order_activation"

_STATUS = frozenset({"status", "statuscode"})


class OrderActivation:
    """The flow."""

    def __init__(self, runs: ContractRuns) -> None:
        self._runs = runs

    def run(
        self,
        order_id: str,
        *,
        event_id: str,
        org_id: str,
        contract_due: bool = False,
        changed_fields: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> Report:
        """Handle one event.

        changed_fields: API names of what has changed; None = its status, or not known.
        idempotency_key: what Stripe is to know the write by, where the sender wants to choose that.
        contract_due: the contract's schedule needs its next phases. Then what the order itself has become does not matter.
        """

        def work(state: ContractState, hold: Hold) -> Report:
            known = self._runs.know(state, hold)
            if state.order.activated or (contract_due and state.orders):
                if state.order.activated and state.activated_order is None:
                    raise ConflictError(f"Order {state.order.number} has changed while it was read")
                return self._runs.apply(known, hold, due=contract_due)
            if changed_fields is not None and _STATUS.isdisjoint(name.lower() for name in changed_fields):
                return Report("skipped", f"Order {state.order.number} is not activated.", state.id)
            message = f"Order {state.order.number} is not activated any more, so this event changed nothing in Stripe."
            return self._runs.pass_over(known, message, hold)

        read = self._runs.contracts.read
        return self._runs.run(
            FLOW, order_id, event_id=event_id, org_id=org_id, read=read, work=work, idempotency_key=idempotency_key
        )
