"""The audit of what is pinned: what is asked, what is told, and that no answer is no good news."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox.audit import REQUIREMENTS, UV, AuditError, Pin, audit, pins
from sandbox.build import ROOT
from sandbox.serving import Request, Response, Server
from tests.scripted import Scripted

HASH = f"--hash=sha256:{'0f' * 32}"
ADVISORY: dict[str, Any] = {
    "id": "GHSA-test",
    "summary": "A test",
    "published": "2026-11-20T10:00:00Z",
    "modified": "2026-11-20T10:00:00Z",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "stripe"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "999"}]}],
        }
    ],
}

knows_audit = pytest.mark.skipif(
    subprocess.run([UV, "audit", "--help"], capture_output=True, check=False).returncode != 0,
    reason="the machine's own uv is too old to audit",
)


@contextmanager
def advisories(against: Sequence[str] = (), *, answers: bool = True) -> Iterator[tuple[str, list[Pin]]]:
    """A service that knows one advisory against these packages: its address, and what it was asked about."""
    asked: list[Pin] = []

    def answer(request: Request) -> Response:
        if not answers:
            return Response(404, {})
        if request.method == "GET":
            return Response(200, ADVISORY)
        queries = json.loads(request.body)["queries"]
        asked.extend(Pin(query["package"]["name"], query["version"]) for query in queries)
        known = {"vulns": [{"id": ADVISORY["id"], "modified": ADVISORY["modified"]}]}
        return Response(200, {"results": [known if query["package"]["name"] in against else {} for query in queries]})

    with Server(Scripted(answer)) as server:
        yield server.url, asked


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda path: path.name)
def test_every_line_is_one_version_with_its_hashes(file: Path) -> None:
    found = list(pins(file.read_text()))
    lines = [line for line in file.read_text().splitlines() if line[0] not in " #"]
    assert len(found) == len({name for name, _ in found}) == len(lines) > 0


def test_what_is_installed_is_audited_and_has_its_hashes_compared() -> None:
    assert {*ROOT.glob("requirements*.txt"), *(ROOT / "layers").rglob("requirements*.txt")} == set(REQUIREMENTS)
    installers = (ROOT / "Makefile", ROOT / "scripts" / "install-uv.sh", ROOT / "layers" / "dependencies" / "build.mk")
    text = "\n".join(file.read_text() for file in installers).replace("\\\n", " ")
    installing = re.findall(r"^.*pip.* (?:-r|sync) .*$", text, re.MULTILINE)
    assert len(installing) == len(installers)
    assert [line for line in installing if " --require-hashes " not in line] == []


@pytest.mark.parametrize(
    "line",
    [
        "stripe",
        "stripe==16.1.0",
        f"stripe>=16 {HASH}",
        f"stripe==16.* {HASH}",
        f"stripe=={HASH}",
        f"stripe==16.1.0 {HASH[:-1]}",
        "stripe==16.1.0 --hash=md5:0f0f",
        f"stripe @ https://127.0.0.1/stripe.whl {HASH}",
        f"https://127.0.0.1/stripe.whl {HASH}",
        f"stripe @ git+https://127.0.0.1/stripe {HASH}",
        f"git+https://127.0.0.1/stripe {HASH}",
        f"-e . {HASH}",
        "-r other.txt",
        "--index-url https://127.0.0.1/simple",
        "--extra-index-url https://127.0.0.1/simple",
        "--find-links .",
        "--trusted-host 127.0.0.1",
    ],
)
def test_what_is_not_pinned_is_refused(line: str) -> None:
    with pytest.raises(AuditError, match="is not pinned to one version with its hashes"):
        list(pins(f"# a comment\nsix==1.17.0 \\\n    {HASH}\n    # via x\n{line}\n"))


@knows_audit
def test_every_version_is_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    with advisories() as (service, asked):
        assert audit(service=service) == 0
    pinned = {pin for file in REQUIREMENTS for pin in pins(file.read_text())}
    assert sorted(asked) == sorted(pinned)
    assert capsys.readouterr().out == f"audit: nothing is known against the {len(pinned)} versions that are pinned\n"


@knows_audit
def test_what_is_known_is_told_with_where_it_is_pinned(capsys: pytest.CaptureFixture[str]) -> None:
    deployed = ROOT / "layers" / "dependencies" / "requirements.txt"
    (version,) = (pin.version for pin in pins(deployed.read_text()) if pin.name == "stripe")
    with advisories(against=["stripe"]) as (service, _):
        assert audit([deployed], service) == 1
    assert capsys.readouterr().out == (
        f"stripe {version} (layers/dependencies/requirements.txt): GHSA-test: A test; mended in 999\n"
    )


@knows_audit
def test_no_answer_is_no_good_news(capsys: pytest.CaptureFixture[str]) -> None:
    with advisories(answers=False) as (service, _):
        assert audit(service=service) == 2
    said = capsys.readouterr()
    assert said.err.startswith("audit: could not be checked: ")
    assert said.out == ""


def test_what_is_not_pinned_is_not_asked_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "requirements.txt").write_text("stripe\n")
    assert audit([tmp_path / "requirements.txt"]) == 2
    assert "'stripe' is not pinned to one version with its hashes; run `make lock`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (None, "is not installed; run `make setup`"),
        ("exit 2", "could not be checked: "),
        ("echo '{}'", "answers in another form"),
        ("echo nothing", "answers in another form"),
        ("""echo '{"summary": {"audited_packages": 0}, "vulnerabilities": []}'""", "has looked at 0 of 1 packages"),
    ],
    ids=["none", "refuses", "another form", "no JSON", "looks at nothing"],
)
def test_a_uv_that_does_not_audit_is_no_good_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str | None, said: str
) -> None:
    uv = ROOT / ".stack" / "no-such-uv"
    if program is not None:
        uv = tmp_path / "uv"
        uv.write_text(f"#!/bin/sh\n{program}\n")
        uv.chmod(0o755)
    monkeypatch.setattr("sandbox.audit.UV", uv)
    (tmp_path / "requirements.txt").write_text(f"stripe==16.1.0 {HASH}\n")
    assert audit([tmp_path / "requirements.txt"]) == 2
    assert said in capsys.readouterr().err
