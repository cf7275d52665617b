"""One run at a time works on a contract, and what it is about to do is written down first."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from orderphase.domain.cancellation import CancellationRequest
from orderphase.domain.catalogue import BillingInterval
from orderphase.domain.lines import BilledAt, Discount
from orderphase.domain.phases import Phase, PhaseItem, PhaseSettings
from orderphase.errors import ConfigurationError, ConflictError, OrderphaseError, TransientError, UnknownOutcomeError
from orderphase.store.contracts import LEASE, ContractTable, Intent, IntentState, next_intent
from orderphase.store.phases import packed, unpacked, without_lines

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOW = datetime(2026, 11, 20, 10, 0, 0, 250_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ORDERS = frozenset({"801A", "801B"})
JANUARY, MAY = datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 5, 1, tzinfo=UTC)
PHASES = (
    Phase(JANUARY, MAY, (PhaseItem("price_1", 3, None, ()),)),
    Phase(
        MAY,
        None,
        (
            PhaseItem("price_1", 2, Discount(percent_off=Decimal("12.5")), ()),
            PhaseItem("price_2", 1, Discount(amount_off=Decimal("5.00")), ()),
        ),
        PhaseSettings("send_invoice", 30, Discount(percent_off=Decimal(100))),
    ),
)
INTENT = Intent(3, ORDERS, PHASES, PHASES[:1], customer_id="cus_1", schedule_id="sub_sched_1", subscription_id="sub_1")
EVERYTHING = replace(
    INTENT,
    prices={
        "802A": BilledAt("price_1"),
        "802B": BilledAt("price_2", Decimal("9.50"), Decimal("1.23456789"), BillingInterval("month", 3)),
    },
    state="recorded",
    account_id="001A",
    org_id="00D",
    ends_at=MAY,
    cancellation=CancellationRequest("on_date", date(2027, 5, 1), invoice_now=True, prorate=True),
    message="Nothing is billed before now.",
    extend_at=datetime(2027, 3, 1, 12, 30, tzinfo=UTC),
)


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
            EVERYTHING,
            Intent(1, frozenset()),
            Intent(10**6, ORDERS, state="applied", schedule_id="sub_sched_1"),
            replace(INTENT, settled=()),
            replace(INTENT, settled=None, ends_at=MAY, cancellation=CancellationRequest()),
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

    def test_an_item_of_the_version_before_is_read(self, table: ContractTable, dynamodb: DynamoDBClient) -> None:
        """It said what the orders meant by a fingerprint, and not what was sold."""
        put_older(dynamodb, state="recorded", orders={"SS": ["801A"]})
        assert table.acquire("800A", "run-2", NOW).intent == Intent(
            2,
            frozenset({"801A"}),
            state="recorded",
            customer_id="cus_1",
            schedule_id="sub_sched_1",
            account_id="001A",
        )

    def test_to_look_at_it_takes_no_lease(self, table: ContractTable) -> None:
        assert table.read("800A") is None
        lease = table.acquire("800A", "run-1", NOW)
        assert table.read("800A") is None
        table.intend(lease, EVERYTHING)
        assert table.read("800A") == EVERYTHING
        table.release(lease, NOW)


def put_older(dynamodb: DynamoDBClient, **more: Any) -> None:
    """A contract of which the version before has written the ledger."""
    texts = {
        "fingerprint": "f" * 64,
        "state": "applied",
        "customer_id": "cus_1",
        "schedule_id": "sub_sched_1",
        "account_id": "001A",
    }
    intent: Any = {"generation": {"N": "2"}} | {name: {"S": value} for name, value in texts.items()}
    intent |= {name: {"S": value} if isinstance(value, str) else value for name, value in more.items()}
    item: Any = {"contract_id": {"S": "800A"}, "version": {"N": "1"}, "lease_until": {"N": "0"}, "intent": {"M": intent}}
    dynamodb.put_item(TableName="contracts", Item=item)


def with_lines(phases: tuple[Phase, ...], *lines: str) -> tuple[Phase, ...]:
    return tuple([replace(phase, items=tuple([replace(item, lines=lines) for item in phase.items])) for phase in phases])


class TestPhases:
    def test_what_is_packed_is_unpacked(self) -> None:
        assert unpacked(packed(PHASES)) == PHASES
        assert unpacked(packed(())) == ()

    def test_the_lines_are_not_kept(self) -> None:
        assert without_lines(with_lines(PHASES, "802A", "802B")) == PHASES
        assert unpacked(packed(with_lines(PHASES, "802A", "802B"))) == PHASES

    def test_a_thousand_phases_of_twenty_items_fit_into_an_item(self, table: ContractTable) -> None:
        """DynamoDB: 400 KB. While a run is under way the ledger has them twice, beside the price of each line."""
        digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(2000)]
        phases = []
        for number in range(1000):
            items = [
                PhaseItem(f"price_{digests[place][:24]}", number + place, Discount(percent_off=Decimal(place + 1)), ())
                for place in range(20)
            ]
            phases.append(
                Phase(JANUARY + number * timedelta(days=30), JANUARY + (number + 1) * timedelta(days=30), tuple(items))
            )
        interval = BillingInterval("month")
        prices = {
            f"802{digest[:15]}": BilledAt(f"price_{digest[20:44]}", Decimal(number), Decimal(number), interval)
            for number, digest in enumerate(digests)
        }
        intent = replace(EVERYTHING, phases=tuple(phases), settled=tuple(phases), prices=prices)
        assert len(packed(phases)) < 100 * 1024
        table.release(table.acquire("800A", "run-1", NOW), NOW, intent)
        assert table.read("800A") == intent


class TestDue:
    def release(self, table: ContractTable, contract: str, extend_at: datetime | None, now: datetime = NOW) -> Intent:
        intent = replace(INTENT, extend_at=extend_at)
        table.release(table.acquire(contract, "run-1", now), now, intent)
        return intent

    def test_what_is_due_comes_first_the_longest_due(self, table: ContractTable) -> None:
        expected = [(f"800{day}", self.release(table, f"800{day}", NOW - timedelta(days=day))) for day in range(3)]
        self.release(table, "800X", NOW + SECOND)
        self.release(table, "800Y", None)
        assert list(table.due(NOW)) == expected[::-1]

    def test_nothing_is_due(self, table: ContractTable) -> None:
        self.release(table, "800A", NOW + SECOND)
        assert list(table.due(NOW)) == []

    def test_all_pages_are_read(self, table: ContractTable, dynamodb: DynamoDBClient, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(5):
            self.release(table, f"800{number}", NOW)
        pages, query = [], dynamodb.query

        def small(**request: Any) -> Any:
            page = query(**request, Limit=2)
            pages.append(len(page["Items"]))
            return page

        monkeypatch.setattr(dynamodb, "query", small)
        assert {contract for contract, _ in table.due(NOW)} == {f"800{number}" for number in range(5)}
        assert len(pages) == 3

    def test_a_contract_that_has_all_its_phases_is_due_no_more(self, table: ContractTable, dynamodb: DynamoDBClient) -> None:
        self.release(table, "800A", NOW)
        self.release(table, "800A", None)
        assert list(table.due(NOW)) == []
        assert dynamodb.scan(TableName="contracts")["Items"][0].keys() == {
            "contract_id",
            "lease_owner",
            "lease_until",
            "version",
            "released_at",
            "intent",
        }

    def test_a_run_that_changes_nothing_leaves_it_due(self, table: ContractTable) -> None:
        intent = self.release(table, "800A", NOW)
        table.release(table.acquire("800A", "run-2", NOW), NOW)
        assert list(table.due(NOW)) == [("800A", intent)]

    def test_the_ledger_is_read_as_it_is_written(self, table: ContractTable) -> None:
        table.release(table.acquire("800A", "run-1", NOW), NOW, EVERYTHING)
        assert list(table.due(EVERYTHING.extend_at or NOW)) == [("800A", EVERYTHING)]

    def test_a_failure_is_classified(self, dynamodb: DynamoDBClient) -> None:
        with Stubber(dynamodb) as stub:
            stub.add_client_error("query", service_error_code="ThrottlingException", http_status_code=400)
            with pytest.raises(TransientError, match="the contracts that are due"):
                list(ContractTable(dynamodb, "contracts").due(NOW))


class TestNextIntent:
    @pytest.mark.parametrize("done", [True, False])
    def test_the_same_again_as_long_as_nothing_is_known_of_it(self, done: bool) -> None:
        last = replace(EVERYTHING, state="intended")
        expected = replace(last, generation=4) if done else last
        assert next_intent(last, with_lines(PHASES, "802A"), last.settled, done=done) == expected

    @pytest.mark.parametrize(
        ("state", "phases"), [("intended", PHASES[:1]), ("applied", PHASES), ("recorded", PHASES), ("recorded", PHASES[:1])]
    )
    def test_anything_else_is_a_new_one(self, state: IntentState, phases: tuple[Phase, ...]) -> None:
        last = replace(EVERYTHING, state=state)
        expected = replace(last, generation=4, phases=phases, settled=PHASES, state="intended")
        assert next_intent(last, phases, [*with_lines(PHASES, "802A")], done=False) == expected

    def test_what_is_settled_may_not_be_known(self) -> None:
        assert next_intent(EVERYTHING, PHASES, None, done=False).settled is None


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
