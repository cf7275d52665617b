"""What the doctor finds in a Stripe account: what the key reaches and may do, and whether events come; nothing is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, get_args

import pytest

from orderphase.diagnosis import ACCOUNT_FLOWS, CATALOGUE_FLOWS, FLOWS, ORDER_FLOWS, Diagnosis, Feed, Uses
from orderphase.ingress.stripe_events import PRICE_TYPES, PRODUCT_TYPES
from orderphase.settings import StripeCredentials
from orderphase.stripe.client import API_VERSION, StripeConnection
from orderphase.stripe.doctor import AccountExamination, examine, is_live
from sandbox.clock import Clock
from sandbox.serving import Request, Response, Server
from sandbox.stripe_emulator import StripeEmulator
from sandbox.stripe_emulator.emulator import Permission
from tests.flows.world import ACCOUNT, KEY, NOW
from tests.scripted import Scripted

CALLS = 14
URL = "http://127.0.0.1:8787/stripe/default/events"
WHSEC = "whsec_1"
EVENTS = (*PRODUCT_TYPES, *PRICE_TYPES)


def examined(
    url: str, uses: Uses | None = None, *, feeds: bool = False, api: str | None = None, **secret: str
) -> AccountExamination:
    credentials = StripeCredentials.model_validate({"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": url, **secret})

    def connect(given: StripeCredentials) -> StripeConnection:
        return StripeConnection(given, repetitions=0, pause=lambda _: None)

    return examine("default", credentials, connect, uses or Uses(), feed=Feed(EVENTS, api) if feeds else None)


@dataclass
class Clinic:
    """An account, and the doctor who looks at it."""

    stripe: StripeEmulator
    url: str

    def told(self, uses: Uses | None = None, *, feeds: bool = False, api: str | None = None, **secret: str) -> list[Diagnosis]:
        """Everything that is not fine."""
        return [one for one in examined(self.url, uses, feeds=feeds, api=api, **secret).diagnoses if one.severity != "ok"]

    def endpoint(self, *events: str, url: str = URL) -> dict[str, Any]:
        """A webhook endpoint of the account, as Stripe holds it."""
        made = StripeConnection(StripeCredentials.model_validate({"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": self.url}))
        kinds: Any = list(events)
        endpoint = made.call(made.api.webhook_endpoints.create, {"url": url, "enabled_events": kinds}).id
        return self.stripe._accounts[ACCOUNT].kinds["webhook_endpoint"][endpoint]


@pytest.fixture
def clinic() -> Iterator[Clinic]:
    emulator = StripeEmulator(Clock(NOW, frozen=True), {KEY: ACCOUNT})
    with Server(emulator) as server:
        yield Clinic(emulator, server.url)


@contextmanager
def scripted(answer: Callable[[Request], Response]) -> Iterator[tuple[str, Scripted]]:
    service = Scripted(answer)
    with Server(service) as server:
        yield server.url, service


def refusal(status: int, code: str | None = None) -> Response:
    return Response(status, {"error": {"type": "invalid_request_error", "message": "No.", "code": code}})


# The key, and what it may do


def test_an_account_where_everything_is_allowed(clinic: Clinic) -> None:
    found = examined(clinic.url)
    assert {one.severity for one in found.diagnoses} == {"ok"}
    assert "the key has every permission that is used" in [one.what for one in found.diagnoses]


def test_nothing_is_made(clinic: Clinic) -> None:
    examined(clinic.url, feeds=True)
    assert clinic.stripe.writes() == 0
    kinds = ("customer", "product", "price", "coupon", "subscription_schedule", "event", "webhook_endpoint")
    assert [clinic.stripe.objects(ACCOUNT, kind) for kind in kinds] == [[] for _ in kinds]
    # Nor could anything be: what is posted goes to objects that do not exist, and a preview makes nothing.
    posted = [request.path for request in clinic.stripe.log if request.method == "POST"]
    assert [path for path in posted if not path.endswith("/orderphase_probe")] == ["/v1/invoices/create_preview"]
    assert len(clinic.stripe.log) == CALLS


@pytest.mark.parametrize(
    ("resource", "flows"),
    [
        ("customers", ORDER_FLOWS | ACCOUNT_FLOWS),
        ("products", ORDER_FLOWS | CATALOGUE_FLOWS),
        ("prices", ORDER_FLOWS | CATALOGUE_FLOWS),
        ("coupons", ORDER_FLOWS),
        ("subscription_schedules", ORDER_FLOWS),
        ("subscriptions", ORDER_FLOWS),
    ],
)
@pytest.mark.parametrize("permission", get_args(Permission))
def test_what_a_restricted_key_may_not_do(clinic: Clinic, resource: str, flows: frozenset[str], permission: Permission) -> None:
    clinic.stripe.restrict(KEY, {resource: permission})
    lost = {"none": ["read", "write"], "read": ["write"], "write": []}[permission]
    expected = [f"may not {ability} {resource}." for ability in lost if (ability, resource) != ("write", "subscriptions")]
    told = clinic.told()
    assert [one.what.removeprefix("the key ").partition(" Stripe")[0] for one in told] == expected
    assert {one.severity for one in told} <= {"missing"}
    assert all(one.remedy and "required permissions" in one.what for one in told)
    for flow in sorted(FLOWS):
        severities = {one.severity for one in clinic.told(Uses(frozenset({flow})))}
        assert severities == (set() if not expected else {"missing"} if flow in flows else {"warning"})


def test_everything_that_is_not_allowed_is_told_at_once(clinic: Clinic) -> None:
    clinic.stripe.restrict(KEY, {}, others="none")
    told = clinic.told()
    assert [one.severity for one in told] == ["missing"] * 11 + ["warning"]
    assert told[-1].what.startswith("the key may not preview invoices.")
    assert told[-1].remedy.endswith("; orderphase preview alone needs it")


@pytest.mark.parametrize("status", [400, 404])
def test_both_refusals_of_a_probe_mean_that_the_key_may(status: int) -> None:
    code = {400: "parameter_unknown", 404: "resource_missing"}[status]

    def answer(request: Request) -> Response:
        if request.path == "/v1/account":
            return Response(body={"id": ACCOUNT, "object": "account"})
        return refusal(status, code) if request.method == "POST" else Response(body={"object": "list", "data": []})

    with scripted(answer) as (url, service):
        found = examined(url)
    assert found.account_id == ACCOUNT
    assert [one.what for one in found.diagnoses] == [f"{ACCOUNT}, test mode", "the key has every permission that is used"]
    assert len(service.requests) == CALLS - 1


def test_a_key_that_is_not_valid(clinic: Clinic) -> None:
    (told,) = clinic.told(STRIPE_API_KEY="sk_test_other")
    assert (told.severity, told.where) == ("missing", "Stripe account default")
    assert told.what.startswith("Stripe refuses the request: Invalid API Key provided")
    assert "STRIPE_API_KEY" in told.remedy
    assert len(clinic.stripe.log) == 1


@pytest.mark.parametrize("code", ["account_invalid", "api_key_expired"])
def test_a_key_that_has_lost_its_access(code: str) -> None:
    with scripted(lambda _: refusal(403 if code == "account_invalid" else 401, code)) as (url, service):
        (told,) = examined(url).diagnoses
    assert (told.severity, told.what) == ("missing", "Stripe refuses the request: No.")
    assert len(service.requests) == 1


def test_an_account_that_cannot_be_reached() -> None:
    (told,) = examined("http://127.0.0.1:1").diagnoses
    assert (told.severity, told.what) == ("missing", "Stripe cannot be reached")
    assert "STRIPE_API_BASE" in told.remedy


def test_a_permission_that_cannot_be_tried() -> None:
    def answer(request: Request) -> Response:
        if request.path == "/v1/account":
            return Response(body={"id": ACCOUNT, "object": "account"})
        if request.path == "/v1/coupons":
            return Response(500, {"error": {"type": "api_error", "message": "Oh."}})
        return refusal(400, "parameter_unknown")

    with scripted(answer) as (url, _):
        (told,) = [one for one in examined(url).diagnoses if one.severity == "missing"]
    assert told.what.startswith("whether the key may read coupons cannot be told: Stripe answers with status 500")


def test_a_key_that_reaches_another_account_than_is_configured() -> None:
    def answer(request: Request) -> Response:
        found = (
            {"id": "acct_platform", "object": "account"} if request.path == "/v1/account" else {"object": "list", "data": []}
        )
        return Response(body=found) if request.method == "GET" else refusal(400, "parameter_unknown")

    with scripted(answer) as (url, _):
        told = [one for one in examined(url, STRIPE_ACCOUNT_ID="acct_connected").diagnoses if one.severity != "ok"]
    assert [(one.severity, one.what) for one in told] == [
        ("missing", "the key reaches acct_platform, and not the configured acct_connected")
    ]


@pytest.mark.parametrize(
    ("key", "live"), [("sk_live_1", True), ("rk_live_1", True), ("sk_test_1", False), ("rk_test_live_1", False)]
)
def test_live_keys_are_told_from_others(key: str, live: bool) -> None:
    assert is_live(StripeCredentials.model_validate({"STRIPE_API_KEY": key})) is live


# Events


def test_an_endpoint_that_sends_everything(clinic: Clinic) -> None:
    clinic.endpoint(*EVENTS)
    found = examined(clinic.url, feeds=True, STRIPE_WEBHOOK_SECRET=WHSEC)
    assert [one.what for one in found.diagnoses][-1] == f"its events are sent to {URL}"
    assert {one.severity for one in found.diagnoses} == {"ok"}


def test_all_types_may_be_asked_for_at_once(clinic: Clinic) -> None:
    clinic.endpoint("*")
    assert clinic.told(feeds=True, STRIPE_WEBHOOK_SECRET=WHSEC) == []


def test_an_account_that_feeds_nothing_needs_no_endpoint(clinic: Clinic) -> None:
    assert clinic.told(feeds=False) == []


@pytest.mark.parametrize("url", [None, URL.replace("default", "other"), URL.replace("/events", "")])
def test_no_endpoint_for_the_route(clinic: Clinic, url: str | None) -> None:
    if url:
        clinic.endpoint("*", url=url)
    (told,) = clinic.told(feeds=True)
    assert told.severity == "warning"
    assert told.what == "no webhook endpoint sends to /stripe/default/events: changes in Stripe do not reach Salesforce"
    assert all(part in told.remedy for part in (*EVENTS, "<ApiUrl>/stripe/default/events", "STRIPE_WEBHOOK_SECRET"))


API = "http://127.0.0.1:8788/prod"


@pytest.mark.parametrize(
    "url", [URL, f"{API.replace('8788', '8789')}/stripe/default/events", f"{API.removesuffix('/prod')}/stripe/default/events"]
)
def test_an_endpoint_that_is_not_this_stacks(clinic: Clinic, url: str) -> None:
    clinic.endpoint("*", url=url)
    assert clinic.told(feeds=True, STRIPE_WEBHOOK_SECRET=WHSEC) == []
    found = examined(clinic.url, feeds=True, api=API, STRIPE_WEBHOOK_SECRET=WHSEC).diagnoses
    assert (found[-1].severity, found[-1].what) == (
        "warning",
        f"its events are sent to {url}, and not to this stack's API",
    )
    assert f"{API}/stripe/default/events" in found[-1].remedy


def test_an_account_may_send_to_several_deployments(clinic: Clinic) -> None:
    clinic.endpoint("*")
    ours = clinic.endpoint("*", url=f"{API}/stripe/default/events")
    found = examined(clinic.url, feeds=True, STRIPE_WEBHOOK_SECRET=WHSEC).diagnoses
    assert {URL, ours["url"]} == {*found[-1].what.removeprefix("its events are sent to ").split(" and ")}
    found = examined(clinic.url, feeds=True, api=API, STRIPE_WEBHOOK_SECRET=WHSEC).diagnoses
    assert (found[-1].severity, found[-1].what) == ("ok", f"its events are sent to {API}/stripe/default/events")
    # What the other one sends is nothing to this one.
    ours["status"] = "disabled"
    (told,) = clinic.told(feeds=True, api=API, STRIPE_WEBHOOK_SECRET=WHSEC)
    assert told.what.startswith("every webhook endpoint for /stripe/default/events is disabled")


def test_an_endpoint_to_be_made_is_given_its_address(clinic: Clinic) -> None:
    (told,) = clinic.told(feeds=True, api=API)
    assert f"make one for {API}/stripe/default/events that sends" in told.remedy


def test_an_endpoint_that_is_disabled(clinic: Clinic) -> None:
    clinic.endpoint("*")["status"] = "disabled"
    (told,) = clinic.told(feeds=True, STRIPE_WEBHOOK_SECRET=WHSEC)
    assert (told.severity, told.remedy) == ("warning", "enable it")
    assert told.what.startswith("every webhook endpoint for /stripe/default/events is disabled")


def test_an_endpoint_that_does_not_send_everything(clinic: Clinic) -> None:
    clinic.endpoint(*EVENTS[:-2])
    (told,) = clinic.told(feeds=True, STRIPE_WEBHOOK_SECRET=WHSEC)
    assert (told.severity, told.what) == (
        "warning",
        "no webhook endpoint sends price.updated, price.deleted to /stripe/default/events",
    )
    clinic.endpoint(*EVENTS[-2:])
    assert clinic.told(feeds=True, STRIPE_WEBHOOK_SECRET=WHSEC) == []


def test_an_endpoint_of_another_version(clinic: Clinic) -> None:
    endpoint = clinic.endpoint("*")
    endpoint["api_version"] = API_VERSION
    assert clinic.told(feeds=True, STRIPE_WEBHOOK_SECRET=WHSEC) == []
    endpoint["api_version"] = "2025-04-30.basil"
    (told,) = clinic.told(feeds=True, STRIPE_WEBHOOK_SECRET=WHSEC)
    assert told.severity == "warning"
    assert "2025-04-30.basil" in told.what
    assert API_VERSION in told.remedy


@pytest.mark.parametrize(("flow", "severity"), [("PriceUpsert", "missing"), ("OrderActivation", "warning")])
def test_an_endpoint_whose_events_cannot_be_checked(clinic: Clinic, flow: str, severity: str) -> None:
    clinic.endpoint("*")
    (told,) = clinic.told(Uses(frozenset({flow})), feeds=True)
    assert told.severity == severity
    assert told.what.startswith("STRIPE_WEBHOOK_SECRET is empty, so every event is refused")


def test_endpoints_that_the_key_may_not_read(clinic: Clinic) -> None:
    clinic.endpoint("*")
    clinic.stripe.restrict(KEY, {"webhook_endpoints": "none"})
    assert clinic.told(feeds=True, STRIPE_WEBHOOK_SECRET=WHSEC) == []
    assert (
        "whether its events come cannot be told"
        in examined(clinic.url, feeds=True, STRIPE_WEBHOOK_SECRET=WHSEC).diagnoses[-1].what
    )
    (told,) = clinic.told(feeds=True)
    assert (told.severity, told.what) == ("warning", "STRIPE_WEBHOOK_SECRET is empty, so no event is taken")


def test_the_endpoint_is_found_on_a_later_page(clinic: Clinic) -> None:
    clinic.endpoint("*")
    for number in range(100):
        clinic.endpoint("*", url=f"http://127.0.0.1:8787/{number}")
    assert clinic.told(feeds=True, STRIPE_WEBHOOK_SECRET=WHSEC) == []
    assert len(clinic.stripe.calls("GET /v1/webhook_endpoints")) == 2


def test_the_endpoints_of_a_connected_account_are_its_platforms(clinic: Clinic) -> None:
    clinic.endpoint("*")
    asked: list[str | None] = []

    def connect(given: StripeCredentials) -> StripeConnection:
        asked.append(given.account_id)
        return StripeConnection(given.model_copy(update={"account_id": None}), repetitions=0)

    values = {"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": clinic.url, "STRIPE_ACCOUNT_ID": "acct_1"}
    examine("default", StripeCredentials.model_validate(values), connect, Uses(), feed=Feed(EVENTS))
    assert asked == ["acct_1", None]
