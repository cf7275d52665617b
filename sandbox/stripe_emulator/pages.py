"""Lists: newest first, filtered, a page at a time."""

from __future__ import annotations

from collections.abc import Callable

from sandbox.stripe_emulator.account import Moment
from sandbox.stripe_emulator.errors import Json, no_such

DEFAULT_LIMIT = 10


def page(moment: Moment, kind: str, params: Json, *, keep: Callable[[Json], bool] = lambda _: True) -> Json:
    """One page of the objects of a kind that pass `keep` and the time ranges (`created`, `released_at`, …) in `params`."""
    ranges = {name: value for name, value in params.items() if name == "created" or name.endswith("_at")}
    found = [
        stored
        for stored in reversed(moment.account.kinds[kind].values())
        if not stored.get("deleted") and all(_within(stored[name], bounds) for name, bounds in ranges.items()) and keep(stored)
    ]
    limit = params.get("limit", DEFAULT_LIMIT)
    if "starting_after" in params:
        found = found[_position(found, kind, params, "starting_after") + 1 :]
    more = len(found) > limit
    if "ending_before" in params:
        before = found[: _position(found, kind, params, "ending_before")]
        more = len(before) > limit
        found = before[-limit:]
    data = [moment.show(stored) for stored in found[:limit]]
    return {"object": "list", "url": f"/v1/{kind}s", "has_more": more, "data": data}


def same(params: Json, *names: str) -> Callable[[Json], bool]:
    """A filter: each of the named parameters that was sent equals the field of that name."""
    wanted = {name: params[name] for name in names if name in params}
    return lambda stored: all(stored[name] == value for name, value in wanted.items())


def _position(found: list[Json], kind: str, params: Json, name: str) -> int:
    for index, stored in enumerate(found):
        if stored["id"] == params[name]:
            return index
    raise no_such(kind, params[name], name)  # Stripe: a cursor that is not in the list answers 400


def _within(value: int | None, bounds: int | dict[str, int]) -> bool:
    if value is None:
        return False
    if isinstance(bounds, int):
        return value == bounds
    tests = {"gt": value.__gt__, "gte": value.__ge__, "lt": value.__lt__, "lte": value.__le__}
    return all(tests[name](bound) for name, bound in bounds.items())
