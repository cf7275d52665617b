"""Previews of invoices, as far as their amounts follow without a proration."""

from __future__ import annotations

from sandbox.stripe_emulator import catalogue, courses, phases, rules, schedules, updates
from sandbox.stripe_emulator.account import Account, Moment, new_id
from sandbox.stripe_emulator.courses import Billed
from sandbox.stripe_emulator.errors import Json, StripeError, missing, not_modelled
from sandbox.stripe_emulator.intervals import DAY, add
from sandbox.stripe_emulator.invoices import Line, invoice, take_off


def create(moment: Moment, params: Json, _: str) -> Json:
    """The next invoice of a schedule: its first if it is yet to begin, that of the next cycle if it is active. Nothing is kept.

    Modelled are whole cycles of a phase's items and one-time items, with at most one coupon or discount for each item and one
    for the phase. Whatever Stripe would prorate is refused as not modelled: a start in the past, an end of the subscription
    inside of the cycle that is billed, and what `courses` says of active schedules. So are several discounts at one place,
    discounts that may be used up or gone by then, discounts on credits, and the recurring shape.
    Stripe: an item's discounts come before its phase's, and an amount off is spread over the items in proportion. That every
    amount is rounded half up, line by line, is not documented.
    """
    account, details = moment.account, params.get("schedule_details", {})
    if "schedule" in params:
        schedule = account.find("subscription_schedule", params["schedule"], "schedule")
        customer = _customer_of(schedule, params)
    elif "customer" in params:
        schedule = None
        customer = account.find("customer", params["customer"], "customer")["id"]
    else:
        raise missing("customer")
    if "phases" not in details:
        raise not_modelled("a preview without phases", "schedule_details[phases]")
    try:
        resolved = _resolved(moment, details, schedule)
    except StripeError as error:
        raise error.within("schedule_details") from None
    schedules.check_currency(account, customer, resolved[0]["currency"])
    if schedule is not None and schedule["status"] == "active":
        billed = courses.next_invoice(moment, schedule, resolved, details)
    else:
        billed = _first_invoice(account, resolved, details.get("end_behavior", (schedule or {}).get("end_behavior")))
    lines, discounts = _lines(account, billed)
    defaults = schedule["default_settings"] if schedule else schedules.default_settings({})
    method, days = phases.collection(billed.phase, defaults)
    said = {
        "collection_method": method,
        "created": billed.when,
        "currency": billed.phase["currency"],
        "customer": customer,
        "description": billed.phase["description"],
        "discounts": discounts,
        "due_date": None if days is None else billed.when + days * DAY,
        "period_end": billed.when,
        "period_start": billed.since,
    }
    return invoice(account, lines, schedule["subscription"] if schedule else None, said)


def _customer_of(schedule: Json, params: Json) -> str:
    customer: str = schedule["customer"]
    if params.get("customer", customer) != customer:
        raise StripeError("The schedule belongs to another customer.", param="customer")
    if schedule["status"] not in schedules.OPEN:
        raise courses.no_invoice(customer)
    return customer


def _resolved(moment: Moment, details: Json, schedule: Json | None) -> list[Json]:
    """The phases that are sent, as objects, once all of them are found in order."""
    sent, given = details["phases"], schedule or {}
    phases.check_references(moment, sent)
    rules.check("subscription_schedules.update", details)
    mode = details.get("billing_mode") or given.get("billing_mode", {"type": "flexible"})
    if given.get("status") == "active":
        if mode["type"] != given["billing_mode"]["type"]:
            raise not_modelled("another billing mode of a schedule that has begun", "billing_mode")
        resolved = updates.resolved(moment, given, sent)
    else:
        currency, held = phases.terms_of(schedule)
        currency = phases.check_state(moment, sent, flexible=mode["type"] == "flexible", currency=currency, held=held)
        updates.check_kept_discounts(moment, schedule, sent, ())
        start = phases.instant(moment, sent[0]["start_date"])
        if start < moment.now:
            raise not_modelled("a preview of a start in the past", "phases[0][start_date]")
        resolved = phases.resolve(moment, sent, start, currency)
    rules.terms(resolved, given.get("default_settings", {}))
    return resolved


def _first_invoice(account: Account, resolved: list[Json], end_behavior: str | None) -> Billed:
    first = resolved[0]
    start, end = first["start_date"], first["end_date"]
    cycles = courses.cycles(account, first, start, start)
    if len(resolved) == 1 and end_behavior == "cancel" and any(finish > end for _, finish in cycles):
        raise not_modelled("a preview of a billing cycle that is cut short", "schedule_details[phases][0][end_date]")
    return Billed(first, start, since=start, redeemed=start, cycles=cycles, one_time=courses.one_time(account, first, cycles))


def _lines(account: Account, billed: Billed) -> tuple[list[Line], list[str]]:
    """The lines, and the ids of the discounts for all of them."""
    phase = billed.phase
    if any(len(holder["discounts"]) > 1 for holder in (phase, *phase["items"])):
        raise not_modelled("a preview of several discounts at one place", "schedule_details[phases]")
    lines = []
    for item, cycle in zip(phase["items"], billed.cycles, strict=True):
        if cycle[0] == billed.when:
            price, quantity = account.kinds["price"][item["price"]], item["quantity"]
            held = billed.items.get(item["price"]) or new_id("si")
            line = Line(price, quantity, catalogue.amount_of(price, quantity), cycle, held, item["metadata"])
            line.own = _discounted(account, item, billed, [line])
            lines.append(line)
    lines += billed.one_time
    return lines, _discounted(account, phase, billed, [line for line in lines if line.discountable])


def _discounted(account: Account, holder: Json, billed: Billed, lines: list[Line]) -> list[str]:
    """Take the discounts of an item or of a phase off the lines; answers their ids."""
    discounts = []
    for entry in holder["discounts"]:
        found = _named(account, entry, billed) if entry["discount"] else _minted(account, entry, billed)
        if found is None:
            continue
        if any(line.amount < 0 for line in lines):
            # Stripe: an invoice item is discountable unless it is negative, a phase's one-time item unless that is turned off.
            raise not_modelled("a preview of a discount on a credit", "schedule_details[phases]")
        coupon, discount = found
        take_off(coupon, discount, lines)
        discounts.append(discount)
    return discounts


def _named(account: Account, entry: Json, billed: Billed) -> tuple[Json, str] | None:
    """The coupon of a discount that the subscription has, unless it has ended by then."""
    discount = account.kinds["discount"][entry["discount"]]
    if discount["end"] is not None and discount["end"] <= billed.when:
        return None
    coupon = account.kinds["coupon"].get(discount["source"]["coupon"])
    if coupon is None or coupon["duration"] == "once":
        raise not_modelled(
            "a preview of a discount that may be used up, or whose coupon is deleted", "schedule_details[phases]"
        )
    return coupon, discount["id"]


def _minted(account: Account, entry: Json, billed: Billed) -> tuple[Json, str] | None:
    """A coupon with the id of a discount that exists in the preview only, unless that has ended by then."""
    coupon = account.kinds["coupon"][entry["coupon"]]
    if coupon["redeem_by"] is not None and coupon["redeem_by"] <= billed.redeemed:
        raise not_modelled("a preview of a coupon that expires before its phase begins", "schedule_details[phases]")
    months = coupon["duration_in_months"]
    if months is not None and add(billed.redeemed, "month", months) <= billed.when:
        return None
    return coupon, new_id("di")
