"""Typed settings: the environment of each function, and the secrets that it names. Validated once, at the border.

A missing or malformed value is a `ConfigurationError` that names the variable (or the secret's key) and the remedy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from orderphase.errors import ConfigurationError
from orderphase.ids import normalise_id
from orderphase.validation import Currency, Text, TimeZone, describe

if TYPE_CHECKING:
    from orderphase.domain.policies import Policies
    from orderphase.mapping import FieldMapping

_ACCOUNT_ID = re.compile(r"acct_[A-Za-z0-9]+")
_API_KEY = re.compile(r"[sr]k_[!-~]+")
_SIGNING_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")
_CREDENTIAL = re.compile(r"[!-~]+")
_ACCOUNT_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_OUTBOUND_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,}")
# Salesforce's relay names the org and the channel; AppFlow names neither.
_SALESFORCE_SOURCE = re.compile(r"aws\.partner/(?:salesforce\.com/(?P<org>00D[0-9A-Za-z]{12}[A-Z0-5]{3})/[^/\s]+|appflow\S*)")
_STRIPE_SOURCE = re.compile(r"aws\.partner/stripe\.com/[^/\s]+")
_PORTS = {"http": 80, "https": 443}
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def endpoint(value: str) -> str:
    """Accept an `https` base URL without path, or `http` on a loopback address; answers it without a trailing slash."""
    url, port = urlsplit(value if value.isascii() else ""), 0
    with suppress(ValueError):
        (url.hostname or "").encode("idna")  # what cannot be resolved would be no failure of the network
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


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _credential(value: str) -> str:
    if value and not _CREDENTIAL.fullmatch(value):
        raise ValueError("has characters that no such value has; paste it as Salesforce shows it")
    return value


def _switch(value: Any) -> Any:
    if value not in ("on", "off"):
        raise ValueError("is neither on nor off")
    return value == "on"


Stripped = BeforeValidator(_stripped)
Endpoint = Annotated[str, Stripped, AfterValidator(endpoint)]
OptionalText = Annotated[str | None, BeforeValidator(_empty_is_absent)]
Credential = Annotated[Text, Stripped, AfterValidator(_credential)]
Switch = Annotated[bool, BeforeValidator(_switch)]


class _Settings(BaseModel):
    # A function reads one or two of them: each is built when it is first read.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    @classmethod
    def _read(cls, source: Mapping[str, Any], where: str) -> Self:
        try:
            return cls.model_validate(dict(source))
        except ValidationError as problem:
            raise ConfigurationError(f"{where}: {describe(problem)}") from None


class _Environment(_Settings):
    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the function's environment variables."""
        return cls._read(environment, "environment")


def _by_flow(settings: _Environment, suffix: str) -> dict[str, Any]:
    """What the fields that end so hold of each flow, by the template's parameter that switches the flow on."""
    names = [name for name in type(settings).model_fields if name.endswith(suffix)]
    return {name.removesuffix(suffix).title().replace("_", ""): getattr(settings, name) for name in names}


class _SalesforceQueues(_Environment):
    """The queues of the flows that Salesforce's events feed. Of a flow that is off it is empty there, and None here."""

    order_activation_queue: OptionalText = Field(alias="ORDERPHASE_ORDER_ACTIVATION_QUEUE")
    order_item_update_queue: OptionalText = Field(alias="ORDERPHASE_ORDER_ITEM_UPDATE_QUEUE")
    cancellation_queue: OptionalText = Field(alias="ORDERPHASE_CANCELLATION_QUEUE")
    product_upsert_queue: OptionalText = Field(alias="ORDERPHASE_PRODUCT_UPSERT_QUEUE")
    price_upsert_queue: OptionalText = Field(alias="ORDERPHASE_PRICE_UPSERT_QUEUE")
    account_upsert_queue: OptionalText = Field(alias="ORDERPHASE_ACCOUNT_UPSERT_QUEUE")


class WebhookSettings(_SalesforceQueues):
    """What the Salesforce route needs."""

    webhook_secret: Text = Field(alias="ORDERPHASE_WEBHOOK_SECRET")
    idempotency_table: Text = Field(alias="ORDERPHASE_IDEMPOTENCY_TABLE")

    @property
    def queues(self) -> dict[str, str | None]:
        """The queue of each flow that the route feeds, by the template's parameter that switches it on."""
        return _by_flow(self, "_queue")


