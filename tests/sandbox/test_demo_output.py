"""How the demo is shown: on a terminal, as a page, and by its exit code."""

from __future__ import annotations

import json
from bisect import bisect_right
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xml.etree import ElementTree

import pytest

from orderphase.domain.phases import Consolidation
from orderphase.timeline import TimelineLine
from sandbox import demo
from sandbox.build import ROOT
from sandbox.demo import recording
from sandbox.demo.page import render
from sandbox.demo.report import Check, Output, Paragraph, Picture, Raw, Scene, Table, equal
from sandbox.demo.terminal import BOLD, Terminal, table_rows

START, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
LONG = "long " * 50
HOSTILE = '<img src="x" onerror="alert(1)">'

PICTURE = Picture(
    "What was ordered",
    [TimelineLine("802A", HOSTILE, Decimal(1), START, END, "00000101")],
    Consolidation((), "cancel", (), "USD"),
)
SCENE = Scene(
    "A scene",
    "Its story.",
    [
        Paragraph("What happened."),
        PICTURE,
        Table("What there is", ("Name", "Value"), [("short", "one"), ("a longer name", HOSTILE)]),
        Output(f"look {HOSTILE}", f"{HOSTILE}\n\n{LONG}\n"),
        Raw("All of it", {"key": HOSTILE}),
    ],
    [Check("It is so", holds=True, found="never shown"), equal("It is one", 2, 1)],
)
GOOD = Scene("A good scene", "Its story.", [], [equal("It is one", 1, 1)])


def on_terminal(scene: Scene, **options: Any) -> str:
    written: list[str] = []
    Terminal(written.append, **options).scene(1, scene)
    return "".join(written)


def test_a_terminal_shows_everything_but_what_is_raw() -> None:
    shown = on_terminal(SCENE)
    assert "1. A scene" in shown
    assert "Its story." in shown
    assert "What happened." in shown
    assert "█" in shown
    assert '  short          one\n  a longer name  <img src="x" onerror="alert(1)">\n' in shown
    assert f"  $ look {HOSTILE}\n  {HOSTILE}\n\n  long long" in shown
    assert LONG not in shown
    assert "All of it" not in shown


def test_a_terminal_says_what_was_found_where_a_check_fails() -> None:
    assert on_terminal(SCENE).endswith("  ✓ It is so\n  ✗ It is one\n    found 2, expected 1\n")


def test_colour_is_there_only_if_asked_for() -> None:
    assert "\033" not in on_terminal(SCENE)
    assert "  \033[31m✗\033[0m It is one\n" in on_terminal(SCENE, colour=True)


@pytest.mark.parametrize("width", [1, 60, 80, 1000])
def test_a_terminal_keeps_to_its_width(width: int) -> None:
    scene = Scene("T", "word " * 50, [Table("t", ("a", "b"), [("x", "word " * 50)]), PICTURE, Output("c", "word" * 50)], [])
    assert max(len(line) for line in on_terminal(scene, width=width).splitlines()) <= max(60, min(width, 100))


def test_a_step_is_written_over_by_its_end_where_that_is_possible() -> None:
    written: list[str] = []
    for colour in (False, True):
        terminal = Terminal(written.append, colour=colour)
        terminal.progress("deploy …")
        terminal.progress("deploy: 1.0 s")
    assert "".join(written) == "  deploy …\n  deploy: 1.0 s\n" + "\r\033[K  deploy …" + "\r\033[K  deploy: 1.0 s\n"


def test_the_last_column_of_a_table_is_wrapped() -> None:
    table = Table("t", ("Name", "Text"), [("one", "first second third fourth"), ("two", "")])
    assert list(table_rows(table, 26)) == ["Name  Text", "one   first second third", "      fourth", "two"]


