"""Isolation of the planes: what classifications notice when the control plane or its database is disturbed.

`make planes`, about five minutes; needs PostgreSQL. It starts servers of its own and sends 20 requests a second on
kept connections, open-loop, each with a text that was never sent before. Meanwhile the control plane is killed,
stopped, flooded with uploads and made to list everything; then the database is stopped under a second server. Two
promises: no request fails, and the p99 stays below twice that of the undisturbed server. Leave the machine to it:
whatever else runs shows in the p99.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from httpx_aiohttp import AiohttpTransport

from benchmarks.disturbances import (
    Disturbance,
    DisturbanceError,
    Subject,
    bearer,
    create_content,
    create_subject,
    database_stopped,
    killed,
    listings,
    probe,
    stopped,
    uploads,
)
from loadtest.budget import Promise, Sample, percentile
from loadtest.endpoints import ENDPOINTS, check_response
from loadtest.shapes import arrivals, find_shape
from loadtest.workload import Request
from tests.e2e.server import ROOT, serving
from tests.postgresql import binaries, postgresql_server

ENDPOINT = ENDPOINTS["inline"]
RATE = 20.0
LABELS = ("投诉", "咨询", "建议")
MAX_P99_RATIO = 2.0
TIMEOUT_S = 30.0
LINE = b'{"custom_id": "1", "method": "POST", "url": "/v1/classify", "body": {}}\n'


@dataclass(frozen=True, slots=True)
class Scale:
    """How long and how much; by default that of `make planes`."""

    warm_up_s: float = 5.0
    undisturbed_s: float = 20.0
    """Before each disturbance and at the end."""
    disturbed_s: float = 20.0
    """Minimum duration of a disturbance."""
    stopped_s: float = 15.0
    """How long the control plane and the database are stopped."""
    uploads: int = 16
    upload_bytes: int = 64_000_000
    """The default of WANNENG_MAX_FILE_BYTES; the servers get this limit."""
    tenants: int = 200
    label_sets: int = 100
    files: int = 100
    """To be listed."""


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
        return Counter(sample.fault for sample in self.samples if sample.fault is not None)

    @property
    def p99_s(self) -> float:
        return p99_s(self.samples)

    @property
    def kept(self) -> bool:
        return all(promise.kept for promise in self.promises())

    def promises(self) -> list[Promise]:
        """No request failed, and the p99 stayed below twice the undisturbed one."""
        failed, ratio = self.faults.total(), self.p99_s / self.undisturbed_p99_s
        return [
            Promise(f"{self.disturbance}: failed", "0", f"{failed} of {len(self.samples)}", failed == 0),
            Promise(
                f"{self.disturbance}: p99 over undisturbed",
                f"< {MAX_P99_RATIO:g}",
                f"{ratio:.2f} ({self.p99_s * 1000:.0f} ms)",
                ratio < MAX_P99_RATIO,
            ),
        ]


def main() -> None:
    """Print a table and write it as JSON; exit code 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", type=Path, help="folder of the engine; by default the embedded one")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/planes.json")
    options = parser.parse_args()
    if binaries() is None:
        parser.error("PostgreSQL is not installed; apt install postgresql")
    try:
        with tempfile.TemporaryDirectory() as folder:
            measurements = measure_planes(Path(folder), Scale(), options.engine)
    except DisturbanceError as error:
        sys.exit(f"not measured: {error}")
    print(render(measurements))
    report = [_as_json(measurement) for measurement in measurements]
    options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if all(measurement.kept for measurement in measurements) else 1)


