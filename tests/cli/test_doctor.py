"""`orderphase doctor`: settings, secrets, mapping, Salesforce and Stripe looked at together, and all told at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
from moto import mock_aws

from orderphase.cli import doctor as doctor_command
from orderphase.cli.connection import Connection
from orderphase.diagnosis import FLOWS
from orderphase.errors import ConfigurationError, TransientError
from orderphase.flows.doctor import _shared, _unusable
from orderphase.mapping import FILE
from orderphase.settings import FlowSettings
from sandbox import build
from sandbox.clock import Clock
from sandbox.salesforce_emulator import Field, SalesforceEmulator
from sandbox.serving import Request, Response, Server
from sandbox.stripe_emulator import StripeEmulator
from tests.cli.conftest import Command
from tests.flows.world import ACCOUNT, KEY, NOW, ORG
from tests.functions.deployed import ENVIRONMENT, store
from tests.scripted import Scripted

REFUSED = "check that it exists and that the function's role allows it"
OTHER_KEY, OTHER_ACCOUNT = "sk_test_other", "acct_other"
ENDPOINT = "http://127.0.0.1:8787/stripe/default/events"
SETTINGS = ENVIRONMENT | {
    "ORDERPHASE_STRIPE_ACCOUNT": "default",
    "ORDERPHASE_MORE_STRIPE_ACCOUNTS": "",
    "ORDERPHASE_STRIPE_SECRET_PREFIX": "billing/stripe/",
}


@dataclass
class Deployment:
    """Both vendors, the secrets that name them, and a function's environment in this process's own."""

    org: SalesforceEmulator
    org_url: str
    stripe: StripeEmulator
    stripe_url: str
    command: Command
    monkeypatch: pytest.MonkeyPatch
    file: Path

    def salesforce_secret(self, **changes: str) -> None:
        names = {"SALESFORCE_LOGIN_URL": self.org_url, "SALESFORCE_CLIENT_ID": "client", "SALESFORCE_CLIENT_SECRET": "secret"}
        store("salesforce", names | changes)

    def stripe_secret(self, name: str = "stripe", **changes: str) -> None:
        store(name, {"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": self.stripe_url, "STRIPE_WEBHOOK_SECRET": "whsec_1"} | changes)

    def mapping(self, text: str) -> None:
        """What the operator's mapping file says."""
        self.file.write_text(text)
        self.monkeypatch.setattr(doctor_command, "FILE", self.file)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        return self.command(b"", "doctor", *arguments)

    def found(self, *arguments: str) -> tuple[int, list[tuple[str, str, str]]]:
        """The exit code, and everything that is not fine: severity, place and text."""
        code, out, _ = self.run("--json", *arguments)
        found = [(one["severity"], one["where"], one["what"]) for one in json.loads(out)["findings"]]
        return code, [one for one in found if one[0] != "ok"]


@pytest.fixture
def here(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Deployment]:
    credentials = {"AWS_ACCESS_KEY_ID": "-", "AWS_SECRET_ACCESS_KEY": "-", "AWS_DEFAULT_REGION": "eu-west-1"}
    for name, value in (credentials | SETTINGS).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "ORDERPHASE_STACK"):
        monkeypatch.delenv(name, raising=False)
    clock = Clock(NOW, frozen=True)
    org = SalesforceEmulator(clock, client_id="client", client_secret="secret", org_id=ORG)
    stripe = StripeEmulator(clock, {KEY: ACCOUNT, OTHER_KEY: OTHER_ACCOUNT})
    with mock_aws(), Server(org) as first, Server(stripe) as second:
        made = Deployment(org, first.url, stripe, second.url, command, monkeypatch, tmp_path / "mapping.toml")
        made.salesforce_secret()
        made.stripe_secret()
        data = {"url": ENDPOINT, "enabled_events[0]": "*"}
        requests.post(f"{second.url}/v1/webhook_endpoints", data=data, auth=(KEY, ""), timeout=10).raise_for_status()
        yield made


