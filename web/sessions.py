"""Sessions of people who have signed in: signed, for a bounded time, and stored nowhere.

A token is its kind, the session as JSON and the HMAC-SHA256 of both, in Base64 for URLs.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

import msgspec
from msgspec import Struct

from stores.clock import Clock
from stores.errors import Unauthorized

TENANT, OPERATOR = "wns_", "wno_"
"""Kinds of sessions, with which their tokens begin."""
SCHEME = "bearer"
MAX_CHARACTERS = 4_096


class Session(Struct, frozen=True):
    subject: str
    """Whom the identity provider has authenticated."""
    expires_at_s: int
    """Since 1970."""
    tenant_id: str = ""
    """Empty for an operator."""
    scopes: tuple[str, ...] = ()


class SessionTokens:
    """Tokens of one kind, signed with a key that is derived from `secret`; with an empty one there are none."""

    def __init__(self, kind: str, secret: str, clock: Clock) -> None:
        self._kind = kind
        self._key = derived_key(secret, f"session {kind}") if secret else b""
        self._clock = clock

    def issue(self, session: Session) -> str:
        assert self._key, "no secret signs sessions"
        payload = urlsafe_b64encode(msgspec.json.encode(session)).decode()
        return f"{self._kind}{payload}.{mac(self._key, payload)}"

    def read(self, authorization: str | None) -> Session | None:
        """The session of a header; None where it has none of this kind.

        `Unauthorized` where it has ended, or is signed with another key: with one before a restart, perhaps.
        """
        # Every request with a key comes by here.
        if authorization is None or self._kind not in authorization or not self._key:
            return None
        scheme, _, rest = authorization[:MAX_CHARACTERS].partition(" ")
        token = rest.strip()
        if scheme.lower() != SCHEME or not token.startswith(self._kind):
            return None
        payload, _, signature = token.removeprefix(self._kind).partition(".")
        if not hmac.compare_digest(mac(self._key, payload).encode(), signature.encode()):
            raise Unauthorized
        session = msgspec.json.decode(urlsafe_b64decode(payload), type=Session)
        if session.expires_at_s <= self._clock.now().timestamp():
            raise Unauthorized
        return session


def derived_key(secret: str, purpose: str) -> bytes:
    """32 bytes, of which nothing follows about the secret or about a key for another purpose."""
    return hmac.digest(secret.encode(), f"wanneng {purpose}".encode(), sha256)


def mac(key: bytes, text: str) -> str:
    """The HMAC-SHA256 of a text, in 43 characters that a URL can have."""
    return urlsafe_b64encode(hmac.digest(key, text.encode(), sha256)).decode().rstrip("=")
