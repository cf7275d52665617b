"""What all tests share: Hypothesis' profile, and the one deployed stack of a test run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from sandbox.stack import LocalStack

# A machine that is busy with the stack is slow, which is no fault of the example. CI draws the same examples each time.
settings.register_profile("orderphase", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("orderphase")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that need the stack on one worker, so that a parallel run starts it once."""
    for item in items:
        if item.get_closest_marker("stack"):
            item.add_marker(pytest.mark.xdist_group("stack"))


@pytest.fixture(scope="session")
def stack(worker_id: str) -> Iterator[LocalStack]:
    """The deployed local stack, started for the first test that asks for it. Tests with it carry the marker `stack`."""
    running = LocalStack(name=f"test-{worker_id}", environment={})
    with running:
        yield running
