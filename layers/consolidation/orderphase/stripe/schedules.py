"""Reads a subscription schedule as Stripe shows it: what the planner needs of it, checked at the border."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from orderphase.domain.lines import Discount
from orderphase.domain.money import major_units
from orderphase.domain.phases import Place
from orderphase.domain.requests import coupon_value
from orderphase.domain.schedules import HeldDiscount, HeldPhase, HeldSchedule
from orderphase.errors import DataError
from orderphase.validation import Text, describe

EXPANDED = (
    "customer",
    "phases.discounts.coupon",
    "phases.items.discounts.coupon",
    "subscription.discounts",
    "subscription.items.data.discounts",
)
"""What is expanded so that a schedule tells everything: who is billed, what discounts are worth, which of them run."""

EXPANDED_SUBSCRIPTION = ("customer", "discounts", "items.data.discounts")
"""The same of a subscription that has no schedule."""

LIVE = ("not_started", "active")
"""Stripe: the states of a schedule that can still be changed."""

ENDED = ("canceled", "incomplete_expired")
"""Stripe: the states of a subscription that bills no more."""


def read_schedule(source: Any, path: str = "schedule") -> HeldSchedule:
    """Read a schedule (decoded JSON). Raises `DataError` naming every field that is not as Stripe shows it.

    Objects that Stripe can expand may be ids: then the value of a coupon that is not ours, and the discounts that run, are not
    known. Whether the subscription of a schedule that is over still bills is taken from it where it is expanded, else supposed
    of one that was let go.
    """
    if not isinstance(source, dict):
        raise DataError(f"{path}: is not a subscription schedule; give Stripe's object, or null where there is none")
    try:
        shown = _Schedule.model_validate(source)
    except ValidationError as problem:
        raise DataError(describe(problem, path)) from None
    return _Reader(shown).read()


def read_subscription(source: Any, path: str = "subscription") -> HeldSchedule:
    """Read a subscription (decoded JSON, discounts expanded) that has no schedule, as one that has let it go a period ago.

    What it bills now is one phase, from the start of the billing period on; where it is to be cancelled, until then.
    Raises `DataError` as `read_schedule`.
    """
    try:
        shown = _BareSubscription.model_validate(source)
    except ValidationError as problem:
        raise DataError(describe(problem, path)) from None
    items = shown.items.data
    ends = [item.current_period_end for item in items if item.current_period_end]
    starts = [item.current_period_start for item in items if item.current_period_start]
    phase = {
        "start_date": int(max(starts, default=shown.start_date).timestamp()),
        "end_date": int((shown.cancel_at or max(ends, default=shown.start_date)).timestamp()),
        "currency": shown.currency,
        "items": [_as_phase_item(item) for item in items],
        "discounts": [{"discount": one.model_dump()} for one in shown.discounts],
        "collection_method": shown.collection_method,
        "invoice_settings": {"days_until_due": shown.days_until_due},
    }
    schedule = {
        "object": "subscription_schedule",
        "id": shown.id,
        "status": "completed",
        "customer": shown.customer.model_dump(),
        "phases": [phase],
        "end_behavior": "cancel" if shown.cancel_at else "release",
        "completed_at": int(shown.ended_at.timestamp()) if shown.ended_at else None,
        "released_subscription": source,
        "metadata": shown.metadata,
    }
    held = read_schedule(schedule, path)
    return replace(held, bare=True, current=held.phases[0])


def _as_phase_item(item: _SubscriptionItem) -> dict[str, Any]:
    discounts = [{"discount": one.model_dump()} for one in item.discounts]
    return {"price": item.price, "quantity": item.quantity, "discounts": discounts, "metadata": item.metadata}


def _id_of(value: Any) -> Any:
    return value.get("id") if isinstance(value, dict) else value


_LATEST = 32_503_680_000
"""The year 3000, in Unix seconds: nothing that Stripe shows is later, and every instant before can be written as a date."""


def _moment(value: Any) -> datetime:
    if type(value) is not int or not 0 <= value <= _LATEST:
        raise ValueError("is not a time in Unix seconds")
    return datetime.fromtimestamp(value, UTC)


Id = Annotated[Text, BeforeValidator(_id_of)]
Instant = Annotated[datetime, BeforeValidator(_moment)]


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Coupon(_Shown):
    id: Text
    percent_off: Decimal | None = None
    amount_off: int | None = None
    currency: str | None = None

    @property
    def value(self) -> Discount | None:
        if self.percent_off is not None:
            return Discount(percent_off=self.percent_off)
        if self.amount_off is None or self.currency is None:
            return coupon_value(self.id)
        return Discount(amount_off=major_units(self.amount_off, self.currency))


def _as_object(value: Any) -> Any:
    return {"id": value} if isinstance(value, str) else value


class _Source(_Shown):
    coupon: Annotated[_Coupon | None, BeforeValidator(_as_object)] = None


class _RunningDiscount(_Shown):
    """A discount of a subscription; an id where it is not expanded."""

    id: Text
    source: _Source = _Source()


class _PhaseDiscount(_Shown):
    coupon: Annotated[_Coupon | None, BeforeValidator(_as_object)] = None
    discount: Annotated[_RunningDiscount | None, BeforeValidator(_as_object)] = None


class _Item(_Shown):
    price: Id
    quantity: Annotated[int, Field(ge=0)] | None = None
    discounts: list[_PhaseDiscount] = []
    metadata: dict[str, str] | None = None


class _InvoiceSettings(_Shown):
    days_until_due: int | None = None


class _Phase(_Shown):
    start_date: Instant
    end_date: Instant
    currency: Text
    items: Annotated[list[_Item], Field(min_length=1)]
    discounts: list[_PhaseDiscount] = []
    collection_method: str | None = None
    invoice_settings: _InvoiceSettings | None = None
    add_invoice_items: list[Any] = []


class _DefaultSettings(_Shown):
    collection_method: str | None = None
    invoice_settings: _InvoiceSettings | None = None


class _CurrentPhase(_Shown):
    start_date: Instant


class _Customer(_Shown):
    id: Text
    deleted: bool = False


class _SubscriptionItem(_Shown):
    price: Id
    quantity: Annotated[int, Field(ge=0)] | None = None
    discounts: list[Annotated[_RunningDiscount, BeforeValidator(_as_object)]] = []
    current_period_start: Instant | None = None
    current_period_end: Instant | None = None
    tax_rates: list[Any] | None = None
    metadata: dict[str, str] | None = None


class _AutomaticTax(_Shown):
    enabled: bool = False


class _SubscriptionItems(_Shown):
    data: list[_SubscriptionItem] = []


class _Subscription(_Shown):
    id: Text
    status: str | None = None
    discounts: list[Annotated[_RunningDiscount, BeforeValidator(_as_object)]] = []
    items: _SubscriptionItems = _SubscriptionItems()
    trial_end: Instant | None = None
    default_tax_rates: list[Any] | None = None
    automatic_tax: _AutomaticTax | None = None


class _BareSubscription(_Subscription):
    customer: Annotated[_Customer, BeforeValidator(_as_object)]
    currency: Text
    start_date: Instant
    items: _SubscriptionItems
    collection_method: str | None = None
    days_until_due: int | None = None
    cancel_at: Instant | None = None
    ended_at: Instant | None = None
    metadata: dict[str, str] | None = None


class _Schedule(_Shown):
    object: Literal["subscription_schedule"]
    id: Text
    status: Literal["not_started", "active", "completed", "released", "canceled"]
    customer: Annotated[_Customer, BeforeValidator(_as_object)]
    phases: Annotated[list[_Phase], Field(min_length=1)]
    end_behavior: Text
    current_phase: _CurrentPhase | None = None
    default_settings: _DefaultSettings | None = None
    subscription: Annotated[_Subscription | None, BeforeValidator(_as_object)] = None
    released_subscription: Annotated[_Subscription | None, BeforeValidator(_as_object)] = None
    metadata: dict[str, str] | None = None
    canceled_at: Instant | None = None
    completed_at: Instant | None = None
    released_at: Instant | None = None


def _beside(subscription: _Subscription) -> Iterator[str]:
    """What a subscription has that our phases do not say. Stripe: a billing period never goes beyond the trial."""
    starts = [item.current_period_start for item in subscription.items.data if item.current_period_start]
    if subscription.trial_end and all(start < subscription.trial_end for start in starts):
        yield "a trial"
    if subscription.default_tax_rates or any(item.tax_rates for item in subscription.items.data):
        yield "tax rates"
    if subscription.automatic_tax and subscription.automatic_tax.enabled:
        yield "automatic tax"


class _Reader:
    def __init__(self, shown: _Schedule) -> None:
        self._shown = shown
        # The coupon of each discount that runs, by its id; and the discounts by place.
        self._coupons: dict[str, _Coupon] = {}
        self._running: dict[Place, list[_RunningDiscount]] = {}
        subscription = shown.subscription
        if subscription is not None:
            self._running[None] = subscription.discounts
            self._running |= {item.price: item.discounts for item in subscription.items.data}
        for discounts in self._running.values():
            self._coupons |= {one.id: one.source.coupon for one in discounts if one.source.coupon}

    def read(self) -> HeldSchedule:
        shown = self._shown
        defaults = shown.default_settings or _DefaultSettings()
        subscription = shown.subscription or shown.released_subscription
        start = shown.current_phase.start_date if shown.current_phase and shown.status == "active" else None
        phases = tuple([self._phase(phase, runs=phase.start_date == start) for phase in shown.phases])
        current = next((phase for phase in phases if phase.start == start), None)
        if shown.status == "active" and current is None:
            raise DataError(f"schedule.current_phase: names no phase of the active schedule {shown.id}")
        return HeldSchedule(
            id=shown.id,
            status=shown.status,
            customer=shown.customer.id,
            customer_deleted=shown.customer.deleted,
            currency=shown.phases[0].currency.upper(),
            phases=phases,
            current=current,
            end_behavior=shown.end_behavior,
            collection_method=defaults.collection_method or "charge_automatically",
            days_until_due=defaults.invoice_settings.days_until_due if defaults.invoice_settings else None,
            subscription_id=subscription.id if subscription else None,
            subscription_lives=subscription is not None and self._lives(subscription),
            period_end=max(self._period_ends(subscription), default=None) if subscription else None,
            ended_at=shown.canceled_at or shown.completed_at or shown.released_at,
            metadata=shown.metadata or {},
            line_prices=dict(self._line_prices()),
            beside=tuple(_beside(subscription)) if subscription and shown.status not in LIVE else (),
        )

    def _lives(self, subscription: _Subscription) -> bool:
        if subscription.status is not None:
            return subscription.status not in ENDED
        let_go = self._shown.status == "released" or self._shown.end_behavior == "release"
        return self._shown.status == "active" or (self._shown.status != "canceled" and let_go)

    @staticmethod
    def _period_ends(subscription: _Subscription) -> Iterator[datetime]:
        for item in subscription.items.data:
            if item.current_period_end is not None:
                yield item.current_period_end

    def _line_prices(self) -> Iterator[tuple[str, str]]:
        for phase in self._shown.phases:
            for item in phase.items:
                told = item.metadata or {}
                lines = told.get("salesforce_order_item_ids") or told.get("salesforce_order_item_id", "")
                yield from ((line, item.price) for line in lines.split(",") if line and not line.startswith("+"))

    def _phase(self, phase: _Phase, *, runs: bool) -> HeldPhase:
        discounts: dict[Place, tuple[HeldDiscount, ...]] = {
            item.price: self._discounts(item.discounts, item.price, runs=runs) for item in phase.items
        }
        discounts[None] = self._discounts(phase.discounts, None, runs=runs)
        return HeldPhase(
            start=phase.start_date,
            end=phase.end_date,
            quantities={item.price: item.quantity for item in phase.items},
            discounts={place: held for place, held in discounts.items() if held},
            collection_method=phase.collection_method,
            days_until_due=phase.invoice_settings.days_until_due if phase.invoice_settings else None,
            one_time=bool(phase.add_invoice_items),
        )

    def _discounts(self, shown: Iterable[_PhaseDiscount], place: Place, *, runs: bool) -> tuple[HeldDiscount, ...]:
        return tuple([self._discount(one, place, runs=runs) for one in shown])

    def _discount(self, shown: _PhaseDiscount, place: Place, *, runs: bool) -> HeldDiscount:
        """A discount of a phase. Of one that runs, the subscription tells what it was redeemed as."""
        coupon, redeemed = shown.coupon, shown.discount.id if shown.discount else None
        if coupon is None and shown.discount is not None:
            coupon = shown.discount.source.coupon or self._coupons.get(shown.discount.id)
        if redeemed is None and runs and coupon is not None:
            ours = (one.id for one in self._running.get(place, ()) if one.source.coupon and one.source.coupon.id == coupon.id)
            redeemed = next(ours, None)
        return HeldDiscount(coupon.value if coupon else None, coupon.id if coupon else None, redeemed)
