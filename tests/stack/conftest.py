"""Every test in this folder runs against the deployed stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.stack import LocalStack
from tests.stack.company import Company

FOLDER = Path(__file__).parent


# First: the marker has to be there when the tests are told which worker runs them.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder; the hook is called with those of all folders."""
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.stack)


@pytest.fixture
def company(stack: LocalStack) -> Company:
    """A company that sells through the org of the stack."""
    return Company(stack)
