"""What the control plane takes from an identity provider over HTTP, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from control_plane import identity_provider
from control_plane.identity_provider import KNOWN_S, MAX_BYTES, MIN_KNOWN_S, HttpIdentityProvider
from control_plane.settings import Role, Settings
from stores.errors import ProviderUnavailable, SignInFailed
from tests.fakes.clock import FakeClock

ISSUER, CLIENT, CONSOLE, NONCE = "https://login.example", "console", "https://c.example/console", "n" * 43
KEY, OTHER_KEY = (rsa.generate_private_key(public_exponent=65_537, key_size=2_048) for _ in range(2))
Tokens = Callable[[], str]


def public(key: rsa.RSAPrivateKey, kid: str, **more: str) -> dict[str, Any]:
    return jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid, "use": "sig"} | more


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    values = {"iss": ISSUER, "aud": CLIENT, "sub": "alice", "iat": now, "exp": now + 300, "nonce": NONCE} | changes
    return {name: value for name, value in values.items() if value is not None}


def signed(algorithm: str = "RS256", key: Any = KEY, kid: str | None = "k1", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm, headers={"kid": kid} if kid else {})


def streamed(response: httpx.Response) -> httpx.Response:
    """As one that comes from a connection."""
    return httpx.Response(response.status_code, stream=httpx.ByteStream(response.content))


class FakeProviderServer:
    """A provider's HTTP side, with what a test puts into it; it remembers what it was asked."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
        }
        self.keys: list[Any] = [public(KEY, "k1")]
        self.token: httpx.Response | str = ""
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.path == "/token":
            answer = self.token
            return streamed(answer) if isinstance(answer, httpx.Response) else self.answer(id_token=answer)
        if request.url.path == "/keys":
            return self.answer(keys=self.keys)
        return self.answer(**self.metadata)

    def answer(self, status: int = 200, **content: Any) -> httpx.Response:
        return streamed(httpx.Response(status, content=json.dumps(content)))

    def count(self, path: str) -> int:
        return sum(request.url.path == path for request in self.asked)


class World:
    def __init__(self, **settings: Any) -> None:
        self.server, self.clock = FakeProviderServer(), FakeClock()
        values: dict[str, Any] = {
            "oidc_client_secret": "p&=ss",
            "oidc_roles": {"a": Role(operator=True)},
        } | settings
        self.provider = HttpIdentityProvider(
            httpx.AsyncClient(transport=httpx.MockTransport(self.server)),
            self.clock,
            Settings(oidc_issuer=ISSUER, oidc_client_id=CLIENT, oidc_redirect_urls=(CONSOLE,), **values),
        )

    async def sign_in(self, token: httpx.Response | str, nonce: str = NONCE) -> Any:
        self.server.token = token
        return await self.provider.claims("the-code", "the-verifier", CONSOLE, nonce)


async def test_people_are_sent_away_with_all_that_binds_the_answer() -> None:
    world = World(oidc_scopes=("openid", "groups"))
    parts = urlsplit(await world.provider.authorization_url(CONSOLE, "the-state", NONCE, "the-challenge"))
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{ISSUER}/authorize"
    assert {name: values[0] for name, values in parse_qs(parts.query).items()} == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": CONSOLE,
        "scope": "openid groups",
        "state": "the-state",
        "nonce": NONCE,
        "code_challenge": "the-challenge",
        "code_challenge_method": "S256",
    }


async def test_a_code_is_exchanged_for_the_claims_of_a_verified_token() -> None:
    world = World()
    assert (await world.sign_in(signed(groups=["acme"])))["groups"] == ["acme"]
    (request,) = [each for each in world.server.asked if each.url.path == "/token"]
    form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
    assert form == {
        "grant_type": "authorization_code",
        "code": "the-code",
        "redirect_uri": CONSOLE,
        "client_id": CLIENT,
        "code_verifier": "the-verifier",
    }
    # RFC 6749, section 2.3.1: encoded as in a form, before it is Base64.
    assert request.headers["Authorization"] == httpx.BasicAuth(CLIENT, "p%26%3Dss")._auth_header


