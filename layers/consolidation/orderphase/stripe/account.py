"""What Orderphase does in a Stripe account: find or create customers, products, prices and coupons; keep schedules.

Whatever is created is created once. Products, prices and coupons have a natural key of their own (id, lookup key); customers
and schedules have none, so they carry Salesforce's ids in their metadata and are looked for by these where it is not known
whether they exist.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import batched
from typing import Any, cast

import stripe

from orderphase.domain.account import Account, Address
from orderphase.domain.catalogue import BillingInterval, PriceBookEntry, Product
from orderphase.domain.money import minor_units, plain
from orderphase.domain.requests import Coupon
from orderphase.domain.schedules import HeldSchedule
from orderphase.errors import ConflictError, DataError, UnknownOutcomeError
from orderphase.stripe.client import REPLAYED_FAILURE, REUSED_KEY, StripeConnection
from orderphase.stripe.schedules import ENDED, EXPANDED, read_schedule

_LOOKUP_KEYS = 10
"""Stripe: a list of prices takes ten lookup keys."""

_PAGE = 100
"""Stripe: a page of a list has a hundred objects at most."""

_KEY_LIFETIME = 24 * 60 * 60
"""Seconds. Stripe: an idempotency key is kept for 24 hours at least."""

_EXISTS = "resource_already_exists"
_SIDE_BY_SIDE = 8
"""So many requests are under way at once; Stripe: an endpoint takes 25 a second."""

_MISSING = "resource_missing"
_LIVE = ("not_started", "active")
_LET_GO = ("released", "completed")
_NAME, _DESCRIPTION, _PHONE = 256, 5000, 20
"""Stripe: the longest name, description and phone number of a customer."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A subscription schedule as far as Salesforce is told of it; no subscription before the first phase has begun."""

    id: str
    subscription_id: str | None


