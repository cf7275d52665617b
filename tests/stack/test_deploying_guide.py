"""docs/deploying.md is followed word by word, by a new user, on a local AWS that has nothing of Orderphase."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orderphase.ingress.stripe_events import HEARD_TYPES
from orderphase.settings import StripeCredentials
from orderphase.stripe import doctor
from orderphase.stripe.client import API_VERSION, StripeConnection
from sandbox.aws import LocalAws
from sandbox.build import FUNCTIONS, ROOT, host_architecture
from sandbox.clock import Clock
from sandbox.gateway import Gateway
from sandbox.processes import environment, stop
from sandbox.salesforce_emulator import SalesforceEmulator
from sandbox.serving import Server
from sandbox.stack import STATE
from sandbox.stripe_emulator import StripeEmulator
from tests.documents.reading import table_below
from tests.org import Org
from tests.stack.company import until
from tests.template.cloudformation import load

GUIDE = ROOT / "docs" / "deploying.md"
STACK = "orderphase-guide"
STRIPE_KEY, STRIPE_ACCOUNT = "rk_test_orderphase_guide", "acct_orderphaseguide"
CLIENT = {"SALESFORCE_CLIENT_ID": "orderphase-guide", "SALESFORCE_CLIENT_SECRET": "orderphase-guide-secret"}

NOT_RUN = {
    "the local AWS has no CodeDeploy; tests/template checks what becomes of the template": "GradualDeployment=true",
    "it needs three accounts, each with credentials of its own": "--config-env stage",
    "the local AWS has no Serverless Application Repository": "sam publish",
}
"""What cannot be carried out here: by the reason, which the guide gives where its reader does not see it, what it is about."""

QUESTION = re.compile(r"^\s*(.+) \[(.*)\]: ?$")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
DONE = "\x1e"
SILENCE_SECONDS = 600.0
"""How long a command may print nothing; a build on a busy machine takes a while."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that the reader does. kind: `sh`, `console` (with questions and answers), `by hand`, or `not run`."""

    kind: str
    text: str
    reason: str = ""


def steps(text: str) -> Iterator[Step]:
    """The steps of the guide in their order."""
    reason = ""
    pattern = r"^ *<!-- (by hand|not run): ([^\n]*) -->$|^( *)```(sh|console)\n(.*?)^ *```$"
    for mark, said, indent, kind, block in re.findall(pattern, text, re.MULTILINE | re.DOTALL):
        if mark == "by hand":
            yield Step(mark, said)
        elif mark:
            reason = said
        else:
            shown = "\n".join(line.removeprefix(indent) for line in block.splitlines())
            yield Step("not run" if reason else kind, shown, reason)
            reason = ""


STEPS = list(steps(GUIDE.read_text()))


class Terminal:
    """One bash session on a terminal of its own, from the first command to the last; the first that fails ends it."""

    LOOP = 'set -euo pipefail; while IFS= read -r block <&3; do source "$block"; printf "\\036"; done'

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self._terminal, theirs = os.openpty()
        quiet = termios.tcgetattr(theirs)
        quiet[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, quiet)
        read, self._blocks = os.pipe()
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-c", f"exec 3<&{read} {read}<&-; {self.LOOP}"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            pass_fds=(read,),
            cwd=folder,
            env=dict(variables),
            start_new_session=True,
        )
        os.close(theirs)
        os.close(read)
        self._number = 0
        self._log = folder / "terminal.log"

    def run(self, commands: str, answers: Mapping[str, tuple[str, str]] | None = None) -> str:
        """Run commands in the session; answers what they print.

        answers: by question, the default that is proposed and what to type. Every other question gets Enter.
        """
        self._number += 1
        block = self.folder / f"block-{self._number}.sh"
        block.write_text(commands + "\n")
        os.write(self._blocks, f"{block}\n".encode())
        expected, asked = dict(answers or {}), set()
        printed = ""
        while DONE not in printed:
            printed += self._read(commands, printed)
            if question := QUESTION.match(printed.rpartition("\n")[2]):
                what, proposed = question.groups()
                default, answer = expected.get(what, (proposed, ""))
                assert proposed == default, f"{what} proposes {proposed}, and not {default}"
                asked.add(what)
                os.write(self._terminal, f"{answer}\n".encode())
                # A terminal shows what is typed.
                printed += f"{answer}\n"
        assert set(expected) <= asked, f"not asked: {set(expected) - asked}"
        return printed.partition(DONE)[0]

    def _read(self, commands: str, printed: str) -> str:
        ready, _, _ = select.select([self._terminal], [], [], SILENCE_SECONDS)
        try:
            chunk = os.read(self._terminal, 65536) if ready else b""
        except OSError:  # Linux: what a terminal says that nobody has open any more.
            chunk = b""
        if not chunk:
            raise AssertionError(f"failed, or said nothing more:\n{commands}\n\n{printed[-4000:]}")
        text = ESCAPES.sub("", chunk.decode(errors="replace")).replace("\r", "")
        with self._log.open("a") as log:
            log.write(text)
        return text

    def close(self) -> None:
        os.close(self._blocks)
        os.close(self._terminal)
        stop(self._process)


