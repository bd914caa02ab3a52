"""A steady load by clients that keep their connections open and never try anything twice."""

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
PATIENCE_S = 30.0
MOST_TURNS = 100_000
LABELS = ["投诉", "咨询", "建议"]


@dataclass
class Load:
    """What came back, while it goes on and afterwards."""

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
    def answered(self) -> int:
        return self.statuses[200]

    def client(self, number: int, clients: int) -> None:
        """Every `clients / per_second` seconds a new text; a new connection where the server closed the old."""
        connection: http.client.HTTPConnection | None = None
        began = time.monotonic() + number / self.per_second
        for turn in range(MOST_TURNS):
            wait = began + turn * clients / self.per_second - time.monotonic()
            if self.stopping.wait(max(0.0, wait)):
                break
            if connection is None:
                connection = http.client.HTTPConnection(self.address, timeout=PATIENCE_S)
                self.connections += 1
            try:
                stays = self._ask(connection, f"第{number}位客户第{turn}次来电，质量太差，要求退款")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{time.strftime('%X')} {error!r}")
                stays = False
            if not stays:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection, text: str) -> bool:
        """Whether the connection stays open."""
        body = json.dumps({"text": text, "labels": self.labels})
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/classify", body, headers)
        answer = connection.getresponse()
        said = answer.read()
        self.statuses[answer.status] += 1
        if answer.status == http.client.OK:
            found = json.loads(said)
            self.versions[found["model_version"]] += 1
            if sorted(found["labels"]) != sorted(self.labels):
                self.failures.append(f"not an answer: {found}")
        else:
            self.failures.append(f"{time.strftime('%X')} {answer.status} {said[:300].decode(errors='replace')}")
        return not answer.will_close


@contextmanager
def steady(
    address: str, key: str, per_second: float = 20.0, clients: int = CLIENTS, labels: int = 3
) -> Iterator[Load]:
    """A load while the block runs; it has begun to be answered when the block begins."""
    chosen = LABELS if labels == len(LABELS) else [f"标签{number}" for number in range(labels)]
    load = Load(address, key, per_second, chosen)
    threads = [threading.Thread(target=load.client, args=(number, clients)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        ends = time.monotonic() + PATIENCE_S
        while load.answered < clients and time.monotonic() < ends:
            time.sleep(0.05)
        yield load
    finally:
        load.stopping.set()
        for thread in threads:
            thread.join(2 * PATIENCE_S)
