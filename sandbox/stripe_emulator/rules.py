"""Rules across parameters that need no state: what excludes what, limits, ranges. The types alone are in `parameters`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from sandbox.stripe_emulator.errors import StripeError, below, exclusive, missing
from sandbox.stripe_emulator.intervals import check_timestamp

# Stripe: subscription schedules guide and quantities guide.
MAX_PHASES = 10
MAX_ITEMS = 20
MAX_INVOICE_ITEMS = 20
# Stripe: up to 20 discounts per subscription or item.
MAX_DISCOUNTS = 20
# Stripe: a price recurs at most every three years.
MAX_INTERVAL_COUNT = {"day": 1095, "week": 156, "month": 36, "year": 3}
# Stripe: metadata.
MAX_METADATA_KEYS, MAX_METADATA_KEY, MAX_METADATA_VALUE = 50, 40, 500
MAX_LOOKUP_KEY = 200
MAX_COUPON_NAME = 40
# Not Stripe's, which documents none: a century keeps the ends of discounts within the calendar.
MAX_COUPON_MONTHS = 1200
MAX_DECIMAL_PLACES = 12
MAX_PAGE = 100
# Stripe: amounts have up to 12 digits for most cards; that prices have no more is not documented.
MAX_AMOUNT = 999_999_999_999
MAX_IMAGES, MAX_STATEMENT_DESCRIPTOR = 8, 22

Params = Mapping[str, Any]


def check(operation: str, params: Params) -> None:
    """Raise StripeError where the parameters of one request contradict each other or leave their range."""
    if operation.endswith((".list", ".search")):
        _page(params)
    if rule := _RULES.get(operation):
        rule(params)


def metadata(values: Mapping[str, str], path: str) -> None:
    """Stripe's limits on metadata: 50 keys of 40 characters, values of 500."""
    if len(values) > MAX_METADATA_KEYS:
        raise StripeError(f"Metadata can have up to {MAX_METADATA_KEYS} keys, but you passed in {len(values)}.", param=path)
    for key, value in values.items():
        if len(key) > MAX_METADATA_KEY or "[" in key or "]" in key:
            limit = f"Metadata keys can have up to {MAX_METADATA_KEY} characters and no square brackets."
            raise StripeError(f"{limit} Invalid key: {key}", param=path)
        if len(value) > MAX_METADATA_VALUE:
            limit = f"Metadata values can have up to {MAX_METADATA_VALUE} characters"
            raise StripeError(f"{limit}, but you passed in a value that is {len(value)} characters.", param=f"{path}[{key}]")


def _page(params: Params) -> None:
    limit = params.get("limit", 1)
    if not 1 <= limit <= MAX_PAGE:
        raise StripeError(f"Invalid limit: must be between 1 and {MAX_PAGE}.", code="parameter_invalid_integer", param="limit")
    if "starting_after" in params and "ending_before" in params:
        raise exclusive("ending_before", "starting_after", "ending_before")


def _schedule_create(params: Params) -> None:
    if "from_subscription" in params:
        # Observed for `phases`, of which it is said first; that it goes for the others is documented, in which words is not.
        beside = [name for name in ("phases", *params) if name in params and name not in ("from_subscription", "expand")]
        if beside:
            raise StripeError(f"You cannot set `{beside[0]}` if `from_subscription` is set.", param=beside[0])
        return
    if "customer" in params and "customer_account" in params:
        raise exclusive("customer", "customer", "customer_account")
    if "customer" not in params and "customer_account" not in params:
        raise missing("customer")
    if not params.get("phases"):
        raise missing("phases")
    _phases(params["phases"])
    terms(params["phases"], params.get("default_settings", {}))
    _in_order(params["phases"], params.get("start_date"), "start_date")


def _schedule_update(params: Params) -> None:
    if "phases" not in params:
        return
    if not params["phases"]:
        raise missing("phases")
    _phases(params["phases"])
    start = params["phases"][0].get("start_date")
    if start is None:
        raise StripeError(
            "The subscription schedule update is missing at least one phase with a `start_date` to anchor end dates to.",
            param="phases",
        )
    _in_order(params["phases"], start, "phases[0][start_date]")


def _subscription_update(params: Params) -> None:
    _discounts(params.get("discounts") or [], "discounts")
    items = params.get("items", [])
    if len(items) > MAX_ITEMS:
        raise StripeError(f"You may pass at most {MAX_ITEMS} items.", param="items")
    for index, item in enumerate(items):
        if item.get("quantity", 0) < 0:
            raise _too_small(f"items[{index}][quantity]", 0)
        if "id" not in item:
            _one_price(item, f"items[{index}]", "price", "price_data", "plan")
        _discounts(item.get("discounts") or [], f"items[{index}][discounts]")


