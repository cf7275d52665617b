"""Whether the key of a Stripe account may do what the flows do, and whether its events come. Nothing is made or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit

from orderphase.diagnosis import ACCOUNT_FLOWS, CATALOGUE_FLOWS, ORDER_FLOWS, Diagnosis, Feed, Uses
from orderphase.errors import OrderphaseError, TransientError
from orderphase.settings import StripeCredentials
from orderphase.stripe.client import API_VERSION, StripeConnection

_WITHOUT_ACCESS = frozenset({"AuthenticationError", "account_invalid", "api_key_expired", "secret_key_required"})
"""Error codes with which every call of a key is refused."""

_PERMITTED = frozenset({"parameter_unknown", "resource_missing"})
_UNKNOWN: Any = {"orderphase_probe": "1"}
_NOWHERE = "orderphase_probe"
_PAGE = 100


@dataclass(frozen=True, slots=True)
class AccountExamination:
    """What was found out. account_id: the account that the key reaches, None where Stripe does not tell."""

    diagnoses: tuple[Diagnosis, ...]
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Permission:
    """Something that a key has to be allowed, and how that is tried. No flow: the preview on the command line alone."""

    ability: Literal["read", "write", "preview"]
    resource: str
    flows: frozenset[str]
    request: Callable[[Any], Any]


def _read(resource: str, flows: frozenset[str]) -> _Permission:
    return _Permission("read", resource, flows, lambda api: getattr(api, resource).list({"limit": 1}))


def _write(resource: str, flows: frozenset[str]) -> _Permission:
    # Stripe looks at the key's permission first (403), then at the parameters (400 parameter_unknown), then at the object (404
    # resource_missing). So an update with an unknown parameter tells whether the key may write. It names an object that does
    # not exist: nothing could be made or changed even if the parameter were passed over.
    return _Permission("write", resource, flows, lambda api: getattr(api, resource).update(_NOWHERE, _UNKNOWN))


_PERMISSIONS = (
    *(ask("customers", ORDER_FLOWS | ACCOUNT_FLOWS) for ask in (_read, _write)),
    *(ask(resource, ORDER_FLOWS | CATALOGUE_FLOWS) for resource in ("products", "prices") for ask in (_read, _write)),
    *(ask(resource, ORDER_FLOWS) for resource in ("coupons", "subscription_schedules") for ask in (_read, _write)),
    _read("subscriptions", ORDER_FLOWS),
    # A preview makes nothing.
    _Permission("preview", "invoices", frozenset(), lambda api: api.invoices.create_preview(_UNKNOWN)),
)


def is_live(credentials: StripeCredentials) -> bool:
    """Whether the key moves real money. Stripe: such a key begins with `sk_live_` or `rk_live_`."""
    return credentials.api_key.startswith(("sk_live_", "rk_live_"))


def examine(
    name: str,
    credentials: StripeCredentials,
    connect: Callable[[StripeCredentials], StripeConnection],
    uses: Uses,
    *,
    feed: Feed | None = None,
) -> AccountExamination:
    """Look at one account, called `name` in the settings: some fifteen requests.

    feed: how its products and prices come; None where they do not go to Salesforce.
    """
    where, connection = f"Stripe account {name}", connect(credentials)
    try:
        account_id = _account_id(connection)
    except OrderphaseError as problem:
        remedy = (
            f"put a valid key of the account into STRIPE_API_KEY of the secret of {name}, and check STRIPE_ACCOUNT_ID there"
        )
        if isinstance(problem, TransientError):
            remedy = "check STRIPE_API_BASE in the account's secret, and that Stripe can be reached from here; then run again"
        return AccountExamination((Diagnosis("missing", where, problem.message, remedy),))
    found = [_reached(where, credentials, account_id)]
    refused = [one for one in (_tried(where, permission, connection, uses) for permission in _PERMISSIONS) if one]
    found += refused or [Diagnosis("ok", where, "the key has every permission that is used")]
    if feed:
        platform = connect(credentials.model_copy(update={"account_id": None})) if credentials.account_id else connection
        found += _events(where, f"/stripe/{name}/events", credentials, platform, uses, feed)
    return AccountExamination(tuple(found), account_id)


def _account_id(connection: StripeConnection) -> str | None:
    """The account that the key reaches; None where the key may not ask. Raises where it may do nothing at all."""
    try:
        return connection.call(connection.api.accounts.retrieve_current).id
    except OrderphaseError as problem:
        if isinstance(problem, TransientError) or problem.code in _WITHOUT_ACCESS:
            raise
        return None


def _reached(where: str, credentials: StripeCredentials, account_id: str | None) -> Diagnosis:
    mode = "live mode" if is_live(credentials) else "test mode"
    wanted = credentials.account_id
    if account_id and wanted not in (None, account_id):
        remedy = "correct STRIPE_ACCOUNT_ID or STRIPE_API_KEY in the account's secret"
        return Diagnosis("missing", where, f"the key reaches {account_id}, and not the configured {wanted}", remedy)
    return Diagnosis("ok", where, f"{account_id or wanted or 'its id is not told to this key'}, {mode}")


def _tried(where: str, permission: _Permission, connection: StripeConnection, uses: Uses) -> Diagnosis | None:
    """Try a permission; None where the key has it."""
    try:
        connection.call(partial(permission.request, connection.api))
    except TransientError as problem:
        what = f"whether the key may {permission.ability} {permission.resource} cannot be told: {problem.message}"
        return Diagnosis("missing", where, what, "run again")
    except OrderphaseError as problem:
        if problem.code in _PERMITTED:
            return None
        what = f"the key may not {permission.ability} {permission.resource}. {problem.message}"
        remedy = f"allow the key to {permission.ability} {permission.resource}, in Stripe's Dashboard under API keys"
        if not permission.flows:
            return Diagnosis("warning", where, what, f"{remedy}; orderphase preview alone needs it")
        return uses.lacking(permission.flows, where, what, remedy)
    return None


def _events(
    where: str, route: str, credentials: StripeCredentials, connection: StripeConnection, uses: Uses, feed: Feed
) -> Iterator[Diagnosis]:
    """Whether some endpoint sends the events of products and prices to the account's route, and these can be checked there."""
    store = "put its signing secret into STRIPE_WEBHOOK_SECRET of the account's secret"
    address = f"{feed.api or '<ApiUrl>'}{route}"
    try:
        endpoints = [one for one in _endpoints(connection) if urlsplit(one.url).path.endswith(route)]
    except OrderphaseError as problem:
        yield Diagnosis("ok", where, f"whether its events come cannot be told. {problem.message}")
        if not credentials.webhook_secrets:
            yield Diagnosis(
                "warning", where, "STRIPE_WEBHOOK_SECRET is empty, so no event is taken", f"where {route} is sent to, {store}"
            )
        return
    # An account may send its events to several deployments.
    ours = [one for one in endpoints if one.url == address]
    endpoints = ours or endpoints
    working = [one for one in endpoints if one.status == "enabled"]
    if not working:
        what = "every webhook endpoint" if endpoints else "no webhook endpoint"
        what += f" for {route} is disabled" if endpoints else f" sends to {route}"
        remedy = "enable it" if endpoints else f"make one for {address} that sends {', '.join(feed.events)}, and {store}"
        yield Diagnosis("warning", where, f"{what}: changes in Stripe do not reach Salesforce", remedy)
        return
    sent = {kind for one in working for kind in one.enabled_events}
    absent = [] if "*" in sent else [kind for kind in feed.events if kind not in sent]
    if absent:
        yield Diagnosis(
            "warning", where, f"no webhook endpoint sends {', '.join(absent)} to {route}", "add them to the endpoint"
        )
    for version in sorted({one.api_version for one in working if one.api_version} - {API_VERSION}):
        what, remedy = f"an endpoint sends events of the version {version}", f"make one of the version {API_VERSION} instead"
        yield Diagnosis("warning", where, f"{what}; what is read from Stripe is of {API_VERSION}", remedy)
    if not credentials.webhook_secrets:
        yield uses.lacking(CATALOGUE_FLOWS, where, "STRIPE_WEBHOOK_SECRET is empty, so every event is refused", store)
    urls = " and ".join(dict.fromkeys(one.url for one in working))
    if feed.api and not ours:
        what, remedy = f"its events are sent to {urls}", f"make sure that they get from there to {address}, or send them there"
        yield Diagnosis("warning", where, f"{what}, and not to this stack's API", remedy)
    elif credentials.webhook_secrets and not absent:
        yield Diagnosis("ok", where, f"its events are sent to {urls}")


def _endpoints(connection: StripeConnection) -> Iterator[Any]:
    params: Any = {"limit": _PAGE}
    while True:
        page = connection.call(connection.api.webhook_endpoints.list, params)
        yield from page.data
        if not page.has_more:
            return
        params = {"limit": _PAGE, "starting_after": page.data[-1].id}
