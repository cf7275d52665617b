"""Whether an org has what the mapping names, and lets the integration user do what the flows do. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import batched
from typing import Any
from urllib.parse import quote

from orderphase.diagnosis import ACCOUNT_FLOWS, CATALOGUE_FLOWS, FLOWS, ORDER_FLOWS, Diagnosis, Uses
from orderphase.errors import ConfigurationError, OrderphaseError
from orderphase.mapping import FieldMapping
from orderphase.salesforce.client import API_VERSION, SalesforceClient
from orderphase.salesforce.shape import Shape

_BATCH_SIZE = 25
"""Salesforce: a batch takes 25 requests."""

_MULTIPLE_CHOICES = 300

_TEXT = frozenset({"string", "textarea", "picklist", "combobox", "phone", "url", "email"})
_NUMBER = frozenset({"int", "long", "double", "currency", "percent"})
_FLAG = frozenset({"boolean"})
_LOOKUP = frozenset({"reference"})
_MOMENT = frozenset({"date", "datetime"})
_INSTANT = frozenset({"datetime"})
_PLAIN = _TEXT | _NUMBER | _FLAG | _LOOKUP | _MOMENT | {"id", "time", "multipicklist", "encryptedstring"}
_KINDS = {
    _TEXT: "text",
    _NUMBER: "a number",
    _FLAG: "a checkbox",
    _LOOKUP: "a lookup",
    _MOMENT: "a date or a date and time",
    _INSTANT: "a date and time",
    _PLAIN: "a single value",
}

_ID_LENGTH = 255
"""Stripe: an id has at most 255 characters."""

_MESSAGE_LENGTH = 32_000
"""What is written to a message at most."""

_STATUSES = ("Synced", "Failed", "Cancelled", "Skipped")
_INTERVALS = ("day", "week", "month", "year")
_ADDRESS = ("Street", "City", "State", "PostalCode", "Country")

_SCARCE = 10
"""A warning where less than one in so many calls is left for today."""

_QUERIES = {
    "org": "SELECT IsSandbox FROM Organization",
    "books": "SELECT Id FROM Pricebook2 WHERE IsStandard = true",
    "currencies": "SELECT IsoCode FROM CurrencyType WHERE IsActive = true ORDER BY IsoCode",
}

_PERMIT = "in the permission set of the integration user"


@dataclass(frozen=True, slots=True)
class OrgExamination:
    """What was found out. sandbox: whether the org is one; None where it could not be asked."""

    diagnoses: tuple[Diagnosis, ...]
    sandbox: bool | None = None


@dataclass(frozen=True, slots=True)
class _Need:
    """A field that is read, and by some flows written.

    path: from the object, by dots. key: of the mapping, by dots; empty for what cannot be changed there. kinds: the types, as
    described, that fit. flows: which read it; written, created: which change it, and which give it to new records. length: of
    what is written to it at most. values: what is written to it, if that is a choice. unique: no two records may share a value;
    upserted: records are found by it in an upsert.
    """

    object: str
    path: str
    kinds: frozenset[str]
    flows: frozenset[str]
    key: str = ""
    written: frozenset[str] = frozenset()
    created: frozenset[str] = frozenset()
    length: int = 0
    values: tuple[str, ...] = ()
    unique: bool = False
    upserted: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The field, and where it can be given another name."""
        return f"{self.path} ({self.key})" if self.key else self.path


@dataclass(frozen=True, slots=True)
class _Found:
    """Where a path leads: the fields of its name, one for each object that the last lookup may point to; or its obstacle.

    partly: not every such object has the field. unknown: objects to be described first.
    """

    fields: Sequence[Mapping[str, Any]] = ()
    obstacle: str | None = None
    partly: bool = False
    unknown: frozenset[str] = frozenset()


