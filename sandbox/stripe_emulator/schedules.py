"""Subscription schedules: create, retrieve, list, cancel, release, and what time does to them. Updates are in `updates`.

not_started → active → completed (end_behavior `cancel`) or released (`release`); both also → canceled or released by request.
"""

from __future__ import annotations

from functools import partial

from sandbox.stripe_emulator import invoice_items, phases, rules, subscriptions, views
from sandbox.stripe_emulator.account import Account, Moment, new_id
from sandbox.stripe_emulator.errors import Json, StripeError, not_modelled
from sandbox.stripe_emulator.fields import merge_metadata
from sandbox.stripe_emulator.intervals import DAY
from sandbox.stripe_emulator.pages import page, same

# Stripe: only these can be updated, canceled or released.
OPEN = ("not_started", "active")
# Stripe: subscription_schedule.expiring comes seven days before the end.
EXPIRING = 7 * DAY


def create(moment: Moment, params: Json, _: str) -> Json:
    """A schedule for a customer, from `phases` and `start_date`, or one for a subscription, `from_subscription`.

    The first gets its subscription when it starts, which may be now.
    """
    account = moment.account
    if "from_subscription" in params:
        return _migrate(moment, params)
    if "start_date" not in params:
        raise not_modelled("a schedule without start_date, whose default Stripe does not document", "start_date")
    if "customer" in params:
        account.find("customer", params["customer"], "customer")
    phases.check_references(moment, params.get("phases", []))
    rules.check("subscription_schedules.create", params)
    billing_mode = params.get("billing_mode", {"type": "flexible"})
    currency = phases.check_state(moment, params["phases"], flexible=billing_mode["type"] == "flexible")
    start = moment.now if params["start_date"] == "now" else params["start_date"]
    resolved = phases.resolve(moment, params["phases"], start, currency)
    if resolved[0]["end_date"] <= moment.now:
        raise not_modelled("a new schedule with a phase that is already over", "phases[0]")
    check_currency(account, params["customer"], currency)
    invoice_items.keep_prices(moment, resolved)
    schedule = account.add(
        {
            **_blank(moment),
            "billing_mode": {"flexible": None, **billing_mode},
            "customer": params["customer"],
            "default_settings": default_settings(params.get("default_settings", {})),
            "end_behavior": params.get("end_behavior", "release"),
            "phases": resolved,
        }
    )
    merge_metadata(schedule, params.get("metadata"))
    if start <= moment.now:
        begin(moment, schedule)
    return _created(moment, schedule)


def _migrate(moment: Moment, params: Json) -> Json:
    """A schedule for a subscription that has none.

    Stripe: it is active, with one phase of the subscription's items for its current billing period; everything else is set by
    an update. That its default settings say how the subscription's invoices are collected is not documented, and neither is the
    phase of a subscription of several intervals, or of one that has an end. Of the refusals the wording is known for `phases`
    and for a subscription that has a schedule.
    """
    account, subscription_id = moment.account, params["from_subscription"]
    subscription = account.find("subscription", subscription_id, "from_subscription")
    rules.check("subscription_schedules.create", params)
    if subscription["status"] == "canceled":
        raise StripeError("You cannot migrate a subscription that is canceled.", param="from_subscription")
    if subscription["schedule"] is not None:
        message = f"You cannot migrate a subscription that is already attached to a schedule: {subscription['schedule']}"
        raise StripeError(message, param="from_subscription")
    if subscription["cancel_at"] is not None:
        raise not_modelled("a schedule for a subscription that has an end of its own", "from_subscription")
    items = subscription["items"]["data"]
    periods = {(item["current_period_start"], item["current_period_end"]) for item in items}
    if len(periods) > 1:
        raise not_modelled("a schedule for a subscription of several billing intervals", "from_subscription")
    terms = {name: subscription[name] for name in ("collection_method", "days_until_due")}
    schedule = account.add(
        {
            **_blank(moment),
            "billing_mode": views.copied(subscription["billing_mode"]),
            "customer": subscription["customer"],
            "default_settings": default_settings({**terms, "invoice_settings": terms}),
            "end_behavior": "release",
            "phases": [phases.of_subscription(moment, subscription, *periods.pop())],
            "status": "active",
            "subscription": subscription_id,
        }
    )
    set_current(schedule, schedule["phases"][0])
    subscriptions.attach(moment, subscription, schedule)
    return _created(moment, schedule)


