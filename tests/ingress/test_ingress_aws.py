"""What the route keeps in AWS: the flow's queue, the accepted events, the secrets."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError, NoCredentialsError, ReadTimeoutError
from botocore.stub import Stubber
from moto import mock_aws

from orderphase.errors import ConfigurationError, OrderphaseError, TransientError, UnknownOutcomeError
from orderphase.ingress.aws import AcceptedEvents, RotatingSecret
from orderphase.ingress.documents import EventError
from orderphase.ingress.events import SalesforceEvent, parse
from orderphase.ingress.queues import FlowQueues
from orderphase.ingress.stripe_events import StripeEvent
from orderphase.settings import WebhookSecrets
from tests.invocation import nobodys_account

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

NOW = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)
DAY = 24 * 60 * 60


class Context:
    """As much of a Lambda context as Powertools asks for here."""

    def __init__(self, remaining: int = 10_000) -> None:
        self.remaining = remaining

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining


def _event(**changes: object) -> SalesforceEvent:
    event = {
        "id": "evt-1",
        "type": "order.activated",
        "org_id": "00D000000000001EAA",
        "record_id": "801000000000001AAA",
        "occurred_at": "2026-11-20T10:00:00Z",
        "data": {},
    }
    return parse(json.dumps(event | changes).encode())


def _told(**changes: object) -> StripeEvent:
    event = {"id": "evt_1", "type": "product.updated", "account": "default", "object_id": "prod_1", "product_id": "prod_1"}
    return StripeEvent.of({**event, "created": 1_795_168_800, **changes})


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    nobodys_account(monkeypatch)
    with mock_aws():
        yield


# The queue


@pytest.fixture
def queue(aws: None) -> tuple[SQSClient, str]:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="order-activation.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    return sqs, url


def _messages(sqs: SQSClient, url: str) -> list[MessageTypeDef]:
    found = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
    )
    return found.get("Messages", [])


def test_a_message_is_the_event_in_the_group_of_its_contract(queue: tuple[SQSClient, str]) -> None:
    sqs, url = queue
    event = _event(data={"contract_id": "800000000000001"})
    FlowQueues(sqs, {"order.activated": url}).send(event, "request-1")
    [message] = _messages(sqs, url)
    assert parse(message["Body"].encode()) == event
    assert message["Attributes"]["MessageGroupId"] == "800000000000001AAA"
    assert message["Attributes"]["MessageDeduplicationId"] == hashlib.sha256(b"00D000000000001EAAevt-1").hexdigest()
    assert message["MessageAttributes"]["correlation_id"] == {"StringValue": "request-1", "DataType": "String"}


def test_without_a_contract_the_record_is_the_group(queue: tuple[SQSClient, str]) -> None:
    sqs, url = queue
    FlowQueues(sqs, {"order.activated": url}).send(_event(), "request-1")
    [message] = _messages(sqs, url)
    assert message["Attributes"]["MessageGroupId"] == "801000000000001AAA"


def test_the_same_event_twice_is_one_message(queue: tuple[SQSClient, str]) -> None:
    sqs, url = queue
    queues = FlowQueues(sqs, {"order.activated": url})
    queues.send(_event(), "request-1")
    queues.send(_event(), "request-2")
    queues.send(_event(org_id="00D000000000002EAA"), "request-3")
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]["ApproximateNumberOfMessages"] == "2"


@pytest.mark.parametrize(
    ("product", "group"),
    [
        ("prod_1", "default:prod_1"),
        ("p" * 120, f"default:{'p' * 120}"),
        ("p" * 121, hashlib.sha256(f"default:{'p' * 121}".encode()).hexdigest()),
        ("our best", hashlib.sha256(b"default:our best").hexdigest()),
        ("größer", hashlib.sha256("default:größer".encode()).hexdigest()),
    ],
)
def test_a_group_is_named_as_sqs_takes_it(queue: tuple[SQSClient, str], product: str, group: str) -> None:
    sqs, url = queue
    FlowQueues(sqs, {"product.updated": url}).send(_told(object_id=product, product_id=product), "request-1")
    [message] = _messages(sqs, url)
    assert message["Attributes"]["MessageGroupId"] == group
    assert message["Attributes"]["MessageDeduplicationId"] == hashlib.sha256(b"defaultevt_1").hexdigest()


def test_a_queue_takes_the_types_of_its_table(queue: tuple[SQSClient, str]) -> None:
    queues = FlowQueues(queue[0], {"order.activated": queue[1]})
    assert queues.takes("order.activated")
    assert not queues.takes("product.upserted")


def test_a_queue_that_does_not_exist_is_a_configuration_error(queue: tuple[SQSClient, str]) -> None:
    sqs, url = queue
    with pytest.raises(ConfigurationError, match="NonExistentQueue"):
        FlowQueues(sqs, {"order.activated": url + "-gone"}).send(_event(), "request-1")


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("RequestThrottled", 400, TransientError),
        ("ThrottlingException", 400, TransientError),
        ("KmsThrottled", 400, TransientError),
        ("AccessDenied", 403, ConfigurationError),
        ("InvalidMessageContents", 400, ConfigurationError),
        ("InternalError", 500, UnknownOutcomeError),
        ("ServiceUnavailable", 503, UnknownOutcomeError),
    ],
)
def test_what_sqs_answers_is_classified(code: str, status: int, error: type[OrderphaseError]) -> None:
    sqs = boto3.client("sqs", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(sqs) as stub:
        stub.add_client_error("send_message", service_error_code=code, http_status_code=status)
        with pytest.raises(error) as failure:
            FlowQueues(sqs, {"order.activated": "https://queue"}).send(_event(), "request-1")
    assert type(failure.value) is error
    assert code in failure.value.message
    assert failure.value.code == code


@pytest.mark.parametrize(
    ("problem", "error"),
    [
        (ConnectTimeoutError(endpoint_url="https://queue"), TransientError),
        (ReadTimeoutError(endpoint_url="https://queue"), UnknownOutcomeError),
        (NoCredentialsError(), ConfigurationError),
    ],
)
def test_no_answer_is_classified(problem: Exception, error: type[OrderphaseError]) -> None:
    class Silent:
        def send_message(self, **_: object) -> None:
            raise problem

    client: Any = Silent()
    with pytest.raises(error) as failure:
        FlowQueues(client, {"order.activated": "https://queue"}).send(_event(), "request-1")
    assert type(failure.value) is error


# The accepted events


@pytest.fixture
def table(aws: None) -> DynamoDBClient:
    dynamodb: DynamoDBClient = boto3.client("dynamodb")
    dynamodb.create_table(
        TableName="accepted",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    return dynamodb


class Calls:
    def __init__(self, error: Exception | None = None) -> None:
        self.count, self.error = 0, error

    def __call__(self) -> None:
        self.count += 1
        if self.error:
            raise self.error


def _accepted(
    dynamodb: DynamoDBClient, name: str = "accepted", remaining: int = 10_000, prefix: str = "salesforce_event"
) -> AcceptedEvents:
    accepted = AcceptedEvents(dynamodb, name, prefix)
    context: Any = Context(remaining)
    accepted.register(context)
    return accepted


def test_an_event_is_accepted_once(table: DynamoDBClient) -> None:
    calls = Calls()
    assert _accepted(table).once(_event(), calls) is True
    assert _accepted(table).once(_event(), calls) is False
    assert calls.count == 1


def test_it_is_remembered_for_a_day_and_says_nothing_about_the_event(table: DynamoDBClient) -> None:
    _accepted(table).once(_event(), Calls())
    [item] = table.scan(TableName="accepted")["Items"]
    assert abs(int(item["expiration"]["N"]) - time.time() - DAY) < 60
    digest = hashlib.sha256(json.dumps(["00D000000000001EAA", "evt-1"]).encode()).hexdigest()
    assert item["id"] == {"S": f"salesforce_event#{digest}"}
    assert "801" not in {value for name in ("status", "data") for value in item[name].values()}
    assert set(item) == {"id", "expiration", "in_progress_expiration", "status", "data", "validation"}


def test_after_a_day_it_is_accepted_again(table: DynamoDBClient) -> None:
    calls = Calls()
    _accepted(table).once(_event(), calls)
    [item] = table.scan(TableName="accepted")["Items"]
    item["expiration"] = {"N": str(int(time.time()) - 1)}
    table.put_item(TableName="accepted", Item=item)
    assert _accepted(table).once(_event(), calls) is True
    assert calls.count == 2


@pytest.mark.parametrize("change", [{"id": "evt-2"}, {"org_id": "00D000000000002EAA"}])
def test_another_id_or_org_is_another_event(table: DynamoDBClient, change: dict[str, object]) -> None:
    accepted = _accepted(table)
    accepted.once(_event(), Calls())
    assert accepted.once(_event(**change), Calls()) is True


@pytest.mark.parametrize(
    "change", [{"record_id": "801000000000002AAA"}, {"type": "account.upserted", "record_id": "001000000000001AAA"}]
)
def test_an_id_cannot_stand_for_something_else(table: DynamoDBClient, change: dict[str, object]) -> None:
    accepted, calls = _accepted(table), Calls()
    accepted.once(_event(), Calls())
    with pytest.raises(EventError, match="id: has been used for another event"):
        accepted.once(_event(**change), calls)
    assert calls.count == 0


def test_what_one_account_tells_is_nothing_to_another(table: DynamoDBClient) -> None:
    accepted, calls = _accepted(table, prefix="stripe_event"), Calls()
    assert accepted.once(_told(), calls) is True
    assert accepted.once(_told(), calls) is False
    assert accepted.once(_told(account="other"), calls) is True
    assert _accepted(table, prefix="another_route").once(_told(), calls) is True
    assert calls.count == 3
    assert all("evt_1" not in json.dumps(item) for item in table.scan(TableName="accepted")["Items"])


def test_the_same_event_told_later_is_the_same(table: DynamoDBClient) -> None:
    accepted = _accepted(table)
    accepted.once(_event(), Calls())
    assert accepted.once(_event(occurred_at="2026-11-20T11:00:00Z", data={"note": 1}), Calls()) is False


def test_what_failed_is_not_remembered(table: DynamoDBClient) -> None:
    accepted, calls = _accepted(table), Calls()
    with pytest.raises(TransientError):
        accepted.once(_event(), Calls(TransientError("the queue is away")))
    assert accepted.once(_event(), calls) is True
    assert calls.count == 1


def test_while_another_request_is_at_work_the_event_is_queued_all_the_same(table: DynamoDBClient) -> None:
    inner, outer = Calls(), []

    def accept() -> None:
        outer.append(_accepted(table).once(_event(), inner))

    assert _accepted(table).once(_event(), accept) is True
    assert outer == [True]
    assert inner.count == 1
    assert _accepted(table).once(_event(), Calls()) is False


def test_a_request_that_died_is_over_when_its_time_is(table: DynamoDBClient) -> None:
    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    with pytest.raises(Killed):
        _accepted(table, remaining=0).once(_event(), die)
    [item] = table.scan(TableName="accepted")["Items"]
    assert item["status"] == {"S": "INPROGRESS"}
    item["in_progress_expiration"] = {"N": str(int(time.time() * 1000) - 1)}
    table.put_item(TableName="accepted", Item=item)
    assert _accepted(table).once(_event(), Calls()) is True
    assert _accepted(table).once(_event(), Calls()) is False


def test_a_missing_table_is_a_configuration_error(table: DynamoDBClient) -> None:
    calls = Calls()
    with pytest.raises(ConfigurationError, match="the table of accepted events: AWS refused \\(ResourceNotFoundException\\)"):
        _accepted(table, "gone").once(_event(), calls)
    assert calls.count == 0


# The secrets

CURRENT, PREVIOUS, NEXT = "whsec_current", "whsec_previous", "whsec_next"


@pytest.fixture
def secret(aws: None) -> SecretsManagerClient:
    manager: SecretsManagerClient = boto3.client("secretsmanager")
    manager.create_secret(Name="webhook", SecretString=json.dumps({"SALESFORCE_WEBHOOK_SECRET": CURRENT}))
    return manager


def _shared(manager: SecretsManagerClient, name: str = "webhook") -> RotatingSecret[tuple[str, ...]]:
    return RotatingSecret(manager, name, lambda name, text: WebhookSecrets.from_secret(name, text).valid)


def _store(manager: SecretsManagerClient, value: str | dict[str, str]) -> None:
    manager.put_secret_value(SecretId="webhook", SecretString=value if isinstance(value, str) else json.dumps(value))


def test_the_secrets_are_cached(secret: SecretsManagerClient) -> None:
    secrets = _shared(secret)
    assert secrets.valid() == (CURRENT,)
    _store(secret, {"SALESFORCE_WEBHOOK_SECRET": NEXT, "SALESFORCE_WEBHOOK_SECRET_PREVIOUS": CURRENT})
    assert secrets.valid() == (CURRENT,)
    assert _shared(secret).valid() == (NEXT, CURRENT)


def test_looking_again_finds_what_was_rotated_and_keeps_it(secret: SecretsManagerClient) -> None:
    secrets = _shared(secret)
    assert secrets.valid() == (CURRENT,)
    _store(secret, {"SALESFORCE_WEBHOOK_SECRET": NEXT, "SALESFORCE_WEBHOOK_SECRET_PREVIOUS": CURRENT})
    assert secrets.refetched(NOW) == (NEXT, CURRENT)
    assert secrets.valid() == (NEXT, CURRENT)


def test_nobody_can_make_us_look_more_often_than_every_thirty_seconds(secret: SecretsManagerClient) -> None:
    secrets = _shared(secret)
    assert secrets.refetched(NOW) == (CURRENT,)
    assert secrets.refetched(NOW + timedelta(seconds=29)) is None
    assert secrets.refetched(NOW + timedelta(seconds=30)) == (CURRENT,)
    assert secrets.refetched(NOW + timedelta(seconds=59)) is None


def test_a_failed_look_counts_too(secret: SecretsManagerClient) -> None:
    secrets = _shared(secret, "gone")
    with pytest.raises(ConfigurationError):
        secrets.refetched(NOW)
    assert secrets.refetched(NOW + timedelta(seconds=1)) is None


@pytest.mark.parametrize("value", ["{}", "whsec_plain", "[]", {"SALESFORCE_WEBHOOK_SECRET": ""}])
def test_a_secret_that_is_not_filled_in_is_a_configuration_error(
    secret: SecretsManagerClient, value: str | dict[str, str]
) -> None:
    _store(secret, value)
    with pytest.raises(ConfigurationError, match="secret webhook: ") as failure:
        _shared(secret).valid()
    assert "whsec" not in failure.value.message


def test_a_binary_secret_is_a_configuration_error(secret: SecretsManagerClient) -> None:
    secret.put_secret_value(SecretId="webhook", SecretBinary=b"{}")
    with pytest.raises(ConfigurationError, match="is binary"):
        _shared(secret).valid()


def test_a_missing_secret_is_a_configuration_error(secret: SecretsManagerClient) -> None:
    with pytest.raises(ConfigurationError, match="secret gone: AWS refused \\(ResourceNotFoundException\\)"):
        _shared(secret, "gone").valid()


def test_a_failing_secrets_manager_is_worth_another_try() -> None:
    manager = boto3.client("secretsmanager", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(manager) as stub:
        stub.add_client_error("get_secret_value", service_error_code="InternalServiceError", http_status_code=500)
        with pytest.raises(UnknownOutcomeError):
            _shared(manager).valid()
