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
    """The Stripe price of every price identity of a contract; `updates` write back what Salesforce did not know."""

    prices: dict[str, str] = field(default_factory=dict)
    updates: list[Update] = field(default_factory=list)


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

    def prices(self, orders: Iterable[Order], wanted: Container[str], *, org_id: str, create: bool) -> Catalogue:
        """The Stripe prices of the price identities in `wanted`. Those that Salesforce does not know are looked up together.

        With `create`, what is not found is made; without, it is left out.
        """
        catalogue = Catalogue()
        unknown: dict[str, tuple[PriceBookEntry, str]] = {}
        for order in orders:
            for line in order.lines:
                if line.price is None or line.price not in wanted:
                    continue
                if line.entry is not None and line.price == line.entry.id:
                    unknown[line.entry.id] = line.entry, order.currency or self._currency
                else:
                    catalogue.prices[line.price] = line.price
        if not unknown:
            return catalogue
        found = self._stripe.find_prices([entry for entry, _ in unknown.values()], org_id=org_id)
        products = {entry.product.id: entry.product.product_id for entry, _ in unknown.values() if entry.product.product_id}
        for entry, currency in unknown.values():
            price = found.get(entry.id)
            if price is not None and is_price_of(price, entry, currency=currency):
                price_id, product_id = price.id, product_of(price)
            elif create:
                product_id = products.get(entry.product.id) or self._stripe.ensure_product(entry.product, org_id=org_id)
                price_id = self._stripe.create_price(entry, product_id, currency=currency, org_id=org_id)
            else:
                continue
            catalogue.prices[entry.id] = price_id
            catalogue.updates.append(Update("PricebookEntry", entry.id, {self._mapping.price_book_entry.price_id: price_id}))
            if entry.product.id not in products:
                products[entry.product.id] = product_id
                catalogue.updates.append(Update("Product2", entry.product.id, {self._mapping.product.product_id: product_id}))
        return catalogue
