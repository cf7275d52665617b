"""Long histories of a company: what people sell and change, what becomes of the events, what breaks; and what must be true."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from orderphase.domain.cancellation import CancellationRequest
from orderphase.errors import OrderphaseError
from orderphase.flows.cancellation import Cancellation
from orderphase.flows.changed_contracts import ChangedContract, ChangedContracts
from orderphase.flows.contract_runs import ContractRuns
from orderphase.flows.order_activation import OrderActivation
from orderphase.flows.order_item_update import OrderItemUpdate
from orderphase.flows.reconciliation import Reconciliation
from orderphase.flows.rolling_window import RollingWindow
from orderphase.flows.runs import Report
from orderphase.flows.sweep import Sweep
from orderphase.salesforce.changes import Changes
from sandbox.salesforce_emulator.contract_rules import add_months
from sandbox.salesforce_emulator.errors import SalesforceError
from sandbox.salesforce_emulator.org import Happening
from tests.flows.auditor import AMOUNT, DAYS, METHOD, PERCENT, Stripe, billed, contract_of, instant, midnight, second, sold
from tests.flows.interruptions import KilledError, Mortal, mortal
from tests.flows.world import ACCOUNT, ORG, World, world
from tests.org import line

TERM = 12
"""Months that a contract lasts, if it is not open."""

PRICES = (10, 25, 40, 99)
OWN_PRICES = (9.5, 33.333)
SCHEDULE, SUBSCRIPTION = "Stripe_Subscription_Schedule_Id__c", "Stripe_Subscription_Id__c"

PHASES, RUNWAY = 10, 5
"""So many phases Stripe takes at a time. Of a longer series, at least so many are ahead."""

LEASE = timedelta(seconds=60)
ROUNDS = 8
"""So often everything that waits is delivered until all of it must have gone through."""

STRIPE_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "lost_before"},
    {"kind": "lost_after"},
    {"kind": "refuse", "error": "500"},
    {"kind": "stored", "error": "500"},
    {"kind": "refuse", "error": "409"},
    {"kind": "refuse", "error": "429", "times": 5},
    {"kind": "refuse", "error": "401"},
)
SALESFORCE_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "lost_before"},
    {"kind": "lost_after"},
    {"kind": "refuse", "error": "503"},
    {"kind": "refuse", "error": "UNABLE_TO_LOCK_ROW"},
    {"kind": "refuse", "error": "REQUEST_LIMIT_EXCEEDED"},
    {"kind": "refuse", "error": "INVALID_SESSION_ID"},
)

WRONG: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({"Quantity": 2.5}, {"Quantity": 2}),
    ({PERCENT: 10, AMOUNT: 5}, {PERCENT: None, AMOUNT: None}),
    ({PERCENT: 150}, {PERCENT: None}),
)
"""What a line may say that cannot be billed, and what puts it right."""

WAITS = (
    timedelta(seconds=1),
    timedelta(minutes=3),
    timedelta(hours=1),
    timedelta(hours=25),
    timedelta(days=10, seconds=7),
    timedelta(days=31),
    timedelta(days=100),
    timedelta(days=400),
)
"""Stripe forgets its idempotency keys after 24 hours."""


# --------------------------------------------------------------------------------------------------------------- the history


@dataclass
class Message:
    """An event in a queue. `attempts`: the instants of the runs that it has had."""

    type: str
    record: str
    data: dict[str, Any]
    id: str
    attempts: list[datetime] = field(default_factory=list)

    @property
    def watches(self) -> bool:
        """Whether nothing has changed that is known of, so that what is over in Stripe stays so."""
        return self.type == "contract.reconcile" and "order_id" not in self.data

    def __str__(self) -> str:
        return f"{self.type} of {self.record}{f' {self.data}' if self.data else ''}"


@dataclass
class Deal:
    """A contract. start: its first day; open: whether it has no end; meddled: whether Stripe's side was changed by somebody.

    asked: for each cancellation that a run has looked at, from when to when it may have put the end; ended: the latest end that
    those which were carried out have put.
    """

    contract: str
    account: str
    start: date
    open: bool
    meddled: bool = False
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)
    ended: datetime | None = None
    generation: int = 0

    def day(self, month: int) -> str:
        """The first day of a month of the contract, counted from 0."""
        return add_months(self.start, month).isoformat()


class History:
    """A company, and everything that happens to it. Each deed answers what was done, None where there is nothing to do it to.

    Numbers choose: of what there is, the one at that place, counted round. policies: what the deployment has chosen.
    """

    MEDDLING = (
        "quantity",
        "coupon",
        "end behavior",
        "mark",
        "cancel schedule",
        "release",
        "cancel subscription",
        "attach",
        "archive price",
        "delete customer",
    )

    def __init__(self, here: World, tell: Callable[[str], None], **policies: Any) -> None:
        self._tell = tell
        self.here, self.policies = here, {"quantity_conflict": "sum", **policies}
        self.deals: list[Deal] = []
        self.waiting: list[Message] = []
        self.done: list[Message] = []
        self.lost: list[Message] = []
        self.reports: list[tuple[Message, Report]] = []
        self._numbers = count(1)
        self._accounts = [here.account(Name="Acme GmbH"), here.account(Name="Globex Inc")]
        self._entries = [here.entry(price) for price in PRICES]
        self._progress = here.progress()
        self._warm: dict[bool, ContractRuns] = {}
        records = here.salesforce._records
        records._on_happening = self._happened
        self.poll()

    def told(self, what: str | None) -> None:
        """Add to the story."""
        if what:
            self._tell(what)

    def _happened(self, happening: Happening) -> None:
        if happening.kind.startswith("order"):
            self._queue(happening.kind, happening.record_id, changed_fields=happening.data.get("changed_fields"))

    def _queue(self, type_: str, record: str, **data: Any) -> Message:
        given = {name: value for name, value in data.items() if value is not None}
        message = Message(type_, record, given, f"event-{next(self._numbers)}")
        self.waiting.append(message)
        return message

    # What is sold

    def sell(self, account: int, start: int, entry: int, quantity: int, *, open_: bool, discount: bool) -> str:
        """A new contract; its first line lasts as long as the contract does."""
        today = self.here.clock.now().date()
        first_day = add_months(today.replace(day=1), start)
        owner = _of(self._accounts, account)
        contract = self.here.contract(owner, start=first_day.isoformat(), months=60)
        deal = Deal(contract, owner, first_day, open_)
        self.deals.append(deal)
        chosen = _of(self._entries, entry)
        terms = {PERCENT: 10} if discount else {}
        order = self._order(deal, [self._line(deal, chosen, 0, None if open_ else TERM, quantity)], **terms)
        what = f"{quantity} of {chosen} from {first_day}, {'open' if open_ else 'a year'}, {terms}"
        return f"order {order} starts contract {contract} of {owner}: {what}"

    def change_order(self, which: int, entry: int, months: tuple[int, int], quantity: int, own_price: int | None) -> str | None:
        """More of something, for a part of the term."""
        deal = self._deal(which)
        if deal is None:
            return None
        chosen = _of(self._entries, entry)
        if any(one["PricebookEntryId"] == chosen and (one[PERCENT] or one[AMOUNT]) for one in self._all_lines(deal)):
            return None  # lines of one price at different discounts are refused
        price = {} if own_price is None else {"UnitPrice": _of(OWN_PRICES, own_price)}
        first, last = _months(months)
        order = self._order(deal, [self._line(deal, chosen, first, last, quantity, **price)])
        return f"change order {order} of {deal.contract}: {quantity} of {chosen} from month {first} to {last}, {price}"

    def bad_order(self, which: int, entry: int, wrong: int) -> str | None:
        """A change order that cannot be billed as it is."""
        deal = self._deal(which)
        if deal is None:
            return None
        chosen, (values, _) = _of(self._entries, entry), _of(WRONG, wrong)
        if any(one["PricebookEntryId"] == chosen for one in self._all_lines(deal)):
            return None
        order = self._order(deal, [self._line(deal, chosen, 1, TERM, 1) | values])
        return f"bad order {order} of {deal.contract}: {chosen}, {values}"

    def reduce(self, which: int, line_: int, month: int, by: int) -> str | None:
        """Less of a line from a month on; of the first line, something is left."""
        deal = self._deal(which)
        lines = [one for one in self._all_lines(deal) if _reducible(one)]
        if deal is None or not lines:
            return None
        original = _of(lines, line_)
        left = int(original["AvailableQuantity"]) - (original["Id"] == self._anchor(deal))
        since = max(date.fromisoformat(deal.day(month % TERM)), date.fromisoformat(original["ServiceDate"]))
        if left < 1 or (original["EndDate"] and since.isoformat() >= original["EndDate"]):
            return None
        less = min(1 + by, left)
        values = {"OriginalOrderItemId": original["Id"], "Quantity": -less, "UnitPrice": original["UnitPrice"]}
        reduces = line(original["PricebookEntryId"], since.isoformat(), original["EndDate"], **values)
        order = self._order(deal, [reduces], IsReductionOrder=True)
        return f"reduction {order} of {deal.contract}: {less} less of {original['Id']} from {since}"

    # What is changed in Salesforce

    def edit_line(self, which: int, line_: int, what: str, value: int) -> str | None:
        """Change a line. Salesforce: one that was reduced keeps quantity, price and dates."""
        deal = self._deal(which)
        lines = self._all_lines(deal) if deal else []
        if deal is None or not lines:
            return None
        edited = _of(lines, line_)
        anchor = edited["Id"] == self._anchor(deal)
        values: dict[str, Any] = {}
        match what:
            case "quantity":
                values = {"Quantity": 1 + value % 9}
            case "price":
                values = {"UnitPrice": _of((PRICES[self._entries.index(edited["PricebookEntryId"])], *OWN_PRICES), value)}
            case "end" if not anchor:
                end = date.fromisoformat(deal.day(1 + value % TERM))
                values = {"EndDate": max(end, date.fromisoformat(edited["ServiceDate"]) + timedelta(days=1)).isoformat()}
            case "start" if not anchor:
                start = deal.day(value % TERM)
                values = {"ServiceDate": start} if not edited["EndDate"] or start < edited["EndDate"] else {}
            case "discount" if sum(one["PricebookEntryId"] == edited["PricebookEntryId"] for one in lines) == 1:
                values = _of(self._discounts(20, 2), value)
        if not values or edited["OriginalOrderItemId"]:
            return None
        return self._try(f"line {edited['Id']} of {deal.contract}", "OrderItem", edited["Id"], values)

    def edit_order(self, which: int, what: str, value: int) -> str | None:
        """Change the first order. The org tells nobody."""
        deal = self._deal(which)
        order = self._orders(deal)[0] if deal else None
        if deal is None or order is None:
            return None
        values: dict[str, Any]
        if what == "discount":
            values = _of(self._discounts(5, 3), value)
        else:
            values = _of(({METHOD: None, DAYS: None}, {METHOD: "send_invoice", DAYS: 30}), value)
        return self._try(f"order {order['Id']} of {deal.contract}", "Order", order["Id"], values)

    def take_back(self, which: int, order: int) -> str | None:
        """Set an order back to draft. Salesforce: not one that was reduced."""
        return self._set_status(which, order, "Activated", "Draft")

    def activate_again(self, which: int, order: int) -> str | None:
        """Activate a draft, unless it is a reduction: of the first line, something has to be left."""
        return self._set_status(which, order, "Draft", "Activated")

    def _set_status(self, which: int, number: int, before: str, status: str) -> str | None:
        deal = self._deal(which)
        orders = [one for one in self._orders(deal) if one["StatusCode"] == before] if deal else []
        if status == "Activated":
            orders = [one for one in orders if not one["IsReductionOrder"]]
        if deal is None or not orders:
            return None
        order = _of(orders, number)["Id"]
        return self._try(f"order {order} of {deal.contract}", "Order", order, {"Status": status})

    def delete_draft(self, which: int, order: int) -> str | None:
        """Delete a draft, but for a contract's first order."""
        deal = self._deal(which)
        orders = [one for one in self._orders(deal)[1:] if one["StatusCode"] == "Draft"] if deal else []
        if deal is None or not orders:
            return None
        chosen = _of(orders, order)["Id"]
        self.here.salesforce.delete("Order", chosen)
        return f"order {chosen} of {deal.contract} is deleted"

    def cancel(self, which: int, mode: str, month: int) -> str | None:
        """Ask for the end of a contract."""
        deal = self._deal(which)
        orders = [one for one in self._orders(deal) if one["StatusCode"] == "Activated"] if deal else []
        if deal is None or not orders:
            return None
        data: dict[str, Any] = {"mode": mode, "prorate": month % 2 == 0}
        if mode == "on_date":
            data["date"] = date.fromisoformat(deal.day(1 + month % (TERM - 1)))
        message = self._queue("order.cancellation_requested", orders[0]["Id"], **data)
        return f"{message} (contract {deal.contract}) is asked for"

    def clear_ids(self, which: int) -> str | None:
        """Empty the contract's schedule id."""
        deal = self._deal(which)
        if deal is None:
            return None
        self.here.salesforce.update("Contract", deal.contract, {SCHEDULE: None})
        return f"the schedule id of {deal.contract} is cleared"

    def _try(self, what: str, kind: str, record: str, values: dict[str, Any]) -> str | None:
        try:
            self.here.salesforce.update(kind, record, values)
        except SalesforceError:
            return None  # people see at once what the org refuses
        return f"{what} is set to {values}"

    def _discounts(self, percent: int, amount: int) -> list[dict[str, Any]]:
        """What may be off. An amount belongs to one invoice, and those of the past, which is caught up, do not exist."""
        off: list[dict[str, Any]] = [{PERCENT: None, AMOUNT: None}, {PERCENT: percent, AMOUNT: None}]
        caught_up = self.policies.get("backdating") == "catch_up"
        return off if caught_up else [*off, {PERCENT: None, AMOUNT: amount}]

    # What is changed in Stripe

    def meddle(self, which: int, how: str, value: int) -> str | None:
        """Change Stripe's side by hand. What Stripe refuses, or a fault strikes, people leave at that."""
        deal = self._deal(which)
        deed = self._meddling(deal, how, value) if deal else None
        if deal is None or deed is None:
            return None
        for other in self.deals:
            other.meddled |= other is deal or (how == "delete customer" and other.account == deal.account)
        with suppress(requests.RequestException):
            deed()
        return f"in Stripe, of {deal.contract}: {how}"

    def _meddling(self, deal: Deal, how: str, value: int) -> Callable[[], Any] | None:
        """What is done, if there is anything to do it to."""
        schedules, subscriptions = Stripe(self.here).live(deal.contract)
        post, delete = self.here.post_to_stripe, self.here.delete_in_stripe
        deeds: dict[str, Callable[[], Any]] = {}
        if subscriptions:
            subscription, number = subscriptions[0], next(self._numbers)
            path = f"/v1/subscriptions/{subscription['id']}"
            more = {"items[0][id]": subscription["items"]["data"][0]["id"], "items[0][quantity]": str(11 + value)}
            coupon = {"id": f"courtesy-{number}", "percent_off": "50", "duration": "forever"}
            deeds |= {
                "quantity": lambda: post(path, **more),
                "coupon": lambda: (post("/v1/coupons", **coupon), post(path, **{"discounts[0][coupon]": coupon["id"]})),
                "cancel subscription": lambda: delete(path),
                "attach": lambda: post("/v1/subscription_schedules", from_subscription=subscription["id"]),
            }
        if schedules:
            schedule = schedules[0]
            path_of_it = f"/v1/subscription_schedules/{schedule['id']}"
            flipped = {"release": "cancel", "cancel": "release"}[schedule["end_behavior"]]
            deeds |= {
                "end behavior": lambda: post(path_of_it, end_behavior=flipped),
                "mark": lambda: post(path_of_it, **{"metadata[orderphase_generation]": ""}),
                "cancel schedule": lambda: post(f"{path_of_it}/cancel"),
                "release": lambda: post(f"{path_of_it}/release"),
                "archive price": lambda: post(f"/v1/prices/{schedule['phases'][-1]['items'][0]['price']}", active="false"),
                "delete customer": lambda: delete(f"/v1/customers/{schedule['customer']}"),
            }
        return deeds.get(how)

    # What becomes of the events

    def deliver(self, number: int = 0) -> str | None:
        """Have the waiting event at this place handled, in the environment of the run before."""
        if not self.waiting:
            return None
        message = _of(self.waiting, number)
        if message.watches not in self._warm:
            self._warm[message.watches] = self.environment(message)
        return self._handle(message, self._warm[message.watches])

    def repeat(self, number: int) -> str | None:
        """Deliver an event once more that was handled already."""
        if not self.done:
            return None
        before = _of(self.done, number)
        message = Message(before.type, before.record, before.data, before.id)
        self.waiting.append(message)
        return self._handle(message, self.environment(message))

    def drop(self, number: int) -> str | None:
        """Have an event never arrive."""
        if not self.waiting:
            return None
        message = self.waiting.pop(number % len(self.waiting))
        self.lost.append(message)
        return f"{message} is lost"

    def kill(self, number: int, at: int, *, after: bool) -> str | None:
        """Handle a waiting event, in a process that ends before or after its remote call number `at`, if there are so many."""
        if not self.waiting:
            return None
        message = _of(self.waiting, number)
        runs, made = mortal(self.environment(message), at, after=after)
        told = self._handle(message, runs)
        return f"{told} (killed {'after' if after else 'before'} {made[at]})" if len(made) > at else told

    def disturb(self, number: int, at: int, deed: Callable[[], str | None]) -> str | None:
        """Handle a waiting event, while something happens before its call number `at` to Salesforce or the ledger."""
        if not self.waiting:
            return None
        message = _of(self.waiting, number)
        runs, calls, happened = self.environment(message), count(), list[str | None]()

        def step(name: str, call: Callable[[], Any]) -> Any:
            if next(calls) == at:
                happened.append(f"before {name}: {deed()}")
            return call()

        parts: Any = runs
        for owner, name in ((parts, "contracts"), (parts._back, "contracts"), (parts, "table")):
            setattr(owner, name, Mortal(getattr(owner, name), step))
        told = self._handle(message, runs)
        return f"{told} ({', '.join(map(str, happened))})"

    def redrive(self) -> str:
        """Have everything come again that was ever delivered."""
        again = [Message(one.type, one.record, one.data, one.id) for one in self.done]
        self.waiting += again
        return f"{len(again)} events come again"

    def fault(self, system: str, fault: int, skip: int) -> str:
        """Have a request to come go wrong."""
        stripe = system == "stripe"
        details = dict(_of(STRIPE_FAULTS if stripe else SALESFORCE_FAULTS, fault))
        (self.here.stripe if stripe else self.here.salesforce).inject(details.pop("kind"), skip=skip, **details)
        return f"{system} fails after {skip} requests: {_of(STRIPE_FAULTS if stripe else SALESFORCE_FAULTS, fault)}"

    def wait(self, number: int) -> str:
        """Let time pass."""
        self.here.clock.advance(_of(WAITS, number))
        return f"it is {self.here.clock.now():%Y-%m-%d %H:%M:%S}"

    # What looks by itself

    def poll(self) -> str:
        """Look for contracts that have changed."""
        runs = self.environment()
        changed = ChangedContracts(Changes(runs.contracts.client, self.here.mapping), runs.table, self._progress, self._found)
        return self._looked("poll", partial(changed.poll, self.here.clock.now()))

    def sweep(self) -> str:
        """Look at contracts one after the other."""

        def enqueue(contract: str, org: str, event: str, billed: bool) -> None:
            self._queue("contract.reconcile", contract, billed=billed)

        sweep = Sweep(self.environment().table, self._progress, enqueue, rate=24)
        return self._looked("sweep", partial(sweep.run, self.here.clock.now()))

    def roll(self) -> str:
        """Look for contracts that need their next phases."""

        def enqueue(contract: str, order: str, org: str, due: datetime) -> None:
            self._queue("order.activated", order, contract_due=True)

        window = RollingWindow(self.environment().table, enqueue)
        return self._looked("rolling window", partial(window.run, self.here.clock.now()))

    def _found(self, contract: ChangedContract, reason: str) -> None:
        self._queue("contract.reconcile", contract.contract_id, order_id=contract.order_id)

    def _looked(self, name: str, look: Callable[[], int]) -> str:
        try:
            return f"the {name} finds {look()}"
        except OrderphaseError as problem:
            return f"the {name} breaks off: {problem.kind} {problem.code}"

    def look_at(self, deal: Deal, *, changed: bool) -> None:
        """Have a contract looked at: as the poll does when an order was `changed`, or as the sweep does."""
        orders = [one["Id"] for one in self._orders(deal) if one["StatusCode"] == "Activated"]
        if changed and orders:
            self._queue("contract.reconcile", deal.contract, order_id=orders[0])
        else:
            self._queue("contract.reconcile", deal.contract, billed=True)

    # How it is done

    def environment(self, message: Message | None = None) -> ContractRuns:
        """A new Lambda environment: what handles this message there."""
        watching = {"on_schedule_ended": "error"} if message and message.watches else {}
        return self.here.contract_runs(**{**self.policies, **watching})

    def _handle(self, message: Message, runs: ContractRuns) -> str:
        now = self.here.clock.now()
        message.attempts.append(now)
        deal = self._deal_of(message.record) if message.type == "order.cancellation_requested" else None
        first, last = self._asked(deal, message) if deal else (now, now)
        try:
            report = self._run(message, runs)
        except KilledError:
            self._warm.clear()
            return f"{message} is being handled"
        except OrderphaseError as problem:
            return f"{message} comes again: {problem.kind} {problem.code} {problem.message}"
        finally:
            if deal:
                last = max(last, second(self.here))
                deal.asked.append((first, last))
        if message in self.waiting:
            self.waiting.remove(message)
        self.done.append(message)
        self.reports.append((message, report))
        if deal and report.outcome in ("synced", "unchanged", "skipped"):
            deal.ended = min(filter(None, [deal.ended, last]))
        return f"{message} is {report.outcome}: {report.message}"

    def _run(self, message: Message, runs: ContractRuns) -> Report:
        event: dict[str, Any] = {"event_id": message.id, "org_id": ORG}
        match message.type:
            case "order.activated":
                due = bool(message.data.get("contract_due"))
                return OrderActivation(runs).run(message.record, contract_due=due, **event)
            case "order_item.updated":
                flow = OrderItemUpdate(runs, self.here.mapping.order_item)
                return flow.run(message.record, changed_fields=message.data.get("changed_fields"), **event)
            case "order.cancellation_requested":
                return Cancellation(runs).run(message.record, request=CancellationRequest(**message.data), **event)
            case _:
                return Reconciliation(runs, runs).run(message.record, **message.data, **event)

    def _asked(self, deal: Deal, message: Message) -> tuple[datetime, datetime]:
        """From when to when a run may put the end of a contract."""
        now = self.here.clock.now().replace(microsecond=0)
        match message.data["mode"]:
            case "on_date":
                end = midnight(message.data["date"])
                return min(now, end), max(now, end)  # what bills no more is over at once
            case "at_period_end":
                _, subscriptions = Stripe(self.here).live(deal.contract)
                ends = [instant(one["current_period_end"]) for sub in subscriptions for one in sub["items"]["data"]]
                return now, max([now, *ends])
            case _:
                return now, now

    def _order(self, deal: Deal, lines: Sequence[dict[str, Any]], **fields: Any) -> str:
        return self.here.order(deal.account, deal.contract, *lines, EffectiveDate=lines[0]["ServiceDate"], **fields)

    def _line(self, deal: Deal, entry: str, start: int, end: int | None, quantity: int, **fields: Any) -> dict[str, Any]:
        until = None if end is None else deal.day(end)
        return line(entry, deal.day(start), until, Quantity=quantity, **fields)

    def _deal(self, number: int) -> Deal | None:
        return _of(self.deals, number) if self.deals else None

    def _deal_of(self, record: str) -> Deal | None:
        if record.startswith("800"):
            contract: str | None = record
        elif record.startswith("801"):
            found = self.here.salesforce.query(f"SELECT ContractId FROM Order WHERE Id = '{record}'")
            contract = found[0]["ContractId"] if found else None
        else:
            contract = None
        return next((one for one in self.deals if one.contract == contract), None)

    def _orders(self, deal: Deal) -> list[dict[str, Any]]:
        names = f"Id, StatusCode, IsReductionOrder, Stripe_Sync_Status__c, Stripe_Sync_Message__c, {SCHEDULE}, {SUBSCRIPTION}"
        return self.here.salesforce.query(f"SELECT {names} FROM Order WHERE ContractId = '{deal.contract}' ORDER BY Id")

    def _all_lines(self, deal: Deal | None) -> list[dict[str, Any]]:
        names = f"Id, PricebookEntryId, OriginalOrderItemId, Quantity, AvailableQuantity, UnitPrice, {PERCENT}, {AMOUNT}"
        return (
            self.here.salesforce.query(
                f"SELECT {names}, ServiceDate, EndDate, Order.StatusCode FROM OrderItem "
                f"WHERE Order.ContractId = '{deal.contract}' ORDER BY Id"
            )
            if deal
            else []
        )

    def _anchor(self, deal: Deal) -> str:
        """The contract's first line, which leaves no gap."""
        return str(self._all_lines(deal)[0]["Id"])


