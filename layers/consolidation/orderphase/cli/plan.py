"""`orderphase plan`: a snapshot and the schedule that there is become the exact request to Stripe. Pure and offline."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from orderphase.cli.streams import exit_code, read_input, write_json
from orderphase.domain.backdating import sold_prices
from orderphase.domain.cancellation import CancellationRequest, cancellation_findings, end_of
from orderphase.domain.catalogue import PriceBookEntry, describe_unmade
from orderphase.domain.consolidation import consolidate
from orderphase.domain.findings import Finding, finding, in_order
from orderphase.domain.lines import BilledAt, Order
from orderphase.domain.phases import Consolidation
from orderphase.domain.planning import Plan, Situation, plan
from orderphase.domain.policies import Policies
from orderphase.domain.pricing import priced
from orderphase.domain.requests import metadata_of
from orderphase.domain.schedules import HeldSchedule
from orderphase.domain.sequence import Draft, in_sequence, naming_orders
from orderphase.errors import DataError
from orderphase.mapping import load_mapping
from orderphase.salesforce.snapshot import Situated, Snapshot, read_situated
from orderphase.stripe.schedules import read_schedule

_CURRENCY = "USD"
"""Where neither orders, nor schedule, nor price book state one."""


def run(options: argparse.Namespace) -> int:
    """Run the command; answers its exit code."""
    made, params = plan_situated(read_situated(read_input(options.file), load_mapping()))
    write_json(made.as_dict(params))
    return exit_code(made.findings)


def plan_situated(given: Situated) -> tuple[Plan, dict[str, Any]]:
    """The plan, and the parameters of its request. Raises `DataError` where the input cannot be used."""
    snapshot = given.snapshot
    contract_id = _contract_id(snapshot)
    schedule = None if given.schedule is None else read_schedule(given.schedule)
    orders = [order for order in snapshot.orders if order.activated] or snapshot.orders
    billed = _billed_at(orders, schedule, snapshot.policies) if schedule else {}
    # An org with one currency has it nowhere on its records.
    currency = schedule.currency if schedule else _currency(orders)
    orders = priced([replace(order, currency=order.currency or currency) for order in orders], snapshot.policies, None, billed)
    made = _plan(given, orders, schedule)
    customer = schedule.customer if schedule else given.customer_id
    if missing := [*_missing(made, orders, customer)]:
        made = replace(made, findings=in_order([*made.findings, _created_first(missing)]))
    params = made.params(
        customer=customer,
        coupons=made.coupons(f"{given.org_id or ''}:{contract_id}:1"),
        metadata=metadata_of(orders, contract_id, has_contract=snapshot.contract_id is not None, org_id=given.org_id),
        orders=orders,
        products={price: entry.product.product_id or entry.product.id for price, entry in _entries(orders).items()},
    )
    return made, params


def _billed_at(orders: Sequence[Order], schedule: HeldSchedule, policies: Policies) -> dict[str, BilledAt]:
    """What the lines are billed at that a schedule names. Offline, a price costs what its line was sold at."""
    prices = schedule.line_prices
    lines = [line for order in orders for line in order.lines if line.id in prices]
    if policies.unit_prices == "per_term":
        return {line.id: BilledAt(prices[line.id]) for line in lines}
    return {
        line.id: BilledAt(
            prices[line.id],
            amount=line.unit_price if line.unit_price is not None else line.entry.unit_price if line.entry else None,
            interval=line.entry.interval if line.entry else None,
        )
        for line in lines
    }


def _contract_id(snapshot: Snapshot) -> str:
    """What identifies the contract: an order that has none is a contract of one."""
    if snapshot.contract_id is not None:
        return snapshot.contract_id
    if len(snapshot.orders) != 1:
        raise DataError("contract: is missing; without a contract there is exactly one order")
    return snapshot.orders[0].id


def _plan(given: Situated, orders: Sequence[Order], schedule: HeldSchedule | None) -> Plan:
    policies = given.snapshot.policies
    taken = {order.id for order in orders}
    drafts = [_draft(order) for order in given.snapshot.orders if order.id not in taken]
    billed = _billed(given.snapshot.orders, schedule) if schedule else None
    consolidated = in_sequence(
        consolidate(orders, policies),
        orders,
        drafts,
        ZoneInfo(policies.time_zone),
        now=given.now,
        billed=billed,
        comparing=policies.quantity_conflict != "sum",
    )
    situation = Situation(given.now, policies, _currency(orders), schedule, prices=sold_prices(orders))
    if given.cancellation is None:
        made = plan(consolidated, situation)
    else:
        made = _plan_end(consolidated, situation, given.cancellation)
    return replace(made, findings=naming_orders(made.findings, orders))


def _plan_end(consolidated: Consolidation, situation: Situation, request: CancellationRequest) -> Plan:
    """The plan for a contract that is to end."""
    now, policies, schedule = situation.now, situation.policies, situation.schedule
    ends_at = end_of(request, schedule, now=now, policies=policies)
    situation = replace(situation, ends_at=ends_at, cancellation=request, ending=True)
    if found := [*cancellation_findings(request, ends_at, consolidated.phases, schedule, now=now, policies=policies)]:
        currency = consolidated.currency or situation.currency
        return Plan("nothing", situation, in_order([*consolidated.findings, *found]), currency)
    return plan(consolidated, situation)


def _billed(orders: Sequence[Order], schedule: HeldSchedule) -> set[str]:
    """The orders that a schedule bills, as far as it says so: by the lines of its items, and by the order it was made for."""
    made_for = schedule.metadata.get("salesforce_order_id")
    lines = schedule.line_prices
    return {order.id for order in orders if order.id == made_for or any(line.id in lines for line in order.lines)}


def _draft(order: Order) -> Draft:
    ends = [line.end for line in order.lines]
    end = None if None in ends else max((end.date() for end in ends if end), default=None)
    return Draft(order.id, order.number, order.effective, tuple([line.id for line in order.lines]), end)


def _currency(orders: Sequence[Order]) -> str:
    """The currency of the orders, or of the price book that their lines were sold from."""
    stated = [order.currency for order in orders]
    stated += [line.entry.currency for order in orders for line in order.lines if line.entry]
    return next(filter(None, stated), _CURRENCY)


def _entries(orders: Sequence[Order]) -> dict[str, PriceBookEntry]:
    """The price book entry of each price that comes from one."""
    lines = (line for order in orders for line in order.lines)
    return {line.price: line.entry for line in lines if line.entry and line.price and not line.price_id}


def _missing(made: Plan, orders: Sequence[Order], customer: str | None) -> Iterator[str]:
    """What the request needs and is known under its Salesforce id alone."""
    if made.action == "create" and made.attach is None and customer is None:
        yield "the customer"
    entries = _entries(orders)
    for price in dict.fromkeys(item.price for phase in made.phases for item in phase.items):
        entry = entries.get(price)
        if entry is not None and entry.id == price:
            yield describe_unmade(entry)
    products = (entries[item.price].product for item in made.caught_up)
    for product in dict.fromkeys(product for product in products if product.product_id is None):
        yield f"the product {product.id} ({product.name})"


def _created_first(missing: Sequence[str]) -> Finding:
    return finding("created_first", f"The request needs {', '.join(missing)}; the flow finds or creates this first.")
