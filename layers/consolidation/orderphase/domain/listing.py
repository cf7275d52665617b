"""Which Stripe price an entry of the standard price book lists, and what Product2 and entry look like then.

Salesforce has one standard entry per product and currency, Stripe many prices. What is read on either side is compared here,
also with what both sides last agreed on: what one side has changed since is not undone by an event of the other.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Literal

from orderphase.domain.catalogue import BillingInterval, PriceBookEntry, Product
from orderphase.domain.money import exponent, plain, price_text, rounded_price

CUSTOM_PRICE_PREFIX = "orderphase_"
"""What the lookup key of a price begins with that was made for order lines."""

_NAME, _DESCRIPTION = 255, 4000
"""Salesforce: the longest name and description of a Product2."""

_STRIPE_NAME = 250
_UNIT_PRICE_STEP = Decimal("0.00000001")
"""Salesforce: the API keeps eight decimals of a unit price."""

_DOUBLE = Context(prec=15, rounding=ROUND_HALF_UP)
"""Salesforce: numbers are doubles, which keep 15 digits whatever they are."""


@dataclass(frozen=True, slots=True)
class StripePrice:
    """A price as Stripe has it.

    unit_amount: in minor units; None where there is no single one. default: it is its product's default price.
    kind: in words, what makes it one that an entry cannot show. entry_id: the entry of this org that it was made of.
    """

    id: str
    product_id: str
    currency: str
    created: int
    active: bool = True
    default: bool = False
    unit_amount: Decimal | None = None
    interval: BillingInterval | None = None
    kind: str | None = None
    lookup_key: str | None = None
    entry_id: str | None = None

    @property
    def bar(self) -> str | None:
        """In words, why no entry comes to list it."""
        if self.kind is not None:
            return self.kind
        if (self.lookup_key or "").startswith(CUSTOM_PRICE_PREFIX):
            return "was made for order lines"
        if self.entry_id is not None:
            return "was made of a price book entry, which says itself what it costs"
        return None if self.active else "is archived"

    @property
    def terms(self) -> tuple[Decimal, BillingInterval]:
        """What an entry shows of it: the amount in major units, exactly, and the interval. For prices without `kind` only."""
        assert self.unit_amount is not None  # noqa: S101 (else it has a kind)
        assert self.interval is not None  # noqa: S101 (else it has a kind)
        return self.unit_amount.scaleb(-exponent(self.currency)), self.interval


@dataclass(frozen=True, slots=True)
class StripeProduct:
    """A product as Stripe has it. `made_of`: the Product2 of this org that it was made of; `default`: its default price."""

    id: str
    name: str
    description: str | None = None
    active: bool = True
    made_of: str | None = None
    default: StripePrice | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def says(self) -> dict[str, str | bool]:
        """What a Product2 says too, so that both can be compared."""
        return {"name": _name(self.name), "description": shown_description(self.description), "active": self.active}


@dataclass(frozen=True, slots=True)
class ProductState:
    """A Product2 and whether it is active."""

    product: Product
    active: bool

    @property
    def says(self) -> dict[str, str | bool]:
        """What a product says too, so that both can be compared."""
        given = self.product
        return {"name": _name(given.name), "description": shown_description(given.description), "active": self.active}


@dataclass(frozen=True, slots=True)
class EntryState:
    """A price book entry and whether it is active. `entry.currency` is always known; the id of one to be made is empty."""

    entry: PriceBookEntry
    active: bool
    standard: bool = True

    @property
    def id(self) -> str:
        """The record's id."""
        return self.entry.id

    @property
    def price_id(self) -> str | None:
        """The price that it lists."""
        return self.entry.price_id


class NotListedError(Exception):
    """A product or price is left out of the price book.

    reason: why, without ids, to count by. outcome: `failed` where somebody has to correct something, else `skipped`.
    """

    def __init__(self, subject: str, reason: str, outcome: Literal["skipped", "failed"] = "skipped") -> None:
        super().__init__(f"{subject} {reason}.")
        self.message = f"{subject} {reason}."
        self.reason = reason
        self.outcome = outcome


# Products