class StripeAccount:
    """One Stripe account, for the records of one Salesforce org."""

    def __init__(self, connection: StripeConnection) -> None:
        self._connection = connection
        self._api = connection.api

    @property
    def calls(self) -> int:
        """How many requests were made so far."""
        return self._connection.calls

    def ensure_customer(self, account: Account, *, org_id: str) -> str:
        """Get or create the customer of an account, once however often this is tried; answers its id.

        The search finds what was created some time ago, the idempotency key what was created since. The key does not depend on
        what the account says, or two runs that have read different things would make two customers.
        """
        if found := self.find_customer(account.id, org_id=org_id):
            return found
        create, params = self._api.customers.create, cast("Any", customer_params(account, org_id=org_id))
        key = f"customer:{org_id}:{account.id}"
        try:
            return self._connection.create(create, params, key).id
        except (ConflictError, UnknownOutcomeError) as problem:
            if problem.code not in (REUSED_KEY, REPLAYED_FAILURE):
                raise
        # The account has changed since an earlier attempt, or Stripe has stored a failure of it. It may have made a customer.
        found = self._recent_customer(account.id, org_id=org_id)
        return found or self._connection.create(create, params, key, looked=True).id

    def find_customer(self, account_id: str, *, org_id: str) -> str | None:
        """Look for the customer of an account by metadata. Stripe: the search may lag behind by a minute, in outages more."""
        query = f"metadata['salesforce_account_id']:'{account_id}' AND metadata['salesforce_org_id']:'{org_id}'"
        found = self._connection.call(self._api.customers.search, {"query": query, "limit": 1})
        return next((customer.id for customer in found.data), None)

    def _recent_customer(self, account_id: str, *, org_id: str) -> str | None:
        """Look for the customer of an account among those for which a key can still stand, past the search and its lag."""
        identity = _customer_identity(account_id, org_id)
        newest: int | None = None
        for customer in self._each(self._api.customers.list, {}):
            newest = newest or customer.created
            if customer.created < newest - _KEY_LIFETIME:
                return None
            if identity.items() <= _metadata(customer).items():
                return str(customer.id)
        return None

    def ensure_product(self, product: Product, *, org_id: str) -> str:
        """Get or create the Stripe product of a Product2; its id is made of Salesforce's."""
        params: dict[str, Any] = {
            "id": f"orderphase_{org_id}_{product.id}",
            "name": product.name,
            "metadata": {"salesforce_org_id": org_id, "salesforce_product_id": product.id},
        }
        if product.description:
            params["description"] = product.description
        try:
            return self._connection.call(self._api.products.create, cast("Any", params)).id
        except DataError as problem:
            if problem.code != _EXISTS:
                raise
            return str(params["id"])

    def find_prices(self, entries: Iterable[PriceBookEntry], *, org_id: str) -> dict[str, stripe.Price]:
        """The active prices that were made of these price book entries before, by the entry's id."""
        by_key = {lookup_key(entry, org_id=org_id): entry.id for entry in entries}
        found: dict[str, stripe.Price] = {}
        for keys in batched(by_key, _LOOKUP_KEYS, strict=False):
            page = self._connection.call(
                self._api.prices.list, {"lookup_keys": list(keys), "active": True, "limit": _LOOKUP_KEYS}
            )
            found |= {by_key[price.lookup_key]: price for price in page.data if price.lookup_key}
        return found

    def create_price(self, entry: PriceBookEntry, product_id: str, *, currency: str, org_id: str) -> str:
        """Create the price of a price book entry that `find_prices` has not found, or not with this content.

        It takes over the entry's lookup key from a price of another amount.
        """
        params = price_params(entry, product_id, currency=currency, org_id=org_id)
        content = hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode()).hexdigest()[:16]
        key = f"price:{org_id}:{entry.id}:{content}"
        return self._connection.create(self._api.prices.create, cast("Any", params), key, looked=True).id

    def ensure_coupons(self, coupons: Iterable[Coupon], metadata: Mapping[str, str]) -> None:
        """Create coupons, side by side, unless an earlier attempt already has."""
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            for _ in pool.map(lambda coupon: self._ensure_coupon(coupon, metadata), coupons):
                pass

    def _ensure_coupon(self, coupon: Coupon, metadata: Mapping[str, str]) -> None:
        try:
            self._connection.call(self._api.coupons.create, cast("Any", coupon.params(metadata)))
        except DataError as problem:
            if problem.code != _EXISTS:
                raise

    def create_schedule(self, params: Mapping[str, Any], *, key: str, looked: bool = False) -> Schedule:
        """Create a subscription schedule. The same `key` never makes a second one within Stripe's 24 hours.

        looked: there is none from an earlier attempt, so a key that was used up with an unknown outcome may be passed over.
        """
        create = self._api.subscription_schedules.create
        return _schedule(self._connection.create(create, cast("Any", dict(params)), key, looked=looked))

    def update_schedule(self, schedule_id: str, params: Mapping[str, Any], *, key: str) -> Schedule:
        """Change a subscription schedule, once under the same `key`.

        The caller has read the schedule before and found it unchanged, so a key that was used up may be passed over.
        """
        update = partial(self._api.subscription_schedules.update, schedule_id)
        return _schedule(self._connection.create(update, cast("Any", dict(params)), key, looked=True))

    def cancel_schedule(self, schedule_id: str, params: Mapping[str, Any], *, key: str) -> Schedule:
        """Cancel a subscription schedule with its subscription. Raises DataError also where it is over already."""
        cancel = partial(self._api.subscription_schedules.cancel, schedule_id)
        return _schedule(self._connection.create(cancel, cast("Any", dict(params)), key, looked=True))

    def read_schedule(self, schedule_id: str) -> HeldSchedule | None:
        """A schedule as it is now, or None where there is none of this id: one request.

        One more, where it has let its subscription go, to see whether that goes on. Where another schedule has taken it over,
        that one is answered.
        """
        found = self._retrieve(schedule_id, expand=list(EXPANDED))
        if found is None:
            return None
        shown = found.to_dict()
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
            for schedule in self._each(self._api.subscription_schedules.list, {"customer": customer}):
                if identity.items() <= _metadata(schedule).items() and self._bills(schedule):
                    return _schedule(schedule)
        except DataError as problem:
            if problem.code != _MISSING:  # a customer that is gone has no schedules
                raise
        return None

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
        schedule = self._retrieve(schedule_id)
        if schedule is None or (beside is not None and _schedule(schedule).subscription_id == beside):
            return False
        named = set(line_ids)
        since = schedule.current_phase.start_date if schedule.current_phase else 0
        # What has let its subscription go bills on with its last phase.
        live = schedule.status in _LIVE
        left = [phase for phase in schedule.phases if phase.start_date >= since] if live else schedule.phases[-1:]
        texts = [_metadata(item).get("salesforce_order_item_ids", "") for phase in left for item in phase.items]
        return any(named & set(text.split(",")) for text in texts) and self._bills(schedule)

    def _retrieve(self, schedule_id: str, **params: Any) -> stripe.SubscriptionSchedule | None:
        try:
            return self._connection.call(self._api.subscription_schedules.retrieve, schedule_id, cast("Any", params))
        except DataError as problem:
            if problem.code != _MISSING:
                raise
            return None

    def _bills(self, schedule: stripe.SubscriptionSchedule) -> bool:
        """Whether a schedule or what it has left behind bills. Stripe: a released one lets its subscription go on by itself."""
        if schedule.status in _LIVE:
            return True
        subscription = _schedule(schedule).subscription_id
        if schedule.status not in _LET_GO or subscription is None:
            return False
        return self._connection.call(self._api.subscriptions.retrieve, subscription).status not in ENDED

    def _each(self, listed: Callable[[Any], Any], params: Mapping[str, Any]) -> Iterator[Any]:
        """Each object of a list, newest first, over all its pages."""
        cursor: dict[str, str] = {}
        while True:
            page = self._connection.call(listed, {**params, "limit": _PAGE, **cursor})
            yield from page.data
            if not page.has_more:
                return
            cursor = {"starting_after": page.data[-1].id}


