"""Every scenario of every flow, by its name."""

from __future__ import annotations

from tests.faults import catalogue, clockwork, contracts, edge

_ALL = (*contracts.SCENARIOS, *catalogue.SCENARIOS, *clockwork.SCENARIOS, *edge.SCENARIOS)
SCENARIOS = {scenario.name: scenario for scenario in _ALL}
assert len(SCENARIOS) == len(_ALL), "two scenarios have one name"
FLOWS = tuple(dict.fromkeys(scenario.flow for scenario in SCENARIOS.values()))
