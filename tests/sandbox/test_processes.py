"""Programs of the local stack: clean environment, whole output, nothing left behind."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

import pytest

from sandbox.processes import StackError, environment, run, started

# Starts a child of its own, which keeps the named pipe open, and waits for ever.
PARENT = """
import subprocess, sys
with open(sys.argv[1], "w") as pipe:
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], pass_fds=[pipe.fileno()])
    print("ready", file=pipe)
child.wait()
"""
DEADLINE = 10.0


def test_foreign_settings_do_not_get_through(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "STRIPE_API_KEY", "SALESFORCE_CLIENT_SECRET", "ORDERPHASE_STAGE", "PYTHONPATH"):
        monkeypatch.setenv(name, "the user's")
    monkeypatch.setenv("HTTPS_PROXY", "kept")
    clean = environment(AWS_REGION="ours")
    assert "the user's" not in clean.values()
    assert clean["HTTPS_PROXY"] == "kept"
    assert clean["AWS_REGION"] == "ours"


def test_a_failure_shows_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"failed \(4\):\nthe reason"):
        run(
            [sys.executable, "-c", "print('the reason'); raise SystemExit(4)"],
            log=tmp_path / "log",
            env=environment(),
            cwd=tmp_path,
        )


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no-such-program is not installed; run `make setup`"):
        run([tmp_path / "no-such-program"], log=tmp_path / "log", env=environment(), cwd=tmp_path)


def test_children_of_children_end_too(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with started([sys.executable, "-c", PARENT, pipe], log=tmp_path / "log", env=environment(), cwd=tmp_path):
        reader = pipe.open("rb", buffering=0)
        assert reader.readline() == b"ready\n"
        assert select.select([reader], [], [], 0)[0] == []
    # The pipe ends when nobody is left who could write to it.
    with reader:
        assert select.select([reader], [], [], DEADLINE)[0] == [reader]
        assert reader.read() == b""
