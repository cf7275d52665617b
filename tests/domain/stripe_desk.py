"""Stripe in process with its clock standing still, and at it the run that plans, carries out, and remembers one contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from urllib.parse import urlencode

from orderphase.domain.backdating import SoldPrice, sold_prices
from orderphase.domain.catalogue import BillingInterval, Unit
from orderphase.domain.consolidation import consolidate
from orderphase.domain.lines import BilledAt, Discount, Order, OrderLine
from orderphase.domain.phases import Phase
from orderphase.domain.planning import RUNWAY, Plan, Situation, plan
from orderphase.domain.policies import Policies
from orderphase.domain.pricing import priced
from orderphase.domain.schedules import HeldSchedule
from orderphase.stripe.account import lookup_key, price_params
from orderphase.stripe.schedules import EXPANDED, read_schedule
from sandbox.clock import Clock
from sandbox.serving import Request
from sandbox.stripe_emulator import StripeEmulator, parameters

KEY, ACCOUNT = "sk_test_desk", "acct_desk"
METADATA = {"salesforce_org_id": "00D", "salesforce_contract_id": "800"}
INTERVALS: dict[str, Unit] = {"A": "month", "B": "month", "C": "month", "Y": "year"}
CENTS = 1000
DEFAULTS = Policies()

Json = dict[str, Any]


@dataclass(frozen=True)
class Term:
    """What is billed during `[start, end)`: quantity and discounts by price, discounts, collection method and days until due.

    It is read from Stripe's own objects, and made of wanted phases, without any of the planner's help.
    """

    start: datetime
    end: datetime | None
    items: dict[str, tuple[int, tuple[str, ...]]]
    discounts: tuple[str, ...]
    collection: tuple[str, int | None]

    @property
    def content(self) -> object:
        return self.items, self.discounts, self.collection


class Desk:
    """remembers: whether the run knows what it has applied last."""

    def __init__(self, now: datetime, policies: Policies, *, remembers: bool = True) -> None:
        self.clock = Clock(now, frozen=True)
        self.emulator = StripeEmulator(self.clock, {KEY: ACCOUNT})
        self.policies = policies
        self.remembers = remembers
        self.schedule_id: str | None = None
        self.settled: tuple[Phase, ...] | None = None
        self.applied = False
        self.requests: list[Json] = []
        # What the ledger has of each line that names no price.
        self.billed_at: dict[str, BilledAt] = {}
        self.customer: str = self.call("POST", "customers", name="Acme")["id"]
        self.product: str = self.call("POST", "products", name="Product")["id"]
        self._sold: dict[str, Decimal | None] = {}
        self.prices: dict[str, str] = {}
        for name, interval in INTERVALS.items():
            price = {"product": self.product, "currency": "usd", "unit_amount": CENTS, "recurring": {"interval": interval}}
            self.prices[name] = self.call("POST", "prices", **price)["id"]

    # Stripe

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def call(self, method: str, path: str, **params: Any) -> Json:
        """Ask Stripe; what it refuses fails the test."""
        form = urlencode([*_form(params)])
        target = f"/v1/{path}" + (f"?{form}" if method == "GET" and form else "")
        body = form.encode() if method == "POST" else b""
        request = Request(method, f"/v1/{path}", target, {}, {"authorization": f"Bearer {KEY}"}, body)
        response = self.emulator.handle(request)
        assert response.status == 200, (method, path, params, response.body)
        answer: Json = response.body
        return answer

    def one(self, kind: str, object_id: str) -> Json:
        return next(found for found in self.objects(kind) if found["id"] == object_id)

    def objects(self, kind: str) -> list[Json]:
        return self.emulator.objects(ACCOUNT, kind)

    @property
    def schedule(self) -> Json:
        assert self.schedule_id is not None
        return self.one("subscription_schedule", self.schedule_id)

    @property
    def subscription(self) -> Json | None:
        """The subscription that the schedule has or has let go."""
        shown = self.schedule
        name = shown["subscription"] or shown["released_subscription"]
        return self.one("subscription", name) if name else None

    def held(self) -> HeldSchedule | None:
        """The schedule as a run reads it."""
        if self.schedule_id is None:
            return None
        shown = self.call("GET", f"subscription_schedules/{self.schedule_id}", expand=list(EXPANDED))
        if shown["released_subscription"]:
            # Stripe cannot expand it.
            shown["released_subscription"] = self.one("subscription", shown["released_subscription"])
        return read_schedule(shown)

    # The run

    def sold(self, *orders: Order) -> list[Order]:
        """The orders with Stripe's prices instead of the names A, B, C and Y, or price_A and so on.

        A line that names none gets one as the policies say: the one that it is billed at, else one that is found or made.
        """
        named = [replace(one, lines=tuple([replace(line, price_id=self._price(line)) for line in one.lines])) for one in orders]
        billed, self._sold = self.billed_at, {line.id: line.unit_price for order in orders for line in order.lines}
        if not self.remembers:
            held = self.held()
            billed = {line: BilledAt(price) for line, price in held.line_prices.items()} if held else {}
        known = priced(named, self.policies, "USD", billed)
        return [replace(one, lines=tuple([self._made(line) for line in one.lines])) for one in known]

    def _price(self, line: OrderLine) -> str | None:
        return self.prices[line.price_id.removeprefix("price_")] if line.price_id else None

    def _made(self, line: OrderLine) -> OrderLine:
        """The line with the price of its entry, which is found by its lookup key and its content, as a flow finds it."""
        entry = line.entry
        if entry is None or line.billed_at or [*entry.faults("USD")]:
            return line
        params = price_params(entry, self.product, currency="USD", org_id="00D")
        asked = {"lookup_keys": [lookup_key(entry, org_id="00D")], "active": True}
        found = self.call("GET", "prices", **asked)["data"]
        alike = [one["id"] for one in found if Decimal(one["unit_amount_decimal"]) == params["unit_amount_decimal"]]
        price_id = alike[0] if alike else self.call("POST", "prices", **params)["id"]
        return replace(line, entry=replace(entry, price_id=price_id))

    def _note(self, orders: Sequence[Order]) -> None:
        lines = [line for order in orders for line in order.lines if line.entry and line.price and not line.price_id]
        if self.remembers:
            self.billed_at = {line.id: self._noted(line) for line in lines}

    def _noted(self, line: OrderLine) -> BilledAt:
        sold = self._sold[line.id]
        if line.billed_at:
            return replace(line.billed_at, sold=sold)
        assert line.entry
        assert line.price
        return BilledAt(line.price, sold, line.entry.unit_price, line.interval)

    def plan(self, orders: Sequence[Order], **more: Any) -> Plan:
        """Plan for orders as `sold` answers them; `more` are other fields of the situation."""
        situation = {
            "now": self.now,
            "policies": self.policies,
            "currency": "USD",
            "schedule": self.held(),
            "settled": self.settled if self.remembers else None,
            "applied": self.applied and self.remembers,
            "prices": sold_prices(orders, self.billed_at.values())
            | {price: SoldPrice(Decimal(10), BillingInterval(INTERVALS[name])) for name, price in self.prices.items()},
            **more,
        }
        return plan(consolidate(orders, self.policies), Situation(**situation))

    def run(self, orders: Sequence[Order], **more: Any) -> Plan:
        """Plan, and do what is planned until nothing is left to do; answers the first plan."""
        first = planned = self.plan(orders, **more)
        if planned.refused:
            assert (planned.action, planned.sent, planned.attach) == ("nothing", (), None)
            return first
        for _ in range(2):
            if planned.action != "nothing":
                self.carry_out(planned)
                planned = self.plan(orders, **more, taken_over=planned.attach is not None)
        assert planned.action == "nothing", planned
        assert not planned.refused, planned.findings
        self.settled, self.applied = planned.wanted, True
        self._note(orders)
        return first

    def carry_out(self, planned: Plan) -> None:
        """Send the request of a plan, checked against the SDK's own types."""
        coupons = planned.coupons(f"key-{len(self.requests)}")
        for coupon in coupons.values():
            params = coupon.params(METADATA)
            parameters.check("coupons.create", params)
            self.call("POST", "coupons", **params)
        products: dict[str, str] = dict.fromkeys(self.prices.values(), self.product)
        products |= {item.price: self.product for item in planned.caught_up}
        params = planned.params(customer=self.customer, coupons=coupons, metadata=METADATA, products=products)
        verb = planned.action
        parameters.check(f"subscription_schedules.{verb}", params)
        self.requests.append(params)
        if verb == "create":
            self.schedule_id = self.call("POST", "subscription_schedules", **params)["id"]
        else:
            path = f"subscription_schedules/{self.schedule_id}" + ("/cancel" if verb == "cancel" else "")
            self.call("POST", path, **params)
        if planned.attach is None:
            self.settled, self.applied = planned.wanted, True
        else:
            self.applied = False

    # What has become of it

    def terms(self) -> list[Term]:
        """What the schedule bills from now on."""
        shown = self.schedule
        return [self._term(phase, shown) for phase in shown["phases"] if phase["end_date"] > self.now.timestamp()]

    def billed(self) -> Term | None:
        """What the subscription bills now; None where there is none, or it has ended."""
        found = self.subscription if self.schedule_id else None
        if found is None or found["status"] == "canceled":
            return None
        items = {item["price"]["id"]: (item["quantity"], self._worth(item["discounts"])) for item in found["items"]["data"]}
        collection = found["collection_method"], found["days_until_due"]
        return Term(self.now, None, items, self._worth(found["discounts"]), collection)

    def running_discounts(self) -> dict[tuple[str | None, str], str]:
        """The ids of the discounts that run, by place (a price, or None for all of it) and what they take off."""
        found = self.subscription if self.schedule_id else None
        if found is None:
            return {}
        places = [(None, found["discounts"]), *((item["price"]["id"], item["discounts"]) for item in found["items"]["data"])]
        return {(place, self._worth([one])[0]): one for place, discounts in places for one in discounts}

    def _term(self, phase: Json, schedule: Json) -> Term:
        defaults = schedule["default_settings"]
        method = phase["collection_method"] or defaults["collection_method"]
        days = (phase["invoice_settings"] or defaults["invoice_settings"])["days_until_due"]
        return Term(
            datetime.fromtimestamp(phase["start_date"], UTC),
            datetime.fromtimestamp(phase["end_date"], UTC),
            {item["price"]: (item["quantity"], self._worth(item["discounts"])) for item in phase["items"]},
            self._worth(phase["discounts"]),
            (method, days if method == "send_invoice" else None),
        )

    def _worth(self, discounts: list[Any]) -> tuple[str, ...]:
        """What discounts take off, of a phase (objects) or of a subscription (ids)."""
        worth = []
        for one in discounts:
            redeemed = one if isinstance(one, str) else one["discount"]
            coupon = self.one("discount", redeemed)["source"]["coupon"] if redeemed else one["coupon"]
            found = self.one("coupon", coupon)
            worth.append(f"{found['percent_off']:g}%" if found["percent_off"] else f"{found['amount_off']} {found['currency']}")
        return tuple(worth)


