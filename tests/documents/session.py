"""Runs the commands of a document, one after the other in one shell, and holds what they answer against what is shown."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandbox.build import ROOT
from tests.documents.blocks import Block

# After each command: its exit status, which the next command finds as it was.
_MARK = '_status=$?; printf \'\\036%d\\036\\n\' "$_status"; (exit "$_status")'


def folder_like_the_root(folder: Path) -> Path:
    """Make `folder` look like the project's: what a command leaves in it is left in no clone."""
    for one in ROOT.iterdir():
        if one.name not in (".stack", ".git", ".venv"):
            (folder / one.name).symlink_to(one)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def run(
    blocks: Sequence[Block], folder: Path, environment: Mapping[str, str], stand_ins: Mapping[str, str] | None = None
) -> None:
    """Run the blocks in `folder`. Fails where a command does, or answers something else than is shown.

    A command of `console` may fail where the next one is `echo $?`, which shows with what. stand_ins: what takes the place of
    what the document names.
    """
    expected = [(block, command, shown) for block in blocks for command, shown in block.exchanges]
    script = []
    for block, command, _ in expected:
        for name, value in (stand_ins or {}).items():
            command = command.replace(name, value)  # noqa: PLW2901 (what is run, in place of what is shown)
        guarded = f"set -e\n{command}\nset +e" if block.kind == "sh" else command
        script.append(f"{{\n{guarded}\n}} 2>&1\n{_MARK}\n")
    done = subprocess.run(
        ["bash"],
        input="".join(script),
        cwd=folder,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    answers = re.findall(r"(.*?)\036(\d+)\036\n", done.stdout, re.DOTALL)
    for number, (block, command, shown) in enumerate(expected):
        assert number < len(answers), f"{block}: `{command}` has ended the shell: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        answer, status = answers[number]
        looked_at = block.kind == "console" and [*expected, (block, "", [])][number + 1][1].strip() == "echo $?"
        assert status == "0" or looked_at, f"{block}: `{command}` ends with {status}: {answer[-2000:]}"
        if block.kind == "console" and shown:
            assert abridges(shown, answer.splitlines()), f"{block}: `{command}` answers something else:\n{answer[-4000:]}"


def abridges(shown: Sequence[str], whole: Sequence[str]) -> bool:
    """Whether what is shown is the whole, but for what lines with `…` stand for: one line each, or more."""
    if not shown or shown[0].strip() != "…":
        return list(shown[:1]) == list(whole[:1]) and (not shown or abridges(shown[1:], whole[1:]))
    return any(abridges(shown[1:], whole[left:]) for left in range(1, len(whole) + 1))
