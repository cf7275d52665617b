"""`orderphase consolidate`: a snapshot becomes phases and findings. Pure and offline."""

from __future__ import annotations

import argparse

from orderphase.cli.streams import exit_code, read_input, write_json
from orderphase.domain.consolidation import consolidate
from orderphase.domain.pricing import priced
from orderphase.mapping import load_mapping
from orderphase.salesforce.snapshot import read_snapshot


def run(options: argparse.Namespace) -> int:
    """Run the command; answers its exit code."""
    snapshot = read_snapshot(read_input(options.file), load_mapping())
    result = consolidate(priced(snapshot.orders, snapshot.policies, None), snapshot.policies)
    write_json(result.as_dict())
    return exit_code(result.findings)
