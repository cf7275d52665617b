"""The endpoints: which are served, and which exist in Stripe but are not modelled."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stripe import StripeClient

from sandbox.stripe_emulator import (
    catalogue,
    coupons,
    customers,
    edits,
    events,
    previews,
    schedules,
    subscriptions,
    updates,
    webhooks,
)
from sandbox.stripe_emulator.account import Moment
from sandbox.stripe_emulator.errors import Json, StripeError, not_modelled

# (moment, checked parameters, id in the path or "") → the answer
Handler = Callable[[Moment, Json, str], Json]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint. `operation` names it as the SDK does, `kind` is the kind of object that it answers."""

    method: str
    pattern: re.Pattern[str]
    operation: str
    kind: str
    handler: Handler

    @property
    def resource(self) -> str:
        """The resource's name in the path."""
        return self.operation.partition(".")[0]

    @property
    def answers_list(self) -> bool:
        """Whether the answer is a list of objects."""
        return self.operation.endswith((".list", ".search"))

    @property
    def writes(self) -> bool:
        """Whether it changes anything."""
        return self.method != "GET" and self.handler is not previews.create


def find(method: str, path: str) -> tuple[Route, str]:
    """The route, and the id in the path or "".

    Raises StripeError: 404 for what Stripe does not have either, 501 for what it has and the emulator has not.
    """
    for known_method, pattern in _BEYOND:
        if known_method == method and pattern.fullmatch(path):
            raise not_modelled(f"{method} {path}")
    for route in ROUTES:
        match = route.pattern.fullmatch(path)
        if match and route.method == method:
            return route, match.groupdict().get("id") or ""
    resource = path.removeprefix("/v1/").partition("/")[0]
    if path.startswith("/v1/") and resource not in _SERVED and hasattr(_SDK.v1, resource):
        raise not_modelled(f"{method} {path}")
    raise StripeError(
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at "
        "https://support.stripe.com/.",
        status=404,
    )


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(template.replace("{id}", r"(?P<id>[^/]+)").replace("{}", r"[^/]+"))


def _resource(service: str, handlers: Mapping[str, Handler]) -> list[Route]:
    """The routes of one service, from the names of its methods."""
    root, one = f"/v1/{service}", f"/v1/{service}/{{id}}"
    ways = {
        "create": ("POST", root),
        "list": ("GET", root),
        "search": ("GET", f"{root}/search"),
        "retrieve": ("GET", one),
        "update": ("POST", one),
        "delete": ("DELETE", one),
    }
    routes = []
    for method, handler in handlers.items():
        verb, template = ways.get(method, ("POST", f"{one}/{method}"))
        routes.append(Route(verb, _pattern(template), f"{service}.{method}", service.removesuffix("s"), handler))
    return routes


def _account(moment: Moment, _: Json, __: str) -> Json:
    """The account itself, as far as anybody needs it: its id."""
    return {"id": moment.account.id, "object": "account"}


ROUTES: tuple[Route, ...] = (
    *_resource(
        "customers",
        {
            "search": customers.search,
            "create": customers.create,
            "list": customers.listed,
            "retrieve": customers.retrieve,
            "update": customers.update,
            "delete": customers.delete,
        },
    ),
    *_resource(
        "products",
        {
            "create": catalogue.create_product,
            "list": catalogue.list_products,
            "retrieve": catalogue.retrieve_product,
            "update": catalogue.update_product,
            "delete": catalogue.delete_product,
        },
    ),
    *_resource(
        "prices",
        {
            "create": catalogue.create_price,
            "list": catalogue.list_prices,
            "retrieve": catalogue.retrieve_price,
            "update": catalogue.update_price,
        },
    ),
    *_resource(
        "coupons",
        {
            "create": coupons.create,
            "list": coupons.listed,
            "retrieve": coupons.retrieve,
            "update": coupons.update,
            "delete": coupons.delete,
        },
    ),
    *_resource(
        "subscription_schedules",
        {
            "create": schedules.create,
            "list": schedules.listed,
            "retrieve": schedules.retrieve,
            "update": updates.update,
            "cancel": schedules.cancel,
            "release": schedules.release,
        },
    ),
    *_resource("subscriptions", {"list": subscriptions.listed, "retrieve": subscriptions.retrieve, "update": edits.update}),
    Route("DELETE", _pattern("/v1/subscriptions/{id}"), "subscriptions.cancel", "subscription", edits.cancel),
    Route("POST", _pattern("/v1/invoices/create_preview"), "invoices.create_preview", "invoice", previews.create),
    Route("GET", _pattern("/v1/account"), "accounts.retrieve_current", "account", _account),
    *_resource("events", {"list": events.listed, "retrieve": events.retrieve}),
    *_resource(
        "webhook_endpoints",
        {
            "create": webhooks.create,
            "list": webhooks.listed,
            "retrieve": webhooks.retrieve,
            "delete": webhooks.delete,
        },
    ),
)

# What the resources above have in Stripe beyond what is served. Looked at first: `search` is not the id of a product.
_BEYOND = tuple(
    (method, _pattern(template))
    for method, template in (
        ("GET", "/v1/(prices|products|subscriptions)/search"),
        ("POST", "/v1/subscriptions"),
        ("POST", "/v1/subscriptions/{}/(migrate|pause|resume)"),
        ("DELETE", "/v1/subscriptions/{}/discount"),
        ("GET", "/v1/invoices(/.+)?"),
        ("POST", "/v1/invoices(/(?!create_preview$).+)?"),
        ("DELETE", "/v1/invoices/{}"),
        ("POST", "/v1/webhook_endpoints/{}"),
        ("GET", "/v1/products/{}/features(/{})?"),
        ("POST", "/v1/products/{}/features"),
        ("DELETE", "/v1/products/{}/features/{}"),
        ("DELETE", "/v1/customers/{}/discount"),
        (
            "GET",
            "/v1/customers/{}/(balance_transactions|cash_balance|cash_balance_transactions|payment_methods|sources|tax_ids)(/{})?",
        ),
        ("POST", "/v1/customers/{}/(balance_transactions|cash_balance|funding_instructions|sources|tax_ids)(/{})?"),
        ("DELETE", "/v1/customers/{}/(sources|tax_ids)/{}"),
    )
)
_SERVED = frozenset(route.pattern.pattern.split("/")[2] for route in ROUTES)
# Only to know which resources exist: nothing is ever sent through it.
_SDK = StripeClient("sk_test_unused")
