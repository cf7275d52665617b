"""Order activation: an activated order's contract becomes a Stripe subscription schedule.

One run: read the contract (Salesforce), consolidate and plan (pure), create the schedule (Stripe), write back (Salesforce),
log.
The event only says which order to look at. A run that comes too late, twice, or after a crash finds out by itself what is left
to do: Salesforce says what is known, the ledger what was about to happen, Stripe what has happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from orderphase.domain.account import account_findings
from orderphase.domain.consolidation import consolidate
from orderphase.domain.findings import Finding, as_text, finding, has_errors, in_order
from orderphase.domain.lines import Order, describe_order
from orderphase.domain.phases import Phase
from orderphase.domain.planning import Plan, as_sold, fingerprint, plan_creation
from orderphase.domain.policies import Policies
from orderphase.errors import ConfigurationError, ConflictError, DataError, UnknownOutcomeError
from orderphase.flows.catalogue import CatalogueSource
from orderphase.flows.runs import Report, Runs
from orderphase.mapping import FieldMapping
from orderphase.salesforce.contracts import Contracts, ContractState, Update
from orderphase.store.contracts import ContractTable, Intent, Lease, next_intent
from orderphase.store.sync_log import SyncLog
from orderphase.stripe.account import Schedule, StripeAccount
from orderphase.stripe.client import REPLAYED_FAILURE, REUSED_KEY

FLOW = "order_activation"
MESSAGE_LENGTH = 32_000
"""Salesforce: a long text area holds at most 32,768 characters."""

SYNCED, FAILED, SKIPPED = "Synced", "Failed", "Skipped"
"""Values of the Order's sync status."""

_CLOCK_SKEW = timedelta(seconds=5)


@dataclass(slots=True)
class _Hold:
    """The lease of a run, with the intent that is written down when the run lets go."""

    lease: Lease
    intent: Intent | None


