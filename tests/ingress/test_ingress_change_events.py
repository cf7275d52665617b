"""Salesforce's change events: what each becomes, and what nothing follows from."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderphase.ingress import change_events
from orderphase.ingress.change_events import OWN_CLIENT, Told
from orderphase.ingress.documents import EventError
from orderphase.ingress.events import SalesforceEvent
from orderphase.salesforce.client import CLIENT
from tests.ingress.salesforce_messages import HEADER, ORDER, ORG, USER, change

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
OURS = f"com/salesforce/api/rest/66.0;{OWN_CLIENT}"
IDS = {
    "Order": "801000000000001AAA",
    "OrderItem": "802000000000001AAA",
    "Product2": "01t000000000001AAA",
    "PricebookEntry": "01u000000000001AAA",
    "Account": "001000000000001AAA",
}
# What a run writes, and does not write the status with.
WRITTEN = ["Stripe_Sync_Status__c", "LastModifiedDate"]
CHANGE_TYPES = [f"{gap}{what}" for gap in ("", "GAP_") for what in ("CREATE", "UPDATE", "DELETE", "UNDELETE")]


def read(detail: Any, *, ignore_own: bool = True) -> Told:
    return change_events.read(detail, org_id=ORG, ignore_own=ignore_own)


def of(entity: str, change_type: str, **changes: Any) -> Told:
    fields = HEADER["changedFields"] if change_type == "UPDATE" else ...
    return read(
        change(
            **{"entityName": entity, "recordIds": [IDS[entity]], "changeType": change_type, "changedFields": fields} | changes
        )
    )


def test_an_activation() -> None:
    told = read(change())
    [event] = told.events
    assert (event.type, event.org_id, event.record_id, event.occurred_at) == ("order.activated", ORG, ORDER, NOW)
    assert event.id == f"0002343d-9d90-e395-ed20-cf416ba652ad-1-{ORDER[:15]}"
    assert event.data.model_dump(exclude_unset=True) == {"changed_fields": ["Status"], "changed_by": USER}
    assert SalesforceEvent.of(json.loads(event.to_json())) == event
    assert (told.note, told.look_again_from) == ("", None)


def test_both_envelopes_say_the_same() -> None:
    detail = change()
    assert read(detail["payload"]) == read(detail)


# By object: of which changes something follows.
FOLLOWS = {
    "Order": {"UPDATE", "GAP_UPDATE"},
    "OrderItem": {"UPDATE", "GAP_UPDATE"},
    "Product2": {"CREATE", "UPDATE", "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_UNDELETE"},
    "PricebookEntry": {"CREATE", "UPDATE", "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_UNDELETE"},
    "Account": set(CHANGE_TYPES),
}
KINDS = {
    "Order": "order.activated",
    "OrderItem": "order_item.updated",
    "Product2": "product.upserted",
    "PricebookEntry": "pricebook_entry.upserted",
    "Account": "account.upserted",
}


@pytest.mark.parametrize("change_type", CHANGE_TYPES)
@pytest.mark.parametrize("entity", KINDS)
def test_what_follows_from_a_change(entity: str, change_type: str) -> None:
    told = of(entity, change_type)
    if change_type not in FOLLOWS[entity]:
        assert told == Told(note="nothing follows from such a change of the object")
        return
    [event] = told.events
    assert (event.type, event.record_id) == (KINDS[entity], IDS[entity])
    known = {"changed_fields": ["Status"]} if change_type == "UPDATE" else {}
    # Of an order whose change is not told it must not look as if its status had changed.
    unknown: dict[str, list[str]] = {"changed_fields": []} if entity == "Order" and not known else {}
    assert event.data.model_dump(exclude_unset=True) == {**known, **unknown, "changed_by": USER}


@pytest.mark.parametrize("entity", ["Contract", "Contact", "stripeGC__Price__c"])
def test_an_object_without_a_flow(entity: str) -> None:
    assert read(change(entityName=entity, recordIds=["whatever"])) == Told(note="the object has no flow")


@pytest.mark.parametrize(
    ("lists", "fields"),
    [
        ({"changedFields": ["Quantity", "LastModifiedDate", "LastModifiedById"]}, ["Quantity"]),
        ({"changedFields": ["EndDate"], "nulledFields": ["EndDate", "Stripe_Price_Id__c"]}, ["EndDate", "Stripe_Price_Id__c"]),
        ({"changedFields": ["Notes__c"], "diffFields": ["Description"]}, ["Notes__c", "Description"]),
        ({"changedFields": ["Name.LastName", "BillingAddress.Street"]}, ["Name.LastName", "BillingAddress.Street"]),
        ({"changedFields": ["Quantity"], "nulledFields": ..., "diffFields": ...}, ["Quantity"]),
        ({"changedFields": ["Quantity"], "nulledFields": None, "diffFields": None}, ["Quantity"]),
        ({"changedFields": ..., "nulledFields": ..., "diffFields": ...}, None),
        ({"changedFields": []}, None),
    ],
)
def test_the_fields_that_changed(lists: dict[str, Any], fields: list[str] | None) -> None:
    [event] = of("OrderItem", "UPDATE", **lists).events
    assert event.data.model_dump()["changed_fields"] == fields


@pytest.mark.parametrize("entity", KINDS)
def test_that_it_was_touched_is_no_change(entity: str) -> None:
    told = of(entity, "UPDATE", changedFields=["LastModifiedDate"])
    assert told == Told(note="nothing but who changed it and when")


@pytest.mark.parametrize("user", [..., None, "", "0PM000000000001AAA"])
def test_who_changed_it_may_not_be_known(user: Any) -> None:
    [event] = read(change(commitUser=user)).events
    assert "changed_by" not in event.data.model_dump(exclude_unset=True)


@pytest.mark.parametrize(
    ("time", "instant"),
    [
        (1795168800000, NOW),
        (1795168800123, NOW + timedelta(milliseconds=123)),
        ("2026-11-20T10:00:00.000Z", NOW),
        ("2026-11-20T11:00:00.000+0100", NOW),
    ],
)
def test_a_time_comes_in_either_form(time: Any, instant: datetime) -> None:
    assert read(change(commitTimestamp=time)).events[0].occurred_at == instant


def test_numbers_beyond_what_javascript_keeps_are_no_matter() -> None:
    number = 2**63 - 1
    assert read(change(commitNumber=number)) == read(change(commitNumber=str(number))) == read(change(commitNumber=...))
    [event] = read(change(sequenceNumber=number)).events
    assert str(number) in event.id


def test_each_of_several_records_has_its_event() -> None:
    ids = ["801000000000001AAA", "801000000000002", "801000000000003AAA"]
    events = read(change(recordIds=ids)).events
    assert [event.record_id[:15] for event in events] == [one[:15] for one in ids]
    assert len({event.id for event in events}) == 3


def test_an_event_that_is_told_again_has_its_id_and_another_has_another() -> None:
    def id_of(**changes: Any) -> str:
        [event] = read(change(**changes)).events
        return event.id

    assert id_of() == id_of(recordIds=[ORDER[:15]], commitNumber=1, changeOrigin=None)
    others = [id_of(sequenceNumber=2), id_of(transactionKey="other"), id_of(recordIds=["801000000000001AAA"])]
    assert len({id_of(), *others}) == 4


# Too many to be told


@pytest.mark.parametrize("ids", [[], ..., ["000000000000000AAA"], ["801*"]])
@pytest.mark.parametrize("entity", ["Order", "OrderItem"])
def test_what_was_too_much_to_be_told_is_looked_for(entity: str, ids: Any) -> None:
    told = of(entity, "GAP_OVERFLOW", recordIds=ids)
    assert told == Told((), "not all records are named; the poll, if it is on, looks again", NOW - timedelta(minutes=10))


@pytest.mark.parametrize("change_type", ["UPDATE", "GAP_UPDATE"])
def test_a_wildcard_is_looked_for_and_what_is_named_beside_it_is_told(change_type: str) -> None:
    told = read(change(changeType=change_type, recordIds=["801*", ORDER]))
    assert [event.record_id for event in told.events] == [ORDER]
    assert told.look_again_from == NOW - timedelta(minutes=10)


@pytest.mark.parametrize("entity", ["Product2", "PricebookEntry", "Account"])
def test_what_the_poll_does_not_look_at_is_logged(entity: str) -> None:
    for told in (of(entity, "GAP_OVERFLOW"), of(entity, "UPDATE", recordIds=["0*"])):
        note = f"not all records of {entity} are named; those that are not wait for their next change or order"
        assert told == Told((), note, None)


def test_no_time_is_too_early_to_look_again_from() -> None:
    told = of("Order", "GAP_OVERFLOW", commitTimestamp="0001-01-01T00:00:00Z")
    assert told.look_again_from == datetime(1970, 1, 1, tzinfo=UTC)


# The loop guard


def test_we_are_called_what_our_requests_say() -> None:
    assert f"client={CLIENT}" == OWN_CLIENT


@pytest.mark.parametrize("entity", KINDS)
def test_what_we_have_caused_is_passed_over(entity: str) -> None:
    assert of(entity, "UPDATE", changeOrigin=OURS, changedFields=WRITTEN) == Told(note="we have caused it ourselves")


@pytest.mark.parametrize("field", ["Status", "StatusCode"])
@pytest.mark.parametrize("where", ["changedFields", "diffFields"])
def test_what_the_org_changes_along_with_us_is_not_passed_over(where: str, field: str) -> None:
    """Its own automation, in our transaction, may activate an order: we never do."""
    told = of("Order", "UPDATE", changeOrigin=OURS, **({"changedFields": WRITTEN} | {where: [*WRITTEN, field]}))
    [event] = told.events
    assert event.data.model_dump()["changed_fields"] == ["Stripe_Sync_Status__c", field]


@pytest.mark.parametrize("change_type", ["CREATE", "UNDELETE"])
def test_what_we_create_is_passed_over(change_type: str) -> None:
    assert of("Product2", change_type, changeOrigin=OURS) == Told(note="we have caused it ourselves")


@pytest.mark.parametrize("entity", KINDS)
def test_our_own_changes_of_the_catalogue_are_heard_where_that_is_wanted(entity: str) -> None:
    detail = change(entityName=entity, recordIds=[IDS[entity]], changeOrigin=OURS, changedFields=WRITTEN)
    heard = read(detail, ignore_own=False).events
    assert len(heard) == (entity not in ("Order", "OrderItem"))


@pytest.mark.parametrize(
    "origin", [..., None, "", "com/salesforce/api/rest/66.0", f"{OURS}x", "x;client=other", "client=orderphase2", "orderphase"]
)
def test_what_others_have_caused_is_not(origin: Any) -> None:
    assert len(read(change(changeOrigin=origin)).events) == 1


def test_where_the_change_is_not_told_it_is_looked_at_whoever_made_it() -> None:
    assert len(of("OrderItem", "GAP_UPDATE", changeOrigin=OURS).events) == 1


# What is no change event


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"entityName": ...}, "entityName: is missing"),
        ({"entityName": ""}, "entityName: is empty"),
        ({"recordIds": ...}, "ChangeEventHeader.recordIds: is empty"),
        ({"recordIds": []}, "ChangeEventHeader.recordIds: is empty"),
        ({"recordIds": ORDER}, "recordIds: is not a list"),
        ({"recordIds": [1]}, "recordIds[0]: is not text"),
        ({"recordIds": ["801"]}, "record_id: is not a Salesforce id of 15 or 18 characters"),
        ({"recordIds": [IDS["Account"]]}, "record_id: is not the id of an Order (801…)"),
        ({"changeType": ...}, "changeType: is missing"),
        ({"changeType": "MERGE"}, "changeType: is none of CREATE, UPDATE"),
        ({"transactionKey": ...}, "transactionKey: is missing"),
        ({"transactionKey": "x" * 201}, "transactionKey: has more than 200 characters"),
        ({"sequenceNumber": ...}, "sequenceNumber: is missing"),
        ({"sequenceNumber": "1"}, "sequenceNumber: is not a whole number"),
        ({"sequenceNumber": True}, "sequenceNumber: is not a whole number"),
        ({"commitTimestamp": ...}, "commitTimestamp: is missing"),
        *(
            ({"commitTimestamp": time}, "commitTimestamp: is neither a time in milliseconds since 1970 nor one in ISO 8601")
            for time in (
                None,
                True,
                1.5,
                "",
                "yesterday",
                "2026-11-20T10:00:00",
                10**30,
                -(10**30),
                "0001-01-01T00:00:00+23:00",
            )
        ),
        ({"commitUser": 5}, "commitUser: is not text"),
        ({"commitUser": "005"}, "data.changed_by: is not a Salesforce id"),
        ({"changeOrigin": 5}, "changeOrigin: is not text"),
        ({"changedFields": "Status"}, "changedFields: is not a list"),
        ({"changedFields": [None]}, "changedFields[0]: is not text"),
    ],
)
def test_what_is_malformed_is_named_with_its_field(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(EventError) as refusal:
        read(change(**changes))
    assert refusal.value.message.startswith(fault)


@pytest.mark.parametrize(
    "detail",
    [
        None,
        [],
        "",
        {},
        {"payload": None},
        {"payload": []},
        {"payload": {}},
        {"ChangeEventHeader": None},
        {"ChangeEventHeader": []},
    ],
)
def test_what_has_no_header_is_no_change_event(detail: Any) -> None:
    with pytest.raises(EventError, match="detail: has no ChangeEventHeader"):
        read(detail)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([*IDS.values(), "801*", OURS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(list(HEADER)), inner, max_size=3),
    max_leaves=6,
)
VALUES = JSON | st.sampled_from([*CHANGE_TYPES, "GAP_OVERFLOW", *KINDS]) | st.lists(st.sampled_from([*IDS.values(), "801*"]))


@given(st.dictionaries(st.sampled_from(list(HEADER)), VALUES | st.just(...)), st.booleans())
def test_any_header_is_read_or_refused(changes: dict[str, Any], ignore_own: bool) -> None:
    try:
        told = read(change(**changes), ignore_own=ignore_own)
    except EventError:
        return
    assert told.events or told.note
    for event in told.events:
        assert SalesforceEvent.of(json.loads(event.to_json())) == event


@given(JSON)
def test_any_detail_is_read_or_refused(detail: Any) -> None:
    with pytest.raises(EventError):
        read(detail)