def test_the_environment_is_a_whole_one() -> None:
    assert {str(field.alias) for field in FlowSettings.model_fields.values()} == set(SETTINGS)


def test_a_deployment_where_all_is_well(here: Deployment) -> None:
    code, out, err = here.run()
    assert (code, err) == (0, "")
    assert out.startswith(
        "What the environment needs\n\nSettings\n  ok       the environment is complete; every flow counts as on"
    )
    assert out.endswith("\n0 missing, 0 warnings.\n")
    for told in (
        f"{FILE} can be read; what is deployed has the file that it was built with",
        "salesforce: complete, for client credentials",
        f"login to the org {ORG}",
        "test mode",
        f"its events are sent to {ENDPOINT}",
    ):
        assert told in out
    assert "→" not in out
    assert not any(secret in out for secret in (KEY, "whsec_1", "client_secret"))


def test_nothing_is_written(here: Deployment) -> None:
    before = here.stripe.writes()
    here.run()
    assert here.stripe.writes() == before
    written = [request for request in here.org.log if request.method != "GET"]
    assert {request.path.rpartition("/")[2] for request in written} == {"token", "batch"}


def test_everything_that_is_missing_is_told_at_once(here: Deployment) -> None:
    here.monkeypatch.setenv("ORDERPHASE_TIME_ZONE", "Nowhere")
    here.mapping('[order]\nend_date = "Until__c"')
    here.org.set_access("Product2", "Stripe_Product_Id__c", level="none")
    here.stripe.restrict(KEY, {"coupons": "none", "prices": "read"})
    here.monkeypatch.setenv("ORDERPHASE_MORE_STRIPE_ACCOUNTS", "emea,apac")
    store("billing/stripe/emea", {"STRIPE_API_BASE": here.stripe_url})
    code, found = here.found()
    assert code == 1
    assert {severity for severity, _, _ in found} == {"missing"}
    assert [(where, what.partition(". ")[0]) for _, where, what in found] == [
        ("Settings", "environment: ORDERPHASE_TIME_ZONE: is not a time zone such as UTC or America/New_York"),
        ("Salesforce Order", "Until__c (order.end_date): is not there, or cannot be read"),
        ("Salesforce Product2", "Stripe_Product_Id__c (product.product_id): is not there, or cannot be read"),
        ("Stripe account default", "the key may not write prices"),
        ("Stripe account default", "the key may not read coupons"),
        ("Stripe account default", "the key may not write coupons"),
        ("Secrets", "Stripe account emea: secret billing/stripe/emea: STRIPE_API_KEY: is missing"),
        ("Secrets", "Stripe account apac: secret billing/stripe/apac: AWS refused (ResourceNotFoundException); " + REFUSED),
    ]


def test_what_is_missing_stands_first_and_says_what_to_do(here: Deployment) -> None:
    here.stripe.restrict(KEY, {"coupons": "none"})
    code, out, _ = here.run()
    assert code == 1
    section = out.split("\nStripe account default\n")[1].split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in section] == ["missing", "→", "missing", "→", "ok", "ok"]
    assert section[1].strip() == "→ allow the key to read coupons, in Stripe's Dashboard under API keys"
    assert out.endswith("\n2 missing, 0 warnings.\n")


def test_a_warning_does_not_fail(here: Deployment) -> None:
    here.stripe.restrict(KEY, {"invoices": "none"})
    code, found = here.found()
    assert (code, [severity for severity, _, _ in found]) == (0, ["warning"])
    assert here.run()[1].endswith("\n0 missing, 1 warning.\n")


def test_the_answer_as_json(here: Deployment) -> None:
    code, out, _ = here.run("--json")
    answer = json.loads(out)
    assert (code, answer["source"]) == (0, "the environment")
    assert all(one.keys() == {"severity", "where", "what", "remedy"} for one in answer["findings"])


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        (
            {},
            (
                "SALESFORCE_LOGIN_URL: is missing; SALESFORCE_CLIENT_ID: is missing; "
                "SALESFORCE_CLIENT_SECRET: is missing; it is needed unless SALESFORCE_PRIVATE_KEY is given"
            ),
        ),
        ("{", "is not a JSON object; store its keys as one"),
        (b"\x00", "is binary; store a JSON object as text"),
    ],
)
def test_a_secret_of_salesforce_that_cannot_be_used(here: Deployment, secret: Any, said: str) -> None:
    store("salesforce", secret)
    code, found = here.found()
    assert (code, found) == (1, [("missing", "Secrets", f"secret salesforce: {said}")])


