"""The emulated org, served over HTTP and used from Python."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from sandbox.clock import Clock
from sandbox.salesforce_emulator.access import Access, Level
from sandbox.salesforce_emulator.composite import Composite
from sandbox.salesforce_emulator.errors import SalesforceError, not_found, not_modelled
from sandbox.salesforce_emulator.faults import API_ERRORS, responses
from sandbox.salesforce_emulator.ids import to_18
from sandbox.salesforce_emulator.notifications import Delivery, Method, Notifications
from sandbox.salesforce_emulator.oauth import OAuthError, Tokens
from sandbox.salesforce_emulator.objects import own_object, standard_schema
from sandbox.salesforce_emulator.org import Org, Setup
from sandbox.salesforce_emulator.queries import Queries
from sandbox.salesforce_emulator.records import Records
from sandbox.salesforce_emulator.rest import DAILY_CALLS, Call, Rest, versions
from sandbox.salesforce_emulator.schema import Field, Option
from sandbox.salesforce_emulator.values import encode, render
from sandbox.serving import ADMIN, Emulator, FaultKind, Request, Response

LONGEST_URI = 16_384
TOKEN_PATH = "/services/oauth2/token"
DATA_PATH = "/services/data"


class SalesforceEmulator(Emulator):
    """One Salesforce org with Orders: REST API, business rules, and the events that it sends.

    client_id, client_secret: of the client that acts as the integration user; public_key (PEM): its certificate's, for JWT
    bearer. person: id and secret of a client that acts as a person; None = there is none.
    org_id: 15 or 18 characters; username: of the integration user.
    multicurrency: whether records have a CurrencyIsoCode. page_size: most rows on a page of query results.
    token_seconds: how long a token lives, by the emulator's clock.
    edit_activated_orders: the user's permission Edit Activated Orders.
    zero_quantity, negative_quantity, reduction_orders: the org's order settings of those names.
    person_accounts, state_and_country_picklists: the org's features of those names.
    stripe_package: Stripe's package is installed: some objects of its namespace stripeGC are there.
    fields: more custom fields, by object.

    Beside the routes of every emulator, its administration has `GET notifications` (the deliveries so far),
    `POST notifications` (`{"url", "secret", "method", "copies"}`) and `POST notifications/redeliver` (`{"event_id"}`).

    The Python methods `create`, `update`, `delete`, `record` and `query` do what the API does, past HTTP and tokens, as a
    person who may do everything; they raise SalesforceError where the API would answer with that error.
    """

    def __init__(  # noqa: PLR0913 (each is one switch of an org's setup, and all have names)
        self,
        clock: Clock | None = None,
        *,
        client_id: str,
        client_secret: str,
        public_key: str | None = None,
        person: tuple[str, str] | None = None,
        org_id: str = "00D000000000001EAA",
        username: str = "integration@orderphase.example",
        multicurrency: bool = True,
        person_accounts: bool = False,
        state_and_country_picklists: bool = False,
        stripe_package: bool = False,
        page_size: int = 2000,
        token_seconds: int = 7200,
        edit_activated_orders: bool = True,
        zero_quantity: bool = False,
        negative_quantity: bool = False,
        reduction_orders: bool = True,
        fields: Mapping[str, Iterable[Field]] | None = None,
    ) -> None:
        super().__init__(clock)
        if page_size < 1:
            raise ValueError("page_size: at least one row")
        if (long_org_id := to_18(org_id)) is None:
            raise ValueError(f"org_id: {org_id!r} is no id")
        self.instance_url: str | None = None
        self.org_id = long_org_id
        self._page_size = page_size
        self._setup = Setup(
            org_id=long_org_id,
            username=username,
            multicurrency=multicurrency,
            edit_activated_orders=edit_activated_orders,
            zero_quantity=zero_quantity,
            negative_quantity=negative_quantity,
            reduction_orders=reduction_orders,
        )
        self._tokens = Tokens(self.clock, client_id, client_secret, seconds=token_seconds, public_key=public_key, person=person)
        self._notifications = Notifications(self.clock, long_org_id)
        options: dict[Option, bool] = {
            "multicurrency": multicurrency,
            "person_accounts": person_accounts,
            "state_and_country_picklists": state_and_country_picklists,
            "stripe_package": stripe_package,
        }
        self._schema = standard_schema([name for name, on in options.items() if on])
        self._access = Access()
        for object_name, added in (fields or {}).items():
            for field in added:
                self._schema.add_field(object_name, field)
        self._start()

    def _start(self) -> None:
        self._org = Org(self._schema, self.clock, self._setup)
        self._records = Records(self._org, self._notifications.happened)
        self._queries = Queries(self._org, self._page_size)
        self._rest = Rest(self._records, self._queries)
        self._composite = Composite(self._records, self._rest)

    # The emulator's frame

    def handle(self, request: Request) -> Response:
        """Answer one request to the org."""
        try:
            response = self._respond(request)
        except SalesforceError as error:
            response = Response(error.status, error.body())
        except OAuthError as error:
            response = error.response()
        return _encoded(response)

    def errors(self) -> Mapping[str, Response]:
        """The errors that a fault can name."""
        return {name: _encoded(response) for name, response in responses().items()}

    def reset(self) -> None:
        """Forget rows, tokens, faults, logs and deliveries. What was added, access and the notification target stay."""
        with self.lock:
            self._start()
            self._tokens.revoke()
            self._notifications.clear()
            self.faults.clear()
            self.log.clear()

    def inject(self, kind: FaultKind, **details: Any) -> None:
        """Add a fault. Salesforce stores no answers, so there is no fault `stored`."""
        if kind == "stored":
            raise ValueError("kind: Salesforce has no idempotency keys under which an answer could be stored")
        super().inject(kind, **details)

    def administer(self, request: Request) -> Response:
        """The routes below `/__emulator__/`, with those for notifications."""
        try:
            match request.method, request.path.removeprefix(ADMIN):
                case "GET", "notifications":
                    return Response(body=[delivery.summary() for delivery in self.deliveries()])
                case "POST", "notifications":
                    self.notify(**json.loads(request.body))
                case "POST", "notifications/redeliver":
                    self.redeliver(json.loads(request.body)["event_id"])
                case _:
                    return super().administer(request)
        except (KeyError, TypeError, ValueError) as problem:
            return Response(400, {"error": str(problem)})
        return Response(body={"now": self.clock.now().isoformat()})

    # The API

    def _respond(self, request: Request) -> Response:
        path = request.path.rstrip("/")
        if path == TOKEN_PATH and request.method == "POST":
            base = self.instance_url or f"http://{request.headers.get('host', 'localhost')}"
            return self._tokens.issue(request, self._org, base)
        if path == DATA_PATH and request.method == "GET":
            return Response(body=versions())
        if not path.startswith(f"{DATA_PATH}/"):
            raise not_modelled(path) if path.startswith("/services/") else not_found()
        holder = self._tokens.holder(request.headers.get("authorization", ""))
        if holder is None:
            raise API_ERRORS["INVALID_SESSION_ID"]
        self._rest.calls_used += 1
        try:
            with ExitStack() as acting:
                if holder == "integration":
                    acting.enter_context(self._org.integration(self._access.seen(self._schema)))
                acting.enter_context(self._notifications.caused_by(_origin(request)))
                response = self._composite.answer(_call(request))
        except SalesforceError as error:
            response = Response(error.status, error.body())
        usage = f"api-usage={self._rest.calls_used}/{DAILY_CALLS}"
        return replace(response, headers={**response.headers, "Sforce-Limit-Info": usage})

    def revoke_tokens(self) -> None:
        """Make every token issued so far worthless, as an administrator can."""
        with self.lock:
            self._tokens.revoke()

    # The org's setup and rows, from Python

    def add_field(self, object_name: str, field: Field) -> None:
        """Give an object one more field.

        KeyError for an unknown object, here or as the lookup's parent; ValueError for a name that is taken.
        """
        with self.lock:
            self._schema.add_field(object_name, field)

    def add_object(self, name: str, fields: Iterable[Field] = ()) -> None:
        """Add a custom object, with system fields, an owner and, unless it is given, a Name.

        KeyError for a lookup to an unknown object, ValueError for a name that is taken or does not end with `__c`.
        """
        with self.lock:
            self._schema.add_object(own_object(self._schema, name, fields))

    def set_access(self, object_name: str, *fields: str, level: Level) -> None:
        """Set what the integration user may do with fields of an object or, where none is named, with the object.

        level: `edit`, as it may everywhere at first; `read`; `none` = it does not see them. KeyError for an unknown object or
        field. The person, as whom Python acts, may do everything.
        """
        with self.lock:
            self._access.set(self._schema[object_name], fields, level)

    @property
    def integration_user_id(self) -> str:
        """The id of the user as whom the integration's client acts; `changed_by` in what it changes."""
        return self._org.integration_user_id

    @property
    def person_id(self) -> str:
        """The id of the user as whom Python acts, and the person's client."""
        return self._org.person_id

    def add_status(self, object_name: str, label: str, code: str) -> None:
        """Give Order or Contract one more status label, in the category `code`."""
        with self.lock:
            self._org.add_status(object_name, label, code)

    def refuse_writes(self, record_id: str, *, error: str = "UNABLE_TO_LOCK_ROW", times: int = 1) -> None:
        """Let the next changes of one row fail with a named API error, in whatever request or part of one they come."""
        with self.lock:
            self._records.refuse(record_id, API_ERRORS[error], times)

    def create(self, object_name: str, values: Mapping[str, Any]) -> str:
        """Create a row; answers its 18-character id. `values` as JSON or as Python dates, datetimes and Decimals."""
        with self.lock:
            return self._records.create(object_name, values)

    def update(self, object_name: str, record_id: str, values: Mapping[str, Any]) -> None:
        """Change a row."""
        with self.lock:
            self._records.update(object_name, record_id, values)

    def delete(self, object_name: str, record_id: str) -> None:
        """Delete a row."""
        with self.lock:
            self._records.delete(object_name, record_id)

    def merge_accounts(self, master_id: str, loser_id: str) -> None:
        """Merge an account into another; see `Records.merge_accounts`. ValueError for one account twice."""
        with self.lock:
            self._records.merge_accounts(master_id, loser_id)

    def record(self, object_name: str, record_id: str) -> dict[str, Any]:
        """All fields of a row, as the API's JSON has them."""
        with self.lock:
            sobject = self._records.sobject(object_name)
            row = self._records.find(sobject, record_id)
            return {field.name: render(field, row.get(field.name)) for field in sobject}

    def query(self, statement: str) -> list[dict[str, Any]]:
        """All records that a SOQL statement selects, as the API's JSON has them."""
        with self.lock:
            return self._queries.all(statement)

    # Notifications

    def notify(self, url: str, secret: str, *, method: Method = "signature", copies: int = 1) -> None:
        """Post an event to `url` at each change that `notifications` tells of, from now on.

        It is signed with the secret, or has it as API key.
        """
        self._notifications.configure(url, secret, method=method, copies=copies)

    def send_outbound_messages(self, url: str) -> None:
        """Send Outbound Messages to `url`, which has the token in it, from now on; see `outbound_messages`."""
        self._notifications.send_outbound_messages(url)

    def change_events(self, source: str) -> list[dict[str, Any]]:
        """All that has happened, oldest first, as EventBridge would have it from Event Relay; see `change_events`."""
        return self._notifications.changes(source)

    def deliveries(self) -> list[Delivery]:
        """The notifications so far, oldest first, with their attempts and answers."""
        return self._notifications.log()

    def redeliver(self, event_id: str) -> None:
        """Send a notification once more. KeyError for an unknown one."""
        self._notifications.redeliver(event_id)

    def flush(self, timeout: float = 10.0) -> None:
        """Wait until every queued notification has been attempted. TimeoutError after `timeout` seconds."""
        self._notifications.flush(timeout)


