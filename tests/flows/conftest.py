"""The world that a flow test runs in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flows.world import World, world


@pytest.fixture
def here() -> Iterator[World]:
    """A fresh world at 2026-11-20 10:00 UTC."""
    with world() as made:
        yield made
