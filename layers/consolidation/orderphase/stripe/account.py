"""What Orderphase does in a Stripe account: find or create products, prices and coupons; keep schedules.

Whatever is created is created once. Products, prices and coupons have a natural key of their own (id, lookup key). Schedules
have none, so they carry Salesforce's ids in their metadata and are looked for by these where they may exist already.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import batched, chain
from typing import Any, cast

import stripe

from orderphase.domain.catalogue import BillingInterval, PriceBookEntry, Product
from orderphase.domain.listing import sent_name
from orderphase.domain.money import exponent, plain, unit_amount
from orderphase.domain.requests import ORG_ID, Coupon
from orderphase.domain.schedules import HeldSchedule
from orderphase.errors import DataError, UnknownOutcomeError
from orderphase.ids import complete_id
from orderphase.stripe.client import MISSING, REPLAYED_FAILURE, REPLAYED_REFUSAL, StripeConnection, fresh_key
from orderphase.stripe.schedules import ENDED, EXPANDED, EXPANDED_SUBSCRIPTION, LIVE, read_schedule, read_subscription

_LOOKUP_KEYS = 10
"""Stripe: a list of prices takes ten lookup keys."""

_EXISTS = "resource_already_exists"
_SIDE_BY_SIDE = 8
"""So many requests are under way at once; Stripe: an endpoint takes 25 a second."""

_LET_GO = ("released", "completed")


@dataclass(frozen=True, slots=True)
class Schedule:
    """A subscription schedule as far as Salesforce is told of it; no subscription before the first phase has begun."""

    id: str
    subscription_id: str | None


@dataclass(frozen=True, slots=True)
class Marked:
    """What of a customer's schedules and subscriptions names a contract, and what bills the same prices and names none."""

    own: tuple[str, ...]
    alike: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """What makes a write happen once: our own key, or the one that whoever asked for it has given, which precedes it."""

    own: str
    given: str | None = None