@contextmanager
def company(tell: Callable[[str], None], **policies: Any) -> Iterator[History]:
    """A company in a world of its own. `tell` takes its story. What is random is so by `random` alone, which can be seeded."""
    with pytest.MonkeyPatch.context() as patch, world() as here:
        patch.setattr("secrets.choice", random.choice)
        products = count(1)
        patch.setattr("tests.org.uuid4", lambda: SimpleNamespace(hex=f"{next(products):08}"))
        yield History(here, tell, **policies)


def _of[Thing](things: Sequence[Thing], number: int) -> Thing:
    return things[number % len(things)]


def _months(months: tuple[int, int]) -> tuple[int, int]:
    """A part of the term, of a month at least, but not from its start on: what changes an order comes after it."""
    first = 1 + months[0] % (TERM - 1)
    return first, first + 1 + months[1] % (TERM - first)


def _reducible(one: dict[str, Any]) -> bool:
    activated = one["Order"]["StatusCode"] == "Activated"
    return activated and one["OriginalOrderItemId"] is None and float(one["Quantity"]).is_integer()


# ---------------------------------------------------------------------------------------------------------- what must be true


class Inspection:
    """What must be true of a history, at every moment and once all is quiet. Failures are AssertionErrors."""

    def __init__(self, history: History) -> None:
        self.history, self.here = history, history.here

    def at_any_time(self) -> None:
        """Nothing bills twice or is there twice, nobody holds a contract for good, and all that is there says whose it is."""
        self._objects()
        for deal in self.history.deals:
            billed(self.here, deal.contract)
            ledger = self.here.ledger(deal.contract)
            until = datetime.fromtimestamp(float(ledger.get("lease_until", 0)), UTC)
            assert until <= self.here.clock.now() + LEASE, f"{deal.contract} is held until {until}"
            intent = ledger.get("intent", {})
            generation = int(intent.get("generation", 0))
            assert generation >= deal.generation, f"generation {generation} of {deal.contract} after {deal.generation}"
            if intent.get("state") == "recorded":  # what was only intended may be taken back
                deal.generation = generation

    def _objects(self) -> None:
        objects = partial(self.here.stripe.objects, ACCOUNT)
        live = {kind: [one for one in objects(kind) if not one.get("deleted")] for kind in ("customer", "product")}
        for kind, key in (("customer", "salesforce_account_id"), ("product", "salesforce_product_id")):
            names = [one["metadata"].get(key) for one in live[kind]]
            assert None not in names, f"a {kind} names no record"
            assert len(names) == len(set(names)), f"{kind}s twice: {names}"
        prices = [one for one in objects("price") if one["recurring"] and one["active"]]
        keys = [one["lookup_key"] for one in prices if one["lookup_key"]]
        assert len(keys) == len(set(keys)), f"prices twice: {keys}"
        for price in prices:
            named = price["metadata"].keys() & {"salesforce_pricebook_entry_id", "salesforce_product_id"}
            assert named, f"the price {price['id']} names no record"
        for coupon in objects("coupon"):
            ours = coupon["id"].startswith("orderphase_")
            assert not ours or coupon["times_redeemed"] <= 1, f"the coupon {coupon['id']} is redeemed twice"
        named = {one["id"] for one in objects("subscription") if contract_of(one)}
        for schedule in objects("subscription_schedule"):
            # One that only took a subscription over, to end it, is named by that.
            of = schedule["subscription"] or schedule["released_subscription"]
            assert contract_of(schedule) or of in named, f"the schedule {schedule['id']} names no contract"

    def end(self) -> Any:
        """What a history has come to, by contract and in all, without ids that Stripe has made."""
        contracts = [
            (
                [str(one) for one in billed(self.here, deal.contract)],
                [order["Stripe_Sync_Status__c"] for order in self.history._orders(deal)],
                {order[SCHEDULE] for order in self.history._orders(deal)} - {None}
                <= {self.here.record("Contract", deal.contract)[SCHEDULE]},
            )
            for deal in self.history.deals
        ]
        objects = partial(self.here.stripe.objects, ACCOUNT)
        prices = sorted((one["product"], one["unit_amount_decimal"]) for one in objects("price") if one["recurring"])
        return (
            contracts,
            prices,
            [len(objects(kind)) for kind in ("customer", "product", "subscription_schedule", "subscription")],
        )

    def settle(self) -> None:
        """Have people put right what is wrong, everything delivered, and each contract looked at; then audit it all."""
        self.put_right()
        self.reconcile(changed=True)
        for deal in self.history.deals:
            self.audit(deal)
        self.reconcile(changed=False)
        kept = self._kept()
        outcomes = self.reconcile(changed=False)
        assert set(outcomes.values()) <= {"unchanged", "skipped", "failed"}, outcomes
        assert self._kept() == kept, "a repeated reconciliation writes"

    def put_right(self) -> None:
        """What people do about what the product cannot decide: activate drafts, correct wrong values, clear ids."""
        self.here.stripe.faults.clear()
        self.here.salesforce.faults.clear()
        update = self.here.salesforce.update
        for price in self.here.stripe.objects(ACCOUNT, "price"):
            if price["recurring"] and not price["active"]:
                self.here.post_to_stripe(f"/v1/prices/{price['id']}", active="true")
        gone = {one["id"] for one in self.here.stripe.objects(ACCOUNT, "customer") if one.get("deleted")}
        orphaned = {one["id"] for one in self.here.schedules() if one["customer"] in gone}
        for deal in self.history.deals:
            if self.here.record("Contract", deal.contract)[SCHEDULE] in orphaned:
                update("Contract", deal.contract, {SCHEDULE: None})
            if self.here.record("Account", deal.account)["Stripe_Customer_Id__c"] in gone:
                update("Account", deal.account, {"Stripe_Customer_Id__c": None})
            for one in self.history._all_lines(deal):
                for wrong, right in WRONG:
                    if all(one[name] == value for name, value in wrong.items()):
                        update("OrderItem", one["Id"], right)
            for order in self.history._orders(deal):
                if order["StatusCode"] == "Draft" and order["IsReductionOrder"]:
                    self.here.salesforce.delete("Order", order["Id"])  # there may be nothing left to reduce
                elif order["StatusCode"] == "Draft":
                    update("Order", order["Id"], {"Status": "Activated"})

    def drain(self) -> None:
        """Deliver what waits until nothing does."""
        for _ in range(ROUNDS):
            if not self.history.waiting:
                return
            self.here.clock.advance(timedelta(minutes=3))
            for message in list(self.history.waiting):
                self.history.told(self.history.deliver(self.history.waiting.index(message)))
        left = [str(message) for message in self.history.waiting if not self._is_dead(message)]
        self.history.waiting.clear()
        assert not left, f"these do not go through: {left}"

    def _is_dead(self, message: Message) -> bool:
        """Whether a message is a dead letter by right: the end of a period is asked for where nothing is billed."""
        deal = self.history._deal_of(message.record)
        if deal is None or message.data.get("mode") != "at_period_end" or billed(self.here, deal.contract):
            return False
        self.history.told(f"{message} is a dead letter")
        return True

    def reconcile(self, *, changed: bool) -> dict[str, str]:
        """Look at every contract, and at those that need their next phases; answers the outcomes."""
        self.here.clock.advance(timedelta(minutes=3))
        first = len(self.history.reports)
        for deal in self.history.deals:
            self.history.look_at(deal, changed=changed)
        self.history.roll()
        self.drain()
        return {str(message): report.outcome for message, report in self.history.reports[first:]}

    def _kept(self) -> Any:
        """Everything that a run might write to."""
        kinds = ("Account", "Contract", "Order", "OrderItem", "Product2", "PricebookEntry")
        records = {kind: self.here.salesforce.query(f"SELECT Id, SystemModstamp FROM {kind} ORDER BY Id") for kind in kinds}
        return self.here.stripe.writes(), records

    def audit(self, deal: Deal) -> None:
        """Stripe bills what was sold, and Salesforce's fields say so."""
        ledger = self.here.ledger(deal.contract).get("intent", {})
        ends = instant(int(ledger["ends_at"])) if "ends_at" in ledger else None
        if deal.ended:
            assert ends, f"{deal.contract} was cancelled for {deal.ended}, which nobody knows any more"
            assert ends <= deal.ended, f"{deal.contract} ends on {ends}, but was cancelled for {deal.ended}"
        if ends:
            assert any(first <= ends <= last for first, last in deal.asked), (
                f"nobody has asked that {deal.contract} ends {ends}"
            )
        if deal.meddled and self.history.policies.get("on_drift") != "repair":
            return
        wanted, found = sold(self.here, deal.contract, ends), billed(self.here, deal.contract)
        told = "\n".join(["sold:", *map(str, wanted), "billed:", *map(str, found)])
        if len(wanted) > PHASES:
            assert len(found) > RUNWAY, told
            found[-1] = replace(found[-1], end=wanted[len(found) - 1].end)
            wanted = wanted[: len(found)]
        if found and not wanted and not ends:
            # What ended before anybody said so, goes on until a cancellation is asked for; the orders say that.
            statuses = {order["Stripe_Sync_Status__c"] for order in self.history._orders(deal)}
            assert "Failed" in statuses or self.history.policies.get("write_back", "full") != "full", told
            return
        assert wanted == found, f"{deal.contract}\n{told}"
        if wanted and self.history.policies.get("write_back", "full") == "full":
            self._fields(deal, ends)

    def _fields(self, deal: Deal, ends: datetime | None) -> None:
        """Contract, orders and account name what bills; no order says that it does not."""
        schedules, subscriptions = Stripe(self.here).live(deal.contract)
        contract = self.here.record("Contract", deal.contract)
        account = self.here.record("Account", deal.account)
        subscription = subscriptions[0]["id"] if subscriptions else None
        assert contract[SUBSCRIPTION] == subscription
        if schedules:
            assert contract[SCHEDULE] == schedules[0]["id"]
        assert account["Stripe_Customer_Id__c"] == (schedules or subscriptions)[0]["customer"]
        for order in self.history._orders(deal):
            ids = (order[SCHEDULE], order[SUBSCRIPTION])
            assert ids == (contract[SCHEDULE], subscription), f"order {order['Id']} of {deal.contract} says {ids}"
            status = order["Stripe_Sync_Status__c"]
            assert status == ("Cancelled" if ends else "Synced"), f"{order['Id']} {status}: {order['Stripe_Sync_Message__c']}"
