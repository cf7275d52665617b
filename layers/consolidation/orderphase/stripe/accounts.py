"""The Stripe accounts of a deployment, by name. What is done in one never reaches another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orderphase.errors import DataError
from orderphase.settings import StripeCredentials
from orderphase.stripe.client import StripeConnection


class StripeAccounts:
    """Connections to the accounts, each made when it is first needed.

    names: of all accounts; the first is the one of records that name none. credentials: those of an account, by its name.
    connect: makes the connection.
    """

    def __init__(
        self,
        names: Sequence[str],
        credentials: Callable[[str], StripeCredentials],
        connect: Callable[[StripeCredentials], StripeConnection] = StripeConnection,
    ) -> None:
        self.names = tuple(names)
        self._credentials = credentials
        self._connect = connect
        self._connections: dict[str, StripeConnection] = {}

    @property
    def default(self) -> str:
        """The account of records that name none. The ids of the catalogue and of customers in Salesforce are this account's."""
        return self.names[0]

    @property
    def calls(self) -> int:
        """How many requests were made so far, in all accounts."""
        return sum(connection.calls for connection in self._connections.values())

    def connection(self, name: str) -> StripeConnection:
        """The connection to one account. Raises `DataError` for a name that is not known."""
        if name not in self.names:
            known = ", ".join(self.names)
            raise DataError(f"There is no Stripe account named {name!r}; known are: {known}.", code="unknown_stripe_account")
        if name not in self._connections:
            self._connections[name] = self._connect(self._credentials(name))
        return self._connections[name]