def test_a_mapping_that_cannot_be_read(here: Deployment) -> None:
    here.mapping('[order]\ncolection_method = "Method__c"')
    code, found = here.found()
    assert (code, len(found), found[0][:2]) == (1, 1, ("missing", "Mapping"))
    assert "order.colection_method" in found[0][2]
    # The rest is looked at all the same.
    assert here.stripe.log
    assert here.org.calls("POST /services/oauth2/token")


def test_invoices_by_default_that_are_due_at_no_time(here: Deployment) -> None:
    here.mapping('[defaults]\ncollection_method = "send_invoice"')
    code, ((severity, where, what),) = here.found()
    assert (code, severity, where) == (0, "warning", "Mapping")
    assert what.startswith("defaults.collection_method is send_invoice without days_until_due")
    here.mapping('[defaults]\ncollection_method = "send_invoice"\ndays_until_due = 30')
    assert here.found() == (0, [])


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("ResourceNotFoundException", "create it: aws secretsmanager create-secret --name billing/stripe/emea "),
        ("AccessDeniedException", "allow whoever runs this to read it"),
        ("InvalidRequestException", "store the keys that it needs as one JSON object, and allow whoever runs this to read it"),
        (None, "correct that with aws secretsmanager put-secret-value --secret-id billing/stripe/emea: "),
    ],
)
def test_what_to_do_about_a_secret_goes_by_what_is_wrong_with_it(code: str | None, remedy: str) -> None:
    found = _unusable(ConfigurationError("x", code=code), "billing/stripe/emea", "Stripe account emea: ")
    assert (found.severity, found.what) == ("missing", "Stripe account emea: x")
    assert found.remedy.startswith(remedy)
    assert _unusable(TransientError("x"), "s").remedy == "look whether AWS can be reached from here, and run again"


def test_without_a_mapping_file_the_defaults_are_looked_at(here: Deployment) -> None:
    here.monkeypatch.setattr(doctor_command, "FILE", here.file)
    code, out, _ = here.run()
    assert (code, out.count("mapping.toml")) == (0, 0)
    assert "no mapping file: every default counts; what is deployed has the file that it was built with" in out
    assert "Salesforce Order\n  ok       " in out


def test_accounts_that_are_called_wrongly(here: Deployment) -> None:
    here.monkeypatch.setenv("ORDERPHASE_STRIPE_ACCOUNT", "Main")
    here.monkeypatch.setenv("ORDERPHASE_MORE_STRIPE_ACCOUNTS", "emea,emea")
    here.monkeypatch.setenv("ORDERPHASE_CURRENCY", "EURO")
    here.monkeypatch.delenv("ORDERPHASE_SALESFORCE_SECRET")
    here.monkeypatch.setattr(doctor_command, "connect", lambda *_, **__: Connection(dict(os.environ), "the environment"))
    code, (settings, *passed_over) = here.found()
    assert code == 1
    for fault in (
        "ORDERPHASE_STRIPE_ACCOUNT: is not a name for a Stripe account, such as emea-2: take a small letter, then",
        "ORDERPHASE_MORE_STRIPE_ACCOUNTS: names an account twice, ",
        "ORDERPHASE_SALESFORCE_SECRET: is missing",
        "ORDERPHASE_CURRENCY: is not a currency code such as USD",
    ):
        assert fault in settings[2]
    assert passed_over == [
        ("warning", "Salesforce", "the org is not looked at: the settings do not say where it is"),
        ("warning", "Stripe", "no account is looked at: the settings do not say where it is"),
    ]


