"""Everything that the functions do, once, for a customer whose data is easy to recognise.

For what can only be said of all functions together: that each permission is used, and that nobody's data gets into a log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import requests

from orderphase.flows.retry import Retry
from orderphase.flows.sweep import SWEEP
from orderphase.ingress.signature import sign
from orderphase.store.dead_letters import DeadLetters, Queue
from orderphase.store.sync_log import Entry, SyncLog
from sandbox.build import FLOWS
from sandbox.salesforce_emulator.emulator import TOKEN_PATH
from sandbox.stack import SALESFORCE_CLIENT_SECRET, STRIPE_ACCOUNT, STRIPE_KEY
from tests.stack.company import DEADLINE, Company, until
from tests.stack.deployed_roles import Deployed

PERSON = {
    "Name": "Geheimrat & Partner GmbH",
    "Phone": "+49 30 5550199",
    "BillingStreet": "Verschwiegenweg 7",
    "BillingCity": "Stillstadt",
    "BillingPostalCode": "98765",
}
CONTACT = {"FirstName": "Diskreta", "LastName": "Vertraulich", "Email": "diskreta@geheimrat.example"}
# AppFlow's, whose events do not say which org they come from.
SALESFORCE_SOURCE = "aws.partner/appflow/salesforce.com/000000000000/orders"
STRIPE_SOURCE = "aws.partner/stripe.com/ed_test_61FullRun"
SOURCES = {"SalesforceEventSource": SALESFORCE_SOURCE, "StripeEventSource": STRIPE_SOURCE}

NOWHERE = "http://127.0.0.1:9/"


class FullRun:
    """The run. second, second_key: name and API key of the stack's second Stripe account.

    `switched`: the event source mappings that recovery has switched off, by their logical ids. `hidden`: what no log may have.
    """

    def __init__(self, company: Company, deployed: Deployed, *, second: str, second_key: str) -> None:
        self.company, self.deployed = company, deployed
        self.stack, self.sqs = company.stack, company.stack.aws("sqs")
        self.stripe_account = STRIPE_ACCOUNT
        self.switched: set[str] = set()
        self.hidden = {
            *PERSON.values(),
            *CONTACT.values(),
            "Geheimrat",
            "diskreta",
            STRIPE_KEY,
            SALESFORCE_CLIENT_SECRET,
            second_key,
        }
        for secret in self.stack.secrets.values():
            self.hidden |= {
                value for name, value in secret.items() if value and name.endswith(("SECRET", "PREVIOUS", "KEY", "TOKEN"))
            }
        self._second = second

    def run(self) -> None:
        """Do everything. Nothing waits afterwards, and no letter is dead."""
        for step in (
            self._contracts,
            self._catalogue,
            self._accounts,
            self._clock,
            self._cancellation,
            self._doors,
            self._event_buses,
            self._queues_that_refuse,
            self._outage,
            self._retries,
        ):
            step()
            self.stack.settle(DEADLINE)
        assert self.company.salesforce is not None
        # Access tokens, of the org's own making.
        self.hidden |= set(self.company.salesforce._tokens._issued)

    def _contracts(self) -> None:
        """Orders in both Stripe accounts, and a changed line of each."""
        company = self.company
        self.account = company.account(**PERSON)
        self.contact = company.salesforce.create("Contact", {"AccountId": self.account, **CONTACT})
        self.entry = company.entry()
        there = company.sell(self.account, self.entry, Stripe_Account__c=self._second, BillToContactId=self.contact)
        here = company.sell(self.account, self.entry, BillToContactId=self.contact)
        self.order, self.contract = here, company.synced(here)["ContractId"]
        self.other = there
        for order in (there, here):
            assert company.synced(order)["Stripe_Sync_Status__c"] == "Synced"
            self._forget_catalogue()
            company.salesforce.update("OrderItem", company.lines_of(order)[0], {"Quantity": 2})
            self.stack.settle(DEADLINE)

    def _catalogue(self) -> None:
        """A product and a price from Stripe, and back."""
        company = self.company
        self.product = company.api.products.create({"name": f"Full run {uuid4().hex[:8]}"}).id
        self.stack.settle(DEADLINE)
        monthly: Any = {"product": self.product, "currency": "usd", "unit_amount": 1200, "recurring": {"interval": "month"}}
        self.price = company.api.prices.create(monthly).id
        self.stack.settle(DEADLINE)
        (found,) = company.salesforce.query(f"SELECT Id FROM Product2 WHERE Stripe_Product_Id__c = '{self.product}'")
        company.salesforce.update("Product2", found["Id"], {"Name": "Renamed"})
        company.salesforce.update("PricebookEntry", self.entry, {"UnitPrice": 11})
        (schedule,) = company.schedules(self.contract)
        company.api.subscription_schedules.update(schedule["id"], {"metadata": {"seen_by": "a person"}})

    def _accounts(self) -> None:
        """A customer that follows its account, in both Stripe accounts."""
        self.company.salesforce.update("Account", self.account, {"BillingCity": PERSON["BillingCity"].upper()})
        self.hidden.add(PERSON["BillingCity"].upper())

    def _clock(self) -> None:
        """What the clock starts: a contract whose phases are due, one of which no event came, and all in turn."""
        company, tables = self.company, self.stack.aws("dynamodb")
        yesterday = datetime.now(UTC) - timedelta(days=1)
        tables.update_item(
            TableName=self.stack.outputs["ContractTableName"],
            Key={"contract_id": {"S": self.contract}},
            UpdateExpression="SET extension = :due, extend_at = :then, intent.extend_at = :then",
            ExpressionAttributeValues={":due": {"S": "due"}, ":then": {"N": f"{yesterday.timestamp():.0f}"}},
        )
        assert self.deployed.invoke("RollingWindowFunction") == {"queued": 1}
        with self._unheard():
            missed = company.sell(self.account, self.entry)
        assert self.deployed.invoke("PollFunction")["queued"] >= 1
        assert company.synced(missed)["Stripe_Sync_Status__c"] == "Synced"
        # A round may be over, which is one a day.
        tables.delete_item(TableName=self.stack.outputs["ProgressTableName"], Key={"id": {"S": SWEEP}})
        assert self.deployed.invoke("ReconciliationSweepFunction")["queued"] >= 2

    def _cancellation(self) -> None:
        """The end of a contract in the second account, in a while; with a change order of which no event came."""
        company, today = self.company, self.company.today.isoformat()
        contract = company.record("Order", self.other)["ContractId"]
        end = (company.today + timedelta(days=100)).isoformat()
        with self._unheard():
            line = {"PricebookEntryId": company.entry(20), "EndDate": end}
            company.order(self.account, contract, line, EffectiveDate=today, Stripe_Account__c=self._second)
        company.send(self.other, f"{self.other}-cancel", "order.cancellation_requested", mode="on_date", date=end)
        until(lambda: company.record("Order", self.other)["Stripe_Sync_Status__c"] == "Cancelled", "the cancellation")

    def _doors(self) -> None:
        """Who knocks at each route, with and without being let in."""
        url, company = self.stack.url, self.company
        stranger = {"X-Orderphase-Signature": "t=1,v1=" + "0f" * 32, "X-Api-Key": "stranger-key-4711"}
        self.hidden |= {"0f" * 32, "stranger-key-4711", "stranger-token-4711"}
        assert self._post(f"{url}/salesforce/events", b"{}", stranger) == 401
        assert self._post(f"{url}/salesforce/outbound-messages/stranger-token-4711", b"<x/>", {}) == 401
        assert self._post(f"{url}/stripe/{self._second}/events", b"{}", {"Stripe-Signature": "t=1,v1=" + "0f" * 32}) == 400
        company.salesforce.send_outbound_messages(self.stack.outbound_messages_url)
        company.salesforce.update("Account", self.account, {"Phone": PERSON["Phone"][:-1]})
        company.salesforce.flush(DEADLINE)
        self.hidden.add(PERSON["Phone"][:-1])
        company.salesforce.send_outbound_messages(NOWHERE)

    def _event_buses(self) -> None:
        """What the flows take, by the partner event buses: events that are new there, of a connected account, and too many.

        And what is none, which is put aside.
        """
        for envelope in self._changes():
            self._put_on_bus(envelope)
        gap = next(one for one in self._changes() if one["detail-type"] == "OrderChangeEvent")
        header = gap["detail"]["ChangeEventHeader"]
        hour_ago = round((datetime.now(UTC) - timedelta(hours=1)).timestamp() * 1000)
        header |= {"changeType": "GAP_OVERFLOW", "recordIds": [], "commitTimestamp": hour_ago}
        self._put_on_bus(gap)
        for envelope in self._stripe_events():
            self._put_on_bus(envelope)
            envelope["detail"] |= {"id": f"evt_{uuid4().hex}", "account": "acct_nobodys"}
            self._put_on_bus(envelope)
        self._put_on_bus(gap | {"source": "aws.partner/salesforce.com/00D000000000001EAA/0YL000000000001"})
        until(lambda: self._letters("EventBus"), "what is no event of ours among the dead letters")
        self.sqs.purge_queue(QueueUrl=self.stack.outputs["EventBusDeadLetterQueueUrl"])

    def _queues_that_refuse(self) -> None:
        """Each way in, while a flow's queue does not take the event: it is forgotten, and taken when it comes again."""
        company = self.company
        line = company.lines_of(self.order)[0]
        body = company.event("order_item.updated", line, f"refused-{uuid4().hex}", contract_id=self.contract)
        with self._refusing("OrderItemUpdate"):
            assert self._post(f"{self.stack.url}/salesforce/events", body, self._signed(body)) == 503
        assert self._post(f"{self.stack.url}/salesforce/events", body, self._signed(body)) == 202
        told = next(envelope["detail"] for envelope in self._stripe_events() if envelope["detail-type"].startswith("product."))
        body = json.dumps(told).encode()
        with self._refusing("ProductUpsert"):
            assert self._post(self.stack.stripe_events_url, body, self._signed_by_stripe(body)) == 503
        assert self._post(self.stack.stripe_events_url, body, self._signed_by_stripe(body)) == 200
        failed = len(self._failures())
        with self._refusing("AccountUpsert"):
            self._put_on_bus(next(one for one in self._changes() if one["detail-type"] == "AccountChangeEvent"))
            until(lambda: len(self._failures()) > failed, "the failure behind the event bus")
        self.sqs.purge_queue(QueueUrl=self.stack.outputs["EventBusQueueUrl"])

    def _outage(self) -> None:
        """Every flow while Salesforce takes nothing: messages become dead letters. Nor a login: recovery stops the flows."""
        company = self.company
        company.salesforce.inject("refuse", error="API_DISABLED_FOR_ORG", path="/services/data", times=10**6)
        for flow, event in self._events().items():
            self._enqueue(flow, "Queue", event)
        until(lambda: all(self._letters(flow) for flow in FLOWS), "a dead letter of each flow")
        company.salesforce.inject("refuse", error="inactive_user", path=TOKEN_PATH, times=10**6)
        assert self.deployed.invoke("RecoveryFunction") == {"open": 1}
        mappings = self.stack.aws("lambda").list_event_source_mappings()["EventSourceMappings"]
        stopped = {mapping["UUID"] for mapping in mappings if mapping["State"] == "Disabled"}
        self.switched = {name for name, physical in self.deployed.ids.items() if physical in stopped}
        company.salesforce.faults.clear()
        assert self.deployed.invoke("RecoveryFunction") == {"open": 0, "replayed": 0, "later": 0, "left": len(FLOWS)}
        for flow in FLOWS:
            self.sqs.purge_queue(QueueUrl=self.stack.outputs[f"{flow}DeadLetterQueueUrl"])

    def _retries(self) -> None:
        """A letter of each flow that only had bad luck, an hour later: what recovery does then, with recovery's role.

        The function itself goes by the real clock, and the letters are not old enough for that.
        """
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        outputs = self.stack.outputs
        log = SyncLog(self.stack.aws("dynamodb"), outputs["SyncLogTableName"])
        for flow, event in self._events().items():
            failed: Any = {
                "outcome": "interrupted",
                "error": "transient",
                "message": "",
                "started_at": hour_ago,
                "finished_at": hour_ago,
            }
            about: Any = {"contract_id": event["record_id"], "order_id": event["record_id"], "event_id": event["id"]}
            log.add(Entry(run_id=uuid4().hex, flow=flow, **about, **failed))
            self._enqueue(flow, "DeadLetterQueue", event)
        queues = {flow: Queue(outputs[f"{flow}QueueUrl"], outputs[f"{flow}DeadLetterQueueUrl"]) for flow in FLOWS}
        with self.deployed.acting_as("RecoveryFunction") as client:
            of_recovery = SyncLog(client("dynamodb"), outputs["SyncLogTableName"])
            retry = Retry(DeadLetters(client("sqs"), queues), of_recovery, lambda: datetime.now(UTC) + timedelta(hours=1))
            assert retry.run().replayed == len(FLOWS)

    @contextmanager
    def _unheard(self) -> Iterator[None]:
        """Lose the events of what happens meanwhile."""
        salesforce = self.company.salesforce
        salesforce.notify(NOWHERE, "nobody listens")
        yield
        salesforce.flush(DEADLINE)
        salesforce.notify(f"{self.stack.url}/salesforce/events", self.stack.webhook_secret)

    def _forget_catalogue(self) -> None:
        """Lose the catalogue table, so that whatever needs it finds out again and notes it."""
        tables, table = self.stack.aws("dynamodb"), self.stack.outputs["CatalogueTableName"]
        for item in tables.scan(TableName=table)["Items"]:
            tables.delete_item(TableName=table, Key={"id": item["id"]})

    def _events(self) -> dict[str, dict[str, Any]]:
        """An event of Salesforce's for each flow."""
        company = self.company
        entry = company.record("PricebookEntry", self.entry)
        told: dict[str, tuple[str, str, dict[str, Any]]] = {
            "OrderActivation": ("order.activated", self.order, {"contract_id": self.contract}),
            "OrderItemUpdate": ("order_item.updated", company.lines_of(self.order)[0], {"contract_id": self.contract}),
            "Cancellation": ("order.cancellation_requested", self.other, {"mode": "now"}),
            "ProductUpsert": ("product.upserted", entry["Product2Id"], {}),
            "PriceUpsert": ("pricebook_entry.upserted", self.entry, {}),
            "AccountUpsert": ("account.upserted", self.account, {}),
            "Reconciliation": ("contract.reconcile", self.contract, {"reason": "sweep", "order_id": self.order}),
        }
        return {
            flow: json.loads(company.event(kind, record, f"full-run-{uuid4().hex}", **data))
            for flow, (kind, record, data) in told.items()
        }

    def _enqueue(self, flow: str, queue: str, event: dict[str, Any]) -> None:
        group = {"MessageGroupId": event["record_id"], "MessageDeduplicationId": event["id"]}
        self.sqs.send_message(QueueUrl=self.stack.outputs[f"{flow}{queue}Url"], MessageBody=json.dumps(event), **group)

    def _letters(self, flow: str) -> int:
        asked = {"QueueUrl": self.stack.outputs[f"{flow}DeadLetterQueueUrl"], "AttributeNames": ["ApproximateNumberOfMessages"]}
        return int(self.sqs.get_queue_attributes(**asked)["Attributes"]["ApproximateNumberOfMessages"])

    def _changes(self) -> Iterator[dict[str, Any]]:
        """The latest change of each object, as AppFlow puts it on its bus, each time as if it were new."""
        latest = {one["detail-type"]: one for one in self.company.salesforce.change_events(SALESFORCE_SOURCE)}
        for envelope in latest.values():
            detail = json.loads(json.dumps(envelope["detail"]["payload"]))
            detail["ChangeEventHeader"] |= {"transactionKey": str(uuid4()), "changeOrigin": ""}
            yield envelope | {"detail": detail}

    def _stripe_events(self) -> Iterator[dict[str, Any]]:
        """An event of a product, of a price and of a schedule, as Stripe puts it on its bus, each time as if it were new."""
        told = self.company.stripe.objects(STRIPE_ACCOUNT, "event")
        for kind in ("product.updated", "price.created", "subscription_schedule.updated"):
            event = next(one for one in reversed(told) if one["type"] == kind)
            fresh = json.loads(json.dumps(event)) | {
                "id": f"evt_{uuid4().hex}",
                "request": {"id": None, "idempotency_key": None},
            }
            yield {
                "version": "0",
                "id": str(uuid4()),
                "detail-type": kind,
                "source": STRIPE_SOURCE,
                "account": "000000000000",
                "time": "2026-11-20T10:00:00Z",
                "region": "us-east-1",
                "resources": [],
                "detail": fresh,
            }

    def _put_on_bus(self, envelope: dict[str, Any]) -> None:
        """Where a rule of the bus puts it; the local AWS knows no partner who could."""
        self.sqs.send_message(QueueUrl=self.stack.outputs["EventBusQueueUrl"], MessageBody=json.dumps(envelope))

    def _failures(self) -> list[str]:
        return [line for line in self.stack.function_logs("event_bus") if '"level":"ERROR"' in line]

    def _post(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        return requests.post(url, body, headers=headers, timeout=60).status_code

    def _signed(self, body: bytes) -> dict[str, str]:
        signature = sign(self.stack.webhook_secret, body, datetime.now(UTC))
        self.hidden.add(signature.rpartition("=")[2])
        return {"Content-Type": "application/json", "X-Orderphase-Signature": signature}

    def _signed_by_stripe(self, body: bytes) -> dict[str, str]:
        signature = sign(self.stack.secrets["StripeSecret"]["STRIPE_WEBHOOK_SECRET"], body, datetime.now(UTC))
        self.hidden.add(signature.rpartition("=")[2])
        return {"Content-Type": "application/json", "Stripe-Signature": signature}

    @contextmanager
    def _refusing(self, flow: str) -> Iterator[None]:
        """A flow's queue that nobody may send to."""
        queue = self.stack.outputs[f"{flow}QueueUrl"]
        usual = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["Policy", "QueueArn"])["Attributes"]
        nobody = {"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": usual["QueueArn"]}
        policy = {"Version": "2012-10-17", "Statement": [nobody]}
        self.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
        try:
            yield
        finally:
            self.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": usual["Policy"]})
