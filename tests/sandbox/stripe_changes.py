"""Changing a schedule or previewing it through the SDK, and reading it and its subscription back as plain data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import stripe
from stripe.params import InvoiceCreatePreviewParams, SubscriptionScheduleUpdateParams

from tests.sandbox.stripe_world import World, error_body, refusal


def update(world: World, schedule: stripe.SubscriptionSchedule, *phases: dict[str, Any], **params: Any) -> dict[str, Any]:
    """The schedule after an update, as plain data; without phases none are sent."""
    sent = {**params, **({"phases": list(phases)} if phases else {})}
    return world.sdk.v1.subscription_schedules.update(schedule.id, cast("SubscriptionScheduleUpdateParams", sent)).to_dict()


def held(world: World, schedule: stripe.SubscriptionSchedule) -> dict[str, Any]:
    """The schedule as it is now."""
    return world.sdk.v1.subscription_schedules.retrieve(schedule.id).to_dict()


def subscription(world: World, schedule: stripe.SubscriptionSchedule) -> dict[str, Any]:
    """Its subscription, with its discounts."""
    expand = ["discounts", "items.data.discounts"]
    return world.sdk.v1.subscriptions.retrieve(held(world, schedule)["subscription"], {"expand": expand}).to_dict()


def spans(schedule: dict[str, Any]) -> list[tuple[int, int]]:
    """Start and end of each phase."""
    return [(phase["start_date"], phase["end_date"]) for phase in schedule["phases"]]


def quantities(shown: dict[str, Any]) -> dict[str, int]:
    """Price → quantity of a subscription."""
    return {item["price"]["id"]: item["quantity"] for item in shown["items"]["data"]}


def with_quantity(phase: dict[str, Any], quantity: int) -> dict[str, Any]:
    """The same phase with this quantity of every item."""
    return {**phase, "items": [{**item, "quantity": quantity} for item in phase["items"]]}


def coupon_ids(discounts: list[dict[str, Any]]) -> list[str]:
    """The coupons that discounts have come from."""
    return [discount["source"]["coupon"] for discount in discounts]


def credit(product: str, amount: int = -500, **params: Any) -> dict[str, Any]:
    """A one-time item with a price of its own; a negative amount is a credit."""
    return {"price_data": {"currency": "usd", "product": product, "unit_amount": amount}, **params}


def preview(world: World, *phases: dict[str, Any], details: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    """The preview for a new customer, unless `params` say otherwise; the first phase starts now unless it says otherwise."""
    first, *later = phases
    sent = {"schedule_details": {"phases": [{"start_date": "now", **first}, *later], **(details or {})}, **params}
    if not sent.keys() & {"customer", "schedule"}:
        sent["customer"] = world.customer()
    return world.sdk.v1.invoices.create_preview(cast("InvoiceCreatePreviewParams", sent)).to_dict()


def unmodelled(call: Callable[..., object], *args: Any, **params: Any) -> str | None:
    """The parameter that is not modelled; that the call is not refused for one fails the test."""
    refused = refusal(call, *args, **params)
    assert refused.http_status == 501
    param: str | None = error_body(refused)["error"].get("param")
    return param


def amounts(invoice: dict[str, Any]) -> tuple[int, int]:
    """Subtotal and total."""
    return invoice["subtotal"], invoice["total"]
