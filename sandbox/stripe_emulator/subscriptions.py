"""Subscriptions, as schedules start and change them. Nothing is billed: there are no invoices, and so no prorations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sandbox.stripe_emulator import coupons, invoice_items
from sandbox.stripe_emulator.account import Account, Moment, new_id
from sandbox.stripe_emulator.errors import Json
from sandbox.stripe_emulator.fields import merge_metadata
from sandbox.stripe_emulator.intervals import period
from sandbox.stripe_emulator.pages import page, same
from sandbox.stripe_emulator.phases import collection, interval_of

# Billing cycles turn after the boundaries of schedules that fall on the same second.
_AFTER_BOUNDARIES = 1


@dataclass(frozen=True, slots=True)
class Billing:
    """What a subscription is billed for: quantity and current period by price, the anchor, and whether all cycles turn now."""

    items: dict[str, int]
    periods: dict[str, tuple[int, int]]
    anchor: int
    whole: bool


def retrieve(moment: Moment, _: Json, object_id: str) -> Json:
    """One subscription; a canceled one too."""
    return moment.show(moment.account.find("subscription", object_id))


def listed(moment: Moment, params: Json, _: str) -> Json:
    """A page of subscriptions. Stripe: canceled ones are left out unless `status` asks for them, or for `all`."""
    status = params.get("status")
    chosen, price = same(params, "customer", "collection_method"), params.get("price")

    def keep(stored: Json) -> bool:
        canceled = stored["status"] == "canceled"
        if status in ("ended", "canceled"):
            wanted = canceled
        else:
            wanted = status == "all" or (not canceled if status is None else stored["status"] == status)
        return wanted and chosen(stored) and (price is None or any(item["price"] == price for item in stored["items"]["data"]))

    return page(moment, "subscription", params, keep=keep)


def start(moment: Moment, schedule: Json) -> Json:
    """Start the subscription of a schedule with its current phase, whose currency is the customer's from here on.

    That the customer's currency changes again with a later subscription is not documented; the customer has no event of it.
    """
    phase = current_phase(schedule)
    moment.account.find("customer", schedule["customer"])["currency"] = phase["currency"]
    subscription: Json = {
        "id": new_id("sub"),
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        # Stripe: the anchor of a backdated start is the time of the request, unless the phase says `phase_start`.
        "billing_cycle_anchor": moment.now,
        "billing_cycle_anchor_config": None,
        "billing_mode": schedule["billing_mode"],
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": moment.now,
        "currency": phase["currency"],
        "customer": schedule["customer"],
        "customer_account": None,
        "days_until_due": None,
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": {"object": "list", "data": [], "has_more": False, "total_count": 0, "url": ""},
        "latest_invoice": None,
        "livemode": False,
        "metadata": {},
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": schedule["id"],
        "start_date": phase["start_date"],
        "status": "active",
        "test_clock": None,
        "transfer_data": None,
        "trial_end": None,
        "trial_settings": None,
        "trial_start": None,
    }
    subscription["items"]["url"] = f"/v1/subscription_items?subscription={subscription['id']}"
    _apply(moment, moment.account.add(subscription), schedule, since=phase["start_date"])
    _give(moment, subscription, phase)
    # The first invoice takes what the first phase gives.
    invoice_items.invoiced(moment.account, subscription["id"])
    moment.emit("customer.subscription.created", moment.show(subscription))
    return subscription


def enter(moment: Moment, schedule: Json, *, proration_behavior: str) -> None:
    """Write the schedule's current phase, which begins now, to its subscription, and give it the phase's one-time items.

    proration_behavior: Stripe: at a transition in time the phase's own, in an update that of the request.
    """
    subscription, phase = moment.account.find("subscription", schedule["subscription"]), current_phase(schedule)
    before, was = moment.show(subscription), billing(moment, subscription)
    _apply(moment, subscription, schedule, since=phase["start_date"])
    _give(moment, subscription, phase)
    settle(moment, subscription, was, proration_behavior)
    moment.emit("customer.subscription.updated", moment.show(subscription), before)


def follow(moment: Moment, schedule: Json, *, phase_sent: bool, proration_behavior: str) -> None:
    """Write what a request has changed about the current phase to the subscription, at once.

    phase_sent: whether the phase itself was sent, which applies all of it again. Observed: its coupons are redeemed anew, and
    a discount that lasts some months restarts.
    """
    subscription = moment.account.find("subscription", schedule["subscription"])
    before, was = moment.show(subscription), billing(moment, subscription)
    if phase_sent:
        _apply(moment, subscription, schedule, since=moment.now)
    else:
        _apply_settings(moment, subscription, schedule)
    settle(moment, subscription, was, proration_behavior)
    moment.emit("customer.subscription.updated", moment.show(subscription), before)


def attach(moment: Moment, subscription: Json, schedule: Json) -> None:
    """Put the subscription under a schedule that says what the subscription is already."""
    before = moment.show(subscription)
    subscription["schedule"] = schedule["id"]
    moment.emit("customer.subscription.updated", moment.show(subscription), before)


def cancel(moment: Moment, subscription: Json) -> None:
    """Cancel now, for good."""
    subscription["status"] = "canceled"
    subscription["canceled_at"] = subscription["ended_at"] = moment.now
    subscription["cancellation_details"]["reason"] = "cancellation_requested"
    moment.emit("customer.subscription.deleted", moment.show(subscription))


def release(moment: Moment, subscription: Json, *, keep_cancel_at: bool) -> None:
    """Detach from the schedule and live on; the end that the schedule has set goes with it, unless it is to be kept."""
    before, was = moment.show(subscription), billing(moment, subscription)
    subscription["schedule"] = None
    if keep_cancel_at and subscription["cancel_at"] is not None:
        moment.account.agenda.at(subscription["cancel_at"], partial(_cancel_at, moment.account, subscription["id"]))
    else:
        subscription["cancel_at"] = None
    set_periods(moment, subscription)
    settle(moment, subscription, was, "none")
    moment.emit("customer.subscription.updated", moment.show(subscription), before)


def current_phase(schedule: Json) -> Json:
    """The phase object that `schedule.current_phase` points at."""
    start_date = schedule["current_phase"]["start_date"]
    return next(phase for phase in schedule["phases"] if phase["start_date"] == start_date)


def put_items(moment: Moment, subscription: Json, items: list[Json]) -> None:
    """Have `items` in place of the subscription's."""
    before = {interval_of(moment.account, item["price"]) for item in subscription["items"]["data"]}
    if before.isdisjoint(interval_of(moment.account, item["price"]) for item in items):
        # Stripe: going over to another interval resets the anchor. It holds for the start too, which has no interval before.
        subscription["billing_cycle_anchor"] = moment.now
    subscription["items"].update(data=items, total_count=len(items))


