"""The shape of the events that an org sends, and of the messages that they become."""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderphase.errors import DataError
from orderphase.ingress.documents import MAX_DEPTH, EventError
from orderphase.ingress.events import (
    KNOWN_TYPES,
    CancellationData,
    MirrorData,
    OrderActivationData,
    OrderItemData,
    RecordData,
    parse,
)

EVENT = {
    "id": "evt-1",
    "type": "order.activated",
    "org_id": "00D000000000001EAA",
    "record_id": "801000000000001AAA",
    "occurred_at": "2026-11-20T10:00:00Z",
    "data": {},
}
RECORDS = {
    "order.activated": "801000000000001AAA",
    "order_item.updated": "802000000000001AAA",
    "order.cancellation_requested": "801000000000001AAA",
    "product.upserted": "01t000000000001AAA",
    "pricebook_entry.upserted": "01u000000000001AAA",
    "account.upserted": "001000000000001AAA",
    "stripe_product.upserted": "a0A000000000001EAA",
    "stripe_price.upserted": "a0B000000000001EAA",
}
# Their records' ids begin differently in each org.
MIRRORS = {"stripe_product.upserted", "stripe_price.upserted"}
CANCELLATION = {"type": "order.cancellation_requested"}
ABSENT = object()


def _body(**changes: object) -> bytes:
    return json.dumps({key: value for key, value in (EVENT | changes).items() if value is not ABSENT}).encode()


def _fault(body: bytes) -> str:
    with pytest.raises(EventError) as refusal:
        parse(body)
    return refusal.value.message


def test_an_event() -> None:
    event = parse(_body())
    assert (event.id, event.type, event.org_id) == ("evt-1", "order.activated", "00D000000000001EAA")
    assert event.record_id == "801000000000001AAA"
    assert event.occurred_at == dt.datetime(2026, 11, 20, 10, tzinfo=dt.UTC)
    assert event.data.contract_id is None


def test_every_known_type_has_its_record() -> None:
    assert set(RECORDS) == KNOWN_TYPES
    for kind, record in RECORDS.items():
        assert parse(_body(type=kind, record_id=record)).record_id == record


@pytest.mark.parametrize("kind", sorted(RECORDS.keys() - MIRRORS))
def test_a_record_of_another_type_is_refused(kind: str) -> None:
    others = {record for record in RECORDS.values() if record != RECORDS[kind]}
    for record in others:
        assert _fault(_body(type=kind, record_id=record)).startswith("record_id: is not the id of a")


@pytest.mark.parametrize("kind", sorted(MIRRORS))
def test_a_mirror_may_be_any_record_that_is_one(kind: str) -> None:
    for record in RECORDS.values():
        assert parse(_body(type=kind, record_id=record[:15])).record_id == record
    assert _fault(_body(type=kind, record_id="prod_1")) == "record_id: is not a Salesforce id of 15 or 18 characters"


CONTRACT, USER = "800000000000001AAA", "005000000000001AAA"


@pytest.mark.parametrize(
    ("kind", "data", "group"),
    [
        ("order.activated", {"contract_id": CONTRACT}, CONTRACT),
        ("order_item.updated", {"contract_id": CONTRACT}, CONTRACT),
        ("order.cancellation_requested", {"contract_id": CONTRACT}, CONTRACT),
        *((kind, {}, RECORDS[kind]) for kind in RECORDS),
        ("product.upserted", {"contract_id": CONTRACT}, RECORDS["product.upserted"]),
        ("stripe_product.upserted", {"stripe_id": "prod_1"}, "prod_1"),
        ("stripe_price.upserted", {"stripe_id": "price_1"}, "price_1"),
        ("stripe_price.upserted", {"stripe_id": None}, RECORDS["stripe_price.upserted"]),
        ("quote.accepted", {"stripe_id": "prod_1", "contract_id": CONTRACT}, RECORDS["order.activated"]),
    ],
)
def test_what_an_event_is_kept_in_sequence_with(kind: str, data: dict[str, Any], group: str) -> None:
    event = parse(_body(type=kind, record_id=RECORDS.get(kind, RECORDS["order.activated"]), data=data))
    assert event.group == group
    assert event.sender == "00D000000000001EAA"


