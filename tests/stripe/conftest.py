"""The Stripe account that the tests of the adapter work in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stripe.stripe_account import Stripe, served


@pytest.fixture
def stripe() -> Iterator[Stripe]:
    """An empty account at 2026-11-20 10:00 UTC."""
    with served() as account:
        yield account
