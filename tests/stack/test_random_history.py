"""A random history of many contracts on the deployed stack; afterwards Stripe has what the org has sold, and nothing else.

The seed is printed where the test fails; ORDERPHASE_SEED repeats a history, ORDERPHASE_STEPS makes it longer.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, cast

from orderphase.domain.consolidation import consolidate
from orderphase.domain.lines import Order, OrderLine
from orderphase.domain.phases import Phase
from orderphase.domain.planning import MAX_PHASES
from orderphase.domain.policies import Policies
from orderphase.domain.pricing import priced
from orderphase.domain.schedules import Content, HeldSchedule, Span, held_spans, wanted_spans
from orderphase.mapping import load_mapping
from orderphase.salesforce.client import SalesforceClient
from orderphase.salesforce.contracts import Contracts
from orderphase.salesforce.shape import Org as Shaped
from orderphase.settings import SalesforceCredentials
from orderphase.stripe.account import lookup_key
from orderphase.stripe.schedules import EXPANDED, read_schedule
from sandbox.build import FLOWS
from sandbox.salesforce_emulator.contract_rules import add_months
from sandbox.stack import STRIPE_ACCOUNT
from tests.org import line
from tests.stack.company import DEADLINE, Company

STEPS = int(os.environ.get("ORDERPHASE_STEPS", "60"))
TERM = 12
PRICES = (10, 25, 40, 99)
# Beside the price book's. Few, so that several contracts have the same.
OWN_PRICES = (9.5, 20, 33.333)
STATUS, CURRENCY = "Stripe_Sync_Status__c", "USD"
PERCENT, AMOUNT = "Stripe_Discount_Percent_Off__c", "Stripe_Discount_Amount_Off__c"

# What a line may say that cannot be billed, and what puts it right.
WRONG: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"Quantity": 2.5}, {"Quantity": 2}),
    ({PERCENT: 10, AMOUNT: 5}, {PERCENT: None}),
    ({PERCENT: 150}, {PERCENT: 15}),
]


@dataclass
class Line:
    """A line that was sold: `months` from and to, counted from the contract's start; `left` after reductions."""

    id: str
    entry: str
    months: tuple[int, int]
    left: int
    reduced: bool = False


@dataclass
class Deal:
    """A contract. `orders`: activated ones; `back`: those that were taken back to drafts; `bad`: the one to be corrected."""

    contract: str
    start: date
    account: str
    orders: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    bad: tuple[str, dict[str, Any]] | None = None
    ends: date | None = None
    over: bool = False

    def day(self, month: int) -> str:
        """The date so many months from the contract's start."""
        return add_months(self.start, month).isoformat()


