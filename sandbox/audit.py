"""Whether a pinned package has a known vulnerability: `python -m sandbox.audit [SERVICE]`.

All requirements files are asked about at once, those that are deployed and those of the tools. uv asks: by itself the service
of open-source advisories that it knows, else the one at the address SERVICE, which speaks the same protocol (OSV). Nothing is
installed or resolved, and no package index is asked.

Exit code 0: none has one. 1: some have, one line each. 2: it could not be checked, which is no good news.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from sandbox.build import ROOT
from sandbox.processes import environment

UV = ROOT / ".tools" / "uv" / "bin" / "uv"
REQUIREMENTS = (ROOT / "layers" / "dependencies" / "requirements.txt", *sorted(ROOT.glob("requirements-*.txt")))

# A name, one version, perhaps a condition, then hashes. A URL, an option, a range or a missing hash is none.
_PINNED = re.compile(
    r"(?P<name>[a-z0-9]+(?:[._-][a-z0-9]+)*)==(?P<version>[0-9][0-9a-z.!+]*)"
    r"(?: ; [a-z_]+ [!=<>]+ '[^']*'(?: (?:and|or) [a-z_]+ [!=<>]+ '[^']*')*)?"
    r"(?: +--hash=sha256:[0-9a-f]{64})+"
)
_PROJECT = "audited"
# Where the lock says that the packages come from: nowhere, so that no index is asked.
_SOURCE = 'source = { registry = "." }'


class AuditError(Exception):
    """It could not be checked; the message says why."""


class Pin(NamedTuple):
    """One version of one package."""

    name: str
    version: str


def pins(requirements: str) -> Iterator[Pin]:
    """What a requirements file pins. Raises `AuditError` for a line that is not one version of one package with its hashes."""
    for line in requirements.replace("\\\n", " ").splitlines():
        required = line.partition("#")[0].strip()
        if not required:
            continue
        pinned = _PINNED.fullmatch(required)
        if pinned is None:
            raise AuditError(
                f"{required.partition(' --hash')[0]!r} is not pinned to one version with its hashes; run `make lock`"
            )
        yield Pin(pinned["name"], pinned["version"])


def vulnerabilities(pinned: Sequence[Pin], service: str | None = None) -> list[Mapping[str, Any]]:
    """What is known about these versions, as uv tells it. Raises `AuditError`."""
    command = [str(UV), "audit", "--frozen", "--preview-features", "audit-command,json-output", "--output-format", "json"]
    command += ["--service-url", service] if service else []
    with TemporaryDirectory() as folder:
        (Path(folder) / "pyproject.toml").write_text(
            f'[project]\nname = "{_PROJECT}"\nversion = "0"\nrequires-python = ">=3.13"\n'
        )
        (Path(folder) / "uv.lock").write_text(_lock(pinned))
        try:
            done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise AuditError(f"{UV.relative_to(ROOT)} is not installed; run `make setup`") from None
    if done.returncode not in (0, 1):
        raise AuditError(done.stderr.strip())
    try:
        told = json.loads(done.stdout)
        audited, found = told["summary"]["audited_packages"], list(told["vulnerabilities"])
    except (ValueError, KeyError, TypeError):
        raise AuditError("this uv answers in another form than the one that requirements-uv.txt pins") from None
    if audited != len(pinned):
        raise AuditError(f"uv has looked at {audited} of {len(pinned)} packages")
    return found


def _lock(pinned: Sequence[Pin]) -> str:
    """A lock file of uv's that says no more than that these versions are needed."""
    needed = [f'  {{ name = "{name}", version = "{version}", {_SOURCE} }},' for name, version in pinned]
    lines = ["version = 1", 'requires-python = ">=3.13"', "[[package]]", f'name = "{_PROJECT}"', 'version = "0"']
    lines += ['source = { virtual = "." }', "dependencies = [", *needed, "]"]
    for name, version in pinned:
        lines += ["[[package]]", f'name = "{name}"', f'version = "{version}"', _SOURCE]
    return "\n".join(lines) + "\n"


def audit(files: Sequence[Path] = REQUIREMENTS, service: str | None = None) -> int:
    """Ask, and print what is found; answers the exit code."""
    try:
        by_file = {file: set(pins(file.read_text())) for file in files}
        pinned = sorted(set().union(*by_file.values()))
        found = vulnerabilities(pinned, service)
    except AuditError as problem:
        print(f"audit: could not be checked: {problem}", file=sys.stderr)
        return 2
    for each in found:
        pin = Pin(each["dependency"]["name"], each["dependency"]["version"])
        where = ", ".join(str(file.relative_to(ROOT)) for file, held in by_file.items() if pin in held)
        mended = ", ".join(each["fix_versions"]) or "no version yet"
        print(f"{pin.name} {pin.version} ({where}): {each['id']}: {each['summary'] or each['link']}; mended in {mended}")
    if not found:
        print(f"audit: nothing is known against the {len(pinned)} versions that are pinned")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(audit(service=next(iter(sys.argv[1:]), None)))
