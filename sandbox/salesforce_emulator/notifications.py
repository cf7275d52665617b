"""What the org sends when a record changes: a JSON event, posted after the commit, or an Outbound Message.

Told are the activation of an order, a change of an activated order's line, and the creation and every change of a product, a
price book entry and an account, and of a product or price of Stripe in the mirror that its package keeps. Not told: what is
deleted or merged, contacts, and what the platform itself derives (the entry's name after a product is renamed).
`data` has `contract_id` (of orders and lines, where there is one), `changed_fields` (API names; not of an activation; on
creation all that were set), `changed_by` (the acting user's id) and, of the mirror, `stripe_id`.

An org's record-triggered Flows do this on their asynchronous path. Salesforce: that path repeats a failed run after 15, 30, 60
and 120 minutes. Those are minutes of the emulator's clock here, looked at whenever that clock is moved. No field of this org
asks for a cancellation: whoever wants one sends its event.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import queue
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Literal, get_args
from urllib.parse import SplitResult, urlsplit

from sandbox.clock import Clock
from sandbox.salesforce_emulator import change_events, outbound_messages
from sandbox.salesforce_emulator.change_events import Change
from sandbox.salesforce_emulator.ids import make_id
from sandbox.salesforce_emulator.org import Happening

Method = Literal["signature", "api_key"]

RETRY_MINUTES = (15, 30, 60, 120)
CALLOUT_SECONDS = 10.0
LONGEST_ANSWER = 2_000


@dataclass(frozen=True, slots=True)
class Target:
    """Where events go, and how they prove where they come from; `method` None = as Outbound Messages, whose URL does."""

    url: SplitResult
    secret: str
    method: Method | None
    copies: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: when, and the HTTP status and the answer's beginning; status None with the problem where there was no answer."""

    at: datetime
    status: int | None
    answer: str


@dataclass(slots=True)
class Delivery:
    """One copy of one event on its way. `next_attempt`: when it is tried again; None = it is not.

    notification: the id that it has in Outbound Messages.
    """

    event: dict[str, Any]
    target: Target
    notification: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    next_attempt: datetime | None = None

    @property
    def delivered(self) -> bool:
        """Whether the latest attempt was answered with success."""
        status = self.attempts[-1].status if self.attempts else None
        success = status is not None and 200 <= status < 300  # noqa: PLR2004 (HTTP: success)
        return success and (self.target.method is not None or outbound_messages.acknowledges(self.attempts[-1].answer))

    def summary(self) -> dict[str, Any]:
        """As the administration route shows it."""
        return {
            "event": self.event,
            "url": self.target.url.geturl(),
            "delivered": self.delivered,
            "attempts": [{"at": each.at.isoformat(), "status": each.status, "answer": each.answer} for each in self.attempts],
            "next_attempt": self.next_attempt.isoformat() if self.next_attempt else None,
        }


