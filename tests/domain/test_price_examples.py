"""The worked examples of prices and currencies: what a line is sold at, and what Stripe is then told of its price.

Left to the flows, because Stripe or what was made before has a say: an amount that changes after its price was made, and a
second currency of one customer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from orderphase.domain.backdating import SoldPrice, catch_up, missed
from orderphase.domain.catalogue import BillingInterval, Unit
from orderphase.domain.consolidation import consolidate
from orderphase.domain.lines import Order, OrderLine
from orderphase.domain.money import whole_minor_units
from orderphase.domain.policies import Policies
from orderphase.domain.pricing import priced
from orderphase.mapping import read_mapping
from orderphase.stripe.account import price_params
from tests.domain.builders import UTC_ZONE, consolidated, entry, line, moment, order

TERM: dict[str, Any] = {"unit_prices": "per_term"}
MONTHS = {6: "2027-07-01", 12: "2028-01-01", 18: "2028-07-01", 24: "2029-01-01", 25: "2029-02-01"}


@dataclass(frozen=True)
class Example:
    """A line that is sold at `at` from 2027-01-01 on, for so many months. billed: `unit_amount_decimal`, and how often."""

    says: str
    at: str
    months: int | None
    unit: Unit
    billed: str
    currency: str = "USD"
    policies: dict[str, Any] = field(default_factory=dict)
    findings: tuple[str, ...] = ()

    def order(self, lines: int = 1) -> Order:
        book = entry(unit=self.unit, price="999", price_id="price_standard")
        end = None if self.months is None else MONTHS[self.months]
        some = [line(f"802-{n:04}", "2027-01-01", end, price=None, entry=book, unit_price=self.at) for n in range(lines)]
        return order("1", *some, currency=self.currency)


EXAMPLES = {
    "K1 yearly": Example("24 months at 240, billed yearly → 120", "240", 24, "year", "12000", policies=TERM),
    "K1 monthly": Example("24 months at 240, billed monthly → 10", "240", 24, "month", "1000", policies=TERM),
    "K1 one and a half": Example("18 months at 180, billed yearly → 120", "180", 18, "year", "12000", policies=TERM),
    "K1 half": Example("6 months at 60, billed yearly → 120", "60", 6, "year", "12000", policies=TERM),
    "K1 open": Example("evergreen → not divided", "10", None, "month", "1000", policies=TERM),
    "K1 off": Example("the unit price is that of an interval → not divided", "10", 24, "month", "1000"),
    "K3": Example("100 ÷ 7: twelve decimals of a cent", str(Decimal(100) / 7), 12, "month", "1428.571428571429"),
    "K3 divided": Example("100 for 25 months", "100.01", 25, "month", "400.04", policies=TERM),
    "M4": Example("KWD 1.234 → 1230", "1.234", 12, "month", "1230", "KWD", findings=("price_rounded",)),
    "M4 divided": Example("KWD 14.808 ÷ 12", "14.808", 12, "month", "1230", "KWD", TERM, ("price_rounded",)),
    "KWD": Example("a whole number of steps", "1.23", 12, "month", "1230", "KWD"),
    "JPY": Example("no decimals", "10000", 12, "year", "10000", "JPY"),
    "JPY fraction": Example("fractions of a yen are billed", "0.5", 12, "month", "0.5", "JPY"),
    "ISK": Example("two decimals, which are 00", "1000", 12, "month", "100000", "ISK"),
    "ISK fraction": Example("rounded to a whole króna", "1000.5", 12, "month", "100100", "ISK", findings=("price_rounded",)),
    "UGX": Example("two decimals, which are 00", "5", 12, "month", "500", "UGX"),
    "UGX fraction": Example("rounded to a whole shilling", "5.4", 12, "month", "500", "UGX", findings=("price_rounded",)),
}


def sold(one: Order, **policies: Any) -> tuple[OrderLine, ...]:
    """The lines of an order as they are priced."""
    (found,) = priced([one], Policies(**policies), "USD")
    return found.lines


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str) -> None:
    example = EXAMPLES[name]
    (found,) = sold(example.order(), **example.policies)
    assert found.entry is not None
    params = price_params(found.entry, "prod_1", currency=example.currency, org_id="00D")
    assert (str(params["unit_amount_decimal"]), params["currency"]) == (example.billed, example.currency.lower())
    assert params["recurring"] == {"interval": example.unit, "interval_count": 1}
    result = consolidate(priced([example.order()], Policies(**example.policies), None), Policies(**example.policies))
    assert tuple(one.code for one in result.findings) == example.findings
    assert [item.price for phase in result.phases for item in phase.items] == [found.entry.id]


def test_k1_a_field_of_the_companys_own_is_not_divided() -> None:
    """Such a field holds the price of one interval; the policies are then read so."""
    assert read_mapping("").divides_terms
    assert not read_mapping('[order_item]\nunit_price = "Monthly_Price__c"').divides_terms


def test_k1_a_term_that_is_not_whole() -> None:
    part = order("1", line("a", "2027-01-01", "2027-12-31", price=None, entry=entry(), unit_price="120"))
    told = [one.code for one in consolidate(priced([part], Policies(**TERM), None), Policies(**TERM)).findings]
    assert told == ["term_not_whole"]


def test_k2_a_thousand_lines_share_one_price() -> None:
    thousand = Example("1 000 lines at 97.50 a month", "97.50", 12, "month", "9750").order(1000)
    amendment = Example("the same custom price", "97.5", 6, "month", "9750").order()
    assert len({found.price for found in (*sold(thousand), *sold(amendment))}) == 1
    (found,) = {found.entry.id for found in sold(thousand) if found.entry}
    assert found == "01t-01u_usd_9750_month1"


def test_k3_the_parts_add_up() -> None:
    (found,) = sold(EXAMPLES["K3"].order())
    assert found.entry is not None
    unit = price_params(found.entry, "prod_1", currency="USD", org_id="00D")["unit_amount_decimal"]
    assert round(unit * 7) == 10000


def test_m3_seven_months_of_a_year() -> None:
    year = order("1", line("a", "2027-01-01", "2028-01-01"), currency="JPY")
    intervals = missed(consolidated(year).phases, (), now=moment("2027-08-01"))
    prices = {"price_A": SoldPrice(Decimal(10000), BillingInterval("year"))}
    (item,), problems = catch_up(intervals, prices, anchor=moment("2027-01-01"), zone=UTC_ZONE, currency="JPY")
    assert (item.amount, problems) == (5833, [])


def test_m4_an_amount_that_is_taken_off_is_refused_instead() -> None:
    with pytest.raises(ValueError, match=r"^1\.234 KWD is finer than the smallest amount"):
        whole_minor_units(Decimal("1.234"), "KWD")
