"""`make demo`: starts the local stack, drives the main job through it, shows it, and checks what it shows."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sandbox.demo import page, recording
from sandbox.demo.report import Scene
from sandbox.demo.scenes import play
from sandbox.demo.terminal import BOLD, GREEN, RED, WIDTH, Terminal
from sandbox.demo.world import World
from sandbox.stack import STATE, LocalStack

PAGE = STATE / "demo.html"
RECORDED = ("A first order", "A change order, seen before it is done", "The change order", "An order that cannot be billed")
"""The scenes that a recording shows."""

VENDORS = ("STRIPE_", "SALESFORCE_")
LOOPBACK = "127.0.0.1,localhost"


def main(record: Path | None = None) -> int:
    """Play every scene; answers 0, or 1 if anything that was shown is not as it should be. record: the file for a recording."""
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    terminal = Terminal(_write, width=shutil.get_terminal_size((WIDTH, 0)).columns, colour=colour)
    # No proxy of the user's: it could not reach this machine's loopback address.
    os.environ["NO_PROXY"] = ",".join(filter(None, [os.environ.get("NO_PROXY", ""), LOOPBACK]))
    began = time.monotonic()
    terminal.line("Orderphase demo: Salesforce Orders become Stripe subscription schedules.", BOLD)
    if note := passed_over(os.environ):
        terminal.line(note)
    terminal.line()
    terminal.line("Starting the local stack")
    # Customers follow with orders here, so no function has to start for changed accounts.
    stack = LocalStack(name="demo", environment={}, parameters={"AccountUpsert": "off"})
    stack.start(terminal.progress)
    scenes: list[Scene] = []
    with stack, World(stack) as world:
        played_at = datetime.now(UTC)
        for scene in play(world, played_at.date()):
            scenes.append(scene)
            terminal.scene(len(scenes), scene)
        terminal.line()
        terminal.progress("stopping …")
    terminal.progress(f"stopped after {time.monotonic() - began:.0f} s")
    _save(PAGE, page.render(scenes, played_at=played_at, verdict=verdict(scenes)))
    terminal.line()
    holds = all(scene.holds for scene in scenes)
    terminal.line(verdict(scenes), GREEN if holds else RED)
    terminal.line(f"The same as a page, with all that the systems answered: {PAGE}")
    if record is not None and holds:
        chosen = [(number, scene) for number, scene in enumerate(scenes, 1) if scene.title in RECORDED]
        _save(record, recording.draw(recording.pages(chosen), "A recording of make demo"))
        terminal.line(f"A recording of {len(chosen)} scenes: {record}")
    return 0 if holds else 1


def passed_over(environment: Mapping[str, str]) -> str:
    """What to tell whoever has named systems of their own."""
    named = sorted(name for name in environment if name.startswith(VENDORS) and environment[name])
    if not named:
        return ""
    return f"{', '.join(named)} set, but not used: the demo runs against its built-in emulators. `make local` uses them."


def verdict(scenes: Sequence[Scene]) -> str:
    """The result in one sentence."""
    checks = [check for scene in scenes for check in scene.checks]
    failed = sum(not check.holds for check in checks)
    return f"All {len(checks)} checks hold." if not failed else f"{failed} of {len(checks)} checks do not hold."


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _save(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(text, "utf-8")
    draft.replace(path)
