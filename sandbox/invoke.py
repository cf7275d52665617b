"""`make invoke`: each function in its Lambda container, with its sample events, against the local stack.

What the local stack alone cannot show: that the artifacts load in the runtime's own image, below /var/task and /opt.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from orderphase.ingress.signature import sign
from sandbox import relay
from sandbox.aws import CREDENTIALS
from sandbox.build import CONSOLIDATION_LAYER, DEPENDENCIES_LAYER, FUNCTIONS, ROOT, SAM, host_architecture
from sandbox.processes import StackError, environment, run
from sandbox.stack import STACK_NAME, STATE, LocalStack

NO_ENGINE = 3
SAM_PYTHON = SAM.with_name("python")
EVENTS = ROOT / "events"
WEBHOOK_EVENT = EVENTS / "salesforce_webhook.json"
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
    # The sample carries an API key; the stack has to know it.
    known = {"SALESFORCE_WEBHOOK_SECRET": json.loads(WEBHOOK_EVENT.read_text())["headers"]["x-api-key"]}
    stack = LocalStack(name="invoke", environment=known)
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
    """Each function with each of its sample events. Raises `StackError` for a function that has none."""
    found = []
    for function in FUNCTIONS:
        events = sorted(EVENTS.glob(f"{_folder_name(function)}*.json"))
        if not events:
            raise StackError(f"{function} has no sample event in events/")
        found += [(function, event) for event in events]
    return found


def verdict(function: str, answer: Any) -> str | None:
    """What is wrong with a function's answer, or None."""
    if not isinstance(answer, dict) or "errorMessage" in answer:
        return f"failed: {answer}"
    # What each answers where all is well; the flows' functions, that no message is to come again.
    fine: dict[str, dict[str, Any]] = {
        "SalesforceWebhookFunction": {"statusCode": 202},
        "StripeWebhookFunction": {"statusCode": 200},
        "RollingWindowFunction": {"queued": 0},
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
    resources: Mapping[str, Any] = yaml.safe_load((built / "template.yaml").read_text())["Resources"]
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
                "MemorySize": 512,
                "Timeout": resources[function]["Properties"]["Timeout"],
                "Layers": [{"Ref": CONSOLIDATION_LAYER}, {"Ref": DEPENDENCIES_LAYER}],
                "Environment": {
                    "Variables": {
                        **_deployed_environment(stack, function),
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


def _deployed_environment(stack: LocalStack, function: str) -> dict[str, str]:
    resource = stack.aws("cloudformation").describe_stack_resource(StackName=STACK_NAME, LogicalResourceId=function)
    name = resource["StackResourceDetail"]["PhysicalResourceId"]
    configuration = stack.aws("lambda").get_function_configuration(FunctionName=name)
    variables: dict[str, str] = configuration["Environment"]["Variables"]
    return variables


def timely(stack: LocalStack, event: Path, folder: Path) -> Path:
    """The sample, signed anew where it is signed: a signature is good for five minutes, and for the stack's own secret."""
    sample = json.loads(event.read_text())
    if STRIPE_SIGNATURE not in sample.get("headers", {}):
        return event
    secret = stack.secrets["StripeSecret"]["STRIPE_WEBHOOK_SECRET"]
    sample["headers"][STRIPE_SIGNATURE] = sign(secret, sample["body"].encode(), datetime.now(UTC))
    timely = folder / event.name
    timely.write_text(json.dumps(sample))
    return timely


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
