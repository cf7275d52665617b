"""Moving over from Stripe's own products, on a deployed stack, with the commands of the document."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from sandbox.build import FLOWS as ALL_FLOWS
from sandbox.build import ROOT, host_architecture
from sandbox.salesforce_emulator import Field
from sandbox.salesforce_emulator.contract_rules import add_months
from sandbox.stack import STACK_NAME, STAGE, STATE, STRIPE_ACCOUNT, LocalStack
from tests.org import line
from tests.predecessors import FIELDS, BillingFlows, Connector
from tests.stack.company import DEADLINE, Company

DOCUMENT = ROOT / "docs" / "moving-over.md"
SCHEDULE, STATUS = "Stripe_Subscription_Schedule_Id__c", "Stripe_Sync_Status__c"
COMMON = {"AdoptExisting": "on", "BillingMode": "classic", "CustomerUpdate": "never"}
CONNECTOR = COMMON | {"EndDates": "inclusive", "QuantityConflict": "sum", "ProrationBehavior": "none"}
SWITCHED_ON = ("OrderActivation", "Reconciliation")
KINDS = ("customer", "product", "price", "coupon", "subscription")


class Mover(Company):
    """A company that another product has billed so far. orders: its contracts' first orders, by what they are."""

    def __init__(self, stack: LocalStack) -> None:
        super().__init__(stack)
        self.orders: dict[str, str] = {}
        for kind, fields in FIELDS.items():
            for field in fields:
                self.salesforce.add_field(kind, field)
        self.salesforce.add_field("Account", Field("stripeGC__Customer_Id__c", "string", length=255))

    def day(self, months: int) -> str:
        return add_months(self.today, months).isoformat()

    def last_day(self, months: int) -> str:
        """The day before that date: as CPQ says when a line ends."""
        return (add_months(self.today, months) - timedelta(days=1)).isoformat()

    def order_of(self, account: str, contract: str, *lines: dict[str, Any], start: int = 0) -> str:
        return self.order(account, contract, *lines, EffectiveDate=self.day(start))

    def new_contract(self, account: str) -> str:
        return self.contract(account, start=self.today.isoformat())

    def counts(self) -> dict[str, int]:
        return {kind: len(self.stripe.objects(STRIPE_ACCOUNT, kind)) for kind in KINDS}

    def billing(self) -> list[dict[str, Any]]:
        """What bills, but for its metadata and for which schedule a subscription has."""
        kinds = ("subscription_schedule", "subscription")
        found = [one for kind in kinds for one in self.stripe.objects(STRIPE_ACCOUNT, kind)]
        return [{**one, "metadata": None, "schedule": None} for one in found]

    def next_invoices(self) -> dict[str, list[tuple[int, str | None]]]:
        """What each schedule that can be previewed bills next: amounts and prices."""
        found = {}
        for one in self.stripe.objects(STRIPE_ACCOUNT, "subscription_schedule"):
            if one["status"] != "active":
                continue
            phases = [
                {
                    **({"start_date": phase["start_date"]} if number == 0 else {}),
                    "end_date": phase["end_date"],
                    "proration_behavior": phase["proration_behavior"],
                    "items": [{"price": item["price"], "quantity": item["quantity"]} for item in phase["items"]],
                }
                for number, phase in enumerate(one["phases"])
            ]
            details: Any = {"end_behavior": one["end_behavior"], "phases": phases, "proration_behavior": "none"}
            shown = self.api.invoices.create_preview({"schedule": one["id"], "schedule_details": details}).to_dict()
            found[one["id"]] = [(each["amount"], each.get("description")) for each in shown["lines"]["data"]]
        return found


