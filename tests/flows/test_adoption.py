"""What another product bills already is adopted: found by its fields or its metadata, gone on with, and never made again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from orderphase.errors import ConfigurationError, OrderphaseError, TransientError
from orderphase.flows.order_activation import OrderActivation
from orderphase.mapping import Adopting, FieldMapping, read_mapping
from orderphase.salesforce import shape
from orderphase.salesforce.shape import Org
from orderphase.salesforce.writing import call
from orderphase.settings import StripeCredentials
from orderphase.store.contracts import LEASE
from orderphase.stripe.client import StripeConnection
from tests.flows.catalogue_world import CatalogueWorld, catalogue_world
from tests.flows.deals import MOMENT, at, codes
from tests.flows.interruptions import KilledError, mortal
from tests.flows.world import ACCOUNT, KEY, ORG, World, world
from tests.org import line
from tests.predecessors import CPQ, FIELDS, FLOWS, BillingFlows, Connector, seconds

SCHEDULE, CUSTOMER = "Stripe_Subscription_Schedule_Id__c", "Stripe_Customer_Id__c"
ADOPTING: FieldMapping = read_mapping(f'[adopt]\ncontract = ["{FLOWS}"]\norder = ["{CPQ}", "{FLOWS}"]\n').adopting()
START, MIDDLE, END = "2026-12-01", "2027-06-01", "2027-12-01"
CPQ_POLICIES: dict[str, Any] = {"quantity_conflict": "sum", "billing_mode": "classic"}


@pytest.fixture
def there() -> Iterator[World]:
    """An org that has both products, where what they bill is adopted."""
    with world(stripe_package=True, fields=FIELDS) as made:
        made.mapping = ADOPTING
        yield made


@pytest.fixture
def connector(there: World) -> Connector:
    return Connector(there, api(there))


@pytest.fixture
def flows(there: World) -> BillingFlows:
    return BillingFlows(there, api(there))


def api(here: World | CatalogueWorld) -> Any:
    given = StripeCredentials.model_validate({"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": here.stripe_url})
    return StripeConnection(given).api


class Sale:
    """An order of one line of a contract that the connector has synced. A minute later the logs are empty."""

    def __init__(self, here: World, by: Connector, *, told: bool = True, contract: bool = True) -> None:
        self.here, self.by = here, by
        self.account, self.entry = here.account(), here.entry()
        self.contract = here.contract(self.account) if contract else None
        self.order = here.order(self.account, self.contract, line(self.entry, START, END))
        (self.line,) = here.lines_of(self.order)
        self.customer = by.customer(self.account, told=told)
        self.price = by.price(self.entry)
        phase = (START, END, {self.line: (self.price, 1)})
        self.schedule = by.schedule(self.order, self.customer, phase, told=None if told else [])
        settle(here)


def noted(stripe_id: str) -> dict[str, Any]:
    """The connector's field with an id."""
    return {CPQ: stripe_id}


def settle(here: World) -> None:
    here.clock.advance(MOMENT)
    here.forget_calls()


def counts(here: World) -> dict[str, int]:
    kinds = ("subscription_schedule", "subscription", "customer", "product", "price", "coupon")
    return {kind: len(here.stripe.objects(ACCOUNT, kind)) for kind in kinds}


def billing(here: World) -> list[Any]:
    """What bills: everything of schedules and subscriptions but their metadata."""
    kinds = ("subscription_schedule", "subscription")
    return [{**one, "metadata": None} for kind in kinds for one in here.stripe.objects(ACCOUNT, kind)]


def writes(here: World) -> list[str]:
    return [name for name, _ in here.stripe.asked if name.endswith((".create", ".update", ".cancel", ".release"))]