@pytest.mark.parametrize("kind", ["order_item.updated", "product.upserted", "pricebook_entry.upserted", "account.upserted"])
def test_what_changed_and_who_changed_it(kind: str) -> None:
    event = parse(_body(type=kind, record_id=RECORDS[kind], data={"changed_fields": ["Name"], "changed_by": USER[:15]}))
    assert isinstance(event.data, OrderItemData | RecordData)
    assert (event.data.changed_fields, event.data.changed_by) == (["Name"], USER)
    silent = parse(_body(type=kind, record_id=RECORDS[kind])).data
    assert isinstance(silent, OrderItemData | RecordData)
    assert (silent.changed_fields, silent.changed_by) == (None, None)
    stranger = _body(type=kind, record_id=RECORDS[kind], data={"changed_by": "001000000000001AAA"})
    assert _fault(stranger) == "data.changed_by: is not the id of a User (005…)"


def test_what_a_mirror_stands_for() -> None:
    mirror = parse(_body(type="stripe_price.upserted", record_id="a0B000000000001", data={"stripe_id": "gold"})).data
    assert isinstance(mirror, MirrorData)
    assert mirror.stripe_id == "gold"


@pytest.mark.parametrize("data", [{"mode": "whatever", "changed_fields": 1}, [], "x"])
@pytest.mark.parametrize("record", ["0Q0000000000001", "x"])
def test_an_unknown_type_takes_any_record_and_data(record: str, data: Any) -> None:
    event = parse(_body(type="quote.accepted", record_id=record, data=data))
    assert event.record_id == record
    assert event.type not in KNOWN_TYPES


def test_ids_are_normalised() -> None:
    event = parse(_body(org_id="00D000000000001", record_id="801000000000001", data={"contract_id": "800000000000001"}))
    assert (event.org_id, event.record_id, event.data.contract_id) == (
        "00D000000000001EAA",
        "801000000000001AAA",
        "800000000000001AAA",
    )


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-11-20T10:00:00Z", 10),
        ("2026-11-20T10:00:00+02:00", 8),
        ("2026-11-20T10:00:00.000+0000", 10),
        ("2026-11-20T10:00:00.123456-05:00", 15),
    ],
)
def test_times_are_normalised_to_utc(text: str, hour: int) -> None:
    occurred_at = parse(_body(occurred_at=text)).occurred_at
    assert (occurred_at.hour, occurred_at.tzinfo) == (hour, dt.UTC)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"id": ABSENT}, "id: is missing"),
        ({"id": ""}, "id: is empty"),
        ({"id": "x" * 256}, "id: has more than 255 characters"),
        ({"id": "evt\n1"}, "id: has characters that cannot be printed"),
        ({"id": 7}, "id: is not text"),
        ({"id": None}, "id: is not text"),
        ({"type": ABSENT}, "type: is missing"),
        ({"type": ["order.activated"]}, "type: is not text"),
        ({"org_id": ABSENT}, "org_id: is missing"),
        ({"org_id": "001000000000001AAA"}, "org_id: is not the id of an org (00D…)"),
        ({"org_id": "00d000000000001"}, "org_id: is not the id of an org (00D…)"),
        ({"record_id": ABSENT}, "record_id: is missing"),
        ({"record_id": "800000000000001AAA"}, "record_id: is not the id of an Order (801…)"),
        ({"record_id": "80100"}, "record_id: is not a Salesforce id of 15 or 18 characters"),
        ({"record_id": "801000000000001AAB"}, "record_id: is not a Salesforce id: its last three characters do not fit"),
        ({"record_id": 801}, "record_id: is not text"),
        ({"occurred_at": ABSENT}, "occurred_at: is missing"),
        ({"occurred_at": "2026-11-20T10:00:00"}, "occurred_at: is not an ISO 8601 time with a time zone"),
        ({"occurred_at": "2026-11-20"}, "occurred_at: is not an ISO 8601 time with a time zone"),
        ({"occurred_at": "yesterday"}, "occurred_at: is not an ISO 8601 time with a time zone"),
        ({"occurred_at": 1_763_632_800}, "occurred_at: is not an ISO 8601 time with a time zone"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "occurred_at: is not an ISO 8601 time with a time zone"),
        ({"data": None}, "data: is not a JSON object"),
        ({"data": []}, "data: is not a JSON object"),
        ({"data": {"contract_id": "801000000000001AAA"}}, "data.contract_id: is not the id of a Contract (800…)"),
        ({"data": {"idempotency_key": "k" * 256}}, "data.idempotency_key: has more than 255 characters"),
        ({"data": {"idempotency_key": 1}}, "data.idempotency_key: is not text"),
        (
            {"type": "order_item.updated", "record_id": "802000000000001", "data": {"changed_fields": "Quantity"}},
            "data.changed_fields: is not a list",
        ),
        (
            {"type": "order_item.updated", "record_id": "802000000000001", "data": {"changed_fields": ["Quantity", 1]}},
            "data.changed_fields[1]: is not text",
        ),
        (CANCELLATION | {"data": {"mode": "later"}}, "data.mode: is none of now, at_period_end, on_date"),
        (CANCELLATION | {"data": {"mode": "on_date"}}, "data.date: is given with the mode on_date, and only with it"),
        (CANCELLATION | {"data": {"mode": "now", "date": "2026-12-31"}}, "data.date: is given with the mode on_date"),
        (CANCELLATION | {"data": {"date": "2026-12-31"}}, "data.date: is given with the mode on_date"),
        (CANCELLATION | {"data": {"mode": "on_date", "date": "20261231"}}, "data.date: is not a date such as 2026-11-20"),
        (CANCELLATION | {"data": {"mode": "on_date", "date": "2026-02-30"}}, "data.date: is not a date such as 2026-11-20"),
        (CANCELLATION | {"data": {"mode": "on_date", "date": 20261231}}, "data.date: is not a date such as 2026-11-20"),
        (CANCELLATION | {"data": {"invoice_now": "yes"}}, "data.invoice_now: is neither true nor false"),
        (CANCELLATION | {"data": {"prorate": 1}}, "data.prorate: is neither true nor false"),
    ],
)
def test_each_fault_is_named_with_its_field(changes: dict[str, object], fault: str) -> None:
    assert _fault(_body(**changes)).startswith(fault)


