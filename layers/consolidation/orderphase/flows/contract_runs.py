"""How a flow works on a contract: read it, hold it, plan, carry the plan out with one write, tell Salesforce, log.

The event only says where to look. A run that comes too late, twice, or after a crash finds out by itself what is left to do:
Salesforce says what was sold, the ledger what was about to happen, Stripe what has happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from orderphase.domain.cancellation import CancellationRequest
from orderphase.domain.findings import Finding, as_text
from orderphase.domain.policies import Policies
from orderphase.domain.requests import identity
from orderphase.errors import ConfigurationError, ConflictError, DataError, UnknownOutcomeError
from orderphase.flows.catalogue import CatalogueSource
from orderphase.flows.proposals import Known, Proposal, Proposals, coupons_of, intended
from orderphase.flows.runs import Report, Runs
from orderphase.mapping import FieldMapping
from orderphase.salesforce.contracts import CANCELLED, FAILED, SKIPPED, SYNCED, Contracts, ContractState, Update
from orderphase.store.contracts import ContractTable, Intent, Lease
from orderphase.store.phases import without_lines
from orderphase.store.sync_log import SyncLog
from orderphase.stripe.account import Schedule, StripeAccount
from orderphase.stripe.client import REPLAYED_FAILURE, REUSED_KEY

MESSAGE_LENGTH = 32_000
"""Salesforce: a long text area holds at most 32,768 characters."""

_CLOCK_SKEW = timedelta(seconds=5)
_PATIENCE = 8
"""So many seconds a run waits for another one's end; with its own work that stays below the function's 30."""

_STEPS = 3
"""A subscription that was let go takes two: a new schedule takes it over, then the phases follow."""


@dataclass(slots=True)
class Hold:
    """The lease of a run, with the intent that is written down when the run lets go."""

    lease: Lease
    intent: Intent | None


class ContractRuns:
    """What the flows have in common, with their collaborators.

    now, run_id, pause: give the time in UTC, give an id of a run, wait for some seconds.
    """

    def __init__(  # noqa: PLR0913 (its collaborators, by name)
        self,
        *,
        contracts: Contracts,
        stripe: StripeAccount,
        table: ContractTable,
        log: SyncLog,
        mapping: FieldMapping,
        policies: Policies,
        currency: str,
        now: Callable[[], datetime],
        run_id: Callable[[], str],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.contracts = contracts
        self.policies = policies
        self.now = now
        self.stripe = stripe
        self.table = table
        self._mapping = mapping
        self._run_id = run_id
        self._pause = pause
        self._catalogue = CatalogueSource(stripe, mapping, currency)
        self.proposals = Proposals(stripe, self._catalogue, policies, currency, now)
        self._runs = Runs(log, contracts, stripe, now)

    def run(
        self,
        flow: str,
        record_id: str,
        *,
        event_id: str,
        org_id: str,
        read: Callable[[str], ContractState],
        work: Callable[[ContractState, Hold], Report],
    ) -> Report:
        """Do `work` on the contract of a record, alone and logged.

        What the customer has to correct is told on the Order and is no exception. Everything else is raised, classified, and
        the event is to be delivered again. Either way the sync log has an entry.
        """
        run_id = self._run_id()

        def handle() -> Report:
            connected = self.contracts.org_id
            if org_id != connected:
                message = f"The event comes from org {org_id}, but this deployment is connected to org {connected}."
                return Report("skipped", message, record_id, error=DataError(message, code="wrong_org"))
            read_at = self.now()
            try:
                state = read(record_id)
            except DataError as problem:
                return self._unreadable(record_id, problem)
            with self._hold(state.id, run_id) as hold:
                if hold.lease.last_change is not None and hold.lease.last_change > read_at - _CLOCK_SKEW:
                    # Another run let go after we had read, or about then; what we have read may be what it has changed.
                    state = read(record_id)
                if state.id != hold.lease.contract_id:
                    raise ConflictError(f"Order {state.order.number} has changed while it was read")
                try:
                    report = work(state, hold)
                except DataError as problem:
                    if hold.intent and hold.intent.state == "intended" and hold.lease.intent:
                        hold.intent = hold.lease.intent  # refused, so nothing has come of it
                    report = self._failure(state.order.id, state.id, problem, hold.intent)
                return replace(report, order_id=state.order.id)

        return self._runs.run(flow, run_id, record_id, event_id, handle)

    def skip(self, flow: str, record_id: str, *, event_id: str, message: str) -> Report:
        """Log an event that asks for nothing, without a look at anything."""
        return self._runs.run(flow, self._run_id(), record_id, event_id, lambda: Report("skipped", message, record_id))

    def _unreadable(self, record_id: str, problem: DataError) -> Report:
        """What is gone is passed over; what is malformed is told on the Order, if the record is one."""
        if problem.code == "NOT_FOUND":
            return Report("skipped", problem.message, record_id, error=problem)
        if not record_id.startswith("801"):
            return Report("failed", problem.message, record_id, error=problem)
        return self._failure(record_id, record_id, problem, None)

    @contextmanager
    def _hold(self, contract_id: str, run_id: str) -> Iterator[Hold]:
        lease = self._acquire(contract_id, run_id)
        hold = Hold(lease, lease.intent)
        try:
            yield hold
        finally:
            self.table.release(lease, self.now(), hold.intent)

    def _acquire(self, contract_id: str, run_id: str) -> Lease:
        """Take the lease; where another run has it, wait a little: the queue would bring the event back after minutes only."""
        for _ in range(_PATIENCE):
            try:
                return self.table.acquire(contract_id, run_id, self.now())
            except ConflictError:
                self._pause(1.0)
        return self.table.acquire(contract_id, run_id, self.now())

    def know(self, state: ContractState, hold: Hold) -> Known:
        """Where the contract stands."""
        return self.proposals.know(state, hold.intent, org_id=self.contracts.org_id)

    def apply(
        self,
        known: Known,
        hold: Hold,
        *,
        ends_at: datetime | None = None,
        cancellation: CancellationRequest | None = None,
        due: bool = False,
    ) -> Report:
        """Bring Stripe to what was sold, and tell Salesforce. The other arguments are those of `Proposals.propose`.

        One request does it, unless a subscription that goes on by itself has to be taken over first.
        """
        acted = False
        updates: list[Update] = []
        for _ in range(_STEPS):
            proposal = self.proposals.propose(
                known, org_id=self.contracts.org_id, ends_at=ends_at, cancellation=cancellation, due=due, create_prices=True
            )
            plan = proposal.plan
            if plan.refused:
                return self.refuse(known, plan.findings)
            updates += [update for update in proposal.catalogue.updates if update not in updates]
            if plan.action == "nothing":
                return self._record(proposal, None, updates, hold, acted=acted)
            schedule, more = self._carry_out(proposal, hold)
            acted = True
            updates += more
            if plan.attach is None:
                return self._record(proposal, schedule, updates, hold, acted=acted)
            known = replace(known, intent=hold.intent, schedule=self.stripe.read_schedule(schedule.id))
        raise ConflictError(f"The schedule of contract {known.state.id} changes while it is planned")

    def _carry_out(self, proposal: Proposal, hold: Hold) -> tuple[Schedule, list[Update]]:
        """Write down what is about to be done, and do it."""
        known, plan, org_id = proposal.known, proposal.plan, self.contracts.org_id
        state, schedule = known.state, known.schedule
        updates: list[Update] = []
        customer = schedule.customer if schedule else None
        if plan.action == "create" and plan.attach is None:
            assert state.account is not None  # noqa: S101 (a missing account is a finding)
            customer, updates = self._catalogue.customer(state.account, org_id=org_id)
        intent = replace(
            intended(proposal),
            orders=proposal.billed,
            prices=proposal.prices,
            customer_id=customer,
            account_id=state.account.id if state.account else None,
            org_id=org_id,
            ends_at=plan.situation.ends_at,
            cancellation=plan.situation.cancellation if plan.situation.ends_at else None,
            message=as_text(plan.findings, limit=MESSAGE_LENGTH),
        )
        self.table.intend(hold.lease, intent)
        hold.intent = intent
        metadata = known.metadata(org_id=org_id)
        coupons = coupons_of(proposal, intent.generation, org_id=org_id)
        self.stripe.ensure_coupons(coupons.values(), metadata)
        params = plan.params(
            customer=customer,
            coupons=coupons,
            metadata=metadata,
            products=self.proposals.products(proposal, {item.price for item in plan.caught_up}),
            generation=intent.generation,
        )
        key = f"{org_id}:{state.id}:{intent.generation}"
        if plan.attach is not None:
            return self.stripe.create_schedule(params, key=f"attach:{key}", looked=True), updates
        try:
            if schedule is None or plan.action == "create":
                return self._create_once(state, params, f"schedule:{key}"), updates
            if plan.action == "cancel":
                return self._cancel(schedule.id, params, f"cancel:{key}"), updates
            return self.stripe.update_schedule(schedule.id, params, key=f"update:{key}"), updates
        except DataError as refusal:
            if self._has_moved_on(proposal):
                message = f"Time has passed a boundary while contract {state.id} was planned: {refusal.message}"
                raise ConflictError(message) from None
            raise

    def _has_moved_on(self, proposal: Proposal) -> bool:
        """Whether a refusal may be due to the time alone: a boundary was near, or the schedule is another one by now."""
        now, held = self.now(), proposal.known.schedule
        planned_at = proposal.plan.situation.now
        starts = [one.phase.start for one in proposal.plan.sent if not (one.starts_now or one.ends_now)]
        ends = [one.phase.end for one in proposal.plan.sent if one.phase.end is not None and not one.ends_now]
        near = any(planned_at < bound <= now + _CLOCK_SKEW for bound in (*starts, *ends))
        return near or (held is not None and self.stripe.read_schedule(held.id) != held)

    def _create_once(self, state: ContractState, params: dict[str, Any], key: str) -> Schedule:
        """Create the schedule, or take the one that an earlier attempt has left."""
        try:
            return self.stripe.create_schedule(params, key=key)
        except (ConflictError, UnknownOutcomeError) as problem:
            if problem.code not in (REUSED_KEY, REPLAYED_FAILURE):
                raise
        ours = identity(state.id, has_contract=state.has_contract, org_id=self.contracts.org_id)
        found = self.stripe.find_schedule(ours, customer=params["customer"])
        return found or self.stripe.create_schedule(params, key=key, looked=True)

    def _cancel(self, schedule_id: str, params: dict[str, Any], key: str) -> Schedule:
        """Cancel the schedule; that it has ended meanwhile is just as well."""
        try:
            return self.stripe.cancel_schedule(schedule_id, params, key=key)
        except DataError:
            ended = self.stripe.read_schedule(schedule_id)
            if ended is None or ended.live:
                raise
            return Schedule(ended.id, ended.subscription_id)

    def _record(
        self, proposal: Proposal, schedule: Schedule | None, updates: Sequence[Update], hold: Hold, *, acted: bool
    ) -> Report:
        """Tell Salesforce what Stripe has; nothing where it knows.

        Whose schedule it is matters more than what the catalogue has become: where Salesforce refuses to write all of it, it is
        told the ids alone, and why. The catalogue is found again by its own keys.
        """
        known, plan = proposal.known, proposal.plan
        state, held = known.state, known.schedule
        if schedule is None and held is not None:
            schedule = Schedule(held.id, held.subscription_id)
        message = as_text(plan.findings, limit=MESSAGE_LENGTH)
        intent = self._applied(proposal, schedule, hold.intent)
        hold.intent = intent
        if intent.message and not acted:
            message = intent.message  # of a run that was cut off before it could be told
        account = state.account
        if intent.customer_id and account and not account.customer_id and account.id == intent.account_id:
            customer = self._catalogue.customer_update(account, intent.customer_id)
            updates = [*(update for update in updates if update.object != "Account"), customer]
        if plan.situation.ends_at is not None:
            message = f"{self._ends(plan.situation.ends_at)} {message}".rstrip()
        # Where the orders could not be planned, they are not told that they are billed.
        ids = [] if proposal.held_up else [*self._ids(state, schedule, intent, message, acted=acted)]
        try:
            self.contracts.write_back([*updates, *ids])
        except (DataError, ConfigurationError, ConflictError) as refusal:
            # A duplicate is another record's value: that is for a person, and comes of no repetition.
            told = isinstance(refusal, DataError) or refusal.code == "DUPLICATE_VALUE"
            if not updates or not (ids or told):
                raise
            if told:
                message = f"{message}\n{refusal.message}".strip()
            self.contracts.write_back([] if proposal.held_up else self._ids(state, schedule, intent, message, acted=acted))
            if not told:
                raise
        hold.intent = replace(intent, state="recorded", message=None)
        name = f"Schedule {schedule.id}." if schedule else "No schedule."
        if not acted and not updates and not ids:
            message = f"{name} Stripe has what was sold, and Salesforce knows."
            return Report("unchanged", message, state.id, plan.findings, schedule)
        findings = proposal.held_up or plan.findings
        return Report("synced", f"{name} {message}".rstrip(), state.id, findings, schedule)

    def _applied(self, proposal: Proposal, schedule: Schedule | None, intent: Intent | None) -> Intent:
        """What the ledger says from now on. Where it was lost, the schedule tells which intent it was."""
        known, plan = proposal.known, proposal.plan
        held = known.schedule
        intent = intent or known.last
        if plan.action == "nothing" and intent.state == "intended" and not known.carried_out:
            told = known.generation
            intent = replace(intent, generation=intent.generation if told is None else told)
        account = known.state.account
        return replace(
            intent,
            orders=proposal.billed,
            phases=without_lines(plan.wanted),
            prices=proposal.prices,
            settled=None,
            state="applied",
            customer_id=intent.customer_id or (held.customer if held else None),
            account_id=intent.account_id or (account.id if account else None),
            org_id=self.contracts.org_id,
            schedule_id=schedule.id if schedule else None,
            subscription_id=schedule.subscription_id if schedule else None,
            ends_at=plan.situation.ends_at,
            cancellation=plan.situation.cancellation if plan.situation.ends_at else None,
            extend_at=plan.extend_at,
        )

    def _ends(self, ends_at: datetime) -> str:
        return f"Cancelled: nothing is billed from {ends_at.astimezone(ZoneInfo(self.policies.time_zone)).date()} on."

    def end_unbilled(self, known: Known, hold: Hold, *, ends_at: datetime, cancellation: CancellationRequest) -> Report:
        """Remember the cancellation of a contract that nothing bills yet. Its activation, when it comes, heeds it."""
        hold.intent = replace(known.last, ends_at=ends_at, cancellation=cancellation)
        message = f"{self._ends(ends_at)} There is no schedule yet."
        self._mark(known.state, CANCELLED, message, None)
        return Report("synced", message, known.state.id)

    def refuse(self, known: Known, findings: Sequence[Finding]) -> Report:
        """Tell every finding on the Order. Where a schedule exists that Salesforce does not know of, tell that as well.

        An order that is billed as it should be, and that no finding is about, stays as it is: what is wrong is told on others.
        """
        message = as_text(findings, limit=MESSAGE_LENGTH)
        schedule = known.billing
        if not known.bills_order or _about(known.state, findings):
            self._mark(known.state, FAILED, message, schedule)
        return Report("failed", message, known.state.id, findings, schedule)

    def pass_over(self, known: Known, message: str) -> Report:
        """Tell the Order that its event asks for nothing any more."""
        schedule = known.billing
        if schedule is not None:
            message += f" The schedule {schedule.id} goes on unchanged."
        self._mark(known.state, SKIPPED, message, schedule)
        return Report("skipped", message, known.state.id, schedule=schedule)

    def _failure(self, order_id: str, contract_id: str, problem: DataError, intent: Intent | None) -> Report:
        """Tell on the Order why its data cannot be used; in the sync log alone, where Salesforce refuses that too."""
        message, schedule, ids = problem.message, None, {}
        if intent and intent.schedule_id and intent.state == "applied":
            schedule = Schedule(intent.schedule_id, intent.subscription_id)
            until = f" until {intent.ends_at:%Y-%m-%d}" if intent.ends_at else ""
            message = f"The schedule {schedule.id} exists in Stripe and bills{until}. {message}"
            ids = self._order_ids(schedule)
        told = self._status(order_id, FAILED, message)
        try:
            self.contracts.write_back([replace(told, fields={**told.fields, **ids})])
        except DataError as refusal:
            message = f"{message} The order could not be marked: {refusal.message}"
        return Report("failed", message, contract_id, schedule=schedule, error=problem)

    def _mark(self, state: ContractState, status: str, message: str, schedule: Schedule | None) -> None:
        told = self._status(state.order.id, status, message)
        updates = [told]
        if schedule is not None and state.has_contract:
            # A change order belongs to the contract's schedule also where it could not be applied.
            updates = [replace(told, fields={**told.fields, **self._order_ids(schedule)})]
            if state.schedule_id != schedule.id:
                updates.append(self._contract_ids(state, schedule))
        self.contracts.write_back(updates)

    def _ids(
        self, state: ContractState, schedule: Schedule | None, intent: Intent, message: str, *, acted: bool
    ) -> Iterator[Update]:
        """The updates that tell the Contract and its Orders of the schedule, where they do not know it yet.

        After a change, the Order whose event it was is told what was done, even if it knows the schedule.
        """
        known = schedule is None or (state.schedule_id, state.subscription_id) == (schedule.id, schedule.subscription_id)
        if state.has_contract and schedule is not None and not known:
            yield self._contract_ids(state, schedule)
        names = self._mapping.order
        status = CANCELLED if intent.ends_at is not None else SYNCED
        ids = self._order_ids(schedule) if schedule else {}
        for order in state.states.values():
            if order.id not in intent.orders:
                continue
            same = schedule is None or (order.schedule_id, order.subscription_id) == (schedule.id, schedule.subscription_id)
            if same and order.sync_status == status and not (acted and order.id == state.order.id):
                continue
            fields = {
                **ids,
                names.sync_status: status,
                names.sync_message: message[:MESSAGE_LENGTH] or None,
                names.synced_at: self.now().isoformat(timespec="seconds"),
            }
            yield Update("Order", order.id, fields)

    def _order_ids(self, schedule: Schedule) -> dict[str, str | None]:
        names = self._mapping.order
        return {names.schedule_id: schedule.id, names.subscription_id: schedule.subscription_id}

    def _contract_ids(self, state: ContractState, schedule: Schedule) -> Update:
        names = self._mapping.contract
        fields = {names.schedule_id: schedule.id, names.subscription_id: schedule.subscription_id}
        return Update("Contract", state.id, fields)

    def _status(self, order_id: str, status: str, message: str) -> Update:
        names = self._mapping.order
        return Update("Order", order_id, {names.sync_status: status, names.sync_message: message[:MESSAGE_LENGTH]})


def _about(state: ContractState, findings: Sequence[Finding]) -> bool:
    """Whether an error is about the order that was asked for; one that names nothing is about every order."""
    order = state.activated_order
    names = {state.order.id, *(line.id for line in order.lines)} if order else {state.order.id}
    errors = [one for one in findings if one.severity == "error"]
    return any(not (one.lines or one.orders) or names.intersection((*one.lines, *one.orders)) for one in errors)
