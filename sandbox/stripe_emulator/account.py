"""What one Stripe account holds, and the circumstances under which it changes."""

from __future__ import annotations

import heapq
import itertools
import secrets
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from string import ascii_letters, digits

from sandbox.stripe_emulator import views
from sandbox.stripe_emulator.errors import Json, no_such
from sandbox.stripe_emulator.idempotency import Remembered
from sandbox.stripe_emulator.search import Index


class Agenda:
    """What is to happen at a time to come, in order of time; at one moment by rank, then as entered."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, int, int, Callable[[int], None], str | None]] = []
        self._numbers = itertools.count()
        self._entered: set[tuple[int, str]] = set()

    def at(self, when: int, happen: Callable[[int], None], *, rank: int = 0, name: str | None = None) -> None:
        """Have `happen(when)` called once time has reached `when` (Unix seconds). A name is entered once for each time."""
        if name is not None:
            if (when, name) in self._entered:
                return
            self._entered.add((when, name))
        heapq.heappush(self._entries, (when, rank, next(self._numbers), happen, name))

    def catch_up(self, now: int) -> None:
        """Let everything due by `now` happen, including what follows from it."""
        while self._entries and self._entries[0][0] <= now:
            when, _, _, happen, name = heapq.heappop(self._entries)
            if name is not None:
                self._entered.discard((when, name))
            happen(when)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._entered.clear()


@dataclass(frozen=True, slots=True)
class InvoiceItem:
    """A one-time item that a subscription was given when it entered a phase, for its next invoice.

    phase_start: when that phase began. amount: of the whole quantity, in minor units, negative for a credit.
    period_start, period_end: what the amount is for. All times are Unix seconds.
    """

    subscription: str
    phase_start: int
    price: str
    quantity: int
    amount: int
    currency: str
    period_start: int
    period_end: int
    discountable: bool
    metadata: Json


@dataclass(slots=True)
class Account:
    """The state of one account. Objects are kept by kind (`subscription_schedule`) and id, oldest first.

    agenda: shared by all accounts, so that they age together.
    publish: takes each event once it is stored.
    search_lag: how far search is behind, in seconds.
    platform: the account that this one is connected to, if any; its key reaches this one by `Stripe-Account`.
    lookup_keys: the id of the price that holds a lookup key.
    inline_prices: the ids of prices that were made inside of another request.
    invoice_items: all that subscriptions were given, oldest first.
    invoiced: how many of them there were when a subscription, by its id, was last invoiced.
    prorated: the subscriptions whose next invoice would show prorations, which are not modelled.
    """

    id: str
    agenda: Agenda
    publish: Callable[[Account, Json], None]
    search_lag: int = 0
    platform: str | None = None
    kinds: defaultdict[str, dict[str, Json]] = field(default_factory=partial(defaultdict[str, dict[str, Json]], dict))
    remembered: Remembered = field(default_factory=Remembered)
    customers: Index = field(default_factory=Index)
    lookup_keys: dict[str, str] = field(default_factory=dict)
    inline_prices: set[str] = field(default_factory=set)
    invoice_items: list[InvoiceItem] = field(default_factory=list)
    invoiced: dict[str, int] = field(default_factory=dict)
    prorated: set[str] = field(default_factory=set)

    def find(self, kind: str, object_id: str, param: str | None = None) -> Json:
        """The stored object; a deleted one counts as absent. `param` names the parameter that refers to it, none the path."""
        found = self.kinds[kind].get(object_id)
        if found is None or found.get("deleted"):
            raise no_such(kind, object_id, param)
        return found

    def add(self, stored: Json) -> Json:
        """Keep a new object; answers it."""
        self.kinds[stored["object"]][stored["id"]] = stored
        return stored


@dataclass(frozen=True, slots=True)
class Moment:
    """When a change happens, to which account, and by which request; none, when it is time that brings it about."""

    account: Account
    now: int
    request_id: str | None = None
    idempotency_key: str | None = None

    def show(self, stored: Json) -> Json:
        """A copy of a stored object as Stripe shows it now."""
        return views.show(self.account.kinds, stored, self.now)

    def emit(self, event_type: str, shown: Json, before: Json | None = None) -> None:
        """Store and publish an event about an object as shown.

        Given `before`, the object as it was shown earlier, nothing is emitted if it has not changed.
        """
        data: Json = {"object": shown}
        if before is not None:
            if before == shown:
                return
            data["previous_attributes"] = views.changes(before, shown)
        if shown["object"] == "customer":
            self.account.customers.note(shown, self.now)
        event = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": views.API_VERSION,
            "created": self.now,
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": self.request_id, "idempotency_key": self.idempotency_key},
            "type": event_type,
        }
        if self.account.platform is not None:
            event["account"] = self.account.id
        self.account.add(event)
        self.account.publish(self.account, event)


def new_id(prefix: str) -> str:
    """An unused object id, opaque but for its prefix, as long as Stripe's."""
    return f"{prefix}_1" + "".join(secrets.choice(ascii_letters + digits) for _ in range(23))