class _Org:
    """An org's descriptions, each fetched once, up to 25 in one request; None for an object that cannot be seen."""

    def __init__(self, client: SalesforceClient) -> None:
        self._client = client
        self._described: dict[str, Mapping[str, Any] | None] = {}

    def get(self, paths: Sequence[str]) -> list[Any]:
        """The answers below `/services/data/vXX.0/`, None for a refusal. Raises classified errors for a whole request."""
        answers: list[Any] = []
        for some in batched(paths, _BATCH_SIZE, strict=False):
            requests = [{"method": "GET", "url": f"v{API_VERSION}/{path}"} for path in some]
            answer = self._client.call("POST", "composite/batch", {"batchRequests": requests})
            answers += [one["result"] if one["statusCode"] < _MULTIPLE_CHOICES else None for one in answer["results"]]
        return answers

    def describe(self, names: Iterable[str], *more: str) -> list[Any]:
        """Fetch descriptions, and answer what else was asked for in the same requests."""
        wanted = list(dict.fromkeys(names))
        answers = self.get([*(f"sobjects/{name}/describe" for name in wanted), *more])
        self._described.update(zip(wanted, answers[: len(wanted)], strict=True))
        return answers[len(wanted) :]

    def __getitem__(self, name: str) -> Mapping[str, Any] | None:
        return self._described[name]

    def follow(self, start: str, path: str) -> _Found:
        """Walk a path. Its names have to be spelt as the org spells them: so they stand in its answers."""
        *relationships, name = path.split(".")
        objects = {start}
        for relationship in relationships:
            if unknown := objects - self._described.keys():
                return _Found(unknown=frozenset(unknown))
            lookups = [found for one in self._fields(objects) if (found := _named(one, "relationshipName", relationship))]
            if not lookups:
                return _Found(obstacle=f"{' and '.join(sorted(objects))} has no lookup {relationship} that can be read")
            if (spelt := lookups[0]["relationshipName"]) != relationship:
                return _Found(obstacle=f"the lookup {relationship} is spelt {spelt}")
            objects = {target for lookup in lookups for target in lookup["referenceTo"]}
        if unknown := objects - self._described.keys():
            return _Found(unknown=frozenset(unknown))
        fields = [found for one in self._fields(objects) if (found := _named(one, "name", name))]
        if not fields:
            return _Found(obstacle="is not there, or cannot be read")
        if (spelt := fields[0]["name"]) != name:
            return _Found(obstacle=f"is spelt {spelt}")
        return _Found(fields, partly=len(fields) < len(objects))

    def _fields(self, objects: Iterable[str]) -> Iterator[Sequence[Mapping[str, Any]]]:
        for name in objects:
            if described := self._described[name]:
                yield described["fields"]


def _named(fields: Iterable[Mapping[str, Any]], key: str, name: str) -> Mapping[str, Any] | None:
    return next((one for one in fields if str(one.get(key) or "").lower() == name.lower()), None)


def examine(client: SalesforceClient, mapping: FieldMapping | None, uses: Uses) -> OrgExamination:
    """Log in and, where there is a mapping, hold it against what the org says about itself: two requests, more for long paths.

    Never raises: an org that cannot be asked is a diagnosis.
    """
    try:
        logged_in = Diagnosis("ok", "Salesforce", f"login to the org {client.org_id} as the user {client.user_id}")
    except OrderphaseError as problem:
        return OrgExamination((_refused(problem, "login"),))
    if mapping is None:
        return OrgExamination((logged_in,))
    try:
        found = _Examiner(_Org(client), mapping, uses).run()
    except OrderphaseError as problem:
        return OrgExamination((logged_in, _refused(problem, "description of its objects")))
    return replace(found, diagnoses=(logged_in, *found.diagnoses))


def _refused(problem: OrderphaseError, what: str) -> Diagnosis:
    if isinstance(problem, ConfigurationError):
        remedy = "check the Salesforce secret, the External Client App, and that its user may use the API"
    else:
        remedy = (
            "check SALESFORCE_LOGIN_URL in the Salesforce secret, and that the org can be reached from here; then run again"
        )
    return Diagnosis("missing", "Salesforce", f"{what}: {problem.message}", remedy)