class TestByTheirFields:
    def test_a_schedule_of_the_connector(self, there: World, connector: Connector) -> None:
        sale, before, billed = Sale(there, connector), counts(there), billing(there)
        report = there.run(sale.order, customer_update="never")
        assert (report.outcome, codes(report)) == ("synced", ["schedule_adopted"])
        assert f"order {there.record('Order', sale.order)['OrderNumber']} names" in report.message
        assert (counts(there), billing(there)) == (before, billed)
        assert writes(there) == ["subscription_schedules.update"]
        assert there.stripe.params("subscription_schedules.update").keys() == {"metadata"}
        assert there.schedule()["metadata"] == {
            **connector.marks("order", sale.order),
            "salesforce_org_id": ORG,
            "salesforce_contract_id": sale.contract,
            "salesforce_account_id": sale.account,
            "orderphase_generation": "0",
        }
        for kind, record in (("Contract", sale.contract), ("Order", sale.order)):
            assert there.record(kind, str(record))[SCHEDULE] == sale.schedule
        assert there.record("Account", sale.account)[CUSTOMER] == sale.customer
        entry = there.record("PricebookEntry", sale.entry)
        product = there.record("Product2", entry["Product2Id"])
        assert (entry["Stripe_Price_Id__c"], product["Stripe_Product_Id__c"]) == (sale.price, product[CPQ])

    def test_the_second_look_does_nothing(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector)
        there.run(sale.order)
        settle(there)
        report = there.run(sale.order)
        assert (report.outcome, codes(report), writes(there)) == ("unchanged", [], [])
        assert len(there.stripe.log) == 1

    def test_an_amendment_afterwards_is_one_update(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector)
        there.run(sale.order, **CPQ_POLICIES)
        settle(there)
        change = there.order(sale.account, sale.contract, line(sale.entry, MIDDLE, END, Quantity=2), EffectiveDate=MIDDLE)
        report = there.run(change, **CPQ_POLICIES)
        assert (report.outcome, codes(report)) == ("synced", [])
        assert [name for name in writes(there) if name.startswith("subscription")] == ["subscription_schedules.update"]
        assert [[item["quantity"] for item in phase["items"]] for phase in there.schedule()["phases"]] == [[1], [3]]
        assert there.schedule()["id"] == sale.schedule

    def test_an_amendment_that_comes_first_is_no_difference(self, there: World, connector: Connector) -> None:
        """Of an order that the connector has never seen, the schedule cannot say anything."""
        sale = Sale(there, connector)
        there.order(sale.account, sale.contract, line(there.entry(), MIDDLE, END), EffectiveDate=MIDDLE)
        report = there.run(sale.order)
        assert (report.outcome, codes(report)) == ("synced", ["schedule_adopted"])
        assert [len(phase["items"]) for phase in there.schedule()["phases"]] == [1, 2]

    def test_a_schedule_of_the_extension(self, there: World, flows: BillingFlows) -> None:
        account, entries = there.account(), [there.entry(), there.entry(20)]
        contract = there.contract(account)
        orders = [
            there.order(account, contract, line(entries[0], START, END)),
            there.order(account, contract, line(entries[1], MIDDLE, END), EffectiveDate=MIDDLE),
        ]
        customer, prices = flows.customer(account), [flows.price(entry) for entry in entries]
        both = dict.fromkeys(prices, 1)
        made = flows.schedule(contract, orders, customer, (START, MIDDLE, {prices[0]: 1}), (MIDDLE, END, both))
        settle(there)
        before, billed = counts(there), billing(there)
        report = there.run(orders[1], customer_update="never")
        assert (report.outcome, codes(report)) == ("synced", ["schedule_adopted"])
        assert f"{FLOWS} of the contract names" in report.message
        assert (counts(there), billing(there), writes(there)) == (before, billed, ["subscription_schedules.update"])
        assert [there.record("Order", order)[SCHEDULE] for order in orders] == [made, made]

    def test_an_id_that_points_to_nothing(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector)
        there.salesforce.update("Order", sale.order, {CPQ: "sub_sched_gone"})
        report = there.run(sale.order)
        assert (report.outcome, codes(report)) == ("failed", ["not_adopted"])
        assert writes(there) == []

    def test_what_is_no_bill_is_passed_over(self, there: World, connector: Connector) -> None:
        """An order of one-time lines has the id of an invoice."""
        account, entry = there.account(), there.entry()
        order = there.order(account, there.contract(account), line(entry, START, END), **noted("in_1"))
        assert there.run(order).outcome == "synced"
        assert len(there.schedules()) == 1

    def test_two_that_bill_one_contract_are_refused(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector)
        other = there.order(sale.account, sale.contract, line(sale.entry, END, "2028-12-01"), EffectiveDate=END)
        (again,) = there.lines_of(other)
        phase = (END, "2028-12-01", {again: (sale.price, 1)})
        connector.schedule(other, sale.customer, phase)
        settle(there)
        report = there.run(other)
        assert (report.outcome, codes(report), writes(there)) == ("failed", ["not_adopted"], [])

    @pytest.mark.parametrize("contract", [True, False])
    def test_an_order_that_names_another_ones_schedule(self, there: World, connector: Connector, contract: bool) -> None:
        """As an amendment does that stands under no contract, or under another."""
        sale = Sale(there, connector, contract=contract)
        amended = there.order(sale.account, None, line(sale.entry, MIDDLE, END), **noted(sale.schedule))
        report = there.run(amended)
        assert (report.outcome, codes(report), writes(there)) == ("failed", ["billed_elsewhere"], [])
        assert there.run(sale.order).outcome == "synced"

    def test_another_contract_that_names_a_schedule_of_an_order(self, there: World, connector: Connector) -> None:
        """The schedule names an order, and no contract: that order is not this contract's."""
        sale = Sale(there, connector)
        other = there.order(sale.account, there.contract(sale.account), line(sale.entry, START, END), **noted(sale.schedule))
        report = there.run(other)
        assert (report.outcome, codes(report), writes(there)) == ("failed", ["billed_elsewhere"], [])
        assert sale.order in report.message

    def test_a_contract_that_has_had_a_schedule_of_ours(self, there: World, connector: Connector) -> None:
        """Once that is over, and its id is cleared, it starts anew: what the other product had is over for good."""
        sale = Sale(there, connector)
        there.run(sale.order)
        connector.api.subscription_schedules.cancel(sale.schedule)
        for kind, record in (("Contract", sale.contract), ("Order", sale.order)):
            there.salesforce.update(kind, str(record), {SCHEDULE: None})
        settle(there)
        assert there.run(sale.order).outcome == "synced"
        assert [one["status"] for one in there.schedules()] == ["canceled", "not_started"]

    def test_what_says_that_it_is_ours_is_not_adopted_again(self, there: World, connector: Connector) -> None:
        """Although the ledger was lost."""
        sale = Sale(there, connector)
        there.run(sale.order)
        there.dynamodb.delete_item(TableName="contracts", Key={"contract_id": {"S": str(sale.contract)}})
        settle(there)
        report = there.run(sale.order)
        assert (report.outcome, codes(report), writes(there)) == ("unchanged", [], [])

    def test_two_contracts_that_name_one_without_metadata(self, there: World, flows: BillingFlows) -> None:
        account, entry = there.account(), there.entry()
        contracts = [there.contract(account), there.contract(account)]
        orders = [there.order(account, contract, line(entry, START, END)) for contract in contracts]
        customer, price = flows.customer(account), flows.price(entry)
        made = flows.schedule(contracts[0], orders, customer, (START, END, {price: 1}))
        settle(there)
        assert there.run(orders[0]).outcome == "synced"
        report = there.run(orders[1])
        assert (report.outcome, codes(report)) == ("failed", ["billed_elsewhere"])
        assert [one["id"] for one in there.schedules()] == [made]

    @pytest.mark.parametrize("marked", [False, True])
    def test_a_schedule_that_was_released_and_its_subscription(self, there: World, connector: Connector, marked: bool) -> None:
        """Both are named, and are one."""
        account, entry = there.account(), there.entry()
        order = there.order(account, contract := there.contract(account), line(entry, START, None))
        marks = {"metadata": connector.marks("order", order)} if marked else {}
        params = {"customer": connector.customer(account), "start_date": seconds(START), "end_behavior": "release", **marks}
        phase = {"end_date": seconds(MIDDLE), "items": [{"price": connector.price(entry), "quantity": 1}], **marks}
        made = connector.api.subscription_schedules.create({**params, "phases": [phase]}).id
        at(there, "2027-07-10")
        subscription = there.subscription()["id"]
        if not marked:
            there.salesforce.update("Order", order, {CPQ: subscription})
            there.salesforce.update("Contract", contract, {FLOWS: made})
        report = there.run(order, customer_update="never")
        assert (report.outcome, "schedule_adopted" in codes(report)) == ("synced", True)
        assert [one["id"] for one in there.stripe.objects(ACCOUNT, "subscription")] == [subscription]

    def test_an_order_without_a_contract(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector, contract=False)
        report = there.run(sale.order)
        assert (report.outcome, codes(report)) == ("synced", ["schedule_adopted"])
        assert there.record("Order", sale.order)[SCHEDULE] == sale.schedule