def new_item(moment: Moment, subscription: Json, price_id: str) -> Json:
    """An item of a price that the subscription does not have yet."""
    return {
        "id": new_id("si"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": moment.now,
        "discounts": [],
        "metadata": {},
        "price": price_id,
        "quantity": 1,
        "subscription": subscription["id"],
        "tax_rates": [],
    }


def redeem(moment: Moment, subscription: Json, discounts: list[Json], *, since: int, item: str | None = None) -> list[str]:
    """The ids of the discounts that are asked for. Observed: a coupon mints a new one each time; one that is named is kept."""
    names = {"customer": subscription["customer"], "subscription": subscription["id"], "item": item}
    found = [entry.get("discount") or coupons.redeem(moment, entry["coupon"], start=since, **names) for entry in discounts]
    return [discount for discount in found if discount is not None]


def set_periods(moment: Moment, subscription: Json) -> None:
    """Each item's current billing period, cut short where the subscription ends inside it, and its turn on the agenda."""
    for item in subscription["items"]["data"]:
        begin, end = period(subscription["billing_cycle_anchor"], interval_of(moment.account, item["price"]), moment.now)
        item["current_period_start"] = begin
        item["current_period_end"] = min(end, subscription["cancel_at"] or end)
    turn, name = partial(_turn, moment.account, subscription["id"]), f"turn {subscription['id']}"
    moment.account.agenda.at(_period_end(subscription), turn, rank=_AFTER_BOUNDARIES, name=name)


def billing(moment: Moment, subscription: Json) -> Billing:
    """What a subscription is billed for, as it is now."""
    items = subscription["items"]["data"]
    quantities = {item["price"]: item["quantity"] for item in items}
    periods = {item["price"]: (item["current_period_start"], item["current_period_end"]) for item in items}
    whole = all(end == moment.now for _, end in periods.values())
    return Billing(quantities, periods, subscription["billing_cycle_anchor"], whole)


def settle(moment: Moment, subscription: Json, was: Billing, proration_behavior: str) -> None:
    """Note what becomes of the next invoice when a subscription has changed from what it `was`.

    Where cycles turn in time an invoice is made; a change on that very second is on it. A change inside a cycle is prorated
    unless that is turned off. What comes with a cycle that is whole again, and whether an anchor that moves makes an invoice,
    depends on more than is modelled.
    """
    account, now = moment.account, billing(moment, subscription)
    moved = now.anchor != was.anchor and not was.whole
    if moved and invoice_items.waiting(account, subscription["id"]):
        account.prorated.add(subscription["id"])
    elif moment.request_id is None and any(begin == moment.now for begin, _ in now.periods.values()):
        invoice_items.invoiced(account, subscription["id"])
    kept = [(was.periods[price], now.periods[price]) for price in was.periods.keys() & now.periods.keys()]
    grown = [new[1] - old[1] for old, new in kept if new[0] == old[0]]
    changed = moved or now.items != was.items or any(grown)
    if (changed and proration_behavior != "none" and not was.whole) or max(grown, default=0) > 0:
        account.prorated.add(subscription["id"])


def _give(moment: Moment, subscription: Json, phase: Json) -> None:
    cycles = [(item["current_period_start"], item["current_period_end"]) for item in subscription["items"]["data"]]
    moment.account.invoice_items += invoice_items.given(moment.account, subscription["id"], phase, cycles)


def _apply(moment: Moment, subscription: Json, schedule: Json, *, since: int) -> None:
    """Write the current phase to the subscription; what it redeems begins at `since`."""
    phase = current_phase(schedule)
    merge_metadata(subscription, phase["metadata"])
    put_items(moment, subscription, _items_of(moment, subscription, phase, since))
    subscription["discounts"] = redeem(moment, subscription, phase["discounts"], since=since)
    if (phase["billing_cycle_anchor"] or schedule["default_settings"]["billing_cycle_anchor"]) == "phase_start":
        subscription["billing_cycle_anchor"] = phase["start_date"]
    _apply_settings(moment, subscription, schedule)


def _apply_settings(moment: Moment, subscription: Json, schedule: Json) -> None:
    """Write the settings of the current phase. Stripe: a phase's own precede the schedule's defaults."""
    phase, defaults = current_phase(schedule), schedule["default_settings"]
    subscription["collection_method"], subscription["days_until_due"] = collection(phase, defaults)
    subscription["description"] = phase["description"] or defaults["description"] or subscription["description"]
    # Stripe: the end of the schedule is set only during its last phase.
    ends = schedule["end_behavior"] == "cancel" and phase is schedule["phases"][-1]
    subscription["cancel_at"] = phase["end_date"] if ends else None
    set_periods(moment, subscription)


def _items_of(moment: Moment, subscription: Json, phase: Json, since: int) -> list[Json]:
    """The phase's items as the subscription's; an item whose price stays keeps its id, its metadata is merged."""
    held = {item["price"]: item for item in subscription["items"]["data"]}
    items = []
    for wanted in phase["items"]:
        item = held.get(wanted["price"]) or new_item(moment, subscription, wanted["price"])
        item["quantity"] = wanted["quantity"]
        merge_metadata(item, wanted["metadata"])
        item["discounts"] = redeem(moment, subscription, wanted["discounts"], since=since, item=item["id"])
        items.append(item)
    return items


def _turn(account: Account, subscription_id: str, when: int) -> None:
    """A billing cycle ends and the next begins, if it still ends then."""
    subscription = account.kinds["subscription"][subscription_id]
    if subscription["status"] == "canceled" or _period_end(subscription) != when:
        return
    moment = Moment(account, when)
    before, was = moment.show(subscription), billing(moment, subscription)
    set_periods(moment, subscription)
    settle(moment, subscription, was, "none")
    moment.emit("customer.subscription.updated", moment.show(subscription), before)


def _cancel_at(account: Account, subscription_id: str, when: int) -> None:
    subscription = account.kinds["subscription"][subscription_id]
    if subscription["status"] != "canceled" and subscription["cancel_at"] == when:
        cancel(Moment(account, when), subscription)


def _period_end(subscription: Json) -> int:
    ends: list[int] = [item["current_period_end"] for item in subscription["items"]["data"]]
    return min(ends)
