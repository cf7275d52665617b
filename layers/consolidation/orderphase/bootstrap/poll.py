"""What looks for contracts that have changed. It asks Salesforce, and nobody else."""

from __future__ import annotations

from collections.abc import Mapping

from orderphase.bootstrap.aws import reconciling
from orderphase.bootstrap.parts import Parts
from orderphase.flows.changed_contracts import ChangedContract, ChangedContracts, Reason
from orderphase.salesforce.changes import Changes
from orderphase.settings import PollSettings
from orderphase.store.progress import Progress


def poll(environment: Mapping[str, str]) -> ChangedContracts:
    """Build it. Raises `ConfigurationError` naming the variable, secret or mapping key at fault."""
    parts, settings = Parts(environment), PollSettings.from_environment(environment)
    enqueue = reconciling(settings.reconciliation_queue)

    def found(contract: ChangedContract, reason: Reason) -> None:
        event_id = f"{reason}-{contract.contract_id}-{contract.changed_at:%Y%m%dT%H%M%SZ}"
        enqueue(contract.contract_id, parts.client.org_id, event_id, {"reason": reason, "order_id": contract.order_id})

    return ChangedContracts(
        Changes(parts.client, parts.mapping),
        parts.contract_table(),
        Progress(parts.dynamodb, settings.progress_table),
        found,
    )