class TestByTheirMetadata:
    def test_a_schedule_that_salesforce_does_not_name(self, there: World, connector: Connector) -> None:
        """Nor its customer: that is found by the account that it names."""
        sale = Sale(there, connector, told=False)
        there.clock.advance(MOMENT)
        before = counts(there)
        report = there.run(sale.order)
        assert (report.outcome, codes(report)) == ("synced", ["schedule_adopted"])
        assert (counts(there), len(there.schedules())) == (before, 1)
        assert there.record("Order", sale.order)[SCHEDULE] == sale.schedule
        assert there.record("Account", sale.account)[CUSTOMER] == sale.customer

    def test_it_is_looked_for_where_that_is_wanted(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector, told=False)
        there.mapping = FieldMapping()
        assert there.run(sale.order).outcome == "synced"
        assert len(there.schedules()) == 2

    def test_of_another_org_it_is_not_ours(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector, told=False)
        there.salesforce.update("Account", sale.account, {CPQ: sale.customer})
        connector.api.subscription_schedules.update(sale.schedule, {"metadata": {"salesforce_org_id": "00D000000000002EAA"}})
        there.run(sale.order)
        assert len(there.schedules()) == 2

    @pytest.mark.parametrize("when", ["on", "auto"])
    def test_what_names_nobody_and_bills_the_same_is_not_billed_again(
        self, there: World, flows: BillingFlows, when: Adopting
    ) -> None:
        """As what the extension has made, where nobody has said in which fields it keeps its ids."""
        there.mapping = FieldMapping().adopting(when)
        account, entry = there.account(), there.entry()
        contract = there.contract(account)
        order = there.order(account, contract, line(entry, START, END))
        customer, price = flows.customer(account), flows.price(entry)
        made = flows.schedule(contract, [order], customer, (START, END, {price: 1}))
        settle(there)
        report = there.run(order)
        assert (report.outcome, codes(report), writes(there)) == ("failed", ["not_adopted"], [])
        assert made in report.message
        other = there.order(account, there.contract(account), line(there.entry(), START, END))
        assert there.run(other).outcome == "synced", "of another price it is another thing"
        there.salesforce.update("Contract", contract, {SCHEDULE: made})
        there.clock.advance(MOMENT)
        assert there.run(order).outcome == "synced"
        again = there.order(account, there.contract(account), line(entry, START, END))
        assert there.run(again).outcome == "synced", "what is adopted names its contract"
        assert len(there.schedules()) == 3

    def test_what_names_the_contract_precedes_what_names_nobody(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector, told=False)
        there.salesforce.update("Account", sale.account, {CPQ: sale.customer})
        self.unmarked(connector, sale)
        report = there.run(sale.order)
        assert (report.outcome, codes(report)) == ("synced", ["schedule_adopted"])
        assert there.record("Order", sale.order)[SCHEDULE] == sale.schedule

    def test_the_subscription_of_what_names_another_order_names_nobody(self, there: World, connector: Connector) -> None:
        """Its schedule says whose it is."""
        sale = Sale(there, connector)
        at(there, "2026-12-10")
        assert there.subscription()["metadata"] == {}
        assert there.run(self.fresh(there, sale)).outcome == "synced"
        assert len(there.schedules()) == 2

    def test_what_names_this_org_is_somebodys(self, there: World, connector: Connector) -> None:
        """Whoever has made it knows for whom, by keys of its own."""
        sale = Sale(there, connector)
        made = self.unmarked(connector, sale)
        assert codes(there.run(fresh := self.fresh(there, sale))) == ["not_adopted"]
        connector.api.subscription_schedules.update(made, {"metadata": {"salesforce_org_id": ORG}})
        there.clock.advance(MOMENT)
        assert there.run(fresh).outcome == "synced"

    @staticmethod
    def unmarked(by: Connector, sale: Sale) -> str:
        """A schedule of the same customer and price that names nobody."""
        params = {"customer": sale.customer, "start_date": seconds(START), "end_behavior": "cancel"}
        phase = {"end_date": seconds(END), "items": [{"price": sale.price, "quantity": 1}]}
        return str(by.api.subscription_schedules.create({**params, "phases": [phase]}).id)

    def test_the_customer_that_only_the_other_product_names(self, there: World, connector: Connector) -> None:
        """Our own field names another: both are searched."""
        sale = Sale(there, connector, told=False)
        mine = connector.api.customers.create({"name": "Acme"}).id
        there.salesforce.update("Account", sale.account, {CPQ: sale.customer, CUSTOMER: mine})
        settle(there)
        report = there.run(sale.order, customer_update="never")
        assert (report.outcome, codes(report), len(there.schedules())) == ("synced", ["schedule_adopted"], 1)
        assert there.record("Account", sale.account)[CUSTOMER] == mine

    @pytest.mark.parametrize("key", ["salesforce_contract_id", "salesforce_order_id"])
    def test_ids_of_15_characters(self, there: World, connector: Connector, key: str) -> None:
        sale = Sale(there, connector, told=False)
        there.salesforce.update("Account", sale.account, {CPQ: sale.customer})
        record = sale.contract if key == "salesforce_contract_id" else sale.order
        marks = {"salesforce_order_id": "", key: str(record)[:15]}
        connector.api.subscription_schedules.update(sale.schedule, {"metadata": marks})
        report = there.run(sale.order)
        assert (report.outcome, codes(report), len(there.schedules())) == ("synced", ["schedule_adopted"], 1)

    def test_an_org_of_15_characters(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector, told=False)
        there.salesforce.update("Account", sale.account, {CPQ: sale.customer})
        marks = {"salesforce_contract_id": str(sale.contract), "salesforce_org_id": ORG[:15]}
        connector.api.subscription_schedules.update(sale.schedule, {"metadata": marks})
        assert there.run(sale.order).outcome == "synced"
        assert len(there.schedules()) == 1

    def test_one_that_was_replaced_by_another(self, there: World, connector: Connector) -> None:
        """Both name the order: what goes on bills it."""
        sale = Sale(there, connector, told=False)
        connector.api.subscription_schedules.cancel(sale.schedule)
        made = connector.schedule(sale.order, sale.customer, (START, END, {sale.line: (sale.price, 1)}), told=[])
        settle(there)
        report = there.run(sale.order)
        assert (report.outcome, codes(report)) == ("synced", ["schedule_adopted"])
        assert there.record("Order", sale.order)[SCHEDULE] == made

    def test_marks_that_were_emptied_are_set_again(self, there: World, connector: Connector) -> None:
        """However often that happens, and within the day in which Stripe keeps a key."""
        sale, told = Sale(there, connector), list[list[str]]()
        for _ in range(3):
            connector.api.subscription_schedules.update(sale.schedule, {"metadata": ""})
            told.append(codes(there.run(sale.order)))
            assert there.schedule()["metadata"]["salesforce_contract_id"] == sale.contract
            settle(there)
        assert told == [["schedule_adopted"], [], []], "the ledger knows that it is ours"

    def test_a_new_order_costs_two_lists(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector)
        runs = there.flow()
        asked = []
        for order in (sale.order, *(self.fresh(there, sale) for _ in range(2))):
            there.forget_calls()
            assert there.run(order, runs).outcome == "synced"
            asked = [name for name, _ in there.stripe.asked]
        assert asked == ["subscription_schedules.list", "subscriptions.list", "subscription_schedules.create"]
        assert len(there.salesforce.log) == 2

    def test_switched_off_it_costs_nothing(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector)
        there.salesforce.update("Account", sale.account, {CUSTOMER: sale.customer})
        there.mapping = FieldMapping()
        runs = there.flow()
        for order in [self.fresh(there, sale) for _ in range(2)]:
            there.forget_calls()
            assert there.run(order, runs).outcome == "synced"
        assert [name for name, _ in there.stripe.asked] == ["subscription_schedules.create"]
        assert len(there.salesforce.log) == 2

    def test_by_itself_it_is_looked_for_where_their_field_is(self) -> None:
        for package, lists in ((False, []), (True, ["subscription_schedules.list", "subscriptions.list"])):
            with world(stripe_package=package) as here:
                here.mapping = FieldMapping().adopting("auto")
                account, runs = here.account(), here.flow()
                for order in [here.order(account, here.contract(account), line(here.entry(), START, END)) for _ in range(2)]:
                    here.forget_calls()
                    assert here.run(order, runs).outcome == "synced"
                asked = [name for name, _ in here.stripe.asked if name.startswith("subscription")]
                assert asked == [*lists, "subscription_schedules.create"]
                assert len([one for one in here.salesforce.log if "describe" in one.path or "batch" in one.path]) == 0

    @staticmethod
    def fresh(here: World, sale: Sale) -> str:
        """An order of a contract that nobody bills yet."""
        return here.order(sale.account, here.contract(sale.account), line(sale.entry, START, END))


