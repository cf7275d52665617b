"""Coupons, and the discounts that they become when they are redeemed."""

from __future__ import annotations

from sandbox.stripe_emulator.account import Moment, new_id
from sandbox.stripe_emulator.errors import Json, StripeError
from sandbox.stripe_emulator.fields import merge_metadata
from sandbox.stripe_emulator.intervals import add
from sandbox.stripe_emulator.pages import page

_MAX_REDEEM_BY_YEARS = 5


def create(moment: Moment, params: Json, _: str) -> Json:
    """Stripe: an own `id` is taken, and must be new; that of a deleted coupon counts as new."""
    coupon_id = params.get("id") or new_id("co")
    if coupon_id in moment.account.kinds["coupon"]:
        raise StripeError("Coupon already exists.", code="resource_already_exists", param="id")
    redeem_by = params.get("redeem_by")
    if redeem_by is not None and not moment.now < redeem_by <= add(moment.now, "year", _MAX_REDEEM_BY_YEARS):
        message = f"`redeem_by` must be in the future, by at most {_MAX_REDEEM_BY_YEARS} years."
        raise StripeError(message, param="redeem_by")
    coupon: Json = {
        "id": coupon_id,
        "object": "coupon",
        "amount_off": params.get("amount_off"),
        "created": moment.now,
        "currency": params["currency"] if "amount_off" in params else None,
        "duration": params.get("duration", "once"),
        "duration_in_months": params.get("duration_in_months"),
        "livemode": False,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": {},
        "name": params.get("name"),
        "percent_off": float(params["percent_off"]) if "percent_off" in params else None,
        "redeem_by": redeem_by,
        "times_redeemed": 0,
    }
    merge_metadata(coupon, params.get("metadata"))
    shown = moment.show(moment.account.add(coupon))
    moment.emit("coupon.created", shown)
    return shown


def retrieve(moment: Moment, _: Json, object_id: str) -> Json:
    """One coupon."""
    return moment.show(moment.account.find("coupon", object_id))


def update(moment: Moment, params: Json, object_id: str) -> Json:
    """Stripe: only `name` and `metadata` can change."""
    coupon = moment.account.find("coupon", object_id)
    before = moment.show(coupon)
    coupon["name"] = params.get("name", coupon["name"])
    merge_metadata(coupon, params.get("metadata"))
    shown = moment.show(coupon)
    moment.emit("coupon.updated", shown, before)
    return shown


def delete(moment: Moment, _: Json, object_id: str) -> Json:
    """Stripe: always possible; discounts that exist live on, new redemptions are refused."""
    before = moment.show(moment.account.find("coupon", object_id))
    del moment.account.kinds["coupon"][object_id]
    moment.emit("coupon.deleted", before)
    return {"id": object_id, "object": "coupon", "deleted": True}


def listed(moment: Moment, params: Json, _: str) -> Json:
    """A page of coupons."""
    return page(moment, "coupon", params)


def check(moment: Moment, coupon_id: str, param: str, *, currency: str, uses: int) -> None:
    """Refuse a coupon that cannot be redeemed `uses` times now, on something in `currency`."""
    coupon = moment.account.find("coupon", coupon_id, param)
    if coupon["redeem_by"] is not None and moment.now >= coupon["redeem_by"]:
        raise StripeError(f"Coupon expired: {coupon_id}", code="coupon_expired", param=param)
    most = coupon["max_redemptions"]
    if most is not None and coupon["times_redeemed"] + uses > most:
        raise StripeError(f"Coupon {coupon_id} is used up and cannot be applied.", param=param)
    if coupon["currency"] not in (None, currency):
        message = f"Coupon {coupon_id} has the currency {coupon['currency']} and cannot be applied to {currency}."
        raise StripeError(message, param=param)


def redeem(moment: Moment, coupon_id: str, *, customer: str, subscription: str, item: str | None, start: int) -> str | None:
    """Redeem a coupon on a subscription or, given `item`, on one item of it; answers the id of the new discount.

    None when the coupon can no longer be redeemed. Stripe does not say what happens to a coupon that was deleted or used up
    between the request and the start of its phase; here the phase starts without it.
    """
    coupon = moment.account.kinds["coupon"].get(coupon_id)
    if coupon is None or not moment.show(coupon)["valid"]:
        return None
    coupon["times_redeemed"] += 1
    months = coupon["duration_in_months"]
    discount = {
        "id": new_id("di"),
        "object": "discount",
        "checkout_session": None,
        "customer": customer,
        "customer_account": None,
        # Stripe: `repeating` counts calendar months from the start, which for a backdated phase is in the past.
        "end": None if months is None else add(start, "month", months),
        "invoice": None,
        "invoice_item": None,
        "promotion_code": None,
        "source": {"type": "coupon", "coupon": coupon_id},
        "start": start,
        "subscription": subscription,
        "subscription_item": item,
    }
    found: str = moment.account.add(discount)["id"]
    return found
