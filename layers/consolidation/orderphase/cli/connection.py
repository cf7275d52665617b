"""Where a command finds the live systems: in the environment of the order activation's function, so it does what that would do.

The secrets that the environment names are read by whoever uses it.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from pydantic import BaseModel, ConfigDict, ValidationError

from orderphase.aws import classified_errors
from orderphase.errors import ConfigurationError
from orderphase.settings import FlowSettings
from orderphase.validation import Text, describe

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_lambda import LambdaClient

STACK_VARIABLE = "ORDERPHASE_STACK"
FUNCTION = "OrderActivationFunction"
ALIAS = "live"
"""Events go to the version that this alias names, whatever has been changed on the function since."""

QUEUE, DEAD_LETTERS = "QueueUrl", "DeadLetterQueueUrl"
"""How the outputs of a stack with the queues of a flow end."""

_NOTES = ".stack/*/stack.json"
_PREFERRED = "local"
"""Which of several local stacks is meant: the one that people start; others are started by tests."""


def patience(attempts: int = 1) -> Config:
    """How long the client of a command waits for AWS: somebody waits for the answer, and can ask again."""
    return Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": attempts})


@dataclass(frozen=True, slots=True)
class Connection:
    """The environment of a flow's function, and in words where it is from.

    stack: whose function it is, where that is deployed; None where the environment says no stack, and for a local one.
    """

    environment: Mapping[str, str]
    source: str
    stack: str | None = None


@dataclass(frozen=True, slots=True)
class Stack:
    """A deployed stack, or the local one: its name, in words which it is, and its parameters and outputs by name."""

    name: str
    source: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def queues(self) -> list[str]:
        """What has a queue and its dead letters: the flows, as the template calls them, and what queues for them."""
        return sorted(name.removesuffix(DEAD_LETTERS) for name in self.outputs if name.endswith(DEAD_LETTERS))

    def output(self, name: str) -> str:
        """An output. Raises ConfigurationError where the stack has none of this name."""
        if not self.outputs.get(name):
            raise ConfigurationError(f"{self.source} has no output {name}: is it one of Orderphase's, and up to date?")
        return self.outputs[name]


def connect(environ: MutableMapping[str, str], folder: Path, *, stack: str | None = None) -> Connection:
    """Find the function's environment.

    It is that of the stack that is asked for; else `environ` itself, where all its variables are set; else that of the stack
    which ORDERPHASE_STACK names; else that of the local stack that runs in `folder`, at whose AWS `environ` then points.
    AWS is called with the credentials that boto3 finds. Raises `ConfigurationError` where nothing says where to look, and
    `TransientError` where AWS cannot be reached.
    """
    if stack is not None:
        return Connection(_environment(stack), f"the stack {stack}", stack)
    if all(field.alias in environ for field in FlowSettings.model_fields.values() if field.is_required()):
        return Connection(environ, "the environment")
    if named := environ.get(STACK_VARIABLE):
        return Connection(_environment(named), f"the stack {named}", named)
    note = _running(folder)
    if note is None:
        raise ConfigurationError(
            "nothing says where to look: name a deployed stack with --stack or in ORDERPHASE_STACK, set the ORDERPHASE_ "
            "variables that its functions have, or start a local stack in this folder (make local)"
        )
    _point_at(environ, note.aws)
    return Connection(_environment(note.stack), f"the local stack {note.stack}")


def describe_stack(environ: MutableMapping[str, str], folder: Path, *, stack: str | None = None) -> Stack:
    """Find a stack as `connect` does, but for the variables of a function, which say nothing of queues. Raises as that does."""
    if named := environ.get(STACK_VARIABLE) if stack is None else stack:
        return _described(named, f"the stack {named}")
    note = _running(folder)
    if note is None:
        raise ConfigurationError(
            "nothing says where to look: name a deployed stack with --stack or in ORDERPHASE_STACK, or start a local stack in "
            "this folder (make local)"
        )
    _point_at(environ, note.aws)
    return _described(note.stack, f"the local stack {note.stack}")


def _described(stack: str, source: str) -> Stack:
    with classified_errors(f"stack {stack}"):
        cloudformation: CloudFormationClient = boto3.client("cloudformation", config=patience())
        (found,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    parameters = {one.get("ParameterKey", ""): one.get("ParameterValue", "") for one in found.get("Parameters", [])}
    outputs = {one.get("OutputKey", ""): one.get("OutputValue", "") for one in found.get("Outputs", [])}
    return Stack(stack, source, parameters, outputs)


class _Note(BaseModel):
    """What a local stack leaves behind while it runs. `aws`: the variables with which AWS tools find it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stack: Text
    aws: dict[str, str]


def _running(folder: Path) -> _Note | None:
    found = {note.parent.name: note for note in sorted(folder.glob(_NOTES))}
    if not found:
        return None
    if len(found) > 1 and _PREFERRED not in found:
        raise ConfigurationError(f"several local stacks run in this folder ({', '.join(found)}); stop all but one")
    note = found.get(_PREFERRED) or next(iter(found.values()))
    try:
        return _Note.model_validate_json(note.read_bytes())
    except ValidationError as problem:
        raise ConfigurationError(f"{note}: {describe(problem)}") from None


def _point_at(environ: MutableMapping[str, str], aws: Mapping[str, str]) -> None:
    """Let every AWS client of this process talk to one AWS, with nothing left that names another."""
    for name in [name for name in environ if name.startswith("AWS_")]:
        del environ[name]
    environ.update(aws)


def _environment(stack: str) -> Mapping[str, str]:
    with classified_errors(f"stack {stack}"):
        cloudformation: CloudFormationClient = boto3.client("cloudformation", config=patience())
        found = cloudformation.describe_stack_resource(StackName=stack, LogicalResourceId=FUNCTION)
        functions: LambdaClient = boto3.client("lambda", config=patience())
        name = found["StackResourceDetail"].get("PhysicalResourceId", "")
        configured = functions.get_function_configuration(FunctionName=name, Qualifier=ALIAS)
    return configured.get("Environment", {}).get("Variables", {})