def _names(value: Any) -> Any:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def _account_id(value: str) -> str:
    if not _ACCOUNT_ID.fullmatch(value):
        raise ValueError("is not the id of a Stripe account (acct_…)")
    return value


def _account_name(value: str) -> str:
    if not _ACCOUNT_NAME.fullmatch(value):
        raise ValueError(
            "is not a name for a Stripe account, such as emea-2: take a small letter, then small letters, digits, _ or -, "
            "40 characters at most"
        )
    return value


StripeAccountId = Annotated[str, AfterValidator(_account_id)]
AccountName = Annotated[str, AfterValidator(_account_name)]


class StripeAccountSettings(_Environment):
    """The Stripe accounts of this deployment. The first has the stack's own secret; each further one has its own, by name."""

    stripe_secret: Text = Field(alias="ORDERPHASE_STRIPE_SECRET")
    stripe_account: AccountName = Field("default", alias="ORDERPHASE_STRIPE_ACCOUNT")
    more_accounts: Annotated[tuple[AccountName, ...], BeforeValidator(_names)] = Field(
        (), alias="ORDERPHASE_MORE_STRIPE_ACCOUNTS"
    )
    secret_prefix: str = Field("", alias="ORDERPHASE_STRIPE_SECRET_PREFIX")

    @field_validator("more_accounts")
    @classmethod
    def _each_once(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        names = (info.data.get("stripe_account"), *value)
        if len(set(names)) != len(names):
            raise ValueError("names an account twice, or the first one (ORDERPHASE_STRIPE_ACCOUNT) again; name each once")
        return value

    @property
    def stripe_secrets(self) -> dict[str, str]:
        """The id of each account's secret, by the account's name; the first is the one of records that name none."""
        return {self.stripe_account: self.stripe_secret, **{name: f"{self.secret_prefix}{name}" for name in self.more_accounts}}


class StripeWebhookSettings(StripeAccountSettings):
    """What the Stripe route needs. The queue of a flow that is off is None.

    ignore_own_events: whether what we have changed ourselves is passed over when its event comes.
    """

    idempotency_table: Text = Field(alias="ORDERPHASE_IDEMPOTENCY_TABLE")
    product_upsert_queue: OptionalText = Field(alias="ORDERPHASE_PRODUCT_UPSERT_QUEUE")
    price_upsert_queue: OptionalText = Field(alias="ORDERPHASE_PRICE_UPSERT_QUEUE")
    reconciliation_queue: OptionalText = Field(alias="ORDERPHASE_RECONCILIATION_QUEUE")
    ignore_own_events: Switch = Field(alias="ORDERPHASE_IGNORE_OWN_EVENTS")

    @property
    def queues(self) -> dict[str, str | None]:
        """The queue of each flow that is fed, by the template's parameter that switches it on."""
        return _by_flow(self, "_queue")


def _salesforce_source(value: str | None) -> str | None:
    if value is not None and not _SALESFORCE_SOURCE.fullmatch(value):
        raise ValueError("is not a source such as aws.partner/salesforce.com/00D…/0YL…; take it from the EventBridge console")
    return value


def _stripe_source(value: str | None) -> str | None:
    if value is not None and not _STRIPE_SOURCE.fullmatch(value):
        raise ValueError("is not a source such as aws.partner/stripe.com/ed_…; take it from the EventBridge console")
    return value


def _org_id(value: str) -> str:
    """The 18 characters of an org's id. Raises ValueError."""
    with suppress(ValueError):
        if value.startswith("00D"):
            return normalise_id(value)
    raise ValueError("is not the id of an org (00D…, 15 or 18 characters); Setup, Company Information shows it")


class EventBusSettings(StripeWebhookSettings):
    """What the function behind EventBridge needs. The queue of a flow that is off is None; a source that is not used is empty.

    stripe_event_source: belongs to the first Stripe account. webhook_secret: has the org's id, if the source does not name it.
    """

    order_activation_queue: OptionalText = Field(alias="ORDERPHASE_ORDER_ACTIVATION_QUEUE")
    order_item_update_queue: OptionalText = Field(alias="ORDERPHASE_ORDER_ITEM_UPDATE_QUEUE")
    account_upsert_queue: OptionalText = Field(alias="ORDERPHASE_ACCOUNT_UPSERT_QUEUE")
    progress_table: Text = Field(alias="ORDERPHASE_PROGRESS_TABLE")
    stripe_event_source: Annotated[OptionalText, AfterValidator(_stripe_source)] = Field(alias="ORDERPHASE_STRIPE_EVENT_SOURCE")
    salesforce_event_source: Annotated[OptionalText, AfterValidator(_salesforce_source)] = Field(
        alias="ORDERPHASE_SALESFORCE_EVENT_SOURCE"
    )
    webhook_secret: Text = Field(alias="ORDERPHASE_WEBHOOK_SECRET")

    @property
    def org_id(self) -> str | None:
        """The org that Salesforce's source names; None where it names none."""
        source = _SALESFORCE_SOURCE.fullmatch(self.salesforce_event_source or "")
        return source and source["org"]


class FlowSettings(StripeAccountSettings):
    """What a flow's function needs: the ids of its secrets, its tables, and the policies.

    sync_log_records: whether Salesforce gets a record of each run. ignore_own_events: whether what we have changed ourselves is
    passed over when its event comes.
    """

    salesforce_secret: Text = Field(alias="ORDERPHASE_SALESFORCE_SECRET")
    catalogue_table: Text = Field(alias="ORDERPHASE_CATALOGUE_TABLE")
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
    custom_pricing: Literal["create", "error", "standard"] = Field(alias="ORDERPHASE_CUSTOM_PRICING")
    unit_prices: Literal["per_interval", "per_term"] = Field(alias="ORDERPHASE_UNIT_PRICES")
    customer_update: Literal["never", "on_order", "on_account_change"] = Field(alias="ORDERPHASE_CUSTOMER_UPDATE")
    customer_per_currency: Literal["error", "create"] = Field(alias="ORDERPHASE_CUSTOMER_PER_CURRENCY")
    write_back: Literal["full", "ids_only", "none"] = Field(alias="ORDERPHASE_WRITE_BACK")
    sync_log_records: Switch = Field(alias="ORDERPHASE_SYNC_LOG_RECORDS")
    ignore_own_events: Switch = Field(alias="ORDERPHASE_IGNORE_OWN_EVENTS")
    adopt_existing: Literal["auto", "on", "off"] = Field(alias="ORDERPHASE_ADOPT_EXISTING")

    def policies(self, mapping: FieldMapping) -> Policies:
        """The policies, as the domain takes them, with the mapping's defaults."""
        from orderphase.domain.policies import Policies  # noqa: PLC0415 (only what has a domain to ask needs it)

        defaults = mapping.defaults
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
            custom_pricing=self.custom_pricing,
            unit_prices=self.unit_prices if mapping.divides_terms else "per_interval",
            customer_update=self.customer_update,
            customer_per_currency=self.customer_per_currency,
            write_back=self.write_back,
            collection_method=defaults.collection_method,
            days_until_due=defaults.days_until_due,
        )


