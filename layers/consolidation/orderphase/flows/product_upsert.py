"""Product upsert: a Stripe product becomes a Product2, and a Product2 a Stripe product; each exists once, and follows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from orderphase.domain.listing import ProductState, StripeProduct, changed_metadata, plain_text, sent_name
from orderphase.domain.requests import ORG_ID
from orderphase.errors import DataError
from orderphase.flows.catalogue_upserts import Edit, Upsert
from orderphase.flows.runs import Report
from orderphase.mapping import MirrorFields
from orderphase.salesforce.writing import write_back
from orderphase.store.catalogue import agreed_fact, agreed_key, news

FLOW = "product_upsert"


class ProductUpsert(Upsert):
    """The flow."""

    flow = FLOW

    @property
    def mirror(self) -> MirrorFields:
        """Where Stripe's own package mirrors a product."""
        return self._upserts.mapping.mirrored_product

    def from_salesforce(
        self,
        record_id: str,
        *,
        event_id: str,
        org_id: str,
        changed_fields: Sequence[str] | None = None,
        changed_by: str | None = None,
    ) -> Report:
        """Handle a Product2 that was made or changed. `changed_fields`, `changed_by`: what and by whom, where it is known."""
        names, edit = self._upserts.mapping.product, Edit(changed_fields, changed_by)
        return self._upserts.of_salesforce(
            FLOW,
            record_id,
            event_id=event_id,
            org_id=org_id,
            edit=edit,
            ours=("Name", names.name, names.description, "IsActive"),
            id_field=names.product_id,
            work=lambda: self._send(record_id, edit),
        )

    def bring(self, product_id: str) -> Report:
        """Bring a product of Stripe's into the price book."""
        product = self._upserts.stripe.product(product_id)
        return self._upserts.bring(product_id, product) if product else self._upserts.end_product(product_id)

    def _send(self, record_id: str, edit: Edit) -> Report:
        """Bring a Product2 to Stripe. It is not archived with it: that would be in the way of running contracts."""
        upserts = self._upserts
        state = upserts.records.product(record_id)
        if state is None:
            return Report("skipped", f"Product2 {record_id} is not in Salesforce any more.", record_id)
        product, id_field = state.product, upserts.mapping.product.product_id
        if upserts.is_link(edit, id_field, product.product_id):
            return Report("skipped", f"Only {id_field} has changed.", record_id)
        product_id, linked = upserts.catalogue.product_id(product), []
        if product_id is None:
            if not state.active:
                message = f"Product2 {record_id} is not active; its Stripe product is made when it is, or is sold."
                return Report("skipped", message, record_id)
            made = upserts.catalogue.ensure_product(product, org_id=upserts.org_id)
            write_back(upserts.records.client, made.updates)
            if made.new:
                return Report("synced", f"Product {made.id} has this content from now on.", record_id)
            product_id, linked = made.id, [f"Product {made.id} was there already."]
        params, notes = self._follow(state, product_id)
        if not params:
            message = " ".join([*linked, f"Product {product_id} has it already.", *notes])
            return Report("synced" if linked else "unchanged", message, record_id)
        message = f"Product {product_id} has another {', '.join(params)} now."
        return Report("synced", " ".join([*linked, message, *notes]), record_id)

    def _follow(self, state: ProductState, product_id: str) -> tuple[dict[str, Any], list[str]]:
        """Have a Stripe product say what its Product2 does, but for what Stripe has changed since both sides agreed.

        Answers the parameters that were sent, and what is to be told.
        """
        facts = self._upserts.facts
        there = self._upserts.stripe.product(product_id)
        if there is None:
            field = self._upserts.mapping.product.product_id
            message = f"There is no product {product_id} in Stripe (any more). Clear {field} to have one made."
            raise DataError(message, code="resource_missing")
        key = agreed_key(product_id)
        known = facts.read([key]).get(key, {})
        ours = news(known, state.says)
        differing = {name for name, value in state.says.items() if value != there.says[name]}
        params = self._params(state, there, differing & ours)
        if params:
            self._upserts.stripe.update_product(product_id, params)
        same = {name: value for name, value in state.says.items() if name in params or name not in differing}
        if (agreed := {**known, **agreed_fact(same)}) != known:
            facts.note(key, agreed)
        notes = []
        if kept := [name for name in ("name", "description") if name in differing - ours]:
            notes.append(f"Stripe has another {' and '.join(kept)} since, which its own event brings.")
        if there.active and not state.active:
            notes.append("The Product2 is not active; the Stripe product stays, for the contracts that run.")
        return params, notes

    def _params(self, state: ProductState, there: StripeProduct, changed: Collection[str]) -> dict[str, Any]:
        """What of a Product2 its Stripe product is to be told: of name and description, what has changed."""
        product, org_id = state.product, self._upserts.org_id
        says = {"name": sent_name(product.name), "description": plain_text(product.description)}
        params: dict[str, Any] = {name: text for name, text in says.items() if name in changed}
        metadata = {key: product.metadata.get(key, "") for key in self._upserts.mapping.metadata.product}
        if there.metadata.get(ORG_ID, org_id) == org_id:  # another org's product stays its own
            metadata |= {ORG_ID: org_id, "salesforce_product_id": product.id}
        if differing := changed_metadata(there.metadata, metadata):
            params["metadata"] = differing
        return params
