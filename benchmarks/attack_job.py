"""What an attack is told, the connections that it makes, and what it returns. Needs the standard library alone."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import Any

SOURCES = cycle(["127.0.0.2", "127.0.0.3", "127.0.0.4"])
"""Addresses of the attacker on loopback; the neighbour has another one."""
BODY_BYTES = 3_900_000
"""Just below the default of WANNENG_MAX_BODY_BYTES."""
PAUSE_S = 0.05
"""After a connection was closed or refused."""


@dataclass(frozen=True, slots=True)
class Job:
    """Attack a server for `seconds` with the key of a tenant."""

    attack: str
    host: str
    port: int
    key: str
    seconds: float

    def source(self) -> tuple[str, int] | None:
        """Where the next connection comes from: several addresses on loopback, elsewhere the only one."""
        return (next(SOURCES), 0) if self.host.startswith("127.") else None

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        """The bytes of a request with the tenant's key."""
        fields = {"Host": f"{self.host}:{self.port}", "Authorization": f"Bearer {self.key}"}
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body


Attack = Callable[[Job], Coroutine[Any, Any, Counter[str]]]
"""Returns the number of outcomes of each kind."""


def encode_job(job: Job) -> bytes:
    """What `main` reads."""
    return json.dumps(asdict(job)).encode()


async def connect(job: Job) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(job.host, job.port, local_addr=job.source())
