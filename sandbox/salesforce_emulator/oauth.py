"""The token endpoint: client credentials, and the JWT bearer flow with a real signature check.

Salesforce: the answer has no `expires_in`; a token lives as long as the org's session policy says, here a fixed time from its
issue.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qs

import jwt

from sandbox.clock import Clock
from sandbox.salesforce_emulator.org import Org
from sandbox.serving import Request, Response

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LOGIN_HOSTS = ("https://login.salesforce.com", "https://test.salesforce.com")
Holder = Literal["integration", "person"]
LONGEST_ASSERTION = timedelta(minutes=5)


class OAuthError(Exception):
    """A refusal of the token endpoint. Salesforce: an object, where the rest of the API answers an array."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description

    def response(self) -> Response:
        """The answer."""
        return Response(400, {"error": self.error, "error_description": self.description})


class Tokens:
    """Issues access tokens to the integration's client and to the person's, and knows which are still good.

    public_key: PEM, of the certificate of the integration's client; None = the JWT bearer flow is refused.
    person: id and secret of the person's client; None = there is none.
    """

    def __init__(
        self,
        clock: Clock,
        client_id: str,
        client_secret: str,
        *,
        seconds: int,
        public_key: str | None,
        person: tuple[str, str] | None,
    ) -> None:
        self._clock = clock
        self._client_id = client_id
        self._client_secret = client_secret
        self._life = timedelta(seconds=seconds)
        self._public_key = public_key
        self._person = person
        self._issued: dict[str, tuple[datetime, Holder]] = {}

    def holder(self, authorization: str) -> Holder | None:
        """Whose token an Authorization header carries; None where it has expired or been revoked."""
        scheme, _, token = authorization.partition(" ")
        expiry, holder = self._issued.get(token, (None, None))
        return holder if scheme in ("Bearer", "OAuth") and expiry is not None and self._clock.now() < expiry else None

    def revoke(self) -> None:
        """Make every token issued so far worthless."""
        self._issued.clear()

    def issue(self, request: Request, org: Org, instance_url: str) -> Response:
        """Answer a request for a token. Raises OAuthError."""
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise OAuthError("unsupported_grant_type", "grant type not supported")
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        match form.get("grant_type"):
            case "client_credentials":
                holder = self._check_credentials(form, request.headers.get("authorization", ""))
            case grant if grant == JWT_BEARER:
                self._check_assertion(form.get("assertion", ""), org.setup.username, instance_url)
                holder = "integration"
            case _:
                raise OAuthError("unsupported_grant_type", "grant type not supported")
        return Response(body=self._token(org, instance_url, holder))

    def _token(self, org: Org, instance_url: str, holder: Holder) -> dict[str, Any]:
        now = self._clock.now()
        token = f"{org.setup.org_id[:15]}!{secrets.token_urlsafe(48)}"
        self._issued[token] = now + self._life, holder
        issued_at = str(int(now.timestamp() * 1000))
        user_id = org.integration_user_id if holder == "integration" else org.person_id
        identity = f"https://login.salesforce.com/id/{org.setup.org_id}/{user_id}"
        signature = hmac.new(self._client_secret.encode(), (identity + issued_at).encode(), hashlib.sha256).digest()
        return {
            "access_token": token,
            "signature": base64.b64encode(signature).decode(),
            "scope": "api",
            "instance_url": instance_url,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued_at,
        }

    def _check_credentials(self, form: dict[str, str], authorization: str) -> Holder:
        client_id, client_secret = form.get("client_id", ""), form.get("client_secret", "")
        if authorization.startswith("Basic "):
            try:
                client_id, _, client_secret = base64.b64decode(authorization[6:], validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise OAuthError("invalid_client", "invalid client credentials") from None
        clients: dict[str, tuple[str, Holder]] = {self._client_id: (self._client_secret, "integration")}
        if self._person is not None:
            clients[self._person[0]] = self._person[1], "person"
        if client_id not in clients:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        known, holder = clients[client_id]
        if not hmac.compare_digest(client_secret.encode(), known.encode()):
            raise OAuthError("invalid_client", "invalid client credentials")
        return holder

    def _check_assertion(self, assertion: str, username: str, instance_url: str) -> None:
        """Salesforce: RS256; `iss` the client, `sub` a user, `aud` the login host or My Domain, `exp` a few minutes ahead."""
        if self._public_key is None:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        try:
            # The times are checked against the emulator's clock below.
            claims = jwt.decode(
                assertion,
                self._public_key,
                algorithms=["RS256"],
                options={"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.InvalidTokenError:
            raise OAuthError("invalid_grant", "invalid assertion") from None
        if claims.get("iss") != self._client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if claims.get("sub") != username:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        if claims.get("aud") not in (*LOGIN_HOSTS, instance_url):
            raise OAuthError("invalid_grant", "audience is invalid")
        now, expires = self._clock.timestamp(), claims.get("exp")
        if not isinstance(expires, int) or not now < expires <= now + LONGEST_ASSERTION.total_seconds():
            raise OAuthError("invalid_grant", "expired authorization code")
