"""What the documents have from the code is as the code has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orderphase.domain.findings import REMEDIES
from sandbox.build import ROOT
from tests.documents import findings_page
from tests.documents.blocks import DOCUMENTS
from tests.documents.finding_examples import example
from tests.documents.made import UnknownPartError, names_in, with_parts
from tests.documents.parts import FILES, PARTS


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_is_as_make_docs_would_write_it(path: Path) -> None:
    assert path.read_text() == FILES[path](), f"run `make docs`: {path.relative_to(ROOT)}"


def test_every_part_stands_in_one_page() -> None:
    assert sorted(name for page in DOCUMENTS for name in names_in(page)) == sorted(PARTS)


def test_a_part_that_nobody_makes_is_told(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- made: one -->\nold\n<!-- end -->\n")
    assert with_parts(page, {"one": lambda: "new\n"}) == "<!-- made: one -->\n\nnew\n\n<!-- end -->\n"
    with pytest.raises(UnknownPartError, match=r"page\.md: there is no part one; there are two"):
        with_parts(page, {"two": str})


def test_every_finding_has_an_example_that_makes_it() -> None:
    for code in REMEDIES:
        assert example(code).code == code
    assert findings_page.policies_exist()


def test_a_finding_without_an_example_is_told() -> None:
    with pytest.raises(LookupError, match="finding no_such has no example"):
        example("no_such")
