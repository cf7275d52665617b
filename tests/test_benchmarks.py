"""What a benchmark makes of its measurements: ratios, tables, the picture, money; and that a floor sends what was recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import certifi
import pytest

from benchmarks import documents, money
from benchmarks.__main__ import Run
from benchmarks.figures import Figure, processor_ms
from benchmarks.picture import draw
from benchmarks.report import shown, side_by_side, table
from benchmarks.runs import _units
from orderphase.cli.arguments import whole_number
from sandbox.build import ROOT

ONE = Figure("warm run", "activation (9)", 10.0, "its requests (9 of them)", 5.0, "ms", 2.0)


class TestFigures:
    def test_a_ratio_is_met_as_it_is_told(self) -> None:
        assert (ONE.ratio, ONE.met) == (2.0, True)
        assert replace(ONE, value=10.02).met
        assert replace(ONE, value=10.03).met is False
        assert replace(ONE, target=None).met is None

    def test_what_was_found_does_not_make_it_another_figure(self) -> None:
        found = replace(ONE, name="activation (8)", against="its requests (8 of them)")
        assert found.identity == ONE.identity == ("warm run", "activation", "its requests")

    def test_processor_time_is_told_apart(self) -> None:
        little, much = processor_ms([lambda: sum(range(1_000)), lambda: sum(range(1_000_000))], rounds=3)
        assert 0 <= little < much


class TestReport:
    def test_values_keep_digits_that_say_something(self) -> None:
        assert [shown(value, "ms") for value in (12_345.678, 0.0123, 0)] == ["12,345.68 ms", "0.012 ms", "0.00 ms"]
        assert shown(3, "calls") == "3 calls"

    def test_a_missed_target_is_said(self) -> None:
        _, met, missed = table([ONE, replace(ONE, name="slow", value=11)])
        assert met.endswith("2.00  2.00 met")
        assert missed.endswith("2.20  2.00 MISSED")

    def test_runs_stand_side_by_side(self) -> None:
        before = replace(ONE, name="activation (8)", value=20.0)
        lines = [*side_by_side([[before], [ONE, replace(ONE, name="new")]])]
        assert lines[0] == "### Warm run"
        assert lines[4] == ("| activation (9) | its requests (9 of them) | 20.00 ms | 4.00 | 10.00 ms | 2.00 | 2.00 missed |")
        assert lines[5].count("|") == lines[4].count("|")

    def test_the_picture_has_every_figure(self, tmp_path: Path) -> None:
        figures = [ONE, replace(ONE, name="other", value=100), replace(ONE, part="growth", target=None)]
        draw(figures, tmp_path / "a.svg")
        draw(figures, tmp_path / "b.svg")
        picture = (tmp_path / "a.svg").read_text()
        assert picture == (tmp_path / "b.svg").read_text()
        for text in ("activation (9)", "other", "20.00", "growth"):
            assert text in picture


class TestDocuments:
    def test_a_text_takes_the_place_of_the_one_before(self, tmp_path: Path) -> None:
        document = tmp_path / "page.md"
        document.write_text("# Page\n<!-- bench -->\nold\n<!-- /bench -->\nmore\n")
        documents.put(document, "bench", "new\nlines")
        assert document.read_text() == "# Page\n<!-- bench -->\nnew\nlines\n<!-- /bench -->\nmore\n"
        with pytest.raises(ValueError, match="has no place for the figures: put <!-- load -->"):
            documents.put(document, "load", "new")

    @pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "٣"])
    def test_what_is_no_number_is_refused(self, text: str) -> None:
        assert whole_number("12") == 12
        with pytest.raises(ArgumentTypeError, match="is not a whole number above 0"):
            whole_number(text)

    def test_a_run_is_read_as_it_was_saved(self, tmp_path: Path) -> None:
        run = Run((ONE, replace(ONE, target=None)), "a machine", "2026-11-20T10:00+00:00", 60)
        run.save(tmp_path / "run.json")
        assert Run.read(tmp_path / "run.json") == run
        assert json.loads((tmp_path / "run.json").read_text())["figures"][0]["ratio"] == 2.0


class TestMoney:
    cost = money.Cost(
        name="activation",
        function="OrderActivation",
        setting=512,
        timeout=30,
        warm=money.Event(vendors=3, aws=3, processor=10.0),
        cold=money.Event(vendors=5, aws=5, processor=300.0),
        init=400.0,
        peak=100.0,
        units={"write": 3, "read": 1},
        logged=2**30 / 1_000_000,
    )

    def test_half_the_processor_takes_twice_the_time(self) -> None:
        waiting, seconds = 3 * 0.3 + 3 * 0.008, self.cost.warm.seconds
        assert seconds(1769) == pytest.approx(waiting + 0.010)
        assert seconds(3538) == pytest.approx(waiting + 0.010), "one thread uses one processor"
        assert seconds(1769 // 2) == pytest.approx(waiting + 0.020, rel=1e-3)

    def test_what_lambda_asks_for(self) -> None:
        gigabytes = 0.5 * self.cost.warm.seconds(512)
        assert self.cost.lambda_dollars(512) == pytest.approx(0.20 + gigabytes * 13.3334)

    def test_memory_and_a_cold_start_decide_what_fits(self) -> None:
        assert next(filter(self.cost.fits, money.SETTINGS)) == 192, "150 MB with room"
        assert not replace(self.cost, peak=129).fits(192)
        slow = replace(self.cost, cold=money.Event(vendors=5, aws=5, processor=1_400))
        assert slow.fits(192), "0.4 + 1.54 + 1.4 * 9.2 = 14.8 s"
        assert not replace(slow, init=700).fits(192)
        assert not replace(slow, cold=money.Event(vendors=6, aws=5, processor=1_400)).fits(192)

    def test_the_pieces(self) -> None:
        pieces = self.cost.pieces(512, queued=True, routed=False)
        assert pieces["DynamoDB"] == pytest.approx(3 * 0.625 + 1 * 0.125)
        assert pieces["logs"] == pytest.approx(0.5)
        assert pieces["SQS"] == 1.5
        assert "API Gateway" not in pieces

    def test_one_setting_for_all_cases_of_a_function(self) -> None:
        larger = replace(self.cost, name="amendment", peak=200.0)
        found = {one.name: one for one in money.figures([self.cost, larger])}
        assert found["OrderActivation, most memory"].value == 200
        lowest = found["OrderActivation, Lambda for a million (512 MB)"]
        assert (lowest.against, lowest.met) == ("the cheapest that fits (384 MB)", False)

    def test_where_none_fits_the_largest_is_told(self) -> None:
        found = {one.name: one for one in money.figures([replace(self.cost, peak=5_000.0)])}
        assert found["OrderActivation, Lambda for a million (512 MB)"].against == "the cheapest that fits (1769 MB)"


def test_the_units_of_dynamodb() -> None:
    def request(operation: str, body: dict[str, Any]) -> tuple[str, bytes]:
        return f"DynamoDB_20120810.{operation}", b"POST / HTTP/1.1\r\nHost: x\r\n\r\n" + json.dumps(body).encode()

    item = {"TableName": "ContractTable", "Item": {"text": "x" * 1_900}}
    keys = {"RequestItems": {"CatalogueTable": {"Keys": [{"id": {"S": "a"}}, {"id": {"S": "b"}}]}}}
    sent = [request("UpdateItem", item), request("BatchGetItem", keys), request("GetItem", {"TableName": "ContractTable"})]
    assert _units([*sent, ("stripe", b"")]) == {"write": 2, "read": 3}
    assert _units([request("PutItem", {"TableName": "stack-SyncLogTable-1"})]) == {"write": 3}, "each index has a copy"


@contextmanager
def heard() -> Iterator[tuple[int, list[tuple[str, str, bytes]]]]:
    """A server; its port, and what it was asked: method, path and body."""
    asked: list[tuple[str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked.append((self.command, self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("how", ["by_clients", "by_hand"])
def test_a_floor_sends_what_the_function_has_sent(how: str, tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    with heard() as (port, asked):
        (tmp_path / "app.py").write_text(
            "import requests\n"
            "http = requests.Session()\n"
            "def handler(event, context):\n"
            f"    for number in (1, 2):\n"
            f"        http.post(f'http://127.0.0.1:{port}/a?n={{number}}', json=event).raise_for_status()\n"
        )
        inside = os.pathsep.join((str(ROOT / "benchmarks" / "inside"), str(tmp_path)))
        bundle = {"AWS_CA_BUNDLE": certifi.where()}
        environment = {**os.environ, **bundle, "PYTHONPATH": inside, "ORDERPHASE_RECORD": str(record)}
        code = "import recorder; [recorder.handler({'x': n}, None) for n in (1, 2)]"
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        by_the_function = asked[2:]
        assert len(by_the_function) == 2
        assert [len(json.loads(line)) for line in record.read_text().splitlines()] == [2, 2]
        asked.clear()
        code = f"import replay; print(replay.{how}({{'number': 1}}, None))"
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        assert asked == by_the_function == [("POST", f"/a?n={n}", b'{"x": 2}') for n in (1, 2)]
