"""Reads a contract from Salesforce in one call, and writes back to it in one call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote

from orderphase.domain.account import Account
from orderphase.domain.lines import Order
from orderphase.domain.policies import Policies
from orderphase.domain.sequence import Draft
from orderphase.errors import ConfigurationError, DataError
from orderphase.mapping import FieldMapping
from orderphase.salesforce.accounts import account_columns, read_account
from orderphase.salesforce.client import classified
from orderphase.salesforce.fields import check_spelling, first_text, metadata_at, text_at, unique
from orderphase.salesforce.shape import Org
from orderphase.salesforce.snapshot import read_orders
from orderphase.salesforce.writing import Creation, Update, call, composite, not_about_data, write_back

PENDING, SYNCED, FAILED, SKIPPED, CANCELLED = "Pending", "Synced", "Failed", "Skipped", "Cancelled"
"""Values of the Order's sync status."""

_ACTIVATED = "Activated"

NOT_VISIBLE = "CONTRACT_NOT_VISIBLE"
"""Our own code for a Contract that the integration user must not see."""

_BILLS = "sub_"
"""How the ids of subscriptions begin, and those of their schedules (`sub_sched_`). Other products note other ids as well."""


@dataclass(frozen=True, slots=True)
class OrderState:
    """What an Order says about its own synchronisation. `metadata`: what a schedule carries of it beside our own keys.

    adopted: the id in Stripe that another product has noted on it.
    """

    id: str
    number: str
    activated: bool
    schedule_id: str | None
    subscription_id: str | None
    sync_status: str | None
    metadata: Mapping[str, str] = field(default_factory=dict)
    adopted: str | None = None


