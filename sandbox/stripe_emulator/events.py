"""Events: the record of every change, oldest first within an account."""

from __future__ import annotations

from fnmatch import fnmatchcase

from sandbox.stripe_emulator.account import Moment
from sandbox.stripe_emulator.errors import Json
from sandbox.stripe_emulator.pages import page


def retrieve(moment: Moment, _: Json, object_id: str) -> Json:
    """One event."""
    return moment.show(moment.account.find("event", object_id))


def listed(moment: Moment, params: Json, _: str) -> Json:
    """A page of events. Stripe: `type` may be a pattern such as `customer.*`, `types` are up to twenty names."""
    pattern, types = params.get("type", "*"), params.get("types")
    return page(
        moment,
        "event",
        params,
        keep=lambda event: fnmatchcase(event["type"], pattern) and (types is None or event["type"] in types),
    )