class History:
    """What people do, at random but possible: nothing that they do is refused for good."""

    def __init__(self, company: Company, chance: random.Random) -> None:
        self.company, self.chance = company, chance
        self.deals: list[Deal] = []
        self.told: list[str] = []
        self._entries = [company.entry(price) for price in PRICES]
        self._account = company.account()
        self._sent: list[bytes] = []

    def step(self) -> None:
        """Do one thing, and sometimes wait until everything has followed from it."""
        steps: list[tuple[int, Callable[[Deal], str | None]]] = [
            (6, self.change_order),
            (3, self.two_at_once),
            (4, self.reduction),
            (5, self.quantity),
            (4, self.end_date),
            (4, self.discount),
            (3, self.line_discount),
            (4, self.unit_price),
            (5, self.repeat),
            (4, self.bad_order),
            (4, self.correct),
            (3, self.cancel_on_date),
            (2, self.cancel_now),
        ]
        done = None
        while done is None:
            if len(self.deals) < 3 or self.chance.random() < 0.1:
                done = self.new_contract()
            else:
                (chosen,) = self.chance.choices([one for _, one in steps], [weight for weight, _ in steps])
                done = chosen(self.chance.choice(self.deals))
        self.told.append(done)
        if self.chance.random() < 0.3:
            self.company.stack.settle(DEADLINE)

    # What is sold

    def new_contract(self) -> str:
        """A contract that began a month ago, begins today, or in a month."""
        start = add_months(self.company.today, self.chance.choice([-1, 0, 0, 0, 1]))
        contract = self.company.contract(self._account, start=start.isoformat(), months=TERM)
        deal = Deal(contract, start, self._account)
        self.deals.append(deal)
        entry, quantity = self.chance.choice(self._entries), self.chance.randint(1, 9)
        discount: dict[str, Any] = {PERCENT: self.chance.choice([None, None, 10])}
        order = self._sell(deal, [(entry, (0, TERM), quantity)], **discount)
        return f"contract {contract} from {start}: order {order}, {quantity} of {entry}, {discount}"

    def change_order(self, deal: Deal) -> str | None:
        """One more product for a part of the term."""
        sold = self._unsold(deal)
        if not sold:
            return None
        order = self._sell(deal, [sold[0]])
        return f"{deal.contract}: change order {order}, {sold[0]}"

    def two_at_once(self, deal: Deal) -> str | None:
        """Two more products, by two orders that are activated one right after the other."""
        sold = self._unsold(deal)
        if len(sold) < 2:
            return None
        orders = [self._sell(deal, [one], activated=False) for one in sold[:2]]
        for order in orders:
            self._activate(deal, order)
        return f"{deal.contract}: change orders {orders} at once, {sold[:2]}"

    def reduction(self, deal: Deal) -> str | None:
        """Less of something from a month on."""
        lines = [one for one in deal.lines if one.left > 1]
        if not lines or deal.bad:
            return None
        chosen = self.chance.choice(lines)
        month, less = self.chance.randrange(*chosen.months), self.chance.randint(1, chosen.left - 1)
        reduces = line(chosen.entry, deal.day(month), deal.day(chosen.months[1]), OriginalOrderItemId=chosen.id, Quantity=-less)
        order = self._order(deal, [reduces], IsReductionOrder=True)
        chosen.left -= less
        chosen.reduced = True
        self._activate(deal, order)
        return f"{deal.contract}: reduction {order} of {chosen.id} by {less} from month {month}"

    # What is changed

    def quantity(self, deal: Deal) -> str | None:
        """Another quantity on a line of an activated order."""
        chosen = self._editable(deal)
        if chosen is None:
            return None
        chosen.left = self.chance.randint(1, 9)
        self.company.salesforce.update("OrderItem", chosen.id, {"Quantity": chosen.left})
        return f"{deal.contract}: quantity {chosen.left} on {chosen.id}"

    def end_date(self, deal: Deal) -> str | None:
        """Another end on a line that is not the only one from the start to the end."""
        chosen = self._editable(deal)
        if chosen is None or chosen is deal.lines[0]:
            return None
        chosen.months = (chosen.months[0], self.chance.randint(chosen.months[0] + 1, TERM))
        self.company.salesforce.update("OrderItem", chosen.id, {"EndDate": deal.day(chosen.months[1])})
        return f"{deal.contract}: {chosen.id} ends after {chosen.months[1]} months"

    def discount(self, deal: Deal) -> str | None:
        """Another discount on the first order. The org tells of no such change, so its event is sent again by hand."""
        if not deal.orders or deal.bad:
            return None
        percent = self.chance.choice([None, 5, 12.5, 20])
        self.company.salesforce.update("Order", deal.orders[0], {PERCENT: percent})
        self._again(deal, deal.orders[0])
        return f"{deal.contract}: {percent} percent off everything"

    def line_discount(self, deal: Deal) -> str | None:
        """Another discount on a line; 0 is none."""
        if not deal.lines or deal.bad:
            return None
        chosen, amount = self.chance.choice(deal.lines), self.chance.choice([None, 0, "1.50", "2"])
        self.company.salesforce.update("OrderItem", chosen.id, {AMOUNT: amount})
        return f"{deal.contract}: {amount} off {chosen.id}"

    def unit_price(self, deal: Deal) -> str | None:
        """Another price of a line's own, or the price book's again."""
        chosen = self._editable(deal)
        if chosen is None:
            return None
        standard = PRICES[self._entries.index(chosen.entry)]
        price = self.chance.choice([standard, *OWN_PRICES])
        self.company.salesforce.update("OrderItem", chosen.id, {"UnitPrice": price})
        return f"{deal.contract}: {chosen.id} at {price}"

    def repeat(self, deal: Deal) -> str | None:
        """An earlier event once more: the same bytes, or under another id and so as if it were new."""
        if self._sent and self.chance.random() < 0.3:
            self.company.post(self.chance.choice(self._sent))
            return "an event of ours again"
        events = [one.event for one in self.company.salesforce.deliveries()]
        event = self.chance.choice([one for one in events if one["data"].get("contract_id") == deal.contract])
        late = self.chance.random() < 0.5
        self.company.post(json.dumps(event | {"id": f"{event['id']}-{len(self.told)}"} if late else event).encode())
        return f"{deal.contract}: {event['type']} of {event['record_id']} again, {'late' if late else 'the same'}"

    # What goes wrong

    def bad_order(self, deal: Deal) -> str | None:
        """An order that cannot be billed; the rest of its contract waits until it is corrected or taken back."""
        sold = self._unsold(deal)
        if not sold:
            return None
        entry, months, _ = sold[0]
        wrong, right = self.chance.choice(WRONG)
        order = self._order(deal, [line(entry, deal.day(months[0]), deal.day(months[1]), **wrong)])
        (bad,) = self.company.lines_of(order)
        self._activate(deal, order)
        deal.bad = (bad, right)
        deal.lines.append(Line(bad, entry, months, right.get("Quantity", 1)))
        return f"{deal.contract}: bad order {order}, {wrong}"

    def correct(self, deal: Deal) -> str | None:
        """Correct the bad order, or take it back."""
        if deal.bad is None:
            return None
        (bad, right), order = deal.bad, deal.orders[-1]
        deal.bad = None
        update = self.company.salesforce.update
        if self.chance.random() < 0.4:
            update("Order", order, {"Status": "Draft"})
            deal.orders.remove(order)
            deal.back.append(order)
            deal.lines.pop()
            # Nothing tells of that: what has waited for it is tried again by hand.
            self._again(deal, deal.orders[0])
            return f"{deal.contract}: {order} taken back"
        if "Quantity" in right and self.chance.random() < 0.5:
            update("OrderItem", bad, right)
            return f"{deal.contract}: {order} corrected as it stands"
        update("Order", order, {"Status": "Draft"})
        update("OrderItem", bad, right)
        update("Order", order, {"Status": "Activated"})
        return f"{deal.contract}: {order} taken back, corrected and activated again"

    # What ends

    def cancel_on_date(self, deal: Deal) -> str | None:
        """End a contract on a date to come. Where it is to end twice, the earlier date counts."""
        end = add_months(deal.start, self.chance.randint(2, TERM - 1))
        if deal.bad or deal.over:
            return None
        self._cancel(deal, mode="on_date", date=end.isoformat())
        deal.ends = min(filter(None, [deal.ends, end]))
        return f"{deal.contract}: cancelled on {end}"

    def cancel_now(self, deal: Deal) -> str | None:
        """End a contract at once, whatever is wrong with it."""
        how = self.chance.choice([{}, {"prorate": True}, {"invoice_now": True}])
        self._cancel(deal, mode="now", **how)
        deal.over = True
        return f"{deal.contract}: cancelled now, {how}"

    def _cancel(self, deal: Deal, **how: Any) -> None:
        # What is asked for depends on what there is: a contract that is not billed yet would end at once.
        self.company.stack.settle(DEADLINE)
        order = deal.orders[0]
        event_id = f"{order}-cancel-{len(self.told)}"
        self._post(
            self.company.event("order.cancellation_requested", order, event_id, contract_id=deal.contract, **how),
        )

    # How it is done

    def _unsold(self, deal: Deal) -> list[tuple[str, tuple[int, int], int]]:
        """What else could be sold under a contract: each price is on one line of it."""
        if deal.bad:
            return []
        taken = {one.entry for one in deal.lines}
        entries = [entry for entry in self._entries if entry not in taken]
        self.chance.shuffle(entries)
        starts = [self.chance.randrange(TERM) for _ in entries]
        ends = [self.chance.randint(start + 1, TERM) for start in starts]
        return [
            (entry, months, self.chance.randint(1, 9))
            for entry, months in zip(entries, zip(starts, ends, strict=True), strict=True)
        ]

    def _editable(self, deal: Deal) -> Line | None:
        """A line that may be edited. Salesforce: one that was reduced may not."""
        lines = [one for one in deal.lines if not one.reduced]
        return self.chance.choice(lines) if lines and not deal.bad else None

    def _sell(
        self, deal: Deal, sold: Sequence[tuple[str, tuple[int, int], int]], *, activated: bool = True, **fields: Any
    ) -> str:
        lines = [
            line(entry, deal.day(start), deal.day(end), Quantity=many, **self._own_price())
            for entry, (start, end), many in sold
        ]
        order = self._order(deal, lines, **fields)
        for (entry, months, many), line_id in zip(sold, self.company.lines_of(order), strict=True):
            deal.lines.append(Line(line_id, entry, months, many))
        if activated:
            self._activate(deal, order)
        return order

    def _own_price(self) -> dict[str, Any]:
        """Now and then, a price of a line's own."""
        return {"UnitPrice": self.chance.choice(OWN_PRICES)} if self.chance.random() < 0.2 else {}

    def _order(self, deal: Deal, lines: Sequence[dict[str, Any]], **fields: Any) -> str:
        return self.company.order(deal.account, deal.contract, *lines, activated=False, EffectiveDate=deal.day(0), **fields)

    def _activate(self, deal: Deal, order: str) -> None:
        self.company.salesforce.update("Order", order, {"Status": "Activated"})
        deal.orders.append(order)

    def _again(self, deal: Deal, order: str) -> None:
        """The activation event of an order, as if it were activated again."""
        event_id = f"{order}-again-{len(self.told)}"
        self._post(self.company.event("order.activated", order, event_id, contract_id=deal.contract))

    def _post(self, body: bytes) -> None:
        self._sent.append(body)
        self.company.post(body)


