"""Form bodies with brackets, as Stripe's API takes them: `phases[0][items][0][price]=price_A`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from sandbox.stripe_emulator.errors import StripeError

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")


def decode(text: str) -> dict[str, Any]:
    """A form as nested dicts of strings.

    Lists are still dicts keyed "0", "1", … (`x[]=` counts on from the last): only the type of a parameter tells a list from
    metadata with numeric keys. A key sent twice has the last value. Raises StripeError where keys contradict each other.
    """
    tree: dict[str, Any] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        match = _KEY.fullmatch(key)
        if match is None:
            raise StripeError(f"Invalid parameter name: {key}", param=key)
        *parents, last = [match[1], *_PART.findall(match[2])]
        node = tree
        for part in parents:
            node = node.setdefault(part or str(len(node)), {})
            if not isinstance(node, dict):
                raise StripeError(f"Invalid object: {key}", param=key)
        name = last or str(len(node))
        if isinstance(node.get(name), dict):
            raise StripeError(f"Invalid object: {key}", param=key)
        node[name] = value
    return tree
