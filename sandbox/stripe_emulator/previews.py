"""Previews of invoices, as far as their amounts follow without a proration."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from sandbox.stripe_emulator import phases, rules, schedules
from sandbox.stripe_emulator.account import Account, Moment, new_id
from sandbox.stripe_emulator.errors import Json, StripeError, missing, not_modelled
from sandbox.stripe_emulator.intervals import DAY, period


@dataclass(slots=True)
class _Line:
    """An item of the phase with its amount and what each discount takes off it, in the order of application, in minor units."""

    item: Json
    amount: int
    taken: list[tuple[str, int]] = field(default_factory=list)

    @property
    def left(self) -> int:
        return self.amount - sum(amount for _, amount in self.taken)


def create(moment: Moment, params: Json, _: str) -> Json:
    """The first invoice of a schedule that is yet to begin, at the start of its first phase. Nothing is kept.

    Modelled are whole cycles of the first phase's items, with at most one coupon for each item and one for the phase. Whatever
    Stripe would prorate is refused as not modelled: a schedule that is active, a start in the past, and an end of the
    subscription inside the first cycle. So are one-time items, several discounts at one place, and the recurring shape.
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
        phase = _first_phase(moment, details, schedule)
    except StripeError as error:
        raise error.within("schedule_details") from None
    schedules.check_currency(account, customer, phase["currency"])
    defaults = schedule["default_settings"] if schedule else schedules.default_settings({})
    method, days = phases.collection(phase, defaults)
    due = None if days is None else phase["start_date"] + days * DAY
    return _invoice(account, phase, {"customer": customer, "collection_method": method, "due_date": due})


def _customer_of(schedule: Json, params: Json) -> str:
    customer: str = schedule["customer"]
    if params.get("customer", customer) != customer:
        raise StripeError("The schedule belongs to another customer.", param="customer")
    if schedule["status"] not in schedules.OPEN:
        message = f"No upcoming invoices for customer: {customer}"
        raise StripeError(message, code="invoice_upcoming_none", param="schedule")
    if schedule["status"] == "active":
        raise not_modelled("a preview of a schedule that has begun", "schedule")
    return customer


def _first_phase(moment: Moment, details: Json, schedule: Json | None) -> Json:
    """The first phase that is sent, as an object, once all of them are found in order and its amounts are modelled."""
    sent, given = details["phases"], schedule or {}
    phases.check_references(moment, sent)
    rules.check("subscription_schedules.update", details)
    mode = details.get("billing_mode") or given.get("billing_mode", {"type": "flexible"})
    currency, held = phases.terms_of(schedule)
    currency = phases.check_state(moment, sent, flexible=mode["type"] == "flexible", currency=currency, held=held)
    start = phases.instant(moment, sent[0]["start_date"])
    if start < moment.now:
        raise not_modelled("a preview of a start in the past", "phases[0][start_date]")
    resolved = phases.resolve(moment, sent, start, currency)
    rules.terms(resolved, given.get("default_settings", {}))
    first = resolved[0]
    if any(len(holder["discounts"]) > 1 for holder in (first, *first["items"])):
        raise not_modelled("a preview of several discounts at one place", "phases[0]")
    ends = len(resolved) == 1 and details.get("end_behavior", given.get("end_behavior")) == "cancel"
    if ends and any(_cycle(moment.account, item, start)[1] > first["end_date"] for item in first["items"]):
        raise not_modelled("a preview of a billing cycle that is cut short", "phases[0][end_date]")
    return first


def _cycle(account: Account, item: Json, start: int) -> tuple[int, int]:
    return period(start, phases.interval_of(account, item["price"]), start)


def _invoice(account: Account, phase: Json, terms: Json) -> Json:
    lines = [_line(account, item) for item in phase["items"]]
    discounts = [_spread(account, entry["coupon"], lines) for entry in phase["discounts"]]
    subtotal, total = sum(line.amount for line in lines), sum(line.left for line in lines)
    invoice_id, start = new_id("upcoming_in"), phase["start_date"]
    shown = [_line_object(account, line, invoice_id, start) for line in lines]
    return {
        "id": invoice_id,
        "object": "invoice",
        "amount_due": total,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": total,
        "amount_shipping": 0,
        "attempt_count": 0,
        "attempted": False,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None},
        "billing_reason": "upcoming",
        "created": start,
        "currency": phase["currency"],
        "default_tax_rates": [],
        "description": phase["description"],
        "discounts": discounts,
        "lines": {"object": "list", "data": shown, "has_more": False, "total_count": len(shown), "url": ""},
        "livemode": False,
        "metadata": {},
        "parent": None,
        "period_end": start,
        "period_start": start,
        "starting_balance": 0,
        "status": "draft",
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "total": total,
        "total_discount_amounts": _totals(lines),
        "total_excluding_tax": total,
        "total_taxes": [],
        **terms,
    }


def _line(account: Account, item: Json) -> _Line:
    price = account.kinds["price"][item["price"]]
    line = _Line(item, _rounded(Decimal(price["unit_amount_decimal"]) * item["quantity"]))
    for entry in item["discounts"]:
        _spread(account, entry["coupon"], [line])
    return line


def _spread(account: Account, coupon_id: str, lines: list[_Line]) -> str:
    """Take a coupon off what is left of the lines; answers the id of a discount that exists in the preview only."""
    coupon, discount = account.kinds["coupon"][coupon_id], new_id("di")
    total, passed, spread = sum(line.left for line in lines), 0, 0
    for line in lines:
        if coupon["percent_off"] is not None:
            off = _rounded(line.left * Decimal(str(coupon["percent_off"])) / 100)
        else:
            # What has been spread up to a line is rounded, so that all of it adds up.
            passed += line.left
            upto = _rounded(Decimal(min(coupon["amount_off"], total)) * passed / total) if total else 0
            off, spread = upto - spread, upto
        line.taken.append((discount, off))
    return discount


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def _totals(lines: list[_Line]) -> list[Json]:
    amounts: dict[str, int] = {}
    for line in lines:
        for discount, amount in line.taken:
            amounts[discount] = amounts.get(discount, 0) + amount
    return [{"amount": amount, "discount": discount} for discount, amount in amounts.items()]


def _line_object(account: Account, line: _Line, invoice_id: str, start: int) -> Json:
    price = account.kinds["price"][line.item["price"]]
    begin, end = _cycle(account, line.item, start)
    item = {"invoice_item": None, "proration": False, "proration_details": None, "subscription": None}
    return {
        "id": new_id("il_tmp"),
        "object": "line_item",
        "amount": line.amount,
        "currency": price["currency"],
        "description": f"{line.item['quantity']} \u00d7 {account.kinds['product'][price['product']]['name']}",
        "discount_amounts": [{"amount": amount, "discount": discount} for discount, amount in line.taken],
        "discountable": True,
        "discounts": [discount for discount, _ in line.taken][: len(line.item["discounts"])],
        "invoice": invoice_id,
        "livemode": False,
        "metadata": dict(line.item["metadata"]),
        "parent": {
            "type": "subscription_item_details",
            "invoice_item_details": None,
            "subscription_item_details": {**item, "subscription_item": new_id("si")},
        },
        "period": {"start": begin, "end": end},
        "pricing": {
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": line.item["quantity"],
        "subtotal": line.amount,
        "taxes": [],
    }