@dataclass
class _Examiner:
    org: _Org
    mapping: FieldMapping
    uses: Uses
    found: list[Diagnosis] = field(default_factory=list)

    def run(self) -> OrgExamination:
        """Raises classified errors where the org does not answer."""
        mapping = self.mapping
        objects = ["Account", "Contract", "Order", "OrderItem", "Product2", "PricebookEntry", "Pricebook2"]
        mirrors = [mapping.mirrored_product.object, mapping.mirrored_price.object]
        log = [mapping.sync_log.object] if self.uses.records else []
        queries = [f"query?q={quote(query)}" for query in _QUERIES.values()]
        orgs, books, currencies, limits = self.org.describe([*objects, *log, *mirrors], *queries, "limits")
        account = self.org["Account"]
        shape = Shape(frozenset(one["name"].lower() for one in account["fields"]) if account else frozenset())
        needs = list(_needs(mapping, self.uses, shape, [name for name in mirrors if self.org[name]]))
        while unknown := {name for need in needs for name in self.org.follow(need.object, need.path).unknown}:
            self.org.describe(sorted(unknown))
        for name in [*objects, *log, *(mirror for mirror in mirrors if self.org[mirror])]:
            self._object(name, [need for need in needs if need.object == name])
        self._standard_book(books)
        sandbox = orgs["records"][0]["IsSandbox"] if orgs and orgs["records"] else None
        mirrored = [name for name in mirrors if self.org[name]]
        self.found += _discovered(shape, mapping, sandbox, self._currencies(shape, currencies), mirrored)
        self._adopted()
        self._limits(limits)
        return OrgExamination(tuple(self.found), sandbox)

    def _object(self, name: str, needs: Sequence[_Need]) -> None:
        """One object: whether it can be seen and changed, then each field."""
        where, described = f"Salesforce {name}", self.org[name]
        flows = _union(need.flows for need in needs)
        if described is None:
            remedy = f"create it, or allow it to be read {_PERMIT}; Orders may have to be enabled in Setup"
            self._lacking(flows or FLOWS, where, "the object is not there, or cannot be read", remedy)
            return
        before = len(self.found)
        closed = set()
        for ability, doing in (("createable", "created"), ("updateable", "changed")):
            writers = _union(need.created if ability == "createable" else need.written for need in needs)
            if writers and not described.get(ability):
                closed.add(ability)
                self._lacking(writers, where, f"its records cannot be {doing}", f"allow it {_PERMIT}")
        for need in needs:
            self._field(where, need, closed)
        self._required(where, described, needs)
        if before == len(self.found):
            self.found.append(Diagnosis("ok", where, f"{len(needs)} {'field' if len(needs) == 1 else 'fields'}"))

    def _field(self, where: str, need: _Need, closed: set[str]) -> None:
        found = self.org.follow(need.object, need.path)
        other = f", or name another as {need.key} in mapping.toml" if need.key else ""
        if found.obstacle:
            remedy = f"create it or allow it to be read {_PERMIT}{other}"
            if "spelt" in found.obstacle:
                remedy = f"spell it so in mapping.toml ({need.key})"
            self._lacking(need.flows, where, f"{need.name}: {found.obstacle}", remedy)
            return
        if found.partly:
            what = f"{need.name}: not every object that the lookup may point to has it"
            self.found.append(Diagnosis("warning", where, what, f"make sure that Salesforce takes it in a query{other}"))
        for kind in sorted({one["type"] for one in found.fields} - need.kinds):
            what = f"{need.name}: is of the type {kind}, and not {_KINDS[need.kinds]}"
            self._lacking(need.flows, where, what, f"change its type{other}")
        self._written(where, need, found.fields[0], closed, other)

    def _written(self, where: str, need: _Need, described: Mapping[str, Any], closed: set[str], other: str) -> None:
        """What is asked of a field that is written to."""
        for ability, writers in (("createable", need.created), ("updateable", need.written)):
            if writers and not described.get(ability) and ability not in closed:
                doing = "given to a new record" if ability == "createable" else "changed"
                self._lacking(writers, where, f"{need.name}: cannot be {doing}", f"allow it to be edited {_PERMIT}{other}")
        writers = need.written | need.created
        if not writers:
            return
        length = described.get("length") or 0
        if described["type"] in _TEXT and length < need.length:
            what, remedy = f"{need.name}: takes {length} characters of {need.length}", f"make it longer{other}"
            if need.length > _ID_LENGTH:
                self._lacking(writers, where, what, remedy)
            else:  # the ids that Stripe gives now are much shorter
                self.found.append(Diagnosis("warning", where, what, remedy))
        if described.get("restrictedPicklist"):
            offered = {one["value"] for one in described.get("picklistValues", ()) if one.get("active")}
            if absent := [value for value in need.values if value not in offered]:
                what = f"{need.name}: the picklist does not have {', '.join(absent)}"
                self._lacking(writers, where, what, f"add {'it' if len(absent) == 1 else 'them'} to the picklist{other}")
        if need.upserted and not described.get("externalId"):
            self._lacking(need.upserted, where, f"{need.name}: is not an external id", f"tick External ID on the field{other}")
        if need.unique and not described.get("unique"):
            what = f"{need.name}: is not unique, so two records may get the same id"
            self.found.append(Diagnosis("warning", where, what, f"tick Unique on the field{other}"))

    def _required(self, where: str, described: Mapping[str, Any], needs: Sequence[_Need]) -> None:
        """What a new record needs beside what it is given."""
        makers = _union(need.created for need in needs)
        given = {need.path.lower() for need in needs if need.created}
        for one in described["fields"] if makers else ():
            required = one.get("createable") and not (one.get("nillable") or one.get("defaultedOnCreate"))
            if required and one["name"].lower() not in given:
                remedy = "let it be empty or give it a default, or name it in mapping.toml"
                self._lacking(makers, where, f"{one['name']}: a new record needs it, and is not given it", remedy)

    def _standard_book(self, books: Any) -> None:
        if self.org["Pricebook2"] is None:
            return
        if books and books["records"]:
            self.found.append(Diagnosis("ok", "Salesforce Pricebook2", "the standard price book can be read"))
        else:
            remedy = "share the standard price book with the integration user"
            flows = ORDER_FLOWS | CATALOGUE_FLOWS
            self._lacking(flows, "Salesforce Pricebook2", "the standard price book cannot be read", remedy)

    def _currencies(self, shape: Shape, found: Any) -> str:
        if shape.currencies:
            names = ", ".join(one["IsoCode"] for one in found["records"]) if found else ""
            return f"several currencies{f': {names}' if names else ''}"
        # The records of such an org do not name its currency, and nor does anything else that we know of.
        taken = f", taken for {self.uses.currency}: check that DefaultCurrency is right" if self.uses.currency else ""
        return f"one currency{taken}"

    def _adopted(self) -> None:
        """Where another product's ids are, and whether they are looked for. None of these fields has to be there."""
        fields = self.mapping.adopting().adopt.fields
        named = [f"{kind}.{name}" for kind, names in fields.items() for name in names]
        present = [one for one in named if not self.org.follow(*one.split(".")).obstacle]
        when = self.uses.adopting
        if when == "off" or (when == "auto" and not any(one.startswith("Account.") for one in present)):
            if present:
                what = f"AdoptExisting is {when}, and another product has fields here: {', '.join(present)}"
                remedy = "set it to on before OrderActivation, or what that product bills is billed twice (docs/moving-over.md)"
                self.found.append(Diagnosis("warning", "Salesforce", what, remedy))
            return
        if present:
            self.found.append(Diagnosis("ok", "Salesforce", f"another product's ids are read from {', '.join(present)}"))
        if not any(one.startswith(("Contract.", "Order.")) for one in present):
            looked = ", ".join(one for one in named if one.startswith(("Contract.", "Order."))) or "none is named"
            what = f"no field of Contract or Order is there in which another product's schedules are looked for: {looked}"
            remedy = "name them as adopt in mapping.toml; without, what bills already is found by metadata in Stripe alone"
            self.found.append(Diagnosis("warning", "Salesforce", what, remedy))

    def _limits(self, limits: Any) -> None:
        calls = (limits or {}).get("DailyApiRequests")
        if not calls:
            return
        left, most = calls["Remaining"], calls["Max"]
        what = f"{left:,} of {most:,} API calls are left for today"
        if left * _SCARCE < most:
            remedy = "find out what else calls the org so often, or get more calls from Salesforce"
            self.found.append(Diagnosis("warning", "Salesforce", what, remedy))
        else:
            self.found.append(Diagnosis("ok", "Salesforce", what))

    def _lacking(self, flows: frozenset[str], where: str, what: str, remedy: str) -> None:
        self.found.append(self.uses.lacking(flows, where, what, remedy))


