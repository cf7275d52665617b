"""A Stripe emulator that is served, a clock that stands still, and the official SDK talking to it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, Unpack, cast

import pytest
import stripe
from stripe.params import CouponCreateParams, CustomerCreateParams, PriceCreateParams, SubscriptionScheduleCreateParams

from sandbox.clock import Clock
from sandbox.serving import Server
from sandbox.stripe_emulator import StripeEmulator

KEY, ACCOUNT = "sk_test_one", "acct_one"
OTHER_KEY, OTHER_ACCOUNT = "sk_test_two", "acct_two"
# Connected to the first account.
CONNECTED = "acct_connected"

stripe.enable_telemetry = False  # it would write to the home directory


def at(text: str) -> int:
    """A UTC date or date and time as Unix seconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def refusal(call: Callable[..., object], *args: Any, **params: Any) -> Any:
    """The error that the SDK raises; that it raises none fails the test."""
    with pytest.raises(stripe.StripeError) as refused:
        call(*args, **params)
    return refused.value


def error_body(error: stripe.StripeError) -> dict[str, Any]:
    """The JSON of an error."""
    assert isinstance(error.json_body, dict)
    return error.json_body


def there[T](value: T | None) -> T:
    """A value that may be None by its type, but is not."""
    assert value is not None
    return value


def reference(value: str | stripe.StripeObject | None) -> str:
    """A reference that has not been expanded."""
    assert isinstance(value, str)
    return value


def expanded[T: stripe.StripeObject](value: str | T | None) -> T:
    """A reference that has been expanded."""
    assert value is not None
    assert not isinstance(value, str)
    return value


class World:
    """It is 2027-01-01, midnight UTC, until the clock is moved."""

    def __init__(self) -> None:
        self.clock = Clock(datetime(2027, 1, 1, tzinfo=UTC), frozen=True)
        self.emulator = StripeEmulator(self.clock, {KEY: ACCOUNT, OTHER_KEY: OTHER_ACCOUNT}, connected={CONNECTED: ACCOUNT})
        self.server = Server(self.emulator)
        self._http: list[stripe.RequestsClient] = []
        self.sdk = self.client()
        self.now = self.clock.timestamp()

    def client(self, key: str = KEY, **options: Any) -> stripe.StripeClient:
        """An SDK client; it retries only if asked to."""
        http = stripe.RequestsClient()
        self._http.append(http)
        return stripe.StripeClient(key, base_addresses={"api": self.server.url}, http_client=http, **options)

    def customer(self, **params: Unpack[CustomerCreateParams]) -> str:
        return self.sdk.v1.customers.create(params).id

    def price(self, interval: str | None = "month", count: int = 1, currency: str = "usd", **params: Any) -> str:
        """A price of 10.00 with a product of its own; without interval a one-time price."""
        product = self.sdk.v1.products.create({"name": "Product"}).id
        recurring = {"recurring": {"interval": interval, "interval_count": count}} if interval else {}
        sent = {"product": product, "currency": currency, "unit_amount": 1000, **recurring, **params}
        return self.sdk.v1.prices.create(cast("PriceCreateParams", sent)).id

    def schedule(self, *phases: dict[str, Any], **params: Any) -> stripe.SubscriptionSchedule:
        """A schedule that starts now, for a new customer, unless `params` say otherwise."""
        defaults = {"start_date": "now", "end_behavior": "cancel", "phases": list(phases)}
        customer = {} if "customer" in params else {"customer": self.customer()}
        sent = {**defaults, **customer, **params}
        return self.sdk.v1.subscription_schedules.create(cast("SubscriptionScheduleCreateParams", sent))

    def phase(self, end: str | None = None, *, prices: tuple[str, ...] = (), **params: Any) -> dict[str, Any]:
        """A phase with one item per price (a new price if none is given)."""
        items = [{"price": price} for price in prices or (self.price(),)]
        return {"items": items, **({"end_date": at(end)} if end else {}), **params}

    def coupon(self, **params: Unpack[CouponCreateParams]) -> str:
        """A coupon of ten per cent for ever."""
        return self.sdk.v1.coupons.create({"percent_off": 10, "duration": "forever", **params}).id

    def schedule_of(self, schedule_id: str) -> stripe.SubscriptionSchedule:
        """A schedule as it is now."""
        return self.sdk.v1.subscription_schedules.retrieve(schedule_id)

    def subscription_of(self, schedule: stripe.SubscriptionSchedule) -> stripe.Subscription:
        """The subscription that a schedule has, or has released, as it is now."""
        return self.sdk.v1.subscriptions.retrieve(reference(schedule.subscription or schedule.released_subscription))

    def move_to(self, text: str) -> None:
        self.clock.set(datetime.fromisoformat(text).replace(tzinfo=UTC), frozen=True)

    def events(self, prefix: str = "") -> list[str]:
        """The types of all events so far, oldest first."""
        return [event["type"] for event in self.emulator.objects(ACCOUNT, "event") if event["type"].startswith(prefix)]

    def close(self) -> None:
        for http in self._http:
            http.close()  # type: ignore[no-untyped-call]  # the SDK has not annotated it
        self.server.close()
        self.emulator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
