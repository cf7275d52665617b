"""What a repository shows to who works on it: workflows, hooks before a commit, versions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from orderphase import __version__
from orderphase.cli import main
from sandbox.build import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HOOKS = ROOT / ".pre-commit-config.yaml"
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
BIN = Path(sys.executable).parent

workflows = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)


def steps(workflow: Path) -> list[dict[str, Any]]:
    return [step for job in yaml.safe_load(workflow.read_text())["jobs"].values() for step in job["steps"]]


@workflows
def test_workflows_are_what_github_takes(workflow: Path) -> None:
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@workflows
def test_workflows_may_read_and_nothing_else(workflow: Path) -> None:
    said = yaml.safe_load(workflow.read_text())
    assert said["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in said["jobs"].values())
    assert all(step["with"]["persist-credentials"] is False for step in steps(workflow) if "checkout" in step.get("uses", ""))


def test_the_workflow_is_the_gate() -> None:
    (ci,) = [workflow for workflow in WORKFLOWS if workflow.stem == "ci"]
    assert [step["run"] for step in steps(ci) if "run" in step] == ["bash .ci/run"]
    (targets,) = re.findall(r"^for target in (.+); do$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    named = {word for word in targets.replace('"', "").split() if "=" not in word}
    assert {"lint", "test", "build", "demo"} <= named <= TARGETS


def test_what_runs_at_night_is_what_make_has() -> None:
    (nightly,) = [workflow for workflow in WORKFLOWS if workflow.stem == "nightly"]
    (job,) = yaml.safe_load(nightly.read_text())["jobs"].values()
    assert {"faults", "audit"} <= set(job["strategy"]["matrix"]["target"]) <= TARGETS


def test_hooks_are_the_checks_of_make_lint() -> None:
    hooks = [hook["entry"] for repository in yaml.safe_load(HOOKS.read_text())["repos"] for hook in repository["hooks"]]
    recipe = subprocess.run(
        ["make", "--dry-run", "--always-make", "lint"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for command in ("ruff check", "ruff format", "lint-imports", "sam validate --lint"):
        assert command in recipe
        assert any(command in hook for hook in hooks), command
    (types,) = [hook for hook in hooks if "mypy" in hook]
    assert types in recipe


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the project's hooks and tools, and one file of its own."""
    for name in (".pre-commit-config.yaml", "pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def hooked(repository: Path, content: str, name: str = "module.py") -> subprocess.CompletedProcess[str]:
    """Run the hooks that need one file only, as git would before a commit."""
    (repository / name).write_text(content)
    subprocess.run(["git", "add", "--all"], cwd=repository, check=True)
    return subprocess.run(
        [BIN / "pre-commit", "run"],
        check=False,
        cwd=repository,
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(repository / ".stack"),
            "PRE_COMMIT_HOME": str(repository / ".stack" / "pre-commit"),
            "SKIP": "mypy,import-linter",
        },
        capture_output=True,
        text=True,
    )


def test_hooks_let_good_files_pass(repository: Path) -> None:
    done = hooked(repository, '"""A module."""\n')
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ruff check" in done.stdout


@pytest.mark.parametrize(
    ("name", "content", "hook"),
    [
        ("module.py", '"""A module."""\n\nx = undefined\n', "ruff check"),
        ("module.py", '"""A module."""\nx = ( 1 )\n', "ruff format"),
        ("key.txt", "-----BEGIN RSA " + "PRIVATE KEY-----\n", "no private keys"),
        ("large.txt", "x" * 2**21, "no large files"),
    ],
)
def test_hooks_stop_what_is_wrong(repository: Path, name: str, content: str, hook: str) -> None:
    done = hooked(repository, content, name)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(rf"^{hook}\.+Failed$", done.stdout, re.MULTILINE), done.stdout


def test_one_version_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    newest = re.findall(r"^## (\S+) - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    assert newest[0] == __version__
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"orderphase {__version__}\n"