def _discovered(
    shape: Shape, mapping: FieldMapping, sandbox: object, currencies: str, mirrors: Sequence[str]
) -> Iterator[Diagnosis]:
    """What is found out about an org, and not assumed."""
    codes = [name for name in (mapping.account.billing_address, mapping.account.shipping_address) if shape.country_codes(name)]
    for told in (
        "whether it is a sandbox is not told" if sandbox is None else "a sandbox" if sandbox else "a production org",
        currencies,
        "person accounts" if shape.person_accounts else "no person accounts",
        f"state and country codes in addresses: {', '.join(dict.fromkeys(codes))}" if codes else "no state and country codes",
        f"Stripe's own package: {', '.join(mirrors)}" if mirrors else "no objects of Stripe's own package",
    ):
        yield Diagnosis("ok", "Salesforce", told)


def _union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*sets)


def _needs(mapping: FieldMapping, uses: Uses, shape: Shape, mirrors: Sequence[str]) -> Iterator[_Need]:
    """Every field that is read or written, object by object."""
    ids = ORDER_FLOWS if uses.write_back != "none" else frozenset[str]()
    told = ORDER_FLOWS if uses.write_back == "full" else frozenset[str]()
    yield from _account_needs(mapping, shape, ids)
    yield from _order_needs(mapping, shape, ids, told)
    yield from _catalogue_needs(mapping, shape, ids)
    yield from _metadata_needs(mapping)
    if uses.records:
        yield from _log_needs(mapping)
    for key, mirror in (("mirrored_product", mapping.mirrored_product), ("mirrored_price", mapping.mirrored_price)):
        if mirror.object in mirrors:
            yield _Need(mirror.object, mirror.stripe_id, _TEXT, CATALOGUE_FLOWS, f"{key}.stripe_id")


