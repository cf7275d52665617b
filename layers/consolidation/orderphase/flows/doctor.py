"""The doctor: whether a deployment's settings, secrets, org and Stripe accounts fit together. It reads, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import groupby
from pathlib import Path

from orderphase.diagnosis import ACCOUNT_FLOWS, FLOWS, Diagnosis, Feed, Uses
from orderphase.errors import ConfigurationError, OrderphaseError
from orderphase.mapping import FieldMapping, load_mapping
from orderphase.salesforce import doctor as salesforce_doctor
from orderphase.salesforce.client import SalesforceClient
from orderphase.settings import FlowSettings, SalesforceCredentials, StripeAccountSettings, StripeCredentials
from orderphase.stripe import doctor as stripe_doctor
from orderphase.stripe.client import StripeConnection

_SALESFORCE_SECRET = str(FlowSettings.model_fields["salesforce_secret"].alias)

# Secrets Manager, and the key service behind it.
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "DecryptionFailure"})


class Doctor:
    """Looks at everything, and goes on where something is missing, so that all of it is told at once.

    environment: of a flow's function. secret: reads a secret by its id. mapping: the file. feed: how the catalogue comes from
    Stripe. flows: those that are on; None where that is not known, every one counts as on then.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        secret: Callable[[str], str],
        mapping: Path,
        now: Callable[[], datetime],
        feed: Feed,
        flows: frozenset[str] | None = None,
    ) -> None:
        self._environment = environment
        self._secret = secret
        self._mapping = mapping
        self._now = now
        self._feed = feed
        self._told = flows
        self._flows = FLOWS if flows is None else flows
        self._found: list[Diagnosis] = []

    def run(self) -> tuple[Diagnosis, ...]:
        """Answers what was found, in the order in which it was looked at."""
        uses, mapping = self._settings(), self._read_mapping()
        sandbox = self._salesforce(mapping, uses)
        self._stripe(sandbox, uses)
        return tuple(self._found)

    def _settings(self) -> Uses:
        """The environment, by the checks that the functions make when they start."""
        where = "Settings"
        off = FLOWS - self._flows
        flows = f"off: {', '.join(sorted(off))}" if off else "every flow counts as on"
        try:
            settings = FlowSettings.from_environment(self._environment)
        except ConfigurationError as problem:
            remedy = "correct the template's parameters that set these variables, and deploy it again"
            self._found.append(Diagnosis("missing", where, problem.message, remedy))
            return Uses(self._flows)
        self._found.append(Diagnosis("ok", where, f"the environment is complete; {flows}"))
        self._without_effect(settings)
        records = settings.sync_log_records and settings.write_back == "full"
        return Uses(self._flows, settings.write_back, records, settings.currency, adopting=settings.adopt_existing)

    def _without_effect(self, settings: FlowSettings) -> None:
        """What is switched on, and has no effect under another parameter."""
        if settings.sync_log_records and settings.write_back != "full":
            what = f"SyncLogRecords is on, but WriteBack is {settings.write_back}, so no records of runs are written"
            self._found.append(Diagnosis("warning", "Settings", what, "set WriteBack to full, or SyncLogRecords to off"))
        if settings.customer_update != "on_account_change" and self._told is not None and self._told >= ACCOUNT_FLOWS:
            what = f"AccountUpsert is on, but CustomerUpdate is {settings.customer_update}, so its events change nothing"
            remedy = "set CustomerUpdate to on_account_change, or AccountUpsert to off"
            self._found.append(Diagnosis("warning", "Settings", what, remedy))

    def _read_mapping(self) -> FieldMapping | None:
        try:
            mapping = load_mapping(self._mapping)
        except ConfigurationError as problem:
            remedy = "correct it; until then the org's objects and fields are not looked at"
            self._found.append(Diagnosis("missing", "Mapping", problem.message, remedy))
            return None
        found = f"{self._mapping} can be read" if self._mapping.exists() else "no mapping file: every default counts"
        self._found.append(Diagnosis("ok", "Mapping", f"{found}; what is deployed has the file that it was built with"))
        if mapping.defaults.collection_method == "send_invoice" and mapping.defaults.days_until_due is None:
            what = "defaults.collection_method is send_invoice without days_until_due, so every order has to state its own"
            self._found.append(Diagnosis("warning", "Mapping", what, "name defaults.days_until_due, unless that is meant"))
        return mapping

    def _salesforce(self, mapping: FieldMapping | None, uses: Uses) -> bool | None:
        """Answers whether the org is a sandbox, None where that is not known."""
        name = self._environment.get(_SALESFORCE_SECRET)
        if not name:
            self._found.append(_passed_over("Salesforce", "the org is not looked at"))
            return None
        try:
            credentials = SalesforceCredentials.from_secret(name, self._secret(name))
        except OrderphaseError as problem:
            self._found.append(_unusable(problem, name))
            return None
        grant = "client credentials" if credentials.private_key is None else "JWT bearer"
        self._found.append(Diagnosis("ok", "Secrets", f"{name}: complete, for {grant}"))
        examined = salesforce_doctor.examine(SalesforceClient(credentials, now=self._now), mapping, uses)
        self._found += examined.diagnoses
        return examined.sandbox

    def _stripe(self, sandbox: bool | None, uses: Uses) -> None:  # noqa: FBT001 (it is an answer, not a switch)
        try:
            settings = StripeAccountSettings.from_environment(self._environment)
        except ConfigurationError:
            self._found.append(_passed_over("Stripe", "no account is looked at"))
            return
        reached: list[tuple[str, str]] = []
        for name, secret in settings.stripe_secrets.items():
            try:
                credentials = StripeCredentials.from_secret(secret, self._secret(secret))
            except OrderphaseError as problem:
                self._found.append(_unusable(problem, secret, f"Stripe account {name}: "))
                continue
            self._found.append(Diagnosis("ok", "Secrets", f"Stripe account {name}: {secret}: complete"))
            feed = self._feed if name == settings.stripe_account else None
            examined = stripe_doctor.examine(name, credentials, StripeConnection, uses, feed=feed)
            self._found += examined.diagnoses
            if examined.account_id:
                reached.append((examined.account_id, name))
            if sandbox is not None and sandbox == stripe_doctor.is_live(credentials):
                self._found.append(_mixed(name, sandbox=sandbox))
        self._found += _shared(reached)


