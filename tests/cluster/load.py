"""A steady load from clients that keep their connections open and never retry."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

CLIENTS = 5
TIMEOUT_S = 30.0
MAX_REQUESTS = 100_000
"""Per client."""
LABELS = ["投诉", "咨询", "建议"]
AFTERWARDS_S = 3.0
"""How long `lossless` goes on after its block."""


@dataclass
class Load:
    """The responses so far."""

    address: str
    key: str
    per_second: float
    labels: list[str] = field(default_factory=lambda: LABELS)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def successes(self) -> int:
        return self.statuses[200]

    def client(self, number: int, clients: int) -> None:
        """Send a new text every `clients / per_second` seconds; reconnect when the server disconnects."""
        connection: http.client.HTTPConnection | None = None
        began = time.monotonic() + number / self.per_second
        for turn in range(MAX_REQUESTS):
            wait_s = began + turn * clients / self.per_second - time.monotonic()
            if self.stopping.wait(max(0.0, wait_s)):
                break
            if connection is None:
                connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT_S)
                self.connections += 1
            try:
                keep_alive = self._request(connection, f"第{number}位客户第{turn}次来电，质量太差，要求退款")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{time.strftime('%X')} {error!r}")
                keep_alive = False
            if not keep_alive:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _request(self, connection: http.client.HTTPConnection, text: str) -> bool:
        """Whether the connection stays open."""
        body = json.dumps({"text": text, "labels": self.labels})
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/classify", body, headers)
        response = connection.getresponse()
        content = response.read()
        self.statuses[response.status] += 1
        if response.status == http.client.OK:
            answer = json.loads(content)
            self.versions[answer["model_version"]] += 1
            if sorted(answer["labels"]) != sorted(self.labels):
                self.failures.append(f"other labels: {answer}")
        else:
            self.failures.append(
                f"{time.strftime('%X')} {response.status} {content[:300].decode(errors='replace')}"
            )
        return not response.will_close


@contextmanager
def steady(
    address: str, key: str, per_second: float = 20.0, clients: int = CLIENTS, labels: int = 3
) -> Iterator[Load]:
    """A load during the block, which begins once the first responses have arrived."""
    chosen = LABELS if labels == len(LABELS) else [f"标签{number}" for number in range(labels)]
    load = Load(address, key, per_second, chosen)
    threads = [threading.Thread(target=load.client, args=(number, clients)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        ends = time.monotonic() + TIMEOUT_S
        while load.successes < clients and time.monotonic() < ends:
            time.sleep(0.05)
        yield load
    finally:
        load.stopping.set()
        for thread in threads:
            thread.join(2 * TIMEOUT_S)


@contextmanager
def lossless(address: str, key: str) -> Iterator[Load]:
    """Twenty requests per second, none of which may fail, whatever happens in the block."""
    with steady(address, key) as load:
        yield load
        time.sleep(AFTERWARDS_S)
    assert load.failures == []
    assert load.successes > 0
