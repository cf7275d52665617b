"""The border: a snapshot is read exactly, or every malformed field is named."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orderphase.domain.calendar import iso
from orderphase.domain.cancellation import CancellationRequest
from orderphase.domain.catalogue import PriceBookEntry, Product
from orderphase.domain.consolidation import consolidate
from orderphase.domain.policies import Policies
from orderphase.errors import DataError
from orderphase.mapping import AccountFields, FieldMapping, OrderFields, OrderItemFields, PriceBookEntryFields, ProductFields
from orderphase.salesforce.snapshot import Snapshot, read_orders, read_situated, read_snapshot

MAPPING = FieldMapping()


def line(**fields: Any) -> dict[str, Any]:
    return {
        "Id": "802A",
        "Quantity": 1,
        "ServiceDate": "2025-01-01",
        "EndDate": "2026-01-01",
        "Stripe_Price_Id__c": "p",
    } | fields


def order(*lines: Any, **fields: Any) -> dict[str, Any]:
    return {
        "Id": "801A",
        "OrderNumber": "00000101",
        "EffectiveDate": "2025-01-01",
        "OrderItems": list(lines) or [line()],
    } | fields


def entry(**fields: Any) -> dict[str, Any]:
    return {"Id": "01uA", "Product2": {"Id": "01tA", "Name": "Seat"}, "Stripe_Billing_Interval__c": "month"} | fields


def snapshot(*orders: Any, **fields: Any) -> str:
    return json.dumps({"orders": list(orders) or [order()]} | fields)


def fault(text: str | bytes, mapping: FieldMapping = MAPPING) -> str:
    with pytest.raises(DataError) as caught:
        read_snapshot(text, mapping)
    return caught.value.message


def one_line(text: str, mapping: FieldMapping = MAPPING) -> Any:
    (read,) = read_snapshot(text, mapping).orders
    (only,) = read.lines
    return only


def mapped(**fields: Any) -> FieldMapping:
    """A mapping as it is read from its file."""
    return FieldMapping.model_validate(fields)


# ---- what is read -----------------------------------------------------------------------------------------------------


def test_a_whole_snapshot() -> None:
    lines = line(
        Quantity=2.5,
        UnitPrice=10.10,
        Stripe_Discount_Percent_Off__c=12.5,
        Stripe_Discount_Amount_Off__c=5,
        OriginalOrderItemId="802Z",
        PricebookEntry=entry(
            UnitPrice=10.1,
            CurrencyIsoCode="usd",
            Stripe_Price_Id__c="price_1",
            Stripe_Billing_Interval_Count__c=3,
            Product2={"Id": "01tA", "Name": "Seat", "Description": "A seat", "Stripe_Product_Id__c": "prod_1"},
        ),
    )
    head = order(
        lines,
        ActivatedDate="2025-01-01T09:00:00.000+0000",
        CurrencyIsoCode="usd",
        IsReductionOrder=True,
        Stripe_Collection_Method__c="send_invoice",
        Stripe_Days_Until_Due__c=30,
        Stripe_Discount_Percent_Off__c=10,
        Stripe_Discount_Amount_Off__c=1.25,
        Unknown__c={"ignored": True},
    )
    policies = {
        "quantity_conflict": "sum",
        "end_dates": "inclusive",
        "time_zone": "America/New_York",
        "billing_mode": "classic",
    }
    read = read_snapshot(snapshot(head, now="2025-03-01T00:00:00Z", contract={"Id": "800A"}, policies=policies), MAPPING)

    assert read.contract_id == "800A"
    assert read.now == datetime(2025, 3, 1, tzinfo=UTC)
    assert read.policies == Policies("sum", "inclusive", "America/New_York", billing_mode="classic")
    (first,) = read.orders
    assert (first.id, first.number, first.effective) == ("801A", "00000101", date(2025, 1, 1))
    assert first.activated == datetime(2025, 1, 1, 9, tzinfo=UTC)
    assert (first.currency, first.is_reduction, first.collection_method) == ("USD", True, "send_invoice")
    assert (first.days_until_due, first.percent_off, first.amount_off) == (Decimal(30), Decimal(10), Decimal("1.25"))
    (only,) = first.lines
    assert (iso(only.start), iso(only.end)) == ("2025-01-01T05:00:00Z", "2026-01-02T05:00:00Z")
    assert (only.id, only.quantity, only.price_id, only.reduces, only.name) == ("802A", Decimal("2.5"), "p", "802Z", "Seat")
    assert (only.unit_price, only.percent_off, only.amount_off) == (Decimal("10.1"), Decimal("12.5"), Decimal(5))
    product = Product("01tA", "Seat", "A seat", "prod_1")
    assert only.entry == PriceBookEntry("01uA", product, "price_1", Decimal("10.1"), "USD", "month", Decimal(3))


def test_absent_is_null() -> None:
    bare_line: dict[str, Any] = {"Id": "802A", "Quantity": 1}
    bare: dict[str, Any] = {"Id": "801A", "OrderNumber": "1", "EffectiveDate": "2025-01-01", "OrderItems": [bare_line]}
    absent = read_snapshot(json.dumps({"orders": [bare]}), MAPPING)
    names = {field for group in ("order", "order_item") for field in getattr(MAPPING, group).model_dump().values()}
    nulls: dict[str, Any] = dict.fromkeys(
        names | {"CurrencyIsoCode", "IsReductionOrder", "ActivatedDate", "PricebookEntry", "UnitPrice"}
    )
    full = nulls | bare | {"OrderItems": [nulls | bare_line]}
    null = read_snapshot(json.dumps({"orders": [full], "now": None, "policies": None, "contract": None}), MAPPING)
    assert absent == null
    (first,) = absent.orders
    assert (absent.contract_id, absent.now, absent.policies) == (None, None, Policies())
    assert (first.currency, first.is_reduction, first.days_until_due) == (None, False, None)
    assert (first.lines[0].start, first.lines[0].end, first.lines[0].price) == (datetime(2025, 1, 1, tzinfo=UTC), None, None)
    assert read_snapshot('{"orders": [], "policies": {"end_dates": null}}', MAPPING).policies == Policies()
    assert read_snapshot(json.dumps({"orders": [bare | {"OrderItems": None}]}), MAPPING).orders[0].lines == ()


@pytest.mark.parametrize(
    ("order_fields", "line_fields", "start", "end"),
    [
        ({"EndDate": "2025-12-01"}, {}, "2025-01-01", "2026-01-01"),
        ({"EndDate": "2025-12-01"}, {"EndDate": None}, "2025-01-01", "2025-12-01"),
        ({"EndDate": "2025-12-01"}, {"ServiceDate": None}, "2025-01-01", "2026-01-01"),
        ({"EffectiveDate": "2024-06-01"}, {"ServiceDate": None}, "2024-06-01", "2026-01-01"),
        ({"EffectiveDate": "2024-06-01"}, {"ServiceDate": "2025-02-01"}, "2025-02-01", "2026-01-01"),
    ],
)
def test_a_line_takes_its_dates_from_its_order_where_it_has_none(
    order_fields: dict[str, Any], line_fields: dict[str, Any], start: str, end: str
) -> None:
    only = one_line(snapshot(order(line(**line_fields), **order_fields)))
    assert (iso(only.start), iso(only.end)) == (f"{start}T00:00:00Z", f"{end}T00:00:00Z")


@pytest.mark.parametrize("end_dates", ["exclusive", "inclusive"])
def test_a_date_and_time_is_never_moved(end_dates: str) -> None:
    times = line(ServiceDate="2025-01-01T10:00:00.000+0200", EndDate="2026-01-01T10:00:00Z")
    only = one_line(snapshot(order(times), policies={"end_dates": end_dates, "time_zone": "Asia/Kolkata"}))
    assert (iso(only.start), iso(only.end)) == ("2025-01-01T08:00:00Z", "2026-01-01T10:00:00Z")


def test_an_order_may_become_effective_at_a_time() -> None:
    late = order(line(ServiceDate=None), EffectiveDate="2025-01-01T23:00:00Z")
    (read,) = read_snapshot(snapshot(late, policies={"time_zone": "Asia/Kolkata"}), MAPPING).orders
    assert read.effective == date(2025, 1, 2)
    assert iso(read.lines[0].start) == "2025-01-01T23:00:00Z"


@pytest.mark.parametrize("value", ["1700-01-01", "4000-12-31"])
def test_the_first_and_the_last_year(value: str) -> None:
    assert read_snapshot(snapshot(order(EffectiveDate=value)), MAPPING).orders[0].effective.isoformat() == value


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_blank_texts_are_absent(blank: str | None) -> None:
    only = one_line(
        snapshot(order(line(Stripe_Price_Id__c=blank, OriginalOrderItemId=blank), Stripe_Collection_Method__c=blank))
    )
    assert (only.price_id, only.reduces) == (None, None)


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("0.1", "0.1"),
        ("14.285714285714285714", "14.285714285714285714"),
        ("999999999999999", "999999999999999"),
        ("1e14", "1e14"),
        ("0e400000", "0"),
        ("-0.0", "0"),
        ("0.0000000000000000000000000001", "1e-28"),
        ('"2.50"', "2.5"),
    ],
)
def test_numbers_are_read_exactly(number: str, value: str) -> None:
    text = snapshot(order(line(Stripe_Discount_Amount_Off__c="NUMBER"))).replace('"NUMBER"', number)
    assert one_line(text).amount_off == Decimal(value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_bytes_are_read_in_any_encoding_of_json(encoding: str) -> None:
    text = json.dumps({"orders": [order(OrderNumber="Nº 1…")]}, ensure_ascii=False)
    assert read_snapshot(text.encode(encoding), MAPPING).orders[0].number == "Nº 1…"


# ---- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the snapshot is not JSON: Expecting value"),
        ("{", "the snapshot is not JSON: "),
        ('{"orders": [}', "the snapshot is not JSON: "),
        (b"\xff\xfe\xff", "the snapshot is not JSON: "),
        (b"\x80", "the snapshot is not JSON: "),
        ('{"orders": NaN}', "the snapshot is not JSON: NaN is not a number"),
        ('{"orders": [-Infinity]}', "the snapshot is not JSON: -Infinity is not a number"),
        ('{"orders": [1e99999999999999999999]}', "the snapshot is not JSON: 1e99999999999999999999 is not a number"),
        ("[" * 100_000, "the snapshot is not JSON: "),
        ("1" * 5000, "the snapshot is not JSON: "),
        ("null", "the snapshot: is not an object"),
        ("[]", "the snapshot: is not an object"),
        ('"orders"', "the snapshot: is not an object"),
        ("{}", "orders: is missing"),
        ('{"orders": null}', "orders: "),
        ('{"orders": {}}', "orders: "),
        ('{"orders": [], "now": "2025-01-01"}', "now: is a date without a time"),
        ('{"orders": [], "now": "2025-01-01T00:00:00"}', "now: is a time without an offset"),
        ('{"orders": [], "now": 0}', "now: is not a date"),
        ('{"orders": [], "contract": "800"}', "contract: "),
        ('{"orders": [], "contract": {}}', "contract.Id: is missing"),
        ('{"orders": [], "contract": {"Id": ""}}', "contract.Id: "),
        ('{"orders": [], "policies": []}', "policies: "),
        ('{"orders": [], "policies": {"quantity_conflicts": "sum"}}', "policies.quantity_conflicts: "),
        ('{"orders": [], "policies": {"quantity_conflict": "add"}}', "policies.quantity_conflict: "),
        ('{"orders": [], "policies": {"end_dates": true}}', "policies.end_dates: "),
        ('{"orders": [], "policies": {"time_zone": "Mars/Olympus"}}', "policies.time_zone: is not a time zone"),
        ('{"orders": [], "policies": {"time_zone": ""}}', "policies.time_zone: is not a time zone"),
        ('{"orders": [], "policies": {"time_zone": "../UTC"}}', "policies.time_zone: is not a time zone"),
        ('{"orders": [], "policies": {"time_zone": "America"}}', "policies.time_zone: is not a time zone"),
        ('{"orders": [], "policies": {"time_zone": "U\\u0000TC"}}', "policies.time_zone: is not a time zone"),
        ('{"orders": [], "policies": {"time_zone": "\\ud800"}}', "policies.time_zone: "),
        ('{"orders": [1]}', "orders[0]: is not an object"),
        ('{"orders": [null]}', "orders[0]: is not an object"),
    ],
)
def test_a_malformed_whole(text: str | bytes, said: str) -> None:
    assert fault(text).startswith(said)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("Id", None, "is missing"),
        ("Id", "", "is empty"),
        ("Id", 801, "is not text"),
        ("Id", "\ud800", "is not Unicode text"),
        ("OrderNumber", None, "is missing"),
        ("OrderNumber", 101, "is not text"),
        ("EffectiveDate", None, "is missing"),
        ("EffectiveDate", "", "is not a date"),
        ("EffectiveDate", "01/02/2025", "is not a date"),
        ("EffectiveDate", "2025-02-30", "is not a date"),
        ("EffectiveDate", 20250101, "is not a date"),
        ("EffectiveDate", "1699-12-31", "lies outside the years 1700 to 4000"),
        ("EffectiveDate", "4001-01-01", "lies outside the years 1700 to 4000"),
        ("EffectiveDate", "9999-12-31T23:59:59Z", "lies outside the years 1700 to 4000"),
        ("EndDate", "soon", "is not a date"),
        ("EndDate", "2025-01-01T00:00:00", "is a time without an offset"),
        ("EndDate", True, "is not a date"),
        ("ActivatedDate", "2025-01-01", "is a date without a time"),
        ("ActivatedDate", "2025-01-01T25:00:00Z", "is not a date"),
        ("CurrencyIsoCode", "dollars", "is not a currency code"),
        ("CurrencyIsoCode", 840, "is not text"),
        ("IsReductionOrder", "yes", "is neither true nor false"),
        ("IsReductionOrder", 1, "is neither true nor false"),
        ("Stripe_Collection_Method__c", 1, "is not text"),
        ("Stripe_Days_Until_Due__c", True, "is not a number"),
        ("Stripe_Days_Until_Due__c", "thirty", "is not a number"),
        ("Stripe_Discount_Percent_Off__c", "NaN", "is not a finite number"),
        ("Stripe_Discount_Amount_Off__c", [], "is not a number"),
        ("OrderItems", {}, "is not a list"),
        ("OrderItems", "none", "is not a list"),
    ],
)
def test_a_malformed_order(field: str, value: Any, said: str) -> None:
    assert fault(snapshot(order(**{field: value}))).startswith(f"orders[0].{field}: {said}")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("Id", None, "is missing"),
        ("Quantity", None, "is missing"),
        ("Quantity", "many", "is not a number"),
        ("Quantity", False, "is not a number"),
        ("Quantity", 10**15, "is too large"),
        ("Quantity", -(10**15), "is too large"),
        ("Quantity", {}, "is not a number"),
        ("ServiceDate", "2025-13-01", "is not a date"),
        ("EndDate", "2025", "is not a date"),
        ("Stripe_Price_Id__c", ["p"], "is not text"),
        ("UnitPrice", "free", "is not a number"),
        ("Stripe_Discount_Percent_Off__c", True, "is not a number"),
        ("Stripe_Discount_Amount_Off__c", "5 USD", "is not a number"),
        ("OriginalOrderItemId", 802, "is not text"),
        ("PricebookEntry", "01u", "is not an object"),
        ("PricebookEntry", [], "is not an object"),
    ],
)
def test_a_malformed_line(field: str, value: Any, said: str) -> None:
    assert fault(snapshot(order(line(**{field: value})))).startswith(f"orders[0].OrderItems[0].{field}: {said}")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("1e400000", "is too large"),
        ("1e9999999", "is too large"),
        ("1e15", "is too large"),
        ("1e-400000", "has more than 28 digits"),
        ("1e-29", "has more than 28 digits"),
        ("1.00000000000000000000000000001", "has more than 28 digits"),
    ],
)
def test_a_number_out_of_bounds(number: str, said: str) -> None:
    text = snapshot(order(line(Quantity="NUMBER"))).replace('"NUMBER"', number)
    assert fault(text) == f"orders[0].OrderItems[0].Quantity: {said}"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"Id": None}, "Id: is missing"),
        ({"Product2": None}, "Product2: is not an object"),
        ({"Product2": {"Id": "01t"}}, "Product2.Name: is missing"),
        ({"Product2": {"Name": "Seat"}}, "Product2.Id: is missing"),
        (
            {"Stripe_Billing_Interval__c": "fortnight"},
            "Stripe_Billing_Interval__c: is none of day, week, month, year",
        ),
        ({"Stripe_Billing_Interval_Count__c": "two"}, "Stripe_Billing_Interval_Count__c: is not a number"),
        ({"UnitPrice": True}, "UnitPrice: is not a number"),
        ({"CurrencyIsoCode": "$"}, "CurrencyIsoCode: is not a currency code"),
    ],
)
def test_a_malformed_price_book_entry(fields: dict[str, Any], said: str) -> None:
    told = fault(snapshot(order(line(PricebookEntry=entry(**fields)))))
    assert told.startswith(f"orders[0].OrderItems[0].PricebookEntry.{said}")


def test_ids_occur_once() -> None:
    assert fault(snapshot(order(), order(line(Id="802B")))) == "orders[1].Id: occurs twice"
    assert fault(snapshot(order(line(), line()))) == "orders[0].OrderItems[1].Id: occurs twice"
    assert fault(snapshot(order(), order(Id="801B"))) == "orders[1].OrderItems[0].Id: occurs twice"


def test_every_malformed_field_is_named_at_once() -> None:
    bad_line = line(Quantity="many", PricebookEntry={})
    bad_order = order(bad_line, line(Id="802B", EndDate="never"), EffectiveDate=None, OrderNumber=7)
    told = fault(snapshot(bad_order, None, policies={"end_dates": "maybe"}, now="today"))
    for path in (
        "now",
        "policies.end_dates",
        "orders[0].OrderNumber",
        "orders[0].EffectiveDate",
        "orders[0].OrderItems[0].Quantity",
        "orders[0].OrderItems[1].EndDate",
        "orders[1]",
    ):
        assert f"{path}: " in told


def test_a_fault_does_not_repeat_the_value() -> None:
    assert "hunter2" not in fault(snapshot(order(line(Quantity="hunter2", EndDate="hunter2"), CurrencyIsoCode="hunter2")))


def test_records_are_read_without_the_rest_of_a_snapshot() -> None:
    (read,) = read_orders([order()], Policies(end_dates="inclusive"), MAPPING)
    assert iso(read.lines[0].end) == "2026-01-02T00:00:00Z"
    with pytest.raises(DataError, match=r"^orders\[0\]\.Id: is missing$"):
        read_orders([order(Id=None)], Policies(), MAPPING)


# ---- a changed mapping ------------------------------------------------------------------------------------------------

CHANGED = FieldMapping(
    order=OrderFields(
        effective_date="Starts__c",
        end_date="Ends__c",
        collection_method="Method__c",
        days_until_due="Terms__c",
        percent_off="Percent__c",
        amount_off="Amount__c",
    ),
    order_item=OrderItemFields(
        quantity="Seats__c",
        start_date="From__c",
        end_date="Until__c",
        price_id="Price__c",
        percent_off="Percent__c",
        amount_off="Amount__c",
    ),
    product=ProductFields(product_id="Prod__c"),
    price_book_entry=PriceBookEntryFields(price_id="Price__c", interval="Unit__c", interval_count="Every__c"),
)


def changed(order_fields: dict[str, Any], line_fields: dict[str, Any], entry_fields: dict[str, Any]) -> str:
    book = {"Id": "01u", "Product2": {"Id": "01t", "Name": "Seat", "Prod__c": "prod_1"}, "Unit__c": "week"} | entry_fields
    row = {"Id": "802A", "Seats__c": 3, "Price__c": "price_1", "PricebookEntry": book} | line_fields
    return json.dumps(
        {"orders": [{"Id": "801A", "OrderNumber": "1", "Starts__c": "2025-01-01", "OrderItems": [row]} | order_fields]}
    )


def test_fields_are_read_by_their_changed_names() -> None:
    order_fields = {"Ends__c": "2026-01-01", "Method__c": "send_invoice", "Terms__c": 30, "EndDate": "2030-01-01"}
    text = changed(
        order_fields, {"From__c": "2025-02-01", "Amount__c": 5, "Quantity": 9}, {"Price__c": "price_2", "Every__c": 2}
    )
    (read,) = read_snapshot(text, CHANGED).orders
    (only,) = read.lines
    assert (read.collection_method, read.days_until_due) == ("send_invoice", Decimal(30))
    assert (iso(only.start), iso(only.end)) == ("2025-02-01T00:00:00Z", "2026-01-01T00:00:00Z")
    assert (only.quantity, only.price_id, only.amount_off) == (Decimal(3), "price_1", Decimal(5))
    assert only.entry is not None
    assert (only.entry.price_id, str(only.entry.interval), only.entry.product.product_id) == (
        "price_2",
        "every 2 weeks",
        "prod_1",
    )


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        (({"Starts__c": None}, {}, {}), "orders[0].Starts__c"),
        (({"Ends__c": "x"}, {}, {}), "orders[0].Ends__c"),
        (({"Method__c": 1}, {}, {}), "orders[0].Method__c"),
        (({"Terms__c": "x"}, {}, {}), "orders[0].Terms__c"),
        (({"Percent__c": "x"}, {}, {}), "orders[0].Percent__c"),
        (({"Amount__c": "x"}, {}, {}), "orders[0].Amount__c"),
        (({}, {"Seats__c": None}, {}), "orders[0].OrderItems[0].Seats__c"),
        (({}, {"From__c": "x"}, {}), "orders[0].OrderItems[0].From__c"),
        (({}, {"Until__c": "x"}, {}), "orders[0].OrderItems[0].Until__c"),
        (({}, {"Price__c": 1}, {}), "orders[0].OrderItems[0].Price__c"),
        (({}, {}, {"Unit__c": "x"}), "orders[0].OrderItems[0].PricebookEntry.Unit__c"),
        (({}, {}, {"Every__c": "x"}), "orders[0].OrderItems[0].PricebookEntry.Every__c"),
        (
            ({}, {}, {"Product2": {"Id": "01t", "Name": "S", "Prod__c": 1}}),
            "orders[0].OrderItems[0].PricebookEntry.Product2.Prod__c",
        ),
    ],
)
def test_faults_are_named_by_the_changed_names(
    fields: tuple[dict[str, Any], dict[str, Any], dict[str, Any]], path: str
) -> None:
    assert fault(changed(*fields), CHANGED).startswith(f"{path}: ")


# ---- anything at all --------------------------------------------------------------------------------------------------

texts = st.one_of(
    st.text(max_size=8), st.sampled_from(["2025-01-01", "2025-01-01T00:00:00Z", "sum", "UTC", "USD", "1", "month"])
)
numbers = st.one_of(st.integers(-(10**16), 10**16), st.floats(allow_nan=False, allow_infinity=False))
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
KEYS = [
    *(
        "orders",
        "policies",
        "contract",
        "now",
        "OrderItems",
        "PricebookEntry",
        "Product2",
        "Id",
        "OrderNumber",
        "EffectiveDate",
    ),
    *(
        "EndDate",
        "ServiceDate",
        "Quantity",
        "CurrencyIsoCode",
        "time_zone",
        "quantity_conflict",
        "Stripe_Discount_Amount_Off__c",
    ),
]
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.sampled_from(KEYS), texts), inner, max_size=6)
    ),
    max_leaves=20,
)


def read_or_fault(source: str) -> Snapshot | str:
    try:
        return read_snapshot(source, MAPPING)
    except DataError as problem:
        return problem.message


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(anything)
def test_no_json_raises_anything_but_a_data_error(source: Any) -> None:
    assert read_or_fault(json.dumps(source))


changes = st.dictionaries(st.sampled_from([*order(), *line()]), scalars, max_size=2)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(changes, changes)
def test_what_is_read_can_be_consolidated_and_printed(order_fields: dict[str, Any], line_fields: dict[str, Any]) -> None:
    read = read_or_fault(snapshot(order(**({"OrderItems": [line(**line_fields)]} | order_fields))))
    if isinstance(read, str):
        assert "orders[0]." in read
    else:
        assert json.dumps(consolidate(read.orders, read.policies).as_dict(), ensure_ascii=False).encode()


@settings(max_examples=200)
@given(st.binary(max_size=40))
def test_no_bytes_raise_anything_but_a_data_error(source: bytes) -> None:
    with pytest.raises(DataError):
        read_snapshot(source, MAPPING)


# ---- what a plan needs beside it ------------------------------------------------------------------------------------------

NOW = "2025-03-01T01:30:00.9+02:00"


def situated_fault(**fields: Any) -> str:
    with pytest.raises(DataError) as caught:
        read_situated(snapshot(**({"now": NOW} | fields)), MAPPING)
    return caught.value.message


def test_a_snapshot_with_what_a_plan_needs() -> None:
    source = {
        "now": NOW,
        "org_id": "00D",
        "account": {"Id": "001A", "Stripe_Customer_Id__c": "cus_1"},
        "schedule": {"id": "sub_sched_1"},
        "cancellation": {"mode": "on_date", "date": "2025-09-30", "invoice_now": True, "prorate": True},
    }
    read = read_situated(snapshot(**source), MAPPING)
    assert read.snapshot == read_snapshot(snapshot(**source), MAPPING)
    assert read.now == datetime(2025, 2, 28, 23, 30, tzinfo=UTC)
    assert (read.org_id, read.customer_id, read.schedule) == ("00D", "cus_1", {"id": "sub_sched_1"})
    assert read.cancellation == CancellationRequest("on_date", date(2025, 9, 30), invoice_now=True, prorate=True)


@pytest.mark.parametrize(
    "absent",
    [
        {},
        dict.fromkeys(("org_id", "account", "schedule", "cancellation")),
        {"org_id": " ", "account": {}},
        {"account": {"Stripe_Customer_Id__c": ""}},
    ],
)
def test_of_what_a_plan_needs_now_alone_must_be_there(absent: dict[str, Any]) -> None:
    read = read_situated(snapshot(now=NOW, **absent), MAPPING)
    assert (read.org_id, read.customer_id, read.schedule, read.cancellation) == (None, None, None, None)


def test_a_cancellation_is_now_unless_it_says_otherwise() -> None:
    for asked in ({}, {"mode": None, "date": None, "invoice_now": None, "prorate": None}):
        assert read_situated(snapshot(now=NOW, cancellation=asked), MAPPING).cancellation == CancellationRequest()


def test_the_customer_is_in_the_field_that_the_mapping_names() -> None:
    mapping = FieldMapping(account=AccountFields(customer_id="Payer__c"))
    source = snapshot(now=NOW, account={"Payer__c": "cus_2", "Stripe_Customer_Id__c": "cus_1"})
    assert read_situated(source, mapping).customer_id == "cus_2"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"now": None}, "now: is not a date"),
        ({"now": "2025-03-01"}, "now: is a date without a time"),
        ({"account": "cus_1"}, "account: is not an object"),
        ({"account": {"Stripe_Customer_Id__c": 1}}, "account: Stripe_Customer_Id__c is not text"),
        ({"org_id": 1}, "org_id: "),
        ({"org_id": "\ud800"}, "org_id: "),
        ({"account": {"Stripe_Customer_Id__c": "\ud800"}}, "account: "),
        ({"orders": [order(line(Stripe_Price_Id__c="\ud800"))]}, "orders[0].OrderItems[0].Stripe_Price_Id__c: "),
        ({"cancellation": {"mode": "later"}}, "cancellation.mode: "),
        ({"cancellation": {"mode": "on_date"}}, "cancellation.date: is given with the mode on_date, and only with it"),
        ({"cancellation": {"date": "2025-09-30"}}, "cancellation.date: is given with the mode on_date, and only with it"),
        ({"cancellation": {"mode": "on_date", "date": NOW}}, "cancellation.date: is a date and time"),
        ({"cancellation": {"prorate": 1}}, "cancellation.prorate: "),
        ({"cancellation": {"Prorate": True}}, "cancellation.Prorate: "),
    ],
)
def test_what_a_plan_cannot_use_is_named(fields: dict[str, Any], said: str) -> None:
    assert situated_fault(**fields).startswith(said)


def test_every_fault_is_named_at_once() -> None:
    told = situated_fault(account=1, cancellation=1, orders=[order(line(Quantity="many"))])
    assert ("account: " in told, "cancellation: " in told, "orders[0].OrderItems[0].Quantity: " in told) == (True, True, True)


def test_without_a_plan_what_it_needs_is_not_looked_at() -> None:
    assert read_snapshot(snapshot(account=1, cancellation=1, schedule=1, org_id=1), MAPPING).contract_id is None


# ---- what the mapping adds --------------------------------------------------------------------------------------------


def test_prices_are_priced_as_the_snapshot_asks() -> None:
    asked = snapshot(policies={"custom_pricing": "standard", "unit_prices": "per_term"})
    assert read_snapshot(asked, MAPPING).policies == Policies(custom_pricing="standard", unit_prices="per_term")
    for name in ("custom_pricing", "unit_prices"):
        assert fault(snapshot(policies={name: "sometimes"})).startswith(f"policies.{name}: ")


def test_a_field_of_the_companys_own_has_the_price_of_one_interval() -> None:
    mapping = mapped(order_item={"unit_price": "Monthly_Price__c"})
    read = read_snapshot(snapshot(order(line(Monthly_Price__c=5, UnitPrice=60)), policies={"unit_prices": "per_term"}), mapping)
    assert (read.policies.unit_prices, read.orders[0].lines[0].unit_price) == ("per_interval", Decimal(5))


def test_the_amount_of_an_entry_may_have_a_field_of_its_own() -> None:
    mapping = mapped(price_book_entry={"unit_price": "List_Price__c"})
    only = one_line(snapshot(order(line(PricebookEntry=entry(UnitPrice=10, List_Price__c=12)))), mapping)
    assert only.entry.unit_price == 12


@pytest.mark.parametrize(
    ("defaults", "policies"),
    [
        ({}, Policies()),
        ({"collection_method": "send_invoice"}, Policies(collection_method="send_invoice")),
        (
            {"collection_method": "send_invoice", "days_until_due": 30},
            Policies(collection_method="send_invoice", days_until_due=30),
        ),
    ],
)
def test_how_invoices_are_collected_where_no_order_says_so(defaults: dict[str, Any], policies: Policies) -> None:
    read = read_snapshot(snapshot(), mapped(defaults=defaults))
    assert read.policies == policies
    assert (read.orders[0].collection_method, read.orders[0].days_until_due) == (None, None)


@pytest.mark.parametrize(
    ("stated", "interval"),
    [
        ({}, ("year", Decimal(2))),
        ({"Stripe_Billing_Interval_Count__c": 5}, ("year", Decimal(2))),
        ({"Stripe_Billing_Interval__c": " "}, ("year", Decimal(2))),
        ({"Stripe_Billing_Interval__c": "month"}, ("month", None)),
        ({"Stripe_Billing_Interval__c": "month", "Stripe_Billing_Interval_Count__c": 5}, ("month", Decimal(5))),
    ],
)
def test_how_often_is_billed_where_no_entry_says_so(stated: dict[str, Any], interval: tuple[str, Decimal | None]) -> None:
    source = entry() | {"Stripe_Billing_Interval__c": None} | stated
    read = one_line(
        snapshot(order(line(PricebookEntry=source))), mapped(defaults={"interval": "year", "interval_count": 2})
    ).entry
    assert (read.interval_unit, read.interval_count) == interval


def test_without_a_default_an_entry_that_says_nothing_has_no_interval() -> None:
    source = entry() | {"Stripe_Billing_Interval__c": None, "Stripe_Billing_Interval_Count__c": 5}
    assert one_line(snapshot(order(line(PricebookEntry=source)))).entry.interval is None


def test_metadata_is_read_along_the_paths() -> None:
    mapping = mapped(
        metadata={
            "product": {"family": "Family", "owner": "Owner.Name"},
            "price": {"book": "Pricebook2.Name", "units": "Units__c"},
            "phase": {"po": "PoNumber", "industry": "Account.Industry", "urgent": "Urgent__c", "day": "EffectiveDate"},
            "item": {"site": "Site__r.Address__r.City", "gone": "Gone__r.Name", "blank": "Blank__c", "note": "Note__c"},
        }
    )
    product = {"Id": "01tA", "Name": "Seat", "Family": "Software", "Owner": {"Name": "Ada"}}
    sold = line(
        PricebookEntry=entry(Product2=product, Pricebook2={"Name": "Standard"}, Units__c=12.50),
        Site__r={"Address__r": {"City": "Paris"}},
        Gone__r=None,
        Blank__c=" ",
        Note__c="x" * 501,
    )
    (read,) = read_snapshot(
        snapshot(order(sold, PoNumber="4711", Account={"Industry": "Energy"}, Urgent__c=True)), mapping
    ).orders
    assert read.metadata == {"po": "4711", "industry": "Energy", "urgent": "true", "day": "2025-01-01"}
    (only,) = read.lines
    assert only.metadata == {"site": "Paris", "note": "x" * 500}
    assert only.entry is not None
    assert only.entry.metadata == {"book": "Standard", "units": "12.5"}
    assert only.entry.product.metadata == {"family": "Software", "owner": "Ada"}


@pytest.mark.parametrize(
    ("mapping", "stated", "account"),
    [
        (MAPPING, {"Stripe_Account__c": "emea"}, "emea"),
        (MAPPING, {"Stripe_Account__c": " "}, None),
        (MAPPING, {}, None),
        (mapped(order={"stripe_account": "Entity__c"}), {"Entity__c": "emea", "Stripe_Account__c": "us"}, "emea"),
        (mapped(order={"stripe_account": ""}), {"Stripe_Account__c": "us"}, None),
    ],
)
def test_the_stripe_account_that_an_order_names(mapping: FieldMapping, stated: dict[str, Any], account: str | None) -> None:
    (read,) = read_snapshot(snapshot(order(**stated)), mapping).orders
    assert read.stripe_account == account
