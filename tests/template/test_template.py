"""The rules of the house that template.yaml keeps."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import BaseModel

from functions.salesforce_webhook.app import SWITCHES as SALESFORCE_SWITCHES
from functions.stripe_webhook.app import SWITCHES as STRIPE_SWITCHES
from orderphase.salesforce import client as salesforce_client
from orderphase.settings import (
    FlowSettings,
    RollingWindowSettings,
    StripeAccountSettings,
    StripeWebhookSettings,
    WebhookSettings,
)
from orderphase.store.contracts import LEASE
from orderphase.stripe import client as stripe_client
from sandbox.build import FLOWS, FUNCTIONS, WEBHOOKS
from tests.template.cloudformation import as_list, load, of_type, statements, translate

TEMPLATE = load()
RESOURCES = TEMPLATE["Resources"]
FUNCTION_PROPERTIES = of_type(TEMPLATE, "AWS::Serverless::Function")
QUEUES = of_type(TEMPLATE, "AWS::SQS::Queue")
TABLES = of_type(TEMPLATE, "AWS::DynamoDB::Table")
ALARMS = of_type(TEMPLATE, "AWS::CloudWatch::Alarm")
SETTINGS: dict[str, type[BaseModel]] = {
    "SalesforceWebhookFunction": WebhookSettings,
    "StripeWebhookFunction": StripeWebhookSettings,
    **{f"{flow}Function": FlowSettings for flow in FLOWS},
    "RollingWindowFunction": RollingWindowSettings,
}

# The flows that each route queues for, and those that work on contracts, one at a time.
FED = {
    "SalesforceWebhook": list(dict.fromkeys(SALESFORCE_SWITCHES.values())),
    "StripeWebhook": list(dict.fromkeys(STRIPE_SWITCHES.values())),
}
OF_CONTRACTS = ("OrderActivation", "OrderItemUpdate", "Cancellation")
OF_THE_CATALOGUE = ("ProductUpsert", "PriceUpsert")
MORE_STRIPE_SECRETS = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:${AWS::StackName}/stripe/*"

functions = pytest.mark.parametrize("name", FUNCTION_PROPERTIES)
flows = pytest.mark.parametrize("flow", FLOWS)


def targets(value: Any) -> list[str]:
    """The logical ids that `!Ref X`, `!GetAtt X.Y` or a list of them name."""
    found = []
    for entry in as_list(value):
        if "Ref" in entry:
            found.append(entry["Ref"])
        elif "Fn::GetAtt" in entry:
            found.append(entry["Fn::GetAtt"][0])
        else:
            found.append(entry["Fn::Sub"])
    return found


def source(flow: str) -> dict[str, Any]:
    """What hands a flow's function its messages."""
    (event,) = FUNCTION_PROPERTIES[f"{flow}Function"]["Events"].values()
    assert event["Type"] == "SQS"
    return dict(event["Properties"])


def parameters_in(value: Any) -> set[str]:
    """The parameters on which a value depends, also by a condition."""
    match value:
        case {"Ref": str(name)}:
            return {name} & set(TEMPLATE["Parameters"])
        case {"Fn::Sub": str(text)}:
            return set(re.findall(r"\${(\w+)}", text)) & set(TEMPLATE["Parameters"])
        case {"Fn::If": [condition, *outcomes]}:
            return parameters_in(TEMPLATE["Conditions"][condition]) | parameters_in(outcomes)
        case dict():
            return parameters_in(list(value.values()))
        case list():
            return {name for entry in value for name in parameters_in(entry)}
    return set()


def choices(parameter: dict[str, Any]) -> list[str]:
    """What a parameter may say; of one that is free, the longest."""
    return list(parameter.get("AllowedValues", ["." * parameter.get("MaxLength", 0)]))


def granted(role: str) -> dict[str, list[Any]]:
    """What a role may do: each action with the resources on which."""
    found: dict[str, list[Any]] = {}
    for statement in (statement for name, statement in statements(TEMPLATE) if name == role):
        assert statement["Effect"] == "Allow"
        for action in as_list(statement["Action"]):
            found.setdefault(action, []).extend(as_list(statement["Resource"]))
    return found


