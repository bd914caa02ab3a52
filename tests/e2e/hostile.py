"""Requests that nobody means well with, from a seed: sizes, encodings, deep JSON, wrong lengths, half a body."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

GOOD = {"text": "要求退款", "labels": "投诉,咨询"}
PATHS = (
    *("/v1/classify",) * 4,
    "/",
    "/classify",
    "/console",
    "/docs",
    "/hf/inference",
    "/hf/pipeline",
    "/livez",
    "/metrics",
    "/openapi.json",
    "/predict",
    "/readyz",
    "/rerank",
    "/score",
    "/ui/page.js",
    "/v1/audit",
    "/v1/admin/audit/export",
    "/v1/admin/status",
    "/v1/batches",
    "/v1/batches/x/cancel",
    "/v1/budget",
    "/v1/cluster/auth",
    "/v1/files",
    "/v1/files/x/content",
    "/v1/flexible/infers",
    "/v1/keys",
    "/v1/keys/x",
    "/v1/label-sets",
    "/v1/label-sets/x",
    "/v1/me",
    "/v1/models",
    "/v1/models/x",
    "/v1/moderations",
    "/v1/rerank",
    "/v1/score",
    "/v1/sign-in",
    "/v1/sign-in/sessions",
    "/v1/tenants",
    "/v1/tenants/x/keys",
    "/v1/tokenize",
    "/v1/usage",
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/zero_shot",
    "/v2/models/zero_shot/infer",
    "/v2/models/zero_shot/ready",
    "/v2/models/zero_shot/versions/1",
    "/v2/models/zero_shot/versions/1/infer",
    "/v2/models/zero_shot/versions/1/ready",
    "/v2/rerank",
)
"""Every path of the gateway, with a value where it has a parameter; a test compares them with its routes."""
BAD_PATHS = (
    "/v1/usage?from=%00",
    "/%00",
    "/v1/batches/%ff",
    "//",
    "/v1/label-sets/%E2%80%8B/versions",
    "/v2/models/%2e%2e/infer",
    "/v1/models/" + "x" * 5_000,
    "*",
    "http://elsewhere/v1/classify",
)
AT_ONCE = 24
WAIT_S = 0.5
"""For an answer; a body that never comes is waited for by the gateway, not by us."""
METHODS = ("POST",) * 8 + ("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
TYPES = (
    *("application/json",) * 4,
    "application/json; charset=utf-16",
    "application/x-www-form-urlencoded",
    "application/x-ndjson",
    "application/octet-stream",
    "application/xml",
    "text/plain",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "",
    "x" * 3_000,
)
FIELDS = (
    "text",
    "texts",
    "labels",
    "label_set",
    "hypothesis_template",
    "multi_label",
    "max_tokens",
    "inputs",
    "parameters",
    "query",
    "name",
    "",
    "__proto__",
    "a" * 300,
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    1,
    -1,
    1e308,
    10**400,
    "",
    "x",
    "x" * 2_000,
    "x" * 200_000,
    "\u0000",
    "%s%n%x",
    "{:>999999999}",
    "{0.__class__}",
    "[SEP][CLS]",
    "\u202e",
    "𝕏" * 50,
    "'; DROP TABLE tenants--",
    float("nan"),
    [],
    {},
)


@dataclass(frozen=True, slots=True)
class Hostile:
    """The bytes of a request, in the pieces in which they are sent."""

    pieces: tuple[bytes, ...]
    leaves: bool
    """Whether the client goes before it is answered."""
    shuts: bool
    """Whether it says that it will send no more."""


def hostile(count: int, seed: int, key: str) -> Iterator[Hostile]:
    """`count` requests; some of them carry the real `key`, so that they come further."""
    rng = random.Random(seed)
    for _ in range(count):
        body = _body(rng)
        path = rng.choice(PATHS if rng.random() < 0.9 else BAD_PATHS)
        lines = [f"{rng.choice(METHODS)} {path} HTTP/1.1", "Host: 127.0.0.1"]
        if rng.random() < 0.8:
            length = len(body) if rng.random() < 0.95 else rng.choice([0, len(body) + 5, -1, "x", 10**20])
            lines.append(f"Content-Length: {length}")
        else:
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        lines += _headers(rng, key)
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        cut = rng.randrange(len(body) + 1)
        pieces = (head, body[:cut], body[cut:]) if rng.random() < 0.1 else (head + body,)
        yield Hostile(pieces, rng.random() < 0.05, rng.random() < 0.05)


async def send(port: int, request: Hostile) -> str:
    """The status, or what happened instead of one."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return "refused"
    try:
        for piece in request.pieces:
            writer.write(piece)
            if len(request.pieces) > 1:
                await asyncio.sleep(0.01)
        if request.leaves:
            return "left"
        if request.shuts:
            writer.write_eof()
        await writer.drain()
        async with asyncio.timeout(WAIT_S):
            line = await reader.readline()
        return line.split()[1].decode() if line else "closed"
    except TimeoutError:
        return "waiting"
    except OSError:
        return "reset"
    finally:
        writer.close()