@dataclass(frozen=True, slots=True)
class ContractState:
    """One contract as Salesforce has it now: the order that was asked for, and every activated order with it.

    id: the Contract's id; the order's own where it has no Contract. orders: activated ones only; drafts: the others that have
    lines. named: the schedules and subscriptions that another product has noted, by id, and which field names them. copied:
    what tells our own fields of the customer, products and prices that such a product has noted; the state has them already.
    """

    id: str
    has_contract: bool
    order: OrderState
    account: Account | None
    schedule_id: str | None
    subscription_id: str | None
    orders: tuple[Order, ...]
    states: Mapping[str, OrderState]
    drafts: tuple[Draft, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    copied: tuple[Update, ...] = ()

    @property
    def activated_order(self) -> Order | None:
        """The order that was asked for, where it is activated."""
        return next((order for order in self.orders if order.id == self.order.id), None)


@dataclass(frozen=True, slots=True)
class _Answers:
    """The records of one read; no order where it is gone."""

    order: dict[str, Any] = field(default_factory=dict)
    lines: Sequence[Mapping[str, Any]] = ()
    prices: Sequence[dict[str, Any]] = ()


class Contracts:
    """The contracts of one org."""

    def __init__(self, org: Org, mapping: FieldMapping, policies: Policies) -> None:
        self._org = org
        self.client = org.client
        self._mapping = mapping
        self._policies = policies

    @property
    def org_id(self) -> str:
        """The org's 18-character id."""
        return self.client.org_id

    @property
    def adopting(self) -> bool:
        """Whether what another product bills is looked for. Raises classified errors."""
        return self._org.adopts(self._mapping.adopt)

    def write_back(self, updates: Iterable[Update], creations: Sequence[Creation] = ()) -> None:
        """Write to Salesforce: one request, more only beyond 200 records. Raises the first refusal, classified."""
        write_back(self.client, updates, creations)

    def read(self, order_id: str, *, supposing: datetime | None = None) -> ContractState:
        """Read everything about the contract of one order: one request, more only beyond 2,000 lines.

        supposing: the order is taken as activated, at that time if it is not.
        Raises DataError with the code NOT_FOUND where the order is gone.
        """
        return self._read("Order", order_id, "Id = '{}'", supposing=supposing)

    def read_contract(self, contract_id: str) -> ContractState:
        """The same for a Contract, by its newest activated order; where it has none, by any: two requests then.

        Raises DataError with the code NOT_FOUND where the Contract has no order.
        """
        newest = "ORDER BY EffectiveDate DESC, Id DESC LIMIT 1"
        try:
            return self._read("Contract", contract_id, f"ContractId = '{{}}' AND StatusCode = '{_ACTIVATED}' {newest}")
        except DataError as problem:
            if problem.code != "NOT_FOUND":
                raise
        try:
            return self._read("Contract", contract_id, f"ContractId = '{{}}' {newest}")
        except DataError as problem:
            if problem.code != "NOT_FOUND":
                raise
            message = f"Contract {contract_id} has no order any more, so nothing says what it is billed for."
            raise DataError(message, code="NOT_FOUND") from None

    def read_of_line(self, line_id: str) -> ContractState:
        """The same for the order of one order line. Raises DataError with the code NOT_FOUND where the line is gone."""
        return self._read("OrderItem", line_id, "Id IN (SELECT OrderId FROM OrderItem WHERE Id = '{}')")

    def _read(self, kind: str, record_id: str, condition: str, *, supposing: datetime | None = None) -> ContractState:
        if not (record_id.isascii() and record_id.isalnum()):
            raise DataError(f"{record_id!r} is not the id of an {kind}.")
        answers = self._ask(condition.format(record_id))
        if not answers.order:
            raise DataError(f"{kind} {record_id} is not in Salesforce any more.", code="NOT_FOUND")
        return self._state(answers, supposing)

    def _ask(self, chosen: str) -> _Answers:
        """One composite request. Where there is no Contract, Salesforce refuses the queries that name it; the others serve."""
        own_lines = "OrderId = '@{order.records[0].Id}'"
        contract_lines = "Order.ContractId = '@{order.records[0].ContractId}'"
        queries = {
            "order": f"SELECT {', '.join(self._order_fields())} FROM Order WHERE {chosen}",  # noqa: S608 (SOQL)
            "own_lines": self._lines(own_lines),
            "own_prices": self._prices(own_lines),
            "contract_lines": self._lines(contract_lines),
            "contract_prices": self._prices(contract_lines),
        }
        # A reference must stay readable, or Salesforce does not see it.
        urls = {name: f"query?q={quote(query, safe='@{}[].,()')}" for name, query in queries.items()}
        asked = {name: {"method": "GET", "url": url} for name, url in urls.items()}
        parts = composite(self.client, asked, all_or_none=False)
        order = self._records(parts["order"])
        if not order:
            return _Answers()
        scope = "contract" if order[0]["ContractId"] else "own"
        lines, prices = (self._records(parts[f"{scope}_{kind}"]) for kind in ("lines", "prices"))
        read = (order, self._order_fields()), (lines, self._line_columns()), (prices, self._price_columns())
        for records, columns in read:
            for record in records[:1]:
                check_spelling(record, columns)
        return _Answers(order[0], lines, prices)

    def _records(self, part: Mapping[str, Any]) -> list[dict[str, Any]]:
        body = part["body"]
        if part["httpStatusCode"] >= 300:  # noqa: PLR2004 (an HTTP status)
            message = f"Salesforce refuses to read: {body[0].get('message')}"
            raise not_about_data(classified(body[0].get("errorCode"), message, part["httpStatusCode"]))
        records = list(body["records"])
        while not body["done"]:
            body = call(self.client, "GET", body["nextRecordsUrl"])
            records += body["records"]
        return records

    @cached_property
    def _theirs(self) -> Mapping[str, tuple[str, ...]]:
        return self._org.adopted(self._mapping.adopt)

    def _adopted(self, name: str) -> tuple[str, ...]:
        """The fields of an object in which another product keeps Stripe's ids; asked for with every record."""
        return self._theirs.get(name, ())

    def _order_columns(self) -> list[str]:
        order = self._mapping.order
        columns = [
            "Id",
            "OrderNumber",
            "StatusCode",
            order.effective_date,
            order.end_date,
            "ActivatedDate",
            "IsReductionOrder",
            order.collection_method,
            order.days_until_due,
            order.percent_off,
            order.amount_off,
            order.schedule_id,
            order.subscription_id,
            order.sync_status,
            *([order.stripe_account] if order.stripe_account else []),
            *([order.email] if order.email else []),
            *self._adopted("Order"),
            *self._mapping.metadata.schedule.values(),
            *self._mapping.metadata.phase.values(),
        ]
        return columns + (["CurrencyIsoCode"] if self._org.shape.currencies else [])

    def _order_fields(self) -> list[str]:
        contract = self._mapping.contract
        of_contract = [
            contract.schedule_id,
            contract.subscription_id,
            contract.stripe_account,
            *self._adopted("Contract"),
        ]
        parents = [
            "ContractId",
            *(f"Contract.{name}" for name in of_contract if name),
            *(f"Account.{name}" for name in account_columns(self._mapping, self._org.shape, self._adopted("Account"))),
        ]
        return unique([*self._order_columns(), *parents])

    def _line_columns(self) -> list[str]:
        line = self._mapping.order_item
        return [
            "Id",
            line.quantity,
            line.unit_price,
            line.start_date,
            line.end_date,
            line.price_id,
            line.percent_off,
            line.amount_off,
            "OriginalOrderItemId",
            "Product2Id",
            *self._mapping.metadata.item.values(),
            *(f"Order.{column}" for column in self._order_columns()),
        ]

    def _price_columns(self) -> list[str]:
        entry, product = self._mapping.price_book_entry, self._mapping.product
        return [
            "Id",
            "Product2Id",
            entry.unit_price,
            entry.price_id,
            entry.interval,
            entry.interval_count,
            *self._adopted("PricebookEntry"),
            *self._mapping.metadata.price.values(),
            *(f"Product2.{column}" for column in ("Id", product.name, product.description, product.product_id)),
            *(f"Product2.{column}" for column in self._adopted("Product2")),
            *(f"Product2.{column}" for column in self._mapping.metadata.product.values()),
            *(["CurrencyIsoCode"] if self._org.shape.currencies else []),
        ]

    def _lines(self, condition: str) -> str:
        columns = ", ".join(unique(self._line_columns()))
        return f"SELECT {columns} FROM OrderItem WHERE {condition} ORDER BY Id"  # noqa: S608 (SOQL)

    def _prices(self, condition: str) -> str:
        columns = ", ".join(unique(self._price_columns()))
        products = f"SELECT Product2Id FROM OrderItem WHERE {condition}"  # noqa: S608 (SOQL)
        where = f"Pricebook2.IsStandard = true AND IsActive = true AND Product2Id IN ({products})"
        return f"SELECT {columns} FROM PricebookEntry WHERE {where} ORDER BY Id"  # noqa: S608 (SOQL)

    def _state(self, answers: _Answers, supposing: datetime | None) -> ContractState:
        record = answers.order
        contract = record["Contract"] if record["ContractId"] else None
        if record["ContractId"] and contract is None:
            message = f"Contract {record['ContractId']} cannot be read; let the integration user see all Contracts"
            raise ConfigurationError(message, code=NOT_VISIBLE)
        copied = tuple(self._copied(record, answers.prices))
        names = self._mapping.contract if contract else self._mapping.order
        holder = contract or record
        entries = {(price["Product2Id"], price.get("CurrencyIsoCode")): price for price in answers.prices}
        orders: dict[str, dict[str, Any]] = {}
        for line in answers.lines:
            order = orders.setdefault(line["Order"]["Id"], {**line["Order"], "OrderItems": []})
            entry = entries.get((line["Product2Id"], order.get("CurrencyIsoCode")))
            order["OrderItems"].append({**line, "PricebookEntry": entry})
        activated = {id_: order for id_, order in orders.items() if order["StatusCode"] == _ACTIVATED}
        if supposing is not None and record["Id"] in orders.keys() - activated.keys():
            activated[record["Id"]] = {**orders[record["Id"]], "ActivatedDate": supposing.isoformat()}
        read = read_orders([*activated.values()], self._policies, self._mapping)
        told = text_at(contract, self._mapping.contract.stripe_account) if contract else None
        states = {id_: self._order_state(order) for id_, order in activated.items()}
        return ContractState(
            id=record["ContractId"] or record["Id"],
            has_contract=contract is not None,
            order=self._order_state(record),
            account=self._account(record, self._email(record, read, activated)),
            schedule_id=holder[names.schedule_id] or None,
            subscription_id=holder[names.subscription_id] or None,
            orders=tuple([replace(order, stripe_account=order.stripe_account or told) for order in read]),
            states=states,
            drafts=tuple(self._drafts(order for id_, order in orders.items() if id_ not in activated)),
            named=dict(self._named(contract, [states[order.id] for order in sorted(read, key=lambda order: order.age)])),
            copied=copied,
        )

    def _named(self, contract: Mapping[str, Any] | None, orders: Iterable[OrderState]) -> Iterator[tuple[str, str]]:
        """The newest order's word last; where an id is named twice, the contract's own counts."""
        for order in orders:
            if order.adopted and order.adopted.startswith(_BILLS):
                yield order.adopted, f"order {order.number}"
        found = first_text(contract, self._adopted("Contract")) if contract else None
        if found and found[1].startswith(_BILLS):
            yield found[1], f"{found[0]} of the contract"

    def _copied(self, order: dict[str, Any], prices: Iterable[dict[str, Any]]) -> Iterator[Update]:
        """Fill our own fields in the records that were read from those of another product, and say how to do so for good."""
        names = self._mapping
        records = [("Account", order["Account"], names.account.customer_id)] if order["Account"] else []
        products: dict[str, Any] = {}
        for price in prices:
            records.append(("PricebookEntry", price, names.price_book_entry.price_id))
            products[price["Product2"]["Id"]] = price["Product2"]
            records.append(("Product2", price["Product2"], names.product.product_id))
        for kind, record, own in records:
            found = None if text_at(record, own) else first_text(record, self._adopted(kind))
            if found:
                record[own] = found[1]
                if kind != "Product2" or record is products[record["Id"]]:
                    yield Update(kind, record["Id"], {own: found[1]})

    def _drafts(self, records: Iterable[Mapping[str, Any]]) -> Iterator[Draft]:
        """A draft need not be complete; without a date it comes before nothing."""
        for record in records:
            if effective := record[self._mapping.order.effective_date]:
                lines = tuple([line["Id"] for line in record["OrderItems"]])
                names = self._mapping.order_item.end_date, self._mapping.order.end_date
                ends = [line[names[0]] or record[names[1]] for line in record["OrderItems"]]
                end = None if None in ends else date.fromisoformat(max(ends)[:10])
                yield Draft(record["Id"], record["OrderNumber"], date.fromisoformat(effective[:10]), lines, end)

    def _order_state(self, record: Mapping[str, Any]) -> OrderState:
        names = self._mapping.order
        return OrderState(
            id=record["Id"],
            number=record["OrderNumber"],
            activated=record["StatusCode"] == _ACTIVATED,
            schedule_id=record[names.schedule_id] or None,
            subscription_id=record[names.subscription_id] or None,
            sync_status=record[names.sync_status],
            metadata=metadata_at(record, self._mapping.metadata.schedule),
            adopted=(first_text(record, self._adopted("Order")) or (None, None))[1],
        )

    def _email(self, record: Mapping[str, Any], read: Iterable[Order], activated: Mapping[str, Any]) -> str | None:
        """Where the contract's invoices go: as the newest activated order says that does, else the one asked for."""
        path = self._mapping.order.email
        stated = [order for order in read if text_at(activated[order.id], path)]
        newest = max(stated, key=lambda order: order.age, default=None)
        return text_at(activated[newest.id] if newest else record, path)

    def _account(self, record: Mapping[str, Any], email: str | None) -> Account | None:
        if record["Account"] is None:
            return None
        return read_account(record["Account"], self._mapping, email=email, adopted=self._adopted("Account"))