def matching_product(
    given: StripeProduct, by_product_id: ProductState | None, made_of: ProductState | None
) -> ProductState | None:
    """The Product2 of a product: the one that has its id, else the one that it was made of; None where one is to be made.

    by_product_id, made_of: what Salesforce has by either. Raises NotListedError.
    """
    what = f"Product {given.id}"
    if by_product_id is not None:
        return by_product_id
    if given.made_of is None:
        if not given.active:
            raise NotListedError(what, "is archived and not in Salesforce")
        return None
    if made_of is None:
        reason = (
            "belonged to a Product2 that is not in Salesforce any more; without its metadata salesforce_product_id, it gets one"
        )
        raise NotListedError(what, reason)
    if made_of.product.product_id is not None:
        raise NotListedError(what, "was made of a Product2 that belongs to another product", "failed")
    return made_of


def wanted_product(given: StripeProduct, held: ProductState | None, news: Container[str]) -> tuple[ProductState, list[str]]:
    """What a product's Product2 is to be, and what is to be told of it.

    news: what of `given.says` Stripe has changed since both sides agreed. The rest stays as Salesforce has it.
    """
    description = shown_description(given.description)
    cut = [f"The description is cut to {_DESCRIPTION} characters."] if description != plain_text(given.description) else []
    wanted = ProductState(Product("", given.name[:_NAME], description or None, given.id), given.active)
    if held is None:
        return wanted, cut
    differing = [name for name, value in given.says.items() if value != held.says[name]]
    taken = [name for name in differing if name in news]
    kept = [name for name in differing if name not in news]
    product = replace(
        held.product,
        product_id=given.id,
        name=wanted.product.name if "name" in taken else held.product.name,
        description=wanted.product.description if "description" in taken else held.product.description,
    )
    notes = cut if "description" in taken else []
    if "active" in taken and not given.active:
        notes = [*notes, "It is archived in Stripe, so its Product2 is not active any more."]
    if kept:
        notes = [*notes, f"Salesforce has another {', '.join(kept)} since, which stays."]
    return ProductState(product, given.active if "active" in taken else held.active), notes


def sent_name(name: str) -> str:
    """What Stripe gets of a Product2's name."""
    return name[:_STRIPE_NAME]


def shown_description(description: str | None) -> str:
    """What Salesforce shows of a product's description."""
    return plain_text(description)[:_DESCRIPTION].rstrip()


def _name(name: str) -> str:
    return plain_text(sent_name(name))


def plain_text(text: str | None) -> str:
    """A text without what the systems change by themselves: blanks around it, and how lines end."""
    return "\n".join((text or "").splitlines()).strip()


# Prices


def is_contested(
    entry: EntryState | None, price: StripePrice | None, default: StripePrice | None, *, sold: bool | None
) -> bool:
    """Whether all active prices are needed to say which one is listed.

    price: the one that has changed; default: the product's default price, if it is in the same currency. sold: whether Stripe
    has last said that the entry's price is active; None = not known.
    """
    if entry is None or entry.price_id is None:
        return False
    if price is not None and price.id == entry.price_id and not price.active:
        return entry.active or sold is True
    return any(
        rival is not None and rival.bar is None and rival.id != entry.price_id and (rival.default or not entry.active)
        for rival in (price, default)
    )


def listed_price(prices: Iterable[StripePrice], entry: EntryState | None) -> StripePrice | None:
    """Which of these prices is listed: the default price; else the one that is; else the newest.

    prices: those of one product and currency, and the one that the entry names, unless that is known to be archived or gone.
    A price that was made of this very entry after the default price stays: Salesforce has changed its mind since. So does one
    that no entry shows, or of another product or currency: somebody has chosen it, and it is sold.
    """
    active = {price.id: price for price in prices if price.active}
    current = active.get(entry.price_id) if entry is not None and entry.price_id else None
    if entry is not None and current is not None and _is_foreign(current, entry):
        return current
    candidates = [price for price in active.values() if price.bar is None]
    default = next((price for price in candidates if price.default), None)
    if current is not None and (
        default is None or (entry is not None and current.entry_id == entry.id and current.created >= default.created)
    ):
        return current
    return default or max(candidates, key=lambda price: (price.created, price.id), default=None)


