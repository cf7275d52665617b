"""What requests are made of: coupons and their ids, metadata that fits, phases without an end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderphase.domain.lines import Discount, Order
from orderphase.domain.planning import Situation, plan
from orderphase.domain.policies import Policies
from orderphase.domain.requests import Coupon, coupon_value, identity, joined
from sandbox.stripe_emulator import parameters
from tests.domain.builders import consolidated, line, moment, order
from tests.domain.stripe_desk import Desk

METADATA = {"salesforce_contract_id": "800"}


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


class TestIdentity:
    def test_of_a_contract_and_of_an_order_without_one(self) -> None:
        assert identity("800", has_contract=True, org_id="00D") == {"salesforce_org_id": "00D", "salesforce_contract_id": "800"}
        assert identity("801", has_contract=False, org_id=None) == {"salesforce_order_id": "801"}


class TestMetadata:
    """What the company wants phases and items to carry, beside our own keys."""

    IDENTITY: Mapping[str, str] = {"salesforce_contract_id": "800"}

    def sent(self, *orders: Order, **policies: Any) -> list[dict[str, Any]]:
        planned = plan(consolidated(*orders, **policies), Situation(moment("2024-12-01"), Policies(**policies), "USD"))
        params = planned.params(
            customer="cus_1", coupons=planned.coupons("key"), metadata=self.IDENTITY, products={}, orders=orders
        )
        parameters.check("subscription_schedules.create", params)
        return [dict(phase) for phase in params["phases"]]

    def test_a_phase_carries_its_orders_and_an_item_its_lines(self) -> None:
        first = order("1", line("a", "2025-01-01", "2026-01-01", metadata={"seat": "12"}), metadata={"po": "4711"})
        change = order(
            "2", line("b", "2025-06-01", "2026-01-01", price="price_B", metadata={"seat": "7"}), metadata={"po": "5"}
        )
        one, both = self.sent(first, change)
        assert one["metadata"] == {"po": "4711", **self.IDENTITY}
        assert both["metadata"] == {"po": "4711, 5", **self.IDENTITY}
        ours = "salesforce_order_item_ids"
        assert [item["metadata"] for item in both["items"]] == [{"seat": "12", ours: "a"}, {"seat": "7", ours: "b"}]

    def test_of_several_lines_each_value_stands_once(self) -> None:
        values = ("north", "south", "north", None)
        lines = [
            line(name, "2025-01-01", metadata={"site": value, "unit": "seat"} if value else {})
            for name, value in zip("abcd", values, strict=True)
        ]
        (phase,) = self.sent(order("1", *lines), quantity_conflict="sum")
        (item,) = phase["items"]
        assert item["metadata"] == {"site": "north, south", "unit": "seat", "salesforce_order_item_ids": "a,b,c,d"}

    def test_what_is_too_long_is_cut(self) -> None:
        """Stripe: at most 500 characters."""
        lines = [line(name, "2025-01-01", metadata={"note": name * 300}) for name in "ab"]
        one, other = order("1", lines[0], metadata={"note": "x" * 500}), order("2", lines[1], metadata={"note": "y"})
        (phase,) = self.sent(one, other, quantity_conflict="sum")
        assert phase["metadata"]["note"] == "x" * 500
        assert phase["items"][0]["metadata"]["note"] == "a" * 300 + ", " + "b" * 198

    def test_an_item_always_says_which_lines_it_is_made_of(self) -> None:
        forged = {"salesforce_order_item_ids": "forged"}
        (phase,) = self.sent(order("1", line("a", "2025-01-01", metadata=forged)))
        assert phase["items"][0]["metadata"] == {"salesforce_order_item_ids": "a"}

    def test_what_a_phase_carries_precedes_what_the_schedule_does(self) -> None:
        one = order("1", line("a", "2025-01-01"), metadata={"po": "4711"})
        planned = plan(consolidated(one), Situation(moment("2024-12-01"), Policies(), "USD"))
        metadata = {**self.IDENTITY, "po": "4", "owner": "Ada"}
        params = planned.params(customer=None, coupons={}, metadata=metadata, products={}, orders=[one])
        assert params["metadata"] == metadata
        assert params["phases"][0]["metadata"] == {**metadata, "po": "4711"}

    def test_it_makes_no_phase_and_no_request_of_its_own(self) -> None:
        desk = Desk(moment("2025-01-01"), Policies())
        desk.run(desk.sold(order("1", line("a", "2025-01-01", "2026-01-01"))))
        told = order("1", line("a", "2025-01-01", "2026-01-01", metadata={"seat": "12"}), metadata={"po": "4711"})
        assert desk.plan(desk.sold(told)).action == "nothing"


class TestDefaults:
    """How invoices are collected where no order says so."""

    INVOICES: Mapping[str, Any] = {"collection_method": "send_invoice", "days_until_due": 14}
    ONE = order("1", line("a", "2025-01-01", "2026-01-01"))

    def collected(self, *orders: Order, **defaults: Any) -> list[tuple[str, int | None]]:
        desk = Desk(moment("2024-12-01"), Policies(quantity_conflict="sum", **defaults))
        assert desk.run(desk.sold(*orders)).findings == ()
        # Another run that knows nothing, too, finds that all is as wanted.
        assert desk.plan(desk.sold(*orders), settled=None, applied=False).action == "nothing"
        return [one.collection for one in desk.terms()]

    def test_without_any_stripe_charges(self) -> None:
        assert self.collected(self.ONE) == [("charge_automatically", None)]

    def test_invoices_are_sent(self) -> None:
        assert self.collected(self.ONE, **self.INVOICES) == [("send_invoice", 14)]

    @pytest.mark.parametrize(
        ("stated", "collection"),
        [
            ({"collection_method": "charge_automatically"}, ("charge_automatically", None)),
            ({"collection_method": "send_invoice"}, ("send_invoice", 14)),
            ({"collection_method": "send_invoice", "days_until_due": "60"}, ("send_invoice", 60)),
            ({"days_until_due": "60"}, ("send_invoice", 60)),
        ],
    )
    def test_an_order_says_otherwise(self, stated: dict[str, Any], collection: tuple[str, int | None]) -> None:
        assert self.collected(order("1", *self.ONE.lines, **stated), **self.INVOICES) == [collection]

    def test_a_phase_in_which_an_order_says_so_and_one_in_which_none_does(self) -> None:
        change = order("2", line("b", "2025-06-01", "2025-09-01"), collection_method="charge_automatically")
        assert self.collected(self.ONE, change, **self.INVOICES) == [
            ("send_invoice", 14),
            ("charge_automatically", None),
            ("send_invoice", 14),
        ]

    def test_days_that_nothing_states_are_missing(self) -> None:
        desk = Desk(moment("2024-12-01"), Policies(collection_method="send_invoice"))
        assert [one.code for one in desk.plan(desk.sold(self.ONE)).findings] == ["missing_days_until_due"]

    def test_another_default_is_a_change_of_what_runs(self) -> None:
        desk = Desk(moment("2025-01-01"), Policies())
        desk.run(desk.sold(self.ONE))
        desk.policies = Policies(**self.INVOICES)
        desk.clock.set(moment("2025-02-01"), frozen=True)
        assert desk.run(desk.sold(self.ONE)).action == "update"
        billed = desk.billed()
        assert billed is not None
        assert billed.collection == ("send_invoice", 14)


class TestCoupons:
    CHEAP = order(
        "1",
        line("802-1", "2025-01-01", "2025-06-01", percent_off="10"),
        line("802-2", "2025-06-01", "2026-01-01", 2, percent_off="20"),
        line("802-3", "2025-06-01", "2026-01-01", price="price_B", amount_off="5"),
        percent_off=15,
    )

    def coupons(self, key: str = "key", now: str = "2025-03-01", order_: Order = CHEAP) -> dict[str, Discount]:
        situation = Situation(now=moment(now), policies=Policies(), currency="USD")
        made = plan(consolidated(order_), situation).coupons(key)
        return {coupon.id: coupon.discount for coupon in made.values()}

    def test_one_for_each_place(self) -> None:
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

    def test_an_id_says_what_it_takes_off(self) -> None:
        assert all(coupon_value(name) == discount for name, discount in self.coupons().items())

    @given(
        st.one_of(
            st.integers(1, 10_000).map(lambda n: ("USD", Discount(percent_off=Decimal(n) / 100))),
            st.tuples(st.sampled_from(["USD", "JPY", "EUR"]), st.integers(1, 10**9).map(Decimal)).map(
                lambda pair: (pair[0], Discount(amount_off=pair[1]))
            ),
            st.integers(1, 10**9).map(lambda n: ("KWD", Discount(amount_off=Decimal(n) / 100))),
        )
    )
    def test_the_value_is_read_from_the_id(self, drawn: tuple[str, Discount]) -> None:
        currency, discount = drawn
        off: dict[str, Any] = {"percent_off": discount.percent_off, "amount_off": discount.amount_off}
        cheap = replace(order("1", line("802-1", "2025-01-01"), currency=currency), **off)
        (name,) = self.coupons(order_=cheap)
        assert coupon_value(name) == discount

    @pytest.mark.parametrize(
        "name",
        [
            "SUMMER",
            "orderphase_10pct",
            "orderphase_10pct_" + "0" * 23,
            "orderphase_10pct_" + "0" * 25,
            "orderphase_10pct_" + "G" * 24,
            "orderphase_pct_" + "0" * 24,
            "orderphase_500_" + "0" * 24,
            "orderphase_1.5pct_" + "0" * 24,
            "xorderphase_10pct_" + "0" * 24,
        ],
    )
    def test_other_ids_say_nothing(self, name: str) -> None:
        assert coupon_value(name) is None

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


class TestOpenPhases:
    @pytest.mark.parametrize(
        ("now", "years"),
        [("2025-02-01", 1), ("2025-12-31", 1), ("2026-01-01", 2), ("2026-12-31", 2), ("2027-05-01", 3)],
    )
    def test_one_that_has_run_for_long_ends_in_the_future_too(self, now: str, years: int) -> None:
        desk = Desk(moment("2025-01-01"), Policies())
        desk.run(desk.sold(order("1", line("802-1", "2025-01-01", "2030-01-01"))))
        desk.clock.set(moment(now), frozen=True)
        desk.run(desk.sold(order("1", line("802-1", "2025-01-01"))))
        (phase,) = desk.requests[-1]["phases"]
        assert phase["duration"] == {"interval": "year", "interval_count": years}
        assert desk.schedule["current_phase"]["end_date"] == moment(f"{2025 + years}-01-01").timestamp()
