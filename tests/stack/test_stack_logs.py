"""What the deployed functions log: enough to follow an event, and nothing that is nobody's business."""

from __future__ import annotations

from tests.stack.company import DEADLINE, Company, until

FLOWS = ("order_activation", "order_item_update", "cancellation", "product_upsert", "price_upsert", "account_upsert")
FUNCTIONS = ("salesforce_webhook", "stripe_webhook", *FLOWS, "rolling_window")


def test_no_log_line_names_a_person_or_a_secret(company: Company) -> None:
    """After everything that the tests before it have made the functions log."""
    account = company.account(Name="Geheim & Partner", Phone="+49 30 555 0199", BillingStreet="Geheimweg 7")
    order = company.sell(account, company.entry())
    company.synced(order)
    company.salesforce.update("OrderItem", company.lines_of(order)[0], {"Quantity": 2})
    until(lambda: len(company.runs(order)) == 2, "the run of the changed line")
    company.send(order, f"{order}-cancel", "order.cancellation_requested", mode="now")
    until(lambda: company.record("Order", order)["Stripe_Sync_Status__c"] == "Cancelled", "the cancellation")
    company.stack.settle(DEADLINE)
    company.look_for_due_contracts()
    held = [secret.items() for secret in company.stack.secrets.values()]
    hidden = [value for values in held for name, value in values if value and name.endswith(("SECRET", "PREVIOUS", "KEY"))]
    hidden += ["Geheim", "555 0199"]
    for function in FUNCTIONS:
        lines = company.stack.function_logs(function)
        assert [line for line in lines if line.startswith("REPORT RequestId")], function
        for line in lines:
            assert not [text for text in hidden if text in line]
