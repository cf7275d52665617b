"""Each kind of alarm has a page that says what to do, and what the pages say to type exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import botocore.session
import pytest
from botocore import xform_name

from orderphase.ingress.signature import Reason
from sandbox.build import ROOT
from tests.alarms import ALARMS, ALWAYS
from tests.template.test_dashboard import COUNTED

OPERATING = ROOT / "docs" / "operating.md"
PAGES = sorted((ROOT / "docs" / "runbook").glob("*.md"))
SECTIONS = ["What it means", "Who is affected", "How to look", "What to do", "When it is over"]

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
documents = pytest.mark.parametrize("document", [OPERATING, *PAGES], ids=lambda page: page.stem)


def named(page: Path) -> list[str]:
    """The alarms that a page is about."""
    (said,) = re.findall(r"^Alarms?: (.+?)\.$", page.read_text(), re.MULTILINE | re.DOTALL)
    return re.findall(r"`(\w+)`", said)


def commands(document: Path) -> Iterator[list[str]]:
    """Each command of a document, in words; those that are substituted into another, or piped, likewise."""
    for block in re.findall(r"^ *```sh\n(.*?)^ *```$", document.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.shlex(re.sub(r"\$\(\(.*?\)\)", "1", line), posix=True, punctuation_chars=True)
            words.whitespace_split = True
            for is_word, command in groupby(words, key=lambda word: not set(word) <= set("();<>|&")):
                found = [*command]
                if is_word and found[0] in (".venv/bin/orderphase", "aws"):
                    yield found


@cache
def options_of(command: str) -> set[str]:
    """What a command of ours takes."""
    program = Path(sys.executable).with_name("orderphase")
    said = subprocess.run([program, command, "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"--[a-z-]+", said.partition("\n\n")[0]))


def test_every_alarm_has_one_page_and_names_it() -> None:
    said = {alarm: page for page in PAGES for alarm in named(page)}
    assert set(said) == set(ALARMS)
    assert len(said) == sum(len(named(page)) for page in PAGES)
    for alarm, page in said.items():
        assert ALARMS[alarm]["AlarmDescription"].endswith(f" See docs/runbook/{page.name}.")


@pages
def test_a_page_answers_every_question(page: Path) -> None:
    assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) == SECTIONS
    assert [*commands(page)]


@documents
def test_every_command_exists_with_its_options(document: Path) -> None:
    session = botocore.session.get_session()
    for program, first, *words in commands(document):
        options = [word for word in words if word.startswith("--")]
        if program != "aws":
            assert set(options) <= options_of(first), (first, options)
            continue
        model: Any = session.get_service_model(first)
        operation = next(name for name in model.operation_names if xform_name(name, "-") == words[0])
        members = model.operation_model(operation).input_shape.members
        known = {f"--{xform_name(name, '-')}" for name in members} | {"--query", "--output"}
        assert set(options) <= known, (operation, options)


def test_a_command_that_does_not_exist_is_noticed(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.md"
    for line in ("aws sqs purge-everything", "aws sqs purge-queue --url 1", ".venv/bin/orderphase replay --everything"):
        wrong.write_text(f"```sh\n{line}\n```\n")
        with pytest.raises((AssertionError, StopIteration)):
            test_every_command_exists_with_its_options(wrong)


def test_every_page_is_in_the_table() -> None:
    linked = re.findall(r"\]\(runbook/([\w-]+)\.md\)", OPERATING.read_text())
    assert set(linked) == {page.stem for page in PAGES}


def test_every_metric_is_listed_and_every_one_that_is_listed_is_counted() -> None:
    section = OPERATING.read_text().split("\n## Metrics\n")[1].split("\n## ")[0]
    listed = {name for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert listed == {name for _, name in COUNTED}


def test_as_many_alarms_are_paid_for_as_there_are() -> None:
    more = len(ALARMS) - len(ALWAYS)
    assert f"**Alarms**: {len(ALWAYS)}, and {more} more with gradual deployment" in OPERATING.read_text()


def test_every_reason_of_a_refusal_is_explained() -> None:
    page = (ROOT / "docs" / "runbook" / "refused-senders.md").read_text()
    rows = [row for row in page.splitlines() if row.startswith("| `")]
    assert {reason for row in rows for reason in re.findall(r"`(\w+)`", row.split("|")[1])} == set(get_args(Reason))
