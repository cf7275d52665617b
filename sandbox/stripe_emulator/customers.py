"""Customers: create, retrieve, update, delete, list and search."""

from __future__ import annotations

from sandbox.stripe_emulator import schedules, subscriptions
from sandbox.stripe_emulator.account import Moment, new_id
from sandbox.stripe_emulator.errors import Json, StripeError, no_such
from sandbox.stripe_emulator.fields import merge_metadata, put
from sandbox.stripe_emulator.pages import DEFAULT_LIMIT, page, same

_PLAIN = ("address", "business_name", "description", "email", "individual_name", "invoice_prefix", "name", "phone", "shipping")
_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


def create(moment: Moment, params: Json, _: str) -> Json:
    """Stripe: everything is optional, and there is no own id."""
    customer: Json = {
        "id": new_id("cus"),
        "object": "customer",
        "balance": 0,
        "created": moment.now,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "discount": None,
        "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None, "rendering_options": None},
        "livemode": False,
        "metadata": {},
        "next_invoice_sequence": 1,
        "preferred_locales": [],
        "tax_exempt": "none",
        "test_clock": None,
        **dict.fromkeys(_PLAIN),
    }
    customer["invoice_prefix"] = customer["id"][-8:].upper()
    _write(customer, params)
    return _emitted(moment, "customer.created", moment.account.add(customer))


def retrieve(moment: Moment, _: Json, object_id: str) -> Json:
    """Stripe: a deleted customer is answered with 200 as `{id, object, deleted}`."""
    found = moment.account.kinds["customer"].get(object_id)
    if found is None:
        raise no_such("customer", object_id)
    return moment.show(found)


def update(moment: Moment, params: Json, object_id: str) -> Json:
    """Change what is sent. Observed: an empty string unsets.

    An address is replaced whole, and so is the shipping: Stripe does not say what becomes of the parts that are not sent.
    """
    customer = moment.account.find("customer", object_id)
    before = moment.show(customer)
    _write(customer, params)
    return _emitted(moment, "customer.updated", customer, before)


def delete(moment: Moment, _: Json, object_id: str) -> Json:
    """Delete for good. Stripe: active subscriptions are canceled at once.

    Their schedules end as canceled with them. So do those that have not started, of which Stripe does not say it.
    """
    customer = moment.account.find("customer", object_id)
    before = moment.show(customer)
    for subscription in list(moment.account.kinds["subscription"].values()):
        if subscription["customer"] == object_id and subscription["status"] != "canceled":
            subscriptions.cancel(moment, subscription)
    for schedule in list(moment.account.kinds["subscription_schedule"].values()):
        if schedule["customer"] == object_id and schedule["status"] in schedules.OPEN:
            schedules.close(moment, schedule, "canceled")
    customer.clear()
    customer.update({"id": object_id, "object": "customer", "deleted": True})
    moment.emit("customer.deleted", before)
    moment.account.customers.note(moment.show(customer), moment.now)
    return moment.show(customer)


def listed(moment: Moment, params: Json, _: str) -> Json:
    """A page of customers."""
    return page(moment, "customer", params, keep=same(params, "email"))


def search(moment: Moment, params: Json, _: str) -> Json:
    """The customers that matched a while ago, shown as they are now."""
    account = moment.account
    matches = account.customers.matches(params["query"], moment.now - account.search_lag)
    found = [account.kinds["customer"][customer] for customer in matches]
    current = [customer for customer in found if not customer.get("deleted")]
    if not params.get("page", "0").isdecimal():
        raise StripeError("Invalid page token.", param="page")
    start, limit = int(params.get("page", "0")), params.get("limit", DEFAULT_LIMIT)
    more = len(current) > start + limit
    return {
        "object": "search_result",
        "url": "/v1/customers/search",
        "has_more": more,
        "next_page": str(start + limit) if more else None,
        "data": [moment.show(customer) for customer in current[start : start + limit]],
    }


def _write(customer: Json, params: Json) -> None:
    put(customer, params, _PLAIN)
    put(customer, params, ("preferred_locales",))
    if "tax_exempt" in params:
        customer["tax_exempt"] = params["tax_exempt"] or "none"
    if params.get("address"):
        customer["address"] = _address(params["address"])
    if params.get("shipping"):
        shipping = params["shipping"]
        phone = shipping.get("phone") or None
        customer["shipping"] = {"name": shipping["name"], "phone": phone, "address": _address(shipping["address"])}
    if "invoice_settings" in params:
        put(customer["invoice_settings"], params["invoice_settings"], ("custom_fields", "footer"))
    merge_metadata(customer, params.get("metadata"))


def _address(sent: Json) -> Json:
    return {name: sent.get(name) or None for name in _ADDRESS}


def _emitted(moment: Moment, event_type: str, customer: Json, before: Json | None = None) -> Json:
    shown = moment.show(customer)
    moment.emit(event_type, shown, before)
    return shown
