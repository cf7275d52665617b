"""What the documents have from the code: parts between marks in the pages, and pictures.

`make docs` writes it; a test holds the files against it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sandbox.build import ROOT

type Part = Callable[[], str]

_PART = re.compile(r"(?P<begin><!-- made: (?P<name>[\w-]+) -->\n)(?P<text>[\s\S]*?)(?P<end><!-- end -->)")


class UnknownPartError(Exception):
    """A page has marks for a part that nobody makes."""


def names_in(page: Path) -> list[str]:
    """The names of the parts that a page has marks for."""
    return [found["name"] for found in _PART.finditer(page.read_text())]


def with_parts(page: Path, parts: dict[str, Part]) -> str:
    """The page's text with each part as it is now. Raises `UnknownPartError`."""

    def put(found: re.Match[str]) -> str:
        if found["name"] not in parts:
            raise UnknownPartError(f"{page.name}: there is no part {found['name']}; there are {', '.join(parts)}")
        return f"{found['begin']}\n{parts[found['name']]()}\n{found['end']}"

    return _PART.sub(put, page.read_text())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    # An empty cell has one space.
    return "".join(
        "|" + "|".join(f" {cell.replace('|', chr(92) + '|')} " if cell else " " for cell in line) + "|\n" for line in lines
    )


def code(text: object) -> str:
    """As code, or that there is nothing; of several, each."""
    if isinstance(text, tuple):
        return ", ".join(map(code, text)) or "(empty)"
    return "(empty)" if text in (None, "") else f"`{text}`"


def link(heading: str) -> str:
    """A link to a heading of the same page."""
    return f"[{heading}](#{anchor(heading)})"


def anchor(heading: str) -> str:
    """What a heading is linked to by, as GitHub has it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def relative(path: Path) -> str:
    """A file's path below the root."""
    return path.relative_to(ROOT).as_posix()
