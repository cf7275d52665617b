"""The flows that work on products and prices."""

from __future__ import annotations

from collections.abc import Mapping

from orderphase.bootstrap.flow_parts import FlowParts
from orderphase.flows.catalogue_upserts import CatalogueUpserts
from orderphase.flows.price_upsert import PriceUpsert
from orderphase.flows.product_upsert import ProductUpsert
from orderphase.salesforce.catalogue import CatalogueRecords


def product_upsert(environment: Mapping[str, str]) -> ProductUpsert:
    """Build the product upsert flow. Raises `ConfigurationError` naming the variable, secret or mapping key at fault."""
    return ProductUpsert(_upserts(FlowParts(environment)))


def price_upsert(environment: Mapping[str, str]) -> PriceUpsert:
    """Build the price upsert flow. Raises as `product_upsert`."""
    return PriceUpsert(_upserts(FlowParts(environment)))


def records(parts: FlowParts) -> CatalogueRecords:
    """Salesforce's side of the catalogue."""
    return CatalogueRecords(parts.org, parts.mapping, parts.settings.currency)


def _upserts(parts: FlowParts) -> CatalogueUpserts:
    """What the upserts of products and prices share."""
    return CatalogueUpserts(
        records=records(parts),
        accounts=parts.stripe,
        catalogue=parts.contract_runs().desk(parts.stripe.default).catalogue,
        runs=parts.runs(),
        mapping=parts.mapping,
        ignore_own_events=parts.settings.ignore_own_events,
        facts=parts.facts(parts.stripe.default),
    )
