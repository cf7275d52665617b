"""Planning where Stripe holds nothing yet: the request that creates a schedule, and what keeps it from being sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from orderphase.domain.lines import Order
from orderphase.domain.phases import Consolidation
from orderphase.domain.planning import GENERATION, Plan, Situation, plan
from orderphase.domain.policies import Policies
from sandbox.stripe_emulator import parameters
from tests.domain.builders import consolidated, line, moment, order

NOW = moment("2025-03-01T12:00:00")
METADATA = {"salesforce_org_id": "00D", "salesforce_contract_id": "800"}
YEAR = line("802-1", "2025-06-01", "2026-06-01", 3)


def created(*orders: Order, now: Any = NOW, currency: str = "USD", **policies: Any) -> Plan:
    return plan(consolidated(*orders, **policies), Situation(now=now, policies=Policies(**policies), currency=currency))


def request(planned: Plan, **more: Any) -> dict[str, Any]:
    """The request, checked as Stripe would."""
    assert planned.action == "create"
    params = planned.params(customer="cus_1", coupons=planned.coupons("key"), metadata=METADATA, products={}, **more)
    parameters.check("subscription_schedules.create", params)
    return params


def at(text: str) -> int:
    return int(moment(text).timestamp())


def codes(planned: Plan) -> list[str]:
    return [found.code for found in planned.findings]


class TestRequest:
    def test_a_year_to_come(self) -> None:
        assert request(created(order("1", YEAR))) == {
            "customer": "cus_1",
            "start_date": at("2025-06-01"),
            "end_behavior": "cancel",
            "billing_mode": {"type": "flexible"},
            "metadata": METADATA,
            "phases": [
                {
                    "items": [{"price": "price_A", "quantity": 3, "metadata": {"salesforce_order_item_ids": "802-1"}}],
                    "currency": "usd",
                    "proration_behavior": "create_prorations",
                    "billing_cycle_anchor": "automatic",
                    "discounts": "",
                    "metadata": METADATA,
                    "collection_method": "charge_automatically",
                    "end_date": at("2026-06-01"),
                }
            ],
        }

    def test_what_has_begun_starts_now(self) -> None:
        planned = created(order("1", line("802-1", "2025-03-01", "2026-03-01")))
        assert planned.phases[0].start == NOW
        assert request(planned)["start_date"] == "now"
        assert codes(planned) == []

    def test_what_begins_this_very_moment_starts_now(self) -> None:
        planned = created(order("1", line("802-1", "2025-03-01", "2026-03-01")), now=moment("2025-03-01"))
        assert request(planned)["start_date"] == "now"
        assert codes(planned) == []

    def test_a_second_later_starts_later(self) -> None:
        planned = created(order("1", YEAR), now=moment("2025-05-31T23:59:59"))
        assert request(planned)["start_date"] == at("2025-06-01")

    def test_what_has_passed_is_left_out(self) -> None:
        lines = (line("802-1", "2025-01-01", "2025-03-01"), line("802-2", "2025-03-01", "2025-06-01", 2))
        planned = created(order("1", *lines), now=moment("2025-03-01"))
        assert [phase["items"][0]["quantity"] for phase in request(planned)["phases"]] == [2]
        assert [item.quantity for phase in planned.wanted for item in phase.items] == [1, 2]

    def test_an_open_end_lasts_a_year_and_is_released(self) -> None:
        params = request(created(order("1", line("802-1", "2025-06-01"))))
        assert params["end_behavior"] == "release"
        assert params["phases"][-1]["duration"] == {"interval": "year", "interval_count": 1}
        assert "end_date" not in params["phases"][-1]

    def test_a_ramp_has_a_start_and_the_ends_of_its_phases(self) -> None:
        lines = (line("802-1", "2025-06-01", "2026-06-01"), line("802-2", "2025-09-01", "2026-06-01", price="price_B"))
        params = request(created(order("1", *lines)))
        assert params["start_date"] == at("2025-06-01")
        assert [phase["end_date"] for phase in params["phases"]] == [at("2025-09-01"), at("2026-06-01")]
        assert [len(phase["items"]) for phase in params["phases"]] == [1, 2]

    def test_neighbours_that_bill_the_same_are_one_phase(self) -> None:
        """To say that Stripe charges is to say what it does anyway."""
        said = order("2", line("802-2", "2026-06-01", "2027-06-01", 3), collection_method="charge_automatically")
        planned = created(order("1", YEAR), said)
        (phase,) = request(planned)["phases"]
        assert phase["end_date"] == at("2027-06-01")
        assert phase["items"][0]["metadata"] == {"salesforce_order_item_ids": "802-1,802-2"}
        assert len(planned.wanted) == 2

    def test_invoices_are_sent(self) -> None:
        sent = order("1", YEAR, collection_method="send_invoice", days_until_due=30)
        (phase,) = request(created(sent))["phases"]
        assert phase["collection_method"] == "send_invoice"
        assert phase["invoice_settings"] == {"days_until_due": 30}

    @pytest.mark.parametrize("anchor", ["automatic", "phase_start"])
    @pytest.mark.parametrize("proration", ["create_prorations", "none", "always_invoice"])
    @pytest.mark.parametrize("mode", ["flexible", "classic"])
    def test_policies(self, mode: str, proration: str, anchor: str) -> None:
        choices: dict[str, Any] = {"billing_mode": mode, "proration_behavior": proration, "billing_cycle_anchor": anchor}
        params = request(created(order("1", YEAR), **choices))
        assert params["billing_mode"] == {"type": mode}
        (phase,) = params["phases"]
        assert (phase["proration_behavior"], phase["billing_cycle_anchor"]) == (proration, anchor)

    @pytest.mark.parametrize(("stated", "billed"), [("EUR", "eur"), (None, "jpy")])
    def test_the_currency_of_the_orders_or_else_of_the_org(self, stated: str | None, billed: str) -> None:
        planned = created(order("1", YEAR, currency=stated), currency="JPY")
        assert planned.currency == billed.upper()
        assert request(planned)["phases"][0]["currency"] == billed

    def test_discounts_name_a_coupon_each_where_they_hold(self) -> None:
        cheap = replace(YEAR, percent_off=Decimal(5))
        planned = created(order("1", cheap, line("802-2", "2025-06-01", "2026-06-01", price="price_B"), percent_off=10))
        made = planned.coupons("key")
        assert made.keys() == {(0, None), (0, "price_A")}
        (phase,) = request(planned)["phases"]
        assert phase["discounts"] == [{"coupon": made[0, None].id}]
        assert [item.get("discounts") for item in phase["items"]] == [[{"coupon": made[0, "price_A"].id}], None]

    def test_a_customer_that_is_still_to_be_created_is_left_out(self) -> None:
        planned = created(order("1", YEAR))
        assert "customer" not in planned.params(customer=None, coupons={}, metadata={}, products={})

    def test_the_schedule_alone_says_which_intent_made_it(self) -> None:
        params = request(created(order("1", YEAR)), generation=3)
        assert params["metadata"] == {**METADATA, GENERATION: "3"}
        assert params["phases"][0]["metadata"] == METADATA

    def test_as_it_is_answered(self) -> None:
        planned = created(order("1", line("802-1", "2025-01-01", "2026-01-01", quantity=0), YEAR))
        answer = planned.as_dict({"a": 1})
        assert (answer["action"], answer["params"]) == ("create", {"a": 1})
        assert [(one["start"], one["end"]) for one in answer["phases"]] == [("2025-06-01T00:00:00Z", "2026-06-01T00:00:00Z")]
        assert [one["code"] for one in answer["findings"]] == ["zero_quantity"]


class TestFindings:
    def test_everything_has_ended(self) -> None:
        planned = created(order("1", line("802-1", "2024-01-01", "2025-03-01")), now=moment("2025-03-01"))
        (found,) = planned.findings
        assert (found.code, planned.refused, planned.phases) == ("end_in_past", True, ())
        assert "2025-03-01" in found.message
        assert (found.start, found.end) == (moment("2024-01-01"), moment("2025-03-01"))

    @pytest.mark.parametrize("orders", [(), (order("1", line("802-1", "2025-06-01", quantity=0)),)])
    def test_nothing_to_bill(self, orders: tuple[Order, ...]) -> None:
        planned = created(*orders)
        assert codes(planned)[0] == "nothing_to_bill"
        assert (planned.refused, planned.action) == (True, "nothing")

    @pytest.mark.parametrize(("left", "sent", "behavior"), [(10, 10, "cancel"), (11, 10, "release"), (36, 10, "release")])
    def test_ten_phases_from_now_on(self, left: int, sent: int, behavior: str) -> None:
        ramp = order("1", *steps(left + 1))
        planned = created(ramp, now=moment("2025-01-31"))  # the first step has passed
        assert (len(planned.sent), planned.end_behavior, planned.refused) == (sent, behavior, False)
        # When five of the ten are left: the one that begins then, and four more.
        assert planned.extend_at == (planned.phases[5].start if behavior == "release" else None)

    def test_invoices_without_a_due_date(self) -> None:
        planned = created(order("1", YEAR, collection_method="send_invoice"))
        assert (codes(planned), planned.refused) == (["missing_days_until_due"], True)
        assert planned.findings[0].lines == ("802-1",)

    @pytest.mark.parametrize("method", [None, "charge_automatically"])
    def test_a_due_date_without_invoices(self, method: str | None) -> None:
        planned = created(order("1", YEAR, collection_method=method, days_until_due=30))
        assert (codes(planned), planned.refused) == (["unused_days_until_due"], False)
        assert "invoice_settings" not in request(planned)["phases"][0]

    @pytest.mark.parametrize(("amount", "refused"), [("5", False), ("5.50", True)])
    def test_a_discount_that_the_currency_of_the_org_cannot_express(self, amount: str, refused: bool) -> None:
        whole = order("1", YEAR, currency=None, amount_off=amount)
        part = order("1", replace(YEAR, amount_off=Decimal(amount)), currency=None)
        for one in (whole, part):
            planned = created(one, currency="JPY")
            assert (codes(planned), planned.refused) == (["discount_out_of_range"] if refused else [], refused)
            assert not created(one, currency="USD").refused

    def test_all_findings_at_once(self) -> None:
        lines = (line("802-1", "2025-06-01", "2025-07-01"), line("802-2", "2025-08-01", "2025-09-01", "1.5"))
        planned = created(order("1", *lines), order("2", line("802-3", "2025-06-01", quantity=-1), currency="EUR"))
        assert set(codes(planned)) == {"fractional_quantity", "negative_quantity", "currency_conflict"}
        assert (planned.action, planned.sent, planned.wanted) == ("nothing", (), ())

    def test_more_than_twenty_items(self) -> None:
        lines = [line(f"802-{n:02}", "2025-06-01", "2026-06-01", price=f"price_{n:02}") for n in range(21)]
        planned = created(order("1", *lines[:11]), order("2", *lines[11:]))
        (found,) = planned.findings
        assert (found.code, found.orders, len(found.lines)) == ("too_many_items", ("801-1", "801-2"), 21)
        assert not created(order("1", *lines[1:])).refused

    def test_two_currencies(self) -> None:
        planned = created(order("1", YEAR), order("2", line("802-2", "2025-06-01", price="price_B"), currency="EUR"))
        (found,) = planned.findings
        assert (found.code, found.orders, found.lines) == ("currency_conflict", ("801-1", "801-2"), ("802-1", "802-2"))
        assert "order 1 in USD" in found.message
        assert "order 2 in EUR" in found.message

    def test_a_consolidation_that_is_refused_plans_nothing(self) -> None:
        found = consolidated(order("1", line("802-1", "2025-01-01", price=None))).findings
        refused = Consolidation((), "cancel", found, None)
        planned = plan(refused, Situation(now=NOW, policies=Policies(), currency="USD"))
        assert (codes(planned), planned.action) == (["missing_price"], "nothing")
        assert planned.params(customer=None, coupons={}, metadata={}, products={}) == {}


def steps(count: int) -> Sequence[Any]:
    """A line for each 30 days, with another quantity each."""
    bounds = [moment("2025-01-01") + timedelta(days=30 * number) for number in range(count + 1)]
    return [
        replace(line(f"802-{number:02}", "2025-01-01", quantity=number + 1), start=start, end=end)
        for number, (start, end) in enumerate(pairwise(bounds))
    ]
