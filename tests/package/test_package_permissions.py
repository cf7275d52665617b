"""What the permission sets allow: the integration user just what the doctor asks for, the others what their names say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from xml.etree import ElementTree as ET

import pytest

from orderphase.diagnosis import Diagnosis, Uses
from orderphase.mapping import FieldMapping
from orderphase.salesforce.client import SalesforceClient
from orderphase.salesforce.doctor import examine
from orderphase.settings import SalesforceCredentials
from sandbox.clock import Clock
from sandbox.salesforce_emulator import SalesforceEmulator
from sandbox.serving import Server
from tests.flows.world import NOW, ORG
from tests.package.sources import custom_fields, found, members, text, texts

SETS = members("PermissionSet")
INTEGRATION = SETS["Orderphase_Integration"]
EVERYTHING = Uses(records=True)
# Salesforce: these have no permissions of their own; lines go with orders, entries with products and price books.
GO_WITH = {"OrderItem": ("Order",), "PricebookEntry": ("Product2", "Pricebook2")}
# Salesforce: the standard fields that a permission set may hold, of those that are read. An address counts as one.
HELD = {
    "Account": ("Phone", "Description", "BillingAddress", "ShippingAddress"),
    "Contact": ("Email",),
    "Order": ("ActivatedDate", "BillToContactId"),
    "OrderItem": ("ServiceDate", "EndDate"),
    "Product2": ("Description",),
}
PARTS = ("Street", "City", "State", "PostalCode", "Country")


def fields(permissions: ET.Element) -> dict[str, str]:
    """What a set allows with fields: read or edit."""
    given = found(permissions, "fieldPermissions")
    assert all(text(one, "readable") == "true" for one in given)
    return {text(one, "field"): "edit" if text(one, "editable") == "true" else "read" for one in given}


def objects(permissions: ET.Element) -> dict[str, set[str]]:
    """What a set allows with objects: Create, Read, Edit, Delete."""
    kinds = ("Create", "Read", "Edit", "Delete")
    return {
        text(one, "object"): {kind for kind in kinds if text(one, f"allow{kind}") == "true"}
        for one in found(permissions, "objectPermissions")
    }


def allowed(name: str, permissions: ET.Element) -> set[str]:
    """What a set allows with an object or with those that it goes with."""
    given = [objects(permissions).get(one, set()) for one in GO_WITH.get(name, (name,))]
    return set.union(*given) if all(given) else set()


@contextmanager
def seen_by(granted: Mapping[str, str], permissions: ET.Element = INTEGRATION) -> Iterator[SalesforceClient]:
    """An org with the package, whose integration user has the set's objects, and of the fields what is granted."""
    org = SalesforceEmulator(Clock(NOW, frozen=True), client_id="client", client_secret="secret", org_id=ORG)
    for sobject in list(org._schema):
        if not sobject.writable or sobject.name == "User":
            continue
        can = allowed(sobject.name, permissions)
        org.set_access(sobject.name, level="edit" if can & {"Create", "Edit"} else "read" if can else "none")
        custom = [field.name for field in sobject if field.custom]
        for name in (*custom, *HELD.get(sobject.name, ())):
            level = granted.get(f"{sobject.name}.{name}", "none")
            parts = [f"{name.removesuffix('Address')}{part}" for part in PARTS] if name.endswith("Address") else [name]
            org.set_access(sobject.name, *parts, level=level)  # type: ignore[arg-type]
    with Server(org) as server:
        values = {"SALESFORCE_LOGIN_URL": server.url, "SALESFORCE_CLIENT_ID": "client", "SALESFORCE_CLIENT_SECRET": "secret"}
        credentials = SalesforceCredentials.model_validate(values)
        yield SalesforceClient(credentials, now=Clock(NOW, frozen=True).now, pause=lambda _: None)


def told(client: SalesforceClient) -> list[Diagnosis]:
    return [one for one in examine(client, FieldMapping(), EVERYTHING).diagnoses if one.severity != "ok"]


def test_the_doctor_is_content_with_the_integration_user() -> None:
    with seen_by(fields(INTEGRATION)) as client:
        assert told(client) == []


