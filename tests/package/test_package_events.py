"""What the package sends is what the edge takes: the types, keys and modes in flows and Apex, read by the edge's own parser."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import pytest

from orderphase.ids import normalise_id
from orderphase.ingress import change_events, outbound_messages, salesforce
from orderphase.ingress.documents import EventError
from orderphase.ingress.events import (
    ACCOUNT_UPSERTED,
    CANCELLATION_REQUESTED,
    ORDER_ACTIVATED,
    ORDER_ITEM_UPDATED,
    PRODUCT_UPSERTED,
    CancellationData,
    parse,
)
from orderphase.mapping import FieldMapping
from tests.package.flow_graph import Flow
from tests.package.sources import BASE, PROJECT, found, members, text, texts

APEX = (PROJECT / BASE / "main" / "default" / "classes" / "OrderphaseEvents.cls").read_text("utf-8")
FLOWS = {name: Flow(name, root) for name, root in members("Flow").items()}
SENDING = [flow for flow in FLOWS.values() if flow.actions("apex")]
TRIGGERED = [flow for flow in FLOWS.values() if flow.object]
PREFIXES = {"Order": "801", "OrderItem": "802", "Product2": "01t", "Account": "001", "Contract": "800"}
ORG = "00D000000000001EAA"
MOMENT = dt.datetime(2026, 11, 20, 10, tzinfo=dt.UTC)


def record_id(name: str) -> str:
    return normalise_id(f"{PREFIXES[name]}000000000001")


# What the flows give to the action, by what they refer to. The records have what the package's fields allow.
GIVEN: dict[str, Any] = {
    "$Record.ContractId": record_id("Contract"),
    "$Record.Order.ContractId": record_id("Contract"),
    "Get_Order.ContractId": record_id("Contract"),
    "$Record.ActivatedDate": MOMENT,
    "$Record.LastModifiedDate": MOMENT,
    "$Flow.CurrentDateTime": MOMENT,
    "recordId": record_id("Order"),
    "$Record.Stripe_Cancellation_Mode__c": "on_date",
    "$Record.Stripe_Cancellation_Date__c": dt.date(2027, 6, 1),
    "$Record.Stripe_Cancellation_Invoice_Now__c": True,
    "$Record.Stripe_Cancellation_Prorate__c": False,
}


def given(flow: Flow, **other: Any) -> dict[str, Any]:
    """The values that the flow's action gets."""
    (action,) = flow.actions("apex")
    known = {"$Record.Id": record_id(flow.object), **GIVEN} if flow.object else GIVEN
    inputs = flow.inputs(action)
    return {name: known[said] if said in known else said.strip("'") for name, said in inputs.items()} | other


def body(values: dict[str, Any]) -> bytes:
    """The event as the class writes it: its keys, and what it puts there, are read out of its source."""
    added = dict(re.findall(r"add\(data, '(\w+)', (\w+)(?: == null|\))", APEX))
    cancelled = APEX.index("if (eventType == CANCELLATION) {")
    always = [key for key in added if APEX.index(f"add(data, '{key}'") < cancelled]
    keys = added if values["eventType"] == CANCELLATION_REQUESTED.name else {key: added[key] for key in always}
    data = {key: _json(values[name]) for key, name in keys.items() if values.get(name) is not None}
    computed = {
        "eventId()": f"{values['eventType']}-{values['recordId']}-{int(values['moment'].timestamp() * 1000)}",
        "eventType": values["eventType"],
        "UserInfo.getOrganizationId()": ORG,
        "recordId": values["recordId"],
        "data": data,
        "moment": values["moment"].strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    written = APEX[APEX.index("new Map<String, Object>{") :].split("}\n")[0]
    pairs = dict(
        re.findall(r"'(\w+)' => (moment(?=\.formatGmt\('yyyy-MM-dd\\'T\\'HH:mm:ss\\'Z\\''\))|[\w.]+(?:\(\))?)", written)
    )
    return json.dumps({key: computed[source] for key, source in pairs.items()}).encode()


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, dt.date) else value


@pytest.mark.parametrize("flow", SENDING, ids=lambda flow: flow.name)
def test_the_edge_takes_what_a_flow_sends(flow: Flow) -> None:
    values = given(flow)
    event = parse(body(values))
    assert (event.type, event.record_id, event.org_id, event.occurred_at) == (
        values["eventType"],
        values["recordId"],
        ORG,
        MOMENT,
    )
    assert event.data.contract_id == values.get("contractId")
    assert event.data.model_extra == {}