def _preview(params: Params) -> None:
    try:
        _schedule_update(params.get("schedule_details", {}))
    except StripeError as error:
        raise error.within("schedule_details") from None


def _phases(phases: list[dict[str, Any]]) -> None:
    if len(phases) > MAX_PHASES:
        message = f"A subscription schedule can have at most {MAX_PHASES} current and future phases."
        raise StripeError(message, param="phases")
    for index, phase in enumerate(phases):
        path = f"phases[{index}]"
        if "duration" in phase and "end_date" in phase:
            raise exclusive(path, "duration", "end_date")
        if phase.get("duration", {}).get("interval_count", 1) < 1:
            raise _too_small(f"{path}[duration][interval_count]", 1)
        if phase.get("invoice_settings", {}).get("days_until_due", 1) < 1:
            raise _too_small(f"{path}[invoice_settings][days_until_due]", 1)
        _discounts(phase.get("discounts") or [], f"{path}[discounts]")
        _items(phase["items"], f"{path}[items]")
        extras = phase.get("add_invoice_items", [])
        if len(extras) > MAX_INVOICE_ITEMS:
            message = f"You may add at most {MAX_INVOICE_ITEMS} invoice items per phase."
            raise StripeError(message, param=f"{path}[add_invoice_items]")
        for number, extra in enumerate(extras):
            _invoice_item(extra, f"{path}[add_invoice_items][{number}]")


def _items(items: list[dict[str, Any]], path: str) -> None:
    if not items:
        raise missing(path)
    if len(items) > MAX_ITEMS:
        raise StripeError(f"A subscription can have at most the maximum {MAX_ITEMS} items.", param=path)
    seen: set[str] = set()
    for index, item in enumerate(items):
        _one_price(item, f"{path}[{index}]", "price", "price_data", "plan")
        if item.get("quantity", 0) < 0:
            raise _too_small(f"{path}[{index}][quantity]", 0)
        _discounts(item.get("discounts") or [], f"{path}[{index}][discounts]")
        price = item.get("price")
        if price in seen:
            message = f"Cannot add multiple subscription items with the same plan: {price}"
            raise StripeError(message, param=f"{path}[{index}][price]")
        if price is not None:
            seen.add(price)


def _invoice_item(item: Params, path: str) -> None:
    """Stripe: a one-time price is named or made, and its amount can be negative. The quantity's limit is not documented."""
    _one_price(item, path, "price", "price_data")
    if item.get("quantity", 0) < 0:
        raise _too_small(f"{path}[quantity]", 0)
    if "price_data" in item:
        data, param = item["price_data"], f"{path}[price_data]"
        _currency(data["currency"], f"{param}[currency]")
        _unit_amount(data, param, "unit_amount", "unit_amount_decimal")
    for name, bound in item.get("period", {}).items():
        _bound(bound, f"{path}[period][{name}]")
    _discounts(item.get("discounts", []), f"{path}[discounts]")


def _bound(bound: Params, path: str) -> None:
    """A timestamp goes with the type of that name only. The wording is not known."""
    param = f"{path}[timestamp]"
    if bound["type"] != "timestamp":
        if "timestamp" in bound:
            raise StripeError(f"`timestamp` cannot be set with `type={bound['type']}`.", param=param)
    elif "timestamp" not in bound:
        raise missing(param)
    else:
        check_timestamp(bound["timestamp"], param)


def _one_price(item: Params, path: str, *names: str) -> None:
    given = [name for name in names if name in item]
    if not given:
        raise missing(f"{path}[price]")
    if len(given) > 1:
        raise exclusive(path, *given)


def _discounts(discounts: list[dict[str, Any]], path: str) -> None:
    if len(discounts) > MAX_DISCOUNTS:
        raise StripeError(f"You may pass at most {MAX_DISCOUNTS} discounts.", param=path)
    for index, discount in enumerate(discounts):
        if not discount:
            raise missing(f"{path}[{index}][coupon]")
        if len(discount) > 1:
            raise exclusive(f"{path}[{index}]", "coupon", "discount", "promotion_code")


def terms(phases: list[dict[str, Any]], defaults: Params) -> None:
    """`send_invoice` needs days until due, from the phase or the default settings; each as sent or as stored."""
    default_days = defaults.get("invoice_settings", {}).get("days_until_due")
    for index, phase in enumerate(phases):
        method = phase.get("collection_method") or defaults.get("collection_method")
        days = (phase.get("invoice_settings") or {}).get("days_until_due") or default_days
        if method == "send_invoice" and days is None:
            raise StripeError(
                "You must specify `days_until_due` when `collection_method` is `send_invoice`.",
                param=f"phases[{index}][invoice_settings][days_until_due]",
            )


