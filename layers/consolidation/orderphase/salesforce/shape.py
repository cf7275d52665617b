"""What an org has switched on, found out from what it says about itself: its currencies, person accounts, country codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from orderphase.mapping import Adopt
from orderphase.salesforce.client import API_VERSION, SalesforceClient, classified
from orderphase.salesforce.writing import call, not_about_data

_OK, _NOT_FOUND = 200, 404


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
        self._present: dict[tuple[tuple[str, tuple[str, ...]], ...], dict[str, tuple[str, ...]]] = {}

    @cached_property
    def shape(self) -> Shape:
        """The shape as the org describes its Account. Raises classified errors."""
        described: Mapping[str, Any] = call(self.client, "GET", "sobjects/Account/describe")
        return Shape(frozenset(field["name"].lower() for field in described["fields"]))

    def adopts(self, adopt: Adopt) -> bool:
        """Whether what another product bills is looked for. Raises classified errors."""
        if adopt.when == "auto":
            return any(name.lower() in self.shape.account for name in adopt.account)
        return adopt.when == "on"

    def adopted(self, adopt: Adopt) -> Mapping[str, tuple[str, ...]]:
        """The fields in which another product keeps Stripe's ids, by object, as far as the org has them. As `present`."""
        return self.present(adopt.fields) if self.adopts(adopt) else {}

    def present(self, fields: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        """Which of these fields, by object, the org has and lets be read, spelt as the org does: one request, once.

        No request where there are none. Raises classified errors. Salesforce: a batch takes 25 requests.
        """
        key = tuple(fields.items())
        if fields and key not in self._present:
            asked = [{"method": "GET", "url": f"v{API_VERSION}/sobjects/{name}/describe"} for name in fields]
            answer = call(self.client, "POST", "composite/batch", {"batchRequests": asked}, repeatable=True)
            self._present[key] = {
                name: _spelt(_fields(name, part), wanted)
                for (name, wanted), part in zip(fields.items(), answer["results"], strict=True)
            }
        return self._present.get(key, {})


def _fields(name: str, part: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The fields of an object that was described; none where the org has no such object. Raises any other refusal."""
    status, result = part["statusCode"], part["result"]
    if status == _NOT_FOUND:
        return ()
    if status != _OK:
        problem = result[0] if isinstance(result, list) and result else {}
        message = f"Salesforce refuses to describe {name}: {problem.get('message')}"
        raise not_about_data(classified(problem.get("errorCode"), message, status))
    fields: Sequence[Mapping[str, Any]] = result["fields"]
    return fields


def _spelt(described: Sequence[Mapping[str, Any]], wanted: Iterable[str]) -> tuple[str, ...]:
    names = {field["name"].lower(): field["name"] for field in described}
    return tuple([names[name.lower()] for name in wanted if name.lower() in names])
