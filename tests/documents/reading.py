"""Reads parts of a document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path


def prose(document: Path) -> str:
    """All but its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)


def table_below(heading: str, document: Path) -> Iterator[list[str]]:
    """The rows of the table below a heading, code marks removed."""
    section = document.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    for row in rows[2:]:
        yield [cell.strip().replace("`", "") for cell in row.strip("|").split("|")]
