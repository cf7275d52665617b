"""What a run of a flow has come to, and how it gets into the sync log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from orderphase import correlation
from orderphase.domain.findings import Finding
from orderphase.errors import DataError, OrderphaseError
from orderphase.salesforce.client import SalesforceClient
from orderphase.store.sync_log import Entry, Outcome, SyncLog
from orderphase.stripe.account import Schedule
from orderphase.stripe.accounts import StripeAccounts


@dataclass(frozen=True, slots=True)
class Report:
    """What a run has come to; `error` is the classified error that made it so, `order_id` the order that it was about.

    order_number: of that order, where it was read. news: False where the same was found wrong with it before, and told.
    """

    outcome: Outcome
    message: str
    contract_id: str
    findings: Sequence[Finding] = ()
    schedule: Schedule | None = None
    error: OrderphaseError | None = None
    order_id: str | None = None
    order_number: str | None = None
    news: bool = True


class Runs:
    """Runs flows, and keeps the sync log: one entry per run, whatever it comes to.

    now, run_id: give the time in UTC, give an id of a run.
    """

    def __init__(
        self,
        log: SyncLog,
        salesforce: SalesforceClient,
        stripe: StripeAccounts,
        now: Callable[[], datetime],
        run_id: Callable[[], str],
    ) -> None:
        self._log = log
        self._salesforce = salesforce
        self._stripe = stripe
        self._now = now
        self.new_id = run_id

    def of_another_org(self, org_id: str, record_id: str) -> Report | None:
        """What becomes of an event that comes from another org than the connected one; None where it comes from that."""
        connected = self._salesforce.org_id
        if org_id == connected:
            return None
        message = f"The event comes from org {org_id}, but this deployment is connected to org {connected}."
        return Report("skipped", message, record_id, error=DataError(message, code="wrong_org"))

    def run(self, flow: str, run_id: str, record_id: str, event_id: str, work: Callable[[], Report]) -> Report:
        """Do `work` and log its report. An error is logged as an interruption and raised again; of a bug, only its type."""
        started = self._now()
        salesforce, stripe = self._salesforce.calls, self._stripe.calls
        interruption: Exception | None = None
        try:
            report = work()
        except OrderphaseError as problem:
            interruption = problem
            report = Report("interrupted", problem.message, record_id, error=problem)
        except Exception as bug:  # noqa: BLE001 (raised again below)
            interruption = bug
            known = OrderphaseError("A bug: see the function's log.", code=type(bug).__name__)
            report = Report("interrupted", known.message, record_id, error=known)
        self._log.add(
            Entry(
                contract_id=report.contract_id,
                order_id=report.order_id or record_id,
                event_id=event_id,
                run_id=run_id,
                flow=flow,
                outcome=report.outcome,
                message=report.message,
                started_at=started,
                finished_at=self._now(),
                findings=report.findings,
                error=report.error.kind if report.error else None,
                error_code=report.error.code if report.error else None,
                schedule_id=report.schedule.id if report.schedule else None,
                subscription_id=report.schedule.subscription_id if report.schedule else None,
                salesforce_calls=self._salesforce.calls - salesforce,
                stripe_calls=self._stripe.calls - stripe,
                correlation_id=correlation.current(),
                order_number=report.order_number,
            )
        )
        if interruption is not None:
            raise interruption
        return report
