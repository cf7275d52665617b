"""One run at a time works on a contract, and what it is about to do is written down first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from orderphase.errors import ConfigurationError, ConflictError, OrderphaseError, TransientError, UnknownOutcomeError
from orderphase.store.contracts import LEASE, ContractTable, Intent, IntentState, next_intent

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOW = datetime(2026, 11, 20, 10, 0, 0, 250_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ORDERS = frozenset({"801A", "801B"})
INTENT = Intent(3, "f" * 64, ORDERS, "intended", "cus_1", "sub_sched_1", "sub_1")


@pytest.fixture
def table(dynamodb: DynamoDBClient) -> ContractTable:
    return ContractTable(dynamodb, "contracts")


class TestLease:
    def test_the_first_lease_of_a_contract(self, table: ContractTable) -> None:
        lease = table.acquire("800A", "run-1", NOW)
        assert (lease.contract_id, lease.owner, lease.version) == ("800A", "run-1", 1)
        assert (lease.intent, lease.last_change) == (None, None)

    def test_one_run_at_a_time(self, table: ContractTable) -> None:
        table.acquire("800A", "run-1", NOW)
        for later in (timedelta(), LEASE - SECOND):
            with pytest.raises(ConflictError, match="the lease of contract 800A: another run was faster"):
                table.acquire("800A", "run-2", NOW + later)
        table.acquire("800B", "run-2", NOW)

    def test_of_many_one_has_it(self, table: ContractTable) -> None:
        def attempt(number: int) -> bool:
            try:
                table.acquire("800A", f"run-{number}", NOW)
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(attempt, range(16))) == 1

    def test_a_dead_run_holds_it_for_a_minute(self, table: ContractTable) -> None:
        table.acquire("800A", "run-1", NOW)
        assert table.acquire("800A", "run-2", NOW + LEASE).version == 2

    def test_let_go_it_is_free_at_once(self, table: ContractTable) -> None:
        table.release(table.acquire("800A", "run-1", NOW), NOW + SECOND)
        lease = table.acquire("800A", "run-2", NOW + SECOND)
        assert (lease.version, lease.last_change) == (2, NOW + SECOND)

    def test_also_for_a_run_whose_clock_is_behind(self, table: ContractTable) -> None:
        table.release(table.acquire("800A", "run-1", NOW), NOW + SECOND)
        assert table.acquire("800A", "run-2", NOW).owner == "run-2"

    def test_a_request_that_is_repeated_because_its_answer_was_lost(self, table: ContractTable) -> None:
        table.acquire("800A", "run-1", NOW)
        lease = table.acquire("800A", "run-1", NOW)
        table.intend(lease, INTENT)
        table.release(lease, NOW)
        table.release(lease, NOW)
        assert table.acquire("800A", "run-2", NOW).intent == INTENT


class TestFencing:
    def test_a_late_holder_writes_nothing(self, table: ContractTable) -> None:
        late = table.acquire("800A", "run-1", NOW)
        current = table.acquire("800A", "run-2", NOW + LEASE)
        table.intend(current, INTENT)

        with pytest.raises(ConflictError, match="the ledger of contract 800A"):
            table.intend(late, replace(INTENT, generation=9))
        with pytest.raises(ConflictError):
            table.release(late, NOW + LEASE, replace(INTENT, generation=9))

        with pytest.raises(ConflictError):
            table.acquire("800A", "run-3", NOW + LEASE + SECOND)
        table.release(current, NOW + LEASE)
        assert table.acquire("800A", "run-3", NOW + LEASE).intent == INTENT

    def test_a_former_lease_of_the_same_run_is_no_right(self, table: ContractTable) -> None:
        former = table.acquire("800A", "run-1", NOW)
        table.acquire("800A", "run-1", NOW)
        with pytest.raises(ConflictError):
            table.intend(former, INTENT)

    def test_nobody_else_has_come_so_a_late_holder_may_finish(self, table: ContractTable) -> None:
        late = table.acquire("800A", "run-1", NOW)
        table.release(late, NOW + 2 * LEASE, INTENT)
        assert table.acquire("800A", "run-2", NOW + 2 * LEASE).intent == INTENT

    def test_a_contract_that_was_never_leased(self, table: ContractTable) -> None:
        lease = table.acquire("800A", "run-1", NOW)
        with pytest.raises(ConflictError):
            table.intend(replace(lease, contract_id="800B"), INTENT)


class TestLedger:
    @pytest.mark.parametrize(
        "intent",
        [
            INTENT,
            Intent(1, "a", ORDERS),
            Intent(2, "b", ORDERS, "applied", schedule_id="sub_sched_1"),
            Intent(10**6, "c", ORDERS, "recorded", "cus_1", "sub_sched_1", None),
        ],
    )
    @pytest.mark.parametrize("by", ["intend", "release"])
    def test_what_is_written_is_read(self, table: ContractTable, intent: Intent, by: str) -> None:
        lease = table.acquire("800A", "run-1", NOW)
        if by == "intend":
            table.intend(lease, intent)
        table.release(lease, NOW, intent if by == "release" else None)
        assert table.acquire("800A", "run-2", NOW).intent == intent

    def test_to_let_go_without_an_intent_keeps_the_last_one(self, table: ContractTable) -> None:
        lease = table.acquire("800A", "run-1", NOW)
        table.intend(lease, INTENT)
        table.release(lease, NOW)
        again = table.acquire("800A", "run-2", NOW)
        assert again.intent == INTENT
        table.release(again, NOW, replace(INTENT, state="recorded"))
        assert table.acquire("800A", "run-3", NOW).intent == replace(INTENT, state="recorded")

    def test_it_never_expires(self, table: ContractTable, dynamodb: DynamoDBClient) -> None:
        table.release(table.acquire("800A", "run-1", NOW), NOW, INTENT)
        (item,) = dynamodb.scan(TableName="contracts")["Items"]
        assert item.keys() == {"contract_id", "lease_owner", "lease_until", "version", "released_at", "intent"}

    def test_attributes_of_a_newer_version_do_no_harm(self, table: ContractTable, dynamodb: DynamoDBClient) -> None:
        table.release(table.acquire("800A", "run-1", NOW), NOW, INTENT)
        dynamodb.update_item(
            TableName="contracts",
            Key={"contract_id": {"S": "800A"}},
            UpdateExpression="SET intent.something = :new",
            ExpressionAttributeValues={":new": {"S": "new"}},
        )
        assert table.acquire("800A", "run-2", NOW).intent == INTENT


class TestNextIntent:
    def test_the_first(self) -> None:
        assert next_intent(None, "a", ORDERS) == Intent(1, "a", ORDERS)

    def test_the_same_again_as_long_as_nothing_is_known_of_it(self) -> None:
        last = Intent(4, "a", frozenset({"801A"}), "intended", "cus_1")
        assert next_intent(last, "a", ORDERS) == replace(last, orders=ORDERS)

    @pytest.mark.parametrize(("state", "meaning"), [("intended", "b"), ("applied", "a"), ("recorded", "a"), ("recorded", "b")])
    def test_anything_else_is_a_new_one(self, state: IntentState, meaning: str) -> None:
        last = Intent(4, "a", frozenset({"801A"}), state, "cus_1", "sub_sched_1")
        assert next_intent(last, meaning, ORDERS) == Intent(5, meaning, ORDERS)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("ConditionalCheckFailedException", 400, ConflictError),
        ("ProvisionedThroughputExceededException", 400, TransientError),
        ("ThrottlingException", 400, TransientError),
        ("ResourceNotFoundException", 400, ConfigurationError),
        ("AccessDeniedException", 400, ConfigurationError),
        ("InternalServerError", 500, UnknownOutcomeError),
    ],
)
@pytest.mark.parametrize("method", ["acquire", "intend", "release"])
def test_failures_are_classified(
    dynamodb: DynamoDBClient, method: str, code: str, status: int, error: type[OrderphaseError]
) -> None:
    table = ContractTable(dynamodb, "contracts")
    lease = table.acquire("800A", "run-1", NOW)
    arguments: dict[str, Any] = {
        "acquire": ("800A", "run-2", NOW),
        "intend": (lease, INTENT),
        "release": (lease, NOW),
    }
    with Stubber(dynamodb) as stub:
        stub.add_client_error("update_item", service_error_code=code, http_status_code=status)
        with pytest.raises(error) as failure:
            getattr(table, method)(*arguments[method])
    assert (type(failure.value), failure.value.code) == (error, code)
    assert "contract 800A" in failure.value.message