class TestSubscriptionsWithoutASchedule:
    def test_one_is_taken_over(self, there: World, connector: Connector) -> None:
        order, subscription = self.sold(there, connector)
        before, subscribed = counts(there), there.subscription()
        report = there.run(order, customer_update="never")
        assert (report.outcome, codes(report)) == ("synced", ["schedule_adopted"])
        assert counts(there) == before | {"subscription_schedule": before["subscription_schedule"] + 1}
        assert writes(there) == ["subscription_schedules.create", "subscription_schedules.update"]
        assert there.subscription() == subscribed | {"schedule": there.schedules()[-1]["id"]}
        assert there.record("Order", order)[SCHEDULE] == there.schedules()[-1]["id"]
        settle(there)
        assert (there.run(order, customer_update="never").outcome, writes(there)) == ("unchanged", [])
        assert [name for name, _ in there.stripe.asked] == ["subscription_schedules.retrieve"], "the subscription is its own"
        assert there.subscription()["id"] == subscription

    def test_one_that_salesforce_does_not_name(self, there: World, connector: Connector) -> None:
        order, subscription = self.sold(there, connector)
        there.salesforce.update("Order", order, {CPQ: None})
        assert there.run(order).outcome == "synced"
        assert there.subscription()["id"] == subscription
        assert there.subscription()["schedule"] == there.record("Order", order)[SCHEDULE]

    def test_a_run_that_is_killed_anywhere(self, there: World, connector: Connector) -> None:
        """Before and after each of its calls, on a contract of its own each time."""
        runs, calls = mortal(there.contract_runs(), 1_000, after=False)
        order, _ = self.sold(there, connector)
        OrderActivation(runs).run(order, event_id="e", org_id=ORG)
        assert "subscription_schedules.create" in calls
        for number in range(len(calls)):
            for after in (False, True):
                order, subscription = self.sold(there, connector)
                before = counts(there)
                killed, _ = mortal(there.contract_runs(), number, after=after)
                with suppress(KilledError):
                    OrderActivation(killed).run(order, event_id="e", org_id=ORG)
                there.clock.advance(LEASE + MOMENT)
                assert there.run(order).outcome in ("synced", "unchanged"), calls[number]
                assert counts(there) == before | {"subscription_schedule": before["subscription_schedule"] + 1}
                (held,) = [one for one in there.stripe.objects(ACCOUNT, "subscription") if one["id"] == subscription]
                assert (held["status"], held["schedule"]) == ("active", there.record("Order", order)[SCHEDULE])

    @pytest.mark.parametrize("mode", ["now", "at_period_end"])
    def test_one_that_is_cancelled_before_it_is_taken_over(self, there: World, connector: Connector, mode: str) -> None:
        order, subscription = self.sold(there, connector)
        assert there.cancel(order, asked={"mode": mode}).outcome == "synced"
        assert there.record("Order", order)["Stripe_Sync_Status__c"] == "Cancelled"
        held = there.subscription()
        assert held["id"] == subscription
        assert (held["status"], bool(held["cancel_at"])) == (("canceled", False) if mode == "now" else ("active", True))

    def test_one_that_is_over(self, there: World, connector: Connector) -> None:
        order, subscription = self.sold(there, connector)
        connector.api.subscriptions.cancel(subscription)
        settle(there)
        report = there.run(order)
        assert (report.outcome, codes(report), writes(there)) == ("failed", ["schedule_ended"], [])

    def test_one_that_bills_something_else_is_left_alone(self, there: World, connector: Connector) -> None:
        order, subscription = self.sold(there, connector)
        (item,) = there.subscription()["items"]["data"]
        connector.api.subscriptions.update(subscription, {"items": [{"id": item["id"], "quantity": 3}]})
        settle(there)
        report = there.run(order)
        assert (report.outcome, writes(there)) == ("failed", [])
        assert "adopted_differs" in codes(report)

    @staticmethod
    def sold(here: World, by: Connector) -> tuple[str, str]:
        account, entry = here.account(), here.entry()
        order = here.order(account, here.contract(account), line(entry, "2026-11-20", None), EffectiveDate="2026-11-20")
        customer, price = by.customer(account), by.price(entry)
        subscription = by.evergreen(order, customer, here.lines_of(order)[0], price)
        settle(here)
        return order, subscription


