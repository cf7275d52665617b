"""Customers: one for each account (and currency, where the company wants it so), made of what Salesforce says.

Stripe has no key of its own for a customer, so it carries Salesforce's ids in its metadata and is looked for by these where it
is not known whether it exists.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import stripe

from orderphase.domain.account import Account, Address
from orderphase.domain.requests import ORG_ID
from orderphase.errors import ConflictError, DataError, UnknownOutcomeError
from orderphase.stripe.client import MISSING, REPLAYED_FAILURE, REUSED_KEY, StripeConnection, fresh_key

CURRENCY = "orderphase_currency"
"""The metadata of a customer that is an account's for one currency only."""

FIRST = "orderphase_customer"
"""The metadata of such a customer that names the account's first one."""

_NAME, _EMAIL, _PHONE, _DESCRIPTION = 256, 512, 20, 5000
"""Stripe: the longest name, e-mail address, phone number and description of a customer."""

_KEY_LIFETIME = 24 * 60 * 60
"""Seconds. Stripe: an idempotency key is kept for 24 hours at least."""

_FOUND = 10
_MAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>.]+")
_ADDRESS = ("line1", "line2", "city", "state", "postal_code", "country")


@dataclass(frozen=True, slots=True)
class Details:
    """What a customer is told: the parameters of a request, and what of the account was cut or left out of them.

    unusable: the fields, or parts of a field (`address.country`), that the account states, but not as Stripe takes them.
    """

    params: Mapping[str, Any]
    remarks: tuple[str, ...] = ()
    unusable: frozenset[str] = frozenset()


class Customers:
    """The customers of one Stripe account.

    adopting: whether one counts as an account's that names the account, and no org. Record ids differ from org to org, but for
    sandboxes.
    """

    def __init__(self, connection: StripeConnection, *, adopting: bool = False) -> None:
        self._connection = connection
        self._api = connection.api
        self._adopting = adopting

    def of_account(self, account_id: str, *, org_id: str) -> str | None:
        """Look for the customer of an account: one request. Stripe: the search does not know what was made just now."""
        return self.find(_identity(account_id, org_id))

    def ensure(
        self, account: Account, params: Mapping[str, Any], *, org_id: str, currency: str | None = None, after: str | None = None
    ) -> tuple[str, bool]:
        """Get or create the customer of an account, once however often this is tried; answers its id, and whether it is new.

        The search finds what was created some time ago, the idempotency key what was created since. The key does not depend on
        what the account says, or two runs that have read different things would make two customers.
        currency: that of an account's further customer. after: the customer that was deleted, whose place this one takes.
        """
        of = _identity(account.id, org_id)
        found = self.find(of, currency=currency)
        if found is not None and found != after:  # the search may not know yet that it was deleted
            return found, False
        create = self._api.customers.create
        parts = ["customer", org_id, account.id, *([currency.lower()] if currency else []), *([after] if after else [])]
        key = ":".join(parts)
        try:
            return self._connection.create(create, cast("Any", dict(params)), key).id, True
        except (ConflictError, UnknownOutcomeError) as problem:
            if problem.code not in (REUSED_KEY, REPLAYED_FAILURE):
                raise
        # The account has changed since an earlier attempt, or Stripe has stored a failure of it. It may have made a customer.
        if recent := self._recent(of, currency):
            return recent, False
        return self._connection.create(create, cast("Any", dict(params)), key, looked=True).id, True

    def find(self, of: Mapping[str, str], *, currency: str | None = None) -> str | None:
        """Look for a customer by metadata. Stripe: the search may lag behind by a minute, in outages more."""
        asked = {name: value for name, value in of.items() if name != ORG_ID or not self._adopting}
        query = " AND ".join(f"metadata['{name}']:'{value}'" for name, value in asked.items())
        found = self._connection.call(self._api.customers.search, {"query": query, "limit": _FOUND})
        return next((customer.id for customer in found.data if self._fits(customer, of, currency)), None)

    def update(self, customer_id: str, params: Mapping[str, Any]) -> None:
        """Tell a customer what has changed. Raises DataError with the code `resource_missing` where it was deleted."""
        key = {"idempotency_key": fresh_key("customer")}
        self._connection.call(self._api.customers.update, customer_id, cast("Any", dict(params)), cast("Any", key))

    def state(self, customer_id: str) -> Literal["there", "deleted", "missing"]:
        """What became of a customer. Stripe: a deleted one is still answered, as deleted; what never was is not."""
        try:
            customer = self._connection.call(self._api.customers.retrieve, customer_id)
        except DataError as problem:
            if problem.code != MISSING:
                raise
            return "missing"
        return "deleted" if getattr(customer, "deleted", False) else "there"

    def _recent(self, of: Mapping[str, str], currency: str | None) -> str | None:
        """Look for a customer among those for which a key can still stand, past the search and its lag."""
        newest: int | None = None
        for customer in self._connection.each(self._api.customers.list, {}):
            newest = newest or customer.created
            if customer.created < newest - _KEY_LIFETIME:
                return None
            if self._fits(customer, of, currency):
                return str(customer.id)
        return None

    def _fits(self, customer: stripe.Customer, of: Mapping[str, str], currency: str | None) -> bool:
        told = {
            **({ORG_ID: of[ORG_ID]} if self._adopting else {}),
            **(customer.metadata.to_dict() if customer.metadata else {}),
        }
        return of.items() <= told.items() and told.get(CURRENCY) == (currency.lower() if currency else None)


