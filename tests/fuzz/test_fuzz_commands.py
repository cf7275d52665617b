"""Whatever `orderphase consolidate` and `orderphase plan` are given, they answer JSON or say in one line why they cannot."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderphase.cli import main
from tests.fuzz.mutations import fuzzed, written
from tests.fuzz.test_fuzz_parsers import PLANS, SNAPSHOT

COMMANDS = {"consolidate": {"phases", "end_behavior", "findings"}, "plan": {"action", "params", "phases", "findings"}}
INPUTS = {
    "empty": b"",
    "cut off": json.dumps(PLANS[0]).encode()[:500],
    "deep": b"[" * 100_000,
    "large number": b'{"now": ' + b"9" * 10_000 + b"}",
    "another encoding": json.dumps(SNAPSHOT).encode().replace(b"801", b"\xff", 1),
    "half a surrogate pair": b'{"contract": {"Id": "\\ud800"}, "orders": []}',
    "valid": json.dumps(PLANS[0]).encode(),
}


def answered(command: str, code: int, out: str, err: str) -> None:
    """What the documentation promises of exit code, output and error."""
    assert code in (0, 1, 2)
    if code == 2:
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith("orderphase: ")
        return
    answer = json.loads(out)
    assert (answer.keys(), err) == (COMMANDS[command], "")
    assert code == any(one["severity"] == "error" for one in answer["findings"])


@pytest.mark.parametrize("command", COMMANDS)
@fuzzed
@given(source=written([SNAPSHOT, *PLANS]))
def test_any_input(command: str, source: bytes) -> None:
    answered(command, *_run([command], source))


def _run(arguments: list[str], source: bytes) -> tuple[int, str, str]:
    """Run a command in this process; answers its exit code, and what it has written."""
    out, err = io.BytesIO(), io.StringIO()
    stdout = io.TextIOWrapper(out)
    with patch.multiple(sys, stdin=io.TextIOWrapper(io.BytesIO(source)), stdout=stdout, stderr=err):
        try:
            code = main(arguments)
        except SystemExit as end:  # of argparse
            code = int(end.code or 0)
        stdout.flush()
    return code, out.getvalue().decode(), err.getvalue()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", INPUTS)
def test_as_a_process(command: str, name: str) -> None:
    program = Path(sys.executable).with_name("orderphase")
    run = subprocess.run([program, command], input=INPUTS[name], capture_output=True, check=False, timeout=60)
    answered(command, run.returncode, run.stdout.decode(), run.stderr.decode())
    assert run.returncode in ((0, 1) if name == "valid" else (2,))


WORDS = ("consolidate", "plan", "--help", "-", "", "--", "nowhere.json", "\udcff", "--json")


@fuzzed
@given(arguments=st.lists(st.sampled_from(WORDS), max_size=3))
def test_any_arguments(arguments: list[str]) -> None:
    code, _, _ = _run(arguments, b"{}")
    assert code in (0, 2)
