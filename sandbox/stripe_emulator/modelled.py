"""Which of Stripe's parameters the emulator models. Everything else that Stripe takes is refused, never ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.stripe_emulator.errors import not_modelled

# A parameter's name, and below it either None (all of it is modelled) or the names that are. Lists are looked through.
Modelled = Mapping[str, "Modelled | None"]


def _names(*names: str) -> dict[str, Modelled | None]:
    return dict.fromkeys(names)


_PAGE = _names("limit", "starting_after", "ending_before", "expand")
_ONE = _names("expand")
_CUSTOMER = {
    **_names("address", "business_name", "description", "email", "expand", "individual_name", "invoice_prefix", "metadata"),
    **_names("name", "phone", "preferred_locales", "shipping", "tax_exempt"),
    "invoice_settings": _names("custom_fields", "footer"),
}
_PRODUCT = {
    **_names("active", "description", "expand", "images", "metadata", "name", "shippable"),
    **_names("statement_descriptor", "tax_code", "unit_label", "url"),
}
_DISCOUNTS = _names("coupon")
_KEPT_DISCOUNTS = _names("coupon", "discount")
_TERMS = _names("days_until_due", "description", "footer")

_SCHEDULE = {
    **_names("end_behavior", "metadata", "expand"),
    "default_settings": {
        **_names("billing_cycle_anchor", "collection_method", "description"),
        "invoice_settings": _TERMS,
    },
}
_PHASE = {
    **_names("billing_cycle_anchor", "collection_method", "currency", "description", "duration", "end_date", "metadata"),
    "proration_behavior": None,
    "discounts": _DISCOUNTS,
    "invoice_settings": _TERMS,
    "items": {**_names("metadata", "price", "quantity"), "discounts": _DISCOUNTS},
}
_INVOICE_ITEMS = {
    **_names("discountable", "metadata", "period", "price", "quantity"),
    "price_data": _names("currency", "product", "unit_amount", "unit_amount_decimal"),
}
_UPDATED_PHASE = {
    **_PHASE,
    **_names("start_date"),
    "add_invoice_items": _INVOICE_ITEMS,
    "discounts": _KEPT_DISCOUNTS,
    "items": {**_names("metadata", "price", "quantity"), "discounts": _KEPT_DISCOUNTS},
}

_OPERATIONS: Mapping[str, Modelled] = {
    "customers.create": _CUSTOMER,
    "customers.retrieve": _ONE,
    "customers.update": _CUSTOMER,
    "customers.delete": {},
    "customers.list": _PAGE | _names("created", "email"),
    "customers.search": _names("expand", "limit", "page", "query"),
    "products.create": _PRODUCT | _names("id"),
    "products.retrieve": _ONE,
    "products.update": _PRODUCT | _names("default_price"),
    "products.delete": {},
    "products.list": _PAGE | _names("active", "created", "ids"),
    "prices.create": {
        **_names("active", "billing_scheme", "currency", "expand", "lookup_key", "metadata", "nickname", "product"),
        **_names("tax_behavior", "transfer_lookup_key", "unit_amount", "unit_amount_decimal"),
        "recurring": _names("interval", "interval_count", "usage_type"),
    },
    "prices.retrieve": _ONE,
    "prices.update": _names("active", "expand", "lookup_key", "metadata", "nickname", "tax_behavior", "transfer_lookup_key"),
    "prices.list": _PAGE | _names("active", "created", "currency", "lookup_keys", "product", "recurring", "type"),
    "coupons.create": {
        **_names("amount_off", "currency", "duration", "duration_in_months", "expand", "id", "max_redemptions"),
        **_names("metadata", "name", "percent_off", "redeem_by"),
    },
    "coupons.retrieve": _ONE,
    "coupons.update": _names("expand", "metadata", "name"),
    "coupons.delete": {},
    "coupons.list": _PAGE | _names("created"),
    "accounts.retrieve_current": {},
    "subscription_schedules.create": {
        **_SCHEDULE,
        **_names("customer", "from_subscription", "start_date", "billing_mode"),
        "phases": {**_PHASE, "add_invoice_items": _INVOICE_ITEMS},
    },
    "subscription_schedules.retrieve": _ONE,
    "subscription_schedules.list": _PAGE
    | _names("canceled_at", "completed_at", "created", "customer", "released_at", "scheduled"),
    "subscription_schedules.update": {
        **_SCHEDULE,
        **_names("proration_behavior"),
        "phases": _UPDATED_PHASE,
    },
    "subscription_schedules.cancel": _names("expand", "invoice_now", "prorate"),
    "subscription_schedules.release": _names("expand", "preserve_cancel_date"),
    "subscriptions.retrieve": _ONE,
    "subscriptions.update": {
        **_names("cancel_at", "cancel_at_period_end", "expand", "metadata", "proration_behavior"),
        "discounts": _KEPT_DISCOUNTS,
        "items": {**_names("deleted", "id", "metadata", "price", "quantity"), "discounts": _KEPT_DISCOUNTS},
    },
    "subscriptions.cancel": _names("expand", "invoice_now", "prorate"),
    "subscriptions.list": _PAGE | _names("collection_method", "created", "customer", "price", "status"),
    "invoices.create_preview": {
        **_names("customer", "expand", "preview_mode", "schedule"),
        "schedule_details": {
            **_names("billing_mode", "end_behavior", "proration_behavior"),
            "phases": {**_UPDATED_PHASE, "invoice_settings": _names("days_until_due")},
        },
    },
    "events.retrieve": _ONE,
    "events.list": _PAGE | _names("created", "type", "types"),
    "webhook_endpoints.create": _names("api_version", "connect", "description", "enabled_events", "expand", "metadata", "url"),
    "webhook_endpoints.retrieve": _ONE,
    "webhook_endpoints.delete": {},
    "webhook_endpoints.list": _PAGE,
}

# Values that Stripe takes and the emulator does not model, by the last name in the parameter's path.
_VALUES: Mapping[str, tuple[Any, ...]] = {
    "billing_scheme": ("tiered",),
    "usage_type": ("metered",),
    "end_behavior": ("none", "renew"),
    "preview_mode": ("recurring",),
}


def check(operation: str, params: Mapping[str, Any]) -> None:
    """Refuse, with status 501, the first parameter or value that is not modelled."""
    _walk(_OPERATIONS[operation], params, "")


def _walk(modelled: Modelled, params: Mapping[str, Any], path: str) -> None:
    for name, value in params.items():
        where = f"{path}[{name}]" if path else name
        if name not in modelled:
            raise not_modelled(f"the parameter {where}", where)
        if isinstance(value, (str, bool)) and value in _VALUES.get(name, ()):
            raise not_modelled(f"{where}={str(value).lower()}", where)
        below = modelled[name]
        if isinstance(value, dict) and below is not None:
            _walk(below, value, where)
        elif isinstance(value, list) and below is not None:
            for index, entry in enumerate(value):
                _walk(below, entry, f"{where}[{index}]")