class WorkerSettings(_Environment):
    """Where a flow's function goes with what it cannot do."""

    progress_table: Text = Field(alias="ORDERPHASE_PROGRESS_TABLE")
    dead_letter_queue: Text = Field(alias="ORDERPHASE_DEAD_LETTER_QUEUE")


class PollSettings(_Environment):
    """What the poll needs beside what every flow does."""

    progress_table: Text = Field(alias="ORDERPHASE_PROGRESS_TABLE")
    reconciliation_queue: Text = Field(alias="ORDERPHASE_RECONCILIATION_QUEUE")


class SweepSettings(PollSettings):
    """What the sweep needs. rate: contracts an hour."""

    contract_table: Text = Field(alias="ORDERPHASE_CONTRACT_TABLE")
    rate: Annotated[int, Field(ge=1)] = Field(alias="ORDERPHASE_RECONCILIATION_RATE")


class RecoverySettings(_SalesforceQueues):
    """The queues of all flows, and the dead letters of each."""

    progress_table: Text = Field(alias="ORDERPHASE_PROGRESS_TABLE")
    sync_log_table: Text = Field(alias="ORDERPHASE_SYNC_LOG_TABLE")
    reconciliation_queue: OptionalText = Field(alias="ORDERPHASE_RECONCILIATION_QUEUE")
    order_activation_letters: Text = Field(alias="ORDERPHASE_ORDER_ACTIVATION_DEAD_LETTER_QUEUE")
    order_item_update_letters: Text = Field(alias="ORDERPHASE_ORDER_ITEM_UPDATE_DEAD_LETTER_QUEUE")
    cancellation_letters: Text = Field(alias="ORDERPHASE_CANCELLATION_DEAD_LETTER_QUEUE")
    product_upsert_letters: Text = Field(alias="ORDERPHASE_PRODUCT_UPSERT_DEAD_LETTER_QUEUE")
    price_upsert_letters: Text = Field(alias="ORDERPHASE_PRICE_UPSERT_DEAD_LETTER_QUEUE")
    account_upsert_letters: Text = Field(alias="ORDERPHASE_ACCOUNT_UPSERT_DEAD_LETTER_QUEUE")
    reconciliation_letters: Text = Field(alias="ORDERPHASE_RECONCILIATION_DEAD_LETTER_QUEUE")

    @property
    def queues(self) -> dict[str, tuple[str, str]]:
        """The queue and the dead letters of each flow that is on, by the template's parameter that switches it on."""
        letters = _by_flow(self, "_letters")
        return {flow: (queue, letters[flow]) for flow, queue in _by_flow(self, "_queue").items() if queue is not None}