def repository(folder: Path) -> Path:
    """What a user clones: this project as it is, as release 0.1.0, and another with a changed layer."""
    left_out = shutil.ignore_patterns(".git", ".venv", ".tools", ".aws-sam", ".stack", ".hypothesis", "*_cache", "__pycache__")
    shutil.copytree(ROOT, folder, ignore=left_out)
    git(folder, "init", "--quiet")
    release(folder, "v0.1.0")
    package = folder / "layers" / "consolidation" / "orderphase" / "__init__.py"
    package.write_text(package.read_text() + '\nRELEASE = "0.2.0"\n"""What an upgrade brings."""\n')
    release(folder, "v0.2.0")
    return folder


def release(folder: Path, tag: str) -> None:
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=x", "-c", "user.email=x@localhost", "commit", "--quiet", "--message", tag)
    git(folder, "tag", tag)


def git(folder: Path, *arguments: str) -> None:
    settings = environment(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_SYSTEM=os.devnull)
    subprocess.run(["git", *arguments], cwd=folder, env=settings, check=True)


def tools(folder: Path) -> Path:
    """A folder for the PATH with what the guide asks for: the AWS CLI. And what spares `make setup` a download."""
    folder.mkdir()
    aws = folder / "aws"
    # Version 1 sends SQS to an address of its own, unless it is told another one here.
    aws.write_text(f'#!/bin/sh\nexec {ROOT}/.tools/aws/bin/aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"\n')
    aws.chmod(0o755)
    (folder / "uv").symlink_to((ROOT / ".tools" / "uv" / "bin" / "uv").resolve())
    (folder / "python3.13").symlink_to(Path(sys.base_prefix) / "bin" / "python3.13")
    return folder


