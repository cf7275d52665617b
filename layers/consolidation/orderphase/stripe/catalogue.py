"""Products and prices as Stripe has them, whoever made them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

from orderphase.domain.catalogue import BillingInterval
from orderphase.domain.listing import StripePrice, StripeProduct
from orderphase.domain.requests import ORG_ID
from orderphase.errors import DataError
from orderphase.stripe.client import MISSING, StripeConnection, fresh_key

_PRODUCT2, _ENTRY = "01t", "01u"
"""Salesforce: what the ids of these records begin with."""


class StripeCatalogue:
    """The catalogue of one Stripe account, as the Salesforce org with the id `org_id` sees it."""

    def __init__(self, connection: StripeConnection, *, org_id: str) -> None:
        self._connection = connection
        self._api = connection.api
        self._org_id = org_id

    def product(self, product_id: str) -> StripeProduct | None:
        """A product with its default price, or None where there is none of this id (any more): one request."""
        found = self._connection.find(self._api.products.retrieve, product_id, {"expand": ["default_price"]})
        return self._product(found) if found else None

    def price(self, price_id: str) -> tuple[StripePrice, StripeProduct] | None:
        """A price and its product with the default price, or None where there is none of this id (any more): one request."""
        found = self._connection.find(self._api.prices.retrieve, price_id, {"expand": ["product.default_price"]})
        return (self._price(found), self._product(found.product)) if found else None

    def active_prices(self, product_id: str, currency: str) -> list[StripePrice]:
        """The active prices of a product in a currency; none where the product is gone. A request for each hundred."""
        asked = {"product": product_id, "currency": currency.lower(), "active": True, "expand": ["data.product"]}
        try:
            return [self._price(each) for each in self._connection.each(self._api.prices.list, asked)]
        except DataError as problem:
            if problem.code != MISSING:
                raise
            return []

    def all_products(self) -> list[StripeProduct]:
        """Every product, archived ones too: a request for each hundred."""
        asked = {"expand": ["data.default_price"]}
        return [self._product(each) for each in self._connection.each(self._api.products.list, asked)]

    def all_active_prices(self, products: Iterable[StripeProduct]) -> list[StripePrice]:
        """Every active price: a request for each hundred. `products`: all of them, which say what their default prices are."""
        defaults = {product.default.id for product in products if product.default is not None}
        prices = [self._price(each) for each in self._connection.each(self._api.prices.list, {"active": True})]
        return [replace(price, default=price.id in defaults) for price in prices]

    def update_product(self, product_id: str, params: Mapping[str, Any]) -> None:
        """Change a product. Every attempt has a key of its own: one made of the content would bring back what was before."""
        options: Any = {"idempotency_key": fresh_key("product")}
        self._connection.call(self._api.products.update, product_id, cast("Any", dict(params)), options)

    def _product(self, found: Any) -> StripeProduct:
        default = found.default_price
        return StripeProduct(
            id=found.id,
            name=found.name,
            description=found.description,
            active=found.active,
            made_of=self._record_id(found, "salesforce_product_id", _PRODUCT2),
            default=None if default is None or isinstance(default, str) else replace(self._price(default), default=True),
            metadata=_metadata(found),
        )

    def _price(self, found: Any) -> StripePrice:
        product = found.product
        recurring = found.recurring
        amount = found.unit_amount_decimal
        default = None if isinstance(product, str) else product.default_price
        return StripePrice(
            id=found.id,
            product_id=product if isinstance(product, str) else product.id,
            currency=found.currency.upper(),
            created=found.created,
            active=found.active,
            default=found.id == (default if isinstance(default, str) or default is None else default.id),
            unit_amount=None if amount is None else Decimal(amount),
            interval=BillingInterval(recurring.interval, recurring.interval_count) if recurring else None,
            kind=_kind(found),
            lookup_key=found.lookup_key,
            entry_id=self._record_id(found, "salesforce_pricebook_entry_id", _ENTRY),
        )

    def _record_id(self, found: Any, key: str, prefix: str) -> str | None:
        """The record of this org that an object was made of, as its metadata says. Anybody can write metadata."""
        metadata = _metadata(found)
        record_id = metadata.get(key, "")
        ours = metadata.get(ORG_ID) == self._org_id
        return record_id if ours and re.fullmatch(f"{prefix}[A-Za-z0-9]{{15}}", record_id) else None


def _kind(price: Any) -> str | None:
    """What makes a price one that a price book entry cannot show."""
    recurring = price.recurring
    kinds = (
        (price.custom_unit_amount is not None, "lets the payer choose the amount"),
        (recurring is None, "is a one-time price"),
        (price.billing_scheme != "per_unit", "is tiered"),
        (recurring is not None and recurring.usage_type != "licensed", "is metered"),
        (price.transform_quantity is not None, "is for packages (transform_quantity)"),
        (price.unit_amount_decimal is None, "has no amount"),
    )
    return next((words for applies, words in kinds if applies), None)


def _metadata(found: Any) -> dict[str, str]:
    return found.metadata.to_dict() if found.metadata else {}