@pytest.mark.parametrize("name", sorted(fields(INTEGRATION)))
def test_the_integration_user_needs_each_field(name: str) -> None:
    """Without it, or with less of it, the doctor misses something."""
    granted = fields(INTEGRATION)
    less = {**granted, name: "read"} if granted[name] == "edit" else {one: granted[one] for one in granted if one != name}
    with seen_by(less) as client:
        missed = told(client)
    assert missed
    assert {one.where.removeprefix("Salesforce ") for one in missed} <= {name.partition(".")[0], "Order"}


@pytest.mark.parametrize("name", sorted(objects(INTEGRATION)))
def test_the_integration_user_needs_each_object(name: str) -> None:
    without = ET.fromstring(ET.tostring(INTEGRATION))
    for one in found(without, "objectPermissions"):
        if text(one, "object") == name:
            without.remove(one)
    with seen_by(fields(INTEGRATION), without) as client:
        assert told(client)


def test_the_integration_user_sees_every_order_and_deletes_nothing() -> None:
    """An order of the contract that it did not see would not be billed."""
    everywhere = {
        text(one, "object") for one in found(INTEGRATION, "objectPermissions") if text(one, "viewAllRecords") == "true"
    }
    assert everywhere == {"Account", "Contact", "Contract", "Order"}
    assert texts(INTEGRATION, "customPermissions/name") == ["Orderphase_Own_Changes"]
    for permissions in SETS.values():
        assert all("Delete" not in can for can in objects(permissions).values())
        assert "true" not in texts(permissions, "objectPermissions/modifyAllRecords")


def test_the_guard_is_for_the_integration_user_alone() -> None:
    holders = [name for name, one in SETS.items() if texts(one, "customPermissions/name")]
    assert holders == ["Orderphase_Integration"]


def test_the_reader_reads_all_and_changes_nothing() -> None:
    reader = SETS["Orderphase_Reader"]
    assert fields(reader) == dict.fromkeys(custom_fields(), "read")
    assert objects(reader) == {"Sync_Log__c": {"Read"}}


def test_every_field_that_a_person_fills_in_can_be_granted() -> None:
    """What Orderphase writes is for nobody else to change."""
    people = fields(SETS["Orderphase_Editor"]) | fields(SETS["Orderphase_Cancellation"])
    assert set(people.values()) == {"edit"}
    ours = {name for name, level in fields(INTEGRATION).items() if level == "edit" and name in custom_fields()}
    both = {"PricebookEntry.Stripe_Billing_Interval__c", "PricebookEntry.Stripe_Billing_Interval_Count__c"}
    assert ours & set(people) == both
    assert ours | set(people) | {"Order.Stripe_Billing__c"} == custom_fields()
    assert {name for name in people if "Cancellation" in name} == set(fields(SETS["Orderphase_Cancellation"]))


def test_each_set_gives_what_its_holders_do() -> None:
    """Run Flows to those who use an action, which is a screen flow; a flow that a change starts takes no permission."""
    given = {name: sorted(texts(one, "userPermissions/name")) for name, one in SETS.items()}
    assert given == {
        "Orderphase_Integration": ["ActivateOrder", "ApiEnabled", "EditActivatedOrders"],
        "Orderphase_Reader": [],
        "Orderphase_Editor": [],
        "Orderphase_Sender": ["RunFlow"],
        "Orderphase_Cancellation": ["ActivateOrder", "EditActivatedOrders", "RunFlow"],
    }


def test_edit_activated_orders_comes_with_what_it_takes() -> None:
    """Salesforce: it is refused without Activate Orders, and the edit of orders without the reading of accounts."""
    for permissions in SETS.values():
        users = texts(permissions, "userPermissions/name")
        if "EditActivatedOrders" in users:
            assert "ActivateOrder" in users
            assert {"Read", "Edit"} <= objects(permissions)["Order"]
            assert "Read" in objects(permissions)["Account"]
        for can in objects(permissions).values():
            assert "Read" in can


def test_the_sender_may_use_the_credential() -> None:
    sender = SETS["Orderphase_Sender"]
    assert texts(sender, "externalCredentialPrincipalAccesses/externalCredentialPrincipal") == ["Orderphase-Sender"]
    assert texts(sender, "classAccesses/apexClass") == ["OrderphaseEvents"]
    assert fields(sender) == {}


def test_the_sets_are_described() -> None:
    for name, permissions in SETS.items():
        assert text(permissions, "label") == name.replace("_", ": ", 1).replace("_", " ")
        assert 30 < len(text(permissions, "description")) <= 255
