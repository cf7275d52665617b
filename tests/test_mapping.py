"""The mapping: what can be named, what a bad file says, that every name is used, and that the document tells all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import boto3
import pytest
from moto import mock_aws

from orderphase.bootstrap import clock as machine
from orderphase.bootstrap import contracts, parts
from orderphase.bootstrap.flow_parts import FlowParts
from orderphase.domain.catalogue import PriceBookEntry, Product, Unit
from orderphase.domain.listing import EntryState, ProductState
from orderphase.errors import ConfigurationError
from orderphase.mapping import FILE, FieldMapping, load_mapping, read_mapping
from orderphase.salesforce.catalogue import CatalogueRecords, Change
from sandbox.build import ROOT
from sandbox.clock import Clock
from sandbox.salesforce_emulator import Field, SalesforceEmulator
from sandbox.serving import Request, Response, Server
from sandbox.stripe_emulator import StripeEmulator
from tests.cli.test_doctor import SETTINGS
from tests.flows.world import ACCOUNT, KEY, NOW, ORG, TABLES
from tests.functions.deployed import store
from tests.invocation import nobodys_account
from tests.mapped import OBJECTS
from tests.org import Org

DOCUMENT = ROOT / "docs" / "mapping.md"

# What everything is called in an org where nothing was changed.
NAMES: dict[str, dict[str, str | None]] = {
    "account": {
        "customer_id": "Stripe_Customer_Id__c",
        "name": "Name",
        "phone": "Phone",
        "description": "Description",
        "billing_address": "Billing",
        "shipping_address": "Shipping",
        "shipping_phone": "Phone",
        "email": None,
        "person_email": "PersonEmail",
    },
    "contract": {
        "schedule_id": "Stripe_Subscription_Schedule_Id__c",
        "subscription_id": "Stripe_Subscription_Id__c",
        "stripe_account": None,
    },
    "order": {
        "effective_date": "EffectiveDate",
        "end_date": "EndDate",
        "schedule_id": "Stripe_Subscription_Schedule_Id__c",
        "subscription_id": "Stripe_Subscription_Id__c",
        "sync_status": "Stripe_Sync_Status__c",
        "sync_message": "Stripe_Sync_Message__c",
        "synced_at": "Stripe_Synced_At__c",
        "collection_method": "Stripe_Collection_Method__c",
        "days_until_due": "Stripe_Days_Until_Due__c",
        "percent_off": "Stripe_Discount_Percent_Off__c",
        "amount_off": "Stripe_Discount_Amount_Off__c",
        "stripe_account": "Stripe_Account__c",
        "email": "BillToContact.Email",
    },
    "order_item": {
        "quantity": "Quantity",
        "unit_price": "UnitPrice",
        "start_date": "ServiceDate",
        "end_date": "EndDate",
        "price_id": "Stripe_Price_Id__c",
        "percent_off": "Stripe_Discount_Percent_Off__c",
        "amount_off": "Stripe_Discount_Amount_Off__c",
    },
    "product": {"product_id": "Stripe_Product_Id__c", "name": "Name", "description": "Description"},
    "price_book_entry": {
        "price_id": "Stripe_Price_Id__c",
        "unit_price": "UnitPrice",
        "interval": "Stripe_Billing_Interval__c",
        "interval_count": "Stripe_Billing_Interval_Count__c",
    },
    "sync_log": {
        "object": "Sync_Log__c",
        "order": "Order__c",
        "contract": "Contract__c",
        "flow": "Flow__c",
        "event_id": "Event_Id__c",
        "run_id": "Run_Id__c",
        "outcome": "Outcome__c",
        "message": "Message__c",
        "schedule_id": "Schedule_Id__c",
        "subscription_id": "Subscription_Id__c",
        "started_at": "Started_At__c",
        "finished_at": "Finished_At__c",
    },
    "mirrored_product": {"object": "stripeGC__Product__c", "stripe_id": "stripeGC__Stripe_Id__c"},
    "mirrored_price": {"object": "stripeGC__Price__c", "stripe_id": "stripeGC__Stripe_Id__c"},
}
KEYS = [(table, key) for table, keys in NAMES.items() for key in keys]
MAY_BE_EMPTY = {
    *(("account", key) for key in ("phone", "description", "shipping_phone", "email")),
    ("contract", "stripe_account"),
    *(("order", key) for key in ("stripe_account", "email")),
}
NEAR = {("order", "email")} | {("account", key) for key in ("name", "phone", "description", "shipping_phone", "email")}
KINDS = ("customer", "product", "price", "schedule", "phase", "item")
DEFAULTS = {"collection_method": "charge_automatically", "days_until_due": None, "interval": None, "interval_count": 1}
CONNECTOR = "stripeConnector__Stripe_ID__c"
ADOPT = {
    "account": ("stripeGC__Customer_Id__c", CONNECTOR),
    "contract": (),
    **dict.fromkeys(("order", "product", "price_book_entry"), (CONNECTOR,)),
    "metadata": ("salesforce_contract_id", "salesforce_order_id"),
}

each = pytest.mark.parametrize(("table", "key"), KEYS, ids=lambda part: part)


def fault(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_mapping(text)
    return caught.value.message


def test_the_defaults() -> None:
    beside = {"defaults": DEFAULTS, "search": {"condition": None}, "adopt": ADOPT, "metadata": {kind: {} for kind in KINDS}}
    assert FieldMapping().model_dump() == NAMES | beside
    assert read_mapping("") == FieldMapping()


# The search


@pytest.mark.parametrize(
    "condition", ["Bill__c = true", "A__c = 'it''s (' OR (B__c = 1 AND C__c != null)", r"A__c = 'o\'clock )'"]
)
def test_a_condition_is_taken_as_it_is(condition: str) -> None:
    assert read_mapping(f"[search]\ncondition = {json.dumps(condition)}").search.condition == condition


@pytest.mark.parametrize(
    "condition",
    ["A__c = 1) OR (B__c = 2", ")(", "(A__c = 1", "A__c = 'open", "A__c = 'one' and '", "A__c\u0000 = 1", "x" * 4001],
)
def test_a_condition_that_would_reach_beyond_itself(condition: str) -> None:
    assert fault(f"[search]\ncondition = {json.dumps(condition)}").startswith("mapping.toml: search.condition: ")


def test_an_empty_condition_is_none() -> None:
    assert read_mapping('[search]\ncondition = ""').search.condition is None


# Names


@each
def test_every_name_can_be_changed_alone(table: str, key: str) -> None:
    name = "acme_Field_1_" if key.endswith("address") else "acme__Field_1__c"
    changed = read_mapping(f'[{table}]\n{key} = "{name}"').model_dump()
    assert changed == FieldMapping().model_dump() | {table: NAMES[table] | {key: name}}


@each
@pytest.mark.parametrize("name", ["End Date", "1End__c", "Id FROM Order", "End__c\\n", "x" * 81, "A..B", ".A", "A.", "A.1B"])
def test_every_wrong_name_is_refused_by_its_key(table: str, key: str, name: str) -> None:
    assert fault(f'[{table}]\n{key} = "{name}"').startswith(f"mapping.toml: {table}.{key}: ")


@each
def test_which_names_may_be_empty(table: str, key: str) -> None:
    text = f'[{table}]\n{key} = ""'
    if (table, key) in MAY_BE_EMPTY:
        assert read_mapping(text).model_dump()[table][key] is None
    else:
        assert fault(text).startswith(f"mapping.toml: {table}.{key}: ")


@each
def test_which_names_may_be_paths(table: str, key: str) -> None:
    parents = 4 if (table, key) in NEAR else 0
    path = ".".join(["Up__r"] * parents + ["Name__c"])
    if not key.endswith("address"):
        assert read_mapping(f'[{table}]\n{key} = "{path}"').model_dump()[table][key] == path
    assert fault(f'[{table}]\n{key} = "Up__r.{path}"').startswith(f"mapping.toml: {table}.{key}: ")


WRITTEN = {
    *(("account", "customer_id"), ("contract", "schedule_id"), ("contract", "subscription_id")),
    *(("order", key) for key in ("schedule_id", "subscription_id", "sync_status", "sync_message", "synced_at")),
    *(("product", key) for key in NAMES["product"]),
    *(("price_book_entry", key) for key in NAMES["price_book_entry"]),
    *(("sync_log", key) for key in NAMES["sync_log"] if key != "object"),
}


@each
def test_what_is_written_has_a_field_of_its_own(table: str, key: str) -> None:
    others = [other for other, name in NAMES[table].items() if other != key and name and "." not in name]
    for other in others:
        text = f'[{table}]\n{key} = "{str(NAMES[table][other]).swapcase()}"'
        if (table, key) in WRITTEN or (table, other) in WRITTEN:
            said = fault(text)
            assert said.startswith(f"mapping.toml: {table}: ")
            assert said.endswith(" name the same field; what is written needs one of its own")
            assert key in said.partition(f"{table}: ")[2].partition(" name the same")[0].split(" and ")
        else:
            read_mapping(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[order", "mapping.toml: is not TOML: "),
        ("[order]\na = 1\na = 2", "mapping.toml: is not TOML: "),
        ("[invoice]", "mapping.toml: invoice: there is no such key"),
        (
            '[order]\ncolection_method = "X__c"',
            "mapping.toml: order.colection_method: there is no such key; did you mean collection_method?",
        ),
        ("order = 1", "mapping.toml: order: is not an object or table"),
        ("[order]\nend_date = 1", "mapping.toml: order.end_date: is not text"),
        ('[order]\nend_date = ""', "mapping.toml: order.end_date: is empty"),
        ('[order]\nend_date = "Account.Name"', "mapping.toml: order.end_date: is not an API name such as EndDate__c"),
        (f'[account]\nbilling_address = "{"x" * 61}"', "mapping.toml: account.billing_address: "),
        ("defaults = 1", "mapping.toml: defaults: "),
        ("[defaults]\ncurrency = 'USD'", "mapping.toml: defaults.currency: "),
        ("[metadata]\ncustomer = 1", "mapping.toml: metadata.customer: "),
        ("[metadata.customers]", "mapping.toml: metadata.customers: there is no such key; did you mean customer?"),
    ],
)
def test_a_malformed_file_names_the_key(text: str, said: str) -> None:
    assert fault(text).startswith(said)


def test_all_faults_are_named_at_once() -> None:
    told = fault('[order]\nend_date = ""\n[product]\nid = "X__c"\n[metadata.item]\nsalesforce_id = "Id"')
    for name in ("order.end_date: ", "product.id: ", "metadata.item.salesforce_id"):
        assert name in told


# Defaults


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('collection_method = "send_invoice"', {"collection_method": "send_invoice"}),
        (
            'collection_method = "send_invoice"\ndays_until_due = 0',
            {"collection_method": "send_invoice", "days_until_due": 0},
        ),
        *((f'interval = "{unit}"', {"interval": unit}) for unit in get_args(Unit)),
        ('interval = "month"\ninterval_count = 3', {"interval": "month", "interval_count": 3}),
    ],
)
def test_a_default_can_be_set(text: str, expected: dict[str, Any]) -> None:
    assert read_mapping(f"[defaults]\n{text}").defaults.model_dump() == DEFAULTS | expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('collection_method = "invoice"', "defaults.collection_method: is none of charge_automatically, send_invoice"),
        ('collection_method = "send_invoice"\ndays_until_due = -1', "defaults.days_until_due: is less than 0"),
        ("days_until_due = 30", "defaults: days_until_due goes with the collection method send_invoice"),
        ('interval = "quarter"', "defaults.interval: is none of day, week, month, year"),
        ('interval = "month"\ninterval_count = 0', "defaults.interval_count: "),
        ('interval = "month"\ninterval_count = 1.5', "defaults.interval_count: is not a whole number"),
        ("interval_count = 3", "defaults: interval_count goes with an interval"),
    ],
)
def test_defaults_that_make_no_sense(text: str, said: str) -> None:
    assert fault(f"[defaults]\n{text}").startswith(f"mapping.toml: {said}")


# Metadata


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_object_can_carry_more(kind: str) -> None:
    text = f'[metadata.{kind}]\nsegment = "Industry"\n"cost centre" = "Owner.Name"'
    expected = {"segment": "Industry", "cost centre": "Owner.Name"}
    assert read_mapping(text).metadata.model_dump() == {each: {} for each in KINDS} | {kind: expected}


@pytest.mark.parametrize("kind", KINDS)
def test_how_far_a_path_of_metadata_may_go(kind: str) -> None:
    # An entry and a line are read themselves, everything else as a parent of them or of an order.
    most = 5 if kind in ("price", "item") else 4
    path = ".".join(["Up__r"] * most + ["Name"])
    read_mapping(f'[metadata.{kind}]\na = "{path}"')
    assert fault(f'[metadata.{kind}]\na = "Up__r.{path}"').startswith(f"mapping.toml: metadata.{kind}.a: ")


@pytest.mark.parametrize("key", ["", "a[b]", "x" * 41, "salesforce_order_id", "orderphase_x"])
def test_a_key_of_metadata_that_cannot_be(key: str) -> None:
    said = fault(f'[metadata.schedule]\n"{key}" = "Name"')
    assert said.startswith(f"mapping.toml: metadata.schedule.{key}".rstrip("."))
    if "_" in key:
        assert "which is ours; choose another key" in said


def test_how_much_metadata_there_may_be() -> None:
    keys = [f'k{number} = "Name"' for number in range(31)]
    assert len(read_mapping("\n".join(["[metadata.item]", *keys[:30]])).metadata.item) == 30
    assert fault("\n".join(["[metadata.item]", *keys])).startswith("mapping.toml: metadata.item: ")


# The file


def test_the_shipped_file_changes_nothing() -> None:
    assert FILE.exists()
    assert load_mapping() == FieldMapping()


def test_a_file_is_read_where_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "fields.toml"
    assert load_mapping(file) == FieldMapping()
    file.write_text('[order_item]\nstart_date = "Début__c"', "utf-8")
    with pytest.raises(ConfigurationError, match=r"^fields\.toml: order_item\.start_date: "):
        load_mapping(file)
    file.write_text('[order_item]\nstart_date = "Start__c"', "utf-8")
    assert load_mapping(file).order_item.start_date == "Start__c"


def test_a_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path) -> None:
    file = tmp_path / "fields.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"^fields\.toml: cannot be read: "):
        load_mapping(file)
    with pytest.raises(ConfigurationError, match="cannot be read: "):
        load_mapping(tmp_path)


# An org in which everything is called otherwise

OTHERWISE = {
    ("account", "billing_address"): "Shipping",
    ("account", "shipping_address"): "Billing",
    ("account", "shipping_phone"): "Mobile__c",
    ("account", "email"): "Mail__c",
    ("account", "person_email"): "PersonEmail",  # the org has no person accounts
    ("contract", "stripe_account"): "Bills__c",
    ("order", "email"): "ShipToContact.Email",
    ("sync_log", "object"): "Diary__c",
}
METADATA = {
    "customer": "Industry",
    "product": "ProductCode",
    "price": "Product2.StockKeepingUnit",
    "schedule": "PoNumber",
    "phase": "OrderReferenceNumber",
    "item": "Description",
}


def otherwise(table: str, key: str) -> str:
    """The other name of something; of a field, what it was called before follows `My_`."""
    return OTHERWISE.get((table, key)) or f"My_{str(NAMES[table][key]).removesuffix('__c')}__c"


CHANGED = FieldMapping.model_validate(
    {table: {key: otherwise(table, key) for key in NAMES[table]} for table in OBJECTS}
    | {"metadata": {kind: {f"{kind}_more": path} for kind, path in METADATA.items()}}
)


ONLY_WRITTEN = {("order", "sync_message"), ("order", "synced_at"), *(("sync_log", key) for key in NAMES["sync_log"])}
MIRRORED = {(table, key) for table in ("mirrored_product", "mirrored_price") for key in NAMES[table]}
ONCE_DISCOVERED = {("account", "person_email")}
READ = {
    "account": "Account.",
    "contract": "Contract.",
    "order": "",
    "order_item": "",
    "product": "Product2.",
    "price_book_entry": "",
}
"""How the fields of a table are reached from the record that is queried."""


class Attentive(SalesforceEmulator):
    """Keeps what it is asked for, paths and bodies."""

    asked = ""

    def handle(self, request: Request) -> Response:
        self.asked += f" {unquote(request.target)} {unquote(request.body.decode())}"
        return super().handle(request)


@dataclass
class Renamed(Org):
    """An org with both systems at hand, in which whatever the mapping can rename has another name, beside its old one."""

    stripe: StripeEmulator

    def only(self, kind: str) -> dict[str, Any]:
        """The one object of its kind in Stripe."""
        (found,) = self.stripe.objects(ACCOUNT, kind)
        return found


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Renamed]:
    nobodys_account(monkeypatch, "eu-west-1")
    for name, value in (SETTINGS | {"ORDERPHASE_SYNC_LOG_RECORDS": "on"}).items():
        monkeypatch.setenv(name, value)
    clock = Clock(NOW, frozen=True)
    org = Attentive(clock, client_id="client", client_secret="secret", org_id=ORG)
    stripe = StripeEmulator(clock, {KEY: ACCOUNT})
    rename(org)
    monkeypatch.setattr(machine, "now", clock.now)
    monkeypatch.setattr(parts, "load_mapping", lambda: CHANGED)
    with mock_aws(), Server(org) as first, Server(stripe) as second:
        names = ("SALESFORCE_LOGIN_URL", "SALESFORCE_CLIENT_ID", "SALESFORCE_CLIENT_SECRET")
        store("salesforce", dict(zip(names, (first.url, "client", "secret"), strict=True)))
        store("stripe", {"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": second.url})
        catalogue = {
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        }
        for name, keys in ({"catalogue": catalogue} | TABLES).items():
            boto3.client("dynamodb").create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **keys)
        yield Renamed(org, stripe)


def rename(org: SalesforceEmulator) -> None:
    """Give the org the fields that `CHANGED` names, of the kind that they have by default."""
    schema = org._schema
    log = []
    for table, key in KEYS:
        if (table, key) in MIRRORED | ONCE_DISCOVERED or (name := otherwise(table, key)) in ("Shipping", "Billing"):
            continue
        if (table, key) in (("order", "email"), ("sync_log", "object")):
            continue
        before = schema[OBJECTS[table]].field(NAMES[table][key] or "") or Field(name, "string", length=255)
        access = "CUN" if before.access == "CU" else before.access
        field = replace(before, name=name, access=access, default=None, children="")
        if table == "sync_log":
            log.append(field)
        else:
            org.add_field(OBJECTS[table], field)
    org.add_object("Diary__c", log)


def sold(here: Renamed) -> tuple[str, str, str, str]:
    """A contract in fields of other names: its account, entry, contract and activated order."""
    fields: dict[str, Any] = {
        "Name": "Wrong",
        "My_Name__c": "Right",
        "My_Phone__c": "1",
        "Mobile__c": "2",
        "My_Description__c": "Theirs",
        "BillingStreet": "Dock 1",
        "BillingCountry": "FR",
        "ShippingStreet": "Main St 1",
        "ShippingCountry": "DE",
        "Mail__c": "account@example.com",
        "Industry": "Mining",
    }
    account = here.account(**fields)
    fields = {"My_UnitPrice__c": 10, "My_Stripe_Billing_Interval__c": "month", "My_Stripe_Billing_Interval_Count__c": 3}
    entry = here.entry(99, None, **fields)
    product = here.record("PricebookEntry", entry)["Product2Id"]
    fields = {"My_Name__c": "Seat", "My_Description__c": "A seat", "ProductCode": "S-1", "StockKeepingUnit": "SKU"}
    here.salesforce.update("Product2", product, fields)
    contact = here.salesforce.create("Contact", {"LastName": "Roe", "AccountId": account, "Email": "order@example.com"})
    contract = here.contract(account)
    line = {
        "PricebookEntryId": entry,
        "Quantity": 9,
        "UnitPrice": 99,
        "My_Quantity__c": 2,
        "My_UnitPrice__c": 10,
        "Description": "Line",
        "My_ServiceDate__c": "2027-01-01",
        "My_EndDate__c": "2028-01-01",
        "My_Stripe_Discount_Percent_Off__c": 20,
    }
    fields = {
        "My_EffectiveDate__c": "2026-12-15",
        "My_Stripe_Collection_Method__c": "send_invoice",
        "My_Stripe_Account__c": "default",
        "My_Stripe_Days_Until_Due__c": 14,
        "My_Stripe_Discount_Amount_Off__c": 3,
        "ShipToContactId": contact,
        "PoNumber": "PO-1",
        "OrderReferenceNumber": "R-1",
    }
    order = here.order(account, contract, line, **fields)
    return account, entry, contract, order


def activate(order: str) -> None:
    report = contracts.order_activation(SETTINGS | {"ORDERPHASE_SYNC_LOG_RECORDS": "on"}).run(
        order, event_id="event-1", org_id=ORG
    )
    assert report.outcome == "synced", report.message


def test_every_name_is_in_one_of_the_lists() -> None:
    # A new name has to be read, or written, in the tests below; here it is seen that none is forgotten.
    assert {key for key in KEYS if key[0] not in READ} == MIRRORED | {key for key in KEYS if key[0] == "sync_log"}
    assert {*FieldMapping.model_fields} == {*NAMES, "defaults", "search", "adopt", "metadata"}


def test_every_name_that_is_read_is_asked_for_by_its_other_name(here: Renamed) -> None:
    _, _, _, order = sold(here)
    assert isinstance(here.salesforce, Attentive)
    activate(order)
    asked = set(re.findall(r"[\w.]+", here.salesforce.asked))
    for table, key in KEYS:
        if (table, key) in ONLY_WRITTEN | MIRRORED | ONCE_DISCOVERED:
            continue
        parts = ("Street", "City", "State", "PostalCode", "Country") if key.endswith("address") else ("",)
        names = {f"{READ[table]}{otherwise(table, key)}{part}" for part in parts}
        assert names <= asked, (table, key)
    # And by no other.
    kept = {"Account.BillingStreet", "Account.ShippingStreet"}
    for table, prefix in READ.items():
        before = {f"{prefix}{name}" for name in NAMES[table].values() if name and name.endswith("__c")}
        assert not before & asked - kept


def test_what_is_read_by_other_names_gets_to_stripe(here: Renamed) -> None:
    _, _, _, order = sold(here)
    activate(order)
    customer, product, price = here.only("customer"), here.only("product"), here.only("price")
    assert (customer["name"], customer["phone"], customer["description"]) == ("Right", "1", "Theirs")
    assert (customer["email"], customer["address"]["line1"]) == ("order@example.com", "Main St 1")
    assert (customer["shipping"]["address"]["line1"], customer["shipping"]["phone"]) == ("Dock 1", "2")
    assert (product["name"], product["description"]) == ("Seat", "A seat")
    assert (price["unit_amount"], price["recurring"]["interval"], price["recurring"]["interval_count"]) == (1000, "month", 3)
    schedule = here.only("subscription_schedule")
    (phase,) = schedule["phases"]
    (item,) = phase["items"]
    day = 86_400
    assert phase["start_date"] // day * day == phase["start_date"] == 1_798_761_600  # 2027-01-01
    assert phase["end_date"] == 1_830_297_600  # 2028-01-01
    assert (item["quantity"], item["price"]) == (2, price["id"])
    assert (phase["collection_method"], phase["invoice_settings"]["days_until_due"]) == ("send_invoice", 14)
    coupons = {one["id"]: one for one in here.stripe.objects(ACCOUNT, "coupon")}
    assert coupons[phase["discounts"][0]["coupon"]]["amount_off"] == 300
    assert coupons[item["discounts"][0]["coupon"]]["percent_off"] == 20
    more = {"customer": "Mining", "product": "S-1", "price": "SKU", "schedule": "PO-1", "phase": "R-1", "item": "Line"}
    carriers = {"customer": customer, "product": product, "price": price, "schedule": schedule, "phase": phase, "item": item}
    assert {kind: carriers[kind]["metadata"][f"{kind}_more"] for kind in KINDS} == more


def test_what_is_written_by_other_names_gets_to_salesforce(here: Renamed) -> None:
    account, entry, contract, order = sold(here)
    activate(order)
    schedule = here.only("subscription_schedule")
    ids: dict[str, Any] = {"My_Stripe_Subscription_Schedule_Id__c": schedule["id"]}
    product = here.record("PricebookEntry", entry)["Product2Id"]
    written: list[tuple[str, str, dict[str, Any]]] = [
        ("Account", account, {"My_Stripe_Customer_Id__c": here.only("customer")["id"]}),
        ("Contract", contract, ids),
        ("Order", order, ids | {"My_Stripe_Sync_Status__c": "Synced"}),
        ("Product2", product, {"My_Stripe_Product_Id__c": here.only("product")["id"]}),
        ("PricebookEntry", entry, {"My_Stripe_Price_Id__c": here.only("price")["id"]}),
    ]
    for kind, record_id, fields in written:
        found = here.record(kind, record_id)
        assert {name: found[name] for name in fields} == fields
        assert [name for name, value in found.items() if name.startswith("Stripe_") and value not in (None, False)] == []
    assert here.record("Order", order)["My_Stripe_Synced_At__c"] is not None
    (told,) = here.salesforce.query("SELECT Id FROM Diary__c")
    record = here.record("Diary__c", told["Id"])
    expected = {"Order": order, "Contract": contract, "Flow": "order_activation", "Event_Id": "event-1", "Outcome": "synced"}
    assert {key: record[f"My_{key}__c"] for key in expected} == expected
    assert record["My_Schedule_Id__c"] == schedule["id"]
    assert all(record[f"My_{key}__c"] for key in ("Run_Id", "Started_At", "Finished_At"))
    assert here.salesforce.query("SELECT Id FROM Sync_Log__c") == []


def test_what_is_wrong_gets_to_salesforce_by_its_other_name(here: Renamed) -> None:
    account, entry, contract, _ = sold(here)
    line = {"PricebookEntryId": entry, "Quantity": 1, "UnitPrice": 99, "My_Quantity__c": 1.5, "My_UnitPrice__c": 10}
    faulty = here.order(account, contract, line, My_EffectiveDate__c="2026-12-15")
    contracts.order_activation(SETTINGS).run(faulty, event_id="event-2", org_id=ORG)
    found = here.record("Order", faulty)
    assert found["My_Stripe_Sync_Status__c"] == "Failed"
    assert "1.5" in found["My_Stripe_Sync_Message__c"]


def test_the_catalogue_is_written_by_its_other_names(here: Renamed) -> None:
    records = CatalogueRecords(FlowParts(SETTINGS).org, CHANGED, "USD")
    product = Product(id="", name="Seat", description="A seat", product_id="prod_1")
    entry = PriceBookEntry(
        id="",
        product=product,
        price_id="price_1",
        unit_price=Decimal(12),
        currency="USD",
        interval_unit="month",
        interval_count=Decimal(3),
    )
    wanted = EntryState(entry, True, standard=True)
    record = records.write(here.book, Change(None, ProductState(product, True)), [Change(None, wanted)])
    found = here.record("PricebookEntry", str(record))
    assert {name: found[name] for name in ("My_UnitPrice__c", "My_Stripe_Price_Id__c", "My_Stripe_Billing_Interval__c")} == {
        "My_UnitPrice__c": 12,
        "My_Stripe_Price_Id__c": "price_1",
        "My_Stripe_Billing_Interval__c": "month",
    }
    assert found["My_Stripe_Billing_Interval_Count__c"] == 3
    made = here.record("Product2", found["Product2Id"])
    assert (made["My_Name__c"], made["My_Description__c"], made["My_Stripe_Product_Id__c"]) == ("Seat", "A seat", "prod_1")
    held = records.read(product_id="prod_1")
    assert held.by_product_id("prod_1") == ProductState(replace(product, id=found["Product2Id"]), True)


# The document


def rows(heading: str) -> Iterator[list[str]]:
    section = DOCUMENT.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    for row in [line for line in section.splitlines() if line.startswith("| ")][2:]:
        yield [cell.strip().replace("`", "") for cell in row.strip("|").split("|")]


def shown(value: object) -> str:
    return "(empty)" if value is None else str(value)


def test_every_name_is_in_the_document_with_its_default() -> None:
    listed = list(rows("Tables"))
    assert [(table, key, default) for table, key, default, _, _ in listed] == [
        (table, key, shown(default)) for table, keys in NAMES.items() for key, default in keys.items()
    ]
    said = {(table, key): meaning for table, key, _, _, meaning in listed}
    made = {(table, key) for table, key, _, kind, _ in listed if kind}
    custom = {(table, key) for table, key in KEYS if (NAMES[table][key] or "").endswith("__c")}
    assert made == {(table, key) for table, key in custom if not table.startswith("mirrored")}
    assert {key for key, meaning in said.items() if "may be empty" in meaning} == MAY_BE_EMPTY
    assert {key for key, meaning in said.items() if "a path" in meaning} == NEAR
    written = {key for key, meaning in said.items() if "; written" in meaning}
    assert written == {key for key in WRITTEN if key[0] != "sync_log"}


def test_the_defaults_are_in_the_document() -> None:
    assert {key: default for key, default, _ in rows("Defaults")} == {key: shown(value) for key, value in DEFAULTS.items()}


def test_what_is_adopted_is_in_the_document() -> None:
    def shown_list(value: tuple[str, ...]) -> str:
        return ", ".join(value) if value else "(empty)"

    assert {key: default for key, default, _ in rows("Adopt")} == {key: shown_list(value) for key, value in ADOPT.items()}


def test_the_kinds_of_metadata_are_in_the_document() -> None:
    assert [kind.removeprefix("metadata.") for kind, *_ in rows("Metadata")] == [*KINDS]


def test_the_example_of_the_document_is_one() -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    read = read_mapping(example)
    assert read.order.email is None
    assert read.account.email == "Billing_Email__c"
    expected = DEFAULTS | {"collection_method": "send_invoice", "days_until_due": 30, "interval": "month"}
    assert read.defaults.model_dump() == expected
    assert (read.metadata.customer, read.metadata.schedule) == (
        {"segment": "Industry", "owner": "Owner.Name"},
        {"purchase_order": "PoNumber"},
    )