class TestWhatItSays:
    """What is adopted bills what its orders say, or that is told and nothing is done."""

    def test_prices_that_were_copied(self, there: World, connector: Connector) -> None:
        """The connector bills an amendment of the same product by an archived copy of the price."""
        sale = Sale(there, connector, told=False)
        added = there.order(sale.account, sale.contract, line(sale.entry, MIDDLE, END, Quantity=2), EffectiveDate=MIDDLE)
        copy = connector.price(sale.entry, copy=True, salesforce_duplicate="true")
        (more,) = there.lines_of(added)
        connector.api.subscription_schedules.cancel(sale.schedule)
        first = (START, MIDDLE, {sale.line: (sale.price, 1)})
        both = (MIDDLE, END, {sale.line: (sale.price, 1), more: (copy, 2)})
        connector.schedule(sale.order, sale.customer, first, both, told=[sale.order, added])
        connector.api.prices.update(copy, {"active": False})
        settle(there)
        before, billed = counts(there), billing(there)
        report = there.run(added, **CPQ_POLICIES, customer_update="never")
        assert (report.outcome, codes(report)) == ("synced", ["schedule_adopted"])
        assert (counts(there), billing(there)) == (before, billed)
        settle(there)
        third = there.order(sale.account, sale.contract, line(there.entry(5), "2027-09-01", END), EffectiveDate="2027-09-01")
        assert there.run(third, **CPQ_POLICIES).outcome == "synced"
        priced = [{item["price"]: item["quantity"] for item in phase["items"]} for phase in there.schedules()[1]["phases"]]
        assert priced[:2] == [{sale.price: 1}, {sale.price: 1, copy: 2}]
        assert priced[2].items() > priced[1].items()

    def test_what_is_past_is_not_compared(self, there: World, flows: BillingFlows) -> None:
        account, entries = there.account(), [there.entry(), there.entry(20)]
        contract = there.contract(account)
        orders = [there.order(account, contract, line(entries[0], START, END))]
        orders.append(there.order(account, contract, line(entries[1], MIDDLE, END), EffectiveDate=MIDDLE))
        customer, prices = flows.customer(account), [flows.price(entry) for entry in entries]
        both = dict.fromkeys(prices, 1)
        flows.schedule(contract, orders, customer, (START, MIDDLE, {prices[0]: 1}), (MIDDLE, END, both))
        at(there, "2027-07-10")
        report = there.run(orders[1])
        assert (report.outcome, codes(report)) == ("synced", ["schedule_adopted"])

    def test_what_the_deployment_states_for_orders_that_do_not(self, there: World, flows: BillingFlows) -> None:
        account, entry = there.account(), there.entry()
        contract = there.contract(account)
        order = there.order(account, contract, line(entry, START, END))
        customer, price = flows.customer(account), flows.price(entry)
        made = flows.schedule(contract, [order], customer, (START, END, {price: 1}))
        settings = {"collection_method": "send_invoice", "invoice_settings": {"days_until_due": 30}}
        flows.api.subscription_schedules.update(made, {"default_settings": settings})
        settle(there)
        report = there.run(order, collection_method="send_invoice", days_until_due=30)
        assert (report.outcome, codes(report)) == ("synced", ["schedule_adopted"])

    def test_a_discount_that_runs(self, there: World, flows: BillingFlows) -> None:
        account, entry = there.account(), there.entry()
        contract = there.contract(account)
        lines = line(entry, START, END, Stripe_Discount_Percent_Off__c=10)
        order = there.order(account, contract, lines)
        customer, price = flows.customer(account), flows.price(entry)
        coupon = flows.api.coupons.create({"percent_off": 10, "duration": "forever", "max_redemptions": 1}).id
        flows.schedule(contract, [order], customer, (START, END, {price: 1}), coupon=coupon)
        at(there, "2027-02-10")
        before, billed = counts(there), billing(there)
        report = there.run(order, customer_update="never")
        assert (report.outcome, codes(report)) == ("synced", ["schedule_adopted"])
        assert (counts(there), billing(there)) == (before, billed)
        (running,) = there.subscription()["items"]["data"][0]["discounts"]
        there.clock.advance(MOMENT)
        added = there.order(account, contract, line(there.entry(), MIDDLE, END), EffectiveDate=MIDDLE)
        assert there.run(added).outcome == "synced"
        assert there.subscription()["items"]["data"][0]["discounts"] == [running]
        # The new phase has a coupon of its own, as every place has.
        assert len(there.stripe.objects(ACCOUNT, "coupon")) == before["coupon"] + 1

    def test_inclusive_ends(self, there: World, connector: Connector) -> None:
        """The connector adds a day to an end date, and so does the policy."""
        account, entry = there.account(), there.entry()
        order = there.order(account, there.contract(account), line(entry, START, "2027-11-30"))
        (only,) = there.lines_of(order)
        phase = (START, END, {only: (connector.price(entry), 1)})
        connector.schedule(order, connector.customer(account), phase)
        settle(there)
        assert codes(there.run(order)) == ["adopted_differs", "schedule_adopted"]
        report = there.run(order, end_dates="inclusive")
        assert (report.outcome, codes(report)) == ("synced", ["schedule_adopted"])

    @pytest.mark.parametrize(("policy", "outcome"), [("error", "failed"), ("repair", "synced")])
    def test_what_differs(self, there: World, connector: Connector, policy: str, outcome: str) -> None:
        sale = Sale(there, connector)
        there.salesforce.update("OrderItem", sale.line, {"Quantity": 4})
        report = there.run(sale.order, on_drift=policy)
        assert (report.outcome, {*codes(report)}) == (outcome, {"adopted_differs", "schedule_adopted"})
        (quantity,) = [item["quantity"] for phase in there.schedule()["phases"] for item in phase["items"]]
        assert quantity == (1 if policy == "error" else 4)
        assert bool(there.record("Order", sale.order)[SCHEDULE]) == (policy == "repair")

    @staticmethod
    def with_a_fee(here: World, by: Connector) -> Sale:
        """A schedule of two phases, of which the later one comes with a fee."""
        sale = Sale(here, by, told=False)
        by.api.subscription_schedules.cancel(sale.schedule)
        product = here.stripe.objects(ACCOUNT, "product")[0]["id"]
        fee = by.api.prices.create({"product": product, "currency": "usd", "unit_amount": 500}).id
        first, later = (START, MIDDLE, {sale.line: (sale.price, 1)}), (MIDDLE, END, {sale.line: (sale.price, 1)})
        by.schedule(sale.order, sale.customer, first, later, add_invoice_items=[{"price": fee}])
        return sale

    @pytest.mark.parametrize(("policy", "outcome"), [("error", "failed"), ("repair", "synced")])
    def test_one_time_items_to_come_are_not_dropped_unasked(
        self, there: World, connector: Connector, policy: str, outcome: str
    ) -> None:
        """The connector's own prorations stand in the phase that they come with."""
        sale = self.with_a_fee(there, connector)
        settle(there)
        assert there.run(sale.order).outcome == "synced"
        assert [len(phase["add_invoice_items"]) for phase in there.schedules()[1]["phases"]] == [0, 1]
        settle(there)
        added = there.order(sale.account, sale.contract, line(there.entry(), MIDDLE, END), EffectiveDate=MIDDLE)
        report = there.run(added, on_drift=policy)
        assert (report.outcome, codes(report)) == (outcome, ["items_dropped"])
        kept = [len(phase["add_invoice_items"]) for phase in there.schedules()[1]["phases"]]
        assert kept == ([0, 1] if policy == "error" else [0, 0])

    def test_what_a_phase_has_billed_once_stays_billed_once(self, there: World, connector: Connector) -> None:
        sale = self.with_a_fee(there, connector)
        at(there, "2027-07-10")
        billed = there.stripe.invoice_items(ACCOUNT)
        assert there.run(sale.order).outcome == "synced"
        there.clock.advance(MOMENT)
        added = there.order(sale.account, sale.contract, line(there.entry(), "2027-09-01", END), EffectiveDate="2027-09-01")
        assert there.run(added).outcome == "synced"
        assert there.stripe.invoice_items(ACCOUNT) == billed

    def test_one_that_was_cancelled(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector)
        connector.api.subscription_schedules.cancel(sale.schedule)
        settle(there)
        report = there.run(sale.order)
        assert (report.outcome, codes(report), writes(there)) == ("failed", ["schedule_ended"], [])
        assert len(there.schedules()) == 1

    def test_a_contract_that_is_cancelled_before_it_is_adopted(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector)
        assert there.cancel(sale.order).outcome == "synced"
        assert there.schedule()["status"] == "canceled"

    def test_a_run_that_is_killed_anywhere(self, there: World, connector: Connector) -> None:
        runs, calls = mortal(there.contract_runs(), 1_000, after=False)
        OrderActivation(runs).run(Sale(there, connector).order, event_id="e", org_id=ORG)
        assert "subscription_schedules.update" in calls
        for number in range(len(calls)):
            for after in (False, True):
                sale = Sale(there, connector)
                before, billed = counts(there), billing(there)
                killed, _ = mortal(there.contract_runs(), number, after=after)
                with suppress(KilledError):
                    OrderActivation(killed).run(sale.order, event_id="e", org_id=ORG)
                there.clock.advance(LEASE + MOMENT)
                assert there.run(sale.order).outcome in ("synced", "unchanged"), calls[number]
                assert (counts(there), billing(there)) == (before, billed)
                assert there.record("Contract", str(sale.contract))[SCHEDULE] == sale.schedule


