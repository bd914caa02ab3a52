"""Puts load on the control plane: uploads all at once, or listings in a loop. Run by `planes.py` as a process.

It reads its job as JSON from standard input and prints the number of responses by status as JSON. It has a process
of its own with the lowest priority, and the cheapest client there is: clients do not run on the server's cores.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

BOUNDARY = "benchmark-upload"
HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="lines.jsonl"\r\n\r\n'
).encode()
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()
TIMEOUT_S = 300.0
LOWEST_PRIORITY = 19
LISTERS = 4
PAUSE_S = 0.1
"""After a response that is not 200."""
MORE = re.compile(rb'"last_id":\s*"([^"]+)","has_more":\s*true')


@dataclass(frozen=True, slots=True)
class Uploads:
    """`count` uploads of `file` at once, for the tenants of `keys` in turn."""

    host: str
    port: int
    keys: Sequence[str]
    file: str
    count: int


@dataclass(frozen=True, slots=True)
class Listings:
    """For `seconds`, list the `paths` again and again, page by page; each is a path and a key."""

    host: str
    port: int
    paths: Sequence[tuple[str, str]]
    seconds: float


def main() -> None:
    """Run one job."""
    os.nice(LOWEST_PRIORITY)
    job = json.load(sys.stdin)
    kinds: dict[str, Callable[..., Any]] = {"Uploads": Uploads, "Listings": Listings}
    parsed = kinds[job.pop("kind")](**job)
    statuses = upload(parsed) if isinstance(parsed, Uploads) else list_all(parsed)
    print(json.dumps(statuses))


def encode_job(job: Uploads | Listings) -> bytes:
    """What `main` reads."""
    return json.dumps({"kind": type(job).__name__, **asdict(job)}).encode()


def upload(job: Uploads) -> Counter[str]:
    """Run the uploads; the number of responses by status or error."""

    def upload_one(number: int) -> str:
        connection = HTTPConnection(job.host, job.port, timeout=TIMEOUT_S)
        size = len(HEAD) + Path(job.file).stat().st_size + len(TAIL)
        try:
            with Path(job.file).open("rb") as file:
                connection.putrequest("POST", "/v1/files")
                connection.putheader("Authorization", f"Bearer {job.keys[number % len(job.keys)]}")
                connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
                connection.putheader("Content-Length", str(size))
                # A server that refuses an upload may answer and close before it has read the whole body.
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.endheaders(HEAD)
                    connection.sock.sendfile(file)
                    connection.send(TAIL)
            response = connection.getresponse()
            response.read()
        except (OSError, HTTPException) as error:
            return repr(error)
        else:
            return str(response.status)
        finally:
            connection.close()

    with ThreadPoolExecutor(job.count) as threads:
        return Counter(threads.map(upload_one, range(job.count)))


def list_all(job: Listings) -> Counter[str]:
    """Run the listings with `LISTERS` connections; the number of responses by status or error."""
    ends_at = time.monotonic() + job.seconds

    def list_in_a_loop(_: int) -> Counter[str]:
        statuses: Counter[str] = Counter()
        connection = HTTPConnection(job.host, job.port, timeout=TIMEOUT_S)
        while True:
            for path, key in job.paths:
                target = path
                while target:
                    if time.monotonic() > ends_at:
                        connection.close()
                        return statuses
                    status, content = _get(connection, target, key)
                    statuses[status] += 1
                    more = MORE.search(content)
                    target = f"{path}&after={more[1].decode()}" if more else ""

    with ThreadPoolExecutor(LISTERS) as threads:
        return sum(threads.map(list_in_a_loop, range(LISTERS)), Counter())


def _get(connection: HTTPConnection, target: str, key: str) -> tuple[str, bytes]:
    """Status or error, and content; the connection opens again by itself after an error."""
    try:
        connection.request("GET", target, headers={"Authorization": f"Bearer {key}"})
        response = connection.getresponse()
        content = response.read()
    except (OSError, HTTPException) as error:
        connection.close()
        time.sleep(PAUSE_S)
        return repr(error), b""
    if response.status != 200:
        time.sleep(PAUSE_S)
    return str(response.status), content


if __name__ == "__main__":
    main()
