"""The operator's identity provider, asked as OpenID Connect Core and Discovery have it.

Each request has a deadline, a bound on its answer and follows no redirect. Nothing here knows tenants.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import quote_plus, urlencode

import httpx
import jwt
import msgspec
from msgspec import Struct

from control_plane.settings import Settings, is_secure_url
from stores.clock import Clock
from stores.errors import ProviderUnavailable, SignInFailed
from web.connection_causes import connection_cause

DEADLINE_S, MAX_BYTES, MAX_REQUESTS = 10.0, 262_144, 8
KNOWN_S, MIN_KNOWN_S = 3_600.0, 10.0
"""How long the provider's configuration and keys are trusted; an unknown key is looked up that often at most."""
LEEWAY_S = 30
"""Between the clocks of the provider and of this machine."""
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""With a public key: a secret that both sides know would let either of them sign."""
REQUIRED_CLAIMS = ("iss", "sub", "aud", "exp", "iat", "nonce")
ERROR_CODE = re.compile("[a-z_]{1,40}")

log = logging.getLogger(__name__)


class IdentityProvider(Protocol):
    async def authorization_url(self, redirect_url: str, state: str, nonce: str, challenge: str) -> str:
        """Where a person signs in. `ProviderUnavailable`."""
        ...

    async def claims(self, code: str, verifier: str, redirect_url: str, nonce: str) -> Mapping[str, Any]:
        """Of the verified ID token that a code is exchanged for. `SignInFailed`, `ProviderUnavailable`."""
        ...


class Metadata(Struct, frozen=True):
    """What is read of the provider's discovery document."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class _Keys(Struct):
    keys: list[dict[str, Any]]


class _TokenAnswer(Struct):
    id_token: str = ""
    error: str = ""


