"""Phases as they are sent: what they refer to, what they may combine, and the objects that they become."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sandbox.stripe_emulator import coupons, invoice_items
from sandbox.stripe_emulator.account import Account, Moment
from sandbox.stripe_emulator.errors import Json, StripeError, not_modelled
from sandbox.stripe_emulator.intervals import Interval, add, combine


@dataclass(frozen=True, slots=True)
class SentDiscount:
    """A discount in the parameters of phases, for one item of the phase or, without `price`, for all of it."""

    path: str
    phase: int
    price: str | None
    value: Json


def check_references(moment: Moment, phases: list[Json]) -> None:
    """Every price, product and coupon that is named exists."""
    for path, item in (*_items(phases), *_invoice_items(phases)):
        if "price" in item:
            moment.account.find("price", item["price"], f"{path}[price]")
        elif "price_data" in item:
            moment.account.find("product", item["price_data"]["product"], f"{path}[price_data][product]")
    for path, coupon_id in _coupons(phases):
        moment.account.find("coupon", coupon_id, path)


def check_state(
    moment: Moment, phases: list[Json], *, flexible: bool, currency: str | None = None, held: Collection[str] = ()
) -> str:
    """Prices and coupons can be used, and together; answers the one currency of them all.

    currency: the one that a schedule has already. held: the prices on it; that these are inactive by now is no matter.
    """
    for path, item in _items(phases):
        check_price(moment, item["price"], f"{path}[price]", "recurring", held)
    for path, item in _invoice_items(phases):
        if "price" in item:
            check_price(moment, item["price"], f"{path}[price]", "one_time", held)
        else:
            _check_product(moment, item["price_data"]["product"], f"{path}[price_data][product]")
    currency = _currency(moment, phases, currency)
    for index, phase in enumerate(phases):
        check_intervals(moment, [item["price"] for item in phase["items"]], f"phases[{index}][items]", flexible=flexible)
    # A coupon in two places needs two redemptions. Stripe does not say when they are counted; here the request needs them all.
    uses = Counter[str]()
    for path, coupon_id in _coupons(phases):
        uses[coupon_id] += 1
        coupons.check(moment, coupon_id, path, currency=currency, uses=uses[coupon_id])
    return currency


def resolve(moment: Moment, phases: list[Json], start: int, currency: str) -> list[Json]:
    """The phase objects, from `start` on without gaps. Prices that they make are still to be kept (`invoice_items`).

    Stripe: a phase always has an end, computed where none is sent, and its items have no id. The wording of the refusals is
    not known.
    """
    resolved = []
    for index, phase in enumerate(phases):
        if index > 0 and instant(moment, phase.get("start_date", start)) != start:
            message = "The `start_date` of a phase must be the `end_date` of the phase before it."
            raise StripeError(message, param=f"phases[{index}][start_date]")
        end = _end(moment, phase, start, index)
        if end <= start:
            message = "The `end_date` of a phase must be after its `start_date`."
            raise StripeError(message, param=f"phases[{index}][end_date]")
        found = _phase_object(moment, phase, start, end, currency)
        for number, item in enumerate(found["add_invoice_items"]):
            invoice_items.check_period(item, start, end, f"phases[{index}][add_invoice_items][{number}]")
        resolved.append(found)
        start = end
    return resolved


def instant(moment: Moment, value: int | str) -> int:
    """A start or an end in Unix seconds; it may have been sent as `now`."""
    return moment.now if isinstance(value, str) else value


def terms_of(schedule: Json | None) -> tuple[str | None, frozenset[str]]:
    """The currency that a schedule is bound to, and the prices that are on it; of none, none."""
    if schedule is None:
        return None, frozenset()
    items = (item for phase in schedule["phases"] for item in (*phase["items"], *phase["add_invoice_items"]))
    return schedule["phases"][0]["currency"], frozenset(item["price"] for item in items)


def collection(phase: Json, defaults: Json) -> tuple[str, int | None]:
    """How the invoices of a phase object are collected, and the days until they are due; what it says precedes `defaults`."""
    method: str = phase["collection_method"] or defaults["collection_method"]
    days = (phase["invoice_settings"] or {}).get("days_until_due") or defaults["invoice_settings"]["days_until_due"]
    # Stripe: null with charge_automatically.
    return method, days if method == "send_invoice" else None


def interval_of(account: Account, price_id: str) -> Interval:
    """How often a recurring price bills."""
    recurring = account.kinds["price"][price_id]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def check_price(moment: Moment, price_id: str, param: str, wanted: str, held: Collection[str] = ()) -> None:
    """Refuse a price of another type than `wanted`, and an inactive one unless it is among those `held`.

    Stripe: so is new use of an archived product's prices. When exactly is not documented; here it is as for the price.
    """
    price = moment.account.kinds["price"][price_id]
    if price["type"] != wanted:
        found = f"The price specified is set to `type={price['type']}`"
        raise StripeError(f"{found} but this field only accepts prices with `type={wanted}`.", param=param)
    if price_id in held:
        return
    if not price["active"]:
        message = "The price specified is inactive. This field only accepts active prices."
        raise StripeError(message, param=param)
    _check_product(moment, price["product"], param)
    recurring = price["recurring"] or {"usage_type": "licensed", "trial_period_days": None}
    plain = recurring["usage_type"] == "licensed" and not recurring["trial_period_days"] and not price["transform_quantity"]
    if price["unit_amount_decimal"] is None or not plain:
        raise not_modelled("the use of anything but a licensed price per unit", param)


def _check_product(moment: Moment, product_id: str, param: str) -> None:
    if not moment.account.kinds["product"][product_id]["active"]:
        message = f"The product `{product_id}` of the price specified is inactive."
        raise StripeError(message, code="product_inactive", param=param)


def check_intervals(moment: Moment, prices: list[str], param: str, *, flexible: bool) -> None:
    """Refuse prices whose intervals one subscription cannot combine; classic billing takes one interval only."""
    intervals = {interval_of(moment.account, price) for price in prices}
    if not (combine(intervals) if flexible else len(intervals) == 1):
        raise mismatch("interval", param)


def _currency(moment: Moment, phases: list[Json], currency: str | None) -> str:
    prices = moment.account.kinds["price"]
    if currency is None:
        currency = phases[0].get("currency") or prices[phases[0]["items"][0]["price"]]["currency"]
    for index, phase in enumerate(phases):
        if phase.get("currency", currency) != currency:
            raise mismatch("currency", f"phases[{index}][currency]")
    for path, item in (*_items(phases), *_invoice_items(phases)):
        if "price_data" in item:
            own, param = item["price_data"]["currency"], f"{path}[price_data][currency]"
        else:
            own, param = prices[item["price"]]["currency"], f"{path}[price]"
        if own != currency:
            raise mismatch("currency", param)
    return currency


def _end(moment: Moment, phase: Json, start: int, index: int) -> int:
    if "end_date" in phase:
        return instant(moment, phase["end_date"])
    if "duration" in phase:
        return add(start, phase["duration"]["interval"], phase["duration"].get("interval_count", 1))
    # Stripe: without either, one billing cycle. Which price decides in a mixture is not documented.
    intervals = {interval_of(moment.account, item["price"]) for item in phase["items"]}
    if len(intervals) > 1:
        raise not_modelled("the computed end of a phase with mixed intervals", f"phases[{index}]")
    return add(start, *intervals.pop())


def _phase_object(moment: Moment, phase: Json, start: int, end: int, currency: str) -> Json:
    terms = phase.get("invoice_settings")
    return {
        "add_invoice_items": [invoice_items.to_object(moment, item) for item in phase.get("add_invoice_items", [])],
        "application_fee_percent": None,
        "automatic_tax": None,
        "billing_cycle_anchor": phase.get("billing_cycle_anchor"),
        "billing_thresholds": None,
        "collection_method": phase.get("collection_method"),
        "currency": currency,
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": phase.get("description") or None,
        "discounts": discount_objects(phase.get("discounts") or []),
        "end_date": end,
        "invoice_settings": terms and invoice_settings(terms, None),
        "items": [item_object(item) for item in phase["items"]],
        "metadata": phase.get("metadata", {}),
        "on_behalf_of": None,
        "proration_behavior": phase.get("proration_behavior", "create_prorations"),
        "start_date": start,
        "transfer_data": None,
        "trial_end": None,
    }


def of_subscription(moment: Moment, subscription: Json, start: int, end: int) -> Json:
    """The phase object that says what a subscription is, with its discounts by their ids. Metadata is not carried over."""

    def kept(holder: Json) -> list[Json]:
        return [{"discount": discount} for discount in holder["discounts"]]

    items = [
        {"price": item["price"], "quantity": item["quantity"], "discounts": kept(item)}
        for item in subscription["items"]["data"]
    ]
    said = {"items": items, "discounts": kept(subscription)}
    return _phase_object(moment, said, start, end, subscription["currency"])


def invoice_settings(sent: Json, issuer: Json | None) -> Json:
    """The invoice settings of a phase or of a schedule's defaults, as an object."""
    return {
        "account_tax_ids": None,
        "custom_fields": None,
        "days_until_due": sent.get("days_until_due"),
        "description": sent.get("description") or None,
        "footer": sent.get("footer") or None,
        "issuer": issuer,
    }


