"""The flows that commands run, and no function."""

from __future__ import annotations

from collections.abc import Mapping

from orderphase.bootstrap.catalogue import records
from orderphase.bootstrap.flow_parts import FlowParts
from orderphase.flows.catalogue_import import CatalogueImport
from orderphase.flows.preview import Previews


def catalogue_import(environment: Mapping[str, str]) -> CatalogueImport:
    """Build the import of a catalogue, from the environment of a flow's function. Raises as the flows do."""
    parts = FlowParts(environment)
    facts = parts.facts(parts.stripe.default)
    return CatalogueImport(records(parts), parts.stripe, facts, told=parts.policies.write_back != "none")


def preview(environment: Mapping[str, str]) -> Previews:
    """Build the preview, from the environment of a flow's function. Raises as the flows do."""
    return Previews(FlowParts(environment).contract_runs())
