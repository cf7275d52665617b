"""Finds what another product bills a contract with, so that it is gone on with and nothing is billed twice.

Salesforce's fields say it first, as the mapping names them; where none does, the metadata of the customer's schedules and
subscriptions. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from orderphase.domain.findings import Finding, finding
from orderphase.domain.lines import Order
from orderphase.domain.schedules import HeldSchedule
from orderphase.flows.customers import CustomerSource
from orderphase.ids import complete_id
from orderphase.salesforce.contracts import ContractState
from orderphase.stripe.account import StripeAccount

_SCHEDULE = "sub_sched_"
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Adopted:
    """What bills a contract, or has billed it, and what names it; nothing where it cannot be told, but why."""

    schedule: HeldSchedule | None = None
    where: str = ""
    found: tuple[Finding, ...] = ()


class Adoption:
    """Looks in one Stripe account. keys: of the metadata by which a schedule names its Contract or an Order."""

    def __init__(self, stripe: StripeAccount, customers: CustomerSource, keys: Collection[str]) -> None:
        self._stripe = stripe
        self._customers = customers
        self._keys = keys

    def find(self, state: ContractState, *, org_id: str, customer: str | None = None) -> Adopted:
        """What bills the contract; where nothing does any more, what was over last. `customer`: one that is billed for it.

        A request for each id that Salesforce names. Else one for the customer's schedules and one for its subscriptions, and
        one that looks for the customer where none is known.
        """
        ids, alike = state.named, list[str]()
        if not ids:
            ids, alike = self._marked(state, org_id, customer)
        if alike and not ids:
            told = ", ".join(alike)
            return _refused(state, f"The customer is billed by {told} for the same price, and nothing says for which contract.")
        held = dict(self._read(ids))
        if missing := [id_ for id_, one in held.items() if one is None]:
            told = ", ".join(f"{id_} ({ids[id_]})" for id_ in missing)
            return _refused(state, f"What is named does not exist in this Stripe account: {told}.")
        # A schedule and its subscription may both be named, also one that it has let go.
        let_go = {one.subscription_id for one in held.values() if one is not None and not one.bare}
        found = {one.id: (one, ids[id_]) for id_, one in held.items() if one is not None and one.id not in let_go}
        billing = [(one, where) for one, where in found.values() if one.bills]
        if len(billing) > 1:
            told = " and ".join(f"{one.id} ({where})" for one, where in billing)
            return _refused(state, f"The contract is billed by {told}, and one schedule can be gone on with.")
        if lost := [part for one, _ in billing for part in one.beside]:
            told = f"{' and '.join(lost)}, which it would lose if it was taken over"
            return _refused(state, f"The contract is billed by {billing[0][0].id}: the subscription has {told}.")
        for one, where in found.values() if billing else ():
            if order := self._cut_short(one, billing[0][0], state):
                message = f"{one.id} ({where}) was over before order {order.number} is, which {billing[0][0].id} does not bill."
                return _refused(state, message)
        chosen = billing or sorted(found.values(), key=lambda one: one[0].ended_at or _LONG_AGO)[-1:]
        return Adopted(*chosen[0]) if chosen else Adopted()

    def _cut_short(self, ended: HeldSchedule, billing: HeldSchedule, state: ContractState) -> Order | None:
        """An order that something has billed which was ended before the order's own end, and that nothing bills since.

        Where no order is named by what has ended, nor names it, that may be each of those that name nothing.
        """
        if ended.bills:
            return None
        theirs, since = self._orders_of(ended, state), self._orders_of(billing, state)
        may_be = theirs or {one.id for one in state.states.values() if one.adopted is None}
        # An end is midnight somewhere.
        until = (ended.ended_at or _LONG_AGO) + _A_DAY
        return next(
            (
                order
                for order in state.orders
                if order.id in may_be - since and any(line.end is None or line.end > until for line in order.lines)
            ),
            None,
        )

    def _orders_of(self, held: HeldSchedule, state: ContractState) -> set[str]:
        """The ids of the orders that name a schedule, or that its metadata names."""
        told = {complete_id(held.metadata.get(key, "")) for key in self._keys}
        ids = {held.id, held.subscription_id} - {None}
        return {one.id for one in state.states.values() if one.id in told or one.adopted in ids}

    def beside(self, state: ContractState, held: HeldSchedule) -> Iterator[tuple[HeldSchedule, str]]:
        """What else bills the contract, as another product's fields say, and which field: that product still works.

        A request for each id that is not the schedule's own.
        """
        for id_, other in self._read(sorted(state.named.keys() - {held.id, held.subscription_id})):
            if other is not None and other.bills and other.id != held.id:
                yield other, state.named[id_]

    def _marked(self, state: ContractState, org_id: str, customer: str | None) -> tuple[Mapping[str, str], list[str]]:
        """What names the contract by its metadata, and what names none but bills a price that the contract is sold at."""
        marks = dict.fromkeys(self._keys, records_of(state))
        lines = [line for order in state.orders for line in order.lines]
        prices = [price for line in lines if (price := line.price_id or (line.entry and line.entry.price_id))]
        known = [customer] if customer else []
        if state.account is not None:
            known = self._customers.looked_for(state.account, org_id=org_id, billed=customer)
        found = [self._stripe.find_marked(marks, prices, org_id=org_id, customer=one) for one in known]
        own = {id_: "its metadata" for one in found for id_ in one.own}
        return own, [id_ for one in found for id_ in one.alike]

    def _read(self, ids: Iterable[str]) -> Iterator[tuple[str, HeldSchedule | None]]:
        for id_ in ids:
            read = self._stripe.read_schedule if id_.startswith(_SCHEDULE) else self._stripe.read_subscription
            yield id_, read(id_)

    def names_others(self, metadata: Mapping[str, str], state: ContractState) -> list[str]:
        """The Contract and Orders that a schedule names, where none of them is this contract's."""
        named = [complete_id(metadata[key]) for key in self._keys if metadata.get(key)]
        return [] if records_of(state).intersection(named) else named


def records_of(state: ContractState) -> frozenset[str]:
    """The ids of a contract and of its orders."""
    return frozenset({state.id, state.order.id, *state.states, *(draft.id for draft in state.drafts)})


def _refused(state: ContractState, message: str) -> Adopted:
    return Adopted(found=(finding("not_adopted", message, orders=[order.id for order in state.orders]),))
