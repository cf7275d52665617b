"""The snippets of all documents that need no system: run, parsed, and held against what they show."""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orderphase.ingress.events import parse
from orderphase.ingress.signature import verify
from orderphase.mapping import read_mapping
from sandbox.build import ROOT
from tests.documents import mermaid
from tests.documents.blocks import Block, blocks_of, claimed
from tests.documents.session import abridges, folder_like_the_root, run

MAKEFILE = (ROOT / "Makefile").read_text()
GATE = (ROOT / ".ci" / "run").read_text()

BY_HAND = {
    "bench": "a quarter of an hour; the gate runs a part of it",
    "faults": "many minutes; tests/faults/test_faults.py runs a part of the matrix",
    "load": "many minutes; tests/test_benchmarks.py runs it with few orders",
    "local": "stays until Ctrl-C; tests/sandbox/test_local_stack.py starts it",
    "docs": "tests/documents/test_made_parts.py does the same",
    "audit": "needs the internet; tests/sandbox/test_audit.py",
    "setup": "every target needs it",
}
"""Why the gate does not run a target as a document shows it, or what stands in for it."""


def each(claim: str) -> pytest.MarkDecorator:
    """The blocks of a claim, one a test."""
    return pytest.mark.parametrize("block", claimed(claim), ids=str)


@each("offline")
def test_a_command_that_needs_no_system_answers_as_is_shown(block: Block, tmp_path: Path) -> None:
    run([block], folder_like_the_root(tmp_path), {})


@pytest.mark.parametrize("document", sorted({block.document for block in claimed("python")}), ids=lambda path: path.name)
def test_the_python_of_a_document_runs(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From top to bottom in one namespace, as examples of doctest."""
    monkeypatch.chdir(ROOT)
    known: dict[str, Any] = {}
    for block in claimed("python"):
        if block.document == document:
            example = doctest.DocTestParser().get_doctest(block.text, known, block.name, block.name, block.line)
            assert example.examples, f"{block}: has no example; begin it with >>>"
            told: list[str] = []
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            failed, _ = doctest.DocTestRunner(optionflags=flags).run(example, out=told.append, clear_globs=False)
            known = example.globs
            assert not failed, "".join(told)


@each("parsed")
def test_what_is_shown_can_be_read(block: Block) -> None:
    if block.kind == "mermaid":
        mermaid.check(block.text)
    elif block.kind == "json":
        json.loads(block.text)
    else:
        assert tomllib.loads(block.text)
        if block.name not in ("docs/deploying.md", "CONTRIBUTING.md"):
            read_mapping(block.text)


@each("make")
def test_a_target_that_is_shown_exists(block: Block) -> None:
    for command in block.commands:
        target, *variables = re.sub(r"\s+#.*", "", command).split(maxsplit=2)[1:]
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), command
        for name in re.findall(r"\b([A-Z]+)=", " ".join(variables)):
            assert f"$({name})" in MAKEFILE, command
        assert re.search(rf"\b{target}\b", GATE) or target in BY_HAND, f"{command}: say in BY_HAND why the gate does not run it"


def test_what_is_said_of_a_target_is_needed() -> None:
    for target, reason in BY_HAND.items():
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)
        for named in re.findall(r"tests/[\w/]+\.py", reason):
            assert (ROOT / named).exists()


def test_the_signed_request_is_one_that_the_route_takes() -> None:
    """It is sent in the session on the stack; curl does not fail where it is refused."""
    (snippet,) = [block for block in blocks_of(ROOT / "README.md") if block.kind == "sh" and "openssl" in block.text]
    signing = snippet.text.partition("curl")[0] + 'printf \'%s\\n%s\' "t=$t,v1=$v1" "$body"'
    done = subprocess.run(
        ["bash", "-c", signing], env={"secret": "s3cret", "PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    )
    header, _, body = done.stdout.partition(b"\n")
    verify(header.decode(), body, ["s3cret"], datetime.now(UTC))
    assert parse(body).type == "order.activated"


@each("picture")
def test_a_picture_in_text_shows_what_the_one_before_it_shows(block: Block) -> None:
    (drawn,) = [one for one in claimed("parsed") if (one.name, one.kind) == (block.name, "mermaid")]
    functions = {"salesforce_webhook", "stripe_webhook", *re.findall(r"\b\w+_(?:upsert|activation|update)\b", drawn.text)}
    assert functions <= set(re.findall(r"\w+", block.text))


def test_what_is_abridged_is_the_same_but_for_what_is_left_out() -> None:
    whole = ["{", "  1", "  2", "  3", "}"]
    assert abridges(whole, whole)
    assert abridges(["{", "  …", "  3", "}"], whole)
    assert abridges(["{", "  …"], whole)
    for wrong in (
        ["{", "  …", "}", "}"],
        ["{", "  1", "}"],
        ["  …", "  2"],
        ["{", "  1", "  2", "  3", "}", "  …"],
        whole[:-1],
    ):
        assert not abridges(wrong, whole)


class TestASession:
    """A session fails where a document is wrong."""

    def block(self, kind: str, text: str) -> Block:
        return Block(ROOT / "README.md", 1, kind, text, None, made=False)

    def test_it_goes_on_with_what_was_set(self, tmp_path: Path) -> None:
        run([self.block("sh", "a=1\n"), self.block("console", "$ echo $a\n1\n$ false\n$ echo $?\n1\n")], tmp_path, {})

    def test_stand_ins_take_the_place_of_names(self, tmp_path: Path) -> None:
        run([self.block("console", "$ echo ORDER $B\n801 b\n")], tmp_path, {"B": "b"}, {"ORDER": "801"})

    @pytest.mark.parametrize(
        ("kind", "text"), [("sh", "false\necho\n"), ("console", "$ false\n"), ("console", "$ echo 1\n2\n"), ("sh", "exit 0\n")]
    )
    def test_what_is_wrong_is_told(self, kind: str, text: str, tmp_path: Path) -> None:
        with pytest.raises(AssertionError, match=r"README\.md:1: "):
            run([self.block(kind, text)], tmp_path, {})