def _passed_over(where: str, what: str) -> Diagnosis:
    return Diagnosis("warning", where, f"{what}: the settings do not say where it is", "correct them, and run again")


def _unusable(problem: OrderphaseError, secret: str, whose: str = "") -> Diagnosis:
    if not isinstance(problem, ConfigurationError):
        remedy = "look whether AWS can be reached from here, and run again"
    elif problem.code == "ResourceNotFoundException":
        remedy = f"create it: aws secretsmanager create-secret --name {secret} --secret-string '{{…}}', with its keys as JSON"
    elif problem.code in _DENIED:
        remedy = "allow whoever runs this to read it"
    elif problem.code:
        remedy = "store the keys that it needs as one JSON object, and allow whoever runs this to read it"
    else:
        remedy = f"correct that with aws secretsmanager put-secret-value --secret-id {secret}: all its keys, as one JSON object"
    return Diagnosis("missing", "Secrets", f"{whose}{problem.message}", remedy)


def _mixed(name: str, *, sandbox: bool) -> Diagnosis:
    what = "a sandbox org bills in Stripe's live mode" if sandbox else "a production org bills in Stripe's test mode"
    return Diagnosis("warning", f"Stripe account {name}", what, "check that both are meant")


def _shared(reached: list[tuple[str, str]]) -> list[Diagnosis]:
    """Two names for one account: what is done in one would show in the other."""
    found = []
    for account_id, pairs in groupby(sorted(reached), key=lambda pair: pair[0]):
        names = [name for _, name in pairs]
        if len(names) > 1:
            what = f"{' and '.join(names)} are the same account, {account_id}"
            found.append(Diagnosis("warning", "Stripe", what, "give each its own key, or keep one of them"))
    return found
