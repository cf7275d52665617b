"""What is wrong with an order or a line by itself, and what is left to compare with the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import chain
from zoneinfo import ZoneInfo

from orderphase.domain.calendar import day, period
from orderphase.domain.findings import Finding, as_policy_says, finding, sentence
from orderphase.domain.lines import Discount, Order, OrderLine, describe_line, describe_order
from orderphase.domain.money import decimals, plain, price_text, rounded_price, whole_minor_units
from orderphase.domain.phases import PhaseSettings
from orderphase.domain.policies import Policies
from orderphase.domain.pricing import sold_otherwise, undivided
from orderphase.domain.reductions import Reduction, reduce_span
from orderphase.domain.spans import Span

COLLECTION_METHODS = ("charge_automatically", "send_invoice")
"""Stripe: the collection methods of a subscription."""

_WHOLE = 100  # percent
_PERCENT_DECIMALS = 2  # Stripe: more decimals of percent_off are not documented

type Fault = tuple[str, str]
"""A finding's code and message."""


@dataclass(slots=True)
class Examined:
    """The spans that can be compared, those of older orders first, and of one order by the ids of the lines.

    settings: of the orders that state something, by id. findings: those so far. currency: the contract's.
    """

    spans: list[Span] = field(default_factory=list)
    settings: dict[str, PhaseSettings] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    currency: str | None = None


def examine(orders: Sequence[Order], policies: Policies) -> Examined:
    """Check every order and line by itself. `orders` go from the oldest to the newest, their lines by id."""
    examination = _Examination(orders, policies)
    examination.run()
    return examination.result


@dataclass(slots=True)
class _Where:
    """A line's name and time in a message; put into words only where there is something to say about it."""

    line: OrderLine
    order: Order
    zone: ZoneInfo

    def __str__(self) -> str:
        return f"{describe_line(self.line, self.order)} ({period(self.line.start, self.line.end, self.zone)})"


