"""What an order line is billed at: the standard price book's price, or one of its own where it was sold at another amount."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from orderphase.domain.calendar import months_between, whole_days_between
from orderphase.domain.catalogue import BillingInterval, PriceBookEntry
from orderphase.domain.lines import BilledAt, Order, OrderLine
from orderphase.domain.money import minor_units, plain
from orderphase.domain.policies import Policies


def priced(
    orders: Iterable[Order], policies: Policies, currency: str | None, billed: Mapping[str, BilledAt] | None = None
) -> tuple[Order, ...]:
    """The orders with what each line is billed at, its unit price being that of one billing interval.

    A line that is billed already keeps its price, whatever its price book entry has become, unless it is sold at another unit
    price since. Under the policy `custom_pricing: create`, a line that was sold at another price has an entry of its own
    instead of the price book's. What comes to the same as something that is billed already has its price, so that both are
    compared and billed together. currency: of orders that name none. billed: by the id of a line.
    """
    kept = billed or {}
    made = [
        replace(order, lines=tuple([_line(line, policies, order.currency or currency, kept) for line in order.lines]))
        for order in orders
    ]
    sold = {_content(line): line.billed_at for order in made for line in order.lines if line.billed_at}
    sold.pop(None, None)
    return (
        tuple([replace(order, lines=tuple([_alike(line, sold) for line in order.lines])) for order in made])
        if sold
        else tuple(made)
    )


def undivided(line: OrderLine, zone: ZoneInfo) -> str | None:
    """The unit of time (`months`, `days`) of which a line with an end does not last a whole number; None where all is well."""
    interval = line.entry.interval if line.entry else None
    if interval is None or line.unit_price is None or line.end is None or line.end <= line.start:
        return None
    in_months, _ = interval.span
    return None if _whole(line.start, line.end, zone, in_months=in_months) else "months" if in_months else "days"


def sold_otherwise(line: OrderLine, currency: str | None) -> bool:
    """Whether a line was sold at another unit price than its price book entry has, as far as Stripe can tell them apart."""
    sold, standard = line.unit_price, line.entry.unit_price if line.entry else None
    if sold is None or standard is None:
        return False
    return _amount(sold, currency) != _amount(standard, currency)


def _whole(start: datetime, end: datetime, zone: ZoneInfo, *, in_months: bool) -> int | None:
    """How many whole months, or days, a term lasts; None where a part of one is left over."""
    return (months_between if in_months else whole_days_between)(start, end, zone)


def _divided(unit_price: Decimal, line: OrderLine, interval: BillingInterval, zone: ZoneInfo) -> Decimal:
    """What a line's price for its whole term comes to in one interval, where it has such a term."""
    in_months, length = interval.span
    if line.end is None or line.end <= line.start:
        return unit_price
    count = _whole(line.start, line.end, zone, in_months=in_months)
    return unit_price * length / count if count else unit_price


def _line(line: OrderLine, policies: Policies, currency: str | None, billed: Mapping[str, BilledAt]) -> OrderLine:
    noted = billed.get(line.id)
    if noted is None or line.price_id or (None not in (noted.sold, line.unit_price) and noted.sold != line.unit_price):
        return _priced(line, policies, currency)
    return replace(line, unit_price=noted.amount if noted.amount is not None else line.unit_price, billed_at=noted)


def _content(line: OrderLine) -> tuple[str, Decimal | None, BillingInterval | None] | None:
    """What a line is billed for, at what amount and how often, where that is known."""
    if line.entry is None or line.price_id:
        return None
    noted = line.billed_at
    if noted is not None and None in (noted.amount, noted.interval):
        return None
    # Not the entry's, at which a line that was sold otherwise is refused, or billed with a warning.
    sold = line.unit_price if line.unit_price is not None else line.entry.unit_price
    return line.entry.product.id, noted.amount if noted and noted.amount is not None else sold, line.interval


def _alike(line: OrderLine, sold: Mapping[Any, BilledAt]) -> OrderLine:
    """A line that comes to the same as one that is billed already has its price."""
    if line.billed_at or line.price_id or (noted := sold.get(_content(line))) is None:
        return line
    return replace(line, billed_at=replace(noted, sold=None))


def _priced(line: OrderLine, policies: Policies, currency: str | None) -> OrderLine:
    entry = line.entry
    if entry is None or line.price_id:
        return line
    if policies.unit_prices == "per_term" and line.unit_price is not None and entry.interval is not None:
        zone = ZoneInfo(policies.time_zone)
        line = replace(line, unit_price=_divided(line.unit_price, line, entry.interval, zone))
    if policies.custom_pricing != "create" or not sold_otherwise(line, currency):
        return line
    return replace(line, entry=_custom(entry, line.unit_price or Decimal(0), currency))


def _custom(entry: PriceBookEntry, sold: Decimal, currency: str | None) -> PriceBookEntry:
    """An entry for a price that no price book has. Its id is made of what it is, so that all lines sold so share it."""
    interval = entry.interval
    every = f"{interval.unit}{interval.count}" if interval else "never"
    amount = plain(_amount(sold, currency))
    identity = f"{entry.product.id}_{(currency or '').lower()}_{amount}_{every}"
    return replace(entry, id=identity, price_id=None, unit_price=sold, currency=currency, custom=True)


def _amount(amount: Decimal, currency: str | None) -> Decimal:
    return minor_units(amount, currency) if currency else amount