def item_object(item: Json) -> Json:
    """An item of a phase, as an object."""
    return {
        "billing_thresholds": None,
        "discounts": discount_objects(item.get("discounts") or []),
        "metadata": item.get("metadata", {}),
        "plan": item["price"],
        "price": item["price"],
        "quantity": item.get("quantity", 1),
        "tax_rates": [],
    }


def discount_objects(sent: list[Json]) -> list[Json]:
    """The discounts of a phase or of its item, as objects: what was sent, and nulls for what was not."""
    return [{"coupon": None, "discount": None, "promotion_code": None, **discount} for discount in sent]


def sent_discounts(phases: list[Json]) -> Iterator[SentDiscount]:
    """Every discount that is sent, an item's before its phase's, as they are redeemed."""
    for index, phase in enumerate(phases):
        for number, item in enumerate(phase["items"]):
            yield from _discounts_of(item, f"phases[{index}][items][{number}]", index, item.get("price"))
    for index, phase in enumerate(phases):
        yield from _discounts_of(phase, f"phases[{index}]", index, None)


def _discounts_of(holder: Json, path: str, phase: int, price: str | None) -> Iterator[SentDiscount]:
    for number, value in enumerate(holder.get("discounts") or ()):
        yield SentDiscount(f"{path}[discounts][{number}]", phase, price, value)


def _items(phases: list[Json]) -> Iterator[tuple[str, Json]]:
    for index, phase in enumerate(phases):
        for number, item in enumerate(phase["items"]):
            yield f"phases[{index}][items][{number}]", item


def _invoice_items(phases: list[Json]) -> Iterator[tuple[str, Json]]:
    for index, phase in enumerate(phases):
        for number, item in enumerate(phase.get("add_invoice_items", [])):
            yield f"phases[{index}][add_invoice_items][{number}]", item


def _coupons(phases: list[Json]) -> Iterator[tuple[str, str]]:
    """Path and id of every coupon."""
    for sent in sent_discounts(phases):
        if "coupon" in sent.value:
            yield f"{sent.path}[coupon]", sent.value["coupon"]


def mismatch(what: str, param: str) -> StripeError:
    """Prices that one subscription cannot combine, because of their currency or interval."""
    rule = "Currency and interval fields must match across all plans on this subscription."
    return StripeError(f"{rule} Found mismatch in {what} field.", param=param)