def test_all_faults_are_named_at_once() -> None:
    faults = _fault(_body(id=ABSENT, record_id="800000000000001AAA", occurred_at="soon", data={"contract_id": "x"})).split("; ")
    assert [fault.split(":")[0] for fault in faults] == ["id", "record_id", "occurred_at", "data.contract_id"]


def test_a_fault_repeats_no_value() -> None:
    message = _fault(
        _body(id="evt\nsecret", org_id="secret", record_id="secret", occurred_at="secret", data={"contract_id": "secret"})
    )
    assert "secret" not in message


def test_an_event_error_is_a_data_error() -> None:
    with pytest.raises(DataError):
        parse(b"")


def test_data_may_be_absent() -> None:
    assert json.loads(parse(_body(data=ABSENT)).to_json())["data"] == {}


def test_what_the_data_of_a_type_holds() -> None:
    item = parse(
        _body(type="order_item.updated", record_id="802000000000001", data={"changed_fields": ["Quantity", "UnitPrice"]})
    )
    assert isinstance(item.data, OrderItemData)
    assert item.data.changed_fields == ["Quantity", "UnitPrice"]
    ending = parse(_body(**CANCELLATION, data={"mode": "on_date", "date": "2026-12-31", "invoice_now": True, "prorate": False}))
    assert isinstance(ending.data, CancellationData)
    assert (ending.data.mode, ending.data.date) == ("on_date", dt.date(2026, 12, 31))
    assert (ending.data.invoice_now, ending.data.prorate) == (True, False)


def test_members_without_a_meaning_are_kept_in_the_data_and_dropped_beside_it() -> None:
    event = parse(_body(source="trigger", data={"note": {"a": [1, 2.5, None, "ü"]}, "mode": "weekly", "contract_id": None}))
    written = json.loads(event.to_json())
    assert written["data"] == {"note": {"a": [1, 2.5, None, "ü"]}, "mode": "weekly", "contract_id": None}
    assert set(written) == set(EVENT)