@pytest.fixture(scope="module")
def translated() -> dict[str, Any]:
    return translate(TEMPLATE)


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
    def test_has_every_variable_that_its_settings_read(self, name: str, translated: dict[str, Any]) -> None:
        variables = translated["Resources"][name]["Properties"]["Environment"]["Variables"]
        wanted = {field.alias for field in SETTINGS[name].model_fields.values() if field.is_required()}
        assert wanted <= set(variables)

    @functions
    def test_has_no_variable_that_nobody_reads(self, name: str, translated: dict[str, Any]) -> None:
        variables = translated["Resources"][name]["Properties"]["Environment"]["Variables"]
        read = {field.alias for field in SETTINGS[name].model_fields.values()} | {"ORDERPHASE_STAGE"}
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
        configured = parameters_in([function["Environment"], function["LoggingConfig"]])
        assert configured >= {"Stage", "LogLevel"}
        assert parameters_in(version["Description"]) == configured
        # Lambda: a description has 256 characters at most.
        text = version["Description"]["Fn::Sub"]
        longest = sum(max(map(len, choices(TEMPLATE["Parameters"][parameter]))) for parameter in configured)
        assert longest + len(re.sub(r"\${\w+}", "", text)) <= 256

    @functions
    def test_other_parameters_are_described_otherwise(self, name: str) -> None:
        text = FUNCTION_PROPERTIES[name]["VersionDescription"]["Fn::Sub"]
        for parameter, follower in re.findall(r"\${(\w+)}(.?)", text):
            given = TEMPLATE["Parameters"][parameter]
            if follower == "$":
                # What is not set apart must not look like the beginning of a longer one.
                begins = [(a, b) for a in choices(given) for b in choices(given) if a != b and b.startswith(a)]
                assert "AllowedValues" in given or given["AllowedPattern"] == "[A-Z]{3}", parameter
                assert begins == []
            else:
                assert follower in ("", " ")

    def test_nothing_new_is_no_new_version(self) -> None:
        assert self.versions(TEMPLATE) == self.versions(load())


