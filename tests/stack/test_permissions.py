"""Each function may do what it does, and nothing else: asked of the deployed roles, and seen in what the functions call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from sandbox.build import FUNCTIONS, QUEUES
from sandbox.stack import LocalStack
from tests.stack.conftest import SECOND
from tests.stack.deployed_roles import MORE_STRIPE_SECRETS, TEMPLATE, Deployed, Grant, grants
from tests.stack.full_run import FullRun
from tests.template.cloudformation import of_type, translate

functions = pytest.mark.parametrize("function", FUNCTIONS)

FOREIGN = "somebody-elses"
LOG_GROUPS = {
    name: function["LoggingConfig"]["LogGroup"]["Ref"]
    for name, function in of_type(TEMPLATE, "AWS::Serverless::Function").items()
}


@pytest.fixture(scope="module")
def deployed(second_stack: LocalStack) -> Iterator[Deployed]:
    """The second stack's resources, and a secret that is none of them."""
    found = Deployed(second_stack, SECOND)
    second_stack.aws("secretsmanager").create_secret(Name=FOREIGN, SecretString="{}")
    found.ids[FOREIGN] = FOREIGN
    yield found
    second_stack.aws("secretsmanager").delete_secret(SecretId=FOREIGN, ForceDeleteWithoutRecovery=True)


def attempts(client: Callable[[str], Any], ids: dict[str, str]) -> Iterator[tuple[Grant, Callable[[], Any]]]:
    """What anybody might want to do with what there is. Nothing is changed by what is let through: it does not say to what.

    Left out is what the local AWS does not ask a permission for: to change an event source mapping.
    """
    tables, queues, secrets, logs, functions = map(client, ("dynamodb", "sqs", "secretsmanager", "logs", "lambda"))
    for name in of_type(TEMPLATE, "AWS::DynamoDB::Table"):
        for verb in ("get_item", "put_item", "update_item", "delete_item", "query", "scan"):
            yield (f"dynamodb:{action(verb)}", name), partial(getattr(tables, verb), TableName=ids[name])
        keys = {"Keys": [{"no": {"S": "key"}}]}
        yield ("dynamodb:BatchGetItem", name), partial(tables.batch_get_item, RequestItems={ids[name]: keys})
    for name in ("ContractTable/index/by_extension", "SyncLogTable/index/by_order"):
        table, _, index = name.partition("/index/")
        yield ("dynamodb:Query", name), partial(tables.query, TableName=ids[table], IndexName=index)
    for name in (f"{queue}{kind}" for queue in QUEUES for kind in ("Queue", "DeadLetterQueue")):
        unusable: dict[str, dict[str, Any]] = {
            "send_message": {},
            "receive_message": {"MaxNumberOfMessages": 11},
            "delete_message": {"ReceiptHandle": "none"},
            "change_message_visibility": {"ReceiptHandle": "none", "VisibilityTimeout": 0},
            "get_queue_attributes": {},
        }
        for verb, given in unusable.items():
            yield (f"sqs:{action(verb)}", name), partial(getattr(queues, verb), QueueUrl=ids[name], **given)
    for name in (*of_type(TEMPLATE, "AWS::SecretsManager::Secret"), MORE_STRIPE_SECRETS, FOREIGN):
        yield ("secretsmanager:GetSecretValue", name), partial(secrets.get_secret_value, SecretId=ids[name])
    for name in of_type(TEMPLATE, "AWS::Logs::LogGroup"):
        yield ("logs:GetLogEvents", name), partial(logs.get_log_events, logGroupName=ids[name], logStreamName="none")
    for name in FUNCTIONS:
        yield ("lambda:InvokeFunction", name), partial(functions.invoke, FunctionName=ids[name], InvocationType="DryRun")
    yield ("lambda:ListEventSourceMappings", "*"), functions.list_event_source_mappings
    yield ("iam:ListRoles", "*"), client("iam").list_roles
    yield ("s3:ListAllMyBuckets", "*"), client("s3").list_buckets