class RollingWindowSettings(_Environment):
    """What the rolling window needs: where it looks for contracts that are due, and where it sends them."""

    contract_table: Text = Field(alias="ORDERPHASE_CONTRACT_TABLE")
    order_activation_queue: Text = Field(alias="ORDERPHASE_ORDER_ACTIVATION_QUEUE")


class _Secret(_Settings):
    @classmethod
    def from_secret(cls, name: str, value: str) -> Self:
        """Read the JSON object that the secret called `name` holds. Its value never appears in an error."""
        try:
            source = json.loads(value)
        except (ValueError, RecursionError):
            source = None
        if not isinstance(source, dict):
            raise ConfigurationError(f"secret {name}: is not a JSON object; store its keys as one")
        return cls._read(source, f"secret {name}")


def _outbound_token(value: str) -> str:
    if not _OUTBOUND_TOKEN.fullmatch(value):
        raise ValueError("is not 32 or more letters, digits, _ and -; take a random one, as `openssl rand -hex 32` prints it")
    return value


class WebhookSecrets(_Secret):
    """The shared secrets of the Salesforce routes; two are valid while one replaces the other.

    stated_token, stated_org: what Outbound Messages come with, and whose they are. They are checked when they are needed: a
    mistake in them closes their own route, and no other.
    """

    current: Text = Field(alias="SALESFORCE_WEBHOOK_SECRET", repr=False)
    """What Salesforce signs its events with, or sends as `X-Api-Key`. The deployment draws one."""
    previous: OptionalText = Field(None, alias="SALESFORCE_WEBHOOK_SECRET_PREVIOUS", repr=False)
    """Valid beside the current one while the org changes over."""
    stated_token: Annotated[OptionalText, Stripped] = Field(None, alias="SALESFORCE_OUTBOUND_TOKEN", repr=False)
    """The last part of the address that they are sent to: 32 or more letters, digits, `_` and `-`, drawn at random."""
    stated_token_previous: Annotated[OptionalText, Stripped] = Field(
        None, alias="SALESFORCE_OUTBOUND_TOKEN_PREVIOUS", repr=False
    )
    """Valid beside the current one while the org changes over."""
    stated_org: Annotated[OptionalText, Stripped] = Field(None, alias="SALESFORCE_ORG_ID")
    """The org that Outbound Messages and AppFlow's change events come from: 15 or 18 characters, whose case counts."""

    @property
    def valid(self) -> tuple[str, ...]:
        """Every secret that a sender may use now."""
        return (self.current,) if self.previous is None else (self.current, self.previous)

    @property
    def outbound_tokens(self) -> tuple[str, ...]:
        """Every token that Outbound Messages may come with now. Raises ConfigurationError for one that is none."""
        stated = {
            "SALESFORCE_OUTBOUND_TOKEN": self.stated_token,
            "SALESFORCE_OUTBOUND_TOKEN_PREVIOUS": self.stated_token_previous,
        }
        return tuple(_stated(name, token, _outbound_token) for name, token in stated.items() if token is not None)

    @property
    def org_id(self) -> str | None:
        """The org whose messages are taken, 18 characters. Raises ConfigurationError for what is no org's id."""
        return None if self.stated_org is None else _stated("SALESFORCE_ORG_ID", self.stated_org, _org_id)


