"""What requests are made of: coupons and their ids, metadata that fits, phases without an end."""

from __future__ import annotations

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
