"""`orderphase import`: everything that Stripe sells is brought into the standard price book, in one go."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from orderphase.bootstrap import commands
from orderphase.cli.connection import connect
from orderphase.cli.streams import OK, REFUSED, write_json, write_text
from orderphase.flows.catalogue_import import Imported, Tally
from orderphase.timeline.chart import printable


def run(options: argparse.Namespace) -> int:
    """Run the command; answers its exit code."""
    connection = connect(os.environ, Path.cwd(), stack=options.stack)
    done = commands.catalogue_import(connection.environment).run(dry_run=options.dry_run)
    if options.json:
        write_json({"dry_run": options.dry_run, **asdict(done)})
    else:
        write_text("\n".join(_told(done, connection.source, dry_run=options.dry_run)))
    return REFUSED if done.products.refused or done.prices.refused else OK


def _told(done: Imported, source: str, *, dry_run: bool) -> Iterator[str]:
    yield f"Catalogue of {source}{', nothing written' if dry_run else ''}"
    yield ""
    yield from _tally("products", done.products, dry_run=dry_run)
    yield from _tally("prices", done.prices, dry_run=dry_run)
    if done.notes:
        yield from ("", "To know", *(printable(f"  {note}") for note in done.notes))
    if refused := {**done.products.refused, **done.prices.refused}:
        yield from ("", "Refused", *(printable(f"  {stripe_id}: {why}") for stripe_id, why in refused.items()))
    yield from ("", f"Requests: {done.salesforce_calls} to Salesforce, {done.stripe_calls} to Stripe")


def _tally(what: str, tally: Tally, *, dry_run: bool) -> Iterator[str]:
    """One line with the numbers, then one for each reason to leave some out."""
    written = "to write" if dry_run else "written"
    numbers = f"{tally.written} {written}, {tally.unchanged} unchanged, {sum(tally.skipped.values())} skipped"
    yield f"  {tally.found} {what}: {numbers}, {len(tally.refused)} refused"
    most_first = sorted(tally.skipped.items(), key=lambda skipped: -skipped[1])
    yield from (f"    skipped {number}: each {reason}" for reason, number in most_first)
