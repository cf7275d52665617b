"""XML from outside, read into a tree: UTF-8 alone, names resolved, and nothing in it that makes much of little.

Document types (and with them entities), processing instructions, more than `MAX_DEPTH` levels or `MAX_ELEMENTS` elements, and
long namespaces are refused; nothing is ever fetched. The caller bounds the size.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn
from xml.parsers import expat  # expat alone, with what is dangerous in it refused below

from orderphase.ingress.documents import EventError

MAX_DEPTH = 16
MAX_ELEMENTS = 20_000
MAX_NAMESPACE = 255

_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
# Between namespace and local name. Neither can contain it: XML does not allow the character.
_SEPARATOR = "\x1f"

type QName = tuple[str, str]
"""Namespace, empty where there is none, and local name."""


@dataclass(slots=True)
class Element:
    """One element. text: its own, without its children's. type: what `xsi:type` names. nil: whether `xsi:nil` says so."""

    name: QName
    type: QName | None = None
    nil: bool = False
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its text, without what is around it."""
        return "".join(self.pieces).strip()

    def all(self, name: QName) -> Iterator[Element]:
        """The children of this name."""
        return (child for child in self.children if child.name == name)

    def one(self, name: QName) -> Element | None:
        """The child of this name, or None. Raises `EventError` where there are several."""
        found = list(self.all(name))
        if len(found) > 1:
            raise EventError(f"{name[1]}: is there more than once")
        return found[0] if found else None


def read(body: bytes) -> Element:
    """The root of the document in `body`. Raises `EventError`."""
    builder = _Builder()
    # What looks like UTF-16 would be read as that, whatever expat is told. XML has no null character.
    if b"\0" in body:
        raise EventError("body: is not XML in UTF-8")
    try:
        body.decode()
        builder.parser.Parse(body, True)  # noqa: FBT003 (expat takes it by position)
    except UnicodeError:
        raise EventError("body: is not XML in UTF-8") from None
    except expat.ExpatError as problem:
        reason = expat.ErrorString(problem.code)
        raise EventError(f"body: is not XML: {reason} (line {problem.lineno}, column {problem.offset})") from None
    return builder.top.children[0]


class _Builder:
    """Builds the tree below `top` from what the parser meets."""

    def __init__(self) -> None:
        # A name given here counts, whatever the document says of itself.
        self.parser = expat.ParserCreate("utf-8", _SEPARATOR)
        self.parser.buffer_text = True
        self.parser.XmlDeclHandler = _check_encoding
        self.parser.StartDoctypeDeclHandler = _refuse_doctype
        self.parser.ProcessingInstructionHandler = _refuse_instruction
        self.parser.StartNamespaceDeclHandler = self._declare
        self.parser.EndNamespaceDeclHandler = self._undeclare
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.top = Element(("", ""))
        self._open = [self.top]
        self._count = 0
        self._namespaces: defaultdict[str | None, list[str]] = defaultdict(list)

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        # expat writes the whole namespace into the name of each element.
        if uri is not None and len(uri) > MAX_NAMESPACE:
            raise EventError(f"body: has a namespace of more than {MAX_NAMESPACE} characters")
        self._namespaces[prefix].append(uri or "")

    def _undeclare(self, prefix: str | None) -> None:
        self._namespaces[prefix].pop()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise EventError(f"body: has more than {MAX_ELEMENTS} elements")
        if len(self._open) > MAX_DEPTH:
            raise EventError(f"body: is nested more than {MAX_DEPTH} levels deep")
        stated = attributes.get(f"{_INSTANCE}{_SEPARATOR}type")
        nil = attributes.get(f"{_INSTANCE}{_SEPARATOR}nil", "").strip() in ("true", "1")
        element = Element(_split(name), None if stated is None else self._resolved(stated), nil)
        self._open[-1].children.append(element)
        self._open.append(element)

    def _end(self, name: str) -> None:  # noqa: ARG002 (expat checks it)
        self._open.pop()

    def _text(self, text: str) -> None:
        self._open[-1].pieces.append(text)

    def _resolved(self, value: str) -> QName:
        """The name that an attribute's value stands for. XML Schema: without a prefix it is in the default namespace."""
        prefix, colon, local = value.strip().rpartition(":")
        namespaces = self._namespaces[prefix if colon else None]
        if colon and not namespaces:
            raise EventError("body: is not XML: xsi:type has a prefix that stands for no namespace")
        return (namespaces[-1] if namespaces else "", local)


def _split(name: str) -> QName:
    namespace, _, local = name.rpartition(_SEPARATOR)
    return (namespace, local)


def _check_encoding(version: str, encoding: str | None, standalone: int) -> None:  # noqa: ARG001 (expat gives them)
    if encoding is not None and encoding.lower() != "utf-8":
        raise EventError("body: is not XML in UTF-8")


def _refuse_doctype(*declared: Any) -> NoReturn:  # noqa: ARG001 (expat gives name, ids and whether it has a subset)
    raise EventError("body: has a document type, which is not taken")


def _refuse_instruction(target: str, data: str) -> NoReturn:  # noqa: ARG001 (expat gives them)
    raise EventError("body: has a processing instruction, which is not taken")
