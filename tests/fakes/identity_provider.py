"""An identity provider in this process: it signs in whom a test says, gives out each code once and knows PKCE."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from stores.errors import SignInFailed

AUTHORIZE = "https://login.example/authorize"


class FakeIdentityProvider:
    def __init__(self) -> None:
        self._codes: dict[str, tuple[dict[str, str], Mapping[str, Any]]] = {}

    async def authorization_url(self, redirect_url: str, state: str, nonce: str, challenge: str) -> str:
        asked = {"redirect_url": redirect_url, "state": state, "nonce": nonce, "challenge": challenge}
        return f"{AUTHORIZE}?{urlencode(asked)}"

    def sign_in(self, authorization_url: str, **claims: Any) -> dict[str, str]:
        """What the browser of somebody with these claims brings back: a code, and the state."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(authorization_url).query).items()}
        code = secrets.token_urlsafe(8)
        self._codes[code] = (asked, {"sub": "alice"} | claims)
        return {"code": code, "state": asked["state"]}

    async def claims(self, code: str, verifier: str, redirect_url: str, nonce: str) -> Mapping[str, Any]:
        asked, claims = self._codes.pop(code, ({}, {}))
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
        if (asked.get("challenge"), asked.get("nonce")) != (challenge, nonce):
            raise SignInFailed("the provider refuses the code")
        assert asked["redirect_url"] == redirect_url
        return claims
