"""Everything that the package names is there: in the package, or among the stock objects and fields of an org."""

from __future__ import annotations

import copy
import re

import pytest

from sandbox.salesforce_emulator.objects import standard_schema
from sandbox.salesforce_emulator.schema import SObject
from tests.package.flow_graph import NODES, RESOURCES, Flow
from tests.package.sources import DIRECTORIES, PROJECT, custom_fields, every, found, members, text, texts

SCHEMA = standard_schema(())
FLOWS = [Flow(name, root) for name, root in members("Flow").items()]
flows = pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
GLOBALS = {"$Flow.CurrentDateTime", "$Flow.FaultMessage"}
# Salesforce: a record-triggered flow and a formula see these of any record.
OF_RECORDS = {"Id", "LastModifiedDate"}
# Of stock objects that the emulated org does not have.
BEYOND = {"UserExternalCredential"}
COMPOUND = {"Account.BillingAddress", "Account.ShippingAddress"}
FORMULAS = {"IF", "ISPICKVAL", "TEXT", "DATEVALUE", "ISBLANK", "AND", "OR", "NOT", "ISCHANGED"}
# Salesforce's own names of the stock columns of orders.
COLUMNS = {
    *("ORDERS.ORDER_NUMBER", "ORDERS.EFFECTIVE_DATE", "ORDERS.TOTAL_AMOUNT", "ORDERS.STATUS_CODE"),
    *("SALES.ACCOUNT.NAME", "CONTRACT.CONTRACT_NUMBER"),
}
CLASSES = {path.stem: path.read_text("utf-8") for path in sorted(PROJECT.rglob("*.cls"))}


def is_field(sobject: SObject, path: str) -> bool:
    """Whether a field is there: of the record, or of a parent by dots."""
    *parents, name = path.split(".")
    for parent in parents:
        lookup = sobject.parent(parent)
        if lookup is None:
            return False
        sobject = SCHEMA[lookup.references]
    known = sobject.field(name)
    return f"{sobject.name}.{name}" in custom_fields() or (known is not None and known.name == name)


def resolves(flow: Flow, reference: str) -> bool:
    head, _, rest = reference.partition(".")
    if head == "$Record":
        return is_field(SCHEMA[flow.object], rest)
    if head == "$Permission":
        return rest in members("CustomPermission")
    if reference in GLOBALS or (not rest and head in flow.resources):
        return True
    node = flow.nodes.get(head)
    if node is None or text(node, "storeOutputAutomatically") != "true":
        return False
    if text(node, "actionType") == "apex":
        return rest in invocables(text(node, "actionName"))[1]
    return rest in texts(node, "queriedFields") and is_field(SCHEMA[text(node, "object")], rest)


def invocables(name: str) -> tuple[dict[str, bool], set[str]]:
    """What an Apex action takes, and whether it needs that; and what it answers."""
    taken, answered = CLASSES[name].split("public class Answer")
    declared = r"@InvocableVariable\(([^)]*)\)\s+public \w+ (\w+);"
    return {one: "required=true" in how for how, one in re.findall(declared, taken)}, {
        one for _, one in re.findall(declared, answered)
    }


@flows
def test_every_way_leads_somewhere_and_reaches_everything(flow: Flow) -> None:
    assert flow.first()
    assert flow.reached() == set(flow.nodes)
    named = [text(one, "name") for path in (*NODES, *RESOURCES, "screens/fields") for one in found(flow.root, path)]
    assert sorted(named) == sorted(set(flow.nodes) | flow.resources)


@flows
def test_everything_that_a_flow_names_is_there(flow: Flow) -> None:
    references = list(flow.references())
    assert references
    assert [one for one in references if not resolves(flow, one)] == []
    if flow.object:
        assert [name for name in flow.watched() if not is_field(SCHEMA[flow.object], name)] == []
    for kind in ("recordLookups", "recordUpdates"):
        for one in found(flow.root, kind):
            sobject = SCHEMA[text(one, "object")]
            named = [*texts(one, "filters/field"), *texts(one, "inputAssignments/field"), *texts(one, "queriedFields")]
            assert named
            assert [name for name in named if not is_field(sobject, name)] == []


