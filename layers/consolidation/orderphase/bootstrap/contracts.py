"""The flows that work on contracts, and on the accounts that they are with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from orderphase.bootstrap.flow_parts import FlowParts
from orderphase.flows.account_upsert import AccountUpsert
from orderphase.flows.cancellation import Cancellation
from orderphase.flows.order_activation import OrderActivation
from orderphase.flows.order_item_update import OrderItemUpdate
from orderphase.flows.reconciliation import Reconciliation


def order_activation(environment: Mapping[str, str]) -> OrderActivation:
    """Build the order activation flow. Raises `ConfigurationError` naming the variable, secret or mapping key at fault."""
    return OrderActivation(FlowParts(environment).contract_runs())


def order_item_update(environment: Mapping[str, str]) -> OrderItemUpdate:
    """Build the order item update flow. Raises as `order_activation`."""
    parts = FlowParts(environment)
    return OrderItemUpdate(parts.contract_runs(), parts.mapping.order_item)


def cancellation(environment: Mapping[str, str]) -> Cancellation:
    """Build the cancellation flow. Raises as `order_activation`."""
    return Cancellation(FlowParts(environment).contract_runs())


def account_upsert(environment: Mapping[str, str]) -> AccountUpsert:
    """Build the account upsert flow. Raises as `order_activation`."""
    parts = FlowParts(environment)
    desks = parts.contract_runs()
    return AccountUpsert(
        runs=parts.runs(),
        client=parts.client,
        accounts=parts.accounts,
        customers=[desks.desk(name).customers for name in parts.stripe.names],
        mapping=parts.mapping,
        policies=parts.policies,
        ignore_own=parts.settings.ignore_own_events,
    )


def reconciliation(environment: Mapping[str, str]) -> Reconciliation:
    """Build the reconciliation flow. Raises as `order_activation`."""
    parts = FlowParts(environment)
    watching = replace(parts.policies, on_schedule_ended="error")
    return Reconciliation(parts.contract_runs(), parts.contract_runs(watching))
