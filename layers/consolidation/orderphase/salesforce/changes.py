"""Which orders and order lines have changed, and which are still billed: for whoever looks for contracts by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import quote

from orderphase.mapping import FieldMapping
from orderphase.salesforce.client import SalesforceClient
from orderphase.salesforce.writing import call


@dataclass(frozen=True, slots=True)
class Change:
    """A record of a contract as it was last changed. contract_id: the order's own where it has no Contract.

    user_id: who has changed it; None of a line. activated_at: when the order was activated; None of a line, and of a draft.
    """

    contract_id: str
    order_id: str
    at: datetime
    user_id: str | None = None
    activated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some changes, in the order of time; `complete`: there are no later ones."""

    changes: tuple[Change, ...]
    complete: bool


class Changes:
    """What an org says about its orders. A request for each 2,000 records."""

    def __init__(self, client: SalesforceClient, mapping: FieldMapping) -> None:
        self._client = client
        self._mapping = mapping

    @property
    def user_id(self) -> str:
        """Whom our own changes are made by."""
        return self._client.user_id

    def since(self, moment: datetime, *, pages: int) -> tuple[Page, Page]:
        """What has changed from `moment` on: of orders, and of their lines; `pages` requests for each at most.

        Of orders that are activated, and of those that have a schedule although they no longer are.
        """
        schedule = self._mapping.order.schedule_id
        from_then = f"SystemModstamp >= {moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.000Z}"
        in_question = f"({self._activated} OR {schedule} != null)"
        orders = f"SELECT {', '.join(_ORDER)} FROM Order WHERE {in_question} AND {from_then}"  # noqa: S608 (SOQL)
        lines = f"SELECT Id, {_OF_ORDER}, SystemModstamp FROM OrderItem WHERE {self._of_activated} AND {from_then}"  # noqa: S608 (SOQL)
        in_time = " ORDER BY SystemModstamp, Id"
        return self._page(orders + in_time, pages, _of_order), self._page(lines + in_time, pages, _of_line)

    def live(self, today: date) -> Iterator[Change]:
        """Each line of an activated order that is billed on this day or later, as it was last changed, and then its order."""
        end, order_end = self._mapping.order_item.end_date, self._mapping.order.end_date
        open_order = f"(Order.{order_end} = null OR Order.{order_end} >= {today})"
        live = f"({end} >= {today} OR ({end} = null AND {open_order}))"
        columns = f"Id, SystemModstamp, {', '.join(f'Order.{name}' for name in _ORDER)}"
        query = f"SELECT {columns} FROM OrderItem WHERE {self._of_activated} AND {live} ORDER BY Id"  # noqa: S608 (SOQL)
        for records, _ in self._pages(query):
            for record in records:
                yield _of_line(record)
                yield _of_order(record["Order"])

    @property
    def _activated(self) -> str:
        condition = self._mapping.search.condition
        return "StatusCode = 'Activated'" if condition is None else f"(StatusCode = 'Activated' AND ({condition}))"

    @property
    def _of_activated(self) -> str:
        return f"OrderId IN (SELECT Id FROM Order WHERE {self._activated})"  # noqa: S608 (SOQL)

    def _page(self, query: str, pages: int, read: Any) -> Page:
        changes: list[Change] = []
        for number, (records, more) in enumerate(self._pages(query), 1):
            changes += [read(record) for record in records]
            if not more or number == pages:
                return Page(tuple(changes), complete=not more)
        raise AssertionError("unreachable")

    def _pages(self, query: str) -> Iterator[tuple[list[Mapping[str, Any]], bool]]:
        """The records of each page, and whether there are more."""
        path = f"query?q={quote(query)}"
        while True:
            answer = call(self._client, "GET", path)
            yield answer["records"], not answer["done"]
            if answer["done"]:
                return
            path = answer["nextRecordsUrl"]


_ORDER = ("Id", "ContractId", "SystemModstamp", "LastModifiedById", "ActivatedDate")
_OF_ORDER = "Order.Id, Order.ContractId"


def _of_order(record: Mapping[str, Any]) -> Change:
    activated = record["ActivatedDate"]
    return Change(
        _contract(record),
        record["Id"],
        _instant(record["SystemModstamp"]),
        record["LastModifiedById"],
        _instant(activated) if activated else None,
    )


def _of_line(record: Mapping[str, Any]) -> Change:
    return Change(_contract(record["Order"]), record["Order"]["Id"], _instant(record["SystemModstamp"]))


def _contract(order: Mapping[str, Any]) -> str:
    return str(order["ContractId"] or order["Id"])


def _instant(value: str) -> datetime:
    return datetime.fromisoformat(value)
