"""The rules of the house that template.yaml keeps."""

from __future__ import annotations

import json
import re
import tomllib
from itertools import combinations, product
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from functions.salesforce_webhook.app import SWITCHES as SALESFORCE_SWITCHES
from functions.stripe_webhook.app import SWITCHES as STRIPE_SWITCHES
from orderphase import __version__, telemetry
from orderphase.errors import ConfigurationError
from orderphase.flows.circuit import State
from orderphase.flows.recovery import Recovery
from orderphase.ingress.event_bus import NEEDED_SECONDS
from orderphase.ingress.routes import Outcome
from orderphase.salesforce import client as salesforce_client
from orderphase.scheduled import Scheduled
from orderphase.settings import (
    EventBusSettings,
    FlowSettings,
    PollSettings,
    RecoverySettings,
    RollingWindowSettings,
    StripeAccountSettings,
    StripeWebhookSettings,
    SweepSettings,
    WebhookSettings,
    WorkerSettings,
)
from orderphase.store.contracts import LEASE
from orderphase.store.sync_log import DAY_INDEX, ORDER_INDEX
from orderphase.stripe import client as stripe_client
from sandbox.build import CLOCKED, FLOWS, FUNCTIONS, ROOT, WEBHOOKS
from sandbox.build import QUEUES as QUEUED
from tests.invocation import Context
from tests.template.cloudformation import as_list, granted, load, of_type, statements, targets, translate

TEMPLATE = load()
RESOURCES = TEMPLATE["Resources"]
FUNCTION_PROPERTIES = of_type(TEMPLATE, "AWS::Serverless::Function")
QUEUES = of_type(TEMPLATE, "AWS::SQS::Queue")
TABLES = of_type(TEMPLATE, "AWS::DynamoDB::Table")
ALARMS = of_type(TEMPLATE, "AWS::CloudWatch::Alarm")
SETTINGS: dict[str, tuple[type[BaseModel], ...]] = {
    "SalesforceWebhookFunction": (WebhookSettings,),
    "StripeWebhookFunction": (StripeWebhookSettings,),
    "EventBusFunction": (EventBusSettings, WorkerSettings),
    **{f"{flow}Function": (FlowSettings, WorkerSettings) for flow in FLOWS},
    "RollingWindowFunction": (RollingWindowSettings,),
    "PollFunction": (FlowSettings, PollSettings),
    "ReconciliationSweepFunction": (SweepSettings,),
    "RecoveryFunction": (FlowSettings, RecoverySettings),
}

