"""The rules of the house that template.yaml keeps."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from orderphase.salesforce import client as salesforce_client
from orderphase.settings import FlowSettings, WebhookSettings
from orderphase.store.contracts import LEASE
from orderphase.stripe import client as stripe_client
from sandbox.build import FUNCTIONS
from tests.template.cloudformation import as_list, load, of_type, statements, translate

TEMPLATE = load()
RESOURCES = TEMPLATE["Resources"]
FUNCTION_PROPERTIES = of_type(TEMPLATE, "AWS::Serverless::Function")
QUEUES = of_type(TEMPLATE, "AWS::SQS::Queue")
TABLES = of_type(TEMPLATE, "AWS::DynamoDB::Table")
SETTINGS: dict[str, type[BaseModel]] = {"SalesforceWebhookFunction": WebhookSettings, "OrderActivationFunction": FlowSettings}

functions = pytest.mark.parametrize("name", FUNCTION_PROPERTIES)


def targets(value: Any) -> list[str]:
    """The logical ids that `!Ref X`, `!GetAtt X.Y` or a list of them name."""
    found = []
    for entry in as_list(value):
        if "Ref" in entry:
            found.append(entry["Ref"])
        else:
            found.append(entry["Fn::GetAtt"][0])
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

    @functions
    def test_gives_its_function_time_and_takes_failures_one_by_one(self, name: str) -> None:
        function = FUNCTION_PROPERTIES[name]
        for event in (event["Properties"] for event in function["Events"].values() if event["Type"] == "SQS"):
            (queue,) = targets(event["Queue"])
            assert QUEUES[queue]["VisibilityTimeout"] >= 6 * function["Timeout"]
            assert event["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
            # SQS: a FIFO queue hands out ten messages at most.
            assert event["BatchSize"] <= 10
            assert QUEUES[queue]["RedrivePolicy"]["maxReceiveCount"] >= 10
            (dead_letters,) = targets(QUEUES[queue]["RedrivePolicy"]["deadLetterTargetArn"])
            assert QUEUES[dead_letters]["MessageRetentionPeriod"] == 14 * 24 * 3600

    def test_a_lease_outlives_its_run_and_is_over_when_the_message_comes_again(self) -> None:
        timeout = FUNCTION_PROPERTIES["OrderActivationFunction"]["Timeout"]
        visibility = QUEUES["OrderActivationQueue"]["VisibilityTimeout"]
        assert 2 * timeout <= LEASE.total_seconds() < visibility

    def test_one_slow_call_and_its_repetition_fit_into_a_run(self) -> None:
        timeout = FUNCTION_PROPERTIES["OrderActivationFunction"]["Timeout"]
        assert 2 * sum(stripe_client.TIMEOUT) < timeout
        assert 2 * sum(salesforce_client.TIMEOUT) < timeout

    def test_each_is_worked_on_or_watched(self) -> None:
        sources = [event for function in FUNCTION_PROPERTIES.values() for event in function["Events"].values()]
        worked_on = {queue for event in sources if event["Type"] == "SQS" for queue in targets(event["Properties"]["Queue"])}
        alarms = of_type(TEMPLATE, "AWS::CloudWatch::Alarm").values()
        watched = {queue for alarm in alarms for queue in targets(alarm["Dimensions"][0]["Value"])}
        assert worked_on | watched == set(QUEUES)
        assert not worked_on & watched


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
        assert {(path, *methods) for path, methods in api["Body"]["paths"].items()} == {("/salesforce/events", "post")}
