"""What the clock starts to find the contracts that are to be looked at. It asks our own tables, and no vendor."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import boto3

from orderphase.bootstrap.aws import AWS, reconciling
from orderphase.flows.rolling_window import RollingWindow
from orderphase.flows.sweep import Sweep
from orderphase.ingress.events import SalesforceEvent
from orderphase.ingress.queues import FlowQueues
from orderphase.settings import RollingWindowSettings, SweepSettings
from orderphase.store.contracts import ContractTable
from orderphase.store.progress import Progress


def sweep(environment: Mapping[str, str]) -> Sweep:
    """Build the sweep. Raises `ConfigurationError` naming the variable at fault."""
    settings = SweepSettings.from_environment(environment)
    dynamodb = boto3.client("dynamodb", config=AWS)
    enqueue = reconciling(settings.reconciliation_queue)
    return Sweep(
        ContractTable(dynamodb, settings.contract_table),
        Progress(dynamodb, settings.progress_table),
        lambda contract_id, org_id, event_id, billed: enqueue(
            contract_id, org_id, event_id, {"reason": "sweep", "billed": billed}
        ),
        rate=settings.rate,
    )


def rolling_window(environment: Mapping[str, str]) -> RollingWindow:
    """Build the rolling window. Raises `ConfigurationError` naming the variable at fault."""
    settings = RollingWindowSettings.from_environment(environment)
    table = ContractTable(boto3.client("dynamodb", config=AWS), settings.contract_table)
    queues = FlowQueues(boto3.client("sqs", config=AWS), {"order.activated": settings.order_activation_queue})

    def enqueue(contract_id: str, order_id: str, org_id: str, due: datetime) -> None:
        grouped = {"contract_id": contract_id} if contract_id != order_id else {}
        event = {
            "id": f"due-{order_id}-{due:%Y%m%dT%H%M%SZ}",
            "type": "order.activated",
            "org_id": org_id,
            "record_id": order_id,
            "occurred_at": due.isoformat(),
            "data": {"contract_due": True, **grouped},
        }
        queues.send(SalesforceEvent.of(event), correlation_id=str(event["id"]))

    return RollingWindow(table, enqueue)
