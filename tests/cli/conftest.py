"""Runs commands in this process."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from orderphase.cli import main

type Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command on standard input, bytes or JSON; answers exit code, standard output and standard error."""

    def run(source: bytes | Any, *arguments: str) -> tuple[int, str, str]:
        data = source if isinstance(source, bytes) else json.dumps(source, ensure_ascii=False).encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        code = main(arguments)
        out, err = capsysbinary.readouterr()
        return code, out.decode(), err.decode()

    return run
