"""The emulator itself: who asks, for what, and whether it has been answered before."""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from sandbox.clock import Clock
from sandbox.serving import Emulator, Request, Response
from sandbox.stripe_emulator import catalogue, forms, modelled, parameters, routes, rules, views, webhooks
from sandbox.stripe_emulator.account import Account, Agenda, InvoiceItem, Moment
from sandbox.stripe_emulator.errors import Json, StripeError, injectable, not_modelled, not_permitted

DEFAULT_ACCOUNTS: Mapping[str, str] = {"sk_test_orderphase": "acct_orderphase"}
FORM = "application/x-www-form-urlencoded"
# Stripe: a sandbox tries three times, over a few hours.
MAX_ATTEMPTS = 3
RETRY_AFTER = 3600
# What a restricted key may do with a resource: each includes those before it.
Permission = Literal["none", "read", "write"]
# The rules across the fields of phases follow their references; these handlers ask for them themselves.
RULES_AFTER_REFERENCES = ("subscription_schedules.create", "subscription_schedules.update", "invoices.create_preview")


class StripeEmulator(Emulator):
    """Stripe's customers, catalogue, coupons, subscription schedules, events and webhooks, over HTTP.

    Modelled is what the schedules do to subscriptions as time passes and as they are updated, and what people do to
    subscriptions themselves. There are no invoices, so nothing is prorated, paid or billed, and a coupon of duration `once` is
    never used up; the next invoice of a schedule can be previewed where nothing is prorated, and the one-time items that
    subscriptions were given are recorded. What Stripe has and this has not is refused with status 501 and the error type
    `emulator_not_modelled`.

    accounts: secret key → account id. connected: account id → id of the account that it is connected to, whose key reaches it
    by `Stripe-Account`. Each has a state of its own.
    signing_clock: the time in webhook signatures, in Unix seconds; the receiver compares it with its own clock.
    courier: delivers webhooks; `pause`, `arrange`, `resume` and `flush` it. `deliveries` logs its attempts, oldest first.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        accounts: Mapping[str, str] = DEFAULT_ACCOUNTS,
        *,
        connected: Mapping[str, str] | None = None,
        signing_clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock)
        self._keys = dict(accounts)
        self._connected = dict(connected or {})
        self._permissions: dict[str, tuple[Mapping[str, Permission], Permission]] = {}
        self._accounts: dict[str, Account] = {}
        self._agenda = Agenda()
        self._search_lag = 0
        self._writes = 0
        self.deliveries: list[webhooks.Delivery] = []
        self.courier = webhooks.Courier(self._attempted, signing_clock)
        self.clock.on_move(self._moved)

    def handle(self, request: Request) -> Response:
        """Answer one request; everything that has come due happens first."""
        now = self.clock.timestamp()
        self._agenda.catch_up(now)
        request_id = f"req_{secrets.token_hex(7)}"
        version = request.headers.get("stripe-version", views.API_VERSION)
        headers = {"Request-Id": request_id, "Stripe-Version": version}
        key = request.headers.get("idempotency-key")
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            api_key = self._authenticate(request.headers)
            account = self._reached(api_key, request.headers)
            if "stripe-account" in request.headers:
                headers["Stripe-Account"] = account.id
            if version != views.API_VERSION:
                raise not_modelled(f"version {version}; it speaks {views.API_VERSION}")
            # Stripe: keys are for POST and ignored elsewhere.
            moment = Moment(account, now, request_id, key if request.method == "POST" else None)
            response = self._answer(moment, request, api_key)
        except StripeError as error:
            response = error.response()
        response.headers = {**headers, **response.headers}
        return response

    def errors(self) -> Mapping[str, Response]:
        """The errors that a fault can name, such as `429_endpoint-rate`, `429_lock`, `409` and `500`."""
        answers = {name: error.response() for name, error in injectable().items()}
        for answer in answers.values():
            answer.headers = {"Request-Id": "req_injected", "Stripe-Version": views.API_VERSION, **answer.headers}
        return answers

    def reset(self) -> None:
        """Forget every account's state, what is due and what is being delivered. Keys, time and the request log stay.

        Restrictions of keys stay with them.
        """
        with self.lock:
            self.courier.clear()
            self._accounts.clear()
            self._agenda.clear()
            self.deliveries.clear()
            self._writes = 0

    def close(self) -> None:
        """End the delivery of webhooks."""
        self.courier.close()

    def objects(self, account: str, kind: str) -> list[Json]:
        """All objects of a kind (`subscription_schedule`, `event`, …) as Stripe shows them now, oldest first."""
        with self.lock:
            now = self.clock.timestamp()
            self._agenda.catch_up(now)
            moment = Moment(self._account(account), now)
            return [moment.show(stored) for stored in moment.account.kinds[kind].values()]

    def invoice_items(self, account: str) -> list[InvoiceItem]:
        """The one-time items that the account's subscriptions were given when they entered a phase, oldest first."""
        with self.lock:
            self._agenda.catch_up(self.clock.timestamp())
            return list(self._account(account).invoice_items)

    def writes(self) -> int:
        """How many POST and DELETE requests have taken effect, replays and refusals not counted."""
        with self.lock:
            return self._writes

    def lag_search(self, lag: timedelta) -> None:
        """Have search see every account as it was `lag` ago. Stripe: usually under a minute, up to an hour in an outage."""
        with self.lock:
            self._search_lag = int(lag.total_seconds())
            for account in self._accounts.values():
                account.search_lag = self._search_lag

    def resend(self, account: str, event_id: str) -> None:
        """Deliver an event once more, to every endpoint that takes it: duplicates, and, while paused, another order."""
        with self.lock:
            holder = self._account(account)
            self._publish(holder, holder.kinds["event"][event_id])

    def roll_secret(self, account: str, endpoint_id: str, *, keep: timedelta) -> str:
        """Give a webhook endpoint a new signing secret; answers it. The one before signs beside it for as long as `keep`.

        Stripe: up to 24 hours. KeyError for an unknown endpoint.
        """
        with self.lock:
            endpoint, now = self._account(account).kinds["webhook_endpoint"][endpoint_id], self.clock.timestamp()
            new, before = webhooks.roll(endpoint)
            self._agenda.at(now + int(keep.total_seconds()), lambda _: endpoint["secrets"].remove(before))
            self._agenda.catch_up(now)
            return new

    def restrict(self, key: str, permissions: Mapping[str, Permission], *, others: Permission = "write") -> None:
        """Let a key do no more than this with each resource, by its name in the path (`prices`), and `others` with the rest.

        Refused is what is asked for, not what else it changes or is expanded. That a preview needs no more than `read`, and how
        Stripe calls the permissions of the resources beside customers and subscriptions, is not documented.
        ValueError for an unknown key, resource or permission.
        """
        known = {route.resource for route in routes.ROUTES}
        if key not in self._keys or permissions.keys() - known or {*permissions.values(), others} - {*get_args(Permission)}:
            raise ValueError(f"key {key!r}, {dict(permissions)}, others {others!r}: resources are {', '.join(sorted(known))}")
        with self.lock:
            self._permissions[key] = (dict(permissions), others)

    def seed_price(self, account: str, **fields: Any) -> Json:
        """Put a price into an account that requests cannot make here: tiered, metered, with a trial. Answers it.

        fields: those of a price object as Stripe shows it, over those of a one-time price of 0; `product` (which exists) and
        `currency` are needed. Its events are those of a price that someone makes in the Dashboard.
        """
        with self.lock:
            now = self.clock.timestamp()
            self._agenda.catch_up(now)
            return catalogue.seed_price(Moment(self._account(account), now), fields)

    def administer(self, request: Request) -> Response:
        """The administration common to all emulators, and `GET /__emulator__/deliveries`."""
        if request.method == "GET" and request.path.endswith("/deliveries"):
            return Response(body=[asdict(delivery) for delivery in self.deliveries])
        return super().administer(request)

    def _answer(self, moment: Moment, request: Request, api_key: str) -> Response:
        route, object_id = routes.find(request.method, request.path)
        self._permit(moment.account, api_key, route)
        params = _params(request)
        key, endpoint, remembered = moment.idempotency_key, f"{request.method} {request.path}", moment.account.remembered
        if key is not None and (replay := remembered.replay(key, endpoint, params, moment.now)):
            return replay
        values = parameters.read(route.operation, params)
        modelled.check(route.operation, values)
        views.check_expand(route.kind, values.get("expand", []), in_list=route.answers_list)
        # From here on an answer is remembered, errors included (Stripe: once execution has begun).
        response = self._execute(moment, route, values, object_id)
        if request.fault is not None and request.fault.kind == "stored":
            response = self.errors()[request.fault.error]
        if key is not None:
            remembered.remember(key, endpoint, params, response, moment.now)
        return response

    def _execute(self, moment: Moment, route: routes.Route, values: Json, object_id: str) -> Response:
        try:
            if route.operation not in RULES_AFTER_REFERENCES:
                rules.check(route.operation, values)
            body = route.handler(moment, values, object_id)
        except StripeError as error:
            if error.type == "emulator_not_modelled":
                raise
            return error.response()
        if route.writes:
            self._writes += 1
        views.expand(moment.account.kinds, body, values.get("expand", []), moment.now)
        return Response(body=body)

    def _permit(self, account: Account, api_key: str, route: routes.Route) -> None:
        """Refuse what a restricted key may not do, whatever the parameters are."""
        permissions, others = self._permissions.get(api_key, ({}, "write"))
        needed: Permission = "write" if route.writes else "read"
        levels = get_args(Permission)
        if levels.index(permissions.get(route.resource, others)) < levels.index(needed):
            raise not_permitted(_abridged(api_key), account.id, f"rak_{route.kind}_{needed}")

    def _authenticate(self, headers: Mapping[str, str]) -> str:
        """The key, if it is one."""
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        key = credentials.strip()
        if scheme.lower() == "basic":
            key = _basic_user(key)
        if not key:
            raise StripeError(
                "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer "
                "auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
                status=401,
            )
        if key not in self._keys:
            raise StripeError(f"Invalid API Key provided: {_abridged(key)}", status=401)
        return key

    def _reached(self, api_key: str, headers: Mapping[str, str]) -> Account:
        """The key's own account, or the one connected to it that is named. The wording of the refusal is not known."""
        own = self._keys[api_key]
        wanted = headers.get("stripe-account", own)
        if wanted != own and self._connected.get(wanted) != own:
            message = f"The provided key does not have access to account '{wanted}' (or that account does not exist)."
            raise StripeError(message, status=403, code="account_invalid")
        return self._account(wanted)

    def _account(self, account_id: str) -> Account:
        if account_id not in self._accounts:
            platform = self._connected.get(account_id)
            account = Account(account_id, self._agenda, self._publish, self._search_lag, platform)
            self._accounts[account_id] = account
        return self._accounts[account_id]

    def _moved(self, now: datetime) -> None:
        with self.lock:
            self._agenda.catch_up(int(now.timestamp()))

    def _publish(self, account: Account, event: Json) -> None:
        """Hand an event to the courier for every endpoint that takes it, its platform's included."""
        holders = [(account, False)]
        if account.platform is not None:
            holders.append((self._account(account.platform), True))
        for holder, connected in holders:
            for endpoint in holder.kinds["webhook_endpoint"].values():
                if webhooks.wants(endpoint, event["type"], connected=connected):
                    event["pending_webhooks"] += 1
                    self._send(event, endpoint, attempt=1)

    def _send(self, event: Json, endpoint: Json, *, attempt: int) -> None:
        self.courier.send(webhooks.Parcel(views.copied(event), endpoint, attempt))

    def _attempted(self, parcel: webhooks.Parcel, delivery: webhooks.Delivery) -> None:
        """Note an attempt; a failed one is made again when an hour has passed on the emulator's clock."""
        with self.lock:
            self.deliveries.append(delivery)
            if delivery.succeeded:
                self._settle(parcel.event["id"])
            elif delivery.attempt < MAX_ATTEMPTS:
                self._agenda.at(self.clock.timestamp() + RETRY_AFTER, partial(self._retry, parcel))

    def _settle(self, event_id: str) -> None:
        for account in self._accounts.values():
            event = account.kinds["event"].get(event_id)
            if event is not None:
                event["pending_webhooks"] -= 1

    def _retry(self, parcel: webhooks.Parcel, _: int) -> None:
        held = (account.kinds["webhook_endpoint"] for account in self._accounts.values())
        if any(parcel.endpoint["id"] in endpoints for endpoints in held):
            self._send(parcel.event, parcel.endpoint, attempt=parcel.attempt + 1)


def _abridged(key: str) -> str:
    """A key as errors show it."""
    return f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > 16 else "*" * len(key)  # noqa: PLR2004 (long enough to abridge)


def _params(request: Request) -> dict[str, Any]:
    if request.method != "POST":
        return forms.decode(urlsplit(request.target).query)
    media_type = request.headers.get("content-type", FORM).partition(";")[0].strip()
    if request.body and media_type != FORM:
        raise StripeError(f"Invalid request (check that your POST content type is {FORM}).")
    try:
        return forms.decode(request.body.decode())
    except UnicodeDecodeError as error:
        raise StripeError("Invalid request: the body is not UTF-8.") from error


def _basic_user(credentials: str) -> str:
    """The user of Basic credentials; Stripe takes the key there and no password."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""
