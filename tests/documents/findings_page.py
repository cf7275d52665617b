"""The findings catalogue: each finding with its severity, when it is told, an example and the remedy."""

from __future__ import annotations

from orderphase.domain.findings import REMEDIES, severity
from orderphase.domain.policies import Policies
from tests.documents.finding_examples import example, stable

SECTIONS: dict[str, dict[str, str]] = {
    "Order lines": {
        "phase_gap": "no line covers the time between two others",
        "property_conflict": "overlapping orders state different collection methods, days until due or discounts; or "
        "overlapping lines of one price different discounts",
        "quantity_conflict": "overlapping lines of one price have different quantities, under the policy `quantity_conflict: "
        "error`",
        "duplicate_line": "overlapping lines of one price have the same quantity, and count once",
        "negative_quantity": "a quantity is below zero, or a reduction takes more than there is",
        "fractional_quantity": "a quantity is no whole number",
        "zero_quantity": "a line of quantity 0 is ignored",
        "empty_line": "a line ends before or when it starts",
        "missing_price": "a line has no Stripe price, and its product no standard price",
        "discount_conflict": "a discount is both a percentage and an amount",
        "discount_out_of_range": "a discount is one that Stripe does not take",
        "currency_conflict": "orders have different currencies, or another one than the schedule",
        "interval_conflict": "Stripe takes these billing intervals on no subscription together",
        "too_many_items": "a phase has more than 20 items",
        "invalid_property": "a collection method or days until due are none",
        "missing_days_until_due": "invoices are to be sent, and nothing says when they are due",
        "unused_days_until_due": "days until due are stated, and Stripe charges by itself",
    },
    "Prices": {
        "missing_interval": "a price book entry does not say how often it is billed",
        "invalid_interval": "it says what Stripe does not bill",
        "invalid_unit_price": "its price, or that of a line, is missing, below zero, or larger than Stripe takes",
        "term_not_whole": "a line's price is for its whole term, which does not last whole months or days, under "
        "`unit_prices: per_term`",
        "custom_price": "a line sells at another amount than the standard price, and names no Stripe price: an error "
        "under `error`, a warning under `standard`",
        "price_rounded": "a price is finer than Stripe takes in its currency",
        "price_changed": "overlapping lines of different orders sell one product at two prices, unless "
        "`quantity_conflict` is `sum`",
        "price_replaced": "a price book entry has changed, so that it has a new Stripe price",
        "created_first": "the request of `orderphase plan` names what does not exist in Stripe yet",
    },
    "Customers": {
        "missing_account": "an order has no account",
        "missing_account_name": "its account has no name",
        "account_changed": "the account is another one than the schedule bills",
        "account_merged": "the account that the schedule bills was merged into the one of the order",
        "customer_missing": "the customer that the account names does not exist in this Stripe account",
        "customer_replaced": "the account's customer was deleted in Stripe, and has a successor",
        "customer_deleted": "the customer of a schedule was deleted in Stripe",
        "customer_currency": "the customer is billed in another currency, under `customer_per_currency: error`",
        "customer_added": "the account has one more customer, for another currency, under `customer_per_currency: create`",
        "customer_value": "what the account says was cut or left out, because Stripe would refuse it",
        "customer_not_updated": "the customer could not be told what has changed",
    },
    "Time and sequence": {
        "nothing_to_bill": "no line is left",
        "end_in_past": "everything ended before now",
        "start_in_past": "a contract starts before today: a warning under `from_now`, an error under `reject`",
        "change_in_past": "orders change what was sold before today; likewise",
        "catch_up_unknown": "the policy is `catch_up`, and what the past comes to cannot be computed; a warning where it "
        "may be caught up already",
        "starts_later": "a contract that is billed is to start later",
        "amendment_before_start": "a change order starts before what is billed already, or before the oldest order",
        "original_not_activated": "an older order of the contract is not activated, and there is no schedule yet",
        "order_withdrawn": "an order that is billed was taken back to a draft",
        "cancellation_in_past": "a contract is to end on a date that is not in the future",
        "cancellation_after_end": "a contract is to end on a date after its own end",
    },
    "Stripe": {
        "schedule_ended": "the schedule is over, and there is more to bill: an error under `error`, a warning under `recreate`",
        "schedule_edited": "somebody else has changed the schedule: an error under `error`, a warning under `repair`",
        "schedule_adopted": "what bills the contract already is taken over by this run",
        "adopted_differs": "what is taken over bills something else than the orders that it was made of: an error under "
        "`error`, a warning under `repair`",
        "items_dropped": "the schedule has one-time items in phases to come, which an update would drop: an error under "
        "`error`, a warning under `repair`",
        "not_adopted": "which schedule bills the contract already cannot be told: two do, what a field names does not exist, "
        "or the customer is billed for the same price by what names no contract; or it must not be taken over: it bills "
        "another customer than the account's, its subscription has a trial or taxes, or what billed some of the orders was "
        "ended early",
        "schedule_missing": "the schedule that Salesforce names does not exist",
        "billed_elsewhere": "another contract's schedule bills the order, or is named by this contract",
        "stripe_account_unknown": "orders name a Stripe account that this deployment does not have",
        "stripe_account_conflict": "the orders of a contract name different Stripe accounts",
        "stripe_account_changed": "the orders name another Stripe account than the one in which they are billed",
        "idempotency_key_used": "the idempotency key of the event was used for something else before",
    },
}
"""When each finding is told, by its section of the page."""

POLICIES = {
    "start_in_past": "backdating",
    "change_in_past": "backdating",
    "schedule_ended": "on_schedule_ended",
    "schedule_edited": "on_drift",
    "adopted_differs": "on_drift",
    "items_dropped": "on_drift",
    "custom_price": "custom_pricing",
}
"""The policy that decides whether the finding is an error or a warning."""


def index() -> str:
    """The codes by section, each a link."""
    lines = [f"- {heading}: {', '.join(f'[`{code}`](#{code})' for code in codes)}\n" for heading, codes in SECTIONS.items()]
    return "".join(lines)


def catalogue() -> str:
    """Every finding. Raises LookupError for one that the page does not tell, and one that does not exist."""
    told = [code for codes in SECTIONS.values() for code in codes]
    if sorted(told) != sorted(REMEDIES):
        wrong = sorted({*told} ^ {*REMEDIES}) or "one of them twice"
        raise LookupError(f"findings: {wrong}; correct SECTIONS in tests/documents/findings_page.py")
    parts = []
    for heading, codes in SECTIONS.items():
        parts.append(f"## {heading}\n")
        parts += [_entry(code, meaning) for code, meaning in codes.items()]
    return "\n".join(parts)


def _entry(code: str, meaning: str) -> str:
    kind = f"as `{POLICIES[code]}` says" if code in POLICIES else severity(code)
    return f"### {code}\n\n*{kind.capitalize()}*: {meaning}.\n\n> {stable(example(code).message)}\n\n{REMEDIES[code]}\n"


def policies_exist() -> bool:
    """Whether the policies that are named are ones."""
    return {*POLICIES.values()} <= {*Policies.__dataclass_fields__}
