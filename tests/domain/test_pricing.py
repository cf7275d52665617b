"""What a line is billed at: the unit price of one interval, and a price of its own where no price book has it."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderphase.domain.calendar import end_instant, instant
from orderphase.domain.catalogue import BillingInterval, PriceBookEntry, Unit
from orderphase.domain.consolidation import consolidate
from orderphase.domain.lines import BilledAt, Order, OrderLine
from orderphase.domain.money import minor_units
from orderphase.domain.policies import Policies
from orderphase.domain.pricing import priced, sold_otherwise, undivided
from tests.domain.builders import UTC_ZONE, entry, line, order
from tests.domain.strategies import ZONES, thorough

YEAR = ("2025-01-01", "2026-01-01")
DEFAULTS = Policies()
MONTHLY = BillingInterval("month")
TERM = Policies(unit_prices="per_term")
BOOK = entry(price="10", price_id="price_10", currency="USD")


def sold(line_id: str = "a", at: Any = "9", *, book: PriceBookEntry = BOOK, **more: Any) -> OrderLine:
    """A line that names no Stripe price, sold at a unit price."""
    given: dict[str, Any] = {"price": None, "entry": book} | ({} if at is None else {"unit_price": at}) | more
    return line(line_id, *YEAR, **given)


def one(given_line: OrderLine, policies: Policies = DEFAULTS, currency: str | None = "USD") -> OrderLine:
    """The line as it is priced."""
    ((found,),) = (order.lines for order in priced([order("1", given_line, currency=currency)], policies, None))
    return found


def custom(given_line: OrderLine, policies: Policies = DEFAULTS, currency: str | None = "USD") -> PriceBookEntry:
    """The entry of its own that the line has got."""
    found = one(given_line, policies, currency).entry
    assert found is not None
    assert found.custom
    return found


class TestCustomPrices:
    def test_a_line_has_an_entry_of_its_own(self) -> None:
        found = one(sold())
        assert found.entry == replace(BOOK, id="01t-01u_usd_900_month1", price_id=None, unit_price=Decimal(9), custom=True)
        assert (found.price, found.price_id, found.unit_price) == ("01t-01u_usd_900_month1", None, Decimal(9))

    @pytest.mark.parametrize(
        "untouched",
        [
            sold(at="10.00"),
            sold(at=None),
            sold(at="10.0000000000000001"),
            sold(book=replace(BOOK, unit_price=None)),
            line("a", *YEAR, price="price_9", entry=BOOK, unit_price="9"),
            line("a", *YEAR, price=None, unit_price="9"),
        ],
        ids=["the same", "not stated", "as far as Stripe knows", "no standard price", "a Stripe price", "no entry"],
    )
    def test_others_are_left_alone(self, untouched: OrderLine) -> None:
        assert one(untouched) is untouched

    @pytest.mark.parametrize("policy", ["error", "standard"])
    def test_under_other_policies_no_line_has_one(self, policy: Any) -> None:
        assert one(sold(), Policies(custom_pricing=policy)).entry is BOOK

    def test_a_price_below_zero_is_told_as_such(self) -> None:
        assert [code for code, _ in custom(sold(at="-9")).faults("USD")] == ["invalid_unit_price"]

    def test_nothing_is_a_price_too(self) -> None:
        assert custom(sold(at="0")).id == "01t-01u_usd_0_month1"

    @pytest.mark.parametrize(
        "same",
        [
            sold(at="9.000"),
            sold("b", quantity=7, percent_off="10"),
            sold(book=replace(BOOK, price_id=None)),
            sold(book=replace(BOOK, unit_price=Decimal(11))),
            sold(book=replace(BOOK, interval_count=Decimal("1.0"))),
            sold(book=replace(BOOK, product=replace(BOOK.product, name="Renamed", product_id="prod_1"))),
        ],
    )
    def test_the_same_content_is_the_same_price(self, same: OrderLine) -> None:
        assert custom(same).id == custom(sold()).id

    def test_whichever_way_the_currency_is_stated(self) -> None:
        ids = {custom(sold(), currency=currency).id for currency in ("USD", "usd")}
        (found,) = priced([order("1", sold(), currency=None)], Policies(), "USD")
        assert {*ids, found.lines[0].price} == {"01t-01u_usd_900_month1"}

    @pytest.mark.parametrize(
        ("other", "currency"),
        [
            (sold(at="9.01"), "USD"),
            (sold(at="9.00000000000001"), "USD"),
            (sold(), "EUR"),
            (sold(), None),
            (sold(book=replace(BOOK, interval_unit="week")), "USD"),
            (sold(book=replace(BOOK, interval_count=Decimal(3))), "USD"),
            (sold(book=replace(BOOK, interval_unit="year")), "USD"),
            (sold(book=replace(BOOK, product=replace(BOOK.product, id="01t-2"))), "USD"),
        ],
    )
    def test_another_content_is_another_price(self, other: OrderLine, currency: str | None) -> None:
        assert custom(other, currency=currency).id != custom(sold()).id

    @pytest.mark.parametrize(
        ("at", "currency", "named"),
        [
            ("9", "JPY", "01t-01u_jpy_9_month1"),
            ("9.5", "JPY", "01t-01u_jpy_9.5_month1"),
            ("9.4", "ISK", "01t-01u_isk_900_month1"),
            ("1.234", "KWD", "01t-01u_kwd_1230_month1"),
            ("1.226", "KWD", "01t-01u_kwd_1230_month1"),
            ("14.285714285714285714", "USD", "01t-01u_usd_1428.571428571429_month1"),
        ],
    )
    def test_what_stripe_cannot_tell_apart_is_one_price(self, at: str, currency: str, named: str) -> None:
        assert custom(sold(at=at), currency=currency).id == named

    @thorough
    @given(
        st.decimals(min_value=0, max_value=10**9, places=18, allow_nan=False, allow_infinity=False),
        st.decimals(min_value=0, max_value=10**9, places=3, allow_nan=False, allow_infinity=False),
        st.sampled_from(["USD", "JPY", "KWD", "ISK", "UGX"]),
    )
    def test_two_lines_share_a_price_where_stripe_bills_them_alike(self, at: Decimal, more: Decimal, currency: str) -> None:
        some, others = (
            one(sold(at=amount, book=replace(BOOK, price_id=None)), currency=currency) for amount in (at, at + more)
        )
        assert (some.price == others.price) == (minor_units(at, currency) == minor_units(at + more, currency))
        assert (some.price == BOOK.id) == (not sold_otherwise(sold(at=at), currency))

    def test_orders_and_lines_stay_in_their_sequence(self) -> None:
        orders = [order(name, sold(f"{name}2", "9"), sold(f"{name}1", "10")) for name in "ba"]
        found = priced(orders, Policies(), "USD")
        assert [(one.number, *(line.id for line in one.lines)) for one in found] == [("b", "b2", "b1"), ("a", "a2", "a1")]


class TestTerms:
    """`unit_prices: per_term`: the unit price is that of the whole term."""

    def per(
        self, start: str, end: str | None, at: str, unit: Unit = "month", count: int | None = None, zone: str = "UTC"
    ) -> Decimal:
        where = ZoneInfo(zone)
        begins = instant(date.fromisoformat(start), where)
        ends = None if end is None else instant(date.fromisoformat(end), where)
        book = entry(unit=unit, count=count, price="1")
        found = one(
            replace(line("a", "2025-01-01", price=None, entry=book, unit_price=at), start=begins, end=ends),
            replace(TERM, time_zone=zone),
        )
        assert found.unit_price is not None
        return found.unit_price

    @pytest.mark.parametrize(
        ("start", "end", "at", "unit", "count", "price"),
        [
            ("2025-01-01", "2026-01-01", "120", "month", None, "10"),
            ("2025-01-01", "2026-01-01", "120", "month", 3, "30"),
            ("2025-01-01", "2025-08-01", "70", "year", None, "120"),
            ("2025-01-01", "2027-01-01", "100", "year", 3, "150"),
            ("2025-01-01", "2025-01-29", "4", "week", None, "1"),
            ("2025-01-01", "2025-01-04", "3", "week", None, "7"),
            ("2025-01-01", "2025-01-31", "30", "day", None, "1"),
            # month ends, leap years
            ("2025-01-31", "2025-02-28", "10", "month", None, "10"),
            ("2025-01-31", "2025-04-30", "30", "month", None, "10"),
            ("2028-02-29", "2029-02-28", "120", "year", None, "120"),
            ("2028-02-01", "2028-03-01", "29", "day", None, "1"),
        ],
    )
    def test_it_is_divided(self, start: str, end: str, at: str, unit: Unit, count: int | None, price: str) -> None:
        assert self.per(start, end, at, unit, count) == Decimal(price)

    @pytest.mark.parametrize(
        ("start", "end"),
        [("2025-01-01", None), ("2025-01-01", "2025-12-31"), ("2025-01-31", "2025-03-01"), ("2025-01-01",) * 2],
    )
    def test_it_is_not_divided(self, start: str, end: str | None) -> None:
        assert self.per(start, end, "120") == 120

    @pytest.mark.parametrize("zone", ZONES)
    def test_months_are_those_of_the_billing_zone(self, zone: str) -> None:
        """A summer time begins or ends in between, at midnight in some zones."""
        for start, end, count in (
            ("2023-01-28", "2023-04-28", 3),
            ("2022-03-27", "2023-03-27", 12),
            ("2018-05-04", "2018-11-04", 6),
        ):
            assert self.per(start, end, str(10 * count), zone=zone) == 10

    def test_an_inclusive_end_is_the_last_day(self) -> None:
        until = end_instant(date(2025, 12, 31), UTC_ZONE, inclusive=True)
        found = one(replace(sold(at="120", book=replace(BOOK, price_id=None)), end=until), TERM)
        assert (found.unit_price, found.price) == (Decimal(10), BOOK.id)

    def test_under_the_default_it_is_that_of_an_interval(self) -> None:
        assert one(sold(at="120")).unit_price == 120

    def test_a_line_that_names_a_price_is_left_alone(self) -> None:
        named = line("a", *YEAR, price="price_A", entry=BOOK, unit_price="120")
        assert one(named, TERM) is named

    def test_an_interval_that_is_not_known_divides_nothing(self) -> None:
        found = one(sold(at="120", book=replace(BOOK, interval_unit=None)), TERM)
        assert (found.unit_price, undivided(found, UTC_ZONE)) == (Decimal(120), None)

    def test_what_comes_to_the_standard_price_is_no_custom_price(self) -> None:
        assert one(sold(at="120"), TERM).entry is BOOK
        assert custom(sold(at="60"), TERM).id == "01t-01u_usd_500_month1"

    def test_the_term_makes_the_price(self) -> None:
        """What two lines were sold at for their terms is the same, and is not the price of one interval."""
        long = replace(sold(at="240"), end=instant(date(2027, 1, 1), UTC_ZONE))
        short = sold(at="240")
        assert one(long, TERM).price == "price_10"
        assert custom(short, TERM).id == "01t-01u_usd_2000_month1"

    @thorough
    @given(
        st.dates(date(2020, 1, 1), date(2030, 1, 1)),
        st.integers(1, 60),
        st.integers(1, 36),
        st.integers(0, 10**9),
        st.sampled_from(ZONES),
    )
    def test_the_intervals_of_a_term_add_up_to_its_price(
        self, start: date, months: int, count: int, cents: int, zone: str
    ) -> None:
        number = start.month - 1 + months
        year, month = start.year + number // 12, number % 12 + 1
        end = date(year, month, min(start.day, monthrange(year, month)[1]))
        at = Decimal(cents) / 100
        found = self.per(start.isoformat(), end.isoformat(), str(at), count=count, zone=zone)
        assert abs(found * months / count - at) <= Decimal("1e-15")

    @thorough
    @given(st.integers(1, 1000), st.integers(1, 12), st.integers(0, 10**9), st.sampled_from(ZONES))
    def test_so_do_those_in_days(self, days: int, weeks: int, cents: int, zone: str) -> None:
        end, at = date.fromordinal(date(2022, 3, 20).toordinal() + days), Decimal(cents) / 100
        found = self.per("2022-03-20", end.isoformat(), str(at), "week", weeks, zone)
        assert abs(found * days / (7 * weeks) - at) <= Decimal("1e-15")


class TestBilledAlready:
    """What is billed already keeps its price."""

    def prices(self, orders: list[Order], billed: dict[str, BilledAt], policies: Policies = DEFAULTS) -> dict[str, str | None]:
        return {line.id: line.price for order in priced(orders, policies, "USD", billed) for line in order.lines}

    @staticmethod
    def noted(price: str, sold: str | None, amount: str, interval: BillingInterval = MONTHLY) -> BilledAt:
        return BilledAt(price, None if sold is None else Decimal(sold), Decimal(amount), interval)

    def test_whatever_the_price_book_says(self) -> None:
        new = replace(BOOK, unit_price=Decimal(12), price_id="price_12")
        orders = [order("1", sold("a", "10", book=new)), order("2", sold("b", "12", book=new), sold("c", "10.00", book=new))]
        billed = {"a": self.noted("price_10", "10", "10")}
        assert self.prices(orders, billed) == {"a": "price_10", "b": "price_12", "c": "price_10"}
        assert self.prices(orders, {})["a"] == "01t-01u_usd_1000_month1"

    def test_what_it_costs_is_known(self) -> None:
        """Also where the policy was, or is, that it is billed at another amount than it was sold at."""
        for policy in ("create", "standard", "error"):
            billed = {"a": self.noted("price_10", "9", "10")}
            ((found,),) = (order.lines for order in priced([order("1", sold())], Policies(custom_pricing=policy), None, billed))
            assert (found.price, found.unit_price, found.billed_at) == ("price_10", Decimal(10), billed["a"])

    def test_where_it_is_not_known_it_is_what_it_would_be_today(self) -> None:
        ((found,),) = (order.lines for order in priced([order("1", sold())], DEFAULTS, "USD", {"a": BilledAt("price_9")}))
        assert (found.price, found.unit_price) == ("price_9", Decimal(9))

    def test_one_that_is_sold_at_another_price_since_is_billed_anew(self) -> None:
        orders = [order("1", sold("a", "8"))]
        assert self.prices(orders, {"a": self.noted("price_9", "9", "9")}) == {"a": "01t-01u_usd_800_month1"}
        assert self.prices(orders, {"a": self.noted("price_9", "8.00", "9")}) == {"a": "price_9"}
        # Before prices were noted, or where the field is empty, nobody knows.
        assert self.prices(orders, {"a": self.noted("price_9", None, "9")}) == {"a": "price_9"}
        assert self.prices([order("1", sold("a", None))], {"a": self.noted("price_9", "9", "9")}) == {"a": "price_9"}

    def test_a_line_that_names_a_price_is_billed_at_that(self) -> None:
        billed = {"a": self.noted("price_10", "10", "10")}
        assert self.prices([order("1", line("a", *YEAR, entry=BOOK))], billed) == {"a": "price_A"}

    @pytest.mark.parametrize(
        ("noted", "shared"), [(BilledAt("price_9", Decimal(9), Decimal(9), MONTHLY), True), (BilledAt("price_9"), False)]
    )
    def test_a_custom_price_is_shared_by_what_is_sold_later(self, noted: BilledAt, shared: bool) -> None:
        """If it is known what it costs: to guess would bill another amount."""
        orders = [order("1", sold("a")), order("2", sold("b"), sold("c", "8"), sold("d", "10"))]
        assert self.prices(orders, {"a": noted}) == {
            "a": "price_9",
            "b": "price_9" if shared else "01t-01u_usd_900_month1",
            "c": "01t-01u_usd_800_month1",
            "d": "price_10",
        }

    @pytest.mark.parametrize("policy", ["error", "standard"])
    @pytest.mark.parametrize("known", [True, False])
    def test_what_is_sold_at_another_amount_is_not_alike(self, policy: Any, known: bool) -> None:
        """Or it would be billed at the standard price without a word."""
        orders = [order("1", sold("a", "10")), order("2", sold("b", "9"), sold("c", None), effective="2025-01-02")]
        noted = self.noted("price_old", "10", "10") if known else BilledAt("price_old")
        choices = Policies(custom_pricing=policy, quantity_conflict="sum")
        found = priced(orders, choices, "USD", {"a": noted})
        alike = "price_old" if known else "price_10"
        assert [line.price for order in found for line in order.lines] == ["price_old", "price_10", alike]
        assert [one.code for one in consolidate(found, choices).findings] == ["custom_price"]

    @pytest.mark.parametrize("policy", ["create", "error", "standard"])
    def test_what_is_sold_at_an_old_amount_is(self, policy: Any) -> None:
        new = replace(BOOK, unit_price=Decimal(12), price_id="price_12")
        orders = [order("1", sold("a", "10", book=new)), order("2", sold("b", "10", book=new), effective="2025-01-02")]
        prices = self.prices(orders, {"a": self.noted("price_10", "10", "10")}, Policies(custom_pricing=policy))
        assert prices == {"a": "price_10", "b": "price_10"}

    def test_the_same_amount_for_another_interval_is_another(self) -> None:
        yearly = replace(BOOK, interval_unit="year", price_id="price_year")
        orders = [order("1", sold("a", "10", book=yearly)), order("2", sold("b", "10", book=yearly))]
        assert self.prices(orders, {"a": self.noted("price_10", "10", "10")}) == {"a": "price_10", "b": "price_year"}

    def test_the_same_price_for_another_term_is_another(self) -> None:
        """240 for two years is 10 a month, for one it is 20."""
        long = replace(sold("a", "240"), end=instant(date(2027, 1, 1), UTC_ZONE))
        orders = [order("1", long), order("2", sold("b", "240"))]
        billed = {"a": self.noted("price_old", "240", "10")}
        assert self.prices(orders, billed, TERM) == {"a": "price_old", "b": "01t-01u_usd_2000_month1"}

    def test_lines_without_an_entry_keep_theirs_alone(self) -> None:
        orders = [order("1", line("a", *YEAR, price=None), line("b", *YEAR, price=None))]
        assert self.prices(orders, {"a": BilledAt("price_old")}) == {"a": "price_old", "b": None}