@flows
def test_the_actions_of_a_flow_are_there(flow: Flow) -> None:
    for action in flow.actions("apex"):
        name = text(action, "actionName")
        assert "@InvocableMethod(" in CLASSES[name]
        takes, _ = invocables(name)
        assert set(flow.inputs(action)) <= set(takes)
        assert {one for one, needed in takes.items() if needed} <= set(flow.inputs(action))
    for action in flow.actions("outboundMessage"):
        object_name, _, message = text(action, "actionName").partition(".")
        assert object_name == flow.object
        assert message in texts(members("Workflow")[object_name], "outboundMessages/fullName")
    assert len(flow.actions("apex")) + len(flow.actions("outboundMessage")) == len(found(flow.root, "actionCalls"))


def test_a_wrong_name_is_noticed() -> None:
    whole = next(one for one in FLOWS if one.name == "Orderphase_Sync_Now")
    assert resolves(whole, "Get_Order.ContractId")
    for wrong in ("Get_Order.Contract", "Get_Order.Name", "Send.answer", "orderId", "$Flow.Now"):
        assert not resolves(whole, wrong)
    started = next(one for one in FLOWS if one.name == "Orderphase_Order_Item_Changed")
    assert resolves(started, "$Record.Order.ContractId")
    for wrong in ("$Record.Orders.ContractId", "$Record.Order.Contract", "$Record.contractid", "$Permission.Other"):
        assert not resolves(started, wrong)
    torn = Flow("torn", copy.deepcopy(started.root))
    next(torn.start.iter(f"{torn.start.tag.partition('}')[0]}}}targetReference")).text = "Nowhere"
    with pytest.raises(KeyError):
        torn.reached()


def test_what_permission_sets_name_is_there() -> None:
    for name, permissions in members("PermissionSet").items():
        stock = [one for one in texts(permissions, "fieldPermissions/field") if one not in custom_fields() | COMPOUND]
        for one in stock:
            sobject, _, field = one.partition(".")
            assert is_field(SCHEMA[sobject], field), (name, one)
        for one in texts(permissions, "objectPermissions/object"):
            assert one in BEYOND or SCHEMA.find(one) is not None, (name, one)
        assert set(texts(permissions, "classAccesses/apexClass")) <= set(CLASSES)
        assert set(texts(permissions, "customPermissions/name")) <= set(members("CustomPermission"))
        for one in texts(permissions, "externalCredentialPrincipalAccesses/externalCredentialPrincipal"):
            credential, _, principal = one.partition("-")
            parameters = found(members("ExternalCredential")[credential], "externalCredentialParameters")
            principals = [text(each, "parameterName") for each in parameters if text(each, "parameterType") == "NamedPrincipal"]
            assert principals == [principal]


def test_the_list_views_show_and_filter_what_there_is() -> None:
    for name, view in members("ListView").items():
        assert name.startswith("Order.")
        for one in [*texts(view, "columns"), *texts(view, "filters/field")]:
            assert one in COLUMNS or f"Order.{one}" in custom_fields(), (name, one)
        for one in texts(view, "filters/field"):
            field = members("CustomField").get(f"Order.{one}")
            assert field is None or text(field, "type") != "LongTextArea"
        for given in found(view, "filters"):
            if text(given, "field") == "Stripe_Sync_Status__c" and text(given, "value"):
                values = texts(
                    members("CustomField")["Order.Stripe_Sync_Status__c"], "valueSet/valueSetDefinition/value/fullName"
                )
                assert text(given, "value") in values


@pytest.mark.parametrize(
    ("sobject", "formula"),
    [
        ("Order", text(members("CustomField")["Order.Stripe_Billing__c"], "formula")),
        ("Order", text(members("ValidationRule")["Order.Stripe_Cancellation_Date_With_Mode"], "errorConditionFormula")),
        *((flow.object, text(flow.start, "filterFormula")) for flow in FLOWS if found(flow.start, "filterFormula")),
    ],
)
def test_a_formula_names_what_there_is(sobject: str, formula: str) -> None:
    assert formula.count("(") == formula.count(")")
    assert formula.count('"') % 2 == 0
    bare = re.sub(r'"[^"]*"', "", formula)
    assert set(re.findall(r"(\w+)\(", bare)) <= FORMULAS
    names = re.findall(r"\{!\$Record\.([\w.]+)\}", bare) or re.findall(r"\b([A-Z]\w+)\b(?!\()", re.sub(r"\{![^}]*\}", "", bare))
    assert names or "$Permission." in bare
    assert [name for name in names if not is_field(SCHEMA[sobject], name)] == []
    for field, value in re.findall(r'ISPICKVAL\((?:\{!\$Record\.)?([\w.]+)\}?, "([^"]*)"\)', formula):
        given = members("CustomField").get(f"{sobject}.{field}")
        known = texts(given, "valueSet/valueSetDefinition/value/fullName") if given is not None else ["Activated"]
        assert value in known


