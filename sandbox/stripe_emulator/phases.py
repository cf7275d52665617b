"""Phases of a new schedule: what they refer to, what they may combine, and the objects that they become."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sandbox.stripe_emulator import coupons
from sandbox.stripe_emulator.account import Moment
from sandbox.stripe_emulator.errors import Json, StripeError, not_modelled
from sandbox.stripe_emulator.intervals import Interval, add, combine


def check_references(moment: Moment, phases: list[Json]) -> None:
    """Every price and coupon that is named exists."""
    for path, item in (*_items(phases), *_invoice_items(phases)):
        if "price" in item:
            moment.account.find("price", item["price"], f"{path}[price]")
    for path, coupon_id in _coupons(phases):
        moment.account.find("coupon", coupon_id, path)


def check_state(moment: Moment, phases: list[Json], *, flexible: bool) -> str:
    """Prices and coupons can be used, and together; answers the one currency of them all."""
    for path, item in _items(phases):
        _check_price(moment, item["price"], f"{path}[price]", "recurring")
    for path, item in _invoice_items(phases):
        _check_price(moment, item["price"], f"{path}[price]", "one_time")
    currency = _currency(moment, phases)
    for index, phase in enumerate(phases):
        intervals = {interval_of(moment, item["price"]) for item in phase["items"]}
        if not (combine(intervals) if flexible else len(intervals) == 1):
            raise _mismatch("interval", f"phases[{index}][items]")
    # A coupon in two places needs two redemptions. Stripe does not say when they are counted; here the request needs them all.
    uses = Counter[str]()
    for path, coupon_id in _coupons(phases):
        uses[coupon_id] += 1
        coupons.check(moment, coupon_id, path, currency=currency, uses=uses[coupon_id])
    return currency


def resolve(moment: Moment, phases: list[Json], start: int, currency: str) -> list[Json]:
    """The phase objects, from `start` on without gaps.

    Stripe: a phase always has an end, computed where none is sent, and its items have no id.
    """
    resolved = []
    for index, phase in enumerate(phases):
        end = _end(moment, phase, start, index)
        if end <= start:
            message = "The `end_date` of a phase must be after its `start_date`."
            raise StripeError(message, param=f"phases[{index}][end_date]")
        if end <= moment.now:
            raise not_modelled("a new schedule with a phase that is already over", f"phases[{index}]")
        resolved.append(_phase_object(phase, start, end, currency))
        start = end
    return resolved


def interval_of(moment: Moment, price_id: str) -> Interval:
    """How often a recurring price bills."""
    recurring = moment.account.kinds["price"][price_id]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def _check_price(moment: Moment, price_id: str, param: str, wanted: str) -> None:
    price = moment.account.kinds["price"][price_id]
    if price["type"] != wanted:
        found = f"The price specified is set to `type={price['type']}`"
        raise StripeError(f"{found} but this field only accepts prices with `type={wanted}`.", param=param)
    if not price["active"]:
        message = "The price specified is inactive. This field only accepts active prices."
        raise StripeError(message, param=param)
    if not moment.account.kinds["product"][price["product"]]["active"]:
        message = f"The product `{price['product']}` of the price specified is inactive."
        raise StripeError(message, code="product_inactive", param=param)


def _currency(moment: Moment, phases: list[Json]) -> str:
    prices = moment.account.kinds["price"]
    currency: str = phases[0].get("currency") or prices[phases[0]["items"][0]["price"]]["currency"]
    for index, phase in enumerate(phases):
        if phase.get("currency", currency) != currency:
            raise _mismatch("currency", f"phases[{index}][currency]")
    for path, item in (*_items(phases), *_invoice_items(phases)):
        if prices[item["price"]]["currency"] != currency:
            raise _mismatch("currency", f"{path}[price]")
    return currency


def _end(moment: Moment, phase: Json, start: int, index: int) -> int:
    if "end_date" in phase:
        end: int = phase["end_date"]
        return end
    if "duration" in phase:
        return add(start, phase["duration"]["interval"], phase["duration"].get("interval_count", 1))
    # Stripe: without either, one billing cycle. Which price decides in a mixture is not documented.
    intervals = {interval_of(moment, item["price"]) for item in phase["items"]}
    if len(intervals) > 1:
        raise not_modelled("the computed end of a phase with mixed intervals", f"phases[{index}]")
    return add(start, *intervals.pop())


def _phase_object(phase: Json, start: int, end: int, currency: str) -> Json:
    terms = phase.get("invoice_settings")
    return {
        "add_invoice_items": [_invoice_item_object(item) for item in phase.get("add_invoice_items", [])],
        "application_fee_percent": None,
        "automatic_tax": None,
        "billing_cycle_anchor": phase.get("billing_cycle_anchor"),
        "billing_thresholds": None,
        "collection_method": phase.get("collection_method"),
        "currency": currency,
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": phase.get("description") or None,
        "discounts": _discount_objects(phase),
        "end_date": end,
        "invoice_settings": terms and invoice_settings(terms, None),
        "items": [_item_object(item) for item in phase["items"]],
        "metadata": phase.get("metadata", {}),
        "on_behalf_of": None,
        "proration_behavior": phase.get("proration_behavior", "create_prorations"),
        "start_date": start,
        "transfer_data": None,
        "trial_end": None,
    }


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


def _item_object(item: Json) -> Json:
    return {
        "billing_thresholds": None,
        "discounts": _discount_objects(item),
        "metadata": item.get("metadata", {}),
        "plan": item["price"],
        "price": item["price"],
        "quantity": item.get("quantity", 1),
        "tax_rates": [],
    }


def _invoice_item_object(item: Json) -> Json:
    period = item.get("period", {})
    return {
        "discountable": item.get("discountable"),
        "discounts": [],
        "metadata": item.get("metadata", {}),
        "period": {
            "end": period.get("end", {"type": "min_item_period_end"}),
            "start": period.get("start", {"type": "max_item_period_start"}),
        },
        "price": item["price"],
        "quantity": item.get("quantity", 1),
        "tax_rates": [],
    }


def _discount_objects(holder: Json) -> list[Json]:
    sent = holder.get("discounts") or []
    return [{"coupon": discount["coupon"], "discount": None, "promotion_code": None} for discount in sent]


def _items(phases: list[Json]) -> Iterator[tuple[str, Json]]:
    for index, phase in enumerate(phases):
        for number, item in enumerate(phase["items"]):
            yield f"phases[{index}][items][{number}]", item


def _invoice_items(phases: list[Json]) -> Iterator[tuple[str, Json]]:
    for index, phase in enumerate(phases):
        for number, item in enumerate(phase.get("add_invoice_items", [])):
            yield f"phases[{index}][add_invoice_items][{number}]", item


def _coupons(phases: list[Json]) -> Iterator[tuple[str, str]]:
    """Path and id of every coupon, an item's before its phase's, as they are redeemed."""
    holders = [*_items(phases), *((f"phases[{index}]", phase) for index, phase in enumerate(phases))]
    for path, holder in holders:
        for number, discount in enumerate(holder.get("discounts") or []):
            if "coupon" in discount:
                yield f"{path}[discounts][{number}][coupon]", discount["coupon"]


def _mismatch(what: str, param: str) -> StripeError:
    rule = "Currency and interval fields must match across all plans on this subscription."
    return StripeError(f"{rule} Found mismatch in {what} field.", param=param)