def measure_planes(folder: Path, scale: Scale, engine: Path | None = None) -> list[Measurement]:
    """Start a server on SQLite and one on PostgreSQL, both with their state in `folder`, and disturb them."""
    file = folder / "lines.jsonl"
    file.write_bytes((LINE * (scale.upload_bytes // len(LINE) + 1))[: scale.upload_bytes])
    settings = {"WANNENG_REQUIRE_KEY": "true", "WANNENG_MAX_FILE_BYTES": str(scale.upload_bytes)}
    with serving(folder / "sqlite", engine, **settings) as server:
        subject = create_subject(server)
        create_content(subject, scale.tenants, scale.label_sets, scale.files)
        disturbances = [
            killed(),
            stopped(scale.stopped_s),
            uploads(scale.uploads, file),
            listings(scale.disturbed_s),
        ]
        measurements = asyncio.run(_measure(subject, scale, disturbances))
    with (
        postgresql_server() as postgresql,
        serving(
            folder / "postgresql", engine, WANNENG_DATABASE_URL=f"{postgresql.url}/postgres", **settings
        ) as server,
    ):
        subject = create_subject(server)
        measurements += asyncio.run(_measure(subject, scale, [database_stopped(postgresql, scale.stopped_s)]))
    return measurements


def p99_s(samples: Sequence[Sample]) -> float:
    """Of the requests that succeeded."""
    return percentile(sorted(sample.seconds for sample in samples if sample.fault is None), 0.99)


async def _measure(subject: Subject, scale: Scale, disturbances: Sequence[Disturbance]) -> list[Measurement]:
    """Measure each disturbance against the undisturbed server right before it, all on the same connections.

    The end is measured against the beginning, to show lasting harm, or how much the machine itself varies.
    """
    async with httpx.AsyncClient(
        transport=AiohttpTransport(),
        base_url=subject.server.url,
        headers=bearer(subject.key),
        timeout=TIMEOUT_S,
        trust_env=False,
    ) as http:
        texts = count()
        await classify_until(http, texts, scale.warm_up_s)
        first = undisturbed = await measure_undisturbed(http, texts, scale.undisturbed_s)
        measurements = []
        for disturbance in disturbances:
            probes: Counter[str] = Counter()
            probing = asyncio.create_task(probe(subject, probes))
            running = asyncio.ensure_future(disturbance.run(subject))
            samples = await classify_until(http, texts, scale.disturbed_s, running)
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)
            if disturbance.outage and set(probes) <= {"200"}:
                raise DisturbanceError(f"{disturbance.name}: the control plane answered all the while")
            measurements.append(
                Measurement(disturbance.name, samples, p99_s(undisturbed), probes, running.result())
            )
            undisturbed = await measure_undisturbed(http, texts, scale.undisturbed_s)
        return [*measurements, Measurement("undisturbed, at the end", undisturbed, p99_s(first))]


async def measure_undisturbed(http: httpx.AsyncClient, texts: count[int], seconds: float) -> list[Sample]:
    """Samples as of `classify_until`; `DisturbanceError` if a request failed."""
    samples = await classify_until(http, texts, seconds)
    faults = Counter(sample.fault for sample in samples if sample.fault is not None)
    if faults:
        raise DisturbanceError(f"requests fail while nothing is disturbed: {dict(faults)}")
    return samples


async def classify_until(
    http: httpx.AsyncClient, texts: count[int], min_s: float, disturbing: asyncio.Future[Any] | None = None
) -> list[Sample]:
    """Send requests for `min_s` and until `disturbing` is done; a sample for each, once all are answered.

    Every call sends on the same Poisson schedule, so that the p99 of one can be compared with that of another.
    """
    samples: list[Sample] = []

    async def classify(due_at: float) -> None:
        request = Request("benchmark", "inline", f"第{next(texts)}位顾客：快递等了一个星期还没到", LABELS)
        try:
            response = await http.post(ENDPOINT.path, json=ENDPOINT.body(request))
            fault = check_response(request, response.status_code, response.content)
        except httpx.TransportError as error:
            fault = repr(error)
        samples.append(Sample(request.kind, request.tenant, time.monotonic() - due_at, fault))

    started_at = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for arrival_s in arrivals(find_shape("steady"), RATE, float("inf"), random.Random(1)):
            if arrival_s > min_s and (disturbing is None or disturbing.done()):
                break
            await asyncio.sleep(max(0.0, started_at + arrival_s - time.monotonic()))
            tasks.create_task(classify(started_at + arrival_s))
    return samples


def render(measurements: Sequence[Measurement]) -> str:
    """A table with a row for each disturbance, and what failed."""
    rows = [("disturbance", "requests", "failed", "p99", "undisturbed", "ratio", "promise", "control plane")]
    failures = []
    for row in measurements:
        rows.append(
            (
                row.disturbance,
                str(len(row.samples)),
                str(row.faults.total()),
                f"{row.p99_s * 1000:.0f} ms",
                f"{row.undisturbed_p99_s * 1000:.0f} ms",
                f"{row.p99_s / row.undisturbed_p99_s:.2f}",
                "kept" if row.kept else "BROKEN",
                ", ".join(
                    f"{number} × {status}" for status, number in sorted((row.probes + row.responses).items())
                ),
            )
        )
        failures += [f"{row.disturbance}: {number} × {fault}" for fault, number in sorted(row.faults.items())]
    return "\n".join([*align(rows), *failures])


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in rows]


def _as_json(row: Measurement) -> dict[str, Any]:
    return {
        "disturbance": row.disturbance,
        "requests": len(row.samples),
        "failed": row.faults.total(),
        "p99_ms": round(row.p99_s * 1000, 1),
        "undisturbed_p99_ms": round(row.undisturbed_p99_s * 1000, 1),
        "control_plane": dict(sorted((row.probes + row.responses).items())),
        "kept": row.kept,
    }


if __name__ == "__main__":
    main()
