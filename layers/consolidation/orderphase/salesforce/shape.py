"""What an org has switched on, found out from what it says about itself: its currencies, person accounts, country codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from orderphase.salesforce.client import SalesforceClient
from orderphase.salesforce.writing import call


@dataclass(frozen=True, slots=True)
class Shape:
    """What the records of an org may have.

    account: the API names of Account's fields that can be read, in lower case.
    """

    account: frozenset[str]

    @property
    def currencies(self) -> bool:
        """Whether the org has several currencies."""
        return "currencyisocode" in self.account

    @property
    def person_accounts(self) -> bool:
        """Whether an account may be a person."""
        return "ispersonaccount" in self.account

    def country_codes(self, address: str) -> bool:
        """Whether this address of an account (`Billing`) has codes."""
        return f"{address}countrycode".lower() in self.account


class Org:
    """One org's shape: one request, once per Lambda environment."""

    def __init__(self, client: SalesforceClient) -> None:
        self.client = client

    @cached_property
    def shape(self) -> Shape:
        """The shape as the org describes its Account. Raises classified errors."""
        described: Mapping[str, Any] = call(self.client, "GET", "sobjects/Account/describe")
        return Shape(frozenset(field["name"].lower() for field in described["fields"]))
