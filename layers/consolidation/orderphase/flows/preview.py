"""The preview of a contract: what the flow would send, what it would change, and what Stripe would bill. It writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from orderphase.domain.catalogue import describe_unmade
from orderphase.domain.lines import Order
from orderphase.domain.planning import Action, Plan
from orderphase.domain.requests import Coupon
from orderphase.domain.schedules import HeldSchedule
from orderphase.errors import DataError, TransientError, UnknownOutcomeError
from orderphase.flows.contract_runs import ContractRuns, Desk
from orderphase.flows.proposals import Proposal, claim, coupons_of, intended

_PATH = "/v1/subscription_schedules"


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """A line of an invoice to come; `amount` in minor units, negative for a credit."""

    description: str
    amount: int
    start: datetime
    end: datetime
    proration: bool


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice to come, as Stripe previews it; `total` in minor units of `currency`.

    exact: whether it is the very next invoice, and not what a full cycle of a later phase comes to. note: what it leaves out.
    problem: why Stripe gives no preview; then there are no lines.
    """

    date: datetime
    currency: str
    total: int = 0
    lines: tuple[InvoiceLine, ...] = ()
    exact: bool = True
    note: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """Everything about one contract that a person wants to see before it is done.

    activated: whether the order is; if not, this is what its activation would do.
    request: method and path; params: its parameters, exactly as the flow would send them. created_first: what the request
    needs that does not exist yet; until then it is named by its Salesforce id.
    """

    contract_id: str
    order_id: str
    order_number: str
    activated: bool
    orders: tuple[Order, ...]
    plan: Plan
    schedule: HeldSchedule | None
    request: str | None
    params: Mapping[str, Any]
    created_first: tuple[str, ...]
    coupons: tuple[Coupon, ...]
    invoices: tuple[Invoice, ...]


