"""Lists: newest first, filtered, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import dropwhile, islice

from sandbox.stripe_emulator.account import Moment
from sandbox.stripe_emulator.errors import Json, no_such

DEFAULT_LIMIT = 10


def page(moment: Moment, kind: str, params: Json, *, keep: Callable[[Json], bool] = lambda _: True) -> Json:
    """One page of the objects of a kind that pass `keep` and the time ranges (`created`, `released_at`, …) in `params`.

    No more objects are looked at than lead to the page. Observed: a bad cursor answers 400. Here that is one that is not in the
    list, be it only because it does not pass the filters any more.
    """
    stored, limit = moment.account.kinds[kind], params.get("limit", DEFAULT_LIMIT)
    ranges = {name: value for name, value in params.items() if name == "created" or name.endswith("_at")}

    def chosen(entry: Json) -> bool:
        return not entry.get("deleted") and keep(entry) and all(_within(entry[name], at) for name, at in ranges.items())

    backwards = "ending_before" in params
    entries: Iterable[Json] = stored.values() if backwards else reversed(stored.values())
    name = "ending_before" if backwards else "starting_after"
    if name in params:
        cursor = stored.get(params[name])
        if cursor is None or not chosen(cursor):
            raise no_such(kind, params[name], name)
        entries = islice(dropwhile(lambda entry: entry is not cursor, entries), 1, None)
    found = list(islice(filter(chosen, entries), limit + 1))
    more, found = len(found) > limit, found[:limit]
    data = [moment.show(entry) for entry in (reversed(found) if backwards else found)]
    return {"object": "list", "url": f"/v1/{kind}s", "has_more": more, "data": data}


def same(params: Json, *names: str) -> Callable[[Json], bool]:
    """A filter: each of the named parameters that was sent equals the field of that name."""
    wanted = {name: params[name] for name in names if name in params}
    return lambda stored: all(stored[name] == value for name, value in wanted.items())


def _within(value: int | None, bounds: int | dict[str, int]) -> bool:
    if value is None:
        return False
    if isinstance(bounds, int):
        return value == bounds
    tests = {"gt": value.__gt__, "gte": value.__ge__, "lt": value.__lt__, "lte": value.__le__}
    return all(tests[name](bound) for name, bound in bounds.items())
