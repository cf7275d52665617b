"""Every test in this folder runs against the deployed stack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.stack import STACK_NAME, LocalStack
from tests.stack.company import Company

SECOND, SECOND_KEY, SECOND_ACCOUNT = "eu", "sk_test_orderphase_eu", "acct_orderphaseeu"

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


@pytest.fixture(scope="session")
def second_stack(worker_id: str) -> Iterator[LocalStack]:
    """Another stack, with a second Stripe account, and where customers follow their accounts at once."""
    parameters = {"MoreStripeAccounts": SECOND, "CustomerUpdate": "on_account_change"}
    with LocalStack(name=f"test-{worker_id}-second", environment={}, parameters=parameters) as running:
        assert running.stripe is not None
        running.stripe._keys[SECOND_KEY] = SECOND_ACCOUNT
        secret = {"STRIPE_API_KEY": SECOND_KEY, "STRIPE_API_BASE": running.secrets["StripeSecret"]["STRIPE_API_BASE"]}
        running.aws("secretsmanager").create_secret(Name=f"{STACK_NAME}/stripe/{SECOND}", SecretString=json.dumps(secret))
        yield running


@pytest.fixture
def second_company(second_stack: LocalStack) -> Company:
    """A company that sells through the org of the second stack."""
    return Company(second_stack)
