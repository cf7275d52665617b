"""What the commands share: where they read, how they write, and their exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orderphase.domain.findings import Finding, has_errors

OK, REFUSED, UNUSABLE = 0, 1, 2


def exit_code(findings: Iterable[Finding]) -> int:
    """1 where a finding is an error, else 0."""
    return REFUSED if has_errors(findings) else OK


def read_input(file: str) -> bytes:
    """The content of a file; of standard input, where it is called `-`."""
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def write_json(value: Any) -> None:
    """Print a value as JSON."""
    write_text(json.dumps(value, indent=2, ensure_ascii=False))


def write_text(text: str) -> None:
    """Print in UTF-8, whatever the terminal's encoding is."""
    sys.stdout.buffer.write(f"{text}\n".encode())


def write_error(message: str) -> None:
    """Print one line on stderr. A message may name a key of the input, which may hold line breaks."""
    print("orderphase:", *message.split(), file=sys.stderr)  # noqa: T201 (a command prints)