class TestQueues:
    @pytest.mark.parametrize("name", QUEUES)
    def test_keeps_order_per_group_encrypted_and_over_tls(self, name: str) -> None:
        queue = QUEUES[name]
        assert queue["FifoQueue"] is True
        assert queue["DeduplicationScope"] == "messageGroup"
        assert queue["FifoThroughputLimit"] == "perMessageGroupId"
        assert queue["SqsManagedSseEnabled"] is True
        policies = [
            policy for policy in of_type(TEMPLATE, "AWS::SQS::QueuePolicy").values() if targets(policy["Queues"]) == [name]
        ]
        (statement,) = policies[0]["PolicyDocument"]["Statement"]
        assert statement["Effect"] == "Deny"
        assert targets(statement["Resource"]) == [name]
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}

    @flows
    def test_gives_its_function_time_and_takes_failures_one_by_one(self, flow: str) -> None:
        event, queue = source(flow), QUEUES[f"{flow}Queue"]
        assert targets(event["Queue"]) == [f"{flow}Queue"]
        assert queue["VisibilityTimeout"] >= 6 * FUNCTION_PROPERTIES[f"{flow}Function"]["Timeout"]
        assert event["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        # SQS: a FIFO queue hands out ten messages at most.
        assert event["BatchSize"] <= 10
        assert event["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "MaximumConcurrency"}}
        assert queue["RedrivePolicy"]["maxReceiveCount"] >= 10
        assert targets(queue["RedrivePolicy"]["deadLetterTargetArn"]) == [f"{flow}DeadLetterQueue"]
        assert QUEUES[f"{flow}DeadLetterQueue"]["MessageRetentionPeriod"] == 14 * 24 * 3600

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

    def test_each_is_worked_on_or_watched(self) -> None:
        sources = [event for function in FUNCTION_PROPERTIES.values() for event in function["Events"].values()]
        worked_on = {queue for event in sources if event["Type"] == "SQS" for queue in targets(event["Properties"]["Queue"])}
        alarms = [alarm for alarm in ALARMS.values() if alarm["Namespace"] == "AWS/SQS"]
        watched = {queue for alarm in alarms for queue in targets(alarm["Dimensions"][0]["Value"])}
        assert worked_on | watched == set(QUEUES)
        assert not worked_on & watched

    def test_what_the_clock_starts_is_watched_itself(self) -> None:
        clocked = {
            name
            for name, function in FUNCTION_PROPERTIES.items()
            if any(event["Type"] == "ScheduleV2" for event in function["Events"].values())
        }
        alarms = [alarm for alarm in ALARMS.values() if (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Errors")]
        assert {name for alarm in alarms for name in targets(alarm["Dimensions"][0]["Value"])} == clocked != set()

    @pytest.mark.parametrize("name", ALARMS)
    def test_an_alarm_tells_whoever_is_to_be_told(self, name: str) -> None:
        to_topic = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
        assert ALARMS[name]["AlarmActions"] == ALARMS[name]["OKActions"] == to_topic
        assert ALARMS[name]["TreatMissingData"] == "notBreaching"

    @flows
    def test_its_outputs_name_it_and_its_dead_letters(self, flow: str) -> None:
        for queue in (f"{flow}Queue", f"{flow}DeadLetterQueue"):
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

    def test_the_clock_starts_what_order_activation_is_to_do(self, translated: dict[str, Any]) -> None:
        (schedule,) = of_type(translated, "AWS::Scheduler::Schedule").values()
        assert schedule["State"] == {"Fn::If": ["RunsOrderActivation", "ENABLED", "DISABLED"]}
        assert schedule["Target"]["Arn"] == {"Ref": "RollingWindowFunctionAliaslive"}
        # A name of our own could be given to one stack per account only.
        assert "Name" not in schedule


class TestTables:
    @pytest.mark.parametrize("name", TABLES)
    def test_is_kept_encrypted_and_recoverable(self, name: str) -> None:
        assert RESOURCES[name]["DeletionPolicy"] == RESOURCES[name]["UpdateReplacePolicy"] == "Retain"
        assert TABLES[name]["BillingMode"] == "PAY_PER_REQUEST"
        assert TABLES[name]["SSESpecification"] == {"SSEEnabled": True}
        assert TABLES[name]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}

    def test_deliveries_expire_and_money_does_not(self) -> None:
        assert TABLES["IdempotencyTable"]["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}
        assert "TimeToLiveSpecification" not in TABLES["ContractTable"]
        assert "TimeToLiveSpecification" not in TABLES["CatalogueTable"]

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
                assert resource != "*", role
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
        role = granted(f"{flow}Role")
        lease = {"dynamodb:UpdateItem": ["ContractTable"]} if flow in OF_CONTRACTS else {}
        more_accounts = [] if flow in OF_THE_CATALOGUE else [MORE_STRIPE_SECRETS]
        assert {action: targets(resources) for action, resources in role.items()} == {
            "logs:CreateLogStream": [f"{flow}LogGroup"],
            "logs:PutLogEvents": [f"{flow}LogGroup"],
            "secretsmanager:GetSecretValue": ["SalesforceSecret", "StripeSecret", *more_accounts],
            "sqs:ReceiveMessage": [f"{flow}Queue"],
            "sqs:DeleteMessage": [f"{flow}Queue"],
            "sqs:GetQueueAttributes": [f"{flow}Queue"],
            **lease,
            "dynamodb:BatchGetItem": ["CatalogueTable"],
            "dynamodb:PutItem": ["CatalogueTable", "SyncLogTable"],
        }

    def test_every_flow_is_fed_and_every_route_is_known(self) -> None:
        assert [f"{route}Function" for route in FED] == list(WEBHOOKS)
        assert {flow for fed in FED.values() for flow in fed} == set(FLOWS)

    @pytest.mark.parametrize(
        ("route", "secrets"),
        [("SalesforceWebhook", ["SalesforceWebhookSecret"]), ("StripeWebhook", ["StripeSecret", MORE_STRIPE_SECRETS])],
    )
    def test_a_route_may_queue_for_its_flows_and_read_no_queue(self, route: str, secrets: list[str]) -> None:
        role = granted(f"{route}Role")
        assert {action: targets(resources) for action, resources in role.items()} == {
            "logs:CreateLogStream": [f"{route}LogGroup"],
            "logs:PutLogEvents": [f"{route}LogGroup"],
            "secretsmanager:GetSecretValue": secrets,
            **{f"dynamodb:{verb}Item": ["IdempotencyTable"] for verb in ("Get", "Put", "Update", "Delete")},
            "sqs:SendMessage": [f"{flow}Queue" for flow in FED[route]],
        }

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
        role = granted("RollingWindowRole")
        assert role["dynamodb:Query"] == [{"Fn::Sub": "${ContractTable.Arn}/index/by_extension"}]
        assert targets(role["sqs:SendMessage"]) == ["OrderActivationQueue"]
        assert set(role) == {"logs:CreateLogStream", "logs:PutLogEvents", "dynamodb:Query", "sqs:SendMessage"}

    def test_the_clock_may_start_one_function(self, translated: dict[str, Any]) -> None:
        (schedule,) = of_type(translated, "AWS::Scheduler::Schedule").values()
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
            ("/stripe/{account}/events", "post"),
        }
