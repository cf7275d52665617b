"""From phases to the exact request for Stripe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orderphase.domain.lines import Discount, Order
from orderphase.domain.phases import Consolidation
from orderphase.domain.planning import Coupon, Plan, as_sold, fingerprint, joined, plan_creation
from orderphase.domain.policies import Policies
from sandbox.stripe_emulator import parameters
from tests.domain.builders import consolidated, entry, line, moment, order
from tests.stripe.stripe_account import served

NOW = moment("2025-03-01T12:00:00")
METADATA = {"salesforce_org_id": "00D", "salesforce_contract_id": "800"}


def plan(*orders: Order, now: datetime = NOW, currency: str = "USD", **policies: Any) -> Plan:
    return plan_creation(consolidated(*orders, **policies), currency=currency, now=now, policies=Policies(**policies))


def request(planned: Plan, **prices: str) -> dict[str, Any]:
    """The request, with each price identity for its own price unless `prices` say otherwise; checked as Stripe would."""
    known = {item.price: item.price for phase in planned.phases for item in phase.items} | prices
    coupons = {place: coupon.id for place, coupon in planned.coupons("key")}
    params = planned.params(customer="cus_1", prices=known, coupons=coupons, metadata=METADATA)
    parameters.check("subscription_schedules.create", params)
    return params


def at(text: str) -> int:
    return int(moment(text).timestamp())


def codes(planned: Plan) -> list[str]:
    return [found.code for found in planned.findings]


YEAR = line("802-1", "2025-06-01", "2026-06-01", 3)


class TestRequest:
    def test_a_year_to_come(self) -> None:
        assert request(plan(order("1", YEAR)), price_A="price_1") == {
            "customer": "cus_1",
            "start_date": at("2025-06-01"),
            "end_behavior": "cancel",
            "billing_mode": {"type": "flexible"},
            "metadata": METADATA,
            "phases": [
                {
                    "items": [{"price": "price_1", "quantity": 3, "metadata": {"salesforce_order_item_ids": "802-1"}}],
                    "currency": "usd",
                    "proration_behavior": "create_prorations",
                    "billing_cycle_anchor": "automatic",
                    "discounts": "",
                    "metadata": METADATA,
                    "end_date": at("2026-06-01"),
                }
            ],
        }

    def test_what_has_begun_starts_now(self) -> None:
        planned = plan(order("1", line("802-1", "2025-03-01", "2026-03-01")))
        assert planned.starts_now
        assert planned.phases[0].start == NOW
        assert request(planned)["start_date"] == "now"
        assert codes(planned) == []

    def test_what_begins_this_very_moment_starts_now(self) -> None:
        planned = plan(order("1", line("802-1", "2025-03-01", "2026-03-01")), now=moment("2025-03-01"))
        assert request(planned)["start_date"] == "now"
        assert codes(planned) == []

    def test_a_second_later_starts_later(self) -> None:
        planned = plan(order("1", YEAR), now=moment("2025-05-31T23:59:59"))
        assert request(planned)["start_date"] == at("2025-06-01")

    def test_what_has_passed_is_left_out(self) -> None:
        lines = (line("802-1", "2025-01-01", "2025-03-01"), line("802-2", "2025-03-01", "2025-06-01", 2))
        planned = plan(order("1", *lines), now=moment("2025-03-01"))
        assert [phase["items"][0]["quantity"] for phase in request(planned)["phases"]] == [2]

    def test_an_open_end_lasts_a_year_and_is_released(self) -> None:
        params = request(plan(order("1", line("802-1", "2025-06-01"))))
        assert params["end_behavior"] == "release"
        assert params["phases"][-1]["duration"] == {"interval": "year", "interval_count": 1}
        assert "end_date" not in params["phases"][-1]

    def test_a_ramp_has_a_start_and_the_ends_of_its_phases(self) -> None:
        lines = (line("802-1", "2025-06-01", "2026-06-01"), line("802-2", "2025-09-01", "2026-06-01", price="price_B"))
        params = request(plan(order("1", *lines)))
        assert params["start_date"] == at("2025-06-01")
        assert [phase["end_date"] for phase in params["phases"]] == [at("2025-09-01"), at("2026-06-01")]
        assert [len(phase["items"]) for phase in params["phases"]] == [1, 2]

    def test_invoices_are_sent(self) -> None:
        sent = order("1", YEAR, collection_method="send_invoice", days_until_due=30)
        (phase,) = request(plan(sent))["phases"]
        assert phase["collection_method"] == "send_invoice"
        assert phase["invoice_settings"] == {"days_until_due": 30}

    def test_stripe_charges(self) -> None:
        (phase,) = request(plan(order("1", YEAR, collection_method="charge_automatically")))["phases"]
        assert phase["collection_method"] == "charge_automatically"
        assert "invoice_settings" not in phase

    @pytest.mark.parametrize("anchor", ["automatic", "phase_start"])
    @pytest.mark.parametrize("proration", ["create_prorations", "none", "always_invoice"])
    @pytest.mark.parametrize("mode", ["flexible", "classic"])
    def test_policies(self, mode: str, proration: str, anchor: str) -> None:
        choices: dict[str, Any] = {"billing_mode": mode, "proration_behavior": proration, "billing_cycle_anchor": anchor}
        params = request(plan(order("1", YEAR), **choices))
        assert params["billing_mode"] == {"type": mode}
        (phase,) = params["phases"]
        assert (phase["proration_behavior"], phase["billing_cycle_anchor"]) == (proration, anchor)

    @pytest.mark.parametrize(("stated", "billed"), [("EUR", "eur"), (None, "jpy")])
    def test_the_currency_of_the_orders_or_else_of_the_org(self, stated: str | None, billed: str) -> None:
        planned = plan(order("1", YEAR, currency=stated), currency="JPY")
        assert planned.currency == billed.upper()
        assert request(planned)["phases"][0]["currency"] == billed

    def test_discounts_name_a_coupon_each_where_they_hold(self) -> None:
        cheap = replace(YEAR, percent_off=Decimal(5))
        planned = plan(order("1", cheap, line("802-2", "2025-06-01", "2026-06-01", price="price_B"), percent_off=10))
        coupons = {place: coupon.id for place, coupon in planned.coupons("key")}
        assert coupons.keys() == {(0, None), (0, "price_A")}
        (phase,) = request(planned)["phases"]
        assert phase["discounts"] == [{"coupon": coupons[0, None]}]
        assert [item.get("discounts") for item in phase["items"]] == [[{"coupon": coupons[0, "price_A"]}], None]

    def test_no_discount_inherits_none_of_the_customer(self) -> None:
        (phase,) = request(plan(order("1", YEAR)))["phases"]
        assert phase["discounts"] == ""


class TestJoined:
    IDS = tuple(f"802{number:012d}AAA" for number in range(100))

    @pytest.mark.parametrize("count", [0, 1, 2, 26])
    def test_as_many_as_fit(self, count: int) -> None:
        assert joined(self.IDS[:count]) == ",".join(self.IDS[:count])

    @given(st.lists(st.text("0123456789abc", min_size=1, max_size=40), max_size=300))
    def test_never_longer_than_a_metadata_value_and_none_is_lost(self, ids: list[str]) -> None:
        text = joined(ids)
        assert len(text) <= 500
        *named, last = text.split(",") if ids else [""]
        if last.startswith("+"):
            assert len(named) + int(last[1:]) == len(ids)
            assert named == ids[: len(named)]
        else:
            assert text == ",".join(ids)

    def test_of_too_many_the_first_and_how_many_more(self) -> None:
        assert joined(self.IDS) == ",".join([*self.IDS[:26], "+74"])


class TestFindings:
    def start_in_past(self, now: str, zone: str = "UTC", **policies: Any) -> list[str]:
        begun = order("1", line("802-1", "2025-01-01", "2026-01-01"))
        planned = plan(begun, now=moment(now), time_zone=zone, **policies)
        return [found.message for found in planned.findings if found.code == "start_in_past"]

    @pytest.mark.parametrize(
        ("now", "zone", "days"),
        [
            ("2025-01-01T23:59:59", "UTC", None),
            ("2025-01-02T00:00:00", "UTC", "1 day"),
            ("2025-02-01T12:00:00", "UTC", "31 days"),
            # In New York the line starts on 2024-12-31 at 19:00: five hours later it is the next day there.
            ("2025-01-01T04:59:59", "America/New_York", None),
            ("2025-01-01T05:00:00", "America/New_York", "1 day"),
            # Over the beginning of summer time, whose day has 23 hours.
            ("2025-03-31T00:00:00", "Europe/Berlin", "89 days"),
        ],
    )
    def test_days_that_are_not_billed_are_counted_in_the_billing_zone(self, now: str, zone: str, days: str | None) -> None:
        told = self.start_in_past(now, zone)
        assert len(told) == (days is not None)
        assert days is None or f" {days} before today are not billed" in told[0]

    def test_a_start_in_the_past_is_a_warning_with_what_it_is_about(self) -> None:
        planned = plan(order("1", line("802-1", "2025-01-01", "2026-01-01")))
        (found,) = planned.findings
        assert (found.code, found.severity, found.lines) == ("start_in_past", "warning", ("802-1",))
        assert (found.start, found.end) == (moment("2025-01-01"), NOW)
        assert not planned.refused

    def test_a_start_in_the_past_may_be_refused(self) -> None:
        begun = order("1", line("802-1", "2025-01-01", "2026-01-01"))
        planned = plan(begun, backdating="reject")
        assert (codes(planned), planned.findings[0].severity, planned.refused) == (["start_in_past"], "error", True)
        today = plan(begun, backdating="reject", now=moment("2025-01-01T18:00:00"))
        assert not today.refused

    def test_everything_has_ended(self) -> None:
        planned = plan(order("1", line("802-1", "2024-01-01", "2025-03-01")), now=moment("2025-03-01"))
        (found,) = planned.findings
        assert (found.code, planned.refused, planned.phases) == ("end_in_past", True, ())
        assert "2025-03-01" in found.message
        assert (found.start, found.end) == (moment("2024-01-01"), moment("2025-03-01"))

    @pytest.mark.parametrize("orders", [(), (order("1", line("802-1", "2025-06-01", quantity=0)),)])
    def test_nothing_to_bill(self, orders: tuple[Order, ...]) -> None:
        planned = plan(*orders)
        assert codes(planned)[0] == "nothing_to_bill"
        assert planned.refused

    @pytest.mark.parametrize(("phases", "refused"), [(10, False), (11, True)])
    def test_ten_phases_from_now_on(self, phases: int, refused: bool) -> None:
        days = [moment("2025-02-01") + timedelta(days=30 * number) for number in range(1, phases + 3)]
        bounds = [moment("2025-01-01"), *days[:phases]]
        ramp = [
            replace(line(f"802-{number:02}", "2025-01-01", quantity=number + 1), start=start, end=end)
            for number, (start, end) in enumerate(pairwise(bounds))
        ]
        planned = plan(order("1", *ramp), now=moment("2025-01-01"))
        assert len(planned.phases) == phases
        assert planned.refused == refused
        assert codes(planned) == (["too_many_phases"] if refused else [])
        # What has passed does not count.
        assert not plan(order("1", *ramp), now=bounds[1]).refused

    def test_invoices_without_a_due_date(self) -> None:
        planned = plan(order("1", YEAR, collection_method="send_invoice"))
        assert (codes(planned), planned.refused) == (["missing_days_until_due"], True)
        assert planned.findings[0].lines == ("802-1",)

    @pytest.mark.parametrize("method", [None, "charge_automatically"])
    def test_a_due_date_without_invoices(self, method: str | None) -> None:
        planned = plan(order("1", YEAR, collection_method=method, days_until_due=30))
        assert (codes(planned), planned.refused) == (["unused_days_until_due"], False)
        assert "invoice_settings" not in request(planned)["phases"][0]

    @pytest.mark.parametrize(("amount", "refused"), [("5", False), ("5.50", True)])
    def test_a_discount_that_the_currency_of_the_org_cannot_express(self, amount: str, refused: bool) -> None:
        whole = order("1", YEAR, currency=None, amount_off=amount)
        part = order("1", replace(YEAR, amount_off=Decimal(amount)), currency=None)
        for one in (whole, part):
            planned = plan(one, currency="JPY")
            assert (codes(planned), planned.refused) == (["discount_out_of_range"] if refused else [], refused)
            assert not plan(one, currency="USD").refused

    def test_the_findings_of_the_consolidation_stay(self) -> None:
        gap = order("1", line("802-1", "2025-06-01", "2025-07-01"), line("802-2", "2025-08-01", "2025-09-01"))
        planned = plan(gap)
        assert (codes(planned), planned.refused, planned.phases) == (["phase_gap"], True, ())


class TestCoupons:
    CHEAP = order(
        "1",
        line("802-1", "2025-01-01", "2025-06-01", percent_off="10"),
        line("802-2", "2025-06-01", "2026-01-01", 2, percent_off="20"),
        line("802-3", "2025-06-01", "2026-01-01", price="price_B", amount_off="5"),
        percent_off=15,
    )

    def coupons(self, key: str = "key", now: str = "2025-03-01", order_: Order = CHEAP) -> dict[str, Discount]:
        return {coupon.id: coupon.discount for _, coupon in plan(order_, now=moment(now)).coupons(key)}

    def test_one_for_each_place(self) -> None:
        places = [place for place, _ in plan(self.CHEAP).coupons("key")]
        assert places == [(0, None), (0, "price_A"), (1, None), (1, "price_A"), (1, "price_B")]
        assert len(self.coupons()) == 5

    def test_the_same_key_names_the_same_coupons(self) -> None:
        assert self.coupons() == self.coupons(now="2025-04-01")
        assert not self.coupons("other key").keys() & self.coupons().keys()

    def test_an_id_means_the_same_discount_although_phases_have_passed(self) -> None:
        """A run is cut off after it has made its coupons, and the next one comes when the first phase is over."""
        before, after = self.coupons(), self.coupons(now="2025-07-01")
        assert len(after) == 3
        assert after.items() <= before.items()

    def test_another_discount_in_the_same_place_is_another_coupon(self) -> None:
        dearer = replace(self.CHEAP, percent_off=Decimal(16))
        assert len(self.coupons(order_=dearer).keys() & self.coupons().keys()) == 3

    @pytest.mark.parametrize(
        ("discount", "currency", "params"),
        [
            (Discount(percent_off=Decimal("12.50")), "USD", {"percent_off": 12.5, "name": "12.5% off"}),
            (Discount(percent_off=Decimal(100)), "USD", {"percent_off": 100.0, "name": "100% off"}),
            (Discount(amount_off=Decimal(5)), "USD", {"amount_off": 500, "currency": "usd", "name": "5.00 USD off"}),
            (Discount(amount_off=Decimal(5)), "JPY", {"amount_off": 5, "currency": "jpy", "name": "5 JPY off"}),
            (Discount(amount_off=Decimal("1.23")), "KWD", {"amount_off": 1230, "currency": "kwd", "name": "1.230 KWD off"}),
            (Discount(amount_off=Decimal(5)), "ISK", {"amount_off": 500, "currency": "isk", "name": "5.00 ISK off"}),
            (
                Discount(amount_off=Decimal("999999999999.99")),
                "USD",
                {"amount_off": 99_999_999_999_999, "currency": "usd", "name": "999999999999.99 USD off"},
            ),
        ],
    )
    def test_a_coupon_is_for_one_use_and_as_long_as_its_phase(
        self, discount: Discount, currency: str, params: dict[str, Any]
    ) -> None:
        made = Coupon("orderphase_1", discount, currency).params(METADATA)
        assert made == {
            "id": "orderphase_1",
            "duration": "forever",
            "max_redemptions": 1,
            "metadata": METADATA,
            **params,
        }
        parameters.check("coupons.create", made)


class TestFingerprint:
    BASE = order(
        "1",
        replace(YEAR, percent_off=Decimal(10)),
        line("802-2", "2025-06-01", "2026-06-01", price="price_B"),
        collection_method="send_invoice",
        days_until_due=30,
        percent_off=5,
    )

    def of(self, *orders: Order, **policies: Any) -> str:
        return fingerprint(consolidated(*as_sold(orders), **policies))

    def test_64_characters(self) -> None:
        assert len(self.of(self.BASE)) == 64

    def test_line_ids_and_their_order_do_not_matter(self) -> None:
        first, second = self.BASE.lines
        renamed = replace(self.BASE, lines=(replace(second, id="802-0"), replace(first, id="802-9")))
        assert self.of(renamed) == self.of(self.BASE)

    def test_how_the_lines_are_divided_among_orders_does_not_matter(self) -> None:
        first, second = self.BASE.lines
        other = replace(self.BASE, id="801-2", number="2", lines=(second,))
        assert self.of(replace(self.BASE, lines=(first,)), other) == self.of(self.BASE)

    def test_findings_do_not_matter(self) -> None:
        with_zero = replace(self.BASE, lines=(*self.BASE.lines, line("802-3", "2025-06-01", quantity=0)))
        assert self.of(with_zero) == self.of(self.BASE)

    def test_what_becomes_of_a_price_book_entry_does_not_matter(self) -> None:
        sold = replace(YEAR, price_id=None, entry=entry("01uA", price="10"), unit_price=Decimal(10))
        known = replace(sold, entry=entry("01uA", price="10", price_id="price_1"))
        dearer = replace(sold, entry=entry("01uA", price="12", price_id="price_2"))
        assert len({self.of(order("1", one)) for one in (sold, known, dearer)}) == 1

    def test_the_items_stand_in_the_order_of_what_was_sold(self) -> None:
        first = replace(YEAR, price_id=None, entry=entry("01uA"))
        second = line("802-2", "2025-06-01", "2026-06-01", price="price_5")
        assert self.of(order("1", first, second)) == self.of(order("1", second, first))

    @pytest.mark.parametrize(
        "changed",
        [
            {"percent_off": Decimal(6)},
            {"percent_off": None},
            {"percent_off": None, "amount_off": Decimal(5)},
            {"collection_method": "charge_automatically"},
            {"days_until_due": Decimal(31)},
            {"currency": "EUR"},
        ],
    )
    def test_what_an_order_states_matters(self, changed: dict[str, Any]) -> None:
        assert self.of(replace(self.BASE, **changed)) != self.of(self.BASE)

    @pytest.mark.parametrize(
        "changed",
        [
            {"quantity": Decimal(4)},
            {"price_id": "price_C"},
            {"percent_off": Decimal(11)},
            {"percent_off": None},
            {"start": moment("2025-06-02")},
            {"end": moment("2026-06-02")},
            {"end": None},
        ],
    )
    def test_what_a_line_says_matters(self, changed: dict[str, Any]) -> None:
        first, second = self.BASE.lines
        alone = replace(self.BASE, lines=(first,))
        assert self.of(replace(alone, lines=(replace(first, **changed),))) != self.of(alone)
        assert self.of(alone) != self.of(replace(alone, lines=(second,)))

    @pytest.mark.parametrize(
        "changed", [{"proration_behavior": "none"}, {"billing_mode": "classic"}, {"billing_cycle_anchor": "phase_start"}]
    )
    def test_how_a_deployment_bills_does_not_matter(self, changed: dict[str, Any]) -> None:
        assert self.of(self.BASE, **changed) == self.of(self.BASE)

    def test_what_only_says_how_to_read_does_not_matter(self) -> None:
        assert self.of(self.BASE, quantity_conflict="latest", backdating="reject") == self.of(self.BASE)

    def test_a_discount_is_what_it_is_worth(self) -> None:
        same = replace(self.BASE, percent_off=Decimal("5.00"))
        assert self.of(same) == self.of(self.BASE)


# Every request that can be planned

DAY = timedelta(days=1)
PRICES = {"A": ("month", 1), "B": ("month", 3), "C": ("year", 1)}
DISCOUNTS: list[dict[str, Any]] = [{}, {}, {"percent_off": "12.5"}, {"amount_off": "3"}]


@st.composite
def ramps(draw: st.DrawFn) -> list[Order]:
    """An order for each stretch of time, with one to three prices."""
    lengths = draw(st.lists(st.integers(1, 400), min_size=1, max_size=6))
    open_end = draw(st.booleans())
    start, orders = datetime(2025, 1, 1, tzinfo=UTC), []
    for number, length in enumerate(lengths):
        end = None if open_end and number == len(lengths) - 1 else start + length * DAY
        chosen = draw(st.lists(st.sampled_from(sorted(PRICES)), min_size=1, max_size=3, unique=True))
        lines = [
            replace(
                line(f"802-{number}{price}", "2025-01-01", quantity=draw(st.integers(1, 3)), price=price, **draw(discounts)),
                start=start,
                end=end,
            )
            for price in chosen
        ]
        stated: dict[str, Any] = draw(st.sampled_from([{}, {"collection_method": "send_invoice", "days_until_due": 14}]))
        orders.append(order(f"{number}", *lines, **stated, **draw(discounts)))
        start += length * DAY
    return orders


discounts = st.sampled_from(DISCOUNTS)


@settings(max_examples=60)
@given(orders=ramps(), elapsed=st.integers(-10, 1500), anchor=st.sampled_from(["automatic", "phase_start"]))
@example(orders=[order("1", line("802-1", "2025-01-01", price="A"))], elapsed=0, anchor="automatic")
@example(orders=[order("1", line("802-1", "2025-01-01", price="A"))], elapsed=1154, anchor="phase_start")
def test_stripe_takes_every_plan_and_makes_its_phases(orders: list[Order], elapsed: int, anchor: str) -> None:
    now = datetime(2025, 1, 1, 9, 30, tzinfo=UTC) + elapsed * DAY
    planned = plan(*orders, now=now, billing_cycle_anchor=anchor)
    if planned.refused:
        assert codes(planned) == ["end_in_past"]
        return
    with served(now) as stripe:
        prices = made_prices(stripe)
        account = stripe.account()
        coupons: dict[tuple[int, str | None], str] = {}
        for place, coupon in planned.coupons("key"):
            account.ensure_coupons([coupon], METADATA)
            coupons[place] = coupon.id
        customer = stripe.connection().api.customers.create({}).id
        params = planned.params(customer=customer, prices=prices, coupons=coupons, metadata=METADATA)
        account.create_schedule(params, key="key")
        (schedule,) = stripe.objects("subscription_schedule")

    assert (schedule["status"] == "active") == planned.starts_now
    assert schedule["end_behavior"] == planned.end_behavior
    assert schedule["metadata"] == METADATA
    assert [seen(phase) for phase in schedule["phases"]] == [
        wanted(planned, number, prices, coupons) for number in range(len(planned.phases))
    ]


def made_prices(stripe: Any) -> dict[str, str]:
    api = stripe.connection().api
    product = api.products.create({"name": "Product"}).id
    made = {}
    for name, (interval, count) in PRICES.items():
        recurring = {"interval": interval, "interval_count": count}
        made[name] = api.prices.create({"product": product, "currency": "usd", "unit_amount": 1000, "recurring": recurring}).id
    return made


def seen(phase: dict[str, Any]) -> dict[str, Any]:
    terms = phase["invoice_settings"]
    return {
        "start": phase["start_date"],
        "end": phase["end_date"],
        "items": [
            (item["price"], item["quantity"], [one["coupon"] for one in item["discounts"]], item["metadata"])
            for item in phase["items"]
        ],
        "discounts": [one["coupon"] for one in phase["discounts"]],
        "collection": (phase["collection_method"], terms and terms["days_until_due"]),
        "metadata": phase["metadata"],
        "anchor": phase["billing_cycle_anchor"],
    }


def a_year_after(start: datetime) -> datetime:
    """Stripe has no open phase; ours is said to last a year."""
    leap_day = (start.month, start.day) == (2, 29)
    return start.replace(year=start.year + 1, day=28 if leap_day else start.day)


def wanted(
    planned: Plan, number: int, prices: Mapping[str, str], coupons: Mapping[tuple[int, str | None], str]
) -> dict[str, Any]:
    phase = planned.phases[number]
    end = phase.end or a_year_after(phase.start)
    return {
        "start": int(phase.start.timestamp()),
        "end": int(end.timestamp()),
        "items": [
            (
                prices[item.price],
                item.quantity,
                [coupons[number, item.price]] if item.discount else [],
                {"salesforce_order_item_ids": ",".join(item.lines)},
            )
            for item in phase.items
        ],
        "discounts": [coupons[number, None]] if phase.settings.discount else [],
        "collection": (phase.settings.collection_method, phase.settings.days_until_due),
        "metadata": METADATA,
        "anchor": planned.policies.billing_cycle_anchor,
    }


def test_a_consolidation_that_is_refused_plans_nothing() -> None:
    refused = Consolidation((), "cancel", consolidated(order("1", line("802-1", "2025-01-01", price=None))).findings, None)
    planned = plan_creation(refused, currency="USD", now=NOW, policies=Policies())
    assert codes(planned) == ["missing_price"]
