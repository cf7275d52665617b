"""Where the preview looks: in which order, and what it says where it finds nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3
import pytest

from orderphase.cli.connection import ALIAS, FUNCTION, Connection, connect
from orderphase.errors import ConfigurationError, TransientError
from sandbox.serving import Emulator, Request, Response, Server
from tests.functions.deployed import ENVIRONMENT
from tests.template.cloudformation import load

WHOLE = ENVIRONMENT | {
    "ORDERPHASE_STRIPE_ACCOUNT": "default",
    "ORDERPHASE_MORE_STRIPE_ACCOUNTS": "",
    "ORDERPHASE_STRIPE_SECRET_PREFIX": "orderphase/stripe/",
}
"""All that a flow's function has, also what would have a default."""

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "-", "AWS_SECRET_ACCESS_KEY": "-", "AWS_DEFAULT_REGION": "eu-west-1"}


class Aws(Emulator):
    """CloudFormation and Lambda, as far as they are asked; `stacks` has the environment of each stack's function."""

    def __init__(self, **stacks: Mapping[str, str]) -> None:
        super().__init__()
        self.stacks = stacks

    def handle(self, request: Request) -> Response:
        if request.method == "GET":
            name, _, rest = request.path.removeprefix("/2015-03-31/functions/").partition("-")
            assert (rest, request.query) == (f"{FUNCTION}/configuration", {"Qualifier": [ALIAS]})
            return Response(body={"Environment": {"Variables": self.stacks[name]}})
        asked = {name: value for name, (value,) in parse_qs(request.body.decode()).items()}
        assert (asked["Action"], asked["LogicalResourceId"]) == ("DescribeStackResource", FUNCTION)
        if asked["StackName"] not in self.stacks:
            return Response(400, b"<ErrorResponse><Error><Code>ValidationError</Code></Error></ErrorResponse>")
        name = f"<PhysicalResourceId>{asked['StackName']}-{FUNCTION}</PhysicalResourceId>"
        detail = f"<StackResourceDetail>{name}</StackResourceDetail>"
        result = f"<DescribeStackResourceResult>{detail}</DescribeStackResourceResult>"
        return Response(body=f"<DescribeStackResourceResponse>{result}</DescribeStackResourceResponse>".encode())

    def reset(self) -> None:
        self.stacks = {}

    def errors(self) -> Mapping[str, Response]:
        return {}


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The environment of this process, put back afterwards; it says nothing yet."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    before = dict(os.environ)
    for name in before:
        if name.startswith(("AWS_", "ORDERPHASE_")):
            del os.environ[name]
    os.environ.update({"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull})
    yield os.environ
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def aws(environ: Any) -> Iterator[Aws]:
    """AWS, which the environment points at."""
    emulator = Aws(billing={"ORDERPHASE_CURRENCY": "EUR"}, other={"ORDERPHASE_CURRENCY": "JPY"})
    with Server(emulator) as server:
        environ.update(CREDENTIALS | {"AWS_ENDPOINT_URL": server.url})
        yield emulator


def note(folder: Path, name: str, content: Any) -> None:
    file = folder / ".stack" / name / "stack.json"
    file.parent.mkdir(parents=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def test_the_function_is_the_templates() -> None:
    properties = load()["Resources"][FUNCTION]["Properties"]
    assert load()["Globals"]["Function"]["AutoPublishAlias"] == ALIAS
    assert set(WHOLE) <= set(properties["Environment"]["Variables"])


def test_a_stack_that_is_asked_for_comes_before_everything(environ: Any, aws: Aws, tmp_path: Path) -> None:
    environ.update(WHOLE | {"ORDERPHASE_STACK": "other"})
    assert connect(environ, tmp_path, stack="billing") == Connection(
        {"ORDERPHASE_CURRENCY": "EUR"}, "the stack billing", "billing"
    )


def test_the_environment_itself_where_all_of_it_is_there(environ: Any, tmp_path: Path) -> None:
    environ.update(WHOLE | {"ORDERPHASE_STACK": "other"})
    found = connect(environ, tmp_path)
    assert (found.environment, found.source, found.stack) == (environ, "the environment", None)


@pytest.mark.parametrize("missing", [*WHOLE][::7])
def test_a_part_of_the_environment_is_not_used(environ: Any, aws: Aws, tmp_path: Path, missing: str) -> None:
    environ.update({name: value for name, value in WHOLE.items() if name != missing} | {"ORDERPHASE_STACK": "other"})
    assert connect(environ, tmp_path) == Connection({"ORDERPHASE_CURRENCY": "JPY"}, "the stack other", "other")


def test_the_local_stack_of_the_folder(environ: Any, aws: Aws, tmp_path: Path) -> None:
    found = CREDENTIALS | {"AWS_ENDPOINT_URL": environ["AWS_ENDPOINT_URL"], "NO_PROXY": "127.0.0.1"}
    note(tmp_path, "local", {"stack": "billing", "url": "http://127.0.0.1:8787", "outputs": {}, "aws": found})
    environ.update({"AWS_PROFILE": "production", "AWS_SESSION_TOKEN": "token", "AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:1"})
    assert connect(environ, tmp_path) == Connection({"ORDERPHASE_CURRENCY": "EUR"}, "the local stack billing")
    assert {name: value for name, value in environ.items() if name.startswith("AWS_") or name in found} == found


def test_of_several_local_stacks_the_one_that_people_start(environ: Any, aws: Aws, tmp_path: Path) -> None:
    found = {name: environ[name] for name in environ if name.startswith("AWS_")}
    note(tmp_path, "test-gw0", {"stack": "other", "aws": found})
    assert connect(environ, tmp_path).source == "the local stack other"
    note(tmp_path, "test-gw1", {"stack": "other", "aws": found})
    with pytest.raises(ConfigurationError, match=r"\(test-gw0, test-gw1\); stop all but one"):
        connect(environ, tmp_path)
    note(tmp_path, "local", {"stack": "billing", "aws": found})
    assert connect(environ, tmp_path).source == "the local stack billing"


def test_nothing_says_where_to_look(environ: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as failure:
        connect(environ, tmp_path)
    for way in ("--stack", "ORDERPHASE_STACK", "ORDERPHASE_ variables", "make local"):
        assert way in failure.value.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "Invalid JSON"),
        ({"url": "http://127.0.0.1:8787", "aws": {}}, "stack: is missing"),
        ({"stack": "billing", "aws": {"AWS_REGION": 1}}, "aws.AWS_REGION: "),
    ],
)
def test_a_note_that_cannot_be_read(environ: Any, tmp_path: Path, content: Any, said: str) -> None:
    note(tmp_path, "local", content)
    with pytest.raises(ConfigurationError, match=r"stack\.json: ") as failure:
        connect(environ, tmp_path)
    assert said in failure.value.message


def test_a_stack_that_does_not_exist(environ: Any, aws: Aws, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^stack nowhere: AWS refused \(ValidationError\)"):
        connect(environ, tmp_path, stack="nowhere")


def test_an_aws_that_cannot_be_used(environ: Any, tmp_path: Path) -> None:
    environ.update({name: value for name, value in CREDENTIALS.items() if name != "AWS_DEFAULT_REGION"})
    with pytest.raises(ConfigurationError, match=r"^stack billing: no AWS region: set AWS_DEFAULT_REGION$"):
        connect(environ, tmp_path, stack="billing")
    environ.update(CREDENTIALS | {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    with pytest.raises(TransientError, match=r"^stack billing: no connection"):
        connect(environ, tmp_path, stack="billing")


def test_it_asks_once(environ: Any, aws: Aws, tmp_path: Path) -> None:
    connect(environ, tmp_path, stack="billing")
    assert [request.method for request in aws.log] == ["POST", "GET"]
