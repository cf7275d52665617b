"""The fields and objects that the Salesforce package in `salesforce/` adds to an org, as the emulated org has them."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from sandbox.build import ROOT
from sandbox.salesforce_emulator.schema import Field, FieldKind

OBJECTS = ROOT / "salesforce" / "force-app" / "main" / "default" / "objects"
"""Of the package, what every org gets."""

_NAMESPACE = "{http://soap.sforce.com/2006/04/metadata}"
_KINDS: dict[str, FieldKind] = {
    "Text": "string",
    "LongTextArea": "textarea",
    "Picklist": "picklist",
    "Checkbox": "boolean",
    "Number": "double",
    "Percent": "percent",
    "Currency": "currency",
    "Date": "date",
    "DateTime": "datetime",
    "Lookup": "reference",
}
# Salesforce: a picklist's value has up to 255 characters, an id 18.
_LENGTHS = {"picklist": 255, "reference": 18}


def fields_of(name: str) -> list[Field]:
    """The custom fields of an object, but for its formulas: the emulator computes none."""
    return [_field(root) for root in _roots(name) if root.find(f"{_NAMESPACE}formula") is None]


def formulas_of(name: str) -> list[str]:
    """The names of an object's formula fields."""
    return [_text(root, "fullName") for root in _roots(name) if root.find(f"{_NAMESPACE}formula") is not None]


def _roots(name: str) -> Iterator[ET.Element]:
    for path in sorted((OBJECTS / name / "fields").glob("*.field-meta.xml")):
        yield ET.parse(path).getroot()  # noqa: S314 (a file of ours)


def _field(root: ET.Element) -> Field:
    kind = _KINDS[_text(root, "type")]
    children = _text(root, "relationshipName")
    return Field(
        _text(root, "fullName"),
        kind,
        # Salesforce: a checkbox is true or false, never empty.
        "CU" if kind == "boolean" else "CUN",
        length=int(_text(root, "length") or _LENGTHS.get(kind, 0)),
        precision=int(_text(root, "precision") or 0),
        scale=int(_text(root, "scale") or 0),
        default=_text(root, "defaultValue") == "true" if kind == "boolean" else None,
        values=tuple(_text(value, "fullName") for value in root.iter(f"{_NAMESPACE}value")),
        references=_text(root, "referenceTo"),
        children=f"{children}__r" if children else "",
        external_id=_text(root, "externalId") == "true",
        unique=_text(root, "unique") == "true",
        case_sensitive=_text(root, "caseSensitive") == "true",
    )


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(f"{_NAMESPACE}{name}") or ""
