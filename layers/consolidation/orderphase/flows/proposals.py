"""What a run is about to do for a contract, found out by reading alone: Salesforce, the ledger, Stripe, and the plan from them.

Flows carry a proposal out; the preview shows it. So what is shown is what would be done.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from orderphase.domain.account import account_findings
from orderphase.domain.backdating import sold_prices
from orderphase.domain.calendar import iso
from orderphase.domain.cancellation import CancellationRequest
from orderphase.domain.catalogue import is_unmade
from orderphase.domain.consolidation import consolidate
from orderphase.domain.findings import Finding, finding, has_errors, in_order
from orderphase.domain.lines import BilledAt, Order, OrderLine
from orderphase.domain.phases import Consolidation, Phase, Place, end_behavior
from orderphase.domain.planning import ENDS_AT, GENERATION, Plan, Situation, plan
from orderphase.domain.policies import Policies
from orderphase.domain.pricing import priced
from orderphase.domain.requests import ORG_ID, Coupon, identity, metadata_of
from orderphase.domain.schedules import HeldSchedule
from orderphase.domain.sequence import in_sequence, naming_orders
from orderphase.flows.adoption import Adoption
from orderphase.flows.catalogue import Catalogue, CatalogueSource
from orderphase.flows.customers import CustomerSource
from orderphase.ids import complete_id
from orderphase.salesforce.contracts import CANCELLED, ContractState
from orderphase.store.contracts import Intent, next_intent
from orderphase.stripe.account import Schedule, StripeAccount, cost_of, side_by_side

if TYPE_CHECKING:
    import stripe


@dataclass(frozen=True, slots=True)
class Known:
    """Where a contract stands: in Salesforce, in the ledger and in Stripe.

    found: what keeps it from being planned. ours: whether the schedule is this contract's, as far as there is one.
    merged: whether the account that it bills has become part of the one that the orders have now.
    """

    state: ContractState
    intent: Intent | None
    schedule: HeldSchedule | None
    found: tuple[Finding, ...] = ()
    ours: bool = True
    merged: bool = False

    @property
    def adopting(self) -> bool:
        """Whether the schedule was made by somebody else, and no run has taken it over yet."""
        held, intent = self.schedule, self.intent
        unknown = intent is None or (intent.schedule_id is None and intent.state != "intended")
        return held is not None and self.ours and unknown and ORG_ID not in held.metadata

    @property
    def adopted(self) -> frozenset[str]:
        """The ids of the orders that the schedule's maker knows; all of them, where it does not say."""
        return self._naming or frozenset(self.state.states)

    @property
    def _naming(self) -> frozenset[str]:
        """The ids of the orders that name the schedule, or its subscription, in our own field or in another product's."""
        held = self.schedule
        ids = {held.id, held.subscription_id} - {None} if held else set()
        return frozenset(one.id for one in self.state.states.values() if one.schedule_id in ids or one.adopted in ids)

    @property
    def last(self) -> Intent:
        """The last intent. Where the ledger has none, the schedule says how many there were."""
        return self.intent or Intent(self.generation or 0, frozenset(), state="recorded")

    @property
    def generation(self) -> int | None:
        """The number of the intent that was last applied, as the schedule says."""
        told = self.schedule.metadata.get(GENERATION, "") if self.schedule else ""
        return int(told) if told.isdecimal() else None

    @property
    def billing(self) -> Schedule | None:
        """The contract's schedule, while it or its subscription bills."""
        held = self.schedule
        return Schedule(held.id, held.subscription_id) if held and held.bills and self.ours and not held.bare else None

    def metadata(self, *, org_id: str) -> dict[str, str]:
        """What the contract's Stripe objects carry."""
        state = self.state
        account = state.account.id if state.account else None
        first = min(state.orders, key=lambda order: order.age, default=None)
        return {
            **(state.states[first.id].metadata if first else {}),
            **metadata_of(state.orders, state.id, has_contract=state.has_contract, org_id=org_id, account_id=account),
        }

    @property
    def billed(self) -> frozenset[str]:
        """The ids of the orders that are billed: as the ledger says, else those that know the schedule."""
        return self._naming if self.intent is None else self.intent.orders

    def ends_at(self, now: datetime) -> datetime | None:
        """When the contract was cancelled for. Where the ledger was lost, the schedule says so, or else the orders do."""
        if self.intent is not None:
            return self.intent.ends_at
        told = self.schedule.metadata.get(ENDS_AT) if self.schedule else None
        if told:
            return datetime.fromisoformat(told)
        over = self.schedule is not None and not self.schedule.bills
        return now if over and any(order.sync_status == CANCELLED for order in self.state.states.values()) else None

    @property
    def carried_out(self) -> bool:
        """Whether the last intent is what the schedule is like. The schedule says so itself, also after a lost answer."""
        if self.intent is None or self.schedule is None:
            return False
        told = self.schedule.metadata.get(GENERATION)
        if told is None:
            # One that somebody else has made, and that was taken over as it was.
            return self.intent.state == "recorded" and self.intent.schedule_id == self.schedule.id
        return told == str(self.intent.generation)

    @property
    def bills_order(self) -> bool:
        """Whether the order that was asked for is part of what is billed."""
        return self.carried_out and self.intent is not None and self.state.order.id in self.intent.orders

    @property
    def prices(self) -> Mapping[str, BilledAt]:
        """What each line is billed at, as the ledger says; where it does not, as the schedule does."""
        if self.schedule is not None and (self.intent is None or not self.intent.phases):
            return {line: BilledAt(price) for line, price in self.schedule.line_prices.items()}
        if self.intent is None:
            return {}
        done = self.intent.state != "intended" or self.carried_out
        return self.intent.prices if done else self.intent.before

    @property
    def settled(self) -> tuple[Phase, ...] | None:
        """The phases that were last applied; None where the ledger does not know."""
        if self.intent is None:
            return None
        if self.intent.state == "intended" and not self.carried_out:
            return self.intent.settled
        return self.intent.phases or None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan with all that its request needs.

    orders: with the Stripe prices of their lines, as far as there are any. billed: ids of those that it bills. missing: ids of
    price book entries in the request that have none yet. held_up: what is wrong with the orders, where only what was applied
    before goes on.
    """

    known: Known
    orders: tuple[Order, ...]
    plan: Plan
    catalogue: Catalogue
    billed: frozenset[str]
    missing: frozenset[str] = frozenset()
    held_up: tuple[Finding, ...] = ()

    @property
    def prices(self) -> dict[str, BilledAt]:
        """What each line is billed at that names no price itself: it stays, whatever the price book says later."""
        if self.held_up:
            return dict(self.known.prices)
        sold = {line.id: line.unit_price for order in self.known.state.orders for line in order.lines}
        before = self.known.prices
        lines = [line for order in self.orders for line in order.lines if not line.price_id]
        return {
            line.id: _billed_at(line, sold.get(line.id), before.get(line.id))
            for line in lines
            if line.price and not is_unmade(line.price)
        }


class Proposals:
    """Makes proposals in one Stripe account.

    customers: knows by whom an account is billed. now: gives the time in UTC. primary: as in `CatalogueSource`. adoption: finds
    what another product bills a contract with, where that is looked for.
    """

    def __init__(
        self,
        stripe: StripeAccount,
        catalogue: CatalogueSource,
        customers: CustomerSource,
        policies: Policies,
        currency: str,
        now: Callable[[], datetime],
        *,
        primary: bool,
        adoption: Adoption | None = None,
    ) -> None:
        self._stripe = stripe
        self._adoption = adoption
        self._catalogue = catalogue
        self._customers = customers
        self._policies = policies
        self._currency = currency
        self._now = now
        self._primary = primary

    def know(self, state: ContractState, intent: Intent | None, *, org_id: str, customers: Iterable[str] = ()) -> Known:
        """Find the schedule that the contract has: one request where Salesforce or the ledger know its id.

        After an intent whose end is not known, Stripe is asked: a run may have been cut off. An order without a contract may
        have got its id by being cloned, so there the ledger or the schedule itself has to say that it is this order's.
        customers: whose schedules are looked through where nobody but the ledger could know it, and does not. Where another
        product's are adopted, they are looked for last, and only for a contract that has never had one of ours.
        """
        known = self._known(state, intent, org_id, customers)
        ours = identity(state.id, has_contract=state.has_contract, org_id=org_id)
        where, never = "our own field", intent is None or intent.schedule_id is None
        if self._adoption is not None and known.schedule is None and not known.found and never:
            adopted = self._adoption.find(state, org_id=org_id, customer=intent.customer_id if intent else None)
            held, where = adopted.schedule, adopted.where
            problem = self._foreign(held, None, ours, state) if held else None
            if adopted.found or problem:
                return replace(known, schedule=held, found=(problem,) if problem else adopted.found, ours=False)
            known = replace(known, schedule=held, found=tuple(self._elsewhere(state, held, intent)))
        elif self._adoption is not None and known.schedule is not None and known.ours:
            known = replace(known, found=(*known.found, *_beside(self._adoption.beside(state, known.schedule))))
        if known.schedule is None or not (known.adopting and known.schedule.bills):
            return known
        what = "subscription" if known.schedule.bare else "schedule"
        taken = finding("schedule_adopted", f"The {what} {known.schedule.id} is adopted, which {where} names.")
        return replace(known, found=(*known.found, taken))

    def _known(self, state: ContractState, intent: Intent | None, org_id: str, customers: Iterable[str]) -> Known:
        """The schedule that Salesforce or the ledger know of."""
        ours = identity(state.id, has_contract=state.has_contract, org_id=org_id)
        noted = intent.schedule_id if intent else None
        told = state.schedule_id or (noted if self._policies.write_back == "none" else None)
        schedule = self._stripe.read_schedule(told or noted or "") if told or noted else None
        if intent is not None and intent.state == "applied" and noted and told not in (None, noted):
            # A run was cut off before it could tell Salesforce of a new schedule: what that names is the one before.
            newer = self._stripe.read_schedule(noted)
            if newer is not None and ours.items() <= newer.metadata.items():
                told, schedule = noted, newer
        if not state.has_contract and told != noted and not (schedule and _carries(schedule, ours)):
            told, schedule = None, self._stripe.read_schedule(noted) if noted else None
        if intent is None and told is None:
            for customer in customers:
                if found := self._stripe.find_schedule(ours, customer=customer):
                    schedule = self._stripe.read_schedule(found.id)
        if schedule is None and told:
            message = f"The schedule {told}, which Salesforce names, does not exist in this Stripe account."
            return Known(state, intent, None, (finding("schedule_missing", message),), ours=False)
        if schedule is not None and (problem := self._foreign(schedule, noted, ours, state)):
            return Known(state, intent, schedule, (problem,), ours=False)
        if not (schedule and schedule.bills) and intent is not None and (intent.state == "intended" or not told):
            billed = intent.customer_id or (state.account.customer_id if self._primary and state.account else None)
            found = self._stripe.find_schedule(ours, customer=billed) if billed else None
            if found is not None and (schedule is None or found.id != schedule.id):
                schedule = self._stripe.read_schedule(found.id)
            elif not told and schedule is not None and intent.ends_at is None:
                schedule = None  # its id was cleared after it was over, so that the contract starts anew
        return Known(state, intent, schedule, tuple(self._elsewhere(state, schedule, intent)))

    def _foreign(
        self, schedule: HeldSchedule, noted: str | None, ours: Mapping[str, str], state: ContractState
    ) -> Finding | None:
        """A schedule whose id was copied from another contract, or that stands beside the one that was made for this one.

        What another product has made may name the order alone, without the org.
        """
        theirs = {name: complete_id(schedule.metadata[name]) for name in ours if name in schedule.metadata}
        made_by_us = self._adoption is None or ORG_ID in theirs
        differs = theirs.items() != ours.items() if made_by_us else not theirs.items() <= ours.items()
        others = [] if self._adoption is None or made_by_us else self._adoption.names_others(schedule.metadata, state)
        if (theirs and differs) or others:
            named = [f"{name.removeprefix('salesforce_').removesuffix('_id')} {theirs[name]}" for name in reversed(theirs)]
            of = " of ".join(named if theirs and differs else others)
            message = f"The schedule {schedule.id}, which Salesforce names, belongs to {of}, not to this contract."
            return finding("billed_elsewhere", message)
        if noted is not None and schedule.id != noted:
            other = self._stripe.read_schedule(noted)
            if other is not None and other.id != schedule.id and other.bills:
                message = f"Salesforce names the schedule {schedule.id}, but {other.id} was made for this contract and bills."
                return finding("billed_elsewhere", message)
        if schedule.id != noted and ORG_ID not in schedule.metadata and state.account is not None:
            known = self._customers.everyone(state.account)
            if known and schedule.customer not in known:
                whose = f"bills the customer {schedule.customer}, and the account {state.account.id} is {' or '.join(known)}"
                return finding("not_adopted", f"What is not adopted yet, {schedule.id}, {whose}.")
        return None

    def _elsewhere(self, state: ContractState, schedule: HeldSchedule | None, intent: Intent | None) -> Iterable[Finding]:
        """An order that came from another contract with its schedule is billed there; a clone only carries the id."""
        known = {intent.schedule_id if intent else None, schedule.id if schedule else None}
        for order in state.orders:
            schedule_id, lines = state.states[order.id].schedule_id, [line.id for line in order.lines]
            if not schedule_id or schedule_id in known:
                continue
            if self._stripe.bills(schedule_id, lines, beside=schedule.subscription_id if schedule else None):
                message = f"Order {order.number} is billed by the schedule {schedule_id}, which is not this contract's."
                yield finding("billed_elsewhere", message, lines=lines, orders=[order.id])

    def propose(
        self,
        known: Known,
        *,
        org_id: str,
        ends_at: datetime | None = None,
        cancellation: CancellationRequest | None = None,
        due: bool = False,
        create_prices: bool = False,
    ) -> Proposal:
        """Plan what is to be done. With `create_prices`, prices that do not exist yet are made, if the plan needs them.

        ends_at, cancellation: of a cancellation that is asked for by now, else those in the ledger. due: what was applied needs
        its next phases, even if the orders cannot be planned as they are.
        """
        intent, now = known.intent, self._now()
        # An org with one currency has it nowhere on its records.
        stated = [replace(order, currency=order.currency or self._currency) for order in known.state.orders]
        billed = self._looked_up(known)
        sold = priced(stated, self._policies, self._currency, billed)
        again = intent is not None and intent.state != "recorded"
        orders, catalogue = self._catalogue.known(sold, again=again)
        situation = Situation(
            now=now,
            policies=self._policies,
            currency=self._currency,
            schedule=known.schedule,
            applied=known.carried_out,
            taken_over=intent is not None and intent.state == "intended",
            ends_at=ends_at or known.ends_at(now),
            cancellation=cancellation or (intent.cancellation if intent else None) or CancellationRequest(),
            ending=cancellation is not None,
        )
        everything = frozenset(order.id for order in known.state.orders)
        consolidated = consolidate(orders, self._policies)
        unknown = _unnamed(orders, _prices(consolidated.phases), again=again)
        if unknown and known.schedule is None:
            made = self._plan(known, orders, consolidated, situation)
            if made.refused:
                return Proposal(known, orders, made, catalogue, everything)
        if unknown:
            self._catalogue.find(self._catalogue.sold(orders, unknown), catalogue, org_id=org_id)
            orders = tuple([_named(order, catalogue.prices) for order in orders])
            consolidated = consolidate(orders, self._policies)
        if again:
            self._catalogue.recall(orders, catalogue)
        made = self._plan(known, orders, consolidated, situation)
        if made.refused and due and (extended := self._extended(known, orders, situation)):
            return Proposal(known, orders, extended, catalogue, known.billed, held_up=made.findings)
        missing = _needed(made) & _entries(orders)
        if missing and create_prices:
            self._catalogue.create(self._catalogue.sold(orders, missing), catalogue, org_id=org_id)
            orders = tuple([_named(order, catalogue.prices) for order in orders])
            made, missing = self._plan(known, orders, consolidate(orders, self._policies), situation), set()
        if catalogue.findings and not made.refused:
            made = replace(made, findings=in_order([*made.findings, *catalogue.findings]))
        return Proposal(known, orders, made, catalogue, everything, frozenset(missing))

    def _looked_up(self, known: Known) -> dict[str, BilledAt]:
        """What each line is billed at, with what Stripe alone knows of it: what a price costs that was noted without.

        Where nothing bills any more, a price that was archived since is none for a new schedule: the line is priced anew.
        """
        noted, anew = known.prices, known.schedule is None or not known.schedule.bills
        lines = {line.id for order in known.state.orders for line in order.lines if not line.price_id}
        asked = {one.price for line, one in noted.items() if line in lines and (anew or None in (one.amount, one.interval))}
        found = dict(zip(sorted(asked), side_by_side(self._stripe.price, sorted(asked)), strict=True))
        return {
            line: _with_amount(one, found.get(one.price))
            for line, one in noted.items()
            if not anew or ((price := found.get(one.price)) is not None and price.active)
        }

    def _plan(self, known: Known, orders: tuple[Order, ...], consolidated: Consolidation, situation: Situation) -> Plan:
        if not known.ours:
            return Plan("nothing", situation, in_order(known.found), consolidated.currency or self._currency)
        consolidated = in_sequence(
            consolidated,
            orders,
            known.state.drafts,
            situation.zone,
            now=situation.now,
            billed=known.billed if known.schedule else None,
            comparing=self._policies.quantity_conflict != "sum",
        )
        settled = None if known.settled is None else _renamed(known.settled, orders)
        if consolidated.refused and situation.ending and settled is not None:
            # What is wrong with the orders does not keep a contract from ending: it ends as it was applied last.
            return self._plan_settled(known, settled, orders, situation)
        if known.found and not situation.ending:
            consolidated = replace(consolidated, findings=in_order([*consolidated.findings, *known.found]))
        if settled and known.schedule and not known.schedule.live:
            settled = _since_the_end(settled, known.schedule, situation.now)
        situation = replace(situation, settled=settled, prices=sold_prices(orders, known.prices.values()))
        made = plan(consolidated, replace(situation, adopted=self._adopted(known, orders, consolidated)))
        made = replace(made, findings=naming_orders(made.findings, orders))
        found = [*self._account_findings(known, made)]
        told = replace(made, findings=in_order([*made.findings, *found])) if found else made
        return replace(told, **_NOTHING) if has_errors(found) else told

    def _adopted(self, known: Known, orders: tuple[Order, ...], consolidated: Consolidation) -> tuple[Phase, ...] | None:
        """What those orders say that the schedule was made of, where it is being taken over."""
        if not known.adopting:
            return None
        some = [order for order in orders if order.id in known.adopted]
        return consolidated.phases if len(some) == len(orders) else consolidate(some, self._policies).phases

    def _extended(self, known: Known, orders: tuple[Order, ...], situation: Situation) -> Plan | None:
        """What was applied last, gone on with: its next phases, if nothing but the orders stands against them."""
        if not (known.ours and known.schedule and known.schedule.live and known.settled) or known.found:
            return None
        made = self._plan_settled(known, _renamed(known.settled, orders), orders, situation)
        usable = made.action in ("update", "nothing") and not made.refused and not any(map(is_unmade, _prices(made.phases)))
        return made if usable else None

    @staticmethod
    def _plan_settled(known: Known, settled: tuple[Phase, ...], orders: tuple[Order, ...], situation: Situation) -> Plan:
        """Plan by what was applied last, not by what the orders say now."""
        currency = known.schedule.currency if known.schedule else None
        consolidated = Consolidation(settled, end_behavior(settled), (), currency)
        return plan(consolidated, replace(situation, settled=settled, prices=sold_prices(orders, known.prices.values())))

    def _account_findings(self, known: Known, made: Plan) -> Iterable[Finding]:
        """Who is billed must be known, and stay the same."""
        state, intent = known.state, known.intent
        order = state.activated_order
        if order is None or made.situation.ending or made.action == "cancel":
            return
        if made.action == "create" and made.attach is None:
            yield from account_findings(state.account, order)
        elif not (intent and known.schedule and intent.account_id) or (state.account and state.account.id) == intent.account_id:
            return
        elif known.merged and state.account:
            now = f"merged into {state.account.id}; the schedule {known.schedule.id} goes on with {known.schedule.customer}"
            message = f"The account {intent.account_id}, which is billed, was {now}."
            yield finding("account_merged", message, orders=[order.id])
        else:
            where = f"the account {intent.account_id}, which is not the one of order {order.number}"
            message = f"The schedule {known.schedule.id} bills {where}."
            yield finding("account_changed", message, lines=[line.id for line in order.lines], orders=[order.id])

    def products(self, proposal: Proposal, prices: Iterable[str]) -> dict[str, str]:
        """The Stripe product of each of these prices: as Salesforce knows it, else as Stripe does."""
        named = {
            line.price: line.entry.product.product_id
            for order in proposal.orders
            for line in order.lines
            if line.entry and line.price and line.entry.product.product_id
        }
        named |= proposal.catalogue.products
        return {price: named.get(price) or self._stripe.product_of(price) for price in prices}


_NOTHING: Mapping[str, Any] = {"action": "nothing", "sent": (), "attach": None, "extend_at": None}


def _beside(others: Iterable[tuple[HeldSchedule, str]]) -> Iterable[Finding]:
    """That a contract is billed twice: by its own schedule, and by one that another product has made for it."""
    for other, where in others:
        message = f"The contract is billed by {other.id} as well, which {where} names: another product has made it."
        yield finding("billed_elsewhere", message)


def _carries(schedule: HeldSchedule, ours: Mapping[str, str]) -> bool:
    """Whether a schedule says that it was made for this order, which has no contract."""
    return ours.items() <= schedule.metadata.items() and "salesforce_contract_id" not in schedule.metadata


def claim(proposal: Proposal, *, org_id: str) -> dict[str, Any] | None:
    """The parameters by which a live schedule that somebody else has made says whose it is; None where it does or need not.

    Stripe: an update of the metadata alone changes no phase and prorates nothing.
    """
    known, held = proposal.known, proposal.known.schedule
    if proposal.plan.action != "nothing" or proposal.plan.refused or held is None or not (known.ours and held.live):
        return None
    if ORG_ID in held.metadata:
        return None
    ends_at = iso(proposal.plan.situation.ends_at)
    marks = {GENERATION: str(known.last.generation), **({ENDS_AT: ends_at} if ends_at else {})}
    return {"metadata": {**known.metadata(org_id=org_id), **marks}}


def intended(proposal: Proposal) -> Intent:
    """The intent that carries a proposal out."""
    known, made = proposal.known, proposal.plan
    return next_intent(known.last, made.wanted, made.situation.settled, done=known.carried_out)


def coupons_of(proposal: Proposal, generation: int, *, org_id: str) -> dict[tuple[int, Place], Coupon]:
    """The coupons that a proposal needs; their ids are made of the intent, so that a repetition names the same."""
    return proposal.plan.coupons(f"{org_id}:{proposal.known.state.id}:{generation}")


def _prices(phases: Iterable[Phase]) -> set[str]:
    return {item.price for phase in phases for item in phase.items}


def _needed(made: Plan) -> set[str]:
    """The prices of a request, and of what follows in a longer series: so late that would be made of something else."""
    if not made.sent:
        return set()
    now = made.situation.now
    return _prices(phase for phase in made.wanted if phase.end is None or phase.end > now) | {
        item.price for item in made.caught_up
    }


def _unnamed(orders: Iterable[Order], prices: Container[str], *, again: bool) -> set[str]:
    """The price book entries behind these prices whose Stripe price is not known. `again`: also of what is billed."""
    return {
        line.entry.id
        for order in orders
        for line in order.lines
        if line.entry and not line.entry.price_id and not line.price_id and (again or not line.billed_at)
        if line.price in prices
    }


def _entries(orders: Iterable[Order]) -> set[str]:
    """The price book entries of all lines."""
    return {line.entry.id for order in orders for line in order.lines if line.entry}


def _with_amount(noted: BilledAt, price: stripe.Price | None) -> BilledAt:
    """What was noted of a line, with what its price costs; of one that is tiered or metered that stays unknown."""
    cost = cost_of(price) if price is not None and None in (noted.amount, noted.interval) else None
    return replace(noted, amount=cost[0], interval=cost[1]) if cost else noted


def _billed_at(line: OrderLine, sold: Decimal | None, before: BilledAt | None) -> BilledAt:
    """What is noted of a line. What was not known of it is not made up now."""
    if line.billed_at is not None:
        if before is not None and before.price == line.billed_at.price and sold != line.billed_at.amount:
            sold = before.sold
        return replace(line.billed_at, sold=sold)
    assert line.price is not None  # noqa: S101 (of a line that has one)
    # Where the entry says no interval, its price may be anything.
    amount = line.entry.unit_price if line.entry and line.interval else None
    return BilledAt(line.price, sold, amount, line.interval)


def _renamed(settled: Sequence[Phase], orders: Iterable[Order]) -> tuple[Phase, ...]:
    """What was applied last, with the prices that have been made since of its price book entries."""
    made = {
        line.entry.id: line.entry.price_id for order in orders for line in order.lines if line.entry and line.entry.price_id
    }
    return tuple(
        [
            replace(phase, items=tuple([replace(item, price=made.get(item.price, item.price)) for item in phase.items]))
            for phase in settled
        ]
    )


def _since_the_end(settled: Sequence[Phase], schedule: HeldSchedule, now: datetime) -> tuple[Phase, ...]:
    """What was applied last, but from the end of its schedule on as it was then, as long as a subscription lives."""
    end = schedule.ended_at
    if end is None or end >= now:
        return tuple(settled)
    before = [phase if phase.end and phase.end <= end else replace(phase, end=end) for phase in settled if phase.start < end]
    since = [replace(before[-1], start=end, end=now)] if before and schedule.subscription_lives else []
    after = [replace(phase, start=max(phase.start, now)) for phase in settled if phase.end is None or phase.end > now]
    return (*before, *since, *after)


def _named(order: Order, prices: Mapping[str, str]) -> Order:
    """Each line whose price book entry has a Stripe price that Salesforce does not know yet gets it."""
    lines = (
        replace(line, entry=replace(line.entry, price_id=prices[line.entry.id]))
        if line.entry is not None and not line.entry.price_id and line.entry.id in prices
        else line
        for line in order.lines
    )
    return replace(order, lines=tuple(lines)) if prices else order
