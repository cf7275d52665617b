"""The fields of the package are those of the mapping, of the documented types; the emulated org has just them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args
from xml.etree import ElementTree as ET

import pytest

from orderphase.domain.catalogue import _LONGEST, Unit
from orderphase.ingress.events import CancellationData
from orderphase.mapping import FieldMapping
from orderphase.salesforce.contracts import CANCELLED, FAILED, SKIPPED, SYNCED
from sandbox.build import ROOT
from sandbox.salesforce_emulator.objects import standard_schema
from tests.mapped import OBJECTS
from tests.package.sources import custom_fields, found, members, text, texts

FIELDS = members("CustomField")
# Beside the mapping's: the cancellation that a person asks for, which a flow sends, and what the sync status says in words.
BESIDE = {
    *(f"Order.Stripe_Cancellation_{name}__c" for name in ("Mode", "Date", "Invoice_Now", "Prorate", "Requested_At")),
    "Order.Stripe_Billing__c",
}


def documented() -> dict[str, str]:
    """The type of each custom field by default, as the mapping's documentation says it."""
    rows = re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| `(\w+__c)` \| (.*?) \|", (ROOT / "docs" / "mapping.md").read_text(), re.MULTILINE
    )
    return {f"{OBJECTS[table]}.{name}": said for table, key, name, said in rows if table in OBJECTS and key != "object"}


def by_default() -> Iterator[str]:
    """The custom fields that the mapping names by default."""
    for table, name in OBJECTS.items():
        for key, value in getattr(FieldMapping(), table).model_dump().items():
            if key != "object" and isinstance(value, str) and value.endswith("__c"):
                yield f"{name}.{value}"


def worded(field: ET.Element) -> str:
    """The type as Setup words it: the digits before the point, and those behind it."""
    kind, scale = text(field, "type"), int(text(field, "scale") or 0)
    match kind:
        case "Text":
            said = f"Text({text(field, 'length')})"
        case "LongTextArea":
            said = f"Long Text Area({int(text(field, 'length')):,})"
        case "Number" | "Percent" | "Currency":
            said = f"{kind}({int(text(field, 'precision')) - scale}, {scale})"
        case "DateTime":
            said = "Date/Time"
        case "Lookup":
            said = f"Lookup({text(field, 'referenceTo')})"
        case _:
            said = kind
    unique = [", unique"] if text(field, "unique") == "true" else []
    return "".join([said, *unique, *([", external id"] if text(field, "externalId") == "true" else [])])


def values(name: str) -> list[str]:
    return texts(FIELDS[name], "valueSet/valueSetDefinition/value/fullName")


def test_the_fields_are_those_of_the_mapping() -> None:
    assert set(by_default()) | BESIDE == custom_fields()


def test_the_types_are_the_documented_ones() -> None:
    said = documented()
    assert set(said) == set(by_default())
    assert {name: worded(FIELDS[name]) for name in said} == said


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_each_field_says_what_it_is(name: str) -> None:
    field = FIELDS[name]
    assert text(field, "fullName") == name.partition(".")[2]
    assert len(text(field, "description")) > 10
    # Salesforce: 255 characters of help, 1,000 of description, 40 of a label.
    assert 10 < len(text(field, "inlineHelpText")) <= 255
    assert len(text(field, "description")) <= 1000
    assert 2 < len(text(field, "label")) <= 40
    if text(field, "unique") == "true":
        # Stripe: ids differ in case alone.
        assert text(field, "caseSensitive") == "true"
    assert text(field, "required") in ("", "false")


def test_the_picklists_have_what_is_written_and_read() -> None:
    assert set(values("Order.Stripe_Sync_Status__c")) == {SYNCED, FAILED, CANCELLED, SKIPPED, "Pending"}
    assert set(values("PricebookEntry.Stripe_Billing_Interval__c")) == set(get_args(Unit))
    modes = [CancellationData.model_validate({"mode": one, **date(one)}).mode for one in values(MODE)]
    assert modes == ["now", "at_period_end", "on_date"]
    for field in FIELDS.values():
        for given in found(field, "valueSet"):
            assert text(given, "restricted") == "true"


def test_the_longest_interval_fits() -> None:
    count = FIELDS["PricebookEntry.Stripe_Billing_Interval_Count__c"]
    assert max(_LONGEST.values()) < 10 ** int(text(count, "precision"))


MODE = "Order.Stripe_Cancellation_Mode__c"


def date(mode: str) -> dict[str, Any]:
    return {"date": "2027-06-01"} if mode == "on_date" else {}


def test_the_emulated_org_has_just_the_package() -> None:
    """But for the formula, which it does not compute."""
    schema = standard_schema(())
    there = {f"{sobject.name}.{field.name}" for sobject in schema for field in sobject if field.custom}
    assert there == custom_fields() - {"Order.Stripe_Billing__c"}
    key = schema["Contract"].field("Stripe_Subscription_Schedule_Id__c")
    assert key is not None
    assert (key.kind, key.length, key.unique, key.external_id, key.case_sensitive) == ("string", 255, True, True, True)
    status, off, child = (schema["Order"].field(name) for name in (STATUS, OFF, "Stripe_Cancellation_Prorate__c"))
    assert status is not None
    assert status.values == tuple(values(f"Order.{STATUS}"))
    assert off is not None
    assert (off.kind, off.precision, off.scale) == ("currency", 18, 3)
    assert child is not None
    assert (child.kind, child.default, child.nillable) == ("boolean", False, False)
    assert {(one.name, field.name) for one, field in schema.children(schema["Order"])} >= {("Sync_Log__c", "Order__c")}


STATUS = "Stripe_Sync_Status__c"
OFF = "Stripe_Discount_Amount_Off__c"
