"""Gets or creates the Stripe products and prices that are needed, and says what Salesforce must be told.

An amount is never changed in Stripe: a price book entry with another amount gets another price, and what runs keeps the one it
has. So that this shows, what an entry said is remembered when its price is noted. A price id that is seen for the first
time, or whose entry said too little then, is looked at once: one that costs something else than the entry says is not what was
sold.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from orderphase.domain.catalogue import PriceBookEntry, Product
from orderphase.domain.findings import Finding, finding
from orderphase.domain.lines import Order
from orderphase.domain.listing import ProductState, shown_amount
from orderphase.domain.money import exponent, plain
from orderphase.errors import DataError
from orderphase.mapping import FieldMapping
from orderphase.salesforce.writing import Update
from orderphase.store.catalogue import Catalogue as Facts
from orderphase.store.catalogue import (
    Fact,
    agreed_fact,
    agreed_key,
    entry_content,
    entry_fact,
    entry_key,
    is_sold,
    product_key,
    same_content,
    says_all,
)
from orderphase.stripe.account import StripeAccount, is_price_of, product_of, side_by_side

if TYPE_CHECKING:
    import stripe

type Sold = tuple[PriceBookEntry, str]
"""An entry, and the currency that it is sold in."""


@dataclass(slots=True)
class Catalogue:
    """The Stripe prices of price book entries, and the products of these prices.

    updates: what Salesforce does not know. facts: what is to be remembered. held: the price that holds an entry's lookup key.
    named: by entry, the price that Salesforce names. replaced: by entry, the price that its content no longer fits.
    """

    prices: dict[str, str] = field(default_factory=dict)
    products: dict[str, str] = field(default_factory=dict)
    updates: list[Update] = field(default_factory=list)
    facts: dict[str, Fact] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def tell(self, update: Update) -> None:
        """Have Salesforce told something once."""
        if update not in self.updates:
            self.updates.append(update)


@dataclass(frozen=True, slots=True)
class Ensured:
    """A Stripe object that exists now.

    new: it was made, or a price was found, just now. replaced: the price that it has taken the place of, for what is sold from
    now on; `lost`: because that one is archived or gone.
    """

    id: str
    updates: list[Update]
    new: bool = False
    replaced: str | None = None
    lost: bool = False


class CatalogueSource:
    """Finds or creates catalogue objects in one Stripe account. What is known already costs no request.

    primary: whether the ids that Salesforce has are this account's. told: whether Salesforce is told of new ones. What it
    does not know is remembered by ourselves alone.
    """

    def __init__(
        self, stripe: StripeAccount, facts: Facts, mapping: FieldMapping, currency: str, *, primary: bool, told: bool = True
    ) -> None:
        self._stripe = stripe
        self._facts = facts
        self._mapping = mapping
        self._currency = currency
        self._primary = primary
        self.told = primary and told

    def known(self, orders: Iterable[Order], *, again: bool = False) -> tuple[tuple[Order, ...], Catalogue]:
        """The orders, where each entry has the Stripe ids that are known to fit it in this account.

        again: a run may have been cut off before Salesforce was told, so entries of lines that are billed are looked at too.
        """
        orders, catalogue = tuple(orders), Catalogue()
        lines = [line for order in orders for line in order.lines if not line.price_id and (again or not line.billed_at)]
        entries = {line.entry.id: line.entry for line in lines if line.entry is not None}
        facts = self._read(entries.values())
        doubted = list(dict.fromkeys(filter(None, (self._doubted(entry, facts) for entry in entries.values()))))
        prices = dict(zip(doubted, side_by_side(self._stripe.price, doubted), strict=True))
        resolved = {entry.id: self._resolved(entry, facts, catalogue, prices) for entry in entries.values()}
        sold = {line.id: replace(line, entry=resolved[line.entry.id]) for line in lines if line.entry is not None}
        if not self._primary:
            others = [line for order in orders for line in order.lines if line.entry is not None and line.id not in sold]
            sold |= {line.id: replace(line, entry=_without_ids(line.entry)) for line in others if line.entry is not None}
        return tuple(
            [replace(order, lines=tuple([sold.get(line.id, line) for line in order.lines])) for order in orders]
        ), catalogue

    def find(self, entries: Sequence[Sold], catalogue: Catalogue, *, org_id: str) -> None:
        """Add the Stripe prices of those entries that have one which is not known."""
        found = self._stripe.find_prices([entry for entry, _ in entries], org_id=org_id) if entries else {}
        for entry, currency in entries:
            price = found.get(entry.id)
            if price is None:
                continue
            catalogue.held[entry.id] = price.id
            if is_price_of(price, entry, currency=currency):
                self._note(catalogue, entry, price.id, product_of(price))

    def recall(self, orders: Iterable[Order], catalogue: Catalogue) -> None:
        """Have Salesforce told of the products of what is billed: a run may have been cut off before it could."""
        told = {update.id for update in catalogue.updates}
        lines = [line for order in orders for line in order.lines if line.entry and line.billed_at] if self.told else []
        for line in lines:
            if line.entry is None or line.billed_at is None or line.entry.product.product_id or line.entry.product.id in told:
                continue
            told.add(line.entry.product.id)
            if (price := self._stripe.price(line.billed_at.price)) is not None:
                self._note_product(catalogue, line.entry.product, product_of(price))

    def create(self, entries: Sequence[Sold], catalogue: Catalogue, *, org_id: str) -> None:
        """Make the Stripe prices, and products, of entries for which `find` has found none."""
        products = {entry.product.id: entry.product for entry, _ in entries}

        def ensure(product: Product) -> tuple[str, bool]:
            return (product.product_id, False) if product.product_id else self._stripe.make_product(product, org_id=org_id)

        made = dict(zip(products, side_by_side(ensure, products.values()), strict=True))

        def create(of: Sold) -> str:
            entry, currency = of
            after = catalogue.held.get(entry.id) or catalogue.replaced.get(entry.id)
            return self._stripe.create_price(entry, made[entry.product.id][0], currency=currency, org_id=org_id, after=after)

        for (entry, _), price in zip(entries, side_by_side(create, entries), strict=True):
            product_id, new = made[entry.product.id]
            self._note(catalogue, entry, price, product_id)
            if new:
                _note_agreed(catalogue, entry.product, product_id)

    def remember(self, catalogue: Catalogue) -> None:
        """Write down what was found out."""
        for key, fact in catalogue.facts.items():
            self._facts.note(key, fact)
        catalogue.facts.clear()

    def product_id(self, product: Product) -> str | None:
        """The Stripe product of a Product2, where it has one: the one that it names, else the one that we alone know."""
        known = product.product_id if self._primary else None
        if known is None and not self.told:
            known = self._product(product, self._facts.read([product_key(product.id)]))
        return known

    def ensure_product(self, product: Product, *, org_id: str) -> Ensured:
        """Get or create the Stripe product of a Product2 that has none as far as is known."""
        made, new = self._stripe.make_product(product, org_id=org_id)
        catalogue = Catalogue()
        self._note_product(catalogue, product, made)
        if new:
            _note_agreed(catalogue, product, made)
        self.remember(catalogue)
        return Ensured(made, catalogue.updates, new)

    def ensure_price(self, entry: PriceBookEntry, *, org_id: str, look: bool = False) -> Ensured:
        """Get or create the Stripe price of a price book entry. Raises DataError with every reason why there can be none.

        look: whether to see if Stripe still sells its price, also where it did when we saw it last.
        """
        currency = entry.currency or self._currency
        if faults := [problem for _, problem in entry.faults(currency)]:
            raise DataError("; ".join(faults), code="invalid_price_book_entry")
        catalogue, facts, key = Catalogue(), self._read([entry]), entry_key(entry)
        resolved = self._resolved(entry, facts, catalogue)
        lost = False
        if resolved.price_id and (look or not is_sold(facts.get(key), resolved.price_id)):
            price = self._stripe.price(resolved.price_id)
            lost = price is None or not price.active
            first = key in catalogue.facts
            if price is None or lost or (first and not self._fits(price, entry)):
                catalogue.replaced[entry.id] = resolved.price_id
                catalogue.updates.clear()
                resolved = replace(resolved, price_id=None)
            elif not (fact := catalogue.facts.get(key, facts.get(key, {}))).get("active"):
                catalogue.facts[key] = {**fact, "active": True}
        if resolved.price_id is None:
            self.find([(resolved, currency)], catalogue, org_id=org_id)
            if entry.id not in catalogue.prices:
                self.create([(resolved, currency)], catalogue, org_id=org_id)
        self.remember(catalogue)
        price_id = resolved.price_id or catalogue.prices[entry.id]
        replaced = catalogue.replaced.get(entry.id)
        replaced = replaced if replaced != price_id else None
        return Ensured(price_id, catalogue.updates, entry.id in catalogue.prices, replaced, lost)

    def _read(self, entries: Iterable[PriceBookEntry]) -> Mapping[str, Fact]:
        keys = [entry_key(entry) for entry in entries if not entry.custom]
        keys += [] if self.told else [product_key(entry.product.id) for entry in entries]
        return self._facts.read(keys) if keys else {}

    def _doubted(self, entry: PriceBookEntry, facts: Mapping[str, Fact]) -> str | None:
        """The price that an entry names, where it is not known to be what the entry says: it is looked at once."""
        fact = facts.get(entry_key(entry))
        if not self._primary or entry.price_id is None:
            return None
        if fact is None or entry.price_id not in (fact.get("price_id"), fact.get("before")):
            return entry.price_id
        return None if says_all(fact) or same_content(fact, self._said(entry)) else str(fact["price_id"])

    def _fits(self, price: stripe.Price, entry: PriceBookEntry) -> bool:
        """Whether a price that an entry names can bill it. What the entry does not say, or cannot, is not held against it."""
        licensed = price.recurring is not None and price.recurring.usage_type == "licensed"
        if not licensed or price.unit_amount_decimal is None or entry.unit_price is None or entry.interval is None:
            return True
        exact = Decimal(price.unit_amount_decimal).scaleb(-exponent(price.currency))
        said = exact if entry.unit_price == shown_amount(exact) else entry.unit_price  # Salesforce shows eight decimals
        alone = replace(entry, product=replace(entry.product, product_id=None), unit_price=said)
        return is_price_of(price, alone, currency=entry.currency or self._currency)

    def _resolved(
        self,
        entry: PriceBookEntry,
        facts: Mapping[str, Fact],
        catalogue: Catalogue,
        prices: Mapping[str, stripe.Price | None] | None = None,
    ) -> PriceBookEntry:
        """An entry with the price that fits it, as far as that is known. `prices`: those that were looked at, by id."""
        seen = prices or {}
        fact = facts.get(entry_key(entry))
        if not self._primary:
            entry = _without_ids(entry)
        if not self.told and entry.product.product_id is None:
            entry = replace(entry, product=replace(entry.product, product_id=self._product(entry.product, facts)))
        if not self.told and entry.price_id is None and fact is not None:
            entry = replace(entry, price_id=fact.get("price_id"))
        if entry.price_id is None:
            return entry
        catalogue.named[entry.id] = entry.price_id
        if fact is None or entry.price_id not in (fact.get("price_id"), fact.get("before")):
            if (price := seen.get(entry.price_id)) is not None and not self._fits(price, entry):
                catalogue.replaced[entry.id] = entry.price_id
                return replace(entry, price_id=None)
            catalogue.facts[entry_key(entry)] = entry_fact(self._said(entry), entry.price_id)
            return entry
        known = str(fact["price_id"])
        if known == entry.price_id and "before" in fact:  # Salesforce has been told
            catalogue.facts[entry_key(entry)] = {name: value for name, value in fact.items() if name != "before"}
        if not same_content(fact, self._said(entry)):
            if (price := seen.get(known)) is None or not self._fits(price, entry):
                catalogue.replaced[entry.id] = known
                return replace(entry, price_id=None)
            catalogue.facts[entry_key(entry)] = {**fact, "content": entry_content(self._said(entry))}
        if known != entry.price_id and self.told:  # a run was cut off before it could tell
            self._tell_price(catalogue, entry, known)
            catalogue.findings.append(_replaced(entry, known, entry.price_id))
        return replace(entry, price_id=known)

    @staticmethod
    def _product(product: Product, facts: Mapping[str, Fact]) -> str | None:
        fact: Any = facts.get(product_key(product.id))
        return str(fact["product_id"]) if fact else None

    def sold(self, orders: Iterable[Order], wanted: Container[str]) -> list[Sold]:
        """The entries among the price identities that have no Stripe price, each with the currency that it is sold in."""
        entries = {
            line.entry.id: (line.entry, order.currency or self._currency)
            for order in orders
            for line in order.lines
            if line.entry is not None and not line.entry.price_id and line.entry.id in wanted
        }
        return list(entries.values())

    def _note(self, catalogue: Catalogue, entry: PriceBookEntry, price: str, product: str) -> None:
        """Remember a price, and have Salesforce told of what it does not know."""
        catalogue.prices[entry.id] = price
        catalogue.products[price] = product
        if not entry.custom:
            named = catalogue.named.get(entry.id)
            before = named if named != price else None
            catalogue.facts[entry_key(entry)] = entry_fact(self._said(entry), price, active=True, before=before)
            self._tell_price(catalogue, entry, price)
        self._note_product(catalogue, entry.product, product)
        before = catalogue.replaced.get(entry.id)
        if before is not None and before != price:
            catalogue.findings.append(_replaced(entry, price, before))

    def _said(self, entry: PriceBookEntry) -> PriceBookEntry:
        """An entry with its currency, which it does not say where the org has one only."""
        return replace(entry, currency=entry.currency or self._currency)

    def _tell_price(self, catalogue: Catalogue, entry: PriceBookEntry, price: str) -> None:
        if self.told:
            catalogue.tell(Update("PricebookEntry", entry.id, {self._mapping.price_book_entry.price_id: price}))

    def _note_product(self, catalogue: Catalogue, product: Product, made: str) -> None:
        if product.product_id is not None:
            return
        if self.told:
            catalogue.tell(Update("Product2", product.id, {self._mapping.product.product_id: made}))
        else:
            catalogue.facts[product_key(product.id)] = {"product_id": made}


def _note_agreed(catalogue: Catalogue, product: Product, made: str) -> None:
    """Remember that a product was made with what its Product2 says. Stripe: a new one is active."""
    catalogue.facts[agreed_key(made)] = agreed_fact(ProductState(product, active=True).says)


def _without_ids(entry: PriceBookEntry) -> PriceBookEntry:
    """An entry without the Stripe ids that Salesforce has, which are another account's."""
    return replace(entry, product=replace(entry.product, product_id=None), price_id=None)


def _replaced(entry: PriceBookEntry, price: str, before: str) -> Finding:
    amount = plain(entry.unit_price) if entry.unit_price is not None else "another price"
    message = (
        f"The price book entry {entry.id} of {entry.product.name} says {amount}, and {before} does not bill that now: "
        f"{price} does; what runs keeps {before}."
    )
    return finding("price_replaced", message)