def _in_order(phases: list[dict[str, Any]], start: int | str | None, param: str) -> None:
    """Times are Unix seconds or `now`, and each known end comes after the known start before it."""
    if isinstance(start, int):
        check_timestamp(start, param)
    for index, phase in enumerate(phases):
        end = phase.get("end_date")
        if isinstance(end, int):
            check_timestamp(end, f"phases[{index}][end_date]")
        if isinstance(start, int) and isinstance(end, int) and end <= start:
            message = "The `end_date` of a phase must be after its `start_date`."
            raise StripeError(message, param=f"phases[{index}][end_date]")
        start = end if isinstance(end, int) else None


def _product(params: Params) -> None:
    if len(params.get("images") or ()) > MAX_IMAGES:
        raise StripeError(f"A product can have up to {MAX_IMAGES} images.", param="images")
    if len(params.get("statement_descriptor") or "") > MAX_STATEMENT_DESCRIPTOR:
        message = f"A statement descriptor can have up to {MAX_STATEMENT_DESCRIPTOR} characters."
        raise StripeError(message, param="statement_descriptor")


def _product_list(params: Params) -> None:
    """Stripe: `ids` do not go with a cursor. The wording is not known."""
    for name in ("starting_after", "ending_before"):
        if "ids" in params and name in params:
            raise exclusive("ids", "ids", name)


def _price_create(params: Params) -> None:
    _currency(params["currency"])
    if "product" in params and "product_data" in params:
        raise exclusive("product", "product", "product_data")
    if "product" not in params and "product_data" not in params:
        raise missing("product")
    amounts = ("unit_amount", "unit_amount_decimal", "custom_unit_amount")
    if params.get("billing_scheme") != "tiered" or not params.keys().isdisjoint(amounts):
        _unit_amount(params, "", *amounts)
    if params.get("unit_amount", 0) < 0:
        raise _too_small("unit_amount", 0)
    decimal = params.get("unit_amount_decimal", 0)
    if decimal < 0:
        raise StripeError(f"Invalid decimal: {decimal}; must be at least 0.", param="unit_amount_decimal")
    if "recurring" in params:
        _recurring(params["recurring"])
    _lookup_key(params)


def _unit_amount(params: Params, path: str, *names: str) -> None:
    """Exactly one of the amounts is there. Stripe: decimals have up to twelve places.

    That amounts in some currencies go in steps is documented for charges; that it goes for prices too, and how it is worded
    there, is not. Neither is the wording for an amount that is too large.
    """
    given = [name for name in names if name in params]
    if len(given) > 1:
        raise exclusive(below(path, given[0]), *given)
    if not given:
        raise missing(below(path, names[0]))
    decimal = params.get("unit_amount_decimal", Decimal(0))
    exponent = decimal.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > MAX_DECIMAL_PLACES:
        message = f"Invalid decimal: {decimal}; must contain at maximum {MAX_DECIMAL_PLACES} decimal places."
        raise StripeError(message, param=below(path, "unit_amount_decimal"))
    if given[0] == "custom_unit_amount":
        return
    amount, param = params[given[0]], below(path, given[0])
    if abs(amount) > MAX_AMOUNT:
        raise StripeError(f"Invalid {param}: amounts have at most 12 digits.", code="amount_too_large", param=param)
    _in_whole_steps(amount, params["currency"], param)


def _recurring(recurring: Params) -> None:
    count, most = recurring.get("interval_count", 1), MAX_INTERVAL_COUNT[recurring["interval"]]
    if count < 1:
        raise _too_small("recurring[interval_count]", 1)
    if count > most:
        raise StripeError(
            f"The maximum interval is three years: at most {most} for `interval={recurring['interval']}`.",
            param="recurring[interval_count]",
        )


def _lookup_key(params: Params) -> None:
    if len(params.get("lookup_key", "")) > MAX_LOOKUP_KEY:
        raise StripeError(f"A lookup key can have up to {MAX_LOOKUP_KEY} characters.", param="lookup_key")


def _price_list(params: Params) -> None:
    if len(params.get("lookup_keys", [])) > 10:  # noqa: PLR2004 (Stripe: up to 10 lookup keys)
        raise StripeError("You may pass up to 10 lookup keys.", param="lookup_keys")


