"""The local stack: the real template, built and deployed onto a local AWS, between emulators of Salesforce and Stripe.

    with LocalStack() as stack:
        requests.post(f"{stack.url}/salesforce/events", …)

The functions know the vendors by their secrets alone, exactly as in an account.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from orderphase.ingress.stripe_events import HEARD_TYPES
from orderphase.settings import StripeCredentials
from orderphase.stripe.client import StripeConnection
from sandbox.aws import LocalAws
from sandbox.build import FLOWS, QUEUES, ROOT, build, host_architecture
from sandbox.clock import Clock
from sandbox.gateway import Gateway
from sandbox.processes import StackError
from sandbox.salesforce_emulator import SalesforceEmulator
from sandbox.serving import Server
from sandbox.stripe_emulator import StripeEmulator
from sandbox.vendors import salesforce_secret, stripe_secret

STATE = ROOT / ".stack"
NOTE = "stack.json"
STAGE = "local"
STACK_NAME = "orderphase-local"
POLL_SECONDS = 0.05

# Of the emulators alone. They open nothing else.
STRIPE_KEY = "sk_test_orderphase_local"
STRIPE_ACCOUNT = "acct_orderphaselocal"
SALESFORCE_CLIENT_ID = "orderphase-local"
SALESFORCE_CLIENT_SECRET = "orderphase-local-secret"
SALESFORCE_PERSON = ("person-local", "person-local-secret")
"""Id and secret of the client that acts as a person, whose edits are nobody's own."""

Progress = Callable[[str], None]
Seed = Callable[[Mapping[str, str]], None]
"""Fills an emulated org, given credentials of a person."""


def silent(_: str) -> None:
    """Progress for whoever wants none."""


