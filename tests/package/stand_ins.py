"""What stands in for `sf` and `aws` when the commands of docs/salesforce.md are run: no org and no account is asked.

`python -m tests.package.stand_ins sf|aws ARGUMENTS`. COMMANDS names a file to which each command of `sf` is added, a line each;
SECRET is what the stack's secret holds.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.package.node import convert
from tests.package.sources import MARK, variables_of

STACK = "orderphase-prod"
ADDRESS = "https://abcdef1234.execute-api.eu-central-1.amazonaws.com/prod"
SECRET_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:SalesforceWebhookSecret"
OUTPUTS = {"ApiUrl": ADDRESS, "SalesforceWebhookSecretArn": SECRET_ARN}
TOKEN = "0123456789abcdef0123456789abcdef"


def stand_ins(folder: Path) -> Path:
    """Make both programs in a folder, which goes first on the PATH."""
    folder.mkdir()
    for name in ("sf", "aws"):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.package.stand_ins {name} "$@"\n')
        program.chmod(0o755)
    return folder


def sf(arguments: list[str]) -> str | None:
    """Do what Salesforce's command does on this side of the org; what is wrong, or None."""
    with Path(os.environ["COMMANDS"]).open("a") as log:
        log.write(" ".join(arguments) + "\n")
    match arguments:
        case ["project", "deploy", "start", "--source-dir", directory, "--target-org", "my-org"]:
            return deploy(directory)
        case ["project", "delete", "source", "--source-dir", directory, "--target-org", "my-org"]:
            # Salesforce: both the local source file and the component in the org are deleted.
            shutil.rmtree(directory)
        case ["org", "assign", "permset", "--name", _, "--on-behalf-of", _, "--target-org", "my-org"]:
            pass
        case _:
            return f"{' '.join(arguments)}: the page has no such command"
    return None


def deploy(directory: str) -> str | None:
    """Convert a directory of the project that is the working directory, as a deployment does. An empty value is a fault."""
    values = {name: os.environ.get(name, "") for name in variables_of(directory)}
    if empty := [name for name, value in values.items() if not value]:
        return f"{directory}: {', '.join(empty)} is empty"
    with TemporaryDirectory() as folder:
        answer = convert(Path.cwd(), directory, Path(folder) / "out", **values)
        if answer["status"] or answer["warnings"]:
            return str(answer)
        written = "".join(path.read_text("utf-8") for path in (Path(folder) / "out").rglob("*") if path.is_file())
    lost = [name for name, value in values.items() if value not in written]
    return f"{directory}: not everything is replaced: {lost}" if lost or MARK in written else None


def aws(arguments: list[str]) -> str | None:
    """Answer what the page asks of the stack; what is wrong, or None. As AWS does, nothing for an output that is not there."""
    describe = ["cloudformation", "describe-stacks", "--stack-name", STACK, "--query"]
    read = ["secretsmanager", "get-secret-value", "--secret-id", SECRET_ARN, "--query", "SecretString", "--output", "text"]
    for name, value in OUTPUTS.items():
        if arguments == [*describe, f"Stacks[0].Outputs[?OutputKey=='{name}'].OutputValue", "--output", "text"]:
            sys.stdout.write(f"{value}\n")
            return None
    if arguments == read:
        sys.stdout.write(os.environ["SECRET"] + "\n")
        return None
    return f"aws: nothing is known of {' '.join(arguments)}"


if __name__ == "__main__":
    sys.exit({"sf": sf, "aws": aws}[sys.argv[1]](sys.argv[2:]))