async def send_all(port: int, requests: Iterator[Hostile]) -> Counter[str]:
    outcomes: Counter[str] = Counter()

    async def client() -> None:
        for request in requests:
            outcomes[await send(port, request)] += 1

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    return outcomes


def _headers(rng: random.Random, key: str) -> Iterator[str]:
    yield f"Content-Type: {rng.choice(TYPES)}"
    unknown = "Bearer wn_000000000000_" + "0" * 48
    for share, name, values in (
        (0.6, "Authorization", (f"Bearer {key}",) * 4 + ("Bearer", "Basic x", unknown, "Bearer " + "x" * 5_000)),
        (0.1, "X-Request-Id", ("a b", "x" * 500, "ok-1", "\xe9")),
        (0.1, "X-Request-Timeout", ("0", "-1", "nan", "1e400", "x", "0.001")),
        (0.1, "Inference-Header-Content-Length", ("5", "-1", "x", "99999999")),
        (0.05, "Content-Encoding", ("gzip", "deflate", "br", "identity", "gzip, gzip")),
        (0.05, "Expect", ("100-continue", "x")),
        (0.05, "Upgrade", ("websocket", "h2c")),
        (0.05, "If-Match", ('"1"', "*", 'W/"1"', '"99999999999"')),
        (0.05, "Idempotency-Key", ("k", "k" * 300)),
        (0.05, "traceparent", ("00-0-0-00", "x" * 2_000)),
    ):
        if rng.random() < share:
            yield f"{name}: {rng.choice(values)}"


def _body(rng: random.Random) -> bytes:
    kinds = (
        lambda: b"",
        lambda: b"[" * rng.choice([10, 5_000, 200_000]),
        lambda: rng.randbytes(rng.randint(1, 200)),
        lambda: json.dumps(GOOD).encode()[: rng.randint(1, 30)],
        lambda: b'{"text":"a","text":"b","labels":"c","labels":["d"]}',
        lambda: b'{"text":"\\ud800","labels":["\\udfff"]}',
        lambda: json.dumps(GOOD).encode("utf-16"),
        lambda: json.dumps(
            GOOD | {"max_tokens": rng.choice([10**30, -5, 0, 7, 8, 513, 2**63, 1.5, "8"])}
        ).encode(),
        lambda: json.dumps(GOOD | {"labels": ["x" * rng.choice([1, 1_025])] * rng.choice([1, 2, 300])}).encode(),
        lambda: json.dumps(GOOD | {"hypothesis_template": rng.choice(VALUES[5:17])}).encode(),
        lambda: json.dumps({"inputs": [_tensor(rng) for _ in range(3)]}).encode(),
        lambda: json.dumps(_value(rng)).encode("utf-8", "surrogatepass"),
        lambda: json.dumps(GOOD).encode(),
    )
    return rng.choice(kinds)()


def _tensor(rng: random.Random) -> dict[str, Any]:
    return {
        "name": rng.choice(["text", "labels", "x"]),
        "datatype": rng.choice(["BYTES", "INT32", "FP64", ""]),
        "shape": rng.choice([[1], [-1], [2**40], [], [0]]),
        "data": _value(rng),
    }


def _value(rng: random.Random, depth: int = 0) -> Any:
    drawn = rng.random()
    if depth > 3 or drawn < 0.3:
        return rng.choice(VALUES)
    if drawn < 0.65:
        return [_value(rng, depth + 1) for _ in range(rng.randint(0, 4))]
    return {rng.choice(FIELDS): _value(rng, depth + 1) for _ in range(rng.randint(0, 5))}
