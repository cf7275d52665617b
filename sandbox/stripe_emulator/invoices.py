"""The invoice that a preview shows: its lines, and what discounts take off them."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from sandbox.stripe_emulator.account import Account, new_id
from sandbox.stripe_emulator.catalogue import rounded
from sandbox.stripe_emulator.errors import Json


@dataclass(slots=True)
class Line:
    """What is billed of one price, in minor units.

    period: start and end in Unix seconds. item: the subscription item's id, None for a one-time item.
    own: the ids of the discounts that are the line's alone. taken: what each discount takes off, in the order of application.
    """

    price: Json
    quantity: int
    amount: int
    period: tuple[int, int]
    item: str | None = None
    metadata: Json = field(default_factory=dict)
    discountable: bool = True
    own: list[str] = field(default_factory=list)
    taken: list[tuple[str, int]] = field(default_factory=list)

    @property
    def left(self) -> int:
        """The amount less the discounts."""
        return self.amount - sum(amount for _, amount in self.taken)


def take_off(coupon: Json, discount: str, lines: list[Line]) -> None:
    """Take a coupon off what is left of the lines. Stripe: an amount off is spread over them in proportion."""
    total, passed, spread = sum(line.left for line in lines), 0, 0
    for line in lines:
        if coupon["percent_off"] is not None:
            off = rounded(line.left * Decimal(str(coupon["percent_off"])) / 100)
        else:
            # What has been spread up to a line is rounded, so that all of it adds up.
            passed += line.left
            upto = rounded(Decimal(min(coupon["amount_off"], total)) * passed / total) if total else 0
            off, spread = upto - spread, upto
        line.taken.append((discount, off))


def invoice(account: Account, lines: list[Line], subscription: str | None, said: Json) -> Json:
    """An upcoming invoice as an object; `said` are the fields that neither follow from the lines nor are always the same.

    Nothing is due of a total below zero; that it becomes a credit to the customer's balance is not shown.
    """
    subtotal, total, invoice_id = sum(line.amount for line in lines), sum(line.left for line in lines), new_id("upcoming_in")
    shown = [_line_object(account, line, invoice_id, subscription) for line in lines]
    details: Json = {"metadata": {}, "subscription": subscription}
    parent = {"quote_details": None, "subscription_details": details, "type": "subscription_details"}
    return {
        "id": invoice_id,
        "object": "invoice",
        "amount_due": max(total, 0),
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": max(total, 0),
        "amount_shipping": 0,
        "attempt_count": 0,
        "attempted": False,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None},
        "billing_reason": "upcoming",
        "default_tax_rates": [],
        "lines": {"object": "list", "data": shown, "has_more": False, "total_count": len(shown), "url": ""},
        "livemode": False,
        "metadata": {},
        "parent": parent if subscription else None,
        "starting_balance": 0,
        "status": "draft",
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "total": total,
        "total_discount_amounts": _totals(lines),
        "total_excluding_tax": total,
        "total_taxes": [],
        **said,
    }


def _totals(lines: list[Line]) -> list[Json]:
    amounts: dict[str, int] = {}
    for line in lines:
        for discount, amount in line.taken:
            amounts[discount] = amounts.get(discount, 0) + amount
    return [{"amount": amount, "discount": discount} for discount, amount in amounts.items()]


def _line_object(account: Account, line: Line, invoice_id: str, subscription: str | None) -> Json:
    name = account.kinds["product"][line.price["product"]]["name"]
    begin, end = line.period
    return {
        "id": new_id("il_tmp"),
        "object": "line_item",
        "amount": line.amount,
        "currency": line.price["currency"],
        "description": name if line.item is None else f"{line.quantity} \u00d7 {name}",
        "discount_amounts": [{"amount": amount, "discount": discount} for discount, amount in line.taken],
        "discountable": line.discountable,
        "discounts": line.own,
        "invoice": invoice_id,
        "livemode": False,
        "metadata": dict(line.metadata),
        "parent": _parent(line, subscription),
        "period": {"start": begin, "end": end},
        "pricing": {
            "type": "price_details",
            "price_details": {"price": line.price["id"], "product": line.price["product"]},
            "unit_amount_decimal": line.price["unit_amount_decimal"],
        },
        "quantity": line.quantity,
        "subtotal": line.amount,
        "taxes": [],
    }


def _parent(line: Line, subscription: str | None) -> Json:
    """What a line has come from: an item of the subscription, or a one-time item that was given to it."""
    details: Json = {"proration": False, "proration_details": None, "subscription": subscription}
    if line.item is None:
        one_time = {**details, "invoice_item": new_id("ii")}
        return {"type": "invoice_item_details", "invoice_item_details": one_time, "subscription_item_details": None}
    recurring = {**details, "invoice_item": None, "subscription_item": line.item}
    return {"type": "subscription_item_details", "invoice_item_details": None, "subscription_item_details": recurring}
