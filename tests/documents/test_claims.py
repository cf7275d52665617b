"""Every fenced block of every document is run by a test, or says why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sandbox.build import ROOT
from tests.documents.blocks import CLAIMS, DOCUMENTS, OWN_TESTS, Block, blocks_of, claim_of, claimed

NOT_RUN = {
    "docs/command-line.md": [
        "when the runs were, and of what, is of one day",
        "what waits, and since when, is of one day",
    ],
    "docs/deploying.md": [
        "the local AWS has no CodeDeploy; tests/template checks what becomes of the template",
        "it needs three accounts, each with credentials of its own",
        "the local AWS has no Serverless Application Repository",
    ],
}
"""Why blocks of a document are not run, one after the other."""

KINDS = {"console", "sh", "python", "toml", "json", "mermaid", "text"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_block_is_run_by_a_test(document: Path) -> None:
    found = [*blocks_of(document)]
    # The expression above has found as many as there are.
    assert len(re.findall(r"^ *```", document.read_text(), re.MULTILINE)) == 2 * len(found)
    for block in found:
        assert block.kind in KINDS, f"{block}: {block.kind or 'no'} kind of block; known are {', '.join(sorted(KINDS))}"
        assert claim_of(block), f"{block}: nothing runs it; let a test claim it, or say why not: <!-- not run: … -->"


def test_each_claim_names_a_test_and_has_blocks() -> None:
    for name, (file, _) in CLAIMS.items():
        if claimed(name):
            assert (ROOT / file).exists(), f"{name}: {file}"
            if name.startswith("of "):
                assert name.rpartition("/")[2] in (ROOT / file).read_text(), f"{file} does not read {name}"
        else:
            assert name in {f"of {document}" for document in OWN_TESTS if not (ROOT / document).exists()}


def test_what_is_not_run_says_why() -> None:
    said: dict[str, list[str]] = {}
    for block in claimed("not run"):
        said.setdefault(block.name, []).append(str(block.not_run))
    assert said == NOT_RUN


def test_a_block_is_found_as_it_stands(tmp_path: Path) -> None:
    document = ROOT / "docs" / "findings.md"
    text = (
        "1. A list\n\n   ```sh\n   a \\\n     b\n   # no command\n   c\n   ```\n\n<!-- not run: because -->\n```text\nx\n```\n"
        "\n<!-- made: y -->\n```console\n$ one\n1\n$ two\n```\n<!-- end -->\n"
    )
    file = tmp_path / document.name
    file.write_text(text)
    script, left_out, session = blocks_of(file)
    assert (script.kind, script.line, script.commands, script.not_run, script.made) == ("sh", 3, ["a   b", "c"], None, False)
    assert (left_out.kind, left_out.text, left_out.not_run) == ("text", "x\n", "because")
    assert session.exchanges == [("one", ["1"]), ("two", [])]
    assert session.made
    assert claim_of(Block(document, 1, "text", "", None, made=False)) is None
