"""A Triton with a fixed service time behind a gateway with its defaults, and tenants with keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.replicas import ADMIN_KEY, OPERATOR, GatewayProcess, TritonProcess
from tests.e2e.server import ROOT

SERVICE_S, BATCH_PAIRS = 0.266, 64
LABELS = tuple("甲乙丙丁戊己庚辛")
CAPACITY = BATCH_PAIRS / SERVICE_S / len(LABELS)
"""Requests of `LABELS` a second: 30."""


@dataclass(frozen=True, slots=True)
class Paced:
    gateway: GatewayProcess
    triton: TritonProcess

    def new_key(self, name: str) -> str:
        """Of a new tenant."""
        with httpx.Client(base_url=self.gateway.url, headers=OPERATOR, trust_env=False) as operator:
            tenant = operator.post("/v1/tenants", json={"name": name}).json()["id"]
            key: str = operator.post(f"/v1/tenants/{tenant}/keys", json={}).json()["key"]
        return key

    def pairs_in_flight(self) -> float:
        metrics = httpx.get(f"{self.gateway.url}/metrics", headers=OPERATOR, trust_env=False).text
        (line,) = [line for line in metrics.splitlines() if line.startswith("wanneng_pairs_in_flight ")]
        return float(line.split()[1])


@contextmanager
def paced(state: Path) -> Iterator[Paced]:
    triton = TritonProcess(ROOT / "tests/golden/small", state / "triton", SERVICE_S)
    triton.start()
    try:
        own = {"WANNENG_ADMIN_KEY": ADMIN_KEY, "WANNENG_REQUIRE_KEY": "true"}
        gateway = GatewayProcess(triton.url, state, settings=own)
        gateway.start()
        try:
            yield Paced(gateway, triton)
        finally:
            gateway.stop()
    finally:
        triton.kill()
