"""Programs that the local stack runs: each in a process group of its own, its output in a log, gone when the stack is."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

# None of the user's own AWS, vendor and interpreter settings may reach what runs locally: it would be obeyed by mistake.
AWS_SETTINGS = ("AWS_", "LAMBDA_", "LOCALSTACK_", "MINISTACK_", "S3_", "SAM_CLI_")
FOREIGN = (*AWS_SETTINGS, "ORDERPHASE_", "POWERTOOLS_", "PYTHON", "SALESFORCE_", "STRIPE_")
TAIL_LINES = 30
GRACE_SECONDS = 5.0


class StackError(RuntimeError):
    """The local stack cannot start or go on; the message says why and what to do."""


def environment(**extra: str) -> dict[str, str]:
    """The user's environment without what is meant for other programs (see `FOREIGN`), and with `extra`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)} | extra


def tail(log: Path) -> str:
    """The last lines of a log, or an empty string if there is none."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:]) if log.exists() else ""


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started: politely, then by force."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, signal_number)
        except ProcessLookupError:
            break
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


@contextmanager
def started(
    command: Sequence[str | Path], *, log: Path, env: Mapping[str, str], cwd: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` beside us, its output in `log`, until the block ends.

    It gets a session of its own: Ctrl-C reaches us alone, and we end it in order.
    """
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        except FileNotFoundError as problem:
            raise StackError(f"{command[0]} is not installed; run `make setup`") from problem
    try:
        yield process
    finally:
        stop(process)


def run(command: Sequence[str | Path], *, log: Path, env: Mapping[str, str], cwd: Path) -> None:
    """Run `command` to its end, its output in `log`. Raises `StackError` with the log's last lines if it fails."""
    with started(command, log=log, env=env, cwd=cwd) as process:
        code = process.wait()
    if code != 0:
        raise StackError(f"`{' '.join(str(part) for part in command)}` failed ({code}):\n{tail(log)}")
