"""Signing in with OpenID Connect: the authorization code flow with PKCE, and what a person may do here.

Nothing is stored on the way: the state, the nonce and the verifier of PKCE are derived from the flow, a random
text that the page keeps, so whoever has not begun a sign-in cannot finish it.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from control_plane.identity_provider import IdentityProvider
from control_plane.settings import Role, Settings
from stores.api_keys import digest_of
from stores.audit import MAX_PERSON_CHARACTERS
from stores.clock import Clock
from stores.errors import InvalidRequest, NoRole, SignInFailed
from stores.tenants import ACTIVE, SCOPES, TenantStore
from web.sessions import OPERATOR, TENANT, Session, SessionTokens, derived_key, mac

FLOW_S = 600
"""How long a person may take at the provider."""
MAX_NAME_CHARACTERS, MAX_SHOWN = 100, 10

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Begun:
    authorization_url: str
    flow: str
    """For `finish`; the page keeps it in its tab."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A session, and for whom: an operator has no tenant."""

    token: str
    session: Session
    tenant_name: str = ""


@dataclass(frozen=True, slots=True)
class SignedIn:
    name: str
    """What the provider calls the person, to show."""
    sessions: Sequence[Granted]
    """One for each tenant, and one for an operator; at least one."""


class SignIn:
    def __init__(self, provider: IdentityProvider, tenants: TenantStore, clock: Clock, settings: Settings) -> None:
        self._provider = provider
        self._tenants = tenants
        self._clock = clock
        self._settings = settings
        self._key = derived_key(settings.internal_key, "sign-in")
        self._of_tenants = SessionTokens(TENANT, settings.internal_key, clock)
        self._of_operators = SessionTokens(OPERATOR, settings.admin_key, clock)

    async def begin(self, redirect_url: str) -> Begun:
        """`InvalidRequest` unless the operator has named this address."""
        if redirect_url not in self._settings.oidc_redirect_urls:
            raise InvalidRequest("is none of WANNENG_OIDC_REDIRECT_URLS", field="redirect_url")
        flow = f"{self._now_s() + FLOW_S}.{secrets.token_urlsafe(32)}"
        state, nonce, verifier = (
            self._derived(name, flow, redirect_url) for name in ("state", "nonce", "verifier")
        )
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
        return Begun(await self._provider.authorization_url(redirect_url, state, nonce, challenge), flow)

    async def finish(self, redirect_url: str, flow: str, state: str, code: str) -> SignedIn:
        """`SignInFailed` where the answer cannot be trusted, `NoRole` where the person has none here."""
        # Nobody can make the state of another flow, of one that lasts longer, or for another address.
        if not hmac.compare_digest(state.encode(), self._derived("state", flow, redirect_url).encode()):
            raise SignInFailed("this sign-in was not begun here, or in another tab; sign in again")
        if int(flow.partition(".")[0]) < self._now_s():
            raise SignInFailed(f"this sign-in was begun more than {FLOW_S} s ago; sign in again")
        verifier, nonce = (self._derived(name, flow, redirect_url) for name in ("verifier", "nonce"))
        claims = await self._provider.claims(code, verifier, redirect_url, nonce)
        subject = _subject(claims["sub"])
        granted = [*self._operator(subject, claims), *await self._of_each_tenant(subject, claims)]
        if not granted:
            log.warning("oidc:%s has signed in and has no role here", subject)
            raise NoRole(self._explained(claims))
        log.info(
            "oidc:%s has signed in for %s", subject, [each.session.tenant_id or "operator" for each in granted]
        )
        return SignedIn(_name(claims), granted)

    def _operator(self, subject: str, claims: Mapping[str, Any]) -> list[Granted]:
        if not any(role.operator for role in self._roles(claims)):
            return []
        session = Session(subject, self._end_s())
        return [Granted(self._of_operators.issue(session), session)]

    async def _of_each_tenant(self, subject: str, claims: Mapping[str, Any]) -> list[Granted]:
        """A tenant that does not exist, or is suspended, is left out."""
        scopes: dict[str, set[str]] = {}
        for role in self._roles(claims):
            if role.tenant:
                scopes.setdefault(role.tenant, set()).update(role.scopes)
        granted = []
        for tenant_id, allowed in scopes.items():
            tenant = await self._tenants.get(tenant_id)
            if tenant is not None and tenant.status == ACTIVE:
                in_order = tuple(scope for scope in SCOPES if scope in allowed)
                session = Session(subject, self._end_s(), tenant_id, in_order)
                granted.append(Granted(self._of_tenants.issue(session), session, tenant.name))
        return granted

    def _roles(self, claims: Mapping[str, Any]) -> list[Role]:
        roles = self._settings.oidc_roles
        return [roles[value] for value in self._values(claims) if value in roles]

    def _values(self, claims: Mapping[str, Any]) -> list[str]:
        values = claims.get(self._settings.oidc_claim)
        return [value for value in (values if isinstance(values, list) else [values]) if isinstance(value, str)]

    def _explained(self, claims: Mapping[str, Any]) -> str:
        claim, values = self._settings.oidc_claim, self._values(claims)
        if self._roles(claims):
            return "the tenants of your role are suspended or do not exist; ask the operator"
        if not values:
            return f"your ID token has no text in the claim {claim!r}, by which roles are given; ask the operator"
        shown = ", ".join(map(repr, values[:MAX_SHOWN]))
        return f"none of the values of your claim {claim!r} has a role here: {shown}; ask the operator"

    def _derived(self, name: str, flow: str, redirect_url: str) -> str:
        return mac(self._key, f"{name} {flow} {redirect_url}")

    def _end_s(self) -> int:
        return self._now_s() + int(self._settings.oidc_session_s)

    def _now_s(self) -> int:
        return int(self._clock.now().timestamp())


def _subject(subject: str) -> str:
    """As the audit log can have it: one that is longer, or that could look like another, by its digest."""
    is_plain = len(subject) <= MAX_PERSON_CHARACTERS and subject.isascii() and subject.isprintable()
    return subject if is_plain else digest_of(ascii(subject))


def _name(claims: Mapping[str, Any]) -> str:
    names = (claims.get(claim) for claim in ("name", "preferred_username", "email", "sub"))
    name = next((name for name in names if isinstance(name, str) and name.strip()), "")
    return "".join(filter(str.isprintable, name))[:MAX_NAME_CHARACTERS]
