"""As much of Mermaid's grammar as the documents use: flowcharts and sequence diagrams. Nothing else is known."""

from __future__ import annotations

import re

_NODE = r'\w+(?:\["[^"]+"\]|\[\([^()\[\]]+\)\]|\[[^()\[\]"]+\]|\{[^{}"]+\}|\{"[^"]+"\}|\([^()"]+\)|\("[^"]+"\))?'
_LINK = r"(?:--[->]|==>|-\.->|-- [^-\n]+ -->|-\. [^\n]+? \.->)(?:\|[^|\n]+\|)?"
_FLOWCHART = rf"{_NODE}(?: {_LINK} {_NODE})*|subgraph \w+(?:\[[^\]]+\])?|end|direction (?:LR|TD)"
_PARTY = r"\w+"
_NOTE = rf"Note (?:over|left of|right of) {_PARTY}(?:,{_PARTY})?: .+"
_SEQUENCE = (
    rf"(?:participant|actor) {_PARTY}(?: as .+)?|{_PARTY}--?>>{_PARTY}: .+|{_NOTE}"
    r"|(?:loop|alt|opt|else|par|and) ?.*|end|autonumber"
)
_KINDS = {"flowchart LR": _FLOWCHART, "flowchart TD": _FLOWCHART, "sequenceDiagram": _SEQUENCE}


def check(text: str) -> None:
    """Raises AssertionError with the first line that is not understood."""
    head, *lines = [line.strip() for line in text.strip().splitlines()]
    assert head in _KINDS, f"{head!r}: known are {', '.join(_KINDS)}"
    for line in lines:
        assert line.startswith("%%") or re.fullmatch(_KINDS[head], line), f"{line!r} is not understood"
