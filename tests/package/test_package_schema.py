"""Every file of the Salesforce package is what the Metadata API takes: elements, their number, values. A mistake is noticed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from orderphase.salesforce.client import API_VERSION
from tests.package import wsdl
from tests.package.sources import DIRECTORIES, NAMESPACE, PROJECT, SETTINGS, files, found, members, suffix, text, type_of

TAG = f"{{{NAMESPACE}}}"


def child(element: ET.Element, name: str) -> ET.Element:
    return found(element, name)[0]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_the_file_is_what_the_api_takes(path: Path) -> None:
    root = ET.parse(path).getroot()
    assert root.tag == f"{TAG}{type_of(path)}"
    assert wsdl.faults(root) == []


def test_every_file_is_metadata_or_belongs_to_one() -> None:
    for directory in DIRECTORIES:
        given = {path for path in (PROJECT / directory).rglob("*") if path.is_file()}
        known = set(files(directory))
        sources = {path.with_name(path.name.removesuffix("-meta.xml")) for path in known if suffix(path) == ".cls-meta.xml"}
        assert given == known | sources


def test_the_package_directories_are_all_there() -> None:
    there = {path.name for path in PROJECT.iterdir() if path.is_dir()}
    assert there - {"tools"} == set(DIRECTORIES)
    assert all(files(directory) for directory in DIRECTORIES)


def test_one_version_of_the_api() -> None:
    assert SETTINGS["sourceApiVersion"] == API_VERSION
    said = [text(root, "apiVersion") for kind in ("Flow", "ApexClass") for root in members(kind).values()]
    said += [text(root, "outboundMessages/apiVersion") for root in members("Workflow").values()]
    assert set(said) == {API_VERSION}
    # Older than ours: what has come since is not known to it. Nothing of that is used.
    assert wsdl.version() <= float(API_VERSION)


def unknown_element(root: ET.Element) -> None:
    ET.SubElement(child(root, "actionCalls"), f"{TAG}strValue").text = "x"


def wrong_value(root: ET.Element) -> None:
    child(root, "start/scheduledPaths/pathType").text = "AsyncAfterComit"


def no_boolean(root: ET.Element) -> None:
    child(root, "start/doesRequireRecordChangedToMeetCriteria").text = "yes"


def no_number(root: ET.Element) -> None:
    child(root, "apiVersion").text = "new"


def missing(root: ET.Element) -> None:
    root.remove(child(root, "label"))


def twice(root: ET.Element) -> None:
    root.append(copy.deepcopy(child(root, "status")))


def apart(root: ET.Element) -> None:
    root.append(copy.deepcopy(child(root, "actionCalls")))


def nested(root: ET.Element) -> None:
    ET.SubElement(child(root, "label"), f"{TAG}name")


def elsewhere(root: ET.Element) -> None:
    root.tag = "Flow"


def no_type(root: ET.Element) -> None:
    root.tag = f"{TAG}Flows"


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (unknown_element, ["Flow/actionCalls/strValue: is unknown to FlowActionCall"]),
        (wrong_value, ["Flow/start/scheduledPaths/pathType: 'AsyncAfterComit' is no FlowScheduledPathType"]),
        (no_boolean, ["Flow/start/doesRequireRecordChangedToMeetCriteria: 'yes' is no xsd:boolean"]),
        (no_number, ["Flow/apiVersion: 'new' is no xsd:double"]),
        (missing, ["Flow/label: is missing"]),
        (twice, ["Flow/status: is there 2 times"]),
        (apart, ["Flow/actionCalls: do not stand together"]),
        (nested, ["Flow/label: has elements within, and is a plain value"]),
        (elsewhere, [f"Flow: is not in the namespace {NAMESPACE}"]),
        (no_type, ["Flows: is no type"]),
    ],
)
def test_a_mistake_is_noticed(mistake: Callable[[ET.Element], None], told: list[str]) -> None:
    root = copy.deepcopy(members("Flow")["Orderphase_Order_Activated"])
    assert wsdl.faults(root) == []
    mistake(root)
    assert wsdl.faults(root) == told
