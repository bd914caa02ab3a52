"""A neighbour classifies at a steady rate, and what it notices of a disturbance is measured."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
from httpx_aiohttp import AiohttpTransport

from benchmarks.busy_cores import busy_cores
from benchmarks.disturbances import DisturbanceError, Subject, bearer
from loadtest.budget import Promise, Sample, percentile
from loadtest.endpoints import ENDPOINTS, check_response
from loadtest.shapes import arrivals, find_shape
from loadtest.workload import Request

KIND, TENANT = "inline", "benchmark"
ENDPOINT = ENDPOINTS[KIND]
RATE = 20.0
"""Requests a second, by default."""
LABELS = ("投诉", "咨询", "建议")
MAX_P99_RATIO = 2.0
TIMEOUT_S = 30.0
COLUMNS = ("requests", "failed", "p99", "undisturbed", "ratio")


@dataclass(frozen=True, slots=True)
class Measurement:
    """The classifications during one disturbance."""

    disturbance: str
    samples: Sequence[Sample]
    undisturbed_p99_s: float
    probes: Counter[str] = field(default_factory=Counter)
    """Responses of the control plane to a request every half second, by status or error."""
    responses: Counter[str] = field(default_factory=Counter)
    """Responses to the requests of the disturbance itself."""

    @property
    def faults(self) -> Counter[str]:
        return faults(self.samples)

    @property
    def p99_s(self) -> float:
        return p99_s(self.samples)

    @property
    def ratio(self) -> float:
        return self.p99_s / self.undisturbed_p99_s

    @property
    def cells(self) -> tuple[str, ...]:
        """Those of `COLUMNS`."""
        return (
            str(len(self.samples)),
            str(self.faults.total()),
            f"{self.p99_s * 1000:.0f} ms",
            f"{self.undisturbed_p99_s * 1000:.0f} ms",
            f"{self.ratio:.2f}",
        )

    @property
    def failures(self) -> list[str]:
        """A line for each kind of failed request."""
        return [f"{self.disturbance}: {number} × {fault}" for fault, number in sorted(self.faults.items())]

    @property
    def kept(self) -> bool:
        return all(promise.kept for promise in self.promises())

    def promises(self) -> list[Promise]:
        """No request failed, and the p99 stayed below twice the undisturbed one."""
        failed = self.faults.total()
        return [
            Promise(f"{self.disturbance}: failed", "0", f"{failed} of {len(self.samples)}", failed == 0),
            Promise(
                f"{self.disturbance}: p99 over undisturbed",
                f"< {MAX_P99_RATIO:g}",
                f"{self.ratio:.2f} ({self.p99_s * 1000:.0f} ms)",
                self.ratio < MAX_P99_RATIO,
            ),
        ]

    def as_json(self) -> dict[str, Any]:
        return {
            "requests": len(self.samples),
            "failed": self.faults.total(),
            "p99_ms": round(self.p99_s * 1000, 1),
            "undisturbed_p99_ms": round(self.undisturbed_p99_s * 1000, 1),
            "kept": self.kept,
        }


def faults(samples: Sequence[Sample]) -> Counter[str]:
    """What was wrong, and how often."""
    return Counter(sample.fault for sample in samples if sample.fault is not None)


def p99_s(samples: Sequence[Sample]) -> float:
    """Of the requests that succeeded."""
    return percentile(sorted(sample.seconds for sample in samples if sample.fault is None), 0.99)


class Neighbour:
    """Classifies texts that were never sent before, open-loop; `http` has the address and the key."""

    def __init__(self, http: httpx.AsyncClient, rate: float = RATE) -> None:
        self.http = http
        self._rate = rate
        self._texts = count()

    async def undisturbed(self, seconds: float) -> list[Sample]:
        """Samples as of `classify_until`; `DisturbanceError` if a request failed."""
        samples = await self.classify_until(seconds)
        if failed := faults(samples):
            raise DisturbanceError(f"requests fail while nothing is disturbed: {dict(failed)}")
        return samples

    async def classify_until(self, min_s: float, disturbing: asyncio.Future[Any] | None = None) -> list[Sample]:
        """Send requests for `min_s` and until `disturbing` is done; a sample for each, once all are answered.

        Every call sends on the same Poisson schedule, so that the p99 of one can be compared with that of another.
        """
        samples: list[Sample] = []
        started_at = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for arrival_s in arrivals(find_shape("steady"), self._rate, float("inf"), random.Random(1)):
                if arrival_s > min_s and (disturbing is None or disturbing.done()):
                    break
                await asyncio.sleep(max(0.0, started_at + arrival_s - time.monotonic()))
                tasks.create_task(self._classify(started_at + arrival_s, samples))
        return samples

    async def _classify(self, due_at: float, samples: list[Sample]) -> None:
        request = Request(TENANT, KIND, f"第{next(self._texts)}位顾客：快递等了一个星期还没到", LABELS)
        try:
            response = await self.http.post(ENDPOINT.path, json=ENDPOINT.body(request))
            fault = check_response(request, response.status_code, response.content)
        except httpx.TransportError as error:
            fault = repr(error)
        samples.append(Sample(KIND, TENANT, time.monotonic() - due_at, fault))


@asynccontextmanager
async def neighbour(subject: Subject, rate: float = RATE) -> AsyncIterator[Neighbour]:
    """The neighbour of a disturbance, on connections and a machine that stay the same for all its measurements."""
    with busy_cores():
        async with httpx.AsyncClient(
            transport=AiohttpTransport(),
            base_url=subject.server.url,
            headers=bearer(subject.key),
            timeout=TIMEOUT_S,
            trust_env=False,
        ) as http:
            yield Neighbour(http, rate)


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in rows]
