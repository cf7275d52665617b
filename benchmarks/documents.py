"""What the commands of the benchmarks have in common: numbers that they are given, and documents that they write into."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path


def number(text: str) -> int:
    """How many, for argparse: one at least."""
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise ArgumentTypeError(f"{text!r} is not a whole number above 0")


def put(document: Path, mark: str, text: str) -> None:
    """Put a text into a document, between `<!-- mark -->` and `<!-- /mark -->`. Raises ValueError where they are missing."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    whole = document.read_text() if document.exists() else ""
    if begin not in whole or end not in whole:
        raise ValueError(f"{document} has no place for the figures: put {begin} and {end} on lines of their own there")
    before, _, rest = whole.partition(begin)
    document.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")
