"""Findings: every problem or remark about the data, told at once, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from orderphase.domain.calendar import iso

Severity = Literal["error", "warning"]

REMEDIES = {
    "phase_gap": "Let the next line start where the one before ends, or add a line for the time between.",
    "property_conflict": "State the same value on all of them, or leave it empty where it does not matter.",
    "quantity_conflict": "Correct a quantity or a date, or choose the policy quantity_conflict: sum (change orders carry "
    "the difference) or latest (the newest order counts).",
    "duplicate_line": "Nothing, if it was meant; otherwise end one of the lines, or choose the policy quantity_conflict: sum.",
    "negative_quantity": "Correct the quantity; to take something away, use a reduction order that names the original line.",
    "fractional_quantity": "Stripe bills whole quantities: enter a whole number and put the fraction into the price.",
    "zero_quantity": "Nothing, if it was meant; otherwise enter a quantity.",
    "empty_line": "Correct the dates. The end lies after the start; it is the first day that is no longer billed, "
    "or the last that is, under the policy end_dates: inclusive.",
    "missing_price": "Enter a Stripe price on the order line, or add its product to the standard price book.",
    "discount_conflict": "Keep either the percentage or the amount.",
    "discount_out_of_range": "Enter a percentage above 0 up to 100 with at most two decimals, "
    "or an amount that the currency can express.",
    "currency_conflict": "Put the orders of one currency under one contract each.",
    "interval_conflict": "Bill these prices under separate contracts, or give them intervals "
    "of which the shortest divides the others.",
    "too_many_items": "Stripe takes 20 items at a time: split the contract, or bundle products.",
    "invalid_property": "Enter a value that Stripe knows.",
    "nothing_to_bill": "Add an order line with a quantity, or correct the dates.",
    "end_in_past": "Correct the end dates; what has passed cannot be billed by a subscription any more. "
    "To end one that bills, request a cancellation.",
    "start_in_past": "Nothing, if the time before now is billed elsewhere; "
    "otherwise correct the start, or choose the policy backdating: catch_up.",
    "change_in_past": "Nothing, if the time before now is settled elsewhere; otherwise correct the dates, "
    "or choose the policy backdating: catch_up.",
    "catch_up_unknown": "Bill that time by an invoice of your own and choose the policy backdating: from_now, "
    "or sell at prices of the standard price book with percentages off.",
    "starts_later": "Correct the start; what Stripe bills already cannot wait. To stop it, request a cancellation.",
    "amendment_before_start": "Let the change start with the original order or later, or correct the original order's dates.",
    "original_not_activated": "Activate that order, and the later ones are billed with it; delete it if it is not needed.",
    "order_withdrawn": "Activate it again; to take something away for good, use a reduction order.",
    "price_changed": "Let the earlier line end where the later starts, enter on one of them the Stripe price that is meant, "
    "or choose the policy quantity_conflict: sum, by which both are billed.",
    "cancellation_in_past": "Choose a date to come, or the mode now.",
    "cancellation_after_end": "Choose an earlier date, or let the contract end by itself.",
    "schedule_ended": "To go on, clear the schedule id on the contract and activate an order again, "
    "or choose the policy on_schedule_ended: recreate.",
    "schedule_edited": "Take the change over into Salesforce or take it back in Stripe, "
    "or choose the policy on_drift: repair, by which Salesforce overwrites it.",
    "schedule_adopted": "Nothing: what bills the contract already is gone on with.",
    "adopted_differs": "Correct the orders until they say what is billed, correct the schedule in Stripe, "
    "or choose the policy on_drift: repair, by which what was sold is billed from now on.",
    "items_dropped": "Wait until those phases have begun, or choose the policy on_drift: repair "
    "and bill these items by an invoice of your own.",
    "not_adopted": "Leave one that bills the contract: end the others in Stripe, or clear their ids in Salesforce. "
    "What names no contract: enter its id on the one that it is for, and have that adopted first. "
    "Of another customer: correct the customer's id on the account, or clear the schedule's. "
    "What was ended early: let its orders end with it. A trial or taxes: wait for the trial's end, or bill on in Stripe.",
    "schedule_missing": "Check that this is the contract's Stripe account, then clear the schedule id on it to start anew.",
    "customer_deleted": "Clear the customer id on the account and the schedule id on the contract to start anew.",
    "missing_days_until_due": "Enter the days until due, or let Stripe charge automatically.",
    "unused_days_until_due": "Nothing: days until due only count where the collection method is send_invoice.",
    "missing_account": "Choose an account for the order.",
    "missing_account_name": "Enter the account's name.",
    "missing_interval": "Choose the billing interval on the standard price book entry, "
    "or enter a Stripe price on the order line.",
    "invalid_interval": "Stripe bills every 1 to 36 months, 156 weeks, 1095 days or 3 years: "
    "correct the interval on the price book entry.",
    "invalid_unit_price": "Enter a price of 0 or more that Stripe can express on the standard price book entry.",
    "custom_price": "Enter the id of a Stripe price of that amount on the order line, sell at the standard price, "
    "or choose the policy custom_pricing: create.",
    "price_rounded": "Nothing, if that is close enough; otherwise sell at an amount that Stripe takes in this currency.",
    "price_replaced": "Nothing: what is billed already keeps the earlier price.",
    "term_not_whole": "Correct the dates, enter a Stripe price on the line, or choose the policy unit_prices: per_interval.",
    "customer_replaced": "Nothing, if it was meant that the customer was deleted in Stripe.",
    "customer_added": "Nothing: the policy customer_per_currency: create has it so.",
    "customer_missing": "Correct the customer id on the account; it may belong to another Stripe account, or to another mode.",
    "customer_currency": "Bill one currency after the other, "
    "or choose the policy customer_per_currency: create, by which the account gets one more customer.",
    "customer_not_updated": "Correct the account; the order is billed all the same.",
    "customer_value": "Correct it on the account; Stripe takes the rest.",
    "account_merged": "Nothing: what is billed stays with its customer, who now belongs to the other account.",
    "stripe_account_unknown": "Correct the name of the Stripe account, or add it to MoreStripeAccounts and make its secret.",
    "stripe_account_conflict": "Name the same Stripe account on all orders of the contract.",
    "stripe_account_changed": "Put it back, or end the contract and sell anew under another one.",
    "idempotency_key_used": "Send the event again with another idempotency key, or with none.",
    "created_first": "Nothing: the flow puts their Stripe ids into the request, where Salesforce's stand now.",
    "billed_elsewhere": "Cancel that schedule in Stripe and clear its id on the order; then activate the order again.",
    "account_changed": "Put the order back to its account, or cancel the schedule and clear its id to bill the new one.",
}
"""What to do, by finding code."""

DRIFT = frozenset({"customer_deleted", "schedule_edited", "schedule_ended", "schedule_missing"})
"""What somebody else has changed in Stripe."""

_WARNINGS = frozenset(
    {
        "account_merged",
        "change_in_past",
        "created_first",
        "customer_added",
        "customer_not_updated",
        "customer_replaced",
        "customer_value",
        "duplicate_line",
        "price_replaced",
        "price_rounded",
        "schedule_adopted",
        "start_in_past",
        "unused_days_until_due",
        "zero_quantity",
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem or remark. `lines` and `orders` are Salesforce ids; `start` and `end` bound its interval, if any."""

    code: str
    severity: Severity
    message: str
    lines: tuple[str, ...]
    orders: tuple[str, ...]
    start: datetime | None
    end: datetime | None
    remedy: str

    def as_dict(self) -> dict[str, Any]:
        """The finding as JSON, in the shape that `orderphase consolidate` answers."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "lines": list(self.lines),
            "orders": list(self.orders),
            "start": iso(self.start),
            "end": iso(self.end),
            "remedy": self.remedy,
        }


def finding(
    code: str,
    message: str,
    *,
    lines: Iterable[str] = (),
    orders: Iterable[str] = (),
    start: datetime | None = None,
    end: datetime | None = None,
) -> Finding:
    """Make a finding; severity and remedy belong to its code."""
    return Finding(
        code, severity(code), message, tuple(dict.fromkeys(lines)), tuple(dict.fromkeys(orders)), start, end, REMEDIES[code]
    )


def severity(code: str) -> Severity:
    """What a finding of this code is, unless a policy decides."""
    return "warning" if code in _WARNINGS else "error"


def sentence(text: str) -> str:
    """Begin a message with a capital."""
    return text[:1].upper() + text[1:]


def as_policy_says(one: Finding, *, refuse: bool) -> Finding:
    """The finding as an error or as a warning, where a policy decides which it is."""
    return replace(one, severity="error" if refuse else "warning")


def has_errors(findings: Iterable[Finding]) -> bool:
    """Whether nothing may be sent to Stripe because of these findings."""
    return any(one.severity == "error" for one in findings)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort for reading: errors first, then by time and code. The same findings always come in the same order."""
    return tuple(
        sorted(
            findings,
            key=lambda one: (one.severity, one.start.timestamp() if one.start else 0.0, one.code, one.lines, one.message),
        )
    )


def as_text(findings: Sequence[Finding], *, limit: int) -> str:
    """Write findings for a Salesforce text field of `limit` characters: a paragraph each, and how many did not fit."""
    paragraphs = [f"{number}. {one.message} {one.remedy}" for number, one in enumerate(findings, 1)]
    if len(text := "\n".join(paragraphs)) <= limit:
        return text
    # Room for the tail, even where it has to count them all.
    room = limit - len(_more(len(paragraphs)))
    kept: list[str] = []
    for paragraph in paragraphs:
        if len(paragraph) + 1 > room:
            break
        kept.append(paragraph)
        room -= len(paragraph) + 1
    if not kept:
        kept = [paragraphs[0][: max(room - 2, 0)] + "…"]
    left = len(paragraphs) - len(kept)
    return "\n".join([*kept, _more(left)] if left else kept)


def _more(count: int) -> str:
    return f"… and {count} more: see the sync log."