def test_after_a_random_history_stripe_has_what_was_sold(company: Company) -> None:
    seed = os.environ.get("ORDERPHASE_SEED") or str(random.SystemRandom().randrange(10**9))
    history = History(company, random.Random(seed))
    try:
        for _ in range(STEPS):
            history.step()
        for deal in history.deals:
            if deal.bad:
                history.told.append(history.correct(deal) or "")
        company.stack.settle(DEADLINE)
        faults = [f"{deal.contract}: {fault}" for deal in history.deals for fault in _faults(company, deal)]
        assert faults + _dead_letters(company) == []
    except BaseException:
        print(f"ORDERPHASE_SEED={seed}", *history.told, sep="\n  ")  # noqa: T201 (pytest shows it where the test fails)
        raise


def _faults(company: Company, deal: Deal) -> list[str]:
    """What is not as it should be with a contract."""
    now = datetime.now(UTC)
    activated = _sold(company, deal.orders[0]) if deal.orders else ()
    schedules = company.schedules(deal.contract)
    live = [one["id"] for one in schedules if one["status"] in ("not_started", "active")]
    faults = []
    wanted = [] if deal.over else _left(consolidate(activated, Policies()).phases, deal.ends, now)
    if len(live) != (1 if wanted else 0):
        faults.append(f"{len(live)} of {len(schedules)} schedules live, wanted phases {wanted}")
    elif wanted:
        held = _held(company, live[0])
        spans = wanted_spans(wanted)
        found, sold = (_timeline(one, now) for one in (held_spans(held, held.left), spans[:MAX_PHASES]))
        if found != sold:
            faults.append(f"Stripe has {found}, sold was {sold}")
        if held.end_behavior != ("cancel" if len(spans) <= MAX_PHASES else "release"):
            faults.append(f"after {len(spans)} phases, the schedule says {held.end_behavior}")
    status, set_aside = (
        ("Cancelled", {"Cancelled", "Skipped", "Failed"}) if deal.over or deal.ends else ("Synced", {"Skipped", "Failed"})
    )
    for order in deal.orders:
        record = company.record("Order", order)
        if record[STATUS] != status:
            faults.append(f"order {order} says {record[STATUS]}, not {status}: {record['Stripe_Sync_Message__c']}")
    for order in deal.back:
        record = company.record("Order", order)
        if record[STATUS] not in set_aside:
            faults.append(f"order {order} was taken back and says {record[STATUS]}")
    return faults


