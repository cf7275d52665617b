"""Which order is the original one, and what is wrong with the others beside it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orderphase.domain.catalogue import PriceBookEntry, Product
from orderphase.domain.findings import finding
from orderphase.domain.lines import BilledAt, Order
from orderphase.domain.planning import Situation, plan
from orderphase.domain.policies import Policies
from orderphase.domain.sequence import (
    Draft,
    draft_findings,
    early_findings,
    in_sequence,
    naming_orders,
    price_findings,
    withdrawn_findings,
)
from tests.domain.builders import UTC_ZONE, consolidated, line, moment, order

FIRST = order("1", line("a", "2025-02-01", "2026-01-01"), activated=moment("2025-01-10"))

TODAY = date(2025, 3, 1)
NOW = moment("2025-03-01")


def change(number: str, start: str, activated: str | None = "2025-01-20", **more: Any) -> Order:
    return order(number, line(f"l{number}", start, price="B"), activated=activated and moment(activated), **more)


class TestAmendmentBeforeStart:
    def told(
        self, *orders: Order, zone: ZoneInfo = UTC_ZONE, billed: frozenset[str] = frozenset()
    ) -> list[tuple[tuple[str, ...], str]]:
        found = [*early_findings(orders, zone, now=NOW, billed=billed)]
        assert {one.code for one in found} <= {"amendment_before_start"}
        return [(one.lines, one.message) for one in found]

    def test_it_is_told_with_both_dates(self) -> None:
        message = "Line l2 of order 2 starts on 2025-01-31, before the contract does with order 1 on 2025-02-01."
        assert self.told(FIRST, change("2", "2025-01-31"), change("3", "2025-02-01")) == [(("l2",), message)]

    def test_the_sequence_of_the_orders_makes_no_difference(self) -> None:
        early = change("2", "2025-01-31")
        assert self.told(early, FIRST) == self.told(FIRST, early)

    @pytest.mark.parametrize("orders", [(), (FIRST,), (order("1"), change("2", "2025-01-01"))])
    def test_there_is_nothing_to_come_before(self, orders: tuple[Order, ...]) -> None:
        assert self.told(*orders) == []

    def test_a_line_that_is_not_billed_does_not_count(self) -> None:
        nothing = order("1", line("z", "2024-01-01", quantity=0), *FIRST.lines, activated=FIRST.activated)
        empty = order("2", line("y", "2024-01-01", quantity=0), activated=moment("2025-01-20"))
        assert self.told(nothing, empty, change("3", "2025-02-01")) == []


class TestDrafts:
    def test_a_draft_that_is_older_than_all(self) -> None:
        later = change("2", "2025-06-01", effective="2025-06-01")
        (found,) = draft_findings([later, FIRST], [Draft("801-0", "0", date(2024, 12, 1), ("d",))])
        assert (found.code, found.severity) == ("original_not_activated", "error")
        assert found.message == "Order 0 of 2024-12-01 comes before order 1, order 2 and is not activated."
        assert (found.lines, found.orders) == (("d", "l2", "a"), ("801-0", "801-2", "801-1"))

    def test_a_draft_that_comes_later_waits(self) -> None:
        assert [*draft_findings([FIRST], [Draft("801-0", "0", FIRST.effective)])] == []

    def test_without_orders_there_is_nothing_to_hold_back(self) -> None:
        assert [*draft_findings([], [Draft("801-0", "0", date(2024, 12, 1))])] == []


class TestWithdrawn:
    def test_what_has_begun_is_billed_on_and_told(self) -> None:
        drafts = [Draft("801-1", "1", date(2025, 3, 1), ("a",)), Draft("801-9", "9", date(2025, 1, 1))]
        (found,) = withdrawn_findings(drafts, {"801-1"}, TODAY)
        assert (found.code, found.lines, found.orders) == ("order_withdrawn", ("a",), ("801-1",))
        assert found.message == "Order 1 is billed, but is not activated any more."

    def test_what_is_over_can_be_taken_back(self) -> None:
        over, ending = (Draft("801-1", "1", date(2025, 1, 1), (), end) for end in (date(2025, 2, 28), date(2025, 3, 1)))
        assert [*withdrawn_findings([over], {"801-1"}, TODAY)] == []
        assert len([*withdrawn_findings([ending], {"801-1"}, TODAY)]) == 1

    def test_what_has_not_begun_can_be_taken_back(self) -> None:
        assert [*withdrawn_findings([Draft("801-1", "1", date(2025, 3, 2))], {"801-1"}, TODAY)] == []

    def test_they_count_where_there_is_a_schedule(self) -> None:
        draft = Draft("801-0", "0", date(2024, 12, 1))
        cases: list[tuple[set[str] | None, list[str]]] = [
            ({"801-0", FIRST.id}, ["order_withdrawn"]),
            ({FIRST.id}, []),
            (None, ["original_not_activated"]),
        ]
        for billed, codes in cases:
            found = in_sequence(consolidated(FIRST), [FIRST], [draft], UTC_ZONE, now=NOW, billed=billed)
            assert [one.code for one in found.findings] == codes


class TestBilledAlready:
    def test_the_contract_starts_with_what_is_billed(self) -> None:
        """Not with the order that was activated first: an older one may have been waited for."""
        older = change("0", "2025-01-01", "2025-01-30", effective="2024-01-01")
        assert [*early_findings([FIRST, older], UTC_ZONE, now=NOW, billed=())] == []
        (found,) = early_findings([FIRST, older], UTC_ZONE, now=NOW, billed={FIRST.id})
        assert (found.lines, found.orders) == (("l0",), (older.id,))
        assert [*early_findings([FIRST, older], UTC_ZONE, now=NOW, billed={FIRST.id, older.id})] == []

    def test_an_original_that_was_taken_back_before_the_start_comes_again(self) -> None:
        """Meanwhile the contract begins with its change order; a number tells which was entered first."""
        original, amendment = order("1", line("a", "2025-04-01"), effective="2025-04-01"), change("2", "2025-06-01")
        late = change("3", "2025-05-01")
        assert [*early_findings([original, amendment, late], UTC_ZONE, now=NOW, billed={amendment.id})] == []
        (found,) = early_findings([amendment, late], UTC_ZONE, now=NOW, billed={amendment.id})
        assert found.orders == (late.id,)
        (found,) = early_findings([original, amendment], UTC_ZONE, now=moment("2025-06-01"), billed={amendment.id})
        assert found.orders == (original.id,)


class TestTwoPrices:
    ENTRY = PriceBookEntry("01u-1", Product("01t-1", "Seats"), price_id="price_new", unit_price=Decimal(12))

    def sold(self, line_id: str, start: str, end: str | None, price: str, **more: Any) -> Any:
        return replace(line(line_id, start, end, price=None), **{"entry": self.ENTRY, "billed_at": BilledAt(price), **more})

    def test_one_product_at_two_prices_at_once(self) -> None:
        orders = [
            order("1", self.sold("a", "2025-01-01", "2026-01-01", "price_old")),
            order("2", self.sold("b", "2025-06-01", "2026-01-01", "price_new")),
        ]
        (found,) = price_findings(consolidated(*orders).phases, orders, UTC_ZONE, now=NOW)
        assert (found.code, found.lines) == ("price_changed", ("b", "a"))
        assert "2025-06-01" in found.message
        told = in_sequence(consolidated(*orders), orders, [], UTC_ZONE, now=NOW)
        assert [one.code for one in told.findings] == ["price_changed"]
        over = price_findings(consolidated(*orders).phases, orders, UTC_ZONE, now=moment("2026-01-01"))
        assert [*over] == []
        added_up = in_sequence(consolidated(*orders), orders, [], UTC_ZONE, now=NOW, comparing=False)
        assert added_up.findings == ()

    def test_a_line_that_names_another_one_is_a_reduction_only_below_0(self) -> None:
        orders = [
            order("1", self.sold("a", "2025-01-01", "2026-01-01", "price_old")),
            order("2", self.sold("b", "2025-06-01", "2026-01-01", "price_new", reduces="a")),
        ]
        told = in_sequence(consolidated(*orders), orders, [], UTC_ZONE, now=NOW)
        assert [one.code for one in told.findings] == ["price_changed"]

    def test_a_reduction_is_sold_at_the_price_of_the_line_that_it_takes_from(self) -> None:
        sold = self.sold("a", "2025-01-01", "2026-01-01", "price_old", quantity=Decimal(2))
        taken = self.sold("b", "2025-06-01", None, "price_new", quantity=Decimal(-1), reduces="a")
        orders = [order("1", sold), order("2", taken, is_reduction=True)]
        told = in_sequence(consolidated(*orders), orders, [], UTC_ZONE, now=NOW)
        assert told.findings == ()

    def test_a_reduction_counts_where_it_is_listed_whatever_product_it_names(self) -> None:
        other = PriceBookEntry("01u-2", Product("01t-2", "Support"), price_id="price_support", unit_price=Decimal(5))
        support = {"entry": other, "billed_at": BilledAt("price_support")}
        orders = [
            order(
                "1",
                self.sold("a", "2025-01-01", "2026-01-01", "price_old", quantity=Decimal(2)),
                self.sold("c", "2025-01-01", "2026-01-01", "", **support),
            ),
            order("2", self.sold("b", "2025-06-01", None, "", quantity=Decimal(-1), reduces="a", **support), is_reduction=True),
        ]
        told = in_sequence(consolidated(*orders), orders, [], UTC_ZONE, now=NOW)
        assert [(one.code, one.lines) for one in told.findings] == [("price_changed", ("b", "c"))]

    @pytest.mark.parametrize(
        ("end", "price", "more"),
        [
            ("2025-06-01", "price_old", {}),
            ("2026-01-01", "price_new", {}),
            ("2026-01-01", "price_old", {"price_id": "price_named"}),
            ("2026-01-01", "price_old", {"quantity": Decimal(0)}),
        ],
        ids=["one after the other", "the same price", "a price of its own", "not billed"],
    )
    def test_nothing_to_compare(self, end: str, price: str, more: dict[str, Any]) -> None:
        orders = [
            order("1", self.sold("a", "2025-01-01", end, price, **more)),
            order("2", self.sold("b", "2025-06-01", "2026-01-01", "price_new")),
        ]
        assert [*price_findings(consolidated(*orders).phases, orders, UTC_ZONE, now=NOW)] == []

    def test_that_the_price_book_has_changed_is_none(self) -> None:
        orders = [
            order("1", self.sold("a", "2025-01-01", "2025-06-01", "price_old")),
            order("2", self.sold("b", "2025-06-01", "2026-01-01", "price_new")),
        ]
        book = replace(self.ENTRY, unit_price=Decimal(15), price_id=None)
        repriced = [replace(one, lines=tuple([replace(line, entry=book) for line in one.lines])) for one in orders]
        assert [*price_findings(consolidated(*repriced).phases, repriced, UTC_ZONE, now=NOW)] == []

    def test_one_order_may_sell_a_product_at_two_prices(self) -> None:
        both = [self.sold("a", "2025-01-01", "2026-01-01", "p9"), self.sold("b", "2025-01-01", "2026-01-01", "p10")]
        assert [*price_findings(consolidated(order("1", *both)).phases, [order("1", *both)], UTC_ZONE, now=NOW)] == []

    @pytest.mark.parametrize("later", ["p9", "p10", "p11"])
    @pytest.mark.parametrize("first", ["1", "2"])
    def test_another_order_beside_two_prices(self, later: str, first: str) -> None:
        """Whichever of the lines at one price is looked at first."""
        two = [self.sold("b", "2025-01-01", "2026-01-01", "p9"), self.sold("c", "2025-01-01", "2026-01-01", "p10")]
        one = self.sold("a" if first == "1" else "z", "2025-01-01", "2026-01-01", later)
        orders = [order("1", *two), order("2", one, effective="2025-01-02")]
        (found,) = price_findings(consolidated(*orders).phases, orders, UTC_ZONE, now=NOW)
        assert (found.lines[0], found.orders) == (one.id, ("801-2", "801-1"))
        assert found.message.startswith(f"Line {one.id} of order 2 and line ")

    def test_of_two_products_each_is_told(self) -> None:
        other = replace(self.ENTRY, id="01u-2", product=Product("01t-2", "Support"))
        orders = [
            order(
                str(number),
                self.sold(f"a{number}", "2025-01-01", "2026-01-01", f"seats_{number}"),
                self.sold(f"b{number}", "2025-01-01", "2026-01-01", f"support_{number}", entry=other),
                effective=f"2025-01-0{number}",
            )
            for number in (1, 2, 3)
        ]
        found = [*price_findings(consolidated(*orders).phases, orders, UTC_ZONE, now=NOW)]
        assert [one.lines for one in found] == [("a2", "a1"), ("b2", "b1")]

    def test_what_a_reduction_was_sold_at_makes_no_difference(self) -> None:
        """It takes from what was sold, at that price."""
        less = self.sold("r", "2025-06-01", None, "price_new", quantity=Decimal(-1), reduces="a")
        orders = [
            order("1", self.sold("a", "2025-01-01", "2026-01-01", "price_old", quantity=Decimal(3))),
            order("2", less, is_reduction=True, effective="2025-06-01"),
        ]
        assert [item.lines for phase in consolidated(*orders).phases for item in phase.items] == [("a",), ("a", "r")]
        assert [*price_findings(consolidated(*orders).phases, orders, UTC_ZONE, now=NOW)] == []


class TestInSequence:
    def test_beside_what_consolidation_has_found(self) -> None:
        wrong = order("2", line("b", "2025-01-01", price=None), activated=moment("2025-01-20"))
        found = in_sequence(
            consolidated(FIRST, wrong), [FIRST, wrong], [Draft("801-0", "0", date(2024, 12, 1))], UTC_ZONE, now=NOW
        )
        assert [one.code for one in found.findings] == ["original_not_activated", "amendment_before_start", "missing_price"]
        assert found.phases == ()

    def test_nothing_is_sent(self) -> None:
        orders = [FIRST, change("2", "2025-01-31")]
        found = in_sequence(consolidated(*orders), orders, [], UTC_ZONE, now=NOW)
        assert found.phases
        planned = plan(found, Situation(moment("2025-01-25"), Policies(), "USD"))
        assert (planned.refused, planned.action, planned.sent) == (True, "nothing", ())

    def test_in_order(self) -> None:
        alone = consolidated(FIRST)
        assert in_sequence(alone, [FIRST], [], UTC_ZONE, now=NOW) is alone


class TestNamingOrders:
    def test_a_finding_about_lines_names_their_orders(self) -> None:
        other = change("2", "2025-03-01")
        told = finding("end_in_past", "Everything ended.", lines=["a", "l2"])
        (named,) = naming_orders([told], [FIRST, other])
        assert (named.orders, named.message) == ((FIRST.id, other.id), "Everything ended (order 1, 2, 2 lines).")

    def test_what_names_orders_or_no_lines_stays(self) -> None:
        kept = (
            finding("end_in_past", "Everything ended."),
            finding("end_in_past", "Everything ended.", lines=["a"], orders=["801-9"]),
        )
        assert naming_orders(kept, [FIRST]) == kept

    def test_of_many_orders_some_are_named(self) -> None:
        orders = [change(str(number), "2025-03-01") for number in range(10, 19)]
        told = finding("end_in_past", "Everything ended.", lines=[f"l{number}" for number in range(10, 19)])
        (named,) = naming_orders([told], orders)
        assert named.message == "Everything ended (order 10, 11, 12, 13, 14, 15 and 3 more, 9 lines)."
        assert len(named.orders) == 9