@dataclass
class User:
    """A new user: an empty account, an org, a Stripe account, and the guide."""

    folder: Path
    closing: ExitStack
    seen: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.aws = LocalAws(self.folder)
        self.closing.callback(self.aws.stop)
        self.aws.start()
        clock = Clock()
        self.stripe = StripeEmulator(clock, accounts={STRIPE_KEY: STRIPE_ACCOUNT})
        self.closing.callback(self.stripe.close)
        base = self.closing.enter_context(Server(self.stripe)).url
        client_id, client_secret = CLIENT.values()
        self.salesforce = SalesforceEmulator(
            clock, client_id=client_id, client_secret=client_secret, person=("person", "s3cret")
        )
        login = self.closing.enter_context(Server(self.salesforce)).url
        self.org = Org(self.salesforce)
        self.given = {
            "REPOSITORY": str(repository(self.folder / "repository")),
            "VERSION": "0.1.0",
            "NEW_VERSION": "0.2.0",
            "ORDERPHASE_STACK": STACK,
            "ARCHITECTURE": host_architecture(),
            "ALARM_EMAIL": "alarms@localhost",
            "SALESFORCE_LOGIN_URL": login,
            **CLIENT,
            "STRIPE_API_KEY": STRIPE_KEY,
            "STRIPE_API_BASE": base,
        }
        path = f"{tools(self.folder / 'bin')}{os.pathsep}{os.environ['PATH']}"
        home = {"GIT_CONFIG_GLOBAL": os.devnull, "TERM": "dumb", "PATH": path}
        # SAM asks less often otherwise, and would send what it counts.
        sam = {"SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.2"}
        self.terminal = Terminal(self.folder, environment(**self.aws.environment(), **home, **sam, **self.given))
        self.closing.callback(self.terminal.close)
        secret = json.dumps({"STRIPE_API_KEY": STRIPE_KEY, "STRIPE_API_BASE": base})
        self.dashboard = StripeConnection(StripeCredentials.from_secret("StripeSecret", secret)).api

    def follow(self, step: Step) -> str:
        """Do one step; answers what is printed."""
        match step.kind:
            case "sh":
                return self.terminal.run(step.text)
            case "console":
                command, dialogue = re.split(r"(?<!\\)\n", step.text, maxsplit=1)
                answers = {}
                for line in dialogue.splitlines():
                    question = re.fullmatch(r"(.+) \[(.*)\]:(?: (.*))?", line)
                    assert question, line
                    answers[question[1]] = (question[2], question[3] or "")
                return self.terminal.run(command.removeprefix("$ "), answers)
            case "by hand":
                BY_HAND[step.text](self)
        return ""

    def tell(self, variable: str, value: str) -> None:
        """Note what a vendor has shown."""
        self.given[variable] = value
        self.terminal.run(f"export {variable}='{value}'")

    @property
    def described(self) -> dict[str, Any]:
        found: dict[str, Any] = self.aws.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        return found

    @property
    def parameters(self) -> dict[str, str]:
        return {one["ParameterKey"]: one["ParameterValue"] for one in self.described["Parameters"]}

    @property
    def outputs(self) -> dict[str, str]:
        return {one["OutputKey"]: one["OutputValue"] for one in self.described["Outputs"]}

    def secret(self, name: str) -> dict[str, str]:
        held = self.aws.client("secretsmanager").get_secret_value(SecretId=self.outputs[f"{name}Arn"])
        return dict(json.loads(held["SecretString"]))

    def live(self) -> dict[str, tuple[str, list[str]]]:
        """Which version of each function is live, and with which layers."""
        lambdas, found = self.aws.client("lambda"), {}
        for function in lambdas.list_functions()["Functions"]:
            name = function["FunctionName"]
            configured = lambdas.get_function_configuration(FunctionName=name, Qualifier="live")
            found[name] = (configured["Version"], [layer["Arn"] for layer in configured["Layers"]])
        return found


# What a person does in the two vendors' user interfaces


def the_org_sends_events(user: User) -> None:
    api = f"{user.aws.url}/restapis/{user.outputs['ApiId']}/{user.parameters['Stage']}/_user_request_"
    # No name below execute-api leads to this machine: the gateway stands for the address.
    gateway = Gateway(api, ca_bundle=str(user.aws.certificate.bundle))
    user.closing.callback(gateway.close)
    user.seen["url"] = gateway.url
    user.salesforce.notify(
        f"{gateway.url}/salesforce/events", user.secret("SalesforceWebhookSecret")["SALESFORCE_WEBHOOK_SECRET"]
    )


def an_endpoint_in_stripe(user: User) -> None:
    heard: Any = [*HEARD_TYPES]
    endpoint = user.dashboard.webhook_endpoints.create(
        {"url": f"{user.seen['url']}/stripe/default/events", "enabled_events": heard, "api_version": API_VERSION}
    )
    user.seen["endpoint"] = endpoint.id
    user.tell("STRIPE_WEBHOOK_SECRET", str(endpoint.secret))


def an_order_that_is_not_activated(user: User) -> None:
    today = datetime.now(UTC).date()
    account, entry = user.org.account(), user.org.entry()
    contract = user.org.contract(account, start=today.isoformat())
    line = {"PricebookEntryId": entry, "EndDate": (today + timedelta(days=365)).isoformat()}
    order = user.org.order(account, contract, line, activated=False, EffectiveDate=today.isoformat())
    user.tell("ORDER_ID", order)