def _encoded(response: Response) -> Response:
    """The answer with its body in Salesforce's own JSON."""
    if response.body is None or isinstance(response.body, bytes):
        return response
    headers = {"Content-Type": "application/json;charset=UTF-8", **response.headers}
    return Response(response.status, encode(response.body), headers)


def _origin(request: Request) -> str:
    """What change events say of a change by this request. Salesforce: the client is what its Call Options header says."""
    api = f"com/salesforce/api/rest/{request.path.split('/')[3].removeprefix('v')}"
    options = (option.strip() for option in request.headers.get("sforce-call-options", "").split(","))
    return ";".join([api, *(option for option in options if option.startswith("client="))])


def _call(request: Request) -> Call:
    if len(request.target) > LONGEST_URI:
        raise SalesforceError("URI_TOO_LONG", f"The URI is longer than {LONGEST_URI} bytes.", status=414, fields=None)
    # From the target and not from the unquoted path: a value in the path may hold an escaped slash.
    parts = request.target.partition("?")[0].split("/")
    version, segments = parts[3], tuple(unquote(part) for part in parts[4:] if part)
    if version not in {f"v{known['version']}" for known in versions()}:
        raise not_found()
    if "_HttpMethod" in request.query:
        raise not_modelled("_HttpMethod")
    body = None
    if request.body:
        try:
            body = json.loads(request.body, parse_float=Decimal)
        except ValueError as problem:
            raise SalesforceError("JSON_PARSER_ERROR", f"Unexpected character: {problem}", fields=None) from None
    query = {name: values[0] for name, values in request.query.items()}
    return Call(request.method, version, segments, query, body, request.headers)
