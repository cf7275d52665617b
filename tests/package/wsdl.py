"""The types of Salesforce's Metadata API, of the WSDL in simple-salesforce's package; a file is held against its type.

The WSDL is Salesforce's, so it is read where pip has put it. Its sequences say nothing about the sequence in a file, which is
free, but for this: elements of one name stand together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import NamedTuple
from xml.etree import ElementTree as ET

from tests.package.sources import NAMESPACE

_XSD = "{http://www.w3.org/2001/XMLSchema}"
_TNS = "tns:"


class Member(NamedTuple):
    """An element that a type has: its own type, whether it has to be there, whether there may be several."""

    type: str
    required: bool
    several: bool


@cache
def _schema() -> tuple[dict[str, ET.Element], dict[str, frozenset[str]]]:
    root = ET.fromstring((files("simple_salesforce") / "metadata.wsdl").read_bytes())
    types = {one.get("name", ""): one for one in root.iter(f"{_XSD}complexType")}
    values = {
        one.get("name", ""): frozenset(value.get("value", "") for value in one.iter(f"{_XSD}enumeration"))
        for one in root.iter(f"{_XSD}simpleType")
    }
    return types, {name: given for name, given in values.items() if given}


def version() -> float:
    """Which version of the API the WSDL is of."""
    head = (files("simple_salesforce") / "metadata.wsdl").read_text("utf-8")[:500]
    said = re.search(r"Metadata API version ([\d.]+)", head)
    assert said
    return float(said[1])


@cache
def members_of(type_name: str) -> dict[str, Member]:
    """What a type has, with what it inherits. KeyError for an unknown type."""
    declared = _schema()[0][type_name]
    base = declared.find(f".//{_XSD}extension")
    inherited = members_of(base.get("base", "").removeprefix(_TNS)) if base is not None else {}
    own = {
        one.get("name", ""): Member(one.get("type", ""), one.get("minOccurs") != "0", one.get("maxOccurs") == "unbounded")
        for one in declared.iter(f"{_XSD}element")
    }
    return inherited | own


def faults(root: ET.Element) -> list[str]:
    """What is wrong with a file's root element, by the type of its name; each begins with where it is."""
    name = root.tag.removeprefix(f"{{{NAMESPACE}}}")
    if root.tag == name:
        return [f"{name}: is not in the namespace {NAMESPACE}"]
    return list(_faults(root, name, name)) if name in _schema()[0] else [f"{name}: is no type"]


def _faults(element: ET.Element, type_name: str, where: str) -> Iterator[str]:
    known = members_of(type_name)
    names = [child.tag.removeprefix(f"{{{NAMESPACE}}}") for child in element]
    together = [name for name, _ in groupby(names)]
    for name in dict.fromkeys(names):
        if name not in known:
            yield f"{where}/{name}: is unknown to {type_name}"
        elif names.count(name) > 1 and not known[name].several:
            yield f"{where}/{name}: is there {names.count(name)} times"
        elif together.count(name) > 1:
            yield f"{where}/{name}: do not stand together"
    for name, needed in known.items():
        if needed.required and name not in names:
            yield f"{where}/{name}: is missing"
    for child, name in zip(element, names, strict=True):
        if name in known:
            yield from _value_faults(child, known[name].type, f"{where}/{name}")


def _value_faults(element: ET.Element, kind: str, where: str) -> Iterator[str]:
    types, enumerations = _schema()
    name = kind.removeprefix(_TNS)
    if kind.startswith(_TNS) and name in types:
        yield from _faults(element, name, where)
        return
    if len(element):
        yield f"{where}: has elements within, and is a plain value"
        return
    text = element.text or ""
    if name in enumerations:
        if text not in enumerations[name]:
            yield f"{where}: {text!r} is no {name}"
    elif not _reads(kind.partition(":")[2], text):
        yield f"{where}: {text!r} is no {kind}"


def _reads(kind: str, text: str) -> bool:
    try:
        match kind:
            case "boolean":
                return text in ("true", "false")
            case "int":
                int(text)
            case "double":
                float(text)
            case "date":
                date.fromisoformat(text)
            case "dateTime":
                datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