def _blank(moment: Moment) -> Json:
    """A schedule of which nothing is said yet."""
    return {
        "id": new_id("sub_sched"),
        "object": "subscription_schedule",
        "application": None,
        "canceled_at": None,
        "completed_at": None,
        "created": moment.now,
        "current_phase": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "pause_schedules": [],
        "released_at": None,
        "released_subscription": None,
        "status": "not_started",
        "subscription": None,
        "test_clock": None,
    }


def _created(moment: Moment, schedule: Json) -> Json:
    expect(moment, schedule)
    shown = moment.show(schedule)
    # Observed: the schedule's own event comes after the subscription's.
    moment.emit("subscription_schedule.created", shown)
    return shown


def retrieve(moment: Moment, _: Json, object_id: str) -> Json:
    """One schedule."""
    return moment.show(moment.account.find("subscription_schedule", object_id))


def listed(moment: Moment, params: Json, _: str) -> Json:
    """A page of schedules. Stripe: `scheduled` leaves those that have not started."""
    chosen, scheduled = same(params, "customer"), params.get("scheduled", False)
    return page(
        moment,
        "subscription_schedule",
        params,
        keep=lambda stored: chosen(stored) and (not scheduled or stored["status"] == "not_started"),
    )


def cancel(moment: Moment, _: Json, object_id: str) -> Json:
    """Cancel the schedule and its subscription at once. `invoice_now` and `prorate` have no effect: nothing is billed here."""
    schedule = moment.account.find("subscription_schedule", object_id)
    check_open(schedule, "cancel", "canceled")
    if schedule["status"] == "active":
        subscriptions.cancel(moment, moment.account.find("subscription", schedule["subscription"]))
    return close(moment, schedule, "canceled")


def release(moment: Moment, params: Json, object_id: str) -> Json:
    """End the schedule and leave its subscription running; a schedule that has not started leaves none."""
    schedule = moment.account.find("subscription_schedule", object_id)
    check_open(schedule, "release", "released")
    return _release(moment, schedule, keep_cancel_at=params.get("preserve_cancel_date", False))


def begin(moment: Moment, schedule: Json) -> None:
    """Start with the first phase, which is the current one: a schedule that begins has no phase that is over."""
    schedule["status"] = "active"
    set_current(schedule, schedule["phases"][0])
    schedule["subscription"] = subscriptions.start(moment, schedule)["id"]


def set_current(schedule: Json, phase: Json) -> None:
    """Point `current_phase` at a phase."""
    schedule["current_phase"] = {"start_date": phase["start_date"], "end_date": phase["end_date"]}


def expect(moment: Moment, schedule: Json) -> None:
    """Put on the agenda what time brings next; asked for after every change. What has been put there before is passed over."""
    agenda, schedule_id, current = moment.account.agenda, schedule["id"], schedule["current_phase"]
    boundary = current["end_date"] if current else schedule["phases"][0]["start_date"]
    agenda.at(boundary, partial(_boundary, moment.account, schedule_id), name=f"boundary {schedule_id}")
    expiring = schedule["phases"][-1]["end_date"] - EXPIRING
    if expiring > moment.now:
        agenda.at(expiring, partial(_expiring, moment.account, schedule_id), name=f"expiring {schedule_id}")


def check_open(schedule: Json, verb: str, done: str) -> None:
    """Refuse to do something to a schedule that is over."""
    if schedule["status"] not in OPEN:
        raise StripeError(
            f"You cannot {verb} a subscription schedule that is currently in the `{schedule['status']}` status. "
            f"It must be in `{', '.join(OPEN)}` status to be {done}."
        )


