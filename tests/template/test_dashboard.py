"""What is shown and watched is counted by somebody: every metric of the dashboard and of the alarms is one that there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from orderphase import errors
from orderphase.errors import OrderphaseError
from orderphase.ingress.routes import Outcome
from orderphase.store import sync_log
from orderphase.telemetry import DEPLOYMENT
from sandbox.build import CLOCKED, FLOWS, FUNCTIONS, QUEUES, ROOT
from tests.alarms import ALARMS, ALWAYS
from tests.template.cloudformation import load, targets

TEMPLATE = load()
PACKAGE = ROOT / "layers" / "consolidation" / "orderphase"
NAMESPACE = "Orderphase/${AWS::StackName}"
WAYS_IN = ("salesforce_webhook", "stripe_webhook", "event_bus")
# AWS's own that are used, with the dimensions under which AWS reports them.
OF_AWS = {
    "AWS/SQS": ({"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"}, [{"QueueName"}]),
    # AWS Lambda, metrics: of an alias that leads calls to two versions, each version's own.
    "AWS/Lambda": ({"Duration", "Errors"}, [{"FunctionName"}, {"FunctionName", "Resource", "ExecutedVersion"}]),
    "AWS/ApiGateway": ({"Latency", "Count", "4XXError", "5XXError"}, [{"ApiName", "Stage"}]),
}
PERIODS = (60, 300, 3600)

type Seen = tuple[str, str, dict[str, str]]
"""Namespace, name and dimensions of a metric."""


def service(function: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", function.removesuffix("Function")).lower()


def kinds() -> set[str]:
    """The kinds of error that interrupt a run."""
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, OrderphaseError)]
    return {one.kind for one in classes if one is not OrderphaseError} | {"bug"}


def counted() -> set[tuple[str, str]]:
    """Each name that the code counts, with the service that counts it."""
    ways_in = {(way, str(outcome)) for way in WAYS_IN for outcome in Outcome}
    outcomes = [outcome.capitalize() for outcome in get_args(sync_log.Outcome) if outcome != "interrupted"]
    flows = {(service(flow), outcome) for flow in FLOWS for outcome in outcomes}
    interrupted = {(service(function), f"Interrupted_{kind}") for function in (*FLOWS, *CLOCKED) for kind in kinds()}
    clocked = {
        (service(function), name.capitalize())
        for function in CLOCKED
        for name in re.findall(r'"(\w+)": ', (ROOT / "functions" / service(function) / "app.py").read_text())
    }
    recovery = re.findall(r'"(\w+)": ', (PACKAGE / "flows" / "recovery.py").read_text())
    clocked |= {("recovery", name.capitalize()) for name in recovery}
    source = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    together = {(DEPLOYMENT, name) for name in re.findall(r'(?:watch\(|_latest\[)"(\w+)"', source)}
    return ways_in | flows | interrupted | clocked | together


COUNTED = counted()


def body() -> dict[str, Any]:
    said = TEMPLATE["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    found: dict[str, Any] = json.loads(
        said.replace("${ApiBudgetPercent}", str(TEMPLATE["Parameters"]["ApiBudgetPercent"]["Default"]))
    )
    return found


WIDGETS = [widget for widget in body()["widgets"] if widget["type"] == "metric"]


def shown() -> Iterator[Seen]:
    """The metrics that the dashboard names one by one."""
    for widget in WIDGETS:
        for metric in widget["properties"]["metrics"]:
            parts = [part for part in metric if isinstance(part, str)]
            if parts:
                space, name, *pairs = parts
                yield space, name, dict(zip(pairs[::2], pairs[1::2], strict=True))


def searched() -> Iterator[tuple[str, str]]:
    """What the dashboard looks for: schema, and name of the metric."""
    for widget in WIDGETS:
        for metric in widget["properties"]["metrics"]:
            for part in metric:
                if isinstance(part, dict) and "expression" in part:
                    found = re.fullmatch(
                        r"(?:SUM\()?SEARCH\('\{(.+)\} MetricName=\"(\w+)\"', 'Sum', 300\)\)?", part["expression"]
                    )
                    assert found, part["expression"]
                    yield found[1], found[2]


def watched() -> Iterator[Seen]:
    """The metrics of the alarms."""
    for alarm in ALARMS.values():
        space = alarm["Namespace"]["Fn::Sub"] if isinstance(alarm["Namespace"], dict) else alarm["Namespace"]
        yield space, alarm["MetricName"], {one["Name"]: one["Value"] for one in alarm["Dimensions"]}


@pytest.mark.parametrize("seen", [*shown(), *watched()], ids=lambda seen: f"{seen[1]} {seen[2]}"[:70])
def test_there_is_such_a_metric(seen: Seen) -> None:
    space, name, dimensions = seen
    if space == NAMESPACE:
        assert set(dimensions) == {"service"}
        assert (dimensions["service"], name) in COUNTED
        return
    names, known = OF_AWS[space]
    assert name in names
    assert set(dimensions) in known


def test_what_is_looked_for_is_counted() -> None:
    found = [*searched()]
    assert {schema for schema, _ in found} == {f'"{NAMESPACE}",service'}
    names = [name for _, name in found]
    assert set(names) <= {name for _, name in COUNTED}
    # Every outcome of a run, and every kind of interruption.
    assert {"Synced", "Unchanged", "Failed", "Skipped"} | {f"Interrupted_{kind}" for kind in kinds()} == set(names)


def test_another_name_would_be_noticed() -> None:
    assert ("recovery", "Opened") not in COUNTED
    assert (DEPLOYMENT, "Failed") not in COUNTED
    assert {("recovery", "Open"), ("poll", "Queued"), (DEPLOYMENT, "Drift"), (DEPLOYMENT, "SalesforceApiUsed")} <= COUNTED


def test_every_queue_and_every_function_is_shown() -> None:
    queues = [dimensions["QueueName"] for space, _, dimensions in shown() if space == "AWS/SQS"]
    assert sorted(queues) == sorted(
        [f"${{{name}Queue.QueueName}}" for name in QUEUES] * 2 + [f"${{{name}DeadLetterQueue.QueueName}}" for name in QUEUES]
    )
    durations = {
        dimensions["FunctionName"] for space, name, dimensions in shown() if (space, name) == ("AWS/Lambda", "Duration")
    }
    assert durations == {f"${{{name}}}" for name in FUNCTIONS}


def test_every_alarm_is_on_it() -> None:
    (status,) = [widget for widget in body()["widgets"] if widget["type"] == "alarm"]
    # Those of gradual deployment are CodeDeploy's, and not there without it.
    assert sorted(status["properties"]["alarms"]) == sorted(f"${{{name}.Arn}}" for name in ALWAYS)


def test_what_alarms_look_at_is_shown() -> None:
    own = {(name, str(dimensions)) for space, name, dimensions in watched() if space == NAMESPACE}
    assert own <= {(name, str(dimensions)) for space, name, dimensions in shown() if space == NAMESPACE}


def test_widgets_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in body()["widgets"]:
        cells = {(widget["x"] + x, widget["y"] + y) for x in range(widget["width"]) for y in range(widget["height"])}
        # CloudWatch: a dashboard is 24 columns wide.
        assert max(x for x, _ in cells) < 24
        assert not taken & cells
        taken |= cells
    for widget in WIDGETS:
        assert widget["properties"]["region"] == "${AWS::Region}"
        assert widget["properties"]["title"]


def test_an_alarm_looks_no_further_than_a_day() -> None:
    """CloudWatch: periods of less than an hour may make up a day at most."""
    for alarm in ALARMS.values():
        assert alarm["Period"] in PERIODS
        assert alarm["Period"] * alarm["EvaluationPeriods"] <= 24 * 3600


def test_the_dashboard_is_called_as_the_stack_and_an_output_says_so() -> None:
    assert TEMPLATE["Resources"]["Dashboard"]["Properties"]["DashboardName"] == {"Ref": "AWS::StackName"}
    assert targets(TEMPLATE["Outputs"]["DashboardName"]["Value"]) == ["Dashboard"]


def test_alarms_about_records_go_to_whoever_corrects_them() -> None:
    """Else to everybody."""
    everybody = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
    for name in ("FailedRecordsAlarm", "DriftAlarm"):
        for actions in ("AlarmActions", "OKActions"):
            assert ALARMS[name][actions] == {"Fn::If": ["HasOrderAlarmTopic", [{"Ref": "OrderAlarmTopicArn"}], everybody]}
