"""Products and prices."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from sandbox.stripe_emulator import views
from sandbox.stripe_emulator.account import Moment, new_id
from sandbox.stripe_emulator.errors import Json, StripeError
from sandbox.stripe_emulator.fields import merge_metadata, put
from sandbox.stripe_emulator.pages import page, same

_RECURRING: Json = {"interval_count": 1, "meter": None, "trial_period_days": None, "usage_type": "licensed"}
_PRODUCT_PLAIN = ("active", "description", "name", "shippable", "statement_descriptor", "tax_code", "unit_label", "url")


def create_product(moment: Moment, params: Json, _: str) -> Json:
    """Stripe: an own `id` is taken, and must be new. That of a deleted product counts as new, which Stripe does not say."""
    account = moment.account
    product_id = params.get("id") or new_id("prod")
    if product_id in account.kinds["product"]:
        raise StripeError("Product already exists.", code="resource_already_exists", param="id")
    product: Json = {
        "id": product_id,
        "object": "product",
        "created": moment.now,
        "default_price": None,
        "images": params.get("images", []),
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "package_dimensions": None,
        "tax_details": None,
        "type": "service",
        "updated": moment.now,
        **dict.fromkeys(_PRODUCT_PLAIN),
        "active": True,
    }
    put(product, params, _PRODUCT_PLAIN)
    merge_metadata(product, params.get("metadata"))
    shown = moment.show(account.add(product))
    moment.emit("product.created", shown)
    return shown


def retrieve_product(moment: Moment, _: Json, object_id: str) -> Json:
    """One product."""
    return moment.show(moment.account.find("product", object_id))


def update_product(moment: Moment, params: Json, object_id: str) -> Json:
    """Change what is sent; `updated` moves with it, but not where nothing changes, which Stripe does not say.

    The default price can be an inactive one: Stripe does not say that it cannot.
    """
    product = moment.account.find("product", object_id)
    if "default_price" in params:
        price = moment.account.find("price", params["default_price"], "default_price")
        if price["product"] != object_id:
            raise StripeError("The default price must be a price of this product.", param="default_price")
    before = moment.show(product)
    put(product, params, (*_PRODUCT_PLAIN, "default_price"))
    if "images" in params:
        product["images"] = params["images"] or []
    merge_metadata(product, params.get("metadata"))
    if moment.show(product) != before:
        product["updated"] = moment.now
    shown = moment.show(product)
    moment.emit("product.updated", shown, before)
    return shown


def delete_product(moment: Moment, _: Json, object_id: str) -> Json:
    """Delete for good. Stripe: possible only while the product has no price.

    Prices that were made inside of other requests count too. That the product is absent from then on, for `retrieve` as well,
    is not documented.
    """
    product = moment.account.find("product", object_id)
    if any(price["product"] == object_id for price in moment.account.kinds["price"].values()):
        raise StripeError("This product cannot be deleted because it has one or more user-created prices.")
    before = moment.show(product)
    del moment.account.kinds["product"][object_id]
    moment.emit("product.deleted", before)
    return {"id": object_id, "object": "product", "deleted": True}


def list_products(moment: Moment, params: Json, _: str) -> Json:
    """A page of products."""
    chosen = same(params, "active")
    ids = params.get("ids")
    return page(moment, "product", params, keep=lambda stored: chosen(stored) and (ids is None or stored["id"] in ids))


def create_price(moment: Moment, params: Json, _: str) -> Json:
    """A price per unit, one-time or recurring. An archived product takes new prices: Stripe does not say that it cannot."""
    moment.account.find("product", params["product"], "product")
    _release_lookup_key(moment, params, None)
    return _price_created(moment, _new_price(moment, params))


def seed_price(moment: Moment, fields: Json) -> Json:
    """A price with any fields that a price object can have, such as `tiers`, over those of a price per unit of 0.

    Raises ValueError for a field that it cannot have, StripeError for a product that does not exist and a lookup key in use.
    """
    terms = {name: fields[name] for name in ("product", "currency", "recurring") if fields.get(name) is not None}
    price = _new_price(moment, {"unit_amount": fields.get("unit_amount") or 0, **terms})
    if unknown := fields.keys() - price.keys() - {"tiers"}:
        raise ValueError(f"a price has no {', '.join(sorted(unknown))}")
    if fields.get("billing_scheme") == "tiered":
        price.update(unit_amount=None, unit_amount_decimal=None)
    moment.account.find("product", fields["product"], "product")
    _release_lookup_key(moment, fields, None)
    return _price_created(moment, {**price, **fields, "recurring": price["recurring"]})


def inline_price(moment: Moment, price_data: Json) -> Json:
    """The one-time price that `price_data` makes, not kept yet. Stripe: it is inactive, and its amount can be negative."""
    return _new_price(moment, {**price_data, "active": False})


def keep_inline_price(moment: Moment, price: Json) -> str:
    """Keep it; answers its id. That it is announced like any other price is not documented."""
    moment.account.inline_prices.add(price["id"])
    _price_created(moment, price)
    price_id: str = price["id"]
    return price_id


def amount_of(price: Json, quantity: int) -> int:
    """What a quantity costs, in minor units. That halves are rounded away from zero is not documented."""
    return rounded(Decimal(price["unit_amount_decimal"]) * quantity)


def rounded(amount: Decimal) -> int:
    """An amount in whole minor units."""
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def _new_price(moment: Moment, params: Json) -> Json:
    amount = Decimal(params["unit_amount"]) if "unit_amount" in params else params["unit_amount_decimal"]
    recurring = params.get("recurring")
    price: Json = {
        "id": new_id("price"),
        "object": "price",
        "active": params.get("active", True),
        "billing_scheme": "per_unit",
        "created": moment.now,
        "currency": params["currency"],
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": params.get("lookup_key"),
        "metadata": {},
        "nickname": params.get("nickname"),
        "product": params["product"],
        "recurring": recurring and {**_RECURRING, **recurring},
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        # Stripe: null unless it is whole; the decimal is always there.
        "unit_amount": int(amount) if amount == amount.to_integral_value() else None,
        "unit_amount_decimal": _plain(amount),
    }
    merge_metadata(price, params.get("metadata"))
    return price


def retrieve_price(moment: Moment, _: Json, object_id: str) -> Json:
    """One price."""
    return moment.show(moment.account.find("price", object_id))


def update_price(moment: Moment, params: Json, object_id: str) -> Json:
    """Stripe: a price is immutable but for `active`, `nickname`, `metadata`, `lookup_key` and, once, `tax_behavior`.

    The wording is not known for the default price of a product, of which it is not documented either that it stays active.
    """
    price = moment.account.find("price", object_id)
    if params.get("active") is False and moment.account.find("product", price["product"])["default_price"] == object_id:
        message = "This price cannot be archived because it is the default price of its product."
        raise StripeError(message, param="active")
    if params.get("tax_behavior", price["tax_behavior"]) != price["tax_behavior"] != "unspecified":
        raise StripeError("`tax_behavior` cannot be changed once it has been specified.", param="tax_behavior")
    _release_lookup_key(moment, params, object_id)
    before = moment.show(price)
    if "lookup_key" in params:
        moment.account.lookup_keys.pop(price["lookup_key"], None)
        moment.account.lookup_keys[params["lookup_key"]] = object_id
    put(price, params, ("active", "nickname", "lookup_key", "tax_behavior"))
    merge_metadata(price, params.get("metadata"))
    return _price_emitted(moment, "updated", price, before)


def list_prices(moment: Moment, params: Json, _: str) -> Json:
    """A page of prices; lookup keys find archived prices too unless `active` is sent.

    Stripe: inline prices are left out, unless inactive ones are asked for.
    """
    chosen, keys = same(params, "active", "currency", "product", "type"), params.get("lookup_keys")
    holders = None if keys is None else {moment.account.lookup_keys.get(key) for key in keys}
    recurs = params.get("recurring", {})
    left_out = moment.account.inline_prices if params.get("active") is not False else frozenset[str]()

    def keep(stored: Json) -> bool:
        if holders is not None and stored["id"] not in holders:
            return False
        if stored["id"] in left_out or not chosen(stored):
            return False
        recurring = stored["recurring"] or {}
        return all(recurring.get(name) == value for name, value in recurs.items())

    return page(moment, "price", params, keep=keep)


def _release_lookup_key(moment: Moment, params: Json, own_id: str | None) -> None:
    """Take the lookup key from its holder, or refuse. Observed: an archived price still holds its key."""
    account, key = moment.account, params.get("lookup_key", "")
    holder = account.lookup_keys.get(key)
    if holder is None or holder == own_id:
        return
    if not params.get("transfer_lookup_key"):
        raise StripeError(f"A price (`{holder}`) already uses that lookup key.", param="lookup_key")
    price = account.kinds["price"][holder]
    before = moment.show(price)
    del account.lookup_keys[key]
    price["lookup_key"] = None
    _price_emitted(moment, "updated", price, before)


def _price_created(moment: Moment, price: Json) -> Json:
    if price["lookup_key"] is not None:
        moment.account.lookup_keys[price["lookup_key"]] = price["id"]
    return _price_emitted(moment, "created", moment.account.add(price))


def _price_emitted(moment: Moment, what: str, price: Json, before: Json | None = None) -> Json:
    """Observed: every recurring price has a twin plan, and its events come in pairs, the plan's first."""
    shown = moment.show(price)
    if shown["recurring"]:
        moment.emit(f"plan.{what}", views.plan(shown), before and views.plan(before))
    moment.emit(f"price.{what}", shown, before)
    return shown


def _plain(amount: Decimal) -> str:
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