def _stated(key: str, value: str, check: Callable[[str], str]) -> str:
    try:
        return check(value)
    except ValueError as problem:
        raise ConfigurationError(f"the secret of Salesforce's routes: {key}: {problem}") from None


class SalesforceCredentials(_Secret):
    """How to log in to the org: client credentials, or JWT bearer where a private key and a user name are given."""

    login_url: Endpoint = Field(alias="SALESFORCE_LOGIN_URL")
    """`https://….my.salesforce.com`."""
    client_id: Credential = Field(alias="SALESFORCE_CLIENT_ID")
    """Consumer key of the External Client App."""
    username: Annotated[OptionalText, Stripped] = Field(None, alias="SALESFORCE_USERNAME")
    """The integration user. Goes with the private key."""
    private_key: Annotated[OptionalText, Stripped] = Field(None, alias="SALESFORCE_PRIVATE_KEY", repr=False)
    """Private key, PEM, of the certificate that the External Client App knows."""
    client_secret: Annotated[Credential | None, BeforeValidator(_empty_is_absent), Stripped] = Field(
        None, alias="SALESFORCE_CLIENT_SECRET", repr=False
    )
    """Consumer secret of the External Client App."""

    @model_validator(mode="before")
    @classmethod
    def _absent_is_empty(cls, source: Mapping[str, Any]) -> dict[str, Any]:
        # A default would not be validated, or its fault would not be told by the key.
        return {"SALESFORCE_PRIVATE_KEY": None, "SALESFORCE_CLIENT_SECRET": None, **source}

    @field_validator("private_key")
    @classmethod
    def _goes_with_a_user(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "username" in info.data and (info.data["username"] is None) != (value is None):
            raise ValueError("belongs together with SALESFORCE_USERNAME (JWT bearer): give both or neither")
        return value

    @field_validator("client_secret")
    @classmethod
    def _fits_a_grant(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and "private_key" in info.data and info.data["private_key"] is None:
            raise ValueError("is missing; it is needed unless SALESFORCE_PRIVATE_KEY is given")
        return value


def _secrets(value: Any) -> Any:
    return [secret for secret in re.split(r"[,\s]+", value) if secret] if isinstance(value, str) else value


def _api_key(value: str) -> str:
    if not _API_KEY.fullmatch(value):
        raise ValueError("is not a secret or restricted key (sk_… or rk_…)")
    return value


def _signing_secret(value: str) -> str:
    if not _SIGNING_SECRET.fullmatch(value):
        raise ValueError("is not a signing secret (whsec_…)")
    return value


class StripeCredentials(_Secret):
    """The API key of one Stripe account, and what its events are signed with.

    account_id: the connected account (`acct_…`) that is meant, where the key is its platform's. webhook_secrets: one for each
    endpoint that sends to the account's route, and the one before while it is rolled; commas or spaces between them.
    """

    api_key: Annotated[Text, Stripped, AfterValidator(_api_key)] = Field(alias="STRIPE_API_KEY", repr=False)
    """Secret or restricted key of the account."""
    account_id: Annotated[StripeAccountId | None, BeforeValidator(_empty_is_absent), Stripped] = Field(
        None, alias="STRIPE_ACCOUNT_ID"
    )
    """`acct_…`, where the key is a platform's and a connected account is meant."""
    webhook_secrets: Annotated[tuple[Annotated[str, AfterValidator(_signing_secret)], ...], BeforeValidator(_secrets)] = Field(
        (), alias="STRIPE_WEBHOOK_SECRET", repr=False
    )
    """What the endpoint's events are signed with. Several are all valid: of several endpoints, or while one is rolled; with
    commas or spaces between them.
    """
    api_base: Annotated[Endpoint, BeforeValidator(lambda value: value or "https://api.stripe.com")] = Field(
        "https://api.stripe.com", alias="STRIPE_API_BASE"
    )
    """`https://api.stripe.com` unless said otherwise."""
