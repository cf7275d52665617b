"""Planning where somebody else has changed what Stripe holds, and how differences are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from orderphase.domain.differences import Difference, differences
from orderphase.domain.findings import Finding
from orderphase.domain.lines import Discount, Order
from orderphase.domain.planning import Plan
from orderphase.domain.policies import Policies
from orderphase.domain.schedules import Content, HeldDiscount, Span, wanted_spans
from tests.domain.builders import consolidated, line, moment, order
from tests.domain.stripe_desk import METADATA, Desk, Json, bills_what_is_wanted

RAMP = order(
    "1",
    line("a", "2025-01-01", "2025-06-01", 2, percent_off="10"),
    line("b", "2025-06-01", "2026-01-01", 3),
    collection_method="send_invoice",
    days_until_due=30,
)
NOW = "2025-03-15T12:00:00"


def running(*orders: Order, remembers: bool = True, **policies: Any) -> Desk:
    desk = Desk(moment("2025-01-01"), Policies(**policies), remembers=remembers)
    assert not desk.run(desk.sold(*orders)).refused
    desk.clock.set(moment(NOW), frozen=True)
    return desk


def edited(desk: Desk, edit: Callable[[list[Json]], None] = lambda _: None, **params: Any) -> None:
    """Somebody sends all phases again, with another word in them."""
    phases = []
    for number, shown in enumerate(desk.schedule["phases"]):
        items = [{"price": item["price"], "quantity": item["quantity"]} for item in shown["items"]]
        phases.append(
            {
                **({"start_date": shown["start_date"]} if number == 0 else {}),
                "end_date": shown["end_date"],
                "items": items,
                "collection_method": shown["collection_method"],
                "invoice_settings": {"days_until_due": 30},
                "metadata": METADATA,
            }
        )
    running_discount = desk.running_discounts()[desk.prices["A"], "10%"]
    phases[0]["items"][0]["discounts"] = [{"discount": running_discount}]
    edit(phases)
    desk.call("POST", f"subscription_schedules/{desk.schedule_id}", phases=phases, **params)


def drift(planned: Plan) -> Finding:
    (found,) = [one for one in planned.findings if one.code == "schedule_edited"]
    return found


def quantity(phases: list[Json]) -> None:
    phases[1]["items"][0]["quantity"] = 7


def no_discount(phases: list[Json]) -> None:
    del phases[0]["items"][0]["discounts"]


def end(phases: list[Json]) -> None:
    phases[1]["end_date"] = int(moment("2025-12-01").timestamp())


def boundary(phases: list[Json]) -> None:
    phases[0]["end_date"] = int(moment("2025-07-01").timestamp())


def days(phases: list[Json]) -> None:
    phases[1]["invoice_settings"] = {"days_until_due": 60}


def method(phases: list[Json]) -> None:
    phases[1]["collection_method"] = "charge_automatically"


def fewer(phases: list[Json]) -> None:
    del phases[1]


EDITS: dict[str, tuple[Callable[[list[Json]], None], str]] = {
    "a quantity": (quantity, "{A} quantity 3 → 7 from 2025-06-01"),
    "a discount": (no_discount, "{A} discount 10% → none from now on"),
    "the end": (end, "3 of {A} from 2025-12-01"),
    "a boundary": (boundary, "{A} quantity 3 → 2 from 2025-06-01; {A} discount none → 10% from 2025-06-01"),
    "the days until due": (days, "days_until_due 30 → 60 from 2025-06-01"),
    "the collection method": (
        method,
        "collection_method send_invoice → charge_automatically from 2025-06-01; days_until_due 30 → none from 2025-06-01",
    ),
}


class TestDrift:
    @pytest.mark.parametrize("name", EDITS)
    def test_it_is_an_error_that_tells_the_field(self, name: str) -> None:
        desk = running(RAMP)
        edit, words = EDITS[name]
        edited(desk, edit)
        planned = desk.run(desk.sold(RAMP))
        found = drift(planned)
        told = words.format(**desk.prices)
        assert (found.severity, planned.refused) == ("error", True)
        assert found.message == f"The schedule {desk.schedule_id} was changed in Stripe: {told}."

    @pytest.mark.parametrize("name", EDITS)
    def test_it_is_put_back(self, name: str) -> None:
        desk = running(RAMP, on_drift="repair")
        edited(desk, EDITS[name][0])
        planned = desk.run(desk.sold(RAMP))
        assert (drift(planned).severity, planned.action) == ("warning", "update")
        bills_what_is_wanted(desk, planned.wanted)

    def test_a_phase_that_is_gone(self) -> None:
        desk = running(RAMP)
        edited(desk, fewer)
        assert f"was changed in Stripe: 3 of {desk.prices['A']} from 2025-06-01." in drift(desk.plan(desk.sold(RAMP))).message

    def test_what_lies_beyond_the_last_phase_of_an_open_contract_is_no_difference(self) -> None:
        evergreen = order("1", line("a", "2025-01-01", quantity=2))
        desk = running(evergreen)
        assert desk.subscription is not None
        item = desk.subscription["items"]["data"][0]["id"]
        desk.call("POST", f"subscriptions/{desk.subscription['id']}", items=[{"id": item, "quantity": 9}])
        told = f"was changed in Stripe: {desk.prices['A']} quantity 2 → 9 from now on."
        assert told in drift(desk.plan(desk.sold(evergreen))).message

    def test_what_becomes_of_the_subscription_at_the_end(self) -> None:
        desk = running(RAMP)
        edited(desk, end_behavior="release")
        assert "was changed in Stripe: its end." in drift(desk.plan(desk.sold(RAMP))).message

    def test_an_item_more(self) -> None:
        desk = running(RAMP)
        edited(desk, lambda phases: phases[1]["items"].append({"price": desk.prices["B"], "quantity": 4}))
        assert f"4 of {desk.prices['B']} from 2025-06-01." in drift(desk.plan(desk.sold(RAMP))).message

    def test_a_discount_of_theirs(self) -> None:
        desk = running(RAMP)
        desk.call("POST", "coupons", id="SUMMER", percent_off=50, duration="forever")
        edited(desk, lambda phases: phases[1].update(discounts=[{"coupon": "SUMMER"}]))
        assert "discount none → 50% from 2025-06-01." in drift(desk.plan(desk.sold(RAMP))).message

    def test_what_leaves_everything_as_it_is(self) -> None:
        desk = running(RAMP)
        edited(desk, metadata={"note": "seen"})
        planned = desk.plan(desk.sold(RAMP))
        assert (planned.action, planned.findings) == ("nothing", ())

    def test_a_subscription_that_is_edited_underneath(self) -> None:
        """Stripe cuts the current phase in two there."""
        desk = running(RAMP)
        assert desk.subscription is not None
        item = desk.subscription["items"]["data"][0]["id"]
        desk.call("POST", f"subscriptions/{desk.subscription['id']}", items=[{"id": item, "quantity": 9}])
        assert len(desk.schedule["phases"]) == 3
        planned = desk.plan(desk.sold(RAMP))
        assert f"{desk.prices['A']} quantity 2 → 9 from now on." in drift(planned).message

    def test_a_phase_that_stripe_has_cut_in_two_is_one(self) -> None:
        desk = running(RAMP)
        assert desk.subscription is not None
        item = desk.subscription["items"]["data"][0]["id"]
        for number in (9, 2):
            desk.call("POST", f"subscriptions/{desk.subscription['id']}", items=[{"id": item, "quantity": number}])
            desk.clock.set(moment("2025-03-20"), frozen=True)
        assert len(desk.schedule["phases"]) == 4
        planned = desk.plan(desk.sold(RAMP))
        assert (planned.action, planned.findings) == ("nothing", ())

    def test_what_is_wanted_meanwhile_is_no_drift(self) -> None:
        """They entered in Stripe what was sold since."""
        desk = running(RAMP)
        edited(desk, quantity)
        first, second = RAMP.lines
        planned = desk.plan(desk.sold(replace(RAMP, lines=(first, replace(second, quantity=Decimal(7))))))
        assert (planned.action, planned.findings) == ("nothing", ())

    def test_what_was_never_applied_here_cannot_drift(self) -> None:
        for remembers, applied in ((False, True), (True, False)):
            desk = running(RAMP, remembers=remembers)
            edited(desk, quantity)
            planned = desk.plan(desk.sold(RAMP), applied=applied and remembers)
            assert (planned.action, planned.findings) == ("update", ())

    def test_what_has_passed_cannot_drift(self) -> None:
        desk = running(RAMP)
        desk.clock.set(moment("2025-07-01"), frozen=True)
        settled = desk.settled or ()
        other = (replace(settled[0], items=()), *settled[1:])
        assert desk.plan(desk.sold(RAMP), settled=other).action == "nothing"

    def test_of_many_differences_the_first_are_told(self) -> None:
        months = [f"2025-{month:02}-01" for month in range(1, 8)]
        steps = [line(f"{n}", since, until, n + 1) for n, (since, until) in enumerate(pairwise(months))]
        more = [replace(step, id=f"{step.id}b", price_id="B") for step in steps]
        ramp = order("1", *steps, *more)
        desk = Desk(moment("2025-01-01"), Policies())
        desk.run(desk.sold(ramp))
        phases = [
            {
                **({"start_date": shown["start_date"]} if number == 0 else {}),
                "end_date": shown["end_date"],
                "items": [{"price": item["price"], "quantity": 100 + item["quantity"]} for item in shown["items"]],
            }
            for number, shown in enumerate(desk.schedule["phases"])
        ]
        desk.call("POST", f"subscription_schedules/{desk.schedule_id}", phases=phases)
        message = drift(desk.plan(desk.sold(ramp))).message
        assert (message.count("quantity"), message.endswith("; and 2 more.")) == (10, True)


class TestDifferences:
    SINCE = moment("2025-03-01")

    @staticmethod
    def spans(*orders: Order) -> list[Span]:
        return wanted_spans(consolidated(*orders, quantity_conflict="sum").phases)

    def told(self, before: list[Span], after: list[Span]) -> list[tuple[str, str, str, str | None]]:
        return [
            (one.sign, one.what, f"{one.start:%F}", f"{one.end:%F}" if one.end else None)
            for one in differences(before, after, since=self.SINCE, currency="USD")
        ]

    def test_nothing(self) -> None:
        assert self.told(self.spans(RAMP), self.spans(RAMP)) == []
        assert self.told([], []) == []

    def test_a_new_contract(self) -> None:
        cheap = order("1", line("a", "2025-06-01", "2026-01-01", 2, percent_off="10"), line("b", "2025-06-01", price="B"))
        assert self.told([], self.spans(cheap)) == [
            ("+", "1 of B", "2025-06-01", None),
            ("+", "2 of price_A, 10%", "2025-06-01", "2026-01-01"),
        ]

    def test_the_end_of_one(self) -> None:
        assert self.told(self.spans(order("1", line("a", "2025-01-01"))), []) == [("-", "1 of price_A", "2025-03-01", None)]

    def test_what_goes_on_over_boundaries_is_told_once(self) -> None:
        before = order("1", line("a", "2025-01-01", "2026-01-01"), line("b", "2025-06-01", "2025-09-01", price="B"))
        after = order("1", line("a", "2025-01-01", "2026-01-01", 3), line("b", "2025-06-01", "2025-09-01", price="B"))
        assert self.told(self.spans(before), self.spans(after)) == [
            ("~", "price_A quantity 1 → 3", "2025-03-01", "2026-01-01"),
        ]

    def test_what_comes_again_is_told_again(self) -> None:
        before = order("1", line("a", "2025-01-01", "2026-01-01"))
        after = order(
            "1",
            line("a", "2025-01-01", "2026-01-01"),
            line("b", "2025-04-01", "2025-05-01", price="B"),
            line("c", "2025-07-01", "2025-08-01", price="B"),
        )
        assert self.told(self.spans(before), self.spans(after)) == [
            ("+", "1 of B", "2025-04-01", "2025-05-01"),
            ("+", "1 of B", "2025-07-01", "2025-08-01"),
        ]

    def test_each_field(self) -> None:
        before = order("1", line("a", "2025-01-01", amount_off="5"), collection_method="send_invoice", days_until_due=30)
        after = order("1", line("a", "2025-01-01", percent_off="12.5"), percent_off="10")
        assert self.told(self.spans(before), self.spans(after)) == [
            ("~", "price_A discount 5.00 USD → 12.5%", "2025-03-01", None),
            ("~", "discount none → 10%", "2025-03-01", None),
            ("~", "collection_method send_invoice → charge_automatically", "2025-03-01", None),
            ("~", "days_until_due 30 → none", "2025-03-01", None),
        ]

    def test_what_has_passed_is_left_out(self) -> None:
        before = order("1", line("a", "2025-01-01", "2025-03-01", 5), line("b", "2025-03-01"))
        after = order("1", line("a", "2025-01-01", "2025-03-01", 7), line("b", "2025-03-01"))
        assert self.told(self.spans(before), self.spans(after)) == []

    def test_discounts_whose_value_is_not_known(self) -> None:
        def span(*discounts: Discount | HeldDiscount) -> Span:
            return Span(self.SINCE, None, Content({"p": (1, ())}, discounts, "charge_automatically", None))

        theirs, blind = HeldDiscount(None, "SUMMER"), HeldDiscount(None, None, "di_1")
        ten = Discount(percent_off=Decimal(10))
        assert differences([span(theirs)], [span(ten, blind)], since=self.SINCE, currency="USD") == [
            Difference(self.SINCE, None, "~", "discount of coupon SUMMER → 10% and di_1")
        ]
