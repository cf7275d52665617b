"""The emulated org that most tests of it are about."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.salesforce_org import Catalogue, Client, catalogue, served


@pytest.fixture
def org() -> Iterator[Client]:
    with served() as client:
        yield client


@pytest.fixture
def stock(org: Client) -> Catalogue:
    return catalogue(org.emulator)
