"""Whatever level is set for a function's log, the libraries do not tell what they handle."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from functions.order_activation import app
from orderphase.telemetry import LIBRARIES
from sandbox.serving import Response
from tests.flows.world import KEY, ORG
from tests.functions.deployed import Output, deployed, take

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))
NAME, PHONE, MAIL = "Geheim & Partner", "+49 30 555 0199", "diskreta@geheimrat.example"


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO], ids=logging.getLevelName)
def test_neither_secrets_nor_what_a_record_holds(
    level: int, monkeypatch: pytest.MonkeyPatch, output: Output, caplog: pytest.LogCaptureFixture
) -> None:
    """Lambda's runtime gives the root logger the level that the template sets."""
    with deployed(monkeypatch) as here:
        monkeypatch.setattr(app.worker, "_built", None)
        caplog.set_level(level)
        account = here.account(Name=NAME, Phone=PHONE)
        contact = here.salesforce.create("Contact", {"LastName": "Roe", "AccountId": account, "Email": MAIL})
        line = {"PricebookEntryId": here.entry(), "EndDate": "2027-12-01"}
        order = here.order(account, here.contract(account), line, BillToContactId=contact)
        refusal = {"error": {"type": "invalid_request_error", "code": "email_invalid", "message": f"Invalid email: {MAIL}"}}
        answer = here.stripe.handle

        def refuse(request: Any) -> Response:
            is_customer = request.method == "POST" and request.path == "/v1/customers"
            return Response(400, refusal) if is_customer else answer(request)

        here.stripe.handle = refuse  # type: ignore[method-assign]  # words that repeat what was sent
        message = json.loads((ROOT / "events" / "order_activation.json").read_text())["Records"][0]
        event = json.loads(message["body"]) | {"org_id": ORG, "record_id": order, "data": {}}
        assert take(app, message | {"body": json.dumps(event)}) == []
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Failed"
        monkeypatch.setattr(app.worker, "_built", None)
    assert output.lines()[0]["message"] == "failed"
    written = output.text + caplog.text + "".join(record.getMessage() for record in caplog.records)
    for hidden in (NAME, "555 0199", MAIL, KEY, '"secret"', "SALESFORCE_CLIENT_SECRET", "Bearer", "access_token"):
        assert hidden not in written


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_them_keep_quiet(name: str) -> None:
    code = (
        f"import logging, functions.{name}.app\n"
        f"assert all(logging.getLogger(one).level == logging.WARNING for one in {LIBRARIES!r})"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
