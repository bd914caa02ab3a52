"""A proxy before a gateway that holds chosen requests as long as it runs, so that no test has to be in time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.http_server import in_thread

TIMEOUT_S = 60.0
HOP_BY_HOP = ("connection", "content-length", "transfer-encoding", "content-encoding", "host")
Holds = Callable[[str, str, bytes], bool]
"""Whether a request with this method, path and body is held; asked for one at a time."""


@dataclass
class Gate:
    url: str
    held: threading.Event = field(default_factory=threading.Event)
    """Set once a request is held; it never reaches the gateway."""


@contextmanager
def gate(target: str, holds: Holds) -> Iterator[Gate]:
    """Forwards to `target`, a gateway's address, what `holds` does not hold."""
    ended, one_at_a_time = threading.Event(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with one_at_a_time:
                is_held = holds(self.command, self.path, body)
            if is_held:
                opened.held.set()
                ended.wait()
                self.close_connection = True
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            answer = client.request(self.command, self.path, content=body, headers=headers)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_DELETE = handle_one  # noqa: N815 - the names are http.server's

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    opened = Gate(f"http://127.0.0.1:{server.server_port}")
    with httpx.Client(base_url=target, timeout=TIMEOUT_S, trust_env=False) as client, in_thread(server):
        try:
            yield opened
        finally:
            ended.set()
