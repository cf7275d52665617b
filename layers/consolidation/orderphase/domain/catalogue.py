"""Where the price of an order line comes from: the line itself, or the standard price book."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Literal

from orderphase.domain.money import plain, price_text, unit_amount

Unit = Literal["day", "week", "month", "year"]

_LONGEST: dict[Unit, int] = {"day": 1095, "week": 156, "month": 36, "year": 3}
"""Stripe: a price's billing interval lasts three years at most."""


@dataclass(frozen=True, slots=True)
class BillingInterval:
    """How often a price is billed: every `count` days, weeks, months or years."""

    unit: Unit
    count: int = 1

    @property
    def span(self) -> tuple[bool, int]:
        """Whether it is counted in months, and how many months (or days) it lasts.

        Stripe: 12 months are a year, 7 days are a week; for days and months there is no common measure.
        """
        factor = {"day": 1, "week": 7, "month": 1, "year": 12}[self.unit]
        return self.unit in ("month", "year"), factor * self.count

    def __str__(self) -> str:
        return f"every {self.unit}" if self.count == 1 else f"every {self.count} {self.unit}s"


def refused_together(intervals: Iterable[BillingInterval], *, mixed: bool) -> bool:
    """Whether Stripe refuses prices with these intervals on one subscription.

    Stripe: with the flexible billing mode (`mixed`) each interval is a multiple of the shortest, where 12 months are a year and
    7 days a week, and of the intervals in days only a single day goes into months. With the classic mode all are equal.
    """
    spans = sorted({interval.span for interval in intervals})
    if len(spans) <= 1:
        return False
    if not mixed:
        return True
    (in_months, shortest), (any_months, _) = spans[0], spans[-1]
    if in_months != any_months:
        return shortest != 1
    return any(length % shortest for _, length in spans)


@dataclass(frozen=True, slots=True)
class Product:
    """A Salesforce Product2; `product_id` is its Stripe product, where it has one already. `metadata`: beside our own keys."""

    id: str
    name: str
    description: str | None = None
    product_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class PriceBookEntry:
    """What a Stripe price is made of: an entry of the standard price book; `price_id` is its price, where it has one already.

    custom: no entry, but a line that was sold at another price. Then `id` says what the price is, and is the same for all such.
    """

    id: str
    product: Product
    price_id: str | None = None
    unit_price: Decimal | None = None
    currency: str | None = None
    interval_unit: Unit | None = None
    interval_count: Decimal | None = None
    custom: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def interval(self) -> BillingInterval | None:
        """The billing interval, where one is stated and Stripe can bill it."""
        return _interval(self.interval_unit, self.interval_count)

    def faults(self, currency: str | None) -> Iterator[tuple[str, str]]:
        """What keeps a Stripe price from being made of this entry: finding codes and what is the matter."""
        what = "The price" if self.custom else f"The standard price book entry {self.id}"
        what += f" of {self.product.name}"
        if self.interval_unit is None:
            yield "missing_interval", f"{what} has no billing interval"
        elif self.interval is None:
            count = self.interval_count
            every = self.interval_unit if count is None else f"{plain(count)} {self.interval_unit}s"
            yield "invalid_interval", f"{what} is billed every {every}"
        if self.unit_price is None:
            yield "invalid_unit_price", f"{what} has no price"
        elif self.unit_price < 0:
            yield "invalid_unit_price", f"{what} has the price {plain(self.unit_price)}"
        elif currency:
            try:
                unit_amount(self.unit_price, currency)
            except ValueError as problem:
                yield "invalid_unit_price", f"{what} has a price that cannot be billed: {problem}"


@lru_cache(maxsize=128)
def _interval(unit: Unit | None, count: Decimal | None) -> BillingInterval | None:
    count = Decimal(1) if count is None else count
    if unit is None or unit not in _LONGEST or count % 1 or not 1 <= count <= _LONGEST[unit]:
        return None
    return BillingInterval(unit, int(count))


def describe_unmade(entry: PriceBookEntry) -> str:
    """Name a price that does not exist yet in a message."""
    if entry.custom and entry.unit_price is not None:
        amount = " ".join(filter(None, (price_text(entry.unit_price, entry.currency), entry.currency)))
        return f"the price of {entry.product.name} at {amount} {entry.interval or ''}".rstrip()
    return f"the price of price book entry {entry.id} ({entry.product.name})"


def is_unmade(price: str) -> bool:
    """Whether what identifies a price is no price of Stripe's yet, but made of the Salesforce id of an entry or a product."""
    return price.startswith(("01t", "01u"))