class Notifications:
    """Queues events, delivers them on a thread of its own, and keeps what was answered."""

    def __init__(self, clock: Clock, org_id: str) -> None:
        self._clock = clock
        self._org_id = org_id
        self._target: Target | None = None
        self._outbound: Target | None = None
        self._changes: list[Change] = []
        self._origin = ""
        self._numbers = itertools.count(1)
        self._deliveries: list[Delivery] = []
        self._queue: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._unattempted = 0
        self._told: Counter[str] = Counter()
        self._state = threading.Condition()
        self._thread: threading.Thread | None = None
        clock.on_move(self._retry_due)

    def configure(self, url: str, secret: str, *, method: Method = "signature", copies: int = 1) -> None:
        """Send from now on to `url`, `copies` times each. ValueError for what cannot work."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url: {url!r} is no http address")
        if not secret:
            raise ValueError("secret: a secret is needed")
        if method not in get_args(Method):
            raise ValueError(f"method: {method!r} is none of {', '.join(get_args(Method))}")
        if copies < 1:
            raise ValueError("copies: at least one")
        with self._state:
            self._target = Target(parts, secret, method, copies)

    def send_outbound_messages(self, url: str) -> None:
        """Send Outbound Messages from now on to `url`. ValueError for what cannot work."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url: {url!r} is no http address")
        with self._state:
            self._outbound = Target(parts, "", None, 1)

    @contextmanager
    def caused_by(self, origin: str) -> Iterator[None]:
        """Say of what happens meanwhile which request has caused it."""
        self._origin = origin
        try:
            yield
        finally:
            self._origin = ""

    def changes(self, source: str) -> list[dict[str, Any]]:
        """What has happened so far, as Event Relay puts it on a bus; see `change_events`."""
        with self._state:
            return [change_events.envelope(change, source) for change in self._changes if change_events.covers(change)]

    def happened(self, happening: Happening) -> None:
        """Something was committed: send its event, if there is a target."""
        event_id = f"{happening.record_id}-{happening.at.timestamp() * 1000:.0f}"
        self._told[event_id] += 1
        event: dict[str, Any] = {
            "id": event_id if self._told[event_id] == 1 else f"{event_id}-{self._told[event_id]}",
            "type": happening.kind,
            "org_id": self._org_id,
            "record_id": happening.record_id,
            "occurred_at": happening.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "data": dict(happening.data),
        }
        with self._state:
            self._changes.append(Change(event["id"], happening, self._origin))
            if self._target is not None:
                for _ in range(self._target.copies):
                    self._enqueue(Delivery(event, self._target), new=True)
            if self._outbound is not None and outbound_messages.covers(event):
                self._enqueue(Delivery(event, self._outbound, make_id("04l", next(self._numbers))), new=True)

    def redeliver(self, event_id: str) -> None:
        """Send an event once more, whatever became of it, to where it went. KeyError for an unknown one."""
        with self._state:
            known = next((each for each in self._deliveries if each.event["id"] == event_id), None)
            if known is None:
                raise KeyError(f"{event_id}: no such event was sent")
            self._enqueue(Delivery(known.event, known.target, known.notification), new=True)

    def flush(self, timeout: float) -> None:
        """Wait until everything queued has been attempted. TimeoutError when that takes more than `timeout` seconds."""
        with self._state:
            if not self._state.wait_for(lambda: self._unattempted == 0, timeout):
                raise TimeoutError(f"{self._unattempted} notifications were not attempted within {timeout} seconds")

    def log(self) -> list[Delivery]:
        """All deliveries so far, oldest first."""
        with self._state:
            return list(self._deliveries)

    def clear(self) -> None:
        """Forget all deliveries; the targets stay."""
        with self._state:
            self._deliveries.clear()
            self._changes.clear()
            self._told.clear()

    def _enqueue(self, delivery: Delivery, *, new: bool = False) -> None:
        if new:
            self._deliveries.append(delivery)
        delivery.next_attempt = None
        self._unattempted += 1
        self._queue.put(delivery)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="salesforce-notifications", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        waiting: list[Delivery] = []
        while True:
            first = waiting.pop(0) if waiting else self._queue.get()
            together = [first]
            if first.target.method is None:
                # What waits for the same receiver goes along, as far as it fits.
                waiting += (self._queue.get() for _ in range(self._queue.qsize()))
                room = outbound_messages.LARGEST - 1
                together += [each for each in waiting if each.target is first.target][:room]
                waiting = [each for each in waiting if not any(each is taken for taken in together)]
            status, answer = self._post(first.target, self._body(together))
            with self._state:
                for delivery in together:
                    self._attempted(delivery, Attempt(self._clock.now(), status, answer))
                self._state.notify_all()

    def _body(self, together: list[Delivery]) -> bytes:
        if together[0].target.method is not None:
            return json.dumps(together[0].event).encode()
        return outbound_messages.message(self._org_id, [(each.notification, each.event) for each in together])

    def _attempted(self, delivery: Delivery, attempt: Attempt) -> None:
        delivery.attempts.append(attempt)
        minutes = RETRY_MINUTES if delivery.target.method else outbound_messages.RETRY_MINUTES
        tried = len(delivery.attempts)
        if not delivery.delivered and tried <= len(minutes):
            delivery.next_attempt = attempt.at + timedelta(minutes=minutes[tried - 1])
        self._unattempted -= 1

    def _retry_due(self, now: datetime) -> None:
        with self._state:
            for delivery in self._deliveries:
                if delivery.next_attempt is not None and delivery.next_attempt <= now:
                    self._enqueue(delivery)

    def _post(self, target: Target, body: bytes) -> tuple[int | None, str]:
        headers = self._headers(target, body)
        url = target.url
        kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
        connection = kind(str(url.hostname), url.port, timeout=CALLOUT_SECONDS)
        try:
            connection.request("POST", f"{url.path or '/'}{'?' if url.query else ''}{url.query}", body, headers)
            response = connection.getresponse()
            return response.status, response.read(LONGEST_ANSWER).decode(errors="replace")
        except (OSError, HTTPException) as problem:
            return None, f"{type(problem).__name__}: {problem}"
        finally:
            connection.close()

    def _headers(self, target: Target, body: bytes) -> dict[str, str]:
        if target.method is None:
            return {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
        if target.method == "api_key":
            return {"Content-Type": "application/json", "X-Api-Key": target.secret}
        moment = self._clock.timestamp()
        signature = hmac.new(target.secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
        return {"Content-Type": "application/json", "X-Orderphase-Signature": f"t={moment},v1={signature}"}
