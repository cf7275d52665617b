"""Typed settings: the environment of each function, and the secrets that it names. Validated once, at the border.

A missing or malformed value is a `ConfigurationError` that names the variable (or the secret's key) and the remedy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from orderphase.domain.policies import Policies
from orderphase.errors import ConfigurationError
from orderphase.validation import Currency, Text, TimeZone, describe

_PORTS = {"http": 80, "https": 443}
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def endpoint(value: str) -> str:
    """Accept an `https` base URL without path, or `http` on a loopback address; answers it without a trailing slash."""
    url, port = urlsplit(value), 0
    with suppress(ValueError):
        port = url.port or _PORTS.get(url.scheme, 0)
    if not (port and url.hostname) or url.scheme not in _PORTS:
        raise ValueError("is not a URL such as https://example.my.salesforce.com")
    if url.scheme == "http" and url.hostname not in LOOPBACK_HOSTS:
        raise ValueError("plain http is accepted for loopback addresses only; use https")
    if url.path not in ("", "/") or url.query or url.fragment or "@" in url.netloc:
        raise ValueError("takes scheme, host and port only")
    return f"{url.scheme}://{url.netloc}"


def _empty_is_absent(value: Any) -> Any:
    return None if value == "" else value


Endpoint = Annotated[str, AfterValidator(endpoint)]
OptionalText = Annotated[str | None, BeforeValidator(_empty_is_absent)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def _read(cls, source: Mapping[str, Any], where: str) -> Self:
        try:
            return cls.model_validate(dict(source))
        except ValidationError as problem:
            raise ConfigurationError(f"{where}: {describe(problem)}") from None


class WebhookSettings(_Settings):
    """What the Salesforce route needs. The queue of a flow that is switched off is empty there, and None here."""

    webhook_secret: Text = Field(alias="ORDERPHASE_WEBHOOK_SECRET")
    idempotency_table: Text = Field(alias="ORDERPHASE_IDEMPOTENCY_TABLE")
    order_activation_queue: OptionalText = Field(alias="ORDERPHASE_ORDER_ACTIVATION_QUEUE")
    order_item_update_queue: OptionalText = Field(alias="ORDERPHASE_ORDER_ITEM_UPDATE_QUEUE")
    cancellation_queue: OptionalText = Field(alias="ORDERPHASE_CANCELLATION_QUEUE")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the function's environment variables."""
        return cls._read(environment, "environment")


class FlowSettings(_Settings):
    """What a flow's function needs: the ids of its secrets, its tables, and the policies."""

    salesforce_secret: Text = Field(alias="ORDERPHASE_SALESFORCE_SECRET")
    stripe_secret: Text = Field(alias="ORDERPHASE_STRIPE_SECRET")
    contract_table: Text = Field(alias="ORDERPHASE_CONTRACT_TABLE")
    sync_log_table: Text = Field(alias="ORDERPHASE_SYNC_LOG_TABLE")
    currency: Currency = Field(alias="ORDERPHASE_CURRENCY")
    quantity_conflict: Literal["error", "sum", "latest"] = Field(alias="ORDERPHASE_QUANTITY_CONFLICT")
    end_dates: Literal["exclusive", "inclusive"] = Field(alias="ORDERPHASE_END_DATES")
    time_zone: TimeZone = Field(alias="ORDERPHASE_TIME_ZONE")
    proration_behavior: Literal["create_prorations", "none", "always_invoice"] = Field(alias="ORDERPHASE_PRORATION_BEHAVIOR")
    billing_mode: Literal["flexible", "classic"] = Field(alias="ORDERPHASE_BILLING_MODE")
    billing_cycle_anchor: Literal["automatic", "phase_start"] = Field(alias="ORDERPHASE_BILLING_CYCLE_ANCHOR")
    backdating: Literal["from_now", "reject", "catch_up"] = Field(alias="ORDERPHASE_BACKDATING")
    on_schedule_ended: Literal["error", "recreate"] = Field(alias="ORDERPHASE_ON_SCHEDULE_ENDED")
    on_drift: Literal["error", "repair"] = Field(alias="ORDERPHASE_ON_DRIFT")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the function's environment variables."""
        return cls._read(environment, "environment")

    @property
    def policies(self) -> Policies:
        """The policies, as the domain takes them."""
        return Policies(
            quantity_conflict=self.quantity_conflict,
            end_dates=self.end_dates,
            time_zone=self.time_zone,
            proration_behavior=self.proration_behavior,
            billing_mode=self.billing_mode,
            billing_cycle_anchor=self.billing_cycle_anchor,
            backdating=self.backdating,
            on_schedule_ended=self.on_schedule_ended,
            on_drift=self.on_drift,
        )


class RollingWindowSettings(_Settings):
    """What the rolling window needs: where it looks for contracts that are due, and where it sends them."""

    contract_table: Text = Field(alias="ORDERPHASE_CONTRACT_TABLE")
    order_activation_queue: Text = Field(alias="ORDERPHASE_ORDER_ACTIVATION_QUEUE")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the function's environment variables."""
        return cls._read(environment, "environment")


class _Secret(_Settings):
    @classmethod
    def from_secret(cls, name: str, value: str) -> Self:
        """Read the JSON object that the secret called `name` holds. Its value never appears in an error."""
        try:
            source = json.loads(value)
        except ValueError:
            source = None
        if not isinstance(source, dict):
            raise ConfigurationError(f"secret {name}: is not a JSON object; store its keys as one")
        return cls._read(source, f"secret {name}")


class WebhookSecrets(_Secret):
    """The shared secrets of the Salesforce route; two are valid while one replaces the other."""

    current: Text = Field(alias="SALESFORCE_WEBHOOK_SECRET", repr=False)
    previous: OptionalText = Field(None, alias="SALESFORCE_WEBHOOK_SECRET_PREVIOUS", repr=False)

    @property
    def valid(self) -> tuple[str, ...]:
        """Every secret that a sender may use now."""
        return (self.current,) if self.previous is None else (self.current, self.previous)


class SalesforceCredentials(_Secret):
    """How to log in to the org: client credentials, or JWT bearer where a private key and a user name are given."""

    login_url: Endpoint = Field(alias="SALESFORCE_LOGIN_URL")
    client_id: Text = Field(alias="SALESFORCE_CLIENT_ID")
    client_secret: OptionalText = Field(None, alias="SALESFORCE_CLIENT_SECRET", repr=False)
    username: OptionalText = Field(None, alias="SALESFORCE_USERNAME")
    private_key: OptionalText = Field(None, alias="SALESFORCE_PRIVATE_KEY", repr=False)

    @model_validator(mode="after")
    def _fits_a_flow(self) -> Self:
        if (self.username is None) != (self.private_key is None):
            raise ValueError(
                "SALESFORCE_USERNAME and SALESFORCE_PRIVATE_KEY belong together (JWT bearer): give both or neither"
            )
        if self.private_key is None and self.client_secret is None:
            raise ValueError("SALESFORCE_CLIENT_SECRET is missing: it is needed unless SALESFORCE_PRIVATE_KEY is given")
        return self


class StripeCredentials(_Secret):
    """The API key of one Stripe account."""

    api_key: Text = Field(alias="STRIPE_API_KEY", repr=False)
    api_base: Annotated[Endpoint, BeforeValidator(lambda value: value or "https://api.stripe.com")] = Field(
        "https://api.stripe.com", alias="STRIPE_API_BASE"
    )