def action(verb: str) -> str:
    """`get_item` as IAM writes it."""
    return "".join(word.capitalize() for word in verb.split("_"))


def is_let_through(attempt: Callable[[], Any]) -> bool:
    try:
        attempt()
    except ClientError as problem:
        return not problem.response["Error"]["Code"].startswith("AccessDenied")
    return True


@functions
def test_a_role_lets_through_what_the_template_grants_and_nothing_else(function: str, deployed: Deployed) -> None:
    with deployed.acting_as(function) as client:
        tried = dict(attempts(client, deployed.ids))
        allowed = {grant for grant, attempt in tried.items() if is_let_through(attempt)}
    # Of the others the local AWS asks for the group where CloudWatch asks for the stream, or for nothing.
    asked = {one for one in grants(function) if not one[0].startswith(("logs:", "lambda:UpdateEventSourceMapping"))}
    assert asked <= set(tried)
    assert allowed == asked


def test_a_foreign_secret_is_anybodys_whose_permissions_do_not_end(deployed: Deployed, second_stack: LocalStack) -> None:
    """Were it nobody's, that no role may read it would say nothing."""
    assert second_stack.aws("secretsmanager").get_secret_value(SecretId=deployed.ids[FOREIGN])["SecretString"] == "{}"


# What a function's role has for Lambda, which writes the lines and takes the messages: the local AWS does both without asking.
FOR_LAMBDA: dict[str, set[Grant]] = {
    function: {("logs:CreateLogStream", group), ("logs:PutLogEvents", group)} for function, group in LOG_GROUPS.items()
}
for queue in QUEUES:
    FOR_LAMBDA[f"{queue}Function"] |= {
        (f"sqs:{verb}", f"{queue}Queue") for verb in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
    }


@functions
def test_each_permission_is_used(function: str, full_run: FullRun) -> None:
    """By a run of everything; but for those that Lambda needs. So there is none that could be taken away."""
    used = full_run.deployed.used(function)
    if function == "RecoveryFunction":
        used |= {("lambda:UpdateEventSourceMapping", name) for name in full_run.switched}
    assert used <= grants(function)
    assert grants(function) - used == FOR_LAMBDA[function]


@pytest.fixture
def policy(second_stack: LocalStack) -> Iterator[Callable[[str], None]]:
    """Sets the API's policy to what the template says for these sources.

    The local AWS takes no policy out of the API's definition, where SAM puts it; so it is handed over.
    """
    api = second_stack.outputs["ApiId"]

    def put(text: str) -> None:
        operation = {"op": "replace", "path": "/policy", "value": text}
        second_stack.aws("apigateway").update_rest_api(restApiId=api, patchOperations=[operation])

    def set_for(sources: str) -> None:
        (made,) = of_type(translate(TEMPLATE, AllowedSources=sources), "AWS::ApiGateway::RestApi").values()
        everybody, others = made["Body"]["x-amazon-apigateway-policy"]["Statement"]
        deny = others["Fn::If"][1]
        separator, listed = deny["Condition"]["NotIpAddress"]["aws:SourceIp"]["Fn::Split"]
        deny["Condition"]["NotIpAddress"]["aws:SourceIp"] = listed.split(separator)
        put(json.dumps({"Version": "2012-10-17", "Statement": [everybody, deny]}))

    yield set_for
    put("")


@pytest.mark.parametrize("route", ["/salesforce/events", "/salesforce/outbound-messages/x", "/stripe/default/events"])
def test_only_allowed_sources_get_to_a_function(route: str, second_stack: LocalStack, policy: Callable[[str], None]) -> None:
    def answer() -> int:
        return requests.post(f"{second_stack.url}{route}", b"{}", timeout=60).status_code

    usual = answer()
    assert usual in (400, 401)
    policy("192.0.2.0/24,198.51.100.7/32")
    assert answer() == 403
    policy("192.0.2.0/24,127.0.0.0/8")
    assert answer() == usual