class _Examination:
    def __init__(self, orders: Sequence[Order], policies: Policies) -> None:
        self.orders = orders
        self.policies = policies
        self.summing = policies.quantity_conflict == "sum"
        self.zone = ZoneInfo(policies.time_zone)
        self.result = Examined()
        self.reductions: dict[str, list[Reduction]] = {}

    def run(self) -> None:
        self._currency()
        for rank, order in enumerate(self.orders):
            self._keep_settings(order)
            ids = (order.id,)
            for line in order.lines:
                if not line.quantity:
                    zero = f"The quantity of {self._where(line, order)} is 0, so it is not billed."
                    self._report_line([("zero_quantity", zero)], line, order)
                elif self._is_reduction(line, order):
                    self._keep_reduction(line, order)
                else:
                    self._keep_span(line, order, rank, ids)
        if self.reductions:
            self._reduce()

    def _where(self, line: OrderLine, order: Order) -> _Where:
        return _Where(line, order, self.zone)

    def _report_line(self, faults: Iterable[Fault], line: OrderLine, order: Order) -> None:
        self.result.findings += [self._about(code, message, line, order) for code, message in faults]

    @staticmethod
    def _about(code: str, message: str, line: OrderLine, order: Order) -> Finding:
        return finding(code, sentence(message), lines=[line.id], orders=[order.id], start=line.start, end=line.end)

    def _report_orders(self, faults: Iterable[Fault], *orders: Order) -> None:
        lines = [line for order in orders for line in order.lines]
        ends = [line.end for line in lines]
        self.result.findings += [
            finding(
                code,
                sentence(message),
                lines=[line.id for line in lines],
                orders=[order.id for order in orders],
                start=min((line.start for line in lines), default=None),
                end=_latest(ends),
            )
            for code, message in faults
        ]

    def _currency(self) -> None:
        currencies: dict[str, list[Order]] = {}
        for order in self.orders:
            if order.currency:
                currencies.setdefault(order.currency.upper(), []).append(order)
        if len(currencies) == 1:
            (self.result.currency,) = currencies
        elif currencies:
            named = "; ".join(f"{', '.join(map(describe_order, some))} in {code}" for code, some in currencies.items())
            orders = [order for some in currencies.values() for order in some]
            message = f"One contract is billed in one currency, but there is {named}."
            self._report_orders([("currency_conflict", message)], *orders)

    def _keep_settings(self, order: Order) -> None:
        method, days = order.collection_method, order.days_until_due
        if method is None and days is None and not (order.percent_off or order.amount_off):
            return
        faults, where = list[Fault](), describe_order(order)
        if method is not None and method not in COLLECTION_METHODS:
            known = " and ".join(COLLECTION_METHODS)
            faults.append(("invalid_property", f"the collection method of {where} is {method!r}; Stripe knows {known}."))
            method = None
        if days is not None and (days < 0 or days % 1):
            message = f"the days until due of {where} are {plain(days)}; Stripe takes a whole number from 0."
            faults.append(("invalid_property", message))
            days = None
        discount = _discount(order.percent_off, order.amount_off)
        if wrong := [*_discount_faults(order.percent_off, order.amount_off, order.currency, where)]:
            faults += wrong
            discount = None
        self._report_orders(faults, order)
        self.result.settings[order.id] = PhaseSettings(method, None if days is None else int(days), discount)

    def _is_reduction(self, line: OrderLine, order: Order) -> bool:
        """Salesforce: the lines of a reduction order name the line that they take from.

        Under `sum`, one that names none is a difference like any other.
        """
        if line.reduces is not None:
            return order.is_reduction or line.quantity < 0
        return order.is_reduction and not (self.summing and line.quantity < 0)

    def _keep_reduction(self, line: OrderLine, order: Order) -> None:
        where = self._where(line, order)
        faults = [*self._shape_faults(line, order)]
        if line.quantity > 0:
            positive = f"{where} belongs to a reduction order, but its quantity is {plain(line.quantity)}, not below 0."
            faults.append(("negative_quantity", positive))
        elif line.reduces is None:
            faults.append(("negative_quantity", f"{where} belongs to a reduction order, but names no original line."))
        elif not faults:
            self.reductions.setdefault(line.reduces, []).append(Reduction(line, order, int(-line.quantity)))
        self._report_line(faults, line, order)

    def _keep_span(self, line: OrderLine, order: Order, rank: int, orders: tuple[str, ...]) -> None:
        quantity, discount = int(line.quantity), None
        lasts = line.end is None or line.start < line.end
        faults: list[Fault] = []
        if not (lasts and 0 < quantity == line.quantity):
            faults += self._shape_faults(line, order)
            if line.quantity < 0 and not self.summing:
                faults.append(("negative_quantity", f"the quantity of {self._where(line, order)} is {plain(line.quantity)}."))
        if not (line.price_id or line.billed_at):
            faults += self._price_faults(line, order)
        if line.percent_off or line.amount_off:
            discount = _discount(line.percent_off, line.amount_off)
            faults += _discount_faults(line.percent_off, line.amount_off, order.currency, self._where(line, order))
        if faults:
            self._report_line(faults, line, order)
        if lasts:
            price = None if faults else line.price
            self.result.spans.append(Span(line, rank, line.start, line.end, price, quantity, discount, (line.id,), orders))

    def _shape_faults(self, line: OrderLine, order: Order) -> Iterator[Fault]:
        if line.quantity % 1:
            quantity = plain(line.quantity)
            yield "fractional_quantity", f"the quantity of {self._where(line, order)} is {quantity}, not a whole number."
        if line.end is not None and line.end <= line.start:
            dates = f"starts on {day(line.start, self.zone)} and is over on {day(line.end, self.zone)}"
            yield "empty_line", f"{describe_line(line, order)} {dates}: nothing is left to bill."

    def _price_faults(self, line: OrderLine, order: Order) -> Iterator[Fault]:
        """What is wrong with the price of a line that names none itself; remarks on it go to the findings."""
        entry, where = line.entry, self._where(line, order)
        if entry is None:
            yield "missing_price", f"{where} has no Stripe price."
            return
        if self.policies.unit_prices == "per_term" and (unit := undivided(line, self.zone)):
            # What one interval costs is not known, so nothing more can be said about the price.
            yield "term_not_whole", f"{where} does not last whole {unit}, so its price for the whole term cannot be divided."
            return
        currency = order.currency or entry.currency
        if entry.price_id is None:
            for code, problem in entry.faults(currency):
                yield code, f"{problem}, and {where} needs it."
        policy = self.policies.custom_pricing
        if policy != "create" and sold_otherwise(line, currency):
            if policy == "error":
                yield "custom_price", f"{where} {_prices(line)}, and no other is named."
            else:
                told = self._about("custom_price", f"{where} {_prices(line)}, at which it is billed.", line, order)
                self.result.findings.append(as_policy_says(told, refuse=False))
        # Told also where the price exists by now: the run that has made it is the one that tells.
        if entry.unit_price and currency and (rounded := rounded_price(entry.unit_price, currency)) is not None:
            amounts = f"{plain(entry.unit_price)} {currency} is billed as {plain(rounded)} {currency}"
            message = f"The price of {where} is finer than Stripe takes: {amounts}."
            self.result.findings.append(self._about("price_rounded", message, line, order))

    def _reduce(self) -> None:
        lines = {line.id: (line, order) for order in self.orders for line in order.lines}
        spans = {span.line.id: [span] for span in self.result.spans}
        for original, reductions in self.reductions.items():
            line, order = lines.get(original, (None, None))
            if line is None or order is None:
                self._refuse(reductions, f"names line {original}, which is on no activated order of this contract")
            elif line.quantity == 0:
                self._refuse(reductions, f"takes away from {describe_line(line, order)}, whose quantity is 0")
            elif self._is_reduction(line, order):
                self._refuse(reductions, f"takes away from {describe_line(line, order)}, which is a reduction itself")
            elif original in spans and spans[original][0].price is not None:
                spans[original], findings = reduce_span(spans[original][0], order, reductions, self.zone)
                self.result.findings += findings
        self.result.spans = [*chain.from_iterable(spans.values())]

    def _refuse(self, reductions: Iterable[Reduction], why: str) -> None:
        self.result.findings += [one.refused("negative_quantity", why) for one in reductions]


