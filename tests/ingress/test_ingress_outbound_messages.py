"""`POST /salesforce/outbound-messages/{token}`, with fakes behind it: who is let in, what is queued, what is acknowledged."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderphase.errors import ConfigurationError, OrderphaseError, TransientError, UnknownOutcomeError
from orderphase.ingress import xml_documents
from orderphase.ingress.documents import EventError
from orderphase.ingress.events import SalesforceEvent
from orderphase.ingress.gateway import Request
from orderphase.ingress.outbound_messages import KINDS, MAX_BODY_BYTES, receive
from orderphase.ingress.routes import Answer, Event, Intake, Outcome
from orderphase.ingress.salesforce import SWITCHES
from orderphase.settings import WebhookSecrets
from tests.ingress.fakes import Once, Queues, Secrets
from tests.ingress.salesforce_messages import CONTRACT, ORDER, ORG, SOBJECTS, XSI, message, notification, order

NOW = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)
TOKEN, PREVIOUS, NEXT = "t" * 32, "Previous_token-" + "p" * 32, "n" * 43
UNVERIFIED = {"accepted": False, "reason": "the sender could not be verified"}
TYPES = tuple(kind.name for kind in KINDS.values())
RECORDS = {
    "Order": "801000000000001AAA",
    "OrderItem": "802000000000001AAA",
    "Product2": "01t000000000001AAA",
    "PricebookEntry": "01u000000000001AAA",
    "Account": "001000000000001AAA",
}


def held(token: str = TOKEN, previous: str = "", org: str = ORG) -> WebhookSecrets:
    source = {
        "SALESFORCE_WEBHOOK_SECRET": "whsec",
        "SALESFORCE_OUTBOUND_TOKEN": token,
        "SALESFORCE_OUTBOUND_TOKEN_PREVIOUS": previous,
        "SALESFORCE_ORG_ID": org,
    }
    return WebhookSecrets.from_secret("webhook", json.dumps(source))


def ids(*notifications: str) -> list[str]:
    """What the events of these notifications are called."""
    return [f"notification-{one}" for one in notifications]


class Route:
    """The route with its fakes; `post` answers as `receive` does."""

    def __init__(
        self, secrets: Secrets[WebhookSecrets] | None = None, queues: Queues | None = None, once: Once | None = None
    ) -> None:
        self.secrets = secrets or Secrets(held(previous=PREVIOUS))
        self.queues = queues or Queues(*TYPES)
        self.once = once or Once()

    def post(self, body: bytes, token: str | None = TOKEN) -> Answer:
        request = Request({}, body, "request-1", {} if token is None else {"token": token})
        return receive(request, secrets=self.secrets, intake=Intake(self.queues, SWITCHES, self.once), now=NOW)

    def sent(self) -> list[SalesforceEvent]:
        found = []
        for event, correlation_id in self.queues.sent:
            assert isinstance(event, SalesforceEvent)
            assert correlation_id == "request-1"
            found.append(event)
        return found


def acknowledged(answer: Answer) -> bool:
    """What the answer says to Salesforce."""
    assert answer.status == 200
    assert isinstance(answer.body, str)
    path = "{http://schemas.xmlsoap.org/soap/envelope/}Body/{http://soap.sforce.com/2005/09/outbound}notificationsResponse"
    ack = ET.fromstring(answer.body.encode()).findtext(f"{path}/{{http://soap.sforce.com/2005/09/outbound}}Ack")
    assert ack in ("true", "false")
    return ack == "true"


BODY = message(order())


# Who is let in


@pytest.mark.parametrize("token", [TOKEN, PREVIOUS])
@pytest.mark.parametrize("org", [ORG, ORG[:15]])
def test_who_is_let_in(token: str, org: str) -> None:
    route = Route(Secrets(held(previous=PREVIOUS, org=org)))
    got = route.post(BODY, token)
    assert (acknowledged(got), got.outcome, got.note) == (True, Outcome.ACCEPTED, "queued")
    assert len(route.sent()) == 1


STRANGERS: dict[str, tuple[WebhookSecrets, bytes, str | None, str]] = {
    "another token": (held(), BODY, "x" * 32, "mismatch"),
    "a part of the token": (held(), BODY, TOKEN[:-1], "mismatch"),
    "a token that is no text": (held(), BODY, "\ud800", "mismatch"),
    "an empty token": (held(), BODY, "", "mismatch"),
    "none": (held(), BODY, None, "mismatch"),
    "the other route's secret": (held(), BODY, "whsec", "mismatch"),
    "another org": (held(), message(order(), org="00D000000000001EAA"), TOKEN, "mismatch"),
    "an org that differs in case": (held(), message(order(), org=ORG[:15].swapcase()), TOKEN, "mismatch"),
    "no token is configured": (held(token=""), BODY, TOKEN, "no_secret"),
    "no token is configured or given": (held(token=""), BODY, "", "no_secret"),
    "no org is configured": (held(org=""), BODY, TOKEN, "no_secret"),
    "what is no message from a stranger": (held(), b"<!DOCTYPE a>", "x" * 32, "mismatch"),
}


@pytest.mark.parametrize(("secrets", "body", "token", "reason"), STRANGERS.values(), ids=STRANGERS)
def test_every_stranger_gets_the_same_answer(secrets: WebhookSecrets, body: bytes, token: str | None, reason: str) -> None:
    route = Route(Secrets(secrets))
    got = route.post(body, token)
    assert (got.status, got.body, got.outcome, got.note) == (401, UNVERIFIED, Outcome.NOT_AUTHENTIC, reason)
    assert route.queues.sent == []


def test_an_operator_sees_whether_it_was_the_token_or_the_org() -> None:
    assert Route().post(BODY, "x" * 32).about == {}
    assert Route().post(message(order(), org="00D000000000001EAA")).about == {"org_id": "00D000000000001EAA"}


@pytest.mark.parametrize("known", [held(), held(org=""), held(token="")], ids=["rotated", "org was set", "token was set"])
def test_what_has_just_been_set_is_looked_up(known: WebhookSecrets) -> None:
    route = Route(Secrets(known, fresh=held(NEXT, TOKEN)))
    assert acknowledged(route.post(BODY, NEXT))
    assert route.secrets.refetches == 1
    assert route.post(BODY, "x" * 32).status == 401


def test_size_is_looked_at_before_all_else() -> None:
    assert MAX_BODY_BYTES == 1024 * 1024
    route = Route()
    largest = BODY + b" " * (MAX_BODY_BYTES - len(BODY))
    assert acknowledged(route.post(largest))
    for token in (TOKEN, "x"):
        got = route.post(largest + b" ", token)
        assert (got.status, got.outcome) == (413, Outcome.TOO_LARGE)


@pytest.mark.parametrize("error", [TransientError("away"), ConfigurationError("secret webhook: is not a JSON object")])
def test_a_secret_that_cannot_be_read_has_the_message_come_again(error: OrderphaseError) -> None:
    got = Route(Secrets(held(), error=error)).post(BODY)
    assert (acknowledged(got), got.outcome, got.note) == (False, Outcome.UNAVAILABLE, f"{error.kind}: {error.message}")


@pytest.mark.parametrize(
    ("mistake", "key"),
    [
        ({"token": "short"}, "SALESFORCE_OUTBOUND_TOKEN"),
        ({"previous": "hunter2/" * 5}, "SALESFORCE_OUTBOUND_TOKEN_PREVIOUS"),
        ({"org": "Acme"}, "SALESFORCE_ORG_ID"),
    ],
)
def test_a_mistake_in_the_secret_has_the_message_come_again_and_is_told(mistake: dict[str, str], key: str) -> None:
    route = Route(Secrets(held(**mistake)))
    got = route.post(BODY)
    assert (acknowledged(got), got.outcome) == (False, Outcome.UNAVAILABLE)
    assert got.note.startswith(f"configuration: the secret of Salesforce's routes: {key}: is not ")
    assert not [value for value in mistake.values() if value in f"{got.note} {got.about} {got.body}"]
    assert route.queues.sent == []


def test_the_org_is_compared_in_its_whole_form() -> None:
    """Whoever has typed one of its characters in the wrong case has named another org, or none."""
    wrong = ORG[:3] + ORG[3:15].swapcase()
    got = Route(Secrets(held(org=wrong))).post(BODY)
    assert (got.status, got.note) == (401, "mismatch")
    got = Route(Secrets(held(org=wrong + ORG[15:]))).post(BODY)
    assert (acknowledged(got), got.outcome) == (False, Outcome.UNAVAILABLE)


# What is in a message


@pytest.mark.parametrize("sobject", KINDS)
def test_each_object_has_its_event(sobject: str) -> None:
    route = Route()
    got = route.post(message(notification(sobject=sobject, Id=RECORDS[sobject][:15])))
    assert acknowledged(got)
    [event] = route.sent()
    assert (event.id, event.type, event.org_id) == ("notification-04l5g00000FhYtKAAV", KINDS[sobject].name, ORG)
    assert (event.record_id, event.occurred_at, event.group) == (RECORDS[sobject], NOW, RECORDS[sobject])
    assert event.data.model_dump(exclude_unset=True) == {}
    assert SalesforceEvent.of(json.loads(event.to_json())) == event
    about = {"event_id": event.id, "event_type": event.type, "record_id": event.record_id, "outcome": Outcome.ACCEPTED}
    assert got.about == {"org_id": ORG, "notifications": [about]}


def test_an_order_goes_with_its_contract_where_that_was_chosen() -> None:
    route = Route()
    assert acknowledged(route.post(message(order(ContractId=CONTRACT))))
    [event] = route.sent()
    assert (event.data.contract_id, event.group) == (CONTRACT, CONTRACT)


def test_types_are_names_with_namespaces_and_not_words() -> None:
    other = (
        f"""<Notification><Id>04l1</Id><sObject xsi:type="Order" xmlns="{SOBJECTS}"><Id>{ORDER}</Id></sObject></Notification>"""
    )
    renamed = (
        f'<Notification><Id>04l2</Id><x:sObject xmlns:x="http://soap.sforce.com/2005/09/outbound" xmlns:so="{SOBJECTS}"'
        f' xmlns:sf="urn:other" i:type="so:Order" xmlns:i="{XSI}"><so:Id>{ORDER}</so:Id></x:sObject></Notification>'
    )
    route = Route()
    assert acknowledged(route.post(message(renamed)))
    assert [event.id for event in route.sent()] == ids("04l2")
    # Without a prefix the element is in the default namespace too, so it is no sObject of a message.
    assert acknowledged(route.post(message(other)))
    assert len(route.sent()) == 1
    got = route.post(message(order("04l3").replace(SOBJECTS, "urn:other")))
    assert (acknowledged(got), got.note) == (False, f"sObject: its xsi:type is not in the namespace {SOBJECTS}")


DELETED = {
    "no sObject": "<Notification><Id>04l1</Id></Notification>",
    "nil": '<Notification><Id>04l1</Id><sObject xsi:nil="true"/></Notification>',
    "empty": notification("04l1"),
}


@pytest.mark.parametrize("deleted", DELETED.values(), ids=DELETED)
def test_a_record_that_was_deleted_meanwhile_is_acknowledged(deleted: str) -> None:
    route = Route()
    got = route.post(message(deleted))
    assert (acknowledged(got), got.outcome, got.note) == (True, Outcome.IGNORED, "the record was deleted before it was told")
    assert acknowledged(route.post(message(deleted, order("04l2"))))
    assert [event.id for event in route.sent()] == ids("04l2")


def test_an_object_without_a_flow_is_acknowledged() -> None:
    got = Route().post(message(notification(sobject="Contact", Id="003000000000001AAA")))
    assert (acknowledged(got), got.outcome, got.note) == (True, Outcome.IGNORED, "the object has no flow")


def test_a_flow_that_is_off_is_acknowledged_and_named() -> None:
    route = Route(queues=Queues())
    got = route.post(BODY)
    assert (acknowledged(got), got.outcome) == (True, Outcome.IGNORED)
    assert got.note == "the flow is switched off; set the template's parameter OrderActivation to on"
    assert route.once.accepted == {}


WRONG: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "body: is not XML: no element found"),
    "JSON": (b"{}", "body: is not XML"),
    "another root": (b"<a/>", "body: is not a SOAP 1.1 envelope"),
    "SOAP 1.2": (
        BODY.replace(b"schemas.xmlsoap.org/soap/envelope/", b"www.w3.org/2003/05/soap-envelope"),
        "body: is not a SOAP",
    ),
    "no body": (b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"/>', "Body: is missing"),
    "another message": (BODY.replace(b"2005/09/outbound", b"2006/outbound"), "notifications: is missing"),
    "no org": (BODY.replace(b"OrganizationId", b"Organization"), "OrganizationId: is missing"),
    "no org's id": (message(order(), org="Acme"), "OrganizationId: is not a Salesforce id of 15 or 18 characters"),
    "two orgs": (
        BODY.replace(b"<ActionId>", f"<OrganizationId>{ORG}</OrganizationId><ActionId>".encode()),
        "OrganizationId: is there more than once",
    ),
    "no notification": (message(), "Notification: is not there 1 to 100 times"),
    "101 notifications": (message(*(order(f"04l{n}") for n in range(101))), "Notification: is not there 1 to 100 times"),
    "no type": (BODY.replace(b'xsi:type="sf:Order"', b""), "sObject: has no xsi:type"),
    "a prefix of nothing": (BODY.replace(b'"sf:Order"', b'"so:Order"'), "body: is not XML: xsi:type has a prefix that"),
    "no notification's id": (BODY.replace(b"<Id>04l5g00000FhYtKAAV</Id>", b""), "Id: is missing"),
    "an empty notification's id": (BODY.replace(b"<Id>04l5g00000FhYtKAAV</Id>", b"<Id/>"), "Id: is empty"),
    "no record's id": (message(notification(Status="Activated")), "Id: is missing"),
    "another record's id": (message(order(record_id=CONTRACT)), "record_id: is not the id of an Order (801…)"),
    "two records' ids": (message(notification(Id=f"{ORDER}</sf:Id><sf:Id>{ORDER}")), "Id: is there more than once"),
    "another contract's id": (message(order(ContractId=ORDER)), "data.contract_id: is not the id of a Contract (800…)"),
}


@pytest.mark.parametrize(("body", "reason"), WRONG.values(), ids=WRONG)
def test_what_is_no_message_is_not_acknowledged_and_told_to_the_log(body: bytes, reason: str) -> None:
    route = Route()
    got = route.post(body)
    assert (acknowledged(got), got.outcome) == (False, Outcome.INVALID)
    assert got.note.startswith(reason)
    assert route.queues.sent == []


# All, or again


def test_a_hundred_notifications_are_a_message() -> None:
    route = Route()
    assert acknowledged(route.post(message(*(order(f"04l{n}") for n in range(100)))))
    assert [event.id for event in route.sent()] == ids(*(f"04l{n}" for n in range(100)))


def test_a_message_that_comes_again_is_acknowledged_and_queued_once() -> None:
    route = Route()
    body = message(order("04l1"), order("04l2"))
    outcomes = [route.post(body).outcome for _ in range(3)]
    assert outcomes == [Outcome.ACCEPTED, Outcome.REPLAYED, Outcome.REPLAYED]
    assert acknowledged(route.post(body))
    assert len(route.sent()) == 2


def test_one_that_cannot_be_used_holds_up_no_other_and_keeps_the_message_coming() -> None:
    route = Route()
    body = message(order("04l1"), order("04l2", record_id="801"), order("04l3"))
    for taken in (Outcome.ACCEPTED, Outcome.REPLAYED):
        got = route.post(body)
        assert (acknowledged(got), got.outcome) == (False, Outcome.INVALID)
        assert got.note == "record_id: is not a Salesforce id of 15 or 18 characters"
        assert [each["outcome"] for each in got.about["notifications"]] == [taken, Outcome.INVALID, taken]
        assert [event.id for event in route.sent()] == ids("04l1", "04l3")


class Failing(Queues):
    """A queue that fails for one event at a time, by its notification."""

    def __init__(self, **failures: OrderphaseError) -> None:
        super().__init__(*TYPES)
        self.failures = {f"notification-{one}": problem for one, problem in failures.items()}

    def send(self, event: Event, correlation_id: str) -> None:
        if problem := self.failures.get(event.id):
            raise problem
        super().send(event, correlation_id)


def test_a_refused_queue_holds_up_no_other() -> None:
    route = Route(queues=Failing(a2=ConfigurationError("the flow's queue: AWS refused")))
    got = route.post(message(order("a1"), order("a2"), order("a3")))
    assert (acknowledged(got), got.outcome) == (False, Outcome.UNAVAILABLE)
    assert got.note == "configuration: the flow's queue: AWS refused"
    assert [event.id for event in route.sent()] == ids("a1", "a3")


def test_a_service_that_is_away_ends_it_and_what_is_left_comes_again() -> None:
    queues = Failing(a2=UnknownOutcomeError("SQS is away"))
    route = Route(queues=queues)
    body = message(order("a1"), order("a2"), order("a3"))
    got = route.post(body)
    assert (acknowledged(got), got.outcome) == (False, Outcome.UNAVAILABLE)
    assert [event.id for event in route.sent()] == ids("a1")
    queues.failures.clear()
    assert acknowledged(route.post(body))
    assert [event.id for event in route.sent()] == ids("a1", "a2", "a3")


def test_an_id_takes_no_place_of_an_event_of_another_way_in() -> None:
    """An org's signed events and its notifications are remembered side by side."""
    route = Route()
    posted = SalesforceEvent.of(
        {"id": "04l1", "type": "order.activated", "org_id": ORG, "record_id": ORDER, "occurred_at": NOW.isoformat()}
    )
    intake = Intake(route.queues, SWITCHES, route.once)
    assert intake.take(posted, "request-1")[0] == Outcome.ACCEPTED
    assert acknowledged(route.post(message(order("04l1", record_id="801000000000001AAA"))))
    assert [event.id for event in route.sent()] == ["04l1", "notification-04l1"]