def _account_needs(mapping: FieldMapping, shape: Shape, ids: frozenset[str]) -> Iterator[_Need]:
    names, flows = mapping.account, ORDER_FLOWS | ACCOUNT_FLOWS
    customer = _Need("Account", names.customer_id, _TEXT, flows, "account.customer_id", unique=True)
    yield replace(customer, written=ids, length=_ID_LENGTH)
    for key in ("name", "phone", "description", "shipping_phone", "email"):
        if path := getattr(names, key):
            yield _Need("Account", path, _TEXT, flows, f"account.{key}")
    for key in ("billing_address", "shipping_address"):
        for part in _ADDRESS:
            yield _Need("Account", f"{getattr(names, key)}{part}", _TEXT, flows, f"account.{key}")
    yield _Need("Account", "MasterRecordId", _LOOKUP, flows)
    if shape.person_accounts:
        yield _Need("Account", names.person_email, _TEXT, flows, "account.person_email")


def _order_needs(mapping: FieldMapping, shape: Shape, ids: frozenset[str], told: frozenset[str]) -> Iterator[_Need]:
    """Contract, Order and OrderItem. ids, told: the flows that write ids, and what has become of an order."""
    contract, order, line = mapping.contract, mapping.order, mapping.order_item
    for name in ("schedule_id", "subscription_id"):
        yield _id("Contract", getattr(contract, name), f"contract.{name}", ids)
        yield _id("Order", getattr(order, name), f"order.{name}", ids)
    if contract.stripe_account:
        yield _Need("Contract", contract.stripe_account, _TEXT, ORDER_FLOWS, "contract.stripe_account")
    for name, kinds in (
        *(("AccountId", _LOOKUP), ("ContractId", _LOOKUP), ("OrderNumber", _TEXT), ("StatusCode", _TEXT)),
        *(("ActivatedDate", _MOMENT), ("IsReductionOrder", _FLAG)),
        *((("CurrencyIsoCode", _TEXT),) if shape.currencies else ()),
    ):
        yield _Need("Order", name, kinds, ORDER_FLOWS)
    for key, kinds in (
        *(("effective_date", _MOMENT), ("end_date", _MOMENT), ("collection_method", _TEXT), ("days_until_due", _NUMBER)),
        *(("percent_off", _NUMBER), ("amount_off", _NUMBER), ("stripe_account", _TEXT), ("email", _TEXT)),
    ):
        if path := getattr(order, key):
            yield _Need("Order", path, kinds, ORDER_FLOWS, f"order.{key}")
    status = _Need("Order", order.sync_status, _TEXT, ORDER_FLOWS, "order.sync_status", written=told)
    yield replace(status, values=_STATUSES)
    message = _Need("Order", order.sync_message, _TEXT, ORDER_FLOWS, "order.sync_message", written=told)
    yield replace(message, length=_MESSAGE_LENGTH)
    yield _Need("Order", order.synced_at, _INSTANT, ORDER_FLOWS, "order.synced_at", written=told)
    for name in ("OrderId", "Product2Id", "OriginalOrderItemId"):
        yield _Need("OrderItem", name, _LOOKUP, ORDER_FLOWS)
    for key, kinds in (
        *(("quantity", _NUMBER), ("unit_price", _NUMBER), ("start_date", _MOMENT), ("end_date", _MOMENT)),
        *(("price_id", _TEXT), ("percent_off", _NUMBER), ("amount_off", _NUMBER)),
    ):
        yield _Need("OrderItem", getattr(line, key), kinds, ORDER_FLOWS, f"order_item.{key}")


