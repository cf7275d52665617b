"""The choices that a company makes about how its orders are billed, with the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Policies:
    """Every choice, by the name it has in a snapshot's `policies` and in the settings.

    quantity_conflict: what overlapping lines of one price with different quantities mean.
    end_dates: whether a Date-typed end is the day after the last (`exclusive`) or the last day itself (`inclusive`).
    time_zone: the billing zone (IANA name) in which a Date begins.
    proration_behavior: how Stripe bills a change inside a billing period.
    billing_mode: Stripe's billing mode of the subscription; it cannot be taken back from `flexible`.
    billing_cycle_anchor: whether a phase moves the billing day to its own start.
    backdating: what happens where an order starts or changes something before now: billed from now on, refused, or caught up
    by one-time items.
    on_schedule_ended: what happens where the schedule of a running contract is over: an error, or a new one.
    on_drift: what happens where somebody else has changed the schedule: an error, or put back to what was sold.
    custom_pricing: what happens where a line is sold at another price than the standard price book's: a Stripe price is made of
    it, it is refused, or billed at the standard price.
    unit_prices: whether a line's unit price is that of one billing interval, or of the line's whole term.
    customer_update: when the customer follows the account: never, with an order that syncs, or also when the account changes.
    customer_per_currency: what happens where Stripe refuses a second currency on a customer: an error, or one more customer.
    write_back: what is saved in Salesforce: all, Stripe's ids alone, or nothing.
    collection_method, days_until_due: what holds where the orders state none.
    """

    quantity_conflict: Literal["error", "sum", "latest"] = "error"
    end_dates: Literal["exclusive", "inclusive"] = "exclusive"
    time_zone: str = "UTC"
    proration_behavior: Literal["create_prorations", "none", "always_invoice"] = "create_prorations"
    billing_mode: Literal["flexible", "classic"] = "flexible"
    billing_cycle_anchor: Literal["automatic", "phase_start"] = "automatic"
    backdating: Literal["from_now", "reject", "catch_up"] = "from_now"
    on_schedule_ended: Literal["error", "recreate"] = "error"
    on_drift: Literal["error", "repair"] = "error"
    custom_pricing: Literal["create", "error", "standard"] = "create"
    unit_prices: Literal["per_interval", "per_term"] = "per_interval"
    customer_update: Literal["never", "on_order", "on_account_change"] = "on_order"
    customer_per_currency: Literal["error", "create"] = "error"
    write_back: Literal["full", "ids_only", "none"] = "full"
    collection_method: Literal["charge_automatically", "send_invoice"] = "charge_automatically"
    days_until_due: int | None = None