@pytest.mark.parametrize(
    ("methods", "secret", "in_form"),
    [(["client_secret_post"], "p&=ss", "p&=ss"), (["client_secret_basic"], "", None), (["none"], "", None)],
)
async def test_the_client_authenticates_as_the_provider_has_it(
    methods: list[str], secret: str, in_form: str | None
) -> None:
    world = World(oidc_client_secret=secret)
    world.server.metadata["token_endpoint_auth_methods_supported"] = methods
    await world.sign_in(signed())
    (request,) = [each for each in world.server.asked if each.url.path == "/token"]
    assert parse_qs(request.content.decode()).get("client_secret") == (in_form and [in_form])
    assert "Authorization" not in request.headers


def public_pem() -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def as_secret() -> str:
    """Signed with the public key as if it were a shared secret."""
    import hashlib
    import hmac
    from base64 import urlsafe_b64encode

    def part(content: bytes) -> str:
        return urlsafe_b64encode(content).decode().rstrip("=")

    head = part(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "k1"}).encode())
    text = f"{head}.{part(json.dumps(claims()).encode())}"
    return f"{text}.{part(hmac.digest(public_pem().encode(), text.encode(), hashlib.sha256))}"


def tampered() -> str:
    head, _, signature = signed().split(".")
    return ".".join((head, signed(sub="mallory").split(".")[1], signature))


FORGED: list[tuple[str, Tokens]] = [
    ("alg none", lambda: jwt.encode(claims(), "", "none", headers={"kid": "k1"})),
    ("a shared secret", as_secret),
    ("another key", lambda: signed(key=OTHER_KEY)),
    ("a key that is not published", lambda: signed(key=OTHER_KEY, kid="k2")),
    ("another payload", tampered),
    ("expired", lambda: signed(exp=int(time.time()) - 60)),
    ("without an end", lambda: signed(exp=None)),
    ("from the future", lambda: signed(iat=int(time.time()) + 600)),
    ("another issuer", lambda: signed(iss="https://evil.example")),
    ("without an issuer", lambda: signed(iss=None)),
    ("another audience", lambda: signed(aud="other")),
    ("without an audience", lambda: signed(aud=None)),
    ("an audience among others, for another party", lambda: signed(aud=[CLIENT, "other"], azp="other")),
    ("an audience among others, for nobody in particular", lambda: signed(aud=[CLIENT, "other"])),
    ("for another party", lambda: signed(azp="other")),
    ("another nonce", lambda: signed(nonce="m" * 43)),
    ("a nonce of another type", lambda: signed(nonce=[NONCE])),
    ("without a nonce", lambda: signed(nonce=None)),
    ("without a subject", lambda: signed(sub=None)),
    ("of nobody", lambda: signed(sub=" ")),
    ("no token", lambda: "a.b.c"),
    ("nothing of a token", lambda: "x" * 100),
]


@pytest.mark.parametrize("token", [token for _, token in FORGED], ids=[name for name, _ in FORGED])
async def test_a_token_that_is_not_for_this_sign_in_is_refused(token: Tokens) -> None:
    with pytest.raises(SignInFailed, match="the ID token is refused"):
        await World().sign_in(token())


async def test_a_token_for_several_audiences_is_taken_where_this_client_is_the_party() -> None:
    assert await World().sign_in(signed(aud=[CLIENT, "other"], azp=CLIENT))


async def test_without_a_key_id_the_only_key_is_meant() -> None:
    world = World()
    assert await world.sign_in(signed(kid=None))
    world.server.keys.append(public(OTHER_KEY, "k2"))
    world.clock.advance(KNOWN_S + 1)
    with pytest.raises(SignInFailed):
        await world.sign_in(signed(kid=None))


async def test_keys_are_remembered_and_a_new_one_is_looked_up_once_in_a_while() -> None:
    world = World()
    for _ in range(3):
        await world.sign_in(signed())
    assert (world.server.count("/keys"), world.server.count("/.well-known/openid-configuration")) == (1, 1)
    world.server.keys = [public(OTHER_KEY, "k2")]
    for _ in range(3):
        with pytest.raises(SignInFailed):
            await world.sign_in(signed(key=OTHER_KEY, kid="k2"))
    assert world.server.count("/keys") == 1, "whoever makes up ids of keys costs the provider nothing"
    world.clock.advance(MIN_KNOWN_S)
    assert await world.sign_in(signed(key=OTHER_KEY, kid="k2"))
    with pytest.raises(SignInFailed):
        await world.sign_in(signed())