def test_records_of_runs_and_write_back_count(here: Deployment) -> None:
    here.org.set_access("Sync_Log__c", level="none")
    here.org.set_access("Order", "Stripe_Sync_Status__c", level="read")
    assert [where for _, where, _ in here.found()[1]] == ["Salesforce Order"]
    here.monkeypatch.setenv("ORDERPHASE_SYNC_LOG_RECORDS", "on")
    assert [where for _, where, _ in here.found()[1]] == ["Salesforce Order", "Salesforce Sync_Log__c"]
    here.monkeypatch.setenv("ORDERPHASE_WRITE_BACK", "ids_only")
    what = "SyncLogRecords is on, but WriteBack is ids_only, so no records of runs are written"
    assert here.found() == (0, [("warning", "Settings", what)])


def test_where_another_products_ids_are_read(here: Deployment) -> None:
    here.monkeypatch.setenv("ORDERPHASE_ADOPT_EXISTING", "on")
    (told,) = here.found()[1]
    assert told[:2] == ("warning", "Salesforce")
    looked = "no field of Contract or Order is there in which another product's schedules are looked for: "
    assert told[2] == f"{looked}Order.stripeConnector__Stripe_ID__c"
    here.org.add_field("Order", Field("stripeConnector__Stripe_ID__c", "string", length=255))
    assert here.found() == (0, [])
    here.org.set_access("Order", "stripeConnector__Stripe_ID__c", level="none")
    assert [severity for severity, *_ in here.found()[1]] == ["warning"]


# Several accounts


def test_every_account_is_looked_at(here: Deployment) -> None:
    here.monkeypatch.setenv("ORDERPHASE_MORE_STRIPE_ACCOUNTS", "emea")
    here.stripe_secret("billing/stripe/emea", STRIPE_API_KEY=OTHER_KEY)
    here.stripe.restrict(OTHER_KEY, {"customers": "read"})
    _, found = here.found()
    assert [(severity, where) for severity, where, _ in found] == [("missing", "Stripe account emea")]


@pytest.mark.parametrize(("key", "mode"), [("sk_test_1", "test"), ("sk_live_1", "live")])
def test_an_org_and_an_account_of_different_kinds(here: Deployment, key: str, mode: str) -> None:
    sandbox = here.org.query("SELECT IsSandbox FROM Organization")[0]["IsSandbox"]
    here.stripe_secret(STRIPE_API_KEY=key)
    _, found = here.found()
    mixed = [what for severity, _, what in found if severity == "warning"]
    kind = "sandbox" if sandbox else "production"
    assert mixed == ([f"a {kind} org bills in Stripe's {mode} mode"] if sandbox == (mode == "live") else [])


def test_two_names_of_one_account(here: Deployment) -> None:
    assert _shared([("acct_1", "default"), ("acct_2", "emea")]) == []
    (told,) = _shared([("acct_1", "default"), ("acct_2", "emea"), ("acct_1", "apac")])
    assert (told.severity, told.what) == ("warning", "apac and default are the same account, acct_1")


# Which flows are on