def _coupon_create(params: Params) -> None:
    if "percent_off" in params and "amount_off" in params:
        raise exclusive("amount_off", "percent_off", "amount_off")
    if "percent_off" not in params and "amount_off" not in params:
        raise missing("percent_off")
    if not 0 < params.get("percent_off", 1) <= 100:  # noqa: PLR2004 (per cent)
        raise StripeError("Invalid percent_off: must be greater than 0 and at most 100.", param="percent_off")
    if params.get("amount_off", 1) < 1:
        raise _too_small("amount_off", 1)
    if "amount_off" in params and "currency" not in params:
        raise missing("currency")
    if "currency" in params:
        _currency(params["currency"])
        _in_whole_steps(params.get("amount_off", 0), params["currency"], "amount_off")
    repeating = params.get("duration") == "repeating"
    if repeating and "duration_in_months" not in params:
        raise missing("duration_in_months")
    if "duration_in_months" in params and (not repeating or not 1 <= params["duration_in_months"] <= MAX_COUPON_MONTHS):
        message = f"`duration_in_months` must be 1 to {MAX_COUPON_MONTHS} and goes with `duration=repeating`."
        raise StripeError(message, param="duration_in_months")
    if params.get("max_redemptions", 1) < 1:
        raise _too_small("max_redemptions", 1)
    _coupon_name(params)


def _coupon_name(params: Params) -> None:
    if len(params.get("name", "")) > MAX_COUPON_NAME:
        raise StripeError(f"A coupon's name can have up to {MAX_COUPON_NAME} characters.", param="name")


def _schedule_list(params: Params) -> None:
    # Observed: `scheduled` does not combine with the ranges of what has ended.
    if "scheduled" in params:
        for name in ("completed_at", "released_at", "canceled_at"):
            if name in params:
                raise exclusive(name, name, "scheduled")


def _currency(currency: str, param: str = "currency") -> None:
    if len(currency) != 3 or not currency.isascii() or not currency.isalpha() or not currency.islower():  # noqa: PLR2004 (ISO 4217)
        raise StripeError(f"Invalid currency: {currency}. It must be a three-letter code in lower case.", param=param)


def _too_small(param: str, least: int) -> StripeError:
    message = f"This value must be greater than or equal to {least}."
    return StripeError(message, code="parameter_invalid_integer", param=param)


# Stripe: a customer's texts, by their longest. Observed for the phone: "Invalid string: …; must be at most 20 characters".
_CUSTOMER_TEXTS = {"name": 256, "phone": 20, "email": 512, "description": 5000, "business_name": 150, "individual_name": 150}
# Stripe does not say what it takes for an address.
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")

# Stripe: amounts in these currencies are whole units, or end in 0.
_STEPS = dict.fromkeys(("isk", "ugx"), 100) | dict.fromkeys(("bhd", "jod", "kwd", "omr", "tnd"), 10)


def _customer(params: Params) -> None:
    shipping = params.get("shipping") or {}
    for path, holder in (("", params), ("shipping", shipping)):
        for name, most in _CUSTOMER_TEXTS.items():
            if len(holder.get(name) or "") > most:
                text = f"Invalid string: {holder[name][:12]}…; must be at most {most} characters"
                raise StripeError(text, param=below(path, name))
        country = (holder.get("address") or {}).get("country")
        if country and not (len(country) == 2 and country.isascii() and country.isalpha()):  # noqa: PLR2004 (ISO 3166-1 alpha-2)
            text = f"Country '{country}' is unknown. Try using a 2-character alphanumeric country code instead."
            raise StripeError(text, param=f"{below(path, 'address')}[country]")
    email = params.get("email")
    if email and not _EMAIL.fullmatch(email):
        raise StripeError(f"Invalid email address: {email}", code="email_invalid", param="email")


def _in_whole_steps(amount: int | Decimal, currency: str, path: str) -> None:
    step = _STEPS.get(currency.lower(), 1)
    if step > 1 and amount % step:
        raise StripeError(f"Invalid {path}: amounts in {currency.lower()} are multiples of {step}.", param=path)


_RULES: Mapping[str, Callable[[Params], None]] = {
    "customers.create": _customer,
    "customers.update": _customer,
    "subscription_schedules.create": _schedule_create,
    "subscription_schedules.update": _schedule_update,
    "subscription_schedules.list": _schedule_list,
    "subscriptions.update": _subscription_update,
    "invoices.create_preview": _preview,
    "products.create": _product,
    "products.update": _product,
    "products.list": _product_list,
    "prices.create": _price_create,
    "prices.update": _lookup_key,
    "prices.list": _price_list,
    "coupons.create": _coupon_create,
    "coupons.update": _coupon_name,
}
