"""Orders and order lines, as the domain sees them: dates are instants, numbers are Decimal, nothing is checked yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from orderphase.domain.catalogue import BillingInterval, PriceBookEntry


@dataclass(frozen=True, slots=True)
class Discount:
    """Either a percentage, above 0 up to 100, or an amount in the order's currency."""

    percent_off: Decimal | None = None
    amount_off: Decimal | None = None


@dataclass(frozen=True, slots=True)
class BilledAt:
    """The Stripe price that a line is billed at already.

    sold: the line's unit price when this was noted, as Salesforce had it. amount, interval: what the price costs, and how
    often. None where that is not known.
    """

    price: str
    sold: Decimal | None = None
    amount: Decimal | None = None
    interval: BillingInterval | None = None


@dataclass(frozen=True, slots=True)
class OrderLine:
    """An order line. `start` and `end` are UTC instants, `end` exclusive and None where the line is open-ended.

    price_id: the Stripe price that the line itself names.
    entry: the product's entry in the standard price book, which has the price otherwise.
    unit_price: what one unit was sold for, where that is known.
    reduces: the id of the line that a reduction takes from.
    billed_at: what the line is billed at already. It stays when the price book's becomes another one.
    name: the product's name, for messages. metadata: what its item in Stripe carries beside our own keys.
    """

    id: str
    quantity: Decimal
    start: datetime
    end: datetime | None
    price_id: str | None = None
    entry: PriceBookEntry | None = None
    unit_price: Decimal | None = None
    percent_off: Decimal | None = None
    amount_off: Decimal | None = None
    reduces: str | None = None
    billed_at: BilledAt | None = None
    name: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def price(self) -> str | None:
        """What identifies the price that is billed: a Stripe price, or the price book entry that one will be made of."""
        if self.price_id or self.entry is None:
            return self.price_id or (self.billed_at.price if self.billed_at else None)
        return self.billed_at.price if self.billed_at else self.entry.price_id or self.entry.id

    @property
    def interval(self) -> BillingInterval | None:
        """How often that price is billed, where it is known; of a price that only Stripe knows it is not."""
        if self.price_id:
            return None
        noted = self.billed_at.interval if self.billed_at else None
        return noted or (self.entry.interval if self.entry else None)


@dataclass(frozen=True, slots=True)
class Order:
    """An activated order with its lines. A property that is None is not stated, and agrees with anything.

    stripe_account: the name of the Stripe account that bills it. metadata: what its phases carry beside our own keys.
    """

    id: str
    number: str
    effective: date
    activated: datetime | None = None
    currency: str | None = None
    is_reduction: bool = False
    collection_method: str | None = None
    days_until_due: Decimal | None = None
    percent_off: Decimal | None = None
    amount_off: Decimal | None = None
    lines: tuple[OrderLine, ...] = ()
    stripe_account: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def age(self) -> tuple[date, bool, float, str, str]:
        """Sorts orders from the oldest to the newest: by effective date, then activation, then number."""
        activated = self.activated.timestamp() if self.activated else 0.0
        return self.effective, self.activated is not None, activated, self.number, self.id


def describe_order(order: Order) -> str:
    """Name an order in a message."""
    return f"order {order.number}"


def describe_line(line: OrderLine, order: Order) -> str:
    """Name a line in a message: by product where it is known, by id, and by its order's number."""
    name = f" ({line.name})" if line.name else ""
    return f"line {line.id}{name} of order {order.number}"
