"""Catalogue import: everything that a Stripe account sells is brought into the price book, two hundred records a request.

What a record has to look like is what the upserts of products and prices say. Only what differs is written, so a run that is
cut off is completed by the next one, and another one after that finds nothing to do. Events and other runs may write meanwhile:
Salesforce is read before Stripe, so that nothing is older than what it would overwrite, and all is read again until there is
nothing to write.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import batched

from orderphase.domain.catalogue import Product
from orderphase.domain.listing import (
    EntryState,
    NotListedError,
    ProductState,
    StripePrice,
    StripeProduct,
    listed_price,
    matching_product,
    wanted_entry,
    wanted_product,
    without_price,
)
from orderphase.flows.agreement import Agreement
from orderphase.salesforce.catalogue import CatalogueRecords, Change, Written
from orderphase.salesforce.writing import COLLECTION_SIZE
from orderphase.store.catalogue import Catalogue as Facts
from orderphase.stripe.account import side_by_side
from orderphase.stripe.accounts import StripeAccounts
from orderphase.stripe.catalogue import StripeCatalogue

_PASSES = 3
"""So many times everything is read, at most."""


@dataclass(slots=True)
class Tally:
    """What became of products, or of prices.

    found: in Stripe. written, unchanged: records in Salesforce; in a dry run, `written` is what would be. skipped: objects in
    Stripe by the reason why Salesforce does not get them. refused: by Stripe's id, why Salesforce does not take it, after all
    was read again.
    """

    found: int = 0
    written: int = 0
    unchanged: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Imported:
    """What a run has come to, and how many requests it took. `notes`: what somebody may want to know, each with its price."""

    products: Tally
    prices: Tally
    notes: Sequence[str]
    salesforce_calls: int
    stripe_calls: int


@dataclass(frozen=True, slots=True)
class _Listing:
    """A change of an entry, and the price that it lists then; None where it lists none any more."""

    change: Change[EntryState]
    price: StripePrice | None

    @property
    def name(self) -> str:
        return self.price.id if self.price else str(self.change.wanted.price_id)


class CatalogueImport:
    """Imports the default account's catalogue. `facts`: what is remembered of that account; `told`: see `Agreement`."""

    def __init__(self, records: CatalogueRecords, accounts: StripeAccounts, facts: Facts, *, told: bool = True) -> None:
        self._records = records
        self._accounts = accounts
        self._facts = facts
        self._told = told

    def run(self, *, dry_run: bool = False) -> Imported:
        """Import everything; with `dry_run`, only find out what there is to do. Raises classified errors.

        What Salesforce has of Stripe that is not in this account stays as it is: it may be another account's.
        """
        salesforce, stripe = self._records.client.calls, self._accounts.calls
        catalogue = StripeCatalogue(self._accounts.connection(self._accounts.default), org_id=self._records.client.org_id)
        passes: list[_Pass] = []
        while not passes or (len(passes) < _PASSES and not dry_run and not passes[-1].settled(passes[:-1])):
            passes.append(_Pass(self._records, catalogue, self._facts, told=self._told, dry_run=dry_run))
            passes[-1].run()
        return Imported(
            passes[-1].products.tally([one.products for one in passes]),
            passes[-1].prices.tally([one.prices for one in passes]),
            list(dict.fromkeys(note for one in passes for note in one.notes)),
            salesforce_calls=self._records.client.calls - salesforce,
            stripe_calls=self._accounts.calls - stripe,
        )


