"""Every test in this folder runs against the deployed stack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.stack import STACK_NAME, LocalStack
from tests.stack.company import Company
from tests.stack.deployed_roles import Deployed
from tests.stack.full_run import SOURCES, FullRun

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
    """Another stack, with a second Stripe account, and where customers follow their accounts at once.

    It has partner event sources too, and all that its functions call is recorded. Nothing is started by the clock, but by hand.
    """
    parameters = {"MoreStripeAccounts": SECOND, "CustomerUpdate": "on_account_change", **SOURCES}
    with LocalStack(name=f"test-{worker_id}-second", environment={}, parameters=parameters) as running:
        assert running.stripe is not None
        deployed = Deployed(running, SECOND)
        deployed.record()
        running.stop_the_clock()
        running.stripe._keys[SECOND_KEY] = SECOND_ACCOUNT
        secret = {"STRIPE_API_KEY": SECOND_KEY, "STRIPE_API_BASE": running.secrets["StripeSecret"]["STRIPE_API_BASE"]}
        running.aws("secretsmanager").create_secret(Name=f"{STACK_NAME}/stripe/{SECOND}", SecretString=json.dumps(secret))
        yield running


@pytest.fixture(scope="session")
def full_run(second_stack: LocalStack) -> FullRun:
    """All that the functions do, done once on the second stack."""
    run = FullRun(Company(second_stack), Deployed(second_stack, SECOND), second=SECOND, second_key=SECOND_KEY)
    run.run()
    return run


@pytest.fixture
def second_company(second_stack: LocalStack) -> Company:
    """A company that sells through the org of the second stack."""
    return Company(second_stack)
