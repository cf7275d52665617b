"""Takes changed products of Stripe and of Salesforce from the queue. The rest is in `orderphase.flows.product_upsert`."""

from __future__ import annotations

from orderphase import loading
from orderphase.bootstrap.catalogue import product_upsert
from orderphase.ingress.events import PRODUCT_UPSERTED, STRIPE_PRODUCT_UPSERTED
from orderphase.ingress.stripe_events import PRODUCT_TYPES
from orderphase.worker import catalogue_worker

worker = catalogue_worker(product_upsert, PRODUCT_TYPES, PRODUCT_UPSERTED, STRIPE_PRODUCT_UPSERTED)
handler = loading.done(worker.handler)
