"""`orderphase preview`: everything that would happen, on a terminal, as JSON and as a picture; nothing is written."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from orderphase.bootstrap import commands
from orderphase.cli.plan import plan_situated
from orderphase.domain.findings import finding
from orderphase.domain.lines import Discount
from orderphase.domain.requests import Coupon
from orderphase.errors import DataError, TransientError
from orderphase.flows.preview import Invoice, InvoiceLine, Preview
from orderphase.mapping import FieldMapping
from orderphase.salesforce.snapshot import read_situated
from sandbox.build import ROOT
from tests.cli.conftest import Command
from tests.cli.test_connection import WHOLE
from tests.domain.builders import moment
from tests.flows.world import World
from tests.functions.deployed import deployed

EXAMPLE = ROOT / "docs" / "example-plan.json"
ORDER, CONTRACT = "801000000000002AAA", "800000000000001AAA"
SEATS = InvoiceLine("2 × Seat", 12_000, moment("2025-04-01"), moment("2025-05-01"), proration=False)  # noqa: RUF001
UNUSED = InvoiceLine("Unused time\non Seat", -250, moment("2025-03-15T12:00:00"), moment("2025-04-01"), proration=True)
INVOICES = (
    Invoice(moment("2025-04-01"), "USD", 11_750, (SEATS, UNUSED), note="without the new discounts"),
    Invoice(moment("2025-06-01"), "USD", 24_000, exact=False),
    Invoice(moment("2026-01-01"), "USD", problem="Stripe has none."),
)


def found(**changes: Any) -> Preview:
    """The preview of the example."""
    given = read_situated(EXAMPLE.read_bytes(), FieldMapping())
    made, params = plan_situated(given)
    preview = Preview(
        contract_id=CONTRACT,
        order_id=ORDER,
        order_number="00000102",
        activated=True,
        orders=given.snapshot.orders,
        plan=made,
        schedule=made.situation.schedule,
        request="POST /v1/subscription_schedules/sub_sched_1",
        params=params,
        created_first=(),
        coupons=(),
        invoices=(),
    )
    return replace(preview, **changes)


@pytest.fixture
def show(command: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Runs the command for a preview, or for the error that making one raises."""

    class Previews:
        def __init__(self, preview: Preview | Exception) -> None:
            self.preview = preview

        def run(self, order_id: str) -> Preview:
            assert order_id == ORDER
            if isinstance(self.preview, Exception):
                raise self.preview
            return self.preview

    def show(preview: Preview | Exception, *arguments: str) -> tuple[int, str, str]:
        def build(environment: Any) -> Previews:
            assert environment.items() >= WHOLE.items()
            return Previews(preview)

        monkeypatch.setattr(commands, "preview", build)
        return command(b"", "preview", ORDER, *arguments)

    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "100")
    return show


def section(out: str, title: str) -> list[str]:
    """The rows below a title, up to the next blank one."""
    _, _, rest = out.partition(f"\n{title}\n")
    return rest.split("\n\n")[0].splitlines()


def test_a_terminal_shows_the_timeline_the_changes_and_the_request(show: Any) -> None:
    code, out, err = show(found())
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head == f"Order 00000102 of contract {CONTRACT}, as the environment would bill it"
    assert rows[1].startswith("now ")
    assert [row.split()[0] for row in rows if "│" in row] == ["today", "planned"]
    assert "Orderphase will update schedule sub_sched_1" in rows
    assert "  ~ price_A quantity 1 → 3  from 2025-04-01 to 2026-01-01" in rows
    assert "Plan: 0 to add, 1 to change, 0 to remove." in rows
    request, params = section(out, "Request")
    assert request == "  POST /v1/subscription_schedules/sub_sched_1"
    assert json.loads(params) == found().params
    assert ": " not in params
    assert not any(title in out for title in ("Created first", "Invoices", "\x1b"))


def test_what_is_created_first(show: Any) -> None:
    coupon = Coupon("orderphase_10pct_0", Discount(percent_off=Decimal(10)), "USD")
    _, out, _ = show(found(created_first=("the customer of account 001",), coupons=(coupon,)))
    assert section(out, "Created first") == [
        "  the customer of account 001",
        "  the coupon orderphase_10pct_0, 10 percent off",
    ]


def test_the_invoices_to_come(show: Any) -> None:
    _, out, _ = show(found(invoices=INVOICES))
    assert section(out, "Invoices to come") == [
        "  2025-04-01: 117.50 USD, without the new discounts",
        "    120.00  2 × Seat, from 2025-04-01 to 2025-05-01",  # noqa: RUF001
        "     -2.50  Unused time on Seat, from 2025-03-15 12:00:00 UTC to 2025-04-01, prorated",
        "  2025-06-01: 240.00 USD, in a full cycle of that phase",
        "  the next invoice: no preview. Stripe has none.",
    ]


def test_a_draft_without_a_contract(show: Any) -> None:
    _, out, _ = show(found(contract_id=ORDER, activated=False))
    assert out.splitlines()[0] == "Order 00000102, as the environment would bill it once it is activated"


def test_an_error_finding_exits_with_1_and_no_request(show: Any) -> None:
    plan = replace(found().plan, action="nothing", findings=(finding("nothing_to_bill", "No order line is left to bill."),))
    code, out, _ = show(found(plan=plan, request=None, params={}))
    assert code == 1
    assert "finding 1  error, nothing_to_bill: No order line is left to bill." in out
    assert "Orderphase will do nothing before 1 error is corrected." in out
    assert "Request" not in out