def test_the_types_are_sent_by_the_objects_that_they_are_of() -> None:
    sent = {
        (flow.object or "Order", flow.inputs(action)["eventType"].strip("'"))
        for flow in SENDING
        for action in flow.actions("apex")
    }
    assert sent == {
        ("Order", ORDER_ACTIVATED.name),
        ("Order", CANCELLATION_REQUESTED.name),
        ("OrderItem", ORDER_ITEM_UPDATED.name),
        ("Product2", PRODUCT_UPSERTED.name),
        ("Account", ACCOUNT_UPSERTED.name),
    }
    assert re.findall(r"CANCELLATION = '([^']+)'", APEX) == [CANCELLATION_REQUESTED.name]


@pytest.mark.parametrize("mode", ["now", "at_period_end", "on_date"])
def test_a_cancellation_says_what_the_fields_say(mode: str) -> None:
    date = dt.date(2027, 6, 1) if mode == "on_date" else None
    event = parse(body(given(FLOWS["Orderphase_Cancellation_Requested"], cancellationMode=mode, cancellationDate=date)))
    assert isinstance(event.data, CancellationData)
    assert (event.data.mode, event.data.date, event.data.invoice_now, event.data.prorate) == (mode, date, True, False)


def test_the_screen_offers_the_modes_of_the_field() -> None:
    screen = FLOWS["Orderphase_Cancel_Subscription"].root
    offered = set(texts(screen, "choices/value/stringValue"))
    field = members("CustomField")["Order.Stripe_Cancellation_Mode__c"]
    assert offered == set(texts(field, "valueSet/valueSetDefinition/value/fullName"))
    assigned = {
        text(one, "field"): text(one, "value/elementReference") for one in found(screen, "recordUpdates/inputAssignments")
    }
    assert set(assigned) == {
        f"Stripe_Cancellation_{one}__c" for one in ("Mode", "Date", "Invoice_Now", "Prorate", "Requested_At")
    }
    assert FLOWS["Orderphase_Cancellation_Requested"].watched() == set(assigned)


def test_the_same_cancellation_can_be_asked_for_again() -> None:
    """The screen changes a field in any case, and the event is another one: its id is of the moment of that change."""
    (request,) = found(FLOWS["Orderphase_Cancel_Subscription"].root, "recordUpdates")
    assigned = {text(one, "field"): text(one, "value/elementReference") for one in found(request, "inputAssignments")}
    assert assigned["Stripe_Cancellation_Requested_At__c"] == "$Flow.CurrentDateTime"
    flow = FLOWS["Orderphase_Cancellation_Requested"]
    assert "ISCHANGED({!$Record.Stripe_Cancellation_Requested_At__c})" in text(flow.start, "filterFormula")
    assert flow.inputs(flow.actions("apex")[0])["moment"] == "$Record.LastModifiedDate"
    first, second = (parse(body(given(flow, moment=MOMENT + dt.timedelta(minutes=one)))) for one in range(2))
    assert (first.id != second.id, first.data) == (True, second.data)


def test_what_the_edge_refuses_the_org_does_not_take() -> None:
    """A date without the mode, or the mode without a date: the validation rule is of the same opinion."""
    flow = FLOWS["Orderphase_Cancellation_Requested"]
    for mode, date in (("now", dt.date(2027, 6, 1)), ("on_date", None)):
        with pytest.raises(EventError, match=r"data\.date"):
            parse(body(given(flow, cancellationMode=mode, cancellationDate=date)))
    rule = members("ValidationRule")["Order.Stripe_Cancellation_Date_With_Mode"]
    formula = 'ISPICKVAL(Stripe_Cancellation_Mode__c, "on_date") = ISBLANK(Stripe_Cancellation_Date__c)'
    assert text(rule, "errorConditionFormula") == formula
    assert text(rule, "active") == "true"


def test_the_same_change_is_the_same_event() -> None:
    flow = FLOWS["Orderphase_Order_Activated"]
    first, again, later = (parse(body(given(flow, moment=moment))) for moment in (MOMENT, MOMENT, MOMENT + dt.timedelta(1)))
    assert first.id == again.id != later.id
    # Activated anew, an order has another moment.
    assert flow.inputs(flow.actions("apex")[0])["moment"] == "$Record.ActivatedDate"
    assert "return eventType + '-' + recordId + '-' + moment.getTime();" in APEX