def test_an_id_stands_for_one_record() -> None:
    route = Route()
    assert acknowledged(route.post(message(order("04l1"))))
    got = route.post(message(order("04l1", record_id="801000000000001AAA")))
    assert (acknowledged(got), got.note) == (False, "id: has been used for another event")


def test_the_token_is_in_no_log_line() -> None:
    for body in (BODY, b"", message(order(record_id="801"))):
        for token in (TOKEN, "x" * 32):
            got = Route().post(body, token)
            assert token not in f"{got.note} {got.about} {got.body}"


# Hostile XML


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]>"
)
SOAP_LAUGHS = LAUGHS.encode() + BODY.partition(b"?>")[2].replace(ORDER.encode(), b"&j;")
HOSTILE: dict[str, tuple[bytes, str]] = {
    "billion laughs": (SOAP_LAUGHS, "has a document type"),
    "external entity": (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "has a document type"),
    "external subset": (b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><a/>', "has a document type"),
    "public id": (b'<!DOCTYPE a PUBLIC "-//x" "http://127.0.0.1:1/a.dtd"><a/>', "has a document type"),
    "empty document type": (b"<!DOCTYPE a><a/>", "has a document type"),
    "parameter entity": (b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:1/"> %x;]><a/>', "has a document type"),
    "default attribute": (b'<!DOCTYPE a [<!ATTLIST a b CDATA "c">]><a/>', "has a document type"),
    "undeclared entity": (b"<a>&nbsp;</a>", "is not XML: undefined entity"),
    "instruction": (b'<?xml-stylesheet href="http://127.0.0.1:1/"?><a/>', "has a processing instruction"),
    "instruction within": (b"<a><?php x ?></a>", "has a processing instruction"),
    "deep": (b"<a>" * 17 + b"</a>" * 17, "is nested more than 16 levels deep"),
    "very deep": (b"<a>" * 80_000, "is nested more than 16 levels deep"),
    "wide": (b"<a>" + b"<a/>" * 20_000 + b"</a>", "has more than 20000 elements"),
    "a long namespace": (f'<a xmlns="{"u" * 256}"/>'.encode(), "has a namespace of more than 255 characters"),
    "one with a prefix, further in": (f'<a><b xmlns:n="{"u" * 256}"/></a>'.encode(), "has a namespace of more than 255"),
    "a namespace for each of many": (
        f'<a xmlns="{"u" * 60_000}">'.encode() + b"<b/>" * 19_000 + b"</a>",
        "has a namespace of more than 255 characters",
    ),
    "UTF-16": ('<?xml version="1.0" encoding="UTF-16"?><a/>'.encode("utf-16"), "is not XML in UTF-8"),
    "UTF-16 that does not say so": ("<a/>".encode("utf-16"), "is not XML in UTF-8"),
    "UTF-16 without a mark": ("<a/>".encode("utf-16-be"), "is not XML in UTF-8"),
    "UTF-32": ("<a/>".encode("utf-32"), "is not XML in UTF-8"),
    "Latin 1": ('<?xml version="1.0" encoding="ISO-8859-1"?><a>ü</a>'.encode("latin-1"), "is not XML in UTF-8"),
    "Latin 1 in ASCII": (b'<?xml version="1.0" encoding="ISO-8859-1"?><a/>', "is not XML in UTF-8"),
    "an unknown encoding": (b'<?xml version="1.0" encoding="x-none"?><a/>', "is not XML in UTF-8"),
    "UTF-7": (b'<?xml version="1.0" encoding="UTF-7"?>+ADw-a/+AD4-', "is not XML"),
    "broken UTF-8": (b"<a>\xff</a>", "is not XML in UTF-8"),
    "overlong UTF-8": (b"<a>\xc0\xbc</a>", "is not XML in UTF-8"),
    "a null": (b"<a>\x00</a>", "is not XML in UTF-8"),
    "half of it": (BODY[: len(BODY) // 2], "is not XML"),
    "two documents": (BODY + BODY.partition(b"?>")[2], "is not XML: junk after document element"),
    "an attribute twice": (b'<a b="1" b="2"/>', "is not XML: duplicate attribute"),
    "an undeclared prefix": (b"<x:a/>", "is not XML: unbound prefix"),
}


@pytest.mark.parametrize(("body", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_xml_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(EventError) as refusal:
        xml_documents.read(body)
    assert refusal.value.message.startswith(f"body: {reason}")
    got = Route().post(body)
    assert (acknowledged(got), got.outcome) == (False, Outcome.INVALID)


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""], ids=["with a byte order mark", "without"])
@pytest.mark.parametrize("declared", [b'<?xml version="1.0" encoding="utf-8"?>', b'<?xml version="1.0"?>', b""])
def test_utf_8_is_taken_however_it_is_declared(mark: bytes, declared: bytes) -> None:
    route = Route()
    assert acknowledged(route.post(mark + declared + BODY.partition(b"?>")[2].replace(b"Activated", "Größer 𝛑".encode())))
    assert len(route.sent()) == 1


def test_a_namespace_may_have_255_characters() -> None:
    name = "u" * 255
    assert xml_documents.read(f'<n:a xmlns:n="{name}"/>'.encode()).name == (name, "a")


def test_text_is_what_it_says() -> None:
    root = xml_documents.read(b"<a> 8<!-- -->0<![CDATA[1]]>&#65;&amp; <b>not this</b></a>")
    assert (root.name, root.text, [child.text for child in root.children]) == (("", "a"), "801A&", ["not this"])


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ('<a xmlns:i="{xsi}" xmlns:s="urn:s" i:type="s:T"/>', ("urn:s", "T")),
        ('<a xmlns:i="{xsi}" xmlns="urn:d" i:type=" T "/>', ("urn:d", "T")),
        ('<a xmlns:i="{xsi}" i:type="T"/>', ("", "T")),
        ('<b xmlns:s="urn:1" xmlns:i="{xsi}"><a xmlns:s="urn:2" i:type="s:T"/></b>', ("urn:2", "T")),
        ('<b xmlns:s="urn:1" xmlns:i="{xsi}"><c xmlns:s="urn:2"/><a i:type="s:T"/></b>', ("urn:1", "T")),
        ('<b xmlns="urn:1" xmlns:i="{xsi}"><a xmlns="" i:type="T"/></b>', ("", "T")),
        ('<a type="s:T"/>', None),
    ],
)
def test_a_type_is_resolved_where_it_stands(document: str, name: tuple[str, str] | None) -> None:
    root = xml_documents.read(document.format(xsi=XSI).encode())
    found = next((child for child in root.children if child.name[1] == "a"), root)
    assert found.type == name


PARTS = st.sampled_from(
    [
        *"<>&\"'=/:?![]- ",
        "<a>",
        "</a>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "&#x41;",
        "<?a",
        "?>",
        "<!DOCTYPE",
        "xmlns",
        XSI,
        "nil",
    ]
)
XML = st.lists(PARTS | st.text(max_size=5), max_size=20).map("".join).map(lambda text: text.encode("utf-8", "surrogatepass"))


@given(st.binary() | XML)
def test_whatever_is_read_is_a_tree_or_refused(body: bytes) -> None:
    try:
        root, reason = xml_documents.read(body), ""
    except EventError as refusal:
        root, reason = None, refusal.message
    assert (root is None) == reason.startswith("body: ")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A message with a few of its bytes replaced, doubled or gone."""
    body = message(order(ContractId=CONTRACT), notification("04l2", "OrderItem", Id=RECORDS["OrderItem"]))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = start + draw(st.integers(0, 40))
        body = body[:start] + draw(st.binary(max_size=8) | XML | st.just(body[start:end] * 2)) + body[end:]
    return body


@given(mutated() | XML | st.binary())
def test_any_body_has_one_of_the_answers(body: bytes) -> None:
    route = Route()
    got = route.post(body)
    assert got.status in {200, 401}
    if got.status == 200:
        ended_well = got.outcome in (Outcome.ACCEPTED, Outcome.REPLAYED, Outcome.IGNORED)
        assert acknowledged(got) is ended_well
    assert Route().post(body, "x" * 32).status == 401


@given(st.text(), st.just(BODY) | st.binary())
def test_any_token_but_ours_is_refused(token: str, body: bytes) -> None:
    assert Route().post(body, token).status == (200 if token in (TOKEN, PREVIOUS) else 401)


def test_a_bug_is_not_hidden() -> None:
    class Broken(Queues):
        def send(self, event: Event, correlation_id: str) -> Any:
            raise KeyError(event.type)

    with pytest.raises(KeyError):
        Route(queues=Broken(*TYPES)).post(BODY)