class TestWhatIsNotAdopted:
    """Nothing is sent, and the order says why."""

    @pytest.mark.parametrize(("when", "own"), [("on", False), ("on", True), ("off", True)])
    def test_what_bills_another_customer(self, there: World, flows: BillingFlows, when: Adopting, own: bool) -> None:
        """As a contract has it that was cloned for another account."""
        there.mapping = ADOPTING.adopting(when)
        accounts, entry = [there.account(), there.account()], there.entry()
        contracts = [there.contract(account) for account in accounts]
        orders = [there.order(*both, line(entry, START, END)) for both in zip(accounts, contracts, strict=True)]
        customers, price = [flows.customer(account) for account in accounts], flows.price(entry)
        for account, customer in zip(accounts, customers, strict=True):
            there.salesforce.update("Account", account, {CUSTOMER: customer})
        made = flows.schedule(contracts[0], [], customers[0], (START, END, {price: 1}))
        there.salesforce.update("Contract", contracts[1], {SCHEDULE if own else FLOWS: made})
        settle(there)
        report = there.run(orders[1])
        assert (report.outcome, codes(report), writes(there)) == ("failed", ["not_adopted"], [])
        assert all(one in report.message for one in (*customers, made))
        there.salesforce.update("Contract", contracts[1], {SCHEDULE: None, FLOWS: None})
        there.salesforce.update("Contract", contracts[0], {SCHEDULE: made})
        assert there.run(orders[0]).outcome == "synced"

    def test_what_was_cancelled_beside_what_goes_on(self, there: World, connector: Connector) -> None:
        """It must not come back as if it had been sold since."""
        sale, other = self.two(there, connector)
        connector.api.subscription_schedules.cancel(sale.schedule)
        settle(there)
        report = there.run(other, on_drift="repair")
        assert (report.outcome, codes(report), writes(there)) == ("failed", ["not_adopted"], [])
        assert f"order {there.record('Order', sale.order)['OrderNumber']} is" in report.message

    def test_what_was_cancelled_and_only_its_metadata_says_whose_it_was(self, there: World, connector: Connector) -> None:
        sale, other = self.two(there, connector)
        for order in (sale.order, other):
            there.salesforce.update("Order", order, {CPQ: None})
        connector.api.subscription_schedules.cancel(sale.schedule)
        settle(there)
        report = there.run(other, on_drift="repair")
        assert (report.outcome, codes(report), writes(there)) == ("failed", ["not_adopted"], [])

    def test_what_was_cancelled_and_names_no_order(self, there: World, flows: BillingFlows) -> None:
        """It may have billed each order that names nothing."""
        account, entries = there.account(), [there.entry(), there.entry()]
        contract = there.contract(account)
        orders = [there.order(account, contract, line(entry, START, END)) for entry in entries]
        customer, prices = flows.customer(account), [flows.price(entry) for entry in entries]
        ended = flows.schedule(contract, [], customer, (START, END, {prices[0]: 1}))
        made = flows.schedule(contract, orders[1:], customer, (START, END, {prices[1]: 1}))
        there.salesforce.update("Contract", contract, {FLOWS: ended})
        flows.api.subscription_schedules.cancel(ended)
        settle(there)
        report = there.run(orders[1], on_drift="repair")
        assert (report.outcome, codes(report), writes(there)) == ("failed", ["not_adopted"], [])
        there.salesforce.update("Order", orders[0], {FLOWS: made})
        there.clock.advance(MOMENT)
        assert there.run(orders[1], on_drift="repair").outcome == "synced", "what goes on bills that order as well"

    def test_what_has_ended_with_its_order_keeps_nothing_up(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector)
        short = there.order(sale.account, sale.contract, line(entry := there.entry(), START, MIDDLE))
        (only,) = there.lines_of(short)
        connector.schedule(short, sale.customer, (START, MIDDLE, {only: (connector.price(entry), 1)}))
        at(there, "2027-06-10")
        report = there.run(sale.order)
        assert (report.outcome, "schedule_adopted" in codes(report)) == ("synced", True)
        assert there.record("Contract", str(sale.contract))[SCHEDULE] == sale.schedule

    @pytest.mark.parametrize(
        ("field", "value", "said"),
        [
            ("trial_end", seconds("2027-01-20"), "a trial"),
            ("default_tax_rates", [{"id": "txr_1"}], "tax rates"),
            ("automatic_tax", {"enabled": True}, "automatic tax"),
        ],
    )
    def test_a_subscription_that_would_lose_something(
        self, there: World, connector: Connector, monkeypatch: pytest.MonkeyPatch, field: str, value: object, said: str
    ) -> None:
        """Stripe keeps it on the subscription; our phases do not say it."""
        order, subscription = TestSubscriptionsWithoutASchedule.sold(there, connector)
        show = StripeConnection.show

        def shown(self: StripeConnection, kind: str, *asked: Any) -> dict[str, Any] | None:
            found = show(self, kind, *asked)
            return {**found, field: value} if found and kind == "subscriptions" else found

        monkeypatch.setattr(StripeConnection, "show", shown)
        report = there.run(order)
        assert (report.outcome, codes(report), writes(there)) == ("failed", ["not_adopted"], [])
        assert said in report.message
        assert subscription in report.message

    @staticmethod
    def two(here: World, by: Connector) -> tuple[Sale, str]:
        """A contract with two orders, each with a schedule of its own."""
        sale = Sale(here, by)
        other = here.order(sale.account, sale.contract, line(entry := here.entry(), START, END))
        (only,) = here.lines_of(other)
        by.schedule(other, sale.customer, (START, END, {only: (by.price(entry), 1)}))
        return sale, other