class LocalStack:
    """One local stack, a context manager.

    port: where the front door listens on 127.0.0.1; 0 = any free port.
    name: of its folder below .stack/, which holds its logs; a name is in use once at a time.
    environment: where a real Stripe or Salesforce may be named (see `sandbox.vendors`), and the webhook's secrets.
    parameters: of the template, beside Stage and Architecture; every flow is on unless they say otherwise, and Polling is off.
    clock: the emulators' clock.

    Once started: `url` is the front door, `outputs` the template's outputs, `secrets` what each of its secrets holds; `stripe`
    and `salesforce` are the emulators, None where a real system is used.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        name: str = "local",
        environment: Mapping[str, str] = os.environ,
        parameters: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.folder = STATE / name
        self.url = ""
        self.outputs: dict[str, str] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        self.stripe: StripeEmulator | None = None
        self.salesforce: SalesforceEmulator | None = None
        self._port = port
        self._environment = environment
        self._parameters = dict(parameters or {})
        self._clock = clock or Clock()
        self._closing = ExitStack()
        self._aws: LocalAws | None = None

    @property
    def webhook_secret(self) -> str:
        """What an event on `/salesforce/events` is to be signed with."""
        return self.secrets["SalesforceWebhookSecret"]["SALESFORCE_WEBHOOK_SECRET"]

    @property
    def person(self) -> dict[str, str]:
        """Credentials for the emulated org of a client that acts as a person; as in the Salesforce secret."""
        client_id, client_secret = SALESFORCE_PERSON
        named = {"SALESFORCE_CLIENT_ID": client_id, "SALESFORCE_CLIENT_SECRET": client_secret}
        return self.secrets["SalesforceSecret"] | named

    @property
    def outbound_messages_url(self) -> str:
        """Where an org sends its Outbound Messages; the token in it is a secret."""
        return f"{self.url}/salesforce/outbound-messages/{self.secrets['SalesforceWebhookSecret']['SALESFORCE_OUTBOUND_TOKEN']}"

    @property
    def stripe_events_url(self) -> str:
        """Where Stripe sends the events of the stack's account."""
        return f"{self.url}/stripe/{self._parameters.get('StripeAccount', 'default')}/events"

    @property
    def local_aws(self) -> LocalAws:
        """The local AWS; its `environment()` points any AWS tool at it."""
        if self._aws is None:
            raise StackError("the local stack is not running")
        return self._aws

    def aws(self, service: str) -> Any:
        """The boto3 client of a service of the local AWS, such as `sqs`."""
        return self.local_aws.client(service)

    def start(self, progress: Progress = silent, seed: Seed | None = None) -> None:
        """Bring everything up, telling each step. Raises `StackError`, with nothing left running.

        seed: fills the emulated org, before that tells of anything.
        """
        try:
            self._start(progress, seed)
        except BaseException:
            self.stop()
            raise

    def _start(self, progress: Progress, seed: Seed | None) -> None:
        stripe = stripe_secret(self._environment)
        salesforce = salesforce_secret(self._environment)
        self._closing.enter_context(_held(self.folder.with_suffix(".lock"), self._running_already()))
        _check_free(self._port)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._closing.callback(self._tidy)

        with _step(progress, "local AWS"):
            self._aws = LocalAws(self.folder)
            self._closing.callback(self._aws.stop)
            self._aws.start()
        with _held(STATE / "build.lock"):
            with _step(progress, f"sam build ({host_architecture()})"):
                template = build(STATE, architecture=host_architecture(), log=self.folder / "sam-build.log")
            with _step(progress, "sam deploy"):
                parameters = {"Stage": STAGE, "Architecture": host_architecture(), **dict.fromkeys(FLOWS, "on")}
                parameters |= self._parameters
                self.outputs = self._aws.deploy(template, stack=STACK_NAME, parameters=parameters)
        with _step(progress, "vendors"):
            api = f"{self._aws.url}/restapis/{self.outputs['ApiId']}/{STAGE}/_user_request_"
            gateway = Gateway(api, ca_bundle=str(self._aws.certificate.bundle), port=self._port)
            self._closing.callback(gateway.close)
            self.url = gateway.url
            self._put_secret("StripeSecret", stripe or self._emulate_stripe())
            self._put_secret("SalesforceSecret", salesforce or self._emulate_salesforce())
            self._put_secret("SalesforceWebhookSecret", self._webhook_secrets())
            if self.salesforce is not None:
                if seed is not None:
                    seed(self.person)
                self.salesforce.notify(f"{self.url}/salesforce/events", self.webhook_secret)
        self._describe()

    def _running_already(self) -> str:
        """What to tell whoever starts a stack of this name while one runs."""
        note = self.folder / NOTE
        where = f" at {json.loads(note.read_text()).get('url')}" if note.exists() else ""
        return f"a stack named {self.folder.name} runs already{where}; stop it first (Ctrl-C where it was started)"

    def _emulate_stripe(self) -> dict[str, str]:
        self.stripe = StripeEmulator(self._clock, accounts={STRIPE_KEY: STRIPE_ACCOUNT})
        self._closing.callback(self.stripe.close)
        server = self._closing.enter_context(Server(self.stripe))
        reached = {"STRIPE_API_KEY": STRIPE_KEY, "STRIPE_API_BASE": server.url}
        api = StripeConnection(StripeCredentials.from_secret("StripeSecret", json.dumps(reached))).api
        heard: Any = [*HEARD_TYPES]
        endpoint = api.webhook_endpoints.create({"url": self.stripe_events_url, "enabled_events": heard})
        return reached | {"STRIPE_ACCOUNT_ID": "", "STRIPE_WEBHOOK_SECRET": str(endpoint.secret)}

    def _emulate_salesforce(self) -> dict[str, str]:
        self.salesforce = SalesforceEmulator(
            self._clock, client_id=SALESFORCE_CLIENT_ID, client_secret=SALESFORCE_CLIENT_SECRET, person=SALESFORCE_PERSON
        )
        server = self._closing.enter_context(Server(self.salesforce))
        return {
            "SALESFORCE_LOGIN_URL": server.url,
            "SALESFORCE_CLIENT_ID": SALESFORCE_CLIENT_ID,
            "SALESFORCE_CLIENT_SECRET": SALESFORCE_CLIENT_SECRET,
        }

    def _webhook_secrets(self) -> dict[str, str]:
        """The current secret and, as during a rotation, the previous one; the token of Outbound Messages, and their org.

        From the environment, or drawn; the org is the emulated one.
        """
        names = ("SALESFORCE_WEBHOOK_SECRET", "SALESFORCE_WEBHOOK_SECRET_PREVIOUS", "SALESFORCE_OUTBOUND_TOKEN")
        drawn = {name: self._environment.get(name) or secrets.token_urlsafe(32) for name in names}
        emulated = "" if self.salesforce is None else self.salesforce.org_id
        return drawn | {"SALESFORCE_ORG_ID": self._environment.get("SALESFORCE_ORG_ID") or emulated}

    def _put_secret(self, name: str, values: dict[str, str]) -> None:
        arn = self.outputs[f"{name}Arn"]
        self.aws("secretsmanager").put_secret_value(SecretId=arn, SecretString=json.dumps(values))
        self.secrets[name] = values

    def _describe(self) -> None:
        """Leave a note of where everything is, for `python -m sandbox show` and `orderphase preview`."""
        note = {"stack": STACK_NAME, "url": self.url, "aws": self.local_aws.environment(), "outputs": self.outputs}
        (self.folder / NOTE).write_text(json.dumps(note, indent=2))

    def function(self, name: str) -> dict[str, Any]:
        """How a function, named as in the template, is deployed: its `FunctionName`, `Environment`, `MemorySize` and so on."""
        found = self.aws("cloudformation").describe_stack_resource(StackName=STACK_NAME, LogicalResourceId=name)
        physical = found["StackResourceDetail"]["PhysicalResourceId"]
        configured: dict[str, Any] = self.aws("lambda").get_function_configuration(FunctionName=physical)
        return configured

    def function_logs(self, function: str) -> list[str]:
        """The log lines of a function, named by its folder below functions/, oldest first."""
        group = f"/aws/lambda/{STACK_NAME}-{function.replace('_', '-')}"
        pages = self.aws("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        return [event["message"] for page in pages for event in page["events"]]

    def stop_the_clock(self) -> None:
        """Have nothing started by its schedule any more."""
        scheduler = self.aws("scheduler")
        for one in scheduler.list_schedules()["Schedules"]:
            known = scheduler.get_schedule(Name=one["Name"], GroupName=one["GroupName"])
            kept = {key: known[key] for key in ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")}
            scheduler.update_schedule(**kept, State="DISABLED")

    def stop_the_queues(self) -> None:
        """Have no function take anything from its queue any more."""
        functions = self.aws("lambda")
        for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
            functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)

    def waiting(self) -> int:
        """How many messages are queued or being worked on, in all flows and before them."""
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = 0
        for name in QUEUES:
            queue = self.outputs[f"{name}QueueUrl"]
            attributes = self.aws("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=counts)["Attributes"]
            found += sum(int(attributes[count]) for count in counts)
        return found

    def settle(self, timeout: float = 30.0) -> None:
        """Wait until both vendors' events are sent and the queues are empty. Raises `TimeoutError` after `timeout` seconds.

        A message that fails stays in flight until its visibility timeout, so a stack with a failing run does not settle.
        """
        deadline = time.monotonic() + timeout
        pause = threading.Event()
        # Twice in a row: what the last run has changed is told too.
        quiet = 0
        while quiet < 2:  # noqa: PLR2004 (see above)
            self._send_events(deadline)
            quiet = 0 if self.waiting() else quiet + 1
            if quiet == 0:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{self.waiting()} messages still wait after {timeout:.0f} s; see the functions' logs")
                pause.wait(POLL_SECONDS)

    def _send_events(self, deadline: float) -> None:
        if self.salesforce is not None:
            self.salesforce.flush(max(POLL_SECONDS, deadline - time.monotonic()))
        if self.stripe is not None:
            self.stripe.courier.flush()

    def stop(self) -> None:
        """Take everything down, in the reverse order. Its logs stay in `folder`."""
        self._closing.close()
        self._aws = None

    def _tidy(self) -> None:
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        (self.folder / NOTE).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        if self._aws is None:
            self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def _check_free(port: int) -> None:
    """Fail at once, not after building and deploying, where another program has the port. Raises `StackError`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as problem:
            raise StackError(
                f"port {port} cannot be used ({problem.strerror}); choose another, e.g. make local PORT=8788"
            ) from None


@contextmanager
def _step(progress: Progress, what: str) -> Iterator[None]:
    began = time.monotonic()
    progress(f"{what} …")
    yield
    progress(f"{what}: {time.monotonic() - began:.1f} s")


@contextmanager
def _held(path: Path, refusal: str = "") -> Iterator[None]:
    """Hold a lock file: wait for it or, given a `refusal`, raise `StackError` if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if refusal else 0))
        except BlockingIOError as taken:
            raise StackError(refusal) from taken
        yield
