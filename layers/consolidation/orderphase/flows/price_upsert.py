"""Price upsert: a Stripe price becomes an entry of the standard price book, and an entry a Stripe price."""

from __future__ import annotations

from collections.abc import Sequence

from orderphase.domain.listing import NotListedError
from orderphase.flows.catalogue_upserts import Edit, Upsert
from orderphase.flows.runs import Report
from orderphase.mapping import MirrorFields
from orderphase.salesforce.writing import write_back

FLOW = "price_upsert"


class PriceUpsert(Upsert):
    """The flow."""

    flow = FLOW

    @property
    def mirror(self) -> MirrorFields:
        """Where Stripe's own package mirrors a price."""
        return self._upserts.mapping.mirrored_price

    def from_salesforce(
        self,
        record_id: str,
        *,
        event_id: str,
        org_id: str,
        changed_fields: Sequence[str] | None = None,
        changed_by: str | None = None,
    ) -> Report:
        """Handle a price book entry that was made or changed. `changed_fields`, `changed_by`: where they are known."""
        names, edit = self._upserts.mapping.price_book_entry, Edit(changed_fields, changed_by)
        parents = ("Product2Id", "Pricebook2Id", "CurrencyIsoCode", "UnitPrice", "IsActive")
        return self._upserts.of_salesforce(
            FLOW,
            record_id,
            event_id=event_id,
            org_id=org_id,
            edit=edit,
            ours=(*parents, names.unit_price, names.interval, names.interval_count),
            id_field=names.price_id,
            work=lambda: self._send(record_id, edit),
        )

    def bring(self, price_id: str) -> Report:
        """Bring a price of Stripe's into the price book."""
        found = self._upserts.stripe.price(price_id)
        if found is None:
            return self._upserts.end_price(price_id)
        price, product = found
        if price.kind is not None and price.active:
            raise NotListedError(f"Price {price_id}", price.kind)
        records = self._upserts.records
        if not records.sells_in(price.currency):
            raise NotListedError(f"Price {price_id}", f"is in {price.currency}; this org has {records.currency} only")
        return self._upserts.bring(price_id, product, price)

    def _send(self, record_id: str, edit: Edit) -> Report:
        """Make sure that Stripe has a price with what an entry says, and sells it.

        The price is looked at where the entry may have been switched on, and where Stripe has never said that it is sold.
        """
        upserts = self._upserts
        found = upserts.records.entry(record_id)
        if found is None:
            return Report("skipped", f"Price book entry {record_id} is not in Salesforce any more.", record_id)
        state, product = found
        what, id_field = f"Price book entry {record_id}", upserts.mapping.price_book_entry.price_id
        if upserts.is_link(edit, id_field, state.price_id):
            return Report("skipped", f"Only {id_field} has changed.", record_id)
        if not state.standard:
            return Report("skipped", f"{what} is not of the standard price book, and Stripe's prices are.", record_id)
        if not (state.active and product.active):
            whose = "is not active" if not state.active else "is of a product that is not active"
            message = f"{what} {whose}. Its Stripe price, if there is one, stays for the contracts that run."
            return Report("skipped", message, record_id)
        look = not edit.changed or "isactive" in edit.changed
        made = upserts.catalogue.ensure_price(state.entry, org_id=upserts.org_id, look=look)
        write_back(upserts.records.client, made.updates)
        if made.replaced is not None:
            left = "is archived, or not in Stripe (any more)" if made.lost else "stays for the contracts that run"
            return Report("synced", f"Price {made.id} has what the entry says now; {made.replaced} {left}.", record_id)
        if made.new:
            return Report("synced", f"The entry's price is {made.id}.", record_id)
        return Report("unchanged", f"The entry's price is {made.id} as before.", record_id)