type Word = Literal["adopted", "created", "changed", "as it is", "refused", "not known"]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would become of one contract, in short: a word, the schedule that it has, and what there is to say."""

    contract_id: str
    order_id: str
    word: Word
    schedule_id: str | None
    text: str


class Previews:
    """Makes previews of contracts."""

    def __init__(self, runs: ContractRuns) -> None:
        self._runs = runs
        self._policies = runs.policies

    def run(self, order_id: str) -> Preview:
        """Preview the contract of an order, as if that were activated.

        Raises classified errors; what is wrong with the data is among the findings.
        """
        desk, proposal = self._proposed(order_id)
        org_id, known = self._runs.contracts.org_id, proposal.known
        plan, held, state = proposal.plan, known.schedule, known.state
        generation = intended(proposal).generation
        coupons = coupons_of(proposal, generation, org_id=org_id)
        account = state.account
        anew = plan.action == "create" and plan.attach is None
        known_customer = desk.customers.known(account, plan.currency) if account else None
        customer = held.customer if held and not anew else known_customer
        products = self._products(proposal, desk)
        params = plan.params(
            customer=customer,
            coupons=coupons,
            metadata=known.metadata(org_id=org_id),
            products=products,
            generation=generation,
            orders=proposal.orders,
        )
        claimed = claim(proposal, org_id=org_id)
        created_first = tuple(self._created_first(proposal, customer, products))
        return Preview(
            contract_id=state.id,
            order_id=state.order.id,
            order_number=state.order.number,
            activated=state.order.activated,
            orders=proposal.orders,
            plan=plan,
            schedule=held,
            request=_request("update" if claimed else plan.action, held),
            params=claimed or params,
            created_first=created_first,
            coupons=tuple(coupons.values()),
            invoices=tuple(
                self._invoices(desk, proposal, params, customer, created_first, {one.id for one in coupons.values()})
            ),
        )

    @property
    def adopting(self) -> bool:
        """Whether what another product bills is looked for. Raises classified errors."""
        return self._runs.contracts.adopting

    def outlook(self, order_id: str) -> Outlook:
        """What would become of the contract of an order, without its invoices. Raises classified errors."""
        _, proposal = self._proposed(order_id)
        held, findings = proposal.known.schedule, proposal.plan.findings
        text = " ".join(one.message if one.severity == "warning" else f"{one.message} {one.remedy}" for one in findings)
        return Outlook(proposal.known.state.id, order_id, _word(proposal), held.id if held else None, text)

    def _proposed(self, order_id: str) -> tuple[Desk, Proposal]:
        state = self._runs.contracts.read(order_id, supposing=self._runs.now())
        desk, known = self._runs.look(state, self._runs.table.read(state.id))
        return desk, desk.proposals.propose(known, org_id=self._runs.contracts.org_id)

    @staticmethod
    def _products(proposal: Proposal, desk: Desk) -> dict[str, str]:
        """The products of what is caught up; one that does not exist yet is named by its price book entry."""
        wanted = {item.price for item in proposal.plan.caught_up}
        unmade = wanted & proposal.missing
        return desk.proposals.products(proposal, wanted - unmade) | {price: price for price in unmade}

    @staticmethod
    def _created_first(proposal: Proposal, customer: str | None, products: Mapping[str, str]) -> Iterator[str]:
        plan, state = proposal.plan, proposal.known.state
        if plan.action == "create" and plan.attach is None and not customer and state.account:
            yield f"the customer of account {state.account.id}"
        unmade = proposal.missing | {price for price, product in products.items() if price == product}
        entries = {line.entry.id: line.entry for order in proposal.orders for line in order.lines if line.entry}
        for name in sorted(unmade):
            yield describe_unmade(entries[name]) if name in entries else f"the price of price book entry {name}"

    def _invoices(
        self,
        desk: Desk,
        proposal: Proposal,
        params: Mapping[str, Any],
        customer: str | None,
        created_first: Sequence[str],
        new_coupons: set[str],
    ) -> Iterator[Invoice]:
        """The next invoice, and what a cycle of each later phase comes to: Stripe previews one invoice at a time."""
        plan, held = proposal.plan, proposal.known.schedule
        if "phases" not in params:
            return
        problem = f"Stripe previews it once there is {', '.join(created_first)}." if created_first else None
        without = _without(params["phases"], new_coupons)
        for number, sent in enumerate(plan.sent):
            if sent.ends_now:
                continue
            first = number == 0 or (number == 1 and plan.sent[0].ends_now)
            date, dropped = sent.phase.start, without[number] != params["phases"][number]
            note = "without the new discounts, whose coupons are made first" if dropped else None
            if problem:
                yield Invoice(date, plan.currency, exact=first, problem=problem)
                return
            phases = without if first else [{**without[number], "start_date": int(date.timestamp())}, *without[number + 1 :]]
            if first and plan.action == "create":
                phases = [{**phases[0], "start_date": params["start_date"]}, *phases[1:]]
            details: dict[str, Any] = {"end_behavior": plan.end_behavior, "phases": phases}
            if first and plan.action == "update" and held is not None:
                details["proration_behavior"] = params["proration_behavior"]
                asked: dict[str, Any] = {"schedule": held.id, "schedule_details": details}
            else:
                mode = {"billing_mode": {"type": self._policies.billing_mode}}
                asked = {"customer": customer, "schedule_details": {**mode, **details}}
            yield self._invoice(desk, asked, date, plan.currency, exact=first, note=note)

    @staticmethod
    def _invoice(
        desk: Desk, asked: Mapping[str, Any], date: datetime, currency: str, *, exact: bool, note: str | None
    ) -> Invoice:
        try:
            shown = desk.stripe.preview_invoice(asked)
        except (DataError, TransientError, UnknownOutcomeError) as problem:
            return Invoice(date, currency, exact=exact, problem=problem.message)
        lines = tuple([_line(line) for line in shown["lines"]["data"]])
        return Invoice(_instant(shown["created"]), shown["currency"].upper(), shown["total"], lines, exact, note)


def _request(action: Action, held: HeldSchedule | None) -> str | None:
    if action == "create":
        return f"POST {_PATH}"
    if action == "nothing" or held is None:
        return None
    return f"POST {_PATH}/{held.id}" + ("/cancel" if action == "cancel" else "")


def _word(proposal: Proposal) -> Word:
    if proposal.plan.refused:
        return "refused"
    if proposal.known.adopting:
        return "adopted"
    words: dict[Action, Word] = {"nothing": "as it is", "create": "created"}
    return words.get(proposal.plan.action, "changed")


def _without(phases: Sequence[Mapping[str, Any]], coupons: set[str]) -> list[dict[str, Any]]:
    """The phases without discounts whose coupons do not exist yet: Stripe would refuse to preview them."""

    def stays(discounts: Any) -> Any:
        return discounts and ([one for one in discounts if one.get("coupon") not in coupons] or "")

    stripped = []
    for phase in phases:
        items = [{**item, "discounts": stays(item["discounts"])} if "discounts" in item else item for item in phase["items"]]
        stripped.append({**phase, "items": items, "discounts": stays(phase["discounts"])})
    return stripped


def _line(shown: Mapping[str, Any]) -> InvoiceLine:
    parent = shown.get("parent") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    return InvoiceLine(
        shown.get("description") or "",
        shown["amount"],
        _instant(shown["period"]["start"]),
        _instant(shown["period"]["end"]),
        bool(details.get("proration")),
    )


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
