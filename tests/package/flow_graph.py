"""A flow of the package as a graph: its elements, what leads where, and what it refers to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from xml.etree import ElementTree as ET

from tests.package.sources import every, found, text

# The elements that connectors lead to, and what else has a name that can be referred to.
NODES = ("actionCalls", "decisions", "recordLookups", "recordUpdates", "screens")
RESOURCES = ("choices", "variables", "formulas")
LEADING = ("connector", "faultConnector", "defaultConnector", "rules/connector")
_MERGED = re.compile(r"\{!([$\w.]+)\}")


@dataclass(frozen=True)
class Flow:
    """One flow."""

    name: str
    root: ET.Element

    @property
    def start(self) -> ET.Element:
        return found(self.root, "start")[0]

    @property
    def object(self) -> str:
        """The object whose records start it; empty for a screen flow."""
        return text(self.start, "object")

    @cached_property
    def nodes(self) -> dict[str, ET.Element]:
        return {text(one, "name"): one for kind in NODES for one in found(self.root, kind)}

    @cached_property
    def resources(self) -> set[str]:
        """The names of variables, choices and input fields."""
        named = [text(one, "name") for kind in RESOURCES for one in found(self.root, kind)]
        return {*named, *(text(one, "name") for one in found(self.root, "screens/fields"))}

    def actions(self, kind: str) -> list[ET.Element]:
        """The actions of a kind: apex, outboundMessage."""
        return [one for one in found(self.root, "actionCalls") if text(one, "actionType") == kind]

    def leads(self, element: ET.Element) -> list[str]:
        """Where an element leads."""
        return [text(one, "targetReference") for path in LEADING for one in found(element, path)]

    def first(self) -> list[str]:
        """Where it begins, at once or later."""
        return [
            text(one, "targetReference")
            for path in ("connector", "scheduledPaths/connector")
            for one in found(self.start, path)
        ]

    def reached(self) -> set[str]:
        """The nodes to which a way leads from the start. KeyError where it leads nowhere."""
        todo, seen = self.first(), set[str]()
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += self.leads(self.nodes[name])
        return seen

    def references(self) -> Iterator[str]:
        """Everything that it refers to by name: `$Record.Id`, `recordId`, `Send.outcome`."""
        for name in ("elementReference", "leftValueReference", "choiceReferences", "defaultSelectedChoiceReference"):
            yield from every(self.root, name)
        for name in ("fieldText", "filterFormula", "interviewLabel", "expression"):
            for said in every(self.root, name):
                yield from _MERGED.findall(said)

    def watched(self) -> set[str]:
        """The fields of its object whose change starts it."""
        formula = text(self.start, "filterFormula")
        changed = re.findall(r"ISCHANGED\(\{!\$Record\.(\w+)\}\)", formula)
        return {*changed, *(text(one, "field") for one in found(self.start, "filters"))}

    def inputs(self, action: ET.Element) -> dict[str, str]:
        """What an action is given: a name to a reference, or to a text within quotes."""
        given = {}
        for one in found(action, "inputParameters"):
            reference, said = text(one, "value/elementReference"), text(one, "value/stringValue")
            given[text(one, "name")] = reference or repr(said)
        return given