class OrderActivation:
    """The flow, with its collaborators. `now` and `run_id` give the time in UTC and a fresh id of a run."""

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
    ) -> None:
        self._contracts = contracts
        self._stripe = stripe
        self._table = table
        self._mapping = mapping
        self._policies = policies
        self._currency = currency
        self._now = now
        self._run_id = run_id
        self._catalogue = CatalogueSource(stripe, mapping, currency)
        self._runs = Runs(log, contracts, stripe, now)

    def run(self, order_id: str, *, event_id: str, org_id: str) -> Report:
        """Handle one event.

        What the customer has to correct is told on the Order and is no exception. Everything else is raised, classified, and
        the event is to be delivered again. Either way the sync log has an entry.
        """
        run_id = self._run_id()
        return self._runs.run(FLOW, run_id, order_id, event_id, lambda: self._handle(order_id, org_id, run_id))

    def _handle(self, order_id: str, org_id: str, run_id: str) -> Report:
        connected = self._contracts.org_id
        if org_id != connected:
            message = f"The event comes from org {org_id}, but this deployment is connected to org {connected}."
            return Report("skipped", message, order_id, error=DataError(message, code="wrong_org"))
        read_at = self._now()
        try:
            state = self._contracts.read(order_id)
        except DataError as problem:
            if problem.code == "NOT_FOUND":
                return Report("skipped", problem.message, order_id, error=problem)
            return self._failure(order_id, order_id, problem, None)
        with self._hold(state.id, run_id) as hold:
            if hold.lease.last_change is not None and hold.lease.last_change > read_at - _CLOCK_SKEW:
                # Another run let go after we had read, or about then; what we have read may be what it has changed.
                state = self._contracts.read(order_id)
            if state.id != hold.lease.contract_id:
                raise ConflictError(f"Order {state.order.number} has changed while it was read")
            try:
                return self._apply(state, hold) if state.order.activated else self._skip(state, hold)
            except DataError as problem:
                return self._failure(order_id, state.id, problem, hold.intent)

    @contextmanager
    def _hold(self, contract_id: str, run_id: str) -> Iterator[_Hold]:
        lease = self._table.acquire(contract_id, run_id, self._now())
        hold = _Hold(lease, lease.intent)
        try:
            yield hold
        finally:
            self._table.release(lease, self._now(), hold.intent)

    def _apply(self, state: ContractState, hold: _Hold) -> Report:
        order = next((order for order in state.orders if order.id == state.order.id), None)
        if order is None:
            raise ConflictError(f"Order {state.order.number} has changed while it was read")
        if schedule := self._existing(state, hold.intent):
            return self._confirm(state, order, schedule, hold)
        if elsewhere := self._elsewhere(state, hold.intent):
            return self._refuse(state, [elsewhere])
        consolidated = consolidate(state.orders, self._policies)
        plan = plan_creation(consolidated, currency=self._currency, now=self._now(), policies=self._policies)
        findings = in_order([*plan.findings, *account_findings(state.account, order)])
        if has_errors(findings):
            return self._refuse(state, findings)
        return self._create(state, plan, hold)

    def _existing(self, state: ContractState, intent: Intent | None) -> Schedule | None:
        """The schedule that the contract has: as Salesforce knows, as the ledger knows, or as Stripe does.

        Stripe is asked only after an earlier intent: a run may have been cut off, or the id cleared while the schedule lives.
        An order without a contract may have got its id by being cloned, so there the ledger has to know it too.
        """
        if state.schedule_id and (state.has_contract or (intent and intent.schedule_id == state.schedule_id)):
            return Schedule(state.schedule_id, state.subscription_id)
        if intent is None:
            return None
        if intent.state == "applied" and intent.schedule_id:
            return Schedule(intent.schedule_id, intent.subscription_id)
        customer = intent.customer_id or (state.account and state.account.customer_id)
        return self._stripe.find_schedule(self._identity(state), customer=customer) if customer else None

    def _elsewhere(self, state: ContractState, intent: Intent | None) -> Finding | None:
        """An order that came from another contract with its schedule is billed there; a clone only carries the id."""
        known = (None, intent.schedule_id if intent else None)
        for order in state.orders:
            schedule_id, lines = state.states[order.id].schedule_id, [line.id for line in order.lines]
            if schedule_id not in known and schedule_id and self._stripe.bills(schedule_id, order.id, lines):
                message = f"Order {order.number} is billed by the schedule {schedule_id}, which is not this contract's."
                return finding("billed_elsewhere", message, lines=lines, orders=[order.id])
        return None

    def _confirm(self, state: ContractState, order: Order, schedule: Schedule, hold: _Hold) -> Report:
        """The contract has a schedule. It is ours, bills this order, and still means the same; or the change is refused.

        Orders that came after it say nothing about it: they are refused when their own events come.
        """
        intent = hold.intent
        if intent is None or order.id not in intent.orders or intent.schedule_id not in (None, schedule.id):
            why = f"has the schedule {schedule.id} already, without this order"
            return self._refuse_change(state, order, schedule, "schedule_exists", why)
        if state.account is None or state.account.id != intent.account_id:
            why = f"has the schedule {schedule.id}, which bills the account {intent.account_id}, not the order's"
            return self._refuse_change(state, order, schedule, "account_changed", why)
        billed = [order for order in state.orders if order.id in intent.orders]
        sold = consolidate(as_sold(billed), self._policies)
        if sold.refused:
            return self._refuse(state, sold.findings, schedule)
        if intent.fingerprint != fingerprint(sold):
            why = f"has the schedule {schedule.id}, made before its orders changed"
            return self._refuse_change(state, order, schedule, "schedule_exists", why)
        prices = {line.price for order in billed for line in order.lines if line.price} & _prices(sold.phases)
        updates = self._catalogue.prices(billed, prices, org_id=self._contracts.org_id, create=False).updates
        if intent.customer_id and not state.account.customer_id:
            updates = [self._catalogue.customer_update(state.account, intent.customer_id), *updates]
        return self._record(state, schedule, updates, sold.findings, hold)

    def _refuse_change(self, state: ContractState, order: Order, schedule: Schedule, code: str, why: str) -> Report:
        lines = [line.id for line in order.lines]
        message = f"The contract of {describe_order(order)} {why}."
        return self._refuse(state, [finding(code, message, lines=lines, orders=[order.id])], schedule)

    def _create(self, state: ContractState, plan: Plan, hold: _Hold) -> Report:
        assert state.account is not None  # noqa: S101 (a missing account is a finding)
        org_id = self._contracts.org_id
        customer, updates = self._catalogue.customer(state.account, org_id=org_id)
        catalogue = self._catalogue.prices(state.orders, _prices(plan.phases), org_id=org_id, create=True)
        intent = replace(
            next_intent(
                hold.intent,
                fingerprint(consolidate(as_sold(state.orders), self._policies)),
                (order.id for order in state.orders),
            ),
            customer_id=customer,
            account_id=state.account.id,
            message=as_text(plan.findings, limit=MESSAGE_LENGTH),
        )
        self._table.intend(hold.lease, intent)
        hold.intent = intent
        metadata = {
            "salesforce_order_id": min(state.orders, key=lambda order: order.age).id,
            "salesforce_account_id": state.account.id,
            **self._identity(state),
        }
        coupons = dict(plan.coupons(f"{org_id}:{state.id}:{intent.generation}"))
        self._stripe.ensure_coupons(coupons.values(), metadata)
        ids = {place: coupon.id for place, coupon in coupons.items()}
        params = plan.params(customer=customer, prices=catalogue.prices, coupons=ids, metadata=metadata)
        schedule = self._create_once(state, params, f"schedule:{org_id}:{state.id}:{intent.generation}")
        return self._record(state, schedule, [*updates, *catalogue.updates], plan.findings, hold)

    def _create_once(self, state: ContractState, params: dict[str, Any], key: str) -> Schedule:
        """Create the schedule, or take the one that an earlier attempt has left."""
        try:
            return self._stripe.create_schedule(params, key=key)
        except (ConflictError, UnknownOutcomeError) as problem:
            if problem.code not in (REUSED_KEY, REPLAYED_FAILURE):
                raise
        found = self._stripe.find_schedule(self._identity(state), customer=params["customer"])
        return found or self._stripe.create_schedule(params, key=key, looked=True)

    def _record(
        self, state: ContractState, schedule: Schedule, updates: Sequence[Update], findings: Sequence[Finding], hold: _Hold
    ) -> Report:
        """Tell Salesforce what Stripe has; nothing where it knows.

        Whose schedule it is matters more than what the catalogue has become: where Salesforce refuses to write all of it, it is
        told the ids alone, and why. The catalogue is found again by its own keys.
        """
        intent = hold.intent
        assert intent is not None  # noqa: S101 (there is no schedule without one)
        intent = replace(intent, state="applied", schedule_id=schedule.id, subscription_id=schedule.subscription_id)
        hold.intent = intent
        message = intent.message or ""
        ids = [*self._ids(state, schedule, intent, message)]
        try:
            self._contracts.write_back([*updates, *ids])
        except (DataError, ConfigurationError, ConflictError) as refusal:
            if not updates or not ids:
                raise
            if isinstance(refusal, DataError):
                message = f"{message}\n{refusal.message}".strip()
            self._contracts.write_back(self._ids(state, schedule, intent, message))
            if not isinstance(refusal, DataError):
                raise
        hold.intent = replace(intent, state="recorded")
        if not updates and not ids:
            message = f"Nothing has changed in Salesforce since the schedule {schedule.id} was made."
            return Report("unchanged", message, state.id, findings, schedule)
        return Report("synced", f"Schedule {schedule.id}. {message}".rstrip(), state.id, findings, schedule)

    def _refuse(self, state: ContractState, findings: Sequence[Finding], schedule: Schedule | None = None) -> Report:
        """Tell every finding on the Order. Where a schedule exists that Salesforce does not know of, tell that as well."""
        message = as_text(findings, limit=MESSAGE_LENGTH)
        self._mark(state, FAILED, message, schedule)
        return Report("failed", message, state.id, findings, schedule)

    def _failure(self, order_id: str, contract_id: str, problem: DataError, intent: Intent | None) -> Report:
        """Tell on the Order why its data cannot be used; in the sync log alone, where Salesforce refuses that too."""
        message, schedule, ids = problem.message, None, {}
        if intent and intent.schedule_id and intent.state == "applied":
            schedule = Schedule(intent.schedule_id, intent.subscription_id)
            message = f"The schedule {schedule.id} exists in Stripe and bills. {message}"
            names = self._mapping.order
            ids = {names.schedule_id: schedule.id, names.subscription_id: schedule.subscription_id}
        told = self._status(order_id, FAILED, message)
        try:
            self._contracts.write_back([replace(told, fields={**told.fields, **ids})])
        except DataError as refusal:
            message = f"{message} The order could not be marked: {refusal.message}"
        return Report("failed", message, contract_id, schedule=schedule, error=problem)

    def _skip(self, state: ContractState, hold: _Hold) -> Report:
        message = f"Order {state.order.number} is not activated any more, so this event changed nothing in Stripe."
        schedule = self._existing(state, hold.intent)
        if schedule is not None:
            message += f" The schedule {schedule.id} goes on unchanged."
        self._mark(state, SKIPPED, message, schedule)
        return Report("skipped", message, state.id, schedule=schedule)

    def _mark(self, state: ContractState, status: str, message: str, schedule: Schedule | None) -> None:
        updates = [self._status(state.order.id, status, message)]
        if schedule is not None and state.has_contract and state.schedule_id != schedule.id:
            updates.append(self._contract_ids(state, schedule))
        self._contracts.write_back(updates)

    def _identity(self, state: ContractState) -> dict[str, str]:
        """The metadata by which the contract's schedule is recognised."""
        kind = "contract" if state.has_contract else "order"
        return {"salesforce_org_id": self._contracts.org_id, f"salesforce_{kind}_id": state.id}

    def _ids(self, state: ContractState, schedule: Schedule, intent: Intent, message: str) -> Iterator[Update]:
        """The updates that tell the Contract and the Orders that are billed of the schedule, where they do not know it yet."""
        known = (state.schedule_id, state.subscription_id) == (schedule.id, schedule.subscription_id)
        if state.has_contract and not known:
            yield self._contract_ids(state, schedule)
        names = self._mapping.order
        for order in state.states.values():
            if order.id not in intent.orders:
                continue
            ids = (order.schedule_id, order.subscription_id)
            if ids == (schedule.id, schedule.subscription_id) and order.sync_status == SYNCED:
                continue
            fields = {
                names.schedule_id: schedule.id,
                names.subscription_id: schedule.subscription_id,
                names.sync_status: SYNCED,
                names.sync_message: message or None,
                names.synced_at: self._now().isoformat(timespec="seconds"),
            }
            yield Update("Order", order.id, fields)

    def _contract_ids(self, state: ContractState, schedule: Schedule) -> Update:
        names = self._mapping.contract
        fields = {names.schedule_id: schedule.id, names.subscription_id: schedule.subscription_id}
        return Update("Contract", state.id, fields)

    def _status(self, order_id: str, status: str, message: str) -> Update:
        names = self._mapping.order
        return Update("Order", order_id, {names.sync_status: status, names.sync_message: message[:MESSAGE_LENGTH]})


def _prices(phases: Iterable[Phase]) -> set[str]:
    """The price identities that are billed in these phases."""
    return {item.price for phase in phases for item in phase.items}
