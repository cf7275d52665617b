"""The demo as a moving picture: scenes as the terminal shows them, a page after the other, in an SVG that needs no script.

The pictures move by SMIL, which browsers play in images too. Where nothing moves, the first page is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from xml.sax.saxutils import escape

from sandbox.demo.report import Scene
from sandbox.demo.terminal import BOLD, GREEN, PLAIN, RED, WIDTH, Terminal

COLUMN, ROW, PADDING, BAR = 8.4, 18, 14, 30
"""Of one character, the space around the text, and the window's bar: pixels."""

ROWS = 34
"""Of a page, unless one paragraph is longer."""

LINE_SECONDS, PAGE_SECONDS = 0.09, 4.0
"""How long a line takes to come, and how long a page stays when all of its lines are there."""

_CLASSES = {BOLD: "bold", GREEN: "good", RED: "bad"}
_STYLED = re.compile("|".join(re.escape(style) for style in (*_CLASSES, PLAIN)))

_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="title">
<title id="title">{title}</title>
<style>
text {{ font: 14px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #d5dae1; }}
.bold {{ font-weight: bold; fill: #ffffff; }} .good {{ fill: #5fd38a; }} .bad {{ fill: #ff7b72; }} .bar {{ fill: #8b949e; }}
</style>
<rect width="{width:g}" height="{height:g}" rx="8" fill="#12161c"/>
<text class="bar" x="{padding}" y="20">$ make demo</text>
"""


def pages(scenes: Sequence[tuple[int, Scene]]) -> list[list[str]]:
    """The scenes, each with its number, as lines of the terminal with its escape sequences.

    A scene begins a page, and goes on on the next one where a paragraph does not fit any more.
    """
    shown: list[list[str]] = []
    for position, (number, scene) in enumerate(scenes):
        written: list[str] = []
        Terminal(written.append, colour=True).scene(number, scene)
        before = scenes[position - 1][0] if position else number - 1
        # Between two scenes that are no neighbours, others were played.
        page = [f"({before + 1} to {number - 1} are left out here)", ""] if number - before > 1 else []
        for paragraph in "".join(written).strip("\n").split("\n\n"):
            lines = paragraph.splitlines()
            if page and len(page) + 1 + len(lines) > ROWS:
                shown.append(page)
                page = []
            page += ["", *lines] if page else lines
        shown.append(page)
    return shown


def draw(shown: Sequence[Sequence[str]], title: str) -> str:
    """Draw pages as one SVG that plays them for ever."""
    width = WIDTH * COLUMN + 2 * PADDING
    height = BAR + max(len(page) for page in shown) * ROW + PADDING
    lasting = [len(page) * LINE_SECONDS + PAGE_SECONDS for page in shown]
    total = sum(lasting)
    parts = [_HEAD.format(width=width, height=height, title=escape(title), padding=PADDING)]
    for page, begins, lasts in zip(shown, accumulate(lasting, initial=0.0), lasting, strict=False):
        parts.extend(_page(page, begins / total, (begins + lasts) / total, total, width, height))
    return "".join([*parts, "</svg>\n"])


def _page(page: Sequence[str], begins: float, ends: float, total: float, width: float, height: float) -> Iterator[str]:
    """One page, visible between two moments of the whole (0 to 1), and the cover that slides off it line by line."""
    yield f'<g visibility="{"visible" if begins == 0 else "hidden"}">\n'
    yield _animation("visibility", [(0.0, "hidden"), (begins, "visible"), (ends, "hidden")], total)
    for number, line in enumerate(page):
        yield _line(line, BAR + (number + 1) * ROW - 5)
    slides = [(begins + number * LINE_SECONDS / total, f"{BAR + number * ROW}") for number in range(len(page) + 1)]
    yield f'<rect x="1" y="{height:g}" width="{width - 2:g}" height="{height - BAR:g}" fill="#12161c">\n'
    yield _animation("y", [(0.0, f"{BAR}"), *slides], total)
    yield "</rect>\n</g>\n"


def _animation(attribute: str, steps: Sequence[tuple[float, str]], total: float) -> str:
    """The values of an attribute from moments on; of several at one moment the last."""
    last = dict(steps)
    moments = [moment for moment in last if moment < 1]
    return (
        f'<animate attributeName="{attribute}" dur="{total:.2f}s" repeatCount="indefinite" calcMode="discrete"'
        f' keyTimes="{";".join(f"{moment:.5f}".rstrip("0").rstrip(".") for moment in moments)}"'
        f' values="{";".join(last[moment] for moment in moments)}"/>\n'
    )


def _line(line: str, y: int) -> str:
    """One line; its length is given, so that columns meet whatever font is there."""
    plain = _STYLED.sub("", line)
    if not plain.strip():
        return ""
    indent = len(plain) - len(plain.lstrip())
    spans: list[str] = []
    style, position = "", 0
    for change in [*_STYLED.finditer(line), None]:
        text = line[position : change.start() if change else None]
        # Spaces that do not break are kept by whatever draws it.
        text = escape(text if spans else text.lstrip()).replace(" ", "\N{NO-BREAK SPACE}")
        if text:
            spans.append(f'<tspan class="{style}">{text}</tspan>' if style else text)
        if change:
            style, position = _CLASSES.get(change.group(), ""), change.end()
    x, length = PADDING + indent * COLUMN, (len(plain) - indent) * COLUMN
    return f'<text x="{x:g}" y="{y}" textLength="{length:g}">{"".join(spans)}</text>\n'
