"""What CloudWatch makes of the lines that functions write: metrics (Embedded Metric Format), and the state of an alarm.

An alarm is judged by what it says in the template: namespace, metric, dimensions, statistic, period and threshold.
"""

from __future__ import annotations

import json
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tests.template.cloudformation import load, of_type

TEMPLATE = load()
ALARMS = of_type(TEMPLATE, "AWS::CloudWatch::Alarm")
ALWAYS = [name for name in ALARMS if "Condition" not in TEMPLATE["Resources"][name]]
"""The names of those that there are without gradual deployment, too."""

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
}
_STATISTICS: dict[str, Callable[[list[float]], float]] = {"Sum": sum, "Maximum": max}

type Metric = tuple[str, str, tuple[tuple[str, str], ...]]
"""Namespace, name, and dimensions with their values."""


def namespace(stack: str) -> str:
    """What the metrics of a stack are under."""
    said = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"]["Fn::Sub"]
    return str(said.replace("${AWS::StackName}", stack))


def written(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The lines that CloudWatch takes for metrics."""
    for line in lines:
        if '"_aws"' in line:
            yield json.loads(line)


def points(blobs: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Metric, int, float]]:
    """Each value with its metric and its time in seconds."""
    for blob in blobs:
        for described in blob["_aws"]["CloudWatchMetrics"]:
            for metric in described["Metrics"]:
                for names in described["Dimensions"]:
                    dimensions = tuple(sorted((name, str(blob[name])) for name in names))
                    values = blob[metric["Name"]]
                    for value in values if isinstance(values, list) else [values]:
                        key = (described["Namespace"], metric["Name"], dimensions)
                        yield key, blob["_aws"]["Timestamp"] // 1000, value


def watched(name: str, stack: str) -> Metric:
    """The metric of an alarm on what the functions count."""
    alarm = ALARMS[name]
    dimensions = tuple(sorted((one["Name"], one["Value"]) for one in alarm["Dimensions"]))
    return alarm["Namespace"]["Fn::Sub"].replace("${AWS::StackName}", stack), alarm["MetricName"], dimensions


def fires(name: str, blobs: Iterable[Mapping[str, Any]], stack: str) -> bool:
    """Whether the alarm goes off: in so many periods in a row as it says, what was counted is beyond its threshold."""
    alarm = ALARMS[name]
    threshold = alarm["Threshold"]
    if isinstance(threshold, dict):
        threshold = TEMPLATE["Parameters"][threshold["Ref"]]["Default"]
    periods: dict[int, list[float]] = defaultdict(list)
    metric = watched(name, stack)
    for key, at, value in points(blobs):
        if key == metric:
            periods[at // alarm["Period"]].append(value)
    beyond = {
        period
        for period, values in periods.items()
        if _COMPARISONS[alarm["ComparisonOperator"]](_STATISTICS[alarm["Statistic"]](values), float(threshold))
    }
    # What is missing is not beyond.
    assert alarm["TreatMissingData"] == "notBreaching"
    return any(beyond.issuperset(range(last - alarm["EvaluationPeriods"] + 1, last + 1)) for last in beyond)


def later(blobs: Iterable[Mapping[str, Any]], seconds: int) -> list[dict[str, Any]]:
    """The same, so much later."""
    moved: list[dict[str, Any]] = json.loads(json.dumps([*blobs]))
    for blob in moved:
        blob["_aws"]["Timestamp"] += 1000 * seconds
    return moved
