"""The account that is billed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from orderphase.domain.findings import Finding, finding
from orderphase.domain.lines import Order, describe_order


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address as Salesforce keeps it; `country` may be a name or a code."""

    street: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is entered."""
        return not any((self.street, self.city, self.state, self.postal_code, self.country))


@dataclass(frozen=True, slots=True)
class Account:
    """A Salesforce Account; `customer_id` is its Stripe customer, where it has one already.

    adopted: the customers that another product has noted of it. email: where invoices go; email_of_order: whether an order
    says so, and not the account. metadata: what its customer carries beside our own keys.
    """

    id: str
    name: str | None = None
    phone: str | None = None
    description: str | None = None
    email: str | None = None
    email_of_order: bool = False
    billing: Address = Address()
    shipping: Address = Address()
    shipping_phone: str | None = None
    customer_id: str | None = None
    adopted: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def account_findings(account: Account | None, order: Order) -> Iterator[Finding]:
    """What keeps a Stripe customer from being made of the account of `order`. An account that has one needs nothing."""
    lines = [line.id for line in order.lines]
    if account is None:
        message = f"There is no account on {describe_order(order)}, so nobody can be billed."
        yield finding("missing_account", message, lines=lines, orders=[order.id])
    elif not account.customer_id and not (account.name or "").strip():
        message = f"The account {account.id} of {describe_order(order)} has no name."
        yield finding("missing_account_name", message, lines=lines, orders=[order.id])