class TestBothAtOnce:
    """Another product that was not switched off."""

    def test_what_it_does_first_is_adopted(self, there: World, connector: Connector) -> None:
        """As an amendment that it has sent already: the orders say the same."""
        sale = Sale(there, connector)
        there.run(sale.order)
        settle(there)
        added = there.order(sale.account, sale.contract, line(there.entry(), MIDDLE, END), EffectiveDate=MIDDLE)
        price = connector.price(there.salesforce.record("OrderItem", there.lines_of(added)[0])["PricebookEntryId"])
        first, both = {"price": sale.price, "quantity": 1}, {"price": price, "quantity": 1}
        phases = [
            {"start_date": seconds(START), "end_date": seconds(MIDDLE), "items": [first]},
            {"end_date": seconds(END), "items": [first, both]},
        ]
        connector.api.subscription_schedules.update(sale.schedule, {"phases": phases})
        settle(there)
        report = there.run(added)
        assert (report.outcome, codes(report)) == ("synced", [])
        assert not [name for name in writes(there) if name.startswith("subscription")]

    def test_what_it_does_as_well_is_told(self, there: World, connector: Connector) -> None:
        account, entry = there.account(), there.entry()
        order = there.order(account, there.contract(account), line(entry, START, END))
        assert there.run(order).outcome == "synced"
        (ours,) = there.schedules()
        (only,) = there.lines_of(order)
        theirs = connector.schedule(order, ours["customer"], (START, END, {only: (connector.price(entry), 1)}))
        settle(there)
        report = there.run(order)
        assert (report.outcome, codes(report), writes(there)) == ("failed", ["billed_elsewhere"], [])
        assert theirs in report.message
        connector.api.subscription_schedules.cancel(theirs)
        there.clock.advance(MOMENT)
        assert there.run(order).outcome == "synced"


