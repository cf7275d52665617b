"""The worked examples of amendments, terminations and renewals, as orders → plan → request.

Where an example speaks of money (credits, one-time charges, prorations), that half is Stripe's, and left out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from orderphase.domain.calendar import iso
from orderphase.domain.cancellation import CancellationRequest, end_of
from orderphase.domain.lines import Order, OrderLine
from orderphase.domain.policies import Policies
from orderphase.domain.requests import coupon_value
from tests.domain.builders import line, moment, order
from tests.domain.stripe_desk import Desk, Json, bills_what_is_wanted

SUM: dict[str, Any] = {"quantity_conflict": "sum"}
YEAR = ("2027-01-01", "2028-01-01")
ONE = order("1", line("a", *YEAR, 1))


def less(name: str, of: str, since: str, quantity: int) -> OrderLine:
    """A line of a reduction order."""
    return line(name, since, None, quantity, price=None, reduces=of)


@dataclass(frozen=True)
class Example:
    """first: what was sold and billed before, since the moment `begun`. orders: what is sold at `now`.

    policies: those that the example assumes. request: the phases that are sent, and what comes after the last.
    """

    says: str
    orders: Sequence[Order]
    now: str
    action: str
    request: Sequence[str] = ()
    policies: dict[str, Any] = field(default_factory=dict)
    first: Sequence[Order] = ()
    begun: str = "2027-01-01"
    cancellation: CancellationRequest | None = None
    findings: Sequence[str] = ()
    note: str = ""


EXAMPLES = {
    "A1": Example(
        "quantity 2.5 → error",
        [order("1", line("a", *YEAR, "2.5"))],
        "2027-01-01",
        "nothing",
        findings=["fractional_quantity"],
    ),
    "A2": Example(
        "1 for 12 months, 2 more from month 9 on",
        [ONE, order("2", line("b", "2027-10-01", "2028-01-01", 2), effective="2027-10-01")],
        "2027-03-01",
        "update",
        ["2027-01-01..2027-10-01 A*1", "..2028-01-01 A*3", "then cancel"],
        policies=SUM,
        first=[ONE],
    ),
    "A3": Example(
        "silver (A) becomes gold (B) at month 2, today",
        [
            ONE,
            order("2", line("b", "2027-03-01", "2028-01-01", price="B"), effective="2027-03-01"),
            order("3", less("r", "a", "2027-03-01", -1), effective="2027-03-01", is_reduction=True),
        ],
        "2027-03-01T09:00:00",
        "update",
        ["2027-01-01..now A*1", "now..2028-01-01 B*1", "then cancel"],
        first=[ONE],
        note="the credit and the debit are Stripe's prorations",
    ),
    "A5": Example(
        "one of two items is dropped at month 2, today",
        [
            order("1", line("a", *YEAR), line("b", *YEAR, price="B")),
            order("2", less("r", "b", "2027-03-01", -1), effective="2027-03-01", is_reduction=True),
        ],
        "2027-03-01T09:00:00",
        "update",
        ["2027-01-01..now A*1 B*1", "now..2028-01-01 A*1", "then cancel"],
        first=[order("1", line("a", *YEAR), line("b", *YEAR, price="B"))],
        note="the credit is Stripe's proration",
    ),
    "A6": Example(
        "2, then 3 more, then 1 less",
        [
            order("1", line("a", *YEAR, 2)),
            order("2", line("b", "2027-04-01", "2028-01-01", 3), effective="2027-04-01"),
            order("3", less("r", "b", "2027-07-01", -1), effective="2027-07-01", is_reduction=True),
        ],
        "2027-02-01",
        "update",
        ["2027-01-01..2027-04-01 A*2", "..2027-07-01 A*5", "..2028-01-01 A*4", "then cancel"],
        policies=SUM,
        first=[order("1", line("a", *YEAR, 2))],
        note="from which layer is taken, the reduction says itself",
    ),
    "A7": Example(
        "1, then 1 more twice, then 3 less: everything, on a date to come",
        [
            ONE,
            order("2", line("b", "2027-03-01", "2028-01-01"), effective="2027-03-01"),
            order("3", line("c", "2027-05-01", "2028-01-01"), effective="2027-05-01"),
            order("4", *(less(f"r{of}", of, "2027-08-01", -1) for of in "abc"), effective="2027-08-01", is_reduction=True),
        ],
        "2027-02-01",
        "update",
        ["2027-01-01..2027-03-01 A*1", "..2027-05-01 A*2", "..2027-08-01 A*3", "then cancel"],
        policies=SUM,
        first=[ONE],
    ),
    "A8": Example(
        "5 less where 3 are active → error",
        [
            order("1", line("a", *YEAR, 3)),
            order("2", less("r", "a", "2027-06-01", -5), effective="2027-06-01", is_reduction=True),
        ],
        "2027-02-01",
        "nothing",
        first=[order("1", line("a", *YEAR, 3))],
        findings=["negative_quantity"],
    ),
    "A10": Example(
        "an amendment on the same date to come as the initial order: one phase",
        [
            order("1", line("a", "2027-06-01", "2028-06-01")),
            order("2", line("b", "2027-06-01", "2028-06-01", 2, price="B"), effective="2027-06-01"),
        ],
        "2027-02-01",
        "update",
        ["2027-06-01..2028-06-01 A*1 B*2", "then cancel"],
        first=[order("1", line("a", "2027-06-01", "2028-06-01"))],
    ),
    "A11": Example(
        "two amendments to come on the same day: one new phase",
        [
            ONE,
            order("2", line("b", "2027-06-01", "2028-01-01", 2), effective="2027-06-01"),
            order("3", line("c", "2027-06-01", "2028-01-01", price="B"), effective="2027-06-01"),
        ],
        "2027-02-01",
        "update",
        ["2027-01-01..2027-06-01 A*1", "..2028-01-01 A*3 B*1", "then cancel"],
        policies=SUM,
        first=[ONE],
    ),
    "A12": Example(
        "30 days until due become 60: the current phase and those to come",
        [
            order("1", line("a", *YEAR), collection_method="send_invoice", days_until_due=60),
            order("2", line("b", "2027-06-01", "2028-01-01", price="B"), effective="2027-06-01"),
        ],
        "2027-02-01",
        "update",
        [
            "2027-01-01..2027-06-01 A*1 send_invoice 60",
            "..2028-01-01 A*1 B*1 send_invoice 60",
            "then cancel",
        ],
        first=[
            order("1", line("a", *YEAR), collection_method="send_invoice", days_until_due=30),
            order("2", line("b", "2027-06-01", "2028-01-01", price="B"), effective="2027-06-01"),
        ],
        note="each phase says it, the schedule's default settings stay",
    ),
    "A12, as an amendment": Example(
        "two orders that state 30 and 60 for the same time contradict each other",
        [
            order("1", line("a", *YEAR), collection_method="send_invoice", days_until_due=30),
            order("2", line("b", "2027-06-01", "2028-01-01", price="B"), effective="2027-06-01", days_until_due=60),
        ],
        "2027-02-01",
        "nothing",
        first=[order("1", line("a", *YEAR), collection_method="send_invoice", days_until_due=30)],
        findings=["property_conflict"],
    ),
    "A13": Example(
        "a coupon on a line stays with that line's item; one on the order holds as long as the order",
        [
            order("1", line("a", *YEAR, percent_off="10"), percent_off="5"),
            order("2", line("b", "2027-06-01", "2028-06-01", price="B"), effective="2027-06-01"),
        ],
        "2027-02-01",
        "update",
        [
            "2027-01-01..2027-06-01 A*1(kept) (kept)",
            "..2028-01-01 A*1(10%) B*1 (5%)",
            "..2028-06-01 B*1",
            "then cancel",
        ],
        first=[order("1", line("a", *YEAR, percent_off="10"), percent_off="5")],
        note="an amendment that states no discount agrees with the order's while both run",
    ),
    "A14": Example("an amendment that changes nothing", [ONE], "2027-03-01", "nothing", first=[ONE]),
    "A15": Example(
        "the second amendment is activated first: the same in the end",
        [
            ONE,
            order("2", line("b", "2027-04-01", "2028-01-01"), effective="2027-04-01"),
            order("3", line("c", "2027-08-01", "2028-01-01"), effective="2027-08-01"),
        ],
        "2027-03-01",
        "update",
        ["2027-01-01..2027-04-01 A*1", "..2027-08-01 A*2", "..2028-01-01 A*3", "then cancel"],
        policies=SUM,
        first=[ONE, order("3", line("c", "2027-08-01", "2028-01-01"), effective="2027-08-01")],
    ),
    "B4": Example(
        "the initial order started today, the amendment too: the current phase is changed itself",
        [ONE, order("2", line("b", *YEAR, 2), effective="2027-01-01")],
        "2027-01-01T15:00:00",
        "update",
        ["2027-01-01T09:00:00Z..2028-01-01 A*3", "then cancel"],
        policies=SUM,
        first=[ONE],
        begun="2027-01-01T09:00:00",
    ),
    "B5": Example(
        "the initial order starts in the future, the amendment on the same date",
        [
            order("1", line("a", "2027-06-01", "2028-06-01")),
            order("2", line("b", "2027-06-01", "2028-06-01", 2), effective="2027-06-01"),
        ],
        "2027-02-01",
        "update",
        ["2027-06-01..2028-06-01 A*3", "then cancel"],
        policies=SUM,
        first=[order("1", line("a", "2027-06-01", "2028-06-01"))],
    ),
    "C1": Example(
        "an amendment ends before the contract: the line's own end counts",
        [ONE, order("2", line("b", "2027-04-01", "2027-10-01", price="B"), effective="2027-04-01")],
        "2027-02-01",
        "update",
        ["2027-01-01..2027-04-01 A*1", "..2027-10-01 A*1 B*1", "..2028-01-01 A*1", "then cancel"],
        first=[ONE],
        note="co-termination is no rule of Orderphase, so it is neither an error nor clamped",
    ),
    "T1": Example(
        "terminated on a date to come: the last phase is shortened",
        [ONE, order("2", line("b", "2027-04-01", "2028-01-01", price="B"), effective="2027-04-01")],
        "2027-02-01",
        "update",
        ["2027-01-01..2027-04-01 A*1", "..2027-08-15 A*1 B*1", "then cancel"],
        first=[ONE, order("2", line("b", "2027-04-01", "2028-01-01", price="B"), effective="2027-04-01")],
        cancellation=CancellationRequest("on_date", moment("2027-08-15").date()),
        note="no credit: the request says proration_behavior none",
    ),
    "T2": Example(
        "terminated at once, without an invoice and without proration",
        [ONE],
        "2027-02-01",
        "cancel",
        ["invoice_now False", "prorate False"],
        first=[ONE],
        cancellation=CancellationRequest("now"),
    ),
    "R1, chained": Example(
        "twelve months more on the same contract: the phase goes on",
        [ONE, order("2", line("b", "2028-01-01", "2029-01-01", 2), effective="2028-01-01")],
        "2027-11-01",
        "update",
        ["2027-01-01..2028-01-01 A*1", "..2029-01-01 A*2", "then cancel"],
        first=[ONE],
    ),
    "R1, a second contract": Example(
        "a schedule of its own, which starts exactly at the end of the first",
        [order("1", line("b", "2028-01-01", "2029-01-01", 2))],
        "2027-11-01",
        "create",
        ["2028-01-01..2029-01-01 A*2", "then cancel"],
    ),
    "R3": Example(
        "an evergreen line from a date to come: one phase, and the subscription goes on",
        [order("1", line("a", "2027-06-01"))],
        "2027-02-01",
        "create",
        ["2027-06-01..+1 year A*1", "then release"],
    ),
    "R4": Example(
        "three yearly segments of 10, 20 and 30 seats, each at its own discount",
        [
            order(
                "1",
                line("a", "2027-01-01", "2028-01-01", 10),
                line("b", "2028-01-01", "2029-01-01", 20, percent_off="10"),
                line("c", "2029-01-01", "2030-01-01", 30, percent_off="12.5"),
            )
        ],
        "2026-12-01",
        "create",
        ["2027-01-01..2028-01-01 A*10", "..2029-01-01 A*20(10%)", "..2030-01-01 A*30(12.5%)", "then cancel"],
    ),
    "R5": Example(
        "twelve monthly segments: ten now, the others when five of them have passed",
        [order("1", *(line(f"{n:02}", f"2027-{n:02}-01", f"{2027 + n // 12}-{n % 12 + 1:02}-01", n) for n in range(1, 13)))],
        "2026-12-01",
        "create",
        ["2027-01-01..2027-02-01 A*1", *(f"..2027-{n + 1:02}-01 A*{n}" for n in range(2, 11)), "then release"],
    ),
}


@pytest.mark.parametrize("remembers", [True, False], ids=["remembers", "forgot"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str, remembers: bool) -> None:
    example = EXAMPLES[name]
    desk = Desk(moment(example.begun if example.first else example.now), Policies(**example.policies), remembers=remembers)
    if example.first:
        assert not desk.run(desk.sold(*example.first)).refused
    before = len(desk.requests)
    desk.clock.set(moment(example.now), frozen=True)
    ending: dict[str, Any] = {}
    if asked := example.cancellation:
        ending = {
            "ends_at": end_of(asked, desk.held(), now=desk.now, policies=desk.policies),
            "cancellation": asked,
            "ending": True,
        }

    planned = desk.run(desk.sold(*example.orders), **ending)

    assert ([one.code for one in planned.findings], planned.action) == (list(example.findings), example.action)
    sent = desk.requests[before:]
    assert [written(params, desk) for params in sent] == ([list(example.request)] if example.request else [])
    if not planned.refused:
        bills_what_is_wanted(desk, () if example.action == "cancel" else planned.wanted)


def test_a_reduction_that_is_too_large_is_told_with_both_numbers_and_the_layer() -> None:
    """A8."""
    desk = Desk(moment("2027-02-01"), Policies())
    (found,) = desk.plan(desk.sold(*EXAMPLES["A8"].orders)).findings
    assert found.message == (
        "Reduction line r of order 2 takes away 5 from 2027-06-01 on, but 3 are active: 3 in line a of order 1."
    )
    assert found.lines == ("r", "a")


def test_a_termination_says_itself_whether_it_prorates() -> None:
    """T1."""
    for prorate, behavior in ((False, "none"), (True, "create_prorations")):
        desk = Desk(moment("2027-01-01"), Policies(proration_behavior="always_invoice"))
        sold = desk.sold(ONE)
        desk.run(sold)
        asked = CancellationRequest("on_date", prorate=prorate)
        desk.run(sold, ends_at=moment("2027-08-15"), cancellation=asked, ending=True)
        assert desk.requests[-1]["proration_behavior"] == behavior


def test_the_second_contract_of_a_renewal_begins_when_the_first_ends() -> None:
    """R1."""
    first, second = Desk(moment("2027-01-01"), Policies()), Desk(moment("2027-11-01"), Policies())
    first.run(first.sold(ONE))
    second.run(second.sold(*EXAMPLES["R1, a second contract"].orders))
    assert first.schedule["phases"][-1]["end_date"] == second.schedule["phases"][0]["start_date"]


def test_a_long_ramp_is_extended_when_five_of_its_phases_are_left() -> None:
    """R5."""
    desk = Desk(moment("2026-12-01"), Policies())
    sold = desk.sold(*EXAMPLES["R5"].orders)
    planned = desk.run(sold)
    assert planned.extend_at == moment("2027-06-01")
    desk.clock.set(moment("2027-06-01"), frozen=True)
    assert desk.run(sold).extend_at is None
    assert written(desk.requests[-1], desk)[-2:] == ["..2028-01-01 A*12", "then cancel"]


def written(params: Json, desk: Desk) -> list[str]:
    """A request in words: `start..end price*quantity(discount) (discount of the phase) collection`, and what comes after."""
    if "phases" not in params:
        return [f"{name} {value}" for name, value in params.items()]
    names = {price: name for name, price in desk.prices.items()}
    lines = []
    for number, phase in enumerate(params["phases"]):
        start = phase.get("start_date", params.get("start_date", "") if number == 0 else "")
        end = phase.get("end_date") or "+{interval_count} {interval}".format(**phase["duration"])
        items = [f"{names[item['price']]}*{item['quantity']}{off(item.get('discounts'))}" for item in phase["items"]]
        whole = [off(phase["discounts"])] if phase["discounts"] else []
        sent = phase["collection_method"] == "send_invoice"
        collection = [f"send_invoice {phase['invoice_settings']['days_until_due']}"] if sent else []
        lines.append(" ".join([f"{when(start)}..{when(end)}", *items, *whole, *collection]))
    return [*lines, f"then {params['end_behavior']}"]


def when(value: int | str) -> str:
    if isinstance(value, str):
        return value
    return (iso(datetime.fromtimestamp(value, UTC)) or "").removesuffix("T00:00:00Z")


def off(discounts: Any) -> str:
    said = []
    for one in discounts or ():
        value = coupon_value(one["coupon"]) if "coupon" in one else None
        said.append("kept" if "discount" in one else f"{value.percent_off}%" if value else one["coupon"])
    return "".join(f"({text})" for text in said)
