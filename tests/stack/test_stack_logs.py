"""What the deployed functions log: enough to follow an event, and nothing that is nobody's business."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from orderphase.telemetry import DEPLOYMENT
from sandbox.build import FUNCTIONS
from sandbox.stack import STACK_NAME, LocalStack
from tests.alarms import namespace, points, written
from tests.stack.full_run import FullRun
from tests.template.test_dashboard import counted

# Whose they are does not matter: signatures of Stripe's kind and of ours, bearer tokens, keys, Salesforce's access tokens.
SECRET_FORMS = re.compile(r"v1=[0-9a-f]{64}|Bearer \S|\b[sr]k_(test|live)_\w|\bwhsec_\w|\b00D\w{12,15}![\w.]+")


def lines(stack: LocalStack) -> Iterator[tuple[str, str]]:
    """Every line of every log group, after the group's name; that of the API's access log among them."""
    logs = stack.aws("logs")
    for page in logs.get_paginator("describe_log_groups").paginate():
        for group in page["logGroups"]:
            for found in logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
                yield from ((group["logGroupName"], event["message"]) for event in found["events"])


def folder(function: str) -> str:
    """`OrderActivationFunction` as its log group ends."""
    return re.sub(r"(?<!^)([A-Z])", r"-\1", function.removesuffix("Function")).lower()


def test_no_log_line_names_a_person_or_a_secret(full_run: FullRun) -> None:
    logged = list(lines(full_run.stack))

    found = {(group, text) for group, line in logged for text in full_run.hidden if text.lower() in line.lower()}
    assert found == set()
    assert [line for _, line in logged if SECRET_FORMS.search(line)] == []
    # All have run, and said what about.
    spoken = {group for group, line in logged if line.startswith("REPORT RequestId")}
    assert spoken == {f"/aws/lambda/{STACK_NAME}-{folder(function)}" for function in FUNCTIONS}
    for record in (full_run.contract, full_run.order, full_run.product, full_run.price):
        assert any(record in line for _, line in logged)


def test_metrics_say_which_function_and_no_more(full_run: FullRun) -> None:
    """CloudWatch: each value of a dimension is a metric of its own, and paid for. An id would make one of each order."""
    blobs = [*written(line for _, line in lines(full_run.stack))]
    services = {re.sub("-", "_", folder(function)) for function in FUNCTIONS} | {DEPLOYMENT}
    seen = {key for key, _, _ in points(blobs)}
    assert {space for space, _, _ in seen} == {namespace(STACK_NAME)}
    assert {dimensions for _, _, dimensions in seen} == {(("service", service),) for service in services}
    assert {(dimensions[0][1], name) for _, name, dimensions in seen} <= counted()
    # Nor is there anything else in such a line that could be one.
    for blob in blobs:
        names = {metric["Name"] for described in blob["_aws"]["CloudWatchMetrics"] for metric in described["Metrics"]}
        assert blob.keys() == {"_aws", "service", *names}


def test_what_is_looked_for_would_be_found(full_run: FullRun) -> None:
    """The data went through the functions, so it could have been logged."""
    (customer,) = {
        one["name"] for one in full_run.company.stripe.objects(full_run.stripe_account, "customer") if one["name"]
    } & full_run.hidden
    assert customer
    assert len([token for token in full_run.hidden if SECRET_FORMS.search(token)]) > len(FUNCTIONS) // 2
    for form in ("t=1,v1=" + "0f" * 32, "Bearer x", "sk_test_x", "rk_live_x", "whsec_x", "00D000000000001EAA!AQ.x"):
        assert SECRET_FORMS.search(form)


@pytest.mark.usefixtures("company")
def test_no_other_test_has_made_a_function_log_a_secret(stack: LocalStack) -> None:
    """After everything that the tests before it have made the functions do."""
    held = [secret.items() for secret in stack.secrets.values()]
    hidden = [
        value for values in held for name, value in values if value and name.endswith(("SECRET", "PREVIOUS", "KEY", "TOKEN"))
    ]
    for _, line in lines(stack):
        assert not [text for text in hidden if text in line]
        assert not SECRET_FORMS.search(line)
