"""Isolation of the planes: what classifications notice when the control plane or its database is disturbed.

`make planes`, about five minutes; needs PostgreSQL. It starts servers of its own and sends 20 requests a second on
kept connections, open-loop, each with a text that was never sent before. Meanwhile the control plane is killed,
stopped, flooded with uploads and made to list everything; then the database is stopped under a second server. Two
promises: no request fails, and the p99 stays below twice that of the undisturbed server. Leave the machine to it:
whatever else runs shows in the p99. The cores are kept busy all the while (`busy_cores.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.disturbances import (
    Disturbance,
    DisturbanceError,
    Subject,
    create_content,
    create_subject,
    database_stopped,
    killed,
    listings,
    probe,
    stopped,
    uploads,
)
from benchmarks.neighbour import COLUMNS, Measurement, align, neighbour, p99_s
from tests.e2e.server import ROOT, serving
from tests.postgresql import binaries, postgresql_server

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


async def _measure(subject: Subject, scale: Scale, disturbances: Sequence[Disturbance]) -> list[Measurement]:
    """Measure each disturbance against the undisturbed server right before it, all on the same connections.

    The end is measured against the beginning, to show lasting harm, or how much the machine itself varies.
    """
    async with neighbour(subject) as beside:
        await beside.classify_until(scale.warm_up_s)
        first = undisturbed = await beside.undisturbed(scale.undisturbed_s)
        measurements = []
        for disturbance in disturbances:
            probes: Counter[str] = Counter()
            probing = asyncio.create_task(probe(subject, probes))
            running = asyncio.ensure_future(disturbance.run(subject))
            samples = await beside.classify_until(scale.disturbed_s, running)
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)
            if disturbance.outage and set(probes) <= {"200"}:
                raise DisturbanceError(f"{disturbance.name}: the control plane answered all the while")
            measurements.append(
                Measurement(disturbance.name, samples, p99_s(undisturbed), probes, running.result())
            )
            undisturbed = await beside.undisturbed(scale.undisturbed_s)
        return [*measurements, Measurement("undisturbed, at the end", undisturbed, p99_s(first))]


def render(measurements: Sequence[Measurement]) -> str:
    """A table with a row for each disturbance, and what failed."""
    rows: list[tuple[str, ...]] = [("disturbance", *COLUMNS, "promise", "control plane")]
    for row in measurements:
        statuses = sorted((row.probes + row.responses).items())
        control_plane = ", ".join(f"{number} × {status}" for status, number in statuses)
        rows.append((row.disturbance, *row.cells, "kept" if row.kept else "BROKEN", control_plane))
    return "\n".join([*align(rows), *(failure for row in measurements for failure in row.failures)])


def _as_json(row: Measurement) -> dict[str, Any]:
    control_plane = dict(sorted((row.probes + row.responses).items()))
    return {"disturbance": row.disturbance, **row.as_json(), "control_plane": control_plane}


if __name__ == "__main__":
    main()