class TestBeforehand:
    def test_a_preview_says_what_is_adopted(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector)
        found = there.previews().run(sale.order)
        assert [one.code for one in found.plan.findings] == ["schedule_adopted"]
        assert found.request == f"POST /v1/subscription_schedules/{sale.schedule}"
        assert found.params.keys() == {"metadata"}
        assert writes(there) == []

    def test_an_outlook_for_each_contract(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector)
        fresh = there.order(sale.account, there.contract(sale.account), line(sale.entry, START, END))
        gone = there.order(sale.account, there.contract(sale.account), line(sale.entry, START, END), **noted("sub_sched_gone"))
        looked = [there.previews().outlook(order) for order in (sale.order, fresh, gone)]
        assert [(one.word, one.schedule_id) for one in looked] == [
            ("adopted", sale.schedule),
            ("created", None),
            ("refused", None),
        ]
        assert "does not exist in this Stripe account" in looked[2].text
        assert writes(there) == []


class TestTheOrg:
    def test_without_any_of_the_fields(self) -> None:
        """Salesforce refuses a query that names a field which is not there."""
        with world() as here:
            here.mapping = ADOPTING
            order = here.order(account := here.account(), here.contract(account), line(here.entry(), START, END))
            assert here.run(order).outcome == "synced"
            assert len(here.schedules()) == 1

    def test_what_is_spelt_in_another_case(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector)
        there.mapping = read_mapping(f'[adopt]\norder = ["{CPQ.upper()}"]').adopting()
        report = there.run(sale.order)
        assert codes(report) == ["schedule_adopted"]
        assert len(there.schedules()) == 1

    def test_what_must_not_be_read_is_as_if_it_were_not_there(self, there: World, connector: Connector) -> None:
        sale = Sale(there, connector)
        there.salesforce.set_access("Order", CPQ, level="none")
        report = there.run(sale.order)
        assert codes(report) == ["schedule_adopted"]
        assert "which its metadata names" in report.message

    @pytest.mark.parametrize(
        ("status", "code", "kind"),
        [
            (503, "SERVER_UNAVAILABLE", TransientError),
            (403, "REQUEST_LIMIT_EXCEEDED", TransientError),
            (403, None, ConfigurationError),
        ],
    )
    def test_what_cannot_be_described_now_is_not_taken_for_missing(
        self,
        there: World,
        flows: BillingFlows,
        monkeypatch: pytest.MonkeyPatch,
        status: int,
        code: str | None,
        kind: type[OrderphaseError],
    ) -> None:
        """What these fields name bills already, and another price than the book's."""
        account, entry = there.account(), there.entry()
        contract = there.contract(account)
        order = there.order(account, contract, line(entry, START, END))
        there.salesforce.update("PricebookEntry", entry, {CPQ: (price := flows.price(there.entry()))})
        made = flows.schedule(contract, [order], flows.customer(account), (START, END, {price: 1}))
        settle(there)
        runs = there.flow()

        def refused(client: Any, method: str, path: str, *more: Any, **options: Any) -> Any:
            answer = call(client, method, path, *more, **options)
            if path != "composite/batch":
                return answer
            return {
                "results": [{"statusCode": status, "result": [{"errorCode": code, "message": "x"}]} for _ in answer["results"]]
            }

        with monkeypatch.context() as patched:
            patched.setattr(shape, "call", refused)
            with pytest.raises(kind):
                there.run(order, runs)
        there.clock.advance(LEASE + MOMENT)
        assert there.run(order, runs).outcome == "synced", "nothing of it was remembered"
        assert [one["id"] for one in there.schedules()] == [made]

    def test_an_object_that_the_org_does_not_have(self, there: World) -> None:
        assert Org(there.salesforce_client()).present({"Nothing__c": ("A__c",), "Contract": (FLOWS,)}) == {
            "Nothing__c": (),
            "Contract": (FLOWS,),
        }

    def test_it_is_described_once(self, there: World, connector: Connector) -> None:
        first, second = Sale(there, connector), Sale(there, connector)
        runs = there.flow()
        there.run(first.order, runs)
        there.forget_calls()
        assert there.run(second.order, runs).outcome == "synced"
        assert len(there.salesforce.log) == 2


def test_an_import_fills_our_own_fields() -> None:
    """What the connector has noted is no second product, and no second price."""
    with catalogue_world(fields=FIELDS) as here:
        here.mapping = ADOPTING
        by = Connector(here, api(here))
        entries = [here.entry(), here.entry(20)]
        prices = [by.price(entry) for entry in entries]
        waiting = here.run_import(dry_run=True)
        assert (waiting.products.written, waiting.prices.written) == (2, 2)
        here.run_import()
        assert [here.record("PricebookEntry", entry)["Stripe_Price_Id__c"] for entry in entries] == prices
        assert all(product["Stripe_Product_Id__c"] == product[CPQ] for product in all_products(here))
        again = here.run_import()
        assert (again.products.written, again.prices.written, len(all_products(here))) == (0, 0, 2)


def test_an_event_of_a_product_makes_no_second_one() -> None:
    with catalogue_world(fields=FIELDS) as here:
        here.mapping = ADOPTING
        by = Connector(here, api(here))
        by.price(here.entry())
        (product,) = all_products(here)
        here.edit_product(product[CPQ], name="Seats")
        assert here.product_event(product[CPQ]).outcome == "synced"
        (after,) = all_products(here)
        assert (after["Id"], after["Name"], after["Stripe_Product_Id__c"]) == (product["Id"], "Seats", product[CPQ])


def all_products(here: CatalogueWorld) -> list[dict[str, Any]]:
    ids = here.salesforce.query("SELECT Id FROM Product2")
    return [here.record("Product2", row["Id"]) for row in ids]
