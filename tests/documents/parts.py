"""Every file that `make docs` writes, and what makes it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from sandbox.build import ROOT
from tests.documents import findings_page, mapping_tables, pictures, python_page, settings_tables
from tests.documents.blocks import DOCUMENTS
from tests.documents.made import Part, names_in, with_parts

PARTS: dict[str, Part] = {
    "findings-index": findings_page.index,
    "findings": findings_page.catalogue,
    "parameters": settings_tables.parameters,
    "secrets": settings_tables.secrets,
    "environment": settings_tables.environment,
    "mapping-tables": mapping_tables.tables,
    "mapping-defaults": mapping_tables.defaults,
    "mapping-search": mapping_tables.search,
    "mapping-adopt": mapping_tables.adopt,
    "mapping-metadata": mapping_tables.metadata,
    "preview": partial(pictures.preview, ROOT / "docs" / "example-plan.json"),
    "public-names": python_page.names,
}
"""What stands between marks in a page, by its name."""

FILES: dict[Path, Callable[[], str]] = {
    **{page: partial(with_parts, page, PARTS) for page in DOCUMENTS if names_in(page)},
    **{ROOT / picture: partial(pictures.draw, picture) for picture in pictures.PICTURES},
}
"""The text of each file, by its path."""