def test_it_goes_to_the_route_with_the_header() -> None:
    assert "'callout:Orderphase/salesforce/events'" in APEX
    external = members("ExternalCredential")["Orderphase"]
    headers = [
        text(one, "parameterName")
        for one in found(external, "externalCredentialParameters")
        if text(one, "parameterType") == "AuthHeader"
    ]
    assert [one.lower() for one in headers] == [salesforce.API_KEY_HEADER]


# When a flow runs


def test_everything_is_delivered_switched_off() -> None:
    assert {text(flow.root, "status") for flow in FLOWS.values()} == {"Draft"}
    assert [text(one, "state") for one in members("EventRelayConfig").values()] == ["STOP"]
    for one in members("EventRelayConfig").values():
        assert json.loads(text(one, "relayOption")) == {"ReplayRecovery": "EARLIEST"}


@pytest.mark.parametrize("flow", [one for one in TRIGGERED if one.actions("apex")], ids=lambda flow: flow.name)
def test_a_callout_is_made_after_the_commit_and_fails_loudly(flow: Flow) -> None:
    """Salesforce: it is illegal before; and only what nothing has handled is tried again."""
    assert not found(flow.start, "connector")
    assert texts(flow.start, "scheduledPaths/pathType") == ["AsyncAfterCommit"]
    assert not list(flow.root.iter(f"{flow.root.tag.partition('}')[0]}}}faultConnector"))


@pytest.mark.parametrize("flow", [one for one in FLOWS.values() if not one.object], ids=lambda flow: flow.name)
def test_a_screen_tells_what_has_gone_wrong(flow: Flow) -> None:
    for kind in ("actionCalls", "recordLookups", "recordUpdates"):
        for one in found(flow.root, kind):
            assert "$Flow.FaultMessage" in "".join(
                texts(flow.nodes[text(one, "faultConnector/targetReference")], "fields/fieldText")
            )


@pytest.mark.parametrize("flow", TRIGGERED, ids=lambda flow: flow.name)
def test_what_orderphase_writes_starts_nothing(flow: Flow) -> None:
    permissions = members("PermissionSet")["Orderphase_Integration"]
    written = {text(one, "field") for one in found(permissions, "fieldPermissions") if text(one, "editable") == "true"}
    if flow.object in ("Product2", "Account"):
        # Any field of these counts, so who has changed it has to.
        assert text(flow.start, "filterFormula") == "NOT({!$Permission.Orderphase_Own_Changes})"
        assert texts(permissions, "customPermissions/name") == ["Orderphase_Own_Changes"]
        return
    assert text(flow.start, "recordTriggerType") == "Update"
    assert flow.watched()
    assert not {f"{flow.object}.{name}" for name in flow.watched()} & written


def test_a_line_is_told_of_where_what_is_billed_of_it_changes() -> None:
    watched = {*FieldMapping().order_item.model_dump().values()}
    for name in ("Orderphase_Order_Item_Changed", "Orderphase_Outbound_Order_Item_Changed"):
        assert FLOWS[name].watched() == watched


def test_outbound_messages_are_read() -> None:
    for name, flow in FLOWS.items():
        for action in flow.actions("outboundMessage"):
            assert flow.object in outbound_messages.KINDS
            twin = FLOWS[name.replace("Outbound_", "")]
            (sent,) = twin.actions("apex")
            assert twin.inputs(sent)["eventType"].strip("'") == outbound_messages.KINDS[flow.object].name
            # As the one that posts JSON, but for when: a message is queued with the transaction.
            assert (flow.object, flow.watched(), text(flow.start, "filterFormula")) == (
                twin.object,
                twin.watched(),
                text(twin.start, "filterFormula"),
            )
            assert found(flow.start, "connector")
            fields = texts(members("Workflow")[flow.object], "outboundMessages/fields")
            assert fields == (["ContractId", "Id"] if flow.object == "Order" else ["Id"])
            assert text(action, "actionName").startswith(f"{flow.object}.")


def test_the_channel_has_the_objects_that_are_read() -> None:
    selected = {text(one, "selectedEntity") for one in members("PlatformEventChannelMember").values()}
    assert selected == {f"{name}ChangeEvent" for name in change_events._ENTITIES}
