"""The connection to one Salesforce org: simple-salesforce, kept within bounds.

What the library leaves open is settled here: a timeout on every call, one renewal of the session per call, `Decimal` numbers,
the scheme of the instance URL, and errors classified by Salesforce's own error code.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceError, SalesforceExpiredSession

from orderphase import deadline
from orderphase.errors import (
    ConfigurationError,
    ConflictError,
    CredentialsError,
    DataError,
    OrderphaseError,
    TransientError,
    UnknownOutcomeError,
)
from orderphase.settings import SalesforceCredentials, endpoint
from orderphase.transport import Session, unanswered

API_VERSION = "66.0"
TIMEOUT = (3.05, 10.0)
"""Seconds to connect and to wait for an answer; together well below a function's own 30."""

CLIENT = "orderphase"
"""What we call ourselves. Salesforce: the `changeOrigin` of a change event has it as `client=…`."""

_ATTEMPTS = 3
_LONGEST_PAUSE = 5.0
_REPEATABLE = ("GET", "PATCH")
"""Requests that come to the same however often they are made: they read, or set fields to values."""

_USAGE = re.compile(r"(?:^|;)\s*api-usage=(\d+)/(\d+)")
"""Salesforce: what `Sforce-Limit-Info` says of the org, `api-usage=18/5000`; what may follow is of one app."""

_JWT_LIFETIME = timedelta(minutes=3)

# Salesforce: status codes and error codes of the REST API. A cursor (query locator) expires after two days; then read again.
_TRANSIENT = frozenset(
    {"INVALID_QUERY_LOCATOR", "QUERY_TIMEOUT", "REQUEST_LIMIT_EXCEEDED", "SERVER_UNAVAILABLE", "UNABLE_TO_LOCK_ROW"}
)
# These do not pass in a moment: the quota of a day, a cursor that is gone, a query that takes too long.
_LASTING = frozenset({"INVALID_QUERY_LOCATOR", "QUERY_TIMEOUT", "REQUEST_LIMIT_EXCEEDED"})
_CONFLICT = frozenset({"DUPLICATE_VALUE"})
_CONFIGURATION = frozenset(
    {
        "API_DISABLED_FOR_ORG",
        "FORBIDDEN",
        "INSUFFICIENT_ACCESS",
        "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
        "INSUFFICIENT_ACCESS_OR_READONLY",
        "INVALID_FIELD",
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        "INVALID_ID_FIELD",
        "INVALID_QUERY_FILTER_OPERATOR",
        "INVALID_SESSION_ID",
        "INVALID_TYPE",
        "JSON_PARSER_ERROR",
        "MALFORMED_ID",
        "MALFORMED_QUERY",
        "QUERY_TOO_COMPLICATED",
    }
)
_ABOUT_RECORDS = (None, requests.codes.multiple_choices, requests.codes.bad_request, requests.codes.not_found)
"""The statuses with which Salesforce refuses what a record holds. Any other 3xx or 4xx is about the request."""


def classified(code: str | None, message: str, status: int | None = None) -> OrderphaseError:
    """The error for Salesforce's `errorCode` (or `statusCode` of a collection's row); by HTTP status where there is none."""
    if code in _TRANSIENT or status == requests.codes.too_many_requests:
        return TransientError(message, code=code, at_once=code not in _LASTING)
    if code in _CONFLICT or status in (requests.codes.conflict, requests.codes.precondition_failed):
        return ConflictError(message, code=code)
    # Salesforce says a code with each of these: something between us may have answered instead, such as a proxy.
    unsaid = code is None and status in (requests.codes.bad_request, requests.codes.not_found)
    if unsaid or code == "UNKNOWN_EXCEPTION" or (status is not None and status >= requests.codes.internal_server_error):
        return UnknownOutcomeError(message, code=code)
    if code in _CONFIGURATION or status not in _ABOUT_RECORDS:
        return ConfigurationError(message, code=code)
    return DataError(message, code=code)


