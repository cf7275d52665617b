"""Gets or creates the Stripe customer, products and prices that a contract needs, and says what Salesforce must be told."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from orderphase.domain.account import Account
from orderphase.domain.catalogue import PriceBookEntry
from orderphase.domain.lines import Order
from orderphase.mapping import FieldMapping
from orderphase.salesforce.contracts import Update
from orderphase.stripe.account import StripeAccount, is_price_of, product_of


@dataclass(slots=True)
class Catalogue:
    """The Stripe prices of price book entries, and the products of these prices; `updates` write back what was not known."""

    prices: dict[str, str] = field(default_factory=dict)
    products: dict[str, str] = field(default_factory=dict)
    updates: list[Update] = field(default_factory=list)

    def tell(self, update: Update) -> None:
        """Have Salesforce told something once."""
        if update not in self.updates:
            self.updates.append(update)

    def add(self, more: Catalogue) -> None:
        """Take over another one."""
        self.prices |= more.prices
        self.products |= more.products
        for update in more.updates:
            self.tell(update)


class CatalogueSource:
    """Finds or creates catalogue objects in one Stripe account. What Salesforce knows already costs no request."""

    def __init__(self, stripe: StripeAccount, mapping: FieldMapping, currency: str) -> None:
        self._stripe = stripe
        self._mapping = mapping
        self._currency = currency

    def customer(self, account: Account, *, org_id: str) -> tuple[str, list[Update]]:
        """The customer of an account, and what to write back."""
        if account.customer_id:
            return account.customer_id, []
        customer = self._stripe.ensure_customer(account, org_id=org_id)
        return customer, [self.customer_update(account, customer)]

    def customer_update(self, account: Account, customer: str) -> Update:
        """What tells the account which customer it is."""
        return Update("Account", account.id, {self._mapping.account.customer_id: customer})

    def find(self, orders: Iterable[Order], wanted: Container[str], *, org_id: str) -> Catalogue:
        """The Stripe prices of those price book entries in `wanted` that have one which Salesforce does not know of."""
        catalogue = Catalogue()
        entries = self._entries(orders, wanted)
        found = self._stripe.find_prices([entry for entry, _ in entries], org_id=org_id) if entries else {}
        for entry, currency in entries:
            price = found.get(entry.id)
            if price is not None and is_price_of(price, entry, currency=currency):
                self._note(catalogue, entry, price.id, product_of(price))
        return catalogue

    def create(self, orders: Iterable[Order], missing: Container[str], *, org_id: str) -> Catalogue:
        """Make the Stripe prices, and products, of the price book entries in `missing`, which `find` has not found."""
        catalogue = Catalogue()
        products: dict[str, str] = {}
        for entry, currency in self._entries(orders, missing):
            product = products.get(entry.product.id) or entry.product.product_id
            product = product or self._stripe.ensure_product(entry.product, org_id=org_id)
            products[entry.product.id] = product
            price = self._stripe.create_price(entry, product, currency=currency, org_id=org_id)
            self._note(catalogue, entry, price, product)
        return catalogue

    def _entries(self, orders: Iterable[Order], wanted: Container[str]) -> list[tuple[PriceBookEntry, str]]:
        """The price book entries among the price identities, each with the currency that it is sold in."""
        entries = {
            line.entry.id: (line.entry, order.currency or self._currency)
            for order in orders
            for line in order.lines
            if line.entry is not None and not line.entry.price_id and line.entry.id in wanted
        }
        return list(entries.values())

    def _note(self, catalogue: Catalogue, entry: PriceBookEntry, price: str, product: str) -> None:
        """Salesforce is to be told of what it does not know."""
        catalogue.prices[entry.id] = price
        catalogue.products[price] = product
        catalogue.tell(Update("PricebookEntry", entry.id, {self._mapping.price_book_entry.price_id: price}))
        if entry.product.product_id is None:
            catalogue.tell(Update("Product2", entry.product.id, {self._mapping.product.product_id: product}))