def cents(desk: Desk, price_id: str) -> Fraction:
    """What Stripe bills for one unit of a price, in minor units."""
    return Fraction(desk.one("price", price_id)["unit_amount_decimal"])


def wanted_terms(phases: Sequence[Phase], now: datetime, policies: Policies = DEFAULTS) -> list[Term]:
    """What wanted phases bill from now on; where no order says how it is collected, the policies do."""
    terms = []
    for phase in phases:
        if phase.end is not None and phase.end <= now:
            continue
        settings = phase.settings
        method = settings.collection_method or policies.collection_method
        items = {item.price: (item.quantity, _off(item.discount)) for item in phase.items}
        days = policies.days_until_due if settings.days_until_due is None else settings.days_until_due
        collection = method, days if method == "send_invoice" else None
        terms.append(Term(phase.start, phase.end, items, _off(settings.discount), collection))
    return terms


def bills_what_is_wanted(desk: Desk, phases: Sequence[Phase]) -> None:
    """Fail unless Stripe bills from now on what the phases say; of a series that is too long, enough of it."""
    now, wanted = desk.now, wanted_terms(phases, desk.now)
    billed = desk.billed()
    running = wanted[0].content if wanted and wanted[0].start <= now else None
    assert (billed.content if billed else None) == running
    if not wanted or desk.schedule["status"] not in ("not_started", "active"):
        # What a subscription bills that was let go, it bills for ever.
        assert not wanted or (len(wanted) == 1 and wanted[0].end is None)
        return
    held = desk.terms()
    horizon = held[-1].end
    assert horizon is not None
    assert max(held[0].start, now) == max(wanted[0].start, now)
    bounds = {bound for one in (*held, *wanted) for bound in (one.start, one.end) if bound is not None}
    for bound in sorted(bounds | {now}):
        if max(held[0].start, now) <= bound < horizon:
            assert content_at(held, bound) == content_at(wanted, bound), bound
    last = wanted[-1]
    if last.end is not None and horizon >= last.end:
        assert (horizon, desk.schedule["end_behavior"]) == (last.end, "cancel")
    else:
        assert desk.schedule["end_behavior"] == "release"
        assert horizon > last.start or len(held) > RUNWAY


def content_at(terms: Sequence[Term], moment: datetime) -> object:
    (found,) = [one.content for one in terms if one.start <= moment and (one.end is None or moment < one.end)]
    return found


def _off(discount: Discount | None) -> tuple[str, ...]:
    if discount is None:
        return ()
    if discount.percent_off is not None:
        return (f"{float(discount.percent_off):g}%",)
    assert discount.amount_off is not None
    return (f"{int(discount.amount_off * 100)} usd",)


def _form(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Parameters as Stripe's forms write them: `phases[0][items][0][price]`."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _form(inner, f"{path}[{name}]" if path else name)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _form(inner, f"{path}[{number}]")
    else:
        yield path, str(value).lower() if isinstance(value, bool) else str(value)
