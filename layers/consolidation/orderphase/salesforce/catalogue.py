"""Products and the standard price book's entries: what Salesforce has, read in one request, and written in one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from itertools import batched
from typing import Any
from urllib.parse import quote

from orderphase.domain.catalogue import PriceBookEntry, Product
from orderphase.domain.listing import EntryState, ProductState
from orderphase.errors import ConfigurationError, DataError, TransientError
from orderphase.mapping import FieldMapping
from orderphase.salesforce.client import classified
from orderphase.salesforce.fields import first_text, metadata_at, text_at, unique
from orderphase.salesforce.shape import Org
from orderphase.salesforce.writing import COLLECTION_SIZE, Update, call, composite, not_about_data, write_back

PRODUCT, ENTRY = "Product2", "PricebookEntry"

_ERRORS_FROM = 300
_SHORT_ID = 15
_CREATED_NAME = 255
"""Salesforce: the longest name of a Product2."""


@dataclass(frozen=True, slots=True)
class Held:
    """What Salesforce has about a product: its Product2s, their standard entries, and any entry that has a certain price.

    asked: the ids of the product, of the Product2 that it was made of, and of the price, for which this was read.
    """

    book: str
    products: tuple[ProductState, ...]
    entries: tuple[EntryState, ...]
    asked: tuple[str | None, str | None, str | None]

    def by_product_id(self, product_id: str) -> ProductState | None:
        """The Product2 of a Stripe product."""
        return next((each for each in self.products if each.product.product_id == product_id), None)

    def by_id(self, record_id: str | None) -> ProductState | None:
        """A Product2."""
        return next((each for each in self.products if each.product.id == record_id), None)

    def entry(self, record_id: str, currency: str) -> EntryState | None:
        """The standard entry of a Product2 in a currency."""
        return next((each for each in self.entries_of(record_id) if each.entry.currency == currency), None)

    def entries_of(self, record_id: str) -> list[EntryState]:
        """The standard entries of a Product2."""
        return [each for each in self.entries if each.standard and each.entry.product.id == record_id]

    def holder(self, price_id: str) -> EntryState | None:
        """The entry that has a Stripe price, in whichever price book."""
        return next((each for each in self.entries if each.price_id == price_id), None)


@dataclass(frozen=True, slots=True)
class Change[State]:
    """A record as it is, None where it is to be made, and as it is to be."""

    held: State | None
    wanted: State


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one record of many: its id, or why Salesforce refuses it."""

    id: str | None
    refusal: str | None = None