class Page(HTMLParser):
    """Collects tags, text and attributes; fails where tags do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "rect", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("meta", "rect", "path"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(*scenes: Scene) -> tuple[Page, str]:
    text = render(scenes, played_at=START, verdict=demo.verdict(scenes))
    read = Page()
    read.feed(text)
    read.close()
    assert read.open == []
    return read, text


def test_a_page_shows_everything() -> None:
    read, text = page(SCENE, GOOD)
    words = "".join(read.text)
    for shown in (
        "1. A scene",
        "2. A good scene",
        "What happened.",
        "a longer name",
        LONG,
        "1 of 3 checks do not hold.",
        "2025-01-01 at 00:00 UTC",
    ):
        assert shown in words
    assert json.dumps(HOSTILE) in words
    assert '<li class="fails">It is one: found 2, expected 1</li>' in text
    assert "never shown" not in text
    assert {"svg", "table", "details"} <= set(read.tags)


def test_a_page_stands_alone_and_lets_nothing_in() -> None:
    read, text = page(SCENE)
    assert not {"img", "script", "link", "iframe", "object"} & set(read.tags)
    assert not {"src", "href", "onerror", "onclick"} & {name for name, _ in read.attributes}
    assert "url(" not in text
    assert "@import" not in text


def test_the_verdict_counts() -> None:
    assert demo.verdict([GOOD, GOOD]) == "All 2 checks hold."
    assert demo.verdict([GOOD, SCENE]) == "1 of 3 checks do not hold."


def test_systems_that_are_passed_over_are_named() -> None:
    assert demo.passed_over({"PATH": "/bin", "STRIPE_API_KEY": ""}) == ""
    told = demo.passed_over({"STRIPE_API_KEY": "sk_test_1", "SALESFORCE_LOGIN_URL": "https://x.example"})
    assert told.startswith("SALESFORCE_LOGIN_URL, STRIPE_API_KEY set, but not used")
    assert "sk_test_1" not in told


class Idle:
    """Stands in for the stack and the world."""

    def __init__(self, *_: Any, **options: Any) -> None:
        self.options = options

    def start(self, progress: Any) -> None:
        assert self.options["environment"] == {}
        progress("stack: 0.0 s")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass


@pytest.mark.parametrize(("scenes", "code"), [([GOOD], 0), ([GOOD, SCENE], 1)])
def test_the_exit_code_says_whether_everything_holds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], scenes: list[Scene], code: int
) -> None:
    monkeypatch.setenv("NO_PROXY", "internal.example")
    monkeypatch.setattr(demo, "LocalStack", Idle)
    monkeypatch.setattr(demo, "World", Idle)
    monkeypatch.setattr(demo, "play", lambda world, today: iter(scenes))
    monkeypatch.setattr(demo, "PAGE", tmp_path / "demo.html")
    assert demo.main() == code
    shown = capsys.readouterr().out
    assert demo.verdict(scenes) in shown
    assert str(tmp_path / "demo.html") in shown
    assert demo.verdict(scenes) in (tmp_path / "demo.html").read_text()


# The recording


def words(line: ElementTree.Element) -> str:
    return "".join(line.itertext()).replace("\N{NO-BREAK SPACE}", " ")


def shown_at(picture: str, moment: float) -> list[str]:
    """The lines that are neither hidden nor covered at a moment of a recording, 0 to 1."""

    def at(element: ElementTree.Element) -> str:
        (animation,) = element.findall("{*}animate")
        times = [float(time) for time in animation.attrib["keyTimes"].split(";")]
        return animation.attrib["values"].split(";")[bisect_right(times, moment) - 1]

    pages = ElementTree.fromstring(picture).findall("{*}g")
    (page,) = [page for page in pages if at(page) == "visible"]
    (cover,) = page.findall("{*}rect")
    return [words(line) for line in page.findall("{*}text") if float(line.attrib["y"]) <= float(at(cover))]


def test_a_recording_shows_page_after_page_line_by_line() -> None:
    shown = recording.pages([(1, SCENE), (2, GOOD)])
    assert "".join(shown[0]).count(BOLD) > 0
    picture = recording.draw(shown, "A & B")
    assert '<title id="title">A &amp; B</title>' in picture
    assert shown_at(picture, 0.0) == []
    assert shown_at(picture, 0.01)[0] == "1. A scene"
    assert "✓ It is so" in [line.strip() for line in shown_at(picture, 0.5)]
    assert shown_at(picture, 0.999) == ["2. A good scene", "Its story.", "✓ It is one"]


def test_a_recording_turns_the_page_between_paragraphs() -> None:
    paragraphs = [Paragraph("word " * 190) for _ in range(9)]
    shown = recording.pages([(1, Scene("Long", "Its story.", paragraphs, []))])
    assert len(shown) > 2
    assert all(10 < len(page) <= recording.ROWS for page in shown[:-1])
    assert all(page[0] and page[-1] for page in shown)


def test_the_recording_is_of_this_demo() -> None:
    recorded = ElementTree.parse(ROOT / "docs" / "demo.svg").getroot()
    lines = [words(line) for line in recorded.iter("{http://www.w3.org/2000/svg}text")]
    source = "".join(path.read_text() for path in (ROOT / "sandbox" / "demo").rglob("*.py"))
    titles = [line.partition(". ")[2] for line in lines]
    assert [title for title in titles if title in demo.RECORDED] == list(demo.RECORDED)
    claims = [line.removeprefix("✓ ") for line in lines if line.startswith("✓")]
    assert claims
    assert all(f'"{claim}"' in source for claim in claims)
    assert not [line for line in lines if line.startswith("✗")]