# The flows that each way in queues for, and those that work on contracts, one at a time.
FED = {
    "SalesforceWebhook": list(dict.fromkeys(SALESFORCE_SWITCHES.values())),
    "StripeWebhook": list(dict.fromkeys(STRIPE_SWITCHES.values())),
    # Nobody asks for a cancellation by changing a record.
    "EventBus": [flow for flow in FLOWS if flow != "Cancellation"],
}
OF_CONTRACTS = ("OrderActivation", "OrderItemUpdate", "Cancellation", "Reconciliation")
OF_THE_CATALOGUE = ("ProductUpsert", "PriceUpsert")
MORE_STRIPE_SECRETS = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:${AWS::StackName}/stripe/*"

NAMESPACE = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"]

# Lambda: what has no resource can only be allowed on all.
ON_ALL = {("RecoveryRole", "lambda:ListEventSourceMappings")}
# Values of parameters that are free, where not any text will do.
FREE = {
    "DefaultCurrency": ["USD", "EUR"],
    "StripeEventSource": ["", "aws.partner/stripe.com/ed_1", f"aws.partner/stripe.com/ed_{'x' * 50}"],
    "SalesforceEventSource": ["", "aws.partner/salesforce.com/a/b", f"aws.partner/appflow/salesforce.com/{'x' * 45}"],
    "ReconciliationRate": ["12", "60000"],
}

functions = pytest.mark.parametrize("name", FUNCTION_PROPERTIES)
flows = pytest.mark.parametrize("flow", FLOWS)
queued = pytest.mark.parametrize("name", QUEUED)


def source(name: str) -> dict[str, Any]:
    """What hands a function its messages."""
    (event,) = FUNCTION_PROPERTIES[f"{name}Function"]["Events"].values()
    assert event["Type"] == "SQS"
    return dict(event["Properties"])


def service(name: str) -> str:
    """What a function calls itself in its metrics."""
    return str(FUNCTION_PROPERTIES[name]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"])


def parameters_in(value: Any) -> set[str]:
    """The parameters on which a value depends, also by a condition."""
    match value:
        case {"Ref": str(name)}:
            return {name} & set(TEMPLATE["Parameters"])
        case {"Fn::Sub": str(text)}:
            return set(re.findall(r"\${(\w+)}", text)) & set(TEMPLATE["Parameters"])
        case {"Fn::Sub": [text, variables]}:
            return parameters_in({"Fn::Sub": text}) | parameters_in(variables)
        case {"Condition": str(name)}:
            return parameters_in(TEMPLATE["Conditions"][name])
        case {"Fn::If": [condition, *outcomes]}:
            return parameters_in({"Condition": condition}) | parameters_in(outcomes)
        case dict():
            return parameters_in(list(value.values()))
        case list():
            return {name for entry in value for name in parameters_in(entry)}
    return set()


def worth(value: Any, given: dict[str, str]) -> Any:
    """What a value comes to with these parameters: text, or the truth of a condition."""
    match value:
        case str():
            return value
        case {"Ref": "AWS::NoValue"} | {"ApplyOn": _}:
            return value
        case {"Ref": name}:
            return given[name]
        case {"Fn::Sub": str(text)}:
            return worth({"Fn::Sub": [text, {}]}, given)
        case {"Fn::Sub": [text, variables]}:
            known = given | {name: worth(one, given) for name, one in variables.items()}
            return re.sub(r"\${(\w+)}", lambda found: known[found[1]], text)
        case {"Fn::Select": [index, {"Fn::Split": [separator, text]}]}:
            return worth(text, given).split(separator)[index]
        case {"Fn::Join": [separator, parts]}:
            return separator.join(worth(part, given) for part in parts)
        case {"Fn::If": [condition, chosen, otherwise]}:
            return worth(chosen if worth({"Condition": condition}, given) else otherwise, given)
        case {"Condition": name}:
            return worth(TEMPLATE["Conditions"][name], given)
        case {"Fn::Equals": [one, other]}:
            return worth(one, given) == worth(other, given)
        case {"Fn::Not": [condition]}:
            return not worth(condition, given)
    raise AssertionError(f"{value} is not read here")


def choices(name: str) -> list[str]:
    """What a parameter may say; of one that is free, a short value, a longer one that begins with it, and the longest."""
    parameter = TEMPLATE["Parameters"][name]
    free = FREE.get(name, ["x", "xx", "x" * parameter.get("MaxLength", 0)])
    return list(parameter.get("AllowedValues", free))


def schedules(translated: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the clock starts, by function; each by its alias."""
    found = of_type(translated, "AWS::Scheduler::Schedule").values()
    return {schedule["Target"]["Arn"]["Ref"].removesuffix("Aliaslive"): schedule for schedule in found}


@pytest.fixture(scope="module")
def translated() -> dict[str, Any]:
    return translate(TEMPLATE)


@pytest.fixture(scope="module")
def gradual() -> dict[str, Any]:
    """The same, where versions go live bit by bit."""
    return translate(TEMPLATE, GradualDeployment="true", TrafficShifting="Linear10PercentEvery1Minute")


def test_a_stage_waits_until_the_account_may_write_access_logs(translated: dict[str, Any]) -> None:
    waits = as_list(translated["Resources"]["Api"]["DependsOn"])
    assert "ApiGatewayAccount" in waits


class TestFunctions:
    def test_the_checked_ones_are_all(self) -> None:
        assert set(FUNCTION_PROPERTIES) == set(FUNCTIONS) == set(SETTINGS)

    def test_each_has_a_role_of_its_own(self) -> None:
        roles = [function["Role"]["Fn::GetAtt"][0] for function in FUNCTION_PROPERTIES.values()]
        assert len(set(roles)) == len(roles) == len(FUNCTIONS)

    @functions
    def test_has_a_log_group_that_forgets(self, name: str) -> None:
        group = FUNCTION_PROPERTIES[name]["LoggingConfig"]["LogGroup"]["Ref"]
        assert RESOURCES[group]["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}

    @functions
    def test_logs_json_from_both_layers_on_the_right_runtime(self, name: str, translated: dict[str, Any]) -> None:
        function = translated["Resources"][name]["Properties"]
        assert function["LoggingConfig"]["LogFormat"] == "JSON"
        assert function["LoggingConfig"]["ApplicationLogLevel"] == {"Ref": "LogLevel"}
        assert function["Runtime"] == "python3.13"
        assert function["Handler"] == "app.handler"
        assert function["Architectures"] == [{"Ref": "Architecture"}]
        assert len(function["Layers"]) == 2

    @functions
    def test_starts_from_a_snapshot_where_that_is_asked_for(self, name: str, translated: dict[str, Any]) -> None:
        chosen = translated["Resources"][name]["Properties"]["SnapStart"]
        # Lambda: a snapshot is taken of a published version, and the alias leads to one.
        assert worth(chosen, {"SnapStart": "on"}) == {"ApplyOn": "PublishedVersions"}
        assert worth(chosen, {"SnapStart": "off"}) == {"Ref": "AWS::NoValue"}

    @functions
    def test_has_every_variable_that_its_settings_read(self, name: str, translated: dict[str, Any]) -> None:
        variables = translated["Resources"][name]["Properties"]["Environment"]["Variables"]
        wanted = {field.alias for model in SETTINGS[name] for field in model.model_fields.values() if field.is_required()}
        assert wanted <= set(variables)

    @functions
    def test_has_no_variable_that_nobody_reads(self, name: str, translated: dict[str, Any]) -> None:
        variables = translated["Resources"][name]["Properties"]["Environment"]["Variables"]
        read = {field.alias for model in SETTINGS[name] for field in model.model_fields.values()} | {"ORDERPHASE_STAGE"}
        assert {variable for variable in variables if variable.startswith("ORDERPHASE_")} <= read

    @functions
    def test_goes_live_through_an_alias(self, name: str, translated: dict[str, Any]) -> None:
        assert FUNCTION_PROPERTIES[name]["AutoPublishAliasAllProperties"] is True
        alias = translated["Resources"][f"{name}Aliaslive"]
        assert alias["Properties"]["Name"] == "live"


class TestReleases:
    """With an alias, what is not a new version is not live."""

    @staticmethod
    def versions(template: dict[str, Any]) -> dict[str, str]:
        aliases = of_type(translate(template), "AWS::Lambda::Alias")
        return {name: alias["FunctionVersion"]["Fn::GetAtt"][0] for name, alias in aliases.items()}

    @pytest.mark.parametrize("layer", ["ConsolidationLayer", "DependenciesLayer"])
    def test_a_new_layer_alone_is_a_new_version_of_every_function(self, layer: str) -> None:
        changed = load()
        changed["Resources"][layer]["Properties"]["ContentUri"] = "s3://artifacts/another"
        before, after = self.versions(TEMPLATE), self.versions(changed)
        assert before.keys() == after.keys()
        assert all(before[name] != after[name] for name in before)

    def test_a_new_timeout_alone_is_a_new_version(self) -> None:
        changed = load()
        changed["Resources"]["OrderActivationFunction"]["Properties"]["Timeout"] = 29
        before, after = self.versions(TEMPLATE), self.versions(changed)
        assert before["OrderActivationFunctionAliaslive"] != after["OrderActivationFunctionAliaslive"]

    @functions
    def test_a_version_is_described_by_the_parameters_that_configure_it(self, name: str, translated: dict[str, Any]) -> None:
        alias = translated["Resources"][f"{name}Aliaslive"]["Properties"]
        version = translated["Resources"][alias["FunctionVersion"]["Fn::GetAtt"][0]]["Properties"]
        function = translated["Resources"][name]["Properties"]
        configured = parameters_in([function["Environment"], function["LoggingConfig"], function["SnapStart"]])
        assert configured >= {"Stage", "LogLevel"}
        assert parameters_in(version["Description"]) == configured
        # Lambda: a description has 256 characters at most.
        given = {parameter: choices(parameter)[0] for parameter in configured}
        for parameter in configured:
            spelled = [given | {parameter: choice} for choice in choices(parameter)]
            given = max(spelled, key=lambda one: len(worth(version["Description"], one)))
        assert len(worth(version["Description"], given)) <= 256

    def test_other_parameters_are_described_otherwise(self) -> None:
        described = {json.dumps(function["VersionDescription"]) for function in FUNCTION_PROPERTIES.values()}
        for description in map(json.loads, described):
            usual = {parameter: choices(parameter)[0] for parameter in sorted(parameters_in(description))}
            # Two at once: what is not set apart must not look like the beginning of something else.
            for one, other in combinations(usual, 2):
                pairs = [{one: a, other: b} for a, b in product(choices(one), choices(other))]
                assert len({worth(description, usual | pair) for pair in pairs}) == len(pairs), (one, other)

    def test_the_values_that_are_tried_are_ones_that_are_taken(self) -> None:
        for name, values in FREE.items():
            parameter = TEMPLATE["Parameters"][name]
            assert all(re.fullmatch(parameter.get("AllowedPattern", ".*"), value) for value in values), name
            longest = parameter.get("MaxLength") or len(str(parameter["MaxValue"]))
            assert max(map(len, values)) == longest, name

    def test_nothing_new_is_no_new_version(self) -> None:
        assert self.versions(TEMPLATE) == self.versions(load())


class TestGradualDeployment:
    """Calls are led to a new version bit by bit where the owner wants that, and CodeDeploy is not needed where not."""

    CODEDEPLOY = ("AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup")

    def test_by_default_there_is_nothing_of_codedeploy(self, translated: dict[str, Any]) -> None:
        assert not [one for one in translated["Resources"].values() if one["Type"] in self.CODEDEPLOY]
        assert "CodeDeployServiceRole" not in translated["Resources"]
        assert not [alias for alias in translated["Resources"].values() if "UpdatePolicy" in alias]
        conditions = TEMPLATE["Conditions"]
        assert not worth(
            conditions["DeploysGradually"], {"GradualDeployment": TEMPLATE["Parameters"]["GradualDeployment"]["Default"]}
        )

    @functions
    def test_its_alias_moves_as_it_is_told(self, name: str, gradual: dict[str, Any]) -> None:
        policy = gradual["Resources"][f"{name}Aliaslive"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        group = gradual["Resources"][policy["DeploymentGroupName"]["Ref"]]["Properties"]
        assert group["DeploymentConfigName"] == {
            "Fn::Sub": ["CodeDeployDefault.Lambda${ConfigName}", {"ConfigName": "Linear10PercentEvery1Minute"}]
        }
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
        assert group["AlarmConfiguration"]["Enabled"] is True
        (alarm,) = group["AlarmConfiguration"]["Alarms"]
        condition, named, otherwise = alarm["Name"]["Fn::If"]
        assert (condition, otherwise) == ("DeploysGradually", {"Ref": "AWS::NoValue"})
        assert named == {"Ref": f"{name.removesuffix('Function')}VersionAlarm"}

    @functions
    def test_what_stops_it_is_its_new_version_alone(self, name: str, gradual: dict[str, Any]) -> None:
        """An alarm that is in alarm beforehand would keep the version away that mends what it tells of."""
        alarm = gradual["Resources"][f"{name.removesuffix('Function')}VersionAlarm"]
        version = gradual["Resources"][f"{name}Aliaslive"]["Properties"]["FunctionVersion"]
        assert alarm["Condition"] == "DeploysGradually"
        given = alarm["Properties"]
        # CloudWatch: an alarm that is changed keeps its state. Another name is another alarm.
        called, values = given["AlarmName"]["Fn::Sub"]
        assert (called.rpartition("-")[2], values) == ("${Version}", {"Version": version})
        assert given["Dimensions"] == [
            {"Name": "FunctionName", "Value": {"Ref": name}},
            {"Name": "Resource", "Value": {"Fn::Sub": f"${{{name}}}:live"}},
            {"Name": "ExecutedVersion", "Value": version},
        ]
        assert (given["Namespace"], given["MetricName"], given["Statistic"]) == ("AWS/Lambda", "Errors", "Sum")
        # The shortest time that there is to see it in is five minutes.
        assert given["Period"] * given["EvaluationPeriods"] == 60
        assert (given["Threshold"], given["ComparisonOperator"]) == (0, "GreaterThanThreshold")

    def test_every_way_that_codedeploy_knows_can_be_chosen(self) -> None:
        parameter = TEMPLATE["Parameters"]["TrafficShifting"]
        for choice in parameter["AllowedValues"]:
            assert re.fullmatch(r"Canary10Percent(5|10|15|30)Minutes|Linear10PercentEvery(1Minute|(2|3|10)Minutes)", choice)
        assert len(set(parameter["AllowedValues"])) == 8

    def test_how_versions_go_live_is_not_what_a_version_is(self, gradual: dict[str, Any], translated: dict[str, Any]) -> None:
        """Switching it publishes no version, and so leads no call elsewhere."""
        for name in FUNCTION_PROPERTIES:
            alias = f"{name}Aliaslive"
            assert gradual["Resources"][alias]["Properties"] == translated["Resources"][alias]["Properties"]


class TestRepository:
    """What the Serverless Application Repository shows is what the project says of itself."""

    SHOWN = TEMPLATE["Metadata"]["AWS::ServerlessRepo::Application"]

    def test_it_is_of_the_version_of_the_package(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert self.SHOWN["SemanticVersion"] == __version__
        assert self.SHOWN["Name"] == project["name"]
        assert self.SHOWN["Description"] == f"{project['description']}."
        assert self.SHOWN["SpdxLicenseId"] == project["license"]

    def test_its_files_are_there(self) -> None:
        for name in ("LicenseUrl", "ReadmeUrl"):
            assert (ROOT / self.SHOWN[name]).is_file()

    def test_it_says_what_the_repository_takes(self) -> None:
        # Serverless Application Repository, CreateApplication.
        assert re.fullmatch(r"[a-zA-Z0-9-]{1,140}", self.SHOWN["Name"])
        assert len(self.SHOWN["Description"]) <= 256
        assert re.fullmatch(r"[a-z0-9](-?[a-z0-9])*", self.SHOWN["Author"])
        assert len(self.SHOWN["Author"]) <= 127
        assert len(self.SHOWN["Labels"]) <= 10
        assert all(re.fullmatch(r"[a-zA-Z0-9+_:/@-]{1,127}", label) for label in self.SHOWN["Labels"])


class TestQueues:
    @pytest.mark.parametrize("name", QUEUES)
    def test_is_encrypted_and_takes_nothing_but_tls(self, name: str) -> None:
        assert QUEUES[name]["SqsManagedSseEnabled"] is True
        assert QUEUES[name]["MessageRetentionPeriod"] == 14 * 24 * 3600
        (policy,) = [one for one in of_type(TEMPLATE, "AWS::SQS::QueuePolicy").values() if targets(one["Queues"]) == [name]]
        statement = policy["PolicyDocument"]["Statement"][0]
        assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "sqs:*")
        assert targets(statement["Resource"]) == [name]
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}

    @flows
    def test_keeps_order_per_group(self, flow: str) -> None:
        for queue in (QUEUES[f"{flow}Queue"], QUEUES[f"{flow}DeadLetterQueue"]):
            assert queue["FifoQueue"] is True
            assert queue["DeduplicationScope"] == "messageGroup"
            assert queue["FifoThroughputLimit"] == "perMessageGroupId"

    @queued
    def test_gives_its_function_time_and_takes_failures_one_by_one(self, name: str) -> None:
        event, queue = source(name), QUEUES[f"{name}Queue"]
        assert targets(event["Queue"]) == [f"{name}Queue"]
        assert queue["VisibilityTimeout"] >= 6 * FUNCTION_PROPERTIES[f"{name}Function"]["Timeout"]
        assert event["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        # Each message gets the function's whole time.
        assert event["BatchSize"] == 1
        bounded = 2 if name == "EventBus" else {"Ref": "MaximumConcurrency"}
        assert event["ScalingConfig"] == {"MaximumConcurrency": bounded}
        assert queue["RedrivePolicy"]["maxReceiveCount"] >= 10
        assert targets(queue["RedrivePolicy"]["deadLetterTargetArn"]) == [f"{name}DeadLetterQueue"]
        # SQS: the dead letters of a queue are in one of its own kind.
        assert QUEUES[f"{name}DeadLetterQueue"].get("FifoQueue") == queue.get("FifoQueue")

    def test_a_service_that_is_away_for_hours_makes_no_dead_letters_of_a_bus(self) -> None:
        """Nothing waits behind a message of a standard queue, and nothing sends again what a bus has told."""
        queue = QUEUES["EventBusQueue"]
        assert queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] >= 10 * 3600
        # Several events of one message have to fit in.
        assert FUNCTION_PROPERTIES["EventBusFunction"]["Timeout"] >= 5 * NEEDED_SECONDS

    @flows
    def test_a_lease_outlives_its_run_and_is_over_when_the_message_comes_again(self, flow: str) -> None:
        timeout = FUNCTION_PROPERTIES[f"{flow}Function"]["Timeout"]
        visibility = QUEUES[f"{flow}Queue"]["VisibilityTimeout"]
        assert 2 * timeout <= LEASE.total_seconds() < visibility

    @flows
    def test_one_slow_call_and_its_repetition_fit_into_a_run(self, flow: str) -> None:
        timeout = FUNCTION_PROPERTIES[f"{flow}Function"]["Timeout"]
        assert 2 * sum(stripe_client.TIMEOUT) < timeout
        assert 2 * sum(salesforce_client.TIMEOUT) < timeout

    def test_what_waits_and_what_is_given_up_is_told(self) -> None:
        sources = [event for function in FUNCTION_PROPERTIES.values() for event in function["Events"].values()]
        worked_on = {queue for event in sources if event["Type"] == "SQS" for queue in targets(event["Properties"]["Queue"])}
        watched: dict[str, set[str]] = {}
        for alarm in (alarm for alarm in ALARMS.values() if alarm["Namespace"] == "AWS/SQS"):
            said = {key: alarm[key] for key in ("Threshold", "ComparisonOperator", "Statistic", "Period", "EvaluationPeriods")}
            at_once = {
                "ComparisonOperator": "GreaterThanThreshold",
                "Statistic": "Maximum",
                "Period": 60,
                "EvaluationPeriods": 1,
            }
            assert said == at_once | {"Threshold": {"ApproximateAgeOfOldestMessage": 3600}.get(alarm["MetricName"], 0)}
            watched.setdefault(alarm["MetricName"], set()).update(targets(alarm["Dimensions"][0]["Value"]))
        assert watched == {
            "ApproximateAgeOfOldestMessage": worked_on,
            "ApproximateNumberOfMessagesVisible": set(QUEUES) - worked_on,
        }
        assert worked_on == {f"{name}Queue" for name in QUEUED}

    def test_what_the_clock_starts_is_watched_itself(self) -> None:
        clocked = {
            name
            for name, function in FUNCTION_PROPERTIES.items()
            if any(event["Type"] == "ScheduleV2" for event in function["Events"].values())
        }
        errors = [alarm for alarm in ALARMS.values() if (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Errors")]
        # Those of more dimensions are of one version; see TestGradualDeployment.
        alarms = [alarm for alarm in errors if len(alarm["Dimensions"]) == 1]
        assert {name for alarm in alarms for name in targets(alarm["Dimensions"][0]["Value"])} == clocked == set(CLOCKED)

    @pytest.mark.parametrize("name", CLOCKED)
    def test_three_failures_in_a_row_are_told(self, name: str) -> None:
        (event,) = FUNCTION_PROPERTIES[name]["Events"].values()
        alarm = ALARMS[f"{name.removesuffix('Function')}Alarm"]
        seconds = {"rate(1 hour)": 3600, "rate(5 minutes)": 300, "rate(1 minute)": 60}[
            event["Properties"]["ScheduleExpression"]
        ]
        assert targets(alarm["Dimensions"][0]["Value"]) == [name]
        assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["Threshold"]) == (seconds, 3, 0)
        # The next run must not begin before this one is over.
        assert FUNCTION_PROPERTIES[name]["Timeout"] <= seconds

    def test_events_that_cannot_be_taken_are_told(self) -> None:
        alarms = [alarm for alarm in ALARMS.values() if alarm["MetricName"] == Outcome.UNAVAILABLE]
        ways_in = [service(f"{way}Function") for way in FED]
        assert [alarm["Dimensions"] for alarm in alarms] == [[{"Name": "service", "Value": name}] for name in ways_in]
        for alarm in alarms:
            assert alarm["Namespace"] == NAMESPACE
            assert (alarm["Statistic"], alarm["Threshold"], alarm["ComparisonOperator"]) == ("Sum", 0, "GreaterThanThreshold")
            assert alarm["Period"] * alarm["EvaluationPeriods"] == 15 * 60
        # One that fails alone has to be seen in each of the periods.
        assert all(alarm["EvaluationPeriods"] < 15 for alarm in alarms)

    def test_a_circuit_that_stays_open_is_told_by_what_recovery_counts(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(telemetry.metrics.provider, "namespace", NAMESPACE)
        monkeypatch.setattr(telemetry.metrics.provider, "service", service("RecoveryFunction"))
        circuit: Any = SimpleNamespace(run=lambda now: State(open_since=now))
        retry: Any = SimpleNamespace()
        recovery = Recovery(circuit, retry, lambda vendor, problem: None)
        Scheduled(lambda environment: recovery, lambda job, now: job.run(now)).handler({}, Context(10))
        (counted,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
        (described,) = counted["_aws"]["CloudWatchMetrics"]
        alarm = ALARMS["CircuitAlarm"]
        assert (alarm["Namespace"], alarm["MetricName"]) == (described["Namespace"], described["Metrics"][0]["Name"])
        assert counted[alarm["MetricName"]] == [1.0]
        assert alarm["Dimensions"] == [{"Name": name, "Value": counted[name]} for name in described["Dimensions"][0]]
        assert (alarm["Statistic"], alarm["Threshold"], alarm["ComparisonOperator"]) == ("Maximum", 0, "GreaterThanThreshold")
        # It is counted once a minute.
        (event,) = FUNCTION_PROPERTIES["RecoveryFunction"]["Events"].values()
        assert event["Properties"]["ScheduleExpression"] == "rate(1 minute)"
        assert (alarm["Period"], alarm["EvaluationPeriods"]) == (60, 15)

    @pytest.mark.parametrize("name", ALARMS)
    def test_an_alarm_tells_whoever_is_to_be_told(self, name: str) -> None:
        to_topic: dict[str, Any] = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
        if name in ("FailedRecordsAlarm", "DriftAlarm"):  # for whoever corrects records, where that is somebody else
            to_topic = {"Fn::If": ["HasOrderAlarmTopic", [{"Ref": "OrderAlarmTopicArn"}], to_topic]}
        assert ALARMS[name]["AlarmActions"] == ALARMS[name]["OKActions"] == to_topic
        assert ALARMS[name]["TreatMissingData"] == "notBreaching"

    @queued
    def test_its_outputs_name_it_and_its_dead_letters(self, name: str) -> None:
        for queue in (f"{name}Queue", f"{name}DeadLetterQueue"):
            assert TEMPLATE["Outputs"][f"{queue}Url"]["Value"] == {"Ref": queue}


class TestSwitches:
    """A fresh deployment does nothing until its owner says so."""

    @flows
    def test_a_flow_is_off_unless_it_is_switched_on(self, flow: str) -> None:
        parameter = TEMPLATE["Parameters"][flow]
        assert (parameter["Default"], parameter["AllowedValues"]) == ("off", ["on", "off"])
        assert TEMPLATE["Conditions"][f"Runs{flow}"] == {"Fn::Equals": [{"Ref": flow}, "on"]}

    @flows
    def test_off_nothing_is_queued_and_what_is_queued_waits(self, flow: str) -> None:
        assert source(flow)["Enabled"] == {"Fn::If": [f"Runs{flow}", True, False]}
        for route in (route for route, fed in FED.items() if flow in fed):
            variables = FUNCTION_PROPERTIES[f"{route}Function"]["Environment"]["Variables"]
            assert {"Fn::If": [f"Runs{flow}", {"Ref": f"{flow}Queue"}, ""]} in variables.values()

    @pytest.mark.parametrize(
        ("name", "condition"),
        [
            ("RollingWindowFunction", "RunsOrderActivation"),
            ("PollFunction", "RunsPolling"),
            ("ReconciliationSweepFunction", "RunsReconciliation"),
            ("RecoveryFunction", "RunsSomething"),
        ],
    )
    def test_the_clock_starts_what_is_switched_on(self, name: str, condition: str, translated: dict[str, Any]) -> None:
        schedule = schedules(translated)[name]
        assert schedule["State"] == {"Fn::If": [condition, "ENABLED", "DISABLED"]}
        # A name of our own could be given to one stack per account only.
        assert "Name" not in schedule

    def test_the_poll_takes_both_its_switches(self) -> None:
        assert TEMPLATE["Parameters"]["Polling"]["Default"] == "off"
        assert TEMPLATE["Conditions"]["RunsPolling"] == {
            "Fn::And": [{"Condition": "RunsReconciliation"}, {"Fn::Equals": [{"Ref": "Polling"}, "on"]}]
        }

    @pytest.mark.parametrize(
        ("on", "refused"),
        [
            ((), []),
            (("OrderActivation",), []),
            (("OrderActivation", "Reconciliation"), []),
            (("OrderActivation", "Reconciliation", "Polling"), []),
            (("Reconciliation",), ["ReconciliationTakesOrderActivation"]),
            (("Reconciliation", "Polling"), ["ReconciliationTakesOrderActivation"]),
            (("Polling",), ["PollingTakesReconciliation"]),
            (("OrderActivation", "Polling"), ["PollingTakesReconciliation"]),
        ],
    )
    def test_what_bills_by_itself_is_refused_without_what_it_stands_in_for(
        self, on: tuple[str, ...], refused: list[str]
    ) -> None:
        given = dict.fromkeys(("OrderActivation", "Reconciliation", "Polling"), "off") | dict.fromkeys(on, "on")
        broken = [
            name
            for name, rule in TEMPLATE["Rules"].items()
            if worth(rule["RuleCondition"], given) and not all(worth(one["Assert"], given) for one in rule["Assertions"])
        ]
        assert broken == refused
        for name in refused:
            (assertion,) = TEMPLATE["Rules"][name]["Assertions"]
            switched_on, taken = name.split("Takes")
            # It says what to do, both ways.
            assert f"Set {taken} to on as well, or {switched_on} to off." in assertion["AssertDescription"]

    def test_the_rules_reach_cloudformation(self, translated: dict[str, Any]) -> None:
        assert translated["Rules"] == TEMPLATE["Rules"]

    @pytest.mark.parametrize("parameter", ["Reconciliation", "Polling"])
    def test_what_bills_by_itself_says_so_where_it_is_switched_on(self, parameter: str) -> None:
        assert "It BILLS what it finds" in TEMPLATE["Parameters"][parameter]["Description"]

    def test_recovery_is_started_if_any_flow_is(self) -> None:
        assert TEMPLATE["Conditions"]["RunsSomething"] == {"Fn::Or": [{"Condition": f"Runs{flow}"} for flow in FLOWS]}


class TestTables:
    @pytest.mark.parametrize("name", TABLES)
    def test_is_kept_encrypted_and_recoverable(self, name: str) -> None:
        # CloudFormation: kept whatever becomes of the stack, but for one that could not be made.
        assert (RESOURCES[name]["DeletionPolicy"], RESOURCES[name]["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
        assert TABLES[name]["BillingMode"] == "PAY_PER_REQUEST"
        assert TABLES[name]["SSESpecification"] == {"SSEEnabled": True}
        assert TABLES[name]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}

    def test_deliveries_expire_and_money_does_not(self) -> None:
        assert TABLES["IdempotencyTable"]["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}
        assert "TimeToLiveSpecification" not in TABLES["ContractTable"]
        assert "TimeToLiveSpecification" not in TABLES["CatalogueTable"]
        assert "TimeToLiveSpecification" not in TABLES["ProgressTable"]

    def test_what_happened_on_a_day_is_found_by_its_time(self) -> None:
        by_order, by_day = TABLES["SyncLogTable"]["GlobalSecondaryIndexes"]
        for index, key, projected in ((by_order, "order_id", "ALL"), (by_day, "day", "INCLUDE")):
            assert index["IndexName"] in (ORDER_INDEX, DAY_INDEX)
            keys = [(one["AttributeName"], one["KeyType"]) for one in index["KeySchema"]]
            assert keys == [(key, "HASH"), ("entry_id", "RANGE")]
            assert index["Projection"]["ProjectionType"] == projected
        # The findings may be long.
        assert "findings" not in by_day["Projection"]["NonKeyAttributes"]

    def test_contracts_that_are_due_are_found_by_their_time(self) -> None:
        (index,) = TABLES["ContractTable"]["GlobalSecondaryIndexes"]
        assert index["IndexName"] == "by_extension"
        keys = [(key["AttributeName"], key["KeyType"]) for key in index["KeySchema"]]
        assert keys == [("extension", "HASH"), ("extend_at", "RANGE")]
        kinds = {entry["AttributeName"]: entry["AttributeType"] for entry in TABLES["ContractTable"]["AttributeDefinitions"]}
        assert (kinds["extension"], kinds["extend_at"]) == ("S", "N")


class TestPermissions:
    def test_none_is_on_everything(self) -> None:
        checked = 0
        for role, statement in statements(TEMPLATE):
            for resource in as_list(statement["Resource"]):
                assert resource != "*" or (role, statement["Action"]) in ON_ALL
                checked += 1
            assert not any("*" in action for action in as_list(statement["Action"])), role
        assert checked > len(FUNCTIONS)

    def test_functions_take_no_managed_policies(self) -> None:
        for function in FUNCTION_PROPERTIES.values():
            assert "Policies" not in function
            assert "ManagedPolicyArns" not in RESOURCES[function["Role"]["Fn::GetAtt"][0]]["Properties"]

    @functions
    def test_log_lines_go_to_the_functions_own_group_alone(self, name: str) -> None:
        function = FUNCTION_PROPERTIES[name]
        role, group = function["Role"]["Fn::GetAtt"][0], function["LoggingConfig"]["LogGroup"]["Ref"]
        logging = [
            s for r, s in statements(TEMPLATE) if r == role and any("logs:" in action for action in as_list(s["Action"]))
        ]
        assert [targets(statement["Resource"]) for statement in logging] == [[group]]

    @flows
    def test_a_flow_may_do_what_a_run_does(self, flow: str) -> None:
        role = granted(TEMPLATE, f"{flow}Role")
        lease = ["ContractTable"] if flow in OF_CONTRACTS else []
        more_accounts = [] if flow in OF_THE_CATALOGUE else [MORE_STRIPE_SECRETS]
        assert {action: targets(resources) for action, resources in role.items()} == {
            "logs:CreateLogStream": [f"{flow}LogGroup"],
            "logs:PutLogEvents": [f"{flow}LogGroup"],
            "secretsmanager:GetSecretValue": ["SalesforceSecret", "StripeSecret", *more_accounts],
            "sqs:ReceiveMessage": [f"{flow}Queue"],
            "sqs:DeleteMessage": [f"{flow}Queue"],
            "sqs:GetQueueAttributes": [f"{flow}Queue"],
            "sqs:SendMessage": [f"{flow}DeadLetterQueue"],
            "dynamodb:UpdateItem": [*lease, "ProgressTable"],
            "dynamodb:BatchGetItem": ["CatalogueTable"],
            "dynamodb:PutItem": ["CatalogueTable", "SyncLogTable"],
        }

    def test_every_flow_is_fed_and_every_way_in_is_known(self) -> None:
        assert [f"{route}Function" for route in FED] == [*WEBHOOKS, "EventBusFunction"]
        assert {flow for fed in FED.values() for flow in fed} == set(FLOWS)

    @pytest.mark.parametrize(
        ("route", "secrets"),
        [("SalesforceWebhook", ["SalesforceWebhookSecret"]), ("StripeWebhook", ["StripeSecret", MORE_STRIPE_SECRETS])],
    )
    def test_a_route_may_queue_for_its_flows_and_read_no_queue(self, route: str, secrets: list[str]) -> None:
        role = granted(TEMPLATE, f"{route}Role")
        assert {action: targets(resources) for action, resources in role.items()} == {
            "logs:CreateLogStream": [f"{route}LogGroup"],
            "logs:PutLogEvents": [f"{route}LogGroup"],
            "secretsmanager:GetSecretValue": secrets,
            # Nothing is read: what is there already comes with the refusal to write it.
            **{f"dynamodb:{verb}Item": ["IdempotencyTable"] for verb in ("Put", "Update", "Delete")},
            "sqs:SendMessage": [f"{flow}Queue" for flow in FED[route]],
        }

    def test_the_event_bus_may_queue_for_its_flows_and_read_its_own_queue(self) -> None:
        role = granted(TEMPLATE, "EventBusRole")
        assert {action: targets(resources) for action, resources in role.items()} == {
            "logs:CreateLogStream": ["EventBusLogGroup"],
            "logs:PutLogEvents": ["EventBusLogGroup"],
            "secretsmanager:GetSecretValue": ["SalesforceWebhookSecret", "StripeSecret", MORE_STRIPE_SECRETS],
            "dynamodb:GetItem": ["ProgressTable"],
            "dynamodb:PutItem": ["IdempotencyTable", "ProgressTable"],
            **{f"dynamodb:{verb}Item": ["IdempotencyTable"] for verb in ("Update", "Delete")},
            **{f"sqs:{verb}": ["EventBusQueue"] for verb in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")},
            # And aside, what is no event.
            "sqs:SendMessage": ["EventBusDeadLetterQueue", *(f"{flow}Queue" for flow in FED["EventBus"])],
        }
        variables = FUNCTION_PROPERTIES["EventBusFunction"]["Environment"]["Variables"]
        assert targets(variables["ORDERPHASE_DEAD_LETTER_QUEUE"]) == ["EventBusDeadLetterQueue"]

    def test_further_secrets_are_looked_for_where_they_may_be_read(self) -> None:
        begin = MORE_STRIPE_SECRETS.partition(":secret:")[2].removesuffix("*")
        for name in ("StripeWebhookFunction", *(f"{flow}Function" for flow in FLOWS)):
            variables = FUNCTION_PROPERTIES[name]["Environment"]["Variables"]
            assert variables["ORDERPHASE_STRIPE_SECRET_PREFIX"] == {"Fn::Sub": begin}
            assert variables["ORDERPHASE_MORE_STRIPE_ACCOUNTS"] == {"Ref": "MoreStripeAccounts"}

    @pytest.mark.parametrize(
        ("parameter", "taken", "refused"),
        [
            ("StripeAccount", ["default", "eu-1", "e_u"], ["", "Eu", "1eu", "eu,us", "eu us"]),
            ("MoreStripeAccounts", ["", "eu", "eu,us-2,jp"], ["Eu", "eu, us", "1eu", "eu,", ",eu", "eu,,us", "eu us"]),
        ],
    )
    def test_accounts_are_called_what_the_settings_take(self, parameter: str, taken: list[str], refused: list[str]) -> None:
        pattern = TEMPLATE["Parameters"][parameter]["AllowedPattern"]
        variable = {"StripeAccount": "ORDERPHASE_STRIPE_ACCOUNT", "MoreStripeAccounts": "ORDERPHASE_MORE_STRIPE_ACCOUNTS"}
        for text in taken:
            assert re.fullmatch(pattern, text), text
            environment = {"ORDERPHASE_STRIPE_SECRET": "x", variable[parameter]: text}
            assert StripeAccountSettings.from_environment(environment).stripe_secrets
        assert not [text for text in refused if re.fullmatch(pattern, text)]

    def test_the_rolling_window_reads_one_index_and_fills_one_queue(self) -> None:
        role = granted(TEMPLATE, "RollingWindowRole")
        assert role["dynamodb:Query"] == [{"Fn::Sub": "${ContractTable.Arn}/index/by_extension"}]
        assert targets(role["sqs:SendMessage"]) == ["OrderActivationQueue"]
        assert set(role) == {"logs:CreateLogStream", "logs:PutLogEvents", "dynamodb:Query", "sqs:SendMessage"}

    @pytest.mark.parametrize(
        ("name", "work"),
        [
            ("Poll", {"secretsmanager:GetSecretValue": ["SalesforceSecret"], "dynamodb:BatchGetItem": ["ContractTable"]}),
            ("ReconciliationSweep", {"dynamodb:Scan": ["ContractTable"]}),
        ],
    )
    def test_what_looks_for_contracts_fills_one_queue(self, name: str, work: dict[str, list[str]]) -> None:
        assert {action: targets(resources) for action, resources in granted(TEMPLATE, f"{name}Role").items()} == {
            "logs:CreateLogStream": [f"{name}LogGroup"],
            "logs:PutLogEvents": [f"{name}LogGroup"],
            **work,
            "dynamodb:GetItem": ["ProgressTable"],
            "dynamodb:PutItem": ["ProgressTable"],
            "sqs:SendMessage": ["ReconciliationQueue"],
        }

    def test_recovery_takes_dead_letters_and_switches_the_flows(self, translated: dict[str, Any]) -> None:
        role = granted(TEMPLATE, "RecoveryRole")
        switched = role.pop("lambda:UpdateEventSourceMapping")
        assert role.pop("lambda:ListEventSourceMappings") == ["*"]
        assert {action: targets(resources) for action, resources in role.items()} == {
            "logs:CreateLogStream": ["RecoveryLogGroup"],
            "logs:PutLogEvents": ["RecoveryLogGroup"],
            "secretsmanager:GetSecretValue": ["SalesforceSecret", "StripeSecret"],
            "dynamodb:GetItem": ["ProgressTable"],
            "dynamodb:PutItem": ["ProgressTable"],
            "dynamodb:Query": ["${SyncLogTable.Arn}/index/by_order"],
            **{
                f"sqs:{verb}": [f"{flow}DeadLetterQueue" for flow in FLOWS]
                for verb in ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility")
            },
            "sqs:SendMessage": [f"{flow}Queue" for flow in FLOWS],
        }
        # By the names that SAM gives them.
        mappings = of_type(translated, "AWS::Lambda::EventSourceMapping")
        named = [re.fullmatch(r"arn:.*:event-source-mapping:\${(\w+)}", resource["Fn::Sub"]) for resource in switched]
        assert [targets(mappings[one[1]]["EventSourceArn"]) for one in named if one] == [[f"{flow}Queue"] for flow in FLOWS]

    @pytest.mark.parametrize("name", CLOCKED)
    def test_the_clock_may_start_one_function(self, name: str, translated: dict[str, Any]) -> None:
        schedule = schedules(translated)[name]
        role = translated["Resources"][schedule["Target"]["RoleArn"]["Fn::GetAtt"][0]]["Properties"]
        (statement,) = role["Policies"][0]["PolicyDocument"]["Statement"]
        assert (statement["Action"], statement["Resource"]) == ("lambda:InvokeFunction", schedule["Target"]["Arn"])


class TestEdge:
    def test_there_is_one_stage(self, translated: dict[str, Any]) -> None:
        stages = of_type(translated, "AWS::ApiGateway::Stage")
        assert [stage["StageName"] for stage in stages.values()] == [{"Ref": "Stage"}]

    def test_it_is_throttled_and_logs_no_caller(self) -> None:
        api = RESOURCES["Api"]["Properties"]
        (method,) = api["MethodSettings"]
        assert method["ThrottlingRateLimit"] == {"Ref": "ThrottleRate"}
        assert method["ThrottlingBurstLimit"] == {"Ref": "ThrottleBurst"}
        for variable in ("sourceIp", "userAgent", "querystring", "header", "authorizer"):
            assert variable not in api["AccessLogSetting"]["Format"]

    def test_every_body_stays_as_it_was_signed(self, translated: dict[str, Any]) -> None:
        (api,) = of_type(translated, "AWS::ApiGateway::RestApi").values()
        assert api["Body"]["x-amazon-apigateway-binary-media-types"] == ["*/*"]
        assert "Models" not in RESOURCES["Api"]["Properties"]

    def test_the_routes_are_the_documented_ones(self, translated: dict[str, Any]) -> None:
        (api,) = of_type(translated, "AWS::ApiGateway::RestApi").values()
        assert {(path, *methods) for path, methods in api["Body"]["paths"].items()} == {
            ("/salesforce/events", "post"),
            ("/salesforce/outbound-messages/{token}", "post"),
            ("/stripe/{account}/events", "post"),
        }

    def test_neither_path_nor_body_gets_into_a_log(self) -> None:
        api = RESOURCES["Api"]["Properties"]
        # API Gateway: `path` is the path as it was called, with the token of an Outbound Message.
        said = re.findall(r"\$context\.(\w+)", api["AccessLogSetting"]["Format"])
        assert "resourcePath" in said
        assert not {"path", "extendedRequestId", "domainName", "requestOverride"} & set(said)
        (method,) = api["MethodSettings"]
        assert not {"LoggingLevel", "DataTraceEnabled"} & set(method)
        assert "TracingEnabled" not in api

    def test_it_takes_no_tls_below_1_2(self, translated: dict[str, Any]) -> None:
        (api,) = of_type(translated, "AWS::ApiGateway::RestApi").values()
        assert (api["SecurityPolicy"], api["EndpointAccessMode"]) == ("SecurityPolicy_TLS13_1_2_2021_06", "BASIC")

    def test_only_allowed_sources_are_let_in_where_some_are(self) -> None:
        (api,) = of_type(
            translate(TEMPLATE, AllowedSources="192.0.2.0/24,198.51.100.7/32"), "AWS::ApiGateway::RestApi"
        ).values()
        everybody, others = api["Body"]["x-amazon-apigateway-policy"]["Statement"]
        assert (everybody["Effect"], everybody["Principal"], everybody["Resource"]) == ("Allow", "*", "execute-api:/*")
        condition, deny, otherwise = others["Fn::If"]
        assert (condition, otherwise) == ("HasAllowedSources", {"Ref": "AWS::NoValue"})
        assert (deny["Effect"], deny["Principal"], deny["Resource"]) == ("Deny", "*", "execute-api:/*")
        assert deny["Action"] == everybody["Action"] == "execute-api:Invoke"
        (((operator, keys),),) = [deny["Condition"].items()]
        assert (operator, keys) == ("NotIpAddress", {"aws:SourceIp": {"Fn::Split": [",", "192.0.2.0/24,198.51.100.7/32"]}})

    def test_other_sources_are_another_deployment(self) -> None:
        """What an API's policy says goes live with a deployment, and CloudFormation makes one for a new name alone."""

        def deployment(sources: str) -> list[str]:
            return list(of_type(translate(TEMPLATE, AllowedSources=sources), "AWS::ApiGateway::Deployment"))

        assert deployment("192.0.2.0/24") == deployment("192.0.2.0/24") != deployment("192.0.2.0/25") != deployment("")

    @pytest.mark.parametrize(
        ("parameter", "taken", "refused"),
        [
            (
                "AllowedSources",
                ["", "192.0.2.0/24", "0.0.0.0/0", "255.255.255.255/32,10.0.0.0/8"],
                [
                    "192.0.2.0",
                    "192.0.2.0/33",
                    "192.0.2.256/24",
                    "192.0.2/24",
                    "192.0.2.0/24, 10.0.0.0/8",
                    "192.0.2.0/24,",
                    "::/0",
                    "*",
                ],
            ),
            (
                "WebAclArn",
                ["", "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/edge/0a1b"],
                [
                    "edge",
                    "arn:aws:wafv2:us-east-1:123456789012:global/webacl/edge/0a1b",
                    "arn:aws:waf::123456789012:webacl/0a1b",
                ],
            ),
        ],
    )
    def test_who_is_let_in_is_said_in_a_form_that_aws_takes(self, parameter: str, taken: list[str], refused: list[str]) -> None:
        pattern = TEMPLATE["Parameters"][parameter]["AllowedPattern"]
        assert [text for text in taken if not re.fullmatch(pattern, text)] == []
        assert [text for text in refused if re.fullmatch(pattern, text)] == []

    def test_a_web_acl_is_put_before_the_stage(self, translated: dict[str, Any]) -> None:
        association = translated["Resources"]["ApiWebAcl"]
        assert association["Condition"] == "HasWebAcl"
        (stage,) = of_type(translated, "AWS::ApiGateway::Stage")
        assert association["Properties"] == {
            "ResourceArn": {
                "Fn::Sub": "arn:${AWS::Partition}:apigateway:${AWS::Region}::/restapis/${Api}/stages/${%s}" % stage  # noqa: UP031
            },
            "WebACLArn": {"Ref": "WebAclArn"},
        }