def _prices(line: OrderLine) -> str:
    standard = line.entry.unit_price if line.entry else None
    return f"sells at {plain(line.unit_price or Decimal(0))}, but the standard price is {plain(standard or Decimal(0))}"


def _discount(percent_off: Decimal | None, amount_off: Decimal | None) -> Discount | None:
    """The discount that is stated; 0 means none, as in Salesforce an empty number field often shows 0."""
    return Discount(percent_off or None, amount_off or None) if percent_off or amount_off else None


def _discount_faults(
    percent_off: Decimal | None, amount_off: Decimal | None, currency: str | None, where: object
) -> Iterator[Fault]:
    if percent_off and amount_off:
        both = f"{plain(percent_off)} percent and {price_text(amount_off, currency)} off"
        yield "discount_conflict", f"the discount of {where} is both {both}; Stripe takes one of them."
    if percent_off and not (0 < percent_off <= _WHOLE and decimals(percent_off) <= _PERCENT_DECIMALS):
        yield "discount_out_of_range", f"the discount of {where} is {plain(percent_off)} percent."
    if amount_off and (problem := _amount_problem(amount_off, currency)):
        yield "discount_out_of_range", f"the discount of {where} cannot be given: {problem}."


def _amount_problem(amount: Decimal, currency: str | None) -> str | None:
    if amount < 0:
        return f"{price_text(amount, currency)} is below 0"
    if currency:
        try:
            whole_minor_units(amount, currency)
        except ValueError as problem:
            return str(problem)
    return None


def _latest(ends: Sequence[datetime | None]) -> datetime | None:
    """The last of several ends; None where one of them is open."""
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None
