"""The deployed stack as whoever operates it sees it: one id through all logs, the sync log, the dashboard and the alarms."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import requests

from orderphase.ingress.signature import sign
from sandbox.stack import STACK_NAME, LocalStack
from tests.alarms import ALWAYS, namespace
from tests.stack.company import Company, until


def logged(stack: LocalStack, function: str, correlation_id: str) -> list[dict[str, Any]]:
    """The lines of a function that are about an id."""
    lines = [json.loads(line) for line in stack.function_logs(function) if line.startswith("{")]
    return [line for line in lines if line.get("correlation_id") == correlation_id]


def test_one_id_leads_from_the_request_through_the_logs_to_the_sync_log(company: Company, stack: LocalStack) -> None:
    order = company.sell(company.account(), company.entry())
    contract = company.synced(order)["ContractId"]
    event_id = f"evt-{uuid4().hex}"
    body = company.event("order.activated", order, event_id, contract_id=contract)
    signature = sign(stack.webhook_secret, body, datetime.now(UTC))
    headers = {"Content-Type": "application/json", "X-Orderphase-Signature": signature}
    answer = requests.post(f"{stack.url}/salesforce/events", body, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()) == (202, {"accepted": True, "id": event_id})
    given = answer.headers["X-Orderphase-Correlation-Id"]

    run = until(lambda: [one for one in company.runs(order) if one["event_id"] == event_id], "the run")[0]
    assert run["correlation_id"] == given
    (taken,) = logged(stack, "salesforce_webhook", given)
    assert (taken["event_id"], taken["outcome"]) == (event_id, "EventAccepted")
    (worked,) = until(lambda: logged(stack, "order_activation", given), "the line of the run")
    assert (worked["event_id"], worked["message"], worked["contract_id"]) == (event_id, "unchanged", contract)

    code, printed = company.command("sync-log", "--order", order, "--json", "--limit", "1")
    (entry,) = json.loads(printed)["entries"]
    assert (code, entry["correlation_id"], entry["event_id"], entry["outcome"]) == (0, given, event_id, "unchanged")
    assert entry["calls"]["stripe"] == 1


def test_the_sync_log_by_order_outcome_and_time(company: Company) -> None:
    faulty = company.sell(company.account(), company.entry(), Stripe_Collection_Method__c="send_invoice")
    assert company.synced(faulty)["Stripe_Sync_Status__c"] == "Failed"
    number = company.record("Order", faulty)["OrderNumber"]

    code, printed = company.command("sync-log", "--order", faulty)
    assert code == 0
    assert f"{number} {faulty}" in printed
    assert "correlation id " in printed
    assert company.record("Order", faulty)["Stripe_Sync_Message__c"].splitlines()[0] in printed

    code, printed = company.command("sync-log", "--outcome", "failed", "--flow", "OrderActivation", "--since", "1h", "--json")
    entries = json.loads(printed)["entries"]
    assert code == 0
    assert {entry["outcome"] for entry in entries} == {"failed"}
    (mine,) = [entry for entry in entries if entry["order_id"] == faulty]
    assert (mine["order_number"], [found["code"] for found in mine["findings"]]) == (number, ["missing_days_until_due"])
    assert mine["findings"][0]["remedy"]

    code, printed = company.command("sync-log", "--until", "1h", "--since", "2h")
    assert (code, "No entries from " in printed) == (0, True)


def test_the_dashboard_and_the_alarms_are_those_of_this_stack(stack: LocalStack) -> None:
    cloudwatch = stack.aws("cloudwatch")
    assert stack.outputs["DashboardName"] == STACK_NAME
    body = cloudwatch.get_dashboard(DashboardName=STACK_NAME)["DashboardBody"]
    assert "${" not in body
    widgets = json.loads(body)["widgets"]
    (status,) = [widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm"]
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix=STACK_NAME)["MetricAlarms"]
    assert {alarm["AlarmArn"] for alarm in alarms} == set(status)
    assert len(alarms) == len(ALWAYS)
    own = [alarm for alarm in alarms if not alarm["Namespace"].startswith("AWS/")]
    assert {alarm["Namespace"] for alarm in own} == {namespace(STACK_NAME)}
    assert {len(alarm["Dimensions"]) for alarm in own} == {1}
