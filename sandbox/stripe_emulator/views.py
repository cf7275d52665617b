"""How stored objects are shown: references resolved where Stripe embeds them, and expansion of the others on request.

Stored objects have Stripe's shape with every reference as an id; what depends on time or on other objects is added here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import stripe

from sandbox.stripe_emulator.errors import Json, StripeError

# The one version that the emulator speaks: the SDK's.
API_VERSION: str = stripe.api_version
# Stripe: expansion has a maximum depth of four levels, `data` included.
MAX_DEPTH = 4

Kinds = Mapping[str, Mapping[str, Json]]

# Which fields of which kind can be expanded into, or lead on to, which kind. Kinds in angle brackets are parts of objects.
_LEADS: Mapping[str, Mapping[str, str]] = {
    "customer": {},
    "product": {"default_price": "price"},
    "price": {"product": "product", "tiers": "<tiers>"},
    "coupon": {},
    "discount": {"customer": "customer", "source": "<source>"},
    "<source>": {"coupon": "coupon"},
    "subscription_schedule": {"customer": "customer", "subscription": "subscription", "phases": "<phase>"},
    "<phase>": {"items": "<phase item>", "add_invoice_items": "<phase item>", "discounts": "<phase discount>"},
    "<phase item>": {"price": "price", "discounts": "<phase discount>"},
    "<phase discount>": {"coupon": "coupon", "discount": "discount"},
    "subscription": {"customer": "customer", "schedule": "subscription_schedule", "discounts": "discount", "items": "<items>"},
    "invoice": {"customer": "customer"},
    "<items>": {"data": "subscription_item"},
    "subscription_item": {"discounts": "discount", "price": "price"},
}


def copied(value: Any) -> Any:
    """A deep copy of plain JSON; several times as fast as `copy.deepcopy`, and every answer is one."""
    return json.loads(json.dumps(value))


def show(kinds: Kinds, stored: Json, now: int) -> Json:
    """A copy of a stored object as Stripe shows it at `now`."""
    shown: Json = copied(stored)
    match shown["object"]:
        case "coupon":
            used_up = shown["max_redemptions"] is not None and shown["times_redeemed"] >= shown["max_redemptions"]
            shown["valid"] = not used_up and (shown["redeem_by"] is None or now < shown["redeem_by"])
        case "price":
            shown.pop("tiers", None)  # Stripe: only an expansion tells them
        case "subscription":
            for item in shown["items"]["data"]:
                price = kinds["price"][item["price"]]
                item["price"], item["plan"] = copied(price), plan(price)
        case "webhook_endpoint":
            del shown["secrets"]  # Stripe: only the answer to its creation tells the secret
    return shown


def plan(price: Json) -> Json:
    """The twin that every recurring price has, under the same id."""
    recurring = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": False,
        "metadata": dict(price["metadata"]),
        "meter": recurring["meter"],
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": price["tiers_mode"],
        "transform_usage": price["transform_quantity"],
        "trial_period_days": recurring["trial_period_days"],
        "usage_type": recurring["usage_type"],
    }


def changes(before: Json, after: Json) -> Json:
    """What an event calls `previous_attributes`: the old values of the fields that changed, key by key in mappings."""
    old: Json = {}
    for name in sorted(before.keys() | after.keys()):
        was, is_now = before.get(name), after.get(name)
        if was == is_now:
            continue
        old[name] = changes(was, is_now) if isinstance(was, dict) and isinstance(is_now, dict) else was
    return old


def check_expand(kind: str, paths: list[str], *, in_list: bool) -> None:
    """Refuse expansions that the kind does not have, before anything is done."""
    for path in paths:
        names = path.split(".")
        if len(names) > MAX_DEPTH or (in_list and names.pop(0) != "data") or not names:
            raise _not_expandable(path)
        here = kind
        for name in names:
            if name not in _LEADS.get(here, {}):
                raise _not_expandable(path)
            here = _LEADS[here][name]


def expand(kinds: Kinds, shown: Json, paths: list[str], now: int) -> None:
    """Replace ids by objects along `paths`, in place."""
    for path in paths:
        names = path.split(".")
        if "data" in shown and names[0] == "data":
            for entry in shown["data"]:
                _expand(kinds, entry, entry["object"], names[1:], now)
        else:
            _expand(kinds, shown, shown["object"], names, now)


def _expand(kinds: Kinds, node: Json, kind: str, names: list[str], now: int) -> None:
    if names and kind == "price" and names[0] == "tiers":
        node |= {name: copied(value) for name, value in kinds["price"][node["id"]].items() if name == "tiers"}
        return
    if not names or not node.get(names[0]):
        return
    name, *rest = names
    target, value = _LEADS[kind][name], node[name]

    def resolved(entry: Any) -> Any:
        if isinstance(entry, str) and entry in kinds[target]:
            entry = show(kinds, kinds[target][entry], now)
        if isinstance(entry, dict):
            _expand(kinds, entry, target, rest, now)
        return entry

    node[name] = [resolved(entry) for entry in value] if isinstance(value, list) else resolved(value)


def _not_expandable(path: str) -> StripeError:
    message = f"This property cannot be expanded ({path.rpartition('.')[2]}). You may want to try expanding fewer levels."
    return StripeError(message, param="expand")