def lookup_key(entry: PriceBookEntry, *, org_id: str) -> str:
    """What the price of a price book entry is found by."""
    return f"salesforce_{org_id}_{entry.id}"


def customer_params(account: Account, *, org_id: str) -> dict[str, Any]:
    """The request that creates the customer of an account. What Stripe would refuse is left out."""
    phone = account.phone if len(account.phone or "") <= _PHONE else None
    contact = _stated({"name": (account.name or "")[:_NAME], "phone": phone})
    params: dict[str, Any] = {
        **contact,
        "description": (account.description or "")[:_DESCRIPTION],
        "address": _address(account.billing),
        "metadata": _customer_identity(account.id, org_id),
    }
    # Stripe: shipping has a name and an address.
    if "name" in contact and (address := _address(account.shipping)):
        params["shipping"] = contact | {"address": address}
    return _stated(params)


def price_params(entry: PriceBookEntry, product_id: str, *, currency: str, org_id: str) -> dict[str, Any]:
    """The request that creates the price of a price book entry."""
    interval, unit_price = _priced(entry)
    return {
        "product": product_id,
        "currency": currency.lower(),
        "unit_amount_decimal": _WireDecimal(plain(minor_units(unit_price, currency))),
        "recurring": {"interval": interval.unit, "interval_count": interval.count},
        "lookup_key": lookup_key(entry, org_id=org_id),
        "transfer_lookup_key": True,
        "metadata": {"salesforce_org_id": org_id, "salesforce_pricebook_entry_id": entry.id},
    }


def is_price_of(price: stripe.Price, entry: PriceBookEntry, *, currency: str) -> bool:
    """Whether a price still bills what the entry says, for the product that Salesforce names, if it names one."""
    interval, unit_price = _priced(entry)
    return (
        entry.product.product_id in (None, product_of(price))
        and price.currency == currency.lower()
        and price.unit_amount_decimal is not None
        and Decimal(price.unit_amount_decimal) == minor_units(unit_price, currency)
        and price.recurring is not None
        and (price.recurring.interval, price.recurring.interval_count) == (interval.unit, interval.count)
    )


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


def _address(address: Address) -> dict[str, Any]:
    lines = [line.strip() for line in (address.street or "").splitlines() if line.strip()]
    country = (address.country or "").strip()
    return _stated(
        {
            "line1": lines[0] if lines else None,
            "line2": ", ".join(lines[1:]),
            "city": address.city,
            "state": address.state,
            "postal_code": address.postal_code,
            # Stripe: a two-letter code; anything else is refused.
            "country": country.upper() if re.fullmatch("[A-Za-z]{2}", country) else None,
        }
    )


def _stated(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is neither empty nor blank, without blanks around it."""
    trimmed = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
    return {name: value for name, value in trimmed.items() if value}


def _customer_identity(account_id: str, org_id: str) -> dict[str, str]:
    return {"salesforce_org_id": org_id, "salesforce_account_id": account_id}


def _metadata(found: Any) -> dict[str, str]:
    return found.metadata.to_dict() if found.metadata else {}


def _schedule(schedule: stripe.SubscriptionSchedule) -> Schedule:
    """Its subscription, also the one that a released schedule has let go."""
    subscription = schedule.subscription or schedule.released_subscription
    return Schedule(schedule.id, subscription if isinstance(subscription, str) or subscription is None else subscription.id)