@contextmanager
def stack(
    monkeypatch: pytest.MonkeyPatch, api: str = ENDPOINT.removesuffix("/stripe/default/events"), **parameters: str
) -> Iterator[None]:
    """CloudFormation, with one stack called billing, whose API is at `api`."""

    def answer(request: Request) -> Response:
        asked = {name: value for name, (value,) in parse_qs(request.body.decode()).items()}
        assert asked["Action"] == "DescribeStacks"
        if asked["StackName"] != "billing":
            return Response(400, b"<ErrorResponse><Error><Code>ValidationError</Code></Error></ErrorResponse>")
        given = "".join(
            f"<member><ParameterKey>{name}</ParameterKey><ParameterValue>{value}</ParameterValue></member>"
            for name, value in parameters.items()
        )
        output = f"<member><OutputKey>ApiUrl</OutputKey><OutputValue>{api}</OutputValue></member>"
        member = f"<StackName>billing</StackName><Parameters>{given}</Parameters><Outputs>{output}</Outputs>"
        result = f"<DescribeStacksResult><Stacks><member>{member}</member></Stacks></DescribeStacksResult>"
        return Response(body=f"<DescribeStacksResponse>{result}</DescribeStacksResponse>".encode())

    def connect(environ: Any, _: Path, *, stack: str | None = None) -> Connection:
        name = stack or environ["ORDERPHASE_STACK"]
        return Connection(dict(environ), f"the stack {name}", name)

    monkeypatch.setattr(doctor_command, "connect", connect)
    with Server(Scripted(answer)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", server.url)
        yield


@pytest.mark.parametrize("arguments", [("--stack", "billing"), ()], ids=["asked for", "in the environment"])
def test_what_flows_need_that_are_off_is_a_warning(here: Deployment, arguments: tuple[str, ...]) -> None:
    here.monkeypatch.setenv("ORDERPHASE_STACK", "other" if arguments else "billing")
    here.org.set_access("Product2", level="read")
    off = dict.fromkeys(("ProductUpsert", "PriceUpsert", "AccountUpsert"), "off")
    with stack(here.monkeypatch, OrderActivation="on", Stage="dev", **off):
        code, found = here.found(*arguments)
        out = here.run(*arguments)[1]
    assert (code, [(severity, what) for severity, _, what in found]) == (
        1,
        [
            ("warning", "its records cannot be created (needed once PriceUpsert or ProductUpsert is on)"),
            ("missing", "its records cannot be changed"),
        ],
    )
    assert out.startswith("What the stack billing needs\n")
    assert "off: AccountUpsert, PriceUpsert, ProductUpsert" in out


@pytest.mark.parametrize(("policy", "on", "warns"), [("on_order", "on", 1), ("never", "on", 1), ("on_order", "off", 0)])
def test_events_of_accounts_that_change_nothing(here: Deployment, policy: str, on: str, warns: int) -> None:
    here.monkeypatch.setenv("ORDERPHASE_CUSTOMER_UPDATE", policy)
    with stack(here.monkeypatch, AccountUpsert=on):
        found = here.found("--stack", "billing")
    what = f"AccountUpsert is on, but CustomerUpdate is {policy}, so its events change nothing"
    assert found == (0, [("warning", "Settings", what)] * warns)


def test_events_that_go_to_another_deployment(here: Deployment) -> None:
    here.monkeypatch.setenv("ORDERPHASE_CUSTOMER_UPDATE", "on_account_change")
    with stack(here.monkeypatch):
        assert here.found("--stack", "billing") == (0, [])
    with stack(here.monkeypatch, api="https://abc.execute-api.eu-west-1.amazonaws.com/prod"):
        code, found = here.found("--stack", "billing")
    what = f"its events are sent to {ENDPOINT}, and not to this stack's API"
    assert (code, found) == (0, [("warning", "Stripe account default", what)])


def test_where_no_stack_is_named_every_flow_counts_as_on(here: Deployment) -> None:
    here.monkeypatch.setattr(doctor_command, "connect", lambda *_, **__: Connection(SETTINGS, "the local stack orderphase"))
    here.org.set_access("Product2", level="read")
    assert [severity for severity, _, _ in here.found()[1]] == ["missing", "missing"]


def test_a_stack_that_may_not_be_described(here: Deployment) -> None:
    with stack(here.monkeypatch):
        code, found = here.found("--stack", "other")
    assert (code, [(severity, where) for severity, where, _ in found]) == (0, [("warning", "Settings")])
    told = "which flows are on, and where the API is, is not known. stack other: AWS refused (ValidationError)"
    assert found[0][2].startswith(told)


def test_nothing_says_where_to_look(here: Deployment, tmp_path: Path) -> None:
    here.monkeypatch.delenv("ORDERPHASE_CURRENCY")
    here.monkeypatch.chdir(tmp_path)
    code, out, err = here.run()
    assert (code, out) == (2, "")
    assert err.startswith("orderphase: nothing says where to look")


def test_the_flows_are_the_templates() -> None:
    assert set(build.FLOWS) == FLOWS
