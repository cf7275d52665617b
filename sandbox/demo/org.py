"""The Salesforce org as its users and administrators reach it: over the REST API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests

from orderphase.salesforce.client import API_VERSION

TIMEOUT_SECONDS = 30.0


class Org:
    """A logged-in session. `credentials` are what the Salesforce secret holds. Refusals are `requests.HTTPError`."""

    def __init__(self, credentials: Mapping[str, str]) -> None:
        self._login_url = credentials["SALESFORCE_LOGIN_URL"]
        self._session = requests.Session()
        form = {
            "grant_type": "client_credentials",
            "client_id": credentials["SALESFORCE_CLIENT_ID"],
            "client_secret": credentials["SALESFORCE_CLIENT_SECRET"],
        }
        token = self._answer("POST", f"{self._login_url}/services/oauth2/token", data=form)
        self._session.headers["Authorization"] = f"Bearer {token['access_token']}"
        self._api = f"{token['instance_url']}/services/data/v{API_VERSION}"

    def create(self, kind: str, **fields: Any) -> str:
        """Create a record; answers its id."""
        return str(self._answer("POST", f"{self._api}/sobjects/{kind}", json=fields)["id"])

    def update(self, kind: str, record_id: str, **fields: Any) -> None:
        """Change fields of a record."""
        self._answer("PATCH", f"{self._api}/sobjects/{kind}/{record_id}", json=fields)

    def record(self, kind: str, record_id: str) -> dict[str, Any]:
        """All fields of a record."""
        return dict(self._answer("GET", f"{self._api}/sobjects/{kind}/{record_id}"))

    def query(self, statement: str) -> list[dict[str, Any]]:
        """The records that a SOQL statement selects, up to 2,000."""
        return list(self._answer("GET", f"{self._api}/query", params={"q": statement})["records"])

    def notifications(self, record_id: str) -> list[dict[str, Any]]:
        """What the org has sent about a record, and what was answered. Only the emulator can tell."""
        sent = self._answer("GET", f"{self._login_url}/__emulator__/notifications")
        return [one for one in sent if one["event"]["record_id"] == record_id]

    def close(self) -> None:
        """End the session."""
        self._session.close()

    def _answer(self, method: str, url: str, **details: Any) -> Any:
        answer = self._session.request(method, url, timeout=TIMEOUT_SECONDS, **details)
        if not answer.ok:
            raise requests.HTTPError(f"{method} {url}: {answer.status_code} {answer.text}", response=answer)
        return answer.json() if answer.content else {}
