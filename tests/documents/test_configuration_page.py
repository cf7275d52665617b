"""What docs/configuration.md says beside the tables that `make docs` writes is what the code does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from pydantic import BaseModel

from functions.salesforce_webhook.app import SWITCHES
from functions.stripe_webhook.app import SWITCHES as STRIPE_SWITCHES
from orderphase import mapping, settings
from orderphase.domain.policies import Policies
from orderphase.errors import ConfigurationError, DataError
from orderphase.ingress.events import CancellationData, EventData, MirrorData, OrderItemData, RecordData, parse
from orderphase.mapping import Defaults, FieldMapping, load_mapping, read_mapping
from orderphase.salesforce.snapshot import read_snapshot
from orderphase.stripe.client import OWN_KEYS
from sandbox import build, vendors
from sandbox.build import ROOT
from tests.documents.blocks import blocks_of
from tests.documents.reading import table_below
from tests.documents.settings_tables import AS_EACH_FLOW, EACH_FLOW, FUNCTIONS, SECRETS, TEMPLATE, source_of

PAGE = ROOT / "docs" / "configuration.md"


def table(heading: str) -> Iterator[list[str]]:
    return table_below(heading, PAGE)


def texts(kind: str) -> list[str]:
    return [block.text for block in blocks_of(PAGE) if block.kind == kind]


def aliases(*models: type[BaseModel]) -> set[str]:
    return {str(field.alias) for model in models for field in model.model_fields.values()}


# What the template sets is what the settings read


def test_each_function_is_given_what_it_reads() -> None:
    assert set(FUNCTIONS) == set(build.FUNCTIONS)
    flows = {}
    for function, (models, called) in FUNCTIONS.items():
        variables = dict(TEMPLATE["Resources"][function]["Properties"]["Environment"]["Variables"])
        assert variables.pop("POWERTOOLS_SERVICE_NAME") == called or called == EACH_FLOW
        assert set(variables) == aliases(*models)
        if called == EACH_FLOW:
            letters = source_of(variables.pop("ORDERPHASE_DEAD_LETTER_QUEUE"))
            assert letters == f"queue `{function.removesuffix('Function')}DeadLetterQueue`"
        if called == EACH_FLOW or called in AS_EACH_FLOW:
            flows[function] = {name: source_of(variables[name]) for name in aliases(settings.FlowSettings)}
    # They are listed once for all of them.
    first, *others = flows.values()
    assert all(one == first for one in others)


def test_each_secret_begins_with_keys_that_it_has() -> None:
    assert set(SECRETS) == {
        name for name, given in TEMPLATE["Resources"].items() if given["Type"] == "AWS::SecretsManager::Secret"
    }
    for secret, model in SECRETS.items():
        initial = TEMPLATE["Resources"][secret]["Properties"].get("SecretString", "{}")
        assert set(json.loads(initial)) <= aliases(model)


# Policies


def test_the_policies_default_to_what_the_package_defaults_to() -> None:
    defaults = {name: given["Default"] for name, given in TEMPLATE["Parameters"].items()}
    # The others are the mapping's defaults.
    chosen = [name for name in Policies.__dataclass_fields__ if name not in Defaults.model_fields]
    for name in chosen:
        parameter = "".join(part.capitalize() for part in name.split("_"))
        assert defaults[parameter] == getattr(Policies(), name)
    listed = {name: default for name, default, _ in table("Policies")}
    assert listed == {name: getattr(Policies(), name) for name in chosen}
    parameters = [*TEMPLATE["Parameters"]]
    assert parameters[parameters.index("QuantityConflict") :] == [
        *("".join(part.capitalize() for part in name.split("_")) for name in listed),
        "SyncLogRecords",
        "IgnoreOwnEvents",
        "AdoptExisting",
    ]


def test_the_policies_of_a_snapshot_are_all_but_the_last_three() -> None:
    *stated, _, _, _ = listed = [name for name, *_ in table("Policies")]
    for name in listed:
        snapshot = json.dumps({"policies": {name: None}, "orders": []}).encode()
        with nullcontext() if name in stated else pytest.raises(DataError, match=name):
            read_snapshot(snapshot, load_mapping())


# Events


def test_the_events_that_have_a_flow_are_listed_with_what_they_may_say() -> None:
    common = set(EventData.model_fields)
    said: dict[str, type[EventData]] = {
        "order.activated": EventData,
        "order_item.updated": OrderItemData,
        "order.cancellation_requested": CancellationData,
        "product.upserted": RecordData,
        "pricebook_entry.upserted": RecordData,
        "account.upserted": RecordData,
        "stripe_product.upserted": MirrorData,
        "stripe_price.upserted": MirrorData,
    }
    listed = {kind: set(re.findall(r"\w+", data)) for kind, _, _, data in table("Events")}
    assert listed.keys() == said.keys() == SWITCHES.keys()
    for kind, model in said.items():
        assert set(model.model_fields) - common <= listed[kind]
    explained = set(re.findall(r"^- `(\w+)`|^  `(\w+)`:", PAGE.read_text(), re.MULTILINE))
    assert {name for names in explained for name in names} >= common | {"changed_fields", "changed_by", "stripe_id"}
    (example,) = texts("json")
    assert isinstance(parse(example.encode()).data, CancellationData)


def test_the_events_of_stripe_that_have_a_flow_are_listed() -> None:
    listed = {kind: "".join(part.capitalize() for part in flow.split("_")) for kind, flow in table("Stripe's events")}
    assert listed == STRIPE_SWITCHES
    assert "/stripe/{account}/events" in str(TEMPLATE["Resources"]["StripeWebhookFunction"])
    assert f"begin with `{OWN_KEYS}`" in PAGE.read_text()


# The rest


def test_every_table_is_listed() -> None:
    made = [name for name, given in TEMPLATE["Resources"].items() if given["Type"] == "AWS::DynamoDB::Table"]
    assert [name for name, *_ in table("Tables")] == made


def test_the_secret_of_one_more_account_is_one() -> None:
    made = {re.search(r"secret-string '(\{.*\})'", block) for block in texts("sh")}
    (found,) = filter(None, made)
    with pytest.raises(ConfigurationError, match="STRIPE_API_KEY: is not a secret or restricted key"):
        settings.StripeCredentials.from_secret("eu", found.group(1))
    assert settings.StripeCredentials.from_secret("eu", found.group(1).replace("…", "1")).api_key == "rk_live_1"


def test_the_example_of_a_mapping_is_one() -> None:
    (example,) = texts("toml")
    read = read_mapping(example)
    assert read != FieldMapping()
    commented = re.findall(r"^# (\[.*|\w+ = .*)$", mapping.FILE.read_text(), re.MULTILINE)
    assert read == read_mapping("\n".join(commented))


def test_the_variables_of_the_local_stack_are_listed() -> None:
    listed = {variable for variable, _ in table("The local stack")}
    known = {*vendors.STRIPE_REQUIRED, *vendors.STRIPE_OPTIONAL, *vendors.SALESFORCE_REQUIRED}
    assert listed == known | {"PORT", "SALESFORCE_WEBHOOK_SECRET", "SALESFORCE_OUTBOUND_TOKEN", "SALESFORCE_ORG_ID"}