def close(moment: Moment, schedule: Json, status: str) -> Json:
    """Set a final status (`canceled`, `completed` or `released`) with its time, and emit its event."""
    schedule["status"] = status
    schedule[f"{status}_at"] = moment.now
    schedule["current_phase"] = None
    shown = moment.show(schedule)
    moment.emit(f"subscription_schedule.{status}", shown)
    return shown


def _release(moment: Moment, schedule: Json, *, keep_cancel_at: bool) -> Json:
    if schedule["status"] == "active":
        before = moment.show(schedule)
        subscription = moment.account.find("subscription", schedule["subscription"])
        schedule.update(subscription=None, released_subscription=subscription["id"])
        # Observed order: the schedule updated, the subscription updated, the schedule released.
        moment.emit("subscription_schedule.updated", moment.show(schedule), before)
        subscriptions.release(moment, subscription, keep_cancel_at=keep_cancel_at)
    return close(moment, schedule, "released")


def check_currency(account: Account, customer_id: str, currency: str) -> None:
    """Stripe: one currency per customer while anything recurring of it is under way."""
    for schedule in account.kinds["subscription_schedule"].values():
        if schedule["customer"] == customer_id and schedule["status"] in OPEN:
            _check_bound(schedule["phases"][0]["currency"], currency)
    for subscription in account.kinds["subscription"].values():
        if subscription["customer"] == customer_id and subscription["status"] != "canceled":
            _check_bound(subscription["currency"], currency)


def _check_bound(bound: str, currency: str) -> None:
    if bound != currency:
        raise StripeError(
            "You cannot combine currencies on a single customer. This customer has an active subscription, subscription "
            f"schedule, discount, quote, invoice item or active subscription mode checkout session with currency {bound}.",
            param="customer",
        )


def default_settings(sent: Json) -> Json:
    """The default settings as an object, from those that were sent."""
    return {
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": sent.get("billing_cycle_anchor", "automatic"),
        "billing_thresholds": None,
        "collection_method": sent.get("collection_method", "charge_automatically"),
        "default_payment_method": None,
        "description": sent.get("description") or None,
        "invoice_settings": phases.invoice_settings(sent.get("invoice_settings", {}), {"type": "self"}),
        "on_behalf_of": None,
        "transfer_data": None,
    }


def _boundary(account: Account, schedule_id: str, when: int) -> None:
    """The start or the end of a phase has come, if the schedule still says so."""
    schedule, moment = account.kinds["subscription_schedule"][schedule_id], Moment(account, when)
    before = moment.show(schedule)
    if schedule["status"] == "not_started" and schedule["phases"][0]["start_date"] == when:
        begin(moment, schedule)
        expect(moment, schedule)
        moment.emit("subscription_schedule.updated", moment.show(schedule), before)
    elif schedule["status"] == "active" and schedule["current_phase"]["end_date"] == when:
        following = next((phase for phase in schedule["phases"] if phase["start_date"] == when), None)
        if following is not None:
            set_current(schedule, following)
            expect(moment, schedule)
            subscriptions.enter(moment, schedule, proration_behavior=following["proration_behavior"])
            moment.emit("subscription_schedule.updated", moment.show(schedule), before)
        elif schedule["end_behavior"] == "cancel":
            subscriptions.cancel(moment, account.find("subscription", schedule["subscription"]))
            close(moment, schedule, "completed")
        else:
            # Stripe does not say whether this ends as `released` or as `completed`.
            _release(moment, schedule, keep_cancel_at=False)


def _expiring(account: Account, schedule_id: str, when: int) -> None:
    schedule, moment = account.kinds["subscription_schedule"][schedule_id], Moment(account, when)
    if schedule["status"] == "active" and schedule["phases"][-1]["end_date"] == when + EXPIRING:
        moment.emit("subscription_schedule.expiring", moment.show(schedule))