def _sold(company: Company, order: str) -> tuple[Order, ...]:
    """The activated orders of a contract; where a line has a price of its own, it is looked up in Stripe by what it is."""
    orders = priced(_contracts(company).read(order).orders, Policies(), CURRENCY)
    made = {one["lookup_key"]: one["id"] for one in company.stripe.objects(STRIPE_ACCOUNT, "price")}

    def found(line: OrderLine) -> OrderLine:
        if line.entry is None or not line.entry.custom:
            return line
        key = lookup_key(line.entry, org_id=company.salesforce.org_id)
        return replace(line, entry=replace(line.entry, price_id=made.get(key)))

    return tuple(replace(one, lines=tuple(found(line) for line in one.lines)) for one in orders)


def _contracts(company: Company) -> Contracts:
    """The org's contracts over its REST API."""
    secret = json.dumps(company.stack.secrets["SalesforceSecret"])
    client = SalesforceClient(SalesforceCredentials.from_secret("SalesforceSecret", secret), now=lambda: datetime.now(UTC))
    return Contracts(Shaped(client), load_mapping(), Policies())


def _held(company: Company, schedule_id: str) -> HeldSchedule:
    params = cast("Any", {"expand": list(EXPANDED)})
    return read_schedule(company.api.subscription_schedules.retrieve(schedule_id, params).to_dict())


def _left(phases: Sequence[Phase], ends: date | None, now: datetime) -> list[Phase]:
    """What is left of phases, cut at the day on which the contract ends."""
    end = datetime(ends.year, ends.month, ends.day, tzinfo=UTC) if ends else None
    kept = [phase for phase in phases if (phase.end is None or phase.end > now) and (end is None or phase.start < end)]
    return [replace(one, end=end) if end and (one.end is None or one.end > end) else one for one in kept]


def _timeline(spans: Sequence[Span], now: datetime) -> list[tuple[datetime, datetime | None, Content]]:
    """From now on, what is billed when."""
    return [(max(one.start, now), one.end, one.content) for one in spans]


def _dead_letters(company: Company) -> list[str]:
    sqs, count = company.stack.aws("sqs"), "ApproximateNumberOfMessages"
    queues = {flow: company.stack.outputs[f"{flow}DeadLetterQueueUrl"] for flow in FLOWS}
    found = {
        flow: int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[count])["Attributes"][count])
        for flow, url in queues.items()
    }
    return [f"{number} dead letters of {flow}" for flow, number in found.items() if number]