@pytest.mark.parametrize("key", [public(KEY, "k1") | {"use": "enc"}, {"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}])
async def test_a_key_for_something_else_signs_nothing(key: dict[str, Any]) -> None:
    world = World()
    world.server.keys = [key]
    with pytest.raises(SignInFailed):
        await world.sign_in(signed())


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ((400, {"error": "invalid_grant"}), SignInFailed, "sign in again"),
        ((401, {"error": "invalid_client"}), ProviderUnavailable, "401 to a code: invalid_client"),
        ((400, {"error": "<script>"}), ProviderUnavailable, "400 to a code: no ID token"),
        ((200, {"access_token": "a"}), ProviderUnavailable, "200 to a code: no ID token"),
        ((302, {}), ProviderUnavailable, "302 to a code"),
        ((500, {}), ProviderUnavailable, "500 to a code"),
        ((200, {"id_token": 1}), ProviderUnavailable, "answer is not OpenID Connect"),
        ((200, {"id_token": "x" * MAX_BYTES}), ProviderUnavailable, f"more than {MAX_BYTES} bytes"),
    ],
)
async def test_a_code_that_is_not_exchanged_says_whose_fault_it_is(
    answer: tuple[int, dict[str, Any]], kind: type[Exception], said: str
) -> None:
    status, content = answer
    with pytest.raises(kind, match=said):
        await World().sign_in(httpx.Response(status, json=content))


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.example"},
        {"issuer": f"{ISSUER}/"},
        {"token_endpoint": "http://login.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": None},
    ],
)
async def test_a_configuration_of_another_issuer_or_without_tls_is_not_used(changes: dict[str, Any]) -> None:
    world = World()
    world.server.metadata |= changes
    with pytest.raises(ProviderUnavailable):
        await world.provider.authorization_url(CONSOLE, "s", NONCE, "c")
    assert [request.url.path for request in world.server.asked] == ["/.well-known/openid-configuration"]


async def test_a_provider_that_does_not_answer_is_named_and_asked_again_next_time() -> None:
    world, fails = World(), True

    def answer(request: httpx.Request) -> httpx.Response:
        if fails:
            raise httpx.ConnectError("no route")
        return world.server(request)

    world.provider._http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    with pytest.raises(ProviderUnavailable, match="does not answer"):
        await world.provider.authorization_url(CONSOLE, "s", NONCE, "c")
    fails = False
    assert await world.provider.authorization_url(CONSOLE, "s", NONCE, "c")


async def test_while_a_provider_hangs_nobody_waits_for_the_lookups_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each caller's deadline begins with the call, so that they do not take it one after another."""
    world, callers = World(), 6

    async def hang(request: httpx.Request) -> httpx.Response:
        world.server(request)
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(identity_provider, "DEADLINE_S", 0.1)
    world.provider._http = httpx.AsyncClient(transport=httpx.MockTransport(hang))
    calls = (world.provider.authorization_url(CONSOLE, "s", NONCE, "c") for _ in range(callers))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {(type(outcome), str(outcome)) for outcome in outcomes} == {
        (ProviderUnavailable, "the identity provider does not answer: no answer in time")
    }
    assert len(world.server.asked) < callers, "who has waited until the deadline does not ask anew"


async def test_nothing_secret_is_logged_or_told(caplog: pytest.LogCaptureFixture) -> None:
    world, token = World(), signed(aud="other")
    with pytest.raises(SignInFailed) as refused:
        await world.sign_in(token)
    with pytest.raises(ProviderUnavailable) as unavailable:
        await world.sign_in(httpx.Response(401, json={"error": "invalid_client"}))
    said = f"{caplog.text} {refused.value} {unavailable.value} {world.provider._client_id}"
    assert not [word for word in ("p&=ss", "the-code", "the-verifier", token.split(".")[1]) if word in said]
