"""What the doctor finds out, and what it takes for granted about a deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orderphase.mapping import Adopting

Severity = Literal["missing", "warning", "ok"]

ORDER_FLOWS = frozenset({"OrderActivation", "OrderItemUpdate", "Cancellation", "Reconciliation"})
CATALOGUE_FLOWS = frozenset({"ProductUpsert", "PriceUpsert"})
ACCOUNT_FLOWS = frozenset({"AccountUpsert"})
FLOWS = ORDER_FLOWS | CATALOGUE_FLOWS | ACCOUNT_FLOWS
"""The flows, called as the template's parameters that switch them on."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at.

    severity: `missing`, a flow that is on does not work without it; `warning`, none needs it now, or it works and may go wrong;
    `ok`. where: the system, or a part of it. remedy: what to do; empty where it is fine.
    """

    severity: Severity
    where: str
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Uses:
    """What a deployment uses.

    flows: those that are on. records: whether the runs of orders are recorded in Salesforce. currency: that of an org that has
    only one; None where it is not known. adopting: when what another product bills is looked for.
    """

    flows: frozenset[str] = FLOWS
    write_back: Literal["full", "ids_only", "none"] = "full"
    records: bool = False
    currency: str | None = None
    adopting: Adopting = "off"

    def lacking(self, needed_by: frozenset[str], where: str, what: str, remedy: str) -> Diagnosis:
        """Something that these flows need is not there: a warning, where all of them are off."""
        if needed_by & self.flows:
            return Diagnosis("missing", where, what, remedy)
        return Diagnosis("warning", where, f"{what} (needed once {' or '.join(sorted(needed_by))} is on)", remedy)


@dataclass(frozen=True, slots=True)
class Feed:
    """How Stripe's events come from an account.

    events: the types of events that have to be sent. api: the base address of the deployment's API, None where it is not known.
    """

    events: tuple[str, ...]
    api: str | None = None
