"""A receiver of budget alerts, which takes what is signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.http_server import in_thread

SECRET = "a-secret-that-both-sides-know-0123456789"


@dataclass
class Webhook:
    """`settings` are those of the server that posts to it; `heard` has each alert's type and data."""

    settings: dict[str, str]
    heard: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def receiving() -> Iterator[Webhook]:
    heard: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
            digest = base64.b64encode(hmac.digest(SECRET.encode(), signed, hashlib.sha256)).decode()
            is_right = hmac.compare_digest(self.headers["webhook-signature"], f"v1,{digest}")
            if is_right:
                alert = json.loads(body)
                heard.append({"type": alert["type"], **alert["data"]})
            self.send_response(204 if is_right else 403)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    with in_thread(ThreadingHTTPServer(("127.0.0.1", 0), Receiver)) as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        yield Webhook({"WANNENG_BUDGET_WEBHOOK_URL": url, "WANNENG_BUDGET_WEBHOOK_SECRET": SECRET}, heard)
