"""Cancellation: the contract of an order ends now, with the billing period, or on a date.

The ledger remembers it, so that no later event of the contract brings it back.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from orderphase.domain.calendar import day
from orderphase.domain.cancellation import CancellationRequest, cancellation_findings, end_of
from orderphase.domain.consolidation import consolidate
from orderphase.domain.findings import Finding
from orderphase.domain.pricing import priced
from orderphase.errors import ConflictError
from orderphase.flows.contract_runs import ContractRuns, Hold
from orderphase.flows.proposals import Known
from orderphase.flows.runs import Report
from orderphase.salesforce.contracts import PENDING, ContractState

FLOW = "cancellation"


class Cancellation:
    """The flow."""

    def __init__(self, runs: ContractRuns) -> None:
        self._runs = runs

    def run(
        self, order_id: str, *, event_id: str, org_id: str, request: CancellationRequest, idempotency_key: str | None = None
    ) -> Report:
        """Handle one event. A contract that is over already is cancelled as well; one with an earlier end keeps that."""

        def work(state: ContractState, hold: Hold) -> Report:
            known = self._runs.know(state, hold)
            if not known.ours:
                return self._runs.refuse(known, known.found, hold)
            return self._unbilled(known, hold, request) if known.schedule is None else self._billed(known, hold, request)

        read = self._runs.contracts.read
        return self._runs.run(
            FLOW, order_id, event_id=event_id, org_id=org_id, read=read, work=work, idempotency_key=idempotency_key
        )

    def _unbilled(self, known: Known, hold: Hold, request: CancellationRequest) -> Report:
        """Nothing is billed yet. The contract's activation may still be under way: the queues of the flows know no order."""
        waiting = known.state.order.activated and known.state.order.sync_status in (None, PENDING)
        if request.mode == "at_period_end" and waiting:
            raise ConflictError(f"Order {known.state.order.number} is not billed yet, so it has no billing period")
        now, policies = self._runs.now(), self._runs.policies
        ends_at, ended = end_of(request, None, now=now, policies=policies), known.ends_at(now)
        if findings := self._findings(known, request, ends_at):
            return self._runs.refuse(known, findings, hold)
        if ended is not None and ended <= ends_at:
            ends_at, request = ended, (known.intent and known.intent.cancellation) or request
        return self._runs.end_unbilled(known, hold, ends_at=ends_at, cancellation=request)

    def _billed(self, known: Known, hold: Hold, request: CancellationRequest) -> Report:
        now, policies = self._runs.now(), self._runs.policies
        ends_at, ended = end_of(request, known.schedule, now=now, policies=policies), known.ends_at(now)
        if ended is not None and ended <= ends_at:
            # An earlier end stays, whatever the order in which the requests arrive.
            earlier = (known.intent and known.intent.cancellation) or request
            report = self._runs.apply(known, hold, ends_at=ended, cancellation=earlier)
            postponed = request.mode == "on_date" and ended < ends_at and ended > now
            if postponed and report.outcome == "unchanged":
                zone = ZoneInfo(policies.time_zone)
                message = f"The contract ends on {day(ended, zone)} already; {day(ends_at, zone)} does not take that back."
                return replace(report, outcome="skipped", message=message)
            return report
        if findings := self._findings(known, request, ends_at):
            return self._runs.refuse(known, findings, hold)
        return self._runs.apply(known, hold, ends_at=ends_at, cancellation=request)

    def _findings(self, known: Known, request: CancellationRequest, ends_at: datetime) -> tuple[Finding, ...]:
        now, policies = self._runs.now(), self._runs.policies
        # Only a date has to lie before the end of what was sold.
        orders = priced(known.state.orders, policies, self._runs.currency, known.prices) if request.mode == "on_date" else ()
        phases = consolidate(orders, policies).phases
        return tuple(cancellation_findings(request, ends_at, phases, known.schedule, now=now, policies=policies))
