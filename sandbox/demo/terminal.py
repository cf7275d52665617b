"""The demo on a terminal: calm and aligned."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence

from orderphase.timeline import draw_text
from orderphase.timeline.chart import cut
from sandbox.demo.report import Block, Check, Output, Paragraph, Picture, Raw, Scene, Table

NARROWEST, WIDTH = 60, 100
INDENT = "  "

BOLD, GREEN, RED, PLAIN = "\033[1m", "\033[32m", "\033[31m", "\033[0m"


class Terminal:
    """Writes through `write`, `width` columns wide, in colour if there is any. `rewrites`: a line can be written over."""

    def __init__(self, write: Callable[[str], None], *, width: int = WIDTH, colour: bool = False) -> None:
        self._write = write
        self._width = max(NARROWEST, min(width, WIDTH))
        self._colour = colour

    def line(self, text: str = "", style: str = "") -> None:
        """Write one line."""
        self._write(self._styled(text, style) + "\n")

    def progress(self, text: str) -> None:
        """Write a step; where lines can be written over, its end takes the place of its beginning."""
        if self._colour:
            self._write(f"\r\033[K{INDENT}{text}" + ("" if text.endswith("…") else "\n"))
        else:
            self.line(f"{INDENT}{text}")

    def scene(self, number: int, scene: Scene) -> None:
        """Write a scene with everything that it shows and claims."""
        self.line()
        self.line(f"{number}. {scene.title}", BOLD)
        self._paragraph(scene.story)
        for block in scene.blocks:
            self._block(block)
        self.line()
        for check in scene.checks:
            self._check(check)

    def _block(self, block: Block) -> None:
        match block:
            case Paragraph(text):
                self.line()
                self._paragraph(text)
            case Picture():
                self._title(block.title)
                drawn = draw_text(block.lines, block.consolidated, width=self._width - len(INDENT), words=block.words)
                for row in drawn.splitlines():
                    self.line(f"{INDENT}{row}".rstrip())
            case Table():
                self._title(block.title)
                for row in table_rows(block, self._width - len(INDENT)):
                    self.line(f"{INDENT}{row}")
            case Output(command, text):
                self._title(f"$ {command}")
                for row in text.splitlines():
                    self.line((INDENT + cut(row, self._width - len(INDENT))).rstrip())
            case Raw():
                pass  # too much for a terminal; the page has it

    def _title(self, text: str) -> None:
        self.line()
        self.line(INDENT + text, BOLD)

    def _paragraph(self, text: str) -> None:
        for row in textwrap.wrap(text, self._width - len(INDENT)):
            self.line(INDENT + row)

    def _check(self, check: Check) -> None:
        mark = self._styled("✓", GREEN) if check.holds else self._styled("✗", RED)
        self.line(f"{INDENT}{mark} {check.claim}")
        if not check.holds:
            self.line(f"{INDENT}  {check.found}")

    def _styled(self, text: str, style: str) -> str:
        return f"{style}{text}{PLAIN}" if style and text and self._colour else text


def table_rows(table: Table, width: int) -> Iterator[str]:
    """A table as lines of text: columns aligned, the last one wrapped to `width`."""
    cells = [table.head, *table.rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(table.head) - 1)]
    for row in cells:
        yield from _row(row, widths, width)


def _row(cells: Sequence[str], widths: Sequence[int], width: int) -> Iterator[str]:
    head = "".join(f"{cell:<{size}}  " for cell, size in zip(cells[:-1], widths, strict=True))
    wrapped = textwrap.wrap(cells[-1], max(width - len(head), 20), break_on_hyphens=False) or [""]
    yield (head + wrapped[0]).rstrip()
    for rest in wrapped[1:]:
        yield " " * len(head) + rest
