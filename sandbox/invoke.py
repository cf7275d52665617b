"""`make invoke`: each function in its Lambda container, with its sample events, against the local stack.

What the local stack alone cannot show: that the artifacts load in the runtime's own image, below /var/task and /opt.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from orderphase.ingress.signature import sign
from sandbox import relay
from sandbox.aws import CREDENTIALS
from sandbox.build import CLOCKED, CONSOLIDATION_LAYER, DEPENDENCIES_LAYER, FUNCTIONS, ROOT, SAM, host_architecture
from sandbox.processes import StackError, environment, run
from sandbox.stack import STATE, LocalStack

NO_ENGINE = 3
SAM_PYTHON = SAM.with_name("python")
EVENTS = ROOT / "events"
WEBHOOK_EVENT = EVENTS / "salesforce_webhook.json"
OUTBOUND_MESSAGE = EVENTS / "salesforce_webhook_outbound_message.json"
BUS_EVENTS = (EVENTS / "event_bus.json", EVENTS / "event_bus_stripe.json")
# What an Outbound Message is answered where all is well.
ACKNOWLEDGED = "<Ack>true</Ack>"
STRIPE_SIGNATURE = "Stripe-Signature"

# The container's entry: the way to the local stack first, then the function as it is.
ENTRY = """
from pathlib import Path
import relay
relay.from_files(Path(__file__).parent / "relay")
from app import handler
"""


def main() -> int:
    """Invoke everything; answers 0, 1 if an answer is not as it should be, or 3 if no container engine answers."""
    if not _engine_does("ping()"):
        print(
            "invoke: no container engine answers. Start Docker or Finch (or set DOCKER_HOST), then try again.", file=sys.stderr
        )
        return NO_ENGINE
    stack = LocalStack(name="invoke", environment=secrets_of_samples(), parameters=sources_of_samples())
    stack.start(lambda line: print(line, file=sys.stderr))
    # A short path: a socket's is limited to about a hundred characters.
    with stack, ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="orderphase-")))
        template = _container_template(stack, folder, closing)
        failures = 0
        for function, event in samples():
            print(f"{function} {event.name} …", file=sys.stderr, flush=True)
            problem = verdict(function, _invoke(stack, template, function, timely(stack, event, folder)))
            print(f"{function} {event.name}: {problem or 'ok'}", flush=True)
            failures += problem is not None
    return 1 if failures else 0


def samples() -> list[tuple[str, Path]]:
    """Each function with each of its sample events. Raises `StackError` for a function that has none.

    A sample is named by its function, and by what sets it apart from others of that function.
    """
    # The longer names first: one function's name may begin with another's.
    names = sorted(map(_folder_name, FUNCTIONS), key=len, reverse=True)
    events_of: dict[str, list[Path]] = {name: [] for name in names}
    for event in sorted(EVENTS.glob("*.json")):
        name = next((name for name in names if event.stem.startswith(name)), None)
        if name is None:
            raise StackError(f"{event.name} is a sample of no function")
        events_of[name].append(event)
    found = []
    for function in FUNCTIONS:
        events = events_of[_folder_name(function)]
        if not events:
            raise StackError(f"{function} has no sample event in events/")
        found += [(function, event) for event in events]
    return found


def secrets_of_samples() -> dict[str, str]:
    """What Salesforce's samples prove themselves with: the stack has to know it."""
    event, message = (json.loads(sample.read_text()) for sample in (WEBHOOK_EVENT, OUTBOUND_MESSAGE))
    (org_id,) = re.findall(r"<OrganizationId>(\w+)</OrganizationId>", message["body"])
    return {
        "SALESFORCE_WEBHOOK_SECRET": event["headers"]["x-api-key"],
        "SALESFORCE_OUTBOUND_TOKEN": message["pathParameters"]["token"],
        "SALESFORCE_ORG_ID": org_id,
    }


def sources_of_samples() -> dict[str, str]:
    """Which partner event sources the samples of the event buses come from, by the template's parameters."""
    sources = {
        json.loads(record["body"])["source"] for sample in BUS_EVENTS for record in json.loads(sample.read_text())["Records"]
    }
    vendors = {"SalesforceEventSource": "aws.partner/salesforce.com/", "StripeEventSource": "aws.partner/stripe.com/"}
    return {name: next(source for source in sources if source.startswith(begin)) for name, begin in vendors.items()}


def verdict(function: str, answer: Any) -> str | None:
    """What is wrong with a function's answer, or None."""
    if not isinstance(answer, dict) or "errorMessage" in answer:
        return f"failed: {answer}"
    if ACKNOWLEDGED in str(answer.get("body")):
        return None if answer["statusCode"] == HTTPStatus.OK else f"answered {answer}"
    # What each answers where all is well; the flows' functions, that no message is to come again.
    fine: dict[str, dict[str, Any]] = {
        "SalesforceWebhookFunction": {"statusCode": 202},
        "StripeWebhookFunction": {"statusCode": 200},
        **{function: {"queued": 0} for function in CLOCKED},
        "RecoveryFunction": {"open": 0},
    }
    wanted = fine.get(function, {"batchItemFailures": []})
    return None if wanted.items() <= answer.items() else f"answered {answer}"


