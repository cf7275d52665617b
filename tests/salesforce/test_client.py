"""The connection to an org: logins, renewals, timeouts, and what becomes of every kind of failure."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError, ProtocolError

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
from orderphase.salesforce import client as client_module
from orderphase.salesforce.client import API_VERSION, SalesforceClient, classified
from orderphase.settings import SalesforceCredentials
from orderphase.transport import unanswered
from sandbox.clock import Clock
from sandbox.salesforce_emulator import SalesforceEmulator
from sandbox.serving import Request, Response, Server
from tests.flows.world import NOW, ORG
from tests.scripted import Scripted

TOKEN = "/services/oauth2/token"
USERNAME = "integration@orderphase.example"


def credentials(url: str, **fields: str) -> SalesforceCredentials:
    values = {"SALESFORCE_LOGIN_URL": url, "SALESFORCE_CLIENT_ID": "client", **fields}
    if "SALESFORCE_PRIVATE_KEY" not in fields:
        values.setdefault("SALESFORCE_CLIENT_SECRET", "secret")
    return SalesforceCredentials.model_validate(values)


def connect(url: str, clock: Clock | None = None, /, **fields: str) -> SalesforceClient:
    return SalesforceClient(credentials(url, **fields), now=(clock or Clock(NOW, frozen=True)).now, pause=lambda _: None)


@dataclass
class Service:
    emulator: SalesforceEmulator
    url: str
    client: SalesforceClient

    def logins(self) -> int:
        return len(self.emulator.calls(f"POST {TOKEN}"))

    def query(self, statement: str) -> list[dict[str, Any]]:
        found = self.client.call("GET", f"query?q={statement.replace(' ', '+')}")
        return list(found["records"])


@contextmanager
def serving(**options: Any) -> Iterator[Service]:
    clock = Clock(NOW, frozen=True)
    emulator = SalesforceEmulator(clock, client_id="client", client_secret="secret", org_id=ORG, **options)
    with Server(emulator) as server:
        yield Service(emulator, server.url, connect(server.url, clock))


@pytest.fixture
def org() -> Iterator[Service]:
    with serving() as service:
        yield service


@contextmanager
def scripted(answer: Callable[[Request], Response], **token: Any) -> Iterator[tuple[SalesforceClient, Scripted]]:
    """An org whose login works, with `token` in its answer, and which otherwise answers as `answer` says."""

    def whole(request: Request) -> Response:
        if request.path != TOKEN:
            return answer(request)
        given = {
            "access_token": "00D!token",
            "instance_url": f"http://{request.headers['host']}",
            "id": f"https://x/id/{ORG}/005",
        }
        return Response(body=given | token)

    service = Scripted(whole)
    with Server(service) as server:
        yield connect(server.url), service


def refusal(code: str, status: int = 400) -> Response:
    return Response(status, [{"errorCode": code, "message": "No."}])


# Logging in


def test_client_credentials(org: Service) -> None:
    assert org.client.org_id == ORG
    assert org.query("SELECT Id FROM Organization") == [
        {"attributes": {"type": "Organization", "url": f"/services/data/v{API_VERSION}/sobjects/Organization/{ORG}"}, "Id": ORG}
    ]
    assert org.logins() == 1


def test_a_token_is_kept(org: Service) -> None:
    for _ in range(3):
        org.query("SELECT Id FROM Organization")
    assert org.logins() == 1
    assert org.client.calls == 3


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_jwt_bearer() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with serving(public_key=public, username=USERNAME) as service:
        own = {"SALESFORCE_USERNAME": USERNAME, "SALESFORCE_PRIVATE_KEY": pem(key)}
        assert connect(service.url, **own).org_id == ORG

        stranger = own | {"SALESFORCE_USERNAME": "someone@else.example"}
        with pytest.raises(ConfigurationError, match="hasn't approved this consumer") as refused:
            connect(service.url, **stranger).call("GET", "limits")
        assert refused.value.code == "invalid_grant"

        forged = own | {"SALESFORCE_PRIVATE_KEY": pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))}
        with pytest.raises(ConfigurationError, match="invalid assertion"):
            connect(service.url, **forged).call("GET", "limits")


@pytest.mark.parametrize("key", ["no key", pem(ec.generate_private_key(ec.SECP256R1()))], ids=["text", "elliptic curve"])
def test_a_private_key_that_is_none(key: str) -> None:
    client = connect("http://127.0.0.1:9", SALESFORCE_USERNAME=USERNAME, SALESFORCE_PRIVATE_KEY=key)
    with pytest.raises(ConfigurationError, match="SALESFORCE_PRIVATE_KEY is not an RSA private key") as refused:
        client.call("GET", "limits")
    assert key not in refused.value.message


@pytest.mark.parametrize("fields", [{"SALESFORCE_CLIENT_ID": "nobody"}, {"SALESFORCE_CLIENT_SECRET": "wrong"}])
def test_wrong_credentials(org: Service, fields: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="refuses the credentials: invalid_client") as refused:
        connect(org.url, **fields).call("GET", "limits")
    assert "wrong" not in refused.value.message


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "refuse", "error": "500"}, TransientError),
        ({"kind": "refuse", "error": "503"}, TransientError),
        ({"kind": "refuse", "error": "inactive_user"}, CredentialsError),
        ({"kind": "lost_before"}, UnknownOutcomeError),
    ],
)
def test_a_login_that_fails(org: Service, fault: dict[str, Any], error: type[OrderphaseError]) -> None:
    org.emulator.inject(path=TOKEN, times=1 if error is CredentialsError else 3, **fault)
    with pytest.raises(error) as failure:
        org.client.call("GET", "limits")
    assert type(failure.value) is error
    assert "DailyApiRequests" in org.client.call("GET", "limits")


@pytest.mark.parametrize(
    "token",
    [
        {"instance_url": "http://acme.my.salesforce.com"},
        {"instance_url": "ftp://127.0.0.1"},
        {"instance_url": None},
        {"id": "no url"},
    ],
)
def test_a_token_that_cannot_be_used(token: dict[str, Any]) -> None:
    with scripted(lambda _: Response(), **token) as (client, _), pytest.raises(ConfigurationError, match="is not a token"):
        client.call("GET", "limits")


@pytest.mark.parametrize("body", [b"<html>Log in</html>", [], {"instance_url": "https://acme.my.salesforce.com"}])
def test_an_answer_that_is_no_token(body: Any) -> None:
    service = Scripted(lambda _: Response(body=body))
    with Server(service) as server, pytest.raises(ConfigurationError, match="is not a token"):
        connect(server.url).call("GET", "limits")


def test_an_instance_is_reached_by_https() -> None:
    with scripted(lambda _: Response(), instance_url="https://acme.my.salesforce.com/") as (client, _):
        assert client.org_id == ORG


def test_a_login_does_not_follow_to_another_place() -> None:
    elsewhere = Response(307, headers={"Location": "/elsewhere"})
    service = Scripted(lambda _: elsewhere)
    with Server(service) as server, pytest.raises(ConfigurationError, match="is not a token"):
        connect(server.url).call("GET", "limits")
    assert [request.path for request in service.requests] == [TOKEN]


# Renewing the session


def test_an_expired_session_is_renewed_and_the_request_made_again() -> None:
    answers = iter([refusal("INVALID_SESSION_ID", 401), Response(body=[{"success": True}])])
    with scripted(lambda _: next(answers)) as (client, service):
        assert client.call("PATCH", "composite/sobjects", {"records": [1]}) == [{"success": True}]
    first, second = (request for request in service.requests if request.path != TOKEN)
    assert first == second
    assert first.body == b'{"records": [1]}'
    assert client.calls == 2


def test_a_revoked_token(org: Service) -> None:
    org.query("SELECT Id FROM Organization")
    org.emulator.revoke_tokens()
    assert org.query("SELECT Id FROM Organization")[0]["Id"] == ORG
    assert org.logins() == 2


def test_a_session_that_is_refused_for_good() -> None:
    with scripted(lambda _: refusal("INVALID_SESSION_ID", 401)) as (client, service):
        with pytest.raises(ConfigurationError) as refused:
            client.call("GET", "limits")
        assert refused.value.code == "INVALID_SESSION_ID"
        assert [request.path for request in service.requests].count(TOKEN) == 2
        assert client.calls == 2


def test_a_401_with_another_body() -> None:
    page = Response(401, b"<html></html>", {"Content-Type": "text/html"})
    with scripted(lambda _: page) as (client, _), pytest.raises(ConfigurationError):
        client.call("GET", "limits")


# Failures


# Salesforce: REST API, status codes and error responses.
CODES: list[tuple[int, str, type[OrderphaseError]]] = [
    (400, "INVALID_FIELD", ConfigurationError),
    (400, "INVALID_TYPE", ConfigurationError),
    (400, "MALFORMED_QUERY", ConfigurationError),
    (400, "INVALID_QUERY_FILTER_OPERATOR", ConfigurationError),
    (400, "MALFORMED_ID", ConfigurationError),
    (400, "JSON_PARSER_ERROR", ConfigurationError),
    (400, "INVALID_ID_FIELD", ConfigurationError),
    (400, "REQUIRED_FIELD_MISSING", DataError),
    (400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", DataError),
    (400, "STRING_TOO_LONG", DataError),
    (400, "NUMBER_OUTSIDE_VALID_RANGE", DataError),
    (400, "DUPLICATE_VALUE", ConflictError),
    (400, "DUPLICATES_DETECTED", DataError),
    (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", DataError),
    (400, "FIELD_INTEGRITY_EXCEPTION", DataError),
    (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", DataError),
    (400, "INVALID_FIELD_FOR_INSERT_UPDATE", ConfigurationError),
    (400, "FAILED_ACTIVATION", DataError),
    (400, "ENTITY_IS_LOCKED", DataError),
    (400, "DELETE_FAILED", DataError),
    (400, "STANDARD_PRICE_NOT_DEFINED", DataError),
    (400, "UNABLE_TO_LOCK_ROW", TransientError),
    (400, "INVALID_CROSS_REFERENCE_KEY", DataError),
    (400, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", ConfigurationError),
    (400, "QUERY_TIMEOUT", TransientError),
    (400, "QUERY_TOO_COMPLICATED", ConfigurationError),
    (400, "INVALID_QUERY_LOCATOR", TransientError),
    (403, "REQUEST_LIMIT_EXCEEDED", TransientError),
    (403, "INSUFFICIENT_ACCESS_OR_READONLY", ConfigurationError),
    (403, "API_DISABLED_FOR_ORG", ConfigurationError),
    (403, "FORBIDDEN", ConfigurationError),
    (403, "SOMETHING_NEW", ConfigurationError),
    (404, "NOT_FOUND", DataError),
    (404, "ENTITY_IS_DELETED", DataError),
    (405, "METHOD_NOT_ALLOWED", ConfigurationError),
    (409, "SOMETHING_NEW", ConflictError),
    (412, "PRECONDITION_FAILED", ConflictError),
    (414, "URI_TOO_LONG", ConfigurationError),
    (429, "SOMETHING_NEW", TransientError),
    (431, "SOMETHING_NEW", ConfigurationError),
    (500, "UNKNOWN_EXCEPTION", UnknownOutcomeError),
    (503, "SERVER_UNAVAILABLE", TransientError),
]


@pytest.mark.parametrize(("status", "code", "error"), CODES, ids=[f"{status} {code}" for status, code, _ in CODES])
def test_every_error_code_has_its_class(status: int, code: str, error: type[OrderphaseError]) -> None:
    with scripted(lambda _: refusal(code, status)) as (client, _), pytest.raises(OrderphaseError) as refused:
        client.call("POST", "composite", {})
    assert (type(refused.value), refused.value.code) == (error, code)
    assert refused.value.message == "Salesforce refuses the request: No."


def test_a_row_of_a_collection_has_a_code_and_no_status() -> None:
    assert type(classified("UNABLE_TO_LOCK_ROW", "busy")) is TransientError
    assert type(classified("INSUFFICIENT_ACCESS", "no")) is ConfigurationError
    assert type(classified("STRING_TOO_LONG", "too long")) is DataError
    assert type(classified(None, "?")) is DataError


def test_an_external_id_of_several_records() -> None:
    with scripted(lambda _: Response(300, ["/a", "/b"])) as (client, _), pytest.raises(DataError, match="status 300"):
        client.call("GET", "sobjects/Account/Key__c/1")


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_is_not_followed(status: int) -> None:
    answer = Response(status, headers={"Location": "/elsewhere"})
    with scripted(lambda _: answer) as (client, service), pytest.raises(ConfigurationError, match=f"status {status}"):
        client.call("GET", "limits")
    assert len(service.requests) == 2


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_page_instead_of_an_answer(org: Service, status: int) -> None:
    org.emulator.inject("refuse", error=str(status), path="/limits", times=3)
    with pytest.raises(UnknownOutcomeError):
        org.client.call("GET", "limits")


@pytest.mark.parametrize("body", [b"<html></html>", b"", b'{"records": ['])
def test_a_success_that_is_not_json(body: bytes) -> None:
    with scripted(lambda _: Response(200, body)) as (client, _), pytest.raises(UnknownOutcomeError, match="not JSON"):
        client.call("GET", "limits")


@pytest.mark.parametrize("kind", ["lost_before", "lost_after"])
def test_a_dropped_connection_may_have_done_it(org: Service, kind: Any) -> None:
    org.emulator.inject(kind, path="/limits", times=3)
    with pytest.raises(UnknownOutcomeError, match="Salesforce did not answer"):
        org.client.call("GET", "limits")


def test_a_slow_answer_is_not_waited_for(org: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "TIMEOUT", (1.0, 0.05))
    for path in (TOKEN, "/limits"):
        org.emulator.inject("slow", path=path, seconds=3600, times=3)
        with pytest.raises(UnknownOutcomeError) as failure:
            org.client.call("GET", "limits")
        assert failure.value.code == "ReadTimeout"


def test_nobody_listens(org: Service) -> None:
    org.client.call("GET", "limits")
    with Server(Scripted(lambda _: Response())) as server:
        gone = server.url
    org.emulator.instance_url = gone
    org.emulator.revoke_tokens()
    for client in (connect(gone), org.client):
        with pytest.raises(TransientError, match="cannot be reached") as failure:
            client.call("GET", "limits")
        assert type(failure.value) is TransientError


CONNECTION = HTTPConnection("acme.my.salesforce.com")


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (NewConnectionError(CONNECTION, "refused"), TransientError),
        (NameResolutionError("acme.my.salesforce.com", CONNECTION, socket.gaierror("no such host")), TransientError),
        (ProtocolError("reset"), UnknownOutcomeError),
    ],
)
def test_what_was_certainly_not_sent(reason: Exception, error: type[OrderphaseError]) -> None:
    pool = HTTPSConnectionPool("acme.my.salesforce.com")
    problem = requests.ConnectionError(MaxRetryError(pool, "/", reason))
    assert type(unanswered(problem, "Salesforce")) is error


def test_a_connection_that_takes_too_long_was_not_made() -> None:
    assert type(unanswered(requests.ConnectTimeout(), "Salesforce")) is TransientError
    assert type(unanswered(requests.ReadTimeout(), "Salesforce")) is UnknownOutcomeError
    assert type(unanswered(requests.ConnectionError(), "Salesforce")) is UnknownOutcomeError


# Answers


@pytest.mark.parametrize(
    ("written", "number"), [("1800.77777778", "1800.77777778"), ("1.2345678E7", "12345678"), ("0.1", "0.1")]
)
def test_numbers_are_decimals(written: str, number: str) -> None:
    body = f'{{"UnitPrice": {written}}}'.encode()
    with scripted(lambda _: Response(200, body)) as (client, _):
        found = client.call("GET", "limits")["UnitPrice"]
    assert isinstance(found, Decimal)
    assert found == Decimal(number)


def test_an_answer_without_a_body() -> None:
    with scripted(lambda _: Response(204)) as (client, _):
        assert client.call("PATCH", "sobjects/Order/801", {"Name": "x"}) is None


def test_a_path_that_salesforce_has_given_out() -> None:
    with scripted(lambda _: Response(body={"done": True})) as (client, service):
        client.call("GET", f"/services/data/v{API_VERSION}/query/01g000-2000")
    assert service.requests[-1].path == f"/services/data/v{API_VERSION}/query/01g000-2000"


# Repetitions


class TestRepetitions:
    """What was not applied, or comes to the same twice, is asked for again within the function's time."""

    def repeated(self, answers: list[Response], method: str = "GET", **how: Any) -> tuple[int, list[float]]:
        """How many requests are made, and the pauses between them, until one goes through."""
        waits: list[float] = []
        with scripted(lambda _: answers.pop(0)) as (client, _):
            client._pause = waits.append
            client.call(method, "limits", **how)
            return client.calls, waits

    BUSY = Response(400, [{"message": "locked", "errorCode": "UNABLE_TO_LOCK_ROW"}])
    BROKEN = Response(500, [{"message": "broken", "errorCode": "UNKNOWN_EXCEPTION"}])
    QUOTA = Response(403, [{"message": "no more today", "errorCode": "REQUEST_LIMIT_EXCEEDED"}])
    FINE = Response(200, {"done": True})

    def test_each_pause_is_longer_and_none_is_the_same(self) -> None:
        calls, waits = self.repeated([self.BUSY, self.BUSY, self.FINE])
        assert calls == 3
        assert 0.2 <= waits[0] <= 0.4 <= waits[1] <= 0.8
        assert len({tuple(self.repeated([self.BUSY, self.FINE])[1]) for _ in range(5)}) > 1

    def test_three_times_at_most(self) -> None:
        with pytest.raises(TransientError):
            self.repeated([self.BUSY] * 3)

    @pytest.mark.parametrize(("method", "how"), [("GET", {}), ("PATCH", {}), ("POST", {"repeatable": True})])
    def test_what_comes_to_the_same(self, method: str, how: dict[str, Any]) -> None:
        assert self.repeated([self.BROKEN, self.FINE], method, **how)[0] == 2

    @pytest.mark.parametrize(("method", "how"), [("POST", {}), ("PATCH", {"repeatable": False})])
    def test_what_may_have_been_done_is_not_done_twice(self, method: str, how: dict[str, Any]) -> None:
        with pytest.raises(UnknownOutcomeError):
            self.repeated([self.BROKEN, self.FINE], method, **how)

    def test_what_was_certainly_not_done_is_asked_for_again_in_any_case(self) -> None:
        assert self.repeated([self.BUSY, self.FINE], "POST")[0] == 2

    def test_the_quota_of_a_day_is_not_waited_for(self) -> None:
        with pytest.raises(TransientError, match="no more today"):
            self.repeated([self.QUOTA, self.FINE])

    def test_salesforce_says_how_long(self) -> None:
        busy = Response(503, [{"message": "busy", "errorCode": "SERVER_UNAVAILABLE"}], {"Retry-After": "3"})
        assert self.repeated([busy, self.FINE])[1] == [3.0]

    def test_longer_than_a_function_can_wait(self) -> None:
        busy = Response(503, [{"message": "busy", "errorCode": "SERVER_UNAVAILABLE"}], {"Retry-After": "120"})
        with pytest.raises(TransientError):
            self.repeated([busy, self.FINE])

    def test_not_where_the_functions_time_is_nearly_over(self) -> None:
        short = sum(client_module.TIMEOUT)
        with deadline.within(short), pytest.raises(TransientError):
            self.repeated([self.BUSY, self.FINE])
        with deadline.within(30):
            assert self.repeated([self.BUSY, self.FINE])[0] == 2
        assert deadline.left() == math.inf


