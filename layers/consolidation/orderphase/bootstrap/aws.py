"""How the flows wait for AWS, and how what finds contracts has them looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import boto3

from orderphase.aws import patience
from orderphase.bootstrap import clock
from orderphase.ingress.events import CONTRACT_RECONCILE, SalesforceEvent
from orderphase.ingress.queues import FlowQueues

AWS = patience(connect=2, read=5)


def reconciling(queue: str) -> Callable[[str, str, str, Mapping[str, Any]], None]:
    """What queues a contract to be looked at: its id, the org's id, an id for the event, and its data."""
    queues = FlowQueues(boto3.client("sqs", config=AWS), {CONTRACT_RECONCILE.name: queue})

    def enqueue(contract_id: str, org_id: str, event_id: str, data: Mapping[str, Any]) -> None:
        event = {
            "id": event_id,
            "type": CONTRACT_RECONCILE.name,
            "org_id": org_id,
            "record_id": contract_id,
            "occurred_at": clock.now().isoformat(),
            "data": dict(data),
        }
        queues.send(SalesforceEvent.of(event), correlation_id=event_id)

    return enqueue