class SalesforceClient:
    """Calls the REST API of one org. `calls` counts the requests made, logins left out.

    used: is told with each answer how much of what the org may call in 24 hours is used up, by everybody together, in percent.
    """

    def __init__(
        self,
        credentials: SalesforceCredentials,
        *,
        now: Callable[[], datetime],
        pause: Callable[[float], None] = time.sleep,
        used: Callable[[float], None] = lambda percent: None,  # noqa: ARG005 (nobody listens)
    ) -> None:
        self._credentials = credentials
        self._now = now
        self._pause = pause
        self._used = used
        self._session = _TimedSession(self._tell_usage)
        self._salesforce: Salesforce | None = None
        self._org_id: str | None = None
        self._user_id: str | None = None
        self.calls = 0

    @property
    def org_id(self) -> str:
        """The org's 18-character id, as its login names it."""
        self._connected()
        assert self._org_id is not None  # noqa: S101 (set by the login)
        return self._org_id

    @property
    def user_id(self) -> str:
        """The 18-character id of the user that this client acts as, as its login names it."""
        self._connected()
        assert self._user_id is not None  # noqa: S101 (set by the login)
        return self._user_id

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, repeatable: bool | None = None) -> Any:
        """Make one request below `/services/data/vXX.0/`; `path` may also be a host-relative URL that Salesforce has given out.

        Answers the decoded body, with every fraction as Decimal; None where there is none. Raises classified errors.
        What was not applied is asked for again while a moment may help and the function has time; what may have been, only
        where that is `repeatable`, which by itself a GET and a PATCH are. An expired session is renewed once.
        """
        if deadline.left() < sum(TIMEOUT):
            raise TransientError("The function's time is nearly over, so Salesforce is not asked any more", code="deadline")
        harmless = method in _REPEATABLE if repeatable is None else repeatable
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._renewed(method, path, body)
            except ConflictError:
                raise
            except TransientError as problem:
                unsafe = isinstance(problem, UnknownOutcomeError) and not harmless
                wait = max(2**attempt * random.uniform(0.1, 0.2), self._session.retry_after)  # noqa: S311 (jitter is no secret)
                too_late = wait > _LONGEST_PAUSE or deadline.left() < wait + sum(TIMEOUT)
                if attempt == _ATTEMPTS or unsafe or not problem.at_once or too_late:
                    raise
                self._pause(wait)
        raise AssertionError("unreachable")

    def _renewed(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        try:
            return self._call(method, path, body)
        except SalesforceExpiredSession:
            self._salesforce = None
        try:
            return self._call(method, path, body)
        except SalesforceExpiredSession as problem:
            raise CredentialsError("Salesforce refuses the session that it has just given out", code=_code(problem)) from None

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        salesforce = self._connected()
        path = path.removeprefix(f"/services/data/v{API_VERSION}/")
        self.calls += 1
        try:
            return salesforce.restful(path, None, method, json=body, headers={"Sforce-Call-Options": f"client={CLIENT}"})
        except SalesforceExpiredSession:
            raise
        except SalesforceError as problem:
            raise classified(_code(problem), _message(problem), problem.status) from None
        except requests.JSONDecodeError as problem:
            raise UnknownOutcomeError("Salesforce's answer is not JSON", code=type(problem).__name__) from None
        except requests.RequestException as problem:
            raise unanswered(problem, "Salesforce") from None

    def _tell_usage(self, said: str) -> None:
        if (found := _USAGE.search(said)) and (allowed := int(found[2])):
            self._used(100 * int(found[1]) / allowed)

    def _connected(self) -> Salesforce:
        if self._salesforce is None:
            self._salesforce = self._login()
        return self._salesforce

    def _login(self) -> Salesforce:
        login_url = self._credentials.login_url
        try:
            answer = self._session.post(f"{login_url}/services/oauth2/token", data=self._grant())
        except requests.RequestException as problem:
            raise unanswered(problem, "Salesforce's login") from None
        if answer.status_code >= requests.codes.internal_server_error or answer.status_code == requests.codes.too_many_requests:
            raise TransientError("Salesforce's login is not available now", code=str(answer.status_code))
        try:
            token = answer.json()
            if not answer.ok:
                reason = f"{token['error']} ({token.get('error_description', 'no description')})"
                raise CredentialsError(f"Salesforce's login refuses the credentials: {reason}", code=token["error"])
            instance_url = endpoint(str(token["instance_url"]))
            _, _, self._org_id, self._user_id = urlsplit(str(token["id"])).path.split("/")
            session_id = str(token["access_token"])
        except (KeyError, IndexError, TypeError, ValueError) as problem:
            reason = f"{type(problem).__name__}: {problem}"
            raise CredentialsError(f"Salesforce's login answers something that is not a token ({reason})") from None
        salesforce = Salesforce(
            instance_url=instance_url,
            session_id=session_id,
            session=self._session,
            version=API_VERSION,
            parse_float=Decimal,
            object_pairs_hook=dict,
        )
        salesforce.base_url = f"{instance_url}/services/data/v{API_VERSION}/"  # the library would always write https
        return salesforce

    def _grant(self) -> dict[str, str]:
        credentials = self._credentials
        if credentials.private_key is None:
            assert credentials.client_secret is not None  # noqa: S101 (checked with the settings)
            return {
                "grant_type": "client_credentials",
                "client_id": credentials.client_id,
                "client_secret": credentials.client_secret,
            }
        claims = {
            "iss": credentials.client_id,
            "sub": credentials.username,
            "aud": credentials.login_url,
            "exp": int((self._now() + _JWT_LIFETIME).timestamp()),
        }
        try:
            assertion = jwt.encode(claims, credentials.private_key, algorithm="RS256")
        except (ValueError, TypeError, jwt.InvalidKeyError):
            raise ConfigurationError("SALESFORCE_PRIVATE_KEY is not an RSA private key in PEM form") from None
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}


class _TimedSession(Session):
    """A session whose every request has a timeout, which the library does not pass, and goes to the host that it names.

    retry_after: the seconds that the last answer has asked to wait for. usage: is told what each answer says of its limits.
    """

    retry_after = 0.0

    def __init__(self, usage: Callable[[str], None]) -> None:
        super().__init__()
        self._usage = usage

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", TIMEOUT)
        # A redirected login would hand the credentials to another host.
        kwargs.setdefault("allow_redirects", False)
        self.retry_after = 0.0
        answer = super().request(*args, **kwargs)
        asked = answer.headers.get("Retry-After", "")
        self.retry_after = float(asked) if asked.isdecimal() else 0.0
        self._usage(answer.headers.get("Sforce-Limit-Info", ""))
        return answer


def _first(problem: SalesforceError) -> Mapping[str, Any]:
    content: Any = problem.content  # decoded JSON, which the library declares as bytes
    first = content[0] if isinstance(content, list) and content else content
    return first if isinstance(first, dict) else {}


def _code(problem: SalesforceError) -> str | None:
    return _first(problem).get("errorCode")


def _message(problem: SalesforceError) -> str:
    said = _first(problem).get("message")
    return f"Salesforce refuses the request: {said}" if said else f"Salesforce answers with status {problem.status}"
