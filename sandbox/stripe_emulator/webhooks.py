"""Webhook endpoints, and the signed delivery of events to them from a thread of its own."""

from __future__ import annotations

import http.client
import ipaddress
import json
import secrets
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from stripe import WebhookSignature

from sandbox.stripe_emulator.account import Moment, new_id
from sandbox.stripe_emulator.errors import Json, StripeError, not_modelled
from sandbox.stripe_emulator.fields import merge_metadata
from sandbox.stripe_emulator.pages import page
from sandbox.stripe_emulator.views import API_VERSION

TIMEOUT_SECONDS = 20
FLUSH_SECONDS = 60


def create(moment: Moment, params: Json, _: str) -> Json:
    """An endpoint; only this answer tells its signing secret."""
    url = urlsplit(params["url"])
    if url.scheme not in ("http", "https") or not url.hostname:
        raise StripeError("Invalid URL: An explicit scheme (such as https) must be provided.", code="url_invalid", param="url")
    if url.scheme == "https" or not _loopback(url.hostname):
        raise not_modelled("delivery to anything but http:// on a loopback address", "url")
    if params.get("api_version", API_VERSION) != API_VERSION:
        raise not_modelled(f"events of another version than {API_VERSION}", "api_version")
    endpoint: Json = {
        "id": new_id("we"),
        "object": "webhook_endpoint",
        "api_version": params.get("api_version"),
        "application": None,
        "connect": params.get("connect", False),
        "created": moment.now,
        "description": params.get("description") or None,
        "enabled_events": params["enabled_events"],
        "livemode": False,
        "metadata": {},
        "secrets": [_new_secret()],
        "status": "enabled",
        "url": params["url"],
    }
    merge_metadata(endpoint, params.get("metadata"))
    moment.account.add(endpoint)
    return moment.show(endpoint) | {"secret": endpoint["secrets"][0]}


def roll(endpoint: Json) -> tuple[str, str]:
    """Give an endpoint a new signing secret beside those that it has; answers it, and the one that was the newest before."""
    before, new = endpoint["secrets"][0], _new_secret()
    endpoint["secrets"].insert(0, new)
    return new, before


def retrieve(moment: Moment, _: Json, object_id: str) -> Json:
    """One endpoint, without its secret."""
    return moment.show(moment.account.find("webhook_endpoint", object_id))


def delete(moment: Moment, _: Json, object_id: str) -> Json:
    """Stop deliveries to an endpoint."""
    moment.account.find("webhook_endpoint", object_id)
    del moment.account.kinds["webhook_endpoint"][object_id]
    return {"id": object_id, "object": "webhook_endpoint", "deleted": True}


def listed(moment: Moment, params: Json, _: str) -> Json:
    """A page of endpoints."""
    return page(moment, "webhook_endpoint", params)


def wants(endpoint: Json, event_type: str, *, connected: bool) -> bool:
    """Whether an endpoint takes an event of its own account, or with `connect` one of a connected account."""
    return endpoint["connect"] == connected and ("*" in endpoint["enabled_events"] or event_type in endpoint["enabled_events"])


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver an event. `status` is the HTTP status of the receiver, None when there was no answer."""

    event_id: str
    event_type: str
    endpoint_id: str
    url: str
    attempt: int
    status: int | None

    @property
    def succeeded(self) -> bool:
        """Stripe: anything but 2xx is a failure, redirects included."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 (the range of success)


@dataclass(frozen=True, slots=True)
class Parcel:
    """An event on its way to an endpoint."""

    event: Json
    endpoint: Json
    attempt: int


class Courier:
    """Delivers parcels one after the other, in the order in which they came, from a background thread.

    attempted: called after each attempt, outside of the thread's own lock.
    clock: the time that signatures carry, in Unix seconds. The receiver compares it with its own, so it is real time.
    """

    def __init__(self, attempted: Callable[[Parcel, Delivery], None], clock: Callable[[], float]) -> None:
        self._attempted = attempted
        self._clock = clock
        self._waiting: deque[Parcel] = deque()
        self._changed = threading.Condition()
        self._paused = False
        self._flushing = 0
        self._busy = False
        self._thread: threading.Thread | None = None

    def send(self, parcel: Parcel) -> None:
        """Queue a parcel."""
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="stripe-webhooks", daemon=True)
                self._thread.start()
            self._waiting.append(parcel)
            self._changed.notify_all()

    def pause(self) -> None:
        """Hold back what is queued from now on, until `resume` or `flush`."""
        with self._changed:
            self._paused = True

    def resume(self) -> None:
        """Deliver again as events come."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def flush(self) -> None:
        """Deliver all that is queued, even while paused, and return once each parcel was attempted.

        What failed is not tried again here. Raises TimeoutError after a minute.
        """
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            try:
                if not self._changed.wait_for(lambda: not self._waiting and not self._busy, FLUSH_SECONDS):
                    raise TimeoutError(f"{len(self._waiting)} webhook deliveries are still waiting")
            finally:
                self._flushing -= 1

    def arrange(self, event_ids: Sequence[str]) -> None:
        """Put what is queued in this order of events, by their ids; others follow, in the order in which they came.

        To be asked while paused. Raises KeyError for an event that is not queued.
        """
        with self._changed:
            if unknown := set(event_ids) - {parcel.event["id"] for parcel in self._waiting}:
                raise KeyError(f"not queued: {', '.join(sorted(unknown))}")
            rank = {event_id: number for number, event_id in enumerate(event_ids)}
            self._waiting = deque(sorted(self._waiting, key=lambda parcel: rank.get(parcel.event["id"], len(rank))))

    def clear(self) -> None:
        """Drop what is queued."""
        with self._changed:
            self._waiting.clear()

    def close(self) -> None:
        """Drop what is queued and end the thread."""
        with self._changed:
            self._waiting.clear()
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None:
            thread.join()

    def _ready(self) -> bool:
        return self._thread is None or bool(self._waiting and (self._flushing or not self._paused))

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._ready)
                if self._thread is None:
                    return
                parcel = self._waiting.popleft()
                self._busy = True
            try:
                self._attempted(parcel, self._attempt(parcel))
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _attempt(self, parcel: Parcel) -> Delivery:
        event, endpoint = parcel.event, parcel.endpoint
        body = json.dumps(event, indent=2)
        signature = _signature(body, [*endpoint["secrets"]], int(self._clock()))
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signature, "User-Agent": "Stripe/1.0"}
        status = _post(urlsplit(endpoint["url"]), body.encode(), headers)
        return Delivery(event["id"], event["type"], endpoint["id"], endpoint["url"], parcel.attempt, status)


def _signature(body: str, keys: list[str], now: int) -> str:
    """Stripe: `t=<now>,v1=<hex>`, with a v1 for each of the secrets while one is rolled."""
    signed = [WebhookSignature.generate_signature_header(body, secret, now) for secret in keys]
    return ",".join([signed[0], *(each.partition(",")[2] for each in signed[1:])])


def _new_secret() -> str:
    return f"whsec_{secrets.token_urlsafe(24)}"


def _post(url: SplitResult, body: bytes, headers: dict[str, str]) -> int | None:
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", url._replace(scheme="", netloc="").geturl() or "/", body, headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