def _engine_does(call: str) -> bool:
    # The SAM CLI's own Docker client finds the engine where the SAM CLI will.
    probe = [str(SAM_PYTHON), "-c", f"import docker; docker.from_env(timeout=10).{call}"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def _folder_name(function: str) -> str:
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in function.removesuffix("Function"))
    return words.removeprefix("_")


def _container_template(stack: LocalStack, folder: Path, closing: ExitStack) -> Path:
    """The built template's functions and layers, with the deployed environment and the way to the local stack."""
    built = STATE / "build"
    deployed: Mapping[str, Any] = yaml.safe_load((built / "template.yaml").read_text())
    resources, common = deployed["Resources"], deployed["Globals"]["Function"]
    chosen: dict[str, Any] = {}
    for layer in (CONSOLIDATION_LAYER, DEPENDENCIES_LAYER):
        chosen[layer] = {"Type": resources[layer]["Type"], "Properties": {"ContentUri": str(built / layer)}}
    for function in FUNCTIONS:
        code = folder / function
        shutil.copytree(built / function, code)
        shutil.copy(relay.__file__, code / "relay.py")
        (code / "entry.py").write_text(ENTRY)
        (code / "relay").mkdir()
        bundle = shutil.copy(stack.local_aws.certificate.bundle, code / "relay")
        for port in _ports(stack):
            closing.callback(relay.to_port(code / "relay", port).close)
        chosen[function] = {
            "Type": resources[function]["Type"],
            "Properties": {
                "CodeUri": str(code),
                "Handler": "entry.handler",
                "Runtime": "python3.13",
                "Architectures": [host_architecture()],
                "MemorySize": common["MemorySize"],
                "Timeout": resources[function]["Properties"]["Timeout"],
                "Layers": [{"Ref": CONSOLIDATION_LAYER}, {"Ref": DEPENDENCIES_LAYER}],
                "Environment": {
                    "Variables": {
                        **stack.function(function)["Environment"]["Variables"],
                        "AWS_ENDPOINT_URL": stack.local_aws.url,
                        "AWS_CA_BUNDLE": f"/var/task/relay/{Path(bundle).name}",
                    }
                },
            },
        }
    template = folder / "template.yaml"
    template.write_text(json.dumps({"Transform": "AWS::Serverless-2016-10-31", "Resources": chosen}))
    return template


def _ports(stack: LocalStack) -> list[int]:
    addresses = [
        stack.local_aws.url,
        stack.secrets["StripeSecret"]["STRIPE_API_BASE"],
        stack.secrets["SalesforceSecret"]["SALESFORCE_LOGIN_URL"],
    ]
    return [port for address in addresses if (port := urlsplit(address).port) is not None]


def timely(stack: LocalStack, event: Path, folder: Path) -> Path:
    """The sample, signed anew where it is signed: a signature is good for five minutes, and for the stack's own secret."""
    sample = json.loads(event.read_text())
    if STRIPE_SIGNATURE not in sample.get("headers", {}):
        return event
    secret = stack.secrets["StripeSecret"]["STRIPE_WEBHOOK_SECRET"]
    timely = folder / event.name
    timely.write_text(json.dumps(signed(sample, STRIPE_SIGNATURE, secret)))
    return timely


def signed(request: Mapping[str, Any], header: str, secret: str) -> dict[str, Any]:
    """A request of API Gateway's, signed now in this header, for the text of its body."""
    signature = sign(secret, request["body"].encode(), datetime.now(UTC))
    return {
        **request,
        "headers": {**request["headers"], header: signature},
        "multiValueHeaders": {**request["multiValueHeaders"], header: [signature]},
    }


def _invoke(stack: LocalStack, template: Path, function: str, event: Path) -> Any:
    log = stack.folder / f"invoke-{function}.log"
    command: list[str | Path] = [SAM, "local", "invoke", function, "--template-file", template, "--event", event]
    # What the SAM CLI makes the container of; it is fetched where it is not there yet.
    image = f"*/lambda/python:3.13-{host_architecture()}"
    if _engine_does(f"images.list(filters={{'reference': '{image}'}})[0]"):
        command.append("--skip-pull-image")
    # The engine is the user's, so its settings stay; credentials are the local AWS's.
    run(command, log=log, env=environment(**CREDENTIALS, SAM_CLI_TELEMETRY="0"), cwd=template.parent)
    # The answer follows the function's own log lines; the runtime may have a word after it.
    lines = log.read_text(errors="replace").splitlines()
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            return json.loads(line)
    return "\n".join(lines)
