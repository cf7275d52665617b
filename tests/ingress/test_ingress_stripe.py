"""`POST /stripe/{account}/events`, with fakes behind it: what is answered, and what reaches the queues."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe import WebhookSignature

from orderphase.errors import ConfigurationError, OrderphaseError, TransientError, UnknownOutcomeError
from orderphase.ingress import signature, stripe
from orderphase.ingress.events import CONTRACT_RECONCILE, SalesforceEvent
from orderphase.ingress.gateway import Request
from orderphase.ingress.routes import Answer, Intake, Outcome
from orderphase.ingress.signature import sign
from orderphase.ingress.stripe import MAX_BODY_BYTES, receive
from orderphase.ingress.stripe_events import (
    DRIFT_TYPES,
    PRICE_TYPES,
    PRODUCT_TYPES,
    SCHEDULE_TYPES,
    STRIPE_TYPES,
    StripeEvent,
)
from orderphase.settings import StripeCredentials
from tests.ingress.fakes import Once, Queues, Secrets

NOW = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)
T = int(NOW.timestamp())
SECRET, ROLLED, NEXT, OTHER = "whsec_one", "whsec_two", "whsec_next", "whsec_of_another"
PRODUCT: dict[str, Any] = {"id": "prod_1", "object": "product", "name": "Platform"}
PRICE: dict[str, Any] = {"id": "price_1", "object": "price", "product": "prod_1", "unit_amount": 1000}
EVENT: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "type": "product.updated",
    "created": T,
    "livemode": False,
    "request": {"id": "req_1", "idempotency_key": "6d1f2b9c"},
    "data": {"object": PRODUCT, "previous_attributes": {"name": "Platform (beta)"}},
}
TAKEN = {"accepted": True, "id": "evt_1"}
UNVERIFIED = {"accepted": False, "reason": "the sender could not be verified"}
TRY_AGAIN = {"accepted": False, "reason": "the event could not be taken; try again later"}
RECONCILE = CONTRACT_RECONCILE.name
SWITCHES = {kind: f"switch of {kind}" for kind in (*STRIPE_TYPES, RECONCILE)}
ORG, CONTRACT, ORDER = "00D5g000004Vn8QEAS", "8005g000001QwXyAAK", "8015g00000AbTzkAAF"
NAMED = {"salesforce_org_id": ORG, "salesforce_contract_id": CONTRACT, "salesforce_order_id": ORDER, "team": "billing"}


def credentials(*secrets: str, key: str = "sk_1", account_id: str = "") -> StripeCredentials:
    source = {"STRIPE_API_KEY": key, "STRIPE_WEBHOOK_SECRET": ", ".join(secrets), "STRIPE_ACCOUNT_ID": account_id}
    return StripeCredentials.from_secret("stripe", json.dumps(source))


class Route:
    """The route with its fakes; `post` answers as `receive` does."""

    def __init__(
        self,
        accounts: dict[str, Secrets[StripeCredentials]] | None = None,
        *,
        queues: Queues | None = None,
        once: Once | None = None,
        ignore_own: bool = True,
    ) -> None:
        self.accounts = accounts or {"default": Secrets(credentials(SECRET, ROLLED)), "other": Secrets(credentials(OTHER))}
        self.queues = queues or Queues(*SWITCHES)
        self.once = once or Once()
        self.ignore_own = ignore_own

    def post(self, body: bytes, header: str | None, account: str | None = "default", now: datetime = NOW) -> Answer:
        request = Request(
            {} if header is None else {"stripe-signature": header},
            body,
            "request-1",
            {} if account is None else {"account": account},
        )
        intake = Intake(self.queues, SWITCHES, self.once)
        return receive(request, accounts=self.accounts, ignore_own=self.ignore_own, intake=intake, now=now)

    def tell(self, name: str = "default", secret: str = SECRET, /, **changes: Any) -> Answer:
        """Post an event to the route of an account, well signed."""
        body = _body(**changes)
        return self.post(body, sign(secret, body, NOW), name)

    def sent(self) -> list[StripeEvent]:
        found = []
        for event, correlation_id in self.queues.sent:
            assert isinstance(event, StripeEvent)
            assert correlation_id == "request-1"
            found.append(event)
        return found


def _body(**changes: Any) -> bytes:
    return json.dumps({key: value for key, value in (EVENT | changes).items() if value is not ...}).encode()


BODY = _body()


# Who is let in


@pytest.mark.parametrize(
    ("header", "account"),
    [
        (sign(SECRET, BODY, NOW), "default"),
        (sign(ROLLED, BODY, NOW), "default"),
        (sign(OTHER, BODY, NOW), "other"),
        (WebhookSignature.generate_signature_header(BODY.decode(), SECRET, T), "default"),
        (f"{sign('whsec_gone', BODY, NOW)},{sign(SECRET, BODY, NOW).partition(',')[2]},v0=6ffbb59b", "default"),
        (sign(SECRET, BODY, NOW - timedelta(seconds=300)), "default"),
    ],
    ids=["first secret", "second secret", "another account", "Stripe's own", "several while it is rolled", "five minutes old"],
)
def test_who_is_let_in(header: str, account: str) -> None:
    route = Route()
    got = route.post(BODY, header, account)
    assert (got.status, got.body, got.outcome) == (200, TAKEN, Outcome.ACCEPTED)
    assert [event.account for event in route.sent()] == [account]


STRANGERS: dict[str, tuple[str | None, str | None, str]] = {
    "unknown account": (sign(SECRET, BODY, NOW), "nobody", "unknown_account"),
    "no account": (sign(SECRET, BODY, NOW), None, "unknown_account"),
    "another account's secret": (sign(OTHER, BODY, NOW), "default", "mismatch"),
    "unknown secret": (sign("whsec_wrong", BODY, NOW), "default", "mismatch"),
    "another body": (sign(SECRET, BODY + b" ", NOW), "default", "mismatch"),
    "an old scheme alone": (sign(SECRET, BODY, NOW).replace("v1=", "v0="), "default", "malformed"),
    "stale": (sign(SECRET, BODY, NOW - timedelta(seconds=301)), "default", "stale"),
    "future": (sign(SECRET, BODY, NOW + timedelta(seconds=301)), "default", "future"),
    "empty": ("", "default", "malformed"),
    "missing": (None, "default", "missing"),
    "no secret": (sign(SECRET, BODY, NOW), "silent", "no_secret"),
    "no secret, an empty one": (f"t={T},v1={'0' * 64}", "silent", "no_secret"),
}


@pytest.mark.parametrize(("header", "account", "reason"), STRANGERS.values(), ids=STRANGERS)
def test_every_stranger_gets_the_same_answer(header: str | None, account: str | None, reason: str) -> None:
    route = Route(
        {"default": Secrets(credentials(SECRET)), "other": Secrets(credentials(OTHER)), "silent": Secrets(credentials())}
    )
    got = route.post(BODY, header, account)
    assert (got.status, got.body, got.outcome, got.note) == (400, UNVERIFIED, Outcome.NOT_AUTHENTIC, reason)
    assert got.about == ({"account": account} if account in route.accounts else {})
    assert route.queues.sent == []


@pytest.mark.parametrize(
    "error",
    [TransientError("away"), UnknownOutcomeError("away"), ConfigurationError("secret stripe: STRIPE_API_KEY: is missing")],
)
def test_a_secret_that_cannot_be_read_looks_the_same_from_outside(error: OrderphaseError) -> None:
    got = Route({"default": Secrets(credentials(SECRET), error=error)}).post(BODY, sign(SECRET, BODY, NOW))
    assert (got.status, got.body, got.outcome) == (400, UNVERIFIED, Outcome.UNAVAILABLE)
    assert got.note == f"{error.kind}: {error.message}"


@pytest.mark.parametrize("account", ["default", "silent", "nobody"])
@pytest.mark.parametrize(
    ("header", "computed"),
    [(sign("whsec_wrong", BODY, NOW), 1), ("", 0), (None, 0), (sign("whsec_wrong", BODY, NOW - timedelta(hours=1)), 0)],
    ids=["wrong", "malformed", "missing", "stale"],
)
def test_a_stranger_costs_the_same_whether_there_is_such_an_account(
    monkeypatch: pytest.MonkeyPatch, header: str | None, computed: int, account: str
) -> None:
    done: list[bytes] = []
    digest = signature._digest

    def counted(secret: str, time: str, body: bytes) -> str:
        done.append(body)
        return digest(secret, time, body)

    monkeypatch.setattr(signature, "_digest", counted)
    route = Route({"default": Secrets(credentials(SECRET)), "silent": Secrets(credentials())})
    assert route.post(BODY, header, account).body == UNVERIFIED
    assert done == [BODY] * computed


@pytest.mark.parametrize("account", ["silent", "nobody"])
def test_nobodys_secret_lets_nobody_in(account: str) -> None:
    (secret,) = stripe._NOBODYS
    assert Route({"silent": Secrets(credentials())}).post(BODY, sign(secret, BODY, NOW), account).body == UNVERIFIED


def test_only_the_secret_of_the_account_is_read() -> None:
    route = Route()
    route.tell()
    assert (route.accounts["default"].reads, route.accounts["other"].reads) == (1, 0)
    route.post(BODY, sign(SECRET, BODY, NOW), "nobody")
    assert (route.accounts["default"].reads, route.accounts["other"].reads) == (1, 0)


@pytest.mark.parametrize("known", [(SECRET,), ()], ids=["rotated", "set for the first time"])
def test_a_secret_that_has_just_changed_is_looked_up(known: tuple[str, ...]) -> None:
    route = Route({"default": Secrets(credentials(*known), credentials(NEXT, *known))})
    assert route.tell("default", NEXT).status == 200
    assert route.accounts["default"].refetches == 1
    assert route.tell("default", "whsec_wrong").status == 400


def test_size_is_looked_at_before_all_else() -> None:
    route = Route()
    largest = BODY + b" " * (MAX_BODY_BYTES - len(BODY))
    assert MAX_BODY_BYTES == 2 * 1024 * 1024
    assert route.post(largest, sign(SECRET, largest, NOW)).status == 200
    for account in ("default", "nobody"):
        got = route.post(largest + b" ", "", account)
        assert (got.status, got.outcome) == (413, Outcome.TOO_LARGE)
        assert got.body == {"accepted": False, "reason": "an event has at most 2097152 bytes"}


# What is in an event


@pytest.mark.parametrize("kind", PRODUCT_TYPES)
def test_a_product(kind: str) -> None:
    route = Route()
    got = route.tell(type=kind)
    assert (got.status, got.body, got.outcome, got.note) == (200, TAKEN, Outcome.ACCEPTED, "queued")
    about = {"account": "default", "event_id": "evt_1", "event_type": kind, "livemode": False, "record_id": "prod_1"}
    assert got.about == about
    [event] = route.sent()
    assert event.model_dump() == {
        "id": "evt_1",
        "type": kind,
        "account": "default",
        "object_id": "prod_1",
        "product_id": "prod_1",
        "created": T,
    }


@pytest.mark.parametrize("product", ["prod_1", PRODUCT], ids=["id", "expanded"])
@pytest.mark.parametrize("kind", PRICE_TYPES)
def test_a_price_goes_with_its_product(kind: str, product: Any) -> None:
    route = Route()
    assert route.tell(type=kind, data={"object": PRICE | {"product": product}}).outcome == Outcome.ACCEPTED
    [event] = route.sent()
    assert (event.type, event.object_id, event.product_id) == (kind, "price_1", "prod_1")
    assert (event.record_id, event.group, event.sender) == ("price_1", "default:prod_1", "default")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"id": ...}, "id: is missing"),
        ({"id": "evt-1"}, "id: is not the id of an event (evt_…)"),
        ({"id": 1}, "id: is not text"),
        ({"type": ...}, "type: is missing"),
        ({"type": ""}, "type: is empty"),
        ({"created": ...}, "created: is missing"),
        ({"created": "1795168800"}, "created: is not a whole number"),
        ({"created": 1.5}, "created: is not a whole number"),
        ({"created": True}, "created: is not a whole number"),
        ({"created": -1}, "created: is less than 0"),
        ({"created": 253_402_300_800}, "created: is not less than 253402300800"),
        ({"livemode": ...}, "livemode: is missing"),
        ({"livemode": "false"}, "livemode: is neither true nor false"),
        ({"account": "nobody"}, "account: is not the id of a Stripe account (acct_…)"),
        ({"request": "req_1"}, "request: is not an object or table"),
        ({"request": {"idempotency_key": 1}}, "request.idempotency_key: is not text"),
        ({"data": ...}, "data: is missing"),
        ({"data": []}, "data: is not an object or table"),
        ({"data": {}}, "data.object: is missing"),
        ({"data": {"object": {"object": "product"}}}, "data.object.id: is missing"),
        ({"data": {"object": PRODUCT | {"id": ""}}}, "data.object.id: is empty"),
        ({"data": {"object": PRICE}}, "data.object.object: is not product"),
        ({"type": "price.updated"}, "data.object.object: is not price"),
        (
            {"type": "price.updated", "data": {"object": PRICE | {"product": None}}},
            "data.object.product: is not text",
        ),
        (
            {"type": "price.updated", "data": {"object": PRICE | {"product": {}}}},
            "data.object.product: is not text",
        ),
        (
            {"type": "price.updated", "data": {"object": {"id": "price_1", "object": "price"}}},
            "data.object.product: is missing",
        ),
    ],
)
def test_what_is_malformed_is_named_with_its_field(changes: dict[str, Any], fault: str) -> None:
    route = Route()
    got = route.tell(**changes)
    assert (got.status, got.outcome) == (400, Outcome.INVALID)
    assert got.body["reason"].startswith(fault)
    assert route.queues.sent == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "body: is not JSON: Expecting value (line 1, column 1)"),
        (b"[]", "body: is not a JSON object"),
        (b'{"id": "evt_1", "id": "evt_2"}', "body: is not JSON: an object has the same key twice"),
    ],
)
def test_what_is_not_json_is_refused(body: bytes, reason: str) -> None:
    got = Route().post(body, sign(SECRET, body, NOW))
    assert (got.status, got.body) == (400, {"accepted": False, "reason": reason})


def test_a_stranger_learns_nothing_about_the_body() -> None:
    assert Route().post(b"{", sign("whsec_wrong", b"{", NOW)).body == UNVERIFIED


# What is ignored


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"type": "plan.updated"}, "the type is not known"),
        ({"type": "subscription_schedule.expiring"}, "the type is not known"),
        ({"type": "customer.subscription.created"}, "the type is not known"),
        ({"type": "balance.available", "data": {"object": {"object": "balance"}}}, "the type is not known"),
        ({"type": "account.external_account.created", "account": "acct_9", "data": None}, "the type is not known"),
        ({"request": {"id": "req_1", "idempotency_key": "orderphase:product:1"}}, "we have caused it ourselves"),
        ({"account": "acct_9"}, "it happened in an account that is none of ours"),
    ],
)
def test_authentic_events_that_nobody_is_to_hear_of_are_taken_and_ignored(changes: dict[str, Any], note: str) -> None:
    route = Route()
    got = route.tell(**changes)
    assert (got.status, got.body, got.outcome, got.note) == (200, TAKEN, Outcome.IGNORED, note)
    assert got.about["event_type"] == changes.get("type", "product.updated")
    assert (route.queues.sent, route.once.accepted) == ([], {})


@pytest.mark.parametrize("kind", sorted(STRIPE_TYPES))
def test_a_flow_that_is_off_is_named(kind: str) -> None:
    route = Route(queues=Queues())
    got = route.tell(type=kind, data={"object": PRICE if kind in PRICE_TYPES else PRODUCT})
    assert (got.status, got.outcome) == (200, Outcome.IGNORED)
    assert got.note == f"the flow is switched off; set the template's parameter switch of {kind} to on"
    assert route.once.accepted == {}


@pytest.mark.parametrize(
    "request_", [..., None, {}, {"id": None, "idempotency_key": None}, {"idempotency_key": "theirs:orderphase:1"}]
)
def test_what_others_have_caused_is_not_our_own(request_: Any) -> None:
    assert Route().tell(request=request_).outcome == Outcome.ACCEPTED


def test_our_own_events_are_heard_where_that_is_wanted() -> None:
    own = {"id": "req_1", "idempotency_key": "orderphase:product:1"}
    assert Route(ignore_own=False).tell(request=own).outcome == Outcome.ACCEPTED


# Connected accounts


def platforms() -> Route:
    """A platform with two accounts of ours connected to it, and another platform to which one of them is connected too."""
    held = {
        "platform": credentials(SECRET, key="sk_p"),
        "their_eu": credentials(OTHER, key="sk_q", account_id="acct_eu"),
        "eu": credentials(SECRET, key="sk_p", account_id="acct_eu"),
        "us": credentials(SECRET, key="sk_p", account_id="acct_us"),
        "theirs": credentials(OTHER, key="sk_q"),
    }
    return Route({name: Secrets(known) for name, known in held.items()})


@pytest.mark.parametrize(
    ("route", "account_id", "owner"),
    [
        ("platform", None, "platform"),
        ("platform", "acct_eu", "eu"),
        ("platform", "acct_us", "us"),
        ("platform", "acct_xx", None),
        ("theirs", None, "theirs"),
        ("theirs", "acct_eu", "their_eu"),
        ("theirs", "acct_us", "us"),
        ("eu", "acct_eu", "eu"),
        ("eu", "acct_us", "us"),
        ("eu", None, None),
        ("their_eu", "acct_eu", "their_eu"),
        ("their_eu", "acct_us", "us"),
        ("their_eu", "acct_xx", None),
        ("their_eu", None, None),
    ],
)
def test_nothing_crosses(route: str, account_id: str | None, owner: str | None) -> None:
    here = platforms()
    secret = OTHER if "their" in route else SECRET
    got = here.tell(route, secret, **({} if account_id is None else {"account": account_id}))
    assert got.status == 200
    assert [event.account for event in here.sent()] == ([] if owner is None else [owner])
    if owner is None:
        assert (got.outcome, got.note) == (Outcome.IGNORED, "it happened in an account that is none of ours")
    else:
        assert got.about["account"] == owner


@pytest.mark.parametrize(
    ("keys", "owner"),
    [
        ({"eu": "rk_eu"}, "eu"),
        ({"eu": "rk_eu", "zz": "sk_other"}, "eu"),
        ({"zz": "sk_other", "eu": "rk_eu"}, "eu"),
        ({"eu": "rk_eu", "zz": "sk_platform"}, "zz"),
    ],
    ids=["restricted, or rolled before the platform's", "several, by name", "in any order", "the route's key"],
)
def test_a_connected_account_is_known_by_its_id(keys: dict[str, str], owner: str) -> None:
    connected = {name: Secrets(credentials(key=key, account_id="acct_eu")) for name, key in keys.items()}
    here = Route({"platform": Secrets(credentials(SECRET, key="sk_platform")), **connected})
    assert here.tell("platform", account="acct_eu").outcome == Outcome.ACCEPTED
    assert [event.account for event in here.sent()] == [owner]


def test_an_account_that_has_just_got_its_id_is_looked_up() -> None:
    before, after = (credentials(key="rk_eu", account_id=account_id) for account_id in ("", "acct_eu"))
    eu, platform = Secrets(before, after), Secrets(credentials(SECRET))
    here = Route({"platform": platform, "eu": eu})
    assert here.tell("platform", account="acct_eu").about["account"] == "eu"
    # One that is none of ours is ignored once that is known of all.
    assert here.tell("platform", account="acct_xx").outcome == Outcome.IGNORED
    assert (platform.refetches, eu.refetches) == (2, 2)
    eu.known = after
    here.tell("platform", id="evt_2", account="acct_eu")
    assert (platform.refetches, eu.refetches) == (2, 2)


def test_an_account_of_its_own_route_needs_no_other_secret() -> None:
    here = platforms()
    here.tell("us", account="acct_us")
    assert {name for name, secrets in here.accounts.items() if secrets.reads} == {"us"}


def test_whose_it_is_cannot_be_told_while_a_secret_cannot_be_read() -> None:
    here = platforms()
    here.accounts["eu"].error = ConfigurationError("secret eu: is not there")
    got = here.tell("platform", account="acct_us")
    assert (got.status, got.body, got.outcome) == (503, TRY_AGAIN, Outcome.UNAVAILABLE)


def test_an_id_is_one_event_in_each_account() -> None:
    here = platforms()
    outcomes = [here.tell("platform", account=account).outcome for account in ("acct_eu", "acct_us", "acct_eu")]
    assert outcomes == [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.REPLAYED]


# What others have changed


def drift(kind: str, metadata: Any = NAMED) -> dict[str, Any]:
    named = "subscription_schedule" if kind in SCHEDULE_TYPES else "subscription"
    about = {"id": "x_1", "object": named, "status": "active", **({} if metadata is ... else {"metadata": metadata})}
    return {"type": kind, "data": {"object": about}}


def reconciled(route: Route) -> list[SalesforceEvent]:
    found = [event for event, _ in route.queues.sent]
    assert all(isinstance(event, SalesforceEvent) for event in found)
    return [event for event in found if isinstance(event, SalesforceEvent)]


@pytest.mark.parametrize("kind", DRIFT_TYPES)
def test_a_changed_schedule_has_its_contract_looked_at(kind: str) -> None:
    route = Route()
    got = route.tell(**drift(kind))
    assert (got.status, got.body, got.outcome, got.note) == (200, TAKEN, Outcome.ACCEPTED, "queued")
    assert got.about == {
        "account": "default", "event_id": "evt_1", "event_type": kind, "livemode": False, "record_id": CONTRACT,
    }  # fmt: skip
    [event] = reconciled(route)
    assert json.loads(event.to_json()) == {
        "id": "evt_1",
        "type": "contract.reconcile",
        "org_id": ORG,
        "record_id": CONTRACT,
        "occurred_at": "2026-11-20T10:00:00Z",
        "data": {"reason": "stripe"},
    }
    assert (event.group, SalesforceEvent.of(json.loads(event.to_json()))) == (CONTRACT, event)
    assert route.tell(**drift(kind)).outcome == Outcome.REPLAYED


def test_a_subscription_that_was_renewed_starts_no_run() -> None:
    route = Route()
    got = route.tell(**drift("customer.subscription.updated"))
    assert (got.status, got.body, got.outcome, got.note) == (200, TAKEN, Outcome.IGNORED, "the type is not known")
    assert route.queues.sent == []


@pytest.mark.parametrize("contract", [{}, {"salesforce_contract_id": ""}])
def test_an_order_without_a_contract_is_looked_at_itself(contract: dict[str, str]) -> None:
    route = Route()
    metadata = {"salesforce_org_id": ORG[:15], "salesforce_order_id": ORDER[:15], **contract}
    route.tell(**drift("customer.subscription.deleted", metadata))
    assert [(event.org_id, event.record_id) for event in reconciled(route)] == [(ORG, ORDER)]


@pytest.mark.parametrize(
    "metadata",
    [
        ...,
        None,
        {},
        {"salesforce_contract_id": CONTRACT},
        {"salesforce_org_id": ORG},
        NAMED | {"salesforce_org_id": "Acme"},
        NAMED | {"salesforce_org_id": CONTRACT},
        NAMED | {"salesforce_contract_id": "none"},
        NAMED | {"salesforce_contract_id": ORG},
    ],
)
def test_a_schedule_of_no_contract_is_ignored(metadata: Any) -> None:
    route = Route()
    got = route.tell(**drift("subscription_schedule.updated", metadata))
    assert (got.status, got.body, got.outcome) == (200, TAKEN, Outcome.IGNORED)
    assert got.note == "its metadata names no contract of an org"
    assert (route.queues.sent, route.once.accepted) == ([], {})


def test_schedules_that_we_have_changed_are_passed_over_where_that_is_wanted() -> None:
    own = {"request": {"id": "req_1", "idempotency_key": "orderphase:update:1"}}
    assert Route().tell(**drift("subscription_schedule.updated"), **own).note == "we have caused it ourselves"
    assert Route(ignore_own=False).tell(**drift("subscription_schedule.updated"), **own).outcome == Outcome.ACCEPTED
    # Stripe itself: a phase has begun.
    assert Route().tell(**drift("subscription_schedule.updated"), request=None).outcome == Outcome.ACCEPTED


def test_schedules_of_an_account_that_is_none_of_ours_are_ignored() -> None:
    note = "it happened in an account that is none of ours"
    assert Route().tell(**drift("subscription_schedule.updated"), account="acct_9").note == note


def test_reconciliation_that_is_off_is_named() -> None:
    got = Route(queues=Queues(*STRIPE_TYPES)).tell(**drift("subscription_schedule.updated"))
    assert (got.status, got.outcome) == (200, Outcome.IGNORED)
    assert got.note == f"the flow is switched off; set the template's parameter switch of {RECONCILE} to on"


@pytest.mark.parametrize(
    ("about", "fault"),
    [
        ({"object": "product"}, "data.object.object: is none of subscription_schedule, subscription"),
        ({"id": ""}, "data.object.id: is empty"),
        ({"metadata": []}, "data.object.metadata: is not an object or table"),
        ({"metadata": {"salesforce_org_id": 5}}, "data.object.metadata.salesforce_org_id: is not text"),
    ],
)
def test_a_malformed_schedule_is_named_with_its_field(about: dict[str, Any], fault: str) -> None:
    event = drift("subscription_schedule.updated")
    got = Route().tell(**event | {"data": {"object": event["data"]["object"] | about}})
    assert (got.status, got.body["reason"]) == (400, fault)


# Once, and what fails on our side


def test_an_event_that_comes_again_is_queued_once() -> None:
    route = Route()
    assert [route.tell().outcome for _ in range(3)] == [Outcome.ACCEPTED, Outcome.REPLAYED, Outcome.REPLAYED]
    assert len(route.sent()) == 1


@pytest.mark.parametrize(
    "route",
    [
        lambda: Route(queues=Queues(*STRIPE_TYPES, error=UnknownOutcomeError("SQS is away"))),
        lambda: Route(once=Once(error=TransientError("DynamoDB is away"))),
    ],
    ids=["queue", "table"],
)
def test_our_own_fault_asks_stripe_to_try_again(route: Callable[[], Route]) -> None:
    got = route().tell()
    assert (got.status, got.body, got.outcome) == (503, TRY_AGAIN, Outcome.UNAVAILABLE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from(["prod_1", "acct_9"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(["id", "object"]), inner, max_size=4)
    ),
    max_leaves=8,
)


DATA = st.builds(drift, st.sampled_from(DRIFT_TYPES), st.dictionaries(st.sampled_from(list(NAMED)), JSON)).map(
    lambda event: event["data"]
)


@given(
    st.dictionaries(st.sampled_from(list(EVENT)), JSON | st.sampled_from([*STRIPE_TYPES, *DRIFT_TYPES, *EVENT.values()]) | DATA)
)
def test_any_authentic_body_is_taken_or_refused_with_a_reason(changes: dict[str, Any]) -> None:
    route = Route()
    got = route.tell(**changes)
    assert got.status in {200, 400}
    assert got.body.get("reason") or got.body.get("id")
    assert len(route.queues.sent) == (got.outcome == Outcome.ACCEPTED)
    for event, _ in route.queues.sent:
        reader = StripeEvent if isinstance(event, StripeEvent) else SalesforceEvent
        assert reader.of(json.loads(event.to_json())) == event


@given(st.text() | st.just(sign(SECRET, BODY, NOW)), st.binary() | st.just(BODY), st.text() | st.just("default"))
def test_any_request_has_one_of_the_answers(header: str, body: bytes, account: str) -> None:
    got = Route().post(body, header, account)
    assert got.status in {200, 400}
    assert (got.status == 200) == ((header, body, account) == (sign(SECRET, BODY, NOW), BODY, "default"))
