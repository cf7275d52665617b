"""Subscription schedules as Stripe holds them, and what their phases mean, to be compared with what Salesforce wants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Literal

from orderphase.domain.lines import Discount
from orderphase.domain.phases import Phase, PhaseItem, PhaseSettings, Place

Status = Literal["not_started", "active", "completed", "released", "canceled"]

DEFAULT_COLLECTION = "charge_automatically"
"""Stripe: the collection method of a new schedule."""

SEND_INVOICE = "send_invoice"
"""Stripe: the collection method by which an invoice is sent, due in some days."""


@dataclass(frozen=True, slots=True)
class HeldDiscount:
    """A discount at one place: its value where Stripe has told it, the coupon, and its id (`di_…`) once it is redeemed."""

    value: Discount | None
    coupon: str | None = None
    id: str | None = None

    @property
    def reference(self) -> dict[str, str]:
        """What is sent so that it stays. Stripe: the coupon of a phase that runs would be redeemed once more."""
        return {"discount": self.id} if self.id else {"coupon": self.coupon} if self.coupon else {}


@dataclass(frozen=True, slots=True)
class HeldPhase:
    """A phase of a schedule; `quantities` by price, None where Stripe counts usage. one_time: whether it has one-time items."""

    start: datetime
    end: datetime
    quantities: Mapping[str, int | None]
    discounts: Mapping[Place, tuple[HeldDiscount, ...]] = field(default_factory=dict)
    collection_method: str | None = None
    days_until_due: int | None = None
    one_time: bool = False

    def discounts_at(self, place: Place) -> tuple[HeldDiscount, ...]:
        """The discounts on one item, or on the whole phase."""
        return self.discounts.get(place, ())


@dataclass(frozen=True, slots=True)
class HeldSchedule:
    """A schedule that exists.

    phases: past ones too. current: the phase that runs, only while active. collection_method, days_until_due: the defaults of
    phases that state none. subscription_id: also the one that a released schedule has let go; `subscription_lives`, whether it
    still bills. period_end: of the billing period that runs longest, where one is known to run. ended_at: when it was over.
    line_prices: the price of each order line that an item says it is made of. bare: it is a subscription that never had a
    schedule, told as the one that would have let it go; `id` is the subscription's. beside: what a subscription that goes on by
    itself has, and a schedule that is made of it would lose.
    """

    id: str
    status: Status
    customer: str
    currency: str
    phases: tuple[HeldPhase, ...]
    end_behavior: str
    current: HeldPhase | None = None
    customer_deleted: bool = False
    collection_method: str = DEFAULT_COLLECTION
    days_until_due: int | None = None
    subscription_id: str | None = None
    subscription_lives: bool = False
    period_end: datetime | None = None
    ended_at: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    line_prices: Mapping[str, str] = field(default_factory=dict)
    bare: bool = False
    beside: tuple[str, ...] = ()

    @property
    def bills(self) -> bool:
        """Whether it, or the subscription that it has let go, bills."""
        return self.live or self.subscription_lives

    @property
    def live(self) -> bool:
        """Whether it can still be changed. Stripe: only before its end."""
        return self.status in ("not_started", "active")

    @property
    def left(self) -> tuple[HeldPhase, ...]:
        """The current and the future phases; all of them before the start."""
        if self.current is None:
            return self.phases
        return tuple([phase for phase in self.phases if phase.start >= self.current.start])

    @property
    def ran_out(self) -> bool:
        """Whether it came to its own end, instead of being ended. Stripe does not say which word that is for a release."""
        if self.status == "canceled" or not self.phases:
            return False
        return self.status == "completed" or (self.ended_at is not None and self.ended_at >= self.phases[-1].end)


@dataclass(frozen=True, slots=True)
class Content:
    """What a phase means, apart from when. `items`: price → quantity and discounts. Equal contents bill the same."""

    items: Mapping[str, tuple[int | None, tuple[Discount | HeldDiscount, ...]]]
    discounts: tuple[Discount | HeldDiscount, ...]
    collection_method: str
    days_until_due: int | None


@dataclass(frozen=True, slots=True)
class Span:
    """A content with its time; `end` None = open."""

    start: datetime
    end: datetime | None
    content: Content


def held_spans(schedule: HeldSchedule, phases: Iterable[HeldPhase]) -> list[Span]:
    """What phases of a schedule mean. Those that say the same are one: Stripe splits a phase that is edited underneath."""
    return [*_merged(Span(phase.start, phase.end, _held_content(schedule, phase)) for phase in phases)]


def wanted_spans(phases: Iterable[Phase], *, limit: int | None = None) -> list[Span]:
    """What wanted phases mean; not more than `limit` spans, where only the first matter."""
    return [*islice(_merged(Span(phase.start, phase.end, content_of(phase)) for phase in phases), limit)]


def content_of(phase: Phase) -> Content:
    """What a wanted phase means. Where no order states a collection method, Stripe charges."""
    settings = phase.settings
    method = settings.collection_method or DEFAULT_COLLECTION
    return Content(
        {item.price: (item.quantity, (item.discount,) if item.discount else ()) for item in phase.items},
        (settings.discount,) if settings.discount else (),
        method,
        settings.days_until_due if method == SEND_INVOICE else None,
    )


def as_phase(schedule: HeldSchedule, phase: HeldPhase) -> Phase:
    """A held phase in our own words, as it is sent again to end now; its discounts are kept by reference."""
    method, days = _collection(phase.collection_method, phase.days_until_due, schedule)
    counted = ((price, quantity) for price, quantity in phase.quantities.items() if quantity is not None)
    items = tuple([PhaseItem(price, quantity, None, ()) for price, quantity in counted])
    return Phase(phase.start, phase.end, items, PhaseSettings(method, days))


def _held_content(schedule: HeldSchedule, phase: HeldPhase) -> Content:
    method, days = _collection(phase.collection_method, phase.days_until_due, schedule)
    return Content(
        {price: (quantity, _values(phase.discounts_at(price))) for price, quantity in phase.quantities.items()},
        _values(phase.discounts_at(None)),
        method,
        days,
    )


def _collection(method: str | None, days: int | None, schedule: HeldSchedule) -> tuple[str, int | None]:
    """Stripe: what a phase says precedes the schedule's defaults; days until due count where invoices are sent."""
    method = method or schedule.collection_method
    return method, (schedule.days_until_due if days is None else days) if method == SEND_INVOICE else None


def _values(discounts: Iterable[HeldDiscount]) -> tuple[Discount | HeldDiscount, ...]:
    """By value; one whose value is not known equals nothing that is wanted."""
    return tuple([held.value or held for held in discounts])


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    last: Span | None = None
    for span in spans:
        if last is not None and last.end == span.start and last.content == span.content:
            last = Span(last.start, span.end, span.content)
            continue
        if last is not None:
            yield last
        last = span
    if last is not None:
        yield last
