"""A Stripe account over HTTP, with the clock standing still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orderphase.domain.account import Account
from orderphase.settings import StripeCredentials
from orderphase.stripe.account import StripeAccount
from orderphase.stripe.client import StripeConnection
from orderphase.stripe.customers import Customers, customer_details
from sandbox.clock import Clock
from sandbox.serving import Server
from sandbox.stripe_emulator import StripeEmulator
from tests.flows.world import ACCOUNT, KEY, NOW, ORG, Checked


@dataclass
class Stripe:
    """An account of the emulator, and connections to it. `pauses` are the waits that they asked for."""

    clock: Clock
    emulator: StripeEmulator
    url: str
    pauses: list[float] = field(default_factory=list)

    def connection(self, *, key: str = KEY, repetitions: int = 0) -> StripeConnection:
        return connect(self.url, self.pauses, key=key, repetitions=repetitions)

    def checked(self) -> StripeConnection:
        """A new connection whose every request is checked against the SDK's types before it leaves."""
        secret = StripeCredentials.model_validate({"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": self.url})
        return Checked(secret, repetitions=0, pause=self.pauses.append)

    def account(self) -> StripeAccount:
        """The account through a connection of its own."""
        return StripeAccount(self.checked())

    def customers(self) -> Customers:
        """Its customers, likewise."""
        return Customers(self.checked())

    def customer(self, account_id: str) -> str:
        """The customer of an account, made where there is none."""
        account = Account(account_id, "Acme GmbH")
        params = customer_details(account, org_id=ORG).params
        customer, _ = self.customers().ensure(account, params, org_id=ORG)
        return customer

    def objects(self, kind: str) -> list[dict[str, Any]]:
        return self.emulator.objects(ACCOUNT, kind)


def connect(url: str, pauses: list[float], *, key: str = KEY, repetitions: int = 0) -> StripeConnection:
    secret = StripeCredentials.model_validate({"STRIPE_API_KEY": key, "STRIPE_API_BASE": url})
    return StripeConnection(secret, repetitions=repetitions, pause=pauses.append)


@contextmanager
def served(now: datetime = NOW) -> Iterator[Stripe]:
    clock = Clock(now, frozen=True)
    emulator = StripeEmulator(clock, {KEY: ACCOUNT})
    with Server(emulator) as server:
        yield Stripe(clock, emulator, server.url)