def test_the_actions_on_orders_start_flows_for_one_record() -> None:
    for name, action in members("QuickAction").items():
        assert name.startswith("Order.")
        flow = next(one for one in FLOWS if one.name == text(action, "flowDefinition"))
        assert text(flow.root, "processType") == "Flow"
        taken = [text(one, "name") for one in found(flow.root, "variables") if text(one, "isInput") == "true"]
        assert taken == ["recordId"]


def test_the_credentials_belong_together() -> None:
    named = members("NamedCredential")
    external = members("ExternalCredential")["Orderphase"]
    assert text(named["Orderphase"], "namedCredentialParameters/externalCredential") == "Orderphase"
    formula = next(one for one in every(external, "parameterValue"))
    assert formula == "{!$Credential.Orderphase.ApiKey}"
    called = {one for source in CLASSES.values() for one in re.findall(r"callout:(\w+)", source)}
    assert called == {"Orderphase"}


def test_the_relay_belongs_together() -> None:
    (relay,) = members("EventRelayConfig").values()
    channel = text(relay, "eventChannel")
    assert channel in members("PlatformEventChannel")
    assert {text(one, "eventChannel") for one in members("PlatformEventChannelMember").values()} == {channel}
    credential = members("NamedCredential")[text(relay, "destinationResourceName").removeprefix("callout:")]
    assert text(credential, "endpoint").startswith("arn:aws:")


def test_the_external_client_app_belongs_together() -> None:
    (app,) = members("ExternalClientApplication")
    for kind in ("ExtlClntAppGlobalOauthSettings", "ExtlClntAppOauthSettings", "ExtlClntAppOauthConfigurablePolicies"):
        (part,) = members(kind).values()
        assert text(part, "externalClientApplication") == app
    (policies,) = members("ExtlClntAppOauthConfigurablePolicies").values()
    assert text(policies, "commaSeparatedPermissionSet") in members("PermissionSet")
    (settings,) = members("ExtlClntAppGlobalOauthSettings").values()
    # The keys are made by the org.
    assert not {"consumerKey", "consumerSecret"} & {one.tag.rpartition("}")[2] for one in settings}


def test_outbound_messages_send_what_there_is() -> None:
    for name, workflow in members("Workflow").items():
        for field in texts(workflow, "outboundMessages/fields"):
            assert is_field(SCHEMA[name], field)


def test_nothing_of_the_first_step_needs_a_later_one() -> None:
    """Each directory is deployed with the first one in place, and no other."""
    base = {(kind, name) for kind in ("Flow", "PermissionSet", "NamedCredential") for name in members(kind, DIRECTORIES[0])}
    for directory in DIRECTORIES[1:]:
        for action in members("QuickAction", directory).values():
            assert ("Flow", text(action, "flowDefinition")) in base
        for relay in members("EventRelayConfig", directory).values():
            assert text(relay, "destinationResourceName").removeprefix("callout:") in members("NamedCredential", directory)


def test_no_secret_is_deployed() -> None:
    """A credential's value is entered in Setup: what the files have is a formula, a mark or a name."""
    given = {
        text(one, "parameterValue")
        for kind in ("NamedCredential", "ExternalCredential")
        for root in members(kind).values()
        for path in ("namedCredentialParameters", "externalCredentialParameters")
        for one in found(root, path)
    }
    assert given == {"", "__ORDERPHASE_API_URL__", "{!$Credential.Orderphase.ApiKey}"}
    for root in members("NamedCredential").values():
        assert not found(root, "password")
