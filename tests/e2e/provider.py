"""A real OpenID Connect provider on loopback, whose clients register, and which a test can make lie."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import flask
import httpx
import werkzeug.serving

from tests.http_server import in_thread

with warnings.catch_warnings():
    # Of its dependencies, one of which shows its own, whatever the filters were before.
    import authlib.deprecate  # noqa: F401

    warnings.simplefilter("ignore")
    import oidc_provider_mock

TOKEN_PATH = "/oauth2/token"
Forge = Callable[[str], str]


@dataclass
class Provider:
    url: str
    forge: Forge | None = None
    """What is made of each ID token before it is sent."""

    def add(self, subject: str, **claims: object) -> None:
        """Somebody who can sign in, with what the ID token then says."""
        httpx.put(f"{self.url}/users/{subject}", json=claims, trust_env=False).raise_for_status()

    def register(self, *redirect_urls: str) -> tuple[str, str]:
        """Id and secret of a new client."""
        body = {"redirect_uris": redirect_urls}
        answer = httpx.post(f"{self.url}/oauth2/clients", json=body, trust_env=False).raise_for_status().json()
        return answer["client_id"], answer["client_secret"]


@contextmanager
def identity_provider() -> Iterator[Provider]:
    app = oidc_provider_mock.app(require_client_registration=True, require_nonce=True)
    server = werkzeug.serving.make_server("127.0.0.1", 0, app, threaded=True)
    provider = Provider(f"http://127.0.0.1:{server.server_port}")

    @app.after_request
    def lie(response: flask.Response) -> flask.Response:
        if flask.request.path == TOKEN_PATH and provider.forge is not None and response.status_code == 200:
            answer = response.get_json()
            response.set_data(flask.json.dumps(answer | {"id_token": provider.forge(answer["id_token"])}))
        return response

    with in_thread(server):
        yield provider
