"""Settings: whatever is missing or malformed is named, and no secret is ever repeated."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orderphase.domain.policies import Policies
from orderphase.errors import ConfigurationError
from orderphase.mapping import Defaults, FieldMapping
from orderphase.settings import (
    EventBusSettings,
    FlowSettings,
    RollingWindowSettings,
    SalesforceCredentials,
    StripeAccountSettings,
    StripeCredentials,
    StripeWebhookSettings,
    WebhookSecrets,
    WebhookSettings,
    endpoint,
)

WEBHOOK = {
    "ORDERPHASE_WEBHOOK_SECRET": "orderphase/webhook",
    "ORDERPHASE_IDEMPOTENCY_TABLE": "idempotency",
    "ORDERPHASE_ORDER_ACTIVATION_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/order-activation.fifo",
    "ORDERPHASE_ORDER_ITEM_UPDATE_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/order-item-update.fifo",
    "ORDERPHASE_CANCELLATION_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/cancellation.fifo",
    "ORDERPHASE_PRODUCT_UPSERT_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/product-upsert.fifo",
    "ORDERPHASE_PRICE_UPSERT_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/price-upsert.fifo",
    "ORDERPHASE_ACCOUNT_UPSERT_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/account-upsert.fifo",
}
STRIPE_WEBHOOK = {
    "ORDERPHASE_STRIPE_SECRET": "orderphase/stripe",
    "ORDERPHASE_IDEMPOTENCY_TABLE": "idempotency",
    "ORDERPHASE_PRODUCT_UPSERT_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/product-upsert.fifo",
    "ORDERPHASE_PRICE_UPSERT_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/price-upsert.fifo",
    "ORDERPHASE_RECONCILIATION_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/reconciliation.fifo",
    "ORDERPHASE_IGNORE_OWN_EVENTS": "on",
}
EVENT_BUS = STRIPE_WEBHOOK | {
    "ORDERPHASE_ORDER_ACTIVATION_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/order-activation.fifo",
    "ORDERPHASE_ORDER_ITEM_UPDATE_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/order-item-update.fifo",
    "ORDERPHASE_ACCOUNT_UPSERT_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/account-upsert.fifo",
    "ORDERPHASE_PROGRESS_TABLE": "progress",
    "ORDERPHASE_WEBHOOK_SECRET": "orderphase/webhook",
    "ORDERPHASE_SALESFORCE_EVENT_SOURCE": "aws.partner/salesforce.com/00D5g000004Vn8QEAS/0YL5g0000008OImGAM",
    "ORDERPHASE_STRIPE_EVENT_SOURCE": "aws.partner/stripe.com/ed_61UbK3mPq9",
}
FLOW = {
    "ORDERPHASE_SALESFORCE_SECRET": "orderphase/salesforce",
    "ORDERPHASE_STRIPE_SECRET": "orderphase/stripe",
    "ORDERPHASE_CATALOGUE_TABLE": "catalogue",
    "ORDERPHASE_CONTRACT_TABLE": "contracts",
    "ORDERPHASE_SYNC_LOG_TABLE": "sync-log",
    "ORDERPHASE_CURRENCY": "USD",
    "ORDERPHASE_QUANTITY_CONFLICT": "error",
    "ORDERPHASE_END_DATES": "exclusive",
    "ORDERPHASE_TIME_ZONE": "UTC",
    "ORDERPHASE_PRORATION_BEHAVIOR": "create_prorations",
    "ORDERPHASE_BILLING_MODE": "flexible",
    "ORDERPHASE_BILLING_CYCLE_ANCHOR": "automatic",
    "ORDERPHASE_BACKDATING": "from_now",
    "ORDERPHASE_ON_SCHEDULE_ENDED": "error",
    "ORDERPHASE_ON_DRIFT": "error",
    "ORDERPHASE_CUSTOM_PRICING": "create",
    "ORDERPHASE_UNIT_PRICES": "per_interval",
    "ORDERPHASE_CUSTOMER_UPDATE": "on_order",
    "ORDERPHASE_CUSTOMER_PER_CURRENCY": "error",
    "ORDERPHASE_WRITE_BACK": "full",
    "ORDERPHASE_SYNC_LOG_RECORDS": "off",
    "ORDERPHASE_IGNORE_OWN_EVENTS": "on",
    "ORDERPHASE_ADOPT_EXISTING": "off",
}
ROLLING_WINDOW = {
    "ORDERPHASE_CONTRACT_TABLE": "contracts",
    "ORDERPHASE_ORDER_ACTIVATION_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/order-activation.fifo",
}
ENVIRONMENTS: list[tuple[Any, dict[str, str]]] = [
    (WebhookSettings, WEBHOOK),
    (StripeWebhookSettings, STRIPE_WEBHOOK),
    (EventBusSettings, EVENT_BUS),
    (FlowSettings, FLOW),
    (RollingWindowSettings, ROLLING_WINDOW),
]
VARIABLES = [(settings, whole, name) for settings, whole in ENVIRONMENTS for name in whole]
# Empty where the flow is switched off.
SWITCHED = [
    (settings, whole, name)
    for settings, whole, name in VARIABLES
    if settings in (WebhookSettings, StripeWebhookSettings, EventBusSettings) and name.endswith("_QUEUE")
]
# Empty where there is none.
OPTIONAL = [(settings, whole, name) for settings, whole, name in VARIABLES if name.endswith("_EVENT_SOURCE")]
FLOWS = {
    "OrderActivation": "ORDER_ACTIVATION",
    "OrderItemUpdate": "ORDER_ITEM_UPDATE",
    "Cancellation": "CANCELLATION",
    "ProductUpsert": "PRODUCT_UPSERT",
    "PriceUpsert": "PRICE_UPSERT",
    "AccountUpsert": "ACCOUNT_UPSERT",
    "Reconciliation": "RECONCILIATION",
}
CHOSEN = (
    "ORDERPHASE_CURRENCY",
    "ORDERPHASE_QUANTITY_CONFLICT",
    "ORDERPHASE_END_DATES",
    "ORDERPHASE_TIME_ZONE",
    "ORDERPHASE_PRORATION_BEHAVIOR",
    "ORDERPHASE_BILLING_MODE",
    "ORDERPHASE_BILLING_CYCLE_ANCHOR",
    "ORDERPHASE_BACKDATING",
    "ORDERPHASE_ON_SCHEDULE_ENDED",
    "ORDERPHASE_ON_DRIFT",
    "ORDERPHASE_CUSTOM_PRICING",
    "ORDERPHASE_UNIT_PRICES",
    "ORDERPHASE_CUSTOMER_UPDATE",
    "ORDERPHASE_CUSTOMER_PER_CURRENCY",
    "ORDERPHASE_WRITE_BACK",
    "ORDERPHASE_SYNC_LOG_RECORDS",
    "ORDERPHASE_IGNORE_OWN_EVENTS",
    "ORDERPHASE_ADOPT_EXISTING",
)
LOGIN = {
    "SALESFORCE_LOGIN_URL": "https://login.salesforce.com",
    "SALESFORCE_CLIENT_ID": "client",
    "SALESFORCE_CLIENT_SECRET": "hunter2",
}


def fault(read: Any, *arguments: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(*arguments)
    assert "hunter2" not in str(caught.value)
    return caught.value.message


# ---- environment ------------------------------------------------------------------------------------------------------


def test_a_complete_environment_is_read_and_the_rest_is_ignored() -> None:
    webhook = WebhookSettings.from_environment(WEBHOOK | {"PATH": "/usr/bin"})
    assert (webhook.webhook_secret, webhook.idempotency_table) == ("orderphase/webhook", "idempotency")
    for settings, whole in ((WebhookSettings, WEBHOOK), (StripeWebhookSettings, STRIPE_WEBHOOK), (EventBusSettings, EVENT_BUS)):
        named = {switch: whole.get(f"ORDERPHASE_{name}_QUEUE") for switch, name in FLOWS.items()}
        read = settings.from_environment(whole).queues
        assert read == {switch: queue for switch, queue in named.items() if queue}
    stripe = StripeWebhookSettings.from_environment(STRIPE_WEBHOOK | {"PATH": "/usr/bin"})
    assert (stripe.idempotency_table, stripe.ignore_own_events) == ("idempotency", True)
    bus = EventBusSettings.from_environment(EVENT_BUS | {"PATH": "/usr/bin"})
    assert (bus.progress_table, bus.webhook_secret, bus.org_id) == ("progress", "orderphase/webhook", "00D5g000004Vn8QEAS")
    assert bus.salesforce_event_source == EVENT_BUS["ORDERPHASE_SALESFORCE_EVENT_SOURCE"]
    assert bus.stripe_event_source == EVENT_BUS["ORDERPHASE_STRIPE_EVENT_SOURCE"]
    flow = FlowSettings.from_environment(FLOW | {"PATH": "/usr/bin"})
    assert (flow.salesforce_secret, flow.stripe_secret) == ("orderphase/salesforce", "orderphase/stripe")
    assert (flow.contract_table, flow.sync_log_table, flow.currency) == ("contracts", "sync-log", "USD")
    assert (flow.catalogue_table, flow.sync_log_records, flow.ignore_own_events) == ("catalogue", False, True)
    assert flow.policies(FieldMapping()) == Policies()
    window = RollingWindowSettings.from_environment(ROLLING_WINDOW | {"PATH": "/usr/bin"})
    assert (window.contract_table, window.order_activation_queue) == tuple(ROLLING_WINDOW.values())


def test_every_choice_becomes_a_policy() -> None:
    chosen = {
        "ORDERPHASE_CURRENCY": "chf",
        "ORDERPHASE_QUANTITY_CONFLICT": "latest",
        "ORDERPHASE_END_DATES": "inclusive",
        "ORDERPHASE_TIME_ZONE": "Europe/Zurich",
        "ORDERPHASE_PRORATION_BEHAVIOR": "none",
        "ORDERPHASE_BILLING_MODE": "classic",
        "ORDERPHASE_BILLING_CYCLE_ANCHOR": "phase_start",
        "ORDERPHASE_BACKDATING": "catch_up",
        "ORDERPHASE_ON_SCHEDULE_ENDED": "recreate",
        "ORDERPHASE_ON_DRIFT": "repair",
        "ORDERPHASE_CUSTOM_PRICING": "standard",
        "ORDERPHASE_UNIT_PRICES": "per_term",
        "ORDERPHASE_CUSTOMER_UPDATE": "on_account_change",
        "ORDERPHASE_CUSTOMER_PER_CURRENCY": "create",
        "ORDERPHASE_WRITE_BACK": "ids_only",
    }
    flow = FlowSettings.from_environment(FLOW | chosen)
    assert flow.currency == "CHF"
    defaults = Defaults(collection_method="send_invoice", days_until_due=30)
    assert flow.policies(FieldMapping(defaults=defaults)) == Policies(
        quantity_conflict="latest",
        end_dates="inclusive",
        time_zone="Europe/Zurich",
        proration_behavior="none",
        billing_mode="classic",
        billing_cycle_anchor="phase_start",
        backdating="catch_up",
        on_schedule_ended="recreate",
        on_drift="repair",
        custom_pricing="standard",
        unit_prices="per_term",
        customer_update="on_account_change",
        customer_per_currency="create",
        write_back="ids_only",
        collection_method="send_invoice",
        days_until_due=30,
    )


@pytest.mark.parametrize(("said", "on"), [("on", True), ("off", False)])
def test_a_switch_is_on_or_off(said: str, *, on: bool) -> None:
    environment = FLOW | {"ORDERPHASE_SYNC_LOG_RECORDS": said, "ORDERPHASE_IGNORE_OWN_EVENTS": said}
    flow = FlowSettings.from_environment(environment)
    assert (flow.sync_log_records, flow.ignore_own_events) == (on, on)
    for wrong in ("", "On", "true", "1"):
        told = fault(FlowSettings.from_environment, FLOW | {"ORDERPHASE_SYNC_LOG_RECORDS": wrong})
        assert told == "environment: ORDERPHASE_SYNC_LOG_RECORDS: is neither on nor off"


@pytest.mark.parametrize(("settings", "whole", "name"), VARIABLES)
def test_a_missing_variable_is_named(settings: Any, whole: dict[str, str], name: str) -> None:
    environment = {key: value for key, value in whole.items() if key != name}
    assert fault(settings.from_environment, environment) == f"environment: {name}: is missing"


@pytest.mark.parametrize(("settings", "whole", "name"), [entry for entry in VARIABLES if entry not in (*SWITCHED, *OPTIONAL)])
def test_an_empty_variable_is_named(settings: Any, whole: dict[str, str], name: str) -> None:
    assert fault(settings.from_environment, whole | {name: ""}).startswith(f"environment: {name}: ")


@pytest.mark.parametrize(("settings", "whole", "name"), SWITCHED)
def test_the_queue_of_a_flow_that_is_off_is_empty(settings: Any, whole: dict[str, str], name: str) -> None:
    queues = settings.from_environment(whole | {name: ""}).queues
    (switch,) = [switch for switch, flow in FLOWS.items() if f"ORDERPHASE_{flow}_QUEUE" == name]
    assert [flow for flow, queue in queues.items() if queue is None] == [switch]


def test_an_event_source_may_be_absent_and_need_not_name_the_org() -> None:
    none = EventBusSettings.from_environment(EVENT_BUS | {name: "" for _, _, name in OPTIONAL})
    assert (none.salesforce_event_source, none.stripe_event_source, none.org_id) == (None, None, None)
    source = "aws.partner/appflow/salesforce.com/123456789012/orders"
    appflow = EventBusSettings.from_environment(EVENT_BUS | {"ORDERPHASE_SALESFORCE_EVENT_SOURCE": source})
    assert (appflow.salesforce_event_source, appflow.org_id) == (source, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("ORDERPHASE_SALESFORCE_EVENT_SOURCE", value)
            for value in (
                "hunter2",
                "aws.partner/stripe.com/ed_hunter2",
                "aws.partner/salesforce.com/00D5g000004Vn8Q/0YLhunter2",
                "aws.partner/salesforce.com/00D5g000004Vn8QEAS",
                "aws.partner/salesforce.com/00D5g000004Vn8QEAS/0YL/hunter2",
                "aws.partner/salesforce.com/00D5g000004Vn8QEAS/0YL\n",
            )
        ),
        *(
            ("ORDERPHASE_STRIPE_EVENT_SOURCE", value)
            for value in ("hunter2", "aws.partner/stripe.com", "aws.partner/stripe.com/", "aws.partner/stripe.com/a/hunter2")
        ),
    ],
)
def test_a_wrong_event_source_is_named(name: str, value: str) -> None:
    told = fault(EventBusSettings.from_environment, EVENT_BUS | {name: value})
    assert told.startswith(f"environment: {name}: is not a source such as aws.partner/")


@pytest.mark.parametrize("name", CHOSEN)
def test_a_malformed_variable_is_named_and_not_repeated(name: str) -> None:
    assert fault(FlowSettings.from_environment, FLOW | {name: "hunter2"}).startswith(f"environment: {name}: ")


def test_all_faults_are_named_at_once() -> None:
    told = fault(FlowSettings.from_environment, {})
    assert all(f"{name}: is missing" in told for name in FLOW)
    told = fault(
        FlowSettings.from_environment,
        FLOW | {"ORDERPHASE_MORE_STRIPE_ACCOUNTS": "eu,eu", "ORDERPHASE_CURRENCY": "hunter2", "ORDERPHASE_TIME_ZONE": ""},
    )
    for name in ("ORDERPHASE_MORE_STRIPE_ACCOUNTS", "ORDERPHASE_CURRENCY", "ORDERPHASE_TIME_ZONE"):
        assert f"{name}: " in told


# ---- Stripe accounts --------------------------------------------------------------------------------------------------

ACCOUNTS = {
    "ORDERPHASE_STRIPE_SECRET": "arn:stripe",
    "ORDERPHASE_STRIPE_ACCOUNT": "main",
    "ORDERPHASE_MORE_STRIPE_ACCOUNTS": "eu, us-2",
    "ORDERPHASE_STRIPE_SECRET_PREFIX": "orderphase-dev/stripe/",
}


def test_each_account_has_a_secret_and_the_first_is_the_stacks_own() -> None:
    held = StripeAccountSettings.from_environment(ACCOUNTS).stripe_secrets
    assert list(held.items()) == [
        ("main", "arn:stripe"),
        ("eu", "orderphase-dev/stripe/eu"),
        ("us-2", "orderphase-dev/stripe/us-2"),
    ]


@pytest.mark.parametrize("settings", [FlowSettings, StripeWebhookSettings])
def test_one_account_is_enough(settings: Any) -> None:
    assert settings.from_environment(FLOW | STRIPE_WEBHOOK).stripe_secrets == {"default": "orderphase/stripe"}
    alone = settings.from_environment(FLOW | STRIPE_WEBHOOK | ACCOUNTS | {"ORDERPHASE_MORE_STRIPE_ACCOUNTS": ""})
    assert alone.stripe_secrets == {"main": "arn:stripe"}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ORDERPHASE_STRIPE_ACCOUNT", "", "ORDERPHASE_STRIPE_ACCOUNT: is not a name for a Stripe account, such as"),
        ("ORDERPHASE_STRIPE_ACCOUNT", "Hunter2", "ORDERPHASE_STRIPE_ACCOUNT: is not a name"),
        ("ORDERPHASE_STRIPE_ACCOUNT", "a" * 41, "ORDERPHASE_STRIPE_ACCOUNT: is not a name"),
        ("ORDERPHASE_STRIPE_ACCOUNT", "eu\n", "ORDERPHASE_STRIPE_ACCOUNT: is not a name"),
        ("ORDERPHASE_MORE_STRIPE_ACCOUNTS", "eu, hunter2!", "ORDERPHASE_MORE_STRIPE_ACCOUNTS[1]: is not a name"),
        ("ORDERPHASE_MORE_STRIPE_ACCOUNTS", "eu,main", "ORDERPHASE_MORE_STRIPE_ACCOUNTS: names an account twice"),
        ("ORDERPHASE_MORE_STRIPE_ACCOUNTS", "eu,eu", "ORDERPHASE_MORE_STRIPE_ACCOUNTS: names an account twice"),
    ],
)
def test_a_wrong_account_is_named(name: str, value: str, said: str) -> None:
    assert fault(StripeAccountSettings.from_environment, ACCOUNTS | {name: value}).startswith(f"environment: {said}")


# ---- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "hunter2", '"hunter2"', '["hunter2"]', "null", '{"hunter2"'])
@pytest.mark.parametrize("kind", [WebhookSecrets, SalesforceCredentials, StripeCredentials])
def test_a_secret_is_a_json_object(kind: Any, text: str) -> None:
    assert fault(kind.from_secret, "orderphase/x", text) == "secret orderphase/x: is not a JSON object; store its keys as one"


@pytest.mark.parametrize(
    ("kind", "source", "key"),
    [
        (WebhookSecrets, {}, "SALESFORCE_WEBHOOK_SECRET"),
        (WebhookSecrets, {"SALESFORCE_WEBHOOK_SECRET": ""}, "SALESFORCE_WEBHOOK_SECRET"),
        (WebhookSecrets, {"SALESFORCE_WEBHOOK_SECRET": ["hunter2"]}, "SALESFORCE_WEBHOOK_SECRET"),
        (
            WebhookSecrets,
            {"SALESFORCE_WEBHOOK_SECRET": "hunter2", "SALESFORCE_WEBHOOK_SECRET_PREVIOUS": ["hunter2"]},
            "SALESFORCE_WEBHOOK_SECRET_PREVIOUS",
        ),
        *(
            (WebhookSecrets, {"SALESFORCE_WEBHOOK_SECRET": "hunter2", name: value}, name)
            for name in ("SALESFORCE_OUTBOUND_TOKEN", "SALESFORCE_OUTBOUND_TOKEN_PREVIOUS", "SALESFORCE_ORG_ID")
            for value in (["hunter2"], {"hunter2": 1}, 5)
        ),
        (SalesforceCredentials, LOGIN | {"SALESFORCE_LOGIN_URL": "hunter2"}, "SALESFORCE_LOGIN_URL"),
        (SalesforceCredentials, LOGIN | {"SALESFORCE_CLIENT_ID": ""}, "SALESFORCE_CLIENT_ID"),
        (SalesforceCredentials, LOGIN | {"SALESFORCE_CLIENT_SECRET": {"hunter2": 1}}, "SALESFORCE_CLIENT_SECRET"),
        (StripeCredentials, {}, "STRIPE_API_KEY"),
        (StripeCredentials, {"STRIPE_API_KEY": 5}, "STRIPE_API_KEY"),
        (StripeCredentials, {"STRIPE_API_KEY": "sk_hunter2", "STRIPE_API_BASE": "http://hunter2.com"}, "STRIPE_API_BASE"),
        (StripeCredentials, {"STRIPE_API_KEY": "sk_hunter2", "STRIPE_ACCOUNT_ID": "hunter2"}, "STRIPE_ACCOUNT_ID"),
        (StripeCredentials, {"STRIPE_API_KEY": "sk_hunter2", "STRIPE_WEBHOOK_SECRET": {"hunter2": 1}}, "STRIPE_WEBHOOK_SECRET"),
    ],
)
def test_a_fault_names_the_secret_and_its_key(kind: Any, source: dict[str, Any], key: str) -> None:
    assert fault(kind.from_secret, "orderphase/x", json.dumps(source)).startswith(f"secret orderphase/x: {key}: ")


@pytest.mark.parametrize(
    ("kind", "source", "said"),
    [
        *(
            (StripeCredentials, {"STRIPE_API_KEY": key}, "STRIPE_API_KEY: is not a secret or restricted key (sk_… or rk_…)")
            for key in ("rk_live_…", "pk_live_1", "sk_", "sk_a b", "sk_a\nb", "hunter2")
        ),
        (StripeCredentials, {"STRIPE_API_KEY": " "}, "STRIPE_API_KEY: is empty"),
        *(
            (
                StripeCredentials,
                {"STRIPE_API_KEY": "sk_1", "STRIPE_WEBHOOK_SECRET": f"whsec_1, {secret}"},
                "STRIPE_WEBHOOK_SECRET[1]: is not a signing secret (whsec_…)",
            )
            for secret in ("whsec_…", "whsec_", "hunter2", "we_1")
        ),
        *(
            (
                SalesforceCredentials,
                LOGIN | {"SALESFORCE_LOGIN_URL": url},
                "SALESFORCE_LOGIN_URL: is not a URL such as https://example.my.salesforce.com",
            )
            for url in ("https://….my.salesforce.com", "https://a..com", "https://ä.example", "https://a℀b.example")
        ),
        *(
            (
                SalesforceCredentials,
                LOGIN | {key: "…"},
                f"{key}: has characters that no such value has; paste it as Salesforce shows it",
            )
            for key in ("SALESFORCE_CLIENT_ID", "SALESFORCE_CLIENT_SECRET")
        ),
    ],
)
def test_a_placeholder_is_refused_by_its_key(kind: Any, source: dict[str, Any], said: str) -> None:
    assert fault(kind.from_secret, "x", json.dumps(source)) == f"secret x: {said}"


def test_white_space_around_a_value_is_no_part_of_it() -> None:
    source = {name: f" {value}\n" for name, value in LOGIN.items()}
    assert SalesforceCredentials.from_secret("x", json.dumps(source)) == SalesforceCredentials.model_validate(LOGIN)
    jwt = {name: f" {value}\n" for name, value in {"SALESFORCE_USERNAME": "u", "SALESFORCE_PRIVATE_KEY": "k"}.items()}
    read = SalesforceCredentials.from_secret("x", json.dumps(source | jwt))
    assert (read.username, read.private_key) == ("u", "k")
    stripe = StripeCredentials.from_secret("x", '{"STRIPE_API_KEY": " sk_1\\n", "STRIPE_ACCOUNT_ID": " acct_1 "}')
    assert (stripe.api_key, stripe.account_id) == ("sk_1", "acct_1")


def test_two_webhook_secrets_are_valid_during_rotation() -> None:
    one = WebhookSecrets.from_secret("x", '{"SALESFORCE_WEBHOOK_SECRET": "new", "SALESFORCE_WEBHOOK_SECRET_PREVIOUS": ""}')
    assert one.valid == ("new",)
    two = WebhookSecrets.from_secret("x", '{"SALESFORCE_WEBHOOK_SECRET": "new", "SALESFORCE_WEBHOOK_SECRET_PREVIOUS": "old"}')
    assert two.valid == ("new", "old")


def test_outbound_messages_have_tokens_and_an_org() -> None:
    source = {"SALESFORCE_WEBHOOK_SECRET": "s", "SALESFORCE_OUTBOUND_TOKEN": "", "SALESFORCE_ORG_ID": None}
    none = WebhookSecrets.from_secret("x", json.dumps(source))
    assert (none.outbound_tokens, none.org_id) == ((), None)
    new, old = "n" * 32, "Old_-" * 10
    source |= {
        "SALESFORCE_OUTBOUND_TOKEN": new,
        "SALESFORCE_OUTBOUND_TOKEN_PREVIOUS": old,
        "SALESFORCE_ORG_ID": " 00D000000000001 ",
    }
    both = WebhookSecrets.from_secret("x", json.dumps(source))
    # The org's id is compared in its whole form.
    assert (both.outbound_tokens, both.org_id) == ((new, old), "00D000000000001EAA")
    spaced = {"SALESFORCE_OUTBOUND_TOKEN": f" {new}\n", "SALESFORCE_OUTBOUND_TOKEN_PREVIOUS": f"\t{old} "}
    assert WebhookSecrets.from_secret("x", json.dumps(source | spaced)).outbound_tokens == (new, old)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        *(
            ("SALESFORCE_OUTBOUND_TOKEN", value, "is not 32 or more letters, digits, _ and -; take a random one, as")
            for value in ("hunter2", "h" * 31, "hunter2/" + "x" * 32, "hunter2" * 4 + " " * 10 + "x", "hünter2" * 8)
        ),
        ("SALESFORCE_OUTBOUND_TOKEN_PREVIOUS", "hunter2", "is not 32 or more letters, digits, _ and -"),
        *(
            ("SALESFORCE_ORG_ID", value, "is not the id of an org (00D…, 15 or 18 characters); Setup, Company Information")
            for value in ("hunter2", "001000000000001", "00D0000000000012", "00D000000000001EAA1", "00D000000000001EAB")
        ),
    ],
)
def test_a_mistake_about_outbound_messages_is_told_where_it_matters(key: str, value: str, said: str) -> None:
    """What signed events need of the same secret is read all the same."""
    source = {
        "SALESFORCE_WEBHOOK_SECRET": "s",
        "SALESFORCE_OUTBOUND_TOKEN": "t" * 32,
        "SALESFORCE_ORG_ID": "00D000000000001",
        key: value,
    }
    read = WebhookSecrets.from_secret("x", json.dumps(source))
    assert read.valid == ("s",)

    right = {"outbound_tokens": ("t" * 32,), "org_id": "00D000000000001EAA"}
    wrong = "org_id" if key == "SALESFORCE_ORG_ID" else "outbound_tokens"
    (other,) = right.keys() - {wrong}
    assert fault(getattr, read, wrong).startswith(f"the secret of Salesforce's routes: {key}: {said}")
    assert getattr(read, other) == right[other]


def test_the_org_is_reached_by_client_credentials_or_jwt_bearer() -> None:
    key = {"SALESFORCE_USERNAME": "u", "SALESFORCE_PRIVATE_KEY": "hunter2"}
    without = {name: value for name, value in LOGIN.items() if name != "SALESFORCE_CLIENT_SECRET"}
    assert SalesforceCredentials.from_secret("x", json.dumps(LOGIN)).client_secret == "hunter2"
    assert SalesforceCredentials.from_secret("x", json.dumps(without | key)).private_key == "hunter2"
    told = fault(SalesforceCredentials.from_secret, "x", json.dumps(without))
    assert told == "secret x: SALESFORCE_CLIENT_SECRET: is missing; it is needed unless SALESFORCE_PRIVATE_KEY is given"
    for half in ("SALESFORCE_USERNAME", "SALESFORCE_PRIVATE_KEY"):
        told = fault(SalesforceCredentials.from_secret, "x", json.dumps(LOGIN | {half: "hunter2"}))
        assert told == (
            "secret x: SALESFORCE_PRIVATE_KEY: belongs together with SALESFORCE_USERNAME (JWT bearer): give both or neither"
        )
    everything = fault(SalesforceCredentials.from_secret, "x", json.dumps({"SALESFORCE_LOGIN_URL": "hunter2"}))
    assert [name for name in LOGIN if f"{name}: is " in everything] == [*LOGIN]


def test_stripe_is_reached_where_it_is_unless_a_base_is_given() -> None:
    for base in ({}, {"STRIPE_API_BASE": None}, {"STRIPE_API_BASE": ""}):
        assert (
            StripeCredentials.from_secret("x", json.dumps({"STRIPE_API_KEY": "sk_1"} | base)).api_base
            == "https://api.stripe.com"
        )
    local = {"STRIPE_API_KEY": "sk_1", "STRIPE_API_BASE": "http://127.0.0.1:8787/"}
    assert StripeCredentials.from_secret("x", json.dumps(local)).api_base == "http://127.0.0.1:8787"


@pytest.mark.parametrize(
    ("held", "secrets"),
    [
        ({}, ()),
        ({"STRIPE_WEBHOOK_SECRET": ""}, ()),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_1"}, ("whsec_1",)),
        ({"STRIPE_WEBHOOK_SECRET": " whsec_1, whsec_2\nwhsec_3,"}, ("whsec_1", "whsec_2", "whsec_3")),
        ({"STRIPE_WEBHOOK_SECRET": ["whsec_1", "whsec_2"]}, ("whsec_1", "whsec_2")),
    ],
)
def test_an_account_has_any_number_of_webhook_secrets(held: dict[str, Any], secrets: tuple[str, ...]) -> None:
    assert StripeCredentials.from_secret("x", json.dumps({"STRIPE_API_KEY": "sk_1"} | held)).webhook_secrets == secrets


@pytest.mark.parametrize(
    ("held", "account_id"),
    [
        ({}, None),
        ({"STRIPE_ACCOUNT_ID": ""}, None),
        ({"STRIPE_ACCOUNT_ID": None}, None),
        ({"STRIPE_ACCOUNT_ID": "acct_1"}, "acct_1"),
    ],
)
def test_a_connected_account_is_named_by_its_id(held: dict[str, Any], account_id: str | None) -> None:
    assert StripeCredentials.from_secret("x", json.dumps({"STRIPE_API_KEY": "sk_1"} | held)).account_id == account_id


@pytest.mark.parametrize(
    "settings",
    [
        WebhookSecrets.from_secret(
            "x",
            json.dumps(
                {
                    "SALESFORCE_WEBHOOK_SECRET": "hunter2",
                    "SALESFORCE_WEBHOOK_SECRET_PREVIOUS": "hunter2",
                    "SALESFORCE_OUTBOUND_TOKEN": "hunter2" * 5,
                    "SALESFORCE_OUTBOUND_TOKEN_PREVIOUS": "hunter2" * 5,
                }
            ),
        ),
        SalesforceCredentials.from_secret(
            "x", json.dumps(LOGIN | {"SALESFORCE_USERNAME": "u", "SALESFORCE_PRIVATE_KEY": "hunter2"})
        ),
        StripeCredentials.from_secret("x", '{"STRIPE_API_KEY": "sk_hunter2", "STRIPE_WEBHOOK_SECRET": "whsec_hunter2"}'),
    ],
    ids=lambda settings: type(settings).__name__,
)
def test_a_printed_secret_shows_no_value(settings: Any) -> None:
    assert "hunter2" not in f"{settings!r} {settings}"


# ---- endpoints --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://acme.my.salesforce.com", "https://acme.my.salesforce.com"),
        ("https://acme.my.salesforce.com/", "https://acme.my.salesforce.com"),
        ("https://localhost:8443", "https://localhost:8443"),
        ("http://localhost:8787", "http://localhost:8787"),
        ("http://127.0.0.1:8787/", "http://127.0.0.1:8787"),
        ("http://[::1]:8787", "http://[::1]:8787"),
    ],
)
def test_an_endpoint(given: str, used: str) -> None:
    assert endpoint(given) == used


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("http://acme.my.salesforce.com", "loopback addresses only"),
        ("http://localhost.evil.com", "loopback addresses only"),
        ("http://127.0.0.1.evil.com", "loopback addresses only"),
        ("http://127.0.0.1@evil.com", "loopback addresses only"),
        ("http://192.168.0.1", "loopback addresses only"),
        ("http://", "is not a URL"),
        ("http://localhost:abc", "is not a URL"),
        ("https://:hunter2@acme.my.salesforce.com", "takes scheme, host and port only"),
        ("https://", "is not a URL"),
        ("acme.my.salesforce.com", "is not a URL"),
        ("ftp://localhost", "is not a URL"),
        ("ftp://localhost:21", "is not a URL"),
        ("", "is not a URL"),
        ("https://acme.my.salesforce.com/services", "takes scheme, host and port only"),
        ("https://acme.my.salesforce.com?x=1", "takes scheme, host and port only"),
        ("https://acme.my.salesforce.com#x", "takes scheme, host and port only"),
        ("https://user:hunter2@acme.my.salesforce.com", "takes scheme, host and port only"),
    ],
)
def test_a_refused_endpoint(given: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        endpoint(given)
    assert "hunter2" not in str(caught.value)