def the_order_is_activated(user: User) -> None:
    order = user.given["ORDER_ID"]
    user.salesforce.update("Order", order, {"Status": "Activated"})
    until(lambda: user.org.record("Order", order)["Stripe_Synced_At__c"], "the synchronisation of the first order")


def the_senders_are_stopped(user: User) -> None:
    user.dashboard.webhook_endpoints.delete(user.seen["endpoint"])


BY_HAND: dict[str, Callable[[User], None]] = {
    "the org sends events": the_org_sends_events,
    "an endpoint in Stripe": an_endpoint_in_stripe,
    "an order that is not activated": an_order_that_is_not_activated,
    "the order is activated": the_order_is_activated,
    "the senders are stopped": the_senders_are_stopped,
}


# What has to be so after a step


def nothing_is_on_and_everything_is_as_answered(user: User, printed: str) -> None:
    chosen = {"Stage": "prod", "QuantityConflict": "sum", "TimeZone": "Europe/Berlin", "Architecture": host_architecture()}
    assert user.parameters.items() >= {**chosen, "OrderActivation": "off", "GradualDeployment": "false"}.items()
    (topic,) = user.aws.client("sns").list_topics()["Topics"]
    assert user.parameters["AlarmTopicArn"] == topic["TopicArn"]
    assert f"Successfully created/updated stack - {STACK}" in printed


def both_secrets_are_missing(user: User, printed: str) -> None:
    assert printed.endswith("to be done\n")
    assert re.findall(r"SALESFORCE_CLIENT_ID|STRIPE_API_KEY", printed)
    assert "off: AccountUpsert, Cancellation, OrderActivation" in printed


def nothing_is_missing(user: User, printed: str) -> None:
    assert "\n0 missing, " in printed
    # The one thing that this machine has in another place: the API's address.
    assert re.findall(r"warning  (.*)", printed) == [
        f"its events are sent to {user.seen['url']}/stripe/default/events, and not to this stack's API"
    ]


def the_catalogue_is_in_step(user: User, printed: str) -> None:
    assert "0 refused" in printed


def the_order_is_drawn_and_stripe_has_nothing(user: User, printed: str) -> None:
    assert "phases" in printed
    assert user.stripe.objects(STRIPE_ACCOUNT, "subscription_schedule") == []


def the_order_has_its_schedule(user: User, printed: str) -> None:
    (schedule,) = user.stripe.objects(STRIPE_ACCOUNT, "subscription_schedule")
    order = user.org.record("Order", user.given["ORDER_ID"])
    assert (order["Stripe_Sync_Status__c"], order["Stripe_Subscription_Schedule_Id__c"]) == ("Synced", schedule["id"])
    assert re.search(r"order_activation +synced ", printed)
    assert "1 found." in printed


def the_flows_are_on_and_the_rest_is_kept(user: User, printed: str) -> None:
    on = ("OrderActivation", "OrderItemUpdate", "Cancellation", "ProductUpsert", "PriceUpsert")
    assert user.parameters.items() >= dict.fromkeys(on, "on").items()
    nothing_else = {"Stage": "prod", "QuantityConflict": "sum", "TimeZone": "Europe/Berlin", "Reconciliation": "off"}
    assert user.parameters.items() >= nothing_else.items()


def both_secrets_count(user: User, printed: str) -> None:
    held = user.secret("SalesforceWebhookSecret")
    given, previous = held["SALESFORCE_WEBHOOK_SECRET"], held["SALESFORCE_WEBHOOK_SECRET_PREVIOUS"]
    assert given != previous
    assert len(given) == len(previous) == 48


def every_live_version_is_noted(user: User, printed: str) -> None:
    user.seen["live"] = user.live()
    noted = (user.folder / "orderphase" / "live-versions.txt").read_text().split()
    assert sorted(noted) == sorted(version_arn(user, name, version) for name, (version, _) in user.live().items())
    assert len(noted) == len(FUNCTIONS)


