"""One-time items: what a phase says of them, and what a subscription is given when it enters the phase.

Stripe: the `add_invoice_items` of a phase are on the next invoice of that phase. There are no invoices here, so what is given
is recorded, and it counts as waiting until the next one would be made.
"""

from __future__ import annotations

from collections.abc import Collection

from sandbox.stripe_emulator import catalogue
from sandbox.stripe_emulator.account import Account, InvoiceItem, Moment
from sandbox.stripe_emulator.errors import Json, StripeError

# The billing periods [start, end) of a subscription's items, in Unix seconds.
Cycles = Collection[tuple[int, int]]


def to_object(moment: Moment, item: Json) -> Json:
    """One entry of `add_invoice_items` as an object. A price made of `price_data` is in it whole until `keep_prices`."""
    period = item.get("period", {})
    return {
        "discountable": item.get("discountable"),
        "discounts": [],
        "metadata": item.get("metadata", {}),
        "period": {
            "end": period.get("end", {"type": "min_item_period_end"}),
            "start": period.get("start", {"type": "max_item_period_start"}),
        },
        "price": item["price"] if "price" in item else catalogue.inline_price(moment, item["price_data"]),
        "quantity": item.get("quantity", 1),
        "tax_rates": [],
    }


def keep_prices(moment: Moment, phases: list[Json]) -> None:
    """Keep the prices that phase objects have made; from here on they are named by their ids."""
    for phase in phases:
        for item in phase["add_invoice_items"]:
            if isinstance(item["price"], dict):
                item["price"] = catalogue.keep_inline_price(moment, item["price"])


def check_period(item: Json, start: int, end: int, path: str) -> None:
    """Refuse an item object whose period ends before it starts, where the phase alone, from `start` to `end`, tells.

    Stripe: the end is not before the start. The wording is not known.
    """
    known = {"phase_start": start, "phase_end": end}
    begin, finish = (bound.get("timestamp", known.get(bound["type"])) for bound in _bounds(item))
    if begin is not None and finish is not None and finish < begin:
        raise StripeError("The end of the period must not be before its start.", param=f"{path}[period][end]")


def same(account: Account, held: list[Json], others: list[Json]) -> bool:
    """Whether the one-time items of two phase objects are the same; inline prices are, if they say the same."""
    return [_terms(account, item) for item in held] == [_terms(account, item) for item in others]


def price_of(account: Account, item: Json) -> Json:
    """The price of an item object, kept or not."""
    price: Json = item["price"] if isinstance(item["price"], dict) else account.kinds["price"][item["price"]]
    return price


def given(account: Account, subscription_id: str, phase: Json, cycles: Cycles) -> list[InvoiceItem]:
    """What a subscription is given with a phase object, while its items have these billing periods."""
    found = []
    for item in phase["add_invoice_items"]:
        price = price_of(account, item)
        known = {
            "phase_start": phase["start_date"],
            "phase_end": phase["end_date"],
            "max_item_period_start": max(begin for begin, _ in cycles),
            "min_item_period_end": min(end for _, end in cycles),
        }
        begin, finish = (bound["timestamp"] if "timestamp" in bound else known[bound["type"]] for bound in _bounds(item))
        found.append(
            InvoiceItem(
                subscription=subscription_id,
                phase_start=phase["start_date"],
                price=price["id"],
                quantity=item["quantity"],
                amount=catalogue.amount_of(price, item["quantity"]),
                currency=price["currency"],
                period_start=begin,
                period_end=finish,
                # Stripe: true if it is not sent.
                discountable=item["discountable"] is not False,
                metadata=dict(item["metadata"]),
            )
        )
    return found


def waiting(account: Account, subscription_id: str) -> list[InvoiceItem]:
    """What a subscription was given since its last invoice."""
    since = account.invoiced.get(subscription_id, 0)
    return [item for item in account.invoice_items[since:] if item.subscription == subscription_id]


def invoiced(account: Account, subscription_id: str) -> None:
    """Note that an invoice would be made now: nothing waits any more."""
    account.invoiced[subscription_id] = len(account.invoice_items)
    account.prorated.discard(subscription_id)


def _bounds(item: Json) -> tuple[Json, Json]:
    return item["period"]["start"], item["period"]["end"]


def _terms(account: Account, item: Json) -> Json:
    price = price_of(account, item)
    inline = isinstance(item["price"], dict) or price["id"] in account.inline_prices
    said = [price[name] for name in ("product", "currency", "unit_amount_decimal")] if inline else price["id"]
    return {**item, "price": said}
