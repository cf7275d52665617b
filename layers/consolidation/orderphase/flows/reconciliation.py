"""Reconciliation: a contract is held against Stripe without an event of its own, and what was missed is made good.

It does what an event of the contract would have done. Stripe's side may have been changed by somebody else: what becomes of
that is the policy `on_drift`, as with every run. Where both sides agree, nothing is written.
"""

from __future__ import annotations

from dataclasses import replace

from orderphase.errors import DataError
from orderphase.flows.contract_runs import Asked, ContractRuns, Hold
from orderphase.flows.runs import Report
from orderphase.salesforce.contracts import ContractState

FLOW = "reconciliation"


class Reconciliation:
    """The flow.

    runs: as every flow has them. watching: the same, with a policy that makes no new schedule where one is over: what somebody
    has ended in Stripe is told, and only a change in Salesforce, as the poll finds it, lets the contract start anew.
    """

    def __init__(self, runs: ContractRuns, watching: ContractRuns) -> None:
        self._runs = runs
        self._watching = watching

    def run(self, contract_id: str, *, event_id: str, org_id: str, order_id: str | None = None, billed: bool = False) -> Report:
        """Look at a contract; `contract_id` is the order's own where it has no Contract.

        order_id: the order that was changed, where that is known: it is told what is wrong with it. billed: whether the
        contract is, as far as the ledger knows.
        """
        runs = self._watching if order_id is None else self._runs
        asked = order_id or (contract_id if contract_id.startswith("801") else None)

        def read(record_id: str) -> ContractState:
            if asked is not None:
                try:
                    state = runs.contracts.read(asked)
                except DataError as problem:
                    if problem.code != "NOT_FOUND" or asked == record_id:
                        raise
                else:
                    if record_id in (state.id, asked) and (state.order.activated or not state.has_contract):
                        return state
                    if record_id == asked:
                        record_id = state.id  # it has got a Contract since
            return runs.contracts.read_contract(record_id)

        def work(state: ContractState, hold: Hold) -> Report:
            if order_id is None:
                state = _by_an_order_that_is_not_billed(state, hold)
            known = runs.know(state, hold)
            if state.activated_order is not None:
                return replace(runs.apply(known, hold), order_id=state.order.id)
            hold.planned = True
            goes_on = f" The schedule {known.billing.id} goes on unchanged." if known.billing else ""
            return Report("skipped", f"No order of the contract is activated.{goes_on}", state.id, schedule=known.billing)

        about = Asked(contract_id, asked, billed)
        return runs.run(FLOW, contract_id, event_id=event_id, org_id=org_id, read=read, work=work, contract=about)


def _by_an_order_that_is_not_billed(state: ContractState, hold: Hold) -> ContractState:
    """The contract by its newest order that is not billed yet, if there is one: what is wrong is told there, if at all.

    Those that are billed as they should be stay as they are.
    """
    billed = hold.intent.orders if hold.intent else frozenset()
    waiting = [order for order in state.orders if order.id not in billed]
    newest = max(waiting, key=lambda order: order.age, default=None)
    return replace(state, order=state.states[newest.id]) if newest else state
