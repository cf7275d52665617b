"""Accounts: which fields make a Stripe customer, and what became of an account that is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from orderphase.domain.account import Account, Address
from orderphase.errors import DataError
from orderphase.mapping import FieldMapping
from orderphase.salesforce.fields import metadata_at, text_at, unique
from orderphase.salesforce.shape import Org, Shape
from orderphase.salesforce.writing import call

_PARTS = ("Street", "City", "State", "PostalCode", "Country")
_MERGES = 10


def account_columns(mapping: FieldMapping, shape: Shape, adopted: Iterable[str] = ()) -> list[str]:
    """What is read of an Account. Salesforce: a query that names a field which the org does not have is refused.

    adopted: fields in which another product keeps the customer's id.
    """
    names = mapping.account
    columns = ["Id", names.customer_id, names.name, names.phone, names.description, names.shipping_phone, names.email]
    for address in (names.billing_address, names.shipping_address):
        columns += [f"{address}{part}" for part in _PARTS]
        columns += [f"{address}CountryCode"] if shape.country_codes(address) else []
    columns += [names.person_email] if shape.person_accounts else []
    return unique([column for column in [*columns, *adopted, *mapping.metadata.customer.values()] if column])


def read_account(
    record: Mapping[str, Any], mapping: FieldMapping, *, email: str | None = None, adopted: Iterable[str] = ()
) -> Account:
    """An Account out of its record. `email`: where an order says that its invoices go; it precedes the account's own.

    adopted: as in `account_columns`.
    """
    names = mapping.account
    return Account(
        id=record["Id"],
        name=text_at(record, names.name),
        phone=text_at(record, names.phone),
        description=text_at(record, names.description),
        email=email or text_at(record, names.email) or text_at(record, names.person_email),
        email_of_order=bool(email),
        billing=_address(record, names.billing_address),
        shipping=_address(record, names.shipping_address),
        shipping_phone=text_at(record, names.shipping_phone),
        customer_id=text_at(record, names.customer_id),
        adopted=tuple([text for name in adopted if (text := text_at(record, name))]),
        metadata=metadata_at(record, mapping.metadata.customer),
    )


class Accounts:
    """The accounts of one org."""

    def __init__(self, org: Org, mapping: FieldMapping) -> None:
        self._org = org
        self._mapping = mapping

    def read(self, account_id: str) -> Account | None:
        """An account, or None where it is gone: one request."""
        columns = ", ".join(account_columns(self._mapping, self._org.shape))
        records = self._query("query", f"SELECT {columns} FROM Account WHERE Id = '{_checked(account_id)}'")  # noqa: S608 (SOQL)
        return read_account(records[0], self._mapping) if records else None

    def merged_into(self, account_id: str) -> str | None:
        """The account that an account which is gone was merged into; None where it was deleted. A request for each merge."""
        found = account_id
        for _ in range(_MERGES):
            soql = f"SELECT MasterRecordId FROM Account WHERE Id = '{_checked(found)}' AND IsDeleted = true"  # noqa: S608 (SOQL)
            records = self._query("queryAll", soql)
            if not records or not records[0]["MasterRecordId"]:
                break
            found = records[0]["MasterRecordId"]
        return None if found == account_id else found

    def _query(self, resource: str, soql: str) -> list[dict[str, Any]]:
        return list(call(self._org.client, "GET", f"{resource}?q={quote(soql)}")["records"])


def _checked(account_id: str) -> str:
    if not (account_id.isascii() and account_id.isalnum()):
        raise DataError(f"{account_id!r} is not the id of an Account.")
    return account_id


def _address(record: Mapping[str, Any], kind: str) -> Address:
    street, city, state, postal_code, country = (text_at(record, f"{kind}{part}") for part in _PARTS)
    return Address(street, city, state, postal_code, text_at(record, f"{kind}CountryCode") or country)