def filled_by_connector(company: Mover) -> None:
    """Its contracts: one amended, one with a discount, one that begins later, one that was cancelled, and an evergreen one."""
    by = Connector(company, company.api)
    account, entries = company.account(), [company.entry(10), company.entry(20)]
    customer, prices = by.customer(account), [by.price(entry) for entry in entries]
    start, middle, end, last = company.day(0), company.day(3), company.day(12), company.last_day(12)

    contract = company.new_contract(account)
    first = company.order_of(account, contract, line(entries[0], start, last))
    second = company.order_of(account, contract, line(entries[0], middle, last, Quantity=2), start=3)
    (one,), (two,) = company.lines_of(first), company.lines_of(second)
    copy = by.price(entries[0], copy=True)
    both = {one: (prices[0], 1), two: (copy, 2)}
    by.schedule(first, customer, (start, middle, {one: (prices[0], 1)}), (middle, end, both), told=[first, second])
    company.api.prices.update(copy, {"active": False})

    contract = company.new_contract(account)
    discounted = company.order_of(account, contract, line(entries[1], start, last, Stripe_Discount_Percent_Off__c=10))
    (only,) = company.lines_of(discounted)
    coupon = company.api.coupons.create({"percent_off": 10, "duration": "forever"}).id
    by.schedule(discounted, customer, (start, end, {only: (prices[1], 1)}), coupon=coupon)

    later = company.order_of(account, company.new_contract(account), line(entries[1], company.day(2), last), start=2)
    (only,) = company.lines_of(later)
    # One that the connector has forgotten to note: its metadata names it.
    by.schedule(later, customer, (company.day(2), end, {only: (prices[1], 1)}), told=[])

    cancelled = company.order_of(account, company.new_contract(account), line(entries[1], start, last))
    (only,) = company.lines_of(cancelled)
    company.api.subscription_schedules.cancel(by.schedule(cancelled, customer, (start, end, {only: (prices[1], 1)})))

    evergreen = company.order_of(account, company.new_contract(account), line(entries[1], start, None))
    by.evergreen(evergreen, customer, company.lines_of(evergreen)[0], prices[1])
    company.orders = {
        "amended": first,
        "discounted": discounted,
        "later": later,
        "cancelled": cancelled,
        "evergreen": evergreen,
    }


def filled_by_extension(company: Mover) -> None:
    """Its contracts: the same, but an open one in place of the evergreen one; ids in fields that have the names of ours."""
    by = BillingFlows(company, company.api, field=SCHEDULE)
    account, entries = company.account(), [company.entry(10), company.entry(20)]
    customer, prices = by.customer(account), [by.price(entry) for entry in entries]
    start, middle, end = company.day(0), company.day(3), company.day(12)

    def sold(item: dict[str, Any], *phases: tuple[str, str, Mapping[str, int]], begin: int = 0, **more: Any) -> tuple[str, str]:
        contract = company.new_contract(account)
        order = company.order_of(account, contract, item, start=begin)
        return order, by.schedule(contract, [order], customer, *phases, **more)

    contract = company.new_contract(account)
    orders = [
        company.order_of(account, contract, line(entries[0], start, end)),
        company.order_of(account, contract, line(entries[1], middle, end, Quantity=2), start=3),
    ]
    both = {prices[0]: 1, prices[1]: 2}
    by.schedule(contract, orders, customer, (start, middle, {prices[0]: 1}), (middle, end, both))
    coupon = company.api.coupons.create({"percent_off": 10, "duration": "forever", "max_redemptions": 1}).id
    year = (start, end, {prices[1]: 1})
    discounted, _ = sold(line(entries[1], start, end, Stripe_Discount_Percent_Off__c=10), year, coupon=coupon)
    later, _ = sold(line(entries[1], company.day(2), end), (company.day(2), end, {prices[1]: 1}), begin=2)
    cancelled, schedule = sold(line(entries[1], start, end), year)
    company.api.subscription_schedules.cancel(schedule)
    opened, _ = sold(line(entries[1], start, None), (start, company.day(1), {prices[1]: 1}), end_behavior="release")
    company.orders = {
        "amended": orders[0],
        "discounted": discounted,
        "later": later,
        "cancelled": cancelled,
        "open": opened,
    }


@pytest.fixture(params=["connector", "extension"])
def mover(request: pytest.FixtureRequest, worker_id: str) -> Iterator[Mover]:
    """A company with every flow off, as the document says to begin."""
    parameters = dict.fromkeys(ALL_FLOWS, "off") | (CONNECTOR if request.param == "connector" else COMMON)
    with LocalStack(name=f"test-{worker_id}-moving", environment={}, parameters=parameters) as running:
        running.stop_the_clock()
        made = Mover(running)
        fill = filled_by_connector if request.param == "connector" else filled_by_extension
        fill(made)
        running.settle(DEADLINE)
        yield made