@dataclass(slots=True)
class _Outcome:
    """What became of products, or of prices, in one pass: `written` and `unchanged` by Stripe's id."""

    found: int = 0
    written: set[str] = field(default_factory=set)
    unchanged: set[str] = field(default_factory=set)
    skipped: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def skip(self, reason: str) -> None:
        """Count an object that is left out."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def count(self, stripe_id: str, result: Written) -> None:
        """Count a record that was sent."""
        if result.refusal is None:
            self.written.add(stripe_id)
        else:
            self.refused[stripe_id] = result.refusal

    def tally(self, passes: Iterable[_Outcome]) -> Tally:
        """What it comes to after the last of these passes."""
        written = {stripe_id for one in passes for stripe_id in one.written}
        return Tally(self.found, len(written), len(self.unchanged - written), self.skipped, self.refused)


class _Pass:
    """Reads everything and writes what differs, step by step."""

    def __init__(
        self, records: CatalogueRecords, catalogue: StripeCatalogue, facts: Facts, *, told: bool, dry_run: bool
    ) -> None:
        self._records = records
        self._catalogue = catalogue
        self._facts = facts
        self._told = told
        self._dry_run = dry_run
        self.products, self.prices = _Outcome(), _Outcome()
        self.notes: list[str] = []

    def run(self) -> None:
        """Do it."""
        states, entries = self._records.all_products(), self._records.all_entries()
        products = self._catalogue.all_products()
        prices = self._catalogue.all_active_prices(products)
        self.products.found, self.prices.found = len(products), len(prices)
        self._agreed = Agreement(self._facts, states, entries, [one.id for one in products], told=self._told)
        known = self._save_products(products, self._product_changes(products))
        self._save_entries(self._listings(prices, known))

    def settled(self, before: Sequence[_Pass]) -> bool:
        """Whether there was nothing to write but what was refused before."""
        refused = [(one.products.refused, one.prices.refused) for one in (*before, self)]
        earlier = refused[-2] if before else ({}, {})
        return not self.products.written and not self.prices.written and refused[-1] == earlier

    # Products

    def _product_changes(self, products: Sequence[StripeProduct]) -> dict[str, Change[ProductState]]:
        """What is to become of the Product2 of each product, by the product's id."""
        states = self._agreed.products
        by_product_id = {state.product.product_id: state for state in states if state.product.product_id}
        by_id = {state.product.id: state for state in states}
        changes: dict[str, Change[ProductState]] = {}
        for product in reversed(products):  # Stripe lists the newest first; of two made of one Product2, the first has it
            try:
                held = matching_product(product, by_product_id.get(product.id), by_id.get(product.made_of or ""))
            except NotListedError as problem:
                self._skip_product(product, problem)
                continue
            wanted, notes = wanted_product(product, held, self._agreed.news(product))
            changes[product.id] = Change(held, wanted)
            self.notes += [f"{product.id}: {note}" for note in notes]
            if held is not None:
                # Another product that was made of the same Product2 finds it taken.
                by_id[held.product.id] = wanted
        return changes

    def _skip_product(self, product: StripeProduct, problem: NotListedError) -> None:
        if problem.outcome == "failed":
            self.products.refused[product.id] = problem.message
        else:
            self.products.skip(problem.reason)

    def _save_products(
        self, products: Iterable[StripeProduct], changes: Mapping[str, Change[ProductState]]
    ) -> dict[str, Product]:
        """Write what differs; answers the Product2s that there are then, by the product's id."""
        known = {product_id: change.wanted.product for product_id, change in changes.items()}
        differing = {name: change for name, change in changes.items() if self._records.product_fields(change)}
        order = sorted(differing, key=lambda name: differing[name].held is None)
        self.products.unchanged = set(changes) - set(differing)
        if self._dry_run:
            self.products.written = set(differing)
            return known
        for product_id, written in zip(order, self._records.save_products([differing[name] for name in order]), strict=True):
            self.products.count(product_id, written)
            held = differing[product_id].held
            if written.id is not None:
                known[product_id] = replace(known[product_id], id=written.id)
            elif held is None or held.product.product_id is None:
                del known[product_id]
        same = self.products.unchanged | self.products.written
        side_by_side(self._agreed.note_product, [product for product in products if product.id in same])
        return known

    # Prices

    def _listings(self, prices: Iterable[StripePrice], known: Mapping[str, Product]) -> list[_Listing]:
        """What is to become of the entries of all products and currencies."""
        active = {price.id: price for price in prices}
        holders = {state.price_id: state for state in self._agreed.entries if state.price_id}
        offered: dict[tuple[str, str], list[StripePrice]] = defaultdict(list)
        for price in active.values():
            offered[price.product_id, price.currency].append(price)
        # Also where nothing is offered any more.
        by_record = {record.id: product_id for product_id, record in known.items()}
        held: dict[tuple[str, str], EntryState] = {}
        for state in self._agreed.entries:
            entry = state.entry
            if entry.product.id in by_record and entry.currency is not None:
                held[by_record[entry.product.id], entry.currency] = state
        found = []
        for product_id, currency in {**offered, **held}:
            some = offered.get((product_id, currency), [])
            if product_id not in known:
                self._skip_prices(some, "is of a product that Salesforce does not get")
            elif not self._records.sells_in(currency):
                self._skip_prices(some, f"is in {currency}, which this org does not have")
            else:
                one = held.get((product_id, currency))
                named = active.get(one.price_id) if one is not None and one.price_id else None
                chosen = self._chosen(some, one, named)
                holder = holders.get(chosen.id) if chosen is not None else None
                if chosen is not None and holder is not None and holder != one:
                    self.prices.refused[chosen.id] = f"Another price book entry has it already: {holder.id}."
                elif listing := self._listing(chosen, one, known[product_id]):
                    found.append(listing)
        return found

    def _skip_prices(self, prices: Sequence[StripePrice], reason: str) -> None:
        for price in prices:
            self.prices.skip(price.kind or reason)

    def _chosen(self, prices: Sequence[StripePrice], held: EntryState | None, named: StripePrice | None) -> StripePrice | None:
        """Which price the entry of one product and currency lists. `named`: the one that it names, where Stripe sells it."""
        chosen = listed_price(prices if named is None else [*prices, named], held)
        for price in prices:
            if price is not chosen:
                self.prices.skip(price.bar or "is not the one that is listed for its product and currency")
        return chosen

    def _listing(self, chosen: StripePrice | None, held: EntryState | None, product: Product) -> _Listing | None:
        """What is to become of an entry; None where it is none of Stripe's.

        Every active price is known: what an entry names that is not among them is archived or gone.
        """
        sold = self._agreed.sold(held) if held is not None else None
        if chosen is not None:
            wanted, notes = wanted_entry(chosen, held, product, sold=sold)
            told = notes if held is not None or len(notes) > 1 else []
            self.notes += [f"{chosen.id}: {note}" for note in told]
            return _Listing(Change(held, wanted), chosen)
        if held is None or held.price_id is None:
            return None
        wanted = without_price(held, gone=False, sold=sold)
        if held.active and not wanted.active:
            gone = "It is archived or gone, no other takes its place"
            self.notes.append(f"{held.price_id}: {gone}: the entry {held.id} of {product.name} is not active any more.")
        return _Listing(Change(held, wanted), None)

    def _save_entries(self, listings: Sequence[_Listing]) -> None:
        """Write what differs, and remember what both sides say then."""
        differing = [one for one in listings if self._records.entry_fields(one.change)]
        differing.sort(key=lambda one: one.change.held is None)
        changed = {id(one) for one in differing}
        same = [one for one in listings if id(one) not in changed]
        self.prices.unchanged = {one.name for one in same}
        if self._dry_run:
            self.prices.written = {one.name for one in differing}
            return
        self._remember([(one, one.change.wanted.id) for one in same])
        book = self._records.standard_book() if any(one.change.held is None for one in differing) else ""
        results = self._records.save_entries(book, [one.change for one in differing])
        for some in batched(zip(differing, results, strict=True), COLLECTION_SIZE, strict=False):
            for one, written in some:
                self.prices.count(one.name, written)
            self._remember([(one, written.id) for one, written in some if written.id is not None])

    def _remember(self, listed: Sequence[tuple[_Listing, str]]) -> None:
        def note(of: tuple[_Listing, str]) -> None:
            one, record_id = of
            wanted = one.change.wanted
            self._agreed.note_entry(one.change.held, replace(wanted, entry=replace(wanted.entry, id=record_id)), one.price)

        side_by_side(note, listed)
