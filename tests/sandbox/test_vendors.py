"""Which Stripe and which Salesforce the local stack takes, by environment."""

from __future__ import annotations

import pytest

from sandbox.processes import StackError
from sandbox.vendors import salesforce_secret, stripe_secret

STRIPE = {"STRIPE_API_BASE": "https://api.stripe.com", "STRIPE_API_KEY": "sk_test_1"}
SALESFORCE = {
    "SALESFORCE_LOGIN_URL": "https://example.my.salesforce.com",
    "SALESFORCE_CLIENT_ID": "client",
    "SALESFORCE_CLIENT_SECRET": "secret",
}


def test_nothing_set_means_the_emulators() -> None:
    assert stripe_secret({"PATH": "/bin"}) is None
    assert salesforce_secret({"PATH": "/bin"}) is None


def test_empty_is_not_set() -> None:
    assert stripe_secret(dict.fromkeys(STRIPE, "")) is None


def test_everything_set_means_the_real_systems() -> None:
    assert stripe_secret(STRIPE | {"PATH": "/bin"}) == STRIPE | {"STRIPE_WEBHOOK_SECRET": ""}
    assert stripe_secret(STRIPE | {"STRIPE_WEBHOOK_SECRET": "whsec_1"}) == STRIPE | {"STRIPE_WEBHOOK_SECRET": "whsec_1"}
    assert salesforce_secret(SALESFORCE) == SALESFORCE


@pytest.mark.parametrize("missing", STRIPE)
def test_a_missing_stripe_variable_is_named(missing: str) -> None:
    given = {name: value for name, value in STRIPE.items() if name != missing}
    with pytest.raises(StackError, match=f"not {missing}: set all of them to use that Stripe"):
        stripe_secret(given)


@pytest.mark.parametrize("missing", SALESFORCE)
def test_a_missing_salesforce_variable_is_named(missing: str) -> None:
    given = {name: value for name, value in SALESFORCE.items() if name != missing}
    with pytest.raises(StackError, match=f"not {missing}: set all of them to use that Salesforce"):
        salesforce_secret(given)


def test_a_webhook_secret_alone_is_no_stripe() -> None:
    with pytest.raises(StackError, match="not STRIPE_API_BASE, STRIPE_API_KEY"):
        stripe_secret({"STRIPE_WEBHOOK_SECRET": "whsec_1"})


@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1"])
def test_a_live_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(StackError, match="test-mode keys only") as refusal:
        stripe_secret(STRIPE | {"STRIPE_API_KEY": key})
    assert key not in str(refusal.value)