@pytest.mark.parametrize("kind", sorted(RECORDS.keys() - MIRRORS))
def test_no_data_are_those_of_the_type(kind: str) -> None:
    """Who queues an event by hand may leave them out."""
    said = {"type": kind, "record_id": RECORDS[kind]}
    assert parse(_body(**said, data=ABSENT)) == parse(_body(**said))


def test_an_event_cannot_be_changed() -> None:
    event = parse(_body())
    for part, member in ((event, "id"), (event.data, "contract_id")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(part, member, "800000000000001AAA")


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "body: is not JSON: Expecting value (line 1, column 1)"),
        (b"order=801", "body: is not JSON: Expecting value (line 1, column 1)"),
        (b"[]", "body: is not a JSON object"),
        (b'"text"', "body: is not a JSON object"),
        (b"null", "body: is not a JSON object"),
        (_body() + b"{}", "body: is not JSON: Extra data"),
        (_body()[:-1], "body: is not JSON: "),
        (b'{"id": "a", "id": "b"}', "body: is not JSON: an object has the same key twice"),
        (b'{"data": {"a": {"b": 1, "b": 1}}}', "body: is not JSON: an object has the same key twice"),
        (b'{"id": NaN}', "body: is not JSON: NaN is no JSON number"),
        (b'{"id": -Infinity}', "body: is not JSON: -Infinity is no JSON number"),
        (b'{"data": {"n": 1e999}}', "body: is not JSON: a number is too large"),
        (b'{"data": {"n": ' + b"9" * 5000 + b"}}", "body: is not JSON: a number is too large"),
        (b'{"id": "\xff"}', "body: is not Unicode text in UTF-8"),
        (json.dumps(EVENT).encode("utf-16"), "body: is not Unicode text in UTF-8"),
        (b'{"id": "\\ud800"}', "body: is not Unicode text in UTF-8"),
        (b'{"data": {"\\udfff": 1}}', "body: is not Unicode text in UTF-8"),
        (b"\xef\xbb\xbf" + _body(), "body: is not JSON: "),
        (b"[" * 200_000, "body: is nested more than 32 levels deep"),
        (b'{"a":' * 40_000 + b"1" + b"}" * 40_000, "body: is nested more than 32 levels deep"),
    ],
    ids=lambda value: None if isinstance(value, str) else "",
)
def test_what_is_not_json_is_refused(body: bytes, fault: str) -> None:
    assert _fault(body).startswith(fault)


def test_the_depth_that_is_still_read() -> None:
    def nested(levels: int) -> object:
        return [nested(levels - 1)] if levels else 1

    deepest = MAX_DEPTH - 2  # the event and its data are two levels themselves
    body = _body(data={"n": nested(deepest)})
    assert parse(parse(body).to_json().encode()) == parse(body)
    assert _fault(_body(data={"n": nested(deepest + 1)})) == "body: is nested more than 32 levels deep"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


NAMES = st.text().filter(lambda name: name not in OrderActivationData.model_fields)


@given(st.dictionaries(NAMES, JSON, max_size=5))
def test_writing_and_reading_again_gives_the_same_event(data: dict[str, Any]) -> None:
    event = parse(_body(data=data, record_id="801000000000001"))
    message = event.to_json()
    assert message.isascii()
    assert parse(message.encode()) == event
    assert json.loads(message)["data"] == data


@given(st.fixed_dictionaries(dict.fromkeys(EVENT, JSON | st.sampled_from([*EVENT.values(), *KNOWN_TYPES, *RECORDS.values()]))))
def test_any_document_is_an_event_or_refused(document: dict[str, Any]) -> None:
    try:
        event = parse(json.dumps(document).encode())
    except EventError:
        return
    assert parse(event.to_json().encode()) == event


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.lists(st.sampled_from('{}[]":,\\u0 1eN')).map(lambda parts: "".join(parts).encode())
)
def test_any_bytes_are_an_event_or_refused(body: bytes) -> None:
    with pytest.raises(EventError):
        parse(body)


def test_numbers_keep_their_kind() -> None:
    written = json.loads(parse(_body(data={"whole": 1, "real": 1.0, "big": 10**40})).to_json())["data"]
    assert isinstance(written["whole"], int)
    assert isinstance(written["real"], float)
    assert written["big"] == 10**40
    assert math.isclose(written["real"], 1.0)
