"""`orderphase consolidate`: what it reads, what it prints, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orderphase import mapping
from orderphase.cli import consolidate, main
from tests.cli.conftest import Command

SNAPSHOT: dict[str, Any] = {
    "now": "2025-03-01T00:00:00Z",
    "policies": {"quantity_conflict": "error", "end_dates": "exclusive", "time_zone": "UTC"},
    "contract": {"Id": "800…"},
    "orders": [
        {
            "Id": "801…",
            "OrderNumber": "00000101",
            "EffectiveDate": "2025-01-01",
            "EndDate": None,
            "ActivatedDate": "2025-01-01T09:00:00Z",
            "CurrencyIsoCode": "USD",
            "IsReductionOrder": False,
            "Stripe_Collection_Method__c": None,
            "Stripe_Days_Until_Due__c": None,
            "Stripe_Discount_Percent_Off__c": None,
            "Stripe_Discount_Amount_Off__c": None,
            "OrderItems": [
                {
                    "Id": "802…",
                    "Quantity": 1,
                    "ServiceDate": "2025-01-01",
                    "EndDate": "2026-01-01",
                    "Stripe_Price_Id__c": "price_A",
                    "Stripe_Discount_Percent_Off__c": None,
                    "Stripe_Discount_Amount_Off__c": None,
                    "OriginalOrderItemId": None,
                }
            ],
        }
    ],
}
ANSWER = {
    "phases": [
        {
            "start": "2025-01-01T00:00:00Z",
            "end": "2026-01-01T00:00:00Z",
            "items": [{"price": "price_A", "quantity": 1, "discount": None, "lines": ["802…"]}],
            "settings": {"collection_method": None, "days_until_due": None, "discount": None},
        }
    ],
    "end_behavior": "cancel",
    "findings": [],
}


def with_lines(*lines: dict[str, Any]) -> dict[str, Any]:
    (order,) = SNAPSHOT["orders"]
    (first,) = order["OrderItems"]
    return SNAPSHOT | {"orders": [order | {"OrderItems": [first | line for line in lines]}]}


GAP = with_lines({"Id": "802A", "EndDate": "2025-03-01"}, {"Id": "802B", "ServiceDate": "2025-06-01"})
DUPLICATE = with_lines({"Id": "802A"}, {"Id": "802B"})


@pytest.fixture
def run(command: Command) -> Command:
    """`orderphase consolidate`."""
    return lambda source, *arguments: command(source, "consolidate", *arguments)


def test_a_snapshot_from_standard_input(run: Any) -> None:
    code, out, err = run(SNAPSHOT)
    assert (code, json.loads(out), err) == (0, ANSWER, "")
    assert "802…" in out
    assert run(SNAPSHOT, "-") == (code, out, err)


def test_a_snapshot_from_a_file(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "snapshot.json"
    file.write_text(json.dumps(SNAPSHOT), "utf-8")
    code, out, err = run(b"not read", str(file))
    assert (code, json.loads(out), err) == (0, ANSWER, "")


def test_prices_are_those_of_one_interval_and_of_a_lines_own(run: Any) -> None:
    book = {"Id": "01uA", "UnitPrice": 10, "Stripe_Billing_Interval__c": "month", "Product2": {"Id": "01tA", "Name": "Seat"}}
    sold = {"Stripe_Price_Id__c": None, "PricebookEntry": book}
    source = with_lines({"Id": "802A", "UnitPrice": 120, **sold}, {"Id": "802B", "UnitPrice": 108, **sold})
    code, out, _ = run(source | {"policies": {"unit_prices": "per_term"}})
    (phase,) = json.loads(out)["phases"]
    assert (code, [item["price"] for item in phase["items"]]) == (0, ["01uA", "01tA_usd_900_month1"])


def test_an_error_finding_exits_with_1_and_the_findings(run: Any) -> None:
    code, out, err = run(GAP)
    answer = json.loads(out)
    assert (code, err, answer["phases"]) == (1, "", [])
    (told,) = answer["findings"]
    assert told == {
        "code": "phase_gap",
        "severity": "error",
        "message": "Nothing is billed from 2025-03-01 to 2025-06-01: before it line 802A of order 00000101, "
        "after it line 802B of order 00000101.",
        "lines": ["802A", "802B"],
        "orders": ["801…"],
        "start": "2025-03-01T00:00:00Z",
        "end": "2025-06-01T00:00:00Z",
        "remedy": "Let the next line start where the one before ends, or add a line for the time between.",
    }


def test_a_warning_exits_with_0(run: Any) -> None:
    code, out, _ = run(DUPLICATE)
    assert code == 0
    assert [one["severity"] for one in json.loads(out)["findings"]] == ["warning"]
    assert len(json.loads(out)["phases"]) == 1


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"", "the snapshot is not JSON"),
        (b"\xff\xff", "the snapshot is not JSON"),
        (b"[]", "the snapshot: is not an object"),
        ({}, "orders: is missing"),
        (with_lines({"Quantity": "many"}), "orders[0].OrderItems[0].Quantity: "),
        (with_lines({}, {}), "orders[0].OrderItems[1].Id: occurs twice"),
        (SNAPSHOT | {"policies": {"time_zone": "Mars"}}, "policies.time_zone: is not a time zone"),
        (SNAPSHOT | {"policies": {"two\nlines": 1}}, "policies.two lines: "),
    ],
)
def test_no_snapshot_exits_with_2_and_one_line(run: Any, source: Any, said: str) -> None:
    code, out, err = run(source)
    assert (code, out) == (2, "")
    assert err.startswith(f"orderphase: {said}")
    assert err.count("\n") == 1
    assert err.endswith("\n")


def test_a_file_that_cannot_be_read(run: Any, tmp_path: Path) -> None:
    for file in (tmp_path / "absent.json", tmp_path):
        code, out, err = run(b"", str(file))
        assert (code, out) == (2, "")
        assert str(file) in err
        assert err.count("\n") == 1


def test_the_mapping_beside_the_package_counts(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = mapping.read_mapping('[order_item]\nquantity = "Seats__c"')
    monkeypatch.setattr(consolidate, "load_mapping", lambda: changed)
    assert run(SNAPSHOT)[2] == "orderphase: orders[0].OrderItems[0].Seats__c: is missing\n"
    assert run(with_lines({"Seats__c": 4}))[0] == 0


def test_a_bad_mapping_exits_with_2(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consolidate, "load_mapping", lambda: mapping.read_mapping("[order"))
    code, out, err = run(SNAPSHOT)
    assert (code, out) == (2, "")
    assert err.startswith("orderphase: mapping.toml: is not TOML")


@pytest.mark.parametrize("arguments", [[], ["consolidat"], ["consolidate", "a", "b"]])
def test_an_unknown_command_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().out == ""


def test_the_installed_command_writes_utf_8_wherever_it_runs() -> None:
    command = Path(sys.executable).with_name("orderphase")
    environment = {"PYTHONIOENCODING": "ascii"}
    source = json.dumps(SNAPSHOT, ensure_ascii=False).encode()
    done = subprocess.run([command, "consolidate"], input=source, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout.decode("utf-8")) == ANSWER
