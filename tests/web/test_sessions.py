"""A session is what its signature says, for as long as it lasts, and nothing else."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec
import pytest

from stores.errors import Unauthorized
from tests.fakes.clock import FakeClock
from web.sessions import OPERATOR, TENANT, Session, SessionTokens

SECRET = "s" * 32


def session(clock: FakeClock, seconds: int = 60) -> Session:
    return Session("alice", int(clock.now().timestamp()) + seconds, "t_1", ("classify",))


def test_a_token_is_read_until_it_ends() -> None:
    clock = FakeClock()
    tokens, made = SessionTokens(TENANT, SECRET, clock), session(clock)
    token = tokens.issue(made)
    assert tokens.read(f"Bearer {token}") == tokens.read(f"bearer  {token}") == made
    clock.advance(60)
    with pytest.raises(Unauthorized):
        tokens.read(f"Bearer {token}")


def changed(token: str, **fields: object) -> str:
    payload, _, signature = token.removeprefix(TENANT).partition(".")
    content = msgspec.json.decode(urlsafe_b64decode(payload)) | fields
    return f"{TENANT}{urlsafe_b64encode(msgspec.json.encode(content)).decode()}.{signature}"


@pytest.mark.parametrize(
    "fields", [{"tenant_id": "t_2"}, {"scopes": ["keys:write"]}, {"expires_at_s": 10**12}, {"subject": "bob"}]
)
def test_whoever_changes_a_session_has_none(fields: dict[str, object]) -> None:
    clock = FakeClock()
    tokens = SessionTokens(TENANT, SECRET, clock)
    with pytest.raises(Unauthorized):
        tokens.read(f"Bearer {changed(tokens.issue(session(clock)), **fields)}")


def test_a_session_of_another_kind_or_of_another_secret_is_none() -> None:
    clock = FakeClock()
    tenants, operators = SessionTokens(TENANT, SECRET, clock), SessionTokens(OPERATOR, SECRET, clock)
    token = tenants.issue(session(clock))
    assert operators.read(f"Bearer {token}") is None
    with pytest.raises(Unauthorized):
        operators.read(f"Bearer {OPERATOR}{token.removeprefix(TENANT)}")
    with pytest.raises(Unauthorized):
        SessionTokens(TENANT, "t" * 32, clock).read(f"Bearer {token}")
    assert SessionTokens(TENANT, "", clock).read(f"Bearer {token}") is None


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic wns_a.b", "Bearer wn_s_wns_", "Bearer wns"])
def test_what_is_no_token_is_nobodys(header: str | None) -> None:
    assert SessionTokens(TENANT, SECRET, FakeClock()).read(header) is None


@pytest.mark.parametrize("token", ["wns_", "wns_.", "wns_a.b", "wns_ключ.b", "wns_" + "a" * 10_000])
def test_a_token_that_nobody_signed_is_refused(token: str) -> None:
    with pytest.raises(Unauthorized):
        SessionTokens(TENANT, SECRET, FakeClock()).read(f"Bearer {token}")
