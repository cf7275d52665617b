"""Which Stripe and which Salesforce the local stack talks to: the built-in emulators, or a real test account and a real org.

The environment decides: all of a vendor's variables set, that system; none, its emulator; some, an error that names the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from orderphase.errors import ConfigurationError
from orderphase.settings import SalesforceCredentials, StripeCredentials
from sandbox.processes import StackError

STRIPE_REQUIRED = ("STRIPE_API_BASE", "STRIPE_API_KEY")
STRIPE_OPTIONAL = ("STRIPE_WEBHOOK_SECRET",)
SALESFORCE_REQUIRED = ("SALESFORCE_LOGIN_URL", "SALESFORCE_CLIENT_ID", "SALESFORCE_CLIENT_SECRET")


def stripe_secret(environment: Mapping[str, str]) -> dict[str, str] | None:
    """What the Stripe secret holds for a real Stripe, or None for the emulator.

    Raises `StackError` if only some variables are set, or if the key is a live one: the local stack is for test mode.
    """
    secret = _all_or_none("Stripe", environment, STRIPE_REQUIRED, STRIPE_OPTIONAL)
    # Stripe: secret and restricted keys say their mode in the prefix.
    if secret and secret["STRIPE_API_KEY"].startswith(("sk_live_", "rk_live_")):
        raise StackError("STRIPE_API_KEY is a live key, and the local stack takes test-mode keys only (sk_test_…, rk_test_…)")
    return _as_the_product_takes_it(StripeCredentials, secret)


def salesforce_secret(environment: Mapping[str, str]) -> dict[str, str] | None:
    """What the Salesforce secret holds for a real org, or None for the emulator. Raises `StackError` if only some are set."""
    return _as_the_product_takes_it(SalesforceCredentials, _all_or_none("Salesforce", environment, SALESFORCE_REQUIRED))


def _as_the_product_takes_it(
    credentials: type[StripeCredentials | SalesforceCredentials], secret: dict[str, str] | None
) -> dict[str, str] | None:
    """Refuse here what the functions would refuse later. Raises `StackError` naming the variable."""
    if secret is not None:
        try:
            credentials.from_secret("environment", json.dumps(secret))
        except ConfigurationError as problem:
            raise StackError(problem.message.removeprefix("secret ")) from None
    return secret


def _all_or_none(
    vendor: str, environment: Mapping[str, str], required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, str] | None:
    given = {name: environment[name] for name in (*required, *optional) if environment.get(name)}
    missing = [name for name in required if name not in given]
    if given and missing:
        found, lacking = ", ".join(given), ", ".join(missing)
        raise StackError(f"{found} set, but not {lacking}: set all of them to use that {vendor}, or none for the emulator")
    return given | {name: "" for name in optional if name not in given} if given else None
