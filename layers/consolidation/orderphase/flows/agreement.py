"""What Salesforce and Stripe last agreed on, so that what one side has changed since is told from what the other has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from orderphase.domain.catalogue import Product
from orderphase.domain.listing import EntryState, ProductState, StripePrice, StripeProduct, lists
from orderphase.store.catalogue import Catalogue as Facts
from orderphase.store.catalogue import (
    Fact,
    agreed_fact,
    agreed_key,
    entry_fact,
    entry_key,
    is_sold,
    known_price,
    news,
    product_key,
)


class Agreement:
    """What is remembered of some products and entries: read once, a request for each hundred; noted where it has changed.

    told: whether Salesforce is told of Stripe's ids. Where it is not, those that we alone know count as if it named them.
    """

    def __init__(
        self,
        facts: Facts,
        products: Iterable[ProductState] = (),
        entries: Iterable[EntryState] = (),
        product_ids: Iterable[str] = (),
        *,
        told: bool,
    ) -> None:
        states, listed = list(products), list(entries)
        keys = [agreed_key(product_id) for product_id in product_ids]
        keys += [entry_key(state.entry) for state in listed]
        if not told:
            keys += [product_key(state.product.id) for state in states]
            keys += [product_key(state.entry.product.id) for state in listed]
        self._facts = facts
        self._told = told
        self._known = dict(facts.read(keys)) if keys else {}
        self.products = tuple(replace(state, product=self._linked(state.product)) for state in states)
        self.entries = tuple(self._listed(state) for state in listed)

    def _linked(self, product: Product) -> Product:
        fact = None if self._told or product.product_id else self._known.get(product_key(product.id))
        return replace(product, product_id=str(fact["product_id"])) if fact else product

    def _listed(self, state: EntryState) -> EntryState:
        if self._told:
            return state
        entry = state.entry
        price_id = known_price(self._known.get(entry_key(entry)), entry.price_id)
        return replace(state, entry=replace(entry, product=self._linked(entry.product), price_id=price_id))

    def news(self, given: StripeProduct) -> frozenset[str]:
        """What Stripe has changed about a product since, by name."""
        return news(self._known.get(agreed_key(given.id)), given.says)

    def sold(self, entry: EntryState) -> bool | None:
        """Whether Stripe has last said that an entry's price is sold; None = not known."""
        return is_sold(self._known.get(entry_key(entry.entry)), entry.price_id)

    def note_product(self, given: StripeProduct) -> None:
        """Remember what Stripe says of a product, which Salesforce says now too, or has changed since."""
        self._note(agreed_key(given.id), agreed_fact(given.says))

    def note_product_gone(self, product_id: str) -> None:
        """Remember nothing more of a product."""
        if self._known.get(agreed_key(product_id)):
            self._note(agreed_key(product_id), {})

    def note_before(self, held: EntryState, wanted: EntryState, price: StripePrice | None) -> None:
        """Remember what an entry is to say, before Salesforce has it: a later event may have no reason to look at it.

        Whether it was sold so far is what the next attempt still has to compare, by whichever price it finds.
        """
        if wanted.price_id is None:
            self.note_entry(held, wanted, None)
        elif price is not None and (fact := self._fact(held, wanted, price)) is not None:
            was = {} if held.price_id in (None, price.id) else {"was": held.price_id}
            self._note(entry_key(held.entry), {**fact, "active": self.sold(held), **was})

    def note_entry(self, held: EntryState | None, wanted: EntryState, price: StripePrice | None) -> None:
        """Remember what has become of an entry. `price`: the one that it lists now; None where that is sold no more."""
        if (fact := self._fact(held, wanted, price)) is not None:
            self._note(entry_key(wanted.entry), fact)

    def _fact(self, held: EntryState | None, wanted: EntryState, price: StripePrice | None) -> Fact | None:
        known = self._known.get(entry_key(held.entry)) if held is not None else None
        if known is not None and wanted.price_id not in (known.get("price_id"), known.get("before")):
            known = None
        if price is None:
            if wanted.price_id is None:
                return {"active": False}
            return {**(known or entry_fact(wanted.entry, wanted.price_id)), "active": False}
        if lists(wanted.entry, price):
            before = known.get("before") if known is not None and known["price_id"] == price.id else None
            return entry_fact(wanted.entry, price.id, active=True, before=before)
        return None if known is None else {**known, "active": True}

    def _note(self, key: str, fact: Fact) -> None:
        if self._known.get(key) != fact:
            self._facts.note(key, fact)
            self._known[key] = fact
