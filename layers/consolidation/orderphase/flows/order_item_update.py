"""Order item update: what an activated order's line is billed by was changed, so the schedule is replaced."""

from __future__ import annotations

from collections.abc import Sequence

from orderphase.flows.contract_runs import ContractRuns, Hold
from orderphase.flows.runs import Report
from orderphase.mapping import OrderItemFields
from orderphase.salesforce.contracts import FAILED, ContractState

FLOW = "order_item_update"


class OrderItemUpdate:
    """The flow."""

    def __init__(self, runs: ContractRuns, fields: OrderItemFields) -> None:
        self._runs = runs
        billed_by = (fields.quantity, fields.start_date, fields.end_date, fields.unit_price, fields.price_id)
        self._relevant = {name.lower() for name in (*billed_by, fields.percent_off, fields.amount_off)}

    def run(
        self,
        line_id: str,
        *,
        event_id: str,
        org_id: str,
        changed_fields: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> Report:
        """Handle one event. `changed_fields`: API names of what has changed; None = not known, so anything may have."""
        if changed_fields is not None and self._relevant.isdisjoint(name.lower() for name in changed_fields):
            names = ", ".join(changed_fields) or "nothing"
            message = f"Of line {line_id} only {names} has changed, which is not billed by."
            return self._runs.skip(FLOW, line_id, event_id=event_id, message=message)

        def work(state: ContractState, hold: Hold) -> Report:
            if not state.order.activated:
                return Report("skipped", f"Order {state.order.number} is not activated.", state.id)
            known = self._runs.know(state, hold)
            # What was refused, and is corrected now, nothing else may tell of again.
            refused = any(order.sync_status == FAILED for order in state.states.values())
            if known.schedule is None and not known.found and not refused:
                message = f"Order {state.order.number} has no schedule yet: its activation makes one."
                return Report("skipped", message, state.id)
            return self._runs.apply(known, hold)

        read = self._runs.contracts.read_of_line
        return self._runs.run(
            FLOW, line_id, event_id=event_id, org_id=org_id, read=read, work=work, idempotency_key=idempotency_key
        )
