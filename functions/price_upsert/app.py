"""Takes changed prices of Stripe and price book entries from the queue. The rest is in `orderphase.flows.price_upsert`."""

from __future__ import annotations

from orderphase import loading
from orderphase.bootstrap.catalogue import price_upsert
from orderphase.ingress.events import PRICEBOOK_ENTRY_UPSERTED, STRIPE_PRICE_UPSERTED
from orderphase.ingress.stripe_events import PRICE_TYPES
from orderphase.worker import catalogue_worker

worker = catalogue_worker(price_upsert, PRICE_TYPES, PRICEBOOK_ENTRY_UPSERTED, STRIPE_PRICE_UPSERTED)
handler = loading.done(worker.handler)
