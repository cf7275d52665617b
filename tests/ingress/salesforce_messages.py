"""Outbound Messages and change events, as Salesforce sends them."""

from __future__ import annotations

import copy
from typing import Any

ORG = "00D5g000004Vn8QEAS"
ORDER = "8015g00000AbTzkAAF"
CONTRACT = "8005g000001QwXyAAK"
USER = "0055g00000HgTrEAAV"
RELAY = f"aws.partner/salesforce.com/{ORG}/0YL5g0000008OImGAM"
APPFLOW = "aws.partner/appflow/salesforce.com/123456789012/orders"

XSI = "http://www.w3.org/2001/XMLSchema-instance"
SOBJECTS = "urn:sobject.enterprise.soap.sforce.com"


def notification(notification_id: str = "04l5g00000FhYtKAAV", sobject: str = "Order", **fields: str) -> str:
    chosen = "".join(f"<sf:{name}>{value}</sf:{name}>" for name, value in fields.items())
    return (
        f'<Notification><Id>{notification_id}</Id><sObject xsi:type="sf:{sobject}" xmlns:sf="{SOBJECTS}">{chosen}</sObject>'
        "</Notification>"
    )


def order(notification_id: str = "04l5g00000FhYtKAAV", record_id: str = ORDER, **fields: str) -> str:
    return notification(notification_id, "Order", Id=record_id, Status="Activated", **fields)


def message(*notifications: str, org: str = ORG) -> bytes:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="{XSI}">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
   <OrganizationId>{org}</OrganizationId>
   <ActionId>04k5g000000TsLqAAK</ActionId>
   <SessionId xsi:nil="true"/>
   <EnterpriseUrl>https://acme.my.salesforce.com/services/Soap/c/67.0/{org}</EnterpriseUrl>
   <PartnerUrl>https://acme.my.salesforce.com/services/Soap/u/67.0/{org}</PartnerUrl>
   {"".join(notifications)}
  </notifications>
 </soapenv:Body>
</soapenv:Envelope>""".encode()


HEADER: dict[str, Any] = {
    "entityName": "Order",
    "recordIds": [ORDER],
    "changeType": "UPDATE",
    "changeOrigin": "",
    "transactionKey": "0002343d-9d90-e395-ed20-cf416ba652ad",
    "sequenceNumber": 1,
    "commitTimestamp": 1795168800000,
    "commitNumber": 1745500706683617281,
    "commitUser": USER,
    "nulledFields": [],
    "diffFields": [],
    "changedFields": ["Status", "LastModifiedDate"],
}


def change(**changes: Any) -> dict[str, Any]:
    """The `detail` of a change event from Event Relay; what is given as `...` is absent from its header."""
    header = {name: value for name, value in (HEADER | changes).items() if value is not ...}
    payload = {"ChangeEventHeader": header, "Status": "Activated", "LastModifiedDate": "2026-11-20T10:00:00.000Z"}
    return copy.deepcopy({"schemaId": "mVgt6rWAd0m3", "id": "b1f0c7d2", "payload": payload})


def envelope(detail: Any, source: str = RELAY, detail_type: str = "OrderChangeEvent") -> dict[str, Any]:
    return {
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": detail_type,
        "source": source,
        "account": "123456789012",
        "time": "2026-11-20T10:00:01Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": detail,
    }