def version_arn(user: User, function: str, version: str) -> str:
    configured = user.aws.client("lambda").get_function_configuration(FunctionName=function)
    return f"{configured['FunctionArn']}:{version}"


def the_new_release_is_live(user: User, printed: str) -> None:
    before, after = user.seen["live"], user.live()
    assert before.keys() == after.keys()
    assert all(before[name][0] != after[name][0] and before[name][1] != after[name][1] for name in before)
    assert user.parameters["OrderActivation"] == "on"


def the_versions_before_are_live(user: User, printed: str) -> None:
    assert user.live() == user.seen["live"]
    assert len(re.findall(r":live\t\d+$", printed, re.MULTILINE)) == len(FUNCTIONS)


def what_stays_is_what_the_guide_says(user: User, printed: str) -> None:
    assert "Deleted successfully" in printed
    assert [table.rsplit("-", 1)[0] for table in remaining(user)["tables"]] == [
        f"{STACK}-{name}Table" for name in ("Catalogue", "Contract", "Idempotency", "Progress", "SyncLog")
    ]
    assert {name: found for name, found in remaining(user).items() if found}.keys() == {"tables", "layers", "roles", "topics"}
    (role,) = remaining(user)["roles"]
    assert "ApiGatewayLoggingRole" in role


def nothing_stays(user: User, printed: str) -> None:
    # Of the layers those that an upgrade has left behind; the guide says how they are found.
    assert not [one for kind, found in remaining(user).items() if kind != "layers" for one in found]
    stacks = user.aws.client("cloudformation").describe_stacks()["Stacks"]
    assert [stack["StackName"] for stack in stacks] == ["aws-sam-cli-managed-default"]


def the_package_carries_the_files_that_the_repository_shows(user: User, printed: str) -> None:
    shown = load(user.folder / "orderphase" / "packaged.yaml")["Metadata"]["AWS::ServerlessRepo::Application"]
    assert all(shown[name].startswith("s3://") for name in ("LicenseUrl", "ReadmeUrl"))


def remaining(user: User) -> dict[str, list[str]]:
    """What the account has, by kind, but for the bucket of SAM."""
    asked = {
        "functions": ("lambda", "list_functions", "Functions", "FunctionName"),
        "layers": ("lambda", "list_layers", "Layers", "LayerName"),
        "tables": ("dynamodb", "list_tables", "TableNames", None),
        "roles": ("iam", "list_roles", "Roles", "RoleName"),
        "queues": ("sqs", "list_queues", "QueueUrls", None),
        "secrets": ("secretsmanager", "list_secrets", "SecretList", "Name"),
        "log groups": ("logs", "describe_log_groups", "logGroups", "logGroupName"),
        "alarms": ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
        "dashboards": ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
        "topics": ("sns", "list_topics", "Topics", "TopicArn"),
        "schedules": ("scheduler", "list_schedules", "Schedules", "Name"),
        "APIs": ("apigateway", "get_rest_apis", "items", "name"),
    }
    found: dict[str, list[str]] = {}
    for kind, (service, call, key, name) in asked.items():
        listed: list[Any] = getattr(user.aws.client(service), call)().get(key, [])
        found[kind] = sorted(one[name] if name else one for one in listed)
    return found


AFTER: list[tuple[str, Callable[[User, str], None]]] = [
    ("sam deploy --guided", nothing_is_on_and_everything_is_as_answered),
    ("orderphase doctor", both_secrets_are_missing),
    ("orderphase doctor", nothing_is_missing),
    ("orderphase import\n", the_catalogue_is_in_step),
    ("orderphase preview", the_order_is_drawn_and_stripe_has_nothing),
    ("orderphase sync-log", the_order_has_its_schedule),
    ("OrderItemUpdate=on", the_flows_are_on_and_the_rest_is_kept),
    ("secrets.token_urlsafe", both_secrets_count),
    ("> live-versions.txt", every_live_version_is_noted),
    ("$ deploy\n", the_new_release_is_live),
    ("orderphase doctor", nothing_is_missing),
    ("aws lambda update-alias", the_versions_before_are_live),
    ("sam delete", what_stays_is_what_the_guide_says),
    ("aws iam delete-role", nothing_stays),
    ("sam package", the_package_carries_the_files_that_the_repository_shows),
]
"""By a part of the step, in the order of the guide."""


