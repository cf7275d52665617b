"""Documents that have a place for figures."""

from __future__ import annotations

import re
from pathlib import Path


def put(document: Path, mark: str, text: str) -> None:
    """Put a text into a document, between `<!-- mark -->` and `<!-- /mark -->`. ValueError where it has not one such place."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    whole = document.read_text() if document.exists() else ""
    place = re.compile(rf"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    changed, count = place.subn(lambda _: f"{begin}\n{text}\n{end}", whole)
    if count != 1:
        raise ValueError(f"{document} has no place for the figures: put {begin} and {end} on lines of their own there")
    document.write_text(changed)