def test_json_is_the_plan_and_all_else(show: Any) -> None:
    coupon = Coupon("orderphase_500usd_0", Discount(amount_off=Decimal(5)), "USD")
    preview = found(created_first=("the customer",), coupons=(coupon,), invoices=INVOICES)
    code, out, _ = show(preview, "--json")
    answer = json.loads(out)
    assert code == 0
    assert {key: answer[key] for key in ("action", "params", "phases", "findings")} == preview.plan.as_dict(preview.params)
    assert (answer["contract"], answer["order"], answer["order_number"]) == (CONTRACT, ORDER, "00000102")
    assert (answer["schedule"], answer["request"], answer["activated"]) == ("sub_sched_1", preview.request, True)
    assert answer["changes"] == [
        {"sign": "~", "what": "price_A quantity 1 → 3", "start": "2025-04-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}
    ]
    assert answer["created_first"] == ["the customer"]
    assert answer["coupons"] == [{"id": coupon.id, "discount": {"amount_off": "5.00"}, "currency": "USD"}]
    first, later, without = answer["invoices"]
    assert (first["date"], first["total"], first["currency"]) == ("2025-04-01T00:00:00Z", "117.50", "USD")
    assert (first["exact"], first["note"], later["exact"]) == (False, "without the new discounts", False)
    assert first["lines"][1] == {
        "description": "Unused time\non Seat",
        "amount": "-2.50",
        "start": "2025-03-15T12:00:00Z",
        "end": "2025-04-01T00:00:00Z",
        "proration": True,
    }
    assert (without["problem"], without["lines"]) == ("Stripe has none.", [])


def test_a_picture(show: Any, tmp_path: Path) -> None:
    file = tmp_path / "preview.svg"
    assert show(found(), "--svg", str(file))[0] == 0
    picture = ET.parse(file).getroot()
    assert picture.findtext("{http://www.w3.org/2000/svg}title") == "Order 00000102: today, and as planned"


def test_a_picture_that_cannot_be_written(show: Any, tmp_path: Path) -> None:
    code, out, err = show(found(), "--svg", str(tmp_path))
    assert (code, out) == (2, "")
    assert str(tmp_path) in err


@pytest.mark.parametrize(("terminal", "no_color", "colored"), [(True, "", True), (True, "1", False), (False, "", False)])
def test_colours_are_for_terminals_whose_user_wants_them(
    show: Any, monkeypatch: pytest.MonkeyPatch, terminal: bool, no_color: str, colored: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert ("\x1b[33m  ~ price_A" in show(found())[1]) == colored


@pytest.mark.parametrize("columns", ["1", "500"])
def test_it_is_as_wide_as_the_terminal_within_reason(show: Any, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    widest = max(len(row) for row in show(found())[1].partition("\n\nRequest\n")[0].splitlines()[1:])
    assert widest == (40 if columns == "1" else 120)


@pytest.mark.parametrize("problem", [DataError("Order 801 is not in Salesforce any more."), TransientError("Stripe: no\nway")])
def test_what_cannot_be_previewed_exits_with_2_and_one_line(show: Any, problem: Exception) -> None:
    code, out, err = show(problem)
    assert (code, out, err) == (2, "", f"orderphase: {' '.join(str(problem).split())}\n")


def test_nothing_says_where_to_look(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("ORDERPHASE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    code, out, err = command(b"", "preview", ORDER)
    assert (code, out) == (2, "")
    assert err.startswith("orderphase: nothing says where to look: ")


# ---- the whole command, between the emulators ---------------------------------------------------------------------------


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    with deployed(monkeypatch) as world:
        yield world


def test_against_both_systems_it_shows_what_then_happens_and_writes_nothing(here: World, command: Command) -> None:
    account = here.account()
    order = here.order(account, here.contract(account), {"PricebookEntryId": here.entry(), "EndDate": "2027-12-01"})
    code, out, err = command(b"", "preview", order, "--json")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert (shown["action"], shown["request"]) == ("create", "POST /v1/subscription_schedules")
    assert len(shown["created_first"]) == 2
    assert (here.schedules(), here.log_entries()) == ([], [])

    here.flow().run(order, event_id="event-1", org_id=shown["params"]["metadata"]["salesforce_org_id"])
    (schedule,) = here.schedules()
    assert datetime.fromtimestamp(schedule["phases"][0]["end_date"], UTC).isoformat() == "2027-12-01T00:00:00+00:00"
    again = json.loads(command(b"", "preview", order, "--json")[1])
    assert (again["action"], again["schedule"], again["changes"]) == ("nothing", schedule["id"], [])


def test_a_price_of_a_lines_own_is_created_first(here: World, command: Command) -> None:
    account = here.account()
    sold = {"PricebookEntryId": here.entry(), "UnitPrice": 9, "EndDate": "2027-12-01"}
    order = here.order(account, here.contract(account), sold)
    shown = json.loads(command(b"", "preview", order, "--json")[1])
    assert [told.endswith(" at 9.00 USD every month") for told in shown["created_first"]] == [False, True]
    assert shown["params"]["phases"][0]["items"][0]["price"].endswith("_usd_900_month1")


@pytest.mark.parametrize("order_id", ["801000000000009AAA", "nonsense", "' OR Id != '"])
def test_an_order_that_does_not_exist(here: World, command: Command, order_id: str) -> None:
    code, out, err = command(b"", "preview", order_id)
    assert (code, out) == (2, "")
    assert err.startswith("orderphase: ")
    assert order_id in err
