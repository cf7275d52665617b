"""The command line: `orderphase consolidate`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from orderphase.domain.consolidation import consolidate
from orderphase.errors import OrderphaseError
from orderphase.mapping import load_mapping
from orderphase.salesforce.snapshot import read_snapshot

OK, REFUSED, UNUSABLE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Answers 0; 1 where a finding is an error; 2, with a message on stderr, where the input is unusable."""
    parser = argparse.ArgumentParser(
        prog="orderphase", description="Salesforce Orders become Stripe subscription schedules, and both sides stay in step."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "consolidate",
        help="turn a snapshot (JSON) into phases and findings (JSON)",
        description="Reads a snapshot of one contract, as JSON, and prints the phases and findings that it becomes, as JSON. "
        "Nothing is sent anywhere. Exit code 0; 1 when a finding is an error; 2 when the input is not a snapshot.",
    )
    command.add_argument("file", nargs="?", default="-", metavar="FILE", help="the snapshot; standard input by default")
    command.set_defaults(run=_consolidate)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except (OrderphaseError, OSError) as problem:
        # A key of the input may hold line breaks; the message is one line all the same.
        print("orderphase:", *str(problem).split(), file=sys.stderr)  # noqa: T201 (a command prints)
        return UNUSABLE


def _consolidate(options: argparse.Namespace) -> int:
    text = sys.stdin.buffer.read() if options.file == "-" else Path(options.file).read_bytes()
    snapshot = read_snapshot(text, load_mapping())
    result = consolidate(snapshot.orders, snapshot.policies)
    # JSON is UTF-8 whatever the terminal's encoding is.
    sys.stdout.buffer.write(json.dumps(result.as_dict(), indent=2, ensure_ascii=False).encode() + b"\n")
    return REFUSED if result.refused else OK
