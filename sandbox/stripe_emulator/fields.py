"""Writing parameters into objects."""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.stripe_emulator.errors import Json


def put(stored: Json, params: Json, names: Iterable[str]) -> None:
    """Take over the named parameters that were sent; an empty string unsets."""
    for name in names:
        if name in params:
            stored[name] = None if params[name] == "" else params[name]


def merge_metadata(stored: Json, sent: dict[str, str] | str | None) -> None:
    """Merge metadata. Stripe: other keys stay, an empty value unsets its key, an empty string in place of all clears them."""
    if sent is None:
        return
    merged = {} if sent == "" or isinstance(sent, str) else {**stored["metadata"], **sent}
    stored["metadata"] = {key: value for key, value in merged.items() if value != ""}
