"""What the upserts of products and prices share: how an event is taken, and how Stripe's catalogue gets into the price book.

The event is a hint: what it is about is read again, on both sides, and only what differs is written. So an event that comes
late, twice or before an earlier one does no harm. What both sides last agreed on is remembered: an event of one side carries
over what that side has changed since, and leaves alone what the other has.

Stripe's events write to Salesforce under every `write_back`, which is about what becomes of orders: whoever does not want that
has none delivered. Under `none`, Salesforce's events write nothing there, and the ids that we alone know count as if Salesforce
had them: they are not written, and no other price takes an entry that has one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from orderphase.domain.catalogue import Product
from orderphase.domain.listing import (
    EntryState,
    NotListedError,
    ProductState,
    StripePrice,
    StripeProduct,
    is_contested,
    listed_price,
    matching_product,
    wanted_entry,
    wanted_product,
    without_price,
)
from orderphase.errors import ConflictError, DataError
from orderphase.flows.agreement import Agreement
from orderphase.flows.catalogue import CatalogueSource
from orderphase.flows.runs import Report, Runs
from orderphase.mapping import FieldMapping, MirrorFields
from orderphase.salesforce.catalogue import CatalogueRecords, Change, Held
from orderphase.store.catalogue import Catalogue as Facts
from orderphase.stripe.accounts import StripeAccounts
from orderphase.stripe.catalogue import StripeCatalogue


@dataclass(frozen=True, slots=True)
class Edit:
    """A change in Salesforce, as its event tells it: API names of the fields, and the user.

    Without fields, or without a user, it does not say.
    """

    fields: Sequence[str] | None = None
    user_id: str | None = None

    @property
    def changed(self) -> frozenset[str]:
        """The fields in lower case."""
        return frozenset(name.lower() for name in self.fields or ())


class CatalogueUpserts:
    """The collaborators of the upsert flows.

    catalogue: makes Stripe objects of Salesforce's records, in the default account. facts: what is remembered of that account.
    """

    def __init__(
        self,
        *,
        records: CatalogueRecords,
        accounts: StripeAccounts,
        catalogue: CatalogueSource,
        runs: Runs,
        mapping: FieldMapping,
        ignore_own_events: bool,
        facts: Facts,
    ) -> None:
        self.records = records
        self.catalogue = catalogue
        self.mapping = mapping
        self.facts = facts
        self._accounts = accounts
        self._runs = runs
        self._ignore_own_events = ignore_own_events

    @property
    def org_id(self) -> str:
        """The org's 18-character id."""
        return self.records.client.org_id

    @property
    def account(self) -> str:
        """The account whose ids Salesforce has. Product2 and PricebookEntry have one field for it each."""
        return self._accounts.default

    @property
    def stripe(self) -> StripeCatalogue:
        """The catalogue of that account."""
        return StripeCatalogue(self._accounts.connection(self.account), org_id=self.org_id)

    # How an event is taken

    def of_stripe(self, flow: str, object_id: str, *, account: str, event_id: str, work: Callable[[str], Report]) -> Report:
        """Handle an event of Stripe's about a product or price."""

        def handle() -> Report:
            if account != self.account:
                message = f"The price book has the catalogue of the Stripe account {self.account}; this is one of {account}."
                return Report("skipped", message, object_id)
            return work(object_id)

        return self._run(flow, object_id, event_id, handle)

    def of_mirror(
        self,
        flow: str,
        record_id: str,
        *,
        event_id: str,
        org_id: str,
        stripe_id: str | None,
        names: MirrorFields,
        work: Callable[[str], Report],
    ) -> Report:
        """Handle a change of a record in which Stripe's own package mirrors a product or price. `work` is given Stripe's id."""

        def handle() -> Report:
            object_id = stripe_id or self.records.mirrored(names.object, names.stripe_id, record_id)
            if object_id is None:
                message = f"{names.object} {record_id} is not in Salesforce any more, or has no {names.stripe_id}."
                return Report("skipped", message, record_id)
            return replace(work(object_id), contract_id=record_id)

        return self._of_org(flow, record_id, event_id, org_id, handle)

    def of_salesforce(
        self,
        flow: str,
        record_id: str,
        *,
        event_id: str,
        org_id: str,
        edit: Edit,
        ours: Collection[str],
        id_field: str,
        work: Callable[[], Report],
    ) -> Report:
        """Handle a change of a record. `ours`: the fields that these flows write; `id_field`: the one with Stripe's id.

        What the integration user changes in these fields counts as ours, without a request: another feed needs its own user.
        """

        def handle() -> Report:
            if self._ignore_own_events and edit.changed and edit.user_id is not None:
                us = edit.user_id[:15] == self.records.client.user_id[:15]
                if us and edit.changed <= {name.lower() for name in (*ours, id_field)}:
                    message = (
                        "The integration user changed only fields that Orderphase writes, so this counts as its own change "
                        "(IgnoreOwnEvents). Use another user for edits."
                    )
                    return Report("skipped", message, record_id)
            return work()

        return self._of_org(flow, record_id, event_id, org_id, handle)

    def is_link(self, edit: Edit, id_field: str, stripe_id: str | None) -> bool:
        """Whether a record was only given its Stripe id. Whoever clears it wants an object made."""
        return self._ignore_own_events and edit.changed == {id_field.lower()} and stripe_id is not None

    def _of_org(self, flow: str, record_id: str, event_id: str, org_id: str, work: Callable[[], Report]) -> Report:
        def handle() -> Report:
            return self._runs.of_another_org(org_id, record_id) or work()

        return self._run(flow, record_id, event_id, handle)

    def _run(self, flow: str, record_id: str, event_id: str, work: Callable[[], Report]) -> Report:
        """What somebody has to correct is reported and is no exception; everything else is raised, to be tried again."""

        def handle() -> Report:
            try:
                return self._unless_raced(work)
            except NotListedError as problem:
                return Report(problem.outcome, problem.message, record_id)
            except DataError as problem:
                return Report("failed", problem.message, record_id, error=problem)

        return self._runs.run(flow, self._runs.new_id(), record_id, event_id, handle)

    @staticmethod
    def _unless_raced(work: Callable[[], Report]) -> Report:
        """Do it again where the other flow was quicker: product and price are often made at once, and a queue waits minutes."""
        try:
            return work()
        except ConflictError:
            return work()

    # How Stripe's catalogue gets into the price book

    def bring(self, subject: str, product: StripeProduct, price: StripePrice | None = None) -> Report:
        """Bring a product, or one of its prices, into the price book: two requests to Salesforce, one where nothing differs.

        A product brings its default price along. A price brings its product only where Salesforce does not have that yet.
        Raises NotListedError.
        """
        leading = price or product.default
        read = self.records.read(product_id=product.id, made_of=product.made_of, price_id=leading.id if leading else None)
        plan = self._plan(subject, read, product.id)
        record = matching_product(product, plan.held.by_product_id(product.id), plan.held.by_id(product.made_of))
        wanted, notes = wanted_product(product, record, plan.agreed.news(product))
        if price is None or record is None or record.product.product_id is None:
            plan.product, plan.notes = Change(record, wanted), notes
        if leading is not None and self.records.sells_in(leading.currency) and (price is not None or leading.bar is None):
            self._list(plan, product, price, leading.currency, wanted.product)
        if price is not None and not plan.entries:
            plan.product = None  # a product that shows no price comes with its own event
        if plan.product is not None or (record is not None and record.says == product.says):
            plan.given = product
        return self._carry_out(plan)

    def _list(self, plan: _Plan, product: StripeProduct, price: StripePrice | None, currency: str, record: Product) -> None:
        """Plan what becomes of the entry of a product and currency. `record`: the Product2, without id until it is made."""
        default = product.default if product.default is not None and product.default.currency == currency else None
        entry = plan.held.entry(record.id, currency)
        rivals = {one.id: one for one in (default, price) if one is not None}
        sold = plan.agreed.sold(entry) if entry is not None else None
        contested = is_contested(entry, price, default, sold=sold)
        if contested:
            rivals |= {one.id: one for one in self.stripe.active_prices(product.id, currency)}
            named = entry.price_id if entry is not None and sold is not False else None
            if named is not None and named not in rivals and (elsewhere := self.stripe.price(named)) is not None:
                rivals[named] = elsewhere[0]
        if contested or entry is None or entry.price_id is None or (entry.price_id in rivals and rivals[entry.price_id].active):
            plan.chosen = listed_price(rivals.values(), entry)
        if price is not None and price.id not in (plan.chosen and plan.chosen.id, entry and entry.price_id):
            if price.bar is not None:
                raise NotListedError(f"Price {price.id}", price.bar)
            plan.notes.append(f"Price {price.id} is not the one that is listed.")
        holder = plan.held.holder(plan.chosen.id) if plan.chosen else None
        if holder is not None and holder != entry:
            raise NotListedError(f"Price {holder.price_id}", f"is on another price book entry already: {holder.id}", "failed")
        if contested or plan.chosen is not None:
            plan.settle(entry, record)

    def end_product(self, product_id: str) -> Report:
        """A product that is gone in Stripe: its Product2 and the entries of it are not sold any more."""
        plan = self._plan(product_id, self.records.read(product_id=product_id), product_id)
        record = plan.held.by_product_id(product_id)
        if record is None:
            return Report("skipped", f"Product {product_id} is neither in Stripe (any more) nor in Salesforce.", product_id)
        plan.product = Change(record, ProductState(replace(record.product, product_id=None), active=False))
        plan.notes.append("Stripe has the product no more.")
        for entry in plan.held.entries_of(record.product.id):
            plan.entries.append(Change(entry, without_price(entry, gone=True, sold=plan.agreed.sold(entry))))
        plan.agreed.note_product_gone(product_id)
        return self._carry_out(plan)

    def end_price(self, price_id: str) -> Report:
        """A price that is gone in Stripe: another one takes its place, or its entry is not sold any more."""
        plan = self._plan(price_id, self.records.read(price_id=price_id))
        entry = plan.held.holder(price_id)
        if entry is None or not entry.standard:
            message = f"Price {price_id} is not in Stripe (any more), and no standard price book entry lists it."
            return Report("skipped", message, price_id)
        plan.notes.append(f"Stripe has the price {price_id} no more.")
        product, currency = entry.entry.product, entry.entry.currency
        if product.product_id is not None and currency is not None:
            plan.chosen = listed_price(self.stripe.active_prices(product.product_id, currency), entry)
        plan.settle(entry, product, gone=True)
        return self._carry_out(plan)

    def _plan(self, subject: str, read: Held, *product_ids: str) -> _Plan:
        agreed = Agreement(self.facts, read.products, read.entries, product_ids, told=self.catalogue.told)
        return _Plan(subject, read, agreed)

    def _carry_out(self, plan: _Plan) -> Report:
        """Write what differs, remember what both sides say then, and report."""
        records, agreed = self.records, plan.agreed
        product = [plan.product] if plan.product and records.product_fields(plan.product) else []
        names = [f"Product2 {change.wanted.product.id}".rstrip() for change in product]
        names += [f"PricebookEntry {change.wanted.id}".rstrip() for change in plan.entries if records.entry_fields(change)]
        entry_id = None
        if names:
            for change in plan.entries:
                if change.held is not None:
                    agreed.note_before(change.held, change.wanted, plan.chosen)
            entry_id = self._write(plan)
        if plan.given is not None:
            agreed.note_product(plan.given)
        for change in plan.entries:
            made = replace(change.wanted.entry, id=change.wanted.id or str(entry_id))
            agreed.note_entry(change.held, replace(change.wanted, entry=made), plan.chosen)
        text = " ".join(plan.notes)
        if not names:
            return Report("unchanged", text or "Salesforce has it as Stripe has it.", plan.subject)
        return Report("synced", f"Written: {', '.join(names)}. {text}".rstrip(), plan.subject)

    def _write(self, plan: _Plan) -> str | None:
        """Write, and answer the first entry's id. A refusal where something has changed meanwhile is a conflict."""
        try:
            return self.records.write(plan.read.book, plan.product, plan.entries)
        except DataError as problem:
            if self.records.has_changed(plan.read):
                raise ConflictError(f"Salesforce has changed while it was written to: {problem.message}") from None
            raise