def test_salesforce_is_told_who_asks(org: Service) -> None:
    """So that the events of our own changes can be told apart."""
    seen: list[str | None] = []
    handle = org.emulator.handle

    def listen(request: Request) -> Response:
        seen.append(request.headers.get("sforce-call-options"))
        return handle(request)

    org.emulator.handle = listen  # type: ignore[method-assign]  # listens before the real one
    org.client.call("GET", "limits")
    assert seen[-1] == "client=orderphase"


@pytest.mark.parametrize(
    ("said", "used"),
    [
        ("api-usage=18/5000", [0.36]),
        ("api-usage=4500/5000; per-app-api-usage=17/250(appName=sample-connected-app)", [90]),
        ("per-app-api-usage=17/250(appName=sample-connected-app); api-usage=5500/5000", [110]),
        ("per-app-api-usage=17/250(appName=x)", []),
        ("api-usage=1/0", []),
        ("api-usage=many", []),
        ("", []),
    ],
)
@pytest.mark.parametrize("status", [200, 403])
def test_how_much_of_the_orgs_calls_is_used_up(said: str, used: list[float], status: int) -> None:
    """Also by the answer that refuses because there are none left."""
    told: list[float] = []
    fine = Response(body={}, headers={"Sforce-Limit-Info": said})
    refused = replace(refusal("REQUEST_LIMIT_EXCEEDED", 403), headers={"Sforce-Limit-Info": said})
    with scripted(lambda _: fine if status == 200 else refused) as (client, _):
        client._used = told.append
        with nullcontext() if status == 200 else pytest.raises(TransientError):
            client.call("GET", "limits")
    assert told == pytest.approx(used)


def test_a_netrc_does_not_take_the_place_of_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with serving() as org:
        assert org.query("SELECT Id FROM Account") == []