def customer_details(account: Account, *, org_id: str, currency: str | None = None, first: str | None = None) -> Details:
    """What the customer of an account is told. What Stripe would refuse is cut or left out, and remarked on.

    currency, first: of an account's further customer, and the id of its first one.
    """
    remarks: dict[str, None] = {}
    unusable: set[str] = set()

    def cut(what: str, value: str | None, limit: int) -> str | None:
        if value is not None and len(value) > limit:
            remarks[f"the {what} has {len(value)} characters, of which Stripe takes {limit}"] = None
        return value and value.strip()[:limit]

    def kept(field: str, what: str, value: str | None, *, fits: bool) -> str | None:
        if value is None or fits:
            return value
        remarks[f"the {what} is left out, because Stripe takes no such one"] = None
        unusable.add(field)
        return None

    def country(field: str, kind: str, address: Address) -> str | None:
        code = (address.country or "").strip()
        if not code or re.fullmatch("[A-Za-z]{2}", code):
            return code.upper() or None
        remarks[f"the country of the {kind} address is left out, because Stripe takes a two-letter code"] = None
        unusable.add(f"{field}.country")
        return None

    name, email = cut("name", account.name, _NAME), account.email or ""
    further = {CURRENCY: currency.lower(), **({FIRST: first} if first else {})} if currency else {}
    params: dict[str, Any] = {
        "name": name,
        "email": kept("email", "e-mail address", account.email, fits=len(email) <= _EMAIL and bool(_MAIL.fullmatch(email))),
        "phone": kept("phone", "phone number", account.phone, fits=len(account.phone or "") <= _PHONE),
        "description": cut("description", account.description, _DESCRIPTION),
        "address": _address(account.billing, country("address", "billing", account.billing)),
        "metadata": {**account.metadata, **further, **_identity(account.id, org_id)},
    }
    # Stripe: shipping has a name and an address.
    shipped_to = _address(account.shipping, country("shipping.address", "shipping", account.shipping))
    if name and shipped_to:
        phone = account.shipping_phone
        phone = kept("shipping.phone", "shipping phone number", phone, fits=len(phone or "") <= _PHONE)
        params["shipping"] = _stated({"name": name, "phone": phone, "address": shipped_to})
    return Details(_stated(params), tuple(remarks), frozenset(unusable))


def clearing(field: str, details: Details) -> Any:
    """The value of a field in an update, where what is not stated any more is emptied. Stripe: an empty text does so.

    What is stated, but not as Stripe takes it, is left as it is.
    """
    value = details.params.get(field)
    if value is None:
        return ""
    if field == "address":
        return _emptied(value, field, details.unusable)
    if field == "shipping":
        phone = {} if "shipping.phone" in details.unusable else {"phone": ""}
        return {**phone, **value, "address": _emptied(value["address"], "shipping.address", details.unusable)}
    return value


def _emptied(address: Mapping[str, Any], field: str, unusable: Container[str]) -> dict[str, Any]:
    parts = [part for part in _ADDRESS if part in address or f"{field}.{part}" not in unusable]
    return {part: address.get(part, "") for part in parts}


def _address(address: Address, country: str | None) -> dict[str, Any]:
    lines = [line.strip() for line in (address.street or "").splitlines() if line.strip()]
    return _stated(
        {
            "line1": lines[0] if lines else None,
            "line2": ", ".join(lines[1:]),
            "city": address.city,
            "state": address.state,
            "postal_code": address.postal_code,
            "country": country,
        }
    )


def _stated(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is neither empty nor blank, without blanks around it."""
    trimmed = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
    return {name: value for name, value in trimmed.items() if value}


def _identity(account_id: str, org_id: str) -> dict[str, str]:
    return {ORG_ID: org_id, "salesforce_account_id": account_id}