class TestEventBuses:
    """A vendor's own way into the account; there is none until its source is named."""

    @pytest.mark.parametrize("vendor", ["Salesforce", "Stripe"])
    def test_a_bus_takes_the_source_that_is_named_and_nothing_is_lost_behind_it(self, vendor: str) -> None:
        bus, rule = RESOURCES[f"{vendor}EventBus"], RESOURCES[f"{vendor}EventRule"]
        assert bus["Condition"] == rule["Condition"] == f"Has{vendor}EventSource"
        # EventBridge: a partner's bus is called as its source.
        assert bus["Properties"] == {key: {"Ref": f"{vendor}EventSource"} for key in ("Name", "EventSourceName")}
        assert rule["Properties"]["EventBusName"] == {"Ref": f"{vendor}EventBus"}
        (target,) = rule["Properties"]["Targets"]
        assert targets(target["Arn"]) == ["EventBusQueue"]
        assert targets(target["DeadLetterConfig"]["Arn"]) == ["EventBusDeadLetterQueue"]
        assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}

    @pytest.mark.parametrize("queue", ["EventBusQueue", "EventBusDeadLetterQueue"])
    def test_the_rules_may_send_and_no_other_rule(self, queue: str) -> None:
        _, allowed = RESOURCES[f"{queue}Policy"]["Properties"]["PolicyDocument"]["Statement"]
        condition, statement, otherwise = allowed["Fn::If"]
        assert (condition, otherwise) == ("HasEventSource", {"Ref": "AWS::NoValue"})
        assert (statement["Effect"], statement["Action"]) == ("Allow", "sqs:SendMessage")
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert targets(statement["Resource"]) == [queue]
        assert statement["Condition"] == {
            "ArnEquals": {
                "aws:SourceArn": [
                    {
                        "Fn::If": [
                            f"Has{vendor}EventSource",
                            {"Fn::GetAtt": [f"{vendor}EventRule", "Arn"]},
                            {"Ref": "AWS::NoValue"},
                        ]
                    }
                    for vendor in ("Salesforce", "Stripe")
                ]
            }
        }

    def test_what_has_a_flow_is_let_through(self) -> None:
        assert RESOURCES["StripeEventRule"]["Properties"]["EventPattern"] == {"detail-type": list(STRIPE_SWITCHES)}
        # There is one for each renewal.
        assert "customer.subscription.updated" not in STRIPE_SWITCHES
        # Salesforce: the change event of an object is called after it.
        objects = ("Order", "OrderItem", "Product2", "PricebookEntry", "Account")
        assert RESOURCES["SalesforceEventRule"]["Properties"]["EventPattern"] == {
            "detail-type": [f"{name}ChangeEvent" for name in objects]
        }

    def test_the_queue_is_worked_on_if_there_is_a_source(self) -> None:
        assert source("EventBus")["Enabled"] == {"Fn::If": ["HasEventSource", True, False]}
        assert TEMPLATE["Conditions"]["HasEventSource"] == {
            "Fn::Or": [{"Condition": "HasSalesforceEventSource"}, {"Condition": "HasStripeEventSource"}]
        }

    @pytest.mark.parametrize(
        ("parameter", "taken", "refused"),
        [
            (
                "SalesforceEventSource",
                [
                    "",
                    "aws.partner/salesforce.com/00D000000000001EAA/0YLxx0000004C92GAE",
                    "aws.partner/appflow/salesforce.com/123456789012/orders",
                    "aws.partner/appflow.test/salesforce.com/123456789012/orders",
                ],
                [
                    "aws.partner/stripe.com/ed_1",
                    "aws.partner/salesforce.com",
                    "salesforce.com/00D/0YL",
                    "aws.partner/salesforce.com/00D x",
                ],
            ),
            (
                "StripeEventSource",
                ["", "aws.partner/stripe.com/ed_test_61RM8ltWcTW4mbsxf16RJyfa2xSQLHJJh1sxm7H0KVT6"],
                ["aws.partner/stripe.com", "aws.partner/stripe.com/", "ed_1", "aws.partner/stripe.com/ed_1/x"],
            ),
        ],
    )
    def test_sources_are_called_what_eventbridge_and_the_settings_take(
        self, parameter: str, taken: list[str], refused: list[str]
    ) -> None:
        given = TEMPLATE["Parameters"][parameter]
        variable = f"ORDERPHASE_{re.sub(r'(?<!^)([A-Z])', r'_\1', parameter).upper()}"
        environment = {str(field.alias): "x" for field in EventBusSettings.model_fields.values()} | {
            "ORDERPHASE_IGNORE_OWN_EVENTS": "on",
            "ORDERPHASE_STRIPE_EVENT_SOURCE": "",
            "ORDERPHASE_SALESFORCE_EVENT_SOURCE": "",
            "ORDERPHASE_MORE_STRIPE_ACCOUNTS": "",
        }
        for text in taken:
            assert re.fullmatch(given["AllowedPattern"], text), text
            assert len(text) <= given["MaxLength"]
            EventBusSettings.from_environment(environment | {variable: text})
        for text in refused:
            assert not re.fullmatch(given["AllowedPattern"], text), text
            with pytest.raises(ConfigurationError, match=variable):
                EventBusSettings.from_environment(environment | {variable: text})