class HttpIdentityProvider:
    """An `IdentityProvider` over HTTP. Without a client secret, a public client, it has PKCE alone."""

    def __init__(self, http: httpx.AsyncClient, clock: Clock, settings: Settings) -> None:
        self._http = http
        self._clock = clock
        self._issuer = settings.oidc_issuer
        self._client_id = settings.oidc_client_id
        self._client_secret = settings.oidc_client_secret
        self._scopes = settings.oidc_scopes
        self._requests = asyncio.Semaphore(MAX_REQUESTS)
        self._looking_up = asyncio.Lock()
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, list[jwt.PyJWK]] | None = None
        """Both with the time at which they were read."""

    async def authorization_url(self, redirect_url: str, state: str, nonce: str, challenge: str) -> str:
        endpoint = (await self._configuration()).authorization_endpoint
        parameters = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_url,
            "scope": " ".join(self._scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"

    async def claims(self, code: str, verifier: str, redirect_url: str, nonce: str) -> Mapping[str, Any]:
        token = await self._exchange(code, verifier, redirect_url)
        try:
            key = await self._key_of(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._client_id,
                leeway=LEEWAY_S,
                options={"require": list(REQUIRED_CLAIMS)},
            )
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            # Of the library: what is wrong, without the token.
            log.warning("an ID token was refused: %s", error)
            raise SignInFailed(f"the ID token is refused: {error}") from None
        self._check(claims, nonce)
        return claims

    def _check(self, claims: Mapping[str, Any], nonce: str) -> None:
        """What the library does not check (OpenID Connect Core, section 3.1.3.7)."""
        if claims["nonce"] != nonce:
            raise SignInFailed("the ID token is refused: it belongs to another sign-in")
        parties = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if claims.get("azp", self._client_id if len(parties) == 1 else None) != self._client_id:
            raise SignInFailed("the ID token is refused: it was issued to another client")
        if not claims["sub"].strip():
            raise SignInFailed("the ID token is refused: it names nobody")

    async def _exchange(self, code: str, verifier: str, redirect_url: str) -> str:
        metadata = await self._configuration()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_url,
            "client_id": self._client_id,
            "code_verifier": verifier,
        }
        authentication = None
        if self._client_secret and "client_secret_basic" in metadata.token_endpoint_auth_methods_supported:
            # RFC 6749, section 2.3.1.
            authentication = httpx.BasicAuth(quote_plus(self._client_id), quote_plus(self._client_secret))
        elif self._client_secret:
            form["client_secret"] = self._client_secret
        status, body = await self._ask("POST", metadata.token_endpoint, form, authentication)
        answer = _decoded(body, _TokenAnswer) if status in (200, 400, 401) else _TokenAnswer()
        if status == 200 and answer.id_token:
            return answer.id_token
        if answer.error == "invalid_grant":
            raise SignInFailed("the provider refuses the code, which is used up or too old; sign in again")
        said = answer.error if ERROR_CODE.fullmatch(answer.error) else "no ID token"
        log.error("the identity provider answers %d to a code: %s", status, said)
        raise ProviderUnavailable(f"the identity provider answers {status} to a code: {said}")

    @asynccontextmanager
    async def _lookup(self) -> AsyncIterator[None]:
        """One at a time; `ProviderUnavailable` after `DEADLINE_S`, of which waiting for another's is part."""
        try:
            async with asyncio.timeout(DEADLINE_S), self._looking_up:
                yield
        except TimeoutError as error:
            raise _no_answer(error) from None

    async def _configuration(self) -> Metadata:
        async with self._lookup():
            if self._metadata is None or self._age_s(self._metadata[0]) > KNOWN_S:
                read = await self._get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration", Metadata)
                if read.issuer != self._issuer:
                    raise ProviderUnavailable("the identity provider's configuration is of another issuer")
                if not all(map(is_secure_url, (read.authorization_endpoint, read.token_endpoint, read.jwks_uri))):
                    raise ProviderUnavailable("the identity provider's configuration has an address without TLS")
                self._metadata = (self._now_s(), read)
            return self._metadata[1]

    async def _key_of(self, header: Mapping[str, Any]) -> Any:
        """The public key of a token's header; those of the provider are read anew where it is none of them."""
        metadata = await self._configuration()
        async with self._lookup():
            found = self._find(header) if self._keys and self._age_s(self._keys[0]) <= KNOWN_S else None
            if found is None and (self._keys is None or self._age_s(self._keys[0]) >= MIN_KNOWN_S):
                read: _Keys = await self._get(metadata.jwks_uri, _Keys)
                self._keys = (self._now_s(), jwt.PyJWKSet(read.keys).keys)
                found = self._find(header)
        if found is None:
            raise SignInFailed(
                "the ID token is refused: it is signed with a key that the provider does not publish"
            )
        return found.key

    def _find(self, header: Mapping[str, Any]) -> jwt.PyJWK | None:
        assert self._keys is not None
        kid = header.get("kid")
        keys = [key for key in self._keys[1] if key.public_key_use in (None, "sig")]
        if kid is None:
            return keys[0] if len(keys) == 1 else None
        return next((key for key in keys if key.key_id == kid), None)

    async def _get(self, url: str, kind: Any) -> Any:
        status, body = await self._ask("GET", url)
        if status != httpx.codes.OK:
            raise ProviderUnavailable(f"the identity provider answers {status} where its configuration is")
        return _decoded(body, kind)

    async def _ask(
        self, method: str, url: str, form: Mapping[str, str] | None = None, auth: httpx.Auth | None = None
    ) -> tuple[int, bytes]:
        # Compressed, a small answer could become a large one.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        body = bytearray()
        try:
            async with (
                asyncio.timeout(DEADLINE_S),
                self._requests,
                self._http.stream(method, url, data=form, auth=auth, headers=headers) as answer,
            ):
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise ProviderUnavailable(
                            f"the identity provider answers with more than {MAX_BYTES} bytes"
                        )
                return answer.status_code, bytes(body)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise _no_answer(error) from None

    def _age_s(self, read_at_s: float) -> float:
        return self._now_s() - read_at_s

    def _now_s(self) -> float:
        return self._clock.now().timestamp()


def _no_answer(error: Exception) -> ProviderUnavailable:
    cause = connection_cause(error)
    log.error("the identity provider does not answer: %s", cause)
    return ProviderUnavailable(f"the identity provider does not answer: {cause}")


def _decoded(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError:
        raise ProviderUnavailable("the identity provider's answer is not OpenID Connect") from None