@dataclass(slots=True)
class _Plan:
    """What is to be written for one event.

    subject: what the event is about. read: what Salesforce has. given: Stripe's product, where both sides agree about it then.
    chosen: the price that the entry lists then; of several entries, none lists one any more.
    """

    subject: str
    read: Held
    agreed: Agreement
    given: StripeProduct | None = None
    product: Change[ProductState] | None = None
    entries: list[Change[EntryState]] = field(default_factory=list)
    chosen: StripePrice | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def held(self) -> Held:
        """What Salesforce has, with the ids that we alone know."""
        return replace(self.read, products=self.agreed.products, entries=self.agreed.entries)

    def settle(self, entry: EntryState | None, product: Product, *, gone: bool = False) -> None:
        """Have the entry list the chosen price; without one, have it sold no more. `gone`: its own price is no more."""
        sold = self.agreed.sold(entry) if entry is not None else None
        if self.chosen is not None:
            wanted, notes = wanted_entry(self.chosen, entry, product, sold=sold)
            if not wanted.active:
                notes = [*notes, "The entry was switched off in Salesforce, and stays so."]
        elif entry is not None:
            wanted, notes = without_price(entry, gone=gone, sold=sold), ["No other price takes its place."]
            if wanted.active:
                notes.append("The entry was switched on in Salesforce since, and stays so.")
        else:
            return
        self.entries.append(Change(entry, wanted))
        self.notes += notes


class Upsert(ABC):
    """What the flows of products and of prices have in common: how they take an event of Stripe's, or of its mirror."""

    flow: str

    def __init__(self, upserts: CatalogueUpserts) -> None:
        self._upserts = upserts

    @property
    @abstractmethod
    def mirror(self) -> MirrorFields:
        """Where Stripe's own package mirrors what this flow is about."""

    @abstractmethod
    def bring(self, object_id: str, /) -> Report:
        """Bring what Stripe has into the price book. Raises NotListedError."""

    def from_stripe(self, object_id: str, *, account: str, event_id: str) -> Report:
        """Handle the event that something was made, changed or deleted in one of our accounts."""
        return self._upserts.of_stripe(self.flow, object_id, account=account, event_id=event_id, work=self.bring)

    def from_mirror(self, record_id: str, *, event_id: str, org_id: str, stripe_id: str | None = None) -> Report:
        """Handle a change of a record that mirrors it in Salesforce. The record is read where no id is given."""
        return self._upserts.of_mirror(
            self.flow, record_id, event_id=event_id, org_id=org_id, stripe_id=stripe_id, names=self.mirror, work=self.bring
        )
