"""The exact requests for Stripe: what a planned phase, its coupons and its one-time items become."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from orderphase.domain.backdating import CatchUp
from orderphase.domain.calendar import iso
from orderphase.domain.lines import Discount, Order
from orderphase.domain.money import major_units, plain, price_text, whole_minor_units
from orderphase.domain.phases import Phase, PhaseItem, Place, discount_as_dict
from orderphase.domain.policies import Policies
from orderphase.domain.schedules import DEFAULT_COLLECTION, SEND_INVOICE, HeldDiscount

METADATA_LENGTH = 500
"""Stripe: a metadata value has at most 500 characters."""

_COUPON = re.compile(r"orderphase_(?:(?P<percent>\d+(?:p\d+)?)pct|(?P<minor>\d+)(?P<currency>[a-z]{3}))_[0-9a-f]{24}")


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon for one place: a phase, or one price in a phase. Amounts are in `currency`."""

    id: str
    discount: Discount
    currency: str

    def params(self, metadata: Mapping[str, str]) -> dict[str, Any]:
        """The request that creates it. It lasts as long as its phase: with the next one, Stripe removes a phase's discounts."""
        params: dict[str, Any] = {"id": self.id, "duration": "forever", "max_redemptions": 1, "metadata": dict(metadata)}
        if self.discount.percent_off is not None:
            return params | {
                "percent_off": float(self.discount.percent_off),
                "name": f"{plain(self.discount.percent_off)}% off",
            }
        amount = self.discount.amount_off
        assert amount is not None  # noqa: S101 (a discount has one of the two)
        name = f"{price_text(amount, self.currency)} {self.currency} off"
        return params | {
            "amount_off": whole_minor_units(amount, self.currency),
            "currency": self.currency.lower(),
            "name": name,
        }


def coupon_value(coupon_id: str) -> Discount | None:
    """What a coupon of ours takes off, which its id says; None of any other."""
    match = _COUPON.fullmatch(coupon_id)
    if match is None:
        return None
    if match["percent"] is not None:
        return Discount(percent_off=Decimal(match["percent"].replace("p", ".")))
    return Discount(amount_off=major_units(int(match["minor"]), match["currency"]))


@dataclass(frozen=True, slots=True)
class SentPhase:
    """A phase as it is sent. Its discounts are either kept from what is there, or new coupons.

    starts_now, ends_now: Stripe takes the moment of the request, so that its clock decides.
    """

    phase: Phase
    starts_now: bool = False
    ends_now: bool = False
    kept: Mapping[Place, Sequence[HeldDiscount]] = field(default_factory=dict)
    catch_up: Sequence[CatchUp] = ()

    def new_discounts(self) -> Iterator[tuple[Place, Discount]]:
        """Each place whose discount needs a new coupon."""
        return ((place, discount) for place, discount in self.phase.discounts() if place not in self.kept)


@dataclass(frozen=True, slots=True)
class Terms:
    """What is the same for all phases of a request.

    products: the Stripe product of each price that is caught up. lines, phases: what the company wants an item and a phase to
    carry, by the id of an order line that they come from.
    """

    now: datetime
    currency: str
    policies: Policies
    metadata: Mapping[str, str]
    products: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    phases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


ORG_ID = "salesforce_org_id"
"""The key of the org in the metadata that everything of ours carries."""


def identity(contract_id: str, *, has_contract: bool, org_id: str | None) -> dict[str, str]:
    """The metadata by which the schedule of a contract is recognised; the id is the order's where it has no contract."""
    kind = "contract" if has_contract else "order"
    return {**({ORG_ID: org_id} if org_id else {}), f"salesforce_{kind}_id": contract_id}


def metadata_of(
    orders: Iterable[Order], contract_id: str, *, has_contract: bool, org_id: str | None, account_id: str | None = None
) -> dict[str, str]:
    """What the Stripe objects of a contract carry, as far as it is known."""
    first = min(orders, key=lambda order: order.age, default=None)
    return {
        **({"salesforce_order_id": first.id} if first else {}),
        **({"salesforce_account_id": account_id} if account_id else {}),
        **identity(contract_id, has_contract=has_contract, org_id=org_id),
    }