def deploy(company: Mover, *flows: str) -> None:
    """Deploy again with these flows on."""
    changed = {"Stage": STAGE, "Architecture": host_architecture(), **company.stack._parameters, **dict.fromkeys(flows, "on")}
    company.stack.local_aws.deploy(STATE / "build" / "template.yaml", stack=STACK_NAME, parameters=changed)


def commands() -> list[str]:
    """The shell blocks of the document, in their order."""
    found = re.findall(r"^( *)```sh\n(.*?)^ *```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return ["\n".join(row.removeprefix(indent) for row in text.splitlines()) for indent, text in found]


def run(company: Mover, block: str) -> str:
    """Have a shell do what a block of the document says; answers what it prints."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ORDERPHASE_"))}
    given = {"stack": STACK_NAME, "order": company.orders["amended"]}
    done = subprocess.run(
        ["bash", "-euc", block],
        env=mine | company.stack.local_aws.environment() | given,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def outlooks(company: Mover) -> dict[str, str]:
    """What the dry run says would become of each contract."""
    _, printed = company.command("backfill", "--dry-run", "--json")
    said = {one["order_id"]: one["word"] for one in json.loads(printed).get("outlooks", [])}
    contracts = {company.record("Order", order)["ContractId"]: word for order, word in said.items()}
    names = {company.record("Order", order)["ContractId"]: name for name, order in company.orders.items()}
    return {names[contract]: word for contract, word in contracts.items()}


def test_moving_over(mover: Mover) -> None:
    look, preview, copy, backfill = commands()
    counts, billing, invoices = mover.counts(), mover.billing(), mover.next_invoices()
    prorated = mover.stripe.invoice_items(STRIPE_ACCOUNT)
    bare = [name for name in mover.orders if name == "evergreen"]
    writes = mover.stripe.writes()

    assert f"{len(mover.orders) - 1} adopted" in run(mover, look)
    assert outlooks(mover) == {name: "refused" if name == "cancelled" else "adopted" for name in mover.orders}
    assert "is adopted" in run(mover, preview)
    assert mover.stripe.writes() == writes

    run(mover, copy)
    deploy(mover, *SWITCHED_ON)
    again = run(mover, backfill).splitlines()
    mover.stack.settle(DEADLINE)
    done = [row.strip() for row in again if "billed and changed" in row]
    assert done[0].startswith(f"{len(mover.orders)} contracts are")

    # Nothing was made, and nothing is billed in another way.
    assert mover.counts() == counts
    now = mover.billing()
    assert [one for one in now if one in billing] == billing
    assert len(now) == len(billing) + len(bare)
    after = mover.next_invoices()
    assert {one: after[one] for one in invoices} == invoices
    assert mover.stripe.invoice_items(STRIPE_ACCOUNT) == prorated
    # One request for each that is adopted, and one more to make a schedule of a subscription.
    assert mover.stripe.writes() == writes + len(mover.orders) - 1 + len(bare)
    for name, order in mover.orders.items():
        record = mover.record("Order", order)
        assert record[STATUS] == ("Failed" if name == "cancelled" else "Synced"), record["Stripe_Sync_Message__c"]
        contract = mover.record("Contract", record["ContractId"])
        held = [one["id"] for one in mover.schedules(record["ContractId"])]
        assert held == ([] if name == "cancelled" else [contract[SCHEDULE]])

    # The second time there is nothing to do. What was changed within two minutes of a look is looked at once more.
    writes = mover.stripe.writes()
    assert {*outlooks(mover).values()} <= {"as it is", "refused"}
    run(mover, backfill)
    mover.stack.settle(DEADLINE)
    assert mover.stripe.writes() == writes

    # From here on it is a contract like any other.
    first = mover.record("Order", mover.orders["amended"])
    (only,) = mover.lines_of(first["Id"])
    added = line(mover.entry(30), mover.day(6), mover.record("OrderItem", only)["EndDate"])
    change = mover.order(first["AccountId"], first["ContractId"], added, EffectiveDate=mover.day(6))
    assert mover.synced(change)[STATUS] == "Synced"
    (schedule,) = mover.schedules(first["ContractId"])
    assert [len(phase["items"]) for phase in schedule["phases"]] == [1, 2, 3]
    # The product and the price that are new, and one update.
    assert mover.stripe.writes() == writes + 3