# Beside the other stacks: it has its own, and takes longer than any test of theirs.
@pytest.mark.xdist_group("guide")
def test_the_guide_leads_from_an_empty_account_to_the_first_order_and_back(worker_id: str) -> None:
    folder = STATE / f"test-{worker_id}-guide"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    checks = [*AFTER]
    with ExitStack() as closing:
        user = User(folder, closing)
        for step in STEPS:
            printed = user.follow(step)
            if step.kind in ("sh", "console") and checks and checks[0][0] in f"{step.text}\n":
                checks.pop(0)[1](user, printed)
    assert checks == []
    shutil.rmtree(folder)


def test_what_is_not_run_and_what_is_done_by_hand_is_known() -> None:
    left_out = {step.reason: step.text for step in STEPS if step.kind == "not run"}
    assert left_out.keys() == NOT_RUN.keys()
    assert all(part in left_out[reason] for reason, part in NOT_RUN.items())
    assert [step.text for step in STEPS if step.kind == "by hand"] == [*BY_HAND]


@pytest.mark.parametrize("kind", ["sh", "console"])
def test_every_block_is_a_step(kind: str) -> None:
    fences = re.findall(rf"^ *```{kind}$", GUIDE.read_text(), re.MULTILINE)
    left_out = [step for step in STEPS if step.kind == "not run" and step.text.startswith("$ ") == (kind == "console")]
    assert len(fences) == len([step for step in STEPS if step.kind == kind]) + len(left_out)
    assert len(fences) > 4


def test_what_the_commands_take_from_the_reader_is_listed() -> None:
    listed = set(re.findall(r"`([A-Z_]+)`", GUIDE.read_text().split("| Variable |")[1].split("\n\n")[0]))
    commands = "\n".join(step.text for step in STEPS if step.kind in ("sh", "console"))
    named = set(re.findall(r"\$\{?([A-Z_]+)", commands))
    assert named - {"STRIPE_API_BASE"} == listed
    assert "`STRIPE_API_BASE` is left unset" in GUIDE.read_text()


def test_the_key_is_given_the_permissions_that_the_doctor_tries() -> None:
    rows = re.findall(r"^ *\| ([^|]+) \| (read|write)\b[^|]*\|$", GUIDE.read_text(), re.MULTILINE)
    given = {(name.strip().lower().replace(" ", "_"), ability) for names, ability in rows for name in names.split(",")}
    tried = {(one.resource, one.ability.replace("preview", "write")) for one in doctor._PERMISSIONS}
    # Who may write may read. Beside them, the doctor lists the endpoints.
    assert given == {one for one in tried if one[1] == "write" or (one[0], "write") not in tried} | {
        ("webhook_endpoints", "read")
    }


def test_each_switch_is_listed_with_what_tells_of_it() -> None:
    rows = [*table_below("7. The other flows", GUIDE)]
    groups = load()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert [name for name, *_ in rows] in [group["Parameters"] for group in groups]
    flows = (ROOT / "salesforce" / "force-app" / "main" / "default" / "flows").glob("*.flow-meta.xml")
    labels = {label for flow in flows for label in re.findall(r"<label>(Orderphase: [^<]+)</label>", flow.read_text())}
    assert {label for _, org, _ in rows for label in re.findall(r"\*([^*]+)\*", org)} == labels
    named = {kind for _, _, heard in rows for kind in re.findall(r"[a-z_]+\.[a-z.]+", heard)}
    assert named == {kind for kind in HEARD_TYPES if kind.startswith(("product.", "price."))}


def test_the_endpoint_is_of_the_version_that_is_read() -> None:
    assert f"`{API_VERSION}`" in GUIDE.read_text()