def coupons(phases: Iterable[SentPhase], key: str, currency: str) -> dict[tuple[int, Place], Coupon]:
    """One coupon for each place where a new discount is used, by (number of the phase, place).

    An id is made of `key`, the place and the discount: the same intent names the same coupons whenever it is planned. So the
    place is not the phase's number, which falls as phases pass, nor its start, but its end. It also says what it takes off, so
    that an answer of Stripe's that names it tells its value.
    """
    made: dict[tuple[int, Place], Coupon] = {}
    for number, sent in enumerate(phases):
        for place, discount in sent.new_discounts():
            parts = (key, iso(sent.phase.end), place, discount_as_dict(discount, currency), currency)
            digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
            if discount.percent_off is not None:
                value = f"{plain(discount.percent_off).replace('.', 'p')}pct"
            else:
                value = f"{whole_minor_units(discount.amount_off or Decimal(0), currency)}{currency.lower()}"
            made[number, place] = Coupon(f"orderphase_{value}_{digest[:24]}", discount, currency)
    return made


def phase_params(number: int, sent: SentPhase, made: Mapping[tuple[int, Place], Coupon], terms: Terms) -> dict[str, Any]:
    """One phase of a request, without its start.

    An open phase is said to last whole years from its start, to an end after now. Stripe has no open phase: `end_behavior`
    release lets its subscription go on.
    """
    phase, settings = sent.phase, sent.phase.settings
    params: dict[str, Any] = {
        "items": [_item(item, _discounts(number, item.price, sent, made), terms) for item in phase.items],
        "currency": terms.currency.lower(),
        "proration_behavior": terms.policies.proration_behavior,
        "billing_cycle_anchor": terms.policies.billing_cycle_anchor,
        # Stripe: left out, the phase would inherit a discount of the customer.
        "discounts": _discounts(number, None, sent, made) or "",
        # The schedule's own keys are ours, with which none of a phase can collide, and the company's, which the phase precedes.
        "metadata": {**terms.metadata, **_collected(terms.phases, [line for item in phase.items for line in item.lines])},
    }
    if sent.catch_up:
        params["add_invoice_items"] = [_one_time_item(item, terms) for item in sent.catch_up]
    # Said also where no order does: the default of a schedule that was made from a subscription is another one.
    params["collection_method"] = settings.collection_method or DEFAULT_COLLECTION
    if settings.collection_method == SEND_INVOICE:
        params["invoice_settings"] = {"days_until_due": settings.days_until_due}
    if sent.ends_now:
        return params | {"end_date": "now"}
    if phase.end is None:
        # Stripe: the end of the current phase is in the future.
        years = max(terms.now.year - phase.start.year, 0) + 1
        return params | {"duration": {"interval": "year", "interval_count": years}}
    return params | {"end_date": int(phase.end.timestamp())}


def joined(ids: Sequence[str]) -> str:
    """Write ids as one metadata value, separated by commas; of too many, the first, and how many more there are."""
    text = ",".join(ids)
    if len(text) <= METADATA_LENGTH:
        return text
    tail = f",+{len(ids)}"
    kept = text[: METADATA_LENGTH - len(tail)].rsplit(",", 1)[0]
    return f"{kept},+{len(ids) - kept.count(',') - 1}"


def _discounts(number: int, place: Place, sent: SentPhase, made: Mapping[tuple[int, Place], Coupon]) -> list[dict[str, str]]:
    if place in sent.kept:
        return [held.reference for held in sent.kept[place] if held.reference]
    coupon = made.get((number, place))
    return [{"coupon": coupon.id}] if coupon else []


def _collected(values: Mapping[str, Mapping[str, str]], lines: Iterable[str]) -> dict[str, str]:
    """The metadata of several records as one: different values of a key one after the other."""
    found: dict[str, dict[str, None]] = {}
    for line in lines:
        for key, value in values.get(line, {}).items():
            found.setdefault(key, {})[value] = None
    return {key: ", ".join(different)[:METADATA_LENGTH] for key, different in found.items()}


def _item(item: PhaseItem, discounts: list[dict[str, str]], terms: Terms) -> dict[str, Any]:
    params: dict[str, Any] = {"price": item.price, "quantity": item.quantity}
    if item.lines:
        params["metadata"] = {**_collected(terms.lines, item.lines), "salesforce_order_item_ids": joined(item.lines)}
    return params | {"discounts": discounts} if discounts else params


def _one_time_item(item: CatchUp, terms: Terms) -> dict[str, Any]:
    """Stripe: a price of its own that is used once. What is off has been taken off already, so no discount counts again."""
    return {
        "price_data": {
            "currency": terms.currency.lower(),
            "product": terms.products[item.price],
            "unit_amount": item.amount,
        },
        "quantity": 1,
        "discountable": False,
        "period": {
            "start": {"type": "timestamp", "timestamp": int(item.start.timestamp())},
            "end": {"type": "timestamp", "timestamp": int(item.end.timestamp())},
        },
    }
