"""The fenced blocks of the documents, and which test runs each.

A block belongs to the first of `CLAIMS` that takes it. CONTRIBUTING.md states the rules for whoever writes a document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sandbox.build import ROOT

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

OFFLINE = (
    ".venv/bin/orderphase consolidate ",
    ".venv/bin/orderphase plan ",
    ".venv/bin/pytest ",
    ".venv/bin/ruff ",
    ".venv/bin/lint-imports",
    "echo ",
)
"""What commands begin with that need no system and no network."""

OWN_TESTS = {
    "docs/deploying.md": "tests/stack/test_deploying_guide.py",
    "docs/moving-over.md": "tests/stack/test_moving_over.py",
    "docs/salesforce.md": "tests/package/test_package_document.py",
}
"""Documents whose commands a test of their own runs, from the first to the last."""

_FENCE = re.compile(
    r"(?P<before>(?:^ *<!--(?:(?!-->)[\s\S])*--> *\n)*)^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>(?:(?!^ *```).*\n)*)^ *``` *$",
    re.MULTILINE,
)
_MADE = re.compile(r"<!-- made: [\w-]+ -->[\s\S]*?<!-- end -->")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `line`: of its fence, from 1. `text`: without the indentation of a list around it.

    not_run: why it is not run, from the comment before it. made: whether `make docs` has written it.
    """

    document: Path
    line: int
    kind: str
    text: str
    not_run: str | None
    made: bool

    @property
    def name(self) -> str:
        return self.document.relative_to(ROOT).as_posix()

    @property
    def commands(self) -> list[str]:
        """Its commands: what follows `$` in `console`; in `sh` each line that is no comment, and goes on with no other."""
        if self.kind == "console":
            return [command for command, _ in self.exchanges]
        lines = self.text.replace("\\\n", "").splitlines()
        return [line for line in lines if line.strip() and not line.startswith(("#", " "))]

    @property
    def exchanges(self) -> list[tuple[str, list[str]]]:
        """Each command with the lines that are shown as its answer. `sh` shows none, and is one script."""
        if self.kind == "sh":
            return [(self.text, [])]
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]
        return [(command, answer.splitlines()) for command, _, answer in (part.partition("\n") for part in parts)]

    def __str__(self) -> str:
        return f"{self.name}:{self.line}"


def blocks_of(document: Path) -> Iterator[Block]:
    """The blocks of a document, from top to bottom."""
    text = document.read_text()
    made = [found.span() for found in _MADE.finditer(text)]
    for found in _FENCE.finditer(text):
        indent, start = found["indent"], found.start("indent")
        reason = re.search(r"<!-- not run: ([^>]+?) -->", found["before"])
        yield Block(
            document,
            text.count("\n", 0, start) + 1,
            found["kind"],
            "".join(line.removeprefix(indent) for line in found["text"].splitlines(keepends=True)),
            reason[1] if reason else None,
            any(begin < start < end for begin, end in made),
        )


def _shell(block: Block) -> bool:
    return block.kind in ("sh", "console")


def _begin(block: Block, *starts: str) -> bool:
    return _shell(block) and bool(block.commands) and all(command.startswith(starts) for command in block.commands)


def _commands_of(name: str) -> Callable[[Block], bool]:
    return lambda block: _shell(block) and block.name == name


def _text_of(block: Block, name: str, part: str) -> bool:
    return (block.name, block.kind) == (name, "text") and part in block.text


CLAIMS: dict[str, tuple[str, Callable[[Block], bool]]] = {
    "not run": ("tests/documents/test_claims.py", lambda block: block.not_run is not None),
    "made": ("tests/documents/test_made_parts.py", lambda block: block.made),
    **{f"of {name}": (test, _commands_of(name)) for name, test in OWN_TESTS.items()},
    "parsed": ("tests/documents/test_snippets.py", lambda block: block.kind in ("json", "toml", "mermaid")),
    "python": ("tests/documents/test_snippets.py", lambda block: block.kind == "python"),
    "make": ("tests/documents/test_snippets.py", lambda block: _begin(block, "make ")),
    "offline": ("tests/documents/test_snippets.py", lambda block: _begin(block, *OFFLINE)),
    "stack": ("tests/documents/test_snippets_on_stack.py", _shell),
    "picture": ("tests/documents/test_snippets.py", lambda block: _text_of(block, "README.md", "──►")),
    "boundaries": ("tests/test_threat_model.py", lambda block: _text_of(block, "docs/threat-model.md", "─►")),
}
"""By name: the file of the test that runs such blocks, and which blocks those are."""


def claim_of(block: Block) -> str | None:
    """The name of the claim that takes a block; None where nothing does."""
    return next((name for name, (_, takes) in CLAIMS.items() if takes(block)), None)


def claimed(name: str) -> list[Block]:
    """All blocks of a claim, document by document."""
    return [block for document in DOCUMENTS for block in blocks_of(document) if claim_of(block) == name]
