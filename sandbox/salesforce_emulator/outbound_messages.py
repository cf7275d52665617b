"""Outbound Messages of the emulated org: SOAP 1.1, up to 100 notifications each, sent again until they are acknowledged.

They tell of what the JSON events tell of, but for Stripe's mirror. Chosen fields are the Id and, of an order, its ContractId
and Status. Salesforce: the whole message is sent again, with the notifications' own ids, at growing distances of up to two
hours, for 24 hours (the first distances are the emulator's own). Not modelled: a record that was deleted meanwhile, and that
what is told of one record becomes one notification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from sandbox.salesforce_emulator.change_events import OBJECTS

LARGEST = 100
RETRY_MINUTES = (1, 2, 4, 8, 16, 32, 64, *[120] * 10)

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_OUTBOUND = "http://soap.sforce.com/2005/09/outbound"


def covers(event: dict[str, Any]) -> bool:
    """Whether there is a message about such an event."""
    return event["type"] in OBJECTS


def message(org_id: str, notifications: Sequence[tuple[str, dict[str, Any]]]) -> bytes:
    """One message, of the id of each notification and its event."""
    told = "".join(_notification(notification, event) for notification, event in notifications)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<soapenv:Envelope xmlns:soapenv="{_SOAP}" xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n <soapenv:Body>\n'
        f'  <notifications xmlns="{_OUTBOUND}">\n'
        f"   <OrganizationId>{org_id}</OrganizationId>\n   <ActionId>04kAh0000000001AAA</ActionId>\n"
        '   <SessionId xsi:nil="true"/>\n'
        f"   <EnterpriseUrl>https://emulated.my.salesforce.com/services/Soap/c/67.0/{org_id}</EnterpriseUrl>\n"
        f"   <PartnerUrl>https://emulated.my.salesforce.com/services/Soap/u/67.0/{org_id}</PartnerUrl>\n"
        f"{told}  </notifications>\n </soapenv:Body>\n</soapenv:Envelope>"
    ).encode()


def acknowledges(answer: str) -> bool:
    """Whether an answer says that the message has been taken."""
    try:
        ack = ET.fromstring(answer).findtext(f"{{{_SOAP}}}Body/{{{_OUTBOUND}}}notificationsResponse/{{{_OUTBOUND}}}Ack")  # noqa: S314
    except ET.ParseError:
        return False
    return ack == "true"


def _notification(notification: str, event: dict[str, Any]) -> str:
    name = OBJECTS[event["type"]]
    chosen = {"Id": event["record_id"]}
    if name == "Order":
        chosen |= {"ContractId": event["data"].get("contract_id"), "Status": "Activated"}
    # Salesforce: a field without a value is left out.
    fields = "".join(f"<sf:{key}>{escape(value)}</sf:{key}>" for key, value in chosen.items() if value is not None)
    return (
        f'   <Notification>\n    <Id>{notification}</Id>\n    <sObject xsi:type="sf:{name}"'
        f' xmlns:sf="urn:sobject.enterprise.soap.sforce.com">{fields}</sObject>\n   </Notification>\n'
    )
