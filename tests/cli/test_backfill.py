"""`orderphase backfill`: an existing customer base is adopted, as fast as is asked for, and once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import pytest

from orderphase.cli import backfill
from orderphase.cli.connection import Connection, Stack
from orderphase.errors import ConfigurationError, OrderphaseError, TransientError, UnknownOutcomeError
from orderphase.flows.changed_contracts import ChangedContract, ChangedContracts
from orderphase.flows.reconciliation import Reconciliation
from orderphase.salesforce.contracts import NOT_VISIBLE, Contracts, ContractState
from sandbox.salesforce_emulator import Field
from tests.cli.conftest import Command
from tests.flows.world import ORG, World
from tests.functions.deployed import deployed
from tests.org import line


@dataclass
class Company:
    """A company that has sold for a while, and a stack that has not looked at any of it."""

    here: World
    command: Command
    queue: str
    parameters: dict[str, str] = field(default_factory=lambda: {"Reconciliation": "on"})
    outputs: dict[str, str] = field(default_factory=dict)
    pauses: list[float] = field(default_factory=list)

    def sell(self, number: int = 1, **fields: Any) -> list[str]:
        """So many contracts, each with an order of a product that they share; answers the contracts."""
        account, entry = self.here.account(), self.here.entry()
        contracts = [self.here.contract(account) for _ in range(number)]
        for contract in contracts:
            self.here.order(account, contract, line(entry), **fields)
        return contracts

    def backfill(self, *arguments: str) -> tuple[int, str, str]:
        return self.command(b"", "backfill", *arguments)

    def queued(self) -> list[dict[str, Any]]:
        """What is in the queue, which is empty afterwards."""
        sqs, found = boto3.client("sqs"), []
        while messages := sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return found

    def work(self) -> list[str]:
        """Have the flow look at everything in the queue, some minutes later; answers what came of each."""
        self.here.clock.advance(timedelta(minutes=5))
        return [self.here.reconcile(one["record_id"], order_id=one["data"]["order_id"]).outcome for one in self.queued()]


@pytest.fixture
def company(monkeypatch: pytest.MonkeyPatch, command: Command) -> Iterator[Company]:
    with deployed(monkeypatch) as here:
        queue = boto3.client("sqs").create_queue(QueueName="reconciliation.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        made = Company(here, command, queue, outputs={"ProgressTableName": "progress", "ReconciliationQueueUrl": queue})
        stack = Stack("billing", "the stack billing", made.parameters, made.outputs)
        monkeypatch.setattr(backfill, "describe_stack", lambda environ, folder, stack_=stack, **_: stack_)

        def connect(environ: Any, folder: Any, *, stack: str | None = None) -> Connection:
            assert stack == "billing"
            return Connection(dict(environ), "the stack billing", stack)

        monkeypatch.setattr(backfill, "connect", connect)
        monkeypatch.setattr(backfill, "run", partial(backfill.run, now=here.clock.now, pause=made.pauses.append))
        yield made


def test_what_was_sold_before_is_queued_and_looked_at_once(company: Company) -> None:
    contracts = company.sell(3)
    company.here.order(company.here.account(), None, line(company.here.entry()), activated=False)

    code, out, err = company.backfill()

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Backfill of the stack billing",
        "",
        "  3 contracts are to be billed and changed since a run has looked last",
        "  3 to be queued, 60 a minute: it takes about a minute",
        "  about 6 requests to Salesforce, and 3 to Stripe beside 2 for each customer and each price that it does not have yet",
        "  10:00:00 UTC: 3 of 3 queued",
    ]
    assert company.work() == ["synced"] * 3
    assert [one["metadata"]["salesforce_contract_id"] for one in company.here.schedules()] == contracts
    assert company.backfill()[1].endswith("  0 contracts are to be billed and changed since a run has looked last\n")
    assert company.queued() == []


def test_what_is_queued_says_why(company: Company) -> None:
    (contract,) = company.sell()
    company.backfill()
    (event,) = company.queued()
    assert (event["type"], event["record_id"], event["data"]["reason"]) == ("contract.reconcile", contract, "backfill")


def test_a_run_takes_the_calls_that_are_told(company: Company) -> None:
    """Of a warm environment, as nearly all runs of a backfill are."""
    company.sell(3)
    runs = company.here.contract_runs()
    company.backfill()
    for event in company.queued() * 2:
        order = event["data"]["order_id"]
        Reconciliation(runs, runs).run(event["record_id"], event_id=event["id"], org_id=ORG, order_id=order)
    first, second, third, *later = [entry["calls"] for entry in company.here.log_entries()]
    known = {"salesforce": backfill.SALESFORCE_CALLS, "stripe": backfill.STRIPE_CALLS}
    # The first one has to find out about the org, and makes the customer and the price: a search, and what it has not found.
    assert first["stripe"] == backfill.STRIPE_CALLS + 2 * backfill.STRIPE_CALLS_MORE + 1
    assert [second, third, *later] == [known] * 5


def test_no_faster_than_asked_for(company: Company) -> None:
    company.sell(5)
    code, out, _ = company.backfill("--rate", "2")
    assert code == 0
    assert company.pauses == [30.0] * 4
    assert [row for row in out.splitlines() if "of 5 queued" in row] == [
        "  10:00:00 UTC: 2 of 5 queued",
        "  10:00:00 UTC: 4 of 5 queued",
        "  10:00:00 UTC: 5 of 5 queued",
    ]
    assert "2 a minute: it takes about 3 minutes" in out


def test_a_dry_run_queues_nothing(company: Company) -> None:
    contracts = company.sell(22)
    code, out, _ = company.backfill("--dry-run")
    assert code == 0
    assert out.startswith("Backfill of the stack billing, nothing queued\n")
    assert "  22 would be queued, 60 a minute" in out
    listed = [row.split()[0] for row in out.splitlines() if "  changed " in row]
    assert listed == sorted(contracts)[:20]
    assert out.endswith("  and 2 more; --json lists them all\n")
    assert company.queued() == []
    assert company.pauses == []


class TestWhereWhatExistsIsAdopted:
    @pytest.fixture(autouse=True)
    def switched_on(self, company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ORDERPHASE_ADOPT_EXISTING", "on")
        for kind in ("Contract", "Order", "Account", "Product2", "PricebookEntry"):
            company.here.salesforce.add_field(kind, Field("stripeConnector__Stripe_ID__c", "string", length=255))

    def sold(self, company: Company) -> tuple[str, str, str]:
        """Contracts that are billed by somebody else, that nobody bills, and that name what is not there; by that schedule."""
        here = company.here
        (theirs,), (fresh,), (wrong,) = company.sell(), company.sell(), company.sell()
        (order,) = here.salesforce.query(f"SELECT Id FROM Order WHERE ContractId = '{theirs}'")
        assert here.run(order["Id"]).outcome == "synced"
        schedule = here.schedule()["id"]
        marks = dict.fromkeys((f"metadata[{name}]" for name in here.schedule()["metadata"]), "")
        here.post_to_stripe(f"/v1/subscription_schedules/{schedule}", **marks)
        here.dynamodb.delete_item(TableName="contracts", Key={"contract_id": {"S": theirs}})
        for kind, record in (("Contract", theirs), ("Order", order["Id"])):
            here.salesforce.update(kind, record, {"Stripe_Subscription_Schedule_Id__c": None})
        here.salesforce.update("Order", order["Id"], {"stripeConnector__Stripe_ID__c": schedule})
        (order,) = here.salesforce.query(f"SELECT Id FROM Order WHERE ContractId = '{wrong}'")
        here.salesforce.update("Order", order["Id"], {"stripeConnector__Stripe_ID__c": "sub_sched_gone"})
        here.forget_calls()
        return theirs, fresh, wrong

    def test_a_dry_run_says_what_would_become_of_each(self, company: Company) -> None:
        theirs, fresh, wrong = self.sold(company)
        schedule, writes = company.here.schedule(), company.here.stripe.writes()
        code, out, err = company.backfill("--dry-run")
        assert (code, err) == (0, "")
        rows = dict(row.strip().split("  ", 1) for row in out.splitlines() if row.strip().startswith("800"))
        assert rows[theirs].startswith(f"adopted {schedule['id']}: The schedule {schedule['id']} is adopted, which order ")
        assert rows[fresh] == "created"
        assert rows[wrong].startswith("refused: What is named does not exist in this Stripe account: sub_sched_gone (order ")
        assert "  What would become of them: 1 adopted, 1 created, 1 refused" in out
        assert (company.queued(), company.here.stripe.writes()) == ([], writes)

    def test_as_json(self, company: Company) -> None:
        theirs, fresh, wrong = self.sold(company)
        found = json.loads(company.backfill("--dry-run", "--json")[1])
        said = {one["contract_id"]: one["word"] for one in found["outlooks"]}
        assert said == {theirs: "adopted", fresh: "created", wrong: "refused"}

    @pytest.mark.parametrize(
        "problem",
        [
            TransientError("Stripe is busy."),
            UnknownOutcomeError("Stripe is busy."),
            ConfigurationError("Stripe is busy.", code=NOT_VISIBLE),
        ],
    )
    def test_one_that_cannot_be_looked_at_does_not_lose_the_others(
        self, company: Company, monkeypatch: pytest.MonkeyPatch, problem: OrderphaseError
    ) -> None:
        *_, wrong = self.sold(company)
        self.failing(monkeypatch, wrong, problem)
        code, out, err = company.backfill("--dry-run")
        assert (code, err) == (0, "")
        assert f"  {wrong}  not known: Stripe is busy." in out.splitlines()
        assert "  What would become of them: 1 adopted, 1 created, 1 not known" in out

    def test_what_is_wrong_with_all_of_them_ends_it(self, company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
        *_, wrong = self.sold(company)
        self.failing(monkeypatch, wrong, ConfigurationError("The mapping names a field that is not there."))
        code, _, err = company.backfill("--dry-run")
        assert code != 0
        assert "The mapping names a field that is not there." in err

    @staticmethod
    def failing(monkeypatch: pytest.MonkeyPatch, contract: str, problem: OrderphaseError) -> None:
        """Have the look at one contract come to this."""
        read = Contracts.read

        def reading(self: Contracts, order_id: str, **more: Any) -> ContractState:
            state = read(self, order_id, **more)
            if state.id == contract:
                raise problem
            return state

        monkeypatch.setattr(Contracts, "read", reading)

    def test_it_costs_nothing_where_it_is_queued(self, company: Company) -> None:
        self.sold(company)
        company.backfill()
        assert company.here.stripe.log == []
        assert len(company.queued()) == 3


def test_a_part_of_it(company: Company) -> None:
    company.sell(3)
    assert "  2 to be queued" in company.backfill("--limit", "2")[1]
    assert company.work() == ["synced"] * 2
    assert "  1 contract is to be billed" in company.backfill()[1]
    assert company.work() == ["synced"]


def test_cut_off_it_goes_on(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    company.sell(3)
    queue = ChangedContracts.queue
    left = iter([True])

    def breaks(self: ChangedContracts, contract: Any) -> None:
        if not next(left, False):
            raise TransientError("the flow's queue: no connection")
        queue(self, contract)

    monkeypatch.setattr(ChangedContracts, "queue", breaks)
    assert company.backfill()[::2] == (2, "orderphase: the flow's queue: no connection\n")
    assert company.work() == ["synced"]
    monkeypatch.setattr(ChangedContracts, "queue", queue)
    assert "  2 to be queued" in company.backfill()[1]
    assert company.work() == ["synced"] * 2
    assert len(company.here.schedules()) == 3


def test_json_tells_what_was_queued_before_it_broke_off(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    company.sell(3)
    queue = ChangedContracts.queue
    left = iter([True, True])

    def breaks(self: ChangedContracts, contract: Any) -> None:
        if not next(left, False):
            raise TransientError("the flow's queue: no connection")
        queue(self, contract)

    monkeypatch.setattr(ChangedContracts, "queue", breaks)
    code, out, err = company.backfill("--json", "--rate", "1")
    assert (code, err) == (2, "orderphase: the flow's queue: no connection\n")
    told = json.loads(out)
    assert (told["found"], told["queued"], len(told["contracts"])) == (3, 2, 3)
    assert len(company.queued()) == 2


def test_ctrl_c(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    company.sell(2)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backfill, "run", partial(backfill.run, now=company.here.clock.now, pause=interrupt))
    code, _, err = company.backfill()
    assert (code, err) == (130, "orderphase: stopped\n")
    assert len(company.queued()) == 1


def test_json(company: Company) -> None:
    (contract,) = company.sell()
    (order,) = (one["Id"] for one in company.here.salesforce.query("SELECT Id FROM Order"))
    told = {"contract": contract, "order": order, "changed_at": "2026-11-20T10:00:00Z"}
    code, out, _ = company.backfill("--json")
    assert (code, json.loads(out)) == (
        0,
        {"source": "the stack billing", "dry_run": False, "found": 1, "queued": 1, "contracts": [told]},
    )


def test_the_day_is_the_billing_zones(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    days: list[date] = []

    def finds(self: ChangedContracts, today: date) -> list[ChangedContract]:
        days.append(today)
        return []

    monkeypatch.setattr(ChangedContracts, "backfill", finds)
    for zone in ("UTC", "Pacific/Kiritimati"):
        monkeypatch.setenv("ORDERPHASE_TIME_ZONE", zone)
        company.backfill()
    assert days == [company.here.clock.now().astimezone(ZoneInfo(zone)).date() for zone in ("UTC", "Pacific/Kiritimati")]
    assert days[0] != days[1]


@pytest.mark.parametrize("state", [{}, {"Reconciliation": "off"}])
def test_where_nothing_would_look_at_it(company: Company, state: dict[str, str]) -> None:
    company.sell()
    company.parameters.clear()
    company.parameters.update(state)
    code, out, err = company.backfill()
    assert (code, out) == (2, "")
    assert "Reconciliation is off in the stack billing" in err
    assert "set the template's parameter Reconciliation to on and deploy" in err
    assert company.backfill("--dry-run")[0] == 0


def test_a_stack_that_is_older_than_reconciliation(company: Company) -> None:
    company.outputs.clear()
    assert company.backfill("--dry-run")[::2] == (
        2,
        "orderphase: the stack billing has no output ProgressTableName: is it one of Orderphase's, and up to date?\n",
    )


@pytest.mark.parametrize("value", ["", " "])
def test_a_stack_without_a_name_is_not_the_same_as_none(
    company: Company, capsysbinary: pytest.CaptureFixture[bytes], value: str
) -> None:
    company.sell()
    with pytest.raises(SystemExit) as ended:
        company.backfill("--stack", value)
    assert ended.value.code == 2
    assert "argument --stack: is empty; leave the option out, or give it a value" in capsysbinary.readouterr().err.decode()
    assert company.queued() == []


@pytest.mark.parametrize("arguments", [("--rate", "0"), ("--rate", "2.5"), ("--limit", "-1"), ("--limit", "²")])
def test_numbers_are_whole_and_above_nothing(company: Company, arguments: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as ended:
        company.backfill(*arguments)
    assert ended.value.code == 2
