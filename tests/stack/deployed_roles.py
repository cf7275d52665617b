"""The roles of the deployed functions: who may do what by the template, by the local AWS, and what was done with it."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import requests
from botocore.config import Config

from sandbox.aws import REGION
from sandbox.stack import STACK_NAME, LocalStack
from tests.template.cloudformation import granted, load, of_type

TEMPLATE = load()
ROLES = {name: function["Role"]["Fn::GetAtt"][0] for name, function in of_type(TEMPLATE, "AWS::Serverless::Function").items()}

_PAGE, _SECOND = 50, timedelta(seconds=1)

type Grant = tuple[str, str]
"""An action, and what it may be done to: a logical id of the template, or one with an index behind a slash."""


def grants(function: str) -> set[Grant]:
    """What the template lets a function do."""
    found = set()
    for action, resources in granted(TEMPLATE, ROLES[function]).items():
        for resource in resources:
            match resource:
                case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), _]}:
                    found.add((action, name))
                case {"Fn::Sub": str(text)} if ":event-source-mapping:" in text:
                    found.add((action, text.rpartition("${")[2].removesuffix("}")))
                case {"Fn::Sub": str(text)}:
                    found.add((action, text.replace("${", "").replace(".Arn}", "")))
                case _:
                    found.add((action, str(resource)))
    return found


MORE_STRIPE_SECRETS = next(name for _, name in grants("StripeWebhookFunction") if name.endswith("/stripe/*"))


class Deployed:
    """The resources of a deployed stack. `second`: the name of its second Stripe account."""

    def __init__(self, stack: LocalStack, second: str) -> None:
        self._stack = stack
        answer = stack.aws("cloudformation").describe_stack_resources(StackName=STACK_NAME)["StackResources"]
        self.ids: dict[str, str] = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in answer}
        self.ids |= {name: stack.outputs[f"{name}Arn"] for name in of_type(TEMPLATE, "AWS::SecretsManager::Secret")}
        self.ids[MORE_STRIPE_SECRETS] = f"{STACK_NAME}/stripe/{second}"
        self._names = {physical: logical for logical, physical in self.ids.items()}
        self._sessions: dict[str, str] = {}

    def record(self) -> None:
        """Have the local AWS keep what is called from now on, as CloudTrail does."""
        aws, switch = self._stack.local_aws, {"cloudtrail._recording_enabled": "true"}
        bundle = str(aws.certificate.bundle)
        requests.post(f"{aws.url}/_ministack/config", json=switch, verify=bundle, timeout=30).raise_for_status()

    def invoke(self, function: str) -> Any:
        """Invoke a function as its schedule does; answers what it answers."""
        answer = self._stack.aws("lambda").invoke(FunctionName=f"{self.ids[function]}:live", Payload=b"{}")
        result = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, result
        return result

    @contextmanager
    def acting_as(self, function: str) -> Iterator[Callable[[str], Any]]:
        """Makes boto3 clients that have the function's role. What they ask is not checked before it is sent."""
        sts = self._stack.aws("sts")
        arn = f"arn:aws:iam::{sts.get_caller_identity()['Account']}:role/{self.ids[ROLES[function]]}"
        assumed = sts.assume_role(RoleArn=arn, RoleSessionName=function)["Credentials"]
        self._sessions[assumed["AccessKeyId"]] = function
        session: Any = boto3.Session(
            assumed["AccessKeyId"], assumed["SecretAccessKey"], assumed["SessionToken"], region_name=REGION
        )
        aws = self._stack.local_aws
        settings: dict[str, Any] = {"endpoint_url": aws.url, "verify": str(aws.certificate.bundle)}
        settings["config"] = Config(parameter_validation=False, proxies={}, retries={"max_attempts": 0})
        # The local AWS waits for open connections when it ends.
        with ExitStack() as closing:
            yield lambda service: closing.enter_context(contextlib.closing(session.client(service, **settings)))

    def used(self, function: str) -> set[Grant]:
        """What a function has called since `record`, with which it was let through.

        Kept is the access key of each call; that of a function's role follows from the function and the role. A call that was
        refused is not kept. Of those that change event source mappings, which one it was is not kept either.
        """
        keys = [*self._keys_of(function), *(key for key, acting in self._sessions.items() if acting == function)]
        names = {action.partition(":")[2] for action, _ in grants(function)} | {"GET.lambda"}
        calls = (call for key in keys for name in names for call in self._calls(key, name))
        return {grant for call in calls for grant in self._grants_of(call)}

    def _keys_of(self, function: str) -> list[str]:
        """Of a function that is called by its alias, and by the version that this stands for."""
        described = self._stack.aws("lambda").get_function_configuration(FunctionName=self.ids[function], Qualifier="live")
        arn = described["FunctionArn"].removesuffix(f":{described['Version']}")
        told = [f"{arn}:{qualifier}:{described['Role']}" for qualifier in ("live", described["Version"])]
        return [f"ASIA{hashlib.sha256(one.encode()).hexdigest()[:16].upper()}" for one in told]

    def _calls(self, key: str, name: str) -> list[dict[str, Any]]:
        """Those of an access key and a name of an action. The local AWS answers fifty, the latest first, to the second."""
        asked = [{"AttributeKey": "AccessKeyId", "AttributeValue": key}, {"AttributeKey": "EventName", "AttributeValue": name}]
        trail, found, until = self._stack.aws("cloudtrail"), list[dict[str, Any]](), datetime.now(UTC) + _SECOND
        while True:
            events = trail.lookup_events(LookupAttributes=asked, EndTime=until)["Events"]
            found += [json.loads(event["CloudTrailEvent"]) for event in events]
            if len(events) < _PAGE:
                return found
            until = min(events[-1]["EventTime"] + _SECOND, until - _SECOND)

    def _grants_of(self, call: dict[str, Any]) -> set[Grant]:
        service, given = call["eventSource"].partition(".")[0], call["requestParameters"]
        if service == "lambda":
            return {("lambda:ListEventSourceMappings", "*")}
        named = [given[key] for key in ("TableName", "QueueUrl", "SecretId") if key in given] or list(given["RequestItems"])
        index = f"/index/{given['IndexName']}" if "IndexName" in given else ""
        return {(f"{service}:{call['eventName']}", f"{self._names[one]}{index}") for one in named}