def _catalogue_needs(mapping: FieldMapping, shape: Shape, ids: frozenset[str]) -> Iterator[_Need]:
    """Product2, PricebookEntry and Pricebook2. The catalogue's flows make what is not there."""
    flows, made = ORDER_FLOWS | CATALOGUE_FLOWS, CATALOGUE_FLOWS
    product, entry = mapping.product, mapping.price_book_entry
    found = replace(_id("Product2", product.product_id, "product.product_id", ids | made), flows=flows, created=made)
    yield replace(found, unique=True, upserted=made)
    for key in ("name", "description"):
        yield _Need("Product2", getattr(product, key), _TEXT, flows, f"product.{key}", made, made)
    yield _Need("Product2", "IsActive", _FLAG, flows, written=made, created=made)
    # Salesforce: a new record needs both, whatever the mapping says.
    yield from [_Need("Product2", "Name", _TEXT, made, created=made)] if product.name != "Name" else ()
    yield from [_Need("PricebookEntry", "UnitPrice", _NUMBER, made, created=made)] if entry.unit_price != "UnitPrice" else ()
    found = replace(_id("PricebookEntry", entry.price_id, "price_book_entry.price_id", ids | made), flows=flows, created=made)
    yield replace(found, unique=True)
    for key, kinds, values in (
        ("unit_price", _NUMBER, ()),
        ("interval", _TEXT, _INTERVALS),
        ("interval_count", _NUMBER, ()),
    ):
        need = _Need("PricebookEntry", getattr(entry, key), kinds, flows, f"price_book_entry.{key}", made, made)
        yield replace(need, values=values)
    yield _Need("PricebookEntry", "IsActive", _FLAG, flows, written=made, created=made)
    for name in ("Pricebook2Id", "Product2Id"):
        yield _Need("PricebookEntry", name, _LOOKUP, flows, created=made)
    if shape.currencies:
        yield _Need("PricebookEntry", "CurrencyIsoCode", _TEXT, flows, created=made)
    yield _Need("Pricebook2", "IsStandard", _FLAG, flows)


def _metadata_needs(mapping: FieldMapping) -> Iterator[_Need]:
    flows = ORDER_FLOWS | CATALOGUE_FLOWS
    for kind, start, readers in (
        ("customer", "Account", ORDER_FLOWS | ACCOUNT_FLOWS),
        ("product", "Product2", flows),
        ("price", "PricebookEntry", flows),
        ("schedule", "Order", ORDER_FLOWS),
        ("phase", "Order", ORDER_FLOWS),
        ("item", "OrderItem", ORDER_FLOWS),
    ):
        for key, path in getattr(mapping.metadata, kind).items():
            yield _Need(start, path, _PLAIN, readers, f"metadata.{kind}.{key}")


def _log_needs(mapping: FieldMapping) -> Iterator[_Need]:
    names = mapping.sync_log
    for key, kinds, length in (
        *(("order", _LOOKUP, 0), ("contract", _LOOKUP, 0), ("flow", _TEXT, 0), ("event_id", _TEXT, 0)),
        *(("run_id", _TEXT, 0), ("outcome", _TEXT, 0), ("message", _TEXT, _MESSAGE_LENGTH)),
        *(("schedule_id", _TEXT, _ID_LENGTH), ("subscription_id", _TEXT, _ID_LENGTH)),
        *(("started_at", _INSTANT, 0), ("finished_at", _INSTANT, 0)),
    ):
        need = _Need(names.object, getattr(names, key), kinds, ORDER_FLOWS, f"sync_log.{key}", created=ORDER_FLOWS)
        yield replace(need, length=length)


def _id(kind: str, name: str, key: str, writers: frozenset[str]) -> _Need:
    """A field with an id of Stripe's, of an object that an order's flow reads."""
    return _Need(kind, name, _TEXT, ORDER_FLOWS, key, written=writers, length=_ID_LENGTH)
