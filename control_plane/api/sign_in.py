"""Signing in to the console without a key, where the operator has an identity provider for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct
from starlette.responses import Response

from control_plane.api.schema import Time
from control_plane.sign_in import Granted, SignIn
from stores.errors import NotFound
from web.operations import Call, Operation
from web.responses import json_response

SIGN_IN = "/v1/sign-in"
NO_STORE = {"Cache-Control": "no-store"}
Parameter = Annotated[str, Meta(max_length=4_096)]
"""That comes back from the provider."""


class SignInMethods(Struct, frozen=True):
    provider: str | None
    """The host of the identity provider; null: a key alone opens the console."""


class SignInBody(Struct, forbid_unknown_fields=True):
    redirect_url: Parameter
    """The address of the console, one of those that the operator has named."""


class SignInBegun(Struct, frozen=True):
    authorization_url: str
    """Where the person signs in."""
    flow: str
    """To be kept by whoever has begun, and sent back with the provider's answer."""


class SessionBody(Struct, forbid_unknown_fields=True):
    redirect_url: Parameter
    flow: Parameter
    state: Parameter
    code: Parameter


class SessionAnswer(Struct, frozen=True):
    token: str
    """In place of a key: `Authorization: Bearer …`."""
    expires_at: Time
    is_operator: bool
    tenant_id: str | None
    tenant_name: str | None
    scopes: tuple[str, ...]

    @classmethod
    def of(cls, granted: Granted) -> SessionAnswer:
        session = granted.session
        end = datetime.fromtimestamp(session.expires_at_s, UTC)
        tenant = session.tenant_id or None
        return cls(granted.token, end, tenant is None, tenant, granted.tenant_name or None, session.scopes)


class SessionList(Struct, frozen=True):
    name: str
    """Of the person, as the provider has it."""
    sessions: list[SessionAnswer]
    """One for each tenant, and one for an operator."""


class SignInEndpoints:
    """`sign_in`: None where there is no identity provider; `issuer` is its address."""

    def __init__(self, sign_in: SignIn | None, issuer: str) -> None:
        self._sign_in = sign_in
        self._issuer = issuer

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "GET",
                SIGN_IN,
                self.methods,
                "Get the ways to sign in to the console",
                answers=(SignInMethods,),
                id="getSignIn",
            ),
            Operation(
                "POST",
                SIGN_IN,
                self.begin,
                "Begin to sign in with OpenID Connect",
                body=SignInBody,
                answers=(SignInBegun,),
                errors=(404, 503),
                id="beginSignIn",
            ),
            Operation(
                "POST",
                f"{SIGN_IN}/sessions",
                self.finish,
                "Exchange the provider's answer for sessions, each with a token in place of a key",
                body=SessionBody,
                answers=(SessionList,),
                status=201,
                errors=(401, 403, 404, 503),
                id="finishSignIn",
            ),
        ]

    async def methods(self, call: Call) -> Response:
        return json_response(SignInMethods(urlsplit(self._issuer).hostname if self._sign_in else None))

    async def begin(self, call: Call) -> Response:
        begun = await self._configured().begin(call.body.redirect_url)
        return json_response(SignInBegun(begun.authorization_url, begun.flow), headers=NO_STORE)

    async def finish(self, call: Call) -> Response:
        body: SessionBody = call.body
        signed_in = await self._configured().finish(body.redirect_url, body.flow, body.state, body.code)
        sessions = [SessionAnswer.of(granted) for granted in signed_in.sessions]
        return json_response(SessionList(signed_in.name, sessions), 201, NO_STORE)

    def _configured(self) -> SignIn:
        if self._sign_in is None:
            raise NotFound("there is no identity provider here: set WANNENG_OIDC_ISSUER, or sign in with a key")
        return self._sign_in
