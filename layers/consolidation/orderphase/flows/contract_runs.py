"""How a flow works on a contract: read it, hold it, plan, carry the plan out with one write, tell Salesforce, log.

The event only says where to look. A run that comes too late, twice, or after a crash finds out by itself what is left to do:
Salesforce says what was sold, the ledger what was about to happen, Stripe what has happened.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from orderphase.domain.cancellation import CancellationRequest
from orderphase.domain.findings import Finding, as_text, finding, in_order
from orderphase.domain.policies import Policies
from orderphase.domain.requests import identity
from orderphase.errors import ConfigurationError, ConflictError, DataError, UnknownOutcomeError
from orderphase.flows.adoption import Adoption
from orderphase.flows.catalogue import CatalogueSource
from orderphase.flows.customers import Customer, CustomerSource, RefusedError
from orderphase.flows.proposals import Known, Proposal, Proposals, claim, coupons_of, intended
from orderphase.flows.runs import Report, Runs
from orderphase.flows.write_back import MESSAGE_LENGTH, Run, Told, WriteBack
from orderphase.mapping import FieldMapping
from orderphase.salesforce.accounts import Accounts
from orderphase.salesforce.contracts import CANCELLED, FAILED, SKIPPED, SYNCED, Contracts, ContractState, OrderState
from orderphase.salesforce.writing import Update
from orderphase.store.catalogue import Catalogue as Facts
from orderphase.store.contracts import ContractTable, Intent, Lease, Looked
from orderphase.store.phases import digest, without_lines
from orderphase.store.sync_log import SyncLog
from orderphase.stripe.account import Key, Schedule, StripeAccount
from orderphase.stripe.accounts import StripeAccounts
from orderphase.stripe.client import REPLAYED_FAILURE, REUSED_KEY, USED_KEY, fresh_key
from orderphase.stripe.customers import Customers

_CLOCK_SKEW = timedelta(seconds=5)
_PATIENCE = 8
"""So many seconds a run waits for another one's end; with its own work that stays below the function's 30."""

_CLOCK_TIME = re.compile(r"\d\d:\d\d:\d\d")

_STEPS = 3
"""A subscription that was let go takes two: a new schedule takes it over, then the phases follow."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What works in one Stripe account, by the account's name."""

    name: str
    stripe: StripeAccount
    catalogue: CatalogueSource
    customers: CustomerSource
    proposals: Proposals


@dataclass(frozen=True, slots=True)
class Asked:
    """A contract that a run was asked for, by its id: the order's own where it has no Contract.

    order_id: the order that was changed, where that is known. billed: whether the ledger says that it is billed.
    """

    id: str
    order_id: str | None = None
    billed: bool = False


@dataclass(slots=True)
class Hold:
    """The lease of a run, with the intent that is written down when the run lets go. `desk`: once it is known which account.

    planned: whether all that was sold under the contract was looked at, and not one event of it passed over. looked: once a run
    that has planned has come to its end; of one that was interrupted, it is not known what it has looked at. told: a digest of
    what an Order was told last about what is wrong; None once nothing is. telling: whether this run has had something to tell.
    """

    lease: Lease
    intent: Intent | None
    run: Run
    desk: Desk
    planned: bool = False
    looked: Looked | None = None
    told: str | None = None
    telling: bool = False