class CatalogueRecords:
    """The products and standard entries of one org. `currency`: of its entries, where the org has one currency only."""

    def __init__(self, org: Org, mapping: FieldMapping, currency: str) -> None:
        self._org = org
        self.client = org.client
        self._mapping = mapping
        self.currency = currency
        # The records whose id in Stripe was read from a field of another product's, and is not in our own yet.
        self._adopted: set[str] = set()

    def sells_in(self, currency: str) -> bool:
        """Whether the org can have prices in a currency, as far as that is known before one is written."""
        return self._org.shape.currencies or currency == self.currency

    # One product

    def read(self, *, product_id: str | None = None, made_of: str | None = None, price_id: str | None = None) -> Held:
        """What there is about a Stripe product, the Product2 that it was made of, and a price: one request."""
        names = self._mapping.product, self._mapping.price_book_entry
        # Without the three characters that check an id, which Salesforce would refuse if they were wrong.
        either: dict[str, str | None] = dict.fromkeys([names[0].product_id, *self._others(PRODUCT)], product_id)
        either["Id"] = made_of and made_of[:_SHORT_ID]
        products = [f"{name} = {_literal(value)}" for name, value in either.items() if value]
        of_product = [f"Product2.{name} = {_literal(value)}" for name, value in either.items() if value]
        standard = [f"(Pricebook2.IsStandard = true AND ({' OR '.join(of_product)}))"] if of_product else []
        fields = [names[1].price_id, *self._others(ENTRY)] if price_id else []
        priced = [f"{name} = {_literal(price_id)}" for name in fields if price_id]
        queries = {
            "book": "SELECT Id FROM Pricebook2 WHERE IsStandard = true",
            "entries": f"{self._select_entries()} WHERE {' OR '.join([*standard, *priced])}",
        }
        if products:
            queries["products"] = f"{self._select_products()} WHERE {' OR '.join(products)}"
        answers = self._ask(queries)
        return Held(
            book=self._book(answers["book"]),
            products=tuple(self._product(each) for each in answers.get("products", ())),
            entries=tuple(self._entry(each) for each in answers["entries"]),
            asked=(product_id, made_of, price_id),
        )

    def has_changed(self, held: Held) -> bool:
        """Whether Salesforce has something else by now: one request."""
        product_id, made_of, price_id = held.asked
        return self.read(product_id=product_id, made_of=made_of, price_id=price_id) != held

    def write(self, book: str, product: Change[ProductState] | None, entries: Sequence[Change[EntryState]] = ()) -> str | None:
        """Write what differs, all or nothing: one request. Answers the id of the first entry. Raises a refusal, classified.

        A Product2 that is to be made is upserted by its Stripe id, so that two who do this at the same time make one.
        """
        creates = (product is not None and product.held is None) or any(entry.held is None for entry in entries)
        if not creates:
            write_back(self.client, self.updates(product, entries))
            return entries[0].wanted.id if entries else None
        parts: dict[str, dict[str, Any]] = {}
        new_id = "@{product.id}"
        if product is not None and (fields := self.product_fields(product)):
            key, product_id = self._mapping.product.product_id, product.wanted.product.product_id or ""
            path = f"{PRODUCT}/{product.held.product.id}" if product.held else f"{PRODUCT}/{key}/{quote(product_id, safe='')}"
            body = fields if product.held else {name: value for name, value in fields.items() if name != key}
            parts["product"] = {"method": "PATCH", "url": path, "body": body}
        for number, entry in enumerate(entries):
            fields = self.entry_fields(entry)
            if entry.held is None:
                named = {"Pricebook2Id": book, "Product2Id": entry.wanted.entry.product.id or new_id}
                parts[f"entry{number}"] = {"method": "POST", "url": ENTRY, "body": {**named, **fields}}
            elif fields:
                parts[f"entry{number}"] = {"method": "PATCH", "url": f"{ENTRY}/{entry.held.id}", "body": fields}
        asked = {name: {**part, "url": f"sobjects/{part['url']}"} for name, part in parts.items()}
        answers = composite(self.client, asked, all_or_none=True)
        for name, part in answers.items():
            _raise_refusal(part, f"write to {parts[name]['url']}")
        if not entries:
            return None
        return entries[0].wanted.id or str(answers["entry0"]["body"]["id"])

    def updates(self, product: Change[ProductState] | None, entries: Iterable[Change[EntryState]] = ()) -> list[Update]:
        """What differs, for records that exist."""
        found = []
        if product is not None and (fields := self.product_fields(product)):
            found.append(Update(PRODUCT, product.wanted.product.id, fields))
        written = [(entry.wanted.id, self.entry_fields(entry)) for entry in entries]
        return [*found, *(Update(ENTRY, record_id, fields) for record_id, fields in written if fields)]

    def product_fields(self, change: Change[ProductState]) -> dict[str, Any]:
        """The fields of a Product2 that differ; all of them where it is to be made."""
        names = self._mapping.product

        def fields(state: ProductState) -> dict[str, Any]:
            product = state.product
            return {
                names.name: product.name,
                names.description: product.description,
                "IsActive": state.active,
                names.product_id: product.product_id,
            }

        if change.held is None:
            return {"Name": change.wanted.product.name[:_CREATED_NAME], **fields(change.wanted)}
        unsaid = {names.product_id: None} if change.held.product.id in self._adopted else {}
        return _differing({**fields(change.held), **unsaid}, fields(change.wanted))

    def entry_fields(self, change: Change[EntryState]) -> dict[str, Any]:
        """The fields of an entry that differ; all but its parents where it is to be made."""
        names = self._mapping.price_book_entry

        def fields(state: EntryState) -> dict[str, Any]:
            entry = state.entry
            return {
                names.unit_price: entry.unit_price,
                names.interval: entry.interval_unit,
                names.interval_count: entry.interval_count,
                names.price_id: entry.price_id,
                "IsActive": state.active,
            }

        if change.held is None:
            currency = {"CurrencyIsoCode": change.wanted.entry.currency} if self._org.shape.currencies else {}
            return _wire({"UnitPrice": change.wanted.entry.unit_price, **fields(change.wanted), **currency})
        unsaid = {names.price_id: None} if change.held.id in self._adopted else {}
        return _wire(_differing({**fields(change.held), **unsaid}, fields(change.wanted)))

    # One record that has changed

    def product(self, record_id: str) -> ProductState | None:
        """A Product2 with the metadata that its product is to carry, or None where it is gone."""
        columns = [*self._product_columns(), *self._mapping.metadata.product.values()]
        record = self._one(f"SELECT {', '.join(unique(columns))} FROM {PRODUCT}", record_id)  # noqa: S608 (SOQL)
        return self._product(record) if record else None

    def entry(self, record_id: str) -> tuple[EntryState, ProductState] | None:
        """A price book entry as a price is made of it, with the mapping's defaults; and its Product2. None where it is gone."""
        extra, defaults = self._mapping.metadata, self._mapping.defaults
        of_product = [*self._product_columns(), *extra.product.values()]
        columns = [*self._entry_columns(), *(f"Product2.{name}" for name in of_product), *extra.price.values()]
        record = self._one(f"SELECT {', '.join(unique(columns))} FROM {ENTRY}", record_id)  # noqa: S608 (SOQL)
        if record is None:
            return None
        product, state = self._product(record["Product2"]), self._entry(record)
        entry = state.entry
        unit, count = entry.interval_unit, entry.interval_count
        if unit is None and defaults.interval is not None:
            unit, count = defaults.interval, None if defaults.interval_count == 1 else Decimal(defaults.interval_count)
        made = replace(
            entry,
            product=product.product,
            interval_unit=unit,
            interval_count=count,
            metadata=metadata_at(record, extra.price),
        )
        return replace(state, entry=made), product

    def mirrored(self, object_name: str, field: str, record_id: str) -> str | None:
        """Stripe's id of a record of Stripe's package; None where the record is gone or has none."""
        record = self._one(f"SELECT Id, {field} FROM {object_name}", record_id)  # noqa: S608 (SOQL)
        return text_at(record, field) if record else None

    # All of them

    def all_products(self) -> list[ProductState]:
        """Every Product2: a request for each 2,000."""
        return [self._product(each) for each in self._each(f"{self._select_products()} ORDER BY Id")]

    def all_entries(self) -> list[EntryState]:
        """Every entry of the standard price book: a request for each 2,000."""
        soql = f"{self._select_entries()} WHERE Pricebook2.IsStandard = true ORDER BY Id"
        return [self._entry(each) for each in self._each(soql)]

    def standard_book(self) -> str:
        """The id of the standard price book."""
        return self._book(self._each("SELECT Id FROM Pricebook2 WHERE IsStandard = true"))

    def save_products(self, changes: Sequence[Change[ProductState]]) -> Iterator[Written]:
        """Save many, 200 in a request, each for itself; those that are to be made are upserted by their Stripe id.

        What became of each, in their order; those that exist first. A fault of the mapping or of permissions is raised.
        """
        held = [{"Id": change.held.product.id, **self.product_fields(change)} for change in changes if change.held]
        yield from self._save("PATCH", "", PRODUCT, held)
        made = [self.product_fields(change) for change in changes if change.held is None]
        yield from self._save("PATCH", f"/{PRODUCT}/{self._mapping.product.product_id}", PRODUCT, made)

    def save_entries(self, book: str, changes: Sequence[Change[EntryState]]) -> Iterator[Written]:
        """The same for entries, whose Product2s exist."""
        held = [{"Id": change.held.id, **self.entry_fields(change)} for change in changes if change.held]
        yield from self._save("PATCH", "", ENTRY, held)
        made = [
            {"Pricebook2Id": book, "Product2Id": change.wanted.entry.product.id, **self.entry_fields(change)}
            for change in changes
            if change.held is None
        ]
        yield from self._save("POST", "", ENTRY, made)

    def _save(self, method: str, path: str, kind: str, records: Sequence[Mapping[str, Any]]) -> Iterator[Written]:
        for some in batched(records, COLLECTION_SIZE, strict=False):
            body = {"allOrNone": False, "records": [{"attributes": {"type": kind}, **record} for record in some]}
            for result in call(self.client, method, f"composite/sobjects{path}", body):
                yield _written(result)

    # Reading

    def _select_products(self) -> str:
        return f"SELECT {', '.join(unique(self._product_columns()))} FROM {PRODUCT}"  # noqa: S608 (SOQL)

    def _select_entries(self) -> str:
        return f"SELECT {', '.join(unique(self._entry_columns()))} FROM {ENTRY}"  # noqa: S608 (SOQL)

    def _product_columns(self) -> list[str]:
        names = self._mapping.product
        return ["Id", names.name, names.description, "IsActive", names.product_id, *self._others(PRODUCT)]

    def _entry_columns(self) -> list[str]:
        names, product = self._mapping.price_book_entry, self._mapping.product
        own = ["Id", "Product2Id", "IsActive", names.unit_price, names.price_id, names.interval, names.interval_count]
        currency = ["CurrencyIsoCode"] if self._org.shape.currencies else []
        of_product = [product.name, product.product_id, *self._others(PRODUCT)]
        parents = ["Pricebook2.IsStandard", *(f"Product2.{name}" for name in of_product)]
        return [*own, *self._others(ENTRY), *currency, *parents]

    @cached_property
    def _theirs(self) -> Mapping[str, tuple[str, ...]]:
        return self._org.adopted(self._mapping.adopt)

    def _others(self, kind: str) -> tuple[str, ...]:
        """The fields of an object in which another product keeps Stripe's ids; asked for with every record."""
        return self._theirs.get(kind, ())

    def _stripe_id(self, kind: str, record: Mapping[str, Any], own: str) -> str | None:
        """The id in Stripe of a record: in our own field, else in another product's."""
        self._adopted.discard(record["Id"])
        if (said := text_at(record, own)) is not None:
            return said
        found = first_text(record, self._others(kind))
        if found:
            self._adopted.add(record["Id"])
        return found[1] if found else None

    def _product(self, record: Mapping[str, Any]) -> ProductState:
        names = self._mapping.product
        product = Product(
            id=record["Id"],
            name=text_at(record, names.name) or "",
            description=text_at(record, names.description),
            product_id=self._stripe_id(PRODUCT, record, names.product_id),
            metadata=metadata_at(record, self._mapping.metadata.product),
        )
        return ProductState(product, record["IsActive"])

    def _entry(self, record: Mapping[str, Any]) -> EntryState:
        names, product = self._mapping.price_book_entry, self._mapping.product
        of_product = first_text(record, [f"Product2.{name}" for name in self._others(PRODUCT)])
        entry = PriceBookEntry(
            id=record["Id"],
            product=Product(
                id=record["Product2Id"],
                name=text_at(record, f"Product2.{product.name}") or "",
                product_id=text_at(record, f"Product2.{product.product_id}") or (of_product[1] if of_product else None),
            ),
            price_id=self._stripe_id(ENTRY, record, names.price_id),
            unit_price=_number(record[names.unit_price]),
            currency=record.get("CurrencyIsoCode") or self.currency,
            interval_unit=record[names.interval] or None,
            interval_count=_number(record[names.interval_count]),
        )
        return EntryState(entry, record["IsActive"], standard=record["Pricebook2"]["IsStandard"])

    def _book(self, records: Sequence[Mapping[str, Any]]) -> str:
        if not records:
            raise ConfigurationError("The standard price book cannot be read; let the integration user see it.")
        return str(records[0]["Id"])

    def _one(self, selected: str, record_id: str) -> Mapping[str, Any] | None:
        if not (record_id.isascii() and record_id.isalnum()):
            raise DataError(f"{record_id!r} is not the id of a record.")
        records = self._each(f"{selected} WHERE Id = '{record_id}'")
        return records[0] if records else None

    def _each(self, soql: str) -> list[dict[str, Any]]:
        return self._pages(call(self.client, "GET", f"query?q={quote(soql, safe='')}"))

    def _pages(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        records = list(body["records"])
        while not body["done"]:
            body = call(self.client, "GET", body["nextRecordsUrl"])
            records += body["records"]
        return records

    def _ask(self, queries: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
        parts = {name: {"method": "GET", "url": f"query?q={quote(soql, safe='')}"} for name, soql in queries.items()}
        answers = composite(self.client, parts, all_or_none=False)
        for part in answers.values():
            try:
                _raise_refusal(part, "read")
            except DataError as problem:
                raise not_about_data(problem) from None
        return {name: self._pages(part["body"]) for name, part in answers.items()}


def _raise_refusal(part: Mapping[str, Any], what: str) -> None:
    """Raise why Salesforce refuses a part of a composite, unless it only was not done because of another part."""
    if part["httpStatusCode"] < _ERRORS_FROM:
        return
    first = part["body"][0] if isinstance(part["body"], list) and part["body"] else None
    problem = first if isinstance(first, dict) else {"message": "several records have this value"}
    if problem.get("errorCode") != "PROCESSING_HALTED":
        message = f"Salesforce refuses to {what}: {problem.get('message')}"
        raise classified(problem.get("errorCode"), message, part["httpStatusCode"])


def _written(result: Mapping[str, Any]) -> Written:
    """One row of a collection's answer. What concerns every row alike is raised."""
    if result["success"]:
        return Written(result["id"])
    error = result["errors"][0]
    problem = classified(error["statusCode"], f"Salesforce refuses to write: {error['message']}")
    if isinstance(problem, ConfigurationError):
        raise problem
    again = " It may be taken next time." if isinstance(problem, TransientError) else ""
    return Written(None, f"{error['message']} ({error['statusCode']}).{again}")


def _differing(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if held[name] != value}


def _wire(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as JSON has them. A float has 15 digits at least, a unit price ten and eight decimals: see `_number`."""
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in fields.items()}


def _number(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _literal(value: str) -> str:
    """A text as SOQL has it. Salesforce: a backslash escapes backslash and quote."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
