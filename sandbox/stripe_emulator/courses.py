"""The way of a subscription, through phases that its schedule is to have, up to its next invoice."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.stripe_emulator import invoice_items
from sandbox.stripe_emulator.account import Account, InvoiceItem, Moment
from sandbox.stripe_emulator.errors import Json, StripeError, not_modelled
from sandbox.stripe_emulator.intervals import Interval, period
from sandbox.stripe_emulator.invoices import Line
from sandbox.stripe_emulator.phases import interval_of


@dataclass(frozen=True, slots=True)
class Billed:
    """What an invoice bills at `when`: the items of `phase` whose cycles begin then, and one-time items.

    since: when the cycle that is over began. redeemed: when the phase's coupons are. cycles: the billing period of each item of
    the phase. items: the ids of the subscription's items, by price. Times are Unix seconds.
    """

    phase: Json
    when: int
    since: int
    redeemed: int
    cycles: list[tuple[int, int]]
    one_time: list[Line]
    items: dict[str, str] = field(default_factory=dict)


def next_invoice(moment: Moment, schedule: Json, resolved: list[Json], details: Json) -> Billed:
    """The next invoice of an active schedule's subscription, were the schedule updated to the phases `resolved` now.

    Refused as not modelled is whatever Stripe would prorate on it: a change of the running phase without `proration_behavior`
    none, a phase that is entered inside a cycle without it, prorations that wait already, an end inside of the cycle that is
    billed, and one that moves inside of the cycle that runs; further a price of an interval that is new, an anchor that moves
    inside a cycle, and one-time items that would come with the end.
    Stripe: a change between prices of one interval leaves the cycle as it is.
    Raises StripeError `invoice_upcoming_none` when the subscription ends by then.
    """
    account, subscription = moment.account, moment.account.find("subscription", schedule["subscription"])
    if subscription["id"] in account.prorated:
        raise not_modelled("a preview of prorations that wait for the next invoice", "schedule")
    return _Course(moment, schedule, subscription, resolved, details).run()


def no_invoice(customer: str) -> StripeError:
    """Nothing more will be invoiced."""
    message = f"No upcoming invoices for customer: {customer}"
    return StripeError(message, code="invoice_upcoming_none", param="schedule")


def cycles(account: Account, phase: Json, anchor: int, when: int) -> list[tuple[int, int]]:
    """The billing period of each item of a phase around `when`."""
    return [period(anchor, interval_of(account, item["price"]), when) for item in phase["items"]]


def one_time(account: Account, phase: Json, item_cycles: list[tuple[int, int]]) -> list[Line]:
    """The lines of what a phase gives when it is entered, whatever subscription it is."""
    given = invoice_items.given(account, "", phase, item_cycles)
    prices = [invoice_items.price_of(account, item) for item in phase["add_invoice_items"]]
    return [_line(item, price) for item, price in zip(given, prices, strict=True)]


def _line(item: InvoiceItem, price: Json) -> Line:
    span = (item.period_start, item.period_end)
    return Line(price, item.quantity, item.amount, span, metadata=item.metadata, discountable=item.discountable)


class _Course:
    """One such way. What is found of it on the way is kept: the intervals that are left, and the one-time items so far."""

    def __init__(self, moment: Moment, schedule: Json, subscription: Json, resolved: list[Json], details: Json) -> None:
        self._account, self._now = moment.account, moment.now
        self._subscription, self._phases = subscription, resolved
        self._default_anchor = schedule["default_settings"]["billing_cycle_anchor"]
        self._unprorated = details.get("proration_behavior") == "none"
        cancels = details.get("end_behavior", schedule["end_behavior"]) == "cancel"
        self._end: int | None = resolved[-1]["end_date"] if cancels else None
        self._anchor: int = subscription["billing_cycle_anchor"]
        self._intervals = {interval_of(self._account, item["price"]) for item in subscription["items"]["data"]}
        waiting = invoice_items.waiting(self._account, subscription["id"])
        self._one_time = [_line(item, self._account.kinds["price"][item.price]) for item in waiting]

    def run(self) -> Billed:
        first, running = next((n, phase) for n, phase in enumerate(self._phases) if phase["end_date"] > self._now)
        if not self._unprorated and not self._unchanged(running):
            raise not_modelled("a preview of a change that is prorated", "schedule_details[proration_behavior]")
        self._keep_cycle(running, first, turning=False)
        self._check_cut(running)
        if first:
            # The phase before it ends now.
            self._give(running, self._now)
        phase, when = running, self._turn(running)
        for number, following in enumerate(self._phases[first + 1 :], first + 1):
            if following["start_date"] > when:
                break
            self._enter(following, number, when)
            phase, when = following, self._turn(following)
        self._check_end(phase, when)
        billing = cycles(self._account, phase, self._anchor_of(phase), when)
        return Billed(
            phase,
            when,
            since=max(begin for begin, end in cycles(self._account, phase, self._anchor, when - 1) if end == when),
            redeemed=self._now if phase is running else phase["start_date"],
            cycles=billing,
            one_time=self._one_time,
            items={item["price"]: item["id"] for item in self._subscription["items"]["data"]},
        )

    def _unchanged(self, phase: Json) -> bool:
        """Whether a phase has the subscription's items and discounts; another discount of the same coupon is no change."""
        held = {
            item["price"]: (item["quantity"], self._sources(item["discounts"])) for item in self._subscription["items"]["data"]
        }
        said = {item["price"]: (item["quantity"], self._coupons(item)) for item in phase["items"]}
        return said == held and self._coupons(phase) == self._sources(self._subscription["discounts"])

    def _coupons(self, holder: Json) -> list[str]:
        return [entry["coupon"] or self._sources([entry["discount"]])[0] for entry in holder["discounts"]]

    def _sources(self, discounts: list[str]) -> list[str]:
        return [self._account.kinds["discount"][discount]["source"]["coupon"] for discount in discounts]

    def _enter(self, phase: Json, number: int, when: int) -> None:
        """Go over to a phase in time; only where every cycle turns is there nothing to prorate."""
        start = phase["start_date"]
        turning = start == when and all(self._period_end(interval) == when for interval in self._intervals)
        if not turning and phase["proration_behavior"] != "none":
            raise not_modelled("a preview with a prorated transition", f"{_path(number)}[proration_behavior]")
        self._keep_cycle(phase, number, turning=turning)
        self._give(phase, start)

    def _keep_cycle(self, phase: Json, number: int, *, turning: bool) -> None:
        """Refuse a phase that begins cycles anew."""
        intervals = {interval_of(self._account, item["price"]) for item in phase["items"]}
        if not intervals <= self._intervals:
            raise not_modelled("a preview of a price of another billing interval", f"{_path(number)}[items]")
        if self._anchor_of(phase) != self._anchor and not turning:
            raise not_modelled("a preview with a billing cycle anchor that moves", f"{_path(number)}[billing_cycle_anchor]")
        self._intervals = intervals

    def _anchor_of(self, phase: Json) -> int:
        moved = (phase["billing_cycle_anchor"] or self._default_anchor) == "phase_start"
        return phase["start_date"] if moved else self._anchor

    def _period_end(self, interval: Interval) -> int:
        """The end of the period that runs now, from which the way to the next invoice never leads out."""
        return period(self._anchor, interval, self._now)[1]

    def _turn(self, phase: Json) -> int:
        return min(self._period_end(interval_of(self._account, item["price"])) for item in phase["items"])

    def _give(self, phase: Json, when: int) -> None:
        spans = cycles(self._account, phase, self._anchor_of(phase), when)
        if self._end is not None and phase is self._phases[-1]:
            spans = [(begin, min(end, self._end)) for begin, end in spans]
        self._one_time += one_time(self._account, phase, spans)

    def _check_cut(self, running: Json) -> None:
        """Refuse what is prorated because the end of the subscription moves into a cycle that runs, or within it, or out of it.

        Only the first can be without a proration.
        """
        was, end = self._subscription["cancel_at"], self._end if running is self._phases[-1] else None
        for whole in map(self._period_end, self._intervals):
            before, after = min(whole, was or whole), min(whole, end or whole)
            if before != after and (before < whole or not self._unprorated):
                raise not_modelled("a preview of an end that is prorated", f"{_path(len(self._phases) - 1)}[end_date]")

    def _check_end(self, phase: Json, when: int) -> None:
        if self._end is None:
            return
        where = f"{_path(len(self._phases) - 1)}[end_date]"
        if self._end > when:
            billing = cycles(self._account, phase, self._anchor_of(phase), when)
            if any(begin == when and end > self._end for begin, end in billing):
                raise not_modelled("a preview of a billing cycle that is cut short", where)
            return
        if self._one_time:
            raise not_modelled("a preview of one-time items when the subscription ends", where)
        raise no_invoice(self._subscription["customer"])


def _path(number: int) -> str:
    return f"schedule_details[phases][{number}]"
