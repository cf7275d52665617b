"""What was sold for the time before now: told, refused, or caught up by one-time items."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orderphase.domain.backdating import MAX_ONE_TIME_ITEMS, CatchUp, Missed, SoldPrice, catch_up, missed, sold_prices
from orderphase.domain.catalogue import BillingInterval, Unit
from orderphase.domain.findings import Finding
from orderphase.domain.lines import BilledAt, Order
from orderphase.domain.phases import Phase
from orderphase.domain.planning import Plan
from orderphase.domain.policies import Policies
from tests.domain.builders import UTC_ZONE, consolidated, entry, line, moment, order
from tests.domain.stripe_desk import ACCOUNT, Desk, bills_what_is_wanted

YEAR = ("2025-01-01", "2026-01-01")


def monthly(amount: str = "10", unit: Unit = "month", count: int = 1) -> SoldPrice:
    return SoldPrice(Decimal(amount), BillingInterval(unit, count))


def phases(*orders: Order) -> tuple[Phase, ...]:
    return consolidated(*orders, quantity_conflict="sum").phases


def intervals(wanted: Order, settled: Order | None, now: str) -> list[Missed]:
    return missed(phases(wanted), phases(settled) if settled else (), now=moment(now))


class TestMissed:
    ONE = order("1", line("a", *YEAR))

    def spans(self, wanted: Order, settled: Order | None, now: str = "2025-03-15T12:00:00") -> list[tuple[str, str]]:
        return [(f"{one.start:%F}", f"{one.end:%F}") for one in intervals(wanted, settled, now)]

    def test_nothing_is_settled_yet(self) -> None:
        (one,) = intervals(self.ONE, None, "2025-03-15T12:00:00")
        assert (one.start, one.end, one.was, one.wanted) == (
            moment("2025-01-01"),
            moment("2025-03-15T12:00:00"),
            None,
            phases(self.ONE)[0],
        )

    def test_all_is_settled(self) -> None:
        assert self.spans(self.ONE, self.ONE) == []
        assert self.spans(self.ONE, None, "2025-01-01") == []

    def test_the_time_to_come_makes_no_difference(self) -> None:
        later = order("1", line("a", *YEAR), line("b", "2025-03-16", "2026-01-01", 2))
        assert self.spans(later, self.ONE) == []

    def test_a_change_since_some_day(self) -> None:
        more = order("1", line("a", *YEAR), line("b", "2025-02-01", "2026-01-01", 2))
        assert self.spans(more, self.ONE) == [("2025-02-01", "2025-03-15")]

    def test_only_a_while(self) -> None:
        more = order("1", line("a", *YEAR), line("b", "2025-02-01", "2025-02-15", 2))
        assert self.spans(more, self.ONE) == [("2025-02-01", "2025-02-15")]

    def test_each_difference_by_itself(self) -> None:
        more = order("1", line("a", *YEAR), line("b", "2025-02-01", "2026-01-01", 2), line("c", "2025-03-01", "2026-01-01"))
        assert self.spans(more, self.ONE) == [("2025-02-01", "2025-03-01"), ("2025-03-01", "2025-03-15")]

    def test_what_is_sold_and_settled_alike_is_one(self) -> None:
        """Boundaries that make no difference on either side do not cut."""
        sent = order("1", line("a", "2025-01-01", "2025-02-01"), collection_method="send_invoice", days_until_due=30)
        rest = order("2", line("b", "2025-02-01", "2026-01-01"))
        found = missed(phases(sent, rest), (), now=moment("2025-03-15"))
        assert [(f"{one.start:%F}", f"{one.end:%F}") for one in found] == [("2025-01-01", "2025-03-15")]

    def test_how_it_is_collected_makes_no_difference(self) -> None:
        sent = order("1", line("a", *YEAR), collection_method="send_invoice", days_until_due=30)
        assert self.spans(sent, self.ONE) == []

    @pytest.mark.parametrize("off", [{"percent_off": "10"}, {"amount_off": "5"}])
    def test_discounts_do(self, off: dict[str, str]) -> None:
        assert self.spans(order("1", line("a", *YEAR, **off)), self.ONE) == [("2025-01-01", "2025-03-15")]
        assert self.spans(order("1", line("a", *YEAR), **off), self.ONE) == [("2025-01-01", "2025-03-15")]

    def test_what_ended_before_it_was_settled_to(self) -> None:
        short = order("1", line("a", "2025-01-01", "2025-03-01"))
        (one,) = intervals(short, self.ONE, "2025-03-15")
        assert (one.start, one.end, one.wanted) == (moment("2025-03-01"), moment("2025-03-15"), None)


class TestCatchUp:
    def items(
        self,
        wanted: Order,
        settled: Order | None,
        now: str,
        prices: dict[str, SoldPrice] | None = None,
        *,
        currency: str = "USD",
        zone: ZoneInfo = UTC_ZONE,
    ) -> list[CatchUp]:
        items, problems = self.both(wanted, settled, now, prices, currency=currency, zone=zone)
        assert problems == []
        return items

    @staticmethod
    def both(
        wanted: Order, settled: Order | None, now: str, prices: dict[str, SoldPrice] | None = None, **more: Any
    ) -> tuple[list[CatchUp], list[Finding]]:
        found = intervals(wanted, settled, now)
        anchor = phases(wanted)[0].start
        options: dict[str, Any] = {"currency": "USD", "zone": UTC_ZONE, **more}
        return catch_up(found, prices if prices is not None else {"price_A": monthly()}, anchor=anchor, **options)

    @pytest.mark.parametrize(
        ("start", "now", "price", "amount"),
        [
            # whole cycles
            ("2025-01-01", "2025-04-01", monthly(), 3000),
            ("2025-01-01", "2026-01-01", monthly("120", "year"), 12000),
            ("2025-01-01", "2025-07-01", monthly("30", "month", 3), 6000),
            ("2025-01-01", "2025-01-15", monthly("7", "week"), 1400),
            ("2025-01-01", "2025-01-15", monthly("1", "day"), 1400),
            # a part of one, by the second: 14.5 of 31 days; 14.5 of 28
            ("2025-01-01", "2025-01-15T12:00:00", monthly(), 468),
            ("2025-02-01", "2025-02-15T12:00:00", monthly(), 518),
            ("2025-01-01", "2025-01-01T00:00:01", monthly("2678400"), 100),
            # of a longer one, its whole months, and a part of one by the second: six; six and 15.5 of 31 days; days of a week
            ("2025-01-01", "2025-07-01", monthly("365", "year"), 18250),
            ("2025-01-01", "2025-07-16T12:00:00", monthly("120", "year"), 6500),
            ("2025-01-01", "2025-02-01", monthly("30", "month", 3), 1000),
            ("2025-01-01", "2025-01-04T12:00:00", monthly("7", "week"), 350),
            # exactly half a cent, of a number of months that has no end as a decimal fraction
            ("2025-01-01", "2025-08-01", monthly("4.50", "year"), 263),
            # month ends: the anchor is the 31st, so the second cycle goes from 28 February to 31 March
            ("2025-01-31", "2025-02-28", monthly(), 1000),
            ("2025-01-31", "2025-03-31", monthly(), 2000),
            ("2025-01-31", "2025-03-15T12:00:00", monthly(), 1500),
            ("2024-02-29", "2025-02-28", monthly("120", "year"), 12000),
            ("2024-02-29", "2028-02-29", monthly("120", "year"), 48000),
            # half a cent is a cent
            ("2025-01-01", "2025-02-01", monthly("0.005"), 1),
            ("2025-01-01", "2025-02-01", monthly("0.0049"), None),
        ],
    )
    def test_amounts(self, start: str, now: str, price: SoldPrice, amount: int | None) -> None:
        items = self.items(order("1", line("a", start)), None, now, {"price_A": price})
        assert items == ([CatchUp("price_A", amount, moment(start), moment(now))] if amount else [])

    @pytest.mark.parametrize(
        ("currency", "amount", "minor"),
        [("JPY", "10000", 4677), ("KWD", "1.234", 580), ("ISK", "100", 4700), ("USD", "100", 4677), ("BHD", "1", 470)],
    )
    def test_minor_units(self, currency: str, amount: str, minor: int) -> None:
        """14.5 of 31 days, to the smallest amount that the currency can express."""
        wanted = order("1", line("a", *YEAR), currency=currency)
        (item,) = self.items(wanted, None, "2025-01-15T12:00:00", {"price_A": monthly(amount)}, currency=currency)
        assert item.amount == minor

    def test_what_is_caught_up_is_what_stripe_would_have_billed(self) -> None:
        """Ten units at a price that is rounded, not a rounded sum."""
        wanted = order("1", line("a", *YEAR, 10), currency="KWD")
        (item,) = self.items(wanted, None, "2025-02-01", {"price_A": monthly("1.234")}, currency="KWD")
        assert item.amount == 12300

    def test_days_are_those_of_the_billing_zone(self) -> None:
        """March has an hour less in New York."""
        zone = ZoneInfo("America/New_York")
        wanted = order("1", line("a", "2025-03-01T05:00:00"))
        for now, amount in (("2025-04-01T04:00:00", 74300), ("2025-03-10T04:00:00", 21500)):
            (item,) = self.items(wanted, None, now, {"price_A": monthly("743")}, zone=zone)
            assert item.amount == amount

    def test_a_part_counts_from_the_contracts_own_cycles(self) -> None:
        """The change came in the middle of February, and February ends on the 28th."""
        settled, wanted = order("1", line("a", *YEAR)), order("1", line("a", *YEAR), line("b", "2025-02-15", "2026-01-01"))
        assert self.items(wanted, settled, "2025-04-01") == [
            CatchUp("price_A", 1500, moment("2025-02-15"), moment("2025-04-01")),
        ]

    def test_less_is_a_credit(self) -> None:
        settled, wanted = order("1", line("a", *YEAR, 3)), order("1", line("a", *YEAR, 1))
        assert self.items(wanted, settled, "2025-03-01") == [
            CatchUp("price_A", -4000, moment("2025-01-01"), moment("2025-03-01"))
        ]

    def test_half_a_cent_of_credit_is_a_cent_as_well(self) -> None:
        settled, wanted = order("1", line("a", *YEAR, 2)), order("1", line("a", *YEAR, 1))
        (item,) = self.items(wanted, settled, "2025-08-01", {"price_A": monthly("4.50", "year")})
        assert item.amount == -263

    def test_another_price_is_a_credit_and_a_charge(self) -> None:
        prices = {"price_A": monthly(), "price_B": monthly("25")}
        settled, wanted = order("1", line("a", *YEAR)), order("1", line("a", *YEAR, price="price_B"))
        items = self.items(wanted, settled, "2025-03-01", prices)
        assert [(item.price, item.amount) for item in items] == [("price_A", -2000), ("price_B", 5000)]

    @pytest.mark.parametrize(
        ("on_line", "on_order", "amount"), [("10", None, 1800), (None, "25", 1500), ("10", "50", 900), ("100", None, None)]
    )
    def test_a_percentage_is_taken_off(self, on_line: str | None, on_order: str | None, amount: int | None) -> None:
        off = {"percent_off": on_line} if on_line else {}
        wanted = order("1", line("a", *YEAR, **off), percent_off=on_order)
        assert [item.amount for item in self.items(wanted, None, "2025-03-01")] == ([amount] if amount else [])

    def test_a_percentage_that_changes_is_the_difference(self) -> None:
        settled, wanted = order("1", line("a", *YEAR, percent_off="10")), order("1", line("a", *YEAR, percent_off="25"))
        assert [item.amount for item in self.items(wanted, settled, "2025-03-01")] == [-300]

    @pytest.mark.parametrize(
        "wanted", [order("1", line("a", *YEAR, amount_off="5")), order("1", line("a", *YEAR), amount_off="5")]
    )
    def test_an_amount_off_cannot_be(self, wanted: Order) -> None:
        items, (found,) = self.both(wanted, None, "2025-03-01")
        assert (items, found.code, found.severity, found.lines) == ([], "catch_up_unknown", "error", ("a",))
        assert found.message == "An amount off price_A belongs to one invoice, so the time before now cannot be caught up."

    def test_nor_a_price_that_only_stripe_knows(self) -> None:
        items, (found,) = self.both(order("1", line("a", *YEAR)), None, "2025-03-01", {})
        assert (items, found.code, found.lines) == ([], "catch_up_unknown", ("a",))
        assert found.message == "What price_A costs is known to Stripe alone, so the time before now cannot be caught up."

    @pytest.mark.parametrize("same", [line("a", *YEAR), line("a", *YEAR, amount_off="5")])
    def test_what_has_not_changed_need_not_be_known(self, same: Any) -> None:
        """Another price has; and that a line has another id is no change."""
        settled = order("1", replace(same, price_id="price_X"))
        wanted = order("1", replace(same, id="z", price_id="price_X"), line("b", *YEAR))
        assert [(item.price, item.amount) for item in self.items(wanted, settled, "2025-03-01")] == [("price_A", 2000)]

    def test_more_units_of_an_amount_off_are_a_change(self) -> None:
        settled, wanted = order("1", line("a", *YEAR, amount_off="5")), order("1", line("a", *YEAR, 2, amount_off="5"))
        items, (found,) = self.both(wanted, settled, "2025-03-01")
        assert (items, found.code) == ([], "catch_up_unknown")

    def test_of_too_many_items_each_price_has_one(self) -> None:
        """Stripe takes twenty in a phase; 21 months of one price are one item of the same amount."""
        months = [f"{2025 + number // 12}-{number % 12 + 1:02}-01" for number in range(22)]
        for count, expected in ((20, 20), (21, 1)):
            lines = [line(f"{n:02}", months[n], months[n + 1], n + 1) for n in range(count)]
            items = self.items(order("1", *lines), None, months[count])
            assert (len(items), sum(item.amount for item in items)) == (expected, 1000 * count * (count + 1) // 2)
            assert (items[0].start, items[-1].end) == (moment("2025-01-01"), moment(months[count]))

    def test_more_than_twenty_prices_are_too_many(self) -> None:
        names = [f"price_{number:02}" for number in range(21)]
        old = order("1", *(line(f"{name}a", "2025-01-01", "2025-02-01", price=name) for name in names[:11]))
        new = order("2", *(line(f"{name}b", "2025-02-01", "2026-01-01", price=name) for name in names[11:]))
        found = missed(phases(old, new), (), now=moment("2025-03-01"))
        prices = dict.fromkeys(names, monthly())
        _, (problem,) = catch_up(found, prices, anchor=moment("2025-01-01"), zone=UTC_ZONE, currency="USD")
        assert (problem.code, problem.severity, len(names) - MAX_ONE_TIME_ITEMS) == ("too_many_items", "error", 1)


class TestSoldPrices:
    def test_it_is_what_the_price_is_made_of_and_unknown_of_a_line_of_which_it_was_not_noted(self) -> None:
        book = entry("01uA", price="12", price_id="price_A")
        lines = (
            line("a", *YEAR, price=None, entry=book, unit_price="10"),
            line("b", *YEAR, price=None, entry=replace(book, id="01uB", price_id="price_B")),
            line("c", *YEAR, price="price_C", unit_price="9"),
            line("d", *YEAR, price=None, entry=entry("01uD", unit=None)),
            line("e", *YEAR, price=None),
            line("f", *YEAR, price=None, entry=replace(book, id="01uF", price_id=None)),
            line("g", *YEAR, price=None, entry=book, unit_price="10", billed_at=BilledAt("price_G")),
            line("h", *YEAR, price=None, entry=book, billed_at=BilledAt("price_H")),
        )
        assert sold_prices([order("1", *lines)]) == {
            "price_A": monthly("12"),
            "price_B": monthly("12"),
            "01uF": monthly("12"),
        }

    def test_what_was_noted_precedes_it_and_is_known_of_what_no_line_is_billed_at_any_more(self) -> None:
        book = entry("01uA", price="12", price_id="price_A")
        orders = [order("1", line("a", *YEAR, price=None, entry=book))]
        noted = [
            BilledAt("price_A", Decimal(9), Decimal(10), BillingInterval("year")),
            BilledAt("price_Z", None, Decimal(8), BillingInterval("month")),
            BilledAt("price_Y", Decimal(9)),
        ]
        assert sold_prices(orders, noted) == {"price_A": monthly("10", "year"), "price_Z": monthly("8")}


ONE = order("1", line("a", *YEAR))


class TestNew:
    """A contract that began before it was first planned."""

    def messages(self, now: str, zone: str = "UTC") -> list[str]:
        desk = Desk(moment(now), Policies(time_zone=zone))
        return [found.message for found in desk.plan(desk.sold(ONE)).findings if found.code == "start_in_past"]

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
        told = self.messages(now, zone)
        assert len(told) == (days is not None)
        assert days is None or f" {days} before today are not billed" in told[0]

    def test_it_is_a_warning_with_what_it_is_about(self) -> None:
        desk = Desk(moment("2025-03-01T12:00:00"), Policies())
        planned = desk.run(desk.sold(ONE))
        (found,) = planned.findings
        assert (found.code, found.severity, found.lines) == ("start_in_past", "warning", ("a",))
        assert (found.start, found.end, planned.action) == (moment("2025-01-01"), desk.now, "create")
        assert found.message == "The contract starts on 2025-01-01; 59 days before today are not billed."

    def test_it_may_be_refused(self) -> None:
        desk = Desk(moment("2025-01-01T18:00:00"), Policies(backdating="reject"))
        assert not desk.plan(desk.sold(ONE)).refused
        desk.clock.set(moment("2025-01-02"), frozen=True)
        planned = desk.run(desk.sold(ONE))
        assert ([one.code for one in planned.findings], planned.refused) == (["start_in_past"], True)

    def test_it_may_be_caught_up(self) -> None:
        desk = Desk(moment("2025-03-15T12:00:00"), Policies(backdating="catch_up"))
        planned = desk.run(desk.sold(ONE))
        assert planned.findings == ()
        (sent,) = desk.requests[0]["phases"][0]["add_invoice_items"]
        assert sent == {
            "price_data": {"currency": "usd", "product": desk.product, "unit_amount": 2468},
            "quantity": 1,
            "discountable": False,
            "period": {
                "start": {"type": "timestamp", "timestamp": moment("2025-01-01").timestamp()},
                "end": {"type": "timestamp", "timestamp": desk.now.timestamp()},
            },
        }
        assert [one.amount for one in desk.emulator.invoice_items(ACCOUNT)] == [2468]


class TestChange:
    """A change order that begins before it is planned."""

    MORE = order("2", line("b", "2025-02-01", "2026-01-01", 2), effective="2025-02-01")

    def changed(self, *, remembers: bool = True, now: str = "2025-03-15T12:00:00", **policies: Any) -> tuple[Desk, Plan]:
        desk = Desk(moment("2025-01-01"), Policies(quantity_conflict="sum", **policies), remembers=remembers)
        desk.run(desk.sold(ONE))
        desk.clock.set(moment(now), frozen=True)
        planned = desk.run(desk.sold(ONE, self.MORE))
        if not planned.refused:
            bills_what_is_wanted(desk, planned.wanted)
        return desk, planned

    @pytest.mark.parametrize("remembers", [True, False])
    def test_from_now_on(self, remembers: bool) -> None:
        desk, planned = self.changed(remembers=remembers)
        (found,) = planned.findings
        assert (found.code, found.severity, found.lines) == ("change_in_past", "warning", ("a", "b"))
        assert found.message == "Orders change what was sold from 2025-02-01 on; 42 days before today stay billed as they were."
        assert desk.emulator.invoice_items(ACCOUNT) == []

    def test_of_today_nothing_is_said(self) -> None:
        _, planned = self.changed(now="2025-02-01T23:59:59")
        assert planned.findings == ()

    def test_it_may_be_refused(self) -> None:
        desk, planned = self.changed(backdating="reject")
        assert [(one.code, one.severity) for one in planned.findings] == [("change_in_past", "error")]
        assert len(desk.requests) == 1

    def test_it_is_caught_up_once(self) -> None:
        desk, planned = self.changed(backdating="catch_up")
        assert planned.findings == ()
        assert [(one.ends_now, one.starts_now, len(one.catch_up)) for one in planned.sent] == [
            (True, False, 0),
            (False, True, 1),
        ]
        desk.clock.set(moment("2025-05-01"), frozen=True)
        assert desk.run(desk.sold(ONE, self.MORE)).action == "nothing"
        (item,) = desk.emulator.invoice_items(ACCOUNT)
        # 28 days of February and 14.5 of the 31 of March, two more.
        assert (item.amount, item.period_start, item.discountable) == (2935, moment("2025-02-01").timestamp(), False)

    def test_what_was_settled_is_not_known(self) -> None:
        """It may have been caught up already, so it is told and not done."""
        desk, planned = self.changed(backdating="catch_up", remembers=False)
        (found,) = planned.findings
        assert (found.code, found.severity, found.lines) == ("catch_up_unknown", "warning", ("a", "b"))
        assert (found.start, found.end) == (moment("2025-02-01"), moment("2025-03-15T12:00:00"))
        assert desk.emulator.invoice_items(ACCOUNT) == []

    def test_a_while_that_is_over_leaves_what_is_to_come(self) -> None:
        """Only the past differs: the phase is ended and begun again for the one-time item."""
        desk = Desk(moment("2025-01-01"), Policies(quantity_conflict="sum", backdating="catch_up"))
        desk.run(desk.sold(ONE))
        desk.clock.set(moment("2025-03-15T12:00:00"), frozen=True)
        while_ = order("2", line("b", "2025-02-01", "2025-03-01", 2), effective="2025-02-01")
        planned = desk.run(desk.sold(ONE, while_))
        assert [item.quantity for one in planned.sent for item in one.phase.items] == [1, 1]
        assert [one.amount for one in desk.emulator.invoice_items(ACCOUNT)] == [2000]
        bills_what_is_wanted(desk, planned.wanted)