class ContractRuns:
    """What the flows have in common, with their collaborators.

    facts: what is remembered of a Stripe account, by its name. sync_log_records: whether Salesforce gets a record of each run
    that writes back. now, run_id, pause: give the time in UTC, give an id of a run, wait for some seconds.
    """

    def __init__(  # noqa: PLR0913 (its collaborators, by name)
        self,
        *,
        contracts: Contracts,
        salesforce_accounts: Accounts,
        stripe: StripeAccounts,
        facts: Callable[[str], Facts],
        table: ContractTable,
        log: SyncLog,
        mapping: FieldMapping,
        policies: Policies,
        currency: str,
        now: Callable[[], datetime],
        run_id: Callable[[], str],
        sync_log_records: bool = False,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.contracts = contracts
        self.policies = policies
        self.now = now
        self.stripe = stripe
        self.table = table
        self._salesforce_accounts = salesforce_accounts
        self._facts = facts
        self._mapping = mapping
        self.currency = currency
        self._back = WriteBack(contracts, mapping, policies.write_back, records=sync_log_records, now=now)
        self._pause = pause
        self._desks: dict[str, Desk] = {}
        self._runs = Runs(log, contracts.client, stripe, now, run_id)

    def run(
        self,
        flow: str,
        record_id: str,
        *,
        event_id: str,
        org_id: str,
        read: Callable[[str], ContractState],
        work: Callable[[ContractState, Hold], Report],
        idempotency_key: str | None = None,
        contract: Asked | None = None,
    ) -> Report:
        """Do `work` on the contract of a record, alone and logged.

        idempotency_key: given by whoever asks for it. contract: the record is the contract, and whoever looks for contracts
        that no run has seen is told that this one has, whatever came of it.

        What the customer has to correct is told on the Order and is no exception. Everything else is raised, classified, and
        the event is to be delivered again. Either way the sync log has an entry.
        """
        run = Run(flow, event_id, self._runs.new_id(), self.now(), idempotency_key)

        def handle() -> Report:
            if foreign := self._runs.of_another_org(org_id, record_id):
                return foreign
            read_at = self.now()
            try:
                state = read(record_id)
            except DataError as problem:
                report = self._unreadable(record_id, problem, run, contract=contract)
                if contract is not None:
                    self.table.see(contract.id, read_at)
                return report
            with self._hold(state.id, run) as hold:
                if hold.lease.last_change is not None and hold.lease.last_change > read_at - _CLOCK_SKEW:
                    # Another run let go after we had read, or about then; what we have read may be what it has changed.
                    read_at = self.now()
                    state = read(record_id)
                if state.id != hold.lease.contract_id:
                    raise ConflictError(f"Order {state.order.number} has changed while it was read")
                try:
                    report = work(state, hold)
                except DataError as problem:
                    if hold.intent and hold.intent.state == "intended":
                        # Refused, so nothing has come of it; where it was the first, not even the account counts.
                        hold.intent = hold.lease.intent or Intent(hold.intent.generation - 1, frozenset(), state="recorded")
                    hold.planned = True
                    report = self._failure(state.order.id, state.id, problem, hold.intent, run, before=(state, hold))
                if hold.planned and not hold.telling and report.outcome in ("synced", "unchanged"):
                    hold.told = None  # what is wrong again is told again
                if hold.planned:
                    hold.looked = Looked(read_at, self.contracts.org_id if report.outcome == "failed" else None)
                return replace(report, order_id=report.order_id or state.order.id, order_number=state.order.number)

        return self._runs.run(flow, run.id, record_id, event_id, handle)

    def skip(self, flow: str, record_id: str, *, event_id: str, message: str) -> Report:
        """Log an event that asks for nothing, without a look at anything."""
        return self._runs.run(flow, self._runs.new_id(), record_id, event_id, lambda: Report("skipped", message, record_id))

    def _unreadable(self, record_id: str, problem: DataError, run: Run, *, contract: Asked | None) -> Report:
        """What is gone is passed over, unless it may be billed; what is malformed is told on the Order, where that is known."""
        if problem.code == "NOT_FOUND":
            return Report("failed" if contract and contract.billed else "skipped", problem.message, record_id, error=problem)
        order_id = contract.order_id if contract else None
        if order_id is None and record_id.startswith("801"):
            order_id = record_id
        if order_id is None:
            return Report("failed", problem.message, record_id, error=problem)
        return self._failure(order_id, record_id, problem, None, run)

    @contextmanager
    def _hold(self, contract_id: str, run: Run) -> Iterator[Hold]:
        desk = self.desk(self.stripe.default)
        lease = self._acquire(contract_id, run.id)
        hold = Hold(lease, lease.intent, run, desk, told=lease.told)
        try:
            yield hold
        finally:
            self.table.release(lease, self.now(), hold.intent, hold.looked, told=hold.told)

    def _acquire(self, contract_id: str, run_id: str) -> Lease:
        """Take the lease; where another run has it, wait a little: the queue would bring the event back after minutes only."""
        for _ in range(_PATIENCE):
            try:
                return self.table.acquire(contract_id, run_id, self.now())
            except ConflictError:
                self._pause(1.0)
        return self.table.acquire(contract_id, run_id, self.now())

    def desk(self, account: str) -> Desk:
        """What works in a Stripe account. Raises DataError for one that is not known."""
        if account not in self._desks:
            connection, facts, primary = self.stripe.connection(account), self._facts(account), account == self.stripe.default
            stripe = StripeAccount(connection)
            told = self.policies.write_back != "none"
            catalogue = CatalogueSource(stripe, facts, self._mapping, self.currency, primary=primary, told=told)
            adopting = self.contracts.adopting
            found = Customers(connection, adopting=adopting)
            customers = CustomerSource(found, facts, self._mapping, self.policies, primary=primary)
            adoption = Adoption(stripe, customers, self._mapping.adopt.metadata) if adopting else None
            proposals = Proposals(
                stripe, catalogue, customers, self.policies, self.currency, self.now, primary=primary, adoption=adoption
            )
            self._desks[account] = Desk(account, stripe, catalogue, customers, proposals)
        return self._desks[account]

    def know(self, state: ContractState, hold: Hold) -> Known:
        """Where the contract stands."""
        hold.desk, known = self.look(state, hold.intent)
        return known

    def look(self, state: ContractState, intent: Intent | None) -> tuple[Desk, Known]:
        """In which Stripe account a contract is, and where it stands there. What is in one account is never done in another."""
        billing = bool(intent and (intent.schedule_id or intent.state == "intended"))
        noted = (intent.stripe_account or self.stripe.default) if intent and billing else None
        account, found = self._account_of(state, noted)
        desk = self.desk(account)
        if found is not None and noted is None:
            return desk, Known(state, intent, None, (found,), ours=False)
        known = desk.proposals.know(
            state, intent, org_id=self.contracts.org_id, customers=self._customers_of(state, intent, desk)
        )
        if found is not None and found.code == "stripe_account_changed" and known.schedule is None and not known.found:
            # What was intended there was refused and never made, so the orders may name another account.
            return self.desk(self._account_of(state, None)[0]), Known(state, None, None)
        if found is not None:
            known = replace(known, found=(found, *known.found))
        before, now = intent.account_id if intent else None, state.account.id if state.account else None
        if before and now and before != now and known.schedule:
            known = replace(known, merged=self._salesforce_accounts.merged_into(before) == now)
        return desk, known

    def _customers_of(self, state: ContractState, intent: Intent | None, desk: Desk) -> list[str]:
        """Whose schedules are looked through: where Salesforce is not told, a ledger that was lost leaves no other trace."""
        if intent is not None or self.policies.write_back != "none" or state.account is None:
            return []
        return desk.customers.everyone(state.account)

    def _noted_name(self, desk: Desk) -> str | None:
        """The name of the account as the ledger keeps it. That of records that name none may be called something else later."""
        return None if desk.name == self.stripe.default else desk.name

    def _account_of(self, state: ContractState, noted: str | None) -> tuple[str, Finding | None]:
        """The name of the Stripe account where the contract is `noted`, else that its orders name; and what is wrong with them.

        What is billed already can be ended where it is, whatever the orders name.
        """
        default = self.stripe.default
        named = {order.stripe_account: order for order in state.orders if order.stripe_account}
        ids = [order.id for order in named.values()]
        if len(named) > 1:
            said = ", ".join(f"{name} (order {order.number})" for name, order in sorted(named.items()))
            return noted or default, finding("stripe_account_conflict", f"The contract's orders name {said}.", orders=ids)
        account = next(iter(named), None) or noted or default
        known = ", ".join(self.stripe.names)
        if account not in self.stripe.names:
            who = next((f"Order {order.number} names" for order in named.values()), "The ledger names")
            message = f"{who} the Stripe account {account!r}; this deployment has: {known}."
            return noted or default, finding("stripe_account_unknown", message, orders=ids)
        if noted is not None and account != noted:
            message = f"The contract is billed in the Stripe account {noted}, but its orders now name {account}."
            return noted, finding("stripe_account_changed", message, orders=ids)
        return account, None

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
        updates: list[Update] = [*known.state.copied]
        remarks: list[Finding] = []
        desk = hold.desk
        hold.planned = True
        for _ in range(_STEPS):
            proposal = desk.proposals.propose(
                known, org_id=self.contracts.org_id, ends_at=ends_at, cancellation=cancellation, due=due, create_prices=True
            )
            plan = proposal.plan
            if plan.refused:
                return self.refuse(known, plan.findings, hold)
            desk.catalogue.remember(proposal.catalogue)
            updates += [update for update in proposal.catalogue.updates if update not in updates]
            if cancellation is None and not acted:
                remarks += self._follow(proposal, hold)
            if plan.action == "nothing":
                acted = self._claim(proposal, hold) or acted
                return self._record(_remarked(proposal, remarks), None, updates, hold, acted=acted)
            schedule, customer = self._carry_out(_remarked(proposal, remarks), hold)
            acted = True
            updates += customer.updates if customer else ()
            remarks += customer.findings if customer else ()
            if plan.attach is None:
                return self._record(_remarked(proposal, remarks), schedule, updates, hold, acted=acted)
            known = replace(known, intent=hold.intent, schedule=desk.stripe.read_schedule(schedule.id))
        raise ConflictError(f"The schedule of contract {known.state.id} changes while it is planned")

    def _claim(self, proposal: Proposal, hold: Hold) -> bool:
        """Have a schedule that somebody else has made say whose it is: so another contract that names it is refused."""
        params, held = claim(proposal, org_id=self.contracts.org_id), proposal.known.schedule
        if params is None or held is None:
            return False
        # It may have to be said again: another product empties what it does not know.
        hold.desk.stripe.update_schedule(held.id, params, key=Key(fresh_key("adopt")))
        return True

    def _follow(self, proposal: Proposal, hold: Hold) -> Sequence[Finding]:
        """Tell the customer who is billed already what has changed about the account; answers what was remarkable."""
        known, plan = proposal.known, proposal.plan
        account, schedule = known.state.account, known.schedule
        if account is None or schedule is None or not schedule.bills or (plan.action == "create" and plan.attach is None):
            return ()
        if hold.intent and hold.intent.account_id not in (None, account.id) and not known.merged:
            return ()
        try:
            return hold.desk.customers.follow(
                account, schedule.customer, org_id=self.contracts.org_id, contract_id=known.state.id
            )
        except DataError as gone:
            return [finding("customer_not_updated", f"The customer {schedule.customer} is gone: {gone.message}")]

    def _carry_out(self, proposal: Proposal, hold: Hold) -> tuple[Schedule, Customer | None]:
        """Write down what is about to be done, and do it: with another customer where Stripe refuses the first."""
        known, plan = proposal.known, proposal.plan
        account = known.state.account
        if plan.action != "create" or plan.attach is not None:
            return self._carry_out_for(known.schedule.customer if known.schedule else None, proposal, hold), None
        assert account is not None  # noqa: S101 (a missing account is a finding)
        customers, org_id = hold.desk.customers, self.contracts.org_id
        customer = customers.get(account, plan.currency, org_id=org_id, contract_id=known.state.id)
        try:
            return self._carry_out_for(customer.id, _remarked(proposal, customer.findings), hold), customer
        except DataError as refusal:
            customer = customers.instead(account, plan.currency, customer.id, refusal, org_id=org_id)
        # That is another request, so neither our key nor the one that was given for the first is its key.
        return self._carry_out_for(customer.id, _remarked(proposal, customer.findings), hold, instead=True), customer

    def _carry_out_for(self, customer: str | None, proposal: Proposal, hold: Hold, *, instead: bool = False) -> Schedule:
        known, plan, org_id, desk = proposal.known, proposal.plan, self.contracts.org_id, hold.desk
        state, schedule = known.state, known.schedule
        intent = replace(
            intended(proposal),
            orders=proposal.billed,
            prices=proposal.prices,
            before=known.prices,
            stripe_account=self._noted_name(desk),
            given_key=hold.run.asked_by,
            customer_id=customer,
            account_id=state.account.id if state.account else None,
            org_id=org_id,
            ends_at=plan.situation.ends_at,
            cancellation=plan.situation.cancellation if plan.situation.ends_at else None,
            message=as_text(plan.findings, limit=MESSAGE_LENGTH),
        )
        if intent.generation == known.last.generation and not intent.message:
            # What was remarkable when it was first intended: a run that takes it up does not see that any more.
            intent = replace(intent, message=known.last.message)
        self.table.intend(hold.lease, intent)
        hold.intent = intent
        metadata = known.metadata(org_id=org_id)
        coupons = coupons_of(proposal, intent.generation, org_id=org_id)
        desk.stripe.ensure_coupons(coupons.values(), metadata)
        params = plan.params(
            customer=customer,
            coupons=coupons,
            metadata=metadata,
            products=desk.proposals.products(proposal, {item.price for item in plan.caught_up}),
            generation=intent.generation,
            orders=proposal.orders,
        )
        # Of what is done to whom, and the how manieth time: never of the event, or of what the fields are called.
        key = f"{org_id}:{state.id}:{intent.generation}:{digest(intent.phases)}"
        if plan.attach is not None:
            return desk.stripe.create_schedule(params, key=Key(f"attach:{key}"), looked=True)
        # What was done for this very event already, and its answer lost, has used the key up.
        done = known.carried_out and known.last.given_key == hold.run.asked_by
        given = None if done else hold.run.key
        if instead:
            key, given = f"{key}:{customer}", None
        try:
            if schedule is None or plan.action == "create":
                return self._create_once(state, params, Key(f"schedule:{key}", given), desk.stripe)
            if plan.action == "cancel":
                return self._cancel(schedule.id, params, Key(f"cancel:{key}", given), desk.stripe)
            return desk.stripe.update_schedule(schedule.id, params, key=Key(f"update:{key}", given))
        except DataError as refusal:
            if refusal.code == USED_KEY:
                raise RefusedError(finding("idempotency_key_used", refusal.message)) from None
            if self._has_moved_on(proposal, desk.stripe):
                message = f"Time has passed a boundary while contract {state.id} was planned: {refusal.message}"
                raise ConflictError(message) from None
            raise

    def _has_moved_on(self, proposal: Proposal, stripe: StripeAccount) -> bool:
        """Whether a refusal may be due to the time alone: a boundary was near, or the schedule is another one by now."""
        now, held = self.now(), proposal.known.schedule
        planned_at = proposal.plan.situation.now
        starts = [one.phase.start for one in proposal.plan.sent if not (one.starts_now or one.ends_now)]
        ends = [one.phase.end for one in proposal.plan.sent if one.phase.end is not None and not one.ends_now]
        near = any(planned_at < bound <= now + _CLOCK_SKEW for bound in (*starts, *ends))
        return near or (held is not None and stripe.read_schedule(held.id) != held)

    def _create_once(self, state: ContractState, params: dict[str, Any], key: Key, stripe: StripeAccount) -> Schedule:
        """Create the schedule, or take the one that an earlier attempt has left."""
        try:
            return stripe.create_schedule(params, key=key)
        except (ConflictError, UnknownOutcomeError) as problem:
            if problem.code not in (REUSED_KEY, REPLAYED_FAILURE):
                raise
        ours = identity(state.id, has_contract=state.has_contract, org_id=self.contracts.org_id)
        found = stripe.find_schedule(ours, customer=params["customer"])
        return found or stripe.create_schedule(params, key=Key(key.own), looked=True)

    @staticmethod
    def _cancel(schedule_id: str, params: dict[str, Any], key: Key, stripe: StripeAccount) -> Schedule:
        """Cancel the schedule; that it has ended meanwhile is just as well."""
        try:
            return stripe.cancel_schedule(schedule_id, params, key=key)
        except DataError:
            ended = stripe.read_schedule(schedule_id)
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
        intent = self._applied(proposal, schedule, hold)
        hold.intent = intent
        tell = acted
        if intent.message and not (acted and message):
            message, tell = intent.message, True  # of a run that was cut off before it could be told
        account = state.account
        if intent.customer_id and account and account.id == intent.account_id:
            more = hold.desk.customers.update_of(account, intent.customer_id, plan.currency)
            updates = [*updates, *(update for update in more if update not in updates)]
        if plan.situation.ends_at is not None:
            message = f"{self._ends(plan.situation.ends_at)} {message}".rstrip()
        # Where the orders could not be planned, they are not told that they are billed.
        ids = [] if proposal.held_up else [*self._ids(state, schedule, intent, message, acted=tell)]
        name = f"Schedule {schedule.id}." if schedule else "No schedule."
        told = Told("synced", f"{name} {message}".rstrip(), schedule, hold.run, *_named(state))
        try:
            wrote = self._back.write([*updates, *ids], told)
        except (DataError, ConfigurationError, ConflictError) as refusal:
            # A duplicate is another record's value: that is for a person, and comes of no repetition.
            final = isinstance(refusal, DataError) or refusal.code == "DUPLICATE_VALUE"
            if not updates or not (ids or final):
                raise
            if final:
                message = f"{message}\n{refusal.message}".strip()
            ids = [] if proposal.held_up else [*self._ids(state, schedule, intent, message, acted=tell)]
            wrote = self._back.write(ids, replace(told, message=f"{name} {message}".rstrip()))
            if not final:
                raise
        hold.intent = replace(intent, state="recorded", message=None)
        if not acted and not wrote:
            message = f"{name} Stripe has what was sold, and Salesforce knows."
            return Report("unchanged", message, state.id, plan.findings, schedule)
        findings = proposal.held_up or plan.findings
        return Report("synced", f"{name} {message}".rstrip(), state.id, findings, schedule)

    def _applied(self, proposal: Proposal, schedule: Schedule | None, hold: Hold) -> Intent:
        """What the ledger says from now on. Where it was lost, the schedule tells which intent it was."""
        known, plan = proposal.known, proposal.plan
        held = known.schedule
        intent = hold.intent or known.last
        if plan.action == "nothing" and intent.state == "intended" and not known.carried_out:
            told = known.generation
            intent = replace(intent, generation=intent.generation if told is None else told)
        account = known.state.account
        return replace(
            intent,
            orders=proposal.billed,
            phases=without_lines(plan.wanted),
            prices=proposal.prices,
            before={},
            stripe_account=self._noted_name(hold.desk),
            settled=None,
            state="applied",
            customer_id=intent.customer_id or (held.customer if held else None),
            account_id=account.id if account and (known.merged or not intent.account_id) else intent.account_id,
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
        self._mark(known.state, CANCELLED, Told("synced", message, None, hold.run, *_named(known.state)), hold)
        return Report("synced", message, known.state.id)

    def refuse(self, known: Known, findings: Sequence[Finding], hold: Hold) -> Report:
        """Tell every finding on the Order. Where a schedule exists that Salesforce does not know of, tell that as well.

        An order that is billed as it should be, and that no finding is about, stays as it is: what is wrong is told on others.
        """
        message = as_text(findings, limit=MESSAGE_LENGTH)
        # One that is not taken over yet may never be.
        schedule = None if known.adopting else known.billing
        told = Told("failed", message, schedule, hold.run, *_named(known.state))
        if not known.bills_order or _about(known.state, findings):
            news = self._mark(known.state, FAILED, told, hold)
        else:
            news = _is_news(FAILED, told, hold)
            _note(FAILED, told, hold)
        return Report("failed", message, known.state.id, findings, schedule, news=news)

    def pass_over(self, known: Known, message: str, hold: Hold) -> Report:
        """Tell the Order that its event asks for nothing any more."""
        schedule = known.billing
        if schedule is not None:
            message += f" The schedule {schedule.id} goes on unchanged."
        self._mark(known.state, SKIPPED, Told("skipped", message, schedule, hold.run, *_named(known.state)), hold)
        return Report("skipped", message, known.state.id, schedule=schedule)

    def _failure(
        self,
        order_id: str,
        contract_id: str,
        problem: DataError,
        intent: Intent | None,
        run: Run,
        *,
        before: tuple[ContractState, Hold] | None = None,
    ) -> Report:
        """Tell on the Order why its data cannot be used; in the sync log alone, where Salesforce refuses that too.

        before: what the Order says, and what it was told the last time. Where that is the same, nothing is written.
        """
        message, schedule, ids = problem.message, None, {}
        if intent and intent.schedule_id and intent.state == "applied":
            schedule = Schedule(intent.schedule_id, intent.subscription_id)
            until = f" until {intent.ends_at:%Y-%m-%d}" if intent.ends_at else ""
            message = f"The schedule {schedule.id} exists in Stripe and bills{until}. {message}"
            ids = self._back.order_ids(schedule)
        marked = self._back.status(order_id, FAILED, message)
        contract = contract_id if contract_id != order_id else None
        told = Told("failed", message, schedule, run, order_id, contract)
        news = before is None or _is_news(FAILED, told, before[1])
        knows = before is not None and before[0].order.sync_status == FAILED and (not ids or _has(before[0].order, schedule))
        try:
            if news or not knows:
                self._back.write([replace(marked, fields={**marked.fields, **ids})], told)
        except DataError as refusal:
            message = f"{message} The order could not be marked: {refusal.message}"
        if before is not None:
            _note(FAILED, told, before[1])
        findings = problem.findings if isinstance(problem, RefusedError) else ()
        return Report("failed", message, contract_id, findings, schedule, problem, news=news)

    def _mark(self, state: ContractState, status: str, told: Told, hold: Hold) -> bool:
        """Tell the Order what became of it; nothing where it was told the same before, and says so still.

        Answers whether it is told something else than the last time.
        """
        schedule, order = told.schedule, state.order
        news = _is_news(status, told, hold)
        ids = {order.schedule_id, state.schedule_id} if state.has_contract else {order.schedule_id}
        knows = schedule is None or ids == {schedule.id}
        if not news and order.sync_status == status and knows:
            hold.telling = True
            return False
        marked = self._back.status(state.order.id, status, told.message)
        updates = [marked]
        if schedule is not None and state.has_contract:
            # A change order belongs to the contract's schedule also where it could not be applied.
            updates = [replace(marked, fields={**marked.fields, **self._back.order_ids(schedule)})]
            if state.schedule_id != schedule.id:
                updates.append(self._back.contract_ids(state, schedule))
        self._back.write(updates, told)
        _note(status, told, hold)
        return news

    def _ids(
        self, state: ContractState, schedule: Schedule | None, intent: Intent, message: str, *, acted: bool
    ) -> Iterator[Update]:
        """The updates that tell the Contract and its Orders of the schedule, where they do not know it yet.

        After a change, the Order whose event it was is told what was done, even if it knows the schedule.
        """
        known = schedule is None or (state.schedule_id, state.subscription_id) == (schedule.id, schedule.subscription_id)
        if state.has_contract and schedule is not None and not known:
            yield self._back.contract_ids(state, schedule)
        names = self._mapping.order
        status = CANCELLED if intent.ends_at is not None else SYNCED
        ids = self._back.order_ids(schedule) if schedule else {}
        for order in state.states.values():
            if order.id not in intent.orders:
                continue
            same = schedule is None or (order.schedule_id, order.subscription_id) == (schedule.id, schedule.subscription_id)
            told = order.sync_status == status and not (acted and order.id == state.order.id)
            if same and (told or self.policies.write_back == "ids_only"):
                continue
            fields = {
                **ids,
                names.sync_status: status,
                names.sync_message: message[:MESSAGE_LENGTH] or None,
                names.synced_at: self.now().isoformat(timespec="seconds"),
            }
            yield Update("Order", order.id, fields)


def _is_news(status: str, told: Told, hold: Hold) -> bool:
    """Whether an Order is told something else than the last time."""
    return _digest(status, told) != hold.lease.told


def _note(status: str, told: Told, hold: Hold) -> None:
    """Note what an Order was told, once it was."""
    hold.told, hold.telling = _digest(status, told), True


def _digest(status: str, told: Told) -> str:
    # Of what holds from now on, a message names the moment: that alone is nothing new.
    message = _CLOCK_TIME.sub("", told.message)
    return hashlib.sha256(f"{told.order_id} {status} {message}".encode()).hexdigest()[:16]


def _has(order: OrderState, schedule: Schedule | None) -> bool:
    return schedule is not None and (order.schedule_id, order.subscription_id) == (schedule.id, schedule.subscription_id)


def _named(state: ContractState) -> tuple[str, str | None]:
    """The order that was asked for, and its Contract."""
    return state.order.id, state.id if state.has_contract else None


def _remarked(proposal: Proposal, remarks: Sequence[Finding]) -> Proposal:
    """The proposal with what was remarkable about its customer."""
    plan = proposal.plan
    return replace(proposal, plan=replace(plan, findings=in_order([*plan.findings, *remarks]))) if remarks else proposal


def _about(state: ContractState, findings: Sequence[Finding]) -> bool:
    """Whether an error is about the order that was asked for; one that names nothing is about every order."""
    order = state.activated_order
    names = {state.order.id, *(line.id for line in order.lines)} if order else {state.order.id}
    errors = [one for one in findings if one.severity == "error"]
    return any(not (one.lines or one.orders) or names.intersection((*one.lines, *one.orders)) for one in errors)