def wanted_entry(
    price: StripePrice, held: EntryState | None, product: Product, *, sold: bool | None
) -> tuple[EntryState, list[str]]:
    """What the entry that lists a price is to be, and what is to be told of it.

    Stripe: the amount and interval of a price never change. So where the entry that lists it says something else, that was
    changed in Salesforce, and stays: it makes another price. sold: as Stripe has last said. An entry whose price was sold all
    the time and that is not active was switched off in Salesforce, and stays so.
    """
    if held is not None and _is_foreign(price, held):
        return replace(held, active=held.active or sold is False), []
    active = held is None or held.active or sold is not True
    exact, interval = price.terms
    amount = shown_amount(exact)
    before = held.entry if held else PriceBookEntry(id="", product=product)
    same_amount, same_interval = _is_amount_of(before.unit_price, price), before.interval == interval
    entry = replace(
        before,
        product=product,
        price_id=price.id,
        unit_price=before.unit_price if same_amount else amount,
        currency=price.currency,
        interval_unit=before.interval_unit if same_interval else interval.unit,
        interval_count=before.interval_count if same_interval else Decimal(interval.count),
    )
    terms = f"{price_text(exact, price.currency)} {price.currency} {interval}"
    rounded = [] if exact == amount else [f"Salesforce shows {plain(amount)}, which is as exactly as it can."]
    agree = same_amount and (same_interval or before.interval_unit is None)
    if before.price_id == price.id:
        if agree:
            return EntryState(entry, active), []
        note = f"Salesforce says {_terms(before, price.currency)} since, where the price is {terms}; that makes another price."
        return EntryState(replace(before, product=product), active), [note]
    if held is None or agree:
        return EntryState(entry, active), [f"Listed at {terms}.", *rounded]
    by = f", by another price than {before.price_id}" if before.price_id else ""
    return EntryState(entry, active), [f"{_terms(before, price.currency)} becomes {terms}{by}.", *rounded]


def lists(entry: PriceBookEntry, price: StripePrice) -> bool:
    """Whether an entry lists a price and says what it is."""
    if price.kind is not None or entry.price_id != price.id:
        return False
    return _is_amount_of(entry.unit_price, price) and entry.interval == price.terms[1]


def without_price(held: EntryState, *, gone: bool, sold: bool | None) -> EntryState:
    """What an entry is to be whose price is archived, or is gone, with no other to take its place.

    sold: as Stripe has last said. An entry that was switched on since it was not stays on: that makes another price.
    """
    entry = replace(held.entry, price_id=None) if gone else held.entry
    return replace(held, active=held.active and sold is False, entry=entry)


def changed_metadata(held: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """What of some metadata is to be sent. Stripe: metadata is merged, and an empty value takes its key away."""
    return {key: value for key, value in wanted.items() if held.get(key, "") != value}


def _is_foreign(price: StripePrice, entry: EntryState) -> bool:
    """Whether an entry names a price that no entry shows, or that is of another product or currency."""
    if entry.price_id != price.id:
        return False
    product_id = entry.entry.product.product_id
    return price.kind is not None or product_id not in (None, price.product_id) or price.currency != entry.entry.currency


def _is_amount_of(unit_price: Decimal | None, price: StripePrice) -> bool:
    """Whether an entry says what a price is, as exactly as either side can: ISK and three-decimal currencies have steps."""
    if unit_price is None:
        return False
    exact, _ = price.terms
    rounded = rounded_price(unit_price, price.currency)
    return unit_price == shown_amount(exact) or rounded == exact


def shown_amount(exact: Decimal) -> Decimal:
    """What Salesforce shows of an amount in major units."""
    return _DOUBLE.plus(exact.quantize(_UNIT_PRICE_STEP, ROUND_HALF_UP))


def _terms(entry: PriceBookEntry, currency: str) -> str:
    amount = "no price" if entry.unit_price is None else f"{price_text(entry.unit_price, currency)} {currency}"
    return f"{amount} {entry.interval}" if entry.interval else amount
