"""The files of the Salesforce package, read: which there are, what is in them, and what their elements say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from sandbox.build import ROOT

PROJECT = ROOT / "salesforce"
NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
SETTINGS: dict[str, Any] = json.loads((PROJECT / "sfdx-project.json").read_text("utf-8"))
DIRECTORIES = [one["path"] for one in SETTINGS["packageDirectories"]]
BASE = DIRECTORIES[0]

MARK = "__ORDERPHASE_"
"""What each text begins with that differs from org to org, and is replaced when it is deployed."""

# What a file's name ends with, and what the Metadata API calls it.
TYPES = {
    ".cls-meta.xml": "ApexClass",
    ".customPermission-meta.xml": "CustomPermission",
    ".eca-meta.xml": "ExternalClientApplication",
    ".ecaGlblOauth-meta.xml": "ExtlClntAppGlobalOauthSettings",
    ".ecaOauth-meta.xml": "ExtlClntAppOauthSettings",
    ".ecaOauthPlcy-meta.xml": "ExtlClntAppOauthConfigurablePolicies",
    ".eventRelay-meta.xml": "EventRelayConfig",
    ".externalCredential-meta.xml": "ExternalCredential",
    ".field-meta.xml": "CustomField",
    ".flow-meta.xml": "Flow",
    ".listView-meta.xml": "ListView",
    ".namedCredential-meta.xml": "NamedCredential",
    ".object-meta.xml": "CustomObject",
    ".permissionset-meta.xml": "PermissionSet",
    ".platformEventChannel-meta.xml": "PlatformEventChannel",
    ".platformEventChannelMember-meta.xml": "PlatformEventChannelMember",
    ".quickAction-meta.xml": "QuickAction",
    ".validationRule-meta.xml": "ValidationRule",
    ".workflow-meta.xml": "Workflow",
}
# Named after the object too: `Order.Stripe_Account__c`.
OF_OBJECTS = ("CustomField", "ListView", "ValidationRule")


def files(directory: str | None = None) -> list[Path]:
    """The metadata files of a package directory, or of all."""
    folders = [PROJECT / one for one in ([directory] if directory else DIRECTORIES)]
    return sorted(path for folder in folders for path in folder.rglob("*-meta.xml"))


def variables_of(directory: str) -> set[str]:
    """The names of the environment variables that a directory's replacements take."""
    return {
        one["replaceWithEnv"]
        for one in SETTINGS["replacements"]
        if one.get("filename", one.get("glob", "")).startswith(f"{directory}/")
    }


def suffix(path: Path) -> str:
    return "." + path.name.split(".", path.name.count(".") - 1)[-1]


def type_of(path: Path) -> str:
    """What the file is, by its name. KeyError for another one."""
    return TYPES[suffix(path)]


def member(path: Path) -> str:
    """How the file's component is called in a package.xml."""
    name = path.name.removesuffix(suffix(path))
    return f"{path.parent.parent.name}.{name}" if type_of(path) in OF_OBJECTS else name


def members(kind: str, directory: str | None = None) -> dict[str, ET.Element]:
    """The components of a type by their names."""
    return {member(path): ET.parse(path).getroot() for path in files(directory) if type_of(path) == kind}


def found(element: ET.Element, path: str) -> list[ET.Element]:
    """The elements at a path of names, `start/filters`."""
    return element.findall("/".join(f"{{{NAMESPACE}}}{name}" for name in path.split("/")))


def texts(element: ET.Element, path: str) -> list[str]:
    return [one.text or "" for one in found(element, path)]


def text(element: ET.Element, path: str) -> str:
    """The text at a path; empty where there is none. AssertionError where there are several."""
    all_of_it = texts(element, path)
    assert len(all_of_it) < 2, (path, all_of_it)
    return all_of_it[0] if all_of_it else ""


def every(element: ET.Element, name: str) -> Iterator[str]:
    """The texts of all elements of a name, however deep."""
    return (one.text or "" for one in element.iter(f"{{{NAMESPACE}}}{name}"))


def custom_fields() -> set[str]:
    """All fields that the package makes, `Order.Stripe_Account__c`."""
    return set(members("CustomField"))
