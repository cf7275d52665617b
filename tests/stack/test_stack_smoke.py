"""The deployed stack: what only the real template, on a real deployment, can show."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from uuid import uuid4

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from sandbox.stack import LocalStack

LIMIT = 256 * 1024


def signed(stack: LocalStack, body: bytes) -> dict[str, str]:
    moment = str(int(time.time()))
    digest = hmac.new(stack.webhook_secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Orderphase-Signature": f"t={moment},v1={digest}", "Content-Type": "application/json"}


def event(**fields: object) -> bytes:
    return json.dumps({"id": "evt-smoke", "type": "order.activated", "org_id": "00D000000000001EAA", **fields}).encode()


def send(stack: LocalStack, body: bytes, headers: dict[str, str] | None = None) -> requests.Response:
    return requests.post(f"{stack.url}/salesforce/events", data=body, headers=headers or signed(stack, body), timeout=30)


def test_a_signed_event_is_accepted(stack: LocalStack) -> None:
    # A type that no flow takes: answered like any other, and nothing follows from it.
    body = event(
        id="evt-smoke-1", type="smoke.tested", record_id="801000000000001AAA", occurred_at="2026-11-20T10:00:00Z", data={}
    )
    answer = send(stack, body)
    assert (answer.status_code, answer.json()) == (202, {"accepted": True, "id": "evt-smoke-1"})


def test_the_body_arrives_as_it_was_signed(stack: LocalStack) -> None:
    body = event(id="evt-smoke-2", type="smoke.tested", record_id="801000000000001AAA", occurred_at="2026-11-20T10:00:00Z")
    spaced = body.replace(b", ", b" ,\n\t").replace(b'"evt-smoke-2"', '"evt-smöke-2"'.encode())
    assert send(stack, spaced).status_code == 202


def test_another_signature_is_refused(stack: LocalStack) -> None:
    body = event()
    assert send(stack, body, {"X-Orderphase-Signature": "t=1,v1=00"}).status_code == 401


def test_a_large_body_reaches_the_functions_own_limit(stack: LocalStack) -> None:
    body = b" " * (LIMIT + 1)
    assert send(stack, body).status_code == 413


def test_other_paths_and_methods_are_the_apis_to_refuse(stack: LocalStack) -> None:
    refused = ("GET", "/salesforce/events"), ("GET", "/stripe/default/events"), ("POST", "/stripe/events"), ("POST", "/nowhere")
    for method, path in refused:
        answer = requests.request(method, f"{stack.url}{path}", timeout=30)
        assert (answer.status_code, answer.json()) == (403, {"message": "Missing Authentication Token"})


def test_a_body_without_a_length_is_refused(stack: LocalStack) -> None:
    answer = requests.post(f"{stack.url}/salesforce/events", data=iter([b"{}"]), timeout=30)
    assert answer.status_code == 411


def test_the_functions_leave_logs(stack: LocalStack) -> None:
    assert send(stack, event(), {"X-Orderphase-Signature": "t=1,v1=00"}).status_code == 401
    lines = stack.function_logs("salesforce_webhook")
    assert any(line.startswith("REPORT RequestId") for line in lines)


def test_a_caller_without_a_permission_is_refused(stack: LocalStack) -> None:
    """Were it not, nothing that works here would prove that the template grants it."""
    user = f"smoke-{uuid4().hex[:8]}"
    iam = stack.aws("iam")
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    session = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name="us-east-1")
    aws = stack.local_aws
    stranger = session.client("dynamodb", endpoint_url=aws.url, verify=str(aws.certificate.bundle))
    with pytest.raises(ClientError, match="AccessDenied"):
        stranger.scan(TableName=stack.outputs["ContractTableName"])


def test_the_secrets_hold_what_the_vendors_take(stack: LocalStack) -> None:
    reader = stack.aws("secretsmanager")
    for name, values in stack.secrets.items():
        held = json.loads(reader.get_secret_value(SecretId=stack.outputs[f"{name}Arn"])["SecretString"])
        assert held == values
    assert stack.secrets["StripeSecret"]["STRIPE_API_BASE"].startswith("http://127.0.0.1:")


def test_nothing_is_left_in_the_queues(stack: LocalStack) -> None:
    stack.settle()
    assert stack.waiting() == 0