class StripeAccount:
    """One Stripe account, for the records of one Salesforce org."""

    def __init__(self, connection: StripeConnection) -> None:
        self._connection = connection
        self._api = connection.api

    def ensure_product(self, product: Product, *, org_id: str) -> str:
        """Get or create the Stripe product of a Product2; its id is made of Salesforce's."""
        return self.make_product(product, org_id=org_id)[0]

    def make_product(self, product: Product, *, org_id: str) -> tuple[str, bool]:
        """The same, and whether it was made now; one that exists may say something else than the Product2."""
        params: dict[str, Any] = {
            "id": f"orderphase_{org_id}_{product.id}",
            "name": sent_name(product.name),
            "metadata": {**product.metadata, ORG_ID: org_id, "salesforce_product_id": product.id},
        }
        if product.description:
            params["description"] = product.description
        create = self._api.products.create
        try:
            return self._connection.call(create, cast("Any", params), {"idempotency_key": fresh_key("product")}).id, True
        except DataError as problem:
            if problem.code != _EXISTS:
                raise
            return str(params["id"]), False

    def find_prices(self, entries: Iterable[PriceBookEntry], *, org_id: str) -> dict[str, stripe.Price]:
        """The prices that were made of these price book entries last, by the entry's id; also archived ones.

        Stripe: an archived price still holds its lookup key.
        """
        by_key = {lookup_key(entry, org_id=org_id): entry.id for entry in entries}
        found: dict[str, stripe.Price] = {}
        for keys in batched(by_key, _LOOKUP_KEYS, strict=False):
            page = self._connection.call(self._api.prices.list, {"lookup_keys": list(keys), "limit": _LOOKUP_KEYS})
            found |= {by_key[price.lookup_key]: price for price in page.data if price.lookup_key}
        return found

    def price(self, price_id: str) -> stripe.Price | None:
        """A price, or None where there is none of this id."""
        found: stripe.Price | None = self._connection.find(self._api.prices.retrieve, price_id)
        return found

    def create_price(
        self, entry: PriceBookEntry, product_id: str, *, currency: str, org_id: str, after: str | None = None
    ) -> str:
        """Create the price of a price book entry. It takes over the entry's lookup key from the price `after`, if there is one.

        The same again makes no second one: the key says what the price is and which one it follows.
        """
        params = price_params(entry, product_id, currency=currency, org_id=org_id)
        content = hashlib.sha256(json.dumps([params, after], sort_keys=True, default=str).encode()).hexdigest()[:16]
        key = f"price:{org_id}:{entry.id}:{content}"
        return self._connection.create(self._api.prices.create, cast("Any", params), key, looked=True).id

    def ensure_coupons(self, coupons: Iterable[Coupon], metadata: Mapping[str, str]) -> None:
        """Create coupons, side by side, unless an earlier attempt already has."""
        side_by_side(lambda coupon: self._ensure_coupon(coupon, metadata), coupons)

    def _ensure_coupon(self, coupon: Coupon, metadata: Mapping[str, str]) -> None:
        try:
            params = cast("Any", coupon.params(metadata))
            self._connection.call(self._api.coupons.create, params, {"idempotency_key": fresh_key("coupon")})
        except DataError as problem:
            if problem.code != _EXISTS:
                raise

    def create_schedule(self, params: Mapping[str, Any], *, key: Key, looked: bool = False) -> Schedule:
        """Create a subscription schedule. The same `key` never makes a second one within Stripe's 24 hours.

        looked: there is none from an earlier attempt, so a key that was used up with an unknown outcome may be passed over.
        """
        return self._write(self._api.subscription_schedules.create, params, key, looked=looked)

    def update_schedule(self, schedule_id: str, params: Mapping[str, Any], *, key: Key) -> Schedule:
        """Change a subscription schedule, once under the same `key`.

        The caller has read the schedule before and found it unchanged, so a key that was used up may be passed over.
        """
        return self._write(partial(self._api.subscription_schedules.update, schedule_id), params, key, looked=True)

    def cancel_schedule(self, schedule_id: str, params: Mapping[str, Any], *, key: Key) -> Schedule:
        """Cancel a subscription schedule with its subscription. Raises DataError also where it is over already."""
        return self._write(partial(self._api.subscription_schedules.cancel, schedule_id), params, key, looked=True)

    def _write(self, request: Callable[..., Any], params: Mapping[str, Any], key: Key, *, looked: bool) -> Schedule:
        if key.given is not None:
            try:
                return _schedule(self._connection.create_exactly(request, dict(params), key.given))
            except (DataError, UnknownOutcomeError) as problem:
                # What Stripe has stored under the key is no answer to this attempt; what may exist, the caller has looked for.
                if problem.code != REPLAYED_REFUSAL and not (looked and problem.code == REPLAYED_FAILURE):
                    raise
        return _schedule(self._connection.create(request, dict(params), key.own, looked=looked))

    def read_schedule(self, schedule_id: str) -> HeldSchedule | None:
        """A schedule as it is now, or None where there is none of this id: one request.

        One more, where it has let its subscription go, to see whether that goes on. Where another schedule has taken it over,
        that one is answered.
        """
        shown = self._connection.show("subscription_schedules", schedule_id, {"expand": list(EXPANDED)})
        if shown is None:
            return None
        held = read_schedule(shown)
        if held.live or not held.subscription_lives or held.subscription_id is None:
            return held
        subscription = self._connection.call(self._api.subscriptions.retrieve, held.subscription_id)
        successor = subscription.schedule if isinstance(subscription.schedule, str) or subscription.schedule is None else None
        if successor not in (None, schedule_id) and subscription.status not in ENDED:
            return self.read_schedule(str(successor))
        name = "subscription" if shown["subscription"] else "released_subscription"
        return read_schedule({**shown, name: subscription.to_dict()})

    def find_schedule(self, identity: Mapping[str, str], *, customer: str) -> Schedule | None:
        """Look for a schedule of a customer that carries this metadata and bills. Stripe: lists are consistent at once."""
        try:
            for schedule in self._connection.each(self._api.subscription_schedules.list, {"customer": customer}):
                if identity.items() <= _metadata(schedule).items() and self._bills(schedule):
                    return _schedule(schedule)
        except DataError as problem:
            if problem.code != MISSING:  # a customer that is gone has no schedules
                raise
        return None

    def read_subscription(self, subscription_id: str) -> HeldSchedule | None:
        """What bills a subscription: its schedule, else the subscription itself. None where there is none of this id."""
        shown = self._connection.show("subscriptions", subscription_id, {"expand": list(EXPANDED_SUBSCRIPTION)})
        if shown is None:
            return None
        if isinstance(shown.get("schedule"), str):
            return self.read_schedule(shown["schedule"])
        return read_subscription(shown)

    def find_marked(
        self, marks: Mapping[str, Collection[str]], prices: Collection[str], *, org_id: str, customer: str
    ) -> Marked:
        """A customer's schedules, and its subscriptions without one, by their metadata: a request for each hundred of either.

        marks: by key, the values of which one is looked for. prices: what those that name nobody are told by, if they bill.
        """
        own, alike = [], []
        try:
            for one in chain(
                self._connection.each(self._api.subscription_schedules.list, {"customer": customer}),
                self._connection.each(self._api.subscriptions.list, {"customer": customer, "status": "all"}),
            ):
                told, theirs = _metadata(one), getattr(one, "schedule", None)
                if theirs is not None or complete_id(told.get(ORG_ID, org_id)) != org_id:
                    continue
                if any(complete_id(told.get(name, "")) in values for name, values in marks.items()):
                    own.append(one.id)
                elif not (marks.keys() | {ORG_ID}) & told.keys() and _prices(one) & set(prices) and _runs(one):
                    alike.append(one.id)
        except DataError as problem:
            if problem.code != MISSING:  # as above
                raise
        return Marked(tuple(own), tuple(alike))

    def product_of(self, price_id: str) -> str:
        """The id of the product that a price is of."""
        return product_of(self._connection.call(self._api.prices.retrieve, price_id))

    def preview_invoice(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The next invoice as Stripe computes it; nothing is kept. Raises DataError with Stripe's reason where it has none."""
        preview = self._connection.call(self._api.invoices.create_preview, cast("Any", dict(params)))
        return dict(preview.to_dict())

    def bills(self, schedule_id: str, line_ids: Iterable[str], *, beside: str | None = None) -> bool:
        """Whether this schedule still bills one of these order lines: now or in a phase to come.

        beside: a subscription that does not count, because another schedule has taken it over.
        """
        schedule = self._connection.find(self._api.subscription_schedules.retrieve, schedule_id)
        if schedule is None or (beside is not None and _schedule(schedule).subscription_id == beside):
            return False
        named = set(line_ids)
        since = schedule.current_phase.start_date if schedule.current_phase else 0
        # What has let its subscription go bills on with its last phase.
        live = schedule.status in LIVE
        left = [phase for phase in schedule.phases if phase.start_date >= since] if live else schedule.phases[-1:]
        texts = [_metadata(item).get("salesforce_order_item_ids", "") for phase in left for item in phase.items]
        return any(named & set(text.split(",")) for text in texts) and self._bills(schedule)

    def _bills(self, schedule: stripe.SubscriptionSchedule) -> bool:
        """Whether a schedule or what it has left behind bills. Stripe: a released one lets its subscription go on by itself."""
        if schedule.status in LIVE:
            return True
        subscription = _schedule(schedule).subscription_id
        if schedule.status not in _LET_GO or subscription is None:
            return False
        return self._connection.call(self._api.subscriptions.retrieve, subscription).status not in ENDED


def side_by_side[Item, Result](work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Do the same for several items at once; answers what came of each, in order. Raises what the first to fail raises."""
    items = list(items)
    if len(items) <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return list(pool.map(work, items))


def lookup_key(entry: PriceBookEntry, *, org_id: str) -> str:
    """What the price of a price book entry is found by. That of a custom one says what it is, and so never moves."""
    return f"{'orderphase' if entry.custom else 'salesforce'}_{org_id}_{entry.id}"


def price_params(entry: PriceBookEntry, product_id: str, *, currency: str, org_id: str) -> dict[str, Any]:
    """The request that creates the price of a price book entry."""
    interval, unit_price = _priced(entry)
    made_of = {"salesforce_product_id": entry.product.id} if entry.custom else {"salesforce_pricebook_entry_id": entry.id}
    return {
        "product": product_id,
        "currency": currency.lower(),
        "unit_amount_decimal": _WireDecimal(plain(unit_amount(unit_price, currency))),
        "recurring": {"interval": interval.unit, "interval_count": interval.count},
        "lookup_key": lookup_key(entry, org_id=org_id),
        "transfer_lookup_key": True,
        "metadata": {**entry.metadata, ORG_ID: org_id, **made_of},
    }


def is_price_of(price: stripe.Price, entry: PriceBookEntry, *, currency: str) -> bool:
    """Whether a price can bill what the entry says, for the product that Salesforce names, if it names one."""
    interval, unit_price = _priced(entry)
    return (
        price.active
        and entry.product.product_id in (None, product_of(price))
        and price.currency == currency.lower()
        and price.unit_amount_decimal is not None
        and Decimal(price.unit_amount_decimal) == unit_amount(unit_price, currency)
        and price.recurring is not None
        and (price.recurring.interval, price.recurring.interval_count) == (interval.unit, interval.count)
    )


def cost_of(price: stripe.Price) -> tuple[Decimal, BillingInterval] | None:
    """What one unit of a price costs, in major units, and how often; None of one that is tiered, metered or billed once."""
    recurring = price.recurring
    if price.unit_amount_decimal is None or recurring is None or recurring.usage_type != "licensed":
        return None
    amount = Decimal(price.unit_amount_decimal).scaleb(-exponent(price.currency))
    return amount, BillingInterval(cast("Any", recurring.interval), recurring.interval_count)


def product_of(price: stripe.Price) -> str:
    """The id of a price's product."""
    return price.product if isinstance(price.product, str) else price.product.id


def _priced(entry: PriceBookEntry) -> tuple[BillingInterval, Decimal]:
    if entry.interval is None or entry.unit_price is None:
        raise ValueError(f"price book entry {entry.id} cannot be billed; consolidation has a finding for it")
    return entry.interval, entry.unit_price


class _WireDecimal(Decimal):
    """A number that is never written with an exponent. Stripe reads none, and the client sends what `str` says."""

    def __str__(self) -> str:
        return format(self, "f")


def _metadata(found: Any) -> dict[str, str]:
    return found.metadata.to_dict() if found.metadata else {}


def _runs(found: Any) -> bool:
    """Whether a schedule is live, or a subscription has not ended."""
    return found.status in LIVE if found.object == "subscription_schedule" else found.status not in ENDED


def _prices(found: Any) -> set[str]:
    """The prices of a schedule's phases, or of a subscription."""
    schedule = found.object == "subscription_schedule"
    items = [item for phase in found.phases for item in phase["items"]] if schedule else found["items"].data
    return {item.price if isinstance(item.price, str) else item.price.id for item in items}


def _schedule(schedule: stripe.SubscriptionSchedule) -> Schedule:
    """Its subscription, also the one that a released schedule has let go."""
    subscription = schedule.subscription or schedule.released_subscription
    return Schedule(schedule.id, subscription if isinstance(subscription, str) or subscription is None else subscription.id)
